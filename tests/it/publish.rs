//! Publishing against a fake Lambda that fails as told, and against MiniStack where the test run has started one.
#![allow(clippy::unwrap_used, reason = "a test may fail anywhere, its helpers too")]

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use phplayer::progress::Silent;
use phplayer::publish::{
    Call, Connection, Delivery, Grantee, Intent, Label, Pace, Parcel, Permission, PublishError, Regions, Shipment,
    publish,
};
use phplayer::target::Arch;

mod fake_lambda;

use fake_lambda::{FakeLambda, Fault};

const LAYER: &str = "php-84-x86_64";
const IRELAND: &str = "eu-west-1";
const VIRGINIA: &str = "us-east-1";

fn keys() -> Credentials {
    Credentials::new("AKIDEXAMPLE", "a secret of no worth", None, None, "the test")
}

fn connection(endpoint: &str, regions: &[&str], pace: Pace) -> Connection {
    connection_with(keys(), endpoint, regions, pace)
}

fn connection_with(
    keys: impl ProvideCredentials + 'static,
    endpoint: &str,
    regions: &[&str],
    pace: Pace,
) -> Connection {
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .credentials_provider(SharedCredentialsProvider::new(keys))
        .endpoint_url(endpoint)
        .build();
    let regions: Vec<_> = regions.iter().map(|name| name.parse().unwrap()).collect();
    Connection::over(config, Regions::choose(&regions, None).unwrap(), pace).unwrap()
}

/// Waits too short to notice; as many attempts as users have.
fn quick() -> Pace {
    let wait = Duration::from_millis(1);
    Pace { first_wait: wait, longest_wait: wait, ..Pace::default() }
}

fn parcel(layer: &str, bytes: &[u8]) -> Parcel {
    let label = Label {
        layer: layer.to_owned(),
        description: "PHP 8.4.24".to_owned(),
        license: "PHP-3.01".to_owned(),
        runtimes: vec!["provided.al2023".to_owned()],
        architectures: vec![Arch::X86_64],
    };
    Parcel::pack(PathBuf::from("runtime.zip"), label, bytes.to_vec()).unwrap()
}

struct Run<'a> {
    lambda: &'a FakeLambda,
    regions: &'a [&'a str],
    bytes: &'a [u8],
    grantees: &'a [Grantee],
    intent: Intent,
    pace: Pace,
}

