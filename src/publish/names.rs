//! What Lambda calls things: regions, layers, layer versions, accounts. Each is valid once it exists.

use std::fmt;
use std::str::FromStr;

use miette::Diagnostic;
use serde::Serialize;
use thiserror::Error;

/// Regions that offered Lambda when this was written (the AWS SDKs' endpoint data, November 2026). Only for advice:
/// AWS opens new ones, so an unknown name is no error.
const KNOWN: &[&str] = &[
    "af-south-1",
    "ap-east-1",
    "ap-east-2",
    "ap-northeast-1",
    "ap-northeast-2",
    "ap-northeast-3",
    "ap-south-1",
    "ap-south-2",
    "ap-southeast-1",
    "ap-southeast-2",
    "ap-southeast-3",
    "ap-southeast-4",
    "ap-southeast-5",
    "ap-southeast-6",
    "ap-southeast-7",
    "ca-central-1",
    "ca-west-1",
    "cn-north-1",
    "cn-northwest-1",
    "eu-central-1",
    "eu-central-2",
    "eu-north-1",
    "eu-south-1",
    "eu-south-2",
    "eu-west-1",
    "eu-west-2",
    "eu-west-3",
    "eusc-de-east-1",
    "il-central-1",
    "me-central-1",
    "me-south-1",
    "mx-central-1",
    "sa-east-1",
    "us-east-1",
    "us-east-2",
    "us-gov-east-1",
    "us-gov-west-1",
    "us-west-1",
    "us-west-2",
];

/// A text that Lambda would not take for the name it should be.
#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
pub enum NameError {
    #[error("`{text}` is not the name of an AWS region{}", meant.map(|name| format!("; did you mean `{name}`?")).unwrap_or_default())]
    #[diagnostic(help("regions are named like eu-west-1 or us-gov-east-1"))]
    Region { text: String, meant: Option<&'static str> },
    #[error("`{text}` is not a layer name: Lambda takes 1 to 140 letters, digits, `-` and `_`")]
    #[diagnostic(help("name it `{possible}`"))]
    Layer { text: String, possible: String },
    #[error("`{text}` is neither an AWS account (12 digits) nor an organisation (`o-…`)")]
    #[diagnostic(help("to share with everyone, say --public"))]
    Grantee { text: String },
    #[error("`{text}` is not the ARN of a layer version")]
    LayerVersionArn { text: String },
}

/// A region's name by its form: `eu-west-1`, `us-gov-east-1`, `eusc-de-east-1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct Region(String);

impl Region {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The region that was probably meant, where this one is not among those we know.
    pub fn mistaken_for(&self) -> Option<&'static str> {
        if KNOWN.contains(&self.as_str()) { None } else { nearest(&self.0) }
    }
}

impl FromStr for Region {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let lower = |part: &&str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_lowercase());
        let parts: Vec<&str> = text.split('-').collect();
        let right = match parts.split_last() {
            Some((number, words)) => {
                (2..=3).contains(&words.len())
                    && words.iter().all(lower)
                    && (1..=2).contains(&number.len())
                    && number.bytes().all(|byte| byte.is_ascii_digit())
            }
            None => false,
        };
        if right {
            Ok(Self(text.to_owned()))
        } else {
            Err(NameError::Region { text: text.to_owned(), meant: nearest(text) })
        }
    }
}

/// The known region within two typing errors.
fn nearest(text: &str) -> Option<&'static str> {
    let distance = |name: &str| strsim::damerau_levenshtein(name, text);
    KNOWN.iter().copied().filter(|name| distance(name) <= 2).min_by_key(|name| distance(name))
}

/// A layer's name, `[a-zA-Z0-9-_]{1,140}`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct LayerName(String);

impl LayerName {
    pub const LONGEST: usize = 140;

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LayerName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || letter == '-' || letter == '_';
        if !text.is_empty() && text.len() <= Self::LONGEST && text.chars().all(allowed) {
            return Ok(Self(text.to_owned()));
        }
        let possible: String =
            text.chars().take(Self::LONGEST).map(|letter| if allowed(letter) { letter } else { '-' }).collect();
        let possible = if possible.is_empty() { "my-layer".to_owned() } else { possible };
        Err(NameError::Layer { text: text.to_owned(), possible })
    }
}

/// `arn:PARTITION:lambda:REGION:ACCOUNT:layer:NAME:VERSION`, as Lambda reports it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, schemars::JsonSchema)]
#[serde(transparent)]
pub struct LayerVersionArn(String);

