//! Table tests of the fronts, and every public example event there is.

use std::fs;

use serde_json::{Value, json};

use super::*;
use examples::examples;

#[path = "../../tests/it/examples.rs"]
mod examples;

fn parse(event: &Value) -> Request<'static> {
    Request::parse(event.to_string().leak().as_bytes()).unwrap()
}

fn with(mut event: Value, changes: Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        event[name] = value.clone();
    }
    event
}

fn gateway1() -> Value {
    json!({"httpMethod": "get", "path": "/a", "requestContext": {"protocol": "HTTP/2", "identity": {"sourceIp": "192.0.2.9"}, "stage": "prod"}})
}

fn gateway2() -> Value {
    json!({"version": "2.0", "rawPath": "/a", "rawQueryString": "", "requestContext": {"domainName": "x.example", "http": {"method": "POST", "sourceIp": "192.0.2.8"}}})
}

fn function_url() -> Value {
    let context = json!({"domainName": "abc.lambda-url.eu-west-1.on.aws", "http": {"method": "GET"}});
    with(gateway2(), json!({"requestContext": context}))
}

fn lattice() -> Value {
    json!({"version": "2.0", "method": "PUT", "path": "/a", "headers": {"x-forwarded-for": ["192.0.2.6"], "multi": ["1", "2"]},
        "queryStringParameters": {"q": ["a b", "c"]}, "requestContext": {"serviceArn": "x"}})
}

fn alb() -> Value {
    json!({"httpMethod": "GET", "path": "/a", "requestContext": {"elb": {"targetGroupArn": "x"}}})
}

#[test]
fn a_load_balancers_client_is_the_last_address_without_its_port() {
    for (list, client) in [
        ("192.0.2.1", "192.0.2.1"),
        ("spoofed, 192.0.2.1:5678", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]:5678", "2001:db8::1"),
        ("unknown", "unknown"),
    ] {
        let event = with(alb(), json!({"headers": {"x-forwarded-for": list}}));
        assert_eq!(parse(&event).client.as_deref(), Some(client), "{list}");
    }
}

#[test]
fn each_front_is_told_apart() {
    let multi = json!({"multiValueHeaders": {"a": ["1"]}});
    for (event, front, method, client) in [
        (gateway1(), Front::Rest, "GET", Some("192.0.2.9")),
        (gateway2(), Front::HttpApi2, "POST", Some("192.0.2.8")),
        (function_url(), Front::FunctionUrl, "GET", None),
        (lattice(), Front::Lattice, "PUT", Some("192.0.2.6")),
        (with(gateway1(), json!({"version": "1.0"})), Front::HttpApi1, "GET", Some("192.0.2.9")),
        (alb(), Front::AlbSingle, "GET", None),
        (with(alb(), multi), Front::AlbMulti, "GET", None),
    ] {
        let request = parse(&event);
        assert_eq!((request.front, request.method.as_str(), request.client.as_deref()), (front, method, client));
        assert_eq!(request.path, "/a");
        assert_eq!(serde_json::from_str::<Value>(&request.context).unwrap(), event["requestContext"]);
    }
    assert_eq!((parse(&gateway1()).protocol, parse(&gateway2()).protocol), ("HTTP/2".into(), "HTTP/1.1".into()));
}

#[test]
fn query_strings_are_kept_raw_or_rebuilt() {
    let one = json!({"queryStringParameters": {"q": "a b", "z": null}});
    let many = json!({"queryStringParameters": {"q": "2"}, "multiValueQueryStringParameters": {"q": ["1", "2"], "a[]": ["&"]}});
    let encoded = json!({"queryStringParameters": {"q": "a%20b", "x": "+"}});
    for (event, query) in [
        (with(gateway2(), json!({"rawQueryString": "?a&b[=%zz&&c=1#d"})), "?a&b[=%zz&&c=1#d"),
        (with(gateway2(), json!({"rawQueryString": null})), ""),
        (with(gateway1(), one), "q=a%20b&z="),
        (with(gateway1(), many), "q=1&q=2&a%5B%5D=%26"),
        (with(alb(), encoded), "q=a%20b&x=+"),
        (lattice(), "q=a%20b&q=c"),
    ] {
        assert_eq!(parse(&event).query, query);
    }
}

