//! API Gateway's HTTP API, payload format 2.0: a request as an event, an invocation as a response.

use std::net::{IpAddr, Ipv4Addr};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value, json};

use super::clock::Clock;
use super::http::{Headers, Request, Response};

/// What an HTTP API takes in a body, in bytes.
pub const BODY_LIMIT: u64 = 10 * 1024 * 1024;

/// Who asked, and where.
#[derive(Clone, Debug)]
pub struct Client {
    pub address: IpAddr,
    /// The port that was asked.
    pub port: u16,
    pub request_id: String,
}

impl Client {
    /// This machine, where no connection was made.
    pub fn local() -> Self {
        Self { address: Ipv4Addr::LOCALHOST.into(), port: 80, request_id: "local".into() }
    }
}

/// The event as JSON.
///
/// Like AWS it decodes the path (so `%2F` is lost), leaves the query byte for byte as it came, joins repeated headers
/// with a comma, takes cookies out of them, and encodes a body that is not text as base64.
pub fn event(request: &Request, body: &[u8], client: &Client) -> String {
    let now = Clock::now();
    let path = decoded(request.path(), false);
    let host = request.headers.get("host").unwrap_or("localhost");
    let domain = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(name, _)| name);
    let forwarded = [
        ("x-forwarded-for", client.address.to_string()),
        ("x-forwarded-port", client.port.to_string()),
        ("x-forwarded-proto", "http".to_owned()),
    ];
    let mut headers = Map::new();
    let mut cookies = Vec::new();
    let given = request.headers.0.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
    for (name, value) in given.chain(forwarded.map(|(name, value)| (name.to_owned(), value))) {
        match (name.as_str(), headers.get_mut(&name)) {
            ("cookie", _) => cookies.extend(value.split(';').map(|cookie| Value::from(cookie.trim()))),
            // Those that belong to the connection, not to the request.
            ("connection" | "transfer-encoding" | "expect" | "keep-alive" | "upgrade", _) => {}
            (_, Some(Value::String(before))) => {
                before.push(',');
                before.push_str(&value);
            }
            _ => drop(headers.insert(name, value.into())),
        }
    }
    let content_type = request.headers.get("content-type").unwrap_or_default();
    let text = std::str::from_utf8(body).ok().filter(|_| is_text(content_type));
    let agent = request.headers.get("user-agent").unwrap_or_default();
    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": request.query(),
        "headers": headers,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "phplayer",
            "domainName": domain,
            "domainPrefix": domain.split('.').next(),
            "http": {
                "method": request.method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": client.address.to_string(),
                "userAgent": agent,
            },
            "requestId": client.request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": now.clf(),
            "timeEpoch": u64::try_from(now.epoch_ms()).unwrap_or(u64::MAX),
        },
        "isBase64Encoded": !body.is_empty() && text.is_none(),
    });
    if !cookies.is_empty() {
        event["cookies"] = cookies.into();
    }
    if !request.query().is_empty() {
        event["queryStringParameters"] = parameters(request.query()).into();
    }
    if !body.is_empty() {
        event["body"] = text.map_or_else(|| BASE64_STANDARD.encode(body), str::to_owned).into();
    }
    event.to_string()
}

/// Why a function's response cannot be sent.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the response is not JSON")]
    NotJson,
    #[error("`statusCode` is {0}, not a status from 200 to 599")]
    Status(String),
    #[error("`body` is not a string")]
    Body,
    #[error("`isBase64Encoded` is true, but `body` is not base64")]
    Base64,
    #[error("`headers` is not an object of strings")]
    Headers,
    #[error("`cookies` is not a list of strings")]
    Cookies,
    #[error("the header `{0}` cannot be sent: its name or value has characters that HTTP forbids")]
    Header(String),
}

/// What the client gets for a function's response.
///
/// A response without `statusCode` is itself the body of a 200, as JSON; a bare string loses its quotes.
pub fn answer(payload: &[u8]) -> Result<Response, Malformed> {
    let value: Value = serde_json::from_slice(payload).map_err(|_| Malformed::NotJson)?;
    let Some(status) = value.get("statusCode") else {
        let body = match value {
            Value::String(text) => text.into_bytes(),
            _ => payload.to_owned(),
        };
        return Ok(Response::json(200, body));
    };
    let number = status.as_u64().or_else(|| status.as_str()?.parse().ok());
    let status = number.and_then(|number| u16::try_from(number).ok()).filter(|number| (200..600).contains(number));
    let status = status.ok_or_else(|| Malformed::Status(value["statusCode"].to_string()))?;
    let body = match &value["body"] {
        Value::Null => Vec::new(),
        Value::String(text) if value["isBase64Encoded"] == true => {
            BASE64_STANDARD.decode(text).map_err(|_| Malformed::Base64)?
        }
        Value::String(text) => text.clone().into_bytes(),
        _ => return Err(Malformed::Body),
    };
    let mut headers = Vec::new();
    match &value["headers"] {
        Value::Null => {}
        Value::Object(given) => {
            for (name, value) in given {
                headers.push((name.clone(), scalar(value).ok_or(Malformed::Headers)?));
            }
        }
        _ => return Err(Malformed::Headers),
    }
    // The gateway says these itself.
    headers.retain(|(name, _)| {
        !["content-length", "connection", "transfer-encoding"].iter().any(|own| name.eq_ignore_ascii_case(own))
    });
    match &value["cookies"] {
        Value::Null => {}
        Value::Array(given) => {
            for cookie in given {
                headers.push(("Set-Cookie".into(), cookie.as_str().ok_or(Malformed::Cookies)?.to_owned()));
            }
        }
        _ => return Err(Malformed::Cookies),
    }
    if let Some((name, _)) = headers.iter().find(|(name, value)| !is_token(name) || value.contains(['\r', '\n', '\0']))
    {
        return Err(Malformed::Header(name.clone()));
    }
    let mut headers = Headers(headers);
    if headers.get("content-type").is_none() && !body.is_empty() {
        headers.0.push(("Content-Type".into(), "text/plain; charset=utf-8".into()));
    }
    Ok(Response { status, headers, body })
}

