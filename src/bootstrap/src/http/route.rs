//! From the path of a request to the script that answers it.

use std::io;
use std::path::{Path, PathBuf};

use crate::cgi::Script;
use crate::event::percent_decode;
use crate::handler::Site;

#[derive(Debug, PartialEq, Eq)]
pub enum Route {
    Script(Script),
    /// The path names a folder and lacks its `/`.
    AddSlash,
    NotFound,
    /// Not text, or with a NUL byte.
    BadPath,
}

pub enum Router {
    /// Root, and the name below it.
    One { root: String, name: String },
    /// The folder with all links resolved.
    Folder(PathBuf),
}

impl Router {
    pub fn new(site: Site) -> io::Result<Self> {
        match site {
            Site::FrontController(file) => {
                let (Some(root), Some(name)) = (file.parent(), file.file_name()) else {
                    return Err(io::ErrorKind::NotFound.into());
                };
                Ok(Router::One { root: text(root), name: format!("/{}", name.to_string_lossy()) })
            }
            Site::Folder(folder) => Ok(Router::Folder(folder.canonicalize()?)),
        }
    }

    /// `path`: percent-encoded, as in the request.
    pub fn route(&self, path: &str) -> Route {
        let Ok(path) = String::from_utf8(percent_decode(path)) else { return Route::BadPath };
        if path.contains('\0') {
            return Route::BadPath;
        }
        match self {
            Router::One { root, name } => Route::Script(front_controller(root, name, &path)),
            Router::Folder(root) => by_path(root, &path),
        }
    }
}

fn by_path(root: &Path, path: &str) -> Route {
    let segments = segments(path);
    let mut name = String::new();
    for (at, segment) in segments.iter().enumerate() {
        name.push('/');
        name.push_str(segment);
        if segment.ends_with(".php") && is_script(root, &name) {
            let mut rest: String = segments[at + 1..].iter().flat_map(|segment| ["/", segment]).collect();
            if at + 1 < segments.len() && path.ends_with('/') {
                rest.push('/');
            }
            return Route::Script(Script { root: text(root), name, path_info: rest });
        }
    }
    let index = format!("{name}/index.php");
    if !name.is_empty() && is_script(root, &index) {
        return match path.ends_with('/') {
            true => Route::Script(Script { root: text(root), name: index, path_info: String::new() }),
            false => Route::AddSlash,
        };
    }
    if is_script(root, "/index.php") {
        return Route::Script(front_controller(&text(root), "/index.php", path));
    }
    Route::NotFound
}

fn front_controller(root: &str, name: &str, path: &str) -> Script {
    let path_info = match path.strip_prefix(name) {
        Some(rest) if rest.is_empty() || rest.starts_with('/') => rest,
        _ if path == "/" => "",
        _ => path,
    };
    Script { root: root.to_owned(), name: name.to_owned(), path_info: path_info.to_owned() }
}

/// The parts of a path, with `.` and `..` worked in: nothing climbs above the root.
fn segments(path: &str) -> Vec<&str> {
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    segments
}

/// Whether a file is there, visible (no part begins with a dot), and in the folder even when links are resolved.
fn is_script(root: &Path, name: &str) -> bool {
    !name.contains("/.")
        && root.join(&name[1..]).canonicalize().is_ok_and(|file| file.starts_with(root) && file.is_file())
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct Folder(PathBuf);

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn in_a_folder_the_path_names_the_script() {
        let base = std::env::temp_dir().join(format!("phplayer-route-{}", std::process::id()));
        let cleanup = Folder(base.clone());
        let root = base.join("public");
        for file in ["index.php", "wp-login.php", "wp-admin/index.php", "style.css", ".git/x.php", "only/a.php"] {
            let file = root.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        fs::write(base.join("secret.php"), "").unwrap();
        std::os::unix::fs::symlink("../secret.php", root.join("link.php")).unwrap();
        let root = root.canonicalize().unwrap();
        let router = Router::new(Site::Folder(root.clone())).unwrap();
        let script = |name: &str, path_info: &str| {
            Route::Script(Script { root: text(&root), name: name.to_owned(), path_info: path_info.to_owned() })
        };
        for (path, expected) in [
            ("/", script("/index.php", "")),
            ("/index.php", script("/index.php", "")),
            ("/index.php/a/b", script("/index.php", "/a/b")),
            ("/wp-login.php", script("/wp-login.php", "")),
            ("/wp-login.php/x/", script("/wp-login.php", "/x/")),
            ("/wp-admin/", script("/wp-admin/index.php", "")),
            ("/wp-admin", Route::AddSlash),
            ("/style.css", script("/index.php", "/style.css")),
            ("/2026/hello%20world", script("/index.php", "/2026/hello world")),
            ("/../secret.php", script("/index.php", "/../secret.php")),
            ("/%2e%2e/secret.php", script("/index.php", "/../secret.php")),
            ("/link.php", script("/index.php", "/link.php")),
            ("/.git/x.php", script("/index.php", "/.git/x.php")),
            ("/only/../wp-login.php", script("/wp-login.php", "")),
            ("/a%00.php", Route::BadPath),
            ("/%ff", Route::BadPath),
        ] {
            assert_eq!(router.route(path), expected, "{path}");
        }
        drop(cleanup);
    }

    #[test]
    fn a_folder_without_an_index_has_nothing_for_other_paths() {
        let root = std::env::temp_dir().join(format!("phplayer-route-empty-{}", std::process::id()));
        let _cleanup = Folder(root.clone());
        fs::create_dir_all(&root).unwrap();
        assert_eq!(Router::new(Site::Folder(root)).unwrap().route("/x"), Route::NotFound);
    }

    #[test]
    fn a_front_controller_answers_every_path() {
        let router = Router::new(Site::FrontController("/var/task/public/app.php".into())).unwrap();
        for (path, path_info) in
            [("/", ""), ("/a", "/a"), ("/app.php", ""), ("/app.php/a", "/a"), ("/app.phpx", "/app.phpx")]
        {
            assert_eq!(
                router.route(path),
                Route::Script(Script {
                    root: "/var/task/public".into(),
                    name: "/app.php".into(),
                    path_info: path_info.into()
                })
            );
        }
    }
}
