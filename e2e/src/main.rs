//! `zastava-e2e`: starts a Kubernetes on this machine, and takes it down again.

use std::ffi::OsString;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use zastava_e2e::{Cluster, ClusterOptions, Error, InitRole, Lifetime, Tools, Versions, run_init};

/// A real Kubernetes on this machine, in namespaces of its own
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Builds upstream's programs into e2e/.tools, those that are missing
    Tools(VersionArguments),
    /// Starts a cluster and leaves it running
    Up {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        versions: VersionArguments,
        /// Nodes beside the control plane
        #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=9))]
        nodes: u8,
    },
    /// Loads image archives (OCI layouts as tar) into every node
    Import {
        #[command(flatten)]
        place: Place,
        /// Image archives, such as those of `cargo xtask images`
        #[arg(required = true)]
        archives: Vec<PathBuf>,
    },
    /// Ends the cluster and removes what it left, also after a crash
    Down(Place),
    /// Opens a shell in the cluster, with kubectl and helm
    Shell(Place),
    /// Runs kubectl in the cluster
    Kubectl {
        #[command(flatten)]
        place: Place,
        /// Arguments of kubectl
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
    /// Waits for the end of its input, then removes the cluster
    #[command(hide = true)]
    Guard(Place),
    #[command(hide = true)]
    InitControlPlane {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        versions: VersionArguments,
        nodes: Vec<String>,
    },
    #[command(hide = true)]
    InitNode {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        versions: VersionArguments,
        name: String,
        index: usize,
        count: usize,
    },
}

#[derive(Args, Debug)]
struct Place {
    /// Holds the cluster's files; the variable ZASTAVA_E2E_DIRECTORY changes the default
    #[arg(long, value_name = "DIR", default_value_os_t = default_directory())]
    directory: PathBuf,
}

#[derive(Args, Debug)]
struct VersionArguments {
    /// Another version of Kubernetes than the pinned one, as in 1.35.4
    #[arg(long, value_name = "VERSION")]
    kubernetes: Option<String>,
    /// Another version of containerd than the pinned one, as in 1.7.30
    #[arg(long, value_name = "VERSION")]
    containerd: Option<String>,
}

fn main() -> ExitCode {
    match run(Arguments::parse().action) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let causes =
                std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
            let text = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
            // The terminal may be gone. The exit status still reports the failure.
            let _ = writeln!(std::io::stderr(), "zastava-e2e: {text}");
            ExitCode::FAILURE
        }
    }
}

fn run(action: Action) -> Result<(), Error> {
    match action {
        Action::Tools(versions) => Tools::build(&versions.into(), say).map(|_| ()),
        Action::Up { place, versions, nodes } => {
            let mut options = ClusterOptions::new(place.directory);
            (options.nodes, options.versions) = (nodes.into(), versions.into());
            Cluster::check_machine()?;
            if Cluster::find(&options.directory).is_ok() {
                return Err(Error::Running { directory: options.directory });
            }
            Tools::build(&options.versions, say)?;
            say("starting");
            // If this ends before the cluster is complete, the cluster is removed.
            let cluster = Cluster::start(&options, Lifetime::Handle)?.keep();
            say(&guide(&cluster));
            Ok(())
        }
        Action::Import { place, archives } => {
            let cluster = Cluster::find(&place.directory)?;
            archives.iter().try_for_each(|archive| cluster.import_image(archive))
        }
        Action::Down(place) => Cluster::remove(&place.directory),
        Action::Guard(place) => {
            // Nothing is ever sent: the input ends when the process on the other side ends.
            let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
            Cluster::remove(&place.directory)
        }
        Action::Shell(place) => replace_by(Cluster::find(&place.directory)?.command("bash").arg("--norc")),
        Action::Kubectl { place, arguments } => {
            replace_by(Cluster::find(&place.directory)?.command("kubectl").args(arguments))
        }
        Action::InitControlPlane { place, versions, nodes } => {
            run_init(place.directory, &versions.into(), &InitRole::ControlPlane { nodes })
        }
        Action::InitNode { place, versions, name, index, count } => {
            run_init(place.directory, &versions.into(), &InitRole::Node { name, index, count })
        }
    }
}

impl From<VersionArguments> for Versions {
    fn from(arguments: VersionArguments) -> Self {
        Self { kubernetes: arguments.kubernetes, containerd: arguments.containerd }
    }
}

fn default_directory() -> PathBuf {
    let named = std::env::var_os("ZASTAVA_E2E_DIRECTORY").filter(|directory| !directory.is_empty());
    named.map_or_else(usual_directory, PathBuf::from)
}

fn usual_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(".cluster")
}

fn replace_by(command: &mut std::process::Command) -> Result<(), Error> {
    let source = command.exec();
    Err(Error::Start { program: command.get_program().to_string_lossy().into_owned(), source })
}

fn guide(cluster: &Cluster) -> String {
    let (nodes, directory) = (cluster.nodes().join(", "), cluster.directory().display());
    let program = "cargo run --quiet -p zastava-e2e --";
    // The next shell may lack the variable that names another directory.
    let place = match cluster.directory() == usual_directory() {
        true => String::new(),
        false => format!(" --directory {directory}"),
    };
    let entering = cluster.entering();
    // A test runs each indented line in a fresh shell.
    format!(
        "Ready: {nodes}. Logs are in {directory}/logs.

In the repository's folder:
  {program} kubectl{place} get pods -A
  {program} import{place} target/images/*.tar    # made by cargo xtask images
  {program} shell{place}
  {program} down{place}

Without cargo, from any folder:
  {entering} kubectl get pods -A"
    )
}

fn say(text: &str) {
    // A closed terminal does not stop a build.
    let _ = writeln!(std::io::stdout(), "{text}");
}
