//! The built bootstrap with a real PHP, against a Runtime API of our own.

mod http;
mod lambda;
mod modes;
