//! The grammar of a reference's parts.

use super::error::ImageError;

/// The registry of names without one.
pub(super) const DOCKER_HUB: &str = "docker.io";
pub(super) const REPOSITORY_LENGTH_MAX: usize = 255;
const TAG_LENGTH_MAX: usize = 128;

pub(super) fn parse_tag(tag: &str) -> Result<String, ImageError> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let valid = tag.len() <= TAG_LENGTH_MAX
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-');
    if valid { Ok(tag.to_owned()) } else { Err(ImageError::Tag) }
}

/// Whether engines take the text for the ID of an image on the node: `sha256:` with the first digits of a digest. A bare
/// digest of 64 digits is refused by the kubelet.
pub(super) fn is_image_id(text: &str) -> bool {
    const DIGITS: usize = 64;
    let is_hex = |id: &str| id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    match text.strip_prefix("sha256:") {
        Some(id) => (1..=DIGITS).contains(&id.len()) && is_hex(id),
        None => text.len() == DIGITS && is_hex(text),
    }
}

/// The first component is a host if it could not be a path: it has a dot, a port or an upper-case letter, or is
/// `localhost`. Only the exact spellings name Docker Hub; engines pull `Index.docker.io/nginx` from a host of that name.
pub(super) fn split_registry(name: &str) -> Result<(&str, &str), ImageError> {
    let Some((host, path)) = name.split_once('/') else { return Ok((DOCKER_HUB, name)) };
    let has_upper = || host.bytes().any(|byte| byte.is_ascii_uppercase());
    if host == "index.docker.io" {
        Ok((DOCKER_HUB, path))
    } else if !(host.contains(['.', ':']) || host == "localhost" || has_upper()) {
        Ok((DOCKER_HUB, name))
    } else if is_host(host) || check_path(name).is_ok() {
        // `my_registry.local` is no host by the grammar, so that the whole is a path. Engines pull from that host all the same.
        Ok((host, path))
    } else {
        Err(ImageError::Registry)
    }
}

/// A DNS name, an IPv4 address or an IPv6 address in brackets, with an optional port.
fn is_host(text: &str) -> bool {
    let (name, port) = match text.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (text, None),
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_address = |address: &str| {
        !address.is_empty() && address.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':')
    };
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let is_name = match name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(address) => is_address(address),
        None => name.split('.').all(is_label),
    };
    is_name && port.is_none_or(is_port)
}

/// Each component consists of lower-case letters and digits, separated by `.`, `_`, `__` or dashes.
pub(super) fn check_path(path: &str) -> Result<(), ImageError> {
    let valid = path.split('/').all(|component| {
        let bytes = component.as_bytes();
        let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        bytes.first().is_some_and(alphanumeric)
            && bytes.last().is_some_and(alphanumeric)
            && bytes.split(alphanumeric).all(|separator| {
                matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|byte| *byte == b'-')
            })
    });
    if valid { Ok(()) } else { Err(ImageError::Repository) }
}
