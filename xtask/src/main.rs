//! `cargo xtask`: builds releases of Zastava.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Parser, Subcommand};
use xtask::images::Platform;
use xtask::images::{self, CaBundle, Options};
use xtask::workspace::Workspace;
use xtask::{Error, sizes};

/// Builds releases of Zastava
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Builds the programs statically and writes an OCI image archive of each, and images.json
    Images(ImagesArguments),
    /// Starts the programs that `images` built, and prints the memory of each once it is ready
    Sizes(SizesArguments),
}

#[derive(Debug, Args)]
struct ImagesArguments {
    /// The folder to write to [default: images in cargo's target folder]
    #[arg(long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// The platforms, separated by commas; one without a toolchain here is left out
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_values_t = Platform::ALL)]
    platform: Vec<Platform>,
    /// Registry and path of the images' names
    #[arg(long, value_name = "NAME", default_value = "registry.internal/zastava")]
    repository: String,
    /// The images' tag [default: the workspace's version]
    #[arg(long, value_name = "TAG")]
    tag: Option<String>,
    /// A PEM file of the certificate authorities the images trust, or none [default: the machine's]
    #[arg(long, value_name = "FILE|none")]
    ca_bundle: Option<PathBuf>,
    /// Builds again from a copy of the source in another folder, and compares the digests
    #[arg(long)]
    check_reproducible: bool,
}

#[derive(Debug, Args)]
struct SizesArguments {
    /// The folder of the programs [default: those for this machine that `images` wrote]
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.command {
        Command::Images(arguments) => write_images(arguments),
        Command::Sizes(arguments) => print_sizes(arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let causes =
                std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
            let text = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
            let _ = writeln!(std::io::stderr(), "xtask: {text}");
            ExitCode::FAILURE
        }
    }
}

fn write_images(arguments: ImagesArguments) -> Result<(), Error> {
    let workspace = Workspace::open(Path::new("."))?;
    let check = arguments.check_reproducible;
    let options = arguments.over(Options::new(&workspace));
    let began = Instant::now();
    let report = images::write(&workspace, &options)?;
    print(&report.to_string());
    print(&format!("\nwritten to {} in {} s\n", options.output.display(), began.elapsed().as_secs()));
    if check {
        let began = Instant::now();
        images::check_reproducible(&workspace, &options, &report)?;
        print(&format!(
            "another build from another folder has the same digests ({} s)\n",
            began.elapsed().as_secs()
        ));
    }
    Ok(())
}

fn print_sizes(arguments: SizesArguments) -> Result<(), Error> {
    let workspace = Workspace::open(Path::new("."))?;
    let programs = arguments.programs.unwrap_or_else(|| images::programs_here(&workspace));
    let scratch = workspace.target.join("sizes");
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    for size in sizes::measure(&programs, &scratch)? {
        print(&format!(
            "{:<17} program {:5.1} MB, resident {:5.1} MB, at most {:5.1} MB\n",
            size.name,
            megabytes(size.program_bytes),
            megabytes(size.resident_bytes),
            megabytes(size.peak_bytes)
        ));
    }
    Ok(())
}

impl ImagesArguments {
    fn over(self, mut options: Options) -> Options {
        options.platforms = self.platform;
        options.repository = self.repository;
        options.output = self.output.unwrap_or(options.output);
        options.tag = self.tag.unwrap_or(options.tag);
        options.ca_bundle = match self.ca_bundle {
            None => CaBundle::Machine,
            Some(path) if path.as_os_str() == "none" => CaBundle::None,
            Some(path) => CaBundle::File(path),
        };
        options
    }
}

/// A closed standard output is no failure of the command.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}
