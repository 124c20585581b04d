//! Upstream's programs, built from the Go module proxy.
//!
//! `tools/<name>/go.mod` pins each: its `tool` lines say what is built, its one direct requirement
//! says which version. Another version of Kubernetes or containerd gets a module file of its own,
//! made beside the programs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Error;
use crate::command::{make_directory, output, write};

/// One module of tools.
struct Module {
    name: &'static str,
    /// The module that is required; `{major}` is its path's major version suffix.
    path: &'static str,
    /// Whether it needs cgo: runc uses libseccomp.
    cgo: bool,
    build_tags: &'static str,
    /// What the linker stamps with the version: clients show a placeholder otherwise.
    stamps: &'static [&'static str],
}

const MODULES: [Module; 5] = [
    Module {
        name: "containerd",
        path: "github.com/containerd/containerd",
        cgo: false,
        build_tags: "",
        stamps: &["{path}/version.Version={version}"],
    },
    Module {
        name: "runc",
        path: "github.com/opencontainers/runc",
        cgo: true,
        build_tags: "seccomp",
        stamps: &["main.version={version}"],
    },
    Module { name: "helm", path: "helm.sh/helm", cgo: false, build_tags: "", stamps: &[] },
    Module { name: "coredns", path: "github.com/coredns/coredns", cgo: false, build_tags: "", stamps: &[] },
    Module {
        name: "kubernetes",
        path: "k8s.io/kubernetes",
        cgo: false,
        build_tags: "",
        stamps: &[
            "k8s.io/component-base/version.gitVersion=v{version}",
            "k8s.io/component-base/version.gitMajor={major}",
            "k8s.io/component-base/version.gitMinor={minor}",
        ],
    },
];

