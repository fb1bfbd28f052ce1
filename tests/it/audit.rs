//! `audit`: each rule with a layer that breaks it and one that does not, what people see, and layers meant to hurt.

use std::io::{Cursor, Write};
use std::path::Path;

use phplayer::audit::{AuditError, Contents, Report, Reports, Rule, Waiver, inspect, sarif, text};
use phplayer::target::Arch;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

mod answer;
mod layer;

use layer::{Layer, audit, claiming, elf, policy, renamed, written};

/// `rule file` of each finding, in order.
fn found(report: &Report) -> Vec<String> {
    let line =
        |finding: &phplayer::audit::Finding| format!("{} {}", finding.rule, finding.file.as_deref().unwrap_or("-"));
    report.findings.iter().map(line).collect()
}

fn shown(report: &Report) -> String {
    let folder = report.subject.path().parent().expect("a folder").display().to_string();
    text::render(report).replace(&format!("{folder}/"), "")
}

#[test]
fn a_sound_runtime_layer_has_no_findings() {
    let layer = Layer::runtime()
        .manifest(&[])
        .elf("lib/php/extensions/plain.so", "plain.so")
        .link("bin/php-fpm", "php")
        .folder("empty", 0o755)
        .file("etc/php/php.ini", 0o644, b"memory_limit = 128M\n");
    let report = layer.report();
    assert_eq!(found(&report), Vec::<String>::new());
    insta::assert_snapshot!(text::verdict(&report), @"6 files · 0 objections");
}

#[test]
fn each_rule_about_programs_and_libraries_finds_its_fixture() {
    let cases = [
        ("damaged-elf lib/cut.so", Layer::new().file("lib/cut.so", 0o644, &elf("plain.so")[..100]), ""),
        (
            "wrong-machine lib/arm64.so",
            Layer::new().elf("lib/arm64.so", "arm64.so"),
            "it is 64-bit code for arm64, not for x86_64",
        ),
        (
            "wrong-machine lib/i386.so",
            Layer::new().elf("lib/i386.so", "i386.so"),
            "it is 32-bit code for x86, not for x86_64",
        ),
        (
            "wrong-interpreter bin/tool",
            Layer::new().elf("bin/tool", "program-musl"),
            "its loader is /lib/ld-musl-x86_64.so.1; on al2023-x86_64 that is /lib64/ld-linux-x86-64.so.2",
        ),
        (
            "version-too-new bin/tool",
            Layer::new().elf("bin/tool", "program-glibc-2.36"),
            "needs GLIBC_2.36 of libc.so.6; al2023 has GLIBC_2.34",
        ),
        (
            "version-too-new lib/cxx.so",
            Layer::new().elf("lib/cxx.so", "needs-glibcxx-3.4.99.so"),
            "needs GLIBCXX_3.4.99 of libstdc++.so.6; al2023 has GLIBCXX_3.4.33",
        ),
        (
            "version-missing lib/guest.so",
            Layer::new().elf("lib/guest.so", "needs-greet-2.0.so").elf("lib/libversioned.so.1", "libversioned.so.1"),
            "needs GREET_2.0, which lib/libversioned.so.1 does not define",
        ),
        (
            "missing-library lib/guest.so",
            Layer::new().elf("lib/guest.so", "needs-libonig.so"),
            "needs libonig.so.5, which is neither in the layer's search path nor in al2023",
        ),
        (
            "missing-library lib/guest.so",
            Layer::new().elf("lib/guest.so", "needs-libz.so"),
            "needs libz.so.1, which al2023's public image has, but not surely Lambda",
        ),
        (
            "shadowed-library lib/libz.so.1",
            Layer::new().elf("bin/tool", "program-libz").elf("lib/libz.so.1", "libz.so.1"),
            "libz.so.1 is in the base's /lib64 too, and that one is found first",
        ),
        (
            "isa-level lib/v3.so",
            Layer::new().elf("lib/v3.so", "v3.so"),
            "it needs x86-64-v3; Lambda surely has x86-64-v2",
        ),
        (
            "executable-stack lib/stack.so",
            Layer::new().elf("lib/stack.so", "execstack.so"),
            "it asks for an executable stack",
        ),
        (
            "packed-relocations lib/relr.so",
            Layer::new().elf("lib/relr.so", "relr.so"),
            "its relocations are packed (DT_RELR)",
        ),
        (
            "text-relocations lib/text.so",
            Layer::new().elf("lib/text.so", "textrel.so"),
            "the loader must write to its code",
        ),
        ("not-executable bin/tool", Layer::new().file("bin/tool", 0o644, &elf("program")), "its mode is 0644"),
    ];
    for (expected, layer, message) in cases {
        let report = layer.report();
        assert_eq!(found(&report), [expected], "{message}");
        assert!(report.findings[0].message.contains(message), "{:?}", report.findings[0].message);
        assert_eq!(report.objects(), expected != "not-executable bin/tool", "{expected}");
    }
}

