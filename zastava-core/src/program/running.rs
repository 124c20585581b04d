//! What a running program says of itself, asked through its listener for probes: for the command `status`.

mod http;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use serde_json::{Value, json};

use self::http::{AskError, ask};
use super::{Table, with_causes};

/// The lines of a program's readiness, and its `/status`.
#[derive(Clone, Debug)]
pub struct RunningProgram {
    checks: Vec<CheckLine>,
    status: Value,
}

/// Why nothing can be said of a running program. The text says what to look at.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RunningProgramError(String);

/// One line of readiness: a state, the check's name, and what is said of it.
#[derive(Clone, Debug)]
struct CheckLine {
    state: State,
    name: String,
    words: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ok,
    Warns,
    Fails,
}

impl RunningProgram {
    /// Asks the program of that name at `address`, or else where the option `health.listen` has it listen on this machine.
    /// Blocks, for some seconds at most.
    ///
    /// # Errors
    /// Nobody answers there, or another program does.
    pub fn ask(
        program: &str,
        address: Option<SocketAddr>,
        listen: SocketAddr,
    ) -> Result<Self, RunningProgramError> {
        let asked = address.map_or_else(|| local(listen), Ok).and_then(|address| fetch(program, address));
        asked.map(|(ready, status)| Self::new(&ready, status)).map_err(RunningProgramError)
    }

    /// Of the lines of readiness and `/status`.
    #[must_use]
    pub fn new(ready: &str, status: Value) -> Self {
        Self { checks: ready.lines().filter_map(CheckLine::read).collect(), status }
    }

    /// Whether no check warns or fails.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.checks.iter().all(|check| check.state == State::Ok)
    }

    /// Whether no check fails.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.checks.iter().all(|check| check.state != State::Fails)
    }

    /// Release, commit and state in one line.
    #[must_use]
    pub fn summary(&self) -> String {
        let state = match (self.is_well(), self.is_ready()) {
            (true, _) => "well",
            (false, true) => "runs, with warnings",
            (false, false) => "not ready",
        };
        format!("{} ({}): {state}", self.text("/version"), self.text("/commit"))
    }

    /// One row for each check.
    #[must_use]
    pub fn checks(&self) -> Table {
        let mut table = Table::default();
        for CheckLine { state, name, words } in &self.checks {
            let state = match state {
                State::Ok => "ok",
                State::Warns => "WARNS",
                State::Fails => "FAILS",
            };
            table.row([name.as_str(), state, words]);
        }
        table
    }

    /// The member of `/status` at a JSON pointer.
    #[must_use]
    pub fn member(&self, pointer: &str) -> Option<&Value> {
        self.status.pointer(pointer)
    }

    /// The same in words; a hyphen where there is none.
    #[must_use]
    pub fn text(&self, pointer: &str) -> String {
        said(self.member(pointer).unwrap_or(&Value::Null))
    }

    /// One row for each member of the object at a JSON pointer; none where there is no member.
    #[must_use]
    pub fn members(&self, pointer: &str) -> Option<Table> {
        let members = self.member(pointer)?.as_object().filter(|members| !members.is_empty())?;
        let mut table = Table::default();
        for (name, value) in members {
            table.row([name, &said(value)]);
        }
        Some(table)
    }

    /// `/status`, with `ready` and `well`, which follow from the checks.
    #[must_use]
    pub fn json(&self) -> Value {
        let mut json = self.status.clone();
        (json["ready"], json["well"]) = (json!(self.is_ready()), json!(self.is_well()));
        json
    }
}

impl CheckLine {
    /// Reads `[+] name ok`, `[!] name ok, but: reason`, `[-] name failed: reason`.
    fn read(line: &str) -> Option<Self> {
        let (mark, rest) = line.split_at_checked(4)?;
        let (state, between) = match mark {
            "[+] " => (State::Ok, " ok"),
            "[!] " => (State::Warns, " ok, but: "),
            "[-] " => (State::Fails, " failed: "),
            _ => return None,
        };
        let (name, words) = rest.split_once(between)?;
        Some(Self { state, name: name.to_owned(), words: words.to_owned() })
    }
}

/// A JSON value in words: `a 1, b 2` for an object, and a hyphen for nothing.
#[must_use]
pub fn said(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Object(members) if members.is_empty() => "-".to_owned(),
        Value::Object(members) => {
            let pairs = members.iter().map(|(name, value)| format!("{name} {}", said(value)));
            pairs.collect::<Vec<_>>().join(", ")
        }
        Value::Array(values) if values.is_empty() => "none".to_owned(),
        Value::Array(values) => values.iter().map(said).collect::<Vec<_>>().join("; "),
        other => other.to_string(),
    }
}

/// Where a listener of this machine is reached.
fn local(listen: SocketAddr) -> Result<SocketAddr, String> {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    match listen.port() {
        0 => Err(
            "health.listen leaves the port to the system; --address names it, and the program's log has it \
                  in the line \"probes and metrics are answered\""
                .to_owned(),
        ),
        port => Ok(SocketAddr::new(ip, port)),
    }
}

/// The lines of readiness, and `/status`.
fn fetch(program: &str, address: SocketAddr) -> Result<(String, Value), String> {
    let explain = |error: AskError| {
        let hint = match error {
            AskError::Silent(..) => format!(
                "; does the {} run on this node, and does it listen there (health.listen, or --address)?",
                program.trim_start_matches("zastava-")
            ),
            AskError::NoHttp(_) => "; another program has that port (health.listen, or --address)".to_owned(),
        };
        with_causes(&error) + &hint
    };
    let answer = ask(address, "/status").map_err(explain)?;
    let status: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    match status["program"].as_str() {
        Some(found) if found == program && answer.status == 200 => {}
        Some(other) if other != program => {
            return Err(format!("{} answers at {address}, and not {program}", other.escape_debug()));
        }
        _ => {
            return Err(format!(
                "what answers at {address} is no {program}: GET /status gave status {} without its name",
                answer.status
            ));
        }
    }
    let ready = ask(address, "/healthz/ready").map_err(explain)?;
    Ok((String::from_utf8_lossy(&ready.body).into_owned(), status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readiness_decides_how_it_is() {
        let of = |ready: &str| RunningProgram::new(ready, json!({"version": "1.0.0", "commit": "abc"}));
        let well = of("[+] source ok\n");
        assert!(well.is_well() && well.is_ready());
        assert_eq!(well.summary(), "1.0.0 (abc): well");
        let warned = of("[+] source ok\n[!] buffer ok, but: disk full\n");
        assert!(!warned.is_well() && warned.is_ready());
        let failing = of("[-] source failed: containerd: gone\n[!] buffer ok, but: disk full\n");
        assert!(!failing.is_well() && !failing.is_ready());
        assert_eq!((&failing.json()["ready"], &failing.json()["well"]), (&json!(false), &json!(false)));
        let checks = failing.checks().to_string();
        assert!(checks.contains("source  FAILS  containerd: gone"), "{checks}");
    }

    #[test]
    fn values_are_said_in_words() {
        for (value, words) in [
            (json!(null), "-"),
            (json!({}), "-"),
            (json!([]), "none"),
            (json!({"a": 1, "b": ["x", {"c": true}]}), "a 1, b x; c true"),
        ] {
            assert_eq!(said(&value), words);
        }
    }
}
