//! Downloads over HTTP: short waits for hosts that do not answer, a second chance for those that stumble.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use ureq::http::Uri;

use super::{Reason, Setback, SourceError};

pub(super) struct Http {
    agent: ureq::Agent,
    /// Hosts that could not be reached in this run, and why: nobody waits for them again.
    unreachable: Mutex<HashMap<String, String>>,
    /// The wait before the first repetition; doubled for each further one.
    backoff: Duration,
}

const REPETITIONS: u32 = 2;

impl Http {
    /// Honours `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY`.
    pub fn new() -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(concat!("phplayer/", env!("CARGO_PKG_VERSION")))
            // A tarball must arrive as it is: undoing a content encoding would change its digest.
            .accept_encoding("identity")
            .timeout_resolve(Some(Duration::from_secs(5)))
            .timeout_connect(Some(Duration::from_secs(5)))
            .timeout_recv_response(Some(Duration::from_secs(30)))
            // A limit for each read, none for the whole: slow is fine, silent is not.
            .timeout_per_read(Some(Duration::from_secs(30)))
            .build();
        Self { agent: config.new_agent(), unreachable: Mutex::default(), backoff: Duration::from_millis(500) }
    }

    #[cfg(test)]
    pub fn impatient() -> Self {
        Self { backoff: Duration::ZERO, ..Self::new() }
    }

    /// Writes the file at `url` to `file`. `progress` is told the bytes had so far and the total, if the server says it.
    pub fn download(&self, url: &str, file: &Path, progress: &mut dyn FnMut(u64, Option<u64>)) -> Result<(), Setback> {
        let host = url.parse::<Uri>().ok().and_then(|uri| Some(uri.authority()?.as_str().to_owned()));
        let host = host.ok_or_else(|| Reason::Failed("this is no address".to_owned()))?;
        if let Some(why) = self.unreachable().get(&host) {
            return Err(Reason::Unreachable(why.clone()).into());
        }
        let mut repetition = 0;
        loop {
            match self.once(url, file, progress) {
                Err(Setback::There(reason)) if passing(&reason) && repetition < REPETITIONS => {
                    std::thread::sleep(self.backoff * 2u32.pow(repetition));
                    repetition += 1;
                }
                Err(Setback::There(Reason::Unreachable(why))) => {
                    self.unreachable().insert(host, why.clone());
                    return Err(Reason::Unreachable(why).into());
                }
                result => return result,
            }
        }
    }

    fn once(&self, url: &str, file: &Path, progress: &mut dyn FnMut(u64, Option<u64>)) -> Result<(), Setback> {
        let response = self.agent.get(url).call().map_err(reason)?;
        if !response.status().is_success() {
            return Err(Reason::Status(response.status().as_u16()).into());
        }
        let total = response.body().content_length();
        let mut body = response.into_body().into_reader();
        let wrong = |source| SourceError::writing(file, source);
        let mut target = fs_err::File::create(file).map_err(wrong)?;
        let mut buffer = [0; 64 * 1024];
        let mut done = 0;
        loop {
            let count = match body.read(&mut buffer) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(broken_off(error, done, total).into()),
            };
            if count == 0 {
                break;
            }
            target.write_all(&buffer[..count]).map_err(wrong)?;
            done += count as u64;
            progress(done, total);
        }
        match total {
            Some(expected) if done < expected => Err(Reason::Truncated { got: done, expected }.into()),
            _ => Ok(()),
        }
    }

    fn unreachable(&self) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
        self.unreachable.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// May the same request succeed a moment later?
fn passing(reason: &Reason) -> bool {
    match reason {
        Reason::Status(code) => *code >= 500 || *code == 429,
        Reason::TimedOut | Reason::Truncated { .. } => true,
        _ => false,
    }
}

fn broken_off(error: io::Error, got: u64, total: Option<u64>) -> Reason {
    match total {
        _ if error.kind() == io::ErrorKind::TimedOut => Reason::TimedOut,
        Some(expected) => Reason::Truncated { got, expected },
        None => Reason::Failed(format!("it broke off after {got} bytes: {error}")),
    }
}

fn reason(error: ureq::Error) -> Reason {
    use ureq::{Error, Timeout};
    match error {
        Error::HostNotFound => Reason::Unreachable("the host name is not known here".to_owned()),
        Error::ConnectionFailed => Reason::Unreachable("the host cannot be reached".to_owned()),
        Error::ConnectProxyFailed(why) => Reason::Unreachable(format!("the proxy refuses: {why}")),
        Error::Timeout(Timeout::Resolve | Timeout::Connect) => Reason::Unreachable("no answer in 5 s".to_owned()),
        Error::Timeout(_) => Reason::TimedOut,
        Error::Io(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => {
                Reason::Unreachable(error.to_string())
            }
            io::ErrorKind::TimedOut => Reason::TimedOut,
            // A name that cannot be resolved has no kind of its own in the standard library, only this text.
            _ if error.to_string().starts_with("failed to lookup address") => Reason::Unreachable(error.to_string()),
            _ => Reason::Failed(error.to_string()),
        },
        other => Reason::Failed(other.to_string()),
    }
}
