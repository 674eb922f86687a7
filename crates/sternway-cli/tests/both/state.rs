//! What a database and a folder hold, as texts to compare.

use std::fs;
use std::path::Path;

use super::server::{Admin, Kind};
use super::{Place, message};

/// What there is, after a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// The tracking table's rows, as in `3` or `3 dirty`; `none` if it has none, else `absent`.
    pub tracking: String,
    /// Where a body failed, as Sternway notes it in a table of its own on MariaDB.
    pub progress: Option<String>,
    /// The tables and views beside both.
    pub tables: String,
    /// Every object, the tracking table first.
    pub schema: Vec<String>,
    /// The rows of the tables.
    pub rows: Vec<String>,
    /// The files beside the database's, with sizes and rights.
    pub files: Vec<String>,
}

impl State {
    /// Looks at a place, whose tracking table is `table`.
    pub fn of(place: &Place, admin: &mut Admin, table: &str) -> State {
        let names = relations(place, admin, true);
        let tracked = |name: &&String| *name == table;
        let tracking = match names.iter().find(tracked) {
            Some(name) => {
                let name = quoted(place, name);
                let order = "ORDER BY version, dirty";
                let dirty = "CASE WHEN dirty THEN ' dirty' ELSE '' END";
                let text = match place.pair.kind {
                    Kind::MariaDb => format!("CONCAT(version, {dirty})"),
                    _ => format!("CAST(version AS text) || {dirty}"),
                };
                let rows = admin.rows(place, &format!("SELECT {text} FROM {name} {order}"));
                if rows.is_empty() { "none".to_owned() } else { rows.join(", ") }
            }
            None => "absent".to_owned(),
        };
        let noted = |name: &&String| {
            place.pair.kind == Kind::MariaDb && name.starts_with("sternway_progress_")
        };
        let progress = names.iter().find(noted).map(|it| data(place, admin, it).join(" "));
        let others = names.iter().filter(|it| !tracked(it) && !noted(it));
        let others: Vec<_> = others.cloned().collect();
        let full = relations(place, admin, false).into_iter().filter(|it| others.contains(it));
        let rows = full.flat_map(|it| data(place, admin, &it)).collect();
        let noted = |it: &String| it.starts_with("sternway_progress_");
        let schema = objects(place, admin).into_iter();
        let schema = schema.filter(|it| !(place.pair.kind == Kind::MariaDb && noted(it)));
        State {
            tracking,
            progress,
            tables: others.join(" "),
            schema: schema.map(|it| it.replace(&place.name, "DB")).collect(),
            rows,
            files: files(&place.work()),
        }
    }
}

/// Tables, and views if they are asked for as well.
fn relations(place: &Place, admin: &mut Admin, views: bool) -> Vec<String> {
    let name = &place.name;
    let sql = match place.pair.kind {
        Kind::PostgreSql => format!(
            "SELECT CASE WHEN nspname = '{name}' THEN '' ELSE nspname || '.' END || relname
             FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
             WHERE starts_with(nspname, '{name}') AND (relkind IN ('r', 'p') OR {views} AND relkind IN ('v', 'm')) ORDER BY 1"
        ),
        Kind::MariaDb => format!(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = '{name}'
             AND (table_type = 'BASE TABLE' OR {views}) ORDER BY 1"
        ),
        Kind::Sqlite if place.database_file().exists() => format!(
            "SELECT name FROM sqlite_schema
             WHERE type = 'table' OR {views} AND type = 'view' ORDER BY 1"
        ),
        Kind::Sqlite | Kind::None => return Vec::new(),
    };
    let names = admin.rows(place, &sql).into_iter();
    names.map(|it| it.replace(&place.name, "DB")).collect()
}

/// A table's name in SQL.
fn quoted(place: &Place, name: &str) -> String {
    match place.pair.kind {
        Kind::MariaDb => format!("`{name}`"),
        Kind::PostgreSql => match name.strip_prefix("DB").and_then(|it| it.split_once('.')) {
            Some((rest, table)) => format!("\"{}{rest}\".\"{table}\"", place.name),
            None => format!("\"{}\"", name.replace('"', "\"\"")),
        },
        Kind::Sqlite | Kind::None => format!("\"{name}\""),
    }
}

