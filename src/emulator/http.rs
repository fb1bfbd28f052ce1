//! HTTP/1.1 messages, as both servers here take and send them.

mod connection;

pub use connection::{Connection, Outgoing, ReadError};

/// Name and value pairs in the order and case they came in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers(pub Vec<(String, String)>);

impl Headers {
    /// The first value of this name, in any case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    fn lists(&self, name: &str, token: &str) -> bool {
        self.get(name).is_some_and(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    }
}

#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// The request target as sent: path, `?`, query.
    pub target: String,
    pub headers: Headers,
    pub body: Body,
    /// What followed a chunked body.
    pub trailers: Headers,
    /// The client closes after this one.
    close: bool,
    /// HTTP/1.0, which knows no chunks.
    old: bool,
}

impl Request {
    /// A request that no client sent, for example `invoke --http`.
    pub fn made(method: &str, target: &str, headers: Headers, body: Vec<u8>) -> Self {
        let (method, target) = (method.to_owned(), target.to_owned());
        Self { method, target, headers, body: Body::Whole(body), trailers: Headers::default(), close: true, old: false }
    }

    /// The target without its query.
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(&self.target, |(path, _)| path)
    }

    /// What follows the first `?`, byte for byte; empty where there is none.
    pub fn query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }
}

/// A request's body, read to its end either way, so that the client hears the answer instead of a reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    Whole(Vec<u8>),
    /// Over the connection's limit: counted and dropped.
    TooLarge {
        size: u64,
    },
}

/// What a response begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    /// The phrase after the status; None for the usual one.
    pub reason: Option<String>,
    pub headers: Headers,
}

impl Head {
    pub fn new(status: u16, headers: Vec<(String, String)>) -> Self {
        Self { status, reason: None, headers: Headers(headers) }
    }

    /// Whether HTTP forbids a body.
    fn is_bodiless(&self) -> bool {
        matches!(self.status, 100..200 | 204 | 304)
    }

    fn write(&self) -> Vec<u8> {
        let phrase = self.reason.as_deref().unwrap_or_else(|| reason(self.status));
        let mut out = format!("HTTP/1.1 {} {phrase}\r\n", self.status);
        for (name, value) in &self.headers.0 {
            out.push_str(&format!("{name}: {value}\r\n"));
        }
        out.into_bytes()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub head: Head,
    pub body: Vec<u8>,
}

impl Response {
    pub fn new(status: u16, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { head: Head::new(status, vec![("Content-Type".into(), content_type.into())]), body: body.into() }
    }

    pub fn json(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self::new(status, "application/json", body)
    }
}

fn reason(status: u16) -> &'static str {
    match status {
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
        413 => "Payload Too Large",
        415 => "Unsupported Media Type",
        422 => "Unprocessable Content",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        // The phrase is for people; a status without one is complete.
        _ => "",
    }
}
