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
    /// It is asked again: one that waits in a system call tells where it is and ends at once.
    pub insist: Instant,
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
    /// Five eighths of the margin are for PHP to end by itself, one for its last word, two for killing it and posting the
    /// answer.
    fn of(now: Instant, remaining: Duration, margin: Option<Duration>) -> Self {
        let margin = margin.unwrap_or_else(|| usual_margin(remaining)).min(remaining);
        let end = now + remaining;
        Patience { stop: end - margin, insist: end - margin * 3 / 8, kill: end - margin / 4 }
    }

    /// The same moment for all: for what starts, where there is nobody to ask yet.
    pub fn until(end: Instant) -> Self {
        Patience { stop: end, insist: end, kill: end }
    }
}

/// How long PHP may take to start. Lambda has a limit of its own: 10 seconds, then once more with the function's timeout, more
/// for a snapshot. This is as long as the longest of them.
pub const START_LIMIT: Duration = Duration::from_secs(900);

/// Lambda's longest timeout, which managed instances have.
const LONGEST: Duration = Duration::from_secs(90 * 60);

/// A tenth, but 200 ms where that is no more than a quarter (a small function has a fourteenth of a processor, and may get
/// nothing of it for 90 ms), and at most a second.
fn usual_margin(remaining: Duration) -> Duration {
    let least = Duration::from_millis(200).min(remaining / 4);
    (remaining / 10).clamp(least, Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_margin_is_proportional_and_never_more_than_a_second() {
        for (remaining, expected) in [(0, 0), (400, 100), (1_000, 200), (3_000, 300), (10_000, 1_000), (900_000, 1_000)]
        {
            assert_eq!(usual_margin(Duration::from_millis(remaining)), Duration::from_millis(expected));
        }
    }

    #[test]
    fn php_is_asked_to_stop_before_it_is_killed_and_both_before_the_deadline() {
        let (now, ms) = (Instant::now(), Duration::from_millis);
        for (remaining, margin, stop, insist, kill) in [
            (1_000, None, 800, 925, 950),
            (10_000, Some(400), 9_600, 9_850, 9_900),
            (100, Some(5_000), 0, 62, 75),
            (0, None, 0, 0, 0),
        ] {
            let patience = Patience::of(now, ms(remaining), margin.map(ms));
            let after = |moment: Instant| (moment - now).as_millis();
            let given = (after(patience.stop), after(patience.insist), after(patience.kill));
            assert_eq!(given, (stop, insist, kill), "{remaining} {margin:?}");
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
