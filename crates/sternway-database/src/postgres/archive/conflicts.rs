//! Which kept rows fit the schema that is there, and which do not, and why.
//!
//! Rows are restored all at once, as if all fit. Only where the server refuses that are the
//! constraints asked one by one; what then still does not fit is found by halving.

use serde::Deserialize;
use sternway_model::effect::Lost;

use super::{CONFLICT, Stored};
use crate::archive::{BATCH, reason};
use crate::port::{DatabaseError, words as abridged};
use crate::postgres::effects::{Oid, json};
use crate::postgres::{Postgres, literal};

const DOING: &str = "restore what the archive keeps";

/// A table as it is now, with all that its rows have to obey.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Live {
    pub oid: Oid,
    pub kind: char,
    pub forced: bool,
    pub columns: Vec<LiveColumn>,
    checks: Vec<(String, String)>,
    foreign_keys: Vec<ForeignKey>,
    /// The columns that foreign keys lead to.
    referred: Vec<String>,
    /// The tables whose rows refer to it, as SQL has them.
    pub referring: Vec<String>,
    uniques: Vec<Vec<String>>,
    /// What keeps its values apart and can be taken off for a while: its primary key, unique constraints and unique
    /// indexes, by what takes them off and on again, and their columns.
    keys: Vec<(String, String, Vec<String>)>,
    /// The triggers of the user's, and when they fire.
    pub triggers: Vec<(String, char)>,
    /// Its rewrite rules, and when they apply.
    pub rules: Vec<(String, char)>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct LiveColumn {
    pub name: String,
    pub type_name: String,
    pub generated: bool,
    pub not_null: bool,
    /// Whether the server alone may write it, unless it is told otherwise.
    pub always: bool,
    /// Whether a row that is given no value gets one of its own: a number, a time, chance.
    pub own: bool,
    /// What such a row gets otherwise, as SQL has it, where that is anything.
    default: Option<String>,
    /// What the rows have that were there before the column was, as text, where that is anything.
    missing: Option<String>,
}

impl LiveColumn {
    /// That nobody has written to it in the row `t`, as far as that shows.
    pub fn blank(&self) -> String {
        let value = format!("t.{}", Postgres::quote(&self.name));
        let default = self.default.iter().map(|it| format!("({it})::{}::text", self.type_name));
        let missing = self.missing.iter().map(|it| literal(it));
        let same = default.chain(missing).map(|it| format!("{value}::text = {it}"));
        [format!("{value} IS NULL")].into_iter().chain(same).collect::<Vec<_>>().join(" OR ")
    }
}

#[derive(Debug, Clone, Deserialize)]
struct ForeignKey {
    name: String,
    columns: Vec<String>,
    parent: Oid,
    parent_sql: String,
    parent_columns: Vec<String>,
}

impl Live {
    /// The table of this name, where its own rows are meant: keys say nothing of those that inherit.
    pub fn rows(&self, table: &str) -> String {
        let only = if self.kind == 'r' { "ONLY " } else { "" };
        format!("{only}{table}")
    }

    /// Whether a column gives a row a value by itself.
    pub fn is_own(&self, column: &str) -> bool {
        self.columns.iter().any(|it| it.name == column && it.own)
    }

    /// Whether other rows refer to one of these columns.
    pub fn is_referred_to(&self, columns: &[String]) -> bool {
        self.referred.iter().any(|it| columns.contains(it))
    }

    /// The keys by which rows are told apart besides this one.
    pub fn uniques_beside(&self, key: &[String]) -> impl Iterator<Item = &Vec<String>> {
        self.uniques.iter().filter(move |it| !(it.iter().all(|it| key.contains(it))))
    }

    /// Whether no two rows have the same values in these columns.
    pub fn tells_apart(&self, columns: &[String]) -> bool {
        self.uniques.iter().any(|it| it.iter().all(|it| columns.contains(it)))
    }

    /// Whether one of these columns refers to rows of a table.
    pub fn refers(&self, columns: &[String], to: Oid) -> bool {
        let leads =
            |it: &ForeignKey| it.parent == to && it.columns.iter().any(|it| columns.contains(it));
        self.foreign_keys.iter().any(leads)
    }
}

