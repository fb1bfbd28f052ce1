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
    pub patience: Patience,
}

/// How long PHP gets, so that there is still time to answer.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// PHP is asked to stop, and tells where it was.
    pub stop: Instant,
    /// It is killed.
    pub kill: Instant,
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

    /// How long an invocation that is received now may take; `margin` is the time kept back for its end.
    pub fn patience(&self, margin: Option<Duration>) -> Patience {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let remaining = Duration::from_millis(self.deadline_ms).saturating_sub(now);
        // A deadline beyond Lambda's longest, or none, must not overflow the clock.
        let remaining = if self.deadline_ms == 0 { LONGEST } else { remaining.min(LONGEST) };
        Patience::of(Instant::now(), remaining, margin)
    }
}

impl Patience {
    /// Three quarters of the margin are for PHP to end by itself, one for killing it and posting the answer.
    fn of(now: Instant, remaining: Duration, margin: Option<Duration>) -> Self {
        let margin = margin.unwrap_or_else(|| usual_margin(remaining)).min(remaining);
        Patience { stop: now + remaining - margin, kill: now + remaining - margin / 4 }
    }

    /// The same moment for both: for what starts, where there is nobody to ask yet.
    pub fn until(end: Instant) -> Self {
        Patience { stop: end, kill: end }
    }
}

/// Lambda's longest timeout, which managed instances have.
const LONGEST: Duration = Duration::from_secs(90 * 60);

/// A tenth, at most a second.
fn usual_margin(remaining: Duration) -> Duration {
    (remaining / 10).min(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_margin_is_proportional_and_never_more_than_a_second() {
        for (remaining, expected) in [(0, 0), (1_000, 100), (3_000, 300), (10_000, 1_000), (900_000, 1_000)] {
            assert_eq!(usual_margin(Duration::from_millis(remaining)), Duration::from_millis(expected));
        }
    }

    #[test]
    fn php_is_asked_to_stop_before_it_is_killed_and_both_before_the_deadline() {
        let (now, ms) = (Instant::now(), Duration::from_millis);
        for (remaining, margin, stop, kill) in
            [(1_000, None, 900, 975), (10_000, Some(400), 9_600, 9_900), (100, Some(5_000), 0, 75), (0, None, 0, 0)]
        {
            let patience = Patience::of(now, ms(remaining), margin.map(ms));
            assert_eq!((patience.stop - now, patience.kill - now), (ms(stop), ms(kill)), "{remaining} {margin:?}");
        }
    }

    #[test]
    fn absurd_deadlines_do_not_overflow() {
        for deadline_ms in [0, 1, u64::MAX] {
            Context { deadline_ms, ..Context::default() }.patience(None);
        }
    }

    #[test]
    fn absent_facts_are_absent_from_the_context() {
        let context = Context { aws_request_id: "1".into(), deadline_ms: 2, ..Context::default() };
        assert_eq!(context.to_json(), r#"{"awsRequestId":"1","deadlineMs":2,"invokedFunctionArn":"","traceId":""}"#);
    }
}
