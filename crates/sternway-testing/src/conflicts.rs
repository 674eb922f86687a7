//! Whether what is left in the archive would have fitted: it is tried.

use sqlx::postgres::PgConnection;

use crate::account::{Account, Doubt, one};
use crate::sql::{must, quote, run, value};

impl Account {
    /// Tries every row that is left in the archive for no reason that can be seen, and takes it back:
    /// one that the server accepts should have been put back.
    pub async fn try_conflicts(&mut self, connection: &mut PgConnection, schema: &str) {
        let doubts = std::mem::take(&mut self.doubts);
        if doubts.is_empty() {
            return;
        }
        must(connection, "BEGIN; SET CONSTRAINTS ALL IMMEDIATE".to_owned()).await;
        for doubt in &doubts {
            let path = format!("{}.{}", quote(schema), quote(&doubt.table));
            must(connection, format!("SAVEPOINT doubt; ALTER TABLE {path} DISABLE TRIGGER USER"))
                .await;
            let fits = run(connection, doubt.statement(&path)).await.is_ok();
            must(connection, "ROLLBACK TO SAVEPOINT doubt".to_owned()).await;
            if fits {
                let row = doubt.row.iter().map(|(name, _, it)| format!("{name}={}", one(it)));
                let row = row.collect::<Vec<_>>().join(", ");
                self.find(&doubt.table, format!("left in the archive though it fits: ({row})"));
            }
        }
        must(connection, "ROLLBACK".to_owned()).await;
    }
}

impl Doubt {
    /// What would put it back.
    fn statement(&self, path: &str) -> String {
        let typed = |at: &usize| {
            let (name, words, it) = &self.row[*at];
            (quote(name), format!("{}::{words}", value(it.as_deref())))
        };
        if self.key.is_empty() {
            let real: Vec<usize> =
                (0..self.row.len()).filter(|at| !self.row[*at].1.is_empty()).collect();
            let (names, values): (Vec<String>, Vec<String>) = real.iter().map(typed).unzip();
            let (names, values) = (names.join(", "), values.join(", "));
            return format!(
                "INSERT INTO {path} ({names}) OVERRIDING SYSTEM VALUE VALUES ({values})"
            );
        }
        let sets = self.left.iter().map(typed).map(|(name, it)| format!("{name} = {it}"));
        let sets = sets.collect::<Vec<_>>().join(", ");
        let tells = self.key.iter().map(|at| {
            let (name, _, it) = &self.row[*at];
            format!("{}::text IS NOT DISTINCT FROM {}", quote(name), value(it.as_deref()))
        });
        let tells = tells.collect::<Vec<_>>().join(" AND ");
        format!("UPDATE {path} SET {sets} WHERE {tells}")
    }
}
