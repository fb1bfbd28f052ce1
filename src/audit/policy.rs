//! What a Lambda base image offers a layer: data, one file a base, embedded.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::elf::IsaLevel;
use crate::target::{Arch, Base, PolicyName, Target};

const AL2023: &str = include_str!("policies/al2023.toml");

/// One base on one architecture.
#[derive(Clone, Debug)]
pub struct Policy {
    pub target: Target,
    /// The folder where a layer is unpacked.
    pub mount: String,
    /// Lambda's `LD_LIBRARY_PATH`, in order.
    pub library_path: Vec<String>,
    /// The folders among them that are the base's own.
    pub system_folders: Vec<String>,
    pub limits: Limits,
    /// The path that `PT_INTERP` must name.
    pub interpreter: String,
    /// The x86-64 level that every Lambda machine has; absent on other processors.
    pub isa: Option<IsaLevel>,
    sure: BTreeSet<String>,
    unsure: BTreeSet<String>,
    versions: BTreeMap<String, Version>,
    named_versions: BTreeSet<String>,
}

/// Sizes in bytes.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// A zip in one `PublishLayerVersion` call.
    pub zipped: u64,
    /// A function and all its layers.
    pub unzipped: u64,
}

/// What the base has under a soname.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// On every Lambda machine.
    Sure,
    /// In the public image, perhaps not on Lambda.
    Unsure,
    Absent,
}

/// How a version need stands against the base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fit {
    Fits,
    /// The newest that the base has, for example `GLIBC_2.34`.
    TooNew {
        newest: String,
    },
    Unknown,
}

impl Policy {
    pub fn for_target(target: Target) -> Self {
        let name = match target.base {
            Base::Al2023 => PolicyName::Al2023,
            Base::Described(facts) => facts.policy,
        };
        let text = match name {
            PolicyName::Al2023 => AL2023,
        };
        let mut file: File = toml::from_str(text).expect("the embedded policies are parsed by a unit test");
        if let Base::Described(facts) = target.base {
            let own = facts.versions.iter().map(|(series, version)| (series.clone(), String::from(version.clone())));
            let glibc = ("GLIBC".to_owned(), facts.glibc.to_string());
            let parsed = own.chain([glibc]).map(|(series, text)| {
                (series, Version::try_from(text).expect("the definition's reader takes numbers and dots only"))
            });
            file.versions.extend(parsed);
        }
        let ForArch { interpreter, sure, named_versions, isa } = match target.arch {
            Arch::X86_64 => file.arch.x86_64,
            Arch::Arm64 => file.arch.arm64,
        };
        Self {
            target,
            mount: file.mount,
            library_path: file.library_path,
            system_folders: file.system_folders,
            limits: file.limits,
            interpreter,
            isa,
            sure: file.libraries.sure.into_iter().chain(sure).collect(),
            unsure: file.libraries.unsure,
            versions: file.versions,
            named_versions,
        }
    }

    pub fn offer(&self, soname: &str) -> Offer {
        if self.sure.contains(soname) {
            Offer::Sure
        } else if self.unsure.contains(soname) {
            Offer::Unsure
        } else {
            Offer::Absent
        }
    }

    /// Judges a version such as `GLIBCXX_3.4.30` of a library that is the base's.
    pub fn fit(&self, version: &str) -> Fit {
        if self.named_versions.contains(version) {
            return Fit::Fits;
        }
        let Some((series, number)) = version.rsplit_once('_') else { return Fit::Unknown };
        let (Some(newest), Ok(number)) = (self.versions.get(series), Version::try_from(number.to_owned())) else {
            return Fit::Unknown;
        };
        if number <= *newest { Fit::Fits } else { Fit::TooNew { newest: format!("{series}_{}", newest.text) } }
    }
}

/// Dotted numbers, compared number by number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
struct Version {
    numbers: Vec<u32>,
    text: String,
}

