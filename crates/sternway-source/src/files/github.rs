//! Folders of repositories on GitHub and GitHub Enterprise.
//!
//! The folder is listed once. The contents API names 1,000 files at most, so a listing of that
//! length is taken from the tree instead. Bodies are read by their hash, or by their download
//! address when nobody is logged in: such requests do not count towards the limit of 60 an hour.

use std::collections::BTreeMap;

use async_trait::async_trait;
use reqwest::Url;
use serde::Deserialize;
use serde_json::Value;

use super::{Environment, Files, FilesError};
use crate::address::Address;
use crate::web::{Answer, Identity, Web, base};

/// How many entries of a directory the contents API names at most.
const CONTENTS: usize = 1000;

/// A folder at one state of a repository.
pub(super) struct GitHub {
    place: String,
    repository: Repository,
    entries: BTreeMap<String, Entry>,
}

/// Where requests go.
struct Repository {
    web: Web,
    owner: String,
    name: String,
}

/// A file in a listing.
struct Entry {
    sha: String,
    size: u64,
    link: bool,
    download: Option<Url>,
}

/// An entry of a directory, as the contents API shows it.
#[derive(Deserialize)]
struct Content {
    r#type: String,
    name: String,
    sha: String,
    #[serde(default)]
    size: u64,
    download_url: Option<String>,
}

/// A tree, and an entry of it.
#[derive(Deserialize)]
struct Tree {
    tree: Vec<TreeEntry>,
    #[serde(default)]
    truncated: bool,
}

#[derive(Deserialize)]
struct TreeEntry {
    path: String,
    mode: String,
    r#type: String,
    sha: String,
    #[serde(default)]
    size: u64,
}

/// The hash of an object, and a commit with that of its tree.
#[derive(Deserialize)]
struct Object {
    sha: String,
}

#[derive(Deserialize)]
struct Commit {
    commit: CommitBody,
}

#[derive(Deserialize)]
struct CommitBody {
    tree: Object,
}

/// Opens `github://[user:token@]owner/repo[/path][#ref]`. The user name is not used.
pub(super) async fn open(
    address: &Address,
    environment: &Environment,
) -> Result<GitHub, FilesError> {
    const VARIABLE: &str = "STERNWAY_GITHUB_API";
    let identity = match (&address.user, address.credentials()) {
        (None, _) => Identity::Anonymous,
        (Some(_), Some((_, token))) => Identity::Bearer(token),
        (Some(_), None) => return Err(FilesError::NoUserAndToken),
    };
    if address.host.is_empty() {
        return Err(FilesError::NoHost);
    }
    let (name, path) = address.path.split_first().ok_or(FilesError::NoRepository)?;
    let base = base(VARIABLE, environment.get(VARIABLE), "https://api.github.com")?;
    let web = Web::new(base, identity, true)?;
    let repository = Repository { web, owner: address.host.clone(), name: name.clone() };
    repository.open(address.shown("github"), path, &address.fragment).await
}

/// Opens `github-ee://user:token@host/owner/repo[/path][?verify-tls=false][#ref]`.
pub(super) async fn open_enterprise(address: &Address) -> Result<GitHub, FilesError> {
    let (user, token) = address.credentials().ok_or(FilesError::NoUserAndToken)?;
    if address.host.is_empty() {
        return Err(FilesError::NoHost);
    }
    let [owner, name, path @ ..] = &*address.path else { return Err(FilesError::NoRepository) };
    let base = base("", None, &format!("https://{}/api/v3/", address.host))?;
    let web = Web::new(base, Identity::Basic(user, token), verifies(&address.query))?;
    let repository = Repository { web, owner: owner.clone(), name: name.clone() };
    repository.open(address.shown("github-ee"), path, &address.fragment).await
}

/// The first `verify-tls` of a query. It is true unless it says false, in one of Go's words for it.
fn verifies(query: &str) -> bool {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("verify-tls="));
    !matches!(value, Some("0" | "f" | "F" | "false" | "False" | "FALSE"))
}

