//! The arm64 layer of recipes/php-84.toml, run by qemu's user emulation: both SAPIs and both kinds of extension.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use phplayer::digest::Digest;
use phplayer::store::Store;
use serde_json::Value;

use crate::lamp::parts::{part, phplayer, repository, run, system, text, unzipped};

/// Debian's libc6-arm64-cross. Its glibc is 2.36; that nothing newer than 2.34 is asked for, the audit says.
const ROOT: &str = "/usr/aarch64-linux-gnu";

fn zip() -> PathBuf {
    Path::new(&part("ARM64_OUT")).join("runtime.zip")
}

/// The layer as it would stand in /opt.
fn unpacked() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    system("unzip", ["-q", text(&zip()), "-d", text(folder.path())]);
    folder
}

fn qemu(program: &Path) -> Command {
    let mut command = Command::new("qemu-aarch64-static");
    command.args(["-L", ROOT]).arg(program);
    command
}

fn php(words: &[&str]) -> String {
    let layer = unpacked();
    run(qemu(&layer.path().join("bin/php")).arg("-n").args(words)).answer()
}

#[test]
#[ignore = "needs the arm64 layer that tests/run builds"]
fn the_audit_passes_it_for_arm64_and_refuses_it_for_x86_64() {
    let report = run(phplayer(&["audit", "--format", "json"]).arg(zip())).json();
    assert!(report.to_string().contains("arm64"), "{report}");
    let refused = run(phplayer(&["audit", "--arch", "x86_64"]).arg(zip()));
    assert_eq!(refused.code, Some(1));
    assert!(refused.stdout.contains("wrong-machine"), "{}", refused.stdout);
}

#[test]
#[ignore = "needs the arm64 layer that tests/run builds"]
fn it_says_what_it_is() {
    let manifest: Value = serde_json::from_slice(&unzipped(&zip(), "phplayer/manifest.json")).unwrap();
    assert_eq!(manifest["arch"], serde_json::json!(["arm64"]));
    let said = php(&["-v"]);
    let start = format!("PHP {} (cli)", manifest["versions"]["php"].as_str().unwrap());
    assert!(said.starts_with(&start) && said.contains("with Zend OPcache"), "{said}");
}

#[test]
#[ignore = "needs the arm64 layer that tests/run builds"]
fn it_has_every_extension_of_the_recipe() {
    let recipe = phplayer::recipe::load(&repository().join("recipes/php-84.toml")).unwrap();
    let loaded = php(&["-m"]).to_lowercase().replace("zend opcache", "opcache");
    let loaded: BTreeSet<&str> = loaded.lines().collect();
    let asked: Vec<String> = recipe.extensions.iter().map(|name| name.get_ref().to_string()).collect();
    assert!(asked.len() > 20);
    for name in &asked {
        assert!(loaded.contains(name.as_str()), "no {name} in {loaded:?}");
    }
}

#[test]
#[ignore = "needs the arm64 layer that tests/run builds"]
fn bundled_extensions_and_those_with_a_library_work() {
    let script = r#"
echo PHP_INT_SIZE, " ", pack("s", 1) === "\x01\x00" ? "little" : "big", "\n";
putenv("SEEN=yes"); echo getenv("SEEN"), " ", exec("echo \$SEEN"), "\n";
echo ctype_digit("42") ? "ctype" : "", " ", count(token_get_all("<?php 1;")), " ", md5("x"), "\n";
preg_match("/(a+)+b/", str_repeat("a", 12) . "b", $found); echo $found[0], " ", ini_get("pcre.jit"), "\n";
echo openssl_digest("a", "sha256"), " ", strlen(openssl_random_pseudo_bytes(8)), "\n";
echo mb_ereg_replace("ü+", "u", "süß"), " ", mb_strtoupper("straße"), "\n";
$db = new PDO("sqlite::memory:"); echo $db->query("SELECT 6 * 7")->fetchColumn(), "\n";
echo simplexml_load_string("<a><b>x</b></a>")->b, " ", gzuncompress(gzcompress("zipped")), "\n";
echo curl_version()["ssl_version"] !== "" ? "curl with TLS" : "", "\n";
$fiber = new Fiber(function () { return Fiber::suspend(1) + 1; }); $fiber->start(); $fiber->resume(2);
echo $fiber->getReturn(), "\n";
"#;
    let expected = [
        "8 little",
        "yes yes",
        "ctype 3 9dd4e461268c8034f5c8564e155c67a6",
        "aaaaaaaaaaaab 1",
        "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb 8",
        "suß STRASSE",
        "42",
        "x zipped",
        "curl with TLS",
        "3",
    ];
    let said = php(&["-d", "display_errors=stderr", "-r", script]);
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}

#[test]
#[ignore = "needs the arm64 layer that tests/run builds"]
fn opcaches_jit_compiles_for_arm64() {
    let script = r#"
function sum(int $n): int { $sum = 0; for ($i = 0; $i < $n; $i++) { $sum += $i & 7; } return $sum; }
echo sum(100000), " ", json_encode(opcache_get_status(false)["jit"]), "\n";"#;
    let words = ["-d", "opcache.enable_cli=1", "-d", "opcache.jit=function", "-d", "opcache.jit_buffer_size=8M", "-r"];
    let said = php(&[&words[..], &[script]].concat());
    let (sum, jit) = said.split_once(' ').unwrap();
    let jit: Value = serde_json::from_str(jit).unwrap();
    assert_eq!((sum, &jit["on"]), ("350000", &Value::Bool(true)), "{jit}");
    assert!(jit["buffer_free"].as_u64() < jit["buffer_size"].as_u64(), "{jit}");
}

