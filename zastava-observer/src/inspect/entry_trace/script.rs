//! A script while it is followed: its variables and parameters as far as they are known, and the programs that it may
//! start in its own place.
//!
//! A condition that is not known leads both ways; what differs afterwards is not known.

use std::collections::HashMap;
use std::rc::Rc;

use super::condition::and;
use super::field::{Field, Value};
use super::tracer::Tracer;
use crate::inspect::shell::{List, Node, Simple, Word, matches};

/// The most commands, functions and conditions within each other.
pub(super) const DEPTH_MAX: usize = 48;
/// The most rounds of a loop.
const ROUNDS_MAX: usize = 64;
/// The most variables that are kept.
const VARIABLES_MAX: usize = 512;
/// The most programs that one script may start, as far as its conditions are known.
pub(super) const LAUNCHES_MAX: usize = 8;

/// What a program is started with.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Environment {
    /// What is set, beside what the container declares.
    pub(super) variables: HashMap<String, Value>,
    /// `None` if it is not known.
    pub(super) cwd: Option<String>,
    pub(super) uid: u32,
}

/// The start of a program.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Launch {
    pub(super) file: Option<String>,
    pub(super) line: u32,
    pub(super) op: &'static str,
    pub(super) words: Vec<Field>,
    pub(super) environment: Environment,
}

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// The next command follows. Whether this one succeeded, if that is known.
    Next(Option<bool>),
    /// The function returns.
    Return(Option<bool>),
    /// The loop ends.
    Break,
    /// The next round of the loop begins.
    Continue,
    /// The script ends, or another program takes its place.
    End,
}

#[derive(Clone)]
pub(super) struct Script<'a> {
    pub(super) tracer: &'a Tracer<'a>,
    /// The file that is read; `None` for the text behind `-c`.
    pub(super) file: Option<String>,
    /// `$0`
    pub(super) name: String,
    pub(super) parameters: Vec<Field>,
    pub(super) environment: Environment,
    pub(super) functions: HashMap<String, Rc<Node>>,
    /// What takes the script's place, by `exec`.
    pub(super) launches: Vec<Launch>,
    /// What it ran last. At the end of a script that is its program.
    pub(super) last: Vec<Launch>,
    /// A branch that may have been taken returned from the function.
    pub(super) may_have_returned: bool,
    pub(super) depth: usize,
}

impl<'a> Script<'a> {
    pub(super) fn new(
        tracer: &'a Tracer<'a>,
        name: String,
        file: Option<String>,
        environment: Environment,
    ) -> Self {
        Self {
            tracer,
            file,
            name,
            parameters: Vec::new(),
            environment,
            functions: HashMap::new(),
            launches: Vec::new(),
            last: Vec::new(),
            may_have_returned: false,
            depth: 0,
        }
    }

    /// What the script may start in its own place; what it runs last if that is nothing.
    pub(super) fn launches(mut self, list: &List) -> Vec<Launch> {
        self.run_list(list);
        if self.launches.is_empty() { self.last } else { self.launches }
    }

    pub(super) fn launch(&self, op: &'static str, line: u32, words: Vec<Field>) -> Launch {
        Launch { file: self.file.clone(), line, op, words, environment: self.environment.clone() }
    }

    /// A program takes the script's place.
    pub(super) fn exec(&mut self, line: u32, words: Vec<Field>) -> Flow {
        let launch = self.launch("exec", line, words);
        if !self.launches.contains(&launch) && self.tracer.keeps(self.launches.len() < LAUNCHES_MAX) {
            self.launches.push(launch);
        }
        Flow::End
    }

    fn ran(&mut self, line: u32, words: Vec<Field>) -> Flow {
        self.last = vec![self.launch("run", line, words)];
        Flow::Next(None)
    }

    pub(super) fn run_list(&mut self, list: &[Node]) -> Flow {
        let mut status = Some(true);
        for node in list {
            match self.run(node) {
                Flow::Next(next) => status = next,
                other => return other,
            }
        }
        Flow::Next(status)
    }

