//! How a command ends when it does not end well: one report, one exit code, made at the edge.

use std::process::ExitCode;

use miette::{Diagnostic, Report};

/// What kind of failure it was, and so which exit code scripts see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// 1: the work itself failed.
    Work,
    /// 2: what the user wrote is wrong.
    Input,
    /// 3: this machine lacks something.
    Machine,
}

/// A report for people and the kind of it. Every module's error is a [`Diagnostic`]; its help is the way out.
#[derive(Debug)]
pub struct Failure {
    pub kind: Kind,
    pub report: Report,
}

impl Failure {
    pub fn work(error: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self { kind: Kind::Work, report: Report::new(error) }
    }

    pub fn input(error: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self { kind: Kind::Input, report: Report::new(error) }
    }

    pub fn machine(error: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self { kind: Kind::Machine, report: Report::new(error) }
    }
}

impl Kind {
    pub fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Kind::Work => 1,
            Kind::Input => 2,
            Kind::Machine => 3,
        })
    }
}

/// How a command ended when it did what it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 0.
    Done,
    /// 1: the work was done and its answer is no: the audit objects, a function failed, a region is missing.
    Objected,
}

impl Outcome {
    pub fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Outcome::Done => 0,
            Outcome::Objected => 1,
        })
    }
}
