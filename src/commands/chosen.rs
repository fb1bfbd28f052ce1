//! Which recipe, for which architecture, with which store: what several verbs ask alike.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::builder::{StringValueParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Command};

use crate::catalogue::{BaseImage, Catalogue};
use crate::console::Console;
use crate::engine::container;
use crate::failure::Failure;
use crate::lockfile::Lockfile;
use crate::plan::{self, Plan};
use crate::recipe::{self, Engine, Mistakes, Recipe, suggest};
use crate::remote::{Access, Location, NotALocation, Patience, Remote};
use crate::source::Fetcher;
use crate::store::{Store, StoreError};
use crate::target::{Arch, Base, Target};
use crate::toolchain::Toolchain;

/// What one `--store` names.
#[derive(Clone, Debug)]
pub enum StorePlace {
    Here(PathBuf),
    Shared(Location),
}

/// Reads `--store`. clap would show a wrong value as it was written, with the key that may stand in it.
#[derive(Clone)]
struct StoreParser;

impl TypedValueParser for StoreParser {
    type Value = StorePlace;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<StorePlace, clap::Error> {
        let text = StringValueParser::new().parse_ref(command, arg, value)?;
        match text.contains("://") {
            true => text.parse().map(StorePlace::Shared).map_err(|error: NotALocation| {
                command.clone().error(ErrorKind::ValueValidation, format!("--store: {error}"))
            }),
            false => Ok(StorePlace::Here(text.into())),
        }
    }
}

/// The environment names no shared store.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("PHPLAYER_SHARED_STORE: {0}")]
#[diagnostic(help("s3://BUCKET/PREFIX; another server than AWS's is named by AWS_ENDPOINT_URL_S3"))]
struct SharedNowhere(NotALocation);

/// Where things are kept and had from.
#[derive(Clone, Debug, clap::Args)]
pub struct Places {
    /// Keep sources and finished steps in this folder [default: $XDG_CACHE_HOME/phplayer]; or, at s3://BUCKET/PREFIX,
    /// share finished steps with other machines; may be given once for each [shared: env PHPLAYER_SHARED_STORE]
    #[arg(long, value_name = "DIR|URL", env = "PHPLAYER_STORE", hide_env_values = true, value_parser = StoreParser)]
    pub store: Vec<StorePlace>,
    /// Take finished steps from the shared store and put none there: for jobs that build what nobody has read yet
    #[arg(long, env = "PHPLAYER_STORE_READONLY", value_parser = clap::builder::FalseyValueParser::new())]
    pub store_readonly: bool,
    /// Ask the network for nothing
    #[arg(long)]
    pub offline: bool,
    /// Look in this folder for source archives before downloading
    #[arg(long, value_name = "DIR", env = "PHPLAYER_SOURCES")]
    pub sources: Option<PathBuf>,
    /// Address of a mirror that has the source archives under their names
    #[arg(long, value_name = "URL", env = "PHPLAYER_MIRROR")]
    pub mirror: Option<String>,
}

impl Places {
    /// Of several folders the last one counts, as with any repeated option.
    pub fn root(&self) -> Result<PathBuf, StoreError> {
        let named = self.store.iter().rev().find_map(|place| match place {
            StorePlace::Here(folder) => Some(folder.clone()),
            StorePlace::Shared(_) => None,
        });
        named.map_or_else(Store::default_root, Ok)
    }

    /// The shared store, if there is one and the network may be asked. Nothing is asked yet.
    pub fn remote(&self, console: &Console) -> Result<Option<Remote>, Failure> {
        let named = self.store.iter().rev().find_map(|place| match place {
            StorePlace::Here(_) => None,
            StorePlace::Shared(location) => Some(location.clone()),
        });
        let set = std::env::var("PHPLAYER_SHARED_STORE").ok().filter(|text| !text.is_empty());
        let location = match (named, set) {
            (Some(named), _) => named,
            (None, Some(text)) => text.parse().map_err(|error| Failure::input(SharedNowhere(error)))?,
            (None, None) => return Ok(None),
        };
        if self.offline {
            return Ok(None);
        }
        let access = if self.store_readonly { Access::ReadOnly } else { Access::ReadWrite };
        let opened = Remote::open(location, access, Patience::default());
        Ok(opened.inspect_err(|error| console.warn(&format!("the shared store cannot be used: {error}"))).ok())
    }

    pub fn open(&self) -> Result<Store, Failure> {
        self.root().and_then(|root| Store::open(&root)).map_err(Failure::machine)
    }

    /// The store as it is, to look into; nothing is made.
    pub fn peek(&self) -> Result<Store, StoreError> {
        Ok(Store::peek(&self.root()?))
    }

    pub fn fetcher(&self, store: &Store) -> Fetcher {
        Fetcher::new(store.root()).sources_dir(self.sources.clone()).mirror(self.mirror.clone()).offline(self.offline)
    }
}

/// Which bases will do.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Bases {
    /// Take a base that is past its end
    #[arg(long)]
    pub allow_deprecated: bool,
}

