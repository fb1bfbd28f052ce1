//! Objections that the user accepts: from the recipe by way of the manifest, or from `--allow`.

use std::str::FromStr;

use miette::Diagnostic;
use thiserror::Error;

use super::rule::{self, Rule};
use crate::layer::manifest::WaiverRecord;

/// One accepted objection: what a rule finds in one file, or in all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiver {
    rule: Rule,
    file: Option<String>,
    reason: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Error, Diagnostic)]
pub enum WaiverError {
    #[error("no rule is called `{id}`")]
    UnknownRule {
        id: String,
        nearest: Option<Rule>,
        #[help]
        help: String,
    },
    #[error("what `{rule}` finds cannot be accepted")]
    #[diagnostic(help("{}", rule.help()))]
    Refused { rule: Rule },
}

impl Waiver {
    fn new(id: &str, file: Option<String>, reason: String) -> Result<Self, WaiverError> {
        let Some(rule) = Rule::named(id) else {
            let nearest = Rule::nearest(id);
            let guess = nearest.map(|rule| format!("Did you mean `{rule}`? ")).unwrap_or_default();
            let help = format!("{guess}`phplayer audit --rules` lists them all.");
            return Err(WaiverError::UnknownRule { id: id.to_owned(), nearest, help });
        };
        match rule.waiver() {
            rule::Waiver::Possible => Ok(Self { rule, file, reason }),
            rule::Waiver::Refused => Err(WaiverError::Refused { rule }),
        }
    }

    pub fn covers(&self, rule: Rule, file: Option<&str>) -> bool {
        self.rule == rule && (self.file.is_none() || self.file.as_deref() == file)
    }

    pub fn reason(&self) -> &str {
        &self.reason
    }
}

/// `RULE` or `RULE=REASON`.
impl FromStr for Waiver {
    type Err = WaiverError;

    fn from_str(text: &str) -> Result<Self, WaiverError> {
        let (id, reason) = text.split_once('=').unwrap_or((text, "allowed on the command line"));
        Self::new(id, None, reason.to_owned())
    }
}

impl TryFrom<&WaiverRecord> for Waiver {
    type Error = WaiverError;

    fn try_from(record: &WaiverRecord) -> Result<Self, WaiverError> {
        Self::new(&record.rule, record.file.clone(), record.reason.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_with_or_without_a_reason() {
        let waiver: Waiver = "executable-stack=old assembly".parse().expect("a waiver");
        assert!(waiver.covers(Rule::ExecutableStack, Some("lib/x.so")));
        assert_eq!(waiver.reason(), "old assembly");
        assert_eq!("isa-level".parse::<Waiver>().expect("a waiver").reason(), "allowed on the command line");
    }

    #[test]
    fn a_misspelt_rule_is_answered_with_the_right_one() {
        let error = "executable-stak".parse::<Waiver>().expect_err("no such rule");
        assert!(matches!(error, WaiverError::UnknownRule { nearest: Some(Rule::ExecutableStack), .. }), "{error:?}");
    }

    #[test]
    fn what_lambda_refuses_cannot_be_waived() {
        let error = "unzipped-too-large=please".parse::<Waiver>().expect_err("Lambda refuses it");
        assert_eq!(error, WaiverError::Refused { rule: Rule::UnzippedTooLarge });
    }
}
