//! The shared store against a fake S3 that fails as told, and against MiniStack where the test run has started one.
#![allow(clippy::unwrap_used, reason = "a test may fail anywhere, its helpers too")]

use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use phplayer::digest::Digest;
use phplayer::progress::{Event, Reporter};
use phplayer::remote::{Access, Named, Patience, Remote};

use crate::container::Place;
use crate::world::World;

mod fake_s3;
mod fleet;

use fake_s3::{Call, FakeS3, Fault};

const KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "a-secret-that-no-log-may-show";

/// Keeps what is told.
#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Reporter for Told {
    fn event(&self, event: Event) {
        let line = match event {
            Event::Moved { step, way, .. } => format!("{way:?} {step}"),
            Event::Warning { text } => format!("warning {text}"),
            _ => return,
        };
        self.0.lock().unwrap().push(line);
    }
}

impl Told {
    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// One machine of a pipeline.
struct Machine {
    folder: tempfile::TempDir,
    remote: Remote,
    told: Told,
}

fn quick() -> Patience {
    let short = Duration::from_millis(400);
    Patience { attempts: 2, first_wait: Duration::from_millis(5), connect: short, answer: short, least_rate: 100_000 }
}

fn key() -> Digest {
    Digest::of(b"all that goes into it")
}

fn object() -> String {
    format!("builds/team/steps/{}.tar.gz", key())
}

impl Machine {
    fn new(s3: &FakeS3) -> Self {
        Self::with(s3, Access::ReadWrite)
    }

    fn with(s3: &FakeS3, access: Access) -> Self {
        Self::of(s3, access, Credentials::new(KEY, SECRET, None, None, "the test"))
    }

    fn of(s3: &FakeS3, access: Access, credentials: impl ProvideCredentials + 'static) -> Self {
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("eu-west-1"))
            .credentials_provider(SharedCredentialsProvider::new(credentials))
            .endpoint_url(s3.address())
            .build();
        let remote = Remote::over(&config, "s3://builds/team".parse().unwrap(), access, quick()).unwrap();
        Self { folder: tempfile::tempdir().unwrap(), remote, told: Told::default() }
    }

    fn draft(&self) -> PathBuf {
        let draft = self.folder.path().join("draft");
        let _ = fs_err::remove_dir_all(&draft);
        fs_err::create_dir_all(&draft).unwrap();
        draft
    }

    fn push(&self, text: &str) {
        self.push_as(key(), text);
    }

    fn push_as(&self, key: Digest, text: &str) {
        let tree = self.folder.path().join("tree");
        fs_err::create_dir_all(tree.join("lib")).unwrap();
        fs_err::write(tree.join("lib/libz.a"), text).unwrap();
        self.remote.push(Named { step: "lib:zlib", key: &key }, &tree, &self.draft(), &self.told);
    }

    /// The text that came, if any did.
    fn pull(&self) -> Option<String> {
        let draft = self.draft();
        let came = self.remote.pull(Named { step: "lib:zlib", key: &key() }, &draft, &self.told).unwrap();
        let text = came.map(|tree| fs_err::read_to_string(tree.join("lib/libz.a")).unwrap());
        let left = fs_err::read_dir(&draft).unwrap().count();
        assert_eq!(left, usize::from(text.is_some()), "what was no use is gone");
        text
    }

    fn lines(&self) -> Vec<String> {
        self.told.lines()
    }
}

#[test]
fn what_one_machine_pushes_another_pulls() {
    let s3 = FakeS3::start();
    let (one, two) = (Machine::new(&s3), Machine::new(&s3));
    assert_eq!(two.pull(), None);
    one.push("archive");
    assert_eq!(s3.names(), [object()]);
    let kept = s3.object(&object());
    assert_eq!(kept.sha256, Some(Digest::of(&kept.bytes).to_string()));
    assert_eq!(two.pull().as_deref(), Some("archive"));
    assert_eq!((one.lines(), two.lines()), (vec!["Push lib:zlib".to_owned()], vec!["Pull lib:zlib".to_owned()]));
    two.push("archive");
    one.push("archive");
    assert_eq!((s3.count(Call::Put), s3.count(Call::Head)), (1, 1), "what is known to be there is not asked for again");
    assert!(s3.all_signed_by(KEY));
}

