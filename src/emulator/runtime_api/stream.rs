//! A response that the runtime posts piece by piece, handed on as it comes.

use std::io::{self, Write};

use super::said::{accepted, streamed_error, too_large};
use super::{Event, Shared, State, Wish};
use crate::emulator::http::{Headers, ReadError, Request, Response};
use crate::emulator::{Outcome, STREAM_LIMIT};

/// A post under way. What is written to it goes to the caller.
pub struct Stream<'a> {
    shared: &'a Shared,
    request_id: String,
    size: u64,
}

impl Shared {
    /// The stream that this request opens: it is the response to the event at work, and the caller takes pieces.
    pub fn stream(&self, request: &Request) -> Option<Stream<'_>> {
        let id = streamed_response(request)?;
        let mut state = self.state();
        match &*state {
            State::Busy(task) if task.request_id == id && task.wish == Wish::Pieces => {}
            _ => return None,
        }
        *state = State::Streaming { request_id: id.to_owned() };
        let _ = self.events.send(Event::Began { content_type: content_type(request) });
        Some(Stream { shared: self, request_id: id.to_owned(), size: 0 })
    }

    /// A streamed response broke off before its end; any other kind may be posted again.
    pub fn truncated(&self, request: &Request) {
        if let Some(id) = streamed_response(request) {
            self.conclude(id, || (Outcome::Truncated, accepted()));
        }
    }
}

impl Stream<'_> {
    /// Decides the event's outcome; the answer to the runtime, if it can still hear one.
    pub fn end(self, read: Result<(), ReadError>, trailers: &Headers) -> Option<Response> {
        let size = self.size;
        let (outcome, response) = match (read, streamed_error(trailers)) {
            (Err(_), _) if size > STREAM_LIMIT => {
                (Outcome::ResponseTooLarge { size, limit: STREAM_LIMIT }, Some(too_large(size)))
            }
            (Err(_), _) => (Outcome::Truncated, None),
            (Ok(()), Some(error)) => (error, Some(accepted())),
            (Ok(()), None) => (Outcome::Streamed { size }, Some(accepted())),
        };
        let mut state = self.shared.state();
        if matches!(*state, State::Streaming { .. }) {
            *state = State::Answered { request_id: self.request_id };
            let _ = self.shared.events.send(Event::Answered(outcome));
            self.shared.changed.notify_all();
        }
        response
    }
}

impl Write for Stream<'_> {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.size += piece.len() as u64;
        if self.size > STREAM_LIMIT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        // Nobody listens any more once the sandbox is being ended.
        self.shared.events.send(Event::Piece(piece.to_owned())).map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the runtime says that it streams.
pub fn content_type(request: &Request) -> String {
    request.headers.get("content-type").unwrap_or("application/octet-stream").to_owned()
}

/// The event that this request streams a response to, if it does.
fn streamed_response(request: &Request) -> Option<&str> {
    let path = request.path().strip_prefix("/2018-06-01/runtime/invocation/")?;
    let id = path.strip_suffix("/response")?;
    let mode = request.headers.get("lambda-runtime-function-response-mode");
    (request.method == "POST" && mode == Some("streaming")).then_some(id)
}
