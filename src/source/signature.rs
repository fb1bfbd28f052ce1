//! OpenPGP signatures of upstream's files, checked against public keys that phplayer carries.

use std::fmt;
use std::path::Path;

use pgp::composed::{Deserializable, DetachedSignature, SignedPublicKey};
use pgp::packet::SignatureType;
use pgp::types::{KeyDetails, VerifyingKey};

/// Who may sign, by the name of the key file. Upstreams change signers with their branches: a file holds several keys.
const KEYS: &[(&str, &str)] = &[
    ("curl", include_str!("../../php-extensions/keys/curl.asc")),
    ("openssl", include_str!("../../php-extensions/keys/openssl.asc")),
    ("php", include_str!("../../php-extensions/keys/php.asc")),
];

/// The name of a key file that phplayer carries, for example `php`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SignatureBy(String);

/// A definition names a signer whose keys phplayer does not have.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("there are no keys of `{0}`")]
#[diagnostic(help("known signers: {}", KEYS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")))]
pub struct UnknownKey(String);

/// Why a signature does not hold.
#[derive(Debug, thiserror::Error)]
pub enum SignatureFault {
    #[error("the signature cannot be read: {0}")]
    Unreadable(String),
    #[error("it is signed by {0}, which is none of the known keys")]
    Stranger(String),
    #[error("the signature of {0} does not fit the content")]
    Wrong(String),
    #[error("the carried keys cannot be read: {0}")]
    Keys(String),
}

impl TryFrom<String> for SignatureBy {
    type Error = UnknownKey;

    fn try_from(name: String) -> Result<Self, UnknownKey> {
        if KEYS.iter().any(|(known, _)| *known == name) { Ok(Self(name)) } else { Err(UnknownKey(name)) }
    }
}

impl From<SignatureBy> for String {
    fn from(by: SignatureBy) -> Self {
        by.0
    }
}

impl fmt::Display for SignatureBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl SignatureBy {
    fn keys(&self) -> &'static str {
        KEYS.iter().find(|(name, _)| *name == self.0).map_or("", |(_, keys)| keys)
    }
}

/// Checks the detached, armoured signature in `signature` over `file`; returns the signer's name and fingerprint.
pub(super) fn verify(by: &SignatureBy, file: &Path, signature: &Path) -> Result<String, SignatureFault> {
    let armored = fs_err::read_to_string(signature).map_err(|error| SignatureFault::Unreadable(error.to_string()))?;
    verify_with(by.keys(), file, &armored)
}

/// A key that expired since is still the key that signed: the keys are pinned here, and old releases stay old. One good
/// signature of several is enough, as when a release has more than one manager.
fn verify_with(keys: &str, file: &Path, armored: &str) -> Result<String, SignatureFault> {
    let unreadable = |error: pgp::errors::Error| SignatureFault::Unreadable(error.to_string());
    let wrong_keys = |error: pgp::errors::Error| SignatureFault::Keys(error.to_string());
    let (keys, _) = SignedPublicKey::from_string_many(keys).map_err(wrong_keys)?;
    let keys = keys.collect::<Result<Vec<_>, _>>().map_err(wrong_keys)?;
    let (signatures, _) = DetachedSignature::from_string_many(armored).map_err(unreadable)?;
    let signatures = signatures.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;

    let mut fault = SignatureFault::Unreadable("it holds no signature".to_owned());
    for signature in &signatures {
        let signature = &signature.signature;
        if !matches!(signature.typ(), Some(SignatureType::Binary | SignatureType::Text)) {
            fault = SignatureFault::Unreadable("it is no signature of a file".to_owned());
            continue;
        }
        let named = |key: &dyn KeyDetails| {
            signature.issuer_fingerprint().into_iter().any(|print| *print == key.fingerprint())
                || signature.issuer_key_id().into_iter().any(|id| *id == key.legacy_key_id())
        };
        let Some(owner) = keys
            .iter()
            .find(|key| named(&key.primary_key) || key.public_subkeys.iter().any(|subkey| named(&subkey.key)))
        else {
            let issuer = signature.issuer_fingerprint().first().map(ToString::to_string);
            let issuer = issuer.or_else(|| signature.issuer_key_id().first().map(ToString::to_string));
            fault = SignatureFault::Stranger(issuer.unwrap_or_else(|| "nobody".to_owned()).to_uppercase());
            continue;
        };
        let holds = |key: &dyn Fits| key.fits(signature, file);
        let fits = if named(&owner.primary_key) {
            holds(&owner.primary_key)
        } else {
            owner.public_subkeys.iter().filter(|subkey| named(&subkey.key)).any(|subkey| holds(&subkey.key))
        };
        if fits {
            return Ok(signer(owner));
        }
        fault = SignatureFault::Wrong(signer(owner));
    }
    Err(fault)
}

/// A primary key or a subkey: two types, one question.
trait Fits {
    fn fits(&self, signature: &pgp::packet::Signature, file: &Path) -> bool;
}

