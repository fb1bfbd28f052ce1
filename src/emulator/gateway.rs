//! HTTP in, one event after the other through an instance, HTTP out.

mod client;
mod passing;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use super::front::{Client, Front, Refusal};
use super::history::{Answered, History};
use super::http::{Head, Request, Response};
use super::instance::{trace_root, uuid};
use super::page::Page;
use super::watch::Watch;
use super::{EmulatorError, Instance, Invocation, InvokeOptions, LogSink, Outcome, PAYLOAD_LIMIT, Stop};
use client::Door;
use passing::{Passing, Sent};

/// How often the wish to stop is looked at while nobody asks for anything.
const LOOK: Duration = Duration::from_millis(100);

/// A port that is listened on, so that clients may connect before the function is up.
pub struct Gateway {
    listener: TcpListener,
    pub address: SocketAddr,
}

/// How a front calls the function, in AWS's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum InvokeMode {
    /// It waits for the whole response, streamed or not.
    #[default]
    Buffered,
    /// It passes a streamed response on as it comes.
    ResponseStream,
}

/// How a function is served.
#[derive(Debug, Default)]
pub struct Serving {
    pub front: Front,
    pub mode: InvokeMode,
    /// What the page at `/__phplayer` shows; none for no page.
    pub history: Option<Arc<History>>,
    pub reload: Reload,
}

/// Whether a change in the function's code is looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reload {
    /// Yes: the next request gets a fresh execution environment.
    OnChange,
    #[default]
    Never,
}

/// A request on its way to the instance, and where its answer goes.
struct Job {
    request: Request,
    body: Vec<u8>,
    peer: SocketAddr,
    replies: Sender<Reply>,
}

/// What a client is answered with. If no more comes before an [`Reply::End`], the answer is cut.
enum Reply {
    /// It is the request's turn now.
    Taken,
    Whole(Response),
    Begin(Head),
    Piece(Vec<u8>),
    End,
}

/// The one who gives requests to an instance.
struct Desk<'a> {
    instance: &'a mut Instance,
    serving: &'a Serving,
    port: u16,
    sink: &'a LogSink,
}

impl Gateway {
    /// Listens on loopback only; port 0 takes a free one.
    pub fn bind(port: u16) -> Result<Self, EmulatorError> {
        let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).and_then(|listener| {
            let address = listener.local_addr()?;
            Ok(Self { listener, address })
        });
        bound.map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => EmulatorError::PortInUse { port },
            _ => EmulatorError::Port { port, source },
        })
    }

    /// Serves until a stop is wished. Requests that come together wait for each other: an instance takes one event.
    ///
    /// Whatever the function does, the next request is served.
    pub fn run(
        self,
        instance: &mut Instance,
        serving: &Serving,
        sink: &LogSink,
        stop: &Stop,
    ) -> Result<(), EmulatorError> {
        let watch = match serving.reload {
            Reload::OnChange => Some(Watch::start(&instance.function().task)),
            Reload::Never => None,
        };
        let (jobs, waiting) = channel();
        let page = serving.history.clone().map(|history| Page::new(history, instance.function(), serving.front));
        // A stream may last as long as the function runs.
        let patience = match serving.mode {
            InvokeMode::Buffered => serving.front.patience(),
            InvokeMode::ResponseStream => None,
        };
        let door = Arc::new(Door { front: serving.front, patience, page });
        let listener = self.listener;
        // Ends with the process: a listener that sits in accept holds nothing else.
        thread::spawn(move || {
            for stream in listener.incoming().filter_map(Result::ok) {
                let (door, jobs) = (Arc::clone(&door), jobs.clone());
                thread::spawn(move || door.serve(stream, &jobs));
            }
        });
        let mut desk = Desk { instance, serving, port: self.address.port(), sink };
        while !stop.wished() {
            match waiting.recv_timeout(LOOK) {
                Ok(job) => {
                    desk.renew_if_changed(watch.as_ref())?;
                    desk.handle(&job)?;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(())
    }
}

impl Desk<'_> {
    fn renew_if_changed(&mut self, watch: Option<&Watch>) -> Result<(), EmulatorError> {
        let Some(changed) = watch.and_then(Watch::changed) else { return Ok(()) };
        self.say(&format!("{} has changed: a fresh execution environment", changed.display()));
        match self.instance.renew() {
            Err(EmulatorError::Interrupted) => Err(EmulatorError::Interrupted),
            // The request is about to meet the same, and its client hears of it.
            Err(error) => {
                self.say(&error.to_string());
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    /// One request; whatever the function does wrong is told in the log, not to the client.
    fn handle(&mut self, job: &Job) -> Result<(), EmulatorError> {
        let front = self.serving.front;
        // Who has gone away needs no answer.
        let reply = |reply| drop(job.replies.send(reply));
        reply(Reply::Taken);
        let client = Client {
            address: job.peer.ip(),
            port: self.port,
            request_id: uuid()?,
            trace: trace_root()?,
            region: self.instance.function().region.clone(),
        };
        let event = front.event(&job.request, &job.body, &client);
        if event.len() as u64 > PAYLOAD_LIMIT {
            self.say(&format!("The request makes an event of {} bytes; Lambda takes {PAYLOAD_LIMIT}", event.len()));
            reply(Reply::Whole(front.refusal(Refusal::TooLarge)));
            return Ok(());
        }
        if let Some(history) = &self.serving.history {
            history.begin(&job.request.method, &job.request.target, &event);
        }
        let options = InvokeOptions { trace: Some(client.trace.clone()), ..InvokeOptions::default() };
        let mut passing = Passing::new(front, front.marks(&client), &job.replies);
        let invoked = match self.serving.mode {
            InvokeMode::Buffered => self.instance.invoke(event.as_bytes(), &options),
            InvokeMode::ResponseStream => self.instance.invoke_streaming(event.as_bytes(), &options, &mut passing),
        };
        let invocation = match invoked {
            Ok(invocation) => invocation,
            Err(EmulatorError::Interrupted) => return Err(EmulatorError::Interrupted),
            Err(error) => {
                self.say(&error.to_string());
                if let Some(history) = &self.serving.history {
                    history.give_up();
                }
                reply(Reply::Whole(front.refusal(Refusal::FunctionFailed)));
                return Ok(());
            }
        };
        let sent = passing.finish(&invocation);
        if let Some(malformed) = &sent.malformed {
            self.say(&format!("The response cannot be sent: {malformed}"));
        }
        if invocation.outcome.error_type().is_some() {
            self.say(&String::from_utf8_lossy(&invocation.payload()));
        }
        self.remember(&invocation, &sent);
        // Last, so that whoever has the answer finds the rest told.
        if let Some(last) = sent.last {
            reply(last);
        }
        Ok(())
    }

    fn remember(&self, invocation: &Invocation, sent: &Sent) {
        let Some(history) = &self.serving.history else { return };
        let payload = invocation.payload();
        let (response, size) = match &invocation.outcome {
            Outcome::Streamed { size } => (sent.shown.as_slice(), usize::try_from(*size).unwrap_or(usize::MAX)),
            _ => (payload.as_slice(), payload.len()),
        };
        let malformed = sent.malformed.as_ref().map(ToString::to_string);
        history.end(&Answered { invocation, status: sent.status, response, size, malformed });
    }

    fn say(&self, line: &str) {
        (self.sink)(line);
    }
}
