//! Fetching from places that fail in every way, with servers on loopback; nothing here needs a network.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use super::*;
use crate::progress::Silent;

const CONTENT: &[u8] = b"the very file";

/// What a server answers to everything.
#[derive(Clone, Copy)]
enum Answer {
    Whole(&'static [u8]),
    /// Promises so many bytes more than it sends.
    CutShort(&'static [u8]),
    Status(u16),
}

/// Serves until the test ends; counts the requests.
fn serve(answer: Answer) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let head = BufReader::new(stream.try_clone().unwrap()).lines();
            let request = head.map_while(Result::ok).take_while(|line| !line.is_empty()).next().unwrap_or_default();
            counter.fetch_add(1, Ordering::SeqCst);
            let (status, promised, body) = match answer {
                _ if request.contains(".asc") => (404, 0, &b""[..]),
                Answer::Whole(body) => (200, body.len(), body),
                Answer::CutShort(body) => (200, body.len() + 10, body),
                Answer::Status(status) => (status, 0, &b""[..]),
            };
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {promised}\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(&[head.as_bytes(), body].concat());
        }
    });
    (address, requests)
}

/// An address where nobody listens.
fn refusing() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn fetcher(store: &Path) -> Fetcher {
    Fetcher { http: Http::impatient(), ..Fetcher::new(store) }
}

fn pinned(urls: &[&str]) -> Pinned {
    let alternative = Alternative {
        sha256: Digest::of(CONTENT),
        urls: urls.iter().map(|url| format!("{url}/thing-1.0.tar.gz")).collect(),
        debian: None,
        python: None,
        signature: None,
    };
    Pinned { name: "thing".into(), version: "1.0".into(), alternatives: vec![alternative] }
}

/// Nothing but whole files on their shelves.
fn assert_tidy(store: &Path) {
    for entry in
        walkdir::WalkDir::new(store).into_iter().map(Result::unwrap).filter(|entry| entry.file_type().is_file())
    {
        let shelf = entry.path().parent().unwrap().file_name().unwrap().to_str().unwrap();
        assert_eq!(Digest::of_file(entry.path()).unwrap().to_string(), shelf);
    }
    for entry in fs_err::read_dir(store.join("sources")).into_iter().flatten() {
        let entry = entry.unwrap();
        assert!(!entry.file_name().to_string_lossy().starts_with('.'), "{} was left", entry.path().display());
    }
}

fn shown(error: SourceError, store: &Path) -> String {
    let mut text = String::new();
    miette::NarratableReportHandler::new().render_report(&mut text, &error).unwrap();
    let mut text = text.replace(&store.display().to_string(), "[store]");
    while let Some(start) = text.find("127.0.0.1:") {
        let end = text[start..].find('/').map_or(text.len(), |length| start + length);
        text.replace_range(start..end, "[host]");
    }
    text
}

#[test]
fn a_file_is_fetched_once_and_then_taken_from_the_store() {
    let store = tempfile::tempdir().unwrap();
    let (server, requests) = serve(Answer::Whole(CONTENT));
    let fetcher = fetcher(store.path());
    assert_eq!(fetcher.stored(&pinned(&[&server])), None);
    let first = fetcher.fetch(&pinned(&[&server]), &Silent).unwrap();
    assert_eq!(fs_err::read(&first.path).unwrap(), CONTENT);
    assert!(first.path.ends_with(format!("sources/{}/thing-1.0.tar.gz", Digest::of(CONTENT))));
    assert_eq!(fetcher.fetch(&pinned(&[&server]), &Silent).unwrap(), first);
    assert_eq!(fetcher.stored(&pinned(&[&server])), Some(first));
    assert_eq!(requests.load(Ordering::SeqCst), 1);
    assert_tidy(store.path());
}

