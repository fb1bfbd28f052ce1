//! Reads a TOML table key by key and notes every mistake instead of stopping at the first.
//!
//! serde would stop there, and loses the place of a value in flattened or untagged types.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::mistake::{Mistake, Refusal, list, suggest};

/// A table whose keys are taken one by one; what nobody took is a mistake.
pub(crate) struct Table<'t> {
    /// Its name in messages, such as `[publish]`; the file itself has none.
    name: Option<&'static str>,
    span: Range<usize>,
    entries: &'t DeTable<'t>,
    taken: Vec<&'static str>,
}

impl<'t> Table<'t> {
    pub(crate) fn root(file: &'t Spanned<DeTable<'t>>) -> Self {
        Self { name: None, span: 0..0, entries: file.get_ref(), taken: Vec::new() }
    }

    pub(crate) fn entries(&self) -> &'t DeTable<'t> {
        self.entries
    }

    fn take(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.taken.push(key);
        self.entries.iter().find(|(name, _)| name.get_ref() == key).map(|(_, value)| value)
    }

    /// A text that `read` turns into what it means.
    pub(crate) fn text<T>(
        &mut self,
        key: &'static str,
        notes: &mut Vec<Mistake>,
        read: impl Fn(&str) -> Result<T, Refusal>,
    ) -> Option<Spanned<T>> {
        let value = self.take(key)?;
        word(&format!("`{key}` takes a text"), value, notes, &read)
    }

    /// The same for a text that must be there.
    pub(crate) fn required<T>(
        &mut self,
        key: &'static str,
        example: &'static str,
        notes: &mut Vec<Mistake>,
        read: impl Fn(&str) -> Result<T, Refusal>,
    ) -> Option<Spanned<T>> {
        if !self.entries.contains_key(key) {
            let place = self.name.map_or("this file".to_owned(), |name| format!("`{name}`"));
            notes.push(Mistake {
                message: format!("`{key}` is missing"),
                span: self.span.clone(),
                label: format!("{place} needs it"),
                help: Some(format!("write {key} = {example}")),
            });
        }
        self.text(key, notes, read)
    }

    /// A list of texts, each of them once.
    pub(crate) fn texts<T: PartialEq>(
        &mut self,
        key: &'static str,
        notes: &mut Vec<Mistake>,
        read: impl Fn(&str) -> Result<T, Refusal>,
    ) -> Vec<Spanned<T>> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let DeValue::Array(words) = value.get_ref() else {
            let help = match value.get_ref() {
                DeValue::String(text) => format!("write {key} = [{:?}]", text.as_ref()),
                _ => format!("write {key} = [\"…\"]"),
            };
            notes.push(wrong_type(&format!("`{key}` takes a list of texts"), value, Some(help)));
            return Vec::new();
        };
        let mut read_so_far: Vec<Spanned<T>> = Vec::new();
        for value in words.iter() {
            let Some(found) = word(&format!("`{key}` takes a list of texts"), value, notes, &read) else { continue };
            if read_so_far.iter().any(|earlier| earlier.get_ref() == found.get_ref()) {
                notes.push(twice(value, key));
            } else {
                read_so_far.push(found);
            }
        }
        read_so_far
    }

    pub(crate) fn flag(&mut self, key: &'static str, notes: &mut Vec<Mistake>) -> Option<bool> {
        let value = self.take(key)?;
        let DeValue::Boolean(flag) = value.get_ref() else {
            let help = format!("write {key} = true or {key} = false");
            notes.push(wrong_type(&format!("`{key}` takes true or false"), value, Some(help)));
            return None;
        };
        Some(*flag)
    }

    /// A table inside this one; `name` is how it is written, such as `[vendor]`.
    pub(crate) fn table(
        &mut self,
        key: &'static str,
        name: &'static str,
        notes: &mut Vec<Mistake>,
    ) -> Option<Table<'t>> {
        let value = self.take(key)?;
        inner(key, name, value, notes)
    }

    /// A list of tables; `name` is how each is written, such as `[[waive]]`.
    pub(crate) fn tables(&mut self, key: &'static str, name: &'static str, notes: &mut Vec<Mistake>) -> Vec<Table<'t>> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let DeValue::Array(tables) = value.get_ref() else {
            let help = format!("write {name} above it");
            notes.push(wrong_type(&format!("`{key}` takes a list of tables"), value, Some(help)));
            return Vec::new();
        };
        tables.iter().filter_map(|value| inner(key, name, value, notes)).collect()
    }

    /// Notes the keys that nobody took.
    pub(crate) fn end(self, notes: &mut Vec<Mistake>) {
        for key in self.entries.keys().filter(|key| !self.taken.contains(&key.get_ref().as_ref())) {
            let place = self.name.map(|name| format!(" of `{name}`")).unwrap_or_default();
            let help = match suggest(key.get_ref(), self.taken.iter().copied()) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => format!("known here: {}", list(&self.taken)),
            };
            notes.push(Mistake {
                message: format!("`{}` is not a key{place}", key.get_ref()),
                span: key.span(),
                label: "unknown key".to_owned(),
                help: Some(help),
            });
        }
    }
}

fn word<T>(
    takes: &str,
    value: &Spanned<DeValue<'_>>,
    notes: &mut Vec<Mistake>,
    read: &impl Fn(&str) -> Result<T, Refusal>,
) -> Option<Spanned<T>> {
    let text = match value.get_ref() {
        DeValue::String(text) => text,
        other => {
            let bare = match other {
                DeValue::Integer(number) => Some(number.to_string()),
                DeValue::Float(number) => Some(number.to_string()),
                DeValue::Boolean(flag) => Some(flag.to_string()),
                DeValue::Datetime(date) => Some(date.to_string()),
                DeValue::Array(list) if list.len() == 1 => list[0].get_ref().as_str().map(str::to_owned),
                DeValue::String(_) | DeValue::Array(_) | DeValue::Table(_) => None,
            };
            // Quotes alone would only lead to the next mistake where the text is refused too.
            let help = bare.and_then(|bare| match read(&bare) {
                Ok(_) => Some(format!("write it in quotes: \"{bare}\"")),
                Err(refusal) => refusal.help,
            });
            notes.push(wrong_type(takes, value, help));
            return None;
        }
    };
    match read(text) {
        Ok(found) => Some(Spanned::new(value.span(), found)),
        Err(refusal) => {
            notes.push(refusal.at(value.span()));
            None
        }
    }
}

fn inner<'t>(
    key: &'static str,
    name: &'static str,
    value: &'t Spanned<DeValue<'t>>,
    notes: &mut Vec<Mistake>,
) -> Option<Table<'t>> {
    let DeValue::Table(entries) = value.get_ref() else {
        let help = format!("write {name} on a line of its own, and its keys below");
        notes.push(wrong_type(&format!("`{key}` takes a table"), value, Some(help)));
        return None;
    };
    Some(Table { name: Some(name), span: value.span(), entries, taken: Vec::new() })
}

/// A value of another type than `takes` says.
pub(crate) fn wrong_type(takes: &str, value: &Spanned<DeValue<'_>>, help: Option<String>) -> Mistake {
    let is = match value.get_ref() {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    Mistake { message: takes.to_owned(), span: value.span(), label: format!("this is {is}"), help }
}

fn twice(value: &Spanned<DeValue<'_>>, key: &str) -> Mistake {
    Mistake {
        message: format!("`{}` is listed twice", value.get_ref().as_str().unwrap_or_default()),
        span: value.span(),
        label: format!("already in `{key}`"),
        help: Some("remove one of the two".to_owned()),
    }
}
