//! What stands before a function that is a website: static files from a folder, as S3 has them behind CloudFront, all
//! else from `phplayer serve`.
#![allow(clippy::unwrap_used, reason = "a test helper fails its test")]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use fs_err as fs;

/// What a static file is, by its suffix.
const KINDS: [(&str, &str); 10] = [
    ("css", "text/css"),
    ("gif", "image/gif"),
    ("ico", "image/x-icon"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript"),
    ("mp3", "audio/mpeg"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("ttf", "font/ttf"),
    ("woff2", "font/woff2"),
];

/// It lives as long as the test's process: a listener that sits in accept holds nothing else.
pub struct Front {
    /// Where visitors find the site, without a slash at its end. Known before the function is started, as a domain is.
    pub home: String,
    behind: Arc<Mutex<Behind>>,
}

#[derive(Default)]
struct Behind {
    files: PathBuf,
    /// Where `phplayer serve` answers, once it does.
    server: String,
    /// Sent with every request in place of the visitor's own.
    cookies: Option<String>,
}

impl Front {
    /// `files`: the folder that the site's paths begin at.
    pub fn listen(files: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let home = format!("http://{}", listener.local_addr().unwrap());
        let behind = Arc::new(Mutex::new(Behind { files: files.to_owned(), ..Behind::default() }));
        let shared = Arc::clone(&behind);
        thread::spawn(move || {
            for visitor in listener.incoming().filter_map(Result::ok) {
                let shared = Arc::clone(&shared);
                // A visitor who goes away is no fault of the site.
                thread::spawn(move || pass(visitor, &shared).ok());
            }
        });
        Self { home, behind }
    }

    /// `url`: what `phplayer serve` says.
    pub fn pass_to(&self, url: &str) {
        self.behind.lock().unwrap().server = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
    }

    /// Every visitor is who has these cookies, so that a program without hands can see what is behind a login.
    pub fn log_everybody_in(&self, cookies: &str) {
        self.behind.lock().unwrap().cookies = Some(cookies.to_owned());
    }
}

/// One request of one connection, and its answer.
fn pass(visitor: TcpStream, behind: &Mutex<Behind>) -> io::Result<()> {
    let mut reader = BufReader::new(visitor.try_clone()?);
    let mut visitor = visitor;
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let Some(target) = line.split(' ').nth(1).map(str::to_owned) else { return Ok(()) };
    let (file, server, cookies) = {
        let behind = behind.lock().unwrap();
        (file(&behind.files, &target), behind.server.parse::<SocketAddr>(), behind.cookies.clone())
    };
    let mut head = line.into_bytes();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        let (name, value) = line.split_once(':').unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "connection" => continue,
            "cookie" if cookies.is_some() => continue,
            "content-length" => length = value.trim().parse().unwrap_or_default(),
            _ => {}
        }
        head.extend_from_slice(line.as_bytes());
    }
    if let Some((kind, bytes)) = file {
        let length = bytes.len();
        write!(
            visitor,
            "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
        )?;
        return visitor.write_all(if head.starts_with(b"HEAD ") { &[] } else { &bytes });
    }
    if let Some(cookies) = cookies {
        write!(head, "Cookie: {cookies}\r\n")?;
    }
    head.extend_from_slice(b"Connection: close\r\n\r\n");
    let mut server = TcpStream::connect(server.map_err(io::Error::other)?)?;
    server.write_all(&head)?;
    io::copy(&mut reader.take(length), &mut server)?;
    io::copy(&mut server, &mut visitor)?;
    Ok(())
}

/// A static file of the site and its kind; scripts and what has no known suffix are the function's.
fn file(files: &Path, target: &str) -> Option<(&'static str, Vec<u8>)> {
    let path = target.split(['?', '#']).next()?.trim_start_matches('/');
    let suffix = path.rsplit_once('.')?.1;
    let (_, kind) = KINDS.iter().find(|(known, _)| *known == suffix)?;
    let inside = !path.split('/').any(|part| part == "..");
    Some((kind, fs::read(files.join(path)).ok().filter(|_| inside)?))
}
