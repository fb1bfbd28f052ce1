//! Debian's pool as a place for upstream files: its `.orig` tarballs mostly are upstream's, byte for byte.
//!
//! The pool is asked directly, not through `apt-get source`: indexes name versions that are not served yet and no longer name
//! older ones that are. Since the digest is pinned, neither index nor keyring is needed; apt's own downloader is used,
//! because the machine's proxies and credentials are set up there.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use super::command::run;
use super::{Place, Reason, Setback};

pub(super) struct Debian {
    helper: PathBuf,
    archives: OnceLock<Result<Vec<Archive>, Reason>>,
    /// Base addresses that could not be reached in this run, and why: nobody waits for them again.
    unreachable: Mutex<HashMap<String, String>>,
}

/// An archive's base address, and whether it is of the kind that holds security updates, whose pool lies elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Archive {
    security: bool,
    base: String,
}

impl Default for Debian {
    fn default() -> Self {
        Self {
            helper: PathBuf::from("/usr/lib/apt/apt-helper"),
            archives: OnceLock::new(),
            unreachable: Mutex::default(),
        }
    }
}

impl Debian {
    #[cfg(test)]
    pub fn without_helper(base: &str) -> Self {
        let archives = vec![Archive { security: false, base: base.to_owned() }];
        Self {
            helper: PathBuf::from("/nonexistent/apt-helper"),
            archives: OnceLock::from(Ok(archives)),
            ..Self::default()
        }
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
        let base = url.split_once("/pool/").map_or(url, |(base, _)| base);
        if let Some(why) = self.unreachable().get(base) {
            return Err(Reason::Unreachable(why.clone()).into());
        }
        match run("apt-helper", &self.helper, &arguments, target.parent()) {
            Ok(_) if target.is_file() => Ok(()),
            Ok(_) => Err(Reason::Absent.into()),
            Err(Setback::There(Reason::Tool { tool, said })) => {
                let reason = understood(tool, &said, url);
                if let Reason::Unreachable(why) = &reason {
                    self.unreachable().insert(base.to_owned(), why.clone());
                }
                Err(reason.into())
            }
            Err(setback) => Err(setback),
        }
    }

    fn unreachable(&self) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
        self.unreachable.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

/// What apt's complaint about an address means.
fn understood(tool: &'static str, said: &str, url: &str) -> Reason {
    const NO_CONNECTION: &[&str] = &[
        "Temporary failure resolving",
        "Could not resolve",
        "Could not connect",
        "Unable to connect",
        "Cannot initiate",
    ];
    let said = said.strip_prefix("Failed to fetch ").unwrap_or(said);
    let said = said.strip_prefix(url).unwrap_or(said).trim();
    if said.starts_with("404 ") {
        Reason::Status(404)
    } else if NO_CONNECTION.iter().any(|known| said.starts_with(known)) {
        Reason::Unreachable(said.to_owned())
    } else {
        Reason::Tool { tool, said: said.to_owned() }
    }
}

/// The archives in apt's configuration, whether or not their indexes were ever downloaded.
fn configured() -> Result<Vec<Archive>, Reason> {
    let arguments = ["indextargets", "--no-release-info", "--format", "$(SITE) $(RELEASE)"];
    let listing = run("apt-get", Path::new("apt-get"), &arguments, None).map_err(|setback| match setback {
        Setback::There(reason) => reason,
        Setback::Here(error) => Reason::Failed(error.to_string()),
    })?;
    match archives(&listing) {
        none if none.is_empty() => Err(Reason::Failed("apt is set up with no Debian archive".to_owned())),
        archives => Ok(archives),
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
    fn complaints_are_understood() {
        let url = "http://a/debian/pool/main/x";
        let reason = |said: &str| understood("apt-helper", &format!("Failed to fetch {url} {said}"), url);
        assert_eq!(reason("404 Not Found [IP: 192.0.2.1 80]"), Reason::Status(404));
        assert!(matches!(reason("Temporary failure resolving 'a'"), Reason::Unreachable(_)));
        let other = Reason::Tool { tool: "apt-helper", said: "Connection timed out".into() };
        assert_eq!(reason("Connection timed out"), other);
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
