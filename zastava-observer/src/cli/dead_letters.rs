//! `dead-letters`: lists the events that Scanner refused for good, sends them again, or drops them.

use clap::{Args, Parser, Subcommand};
use zastava_core::contract::KindStyle;
use zastava_core::program::{ExitStatus, OwnCommand, Table};
use zastava_observer::{DeadLetter, DeadLetters, ObserverOptions, Selection};

use super::{fail, print};

pub(super) const NAME: &str = "dead-letters";
pub(super) const COMMAND: OwnCommand = OwnCommand {
    name: NAME,
    about: "Lists the events that Scanner refused for good, sends them again, or drops them",
    reads_configuration: true,
};

/// The arguments of the command.
#[derive(Debug, Parser)]
#[command(
    after_help = "Exits with 3 if no letter was meant. `resend` leaves the letters to the running observer, \
                        which sends them within a second; otherwise the next one does when it starts. Whatever \
                        Scanner refuses again becomes a dead letter again."
)]
pub(super) struct Arguments {
    #[command(subcommand)]
    act: Act,
}

#[derive(Debug, Subcommand)]
enum Act {
    /// Shows each letter: when, which event, and what Scanner said
    List {
        /// Prints a JSON array with the whole events
        #[arg(long)]
        json: bool,
    },
    /// Has letters sent again
    Resend(Chosen),
    /// Removes letters for good
    Drop(Chosen),
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Chosen {
    /// Ids that `list` shows, or their first characters
    ids: Vec<String>,
    /// Every letter
    #[arg(long)]
    all: bool,
    /// Prints a JSON array of what was sent or dropped
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments, options: &ObserverOptions) -> Result<ExitStatus, ExitStatus> {
    let letters =
        DeadLetters::new(options.publish.dead_letter_path.clone(), options.publish.dead_letter_bytes_max);
    let failed = |error: std::io::Error| fail(format_args!("{}: {error}", letters.path().display()));
    match &arguments.act {
        Act::List { json } => {
            let listed = letters.list().map_err(failed)?;
            show(&listed, *json, "there are no dead letters", |_| String::new())?;
            Ok(ExitStatus::Success)
        }
        Act::Resend(chosen) => {
            let moved = letters.resend(&chosen.selection()).map_err(failed)?;
            answer(&moved, chosen.json, |count| {
                format!(
                    "{count} to be sent again by the running observer, or by the next one when it starts\n"
                )
            })
        }
        Act::Drop(chosen) => {
            let removed = letters.remove(&chosen.selection()).map_err(failed)?;
            answer(&removed, chosen.json, |count| format!("{count} dropped\n"))
        }
    }
}

impl Chosen {
    fn selection(&self) -> Selection {
        if self.all { Selection::All } else { Selection::Ids(self.ids.clone()) }
    }
}

fn answer(
    letters: &[DeadLetter],
    json: bool,
    done: impl Fn(usize) -> String,
) -> Result<ExitStatus, ExitStatus> {
    show(letters, json, "no dead letter is meant", done)?;
    Ok(if letters.is_empty() { ExitStatus::NothingToDo } else { ExitStatus::Success })
}

fn show(
    letters: &[DeadLetter],
    json: bool,
    none: &str,
    done: impl Fn(usize) -> String,
) -> Result<(), ExitStatus> {
    if json {
        let text = serde_json::to_string_pretty(letters).map_err(fail)?;
        return print(format_args!("{text}\n"));
    }
    if letters.is_empty() {
        return print(format_args!("{none}\n"));
    }
    let mut table = Table::with_header(&["ID", "REFUSED AT", "KIND", "WORKLOAD", "REASON"]);
    for letter in letters {
        let event = letter.envelope().map(|envelope| envelope.event);
        let kind = event.as_ref().map_or("?", |event| event.kind.name(KindStyle::Pascal));
        let workload = event.and_then(|event| event.workload.container_id).unwrap_or_else(|| "?".to_owned());
        table.row([&letter.id, &letter.at.to_string(), kind, &workload, &letter.reason]);
    }
    print(format_args!("{table}{}", done(letters.len())))
}
