//! API Gateway's HTTP API: payload format 2.0.

use serde_json::{Value, json};

use super::answer::{self, Malformed};
use super::payload2::{self, Source};
use super::request::{decoded, host};
use super::{Client, Refusal};
use crate::emulator::http::{Request, Response};

/// The event. The path is decoded, so `%2F` is lost, and it ends at a `?` that comes out of that, as on AWS
/// (<https://github.com/middleapi/standard-server/pull/93>, from captures).
pub fn event(request: &Request, bytes: &[u8], client: &Client) -> Value {
    let source = Source {
        path: decoded(request.path(), false).split('?').next().unwrap_or_default().to_owned(),
        account: "123456789012",
        api: "phplayer",
        domain: host(request).to_owned(),
    };
    payload2::event(request, bytes, client, source)
}

pub fn answer(payload: &[u8]) -> Result<Response, Malformed> {
    let response = payload2::answer(payload, "text/plain; charset=utf-8")?;
    let head = answer::within_gateways_limit(answer::own_framing(response.head))?;
    Ok(Response { head, body: response.body })
}

pub fn refusal(refusal: Refusal) -> Response {
    let (status, message) = match refusal {
        Refusal::NotHttp(status) => (status, "Bad Request"),
        Refusal::TooLarge => (413, "Request Entity Too Large"),
        Refusal::FunctionFailed => (502, "Internal Server Error"),
        Refusal::TimedOut => (503, "Service Unavailable"),
    };
    Response::json(status, json!({ "message": message }).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::http::Headers;

    fn request(target: &str, headers: &[(&str, &str)]) -> Request {
        let pairs = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Request::made("POST", target, Headers(pairs), Vec::new())
    }

    fn made(target: &str, headers: &[(&str, &str)], body: &[u8]) -> Value {
        event(&request(target, headers), body, &Client::local("eu-west-1"))
    }

    #[test]
    fn a_request_becomes_what_api_gateway_sends() {
        let headers = [
            ("Host", "shop.example:8000"),
            ("X-Many", "a"),
            ("Cookie", "a=1; b=2"),
            ("x-many", "b"),
            ("Cookie", "c=3"),
            ("Connection", "close"),
        ];
        let event = made("/a%20b/?x=%31&&y=1&y=2&z", &headers, b"");
        assert_eq!(event["rawPath"], "/a b/");
        assert_eq!(event["rawQueryString"], "x=%31&&y=1&y=2&z");
        assert_eq!(event["queryStringParameters"], json!({ "x": "1", "y": "1,2", "z": "" }));
        assert_eq!(event["headers"]["x-many"], "a,b");
        assert_eq!(event["cookies"], json!(["a=1", "b=2", "c=3"]));
        assert!(event["headers"].get("cookie").is_none() && event["headers"].get("connection").is_none());
        assert_eq!(event["requestContext"]["domainName"], "shop.example");
        assert_eq!(event["requestContext"]["http"]["method"], "POST");
        assert_eq!(event["isBase64Encoded"], false);
        assert!(event.get("body").is_none());
    }

    #[test]
    fn only_text_travels_as_text() {
        let sent = |content_type, body: &[u8]| {
            let event = made("/", &[("content-type", content_type)], body);
            (event["body"].as_str().unwrap().to_owned(), event["isBase64Encoded"] == true)
        };
        assert_eq!(sent("application/json; charset=utf-8", b"{}"), ("{}".into(), false));
        assert_eq!(sent("application/x-www-form-urlencoded", b"a=1"), ("YT0x".into(), true));
        assert_eq!(sent("text/plain", b"\xff"), ("/w==".into(), true));
        assert_eq!(sent("", b"a"), ("YQ==".into(), true));
    }

    #[test]
    fn a_path_that_decodes_to_no_text_stays_encoded() {
        assert_eq!(made("/%ff", &[], b"")["rawPath"], "/%ff");
        assert_eq!(made("/100%", &[], b"")["rawPath"], "/100%");
        assert_eq!(made("/%+1", &[], b"")["rawPath"], "/%+1");
    }

    #[test]
    fn a_decoded_question_mark_ends_the_path() {
        let event = made("/a%3Fb%2Fc%23?d", &[], b"");
        assert_eq!((&event["rawPath"], &event["rawQueryString"]), (&json!("/a"), &json!("d")));
        assert_eq!(made("/a%2Fc%23", &[], b"")["rawPath"], "/a/c#");
    }

    #[test]
    fn a_response_becomes_what_the_client_gets() {
        let response = answer(
            br#"{"statusCode":"201","headers":{"X-A":1,"Content-Length":"9"},"cookies":["a=1","b=2"],"body":"/w==","isBase64Encoded":true}"#,
        )
        .unwrap();
        assert_eq!((response.head.status, response.body.as_slice()), (201, &b"\xff"[..]));
        let names: Vec<_> = response.head.headers.0.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(names, ["X-A: 1", "Set-Cookie: a=1", "Set-Cookie: b=2", "Content-Type: text/plain; charset=utf-8"]);
    }

    #[test]
    fn a_plain_answer_is_a_json_body() {
        assert_eq!(answer(b"{\"a\":1}").unwrap(), Response::json(200, "{\"a\":1}"));
        assert_eq!(answer(b"\"hi\"").unwrap(), Response::json(200, "hi"));
        assert_eq!(answer(b"null").unwrap().body, b"null");
    }

    #[test]
    fn malformed_responses_are_named() {
        for (payload, expected) in [
            (&b"<html>"[..], Malformed::NotJson),
            (br#"{"statusCode":99}"#, Malformed::Status("99".into())),
            (br#"{"statusCode":200,"body":{}}"#, Malformed::Body),
            (br#"{"statusCode":200,"body":"!","isBase64Encoded":true}"#, Malformed::Base64),
            (br#"{"statusCode":200,"headers":[]}"#, Malformed::Headers),
            (br#"{"statusCode":200,"cookies":"a=1"}"#, Malformed::Cookies),
            (br#"{"statusCode":200,"headers":{"a":"x\r\ny: z"}}"#, Malformed::Header("a".into())),
        ] {
            assert_eq!(answer(payload).unwrap_err(), expected);
        }
    }
}
