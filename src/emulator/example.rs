//! Events of the common sources, to try a function with: `invoke --example`.

/// An event as its source sends it, with values of no one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Example {
    /// A GET through an API Gateway REST API
    #[value(name = "api-gateway-v1")]
    ApiGatewayV1,
    /// A POST through an API Gateway HTTP API
    #[value(name = "api-gateway-v2")]
    ApiGatewayV2,
    /// A GET at a Function URL
    FunctionUrl,
    /// A GET through an Application Load Balancer
    Alb,
    /// The same with multi-value headers
    AlbMulti,
    /// A message on a WebSocket
    Websocket,
    /// Two messages of a queue
    Sqs,
    /// A notification
    Sns,
    /// An object that was put into a bucket
    S3,
    /// A changed row of a table's stream
    #[value(name = "dynamodb")]
    DynamoDb,
    /// A record of a stream
    Kinesis,
    /// An event of one's own on a bus
    #[value(name = "eventbridge")]
    EventBridge,
    /// A rule that runs every minute
    Scheduled,
    /// A command for a function in console mode
    Console,
    /// What keeps a function warm and asks for nothing
    Warmup,
}

impl Example {
    /// JSON.
    pub fn event(self) -> &'static str {
        match self {
            Example::ApiGatewayV1 => include_str!("examples/api-gateway-v1.json"),
            Example::ApiGatewayV2 => include_str!("examples/api-gateway-v2.json"),
            Example::FunctionUrl => include_str!("examples/function-url.json"),
            Example::Alb => include_str!("examples/alb.json"),
            Example::AlbMulti => include_str!("examples/alb-multi.json"),
            Example::Websocket => include_str!("examples/websocket.json"),
            Example::Sqs => include_str!("examples/sqs.json"),
            Example::Sns => include_str!("examples/sns.json"),
            Example::S3 => include_str!("examples/s3.json"),
            Example::DynamoDb => include_str!("examples/dynamodb.json"),
            Example::Kinesis => include_str!("examples/kinesis.json"),
            Example::EventBridge => include_str!("examples/eventbridge.json"),
            Example::Scheduled => include_str!("examples/scheduled.json"),
            Example::Console => include_str!("examples/console.json"),
            Example::Warmup => include_str!("examples/warmup.json"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::ValueEnum;
    use serde_json::Value;

    use super::*;
    use crate::emulator::front::{Client, Front};
    use crate::emulator::http::{Headers, Request};

    /// The keys that lead to each value, but those of headers, parameters and cookies, which are the request's own.
    fn shape(value: &Value) -> BTreeSet<String> {
        fn walk(value: &Value, path: &str, into: &mut BTreeSet<String>) {
            let own = ["headers", "Headers", "Parameters"].iter().any(|end| path.ends_with(end));
            match value {
                Value::Object(map) if !own => {
                    map.iter().for_each(|(key, value)| walk(value, &format!("{path}.{key}"), into));
                }
                _ => drop(into.insert(path.to_owned())),
            }
        }
        let mut all = BTreeSet::new();
        walk(value, "", &mut all);
        all
    }

    #[test]
    fn what_comes_over_http_has_the_shape_that_its_front_makes() {
        for (example, front, method, target, body) in [
            (Example::ApiGatewayV1, Front::V1, "GET", "/products/red%20shoes?page=2&tag=new&tag=sale", ""),
            (Example::ApiGatewayV2, Front::V2, "POST", "/products/red%20shoes?page=2&tag=new&tag=sale", "{}"),
            (Example::FunctionUrl, Front::Url, "GET", "/products/red%20shoes?page=2&tag=new&tag=sale", ""),
            (Example::Alb, Front::Alb, "GET", "/products/red%20shoes?page=2&tag=new&tag=sale", ""),
            (Example::AlbMulti, Front::AlbMulti, "GET", "/products/red%20shoes?page=2&tag=new&tag=sale", ""),
        ] {
            let headers = [("Cookie", "session=4f1c; theme=dark"), ("Content-Type", "application/json")];
            let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
            let request = Request::made(method, target, Headers(headers), Vec::new());
            let made = front.event(&request, body.as_bytes(), &Client::local("us-east-1"));
            let made: Value = serde_json::from_str(&made).unwrap();
            let given: Value = serde_json::from_str(example.event()).unwrap();
            assert_eq!(shape(&given), shape(&made), "{example:?}");
            for key in ["path", "rawPath", "rawQueryString", "queryStringParameters", "cookies", "httpMethod"] {
                assert_eq!(given.get(key), made.get(key), "{key} of {example:?}");
            }
        }
    }

    #[test]
    fn the_others_say_where_they_come_from() {
        for example in Example::value_variants() {
            let event: Value = serde_json::from_str(example.event()).unwrap();
            let record = &event["Records"][0];
            let source = record["eventSource"].as_str().or(record["EventSource"].as_str());
            let expected = match example {
                Example::Sqs => Some("aws:sqs"),
                Example::Sns => Some("aws:sns"),
                Example::S3 => Some("aws:s3"),
                Example::DynamoDb => Some("aws:dynamodb"),
                Example::Kinesis => Some("aws:kinesis"),
                _ => None,
            };
            assert_eq!(source, expected, "{example:?}");
            let bus = matches!(example, Example::EventBridge | Example::Scheduled);
            assert_eq!(event["detail-type"].is_string(), bus, "{example:?}");
            let socket = *example == Example::Websocket;
            assert_eq!(event["requestContext"]["connectionId"].is_string(), socket, "{example:?}");
            let account = example.event().contains("123456789012");
            let nobody = matches!(
                example,
                Example::FunctionUrl | Example::Websocket | Example::S3 | Example::Console | Example::Warmup
            );
            assert!(account || nobody, "{example:?}");
        }
    }
}
