//! An event's JSON, its body apart: bodies are long, and one copy of 100 kB costs as much as all else that happens here.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::fields::text;

#[derive(Default)]
pub struct Document<'a> {
    /// All but `body`; no object where the event is none.
    pub fields: Value,
    /// Where it stands in the event, unless it has escapes. Empty for what is no text.
    pub body: Cow<'a, str>,
}

impl<'a> Document<'a> {
    pub fn parse(event: &'a [u8]) -> serde_json::Result<Self> {
        if event.trim_ascii_start().starts_with(b"{") {
            serde_json::from_slice(event)
        } else {
            Ok(Document { fields: serde_json::from_slice(event)?, ..Document::default() })
        }
    }
}

impl<'de> Deserialize<'de> for Document<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Parts)
    }
}

struct Parts;

impl<'de> Visitor<'de> for Parts {
    type Value = Document<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document<'de>, A::Error> {
        let (mut fields, mut body) = (Map::new(), Cow::Borrowed(""));
        while let Some(key) = map.next_key::<String>()? {
            if key == "body" {
                body = unquoted(map.next_value()?).map_err(A::Error::custom)?;
            } else {
                fields.insert(key, map.next_value()?);
            }
        }
        Ok(Document { fields: Value::Object(fields), body })
    }
}

/// The text of a JSON value. Escapes that name half a character are an error.
fn unquoted(json: &RawValue) -> serde_json::Result<Cow<'_, str>> {
    let json = json.get();
    Ok(match json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(plain) if !plain.contains('\\') => Cow::Borrowed(plain),
        _ => Cow::Owned(text(&serde_json::from_str(json)?).unwrap_or_default()),
    })
}
