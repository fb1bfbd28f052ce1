//! The rules: what can be wrong with a layer, how bad it is, why, and how it is mended. One row each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The layer objects to being published.
    Error,
    /// Something to know.
    Warning,
}

/// Whether a user may accept what the rule finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiver {
    Possible,
    /// Lambda itself refuses it, or nothing can be said about the layer at all.
    Refused,
}

macro_rules! rules {
    ($($name:ident, $id:literal, $level:ident, $waiver:ident, $explain:literal, $help:literal;)+) => {
        /// One kind of objection, known to users by its kebab-case id.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum Rule {
            $(#[serde(rename = $id)] $name,)+
        }

        impl Rule {
            pub const ALL: &[Rule] = &[$(Rule::$name),+];

            pub const fn id(self) -> &'static str {
                match self { $(Rule::$name => $id,)+ }
            }

            pub const fn level(self) -> Level {
                match self { $(Rule::$name => Level::$level,)+ }
            }

            pub const fn waiver(self) -> Waiver {
                match self { $(Rule::$name => Waiver::$waiver,)+ }
            }

            /// Why it matters, in one sentence.
            pub const fn explain(self) -> &'static str {
                match self { $(Rule::$name => $explain,)+ }
            }

            /// The way out.
            pub const fn help(self) -> &'static str {
                match self { $(Rule::$name => $help,)+ }
            }
        }
    };
}