#[test]
fn a_damaged_object_is_told_and_replaced() {
    type Damage = fn(&mut fake_s3::Object);
    let damages: [(&str, Damage); 4] = [
        ("promised", |object| object.bytes[20] ^= 1),
        ("promised", |object| object.bytes.truncate(30)),
        ("no sha256 beside it", |object| object.sha256 = None),
        ("no whole archive", |object| {
            object.bytes = b"<html>".to_vec();
            object.sha256 = Some(Digest::of(b"<html>").to_string());
        }),
    ];
    for (why, damage) in damages {
        let s3 = FakeS3::start();
        Machine::new(&s3).push("archive");
        let whole = s3.object(&object());
        s3.change(&object(), damage);
        let machine = Machine::new(&s3);
        assert_eq!((machine.pull(), machine.pull()), (None, None), "{why}");
        let said = machine.lines().join("\n");
        assert_eq!(machine.lines().len(), 1, "told once: {said}");
        assert!(said.contains("lib:zlib in the shared store is damaged") && said.contains(why), "{said}");
        assert!(said.contains("built anew and replaced"), "{said}");
        machine.push("archive");
        assert_eq!(s3.object(&object()).bytes, whole.bytes, "{why}");
        assert_eq!(Machine::new(&s3).pull().as_deref(), Some("archive"), "{why}");
    }
}

/// A policy that lets every object be written once is no reason to push nothing more.
#[test]
fn a_damaged_object_that_may_not_be_replaced_is_told_alone() {
    let s3 = FakeS3::start();
    Machine::new(&s3).push("archive");
    s3.change(&object(), |object| object.bytes[20] ^= 1);
    let machine = Machine::new(&s3);
    assert_eq!(machine.pull(), None);
    s3.fail(Call::Put, Fault::Refuse(403, "AccessDenied"), 1);
    machine.push("archive");
    machine.push("archive");
    let lines = machine.lines();
    assert_eq!((lines.len(), s3.count(Call::Put)), (2, 2), "told once, and not tried again: {lines:?}");
    assert!(lines[1].contains("lib:zlib in the shared store stays damaged") && lines[1].contains("403"), "{lines:?}");
    assert!(lines[1].contains(&format!("remove {} by hand", object().trim_start_matches("builds/"))), "{lines:?}");
    machine.push_as(Digest::of(b"another"), "archive");
    assert_eq!((machine.lines().last().unwrap().as_str(), s3.names().len()), ("Push lib:zlib", 2));
}

#[test]
fn a_reader_that_meets_a_damaged_object_leaves_it() {
    let s3 = FakeS3::start();
    Machine::new(&s3).push("archive");
    s3.change(&object(), |object| object.bytes[20] ^= 1);
    let reader = Machine::with(&s3, Access::ReadOnly);
    assert_eq!(reader.pull(), None);
    reader.push("archive");
    assert!(reader.lines()[0].ends_with("it is built anew here"), "{:?}", reader.lines());
    assert_eq!(s3.count(Call::Put), 1, "only the first machine's");
}

#[test]
fn an_archive_that_reaches_out_of_its_folder_is_damage() {
    let s3 = FakeS3::start();
    Machine::new(&s3).push("archive");
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes()[..7].copy_from_slice(b"../evil");
    header.set_entry_type(tar::EntryType::Regular);
    header.set_size(1);
    header.set_mode(0o644);
    header.set_cksum();
    tar.append(&header, &b"x"[..]).unwrap();
    let bytes = tar.into_inner().unwrap().finish().unwrap();
    let sha256 = Some(Digest::of(&bytes).to_string());
    s3.change(&object(), |object| (object.bytes, object.sha256) = (bytes, sha256));
    let machine = Machine::new(&s3);
    assert_eq!(machine.pull(), None);
    assert!(machine.lines()[0].contains("climbs out of the folder"), "{:?}", machine.lines());
    assert!(!machine.folder.path().join("evil").exists() && !machine.folder.path().join("draft/evil").exists());
}

