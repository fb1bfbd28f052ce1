//! The dynamic loader of glibc, replayed: for every program and library of a layer, which file each needed library
//! comes from on Lambda, and whether it will do.

use std::collections::{BTreeMap, BTreeSet};

use super::contents::Contents;
use super::mounted::{Mounted, loadable};
use super::policy::{Fit, Offer, Policy};
use super::report::Finding;
use super::rule::Rule;
use crate::elf::Strength;

mod search;

use search::{Found, Loader, Object, Through};

/// Finds what keeps the layer's ELF files from being loaded.
pub(super) fn check(contents: &Contents, mounted: &Mounted<'_>, policy: &Policy) -> Vec<Finding> {
    let loader = Loader { mounted, policy };
    let objects = contents.elf_files().filter(|(_, facts)| facts.is_loaded_dynamically() && loadable(facts, policy));
    let (programs, libraries): (Vec<_>, Vec<_>) = objects.partition(|(_, facts)| facts.interpreter.is_some());

    let mut sessions: Vec<Session<'_>> =
        programs.iter().filter_map(|(entry, _)| loader.start(&entry.name, None)).collect();
    // PHP opens its extensions by their path: the loader then searches as for PHP itself.
    let host = sessions.iter().find(|session| session.root == "bin/php").cloned();
    let served: BTreeSet<String> = sessions.iter().flat_map(|session| session.files()).collect();
    let plugins = libraries.iter().filter(|(entry, _)| !served.contains(&entry.name));
    let plugins: Vec<_> = plugins.filter_map(|(entry, _)| loader.start(&entry.name, host.as_ref())).collect();
    sessions.extend(alone(plugins));

    let mut problems: BTreeMap<(String, Rule, String), BTreeSet<String>> = BTreeMap::new();
    let mut shadowed: BTreeMap<String, BTreeSet<String>> = loader.in_the_way(&sessions);
    for problem in sessions.into_iter().flat_map(|session| session.problems) {
        match problem {
            Problem::Shadowed { library, needer } => drop(shadowed.entry(library).or_default().insert(needer)),
            Problem::Other { file, rule, message, details } => {
                problems.entry((file, rule, message)).or_default().extend(details);
            }
        }
    }
    let others = problems.into_iter().map(|((file, rule, message), details)| {
        Finding::new(rule, Some(&file), message, details.into_iter().collect())
    });
    let shadowed = shadowed.into_iter().map(|(library, needers)| {
        let details = match needers.len() {
            0 => vec!["nothing in the layer loads it through a DT_RPATH".to_owned()],
            _ => needers.iter().map(|needer| format!("needed by {needer}, which has no DT_RPATH to it")).collect(),
        };
        let name = library.rsplit('/').next().unwrap_or(&library);
        let message = format!("{name} is in the base's /lib64 too, and that one is found first");
        Finding::new(Rule::ShadowedLibrary, Some(&library), message, details)
    });
    others.chain(shadowed).collect()
}

/// Drops the sessions of libraries that another one loads: what counts for them is how they are reached.
fn alone(sessions: Vec<Session<'_>>) -> Vec<Session<'_>> {
    let mut loaders: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (at, session) in sessions.iter().enumerate() {
        session.files().skip(1).for_each(|file| loaders.entry(file).or_default().push(at));
    }
    let mut kept = vec![true; sessions.len()];
    for (at, session) in sessions.iter().enumerate() {
        kept[at] = !loaders.get(&session.root).is_some_and(|loaders| loaders.iter().any(|loader| kept[*loader]));
    }
    sessions.into_iter().zip(kept).filter_map(|(session, kept)| kept.then_some(session)).collect()
}

/// One start of a program, or one opening of a library: what is loaded in order, and what went wrong.
#[derive(Clone)]
struct Session<'a> {
    root: String,
    /// The host's objects come first where there is one.
    objects: Vec<Object<'a>>,
    /// How many of them are the host's.
    inherited: usize,
    names: BTreeMap<String, Found<'a>>,
    problems: Vec<Problem>,
}

#[derive(Clone)]
enum Problem {
    Shadowed { library: String, needer: String },
    Other { file: String, rule: Rule, message: String, details: Vec<String> },
}

impl Session<'_> {
    /// The layer's files that this session loaded itself, the root first.
    fn files(&self) -> impl Iterator<Item = String> {
        self.objects.iter().skip(self.inherited).map(|object| object.name.clone())
    }
}

