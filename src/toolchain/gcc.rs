//! The gcc and binutils that compile for one target, the host's own or cross tools, and the variables that name them.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::process;
use crate::target::{Arch, Target};

use super::{ToolchainError, ZIG_VERSION, cc, tools};

/// Where Debian keeps arm64's C library on other machines (libc6-arm64-cross): what qemu takes for the root.
const ARM64_ROOT: &str = "/usr/aarch64-linux-gnu";

/// A gcc and the binutils that go with it.
#[derive(Clone, Debug)]
pub(super) struct Gcc {
    pub program: PathBuf,
    pub version: String,
    /// gcc's own headers (`stddef.h` and the like): the only ones of the host that a step sees.
    pub headers: PathBuf,
    pub binutils: String,
    /// What the host itself compiles with, if this gcc is for another machine.
    pub build: Option<Build>,
}

/// The host's side of a cross-compilation.
#[derive(Clone, Debug)]
pub(super) struct Build {
    pub arch: Arch,
    pub program: PathBuf,
    pub headers: PathBuf,
}

impl Gcc {
    pub fn find(target: Target) -> Result<Self, ToolchainError> {
        if !cfg!(target_os = "linux") {
            return Err(ToolchainError::NotLinux);
        }
        let host = Arch::host();
        if target.arch != host && (host, target.arch) != (Arch::X86_64, Arch::Arm64) {
            return Err(ToolchainError::OtherArch { host, wanted: target.arch });
        }
        let lacking = tools::lacking(&tools::cross(target.arch));
        if !lacking.is_empty() {
            return Err(tools::missing(&lacking));
        }
        let native = Self::ask("", None)?;
        if target.arch == host {
            return Ok(native);
        }
        let build = Build { arch: host, program: native.program, headers: native.headers };
        Self::ask(prefix(target.arch), Some(build))
    }

    /// Asks the gcc whose name begins with `prefix` for what it is.
    fn ask(prefix: &str, build: Option<Build>) -> Result<Self, ToolchainError> {
        let name = format!("{prefix}gcc");
        let program = process::find(&name).ok_or_else(|| tools::missing(std::slice::from_ref(&name)))?;
        let ask = |argument: &str| process::answer(&name, &[argument]).unwrap_or_default();
        let version = ask("-dumpfullversion");
        let major: u32 = version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
        if major < 12 {
            return Err(ToolchainError::OldGcc { version });
        }
        let headers = PathBuf::from(ask("-print-file-name=include"));
        let binutils = process::answer(&format!("{prefix}ld"), &["--version"]).unwrap_or_default();
        let binutils =
            binutils.lines().next().and_then(|line| line.split(' ').next_back()).unwrap_or("unknown").to_owned();
        Ok(Self { program, version, headers, binutils, build })
    }

    /// Part of every step's key. A cross compiler is another one, so what it made is never taken for the host's own.
    pub fn identity(&self, target: Target) -> String {
        let prefix = if self.build.is_some() { prefix(target.arch) } else { "" };
        format!("{prefix}gcc {}, binutils {}, zig {ZIG_VERSION}, rules {}", self.version, self.binutils, cc::rules())
    }

    /// The variables of every step that name compiler, binutils, and how a finished program is started.
    pub fn environment(&self, target: Target) -> Vec<(&'static str, OsString)> {
        let prefix = if self.build.is_some() { prefix(target.arch) } else { "" };
        let tool = |name: &str| OsString::from(format!("{prefix}{name}"));
        let mut all = vec![
            ("AR", tool("ar")),
            ("LD", tool("ld")),
            ("NM", tool("nm")),
            ("OBJCOPY", tool("objcopy")),
            (cc::GCC, self.program.clone().into_os_string()),
            (cc::GCC_HEADERS, self.headers.clone().into_os_string()),
            (cc::ZIG_TARGET, target.zig().into()),
            (cc::GLIBC_MINOR, target.base.glibc_minor().to_string().into()),
        ];
        match &self.build {
            None => all.extend([("BUILD", target.arch.triple().into()), ("RUN", "".into())]),
            Some(build) => all.extend(build.environment(target)),
        }
        all
    }
}

