//! One job budget for all steps: each step holds one token, and the makes inside share the rest.

use std::ffi::OsString;
use std::io;
use std::process::Command;

use jobserver::{Acquired, Client};

/// A GNU make jobserver of our own.
pub(super) struct Jobs {
    client: Client,
}

impl Jobs {
    /// `count` processes at once.
    pub fn new(count: usize) -> io::Result<Self> {
        Ok(Self { client: Client::new(count.max(1))? })
    }

    /// Waits for a token; it goes back when dropped. A make is given one for granted: this is it.
    pub fn take(&self) -> io::Result<Acquired> {
        self.client.acquire()
    }

    /// Lets a child, and what it starts, inherit the jobserver's pipe.
    pub fn lender(&self) -> impl Fn(&mut Command) + Send + Sync + 'static {
        let client = self.client.clone();
        move |command| client.configure_make(command)
    }

    /// The same as variables, for a sandbox that clears its environment.
    pub fn environment(&self) -> Vec<(String, OsString)> {
        let mut probe = Command::new("make");
        self.client.configure_make(&mut probe);
        let set = probe.get_envs().filter_map(|(name, value)| Some((name.to_str()?.to_owned(), value?.to_owned())));
        set.filter(|(name, _)| name == "MAKEFLAGS").collect()
    }
}
