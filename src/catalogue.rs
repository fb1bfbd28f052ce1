//! What we know how to build: PHP releases, extensions, the C libraries under them, and the bases. All of it is data.

mod base;
mod definition;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};
use miette::{NamedSource, SourceSpan};

pub use base::BaseImage;
pub use definition::{Build, Extension, Library, Patch, PhpSeries, Release, Where};

/// The definitions that come with this phplayer.
static EMBEDDED: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/php-extensions");

/// Every definition by its name.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    pub php: BTreeMap<String, PhpSeries>,
    pub libraries: BTreeMap<String, Library>,
    pub extensions: BTreeMap<String, Extension>,
    pub bases: BTreeMap<String, BaseImage>,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum CatalogueError {
    #[error("{}", .message)]
    #[diagnostic(help(
        "php-extensions/{} of phplayer itself holds examples; `phplayer generate schema {}` prints every key",
        room.folder(), room.schema()
    ))]
    Definition {
        room: Room,
        message: String,
        #[source_code]
        text: NamedSource<String>,
        #[label("here")]
        span: Option<SourceSpan>,
    },
    #[error("{} calls itself `{name}`", file.display())]
    #[diagnostic(help("a definition's file has its name: rename the file to {name}.toml, or the definition"))]
    Misnamed { file: PathBuf, name: String },
    #[error("cannot read the definitions in {}", dir.display())]
    Unreadable {
        dir: PathBuf,
        #[source]
        cause: std::io::Error,
    },
}

impl Catalogue {
    /// The embedded definitions alone.
    pub fn embedded() -> Result<Self, CatalogueError> {
        let mut catalogue = Self::default();
        for room in [Room::Extensions, Room::Libraries, Room::Php, Room::Bases] {
            let dir = if room.folder().is_empty() { Some(&EMBEDDED) } else { EMBEDDED.get_dir(room.folder()) };
            for file in dir.into_iter().flat_map(|dir| dir.files()) {
                if file.path().extension().is_some_and(|extension| extension == "toml") {
                    let text = file.contents_utf8().unwrap_or_default();
                    catalogue.add(room, &Path::new("php-extensions").join(file.path()), text)?;
                }
            }
        }
        Ok(catalogue)
    }

    /// The embedded definitions, and those in `php-extensions/` and `bases/` beside the recipe: a user's file adds, or
    /// replaces ours.
    pub fn beside(recipe: &Path) -> Result<Self, CatalogueError> {
        let mut catalogue = Self::embedded()?;
        let folder = recipe.parent().unwrap_or(Path::new(".")).join("php-extensions");
        for (dir, room) in [
            (folder.clone(), Room::Extensions),
            (folder.join("libraries"), Room::Libraries),
            (folder.join("php"), Room::Php),
            (recipe.parent().unwrap_or(Path::new(".")).join("bases"), Room::Bases),
        ] {
            for file in definitions_in(&dir).map_err(|cause| CatalogueError::Unreadable { dir: dir.clone(), cause })? {
                let text = fs_err::read_to_string(&file)
                    .map_err(|cause| CatalogueError::Unreadable { dir: dir.clone(), cause })?;
                catalogue.add(room, &file, &text)?;
            }
        }
        Ok(catalogue)
    }

    fn add(&mut self, room: Room, file: &Path, text: &str) -> Result<(), CatalogueError> {
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
        let named = |name: &str| {
            if name == stem {
                Ok(())
            } else {
                Err(CatalogueError::Misnamed { file: file.to_owned(), name: name.to_owned() })
            }
        };
        match room {
            Room::Extensions => {
                let extension: Extension = read(room, file, text)?;
                named(&extension.name)?;
                self.extensions.insert(stem, extension);
            }
            Room::Libraries => {
                let library: Library = read(room, file, text)?;
                named(&library.name)?;
                self.libraries.insert(stem, library);
            }
            Room::Php => {
                let series: PhpSeries = read(room, file, text)?;
                named(&series.series)?;
                self.php.insert(stem, series);
            }
            Room::Bases => {
                let base: BaseImage = read(room, file, text)?;
                named(&base.name)?;
                self.bases.insert(stem, base);
            }
        }
        Ok(())
    }
}

/// Which kind of definition a folder holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    Extensions,
    Libraries,
    Php,
    Bases,
}

impl Room {
    /// Below php-extensions/ of phplayer itself.
    const fn folder(self) -> &'static str {
        match self {
            Room::Extensions => "",
            Room::Libraries => "libraries",
            Room::Php => "php",
            Room::Bases => "bases",
        }
    }

    /// What `phplayer generate schema` calls it.
    const fn schema(self) -> &'static str {
        match self {
            Room::Extensions => "extension",
            Room::Libraries => "library",
            Room::Php => "php",
            Room::Bases => "base",
        }
    }
}

