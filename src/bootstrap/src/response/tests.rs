//! Table tests of CGI output and of the four shapes.

use serde_json::{Value, json};

use super::*;

fn shaped(output: &str, front: Front) -> Value {
    serde_json::from_slice(&Response::parse(output.as_bytes()).shape(front, "GET")).unwrap()
}

const PAGE: &str = "Status: 404 Not Found\r\nSet-Cookie: a=1\r\nX-A: 1\r\nset-cookie: b=2; Path=/\r\nx-a: 2\r\n\
                    Content-Type: text/html\r\nContent-Length: 4\r\nConnection: close\r\n\r\npage";

#[test]
fn each_front_gets_its_shape() {
    for (front, expected) in [
        (
            Front::Gateway1,
            json!({"statusCode": 404, "body": "page", "isBase64Encoded": false, "multiValueHeaders":
                {"Content-Type": ["text/html"], "Set-Cookie": ["a=1", "b=2; Path=/"], "X-A": ["1", "2"]}}),
        ),
        (
            Front::Gateway2,
            json!({"statusCode": 404, "body": "page", "isBase64Encoded": false, "cookies": ["a=1", "b=2; Path=/"],
                "headers": {"Content-Type": "text/html", "X-A": "1, 2"}}),
        ),
        (
            Front::AlbMulti,
            json!({"statusCode": 404, "statusDescription": "404 Not Found", "body": "page", "isBase64Encoded": false,
                "multiValueHeaders":
                {"Content-Type": ["text/html"], "Set-Cookie": ["a=1", "b=2; Path=/"], "X-A": ["1", "2"]}}),
        ),
        (
            Front::AlbSingle,
            json!({"statusCode": 404, "statusDescription": "404 Not Found", "body": "page", "isBase64Encoded": false,
                "headers": {"Content-Type": "text/html", "set-cookie": "a=1", "Set-cookie": "b=2; Path=/", "X-A": "1, 2"}}),
        ),
    ] {
        assert_eq!(shaped(PAGE, front), expected);
    }
}

#[test]
fn an_answer_without_headers_has_an_empty_object() {
    assert_eq!(
        Response::parse(b"\r\n").shape(Front::Gateway2, "GET"),
        br#"{"statusCode":200,"headers":{},"body":"","isBase64Encoded":false}"#
    );
}

#[test]
fn statuses_are_numbers_that_exist() {
    for (line, status) in
        [("Status: 201 Created", 201), ("status:204", 204), ("Status: x", 500), ("Status: 42", 500), ("X: y", 200)]
    {
        assert_eq!(Response::parse(format!("{line}\r\n\r\n").as_bytes()).status, status, "{line}");
    }
}

#[test]
fn bodies_are_text_only_where_they_surely_are() {
    for (headers, body, base64) in [
        ("Content-Type: text/html; charset=utf-8", &b"\xc3\xa4"[..], false),
        ("Content-Type: text/html", b"\xe4", true),
        ("Content-Type: application/json", b"{}", false),
        ("Content-Type: application/ld+json", b"{}", false),
        ("Content-Type: image/svg+xml", b"<svg/>", false),
        ("Content-Type: image/png", b"ascii", true),
        ("Content-Type: text/css\r\nContent-Encoding: gzip", b"ascii", true),
        ("Content-Type: text/css\r\nContent-Encoding: identity", b"ascii", false),
        ("X: y", b"ascii", false),
        ("X: y", b"\0\xff", true),
    ] {
        let output = [headers.as_bytes(), b"\r\n\r\n", body].concat();
        let json: Value = serde_json::from_slice(&Response::parse(&output).shape(Front::Gateway2, "GET")).unwrap();
        assert_eq!(json["isBase64Encoded"], base64, "{headers}");
        let text = json["body"].as_str().unwrap();
        let sent = if base64 { base64::decode(text).unwrap() } else { text.as_bytes().to_vec() };
        assert_eq!(sent, body);
    }
}

#[test]
fn some_answers_have_no_body() {
    for (method, status, body) in
        [("GET", 200, "x"), ("HEAD", 200, ""), ("GET", 204, ""), ("GET", 304, ""), ("POST", 500, "x")]
    {
        let response = Response { status, headers: Vec::new(), body: b"x".to_vec() };
        let json: Value = serde_json::from_slice(&response.shape(Front::Gateway1, method)).unwrap();
        assert_eq!(json["body"], body, "{method} {status}");
    }
}

#[test]
fn what_is_too_large_becomes_an_answer_that_says_so() {
    for (front, fits, too_large) in [(Front::Gateway2, 6_291_000, 6_291_556), (Front::AlbMulti, 1_048_000, 1_048_576)] {
        for (length, status) in [(fits, 200), (too_large, 500)] {
            let response = Response { status: 200, headers: Vec::new(), body: vec![b'x'; length] };
            let json = response.shape(front, "GET");
            assert!(json.len() <= too_large);
            assert_eq!(serde_json::from_slice::<Value>(&json).unwrap()["statusCode"], status);
        }
    }
}

#[test]
fn bytes_that_are_no_cgi_output_do_not_panic() {
    for output in
        [&b""[..], b"\n", b"\r", b":\r\n\r\n", b"no colon\n\nbody", b"Status:\r\n", b"\xff\xfe: \xff\r\n\r\n\xff"]
    {
        for front in [Front::Gateway1, Front::Gateway2, Front::AlbSingle, Front::AlbMulti] {
            let json = Response::parse(output).shape(front, "GET");
            assert!(serde_json::from_slice::<Value>(&json).is_ok());
        }
    }
}
