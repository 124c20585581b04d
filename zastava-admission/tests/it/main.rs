//! The webhook through its public door: reviews in, answers out, over HTTPS and in process.

mod acceptance;
mod asking;
mod broken_files;
mod bypass;
mod certificates;
mod configuring;
mod deciding;
mod doubtful;
mod draining;
mod exceptions;
mod fairness;
mod golden;
mod installation;
mod manifests;
mod memory;
mod policy_test;
mod program;
mod reading;
mod refusing;
mod scanner;
mod serving;
mod sharing;
mod status;
mod updating;
mod web;
mod webhook;
