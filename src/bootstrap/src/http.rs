//! Http mode: an event is a request, php-fpm answers it.

mod route;

use crate::answer::{Answer, FunctionError, InitError, Reason};
use crate::cgi;
use crate::event::Request;
use crate::fpm::{Fpm, NoAnswer, Stopped};
use crate::handler::Site;
use std::time::{Duration, Instant};

use crate::invocation::{Context, Invocation, Patience};
use crate::log::{Level, Log};
use crate::response::{Head, OUTPUT_LIMIT, Response};
use crate::runtime_api::{ApiError, Reply, Stream};
use crate::settings::{ClientAddress, Responses, Settings, Stage};
use route::{Route, Router};

pub struct Http {
    router: Router,
    fpm: Fpm,
    log: Log,
    responses: Responses,
    client_address: ClientAddress,
    stage: Stage,
}

impl Http {
    /// With php-fpm up, and the application compiled where a path to warm it up is given.
    pub fn start(site: Site, settings: &Settings, log: &Log) -> Result<Self, InitError> {
        let router = Router::new(site).map_err(|error| InitError::NoHandler {
            handler: settings.handler.clone(),
            looked_at: vec![format!("{} ({error})", settings.task_root.display())],
        })?;
        let mut http = Http {
            router,
            fpm: Fpm::start(&settings.memory, log)?,
            log: log.clone(),
            responses: settings.responses,
            client_address: settings.client_address,
            stage: settings.stage,
        };
        if let Some(path) = &settings.warmup {
            http.warm_up(path);
        }
        Ok(http)
    }

    /// Requests a path and drops the answer. A failure is logged: the events may fare better.
    fn warm_up(&mut self, path: &str) {
        let request = Request::local(path);
        let Route::Script(script) = self.router.route(&request.path) else {
            return self.log.say(Level::Warn, &format!("PHPLAYER_WARMUP: no script answers {path}"));
        };
        let params = cgi::params(&request, &script, &Context::default());
        let mut output = Vec::new();
        let patience = Patience::until(Instant::now() + WARMUP_LIMIT);
        let result = self.fpm.request(&params, &[], patience, &mut |bytes| keep(&mut output, bytes));
        let problem = match result {
            Ok(()) => match Response::parse(&output).head.status {
                ..500 => return,
                status => format!("the answer was {status}"),
            },
            Err(no_answer) => explain(&no_answer).1,
        };
        self.log.say(Level::Warn, &format!("PHPLAYER_WARMUP {path}: {problem}"));
    }

    /// The whole answer, ours where PHP has none.
    fn buffered(&mut self, request: &Request, invocation: &Invocation) -> Response {
        let script = match self.router.route(&request.path) {
            Route::Script(script) => script,
            other => return without_script(&other, request),
        };
        let params = cgi::params(request, &script, &invocation.context);
        let mut output = Vec::new();
        match self.fpm.request(&params, &request.body, invocation.patience, &mut |bytes| keep(&mut output, bytes)) {
            Ok(()) => Response::parse(&output),
            Err(no_answer) => self.failed(&no_answer),
        }
    }

    /// The answer as PHP prints it.
    fn streamed(&mut self, request: &Request, invocation: &Invocation, reply: Reply<'_>) -> Result<(), ApiError> {
        let script = match self.router.route(&request.path) {
            Route::Script(script) => script,
            other => return send_streamed(&without_script(&other, request), request, reply),
        };
        let mut params = cgi::params(request, &script, &invocation.context);
        // PHP's own buffer would hold back what the script flushes.
        params.push("PHP_VALUE", "output_buffering=0");
        let mut sending = Some(Sending::Head { seen: Vec::new(), reply });
        let result = self.fpm.request(&params, &request.body, invocation.patience, &mut |bytes| {
            sending = sending.take().map(|sending| sending.take_in(bytes, request));
        });
        match (sending, result) {
            (Some(Sending::Body { stream, .. }), Ok(())) => stream.finish(),
            (Some(Sending::Body { stream, .. }), Err(no_answer)) => {
                let (reason, message) = (no_answer.reason(), explain(&no_answer).1);
                stream.fail(&FunctionError::new(reason, message))
            }
            // A script that printed no empty line printed a head only.
            (Some(Sending::Head { seen, reply }), Ok(())) => send_streamed(&Response::parse(&seen), request, reply),
            (Some(Sending::Head { reply, .. }), Err(no_answer)) => {
                send_streamed(&self.failed(&no_answer), request, reply)
            }
            (None, _) => unreachable!("it is only taken to be put back"),
        }
    }

    /// Logs why there is no answer, and says it to the client.
    fn failed(&self, no_answer: &NoAnswer) -> Response {
        let (status, message) = explain(no_answer);
        self.log.say(Level::Error, &message);
        Response::plain(status, &message)
    }
}

/// Lambda's limit for the whole start is 10 seconds, of which php-fpm's own start is the smaller part.
const WARMUP_LIMIT: Duration = Duration::from_secs(8);

