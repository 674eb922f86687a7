//! What a URL says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::SqliteConnectOptions;
use url::form_urlencoded;

use super::{canonical, plain};
use crate::port::Connect;

/// How long to wait for a lock of SQLite's where the URL does not say.
const LOCK_TIMEOUT: Duration = Duration::from_secs(15);

/// The pragmas on which it depends what a statement does.
const TELLING: [&str; 6] = [
    "foreign_keys",
    "defer_foreign_keys",
    "recursive_triggers",
    "ignore_check_constraints",
    "case_sensitive_like",
    "legacy_alter_table",
];

/// What a URL says.
#[derive(Debug, Clone)]
pub(in crate::sqlite) struct Options {
    /// The file; none for a database in memory.
    path: Option<PathBuf>,
    /// Whether the file may be made.
    pub create: bool,
    /// Whether nothing may be written.
    pub read_only: bool,
    /// The tracking table.
    pub table: String,
    /// Whether bodies run outside a transaction: `x-no-tx-wrap`.
    pub no_wrap: bool,
    /// The pragmas of the session.
    pub pragmas: Vec<(String, String)>,
    /// All else.
    pub connect: SqliteConnectOptions,
}

impl Options {
    /// Reads a URL.
    pub fn read(url: &str) -> Result<Options, Connect> {
        let bad = |reason: &str| Connect::Url(reason.to_owned());
        let rest = url.split_once(':').and_then(|(_, rest)| rest.strip_prefix("//"));
        let rest = rest.ok_or_else(|| bad("it has no // after its scheme"))?;
        let (name, query) = rest.split_once('?').unwrap_or((rest, ""));
        if name.is_empty() {
            return Err(bad("it names no file; with three slashes its path is absolute"));
        }
        let mut options = Options {
            path: path(name, |name| Path::new(name).exists()).map(|path| canonical(&path)),
            create: true,
            read_only: false,
            table: "schema_migrations".to_owned(),
            no_wrap: false,
            pragmas: Vec::new(),
            connect: plain().busy_timeout(LOCK_TIMEOUT),
        };
        let mut read = BTreeSet::new();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            // As with golang-migrate, the first of its own parameters counts.
            if !key.starts_with("x-") || read.insert(key.clone()) {
                options.parameter(&key, &value)?;
            }
        }
        for (name, value) in &options.pragmas {
            options.connect = options.connect.pragma(name.clone(), value.clone());
        }
        Ok(options)
    }

    /// The same for a database in memory, with those of the settings that change what statements do,
    /// and none that are about a file or who else uses it.
    pub fn in_memory(mut self) -> Options {
        (self.path, self.read_only, self.create, self.no_wrap) = (None, false, true, false);
        self.pragmas.retain(|(name, _)| TELLING.contains(&name.as_str()));
        self.connect = plain();
        for (name, value) in &self.pragmas {
            self.connect = self.connect.pragma(name.clone(), value.clone());
        }
        self
    }

    /// The same for another file.
    pub fn elsewhere(mut self, path: &Path) -> Options {
        self.path = Some(canonical(path));
        self
    }

    /// The file by the one name that it has for everybody; none for a database in memory.
    pub fn path(&self) -> Option<PathBuf> {
        self.path.clone()
    }

    fn parameter(&mut self, key: &str, value: &str) -> Result<(), Connect> {
        let bad = |what: &str| Err(Connect::Url(format!("{key} is not {what}")));
        match (key, value) {
            ("x-migrations-table", "") => {}
            ("x-migrations-table", table) => self.table = table.to_owned(),
            ("x-no-tx-wrap", "") => {}
            ("x-no-tx-wrap", value) => self.no_wrap = go_bool(key, value)?,
            ("mode", "ro") => (self.read_only, self.create) = (true, false),
            ("mode", "rw") => self.create = false,
            ("mode", "rwc") => {}
            ("mode", "memory") => self.path = None,
            ("mode", _) => return bad("ro, rw, rwc or memory"),
            ("cache", "shared" | "private") => {
                self.connect = self.connect.clone().shared_cache(value == "shared");
            }
            ("cache", _) => return bad("shared or private"),
            ("immutable", value) => {
                let immutable = matches!(value, "1" | "true" | "yes" | "on");
                self.connect = self.connect.clone().immutable(immutable);
            }
            ("vfs", value) => self.connect = self.connect.clone().vfs(value.to_owned()),
            ("_pragma", value) => {
                let (name, value) = match value.split_once('(') {
                    Some((name, value)) => (name, value.trim_end().trim_end_matches(')')),
                    None => match value.split_once('=') {
                        Some(pair) => pair,
                        None => return bad("a pragma such as foreign_keys(1)"),
                    },
                };
                self.pragma(key, name, value)?;
            }
            (key, value) => match of_mattn(key) {
                Some(name) => self.pragma(key, name, value)?,
                None => tracing::debug!(key, "a parameter of the database URL is left out"),
            },
        }
        Ok(())
    }

    fn pragma(&mut self, key: &str, name: &str, value: &str) -> Result<(), Connect> {
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim().trim_matches('\''));
        let harmless = |it: &str| {
            !it.is_empty()
                && it.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        };
        if !harmless(&name) || !harmless(value) {
            return Err(Connect::Url(format!("{key} is not a pragma with a word or a number")));
        }
        if name == "busy_timeout" {
            let milliseconds: u32 = value
                .parse()
                .map_err(|_| Connect::Url(format!("{key} is not a number of milliseconds")))?;
            // The driver counts in 31 bits.
            let lock_timeout = Duration::from_millis(u64::from(milliseconds.min(i32::MAX as u32)));
            self.connect = self.connect.clone().busy_timeout(lock_timeout);
        } else {
            self.pragmas.push((name, value.to_owned()));
        }
        Ok(())
    }
}

