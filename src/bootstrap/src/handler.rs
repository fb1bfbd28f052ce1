//! What `_HANDLER` names, and so which mode serves it.

use std::path::{Path, PathBuf};

use crate::answer::InitError;
use crate::settings::{Mode, Settings};

/// A handler that was found, and how it is served.
#[derive(Debug, PartialEq, Eq)]
pub enum Handler {
    Site(Site),
    Function(Function),
    Script(PathBuf),
}

/// A website.
#[derive(Debug, PartialEq, Eq)]
pub enum Site {
    /// One script answers every path, as in most frameworks.
    FrontController(PathBuf),
    /// The path names the script, as in WordPress.
    Folder(PathBuf),
}

/// A file, and the function in it to call if the file does not itself return what to call.
#[derive(Debug, PartialEq, Eq)]
pub struct Function {
    pub file: PathBuf,
    /// `None` for a handler that is a plain file name.
    pub name: Option<String>,
}

impl Handler {
    /// The mode is `PHPLAYER_MODE`, else what the handler looks like: a file with its suffix, or a folder, is a website.
    pub fn find(settings: &Settings) -> Result<Self, InitError> {
        let root = &settings.task_root;
        let handler = settings.handler.as_str();
        let named = root.join(handler);
        let mode = match settings.mode {
            Some(mode) => mode,
            None if named.is_dir() || handler.ends_with(".php") => Mode::Http,
            None => Mode::Function,
        };
        let missing = |looked_at: &[PathBuf]| InitError::NoHandler {
            handler: handler.to_owned(),
            looked_at: looked_at.iter().map(|path| path.display().to_string()).collect(),
        };
        match mode {
            Mode::Http if named.is_dir() => Ok(Handler::Site(Site::Folder(named))),
            Mode::Http if named.is_file() => Ok(Handler::Site(Site::FrontController(named))),
            Mode::Console if named.is_file() => Ok(Handler::Script(named)),
            Mode::Http | Mode::Console => Err(missing(&[named])),
            Mode::Function => {
                let candidates = candidates(root, handler);
                let found = candidates.iter().find(|candidate| candidate.file.is_file());
                match found {
                    Some(Function { file, name }) => {
                        Ok(Handler::Function(Function { file: file.clone(), name: name.clone() }))
                    }
                    None => Err(missing(&candidates.into_iter().map(|candidate| candidate.file).collect::<Vec<_>>())),
                }
            }
        }
    }
}

/// Where a function may be, in the order of preference: `index` is in `index.php` or `src/index.php`, `app.main` in
/// `app.php` or `src/app.php`.
fn candidates(root: &Path, handler: &str) -> Vec<Function> {
    if handler.ends_with(".php") {
        return vec![Function { file: root.join(handler), name: None }];
    }
    let (file, name) = match handler.rsplit_once('.') {
        Some((file, name)) => (file, name),
        None => (handler, handler.rsplit('/').next().unwrap_or(handler)),
    };
    [root.join(format!("{file}.php")), root.join("src").join(format!("{file}.php"))]
        .into_iter()
        .map(|file| Function { file, name: Some(name.to_owned()) })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct Task(PathBuf);

    impl Task {
        fn with(name: &str, files: &[&str]) -> Self {
            let root = std::env::temp_dir().join(format!("phplayer-handler-{}-{name}", std::process::id()));
            for file in files {
                let path = root.join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "").unwrap();
            }
            Task(root)
        }

        fn find(&self, handler: &str, mode: Option<Mode>) -> Result<Handler, InitError> {
            let plain = Settings::from(|_| None).unwrap();
            Handler::find(&Settings { task_root: self.0.clone(), handler: handler.to_owned(), mode, ..plain })
        }
    }

    impl Drop for Task {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn the_handler_tells_its_mode() {
        let task = Task::with("mode", &["index.php", "public/index.php", "src/app.php", "lib/x.php"]);
        let site = |path: &str| Handler::Site(Site::FrontController(task.0.join(path)));
        let function = |path: &str, name: Option<&str>| {
            Handler::Function(Function { file: task.0.join(path), name: name.map(str::to_owned) })
        };
        for (handler, mode, expected) in [
            ("index.php", None, site("index.php")),
            ("public/index.php", Some(Mode::Http), site("public/index.php")),
            ("public", None, Handler::Site(Site::Folder(task.0.join("public")))),
            ("public/", None, Handler::Site(Site::Folder(task.0.join("public/")))),
            ("index", None, function("index.php", Some("index"))),
            ("app", None, function("src/app.php", Some("app"))),
            ("app.main", None, function("src/app.php", Some("main"))),
            ("lib/x.main", None, function("lib/x.php", Some("main"))),
            ("lib/x", None, function("lib/x.php", Some("x"))),
            ("index.php", Some(Mode::Function), function("index.php", None)),
            ("index.php", Some(Mode::Console), Handler::Script(task.0.join("index.php"))),
        ] {
            assert_eq!(task.find(handler, mode).unwrap(), expected, "{handler} {mode:?}");
        }
    }

    #[test]
    fn a_missing_handler_says_where_it_was_looked_for() {
        let task = Task::with("missing", &["index.php"]);
        let message = task.find("app.main", None).unwrap_err().to_string();
        assert!(message.contains("/app.php, ") && message.ends_with("/src/app.php"), "{message}");
        assert!(task.find("other.php", None).unwrap_err().to_string().starts_with("no handler `other.php`"));
    }
}
