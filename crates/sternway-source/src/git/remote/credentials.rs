//! Who asks for a repository: what the location says, then the variables that the host's own tools read, then
//! `.netrc`, then the settings of the host's command line.
//!
//! What is found for a host goes to that host alone. Public repositories need none of it.

use std::fs;
use std::path::PathBuf;

use serde::Deserialize;

use crate::files::Environment;
use crate::{Host, Remote};

/// A user and a password, or a token as the host wants it said.
pub(super) struct Credentials {
    pub user: String,
    pub password: String,
    /// Whether the location itself names them: then nobody else is asked for.
    pub named: bool,
}

impl Credentials {
    /// What there is for this repository.
    pub fn find(remote: &Remote, environment: &Environment) -> Option<Credentials> {
        let found =
            |(user, password): (String, String)| Credentials { user, password, named: false };
        if let Some(password) = &remote.password {
            let user = remote.user.clone().unwrap_or_default();
            return Some(Credentials { user, password: password.clone(), named: true });
        }
        let found_for = |token: String| found((user_of(remote.host).to_owned(), token));
        of_variables(remote, environment)
            .map(found_for)
            .or_else(|| netrc(remote, environment).map(found))
            .or_else(|| of_command_line(remote, environment).map(found_for))
    }
}

/// The user that a host wants beside a token.
fn user_of(host: Host) -> &'static str {
    match host {
        Host::GitHub => "x-access-token",
        Host::GitLab => "oauth2",
        Host::Bitbucket => "x-token-auth",
        Host::Other => "token",
    }
}

/// The token that a variable has for this host.
fn of_variables(remote: &Remote, environment: &Environment) -> Option<String> {
    let get = |name: &str| environment.get(name);
    let name = remote.name();
    let variables: &[&str] = match remote.host {
        Host::GitHub if name == "github.com" => &["GH_TOKEN", "GITHUB_TOKEN"],
        // Without a name the variables mean the one server of that kind that somebody works with.
        Host::GitHub if get("GH_HOST").is_none_or(|it| it == name) => {
            &["GH_ENTERPRISE_TOKEN", "GITHUB_ENTERPRISE_TOKEN"]
        }
        Host::GitLab if get("GITLAB_HOST").map_or(name == "gitlab.com", |it| bare(it) == name) => {
            &["GITLAB_TOKEN"]
        }
        Host::Bitbucket => &["BITBUCKET_TOKEN"],
        _ => &[],
    };
    variables.iter().find_map(|it| get(it)).map(str::to_owned)
}

/// The host in what may be a URL.
fn bare(host: &str) -> &str {
    let host = host.split_once("://").map_or(host, |(_, rest)| rest);
    host.split('/').next().unwrap_or(host)
}

/// What `.netrc` has for this host.
fn netrc(remote: &Remote, environment: &Environment) -> Option<(String, String)> {
    let path = match environment.get("NETRC") {
        Some(path) => PathBuf::from(path),
        None => PathBuf::from(environment.get("HOME")?).join(".netrc"),
    };
    in_netrc(&fs::read_to_string(path).ok()?, remote.name())
}

/// The login and password of a host in the text of a `.netrc`.
fn in_netrc(text: &str, host: &str) -> Option<(String, String)> {
    let mut words = text.split_ascii_whitespace();
    let (mut here, mut login, mut password) = (false, None, None);
    while let Some(word) = words.next() {
        match word {
            "machine" | "default" if here && password.is_some() => break,
            "machine" => here = words.next() == Some(host),
            "default" => here = true,
            "login" if here => login = words.next(),
            "password" if here => password = words.next(),
            "login" | "password" | "account" => drop(words.next()),
            _ => {}
        }
    }
    Some((login.unwrap_or_default().to_owned(), password?.to_owned()))
}

/// The token in the settings of `gh` or `glab`. Where those keep it in the system's key ring, there is none here.
fn of_command_line(remote: &Remote, environment: &Environment) -> Option<String> {
    let settings = |variable: &str, folder: &str| {
        let own = environment.get(variable).map(PathBuf::from);
        own.or_else(|| {
            let home = || Some(PathBuf::from(environment.get("HOME")?).join(".config"));
            let base = environment.get("XDG_CONFIG_HOME").map(PathBuf::from).or_else(home)?;
            Some(base.join(folder))
        })
    };
    match remote.host {
        Host::GitHub => {
            let text =
                fs::read_to_string(settings("GH_CONFIG_DIR", "gh")?.join("hosts.yml")).ok()?;
            let hosts: std::collections::BTreeMap<String, Settings> =
                serde_saphyr::from_str(&text).ok()?;
            hosts.get(remote.name())?.oauth_token.clone()
        }
        Host::GitLab => {
            let text =
                fs::read_to_string(settings("GLAB_CONFIG_DIR", "glab-cli")?.join("config.yml"))
                    .ok()?;
            let all: AllSettings = serde_saphyr::from_str(&text).ok()?;
            all.hosts.get(remote.name())?.token.clone()
        }
        Host::Bitbucket | Host::Other => None,
    }
}

#[derive(Deserialize)]
struct AllSettings {
    hosts: std::collections::BTreeMap<String, Settings>,
}

#[derive(Deserialize)]
struct Settings {
    oauth_token: Option<String>,
    token: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_netrc_has_hosts_and_a_default() {
        let text = "machine a.example login me password one\nmachine b.example\n  password two\ndefault login x password three";
        let found =
            |host: &str| in_netrc(text, host).map(|(user, password)| format!("{user}:{password}"));
        assert_eq!(found("a.example").as_deref(), Some("me:one"));
        assert_eq!(found("b.example").as_deref(), Some(":two"));
        assert_eq!(found("c.example").as_deref(), Some("x:three"));
        assert_eq!(in_netrc("machine a.example login me", "a.example"), None);
        assert_eq!(in_netrc("", "a.example"), None);
    }

    #[test]
    fn tokens_go_to_their_host_alone() {
        let remote = |text: &str| match text.parse().expect(text) {
            crate::Location::Remote(remote) => remote,
            other => panic!("{other:?}"),
        };
        let environment: Environment =
            [("GITHUB_TOKEN", "hub"), ("GITLAB_TOKEN", "lab"), ("GH_HOST", "ghe.example")]
                .into_iter()
                .collect();
        let found =
            |text: &str| Credentials::find(&remote(text), &environment).map(|it| it.password);
        assert_eq!(found("github://a/b").as_deref(), Some("hub"));
        assert_eq!(found("git+https://github.com/a/b").as_deref(), Some("hub"));
        assert_eq!(found("github-ee://ghe.example/a/b"), None);
        assert_eq!(found("gitlab://gitlab.com/a/b").as_deref(), Some("lab"));
        assert_eq!(found("gitlab://git.example/a/b"), None);
        assert_eq!(found("git+https://git.example/a/b"), None);
        assert_eq!(found("git+https://me:own@github.com/a/b").as_deref(), Some("own"));
    }
}
