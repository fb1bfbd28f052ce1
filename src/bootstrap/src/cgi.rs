//! The CGI variables of a request, as PHP finds them in `$_SERVER`.

use crate::event::{Front, Request};
use crate::fastcgi::Params;
use crate::invocation::Context;

/// Which script runs, and under which name the client knows it.
#[derive(Debug, PartialEq, Eq)]
pub struct Script {
    /// Absolute: DOCUMENT_ROOT.
    pub root: String,
    /// Below the root, begins with `/`: SCRIPT_NAME.
    pub name: String,
    /// The decoded rest of the path, or all of it where a front controller answers; may be empty.
    pub path_info: String,
}

pub fn params(request: &Request, script: &Script, context: &Context) -> Params {
    let mut params = Params::default();
    let uri = match request.query.as_str() {
        "" => request.path.clone(),
        query => format!("{}?{query}", request.path),
    };
    // A load balancer may serve plain HTTP; the other fronts never do.
    let assumed = if matches!(request.front, Front::AlbSingle | Front::AlbMulti) { "http" } else { "https" };
    let scheme = request.header("x-forwarded-proto").unwrap_or(assumed);
    let port = request.header("x-forwarded-port").unwrap_or(if scheme == "https" { "443" } else { "80" });
    let host = request.header("host").or(request.domain.as_deref()).unwrap_or("localhost");

    params.push("GATEWAY_INTERFACE", "CGI/1.1");
    params.push("SERVER_SOFTWARE", "phplayer");
    params.push("SERVER_PROTOCOL", &request.protocol);
    params.push("SERVER_NAME", without_port(host));
    params.push("SERVER_ADDR", "127.0.0.1");
    params.push("SERVER_PORT", port);
    params.push("REQUEST_SCHEME", scheme);
    if scheme == "https" {
        params.push("HTTPS", "on");
    }
    params.push("REMOTE_ADDR", request.client.as_deref().unwrap_or("127.0.0.1"));
    params.push("REMOTE_PORT", "0");
    params.push("REQUEST_METHOD", &request.method);
    params.push("REQUEST_URI", &uri);
    params.push("QUERY_STRING", &request.query);
    params.push("DOCUMENT_ROOT", &script.root);
    params.push("DOCUMENT_URI", &script.name);
    params.push("SCRIPT_NAME", &script.name);
    params.push("SCRIPT_FILENAME", &format!("{}{}", script.root, script.name));
    if !script.path_info.is_empty() {
        params.push("PATH_INFO", &script.path_info);
    }
    params.push("REDIRECT_STATUS", "200");
    params.push("CONTENT_TYPE", request.header("content-type").unwrap_or_default());
    if !request.body.is_empty() || request.header("content-length").is_some() {
        params.push("CONTENT_LENGTH", &request.body.len().to_string());
    }
    if request.header("host").is_none() {
        params.push("HTTP_HOST", host);
    }
    for (name, value) in &request.headers {
        if name != "content-type" && name != "content-length" {
            params.push(&format!("HTTP_{}", name.to_ascii_uppercase().replace('-', "_")), value);
        }
    }
    params.push("LAMBDA_INVOCATION_CONTEXT", &context.to_json());
    params.push("LAMBDA_REQUEST_CONTEXT", &request.context);
    params.push("_X_AMZN_TRACE_ID", &context.trace_id);
    params
}

/// `example.org:8080` → `example.org`, `[::1]:80` → `[::1]`.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_name_has_no_port() {
        for (host, name) in [("a.b", "a.b"), ("a.b:80", "a.b"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("", "")] {
            assert_eq!(without_port(host), name);
        }
    }
}
