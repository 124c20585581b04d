//! Tests of Zastava on a real Kubernetes. A test without what it needs is skipped with a visible line.

mod cluster;
mod documents;
mod lab;
mod runbook;
mod story;
mod support;
