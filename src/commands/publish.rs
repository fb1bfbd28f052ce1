//! `phplayer publish`: audits layer zips and puts them into AWS regions.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use miette::Diagnostic;
use thiserror::Error;

use crate::audit::{self, Contents, Policy, Waiver, text};
use crate::console::Console;
use crate::failure::{Failure, Outcome};
use crate::layer::built::Built;
use crate::publish::{
    self, Connection, Delivery, Grantee, Intent, Overrides, Parcel, Permission, PublishError, Refusal, Region,
    RegionSource, Route, Shipment,
};
use crate::target::{Arch, Base, Target};

const EXAMPLES: &str = "\
Examples:
  phplayer publish --region eu-west-1 --region us-east-1 --dry-run
  phplayer publish out/php-84-x86_64/runtime.zip --region eu-west-1 --public
  phplayer publish --region eu-west-1 --share 123456789012 --format json

Exit codes:
  0  every layer stands in every region
  1  a region failed (run it again: what is published is not published twice), or the audit objects
  2  the input is wrong
  3  there are no AWS credentials";

/// Publish layers to AWS regions, each only where it is not there already
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Layer zips; without any, every runtime.zip and vendor.zip under out/
    #[arg(value_name = "ZIP")]
    zips: Vec<PathBuf>,
    /// A region to publish to, repeatable; without any, the region of the AWS configuration
    #[arg(long = "region", value_name = "R")]
    regions: Vec<Region>,
    /// Call the Lambda API at this address instead of AWS
    #[arg(long, value_name = "URL")]
    endpoint_url: Option<String>,
    /// Use the credentials of this AWS profile, and no others
    #[arg(long, value_name = "P")]
    profile: Option<String>,
    /// Say what would be published, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Let every AWS account use the layers
    #[arg(long, conflicts_with = "share")]
    public: bool,
    /// Let this account, or organisation (o-…), use the layers; repeatable
    #[arg(long, value_name = "ACCOUNT")]
    share: Vec<Grantee>,
    /// Publish under this layer name; for a single zip
    #[arg(long)]
    name: Option<String>,
    /// Describe the layers so, in at most 256 characters
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Name this licence, in at most 512 characters
    #[arg(long, value_name = "SPDX")]
    license: Option<String>,
    /// The architecture of a zip that has no manifest to say it
    #[arg(long)]
    arch: Option<Arch>,
    /// Accept an objection of the audit, with the reason
    #[arg(long = "allow", value_name = "RULE=REASON")]
    allow: Vec<Waiver>,
    /// The form of the answer on stdout
    #[arg(long, default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

/// A mistake on the command line itself.
#[derive(Debug, Error, Diagnostic)]
enum Misuse {
    #[error("there is nothing to publish: no zip is named, and {} holds none", out.display())]
    #[diagnostic(help("run `phplayer build` first, or name the zips"))]
    Nothing { out: PathBuf },
    #[error("--name is for one zip, and there are {count}")]
    #[diagnostic(help("publish them one by one, or let their manifests name them"))]
    OneName { count: usize },
    #[error("there is no {}", zip.display())]
    #[diagnostic(help("name a layer zip, or run `phplayer build` first"))]
    NoZip { zip: PathBuf },
}

/// The audit objects, so nothing was sent.
#[derive(Debug, Error, Diagnostic)]
#[error("the audit objects to {}: nothing was published", zip.display())]
#[diagnostic(help("mend what it names, or accept it: --allow RULE=reason"))]
struct Objection {
    zip: PathBuf,
}

pub fn run(args: Args, console: &Console) -> Result<Outcome, Failure> {
    let zips = zips(&args, Path::new("out")).map_err(Failure::input)?;
    let regions = if args.regions.is_empty() { of_recipes(&zips)? } else { args.regions };
    let route = Route { regions, profile: args.profile, endpoint: args.endpoint_url };
    let connection = Connection::open(&route).map_err(nothing_tried)?;
    announce(&route, &connection, console);

    let overrides = Overrides { name: args.name, description: args.description, license: args.license };
    let mut parcels = Vec::with_capacity(zips.len());
    for zip in &zips {
        let contents = Contents::read(zip).map_err(Failure::input)?;
        let report = audit::judge(&contents, &Policy::for_target(target(&contents, args.arch)));
        let audited = match report.accept(&args.allow) {
            Ok(audited) => audited,
            Err(report) => {
                console.warn(&text::render(&report));
                return Err(Failure::work(Objection { zip: zip.clone() }));
            }
        };
        parcels.push(Parcel::new(&audited, &overrides).map_err(refused)?);
    }
    let shipment = Shipment::of(parcels).map_err(refused)?;
    let grantees = if args.public { vec![Grantee::Everyone] } else { args.share };
    let intent = if args.dry_run { Intent::DryRun } else { Intent::Publish };

    let deliveries = publish::publish(&connection, &shipment, &grantees, intent, console).map_err(nothing_tried)?;

    match args.format {
        Format::Text => console.data(&table(&deliveries)),
        Format::Json => console.data(&json(&deliveries)),
    }
    Ok(conclude(&deliveries, console))
}

