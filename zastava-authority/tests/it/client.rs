//! Tests of what the feature `client` adds.

mod audit;
mod bindings;
mod broken_files;
mod cache;
mod fallback;
mod layer;
mod log;
mod new_keys;
mod oidc;
mod pki;
mod processes;
mod provider;
mod recipes;
mod rejections;
mod runtime;
mod secrets;
mod streams;
mod support;
mod token_conversation;
mod token_request;
mod tokens;
mod transport;
