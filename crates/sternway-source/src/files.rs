//! Folders of migration files, as golang-migrate's `-source` and `-path` name them.
//!
//! A folder is listed and its files are read, nothing more: which names are migrations is decided
//! elsewhere. What golang-migrate takes for the content although it is not is an error here: a body
//! that breaks off, an error page, a listing that stops at 1,000 names, a file that has vanished.

mod directory;
mod error;
#[cfg(feature = "hosts")]
mod github;
#[cfg(feature = "hosts")]
mod gitlab;
#[cfg(feature = "hosts")]
mod bitbucket;
#[cfg(feature = "buckets")]
pub(crate) mod buckets;

use std::collections::BTreeMap;
use std::env;

use async_trait::async_trait;

#[cfg(any(feature = "hosts", feature = "buckets"))]
use crate::address::Address;
pub use crate::url::redacted;
pub use directory::{Directory, directory};
pub use error::FilesError;

/// The schemes that [`open`] knows, in alphabetical order.
pub const SCHEMES: [&str; 8] =
    ["bitbucket", "file", "gcs", "github", "github-ee", "gitlab", "gs", "s3"];

/// How many bytes a remote folder's answer, or a file there, may have.
#[cfg(any(feature = "hosts", feature = "buckets"))]
pub(crate) const LONGEST: usize = 64 << 20;

/// A folder of migration files, wherever it is.
#[async_trait]
pub trait Files: Send + Sync {
    /// What to call it in messages; holds no secret.
    fn place(&self) -> String;

    /// The bare names of the files in it, sorted by name. Directories are left out, also behind a
    /// symbolic link. A remote folder was listed when it was opened, and this is that listing.
    ///
    /// # Errors
    /// When the folder cannot be listed in full.
    async fn list(&self) -> Result<Vec<String>, FilesError>;

    /// The whole content of one file.
    ///
    /// # Errors
    /// When there is no such file, or when it cannot be read to its end.
    async fn read(&self, name: &str) -> Result<Vec<u8>, FilesError>;
}

/// The variables that decide how a remote folder is reached.
///
/// - `STERNWAY_GITHUB_API`, `STERNWAY_GITLAB_API`, `STERNWAY_BITBUCKET_API`: the base URL of a
///   service, in place of `https://api.github.com`, `https://HOST/api/v4` and
///   `https://api.bitbucket.org/2.0`. The credentials of the source URL are sent there.
/// - `AWS_…`: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`,
///   `AWS_ENDPOINT_URL`, `AWS_ALLOW_HTTP` and the others that the crate `object_store` knows. Without keys the
///   machine is asked for them, if it is one of AWS. Files with profiles are not read.
/// - `GOOGLE_…` likewise, among them `GOOGLE_APPLICATION_CREDENTIALS`, and `STORAGE_EMULATOR_HOST`,
///   the address of an emulator of Google Cloud Storage, which is asked without credentials.
///
/// It holds secrets, so it cannot be printed.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<String, String>);

impl Environment {
    /// The variables of this process. One that is not UTF-8 is left out.
    pub fn of_process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(env::vars_os().filter_map(text).collect())
    }

    /// The value of a variable; `None` if it is empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The variables whose names start like this and whose values are not empty.
    #[cfg(feature = "buckets")]
    fn starting_with(&self, start: &str) -> impl Iterator<Item = (&str, &str)> {
        let variables = self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        variables.filter(move |(name, value)| name.starts_with(start) && !value.is_empty())
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// Opens the folder that a source URL names, with the variables of this process.
///
/// The scheme may be in any case: `file`, `github`, `github-ee`, `gitlab`, `bitbucket`, `s3`, `gcs`
/// or `gs`. The forms are those of golang-migrate; [`Environment`] says where they can be led
/// elsewhere. All but `file` need a tokio runtime.
///
/// # Errors
/// When the URL has another form, when its scheme is unknown or left out of this build, and when
/// the folder cannot be listed.
pub async fn open(url: &str) -> Result<Box<dyn Files>, FilesError> {
    open_in(url, &Environment::of_process()).await
}

/// Opens the folder that a source URL names, as [`open`] does, with other variables.
///
/// # Errors
/// Those of [`open`].
pub async fn open_in(url: &str, environment: &Environment) -> Result<Box<dyn Files>, FilesError> {
    if url.is_empty() {
        return Err(FilesError::NoUrl);
    }
    let Some((scheme, rest)) = url.split_once(':') else { return Err(FilesError::NoScheme) };
    if !is_scheme(scheme) {
        return Err(FilesError::NoScheme);
    }
    let scheme = scheme.to_ascii_lowercase();
    match scheme.as_str() {
        "file" => {
            let folder = Directory::of_url(rest);
            folder.list().await?;
            Ok(Box::new(folder))
        }
        "github" | "github-ee" | "gitlab" | "bitbucket" => host(scheme, rest, environment).await,
        "s3" | "gcs" | "gs" => bucket(scheme, rest, environment).await,
        _ => Err(FilesError::UnknownScheme { scheme }),
    }
}

#[cfg(feature = "hosts")]
async fn host(
    scheme: String,
    rest: &str,
    environment: &Environment,
) -> Result<Box<dyn Files>, FilesError> {
    let address = Address::parse(rest).ok_or(FilesError::Malformed)?;
    Ok(match scheme.as_str() {
        "github" => Box::new(github::open(&address, environment).await?),
        "github-ee" => Box::new(github::open_enterprise(&address).await?),
        "gitlab" => Box::new(gitlab::open(&address, environment).await?),
        _ => Box::new(bitbucket::open(&address, environment).await?),
    })
}

#[cfg(not(feature = "hosts"))]
async fn host(scheme: String, _: &str, _: &Environment) -> Result<Box<dyn Files>, FilesError> {
    Err(FilesError::NotBuilt { scheme })
}

#[cfg(feature = "buckets")]
async fn bucket(
    scheme: String,
    rest: &str,
    environment: &Environment,
) -> Result<Box<dyn Files>, FilesError> {
    let address = Address::parse(rest).ok_or(FilesError::Malformed)?;
    Ok(Box::new(buckets::open(&scheme, &address, environment).await?))
}

#[cfg(not(feature = "buckets"))]
async fn bucket(scheme: String, _: &str, _: &Environment) -> Result<Box<dyn Files>, FilesError> {
    Err(FilesError::NotBuilt { scheme })
}

/// Whether `text` may be the scheme of a URL (RFC 3986 section 3.1).
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

/// Makes ring do the cryptography of TLS, unless the program has chosen: the HTTP client panics
/// when nobody has.
#[cfg(any(feature = "hosts", feature = "buckets"))]
pub(crate) fn choose_cryptography() {
    // Fails when there is a choice already, which is as good.
    rustls::crypto::ring::default_provider().install_default().ok();
}