impl<'a> Run<'a> {
    fn to(lambda: &'a FakeLambda, regions: &'a [&'a str]) -> Self {
        Self { lambda, regions, bytes: b"a layer", grantees: &[], intent: Intent::Publish, pace: quick() }
    }

    fn go(&self) -> Vec<Delivery> {
        let connection = connection(self.lambda.address(), self.regions, self.pace);
        let shipment = Shipment::of(vec![parcel(LAYER, self.bytes)]).unwrap();
        publish(&connection, &shipment, self.grantees, self.intent, &Silent).unwrap()
    }
}

/// `region result version`, one a delivery.
fn summary(deliveries: &[Delivery]) -> Vec<String> {
    let line = |delivery: &Delivery| match delivery {
        Delivery::Created(new) => format!("{} created {}", new.region, new.version),
        Delivery::Unchanged(old) => format!("{} unchanged {}", old.region, old.version),
        Delivery::Planned(next) => format!("{} planned {}", next.region, next.version),
        Delivery::Failed(failed) => format!("{} failed", failed.region),
    };
    deliveries.iter().map(line).collect()
}

fn error(delivery: &Delivery) -> String {
    match delivery {
        Delivery::Failed(failed) => failed.error.to_string(),
        other => panic!("{other:?} did not fail"),
    }
}

#[test]
fn the_same_zip_is_published_once_and_another_one_again() {
    let lambda = FakeLambda::start();
    let run = Run::to(&lambda, &[VIRGINIA, IRELAND]);
    assert_eq!(summary(&run.go()), ["us-east-1 created 1", "eu-west-1 created 1"]);
    assert_eq!(summary(&run.go()), ["us-east-1 unchanged 1", "eu-west-1 unchanged 1"]);
    assert_eq!(lambda.writes(), 2);
    let other = Run { bytes: b"another layer", ..run };
    assert_eq!(summary(&other.go()), ["us-east-1 created 2", "eu-west-1 created 2"]);

    let request = lambda.request(IRELAND, LAYER);
    assert_eq!(request["Description"], "PHP 8.4.24");
    assert_eq!(request["LicenseInfo"], "PHP-3.01");
    assert_eq!(request["CompatibleRuntimes"][0], "provided.al2023");
    assert_eq!(request["CompatibleArchitectures"][0], "x86_64");
}

#[test]
fn throttling_and_failures_inside_lambda_are_waited_out() {
    let lambda = FakeLambda::start();
    for call in [Call::ListLayerVersions, Call::PublishLayerVersion, Call::GetLayerVersion] {
        lambda.fail(IRELAND, call, Fault::Refuse(429, "TooManyRequestsException"), 2);
        lambda.fail(IRELAND, call, Fault::Refuse(500, "ServiceException"), 2);
    }
    assert_eq!(summary(&Run::to(&lambda, &[IRELAND]).go()), ["eu-west-1 created 1"]);
    assert_eq!(lambda.count(IRELAND, Call::PublishLayerVersion), 5);
    assert_eq!(lambda.versions(IRELAND, LAYER), 1);
}

#[test]
fn a_publication_whose_answer_is_lost_is_not_repeated() {
    for fault in [Fault::DoneThenCut, Fault::DoneThenSilence, Fault::Nonsense] {
        let lambda = FakeLambda::start();
        lambda.fail(IRELAND, Call::PublishLayerVersion, fault, 1);
        // Only the silent server makes the client wait that long, and once.
        let pace = Pace { upload: Duration::from_millis(300), ..quick() };
        let run = Run { pace, ..Run::to(&lambda, &[IRELAND]) };
        let deliveries = run.go();
        assert_eq!(summary(&deliveries), ["eu-west-1 created 1"], "{fault:?}: {deliveries:?}");
        assert_eq!(lambda.count(IRELAND, Call::PublishLayerVersion), 1, "{fault:?}");
        assert_eq!(lambda.versions(IRELAND, LAYER), 1, "{fault:?}");
    }
}

#[test]
fn a_region_that_fails_half_way_stops_no_other_and_a_rerun_completes_it() {
    let lambda = FakeLambda::start();
    lambda.fail(IRELAND, Call::PublishLayerVersion, Fault::Refuse(500, "ServiceException"), 10);
    lambda.fail("eu-west-3", Call::GetLayerVersion, Fault::Refuse(500, "ServiceException"), 10);
    lambda.fail("ap-east-1", Call::ListLayerVersions, Fault::Refuse(403, "UnrecognizedClientException"), 1);
    let regions = [IRELAND, VIRGINIA, "eu-west-3", "ap-east-1"];
    let run = Run::to(&lambda, &regions);

    let first = run.go();
    let expected = ["eu-west-1 failed", "us-east-1 created 1", "eu-west-3 failed", "ap-east-1 failed"];
    assert_eq!(summary(&first), expected);
    assert_eq!(error(&first[0]), "PublishLayerVersion: as the test wants it (ServiceException, HTTP 500)");
    assert_eq!(lambda.count(IRELAND, Call::PublishLayerVersion), 10);
    let Delivery::Failed(unverified) = &first[2] else { panic!() };
    assert!(unverified.published.as_ref().unwrap().to_string().ends_with(":php-84-x86_64:1"));
    let json = serde_json::to_value(&first[3]).unwrap();
    assert_eq!(json["result"], "failed");
    assert!(json["error"]["help"].as_str().unwrap().contains("opt-in region must be enabled"), "{json}");

    let second = run.go();
    let expected = ["eu-west-1 created 1", "us-east-1 unchanged 1", "eu-west-3 unchanged 1", "ap-east-1 created 1"];
    assert_eq!(summary(&second), expected);
    for region in regions {
        assert_eq!(lambda.versions(region, LAYER), 1, "{region}");
    }
}

#[test]
fn a_refusal_is_not_tried_again() {
    let lambda = FakeLambda::start();
    lambda.fail(IRELAND, Call::PublishLayerVersion, Fault::Refuse(403, "AccessDeniedException"), 1);
    let deliveries = Run::to(&lambda, &[IRELAND]).go();
    assert_eq!(error(&deliveries[0]), "PublishLayerVersion: as the test wants it (AccessDeniedException, HTTP 403)");
    assert_eq!(lambda.count(IRELAND, Call::PublishLayerVersion), 1);
}

#[test]
fn what_reads_back_different_is_an_error() {
    let lambda = FakeLambda::start();
    lambda.fail(IRELAND, Call::GetLayerVersion, Fault::WrongDigest, 1);
    let deliveries = Run::to(&lambda, &[IRELAND]).go();
    let said = error(&deliveries[0]);
    assert!(said.contains(":layer:php-84-x86_64:1 is not what was sent: CodeSha256 "), "{said}");
}

#[test]
fn an_address_that_is_no_lambda_is_told_apart() {
    let lambda = FakeLambda::start();
    lambda.fail(IRELAND, Call::ListLayerVersions, Fault::Nonsense, 10);
    let said = error(&Run::to(&lambda, &[IRELAND]).go()[0]);
    assert_eq!(said, "ListLayerVersions: HTTP 404, and not in Lambda's words");
    assert_eq!(lambda.writes(), 0, "a 404 of another server does not mean that there is no such layer");
}

#[test]
fn a_dry_run_reads_and_writes_nothing() {
    let lambda = FakeLambda::start();
    let everyone = [Grantee::Everyone];
    let dry = Run { intent: Intent::DryRun, grantees: &everyone, ..Run::to(&lambda, &[IRELAND]) };
    let Delivery::Planned(next) = &dry.go()[0] else { panic!() };
    assert_eq!((next.version, next.grants[0].permission), (1, Permission::Planned));
    assert_eq!(lambda.writes(), 0);

    Run::to(&lambda, &[IRELAND]).go();
    let Delivery::Unchanged(kept) = &dry.go()[0] else { panic!() };
    assert_eq!(kept.grants[0].permission, Permission::Planned);
    let other = Run { bytes: b"another layer", ..dry };
    assert_eq!(summary(&other.go()), ["eu-west-1 planned 2"]);
    assert_eq!(lambda.writes(), 1, "only the one that was no dry run");
}

/// Credentials from a source that counts how often it is asked.
#[derive(Debug, Default)]
struct Counting(AtomicUsize);

impl ProvideCredentials for Counting {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        self.0.fetch_add(1, Ordering::Relaxed);
        future::ProvideCredentials::ready(Ok(keys()))
    }
}

