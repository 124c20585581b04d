//! Text to commands: the grammar of a POSIX shell, with what bash adds and entrypoints use.

use super::word::is_name;
use super::{List, Node, Simple, Unreadable, Word};

/// The most commands and words within each other.
const DEPTH_MAX: usize = 48;

/// Reads a script.
pub(in crate::inspect) fn parse(text: &str) -> Result<List, Unreadable> {
    parse_at_depth(text, 0)
}

pub(super) fn parse_at_depth(text: &str, depth: usize) -> Result<List, Unreadable> {
    let mut parser = Parser { text, at: 0, line: 1, depth, here: Vec::new() };
    let list = parser.list()?;
    if parser.at < text.len() { Err(parser.unexpected()) } else { Ok(list) }
}

pub(super) struct Parser<'a> {
    pub(super) text: &'a str,
    pub(super) at: usize,
    pub(super) line: u32,
    pub(super) depth: usize,
    /// The here-documents that begin in the next line: how each ends, and whether tabs in front of that are skipped.
    pub(super) here: Vec<(String, bool)>,
}

/// Words that end a list where a command could begin.
const ENDS: [&str; 9] = ["then", "elif", "else", "fi", "do", "done", "esac", "}", "]]"];

impl<'a> Parser<'a> {
    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn take(&mut self) -> Option<char> {
        let taken = self.peek()?;
        self.at += taken.len_utf8();
        self.line += u32::from(taken == '\n');
        Some(taken)
    }

    pub(super) fn eat(&mut self, text: &str) -> bool {
        let is_next = self.rest().starts_with(text);
        for _ in text.chars().filter(|_| is_next) {
            self.take();
        }
        is_next
    }

    pub(super) fn unexpected(&self) -> Unreadable {
        if self.rest().trim().is_empty() { Unreadable::Ends } else { Unreadable::Unexpected(self.line) }
    }

