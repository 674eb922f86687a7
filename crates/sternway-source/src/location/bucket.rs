//! A bucket.

use std::fmt;

use super::InvalidLocation;
use crate::address::Address;

/// The schemes of buckets: of S3, of Google Cloud Storage and of Azure.
pub(super) const SCHEMES: [&str; 3] = ["s3", "gs", "az"];

/// A prefix in a bucket, with a folder for each release; or the key of a bundle there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// `s3`, `gs` or `az`.
    pub scheme: String,
    /// The name of the bucket.
    pub name: String,
    /// The prefix or key; empty for the whole bucket.
    pub path: String,
}

impl Bucket {
    /// Reads what follows `scheme:`. What may be a secret is no part of it: credentials are found as for snapshots.
    pub(super) fn parse(scheme: &str, rest: &str) -> Result<Bucket, InvalidLocation> {
        let form = match scheme {
            "s3" => "s3://BUCKET/PREFIX",
            "gs" => "gs://BUCKET/PREFIX",
            _ => "az://CONTAINER/PREFIX",
        };
        let address = Address::parse(rest).filter(|it| {
            let is_plain = it.query.is_empty() && it.fragment.is_empty() && it.user.is_none();
            let is_odd = |part: &String| part == "." || part == ".." || part.contains('/');
            is_plain && !it.host.is_empty() && !it.path.iter().any(is_odd)
        });
        let address = address.ok_or(InvalidLocation::Form { form })?;
        Ok(Bucket {
            scheme: scheme.to_owned(),
            name: address.host.clone(),
            path: address.path.join("/"),
        })
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.name)?;
        if self.path.is_empty() { Ok(()) } else { write!(f, "/{}", self.path) }
    }
}
