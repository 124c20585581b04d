//! The answers as a table or as JSON lines. What files say about themselves cannot steer a terminal.

use std::fmt::{self, Write as _};
use std::io;

use serde_json::{Value, json};
use zastava_elf::{Error, Identity};

use crate::subject::Answer;

pub(crate) struct Writer<'o> {
    out: &'o mut dyn io::Write,
    json: bool,
    /// Whether the table has the column of debug files.
    has_store: bool,
    has_header: bool,
}

impl<'o> Writer<'o> {
    pub(crate) fn new(json: bool, has_store: bool, out: &'o mut dyn io::Write) -> Self {
        Self { out, json, has_store, has_header: false }
    }

    pub(crate) fn identity(
        &mut self,
        answer: &Answer,
        identity: &Identity,
        debug: Option<&'static str>,
    ) -> io::Result<()> {
        if self.json {
            return writeln!(self.out, "{}", object(answer, identity, debug));
        }
        let id = identity.build_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
        let other = match (&identity.go_build_id, identity.header) {
            _ if identity.build_id.is_some_and(|id| id.is_degenerate()) => "degenerate ",
            (Some(_), _) if identity.build_id.is_none() => "go ",
            _ => "",
        };
        let header = identity.header.map(|header| format!("{} {}", header.machine, header.file_type));
        let debug = match (debug, identity.build_id.and_then(|id| id.debug_path())) {
            (Some(state), Some(path)) => format!("{state:<8}  {path}"),
            (state, _) => state.unwrap_or("-").to_owned(),
        };
        self.row(&id, &debug, &format!("{other}{}", header.unwrap_or_default()), &answer.name)
    }

    /// A failure is told on standard error; JSON readers get it in the stream too.
    pub(crate) fn failure(&mut self, answer: &Answer, error: &Error) -> io::Result<()> {
        if self.json {
            let kind = error.kind().as_str();
            let error = json!({ "kind": kind, "message": error.to_string() });
            let htlhash = answer.htlhash.map(|hash| hash.to_string());
            return writeln!(
                self.out,
                "{}",
                json!({ "path": answer.name, "error": error, "htlhash": htlhash })
            );
        }
        Ok(())
    }

    pub(crate) fn end(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn row(&mut self, id: &str, debug: &str, what: &str, name: &str) -> io::Result<()> {
        if !self.has_header {
            self.has_header = true;
            self.row("BUILD-ID", "DEBUG     FILE BELOW THE ROOT", "FILE TYPE", "PATH")?;
        }
        let name = Visible(name);
        if self.has_store {
            writeln!(self.out, "{id:<40}  {debug:<67}  {what:<18}  {name}")
        } else {
            writeln!(self.out, "{id:<40}  {what:<18}  {name}")
        }
    }
}

fn object(answer: &Answer, identity: &Identity, debug: Option<&'static str>) -> Value {
    let text = |value: Option<String>| value.map_or(Value::Null, Value::from);
    // The package note is JSON if its writer was honest, else shown as the text it is.
    let package = identity
        .package
        .map(|note| serde_json::from_str(note.as_str()).unwrap_or_else(|_| Value::from(note.as_str())));
    json!({
        "path": answer.name,
        "buildId": text(identity.build_id.map(|id| id.to_string())),
        "degenerate": identity.build_id.is_some_and(|id| id.is_degenerate()),
        "goBuildId": text(identity.go_build_id.map(|id| id.to_string())),
        "package": package,
        "htlhash": text(answer.htlhash.map(|hash| hash.to_string())),
        "class": identity.header.map(|header| header.class.bits()),
        "byteOrder": identity.header.map(|header| header.endian.as_str()),
        "type": text(identity.header.map(|header| header.file_type.to_string())),
        "machine": text(identity.header.map(|header| header.machine.to_string())),
        "debugPath": text(identity.build_id.and_then(|id| id.debug_path()).map(|path| path.to_string())),
        "debugFile": debug,
    })
}

/// Text of others with its control characters escaped.
pub(crate) struct Visible<'t>(pub(crate) &'t str);

impl fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}
