//! The end of an environment, where it is announced: Lambda sends SIGTERM only to those that have registered an extension.
//!
//! Ours is an internal one that asks for no events. It costs a call at the start and lets Lambda wait half a second at the
//! end, so it is made only if the user asks for it (`PHPLAYER_SHUTDOWN=1`).

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::getpid;
use signal_hook::consts::SIGTERM;

use crate::connection::{Connection, Reply};
use crate::log::{Level, Log};
use crate::processes;

/// Lambda waits 500 ms for the runtime; a little is left for our own end.
const GRACE: Duration = Duration::from_millis(400);
const LOOK: Duration = Duration::from_millis(5);

/// Registers with the Extensions API (version 2020-01-01) and handles SIGTERM from then on.
pub fn announce(host: &str, log: Log) -> io::Result<()> {
    let (mut signalled, writer) = UnixStream::pair()?;
    signal_hook::low_level::pipe::register(SIGTERM, writer)?;
    thread::spawn(move || {
        if signalled.read_exact(&mut [0]).is_ok() {
            log.say(Level::Info, "SIGTERM: PHP is asked to end");
            end_php();
            std::process::exit(0);
        }
    });
    let mut connection = Connection::new(host.to_owned());
    let id = register(&mut connection)?;
    // Lambda waits for every extension's first question. There will be no answer: it gets no events.
    thread::spawn(move || {
        let headers = [("Lambda-Extension-Identifier", id.as_str())];
        connection.request("GET", "/2020-01-01/extension/event/next", &headers, b"")
    });
    Ok(())
}

fn register(connection: &mut Connection) -> io::Result<String> {
    let headers = [("Lambda-Extension-Name", "phplayer"), ("Content-Type", "application/json")];
    let reply = connection.request("POST", "/2020-01-01/extension/register", &headers, br#"{"events":[]}"#)?;
    match (reply.status, reply.header("Lambda-Extension-Identifier")) {
        (200, Some(id)) => Ok(id.to_owned()),
        _ => Err(refused(&reply)),
    }
}

fn refused(reply: &Reply) -> io::Error {
    let body = String::from_utf8_lossy(&reply.body);
    io::Error::other(format!("the extension was not registered: {} {body}", reply.status))
}

/// Lets php-fpm finish what it works on (SIGQUIT is its graceful stop) and other PHP run its own handlers, if it has any.
fn end_php() {
    let end = Instant::now() + GRACE;
    processes::ask_children_to_end(getpid());
    let anybody = || processes::descendants(getpid()).iter().any(|process| processes::is_alive(*process));
    while Instant::now() < end && anybody() {
        thread::sleep(LOOK);
    }
}