impl TryFrom<String> for Version {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let numbers = text.split('.').map(str::parse).collect::<Result<_, _>>()?;
        Ok(Self { numbers, text })
    }
}

/// The form of a policy file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    #[serde(rename = "base")]
    _base: Base,
    mount: String,
    library_path: Vec<String>,
    system_folders: Vec<String>,
    limits: Limits,
    versions: BTreeMap<String, Version>,
    libraries: Libraries,
    arch: Archs,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Libraries {
    sure: BTreeSet<String>,
    unsure: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Archs {
    x86_64: ForArch,
    arm64: ForArch,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ForArch {
    interpreter: String,
    sure: Vec<String>,
    named_versions: BTreeSet<String>,
    isa: Option<IsaLevel>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_policy_is_sound() {
        for base in Base::ALL {
            for arch in Arch::ALL {
                let policy = Policy::for_target(Target { arch, base });
                assert!(policy.sure.is_disjoint(&policy.unsure), "sure and unsure at once");
                assert_eq!(policy.isa.is_some(), arch == Arch::X86_64);
                assert!(policy.library_path.iter().any(|folder| folder.starts_with(&policy.mount)));
                let newest = format!("GLIBC_2.{}", base.glibc_minor());
                assert_eq!(policy.fit(&newest), Fit::Fits, "the policy and the build's target agree");
                assert_ne!(policy.fit(&format!("GLIBC_2.{}", base.glibc_minor() + 1)), Fit::Fits);
            }
        }
    }

    #[test]
    fn a_described_base_has_its_own_versions_and_the_named_policys_libraries() {
        let facts =
            r#"{"name":"mine","runtime":"provided.al2023","policy":"al2023","glibc":"2.36","versions":{"GCC":"12.0"}}"#;
        let base: Base = serde_json::from_str(facts).expect("a base");
        let policy = Policy::for_target(Target { arch: Arch::X86_64, base });
        assert_eq!(policy.fit("GLIBC_2.36"), Fit::Fits);
        assert_eq!(policy.fit("GLIBC_2.37"), Fit::TooNew { newest: "GLIBC_2.36".to_owned() });
        assert_eq!(policy.fit("GCC_13.0.0"), Fit::TooNew { newest: "GCC_12.0".to_owned() });
        assert_eq!(policy.offer("libz.so.1"), Offer::Unsure);
    }

    #[test]
    fn versions_are_numbers_not_text() {
        let policy = Policy::for_target(Target { arch: Arch::X86_64, base: Base::Al2023 });
        assert_eq!(policy.fit("GLIBC_2.4"), Fit::Fits);
        assert_eq!(policy.fit("GLIBC_2.2.5"), Fit::Fits);
        assert_eq!(policy.fit("GLIBC_2.34.1"), Fit::TooNew { newest: "GLIBC_2.34".to_owned() });
        assert_eq!(policy.fit("GLIBCXX_3.4.33"), Fit::Fits);
        assert_eq!(policy.fit("CXXABI_1.3.16"), Fit::TooNew { newest: "CXXABI_1.3.15".to_owned() });
        assert_eq!(policy.fit("CXXABI_TM_1"), Fit::Fits);
        for odd in ["GLIBC_ABI_DT_RELR", "GLIBC_PRIVATE", "", "_", "GLIBC_", "OPENSSL_3.0.0"] {
            assert_eq!(policy.fit(odd), Fit::Unknown, "{odd}");
        }
    }

    #[test]
    fn offers() {
        let policy = |arch| Policy::for_target(Target { arch, base: Base::Al2023 });
        assert_eq!(policy(Arch::X86_64).offer("libc.so.6"), Offer::Sure);
        assert_eq!(policy(Arch::X86_64).offer("libz.so.1"), Offer::Unsure);
        assert_eq!(policy(Arch::X86_64).offer("libonig.so.5"), Offer::Absent);
        assert_eq!(policy(Arch::Arm64).offer("libmvec.so.1"), Offer::Absent, "vector functions are x86_64's");
    }
}
