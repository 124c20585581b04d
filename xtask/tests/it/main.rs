//! What a caller of `xtask` can rely on, through its public door.

mod containerd;
mod entries;
mod layout;
mod skip;
mod skopeo;