/// `[publish] regions` of the recipes that the zips were built from, in the recipes' order; none where none says.
fn of_recipes(zips: &[PathBuf]) -> Result<Vec<Region>, Failure> {
    let mut regions: Vec<Region> = Vec::new();
    for built in zips.iter().filter_map(|zip| Built::read(zip.parent()?)) {
        for region in built.regions {
            let region = region.parse().map_err(Failure::input)?;
            if !regions.contains(&region) {
                regions.push(region);
            }
        }
    }
    Ok(regions)
}

/// The zips that are named, or those a build left in `out`.
fn zips(args: &Args, out: &Path) -> Result<Vec<PathBuf>, Misuse> {
    let zips = if args.zips.is_empty() { built(out) } else { args.zips.clone() };
    if zips.is_empty() {
        return Err(Misuse::Nothing { out: out.to_owned() });
    }
    if args.name.is_some() && zips.len() > 1 {
        return Err(Misuse::OneName { count: zips.len() });
    }
    match zips.iter().find(|zip| !zip.is_file()) {
        Some(zip) => Err(Misuse::NoZip { zip: zip.clone() }),
        None => Ok(zips),
    }
}

/// `out/*/runtime.zip` and `out/*/vendor.zip`, sorted; none where there is no such folder.
fn built(out: &Path) -> Vec<PathBuf> {
    let folders = fs_err::read_dir(out).into_iter().flatten().flatten();
    let mut zips: Vec<PathBuf> = folders
        .flat_map(|folder| ["runtime.zip", "vendor.zip"].map(|name| folder.path().join(name)))
        .filter(|zip| zip.is_file())
        .collect();
    zips.sort();
    zips
}

/// What a zip is audited against: what its manifest says it is for, else what the user says, else this machine's
/// architecture. A zip that cannot be read so far is the audit's to judge.
fn target(contents: &Contents, arch: Option<Arch>) -> Target {
    let manifest = contents.manifest();
    let said = manifest.and_then(|manifest| manifest.arch.first().copied()).or(contents.arch());
    // What a layer says of its own base is not believed where that base is Lambda's: it is judged by what Lambda has.
    let base = manifest.map_or_else(Base::default, |manifest| {
        let known = Base::ALL.into_iter().find(|known| known.runtime() == manifest.base.runtime());
        known.unwrap_or(manifest.base)
    });
    Target { arch: said.or(arch).unwrap_or_else(Arch::host), base }
}

/// Says where it goes when the user did not, and doubts a region that nobody knows.
fn announce(route: &Route, connection: &Connection, console: &Console) {
    let regions = connection.regions();
    if *regions.source() != RegionSource::Asked {
        let list: Vec<&str> = regions.list().iter().map(Region::as_str).collect();
        console.say("Region", &format!("{}, from {}", list.join(", "), regions.source()));
    }
    if route.endpoint.is_none() {
        for region in regions.list() {
            if let Some(meant) = region.mistaken_for() {
                console.warn(&format!("region `{region}` is not one that phplayer knows; did you mean `{meant}`?"));
            }
        }
    }
}

fn nothing_tried(error: PublishError) -> Failure {
    match error {
        PublishError::NoCredentials { .. } | PublishError::Runtime(_) => Failure::machine(error),
        PublishError::NoRegion | PublishError::Region(_) | PublishError::Endpoint { .. } => Failure::input(error),
    }
}

fn refused(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::Unreadable(_) => Failure::work(refusal),
        _ => Failure::input(refusal),
    }
}

/// One line a delivery: region, what became of it, the version's ARN.
fn table(deliveries: &[Delivery]) -> String {
    let rows: Vec<[String; 3]> = deliveries.iter().map(row).collect();
    let width = |column: usize, title: &str| {
        rows.iter().map(|row| row[column].chars().count()).chain([title.len()]).max().unwrap_or_default()
    };
    let (region, result) = (width(0, "REGION"), width(1, "RESULT"));
    let mut text = format!("{:region$}  {:result$}  LAYER VERSION\n", "REGION", "RESULT");
    for [a, b, c] in &rows {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{a:region$}  {b:result$}  {c}");
    }
    text
}

