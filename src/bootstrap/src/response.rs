//! PHP's answer, from CGI output to the JSON that the front wants.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;

use crate::answer::{RESPONSE_LIMIT, to_json};
use crate::event::Front;

/// The most that a load balancer passes on, in bytes of the JSON answer.
const ALB_LIMIT: usize = 1024 * 1024;

/// The most that API Gateway passes on in headers, names and values together, in bytes.
const GATEWAY_HEADER_LIMIT: usize = 10_240;

/// How much of a script's output is kept: more than any front takes, so that what is cut off is surely refused.
pub const OUTPUT_LIMIT: usize = 2 * RESPONSE_LIMIT;

#[derive(Debug, PartialEq, Eq)]
pub struct Response {
    pub head: Head,
    pub body: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    /// As PHP wrote them, repeated names included.
    pub headers: Vec<(String, String)>,
}

/// Why the front would refuse an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Undeliverable {
    TooLarge { limit: usize },
    HeadersTooLarge { size: usize },
}

impl std::fmt::Display for Undeliverable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Undeliverable::TooLarge { limit } => {
                write!(f, "The response is larger than the {limit} bytes that can be delivered.")
            }
            Undeliverable::HeadersTooLarge { size } => write!(
                f,
                "The response's headers have {size} bytes, and API Gateway delivers at most {GATEWAY_HEADER_LIMIT}."
            ),
        }
    }
}

impl Head {
    /// Reads CGI output up to the empty line: the head, and what follows it. None while there is no empty line.
    pub fn split(output: &[u8]) -> Option<(Self, &[u8])> {
        let mut head = Head { status: 200, headers: Vec::new() };
        let mut rest = output;
        loop {
            let end = rest.iter().position(|byte| *byte == b'\n')?;
            let line = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
            rest = &rest[end + 1..];
            if line.is_empty() {
                return Some((head, rest));
            }
            head.read(&String::from_utf8_lossy(line));
        }
    }

    /// One line. `Status` sets the status.
    fn read(&mut self, line: &str) {
        let Some((name, value)) = line.split_once(':') else { return };
        let value = value.trim();
        if name.eq_ignore_ascii_case("Status") {
            let code = value.split(' ').next().and_then(|code| code.parse().ok());
            self.status = code.filter(|code| (100..600).contains(code)).unwrap_or(500);
        } else {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
    }

    /// Whether no body belongs to it.
    pub fn is_bodiless(&self, method: &str) -> bool {
        method == "HEAD" || self.status < 200 || self.status == 204 || self.status == 304
    }

    /// What begins a streamed answer: the head as JSON, and eight NUL bytes.
    pub fn prelude(&self, front: Front) -> Vec<u8> {
        let mut prelude = to_json(&Prelude { status_code: self.status, fields: self.fields(front) }).into_bytes();
        prelude.extend_from_slice(&[0; 8]);
        prelude
    }

    /// Whether the front delivers these headers.
    pub fn check(&self, front: Front) -> Result<(), Undeliverable> {
        let size = self.size();
        match front {
            Front::Rest | Front::HttpApi1 | Front::HttpApi2 if size > GATEWAY_HEADER_LIMIT => {
                Err(Undeliverable::HeadersTooLarge { size })
            }
            _ => Ok(()),
        }
    }

    /// Bytes of the headers as API Gateway counts them.
    fn size(&self) -> usize {
        self.headers.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// The headers in the form that the front reads.
    fn fields(&self, front: Front) -> HeaderFields<'_> {
        let headers: Vec<(&str, &str)> = self
            .headers
            .iter()
            .filter(|(name, _)| !HOP_BY_HOP.iter().any(|dropped| dropped.eq_ignore_ascii_case(name)))
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        match front {
            Front::Rest | Front::HttpApi1 | Front::AlbMulti => {
                HeaderFields { multi_value_headers: Some(grouped(&headers)), ..HeaderFields::default() }
            }
            Front::HttpApi2 | Front::FunctionUrl => {
                let is_cookie = |name: &str| name.eq_ignore_ascii_case("Set-Cookie");
                let cookies: Vec<_> = headers.iter().filter(|(n, _)| is_cookie(n)).map(|(_, value)| *value).collect();
                let others: Vec<_> = headers.into_iter().filter(|(name, _)| !is_cookie(name)).collect();
                HeaderFields {
                    headers: Some(joined(&others)),
                    cookies: Some(cookies).filter(|cookies| !cookies.is_empty()),
                    ..HeaderFields::default()
                }
            }
            Front::AlbSingle | Front::Lattice => {
                HeaderFields { headers: Some(single(&headers)), ..HeaderFields::default() }
            }
        }
    }
}

impl Response {
    /// An answer of ours, for people to read.
    pub fn plain(status: u16, message: &str) -> Self {
        let headers = vec![("Content-Type".into(), "text/plain; charset=utf-8".into())];
        Response { head: Head { status, headers }, body: format!("{message}\n").into_bytes() }
    }