/// A recipe that was read, and what it is to be built for.
pub struct Chosen {
    pub recipe: Recipe,
    pub catalogue: Catalogue,
    pub lock: Option<Lockfile>,
    pub image: BaseImage,
    pub target: Target,
}

/// The base is past its end.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("`{base}` is deprecated: {reason}")]
#[diagnostic(help("write `base = \"al2023\"`, or leave it out; `--allow-deprecated` takes it all the same"))]
struct Deprecated {
    base: String,
    reason: String,
}

impl Chosen {
    /// One recipe, for the first architecture that it is for.
    pub fn one(recipe: &Path, bases: Bases) -> Result<Self, Failure> {
        let read = recipe::load(recipe).map_err(Failure::input)?;
        let arch = read.arch.first().copied().unwrap_or(Arch::host());
        Self::new(read, arch, bases)
    }

    fn new(recipe: Recipe, arch: Arch, bases: Bases) -> Result<Self, Failure> {
        let catalogue = Catalogue::beside(&recipe.file).map_err(Failure::input)?;
        let lock = Lockfile::beside(&recipe.file).map_err(Failure::input)?;
        let image = base_image(&recipe, &catalogue)?;
        if let Some(reason) = image.deprecated.as_ref().filter(|_| !bases.allow_deprecated) {
            return Err(Failure::input(Deprecated { base: image.name.clone(), reason: reason.clone() }));
        }
        let target = Target { arch, base: image.base() };
        Ok(Self { recipe, catalogue, lock, image, target })
    }

    /// What the steps run in, if a container engine runs them: the base by its digest where the lock holds one.
    pub fn pinned_image(&self) -> container::Image {
        let locked = self.lock.as_ref().and_then(|lock| lock.locked.get(&self.image.lock_name()));
        container::Image::new(&self.image, locked)
    }

    /// The recipes named, or the one that is meant when none is; each for every architecture asked for.
    pub fn all(recipes: &[PathBuf], arch: Option<Arch>, bases: Bases) -> Result<Vec<Self>, Failure> {
        let files = match recipes {
            [] => vec![recipe::choose(Path::new("")).map_err(Failure::input)?],
            named => named.to_vec(),
        };
        let mut all = Vec::new();
        for file in files {
            let recipe = recipe::load(&file).map_err(Failure::input)?;
            let archs = match arch {
                Some(arch) => vec![arch],
                None if recipe.arch.is_empty() => vec![Arch::host()],
                None => recipe.arch.clone(),
            };
            for arch in archs {
                all.push(Self::new(recipe.clone(), arch, bases)?);
            }
        }
        Ok(all)
    }

    /// Decides every step for the engine that the recipe names; `auto` is the local one here. Asks the machine only what
    /// its compiler is called.
    pub fn plan(&self) -> Result<Plan, Failure> {
        match self.recipe.engine {
            Engine::Auto | Engine::Local => self.local_plan(),
            Engine::Container => self.container_plan(),
        }
    }

    pub fn local_plan(&self) -> Result<Plan, Failure> {
        let toolchain = Toolchain::identity(self.target).map_err(Failure::machine)?;
        self.plan_with(&toolchain)
    }

    pub fn container_plan(&self) -> Result<Plan, Failure> {
        self.plan_with(&self.pinned_image().toolchain(self.target.arch))
    }

    /// The recipe's mistakes, found before the machine is asked anything.
    pub fn check(&self) -> Result<(), Failure> {
        self.plan_with("").map(|_| ())
    }

    /// Every extension that the finished PHP has, those included that no switch takes out.
    pub fn loaded(&self, plan: &Plan) -> Vec<String> {
        let series = self.catalogue.php.values().find(|series| plan.php.starts_with(&format!("{}.", series.series)));
        let builtin = series.map(|series| series.builtin.clone()).unwrap_or_default();
        builtin.into_iter().chain(plan.extensions.iter().cloned()).collect()
    }

    /// Programs that the recipe's definitions ask of this machine beyond the common ones.
    pub fn catalogue_tools(&self) -> Vec<String> {
        self.plan_with("").map(|plan| plan.tools().into_iter().collect()).unwrap_or_default()
    }

    fn plan_with(&self, toolchain: &str) -> Result<Plan, Failure> {
        plan::resolve(&self.recipe, &self.catalogue, self.lock.as_ref(), self.target, toolchain).map_err(Failure::input)
    }
}

fn base_image(recipe: &Recipe, catalogue: &Catalogue) -> Result<BaseImage, Failure> {
    let Some(written) = &recipe.base else {
        return Ok(catalogue.bases[Base::default().name()].clone());
    };
    let word = written.get_ref().as_str();
    catalogue.bases.get(word).cloned().ok_or_else(|| {
        let known: Vec<&str> = catalogue.bases.keys().map(String::as_str).collect();
        let meant =
            suggest(word, known.iter().copied()).map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
        let mistake = recipe.mistake(
            written.span(),
            format!("`{word}` is not a known base"),
            format!("no bases/{word}.toml"),
            format!("{meant}known: {}; a bases/{word}.toml beside the recipe adds one", known.join(", ")),
        );
        Failure::input(Mistakes::new(recipe, vec![mistake]))
    })
}
