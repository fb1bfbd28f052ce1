//! Http mode: an event is a request, php-fpm answers it.

mod route;

use crate::answer::{Answer, FunctionError, InitError, Reason};
use crate::cgi;
use crate::event::Request;
use crate::fpm::{Fpm, NoAnswer};
use crate::handler::Site;
use crate::invocation::Invocation;
use crate::response::Response;
use crate::settings::Settings;
use route::{Route, Router};

pub struct Http {
    router: Router,
    fpm: Fpm,
}

impl Http {
    pub fn start(site: Site, settings: &Settings) -> Result<Self, InitError> {
        let router = Router::new(site).map_err(|error| InitError::NoHandler {
            handler: settings.handler.clone(),
            looked_at: vec![format!("{} ({error})", settings.task_root.display())],
        })?;
        Ok(Http { router, fpm: Fpm::start()? })
    }

    fn respond(&mut self, request: &Request, invocation: &Invocation) -> Response {
        let script = match self.router.route(&request.path) {
            Route::Script(script) => script,
            Route::AddSlash => return redirect_to_folder(request),
            Route::NotFound => return Response::plain(404, "Not found."),
            Route::BadPath => return Response::plain(400, "The path is not valid."),
        };
        let params = cgi::params(request, &script, invocation);
        match self.fpm.request(&params, &request.body, invocation.cut_off) {
            Ok(output) => Response::parse(&output),
            Err(no_answer) => {
                let (status, message) = explain(&no_answer);
                eprintln!("{}\t{message}", invocation.id);
                Response::plain(status, &message)
            }
        }
    }
}

impl Answer for Http {
    fn answer(&mut self, invocation: &Invocation) -> Result<Vec<u8>, FunctionError> {
        let request = Request::parse(&invocation.event)
            .map_err(|problem| FunctionError::new(Reason::InvalidEvent, problem.to_string()))?;
        Ok(self.respond(&request, invocation).shape(request.front, &request.method))
    }
}

/// The status and the sentence for a request that PHP did not answer: a client gets an HTTP response even so.
fn explain(no_answer: &NoAnswer) -> (u16, String) {
    match no_answer {
        NoAnswer::Deadline => (504, "PHP did not answer before the function's timeout.".to_owned()),
        NoAnswer::WorkerDied => (502, "The PHP process died before it answered.".to_owned()),
        NoAnswer::MasterDied(status) => (502, format!("php-fpm ended with {status} before it answered.")),
        NoAnswer::Io(error) => (502, format!("php-fpm could not be asked: {error}.")),
    }
}

/// Relative links of a folder's page only work below `/folder/`.
fn redirect_to_folder(request: &Request) -> Response {
    let query = if request.query.is_empty() { String::new() } else { format!("?{}", request.query) };
    let mut response = Response::plain(301, "Moved permanently.");
    response.headers.push(("Location".into(), format!("{}/{query}", request.path)));
    response
}
