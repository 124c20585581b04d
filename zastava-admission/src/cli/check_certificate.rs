//! `zastava-webhook check-certificate`: whether API servers would accept a serving certificate.
//!
//! The chart runs it before an installation, an upgrade or a rollback. A webhook that API servers do not
//! trust blocks every Pod, so the change is refused while nothing has changed yet.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Parser;
use zastava_admission::{TlsOptions, check_certificate};
use zastava_core::program::{ExitStatus, OwnCommand};

use super::{parse, print, with_causes};

pub(super) const NAME: &str = "check-certificate";
pub(super) const COMMAND: OwnCommand = OwnCommand {
    name: NAME,
    about: "Checks a serving certificate as API servers check it",
    reads_configuration: false,
};

#[derive(Debug, Parser)]
struct Arguments {
    /// A name by which API servers call the webhook; repeatable
    #[arg(long = "name", value_name = "NAME", required = true)]
    names: Vec<String>,
    /// PEM file of the certificate chain, leaf first [default: where the chart mounts it]
    #[arg(long, value_name = "FILE")]
    certificate: Option<PathBuf>,
    /// PEM file of the certificate's key [default: where the chart mounts it]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// PEM file of the CA bundle that the registration holds [default: where the chart mounts it]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// What to print below the reasons for which API servers would refuse the certificate
    #[arg(long, value_name = "TEXT")]
    advice: Option<String>,
}

/// Runs the command.
pub(super) fn run(program: &str, arguments: Vec<OsString>) -> Result<ExitStatus, ExitStatus> {
    let Arguments { names, certificate, key, ca, advice } = parse(program, NAME, arguments)?;
    let mut options = TlsOptions::default();
    options.server_names = names;
    options.certificate_path = certificate.unwrap_or(options.certificate_path);
    options.private_key_path = key.unwrap_or(options.private_key_path);
    options.ca_bundle_path = ca.unwrap_or(options.ca_bundle_path);
    match check_certificate(&options) {
        Ok(end) => {
            let path = options.certificate_path.display();
            print(std::io::stdout(), &format!("API servers accept {path} until {end}\n"));
            Ok(ExitStatus::Success)
        }
        Err(error) => {
            let advice = advice.map(|advice| format!("{advice}\n")).unwrap_or_default();
            print(std::io::stderr(), &format!("{}\n{advice}", with_causes(&error)));
            Ok(ExitStatus::Failure)
        }
    }
}
