//! Where a shared store is: `s3://bucket/prefix`.

use std::fmt;
use std::str::FromStr;

use crate::address;

/// A bucket, and the folder in it under which everything stands; the prefix has no slash at its ends, and may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    bucket: String,
    prefix: String,
}

/// The text, in which nothing secret stands any more, is no address of a shared store.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is no address of a shared store: s3://BUCKET or s3://BUCKET/PREFIX is expected")]
pub struct NotALocation(String);

impl Location {
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// The key of an object below the prefix.
    pub fn object(&self, name: &str) -> String {
        match self.prefix.as_str() {
            "" => name.to_owned(),
            prefix => format!("{prefix}/{name}"),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}", self.object_root())
    }
}

impl Location {
    fn object_root(&self) -> String {
        match self.prefix.as_str() {
            "" => self.bucket.clone(),
            prefix => format!("{}/{prefix}", self.bucket),
        }
    }
}

impl FromStr for Location {
    type Err = NotALocation;

    fn from_str(text: &str) -> Result<Self, NotALocation> {
        let wrong = || NotALocation(address::shown(text));
        let rest = text.strip_prefix("s3://").ok_or_else(wrong)?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix.trim_matches('/');
        // Keys or a query in the address would end up in logs: neither has a place here.
        let named = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.' | '_');
        let good = (3..=63).contains(&bucket.len())
            && bucket.chars().all(named)
            && prefix.chars().all(|letter| named(letter) || letter == '/')
            && !prefix.split('/').any(|part| part == ".." || part == ".");
        good.then(|| Self { bucket: bucket.to_owned(), prefix: prefix.to_owned() }).ok_or_else(wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_bucket_and_perhaps_a_prefix() {
        let at = |text: &str| text.parse::<Location>().unwrap();
        assert_eq!(at("s3://builds").object("steps/x"), "steps/x");
        assert_eq!(at("s3://builds/team/php/").object("steps/x"), "team/php/steps/x");
        assert_eq!(at("s3://builds/team/php/").to_string(), "s3://builds/team/php");
        assert_eq!((at("s3://builds").bucket(), at("s3://builds").to_string()), ("builds", "s3://builds".to_owned()));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in
            ["builds", "https://builds", "s3://", "s3://x", "s3://key:secret@builds", "s3://builds/a?b", "s3://b c/d"]
        {
            assert!(text.parse::<Location>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_may_be_secret_is_not_shown() {
        let error = "s3://key:se/cr@t@builds/x".parse::<Location>().expect_err("keys").to_string();
        assert!(error.starts_with("`s3://***@builds/x` is no address"), "{error}");
    }
}
