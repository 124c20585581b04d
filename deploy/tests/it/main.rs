//! What `deploy/helm/zastava` and `docs/ops` promise, as far as no cluster is needed to see it.

mod chart;
mod configuration;
mod documents;
mod kubernetes;
mod lab;
mod mistakes;
mod monitoring;
mod observer;
mod registration;
mod tools;
mod webhook;
mod yaml;
