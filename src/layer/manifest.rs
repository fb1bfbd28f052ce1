//! What a layer zip says of itself: `phplayer/manifest.json` inside it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::target::{Arch, Base};

/// Where the manifest stands in a runtime's zip.
pub const MANIFEST_PATH: &str = "phplayer/manifest.json";

/// Where it stands in a vendor zip: both zips are unpacked over each other at `/opt`.
pub const VENDOR_MANIFEST_PATH: &str = "phplayer/vendor.json";

/// Which of the two zips of a recipe this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Runtime,
    Vendor,
}

/// Whether an entry of a layer zip is its manifest.
pub fn is_manifest(name: &str) -> bool {
    name == MANIFEST_PATH || name == VENDOR_MANIFEST_PATH
}

impl Kind {
    pub const fn manifest_path(self) -> &'static str {
        match self {
            Kind::Runtime => MANIFEST_PATH,
            Kind::Vendor => VENDOR_MANIFEST_PATH,
        }
    }
}

/// Everything that went in. Nothing of it depends on when or where the layer was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Manifest {
    /// The form of this file: 1.
    pub schema: u32,
    pub kind: Kind,
    /// The layer name to publish under, `[a-zA-Z0-9-_]+`: `NAME-ARCH`, or `NAME-vendor`.
    pub layer: String,
    /// At most 256 characters: Lambda's limit for a description.
    pub description: String,
    /// At most 512 characters: Lambda's limit for `LicenseInfo`.
    pub license: String,
    pub recipe: String,
    pub base: Base,
    /// One for a runtime; both for a vendor layer, which holds no machine code.
    pub arch: Vec<Arch>,
    /// What compiled it, for example `gcc 12.2.0 + zig 0.15.2`; absent where nothing was compiled.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub toolchain: Option<String>,
    /// Exact versions: `php`, and in a vendor layer each package.
    pub versions: BTreeMap<String, String>,
    /// Extensions linked in or shipped, with the version each reports.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub extensions: Vec<String>,
    /// The verified sources everything was made of.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub sources: Vec<SourceRecord>,
    /// Audit objections that the recipe accepts, with the reason given there.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub waived: Vec<WaiverRecord>,
}

/// One verified source archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SourceRecord {
    pub name: String,
    pub version: String,
    pub sha256: Digest,
}

/// One accepted objection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WaiverRecord {
    pub rule: String,
    /// A path inside the zip; absent: every file.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub file: Option<String>,
    pub reason: String,
}
