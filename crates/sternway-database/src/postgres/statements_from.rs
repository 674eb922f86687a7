//! Statements that make one schema into another: for a shadow database that has to look like the one
//! that it stands for.
//!
//! They are made from the two fingerprints, whose definitions are mostly what the server takes back. What
//! a fingerprint does not say whole, a view's query and a function's head, is asked of the server. Each
//! statement stands alone, and their order is only the likely one: whoever runs them tries again what did
//! not run yet.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::Row;
use sternway_model::proof::{Definition, Fingerprint, ObjectName, labels};

use super::introspect::properties::{self, taken_away};
use super::introspect::{self, RELATIONS};
use super::{Postgres, failed, literal};
use crate::port::DatabaseError;

/// The text of views and functions as the server takes it back.
const TEXTS: &str = "
SELECT CASE relkind WHEN 'v' THEN 'view' ELSE 'materialized view' END, name, pg_get_viewdef(oid)
FROM relation WHERE relkind IN ('v', 'm')
UNION ALL
SELECT CASE prokind WHEN 'p' THEN 'procedure' ELSE 'function' END,
       s.prefix || quote_ident(proname) || '(' || pg_get_function_identity_arguments(p.oid) || ')',
       pg_get_functiondef(p.oid)
FROM pg_proc p JOIN space s ON s.oid = p.pronamespace
WHERE prokind IN ('f', 'p', 'w')
  AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_proc'::regclass AND m.objid = p.oid)";

/// The order in which kinds of objects are made. They are dropped in the opposite one.
const ORDER: [&str; 38] = [
    "schema",
    "extension",
    "collation",
    "foreign data wrapper",
    "server",
    "default grant",
    "text search dictionary",
    "text search configuration",
    "type",
    "domain",
    "sequence",
    "function",
    "procedure",
    "table",
    "column",
    "constraint",
    "index",
    "view",
    "materialized view",
    "trigger",
    "policy",
    "publication",
    "published table",
    "aggregate",
    "cast",
    "operator",
    "operator class",
    "rule",
    "statistics",
    "option",
    "storage parameter",
    "column option",
    "replica identity",
    "clustering",
    "grant",
    "revoked default",
    "event trigger",
    "comment",
];

/// The statements that make the schema `from` into this database's.
pub(super) async fn statements_from(
    postgres: &mut Postgres,
    from: &Fingerprint,
    except: &[String],
) -> Result<Vec<String>, DatabaseError> {
    let to = introspect::fingerprint(postgres, except).await?;
    let texts = texts(postgres, except).await?;
    let change = Change { from, to: &to, texts: &texts, names: to.names() };
    let rank = |name: &ObjectName| ORDER.iter().position(|kind| *kind == name.kind);
    let mut gone: Vec<&ObjectName> =
        from.objects.keys().filter(|it| !to.objects.contains_key(it)).collect();
    gone.sort_by_key(|it| std::cmp::Reverse(rank(it)));
    let mut here: Vec<&ObjectName> = to.objects.keys().collect();
    // A column that is computed from others comes after them.
    let computed =
        |it: &ObjectName| to.objects.get(it).is_some_and(|it| it.text.contains(" generated as "));
    here.sort_by_key(|it| (rank(it), computed(it)));
    let drops = gone.into_iter().filter(|it| !change.goes_along(it));
    let drops = drops.map(|it| drop_of(it, from.objects.get(it)));
    let made = here.into_iter().flat_map(|it| change.statements(it));
    Ok(drops.chain(made).collect())
}

async fn texts(
    postgres: &mut Postgres,
    except: &[String],
) -> Result<BTreeMap<ObjectName, String>, DatabaseError> {
    let doing = "read the schema";
    let except: Vec<String> = except.iter().map(|name| literal(name)).collect();
    let relations = RELATIONS
        .replace("{tracking}", &literal(postgres.tracking_schema()))
        .replace("{except}", &except.join(", "));
    let sql = format!("{relations} {TEXTS}");
    let rows = introspect::looking(postgres, async |it| it.ask(doing, sql).await).await?;
    let mut texts = BTreeMap::new();
    for row in &rows {
        let text = |column: usize| row.try_get::<String, _>(column).map_err(failed(doing));
        texts.insert(ObjectName::new(&text(0)?, &text(1)?), text(2)?);
    }
    Ok(texts)
}

