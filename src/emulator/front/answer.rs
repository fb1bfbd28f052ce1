//! The pieces of a function's answer that the fronts read in the same way, and what can be wrong with them.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::emulator::http::{Head, Headers};

/// API Gateway's limit for a response's headers together, in bytes.
const HEADER_LIMIT: usize = 10_240;
/// Headers that a REST API and a Function URL send under another name, since they say them themselves. From captures of
/// their responses; the list of AWS is longer
/// (<https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-known-issues.html>). A Function URL renames
/// `WWW-Authenticate` too, which breaks Basic authentication behind it.
const REMAPPED: [&str; 6] = ["connection", "content-length", "date", "server", "www-authenticate", "x-amzn-requestid"];

/// Why a function's answer cannot be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("the response is not JSON")]
    NotJson,
    #[error("the response is not an object with `statusCode`")]
    NotAnObject,
    #[error("the response has the key `{0}`, which a REST API refuses")]
    UnknownKey(String),
    #[error("`statusCode` is {0}, not a status from 200 to 599")]
    Status(String),
    #[error("`statusDescription` is {0}, not the status and a phrase, such as \"200 OK\"")]
    StatusDescription(String),
    #[error("`body` is not a string")]
    Body,
    #[error("`isBase64Encoded` is true, but `body` is not base64")]
    Base64,
    #[error("`headers` is not an object of strings")]
    Headers,
    #[error("`multiValueHeaders` is not an object of lists of strings")]
    MultiValueHeaders,
    #[error("the response has `{given}`; in this mode the load balancer reads `{expected}`")]
    OtherMode { given: &'static str, expected: &'static str },
    #[error("`cookies` is not a list of strings")]
    Cookies,
    #[error("the header `{0}` cannot be sent: its name or value has characters that HTTP forbids")]
    Header(String),
    #[error("the headers are {size} bytes together; API Gateway sends {HEADER_LIMIT}")]
    HeadersTooLarge { size: usize },
    #[error("the response is {size} bytes; this front takes {limit}")]
    TooLarge { size: u64, limit: u64 },
    #[error("the stream's prelude is not followed by eight NUL bytes")]
    PreludeEnd,
    #[error("the stream has no prelude: its content type is not application/vnd.awslambda.http-integration-response")]
    NoPrelude,
}

/// A key's value; an absent key is null.
pub fn status(value: &Value) -> Result<u16, Malformed> {
    let number = value.as_u64().or_else(|| value.as_str()?.parse().ok());
    let status = number.and_then(|number| u16::try_from(number).ok()).filter(|number| (200..600).contains(number));
    status.ok_or_else(|| Malformed::Status(value.to_string()))
}

/// `body` and `isBase64Encoded`.
pub fn body(answer: &Value) -> Result<Vec<u8>, Malformed> {
    match &answer["body"] {
        Value::Null => Ok(Vec::new()),
        Value::String(text) if answer["isBase64Encoded"] == true => {
            BASE64_STANDARD.decode(text).map_err(|_| Malformed::Base64)
        }
        Value::String(text) => Ok(text.clone().into_bytes()),
        _ => Err(Malformed::Body),
    }
}

/// `headers`: one value for each name.
pub fn single(value: &Value) -> Result<Vec<(String, String)>, Malformed> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Object(given) => {
            given.iter().map(|(name, value)| Ok((name.clone(), scalar(value).ok_or(Malformed::Headers)?))).collect()
        }
        _ => Err(Malformed::Headers),
    }
}

/// `multiValueHeaders`: a list of values for each name.
pub fn multi(value: &Value) -> Result<Vec<(String, String)>, Malformed> {
    let given = match value {
        Value::Null => return Ok(Vec::new()),
        Value::Object(given) => given,
        _ => return Err(Malformed::MultiValueHeaders),
    };
    let mut all = Vec::new();
    for (name, values) in given {
        for value in values.as_array().ok_or(Malformed::MultiValueHeaders)? {
            all.push((name.clone(), scalar(value).ok_or(Malformed::MultiValueHeaders)?));
        }
    }
    Ok(all)
}

/// `cookies`: the values of as many `Set-Cookie` headers.
pub fn cookies(value: &Value) -> Result<Vec<(String, String)>, Malformed> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(given) => given
            .iter()
            .map(|cookie| Ok(("Set-Cookie".into(), cookie.as_str().ok_or(Malformed::Cookies)?.to_owned())))
            .collect(),
        _ => Err(Malformed::Cookies),
    }
}

/// Both kinds of headers as API Gateway merges them: a pair that is in both counts once.
pub fn merged(answer: &Value) -> Result<Vec<(String, String)>, Malformed> {
    let mut all = multi(&answer["multiValueHeaders"])?;
    for pair in single(&answer["headers"])? {
        if !all.iter().any(|(name, value)| name.eq_ignore_ascii_case(&pair.0) && *value == pair.1) {
            all.push(pair);
        }
    }
    Ok(all)
}

/// A head of headers that HTTP allows.
pub fn head(status: u16, mut headers: Vec<(String, String)>) -> Result<Head, Malformed> {
    // How the body is framed is the connection's affair.
    headers.retain(|(name, _)| !name.eq_ignore_ascii_case("transfer-encoding"));
    let bad = headers.iter().find(|(name, value)| !is_token(name) || value.contains(['\r', '\n', '\0']));
    match bad {
        Some((name, _)) => Err(Malformed::Header(name.clone())),
        None => Ok(Head::new(status, headers)),
    }
}

/// The head without what the front says itself.
pub fn own_framing(mut head: Head) -> Head {
    let said = |name: &str| ["content-length", "connection"].iter().any(|own| name.eq_ignore_ascii_case(own));
    head.headers.0.retain(|(name, _)| !said(name));
    head
}

/// The head with the headers renamed that a REST API and a Function URL do not send under their own names.
pub fn remapped(mut head: Head) -> Head {
    for (name, _) in &mut head.headers.0 {
        if REMAPPED.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            *name = format!("x-amzn-Remapped-{name}");
        }
    }
    head
}

/// Refuses more headers than API Gateway sends.
pub fn within_gateways_limit(head: Head) -> Result<Head, Malformed> {
    let size = head.headers.0.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > HEADER_LIMIT { Err(Malformed::HeadersTooLarge { size }) } else { Ok(head) }
}

/// Says what a body is where the function does not.
pub fn content_type(headers: &mut Headers, default: &str) {
    if headers.get("content-type").is_none() {
        headers.0.push(("Content-Type".into(), default.into()));
    }
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
