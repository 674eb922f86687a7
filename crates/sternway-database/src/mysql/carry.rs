//! Carrying rows between two databases of one server: a session with this one names the other's tables.
//!
//! Triggers cannot be kept quiet here, and taking one away ends a transaction. So they go before it begins, noted as
//! [`super::swap`] does, and are made again after its end, or by whoever comes next.

use async_trait::async_trait;
use sqlx::Row as _;

use super::archive::shape::look;
use super::whole::Server;
use super::{MySql, failed, number_in, swap};
use crate::carry::{Carrier, Column, Common, Table, carry as carry_rows};
use crate::port::{Carried, DatabaseError, SwapError, occupants};

/// How the session is set meanwhile: what does not fit is refused and not bent, what others were let store is taken as
/// it is, and the number 0 asks for no other one.
const SETTINGS: &str =
    "SET SESSION time_zone = '+00:00', foreign_key_checks = 1, unique_checks = 1,
    sql_safe_updates = 0, sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES';
SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ; START TRANSACTION";

/// The types whose values are bytes.
const BYTES: [&str; 16] = [
    "binary",
    "varbinary",
    "tinyblob",
    "blob",
    "mediumblob",
    "longblob",
    "vector",
    "geometry",
    "point",
    "linestring",
    "polygon",
    "multipoint",
    "multilinestring",
    "multipolygon",
    "geometrycollection",
    "geomcollection",
];

/// How much of a text or of bytes is looked for in an index, at most, and how much an index takes.
const LOOKED_FOR: usize = 255;
const INDEXED: usize = 3000;

/// The column of a sequence that says which number it has given none from on.
const NEXT: &str = "next_not_cached_value";

/// Carries rows over from the database `from`.
pub(super) async fn carry(
    server: &mut Server,
    from: &str,
    except: &[String],
) -> Result<Vec<Carried>, SwapError> {
    let other = server.connect(from).await?;
    let triggers = swap::triggers(&mut server.session, None).await?;
    if !triggers.is_empty() {
        // Their rows would pass by the triggers too.
        occupants(server, false).await?;
        swap::take_away(&mut server.session, &triggers).await?;
    }
    let carried = transfer(&mut Two { here: &mut server.session, other }, except).await;
    if !triggers.is_empty() {
        swap::put_back(&mut server.session).await?;
    }
    Ok(carried?)
}

async fn transfer(two: &mut Two<'_>, except: &[String]) -> Result<Vec<Carried>, DatabaseError> {
    two.numbers_go_on().await?;
    two.here.run("begin to carry rows over", SETTINGS.to_owned()).await?;
    let carried = carry_rows(two, except).await;
    let end = if carried.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let end = format!("{end}; {}", two.here.reset);
    let ended = two.here.run("end carrying rows over", end).await;
    let carried = carried?;
    ended?;
    Ok(carried)
}

/// Both databases: one is written to, and of the other one what it has is asked.
struct Two<'a> {
    here: &'a mut MySql,
    other: MySql,
}

/// How values are held meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Held {
    /// A text as its bytes in UTF-8, so that no collation calls two the same.
    Text,
    /// Bytes.
    Bytes,
    /// As they are.
    Plain,
}

fn held(column: &Column) -> Held {
    let base = column.kind.split(['(', ' ']).next().unwrap_or_default().to_ascii_lowercase();
    match column.collation.is_some() || base == "json" {
        true => Held::Text,
        false if BYTES.contains(&base.as_str()) => Held::Bytes,
        false => Held::Plain,
    }
}

/// How the values of a column are held that may have two types.
fn held_of_both(column: Common<'_>) -> Held {
    match [held(column.here), held(column.there)] {
        [Held::Plain, Held::Plain] => Held::Plain,
        all if all.contains(&Held::Bytes) => Held::Bytes,
        _ => Held::Text,
    }
}

/// A value as it is held.
fn holding(value: &str, held: Held) -> String {
    match held {
        Held::Text => format!("CAST(CONVERT({value} USING utf8mb4) AS BINARY)"),
        Held::Bytes => format!("CAST({value} AS BINARY)"),
        Held::Plain => value.to_owned(),
    }
}