#[test]
fn credentials_are_asked_for_once_for_all_regions() {
    let lambda = FakeLambda::start();
    let source = Arc::new(Counting::default());
    let shared: Arc<dyn ProvideCredentials> = source.clone();
    let connection = connection_with(shared, lambda.address(), &[IRELAND, VIRGINIA], quick());
    let shipment = Shipment::of(vec![parcel(LAYER, b"a layer")]).unwrap();
    let deliveries = publish(&connection, &shipment, &[], Intent::Publish, &Silent).unwrap();
    assert_eq!(summary(&deliveries), ["eu-west-1 created 1", "us-east-1 created 1"]);
    assert_eq!(source.0.load(Ordering::Relaxed), 1);
}

#[test]
fn without_credentials_no_region_is_tried() {
    let lambda = FakeLambda::start();
    let regions = Regions::choose(&[IRELAND.parse().unwrap()], None).unwrap();
    let config = SdkConfig::builder().endpoint_url(lambda.address()).build();
    let connection = Connection::over(config, regions, quick()).unwrap();
    let shipment = Shipment::of(vec![parcel(LAYER, b"a layer")]).unwrap();
    let error = publish(&connection, &shipment, &[], Intent::Publish, &Silent).unwrap_err();
    assert!(matches!(error, PublishError::NoCredentials { .. }));
    assert_eq!(lambda.count(IRELAND, Call::ListLayerVersions), 0);
}

#[test]
fn a_permission_is_given_once_and_a_missing_one_is_added_later() {
    let lambda = FakeLambda::start();
    Run::to(&lambda, &[IRELAND]).go();
    let grantees = ["123456789012", "o-a1b2c3d4e5"].map(|grantee| grantee.parse().unwrap());
    let shared = Run { grantees: &grantees, ..Run::to(&lambda, &[IRELAND]) };
    let permissions = |deliveries: &[Delivery]| match &deliveries[0] {
        Delivery::Unchanged(kept) => kept.grants.iter().map(|grant| grant.permission).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    lambda.fail(IRELAND, Call::AddLayerVersionPermission, Fault::DoneThenCut, 1);
    let first = permissions(&shared.go());
    assert_eq!(first, [Permission::Unchanged, Permission::Granted], "the repetition finds the first one's work");
    assert_eq!(permissions(&shared.go()), [Permission::Unchanged, Permission::Unchanged]);
    let statements = lambda.statements(IRELAND, LAYER);
    assert_eq!(statements.len(), 2);
    assert_eq!(statements[0]["Principal"]["AWS"], "arn:aws:iam::123456789012:root");

    let everyone = [Grantee::Everyone];
    let public = Run { grantees: &everyone, ..Run::to(&lambda, &[IRELAND]) };
    assert_eq!(permissions(&public.go()), [Permission::Granted], "an organisation is not everyone");
}

/// A zip that an unpacker takes.
fn zip(text: &str) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    zip.start_file("phplayer/note.txt", zip::write::SimpleFileOptions::default()).unwrap();
    zip.write_all(text.as_bytes()).unwrap();
    zip.finish().unwrap().into_inner()
}

#[test]
fn ministack_takes_two_layers_once() {
    let Ok(endpoint) = std::env::var("PHPLAYER_TEST_MINISTACK") else {
        eprintln!("NOT RUN: PHPLAYER_TEST_MINISTACK holds no address; tests/run starts MiniStack and sets it");
        return;
    };
    // MiniStack keeps its layers for as long as it runs, and this test may run twice against one.
    let started = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos();
    let shipment = |text: &str| {
        let layer = |kind: &str| parcel(&format!("php-84-{kind}-{started}"), &zip(&format!("{kind} {text}")));
        Shipment::of(vec![layer("runtime"), layer("vendor")]).unwrap()
    };
    let connection = connection(&endpoint, &[IRELAND, VIRGINIA], quick());
    let go = |text: &str, intent| {
        summary(&publish(&connection, &shipment(text), &[Grantee::Everyone], intent, &Silent).unwrap())
    };
    let all = |result: &str| [IRELAND, IRELAND, VIRGINIA, VIRGINIA].map(|region| format!("{region} {result}"));
    assert_eq!(go("one", Intent::DryRun), all("planned 1"));
    assert_eq!(go("one", Intent::Publish), all("created 1"));
    assert_eq!(go("one", Intent::Publish), all("unchanged 1"));
    assert_eq!(go("two", Intent::Publish), all("created 2"));
}
