//! Builds the bootstrap, so that phplayer carries it: for the host's architecture always, for the other one where its
//! Rust target is installed, or where one that was built elsewhere is named.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// An architecture of Lambda, and how Rust can make a static program for it.
struct Architecture {
    cpu: &'static str,
    /// Its number in an ELF header.
    machine: u16,
    /// The end of the environment variable and of the cfg.
    name: &'static str,
    /// The linker for the gnu target where this is not the host.
    cross_linker: &'static str,
}

const ARCHITECTURES: [Architecture; 2] = [
    Architecture { cpu: "x86_64", machine: 62, name: "x86_64", cross_linker: "x86_64-linux-gnu-gcc" },
    Architecture { cpu: "aarch64", machine: 183, name: "arm64", cross_linker: "aarch64-linux-gnu-gcc" },
];

/// Cargo tells the outer build's choices to build scripts in these; the bootstrap has its own.
const OUTER_CHOICES: [&str; 9] = [
    "RUSTFLAGS",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_BUILD_RUSTFLAGS",
    "CARGO_BUILD_TARGET",
    "CARGO_TARGET_DIR",
    "CARGO_BUILD_TARGET_DIR",
    "RUSTC_WRAPPER",
    "RUSTC_WORKSPACE_WRAPPER",
    "CLIPPY_ARGS",
];

fn main() {
    println!("cargo::rerun-if-changed=src/bootstrap/src");
    println!("cargo::rerun-if-changed=src/bootstrap/Cargo.toml");
    println!("cargo::rerun-if-changed=build.rs");
    // Its profile, and the versions of what it is made of.
    println!("cargo::rerun-if-changed=Cargo.toml");
    println!("cargo::rerun-if-changed=Cargo.lock");
    // Embedded by a macro, which cargo does not look into.
    println!("cargo::rerun-if-changed=php-extensions");
    let host = env::var("HOST").expect("cargo sets it");
    for architecture in ARCHITECTURES {
        let variable = format!("PHPLAYER_BOOTSTRAP_{}", architecture.name.to_uppercase());
        println!("cargo::rustc-check-cfg=cfg(bootstrap_{})", architecture.name);
        println!("cargo::rerun-if-env-changed={variable}");
        let is_host = host.starts_with(architecture.cpu);
        let built = match env::var_os(&variable).filter(|file| !file.is_empty()) {
            Some(file) => Some(Ok(elsewhere(&architecture, &variable, Path::new(&file)))),
            None => target(&architecture, is_host).map(|target| build(&architecture, &target, is_host)),
        };
        match built {
            Some(Ok(file)) => {
                println!("cargo::rustc-cfg=bootstrap_{}", architecture.name);
                println!("cargo::rustc-env={variable}={}", file.display());
            }
            Some(Err(problem)) if is_host => panic!("{problem}"),
            Some(Err(problem)) => println!("cargo::warning={problem}"),
            None if is_host => {
                panic!("no Rust target for {}: rustup target add {}-unknown-linux-musl", host, architecture.cpu)
            }
            None => {}
        }
    }
}

/// A bootstrap that was built elsewhere: by another Rust, or on a machine of that architecture, as a release pipeline does.
/// A wrong file stops the build: it would only fail on Lambda.
#[expect(clippy::disallowed_methods, reason = "the build script has no fs-err, and names the file itself")]
fn elsewhere(architecture: &Architecture, variable: &str, file: &Path) -> PathBuf {
    println!("cargo::rerun-if-changed={}", file.display());
    let Ok(file) = fs::canonicalize(file) else { panic!("{variable}: there is no {}", file.display()) };
    let bytes = fs::read(&file).unwrap_or_default();
    if bytes.get(..4) != Some(b"\x7fELF") || bytes.get(18..20) != Some(&architecture.machine.to_le_bytes()) {
        panic!("{variable}: {} is no program for {}", file.display(), architecture.name);
    }
    file
}

/// musl where it is installed; else gnu, which can be linked statically too: with the host's linker, or a cross linker.
fn target(architecture: &Architecture, is_host: bool) -> Option<String> {
    let musl = format!("{}-unknown-linux-musl", architecture.cpu);
    let gnu = format!("{}-unknown-linux-gnu", architecture.cpu);
    if installed(&musl) {
        Some(musl)
    } else if installed(&gnu) && (is_host || on_path(architecture.cross_linker)) {
        Some(gnu)
    } else {
        None
    }
}

/// The built file, or why there is none.
fn build(architecture: &Architecture, target: &str, is_host: bool) -> Result<PathBuf, String> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let target_dir = out.join("bootstrap");
    let mut cargo = Command::new(env::var_os("CARGO").expect("cargo sets it"));
    cargo
        .args(["build", "--quiet", "--locked", "--package", "phplayer-bootstrap", "--bin", "bootstrap"])
        .args(["--profile", "bootstrap", "--target", target, "--target-dir"])
        .arg(&target_dir)
        .current_dir(&root);
    for name in OUTER_CHOICES {
        cargo.env_remove(name);
    }
    // The flags and the linker of a user's shell or configuration are for this machine, not for Lambda.
    let variable = target.to_uppercase().replace('-', "_");
    cargo.env_remove(format!("CARGO_TARGET_{variable}_RUSTFLAGS"));
    if target.ends_with("musl") {
        // rustc brings its own linker for any architecture, and musl needs no other start files than Rust's.
        cargo.env(format!("CARGO_TARGET_{variable}_LINKER"), "rust-lld");
    } else if !is_host {
        cargo.env(format!("CARGO_TARGET_{variable}_LINKER"), architecture.cross_linker);
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags(&root, &target_dir, target));
    match cargo.status() {
        Ok(status) if status.success() => Ok(target_dir.join(target).join("bootstrap/bootstrap")),
        Ok(status) => Err(format!("the bootstrap for {target} could not be built: cargo ended with {status}")),
        Err(error) => Err(format!("the bootstrap for {target} could not be built: {error}")),
    }
}

/// Static, and without the paths of this machine: two checkouts must give the same bytes, since layers are compared.
fn flags(root: &Path, target_dir: &Path, target: &str) -> OsString {
    let mut flags = OsString::from("-Ctarget-feature=+crt-static\u{1f}-Crelocation-model=static");
    if target.ends_with("gnu") {
        // gcc asks for a build id, which depends on the folders of the objects; lld makes none.
        flags.push("\u{1f}-Clink-arg=-Wl,--build-id=none");
    }
    let cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".cargo")))
        .unwrap_or_default();
    for (from, to) in [(cargo_home.as_path(), "cargo"), (root, "phplayer"), (target_dir, "target")] {
        flags.push("\u{1f}--remap-path-prefix=");
        flags.push(from);
        flags.push("=");
        flags.push(to);
    }
    flags
}

/// Whether the standard library of a target is there.
fn installed(target: &str) -> bool {
    let rustc = env::var_os("RUSTC").expect("cargo sets it");
    let answer = Command::new(rustc).args(["--print", "target-libdir", "--target", target]).output();
    let Ok(answer) = answer else { return false };
    let folder = String::from_utf8_lossy(&answer.stdout);
    fs::read_dir(folder.trim())
        .is_ok_and(|files| files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libstd-")))
}

fn on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}
