//! From a finished tree to a layer: what goes in, how it is zipped, what it says of itself.

pub mod bootstrap;
pub mod built;
pub mod ini;
pub mod manifest;
mod sbom;
pub mod sizes;

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::archive::{self, ArchiveError, Packed};
use crate::engine::Tree;
use crate::plan::Plan;
use crate::recipe::{ByteSize, Recipe};
use crate::target::{Arch, Base};

use manifest::{Kind, MANIFEST_PATH, Manifest, SourceRecord, WaiverRecord};

/// What a function and all its layers may unpack to, in bytes: 250 MiB.
pub const UNZIPPED_LIMIT: u64 = 262_144_000;

/// A packed zip and what it is.
#[derive(Clone, Debug)]
pub struct Layer {
    pub zip: PathBuf,
    pub packed: Packed,
    pub manifest: Manifest,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum LayerError {
    #[error("cannot put the layer together")]
    #[diagnostic(help("look at the free space and the permissions of the output folder"))]
    Io(#[from] io::Error),
    #[error("cannot pack the layer")]
    #[diagnostic(help("look at the free space and the permissions of the output folder"))]
    Pack(#[from] ArchiveError),
    #[error("this phplayer carries no bootstrap for {arch}")]
    #[diagnostic(help("{}", bootstrap::way_out(*arch)))]
    NoBootstrap { arch: Arch },
    #[error("{} unpacks to {}, and the recipe allows {limit}", file, crate::layer::size(*unzipped))]
    #[diagnostic(help(
        "`phplayer build --sizes` says what each part adds; [limits] unzipped in the recipe is the bound"
    ))]
    TooLarge { file: String, unzipped: u64, limit: ByteSize },
}

/// Bytes as people read them, to the tenth of a MiB.
pub(crate) fn size(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
}

/// What the runtime's zip will hold, apart from what is compiled: a pure function of plan and recipe.
/// Pairs of a path in the layer and its content.
pub fn texts(plan: &Plan, recipe: &Recipe) -> Vec<(String, String)> {
    let manifest = runtime_manifest(plan, recipe);
    vec![
        ("etc/php/php.ini".to_owned(), ini::base().to_owned()),
        ("etc/php/conf.d/50-extensions.ini".to_owned(), ini::extensions(plan)),
        ("etc/php/conf.d/90-recipe.ini".to_owned(), ini::recipe(recipe)),
        ("etc/php-fpm.conf".to_owned(), bootstrap::FPM_CONF.to_owned()),
        ("phplayer/worker.php".to_owned(), bootstrap::WORKER.to_owned()),
        ("phplayer/sbom.cdx.json".to_owned(), sbom::render(plan, recipe)),
        (MANIFEST_PATH.to_owned(), json(&manifest)),
    ]
}

/// The runtime for an architecture, or how to get it.
pub fn bootstrap_for(arch: Arch) -> Result<&'static [u8], LayerError> {
    bootstrap::for_arch(arch).ok_or(LayerError::NoBootstrap { arch })
}

/// `runtime.zip`: PHP, the bootstrap, configuration, manifest and bill of materials.
pub fn runtime(plan: &Plan, recipe: &Recipe, tree: &Tree, zip: &Path) -> Result<Layer, LayerError> {
    let bootstrap = bootstrap_for(plan.target.arch)?;
    let stage = tempfile::tempdir_in(zip.parent().unwrap_or(Path::new(".")))?;
    let root = stage.path().join("layer");
    for (path, text) in texts(plan, recipe) {
        write(&root.join(path), text.as_bytes())?;
    }
    write(&root.join("bootstrap"), bootstrap)?;
    fs_err::set_permissions(root.join("bootstrap"), PermissionsExt::from_mode(0o755))?;
    fs_err::create_dir_all(root.join("bin"))?;
    for entry in fs_err::read_dir(tree.root.join("bin"))? {
        let entry = entry?;
        let target = root.join("bin").join(entry.file_name());
        match fs_err::read_link(entry.path()) {
            Ok(link) => fs_err::os::unix::fs::symlink(link, target)?,
            Err(_) => drop(fs_err::copy(entry.path(), target)?),
        }
    }
    let packed = archive::pack(&root, zip)?;
    within(recipe, "runtime.zip", &packed)?;
    Ok(Layer { zip: zip.to_owned(), packed, manifest: runtime_manifest(plan, recipe) })
}

