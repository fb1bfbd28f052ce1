//! A browser's part of HTTP: cookies that come back, redirects that are followed, forms that are filled in and sent.
#![allow(clippy::unwrap_used, reason = "a test helper fails its test")]

use serde_json::Value;
use ureq::ResponseExt;

/// One visitor of one site.
pub struct Browser {
    agent: ureq::Agent,
    /// Without a slash at its end.
    home: String,
}

pub struct Page {
    pub status: u16,
    /// Where redirects have led to.
    pub url: String,
    pub text: String,
}

/// A form as it stands in a page: what it sends when nothing is filled in, and what has been.
#[derive(Debug)]
pub struct Form {
    action: String,
    fields: Vec<(String, String)>,
    file: Option<File>,
}

#[derive(Debug)]
struct File {
    field: &'static str,
    name: &'static str,
    kind: &'static str,
    bytes: &'static [u8],
}

impl Browser {
    pub fn new(home: &str) -> Self {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        Self { agent, home: home.to_owned() }
    }

    pub fn get(&self, path: &str) -> Page {
        page(self.agent.get(self.url(path)).call())
    }

    pub fn submit(&self, form: &Form) -> Page {
        let request = self.agent.post(&form.action);
        match &form.file {
            None => page(request.send_form(form.fields.iter().map(|(name, value)| (name, value)))),
            Some(file) => {
                let boundary = "----a-boundary-that-no-picture-holds";
                let kind = format!("multipart/form-data; boundary={boundary}");
                page(request.header("Content-Type", kind).send(multipart(boundary, &form.fields, file)))
            }
        }
    }

    /// As an application's own script would ask: JSON, with the nonce that WordPress gives to those who are logged in.
    pub fn post_json(&self, path: &str, nonce: &str, body: &Value) -> Page {
        let request = self.agent.post(self.url(path)).header("Content-Type", "application/json");
        page(request.header("X-WP-Nonce", nonce).send(body.to_string()))
    }

    /// The `Cookie` header that this visitor sends to the site's first page.
    pub fn cookies(&self) -> String {
        let jar = self.agent.cookie_jar_lock();
        let pairs = jar.iter().map(|cookie| format!("{}={}", cookie.name(), cookie.value()));
        pairs.collect::<Vec<_>>().join("; ")
    }

    fn url(&self, path: &str) -> String {
        if path.starts_with("http") { path.to_owned() } else { format!("{}{path}", self.home) }
    }
}

fn page(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Page {
    let response = response.unwrap();
    let (status, url) = (response.status().as_u16(), response.get_uri().to_string());
    Page { status, url, text: response.into_body().read_to_string().unwrap() }
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
        let forms = self.text.split("<form").skip(1);
        let found = forms.map(|form| form.split("</form").next().unwrap()).find(|form| {
            let tag = attributes(form.split('>').next().unwrap());
            value(&tag, "id") == Some(id)
        });
        let form = found.unwrap_or_else(|| panic!("no form #{id} in {}:\n{}", self.url, self.text));
        let action = attributes(form.split('>').next().unwrap());
        let inputs = form.split("<input").skip(1).map(|tag| attributes(tag.split('>').next().unwrap()));
        let fields = inputs.filter_map(|input| {
            let kind = value(&input, "type").unwrap_or("text");
            let silent = matches!(kind, "submit" | "button" | "file")
                || (matches!(kind, "checkbox" | "radio") && value(&input, "checked").is_none());
            let name = value(&input, "name").filter(|_| !silent)?;
            Some((name.to_owned(), value(&input, "value").unwrap_or_default().to_owned()))
        });
        let action = resolved(&self.url, value(&action, "action").unwrap_or_default());
        Form { action, fields: fields.collect(), file: None }
    }
}

impl Form {
    /// Fills a field in, or presses a button of this name.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(known, _)| known != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn with_file(
        mut self,
        field: &'static str,
        name: &'static str,
        kind: &'static str,
        bytes: &'static [u8],
    ) -> Self {
        self.file = Some(File { field, name, kind, bytes });
        self
    }
}

