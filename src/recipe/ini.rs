//! Settings for php.ini: names and values that no quoting can turn into something else.

use std::fmt;

use super::mistake::Refusal;

/// A value ready to stand behind `name = ` in php.ini.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct IniValue(String);

impl IniValue {
    /// A text, quoted, so that `;`, `#`, `None` or `(` mean themselves. Two things keep their meaning in php.ini:
    /// `${NAME}` is the environment's, and an expression of error levels (`E_ALL & ~E_DEPRECATED`) is computed, which
    /// PHP only does outside quotes.
    pub fn text(text: &str) -> Result<Self, Refusal> {
        if text.chars().any(char::is_control) {
            let help = "php.ini holds one line a setting".to_owned();
            return Err(Refusal::new(
                "a setting cannot hold a line break or control character",
                "more than text",
                help,
            ));
        }
        if is_level_expression(text) {
            return Ok(Self(text.to_owned()));
        }
        Ok(Self(format!("\"{}\"", text.replace('\\', r"\\").replace('"', "\\\""))))
    }
}

fn is_level_expression(text: &str) -> bool {
    text.starts_with(['E', '~', '(', '!'])
        && text.split(|letter: char| " |&^~!()".contains(letter)).filter(|word| !word.is_empty()).all(|word| {
            word.strip_prefix("E_")
                .is_some_and(|level| level.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'))
        })
        && text.contains("E_")
}

impl From<bool> for IniValue {
    fn from(value: bool) -> Self {
        Self(if value { "On" } else { "Off" }.to_owned())
    }
}

impl From<i64> for IniValue {
    fn from(value: i64) -> Self {
        Self(value.to_string())
    }
}

/// As php.ini wants it, quotes included.
impl fmt::Display for IniValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl schemars::JsonSchema for IniValue {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "IniValue".into()
    }

    /// A table stands for a dotted name, as TOML has it.
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let deeper = generator.subschema_for::<std::collections::BTreeMap<String, IniValue>>();
        schemars::json_schema!({
            "description": "A value of php.ini, or a table for the rest of a dotted name",
            "anyOf": [{ "type": ["string", "integer", "boolean"] }, deeper],
        })
    }
}

/// Checks a setting's whole name, such as `opcache.jit_buffer_size`.
pub(super) fn check_name(name: &str) -> Result<(), Refusal> {
    if matches!(name, "extension" | "zend_extension") {
        let help = "add the extension to `extensions`: phplayer links it in and loads it".to_owned();
        return Err(Refusal::new(format!("`{name}` is not set here"), "loads a file that is not in the layer", help));
    }
    let lawful = |letter: char| letter.is_ascii_alphanumeric() || "_.-".contains(letter);
    if name.starts_with(|first: char| first.is_ascii_alphabetic()) && name.chars().all(lawful) {
        return Ok(());
    }
    let label = "letters, digits, `_`, `-` and `.`, a letter first";
    Err(Refusal::new(format!("{name:?} cannot be the name of a setting"), label, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stays_the_text_it_was() {
        let quoted = |text: &str| IniValue::text(text).expect(text).to_string();
        assert_eq!(quoted("512M"), r#""512M""#);
        assert_eq!(quoted("a;b # none"), r#""a;b # none""#);
        assert_eq!(quoted(r#"<b class="x">\"#), r#""<b class=\"x\">\\""#);
        assert_eq!(quoted("${SMTP_HOST}"), r#""${SMTP_HOST}""#);
        assert!(IniValue::text("a\nextension=evil").is_err());
        assert!(IniValue::text("a\0b").is_err());
    }

    #[test]
    fn only_error_levels_stand_outside_quotes() {
        let raw = "E_ALL & ~E_DEPRECATED & ~(E_STRICT | E_NOTICE)";
        assert_eq!(IniValue::text(raw).expect("levels").to_string(), raw);
        for text in ["E_ALL & evil", "E_ALL; x", "E", "", "()", "PHP_VERSION", "E_all"] {
            assert!(IniValue::text(text).expect(text).to_string().starts_with('"'), "{text}");
        }
        assert_eq!(IniValue::from(true).to_string(), "On");
        assert_eq!(IniValue::from(-1).to_string(), "-1");
    }

    #[test]
    fn names_cannot_break_out_of_their_line() {
        assert!(check_name("opcache.jit_buffer_size").is_ok());
        for wrong in ["", "a b", "a=b", "[x]", "x\ny", "1x", "extension"] {
            assert!(check_name(wrong).is_err(), "{wrong}");
        }
    }
}
