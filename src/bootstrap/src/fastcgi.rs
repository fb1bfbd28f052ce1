//! FastCGI 1.0 framing: the records of one request, and the records of its answer.

use std::io::IoSlice;

/// The longest content of one record.
const RECORD_LIMIT: usize = 0xffff;
const HEADER: usize = 8;
const VERSION: u8 = 1;
/// We use one request for each connection.
const REQUEST_ID: u16 = 1;

const BEGIN_REQUEST: u8 = 1;
const END_REQUEST: u8 = 3;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
const STDOUT: u8 = 6;
const STDERR: u8 = 7;
const GET_VALUES: u8 = 9;

/// CGI variables, encoded.
#[derive(Default)]
pub struct Params(Vec<u8>);

impl Params {
    pub fn push(&mut self, name: &str, value: &str) {
        push_length(&mut self.0, name.len());
        push_length(&mut self.0, value.len());
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(value.as_bytes());
    }
}

fn push_length(out: &mut Vec<u8>, length: usize) {
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        // Lambda's events have at most 6 MiB: 31 bits always do.
        _ => out.extend_from_slice(&(length as u32 | 0x8000_0000).to_be_bytes()),
    }
}

/// A request, which asks the server to close the connection after its answer. Its body is sent from where it stands.
pub struct Request<'a> {
    /// Up to the first record of the body.
    start: Vec<u8>,
    /// The body in records, each behind its header; the last is empty.
    records: Vec<([u8; HEADER], &'a [u8])>,
}

impl<'a> Request<'a> {
    pub fn new(params: &Params, body: &'a [u8]) -> Self {
        let mut start = Vec::with_capacity(params.0.len() + 64);
        // Role 1 is the responder; the flags are 0: do not keep the connection.
        push_record(&mut start, BEGIN_REQUEST, REQUEST_ID, &[0, 1, 0, 0, 0, 0, 0, 0]);
        for chunk in params.0.chunks(RECORD_LIMIT).chain([&[][..]]) {
            push_record(&mut start, PARAMS, REQUEST_ID, chunk);
        }
        let records = body.chunks(RECORD_LIMIT).chain([&[][..]]);
        Request { start, records: records.map(|chunk| (header(STDIN, REQUEST_ID, chunk), chunk)).collect() }
    }

    /// All its bytes, in order.
    pub fn pieces(&self) -> Vec<IoSlice<'_>> {
        let records = self.records.iter().flat_map(|(header, content)| [header.as_slice(), content]);
        [self.start.as_slice()].into_iter().chain(records).map(IoSlice::new).collect()
    }
}

/// A question that any worker answers at once: it tells that one is there.
pub fn ping() -> Vec<u8> {
    let mut asked = Params::default();
    asked.push("FCGI_MPXS_CONNS", "");
    let mut out = Vec::new();
    push_record(&mut out, GET_VALUES, 0, &asked.0);
    out
}

fn push_record(out: &mut Vec<u8>, kind: u8, id: u16, content: &[u8]) {
    out.extend_from_slice(&header(kind, id, content));
    out.extend_from_slice(content);
}

/// `content` fits into one record.
fn header(kind: u8, id: u16, content: &[u8]) -> [u8; HEADER] {
    let [id1, id0] = id.to_be_bytes();
    let [length1, length0] = (content.len() as u16).to_be_bytes();
    [VERSION, kind, id1, id0, length1, length0, 0, 0]
}