#[test]
fn each_rule_about_the_runtime_finds_its_layer() {
    let php = || Layer::new().elf("bin/php", "program");
    let cases = [
        ("missing-bootstrap -", php(), "brings a PHP runtime but no `bootstrap`"),
        ("missing-bootstrap -", Layer::new().manifest(&[]), "brings a PHP runtime but no `bootstrap`"),
        ("bad-bootstrap bootstrap", php().file("bootstrap", 0o644, b"#!/bin/sh\n"), "its mode is 0644"),
        (
            "bad-bootstrap bootstrap",
            php().file("bootstrap", 0o755, b"echo hello\n"),
            "neither an ELF program nor a script",
        ),
        ("bad-bootstrap bootstrap", php().file("bootstrap", 0o755, b"#!/bin/sh\r\n"), "ends with CR LF"),
        ("bad-bootstrap bootstrap", php().file("bootstrap", 0o755, b"#!php\n"), "no absolute path"),
        ("bad-bootstrap bootstrap", php().elf("bootstrap", "plain.so"), "a library, not a program"),
        ("bad-bootstrap bootstrap", php().link("bootstrap", "x").file("x", 0o644, b"#!/bin/sh\n"), "its mode is 0644"),
        ("bad-bootstrap bootstrap", php().folder("bootstrap", 0o755), "it is a folder"),
        (
            "other-target phplayer/manifest.json",
            Layer::runtime().manifest(&[("arch", serde_json::json!(["arm64"]))]),
            "made for al2023 on arm64, and judged for al2023-x86_64",
        ),
        (
            "unreadable-manifest phplayer/manifest.json",
            Layer::runtime().file("phplayer/manifest.json", 0o644, b"{"),
            "the manifest cannot be read",
        ),
        (
            "unknown-waiver phplayer/manifest.json",
            Layer::runtime().manifest(&[("waived", serde_json::json!([{ "rule": "isa-levle", "reason": "x" }]))]),
            "no rule is called `isa-levle`",
        ),
    ];
    for (expected, layer, message) in cases {
        let report = layer.report();
        assert_eq!(found(&report), [expected], "{message}");
        assert!(report.findings[0].message.contains(message), "{:?}", report.findings[0].message);
    }
}

#[test]
fn each_rule_about_the_zip_finds_its_layer() {
    let two = || Layer::new().file("aaaa", 0o644, b"one").file("bbbb", 0o644, b"two").bytes();
    let cases = [
        ("unsafe-entry-name /bbb", renamed(two(), "bbbb", "/bbb"), "the name is absolute"),
        ("unsafe-entry-name ../b", renamed(two(), "bbbb", "../b"), "climbs out with `..`"),
        ("unsafe-entry-name a\\bc", renamed(two(), "bbbb", "a\\bc"), "backslash"),
        ("duplicate-entry aaaa", renamed(two(), "bbbb", "aaaa"), "2 entries have this name"),
        (
            "escaping-symlink lib/x",
            Layer::new().link("lib/x", "../../etc/passwd").bytes(),
            "which is /etc/passwd on Lambda",
        ),
        ("escaping-symlink x", Layer::new().link("x", "/usr/bin/php").bytes(), "which is /usr/bin/php on Lambda"),
        ("dangling-symlink x", Layer::new().link("x", "nothing").bytes(), "which the layer does not have"),
        ("dangling-symlink x", Layer::new().link("x", "x").bytes(), "in circles"),
        ("unreadable-entry x", Layer::new().file("x", 0o600, b"").bytes(), "its mode is 0600: others cannot read it"),
        ("unreadable-entry x", Layer::new().folder("x", 0o700).bytes(), "mode is 0700: others cannot look inside"),
        ("corrupt-zip -", b"PK, but no zip".to_vec(), "it is no whole zip archive"),
        ("corrupt-zip -", Vec::new(), "it is no whole zip archive"),
    ];
    for (expected, bytes, message) in cases {
        let report = audit(&bytes, Arch::X86_64).0;
        assert_eq!(found(&report), [expected], "{message}");
        assert!(report.findings[0].message.contains(message), "{:?}", report.findings[0].message);
    }
}

