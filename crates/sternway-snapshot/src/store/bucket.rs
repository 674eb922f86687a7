//! A bucket of S3, of Google Cloud Storage, or a container of Azure's. Credentials come from the environment or from
//! the machine, never from the address.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::ClientOptions;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt as _, WriteMultipart};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::error::SnapshotError;
use crate::stream::{Hashing, Meter};

/// How long a connection may take, and how long an answer may pause.
const CONNECTING: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_secs(60);

/// How large a part is that is sent: of ten thousand of these a file may be made.
const PART: usize = 32 << 20;

/// How many parts are on their way at once.
const AT_ONCE: usize = 3;

/// A prefix in a bucket.
#[derive(Debug, Clone)]
pub struct Bucket {
    /// Where it is, for people.
    pub(super) place: String,
    store: Arc<dyn ObjectStore>,
    prefix: String,
}

impl Bucket {
    /// Opens `s3://BUCKET/PREFIX`, `gs://BUCKET/PREFIX` or `az://CONTAINER/PREFIX`; nothing for another scheme.
    ///
    /// # Errors
    /// When it cannot be such an address, or what is set does not do.
    pub(super) fn open(address: &str) -> Result<Option<Bucket>, SnapshotError> {
        // Fails when there is a choice already, which is as good.
        rustls::crypto::ring::default_provider().install_default().ok();
        let failed = |source| SnapshotError::store(format!("use {address}"), source);
        let Some((scheme, rest)) = address.split_once("://") else { return Ok(None) };
        let (name, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let settings = |begin: &str| {
            let all = std::env::vars()
                .filter(|(name, value)| name.starts_with(begin) && !value.is_empty());
            all.map(|(name, value)| (name.to_ascii_lowercase(), value)).collect::<Vec<_>>()
        };
        // A name that the library does not know is meant for others.
        let store: Result<Arc<dyn ObjectStore>, Error> = match scheme {
            "s3" => {
                let mut builder = AmazonS3Builder::new().with_client_options(options());
                for (name, value) in settings("AWS_") {
                    if let Ok(key) = name.parse() {
                        builder = builder.with_config(key, value);
                    }
                }
                builder.with_bucket_name(name).build().map(|it| Arc::new(it) as _)
            }
            "gs" | "gcs" => {
                let emulator = std::env::var("STORAGE_EMULATOR_HOST").ok();
                let options = options().with_allow_http(emulator.is_some());
                let mut builder = GoogleCloudStorageBuilder::new().with_client_options(options);
                for (name, value) in settings("GOOGLE_") {
                    if let Ok(key) = name.parse() {
                        builder = builder.with_config(key, value);
                    }
                }
                if let Some(emulator) = emulator {
                    let scheme = if emulator.contains("://") { "" } else { "http://" };
                    let base = format!("{scheme}{}", emulator.trim_end_matches('/'));
                    // The library writes with credentials even where it is told to do without any.
                    builder = builder.with_bearer_token("nobody");
                    builder = builder.with_base_url(&base).with_skip_signature(true);
                }
                builder.with_bucket_name(name).build().map(|it| Arc::new(it) as _)
            }
            "az" | "azure" => {
                let mut builder = MicrosoftAzureBuilder::new().with_client_options(options());
                for (name, value) in settings("AZURE_") {
                    if let Ok(key) = name.parse() {
                        builder = builder.with_config(key, value);
                    }
                }
                builder.with_container_name(name).build().map(|it| Arc::new(it) as _)
            }
            _ => return Ok(None),
        };
        let store = store.map_err(failed)?;
        let prefix = prefix.trim_matches('/').to_owned();
        Ok(Some(Bucket { place: format!("{scheme}://{rest}"), store, prefix }))
    }

    /// The key of a file.
    fn path(&self, parts: &[&str]) -> Result<Path, SnapshotError> {
        let begin = self.prefix.as_str();
        let parts: Vec<&str> = std::iter::once(begin)
            .chain(parts.iter().copied())
            .filter(|it| !it.is_empty())
            .collect();
        let key = parts.join("/");
        Path::parse(&key).map_err(|error| SnapshotError::store(format!("use the key {key}"), error))
    }

    /// The names of the folders in one.
    pub(super) async fn folders(&self, parts: &[&str]) -> Result<Vec<String>, SnapshotError> {
        let path = self.path(parts)?;
        let failed = |error| SnapshotError::store(format!("list {}", self.place), error);
        let found = self.store.list_with_delimiter(Some(&path)).await.map_err(failed)?;
        let names = found
            .common_prefixes
            .iter()
            .filter_map(|it| it.parts().next_back().map(|it| it.as_ref().to_owned()));
        Ok(names.collect())
    }

    /// A small file; nothing where there is none.
    pub(super) async fn read(&self, parts: &[&str]) -> Result<Option<Vec<u8>>, SnapshotError> {
        let path = self.path(parts)?;
        let failed = |error| SnapshotError::store(format!("read {path} in {}", self.place), error);
        match self.store.get(&path).await {
            Ok(found) => Ok(Some(found.bytes().await.map_err(failed)?.to_vec())),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// Writes a small file.
    pub(super) async fn write(&self, parts: &[&str], bytes: &[u8]) -> Result<(), SnapshotError> {
        let path = self.path(parts)?;
        let written = self.store.put(&path, bytes.to_vec().into()).await;
        written
            .map(drop)
            .map_err(|error| SnapshotError::store(format!("write {path} to {}", self.place), error))
    }

    /// Writes all that `from` gives, a few parts at a time. Only at its end is it a file.
    pub(super) async fn put(
        &self,
        parts: &[&str],
        from: &mut (dyn AsyncRead + Unpin + Send),
        meter: &mut Meter<'_>,
    ) -> Result<Hashing, SnapshotError> {
        let path = self.path(parts)?;
        let failed = |error| SnapshotError::store(format!("write {path} to {}", self.place), error);
        let upload = self.store.put_multipart(&path).await.map_err(failed)?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, PART);
        let (mut hashing, mut piece) = (Hashing::default(), vec![0; 1 << 18]);
        let sent: Result<(), SnapshotError> = async {
            loop {
                let length = from.read(&mut piece).await;
                let length = length
                    .map_err(|error| SnapshotError::store("read what is to be written", error))?;
                if length == 0 {
                    return Ok(());
                }
                upload.wait_for_capacity(AT_ONCE).await.map_err(failed)?;
                upload.write(&piece[..length]);
                hashing.update(&piece[..length]);
                meter.passed(length);
            }
        }
        .await;
        if let Err(error) = sent {
            // What was sent is of no use, and may cost.
            let _ = upload.abort().await;
            return Err(error);
        }
        upload.finish().await.map_err(failed)?;
        Ok(hashing)
    }

    /// Writes a file into one of this machine's; nothing where there is none.
    pub(super) async fn fetch(
        &self,
        parts: &[&str],
        to: &mut tokio::fs::File,
        meter: &mut Meter<'_>,
    ) -> Result<Option<Hashing>, SnapshotError> {
        let path = self.path(parts)?;
        let failed = |error| SnapshotError::store(format!("read {path} in {}", self.place), error);
        let found = match self.store.get(&path).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let (mut hashing, mut rest) = (Hashing::default(), found.into_stream());
        while let Some(bytes) = rest.next().await {
            let bytes = bytes.map_err(failed)?;
            let written = to.write_all(&bytes).await;
            written.map_err(|error| SnapshotError::store("write what was fetched", error))?;
            hashing.update(&bytes);
            meter.passed(bytes.len());
        }
        to.flush().await.map_err(|error| SnapshotError::store("write what was fetched", error))?;
        Ok(Some(hashing))
    }

    /// Removes all that is in a folder, and `first` of it before anything else.
    pub(super) async fn remove(&self, parts: &[&str], first: &str) -> Result<(), SnapshotError> {
        let failed = |error| SnapshotError::store(format!("remove files in {}", self.place), error);
        let gone = |removed: Result<(), Error>| match removed {
            Err(Error::NotFound { .. }) | Ok(()) => Ok(()),
            Err(error) => Err(failed(error)),
        };
        gone(self.store.delete(&self.path(&[parts, &[first]].concat())?).await)?;
        let mut all = self.store.list(Some(&self.path(parts)?));
        while let Some(found) = all.next().await {
            gone(self.store.delete(&found.map_err(failed)?.location).await)?;
        }
        Ok(())
    }
}

fn options() -> ClientOptions {
    // A large file takes as long as it takes.
    ClientOptions::new()
        .with_connect_timeout(CONNECTING)
        .with_read_timeout(PAUSE)
        .with_timeout_disabled()
}
