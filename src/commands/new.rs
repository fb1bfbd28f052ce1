//! `phplayer new`: a recipe to start from.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

use miette::Diagnostic;
use thiserror::Error;

use crate::console::Console;
use crate::failure::{Failure, Outcome};
use crate::recipe::{ExtensionName, LayerName, PhpVersion, Refusal};
use crate::target::Arch;

const TEMPLATE: &str = include_str!("new/phplayer.toml");

/// What most applications use, where nothing says what this one uses.
const USUAL: [&str; 6] = ["curl", "mbstring", "mysqli", "opcache", "openssl", "pdo_mysql"];

/// Composer lists these too, but every PHP has them.
const ALWAYS: [&str; 9] = ["core", "date", "hash", "json", "pcre", "random", "reflection", "spl", "standard"];

/// Write a recipe to start from
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phplayer new shop                                          shop/phplayer.toml
  phplayer new shop --here --from-composer composer.json     ./phplayer.toml with what the project requires
  phplayer new shop --php 8.4 --ext intl,redis --arch arm64")]
pub struct Args {
    /// The layer's name: letters, digits, `-` and `_`
    pub name: String,
    /// The PHP series or release
    #[arg(long, value_name = "VERSION", default_value = "8.4")]
    pub php: String,
    /// Extensions, separated by commas
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub ext: Vec<String>,
    /// Architectures to build for; without it, what this machine is
    #[arg(long, value_name = "ARCH", value_delimiter = ',')]
    pub arch: Vec<Arch>,
    /// Write into this folder, not into a new one
    #[arg(long)]
    pub here: bool,
    /// Take the extensions that a composer.json requires, and its project for vendor.zip
    #[arg(long, value_name = "FILE")]
    pub from_composer: Option<PathBuf>,
}

pub fn run(args: Args, console: &Console) -> Result<Outcome, Failure> {
    let written = write(&args, Path::new(""))?;
    console.say("New", &written.display().to_string());
    let recipe = if args.here { String::new() } else { format!(" {}", written.display()) };
    console.say("Next", &format!("look through it, then `phplayer build{recipe}`"));
    Ok(Outcome::Done)
}

/// Why no recipe was written.
#[derive(Debug, Error, Diagnostic)]
enum NewError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Refused(#[from] Refusal),
    #[error("`{}` exists", path.display())]
    #[diagnostic(help("edit it, or take another name: `phplayer new` overwrites nothing"))]
    Exists { path: PathBuf },
    #[error("cannot read what the project requires")]
    #[diagnostic(help("name the project's composer.json"))]
    Unread(#[source] io::Error),
    #[error("`{}` is not a composer.json: {error}", path.display())]
    #[diagnostic(help("`composer validate` says more"))]
    NotComposer { path: PathBuf, error: serde_json::Error },
    #[error("cannot write the recipe")]
    #[diagnostic(help("write into a folder that is yours: `phplayer new NAME` makes one where you stand"))]
    Unwritten(#[source] io::Error),
}

impl From<NewError> for Failure {
    fn from(error: NewError) -> Self {
        match error {
            NewError::Unwritten(_) => Failure::work(error),
            _ => Failure::input(error),
        }
    }
}

/// Writes the recipe; paths of `args` are seen from `root`, and so is the path that is returned.
fn write(args: &Args, root: &Path) -> Result<PathBuf, NewError> {
    let name: LayerName = args.name.parse()?;
    let text = render(args, &name, root)?;
    let folder = if args.here { PathBuf::new() } else { PathBuf::from(name.as_str()) };
    let path = folder.join("phplayer.toml");
    fs_err::create_dir_all(root.join(&folder)).map_err(NewError::Unwritten)?;
    let opened = fs_err::OpenOptions::new().write(true).create_new(true).open(root.join(&path));
    let mut file = opened.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => NewError::Exists { path: path.clone() },
        _ => NewError::Unwritten(error),
    })?;
    file.write_all(text.as_bytes()).map_err(NewError::Unwritten)?;
    Ok(path)
}

fn render(args: &Args, name: &LayerName, root: &Path) -> Result<String, NewError> {
    let php: PhpVersion = args.php.parse()?;
    let mut extensions =
        args.ext.iter().map(|text| ExtensionName::lenient(text)).collect::<Result<BTreeSet<_>, _>>()?;
    let mut vendor = None;
    if let Some(composer) = &args.from_composer {
        extensions.extend(required(&root.join(composer))?);
        // Composer knows nothing of it, and no application wants to be without it.
        extensions.insert("opcache".parse()?);
        vendor = Some(project(composer, args.here, root));
    } else if args.ext.is_empty() {
        extensions = USUAL.into_iter().map(str::parse).collect::<Result<_, _>>()?;
    }
    let extensions: String = extensions.iter().map(|name| format!("    \"{name}\",\n")).collect();
    let arch = match args.arch.as_slice() {
        [] => "# arch = [\"x86_64\", \"arm64\"]".to_owned(),
        some => {
            let names: BTreeSet<_> = some.iter().map(|arch| format!("\"{arch}\"")).collect();
            format!("arch = [{}]", names.into_iter().collect::<Vec<_>>().join(", "))
        }
    };
    let vendor = match vendor {
        Some(project) => format!("[vendor]\nproject = {}", toml::Value::String(project)),
        None => "# [vendor]\n# project = \"../app\"".to_owned(),
    };
    Ok(TEMPLATE
        .replace("@NAME@", name.as_str())
        .replace("@PHP@", &php.to_string())
        .replace("@ARCH@", &arch)
        .replace("@EXTENSIONS@", &if extensions.is_empty() { extensions } else { format!("\n{extensions}") })
        .replace("@VENDOR@", &vendor))
}