/// The rows of a table.
fn data(place: &Place, admin: &mut Admin, table: &str) -> Vec<String> {
    let quoted = quoted(place, table);
    let sql = match place.pair.kind {
        Kind::PostgreSql => format!("SELECT it::text FROM {quoted} it ORDER BY 1"),
        Kind::MariaDb => {
            let columns = admin.rows(
                place,
                &format!(
                    "SELECT CONCAT('QUOTE(`', column_name, '`)') FROM information_schema.columns
                     WHERE table_schema = '{}' AND table_name = '{table}' ORDER BY ordinal_position",
                    place.name
                ),
            );
            format!("SELECT CONCAT_WS(',', {}) FROM {quoted} ORDER BY 1", columns.join(", "))
        }
        Kind::Sqlite | Kind::None => {
            let columns =
                format!("SELECT 'quote(\"' || name || '\")' FROM pragma_table_info('{table}')");
            let columns = admin.rows(place, &columns).join(" || ',' || ");
            format!("SELECT {columns} FROM {quoted} ORDER BY 1")
        }
    };
    admin.rows(place, &sql).into_iter().map(|row| format!("{table}: {row}")).collect()
}

/// The definition of every object.
fn objects(place: &Place, admin: &mut Admin) -> Vec<String> {
    let name = &place.name;
    match place.pair.kind {
        Kind::PostgreSql => admin.rows(
            place,
            &format!(
                "WITH ours AS (SELECT oid FROM pg_namespace WHERE starts_with(nspname, '{name}')),
                      rel AS (SELECT * FROM pg_class WHERE relnamespace IN (SELECT oid FROM ours)
                              AND relkind NOT IN ('t', 'c'))
                 SELECT relkind::text || ' ' || oid::regclass::text FROM rel
                 UNION ALL
                 SELECT attrelid::regclass::text || '.' || attname || ' ' || format_type(atttypid, atttypmod)
                        || CASE WHEN attnotnull THEN ' not null' ELSE '' END
                        || coalesce(' default ' || pg_get_expr(adbin, adrelid), '')
                 FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
                 WHERE attrelid IN (SELECT oid FROM rel) AND attnum > 0 AND NOT attisdropped
                 UNION ALL
                 SELECT pg_get_indexdef(indexrelid) || CASE WHEN indisvalid THEN '' ELSE ' invalid' END
                 FROM pg_index WHERE indrelid IN (SELECT oid FROM rel)
                 UNION ALL
                 SELECT conrelid::regclass::text || ' ' || conname || ' ' || pg_get_constraintdef(oid)
                 FROM pg_constraint WHERE connamespace IN (SELECT oid FROM ours)
                 UNION ALL
                 SELECT pg_get_viewdef(oid) FROM rel WHERE relkind IN ('v', 'm')
                 UNION ALL
                 SELECT pg_get_functiondef(oid) FROM pg_proc
                 WHERE pronamespace IN (SELECT oid FROM ours) AND prokind IN ('f', 'p')
                 UNION ALL
                 SELECT 'type ' || typname FROM pg_type
                 WHERE typnamespace IN (SELECT oid FROM ours) AND typtype IN ('e', 'd')
                 ORDER BY 1"
            ),
        ),
        Kind::MariaDb => {
            let mut found = Vec::new();
            for table in relations(place, admin, true) {
                found.extend(admin.rows(place, &format!("SHOW CREATE TABLE `{table}`")));
            }
            let routines = format!(
                "SELECT CONCAT(routine_type, ' ', routine_name) FROM information_schema.routines
                 WHERE routine_schema = '{name}' ORDER BY 1"
            );
            found.extend(admin.rows(place, &routines));
            found
        }
        Kind::Sqlite if place.database_file().exists() => admin.rows(
            place,
            "SELECT type || ' ' || name || ' on ' || tbl_name || ': ' || coalesce(sql, '')
             FROM sqlite_schema ORDER BY type, name",
        ),
        Kind::Sqlite | Kind::None => Vec::new(),
    }
}

/// The files below a folder.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for file in fs::read_dir(&next).expect("a folder") {
            let path = file.expect("a file").path();
            let about = path.symlink_metadata().expect("a file");
            let name = path.strip_prefix(folder).expect("a path below").display().to_string();
            if about.is_dir() {
                found.push(format!("{name}/"));
                open.push(path);
            } else if name != "db.sqlite" {
                use std::os::unix::fs::PermissionsExt;
                let rights = about.permissions().mode() & 0o777;
                found.push(format!("{name} {rights:o} {}", about.len()));
            }
        }
    }
    found.sort();
    found.iter().map(|it| message::undated(it)).collect()
}
