//! A git repository on another host, read over git's own protocol: its tags, and of what they lead to the
//! commits, the trees on the way to the folders of migrations, and the files there. Nothing else is sent where
//! the server can leave things out, nothing is checked out, and what is known by its hash is not asked for again.

mod credentials;
mod http;
mod pack;
mod protocol;
mod ssh;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error as StdError;
use std::path::Path;

use gix::ObjectId;
use jiff::Timestamp;

use super::Tag;
use super::objects::Objects;
use super::{Reader, read_tags, releases};
use crate::cache::{Cache, Seen};
use crate::error::in_a_line;
use crate::files::{Environment, FilesError};
use crate::{Layout, Reading, Remote, SourceError, Transport, Warning};
use http::Http;
use protocol::Abilities;
use ssh::Ssh;

pub(super) use pack::Found;

/// How long an answer with objects may be, in bytes.
const LONGEST: usize = 256 << 20;

/// How long a list of tags may be, or a greeting: room for half a million tags.
const LISTING: usize = 64 << 20;

/// How many objects are asked for at once.
const AT_ONCE: usize = 5_000;

/// Why a repository on another host was not read.
pub(super) enum Trouble {
    /// It did not answer, so that what is known from before is the best there is.
    Away(Box<dyn StdError + Send + Sync>),
    /// It answered, and not with what was asked for.
    Answered(Box<dyn StdError + Send + Sync>),
}

impl Trouble {
    fn away(place: &str, what: String) -> Trouble {
        Trouble::Away(format!("{place}: {what}").into())
    }

    fn answered(url: String, what: String) -> Trouble {
        Trouble::Answered(FilesError::Unexpected { url, what }.into())
    }
}

impl From<FilesError> for Trouble {
    fn from(error: FilesError) -> Trouble {
        match error {
            FilesError::Unanswered { .. } | FilesError::Limited { .. } => {
                Trouble::Away(error.into())
            }
            FilesError::Status { code: 500.., .. } => Trouble::Away(error.into()),
            _ => Trouble::Answered(error.into()),
        }
    }
}

/// A conversation with the server.
enum Server {
    Http(Box<Http>),
    Ssh(Box<Ssh>),
}

impl Server {
    async fn greet(&mut self) -> Result<Abilities, Trouble> {
        match self {
            Server::Http(http) => http.greet().await,
            Server::Ssh(ssh) => ssh.greet().await,
        }
    }

    async fn command(&mut self, request: Vec<u8>, longest: usize) -> Result<Vec<u8>, Trouble> {
        match self {
            Server::Http(http) => http.command(request, longest).await,
            Server::Ssh(ssh) => ssh.command(request, longest).await,
        }
    }

    async fn tags(&mut self) -> Result<Vec<u8>, Trouble> {
        self.command(protocol::tags_request(), LISTING).await
    }
}

/// Reads the repository.
pub(crate) fn read(
    remote: &Remote,
    layout: &Layout,
    cache: Option<&Path>,
) -> Result<Reading, SourceError> {
    // The caller may be inside of a runtime, where nothing may wait for another one.
    std::thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|cause| failed(remote, cause.into()))?;
            runtime.block_on(read_in(remote, layout, cache, &Environment::of_process()))
        });
        reading.join().unwrap_or_else(|_| Err(failed(remote, "its reader broke down".into())))
    })
}

fn failed(remote: &Remote, source: Box<dyn StdError + Send + Sync>) -> SourceError {
    SourceError::Remote { place: remote.to_string(), source }
}