/// The extensions that a composer.json requires, without those every PHP has.
fn required(composer: &Path) -> Result<BTreeSet<ExtensionName>, NewError> {
    /// All that is looked at of a composer.json.
    #[derive(serde::Deserialize)]
    struct Composer {
        #[serde(default)]
        require: BTreeMap<String, serde::de::IgnoredAny>,
    }
    let text = fs_err::read_to_string(composer).map_err(NewError::Unread)?;
    let project: Composer =
        serde_json::from_str(&text).map_err(|error| NewError::NotComposer { path: composer.to_owned(), error })?;
    let extensions = project
        .require
        .keys()
        .map(|package| package.to_lowercase())
        .filter(|package| package.strip_prefix("ext-").is_some_and(|name| !ALWAYS.contains(&name)))
        .map(|package| ExtensionName::lenient(&package))
        .collect::<Result<_, _>>()?;
    Ok(extensions)
}

/// The folder of a composer.json, as the recipe sees it.
fn project(composer: &Path, here: bool, root: &Path) -> String {
    let inside = std::path::absolute(root).ok().and_then(|root| composer.strip_prefix(root).ok());
    let folder = inside.unwrap_or(composer).parent().unwrap_or(Path::new(""));
    let seen = if here || folder.is_absolute() { folder.to_owned() } else { Path::new("..").join(folder) };
    let seen: PathBuf = seen.components().filter(|part| *part != Component::CurDir).collect();
    let seen = seen.to_string_lossy();
    if seen.is_empty() { ".".to_owned() } else { seen.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe;

    fn args(name: &str) -> Args {
        Args {
            name: name.to_owned(),
            php: "8.4".to_owned(),
            ext: Vec::new(),
            arch: Vec::new(),
            here: false,
            from_composer: None,
        }
    }

    fn names(recipe: &recipe::Recipe) -> Vec<&str> {
        recipe.extensions.iter().map(|name| name.get_ref().as_str()).collect()
    }

    #[test]
    fn what_is_written_is_a_recipe() {
        let root = tempfile::tempdir().expect("a folder");
        let path = write(&args("shop"), root.path()).expect("written");
        assert_eq!(path, Path::new("shop/phplayer.toml"));
        let recipe = recipe::load(&root.path().join(path)).expect("a recipe");
        assert_eq!(names(&recipe), USUAL);
        assert!(recipe.arch.is_empty() && recipe.vendor.is_none());
    }

    #[test]
    fn every_commented_line_of_the_template_is_one_that_can_be_uncommented() {
        let root = tempfile::tempdir().expect("a folder");
        let text = render(&args("shop"), &"shop".parse().expect("a name"), root.path()).expect("rendered");
        let code =
            |line: &str| line.starts_with('[') || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '));
        let uncommented: Vec<_> =
            text.lines().map(|line| line.strip_prefix("# ").filter(|line| code(line)).unwrap_or(line)).collect();
        let recipe = recipe::parse("phplayer.toml", &uncommented.join("\n")).expect("a recipe");
        assert_eq!(recipe.ini.len(), 4);
        assert_eq!(recipe.publish.regions.len(), 2);
        assert!(recipe.limits.unzipped.is_some() && recipe.vendor.is_some() && recipe.shared.len() == 1);
    }

    #[test]
    fn a_composer_project_says_which_extensions() {
        let root = tempfile::tempdir().expect("a folder");
        let composer = r#"{"require": {"php": "^8.2", "ext-PDO": "*", "ext-json": "*", "ext-intl": "*", "a/b": "1"}}"#;
        fs_err::write(root.path().join("composer.json"), composer).expect("composer.json");
        let args = Args {
            ext: vec!["redis".to_owned()],
            arch: vec![Arch::Arm64],
            from_composer: Some("composer.json".into()),
            ..args("shop")
        };
        let path = root.path().join(write(&args, root.path()).expect("written"));
        let recipe = recipe::load(&path).expect("a recipe");
        assert_eq!(names(&recipe), ["intl", "opcache", "pdo", "redis"]);
        assert_eq!(recipe.arch, [Arch::Arm64]);
        let vendor = recipe.vendor.clone().expect("a project");
        assert!(recipe.beside(&vendor.project).join("composer.json").exists(), "{vendor:?}");
    }

    #[test]
    fn the_project_is_seen_from_the_recipe() {
        let root = Path::new("/home/me");
        for (composer, here, seen) in [
            ("composer.json", true, "."),
            ("./composer.json", false, ".."),
            ("app/composer.json", false, "../app"),
            ("/home/me/app/composer.json", true, "app"),
            ("/srv/app/composer.json", false, "/srv/app"),
        ] {
            assert_eq!(project(Path::new(composer), here, root), seen, "{composer}");
        }
    }

    #[test]
    fn nothing_is_overwritten() {
        let root = tempfile::tempdir().expect("a folder");
        fs_err::write(root.path().join("phplayer.toml"), "mine").expect("mine");
        let refused = write(&Args { here: true, ..args("shop") }, root.path()).expect_err("exists");
        assert_eq!(refused.to_string(), "`phplayer.toml` exists");
        assert_eq!(fs_err::read_to_string(root.path().join("phplayer.toml")).expect("still there"), "mine");
    }

    #[test]
    fn wrong_words_are_refused_before_anything_is_written() {
        let root = tempfile::tempdir().expect("a folder");
        let wrong = [
            args("php-8.4"),
            Args { php: "latest".to_owned(), ..args("shop") },
            Args { ext: vec!["../x".to_owned()], ..args("shop") },
            Args { from_composer: Some("none.json".into()), ..args("shop") },
        ];
        for args in wrong {
            assert!(write(&args, root.path()).is_err(), "{args:?}");
        }
        assert_eq!(fs_err::read_dir(root.path()).expect("a folder").count(), 0);
    }
}