#[test]
fn repeated_headers_and_cookies_are_joined() {
    let multi =
        json!({"multiValueHeaders": {"X-A": ["1", "2"], "Cookie": ["a=1", "b=2"]}, "headers": {"X-A": "2", "X-B": 3}});
    let cookies = json!({"headers": {"x-a": "1,2"}, "cookies": ["a=1", "b=2"]});
    for (event, expected) in [
        (with(gateway1(), multi), vec![("x-a", "1, 2"), ("cookie", "a=1; b=2"), ("x-b", "3")]),
        (with(gateway2(), cookies), vec![("x-a", "1,2"), ("cookie", "a=1; b=2")]),
        (with(alb(), json!({"headers": {"Host": "h"}, "multiValueHeaders": null})), vec![("host", "h")]),
    ] {
        let headers = parse(&event).headers;
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(headers, expected);
    }
}

#[test]
fn a_stage_is_stripped_where_the_path_has_it() {
    let at = |path: &str, stage: &str| {
        let context = json!({"stage": stage, "http": {"method": "GET"}});
        let mut request = parse(&with(gateway2(), json!({"rawPath": path, "requestContext": context})));
        request.strip_stage();
        request.path
    };
    for (path, stage, expected) in [
        ("/prod/a", "prod", "/a"),
        ("/prod", "prod", "/"),
        ("/prod/", "prod", "/"),
        ("/production", "prod", "/production"),
        ("/a", "$default", "/a"),
        ("/a", "", "/a"),
    ] {
        assert_eq!(at(path, stage), expected, "{path} {stage}");
    }
    let mut rest = parse(&with(gateway1(), json!({"path": "/prod/a"})));
    rest.strip_stage();
    assert_eq!(rest.path, "/prod/a", "a REST API's path never has its stage");
}

#[test]
fn the_client_of_a_load_balancer_is_the_address_that_it_saw() {
    let request = parse(&with(alb(), json!({"headers": {"x-forwarded-for": "forged, 192.0.2.7"}})));
    assert_eq!(request.client.as_deref(), Some("192.0.2.7"));
}

#[test]
fn bodies_are_decoded() {
    for (body, body64, expected) in [
        (json!("a"), json!(false), &b"a"[..]),
        (json!("/wA="), json!(true), b"\xff\0"),
        (json!(null), json!(true), b""),
        (json!(""), json!(null), b""),
        (json!("\u{e9}\"\n"), json!(false), b"\xc3\xa9\"\n"),
        (json!(1.5), json!(false), b"1.5"),
        (json!(-7), json!(false), b"-7"),
        (json!(true), json!(false), b"true"),
        (json!([[1], {"a": 2}]), json!(false), b""),
        (json!({"a": [2]}), json!(false), b""),
        // Without padding, and in lines.
        (json!("Zg"), json!(true), b"f"),
        (json!("Zm9v\nYmFyYmF6\r\nZm9v\n"), json!(true), b"foobarbazfoo"),
    ] {
        assert_eq!(*parse(&with(gateway2(), json!({"body": body, "isBase64Encoded": body64}))).body, *expected);
    }
    for bad in ["*", "Zm9v!", "Zm9vYm=yYmF6"] {
        let bad = with(gateway2(), json!({"body": bad, "isBase64Encoded": true}));
        assert_eq!(Request::parse(bad.to_string().as_bytes()), Err(NotHttp::BadBase64));
    }
    let half = br#"{"version": "2.0", "requestContext": {"http": {}}, "body": "\ud800"}"#;
    assert!(matches!(Request::parse(half), Err(NotHttp::NotJson(_))));
}

/// Names that mean something to serde_json under one of its features: a client may send them.
#[test]
fn no_name_has_a_meaning() {
    for name in ["$serde_json::private::RawValue", "$serde_json::private::Number"] {
        let map = json!({name: "{\"a\": \"1\"}"});
        let request =
            parse(&with(gateway1(), json!({"multiValueQueryStringParameters": null, "queryStringParameters": map})));
        assert!(request.query.starts_with("%24serde_json"), "{}", request.query);
    }
}

