//! From the function's response, streamed or not, to the client's answer.

use std::sync::mpsc::Sender;

use super::Reply;
use crate::emulator::front::{Front, Malformed, Refusal, prelude};
use crate::emulator::http::Head;
use crate::emulator::{Invocation, Outcome, ResponseStream};

/// So much of a streamed response is kept for people to look at, in bytes.
const SHOWN: usize = 64 * 1024;

/// A response under way to the client.
pub struct Passing<'a> {
    front: Front,
    marks: Vec<(String, String)>,
    replies: &'a Sender<Reply>,
    stage: Stage,
    shown: Vec<u8>,
}

/// How far a streamed response is.
enum Stage {
    /// Nothing has come.
    Start,
    /// The prelude is not whole yet.
    Prelude(prelude::Reader),
    /// The client has the head, with this status.
    Body { status: u16 },
    /// No head could be made of it, so the rest is of no use.
    Broken(Malformed),
}

/// What the client gets.
pub struct Sent {
    /// What remains to be said to it; nothing where its answer is cut.
    pub last: Option<Reply>,
    /// None where the answer is cut.
    pub status: Option<u16>,
    pub malformed: Option<Malformed>,
    /// The beginning of what was streamed.
    pub shown: Vec<u8>,
}

impl<'a> Passing<'a> {
    /// `marks` are the front's own headers.
    pub fn new(front: Front, marks: Vec<(String, String)>, replies: &'a Sender<Reply>) -> Self {
        Self { front, marks, replies, stage: Stage::Start, shown: Vec::new() }
    }

    /// Decides the answer to what has not been answered, or the end of what has been begun.
    pub fn finish(mut self, invocation: &Invocation) -> Sent {
        let whole = match (&invocation.outcome, std::mem::replace(&mut self.stage, Stage::Start)) {
            (Outcome::Streamed { .. }, Stage::Body { status }) => {
                let last = Some(Reply::End);
                return Sent { last, status: Some(status), malformed: None, shown: self.shown };
            }
            // Nobody says the end: the client sees that something is missing.
            (_, Stage::Body { .. }) => return Sent { last: None, status: None, malformed: None, shown: self.shown },
            (Outcome::Streamed { .. }, Stage::Broken(malformed)) => Err(Some(malformed)),
            (Outcome::Streamed { .. }, _) => Err(Some(Malformed::PreludeEnd)),
            (Outcome::Response(payload), _) => self.front.answer(payload).map_err(Some),
            (Outcome::Collected { content_type, body }, _) => self.front.collected(content_type, body).map_err(Some),
            _ => Err(None),
        };
        let (mut response, malformed) = match whole {
            Ok(response) => (response, None),
            Err(malformed) => (self.front.refusal(Refusal::FunctionFailed), malformed),
        };
        let status = Some(response.head.status);
        self.mark(&mut response.head);
        Sent { last: Some(Reply::Whole(response)), status, malformed, shown: self.shown }
    }

    fn head(&mut self, head: Result<Head, Malformed>) {
        self.stage = match head {
            Ok(mut head) => {
                let status = head.status;
                self.mark(&mut head);
                self.reply(Reply::Begin(head));
                Stage::Body { status }
            }
            Err(malformed) => Stage::Broken(malformed),
        };
    }

    fn mark(&self, head: &mut Head) {
        head.headers.0.extend(self.marks.iter().cloned());
    }

    fn reply(&self, reply: Reply) {
        // Who has gone away needs no answer.
        let _ = self.replies.send(reply);
    }
}

impl ResponseStream for Passing<'_> {
    fn begin(&mut self, content_type: &str) {
        match content_type {
            prelude::CONTENT_TYPE => self.stage = Stage::Prelude(prelude::Reader::default()),
            _ => self.head(self.front.bare_head()),
        }
    }

    fn piece(&mut self, bytes: Vec<u8>) {
        let room = SHOWN.saturating_sub(self.shown.len()).min(bytes.len());
        self.shown.extend_from_slice(&bytes[..room]);
        match &mut self.stage {
            Stage::Prelude(reader) => {
                if let Some((json, body)) = reader.push(&bytes) {
                    self.head(self.front.head(&json));
                    if matches!(self.stage, Stage::Body { .. }) {
                        self.reply(Reply::Piece(body));
                    }
                }
            }
            Stage::Body { .. } => self.reply(Reply::Piece(bytes)),
            Stage::Start | Stage::Broken(_) => {}
        }
    }
}