fn drop_of(name: &ObjectName, is: Option<&Definition>) -> String {
    if let Some(taken_away) = is.and_then(|it| taken_away(name, &it.text)) {
        return taken_away;
    }
    let ObjectName { kind, name, table } = name;
    match (kind.as_str(), table) {
        ("column" | "constraint", Some(table)) => {
            format!("ALTER TABLE {table} DROP {} {name}", kind.to_uppercase())
        }
        ("published table", Some(publication)) => {
            format!("ALTER PUBLICATION {publication} DROP TABLE {name}")
        }
        (_, Some(table)) => format!("DROP {} {name} ON {table}", kind.to_uppercase()),
        (_, None) => format!("DROP {} {name}", kind.to_uppercase()),
    }
}

struct Change<'a> {
    from: &'a Fingerprint,
    to: &'a Fingerprint,
    texts: &'a BTreeMap<ObjectName, String>,
    /// What stands alone in the other schema.
    names: BTreeSet<&'a str>,
}

impl Change<'_> {
    /// Whether it goes together with its table, or with the constraint that it is the index of.
    fn goes_along(&self, name: &ObjectName) -> bool {
        let kind = if name.kind == "published table" { "publication" } else { "table" };
        let table = name.table.as_ref().map(|it| ObjectName::new(kind, it));
        let goes = match name.described() {
            Some(of) => !self.names.contains(of),
            None => table.is_some_and(|it| !self.to.objects.contains_key(&it)),
        };
        goes || (name.kind == "index" && has_constraint(self.from, &name.name))
    }

    /// What makes this object what it is in the other schema.
    fn statements(&self, object: &ObjectName) -> Vec<String> {
        let Some(definition) = self.to.objects.get(object) else { return Vec::new() };
        let before = self.from.objects.get(object);
        if before == Some(definition) {
            return Vec::new();
        }
        let (was, before) = (before, before.map(|it| it.text.as_str()));
        let (name, is) = (&object.name, definition.text.as_str());
        let table = object.table.as_deref().unwrap_or_default();
        let again = |create: Vec<String>| -> Vec<String> {
            before.map(|_| drop_of(object, was)).into_iter().chain(create).collect()
        };
        match object.kind.as_str() {
            "schema" => vec![format!("CREATE SCHEMA {name}")],
            "extension" => vec![format!("CREATE EXTENSION {name}")],
            "type" => match before {
                Some(before) => new_labels(name, before, is),
                None if is.starts_with("range of ") => {
                    vec![format!("CREATE TYPE {name} AS RANGE (SUBTYPE = {})", &is[9..])]
                }
                None => vec![format!("CREATE TYPE {name} AS {is}")],
            },
            "domain" => again(vec![format!("CREATE DOMAIN {name} AS {is}")]),
            "sequence" => sequence(name, before, is, self.identity_of(is)),
            "function" | "procedure" => {
                let text = self.texts.get(object).cloned();
                // A new result type needs a new function.
                let or_else = before.map(|_| drop_of(object, was)).into_iter();
                text.iter().cloned().chain(or_else).chain(text.clone()).collect()
            }
            "table" => self.table(name, before, is),
            "column" => self.column(object, table, before, is),
            "constraint" => again(vec![format!("ALTER TABLE {table} ADD CONSTRAINT {name} {is}")]),
            "index" if has_constraint(self.to, name) || is.ends_with(" (invalid)") => Vec::new(),
            "index" => again(vec![is.to_owned()]),
            "view" | "materialized view" => {
                let kind = object.kind.to_uppercase();
                let text = self.texts.get(object);
                let create =
                    text.map(|text| format!("CREATE {kind} {name} AS {}", text.trim_end()));
                again(create.into_iter().collect())
            }
            "trigger" | "rule" => again(switched(&object.kind.to_uppercase(), name, table, is)),
            "policy" => {
                let (kind, rest) = is.split_once(' ').unwrap_or((is, ""));
                again(vec![format!("CREATE POLICY {name} ON {table} AS {kind} FOR {rest}")])
            }
            "publication" => again(vec![publication(name, is)]),
            "published table" => {
                again(vec![format!("ALTER PUBLICATION {table} ADD TABLE {name} {is}")])
            }
            "aggregate" => Vec::new(),
            _ => again(properties::made(object, is).into_iter().collect()),
        }
    }

    /// Whether a sequence belongs to an identity column, which makes it.
    fn identity_of(&self, sequence: &str) -> bool {
        let Some((_, owner)) = sequence.rsplit_once(" owned by ") else { return false };
        self.to.objects.iter().any(|(it, definition)| {
            it.kind == "column"
                && it.table.as_ref().is_some_and(|table| owner == format!("{table}.{}", it.name))
                && Column::of(&definition.text).identity.is_some()
        })
    }

    fn table(&self, name: &str, before: Option<&str>, is: &str) -> Vec<String> {
        let secured = |is: &str| {
            let forced = is.ends_with(" forced") || is == "forced";
            (is.contains("row level security"), forced)
        };
        let mut statements = Vec::new();
        if before.is_none() {
            statements.extend(self.create_table(name, is));
        } else if is.starts_with("unlogged") != before.is_some_and(|it| it.starts_with("unlogged"))
        {
            let logged = if is.starts_with("unlogged") { "UNLOGGED" } else { "LOGGED" };
            statements.push(format!("ALTER TABLE {name} SET {logged}"));
        }
        let ((secure, forced), (was_secure, was_forced)) =
            (secured(is), secured(before.unwrap_or_default()));
        if secure != was_secure {
            let verb = if secure { "ENABLE" } else { "DISABLE" };
            statements.push(format!("ALTER TABLE {name} {verb} ROW LEVEL SECURITY"));
        }
        if forced != was_forced {
            let verb = if forced { "FORCE" } else { "NO FORCE" };
            statements.push(format!("ALTER TABLE {name} {verb} ROW LEVEL SECURITY"));
        }
        statements
    }

    /// With its columns: a table's own order is kept.
    fn create_table(&self, name: &str, is: &str) -> Option<String> {
        if is.starts_with("foreign") {
            return None;
        }
        let unlogged = if is.starts_with("unlogged") { "UNLOGGED " } else { "" };
        let is = is.strip_prefix("unlogged").unwrap_or(is).trim();
        let is = is.strip_suffix(" forced").unwrap_or(is);
        let is = is.strip_suffix("row level security").unwrap_or(is).trim();
        let parents = is.strip_prefix("inherits ");
        let bound = parents
            .and_then(|it| it.find(" FOR VALUES").or(it.strip_suffix(" DEFAULT").map(str::len)));
        if let (Some(parents), Some(bound)) = (parents, bound) {
            let (parent, bound) = parents.split_at(bound);
            return Some(format!("CREATE {unlogged}TABLE {name} PARTITION OF {parent}{bound}"));
        }
        let is = parents.map_or_else(|| is.to_owned(), |it| format!("INHERITS ({it})"));
        let order = self.to.column_order.get(&ObjectName::new("table", name));
        let columns = order.into_iter().flatten().filter_map(|column| {
            let object = ObjectName {
                kind: "column".to_owned(),
                name: column.clone(),
                table: Some(name.to_owned()),
            };
            let is = self.to.objects.get(&object)?;
            Some(format!("{column} {}", Column::of(&is.text).declared()))
        });
        let columns: Vec<String> = columns.collect();
        let text = format!("CREATE {unlogged}TABLE {name} ({}) {is}", columns.join(", "));
        Some(text.trim_end().to_owned())
    }

    fn column(
        &self,
        object: &ObjectName,
        table: &str,
        before: Option<&str>,
        is: &str,
    ) -> Vec<String> {
        let (name, now) = (&object.name, Column::of(is));
        let add = format!("ALTER TABLE {table} ADD COLUMN {name} {}", now.declared());
        let Some(before) = before.map(Column::of) else {
            // One with its table is there already.
            let is_new = !self.from.objects.contains_key(&ObjectName::new("table", table));
            return if is_new { Vec::new() } else { vec![add] };
        };
        if before.generated.is_some() || now.generated.is_some() {
            return vec![drop_of(object, None), add];
        }
        let alter = |what: String| format!("ALTER TABLE {table} ALTER COLUMN {name} {what}");
        let mut statements = Vec::new();
        if before.default.is_some() && before.default != now.default {
            statements.push(alter("DROP DEFAULT".to_owned()));
        }
        if before.identity.is_some() && before.identity != now.identity {
            statements.push(alter("DROP IDENTITY".to_owned()));
        }
        if (before.kind, before.collation) != (now.kind, now.collation) {
            let collation = now.collation.map(|it| format!(" COLLATE {it}")).unwrap_or_default();
            let kind = now.kind;
            statements.push(alter(format!("TYPE {kind}{collation} USING {name}::{kind}")));
        }
        if before.not_null != now.not_null {
            let verb = if now.not_null { "SET" } else { "DROP" };
            statements.push(alter(format!("{verb} NOT NULL")));
        }
        if let Some(default) = now.default.filter(|_| before.default != now.default) {
            statements.push(alter(format!("SET DEFAULT {default}")));
        }
        if let Some(identity) = now.identity.filter(|_| before.identity != now.identity) {
            statements.push(alter(format!("ADD {identity}")));
        }
        statements
    }
}

