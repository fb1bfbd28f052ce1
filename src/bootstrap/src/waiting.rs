//! Waiting for a socket, with a limit.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Whether `stream` can do what is asked, or has ended, before `limit` is over. An interruption counts as over: the caller
/// looks at its clock.
pub fn ready(stream: &impl AsFd, interest: PollFlags, limit: Duration) -> io::Result<bool> {
    let limit =
        Timespec { tv_sec: limit.as_secs().try_into().unwrap_or(i64::MAX), tv_nsec: limit.subsec_nanos().into() };
    match poll(&mut [PollFd::new(stream, interest)], Some(&limit)) {
        Ok(count) => Ok(count > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}