/// Reads the table that an entry came from; `None` where there is none of that name.
pub(super) async fn live(
    postgres: &mut Postgres,
    stored: &Stored,
) -> Result<Option<Live>, DatabaseError> {
    let names = |numbers: &str, of: &str| {
        format!(
            "(SELECT pg_catalog.json_agg(a.attname ORDER BY u.place)
              FROM pg_catalog.unnest({numbers}) WITH ORDINALITY AS u(number, place)
              JOIN pg_catalog.pg_attribute a ON a.attrelid = {of} AND a.attnum = u.number)"
        )
    };
    let sql = format!(
        "SELECT coalesce((SELECT pg_catalog.json_build_object(
            'oid', c.oid::bigint, 'kind', c.relkind, 'forced', c.relforcerowsecurity,
            'columns', coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
                    'name', attname, 'type_name', pg_catalog.format_type(atttypid, atttypmod),
                    'generated', attgenerated <> '', 'not_null', attnotnull,
                    'always', attidentity = 'a',
                    'own', attidentity <> '' OR coalesce(varies, false),
                    'default', CASE WHEN attgenerated = '' AND NOT varies
                               THEN pg_catalog.pg_get_expr(adbin, adrelid) END,
                    'missing', CASE WHEN atthasmissing THEN (attmissingval::text::text[])[1] END)
                    ORDER BY attnum)
                FROM pg_catalog.pg_attribute
                LEFT JOIN pg_catalog.pg_attrdef ON adrelid = attrelid AND adnum = attnum
                LEFT JOIN LATERAL (SELECT adbin::text ~ 'NEXTVALUEEXPR|SQLVALUEFUNCTION' OR EXISTS (
                    SELECT FROM pg_catalog.regexp_matches(adbin::text, ':(?:func|opfunc)id ([0-9]+)', 'g') AS called
                    JOIN pg_catalog.pg_proc p ON p.oid = called[1]::oid WHERE p.provolatile <> 'i') AS varies) AS v ON true
                WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped), '[]'),
            'checks', coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
                    conname, pg_catalog.pg_get_expr(conbin, conrelid)))
                FROM pg_catalog.pg_constraint WHERE conrelid = c.oid AND contype = 'c'), '[]'),
            'foreign_keys', coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
                    'name', conname, 'columns', {columns}, 'parent', confrelid::bigint,
                    'parent_sql', (SELECT CASE relkind WHEN 'r' THEN 'ONLY ' ELSE '' END
                                   FROM pg_catalog.pg_class WHERE oid = confrelid) || confrelid::regclass::text,
                     'parent_columns', {parents}))
                FROM pg_catalog.pg_constraint k WHERE conrelid = c.oid AND contype = 'f' AND conparentid = 0), '[]'),
            'referred', coalesce((SELECT pg_catalog.json_agg(DISTINCT a.attname)
                FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_attribute a
                  ON a.attrelid = k.confrelid AND a.attnum = ANY (k.confkey)
                WHERE k.confrelid = c.oid AND k.contype = 'f'), '[]'),
            'referring', coalesce((SELECT pg_catalog.json_agg(DISTINCT conrelid::regclass::text)
                FROM pg_catalog.pg_constraint WHERE confrelid = c.oid AND contype = 'f' AND conparentid = 0), '[]'),
            'uniques', coalesce((SELECT pg_catalog.json_agg({uniques})
                FROM pg_catalog.pg_index i WHERE indrelid = c.oid AND indisunique AND indisvalid
                 AND indpred IS NULL AND indexprs IS NULL), '[]'),
            'keys', coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
                    CASE WHEN k.oid IS NULL THEN pg_catalog.format('DROP INDEX %s', i.indexrelid::regclass)
                    ELSE pg_catalog.format('ALTER TABLE %s DROP CONSTRAINT %I', c.oid::regclass, k.conname) END,
                    CASE WHEN k.oid IS NULL THEN pg_catalog.pg_get_indexdef(i.indexrelid)
                    ELSE pg_catalog.format('ALTER TABLE %s ADD CONSTRAINT %I %s', c.oid::regclass, k.conname,
                                           pg_catalog.pg_get_constraintdef(k.oid)) END,
                    CASE WHEN i.indexprs IS NULL THEN {indexed}
                    ELSE (SELECT pg_catalog.json_agg(attname) FROM pg_catalog.pg_attribute
                          WHERE attrelid = c.oid AND attnum > 0) END))
                FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
                LEFT JOIN pg_catalog.pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u')
                WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid AND i.indimmediate
                 AND NOT i.indisclustered AND NOT i.indisreplident
                 AND (k.oid IS NOT NULL OR x.relkind = 'i' AND x.reltablespace = 0)
                 AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits WHERE inhrelid = i.indexrelid)
                 AND pg_catalog.obj_description(i.indexrelid, 'pg_class') IS NULL
                 AND (k.oid IS NULL OR pg_catalog.obj_description(k.oid, 'pg_constraint') IS NULL)), '[]'),
            'triggers', coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_array(tgname, tgenabled))
                FROM pg_catalog.pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal AND tgenabled <> 'D'), '[]'),
            'rules', coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_array(rulename, ev_enabled))
                FROM pg_catalog.pg_rewrite WHERE ev_class = c.oid AND ev_enabled <> 'D'), '[]'))
          FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
          WHERE n.nspname = {schema} AND c.relname = {table} AND c.relkind IN ('r', 'p')), 'null')::text",
        columns = names("k.conkey", "k.conrelid"),
        indexed = names("(i.indkey::int2[])", "i.indrelid"),
        parents = names("k.confkey", "k.confrelid"),
        uniques = names("(i.indkey::int2[])[0:i.indnkeyatts - 1]", "i.indrelid"),
        schema = literal(&stored.detail.schema),
        table = literal(&stored.detail.table),
    );
    json(postgres, DOING, sql).await
}

