//! Follows programs: through scripts, interpreters and programs that start others.

use std::cell::Cell;
use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use zastava_core::contract::EntryTrace;
use zastava_elf::Root;

use super::Trace;
use super::field::{Field, Value};
use super::script::{Environment, Launch, Script};
use super::wrapper;
use crate::inspect::container_root::{ContainerRoot, FoundProgram, Miss};
use crate::inspect::interpreter::{arguments, language};
use crate::inspect::shebang;
use crate::inspect::shell::{List, parse};
use crate::reads::{Place, UnderWay};
use crate::redact::redact;
use crate::text::{bounded, readable, shown};
use crate::workload::DeclaredProcess;

/// The largest script that is read.
const SCRIPT_BYTES_MAX: u64 = 64 << 10;
/// The most commands that are followed, of all scripts together.
const COMMANDS_MAX: usize = 20_000;
/// The longest time for one trace.
const TIME_MAX: Duration = Duration::from_millis(500);
/// The shells whose scripts are read.
const SHELLS: [&str; 5] = ["sh", "bash", "dash", "ash", "ksh"];
/// The user of a program that runs as another one than root, by a name that is not looked up.
const SOME_UID: u32 = 65_534;

pub(super) struct Tracer<'a> {
    root: &'a Root,
    under_way: &'a UnderWay,
    look_up: Place,
    declared: &'a DeclaredProcess,
    steps_max: usize,
    commands_left: Cell<usize>,
    is_whole: Cell<bool>,
    until: Instant,
}

/// What a program leads to.
enum Lead {
    Nowhere,
    /// Another program.
    Program(Step),
    /// What an interpreter runs.
    Target(EntryTrace),
    /// What a script may start.
    Launches(Vec<Launch>),
}

/// The start of a program, and where it is written.
struct Step {
    file: Option<String>,
    line: Option<u32>,
    op: String,
    words: Vec<Field>,
    environment: Environment,
    /// The program is the interpreter of a script, which has been told.
    is_interpreter: bool,
}

impl From<Launch> for Step {
    fn from(launch: Launch) -> Self {
        let Launch { file, line, op, words, environment } = launch;
        Self { file, line: Some(line), op: op.to_owned(), words, environment, is_interpreter: false }
    }
}

impl<'a> Tracer<'a> {
    pub(super) fn new(container: &ContainerRoot<'a>, steps_max: usize) -> Self {
        Self {
            root: container.root,
            under_way: container.under_way,
            look_up: container.look_up,
            declared: container.process,
            steps_max,
            commands_left: Cell::new(COMMANDS_MAX),
            is_whole: Cell::new(true),
            until: Instant::now() + TIME_MAX,
        }
    }

    /// Follows the program that the container declares.
    pub(super) fn trace(&self) -> Trace {
        let words = self.declared.args.iter().cloned().map(Field::Known).collect();
        let cwd = Path::new("/").join(&self.declared.cwd);
        let environment = Environment {
            variables: HashMap::new(),
            cwd: cwd.to_str().map(str::to_owned),
            uid: self.declared.user.uid,
        };
        let op = "entrypoint".to_owned();
        let first = Step { file: None, line: None, op, words, environment, is_interpreter: false };
        Trace { steps: self.follow(first, 0), is_whole: self.is_whole.get() }
    }

    /// Whether the bounds allow another command. Counts it.
    pub(super) fn goes_on(&self) -> bool {
        let left = self.commands_left.get();
        self.commands_left.set(left.saturating_sub(1));
        self.keeps(left > 0 && Instant::now() < self.until)
    }

    /// Whether a bound is kept. A trace that broke one is not whole.
    pub(super) fn keeps(&self, is_kept: bool) -> bool {
        self.is_whole.set(self.is_whole.get() && is_kept);
        is_kept
    }

    /// The commands of a script. A trace in which one cannot be read is not whole.
    pub(super) fn commands(&self, script: Option<&str>) -> Option<List> {
        let commands = script.and_then(|text| parse(text).ok());
        self.keeps(commands.is_some());
        commands
    }

    fn follow(&self, mut step: Step, depth: usize) -> Vec<EntryTrace> {
        let mut steps = Vec::new();
        while self.keeps(depth + steps.len() < self.steps_max) && self.goes_on() {
            let name =
                step.words.first().and_then(Field::known).filter(|name| !name.is_empty()).map(str::to_owned);
            let found = name.as_ref().and_then(|name| self.program(name, &step.environment).ok());
            let target = match (&found, name) {
                (Some(found), _) => Some(shown(&found.path)),
                // What is not found may be a program that the script installs first.
                (None, Some(name)) => redact([bounded(&name)]).pop(),
                (None, None) => None,
            };
            let (file, line, op) = (step.file.take(), step.line.take(), Some(step.op.clone()));
            steps.push(EntryTrace { file, line, op, target });
            let Some(found) = found else { break };
            match self.lead(&found, step) {
                Lead::Nowhere => break,
                Lead::Program(next) => step = next,
                Lead::Target(target) => {
                    steps.push(target);
                    break;
                }
                Lead::Launches(launches) => {
                    steps.extend(self.choose(launches, depth + steps.len()));
                    break;
                }
            }
        }
        steps
    }

