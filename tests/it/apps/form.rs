//! HTML's forms: what one sends when nothing is filled in, and what has been.
#![allow(clippy::unwrap_used, reason = "a test helper fails its test")]

/// A form as it stands in a page.
#[derive(Debug)]
pub struct Form {
    pub action: String,
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

impl Form {
    /// `page`: its text; `url`: where it is.
    pub fn of(page: &str, url: &str, id: &str) -> Self {
        let forms = page.split("<form").skip(1);
        let found = forms.map(|form| form.split("</form").next().unwrap()).find(|form| {
            let tag = attributes(form.split('>').next().unwrap());
            value(&tag, "id") == Some(id)
        });
        let form = found.unwrap_or_else(|| panic!("no form #{id} in {url}:\n{page}"));
        let tag = attributes(form.split('>').next().unwrap());
        let inputs = form.split("<input").skip(1).map(|tag| attributes(tag.split('>').next().unwrap()));
        let fields = inputs.filter_map(|input| {
            let kind = value(&input, "type").unwrap_or("text");
            let silent = matches!(kind, "submit" | "button" | "file")
                || (matches!(kind, "checkbox" | "radio") && value(&input, "checked").is_none());
            let name = value(&input, "name").filter(|_| !silent)?;
            Some((name.to_owned(), value(&input, "value").unwrap_or_default().to_owned()))
        });
        let action = resolved(url, value(&tag, "action").unwrap_or_default());
        Form { action, fields: fields.collect(), file: None }
    }

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

    /// Its content type and body.
    pub fn body(&self) -> (String, Vec<u8>) {
        match &self.file {
            None => {
                let pairs = self.fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value)));
                let body = pairs.collect::<Vec<_>>().join("&").into_bytes();
                ("application/x-www-form-urlencoded".to_owned(), body)
            }
            Some(file) => {
                let boundary = "----a-boundary-that-no-picture-holds";
                (format!("multipart/form-data; boundary={boundary}"), multipart(boundary, &self.fields, file))
            }
        }
    }
}

/// As a form's field is encoded.
fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b' ' => "+".to_owned(),
        byte if byte.is_ascii_alphanumeric() || b"*-._".contains(&byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02X}"),
    };
    text.bytes().map(byte).collect()
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
    let head = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{field}\"; filename=\"{name}\"\r\n");
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(format!("Content-Type: {kind}\r\n\r\n").as_bytes());
    body.extend_from_slice(bytes);
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    body
}

#[test]
fn a_form_sends_what_a_browser_would_send() {
    let text = r#"<form id="other"><input name="x" value="0"></form>
        <form method=post action='next.php?a=1&amp;b=2' id=login>
        <input type="hidden" name="_nonce" value="a&quot;b&#039;c" /><input type=hidden name=token value=12 >
        <input name="user" />
        <input type="checkbox" name="on" checked value="1"><input type="checkbox" name="off" value="1">
        <input type="submit" name="go" value="Go"></form>"#;
    let form = Form::of(text, "http://a.b/wp/login.php?x=y/z", "login").with("user", "me & you");
    assert_eq!(form.action, "http://a.b/wp/next.php?a=1&b=2");
    let (kind, body) = form.body();
    assert_eq!(kind, "application/x-www-form-urlencoded");
    assert_eq!(String::from_utf8(body).unwrap(), "_nonce=a%22b%27c&token=12&on=1&user=me+%26+you");
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
