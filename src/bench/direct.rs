//! The layer's php-fpm without a runtime: started as the bootstrap starts it, called over FastCGI.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::BenchError;
use super::fastcgi::{Answer, End};
use super::moment::Moment;
use super::role;
use super::stage::{Running, Stage};
use crate::emulator::Function;

/// How long a wait lasts before it is asked whether to go on.
const LOOK: Duration = Duration::from_millis(50);

pub struct Direct {
    running: Running,
    socket: PathBuf,
    timeout: Duration,
}

/// One request's way.
#[derive(Debug)]
pub struct Call {
    connected: Moment,
    answered: Moment,
    pub status: u16,
}

impl Direct {
    /// Starts it. Its first call may be made at once: the socket holds it until there is a worker.
    pub fn start(stage: &Stage, function: &Function) -> Result<Self, BenchError> {
        let socket = stage.seen_from_here(role::SOCKET);
        // The one before has left its name there.
        let _ = fs_err::remove_file(&socket);
        // Nobody listens at the address of the Runtime API, and php-fpm does not ask.
        let nowhere = std::net::SocketAddr::from(([127, 0, 0, 1], 9));
        let running = stage.start(&Stage::environment(function, nowhere))?;
        Ok(Self { running, socket, timeout: function.timeout })
    }

    /// One request on a connection of its own, as a web server makes it.
    pub fn call(&self, request: &[u8]) -> Result<Call, BenchError> {
        let end = Moment::now().after(self.timeout);
        let go_on = || {
            self.running.check()?;
            if Moment::now() > end {
                return Err(BenchError::Silent { limit: self.timeout, log: self.running.last_lines() });
            }
            Ok(())
        };
        self.running.check()?;
        let connected = Moment::now();
        let stream = UnixStream::connect(&self.socket).map_err(BenchError::io("connect to php-fpm"))?;
        let (answer, end) = exchange(stream, request, go_on)?;
        let answered = Moment::now();
        match end {
            Some(End::Served) => Ok(Call { connected, answered, status: answer.status() }),
            Some(End::Refused) | None => Err(BenchError::PhpFpm { log: self.running.last_lines() }),
        }
    }

    /// From the exec of php-fpm to the first answer.
    pub fn since_exec(&self, call: &Call) -> Duration {
        call.answered.since(self.running.exec)
    }
}

impl Call {
    /// From the connection to the end of the answer.
    pub fn response(&self) -> Duration {
        self.answered.since(self.connected)
    }
}

/// Writes and reads as the other side allows, in one thread: PHP may print before it has read everything. The end is
/// missing where the connection closed before it.
fn exchange(
    mut stream: UnixStream,
    mut request: &[u8],
    mut go_on: impl FnMut() -> Result<(), BenchError>,
) -> Result<(Answer, Option<End>), BenchError> {
    let failed = BenchError::io("talk to php-fpm");
    let mut talk = || {
        stream.set_nonblocking(true)?;
        let mut answer = Answer::default();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match stream.write(request) {
                Ok(count) => request = &request[count..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // It may have answered all the same.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => request = &[],
                Err(error) => return Err(error),
            }
            let more = if request.is_empty() { PollFlags::empty() } else { PollFlags::OUT };
            if !ready(&stream, PollFlags::IN | more)? {
                if let Err(error) = go_on() {
                    return Ok(Err(error));
                }
                continue;
            }
            match stream.read(&mut buffer) {
                Ok(0) => return Ok(Ok((answer, None))),
                Ok(count) => {
                    let end = answer.feed(&buffer[..count]).map_err(|_| io::Error::other("it speaks no FastCGI"))?;
                    if end.is_some() {
                        return Ok(Ok((answer, end)));
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(Ok((answer, None))),
                Err(error) => return Err(error),
            }
        }
    };
    talk().map_err(failed)?
}

/// Waits a while.
fn ready(stream: &UnixStream, flags: PollFlags) -> io::Result<bool> {
    let patience = Timespec { tv_sec: 0, tv_nsec: LOOK.subsec_nanos().into() };
    match poll(&mut [PollFd::new(stream, flags)], Some(&patience)) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn with_peer(
        request: &[u8],
        peer: impl FnOnce(UnixStream) + Send + 'static,
    ) -> Result<(Answer, Option<End>), BenchError> {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let thread = thread::spawn(move || peer(theirs));
        let result = exchange(ours, request, || Ok(()));
        thread.join().unwrap();
        result
    }

    /// The records of an answer: `hello`, and the end.
    const HELLO: &[u8] = b"\x01\x06\0\x01\0\x05\0\0hello\x01\x03\0\x01\0\x08\0\0\0\0\0\0\0\0\0\0";

    #[test]
    fn a_peer_that_prints_before_it_reads_stops_nobody() {
        let request = vec![7; 3_000_000];
        let (answer, end) = with_peer(&request, |mut peer| {
            // More than the socket holds, before a byte is read.
            for _ in 0..20 {
                let mut record = b"\x01\x06\0\x01\xff\xff\0\0".to_vec();
                record.resize(8 + 0xffff, b'x');
                peer.write_all(&record).unwrap();
            }
            peer.read_exact(&mut vec![0; 3_000_000]).unwrap();
            peer.write_all(HELLO).unwrap();
        })
        .unwrap();
        assert_eq!((answer.output.len(), end), (20 * 0xffff + 5, Some(End::Served)));
    }

    #[test]
    fn a_peer_that_closes_early_leaves_no_end() {
        let (answer, end) = with_peer(b"x", |mut peer| peer.write_all(&HELLO[..13]).unwrap()).unwrap();
        assert_eq!((answer.output.as_slice(), end), (&b"hello"[..], None));
        let other = with_peer(b"x", |mut peer| peer.write_all(b"HTTP/1.1 400").unwrap());
        assert!(matches!(other, Err(BenchError::Io { .. })));
    }
}
