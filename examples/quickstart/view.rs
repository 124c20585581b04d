//! The same facts as text for the terminal and as HTML for the page.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use zastava_core::contract::{AdmissionDecisionEnvelope, Decision, RuntimeEvent, RuntimeEventEnvelope};
use zastava_sandbox::Counts;

/// Events that the terminal shows at once.
const ROWS_MAX: usize = 12;
/// Events that the page shows.
const PAGE_ROWS_MAX: usize = 500;

/// What Scanner and the webhook have reported so far.
pub(crate) struct Snapshot {
    counts: Counts,
    events: Vec<RuntimeEventEnvelope>,
    decisions: Vec<AdmissionDecisionEnvelope>,
}

impl Snapshot {
    pub(crate) fn new(
        counts: Counts,
        events: Vec<RuntimeEventEnvelope>,
        decisions: Vec<AdmissionDecisionEnvelope>,
    ) -> Self {
        Self { counts, events, decisions }
    }

    pub(crate) fn events_accepted(&self) -> usize {
        self.events.len()
    }

    pub(crate) fn events_after(&self, seen: usize) -> impl Iterator<Item = Row<'_>> {
        self.events.iter().skip(seen).map(|envelope| self.row(&envelope.event))
    }

    /// The event with the name of its program. A stop takes the name from its start.
    fn row<'a>(&'a self, event: &'a RuntimeEvent) -> Row<'a> {
        let program = |event: &'a RuntimeEvent| Some(event.process.as_ref()?.entrypoint.first()?.as_str());
        let start = || {
            let same = |other: &&RuntimeEventEnvelope| {
                other.event.workload.container_id == event.workload.container_id
            };
            self.events.iter().filter(same).find_map(|other| program(&other.event))
        };
        Row { event, program: program(event).or_else(start).unwrap_or("-") }
    }

    /// The steps of the first round that did not happen.
    pub(crate) fn missing(&self, failure: Option<&crate::Error>) -> Vec<String> {
        let mut missing: Vec<String> = failure.map(|error| crate::chain(&**error)).into_iter().collect();
        let decided = |name: &str, wanted: Decision| {
            let about = |envelope: &&AdmissionDecisionEnvelope| {
                envelope.decision.images.iter().any(|image| image.name.contains(name))
            };
            self.decisions.iter().find(about).is_some_and(|envelope| envelope.decision.decision == wanted)
        };
        let inspected = |envelope: &RuntimeEventEnvelope| {
            envelope.event.process.as_ref().is_some_and(|process| process.build_id.is_some())
        };
        for (happened, step) in [
            (self.counts.tokens_issued > 0, "Authority issued no token"),
            (
                self.counts.events_accepted > 0,
                "Scanner accepted no event: does any workload run? --engine host shows processes",
            ),
            (self.events.iter().any(inspected), "no event carries a build-id"),
            (decided("/signed@", Decision::Allow), "the signed image was not allowed"),
            (decided("/unsigned@", Decision::Deny), "the unsigned image was not denied"),
        ] {
            if !happened {
                missing.push(step.to_owned());
            }
        }
        missing
    }

    fn kinds(&self) -> BTreeMap<String, usize> {
        let mut kinds = BTreeMap::new();
        for envelope in &self.events {
            *kinds.entry(envelope.event.kind.to_string()).or_default() += 1;
        }
        kinds
    }

    /// The engine that the last event came from.
    fn engine(&self) -> String {
        self.events
            .last()
            .map_or_else(|| "none yet".to_owned(), |envelope| envelope.event.engine.name.to_string())
    }

    fn libraries(&self) -> usize {
        self.events.iter().map(|envelope| envelope.event.loaded_libs.len()).sum()
    }

    /// The summary for a terminal; `colour` only where a person looks.
    pub(crate) fn terminal(&self, colour: bool) -> String {
        let bold = |text: &str| if colour { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() };
        let mut out = String::new();
        let counts = &self.counts;
        // Writing to a `String` cannot fail.
        let _ = writeln!(
            out,
            "{}     {} issued by Authority, each bound to a key (DPoP)",
            bold("Tokens"),
            counts.tokens_issued
        );
        let kinds: Vec<_> = self.kinds().into_iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let _ = writeln!(
            out,
            "{}     {} accepted by Scanner ({}), {} repeated; {} libraries seen; engine {}",
            bold("Events"),
            counts.events_accepted,
            kinds.join(", "),
            counts.events_duplicate,
            self.libraries(),
            self.engine(),
        );
        let _ = writeln!(out, "\n  {}", bold(&Row::heading()));
        // Events with a build-id first, then those with the most libraries.
        let mut events: Vec<&RuntimeEvent> = self.events.iter().map(|envelope| &envelope.event).collect();
        events.sort_by_key(|event| {
            let build_id = event.process.as_ref().is_some_and(|process| process.build_id.is_some());
            (!build_id, std::cmp::Reverse(event.loaded_libs.len()))
        });
        for event in events.iter().take(ROWS_MAX) {
            let _ = writeln!(out, "  {}", self.row(event));
        }
        if events.len() > ROWS_MAX {
            let _ = writeln!(out, "  and {} more", events.len() - ROWS_MAX);
        }
        let _ = writeln!(out, "\n{}", bold("Decisions"));
        for envelope in &self.decisions {
            for image in &envelope.decision.images {
                let _ = writeln!(
                    out,
                    "  {:<6} {}  {}",
                    envelope.decision.decision.to_string(),
                    shortened(&image.name, 60),
                    reasons(image.policy_verdict.name(), &image.reasons),
                );
            }
        }
        out
    }

    /// The status page: plain HTML that reloads itself.
    pub(crate) fn html(&self) -> String {
        let mut out = String::from(PAGE_HEAD);
        let kinds: Vec<_> = self.kinds().into_iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let _ = write!(
            out,
            "<p>Engine: <b>{}</b>. Tokens issued: <b>{}</b>. Events accepted by Scanner: <b>{}</b> ({}), {} repeated. \
             Libraries seen: {}. Policy requests: {}. <a href=\"/metrics\">Metrics</a></p>",
            escaped(&self.engine()),
            self.counts.tokens_issued,
            self.counts.events_accepted,
            escaped(&kinds.join(", ")),
            self.counts.events_duplicate,
            self.libraries(),
            self.counts.policy_requests,
        );
        out.push_str("<h2>Decisions</h2><table><tr><th>decision<th>image<th>why");
        for envelope in &self.decisions {
            for image in &envelope.decision.images {
                let _ = write!(
                    out,
                    "<tr><td class={0}>{0}<td class=wide>{1}<td class=wide>{2}",
                    envelope.decision.decision,
                    escaped(&image.name),
                    escaped(&reasons(image.policy_verdict.name(), &image.reasons)),
                );
            }
        }
        out.push_str("</table><h2>Events, newest first</h2><table><tr><th>UTC<th>kind<th>process<th class=number>pid<th>build-id<th class=number>libraries<th>workload");
        for envelope in self.events.iter().rev().take(PAGE_ROWS_MAX) {
            let row = self.row(&envelope.event);
            let _ = write!(
                out,
                "<tr><td>{}<td>{}<td class=wide>{}<td class=number>{}<td><code>{}</code><td class=number>{}<td class=wide>{}",
                row.time(),
                envelope.event.kind,
                escaped(row.program),
                row.pid(),
                escaped(row.build_id()),
                envelope.event.loaded_libs.len(),
                escaped(&row.workload()),
            );
        }
        out.push_str("</table>\n");
        out
    }
}