    /// One level deeper.
    pub(super) fn nested<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<T, Unreadable>,
    ) -> Result<T, Unreadable> {
        if self.depth >= DEPTH_MAX {
            return Err(Unreadable::Depth);
        }
        self.depth += 1;
        let found = read(self);
        self.depth -= 1;
        found
    }

    /// Whether this reserved word is next.
    pub(super) fn is_reserved(&self, word: &str) -> bool {
        let Some(rest) = self.rest().strip_prefix(word) else { return false };
        rest.chars().next().is_none_or(|next| next.is_whitespace() || ";&|()<>".contains(next))
    }

    pub(super) fn eat_reserved(&mut self, word: &str) -> bool {
        self.newlines();
        self.is_reserved(word) && self.eat(word)
    }

    pub(super) fn expect(&mut self, word: &str) -> Result<(), Unreadable> {
        if self.eat_reserved(word) { Ok(()) } else { Err(self.unexpected()) }
    }

    /// Commands, until one cannot begin here.
    pub(super) fn list(&mut self) -> Result<List, Unreadable> {
        let mut list = List::new();
        loop {
            self.newlines();
            let is_end = matches!(self.peek(), None | Some(')')) || self.rest().starts_with(";;");
            if is_end || self.rest().starts_with(";&") || ENDS.iter().any(|end| self.is_reserved(end)) {
                return Ok(list);
            }
            let command = self.and_or()?;
            self.blanks();
            let is_background = self.rest().starts_with('&') && self.eat("&");
            list.push(if is_background { Node::Background(Box::new(command)) } else { command });
            let is_separated = is_background || (!self.rest().starts_with(";;") && self.eat(";"));
            if !is_separated && !matches!(self.peek(), None | Some('\n' | ')' | ';')) {
                return Err(self.unexpected());
            }
        }
    }

    fn and_or(&mut self) -> Result<Node, Unreadable> {
        let first = self.pipeline()?;
        let mut others = Vec::new();
        loop {
            self.blanks();
            let is_and = self.eat("&&");
            if !is_and && !self.eat("||") {
                return Ok(if others.is_empty() { first } else { Node::AndOr(Box::new(first), others) });
            }
            self.newlines();
            others.push((is_and, self.pipeline()?));
        }
    }

    fn pipeline(&mut self) -> Result<Node, Unreadable> {
        self.blanks();
        if self.is_reserved("!") {
            self.eat("!");
            return Ok(Node::Not(Box::new(self.nested(Self::pipeline)?)));
        }
        let mut commands = vec![self.nested(Self::command)?];
        loop {
            self.blanks();
            if self.rest().starts_with("||") || !self.eat("|") {
                break;
            }
            self.eat("&");
            self.newlines();
            commands.push(self.nested(Self::command)?);
        }
        Ok(if commands.len() > 1 { Node::Pipeline(commands) } else { commands.remove(0) })
    }

    pub(super) fn close_paren(&mut self) -> Result<(), Unreadable> {
        self.newlines();
        if self.eat(")") { Ok(()) } else { Err(self.unexpected()) }
    }

    pub(super) fn simple(&mut self) -> Result<Node, Unreadable> {
        let mut simple = Simple { line: self.line, ..Simple::default() };
        loop {
            if self.redirection()? {
                continue;
            }
            if simple.words.is_empty()
                && let Some(assignment) = self.assignment()?
            {
                simple.assignments.push(assignment);
                continue;
            }
            let Some(word) = self.word()? else { break };
            let is_first = simple.words.is_empty() && simple.assignments.is_empty();
            if is_first
                && self.rest().trim_start_matches([' ', '\t']).starts_with("()")
                && let Some(name) = word.as_text()
            {
                self.blanks();
                self.eat("()");
                return self.function(name.to_owned());
            }
            // `local a=(b c)`
            if self.peek() == Some('(') && self.text[..self.at].ends_with('=') {
                self.skip_array()?;
            }
            simple.words.push(word);
        }
        let is_empty = simple.words.is_empty() && simple.assignments.is_empty();
        // `> file` alone is a command.
        if is_empty && !matches!(self.peek(), None | Some('\n' | ';' | '&' | ')')) {
            return Err(self.unexpected());
        }
        Ok(Node::Simple(simple))
    }

    fn assignment(&mut self) -> Result<Option<(String, Word)>, Unreadable> {
        let (at, line) = (self.at, self.line);
        if let Some(name) = self.name()
            && (self.eat("=") || self.eat("+="))
        {
            if self.peek() == Some('(') {
                self.skip_array()?;
                return Ok(Some((name, Word::unknown())));
            }
            let is_added = self.text[..self.at].ends_with("+=");
            let value = self.word_here()?.unwrap_or_default();
            return Ok(Some((name, if is_added { Word::unknown() } else { value })));
        }
        (self.at, self.line) = (at, line);
        Ok(None)
    }

    /// Skips `(a b)` behind a `=`.
    fn skip_array(&mut self) -> Result<(), Unreadable> {
        self.take();
        loop {
            self.newlines();
            if self.eat(")") {
                return Ok(());
            }
            self.word()?.ok_or_else(|| self.unexpected())?;
        }
    }

    pub(super) fn name(&mut self) -> Option<String> {
        self.blanks();
        let end = self.rest().find(|next: char| !is_name(next)).unwrap_or_else(|| self.rest().len());
        let name = &self.rest()[..end];
        let is_valid = name.starts_with(|first: char| !first.is_ascii_digit());
        self.at += if is_valid { end } else { 0 };
        is_valid.then(|| name.to_owned())
    }

    /// Skips `(( … ))`, which is next.
    pub(super) fn skip_arithmetic(&mut self) -> Result<(), Unreadable> {
        let mut open = 0_usize;
        loop {
            match self.take().ok_or(Unreadable::Ends)? {
                '(' => open += 1,
                ')' => open -= 1,
                _ => {}
            }
            if open == 0 {
                return Ok(());
            }
        }
    }
}
