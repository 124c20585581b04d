//! What stands between commands: blanks, comments, ends of lines, here-documents and redirections.

use super::Unreadable;
use super::parser::Parser;

impl Parser<'_> {
    /// Skips blanks, continued lines and a comment, but no end of a line.
    pub(super) fn blanks(&mut self) {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\r') => {
                    self.take();
                }
                Some('\\') if self.rest().starts_with("\\\n") => {
                    self.eat("\\\n");
                }
                Some('#') => {
                    while self.peek().is_some_and(|next| next != '\n') {
                        self.take();
                    }
                }
                _ => return,
            }
        }
    }

    /// Skips ends of lines, and the here-documents that begin there.
    pub(super) fn newlines(&mut self) {
        loop {
            self.blanks();
            if !self.eat("\n") {
                return;
            }
            for (end, skips_tabs) in std::mem::take(&mut self.here) {
                self.skip_here_document(&end, skips_tabs);
            }
        }
    }

    fn skip_here_document(&mut self, end: &str, skips_tabs: bool) {
        while !self.rest().is_empty() {
            let line = self.rest().split('\n').next().unwrap_or("");
            self.at += line.len();
            self.eat("\n");
            let line = if skips_tabs { line.trim_start_matches('\t') } else { line };
            if line.trim_end_matches('\r') == end {
                return;
            }
        }
    }

    /// `2>&1`, `< file`, `<<END`
    pub(super) fn redirection(&mut self) -> Result<bool, Unreadable> {
        self.blanks();
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        let rest = &self.rest()[digits..];
        let operator = ["<<<", "<<-", "<<", "<&", "<>", ">>", ">&", ">|", "&>>", "&>", "<", ">"]
            .into_iter()
            .find(|operator| rest.starts_with(operator));
        let Some(operator) = operator.filter(|_| !rest.starts_with("<(") && !rest.starts_with(">(")) else {
            return Ok(false);
        };
        self.at += digits + operator.len();
        let target = self.word()?.ok_or_else(|| self.unexpected())?;
        if operator == "<<" || operator == "<<-" {
            self.here.push((target.as_text().unwrap_or_default().to_owned(), operator == "<<-"));
        }
        Ok(true)
    }
}
