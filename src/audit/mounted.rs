//! A layer as it lies under `/opt`: paths looked up the way the kernel does, symbolic links followed.

use std::collections::{BTreeMap, VecDeque};

use super::contents::{Content, Contents, Entry, Node};
use super::policy::Policy;
use crate::elf::{Dynamic, Facts};

/// The kernel's own limit.
const MAX_LINKS: usize = 40;

pub(super) struct Mounted<'a> {
    policy: &'a Policy,
    nodes: BTreeMap<String, Place<'a>>,
}

enum Place<'a> {
    Folder,
    Link(&'a str),
    File(&'a Content),
}

/// Where a path ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The real path, relative to the layer's top.
    Inside(String),
    /// Nothing is there in the layer.
    Nothing,
    /// An absolute path outside the layer.
    Outside(String),
    Loop,
}

impl<'a> Mounted<'a> {
    /// Entries whose names are no plain relative paths are left out.
    pub(super) fn new(contents: &'a Contents, policy: &'a Policy) -> Self {
        let mut nodes = BTreeMap::new();
        for entry in contents.entries.iter().filter(|entry| plain_name(&entry.name).is_ok()) {
            let name = parts(&entry.name).collect::<Vec<_>>().join("/");
            for (slash, _) in name.match_indices('/') {
                nodes.entry(name[..slash].to_owned()).or_insert(Place::Folder);
            }
            let place = match &entry.node {
                Node::Folder => Place::Folder,
                Node::Symlink { target } => Place::Link(target),
                Node::File(content) => Place::File(content),
            };
            nodes.insert(name, place);
        }
        Self { policy, nodes }
    }

    /// Follows an absolute path to its end.
    pub(super) fn follow(&self, path: &str) -> End {
        let mut rest: VecDeque<&str> = path.split('/').collect();
        let mut at: Vec<&str> = Vec::new();
        let mut links = 0;
        while let Some(part) = rest.pop_front() {
            match part {
                "" | "." => {}
                ".." => drop(at.pop()),
                _ => {
                    at.push(part);
                    let link = self.relative(&at).and_then(|name| match self.nodes.get(&name) {
                        Some(Place::Link(target)) => Some(*target),
                        _ => None,
                    });
                    if let Some(target) = link {
                        links += 1;
                        if links > MAX_LINKS {
                            return End::Loop;
                        }
                        at.pop();
                        if target.starts_with('/') {
                            at.clear();
                        }
                        target.split('/').rev().for_each(|part| rest.push_front(part));
                    }
                }
            }
        }
        match self.relative(&at) {
            Some(name) if name.is_empty() || self.nodes.contains_key(&name) => End::Inside(name),
            Some(_) => End::Nothing,
            None => End::Outside(format!("/{}", at.join("/"))),
        }
    }

    /// The path that an entry has on Lambda.
    pub(super) fn absolute(&self, name: &str) -> String {
        format!("{}/{name}", self.policy.mount)
    }

    /// The folder of an entry, absolute.
    pub(super) fn folder_of(&self, name: &str) -> String {
        match name.rsplit_once('/') {
            Some((folder, _)) => self.absolute(folder),
            None => self.policy.mount.clone(),
        }
    }

    /// A loadable dynamic ELF file for the policy's architecture, at an absolute path.
    pub(super) fn library(&self, path: &str) -> Option<(String, &'a Dynamic)> {
        let End::Inside(name) = self.follow(path) else { return None };
        let Some(Place::File(Content::Elf(facts))) = self.nodes.get(&name) else { return None };
        let dynamic = facts.dynamic.as_ref().filter(|_| loadable(facts, self.policy))?;
        Some((name, dynamic))
    }

    /// Names of the files and links that stand directly in an absolute folder.
    pub(super) fn listed(&self, folder: &str) -> Vec<String> {
        let End::Inside(folder) = self.follow(folder) else { return Vec::new() };
        let prefix = if folder.is_empty() { folder } else { format!("{folder}/") };
        let under = self.nodes.range(prefix.clone()..).take_while(|(name, _)| name.starts_with(&prefix));
        let files = under.filter(|(_, place)| !matches!(place, Place::Folder));
        files.map(|(name, _)| name[prefix.len()..].to_owned()).filter(|name| !name.contains('/')).collect()
    }

    /// Every place in the layer with such a file name.
    pub(super) fn places_of(&self, file_name: &str) -> Vec<String> {
        let named = |name: &&String| name.rsplit('/').next() == Some(file_name);
        self.nodes.keys().filter(named).cloned().collect()
    }

    fn relative(&self, at: &[&str]) -> Option<String> {
        let mount: Vec<&str> = parts(&self.policy.mount).collect();
        at.strip_prefix(mount.as_slice()).map(|parts| parts.join("/"))
    }
}

/// Whether the base's loader would consider the file at all.
pub(super) fn loadable(facts: &Facts, policy: &Policy) -> bool {
    facts.arch() == Some(policy.target.arch) && facts.kind != crate::elf::Kind::Unloadable
}

/// What is wrong with an entry's name, if something is.
pub(super) fn plain_name(name: &str) -> Result<(), &'static str> {
    if name.is_empty() {
        Err("the name is empty")
    } else if name.starts_with('/') {
        Err("the name is absolute")
    } else if name.split('/').any(|part| part == "..") {
        Err("the name climbs out with `..`")
    } else if name.contains('\\') {
        Err("the name has a backslash, which is no separator on Lambda")
    } else if name.contains('\0') {
        Err("the name has a zero byte")
    } else {
        Ok(())
    }
}

/// The name without `.` and empty parts.
pub(super) fn canonical(entry: &Entry) -> String {
    parts(&entry.name).collect::<Vec<_>>().join("/")
}

fn parts(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::contents::{ManifestFound, Origin};
    use crate::target::{Arch, Base, Target};

    #[test]
    fn paths_are_followed_as_the_kernel_does() {
        let link = |name: &str, target: &str| Entry {
            name: name.to_owned(),
            mode: None,
            node: Node::Symlink { target: target.to_owned() },
        };
        let file = |name: &str| Entry { name: name.to_owned(), mode: None, node: Node::File(Content::Data) };
        let contents = Contents {
            origin: Origin::Folder { path: "x".into() },
            entries: vec![
                file("lib/libfoo.so.1.2"),
                link("lib/libfoo.so.1", "libfoo.so.1.2"),
                link("lib64", "/opt/lib"),
                link("out", "../etc/passwd"),
                link("turn", "turn"),
                file("../evil"),
            ],
            unzipped: 0,
            corrupt: None,
            repeated: BTreeMap::new(),
            manifest: ManifestFound::Absent,
        };
        let policy = Policy::for_target(Target { arch: Arch::X86_64, base: Base::Al2023 });
        let mounted = Mounted::new(&contents, &policy);
        assert_eq!(mounted.follow("/opt/lib64/./libfoo.so.1"), End::Inside("lib/libfoo.so.1.2".to_owned()));
        assert_eq!(mounted.follow("/opt/bin/../lib"), End::Inside("lib".to_owned()));
        assert_eq!(mounted.follow("/opt"), End::Inside(String::new()));
        assert_eq!(mounted.follow("/opt/out"), End::Outside("/etc/passwd".to_owned()));
        assert_eq!(mounted.follow("/opt/turn"), End::Loop);
        assert_eq!(mounted.follow("/opt/nothing"), End::Nothing);
        assert_eq!(mounted.follow("/optional"), End::Outside("/optional".to_owned()));
        assert_eq!(mounted.listed("/opt/lib64"), ["libfoo.so.1", "libfoo.so.1.2"]);
    }
}
