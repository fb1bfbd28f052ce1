//! Layers unpacked into one folder as Lambda merges them into `/opt`: in order, the later one wins.

use std::collections::HashSet;
use std::io::{self, Read};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use fs_err as fs;
use zip::ZipArchive;

use super::EmulatorError;

/// Function and layers together may not be larger, in bytes (250 MiB).
pub const UNPACKED_LIMIT: u64 = 262_144_000;
/// A function takes no more layers.
pub const LAYER_LIMIT: usize = 5;
/// A symbolic link's target; Linux allows no longer one.
const TARGET_LIMIT: u64 = 4096;

/// Merges `layers` into the existing, empty folder `opt`; modes and symbolic links are kept. `used` bytes of the limit
/// are taken already, by the function.
///
/// A link stays what it says, wherever it points to: it is followed in the sandbox only, never here.
pub fn merge(layers: &[PathBuf], opt: &Path, used: u64) -> Result<(), EmulatorError> {
    if layers.len() > LAYER_LIMIT {
        return Err(EmulatorError::TooManyLayers { count: layers.len() });
    }
    let mut room = Room { left: UNPACKED_LIMIT.saturating_sub(used) };
    layers.iter().try_for_each(|layer| unpack(layer, opt, &mut room))
}

/// Bytes of the files under `folder`.
pub fn size(folder: &Path) -> u64 {
    let files = walkdir::WalkDir::new(folder).into_iter().filter_map(Result::ok);
    files.filter(|entry| entry.file_type().is_file()).filter_map(|entry| entry.metadata().ok()).map(|at| at.len()).sum()
}

/// What the limit still allows. Counted on what comes out, not on what the zip declares.
struct Room {
    left: u64,
}

fn unpack(layer: &Path, opt: &Path, room: &mut Room) -> Result<(), EmulatorError> {
    let file = match fs::File::open(layer) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(EmulatorError::LayerMissing { layer: layer.to_owned() });
        }
        Err(source) => return Err(EmulatorError::Layer { layer: layer.to_owned(), source }),
    };
    let damaged = |source| EmulatorError::NotAZip { layer: layer.to_owned(), source };
    let mut archive = ZipArchive::new(file).map_err(damaged)?;
    let mut links = HashSet::new();
    for index in 0..archive.len() {
        let mut entry = archive.by_index(index).map_err(damaged)?;
        let name = entry.name().map_err(damaged)?.into_owned();
        let refused = |why| EmulatorError::EntryRefused { layer: layer.to_owned(), entry: name.clone(), why };
        let inside = inside(&name).ok_or_else(|| refused("it leads out of the layer"))?;
        if inside.ancestors().skip(1).any(|parent| links.contains(parent)) {
            return Err(refused("it lies behind a symbolic link of the same layer"));
        }
        let path = opt.join(&inside);
        let failed = |source| EmulatorError::Layer { layer: layer.to_owned(), source };
        let mode = entry.unix_mode().unwrap_or(if entry.is_dir() { 0o755 } else { 0o644 }) & 0o777;
        if entry.is_dir() {
            make_folder(opt, &inside).map_err(failed)?;
            // Its owner must be able to fill it, and to remove it when the emulator ends.
            fs::set_permissions(&path, PermissionsExt::from_mode(mode | 0o700)).map_err(failed)?;
            continue;
        }
        if inside.as_os_str().is_empty() {
            return Err(refused("it has no name"));
        }
        make_folder(opt, inside.parent().unwrap_or(Path::new(""))).map_err(failed)?;
        clear(&path).map_err(failed)?;
        if entry.is_symlink() {
            let mut target = String::new();
            entry.by_ref().take(TARGET_LIMIT).read_to_string(&mut target).map_err(failed)?;
            symlink(&target, &path).map_err(failed)?;
            links.insert(inside);
        } else {
            let mut file = fs::File::create(&path).map_err(failed)?;
            let written = io::copy(&mut entry.by_ref().take(room.left + 1), &mut file).map_err(failed)?;
            room.left = room.left.checked_sub(written).ok_or(EmulatorError::TooLarge { limit: UNPACKED_LIMIT })?;
            fs::set_permissions(&path, PermissionsExt::from_mode(mode)).map_err(failed)?;
        }
    }
    Ok(())
}

/// The entry's path under the root; none if it is absolute, climbs or names nothing.
fn inside(name: &str) -> Option<PathBuf> {
    let mut path = PathBuf::new();
    for part in Path::new(name).components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            _ => return None,
        }
    }
    (!name.contains('\0')).then_some(path)
}