#[test]
fn without_permission_to_read_it_is_said_once_and_not_asked_again() {
    let s3 = FakeS3::start();
    s3.fail(Call::Get, Fault::Refuse(403, "AccessDenied"), 9);
    let machine = Machine::new(&s3);
    assert_eq!((machine.pull(), machine.pull()), (None, None));
    let lines = machine.lines();
    assert_eq!((lines.len(), s3.count(Call::Get)), (1, 1), "{lines:?}");
    assert!(lines[0].contains("s3://builds/team cannot be read") && lines[0].contains("AccessDenied"), "{lines:?}");
    assert!(lines[0].contains("s3:ListBucket"), "{lines:?}");
}

#[test]
fn without_permission_to_write_pulling_goes_on() {
    let s3 = FakeS3::start();
    s3.fail(Call::Put, Fault::Refuse(403, "AccessDenied"), 9);
    let machine = Machine::new(&s3);
    machine.push("archive");
    machine.push("archive");
    let lines = machine.lines();
    assert_eq!((lines.len(), s3.count(Call::Put)), (1, 1), "{lines:?}");
    assert!(lines[0].contains("cannot be written") && lines[0].contains("--store-readonly"), "{lines:?}");
    Machine::new(&s3).push("archive"); // refused too
    assert_eq!(machine.pull(), None);
    assert_eq!(s3.count(Call::Get), 1, "it was asked all the same");
}

/// A chain that has asked everywhere.
#[derive(Debug)]
struct Nobody;

impl ProvideCredentials for Nobody {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let asked = "no credentials found in chain. Attempted:\n  Environment: not set\n  Profile: none";
        future::ProvideCredentials::ready(Err(CredentialsError::not_loaded(asked)))
    }
}

#[test]
fn without_credentials_it_is_said_in_one_line_and_nothing_is_asked() {
    for pulls_first in [true, false] {
        let s3 = FakeS3::start();
        let machine = Machine::of(&s3, Access::ReadWrite, Nobody);
        if pulls_first {
            assert_eq!(machine.pull(), None);
        }
        machine.push("archive");
        let lines = machine.lines();
        assert_eq!((lines.len(), s3.count(Call::Get) + s3.count(Call::Head)), (1, 0), "{lines:?}");
        assert!(lines[0].contains("no AWS credentials are to be had (") && !lines[0].contains('\n'), "{lines:?}");
    }
}

#[test]
fn a_bucket_in_another_region_is_told_with_the_way_out() {
    let refusals = [(301, "PermanentRedirect"), (400, "AuthorizationHeaderMalformed"), (403, "AccessDenied")];
    for (status, code) in refusals {
        for (call, act) in [(Call::Get, true), (Call::Head, false)] {
            let s3 = FakeS3::start();
            s3.fail(call, Fault::InRegion(status, code, "us-west-2"), 9);
            let machine = Machine::new(&s3);
            if act {
                assert_eq!(machine.pull(), None);
            }
            machine.push("archive");
            let lines = machine.lines();
            assert_eq!(lines.len(), 1, "{status}: {lines:?}");
            assert!(lines[0].contains("the bucket is in us-west-2: say so with AWS_REGION"), "{status}: {lines:?}");
        }
    }
    let s3 = FakeS3::start();
    s3.fail(Call::Get, Fault::Refuse(400, "AuthorizationHeaderMalformed"), 9);
    let machine = Machine::new(&s3);
    assert_eq!(machine.pull(), None);
    assert!(machine.lines()[0].contains("the bucket is in another region"), "{:?}", machine.lines());
    let s3 = FakeS3::start();
    s3.fail(Call::Get, Fault::InRegion(403, "AccessDenied", "eu-west-1"), 9);
    let machine = Machine::new(&s3);
    assert_eq!(machine.pull(), None);
    assert!(machine.lines()[0].contains("cannot be read"), "its own region: {:?}", machine.lines());
}

