//! The fields of HTTP events, forgiving: any of them may be null, a number, a string or a list of those.

use serde_json::Value;

/// A text, or a number or truth value as text; `None` for null and everything else.
pub fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Each name with each of its values, in the event's order: from the map of lists if there is one, else the plain map.
pub fn multi_values(multi: &Value, single: &Value) -> Vec<(String, String)> {
    pairs(if multi.as_object().is_some_and(|map| !map.is_empty()) { multi } else { single }).collect()
}

fn pairs(map: &Value) -> impl Iterator<Item = (String, String)> + '_ {
    map.as_object().into_iter().flatten().flat_map(|(name, value)| {
        let values = match value {
            Value::Array(values) => values.iter().map(|value| text(value).unwrap_or_default()).collect(),
            value => vec![text(value).unwrap_or_default()],
        };
        values.into_iter().map(move |value| (name.clone(), value))
    })
}

/// Headers that may reach PHP, names in lower case.
///
/// Left out: `Proxy`, which as HTTP_PROXY would steer the application's own requests; names with anything but letters,
/// digits and `-`, since `_` in a CGI variable cannot be told from `-`.
pub fn header_pairs(map: &Value) -> impl Iterator<Item = (String, String)> + '_ {
    pairs(map)
        .map(|(name, value)| (name.to_ascii_lowercase(), value))
        .filter(|(name, _)| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'))
        .filter(|(name, _)| name != "proxy")
}

/// Headers, each name once.
#[derive(Default)]
pub struct Fields(Vec<(String, String)>);

impl Fields {
    pub fn extend(&mut self, pairs: impl Iterator<Item = (String, String)>) {
        for (name, value) in pairs {
            match self.0.iter_mut().find(|(known, _)| *known == name) {
                Some((_, joined)) => {
                    joined.push_str(if name == "cookie" { "; " } else { ", " });
                    joined.push_str(&value);
                }
                None => self.0.push((name, value)),
            }
        }
    }

    pub fn into_list(self) -> Vec<(String, String)> {
        self.0
    }
}

/// A path in which everything illegal is percent-encoded and nothing else is changed: right for paths that the event
/// has decoded and for those that it has not.
pub fn legal_path(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut legal = String::with_capacity(bytes.len() + 1);
    if !path.starts_with('/') {
        legal.push('/');
    }
    for (at, byte) in bytes.iter().enumerate() {
        let escape = || bytes.get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit));
        match byte {
            b'%' if escape() => legal.push('%'),
            b'-' | b'.' | b'_' | b'~' | b'/' | b':' | b'@' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+'
            | b',' | b';' | b'=' | b'[' | b']' => legal.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => legal.push(char::from(*byte)),
            byte => push_escaped(&mut legal, *byte),
        }
    }
    legal
}

/// A query string of decoded names and values.
pub fn encode_query(pairs: &[(String, String)]) -> String {
    let mut query = String::new();
    for (name, value) in pairs {
        if !query.is_empty() {
            query.push('&');
        }
        push_component(&mut query, name);
        query.push('=');
        push_component(&mut query, value);
    }
    query
}

fn push_component(query: &mut String, component: &str) {
    for byte in component.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' => query.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => query.push(char::from(byte)),
            byte => push_escaped(query, byte),
        }
    }
}

fn push_escaped(text: &mut String, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    text.push('%');
    text.push(char::from(HEX[usize::from(byte >> 4)]));
    text.push(char::from(HEX[usize::from(byte & 15)]));
}

/// The bytes of a percent-encoded text; a `%` that begins no escape stands for itself.
pub fn percent_decode(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low),
            _ => None,
        };
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &tail[2..] } else { tail };
    }
    bytes
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_are_made_legal_and_never_encoded_twice() {
        for (path, legal) in [
            ("/", "/"),
            ("", "/"),
            ("a", "/a"),
            ("/a b", "/a%20b"),
            ("/a%20b", "/a%20b"),
            ("/100%", "/100%25"),
            ("/%zz", "/%25zz"),
            ("/é", "/%C3%A9"),
            ("/a?b#c", "/a%3Fb%23c"),
            ("/~x;v=1,2/(y)", "/~x;v=1,2/(y)"),
        ] {
            assert_eq!(legal_path(path), legal);
        }
    }

    #[test]
    fn queries_are_rebuilt_with_brackets_encoded() {
        let pairs = multi_values(&json!({"a[]": ["1", "2&3"], "b": [null], "c": "x y"}), &Value::Null);
        assert_eq!(encode_query(&pairs), "a%5B%5D=1&a%5B%5D=2%263&b=&c=x%20y");
    }

    #[test]
    fn percent_decoding_leaves_lone_signs() {
        for (text, plain) in [("a%20b", "a b"), ("%", "%"), ("%4", "%4"), ("%zz", "%zz"), ("%2f%2E", "/.")] {
            assert_eq!(percent_decode(text), plain.as_bytes());
        }
    }

    #[test]
    fn headers_that_would_mislead_php_are_dropped() {
        let headers = json!({"Proxy": "evil", "X_A": "1", "X-A": "2", "": "3", "123": 4, "X\r\n": "5"});
        let kept: Vec<_> = header_pairs(&headers).collect();
        assert_eq!(kept, [("x-a".to_owned(), "2".to_owned()), ("123".to_owned(), "4".to_owned())]);
    }
}
