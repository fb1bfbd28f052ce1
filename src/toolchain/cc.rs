//! The compiler that steps see as `cc` and `c++`: splits one call into gcc's part and zig's, and mends both.
//!
//! Everything here is a pure function of the arguments; only [`main`] runs something. Each rule names its cause.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::digest::Digest;

/// Where the host's gcc is.
pub const GCC: &str = "PHPLAYER_CC_GCC";
/// gcc's own header folder.
pub const GCC_HEADERS: &str = "PHPLAYER_CC_HEADERS";
/// zig's target, for example `x86_64-linux-gnu.2.34`.
pub const ZIG_TARGET: &str = "PHPLAYER_CC_TARGET";
/// The minor version of the glibc whose headers are shown.
pub const GLIBC_MINOR: &str = "PHPLAYER_CC_GLIBC_MINOR";

const ZIG: &str = "/toolchain/zig/zig";
const ZIG_HEADERS: &str = "/toolchain/zig/lib/libc/include";

/// A digest of this file: a changed rule changes every step's key.
pub fn rules() -> String {
    Digest::of(include_bytes!("cc.rs")).short()
}

/// What the wrapper knows of its surroundings.
#[derive(Clone, Debug)]
pub struct Setting {
    pub gcc: OsString,
    pub gcc_headers: PathBuf,
    pub zig_target: String,
    pub glibc_minor: String,
    pub language: Language,
}

/// By which name it was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    C,
    /// zig throughout: its libc++ is static, gcc's libstdc++ is not.
    Cxx,
}

/// One program to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub program: OsString,
    pub arguments: Vec<OsString>,
}

/// Splits a compiler call. All but the last call are compilations of single sources into `scratch`.
pub fn calls(arguments: &[OsString], setting: &Setting, scratch: &Path) -> Vec<Call> {
    let words: Vec<&str> = arguments.iter().map(|word| word.to_str().unwrap_or_default()).collect();
    if setting.language == Language::Cxx {
        return vec![zig("c++", zig_compile(&words), setting)];
    }
    if words.iter().any(|word| asks_only(word)) || !words.iter().any(|word| is_input(word)) {
        return vec![Call { program: setting.gcc.clone(), arguments: arguments.to_vec() }];
    }
    if words.iter().any(|word| matches!(*word, "-c" | "-E" | "-S" | "-M" | "-MM")) {
        return vec![compile(&words, setting)];
    }
    let mut calls = Vec::new();
    let mut objects = Vec::new();
    for (at, source) in words.iter().filter(|word| is_source(word)).enumerate() {
        let object = scratch.join(format!("{at}.o")).to_string_lossy().into_owned();
        let mut own: Vec<&str> = compile_words(&words);
        own.extend(["-c", source, "-o", &object]);
        calls.push(compile(&own, setting));
        objects.push(object);
    }
    calls.push(zig("cc", link(&words, &objects), setting));
    calls
}

/// gcc's part: zig's glibc headers in place of the host's.
///
/// `-mno-direct-extern-access`: without it gcc emits copy relocations against zig's stub libc, and the program crashes
/// at its start, in `environ`. x86 only.
fn compile(words: &[&str], setting: &Setting) -> Call {
    let cpu = setting.zig_target.split('-').next().unwrap_or_default();
    let family = if cpu == "aarch64" { "aarch64" } else { "x86" };
    let gnu = if cpu == "aarch64" { "aarch64-linux-gnu" } else { "x86-linux-gnu" };
    let mut arguments: Vec<OsString> = vec!["-nostdinc".into(), "-isystem".into(), setting.gcc_headers.clone().into()];
    for folder in
        [gnu.to_owned(), "generic-glibc".to_owned(), format!("{family}-linux-any"), "any-linux-any".to_owned()]
    {
        arguments.push("-isystem".into());
        arguments.push(format!("{ZIG_HEADERS}/{folder}").into());
    }
    arguments.push(format!("-D__GLIBC_MINOR__={}", setting.glibc_minor).into());
    if family == "x86" {
        arguments.push("-mno-direct-extern-access".into());
    }
    arguments.extend(words.iter().map(OsString::from));
    Call { program: setting.gcc.clone(), arguments }
}

fn zig(role: &str, words: Vec<String>, setting: &Setting) -> Call {
    let mut arguments: Vec<OsString> = vec![role.into(), "-target".into(), setting.zig_target.clone().into()];
    arguments.extend(words.into_iter().map(OsString::from));
    Call { program: ZIG.into(), arguments }
}

/// zig as a compiler, for C++.
///
/// - `-fno-sanitize=all`: zig without `-O` traps on undefined behaviour that PHP relies on (ziglang/zig#24252).
/// - `-Wno-date-time`: zig makes `__DATE__` an error in release modes.
fn zig_compile(words: &[&str]) -> Vec<String> {
    let mut all = vec!["-fno-sanitize=all".to_owned(), "-Wno-date-time".to_owned()];
    all.extend(words.iter().filter_map(|word| linker_word(word)));
    all
}

