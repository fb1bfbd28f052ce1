//! A browser's part of HTTP: cookies that come back, redirects that are followed, forms that are sent.
#![allow(clippy::unwrap_used, reason = "a test helper fails its test")]

use std::cell::RefCell;

use serde_json::Value;
use ureq::http::header::{LOCATION, SET_COOKIE};

use super::form::{Form, between, resolved, unescaped};

/// One visitor of one site.
pub struct Browser {
    agent: ureq::Agent,
    /// Without a slash at its end.
    home: String,
    jar: RefCell<Vec<Cookie>>,
}

#[derive(Debug)]
struct Cookie {
    name: String,
    value: String,
    /// Where it belongs to, and to what is below.
    path: String,
}

pub struct Page {
    pub status: u16,
    /// Where redirects have led to.
    pub url: String,
    pub text: String,
}

/// What is sent: a body and its type, and more headers.
struct Content {
    kind: String,
    body: Vec<u8>,
    headers: Vec<(&'static str, String)>,
}

impl Browser {
    pub fn new(home: &str) -> Self {
        let settings = ureq::Agent::config_builder().http_status_as_error(false);
        // It follows redirects itself, since it must look at the cookies of each.
        let settings = settings.max_redirects(0).max_redirects_will_error(false);
        Self { agent: settings.build().into(), home: home.to_owned(), jar: RefCell::default() }
    }

    pub fn get(&self, path: &str) -> Page {
        let url = if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.home) };
        self.ask(url, None)
    }

    pub fn submit(&self, form: &Form) -> Page {
        let (kind, body) = form.body();
        self.ask(form.action.clone(), Some(Content { kind, body, headers: Vec::new() }))
    }

    /// As an application's own script would ask: JSON, with the nonce that WordPress gives to those who are logged in.
    pub fn post_json(&self, path: &str, nonce: &str, body: &Value) -> Page {
        let (kind, body) = ("application/json".to_owned(), body.to_string().into_bytes());
        let headers = vec![("X-WP-Nonce", nonce.to_owned())];
        self.ask(format!("{}{path}", self.home), Some(Content { kind, body, headers }))
    }

    /// The `Cookie` header for a path of the site.
    pub fn cookies(&self, path: &str) -> String {
        let jar = self.jar.borrow();
        let mut all: Vec<&Cookie> = jar.iter().filter(|cookie| within(path, &cookie.path)).collect();
        all.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let pairs = all.iter().map(|cookie| format!("{}={}", cookie.name, cookie.value));
        pairs.collect::<Vec<_>>().join("; ")
    }

    fn ask(&self, mut url: String, mut content: Option<Content>) -> Page {
        for _ in 0..10 {
            let path = url.strip_prefix(&self.home).unwrap_or_else(|| panic!("{url} leads away from {}", self.home));
            let path = path.split(['?', '#']).next().unwrap().to_owned();
            let cookies = self.cookies(&path);
            let response = match content.take() {
                None => self.agent.get(&url).header("Cookie", cookies).call(),
                Some(Content { kind, body, headers }) => {
                    let request = self.agent.post(&url).header("Cookie", cookies).header("Content-Type", kind);
                    headers.into_iter().fold(request, |request, (name, value)| request.header(name, value)).send(body)
                }
            };
            let response = response.unwrap();
            for cookie in response.headers().get_all(SET_COOKIE) {
                self.keep(cookie.to_str().unwrap(), &path);
            }
            let status = response.status().as_u16();
            match response.headers().get(LOCATION).filter(|_| (300..400).contains(&status)) {
                Some(link) => url = resolved(&url, link.to_str().unwrap()),
                None => return Page { status, url, text: response.into_body().read_to_string().unwrap() },
            }
        }
        panic!("{url} is redirected without end");
    }

    /// Takes a `Set-Cookie` header of a page into the jar. (PHP says `Max-Age=0` when it deletes one.)
    fn keep(&self, header: &str, page: &str) {
        let mut parts = header.split(';').map(str::trim);
        let (name, value) = parts.next().unwrap().split_once('=').unwrap();
        let facts: Vec<(&str, &str)> = parts.map(|part| part.split_once('=').unwrap_or((part, ""))).collect();
        let fact =
            |name: &str| facts.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
        let folder = page.rfind('/').filter(|at| *at > 0).map_or("/", |at| &page[..at]);
        let path = fact("path").unwrap_or(folder).to_owned();
        let mut jar = self.jar.borrow_mut();
        jar.retain(|cookie| (cookie.name.as_str(), &cookie.path) != (name, &path));
        if fact("max-age") != Some("0") {
            jar.push(Cookie { name: name.to_owned(), value: value.to_owned(), path });
        }
    }
}

/// Whether a cookie of `folder` is sent to `path`.
fn within(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

impl Page {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}", self.text))
    }

    /// What is shown as the page's title.
    pub fn title(&self) -> String {
        unescaped(between(&self.text, "<title>", "</title>").unwrap_or_else(|| panic!("no title in {}", self.text)))
    }

    /// Whether the page answers 200 and holds this.
    pub fn shows(&self, what: &str) {
        assert_eq!(self.status, 200, "{}: {}", self.url, self.text);
        assert!(self.text.contains(what), "no {what} in {}:\n{}", self.url, self.text);
    }

    /// The form with this `id`.
    pub fn form(&self, id: &str) -> Form {
        Form::of(&self.text, &self.url, id)
    }
}

#[test]
fn cookies_go_where_they_belong_and_no_further() {
    let browser = Browser::new("http://a.b");
    browser.keep("session=1; path=/; HttpOnly", "/");
    browser.keep("admin=2; Path=/admin", "/login.php");
    browser.keep("here=3", "/shop/basket.php");
    assert_eq!(browser.cookies("/"), "session=1");
    assert_eq!(browser.cookies("/admin/x.php"), "admin=2; session=1");
    assert_eq!(browser.cookies("/administrator"), "session=1");
    assert_eq!(browser.cookies("/shop/"), "here=3; session=1");
    browser.keep("session=deleted; expires=Thu, 01 Jan 1970 00:00:01 GMT; Max-Age=0; path=/", "/login.php");
    browser.keep("here=4; path=/shop", "/");
    assert_eq!(browser.cookies("/shop/x"), "here=4");
}
