//! The PHP that a recipe asks for: a series, whose newest release is meant, or one release.

use std::fmt;
use std::str::FromStr;

use super::mistake::Refusal;

/// `8.4` or `8.4.24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PhpVersion {
    /// The newest release of `major.minor` that is known.
    Series { major: u16, minor: u16 },
    /// This release and no other.
    Exact { major: u16, minor: u16, patch: u16 },
}

impl PhpVersion {
    /// Major and minor: what extensions are compatible with.
    pub fn series(self) -> (u16, u16) {
        match self {
            Self::Series { major, minor } | Self::Exact { major, minor, .. } => (major, minor),
        }
    }

    /// Whether `release` is one that this version asks for.
    pub fn covers(self, release: PhpVersion) -> bool {
        match self {
            Self::Series { .. } => self.series() == release.series(),
            Self::Exact { .. } => self == release,
        }
    }

    fn read(text: &str) -> Option<Self> {
        let number = |part: &str| {
            let plain = part.bytes().all(|byte| byte.is_ascii_digit()) && (part.len() == 1 || !part.starts_with('0'));
            if plain { part.parse().ok() } else { None }
        };
        match *text.split('.').map(number).collect::<Option<Vec<u16>>>()?.as_slice() {
            [major, minor] => Some(Self::Series { major, minor }),
            [major, minor, patch] => Some(Self::Exact { major, minor, patch }),
            _ => None,
        }
    }
}

impl FromStr for PhpVersion {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        Self::read(text).ok_or_else(|| {
            let bare = text
                .trim_start_matches(|letter: char| !letter.is_ascii_digit())
                .trim_end_matches(|letter: char| !letter.is_ascii_digit());
            let help = match Self::read(bare) {
                Some(meant) => format!("write `{meant}`: a range is not needed, `phplayer.lock` holds the release"),
                None => "write a series such as `8.4` or one release such as `8.4.24`".to_owned(),
            };
            Refusal::new(format!("`{text}` is not a version of PHP"), "neither a series nor a release", help)
        })
    }
}

impl fmt::Display for PhpVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Series { major, minor } => write!(f, "{major}.{minor}"),
            Self::Exact { major, minor, patch } => write!(f, "{major}.{minor}.{patch}"),
        }
    }
}

impl serde::Serialize for PhpVersion {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for PhpVersion {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for PhpVersion {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "PhpVersion".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "A series (`8.4`: the newest release known) or one release (`8.4.24`)",
            "type": "string",
            "pattern": r"^[0-9]+\.[0-9]+(\.[0-9]+)?$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_covers_its_releases_and_a_release_itself() {
        let read = |text: &str| text.parse::<PhpVersion>().expect(text);
        assert!(read("8.4").covers(read("8.4.24")));
        assert!(!read("8.4").covers(read("8.5.0")));
        assert!(!read("8.4.24").covers(read("8.4.2")));
        assert_eq!(read("8.4.24").to_string(), "8.4.24");
    }

    #[test]
    fn other_spellings_are_refused_and_told_the_plain_one() {
        for wrong in ["^8.4", "8.4.*", "php-8.4", ">=8.4"] {
            let help = wrong.parse::<PhpVersion>().expect_err(wrong).help.expect("a way out");
            assert!(help.contains("write `8.4`"), "{help}");
        }
        for wrong in ["8", "", "8.4.24.1", "08.4", "8.+4", "8.99999", "8..4"] {
            assert!(wrong.parse::<PhpVersion>().is_err(), "{wrong}");
        }
    }
}
