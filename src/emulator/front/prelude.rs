//! The prelude of a streamed HTTP response: JSON that says status and headers, eight NUL bytes, and then the body.

use serde_json::Value;

use super::answer::{self, Malformed};
use crate::emulator::http::Head;

/// The content type of a stream that has one.
pub const CONTENT_TYPE: &str = "application/vnd.awslambda.http-integration-response";

const END: [u8; 8] = [0; 8];

/// Finds the prelude's end in a stream that comes in pieces of any size: the NUL bytes may be in two of them.
#[derive(Debug, Default)]
pub struct Reader {
    held: Vec<u8>,
}

impl Reader {
    /// The prelude and what of the body has come with it, once its end has.
    pub fn push(&mut self, piece: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
        let from = self.held.len().saturating_sub(END.len() - 1);
        self.held.extend_from_slice(piece);
        let at = from + self.held[from..].windows(END.len()).position(|window| window == END)?;
        let body = self.held.split_off(at + END.len());
        self.held.truncate(at);
        Some((std::mem::take(&mut self.held), body))
    }
}

/// `{"statusCode": 200, "headers": {…}, "multiValueHeaders": {…}, "cookies": […]}`, each of them optional.
pub fn head(prelude: &[u8]) -> Result<Head, Malformed> {
    let value: Value = serde_json::from_slice(prelude).map_err(|_| Malformed::NotJson)?;
    let given = value.as_object().ok_or(Malformed::NotAnObject)?;
    let status = given.get("statusCode").map_or(Ok(200), answer::status)?;
    let mut headers = answer::merged(&value)?;
    headers.extend(answer::cookies(&value["cookies"])?);
    let mut head = answer::own_framing(answer::head(status, headers)?);
    answer::content_type(&mut head.headers, "application/octet-stream");
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_found_however_the_stream_is_cut() {
        let whole = b"{\"a\":1}\0\0\0\0\0\0\0\0\0body\0";
        for first in 0..whole.len() {
            for second in first..whole.len() {
                let mut reader = Reader::default();
                let mut found = None;
                let mut body = Vec::new();
                for piece in [&whole[..first], &whole[first..second], &whole[second..]] {
                    match &found {
                        Some(_) => body.extend_from_slice(piece),
                        None => {
                            if let Some((prelude, start)) = reader.push(piece) {
                                found = Some(prelude);
                                body = start;
                            }
                        }
                    }
                }
                assert_eq!(found.as_deref(), Some(&b"{\"a\":1}"[..]), "{first} {second}");
                assert_eq!(body, b"\0body\0", "{first} {second}");
            }
        }
        assert!(Reader::default().push(b"{}\0\0\0\0\0\0\0").is_none());
    }

    #[test]
    fn a_prelude_is_a_head() {
        let head = head(
            br#"{"statusCode":201,"headers":{"Content-Type":"text/html","Content-Length":"3"},"cookies":["a=1","b=2"],
                 "multiValueHeaders":{"Link":["x","y"]}}"#,
        )
        .unwrap();
        let sent: Vec<_> = head.headers.0.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        assert_eq!(sent, ["Link: x", "Link: y", "Content-Type: text/html", "Set-Cookie: a=1", "Set-Cookie: b=2"]);
        assert_eq!(head.status, 201);
    }

    #[test]
    fn an_empty_prelude_is_a_200_and_nonsense_is_named() {
        assert_eq!(head(b"{}").unwrap().status, 200);
        for (prelude, expected) in [
            ("", Malformed::NotJson),
            ("[]", Malformed::NotAnObject),
            (r#"{"statusCode":1}"#, Malformed::Status("1".into())),
            (r#"{"cookies":"a=1"}"#, Malformed::Cookies),
        ] {
            assert_eq!(head(prelude.as_bytes()).unwrap_err(), expected);
        }
    }
}
