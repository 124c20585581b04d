//! The webhook through its public door: reviews in, answers out, over HTTPS and in process.

mod acceptance;
mod asking;
mod broken_files;
mod bypass;
mod certificates;
mod configuring;
mod deciding;
mod exceptions;
mod golden;
mod installation;
mod program;
mod reading;
mod scanner;
mod serving;
mod web;