#[test]
fn an_entry_whose_bytes_do_not_match_its_checksum_is_corrupt() {
    let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file("etc/php.ini", options).expect("an entry");
    zip.write_all(b"memory_limit").expect("memory");
    let bytes = renamed(zip.finish().expect("memory").into_inner(), "memory_limit", "memory_LIMIT");
    let report = audit(&bytes, Arch::X86_64).0;
    assert_eq!(found(&report), ["corrupt-entry etc/php.ini"]);
}

#[test]
fn an_archive_without_modes_cannot_hold_a_bootstrap() {
    let mut bytes = Layer::runtime().bytes();
    // "Made by" DOS, and no attributes, in each record of the central directory.
    for at in 0..bytes.len() - 4 {
        if bytes[at..].starts_with(b"PK\x01\x02") {
            bytes[at + 5] = 0;
            bytes[at + 38..at + 42].fill(0);
        }
    }
    let report = audit(&bytes, Arch::X86_64).0;
    assert_eq!(found(&report), ["bad-bootstrap bootstrap"]);
}

#[test]
fn what_asks_for_nothing_new_is_left_alone() {
    let mut weak = elf("program-glibc-2.36");
    let hash_of_glibc_2_36 = 0x0696_91b6_u32.to_le_bytes();
    let at = weak.windows(4).position(|window| window == hash_of_glibc_2_36).expect("its version record");
    weak[at + 4] = 2; // vna_flags: VER_FLG_WEAK
    let cases = [
        ("a weak version need", Layer::new().file("bin/tool", 0o755, &weak)),
        ("found through DT_RPATH", Layer::new().elf("bin/tool", "program-rpath").elf("lib/libz.so.1", "libz.so.1")),
        (
            "found through the DT_RPATH of whoever loads it",
            Layer::new()
                .elf("bootstrap", "static")
                .elf("bin/php", "program-rpath")
                .elf("lib/libz.so.1", "libz.so.1")
                .elf("extensions/guest.so", "needs-libz.so"),
        ),
        (
            "a library that only the layer has",
            Layer::new().elf("lib/g.so", "needs-libonig.so").elf("lib/libonig.so.5", "libonig.so.5"),
        ),
        (
            "through a symbolic link",
            Layer::new()
                .elf("lib/g.so", "needs-libonig.so")
                .elf("lib/real.so", "libonig.so.5")
                .link("lib/libonig.so.5", "real.so"),
        ),
        ("a static program that relocates itself", Layer::runtime().elf("bin/tool", "static-pie")),
        ("a bootstrap that is a link", Layer::new().elf("bin/php", "program").link("bootstrap", "bin/php")),
        ("a static program", Layer::new().elf("bin/tool", "static")),
        ("an object file is not loaded", Layer::new().file("share/x.o", 0o644, &renamed_type(elf("i386.so")))),
        ("no machine code at all", Layer::new().file("vendor/autoload.php", 0o644, b"<?php")),
    ];
    for (why, layer) in cases {
        assert_eq!(found(&layer.report()), Vec::<String>::new(), "{why}");
    }
}

/// The same file, but saying that it is relocatable.
fn renamed_type(mut elf: Vec<u8>) -> Vec<u8> {
    elf[16] = 1;
    elf
}

#[test]
fn runpath_is_no_rpath() {
    let layer = Layer::new().elf("bin/tool", "program-runpath").elf("lib/libz.so.1", "libz.so.1");
    // lib/ is in LD_LIBRARY_PATH besides, so there it is the library's fault.
    assert_eq!(found(&layer.report()), ["shadowed-library lib/libz.so.1"]);

    let program = renamed(elf("program-runpath"), "$ORIGIN/../lib\0", "$ORIGIN/../own\0");
    let layer = Layer::new().file("bin/tool", 0o755, &program).elf("own/libz.so.1", "libz.so.1");
    let report = layer.report();
    assert_eq!(found(&report), ["overruled-runpath bin/tool"]);
    assert_eq!(
        report.findings[0].message,
        "its DT_RUNPATH finds own/libz.so.1, but the libz.so.1 of /lib64 comes first"
    );
}

