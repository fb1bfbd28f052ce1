//! What Lambda's environment says: where the function is, what its handler is called, where the Runtime API listens.

use std::env;
use std::fmt;
use std::path::PathBuf;

/// The layer's one PHP executable; as which SAPI it runs, it sees in the name it is started under.
pub const PHP: &str = "/opt/bin/php";

pub struct Settings {
    /// `host:port` of the Runtime API.
    pub api: String,
    /// The function's folder, `/var/task`.
    pub task_root: PathBuf,
    /// `_HANDLER`: for example `index.php`, `public/`, `index`, `src/app.main`.
    pub handler: String,
    /// `PHPLAYER_MODE`, as the user wrote it.
    pub mode: Option<String>,
}

/// The process was not started by Lambda or by something that acts like it.
#[derive(Debug)]
pub struct MissingVariable(&'static str);

impl Settings {
    pub fn from_environment() -> Result<Self, MissingVariable> {
        let required = |name| env::var(name).map_err(|_| MissingVariable(name));
        Ok(Settings {
            api: required("AWS_LAMBDA_RUNTIME_API")?,
            task_root: env::var_os("LAMBDA_TASK_ROOT").map_or_else(|| "/var/task".into(), PathBuf::from),
            handler: required("_HANDLER")?,
            mode: env::var("PHPLAYER_MODE").ok().filter(|mode| !mode.is_empty()),
        })
    }
}

impl fmt::Display for MissingVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is not set: this program is started by Lambda, or by `phplayer invoke` and `phplayer serve`",
            self.0
        )
    }
}
