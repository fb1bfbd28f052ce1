//! Payload format 2.0, which HTTP APIs and Function URLs share: its event, and what they take for an answer.

use serde_json::{Map, Value, json};

use super::Client;
use super::answer::{self, Malformed};
use super::request::{body, decoded, headers, joined, media_type, pairs};
use crate::emulator::clock::Clock;
use crate::emulator::http::{Head, Request, Response};

/// In what the two fronts differ.
pub struct Source {
    /// As `rawPath` has it.
    pub path: String,
    pub account: &'static str,
    pub api: &'static str,
    pub domain: String,
}

/// The event: the query byte for byte as it came, repeated headers joined with a comma, cookies apart from them, and a
/// body that is not text as base64.
pub fn event(request: &Request, bytes: &[u8], client: &Client, source: Source) -> Value {
    let now = Clock::now();
    let lower = headers(request, client).into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
    let (cookies, headers): (Vec<_>, Vec<_>) = lower.partition(|(name, _)| name == "cookie");
    let cookies: Vec<&str> = cookies.iter().flat_map(|(_, value)| value.split(';').map(str::trim)).collect();
    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": source.path,
        "rawQueryString": request.query(),
    });
    if !cookies.is_empty() {
        event["cookies"] = cookies.into();
    }
    event["headers"] = joined(headers.into_iter()).into();
    let parameters = parameters(request.query());
    if !parameters.is_empty() {
        event["queryStringParameters"] = parameters.into();
    }
    event["requestContext"] = json!({
        "accountId": source.account,
        "apiId": source.api,
        "domainName": source.domain,
        "domainPrefix": source.domain.split('.').next(),
        "http": {
            "method": request.method,
            "path": source.path,
            "protocol": "HTTP/1.1",
            "sourceIp": client.address.to_string(),
            "userAgent": request.headers.get("user-agent").unwrap_or_default(),
        },
        "requestId": client.request_id,
        "routeKey": "$default",
        "stage": "$default",
        "time": now.clf(),
        "timeEpoch": u64::try_from(now.epoch_ms()).unwrap_or(u64::MAX),
    });
    let (body, encoded) = body(bytes, is_text(&media_type(request)));
    if !bytes.is_empty() {
        event["body"] = body.into();
    }
    event["isBase64Encoded"] = encoded.into();
    event
}

/// What the client gets.
///
/// An answer without `statusCode` is itself the body of a 200, as JSON; a bare string loses its quotes. `default` is the
/// content type of a body that the function gives none.
pub fn answer(payload: &[u8], default: &str) -> Result<Response, Malformed> {
    let value: Value = serde_json::from_slice(payload).map_err(|_| Malformed::NotJson)?;
    let Some(status) = value.get("statusCode") else {
        let body = match value {
            Value::String(text) => text.into_bytes(),
            _ => payload.to_owned(),
        };
        return Ok(Response::json(200, body));
    };
    let status = answer::status(status)?;
    let body = answer::body(&value)?;
    let mut headers = answer::single(&value["headers"])?;
    headers.extend(answer::cookies(&value["cookies"])?);
    let mut head: Head = answer::head(status, headers)?;
    if !body.is_empty() {
        answer::content_type(&mut head.headers, default);
    }
    Ok(Response { head, body })
}

/// What both hand on as a string. Forms are not among it: they come as base64.
fn is_text(kind: &str) -> bool {
    let named = ["application/json", "application/javascript", "application/xml"].contains(&kind);
    named || kind.starts_with("text/") || kind.ends_with("+json") || kind.ends_with("+xml")
}

/// Decoded names and values; those of one name joined with a comma.
fn parameters(query: &str) -> Map<String, Value> {
    joined(pairs(query).map(|(name, value)| (decoded(name, true), decoded(value, true))))
}
