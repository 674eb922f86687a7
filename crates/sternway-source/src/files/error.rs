//! Why a folder of migration files could not be read.

use std::error::Error as StdError;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why a folder of migration files could not be opened, listed or read. Where golang-migrate has
/// words for it, they are kept. None of these holds a user name, a token or a query.
#[derive(Debug, Error)]
pub enum FilesError {
    /// There is no URL.
    #[error("failed to parse scheme from source URL: URL cannot be empty")]
    NoUrl,
    /// The URL does not start with a scheme.
    #[error("failed to parse scheme from source URL: no scheme")]
    NoScheme,
    /// The scheme has no meaning.
    #[error("source driver: unknown driver '{scheme}' (forgotten import?)")]
    UnknownScheme {
        /// The scheme, in lower case.
        scheme: String,
    },
    /// The scheme has a meaning, and its reader was left out of this build.
    #[error("source driver: this build lacks the driver '{scheme}'")]
    NotBuilt {
        /// The scheme, in lower case.
        scheme: String,
    },
    /// The URL cannot be taken apart.
    #[error("the source URL has no `//`, or a user name or password that is not escaped")]
    Malformed,
    /// GitHub needs a token after the user name, and so does GitLab need both.
    #[error("no username:token provided")]
    NoUserAndToken,
    /// GitLab needs a token after the user name.
    #[error("no access token")]
    NoAccessToken,
    /// Bitbucket needs a user.
    #[error("no username:password provided")]
    NoUserAndPassword,
    /// Bitbucket needs a password after the user name.
    #[error("no password/app password")]
    NoPassword,
    /// The URL names no host, owner or bucket.
    #[error("invalid host")]
    NoHost,
    /// The URL names no repository.
    #[error("invalid repo")]
    NoRepository,
    /// The URL names no project.
    #[error("invalid project id")]
    NoProject,
    /// A variable of the environment that should hold the base URL of a service.
    #[error("`{variable}` is not a URL")]
    BaseUrl {
        /// The variable, such as `STERNWAY_GITHUB_API`.
        variable: &'static str,
    },
    /// There is something else than a directory at the path in a repository.
    #[error("no directory")]
    NoDirectory {
        /// The place.
        place: String,
    },
    /// There is nothing at the path on this machine.
    #[error("open .: no such file or directory")]
    NoSuchFolder {
        /// The path.
        path: PathBuf,
    },
    /// There is something else than a directory at the path on this machine.
    #[error("open .: not a directory")]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// The directory cannot be listed.
    #[error("cannot list the files in `{path}`")]
    Folder {
        /// The path.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
    /// The file was never there, or vanished after the listing.
    #[error("there is no file `{name}` in {place}")]
    NoSuchFile {
        /// The place.
        place: String,
        /// The bare name of the file.
        name: String,
    },
    /// The file is something that has no content of its own: a directory, a pipe, or a symbolic link
    /// in a repository, which is not followed there.
    #[error("`{name}` in {place} is not a regular file")]
    NotAFile {
        /// The place.
        place: String,
        /// The bare name of the file.
        name: String,
    },
    /// The file cannot be read.
    #[error("cannot read `{name}` in {place}")]
    File {
        /// The place.
        place: String,
        /// The bare name of the file.
        name: String,
        /// What went wrong.
        source: io::Error,
    },
    /// The content is not as long as it was said to be.
    #[error("`{name}` in {place} has {expected} bytes, of which {got} were received")]
    CutShort {
        /// The place.
        place: String,
        /// The bare name of the file.
        name: String,
        /// The length in the listing.
        expected: u64,
        /// The length received.
        got: u64,
    },
    /// A service said no.
    #[error("invalid response: {url} answered {status}{}", said(.message.as_deref()))]
    Status {
        /// The address, without credentials and query.
        url: String,
        /// The number of the status.
        code: u16,
        /// The status, such as `404 Not Found`.
        status: String,
        /// What the service said about it.
        message: Option<String>,
    },
    /// A service was asked too often.
    #[error("{url} was asked too often{}", answers_at(.until))]
    Limited {
        /// The address, without credentials and query.
        url: String,
        /// When it answers again, where it says so.
        until: Option<String>,
    },
    /// A service answered with something else than was asked for.
    #[error("invalid response: {url} answered {what}")]
    Unexpected {
        /// The address, without credentials and query.
        url: String,
        /// What it answered.
        what: String,
    },
    /// A service did not answer, or not to the end.
    #[error("no complete answer from {url}")]
    Unanswered {
        /// The address, without credentials and query.
        url: String,
        /// What went wrong.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// A bucket cannot be opened, listed or read.
    #[error("cannot read {place}")]
    Bucket {
        /// The place.
        place: String,
        /// What went wrong.
        source: Box<dyn StdError + Send + Sync>,
    },
}

/// A time as the end of a sentence.
fn answers_at(time: &Option<String>) -> String {
    time.as_ref().map(|time| format!(", and answers again at {time}")).unwrap_or_default()
}

/// The words of a service as the end of a sentence.
fn said(message: Option<&str>) -> String {
    message.map(|message| format!(": {message}")).unwrap_or_default()
}