impl<'a> Loader<'a> {
    /// Loads breadth first, each name once, as glibc does.
    fn start(&self, root: &str, host: Option<&Session<'a>>) -> Option<Session<'a>> {
        let (name, dynamic) = self.mounted.library(&self.mounted.absolute(root))?;
        let mut session = Session {
            root: name.clone(),
            objects: host.map(|host| host.objects.clone()).unwrap_or_default(),
            inherited: host.map_or(0, |host| host.objects.len()),
            names: host.map(|host| host.names.clone()).unwrap_or_default(),
            problems: Vec::new(),
        };
        let mut at = session.objects.len();
        session.objects.push(Object { name, dynamic, loader: host.map(|_| 0) });
        while at < session.objects.len() {
            let dynamic = session.objects[at].dynamic;
            for needed in &dynamic.needed {
                self.need(&mut session, at, needed);
            }
            self.versions(&mut session, at);
            at += 1;
        }
        Some(session)
    }

    fn need(&self, session: &mut Session<'a>, at: usize, needed: &str) {
        if session.names.contains_key(needed) {
            return;
        }
        let file = session.objects[at].name.clone();
        let found = self.find(&session.objects, at, needed);
        let base = self.policy.target.base;
        let object = |rule, message, details| Problem::Other { file: file.clone(), rule, message, details };
        match &found {
            Found::Layer { .. } | Found::Base => {}
            Found::Shadowed { place, through: Through::LibraryPath, .. } => {
                session.problems.push(Problem::Shadowed { library: place.clone(), needer: file.clone() });
            }
            Found::Shadowed { place, through: Through::Runpath, .. } => {
                let message = format!("its DT_RUNPATH finds {place}, but the {needed} of /lib64 comes first");
                session.problems.push(object(Rule::OverruledRunpath, message, vec![]));
            }
            Found::Unsure => {
                let message = format!("needs {needed}, which {base}'s public image has, but not surely Lambda");
                session.problems.push(object(Rule::MissingLibrary, message, self.out_of_reach(needed)));
            }
            Found::Missing => {
                let message = format!("needs {needed}, which is neither in the layer's search path nor in {base}");
                session.problems.push(object(Rule::MissingLibrary, message, self.out_of_reach(needed)));
                return;
            }
        }
        if let Found::Layer { name, dynamic } | Found::Shadowed { name, dynamic, .. } = &found {
            if !session.objects.iter().any(|loaded| loaded.name == *name) {
                session.objects.push(Object { name: name.clone(), dynamic, loader: Some(at) });
            }
            if let Some(soname) = &dynamic.soname {
                session.names.entry(soname.clone()).or_insert_with(|| found.clone());
            }
        }
        session.names.insert(needed.to_owned(), found);
    }

    /// Judges the symbol versions that an object needs, once its libraries are known.
    fn versions(&self, session: &mut Session<'a>, at: usize) {
        let object = session.objects[at].clone();
        let base = self.policy.target.base;
        for need in object.dynamic.versions_needed.iter().filter(|need| need.strength == Strength::Hard) {
            let (version, library) = (&need.version, &need.library);
            let from_base = match session.names.get(library) {
                Some(Found::Base | Found::Shadowed { by: Offer::Sure, .. }) => true,
                None => self.policy.offer(library) == Offer::Sure,
                Some(_) => false,
            };
            let problem = if from_base {
                match self.policy.fit(version) {
                    Fit::Fits => continue,
                    Fit::TooNew { newest } => {
                        let message = format!("needs {version} of {library}; {base} has {newest}");
                        (Rule::VersionTooNew, message)
                    }
                    Fit::Unknown => {
                        (Rule::VersionTooNew, format!("needs {version} of {library}, which {base} has not"))
                    }
                }
            } else {
                match session.names.get(library) {
                    Some(Found::Layer { name, dynamic } | Found::Shadowed { name, dynamic, .. })
                        if !dynamic.versions_defined.is_empty() && !dynamic.versions_defined.contains(version) =>
                    {
                        (Rule::VersionMissing, format!("needs {version}, which {name} does not define"))
                    }
                    _ => continue,
                }
            };
            let (rule, message) = problem;
            session.problems.push(Problem::Other { file: object.name.clone(), rule, message, details: vec![] });
        }
    }

    /// Names of the base's in the layer's part of `LD_LIBRARY_PATH` that no session loaded: whoever asks for them by
    /// name gets the base's.
    fn in_the_way(&self, sessions: &[Session<'_>]) -> BTreeMap<String, BTreeSet<String>> {
        let loaded: BTreeSet<String> = sessions.iter().flat_map(|session| session.files()).collect();
        let roots: BTreeSet<&str> = sessions.iter().map(|session| session.root.as_str()).collect();
        let mut found = BTreeMap::new();
        for folder in self.policy.library_path.iter().filter(|folder| folder.starts_with(&self.policy.mount)) {
            for file in self.mounted.listed(folder) {
                let place = format!("{folder}/{file}");
                let Some((name, _)) = self.mounted.library(&place) else { continue };
                let unused = !loaded.contains(&name) || roots.contains(name.as_str());
                if unused && self.policy.offer(&file) != Offer::Absent {
                    let relative = place.strip_prefix(&self.policy.mount).unwrap_or(&place);
                    found.insert(relative.trim_start_matches('/').to_owned(), BTreeSet::new());
                }
            }
        }
        found
    }

    fn out_of_reach(&self, needed: &str) -> Vec<String> {
        let places = self.mounted.places_of(needed);
        places.into_iter().map(|place| format!("the layer has {place}, where the loader does not look")).collect()
    }
}
