//! What a caller of `xtask` can rely on, through its public door.

mod command;
mod fitness;
mod skip;
