//! What the shell does itself, and the commands whose output is known.

use std::path::{Component, Path, PathBuf};
use std::rc::Rc;

use super::field::{Field, Value};
use super::script::{Flow, Script};
use crate::inspect::shell::{List, Node, PartKind, Simple, Word};

/// Commands of the shell that start nothing and of which nothing is known afterwards.
const QUIET: &str = "echo printf trap ulimit umask shopt alias wait kill let jobs times bg fg disown enable help \
    complete logger mapfile readarray popd pushd unalias history";

/// A variable that is never known: it stands for what is not known in the text of `eval`.
const UNKNOWN: &str = "__unknown";

impl Script<'_> {
    /// The value of a variable or parameter.
    pub(super) fn variable(&self, name: &str) -> Value {
        match name {
            "@" | "*" => {
                let words: Option<Vec<&str>> = self.parameters.iter().map(Field::known).collect();
                words.map_or(Value::Unknown, |words| Value::Known(words.join(" ")))
            }
            "#" if self.parameters.contains(&Field::Many) => Value::Unknown,
            "#" => Value::Known(self.parameters.len().to_string()),
            "0" | "BASH_SOURCE" => Value::known(&self.name),
            "PWD" => self.environment.cwd.as_ref().map_or(Value::Unknown, Value::known),
            "UID" | "EUID" => Value::Known(self.environment.uid.to_string()),
            "?" | "$" | "!" | "-" | UNKNOWN => Value::Unknown,
            _ => match name.parse::<usize>() {
                Ok(number) => self.parameter(number),
                Err(_) => match self.environment.variables.get(name) {
                    Some(value) => value.clone(),
                    None => self.tracer.declared_value(name),
                },
            },
        }
    }

    fn parameter(&self, number: usize) -> Value {
        let front = &self.parameters[..number.min(self.parameters.len())];
        match front.last() {
            _ if front.contains(&Field::Many) => Value::Unknown,
            Some(field) if front.len() == number => field.known().map_or(Value::Unknown, Value::known),
            _ => Value::Unset,
        }
    }

    /// `export A=b`, whose words are assignments.
    pub(super) fn declare(&mut self, simple: &Simple) -> Option<Flow> {
        let name = simple.words.first()?.as_text()?;
        if !matches!(name, "export" | "readonly" | "local" | "declare" | "typeset") {
            return None;
        }
        for word in &simple.words[1..] {
            let Some(PartKind::Text(text)) = word.0.first().map(|part| &part.kind) else { continue };
            let Some((name, start)) = text.split_once('=') else { continue };
            let mut value = Word(word.0.clone());
            value.0[0].kind = PartKind::Text(start.to_owned());
            let value = self.expand_text(&value);
            self.assign(name, value);
        }
        Some(Flow::Next(Some(true)))
    }

    /// Runs a command of the shell itself; `None` if it is none.
    pub(super) fn builtin(&mut self, name: &str, arguments: &[Field], line: u32) -> Option<Flow> {
        let first = arguments.first();
        Some(match name {
            "exec" => self.run_exec(arguments, line),
            "exit" => Flow::End,
            "return" => Flow::Return(first.and_then(|field| Some(field.known()?.trim() == "0"))),
            "break" => Flow::Break,
            "continue" => Flow::Continue,
            "true" | ":" => Flow::Next(Some(true)),
            "false" => Flow::Next(Some(false)),
            "[" => Flow::Next(self.test(arguments.strip_suffix(&[Field::Known("]".to_owned())])?)),
            "test" => Flow::Next(self.test(arguments)),
            "set" => self.run_set(arguments),
            "shift" => self.run_shift(first),
            "cd" => {
                let target =
                    first.map_or(Value::Unknown, |field| field.known().map_or(Value::Unknown, Value::known));
                self.environment.cwd = target.text().and_then(|path| self.absolute(path));
                Flow::Next(Some(true))
            }
            "unset" => {
                for name in arguments.iter().filter_map(Field::known) {
                    self.assign(name, Value::Unset);
                }
                Flow::Next(Some(true))
            }
            "read" | "getopts" => {
                for name in arguments.iter().filter_map(Field::known) {
                    self.assign(name, Value::Unknown);
                }
                Flow::Next(None)
            }
            "." | "source" => self.run_source(arguments),
            "eval" => self.run_eval(arguments),
            "type" | "hash" | "which" => Flow::Next(first.and_then(|field| self.is_command(field.known()?))),
            "command" | "builtin" => match first?.known()? {
                "-v" | "-V" => Flow::Next(arguments.get(1).and_then(|field| self.is_command(field.known()?))),
                name => {
                    let arguments = &arguments[1..];
                    return self.builtin(name, arguments, line);
                }
            },
            name if QUIET.split_whitespace().any(|quiet| quiet == name) => Flow::Next(None),
            _ => return None,
        })
    }

    fn run_exec(&mut self, mut arguments: &[Field], line: u32) -> Flow {
        while let [Field::Known(option), rest @ ..] = arguments
            && option.starts_with('-')
        {
            arguments = if option.ends_with('a') { rest.get(1..).unwrap_or(&[]) } else { rest };
        }
        // `exec > file` changes where this script writes.
        if arguments.is_empty() { Flow::Next(Some(true)) } else { self.exec(line, arguments.to_vec()) }
    }

    fn run_set(&mut self, mut arguments: &[Field]) -> Flow {
        while let [Field::Known(option), rest @ ..] = arguments
            && option.starts_with(['-', '+'])
        {
            arguments = if option.ends_with('o') { rest.get(1..).unwrap_or(&[]) } else { rest };
            if option == "--" {
                self.parameters = arguments.to_vec();
                return Flow::Next(Some(true));
            }
        }
        if !arguments.is_empty() {
            self.parameters = arguments.to_vec();
        }
        Flow::Next(Some(true))
    }

    fn run_shift(&mut self, count: Option<&Field>) -> Flow {
        let count = count.map_or(Some(1), |count| count.known()?.parse::<usize>().ok());
        match count {
            Some(count) if !self.parameters.iter().take(count).any(|field| *field == Field::Many) => {
                let is_enough = self.parameters.len() >= count;
                self.parameters.drain(..if is_enough { count } else { 0 });
                Flow::Next(Some(is_enough))
            }
            Some(_) => Flow::Next(None),
            None => {
                self.parameters = vec![Field::Many];
                Flow::Next(None)
            }
        }
    }

    fn run_source(&mut self, arguments: &[Field]) -> Flow {
        let path = arguments.first().and_then(Field::known);
        let path = path.and_then(|path| self.absolute(path));
        let text = path.as_ref().and_then(|path| self.tracer.script_at(path));
        let Some((path, list)) = path.zip(self.tracer.commands(text.as_deref())) else {
            return Flow::Next(None);
        };
        let file = self.file.replace(path);
        let flow = self.run_list(&list);
        self.file = file;
        if let Flow::Return(status) = flow { Flow::Next(status) } else { flow }
    }

    fn run_eval(&mut self, arguments: &[Field]) -> Flow {
        let text = |field: &Field| match field {
            Field::Known(text) => text.clone(),
            Field::One => format!("\"${UNKNOWN}\""),
            Field::Many => format!("${UNKNOWN}"),
        };
        let text: Vec<String> = arguments.iter().map(text).collect();
        match self.tracer.commands(Some(&text.join(" "))) {
            Some(list) => self.run_list(&list),
            None => Flow::Next(None),
        }
    }

    fn is_command(&self, name: &str) -> Option<bool> {
        Some(self.functions.contains_key(name) || self.tracer.find(name, &self.environment).is_some())
    }

    /// The answer of `[ -f path ]` and its like. What a script makes itself is not seen.
    pub(super) fn file_test(&self, operator: &str, path: &str) -> Option<bool> {
        self.tracer.file_test(operator, &self.absolute(path)?)
    }

    /// The path from the root on, without `.` and `..`; `None` if the working directory is not known.
    fn absolute(&self, path: &str) -> Option<String> {
        let joined = match Path::new(path).is_absolute() {
            true => PathBuf::from(path),
            false => Path::new(self.environment.cwd.as_ref()?).join(path),
        };
        let mut plain = PathBuf::from("/");
        for component in joined.components() {
            match component {
                Component::ParentDir => {
                    plain.pop();
                }
                Component::Normal(name) => plain.push(name),
                _ => {}
            }
        }
        plain.to_str().map(str::to_owned)
    }

    /// What `$(…)` becomes: the output of the last of its commands, if that is one of those that are known.
    pub(super) fn substitute(&self, list: &List) -> Value {
        let Some((last, before)) = list.split_last() else { return Value::known("") };
        let mut apart = self.clone();
        if !matches!(apart.run_list(before), Flow::Next(_)) {
            return Value::Unknown;
        }
        apart.output_nested(last).map_or(Value::Unknown, Value::Known)
    }

    pub(super) fn output(&mut self, node: &Node) -> Option<String> {
        match node {
            // `cd … && pwd`
            Node::AndOr(first, others) => match &others[..] {
                [(true, last)] => {
                    let flow = self.run_list(std::slice::from_ref(first));
                    if flow == Flow::Next(Some(true)) { self.output_nested(last) } else { None }
                }
                // `command -v a || true`
                _ => self.output_nested(first),
            },
            Node::Simple(simple) => {
                let fields: Vec<Field> = simple.words.iter().flat_map(|word| self.expand(word)).collect();
                let function =
                    fields.first().and_then(Field::known).and_then(|name| self.functions.get(name));
                if let Some(body) = function.map(Rc::clone) {
                    self.parameters = fields[1..].to_vec();
                    return self.output_nested(&body);
                }
                let words: Option<Vec<&str>> = fields.iter().map(Field::known).collect();
                self.output_of(&words?)
            }
            Node::Group(list) => {
                let (last, before) = list.split_last()?;
                let flow = self.run_list(before);
                if matches!(flow, Flow::Next(_)) { self.output_nested(last) } else { None }
            }
            _ => None,
        }
    }

    fn output_of(&self, words: &[&str]) -> Option<String> {
        let operands: Vec<&str> =
            words.iter().skip(1).copied().filter(|word| !word.starts_with('-')).collect();
        let path = || operands.first().map(|path| path.trim_end_matches('/'));
        match (*words.first()?, words.get(1).copied()) {
            ("pwd", _) => self.environment.cwd.clone(),
            ("echo", _) if operands.len() + 1 == words.len() => Some(operands.join(" ")),
            ("id", Some("-u")) if words.len() == 2 => Some(self.environment.uid.to_string()),
            ("whoami", None) | ("id", Some("-un")) if self.environment.uid == 0 => Some("root".to_owned()),
            ("uname", None | Some("-s")) => Some("Linux".to_owned()),
            ("dirname", _) => Some(
                path()?
                    .rsplit_once('/')
                    .map_or(".", |(front, _)| if front.is_empty() { "/" } else { front })
                    .to_owned(),
            ),
            ("basename", _) => {
                let name = path()?.rsplit('/').next()?;
                let suffix = operands.get(1).copied().unwrap_or("");
                Some(name.strip_suffix(suffix).filter(|rest| !rest.is_empty()).unwrap_or(name).to_owned())
            }
            ("readlink" | "realpath" | "greadlink", _) => self.absolute(path()?),
            ("which" | "command" | "type", _) => {
                let found = self.tracer.find(operands.first()?, &self.environment);
                Some(found.unwrap_or_default())
            }
            _ => None,
        }
    }
}
