//! Tests of the buffer through its public interface, on real directories.

mod cancel;
mod damage;
mod full_disk;
mod kill;
mod lock;
mod model;
mod policy;
mod stream;
mod support;
mod versions;
