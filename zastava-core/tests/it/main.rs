//! Core's promises, through its public door.

mod config;
mod contract;
#[cfg(feature = "program")]
mod health;
mod image;
mod scanner;
mod telemetry;
mod vocabulary;
