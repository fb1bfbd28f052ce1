//! The forms of the definition files in `php-extensions/`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::source::{Alternative, Pinned, SignatureBy};
use crate::target::Arch;

/// One version of something, and where its source can be had.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Release {
    pub version: String,
    /// The same code, perhaps packed in more than one way; each form has its own digest.
    #[serde(rename = "source")]
    pub sources: Vec<Where>,
    /// PHP series this release is for; empty: all that its definition supports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub php: Vec<String>,
}

/// One packed form of a release.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Where {
    pub sha256: Digest,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub urls: Vec<String>,
    /// The file's name in Debian's pool of source packages, for example `openssl_3.5.7.orig.tar.gz`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub debian: Option<String>,
    /// The keyring in `php-extensions/keys/` whose signature goes with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub signed_by: Option<SignatureBy>,
}

impl Release {
    pub fn pinned(&self, name: &str) -> Pinned {
        let alternatives = self.sources.iter().map(|place| Alternative {
            sha256: place.sha256,
            urls: place.urls.clone(),
            debian: place.debian.clone(),
            python: None,
            signature: place.signed_by.clone(),
        });
        Pinned { name: name.to_owned(), version: self.version.clone(), alternatives: alternatives.collect() }
    }
}

/// `php-extensions/php/SERIES.toml`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PhpSeries {
    /// For example `8.4`.
    pub series: String,
    pub license: String,
    /// Extensions that no configure switch takes out.
    pub builtin: Vec<String>,
    /// Further arguments for PHP's configure.
    #[serde(default)]
    pub configure: Vec<String>,
    /// Newest first.
    #[serde(rename = "release")]
    pub releases: Vec<Release>,
}

/// `php-extensions/libraries/NAME.toml`: a C library, built from source as a static archive.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Library {
    pub name: String,
    /// An SPDX expression.
    pub license: String,
    /// Libraries that stand at `/deps/NAME` while it is built, and are linked after it.
    #[serde(default)]
    pub needs: Vec<String>,
    /// Programs of the build machine beyond the common ones.
    #[serde(default)]
    pub tools: Vec<String>,
    /// A shell script: sources read-only at `/src`, an empty `/build` as the working folder, `$PREFIX` to install to.
    pub build: String,
    /// Added to the compiler's flags: `-Os` where nothing is gained by speed.
    #[serde(default)]
    pub cflags: Vec<String>,
    /// Environment of the script by architecture.
    #[serde(default)]
    pub build_env: BTreeMap<String, BTreeMap<String, String>>,
    /// Archives under `$PREFIX/lib`, in link order.
    pub link: Vec<String>,
    /// Folders of headers under `$PREFIX`.
    #[serde(default = "include")]
    pub include: Vec<String>,
    /// Newest first.
    #[serde(rename = "release")]
    pub releases: Vec<Release>,
}

fn include() -> Vec<String> {
    vec!["include".to_owned()]
}

impl Library {
    pub fn environment(&self, arch: Arch) -> BTreeMap<String, String> {
        self.build_env.get(arch.name()).cloned().unwrap_or_default()
    }
}

/// `php-extensions/NAME.toml`: one extension, bundled with PHP or released on its own.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Extension {
    pub name: String,
    /// One line for `phplayer list extensions`.
    pub summary: String,
    /// An SPDX expression; absent: PHP's own.
    #[serde(default)]
    pub license: Option<String>,
    /// PHP series it is for; empty: all.
    #[serde(default)]
    pub php: Vec<String>,
    /// Extensions that come along with it.
    #[serde(default)]
    pub needs: Vec<String>,
    /// C libraries, see `php-extensions/libraries/`.
    #[serde(default)]
    pub libraries: Vec<String>,
    /// Extensions that cannot be in one PHP with it.
    #[serde(default)]
    pub conflicts: Vec<String>,
    /// Programs of the build machine beyond the common ones.
    #[serde(default)]
    pub tools: Vec<String>,
    /// Libraries of the toolchain itself, such as `unwind`.
    #[serde(default)]
    pub system_libraries: Vec<String>,
    /// It registers as a Zend extension, not as a module: opcache before PHP 8.5.
    #[serde(default)]
    pub zend_extension: bool,
    pub build: Build,
    /// Lines for the layer's php.ini that it wants by default.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, serde_json::Value>")]
    pub ini: BTreeMap<String, toml::Value>,
    /// Its own releases; none: it comes with PHP's source, under `ext/NAME`.
    #[serde(rename = "release", default)]
    pub releases: Vec<Release>,
}

/// How an extension is compiled.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// Its sources, compiled as they stand: for the many whose configure decides nothing. Saves about four seconds each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<String>,
    /// Arguments for its own configure, made by phpize. Used when there are no `sources`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub configure: Vec<String>,
    /// Added to the compiler's flags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cflags: Vec<String>,
    /// Changes to its source, applied in this order.
    #[serde(rename = "patch", default, skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<Patch>,
}

/// A change to a source that upstream does not have.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Patch {
    /// What it is for, and why nothing less does it.
    pub why: String,
    /// A unified diff; names in it begin with one part that does not count (`a/file.c`). It must fit exactly.
    pub diff: String,
}