/// Rows that are restored by one statement: kept rows `k`, up to a condition on them.
pub(super) struct Part<'a> {
    pub stored: &'a Stored,
    pub live: &'a Live,
    /// The statement, up to its last condition.
    pub statement: String,
    /// Its rows as the table is to have them: every column by its name, the kept row's place as
    /// `sternway_place`, and the place of the row that is changed as `sternway_part` and `sternway_row`.
    pub candidates: String,
    /// Whether it makes rows, which others may refer to.
    pub inserts: bool,
    /// The columns that it changes in rows that are there.
    pub changes: Vec<String>,
}

impl Part<'_> {
    /// The same with the keys over the columns that it changes taken off meanwhile: the server looks
    /// at each row by itself, and finds another one's old key in the way of its new one. Foreign keys
    /// that lead to them go along where no row has to obey them.
    async fn without_keys(&self, postgres: &mut Postgres) -> Result<Option<String>, DatabaseError> {
        let changed = |columns: &[String]| columns.iter().any(|it| self.changes.contains(it));
        let keys = self.live.keys.iter().filter(|(.., columns)| changed(columns));
        let keys: Vec<(String, String)> =
            keys.map(|(off, on, _)| (off.clone(), on.clone())).collect();
        if keys.is_empty() {
            return Ok(None);
        }
        let idle = self.idle_foreign_keys(postgres).await?.into_iter();
        let idle: Vec<(String, String)> = idle
            .map(|(table, name, definition)| {
                let name = Postgres::quote(&name);
                (
                    format!("ALTER TABLE {table} DROP CONSTRAINT {name}"),
                    format!("ALTER TABLE {table} ADD CONSTRAINT {name} {definition}"),
                )
            })
            .collect();
        let off: String = idle.iter().chain(&keys).map(|(off, _)| format!("{off}; ")).collect();
        let on: String = keys.iter().chain(&idle).map(|(_, on)| format!("; {on}")).collect();
        Ok(Some(format!("{off}{}{on}", self.statement)))
    }

    /// The foreign keys of empty tables that lead to columns that it changes: table, name, definition.
    async fn idle_foreign_keys(
        &self,
        postgres: &mut Postgres,
    ) -> Result<Vec<(String, String, String)>, DatabaseError> {
        let changes = self.changes.iter().map(|it| literal(it)).collect::<Vec<_>>().join(", ");
        let sql = format!(
            "SELECT coalesce(pg_catalog.json_agg(pg_catalog.json_build_array(
                    k.conrelid::regclass::text, k.conname, pg_catalog.pg_get_constraintdef(k.oid))), '[]')::text
             FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
             WHERE k.confrelid = {oid}::oid AND k.contype = 'f' AND k.conparentid = 0
               AND NOT c.relforcerowsecurity AND pg_catalog.pg_has_role(c.relowner, 'USAGE')
               AND EXISTS (SELECT FROM pg_catalog.pg_attribute a WHERE a.attrelid = k.confrelid
                            AND a.attnum = ANY (k.confkey) AND a.attname = ANY (ARRAY[{changes}]::name[]))",
            oid = self.live.oid
        );
        let mut idle: Vec<(String, String, String)> = Vec::new();
        for key in json::<Vec<(String, String, String)>>(postgres, DOING, sql).await? {
            let empty =
                format!("SELECT pg_catalog.to_json(NOT EXISTS (SELECT FROM {}))::text", key.0);
            if json::<bool>(postgres, DOING, empty).await? {
                idle.push(key);
            }
        }
        Ok(idle)
    }

    /// Gives a reason to the kept rows at which `violation` holds, and tells how many got one.
    async fn mark(
        &self,
        postgres: &mut Postgres,
        reason: &str,
        violation: &str,
    ) -> Result<u64, DatabaseError> {
        let Part { stored, candidates, .. } = self;
        let (store, reason) = (stored.store(), literal(reason));
        let sql = format!(
            "UPDATE {store} AS k SET {CONFLICT} = {reason}
             FROM (SELECT sternway_place FROM ({candidates}) AS c WHERE {violation}) AS v
             WHERE k.ctid = v.sternway_place"
        );
        postgres.count(DOING, sql).await
    }

    /// Asks the constraints that are the row's own affair.
    async fn mark_alone(&self, postgres: &mut Postgres) -> Result<(), DatabaseError> {
        for column in self.live.columns.iter().filter(|it| it.not_null && !it.generated) {
            let name = &column.name;
            let reason = format!("column {name} may not be null");
            self.mark(postgres, &reason, &format!("c.{} IS NULL", Postgres::quote(name))).await?;
        }
        for (name, check) in &self.live.checks {
            self.mark(postgres, &format!("check {name} does not hold"), &format!("NOT ({check})"))
                .await?;
        }
        Ok(())
    }

    /// Asks for values that another row has. A row that is itself restored gives up its own.
    async fn mark_taken(&self, postgres: &mut Postgres) -> Result<u64, DatabaseError> {
        let mut marked = 0;
        for columns in &self.live.uniques {
            let same = pairs("t", columns, "c", columns);
            let rows = self.live.rows(&self.stored.table());
            let moves = match self.inserts {
                true => String::new(),
                false => format!(
                    " AND NOT EXISTS (SELECT FROM ({}) AS o
                        WHERE o.sternway_row = t.ctid AND o.sternway_part = t.tableoid)",
                    self.candidates
                ),
            };
            let violation = format!("EXISTS (SELECT FROM {rows} AS t WHERE {same}{moves})");
            marked += self.mark(postgres, &reason::same(columns), &violation).await?;
        }
        Ok(marked)
    }

    /// Asks the foreign keys. A row that is itself restored counts as there.
    async fn mark_orphans(
        &self,
        postgres: &mut Postgres,
        parts: &[Part<'_>],
    ) -> Result<u64, DatabaseError> {
        let mut marked = 0;
        for key in &self.live.foreign_keys {
            let there = pairs("p", &key.parent_columns, "c", &key.columns);
            let mut violation = set("c", &key.columns);
            violation.push_str(&format!(
                " AND NOT EXISTS (SELECT FROM {} AS p WHERE {there})",
                key.parent_sql
            ));
            for other in parts.iter().filter(|it| it.inserts && it.live.oid == key.parent) {
                let rows = &other.candidates;
                violation.push_str(&format!(
                    " AND NOT EXISTS (SELECT FROM ({rows}) AS p WHERE {there})"
                ));
            }
            let reason = format!("the row that {} refers to is not there", key.name);
            marked += self.mark(postgres, &reason, &violation).await?;
        }
        Ok(marked)
    }
}