    fn run(&mut self, node: &Node) -> Flow {
        if !self.tracer.keeps(self.depth < DEPTH_MAX) || !self.tracer.goes_on() {
            return Flow::End;
        }
        self.depth += 1;
        let flow = self.run_node(node);
        self.depth -= 1;
        flow
    }

    /// The output of a command within another.
    pub(super) fn output_nested(&mut self, node: &Node) -> Option<String> {
        if self.depth >= DEPTH_MAX || !self.tracer.goes_on() {
            return None;
        }
        self.depth += 1;
        let output = self.output(node);
        self.depth -= 1;
        output
    }

    fn run_node(&mut self, node: &Node) -> Flow {
        match node {
            Node::Simple(simple) => self.run_simple(simple),
            Node::Test(words) => Flow::Next(self.extended_test(words)),
            Node::Not(node) => match self.run(node) {
                Flow::Next(status) => Flow::Next(status.map(|status| !status)),
                other => other,
            },
            Node::AndOr(first, others) => self.run_and_or(first, others),
            Node::Pipeline(list) => self.run_apart(&list[..1], None),
            Node::Background(node) => self.run_apart(std::slice::from_ref(node), Some(true)),
            Node::Subshell(list) => self.run_apart(list, None),
            Node::Group(list) => self.run_list(list),
            Node::If { branches, otherwise } => self.run_if(branches, otherwise),
            Node::For { variable, items, body } => self.run_for(variable, items.as_deref(), body),
            Node::Loop { is_until, condition, body } => self.run_loop(*is_until, condition, body),
            Node::Case { subject, arms } => {
                let subject = self.expand_text(subject);
                self.run_case(&subject, arms)
            }
            Node::Function { name, body } => {
                self.functions.insert(name.clone(), Rc::clone(body));
                Flow::Next(Some(true))
            }
            Node::Arithmetic => Flow::Next(None),
        }
    }

    /// Runs commands in a process of their own, which cannot change this one.
    fn run_apart(&mut self, list: &[Node], status: Option<bool>) -> Flow {
        let mut apart = Self { launches: Vec::new(), ..self.clone() };
        apart.run_list(list);
        let launches = if apart.launches.is_empty() { apart.last } else { apart.launches };
        self.last = launches.into_iter().map(|launch| Launch { op: "run", ..launch }).collect();
        Flow::Next(status)
    }

    fn run_and_or(&mut self, first: &Node, others: &[(bool, Node)]) -> Flow {
        let mut flow = self.run(first);
        for (is_and, node) in others {
            let Flow::Next(status) = flow else { return flow };
            flow = match status {
                Some(status) if status == *is_and => self.run(node),
                Some(_) => flow,
                None => {
                    let end = self.either(|script| script.run(node), |_| Flow::Next(None));
                    if end == Flow::Next(None) { Flow::Next(None) } else { end }
                }
            };
        }
        flow
    }

    fn run_if(&mut self, branches: &[(List, List)], otherwise: &List) -> Flow {
        let Some(((condition, body), rest)) = branches.split_first() else { return self.run_list(otherwise) };
        match self.run_list(condition) {
            Flow::Next(Some(true)) => self.run_list(body),
            Flow::Next(Some(false)) => self.run_if(rest, otherwise),
            Flow::Next(None) => {
                self.either(|script| script.run_list(body), |script| script.run_if(rest, otherwise))
            }
            other => other,
        }
    }

    fn run_case(&mut self, subject: &Value, arms: &[(Vec<Word>, List)]) -> Flow {
        let Some(((patterns, body), rest)) = arms.split_first() else { return Flow::Next(Some(true)) };
        let mut is_none = Some(true);
        for pattern in patterns {
            let pattern = self.expand_pattern(pattern);
            let is_match = pattern.zip(subject.text()).map(|(pattern, subject)| matches(&pattern, subject));
            is_none = and(is_none, is_match.map(|is_match| !is_match));
        }
        match is_none {
            Some(false) => self.run_list(body),
            Some(true) => self.run_case(subject, rest),
            None => self.either(|script| script.run_list(body), |script| script.run_case(subject, rest)),
        }
    }