/// php-fpm, killed when this is dropped.
struct Fpm(Child);

impl Drop for Fpm {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs the arm64 layer that tests/run builds"]
fn php_fpm_answers_a_request() {
    let layer = unpacked();
    let at = |name: &str| layer.path().join(name);
    let socket = at("fpm.sock");
    let settings = format!(
        "[global]\ndaemonize = no\nerror_log = /dev/stderr\n[www]\nlisten = {}\npm = static\npm.max_children = 1\n",
        socket.display()
    );
    fs_err::write(at("fpm.conf"), settings).unwrap();
    fs_err::write(at("index.php"), "<?php echo PHP_SAPI, ' ', $_GET['page'] * 2;").unwrap();
    // As root, php-fpm wants to be told a user, or that root is meant.
    let words = ["-n", "-R", "--fpm-config", text(&at("fpm.conf"))].map(str::to_owned);
    let fpm = Fpm(qemu(&at("bin/php-fpm")).args(words).stdin(Stdio::null()).spawn().unwrap());
    let start = Instant::now();
    let mut stream = loop {
        match UnixStream::connect(&socket) {
            Ok(stream) => break stream,
            Err(error) => assert!(start.elapsed() < Duration::from_secs(60), "{error}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let script = at("index.php");
    let parameters = [("SCRIPT_FILENAME", text(&script)), ("REQUEST_METHOD", "GET"), ("QUERY_STRING", "page=21")];
    stream.write_all(&request(&parameters)).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.contains("fpm-fcgi 42"), "{answer}");
    drop(fpm);
}

/// A FastCGI request without a body: BEGIN_REQUEST as a responder, PARAMS, and the two empty records that end them.
fn request(parameters: &[(&str, &str)]) -> Vec<u8> {
    let record = |kind: u8, content: &[u8]| -> Vec<u8> {
        let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[1, kind, 0, 1, high, low, 0, 0], content].concat()
    };
    let mut pairs = Vec::new();
    for (name, value) in parameters {
        for text in [name, value] {
            pairs.extend(u32::try_from(text.len()).unwrap().to_be_bytes().iter().enumerate().map(|(at, byte)| {
                // Lengths of four bytes begin with a set bit.
                if at == 0 { byte | 0x80 } else { *byte }
            }));
        }
        pairs.extend([name.as_bytes(), value.as_bytes()].concat());
    }
    [record(1, &[0, 1, 0, 0, 0, 0, 0, 0]), record(4, &pairs), record(4, &[]), record(5, &[])].concat()
}

#[test]
#[ignore = "needs the arm64 layer that tests/run builds"]
fn the_bootstrap_starts_and_says_what_it_misses() {
    let layer = unpacked();
    let said = run(&mut qemu(&layer.path().join("bootstrap")));
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("AWS_LAMBDA_RUNTIME_API is not set"), "{}", said.stderr);
}

/// What only the core for x86_64 has: instructions that arm64 has no counterpart of, or needs no question for.
const X86_64_ONLY: [&str; 13] = [
    // cpuid, by which PHP chooses SSE and AVX forms at its start. NEON's are compiled in: every arm64 has it.
    "HAVE_CPUID_COUNT",
    "HAVE_CPUID_H",
    // x87 computes in 80 bits unless told otherwise; arm64 has doubles.
    "HAVE_FPU_INLINE_ASM_X86",
    // Asked with `target("sse2")`.
    "HAVE_FUNC_ATTRIBUTE_TARGET",
    "HAVE_IMMINTRIN_H",
    "HAVE_NMMINTRIN_H",
    "HAVE_TMMINTRIN_H",
    "HAVE_WMMINTRIN_H",
    "HAVE__FPU_SETCW", // x87 again
    "PHP_BUILD_SYSTEM",
    "PHP_HAVE_AVX512_SUPPORTS",
    "PHP_HAVE_AVX512_VBMI_SUPPORTS",
    "PHP_UNAME",
];

/// What only the core for arm64 has: its CRC-32 instructions, and what it is called.
const ARM64_ONLY: [&str; 3] = ["HAVE_AARCH64_CRC32", "PHP_BUILD_SYSTEM", "PHP_UNAME"];

/// The `#define`s of the core's configuration.
fn configuration(arch: &str) -> BTreeSet<String> {
    let plans = run(&mut phplayer(&["plan", "--format", "json", "--arch", arch, "recipes/php-84.toml"])).json();
    let steps = plans[0]["steps"].as_array().unwrap().clone();
    let core = steps.into_iter().find(|step| step["id"].as_str().unwrap().starts_with("php:")).unwrap();
    let key: Digest = core["key"].as_str().unwrap().parse().unwrap();
    let tree = Store::peek(Path::new(&part("STORE"))).step(&key).unwrap();
    let text = fs_err::read_to_string(tree.join("include/php/main/php_config.h")).unwrap();
    text.lines().filter(|line| line.starts_with("#define ")).map(|line| line["#define ".len()..].to_owned()).collect()
}

#[test]
#[ignore = "needs the arm64 layer that tests/run builds"]
fn the_core_lacks_nothing_that_x86_64_has() {
    let (x86, arm) = (configuration("x86_64"), configuration("arm64"));
    let only = |one: &BTreeSet<String>, other: &BTreeSet<String>| -> Vec<String> {
        one.difference(other).map(|line| line.split(' ').next().unwrap().to_owned()).collect()
    };
    assert_eq!(only(&x86, &arm), X86_64_ONLY);
    assert_eq!(only(&arm, &x86), ARM64_ONLY);
}
