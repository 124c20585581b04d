//! `/status` as tables.

use std::fmt;

use serde_json::{Value, json};

use super::super::table::Table;

/// How the observer is, and why.
#[derive(Debug)]
pub(super) struct Report {
    /// The state of each check, its name and what is said of it.
    checks: Vec<(State, String, String)>,
    status: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ok,
    Warns,
    Fails,
}

impl Report {
    /// Of the lines of readiness and `/status`.
    pub(super) fn new(ready: &str, status: Value) -> Self {
        Self { checks: ready.lines().filter_map(check).collect(), status }
    }

    /// Whether no check warns or fails.
    pub(super) fn is_well(&self) -> bool {
        self.checks.iter().all(|(state, ..)| *state == State::Ok)
    }

    fn is_ready(&self) -> bool {
        self.checks.iter().all(|(state, ..)| *state != State::Fails)
    }

    /// `/status` with what follows from readiness.
    pub(super) fn json(&self) -> Value {
        let mut json = self.status.clone();
        (json["ready"], json["well"]) = (json!(self.is_ready()), json!(self.is_well()));
        json
    }

    fn text(&self, path: &str) -> String {
        match self.status.pointer(path) {
            None | Some(Value::Null) => "-".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }

    fn summary(&self) -> Table {
        let mut table = Table::default();
        let state = match (self.is_well(), self.is_ready()) {
            (true, _) => "well",
            (false, true) => "runs, with warnings",
            (false, false) => "not ready",
        };
        table.row(["observer", &format!("{} ({}): {state}", self.text("/version"), self.text("/commit"))]);
        table.row(["engine", &self.text("/observer/engine")]);
        table.row(["workloads", &pairs(self.status.pointer("/observer/workloads"))]);
        let failure = self.text("/observer/scannerFailure");
        table.row(["scanner", if failure == "-" { "takes events" } else { &failure }]);
        let dead = format!("{} in {}", self.text("/deadLetters/count"), self.text("/deadLetters/path"));
        table.row(["dead letters", &dead]);
        table
    }

    fn buffer(&self) -> Table {
        let mut table = Table::default();
        let of = |name: &str| self.text(&format!("/buffer/{name}"));
        table.row(["disk", &of("disk")]);
        table.row(["events", &format!("{} live, {} in the backlog", of("live"), of("backlog"))]);
        table.row(["bytes", &format!("{} of {}", of("bytes"), of("bytesMax"))]);
        table.row(["oldest", &format!("{} s", of("oldestSeconds"))]);
        table.row(["sent at most", &format!("{} a second", of("eventsPerSecond"))]);
        table
    }

    fn accounting(&self) -> Table {
        let mut table = Table::default();
        let accounting = self.status.pointer("/observer/accounting");
        for name in ["observed", "delivered", "duplicate", "buffered"] {
            table.row([name, &self.text(&format!("/observer/accounting/{name}"))]);
        }
        table.row(["dropped", &pairs(accounting.and_then(|accounting| accounting.get("dropped")))]);
        table
    }

    /// One row for each member, with what its value says.
    fn members(&self, path: &str) -> Option<Table> {
        let members = self.status.pointer(path)?.as_object().filter(|members| !members.is_empty())?;
        let mut table = Table::default();
        for (name, value) in members {
            table.row([name, &said(value)]);
        }
        Some(table)
    }

    fn events(&self) -> Option<Table> {
        let events = self.status.pointer("/lastEvents")?.as_array().filter(|events| !events.is_empty())?;
        let mut table = Table::with_header(&["AT", "KIND", "WORKLOAD", "IMAGE OR PROGRAM"]);
        for event in events {
            table.row(["at", "kind", "workload", "what"].map(|name| said(&event[name])));
        }
        Some(table)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.summary())?;
        let mut checks = Table::default();
        for (state, name, words) in &self.checks {
            let state = match state {
                State::Ok => "ok",
                State::Warns => "WARNS",
                State::Fails => "FAILS",
            };
            checks.row([name, state, words]);
        }
        write!(f, "\nCHECKS\n{checks}\nBUFFER\n{}\nEVENTS\n{}", self.buffer(), self.accounting())?;
        let parts = [("SELF-TEST", "/selfTest"), ("TOKENS", "/authority"), ("FILES THAT HANG", "/reads")];
        for (title, path) in parts {
            if let Some(table) = self.members(path) {
                write!(f, "\n{title}\n{table}")?;
            }
        }
        if let Some(table) = self.events() {
            write!(f, "\nLAST EVENTS\n{table}")?;
        }
        Ok(())
    }
}

/// Reads `[+] name ok`, `[!] name ok, but: reason`, `[-] name failed: reason`.
fn check(line: &str) -> Option<(State, String, String)> {
    let (mark, rest) = line.split_at_checked(4)?;
    let (state, between) = match mark {
        "[+] " => (State::Ok, " ok"),
        "[!] " => (State::Warns, " ok, but: "),
        "[-] " => (State::Fails, " failed: "),
        _ => return None,
    };
    let (name, words) = rest.split_once(between)?;
    Some((state, name.to_owned(), words.to_owned()))
}

/// `a 1, b 2`, or a hyphen.
fn pairs(value: Option<&Value>) -> String {
    let members = value.and_then(Value::as_object).into_iter().flatten();
    let pairs: Vec<String> = members.map(|(name, value)| format!("{name} {}", said(value))).collect();
    if pairs.is_empty() { "-".to_owned() } else { pairs.join(", ") }
}

/// A value in words.
fn said(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Object(_) => pairs(Some(value)),
        Value::Array(values) if values.is_empty() => "none".to_owned(),
        Value::Array(values) => values.iter().map(said).collect::<Vec<_>>().join("; "),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(ready: &str) -> Report {
        let status = json!({
            "version": "1.0.0", "commit": "abc",
            "observer": {
                "engine": "containerd", "workloads": {"containerd": 7}, "scannerFailure": null,
                "accounting": {"observed": 9, "delivered": 6, "duplicate": 1, "buffered": 1, "dropped": {"evicted": 1}},
            },
            "lastEvents": [{"at": "now", "kind": "ContainerStart", "workload": "containerd://a\u{1b}[2J", "what": "x"}],
        });
        Report::new(ready, status)
    }

    #[test]
    fn readiness_decides_how_it_is() {
        let well = report("[+] source ok\n");
        assert!(well.is_well() && well.is_ready());
        let warned = report("[+] source ok\n[!] buffer ok, but: disk full\n");
        assert!(!warned.is_well() && warned.is_ready());
        let failing = report("[-] source failed: containerd: gone\n[!] buffer ok, but: disk full\n");
        assert!(!failing.is_well() && !failing.is_ready());
        assert_eq!((&failing.json()["ready"], &failing.json()["well"]), (&json!(false), &json!(false)));
        assert!(failing.to_string().contains("source  FAILS  containerd: gone"), "{failing}");
    }

    #[test]
    fn a_person_reads_counts_losses_and_last_events() {
        let text = report("[+] source ok\n").to_string();
        for wanted in
            ["1.0.0 (abc): well", "containerd 7", "dropped    evicted 1", "takes events", "a\\u{1b}[2J"]
        {
            assert!(text.contains(wanted), "{wanted} is missing in\n{text}");
        }
    }
}
