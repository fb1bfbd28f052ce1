//! What a build leaves in an output folder: `manifest.json` beside the zips, by which later commands know them.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::plan::Plan;
use crate::recipe::Recipe;
use crate::target::Target;

use super::Layer;
use super::manifest::Kind;

/// The layers of one recipe for one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Built {
    /// The form of this file: 1.
    pub schema: u32,
    pub recipe: String,
    pub target: Target,
    pub php: String,
    /// `local` or `container`.
    pub engine: String,
    /// What the container engine built in; absent for the local one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub container: Option<Container>,
    pub toolchain: String,
    /// `[publish] regions` of the recipe: where `phplayer publish` goes when it is not told.
    pub regions: Vec<String>,
    pub layers: Vec<BuiltLayer>,
}

/// What a container engine built in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Container {
    /// The base image, with its digest if it is pinned.
    pub image: String,
    /// False when the tag may mean another image tomorrow: `phplayer lock --engine container` pins it.
    pub pinned: bool,
}

/// One zip. Sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct BuiltLayer {
    pub file: String,
    pub kind: Kind,
    /// The name to publish under.
    pub layer: String,
    pub sha256: Digest,
    pub zipped: u64,
    pub unzipped: u64,
    /// True when the audit did not object.
    pub accepted: bool,
    /// The digest of all that it was made of.
    pub key: Digest,
}

impl Built {
    pub fn new(plan: &Plan, recipe: &Recipe, container: Option<Container>, layers: Vec<BuiltLayer>) -> Self {
        Self {
            schema: 1,
            recipe: plan.recipe.clone(),
            target: plan.target,
            php: plan.php.clone(),
            engine: if container.is_some() { "container" } else { "local" }.to_owned(),
            container,
            toolchain: plan.toolchain.clone(),
            regions: recipe.publish.regions.clone(),
            layers,
        }
    }

    /// What stands in an output folder; nothing where nobody built, or another phplayer did.
    pub fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs_err::read(folder.join("manifest.json")).ok()?).ok()
    }

    pub fn write(&self, folder: &Path) -> io::Result<()> {
        // As the zips beside it: a temporary file is its maker's alone.
        let mode = PermissionsExt::from_mode(0o644);
        let mut draft = tempfile::Builder::new().permissions(mode).tempfile_in(folder)?;
        serde_json::to_writer_pretty(&mut draft, self)?;
        draft.persist(folder.join("manifest.json")).map_err(|error| error.error)?;
        Ok(())
    }

    /// The layer of this key, if its zip stands there unharmed and was accepted.
    pub fn unchanged(&self, zip: &Path, key: &Digest) -> Option<BuiltLayer> {
        let name = zip.file_name()?.to_str()?;
        let layer = self.layers.iter().find(|layer| layer.file == name && layer.key == *key && layer.accepted)?;
        (Digest::of_file(zip).ok()? == layer.sha256).then(|| layer.clone())
    }

    /// The name of its folder: `NAME-ARCH`.
    pub fn folder(&self) -> String {
        format!("{}-{}", self.recipe, self.target.arch)
    }
}

impl BuiltLayer {
    pub fn new(layer: &Layer, key: Digest, accepted: bool) -> Self {
        Self {
            file: layer.zip.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            kind: layer.manifest.kind,
            layer: layer.manifest.layer.clone(),
            sha256: layer.packed.sha256,
            zipped: layer.packed.zipped,
            unzipped: layer.packed.unzipped,
            accepted,
            key,
        }
    }
}
