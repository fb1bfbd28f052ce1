//! What the user wrote: a recipe as it stands in its file, places kept, nothing looked up.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

pub use toml::Spanned;

use crate::target::Arch;

mod choosing;
mod ini;
mod mistake;
mod name;
mod php_version;
mod reading;
mod schema;
mod size;
mod syntax;
mod table;

pub use choosing::{Unchosen, choose};
pub use ini::IniValue;
pub use mistake::{Mistake, Mistakes, Refusal, suggest};
pub use name::{BaseName, ExtensionName, LayerName};
pub use php_version::PhpVersion;
pub use reading::parse;
pub use schema::schema;
pub use size::ByteSize;

/// A layer that phplayer builds: a PHP version and the extensions that the application needs.
#[derive(Clone, Debug, schemars::JsonSchema)]
#[schemars(deny_unknown_fields, title = "phplayer recipe")]
pub struct Recipe {
    /// The path it was read from, as the user knows it.
    #[schemars(skip)]
    pub file: PathBuf,
    /// The layer's name in AWS and in `out/`: letters, digits, `-` and `_`.
    #[schemars(with = "LayerName")]
    pub name: Spanned<LayerName>,
    /// A series (`8.4`: the newest release known) or one release (`8.4.24`).
    #[schemars(with = "PhpVersion")]
    pub php: Spanned<PhpVersion>,
    /// The Lambda base image; without it, `al2023`. A `bases/NAME.toml` beside the recipe adds one.
    #[schemars(default, with = "Option<BaseName>")]
    pub base: Option<Spanned<BaseName>>,
    /// What to build for; without it, what this machine is.
    #[schemars(default, extend("uniqueItems" = true))]
    pub arch: Vec<Arch>,
    /// What compiles.
    #[schemars(default)]
    pub engine: Engine,
    /// What PHP is called by: `fpm` for web pages, `cli` for functions and the console; without it, both.
    #[schemars(default)]
    pub sapi: Sapis,
    /// Extensions that are linked in: loaded in no time, nothing to switch on.
    #[schemars(default, with = "Vec<ExtensionName>", extend("uniqueItems" = true))]
    pub extensions: Vec<Spanned<ExtensionName>>,
    /// Extensions, besides those of `extensions`, that become `.so` files.
    #[schemars(default, with = "Vec<ExtensionName>", extend("uniqueItems" = true))]
    pub shared: Vec<Spanned<ExtensionName>>,
    /// Settings for php.ini, by their whole names.
    #[schemars(default)]
    pub ini: BTreeMap<String, IniValue>,
    /// Sizes beyond which the build fails.
    #[schemars(default)]
    pub limits: Limits,
    /// A Composer project whose dependencies become `vendor.zip`.
    #[schemars(default)]
    pub vendor: Option<Vendor>,
    /// How `phplayer publish` publishes.
    #[schemars(default)]
    pub publish: Publish,
    /// Objections of the audit that are accepted, each with its reason.
    #[schemars(default)]
    pub waive: Vec<Waiver>,
    #[schemars(skip)]
    source: mistake::Source,
}

/// What runs the steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, serde::Serialize, schemars::JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// `local` where it can serve, else `container`.
    #[default]
    Auto,
    /// This machine, in sandboxes.
    Local,
    /// Any BuildKit-compatible builder.
    Container,
}

impl Engine {
    pub const ALL: [Engine; 3] = [Engine::Auto, Engine::Local, Engine::Container];

    pub const fn name(self) -> &'static str {
        match self {
            Engine::Auto => "auto",
            Engine::Local => "local",
            Engine::Container => "container",
        }
    }
}

/// One of PHP's ways to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sapi {
    /// The FastCGI process manager: web pages.
    Fpm,
    /// The command line: functions and the console.
    Cli,
}

impl Sapi {
    pub const ALL: [Sapi; 2] = [Sapi::Fpm, Sapi::Cli];

    pub const fn name(self) -> &'static str {
        match self {
            Sapi::Fpm => "fpm",
            Sapi::Cli => "cli",
        }
    }
}

/// Which SAPIs the layer has: never none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Sapis {
    #[default]
    Both,
    Only(Sapi),
}

impl Sapis {
    pub fn contains(self, sapi: Sapi) -> bool {
        match self {
            Sapis::Both => true,
            Sapis::Only(only) => only == sapi,
        }
    }

    /// Always in the order of [`Sapi::ALL`], so that what is made from it does not depend on the order in the recipe.
    pub fn iter(self) -> impl Iterator<Item = Sapi> {
        Sapi::ALL.into_iter().filter(move |sapi| self.contains(*sapi))
    }
}

impl serde::Serialize for Sapis {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

/// Sizes beyond which the build fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Limits {
    /// The size of runtime.zip's content, such as `40 MiB`.
    #[schemars(default)]
    pub unzipped: Option<ByteSize>,
}

/// A Composer project whose dependencies become `vendor.zip`.
#[derive(Clone, Debug, PartialEq, Eq, schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Vendor {
    /// The folder with composer.json, seen from the recipe's folder.
    pub project: PathBuf,
    /// Whether `require-dev` is installed too.
    #[schemars(default)]
    pub dev: bool,
}

/// How `phplayer publish` publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq, schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Publish {
    /// Where to, unless `--region` says otherwise.
    #[schemars(default, extend("uniqueItems" = true))]
    pub regions: Vec<String>,
    /// At most 256 characters.
    #[schemars(default, extend("maxLength" = 256))]
    pub description: Option<String>,
    /// An SPDX identifier, an address, or the text; at most 512 characters.
    #[schemars(default, extend("maxLength" = 512))]
    pub license: Option<String>,
    /// Whether every AWS account may use the layer.
    #[schemars(default)]
    pub public: bool,
}

/// An objection of the audit that is accepted.
#[derive(Clone, Debug, PartialEq, Eq, schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct Waiver {
    /// The rule, as `phplayer audit` names it.
    pub rule: String,
    /// The file in the layer; without it, every file.
    #[schemars(default)]
    pub file: Option<String>,
    /// Why this is safe here.
    pub reason: String,
}

/// Reads and parses the file at `path`.
pub fn load(path: &Path) -> Result<Recipe, Mistakes> {
    match fs_err::read_to_string(path) {
        Ok(text) => parse(&path.to_string_lossy(), &text),
        Err(error) => Err(Mistakes::unreadable(path, &error)),
    }
}

impl Recipe {
    /// A path of the recipe, as seen from where phplayer runs.
    pub fn beside(&self, path: &Path) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(path)
    }

    /// A mistake at a place of this recipe that only a later stage can see; [`Mistakes::new`] makes the report.
    pub fn mistake(
        &self,
        span: Range<usize>,
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<Option<String>>,
    ) -> Mistake {
        Refusal::new(message, label, help).at(span)
    }
}