fn pairs(one: &str, columns: &[String], other: &str, others: &[String]) -> String {
    let pairs = columns.iter().zip(others);
    let same = pairs
        .map(|(a, b)| format!("{one}.{} = {other}.{}", Postgres::quote(a), Postgres::quote(b)));
    same.collect::<Vec<_>>().join(" AND ")
}

fn set(of: &str, columns: &[String]) -> String {
    let set = columns.iter().map(|it| format!("{of}.{} IS NOT NULL", Postgres::quote(it)));
    set.collect::<Vec<_>>().join(" AND ")
}

/// Puts the rows of all parts back, each that fits. Parts are one statement, so that rows may refer
/// to one another in a circle. Returns how many rows went where one part went as a whole.
pub(super) async fn put(
    postgres: &mut Postgres,
    parts: &[Part<'_>],
) -> Result<Option<u64>, DatabaseError> {
    if parts.is_empty() {
        return Ok(None);
    }
    if let Some(rows) = try_all(postgres, parts).await? {
        return Ok(Some(rows));
    }
    if try_without_keys(postgres, parts).await? {
        return Ok(None);
    }
    for part in parts {
        part.mark_alone(postgres).await?;
    }
    loop {
        let mut marked = 0;
        for part in parts {
            marked += part.mark_taken(postgres).await?;
            marked += part.mark_orphans(postgres, parts).await?;
        }
        if marked == 0 {
            break;
        }
    }
    if try_all(postgres, parts).await?.is_some() || try_without_keys(postgres, parts).await? {
        return Ok(None);
    }
    for part in parts {
        by_halves(postgres, part).await?;
    }
    Ok(None)
}

/// Runs `sql` if the server lets it, and tells how many rows it wrote; otherwise nothing of it is left,
/// and the server's words are returned.
pub(super) async fn attempt(
    postgres: &mut Postgres,
    sql: String,
) -> Result<Result<u64, String>, DatabaseError> {
    let error = match postgres.count(DOING, format!("SAVEPOINT sternway_put; {sql}")).await {
        Ok(rows) => {
            postgres.run(DOING, "RELEASE SAVEPOINT sternway_put".to_owned()).await?;
            return Ok(Ok(rows));
        }
        Err(error) => error,
    };
    let DatabaseError::Query { source: sqlx::Error::Database(words), .. } = &error else {
        return Err(error);
    };
    // Only what is wrong with the rows: 22 is data, 23 a constraint. A lock or a limit is not. A key
    // that others refer to cannot be taken off.
    let code = words.code().unwrap_or_default();
    let of_the_rows = code.starts_with("22") || code.starts_with("23");
    if !of_the_rows && !["P0001", "44000", "2BP01"].contains(&code.as_ref()) {
        return Err(error);
    }
    let words = abridged(words.as_ref()).unwrap_or_default();
    let back = "ROLLBACK TO SAVEPOINT sternway_put; RELEASE SAVEPOINT sternway_put";
    postgres.run(DOING, back.to_owned()).await?;
    Ok(Err(words))
}

async fn try_all(
    postgres: &mut Postgres,
    parts: &[Part<'_>],
) -> Result<Option<u64>, DatabaseError> {
    let sql = match parts {
        // In the order of a key, which needs no memory and finds an index's pages one after the other.
        [one] if !one.inserts => format!(
            "SET LOCAL enable_hashjoin = off; {}; SET LOCAL enable_hashjoin TO DEFAULT",
            one.statement
        ),
        [one] => one.statement.clone(),
        many => {
            let each = many.iter().enumerate();
            let each = each.map(|(index, it)| format!("put_{index} AS ({})", it.statement));
            format!("WITH {} SELECT 1", each.collect::<Vec<_>>().join(", "))
        }
    };
    Ok(attempt(postgres, sql).await?.ok())
}

async fn try_without_keys(
    postgres: &mut Postgres,
    parts: &[Part<'_>],
) -> Result<bool, DatabaseError> {
    let [part] = parts else { return Ok(false) };
    let Some(sql) = part.without_keys(postgres).await? else { return Ok(false) };
    Ok(attempt(postgres, sql).await?.is_ok())
}

/// Puts back what fits of one part, by halving what does not.
async fn by_halves(postgres: &mut Postgres, part: &Part<'_>) -> Result<(), DatabaseError> {
    let store = part.stored.store();
    let mut after = "(0,0)".to_owned();
    loop {
        // A row that gets a reason moves to the end, where the statement passes it over.
        let sql = format!(
            "SELECT coalesce(pg_catalog.json_agg(place::text ORDER BY place), '[]')::text FROM (
                SELECT ctid AS place FROM {store} WHERE ctid > '{after}'::tid
                ORDER BY ctid LIMIT {BATCH}) AS c"
        );
        let places: Vec<String> = json(postgres, DOING, sql).await?;
        let Some(last) = places.last() else { return Ok(()) };
        some_by_halves(postgres, part, &places).await?;
        after.clone_from(last);
    }
}

async fn some_by_halves(
    postgres: &mut Postgres,
    part: &Part<'_>,
    places: &[String],
) -> Result<(), DatabaseError> {
    let store = part.stored.store();
    let mut open: Vec<&[String]> = vec![places];
    while let Some(some) = open.pop() {
        if some.is_empty() {
            continue;
        }
        let list = some.iter().map(|it| literal(it)).collect::<Vec<_>>().join(", ");
        let filter = format!("k.ctid = ANY (ARRAY[{list}]::tid[])");
        let sql = format!("{} AND {filter}", part.statement);
        match (attempt(postgres, sql).await?, some) {
            (Ok(_), _) => {}
            (Err(words), [_]) => {
                let sql = format!(
                    "UPDATE {store} AS k SET {CONFLICT} = {} WHERE {filter}",
                    literal(&words)
                );
                postgres.run(DOING, sql).await?;
            }
            (Err(_), some) => {
                let (first, second) = some.split_at(some.len() / 2);
                // The first half is dealt with first.
                open.extend([second, first]);
            }
        }
    }
    Ok(())
}

/// What an entry of this kind is restored by.
pub(super) fn inserts(lost: &Lost) -> bool {
    matches!(lost, Lost::Table { .. } | Lost::Rows { .. })
}
