//! `phplayer build`: from a recipe to layers that pass the audit.

mod outcome;

use std::path::PathBuf;
use std::time::Instant;

use crate::audit::{self, Policy, text};
use crate::console::{self, Console};
use crate::digest::Digest;
use crate::engine::choice::{self, Choice, NamedBuilder};
use crate::engine::container::builder::Builder;
use crate::engine::container::{self, Site};
use crate::engine::exchange::Exchange;
use crate::engine::local::{self, Workshop};
use crate::engine::{EngineError, Tree};
use crate::failure::{Failure, Outcome};
use crate::layer::built::{Built, BuiltLayer, Container};
use crate::layer::{self, Layer, sizes};
use crate::plan::Plan;
use crate::process;
use crate::progress::{Event, Reporter};
use crate::recipe::Engine;
use crate::store::Store;
use crate::target::Arch;
use crate::toolchain::{self, Toolchain};
use crate::vendor::{self, Project, VendorError};

use super::chosen::{Bases, Chosen, Places};
use super::setup;

/// Compile, pack and audit the layers of recipes
///
/// What was compiled before, for any recipe, is not compiled again: a step is known by a digest of all that goes into it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  phplayer build --setup recipes/php-84.toml     install what this machine lacks, then build
  phplayer build                                 phplayer.toml here, or the only recipe in recipes/
  phplayer build --offline                       after `phplayer fetch`
  phplayer build --store s3://builds/phplayer    take steps that other machines made, leave those made here
  phplayer build --engine container              compile in the base image, with docker, podman, nerdctl or finch
  phplayer build --builder farm                  the same, with a builder of `docker buildx create --name farm`
  phplayer build --builder docker --builder arm64=graviton
                                                 arm64 on another machine, `docker context create graviton ...`
  phplayer build --sizes                         say what each extension and library adds")]
pub struct Args {
    /// Recipes [default: phplayer.toml, or the only one in recipes/]
    pub recipes: Vec<PathBuf>,
    /// Build for this architecture, whatever the recipe says
    #[arg(long)]
    pub arch: Option<Arch>,
    /// Build with this engine, whatever the recipe says
    #[arg(long)]
    pub engine: Option<Engine>,
    /// Build with this one of buildx, docker, podman, nerdctl and finch, or with this builder of `docker buildx create` or
    /// context of `docker context create`, which may be another machine; may be given for each architecture
    #[arg(long, value_name = "[ARCH=]NAME")]
    pub builder: Vec<NamedBuilder>,
    #[command(flatten)]
    pub bases: Bases,
    /// Write NAME-ARCH/{runtime.zip,vendor.zip,manifest.json} into this folder
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub out: PathBuf,
    #[command(flatten)]
    pub places: Places,
    /// Install what this machine lacks, with the system's package manager
    #[arg(long)]
    pub setup: bool,
    /// Run so many processes at once [default: the machine's processors]
    #[arg(short, long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Build vendor.zip without a composer.lock
    #[arg(long)]
    pub allow_unlocked: bool,
    /// Say what each extension and library adds to the executable
    #[arg(long)]
    pub sizes: bool,
    /// How to answer
    #[arg(long, default_value = "text")]
    pub format: Format,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Format {
    Text,
    Json,
}

pub fn run(args: Args, console: &Console) -> Result<Outcome, Failure> {
    let all = Chosen::all(&args.recipes, args.arch, args.bases)?;
    all.iter().try_for_each(Chosen::check)?;
    let mut built = Vec::new();
    let mut outcome = Outcome::Done;
    for chosen in &all {
        layer::bootstrap_for(chosen.target.arch).map_err(Failure::machine)?;
        let project = project(chosen, args.allow_unlocked);
        project.as_ref().map_or(Ok(()), Project::check).map_err(vendor_failure)?;
        let choice = choice(&args, chosen)?;
        let plan = match choice {
            Choice::Local => {
                let mut tools = chosen.catalogue_tools();
                tools.extend(toolchain::cross(chosen.target.arch));
                tools.extend(project.is_some().then(|| "composer".to_owned()));
                // Without one of the machine's own, Composer would run with the layer's PHP, which does not run here.
                let foreign = project.is_some() && chosen.target.arch != Arch::host();
                tools.extend(foreign.then(|| "php".to_owned()));
                tools.extend((!zig_is_at_hand(&args.places)).then(|| "pip".to_owned()));
                setup::ensure(&tools, args.setup, console)?;
                chosen.local_plan()?
            }
            Choice::Container(_) => chosen.container_plan()?,
        };
        let one = build(&args, chosen, &plan, &choice, console)?;
        if one.layers.iter().any(|layer| !layer.accepted) {
            outcome = Outcome::Objected;
        }
        let sizes = if args.sizes { Some(sizes_of(&args, &plan)?) } else { None };
        built.push((one, sizes));
    }
    match args.format {
        Format::Json => console.data(&outcome::json(&built)),
        Format::Text => console.data(&outcome::table(&built)),
    }
    Ok(outcome)
}

/// The builder that the user names for this architecture.
fn builder<'a>(args: &'a Args, chosen: &Chosen) -> Option<&'a str> {
    NamedBuilder::of(&args.builder, chosen.target.arch)
}