fn row(delivery: &Delivery) -> [String; 3] {
    let region = delivery.region().to_string();
    let shared = |grants: &[publish::Grant]| {
        let said = |grant: &publish::Grant| match grant.permission {
            Permission::Granted => format!(", shared with {}", grant.to),
            Permission::Unchanged => String::new(),
            Permission::Planned => format!(", would be shared with {}", grant.to),
        };
        grants.iter().map(said).collect::<String>()
    };
    match delivery {
        Delivery::Created(new) => [region, format!("created{}", shared(&new.grants)), new.arn.to_string()],
        Delivery::Unchanged(old) => [region, format!("unchanged{}", shared(&old.grants)), old.arn.to_string()],
        Delivery::Planned(next) => {
            [region, format!("would publish version {}{}", next.version, shared(&next.grants)), next.layer.to_string()]
        }
        Delivery::Failed(failed) => {
            let what = failed.published.as_ref().map_or_else(|| failed.layer.to_string(), ToString::to_string);
            [region, "failed".to_owned(), what]
        }
    }
}

fn json(deliveries: &[Delivery]) -> String {
    serde_json::to_string_pretty(deliveries).expect("a delivery has only strings, numbers and lists")
}

/// The ways out of what failed, each once, and what running again does.
fn conclude(deliveries: &[Delivery], console: &Console) -> Outcome {
    let failed: Vec<_> = deliveries
        .iter()
        .filter_map(|delivery| match delivery {
            Delivery::Failed(failed) => Some(failed),
            _ => None,
        })
        .collect();
    if failed.is_empty() {
        return Outcome::Done;
    }
    let mut said = Vec::new();
    for help in failed.iter().filter_map(|failed| failed.error.help()) {
        let help = help.to_string();
        if !said.contains(&help) {
            console.say("Help", &help);
            said.push(help);
        }
    }
    console.warn(&format!("{} of {} not done; the same command again does only those", failed.len(), deliveries.len()));
    Outcome::Objected
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Kind;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &[&str]) -> Result<Args, clap::Error> {
        Line::try_parse_from([&["publish"], line].concat()).map(|line| line.args)
    }

    #[test]
    fn what_a_build_left_is_found_and_sorted() {
        let out = tempfile::tempdir().unwrap();
        for file in ["php-84-x86_64/vendor.zip", "php-84-x86_64/runtime.zip", "a/runtime.zip", "a/other.zip", "x.zip"] {
            let file = out.path().join(file);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, "").unwrap();
        }
        let found = zips(&parse(&[]).unwrap(), out.path()).unwrap();
        let found: Vec<_> = found.iter().map(|zip| zip.strip_prefix(out.path()).unwrap().to_str().unwrap()).collect();
        assert_eq!(found, ["a/runtime.zip", "php-84-x86_64/runtime.zip", "php-84-x86_64/vendor.zip"]);

        let two_names = zips(&parse(&["--name", "x"]).unwrap(), out.path()).unwrap_err();
        assert!(matches!(two_names, Misuse::OneName { count: 3 }));
    }

    #[test]
    fn nothing_to_publish_says_what_to_do() {
        let out = tempfile::tempdir().unwrap();
        let error = zips(&parse(&[]).unwrap(), out.path()).unwrap_err();
        assert!(error.help().unwrap().to_string().contains("phplayer build"));
        let error = zips(&parse(&["absent.zip"]).unwrap(), out.path()).unwrap_err();
        assert_eq!(error.to_string(), "there is no absent.zip");
    }

    #[test]
    fn wrong_words_are_refused_at_their_option() {
        let said = |line: &[&str]| parse(line).unwrap_err().to_string();
        assert!(said(&["--region", "eu-west1"]).contains("did you mean `eu-west-1`?"));
        assert!(said(&["--share", "12"]).contains("12 digits"));
        assert!(said(&["--public", "--share", "123456789012"]).contains("cannot be used with"));
    }

    #[test]
    fn no_region_is_the_users_mistake_and_no_credentials_the_machines() {
        let failure = nothing_tried(PublishError::NoRegion);
        assert_eq!(failure.kind, Kind::Input);
        assert!(failure.report.help().unwrap().to_string().contains("--region"));
        let failure = nothing_tried(PublishError::NoCredentials { reason: "none".to_owned() });
        assert_eq!(failure.kind, Kind::Machine);
    }
}
