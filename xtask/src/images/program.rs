//! The programs that are released.

/// The folder of the program in an image, and the image's whole `PATH`.
pub(super) const DIRECTORY: &str = "/usr/local/bin";

/// The user of programs without privileges. Other images without a shell use the same number.
pub(super) const UNPRIVILEGED: u32 = 65532;

/// A program and the image made of it.
#[derive(Debug)]
pub(super) struct Program {
    /// The name of the program and of its image.
    pub(super) name: &'static str,
    /// The cargo package.
    pub(super) package: &'static str,
    /// One sentence for readers of a registry.
    pub(super) description: &'static str,
    /// Its user and group.
    pub(super) uid: u32,
}

impl Program {
    /// The path of the program in its image.
    pub(super) fn path(&self) -> String {
        format!("{DIRECTORY}/{}", self.name)
    }
}

pub(super) const PROGRAMS: [Program; 3] = [
    Program {
        name: "zastava-observer",
        package: "stellaops-zastava-observer",
        description: "Watches the containers and processes of a node, and reports to Scanner what runs in them.",
        // It reads other users' processes and containerd's socket; Kubernetes gives it capabilities only as
        // uid 0.
        uid: 0,
    },
    Program {
        name: "zastava-webhook",
        package: "stellaops-zastava-admission",
        description: "Asks Scanner for a verdict on each image of a Pod, and allows or denies the Pod.",
        uid: UNPRIVILEGED,
    },
    Program {
        name: "zastava-sandbox",
        package: "stellaops-zastava-sandbox",
        description: "An Authority and a Scanner in one process, for trying Zastava without either.",
        uid: UNPRIVILEGED,
    },
];
