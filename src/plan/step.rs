//! One compilation: sources, needs, commands, and the key that says when its output can be used again.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::source::Pinned;
use crate::target::Target;

/// What a step makes. Written `lib:openssl`, `php:8.4.24`, `ext:mysqli`, `link:php-84`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StepId {
    Php(String),
    Library(String),
    Extension(String),
    Link(String),
}

impl StepId {
    /// Where its output stands, in its own sandbox and in that of every step that needs it.
    pub fn place(&self) -> String {
        match self {
            StepId::Php(_) => "/opt".to_owned(),
            StepId::Library(name) => format!("/deps/{name}"),
            StepId::Extension(name) => format!("/ext/{name}"),
            StepId::Link(_) => "/out".to_owned(),
        }
    }

    /// A name that a file may have.
    pub fn file_name(&self) -> String {
        self.to_string().replace(':', "-")
    }
}

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StepId::Php(name) => write!(f, "php:{name}"),
            StepId::Library(name) => write!(f, "lib:{name}"),
            StepId::Extension(name) => write!(f, "ext:{name}"),
            StepId::Link(name) => write!(f, "link:{name}"),
        }
    }
}

/// The text names no kind of step.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("`{0}` is not a step")]
#[diagnostic(help(
    "steps are lib:NAME, php:VERSION, ext:NAME and link:RECIPE; `phplayer plan` lists those of a recipe"
))]
pub struct NotAStep(String);

impl FromStr for StepId {
    type Err = NotAStep;

    fn from_str(text: &str) -> Result<Self, NotAStep> {
        let name = |name: &str| name.to_owned();
        match text.split_once(':') {
            Some(("php", rest)) => Ok(StepId::Php(name(rest))),
            Some(("lib", rest)) => Ok(StepId::Library(name(rest))),
            Some(("ext", rest)) => Ok(StepId::Extension(name(rest))),
            Some(("link", rest)) => Ok(StepId::Link(name(rest))),
            _ => Err(NotAStep(text.to_owned())),
        }
    }
}

impl Serialize for StepId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for StepId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for StepId {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "StepId".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^(lib|php|ext|link):.+$" })
    }
}

/// A source's unpacked tree, read-only in the sandbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SourceMount {
    #[schemars(skip)]
    pub pinned: Pinned,
    /// A path in the sandbox.
    pub at: String,
}

/// One compilation.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Step {
    pub id: StepId,
    pub sources: Vec<SourceMount>,
    /// Steps whose outputs stand, read-only, at their [`StepId::place`].
    pub needs: Vec<StepId>,
    pub environment: BTreeMap<String, String>,
    /// A shell script; its working folder `/build` is empty, its output goes to the step's own place.
    pub script: String,
    /// Programs it asks of the build machine beyond the common ones.
    pub tools: Vec<String>,
    /// The digest of everything above, of the needs' keys, the target and the toolchain.
    pub key: Digest,
}

/// What a key is made of; kept beside the output, so that a changed key can be explained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    pub form: u32,
    pub kind: String,
    pub target: String,
    pub toolchain: String,
    pub sources: BTreeMap<String, Vec<Digest>>,
    pub needs: BTreeMap<String, Digest>,
    pub environment: BTreeMap<String, String>,
    pub script: String,
}

impl Step {
    /// The key's parts. A link's name is left out: two recipes with the same content share it.
    pub fn inputs(&self, target: Target, toolchain: &str, keys: &BTreeMap<StepId, Digest>) -> Inputs {
        let kind = match &self.id {
            StepId::Link(_) => "link".to_owned(),
            other => other.to_string(),
        };
        let digests = |pinned: &Pinned| pinned.alternatives.iter().map(|form| form.sha256).collect();
        Inputs {
            form: 1,
            kind,
            target: target.to_string(),
            toolchain: toolchain.to_owned(),
            sources: self.sources.iter().map(|mount| (mount.at.clone(), digests(&mount.pinned))).collect(),
            needs: self.needs.iter().filter_map(|need| keys.get(need).map(|key| (need.to_string(), *key))).collect(),
            environment: self.environment.clone(),
            script: self.script.clone(),
        }
    }
}

impl Inputs {
    pub fn key(&self) -> Digest {
        let text = serde_json::to_vec(self).expect("strings and maps of strings always serialise");
        Digest::of(&text)
    }
}

/// Computes every key. The steps stand in order, so a need's key is known before its user's.
pub(super) fn seal(steps: &mut [Step], target: Target, toolchain: &str) {
    let mut keys = BTreeMap::new();
    for step in steps {
        step.key = step.inputs(target, toolchain, &keys).key();
        keys.insert(step.id.clone(), step.key);
    }
}