rules! {
    // The zip.
    CorruptZip, "corrupt-zip", Error, Refused,
        "Lambda cannot unpack what is not a whole zip archive.",
        "Make or download the zip again.";
    CorruptEntry, "corrupt-entry", Error, Refused,
        "A file whose bytes do not match the archive's own checksum, or that cannot be unpacked, is not what was packed.",
        "Make or download the zip again; pack with the deflate method and without encryption.";
    UnsafeEntryName, "unsafe-entry-name", Error, Refused,
        "A name that is absolute, climbs out with `..` or is not a plain path lands elsewhere, or nowhere.",
        "Pack from inside the layer's folder with plain relative names.";
    DuplicateEntry, "duplicate-entry", Error, Refused,
        "Of two entries with one name, which one wins depends on who unpacks, and only one was looked at.",
        "Pack every file once, into a new zip.";
    EscapingSymlink, "escaping-symlink", Error, Possible,
        "A symbolic link that leaves the layer points at whatever the machine has there, or at nothing.",
        "Link to a file inside the layer by a relative path, or pack the file itself.";
    DanglingSymlink, "dangling-symlink", Warning, Possible,
        "A symbolic link to a file that the layer does not have cannot be opened.",
        "Pack the file that it points at, or drop the link.";
    UnreadableEntry, "unreadable-entry", Error, Possible,
        "Lambda runs functions as a user of its own: files must be readable for others, folders searchable too.",
        "`chmod -R a+rX` the folder before packing, and pack with a tool that stores modes.";
    UnzippedTooLarge, "unzipped-too-large", Error, Refused,
        "A function and all its layers may be 262,144,000 bytes unpacked, all together.",
        "Leave out extensions, locale data, tests and documentation, or strip the binaries.";
    ZippedTooLarge, "zipped-too-large", Warning, Possible,
        "Above 52,428,800 bytes a zip cannot be part of the call that publishes it.",
        "Upload it to an S3 bucket in the layer's region and publish from there, or make it smaller.";
    NotAZip, "not-a-zip", Error, Refused,
        "Only a zip can become a layer version.",
        "Pack the folder, then audit the zip.";
    UnreadableManifest, "unreadable-manifest", Error, Possible,
        "Without its manifest nobody can say what the layer is for.",
        "Build the layer again with this version of phplayer.";
    OtherTarget, "other-target", Error, Possible,
        "The layer says that it is made for another architecture or base than it is judged for.",
        "Audit it with its own `--arch` and `--base`, or build it for this one.";
    // The runtime.
    MissingBootstrap, "missing-bootstrap", Error, Possible,
        "Lambda starts a custom runtime by running the file `bootstrap` at the top of the layer.",
        "Pack an executable file named `bootstrap` at the top of the zip.";
    BadBootstrap, "bad-bootstrap", Error, Possible,
        "Lambda runs `bootstrap` itself, so it must be an executable file: a program, or a script with a `#!` line.",
        "`chmod 755 bootstrap` before packing; begin a script with `#!` and end its lines with LF.";
    NotExecutable, "not-executable", Warning, Possible,
        "A program without the execute permission cannot be started.",
        "`chmod 755` it before packing.";
    // The programs and libraries.
    DamagedElf, "damaged-elf", Error, Possible,
        "The loader refuses a program or library that is cut short or overwritten.",
        "Build the file again.";
    WrongMachine, "wrong-machine", Error, Possible,
        "The processor cannot run code that was compiled for another one.",
        "Compile it for the layer's architecture, or audit the layer with the right `--arch`.";
    WrongInterpreter, "wrong-interpreter", Error, Possible,
        "The kernel starts a program through the loader that it names, and that one is not there.",
        "Link against glibc for the base (not musl, not a private loader path), or statically.";
    VersionTooNew, "version-too-new", Error, Possible,
        "The loader refuses a file that needs a newer version of a system library than the base has.",
        "Compile against the base's glibc and libstdc++, or link that library statically.";
    VersionMissing, "version-missing", Error, Possible,
        "The loader refuses a file that needs a version which the library packed beside it does not define.",
        "Pack the library that the file was linked with.";
    MissingLibrary, "missing-library", Error, Possible,
        "The loader stops when a needed library is neither in the layer nor surely in the base.",
        "Link it statically, or pack it into `lib/`; with a `DT_RPATH` of `$ORIGIN/../lib` if the image has one too.";
    ShadowedLibrary, "shadowed-library", Error, Possible,
        "`/lib64` comes before `/opt/lib` in `LD_LIBRARY_PATH`, so the base's library is loaded in place of the layer's.",
        "Link with `-Wl,--disable-new-dtags -Wl,-rpath,'$ORIGIN/../lib'` (DT_RPATH), or link it statically.";
    OverruledRunpath, "overruled-runpath", Error, Possible,
        "`LD_LIBRARY_PATH` beats `DT_RUNPATH`, so the base's library is loaded in place of the one beside the file.",
        "Link with `-Wl,--disable-new-dtags`, which writes a DT_RPATH: that one comes first.";
    IsaLevel, "isa-level", Error, Possible,
        "glibc refuses to load a file that needs a higher x86-64 level than the processor has.",
        "Compile with `-march=x86-64-v2`, without `-Wl,-z,x86-64-v3`.";
    ExecutableStack, "executable-stack", Error, Possible,
        "An executable stack turns every overflow into running code, and hardened kernels refuse it.",
        "Link with `-Wl,-z,noexecstack`; give assembly files a `.note.GNU-stack` section.";
    TextRelocations, "text-relocations", Error, Possible,
        "Code that the loader must write to cannot be shared or protected, and hardened kernels refuse it.",
        "Compile everything with `-fPIC` and link with `-Wl,-z,text`.";
    PackedRelocations, "packed-relocations", Error, Possible,
        "glibc before 2.36 does not know packed relative relocations: the file loads, and crashes at the first of them.",
        "Link without `-Wl,-z,pack-relative-relocs` (lld: `--pack-dyn-relocs=none`).";
    // The waivers.
    UnknownWaiver, "unknown-waiver", Warning, Refused,
        "The manifest accepts an objection that no rule makes, or that cannot be accepted.",
        "Correct the rule's name in the recipe: `phplayer audit --rules` lists them.";
}

impl Rule {
    pub fn named(id: &str) -> Option<Rule> {
        Rule::ALL.iter().copied().find(|rule| rule.id() == id)
    }

    /// The id nearest to a misspelt one, if any is near.
    pub fn nearest(id: &str) -> Option<Rule> {
        let distance = |rule: &Rule| strsim::damerau_levenshtein(id, rule.id());
        Rule::ALL.iter().copied().min_by_key(distance).filter(|rule| distance(rule) <= 4)
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.id())
    }
}

impl std::fmt::Display for Level {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Level::Error => "error",
            Level::Warning => "warning",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_kebab_case_and_their_own() {
        for rule in Rule::ALL {
            assert!(rule.id().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{rule}");
            assert_eq!(Rule::named(rule.id()), Some(*rule));
            assert!(rule.explain().ends_with('.') && rule.help().ends_with('.'), "{rule}: whole sentences");
        }
    }

    #[test]
    fn a_slip_finds_its_neighbour() {
        assert_eq!(Rule::nearest("executable-stak"), Some(Rule::ExecutableStack));
        assert_eq!(Rule::nearest("something-else-entirely"), None);
    }
}
