//! Each mistake a user can make in a recipe, as the user sees it: one file of `tests/fixtures/mistakes` each.

use std::path::{Path, PathBuf};

use miette::{Diagnostic, GraphicalReportHandler, GraphicalTheme};
use phplayer::commands::new;
use phplayer::console::{Console, Talk};
use phplayer::failure::Kind;
use phplayer::recipe::{self, Mistakes};

/// The report as it stands in a log: no colour, no links, 100 columns.
fn shown(report: &dyn Diagnostic) -> String {
    let handler =
        GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_width(100).with_links(false);
    let mut text = String::new();
    handler.render_report(&mut text, report).expect("a report renders");
    text
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn recipes(folder: &str) -> Vec<PathBuf> {
    let entries = fs_err::read_dir(root().join(folder)).expect(folder);
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    assert!(!paths.is_empty(), "no recipe in {folder}");
    paths
}

/// Read under the name that the user would have typed.
fn parse(path: &Path) -> Result<recipe::Recipe, Mistakes> {
    let name = path.file_name().expect("a file").to_string_lossy();
    recipe::parse(&name, &fs_err::read_to_string(path).expect("a fixture"))
}

#[test]
fn every_mistake_is_shown_at_its_place() {
    for path in recipes("tests/fixtures/mistakes") {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let mistakes = parse(&path).err().unwrap_or_else(|| panic!("{name} has no mistake"));
        insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(format!("recipe_mistake_{name}"), shown(&mistakes));
        });
    }
}

#[test]
fn a_later_stage_points_into_the_recipe_too() {
    let text = "name = \"php-84\"\nphp = \"8.4\"\nextensions = [\"mbstring\", \"intl\", \"redsi\"]\n";
    let recipe = recipe::parse("recipes/php-84.toml", text).expect("well written");
    let unknown = &recipe.extensions[2];
    let help =
        format!("did you mean `{}`?", recipe::suggest(unknown.get_ref().as_str(), ["redis", "gd"]).expect("redis"));
    let mistake =
        recipe.mistake(unknown.span(), "`redsi` is not a known extension", "no php-extensions/redsi.toml", help);
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("recipe_later_stage", shown(&Mistakes::new(&recipe, vec![mistake])));
    });
}

#[test]
fn new_refuses_in_the_same_words() {
    let args = || new::Args {
        name: "shop".to_owned(),
        php: "8.4".to_owned(),
        ext: Vec::new(),
        arch: Vec::new(),
        here: false,
        from_composer: None,
    };
    let wrong = [
        new::Args { name: "php-8.4".to_owned(), ..args() },
        new::Args { php: "latest".to_owned(), ..args() },
        new::Args { ext: vec!["../evil".to_owned()], ..args() },
        new::Args { from_composer: Some("no/composer.json".into()), ..args() },
        new::Args { from_composer: Some("Cargo.toml".into()), ..args() },
    ];
    let console = Console::new(Talk::Quiet, false);
    let reports: Vec<_> = wrong
        .into_iter()
        .map(|args| {
            let failure = new::run(args, &console).expect_err("a refusal");
            assert_eq!(failure.kind, Kind::Input);
            shown(failure.report.as_ref())
        })
        .collect();
    insta::with_settings!({ omit_expression => true, prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("new_refuses", reports.join("\n"));
    });
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let mistakes = recipe::load(Path::new("no/such.toml")).expect_err("there is none");
    let text = shown(&mistakes);
    assert!(text.contains("no/such.toml") && text.contains("phplayer new"), "{text}");
}

#[test]
fn every_recipe_of_ours_is_well_written() {
    for path in recipes("recipes") {
        let recipe = recipe::load(&path).unwrap_or_else(|mistakes| panic!("{}", shown(&mistakes)));
        assert_eq!(path.file_stem().expect("a name").to_string_lossy(), recipe.name.get_ref().as_str());
    }
}

#[test]
fn any_cut_of_a_recipe_is_judged_without_a_panic() {
    let text = fs_err::read_to_string(root().join("tests/fixtures/recipes/full.toml")).expect("the recipe");
    for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
        if let Err(mistakes) = recipe::parse("cut.toml", &text[..end]) {
            shown(&mistakes);
        }
    }
}

#[test]
fn the_schema_is_the_one_checked_in() {
    let made = serde_json::to_string_pretty(&recipe::schema()).expect("a schema is JSON") + "\n";
    let path = root().join("recipes/recipe.schema.json");
    if std::env::var_os("PHPLAYER_UPDATE").is_some() {
        fs_err::write(&path, &made).expect("the schema is written");
    }
    let held = fs_err::read_to_string(&path).unwrap_or_default();
    assert_eq!(made, held, "PHPLAYER_UPDATE=1 writes recipes/recipe.schema.json anew");
}

/// `full.toml` uses every key, so the schema and the reader must both know exactly its keys.
#[test]
fn the_schema_and_the_reader_know_the_same_keys() {
    let path = root().join("tests/fixtures/recipes/full.toml");
    parse(&path).unwrap_or_else(|mistakes| panic!("{}", shown(&mistakes)));
    let text = fs_err::read_to_string(&path).expect("the recipe");
    let full: toml::Table = text.parse().expect("TOML");
    let schema = serde_json::to_value(recipe::schema()).expect("a schema is JSON");
    let keys = |properties: &serde_json::Value| {
        let mut keys: Vec<_> = properties.as_object().expect("properties").keys().cloned().collect();
        keys.sort();
        keys
    };
    let used = |table: &toml::Table| {
        let mut keys: Vec<_> = table.keys().cloned().collect();
        keys.sort();
        keys
    };
    assert_eq!(keys(&schema["properties"]), used(&full));
    for (definition, table) in [
        ("Limits", full["limits"].as_table()),
        ("Vendor", full["vendor"].as_table()),
        ("Publish", full["publish"].as_table()),
        ("Waiver", full["waive"][0].as_table()),
    ] {
        let table = table.expect(definition);
        assert_eq!(keys(&schema["$defs"][definition]["properties"]), used(table), "{definition}");
    }

    let asked = recipe::parse("x.toml", &format!("zzzzzzzzzzzz = 1\n{text}")).expect_err("an unknown key");
    let help = asked.iter().next().and_then(|mistake| mistake.help.clone()).expect("a way out");
    let mut known: Vec<_> = help.split('`').skip(1).step_by(2).map(str::to_owned).collect();
    known.sort();
    assert_eq!(known, used(&full), "what the reader names");
}