    /// Reads CGI output: headers, an empty line, the body. A status is 200 unless it says otherwise.
    pub fn parse(output: &[u8]) -> Self {
        match Head::split(output) {
            Some((head, body)) => Response { head, body: body.to_vec() },
            None => {
                let mut head = Head { status: 200, headers: Vec::new() };
                String::from_utf8_lossy(output).lines().for_each(|line| head.read(line));
                Response { head, body: Vec::new() }
            }
        }
    }

    /// The JSON for the front, unless that would refuse it.
    pub fn shape(&self, front: Front, method: &str) -> Result<Vec<u8>, Undeliverable> {
        let limit = if matches!(front, Front::AlbSingle | Front::AlbMulti) { ALB_LIMIT } else { RESPONSE_LIMIT };
        self.head.check(front)?;
        let json = self.to_json(front, method);
        if json.len() > limit { Err(Undeliverable::TooLarge { limit }) } else { Ok(json.into_bytes()) }
    }

    /// The JSON for the front, whatever its size.
    pub fn to_json(&self, front: Front, method: &str) -> String {
        let status = self.head.status;
        let (body, is_base64_encoded) =
            if self.head.is_bodiless(method) { (Cow::Borrowed(""), false) } else { self.body_text() };
        let status_description = matches!(front, Front::AlbSingle | Front::AlbMulti).then(|| description(status));
        let fields = self.head.fields(front);
        to_json(&Shaped { status_code: status, status_description, fields, body, is_base64_encoded })
    }

    /// The body as text where it is text and valid UTF-8, else as base64.
    fn body_text(&self) -> (Cow<'_, str>, bool) {
        let header = |name: &str| self.head.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v);
        let encoded = header("Content-Encoding").is_some_and(|coding| !coding.eq_ignore_ascii_case("identity"));
        match std::str::from_utf8(&self.body) {
            Ok(text) if !encoded && is_text(header("Content-Type").map_or("", String::as_str)) => (text.into(), false),
            _ => (base64_simd::STANDARD.encode_to_string(&self.body).into(), true),
        }
    }
}

/// Not for the front: it frames the message itself.
const HOP_BY_HOP: [&str; 4] = ["Connection", "Content-Length", "Keep-Alive", "Transfer-Encoding"];

fn is_text(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let Some((family, name)) = kind.split_once('/') else { return kind.is_empty() };
    family == "text"
        || (family == "application"
            && ["json", "javascript", "xml", "yaml", "x-www-form-urlencoded", "x-javascript"].contains(&name))
        || ["+json", "+xml", "+yaml"].iter().any(|suffix| name.ends_with(suffix))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shaped<'a> {
    status_code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    status_description: Option<String>,
    #[serde(flatten)]
    fields: HeaderFields<'a>,
    body: Cow<'a, str>,
    is_base64_encoded: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Prelude<'a> {
    status_code: u16,
    #[serde(flatten)]
    fields: HeaderFields<'a>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct HeaderFields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    headers: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    multi_value_headers: Option<BTreeMap<String, Vec<&'a str>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cookies: Option<Vec<&'a str>>,
}

/// Every value of every name; the name as it was first written.
fn grouped<'a>(headers: &[(&str, &'a str)]) -> BTreeMap<String, Vec<&'a str>> {
    let mut map = BTreeMap::<String, Vec<&str>>::new();
    for (name, value) in headers {
        let known = map.keys().find(|known| known.eq_ignore_ascii_case(name)).cloned();
        map.entry(known.unwrap_or_else(|| (*name).to_owned())).or_default().push(value);
    }
    map
}

/// One value for each name.
fn joined(headers: &[(&str, &str)]) -> BTreeMap<String, String> {
    grouped(headers).into_iter().map(|(name, values)| (name, values.join(", "))).collect()
}

/// One value for each name, where cookies must not be joined: each further one takes another spelling of its name,
/// which a load balancer passes on as it is.
fn single(headers: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut map = BTreeMap::new();
    for (name, values) in grouped(headers) {
        if name.eq_ignore_ascii_case("Set-Cookie") {
            map.extend(
                values.iter().zip(0..512).map(|(cookie, nth)| (spelling("set-cookie", nth), (*cookie).to_owned())),
            );
        } else {
            map.insert(name, values.join(", "));
        }
    }
    map
}

/// The `nth` way to write a name: the bits of the number tell which letters are capitals.
fn spelling(name: &str, nth: u32) -> String {
    let mut letter = 0;
    name.chars()
        .map(|character| {
            if !character.is_ascii_alphabetic() {
                return character;
            }
            letter += 1;
            if nth >> (letter - 1) & 1 == 1 { character.to_ascii_uppercase() } else { character }
        })
        .collect()
}

/// `200 OK`: the form that load balancers ask for.
fn description(status: u16) -> String {
    let reason = match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        410 => "Gone",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "Status",
    };
    format!("{status} {reason}")
}

#[cfg(test)]
mod tests;
