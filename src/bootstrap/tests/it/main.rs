//! The built bootstrap with a real PHP, against a Runtime API of our own.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod concurrency;
mod examples;
mod http;
mod lambda;
mod log;
mod modes;
mod runtime_api;
mod snapshot;
mod streaming;