/// The pragma that a parameter of mattn's client sets.
fn of_mattn(key: &str) -> Option<&'static str> {
    Some(match key {
        "_auto_vacuum" | "_vacuum" => "auto_vacuum",
        "_busy_timeout" | "_timeout" => "busy_timeout",
        "_case_sensitive_like" | "_cslike" => "case_sensitive_like",
        "_defer_foreign_keys" | "_defer_fk" => "defer_foreign_keys",
        "_foreign_keys" | "_fk" => "foreign_keys",
        "_ignore_check_constraints" => "ignore_check_constraints",
        "_journal_mode" | "_journal" => "journal_mode",
        "_locking_mode" | "_locking" => "locking_mode",
        "_query_only" => "query_only",
        "_recursive_triggers" | "_rt" => "recursive_triggers",
        "_secure_delete" => "secure_delete",
        "_synchronous" | "_sync" => "synchronous",
        "_writable_schema" => "writable_schema",
        "_cache_size" => "cache_size",
        _ => return None,
    })
}

/// A boolean by Go's rules, with Go's words where it is none.
fn go_bool(key: &str, value: &str) -> Result<bool, Connect> {
    match value {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(Connect::Url(format!(
            "{key}: strconv.ParseBool: parsing {value:?}: invalid syntax"
        ))),
    }
}

/// The file that a URL's name means; none for memory.
///
/// golang-migrate does not decode the name, and writes it anew before it opens it: a space becomes
/// `%20`. A file that it has made so is found again; what is new gets its name decoded.
fn path(name: &str, exists: impl Fn(&str) -> bool) -> Option<PathBuf> {
    if let Some(uri) = name.strip_prefix("file:") {
        // SQLite's own form, which it decodes. What stands between // and / is the machine.
        let uri = match uri.strip_prefix("//") {
            Some(rest) => &rest[rest.find('/').unwrap_or(rest.len())..],
            None => uri,
        };
        let name = decoded(uri);
        return (name != ":memory:" && !name.is_empty()).then(|| name.into());
    }
    if name == ":memory:" {
        return None;
    }
    let found = [rewritten(name), name.to_owned()].into_iter().find(|name| exists(name));
    Some(found.unwrap_or_else(|| decoded(name)).into())
}

