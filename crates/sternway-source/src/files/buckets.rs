//! Folders in buckets of S3 and of Google Cloud Storage.
//!
//! The keys up to the next slash after the prefix are the files. Credentials come from the
//! environment or from the machine, never from the URL.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::ClientOptions;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{BackoffConfig, GetOptions, ObjectStore, RetryConfig};

use super::{Environment, Files, FilesError, LONGEST, choose_cryptography};
use crate::address::Address;

/// How long a connection may take, how long an answer may pause, and how long it may take in all.
const CONNECTING: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_secs(30);
const ANSWERING: Duration = Duration::from_secs(300);

/// A prefix in a bucket.
pub(super) struct Bucket {
    place: String,
    store: Box<dyn ObjectStore>,
    prefix: Path,
    names: BTreeSet<String>,
}

/// Opens `s3://bucket[/prefix]` or `gcs://bucket[/prefix]`. A user name before the bucket is not used. The root of a
/// bucket of Google's can be read, other than by golang-migrate.
pub(super) async fn open(
    scheme: &str,
    address: &Address,
    environment: &Environment,
) -> Result<Bucket, FilesError> {
    load(scheme, address, store(scheme, &address.host, environment)).await
}

/// The bucket of this name: of S3 for `s3`, of Azure for `az`, of Google Cloud Storage for all else.
pub(crate) fn store(
    scheme: &str,
    name: &str,
    environment: &Environment,
) -> object_store::Result<Box<dyn ObjectStore>> {
    choose_cryptography();
    // A name that the library does not know is meant for others.
    match scheme {
        "s3" => {
            let mut builder = AmazonS3Builder::new()
                .with_client_options(options())
                .with_retry(passing_failures());
            for (name, value) in environment.starting_with("AWS_") {
                if let Ok(key) = name.to_ascii_lowercase().parse() {
                    builder = builder.with_config(key, value);
                }
            }
            builder.with_bucket_name(name).build().map(|it| Box::new(it) as _)
        }
        "az" => {
            let mut builder = MicrosoftAzureBuilder::new()
                .with_client_options(options())
                .with_retry(passing_failures());
            for (name, value) in environment.starting_with("AZURE_") {
                if let Ok(key) = name.to_ascii_lowercase().parse() {
                    builder = builder.with_config(key, value);
                }
            }
            builder.with_container_name(name).build().map(|it| Box::new(it) as _)
        }
        _ => {
            let emulator = environment.get("STORAGE_EMULATOR_HOST");
            let options = options().with_allow_http(emulator.is_some());
            let mut builder = GoogleCloudStorageBuilder::new()
                .with_client_options(options)
                .with_retry(passing_failures());
            for (name, value) in environment.starting_with("GOOGLE_") {
                if let Ok(key) = name.to_ascii_lowercase().parse() {
                    builder = builder.with_config(key, value);
                }
            }
            if let Some(emulator) = emulator {
                let scheme = if emulator.contains("://") { "" } else { "http://" };
                let base = format!("{scheme}{}", emulator.trim_end_matches('/'));
                builder = builder.with_base_url(&base).with_skip_signature(true);
            }
            builder.with_bucket_name(name).build().map(|it| Box::new(it) as _)
        }
    }
}

fn options() -> ClientOptions {
    ClientOptions::new()
        .with_connect_timeout(CONNECTING)
        .with_read_timeout(PAUSE)
        .with_timeout(ANSWERING)
}

/// Less than the library's ten retries in three minutes: a person may be waiting.
fn passing_failures() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: 3,
        retry_timeout: Duration::from_secs(60),
    }
}

/// Lists what is at the prefix, page by page.
async fn load(
    scheme: &str,
    address: &Address,
    store: object_store::Result<Box<dyn ObjectStore>>,
) -> Result<Bucket, FilesError> {
    if address.host.is_empty() {
        return Err(FilesError::NoHost);
    }
    let place = address.shown(scheme);
    let failed = |source| FilesError::Bucket { place: place.clone(), source };
    let store = store.map_err(|cause| failed(cause.into()))?;
    let prefix = Path::parse(address.path.join("/")).map_err(|cause| failed(cause.into()))?;
    let listing = store.list_with_delimiter(Some(&prefix)).await;
    let objects = listing.map_err(|cause| failed(cause.into()))?.objects;
    let names = objects.iter().filter_map(|object| name(&prefix, &object.location)).collect();
    Ok(Bucket { place, store, prefix, names })
}

/// The name of an object right below the prefix. The prefix itself may be an object, too: consoles
/// make an empty one to show a folder.
fn name(prefix: &Path, location: &Path) -> Option<String> {
    let mut parts = location.prefix_match(prefix)?;
    let name = parts.next()?.as_ref().to_owned();
    parts.next().is_none().then_some(name)
}

#[async_trait]
impl Files for Bucket {
    fn place(&self) -> String {
        self.place.clone()
    }

    async fn list(&self) -> Result<Vec<String>, FilesError> {
        Ok(self.names.iter().cloned().collect())
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>, FilesError> {
        let (place, name) = (self.place(), name.to_owned());
        if !self.names.contains(&name) {
            return Err(FilesError::NoSuchFile { place, name });
        }
        let failed = |cause| match cause {
            object_store::Error::NotFound { .. } => {
                FilesError::NoSuchFile { place: place.clone(), name: name.clone() }
            }
            cause => FilesError::Bucket { place: place.clone(), source: cause.into() },
        };
        // Not joined with the prefix as a part, which would escape some characters again.
        let path = match self.prefix.as_ref() {
            "" => name.clone(),
            prefix => format!("{prefix}/{name}"),
        };
        let path = Path::parse(path)
            .map_err(|cause| FilesError::Bucket { place: place.clone(), source: cause.into() })?;
        let found = self.store.get_opts(&path, GetOptions::default()).await.map_err(failed)?;
        let expected = found.meta.size;
        let (mut body, mut rest) = (Vec::new(), found.into_stream());
        while let Some(more) = rest.next().await {
            body.extend(more.map_err(failed)?);
            if body.len() > LONGEST {
                let source = format!("`{name}` has more than {} MB", LONGEST >> 20).into();
                return Err(FilesError::Bucket { place, source });
            }
        }
        let got = body.len() as u64;
        if got != expected {
            return Err(FilesError::CutShort { place, name, expected, got });
        }
        Ok(body)
    }
}