/// A column's definition in a fingerprint as `ADD COLUMN` takes it.
pub(super) fn declared(definition: &str) -> String {
    Column::of(definition).declared()
}

fn has_constraint(schema: &Fingerprint, index: &str) -> bool {
    schema.objects.iter().any(|(it, definition)| {
        it.kind == "constraint"
            && it.name == index.rsplit('.').next().unwrap_or(index)
            && ["PRIMARY KEY", "UNIQUE", "EXCLUDE"]
                .iter()
                .any(|word| definition.text.starts_with(word))
    })
}

/// What a new enum has more than an old one; nothing where that is not all.
fn new_labels(name: &str, before: &str, is: &str) -> Vec<String> {
    let (Some(old), Some(new)) = (labels(before), labels(is)) else { return Vec::new() };
    let mut statements = Vec::new();
    let mut last: Option<&String> = None;
    for label in &new {
        if !old.contains(label) {
            let place = match (last, old.first()) {
                (Some(last), _) => format!(" AFTER {last}"),
                (None, Some(first)) => format!(" BEFORE {first}"),
                (None, None) => String::new(),
            };
            statements.push(format!("ALTER TYPE {name} ADD VALUE {label}{place}"));
        }
        last = Some(label);
    }
    statements
}

/// The sequence's own words; whose it is comes once its column is there.
fn sequence(name: &str, before: Option<&str>, is: &str, identity: bool) -> Vec<String> {
    if identity {
        return Vec::new();
    }
    let (words, owner) = match is.rsplit_once(" owned by ") {
        Some((words, owner)) => (words, Some(owner)),
        None => (is, None),
    };
    let words = words.replace(" minimum ", " MINVALUE ").replace(" maximum ", " MAXVALUE ");
    let verb = if before.is_some() { "ALTER" } else { "CREATE" };
    let owner = owner.unwrap_or("NONE");
    let cycle = if words.ends_with(" cycle") { "" } else { " NO CYCLE" };
    vec![
        format!("{verb} SEQUENCE {name} AS {words}{cycle}"),
        format!("ALTER SEQUENCE {name} OWNED BY {owner}"),
    ]
}