impl FromStr for LayerVersionArn {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        match text.split(':').collect::<Vec<_>>()[..] {
            ["arn", _, "lambda", _, _, "layer", _, version] if version.parse::<u64>().is_ok() => {
                Ok(Self(text.to_owned()))
            }
            _ => Err(NameError::LayerVersionArn { text: text.to_owned() }),
        }
    }
}

/// Who may use a layer version besides its own account.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Grantee {
    /// Every AWS account.
    Everyone,
    /// One account, by its 12 digits.
    Account(String),
    /// Every account of one organisation, by its `o-…`.
    Organization(String),
}

impl Grantee {
    /// The statement's id in the version's policy: the same for the same grantee, so that granting twice shows.
    pub fn statement(&self) -> String {
        match self {
            Grantee::Everyone => "public".to_owned(),
            Grantee::Account(account) => format!("account-{account}"),
            Grantee::Organization(organization) => format!("organization-{organization}"),
        }
    }

    /// `Principal` as Lambda takes it.
    pub fn principal(&self) -> &str {
        match self {
            Grantee::Account(account) => account,
            Grantee::Everyone | Grantee::Organization(_) => "*",
        }
    }

    /// `OrganizationId` as Lambda takes it.
    pub fn organization(&self) -> Option<&str> {
        match self {
            Grantee::Organization(organization) => Some(organization),
            Grantee::Everyone | Grantee::Account(_) => None,
        }
    }
}

impl FromStr for Grantee {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let organization = text.strip_prefix("o-").filter(|id| {
            (10..=32).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        });
        if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(Grantee::Account(text.to_owned()))
        } else if organization.is_some() {
            Ok(Grantee::Organization(text.to_owned()))
        } else {
            Err(NameError::Grantee { text: text.to_owned() })
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for LayerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for LayerVersionArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for Grantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Grantee::Everyone => f.write_str("everyone"),
            Grantee::Account(account) => write!(f, "account {account}"),
            Grantee::Organization(organization) => write!(f, "organisation {organization}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_region_is_a_region() {
        for name in KNOWN {
            let region: Region = name.parse().unwrap();
            assert_eq!(region.mistaken_for(), None);
        }
        assert!("us-iso-east-1".parse::<Region>().is_ok(), "isolated partitions have regions of their own");
    }

    #[test]
    fn a_mistyped_region_is_refused_or_doubted() {
        for text in ["", "eu", "eu-west", "eu-west1", "EU-WEST-1", "eu-west-1a", "a-b-c-d-1", "eu--1", "eu-west-1\n"] {
            assert!(text.parse::<Region>().is_err(), "{text}");
        }
        let refused = "eu-west1".parse::<Region>().unwrap_err();
        assert_eq!(refused.to_string(), "`eu-west1` is not the name of an AWS region; did you mean `eu-west-1`?");
        assert_eq!("eu-wset-1".parse::<Region>().unwrap().mistaken_for(), Some("eu-west-1"));
        assert_eq!("xx-somewhere-1".parse::<Region>().unwrap().mistaken_for(), None);
    }

    #[test]
    fn a_layer_name_has_no_dots_and_the_help_names_one_that_works() {
        assert!("php-84_x86_64".parse::<LayerName>().is_ok());
        assert!("a".repeat(140).parse::<LayerName>().is_ok());
        for text in ["", "php-8.4", "a b", "é", &"a".repeat(141)] {
            let NameError::Layer { possible, .. } = text.parse::<LayerName>().unwrap_err() else { panic!("{text}") };
            assert!(possible.parse::<LayerName>().is_ok(), "{possible}");
        }
    }

    #[test]
    fn a_grantee_is_an_account_or_an_organisation() {
        assert_eq!("123456789012".parse(), Ok(Grantee::Account("123456789012".to_owned())));
        assert_eq!("o-a1b2c3d4e5".parse(), Ok(Grantee::Organization("o-a1b2c3d4e5".to_owned())));
        for text in ["", "*", "12345678901", "o-short", "o-UPPERCASE00"] {
            assert!(text.parse::<Grantee>().is_err(), "{text}");
        }
    }

    #[test]
    fn an_arn_names_a_version() {
        assert!("arn:aws-cn:lambda:cn-north-1:123456789012:layer:php:3".parse::<LayerVersionArn>().is_ok());
        assert!("arn:aws:lambda:eu-west-1:123456789012:layer:php".parse::<LayerVersionArn>().is_err());
        assert!("arn:aws:lambda:eu-west-1:123456789012:layer:php:x".parse::<LayerVersionArn>().is_err());
    }
}
