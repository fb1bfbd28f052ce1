//! Just enough of the Extensions API (`/2020-01-01/extension`) for a runtime that registers itself as an internal
//! extension, so that it is told of its end.
//!
//! Such an extension gets no events. As on Lambda no event is delivered before it has asked for one, and once there is
//! one, the runtime gets SIGTERM before it is killed.

use serde_json::{Value, json};

use super::said::refusal;
use super::{Shared, State};
use crate::emulator::http::{Body, Request, Response};
use crate::emulator::{Function, instance};

#[derive(Debug)]
pub struct Extensions {
    name: String,
    handler: String,
    registered: Vec<Extension>,
}

#[derive(Debug)]
struct Extension {
    name: String,
    id: String,
    /// It has asked for its first event.
    ready: bool,
}

impl Extensions {
    pub fn of(function: &Function) -> Self {
        Self { name: function.name.clone(), handler: function.handler.clone(), registered: Vec::new() }
    }

    pub fn any(&self) -> bool {
        !self.registered.is_empty()
    }

    pub fn all_ready(&self) -> bool {
        self.registered.iter().all(|extension| extension.ready)
    }
}

impl Shared {
    pub fn register(&self, request: &Request) -> Response {
        let Some(name) = request.headers.get("lambda-extension-name").filter(|name| !name.is_empty()) else {
            return refusal(403, "Extension.InvalidExtensionName", "Lambda-Extension-Name is missing");
        };
        let Some(events) = events(&request.body) else {
            return refusal(400, "InvalidRequestFormat", "the body is not {\"events\": [...]}");
        };
        if let Some(event) = events.first() {
            let message = format!("{event}: an internal extension gets no events here");
            return refusal(403, "Extension.InvalidEventType", &message);
        }
        let state = self.state();
        let mut extensions = self.extensions();
        if !matches!(*state, State::Initialising) {
            return refusal(403, "Extension.RegistrationClosed", "extensions register before the first event");
        }
        if extensions.registered.iter().any(|known| known.name == name) {
            return refusal(403, "Extension.AlreadyRegistered", &format!("{name} is registered"));
        }
        let Ok(id) = instance::uuid() else {
            return refusal(500, "ServiceError", "no random id could be drawn");
        };
        extensions.registered.push(Extension { name: name.to_owned(), id: id.clone(), ready: false });
        let about =
            json!({ "functionName": extensions.name, "functionVersion": "$LATEST", "handler": extensions.handler });
        let mut response = Response::json(200, about.to_string());
        response.head.headers.0.push(("Lambda-Extension-Identifier".into(), id));
        response
    }

    /// Blocks until the end: there is nothing to be told before.
    pub fn extension_next(&self, request: &Request) -> Option<Response> {
        let id = request.headers.get("lambda-extension-identifier").unwrap_or_default();
        let mut state = self.state();
        let known = match self.extensions().registered.iter_mut().find(|known| known.id == id) {
            Some(extension) => {
                extension.ready = true;
                true
            }
            None => false,
        };
        if !known {
            let message = "Lambda-Extension-Identifier is missing or unknown";
            return Some(refusal(403, "Extension.InvalidExtensionIdentifier", message));
        }
        self.go_on(&mut state);
        while !matches!(*state, State::Closed) {
            state = self.wait(state);
        }
        None
    }
}

/// What the extension wants to hear of; an absent list is an empty one.
fn events(body: &Body) -> Option<Vec<String>> {
    let Body::Whole(body) = body else { return None };
    let value: Value = serde_json::from_slice(body).ok()?;
    match value.as_object()?.get("events") {
        None => Some(Vec::new()),
        Some(events) => events.as_array()?.iter().map(|event| event.as_str().map(str::to_owned)).collect(),
    }
}
