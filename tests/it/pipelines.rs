//! What pipelines start from: the job matrix, and the templates, which must be what their readers expect.
#![allow(clippy::unwrap_used, reason = "a test may fail anywhere, its helpers too")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use phplayer::target::Arch;
use saphyr::{LoadableYamlNode, Yaml};
use serde_json::{Value, json};

use crate::container::Place;
use crate::world::World;

fn template(words: &[&str]) -> String {
    let world = World::new();
    let said = world.run(&[&["template"], words].concat());
    assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{words:?}");
    said.stdout
}

/// A YAML document as JSON. Tags such as `!Ref` go; what is tagged stays.
fn yaml(text: &str) -> Value {
    fn plain(node: &Yaml) -> Value {
        match node {
            Yaml::Tagged(_, inner) => plain(inner),
            Yaml::Sequence(all) => all.iter().map(plain).collect(),
            Yaml::Mapping(all) => {
                let pair = |(key, value): (&Yaml, &Yaml)| {
                    let key = plain(key);
                    (key.as_str().map_or_else(|| key.to_string(), str::to_owned), plain(value))
                };
                all.iter().map(pair).collect()
            }
            Yaml::Alias(_) | Yaml::BadValue => panic!("neither is meant in a template"),
            scalar => match (scalar.as_str(), scalar.as_bool(), scalar.as_integer(), scalar.as_floating_point()) {
                (Some(text), ..) => json!(text),
                (_, Some(yes), ..) => json!(yes),
                (_, _, Some(number), _) => json!(number),
                (_, _, _, Some(number)) => json!(number),
                _ => Value::Null,
            },
        }
    }
    let documents = Yaml::load_from_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(documents.len(), 1);
    plain(&documents[0])
}

/// Every step of a workflow, with its job's name.
fn steps(workflow: &Value) -> Vec<(&String, &Value)> {
    let jobs = workflow["jobs"].as_object().unwrap();
    jobs.iter()
        .flat_map(|(job, content)| content["steps"].as_array().unwrap().iter().map(move |step| (job, step)))
        .collect()
}

#[test]
fn the_matrix_has_a_job_for_each_recipe_and_architecture_on_one_line() {
    let world = World::new();
    world.write("recipes/a.toml", "name = \"a\"\nphp = \"8.4\"\narch = [\"x86_64\", \"arm64\"]\nextensions = []\n");
    world.write("recipes/b.toml", "name = \"b\"\nphp = \"8.4\"\narch = [\"x86_64\"]\nextensions = [\"ctype\"]\n");
    let said = world.run(&["plan", "--format", "github", "recipes/a.toml", "recipes/b.toml"]);
    assert_eq!((said.code, said.stdout.lines().count()), (0, 1), "{}", said.stderr);
    let matrix: Value = serde_json::from_str(&said.stdout).unwrap();
    let job = |name: &str, arch: &str, runner: &str| {
        let recipe = format!("recipes/{name}.toml");
        json!({ "recipe": recipe, "arch": arch, "runner": runner, "name": format!("{name}-{arch}") })
    };
    let (x86, arm) = ("ubuntu-24.04", "ubuntu-24.04-arm");
    let expected = [job("a", "x86_64", x86), job("a", "arm64", arm), job("b", "x86_64", x86)];
    assert_eq!(matrix, json!({ "include": expected }));
    let only = world.run(&["plan", "--format", "github", "--arch", "arm64", "recipes/b.toml"]);
    assert!(only.stdout.contains("\"name\":\"b-arm64\""), "{}{}", only.stdout, only.stderr);
}

#[test]
fn a_matrix_of_a_wrong_recipe_is_refused() {
    let world = World::new();
    world.write("phplayer.toml", "name = \"a\"\nphp = \"8.4\"\nextensions = [\"mysqil\"]\n");
    let said = world.run(&["plan", "--format", "github"]);
    assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{}", said.stderr);
    assert!(said.stderr.contains("did you mean `mysqli`?"), "{}", said.stderr);
}

