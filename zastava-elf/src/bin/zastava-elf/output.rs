//! Prints a table or JSON lines. Text from files cannot control the terminal.

use std::ffi::OsStr;
use std::fmt::{self, Write as _};
use std::io;
use std::path::Path;

use serde_json::{Value, json};
use zastava_elf::{Error, Identity};

use crate::input::Reading;

pub(crate) struct Output<'o> {
    out: &'o mut dyn io::Write,
    json: bool,
    /// Whether the table has the column of debug files.
    has_store: bool,
    has_header: bool,
}

impl<'o> Output<'o> {
    pub(crate) fn new(json: bool, has_store: bool, out: &'o mut dyn io::Write) -> Self {
        Self { out, json, has_store, has_header: false }
    }

    pub(crate) fn identity(
        &mut self,
        reading: &Reading,
        identity: &Identity,
        debug_file: Option<&'static str>,
    ) -> io::Result<()> {
        if self.json {
            return writeln!(self.out, "{}", object(reading, identity, debug_file));
        }
        let id = identity.build_id.map_or_else(|| "-".to_owned(), |id| id.to_string());
        let remark = match (&identity.go_build_id, identity.header) {
            _ if identity.build_id.is_some_and(|id| id.is_degenerate()) => "degenerate ",
            (Some(_), _) if identity.build_id.is_none() => "go ",
            _ => "",
        };
        let header = identity.header.map(|header| format!("{} {}", header.machine, header.file_type));
        let debug_file = match (debug_file, identity.build_id.and_then(|id| id.debug_path())) {
            (Some(state), Some(path)) => format!("{state:<8}  {path}"),
            (state, _) => state.unwrap_or("-").to_owned(),
        };
        self.row(&id, &debug_file, &format!("{remark}{}", header.unwrap_or_default()), &reading.path)
    }

    /// Prints a failure as JSON. The table has none: failures go to standard error.
    pub(crate) fn failure(&mut self, reading: &Reading, error: &Error) -> io::Result<()> {
        if self.json {
            let kind = error.kind().as_str();
            let cause = std::error::Error::source(error).map(ToString::to_string);
            let error = json!({ "kind": kind, "message": error.to_string(), "cause": cause });
            let htlhash = reading.htlhash.map(|hash| hash.to_string());
            return writeln!(
                self.out,
                "{}",
                with_path(&reading.path, json!({ "error": error, "htlhash": htlhash }))
            );
        }
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn row(
        &mut self,
        id: &str,
        debug_file: &str,
        file_type: &str,
        path: impl AsRef<OsStr>,
    ) -> io::Result<()> {
        if !self.has_header {
            self.has_header = true;
            self.row("BUILD-ID", "DEBUG     FILE BELOW THE ROOT", "FILE TYPE", "PATH")?;
        }
        let path = Visible(path.as_ref());
        if self.has_store {
            writeln!(self.out, "{id:<40}  {debug_file:<67}  {file_type:<18}  {path}")
        } else {
            writeln!(self.out, "{id:<40}  {file_type:<18}  {path}")
        }
    }
}

fn object(reading: &Reading, identity: &Identity, debug_file: Option<&'static str>) -> Value {
    let text = |value: Option<String>| value.map_or(Value::Null, Value::from);
    // A package note should be JSON. If it is not, it is printed as text.
    let package = identity
        .package
        .map(|note| serde_json::from_str(note.as_str()).unwrap_or_else(|_| Value::from(note.as_str())));
    let facts = json!({
        "buildId": text(identity.build_id.map(|id| id.to_string())),
        "degenerate": identity.build_id.is_some_and(|id| id.is_degenerate()),
        "goBuildId": text(identity.go_build_id.map(|id| id.to_string())),
        "package": package,
        "htlhash": text(reading.htlhash.map(|hash| hash.to_string())),
        "class": identity.header.map(|header| header.class.bits()),
        "byteOrder": identity.header.map(|header| header.endian.as_str()),
        "type": text(identity.header.map(|header| header.file_type.to_string())),
        "machine": text(identity.header.map(|header| header.machine.to_string())),
        "debugPath": text(identity.build_id.and_then(|id| id.debug_path()).map(|path| path.to_string())),
        "debugFile": debug_file,
    });
    with_path(&reading.path, facts)
}

/// The object with the path. JSON cannot hold a name that is not UTF-8: `path` shows its bytes as `\xff`, and `pathHex`
/// holds all of them.
fn with_path(path: &Path, mut object: Value) -> Value {
    object["path"] = readable(path.as_os_str()).into();
    if path.to_str().is_none() {
        let bytes = path.as_os_str().as_encoded_bytes();
        object["pathHex"] = bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
    }
    object
}

/// The text, with bytes that are not UTF-8 as `\xff`.
fn readable(text: &OsStr) -> String {
    text.as_encoded_bytes().utf8_chunks().fold(String::new(), |readable, chunk| {
        format!("{readable}{}{}", chunk.valid(), chunk.invalid().escape_ascii())
    })
}

/// Text from elsewhere, with its control characters escaped.
pub(crate) struct Visible<'t>(pub(crate) &'t OsStr);

impl fmt::Display for Visible<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in readable(self.0).chars() {
            if character.is_control() {
                write!(f, "{}", character.escape_default())?;
            } else {
                f.write_char(character)?;
            }
        }
        Ok(())
    }
}
