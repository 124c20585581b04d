//! What a caller of `zastava-oci` can rely on, through its public door.

mod containerd;
mod entries;
mod fixture;
mod hostile_layers;
mod hostile_layouts;
mod layout;
mod reading;
mod skip;
mod skopeo;
