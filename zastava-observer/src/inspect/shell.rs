//! Reads shell scripts, as far as it takes to find the program that one of them starts.
//!
//! A reader of our own (docs/design/observer.md#why-is-there-a-shell-reader-of-our-own): it takes time and memory in
//! proportion to the text, and refuses nesting beyond a fixed depth, whatever a container's script looks like.

mod command;
mod lines;
mod parser;
mod pattern;
mod word;

use std::rc::Rc;

pub(super) use self::parser::parse;
pub(super) use self::pattern::{Pattern, matches};

/// Several commands, one after the other.
pub(super) type List = Vec<Node>;

/// A command.
#[derive(Debug, PartialEq)]
pub(super) enum Node {
    /// Words, with assignments in front.
    Simple(Simple),
    /// `[[ … ]]`
    Test(Vec<Word>),
    /// `a | b`: two or more.
    Pipeline(List),
    /// `! a`
    Not(Box<Self>),
    /// `a && b || c`: the first, and the others with whether `&&` is in front.
    AndOr(Box<Self>, Vec<(bool, Self)>),
    /// `a &`
    Background(Box<Self>),
    /// `{ a; b; }`
    Group(List),
    /// `( a; b )`
    Subshell(List),
    /// `if`, with the condition and the body of each branch.
    If { branches: Vec<(List, List)>, otherwise: List },
    /// `for x in …`; without `in` over the parameters.
    For { variable: String, items: Option<Vec<Word>>, body: List },
    /// `while`, `until`
    Loop { is_until: bool, condition: List, body: List },
    /// `case`
    Case { subject: Word, arms: Vec<(Vec<Word>, List)> },
    /// `f() { … }`
    Function { name: String, body: Rc<Self> },
    /// `(( … ))`
    Arithmetic,
}

/// A simple command.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Simple {
    /// The line that it begins in, from 1 on.
    pub(super) line: u32,
    pub(super) assignments: Vec<(String, Word)>,
    pub(super) words: Vec<Word>,
}

/// A word before its expansion.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Word(pub(super) Vec<Part>);

/// A part of a word.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    pub(super) kind: PartKind,
    /// Quoted parts are neither split nor patterns.
    pub(super) is_quoted: bool,
}

/// What a part of a word is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum PartKind {
    Text(String),
    /// `$x`, `${x}`, `${x:-y}`
    Parameter {
        name: String,
        operator: &'static str,
        operand: Word,
    },
    /// `$(a)`
    Substitution(Rc<List>),
    /// What is not read: arithmetic, arrays, indirection.
    Unknown,
}

/// Why a script cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("the script ends within a command")]
    Ends,
    #[error("line {0} of the script is not understood")]
    Unexpected(u32),
    #[error("the script is nested too deeply")]
    Depth,
}
