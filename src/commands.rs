//! One file a verb: its arguments, and a function that reads like its help text.
pub mod audit;
mod function;
pub mod invoke;
pub mod new;
pub mod publish;
pub mod serve;
