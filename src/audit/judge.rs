//! The judgement: facts held against the policy, rule by rule.

use std::collections::BTreeMap;

use super::contents::{Content, Contents, Entry, ManifestFound, Node, Origin};
use super::loader;
use super::mounted::{End, Mounted, canonical, loadable, plain_name};
use super::policy::Policy;
use super::report::{Finding, Report, Subject};
use super::rule::Rule;
use super::waiver::Waiver;
use crate::elf::{self, Facts, Stack};
use crate::layer::manifest::{Kind, MANIFEST_PATH};

pub(super) fn judge(contents: &Contents, policy: &Policy) -> Report {
    let mounted = Mounted::new(contents, policy);
    let mut findings = whole(contents, policy);
    findings.extend(duplicates(contents));
    findings.extend(manifest(contents, policy));
    findings.extend(bootstrap(contents, &mounted));
    for entry in &contents.entries {
        findings.extend(name_and_mode(entry));
        findings.extend(match &entry.node {
            Node::Folder => vec![],
            Node::Symlink { .. } => symlink(entry, &mounted),
            Node::File(content) => file(entry, content, &mounted, policy),
        });
    }
    findings.extend(loader::check(contents, &mounted, policy));
    findings.sort_by(|a, b| (&a.file, a.level, a.rule, &a.message).cmp(&(&b.file, b.level, b.rule, &b.message)));

    let mut report = Report {
        subject: match &contents.origin {
            Origin::Zip { path, sha256, zipped } => {
                Subject::Zip { path: path.clone(), sha256: *sha256, zipped: *zipped }
            }
            Origin::Folder { path } => Subject::Folder { path: path.clone() },
        },
        target: policy.target,
        files: contents.entries.iter().filter(|entry| !matches!(entry.node, Node::Folder)).count(),
        unzipped: contents.unzipped,
        findings,
        manifest: contents.manifest().cloned(),
        arch: contents.arch(),
    };
    report.waive(&manifest_waivers(contents).filter_map(Result::ok).collect::<Vec<_>>());
    report
}

fn manifest_waivers(contents: &Contents) -> impl Iterator<Item = Result<Waiver, super::WaiverError>> {
    contents.manifest().into_iter().flat_map(|manifest| &manifest.waived).map(Waiver::try_from)
}

fn whole(contents: &Contents, policy: &Policy) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut object = |rule, message| findings.push(Finding::new(rule, None, message, vec![]));
    if let Some(why) = &contents.corrupt {
        object(Rule::CorruptZip, format!("it is no whole zip archive: {why}"));
    }
    if let Origin::Zip { zipped, .. } = contents.origin
        && zipped > policy.limits.zipped
    {
        object(Rule::ZippedTooLarge, format!("{zipped} bytes zipped; the limit is {}", policy.limits.zipped));
    }
    if contents.unzipped > policy.limits.unzipped {
        let message = format!("{} bytes unpacked; the limit is {}", contents.unzipped, policy.limits.unzipped);
        object(Rule::UnzippedTooLarge, message);
    }
    findings
}

/// The same name twice, or spelt in two ways.
fn duplicates(contents: &Contents) -> Vec<Finding> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for entry in &contents.entries {
        *counts.entry(canonical(entry)).or_default() += contents.repeated.get(&entry.name).copied().unwrap_or(1);
    }
    let object = |(name, count): (String, usize)| {
        Finding::new(Rule::DuplicateEntry, Some(&name), format!("{count} entries have this name"), vec![])
    };
    counts.into_iter().filter(|(_, count)| *count > 1).map(object).collect()
}

fn manifest(contents: &Contents, policy: &Policy) -> Vec<Finding> {
    let object = |rule, message| Finding::new(rule, Some(MANIFEST_PATH), message, vec![]);
    match &contents.manifest {
        ManifestFound::Absent => vec![],
        ManifestFound::Unreadable(why) => {
            vec![object(Rule::UnreadableManifest, format!("the manifest cannot be read: {why}"))]
        }
        ManifestFound::Sound(manifest) => {
            let mut findings = Vec::new();
            if manifest.base != policy.target.base || !manifest.arch.contains(&policy.target.arch) {
                let arch = manifest.arch.iter().map(|arch| arch.name()).collect::<Vec<_>>().join(" and ");
                let message = format!("it is made for {} on {arch}, and judged for {}", manifest.base, policy.target);
                findings.push(object(Rule::OtherTarget, message));
            }
            let wrong = manifest_waivers(contents).filter_map(Result::err);
            findings.extend(wrong.map(|error| object(Rule::UnknownWaiver, error.to_string())));
            findings
        }
    }
}

/// Only a layer that brings PHP itself needs a `bootstrap`; one that is there must work in any case.
fn bootstrap(contents: &Contents, mounted: &Mounted<'_>) -> Vec<Finding> {
    let named = |name: &str| contents.entries.iter().find(|entry| canonical(entry) == name);
    let object = |message: &str| vec![Finding::new(Rule::BadBootstrap, Some("bootstrap"), message.to_owned(), vec![])];
    if named("bootstrap").is_none() {
        let says_so = contents.manifest().is_some_and(|manifest| manifest.kind == Kind::Runtime);
        if !says_so && named("bin/php").is_none() {
            return vec![];
        }
        let message = "the layer brings a PHP runtime but no `bootstrap`".to_owned();
        return vec![Finding::new(Rule::MissingBootstrap, None, message, vec![])];
    }
    // A link that leads nowhere has its own rule.
    let End::Inside(end) = mounted.follow(&mounted.absolute("bootstrap")) else { return vec![] };
    let Some(Entry { node: Node::File(content), mode, .. }) = named(&end) else { return object("it is a folder") };
    match (mode, content) {
        (None, _) => object("the archive stores no modes, so it will not be executable"),
        (Some(mode), _) if mode & 0o111 != 0o111 => {
            object(&format!("its mode is {mode:04o}: not everybody may execute it"))
        }
        (_, Content::Data) => object("it is neither an ELF program nor a script with a `#!` line"),
        (_, Content::Elf(facts)) if !facts.is_program() => object("it is a library, not a program"),
        (_, Content::Script { interpreter }) if interpreter.ends_with('\r') => {
            object("its `#!` line ends with CR LF, and the CR becomes part of the interpreter's name")
        }
        (_, Content::Script { interpreter }) if !interpreter.starts_with('/') => {
            object(&format!("its `#!` line names `{interpreter}`, which is no absolute path"))
        }
        (Some(_), _) => vec![],
    }
}

