//! An event's JSON, its body apart: bodies are long, and one copy of 100 kB costs as much as all else that happens here.
//!
//! Not by serde_json's `RawValue`: its feature gives a meaning to one key in every object, and clients choose keys.

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::fields::text;

#[derive(Default)]
pub struct Document<'a> {
    /// All but `body`; no object where the event is none.
    pub fields: Value,
    /// Where it stands in the event, unless it has escapes. Numbers and truth values as text; else empty.
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
                Text(body) = map.next_value()?;
            } else {
                fields.insert(key, map.next_value()?);
            }
        }
        Ok(Document { fields: Value::Object(fields), body })
    }
}

/// The same as [`text`] of a whole value, without the value.
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyText).map(Text)
    }
}

struct AnyText;

impl AnyText {
    fn of<E>(value: impl Into<Value>) -> Result<Cow<'static, str>, E> {
        Ok(text(&value.into()).unwrap_or_default().into())
    }
}

impl<'de> Visitor<'de> for AnyText {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Self::of(text)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Self::of(value)
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Self::of(value)
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Self::of(value)
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Self::of(value)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Self::of(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Self::of(Value::Null)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Self::of(Value::Null)
    }
}
