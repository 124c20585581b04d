//! Compound commands.

use std::rc::Rc;

use super::parser::Parser;
use super::{List, Node, Unreadable, Word};

impl Parser<'_> {
    pub(super) fn command(&mut self) -> Result<Node, Unreadable> {
        self.blanks();
        let node = if self.rest().starts_with("((") {
            self.skip_arithmetic()?;
            Node::Arithmetic
        } else if self.eat("(") {
            let list = self.list()?;
            self.close_paren()?;
            Node::Subshell(list)
        } else if self.eat_reserved_here("{") {
            let list = self.list()?;
            self.expect("}")?;
            Node::Group(list)
        } else if self.eat_reserved_here("if") {
            self.after_if()?
        } else if self.eat_reserved_here("while") {
            self.after_loop(false)?
        } else if self.eat_reserved_here("until") {
            self.after_loop(true)?
        } else if self.eat_reserved_here("for") {
            self.after_for()?
        } else if self.eat_reserved_here("case") {
            self.after_case()?
        } else if self.eat_reserved_here("[[") {
            self.after_test()?
        } else if self.eat_reserved_here("function") {
            self.blanks();
            let name = self.name().ok_or_else(|| self.unexpected())?;
            self.blanks();
            self.eat("()");
            self.function(name)?
        } else {
            return self.simple();
        };
        // `done < file`
        while self.redirection()? {}
        Ok(node)
    }

    fn eat_reserved_here(&mut self, word: &str) -> bool {
        self.is_reserved(word) && self.eat(word)
    }

    fn after_if(&mut self) -> Result<Node, Unreadable> {
        let mut branches = Vec::new();
        loop {
            let condition = self.list()?;
            self.expect("then")?;
            branches.push((condition, self.list()?));
            if self.eat_reserved("elif") {
                continue;
            }
            let otherwise = if self.eat_reserved("else") { self.list()? } else { List::new() };
            self.expect("fi")?;
            return Ok(Node::If { branches, otherwise });
        }
    }

    fn after_loop(&mut self, is_until: bool) -> Result<Node, Unreadable> {
        let condition = self.list()?;
        Ok(Node::Loop { is_until, condition, body: self.body()? })
    }

    fn body(&mut self) -> Result<List, Unreadable> {
        self.expect("do")?;
        let body = self.list()?;
        self.expect("done")?;
        Ok(body)
    }

    fn after_for(&mut self) -> Result<Node, Unreadable> {
        self.blanks();
        if self.rest().starts_with("((") {
            self.skip_arithmetic()?;
            self.blanks();
            self.eat(";");
            self.body()?;
            return Ok(Node::Arithmetic);
        }
        let variable = self.name().ok_or_else(|| self.unexpected())?;
        let items = if self.eat_reserved("in") { Some(self.words()?) } else { None };
        self.blanks();
        self.eat(";");
        Ok(Node::For { variable, items, body: self.body()? })
    }

    fn words(&mut self) -> Result<Vec<Word>, Unreadable> {
        let mut words = Vec::new();
        while let Some(word) = self.word()? {
            words.push(word);
        }
        Ok(words)
    }

    fn after_case(&mut self) -> Result<Node, Unreadable> {
        let subject = self.word()?.ok_or_else(|| self.unexpected())?;
        self.expect("in")?;
        let mut arms = Vec::new();
        while !self.eat_reserved("esac") {
            self.eat("(");
            let mut patterns = Vec::new();
            loop {
                patterns.push(self.word()?.ok_or_else(|| self.unexpected())?);
                self.blanks();
                if !self.eat("|") {
                    break;
                }
            }
            self.close_paren()?;
            arms.push((patterns, self.list()?));
            self.newlines();
            let _ = self.eat(";;&") || self.eat(";;") || self.eat(";&");
        }
        Ok(Node::Case { subject, arms })
    }

    /// The words up to `]]`. The characters that end words elsewhere are operators of the test here.
    fn after_test(&mut self) -> Result<Node, Unreadable> {
        let mut words = Vec::new();
        loop {
            self.newlines();
            if self.is_reserved("]]") {
                self.eat("]]");
                return Ok(Node::Test(words));
            }
            let operator = ["&&", "||", "(", ")", "<", ">"].into_iter().find(|operator| self.eat(operator));
            let word = match operator {
                Some(operator) => Some(Word::text(operator)),
                None => self.test_word()?,
            };
            words.push(word.ok_or_else(|| self.unexpected())?);
        }
    }

    pub(super) fn function(&mut self, name: String) -> Result<Node, Unreadable> {
        self.newlines();
        let body = Rc::new(self.nested(Self::command)?);
        Ok(Node::Function { name, body })
    }
}
