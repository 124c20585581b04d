//! Zastava on a real Kubernetes. Each test says what it needs and is skipped, visibly, without it.

mod cluster;
mod lab;
mod runbook;
mod story;
mod support;
