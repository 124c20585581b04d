//! Words and what stands in them.

use std::rc::Rc;

use super::parser::{Parser, parse_at_depth};
use super::{Part, PartKind, Unreadable, Word};

/// What stands between a parameter and its operand. Longer ones first.
const OPERATORS: [&str; 14] = [":-", ":=", ":+", ":?", "##", "%%", "-", "=", "+", "?", "#", "%", ":", "/"];

impl Word {
    pub(super) fn text(text: &str) -> Self {
        Self(vec![Part { kind: PartKind::Text(text.to_owned()), is_quoted: false }])
    }

    pub(super) fn unknown() -> Self {
        Self(vec![Part { kind: PartKind::Unknown, is_quoted: true }])
    }

    /// The word, if it is nothing but text.
    pub(in crate::inspect) fn as_text(&self) -> Option<&str> {
        match &self.0[..] {
            [Part { kind: PartKind::Text(text), .. }] => Some(text),
            _ => None,
        }
    }

    fn push(&mut self, kind: PartKind, is_quoted: bool) {
        self.0.push(Part { kind, is_quoted });
    }

    fn push_text(&mut self, character: char, is_quoted: bool) {
        match self.0.last_mut() {
            Some(Part { kind: PartKind::Text(text), is_quoted: known }) if *known == is_quoted => {
                text.push(character);
            }
            _ => self.push(PartKind::Text(character.to_string()), is_quoted),
        }
    }
}

/// What ends a word.
#[derive(Clone, Copy, PartialEq)]
enum Until {
    /// A blank or an operator.
    Operator,
    /// A blank: within `[[ … ]]`.
    Blank,
    /// The end of `${…}`.
    Brace,
    /// The second quote.
    Quote,
}

