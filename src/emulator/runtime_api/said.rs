//! What the Runtime API says, and what a runtime says of its errors.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use crate::emulator::Outcome;
use crate::emulator::http::{Headers, Response};

pub fn accepted() -> Response {
    Response::json(202, r#"{"status":"OK"}"#)
}

pub fn refusal(status: u16, error_type: &str, message: &str) -> Response {
    Response::json(status, json!({ "errorMessage": message, "errorType": error_type }).to_string())
}

pub fn wrong_state() -> Response {
    refusal(403, "InvalidStateTransition", "State transition is not allowed")
}

pub fn too_large(size: u64) -> Response {
    refusal(413, "RequestEntityTooLarge", &format!("Exceeded maximum allowed payload size ({size} bytes)."))
}

/// The category that the runtime names, if Lambda knows that form; else the nearest it has.
pub fn error_type(headers: &Headers) -> String {
    category(headers.get("lambda-runtime-function-error-type").unwrap_or_default())
}

fn category(given: &str) -> String {
    let known = ["Runtime.", "Function."].iter().any(|prefix| {
        given.match_indices(prefix).any(|(at, _)| {
            let mut reason = given[at + prefix.len()..].chars();
            reason.next().is_some_and(|first| first.is_ascii_uppercase())
                && reason.next().is_some_and(|second| second.is_ascii_alphabetic())
        })
    });
    match (known, given.starts_with("Function.")) {
        (true, _) => given.to_owned(),
        (false, true) => "Function.Unknown".into(),
        (false, false) => "Runtime.Unknown".into(),
    }
}

/// A stream that failed half-way says so in its trailers, the error's JSON in base64.
pub fn streamed_error(trailers: &Headers) -> Option<Outcome> {
    let error_type = category(trailers.get("lambda-runtime-function-error-type")?);
    let body = trailers.get("lambda-runtime-function-error-body").unwrap_or_default();
    Some(Outcome::Reported { error_type, body: BASE64_STANDARD.decode(body).unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_categories_are_lambdas() {
        for (given, kept) in [
            ("Function.MyError", "Function.MyError"),
            ("x.Runtime.Ab", "x.Runtime.Ab"),
            ("Function.x", "Function.Unknown"),
            ("Runtime.A", "Runtime.Unknown"),
            ("", "Runtime.Unknown"),
        ] {
            assert_eq!(category(given), kept);
        }
    }
}
