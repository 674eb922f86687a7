//! Triggers, while rows are restored. Nothing keeps one from firing here, so they are taken away and made again. What
//! makes them again is written down first: whoever comes after a crash finds it, and makes them.
//!
//! A trigger runs with the rights of whoever made it, and only they can make it so again: where one of a table is
//! somebody else's, all of them stay, and the rows that would make it fire stay in the archive.

use std::collections::{BTreeMap, BTreeSet};

use crate::archive::Result;
use crate::mysql::{MySql, cell, track};

/// The table that has what makes them again.
pub(super) const TABLE: &str = "sternway_triggers";

const DOING: &str = "silence triggers";

/// Takes the triggers of tables away that would fire when rows are restored.
pub(super) async fn silence(mysql: &mut MySql, tables: &BTreeSet<String>) -> Result<()> {
    let sql = format!(
        "SELECT TRIGGER_NAME AS name, EVENT_OBJECT_TABLE AS of, IF(DEFINER = CURRENT_USER(), 'own', '') AS own
         FROM information_schema.TRIGGERS
         WHERE TRIGGER_SCHEMA = {} AND EVENT_MANIPULATION IN ('INSERT', 'UPDATE')
         ORDER BY EVENT_OBJECT_TABLE, EVENT_MANIPULATION, ACTION_TIMING, ACTION_ORDER",
        MySql::literal(&mysql.identity.database)
    );
    let mut found: BTreeMap<String, Vec<(String, bool)>> = BTreeMap::new();
    for row in &mysql.fetch(DOING, sql).await? {
        let (of, own) = (cell(row, "of"), cell(row, "own") == "own");
        if tables.iter().any(|it| it.eq_ignore_ascii_case(&of)) {
            found.entry(of).or_default().push((cell(row, "name"), own));
        }
    }
    let all_own = |triggers: &Vec<(String, bool)>| triggers.iter().all(|(_, own)| *own);
    let names: Vec<String> =
        found.into_values().filter(all_own).flatten().map(|(name, _)| name).collect();
    if names.is_empty() {
        return Ok(());
    }
    let table = mysql.table(TABLE);
    let make = format!(
        "CREATE TABLE IF NOT EXISTS {table} (n bigint NOT NULL AUTO_INCREMENT PRIMARY KEY, name varchar(64) NOT NULL,
            mode longtext NOT NULL, collation varchar(64) NOT NULL, makes longtext NOT NULL)
         ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin"
    );
    mysql.run(DOING, make).await?;
    let mut drops = String::new();
    for name in &names {
        let quoted = mysql.table(name);
        let rows = mysql.fetch(DOING, format!("SHOW CREATE TRIGGER {quoted}")).await?;
        let Some(row) = rows.first() else { continue };
        let values = ["sql_mode", "collation_connection", "SQL Original Statement"];
        let values = values.map(|column| MySql::literal(&cell(row, column))).join(", ");
        let sql = format!(
            "INSERT INTO {table} (name, mode, collation, makes) VALUES ({}, {values})",
            MySql::literal(name)
        );
        mysql.run(DOING, sql).await?;
        drops.push_str(&format!("; DROP TRIGGER {quoted}"));
    }
    mysql.run(DOING, format!("COMMIT{drops}")).await
}

/// Makes them again, and those that an earlier process has left taken away.
pub(super) async fn wake(mysql: &mut MySql) -> Result<()> {
    if !track::exists(mysql, TABLE).await? {
        return Ok(());
    }
    let doing = "make triggers again";
    let table = mysql.table(TABLE);
    let sql = format!(
        "SELECT mode, collation, makes FROM {table} AS s WHERE NOT EXISTS (SELECT 1 FROM information_schema.TRIGGERS AS t
            WHERE t.TRIGGER_SCHEMA = {} AND t.TRIGGER_NAME = s.name) ORDER BY n",
        MySql::literal(&mysql.identity.database)
    );
    for row in &mysql.fetch(doing, sql).await? {
        let [mode, collation] = ["mode", "collation"].map(|it| MySql::literal(&cell(row, it)));
        let set = format!(
            "SET @sternway_made_with = @@SESSION.sql_mode, @sternway_collation = @@SESSION.collation_connection,
                 SESSION sql_mode = {mode}, SESSION collation_connection = {collation}"
        );
        mysql.run(doing, set).await?;
        let made = mysql.run(doing, cell(row, "makes")).await;
        let reset = "SET SESSION sql_mode = @sternway_made_with, SESSION collation_connection = @sternway_collation";
        mysql.run(doing, reset.to_owned()).await?;
        made?;
    }
    mysql.run(doing, format!("DROP TABLE {table}")).await
}
