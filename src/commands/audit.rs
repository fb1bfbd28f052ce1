//! `phplayer audit`: says what would keep a layer from loading on Lambda.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::audit::{self, Contents, Policy, Report, Reports, Waiver, sarif, text};
use crate::catalogue::Catalogue;
use crate::console::Console;
use crate::failure::{Failure, Outcome};
use crate::recipe::BaseName;
use crate::target::{Arch, Base, Target};

/// Prove that a layer will load on Lambda
///
/// Reads every file of a layer, ours or not, and holds it against what the base image surely offers. Nothing is run.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phplayer audit out/php-84-x86_64/runtime.zip
  phplayer audit --format sarif out/*/*.zip > audit.sarif
  phplayer audit --allow 'executable-stack=the vendor ships it so' vendor.zip

Ends with 1 when it objects.")]
pub struct Args {
    /// Layer zips, or folders that layers are packed from
    #[arg(value_name = "ZIP|DIR", required_unless_present = "rules")]
    pub subjects: Vec<PathBuf>,

    /// The base image to judge for, of phplayer or of bases/ here [default: al2023]
    #[arg(long, value_name = "NAME")]
    pub base: Option<BaseName>,

    /// The architecture to judge for [default: what the manifest says, else what its ELF files are]
    #[arg(long, value_enum)]
    pub arch: Option<Arch>,

    /// Accept what a rule finds
    #[arg(long, value_name = "RULE[=REASON]")]
    pub allow: Vec<String>,

    /// How to answer
    #[arg(long, default_value_t, value_enum)]
    pub format: Format,

    /// List the rules and end
    #[arg(long)]
    pub rules: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    Text,
    /// The form is in `phplayer generate schema`
    Json,
    /// SARIF 2.1.0
    Sarif,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("`{name}` is not a known base")]
#[diagnostic(help("known: {known}; a bases/{name}.toml in this folder adds one"))]
struct UnknownBase {
    name: String,
    known: String,
}

pub fn run(args: Args, console: &Console) -> Result<Outcome, Failure> {
    if args.rules {
        console.data(&text::rules());
        return Ok(Outcome::Done);
    }
    let reports = reports(&args)?;
    console.data(&render(&reports, args.format));
    Ok(if reports.objects() { Outcome::Objected } else { Outcome::Done })
}

/// Reads and judges every subject, once for each architecture that it is for.
pub fn reports(args: &Args) -> Result<Reports, Failure> {
    let waivers: Vec<Waiver> =
        args.allow.iter().map(|text| text.parse()).collect::<Result<_, _>>().map_err(Failure::input)?;
    let base = args.base.as_ref().map(base_here).transpose()?.unwrap_or_default();
    let mut reports = Vec::new();
    for subject in &args.subjects {
        let contents = Contents::read(subject).map_err(Failure::input)?;
        for arch in archs(&contents, args.arch) {
            let policy = Policy::for_target(Target { arch, base });
            let mut report: Report = audit::judge(&contents, &policy);
            report.waive(&waivers);
            reports.push(report);
        }
    }
    Ok(Reports::new(reports))
}

pub fn render(reports: &Reports, format: Format) -> String {
    match format {
        Format::Text => reports.iter().map(text::render).collect::<Vec<_>>().join("\n"),
        Format::Json => serde_json::to_string_pretty(reports).expect("a report is plain JSON"),
        Format::Sarif => format!("{:#}", sarif::render(reports)),
    }
}

/// A base by its name: phplayer's, or one of `bases/` in this folder.
fn base_here(name: &BaseName) -> Result<Base, Failure> {
    let catalogue = Catalogue::beside(Path::new("here")).map_err(Failure::input)?;
    let known = || catalogue.bases.keys().cloned().collect::<Vec<_>>().join(", ");
    let image = catalogue.bases.get(name.as_str());
    image
        .map(|image| image.base())
        .ok_or_else(|| Failure::input(UnknownBase { name: name.to_string(), known: known() }))
}

/// Where nothing says, the host's: a layer without machine code is the same for both.
fn archs(contents: &Contents, wanted: Option<Arch>) -> Vec<Arch> {
    if let Some(arch) = wanted.or_else(|| contents.arch()) {
        return vec![arch];
    }
    let stated = contents.manifest().map(|manifest| manifest.arch.clone()).unwrap_or_default();
    if stated.is_empty() { vec![Arch::host()] } else { stated }
}
