//! API Gateway's REST API: payload format 1.0, with `*/*` among its binary media types.

use serde_json::{Map, Value, json};

use super::answer::{self, Malformed};
use super::request::{body, decoded, every, headers, host, last, one_spelling, pairs};
use super::{Client, Refusal};
use crate::emulator::clock::Clock;
use crate::emulator::http::{Request, Response};

const STAGE: &str = "prod";
/// A REST API refuses any other key.
const KEYS: [&str; 5] = ["statusCode", "headers", "multiValueHeaders", "body", "isBase64Encoded"];

/// The event: path percent-encoded as it came and without the stage, query decoded, headers in the client's case, every
/// body as base64, null for each map that is empty.
pub fn event(request: &Request, bytes: &[u8], client: &Client) -> Value {
    let now = Clock::now();
    let path = request.path();
    let headers = one_spelling(headers(request, client));
    let query: Vec<_> =
        pairs(request.query()).map(|(name, value)| (decoded(name, true), decoded(value, true))).collect();
    let domain = host(request);
    let (resource, parameters) = match path.trim_start_matches('/') {
        "" => ("/", Value::Null),
        proxy => ("/{proxy+}", json!({ "proxy": proxy })),
    };
    let (body, encoded) = match bytes {
        [] => (Value::Null, false),
        bytes => {
            let (body, encoded) = body(bytes, false);
            (body.into(), encoded)
        }
    };
    json!({
        "resource": resource,
        "path": path,
        "httpMethod": request.method,
        "headers": last(&headers),
        "multiValueHeaders": every(&headers),
        "queryStringParameters": or_null(last(&query)),
        "multiValueQueryStringParameters": or_null(every(&query)),
        "pathParameters": parameters,
        "stageVariables": null,
        "requestContext": {
            "resourceId": "phplayer",
            "resourcePath": resource,
            "httpMethod": request.method,
            "extendedRequestId": client.request_id,
            "requestTime": now.clf(),
            "path": format!("/{STAGE}{path}"),
            "accountId": "123456789012",
            "protocol": "HTTP/1.1",
            "stage": STAGE,
            "domainPrefix": domain.split('.').next(),
            "requestTimeEpoch": u64::try_from(now.epoch_ms()).unwrap_or(u64::MAX),
            "requestId": client.request_id,
            "identity": {
                "cognitoIdentityPoolId": null,
                "accountId": null,
                "cognitoIdentityId": null,
                "caller": null,
                "sourceIp": client.address.to_string(),
                "principalOrgId": null,
                "accessKey": null,
                "cognitoAuthenticationType": null,
                "cognitoAuthenticationProvider": null,
                "userArn": null,
                "userAgent": request.headers.get("user-agent"),
                "user": null,
            },
            "domainName": domain,
            "deploymentId": "phplayer",
            "apiId": "phplayer",
        },
        "body": body,
        "isBase64Encoded": encoded,
    })
}

/// What the client gets: only an object with `statusCode` and known keys is an answer.
pub fn answer(payload: &[u8]) -> Result<Response, Malformed> {
    let value: Value = serde_json::from_slice(payload).map_err(|_| Malformed::NotJson)?;
    let given = value.as_object().ok_or(Malformed::NotAnObject)?;
    if let Some(key) = given.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(Malformed::UnknownKey(key.clone()));
    }
    let status = answer::status(&value["statusCode"])?;
    let head = answer::within_gateways_limit(answer::head(status, answer::merged(&value)?)?)?;
    let mut head = answer::remapped(head);
    answer::content_type(&mut head.headers, "application/json");
    Ok(Response { head, body: answer::body(&value)? })
}

pub fn refusal(refusal: Refusal) -> Response {
    let (status, message) = match refusal {
        Refusal::NotHttp(status) => (status, "Bad Request"),
        Refusal::TooLarge => (413, "Request Too Long"),
        Refusal::FunctionFailed => (502, "Internal server error"),
        Refusal::TimedOut => (504, "Endpoint request timed out"),
    };
    Response::json(status, json!({ "message": message }).to_string())
}

