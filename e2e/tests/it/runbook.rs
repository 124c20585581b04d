//! The command blocks of `docs/ops/runbook.md`.

use std::fmt::Write as _;

/// A fenced block of shell commands.
#[derive(Debug)]
pub(crate) struct Block {
    /// The number of its section, such as `2.1`.
    pub(crate) section: String,
    /// The line on which it begins.
    pub(crate) line: usize,
    pub(crate) commands: String,
    /// Why it cannot be run here.
    pub(crate) not_run: Option<String>,
}

/// Every block in order: ```` ```sh ````, or ```` ```sh not run: REASON ````.
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
            (None, fence) if fence.starts_with("```sh") => {
                let reason = fence.trim_start_matches("```sh").trim();
                let not_run = (!reason.is_empty()).then(|| {
                    let reason = reason.strip_prefix("not run: ").expect("says why it is not run");
                    reason.to_owned()
                });
                let (section, commands) = (section.clone(), String::new());
                open = Some((indent, Block { section, line: index + 1, commands, not_run }));
            }
            (None, fence) if fence.starts_with("```") => panic!("line {}: commands are ```sh", index + 1),
            (None, heading) if heading.starts_with("##") => {
                let number = heading.trim_start_matches('#').split_whitespace().next().unwrap_or_default();
                section = number.trim_end_matches('.').to_owned();
            }
            (None, _) => {}
        }
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}
