//! What an object has beside its definition: who defined it, with whose rights it works.

use sternway_model::proof::ObjectName;

use super::statements_from::{definer, shown_whole};
use super::{MySql, cell};
use crate::port::DatabaseError;

/// The statement that gives an object which was made again its definer. One that does nothing stands for it
/// where the server has none, or the user may not.
pub(super) async fn attributes(
    mysql: &mut MySql,
    object: &ObjectName,
) -> Result<Vec<String>, DatabaseError> {
    let kind = object.kind.to_uppercase();
    if !["VIEW", "TRIGGER", "PROCEDURE", "FUNCTION", "EVENT"].contains(&kind.as_str()) {
        return Ok(Vec::new());
    }
    let text = shown_whole(mysql, &kind, &object.name).await?.unwrap_or_default();
    let Some(definer) = definer(&text) else { return Ok(Vec::new()) };
    let replaces = mysql.mariadb || kind == "VIEW";
    Ok(vec![match replaces && may_define(mysql, definer).await? {
        true => text.replacen("CREATE ", "CREATE OR REPLACE ", 1),
        false => format!("DO {}", MySql::literal(&format!("{object} is defined by {definer}"))),
    }])
}

/// Whether the user may define something as this one.
async fn may_define(mysql: &mut MySql, definer: &str) -> Result<bool, DatabaseError> {
    let sql =
        "SELECT CURRENT_USER() AS name, EXISTS (SELECT 1 FROM information_schema.USER_PRIVILEGES
                   WHERE PRIVILEGE_TYPE IN ('SUPER', 'SET USER', 'SET_USER_ID', 'SET_ANY_DEFINER')
                     AND REPLACE(GRANTEE, CHAR(39), '') = CURRENT_USER()) AS may";
    let rows = mysql.fetch("ask for the user's rights", sql.to_owned()).await?;
    let Some(row) = rows.first() else { return Ok(false) };
    Ok(cell(row, "may") == "1" || definer.replace('`', "") == cell(row, "name"))
}
