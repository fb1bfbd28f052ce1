//! What the audit says: findings, and the seal that publishing asks for.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::AuditError;
use super::rule::{Level, Rule};
use super::waiver::Waiver;
use crate::digest::Digest;
use crate::layer::manifest::Manifest;
use crate::target::{Arch, Target};

/// The answer of `phplayer audit --format json`.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Reports {
    /// The form of this answer: 1.
    schema: u32,
    /// Whether any report objects.
    objects: bool,
    reports: Vec<Report>,
}

/// One layer judged for one base and architecture.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Report {
    pub subject: Subject,
    pub target: Target,
    /// Files and symbolic links; folders not counted.
    pub files: usize,
    /// Unpacked bytes.
    pub unzipped: u64,
    /// By file, errors first.
    pub findings: Vec<Finding>,
    #[serde(skip)]
    pub(super) manifest: Option<Manifest>,
    #[serde(skip)]
    pub(super) arch: Option<Arch>,
}

/// What was judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Subject {
    Zip {
        #[serde(serialize_with = "lossy")]
        path: PathBuf,
        sha256: Digest,
        /// Bytes.
        zipped: u64,
    },
    Folder {
        #[serde(serialize_with = "lossy")]
        path: PathBuf,
    },
}

/// One thing found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    pub rule: Rule,
    pub level: Level,
    /// A path inside the layer; absent where it is about the layer as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    pub message: String,
    pub explain: &'static str,
    pub help: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    pub details: Vec<String>,
    /// The reason why it is accepted, if it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waived: Option<String>,
}

/// A layer zip that nothing objects to, as it was when it was audited. Only [`Report::accept`] makes one.
#[derive(Debug)]
pub struct Audited {
    path: PathBuf,
    sha256: Digest,
    zipped: u64,
    report: Report,
}

impl Reports {
    pub fn new(reports: Vec<Report>) -> Self {
        Self { schema: 1, objects: reports.iter().any(Report::objects), reports }
    }

    pub fn objects(&self) -> bool {
        self.objects
    }

    pub fn iter(&self) -> impl Iterator<Item = &Report> {
        self.reports.iter()
    }

    /// The JSON schema of this answer, as it is checked in.
    pub fn schema() -> String {
        let schema = schemars::schema_for!(Reports);
        let mut text = serde_json::to_string_pretty(&schema).expect("a schema is plain JSON");
        text.push('\n');
        text
    }
}

impl Report {
    /// Whether anything of level error stands unaccepted.
    pub fn objects(&self) -> bool {
        self.objections().next().is_some()
    }

    pub fn objections(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.level == Level::Error && finding.waived.is_none())
    }

    /// Marks what the user accepts. A finding accepted already keeps its reason.
    pub fn waive(&mut self, waivers: &[Waiver]) {
        for finding in self.findings.iter_mut().filter(|finding| finding.waived.is_none()) {
            let waiver = waivers.iter().find(|waiver| waiver.covers(finding.rule, finding.file.as_deref()));
            finding.waived = waiver.map(|waiver| waiver.reason().to_owned());
        }
    }

    /// Seals the layer if nothing objects any more, else gives the report back. A folder is never sealed: its report
    /// then holds that objection too.
    pub fn accept(mut self, waivers: &[Waiver]) -> Result<Audited, Box<Report>> {
        self.waive(waivers);
        match self.subject.clone() {
            Subject::Zip { path, sha256, zipped } if !self.objects() => {
                Ok(Audited { path, sha256, zipped, report: self })
            }
            Subject::Zip { .. } => Err(Box::new(self)),
            Subject::Folder { .. } => {
                self.findings.insert(0, Finding::new(Rule::NotAZip, None, "it is a folder".to_owned(), vec![]));
                Err(Box::new(self))
            }
        }
    }
}

impl Subject {
    pub fn path(&self) -> &Path {
        match self {
            Subject::Zip { path, .. } | Subject::Folder { path } => path,
        }
    }
}

impl Finding {
    pub(super) fn new(rule: Rule, file: Option<&str>, message: String, details: Vec<String>) -> Self {
        Self {
            rule,
            level: rule.level(),
            file: file.map(str::to_owned),
            message,
            explain: rule.explain(),
            help: rule.help(),
            details,
            waived: None,
        }
    }
}

impl Audited {
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn sha256(&self) -> Digest {
        self.sha256
    }

    /// Bytes of the zip.
    pub fn zipped(&self) -> u64 {
        self.zipped
    }

    /// Bytes once unpacked.
    pub fn unzipped(&self) -> u64 {
        self.report.unzipped
    }

    pub fn manifest(&self) -> Option<&Manifest> {
        self.report.manifest.as_ref()
    }

    /// The one architecture that the layer is for: its manifest's, else that of its ELF files. None where it is for
    /// both, or holds no machine code.
    pub fn arch(&self) -> Option<Arch> {
        self.report.arch
    }

    /// What was found and accepted, warnings included.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// The bytes that were audited, or an error if the file holds others by now.
    pub fn read_verified(&self) -> Result<Vec<u8>, AuditError> {
        let bytes = fs_err::read(&self.path).map_err(|source| AuditError::Open { path: self.path.clone(), source })?;
        let found = Digest::of(&bytes);
        if found == self.sha256 {
            Ok(bytes)
        } else {
            Err(AuditError::Changed { path: self.path.clone(), audited: self.sha256, found })
        }
    }
}

/// A path that is not Unicode is still a path.
fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}