/// A name as Go's URLs write it.
fn rewritten(name: &str) -> String {
    let stays =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:@/[]%#".contains(&byte);
    if name.bytes().all(stays) {
        return name.to_owned();
    }
    let bytes = decoded(name).into_bytes().into_iter();
    bytes
        .map(|byte| match byte {
            byte if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(&byte) => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

/// A name with its `%20` decoded; as it is, where that gives no text.
fn decoded(name: &str) -> String {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let [first, after @ ..] = rest {
        let code = after.get(..2).filter(|_| *first == b'%');
        let code = code.and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok().filter(|it| !it.contains('\0')).unwrap_or_else(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: &str) -> bool {
        false
    }

    #[test]
    fn names_are_read_as_golang_migrate_reads_them() {
        for (name, expected) in [
            ("/abs/x.db", "/abs/x.db"),
            ("rel.db", "rel.db"),
            ("./dir/rel.db", "./dir/rel.db"),
            ("file:/abs/x.db", "/abs/x.db"),
            ("file:///abs/a%20b.db", "/abs/a b.db"),
            ("file:rel.db", "rel.db"),
            ("/abs/a%20b.db", "/abs/a b.db"),
            ("/abs/a b.db", "/abs/a b.db"),
            ("/abs/100%", "/abs/100%"),
        ] {
            assert_eq!(path(name, none), Some(expected.into()), "{name}");
        }
        assert_eq!(path(":memory:", none), None);
        assert_eq!(path("file::memory:", none), None);
    }

    #[test]
    fn a_file_of_golang_migrates_is_found_again() {
        let exists = |name: &str| name == "/a%20b.db";
        assert_eq!(path("/a%20b.db", exists), Some("/a%20b.db".into()));
        assert_eq!(path("/a b.db", exists), Some("/a%20b.db".into()));
        let exists = |name: &str| name == "/a b.db";
        assert_eq!(path("/a b.db", exists), Some("/a b.db".into()));
    }

    #[test]
    fn parameters_of_both_clients_are_read() {
        let url = "sqlite3://:memory:?_foreign_keys=1&_pragma=journal_mode(WAL)&_pragma=cache_size=-9\
                   &x-migrations-table=a-b&x-no-tx-wrap=True&_txlock=immediate&x-other=1";
        let options = Options::read(url).expect("a URL");
        let pragmas: Vec<(&str, &str)> =
            options.pragmas.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let expected = [("foreign_keys", "1"), ("journal_mode", "WAL"), ("cache_size", "-9")];
        assert_eq!(pragmas, expected);
        assert_eq!((options.table.as_str(), options.no_wrap), ("a-b", true));
        for (query, reason) in [
            (
                "x-no-tx-wrap=yeppers",
                "x-no-tx-wrap: strconv.ParseBool: parsing \"yeppers\": invalid syntax",
            ),
            ("mode=x", "mode is not ro, rw, rwc or memory"),
            ("_pragma=x", "_pragma is not a pragma such as foreign_keys(1)"),
            ("_fk=1;DROP TABLE t", "_fk is not a pragma with a word or a number"),
            ("_timeout=-1", "_timeout is not a number of milliseconds"),
        ] {
            let error = Options::read(&format!("sqlite://x?{query}")).expect_err(query);
            assert_eq!(error.to_string(), format!("the database URL is not valid: {reason}"));
        }
    }

    #[test]
    fn a_rehearsal_has_the_settings_that_tell_what_statements_do() {
        let url = "sqlite3://x.db?mode=ro&cache=shared&_fk=1&_query_only=1&x-no-tx-wrap=1&_rt=on";
        let options = Options::read(url).expect("a URL").in_memory();
        let pragmas: Vec<(&str, &str)> =
            options.pragmas.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(pragmas, [("foreign_keys", "1"), ("recursive_triggers", "on")]);
        assert_eq!((options.path(), options.read_only, options.no_wrap), (None, false, false));
    }

    #[test]
    fn a_url_without_a_file_is_refused() {
        for url in ["sqlite3://", "sqlite3://?mode=ro", "sqlite3:", "sqlite3:rel.db"] {
            assert!(matches!(Options::read(url), Err(Connect::Url(_))), "{url}");
        }
    }
}