#[test]
fn one_that_does_not_answer_is_given_up_after_its_patience() {
    let s3 = FakeS3::start();
    s3.fail(Call::Get, Fault::Silence(Duration::from_secs(30)), 9);
    let (machine, start) = (Machine::new(&s3), Instant::now());
    assert_eq!((machine.pull(), machine.pull()), (None, None));
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    machine.push("archive");
    let lines = machine.lines();
    assert_eq!((lines.len(), s3.count(Call::Head)), (1, 0), "neither pulled from nor pushed to: {lines:?}");
    assert!(lines[0].contains("it is too slow; the build goes on without it"), "{lines:?}");
}

#[test]
fn one_that_is_slower_than_compiling_is_given_up() {
    let s3 = FakeS3::start();
    Machine::new(&s3).push("archive");
    s3.fail(Call::Get, Fault::Dribble, 9);
    let (machine, start) = (Machine::new(&s3), Instant::now());
    assert_eq!(machine.pull(), None);
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(machine.lines()[0].contains("too slow"), "{:?}", machine.lines());
}

#[test]
fn a_body_that_breaks_off_is_asked_for_once_more() {
    let s3 = FakeS3::start();
    Machine::new(&s3).push("archive");
    s3.fail(Call::Get, Fault::HalfWay, 1);
    let machine = Machine::new(&s3);
    assert_eq!(machine.pull().as_deref(), Some("archive"));
    s3.fail(Call::Get, Fault::HalfWay, 9);
    let machine = Machine::new(&s3);
    assert_eq!((machine.pull(), machine.pull()), (None, None));
    assert_eq!(machine.lines().len(), 1, "{:?}", machine.lines());
    assert!(machine.lines()[0].contains("cannot be used"), "{:?}", machine.lines());
}

#[test]
fn failures_inside_s3_are_waited_out() {
    let s3 = FakeS3::start();
    for call in [Call::Head, Call::Put, Call::Get] {
        s3.fail(call, Fault::Refuse(503, "SlowDown"), 1);
    }
    let machine = Machine::new(&s3);
    machine.push("archive");
    assert_eq!(machine.lines(), ["Push lib:zlib"]);
    assert_eq!(Machine::new(&s3).pull().as_deref(), Some("archive"));
}

#[test]
fn of_two_that_push_the_same_key_the_first_stays_and_both_are_content() {
    let s3 = FakeS3::start();
    let (one, two) = (Machine::new(&s3), Machine::new(&s3));
    one.push("archive");
    let first = s3.object(&object());
    // The second asked before the first had finished: it hears that there is none.
    s3.fail(Call::Head, Fault::Refuse(404, "NoSuchKey"), 1);
    two.push("another content");
    assert_eq!(s3.count(Call::Put), 2);
    assert_eq!(s3.object(&object()).bytes, first.bytes);
    assert_eq!(two.lines(), Vec::<String>::new(), "no push, and no complaint");

    let many: Vec<Machine> = (0..6).map(|_| Machine::new(&s3)).collect();
    s3.remove(&object());
    std::thread::scope(|scope| {
        for machine in &many {
            scope.spawn(|| machine.push("archive"));
        }
    });
    let pushed = many.iter().flat_map(Machine::lines).collect::<Vec<_>>();
    assert_eq!(pushed, ["Push lib:zlib"]);
}

#[test]
fn a_server_without_conditions_is_served_without() {
    let s3 = FakeS3::start();
    s3.fail(Call::Put, Fault::NoConditions, 2);
    let machine = Machine::new(&s3);
    machine.push("archive");
    assert_eq!(machine.lines(), ["Push lib:zlib"]);
    assert_eq!(s3.names(), [object()]);
}

#[test]
fn a_reader_pushes_nothing() {
    let s3 = FakeS3::start();
    let reader = Machine::with(&s3, Access::ReadOnly);
    reader.push("archive");
    assert_eq!((s3.count(Call::Head), s3.count(Call::Put)), (0, 0));
}

/// phplayer with a shared store at this address.
fn build(world: &World, endpoint: &str, words: &[&str]) -> Command {
    let mut command = world.command(&["build", "--store", "s3://builds/team"]);
    logged_in(&mut command, endpoint).args(words);
    command
}