/// One event as one line.
pub(crate) struct Row<'a> {
    event: &'a RuntimeEvent,
    program: &'a str,
}

impl Row<'_> {
    fn heading() -> String {
        format!(
            "{:<8}  {:<14}  {:<28}  {:>7}  {:<14}  {:>4}  {}",
            "UTC", "KIND", "PROCESS", "PID", "BUILD-ID", "LIBS", "WORKLOAD"
        )
    }

    /// Hours, minutes and seconds in UTC.
    fn time(&self) -> String {
        self.event.when.to_string().chars().skip(11).take(8).collect()
    }

    fn pid(&self) -> String {
        self.event.process.as_ref().map_or_else(|| "-".to_owned(), |process| process.pid.to_string())
    }

    fn build_id(&self) -> &str {
        self.event.process.as_ref().and_then(|process| process.build_id.as_deref()).unwrap_or("-")
    }

    fn workload(&self) -> String {
        let workload = &self.event.workload;
        let owner = workload.owner.as_ref().map(|owner| format!("{} {}", owner.kind, owner.name));
        let container = workload.container.clone().or_else(|| workload.container_id.clone());
        owner.or(container).unwrap_or_default()
    }
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<8}  {:<14}  {:<28}  {:>7}  {:<14}  {:>4}  {}",
            self.time(),
            self.event.kind.to_string(),
            shortened_front(self.program, 28),
            self.pid(),
            shortened(self.build_id(), 13),
            self.event.loaded_libs.len(),
            shortened(&self.workload(), 40),
        )
    }
}

fn reasons(verdict: &str, reasons: &[String]) -> String {
    if reasons.is_empty() { verdict.to_owned() } else { format!("{verdict}: {}", reasons.join("; ")) }
}

/// Keeps the end, which says more about a path than its beginning.
fn shortened_front(text: &str, length_max: usize) -> String {
    let reversed = |text: &str| text.chars().rev().collect::<String>();
    reversed(&shortened(&reversed(text), length_max))
}

/// Foreign text in one line of bounded length, control characters escaped.
fn shortened(text: &str, length_max: usize) -> String {
    let clean: Vec<char> = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    match clean.len() {
        length if length <= length_max => clean.into_iter().collect(),
        _ => clean.into_iter().take(length_max - 1).chain(['…']).collect(),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

const PAGE_HEAD: &str = "<!doctype html><html lang=en><meta charset=utf-8><meta http-equiv=refresh content=2>\
<meta name=viewport content=\"width=device-width\"><title>Zastava quickstart</title><style>\
body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color:#1c2733}\
h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem}table{border-collapse:collapse;width:100%}\
th{text-align:left;font-weight:600;color:#5b6b7b}th,td{padding:.25rem .75rem .25rem 0;border-bottom:1px solid #e3e8ee;\
vertical-align:top;white-space:nowrap}.wide{white-space:normal;overflow-wrap:anywhere}.number{text-align:right}code{font-size:.85em}.Allow{color:#0a7a3d;font-weight:600}\
.Deny{color:#b3261e;font-weight:600}</style><h1>Zastava quickstart</h1>\n";
