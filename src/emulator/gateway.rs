//! HTTP in, one event after the other through an instance, HTTP out.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use super::http::{Body, Connection, Request, Response};
use super::http_api::{self, BODY_LIMIT, Client};
use super::{EmulatorError, Instance, InvokeOptions, LogSink, Outcome, PAYLOAD_LIMIT, Stop};

/// How often the wish to stop is looked at while nobody asks for anything.
const LOOK: Duration = Duration::from_millis(100);

/// A port that is listened on, so that clients may connect before the function is up.
pub struct Gateway {
    listener: TcpListener,
    pub address: SocketAddr,
}

/// A request on its way to the instance, and where its answer goes.
struct Job {
    request: Request,
    body: Vec<u8>,
    peer: SocketAddr,
    answer: Sender<Response>,
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
    pub fn run(self, instance: &mut Instance, sink: &LogSink, stop: &Stop) -> Result<(), EmulatorError> {
        let (jobs, waiting) = channel();
        let listener = self.listener;
        // Ends with the process: a listener that sits in accept holds nothing else.
        thread::spawn(move || {
            for stream in listener.incoming().filter_map(Result::ok) {
                let jobs = jobs.clone();
                thread::spawn(move || serve(stream, &jobs));
            }
        });
        while !stop.wished() {
            match waiting.recv_timeout(LOOK) {
                Ok(job) => {
                    let response = handle(instance, &job, self.address.port(), sink)?;
                    // Who has gone away needs no answer.
                    let _ = job.answer.send(response);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(())
    }
}

/// One client's connection: each request waits for its answer.
fn serve(stream: TcpStream, jobs: &Sender<Job>) {
    let Ok(mut connection) = Connection::new(stream, BODY_LIMIT) else { return };
    loop {
        let mut request = match connection.read() {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(error) => {
                if let Some(status) = error.status() {
                    let _ = connection.answer_and_close(&message(status, "Bad Request"));
                }
                return;
            }
        };
        let body = std::mem::replace(&mut request.body, Body::Whole(Vec::new()));
        let response = match body {
            Body::TooLarge { .. } => message(413, "Request Entity Too Large"),
            Body::Whole(body) => {
                let (answer, answered) = channel();
                let job = Job { request: request.clone(), body, peer: connection.peer, answer };
                match jobs.send(job).ok().and_then(|()| answered.recv().ok()) {
                    Some(response) => response,
                    None => return,
                }
            }
        };
        if !connection.answer(&request, &response).unwrap_or(false) {
            return;
        }
    }
}

/// What the gateway makes of one request; whatever the function does wrong is told in the log, not to the client.
fn handle(instance: &mut Instance, job: &Job, port: u16, sink: &LogSink) -> Result<Response, EmulatorError> {
    let client = Client { address: job.peer.ip(), port, request_id: super::instance::uuid()? };
    let event = http_api::event(&job.request, &job.body, &client);
    if event.len() as u64 > PAYLOAD_LIMIT {
        sink(&format!("The request makes an event of {} bytes; Lambda takes {PAYLOAD_LIMIT}", event.len()));
        return Ok(message(413, "Request Entity Too Large"));
    }
    let invocation = instance.invoke(event.as_bytes(), &InvokeOptions::default())?;
    let mut response = match &invocation.outcome {
        Outcome::Response(payload) => http_api::answer(payload).unwrap_or_else(|malformed| {
            sink(&format!("The response cannot be sent: {malformed}"));
            message(502, "Internal Server Error")
        }),
        _ => {
            sink(&String::from_utf8_lossy(&invocation.payload()));
            message(502, "Internal Server Error")
        }
    };
    response.headers.0.push(("Apigw-Requestid".into(), client.request_id));
    Ok(response)
}

/// What API Gateway itself says.
fn message(status: u16, text: &str) -> Response {
    Response::json(status, serde_json::json!({ "message": text }).to_string())
}
