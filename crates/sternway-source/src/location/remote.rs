//! A git repository on another host.

use std::fmt;

use super::InvalidLocation;
use crate::address::Address;

/// Who hosts a repository, for where its tokens are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// GitHub, or GitHub Enterprise.
    GitHub,
    /// GitLab, at any address.
    GitLab,
    /// Bitbucket Cloud.
    Bitbucket,
    /// Anybody.
    Other,
}

/// How a repository is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// HTTP over TLS.
    Https,
    /// HTTP in the clear.
    Http,
    /// The program `ssh`.
    Ssh,
}

/// A git repository on another host. It may hold a password, so `Debug` and `Display` leave the user part out.
#[derive(Clone, PartialEq, Eq)]
pub struct Remote {
    /// Who hosts it.
    pub host: Host,
    /// How it is reached.
    pub transport: Transport,
    /// The name of the host, with its port if it has one.
    pub authority: String,
    /// Its path on the host, without a leading slash.
    pub path: String,
    /// The user that the location names.
    pub user: Option<String>,
    /// The password or token that the location has.
    pub password: Option<String>,
    /// The location without user and password.
    shown: String,
}

/// The schemes of remote repositories, and what a location with each looks like.
const FORMS: [(&str, &str); 7] = [
    ("github", "github://OWNER/REPOSITORY"),
    ("github-ee", "github-ee://HOST/OWNER/REPOSITORY"),
    ("gitlab", "gitlab://HOST/GROUP/PROJECT"),
    ("bitbucket", "bitbucket://WORKSPACE/REPOSITORY"),
    ("git+https", "git+https://HOST/PATH"),
    ("git+http", "git+http://HOST/PATH"),
    ("git+ssh", "git+ssh://USER@HOST/PATH"),
];

/// The schemes.
pub(super) fn schemes() -> impl Iterator<Item = &'static str> {
    FORMS.into_iter().map(|(scheme, _)| scheme)
}

impl Remote {
    /// Reads what follows one of [`schemes`].
    pub(super) fn parse(scheme: &str, rest: &str) -> Result<Remote, InvalidLocation> {
        let form = FORMS.into_iter().find(|(it, _)| *it == scheme).map_or("", |(_, form)| form);
        let malformed = || InvalidLocation::Form { form };
        let address = Address::parse(rest).ok_or_else(malformed)?;
        if !address.fragment.is_empty() || !address.query.is_empty() {
            return Err(InvalidLocation::OneRelease { scheme: scheme.to_owned() });
        }
        let mut parts: Vec<String> = address.path.clone();
        let (host, transport, authority) = match scheme {
            "github" | "bitbucket" => {
                parts.insert(0, address.host.clone());
                let (host, name) = match scheme {
                    "github" => (Host::GitHub, "github.com"),
                    _ => (Host::Bitbucket, "bitbucket.org"),
                };
                (host, Transport::Https, name.to_owned())
            }
            "github-ee" => (Host::GitHub, Transport::Https, address.host.clone()),
            "gitlab" => (Host::GitLab, Transport::Https, address.host.clone()),
            "git+http" => (Host::Other, Transport::Http, address.host.clone()),
            "git+ssh" => (Host::Other, Transport::Ssh, address.host.clone()),
            _ => (Host::of(&address.host), Transport::Https, address.host.clone()),
        };
        let exactly_two = matches!(host, Host::GitHub | Host::Bitbucket) && scheme != "git+https";
        let fits = if exactly_two { parts.len() == 2 } else { !parts.is_empty() };
        // What begins with a dash would be an option to `ssh`.
        let odd = |it: &String| {
            it.is_empty() || it.starts_with('-') || it == ".." || it.contains(['\0', '\n'])
        };
        if !fits || odd(&authority) || parts.iter().any(odd) || address.user.iter().any(odd) {
            return Err(malformed());
        }
        let shown = address.shown(scheme);
        let Address { user, password, .. } = address;
        Ok(Remote { host, transport, authority, path: parts.join("/"), user, password, shown })
    }

    /// The name of the host, without a port.
    pub(crate) fn name(&self) -> &str {
        let (name, port) = self.authority.rsplit_once(':').unwrap_or((&self.authority, ""));
        if port.bytes().all(|it| it.is_ascii_digit()) { name } else { &self.authority }
    }
}

impl Host {
    /// Who is known to be at a host's name.
    fn of(name: &str) -> Host {
        match name {
            "github.com" => Host::GitHub,
            "gitlab.com" => Host::GitLab,
            "bitbucket.org" => Host::Bitbucket,
            _ => Host::Other,
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Remote").field(&self.shown).finish()
    }
}
