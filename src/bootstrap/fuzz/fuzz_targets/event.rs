//! Any bytes as an event: they are a request that can be handed to PHP, or clearly none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use phplayer_bootstrap::cgi::{self, Script};
use phplayer_bootstrap::event::{Request, percent_decode};
use phplayer_bootstrap::fastcgi;
use phplayer_bootstrap::invocation::Context;

fuzz_target!(|data: &[u8]| {
    let Ok(mut request) = Request::parse(data) else { return };
    request.strip_stage();
    assert!(request.path.starts_with('/'), "{request:?}");
    assert!(request.path.bytes().all(|byte| byte.is_ascii_graphic()), "{request:?}");
    assert!(!request.headers.iter().any(|(name, _)| name == "proxy" || name.contains('_')), "{request:?}");
    let path_info = String::from_utf8_lossy(&percent_decode(&request.path)).into_owned();
    let script = Script { root: "/var/task".into(), name: "/index.php".into(), path_info };
    let params = cgi::params(&request, &script, &Context::default());
    let sent = fastcgi::Request::new(&params, &request.body);
    assert!(sent.pieces().iter().map(|piece| piece.len()).sum::<usize>() > request.body.len());
});
