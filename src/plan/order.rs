//! What comes along with what, and in which order it can be made.

use std::collections::BTreeSet;

use crate::catalogue::{Catalogue, Extension};

use super::PlanError;

/// The wanted extensions and all that they need, each after its needs; otherwise by name, so that the order is one.
pub(super) fn extensions<'c>(catalogue: &'c Catalogue, wanted: &[&str]) -> Result<Vec<&'c Extension>, PlanError> {
    let names = sorted(wanted, |name| catalogue.extensions.get(name).map(|extension| extension.needs.as_slice()))?;
    Ok(names.iter().map(|name| &catalogue.extensions[name]).collect())
}

/// All libraries under these extensions, each after its needs.
pub(super) fn libraries(catalogue: &Catalogue, extensions: &[&Extension]) -> Result<Vec<String>, PlanError> {
    let wanted: Vec<String> = extensions.iter().flat_map(|extension| extension.libraries.iter().cloned()).collect();
    library_closure(catalogue, &wanted)
}

/// These libraries and all that they need, each after its needs.
pub(super) fn library_closure(catalogue: &Catalogue, wanted: &[String]) -> Result<Vec<String>, PlanError> {
    let wanted: Vec<&str> = wanted.iter().map(String::as_str).collect();
    sorted(&wanted, |name| catalogue.libraries.get(name).map(|library| library.needs.as_slice()))
}

/// Depth-first order over `needs`; `None` from it is an unknown name.
fn sorted<'c>(wanted: &[&str], needs: impl Fn(&str) -> Option<&'c [String]>) -> Result<Vec<String>, PlanError> {
    struct Walk<F> {
        needs: F,
        done: Vec<String>,
        open: Vec<String>,
    }
    impl<'c, F: Fn(&str) -> Option<&'c [String]>> Walk<F> {
        fn visit(&mut self, name: &str, user: &str) -> Result<(), PlanError> {
            if self.done.iter().any(|done| done == name) {
                return Ok(());
            }
            if let Some(at) = self.open.iter().position(|open| open == name) {
                return Err(PlanError::Circle { names: self.open[at..].to_vec() });
            }
            let needs = (self.needs)(name)
                .ok_or_else(|| PlanError::Missing { user: user.to_owned(), need: name.to_owned() })?;
            self.open.push(name.to_owned());
            for need in needs.iter().collect::<BTreeSet<_>>() {
                self.visit(need, name)?;
            }
            self.open.pop();
            self.done.push(name.to_owned());
            Ok(())
        }
    }
    let mut walk = Walk { needs, done: Vec::new(), open: Vec::new() };
    for name in wanted.iter().collect::<BTreeSet<_>>() {
        walk.visit(name, "the recipe")?;
    }
    Ok(walk.done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs_of(name: &str) -> Option<&'static [String]> {
        static TABLE: std::sync::LazyLock<Vec<(&str, Vec<String>)>> = std::sync::LazyLock::new(|| {
            let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
            vec![
                ("curl", own(&["openssl", "zlib"])),
                ("openssl", own(&[])),
                ("zlib", own(&[])),
                ("egg", own(&["hen"])),
                ("hen", own(&["egg"])),
                ("bad", own(&["nowhere"])),
            ]
        });
        TABLE.iter().find(|(known, _)| *known == name).map(|(_, needs)| needs.as_slice())
    }

    #[test]
    fn needs_come_first_and_the_order_does_not_depend_on_the_asking() {
        let one = sorted(&["zlib", "curl"], needs_of).expect("known names");
        assert_eq!(one, ["openssl", "zlib", "curl"]);
        assert_eq!(one, sorted(&["curl", "zlib", "openssl"], needs_of).expect("known names"));
    }

    #[test]
    fn circles_and_strangers_are_named() {
        assert!(matches!(sorted(&["egg"], needs_of), Err(PlanError::Circle { names }) if names == ["egg", "hen"]));
        assert!(
            matches!(sorted(&["bad"], needs_of), Err(PlanError::Missing { user, need }) if user == "bad" && need == "nowhere")
        );
    }
}
