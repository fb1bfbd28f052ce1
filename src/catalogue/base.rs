//! The form of a base image's definition: what a container engine builds in, and what a layer runs on.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::target::{Base, Described, DottedNumbers, GlibcVersion, PolicyName};

/// `bases/NAME.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BaseImage {
    pub name: String,
    /// One line for people.
    pub summary: String,
    /// What a container engine builds in, with its tag; the digest belongs into `phplayer.lock`.
    #[serde(deserialize_with = "image")]
    pub image: String,
    /// Shell commands that give the image gcc and the other build tools. They alone have the network.
    #[serde(default, deserialize_with = "commands")]
    pub setup: Vec<String>,
    /// The identifier in `CompatibleRuntimes`, for example `provided.al2023`.
    #[serde(deserialize_with = "runtime")]
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

/// Those that leave the program to the layer.
const RUNTIMES: [&str; 2] = ["provided.al2023", "provided.al2"];

/// Words of `FROM` and of a builder's command line: one that begins with `-` would be an option there.
fn image<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let good = text.starts_with(|first: char| first.is_ascii_alphanumeric())
        && text.chars().all(|letter| letter.is_ascii_alphanumeric() || "._-/:@".contains(letter));
    let wrong = || D::Error::custom(format!("`{text}` is not the name of an image such as \"REGISTRY/NAME:TAG\""));
    if good { Ok(text) } else { Err(wrong()) }
}

fn runtime<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    let known = RUNTIMES.join(", ");
    let wrong = || D::Error::custom(format!("`{text}` is no runtime that a layer of PHP runs in; known: {known}"));
    if RUNTIMES.contains(&text.as_str()) { Ok(text) } else { Err(wrong()) }
}

/// Together they become one `RUN` of a Dockerfile, which a line break would end.
fn commands<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let all: Vec<Command> = Vec::deserialize(deserializer)?;
    Ok(all.into_iter().map(|command| command.0).collect())
}

struct Command(String);

/// By a visitor, whose error points at this command; of a conversion's the whole list would be the place.
impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Line;
        impl Visitor<'_> for Line {
            type Value = Command;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a command")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Command, E> {
                match text {
                    _ if text.trim().is_empty() => Err(E::custom("a command of `setup` is empty")),
                    _ if text.contains(['\n', '\r']) => {
                        Err(E::custom("a command of `setup` stands on one line: join two by `&&`"))
                    }
                    _ => Ok(Command(text.to_owned())),
                }
            }
        }
        deserializer.deserialize_str(Line)
    }
}
