//! The grammar of a reference's parts.

use super::error::ImageError;

pub(super) const NAME_LENGTH_MAX: usize = 255;
const TAG_LENGTH_MAX: usize = 128;

pub(super) fn parse_tag(tag: &str) -> Result<String, ImageError> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let valid = tag.len() <= TAG_LENGTH_MAX
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-');
    if valid { Ok(tag.to_owned()) } else { Err(ImageError::Tag) }
}

/// The first component is a host if it has a dot or a port, or is `localhost`.
pub(super) fn split_registry(name: &str) -> Result<(&str, &str), ImageError> {
    match name.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => {
            check_host(host)?;
            let canonical = if host.eq_ignore_ascii_case("index.docker.io") { "docker.io" } else { host };
            Ok((canonical, path))
        }
        _ => Ok(("docker.io", name)),
    }
}

fn check_host(host: &str) -> Result<(), ImageError> {
    let (name, port) = match host.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let port_valid = port.is_none_or(|port| port.parse::<u16>().is_ok() && !port.starts_with('+'));
    if name.split('.').all(label) && port_valid { Ok(()) } else { Err(ImageError::Registry) }
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