/// A header's value; AWS writes numbers and booleans out.
fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// What an HTTP API hands on as a string. Forms are not among it: they come as base64.
fn is_text(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let named = ["application/json", "application/javascript", "application/xml"].contains(&kind.as_str());
    named || kind.starts_with("text/") || kind.ends_with("+json") || kind.ends_with("+xml")
}

/// Decoded names and values; those of one name joined with a comma.
fn parameters(query: &str) -> Map<String, Value> {
    let mut all = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decoded(name, true), decoded(value, true));
        match all.get_mut(&name) {
            Some(Value::String(before)) => {
                before.push(',');
                before.push_str(&value);
            }
            _ => drop(all.insert(name, value.into())),
        }
    }
    all
}

/// Percent-decoded; what is no UTF-8 then stays as it was, since JSON could not carry it.
fn decoded(text: &str, plus_is_space: bool) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let byte = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        match (first, byte.and_then(|digits| u8::from_str_radix(digits, 16).ok())) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
                continue;
            }
            (b'+', _) if plus_is_space => bytes.push(b' '),
            _ => bytes.push(first),
        }
        rest = after;
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str, headers: &[(&str, &str)]) -> Request {
        let pairs = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Request::made("POST", target, Headers(pairs), Vec::new())
    }

    fn made(target: &str, headers: &[(&str, &str)], body: &[u8]) -> Value {
        serde_json::from_str(&event(&request(target, headers), body, &Client::local())).unwrap()
    }

    #[test]
    fn a_request_becomes_what_api_gateway_sends() {
        let headers = [
            ("Host", "shop.example:8000"),
            ("X-Many", "a"),
            ("Cookie", "a=1; b=2"),
            ("x-many", "b"),
            ("Cookie", "c=3"),
            ("Connection", "close"),
        ];
        let event = made("/a%20b/?x=%31&&y=1&y=2&z", &headers, b"");
        assert_eq!(event["rawPath"], "/a b/");
        assert_eq!(event["rawQueryString"], "x=%31&&y=1&y=2&z");
        assert_eq!(event["queryStringParameters"], json!({ "x": "1", "y": "1,2", "z": "" }));
        assert_eq!(event["headers"]["x-many"], "a,b");
        assert_eq!(event["cookies"], json!(["a=1", "b=2", "c=3"]));
        assert!(event["headers"].get("cookie").is_none() && event["headers"].get("connection").is_none());
        assert_eq!(event["requestContext"]["domainName"], "shop.example");
        assert_eq!(event["requestContext"]["http"]["method"], "POST");
        assert_eq!(event["isBase64Encoded"], false);
        assert!(event.get("body").is_none());
    }

    #[test]
    fn only_text_travels_as_text() {
        let sent = |content_type, body: &[u8]| {
            let event = made("/", &[("content-type", content_type)], body);
            (event["body"].as_str().unwrap().to_owned(), event["isBase64Encoded"] == true)
        };
        assert_eq!(sent("application/json; charset=utf-8", b"{}"), ("{}".into(), false));
        assert_eq!(sent("application/x-www-form-urlencoded", b"a=1"), ("YT0x".into(), true));
        assert_eq!(sent("text/plain", b"\xff"), ("/w==".into(), true));
        assert_eq!(sent("", b"a"), ("YQ==".into(), true));
    }

    #[test]
    fn a_path_that_decodes_to_no_text_stays_encoded() {
        assert_eq!(made("/%ff", &[], b"")["rawPath"], "/%ff");
        assert_eq!(made("/100%", &[], b"")["rawPath"], "/100%");
        assert_eq!(made("/%+1", &[], b"")["rawPath"], "/%+1");
    }

    #[test]
    fn a_response_becomes_what_the_client_gets() {
        let response = answer(
            br#"{"statusCode":"201","headers":{"X-A":1,"Content-Length":"9"},"cookies":["a=1","b=2"],"body":"/w==","isBase64Encoded":true}"#,
        )
        .unwrap();
        assert_eq!((response.status, response.body.as_slice()), (201, &b"\xff"[..]));
        let names: Vec<_> = response.headers.0.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(names, ["X-A: 1", "Set-Cookie: a=1", "Set-Cookie: b=2", "Content-Type: text/plain; charset=utf-8"]);
    }

    #[test]
    fn a_plain_answer_is_a_json_body() {
        assert_eq!(answer(b"{\"a\":1}").unwrap(), Response::json(200, "{\"a\":1}"));
        assert_eq!(answer(b"\"hi\"").unwrap(), Response::json(200, "hi"));
        assert_eq!(answer(b"null").unwrap().body, b"null");
    }

    #[test]
    fn malformed_responses_are_named() {
        for (payload, expected) in [
            (&b"<html>"[..], Malformed::NotJson),
            (br#"{"statusCode":99}"#, Malformed::Status("99".into())),
            (br#"{"statusCode":200,"body":{}}"#, Malformed::Body),
            (br#"{"statusCode":200,"body":"!","isBase64Encoded":true}"#, Malformed::Base64),
            (br#"{"statusCode":200,"headers":[]}"#, Malformed::Headers),
            (br#"{"statusCode":200,"cookies":"a=1"}"#, Malformed::Cookies),
            (br#"{"statusCode":200,"headers":{"a":"x\r\ny: z"}}"#, Malformed::Header("a".into())),
        ] {
            assert_eq!(answer(payload).unwrap_err(), expected);
        }
    }
}