impl Build {
    /// Programs that a build makes and runs itself (PHP's minilua, SQLite's lemon) are compiled by the same `cc`, set for
    /// this machine: PHP and SQLite ask `BUILD_CC` for it, others `CC_FOR_BUILD`.
    fn environment(&self, target: Target) -> Vec<(&'static str, OsString)> {
        let native = Target { arch: self.arch, base: target.base };
        let cc = format!(
            "env {}={} {}={} {}={} /toolchain/bin/cc",
            cc::GCC,
            self.program.display(),
            cc::GCC_HEADERS,
            self.headers.display(),
            cc::ZIG_TARGET,
            native.zig()
        );
        vec![
            ("BUILD", self.arch.triple().into()),
            ("RUN", run(target.arch).into()),
            ("BUILD_CC", cc.clone().into()),
            ("CC_FOR_BUILD", cc.into()),
            ("RANLIB", format!("{}ranlib", prefix(target.arch)).into()),
            ("STRIP", format!("{}strip", prefix(target.arch)).into()),
            // configure would prefer a pkg-config of the target, which Debian makes look at the host's folders too.
            ("PKG_CONFIG", "pkg-config".into()),
        ]
    }
}

/// What the names of an architecture's cross tools begin with.
fn prefix(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "x86_64-linux-gnu-",
        Arch::Arm64 => "aarch64-linux-gnu-",
    }
}

/// Starts a program of another architecture.
fn run(arch: Arch) -> String {
    match arch {
        Arch::X86_64 => "qemu-x86_64-static".to_owned(),
        Arch::Arm64 => format!("qemu-aarch64-static -L {ARM64_ROOT}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::target::Base;

    use super::*;

    fn gcc(build: Option<Build>) -> Gcc {
        let (program, headers) = ("/usr/bin/a-gcc".into(), "/a/include".into());
        Gcc { program, version: "12.2.0".to_owned(), headers, binutils: "2.40".to_owned(), build }
    }

    fn cross() -> Gcc {
        gcc(Some(Build { arch: Arch::X86_64, program: "/usr/bin/gcc".into(), headers: "/host/include".into() }))
    }

    fn shown(gcc: &Gcc, arch: Arch) -> BTreeMap<&'static str, String> {
        let all = gcc.environment(Target { arch, base: Base::Al2023 });
        all.into_iter().map(|(name, value)| (name, value.to_string_lossy().into_owned())).collect()
    }

    #[test]
    fn a_cross_compilation_names_every_tool_of_the_target() {
        let environment = shown(&cross(), Arch::Arm64);
        let table = [
            ("AR", "aarch64-linux-gnu-ar"),
            ("LD", "aarch64-linux-gnu-ld"),
            ("NM", "aarch64-linux-gnu-nm"),
            ("OBJCOPY", "aarch64-linux-gnu-objcopy"),
            ("RANLIB", "aarch64-linux-gnu-ranlib"),
            ("STRIP", "aarch64-linux-gnu-strip"),
            ("BUILD", "x86_64-linux-gnu"),
            ("RUN", "qemu-aarch64-static -L /usr/aarch64-linux-gnu"),
            (cc::GCC, "/usr/bin/a-gcc"),
            (cc::GCC_HEADERS, "/a/include"),
            (cc::ZIG_TARGET, "aarch64-linux-gnu.2.34"),
        ];
        for (name, value) in table {
            assert_eq!(environment[name], value, "{name}");
        }
    }

    #[test]
    fn what_runs_while_building_is_compiled_for_this_machine() {
        let environment = shown(&cross(), Arch::Arm64);
        let cc = &environment["BUILD_CC"];
        assert_eq!(cc, &environment["CC_FOR_BUILD"]);
        for part in ["PHPLAYER_CC_GCC=/usr/bin/gcc ", "HEADERS=/host/include ", "TARGET=x86_64-linux-gnu.2.34 "] {
            assert!(cc.contains(part), "{cc}");
        }
    }

    #[test]
    fn the_hosts_own_tools_have_their_plain_names() {
        let environment = shown(&gcc(None), Arch::X86_64);
        assert_eq!((environment["AR"].as_str(), environment["BUILD"].as_str()), ("ar", "x86_64-linux-gnu"));
        assert_eq!(environment["RUN"], "");
        assert!(!environment.contains_key("BUILD_CC"));
    }

    #[test]
    fn keys_tell_a_cross_compiler_from_the_hosts_own() {
        let target = |arch| Target { arch, base: Base::Al2023 };
        assert!(gcc(None).identity(target(Arch::X86_64)).starts_with("gcc 12.2.0, binutils 2.40, zig 0.15.2, rules "));
        assert!(cross().identity(target(Arch::Arm64)).starts_with("aarch64-linux-gnu-gcc 12.2.0, "));
    }
}
