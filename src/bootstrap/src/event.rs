//! The HTTP request inside an event of API Gateway, a Function URL, a load balancer or VPC Lattice.

mod document;
mod fields;

use std::borrow::Cow;

use serde_json::Value;

use document::Document;
use fields::{Fields, encode_query, header_pairs, legal_path, multi_values, text};

pub use fields::percent_decode;

/// Who asks, which decides how the answer must look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    /// API Gateway REST.
    Rest,
    /// API Gateway HTTP API with payload format 1.0.
    HttpApi1,
    /// API Gateway HTTP API with payload format 2.0.
    HttpApi2,
    FunctionUrl,
    /// A load balancer whose target group has one value for each header.
    AlbSingle,
    /// A load balancer whose target group has multi-value headers switched on.
    AlbMulti,
    Lattice,
}

impl Front {
    /// Whether it can pass an answer on while it is made, if it is set so.
    pub fn streams(self) -> bool {
        matches!(self, Front::Rest | Front::FunctionUrl)
    }
}

#[derive(Debug, PartialEq, Eq)]
pub struct Request<'a> {
    pub front: Front,
    /// In capitals.
    pub method: String,
    /// Percent-encoded, begins with `/`.
    pub path: String,
    /// Without `?`; as the client sent it wherever the event has it so.
    pub query: String,
    /// Lower-case names, each once: repeated values are joined with `, `, cookies with `; `.
    pub headers: Vec<(String, String)>,
    /// From the event itself where it stands there as it is.
    pub body: Cow<'a, [u8]>,
    pub client: Option<String>,
    /// The front's own name, for requests without a `Host`.
    pub domain: Option<String>,
    pub protocol: String,
    /// JSON of `requestContext`.
    pub context: String,
    /// The name of API Gateway's stage; none for the one without a name.
    pub stage: Option<String>,
}

/// Why an event is no HTTP request.
#[derive(Debug, PartialEq, Eq)]
pub enum NotHttp {
    NotJson(String),
    /// A WebSocket's message has no method and no path.
    WebSocket,
    /// JSON, and from no HTTP front that is known here.
    OtherSource,
    BadBase64,
}

impl<'a> Request<'a> {
    /// The order matters: Lattice's second format has the version of API Gateway's.
    pub fn parse(event: &'a [u8]) -> Result<Self, NotHttp> {
        let Document { fields: event, body } =
            Document::parse(event).map_err(|error| NotHttp::NotJson(error.to_string()))?;
        let context = &event["requestContext"];
        if context["elb"].is_object() {
            Self::from_alb(&event, body)
        } else if context["connectionId"].is_string() {
            Err(NotHttp::WebSocket)
        } else if event["version"] == "2.0" && context["http"].is_object() {
            Self::from_gateway2(&event, body)
        } else if context["serviceArn"].is_string() && event["method"].is_string() {
            Self::from_lattice(&event, body, &LATTICE_2)
        } else if event["raw_path"].is_string() && event["method"].is_string() {
            Self::from_lattice(&event, body, &LATTICE_1)
        } else if event["httpMethod"].is_string() && context.is_object() {
            Self::from_gateway1(&event, body)
        } else {
            Err(NotHttp::OtherSource)
        }
    }

    /// A request that no client sent: GET of a path with its query.
    pub fn local(target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Request {
            front: Front::HttpApi2,
            method: "GET".to_owned(),
            path: legal_path(path),
            query: query.to_owned(),
            headers: vec![("host".to_owned(), "localhost".to_owned())],
            body: Cow::Borrowed(&[]),
            client: None,
            domain: None,
            protocol: "HTTP/1.1".to_owned(),
            context: "{}".to_owned(),
            stage: None,
        }
    }

    /// Takes the stage's name from the front of the path, where API Gateway has left it: in HTTP APIs.
    pub fn strip_stage(&mut self) {
        if !matches!(self.front, Front::HttpApi1 | Front::HttpApi2) {
            return;
        }
        let rest = self.stage.as_deref().and_then(|stage| self.path.strip_prefix('/')?.strip_prefix(stage));
        match rest {
            Some("") => self.path = "/".to_owned(),
            Some(rest) if rest.starts_with('/') => self.path = rest.to_owned(),
            _ => {}
        }
    }

    fn from_gateway1(event: &Value, body: Cow<'a, str>) -> Result<Self, NotHttp> {
        let context = &event["requestContext"];
        let pairs = multi_values(&event["multiValueQueryStringParameters"], &event["queryStringParameters"]);
        Ok(Request {
            front: if event["version"] == "1.0" { Front::HttpApi1 } else { Front::Rest },
            method: method(&event["httpMethod"]),
            path: legal_path(text(&event["path"]).as_deref().unwrap_or("/")),
            query: encode_query(&pairs),
            headers: both_headers(event),
            body: bytes(body, &event[IS_BASE64])?,
            client: text(&context["identity"]["sourceIp"]),
            domain: text(&context["domainName"]),
            protocol: protocol(&context["protocol"]),
            context: context.to_string(),
            stage: stage(context),
        })
    }

