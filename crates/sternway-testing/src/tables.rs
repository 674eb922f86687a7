//! What the catalog says of the tables of a schema, as far as rows for them need it.

use std::collections::BTreeMap;

use serde::Deserialize;
use sqlx::postgres::PgConnection;

use crate::sql::{must, quote};

/// The tables of a schema, and the types of their columns.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Tables {
    #[serde(default)]
    pub schema: String,
    pub tables: Vec<Table>,
    pub types: Vec<Type>,
    pub sequences: Vec<Sequence>,
}

/// A table; of a partitioned one, the root.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Table {
    pub oid: i64,
    pub name: String,
    pub kind: String,
    pub columns: Vec<Column>,
    pub foreign: Vec<Foreign>,
    pub checks: Vec<Check>,
    pub indexes: Vec<Index>,
    pub partitions: Vec<Partition>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Column {
    pub name: String,
    pub number: i16,
    #[serde(rename = "type")]
    pub kind: i64,
    pub modifier: i32,
    /// The type in the server's words.
    pub words: String,
    pub not_null: bool,
    /// The expression of a generated column.
    pub generated: Option<String>,
    /// What gives the column its numbers.
    pub counted: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Foreign {
    pub columns: Vec<i16>,
    pub parent: i64,
    pub parent_columns: Vec<i16>,
    pub deferrable: bool,
    pub full: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Check {
    pub columns: Vec<i16>,
    pub expression: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Index {
    /// 0 stands for an expression.
    pub columns: Vec<i16>,
    /// With the columns that it only carries.
    pub whole: Vec<i16>,
    /// Unique, over plain columns and all rows, and not deferrable.
    pub plain: bool,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Partition {
    pub name: String,
    pub leaf: bool,
    pub bound: Option<String>,
    pub constraint: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Type {
    pub oid: i64,
    pub name: String,
    /// `b`ase, `c`omposite, `d`omain, `e`num, `r`ange, `m`ultirange.
    pub kind: String,
    /// Of an array, what it is made of; else 0.
    pub element: i64,
    /// Of a domain, what it narrows; of a range, what it ranges over.
    pub of: i64,
    pub of_modifier: i32,
    /// Of a domain, what it narrows, in the server's words.
    pub of_words: Option<String>,
    pub not_null: bool,
    pub labels: Vec<String>,
    /// Of a composite type.
    pub attributes: Vec<Attribute>,
    /// Of a domain.
    pub checks: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Attribute {
    #[serde(rename = "type")]
    pub kind: i64,
    pub modifier: i32,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Sequence {
    pub name: String,
    pub increment: i64,
}

const CATALOG: &str = "
WITH RECURSIVE c AS (
    SELECT c.oid, c.relname, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
    WHERE n.nspname = $1 AND relkind IN ('r', 'p') AND NOT relispartition
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e'
                      AND d.classid = 'pg_class'::regclass)
), y(oid) AS (
    SELECT a.atttypid FROM c CROSS JOIN LATERAL (
        SELECT atttypid FROM pg_attribute
        WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped OFFSET 0
    ) a
    UNION
    SELECT l.x FROM y CROSS JOIN LATERAL (SELECT * FROM pg_type t WHERE t.oid = y.oid OFFSET 0) t
    CROSS JOIN LATERAL (
        SELECT t.typbasetype
        UNION ALL SELECT t.typelem WHERE t.typcategory = 'A'
        UNION ALL SELECT rngsubtype FROM pg_range WHERE t.oid IN (rngtypid, rngmultitypid)
        UNION ALL SELECT atttypid FROM pg_attribute
                  WHERE attrelid = t.typrelid AND t.typtype = 'c' AND attnum > 0 AND NOT attisdropped
    ) l(x) WHERE l.x <> 0
)
SELECT json_build_object(
'tables', (SELECT coalesce(json_agg(json_build_object(
    'oid', c.oid::bigint, 'name', c.relname, 'kind', c.relkind,
    'columns', (SELECT coalesce(json_agg(json_build_object(
            'name', attname, 'number', attnum, 'type', atttypid::bigint, 'modifier', atttypmod,
            'words', format_type(atttypid, atttypmod), 'not_null', attnotnull,
            'generated', CASE WHEN attgenerated <> '' THEN pg_get_expr(adbin, adrelid) END,
            'counted', CASE
                WHEN attidentity <> '' THEN format('nextval(%L::regclass)', pg_get_serial_sequence(
                    format('%I.%I', $1, c.relname), attname))
                WHEN attgenerated = '' AND pg_get_expr(adbin, adrelid) LIKE 'nextval(%'
                    THEN pg_get_expr(adbin, adrelid) END
        ) ORDER BY attnum), '[]')
        FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
        WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped),
    'foreign', (SELECT coalesce(json_agg(json_build_object(
            'columns', conkey, 'parent', confrelid::bigint, 'parent_columns', confkey,
            'deferrable', condeferrable, 'full', confmatchtype = 'f') ORDER BY conname), '[]')
        FROM pg_constraint WHERE conrelid = c.oid AND contype = 'f' AND conparentid = 0),
    'checks', (SELECT coalesce(json_agg(json_build_object(
            'columns', coalesce(conkey, '{}'), 'expression', pg_get_expr(conbin, conrelid)
        ) ORDER BY conname), '[]')
        FROM pg_constraint WHERE conrelid = c.oid AND contype = 'c'),
    'indexes', (SELECT coalesce(json_agg(json_build_object(
            'columns', (indkey::int2[])[0:indnkeyatts - 1], 'whole', indkey::int2[],
            'plain', indisunique AND indimmediate AND indisvalid AND indpred IS NULL AND indexprs IS NULL
        ) ORDER BY indisprimary DESC, indnatts, indexrelid), '[]')
        FROM pg_index WHERE indrelid = c.oid),
    'partitions', (SELECT coalesce(json_agg(json_build_object(
            'name', p.relname, 'leaf', isleaf, 'bound', pg_get_expr(p.relpartbound, p.oid),
            'constraint', pg_get_partition_constraintdef(p.oid)) ORDER BY p.oid), '[]')
        FROM pg_partition_tree(c.oid) JOIN pg_class p ON p.oid = relid
        WHERE c.relkind = 'p' AND relid <> c.oid)
    ) ORDER BY c.relname COLLATE \"C\"), '[]') FROM c),
'types', (SELECT coalesce(json_agg(json_build_object(
    'oid', t.oid::bigint, 'name', typname, 'kind', typtype,
    'element', CASE WHEN typcategory = 'A' THEN typelem::bigint ELSE 0 END,
    'of', coalesce((SELECT rngsubtype FROM pg_range WHERE t.oid IN (rngtypid, rngmultitypid)),
                   typbasetype)::bigint,
    'of_modifier', typtypmod,
    'of_words', CASE WHEN typtype = 'd' THEN format_type(typbasetype, typtypmod) END, 'not_null', typnotnull,
    'labels', (SELECT coalesce(json_agg(enumlabel ORDER BY enumsortorder), '[]')
               FROM pg_enum WHERE enumtypid = t.oid),
    'attributes', (SELECT coalesce(json_agg(json_build_object(
            'type', atttypid::bigint, 'modifier', atttypmod) ORDER BY attnum), '[]')
        FROM pg_attribute
        WHERE attrelid = typrelid AND typtype = 'c' AND attnum > 0 AND NOT attisdropped),
    'checks', (SELECT coalesce(json_agg(pg_get_expr(conbin, 0)), '[]')
               FROM pg_constraint WHERE contypid = t.oid AND contype = 'c')
    )), '[]') FROM y CROSS JOIN LATERAL (SELECT * FROM pg_type t WHERE t.oid = y.oid OFFSET 0) t),
'sequences', (SELECT coalesce(json_agg(json_build_object(
    'name', s.relname, 'increment', seqincrement) ORDER BY s.relname COLLATE \"C\"), '[]')
    FROM pg_sequence JOIN pg_class s ON s.oid = seqrelid JOIN pg_namespace n ON n.oid = relnamespace
    WHERE n.nspname = $1)
)::text";

impl Tables {
    /// Reads the catalog. The schema becomes the current one of the connection.
    pub async fn read(connection: &mut PgConnection, schema: &str) -> Tables {
        let path = quote(schema);
        let sets =
            format!("SET search_path TO {path}, public; SET plan_cache_mode TO force_generic_plan");
        must(connection, sets).await;
        // Planning it takes longer than it does: it is prepared, once a connection.
        let text = sqlx::query_scalar(CATALOG).bind(schema).fetch_one(connection).await;
        let text: String = text.unwrap_or_else(|error| panic!("{error}"));
        let mut tables: Tables = serde_json::from_str(&text).expect("the catalog");
        tables.schema = schema.to_owned();
        tables
    }

    /// Without the tables of these names.
    pub fn without(mut self, names: &[String]) -> Tables {
        self.tables.retain(|table| !names.contains(&table.name));
        self
    }

    pub fn types(&self) -> BTreeMap<i64, &Type> {
        self.types.iter().map(|it| (it.oid, it)).collect()
    }

    /// A table as SQL has it.
    pub fn path(&self, table: &Table) -> String {
        format!("{}.{}", quote(&self.schema), quote(&table.name))
    }

    /// A table as SQL has it, without those that inherit from it, whose rows are theirs.
    pub fn only(&self, table: &Table) -> String {
        let only = if table.kind == "p" { "" } else { "ONLY " };
        format!("{only}{}", self.path(table))
    }
}

impl Table {
    /// Where in its columns the one of this number is.
    pub fn at(&self, number: i16) -> Option<usize> {
        self.columns.iter().position(|column| column.number == number)
    }

    /// The columns that say which row it is: of the primary key, and of the other indexes that could
    /// be one.
    pub fn keys(&self) -> Vec<Vec<usize>> {
        let places = |index: &Index| {
            let places = index.columns.iter().map(|number| self.at(*number));
            let places: Vec<usize> = places.collect::<Option<_>>()?;
            let sure = places.iter().all(|at| self.columns[*at].not_null);
            (index.plain && sure).then_some(places)
        };
        self.indexes.iter().filter_map(places).collect()
    }

    /// Whether an index holds the column: its values cannot be long.
    pub fn is_indexed(&self, number: i16) -> bool {
        self.indexes.iter().any(|index| index.whole.contains(&number))
    }
}