/// Programs from Debian, with the package of each.
const PACKAGED: [(&str, &str); 9] = [
    ("etcd", "etcd-server"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
    ("nft", "nftables"),
    ("iptables", "iptables"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("busybox", "busybox-static"),
    ("pkg-config", "pkg-config"),
    ("/usr/include/seccomp.h", "libseccomp-dev"),
];

/// Versions other than the pinned ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// The version of Kubernetes, such as `1.35.4`.
    pub kubernetes: Option<String>,
    /// The version of containerd, such as `1.7.30` or `2.2.1`.
    pub containerd: Option<String>,
}

impl Versions {
    /// The command that builds the programs of these versions.
    #[must_use]
    pub fn build_command(&self) -> String {
        let mut command = "cargo run -p zastava-e2e -- tools".to_owned();
        for (flag, version) in [("--kubernetes", &self.kubernetes), ("--containerd", &self.containerd)] {
            if let Some(version) = version {
                command.extend([" ", flag, " ", version]);
            }
        }
        command
    }
}

/// Where the programs are.
#[derive(Clone, Debug)]
pub struct Tools {
    root: PathBuf,
    directories: Vec<PathBuf>,
    containerd: String,
    build_command: String,
}

impl Tools {
    /// The tools of these versions, built or not.
    ///
    /// # Errors
    /// If a module file cannot be read.
    pub fn locate(versions: &Versions) -> Result<Self, Error> {
        let root = crate_directory().join(".tools");
        let mut directories = Vec::new();
        let mut containerd = String::new();
        for module in &MODULES {
            let version = module.version(versions)?;
            directories.push(root.join(format!("{}-{version}", module.name)));
            if module.name == "containerd" {
                containerd = version;
            }
        }
        Ok(Self { root, directories, containerd, build_command: versions.build_command() })
    }

    /// The Debian packages that the machine lacks.
    #[must_use]
    pub fn missing_packages() -> Vec<&'static str> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut places: Vec<PathBuf> = std::env::split_paths(&path).collect();
        places.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
        let there = |program: &str| places.iter().any(|place| place.join(program).exists());
        PACKAGED.iter().filter(|(program, _)| !there(program)).map(|(_, package)| *package).collect()
    }

    /// Whether every program is built.
    #[must_use]
    pub fn are_built(&self) -> bool {
        self.directories.iter().all(|directory| directory.is_dir())
    }

    /// Builds the programs that are missing, and prints its progress.
    ///
    /// # Errors
    /// If Go is missing, or a module does not build.
    pub fn build(versions: &Versions, mut say: impl FnMut(&str)) -> Result<Self, Error> {
        let tools = Self::locate(versions)?;
        for (module, directory) in MODULES.iter().zip(&tools.directories) {
            if directory.is_dir() {
                continue;
            }
            let version = module.version(versions)?;
            say(&format!("building {} {version}", module.name));
            module.build(&version, directory)?;
        }
        tools.link_all()?;
        Ok(tools)
    }

    /// A program, by name.
    ///
    /// # Errors
    /// [`Error::Missing`] if it is not built.
    pub fn program(&self, name: &str) -> Result<PathBuf, Error> {
        let places = self.directories.iter().map(|directory| directory.join(name));
        places.into_iter().find(|path| path.is_file()).ok_or_else(|| Error::Missing {
            what: name.to_owned(),
            remedy: format!("run `{}`", self.build_command),
        })
    }

    /// The version of containerd.
    #[must_use]
    pub fn containerd_version(&self) -> &str {
        &self.containerd
    }

    /// The search path that has these tools first, then the system's.
    pub(crate) fn search_path(&self) -> String {
        let own = self.directories.iter().map(|directory| directory.display().to_string());
        own.chain(["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(str::to_owned)).collect::<Vec<_>>().join(":")
    }

    /// `.tools/bin` holds links to what was asked for last, so that scripts need no version.
    fn link_all(&self) -> Result<(), Error> {
        let links = self.root.join("bin");
        make_directory(&links)?;
        for directory in &self.directories {
            for entry in fs::read_dir(directory).map_err(Error::file(directory))? {
                let target = entry.map_err(Error::file(directory))?.path();
                let link = links.join(target.file_name().unwrap_or_default());
                if fs::read_link(&link).is_ok_and(|old| old == target) {
                    continue;
                }
                let _ = fs::remove_file(&link);
                std::os::unix::fs::symlink(&target, &link).map_err(Error::file(&link))?;
            }
        }
        Ok(())
    }
}

impl Module {
    fn pinned(&self) -> PathBuf {
        crate_directory().join("tools").join(self.name)
    }

    fn version(&self, versions: &Versions) -> Result<String, Error> {
        let asked = match self.name {
            "kubernetes" => versions.kubernetes.clone(),
            "containerd" => versions.containerd.clone(),
            _ => None,
        };
        asked.map_or_else(|| self.pinned_version(), Ok)
    }

    /// Reads the line `require <module path>[/vN] v<version>`, in a block or alone.
    fn pinned_version(&self) -> Result<String, Error> {
        let path = self.pinned().join("go.mod");
        let text = fs::read_to_string(&path).map_err(Error::file(&path))?;
        let required = text.lines().find_map(|line| {
            let mut words = line.trim().trim_start_matches("require ").split_whitespace();
            let module = words.next()?;
            let is_major = |rest: &str| rest.is_empty() || rest.starts_with("/v");
            module.strip_prefix(self.path).is_some_and(is_major).then(|| words.next()).flatten()
        });
        let version = required.and_then(|version| version.strip_prefix('v'));
        version.map(str::to_owned).ok_or_else(|| Error::Missing {
            what: format!("the version of {}", self.path),
            remedy: format!("{} must require it", path.display()),
        })
    }

    /// Builds in a temporary directory and renames it, so that no incomplete build is ever found.
    fn build(&self, version: &str, directory: &Path) -> Result<(), Error> {
        let unfinished = beside(directory, "unfinished");
        let _ = fs::remove_dir_all(&unfinished);
        make_directory(&unfinished)?;
        let source = if version == self.pinned_version()? {
            self.pinned()
        } else {
            self.write_module(version, &beside(directory, "module"))?
        };
        let mut command = go(&source);
        command.env("CGO_ENABLED", if self.cgo { "1" } else { "0" });
        command.args(["build", "-trimpath", "-buildvcs=false", "-tags", self.build_tags, "-ldflags"]);
        command.arg(self.linker_flags(version)).arg("-o").arg(&unfinished).arg("tool");
        output(&mut command)?;
        fs::rename(&unfinished, directory).map_err(Error::file(directory))
    }

    /// A module file like the pinned one, for another version.
    fn write_module(&self, version: &str, place: &Path) -> Result<PathBuf, Error> {
        let path = self.pinned().join("go.mod");
        let text = fs::read_to_string(&path).map_err(Error::file(&path))?;
        let module = self.module_path(version);
        let tools = text.lines().filter_map(|line| {
            let (path, package) = line.trim().trim_start_matches("tool ").split_once("/cmd/")?;
            path.starts_with(self.path).then(|| format!("tool {module}/cmd/{package}\n"))
        });
        let tools: String = tools.collect();
        make_directory(place)?;
        let text = format!(
            "module zastava.invalid/e2e/tools/{}\n\ngo 1.26\n\n{tools}\nrequire {module} v{version}\n",
            self.name
        );
        write(&place.join("go.mod"), text)?;
        if self.name == "kubernetes" {
            pin_siblings(place, &module, version)?;
        }
        output(go(place).args(["mod", "tidy"]))?;
        Ok(place.to_owned())
    }

    /// Go's rule: from major version 2 on the path ends with it.
    fn module_path(&self, version: &str) -> String {
        match version.split('.').next() {
            Some("0" | "1") | None => self.path.to_owned(),
            Some(major) => format!("{}/v{major}", self.path),
        }
    }

    fn linker_flags(&self, version: &str) -> String {
        let mut parts = version.split('.');
        let (major, minor) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let stamps = self.stamps.iter().map(|stamp| {
            let stamp = stamp.replace("{path}", &self.module_path(version)).replace("{version}", version);
            format!(" -X {}", stamp.replace("{major}", major).replace("{minor}", minor))
        });
        stamps.fold("-s -w".to_owned(), |flags, stamp| flags + &stamp)
    }
}

/// Kubernetes names the modules of its own repository at v0.0.0; released, they are v0.MINOR.PATCH.
fn pin_siblings(place: &Path, module: &str, version: &str) -> Result<(), Error> {
    let answer = output(go(place).args(["mod", "download", "-json", &format!("{module}@v{version}")]))?;
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
    let path = PathBuf::from(answer["GoMod"].as_str().unwrap_or_default());
    let text = fs::read_to_string(&path).map_err(Error::file(&path))?;
    let released = version.split_once('.').map_or(version, |(_, rest)| rest);
    let mut edit = go(place);
    edit.args(["mod", "edit"]);
    for line in text.lines() {
        if let Some(sibling) = line.trim().strip_suffix(" v0.0.0") {
            edit.arg(format!("-replace={sibling}={sibling}@v0.{released}"));
        }
    }
    output(&mut edit).map(|_| ())
}

/// `kubernetes-1.36.2` and its kin: the patch number is no extension.
fn beside(directory: &Path, suffix: &str) -> PathBuf {
    let mut path = directory.as_os_str().to_owned();
    path.push(format!(".{suffix}"));
    path.into()
}

fn go(directory: &Path) -> Command {
    let mut command = Command::new("go");
    // Only the installed toolchain, and none of the caller's flags.
    command.current_dir(directory).env("GOTOOLCHAIN", "local").env("GOFLAGS", "").env("GOWORK", "off");
    command
}

fn crate_directory() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

impl Versions {
    /// The versions as arguments of this crate's program.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let all = [("--kubernetes", &self.kubernetes), ("--containerd", &self.containerd)];
        let given = all.into_iter().filter_map(|(flag, version)| Some([flag.to_owned(), version.clone()?]));
        given.flatten().collect()
    }
}