impl<K: VerifyingKey> Fits for K {
    /// Hashes the file in pieces. Signatures made with MD5 or SHA-1 never fit.
    fn fits(&self, signature: &pgp::packet::Signature, file: &Path) -> bool {
        fs_err::File::open(file).is_ok_and(|content| signature.verify(self, content).is_ok())
    }
}

fn signer(key: &SignedPublicKey) -> String {
    let name = key.details.users.first().map(|user| String::from_utf8_lossy(user.id.id()).into_owned());
    let fingerprint = key.fingerprint().to_string().to_uppercase();
    match name {
        Some(name) => format!("{name} {fingerprint}"),
        None => fingerprint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made with gpg for this test: `printf 'the content' | gpg --armor --detach-sign`; the secret keys are gone.
    const KEY: &str = "\
-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEawR1wBYJKwYBBAHaRw8BAQdAR/2vD2fVg/Y0odAfXcwbgp8A8Y0XZda0+2SU
tJtaeFW0HUZpeHR1cmUgPGZpeHR1cmVAZXhhbXBsZS5vcmc+iJAEExYIADgWIQTD
qQYCKqutKW9eI5H1dlwvut5gggUCawR1wAIbAwULCQgHAgYVCgkICwIEFgIDAQIe
AQIXgAAKCRD1dlwvut5ggpLTAP99X521QZXGXilzh0jT4nb6Xm1aXQ8BlFMPlv8a
QEtuJgD+PWOi7MN1wirs/tfXB/KDaNksqYfbRBI5ykDCk7ClyAo=
=89AY
-----END PGP PUBLIC KEY BLOCK-----
";
    const GOOD: &str = "\
-----BEGIN PGP SIGNATURE-----

iIoEABYIADIWIQTDqQYCKqutKW9eI5H1dlwvut5gggUCawR1wBQcZml4dHVyZUBl
eGFtcGxlLm9yZwAKCRD1dlwvut5ggh8fAQCzkycyYgKxHxIkzvjA6V5EhfW5Lazm
NvoVpjtjCOhcmAD8CNNh4i3sotgpwTrR5RvGuZ3h8pXf4ROSYpfKmZ8RWQI=
=W1fN
-----END PGP SIGNATURE-----
";
    const STRANGER: &str = "\
-----BEGIN PGP SIGNATURE-----

iIsEABYIADMWIQRPJVBfIUIA4fWx1o08vAnqyhdKAwUCawR1wBUcc3RyYW5nZXJA
ZXhhbXBsZS5vcmcACgkQPLwJ6soXSgNmmQEA7mNawFOXnQi7/uEx6wFKBoI2nFoa
O4wAovl5oupsXuUBAKHf4bSdhq9rwCfvTiatJFot/pnXBZKcf9Escjn1+csF
=7JN3
-----END PGP SIGNATURE-----
";

    fn check(content: &str, signature: &str) -> Result<String, SignatureFault> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), content).unwrap();
        verify_with(KEY, file.path(), signature)
    }

    #[test]
    fn a_good_signature_names_its_signer() {
        let signer = check("the content", GOOD).unwrap();
        assert!(signer.starts_with("Fixture <fixture@example.org> C3A906022AABAD29"), "{signer}");
    }

    #[test]
    fn bad_signatures_are_told_apart() {
        assert!(matches!(check("the Content", GOOD), Err(SignatureFault::Wrong(_))));
        assert!(
            matches!(check("the content", STRANGER), Err(SignatureFault::Stranger(who)) if who.starts_with("4F25505F"))
        );
        assert!(matches!(check("the content", "<html>"), Err(SignatureFault::Unreadable(_))));
        assert!(matches!(check("the content", ""), Err(SignatureFault::Unreadable(_))));
    }

    #[test]
    fn the_carried_keys_are_the_known_ones() {
        let fingerprints = |name: &str| -> Vec<String> {
            let keys = SignatureBy::try_from(name.to_owned()).unwrap().keys();
            let (keys, _) = SignedPublicKey::from_string_many(keys).unwrap();
            keys.map(|key| key.unwrap().fingerprint().to_string().to_uppercase()).collect()
        };
        let php = [
            "AFD8691FDAEDF03BDF6E460563F15A9B715376CA",
            "9D7F99A0CB8F05C8A6958D6256A97AF7600A39A6",
            "0616E93D95AF471243E26761770426E17EBBB3DD",
        ];
        assert_eq!(fingerprints("php"), php);
        assert_eq!(fingerprints("openssl"), ["BA5473A2B0587B07FB27CF2D216094DFD0CB81EF"]);
        assert_eq!(fingerprints("curl"), ["27EDEAF22F3ABCEB50DB9A125CC908FDB71E12C2"]);
    }

    #[test]
    fn an_unknown_signer_is_refused_when_it_is_read() {
        assert!(SignatureBy::try_from("nobody".to_owned()).is_err());
    }
}
