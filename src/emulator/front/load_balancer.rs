//! An Application Load Balancer, its target group with or without multi-value headers.

use serde_json::{Map, Value, json};

use super::answer::{self, Malformed};
use super::request::{body, every, headers, last, media_type, pairs};
use super::{Client, Refusal};
use crate::emulator::http::{Head, Request, Response};

/// For a request's body and for a response's JSON, in bytes.
pub const LIMIT: u64 = 1024 * 1024;

/// The target group's attribute `lambda.multi_value_headers.enabled`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// Off: one value for each name, the last.
    Last,
    /// On: lists of values, and only those.
    All,
}

/// The event: path and query percent-encoded as they came, header names in lower case, no client but in
/// `x-forwarded-for`.
pub fn event(request: &Request, bytes: &[u8], client: &Client, values: Values) -> Value {
    let lower = headers(request, client).into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value));
    let headers: Vec<_> = lower.collect();
    let query: Vec<_> = pairs(request.query()).map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let is_text = request.headers.get("content-encoding").is_none() && is_text(&media_type(request));
    let (body, encoded) = body(bytes, is_text);
    let group =
        format!("arn:aws:elasticloadbalancing:{}:123456789012:targetgroup/phplayer/0123456789abcdef", client.region);
    let mut event = json!({
        "requestContext": { "elb": { "targetGroupArn": group } },
        "httpMethod": request.method,
        "path": request.path(),
    });
    let (query_key, header_key) = values.keys();
    event[query_key] = values.map(&query).into();
    event[header_key] = values.map(&headers).into();
    event["body"] = body.into();
    event["isBase64Encoded"] = encoded.into();
    event
}

/// What the client gets: an object with `statusCode`, and with the headers that the target group's mode has.
pub fn answer(payload: &[u8], values: Values) -> Result<Response, Malformed> {
    let value: Value = serde_json::from_slice(payload).map_err(|_| Malformed::NotJson)?;
    if !value.is_object() {
        return Err(Malformed::NotAnObject);
    }
    let status = answer::status(&value["statusCode"])?;
    let there = |key: &str| value.get(key).is_some_and(|headers| !headers.is_null());
    let headers = match values {
        Values::Last if !there("headers") && there("multiValueHeaders") => {
            return Err(Malformed::OtherMode { given: "multiValueHeaders", expected: "headers" });
        }
        Values::All if !there("multiValueHeaders") && there("headers") => {
            return Err(Malformed::OtherMode { given: "headers", expected: "multiValueHeaders" });
        }
        Values::Last => answer::single(&value["headers"])?,
        Values::All => answer::multi(&value["multiValueHeaders"])?,
    };
    let body = answer::body(&value)?;
    let mut head: Head = answer::own_framing(answer::head(status, headers)?);
    head.reason = phrase(&value["statusDescription"], status)?;
    if !body.is_empty() {
        answer::content_type(&mut head.headers, "application/octet-stream");
    }
    if head.headers.get("server").is_none() {
        head.headers.0.push(("Server".into(), "awselb/2.0".into()));
    }
    Ok(Response { head, body })
}

pub fn refusal(refusal: Refusal) -> Response {
    let (status, title) = match refusal {
        Refusal::NotHttp(status) => (status, format!("{status} Bad Request")),
        Refusal::TooLarge => (413, "413 Request Entity Too Large".into()),
        Refusal::FunctionFailed => (502, "502 Bad Gateway".into()),
        Refusal::TimedOut => (504, "504 Gateway Time-out".into()),
    };
    let page = format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    );
    let mut response = Response::new(status, "text/html", page);
    response.head.headers.0.push(("Server".into(), "awselb/2.0".into()));
    response
}

impl Values {
    fn keys(self) -> (&'static str, &'static str) {
        match self {
            Values::Last => ("queryStringParameters", "headers"),
            Values::All => ("multiValueQueryStringParameters", "multiValueHeaders"),
        }
    }

    fn map(self, pairs: &[(String, String)]) -> Map<String, Value> {
        match self {
            Values::Last => last(pairs),
            Values::All => every(pairs),
        }
    }
}

/// `200 OK` without its status, which must be the answer's.
fn phrase(description: &Value, status: u16) -> Result<Option<String>, Malformed> {
    let wrong = || Malformed::StatusDescription(description.to_string());
    match description {
        Value::Null => Ok(None),
        Value::String(text) => {
            let phrase = text.strip_prefix(&status.to_string()).ok_or_else(wrong)?.trim();
            let plain = phrase.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
            if plain { Ok(Some(phrase.to_owned())) } else { Err(wrong()) }
        }
        _ => Err(wrong()),
    }
}

