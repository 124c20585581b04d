//! `zastava-webhook status`: what the running webhook says about itself, for a person.

use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;

use clap::Parser;
use serde_json::Value;
use zastava_admission::WebhookOptions;
use zastava_core::program::{ExitStatus, Invocation, OwnCommand, RunningProgram, Table, said};

use super::{parse, print};

pub(super) const NAME: &str = "status";
pub(super) const COMMAND: OwnCommand = OwnCommand {
    name: NAME,
    about: "Prints what the running webhook says about itself; exits with 0 if it is well",
    reads_configuration: true,
};

#[derive(Debug, Parser)]
#[command(
    after_help = "Exits with 0 if the webhook is well, with 4 if it runs and a check warns or fails, and with 1 \
                        if no webhook answers."
)]
struct Arguments {
    /// Prints JSON
    #[arg(long)]
    json: bool,
    /// Where the webhook serves probes and metrics [default: zastava.webhook.health.listen]
    #[arg(long, value_name = "IP:PORT")]
    address: Option<SocketAddr>,
}

/// Runs the command.
pub(super) fn run(
    program: &str,
    arguments: Vec<OsString>,
    invocation: &Invocation,
) -> Result<ExitStatus, ExitStatus> {
    let Arguments { json, address } = parse(program, NAME, arguments)?;
    let (options, _) = invocation.options(WebhookOptions::read)?;
    let webhook = RunningProgram::ask(program, address, options.health.listen).map_err(|error| {
        print(std::io::stderr(), &format!("{program}: {error}\n"));
        ExitStatus::Failure
    })?;
    let text = if json { format!("{:#}\n", webhook.json()) } else { Report(&webhook).to_string() };
    print(std::io::stdout(), &text);
    Ok(if webhook.is_well() { ExitStatus::Success } else { ExitStatus::NotWell })
}

/// `/status` as tables.
struct Report<'a>(&'a RunningProgram);

impl Report<'_> {
    fn enforcement(&self) -> &'static str {
        match self.0.member("/admission/enforce") {
            Some(Value::Bool(true)) => "denials deny",
            Some(Value::Bool(false)) => "NOTHING IS DENIED: a denial is a warning",
            _ => "-",
        }
    }

    /// Namespaces in which something else holds.
    fn exceptions(&self) -> Option<Table> {
        let entries = |pointer| self.0.member(pointer).and_then(Value::as_array).into_iter().flatten();
        let mut table =
            Table::with_header(&["NAMESPACE", "WHAT HOLDS", "STATE", "UNTIL", "REVIEWS", "TICKET, REASON"]);
        let mut is_empty = true;
        for (pointer, is_open) in [("/admission/namespaces", false), ("/admission/failOpenNamespaces", true)]
        {
            for entry in entries(pointer) {
                is_empty = false;
                let what = match (is_open, &entry["enforce"]) {
                    (true, _) => "fails open",
                    (false, Value::Bool(true)) => "denials deny",
                    (false, _) => "denials are warnings",
                };
                let why = [&entry["ticket"], &entry["reason"]].into_iter().filter(|why| !why.is_null());
                let why: Vec<_> = why.map(said).collect();
                let [name, state, until, reviews] =
                    ["name", "state", "until", "reviews"].map(|member| said(&entry[member]));
                table.row([&name, what, &state, &until, &reviews, &why.join(", ")]);
            }
        }
        (!is_empty).then_some(table)
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut summary = Table::default();
        summary.row(["webhook", &self.0.summary()]);
        summary.row(["enforcement", self.enforcement()]);
        write!(f, "{summary}\nCHECKS\n{}", self.0.checks())?;
        if let Some(exceptions) = self.exceptions() {
            write!(f, "\nEXCEPTIONS\n{exceptions}")?;
        }
        if let Some(tokens) = self.0.members("/authority") {
            write!(f, "\nTOKENS\n{tokens}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_person_reads_what_holds_in_which_namespace() {
        let status = json!({"version": "1.0.0", "commit": "abc", "authority": {"requireDpop": true}, "admission": {
            "enforce": false,
            "namespaces": [
                {"name": "shop", "enforce": false, "until": "2027-01-01T00:00:00Z", "reason": "a\u{1b}[2J", "ticket": "OPS-17",
                    "state": "in effect", "reviews": 3},
            ],
            "failOpenNamespaces": [{"name": "batch", "until": null, "state": "in effect", "reviews": 0}],
        }});
        let ready = "[+] certificate ok\n[-] reviews failed: shutting down\n";
        let text = Report(&RunningProgram::new(ready, status)).to_string();
        for wanted in [
            "webhook      1.0.0 (abc): not ready",
            "NOTHING IS DENIED",
            "reviews      FAILS  shutting down",
            "shop       denials are warnings  in effect  2027-01-01T00:00:00Z  3        OPS-17, a\\u{1b}[2J",
            "batch      fails open            in effect  -                     0",
            "requireDpop  true",
        ] {
            assert!(text.contains(wanted), "{wanted} is missing in\n{text}");
        }
    }
}