#[test]
fn the_workflow_is_one() {
    let workflow = yaml(&template(&["github-actions"]));
    let jobs = workflow["jobs"].as_object().unwrap();
    assert_eq!(jobs.keys().collect::<Vec<_>>(), ["plan", "build", "publish"]);
    for (name, job) in jobs {
        if let Some(need) = job["needs"].as_str() {
            assert!(jobs.contains_key(need), "{name} needs {need}");
        }
        assert!(job["timeout-minutes"].is_i64() && job["runs-on"].is_string(), "{name}");
    }
    for (job, step) in steps(&workflow) {
        match (step["uses"].as_str(), step["run"].as_str()) {
            (Some(action), None) => {
                let version = action.split_once("@v").unwrap_or_else(|| panic!("{action} in {job} has no version")).1;
                assert!(version.split('.').all(|part| part.parse::<u32>().is_ok()), "{action}");
            }
            (None, Some(command)) => assert!(!command.contains("${{ github."), "{command}: an event's text in a shell"),
            other => panic!("a step of {job} is neither: {other:?}"),
        }
    }
    let said: String = steps(&workflow).iter().filter_map(|(_, step)| step["run"].as_str()).collect();
    for words in ["lock --check", "plan --format github", "build --setup --arch", "phplayer audit", "phplayer publish"]
    {
        assert!(said.contains(words), "no {words}");
    }
    // Only jobs that log in may ask for a token, and none has more rights than that.
    assert_eq!(workflow["permissions"], json!({ "contents": "read" }));
    for (name, job) in jobs {
        let logs_in = job["steps"].as_array().unwrap().iter().any(|step| {
            step["uses"].as_str().is_some_and(|action| action.starts_with("aws-actions/configure-aws-credentials@"))
        });
        assert_eq!(job["permissions"]["id-token"] == "write", logs_in, "{name}");
    }
}

#[test]
fn the_workflow_lets_no_pull_request_write() {
    let workflow = yaml(&template(&["github-actions"]));
    assert_eq!(workflow["jobs"]["publish"]["if"], "github.event_name == 'push'");
    let build = steps(&workflow).into_iter().find(|(_, step)| step["name"] == "Build").unwrap().1;
    assert_eq!(build["env"]["PHPLAYER_STORE_READONLY"], "${{ github.event_name == 'push' && '0' || '1' }}");
    let login = steps(&workflow).into_iter().find(|(_, step)| step["id"] == "aws").unwrap().1;
    let role = login["with"]["role-to-assume"].as_str().unwrap();
    assert!(role.contains("github.event_name == 'push' && 'phplayer-build' || 'phplayer-read'"), "{role}");
}

#[test]
fn the_buildspec_is_one() {
    let buildspec = yaml(&template(&["codebuild"]));
    assert_eq!(buildspec["version"], json!(0.2));
    let graph = buildspec["batch"]["build-graph"].as_array().unwrap();
    let names: Vec<_> = graph.iter().map(|build| build["identifier"].as_str().unwrap()).collect();
    assert_eq!(names, ["x86_64", "arm64", "publish"]);
    assert_eq!(graph[2]["depend-on"], json!(["x86_64", "arm64"]));
    let commands = buildspec["phases"].to_string();
    for words in ["lock --check", "phplayer build --setup --arch", "phplayer audit", "phplayer publish"] {
        assert!(commands.contains(words), "no {words}");
    }
}

/// cargo takes a commit for `--rev` and nothing else: a tag has an option of its own.
#[test]
fn both_pipelines_install_a_tag() {
    for pipeline in ["github-actions", "codebuild"] {
        let text = template(&[pipeline]);
        assert!(text.contains(&format!("PHPLAYER_TAG: v{} # fill in", env!("CARGO_PKG_VERSION"))), "{text}");
        for line in text.lines().filter(|line| line.contains("cargo install")) {
            assert!(line.contains("--git \"$PHPLAYER_GIT\" --tag \"$PHPLAYER_TAG\" phplayer"), "{line}");
        }
    }
}

