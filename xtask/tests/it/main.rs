//! What a caller of `xtask` can rely on, through its public door.

mod command;
mod containerd;
mod entries;
mod fitness;
mod layout;
mod skip;
mod skopeo;
