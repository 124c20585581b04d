//! The sandbox's promises, through its public door and over real connections.

mod authority;
mod client;
mod cluster;
mod configuration;
mod faults;
mod files;
mod logs;
mod outages;
mod policy;
mod program;
mod scanner;