/// What a record of the answer brings.
#[derive(Debug, PartialEq, Eq)]
pub enum Part<'a> {
    Output(&'a [u8]),
    Log(&'a [u8]),
    /// The answer is complete. False where the server took no request, for want of a free worker.
    End {
        served: bool,
    },
}

#[derive(Debug, PartialEq, Eq)]
pub struct NotFastCgi;

/// Cuts the bytes of an answer into records, however they arrive.
#[derive(Default)]
pub struct Decoder {
    pending: Vec<u8>,
}

impl Decoder {
    /// Takes the next bytes and hands every complete part to `each`.
    pub fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(Part<'_>)) -> Result<(), NotFastCgi> {
        self.pending.extend_from_slice(bytes);
        let mut rest = self.pending.as_slice();
        while let [version, kind, _, _, length1, length0, padding, _, tail @ ..] = rest {
            if *version != VERSION {
                return Err(NotFastCgi);
            }
            let length = usize::from(u16::from_be_bytes([*length1, *length0]));
            let Some(padded) = tail.get(..length + usize::from(*padding)) else { break };
            let content = &padded[..length];
            match *kind {
                STDOUT if length > 0 => each(Part::Output(content)),
                STDERR if length > 0 => each(Part::Log(content)),
                END_REQUEST => each(Part::End { served: content.get(4) == Some(&0) }),
                // Empty records end a stream; other kinds are for those who asked.
                _ => {}
            }
            rest = &tail[padded.len()..];
        }
        let done = self.pending.len() - rest.len();
        self.pending.drain(..done);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, content: &[u8], padding: u8) -> Vec<u8> {
        let mut out = Vec::new();
        push_record(&mut out, kind, REQUEST_ID, content);
        out[6] = padding;
        out.extend(std::iter::repeat_n(0xee, usize::from(padding)));
        out
    }

    fn sent(request: &Request<'_>) -> Vec<u8> {
        request.pieces().iter().flat_map(|piece| piece.to_vec()).collect()
    }

    /// (output, log, end) of an answer that arrives in pieces of `size` bytes.
    fn decode(bytes: &[u8], size: usize) -> (Vec<u8>, Vec<u8>, Option<bool>) {
        let (mut decoder, mut output, mut log, mut end) = (Decoder::default(), Vec::new(), Vec::new(), None);
        for piece in bytes.chunks(size) {
            decoder
                .feed(piece, |part| match part {
                    Part::Output(bytes) => output.extend_from_slice(bytes),
                    Part::Log(bytes) => log.extend_from_slice(bytes),
                    Part::End { served } => end = Some(served),
                })
                .unwrap();
        }
        (output, log, end)
    }

    #[test]
    fn an_answer_is_the_same_in_pieces_of_any_size() {
        let mut bytes = record(STDOUT, b"Status: 200\r\n", 3);
        bytes.extend(record(STDERR, b"PHP message: oh", 0));
        bytes.extend(record(STDOUT, b"\r\nbody", 255));
        bytes.extend(record(STDOUT, b"", 0));
        bytes.extend(record(END_REQUEST, &[0; 8], 0));
        for size in [1, 2, 7, 8, 9, 1000] {
            let (output, log, end) = decode(&bytes, size);
            assert_eq!(output, b"Status: 200\r\n\r\nbody", "{size}");
            assert_eq!(log, b"PHP message: oh");
            assert_eq!(end, Some(true));
        }
    }

    #[test]
    fn a_refused_request_is_not_served() {
        assert_eq!(decode(&record(END_REQUEST, &[0, 0, 0, 0, 2, 0, 0, 0], 0), 4).2, Some(false));
    }

    #[test]
    fn bytes_that_are_no_fastcgi_are_refused() {
        assert_eq!(Decoder::default().feed(b"HTTP/1.1 400", |_| {}), Err(NotFastCgi));
    }

    #[test]
    fn lengths_above_127_take_four_bytes() {
        let mut params = Params::default();
        params.push("A", &"x".repeat(127));
        params.push("B", &"y".repeat(128));
        assert_eq!(&params.0[..3], [1, 127, b'A']);
        assert_eq!(&params.0[130..136], [1, 0x80, 0, 0, 128, b'B']);
    }

    #[test]
    fn long_bodies_are_cut_into_records_and_ended() {
        let out = sent(&Request::new(&Params::default(), &vec![b'z'; RECORD_LIMIT + 1]));
        let begin = HEADER + 8;
        let params_end = begin + HEADER;
        assert_eq!(&out[params_end..params_end + HEADER], [1, STDIN, 0, 1, 0xff, 0xff, 0, 0]);
        let second = params_end + HEADER + RECORD_LIMIT;
        assert_eq!(&out[second..second + HEADER], [1, STDIN, 0, 1, 0, 1, 0, 0]);
        assert_eq!(&out[second + HEADER + 1..], [1, STDIN, 0, 1, 0, 0, 0, 0]);
    }
}
