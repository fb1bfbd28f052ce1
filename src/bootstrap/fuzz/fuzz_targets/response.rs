//! Any bytes as a script's output: every front gets JSON that it can read, whole or as the start of a stream. The first byte
//! chooses front and method.
#![no_main]

use libfuzzer_sys::fuzz_target;
use phplayer_bootstrap::event::Front;
use phplayer_bootstrap::response::{Head, Response};
use serde_json::Value;

const FRONTS: [Front; 7] = [
    Front::Rest,
    Front::HttpApi1,
    Front::HttpApi2,
    Front::FunctionUrl,
    Front::AlbSingle,
    Front::AlbMulti,
    Front::Lattice,
];

fuzz_target!(|data: &[u8]| {
    let Some((&choice, data)) = data.split_first() else { return };
    let front = FRONTS[usize::from(choice) % FRONTS.len()];
    let method = if choice >= 128 { "HEAD" } else { "GET" };
    let response = Response::parse(data);
    if let Ok(json) = response.shape(front, method) {
        let json: Value = serde_json::from_slice(&json).expect("JSON");
        assert!((100..600).contains(&json["statusCode"].as_u64().expect("a status")), "{json}");
        assert!(json["body"].is_string() && json["isBase64Encoded"].is_boolean(), "{json}");
        assert!(json["headers"].is_object() || json["multiValueHeaders"].is_object(), "{json}");
    }
    if let Some((head, body)) = Head::split(data) {
        let prelude = head.prelude(front);
        let json = prelude.strip_suffix(&[0; 8]).expect("eight NUL bytes");
        assert!(!json.contains(&0), "the delimiter would be found in the head");
        assert!(serde_json::from_slice::<Value>(json).is_ok());
        assert_eq!(body, &response.body[..]);
    }
});