/// `vendor.zip` from a folder that holds `vendor/`.
pub fn vendor(
    recipe: &Recipe,
    base: Base,
    root: &Path,
    packages: Vec<(String, String)>,
    zip: &Path,
) -> Result<Layer, LayerError> {
    let name = recipe.name.get_ref();
    let manifest = Manifest {
        schema: 1,
        kind: Kind::Vendor,
        layer: format!("{name}-vendor"),
        description: format!("Composer packages of {name}: {}", packages.len()),
        license: recipe.publish.license.clone().unwrap_or_else(|| "NOASSERTION".to_owned()),
        recipe: name.to_string(),
        base,
        arch: Arch::ALL.to_vec(),
        toolchain: None,
        versions: packages.into_iter().collect(),
        extensions: Vec::new(),
        sources: Vec::new(),
        waived: waivers(recipe),
    };
    write(&root.join(Kind::Vendor.manifest_path()), json(&manifest).as_bytes())?;
    let packed = archive::pack(root, zip)?;
    within(recipe, "vendor.zip", &packed)?;
    Ok(Layer { zip: zip.to_owned(), packed, manifest })
}

fn within(recipe: &Recipe, file: &str, packed: &Packed) -> Result<(), LayerError> {
    match recipe.limits.unzipped {
        Some(limit) if packed.unzipped > limit.0 => {
            Err(LayerError::TooLarge { file: file.to_owned(), unzipped: packed.unzipped, limit })
        }
        _ => Ok(()),
    }
}

fn runtime_manifest(plan: &Plan, recipe: &Recipe) -> Manifest {
    let name = recipe.name.get_ref();
    let mut description = format!("PHP {} for {}: {}", plan.php, plan.target.base.runtime(), plan.extensions.join(" "));
    truncate(&mut description, 256);
    let mut licenses: Vec<&str> = plan.components.iter().map(|component| component.license.as_str()).collect();
    licenses.push("MIT");
    licenses.sort_unstable();
    licenses.dedup();
    let mut license = licenses.join(" AND ");
    truncate(&mut license, 512);
    let sources = plan.components.iter().flat_map(|component| {
        // Whichever packed form was used, the first is the one that names the release.
        component.pinned.alternatives.first().map(|form| SourceRecord {
            name: component.name.clone(),
            version: component.version.clone(),
            sha256: form.sha256,
        })
    });
    Manifest {
        schema: 1,
        kind: Kind::Runtime,
        layer: format!("{name}-{}", plan.target.arch),
        description: recipe.publish.description.clone().unwrap_or(description),
        license: recipe.publish.license.clone().unwrap_or(license),
        recipe: name.to_string(),
        base: plan.target.base,
        arch: vec![plan.target.arch],
        toolchain: Some(plan.toolchain.clone()),
        versions: plan.components.iter().map(|part| (part.name.clone(), part.version.clone())).collect(),
        extensions: plan.extensions.clone(),
        sources: sources.collect(),
        waived: waivers(recipe),
    }
}

fn waivers(recipe: &Recipe) -> Vec<WaiverRecord> {
    let record = |waiver: &crate::recipe::Waiver| WaiverRecord {
        rule: waiver.rule.clone(),
        file: waiver.file.clone(),
        reason: waiver.reason.clone(),
    };
    recipe.waive.iter().map(record).collect()
}

/// Lambda counts characters, and a word cut in half helps nobody.
fn truncate(text: &mut String, characters: usize) {
    if text.chars().count() > characters {
        // Room for a space and the ellipsis; a word may end just where the cut is.
        let cut: String = text.chars().take(characters - 1).collect();
        let end =
            cut.rfind(' ').unwrap_or_else(|| cut.char_indices().nth(characters - 2).map_or(cut.len(), |(at, _)| at));
        *text = format!("{} …", &cut[..end]);
    }
}

fn json(value: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("plain data with string keys always serialises");
    text.push('\n');
    text
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs_err::create_dir_all(folder)?;
    }
    fs_err::write(path, bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_end_at_a_word() {
        let mut text = "one two three".to_owned();
        truncate(&mut text, 9);
        assert_eq!(text, "one two …");
        let mut short = "one".to_owned();
        truncate(&mut short, 3);
        assert_eq!(short, "one");
    }
}
