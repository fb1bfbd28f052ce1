//! What phplayer itself is inside the bench's sandboxes: the starter that tells the moment of the exec, and the floor.
//!
//! bubblewrap takes longer to make a sandbox than most runtimes take to start, and not always the same time. So it starts
//! this executable under one of the names below, which says when it hands over, and becomes what is measured.

use std::convert::Infallible;
use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode};

use fs_err as fs;

use super::moment::Moment;

/// Begins the line on stderr that tells the moment of the exec.
pub const STARTED: &str = "phplayer bench: exec at ";
/// Where the executable and its names are.
pub const FOLDER: &str = "/opt/phplayer-bench";
/// Where the php-fpm that is called directly listens.
pub const SOCKET: &str = "/tmp/phplayer-bench.sock";
/// What a layer of ours brings for http mode.
pub const PHP: &str = "/opt/bin/php";
pub const FPM_CONF: &str = "/opt/etc/php-fpm.conf";

/// Which of the three a sandbox is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The function's bootstrap.
    Subject,
    /// The layer's php-fpm, its socket handed over as the bootstrap does it.
    Direct,
    /// A bootstrap that does nothing.
    Floor,
    /// The floor after the exec.
    FloorItself,
}

impl Role {
    pub const ALL: [Role; 4] = [Role::Subject, Role::Direct, Role::Floor, Role::FloorItself];

    /// The name to be called by.
    pub fn name(self) -> &'static str {
        match self {
            Role::Subject => "phplayer-bench-subject",
            Role::Direct => "phplayer-bench-php-fpm",
            Role::Floor => "phplayer-bench-floor",
            Role::FloorItself => "floor",
        }
    }

    /// The path to be started by, in the sandbox.
    pub fn path(self) -> String {
        format!("{FOLDER}/{}", self.name())
    }

    /// Whether this program was called as one of them.
    pub fn of(argv0: &OsStr) -> Option<Self> {
        let name = Path::new(argv0).strip_prefix(FOLDER).ok()?;
        Role::ALL.into_iter().find(|role| name == Path::new(role.name()))
    }
}

pub fn main(role: Role) -> ExitCode {
    let failed = match role {
        Role::Subject => subject(),
        Role::Direct => direct(),
        Role::Floor => become_it(&mut Command::new(Role::FloorItself.path())),
        Role::FloorItself => floor(),
    };
    match failed {
        Ok(never) => match never {},
        Err(error) => {
            eprintln!("{}: {error}", role.name());
            ExitCode::FAILURE
        }
    }
}

/// Tells the moment, and is that program from then on.
fn become_it(command: &mut Command) -> io::Result<Infallible> {
    // One write, so that nothing gets between.
    let line = format!("{STARTED}{}\n", Moment::now().nanoseconds());
    io::stderr().write_all(line.as_bytes())?;
    Err(command.exec())
}

fn subject() -> io::Result<Infallible> {
    let own = "/var/task/bootstrap";
    let program = if fs::symlink_metadata(own).is_ok() { own } else { "/opt/bootstrap" };
    become_it(&mut Command::new(program))
}

/// As `src/bootstrap/src/fpm.rs` starts it.
fn direct() -> io::Result<Infallible> {
    let config = fs::read_to_string(FPM_CONF)?;
    let listener = UnixListener::bind(SOCKET)?;
    // php-fpm gets it by being born with it, under the same number.
    rustix::io::fcntl_setfd(&listener, rustix::io::FdFlags::empty())?;
    let mut command = Command::new(PHP);
    command
        .arg0("php-fpm")
        .args(["--nodaemonize", "--force-stderr", "--fpm-config", FPM_CONF, "--allow-to-run-as-root"])
        .args(["-d", "fastcgi.logging=0"])
        .env("FPM_SOCKETS", format!("{}={}", listen(&config), listener.as_raw_fd()));
    become_it(&mut command)
}

/// The value of `listen`, which is the key that a handed-over socket is found by.
fn listen(config: &str) -> &str {
    let values = config.lines().filter_map(|line| line.trim().strip_prefix("listen")?.trim_start().strip_prefix('='));
    values.map(str::trim).next_back().unwrap_or_default()
}

/// A runtime without a function: one kept connection, each event read whole and answered at once, nothing parsed but
/// where an event ends and whose it is.
fn floor() -> io::Result<Infallible> {
    let api = std::env::var("AWS_LAMBDA_RUNTIME_API").map_err(|_| io::Error::other("no AWS_LAMBDA_RUNTIME_API"))?;
    let mut stream = TcpStream::connect(&api)?;
    stream.set_nodelay(true)?;
    let next = format!("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: {api}\r\n\r\n");
    let body = r#"{"statusCode":200,"body":""}"#;
    let mut buffer = Vec::new();
    loop {
        stream.write_all(next.as_bytes())?;
        let head = read_reply(&mut stream, &mut buffer)?;
        let id = header(head, "lambda-runtime-aws-request-id").unwrap_or_default();
        let response = format!(
            "POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\nHost: {api}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(response.as_bytes())?;
        read_reply(&mut stream, &mut buffer)?;
    }
}

/// Reads one reply to its end; returns its head.
fn read_reply<'a>(stream: &mut TcpStream, buffer: &'a mut Vec<u8>) -> io::Result<&'a str> {
    let mut filled = 0;
    let mut end = None;
    buffer.resize(buffer.len().max(64 * 1024), 0);
    loop {
        if let Some((head, whole)) = end
            && filled >= whole
        {
            return std::str::from_utf8(&buffer[..head]).map_err(io::Error::other);
        }
        if filled == buffer.len() {
            buffer.resize(filled * 2, 0);
        }
        match stream.read(&mut buffer[filled..])? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
        if end.is_none()
            && let Some(at) = buffer[..filled].windows(4).position(|bytes| bytes == b"\r\n\r\n")
        {
            let text = std::str::from_utf8(&buffer[..at]).map_err(io::Error::other)?;
            let length: usize = header(text, "content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
            end = Some((at, at + 4 + length));
        }
    }
}

/// `name` in small letters.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let pairs = head.lines().filter_map(|line| line.split_once(':'));
    pairs.filter(|(given, _)| given.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_names_are_roles() {
        for role in Role::ALL {
            assert_eq!(Role::of(OsStr::new(&role.path())), Some(role));
        }
        for other in ["phplayer", "floor", "/usr/bin/floor", "/opt/phplayer-bench/phplayer"] {
            assert_eq!(Role::of(OsStr::new(other)), None, "{other}");
        }
    }

    #[test]
    fn the_key_of_the_socket_is_what_listen_says() {
        for (config, key) in [
            ("[www]\n; listen = no\nlisten = /tmp/a.sock\nlisten.backlog = 5\n", "/tmp/a.sock"),
            ("listen=/b", "/b"),
            ("[www]\n", ""),
        ] {
            assert_eq!(listen(config), key);
        }
    }

    #[test]
    fn headers_have_any_case() {
        let head = "HTTP/1.1 200 OK\r\nContent-length: 5\r\nLambda-Runtime-Aws-Request-Id:  a-b ";
        assert_eq!(header(head, "content-length"), Some("5"));
        assert_eq!(header(head, "lambda-runtime-aws-request-id"), Some("a-b"));
        assert_eq!(header(head, "x"), None);
    }
}
