//! Columns of text for a terminal.

use std::fmt;

/// The longest cell. A cell may hold text that others chose.
const CELL_LENGTH_MAX: usize = 120;

/// Rows whose cells are aligned. The last cell of a row is not padded.
#[derive(Debug, Default)]
pub struct Table(Vec<Vec<String>>);

impl Table {
    /// A table with names above its columns.
    #[must_use]
    pub fn with_header(header: &[&str]) -> Self {
        Self(vec![header.iter().map(|cell| (*cell).to_owned()).collect()])
    }

    /// Adds a row. Control characters are escaped, so that no text of others moves the cursor.
    pub fn row(&mut self, cells: impl IntoIterator<Item = impl AsRef<str>>) {
        self.0.push(cells.into_iter().map(|cell| shown(cell.as_ref())).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.0.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.0.iter().filter(|row| row.len() > column + 1);
            cells.map(|row| row[column].chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.0 {
            let (last, padded) = row.split_last().map_or((None, &row[..]), |(last, rest)| (Some(last), rest));
            for (cell, width) in padded.iter().zip(&widths) {
                write!(f, "{cell:<width$}  ")?;
            }
            writeln!(f, "{}", last.map_or("", String::as_str))?;
        }
        Ok(())
    }
}

fn shown(text: &str) -> String {
    let mut shown = String::new();
    for character in text.chars() {
        match character.is_control() || is_invisible(character) {
            true => shown.extend(character.escape_debug()),
            false => shown.push(character),
        }
        if shown.chars().count() >= CELL_LENGTH_MAX {
            shown.push('…');
            break;
        }
    }
    shown
}

/// Characters that turn the direction of text around, and others without a width.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_foreign_text_stays_in_its_cell() {
        let mut table = Table::with_header(&["ID", "REASON"]);
        table.row(["abc", "bad\u{1b}[2J\nline"]);
        table.row([String::from("d"), "x".repeat(300)]);
        let text = table.to_string();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "ID   REASON");
        assert_eq!(lines[1], "abc  bad\\u{1b}[2J\\nline");
        assert_eq!(lines[2].chars().count(), 5 + CELL_LENGTH_MAX + 1);
        assert_eq!(lines.len(), 3);
    }
}