/// Its tables are objects of their own.
fn publication(name: &str, is: &str) -> String {
    let all = if is.contains("for all tables") { " FOR ALL TABLES" } else { "" };
    let root = is.contains("via root");
    let what = ["insert", "update", "delete", "truncate"];
    let what = what.into_iter().filter(|it| is.split(", ").any(|word| word == *it));
    let what: Vec<&str> = what.collect();
    let with = format!("publish = '{}'", what.join(", "));
    let root = if root { ", publish_via_partition_root = true" } else { "" };
    format!("CREATE PUBLICATION {name}{all} WITH ({with}{root})")
}

/// The statements that make a trigger or a rule, and switch it as its definition says.
pub(super) fn switched(kind: &str, name: &str, table: &str, is: &str) -> Vec<String> {
    for (suffix, verb) in [
        (" (disabled)", "DISABLE"),
        (" (on replicas)", "ENABLE REPLICA"),
        (" (always)", "ENABLE ALWAYS"),
    ] {
        if let Some(create) = is.strip_suffix(suffix) {
            let switch = format!("ALTER TABLE {table} {verb} {kind} {name}");
            return vec![create.to_owned(), switch];
        }
    }
    vec![is.to_owned()]
}

/// A column's definition, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Column<'a> {
    kind: &'a str,
    collation: Option<&'a str>,
    not_null: bool,
    identity: Option<&'a str>,
    generated: Option<&'a str>,
    default: Option<&'a str>,
}

