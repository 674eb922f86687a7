//! Rows for tables that the tests know nothing of, and whether they survive.

use std::fmt;

use sternway_database::DatabaseError;
use sternway_database::postgres::Postgres;

/// Puts two rows into every table of the current schema, parents first since they are older: the same
/// values in each, so that foreign keys lead somewhere. A table that checks its rows gets no more
/// than it must have.
const FILL: &str = "
DO $fill$
DECLARE
    t record;
    columns text;
    contents text;
BEGIN
    FOR t IN SELECT c.oid, relname,
                    EXISTS (SELECT FROM pg_constraint WHERE conrelid = c.oid AND contype = 'c') AS sparing
             FROM pg_class c
             WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
               AND relname NOT LIKE '%schema_migrations' ORDER BY c.oid LOOP
        FOR n IN 1..2 LOOP
            SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum),
                   string_agg(CASE
                       WHEN typname = 'vector'
                           THEN format('array_fill(%s.25::real, ARRAY[%s])::vector', n, atttypmod)
                       WHEN typname IN ('json', 'jsonb') THEN format('''{\"row\": %s}''', n)
                       WHEN typname = 'uuid' THEN format('lpad(''%s'', 32, ''0'')::uuid', n)
                       WHEN typname = 'bytea' THEN format('''\\x0%s''', n)
                       WHEN typname = 'interval' THEN format('''%s s''', n)
                       WHEN typcategory = 'S' THEN format('''row %s''', n)
                       WHEN typcategory = 'B' THEN format('%s = 1', n)
                       WHEN typcategory = 'N' THEN n::text
                       WHEN typcategory = 'D' THEN format('''2026-0%s-%s''', n, attnum)
                       ELSE 'DEFAULT' END, ', ' ORDER BY attnum)
            INTO columns, contents
            FROM pg_attribute a JOIN pg_type y ON y.oid = atttypid
            WHERE attrelid = t.oid AND attnum > 0 AND NOT attisdropped
              AND attidentity <> 'a' AND attgenerated = ''
              AND (NOT t.sparing OR attnotnull AND NOT atthasdef);
            EXECUTE format('INSERT INTO %I (%s) VALUES (%s)', t.relname, columns, contents);
        END LOOP;
    END LOOP;
    DROP TABLE IF EXISTS pg_temp.kept;
    CREATE TEMP TABLE kept (name text, it jsonb);
    FOR t IN SELECT relname FROM pg_class
             WHERE relnamespace = current_schema()::regnamespace AND relkind = 'r'
               AND relname NOT LIKE '%schema_migrations' LOOP
        EXECUTE format('INSERT INTO pg_temp.kept SELECT %L, to_jsonb(x) FROM %I x', t.relname, t.relname);
    END LOOP;
END $fill$";

/// Fails where a table that is still there has lost or gained a row, or a row has another value in a
/// column that is still there.
const COMPARE: &str = "
DO $compare$
DECLARE
    t record;
    lost bigint;
    more bigint;
BEGIN
    FOR t IN SELECT name, count(*) AS rows FROM pg_temp.kept
             WHERE to_regclass(quote_ident(name)) IS NOT NULL GROUP BY name LOOP
        EXECUTE format('SELECT count(*) FROM pg_temp.kept k
                        WHERE k.name = %L AND NOT EXISTS (
                            SELECT FROM %I x WHERE NOT EXISTS (
                                SELECT FROM jsonb_each(k.it) a JOIN jsonb_each(to_jsonb(x)) b USING (key)
                                WHERE a.value IS DISTINCT FROM b.value))', t.name, t.name) INTO lost;
        EXECUTE format('SELECT count(*) - %s FROM %I', t.rows, t.name) INTO more;
        IF lost <> 0 OR more <> 0 THEN
            RAISE EXCEPTION 'table %: % rows are not what they were, % rows more', t.name, lost, more;
        END IF;
    END LOOP;
END $compare$";

/// Puts rows into every table and remembers them, in a temporary table of the session.
pub async fn fill(database: &mut Postgres) -> Result<(), String> {
    database.execute(FILL).await.map_err(|error| told(&error))
}

/// Whether every row of a surviving table is still there.
pub async fn survive(database: &mut Postgres) -> Result<(), String> {
    database.execute(COMPARE).await.map_err(|error| told(&error))
}

fn told(error: &DatabaseError) -> String {
    struct Chain<'a>(&'a dyn std::error::Error);
    impl fmt::Display for Chain<'_> {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{}", self.0)?;
            self.0.source().map_or(Ok(()), |source| write!(f, ": {}", Chain(source)))
        }
    }
    Chain(error).to_string()
}
