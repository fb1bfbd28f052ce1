//! A layer ready to be sent: its bytes and its label, within every limit of Lambda before the first call.

use std::path::PathBuf;
use std::sync::Arc;

use miette::Diagnostic;
use thiserror::Error;

use super::names::{LayerName, NameError};
use crate::audit::{AuditError, Audited};
use crate::digest::Digest;
use crate::target::{Arch, Base};

/// The largest zip, in bytes, that PublishLayerVersion takes in its request: 50 MiB. Larger ones go through S3.
pub const DIRECT_UPLOAD: u64 = 52_428_800;
const DESCRIPTION: usize = 256;
const LICENSE: usize = 512;
const RUNTIMES: usize = 15;
const ARCHITECTURES: usize = 2;

/// Why a layer is not sent. Every one of these is found before any call.
#[derive(Debug, Error, Diagnostic)]
pub enum Refusal {
    #[error(transparent)]
    #[diagnostic(transparent)]
    Name(#[from] NameError),
    #[error("{}: it does not say under which name to publish it", zip.display())]
    #[diagnostic(help("it has no phplayer/manifest.json: name the layer with --name"))]
    Nameless { zip: PathBuf },
    #[error("the description of layer `{layer}` has {length} characters; Lambda takes at most {DESCRIPTION}")]
    #[diagnostic(help("shorten it, or give a shorter one with --description"))]
    Description { layer: LayerName, length: usize },
    #[error("the licence of layer `{layer}` has {length} characters; Lambda takes at most {LICENSE}")]
    #[diagnostic(help("give an SPDX expression or an address with --license"))]
    License { layer: LayerName, length: usize },
    #[error("layer `{layer}` names {count} runtimes; Lambda takes at most {RUNTIMES}")]
    #[diagnostic(help("a PHP layer needs one: provided.al2023"))]
    Runtimes { layer: LayerName, count: usize },
    #[error("layer `{layer}` names {count} architectures; Lambda takes at most {ARCHITECTURES}")]
    #[diagnostic(help("there are x86_64 and arm64; name each once"))]
    Architectures { layer: LayerName, count: usize },
    #[error("layer `{layer}` is {size} bytes zipped; Lambda takes at most {DIRECT_UPLOAD} in a direct upload")]
    #[diagnostic(help(
        "make it smaller (`phplayer build --sizes` says what each part adds), or upload the zip to an S3 bucket of each \
         region and publish it from there with `aws lambda publish-layer-version --content S3Bucket=…,S3Key=…`"
    ))]
    TooLarge { layer: LayerName, size: u64 },
    #[error("two different zips would be published as layer `{layer}`: {} and {}", first.display(), second.display())]
    #[diagnostic(help("publish one of them, or give one another --name"))]
    SameLayer { layer: LayerName, first: PathBuf, second: PathBuf },
    #[error(transparent)]
    #[diagnostic(transparent)]
    Unreadable(#[from] AuditError),
}

/// What is written on a layer; nothing is checked yet.
#[derive(Clone, Debug, Default)]
pub struct Label {
    pub layer: String,
    pub description: String,
    /// An SPDX expression, an address, or text.
    pub license: String,
    /// Lambda's identifiers, for example `provided.al2023`.
    pub runtimes: Vec<String>,
    pub architectures: Vec<Arch>,
}

/// What the user says about a layer in place of its manifest.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    pub name: Option<String>,
    pub description: Option<String>,
    pub license: Option<String>,
}

/// One layer within Lambda's limits. `sha256` is that of the bytes it carries.
#[derive(Clone, Debug)]
pub struct Parcel {
    pub(super) zip: PathBuf,
    pub(super) layer: LayerName,
    pub(super) description: String,
    pub(super) license: String,
    pub(super) runtimes: Vec<String>,
    pub(super) architectures: Vec<Arch>,
    pub(super) sha256: Digest,
    pub(super) content: Content,
}

/// How the bytes get to Lambda.
#[derive(Clone, Debug)]
pub(super) enum Content {
    /// In the request itself, at most [`DIRECT_UPLOAD`] bytes.
    Direct(Arc<Vec<u8>>),
}

impl Content {
    /// In bytes.
    pub(super) fn size(&self) -> u64 {
        match self {
            Content::Direct(bytes) => bytes.len() as u64,
        }
    }
}

impl Parcel {
    /// Reads an audited zip; its manifest is the label where the user does not say otherwise. A zip too large for a
    /// direct upload is refused before it is read.
    pub fn new(audited: &Audited, overrides: &Overrides) -> Result<Self, Refusal> {
        let mut label = match audited.manifest() {
            Some(manifest) => Label {
                layer: manifest.layer.clone(),
                description: manifest.description.clone(),
                license: manifest.license.clone(),
                runtimes: vec![manifest.base.runtime().to_owned()],
                architectures: manifest.arch.clone(),
            },
            None => Label {
                layer: match &overrides.name {
                    Some(name) => name.clone(),
                    None => return Err(Refusal::Nameless { zip: audited.path().to_owned() }),
                },
                runtimes: vec![Base::default().runtime().to_owned()],
                architectures: audited.arch().into_iter().collect(),
                ..Label::default()
            },
        };
        label.layer = overrides.name.clone().unwrap_or(label.layer);
        label.description = overrides.description.clone().unwrap_or(label.description);
        label.license = overrides.license.clone().unwrap_or(label.license);
        if audited.zipped() > DIRECT_UPLOAD {
            return Err(Refusal::TooLarge { layer: label.layer.parse()?, size: audited.zipped() });
        }
        Self::pack(audited.path().to_owned(), label, audited.read_verified()?)
    }

