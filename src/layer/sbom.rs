//! The bill of materials in the layer: CycloneDX 1.6, so that scanners find what was linked in.

use serde_json::{Value, json};

use crate::plan::{Component, Plan};
use crate::recipe::Recipe;

/// Nothing in it depends on time or machine: the serial number comes from the link step's key.
pub(super) fn render(plan: &Plan, recipe: &Recipe) -> String {
    let key = plan.link().key.to_string();
    let serial = format!("urn:uuid:{}-{}-4{}-8{}-{}", &key[..8], &key[8..12], &key[13..16], &key[17..20], &key[20..32]);
    let components: Vec<Value> = plan.components.iter().map(component).chain([bootstrap()]).collect();
    let bom = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": serial,
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": "layer",
                "name": format!("{}-{}", recipe.name.get_ref(), plan.target.arch),
                "version": plan.php,
            },
            "tools": { "components": [
                { "type": "application", "name": "phplayer", "version": env!("CARGO_PKG_VERSION") },
            ] },
            "properties": [{ "name": "phplayer:toolchain", "value": plan.toolchain }],
        },
        "components": components,
    });
    format!("{bom:#}\n")
}

fn component(part: &Component) -> Value {
    let Component { name, version, license, pinned } = part;
    let hashes: Vec<Value> =
        pinned.alternatives.iter().take(1).map(|form| json!({ "alg": "SHA-256", "content": form.sha256 })).collect();
    let mut value = json!({
        "type": if name == "php" { "application" } else { "library" },
        "bom-ref": format!("{name}@{version}"),
        "name": name,
        "version": version,
        "licenses": [{ "expression": license }],
        "purl": format!("pkg:generic/{name}@{version}"),
        "hashes": hashes,
    });
    if let Some((vendor, product)) = cpe(name) {
        value["cpe"] = json!(format!("cpe:2.3:a:{vendor}:{product}:{version}:*:*:*:*:*:*:*"));
    }
    value
}

/// The vendor and product under which vulnerabilities are filed, where they are not both the name.
fn cpe(name: &str) -> Option<(&'static str, &'static str)> {
    match name {
        "php" => Some(("php", "php")),
        "openssl" => Some(("openssl", "openssl")),
        "curl" => Some(("haxx", "libcurl")),
        "zlib" => Some(("zlib", "zlib")),
        "libxml2" => Some(("xmlsoft", "libxml2")),
        "sqlite" => Some(("sqlite", "sqlite")),
        "oniguruma" => Some(("oniguruma_project", "oniguruma")),
        _ => None,
    }
}

fn bootstrap() -> Value {
    let version = env!("CARGO_PKG_VERSION");
    json!({
        "type": "application",
        "bom-ref": format!("phplayer-bootstrap@{version}"),
        "name": "phplayer-bootstrap",
        "version": version,
        "licenses": [{ "expression": "MIT" }],
        "purl": format!("pkg:generic/phplayer-bootstrap@{version}"),
    })
}