/// Whoever says `--setup` wants the local engine.
fn choice(args: &Args, chosen: &Chosen) -> Result<Choice, Failure> {
    match args.engine.unwrap_or(chosen.recipe.engine) {
        Engine::Auto if args.setup => Ok(Choice::Local),
        wanted => choice::choose(wanted, chosen.target, builder(args, chosen)).map_err(Failure::machine),
    }
}

fn build(args: &Args, chosen: &Chosen, plan: &Plan, choice: &Choice, console: &Console) -> Result<Built, Failure> {
    let start = Instant::now();
    let store = args.places.open()?;
    let missing = local::outstanding(plan, &store).len();
    let (steps, stored) = (plan.steps.len(), plan.steps.len() - missing);
    console.event(Event::Planned { recipe: plan.recipe.clone(), target: plan.target.to_string(), steps, stored });
    let folder = args.out.join(format!("{}-{}", plan.recipe, plan.target.arch));
    fs_err::create_dir_all(&folder).map_err(layer::LayerError::from).map_err(Failure::work)?;
    let before = Built::read(&folder);

    let image = match choice {
        Choice::Local => None,
        Choice::Container(_) => Some(chosen.pinned_image()),
    };
    let mut remote = args.places.remote(console)?;
    if let Some(image) = image.as_ref().filter(|image| !image.pinned) {
        // Its tag is all that the keys know of it, and a tag moves: another machine's link may be of another image.
        let without = if remote.take().is_some() { ", so the shared store is left alone" } else { "" };
        let mend = "`phplayer lock --engine container` asks the registry for its digest";
        console.warn(&format!("the base image {} is not pinned{without}: {mend}", image.reference));
    }
    let exchange = remote.as_ref().map(|remote| Exchange { plan, store: &store, remote, reporter: console });
    if let Some(exchange) = exchange {
        match choice {
            Choice::Local => exchange.pull().map(|_| ()),
            // All but the link stays in the builder's cache.
            Choice::Container(_) => exchange.pull_link(),
        }
        .map_err(engine_failure)?;
    }
    let tree = match (store.step(&plan.link().key), choice) {
        (Some(root), _) => Tree { root, ran: Vec::new() },
        (None, Choice::Container(found)) => contained(args, chosen, plan, found.as_ref(), &store, console)?,
        (None, Choice::Local) => {
            let fetcher = args.places.fetcher(&store);
            let toolchain = Toolchain::ready(plan.target, &store, &fetcher, console).map_err(Failure::machine)?;
            let jobs = args.jobs.or_else(|| Some(std::thread::available_parallelism().ok()?.get())).unwrap_or(2);
            let workshop = Workshop {
                store: &store,
                fetcher: &fetcher,
                toolchain: &toolchain,
                remote: remote.as_ref(),
                reporter: console,
                recipe: &chosen.recipe.file,
                jobs,
            };
            local::run(plan, &workshop).map_err(engine_failure)?
        }
    };
    if let Some(exchange) = exchange {
        exchange.push();
    }

    let mut layers = Vec::new();
    let zip = folder.join("runtime.zip");
    let key = runtime_key(plan, chosen);
    layers.push(match before.as_ref().and_then(|before| before.unchanged(&zip, &key)) {
        Some(same) => same,
        None => {
            let made = layer::runtime(plan, &chosen.recipe, &tree, &zip).map_err(Failure::work)?;
            judged(made, key, plan, console)?
        }
    });
    if let Some(project) = project(chosen, args.allow_unlocked) {
        let zip = folder.join("vendor.zip");
        let key = vendor_key(&project, plan, chosen)?;
        layers.push(match before.as_ref().and_then(|before| before.unchanged(&zip, &key)) {
            Some(same) => same,
            None => {
                let stage = tempfile::tempdir_in(&folder).map_err(layer::LayerError::from).map_err(Failure::work)?;
                let log = store.root().join("logs").join(format!("vendor-{}.log", plan.recipe));
                let installed = project
                    .install(&tree.root, &chosen.loaded(plan), &stage.path().join("vendor-tree"), &log)
                    .map_err(vendor_failure)?;
                let made = layer::vendor(&chosen.recipe, plan.target.base, &installed.root, installed.packages, &zip)
                    .map_err(Failure::work)?;
                judged(made, key, plan, console)?
            }
        });
    }
    let container = image.map(|image| Container { image: image.reference, pinned: image.pinned });
    let built = Built::new(plan, &chosen.recipe, container, layers);
    built.write(&folder).map_err(layer::LayerError::from).map_err(Failure::work)?;
    console.say("Done", &format!("{} in {}", folder.display(), console::seconds(start.elapsed())));
    Ok(built)
}

