//! Collector: the interpreter or virtual machine that runs a workload's program, and what it runs.

pub(super) mod arguments;
pub(super) mod language;

use std::path::{Path, PathBuf};

use zastava_core::contract::LoadedLibrary;
use zastava_elf::KernelPath;

use self::arguments::Target;
use self::language::Language;
use super::subject::Subject;
use crate::redact::redact;
use crate::text::{bounded, shown};

/// The most arguments that are looked at.
const ARGUMENTS_MAX: usize = 256;

/// The interpreter or virtual machine that a process is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Interpreter {
    /// The language, such as `python`.
    pub language: &'static str,
    /// The version, as the name of the program, of a library or of a directory tells it.
    pub version: Option<String>,
    /// The script, module, archive or class that it runs, if that is one.
    pub program: Option<InterpretedProgram>,
}

/// What an interpreter runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct InterpretedProgram {
    /// `script`, `module`, `jar` or `class`.
    pub kind: &'static str,
    /// Its path, or its name if it is no file.
    pub name: String,
}

impl Interpreter {
    /// The interpreter that a process is: by the path of its executable, or else by the libraries that it has loaded.
    /// `arguments` are its own, with its name in front.
    fn of(executable: &str, libraries: &[&str], arguments: &[String], cwd: Option<&Path>) -> Option<Self> {
        let is_program = language::of_program(executable);
        let of_library = || libraries.iter().find_map(|path| language::of_library(path));
        let language = is_program.or_else(of_library)?;
        let own = libraries.iter().copied().filter(|path| language::of_library(path) == Some(language));
        // A library's name tells more than the program's: `libruby.so.3.1.2`.
        let versions = own.chain([executable]).filter_map(|path| language::version(language, path));
        let version = versions.max_by_key(|version| version.len()).map(str::to_owned);
        // A program that has an interpreter within it, such as uwsgi, has arguments of its own.
        let words = redact(arguments.iter().skip(1).take(ARGUMENTS_MAX).map(|word| bounded(word)));
        let target = is_program.and_then(|_| arguments::target(language, words.iter().map(String::as_str)));
        let program = target.map(|target| InterpretedProgram::of(target, cwd));
        Some(Self { language: Language::as_str(language), version, program })
    }

    /// Recognises the interpreter that a process is, by its executable and libraries.
    pub(super) fn read(
        subject: &mut Subject,
        executable: &KernelPath,
        libraries: &[LoadedLibrary],
        arguments: &[String],
    ) -> Option<Self> {
        let executable = shown(executable.strip_deleted().unwrap_or(executable.as_path()));
        let libraries: Vec<&str> = libraries.iter().map(|library| library.path.as_str()).collect();
        let found = Self::of(&executable, &libraries, arguments, None)?;
        let is_relative = found.program.as_ref().is_some_and(|program| {
            matches!(program.kind, "script" | "jar") && !program.name.starts_with('/')
        });
        if !is_relative {
            return Some(found);
        }
        let cwd = subject.link("cwd").map(PathBuf::from);
        Self::of(&executable, &libraries, arguments, cwd.as_deref())
    }
}

impl InterpretedProgram {
    fn of(target: Target<'_>, cwd: Option<&Path>) -> Self {
        let name = match cwd {
            Some(cwd) if target.kind.is_file() => shown(&cwd.join(target.name)),
            _ => target.name.to_owned(),
        };
        Self { kind: target.kind.as_str(), name }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_recognised_by_its_files() {
        let check = |executable: &str,
                     libraries: &[&str],
                     line: &str,
                     wanted: Option<(&str, Option<&str>, Option<&str>)>| {
            let arguments: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let found = Interpreter::of(executable, libraries, &arguments, Some(Path::new("/app")));
            let program = |found: &Interpreter| found.program.as_ref().map(|program| program.name.clone());
            let found = found.as_ref().map(|found| (found.language, found.version.clone(), program(found)));
            let owned = |text: Option<&str>| text.map(str::to_owned);
            assert_eq!(
                found,
                wanted.map(|(language, version, program)| (language, owned(version), owned(program))),
                "{line}"
            );
        };
        check(
            "/usr/bin/python3.11",
            &[],
            "python3 app.py",
            Some(("python", Some("3.11"), Some("/app/app.py"))),
        );
        check(
            "/usr/local/bin/python",
            &["/usr/lib/libc.so.6", "/usr/local/lib/libpython3.12.so.1.0"],
            "python -m flask run",
            Some(("python", Some("3.12"), Some("flask"))),
        );
        check(
            "/usr/bin/ruby3.1",
            &["/usr/lib/libruby-3.1.so.3.1.2"],
            "ruby /usr/bin/puma",
            Some(("ruby", Some("3.1.2"), Some("/usr/bin/puma"))),
        );
        check(
            "/opt/java/bin/java",
            &["/opt/java/lib/server/libjvm.so"],
            "java -jar app.jar",
            Some(("java", None, Some("/app/app.jar"))),
        );
        check(
            "/usr/bin/uwsgi",
            &["/lib/libpython3.11.so.1.0"],
            "uwsgi a.py",
            Some(("python", Some("3.11"), None)),
        );
        check("/usr/bin/redis-server", &["/lib/libc.so.6"], "redis-server", None);
    }
}
