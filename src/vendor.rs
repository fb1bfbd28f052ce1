//! Composer dependencies: real Composer, run with the paths of Lambda, so that its autoloader is right there.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use walkdir::WalkDir;

use crate::digest::Digest;
use crate::process::{self, ProcessError};

/// A Composer project as the recipe names it.
#[derive(Clone, Debug)]
pub struct Project {
    pub folder: PathBuf,
    /// Install `require-dev` too.
    pub dev: bool,
    /// Go on without a composer.lock: what is installed then depends on the day.
    pub allow_unlocked: bool,
}

/// Installed packages, and the folder whose `vendor/` holds them.
#[derive(Debug)]
pub struct Installed {
    pub root: PathBuf,
    /// Name and version, sorted.
    pub packages: Vec<(String, String)>,
}

#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum VendorError {
    #[error("{} holds no composer.json", folder.display())]
    #[diagnostic(help(
        "[vendor] project in the recipe names the folder of the Composer project, relative to the recipe"
    ))]
    NoProject { folder: PathBuf },
    #[error("{} has no composer.lock", folder.display())]
    #[diagnostic(help(
        "`composer update --no-install` there writes it; or build with --allow-unlocked, and get other versions tomorrow"
    ))]
    Unlocked { folder: PathBuf },
    #[error("this machine has no Composer")]
    #[diagnostic(help("`phplayer build --setup` installs it, or by hand: apt-get install composer"))]
    NoComposer,
    #[error("this machine lacks bubblewrap, in which Composer runs")]
    #[diagnostic(help("`phplayer build --setup` installs it, or by hand: apt-get install bubblewrap"))]
    NoSandbox,
    #[error("Composer failed\n\n{}\n", last.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n"))]
    #[diagnostic(help("the whole log: {}", log.display()))]
    Composer { log: PathBuf, last: Vec<String> },
    #[error("{package} requires ext-{extension}, which the layer does not have")]
    #[diagnostic(help("add \"{extension}\" to `extensions` in the recipe"))]
    Lacks { package: String, extension: String },
    #[error("interrupted")]
    Interrupted,
    #[error("cannot run Composer")]
    #[diagnostic(help("`phplayer doctor` says what this machine lacks"))]
    NotRun(#[source] ProcessError),
    #[error("{} is not as Composer writes it: {message}", file.display())]
    #[diagnostic(help("run `composer validate` in the project"))]
    Malformed { file: PathBuf, message: String },
    #[error("cannot prepare the Composer project")]
    #[diagnostic(help("look at the free space and the permissions"))]
    Io(#[from] io::Error),
}

/// A digest of this file: changed rules make every vendor layer anew.
pub fn rules() -> String {
    Digest::of(include_bytes!("vendor.rs")).short()
}

impl Project {
    /// Says what is wrong with the project before anything long is begun.
    pub fn check(&self) -> Result<(), VendorError> {
        if !self.folder.join("composer.json").is_file() {
            return Err(VendorError::NoProject { folder: self.folder.clone() });
        }
        if !self.allow_unlocked && !self.folder.join("composer.lock").is_file() {
            return Err(VendorError::Unlocked { folder: self.folder.clone() });
        }
        Ok(())
    }

    /// Everything that the outcome depends on: the project's files (an authoritative class map lists its classes too),
    /// but for what is installed, and for version control. Read in full each time, since times of files lie.
    pub fn digest(&self) -> Result<Digest, VendorError> {
        let skip = |name: &std::ffi::OsStr| ["vendor", ".git", "node_modules"].iter().any(|skipped| name == *skipped);
        let mut text = format!("{}\n", self.dev);
        for entry in
            WalkDir::new(&self.folder).sort_by_file_name().into_iter().filter_entry(|entry| !skip(entry.file_name()))
        {
            let entry = entry.map_err(io::Error::from)?;
            if entry.file_type().is_file() {
                let name = entry.path().strip_prefix(&self.folder).unwrap_or(entry.path());
                text.push_str(&format!("{} {}\n", Digest::of_file(entry.path())?, name.display()));
            }
        }
        Ok(Digest::of(text.as_bytes()))
    }

    /// Runs `composer install` with the machine's PHP, or with the layer's own where there is none, and checks what the
    /// packages require against the layer. `php` is the finished tree of the layer; `root` gets `vendor/`.
    pub fn install(
        &self,
        php: &Path,
        extensions: &[String],
        root: &Path,
        log: &Path,
    ) -> Result<Installed, VendorError> {
        self.check()?;
        let composer = process::find("composer").ok_or(VendorError::NoComposer)?;
        let bwrap = process::find("bwrap").ok_or(VendorError::NoSandbox)?;
        let vendor = root.join("vendor");
        fs_err::create_dir_all(&vendor)?;
        let scratch = tempfile::tempdir()?;
        let home = scratch.path().join("home");
        fs_err::create_dir_all(&home)?;
        // Composer's own choice is random, and a layer's bytes must depend on its sources alone.
        let suffix = self.digest()?.short();
        let settings = format!("{{\"config\": {{\"autoloader-suffix\": \"{suffix}\"}}}}");
        fs_err::write(home.join("config.json"), settings)?;
        let arguments = self.sandbox(&composer, php, &vendor, &home);
        match process::run_logged(&bwrap, &arguments, log, process::lead_a_group) {
            Ok(()) => {}
            Err(ProcessError::Failed { log, last, .. }) => return Err(VendorError::Composer { log, last }),
            Err(ProcessError::Interrupted) => return Err(VendorError::Interrupted),
            Err(cause) => return Err(VendorError::NotRun(cause)),
        }
        let packages = packages(&vendor)?;
        for package in &packages {
            package.runs_with(extensions)?;
        }
        let packages = packages.into_iter().map(|package| (package.name, package.version)).collect();
        Ok(Installed { root: root.to_owned(), packages })
    }

    /// The project stands, read-only, at `/var/task`, the vendor folder at `/opt/vendor`, as on Lambda. The network is
    /// open: Composer downloads, and checks what it downloads against composer.lock. Scripts are not run: they are
    /// the application's own, and would find a machine that is not the one they are for.
    fn sandbox(&self, composer: &Path, php: &Path, vendor: &Path, home: &Path) -> Vec<OsString> {
        let mut all: Vec<OsString> = Vec::new();
        let mut add =
            |words: &[&dyn AsRef<std::ffi::OsStr>]| all.extend(words.iter().map(|word| word.as_ref().to_owned()));
        add(&[
            &"--unshare-user",
            &"--unshare-ipc",
            &"--unshare-pid",
            &"--unshare-uts",
            &"--die-with-parent",
            &"--new-session",
        ]);
        for path in ["/usr", "/bin", "/lib", "/lib64", "/etc"].iter().map(Path::new).filter(|path| path.exists()) {
            match fs_err::read_link(path) {
                Ok(target) => add(&[&"--symlink", &target, &path]),
                Err(_) => add(&[&"--ro-bind", &path, &path]),
            }
        }
        add(&[&"--proc", &"/proc", &"--dev", &"/dev", &"--tmpfs", &"/tmp", &"--bind", &home, &"/home/composer"]);
        add(&[
            &"--ro-bind",
            &self.folder,
            &"/var/task",
            &"--ro-bind",
            &php.join("bin"),
            &"/opt/bin",
            &"--bind",
            &vendor,
            &"/opt/vendor",
        ]);
        add(&[&"--clearenv", &"--setenv", &"PATH", &"/usr/bin:/bin", &"--setenv", &"HOME", &"/home/composer"]);
        add(&[&"--setenv", &"COMPOSER_HOME", &"/home/composer"]);
        add(&[&"--setenv", &"COMPOSER_VENDOR_DIR", &"/opt/vendor", &"--setenv", &"COMPOSER_ALLOW_SUPERUSER", &"1"]);
        // A linked package would point out of the layer: packages of `path` repositories are copied.
        add(&[&"--setenv", &"COMPOSER_MIRROR_PATH_REPOS", &"1", &"--setenv", &"COMPOSER_NO_INTERACTION", &"1"]);
        add(&[&"--setenv", &"COMPOSER_ROOT_VERSION", &"1.0.0", &"--chdir", &"/var/task", &"--"]);
        for name in ["COMPOSER_AUTH", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "NO_PROXY", "no_proxy"]
        {
            if let Some(value) = std::env::var_os(name) {
                let at = all.len() - 1;
                all.splice(at..at, ["--setenv".into(), name.into(), value]);
            }
        }
        // A packaged Composer is made for the PHP packaged with it: Debian 12's does not start on PHP 8.4.
        let own = process::find("php").is_none();
        let interpreter = if own { "/opt/bin/php" } else { "php" };
        all.extend([interpreter, "-d", "memory_limit=-1"].map(OsString::from));
        all.push(composer.into());
        let command = ["install", "--no-scripts", "--no-progress", "--prefer-dist", "--classmap-authoritative"];
        all.extend(command.map(OsString::from));
        if !self.dev {
            all.push("--no-dev".into());
        }
        // The machine's PHP is not the layer's: what packages ask of the platform is held against the layer afterwards.
        if !own {
            all.push("--ignore-platform-reqs".into());
        }
        all
    }
}

/// `vendor/composer/installed.json`, as Composer 2 writes it.
#[derive(Deserialize)]
struct InstalledJson {
    packages: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
    #[serde(default)]
    require: BTreeMap<String, String>,
}

impl Package {
    /// Every `ext-NAME` that it requires must be in the layer.
    fn runs_with(&self, extensions: &[String]) -> Result<(), VendorError> {
        for need in self.require.keys().filter_map(|name| name.strip_prefix("ext-")) {
            if !extensions.iter().any(|extension| extension.eq_ignore_ascii_case(need)) {
                return Err(VendorError::Lacks { package: self.name.clone(), extension: need.to_owned() });
            }
        }
        Ok(())
    }
}

fn packages(vendor: &Path) -> Result<Vec<Package>, VendorError> {
    let file = vendor.join("composer/installed.json");
    let text = fs_err::read_to_string(&file)?;
    let installed: InstalledJson =
        serde_json::from_str(&text).map_err(|error| VendorError::Malformed { file, message: error.to_string() })?;
    let mut packages = installed.packages;
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(packages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(folder: &Path) -> Project {
        Project { folder: folder.to_owned(), dev: false, allow_unlocked: false }
    }

    #[test]
    fn a_project_without_a_lock_is_refused_unless_allowed() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(matches!(project(dir.path()).check(), Err(VendorError::NoProject { .. })));
        fs_err::write(dir.path().join("composer.json"), "{}").expect("written");
        assert!(matches!(project(dir.path()).check(), Err(VendorError::Unlocked { .. })));
        assert!(Project { allow_unlocked: true, ..project(dir.path()) }.check().is_ok());
        fs_err::write(dir.path().join("composer.lock"), "{}").expect("written");
        assert!(project(dir.path()).check().is_ok());
    }

    #[test]
    fn what_a_package_requires_must_be_in_the_layer() {
        let require = BTreeMap::from(
            [("php", ">=8"), ("ext-Redis", "*")].map(|(name, range)| (name.to_owned(), range.to_owned())),
        );
        let package = Package { name: "a/b".to_owned(), version: "1".to_owned(), require };
        assert!(package.runs_with(&["redis".to_owned()]).is_ok());
        let lacks = package.runs_with(&["curl".to_owned()]);
        assert!(matches!(lacks, Err(VendorError::Lacks { extension, .. }) if extension == "Redis"));
    }

    #[test]
    fn the_digest_sees_sources_and_not_what_is_installed() {
        let dir = tempfile::tempdir().expect("a folder");
        fs_err::create_dir_all(dir.path().join("vendor")).expect("made");
        fs_err::write(dir.path().join("composer.json"), "{}").expect("written");
        let before = project(dir.path()).digest().expect("read");
        fs_err::write(dir.path().join("vendor/x"), "x").expect("written");
        assert_eq!(project(dir.path()).digest().expect("read"), before);
        fs_err::write(dir.path().join("A.php"), "<?php class A {}").expect("written");
        assert_ne!(project(dir.path()).digest().expect("read"), before);
    }
}
