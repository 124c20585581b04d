//! The command blocks of documents.

use std::fmt::Write as _;

/// A fenced block of shell commands.
#[derive(Debug)]
pub(crate) struct Block {
    /// The number of its section, such as `2.1`, or its title where sections have no numbers.
    pub(crate) section: String,
    /// The line on which it begins.
    pub(crate) line: usize,
    pub(crate) commands: String,
    pub(crate) place: Place,
}

/// Where a block is run, by the words after ```` ```sh ````.
#[derive(Debug, PartialEq)]
pub(crate) enum Place {
    /// The document's usual shell: no words.
    Here,
    /// `in the cluster's shell`
    Cluster,
    /// `on a node`
    Node,
    /// `not run: REASON`
    Nowhere(String),
}

impl Place {
    fn of(words: &str) -> Self {
        match words {
            "" => Self::Here,
            "in the cluster's shell" => Self::Cluster,
            "on a node" => Self::Node,
            _ => {
                let reason = words.strip_prefix("not run: ");
                Self::Nowhere(reason.unwrap_or_else(|| panic!("where is a block run {words:?}?")).to_owned())
            }
        }
    }
}

/// Every block in order.
pub(crate) fn blocks(text: &str) -> Vec<Block> {
    let (mut blocks, mut section, mut open): (Vec<Block>, String, Option<(usize, Block)>) =
        Default::default();
    for (index, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        match (&mut open, line.trim()) {
            (Some(_), "```") => blocks.extend(open.take().map(|(_, block)| block)),
            (Some((indent, block)), _) => {
                let line = line.get(*indent..).unwrap_or_default();
                writeln!(block.commands, "{line}").expect("a string takes all");
            }
            (None, fence) if fence.starts_with("```") => {
                let words = fence.strip_prefix("```sh").map_or("not run: no commands", str::trim);
                let (section, commands) = (section.clone(), String::new());
                open = Some((indent, Block { section, line: index + 1, commands, place: Place::of(words) }));
            }
            (None, heading) if heading.starts_with("##") => {
                let title = heading.trim_start_matches('#').trim();
                let number = title.split_whitespace().next().unwrap_or_default();
                let is_number = number.starts_with(|c: char| c.is_ascii_digit());
                section = if is_number { number.trim_end_matches('.').to_owned() } else { title.to_owned() };
            }
            (None, _) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}
