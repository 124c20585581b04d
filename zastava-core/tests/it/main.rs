//! Core's promises, through its public door.

#![cfg(feature = "platform")]

mod canonical;
mod config;
mod contract;
mod engine_references;
#[cfg(feature = "program")]
mod health;
mod image;
mod pem;
mod places;
mod scanner;
mod telemetry;
mod vocabulary;