impl<'a> Column<'a> {
    /// Of the words that a fingerprint has, whose order is always the same.
    fn of(text: &'a str) -> Column<'a> {
        let cut = |text: &'a str, word: &str| match text.find(word) {
            Some(at) => (&text[..at], Some(&text[at + word.len()..])),
            None => (text, None),
        };
        let identity = ["generated always as identity", "generated by default as identity"];
        let identity = identity.into_iter().find_map(|it| {
            let rest = text.strip_suffix(it)?.strip_suffix(' ')?;
            Some((rest, &text[rest.len() + 1..]))
        });
        let (text, identity) = identity.map_or((text, None), |(rest, it)| (rest, Some(it)));
        // An expression comes last, and may contain the other words.
        let (rest, generated, default) = match (text.find(" generated as "), text.find(" default "))
        {
            (Some(at), other) if other.is_none_or(|other| at < other) => {
                (&text[..at], Some(&text[at + " generated as ".len()..]), None)
            }
            (_, Some(at)) => (&text[..at], None, Some(&text[at + " default ".len()..])),
            _ => (text, None, None),
        };
        let not_null = rest.ends_with(" not null");
        let rest = rest.strip_suffix(" not null").unwrap_or(rest);
        let (kind, collation) = cut(rest, " collate ");
        Column { kind, collation, not_null, identity, generated, default }
    }

    /// As `CREATE TABLE` and `ADD COLUMN` take it.
    fn declared(&self) -> String {
        let collation = self.collation.map(|it| format!(" COLLATE {it}"));
        let generated = self.generated.map(|it| format!(" GENERATED ALWAYS AS ({it}) STORED"));
        let default = self.default.map(|it| format!(" DEFAULT {it}"));
        let identity = self.identity.map(|it| format!(" {it}"));
        let not_null = self.not_null.then(|| " NOT NULL".to_owned());
        let parts = [collation, generated, default, identity, not_null];
        self.kind.to_owned() + &parts.into_iter().flatten().collect::<String>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_taken_apart_and_declared() {
        for (text, declared) in [
            ("bigint", "bigint"),
            (
                "text collate \"C\" not null default 'a default b'::text",
                "text COLLATE \"C\" DEFAULT 'a default b'::text NOT NULL",
            ),
            (
                "integer not null generated always as identity",
                "integer generated always as identity NOT NULL",
            ),
            (
                "integer not null generated by default as identity",
                "integer generated by default as identity NOT NULL",
            ),
            ("integer generated as (a + 1)", "integer GENERATED ALWAYS AS ((a + 1)) STORED"),
            ("text default ' generated as '::text", "text DEFAULT ' generated as '::text"),
        ] {
            assert_eq!(Column::of(text).declared(), declared, "{text}");
        }
    }

    #[test]
    fn labels_are_added_where_they_stand() {
        let added = new_labels("kind", "enum ('b', 'd')", "enum ('a', 'b', 'it''s, c', 'd')");
        assert_eq!(
            added,
            [
                "ALTER TYPE kind ADD VALUE 'a' BEFORE 'b'",
                "ALTER TYPE kind ADD VALUE 'it''s, c' AFTER 'b'"
            ]
        );
    }
}
