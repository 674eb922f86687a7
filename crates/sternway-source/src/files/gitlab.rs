//! Folders of repositories on GitLab.

use std::collections::BTreeMap;

use async_trait::async_trait;
use reqwest::Url;
use serde::Deserialize;

use super::{Environment, Files, FilesError};
use crate::address::Address;
use crate::web::{Answer, Identity, Web, base};

/// How many entries are asked for at once: as many as GitLab gives.
const PAGE: usize = 100;

/// A folder of a repository.
pub(super) struct GitLab {
    place: String,
    web: Web,
    project: String,
    path: String,
    reference: String,
    /// For each file, whether it is a symbolic link.
    entries: BTreeMap<String, bool>,
}

/// An entry of a directory.
#[derive(Deserialize)]
struct Entry {
    name: String,
    r#type: String,
    #[serde(default)]
    mode: String,
}

/// Opens `gitlab://user:token@[host]/project[/path][#ref]`. The user name is not used. The project
/// is a number, or a name with its slashes escaped.
pub(super) async fn open(
    address: &Address,
    environment: &Environment,
) -> Result<GitLab, FilesError> {
    const VARIABLE: &str = "STERNWAY_GITLAB_API";
    if address.user.is_none() {
        return Err(FilesError::NoUserAndToken);
    }
    let (_, token) = address.credentials().ok_or(FilesError::NoAccessToken)?;
    let (project, path) = address.path.split_first().ok_or(FilesError::NoProject)?;
    let host = if address.host.is_empty() { "gitlab.com" } else { &address.host };
    let usual = format!("https://{host}/api/v4");
    let base = base(VARIABLE, environment.get(VARIABLE), &usual)?;
    let mut folder = GitLab {
        place: address.shown("gitlab"),
        web: Web::new(base, Identity::PrivateToken(token), true)?,
        project: project.clone(),
        path: path.join("/"),
        reference: address.fragment.clone(),
        entries: BTreeMap::new(),
    };
    folder.load().await?;
    Ok(folder)
}

impl GitLab {
    /// The address of a page of the listing.
    fn listing(&self, page: usize) -> Url {
        let mut url = self.web.url(["projects", &*self.project, "repository", "tree"]);
        let mut query = url.query_pairs_mut();
        query.append_pair("per_page", &PAGE.to_string());
        query.append_pair("page", &page.to_string());
        if !self.path.is_empty() {
            query.append_pair("path", &self.path);
        }
        if !self.reference.is_empty() {
            query.append_pair("ref", &self.reference);
        }
        drop(query);
        url
    }

    async fn load(&mut self) -> Result<(), FilesError> {
        let mut page = 1;
        loop {
            let answer = self.web.get(self.listing(page)).await?;
            let entries: Vec<Entry> = answer.json()?;
            let count = entries.len();
            for entry in entries.into_iter().filter(|entry| entry.r#type == "blob") {
                self.entries.insert(entry.name, entry.mode == "120000");
            }
            if !has_more(&answer, page, count) {
                return Ok(());
            }
            page += 1;
        }
    }
}

/// Whether a page follows. GitLab says which; it leaves out the total when that is large. A service
/// in between may drop both headers: then a full page means that there may be more.
fn has_more(answer: &Answer, page: usize, count: usize) -> bool {
    let header = |name| answer.headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(next) = header("x-next-page") {
        return next.parse().is_ok_and(|next: usize| next > page);
    }
    match header("x-total-pages").and_then(|total| total.parse::<usize>().ok()) {
        Some(total) => page < total,
        None => count >= PAGE,
    }
}

#[async_trait]
impl Files for GitLab {
    fn place(&self) -> String {
        self.place.clone()
    }

    async fn list(&self) -> Result<Vec<String>, FilesError> {
        Ok(self.entries.keys().cloned().collect())
    }

    async fn read(&self, name: &str) -> Result<Vec<u8>, FilesError> {
        let (place, name) = (self.place(), name.to_owned());
        match self.entries.get(&name) {
            None => return Err(FilesError::NoSuchFile { place, name }),
            Some(true) => return Err(FilesError::NotAFile { place, name }),
            Some(false) => {}
        }
        // In the root there is no slash: golang-migrate puts one, and finds nothing.
        let path = if self.path.is_empty() { name } else { format!("{}/{name}", self.path) };
        let mut url = self.web.url(["projects", &*self.project, "repository", "files", &*path]);
        // Needed here, other than for the listing.
        let reference = if self.reference.is_empty() { "HEAD" } else { &self.reference };
        url.query_pairs_mut().append_pair("ref", reference);
        self.web.get(url).await?.base64()
    }
}