/// A folder is judged as a layer's content: the zips in it would go unread, and the manifest beside them is no part of one.
#[test]
fn both_pipelines_audit_the_zips_that_a_build_leaves() {
    let place = Place::new("builds");
    place.world.write("phplayer.toml", "name = \"bare\"\nphp = \"8.4\"\nengine = \"container\"\nextensions = []\n");
    let said = place.run(&["build"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let name = format!("bare-{}", Arch::host());
    let manifest = fs_err::metadata(place.world.path(&format!("out/{name}/manifest.json"))).unwrap();
    assert_eq!(manifest.permissions().mode() & 0o777, 0o644, "as the zips beside it");
    let phplayer = Path::new(env!("CARGO_BIN_EXE_phplayer")).parent().unwrap();
    let path = std::env::join_paths([phplayer, Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
    for pipeline in ["github-actions", "codebuild"] {
        let text = template(&[pipeline]);
        let audit = text.lines().find_map(|line| Some(line.split_once("phplayer audit ")?.1)).unwrap();
        let audit = format!("phplayer audit --format json {}", audit.replace("${{ matrix.name }}", &name));
        let mut bash = Command::new("bash");
        bash.args(["-c", &audit]).current_dir(place.world.path("")).env("PATH", &path);
        let said = place.world.said(bash.output().unwrap());
        assert_eq!(said.code, 0, "{audit}: {}{}", said.stdout, said.stderr);
        assert!(said.stdout.contains(&format!("out/{name}/runtime.zip")), "{audit}: {}", said.stdout);
    }
}

#[test]
fn a_functions_templates_name_the_layers_that_were_published() {
    let world = World::new();
    let arn = |name: &str| format!("arn:aws:lambda:us-east-1:123456789012:layer:{name}:7");
    let delivery = |name: &str| json!({ "result": "created", "layer": name, "region": "us-east-1", "arn": arn(name) });
    let failed = json!({ "result": "failed", "layer": "php-84-arm64", "region": "us-east-1" });
    let all = json!([delivery("php-84-x86_64"), delivery("php-84-vendor"), failed]);
    world.write("layers.json", &all.to_string());
    for what in ["sam", "serverless", "terraform", "cdk"] {
        let said = world.run(&["template", what, "--layers", "layers.json"]);
        assert_eq!(said.code, 0, "{}", said.stderr);
        for name in ["php-84-x86_64", "php-84-vendor"] {
            assert!(said.stdout.contains(&arn(name)), "{what}: {}", said.stdout);
        }
        assert!(said.stdout.contains("rds") && said.stdout.contains("public/index.php"), "{what}");
    }
    let sam = yaml(&world.run(&["template", "sam", "--layers", "layers.json"]).stdout);
    let site = &sam["Resources"]["Site"]["Properties"];
    assert_eq!(site["Layers"], json!([arn("php-84-x86_64"), arn("php-84-vendor")]));
    assert_eq!((&site["Architectures"], &site["Runtime"]), (&json!(["x86_64"]), &json!("provided.al2023")));
    let serverless = yaml(&world.run(&["template", "serverless", "--layers", "layers.json"]).stdout);
    assert_eq!(serverless["functions"]["site"]["layers"], site["Layers"]);
    assert_eq!(serverless["provider"]["region"], "us-east-1");

    let none = world.run(&["template", "sam", "--arch", "arm64", "--region", "eu-west-1", "--layers", "layers.json"]);
    assert_eq!((none.code, none.stdout.as_str()), (2, ""));
    assert!(none.stderr.contains("no published layer for arm64 in eu-west-1"), "{}", none.stderr);
    assert!(none.stderr.contains(&arn("php-84-x86_64")), "{}", none.stderr);
    world.write("layers.json", "REGION  RESULT");
    let table = world.run(&["template", "sam", "--layers", "layers.json"]);
    assert_eq!(table.code, 2);
    assert!(table.stderr.contains("phplayer publish --format json > layers.json"), "{}", table.stderr);
}
