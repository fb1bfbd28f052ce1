//! What a build made: the table people see, and `manifest.json` beside the zips, by which the next build knows it.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::console;
use crate::digest::Digest;
use crate::layer::manifest::Kind;
use crate::layer::{Layer, UNZIPPED_LIMIT};
use crate::plan::Plan;
use crate::target::Target;

/// The layers of one recipe for one target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Built {
    /// The form of this file: 1.
    pub schema: u32,
    pub recipe: String,
    pub target: Target,
    pub php: String,
    pub engine: String,
    pub toolchain: String,
    pub layers: Vec<BuiltLayer>,
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
    pub fn new(plan: &Plan, layers: Vec<BuiltLayer>) -> Self {
        Self {
            schema: 1,
            recipe: plan.recipe.clone(),
            target: plan.target,
            php: plan.php.clone(),
            engine: "local".to_owned(),
            toolchain: plan.toolchain.clone(),
            layers,
        }
    }

    /// What stands in an output folder; nothing where nobody built, or another phplayer did.
    pub fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs_err::read(folder.join("manifest.json")).ok()?).ok()
    }

    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let mut draft = tempfile::NamedTempFile::new_in(folder)?;
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

    fn folder(&self) -> String {
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

pub fn json(built: &[Built]) -> String {
    serde_json::to_string_pretty(built).expect("plain data always serialises")
}

/// File, sizes, share of Lambda's limit, digest.
pub fn table(built: &[Built]) -> String {
    let mut rows = vec![["file", "zipped", "unpacked", "of 250 MiB", "sha256"].map(str::to_owned)];
    for one in built {
        for layer in &one.layers {
            rows.push([
                format!("{}/{}", one.folder(), layer.file),
                console::size(layer.zipped),
                console::size(layer.unzipped),
                format!("{:.1} %", layer.unzipped as f64 * 100.0 / UNZIPPED_LIMIT as f64),
                layer.sha256.to_string(),
            ]);
        }
    }
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3)];
    rows.iter()
        .map(|[file, zipped, unzipped, share, sha256]| {
            let [a, b, c, d] = widths;
            format!("{file:<a$}  {zipped:>b$}  {unzipped:>c$}  {share:>d$}  {sha256}\n")
        })
        .collect()
}
