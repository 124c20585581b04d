//! Cuts a stream of bytes into lines of bounded length.

/// The longest line. An event holds the labels of its container.
const LINE_BYTES_MAX: usize = 1 << 20;

/// The begin of a line whose end has not come yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    begun: Vec<u8>,
    is_too_long: bool,
}

impl Lines {
    /// Gives every line that ends in `part` to `each`, without its end. A line that is too long is `None`; an empty one is none.
    pub(super) fn push(&mut self, part: &[u8], mut each: impl FnMut(Option<&[u8]>)) {
        let mut rest = part;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.begin(&rest[..end]);
            rest = &rest[end + 1..];
            let line = std::mem::take(&mut self.begun);
            match std::mem::take(&mut self.is_too_long) {
                true => each(None),
                false if line.trim_ascii().is_empty() => {}
                false => each(Some(&line)),
            }
        }
        self.begin(rest);
    }

    fn begin(&mut self, part: &[u8]) {
        self.is_too_long |= self.begun.len() + part.len() > LINE_BYTES_MAX;
        match self.is_too_long {
            true => self.begun = Vec::new(),
            false => self.begun.extend_from_slice(part),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(parts: &[&[u8]]) -> Vec<Option<String>> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for part in parts {
            lines.push(part, |line| found.push(line.map(|line| String::from_utf8_lossy(line).into_owned())));
        }
        found
    }

    #[test]
    fn lines_are_found_wherever_the_stream_is_cut() {
        let text = b"{\"a\":1}\n{}\n\r\n{\"b\":\"long\"}\nrest";
        for at in 0..text.len() {
            let found: Vec<String> = cut(&[&text[..at], &text[at..]]).into_iter().flatten().collect();
            assert_eq!(found, ["{\"a\":1}", "{}", "{\"b\":\"long\"}"], "{at}");
        }
    }

    #[test]
    fn a_line_that_is_too_long_costs_that_line_only() {
        let long = vec![b'x'; LINE_BYTES_MAX];
        assert_eq!(cut(&[&long, b"\n"]).iter().flatten().count(), 1);
        let found = cut(&[b"a\n", &long, b"x", &long, b"\nb\n"]);
        assert_eq!(found, [Some("a".to_owned()), None, Some("b".to_owned())]);
    }
}
