//! What others do: people who change the application's schema by hand, and programs that make objects of
//! their own over it.

use sternway_database::Dialect;
use sternway_testing::Random;

use super::place::Place;

/// Changes something of the application's own; what does not work is left.
pub async fn drift(place: &mut Place, random: &mut Random) {
    for table in tables(place).await {
        let add = format!("ALTER TABLE {table} ADD COLUMN drift{} integer", random.below(90));
        let mut ways = vec![add];
        if place.dialect == Dialect::Postgres {
            ways.push(format!("ALTER TABLE {table} ADD CONSTRAINT drift CHECK (id > -5)"));
            let question = format!(
                "SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname) FROM pg_constraint
                 WHERE conrelid = '{table}'::regclass AND contype <> 'p'
                 UNION ALL SELECT format('DROP INDEX %s', indexrelid::regclass) FROM pg_index
                 WHERE indrelid = '{table}'::regclass AND NOT indisprimary
                 UNION ALL SELECT format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT 99', attrelid::regclass, attname)
                 FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 1 AND atttypid = 23"
            );
            ways.extend(place.texts(&question).await);
        }
        if place.dialect == Dialect::MySql {
            ways.push(format!("ALTER TABLE {table} ADD CONSTRAINT drift CHECK (id > -5)"));
            let question = format!(
                "SELECT concat('DROP INDEX ', index_name, ' ON {table}') FROM information_schema.statistics
                 WHERE table_schema = database() AND table_name = '{table}' AND index_name <> 'PRIMARY'
                 UNION SELECT concat('ALTER TABLE {table} ALTER COLUMN ', column_name, ' SET DEFAULT 99')
                 FROM information_schema.columns WHERE table_schema = database() AND table_name = '{table}'
                   AND data_type = 'int' AND column_name <> 'id' AND is_generated = 'NEVER' ORDER BY 1"
            );
            ways.extend(place.texts(&question).await);
        }
        if random.once_in(3) {
            let _ = place.run(random.pick::<String>(&ways)).await;
        }
    }
}

/// Makes something over the application's tables, under names that begin with `hand`.
pub async fn others(place: &mut Place, random: &mut Random) {
    for table in tables(place).await {
        let number = random.below(9_000) + 1_000;
        let column = place.texts(&columns(place.dialect, &table)).await;
        let column = random.choose(&column).cloned().unwrap_or_else(|| "id".to_owned());
        let index = format!("CREATE INDEX hand_i{number} ON {table} ({column})");
        let view = format!("CREATE VIEW hand_v{number} AS SELECT id, {column} FROM {table}");
        let mut ways = vec![view];
        match place.dialect {
            Dialect::Sqlite => {
                ways.push(format!("CREATE TABLE hand_t{number} (id integer PRIMARY KEY, ref integer REFERENCES {table} (id))"));
                ways.push(index);
                // What goes with its table is more than what stays.
                for _ in 0..3 {
                    ways.push(format!(
                        "CREATE TRIGGER hand_g{number} AFTER DELETE ON {table} BEGIN SELECT 1; END"
                    ));
                }
            }
            Dialect::Postgres => {
                ways.push(index);
                ways.push(format!("CREATE TRIGGER hand_g{number} BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()"));
                ways.push(format!(
                    "CREATE POLICY hand_p{number} ON {table} USING ({column} IS NOT NULL)"
                ));
                ways.push(format!(
                    "CREATE TABLE hand_t{number} (id integer PRIMARY KEY, c text, ref integer CONSTRAINT hand_k{number} REFERENCES {table} (id))"
                ));
                ways.push(format!("CREATE VIEW hand_w{number} AS SELECT id FROM {table}; CREATE VIEW hand_v{number} AS SELECT * FROM hand_w{number}"));
            }
            Dialect::MySql => {
                ways.push(index);
                ways.push(format!("CREATE TRIGGER hand_g{number} BEFORE UPDATE ON {table} FOR EACH ROW SET @hand = 1"));
                ways.push(format!(
                    "CREATE TABLE hand_t{number} (id integer PRIMARY KEY, ref integer, CONSTRAINT hand_k{number} FOREIGN KEY (ref) REFERENCES {table} (id))"
                ));
            }
        }
        if random.once_in(3) {
            let _ = place.run(random.pick::<String>(&ways)).await;
        }
    }
}

/// The application's tables.
async fn tables(place: &mut Place) -> Vec<String> {
    let sql = match place.dialect {
        Dialect::Sqlite => {
            "SELECT '\"' || name || '\"' FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'
             AND name NOT LIKE 'sternway%' AND name NOT LIKE 'hand%' AND name <> 'migrations' ORDER BY name"
        }
        Dialect::Postgres => {
            "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace s ON s.oid = relnamespace
             WHERE relkind = 'r' AND nspname NOT LIKE 'pg\\_%' AND nspname NOT IN ('information_schema', 'sternway')
               AND relname NOT LIKE 'hand%' AND relname <> 'migrations' ORDER BY nspname, relname"
        }
        Dialect::MySql => {
            "SELECT table_name FROM information_schema.tables WHERE table_schema = database()
             AND table_type = 'BASE TABLE' AND table_name NOT LIKE 'sternway%' AND table_name NOT LIKE 'hand%'
             AND table_name <> 'migrations' ORDER BY table_name"
        }
    };
    place.texts(sql).await
}

fn columns(dialect: Dialect, table: &str) -> String {
    match dialect {
        Dialect::Sqlite => format!("SELECT '\"' || name || '\"' FROM pragma_table_info({table})"),
        Dialect::Postgres => format!(
            "SELECT quote_ident(attname) FROM pg_attribute
             WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        ),
        Dialect::MySql => format!(
            "SELECT column_name FROM information_schema.columns
             WHERE table_schema = database() AND table_name = '{table}' ORDER BY column_name"
        ),
    }
}
