//! Table tests of CGI output and of the shapes.

use serde_json::{Value, json};

use super::*;

fn shaped(output: &str, front: Front) -> Value {
    serde_json::from_slice(&Response::parse(output.as_bytes()).shape(front, "GET").unwrap()).unwrap()
}

const PAGE: &str = "Status: 404 Not Found\r\nSet-Cookie: a=1\r\nX-A: 1\r\nset-cookie: b=2; Path=/\r\nx-a: 2\r\n\
                    Content-Type: text/html\r\nContent-Length: 4\r\nConnection: close\r\n\r\npage";

#[test]
fn each_front_gets_its_shape() {
    for (front, expected) in [
        (
            Front::Rest,
            json!({"statusCode": 404, "body": "page", "isBase64Encoded": false, "multiValueHeaders":
                {"Content-Type": ["text/html"], "Set-Cookie": ["a=1", "b=2; Path=/"], "X-A": ["1", "2"]}}),
        ),
        (
            Front::FunctionUrl,
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
        Response::parse(b"\r\n").to_json(Front::HttpApi2, "GET"),
        r#"{"statusCode":200,"headers":{},"body":"","isBase64Encoded":false}"#
    );
}

#[test]
fn statuses_are_numbers_that_exist() {
    for (line, status) in
        [("Status: 201 Created", 201), ("status:204", 204), ("Status: x", 500), ("Status: 42", 500), ("X: y", 200)]
    {
        assert_eq!(Response::parse(format!("{line}\r\n\r\n").as_bytes()).head.status, status, "{line}");
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
        let json: Value = serde_json::from_str(&Response::parse(&output).to_json(Front::HttpApi2, "GET")).unwrap();
        assert_eq!(json["isBase64Encoded"], base64, "{headers}");
        let text = json["body"].as_str().unwrap();
        let sent = if base64 { base64_simd::STANDARD.decode_to_vec(text).unwrap() } else { text.as_bytes().to_vec() };
        assert_eq!(sent, body);
    }
}

#[test]
fn some_answers_have_no_body() {
    for (method, status, body) in
        [("GET", 200, "x"), ("HEAD", 200, ""), ("GET", 204, ""), ("GET", 304, ""), ("POST", 500, "x")]
    {
        let response = Response { head: Head { status, headers: Vec::new() }, body: b"x".to_vec() };
        let json: Value = serde_json::from_str(&response.to_json(Front::Rest, method)).unwrap();
        assert_eq!(json["body"], body, "{method} {status}");
    }
}

#[test]
fn what_the_front_would_refuse_is_named() {
    let large = |front, length| {
        let head = Head { status: 200, headers: Vec::new() };
        Response { head, body: vec![b'x'; length] }.shape(front, "GET").map(|json| json.len())
    };
    for (front, fits, limit) in [(Front::HttpApi2, 6_291_000, 6_291_556), (Front::AlbMulti, 1_048_000, 1_048_576)] {
        assert!(large(front, fits).unwrap() <= limit);
        assert_eq!(large(front, limit), Err(Undeliverable::TooLarge { limit }));
    }
    let headers = |front, length: usize| {
        let headers = vec![("X-A".to_owned(), "x".repeat(length - 3))];
        Response { head: Head { status: 200, headers }, body: Vec::new() }.shape(front, "GET").map(drop)
    };
    for front in [Front::Rest, Front::HttpApi1, Front::HttpApi2] {
        assert_eq!(headers(front, 10_240), Ok(()));
        assert_eq!(headers(front, 10_241), Err(Undeliverable::HeadersTooLarge { size: 10_241 }));
    }
    assert_eq!(headers(Front::FunctionUrl, 20_000), Ok(()));
}

#[test]
fn a_stream_begins_with_its_head_and_eight_nul_bytes() {
    let (head, body) = Head::split(PAGE.as_bytes()).unwrap();
    assert_eq!(body, b"page");
    for (front, expected) in [
        (
            Front::FunctionUrl,
            json!({"statusCode": 404, "cookies": ["a=1", "b=2; Path=/"], "headers": {"Content-Type": "text/html", "X-A": "1, 2"}}),
        ),
        (
            Front::Rest,
            json!({"statusCode": 404, "multiValueHeaders":
                {"Content-Type": ["text/html"], "Set-Cookie": ["a=1", "b=2; Path=/"], "X-A": ["1", "2"]}}),
        ),
    ] {
        let prelude = head.prelude(front);
        let json = prelude.strip_suffix(&[0; 8]).unwrap();
        assert_eq!(serde_json::from_slice::<Value>(json).unwrap(), expected);
    }
    for end in 0..PAGE.len() - "\r\npage".len() {
        assert_eq!(Head::split(&PAGE.as_bytes()[..end]), None, "{end}");
    }
}

#[test]
fn bytes_that_are_no_cgi_output_do_not_panic() {
    for output in
        [&b""[..], b"\n", b"\r", b":\r\n\r\n", b"no colon\n\nbody", b"Status:\r\n", b"\xff\xfe: \xff\r\n\r\n\xff"]
    {
        for front in [Front::Rest, Front::HttpApi2, Front::AlbSingle, Front::AlbMulti, Front::Lattice] {
            let json = Response::parse(output).to_json(front, "GET");
            assert!(serde_json::from_str::<Value>(&json).is_ok());
        }
    }
}
