//! The mount of a container's root, and the layers that it consists of.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// The mount of a container's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::inspect) struct RootMount {
    pub(super) id: u64,
    /// `None` if it is no overlay.
    pub(in crate::inspect) layers: Option<Layers>,
}

/// The layers of an overlay, as paths in the node's root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::inspect) struct Layers {
    /// What was written. `None` if nothing can be.
    pub(super) upper: Option<PathBuf>,
    /// The image, the top layer first. Engines shorten long lists: these may be relative to a directory above `upper`.
    pub(in crate::inspect) lower: Vec<PathBuf>,
}

/// The most layers that are looked at. Linux allows 500.
pub(in crate::inspect) const LOWER_MAX: usize = 500;

impl RootMount {
    /// The mount of `/` by a process's `mountinfo` (proc_pid_mountinfo(5)); the last of several covers the others.
    pub(in crate::inspect) fn parse(mountinfo: &[u8]) -> Option<Self> {
        let mut found = None;
        for line in mountinfo.split(|byte| *byte == b'\n') {
            let mut words = line.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
            let id = words.next().and_then(|word| std::str::from_utf8(word).ok()?.parse().ok());
            let (Some(id), Some(b"/")) = (id, words.nth(3)) else { continue };
            let mut behind = words.skip_while(|word| *word != b"-").skip(1);
            let kind = behind.next();
            let options = behind.nth(1).unwrap_or_default();
            found = Some(Self { id, layers: (kind == Some(b"overlay")).then(|| Layers::parse(options)) });
        }
        found
    }
}

impl Layers {
    fn parse(options: &[u8]) -> Self {
        let mut layers = Self { upper: None, lower: Vec::new() };
        let options = unescape_octal(options);
        for option in split_unescaped(&options, b',') {
            if let Some(upper) = option.strip_prefix(b"upperdir=") {
                layers.upper = Some(path(upper));
            } else if let Some(lower) =
                option.strip_prefix(b"lowerdir=").or_else(|| option.strip_prefix(b"lowerdir+="))
            {
                let lower = split_unescaped(lower, b':').into_iter().filter(|path| !path.is_empty());
                layers.lower.extend(lower.map(path).take(LOWER_MAX - layers.lower.len()));
            }
        }
        layers
    }

    /// Where a lower layer may be: itself, or below a directory above the upper layer.
    pub(super) fn places<'a>(&'a self, lower: &'a Path) -> impl Iterator<Item = PathBuf> + 'a {
        let above = self.upper.iter().flat_map(|upper| upper.ancestors().skip(1));
        let relative = above.filter(|_| lower.is_relative()).map(move |above| above.join(lower));
        lower.is_absolute().then(|| lower.to_owned()).into_iter().chain(relative)
    }
}

/// `\040` for a blank: what separates the words of a line.
fn unescape_octal(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        let digits =
            behind.get(..3).filter(|digits| *first == b'\\' && digits.iter().all(u8::is_ascii_digit));
        let byte = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        plain.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &behind[3..] } else { behind };
    }
    plain
}

/// Parts between separators. A backslash takes a separator's meaning.
fn split_unescaped(text: &[u8], separator: u8) -> Vec<&[u8]> {
    let (mut parts, mut start, mut is_escaped) = (Vec::new(), 0, false);
    for (at, byte) in text.iter().enumerate() {
        if *byte == separator && !is_escaped {
            parts.push(&text[start..at]);
            start = at + 1;
        }
        is_escaped = *byte == b'\\' && !is_escaped;
    }
    parts.push(&text[start..]);
    parts
}

/// A path without overlayfs's own backslashes.
fn path(text: &[u8]) -> PathBuf {
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(byte) = bytes.next() {
        plain.extend(if *byte == b'\\' { bytes.next() } else { Some(byte) });
    }
    PathBuf::from(OsString::from_vec(plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(text: &str) -> Layers {
        RootMount::parse(text.as_bytes()).expect("has a root").layers.expect("is an overlay")
    }

    #[test]
    fn the_mount_of_the_root_is_found() {
        let text = "25 1 0:22 / /proc rw - proc proc rw\n\
            612 599 0:181 / / rw,relatime master:7 - overlay overlay rw,lowerdir=/l/2:/l/1,upperdir=/s/9/fs,workdir=/s/9/work\n\
            613 612 0:5 / /dev rw - tmpfs tmpfs rw\n";
        let mount = RootMount::parse(text.as_bytes()).expect("has a root");
        assert_eq!(mount.id, 612);
        let found = mount.layers.expect("is an overlay");
        assert_eq!(found.upper.as_deref(), Some(Path::new("/s/9/fs")));
        assert_eq!(found.lower, [Path::new("/l/2"), Path::new("/l/1")]);
    }

    #[test]
    fn other_roots_have_no_layers() {
        let text = b"612 599 8:1 /var/lib/containerd/native/snapshots/5 / rw - ext4 /dev/sda1 rw\n";
        assert_eq!(RootMount::parse(text), Some(RootMount { id: 612, layers: None }));
        for none in [&b""[..], b"\n", b"25 1 0:22 / /proc rw - proc proc rw", b"x 1 0:22 / / rw - a b c"] {
            assert_eq!(RootMount::parse(none), None);
        }
    }

    #[test]
    fn separators_in_paths_are_escaped() {
        let found = layers(r"1 0 0:1 / / rw - overlay o rw,lowerdir=/a\134:b:/c\040d,upperdir=/e\134,f/up");
        assert_eq!(found.lower, [Path::new("/a:b"), Path::new("/c d")]);
        assert_eq!(found.upper.as_deref(), Some(Path::new("/e,f/up")));
        let found = layers("1 0 0:1 / / ro - overlay o ro,lowerdir+=/a,lowerdir+=/b");
        assert_eq!((found.upper, found.lower.len()), (None, 2));
    }

    #[test]
    fn shortened_layers_are_looked_for_above_the_upper_one() {
        let found = layers("1 0 0:1 / / rw - overlay o rw,lowerdir=7/fs,upperdir=/var/snapshots/9/fs");
        let places: Vec<_> = found.places(&found.lower[0]).collect();
        assert!(places.contains(&PathBuf::from("/var/snapshots/7/fs")), "{places:?}");
    }
}