async fn read_in(
    remote: &Remote,
    layout: &Layout,
    cache: Option<&Path>,
    environment: &Environment,
) -> Result<Reading, SourceError> {
    let place = remote.to_string();
    let paths = layout.read_tracks().flat_map(|track| &track.paths);
    let paths: Vec<&str> = paths.map(|it| it.path.as_str()).collect();
    let cache = Cache::open(cache, Path::new(&place), paths.iter().copied());
    let known = cache.seen.clone();
    let mut reader = Reader { objects: Objects::fetched(), cache, paths, files: BTreeMap::new() };
    let mut warnings = Vec::new();
    match fetch(remote, layout, &mut reader, environment).await {
        Ok(()) => {}
        Err(Ended::Trouble(Trouble::Away(cause))) => match known {
            Some(known) => {
                let since = Timestamp::from_second(known.at).unwrap_or_default();
                let since = since.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
                warnings.push(Warning::Away {
                    place: place.clone(),
                    since,
                    reason: in_a_line(&*cause),
                });
                reader.cache.seen = Some(known);
            }
            None => return Err(failed(remote, cause)),
        },
        Err(Ended::Trouble(Trouble::Answered(cause))) => return Err(failed(remote, cause)),
        Err(Ended::Source(error)) => return Err(error),
    }
    let tags = tags(reader.cache.seen.as_ref());
    read_tags(Path::new(&place), layout, tags, reader, warnings, None)
}

fn tags(seen: Option<&Seen>) -> Vec<Tag> {
    let tags = seen.iter().flat_map(|it| &it.tags);
    tags.map(|(name, id)| Tag { name: name.clone(), target: id.0 }).collect()
}

/// Why nothing was fetched.
enum Ended {
    Trouble(Trouble),
    Source(SourceError),
}

impl<T: Into<Trouble>> From<T> for Ended {
    fn from(trouble: T) -> Ended {
        Ended::Trouble(trouble.into())
    }
}

/// Asks for the tags, and for all objects without which the releases cannot be read.
async fn fetch(
    remote: &Remote,
    layout: &Layout,
    reader: &mut Reader<'_>,
    environment: &Environment,
) -> Result<(), Ended> {
    let place = remote.to_string();
    let odd = |what: String| Trouble::answered(place.clone(), what);
    let known = reader.cache.seen.as_ref();
    let abilities = known.map(|it| Abilities { filters: it.filters });
    let (mut server, abilities) = match remote.transport {
        Transport::Ssh => (Server::Ssh(Box::new(Ssh::new(remote, environment)?)), None),
        _ => {
            let base = known.map(|it| it.base.as_str());
            (Server::Http(Box::new(Http::new(remote, base, environment)?)), abilities)
        }
    };
    // Where it answered before, the first question is for the tags.
    let mut found = None;
    if abilities.is_some() {
        match server.tags().await {
            Ok(answer) => found = protocol::tags(&answer).ok(),
            Err(Trouble::Away(cause)) => return Err(Trouble::Away(cause).into()),
            // It may have moved.
            Err(Trouble::Answered(_)) => {
                server = Server::Http(Box::new(Http::new(remote, None, environment)?));
            }
        }
    }
    let (found, able) = match (found, abilities) {
        (Some(found), Some(able)) => (found, able),
        _ => {
            let able = server.greet().await?;
            let answer = server.tags().await?;
            (protocol::tags(&answer).map_err(odd)?, able)
        }
    };
    let base = match &server {
        Server::Http(http) => http.place().to_owned(),
        Server::Ssh(_) => String::new(),
    };
    let at = Timestamp::now().as_second();
    reader.cache.seen = Some(Seen { at, base, filters: able.filters, tags: found });
    let tags = tags(reader.cache.seen.as_ref());
    let releases = releases(Path::new(&place), layout, tags, false).map_err(Ended::Source)?;
    let mut of_commits = true;
    loop {
        let mut lacking = BTreeSet::new();
        for (release, tag) in &releases {
            lacking.extend(reader.lacks(layout, release, tag));
        }
        if lacking.is_empty() {
            return Ok(());
        }
        let lacking: Vec<ObjectId> = lacking.into_iter().collect();
        for ids in lacking.chunks(AT_ONCE) {
            let request = protocol::objects_request(ids, of_commits, able);
            let answer = server.command(request, LONGEST).await?;
            let pack = protocol::pack(&answer).map_err(odd)?;
            let found = pack::objects(&pack).map_err(|what| odd(format!("a pack, and {what}")))?;
            if let Some(id) = ids.iter().find(|id| !found.contains_key(*id)) {
                return Err(odd(format!("without the object {id}, which was asked for")).into());
            }
            reader.objects.add(found);
        }
        of_commits = false;
    }
}