#[test]
fn a_wrong_digest_is_told_and_nothing_stays() {
    let store = tempfile::tempdir().unwrap();
    let (server, _) = serve(Answer::Whole(b"another file"));
    let error = fetcher(store.path()).fetch(&pinned(&[&server]), &Silent).unwrap_err();
    assert_tidy(store.path());
    insta::assert_snapshot!(shown(error, store.path()), @r"
    thing 1.0 from http://[host]/thing-1.0.tar.gz is not the file that was pinned
      expected sha256 80284514436c6daf22424da4bea77cc250f631132a3b321ac2d705bc2276addc
      found    sha256 100ef6a71bac925f709fe9c114c60460bf6e472cfdb9d44bd8adf1698135260f
      store [store]/sources/80284514436c6daf22424da4bea77cc250f631132a3b321ac2d705bc2276addc: it is not there
        Diagnostic severity: error
    diagnostic help: if upstream really replaced the file, check why and pin the new digest; otherwise do not use it
    ");
}

#[test]
fn a_download_that_breaks_off_is_told_and_nothing_stays() {
    let store = tempfile::tempdir().unwrap();
    let (server, requests) = serve(Answer::CutShort(CONTENT));
    let error = fetcher(store.path()).fetch(&pinned(&[&server]), &Silent).unwrap_err();
    let SourceError::Unobtainable { tried, .. } = error else { panic!("{error:?}") };
    assert_eq!(tried[1].reason, Reason::Truncated { got: 13, expected: 23 });
    assert_eq!(requests.load(Ordering::SeqCst), 3, "it is tried again twice");
    assert_tidy(store.path());
}

#[test]
fn the_next_place_is_asked_after_each_kind_of_failure() {
    for bad in [Answer::Whole(b"wrong"), Answer::CutShort(b"w"), Answer::Status(404), Answer::Status(503)] {
        let store = tempfile::tempdir().unwrap();
        let (bad, _) = serve(bad);
        let (good, _) = serve(Answer::Whole(CONTENT));
        let fetched = fetcher(store.path()).fetch(&pinned(&[&refusing(), &bad, &good]), &Silent).unwrap();
        assert_eq!(fs_err::read(fetched.path).unwrap(), CONTENT);
        assert_tidy(store.path());
    }
}

#[test]
fn every_place_is_named_when_none_has_it() {
    let store = tempfile::tempdir().unwrap();
    let folder = store.path().join("tarballs");
    fs_err::create_dir(&folder).unwrap();
    let (absent, _) = serve(Answer::Status(404));
    let fetcher = Fetcher { debian: Debian::without_helper("http://mirror.example/debian"), ..fetcher(store.path()) }
        .sources_dir(Some(folder))
        .mirror(Some(format!("{absent}/mirror/")));
    let mut pinned = pinned(&[&refusing(), &absent]);
    pinned.alternatives[0].debian = Some("thing_1.0.orig.tar.gz".into());
    let error = fetcher.fetch(&pinned, &Silent).unwrap_err();
    insta::assert_snapshot!(shown(error, store.path()), @r"
    thing 1.0 is nowhere to be had
      store [store]/sources/80284514436c6daf22424da4bea77cc250f631132a3b321ac2d705bc2276addc: it is not there
      folder [store]/tarballs: it is not there
      http://[host]/thing-1.0.tar.gz: no connection: Connection refused (os error 111)
      http://[host]/thing-1.0.tar.gz: HTTP 404
      mirror http://[host]/mirror/thing-1.0.tar.gz: HTTP 404
      mirror http://[host]/mirror/thing_1.0.orig.tar.gz: HTTP 404
      Debian http://mirror.example/debian/pool/main/t/thing/thing_1.0.orig.tar.gz: `apt-helper` is not installed
        Diagnostic severity: error
    diagnostic help: PHPLAYER_SOURCES may name a folder that holds the file:
      thing-1.0.tar.gz  sha256 80284514436c6daf22424da4bea77cc250f631132a3b321ac2d705bc2276addc
    PHPLAYER_MIRROR may name an address below which it lies
    ");
}

#[test]
fn offline_asks_nobody() {
    let store = tempfile::tempdir().unwrap();
    let (server, requests) = serve(Answer::Whole(CONTENT));
    let error = fetcher(store.path()).offline(true).fetch(&pinned(&[&server]), &Silent).unwrap_err();
    assert_eq!(requests.load(Ordering::SeqCst), 0);
    insta::assert_snapshot!(shown(error, store.path()), @r"
    thing 1.0 is not at hand, and phplayer may not go online
      store [store]/sources/80284514436c6daf22424da4bea77cc250f631132a3b321ac2d705bc2276addc: it is not there
        Diagnostic severity: error
    diagnostic help: run `phplayer fetch` while online, or leave `--offline` off
    PHPLAYER_SOURCES may name a folder that holds the file:
      thing-1.0.tar.gz  sha256 80284514436c6daf22424da4bea77cc250f631132a3b321ac2d705bc2276addc
    ");
}

#[test]
fn a_folder_serves_by_name_and_by_digest() {
    for name in ["thing-1.0.tar.gz", "renamed.bin"] {
        let store = tempfile::tempdir().unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs_err::write(folder.path().join(name), CONTENT).unwrap();
        let fetcher = fetcher(store.path()).sources_dir(Some(folder.path().to_owned())).offline(true);
        let fetched = fetcher.fetch(&pinned(&["http://unused.example"]), &Silent).unwrap();
        assert!(fetched.path.starts_with(store.path()));
        assert_tidy(store.path());
    }
}

#[test]
fn a_wrong_file_in_the_folder_is_told() {
    let store = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    fs_err::write(folder.path().join("thing-1.0.tar.gz"), "an older one").unwrap();
    let fetcher = fetcher(store.path()).sources_dir(Some(folder.path().to_owned())).offline(true);
    let error = fetcher.fetch(&pinned(&["http://unused.example"]), &Silent).unwrap_err();
    let SourceError::Mismatch { place, found, .. } = error else { panic!("{error:?}") };
    assert_eq!((*place, found), (Place::Folder(folder.path().to_owned()), Digest::of(b"an older one")));
}

#[test]
fn a_damaged_file_in_the_store_is_fetched_anew() {
    let store = tempfile::tempdir().unwrap();
    let (server, _) = serve(Answer::Whole(CONTENT));
    let fetcher = fetcher(store.path());
    let path = fetcher.fetch(&pinned(&[&server]), &Silent).unwrap().path;
    // Under another name, as from another place: both must not end up side by side.
    fs_err::rename(&path, path.with_file_name("other-name")).unwrap();
    fs_err::write(path.with_file_name("other-name"), "rotten").unwrap();
    assert_eq!(fetcher.stored(&pinned(&[&server])), None);
    assert_eq!(fetcher.fetch(&pinned(&[&server]), &Silent).unwrap().path, path);
    assert_tidy(store.path());

    fs_err::write(&path, "rotten").unwrap();
    let error = fetcher.offline(true).fetch(&pinned(&[&server]), &Silent).unwrap_err();
    assert!(matches!(error, SourceError::Offline { .. }), "{error:?}");
}

#[test]
fn a_host_that_refuses_is_asked_once() {
    let store = tempfile::tempdir().unwrap();
    let fetcher = fetcher(store.path());
    let gone = refusing();
    let first = fetcher.fetch(&pinned(&[&gone]), &Silent).unwrap_err();
    assert!(matches!(first, SourceError::Unobtainable { .. }));
    // Now somebody listens there, and is not asked.
    let listener = TcpListener::bind(gone.trim_start_matches("http://")).unwrap();
    listener.set_nonblocking(true).unwrap();
    fetcher.fetch(&pinned(&[&gone]), &Silent).unwrap_err();
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn several_failures_are_told_together() {
    let store = tempfile::tempdir().unwrap();
    let (good, _) = serve(Answer::Whole(CONTENT));
    let (bad, _) = serve(Answer::Status(404));
    let mut other = pinned(&[&bad]);
    other.alternatives[0].sha256 = Digest::of(b"other");
    let fetcher = fetcher(store.path());
    let error = fetcher.fetch_all(&[other.clone(), pinned(&[&good]), other], &Silent).unwrap_err();
    assert!(matches!(error, SourceError::Several { errors } if errors.len() == 2));
    let fetched = fetcher.fetch_all(&vec![pinned(&[&good]); 9], &Silent).unwrap();
    assert_eq!(fetched.len(), 9);
    assert_tidy(store.path());
}

#[test]
fn many_fetch_the_same_file_at_once() {
    let store = tempfile::tempdir().unwrap();
    let (server, _) = serve(Answer::Whole(CONTENT));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            // A fetcher each, as separate processes have.
            scope.spawn(|| fetcher(store.path()).fetch(&pinned(&[&server]), &Silent).unwrap());
        }
    });
    assert_tidy(store.path());
}

#[test]
fn a_store_that_cannot_be_written_is_told() {
    let folder = tempfile::tempdir().unwrap();
    // A file in the way fails for root too, whom permissions do not stop.
    let store = folder.path().join("store");
    fs_err::write(&store, "").unwrap();
    let (server, requests) = serve(Answer::Whole(CONTENT));
    let error = fetcher(&store).fetch(&pinned(&[&server]), &Silent).unwrap_err();
    assert!(matches!(error, SourceError::NotWritable { .. }), "{error:?}");
    assert_eq!(requests.load(Ordering::SeqCst), 0);
}

#[test]
fn a_full_disk_is_told_apart() {
    for kind in [std::io::ErrorKind::StorageFull, std::io::ErrorKind::QuotaExceeded] {
        let error = SourceError::writing(Path::new("[store]"), kind.into());
        assert!(matches!(error, SourceError::NoSpace { .. }));
    }
}

#[test]
fn a_missing_signature_is_told_and_a_bad_one_is_fatal() {
    struct Events(Mutex<Vec<String>>);
    impl Reporter for Events {
        fn event(&self, event: Event) {
            if let Event::Warning { text } = event {
                self.0.lock().unwrap().push(text);
            }
        }
    }
    let mut pinned = pinned(&[&serve(Answer::Whole(CONTENT)).0]);
    pinned.alternatives[0].signature = Some(SignatureBy::try_from("php".to_owned()).unwrap());
    let store = tempfile::tempdir().unwrap();
    let events = Events(Mutex::default());
    fetcher(store.path()).fetch(&pinned, &events).unwrap();
    assert_eq!(*events.0.lock().unwrap(), ["thing 1.0: no signature came with it (HTTP 404); its pinned digest holds"]);

    let (store, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs_err::write(folder.path().join("thing-1.0.tar.gz"), CONTENT).unwrap();
    fs_err::write(folder.path().join("thing-1.0.tar.gz.asc"), "nonsense").unwrap();
    let fetcher = fetcher(store.path()).sources_dir(Some(folder.path().to_owned()));
    let error = fetcher.fetch(&pinned, &Silent).unwrap_err();
    assert!(matches!(error, SourceError::BadSignature { .. }), "{error:?}");
    assert_tidy(store.path());
}

#[test]
fn what_killed_processes_left_is_swept_after_a_day() {
    let store = tempfile::tempdir().unwrap();
    let sources = store.path().join("sources");
    for (name, hours) in [(".fetch-old", 25), (".fetch-young", 1)] {
        fs_err::create_dir_all(sources.join(name)).unwrap();
        fs_err::write(sources.join(name).join("half"), "half").unwrap();
        let time = std::time::SystemTime::now() - Duration::from_secs(hours * 3600);
        fs_err::File::open(sources.join(name)).unwrap().file().set_modified(time).unwrap();
    }
    let (server, _) = serve(Answer::Whole(CONTENT));
    let fetched = fetcher(store.path()).fetch(&pinned(&[&server]), &Silent).unwrap();
    assert!(!sources.join(".fetch-old").exists() && sources.join(".fetch-young").exists());
    let mode = fs_err::metadata(fetched.path).unwrap().permissions().mode();
    assert_eq!(mode & 0o400, 0o400);
}
