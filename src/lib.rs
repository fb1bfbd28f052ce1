//! phplayer builds PHP layers for AWS Lambda, proves that they load, runs them here, and publishes them.
//!
//! The rooms, from the top: a module imports only what stands below it (`tests/it/layering.rs` holds that order).
#![forbid(unsafe_code)]

pub mod cli;
pub mod commands;
pub mod failure;
pub mod console;

pub mod publish;
pub mod bench;
pub mod emulator;
pub mod audit;

pub mod layer;
pub mod vendor;
pub mod engine;
pub mod toolchain;

pub mod plan;

pub mod lockfile;
pub mod catalogue;
pub mod source;
pub mod recipe;

pub mod remote;
pub mod elf;
pub mod archive;
pub mod store;
pub mod process;
pub mod progress;
pub mod aws;
pub mod target;
pub mod digest;
pub mod address;
