//! The HTTP request inside an event of API Gateway, a Function URL or an Application Load Balancer.

mod fields;

use serde_json::Value;

use crate::base64;
use fields::{Fields, encode_query, header_pairs, legal_path, multi_values, text};

pub use fields::percent_decode;

/// Who asks, which decides how the answer must look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// API Gateway REST, or HTTP API with payload format 1.0.
    Gateway1,
    /// API Gateway HTTP API with payload format 2.0, and Function URLs.
    Gateway2,
    /// A load balancer whose target group has one value for each header.
    AlbSingle,
    /// A load balancer whose target group has multi-value headers switched on.
    AlbMulti,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    pub front: Front,
    /// In capitals.
    pub method: String,
    /// Percent-encoded, begins with `/`.
    pub path: String,
    /// Without `?`; as the client sent it wherever the event has it so.
    pub query: String,
    /// Lower-case names, each once: repeated values are joined with `, `, cookies with `; `.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub client: Option<String>,
    /// The front's own name, for requests without a `Host`.
    pub domain: Option<String>,
    pub protocol: String,
    /// JSON of `requestContext`.
    pub context: String,
}

/// Why an event is no HTTP request.
#[derive(Debug, PartialEq, Eq)]
pub enum NotHttp {
    NotJson(String),
    /// JSON, and from no HTTP front that is known here.
    OtherSource,
    BadBase64,
}

impl Request {
    pub fn parse(event: &[u8]) -> Result<Self, NotHttp> {
        let event: Value = serde_json::from_slice(event).map_err(|error| NotHttp::NotJson(error.to_string()))?;
        let context = &event["requestContext"];
        if context["elb"].is_object() {
            Self::from_alb(&event)
        } else if context["connectionId"].is_string() {
            // A WebSocket message has no method and no path.
            Err(NotHttp::OtherSource)
        } else if event["version"] == "2.0" && context["http"].is_object() {
            Self::from_gateway2(&event)
        } else if event["httpMethod"].is_string() && context.is_object() {
            Self::from_gateway1(&event)
        } else {
            Err(NotHttp::OtherSource)
        }
    }

    fn from_gateway1(event: &Value) -> Result<Self, NotHttp> {
        let context = &event["requestContext"];
        let pairs = multi_values(&event["multiValueQueryStringParameters"], &event["queryStringParameters"]);
        Ok(Request {
            front: Front::Gateway1,
            method: method(&event["httpMethod"]),
            path: legal_path(text(&event["path"]).as_deref().unwrap_or("/")),
            query: encode_query(&pairs),
            headers: both_headers(event),
            body: body(event)?,
            client: text(&context["identity"]["sourceIp"]),
            domain: text(&context["domainName"]),
            protocol: protocol(&context["protocol"]),
            context: context.to_string(),
        })
    }

    fn from_gateway2(event: &Value) -> Result<Self, NotHttp> {
        let context = &event["requestContext"];
        let mut headers = Fields::default();
        headers.extend(header_pairs(&event["headers"]));
        let cookies = event["cookies"].as_array().into_iter().flatten();
        headers.extend(cookies.filter_map(|cookie| Some(("cookie".to_owned(), text(cookie)?))));
        Ok(Request {
            front: Front::Gateway2,
            method: method(&context["http"]["method"]),
            path: legal_path(text(&event["rawPath"]).as_deref().unwrap_or("/")),
            query: text(&event["rawQueryString"]).unwrap_or_default(),
            headers: headers.into_list(),
            body: body(event)?,
            client: text(&context["http"]["sourceIp"]),
            domain: text(&context["domainName"]),
            protocol: protocol(&context["http"]["protocol"]),
            context: context.to_string(),
        })
    }

    fn from_alb(event: &Value) -> Result<Self, NotHttp> {
        let pairs = multi_values(&event["multiValueQueryStringParameters"], &event["queryStringParameters"]);
        // The load balancer hands out names and values as the client encoded them.
        let query = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        let headers = both_headers(event);
        let forwarded = headers.iter().find(|(name, _)| name == "x-forwarded-for").map(|(_, value)| value.as_str());
        // The load balancer appends the address that it saw; what stands before came from the client.
        let client = forwarded.and_then(|list| list.rsplit(',').next()).map(|address| address.trim().to_owned());
        Ok(Request {
            front: if event["multiValueHeaders"].is_object() { Front::AlbMulti } else { Front::AlbSingle },
            method: method(&event["httpMethod"]),
            path: legal_path(text(&event["path"]).as_deref().unwrap_or("/")),
            query,
            client,
            headers,
            body: body(event)?,
            domain: None,
            protocol: protocol(&Value::Null),
            context: event["requestContext"].to_string(),
        })
    }

    /// The value of a header, `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

fn method(value: &Value) -> String {
    text(value).unwrap_or_else(|| "GET".to_owned()).to_ascii_uppercase()
}

fn protocol(value: &Value) -> String {
    text(value).filter(|protocol| protocol.starts_with("HTTP/")).unwrap_or_else(|| "HTTP/1.1".to_owned())
}

/// `multiValueHeaders`, and from `headers` what is not in there.
fn both_headers(event: &Value) -> Vec<(String, String)> {
    let mut headers = Fields::default();
    headers.extend(header_pairs(&event["multiValueHeaders"]));
    let known = headers.into_list();
    let mut headers = Fields::default();
    headers.extend(header_pairs(&event["headers"]).filter(|(name, _)| !known.iter().any(|(other, _)| other == name)));
    known.into_iter().chain(headers.into_list()).collect()
}

fn body(event: &Value) -> Result<Vec<u8>, NotHttp> {
    let Some(body) = text(&event["body"]) else { return Ok(Vec::new()) };
    if event["isBase64Encoded"] == true {
        base64::decode(&body).ok_or(NotHttp::BadBase64)
    } else {
        Ok(body.into_bytes())
    }
}

impl std::fmt::Display for NotHttp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NotHttp::NotJson(problem) => write!(f, "the event is not JSON: {problem}"),
            NotHttp::OtherSource => f.write_str(
                "the event is not an HTTP request of API Gateway, a Function URL or a load balancer; \
                 for other events set PHPLAYER_MODE to `function`",
            ),
            NotHttp::BadBase64 => f.write_str("the event's body is marked as base64 and is not"),
        }
    }
}

#[cfg(test)]
mod tests;