    /// Puts a label on the bytes of a zip; `zip` only says where they came from.
    pub fn pack(zip: PathBuf, label: Label, bytes: Vec<u8>) -> Result<Self, Refusal> {
        let layer: LayerName = label.layer.parse()?;
        let description = label.description.chars().count();
        let license = label.license.chars().count();
        let size = bytes.len() as u64;
        if description > DESCRIPTION {
            return Err(Refusal::Description { layer, length: description });
        }
        if license > LICENSE {
            return Err(Refusal::License { layer, length: license });
        }
        if label.runtimes.len() > RUNTIMES {
            return Err(Refusal::Runtimes { layer, count: label.runtimes.len() });
        }
        if label.architectures.len() > ARCHITECTURES {
            return Err(Refusal::Architectures { layer, count: label.architectures.len() });
        }
        if size > DIRECT_UPLOAD {
            return Err(Refusal::TooLarge { layer, size });
        }
        Ok(Self {
            zip,
            layer,
            description: label.description,
            license: label.license,
            runtimes: label.runtimes,
            architectures: label.architectures,
            sha256: Digest::of(&bytes),
            content: Content::Direct(Arc::new(bytes)),
        })
    }

    pub fn layer(&self) -> &LayerName {
        &self.layer
    }

    pub fn sha256(&self) -> Digest {
        self.sha256
    }
}

/// Parcels of which no two go to the same layer: otherwise each publication would replace the other's for ever.
#[derive(Clone, Debug)]
pub struct Shipment(Vec<Parcel>);

impl Shipment {
    /// The same bytes twice for one layer count once: a vendor layer is built once for each architecture.
    pub fn of(parcels: Vec<Parcel>) -> Result<Self, Refusal> {
        let mut kept: Vec<Parcel> = Vec::new();
        for parcel in parcels {
            match kept.iter().find(|other| other.layer == parcel.layer) {
                None => kept.push(parcel),
                Some(other) if other.sha256 == parcel.sha256 => {}
                Some(other) => {
                    return Err(Refusal::SameLayer {
                        layer: parcel.layer,
                        first: other.zip.clone(),
                        second: parcel.zip,
                    });
                }
            }
        }
        Ok(Self(kept))
    }

    pub fn parcels(&self) -> &[Parcel] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label() -> Label {
        Label {
            layer: "php-84-x86_64".to_owned(),
            description: "PHP 8.4".to_owned(),
            license: "MIT".to_owned(),
            runtimes: vec!["provided.al2023".to_owned()],
            architectures: vec![Arch::X86_64],
        }
    }

    fn refusal(label: Label, bytes: Vec<u8>) -> Refusal {
        Parcel::pack(PathBuf::from("layer.zip"), label, bytes).unwrap_err()
    }

    #[test]
    fn every_limit_is_held_to_the_last_character() {
        let full = Label {
            layer: "n".repeat(140),
            description: "ä".repeat(256),
            license: "l".repeat(512),
            runtimes: vec!["provided.al2023".to_owned(); 15],
            architectures: Arch::ALL.to_vec(),
        };
        assert!(Parcel::pack(PathBuf::new(), full, vec![0; 10]).is_ok());

        let over = Label { layer: "php-8.4".to_owned(), ..label() };
        assert!(matches!(refusal(over, vec![]), Refusal::Name(NameError::Layer { .. })));
        let over = Label { description: "ä".repeat(257), ..label() };
        assert!(matches!(refusal(over, vec![]), Refusal::Description { length: 257, .. }));
        let over = Label { license: "l".repeat(513), ..label() };
        assert!(matches!(refusal(over, vec![]), Refusal::License { length: 513, .. }));
        let over = Label { runtimes: vec![String::new(); 16], ..label() };
        assert!(matches!(refusal(over, vec![]), Refusal::Runtimes { count: 16, .. }));
        let over = Label { architectures: vec![Arch::Arm64; 3], ..label() };
        assert!(matches!(refusal(over, vec![]), Refusal::Architectures { count: 3, .. }));
    }

    #[test]
    fn a_zip_over_50_mib_is_refused_with_a_way_out() {
        assert!(Parcel::pack(PathBuf::new(), label(), vec![0; DIRECT_UPLOAD as usize]).is_ok());
        let refusal = refusal(label(), vec![0; DIRECT_UPLOAD as usize + 1]);
        assert!(matches!(refusal, Refusal::TooLarge { size: 52_428_801, .. }));
        assert!(refusal.help().unwrap().to_string().contains("S3"));
    }

    #[test]
    fn two_zips_for_one_layer_must_be_the_same_zip() {
        let parcel = |bytes: &[u8]| Parcel::pack(PathBuf::from("x.zip"), label(), bytes.to_vec()).unwrap();
        assert_eq!(Shipment::of(vec![parcel(b"a"), parcel(b"a")]).unwrap().parcels().len(), 1);
        assert!(matches!(Shipment::of(vec![parcel(b"a"), parcel(b"b")]).unwrap_err(), Refusal::SameLayer { .. }));
    }
}
