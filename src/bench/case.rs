//! What is sent: one event, and where it is an HTTP request also what php-fpm is asked without a runtime between.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use super::fastcgi;
use crate::emulator::front::Client;
use crate::emulator::http::{Headers, Request as Made};
use crate::emulator::{Front, Function};

#[derive(Clone, Debug)]
pub struct Case {
    /// How people call it: `GET /`, or the event's beginning.
    pub label: String,
    /// JSON.
    pub event: Vec<u8>,
    request: Option<Request>,
}

/// An HTTP request, as a front had it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Request {
    method: String,
    /// Without the query, as sent.
    path: String,
    query: String,
    /// Names in small letters.
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Case {
    /// A request with a form of `size` bytes as its body, none where that is 0. The event is API Gateway's, payload 2.0.
    pub fn http(method: &str, target: &str, size: usize) -> Self {
        let body = form(size);
        let mut headers = vec![("host", "localhost".to_owned()), ("user-agent", "phplayer".to_owned())];
        if size > 0 {
            headers.push(("content-type", "application/x-www-form-urlencoded".to_owned()));
            headers.push(("content-length", size.to_string()));
        }
        let headers: Vec<(String, String)> =
            headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let made = Made::made(method, target, Headers(headers.clone()), Vec::new());
        let event = Front::V2.event(&made, &body, &Client::local("us-east-1")).into_bytes();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let label = match size {
            0 => format!("{method} {target}"),
            size => format!("{method} {target}, body of {size} bytes"),
        };
        let (method, path, query) = (method.to_owned(), path.to_owned(), query.to_owned());
        Self { label, event, request: Some(Request { method, path, query, headers, body }) }
    }

    /// What is sent where nothing is said: the home page of a site, an empty event to a function.
    pub fn usual(function: &Function) -> Self {
        match Script::of(function, "/") {
            Some(_) => Self::http("GET", "/", 0),
            None => Self::event(b"{}".to_vec(), None),
        }
    }

    /// An event as it is; one of API Gateway, a Function URL or a load balancer is also understood as a request.
    pub fn event(event: Vec<u8>, name: Option<&str>) -> Self {
        let request = serde_json::from_slice(&event).ok().and_then(|event| Request::of(&event));
        let label = match (name, &request) {
            (Some(name), _) => name.to_owned(),
            (None, Some(request)) => format!("{} {}", request.method, request.path),
            (None, None) => beginning(&String::from_utf8_lossy(&event)),
        };
        Self { label, event, request }
    }

    /// The bytes that ask php-fpm for the same, where the function is a site and the event a request.
    pub fn fastcgi(&self, function: &Function) -> Option<Vec<u8>> {
        let request = self.request.as_ref()?;
        let script = Script::of(function, &request.path)?;
        Some(fastcgi::request(&request.params(&script), &request.body))
    }
}