/// What travels as a string.
fn is_text(kind: &str) -> bool {
    kind.starts_with("text/") || ["application/json", "application/javascript", "application/xml"].contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::http::Headers;

    fn made(values: Values, target: &str, given: &[(&str, &str)], bytes: &[u8]) -> Value {
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        event(&Request::made("POST", target, Headers(given), Vec::new()), bytes, &Client::local("eu-west-1"), values)
    }

    #[test]
    fn a_request_becomes_what_a_load_balancer_sends() {
        let given = [("Host", "shop.example"), ("X-Many", "a"), ("x-many", "b"), ("Cookie", "a=1; b=2")];
        let target = "/a%20b/%2F?x=%31+&y=1&y=2&z";
        let event = made(Values::Last, target, &given, b"");
        assert_eq!(event["path"], "/a%20b/%2F");
        assert_eq!(event["queryStringParameters"], json!({ "x": "%31+", "y": "2", "z": "" }));
        assert_eq!((&event["headers"]["x-many"], &event["headers"]["cookie"]), (&json!("b"), &json!("a=1; b=2")));
        assert_eq!(event["headers"]["x-forwarded-for"], "127.0.0.1");
        assert!(event["requestContext"]["elb"]["targetGroupArn"].as_str().unwrap().contains(":eu-west-1:"));
        assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!(""), &json!(false)));
        assert!(event.get("multiValueHeaders").is_none() && event.get("multiValueQueryStringParameters").is_none());
        let event = made(Values::All, target, &given, b"");
        assert_eq!(event["multiValueQueryStringParameters"], json!({ "x": ["%31+"], "y": ["1", "2"], "z": [""] }));
        assert_eq!(event["multiValueHeaders"]["x-many"], json!(["a", "b"]));
        assert!(event.get("headers").is_none() && event.get("queryStringParameters").is_none());
        assert_eq!(made(Values::Last, "/", &[], b"")["queryStringParameters"], json!({}));
    }

    #[test]
    fn only_plain_text_travels_as_text() {
        let encoded =
            |given: &[(&str, &str)], bytes: &[u8]| made(Values::Last, "/", given, bytes)["isBase64Encoded"] == true;
        assert!(!encoded(&[("Content-Type", "application/json; charset=utf-8")], b"{}"));
        assert!(encoded(&[("Content-Type", "application/ld+json")], b"{}"));
        assert!(encoded(&[("Content-Type", "text/plain"), ("Content-Encoding", "gzip")], b"x"));
        assert!(encoded(&[("Content-Type", "application/x-www-form-urlencoded")], b"a=1"));
        assert!(encoded(&[("Content-Type", "text/plain")], b"\xff"));
    }

    #[test]
    fn an_answer_has_its_modes_headers() {
        let both = br#"{"statusCode":200,"statusDescription":"200 Very well","headers":{"A":"1"},
                        "multiValueHeaders":{"Set-Cookie":["a=1","b=2"]},"body":"x"}"#;
        let sent = |values| -> Vec<String> {
            let response = answer(both, values).unwrap();
            assert_eq!(response.head.reason.as_deref(), Some("Very well"));
            response.head.headers.0.iter().map(|(name, value)| format!("{name}: {value}")).collect()
        };
        let rest = ["Content-Type: application/octet-stream", "Server: awselb/2.0"];
        assert_eq!(sent(Values::Last), [&["A: 1"], &rest[..]].concat());
        assert_eq!(sent(Values::All), [&["Set-Cookie: a=1", "Set-Cookie: b=2"], &rest[..]].concat());
        assert!(answer(br#"{"statusCode":204}"#, Values::All).unwrap().body.is_empty());
    }

    #[test]
    fn malformed_answers_are_named() {
        let other = |given, expected| Malformed::OtherMode { given, expected };
        for (values, payload, expected) in [
            (Values::Last, "<html>", Malformed::NotJson),
            (Values::Last, "\"hi\"", Malformed::NotAnObject),
            (Values::Last, "{}", Malformed::Status("null".into())),
            (Values::Last, r#"{"statusCode":200,"multiValueHeaders":{}}"#, other("multiValueHeaders", "headers")),
            (Values::All, r#"{"statusCode":200,"headers":{}}"#, other("headers", "multiValueHeaders")),
            (Values::Last, r#"{"statusCode":200,"headers":{"a":["b"]}}"#, Malformed::Headers),
            (Values::All, r#"{"statusCode":200,"multiValueHeaders":{"a":"b"}}"#, Malformed::MultiValueHeaders),
            (Values::Last, r#"{"statusCode":200,"body":[]}"#, Malformed::Body),
            (
                Values::Last,
                r#"{"statusCode":200,"statusDescription":"OK"}"#,
                Malformed::StatusDescription("\"OK\"".into()),
            ),
        ] {
            assert_eq!(answer(payload.as_bytes(), values).unwrap_err(), expected, "{payload}");
        }
    }
}
