//! The built bootstrap with a real PHP, against a Runtime API of our own.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod http;
mod lambda;
mod modes;
