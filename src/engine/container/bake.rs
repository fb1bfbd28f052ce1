//! `docker-bake.hcl` for many plans: one target each, each with its Dockerfile in it.

use std::fmt::Write;

use crate::plan::Plan;

use super::Image;
use super::builder::platform;
use super::dockerfile::{self, Dialect, RESULT, Start};

/// The whole file. What it says of the steps is what [`dockerfile::render`] says; equal stages are built once.
pub fn render(plans: &[(Plan, Image)]) -> String {
    let name = |plan: &Plan| format!("{}-{}", plan.recipe, plan.target.arch);
    let names: Vec<String> = plans.iter().map(|(plan, _)| format!("\"{}\"", name(plan))).collect();
    let mut text = format!(
        "# {} {}. Written by phplayer {}. Its context: `phplayer fetch --context DIR`, then `docker buildx bake` there.\n\
         group \"default\" {{\n  targets = [{}]\n}}\n",
        plans.len(),
        if plans.len() == 1 { "layer" } else { "layers" },
        env!("CARGO_PKG_VERSION"),
        names.join(", "),
    );
    for (plan, image) in plans {
        let dockerfile = dockerfile::render(plan, image, Dialect::BUILDKIT, Start::Base);
        let _ = write!(
            text,
            "\ntarget \"{name}\" {{\n  context = \".\"\n  target = \"{RESULT}\"\n  platforms = [\"{platform}\"]\n  \
             output = [\"type=local,dest=out/{name}\"]\n  dockerfile-inline = <<PHPLAYER_DOCKERFILE\n{dockerfile}PHPLAYER_DOCKERFILE\n}}\n",
            name = name(plan),
            platform = platform(plan.target.arch),
            dockerfile = escaped(&dockerfile),
        );
    }
    text
}

/// HCL fills in `${…}` and `%{…}` in such a text unless their first letter is doubled.
fn escaped(text: &str) -> String {
    text.replace("${", "$${").replace("%{", "%%{")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_hcl_would_fill_in_is_doubled() {
        assert_eq!(escaped("echo ${a} $b %{c} 5%"), "echo $${a} $b %%{c} 5%");
    }
}