    /// The trace of what a script starts, if all that it may start leads to the same program. Otherwise only where it is
    /// started, if that is in one place.
    fn choose(&self, launches: Vec<Launch>, depth: usize) -> Vec<EntryTrace> {
        let mut traces = launches.into_iter().map(|launch| self.follow(launch.into(), depth));
        // What is certain comes last.
        let mut chosen = traces.next().unwrap_or_default();
        let mut is_one = true;
        for trace in traces {
            let target = |trace: &[EntryTrace]| trace.last().and_then(|step| step.target.clone());
            is_one &= target(&trace) == target(&chosen) && target(&trace).is_some();
            chosen = trace;
        }
        if is_one {
            chosen
        } else {
            vec![EntryTrace { op: Some("exec".to_owned()), ..EntryTrace::default() }]
        }
    }

    fn lead(&self, found: &FoundProgram, step: Step) -> Lead {
        let path = shown(&found.path);
        let mut head = [0; shebang::HEAD_BYTES];
        if let Some(line) = found.read_head(&mut head).ok().and_then(shebang::parse) {
            let mut words = vec![Field::Known(readable(line.interpreter))];
            words.extend(line.argument.map(|argument| Field::Known(readable(argument))));
            words.push(Field::Known(path.clone()));
            words.extend(step.words.into_iter().skip(1));
            let (file, line, op) = (Some(path), Some(1), "shebang".to_owned());
            return Lead::Program(Step { file, line, op, words, is_interpreter: true, ..step });
        }
        let mut words = step.words;
        if file_name(&words) == Some("busybox") && words.len() > 1 {
            words.remove(0);
        }
        let Some(name) = file_name(&words).map(str::to_owned) else { return Lead::Nowhere };
        let step = Step { words, ..step };
        if SHELLS.contains(&name.as_str()) {
            return self.shell(step).map_or(Lead::Nowhere, Lead::Launches);
        }
        if name == "su" || name == "runuser" {
            let script = step.words.iter().position(|word| matches!(word.known(), Some("-c" | "--command")));
            if let Some(text) = script.and_then(|at| step.words.get(at + 1)?.known()) {
                let environment = Environment { uid: SOME_UID, ..step.environment.clone() };
                return self.inline(text, name, &[], environment).map_or(Lead::Nowhere, Lead::Launches);
            }
        }
        if wrapper::is_wrapper(&name) {
            let started = wrapped(&name, step);
            self.keeps(started.is_some());
            return started.map_or(Lead::Nowhere, Lead::Program);
        }
        // The script of another interpreter is not read.
        self.keeps(!step.is_interpreter);
        self.interpreted(&path, &step).map_or(Lead::Nowhere, Lead::Target)
    }

    /// What an interpreter of another language runs.
    fn interpreted(&self, path: &str, step: &Step) -> Option<EntryTrace> {
        let language = language::of_program(path).filter(|_| !step.is_interpreter)?;
        // What is not known may be an option.
        let words = step.words.iter().skip(1).map(|word| word.known().unwrap_or("-"));
        // A `-` that is not followed by anything stops the search, so that an unknown word is no script.
        let target = arguments::target(language, words.map(|word| if word == "-" { "-…" } else { word }))?;
        let name = match (target.kind.is_file(), &step.environment.cwd) {
            (true, Some(cwd)) => shown(&Path::new(cwd).join(target.name)),
            _ => target.name.to_owned(),
        };
        let target_shown = redact([bounded(&name)]).pop();
        Some(EntryTrace {
            op: Some(target.kind.as_str().to_owned()),
            target: target_shown,
            ..EntryTrace::default()
        })
    }

    /// What a shell's script may start; `None` if it reads its commands from elsewhere.
    fn shell(&self, step: Step) -> Option<Vec<Launch>> {
        let (mut at, mut is_inline) = (1, false);
        while let Some(option) = step.words.get(at)?.known().filter(|word| word.len() > 1)
            && option.starts_with(['-', '+'])
        {
            at += 1;
            if option == "--" {
                break;
            }
            let is_short = !option.starts_with("--");
            is_inline |= is_short && option.starts_with('-') && option.contains('c');
            at += usize::from((is_short && option.ends_with(['o', 'O'])) || option == "--rcfile");
        }
        let word = step.words.get(at)?.known()?;
        let rest = &step.words[at + 1..];
        if is_inline {
            return self.inline(word, "sh".to_owned(), rest, step.environment.clone());
        }
        let found = self.file(word, &step.environment).ok()?;
        let list = self.commands(self.text(&found).as_deref())?;
        let path = shown(&found.path);
        let mut script = Script::new(self, path.clone(), Some(path), step.environment.clone());
        script.parameters = rest.to_vec();
        Some(script.launches(&list))
    }

