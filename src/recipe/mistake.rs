//! What is wrong in a file the user wrote: the place, the reason and the way out, all mistakes in one report.

use std::error::Error;
use std::fmt;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use miette::{Diagnostic, LabeledSpan, NamedSource, SourceCode};

/// The text of a file and the name it goes by in messages.
pub(crate) type Source = NamedSource<Arc<str>>;

/// Why a single word cannot be what it should be, before anyone knows where in a file it stands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// What is wrong, as one sentence without a full stop.
    pub message: String,
    /// The reason, short enough to stand under the word.
    pub label: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl Refusal {
    pub(crate) fn new(message: impl Into<String>, label: impl Into<String>, help: impl Into<Option<String>>) -> Self {
        Self { message: message.into(), label: label.into(), help: help.into() }
    }

    /// The same, at its place: bytes of the file's text.
    pub(crate) fn at(self, span: Range<usize>) -> Mistake {
        Mistake { message: self.message, span, label: self.label, help: self.help }
    }
}

/// Where there is no file to point into (a word of the command line), the label joins the help.
impl Diagnostic for Refusal {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        let help = self.help.as_deref().map(|help| format!("; {help}")).unwrap_or_default();
        Some(Box::new(format!("{}{help}", self.label)))
    }
}

/// One mistake at one place of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// What is wrong, as one sentence without a full stop.
    pub message: String,
    /// Bytes of the file's text.
    pub span: Range<usize>,
    /// The reason, short enough to stand under the place.
    pub label: String,
    /// What to write instead.
    pub help: Option<String>,
}

/// All mistakes of one file, in the order of their places. Never empty.
#[derive(Debug)]
pub struct Mistakes {
    source: Source,
    list: Vec<Shown>,
}

impl Mistakes {
    /// `list` must hold at least one mistake in the text of `recipe`.
    pub fn new(recipe: &super::Recipe, list: Vec<Mistake>) -> Self {
        Self::in_source(recipe.source.clone(), list)
    }

    pub(crate) fn in_source(source: Source, mut list: Vec<Mistake>) -> Self {
        debug_assert!(!list.is_empty(), "a report of nothing");
        list.sort_by_key(|mistake| (mistake.span.start, mistake.span.end));
        list.dedup();
        let pointed = !source.inner().is_empty();
        let list = list.into_iter().map(|mistake| Shown { mistake, pointed }).collect();
        Self { source, list }
    }

    /// The file could not be read, so there is no text to point into.
    pub(crate) fn unreadable(path: &Path, error: &std::io::Error) -> Self {
        let message = format!("cannot read the recipe: {error}");
        let help = "`phplayer new NAME` writes a recipe to start from".to_owned();
        let mistake = Mistake { message, span: 0..0, label: String::new(), help: Some(help) };
        Self::in_source(NamedSource::new(path.to_string_lossy(), Arc::from("")), vec![mistake])
    }

    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.list.iter().map(|shown| &shown.mistake)
    }

    /// The only mistake, where there is but one: it then speaks for the whole report.
    fn only(&self) -> Option<&Shown> {
        match self.list.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.only() {
            Some(only) => only.fmt(f),
            None => write!(f, "{} mistakes in {}", self.list.len(), self.source.name()),
        }
    }
}

impl Error for Mistakes {}

impl Diagnostic for Mistakes {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.only()?.help()
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        Some(&self.source)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.only()?.labels()
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn Diagnostic> + 'a>> {
        if self.only().is_some() {
            return None;
        }
        Some(Box::new(self.list.iter().map(|shown| shown as &dyn Diagnostic)))
    }
}

/// A mistake as miette shows it; the text comes from the report around it.
#[derive(Debug)]
struct Shown {
    mistake: Mistake,
    /// False for an empty text, where an excerpt would be an empty frame.
    pointed: bool,
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.mistake.message)
    }
}

impl Error for Shown {}

impl Diagnostic for Shown {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.mistake.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let label = LabeledSpan::new_with_span(Some(self.mistake.label.clone()), self.mistake.span.clone());
        self.pointed.then(|| Box::new(std::iter::once(label)) as Box<dyn Iterator<Item = LabeledSpan>>)
    }
}

/// The candidate that `word` was probably meant to be: at most a third of its letters differ.
pub fn suggest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let word = word.to_lowercase();
    let allowed = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= allowed && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// One of a few: `known` are the names a user may write, `what` the noun for them.
pub(crate) fn choice<T: Copy>(
    what: &'static str,
    known: &'static [T],
    name: fn(T) -> &'static str,
) -> impl Fn(&str) -> Result<T, Refusal> {
    move |text| {
        if let Some(found) = known.iter().find(|value| name(**value) == text) {
            return Ok(*found);
        }
        let names: Vec<_> = known.iter().map(|value| name(*value)).collect();
        let choices = list(&names);
        let help = match suggest(text, names.iter().copied()) {
            Some(meant) if names.len() > 1 => format!("did you mean `{meant}`? The choices are {choices}"),
            Some(meant) => format!("did you mean `{meant}`?"),
            None if names.len() > 1 => format!("the choices are {choices}"),
            None => format!("the only choice is {choices}"),
        };
        Err(Refusal::new(format!("`{text}` is not a known {what}"), "not known", help))
    }
}

/// Names in a sentence: `` `a`, `b` ``.
pub(crate) fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_suggested_and_far_ones_are_not() {
        let known = ["redis", "pdo_mysql", "mbstring", "gd"];
        assert_eq!(suggest("redsi", known), Some("redis"));
        assert_eq!(suggest("pdomysql", known), Some("pdo_mysql"));
        assert_eq!(suggest("MBString", known), Some("mbstring"));
        assert_eq!(suggest("gdd", known), Some("gd"));
        assert_eq!(suggest("xdebug", known), None);
        assert_eq!(suggest("", known), None);
    }
}