/// How far a streamed answer has come.
enum Sending<'a> {
    /// Its head is not complete.
    Head { seen: Vec<u8>, reply: Reply<'a> },
    Body {
        stream: Stream<'a>,
        /// HEAD, 204 and the like: what the script prints is dropped.
        bodiless: bool,
    },
}

impl Sending<'_> {
    fn take_in(self, bytes: &[u8], request: &Request) -> Self {
        match self {
            Sending::Head { mut seen, reply } => {
                keep(&mut seen, bytes);
                let Some((head, body)) = Head::split(&seen) else { return Sending::Head { seen, reply } };
                if let Err(refused) = head.check(request.front) {
                    let response = Response::plain(500, &refused.to_string());
                    let mut stream = reply.stream(&response.head.prelude(request.front));
                    stream.write(&response.body);
                    return Sending::Body { stream, bodiless: true };
                }
                let mut stream = reply.stream(&head.prelude(request.front));
                let bodiless = head.is_bodiless(&request.method);
                if !bodiless {
                    stream.write(body);
                }
                Sending::Body { stream, bodiless }
            }
            Sending::Body { mut stream, bodiless } => {
                if !bodiless {
                    stream.write(bytes);
                }
                Sending::Body { stream, bodiless }
            }
        }
    }
}

/// A whole answer in the form of a streamed one: the front that waits for a stream reads no other.
fn send_streamed(response: &Response, request: &Request, reply: Reply<'_>) -> Result<(), ApiError> {
    let mut stream = reply.stream(&response.head.prelude(request.front));
    if !response.head.is_bodiless(&request.method) {
        stream.write(&response.body);
    }
    stream.finish()
}

/// The script may go on printing to its end: a closed connection would leave it running unseen. What is beyond all limits
/// is dropped, and the answer surely refused.
fn keep(output: &mut Vec<u8>, bytes: &[u8]) {
    let room = OUTPUT_LIMIT.saturating_sub(output.len());
    output.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

impl Answer for Http {
    fn answer(&mut self, invocation: &Invocation, reply: Reply<'_>) -> Result<(), ApiError> {
        let mut request = match Request::parse(&invocation.event) {
            Ok(request) => request,
            Err(problem) => return reply.whole(Err(FunctionError::new(Reason::InvalidEvent, problem.to_string()))),
        };
        if self.client_address == ClientAddress::Loopback {
            request.client = None;
        }
        if self.stage == Stage::Strip {
            request.strip_stage();
        }
        if self.responses == Responses::Streamed && request.front.streams() {
            return self.streamed(&request, invocation, reply);
        }
        let response = self.buffered(&request, invocation);
        let shaped = response.shape(request.front, &request.method).unwrap_or_else(|refused| {
            self.log.say(Level::Error, &refused.to_string());
            Response::plain(500, &refused.to_string()).to_json(request.front, &request.method).into_bytes()
        });
        reply.whole(Ok(shaped))
    }

    fn after_restore(&mut self) -> Result<(), InitError> {
        self.fpm.renew()
    }
}

impl NoAnswer {
    /// For a response whose head is gone already.
    fn reason(&self) -> Reason {
        match self {
            NoAnswer::Deadline(_) => Reason::Timeout,
            _ => Reason::WorkerExit,
        }
    }
}

/// The status and the sentence for a request that PHP did not answer: a client gets an HTTP response even so.
fn explain(no_answer: &NoAnswer) -> (u16, String) {
    match no_answer {
        NoAnswer::Deadline(Stopped::ByItself) => {
            (504, "PHP did not answer before the function's timeout. The log says where it was.".to_owned())
        }
        NoAnswer::Deadline(Stopped::Killed) => (504, "PHP did not answer before the function's timeout.".to_owned()),
        NoAnswer::WorkerDied => (502, "The PHP process died before it answered.".to_owned()),
        NoAnswer::MasterDied(status) => (502, format!("php-fpm ended with {status} before it answered.")),
        NoAnswer::NotTaken => (502, "php-fpm did not take the request.".to_owned()),
        NoAnswer::Io(error) => (502, format!("php-fpm could not be asked: {error}.")),
    }
}

/// The answer where no script is asked.
fn without_script(route: &Route, request: &Request) -> Response {
    match route {
        Route::AddSlash => redirect_to_folder(request),
        Route::NotFound => Response::plain(404, "Not found."),
        Route::BadPath | Route::Script(_) => Response::plain(400, "The path is not valid."),
    }
}

/// Relative links of a folder's page only work below `/folder/`. The new place is relative too: what stands before may be a
/// stage's name that we do not see, and `//host/…` would be another site's.
fn redirect_to_folder(request: &Request) -> Response {
    let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
    let folder = request.path.rsplit('/').next().unwrap_or_default();
    let mut response = Response::plain(301, "Moved permanently.");
    response.head.headers.push(("Location".into(), format!("./{folder}/{query}")));
    response
}
