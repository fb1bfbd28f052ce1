//! `phplayer template`: a pipeline that builds and publishes layers, or a function that uses them, to start from.

use std::io::Read as _;
use std::path::PathBuf;

use serde::Deserialize;

use crate::console::Console;
use crate::failure::{Failure, Outcome};
use crate::publish::Region;
use crate::target::Arch;

/// Print a pipeline or a function's infrastructure, to fill in
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phplayer template github-actions > .github/workflows/layers.yml
  phplayer template codebuild > buildspec.yml
  phplayer publish --format json > layers.json && phplayer template sam --layers layers.json > template.yml")]
pub struct Args {
    pub what: What,
    /// What `publish --format json` said, for a function's layers; `-` reads stdin
    #[arg(long, value_name = "FILE")]
    pub layers: Option<PathBuf>,
    /// The function's region [default: the first one that has the layers]
    #[arg(long)]
    pub region: Option<Region>,
    /// The function's architecture
    #[arg(long, default_value_t = Arch::X86_64)]
    pub arch: Arch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum What {
    /// A workflow: lock check, a build for each recipe and architecture, publication by OIDC
    GithubActions,
    /// A batch build that does the same
    Codebuild,
    /// A site behind an HTTP API, with MySQL through RDS Proxy
    Sam,
    /// The same
    Serverless,
    /// The same
    Terraform,
    /// The same
    Cdk,
}

impl What {
    fn text(self) -> &'static str {
        match self {
            What::GithubActions => include_str!("template/github-actions.yml"),
            What::Codebuild => include_str!("template/codebuild.yml"),
            What::Sam => include_str!("template/sam.yml"),
            What::Serverless => include_str!("template/serverless.yml"),
            What::Terraform => include_str!("template/terraform.tf"),
            What::Cdk => include_str!("template/cdk.ts"),
        }
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
enum TemplateError {
    #[error("{} cannot be read", file.display())]
    #[diagnostic(help("it is what `phplayer publish --format json` says"))]
    Unreadable {
        file: PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error("{} is not what `phplayer publish --format json` says: {cause}", file.display())]
    #[diagnostic(help("phplayer publish --format json > {}", file.display()))]
    Malformed { file: PathBuf, cause: serde_json::Error },
    #[error("{} has no published layer for {arch}{}", file.display(), place(region))]
    #[diagnostic(help("it has: {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") }))]
    NoLayers { file: PathBuf, arch: Arch, region: Option<Region>, known: Vec<String> },
}

fn place(region: &Option<Region>) -> String {
    region.as_ref().map(|region| format!(" in {region}")).unwrap_or_default()
}

/// One delivery of `publish --format json`; failed and planned ones have no version to use.
#[derive(Debug, Deserialize)]
struct Delivered {
    layer: String,
    region: String,
    arn: Option<String>,
}

/// What a function's template is filled with.
struct Layers {
    region: String,
    arns: Vec<String>,
}

pub fn run(args: Args, console: &Console) -> Result<Outcome, Failure> {
    let layers = match &args.layers {
        Some(file) => published(file, &args).map_err(Failure::input)?,
        None => placeholders(&args),
    };
    console.data(&filled(args.what.text(), args.arch, &layers));
    Ok(Outcome::Done)
}

fn placeholders(args: &Args) -> Layers {
    let region = args.region.as_ref().map_or_else(|| "eu-west-1".to_owned(), ToString::to_string);
    let arn = |name: String| format!("arn:aws:lambda:{region}:123456789012:layer:{name}:1");
    let arns = vec![arn(format!("php-84-{}", args.arch)), arn("php-84-vendor".to_owned())];
    Layers { region, arns }
}

fn published(file: &PathBuf, args: &Args) -> Result<Layers, TemplateError> {
    let unreadable = |cause| TemplateError::Unreadable { file: file.clone(), cause };
    let mut text = String::new();
    match file.to_str() {
        Some("-") => std::io::stdin().read_to_string(&mut text).map_err(unreadable)?,
        _ => fs_err::File::open(file).and_then(|mut file| file.read_to_string(&mut text)).map_err(unreadable)?,
    };
    let all: Vec<Delivered> =
        serde_json::from_str(&text).map_err(|cause| TemplateError::Malformed { file: file.clone(), cause })?;
    layers(&all, args.arch, args.region.as_ref()).ok_or_else(|| TemplateError::NoLayers {
        file: file.clone(),
        arch: args.arch,
        region: args.region.clone(),
        known: all.iter().filter_map(|one| one.arn.clone()).collect(),
    })
}

/// The layers of one region that a function of this architecture can use: a layer's name ends with its architecture, or
/// it is for both.
fn layers(all: &[Delivered], arch: Arch, region: Option<&Region>) -> Option<Layers> {
    let others: Vec<String> =
        Arch::ALL.iter().filter(|other| **other != arch).map(|other| format!("-{other}")).collect();
    let fits = |one: &&Delivered| one.arn.is_some() && !others.iter().any(|other| one.layer.ends_with(other));
    let region = match region {
        Some(region) => region.to_string(),
        None => all.iter().find(fits)?.region.clone(),
    };
    let arns: Vec<String> =
        all.iter().filter(fits).filter(|one| one.region == region).filter_map(|one| one.arn.clone()).collect();
    (!arns.is_empty()).then_some(Layers { region, arns })
}

/// Puts values in the places of a template. `{{LAYERS:a|b}}` becomes a line `aARNb` for each layer.
fn filled(text: &str, arch: Arch, layers: &Layers) -> String {
    let cdk = match arch {
        Arch::X86_64 => "X86_64",
        Arch::Arm64 => "ARM_64",
    };
    let mut filled = String::new();
    for line in text.lines() {
        match line.strip_prefix("{{LAYERS:").and_then(|rest| rest.strip_suffix("}}")?.split_once('|')) {
            Some((before, after)) => layers.arns.iter().for_each(|arn| filled += &format!("{before}{arn}{after}\n")),
            None => {
                let line = line.replace("{{ARCH}}", &arch.to_string()).replace("{{CDK_ARCH}}", cdk);
                filled += &format!("{}\n", line.replace("{{REGION}}", &layers.region));
            }
        }
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivered(layer: &str, region: &str, version: Option<u32>) -> Delivered {
        let arn = version.map(|version| format!("arn:aws:lambda:{region}:123456789012:layer:{layer}:{version}"));
        Delivered { layer: layer.to_owned(), region: region.to_owned(), arn }
    }

    #[test]
    fn a_function_gets_the_layers_of_its_region_and_architecture() {
        let all = [
            delivered("php-84-arm64", "us-east-1", Some(1)),
            delivered("php-84-x86_64", "us-east-1", None),
            delivered("php-84-x86_64", "eu-west-1", Some(7)),
            delivered("php-84-vendor", "eu-west-1", Some(3)),
            delivered("php-84-arm64", "eu-west-1", Some(7)),
        ];
        let found = layers(&all, Arch::X86_64, None).unwrap();
        let arn = |rest: &str| format!("arn:aws:lambda:eu-west-1:123456789012:layer:{rest}");
        assert_eq!(
            (found.region.as_str(), found.arns),
            ("eu-west-1", vec![arn("php-84-x86_64:7"), arn("php-84-vendor:3")])
        );
        assert_eq!(layers(&all, Arch::Arm64, None).unwrap().region, "us-east-1");
        assert!(layers(&all, Arch::X86_64, Some(&"us-east-1".parse().unwrap())).is_none());
    }

    #[test]
    fn every_place_of_every_template_is_filled() {
        use clap::ValueEnum;
        for what in What::value_variants() {
            for arch in Arch::ALL {
                let layers = Layers { region: "eu-west-1".to_owned(), arns: vec!["one".to_owned(), "two".to_owned()] };
                let text = filled(what.text(), arch, &layers);
                // `${{ … }}` is GitHub's own.
                assert!(!text.replace("${{", "").contains("{{"), "{what:?}\n{text}");
            }
        }
    }
}
