//! The form of a base image's definition: what a container engine builds in, and what a layer runs on.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::target::{Base, Described, DottedNumbers, GlibcVersion, PolicyName};

/// `bases/NAME.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BaseImage {
    pub name: String,
    /// One line for people.
    pub summary: String,
    /// What a container engine builds in, with its tag; the digest belongs into `phplayer.lock`.
    pub image: String,
    /// Shell commands that give the image gcc and the other build tools. They alone have the network.
    #[serde(default)]
    pub setup: Vec<String>,
    /// The identifier in `CompatibleRuntimes`, for example `provided.al2023`.
    pub runtime: String,
    pub glibc: GlibcVersion,
    /// The audit's policy whose paths and libraries hold for it.
    pub policy: PolicyName,
    /// The newest symbol version of further series, where the policy's are not its own.
    #[serde(default)]
    pub versions: BTreeMap<String, DottedNumbers>,
    /// Why nothing should be built for it any more.
    #[serde(default)]
    pub deprecated: Option<String>,
}

impl BaseImage {
    /// What of it a layer needs to know.
    pub fn base(&self) -> Base {
        Base::described(Described {
            name: self.name.clone(),
            runtime: self.runtime.clone(),
            policy: self.policy,
            glibc: self.glibc,
            versions: self.versions.clone(),
        })
    }

    /// Its name in `phplayer.lock`.
    pub fn lock_name(&self) -> String {
        format!("base:{}", self.name)
    }
}
