//! Names that a recipe gives or mentions: layers, extensions and bases.

use std::fmt;
use std::str::FromStr;

use super::mistake::Refusal;

/// A layer's name as AWS takes it, with room for the suffixes that phplayer adds: `[a-zA-Z0-9-_]{1,120}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, schemars::JsonSchema)]
#[schemars(transparent)]
pub struct LayerName(#[schemars(regex(pattern = r"^[a-zA-Z0-9_-]{1,120}$"))] String);

/// An extension's name as `php -m` would say it, in lower case: `[a-z][a-z0-9_]*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, schemars::JsonSchema)]
#[schemars(transparent)]
pub struct ExtensionName(#[schemars(regex(pattern = r"^[a-z][a-z0-9_]*$"))] String);

/// A base image's name, the name of its definition's file: `[a-z0-9][a-z0-9_-]*`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, schemars::JsonSchema)]
#[schemars(transparent)]
pub struct BaseName(#[schemars(regex(pattern = r"^[a-z0-9][a-z0-9_-]*$"))] String);

impl BaseName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BaseName {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let letter = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
        if text.starts_with(letter) && text.chars().all(|next| letter(next) || next == '-' || next == '_') {
            return Ok(Self(text.to_owned()));
        }
        let label = "lower-case letters, digits, `-` and `_`, no mark first";
        Err(Refusal::new(format!("`{text}` cannot be the name of a base"), label, "write `al2023`".to_owned()))
    }
}

impl LayerName {
    /// AWS allows 140; `-x86_64` and `-vendor` must fit behind it.
    pub const LONGEST: usize = 120;

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The nearest text that is a layer name: `php-8.4` gives `php-84`, `my layer` gives `my-layer`.
    fn near(text: &str) -> Option<String> {
        let near: String = text
            .chars()
            .filter(|letter| *letter != '.')
            .map(|letter| if layer_letter(letter) { letter } else { '-' })
            .take(Self::LONGEST)
            .collect();
        let near = near.trim_matches('-');
        (!near.is_empty()).then(|| near.to_owned())
    }
}

fn layer_letter(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '-' || letter == '_'
}

impl FromStr for LayerName {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        let label = match text.chars().find(|letter| !layer_letter(*letter)) {
            None if text.is_empty() => "empty".to_owned(),
            None if text.len() > Self::LONGEST => {
                format!("{} letters; {} are left beside the suffixes phplayer adds", text.len(), Self::LONGEST)
            }
            None => return Ok(Self(text.to_owned())),
            Some('.') => "AWS allows no dots: only letters, digits, `-` and `_`".to_owned(),
            Some(letter) => format!("AWS allows no {letter:?}: only letters, digits, `-` and `_`"),
        };
        let help = Self::near(text).map(|near| format!("write `{near}`"));
        Err(Refusal::new(format!("`{text}` cannot be the name of a layer"), label, help))
    }
}

impl ExtensionName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What was meant by Composer's or PHP's own spelling: `ext-redis`, `PDO`, `pdo-mysql`, `Zend OPcache`.
    fn near(text: &str) -> Option<String> {
        let lower = text.trim().to_lowercase();
        let bare = lower.strip_prefix("ext-").unwrap_or(&lower);
        let bare = bare.strip_suffix(".so").unwrap_or(bare).replace(['-', ' '], "_");
        let bare = if bare == "zend_opcache" { "opcache".to_owned() } else { bare };
        extension_word(&bare).then_some(bare)
    }

    /// Reads Composer's and PHP's spelling too, where a person would know what is meant.
    pub fn lenient(text: &str) -> Result<Self, Refusal> {
        Self::near(text).unwrap_or_else(|| text.to_owned()).parse()
    }
}

fn extension_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_lowercase())
        && text.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
}

impl FromStr for ExtensionName {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        if extension_word(text) {
            return Ok(Self(text.to_owned()));
        }
        let help = Self::near(text).map(|near| format!("write `{near}`"));
        let label = "lower-case letters, digits and `_`, a letter first";
        Err(Refusal::new(format!("`{text}` cannot be the name of an extension"), label, help))
    }
}

macro_rules! text_of {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
text_of!(LayerName, ExtensionName, BaseName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_layer_name_comes_with_one_that_is_taken() {
        for (wrong, right) in [("php-8.4", "php-84"), ("my layer", "my-layer"), ("apps/web.", "apps-web")] {
            let refusal = wrong.parse::<LayerName>().expect_err(wrong);
            assert_eq!(refusal.help.as_deref(), Some(format!("write `{right}`").as_str()));
            assert!(right.parse::<LayerName>().is_ok());
        }
        assert!("".parse::<LayerName>().is_err());
        assert!("a".repeat(120).parse::<LayerName>().is_ok());
        assert!("a".repeat(121).parse::<LayerName>().is_err());
    }

    #[test]
    fn other_spellings_of_an_extension_lead_to_its_name() {
        let spellings =
            [("ext-redis", "redis"), ("PDO", "pdo"), ("pdo-mysql", "pdo_mysql"), ("ext-zend-opcache", "opcache")];
        for (wrong, right) in spellings {
            assert!(wrong.parse::<ExtensionName>().is_err(), "{wrong}");
            assert_eq!(ExtensionName::lenient(wrong).expect(wrong).as_str(), right);
        }
        assert!(ExtensionName::lenient("../evil").is_err());
        assert!("".parse::<ExtensionName>().is_err());
    }
}
