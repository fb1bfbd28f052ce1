//! Where a file is not TOML at all: the parser's errors, without those that are only consequences of an earlier one.

use super::mistake::Mistake;

/// Adds the syntax errors to `notes`, and takes from `notes` what only a syntax error has caused: what was salvaged from
/// a broken line or is missing because of it, and everything behind an unclosed bracket, where keys belong to another
/// table than they seem to.
pub(super) fn judge(text: &str, errors: &[toml::de::Error], notes: &mut Vec<Mistake>) {
    if errors.is_empty() {
        return;
    }
    let list_unclosed = errors.iter().any(|error| error.message().starts_with("unclosed array"));
    let in_list = |message: &str| list_unclosed && message.contains("array");
    let mut sound = text.len();
    let mut syntax: Vec<Mistake> = Vec::new();
    for error in errors {
        let mistake = mistake(error);
        if mistake.message.contains("unclosed") || in_list(&mistake.message) {
            sound = sound.min(mistake.span.start);
        }
        // The parser goes on after an error, and what it then says of the same line is a consequence; of what follows an
        // unclosed list, all is.
        let last = in_list(&mistake.message);
        if !syntax.iter().any(|earlier| share_line(text, earlier, &mistake)) {
            syntax.push(mistake);
        }
        if last {
            break;
        }
    }
    notes.retain(|note| !note.span.is_empty() && note.span.start < sound);
    notes.retain(|note| !syntax.iter().any(|broken| share_line(text, note, broken)));
    notes.append(&mut syntax);
}

fn mistake(error: &toml::de::Error) -> Mistake {
    let (message, expected) = error.message().split_once(", expected ").unwrap_or((error.message(), ""));
    let label = match (message, expected) {
        ("duplicate key", _) => "written above already".to_owned(),
        ("string values must be quoted", _) => "put it in quotes".to_owned(),
        ("missing comma between array elements", _) => "expected `,`, or `]` before it".to_owned(),
        (_, "") => "here".to_owned(),
        (_, "nothing") => "nothing more is expected here".to_owned(),
        (_, expected) => format!("expected {}", expected.replace(", ", " or ")),
    };
    Mistake {
        message: format!("the file is not TOML: {message}"),
        span: error.span().unwrap_or(0..0),
        label,
        help: None,
    }
}

/// Whether two mistakes touch the same line. A syntax error may point into the middle of a letter.
fn share_line(text: &str, one: &Mistake, other: &Mistake) -> bool {
    let lines = |mistake: &Mistake| {
        let start = text.floor_char_boundary(mistake.span.start);
        let end = text.floor_char_boundary(mistake.span.end).max(start);
        let first = text[..start].rfind('\n').map_or(0, |at| at + 1);
        first..text[end..].find('\n').map_or(text.len(), |at| end + at)
    };
    let (one, other) = (lines(one), lines(other));
    one.start <= other.end && other.start <= one.end
}
