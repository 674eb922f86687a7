//! Where the system catalogs show whether a statement took effect that runs in no transaction.

use super::words::{Word, split};
use crate::tokens::{after_guard, name};

/// A possibly qualified name, in its parts.
pub(in crate::postgres) type Name = Vec<String>;

/// What a statement leaves to be seen.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::postgres) enum Trace {
    /// An index of a table; half of it is an invalid index.
    IndexBuilt { index: String, table: Name },
    /// An index that is gone.
    IndexDropped { index: Name },
    /// Nothing but what may be left of it half done: indexes with names of the server's own, of this.
    Rebuilt { of: Rebuilt },
    /// A label of an enumeration.
    ValueAdded { of: Name, label: String },
    /// A partition that is none any more.
    PartitionDetached { table: Name, partition: Name },
    /// An object of the whole server in this catalog, whose column has its name.
    OfTheServer { catalog: &'static str, column: &'static str, name: String, made: bool },
    /// Nothing, and running it again does no harm.
    Harmless,
    /// Nothing that could be told.
    Nothing,
}

/// What indexes are rebuilt concurrently.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::postgres) enum Rebuilt {
    Index(Name),
    /// Those of a table.
    Table(Name),
    /// Those of the tables of a schema.
    Schema(String),
    /// Those of the whole database.
    Database,
}

/// What the first statement of `text` leaves.
pub(in crate::postgres) fn trace(text: &str) -> Trace {
    let split = split(text);
    split.statements.first().and_then(|words| read(words)).unwrap_or(Trace::Nothing)
}

fn read(words: &[Word<'_>]) -> Option<Trace> {
    let key = |at: usize| words.get(at).map_or("", |word| word.key.as_str());
    let after = |word: &str| {
        let at = words.iter().position(|it| it.is(word))?;
        words.get(at + 1..)
    };
    let trace = match (key(0), key(1)) {
        ("CREATE", "INDEX" | "UNIQUE") => {
            let named = after_guard(after("INDEX")?);
            if named.first()?.is("ON") {
                return None;
            }
            Trace::IndexBuilt {
                index: name(named).last()?.clone(),
                table: name(after_guard(after("ON")?)),
            }
        }
        ("DROP", "INDEX") => Trace::IndexDropped { index: name(after_guard(after("INDEX")?)) },
        // In one transaction, or in one a table, it leaves nothing half done.
        ("REINDEX", _) if !words.iter().any(|it| it.is("CONCURRENTLY")) => Trace::Harmless,
        ("REINDEX", _) => {
            let kinds = ["INDEX", "TABLE", "SCHEMA", "DATABASE"];
            let kind = kinds.into_iter().find(|kind| words.iter().any(|it| it.is(kind)))?;
            let name = name(after_guard(after(kind)?));
            let of = match kind {
                "INDEX" => Rebuilt::Index(name),
                "TABLE" => Rebuilt::Table(name),
                "SCHEMA" => Rebuilt::Schema(name.last()?.clone()),
                _ => Rebuilt::Database,
            };
            Trace::Rebuilt { of }
        }
        ("VACUUM" | "ANALYZE" | "CLUSTER", _) | ("ALTER", "SYSTEM") => Trace::Harmless,
        ("ALTER", "TYPE") => {
            let label = after_guard(after("VALUE")?).first()?.code()?.replace("''", "'");
            Trace::ValueAdded { of: name(after("TYPE")?), label }
        }
        ("ALTER", "TABLE") => Trace::PartitionDetached {
            table: name(after_guard(after("TABLE")?)),
            partition: name(after("PARTITION")?),
        },
        (verb @ ("CREATE" | "DROP"), what @ ("DATABASE" | "TABLESPACE" | "SUBSCRIPTION")) => {
            let (catalog, column) = match what {
                "DATABASE" => ("pg_database", "datname"),
                "TABLESPACE" => ("pg_tablespace", "spcname"),
                _ => ("pg_subscription", "subname"),
            };
            let name = name(after_guard(after(what)?)).pop()?;
            Trace::OfTheServer { catalog, column, name, made: verb == "CREATE" }
        }
        _ => return None,
    };
    Some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(parts: &[&str]) -> Name {
        parts.iter().map(|part| (*part).to_owned()).collect()
    }

    #[test]
    fn what_a_statement_leaves_is_read_from_it() {
        let built = |index: &str, table: &[&str]| Trace::IndexBuilt {
            index: index.to_owned(),
            table: parts(table),
        };
        for (text, expected) in [
            (
                "create unique index concurrently if not exists \"I x\" on only a.T (b)",
                built("I x", &["a", "t"]),
            ),
            ("CREATE INDEX CONCURRENTLY i ON t USING gin (b)", built("i", &["t"])),
            // The server makes a name up, and nobody knows which.
            ("create index concurrently on t (a)", Trace::Nothing),
            (
                "drop index concurrently if exists s.i",
                Trace::IndexDropped { index: parts(&["s", "i"]) },
            ),
            (
                "reindex (verbose) table concurrently t",
                Trace::Rebuilt { of: Rebuilt::Table(parts(&["t"])) },
            ),
            (
                "reindex (concurrently) index s.i",
                Trace::Rebuilt { of: Rebuilt::Index(parts(&["s", "i"])) },
            ),
            ("reindex schema s", Trace::Harmless),
            ("vacuum (analyze) t", Trace::Harmless),
            (
                "alter type s.mood add value if not exists 'it''s' before 'calm'",
                Trace::ValueAdded { of: parts(&["s", "mood"]), label: "it's".to_owned() },
            ),
            (
                "alter table t detach partition p concurrently",
                Trace::PartitionDetached { table: parts(&["t"]), partition: parts(&["p"]) },
            ),
            (
                "drop database if exists x",
                Trace::OfTheServer {
                    catalog: "pg_database",
                    column: "datname",
                    name: "x".to_owned(),
                    made: false,
                },
            ),
            ("call p()", Trace::Nothing),
        ] {
            assert_eq!(trace(text), expected, "{text}");
        }
    }
}
