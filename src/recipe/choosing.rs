//! Which recipe is meant when none is named.

use std::io;
use std::path::{Path, PathBuf};

use miette::Diagnostic;
use thiserror::Error;

/// No recipe could be chosen; the help names the way out.
#[derive(Debug, Error, Diagnostic)]
pub enum Unchosen {
    #[error("there is no recipe here: neither `phplayer.toml` nor `recipes/*.toml`")]
    #[diagnostic(help("`phplayer new NAME --here` writes one; or name its path"))]
    None,
    #[error("`recipes/` holds several recipes")]
    #[diagnostic(help("name one of them: {}", choices.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" ")))]
    Several { choices: Vec<PathBuf> },
    #[error("cannot look for recipes")]
    #[diagnostic(help("name the recipe's path"))]
    Unreadable(#[from] io::Error),
}

/// `phplayer.toml` in `dir`, or the only recipe in `dir/recipes`.
pub fn choose(dir: &Path) -> Result<PathBuf, Unchosen> {
    let here = dir.join("phplayer.toml");
    if here.try_exists()? {
        return Ok(here);
    }
    let mut choices = Vec::new();
    match fs_err::read_dir(dir.join("recipes")) {
        Ok(entries) => {
            for entry in entries {
                let path = entry?.path();
                if path.extension().is_some_and(|extension| extension == "toml") {
                    choices.push(path);
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    choices.sort();
    match choices.len() {
        0 => Err(Unchosen::None),
        1 => Ok(choices.remove(0)),
        _ => Err(Unchosen::Several { choices }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_only_recipe_is_taken_and_several_are_named() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(matches!(choose(dir.path()), Err(Unchosen::None)));

        let recipes = dir.path().join("recipes");
        fs_err::create_dir(&recipes).expect("recipes/");
        for name in ["a.toml", "recipe.schema.json"] {
            fs_err::write(recipes.join(name), "").expect(name);
        }
        assert_eq!(choose(dir.path()).expect("the only one"), recipes.join("a.toml"));

        fs_err::write(recipes.join("b.toml"), "").expect("b");
        let help = choose(dir.path()).expect_err("two").help().expect("a way out").to_string();
        assert!(help.contains("a.toml") && help.contains("b.toml"), "{help}");

        let here = dir.path().join("phplayer.toml");
        fs_err::write(&here, "").expect("here");
        assert_eq!(choose(dir.path()).expect("here first"), here);
    }
}
