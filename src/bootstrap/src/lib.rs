//! The parts of the custom runtime inside a phplayer layer, which `main` puts together.
//!
//! From the top: `http`, `function` and `console` are the three ways to answer; `fpm` and `worker` are the PHP processes
//! behind them; `event`, `cgi`, `fastcgi` and `response` translate; `runtime_api` talks to Lambda; `settings` is all that
//! can be set. A library, so that fuzzing reaches the translators.
#![forbid(unsafe_code)]

pub mod answer;
pub mod cgi;
pub mod connection;
pub mod console;
pub mod event;
pub mod farewell;
pub mod fastcgi;
pub mod fpm;
pub mod function;
pub mod handler;
pub mod http;
pub mod invocation;
pub mod log;
pub mod output;
pub mod processes;
pub mod response;
pub mod runtime_api;
pub mod settings;
pub mod waiting;
pub mod worker;
