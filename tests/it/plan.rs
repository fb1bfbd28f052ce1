//! Plans: what is decided, what is refused, and what the user then sees.

use crate::world::World;

const SMALL: &str = "name = \"small\"\nphp = \"8.4\"\nextensions = [\"ctype\", \"curl\"]\n";

fn refused(recipe: &str) -> String {
    let world = World::new();
    world.write("phplayer.toml", recipe);
    let said = world.run(&["plan"]);
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert_eq!(said.stdout, "");
    assert!(!world.path("home/.cache").exists(), "a refused recipe leaves no store behind");
    said.stderr
}

#[test]
fn an_unknown_extension_is_shown_at_its_place_with_what_was_meant() {
    let seen = refused("name = \"x\"\nphp = \"8.4\"\nextensions = [\"mysqil\", \"ctype\", \"quux\"]\n");
    assert!(seen.contains("`mysqil` is not a known extension"), "{seen}");
    assert!(seen.contains("did you mean `mysqli`?"), "{seen}");
    assert!(seen.contains("phplayer.toml:3:15"), "{seen}");
    assert!(seen.contains("`quux` is not a known extension"), "all mistakes at once: {seen}");
    assert!(seen.contains("a php-extensions/quux.toml"), "{seen}");
}

#[test]
fn an_unknown_php_is_refused_with_the_known_ones() {
    let seen = refused("name = \"x\"\nphp = \"7.1\"\nextensions = []\n");
    assert!(seen.contains("PHP 7.1 is not known here") && seen.contains("known series: 8.4"), "{seen}");
    let seen = refused("name = \"x\"\nphp = \"8.4.1\"\nextensions = []\n");
    assert!(seen.contains("not among the releases of 8.4") && seen.contains("known: 8.4.24"), "{seen}");
}

#[test]
fn an_unknown_php_and_an_unknown_extension_are_told_together() {
    let seen = refused("name = \"x\"\nphp = \"7.1\"\nextensions = [\"mysqil\"]\n");
    assert!(seen.contains("PHP 7.1 is not known here") && seen.contains("did you mean `mysqli`?"), "{seen}");
}

fn with_definitions(world: &World) {
    world.write(
        "php-extensions/old.toml",
        "name = \"old\"\nsummary = \"Old\"\nphp = [\"7.4\"]\n[build]\nsources = [\"old.c\"]\n",
    );
    let hen = "name = \"hen\"\nsummary = \"Hen\"\nconflicts = [\"fox\"]\n[build]\nsources = [\"hen.c\"]\n";
    world.write("php-extensions/hen.toml", hen);
    world.write("php-extensions/fox.toml", "name = \"fox\"\nsummary = \"Fox\"\n[build]\nsources = [\"fox.c\"]\n");
}

#[test]
fn an_extension_for_another_php_and_two_that_exclude_each_other_are_refused() {
    let world = World::new();
    with_definitions(&world);
    world.write("phplayer.toml", "name = \"x\"\nphp = \"8.4\"\nextensions = [\"old\", \"hen\", \"fox\"]\n");
    let said = world.run(&["plan"]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("`old` is not for PHP 8.4"), "{}", said.stderr);
    assert!(said.stderr.contains("`hen` and `fox` cannot be in one PHP"), "{}", said.stderr);
}

#[test]
fn a_users_own_definition_is_planned_like_ours() {
    let world = World::new();
    with_definitions(&world);
    world.write("phplayer.toml", "name = \"x\"\nphp = \"8.4\"\nextensions = [\"fox\"]\n");
    let said = world.run(&["plan"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stdout.contains("ext:fox"), "{}", said.stdout);
}

#[test]
fn a_mistake_in_a_definition_is_shown_at_its_place() {
    let world = World::new();
    world.write("php-extensions/fox.toml", "name = \"fox\"\nsumary = \"Fox\"\n");
    world.write("phplayer.toml", SMALL);
    let said = world.run(&["plan"]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("unknown field `sumary`") && said.stderr.contains("fox.toml:2:1"), "{}", said.stderr);
}

#[test]
fn a_plan_touches_nothing_and_needs_stand_before_their_users() {
    let world = World::new();
    world.write("phplayer.toml", SMALL);
    let said = world.run(&["plan", "--format", "json"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(!world.path("home").exists());
    let plans: serde_json::Value = serde_json::from_str(&said.stdout).expect("json");
    let steps = plans[0]["steps"].as_array().expect("steps");
    let at = |id: &str| steps.iter().position(|step| step["id"] == id).unwrap_or_else(|| panic!("no {id}"));
    assert!(at("lib:openssl") < at("lib:curl") && at("lib:curl") < at("ext:curl"));
    assert_eq!(at("link:small"), steps.len() - 1);
    let text = world.run(&["plan"]);
    assert!(text.stdout.contains("build: not built before"), "{}", text.stdout);
}

#[test]
fn two_recipes_share_every_step_but_the_link() {
    let world = World::new();
    world.write("a.toml", "name = \"a\"\nphp = \"8.4\"\nextensions = [\"ctype\", \"curl\"]\n");
    world.write("b.toml", "name = \"b\"\nphp = \"8.4\"\nextensions = [\"curl\"]\n");
    let said = world.run(&["plan", "--format", "json", "a.toml", "b.toml"]);
    let plans: serde_json::Value = serde_json::from_str(&said.stdout).expect("json");
    let keys = |plan: usize| -> std::collections::BTreeMap<String, String> {
        let steps = plans[plan]["steps"].as_array().expect("steps");
        steps.iter().map(|step| (step["id"].to_string(), step["key"].to_string())).collect()
    };
    let (a, b) = (keys(0), keys(1));
    for (id, key) in b.iter().filter(|(id, _)| !id.contains("link:")) {
        assert_eq!(a.get(id), Some(key), "{id}");
    }
    assert_ne!(a.get("\"link:a\""), b.get("\"link:b\""));
}

#[test]
fn a_lock_holds_versions_and_says_what_it_does_not_know() {
    let world = World::new();
    world.write("phplayer.toml", "name = \"x\"\nphp = \"8.4\"\nextensions = [\"ctype\"]\n");
    assert_eq!(world.run(&["lock"]).code, 0);
    assert_eq!(world.run(&["lock", "--check"]).code, 0);
    world.write("phplayer.toml", SMALL);
    let said = world.run(&["plan"]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("phplayer.lock says nothing of lib:openssl"), "{}", said.stderr);
    assert_eq!(world.run(&["lock", "--check"]).code, 1);
    assert_eq!(world.run(&["lock"]).code, 0);
    assert_eq!(world.run(&["plan"]).code, 0);

    let lock = fs_err::read_to_string(world.path("phplayer.lock")).expect("written");
    fs_err::write(world.path("phplayer.lock"), lock.replace("1.3.1", "1.3.0")).expect("written");
    let said = world.run(&["plan"]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("holds lib:zlib at 1.3.0, which no definition here knows"), "{}", said.stderr);
}

#[test]
fn a_changed_digest_under_a_locked_version_is_not_taken_silently() {
    let world = World::new();
    world.write("phplayer.toml", SMALL);
    assert_eq!(world.run(&["lock"]).code, 0);
    let lock = fs_err::read_to_string(world.path("phplayer.lock")).expect("written");
    let other = "0".repeat(64);
    let changed = lock.replace("60dd315c07f616887caa029408308a018ace66e3d142726a97db164b3b8f69fb", &other);
    assert_ne!(lock, changed);
    fs_err::write(world.path("phplayer.lock"), changed).expect("written");
    let said = world.run(&["plan"]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("disagree on the sha256"), "{}", said.stderr);
}
