//! Every step of a build, decided, nothing done: a pure function of what was written down.

mod order;
mod script;
mod step;
mod why;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::catalogue::{Catalogue, Extension, PhpSeries, Release};
use crate::digest::Digest;
use crate::lockfile::{Locked, Lockfile};
use crate::recipe::{Mistake, Mistakes, PhpVersion, Recipe, suggest};
use crate::source::Pinned;
use crate::target::Target;

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

/// What the recipe's words mean in this catalogue.
struct Chosen<'c> {
    series: &'c PhpSeries,
    release: &'c Release,
    extensions: Vec<&'c Extension>,
}

fn choose<'c>(recipe: &Recipe, catalogue: &'c Catalogue, lock: Option<&Lockfile>) -> Result<Chosen<'c>, PlanError> {
    let mut mistakes = Vec::new();
    let php = choose_php(recipe, catalogue, lock);
    let series = php.as_ref().ok().map(|(series, _)| *series);
    let mut wanted = Vec::new();
    for name in &recipe.extensions {
        let word = name.get_ref().as_str();
        match catalogue.extensions.get(word) {
            Some(extension) => {
                if let Some(series) = series
                    && !extension.php.is_empty()
                    && !extension.php.contains(&series.series)
                {
                    mistakes.push(recipe.mistake(
                        name.span(),
                        format!("`{word}` is not for PHP {}", series.series),
                        format!("known for PHP {}", extension.php.join(", ")),
                        Some("take it out, or pick another `php`".to_owned()),
                    ));
                }
                wanted.push((name, extension));
            }
            None if series.is_some_and(|series| series.builtin.iter().any(|builtin| builtin == word)) => {}
            None => mistakes.push(unknown(recipe, catalogue, name.span(), word)),
        }
    }
    for name in &recipe.shared {
        mistakes.push(recipe.mistake(
            name.span(),
            format!("`{}` cannot be a shared object here", name.get_ref()),
            "this phplayer links every extension in".to_owned(),
            Some("name it in `extensions`; it then starts faster than a shared object".to_owned()),
        ));
    }
    for (at, (name, extension)) in wanted.iter().enumerate() {
        for (_, other) in &wanted[..at] {
            if extension.conflicts.contains(&other.name) || other.conflicts.contains(&extension.name) {
                mistakes.push(recipe.mistake(
                    name.span(),
                    format!("`{}` and `{}` cannot be in one PHP", other.name, extension.name),
                    format!("conflicts with `{}` above", other.name),
                    Some("keep one of the two; two recipes can have one each".to_owned()),
                ));
            }
        }
    }
    let (series, release) = match php {
        Ok(php) if mistakes.is_empty() => php,
        Ok(_) => return Err(Mistakes::new(recipe, mistakes).into()),
        Err(NoPhp::Mistake(mistake)) => {
            mistakes.insert(0, *mistake);
            return Err(Mistakes::new(recipe, mistakes).into());
        }
        Err(NoPhp::Lock(error)) => return Err(*error),
    };
    let names: Vec<&str> = wanted.iter().map(|(_, extension)| extension.name.as_str()).collect();
    Ok(Chosen { series, release, extensions: order::extensions(catalogue, &names)? })
}

fn unknown(recipe: &Recipe, catalogue: &Catalogue, span: std::ops::Range<usize>, word: &str) -> Mistake {
    let all = catalogue.extensions.len();
    let list = format!("`phplayer list extensions` shows all {all}");
    let help = match suggest(word, catalogue.extensions.keys().map(String::as_str)) {
        Some(near) => format!("did you mean `{near}`? {list}"),
        None => format!("{list}; a php-extensions/{word}.toml beside the recipe adds one"),
    };
    recipe.mistake(
        span,
        format!("`{word}` is not a known extension"),
        format!("no php-extensions/{word}.toml"),
        Some(help),
    )
}

enum NoPhp {
    Mistake(Box<Mistake>),
    Lock(Box<PlanError>),
}

fn choose_php<'c>(
    recipe: &Recipe,
    catalogue: &'c Catalogue,
    lock: Option<&Lockfile>,
) -> Result<(&'c PhpSeries, &'c Release), NoPhp> {
    let wanted = *recipe.php.get_ref();
    let mistake = |label: String, help: String| {
        let message = format!("PHP {wanted} is not known here");
        NoPhp::Mistake(Box::new(recipe.mistake(recipe.php.span(), message, label, Some(help))))
    };
    let (major, minor) = wanted.series();
    let Some(series) = catalogue.php.get(&format!("{major}.{minor}")) else {
        let known: Vec<&str> = catalogue.php.keys().map(String::as_str).collect();
        return Err(mistake("no such series".to_owned(), format!("known series: {}", known.join(", "))));
    };
    let locked =
        match lock {
            Some(lock) => Some(lock.locked.get(&format!("php:{}", series.series)).ok_or_else(|| {
                NoPhp::Lock(Box::new(PlanError::NotLocked { what: format!("PHP {}", series.series) }))
            })?),
            None => None,
        };
    let fits = |release: &&Release| {
        let exact = release.version.parse::<PhpVersion>().is_ok_and(|version| wanted.covers(version));
        exact && locked.is_none_or(|locked| locked.version == release.version)
    };
    match series.releases.iter().find(fits) {
        Some(release) => {
            agrees(locked, &format!("PHP {}", series.series), release).map_err(|error| NoPhp::Lock(Box::new(error)))?;
            Ok((series, release))
        }
        None => {
            if let Some(locked) = locked
                && wanted.to_string() == series.series
            {
                let what = format!("PHP {}", series.series);
                return Err(NoPhp::Lock(Box::new(PlanError::LockedUnknown { what, version: locked.version.clone() })));
            }
            let known: Vec<&str> = series.releases.iter().map(|release| release.version.as_str()).collect();
            let held = locked.map(|locked| format!("; phplayer.lock holds {}", locked.version)).unwrap_or_default();
            Err(mistake(
                format!("not among the releases of {}", series.series),
                format!("known: {}{held}", known.join(", ")),
            ))
        }
    }
}

fn newest<'r>(releases: &'r [Release], series: Option<&str>) -> Option<&'r Release> {
    let fits = |release: &&Release| {
        release.php.is_empty() || series.is_none_or(|series| release.php.iter().any(|fit| fit == series))
    };
    releases.iter().find(fits)
}

fn pick(
    lock: Option<&Lockfile>,
    what: &str,
    name: &str,
    releases: &[Release],
    series: Option<&str>,
) -> Result<Pinned, PlanError> {
    let release = match lock {
        None => newest(releases, series).ok_or_else(|| PlanError::Missing {
            user: format!("PHP {}", series.unwrap_or_default()),
            need: name.to_owned(),
        })?,
        Some(lock) => {
            let locked = lock.locked.get(what).ok_or_else(|| PlanError::NotLocked { what: what.to_owned() })?;
            let release = releases
                .iter()
                .find(|release| release.version == locked.version)
                .ok_or_else(|| PlanError::LockedUnknown { what: what.to_owned(), version: locked.version.clone() })?;
            agrees(Some(locked), what, release)?;
            release
        }
    };
    Ok(release.pinned(name))
}

fn agrees(locked: Option<&Locked>, what: &str, release: &Release) -> Result<(), PlanError> {
    let digests: Vec<Digest> = release.sources.iter().map(|place| place.sha256).collect();
    match locked {
        Some(locked) if !locked.sha256.iter().all(|digest| digests.contains(digest)) => {
            Err(PlanError::LockDrift { what: what.to_owned(), version: release.version.clone() })
        }
        _ => Ok(()),
    }
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