impl Parser<'_> {
    /// The next word; `None` if an operator or the end of the line is next.
    pub(super) fn word(&mut self) -> Result<Option<Word>, Unreadable> {
        self.blanks();
        self.word_here()
    }

    /// The same, without skipping blanks.
    pub(super) fn word_here(&mut self) -> Result<Option<Word>, Unreadable> {
        self.read_word(Until::Operator)
    }

    pub(super) fn test_word(&mut self) -> Result<Option<Word>, Unreadable> {
        self.read_word(Until::Blank)
    }

    fn read_word(&mut self, until: Until) -> Result<Option<Word>, Unreadable> {
        let (mut word, from) = (Word::default(), self.at);
        self.nested(|parser| parser.read_parts(&mut word, until))?;
        Ok((self.at > from).then_some(word))
    }

    fn read_parts(&mut self, word: &mut Word, until: Until) -> Result<(), Unreadable> {
        let is_quoted = until == Until::Quote;
        while let Some(next) = self.peek() {
            match (until, next) {
                (Until::Operator, '<' | '>') if self.rest()[1..].starts_with('(') => {
                    self.take();
                    self.substitution()?;
                    word.push(PartKind::Unknown, true);
                    continue;
                }
                (Until::Operator, ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '(' | ')' | '<' | '>')
                | (Until::Blank, ' ' | '\t' | '\r' | '\n')
                | (Until::Brace, '}')
                | (Until::Quote, '"') => return Ok(()),
                // A parenthesis of the test itself, and not of a regular expression.
                (Until::Blank, ')') if !word.0.is_empty() && !has_open_paren(word) => return Ok(()),
                (_, '$') => self.dollar(word, is_quoted)?,
                (_, '`') => self.backticks(word, is_quoted)?,
                (_, '\\') => self.escape(word, is_quoted),
                (Until::Quote, _) => {
                    self.take();
                    word.push_text(next, true);
                }
                (_, '\'') => {
                    self.take();
                    word.push(PartKind::Text(self.up_to('\'')?), true);
                }
                (_, '"') => {
                    self.take();
                    // An empty string is a word too.
                    word.push(PartKind::Text(String::new()), true);
                    self.nested(|parser| parser.read_parts(word, Until::Quote))?;
                    self.take().ok_or(Unreadable::Ends)?;
                }
                _ => {
                    self.take();
                    word.push_text(next, false);
                }
            }
        }
        if until == Until::Quote { Err(Unreadable::Ends) } else { Ok(()) }
    }

    /// The text before the next `end`, which is skipped.
    fn up_to(&mut self, end: char) -> Result<String, Unreadable> {
        let mut text = String::new();
        loop {
            match self.take().ok_or(Unreadable::Ends)? {
                found if found == end => return Ok(text),
                other => text.push(other),
            }
        }
    }

    fn escape(&mut self, word: &mut Word, is_quoted: bool) {
        self.take();
        match self.take() {
            Some('\n') | None => {}
            Some(next) if is_quoted && !"$`\"\\".contains(next) => {
                word.push_text('\\', true);
                word.push_text(next, true);
            }
            Some(next) => word.push_text(next, true),
        }
    }

    fn dollar(&mut self, word: &mut Word, is_quoted: bool) -> Result<(), Unreadable> {
        self.take();
        let kind = match self.peek() {
            Some('(') if self.rest().starts_with("((") => {
                self.skip_arithmetic()?;
                PartKind::Unknown
            }
            Some('(') => self.substitution()?,
            Some('{') => {
                self.take();
                self.nested(Self::braced)?
            }
            Some('\'') if !is_quoted => {
                self.take();
                PartKind::Text(self.up_to('\'')?)
            }
            Some(next) if is_name(next) && !next.is_ascii_digit() => {
                let end = self.rest().find(|next: char| !is_name(next)).unwrap_or_else(|| self.rest().len());
                let name = self.rest()[..end].to_owned();
                self.at += end;
                PartKind::Parameter { name, operator: "", operand: Word::default() }
            }
            Some(next) if next.is_ascii_digit() || is_special(next) => {
                self.take();
                PartKind::Parameter { name: next.to_string(), operator: "", operand: Word::default() }
            }
            _ => PartKind::Text("$".to_owned()),
        };
        word.push(kind, is_quoted);
        Ok(())
    }

    /// `(a; b)`
    fn substitution(&mut self) -> Result<PartKind, Unreadable> {
        self.take();
        let list = self.nested(Self::list)?;
        self.close_paren()?;
        Ok(PartKind::Substitution(Rc::new(list)))
    }

    fn backticks(&mut self, word: &mut Word, is_quoted: bool) -> Result<(), Unreadable> {
        self.take();
        let mut text = String::new();
        loop {
            match self.take().ok_or(Unreadable::Ends)? {
                '`' => break,
                '\\' if self.rest().starts_with(['`', '\\', '$']) => text.extend(self.take()),
                other => text.push(other),
            }
        }
        let depth = self.depth;
        let list = self.nested(|_| parse_at_depth(&text, depth + 1))?;
        word.push(PartKind::Substitution(Rc::new(list)), is_quoted);
        Ok(())
    }

    /// `x:-y}` behind `${`
    fn braced(&mut self) -> Result<PartKind, Unreadable> {
        if self.rest().starts_with('#') && !self.rest().starts_with("#}") {
            // `${#x}`: a length.
            self.read_word(Until::Brace)?;
            self.take();
            return Ok(PartKind::Unknown);
        }
        let end = self.rest().find(|next: char| !is_name(next)).unwrap_or_else(|| self.rest().len());
        let end = if end == 0 && self.peek().is_some_and(is_special) { 1 } else { end };
        let name = self.rest()[..end].to_owned();
        self.at += end;
        let operator = OPERATORS.into_iter().find(|operator| self.eat(operator));
        let operand = self.read_word(Until::Brace)?;
        self.take().ok_or(Unreadable::Ends)?;
        // Without an operator there is an array's index, or `${!x}`.
        if name.is_empty() || (operator.is_none() && operand.is_some()) {
            return Ok(PartKind::Unknown);
        }
        Ok(PartKind::Parameter {
            name,
            operator: operator.unwrap_or(""),
            operand: operand.unwrap_or_default(),
        })
    }
}

fn has_open_paren(word: &Word) -> bool {
    let text = |part: &Part| if let PartKind::Text(text) = &part.kind { text.clone() } else { String::new() };
    let text: String = word.0.iter().map(text).collect();
    text.matches('(').count() > text.matches(')').count()
}

pub(super) fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

fn is_special(character: char) -> bool {
    "@*#?-$!".contains(character)
}
