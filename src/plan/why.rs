//! Why a step must be built: its inputs against those of the nearest earlier output.

use std::fmt;

use super::Inputs;

/// The first difference that explains a new key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nothing like it was ever built here.
    Never,
    Toolchain {
        was: String,
    },
    Source,
    Script,
    Environment {
        name: String,
    },
    Needs {
        name: String,
    },
    /// The earlier output is gone from the store.
    Gone,
}

/// Compares with an earlier build of the same kind.
pub fn why(now: &Inputs, before: Option<&Inputs>) -> Why {
    let Some(before) = before else { return Why::Never };
    if now.toolchain != before.toolchain {
        return Why::Toolchain { was: before.toolchain.clone() };
    }
    if now.sources != before.sources {
        return Why::Source;
    }
    if now.script != before.script {
        return Why::Script;
    }
    let names = now.environment.keys().chain(before.environment.keys());
    if let Some(name) = names.into_iter().find(|name| now.environment.get(*name) != before.environment.get(*name)) {
        return Why::Environment { name: name.clone() };
    }
    let names = now.needs.keys().chain(before.needs.keys());
    match names.into_iter().find(|name| now.needs.get(*name) != before.needs.get(*name)) {
        Some(name) => Why::Needs { name: name.clone() },
        None => Why::Gone,
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Why::Never => f.write_str("not built before"),
            Why::Toolchain { was } => write!(f, "the toolchain was {was}"),
            Why::Source => f.write_str("its source changed"),
            Why::Script => f.write_str("its commands changed"),
            Why::Environment { name } => write!(f, "{name} changed"),
            Why::Needs { name } => write!(f, "{name} changed"),
            Why::Gone => f.write_str("its output is not in the store"),
        }
    }
}