    fn from_gateway2(event: &Value, body: Cow<'a, str>) -> Result<Self, NotHttp> {
        let context = &event["requestContext"];
        let mut headers = Fields::default();
        headers.extend(header_pairs(&event["headers"]));
        let cookies = event["cookies"].as_array().into_iter().flatten();
        headers.extend(cookies.filter_map(|cookie| Some(("cookie".to_owned(), text(cookie)?))));
        let domain = text(&context["domainName"]);
        let is_url = domain.as_deref().is_some_and(|domain| domain.contains(".lambda-url."));
        Ok(Request {
            front: if is_url { Front::FunctionUrl } else { Front::HttpApi2 },
            method: method(&context["http"]["method"]),
            path: legal_path(text(&event["rawPath"]).as_deref().unwrap_or("/")),
            query: text(&event["rawQueryString"]).unwrap_or_default(),
            headers: headers.into_list(),
            body: bytes(body, &event[IS_BASE64])?,
            client: text(&context["http"]["sourceIp"]),
            domain,
            protocol: protocol(&context["http"]["protocol"]),
            context: context.to_string(),
            stage: stage(context),
        })
    }

    fn from_alb(event: &Value, body: Cow<'a, str>) -> Result<Self, NotHttp> {
        let pairs = multi_values(&event["multiValueQueryStringParameters"], &event["queryStringParameters"]);
        // The load balancer hands out names and values as the client encoded them.
        let query = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&");
        let headers = both_headers(event);
        Ok(Request {
            front: if event["multiValueHeaders"].is_object() { Front::AlbMulti } else { Front::AlbSingle },
            method: method(&event["httpMethod"]),
            path: legal_path(text(&event["path"]).as_deref().unwrap_or("/")),
            query,
            client: forwarded_for(&headers),
            headers,
            body: bytes(body, &event[IS_BASE64])?,
            domain: None,
            protocol: protocol(&Value::Null),
            context: event["requestContext"].to_string(),
            stage: None,
        })
    }

    fn from_lattice(event: &Value, body: Cow<'a, str>, keys: &LatticeKeys) -> Result<Self, NotHttp> {
        let mut headers = Fields::default();
        headers.extend(header_pairs(&event["headers"]));
        let headers = headers.into_list();
        let target = text(&event[keys.path]).unwrap_or_default();
        let (path, in_path) = target.split_once('?').unwrap_or((&target, ""));
        let query = encode_query(&multi_values(&Value::Null, &event[keys.query]));
        Ok(Request {
            front: Front::Lattice,
            method: method(&event["method"]),
            path: legal_path(path),
            query: if query.is_empty() { in_path.to_owned() } else { query },
            client: forwarded_for(&headers),
            headers,
            body: bytes(body, &event[keys.is_base64])?,
            domain: None,
            protocol: protocol(&Value::Null),
            context: event["requestContext"].to_string(),
            stage: None,
        })
    }

    /// The value of a header, `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// What VPC Lattice calls the parts of its events, by the event structure's version.
struct LatticeKeys {
    path: &'static str,
    query: &'static str,
    is_base64: &'static str,
}

const LATTICE_1: LatticeKeys =
    LatticeKeys { path: "raw_path", query: "query_string_parameters", is_base64: "is_base64_encoded" };
const LATTICE_2: LatticeKeys = LatticeKeys { path: "path", query: "queryStringParameters", is_base64: IS_BASE64 };

/// Every other front's.
const IS_BASE64: &str = "isBase64Encoded";

/// A load balancer appends the address that it saw, with the port if it is told to; what stands before came from the client.
fn forwarded_for(headers: &[(String, String)]) -> Option<String> {
    let (_, list) = headers.iter().find(|(name, _)| name == "x-forwarded-for")?;
    let address = list.rsplit(',').next()?.trim();
    let alone = match (address.strip_prefix('['), address.split_once(':')) {
        (Some(rest), _) => rest.split(']').next().unwrap_or(rest),
        (None, Some((alone, port))) if !port.contains(':') => alone,
        _ => address,
    };
    Some(alone.to_owned())
}

fn stage(context: &Value) -> Option<String> {
    text(&context["stage"]).filter(|stage| stage != "$default" && !stage.is_empty())
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

/// What the client sent. Missing padding and line ends are forgiven.
fn bytes<'a>(body: Cow<'a, str>, is_base64: &Value) -> Result<Cow<'a, [u8]>, NotHttp> {
    if *is_base64 == true {
        let bytes = base64_simd::forgiving_decode_to_vec(body.as_bytes()).map_err(|_| NotHttp::BadBase64)?;
        return Ok(Cow::Owned(bytes));
    }
    Ok(match body {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    })
}

impl std::fmt::Display for NotHttp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            NotHttp::NotJson(problem) => write!(f, "the event is not JSON: {problem}"),
            NotHttp::WebSocket => f.write_str(
                "the event is a WebSocket's, which is no HTTP request; for those set PHPLAYER_MODE to `function`",
            ),
            NotHttp::OtherSource => f.write_str(
                "the event is not an HTTP request of API Gateway, a Function URL, a load balancer or VPC Lattice; \
                 for other events set PHPLAYER_MODE to `function`",
            ),
            NotHttp::BadBase64 => f.write_str("the event's body is marked as base64 and is not"),
        }
    }
}

#[cfg(test)]
mod tests;
