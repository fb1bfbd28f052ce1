//! The Lambda base image that a layer runs on: ours, or one that a definition describes.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// A Lambda base image that a layer runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Base {
    /// Amazon Linux 2023: `provided.al2023`, glibc 2.34.
    #[default]
    Al2023,
    /// What a file in `bases/` describes. Few are read in one run, and they live as long as it.
    Described(&'static Described),
}

/// The facts of a described base. A manifest carries them, so that a layer can be judged and published without the file.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Described {
    pub name: String,
    /// The identifier in `CompatibleRuntimes`.
    pub runtime: String,
    /// The audit's policy whose paths and libraries hold for it.
    pub policy: PolicyName,
    pub glibc: GlibcVersion,
    /// The newest symbol version of further series, for example `GLIBCXX = "3.4.30"`, where the policy's are not its own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub versions: BTreeMap<String, DottedNumbers>,
}

/// The policies that the audit knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PolicyName {
    Al2023,
}

/// The minor number of a glibc 2.x. Written `2.34`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct GlibcVersion(pub u32);

impl TryFrom<String> for GlibcVersion {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let minor = text.strip_prefix("2.").and_then(|minor| minor.parse().ok());
        minor.map(Self).ok_or_else(|| format!("`{text}` is not a glibc version such as \"2.34\""))
    }
}

impl From<GlibcVersion> for String {
    fn from(version: GlibcVersion) -> Self {
        version.to_string()
    }
}

impl fmt::Display for GlibcVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "2.{}", self.0)
    }
}

/// Numbers with dots between, such as `3.4.33`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct DottedNumbers(String);

impl TryFrom<String> for DottedNumbers {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match text.split('.').all(|number| number.parse::<u32>().is_ok()) {
            true => Ok(Self(text)),
            false => Err(format!("`{text}` is not a version of numbers and dots")),
        }
    }
}

impl From<DottedNumbers> for String {
    fn from(version: DottedNumbers) -> Self {
        version.0
    }
}

impl Base {
    /// The bases that this phplayer knows without a definition.
    pub const ALL: [Base; 1] = [Base::Al2023];

    /// The base of these facts. Amazon Linux 2023 under its own name is ours, whatever image it is built in.
    pub fn described(facts: Described) -> Self {
        let ours = facts.name == Base::Al2023.name()
            && facts.runtime == Base::Al2023.runtime()
            && facts.glibc.0 == Base::Al2023.glibc_minor()
            && facts.versions.is_empty();
        if ours { Base::Al2023 } else { Base::Described(Box::leak(Box::new(facts))) }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Base::Al2023 => "al2023",
            Base::Described(facts) => facts.name.as_str(),
        }
    }

    /// The identifier in `CompatibleRuntimes`.
    pub const fn runtime(self) -> &'static str {
        match self {
            Base::Al2023 => "provided.al2023",
            Base::Described(facts) => facts.runtime.as_str(),
        }
    }

    /// The minor number of the base's glibc 2.x: no symbol may be newer.
    pub const fn glibc_minor(self) -> u32 {
        match self {
            Base::Al2023 => 34,
            Base::Described(facts) => facts.glibc.0,
        }
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// In JSON a base of ours is its name, a described one its facts.
#[derive(Serialize, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
enum Written {
    Ours(Ours),
    Described(Described),
}

#[derive(Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Ours {
    Al2023,
}

impl Serialize for Base {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Base::Al2023 => Ours::Al2023.serialize(serializer),
            Base::Described(facts) => facts.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Base {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Written::deserialize(deserializer)? {
            Written::Ours(Ours::Al2023) => Base::Al2023,
            Written::Described(facts) => Base::described(facts),
        })
    }
}

impl schemars::JsonSchema for Base {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Base".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Written::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_is_written_as_its_name_and_a_described_one_as_its_facts() {
        assert_eq!(serde_json::to_string(&Base::Al2023).expect("json"), "\"al2023\"");
        let text =
            r#"{"name":"mine","runtime":"provided.al2023","policy":"al2023","glibc":"2.36","versions":{"GCC":"12.0"}}"#;
        let base: Base = serde_json::from_str(text).expect("a base");
        assert_eq!((base.name(), base.runtime(), base.glibc_minor()), ("mine", "provided.al2023", 36));
        assert_eq!(serde_json::to_string(&base).expect("json"), text);
        assert!(serde_json::from_str::<Base>("\"al1\"").is_err());
        assert!(serde_json::from_str::<Base>(&text.replace("2.36", "3.1")).is_err());
        assert!(serde_json::from_str::<Base>(&text.replace("12.0", "12.x")).is_err());
    }
}
