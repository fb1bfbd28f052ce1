//! Will this layer load on Lambda? Facts ([`contents`], [`crate::elf`]), what the base offers ([`policy`]) and judgement
//! ([`rule`], `judge`, `loader`) are three things; a [`Report`] is what comes of them, and [`Audited`] its seal.

use std::path::{Path, PathBuf};

use miette::Diagnostic;
use thiserror::Error;

use crate::digest::Digest;

pub mod contents;
mod judge;
mod loader;
mod mounted;
pub mod policy;
pub mod report;
pub mod rule;
pub mod sarif;
pub mod text;
pub mod waiver;

pub use contents::Contents;
pub use policy::Policy;
pub use report::{Audited, Finding, Report, Reports, Subject};
pub use rule::{Level, Rule};
pub use waiver::{Waiver, WaiverError};

/// There is nothing to judge. What is wrong with a layer is a finding, never an error.
#[derive(Debug, Error, Diagnostic)]
pub enum AuditError {
    #[error("cannot read {}", path.display())]
    #[diagnostic(help("Name a layer's zip, or the folder that one is packed from."))]
    Open { path: PathBuf, source: std::io::Error },
    #[error("{} changed since it was audited: sha256 {found}, audited {audited}", path.display())]
    #[diagnostic(help("Let nothing write to it, and audit it again."))]
    Changed { path: PathBuf, audited: Digest, found: Digest },
}

/// Reads the layer in a zip or a folder and judges it; waivers in its manifest are applied.
pub fn inspect(path: &Path, policy: &Policy) -> Result<Report, AuditError> {
    Ok(judge(&Contents::read(path)?, policy))
}

/// Judges what was read before. A layer for both architectures is judged once for each.
pub fn judge(contents: &Contents, policy: &Policy) -> Report {
    judge::judge(contents, policy)
}
