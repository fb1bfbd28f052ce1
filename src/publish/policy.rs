//! Reads the resource policy of a layer version: whether a grantee may use it already.

use serde::Deserialize;
use serde_json::Value;

use super::names::Grantee;

/// As GetLayerVersionPolicy returns it, in JSON; only what we need of it.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Policy {
    statement: Vec<Statement>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Statement {
    effect: String,
    action: String,
    /// `"*"` or `{"AWS": "arn:aws:iam::123456789012:root"}`.
    principal: Value,
    #[serde(default)]
    condition: Value,
}

impl Policy {
    /// True only for a statement that says exactly this: a wider one (everyone instead of one account) may be
    /// withdrawn one day, and the grant asked for must outlive it.
    pub(super) fn grants(&self, grantee: &Grantee) -> bool {
        self.statement.iter().any(|statement| {
            statement.effect == "Allow" && statement.action == "lambda:GetLayerVersion" && statement.names(grantee)
        })
    }
}

impl Statement {
    fn names(&self, grantee: &Grantee) -> bool {
        let principal = match &self.principal {
            Value::Object(kinds) => kinds.get("AWS").and_then(Value::as_str),
            other => other.as_str(),
        };
        let organization = self.condition.pointer("/StringEquals/aws:PrincipalOrgID").and_then(Value::as_str);
        match grantee {
            Grantee::Everyone => principal == Some("*") && self.condition.is_null(),
            Grantee::Organization(asked) => principal == Some("*") && organization == Some(asked),
            Grantee::Account(asked) => {
                self.condition.is_null()
                    && principal.is_some_and(|arn| arn == asked || arn.ends_with(&format!(":iam::{asked}:root")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_grant_counts() {
        let text = r#"{"Version":"2012-10-17","Id":"default","Statement":[
            {"Sid":"a","Effect":"Allow","Principal":{"AWS":"arn:aws:iam::123456789012:root"},
             "Action":"lambda:GetLayerVersion","Resource":"arn:aws:lambda:eu-west-1:1:layer:x:1"},
            {"Sid":"o","Effect":"Allow","Principal":"*","Action":"lambda:GetLayerVersion","Resource":"x",
             "Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-a1b2c3d4e5"}}}]}"#;
        let policy: Policy = serde_json::from_str(text).unwrap();
        assert!(policy.grants(&"123456789012".parse().unwrap()));
        assert!(!policy.grants(&"123456789013".parse().unwrap()));
        assert!(policy.grants(&"o-a1b2c3d4e5".parse().unwrap()));
        assert!(!policy.grants(&Grantee::Everyone), "an organisation is not everyone");
        assert!(!Policy::default().grants(&Grantee::Everyone));
    }
}
