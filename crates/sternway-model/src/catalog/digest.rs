//! SHA-256 hashes of bodies, plans and fingerprints.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

/// A SHA-256 hash (FIPS 180-4), written in lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

/// A text that is no hash.
#[derive(Debug, Clone, Error, PartialEq, Eq)]
#[error("`{0}` is not a SHA-256 hash in hexadecimal")]
pub struct InvalidDigest(pub String);

impl Digest {
    /// The hash of the bytes as they are.
    pub fn of_bytes(bytes: &[u8]) -> Digest {
        Digest(Sha256::digest(bytes).into())
    }

    /// The hash of a body, which does not depend on its line endings or a byte-order mark.
    pub fn of_body(text: &str) -> Digest {
        Self::of_bytes(canonical(text).as_bytes())
    }

    /// The first half, as a number.
    pub fn number(&self) -> u128 {
        let half = self.0.first_chunk().copied();
        half.map_or(0, u128::from_be_bytes)
    }

    /// The first twelve digits, for people.
    pub fn short(&self) -> String {
        hex::encode(&self.0[..6])
    }
}

/// A body without its byte-order mark: what is kept and run. Line endings stay, which may stand in a value or in the
/// text of a function.
pub fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// A body without its byte-order mark and with line feeds alone: what is hashed.
fn canonical(text: &str) -> Cow<'_, str> {
    let text = without_mark(text);
    if text.contains("\r\n") { text.replace("\r\n", "\n").into() } else { text.into() }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let mut bytes = [0; 32];
        let decoded = hex::decode_to_slice(text, &mut bytes);
        decoded.map(|()| Digest(bytes)).map_err(|_| InvalidDigest(text.to_owned()))
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, InvalidDigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_endings_and_a_byte_order_mark_do_not_change_a_body() {
        let unix = Digest::of_body("SELECT 1;\nSELECT 2;\n");
        assert_eq!(unix, Digest::of_body("\u{feff}SELECT 1;\r\nSELECT 2;\r\n"));
        assert_ne!(unix, Digest::of_body("SELECT 1;\nSELECT 3;\n"));
    }

    #[test]
    fn a_hash_survives_being_written_and_read() {
        let digest = Digest::of_bytes(b"abc");
        assert_eq!(
            digest.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert!("ba78".parse::<Digest>().is_err());
    }
}
