//! Debian's pool as a place for upstream files: its `.orig` tarballs mostly are upstream's, byte for byte.
//!
//! The pool is asked directly, not through `apt-get source`: indexes name versions that are not served yet and no longer name
//! older ones that are. Since the digest is pinned, neither index nor keyring is needed; apt's own downloader is used,
//! because the machine's proxies and credentials are set up there.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::command::run;
use super::{Place, Reason, Setback};

pub(super) struct Debian {
    helper: PathBuf,
    archives: OnceLock<Result<Vec<Archive>, String>>,
}

/// An archive's base address, and whether it is of the kind that holds security updates, whose pool lies elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Archive {
    security: bool,
    base: String,
}

impl Default for Debian {
    fn default() -> Self {
        Self { helper: PathBuf::from("/usr/lib/apt/apt-helper"), archives: OnceLock::new() }
    }
}

impl Debian {
    #[cfg(test)]
    pub fn without_helper(base: &str) -> Self {
        let archives = vec![Archive { security: false, base: base.to_owned() }];
        Self { helper: PathBuf::from("/nonexistent/apt-helper"), archives: OnceLock::from(Ok(archives)) }
    }

    /// Where the archives that apt is set up with would have the file.
    pub fn places(&self, file: &str) -> Vec<Place> {
        match self.archives.get_or_init(configured) {
            Ok(archives) => archives.iter().filter_map(|archive| archive.address(file)).map(Place::Debian).collect(),
            Err(reason) => vec![Place::DebianUnknown(reason.clone())],
        }
    }

    /// Downloads with apt's settings. The helper leaves a half-written file behind when it fails: call it in a private folder.
    pub fn download(&self, url: &str, target: &Path) -> Result<(), Setback> {
        let target_text = target.display().to_string();
        let arguments = [
            // As root apt would switch to a user of its own, who may not write to the store.
            "-oAPT::Sandbox::User=root",
            "-oAcquire::Retries=2",
            "-oAcquire::http::Timeout=20",
            "-oAcquire::https::Timeout=20",
            "download-file",
            url,
            &target_text,
        ];
        match run("apt-helper", &self.helper, &arguments, target.parent()) {
            Ok(_) if target.is_file() => Ok(()),
            Ok(_) => Err(Reason::Absent.into()),
            Err(Setback::There(Reason::Tool { said, .. })) if said.contains("404 Not Found") => {
                Err(Reason::Status(404).into())
            }
            Err(setback) => Err(setback),
        }
    }
}

/// The archives in apt's configuration, whether or not their indexes were ever downloaded.
fn configured() -> Result<Vec<Archive>, String> {
    let arguments = ["indextargets", "--no-release-info", "--format", "$(SITE) $(RELEASE)"];
    match run("apt-get", Path::new("apt-get"), &arguments, None) {
        Ok(listing) => {
            let archives = archives(&listing);
            if archives.is_empty() { Err("no Debian archive is configured".to_owned()) } else { Ok(archives) }
        }
        Err(Setback::There(Reason::Tool { said, .. })) => Err(said),
        Err(Setback::There(reason)) => Err(reason.to_string()),
        Err(Setback::Here(error)) => Err(error.to_string()),
    }
}

/// Reads lines of `<base address> <suite>`. Only addresses with `debian` in them count: other vendors' archives are spared a
/// question that they cannot answer; one that is asked in vain costs a 404. Security archives come last.
fn archives(listing: &str) -> Vec<Archive> {
    let lines = listing.lines().filter_map(|line| line.trim().split_once(' '));
    let known = lines.filter(|(base, _)| base.to_ascii_lowercase().contains("debian"));
    let archives = known.map(|(base, suite)| Archive {
        security: suite.contains("-security") || suite.contains("/updates"),
        base: base.trim_end_matches('/').to_owned(),
    });
    archives.collect::<BTreeSet<_>>().into_iter().collect()
}

impl Archive {
    /// `BASE/pool/main/p/php8.4/FILE`; `None` if the name is none of the pool's.
    fn address(&self, file: &str) -> Option<String> {
        let (package, _) = file.split_once('_')?;
        // Libraries are so many that they have a folder for each first letter after `lib`.
        let length = if package.starts_with("lib") && package.len() > 3 { 4 } else { 1 };
        let prefix = package.get(..length)?;
        let pool = if self.security { "pool/updates/main" } else { "pool/main" };
        Some(format!("{}/{pool}/{prefix}/{package}/{file}", self.base))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_read_from_apt() {
        let listing = "\
http://mirror.example/debian trixie
http://mirror.example/debian trixie
http://mirror.example/debian-security/ trixie-security
http://mirror.example/debian trixie-updates
https://vendor.example/node_20.x nodistro
";
        let found: Vec<_> = archives(listing).into_iter().map(|archive| (archive.base, archive.security)).collect();
        let expected = [("http://mirror.example/debian", false), ("http://mirror.example/debian-security", true)];
        assert_eq!(found, expected.map(|(base, security)| (base.to_owned(), security)));
    }

    #[test]
    fn pool_addresses() {
        let main = Archive { security: false, base: "http://a/debian".into() };
        let security = Archive { security: true, base: "http://a/debian-security".into() };
        let address = |archive: &Archive, file| archive.address(file).unwrap_or_default();
        assert_eq!(
            address(&main, "php8.4_8.4.24.orig.tar.xz"),
            "http://a/debian/pool/main/p/php8.4/php8.4_8.4.24.orig.tar.xz"
        );
        assert_eq!(
            address(&main, "libxml2_2.9.14.orig.tar.xz"),
            "http://a/debian/pool/main/libx/libxml2/libxml2_2.9.14.orig.tar.xz"
        );
        assert_eq!(
            address(&security, "openssl_3.5.7.orig.tar.gz"),
            "http://a/debian-security/pool/updates/main/o/openssl/openssl_3.5.7.orig.tar.gz"
        );
        assert_eq!(main.address("no-underscore.tar.gz"), None);
    }
}
