//! Which programs are released.

/// The directory of an image's program, and its whole `PATH`.
pub(super) const DIRECTORY: &str = "/usr/local/bin";

/// The user of programs that need no privilege. Other images without a shell use the same number.
pub(super) const UNPRIVILEGED: u32 = 65532;

/// A program and the image made of it.
#[derive(Debug)]
pub(super) struct Program {
    /// The name of the program and of its image.
    pub(super) name: &'static str,
    /// The cargo package.
    pub(super) package: &'static str,
    /// One sentence for people who browse a registry.
    pub(super) description: &'static str,
    /// Its user and group.
    pub(super) uid: u32,
}

impl Program {
    /// Its path in its image.
    pub(super) fn path(&self) -> String {
        format!("{DIRECTORY}/{}", self.name)
    }
}

pub(super) const PROGRAMS: [Program; 3] = [
    Program {
        name: "zastava-observer",
        package: "stellaops-zastava-observer",
        description: "Watches the containers and processes of a node, and tells Scanner what really runs in them.",
        // It reads other users' processes and containerd's socket, and only uid 0 gets the capabilities for that.
        uid: 0,
    },
    Program {
        name: "zastava-webhook",
        package: "stellaops-zastava-admission",
        description: "Asks Scanner for a verdict on each image of a Pod, and allows or denies.",
        uid: UNPRIVILEGED,
    },
    Program {
        name: "zastava-sandbox",
        package: "stellaops-zastava-sandbox",
        description: "An Authority and a Scanner in one process, for trying Zastava without either.",
        uid: UNPRIVILEGED,
    },
];
