//! `/status` as tables.

use std::fmt;

use zastava_core::program::{RunningProgram, Table, said};

/// How the observer is, and why.
#[derive(Debug)]
pub(super) struct Report<'a>(pub(super) &'a RunningProgram);

impl Report<'_> {
    fn summary(&self) -> Table {
        let text = |pointer| self.0.text(pointer);
        let mut table = Table::default();
        table.row(["observer", &self.0.summary()]);
        table.row(["engine", &text("/observer/engine")]);
        table.row(["workloads", &text("/observer/workloads")]);
        let failure = text("/observer/scannerFailure");
        table.row(["scanner", if failure == "-" { "takes events" } else { &failure }]);
        let dead = format!("{} in {}", text("/deadLetters/count"), text("/deadLetters/path"));
        table.row(["dead letters", &dead]);
        table
    }

    fn buffer(&self) -> Table {
        let mut table = Table::default();
        let of = |name: &str| self.0.text(&format!("/buffer/{name}"));
        table.row(["disk", &of("disk")]);
        table.row(["events", &format!("{} live, {} in the backlog", of("live"), of("backlog"))]);
        table.row(["bytes", &format!("{} of {}", of("bytes"), of("bytesMax"))]);
        table.row(["oldest", &format!("{} s", of("oldestSeconds"))]);
        table.row(["sent at most", &format!("{} a second", of("eventsPerSecond"))]);
        table
    }

    fn accounting(&self) -> Table {
        let mut table = Table::default();
        for name in ["observed", "delivered", "duplicate", "buffered", "dropped"] {
            table.row([name, &self.0.text(&format!("/observer/accounting/{name}"))]);
        }
        table
    }

    fn events(&self) -> Option<Table> {
        let events = self.0.member("/lastEvents")?.as_array().filter(|events| !events.is_empty())?;
        let mut table = Table::with_header(&["AT", "KIND", "WORKLOAD", "IMAGE OR PROGRAM"]);
        for event in events {
            table.row(["at", "kind", "workload", "what"].map(|name| said(&event[name])));
        }
        Some(table)
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\nCHECKS\n{}", self.summary(), self.0.checks())?;
        write!(f, "\nBUFFER\n{}\nEVENTS\n{}", self.buffer(), self.accounting())?;
        let parts = [("SELF-TEST", "/selfTest"), ("TOKENS", "/authority"), ("FILES THAT HANG", "/reads")];
        for (title, pointer) in parts {
            if let Some(table) = self.0.members(pointer) {
                write!(f, "\n{title}\n{table}")?;
            }
        }
        if let Some(table) = self.events() {
            write!(f, "\nLAST EVENTS\n{table}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn observer(events: Value) -> RunningProgram {
        let status = json!({
            "version": "1.0.0", "commit": "abc",
            "observer": {
                "engine": "containerd", "workloads": {"containerd": 7}, "scannerFailure": null,
                "accounting": {"observed": 9, "delivered": 6, "duplicate": 1, "buffered": 1, "dropped": {"evicted": 1}},
            },
            "lastEvents": events,
        });
        RunningProgram::new("[+] source ok\n", status)
    }

    #[test]
    fn a_person_reads_counts_losses_and_last_events() {
        let event = json!({"at": "now", "kind": "ContainerStart", "workload": "containerd://a\u{1b}[2J", "what": "x"});
        let text = Report(&observer(json!([event]))).to_string();
        for wanted in
            ["1.0.0 (abc): well", "containerd 7", "dropped    evicted 1", "takes events", "a\\u{1b}[2J"]
        {
            assert!(text.contains(wanted), "{wanted} is missing in\n{text}");
        }
        assert!(!Report(&observer(json!([]))).to_string().contains("LAST EVENTS"));
    }
}
