//! As much of FastCGI 1.0 as one request to php-fpm needs. Source: the specification's sections 3.3 to 6.

/// The longest content of one record.
const RECORD_LIMIT: usize = 0xffff;
const VERSION: u8 = 1;
const BEGIN_REQUEST: u8 = 1;
const END_REQUEST: u8 = 3;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
const STDOUT: u8 = 6;
const STDERR: u8 = 7;

/// All bytes of a request with these CGI variables, after which the server is to close the connection.
pub fn request(params: &[(String, String)], body: &[u8]) -> Vec<u8> {
    let mut pairs = Vec::new();
    for (name, value) in params {
        for text in [name, value] {
            match u8::try_from(text.len()) {
                Ok(short) if short < 0x80 => pairs.push(short),
                _ => pairs.extend_from_slice(&(text.len() as u32 | 0x8000_0000).to_be_bytes()),
            }
        }
        pairs.extend_from_slice(name.as_bytes());
        pairs.extend_from_slice(value.as_bytes());
    }
    let mut out = Vec::with_capacity(pairs.len() + body.len() + 1024);
    // The first two bytes say responder; no flag asks to keep the connection.
    record(&mut out, BEGIN_REQUEST, &[0, 1, 0, 0, 0, 0, 0, 0]);
    for (kind, content) in [(PARAMS, pairs.as_slice()), (STDIN, body)] {
        content.chunks(RECORD_LIMIT).for_each(|piece| record(&mut out, kind, piece));
        record(&mut out, kind, &[]);
    }
    out
}

fn record(out: &mut Vec<u8>, kind: u8, content: &[u8]) {
    let [high, low] = (content.len() as u16).to_be_bytes();
    out.extend_from_slice(&[VERSION, kind, 0, 1, high, low, 0, 0]);
    out.extend_from_slice(content);
}

/// What a script printed, put together from the bytes of the connection as they come.
#[derive(Default)]
pub struct Answer {
    pending: Vec<u8>,
    pub output: Vec<u8>,
    /// What PHP logged.
    pub log: Vec<u8>,
    ended: Option<End>,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Served,
    /// The server had no worker for it, or did not understand it.
    Refused,
}

#[derive(Debug, PartialEq, Eq)]
pub struct NotFastCgi;

impl Answer {
    /// Takes the next bytes; says how the answer ended once it has.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<End>, NotFastCgi> {
        self.pending.extend_from_slice(bytes);
        let mut used = 0;
        while let [version, kind, _, _, high, low, padding, _, tail @ ..] = &self.pending[used..] {
            if *version != VERSION {
                return Err(NotFastCgi);
            }
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let Some(content) = tail.get(..length + usize::from(*padding)).map(|padded| &padded[..length]) else {
                break;
            };
            match *kind {
                STDOUT => self.output.extend_from_slice(content),
                STDERR => self.log.extend_from_slice(content),
                END_REQUEST => self.ended = Some(if content.get(4) == Some(&0) { End::Served } else { End::Refused }),
                _ => {}
            }
            used += 8 + length + usize::from(*padding);
        }
        self.pending.drain(..used);
        Ok(self.ended)
    }

    /// The status that the script gave, 200 where it gave none.
    pub fn status(&self) -> u16 {
        let head = String::from_utf8_lossy(&self.output);
        let head = head.split("\r\n\r\n").next().unwrap_or_default();
        let line = head.lines().find_map(|line| line.strip_prefix("Status:"));
        line.and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or(200)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn padded(kind: u8, content: &[u8], padding: u8) -> Vec<u8> {
        let mut out = Vec::new();
        record(&mut out, kind, content);
        out[6] = padding;
        out.extend(std::iter::repeat_n(0xaa, usize::from(padding)));
        out
    }

    #[test]
    fn a_request_is_begun_its_streams_ended_and_long_names_take_four_bytes() {
        let long = "v".repeat(200);
        let bytes = request(&[("A".into(), "b".into()), ("C".into(), long.clone())], b"body");
        let mut expected = vec![1, 1, 0, 1, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        expected.extend([1, 4, 0, 1, 0, 4 + 206, 0, 0, 1, 1, b'A', b'b', 1, 0x80, 0, 0, 200, b'C']);
        expected.extend(long.as_bytes());
        expected.extend([1, 4, 0, 1, 0, 0, 0, 0, 1, 5, 0, 1, 0, 4, 0, 0]);
        expected.extend(b"body");
        expected.extend([1, 5, 0, 1, 0, 0, 0, 0]);
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_body_over_a_records_limit_takes_two() {
        let bytes = request(&[], &vec![7; RECORD_LIMIT + 2]);
        // Begin, the end of the variables, two records, the end of the body.
        assert_eq!(bytes.len(), 16 + 8 + 8 + RECORD_LIMIT + 8 + 2 + 8);
        assert_eq!(&bytes[24..32], [1, 5, 0, 1, 0xff, 0xff, 0, 0]);
    }

    #[test]
    fn an_answer_is_the_same_however_its_bytes_arrive() {
        let mut bytes = padded(STDOUT, b"Status: 404 Not Found\r\nX: y\r\n\r", 1);
        bytes.extend(padded(STDERR, b"a notice", 7));
        bytes.extend(padded(STDOUT, b"\ngone", 0));
        bytes.extend(padded(STDOUT, b"", 0));
        bytes.extend(padded(END_REQUEST, &[0; 8], 0));
        for size in [1, 3, 8, 9, 1000] {
            let mut answer = Answer::default();
            let ends: Vec<_> = bytes.chunks(size).map(|piece| answer.feed(piece).unwrap()).collect();
            assert!(ends[..ends.len() - 1].iter().all(Option::is_none), "{size}");
            assert_eq!(ends.last(), Some(&Some(End::Served)));
            assert_eq!(answer.output, b"Status: 404 Not Found\r\nX: y\r\n\r\ngone");
            assert_eq!((answer.log.as_slice(), answer.status()), (&b"a notice"[..], 404));
        }
    }

    #[test]
    fn a_refusal_and_other_protocols_are_told_apart() {
        let overloaded = padded(END_REQUEST, &[0, 0, 0, 0, 2, 0, 0, 0], 0);
        assert_eq!(Answer::default().feed(&overloaded), Ok(Some(End::Refused)));
        assert_eq!(Answer::default().feed(b"HTTP/1.1 400 Bad"), Err(NotFastCgi));
        assert_eq!(Answer::default().status(), 200);
    }
}
