//! Image references and digests, parsed once into types that cannot be wrong.
//!
//! The grammar is that of the OCI distribution project's `reference` package: a name of at most
//! 255 characters, an optional registry host, an optional tag, an optional digest. Docker's short
//! forms are completed: `nginx` names `docker.io/library/nginx`.

mod digest;
mod error;
mod grammar;
mod reference;

pub use digest::Digest;
pub use error::ImageError;
pub use reference::ImageReference;
