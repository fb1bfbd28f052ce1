//! What a recipe's words mean in this catalogue, under this lock; and what is wrong with them.

use crate::catalogue::{Catalogue, Extension, PhpSeries, Release};
use crate::digest::Digest;
use crate::lockfile::{Locked, Lockfile};
use crate::recipe::{Mistake, Mistakes, PhpVersion, Recipe, suggest};
use crate::source::Pinned;

use super::{PlanError, order};

/// What the recipe's words mean in this catalogue.
pub(super) struct Chosen<'c> {
    pub series: &'c PhpSeries,
    pub release: &'c Release,
    pub extensions: Vec<&'c Extension>,
}

/// All mistakes at once, each at its place.
pub(super) fn choose<'c>(
    recipe: &Recipe,
    catalogue: &'c Catalogue,
    lock: Option<&Lockfile>,
) -> Result<Chosen<'c>, PlanError> {
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

/// The newest release for a PHP series.
pub(super) fn newest<'r>(releases: &'r [Release], series: Option<&str>) -> Option<&'r Release> {
    let fits = |release: &&Release| {
        release.php.is_empty() || series.is_none_or(|series| release.php.iter().any(|fit| fit == series))
    };
    releases.iter().find(fits)
}

/// The release that is meant: the locked one, or without a lock the newest.
pub(super) fn pick(
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
