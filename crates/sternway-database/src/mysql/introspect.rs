//! The schema as a fingerprint, read from `information_schema`.
//!
//! Left out: the tracking tables, Sternway's own, comments, who defined what, and the next number of
//! a table. Where the server prints the database's own name in a definition, it is taken out, so that
//! a clean install elsewhere has the same.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::mysql::MySqlRow;
use sternway_model::proof::{Action, Definition, Facts, Fingerprint, ForeignKey, ObjectName};

use super::{MySql, cell, number, optional};
use crate::port::DatabaseError;

/// Describes the schema, without the tables named in `except`.
pub(super) async fn fingerprint(
    mysql: &mut MySql,
    except: &[String],
) -> Result<Fingerprint, DatabaseError> {
    // Definitions are printed by the session's mode.
    let plain = "SET @sternway_now = @@SESSION.sql_mode, SESSION sql_mode = ''".to_owned();
    mysql.run("begin to read the schema", plain).await?;
    let schema = format!("{}.", MySql::quote(&mysql.identity.database));
    let mut left = READINGS;
    let found = loop {
        let (schema, found) = (schema.clone(), Fingerprint::default());
        let mut reader = Reader { mysql: &mut *mysql, except, schema, found };
        let read = reader.read().await.map(|()| reader.found);
        left -= 1;
        // `information_schema` fails where a table goes while it looks.
        match read {
            Err(error) if left > 0 && number(&error) == Some(NO_SUCH_TABLE) => {}
            read => break read,
        }
    };
    let back = "SET SESSION sql_mode = @sternway_now".to_owned();
    let reset = mysql.run("end reading the schema", back).await;
    let found = found?;
    reset?;
    Ok(found)
}

/// How often a schema is read that somebody changes meanwhile.
const READINGS: u8 = 10;

/// The server's number for a table that is not there.
const NO_SUCH_TABLE: u16 = 1146;

/// A part of a table: the table, and its own name.
type Part = (String, String);

/// An index: its columns, whether it is unique, and what else there is to it.
type Index = (Vec<String>, bool, Vec<String>);

/// The columns of a foreign key, with the schema, the table and the columns that it refers to.
#[derive(Default)]
struct References {
    own: Vec<String>,
    schema: String,
    table: String,
    theirs: Vec<String>,
}

struct Reader<'a> {
    mysql: &'a mut MySql,
    except: &'a [String],
    /// The database's name as definitions have it before another one.
    schema: String,
    found: Fingerprint,
}