impl Request {
    fn of(event: &Value) -> Option<Self> {
        let http = &event["requestContext"]["http"];
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let method = text(&http["method"]).or_else(|| text(&event["httpMethod"]))?;
        let path = text(&event["rawPath"]).or_else(|| text(&event["path"]))?;
        let query = text(&event["rawQueryString"]).unwrap_or_default();
        let given = event["headers"].as_object().into_iter().flatten();
        let headers = given.filter_map(|(name, value)| Some((name.to_ascii_lowercase(), value.as_str()?.to_owned())));
        let headers = headers.collect();
        let body = text(&event["body"]).unwrap_or_default();
        let body = match event["isBase64Encoded"].as_bool() {
            Some(true) => BASE64_STANDARD.decode(body).ok()?,
            _ => body.into_bytes(),
        };
        Some(Self { method, path, query, headers, body })
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// What any web server tells PHP; what the runtime adds of Lambda's is not among it.
    fn params(&self, script: &Script) -> Vec<(String, String)> {
        let uri = if self.query.is_empty() { self.path.clone() } else { format!("{}?{}", self.path, self.query) };
        let length = if self.body.is_empty() { String::new() } else { self.body.len().to_string() };
        let file = format!("{}{}", script.root, script.name);
        let own = [
            ("GATEWAY_INTERFACE", "CGI/1.1"),
            ("SERVER_SOFTWARE", "phplayer"),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("SERVER_NAME", self.header("host").unwrap_or("localhost")),
            ("SERVER_ADDR", "127.0.0.1"),
            ("SERVER_PORT", "443"),
            ("REQUEST_SCHEME", "https"),
            ("HTTPS", "on"),
            ("REMOTE_ADDR", "127.0.0.1"),
            ("REMOTE_PORT", "0"),
            ("REQUEST_METHOD", &self.method),
            ("REQUEST_URI", &uri),
            ("QUERY_STRING", &self.query),
            ("DOCUMENT_ROOT", &script.root),
            ("DOCUMENT_URI", &script.name),
            ("SCRIPT_NAME", &script.name),
            ("SCRIPT_FILENAME", &file),
            ("REDIRECT_STATUS", "200"),
            ("CONTENT_TYPE", self.header("content-type").unwrap_or_default()),
            ("CONTENT_LENGTH", &length),
        ];
        let own = own.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
        let info = Some(("PATH_INFO".to_owned(), script.path_info.clone())).filter(|(_, info)| !info.is_empty());
        let sent = self.headers.iter().filter(|(name, _)| name != "content-type" && name != "content-length");
        let sent =
            sent.map(|(name, value)| (format!("HTTP_{}", name.to_ascii_uppercase().replace('-', "_")), value.clone()));
        own.chain(info).chain(sent).collect()
    }
}

/// The file that answers, in the sandbox.
#[derive(Debug, PartialEq, Eq)]
struct Script {
    root: String,
    /// Begins with `/`.
    name: String,
    /// What a front controller finds its route by; may be empty.
    path_info: String,
}

impl Script {
    /// None where the function is no site: the same rule as the runtime's, by the mode or by the look of the handler.
    fn of(function: &Function, path: &str) -> Option<Self> {
        let handler = function.handler.trim_end_matches('/');
        let named = function.task.join(handler);
        let site = match function.env.get("PHPLAYER_MODE").map(String::as_str) {
            Some("http") => true,
            Some(mode) if !mode.is_empty() => false,
            _ => named.is_dir() || handler.ends_with(".php"),
        };
        if !site {
            return None;
        }
        let join = |root: &str| if root.is_empty() { "/var/task".to_owned() } else { format!("/var/task/{root}") };
        if named.is_dir() {
            let (name, path_info) = below(&named, path)?;
            return Some(Self { root: join(handler), name, path_info });
        }
        let (root, name) = handler.rsplit_once('/').unwrap_or(("", handler));
        let name = format!("/{name}");
        named.is_file().then(|| Self { root: join(root), path_info: path_info(&name, path), name })
    }
}

/// The script of a folder that a path names, the front controller where it names none; and its path info. None for paths
/// that the runtime would first have to decode or clean.
fn below(root: &Path, path: &str) -> Option<(String, String)> {
    if path.contains('%') || path.split('/').any(|part| part.starts_with('.')) {
        return None;
    }
    let there = |name: &String| name.ends_with(".php") && root.join(name.trim_start_matches('/')).is_file();
    let folder = format!("{}/index.php", path.trim_end_matches('/'));
    let named = [path.to_owned(), folder].into_iter().find(there).map(|name| (name, String::new()));
    let front = || Some("/index.php".to_owned()).filter(there).map(|name| (name, path.to_owned()));
    named.or_else(front)
}

fn path_info(script: &str, path: &str) -> String {
    let rest = path.strip_prefix(script).unwrap_or(path);
    if rest == "/" { String::new() } else { rest.to_owned() }
}

/// `field=xxx…`, so many bytes of it.
fn form(size: usize) -> Vec<u8> {
    let mut body = b"field=".to_vec();
    body.resize(size, b'x');
    body
}

/// Its first characters.
fn beginning(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use fs_err as fs;

    use super::*;

    fn function(task: &Path, handler: &str, mode: Option<&str>) -> Function {
        Function {
            layers: vec![],
            task: task.to_owned(),
            handler: handler.into(),
            timeout: Duration::from_secs(1),
            memory_mb: 128,
            name: "f".into(),
            region: "eu-west-1".into(),
            initialization: Default::default(),
            env: BTreeMap::from_iter(mode.map(|mode| ("PHPLAYER_MODE".to_owned(), mode.to_owned()))),
        }
    }

    #[test]
    fn the_script_is_the_one_that_the_runtime_finds() {
        let task = tempfile::tempdir().unwrap();
        for file in ["index.php", "public/index.php", "public/about.php", "public/blog/index.php"] {
            fs::create_dir_all(task.path().join(file).parent().unwrap()).unwrap();
            fs::write(task.path().join(file), "").unwrap();
        }
        for (handler, mode, path, expected) in [
            ("index.php", None, "/any", Some(("/var/task", "/index.php", "/any"))),
            ("index.php", None, "/index.php/any", Some(("/var/task", "/index.php", "/any"))),
            ("public/index.php", None, "/", Some(("/var/task/public", "/index.php", ""))),
            ("public/", None, "/about.php", Some(("/var/task/public", "/about.php", ""))),
            ("public", None, "/blog/", Some(("/var/task/public", "/blog/index.php", ""))),
            ("public", None, "/no/such", Some(("/var/task/public", "/index.php", "/no/such"))),
            ("public", None, "/../index.php", None),
            ("index", None, "/", None),
            ("index.php", Some("function"), "/", None),
            ("missing.php", None, "/", None),
        ] {
            let script = Script::of(&function(task.path(), handler, mode), path);
            let expected = expected.map(|(root, name, path_info)| Script {
                root: root.into(),
                name: name.into(),
                path_info: path_info.into(),
            });
            assert_eq!(script, expected, "{handler} {path}");
        }
    }

    #[test]
    fn a_site_is_asked_for_its_home_page_and_a_function_gets_an_empty_event() {
        let task = tempfile::tempdir().unwrap();
        fs::write(task.path().join("index.php"), "").unwrap();
        assert_eq!(Case::usual(&function(task.path(), "index.php", None)).label, "GET /");
        assert_eq!(Case::usual(&function(task.path(), "index", None)).event, b"{}");
    }

    #[test]
    fn an_event_of_any_front_is_the_request_it_came_from() {
        let made = Case::http("POST", "/form?a=b", 1000);
        assert_eq!(made.label, "POST /form?a=b, body of 1000 bytes");
        let request = made.request.clone().unwrap();
        assert_eq!(request.body.len(), 1000);
        let again = Case::event(made.event, None).request.unwrap();
        assert_eq!((&again.method, &again.path, &again.query), (&request.method, &request.path, &request.query));
        assert_eq!(again.body, request.body);
        assert_eq!(again.header("content-type"), Some("application/x-www-form-urlencoded"));
        let old =
            Case::event(br#"{"httpMethod":"GET","path":"/old","headers":{"Host":"h"},"body":null}"#.to_vec(), None);
        assert_eq!((old.label.as_str(), old.request.unwrap().header("host")), ("GET /old", Some("h")));
        let queue = Case::event(br#"{"Records":[{"body":"a text that is rather long for a label"}]}"#.to_vec(), None);
        assert_eq!(queue.request, None);
        assert_eq!(queue.label.chars().count(), 41);
    }
}
