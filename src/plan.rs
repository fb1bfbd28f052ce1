//! Every step of a build, decided, nothing done: a pure function of what was written down.

mod answers;
mod choice;
mod order;
mod script;
mod step;
mod why;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::catalogue::{Catalogue, Release};
use crate::lockfile::{Locked, Lockfile};
use crate::recipe::{Mistakes, Recipe};
use crate::source::Pinned;
use crate::target::Target;

use choice::{choose, newest, pick};

pub use step::{Inputs, SourceMount, Step, StepId};
pub use why::{Why, why};

/// All that `build` will do, in an order in which it can be done. Serialised, this is `phplayer plan --format json`.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Plan {
    pub recipe: String,
    pub target: Target,
    /// The exact PHP release.
    pub php: String,
    /// What compiles; part of every step's key.
    pub toolchain: String,
    /// Extensions that will be in, those that came along included, sorted.
    pub extensions: Vec<String>,
    /// php.ini lines that the extensions want.
    pub ini: BTreeMap<String, String>,
    /// What the layer will contain code of: name, version, SPDX licence, source.
    pub components: Vec<Component>,
    pub steps: Vec<Step>,
}

/// One part of the layer by its origin.
#[derive(Clone, Debug, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Component {
    pub name: String,
    pub version: String,
    pub license: String,
    #[schemars(skip)]
    pub pinned: Pinned,
}

impl Plan {
    /// The step whose output is the layer's content.
    pub fn link(&self) -> &Step {
        self.steps.last().expect("a plan ends with its link: resolve() puts it there")
    }

    pub fn step(&self, id: &StepId) -> Option<&Step> {
        self.steps.iter().find(|step| step.id == *id)
    }

    /// What a step's key is made of.
    pub fn inputs(&self, step: &Step) -> Inputs {
        let keys = self.steps.iter().map(|step| (step.id.clone(), step.key)).collect();
        step.inputs(self.target, &self.toolchain, &keys)
    }

    /// Every source, each once.
    pub fn sources(&self) -> Vec<Pinned> {
        let mut seen = BTreeSet::new();
        let mounts = self.steps.iter().flat_map(|step| &step.sources);
        mounts.filter(|mount| seen.insert(mount.pinned.name.clone())).map(|mount| mount.pinned.clone()).collect()
    }

    /// Programs that the steps ask of the build machine beyond the common ones.
    pub fn tools(&self) -> BTreeSet<String> {
        self.steps.iter().flat_map(|step| step.tools.iter().cloned()).collect()
    }
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum PlanError {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Recipe(#[from] Mistakes),
    #[error("phplayer.lock says nothing of {what}")]
    #[diagnostic(help(
        "the recipe gained it since the lock was written: `phplayer lock` adds it, and moves nothing else"
    ))]
    NotLocked { what: String },
    #[error("phplayer.lock holds {what} at {version}, which no definition here knows")]
    #[diagnostic(help(
        "`phplayer lock --upgrade` moves to what is known; or add a [[release]] with that version and its sha256"
    ))]
    LockedUnknown { what: String, version: String },
    #[error("phplayer.lock and the definition of {what} {version} disagree on the sha256 of its source")]
    #[diagnostic(help(
        "one of them was changed: look at both before you write the lock anew with `phplayer lock --upgrade`"
    ))]
    LockDrift { what: String, version: String },
    #[error("these need each other in a circle: {}", names.join(", "))]
    #[diagnostic(help("one of these definitions names a `needs` that it should not"))]
    Circle { names: Vec<String> },
    #[error("{user} needs {need}, and there is no such definition")]
    #[diagnostic(help(
        "add php-extensions/{need}.toml (a library: php-extensions/libraries/{need}.toml), or mend `needs`"
    ))]
    Missing { user: String, need: String },
}

