//! Tests of `deploy/helm/zastava` and `docs/ops` that need no cluster.

mod blocking;
mod bounds;
mod certificates;
mod chart;
mod cluster;
mod configuration;
mod contradictions;
mod documents;
mod kubernetes;
mod lab;
mod looked_up;
mod mistakes;
mod monitoring;
mod observer;
mod registration;
mod tools;
mod webhook;
mod yaml;
