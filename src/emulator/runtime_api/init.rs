//! What a runtime says before its first event: that it could not start, that it is ready for its snapshot.

use super::said::{accepted, error_type, refusal, wrong_state};
use super::{Event, Shared, State};
use crate::emulator::Initialization;
use crate::emulator::http::{Body, Request, Response};

impl Shared {
    pub fn init_error(&self, request: &Request) -> Response {
        self.fail(request, |state| matches!(state, State::Initialising))
    }

    pub fn restore_error(&self, request: &Request) -> Response {
        self.fail(request, |state| matches!(state, State::Restored))
    }

    /// The runtime gives up before its first event, if this is the time for it.
    fn fail(&self, request: &Request, in_time: impl FnOnce(&State) -> bool) -> Response {
        let mut state = self.state();
        if !in_time(&state) {
            return wrong_state();
        }
        *state = State::InitFailed;
        let body = match &request.body {
            Body::Whole(body) => body.clone(),
            Body::TooLarge { .. } => Vec::new(),
        };
        let _ = self.events.send(Event::InitFailed { error_type: error_type(&request.headers), body });
        accepted()
    }

    /// The snapshot is taken while the runtime waits here.
    pub fn restore_next(&self) -> Option<Response> {
        if self.initialization != Initialization::SnapStart {
            return Some(refusal(404, "NotFound", "this function has no SnapStart"));
        }
        let mut state = self.state();
        if !matches!(*state, State::Initialising) {
            return Some(wrong_state());
        }
        *state = State::Snapshot;
        let _ = self.events.send(Event::Snapshot);
        while matches!(*state, State::Snapshot) {
            state = self.wait(state);
        }
        match *state {
            State::Closed => None,
            _ => Some(Response::json(200, "{}")),
        }
    }
}