/// Has a container builder make what the store does not have.
fn contained(
    args: &Args,
    chosen: &Chosen,
    plan: &Plan,
    found: Option<&Builder>,
    store: &Store,
    console: &Console,
) -> Result<Tree, Failure> {
    let builder = match found {
        Some(builder) => builder.clone(),
        None => Builder::find(builder(args, chosen)).map_err(Failure::machine)?,
    };
    let image = chosen.pinned_image();
    console.say("Builder", &format!("{builder}, in {}", image.reference));
    let site = Site {
        store,
        fetcher: &args.places.fetcher(store),
        reporter: console,
        builder: &builder,
        image: &image,
        recipe: &chosen.recipe.file,
    };
    container::run(plan, &site).map_err(engine_failure)
}

/// Whether zig need not be had any more. pip is asked for it where upstream does not answer.
fn zig_is_at_hand(places: &Places) -> bool {
    let stored = places.peek().is_ok_and(|store| toolchain::has_zig(&store));
    stored
        || places.offline
        || places.sources.is_some()
        || process::answer("python3", &["-m", "pip", "--version"]).is_some()
}

/// Audits a layer just packed, and tells.
fn judged(made: Layer, key: Digest, plan: &Plan, console: &Console) -> Result<BuiltLayer, Failure> {
    let name = made.zip.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let sizes = format!("{}  ({} unpacked)", console::size(made.packed.zipped), console::size(made.packed.unzipped));
    console.say("Pack", &format!("{name}  {sizes}"));
    let report = audit::inspect(&made.zip, &Policy::for_target(plan.target)).map_err(Failure::work)?;
    console.say("Audit", &text::verdict(&report));
    if report.objects() {
        console.warn(&text::render(&report));
    }
    Ok(BuiltLayer::new(&made, key, !report.objects()))
}

/// All that the runtime's zip depends on.
fn runtime_key(plan: &Plan, chosen: &Chosen) -> Digest {
    let bootstrap = layer::bootstrap::for_arch(plan.target.arch).map(Digest::of);
    let limit = chosen.recipe.limits.unzipped.map(|limit| limit.0);
    let parts = (plan.link().key, layer::texts(plan, &chosen.recipe), bootstrap, limit);
    Digest::of(&serde_json::to_vec(&parts).expect("digests, strings and numbers always serialise"))
}

/// All that the vendor zip depends on. Composer's own version is left out: the lock decides what it installs.
fn vendor_key(project: &Project, plan: &Plan, chosen: &Chosen) -> Result<Digest, Failure> {
    let name = chosen.recipe.name.get_ref().to_string();
    let parts = (project.digest().map_err(vendor_failure)?, vendor::rules(), &plan.php, name);
    Ok(Digest::of(&serde_json::to_vec(&parts).expect("digests and strings always serialise")))
}

fn project(chosen: &Chosen, allow_unlocked: bool) -> Option<Project> {
    let vendor = chosen.recipe.vendor.as_ref()?;
    let folder = chosen.recipe.beside(&vendor.project);
    let folder = fs_err::canonicalize(&folder).unwrap_or(folder);
    Some(Project { folder, dev: vendor.dev, allow_unlocked })
}

/// What each part adds to the executable, from the link's map.
fn sizes_of(args: &Args, plan: &Plan) -> Result<Vec<(String, u64)>, Failure> {
    let store = args.places.open()?;
    let map = store.step(&plan.link().key).map(|tree| tree.join("link.map"));
    let text = map.and_then(|map| fs_err::read_to_string(map).ok()).unwrap_or_default();
    Ok(sizes::by_part(&text))
}

fn engine_failure(error: EngineError) -> Failure {
    match error {
        EngineError::Toolchain(_)
        | EngineError::Store(_)
        | EngineError::NotRun { .. }
        | EngineError::Builder(_)
        | EngineError::BuilderNotRun { .. }
        | EngineError::BuilderDied { .. }
        | EngineError::NoImage { .. }
        | EngineError::Foreign { .. } => Failure::machine(error),
        other => Failure::work(other),
    }
}

fn vendor_failure(error: VendorError) -> Failure {
    match error {
        VendorError::NoProject { .. }
        | VendorError::Unlocked { .. }
        | VendorError::Malformed { .. }
        | VendorError::Lacks { .. } => Failure::input(error),
        VendorError::NoComposer | VendorError::NoSandbox => Failure::machine(error),
        other => Failure::work(other),
    }
}
