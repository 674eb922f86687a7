//! Bytes on their way: how many have gone through, and programs behind one another.

use std::process::Stdio;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use sternway_model::catalog::Digest;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::error::SnapshotError;
use crate::manifest::File;
use crate::{Progress, Watch};

/// How often it is told how far it is.
const OFTEN: Duration = Duration::from_millis(500);

/// How much of a program's own words is kept.
const WORDS: usize = 4000;

/// Counts what goes through, and tells of it now and then.
pub(crate) struct Meter<'a> {
    watch: &'a mut dyn Watch,
    done: u64,
    of: Option<u64>,
    begun: Instant,
    told: Instant,
}

impl<'a> Meter<'a> {
    pub fn new(watch: &'a mut dyn Watch, of: Option<u64>) -> Meter<'a> {
        let now = Instant::now();
        Meter { watch, done: 0, of, begun: now, told: now }
    }

    pub fn passed(&mut self, bytes: usize) {
        self.done += bytes as u64;
        if self.told.elapsed() >= OFTEN {
            self.told = Instant::now();
            let (done, of, seconds) = (self.done, self.of, self.begun.elapsed().as_secs_f64());
            self.watch.tell(Progress::Bytes { done, of, seconds });
        }
    }
}

/// The hash of what has gone through, and how much it was.
#[derive(Default)]
pub(crate) struct Hashing {
    hash: Sha256,
    bytes: u64,
}

impl Hashing {
    pub fn update(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// What a file is that has just this in it.
    pub fn file(self, name: &str) -> File {
        // Sixty-four digits are a hash.
        let sha256 = hex::encode(self.hash.finalize()).parse();
        let sha256 = sha256.unwrap_or_else(|_| Digest::of_bytes(b""));
        File { name: name.to_owned(), bytes: self.bytes, sha256 }
    }
}

/// A program that runs, and what it says.
pub(crate) struct Running {
    name: String,
    child: Child,
    words: tokio::task::JoinHandle<String>,
}

impl Running {
    /// Starts a program, which ends when this is dropped. `from` is what it reads.
    pub fn start(name: &str, mut command: Command, from: Stdio) -> Result<Running, SnapshotError> {
        command.stdin(from).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        // Their words are looked at by people; their numbers are not to depend on the place.
        command.env("LC_MESSAGES", "C");
        let mut child = command
            .spawn()
            .map_err(|source| SnapshotError::Run { program: name.to_owned(), source })?;
        let mut errors = child.stderr.take();
        let words = tokio::spawn(async move {
            let mut kept = Vec::new();
            let mut piece = [0; 1024];
            while let Some(errors) = &mut errors {
                match errors.read(&mut piece).await {
                    Ok(length) if length > 0 => kept.extend_from_slice(&piece[..length]),
                    _ => break,
                }
                // The last words say why it ended.
                let above = kept.len().saturating_sub(WORDS);
                kept.drain(..above);
            }
            String::from_utf8_lossy(&kept).trim().to_owned()
        });
        Ok(Running { name: name.to_owned(), child, words })
    }

    /// What it writes, for the next program.
    pub fn output(&mut self) -> Result<Stdio, SnapshotError> {
        let output = self.child.stdout.take().ok_or(std::io::ErrorKind::BrokenPipe.into());
        let output = output.and_then(TryInto::try_into);
        output.map_err(|source| SnapshotError::Run { program: self.name.clone(), source })
    }

    /// What it writes.
    pub fn reader(&mut self) -> Result<impl AsyncRead + Unpin + Send + use<>, SnapshotError> {
        self.child.stdout.take().ok_or_else(|| SnapshotError::Run {
            program: self.name.clone(),
            source: std::io::ErrorKind::BrokenPipe.into(),
        })
    }

    /// Gives it all that is in a file. That it wants no more of it is no error: it will say why.
    pub async fn feed(
        &mut self,
        from: &mut (dyn AsyncRead + Unpin + Send),
        meter: &mut Meter<'_>,
    ) -> std::io::Result<()> {
        let Some(mut to) = self.child.stdin.take() else { return Ok(()) };
        let mut piece = vec![0; 1 << 18];
        loop {
            let length = from.read(&mut piece).await?;
            if length == 0 || to.write_all(&piece[..length]).await.is_err() {
                break;
            }
            meter.passed(length);
        }
        drop(to);
        Ok(())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// Where it says that it has failed, in its own words.
    pub async fn end(mut self) -> Result<(), SnapshotError> {
        // Nobody reads what nobody asked for.
        if let Some(mut output) = self.child.stdout.take() {
            let _ = tokio::io::copy(&mut output, &mut tokio::io::sink()).await;
        }
        let status = self.child.wait().await;
        let status =
            status.map_err(|source| SnapshotError::Run { program: self.name.clone(), source })?;
        let words = self.words.await.unwrap_or_default();
        if status.success() {
            if !words.is_empty() {
                tracing::warn!("{}: {words}", self.name);
            }
            return Ok(());
        }
        Err(SnapshotError::Program { program: self.name, status: status.to_string(), words })
    }
}
