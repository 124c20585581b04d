//! How a file that runs differs from the image. Pure.

use zastava_core::vocabulary::Signal;

/// How a file that runs differs from the image that its container was made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The image has no such file.
    New,
    /// The image's file has other content.
    Modified,
    /// Permissions, owner or times differ from the image's file, but not the content. This is no drift.
    MetadataOnly,
    /// It is on another mount than the container's root.
    Volume,
    /// It is in memory and has never had a name.
    Memfd,
    /// Its name was removed while it runs.
    Deleted,
    /// It is the main program, and the specification leads to another one.
    EntrypointDiffers,
}

impl Verdict {
    /// Its word in events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Modified => "modified",
            Self::MetadataOnly => "metadata-only",
            Self::Volume => "volume",
            Self::Memfd => "memfd",
            Self::Deleted => "deleted",
            Self::EntrypointDiffers => "entrypoint-differs",
        }
    }

    /// Whether something runs that the image does not hold.
    #[must_use]
    pub fn is_drift(self) -> bool {
        self != Self::MetadataOnly
    }
}

/// What is known of a file that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// In the kernel's own file system for memory.
    InMemory,
    /// No path leads to it.
    Unnamed,
    /// On another mount than the root.
    OtherMount,
    /// In a lower layer of overlayfs.
    InImage,
    /// In the upper layer of overlayfs, and how the image's file compares.
    InUpper(Below),
    /// On a file system without layers: when it was made and changed, in nanoseconds since 1970, and until when the
    /// container may have been made.
    Alone { born: Option<i128>, changed: i128, made: i128, known: Below },
}

/// How the content of a file compares with that in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Below {
    Absent,
    Same,
    Different,
    Unknown,
}

/// The verdict and what decided it; `None` for a file of the image, and for one of which it cannot be said.
pub(super) fn judge(look: Look) -> Option<(Verdict, Signal)> {
    let changed = |below, absent| match below {
        Below::Absent => absent,
        Below::Same => Some(Verdict::MetadataOnly),
        Below::Different => Some(Verdict::Modified),
        Below::Unknown => None,
    };
    let (verdict, signal) = match look {
        Look::InMemory => (Some(Verdict::Memfd), Signal::ProcExe),
        Look::Unnamed => (Some(Verdict::Deleted), Signal::ProcExeDeleted),
        Look::OtherMount => (Some(Verdict::Volume), Signal::ProcMountinfo),
        Look::InImage => (None, Signal::OverlayUpper),
        Look::InUpper(below) => (changed(below, Some(Verdict::New)), Signal::OverlayUpper),
        Look::Alone { born: Some(born), made, .. } if born > made => (Some(Verdict::New), Signal::FileTimes),
        // Only the change time is later: permissions may have changed as well as the content.
        Look::Alone { changed: at, made, known, .. } if at > made => {
            (changed(known, None), Signal::FileTimes)
        }
        Look::Alone { .. } => (None, Signal::FileTimes),
    };
    Some((verdict?, signal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_look_has_its_verdict() {
        use Below::{Absent, Different, Same, Unknown};
        let alone = |born, changed, known| Look::Alone { born, changed, made: 100, known };
        for (look, wanted) in [
            (Look::InMemory, Some(Verdict::Memfd)),
            (Look::Unnamed, Some(Verdict::Deleted)),
            (Look::OtherMount, Some(Verdict::Volume)),
            (Look::InImage, None),
            (Look::InUpper(Absent), Some(Verdict::New)),
            (Look::InUpper(Different), Some(Verdict::Modified)),
            (Look::InUpper(Same), Some(Verdict::MetadataOnly)),
            (Look::InUpper(Unknown), None),
            (alone(Some(50), 50, Absent), None),
            (alone(Some(101), 101, Absent), Some(Verdict::New)),
            (alone(Some(50), 101, Absent), None),
            (alone(Some(50), 101, Same), Some(Verdict::MetadataOnly)),
            (alone(Some(50), 101, Different), Some(Verdict::Modified)),
            (alone(Some(50), 101, Unknown), None),
            (alone(None, 101, Absent), None),
            (alone(Some(100), 100, Different), None),
        ] {
            assert_eq!(judge(look).map(|(verdict, _)| verdict), wanted, "{look:?}");
        }
    }
}
