//! The first line of a script, as the kernel reads it (`fs/binfmt_script.c`).

/// How much of a file the kernel looks at.
pub(super) const HEAD_BYTES: usize = 256;

/// What a script's first line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shebang<'a> {
    pub(super) interpreter: &'a [u8],
    /// The rest of the line is one argument.
    pub(super) argument: Option<&'a [u8]>,
}

/// `None` if the file is no script that the kernel runs. `head` is its first [`HEAD_BYTES`], or less if it is shorter.
pub(super) fn parse(head: &[u8]) -> Option<Shebang<'_>> {
    let rest = head.strip_prefix(b"#!")?;
    let end = rest.iter().position(|byte| *byte == b'\n');
    let line = match end {
        Some(end) => &rest[..end],
        None => rest,
    };
    // Text ends at a NUL, which a shorter file is filled up with.
    let ends_at_nul = line.iter().position(|byte| *byte == 0);
    let is_cut = end.is_none() && ends_at_nul.is_none() && head.len() >= HEAD_BYTES;
    let line = trim(&line[..ends_at_nul.unwrap_or(line.len())]);
    let name_end = line.iter().position(is_blank);
    // The name may be longer than what was read; the kernel refuses that. It does not refuse a cut argument.
    if is_cut && name_end.is_none() {
        return None;
    }
    let (interpreter, argument) = line.split_at(name_end.unwrap_or(line.len()));
    let argument = Some(trim(argument)).filter(|argument| !argument.is_empty());
    (!interpreter.is_empty()).then_some(Shebang { interpreter, argument })
}

/// The program that `env` is asked for by its one argument: `node`, `-S node --flag`, `A=b node`.
pub(super) fn env_program(argument: &str) -> Option<&str> {
    const SPLIT: [&str; 3] = ["-S", "-vS", "--split-string="];
    let words = match SPLIT.iter().find_map(|option| argument.strip_prefix(option)) {
        Some(words) => words,
        // Without -S the argument is one word.
        None if argument.contains(char::is_whitespace) => return None,
        None => argument,
    };
    words.split_whitespace().find(|word| !word.starts_with('-') && !word.contains('='))
}

fn is_blank(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

fn trim(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_blank(first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && is_blank(last)
    {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(head: &str, wanted: Option<(&str, Option<&str>)>) {
        let text = |bytes| std::str::from_utf8(bytes).expect("is text");
        let found = parse(head.as_bytes()).map(|line| (text(line.interpreter), line.argument.map(text)));
        assert_eq!(found, wanted, "{head:?}");
    }

    #[test]
    fn a_line_is_read_as_the_kernel_reads_it() {
        check("#!/bin/sh\necho", Some(("/bin/sh", None)));
        check("#!/bin/sh", Some(("/bin/sh", None)));
        check("#! \t/bin/sh  -e\t-u \nx", Some(("/bin/sh", Some("-e\t-u"))));
        check("#!/usr/bin/env -S node --flag\n", Some(("/usr/bin/env", Some("-S node --flag"))));
        check("#!/bin/sh\r\n", Some(("/bin/sh\r", None)));
        check("#!/bin/sh\0#", Some(("/bin/sh", None)));
        for none in ["", "#", "#!", "#!\n/bin/sh", "#!  \t\n", " #!/bin/sh\n", "\x7fELF", "#!\0/bin/sh"] {
            check(none, None);
        }
    }

    #[test]
    fn a_name_that_is_cut_off_is_none_and_an_argument_is_cut() {
        let long = "x".repeat(HEAD_BYTES);
        check(&format!("#!/{long}")[..HEAD_BYTES], None);
        let head = format!("#!/bin/sh {long}");
        check(&head[..HEAD_BYTES], Some(("/bin/sh", Some(&head[10..HEAD_BYTES]))));
        check(
            &format!("#!/{}\n", &long[..HEAD_BYTES - 4]),
            Some((&format!("/{}", &long[..HEAD_BYTES - 4]), None)),
        );
    }

    #[test]
    fn env_names_its_program() {
        for (argument, wanted) in [
            ("node", Some("node")),
            ("-S node --flag", Some("node")),
            ("-S A=b -i python3 -u", Some("python3")),
            ("--split-string=perl -w", Some("perl")),
            ("-vSruby", Some("ruby")),
            // One word of that name.
            ("node --flag", None),
            ("-i", None),
            ("", None),
        ] {
            assert_eq!(env_program(argument), wanted, "{argument}");
        }
    }
}
