//! A repository behind HTTP: each request stands alone.

use reqwest::Url;

use super::credentials::Credentials;
use super::protocol::{Abilities, abilities};
use super::{LISTING, Trouble};
use crate::files::{Environment, FilesError};
use crate::web::{Answer, Identity, Web, base};
use crate::{Host, Remote, Transport};

pub(super) struct Http {
    web: Web,
    /// Where the repository is.
    place: Url,
    /// Who asks where nobody is let in with the credentials that were found.
    anonymous: Option<Web>,
}

impl Http {
    /// A way to the repository; nothing is asked yet. `known` is where it answered the last time.
    pub fn new(
        remote: &Remote,
        known: Option<&str>,
        environment: &Environment,
    ) -> Result<Http, Trouble> {
        let scheme = if remote.transport == Transport::Http { "http" } else { "https" };
        let usual = format!("{scheme}://{}", remote.authority);
        let variable = match remote.host {
            Host::GitHub if remote.name() == "github.com" => "STERNWAY_GITHUB_URL",
            Host::GitLab if remote.name() == "gitlab.com" => "STERNWAY_GITLAB_URL",
            Host::Bitbucket => "STERNWAY_BITBUCKET_URL",
            _ => "",
        };
        let root = base(variable, environment.get(variable), &usual)?;
        let credentials = Credentials::find(remote, environment);
        let (identity, named) = match credentials {
            Some(it) => (Identity::Basic(it.user, it.password), it.named),
            None => (Identity::Anonymous, true),
        };
        let anonymous =
            if named { None } else { Some(Web::new(root.clone(), Identity::Anonymous, true)?) };
        let web = Web::new(root, identity, true)?;
        let path = if remote.host == Host::Other || remote.path.ends_with(".git") {
            remote.path.clone()
        } else {
            format!("{}.git", remote.path)
        };
        let place = match known.and_then(|it| Url::parse(it).ok()) {
            Some(place) => place,
            None => web.url(path.split('/')),
        };
        Ok(Http { web, place, anonymous })
    }

    /// Where the repository answers.
    pub fn place(&self) -> &str {
        self.place.as_str()
    }

    /// Asks what the server can do, and follows it to where it has moved.
    pub async fn greet(&mut self) -> Result<Abilities, Trouble> {
        let mut url = below(&self.place, "info/refs");
        url.set_query(Some("service=git-upload-pack"));
        let answer = self.ask(url, None, LISTING).await?;
        let mut place = answer.place;
        place.set_query(None);
        if let Some(path) = place.path().strip_suffix("/info/refs").map(str::to_owned) {
            place.set_path(&path);
            self.place = place;
        }
        abilities(&answer.body).map_err(|what| Trouble::answered(answer.url, what))
    }

    /// The answer to a request, up to so many bytes.
    pub async fn command(&mut self, request: Vec<u8>, longest: usize) -> Result<Vec<u8>, Trouble> {
        let url = below(&self.place, "git-upload-pack");
        Ok(self.ask(url, Some(request), longest).await?.body)
    }

    async fn ask(
        &mut self,
        url: Url,
        body: Option<Vec<u8>>,
        longest: usize,
    ) -> Result<Answer, Trouble> {
        let refused = match self.web.git(url.clone(), body.clone(), longest).await {
            Err(FilesError::Status { code: 401, .. }) if self.anonymous.is_some() => true,
            answer => return Ok(answer?),
        };
        // A token that is no longer good is no reason to be refused what is public.
        if let (true, Some(anonymous)) = (refused, self.anonymous.take()) {
            self.web = anonymous;
        }
        Ok(self.web.git(url, body, longest).await?)
    }
}

/// An address below the repository.
fn below(place: &Url, path: &str) -> Url {
    let mut url = place.clone();
    if let Ok(mut parts) = url.path_segments_mut() {
        parts.pop_if_empty().extend(path.split('/'));
    }
    url
}
