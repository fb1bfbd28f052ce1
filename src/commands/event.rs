//! The event of `invoke` and `bench` as a user gives it: a file, inline JSON, or an HTTP request in a line.

use std::io;
use std::path::PathBuf;

use fs_err as fs;
use miette::Diagnostic;

/// What can be wrong with it.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum EventError {
    #[error("`{event}` is neither a file nor JSON")]
    #[diagnostic(help("give a file's path or inline JSON such as '{{\"key\": 1}}'; `phplayer invoke -` reads stdin"))]
    Neither { event: String },

    #[error("the event cannot be read")]
    Unreadable { source: io::Error },

    #[error("`{request}` is no HTTP request")]
    #[diagnostic(help("a method and a path, for example `--http 'GET /products?page=2'`"))]
    Http { request: String },
}

/// An event, unchanged.
pub enum Given {
    Inline(Vec<u8>),
    /// Whatever the file holds: a function may be tried with what is no JSON.
    File {
        file: PathBuf,
        content: Vec<u8>,
    },
}

impl Given {
    pub fn read(event: &str) -> Result<Self, EventError> {
        if serde_json::from_str::<serde::de::IgnoredAny>(event).is_ok() {
            return Ok(Given::Inline(event.as_bytes().to_vec()));
        }
        let file = PathBuf::from(event);
        match fs::read(&file) {
            Ok(content) => Ok(Given::File { file, content }),
            // An inline event with a slip in it is too long or too odd for a file's name.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::InvalidFilename) => {
                Err(EventError::Neither { event: event.to_owned() })
            }
            Err(source) => Err(EventError::Unreadable { source }),
        }
    }
}

/// `GET /path?query` as its method and its target.
pub fn http(request: &str) -> Result<(&str, &str), EventError> {
    let wrong = || EventError::Http { request: request.to_owned() };
    let (method, target) = request.split_once(' ').ok_or_else(wrong)?;
    let upper = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
    if !upper || !target.starts_with('/') || target.contains(char::is_whitespace) {
        return Err(wrong());
    }
    Ok((method, target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_a_method_and_a_path() {
        assert_eq!(http("GET /a?b=c").ok(), Some(("GET", "/a?b=c")));
        for wrong in ["", "GET", "get /", "GET a", "GET /a b", " /", "GET  /"] {
            assert!(http(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_json_is_a_file_or_nothing() {
        assert!(matches!(Given::read("{\"a\": 1}"), Ok(Given::Inline(event)) if event == b"{\"a\": 1}"));
        let file = tempfile::NamedTempFile::new().expect("a file");
        let read = Given::read(&file.path().to_string_lossy());
        assert!(matches!(read, Ok(Given::File { content, .. }) if content.is_empty()));
        for wrong in ["{\"a\": 1", "no-such-file.json", &"{".repeat(300)] {
            assert!(matches!(Given::read(wrong), Err(EventError::Neither { .. })), "{wrong}");
        }
    }
}