/// Makes every folder of `inside`; an earlier layer's file or link in its place gives way.
fn make_folder(root: &Path, inside: &Path) -> io::Result<()> {
    let mut path = root.to_owned();
    for part in inside.components() {
        path.push(part);
        match fs::symlink_metadata(&path) {
            Ok(there) if there.is_dir() => continue,
            Ok(_) => fs::remove_file(&path)?,
            Err(_) => {}
        }
        fs::create_dir(&path)?;
    }
    Ok(())
}

/// Takes away what an earlier layer has put at `path`.
fn clear(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    enum Entry<'a> {
        File(&'a str, u32, &'a str),
        Link(&'a str, &'a str),
    }
    use Entry::{File, Link};

    fn zip(folder: &Path, name: &str, entries: &[Entry<'_>]) -> PathBuf {
        let path = folder.join(name);
        let mut zip = ZipWriter::new(fs::File::create(&path).unwrap());
        for entry in entries {
            match entry {
                File(name, mode, text) => {
                    zip.start_file(*name, SimpleFileOptions::DEFAULT.unix_permissions(*mode)).unwrap();
                    zip.write_all(text.as_bytes()).unwrap();
                }
                Link(name, target) => zip.add_symlink(*name, *target, SimpleFileOptions::DEFAULT).unwrap(),
            }
        }
        zip.finish().unwrap();
        path
    }

    #[test]
    fn the_later_layer_wins_and_modes_and_links_stay() {
        let home = tempfile::tempdir().unwrap();
        let opt = home.path().join("opt");
        fs::create_dir(&opt).unwrap();
        let one = [File("bootstrap", 0o755, "one"), Link("lib", "/etc"), File("share", 0o644, "a file")];
        let two = [File("bootstrap", 0o555, "two"), File("lib/x.so", 0o644, "x"), File("share/doc", 0o600, "")];
        let three = [Link("bin", "lib")];
        let layers = [zip(home.path(), "1", &one), zip(home.path(), "2", &two), zip(home.path(), "3", &three)];
        merge(&layers, &opt, 0).unwrap();
        assert_eq!(fs::read_to_string(opt.join("bootstrap")).unwrap(), "two");
        assert_eq!(fs::metadata(opt.join("bootstrap")).unwrap().permissions().mode() & 0o7777, 0o555);
        assert_eq!(fs::read_to_string(opt.join("lib/x.so")).unwrap(), "x");
        assert_eq!(fs::read_link(opt.join("bin")).unwrap(), Path::new("lib"));
        assert!(opt.join("share/doc").is_file());
    }

    #[test]
    fn entries_that_lead_out_are_refused_and_write_nothing() {
        let home = tempfile::tempdir().unwrap();
        let opt = home.path().join("opt");
        fs::create_dir(&opt).unwrap();
        let bad: [&[Entry<'_>]; 3] = [
            &[File("../x", 0o644, "out")],
            &[File("/x", 0o644, "out")],
            &[Link("way", ".."), File("way/x", 0o644, "out")],
        ];
        for (index, entries) in bad.into_iter().enumerate() {
            let layer = zip(home.path(), &format!("{index}.zip"), entries);
            let error = merge(&[layer], &opt, 0).unwrap_err();
            assert!(matches!(error, EmulatorError::EntryRefused { .. }), "{error}");
        }
        assert!(!home.path().join("x").exists());
    }

    #[test]
    fn limits_hold() {
        let home = tempfile::tempdir().unwrap();
        let layer = zip(home.path(), "a.zip", &[File("a", 0o644, "1234")]);
        let merge = |layers: &[PathBuf], used| merge(layers, home.path(), used);
        assert!(merge(std::slice::from_ref(&layer), UNPACKED_LIMIT - 4).is_ok());
        assert!(matches!(merge(std::slice::from_ref(&layer), UNPACKED_LIMIT - 3), Err(EmulatorError::TooLarge { .. })));
        assert!(matches!(merge(&vec![layer; 6], 0), Err(EmulatorError::TooManyLayers { count: 6 })));
    }

    #[test]
    fn what_is_no_zip_is_said_to_be_none() {
        let home = tempfile::tempdir().unwrap();
        let layer = home.path().join("a.zip");
        assert!(matches!(merge(std::slice::from_ref(&layer), home.path(), 0), Err(EmulatorError::LayerMissing { .. })));
        fs::write(&layer, "PK nonsense").unwrap();
        assert!(matches!(merge(&[layer], home.path(), 0), Err(EmulatorError::NotAZip { .. })));
    }
}
