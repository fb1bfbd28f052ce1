//! One client's connection: each request waits for its answer.

use std::io;
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use super::{Job, Reply};
use crate::emulator::front::{Front, Refusal};
use crate::emulator::http::{Body, Connection, Request};
use crate::emulator::page::Page;

/// What every connection knows.
pub struct Door {
    pub front: Front,
    /// How long an answer may be waited for, once it is the request's turn.
    pub patience: Option<Duration>,
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
        let Some(patience) = self.patience else { return answered.recv().ok() };
        match answered.recv_timeout(patience) {
            Err(RecvTimeoutError::Timeout) => Some(Reply::Whole(self.front.refusal(Refusal::TimedOut))),
            Err(RecvTimeoutError::Disconnected) => None,
            Ok(reply) => Some(reply),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// What a client gets that asks twice, while nobody answers the first time.
    fn asked_twice(front: Front) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (jobs, waiting) = channel::<Job>();
        let door = Door { front, patience: Some(Duration::from_millis(50)), page: None };
        let desk = thread::spawn(move || {
            let first = waiting.recv().unwrap();
            // Waiting for its turn does not count.
            thread::sleep(Duration::from_millis(150));
            first.replies.send(Reply::Taken).unwrap();
            let second = waiting.recv().unwrap();
            second.replies.send(Reply::Taken).unwrap();
            let late = Reply::Whole(front.refusal(Refusal::FunctionFailed));
            let _ = first.replies.send(late);
            second.replies.send(Reply::Whole(front.refusal(Refusal::TooLarge))).unwrap();
        });
        let client = thread::spawn(move || {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\nConnection: close\r\n\r\n").unwrap();
            let mut answers = String::new();
            stream.read_to_string(&mut answers).unwrap();
            answers
        });
        door.serve(listener.accept().unwrap().0, &jobs);
        desk.join().unwrap();
        client.join().unwrap()
    }

    #[test]
    fn a_front_waits_so_long_and_no_longer() {
        for (front, status, words) in
            [(Front::V1, 504, "Endpoint request timed out"), (Front::V2, 503, "Service Unavailable")]
        {
            let answers = asked_twice(front);
            assert!(answers.starts_with(&format!("HTTP/1.1 {status} ")) && answers.contains(words), "{answers}");
            assert_eq!(answers.matches("HTTP/1.1 ").count(), 2, "the late answer is nobody's: {answers}");
            assert!(answers.contains("HTTP/1.1 413 "), "{answers}");
        }
    }
}
