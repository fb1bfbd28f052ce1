//! PHP as a function finds it in the layer: extensions, settings, and TLS that is verified.
#![allow(clippy::unwrap_used, reason = "a test may fail anywhere, its helpers too")]

use std::collections::BTreeSet;
use std::process::Command;

use phplayer::recipe;
use serde_json::Value;

use super::parts::{Running, Task, built, certificate, get, repository, run, serve};

/// Facts as JSON: printed by a page, returned by a function.
const FACTS: &str = r#"<?php
function facts()
{
    $opcache = opcache_get_status(false);
    return json_encode([
        'extensions' => get_loaded_extensions(),
        'version' => PHP_VERSION,
        'sapi' => PHP_SAPI,
        'opcache' => $opcache ? $opcache['opcache_enabled'] : false,
        'scripts' => $opcache ? $opcache['opcache_statistics']['num_cached_scripts'] : 0,
        'cafile' => ini_get('openssl.cafile'),
        'cainfo' => ini_get('curl.cainfo'),
        'timezone' => date_default_timezone_get(),
        'memory' => ini_get('memory_limit'),
        'display' => ini_get('display_errors'),
    ]);
}
if (PHP_SAPI === 'fpm-fcgi') {
    echo facts();
}
"#;

fn check(facts: &Value) {
    let loaded = facts["extensions"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_lowercase());
    let loaded: BTreeSet<String> = loaded.collect();
    let recipe = recipe::load(&repository().join("recipes/php-84.toml")).unwrap();
    let wanted = recipe.extensions.iter().map(|name| match name.get_ref().to_string().as_str() {
        "opcache" => "zend opcache".to_owned(),
        other => other.to_owned(),
    });
    let wanted: BTreeSet<String> = wanted.collect();
    assert_eq!(wanted.len(), 25);
    assert_eq!(wanted.difference(&loaded).collect::<Vec<_>>(), Vec::<&String>::new(), "of {loaded:?}");

    let manifest: Value = serde_json::from_slice(&fs_err::read(built("manifest.json")).unwrap()).unwrap();
    assert_eq!(facts["version"], manifest["php"]);
    for bundle in ["cafile", "cainfo"] {
        assert_eq!(facts[bundle], "/etc/pki/tls/certs/ca-bundle.crt");
    }
    assert_eq!(facts["timezone"], "UTC");
    assert_eq!(facts["display"], "0");
    // Of the 1,024 MB that a function has here unless it is said.
    assert_eq!(facts["memory"], "922M");
}

#[test]
#[ignore = "needs the layers that tests/run builds"]
fn a_function_has_every_extension_of_the_recipe() {
    let task = Task::of("facts.php", FACTS);
    let facts = run(&mut task.phplayer("invoke", "facts")).json();
    assert_eq!(facts["sapi"], "cli");
    check(&facts);
}

#[test]
#[ignore = "needs the layers that tests/run builds"]
fn a_site_has_every_extension_of_the_recipe_and_opcache() {
    let task = Task::of("index.php", FACTS);
    let (_server, url) = serve(&task, "index.php");
    let facts: Value = serde_json::from_str(&get(&url)).unwrap();
    assert_eq!(facts["sapi"], "fpm-fcgi");
    check(&facts);
    assert_eq!(facts["opcache"], true);
    assert!(facts["scripts"].as_u64() > Some(0), "{facts}");
}

/// Asks an https address twice, by curl and by a stream: with the layer's authorities, and with the one of `ca.pem`.
const ASKS: &str = r#"<?php
function index($url)
{
    $said = [];
    foreach (['base' => null, 'ours' => '/var/task/ca.pem'] as $name => $authority) {
        $curl = curl_init($url);
        curl_setopt_array($curl, [CURLOPT_RETURNTRANSFER => true] + ($authority ? [CURLOPT_CAINFO => $authority] : []));
        $body = curl_exec($curl);
        $said["curl $name"] = $body === false ? curl_errno($curl) : curl_getinfo($curl, CURLINFO_HTTP_CODE);
        $context = stream_context_create(['ssl' => $authority ? ['cafile' => $authority] : []]);
        $body = @file_get_contents($url, false, $context);
        $said["stream $name"] = $body === false ? 'refused' : 'answered';
    }
    return json_encode($said);
}
"#;

#[test]
#[ignore = "needs the parts that tests/run starts"]
fn curl_and_streams_verify_whom_they_talk_to() {
    let mut server = Command::new("sh");
    // It says where it listens on stdout.
    server.args(["-c", "exec openssl s_server -accept 127.0.0.1:0 -www -cert \"$0\" -key \"$1\" >&2"]);
    server.args(["server.pem", "server.key"].map(certificate));
    let (_server, address) =
        Running::until(&mut server, |line| line.strip_prefix("ACCEPT ").map(|address| address.trim().to_owned()));
    let task = Task::of("index.php", ASKS);
    let said = run(task.phplayer("invoke", "index").arg(format!("\"https://{address}/\""))).json();
    // 60: the authorities were read, and none of them vouches for the server. (77 would be: they cannot be read.)
    let expected = serde_json::json!({
        "curl base": 60, "stream base": "refused", "curl ours": 200, "stream ours": "answered",
    });
    assert_eq!(said, expected);
}
