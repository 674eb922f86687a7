//! The statements that are known, and the stored code that they may run: what is not known to take
//! nothing away is not run where that would have to be kept.

use std::collections::{BTreeMap, BTreeSet};

use super::super::statements::{Word, after_guard, name, words_of};
use super::super::{MySql, cell, optional};
use crate::archive::Result;

/// What a statement may do that its words do not tell, as a reason not to run it.
pub fn unknown(words: &[Word<'_>], takes_nothing: bool) -> Option<String> {
    let first = words.first()?;
    let second = words.get(1).map_or("", |word| word.key.as_str());
    let begin = if first.key.is_empty() { first.text } else { first.key.as_str() };
    let known = match begin {
        "SELECT" | "VALUES" | "(" | "SHOW" | "DESC" | "DESCRIBE" | "EXPLAIN" | "HELP" | "DO"
        | "COMMIT" | "ROLLBACK" | "SAVEPOINT" | "RELEASE" | "GRANT" | "REVOKE" | "FLUSH"
        | "CHECKSUM" | "OPTIMIZE" | "CHECK" | "LOCK" | "UNLOCK" | "PREPARE" | "DEALLOCATE"
        | "SIGNAL" | "SET" | "USE" => true,
        // What these take away is read from their words.
        "INSERT" | "REPLACE" | "LOAD" | "UPDATE" | "DELETE" | "TRUNCATE" => true,
        "WITH" => !takes_nothing || !words.iter().any(|it| it.is("DELETE") || it.is("UPDATE")),
        "BEGIN" => matches!(second, "" | "WORK"),
        "START" => second == "TRANSACTION",
        "RENAME" => matches!(second, "TABLE" | "TABLES" | "USER"),
        "ANALYZE" => matches!(second, "TABLE" | "LOCAL" | "NO_WRITE_TO_BINLOG"),
        "CREATE" => {
            let replaces = second == "OR";
            match made(words) {
                Some("DATABASE" | "SCHEMA" | "SEQUENCE") => !replaces,
                made => made.is_some(),
            }
        }
        "ALTER" => {
            let modes = ["ONLINE", "OFFLINE", "IGNORE"];
            let kind = words[1..].iter().find(|word| !modes.iter().any(|mode| word.is(mode)));
            let known = [
                "TABLE",
                "VIEW",
                "PROCEDURE",
                "FUNCTION",
                "EVENT",
                "DATABASE",
                "SCHEMA",
                "USER",
                "ROLE",
                "SERVER",
                "ALGORITHM",
                "DEFINER",
                "SQL",
            ];
            kind.is_some_and(|kind| known.iter().any(|known| kind.is(known)))
        }
        "DROP" => matches!(
            second,
            "TABLE"
                | "TABLES"
                | "TEMPORARY"
                | "VIEW"
                | "INDEX"
                | "TRIGGER"
                | "PROCEDURE"
                | "FUNCTION"
                | "EVENT"
                | "USER"
                | "ROLE"
                | "SERVER"
                | "PREPARE"
                | "PACKAGE"
                | "DATABASE"
                | "SCHEMA"
                | "SEQUENCE"
        ),
        _ => false,
    };
    let shown = format!("{begin} {second}");
    (!known).then(|| format!("what `{} …` takes away", shown.trim_end()))
}

/// What kind of thing a `CREATE` makes.
pub fn made<'a>(words: &'a [Word<'_>]) -> Option<&'a str> {
    let kinds = [
        "TABLE",
        "VIEW",
        "TRIGGER",
        "PROCEDURE",
        "FUNCTION",
        "EVENT",
        "INDEX",
        "SEQUENCE",
        "DATABASE",
        "SCHEMA",
        "USER",
        "ROLE",
        "SERVER",
        "PACKAGE",
    ];
    let found = words.iter().take(20).find(|word| kinds.contains(&word.key.as_str()))?;
    Some(found.key.as_str())
}

/// The name of what a `CREATE` makes, in its parts.
pub fn made_name(words: &[Word<'_>]) -> Vec<String> {
    let Some(kind) = made(words) else { return Vec::new() };
    let at = words.iter().position(|word| word.is(kind)).unwrap_or(0);
    name(after_guard(&words[at + 1..]))
}

/// Whether code may do more than read.
pub fn writes(words: &[Word<'_>]) -> bool {
    let writes = [
        "DELETE", "UPDATE", "REPLACE", "INSERT", "CALL", "EXECUTE", "TRUNCATE", "LOAD", "ALTER",
        "DROP", "CREATE", "RENAME",
    ];
    words.iter().enumerate().any(|(at, word)| {
        let function = words.get(at + 1).is_some_and(|next| next.is("("));
        writes.contains(&word.key.as_str()) && !function
    })
}

/// The stored code that does more than read, by its names in lower case.
#[derive(Debug, Default)]
pub struct Programs {
    functions: BTreeSet<String>,
    /// The views that run such a function.
    views: BTreeSet<String>,
}

impl Programs {
    /// The functions and views that are there, and those that a body makes.
    pub async fn of(mysql: &mut MySql, body: &[Vec<Word<'_>>]) -> Result<Programs> {
        let mut functions: BTreeMap<String, Option<String>> = BTreeMap::new();
        let mut views = functions.clone();
        let sql = "SELECT ROUTINE_NAME AS name, ROUTINE_DEFINITION AS body FROM information_schema.ROUTINES
            WHERE ROUTINE_TYPE <> 'PROCEDURE' AND ROUTINE_SCHEMA NOT IN ('sys', 'mysql')";
        for row in &mysql.fetch("look for functions", sql.to_owned()).await? {
            let own = functions.entry(cell(row, "name").to_lowercase());
            // Several may have the name: one of them is enough.
            let body = optional(row, "body");
            own.and_modify(|it| {
                *it = it.take().zip(body.clone()).map(|(one, other)| format!("{one} ; {other}"));
            })
            .or_insert(body);
        }
        let sql = format!(
            "SELECT TABLE_NAME AS name, VIEW_DEFINITION AS body FROM information_schema.VIEWS WHERE TABLE_SCHEMA = {}",
            MySql::literal(&mysql.identity.database)
        );
        for row in &mysql.fetch("look for views", sql).await? {
            views.insert(cell(row, "name").to_lowercase(), optional(row, "body"));
        }
        let quotes = mysql.quotes;
        for words in body.iter().filter(|words| words.first().is_some_and(|it| it.is("CREATE"))) {
            let of = match made(words) {
                Some("FUNCTION" | "PACKAGE") => &mut functions,
                Some("VIEW") => &mut views,
                _ => continue,
            };
            let Some(name) = made_name(words).pop() else { continue };
            // Its own head says CREATE and the like.
            let text = words[3.min(words.len())..].iter().map(|it| it.text).collect::<Vec<_>>();
            of.insert(name.to_lowercase(), Some(text.join(" ")));
        }
        let mut found = Programs::default();
        loop {
            let before = found.functions.len() + found.views.len();
            for (name, body) in &functions {
                let body = body.as_ref().map(|body| words_of(body, quotes));
                if body.is_none_or(|body| writes(&body) || found.run_by(&body).is_some()) {
                    found.functions.insert(name.clone());
                }
            }
            for (name, body) in &views {
                let body = body.as_ref().map(|body| words_of(body, quotes));
                if body.is_some_and(|body| found.run_by(&body).is_some()) {
                    found.views.insert(name.clone());
                }
            }
            if before == found.functions.len() + found.views.len() {
                return Ok(found);
            }
        }
    }

    /// What words run that does more than read.
    pub fn run_by(&self, words: &[Word<'_>]) -> Option<String> {
        let begins = words.first().is_some_and(|it| it.is("CREATE"));
        if begins && matches!(made(words), Some(kind) if kind != "TABLE") {
            return None;
        }
        words.iter().enumerate().find_map(|(at, word)| {
            let next = words.get(at + 1);
            let called = next.is_some_and(|next| next.is("(") || next.is("."));
            let name = word.name()?.to_lowercase();
            if called && name == "setval" {
                return Some("where a sequence stood".to_owned());
            }
            let runs = (called && self.functions.contains(&name)) || self.views.contains(&name);
            runs.then(|| format!("what `{name}` takes away"))
        })
    }
}