fn definitions_in(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    if !dir.is_dir() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in fs_err::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn read<T: serde::de::DeserializeOwned>(room: Room, file: &Path, text: &str) -> Result<T, CatalogueError> {
    toml::from_str(text).map_err(|error| CatalogueError::Definition {
        room,
        message: error.message().to_owned(),
        text: NamedSource::new(file.display().to_string(), text.to_owned()),
        span: error.span().map(SourceSpan::from),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::Base;

    #[test]
    fn every_embedded_definition_stands_and_its_needs_exist() {
        let catalogue = Catalogue::embedded().expect("the embedded definitions parse");
        assert!(catalogue.php.contains_key("8.4"));
        for extension in catalogue.extensions.values() {
            for need in &extension.needs {
                assert!(catalogue.extensions.contains_key(need), "{} needs {need}", extension.name);
            }
            for library in &extension.libraries {
                assert!(catalogue.libraries.contains_key(library), "{} needs library {library}", extension.name);
            }
        }
        for library in catalogue.libraries.values() {
            assert!(!library.releases.is_empty(), "{} has a release", library.name);
            for need in &library.needs {
                assert!(catalogue.libraries.contains_key(need), "{} needs {need}", library.name);
            }
        }
    }

    #[test]
    fn amazon_linux_2023_is_the_base_that_needs_no_definition() {
        let catalogue = Catalogue::embedded().expect("the embedded definitions parse");
        assert_eq!(catalogue.bases["al2023"].base(), Base::Al2023);
        assert_eq!(catalogue.bases["al2"].base().glibc_minor(), 26);
        assert!(catalogue.bases["al2"].deprecated.is_some());
    }

    #[test]
    fn a_bases_mistake_is_shown_at_its_place() {
        let dir = tempfile::tempdir().expect("a folder");
        let file = dir.path().join("bases/b.toml");
        fs_err::create_dir_all(dir.path().join("bases")).expect("a folder");
        let good = "name = \"b\"\nsummary = \"B\"\nimage = \"reg/b:1\"\nsetup = [\"one\", \"two\"]\n\
                    runtime = \"provided.al2023\"\nglibc = \"2.34\"\npolicy = \"al2023\"\n";
        let table = [
            ("\"reg/b:1\"", "\"\"", "`` is not the name of an image"),
            ("\"reg/b:1\"", "\"reg/b: 1\"", "`reg/b: 1` is not the name of an image"),
            ("\"reg/b:1\"", "\"-v\"", "`-v` is not the name of an image"),
            ("\"two\"", "\"two\\nthree\"", "a command of `setup` stands on one line"),
            ("\"two\"", "\"  \"", "a command of `setup` is empty"),
            ("\"provided.al2023\"", "\"php8.4\"", "`php8.4` is no runtime that a layer of PHP runs in"),
            ("\"2.34\"", "\"3\"", "`3` is not a glibc version"),
        ];
        fs_err::write(&file, good).expect("written");
        assert!(Catalogue::beside(&dir.path().join("phplayer.toml")).is_ok());
        for (right, wrong, expected) in table {
            fs_err::write(&file, good.replace(right, wrong)).expect("written");
            let error = Catalogue::beside(&dir.path().join("phplayer.toml")).expect_err(wrong);
            let help = miette::Diagnostic::help(&error).expect("a way out").to_string();
            assert!(help.contains("php-extensions/bases") && help.contains("generate schema base"), "{help}");
            match error {
                CatalogueError::Definition { message, span: Some(span), .. } => {
                    assert!(message.contains(expected), "{wrong}: {message}");
                    assert_eq!(Some(span.offset()), good.find(right), "{wrong}");
                }
                other => panic!("expected a mistake with its place, got {other:?}"),
            }
        }
    }

    #[test]
    fn a_users_definition_is_read_beside_the_recipe_and_a_wrong_one_points_at_its_place() {
        let dir = tempfile::tempdir().expect("a folder");
        fs_err::create_dir_all(dir.path().join("php-extensions")).expect("a folder");
        let file = dir.path().join("php-extensions/mine.toml");
        fs_err::write(&file, "name = \"mine\"\nsummary = \"Mine\"\n[build]\nsources = [\"mine.c\"]\n")
            .expect("written");
        let recipe = dir.path().join("phplayer.toml");
        assert!(Catalogue::beside(&recipe).expect("read").extensions.contains_key("mine"));

        fs_err::write(&file, "name = \"mine\"\nsumary = \"Mine\"\n").expect("written");
        match Catalogue::beside(&recipe) {
            Err(CatalogueError::Definition { message, span: Some(span), .. }) => {
                assert!(message.contains("unknown field `sumary`"), "{message}");
                assert_eq!(span.offset(), 14);
            }
            other => panic!("expected a mistake with its place, got {other:?}"),
        }
    }
}
