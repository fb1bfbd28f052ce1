//! Where the loader of glibc looks for a library, and what it finds there on Lambda.

use crate::audit::mounted::Mounted;
use crate::audit::policy::{Offer, Policy};
use crate::elf::{Dynamic, Search};

pub(super) struct Loader<'a> {
    pub(super) mounted: &'a Mounted<'a>,
    pub(super) policy: &'a Policy,
}

#[derive(Clone)]
pub(super) struct Object<'a> {
    pub(super) name: String,
    pub(super) dynamic: &'a Dynamic,
    /// The object that asked for it.
    pub(super) loader: Option<usize>,
}

#[derive(Clone)]
pub(super) enum Found<'a> {
    Layer {
        name: String,
        dynamic: &'a Dynamic,
    },
    /// The base has it, the layer's own stands behind it.
    Shadowed {
        place: String,
        by: Offer,
        through: Through,
        name: String,
        dynamic: &'a Dynamic,
    },
    Base,
    Unsure,
    Missing,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Through {
    LibraryPath,
    Runpath,
}

impl<'a> Loader<'a> {
    /// `DT_RPATH` of the object and of those that asked for it, then `LD_LIBRARY_PATH`, then its own `DT_RUNPATH`.
    pub(super) fn find(&self, objects: &[Object<'a>], at: usize, needed: &str) -> Found<'a> {
        if needed.contains('/') {
            return match self.mounted.library(needed) {
                Some((name, dynamic)) => Found::Layer { name, dynamic },
                None => Found::Missing,
            };
        }
        let is_system = |folder: &str| self.policy.system_folders.iter().any(|system| system == folder);
        let offer = self.policy.offer(needed);
        let of_base = || match offer {
            Offer::Sure => Found::Base,
            Offer::Unsure => Found::Unsure,
            Offer::Absent => Found::Missing,
        };
        for folder in self.rpath(objects, at) {
            if is_system(&folder) && offer != Offer::Absent {
                return of_base();
            }
            if let Some((name, dynamic)) = self.mounted.library(&format!("{folder}/{needed}")) {
                return Found::Layer { name, dynamic };
            }
        }
        let runpath = match &objects[at].dynamic.search {
            Search::Runpath(folders) => self.expand(folders, &objects[at].name),
            Search::Rpath(_) | Search::Default => Vec::new(),
        };
        let path = self.policy.library_path.iter().map(|folder| (folder.clone(), Through::LibraryPath));
        let mut base_first = false;
        for (folder, through) in path.chain(runpath.into_iter().map(|folder| (folder, Through::Runpath))) {
            if is_system(&folder) {
                base_first |= offer != Offer::Absent;
            } else if let Some((name, dynamic)) = self.mounted.library(&format!("{folder}/{needed}")) {
                if !base_first {
                    return Found::Layer { name, dynamic };
                }
                let folder = folder.strip_prefix(&self.policy.mount).unwrap_or(&folder);
                let place = format!("{folder}/{needed}").trim_start_matches('/').to_owned();
                return Found::Shadowed { place, by: offer, through, name, dynamic };
            }
        }
        of_base()
    }

    /// A `DT_RUNPATH` of the asking object switches all of this off.
    fn rpath(&self, objects: &[Object<'a>], at: usize) -> Vec<String> {
        if matches!(objects[at].dynamic.search, Search::Runpath(_)) {
            return Vec::new();
        }
        let chain = std::iter::successors(Some(at), |at| objects[*at].loader);
        chain
            .flat_map(|at| match &objects[at].dynamic.search {
                Search::Rpath(folders) => self.expand(folders, &objects[at].name),
                Search::Runpath(_) | Search::Default => Vec::new(),
            })
            .collect()
    }

    /// Puts in what the loader puts in, and makes the paths plain.
    fn expand(&self, folders: &[String], name: &str) -> Vec<String> {
        let origin = self.mounted.folder_of(name);
        let cpu = self.policy.target.arch.cpu();
        let tokens = [("ORIGIN", origin.as_str()), ("LIB", "lib64"), ("PLATFORM", cpu)];
        let expand = |folder: &String| {
            let filled = tokens.iter().fold(folder.clone(), |folder, (token, value)| {
                folder.replace(&format!("${{{token}}}"), value).replace(&format!("${token}"), value)
            });
            let mut parts: Vec<&str> = Vec::new();
            for part in filled.split('/').filter(|part| !part.is_empty() && *part != ".") {
                if part == ".." {
                    parts.pop();
                } else {
                    parts.push(part);
                }
            }
            format!("/{}", parts.join("/"))
        };
        folders.iter().filter(|folder| folder.starts_with(['/', '$'])).map(expand).collect()
    }
}
