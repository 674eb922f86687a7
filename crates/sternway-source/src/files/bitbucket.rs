//! Folders of repositories on Bitbucket.

use std::collections::BTreeMap;

use async_trait::async_trait;
use reqwest::Url;
use serde::Deserialize;

use super::{Environment, Files, FilesError};
use crate::address::Address;
use crate::web::{Identity, Web, base};

/// A folder of a repository.
pub(super) struct Bitbucket {
    place: String,
    web: Web,
    owner: String,
    repository: String,
    reference: String,
    path: Vec<String>,
    entries: BTreeMap<String, Entry>,
}

/// A page of a listing, and an entry of it.
#[derive(Deserialize)]
struct Page {
    values: Vec<Entry>,
    next: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    r#type: String,
    path: String,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    attributes: Vec<String>,
    commit: Option<Commit>,
}

#[derive(Deserialize)]
struct Commit {
    hash: String,
}

/// What is asked of a repository: the name of its main branch.
#[derive(Deserialize)]
struct About {
    mainbranch: Option<Branch>,
}

#[derive(Deserialize)]
struct Branch {
    name: String,
}

/// A branch or a tag.
#[derive(Deserialize)]
struct Reference {
    target: Commit,
}

/// Opens `bitbucket://user:password@owner/repo[/path][#ref]`. Without a reference it is the main
/// branch.
pub(super) async fn open(
    address: &Address,
    environment: &Environment,
) -> Result<Bitbucket, FilesError> {
    const VARIABLE: &str = "STERNWAY_BITBUCKET_API";
    if address.user.is_none() {
        return Err(FilesError::NoUserAndPassword);
    }
    let (user, password) = address.credentials().ok_or(FilesError::NoPassword)?;
    if address.host.is_empty() {
        return Err(FilesError::NoHost);
    }
    let (repository, path) = address.path.split_first().ok_or(FilesError::NoRepository)?;
    let base = base(VARIABLE, environment.get(VARIABLE), "https://api.bitbucket.org/2.0")?;
    let mut folder = Bitbucket {
        place: address.shown("bitbucket"),
        web: Web::new(base, Identity::Basic(user, password), true)?,
        owner: address.host.clone(),
        repository: repository.clone(),
        reference: address.fragment.clone(),
        path: path.to_vec(),
        entries: BTreeMap::new(),
    };
    if folder.reference.is_empty() {
        folder.reference = folder.main_branch().await?;
    }
    if folder.reference.contains('/') {
        folder.reference = folder.commit().await?;
    }
    folder.load().await?;
    Ok(folder)
}

impl Bitbucket {
    async fn main_branch(&self) -> Result<String, FilesError> {
        let answer = self.web.get(self.url([])).await?;
        let branch = answer.json::<About>()?.mainbranch;
        branch.map(|it| it.name).ok_or_else(|| answer.unexpected("without a main branch"))
    }

    /// The commit of a branch or a tag. A name with a slash needs it: in the address of a listing the
    /// rest of such a name is taken for the path, escaped or not.
    async fn commit(&self) -> Result<String, FilesError> {
        let url = |kind| self.url(["refs", kind].into_iter().chain(self.reference.split('/')));
        let answer = match self.web.get(url("branches")).await {
            Err(FilesError::Status { .. }) => self.web.get(url("tags")).await?,
            answer => answer?,
        };
        Ok(answer.json::<Reference>()?.target.hash)
    }

    fn url<'p>(&'p self, parts: impl IntoIterator<Item = &'p str>) -> Url {
        let repository = ["repositories", &*self.owner, &*self.repository];
        self.web.url(repository.into_iter().chain(parts))
    }

    async fn load(&mut self) -> Result<(), FilesError> {
        let path = self.path.iter().map(String::as_str);
        // The empty part puts a slash at the end, which asks for a directory.
        let listing = ["src", &*self.reference].into_iter().chain(path).chain([""]);
        let listing = self.url(listing);
        let mut url = listing.clone();
        url.query_pairs_mut().append_pair("pagelen", "100");
        loop {
            let answer = self.web.get(url.clone()).await?;
            let page: Page = answer.json()?;
            for entry in page.values.into_iter().filter(|it| it.r#type == "commit_file") {
                let name = entry.path.rsplit('/').next().unwrap_or_default().to_owned();
                self.entries.insert(name, entry);
            }
            let Some(next) = page.next else { return Ok(()) };
            let next = Url::parse(&next).map_err(|_| answer.unexpected("no next page"))?;
            // Behind a proxy the address of the next page is not ours, but its query is.
            let mut following = listing.clone();
            following.set_query(next.query());
            if following == url {
                return Err(answer.unexpected("with itself as the next page"));
            }
            url = following;
        }
    }
}

#[async_trait]
impl Files for Bitbucket {
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
            Some(entry) if entry.attributes.iter().any(|it| it == "link") => {
                return Err(FilesError::NotAFile { place, name });
            }
            Some(entry) => entry,
        };
        // The commit of the listing, in case the branch has moved since.
        let commit = entry.commit.as_ref().map_or(&*self.reference, |commit| &*commit.hash);
        let url = self.url(["src", commit].into_iter().chain(entry.path.split('/')));
        let body = self.web.get(url).await?.body;
        let got = body.len() as u64;
        if got < entry.size {
            return Err(FilesError::CutShort { place, name, expected: entry.size, got });
        }
        Ok(body)
    }
}
