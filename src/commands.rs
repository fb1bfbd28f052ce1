//! One file a verb: its arguments, and a function that reads like its help text.
pub mod audit;
pub mod bench;
pub mod build;
pub mod doctor;
pub mod fetch;
pub mod generate;
pub mod invoke;
pub mod list;
pub mod lock;
pub mod new;
pub mod plan;
pub mod publish;
pub mod serve;
pub mod shell;
pub mod template;

mod chosen;
mod event;
mod function;
mod setup;