/// The words of a call that a compilation of one of its sources takes along: not its inputs, output and libraries.
fn compile_words<'w>(words: &[&'w str]) -> Vec<&'w str> {
    let mut kept = Vec::new();
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match *word {
            "-o" => drop(rest.next()),
            "-I" | "-D" | "-U" | "-isystem" | "-include" | "-idirafter" | "-iquote" | "-x" => {
                kept.push(*word);
                kept.extend(rest.next());
            }
            word if is_source(word) || is_linked(word) => {}
            word => kept.push(word),
        }
    }
    kept
}

/// zig's part: objects, libraries and linker flags only. Position-independent only if asked: objects of either kind then fit.
///
/// `-O2`: without it zig compiles and links its sanitizer's runtime, fifteen seconds of a first build for nothing.
fn link(words: &[&str], objects: &[String]) -> Vec<String> {
    let mut all = vec!["-O2".to_owned()];
    let mut sources = objects.iter();
    let mut output = false;
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        match *word {
            "-o" => {
                output = true;
                all.push("-o".to_owned());
                all.extend(rest.next().map(|file| (*file).to_owned()));
            }
            "-L" | "-Xlinker" | "-u" | "-T" | "-z" => {
                all.push((*word).to_owned());
                all.extend(rest.next().map(|file| (*file).to_owned()));
            }
            "-I" | "-D" | "-U" | "-isystem" | "-include" | "-idirafter" | "-iquote" | "-x" => drop(rest.next()),
            word if is_source(word) => all.extend(sources.next().cloned()),
            word if is_linked(word) => all.extend(linker_word(word)),
            _ => {}
        }
    }
    // zig would name it `a.out` too, but in its own way of looking at the working folder.
    if !output {
        all.extend(["-o".to_owned(), "a.out".to_owned()]);
    }
    all
}

/// One word for zig's linker, or nothing.
///
/// - `-lgcc_s`, `-lgcc`: the unwinder comes from zig's libunwind.
/// - page sizes: PHP aligns x86-64 segments to 2 MiB, which makes the file 4 MB larger and gains nothing on Lambda.
/// - the linker's own words that zig refuses outright (ziglang/zig#23730, #24662).
fn linker_word(word: &str) -> Option<String> {
    const REFUSED: [&str; 8] = [
        "-Wl,-z,common-page-size",
        "-Wl,-z,max-page-size",
        "-Wl,-zcommon-page-size",
        "-Wl,-zmax-page-size",
        "-Wl,--dynamic-list",
        "-Wl,--export-dynamic-symbol",
        "-Wl,--exclude-libs",
        "-Wl,-rpath",
    ];
    match word {
        "-lgcc_s" | "-lgcc" => Some("-lunwind".to_owned()),
        "-export-dynamic" => Some("-rdynamic".to_owned()),
        word if REFUSED.iter().any(|refused| word.starts_with(refused)) => None,
        word if word.starts_with("-Wp,") => None,
        word => Some(word.to_owned()),
    }
}

/// Questions about the compiler itself: gcc answers them, since gcc is what compiles.
fn asks_only(word: &str) -> bool {
    matches!(
        word,
        "--version" | "-v" | "-V" | "-qversion" | "-dumpversion" | "-dumpmachine" | "-dumpfullversion" | "--help"
    ) || word.starts_with("-print-")
        || word.starts_with("--print-")
}

fn is_source(word: &str) -> bool {
    !word.starts_with('-') && [".c", ".s", ".S", ".i"].iter().any(|ending| word.ends_with(ending))
}

/// An object, an archive, a library, or a word for the linker.
fn is_linked(word: &str) -> bool {
    if !word.starts_with('-') {
        return true;
    }
    matches!(
        word,
        "-shared" | "-pie" | "-no-pie" | "-static" | "-s" | "-pthread" | "-rdynamic" | "-export-dynamic" | "-r"
    ) || ["-l", "-L", "-Wl,", "-nostdlib", "-nodefaultlibs", "-nostartfiles"]
        .iter()
        .any(|start| word.starts_with(start))
}

fn is_input(word: &str) -> bool {
    !word.starts_with('-') || word == "-" || word.starts_with("-l")
}

/// Runs as the compiler. The last call replaces this process, so that a compilation costs one start more, not two.
pub fn main(language: Language) -> ExitCode {
    match act(language) {
        Ok(never) => match never {},
        Err(message) => {
            eprintln!("phplayer cc: {message}");
            ExitCode::FAILURE
        }
    }
}

fn act(language: Language) -> Result<Infallible, String> {
    let set = |name: &str| std::env::var_os(name).ok_or_else(|| format!("{name} is not set: this is for steps only"));
    let text = |name: &str| set(name).map(|value| value.to_string_lossy().into_owned());
    let setting = Setting {
        gcc: set(GCC)?,
        gcc_headers: set(GCC_HEADERS)?.into(),
        zig_target: text(ZIG_TARGET)?,
        glibc_minor: text(GLIBC_MINOR)?,
        language,
    };
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let scratch = tempfile::tempdir().map_err(|error| format!("no scratch folder: {error}"))?;
    let mut calls = calls(&arguments, &setting, scratch.path());
    let last = calls.pop().ok_or("nothing to do")?;
    if calls.is_empty() {
        drop(scratch);
        let error = Command::new(&last.program).args(&last.arguments).exec();
        return Err(format!("{}: {error}", Path::new(&last.program).display()));
    }
    calls.push(last);
    for call in calls {
        let status = Command::new(&call.program)
            .args(&call.arguments)
            .status()
            .map_err(|error| format!("{}: {error}", Path::new(&call.program).display()))?;
        if !status.success() {
            drop(scratch);
            std::process::exit(status.code().unwrap_or(1));
        }
    }
    drop(scratch);
    std::process::exit(0)
}