/// Where a link of a page leads to.
pub fn resolved(page: &str, link: &str) -> String {
    let page = page.split(['?', '#']).next().unwrap();
    let host = page.find("://").map_or(0, |at| at + 3);
    let root = page[host..].find('/').map_or(page.len(), |at| host + at);
    match link {
        "" => page.to_owned(),
        _ if link.starts_with("http://") || link.starts_with("https://") => link.to_owned(),
        _ if link.starts_with('/') => format!("{}{link}", &page[..root]),
        _ => format!("{}/{link}", &page[..page[root..].rfind('/').map_or(root, |at| root + at)]),
    }
}

/// What stands between two texts, the first time.
pub fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(found, _)| found)
}

/// A tag's attributes, as HTML allows to write them.
fn attributes(tag: &str) -> Vec<(&str, String)> {
    let mut all = Vec::new();
    let mut rest = tag.trim_matches(['/', ' ', '\n', '\r', '\t']);
    while !rest.is_empty() {
        let end = rest.find(|letter: char| letter == '=' || letter.is_whitespace()).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let Some(after) = after.trim_start().strip_prefix('=').map(str::trim_start) else {
            all.push((name, String::new()));
            rest = after.trim_start();
            continue;
        };
        let quote = after.chars().next().filter(|letter| ['"', '\''].contains(letter));
        let (value, after) = match quote {
            Some(quote) => after[1..].split_once(quote).unwrap_or((&after[1..], "")),
            None => after.split_at(after.find(char::is_whitespace).unwrap_or(after.len())),
        };
        all.push((name, unescaped(value)));
        rest = after.trim_start();
    }
    all
}

fn value<'a>(attributes: &'a [(&str, String)], name: &str) -> Option<&'a str> {
    attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
}

/// Text without HTML's escapes: those by number, and the five that every application uses.
pub fn unescaped(text: &str) -> String {
    let mut parts = text.split('&');
    let mut plain = parts.next().unwrap().to_owned();
    for part in parts {
        let escape = part.split_once(';').and_then(|(name, rest)| Some((letter(name)?, rest)));
        match escape {
            Some((letter, rest)) => {
                plain.push(letter);
                plain.push_str(rest);
            }
            None => {
                plain.push('&');
                plain.push_str(part);
            }
        }
    }
    plain
}

fn letter(name: &str) -> Option<char> {
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

fn multipart(boundary: &str, fields: &[(String, String)], file: &File) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, value) in fields {
        let part = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend_from_slice(part.as_bytes());
    }
    let File { field, name, kind, bytes } = file;
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\nContent-Type: {kind}\r\n\r\n"
    );
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(bytes);
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    body
}

#[test]
fn a_form_sends_what_a_browser_would_send() {
    let text = r#"<form id="other"><input name="x" value="0"></form>
        <form method=post action='next.php?a=1&amp;b=2' id=login>
        <input type="hidden" name="_nonce" value="a&quot;b&#039;c" /><input type=hidden name=token value=12 >
        <input name="user" /><input type="checkbox" name="on" checked value="1"><input type="checkbox" name="off" value="1">
        <input type="submit" name="go" value="Go"></form>"#;
    let page = Page { status: 200, url: "http://a.b/wp/login.php?x=y/z".into(), text: text.into() };
    let form = page.form("login").with("user", "me");
    assert_eq!(form.action, "http://a.b/wp/next.php?a=1&b=2");
    let fields: Vec<String> = form.fields.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(fields, ["_nonce=a\"b'c", "token=12", "on=1", "user=me"]);
}

#[test]
fn links_lead_where_a_browser_would_go() {
    for (page, link, expected) in [
        ("http://a.b", "x.php", "http://a.b/x.php"),
        ("http://a.b/c/d?e=/f", "x.php", "http://a.b/c/x.php"),
        ("http://a.b/c/d", "/x", "http://a.b/x"),
        ("http://a.b/c/d?e", "", "http://a.b/c/d"),
        ("http://a.b/c", "https://d/e", "https://d/e"),
    ] {
        assert_eq!(resolved(page, link), expected, "{link} in {page}");
    }
}
