//! What stands before Lambda: each front makes an event of an HTTP request, and an HTTP response of the function's answer.

mod answer;
mod function_url;
mod http_api;
mod load_balancer;
mod payload2;
pub mod prelude;
mod request;
mod rest;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::PAYLOAD_LIMIT;
use super::http::{Head, Request, Response};
pub use answer::Malformed;
use load_balancer::Values;

/// What API Gateway takes in a request's body, in bytes. Lambda takes less of it.
const GATEWAY_LIMIT: u64 = 10 * 1024 * 1024;

/// A front, in the words of `--event`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Front {
    /// API Gateway, REST API (payload 1.0)
    V1,
    /// API Gateway, HTTP API (payload 2.0)
    #[default]
    V2,
    /// Function URL
    Url,
    /// Application Load Balancer
    Alb,
    /// Application Load Balancer, multi-value headers switched on
    AlbMulti,
}

/// Who asked, and where.
#[derive(Clone, Debug)]
pub struct Client {
    pub address: IpAddr,
    /// The port that was asked.
    pub port: u16,
    pub request_id: String,
    /// `X-Amzn-Trace-Id`, as it goes on: `Root=1-…`.
    pub trace: String,
    pub region: String,
}

impl Client {
    /// This machine, where no connection was made.
    pub fn local(region: &str) -> Self {
        Self {
            address: Ipv4Addr::LOCALHOST.into(),
            port: 80,
            request_id: "local".into(),
            trace: "Root=1-00000000-000000000000000000000000".into(),
            region: region.to_owned(),
        }
    }
}

/// What the front itself has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// This is no HTTP request.
    NotHttp(u16),
    /// The request is larger than the front or Lambda takes.
    TooLarge,
    /// The function failed, or its answer cannot be sent.
    FunctionFailed,
    /// The function took longer than the front waits.
    TimedOut,
}

impl Front {
    /// Its name for people.
    pub fn title(self) -> &'static str {
        match self {
            Front::V1 => "API Gateway REST API",
            Front::V2 => "API Gateway HTTP API",
            Front::Url => "Function URL",
            Front::Alb => "Application Load Balancer",
            Front::AlbMulti => "Application Load Balancer, multi-value headers",
        }
    }

    /// What it takes in a request's body, in bytes.
    pub fn body_limit(self) -> u64 {
        match self {
            Front::V1 | Front::V2 => GATEWAY_LIMIT,
            Front::Url => PAYLOAD_LIMIT,
            Front::Alb | Front::AlbMulti => load_balancer::LIMIT,
        }
    }

    /// What it takes of a function's answer, in bytes of JSON.
    pub fn answer_limit(self) -> u64 {
        match self {
            Front::V1 | Front::V2 | Front::Url => PAYLOAD_LIMIT,
            Front::Alb | Front::AlbMulti => load_balancer::LIMIT,
        }
    }

    /// How long it waits for an answer that is not streamed; None where it waits as long as a function may run.
    pub fn patience(self) -> Option<Duration> {
        match self {
            Front::V1 => Some(Duration::from_secs(29)),
            Front::V2 => Some(Duration::from_secs(30)),
            Front::Url | Front::Alb | Front::AlbMulti => None,
        }
    }

    /// Whether it can pass a response on while the function still writes it.
    pub fn can_stream(self) -> bool {
        match self {
            Front::V1 | Front::Url => true,
            Front::V2 | Front::Alb | Front::AlbMulti => false,
        }
    }

    /// The event as JSON.
    pub fn event(self, request: &Request, body: &[u8], client: &Client) -> String {
        match self {
            Front::V1 => rest::event(request, body, client),
            Front::V2 => http_api::event(request, body, client),
            Front::Url => function_url::event(request, body, client),
            Front::Alb => load_balancer::event(request, body, client, Values::Last),
            Front::AlbMulti => load_balancer::event(request, body, client, Values::All),
        }
        .to_string()
    }

    /// What the client gets for what the function answered, which was not streamed.
    pub fn answer(self, payload: &[u8]) -> Result<Response, Malformed> {
        let size = payload.len() as u64;
        if size > self.answer_limit() {
            return Err(Malformed::TooLarge { size, limit: self.answer_limit() });
        }
        match self {
            Front::V1 => rest::answer(payload),
            Front::V2 => http_api::answer(payload),
            Front::Url => function_url::answer(payload),
            Front::Alb => load_balancer::answer(payload, Values::Last),
            Front::AlbMulti => load_balancer::answer(payload, Values::All),
        }
    }

    /// The same for a streamed answer that was collected: where it begins with a prelude, that says the head.
    pub fn collected(self, content_type: &str, payload: &[u8]) -> Result<Response, Malformed> {
        if content_type != prelude::CONTENT_TYPE {
            return self.answer(payload);
        }
        let size = payload.len() as u64;
        if size > self.answer_limit() {
            return Err(Malformed::TooLarge { size, limit: self.answer_limit() });
        }
        let mut reader = prelude::Reader::default();
        let (json, body) = reader.push(payload).ok_or(Malformed::PreludeEnd)?;
        Ok(Response { head: self.head(&json)?, body })
    }

    /// The head that a stream's prelude asks for.
    pub fn head(self, prelude: &[u8]) -> Result<Head, Malformed> {
        let head = prelude::head(prelude)?;
        match self {
            Front::V1 | Front::Url => Ok(answer::remapped(head)),
            Front::V2 | Front::Alb | Front::AlbMulti => Ok(head),
        }
    }

    /// The head of a stream that has no prelude.
    pub fn bare_head(self) -> Result<Head, Malformed> {
        match self {
            Front::Url => Ok(Head::new(200, vec![("Content-Type".into(), "application/octet-stream".into())])),
            Front::V1 | Front::V2 | Front::Alb | Front::AlbMulti => Err(Malformed::NoPrelude),
        }
    }

    pub fn refusal(self, refusal: Refusal) -> Response {
        match self {
            Front::V1 => rest::refusal(refusal),
            Front::V2 => http_api::refusal(refusal),
            Front::Url => function_url::refusal(refusal),
            Front::Alb | Front::AlbMulti => load_balancer::refusal(refusal),
        }
    }

    /// The headers by which the front names the request.
    pub fn marks(self, client: &Client) -> Vec<(String, String)> {
        let id = client.request_id.clone();
        match self {
            Front::V1 | Front::Url => {
                vec![("x-amzn-RequestId".into(), id), ("X-Amzn-Trace-Id".into(), client.trace.clone())]
            }
            Front::V2 => vec![("Apigw-Requestid".into(), id)],
            Front::Alb | Front::AlbMulti => vec![],
        }
    }
}