fn or_null(map: Map<String, Value>) -> Value {
    if map.is_empty() { Value::Null } else { map.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::http::Headers;

    fn made(target: &str, given: &[(&str, &str)], bytes: &[u8]) -> Value {
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        event(&Request::made("POST", target, Headers(given), Vec::new()), bytes, &Client::local("eu-west-1"))
    }

    #[test]
    fn a_request_becomes_what_a_rest_api_sends() {
        let given = [("Host", "shop.example:8000"), ("X-Many", "a"), ("x-many", "b"), ("User-Agent", "curl")];
        let event = made("/a%20b/%2F?x=%31+&y=1&X=3&y=2&z", &given, b"hi");
        assert_eq!((&event["path"], &event["resource"]), (&json!("/a%20b/%2F"), &json!("/{proxy+}")));
        assert_eq!(event["pathParameters"], json!({ "proxy": "a%20b/%2F" }));
        assert_eq!(event["queryStringParameters"], json!({ "x": "1 ", "y": "2", "X": "3", "z": "" }));
        assert_eq!(
            event["multiValueQueryStringParameters"],
            json!({ "x": ["1 "], "y": ["1", "2"], "X": ["3"], "z": [""] })
        );
        assert_eq!(
            (&event["headers"]["X-Many"], &event["headers"]["Host"]),
            (&json!("b"), &json!("shop.example:8000"))
        );
        assert_eq!(event["multiValueHeaders"]["X-Many"], json!(["a", "b"]));
        assert_eq!((&event["body"], &event["isBase64Encoded"]), (&json!("aGk="), &json!(true)));
        let context = &event["requestContext"];
        assert_eq!((&context["path"], &context["stage"]), (&json!("/prod/a%20b/%2F"), &json!("prod")));
        assert_eq!((&context["domainName"], &context["protocol"]), (&json!("shop.example"), &json!("HTTP/1.1")));
        assert_eq!(context["identity"]["sourceIp"], "127.0.0.1");
        assert_eq!((&context["identity"]["userAgent"], &context["identity"]["user"]), (&json!("curl"), &Value::Null));
    }

    #[test]
    fn what_is_not_there_is_null() {
        let event = made("/", &[], b"");
        for key in ["queryStringParameters", "multiValueQueryStringParameters", "pathParameters", "body"] {
            assert!(event[key].is_null() && event.get(key).is_some(), "{key}");
        }
        assert_eq!((&event["resource"], &event["isBase64Encoded"]), (&json!("/"), &json!(false)));
        assert!(event.get("version").is_none() && event.get("cookies").is_none());
    }

    #[test]
    fn an_answer_is_merged_decoded_and_renamed() {
        let response = answer(
            br#"{"statusCode":201,"headers":{"A":"1","B":"2","Date":"x"},"multiValueHeaders":{"a":["1","3"]},
                 "body":"/w==","isBase64Encoded":true}"#,
        )
        .unwrap();
        let sent: Vec<_> = response.head.headers.0.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(sent, ["a: 1", "a: 3", "B: 2", "x-amzn-Remapped-Date: x", "Content-Type: application/json"]);
        assert_eq!((response.head.status, response.body.as_slice()), (201, &b"\xff"[..]));
    }

    #[test]
    fn malformed_answers_are_named() {
        let large = format!(r#"{{"statusCode":200,"headers":{{"a":"{}"}}}}"#, "x".repeat(10_240));
        for (payload, expected) in [
            ("<html>", Malformed::NotJson),
            ("\"hi\"", Malformed::NotAnObject),
            ("null", Malformed::NotAnObject),
            ("{}", Malformed::Status("null".into())),
            (r#"{"statusCode":200,"cookies":[]}"#, Malformed::UnknownKey("cookies".into())),
            (r#"{"statusCode":200,"body":{"a":1}}"#, Malformed::Body),
            (r#"{"statusCode":200,"body":"!","isBase64Encoded":true}"#, Malformed::Base64),
            (r#"{"statusCode":200,"headers":[]}"#, Malformed::Headers),
            (r#"{"statusCode":200,"multiValueHeaders":{"a":"b"}}"#, Malformed::MultiValueHeaders),
            (r#"{"statusCode":200,"headers":{"a b":"x"}}"#, Malformed::Header("a b".into())),
            (&large, Malformed::HeadersTooLarge { size: 10_241 }),
        ] {
            assert_eq!(answer(payload.as_bytes()).unwrap_err(), expected, "{payload}");
        }
    }
}