    fn run_for(&mut self, variable: &str, items: Option<&[Word]>, body: &List) -> Flow {
        let fields: Vec<Field> = match items {
            Some(items) => items.iter().flat_map(|item| self.expand(item)).collect(),
            None => self.parameters.clone(),
        };
        self.tracer.keeps(fields.len() <= ROUNDS_MAX);
        for field in fields.into_iter().take(ROUNDS_MAX) {
            let flow = match field {
                Field::Known(text) => {
                    self.assign(variable, Value::Known(text));
                    self.run_list(body)
                }
                Field::One | Field::Many => {
                    self.assign(variable, Value::Unknown);
                    self.either(|script| script.run_list(body), |_| Flow::Next(None))
                }
            };
            match flow {
                Flow::Next(_) | Flow::Continue => {}
                Flow::Break => break,
                other => return other,
            }
        }
        Flow::Next(None)
    }

    fn run_loop(&mut self, is_until: bool, condition: &List, body: &List) -> Flow {
        for _ in 0..ROUNDS_MAX {
            let flow = match self.run_list(condition) {
                Flow::Next(Some(status)) if status == is_until => return Flow::Next(Some(true)),
                Flow::Next(Some(_)) => self.run_list(body),
                Flow::Next(None) => {
                    return match self.either(|script| script.run_list(body), |_| Flow::Next(None)) {
                        Flow::Break | Flow::Continue => Flow::Next(None),
                        other => other,
                    };
                }
                other => return other,
            };
            match flow {
                Flow::Next(_) | Flow::Continue => {}
                Flow::Break => return Flow::Next(None),
                other => return other,
            }
        }
        // It may never end.
        self.tracer.keeps(false);
        Flow::End
    }

    fn run_simple(&mut self, simple: &Simple) -> Flow {
        for (name, value) in &simple.assignments {
            let value = self.expand_text(value);
            self.assign(name, value);
        }
        if let Some(flow) = self.declare(simple) {
            return flow;
        }
        let mut fields: Vec<Field> = simple.words.iter().flat_map(|word| self.expand(word)).collect();
        match fields.first() {
            None => Flow::Next(if simple.assignments.is_empty() { Some(true) } else { None }),
            Some(Field::Known(name)) => {
                let name = name.clone();
                fields.remove(0);
                self.run_command(&name, fields, simple.line)
            }
            Some(_) => self.ran(simple.line, fields),
        }
    }

    pub(super) fn run_command(&mut self, name: &str, arguments: Vec<Field>, line: u32) -> Flow {
        if let Some(body) = self.functions.get(name).map(Rc::clone) {
            return self.call(&body, arguments);
        }
        self.builtin(name, &arguments, line).unwrap_or_else(|| {
            let name = [Field::Known(name.to_owned())];
            self.ran(line, name.into_iter().chain(arguments).collect())
        })
    }

    fn call(&mut self, body: &Node, arguments: Vec<Field>) -> Flow {
        let parameters = std::mem::replace(&mut self.parameters, arguments);
        let may_have_returned = std::mem::take(&mut self.may_have_returned);
        let flow = self.run(body);
        self.parameters = parameters;
        let is_unsure = std::mem::replace(&mut self.may_have_returned, may_have_returned);
        match flow {
            Flow::Next(status) | Flow::Return(status) => Flow::Next(status.filter(|_| !is_unsure)),
            Flow::Break | Flow::Continue => Flow::Next(None),
            Flow::End => Flow::End,
        }
    }

    pub(super) fn assign(&mut self, name: &str, value: Value) {
        let variables = &mut self.environment.variables;
        if variables.contains_key(name) || self.tracer.keeps(variables.len() < VARIABLES_MAX) {
            variables.insert(name.to_owned(), value);
        }
    }
}
