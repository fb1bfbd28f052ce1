//! The layer's php.ini: our defaults, then what the extensions want, then the recipe's word.

use std::fmt::Write;

use crate::plan::Plan;
use crate::recipe::Recipe;

/// The same for every layer.
pub fn base() -> &'static str {
    include_str!("php.ini")
}

/// Lines that the extensions' definitions ask for.
pub fn extensions(plan: &Plan) -> String {
    lines("Defaults of the extensions", plan.ini.iter().map(|(name, value)| (name.as_str(), value.clone())))
}

/// `[ini]` of the recipe; read last, so it wins.
pub fn recipe(recipe: &Recipe) -> String {
    lines("[ini] of the recipe", recipe.ini.iter().map(|(name, value)| (name.as_str(), value.to_string())))
}

fn lines<'l>(title: &str, all: impl Iterator<Item = (&'l str, String)>) -> String {
    let mut text = format!("; {title}\n");
    for (name, value) in all {
        let _ = writeln!(text, "{name} = {value}");
    }
    text
}