impl Repository {
    async fn open(
        self,
        place: String,
        path: &[String],
        reference: &str,
    ) -> Result<GitHub, FilesError> {
        let mut url = self.url(["contents"].into_iter().chain(path.iter().map(String::as_str)));
        if !reference.is_empty() {
            url.query_pairs_mut().append_pair("ref", reference);
        }
        let answer = self.web.get(url).await?;
        let listed: Value = answer.json()?;
        let entries = match listed {
            Value::Object(_) => return Err(FilesError::NoDirectory { place }),
            Value::Array(entries) if entries.len() >= CONTENTS => {
                self.tree(&place, path, reference).await?
            }
            _ => contents(&answer)?,
        };
        Ok(GitHub { place, repository: self, entries })
    }

    fn url<'p>(&'p self, parts: impl IntoIterator<Item = &'p str>) -> Url {
        self.web.url(["repos", &*self.owner, &*self.name].into_iter().chain(parts))
    }

    /// The files at `path`, found by walking down from the root of the commit.
    async fn tree(
        &self,
        place: &str,
        path: &[String],
        reference: &str,
    ) -> Result<BTreeMap<String, Entry>, FilesError> {
        let reference = if reference.is_empty() { "HEAD" } else { reference };
        let url = self.url(["commits"].into_iter().chain(reference.split('/')));
        let commit: Commit = self.web.get(url).await?.json()?;
        let mut tree = self.entries(&commit.commit.tree.sha).await?;
        for part in path {
            let below = tree.into_iter().find(|it| it.path == *part && it.r#type == "tree");
            let Some(below) = below else {
                return Err(FilesError::NoDirectory { place: place.to_owned() });
            };
            tree = self.entries(&below.sha).await?;
        }
        let files = tree.into_iter().filter(|it| it.r#type == "blob");
        Ok(files
            .map(|it| {
                let link = it.mode == "120000";
                (it.path, Entry { sha: it.sha, size: it.size, link, download: None })
            })
            .collect())
    }

    async fn entries(&self, sha: &str) -> Result<Vec<TreeEntry>, FilesError> {
        let answer = self.web.get(self.url(["git", "trees", sha])).await?;
        let tree: Tree = answer.json()?;
        if tree.truncated { Err(answer.unexpected("a truncated tree")) } else { Ok(tree.tree) }
    }
}

/// The files in an answer of the contents API.
fn contents(answer: &Answer) -> Result<BTreeMap<String, Entry>, FilesError> {
    let mut entries = BTreeMap::new();
    for content in answer.json::<Vec<Content>>()? {
        let download = content.download_url.as_deref().and_then(|it| Url::parse(it).ok());
        let link = match content.r#type.as_str() {
            // A submodule is called a file, too; it has nothing to download.
            "file" if content.download_url.is_none() => continue,
            "file" => false,
            "symlink" => true,
            _ => continue,
        };
        let Content { name, sha, size, .. } = content;
        entries.insert(name, Entry { sha, size, link, download });
    }
    Ok(entries)
}

#[async_trait]
impl Files for GitHub {
    fn place(&self) -> String {
        self.place.clone()
    }

    async fn list(&self) -> Result<Vec<String>, FilesError> {
        Ok(self.entries.keys().cloned().collect())
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>, FilesError> {
        let (place, name) = (self.place(), name.to_owned());
        let entry = match self.entries.get(&name) {
            None => return Err(FilesError::NoSuchFile { place, name }),
            // Its blob is the path that it leads to.
            Some(entry) if entry.link => return Err(FilesError::NotAFile { place, name }),
            Some(entry) => entry,
        };
        let body = match &entry.download {
            Some(url) if self.repository.web.is_anonymous() => {
                self.repository.web.get(url.clone()).await?.body
            }
            _ => {
                let url = self.repository.url(["git", "blobs", &*entry.sha]);
                self.repository.web.get(url).await?.base64()?
            }
        };
        let got = body.len() as u64;
        if got < entry.size {
            return Err(FilesError::CutShort { place, name, expected: entry.size, got });
        }
        Ok(body)
    }
}
