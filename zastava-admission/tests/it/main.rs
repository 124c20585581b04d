//! The webhook through its public door: reviews in, answers out, over HTTPS and in process.

mod asking;
mod bypass;
mod certificates;
mod configuring;
mod deciding;
mod golden;
mod installation;
mod program;
mod reading;
mod scanner;
mod serving;
mod web;
