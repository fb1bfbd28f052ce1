//! One client's connection: each request waits for its answer.

use std::io;
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};

use super::{InvokeMode, Job, Reply};
use crate::emulator::front::{Front, Refusal};
use crate::emulator::http::{Body, Connection, Request};
use crate::emulator::page::Page;

/// What every connection knows.
pub struct Door {
    pub front: Front,
    pub mode: InvokeMode,
    pub page: Option<Page>,
}

impl Door {
    /// Until the client closes, or the answer to it breaks off.
    pub fn serve(&self, stream: TcpStream, jobs: &Sender<Job>) {
        let Ok(mut connection) = Connection::new(stream, self.front.body_limit()) else { return };
        loop {
            let request = match connection.read() {
                Ok(Some(request)) => request,
                Ok(None) => return,
                Err(error) => {
                    if let Some(status) = error.status() {
                        let _ = connection.answer_and_close(&self.front.refusal(Refusal::NotHttp(status)));
                    }
                    return;
                }
            };
            if !self.answer(&mut connection, request, jobs).unwrap_or(false) {
                return;
            }
        }
    }

    /// True when the connection may carry another request.
    fn answer(&self, connection: &mut Connection, mut request: Request, jobs: &Sender<Job>) -> io::Result<bool> {
        if let Some(response) = self.page.as_ref().and_then(|page| page.answer(&request)) {
            return connection.answer(&request, &response);
        }
        let body = match std::mem::replace(&mut request.body, Body::Whole(Vec::new())) {
            Body::TooLarge { .. } => {
                return connection.answer(&request, &self.front.refusal(Refusal::TooLarge));
            }
            Body::Whole(body) => body,
        };
        let (replies, answered) = channel();
        let job = Job { request: request.clone(), body, peer: connection.peer, replies };
        // Whoever took jobs has stopped, as has all else.
        let Ok(()) = jobs.send(job) else { return Ok(false) };
        let Ok(Reply::Taken) = answered.recv() else { return Ok(false) };
        match self.first(&answered) {
            Some(Reply::Whole(response)) => connection.answer(&request, &response),
            Some(Reply::Begin(head)) => {
                let mut outgoing = connection.begin(&request, &head)?;
                loop {
                    match answered.recv() {
                        Ok(Reply::Piece(bytes)) => outgoing.send(&bytes)?,
                        Ok(Reply::End) => return outgoing.finish(),
                        _ => return Ok(false),
                    }
                }
            }
            _ => Ok(false),
        }
    }

    /// What the answer begins with, if the front has the patience to wait for it.
    fn first(&self, answered: &Receiver<Reply>) -> Option<Reply> {
        match (self.mode, self.front.patience()) {
            (InvokeMode::Buffered, Some(patience)) => match answered.recv_timeout(patience) {
                Err(RecvTimeoutError::Timeout) => Some(Reply::Whole(self.front.refusal(Refusal::TimedOut))),
                Err(RecvTimeoutError::Disconnected) => None,
                Ok(reply) => Some(reply),
            },
            (InvokeMode::ResponseStream, _) | (_, None) => answered.recv().ok(),
        }
    }
}
