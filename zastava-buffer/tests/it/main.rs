//! The buffer through its public door: real directories, real processes, a real full disk.

mod cap;
mod damage;
mod full_disk;
mod kill;
mod model;
mod queue;
mod random_damage;
mod support;
mod versions;
mod wake;