#[test]
fn a_library_where_nothing_looks_is_missing_and_said_to_be_there() {
    let layer = Layer::new().elf("lib/g.so", "needs-libonig.so").elf("deps/libonig.so.5", "libonig.so.5");
    let report = layer.report();
    assert_eq!(found(&report), ["missing-library lib/g.so"]);
    assert_eq!(report.findings[0].details, ["the layer has deps/libonig.so.5, where the loader does not look"]);
}

#[test]
fn people_see_findings_by_file_and_each_rule_once() {
    let layer = Layer::new()
        .elf("bin/php", "program-glibc-2.36")
        .elf("lib/libz.so.1", "libz.so.1")
        .elf("lib/guest.so", "needs-libz.so")
        .elf("lib/stack.so", "execstack.so")
        .file("evil\u{1b}[31m", 0o600, b"");
    let mut report = layer.report();
    report.waive(&["executable-stack=old assembly".parse::<Waiver>().expect("a waiver")]);
    insta::with_settings!({ filters => vec![(r"[\d.]+ MiB", "[n] MiB")] }, {
        insta::assert_snapshot!(shown(&report), @r"
        layer.zip · al2023-x86_64 · [n] MiB zipped · [n] MiB unpacked

        the layer
          error[missing-bootstrap]: the layer brings a PHP runtime but no `bootstrap`

        bin/php
          error[version-too-new]: needs GLIBC_2.36 of libc.so.6; al2023 has GLIBC_2.34

        evil\u{1b}[31m
          error[unreadable-entry]: its mode is 0600: others cannot read it

        lib/libz.so.1
          error[shadowed-library]: libz.so.1 is in the base's /lib64 too, and that one is found first
            needed by lib/guest.so, which has no DT_RPATH to it

        lib/stack.so
          waived[executable-stack]: it asks for an executable stack
            because: old assembly

        unreadable-entry: Lambda runs functions as a user of its own: files must be readable for others, folders searchable too.
          help: `chmod -R a+rX` the folder before packing, and pack with a tool that stores modes.

        missing-bootstrap: Lambda starts a custom runtime by running the file `bootstrap` at the top of the layer.
          help: Pack an executable file named `bootstrap` at the top of the zip.

        version-too-new: The loader refuses a file that needs a newer version of a system library than the base has.
          help: Compile against the base's glibc and libstdc++, or link that library statically.

        shadowed-library: `/lib64` comes before `/opt/lib` in `LD_LIBRARY_PATH`, so the base's library is loaded in place of the layer's.
          help: Link with `-Wl,--disable-new-dtags -Wl,-rpath,'$ORIGIN/../lib'` (DT_RPATH), or link it statically.

        5 files · 4 objections · 1 waived
        ");
    });
}

#[test]
fn a_bomb_is_too_large_or_corrupt_and_never_unpacked_to_its_end() {
    let bomb = || Layer::new().file("zeros", 0o644, &[0; 1 << 16]).bytes();
    let honest = audit(&claiming(bomb(), 400 << 20), Arch::X86_64).0;
    assert_eq!(found(&honest), ["unzipped-too-large -"]);
    assert_eq!(honest.unzipped, 400 << 20);
    let lying = audit(&claiming(bomb(), 10), Arch::X86_64).0;
    assert_eq!(found(&lying), ["corrupt-entry zeros"]);
}

#[test]
fn the_limits_are_the_last_bytes_allowed() {
    let (_folder, path) = written(&Layer::new().file("data", 0o644, &[7; 1000]).bytes());
    let zipped = fs_err::metadata(&path).expect("the zip").len();
    let mut policy = policy(Arch::X86_64);
    assert_eq!((policy.limits.zipped, policy.limits.unzipped), (52_428_800, 262_144_000));

    (policy.limits.zipped, policy.limits.unzipped) = (zipped, 1000);
    assert_eq!(found(&inspect(&path, &policy).expect("a report")), Vec::<String>::new());
    policy.limits.zipped = zipped - 1;
    let large = inspect(&path, &policy).expect("a report");
    assert_eq!(found(&large), ["zipped-too-large -"]);
    assert!(!large.objects(), "S3 takes it");
    policy.limits.unzipped = 999;
    assert!(inspect(&path, &policy).expect("a report").objects());
}

#[test]
fn fifty_corrupted_zips_each_end_as_a_report() {
    let good = Layer::runtime().manifest(&[]).elf("lib/plain.so", "plain.so").link("bin/php-fpm", "php").bytes();
    let mut objected = 0;
    for seed in 1..=50u64 {
        let mut random = Random(seed);
        let mut bytes = good.clone();
        match seed % 5 {
            0 => bytes.truncate(random.below(bytes.len())),
            1 => drop(bytes.drain(..random.below(bytes.len() / 2))),
            // The central directory is what the reader trusts most.
            2 => (0..4).for_each(|_| {
                let at = bytes.len() - 1 - random.below(400);
                bytes[at] = random.byte();
            }),
            _ => (0..20).for_each(|_| {
                let at = random.below(bytes.len());
                bytes[at] = random.byte();
            }),
        }
        let (_folder, path) = written(&bytes);
        match inspect(&path, &policy(Arch::X86_64)) {
            Ok(report) => {
                objected += usize::from(report.objects());
                let _ = (text::render(&report), sarif::render(&Reports::new(vec![report])));
            }
            Err(AuditError::Open { .. } | AuditError::Changed { .. }) => panic!("the file is there and stays"),
        }
    }
    assert!(objected >= 40, "only {objected} of 50 were objected to");
}

/// Marsaglia's xorshift: the same numbers in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() >> 33).expect("31 bits") % bound
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[7]
    }
}

