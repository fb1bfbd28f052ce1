//! The pieces of a request that every front hands on in some form: headers, query, body.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};

use super::Client;
use crate::emulator::http::Request;

/// Headers that belong to the connection, not to the request.
const HOP: [&str; 5] = ["connection", "transfer-encoding", "expect", "keep-alive", "upgrade"];
/// What each front says itself, whatever the client claims.
const OWN: [&str; 4] = ["x-forwarded-for", "x-forwarded-port", "x-forwarded-proto", "x-amzn-trace-id"];

/// The request's headers as they go on, in their order and case, and the front's own after them.
///
/// `X-Forwarded-For` grows by the client's address; what the client says of port and protocol is dropped.
pub fn headers(request: &Request, client: &Client) -> Vec<(String, String)> {
    let is = |name: &str, list: &[&str]| list.iter().any(|known| name.eq_ignore_ascii_case(known));
    let given = request.headers.0.iter().filter(|(name, _)| !is(name, &HOP) && !is(name, &OWN));
    let mut headers: Vec<_> = given.cloned().collect();
    let earlier = request.headers.0.iter().filter(|(name, _)| is(name, &["x-forwarded-for"])).map(|(_, value)| value);
    let mut way: Vec<&str> = earlier.map(String::as_str).collect();
    let address = client.address.to_string();
    way.push(&address);
    headers.push(("X-Forwarded-For".into(), way.join(", ")));
    headers.push(("X-Forwarded-Port".into(), client.port.to_string()));
    headers.push(("X-Forwarded-Proto".into(), "http".into()));
    headers.push(("X-Amzn-Trace-Id".into(), client.trace.clone()));
    headers
}

/// The name that was asked for, without a port.
pub fn host(request: &Request) -> &str {
    let host = request.headers.get("host").unwrap_or("localhost");
    host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(name, _)| name)
}

/// Names and values in their order, as they were sent.
pub fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

/// Headers whose name is spelled in several ways, all in the first.
pub fn one_spelling(mut headers: Vec<(String, String)>) -> Vec<(String, String)> {
    for at in 1..headers.len() {
        let (before, after) = headers.split_at_mut(at);
        if let Some((first, _)) = before.iter().find(|(name, _)| name.eq_ignore_ascii_case(&after[0].0)) {
            after[0].0.clone_from(first);
        }
    }
    headers
}

/// Each name with the last of its values.
pub fn last(pairs: &[(String, String)]) -> Map<String, Value> {
    pairs.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect()
}

/// Each name with all of its values.
pub fn every(pairs: &[(String, String)]) -> Map<String, Value> {
    let mut all: Map<String, Value> = Map::new();
    for (name, value) in pairs {
        match all.get_mut(name) {
            Some(Value::Array(values)) => values.push(value.clone().into()),
            _ => drop(all.insert(name.clone(), vec![value.clone()].into())),
        }
    }
    all
}

/// Each name with its values joined by commas.
pub fn joined(pairs: impl Iterator<Item = (String, String)>) -> Map<String, Value> {
    let mut all = Map::new();
    for (name, value) in pairs {
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
pub fn decoded(text: &str, plus_is_space: bool) -> String {
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

/// The media type alone, in lower case.
pub fn media_type(request: &Request) -> String {
    let content_type = request.headers.get("content-type").unwrap_or_default();
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// A body as an event carries it, and whether it is base64: a front decides what it takes for text, and text must be
/// UTF-8 besides.
pub fn body(bytes: &[u8], is_text: bool) -> (String, bool) {
    match std::str::from_utf8(bytes).ok().filter(|text| is_text || text.is_empty()) {
        Some(text) => (text.to_owned(), false),
        None => (BASE64_STANDARD.encode(bytes), true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::http::Headers;

    #[test]
    fn the_front_speaks_for_itself_and_keeps_the_way() {
        let given = [("X-Forwarded-For", "10.0.0.1"), ("X-Forwarded-Proto", "https"), ("Keep-Alive", "5"), ("A", "b")];
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let request = Request::made("GET", "/", Headers(given), Vec::new());
        let passed = headers(&request, &Client::local("eu-west-1"));
        let passed: Vec<_> = passed.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(
            passed,
            [
                "A: b",
                "X-Forwarded-For: 10.0.0.1, 127.0.0.1",
                "X-Forwarded-Port: 80",
                "X-Forwarded-Proto: http",
                "X-Amzn-Trace-Id: Root=1-00000000-000000000000000000000000"
            ]
        );
    }

    #[test]
    fn repeated_names_are_one_in_any_case() {
        let pairs = [("A", "1"), ("a", "2"), ("b", "3")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let pairs = one_spelling(pairs.to_vec());
        assert_eq!(Value::from(last(&pairs)), serde_json::json!({ "A": "2", "b": "3" }));
        assert_eq!(Value::from(every(&pairs)), serde_json::json!({ "A": ["1", "2"], "b": ["3"] }));
    }

    #[test]
    fn what_does_not_decode_stays() {
        for (given, expected) in [("%41+", "A "), ("%ff", "%ff"), ("100%", "100%"), ("%+1", "% 1"), ("%c3%bc", "ü")] {
            assert_eq!(decoded(given, true), expected);
        }
        assert_eq!(decoded("a+b", false), "a+b");
    }
}
