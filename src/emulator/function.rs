//! A function as its configuration on Lambda describes it, and where to find the layers that were built for it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err as fs;

use super::EmulatorError;
use crate::target::Arch;

#[derive(Clone, Debug)]
pub struct Function {
    /// Zip files, merged into `/opt` in this order.
    pub layers: Vec<PathBuf>,
    /// The folder that becomes `/var/task`.
    pub task: PathBuf,
    pub handler: String,
    pub timeout: Duration,
    /// In MiB, which Lambda calls MB.
    pub memory_mb: u32,
    pub name: String,
    pub region: String,
    pub initialization: Initialization,
    /// The user's variables; Lambda's own come on top.
    pub env: BTreeMap<String, String>,
}

/// How an execution environment comes to its first event (`AWS_LAMBDA_INITIALIZATION_TYPE`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Initialization {
    #[default]
    OnDemand,
    /// Initialised long before, kept as a snapshot, restored for its first event.
    SnapStart,
}

impl Initialization {
    pub fn name(self) -> &'static str {
        match self {
            Initialization::OnDemand => "on-demand",
            Initialization::SnapStart => "snap-start",
        }
    }
}

impl Function {
    /// The name it is invoked by, in an account of no one.
    pub fn arn(&self) -> String {
        format!("arn:aws:lambda:{}:123456789012:function:{}", self.region, self.name)
    }
}

/// The layers of the only recipe that is built for `arch` under `out`: `out/<name>-<arch>/{runtime.zip,vendor.zip}`.
pub fn built_layers(out: &Path, arch: Arch) -> Result<Vec<PathBuf>, EmulatorError> {
    let suffix = format!("-{arch}");
    let entries = fs::read_dir(out).map(|entries| entries.filter_map(Result::ok).collect()).unwrap_or_else(|_| vec![]);
    let mut folders: Vec<PathBuf> = entries
        .into_iter()
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(&suffix))
        .map(|entry| entry.path())
        .filter(|folder| folder.join("runtime.zip").is_file())
        .collect();
    folders.sort();
    match folders.as_slice() {
        [] => Err(EmulatorError::NothingBuilt { out: out.to_owned(), arch }),
        [folder] => {
            let zips = ["runtime.zip", "vendor.zip"].map(|name| folder.join(name));
            Ok(zips.into_iter().filter(|zip| zip.is_file()).collect())
        }
        several => {
            let choices = several.iter().map(|folder| folder.display().to_string()).collect();
            Err(EmulatorError::SeveralBuilt { arch, choices })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_build_is_taken_and_several_are_named() {
        let out = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            fs::create_dir_all(out.path().join(name).parent().unwrap()).unwrap();
            fs::write(out.path().join(name), "").unwrap();
        };
        let found = || built_layers(out.path(), Arch::X86_64);
        assert!(matches!(found(), Err(EmulatorError::NothingBuilt { .. })));
        make("a-x86_64/runtime.zip");
        make("a-arm64/runtime.zip");
        make("b-x86_64/notes.txt");
        assert_eq!(found().unwrap(), [out.path().join("a-x86_64/runtime.zip")]);
        make("a-x86_64/vendor.zip");
        assert_eq!(found().unwrap().len(), 2);
        make("b-x86_64/runtime.zip");
        let error = found().unwrap_err().to_string();
        assert!(error.contains("a-x86_64") && error.contains("b-x86_64") && !error.contains("arm64"), "{error}");
    }
}