fn name_and_mode(entry: &Entry) -> Vec<Finding> {
    let object = |rule, message| vec![Finding::new(rule, Some(&entry.name), message, vec![])];
    if let Err(why) = plain_name(&entry.name) {
        return object(Rule::UnsafeEntryName, why.to_owned());
    }
    match (&entry.node, entry.mode) {
        (Node::Folder, Some(mode)) if mode & 0o005 != 0o005 => {
            object(Rule::UnreadableEntry, format!("the folder's mode is {mode:04o}: others cannot look inside"))
        }
        (Node::File(_), Some(mode)) if mode & 0o004 == 0 => {
            object(Rule::UnreadableEntry, format!("its mode is {mode:04o}: others cannot read it"))
        }
        _ => vec![],
    }
}

fn symlink(entry: &Entry, mounted: &Mounted<'_>) -> Vec<Finding> {
    let Node::Symlink { target } = &entry.node else { return vec![] };
    if plain_name(&entry.name).is_err() {
        return vec![];
    }
    let (rule, message) = match mounted.follow(&mounted.absolute(&entry.name)) {
        End::Inside(_) => return vec![],
        End::Nothing => (Rule::DanglingSymlink, format!("it points to {target}, which the layer does not have")),
        End::Loop => (Rule::DanglingSymlink, format!("it points to {target}, and in circles")),
        End::Outside(end) => (Rule::EscapingSymlink, format!("it points to {target}, which is {end} on Lambda")),
    };
    vec![Finding::new(rule, Some(&entry.name), message, vec![])]
}

fn file(entry: &Entry, content: &Content, mounted: &Mounted<'_>, policy: &Policy) -> Vec<Finding> {
    let object = |rule, message| vec![Finding::new(rule, Some(&entry.name), message, vec![])];
    match content {
        Content::Elf(facts) => elf_file(entry, facts, mounted, policy),
        Content::DamagedElf(why) => object(Rule::DamagedElf, why.clone()),
        Content::Unreadable(why) => object(Rule::CorruptEntry, format!("it cannot be unpacked: {why}")),
        // Files are left unread only above the limit, and that is objected to for the layer as a whole.
        Content::Script { .. } | Content::Data | Content::Unread => vec![],
    }
}

fn elf_file(entry: &Entry, facts: &Facts, mounted: &Mounted<'_>, policy: &Policy) -> Vec<Finding> {
    if facts.kind == elf::Kind::Unloadable {
        return vec![];
    }
    let mut findings = Vec::new();
    let mut object = |rule, message| findings.push(Finding::new(rule, Some(&entry.name), message, vec![]));
    if !loadable(facts, policy) {
        let message = format!("it is {} code for {}, not for {}", facts.class, facts.machine, policy.target.arch);
        object(Rule::WrongMachine, message);
        return findings;
    }
    if let Some(interpreter) = &facts.interpreter
        && *interpreter != policy.interpreter
        && !matches!(mounted.follow(interpreter), End::Inside(_))
    {
        let message = format!("its loader is {interpreter}; on {} that is {}", policy.target, policy.interpreter);
        object(Rule::WrongInterpreter, message);
    }
    // The kernel does not look at the level: a static program is its own judge.
    if let (Some(needs), Some(has)) = (facts.isa, policy.isa)
        && facts.is_loaded_dynamically()
        && needs > has
    {
        object(Rule::IsaLevel, format!("it needs {needs}; Lambda surely has {has}"));
    }
    match (facts.stack, facts.is_loaded_dynamically()) {
        (Stack::Executable, _) => object(Rule::ExecutableStack, "it asks for an executable stack".to_owned()),
        (Stack::Unsaid, true) => {
            let message = "it has no PT_GNU_STACK header, which glibc takes as asking for an executable stack";
            object(Rule::ExecutableStack, message.to_owned());
        }
        (Stack::Plain | Stack::Unsaid, _) => {}
    }
    let dynamic = facts.dynamic.as_ref();
    if facts.is_loaded_dynamically() && dynamic.is_some_and(|dynamic| dynamic.packed_relocations) {
        object(Rule::PackedRelocations, "its relocations are packed (DT_RELR)".to_owned());
    }
    if dynamic.is_some_and(|dynamic| dynamic.text_relocations) {
        object(Rule::TextRelocations, "the loader must write to its code".to_owned());
    }
    let is_bootstrap = canonical(entry) == "bootstrap";
    if let Some(mode) = entry.mode
        && mode & 0o111 != 0o111
        && facts.is_program()
        && !is_bootstrap
    {
        object(Rule::NotExecutable, format!("its mode is {mode:04o}"));
    }
    findings
}
