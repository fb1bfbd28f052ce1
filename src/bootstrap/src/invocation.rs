//! One event as the Runtime API hands it out, with its deadline and its context.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::answer::to_json;

pub struct Invocation {
    pub id: String,
    /// Echoed to the Runtime API, which gave it.
    pub invocation_id: Option<String>,
    pub event: Vec<u8>,
    pub context: Context,
    /// When to stop waiting for PHP, so that there is still time to answer.
    pub cut_off: Instant,
}

/// What PHP gets to know about the invocation: JSON in `LAMBDA_INVOCATION_CONTEXT`, an object in function mode.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Context {
    pub aws_request_id: String,
    /// Milliseconds since 1970.
    pub deadline_ms: u64,
    pub invoked_function_arn: String,
    pub trace_id: String,
    /// JSON of the caller.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_context: Option<String>,
    /// JSON: `{"cognitoIdentityId", "cognitoIdentityPoolId"}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cognito_identity: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
}

impl Context {
    pub fn to_json(&self) -> String {
        to_json(self)
    }

    /// The moment to stop waiting, for an invocation that is received now.
    pub fn cut_off(&self) -> Instant {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let remaining = Duration::from_millis(self.deadline_ms).saturating_sub(now);
        // 15 minutes are Lambda's longest timeout: a deadline beyond, or none, must not overflow the clock.
        let remaining = if self.deadline_ms == 0 { LONGEST } else { remaining.min(LONGEST) };
        Instant::now() + remaining - margin(remaining)
    }
}

const LONGEST: Duration = Duration::from_secs(90 * 60);

/// The time kept back for killing the worker and posting the answer: a tenth, at most a second.
fn margin(remaining: Duration) -> Duration {
    (remaining / 10).min(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_margin_is_proportional_and_never_more_than_a_second() {
        for (remaining, expected) in [(0, 0), (1_000, 100), (3_000, 300), (10_000, 1_000), (900_000, 1_000)] {
            assert_eq!(margin(Duration::from_millis(remaining)), Duration::from_millis(expected));
        }
    }

    #[test]
    fn absurd_deadlines_do_not_overflow() {
        for deadline_ms in [0, 1, u64::MAX] {
            Context { deadline_ms, ..Context::default() }.cut_off();
        }
    }

    #[test]
    fn absent_facts_are_absent_from_the_context() {
        let context = Context { aws_request_id: "1".into(), deadline_ms: 2, ..Context::default() };
        assert_eq!(context.to_json(), r#"{"awsRequestId":"1","deadlineMs":2,"invokedFunctionArn":"","traceId":""}"#);
    }
}
