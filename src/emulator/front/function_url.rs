//! A Function URL without authorisation: payload format 2.0 in its words.

use serde_json::{Value, json};

use super::answer::{self, Malformed};
use super::payload2::{self, Source};
use super::{Client, Refusal};
use crate::emulator::http::{Request, Response};

/// What stands for the function in its own domain, where AWS draws 32 letters.
const ID: &str = "phplayer";

/// The event. The path stays percent-encoded; the caller is anonymous. The domain is a Function URL's, by which functions
/// know one; the header `host` stays the client's, so that links which a function makes of it lead here.
pub fn event(request: &Request, bytes: &[u8], client: &Client) -> Value {
    let source = Source {
        path: request.path().to_owned(),
        account: "anonymous",
        api: ID,
        domain: format!("{ID}.lambda-url.{}.on.aws", client.region),
    };
    payload2::event(request, bytes, client, source)
}

pub fn answer(payload: &[u8]) -> Result<Response, Malformed> {
    let response = payload2::answer(payload, "application/json")?;
    Ok(Response { head: answer::remapped(response.head), body: response.body })
}

pub fn refusal(refusal: Refusal) -> Response {
    let message = |status, text: &str| Response::json(status, json!({ "Message": text }).to_string());
    match refusal {
        Refusal::NotHttp(status) => message(status, "Bad Request"),
        Refusal::TooLarge => message(413, "Request Entity Too Large"),
        Refusal::FunctionFailed => Response::new(502, "text/plain", "Internal Server Error"),
        Refusal::TimedOut => message(504, "Gateway Timeout"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::http::Headers;

    #[test]
    fn a_request_becomes_what_a_function_url_sends() {
        let given = [("Host", "127.0.0.1:8000"), ("Cookie", "a=1; b=2")];
        let given = given.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let request = Request::made("GET", "/a%20b/%2F?x=%31", Headers(given), Vec::new());
        let event = event(&request, b"", &Client::local("eu-west-1"));
        assert_eq!((&event["version"], &event["rawPath"]), (&json!("2.0"), &json!("/a%20b/%2F")));
        assert_eq!(event["requestContext"]["http"]["path"], "/a%20b/%2F");
        assert_eq!(event["requestContext"]["domainName"], "phplayer.lambda-url.eu-west-1.on.aws");
        assert_eq!(event["requestContext"]["accountId"], "anonymous");
        assert!(event["requestContext"].get("authorizer").is_none());
        assert_eq!((&event["headers"]["host"], &event["cookies"]), (&json!("127.0.0.1:8000"), &json!(["a=1", "b=2"])));
    }

    #[test]
    fn an_answer_is_json_unless_it_says_what_it_is() {
        let response = answer(br#"{"statusCode":401,"headers":{"WWW-Authenticate":"Basic"},"body":"no"}"#).unwrap();
        let sent: Vec<_> = response.head.headers.0.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(sent, ["x-amzn-Remapped-WWW-Authenticate: Basic", "Content-Type: application/json"]);
        assert_eq!(answer(b"[1]").unwrap(), Response::json(200, "[1]"));
    }

    #[test]
    fn malformed_answers_are_named() {
        for (payload, expected) in [
            ("<html>", Malformed::NotJson),
            (r#"{"statusCode":"abc"}"#, Malformed::Status("\"abc\"".into())),
            (r#"{"statusCode":200,"body":1}"#, Malformed::Body),
            (r#"{"statusCode":200,"cookies":{}}"#, Malformed::Cookies),
        ] {
            assert_eq!(answer(payload.as_bytes()).unwrap_err(), expected, "{payload}");
        }
    }
}