/// The role that a program name asks for, if it is one of ours.
pub fn role(argv0: &OsStr) -> Option<Language> {
    match Path::new(argv0).file_name()?.to_str()? {
        "cc" => Some(Language::C),
        "c++" => Some(Language::Cxx),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(language: Language) -> Setting {
        Setting {
            gcc: "/usr/bin/gcc".into(),
            gcc_headers: "/gcc/include".into(),
            zig_target: "x86_64-linux-gnu.2.34".to_owned(),
            glibc_minor: "34".to_owned(),
            language,
        }
    }

    /// Each call in one line; gcc's fixed start is cut to `GCC`, zig's to `ZIG`.
    fn shown(line: &str) -> Vec<String> {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        let fixed = compile(&[], &setting(Language::C)).arguments.len();
        let show = |call: &Call| {
            let words: Vec<&str> = call.arguments.iter().filter_map(|word| word.to_str()).collect();
            match call.program == "/usr/bin/gcc" {
                true if words.first() == Some(&"-nostdinc") => format!("GCC {}", words[fixed..].join(" ")),
                true => format!("gcc {}", words.join(" ")),
                false => format!("ZIG {}", words[3..].join(" ")),
            }
        };
        calls(&arguments, &setting(Language::C), Path::new("/s")).iter().map(show).collect()
    }

    #[test]
    fn every_kind_of_call_goes_where_it_belongs() {
        let table: &[(&str, &[&str])] = &[
            ("-O2 -c a.c -o a.o", &["GCC -O2 -c a.c -o a.o"]),
            ("-E -", &["GCC -E -"]),
            ("--version", &["gcc --version"]),
            ("-print-prog-name=ld", &["gcc -print-prog-name=ld"]),
            ("a.o b.a -lm -o x", &["ZIG -O2 a.o b.a -lm -o x"]),
            ("-O2 -DX a.c -lm", &["GCC -O2 -DX -c a.c -o /s/0.o", "ZIG -O2 /s/0.o -lm -o a.out"]),
            (
                "-I inc a.c b.c -o x",
                &["GCC -I inc -c a.c -o /s/0.o", "GCC -I inc -c b.c -o /s/1.o", "ZIG -O2 /s/0.o /s/1.o -o x"],
            ),
            ("-shared -fPIC a.o -o a.so", &["ZIG -O2 -shared a.o -o a.so"]),
            ("-no-pie a.o", &["ZIG -O2 -no-pie a.o -o a.out"]),
            ("-pie a.o", &["ZIG -O2 -pie a.o -o a.out"]),
        ];
        for (given, expected) in table {
            assert_eq!(shown(given), *expected, "{given}");
        }
    }

    #[test]
    fn words_that_zig_refuses_or_that_harm_are_taken_out() {
        let table: &[(&str, &str)] = &[
            ("a.o -lgcc_s", "ZIG -O2 a.o -lunwind -o a.out"),
            ("a.o -Wl,-z,max-page-size=2097152", "ZIG -O2 a.o -o a.out"),
            ("a.o -Wl,-z,now", "ZIG -O2 a.o -Wl,-z,now -o a.out"),
            ("a.o -Wall -O2 -std=gnu99 -fno-common", "ZIG -O2 a.o -o a.out"),
            ("a.o -export-dynamic", "ZIG -O2 a.o -rdynamic -o a.out"),
            ("a.o -Wl,--dynamic-list=x", "ZIG -O2 a.o -o a.out"),
        ];
        for (given, expected) in table {
            assert_eq!(shown(given), [*expected], "{given}");
        }
    }

    #[test]
    fn the_hosts_headers_are_never_seen() {
        let call = compile(&["-c", "a.c"], &setting(Language::C));
        let words: Vec<&str> = call.arguments.iter().filter_map(|word| word.to_str()).collect();
        assert_eq!(words[0], "-nostdinc");
        assert!(!words.iter().any(|word| word.contains("/usr/include")), "{words:?}");
        assert!(words.contains(&"-D__GLIBC_MINOR__=34") && words.contains(&"-mno-direct-extern-access"));
        let arm = Setting { zig_target: "aarch64-linux-gnu.2.34".to_owned(), ..setting(Language::C) };
        assert!(!compile(&["-c"], &arm).arguments.contains(&"-mno-direct-extern-access".into()));
    }

    #[test]
    fn cxx_is_zigs_alone() {
        let all = calls(&["-c".into(), "a.cc".into()], &setting(Language::Cxx), Path::new("/s"));
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].arguments[0], "c++");
        assert!(all[0].arguments.contains(&"-fno-sanitize=all".into()));
    }
}
