//! The page that `serve` shows at `/__phplayer`: the last invocations, their logs, events and responses.

use std::sync::Arc;

use serde::Serialize;

use super::front::Front;
use super::history::{History, List};
use super::http::{Request, Response};
use super::{Function, Initialization};

/// Whatever is at this path or below it is ours and never reaches the function.
pub const PATH: &str = "/__phplayer";

const HTML: &str = include_str!("page/page.html");
/// The page loads nothing from anywhere, and asks only us.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub struct Page {
    history: Arc<History>,
    about: About,
}

/// What is served.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct About {
    name: String,
    handler: String,
    memory_mb: u32,
    timeout_s: u64,
    front: &'static str,
    initialization: &'static str,
    task: String,
}

#[derive(Serialize)]
struct State<'a> {
    function: &'a About,
    #[serde(flatten)]
    list: List,
}

impl Page {
    pub fn new(history: Arc<History>, function: &Function, front: Front) -> Self {
        let about = About {
            name: function.name.clone(),
            handler: function.handler.clone(),
            memory_mb: function.memory_mb,
            timeout_s: function.timeout.as_secs(),
            front: front.title(),
            initialization: match function.initialization {
                Initialization::OnDemand => "on demand",
                Initialization::SnapStart => "SnapStart",
            },
            task: function.task.display().to_string(),
        };
        Self { history, about }
    }

    /// The answer to a request that is for this page; none for any other.
    pub fn answer(&self, request: &Request) -> Option<Response> {
        let below = request.path().strip_prefix(PATH).filter(|below| below.is_empty() || below.starts_with('/'))?;
        let mut response = match below {
            _ if !is_this_machine(request) => not_there(403),
            "" | "/" if !matches!(request.method.as_str(), "GET" | "HEAD") => not_there(405),
            "" | "/" => {
                let mut response = Response::new(200, "text/html; charset=utf-8", HTML);
                response.head.headers.0.push(("Content-Security-Policy".into(), POLICY.into()));
                response
            }
            "/state.json" => self.state(request),
            other => {
                let number = other.strip_prefix("/invocations/").and_then(|rest| rest.strip_suffix(".json"));
                match number.and_then(|number| self.history.details(number.parse().ok()?)) {
                    Some(details) => json(&details),
                    None => not_there(404),
                }
            }
        };
        response.head.headers.0.push(("Cache-Control".into(), "no-store".into()));
        response.head.headers.0.push(("X-Content-Type-Options".into(), "nosniff".into()));
        Some(response)
    }

    /// Everything but the details; 204 where the reader says that it has this version.
    fn state(&self, request: &Request) -> Response {
        let list = self.history.list();
        let known = request.query().strip_prefix("version=").and_then(|version| version.parse().ok());
        if known == Some(list.version) {
            return Response { head: super::http::Head::new(204, vec![]), body: vec![] };
        }
        json(&State { function: &self.about, list })
    }
}

/// Whether the page was asked for by a name of this machine. By any other name, a page from elsewhere could read ours with
/// the help of its own domain's records (DNS rebinding).
fn is_this_machine(request: &Request) -> bool {
    let Some(host) = request.headers.get("host") else { return true };
    let name = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(name, _)| name);
    let name = name.trim_matches(['[', ']']);
    name.parse::<std::net::IpAddr>().is_ok() || name == "localhost" || name.ends_with(".localhost")
}

fn json(value: &impl Serialize) -> Response {
    // Strings and numbers: nothing that could not be written.
    Response::json(200, serde_json::to_vec(value).unwrap_or_default())
}

fn not_there(status: u16) -> Response {
    Response::new(status, "text/plain; charset=utf-8", "phplayer has nothing here\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use serde_json::Value;

    use super::*;
    use crate::emulator::http::Headers;

    fn page() -> Page {
        let history = Arc::new(History::default());
        history.begin("GET", "/<script>", "{\"a\":1}");
        let function = Function {
            layers: vec![],
            task: "app".into(),
            handler: "index.php".into(),
            timeout: Duration::from_secs(28),
            memory_mb: 1024,
            name: "hello".into(),
            region: "eu-west-1".into(),
            initialization: Initialization::OnDemand,
            env: BTreeMap::new(),
        };
        Page::new(history, &function, Front::V2)
    }

    fn ask(page: &Page, method: &str, target: &str) -> Option<Response> {
        page.answer(&Request::made(method, target, Headers::default(), Vec::new()))
    }

    #[test]
    fn the_page_has_its_paths_and_leaves_the_others() {
        let page = page();
        assert!(ask(&page, "GET", "/").is_none() && ask(&page, "GET", "/__phplayers").is_none());
        let html = ask(&page, "GET", "/__phplayer").unwrap();
        assert!(html.head.headers.get("content-security-policy").unwrap().starts_with("default-src 'none'"));
        let state: Value = serde_json::from_slice(&ask(&page, "GET", "/__phplayer/state.json").unwrap().body).unwrap();
        assert_eq!(state["function"]["handler"], "index.php");
        assert_eq!(state["invocations"][0]["target"], "/<script>");
        let known = format!("/__phplayer/state.json?version={}", state["version"]);
        assert_eq!(ask(&page, "GET", &known).unwrap().head.status, 204);
        let details = ask(&page, "GET", "/__phplayer/invocations/1.json").unwrap();
        let details: Value = serde_json::from_slice(&details.body).unwrap();
        assert_eq!(details["event"]["text"], "{\"a\":1}");
        assert_eq!(ask(&page, "GET", "/__phplayer/invocations/2.json").unwrap().head.status, 404);
        assert_eq!(ask(&page, "POST", "/__phplayer").unwrap().head.status, 405);
    }

    #[test]
    fn only_this_machines_names_show_it() {
        let page = page();
        for (host, status) in [
            ("127.0.0.1:8000", 200),
            ("localhost:8000", 200),
            ("[::1]:8000", 200),
            ("shop.localhost", 200),
            ("shop.example:8000", 403),
            ("127.0.0.1.example", 403),
        ] {
            let headers = Headers(vec![("Host".into(), host.into())]);
            let request = Request::made("GET", "/__phplayer/state.json", headers, Vec::new());
            assert_eq!(page.answer(&request).unwrap().head.status, status, "{host}");
        }
    }

    #[test]
    fn the_page_needs_nothing_from_elsewhere_and_writes_no_markup() {
        for forbidden in ["http://", "https://", "//cdn", "@import", "innerHTML", "outerHTML", "insertAdjacentHTML"] {
            assert!(!HTML.contains(forbidden), "{forbidden}");
        }
    }
}