impl Reader<'_> {
    async fn read(&mut self) -> Result<(), DatabaseError> {
        let tables = self.tables().await?;
        self.columns(&tables).await?;
        self.indexes(&tables).await?;
        self.foreign_keys(&tables).await?;
        self.checks(&tables).await?;
        self.partitions(&tables).await?;
        self.triggers(&tables).await?;
        self.views().await?;
        self.routines().await?;
        self.events().await
    }

    /// The rows of a view of `information_schema` that are about this database.
    async fn rows(&mut self, view: &str, rest: &str) -> Result<Vec<MySqlRow>, DatabaseError> {
        let schema = match view {
            "STATISTICS" | "TABLES" | "COLUMNS" | "VIEWS" | "PARTITIONS" => "TABLE_SCHEMA",
            "KEY_COLUMN_USAGE" | "REFERENTIAL_CONSTRAINTS" | "CHECK_CONSTRAINTS" => {
                "CONSTRAINT_SCHEMA"
            }
            "TRIGGERS" => "TRIGGER_SCHEMA",
            "ROUTINES" => "ROUTINE_SCHEMA",
            "PARAMETERS" => "SPECIFIC_SCHEMA",
            _ => "EVENT_SCHEMA",
        };
        let name = MySql::literal(&self.mysql.identity.database);
        let sql = format!("SELECT * FROM information_schema.{view} WHERE {schema} = {name} {rest}");
        self.mysql.fetch("read the schema", sql).await
    }

    fn add(&mut self, kind: &str, name: String, table: Option<String>, parts: &[String]) {
        self.add_with(Facts::None, kind, name, table, parts);
    }

    fn add_with(
        &mut self,
        facts: Facts,
        kind: &str,
        name: String,
        table: Option<String>,
        parts: &[String],
    ) {
        let parts: Vec<&str> =
            parts.iter().map(String::as_str).filter(|it| !it.is_empty()).collect();
        let text = parts.join(" ").replace(&self.schema, "");
        let object = ObjectName { kind: kind.to_owned(), name, table };
        self.found.objects.insert(object, Definition { text, facts });
    }

    async fn tables(&mut self) -> Result<BTreeSet<String>, DatabaseError> {
        let mut tables = BTreeSet::new();
        for row in &self.rows("TABLES", "").await? {
            let name = cell(row, "TABLE_NAME");
            if super::is_ours(&name) || self.except.contains(&name) {
                continue;
            }
            match cell(row, "TABLE_TYPE").as_str() {
                "VIEW" | "SYSTEM VIEW" => {}
                "SEQUENCE" => self.sequence(name).await?,
                kind => {
                    let versioned = if kind == "BASE TABLE" { "" } else { kind };
                    let parts = [
                        cell(row, "ENGINE"),
                        cell(row, "TABLE_COLLATION"),
                        cell(row, "CREATE_OPTIONS"),
                        versioned.to_lowercase(),
                    ];
                    self.add("table", name.clone(), None, &parts);
                    tables.insert(name);
                }
            }
        }
        Ok(tables)
    }

    async fn sequence(&mut self, name: String) -> Result<(), DatabaseError> {
        let sql = format!("SELECT * FROM {}", self.mysql.table(&name));
        let rows = self.mysql.fetch("read the schema", sql).await?;
        let Some(row) = rows.first() else { return Ok(()) };
        let parts = [
            "start_value",
            "increment",
            "minimum_value",
            "maximum_value",
            "cache_size",
            "cycle_option",
        ];
        let parts = parts.map(|part| format!("{part} {}", cell(row, part)));
        self.add("sequence", name, None, &parts);
        Ok(())
    }

    async fn columns(&mut self, tables: &BTreeSet<String>) -> Result<(), DatabaseError> {
        for row in &self.rows("COLUMNS", "ORDER BY TABLE_NAME, ORDINAL_POSITION").await? {
            let (table, name) = (cell(row, "TABLE_NAME"), cell(row, "COLUMN_NAME"));
            if !tables.contains(&table) {
                continue;
            }
            let parts = [
                cell(row, "COLUMN_TYPE"),
                prefixed("collate ", optional(row, "COLLATION_NAME")),
                if cell(row, "IS_NULLABLE") == "NO" {
                    "not null".to_owned()
                } else {
                    String::new()
                },
                prefixed("default ", optional(row, "COLUMN_DEFAULT")),
                cell(row, "EXTRA").to_lowercase(),
                prefixed("as ", optional(row, "GENERATION_EXPRESSION").filter(|it| !it.is_empty())),
            ];
            let order = self.found.column_order.entry(ObjectName::new("table", &table));
            order.or_default().push(name.clone());
            self.add("column", name, Some(table), &parts);
        }
        Ok(())
    }

    /// Unique ones are constraints: without one, the table means something else.
    async fn indexes(&mut self, tables: &BTreeSet<String>) -> Result<(), DatabaseError> {
        let mut indexes: BTreeMap<Part, Index> = BTreeMap::new();
        for row in &self.rows("STATISTICS", "ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX").await?
        {
            let (table, name) = (cell(row, "TABLE_NAME"), cell(row, "INDEX_NAME"));
            if !tables.contains(&table) {
                continue;
            }
            let column = optional(row, "COLUMN_NAME").map(|it| MySql::quote(&it));
            let column = column.unwrap_or_else(|| format!("({})", cell(row, "EXPRESSION")));
            let length = optional(row, "SUB_PART").map(|it| format!("({it})")).unwrap_or_default();
            let down = if cell(row, "COLLATION") == "D" { " desc" } else { "" };
            let hidden = cell(row, "IGNORED") == "YES" || cell(row, "IS_VISIBLE") == "NO";
            let kind = vec![
                cell(row, "INDEX_TYPE").to_lowercase(),
                if hidden { "ignored".to_owned() } else { String::new() },
            ];
            let unique = cell(row, "NON_UNIQUE") == "0";
            let index = indexes.entry((table, name)).or_insert((Vec::new(), unique, kind));
            index.0.push(format!("{column}{length}{down}"));
        }
        for ((table, name), (columns, unique, kind)) in indexes {
            let columns = format!("({})", columns.join(", "));
            let how = match (unique, name.as_str()) {
                (true, "PRIMARY") => "primary key",
                (true, _) => "unique",
                (false, _) => "",
            };
            let parts = [vec![how.to_owned(), columns], kind].concat();
            let (facts, kind) =
                (Facts::Index { unique, valid: true }, if unique { "constraint" } else { "index" });
            self.add_with(facts, kind, name, Some(table), &parts);
        }
        Ok(())
    }

    async fn foreign_keys(&mut self, tables: &BTreeSet<String>) -> Result<(), DatabaseError> {
        let mut columns: BTreeMap<Part, References> = BTreeMap::new();
        let foreign = "AND REFERENCED_TABLE_NAME IS NOT NULL
                         ORDER BY TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION";
        for row in &self.rows("KEY_COLUMN_USAGE", foreign).await? {
            let key = (cell(row, "TABLE_NAME"), cell(row, "CONSTRAINT_NAME"));
            let entry = columns.entry(key).or_default();
            entry.schema = cell(row, "REFERENCED_TABLE_SCHEMA");
            entry.table = cell(row, "REFERENCED_TABLE_NAME");
            entry.own.push(cell(row, "COLUMN_NAME"));
            entry.theirs.push(cell(row, "REFERENCED_COLUMN_NAME"));
        }
        for row in &self.rows("REFERENTIAL_CONSTRAINTS", "").await? {
            let (table, name) = (cell(row, "TABLE_NAME"), cell(row, "CONSTRAINT_NAME"));
            let Some(key) = columns.remove(&(table.clone(), name.clone())) else { continue };
            if !tables.contains(&table) {
                continue;
            }
            let References { own, schema, table: other, theirs } = key;
            let list = |names: &[String]| {
                names.iter().map(|it| MySql::quote(it)).collect::<Vec<_>>().join(", ")
            };
            let (update, delete) = (cell(row, "UPDATE_RULE"), cell(row, "DELETE_RULE"));
            let (there, at) = (MySql::quote(&schema), MySql::quote(&other));
            let parts = [
                format!("foreign key ({})", list(&own)),
                format!("references {there}.{at} ({})", list(&theirs)),
                format!("on update {}", update.to_lowercase()),
                format!("on delete {}", delete.to_lowercase()),
            ];
            let here = schema == self.mysql.identity.database;
            let facts = Facts::ForeignKey(ForeignKey {
                columns: own,
                parent: if here { other } else { format!("{schema}.{other}") },
                parent_columns: theirs,
                on_update: action(&update),
                on_delete: action(&delete),
            });
            self.add_with(facts, "constraint", name, Some(table), &parts);
        }
        Ok(())
    }

    async fn checks(&mut self, tables: &BTreeSet<String>) -> Result<(), DatabaseError> {
        let rows = if self.mysql.mariadb {
            self.rows("CHECK_CONSTRAINTS", "").await
        } else {
            let sql = format!(
                "SELECT t.TABLE_NAME, t.CONSTRAINT_NAME, t.ENFORCED, c.CHECK_CLAUSE
                 FROM information_schema.TABLE_CONSTRAINTS t
                 JOIN information_schema.CHECK_CONSTRAINTS c
                   ON c.CONSTRAINT_SCHEMA = t.CONSTRAINT_SCHEMA AND c.CONSTRAINT_NAME = t.CONSTRAINT_NAME
                 WHERE t.CONSTRAINT_TYPE = 'CHECK' AND t.CONSTRAINT_SCHEMA = {}",
                MySql::literal(&self.mysql.identity.database)
            );
            self.mysql.fetch("read the schema", sql).await
        };
        let rows = match rows {
            // Older servers have neither checks nor the view.
            Err(error) if number(&error) == Some(1109) => return Ok(()),
            rows => rows?,
        };
        for row in &rows {
            let table = cell(row, "TABLE_NAME");
            if !tables.contains(&table) {
                continue;
            }
            let enforced = if cell(row, "ENFORCED") == "NO" { "not enforced" } else { "" };
            let parts = [format!("check ({})", cell(row, "CHECK_CLAUSE")), enforced.to_owned()];
            // A check of a column has the column's name, and a key may have it too.
            let name = cell(row, "CONSTRAINT_NAME");
            let kind = if cell(row, "LEVEL") == "Column" { "check" } else { "constraint" };
            self.add(kind, name, Some(table), &parts);
        }
        Ok(())
    }

    async fn partitions(&mut self, tables: &BTreeSet<String>) -> Result<(), DatabaseError> {
        for row in &self.rows("PARTITIONS", "AND PARTITION_NAME IS NOT NULL").await? {
            let table = cell(row, "TABLE_NAME");
            if !tables.contains(&table) {
                continue;
            }
            let sub = optional(row, "SUBPARTITION_NAME").map(|sub| format!(".{sub}"));
            let name = format!("{}{}", cell(row, "PARTITION_NAME"), sub.unwrap_or_default());
            let parts = [
                cell(row, "PARTITION_METHOD").to_lowercase(),
                cell(row, "PARTITION_EXPRESSION"),
                prefixed("values ", optional(row, "PARTITION_DESCRIPTION")),
                cell(row, "SUBPARTITION_METHOD").to_lowercase(),
                cell(row, "SUBPARTITION_EXPRESSION"),
            ];
            self.add("partition", name, Some(table), &parts);
        }
        Ok(())
    }

    async fn triggers(&mut self, tables: &BTreeSet<String>) -> Result<(), DatabaseError> {
        for row in &self.rows("TRIGGERS", "ORDER BY ACTION_ORDER").await? {
            let table = cell(row, "EVENT_OBJECT_TABLE");
            if !tables.contains(&table) {
                continue;
            }
            let (timing, event) = (cell(row, "ACTION_TIMING"), cell(row, "EVENT_MANIPULATION"));
            let (when, name) =
                (format!("{timing} {event}").to_lowercase(), cell(row, "TRIGGER_NAME"));
            // Its number counts those of others too.
            let mut run = ObjectName::new("triggers", &when);
            run.table = Some(table.clone());
            self.found.column_order.entry(run).or_default().push(name.clone());
            self.add("trigger", name, Some(table), &[when, cell(row, "ACTION_STATEMENT")]);
        }
        Ok(())
    }

    async fn views(&mut self) -> Result<(), DatabaseError> {
        for row in &self.rows("VIEWS", "").await? {
            let check = Some(cell(row, "CHECK_OPTION")).filter(|it| it != "NONE");
            let parts = [
                format!("security {}", cell(row, "SECURITY_TYPE").to_lowercase()),
                cell(row, "VIEW_DEFINITION"),
                prefixed("check ", check.map(|it| it.to_lowercase())),
            ];
            self.add("view", cell(row, "TABLE_NAME"), None, &parts);
        }
        Ok(())
    }

    async fn routines(&mut self) -> Result<(), DatabaseError> {
        let mut parameters: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        let order = "AND ORDINAL_POSITION > 0 ORDER BY SPECIFIC_NAME, ORDINAL_POSITION";
        for row in &self.rows("PARAMETERS", order).await? {
            let key = (cell(row, "ROUTINE_TYPE"), cell(row, "SPECIFIC_NAME"));
            let parts = ["PARAMETER_MODE", "PARAMETER_NAME", "DTD_IDENTIFIER"];
            let parts = parts.map(|part| cell(row, part)).join(" ");
            parameters.entry(key).or_default().push(parts);
        }
        for row in &self.rows("ROUTINES", "").await? {
            let (kind, name) = (cell(row, "ROUTINE_TYPE"), cell(row, "SPECIFIC_NAME"));
            let own = parameters.remove(&(kind.clone(), name.clone())).unwrap_or_default();
            let deterministic = cell(row, "IS_DETERMINISTIC") == "YES";
            let parts = [
                format!("({})", own.join(", ")),
                prefixed("returns ", optional(row, "DTD_IDENTIFIER").filter(|it| !it.is_empty())),
                if deterministic { "deterministic".to_owned() } else { String::new() },
                cell(row, "SQL_DATA_ACCESS").to_lowercase(),
                format!("security {}", cell(row, "SECURITY_TYPE").to_lowercase()),
                cell(row, "ROUTINE_DEFINITION"),
            ];
            self.add(&kind.to_lowercase(), name, None, &parts);
        }
        Ok(())
    }

    /// Without the moments that hang on when the event was made.
    async fn events(&mut self) -> Result<(), DatabaseError> {
        for row in &self.rows("EVENTS", "").await? {
            let parts = [
                cell(row, "EVENT_TYPE").to_lowercase(),
                prefixed("every ", optional(row, "INTERVAL_VALUE")),
                cell(row, "INTERVAL_FIELD").to_lowercase(),
                cell(row, "STATUS").to_lowercase(),
                format!("on completion {}", cell(row, "ON_COMPLETION").to_lowercase()),
                cell(row, "EVENT_DEFINITION"),
            ];
            self.add("event", cell(row, "EVENT_NAME"), None, &parts);
        }
        Ok(())
    }
}

/// What a foreign key does, in the server's words.
fn action(rule: &str) -> Action {
    match rule {
        "CASCADE" => Action::Cascade,
        "SET NULL" => Action::SetNull,
        "SET DEFAULT" => Action::SetDefault,
        "RESTRICT" => Action::Restrict,
        _ => Action::NoAction,
    }
}

fn prefixed(prefix: &str, text: Option<String>) -> String {
    text.map(|text| format!("{prefix}{text}")).unwrap_or_default()
}