    /// What the text behind `-c` may start. The first word behind it is `$0`.
    fn inline(
        &self,
        text: &str,
        name: String,
        rest: &[Field],
        environment: Environment,
    ) -> Option<Vec<Launch>> {
        let list = self.commands(Some(text).filter(|text| text.len() as u64 <= SCRIPT_BYTES_MAX))?;
        let name = rest.first().and_then(Field::known).map_or(name, str::to_owned);
        let mut script = Script::new(self, name, None, environment);
        script.parameters = rest.iter().skip(1).cloned().collect();
        Some(script.launches(&list))
    }

    /// The value that the container declares for a variable.
    pub(super) fn declared_value(&self, name: &str) -> Value {
        let variables = &self.declared.variables;
        match variables.get(name) {
            Some(value) => Value::known(value),
            None if variables.may_have(name) => Value::Unknown,
            None => Value::Unset,
        }
    }

    /// The path of a program that a word means.
    pub(super) fn find(&self, word: &str, environment: &Environment) -> Option<String> {
        self.program(word, environment).ok().map(|found| shown(&found.path))
    }

    fn program(&self, word: &str, environment: &Environment) -> Result<FoundProgram, Miss> {
        self.within(environment, |container, path| container.program_along(path, word))
    }

    fn file(&self, path: &str, environment: &Environment) -> Result<FoundProgram, Miss> {
        self.within(environment, |container, _| container.file_at(Path::new(path)))
    }

    /// Looks up below the working directory and along the `PATH` of these circumstances.
    fn within<T>(
        &self,
        environment: &Environment,
        look: impl FnOnce(&ContainerRoot<'_>, Option<&str>) -> Result<T, Miss>,
    ) -> Result<T, Miss> {
        let process = DeclaredProcess {
            cwd: environment.cwd.clone().ok_or(Miss::NotFound)?,
            user: self.declared.user.clone(),
            ..DeclaredProcess::default()
        };
        let (root, under_way, look_up) = (self.root, self.under_way, self.look_up);
        let container = ContainerRoot { root, process: &process, under_way, look_up };
        let path = environment.variables.get("PATH").cloned().unwrap_or_else(|| self.declared_value("PATH"));
        look(&container, path.text())
    }

    /// The text of the script at an absolute path.
    pub(super) fn script_at(&self, path: &str) -> Option<String> {
        let environment = Environment { variables: HashMap::new(), cwd: Some("/".to_owned()), uid: 0 };
        self.text(&self.file(path, &environment).ok()?)
    }

    fn text(&self, found: &FoundProgram) -> Option<String> {
        let size = found.file.version().size;
        if size > SCRIPT_BYTES_MAX || !self.goes_on() {
            return None;
        }
        let mut content = vec![0; usize::try_from(size).ok()?];
        let content = found.read_head(&mut content).ok()?;
        // A program is no script.
        (!content.contains(&0)).then(|| readable(content))
    }

    pub(super) fn file_test(&self, operator: &str, path: &str) -> Option<bool> {
        let environment = Environment { variables: HashMap::new(), cwd: Some("/".to_owned()), uid: 0 };
        let found = match operator {
            "-x" => self.program(path, &environment),
            _ => self.file(path, &environment),
        };
        match found {
            Ok(_) => Some(operator != "-d"),
            // Directories, for the most part.
            Err(Miss::NotRegular) => Some(operator != "-f"),
            Err(Miss::Empty) => Some(!matches!(operator, "-d" | "-s")),
            Err(Miss::NotFound | Miss::NotExecutable) => Some(false),
            Err(_) => None,
        }
    }
}

/// The program that a wrapper starts.
fn wrapped(name: &str, step: Step) -> Option<Step> {
    let arguments: Vec<Option<&str>> = step.words[1..].iter().map(Field::known).collect();
    let mut environment = step.environment;
    let words = if let Some((text, taken)) = wrapper::split_words(name, &arguments) {
        let words = text.split_whitespace().skip_while(|word| word.starts_with('-') || word.contains('='));
        let rest = step.words[1 + taken..].iter().cloned();
        words.map(|word| Field::Known(word.to_owned())).chain(rest).collect()
    } else {
        let started = wrapper::started(name, &arguments)?;
        let user = started.user.map(|at| arguments[at].unwrap_or_default());
        if user.is_some_and(|user| !matches!(user.split(':').next(), Some("root" | "0")))
            || arguments.iter().flatten().any(|word| word.starts_with("--reuid"))
        {
            environment.uid = SOME_UID;
        }
        step.words[1 + started.at..].to_vec()
    };
    Some(Step { op: name.to_owned(), words, environment, file: None, line: None, ..step })
}

fn file_name(words: &[Field]) -> Option<&str> {
    words.first()?.known()?.rsplit('/').next()
}