fn logged_in<'c>(command: &'c mut Command, endpoint: &str) -> &'c mut Command {
    command.env("AWS_ENDPOINT_URL_S3", endpoint).env("AWS_EC2_METADATA_DISABLED", "true");
    command.env("AWS_ACCESS_KEY_ID", KEY).env("AWS_SECRET_ACCESS_KEY", SECRET).env("AWS_REGION", "eu-west-1")
}

/// A tag may mean another image tomorrow, a digest may not; and a builder's steps are in its own cache only.
#[test]
fn the_container_engine_shares_the_link_alone_and_only_of_a_pinned_base() {
    let (place, s3) = (Place::new("builds"), FakeS3::start());
    let calls = || [Call::Get, Call::Head, Call::Put].map(|call| s3.count(call));
    let build = || {
        let _ = fs_err::remove_dir_all(place.world.path("home"));
        let mut command = place.command(&["build", "--store", "s3://builds/team"]);
        let said = place.world.said(logged_in(&mut command, s3.address()).output().unwrap());
        assert_eq!(said.code, 0, "{}", said.stderr);
        said.stderr
    };
    let said = build();
    assert_eq!(calls(), [0, 0, 0], "{said}");
    assert_eq!(said.matches("not pinned").count(), 1, "{said}");
    assert!(said.contains("is left alone: `phplayer lock --engine container`"), "{said}");

    assert_eq!(place.run(&["lock"]).code, 0);
    let said = build();
    assert_eq!((calls(), s3.names().len()), ([1, 1, 1], 1), "{said}");
    assert!(said.contains("Push  link:bare") && !said.contains("not pinned"), "{said}");
    let asked = place.calls();
    let said = build();
    assert!(said.contains("Pull  link:bare"), "{said}");
    assert_eq!(place.calls(), asked, "no builder is asked for what came");
}

#[test]
fn an_address_that_is_none_is_shown_with_what_is_expected() {
    let world = World::new();
    world.write("phplayer.toml", "name = \"small\"\nphp = \"8.4\"\nextensions = [\"ctype\"]\n");
    let said = world.run(&["build", "--store", "s3://x"]);
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert!(said.stderr.contains("s3://BUCKET/PREFIX is expected"), "{}", said.stderr);
    let mut command = world.command(&["build"]);
    let said = world.said(command.env("PHPLAYER_SHARED_STORE", "https://builds").output().unwrap());
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert!(said.stderr.contains("PHPLAYER_SHARED_STORE"), "{}", said.stderr);
    assert!(!world.path("s3:").exists(), "an address is no folder");
}

#[test]
fn a_key_in_an_address_is_not_shown() {
    let world = World::new();
    world.write("phplayer.toml", "name = \"small\"\nphp = \"8.4\"\nextensions = [\"ctype\"]\n");
    let address = format!("s3://{KEY}:{SECRET}@builds");
    let set = |name: &str| {
        let mut command = world.command(&["build"]);
        command.env(name, &address);
        world.said(command.output().unwrap())
    };
    let all = [world.run(&["build", "--store", &address]), set("PHPLAYER_STORE"), set("PHPLAYER_SHARED_STORE")];
    for said in all {
        assert_eq!(said.code, 2, "{}", said.stderr);
        assert!(said.stderr.contains("`s3://***@builds` is no address of a shared store"), "{}", said.stderr);
        assert!(!said.stderr.contains(SECRET) && !said.stderr.contains(KEY), "{}", said.stderr);
    }
    let mut help = world.command(&["build", "--help"]);
    let said = world.said(help.env("PHPLAYER_STORE", &address).output().unwrap());
    assert!(said.code == 0 && !said.stdout.contains(SECRET), "{}", said.stdout);
}

#[test]
fn offline_asks_no_shared_store() {
    let (world, s3) = (World::new(), FakeS3::start());
    world.write("phplayer.toml", "name = \"small\"\nphp = \"8.4\"\nextensions = [\"ctype\"]\n");
    let said = world.said(build(&world, s3.address(), &["--offline"]).output().unwrap());
    assert_ne!(said.code, 0, "{}", said.stderr);
    assert_eq!(s3.count(Call::Get), 0);
}