/// Decides every step. `toolchain` names what compiles, for example `gcc 12.2.0 + zig 0.15.2`.
pub fn resolve(
    recipe: &Recipe,
    catalogue: &Catalogue,
    lock: Option<&Lockfile>,
    target: Target,
    toolchain: &str,
) -> Result<Plan, PlanError> {
    let chosen = choose(recipe, catalogue, lock)?;
    let libraries = order::libraries(catalogue, &chosen.extensions)?;
    let mut steps = Vec::new();
    let mut components = Vec::new();

    let php = chosen.release.pinned("php");
    let mut library_steps = Vec::new();
    for name in &libraries {
        let library = &catalogue.libraries[name];
        let pinned = pick(lock, &format!("lib:{name}"), name, &library.releases, None)?;
        components.push(component(name, &library.license, &pinned));
        library_steps.push(script::library(
            library,
            pinned,
            target,
            &order::library_closure(catalogue, &library.needs)?,
        ));
    }
    steps.push(script::php(chosen.series, php.clone(), target));
    components.push(component("php", &chosen.series.license, &php));
    steps.extend(library_steps);
    for extension in &chosen.extensions {
        let own = match extension.releases.is_empty() {
            true => None,
            false => {
                let what = format!("ext:{}", extension.name);
                Some(pick(lock, &what, &extension.name, &extension.releases, Some(&chosen.series.series))?)
            }
        };
        if let Some(pinned) = &own {
            components.push(component(&extension.name, extension.license.as_deref().unwrap_or("PHP-3.01"), pinned));
        }
        let needed: Vec<_> = order::library_closure(catalogue, &extension.libraries)?
            .iter()
            .map(|name| &catalogue.libraries[name])
            .collect();
        steps.push(script::extension(extension, own, &php, target, &needed));
    }
    let archives: Vec<String> =
        libraries.iter().rev().flat_map(|name| script::archives(&catalogue.libraries[name])).collect();
    steps.push(script::link(recipe, &chosen.extensions, &libraries, &archives, &php, target));
    step::seal(&mut steps, target, toolchain);

    let ini = chosen.extensions.iter().flat_map(|extension| &extension.ini);
    Ok(Plan {
        recipe: recipe.name.get_ref().to_string(),
        target,
        php: chosen.release.version.clone(),
        toolchain: toolchain.to_owned(),
        extensions: chosen.extensions.iter().map(|extension| extension.name.clone()).collect(),
        ini: ini.map(|(key, value)| (key.clone(), ini_text(value))).collect(),
        components,
        steps,
    })
}

/// The lock that a recipe needs: what `old` holds stays unless `upgrade` says otherwise.
pub fn lock(
    recipe: &Recipe,
    catalogue: &Catalogue,
    old: Option<&Lockfile>,
    upgrade: bool,
) -> Result<Lockfile, PlanError> {
    let mut lock = Lockfile { version: 1, locked: old.map(|old| old.locked.clone()).unwrap_or_default() };
    let chosen = choose(recipe, catalogue, None)?;
    let mut add = |what: String, release: &Release| {
        let locked = Locked {
            version: release.version.clone(),
            sha256: release.sources.iter().map(|place| place.sha256).collect(),
        };
        if upgrade {
            lock.locked.insert(what, locked);
        } else {
            lock.locked.entry(what).or_insert(locked);
        }
    };
    add(format!("php:{}", chosen.series.series), chosen.release);
    for extension in &chosen.extensions {
        if let Some(release) = newest(&extension.releases, Some(&chosen.series.series)) {
            add(format!("ext:{}", extension.name), release);
        }
    }
    for name in order::libraries(catalogue, &chosen.extensions)? {
        if let Some(release) = catalogue.libraries[&name].releases.first() {
            add(format!("lib:{name}"), release);
        }
    }
    Ok(lock)
}

fn component(name: &str, license: &str, pinned: &Pinned) -> Component {
    Component {
        name: name.to_owned(),
        version: pinned.version.clone(),
        license: license.to_owned(),
        pinned: pinned.clone(),
    }
}

fn ini_text(value: &toml::Value) -> String {
    match value {
        toml::Value::String(text) => format!("\"{text}\""),
        toml::Value::Boolean(true) => "1".to_owned(),
        toml::Value::Boolean(false) => "0".to_owned(),
        other => other.to_string(),
    }
}
