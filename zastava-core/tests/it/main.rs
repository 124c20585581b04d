//! Core's promises, through its public door.

#[cfg(feature = "program")]
mod config;
mod contract;
#[cfg(feature = "program")]
mod health;
mod image;
mod scanner;
mod telemetry;
