//! The parts of a source URL.
//!
//! Taken apart by hand: `gitlab://user:token@/1` has no host, which URL parsers refuse, and their
//! errors may repeat what they refuse.

use crate::url::unescaped;

/// A URL with an authority. Every part is unescaped.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// What stands before `@`, up to the first colon.
    pub user: Option<String>,
    /// What stands before `@`, after the first colon.
    pub password: Option<String>,
    /// The host, with its port if it has one; an owner or a bucket, for some schemes.
    pub host: String,
    /// The parts of the path that are not empty.
    pub path: Vec<String>,
    /// What follows `?`, as it is written.
    pub query: String,
    /// What follows `#`.
    pub fragment: String,
}

impl Address {
    /// Reads what follows `scheme:`. `None` if it has no `//`, or if a user name and a password seem
    /// to be in it but are cut by a character that should be escaped.
    pub fn parse(rest: &str) -> Option<Self> {
        let rest = rest.strip_prefix("//")?;
        let (before, fragment) = rest.split_once('#').unwrap_or((rest, ""));
        let (before, query) = before.split_once('?').unwrap_or((before, ""));
        let (authority, path) = before.split_once('/').unwrap_or((before, ""));
        let (userinfo, host) = match authority.rsplit_once('@') {
            Some((userinfo, host)) => (Some(userinfo), host),
            None if authority.contains(':') && rest.contains('@') => return None,
            None => (None, authority),
        };
        let (user, password) = match userinfo.map(|it| it.split_once(':').ok_or(it)) {
            None => (None, None),
            Some(Ok((user, password))) => (Some(unescaped(user)), Some(unescaped(password))),
            Some(Err(user)) => (Some(unescaped(user)), None),
        };
        let path = path.split('/').filter(|part| !part.is_empty()).map(unescaped).collect();
        let (query, fragment) = (query.to_owned(), unescaped(fragment));
        Some(Self { user, password, host: unescaped(host), path, query, fragment })
    }

    /// The user name and the password, if both are there and the password is not empty.
    #[cfg(feature = "hosts")]
    pub fn credentials(&self) -> Option<(String, String)> {
        let (user, password) = (self.user.clone()?, self.password.clone()?);
        (!password.is_empty()).then_some((user, password))
    }

    /// The address in messages: without credentials and query.
    pub fn shown(&self, scheme: &str) -> String {
        let mut shown = format!("{scheme}://{}", self.host);
        for part in &self.path {
            shown.push('/');
            shown.push_str(part);
        }
        if !self.fragment.is_empty() {
            shown.push('#');
            shown.push_str(&self.fragment);
        }
        shown
    }
}

#[cfg(all(test, feature = "hosts"))]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let read = |rest: &str| Address::parse(rest).expect(rest);
        let address = read("//u:t%2Fk%40n@Owner/repo//a%20b/c/?verify-tls=false#v1%2F2");
        assert_eq!(address.credentials(), Some(("u".into(), "t/k@n".into())));
        assert_eq!(address.host, "Owner");
        assert_eq!(address.path, ["repo", "a b", "c"]);
        assert_eq!((&*address.query, &*address.fragment), ("verify-tls=false", "v1/2"));
        assert_eq!(address.shown("github"), "github://Owner/repo/a b/c#v1/2");
        let address = read("//u:t@/12");
        assert_eq!((&*address.host, address.path.len()), ("", 1));
        assert_eq!(read("//u@h/x").credentials(), None);
        assert_eq!(read("//u:@h/x").credentials(), None);
        assert_eq!(read("//100%/x").host, "100%");
    }

    #[test]
    fn a_password_cut_by_a_character_is_refused() {
        for rest in ["//u:pa/ss@h/x", "//u:pa#ss@h/x", "//u:pa?ss@h/x", "h/x", "/h/x", ""] {
            assert!(Address::parse(rest).is_none(), "{rest}");
        }
    }
}