/// A value that was held, as the server knows it.
fn released(value: &str, held: Held) -> String {
    match held {
        Held::Text => format!("CONVERT({value} USING utf8mb4)"),
        Held::Bytes | Held::Plain => value.to_owned(),
    }
}

impl Two<'_> {
    /// Lets tables and sequences give numbers where those of the other database would have. Each ends a transaction,
    /// and a number that is passed over harms nobody.
    async fn numbers_go_on(&mut self) -> Result<(), DatabaseError> {
        let doing = "let numbers go on";
        if !self.here.mariadb {
            // MySQL tells what it knew some time ago.
            for session in [&mut *self.here, &mut self.other] {
                session
                    .run(doing, "SET SESSION information_schema_stats_expiry = 0".into())
                    .await?;
            }
        }
        for name in self.other.tables_of("TABLE_TYPE <> 'VIEW'").await? {
            let (there, here) =
                (look(&mut self.other, &name).await?, look(self.here, &name).await?);
            let (Some(there), Some(here)) = (there, here) else { continue };
            if let (Some(next), Some(now)) = (there.sequence, here.sequence)
                && next > now
            {
                let sql = format!("ALTER TABLE {} AUTO_INCREMENT = {next}", self.here.table(&name));
                self.here.run(doing, sql).await?;
            }
            if there.plain || there.column(NEXT).is_none() || here.column(NEXT).is_none() {
                continue;
            }
            let sql = format!("SELECT {NEXT} AS next FROM {}", self.other.table(&name));
            let next: i64 = number_in(self.here.fetch(doing, sql).await?.first(), "next")?;
            // One that has come further stays there.
            let sql = format!("SELECT SETVAL({}, {next}, 0)", self.here.table(&name));
            self.here.run(doing, sql).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Carrier for Two<'_> {
    async fn tables(
        &mut self,
        other: bool,
        except: &[String],
    ) -> Result<Vec<Table>, DatabaseError> {
        let session = if other { &mut self.other } else { &mut *self.here };
        let mut tables = Vec::new();
        for name in session.tables_of("TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')").await? {
            if except.contains(&name) {
                continue;
            }
            let Some(shape) = look(session, &name).await? else { continue };
            let column = |it: crate::archive::shape::Column| Column {
                name: it.name,
                kind: it.kind,
                generated: it.generated,
                collation: it.collation.map(|(charset, collation)| [charset, collation]),
            };
            let parents = shape.foreign_keys.iter().map(|it| MySql::quote(&it.parent));
            let is_whole = shape.engine.eq_ignore_ascii_case("InnoDB");
            tables.push(Table {
                name: MySql::quote(&name),
                parents: parents.collect(),
                key: shape.unique.first().cloned().unwrap_or_default(),
                columns: shape.columns.into_iter().map(column).collect(),
                barred: (!is_whole).then(|| {
                    format!("the table is kept by {}, which has no transactions", shape.engine)
                }),
                told: name,
            });
        }
        Ok(tables)
    }

    async fn fetch(
        &mut self,
        table: &Table,
        columns: &[Common<'_>],
        key: &[usize],
        to: &str,
    ) -> Result<(), DatabaseError> {
        let doing = format!("fetch the rows of {}", table.told);
        let each = || columns.iter().map(|it| held_of_both(*it)).enumerate();
        let mut made: String = each()
            .map(|(place, held)| match held {
                Held::Plain => format!(", c{place} {} NULL", columns[place].there.kind),
                Held::Text | Held::Bytes => format!(", c{place} longblob NULL"),
            })
            .collect();
        if !key.is_empty() {
            let length = LOOKED_FOR.min(INDEXED / key.len());
            let parts = each().filter(|(place, _)| key.contains(place)).map(|(place, held)| {
                let is_long = held != Held::Plain;
                format!("c{place}{}", if is_long { format!("({length})") } else { String::new() })
            });
            made.push_str(&format!(", KEY ({})", parts.collect::<Vec<_>>().join(", ")));
        }
        // A table that is made ends no transaction where it is temporary, and an index of one that is there does.
        self.run(format!(
            "CREATE TEMPORARY TABLE {to} (n bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
                state char(1) CHARACTER SET ascii COLLATE ascii_bin NULL{made}) ENGINE = InnoDB"
        ))
        .await?;
        let places: String = each().map(|(place, _)| format!(", c{place}")).collect();
        let values: String = each()
            .map(|(place, held)| {
                format!(", {}", holding(&MySql::quote(&columns[place].there.name), held))
            })
            .collect();
        let from = self.other.table(&table.told);
        let sql = format!("INSERT INTO {to} (state{places}) SELECT NULL{values} FROM {from}");
        self.here.run(&doing, sql).await
    }

    async fn count(&mut self, table: &Table) -> Result<u64, DatabaseError> {
        let doing = format!("count the rows of {}", table.told);
        let sql = format!("SELECT COUNT(*) AS n FROM {}", self.other.table(&table.told));
        number_in(self.here.fetch(&doing, sql).await?.first(), "n")
    }

    async fn run(&mut self, sql: String) -> Result<(), DatabaseError> {
        self.here.run("carry rows over", sql).await
    }

    async fn rows(&mut self, sql: String) -> Result<Vec<Vec<Option<String>>>, DatabaseError> {
        let doing = "look at what is carried over";
        let rows = self.here.fetch(doing, sql).await?;
        let text = |row: &sqlx::mysql::MySqlRow, place: usize| -> sqlx::Result<Option<String>> {
            let bytes: Option<Vec<u8>> = row.try_get_unchecked(place)?;
            Ok(bytes.map(|it| String::from_utf8_lossy(&it).into_owned()))
        };
        let texts = rows.iter().map(|row| (0..row.len()).map(|place| text(row, place)).collect());
        texts.collect::<sqlx::Result<_>>().map_err(failed(doing))
    }

    /// They are taken away before.
    async fn quiet(&mut self, _: &Table, _: bool) -> Result<(), DatabaseError> {
        Ok(())
    }

    /// They were let before.
    async fn go_on(&mut self) -> Result<(), DatabaseError> {
        Ok(())
    }

    fn quote(&self, name: &str) -> String {
        MySql::quote(name)
    }

    fn only(&self, table: &Table) -> String {
        table.name.clone()
    }

    fn same(&self, here: &str, fetched: &str, column: Common<'_>) -> String {
        format!("{} <=> {fetched}", holding(here, held_of_both(column)))
    }

    fn matches(&self, here: &str, fetched: &str, column: Common<'_>) -> String {
        let held = held_of_both(column);
        let same = format!("{} = {fetched}", holding(here, held));
        match (&column.here.collation, held) {
            // The server's own index is one of the column's collation.
            (Some([charset, collation]), Held::Text) => {
                let text = released(fetched, held);
                format!("{here} = CONVERT({text} USING {charset}) COLLATE {collation} AND {same}")
            }
            (_, Held::Bytes) => format!("{here} = {fetched}"),
            _ => same,
        }
    }

    fn stored(&self, fetched: &str, column: Common<'_>) -> String {
        released(fetched, held_of_both(column))
    }

    fn shown(&self, value: &str, column: Common<'_>, fetched: bool) -> String {
        match held_of_both(column) {
            Held::Bytes => format!("CONCAT('0x', HEX({value}))"),
            held if fetched => format!("CAST({} AS CHAR)", released(value, held)),
            _ => format!("CAST({value} AS CHAR)"),
        }
    }

    fn text(&self, number: &str) -> String {
        format!("CAST({number} AS CHAR)")
    }

    fn update(
        &self,
        [table, alias]: [&str; 2],
        set: &[[String; 2]],
        with: &str,
        condition: &str,
    ) -> String {
        let set = set.iter().map(|[name, value]| format!("{alias}.{name} = {value}"));
        let set = set.collect::<Vec<_>>().join(", ");
        format!("UPDATE {table} AS {alias} JOIN {with} ON {condition} SET {set}")
    }
}