#[test]
fn a_plain_body_is_not_copied() {
    for (body, copied) in [("a=1&b=2", false), ("\"", true)] {
        let request = parse(&with(gateway2(), json!({"body": body, "isBase64Encoded": false})));
        assert_eq!(matches!(request.body, Cow::Owned(_)), copied, "{body}");
    }
}

/// Every value's place, as a JSON pointer.
fn places(value: &Value) -> Vec<String> {
    let below = |key: &str, value: &Value| {
        let key = key.replace('~', "~0").replace('/', "~1");
        places(value).into_iter().map(|rest| format!("/{key}{rest}")).collect::<Vec<_>>()
    };
    let mut all = vec![String::new()];
    match value {
        Value::Object(map) => all.extend(map.iter().flat_map(|(key, value)| below(key, value))),
        Value::Array(list) => all.extend(list.iter().enumerate().flat_map(|(at, value)| below(&at.to_string(), value))),
        _ => {}
    }
    all
}

#[test]
fn every_public_example_is_a_request_or_clearly_none() {
    let examples = examples();
    assert!(examples.len() > 150, "{}", examples.len());
    let mut fronts = Vec::new();
    for path in examples {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let event = fs::read(&path).unwrap();
        match Request::parse(&event) {
            Ok(request) => {
                assert!(request.path.starts_with('/') && !request.method.is_empty(), "{name}");
                fronts.push((name, request.front));
            }
            Err(problem) if name.contains("websocket-request") => assert_eq!(problem, NotHttp::WebSocket, "{name}"),
            Err(problem) => assert_eq!(problem, NotHttp::OtherSource, "{name}"),
        }
        // Cut anywhere, or with anything in any place, an event may be anything but a reason to panic.
        for end in (0..event.len()).step_by(event.len() / 23 + 1) {
            let _ = Request::parse(&event[..end]);
        }
        let event: Value = serde_json::from_slice(&event).unwrap();
        for place in places(&event) {
            for replacement in [json!(null), json!(-1), json!([[null]])] {
                let mut changed = event.clone();
                *changed.pointer_mut(&place).unwrap() = replacement;
                let _ = Request::parse(changed.to_string().as_bytes());
            }
        }
    }
    for (name, front) in [
        ("example-apigw-request.json", Front::Rest),
        ("example-apigw-v2-custom-authorizer-v1-request.json", Front::HttpApi1),
        ("example-vpc-lattice-v1-request.json", Front::Lattice),
        ("example-vpc-lattice-v2-request.json", Front::Lattice),
        ("example-apigw-sam-http-request.json", Front::HttpApi2),
        ("example-apigw-v2-request-iam.json", Front::HttpApi2),
        ("example-apigw-v2-custom-authorizer-v2-request-null-maps.json", Front::HttpApi2),
        ("example-alb-lambda-target-request-headers-only.json", Front::AlbSingle),
        ("example-alb-lambda-target-request-multivalue-headers.json", Front::AlbMulti),
    ] {
        assert!(fronts.contains(&(name.to_owned(), front)), "{name}: {fronts:?}");
    }
    assert!(!fronts.iter().any(|(name, _)| name.contains("websocket")), "{fronts:?}");
}

#[test]
fn nulls_and_wrong_types_anywhere_are_survived() {
    for event in [gateway1(), gateway2(), alb()] {
        for replacement in [json!(null), json!(1), json!([]), json!({}), json!("x"), json!([[null]])] {
            let names = [
                "headers",
                "multiValueHeaders",
                "queryStringParameters",
                "multiValueQueryStringParameters",
                "cookies",
                "body",
                "path",
                "rawPath",
                "rawQueryString",
                "isBase64Encoded",
            ];
            for name in names {
                let changed = with(event.clone(), json!({name: replacement}));
                if let Err(problem) = Request::parse(changed.to_string().as_bytes()) {
                    assert_eq!(problem, NotHttp::BadBase64);
                }
            }
        }
    }
}