#[test]
fn a_folder_is_judged_like_the_zip_made_from_it_but_never_sealed() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, fixture) in
        [("bin/tool", "program-rpath"), ("lib/libz.so.1", "libz.so.1"), ("lib/stack.so", "execstack.so")]
    {
        let path = folder.path().join(name);
        fs_err::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs_err::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/elf").join(fixture), path)
            .expect("a copy");
    }
    let report = inspect(folder.path(), &policy(Arch::X86_64)).expect("a report");
    assert_eq!(found(&report), ["executable-stack lib/stack.so"]);
    let waiver = "executable-stack=known".parse().expect("a waiver");
    let refused = report.accept(&[waiver]).expect_err("a folder cannot be published");
    assert_eq!(refused.objections().map(|finding| finding.rule).collect::<Vec<_>>(), [Rule::NotAZip]);
}

#[test]
fn the_seal_needs_waivers_and_breaks_when_the_file_changes() {
    let (_folder, path) = written(&Layer::runtime().elf("lib/stack.so", "execstack.so").bytes());
    let look = || inspect(&path, &policy(Arch::X86_64)).expect("a report");
    assert!(look().accept(&[]).is_err(), "an executable stack is objected to");

    let waiver: Waiver = "executable-stack=old assembly".parse().expect("a waiver");
    let audited = look().accept(&[waiver]).expect("accepted");
    assert_eq!(audited.arch(), Some(Arch::X86_64), "from its ELF files");
    let bytes = fs_err::read(&path).expect("the zip");
    assert_eq!(audited.read_verified().expect("unchanged"), bytes);
    assert_eq!(audited.zipped(), bytes.len() as u64);

    fs_err::write(&path, b"something else").expect("a file");
    let error = audited.read_verified().expect_err("changed");
    assert!(matches!(error, AuditError::Changed { .. }), "{error:?}");
}

#[test]
fn the_manifest_may_waive_for_one_file() {
    let waived = serde_json::json!([{ "rule": "executable-stack", "file": "lib/a.so", "reason": "old assembly" }]);
    let layer = Layer::runtime()
        .manifest(&[("waived", waived)])
        .elf("lib/a.so", "execstack.so")
        .elf("lib/b.so", "execstack.so");
    let report = layer.report();
    assert_eq!(report.findings[0].waived.as_deref(), Some("old assembly"));
    assert_eq!(report.objections().map(|finding| finding.file.as_deref()).collect::<Vec<_>>(), [Some("lib/b.so")]);
}

#[test]
fn the_architecture_comes_from_manifest_or_elf_files() {
    let arch = |layer: Layer| {
        let (_folder, path) = written(&layer.bytes());
        Contents::read(&path).expect("contents").arch()
    };
    assert_eq!(arch(Layer::new().elf("lib/a.so", "arm64.so")), Some(Arch::Arm64));
    assert_eq!(
        arch(Layer::new().manifest(&[("arch", serde_json::json!(["arm64"]))]).elf("bin/php", "program")),
        Some(Arch::Arm64)
    );
    assert_eq!(arch(Layer::new().manifest(&[("arch", serde_json::json!(["x86_64", "arm64"]))])), None);
    assert_eq!(arch(Layer::new().file("x", 0o644, b"")), None);
}
