//! Keeping other clients out: their accounts are locked, and unlocked again.
//!
//! An account is the whole server's, and locking it commits by itself. The row of `sternway_fence` that
//! says which ones are locked is therefore written before, so that no crash leaves a fence that nobody
//! knows of; and an account that is locked already is let alone, with a refusal: whoever locked it, an
//! administrator or another database's Sternway, will unlock it when he is ready, or never.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sternway_model::state::RecordsAccess;

use super::{MySql, cell, number, optional, recorded, track};
use crate::port::{DatabaseError, Fence, FenceKind, Fences, Raised, RecordStore, RunId};
use crate::records::damaged;

/// The table, which is made with the first fence.
pub(super) const TABLE: &str = "sternway_fence";

/// At most one row: `one` is always 1.
const COLUMNS: &str = "id bigint NOT NULL AUTO_INCREMENT PRIMARY KEY,
    one tinyint NOT NULL DEFAULT 1 UNIQUE, app varchar(128) NOT NULL, run bigint, fence longtext NOT NULL,
    raised_by varchar(128) NOT NULL, raised_at datetime NOT NULL";

/// An account that a fence locks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Account {
    user: String,
    host: String,
}

impl Account {
    fn of(text: &str) -> Result<Account, DatabaseError> {
        serde_json::from_str(text).map_err(|error| damaged(&error))
    }

    fn sql(&self, lock: &str) -> String {
        let (user, host) = (MySql::quote(&self.user), MySql::quote(&self.host));
        // One that was dropped meanwhile needs nothing.
        format!("ALTER USER IF EXISTS {user}@{host} ACCOUNT {lock};")
    }
}

fn cannot(doing: &'static str, reason: impl Into<String>) -> DatabaseError {
    DatabaseError::Fence { doing, reason: reason.into() }
}

/// The server's refusal, in the words of a fence.
fn refused(doing: &'static str) -> impl FnOnce(DatabaseError) -> DatabaseError {
    move |error| match (&error, number(&error)) {
        (
            DatabaseError::Query { source: sqlx::Error::Database(source), .. },
            Some(1044 | 1045 | 1142 | 1227),
        ) => cannot(doing, source.message()),
        _ => error,
    }
}

#[async_trait]
impl Fences for MySql {
    async fn prepare_fence(&mut self, kind: &FenceKind) -> Result<Fence, DatabaseError> {
        let FenceKind::NoConnect { roles } = kind else {
            return Err(DatabaseError::NoFence { kind: kind.to_string() });
        };
        let mut roles = roles.clone();
        roles.sort();
        roles.dedup();
        let mut before = Vec::new();
        for role in &roles {
            if *role == self.identity.user {
                let reason =
                    format!("`{role}` is Sternway's own user, whom it would keep out as well");
                return Err(cannot("raised", reason));
            }
            before.extend(accounts(self, role).await.map_err(refused("raised"))?);
        }
        let kind = FenceKind::NoConnect { roles };
        Ok(Fence { kind, database: self.identity.database.clone(), before })
    }

    async fn raise_fence(
        &mut self,
        app: &str,
        run: Option<RunId>,
        fence: &Fence,
    ) -> Result<Raised, DatabaseError> {
        if let RecordsAccess::Unavailable(reason) = self.prepare_records().await? {
            let reason = format!("it could not be found again after a crash, as {reason}");
            return Err(cannot("raised", reason));
        }
        let doing = "raise the fence";
        let table = self.table(TABLE);
        let make = format!(
            "CREATE TABLE IF NOT EXISTS {table} ({COLUMNS})
             ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin"
        );
        self.run(doing, make).await.map_err(refused("raised"))?;
        let note = format!(
            "INSERT INTO {table} (app, run, fence, raised_by, raised_at)
             VALUES ({}, {}, {}, CURRENT_USER(), UTC_TIMESTAMP())",
            MySql::literal(app),
            run.map_or_else(|| "NULL".to_owned(), |run| run.to_string()),
            MySql::literal(&serde_json::to_string(fence).unwrap_or_default()),
        );
        match self.commit(doing, "", &note).await {
            Err(error) if number(&error) == Some(1062) => return Err(stands(self).await?),
            noted => noted.map_err(refused("raised"))?,
        }
        let raised = self.fences(app).await?.into_iter().find(|it| it.fence == *fence);
        let raised = raised.ok_or_else(|| cannot("raised", "somebody has taken it away"))?;
        for (at, account) in fence.before.iter().enumerate() {
            let locked = self.run(doing, Account::of(account)?.sql("LOCK")).await;
            if locked.is_err() {
                // Those before it are unlocked again.
                unlock(self, &fence.before[..at]).await.map_err(refused("taken away"))?;
                delete(self, raised.id).await?;
                locked.map_err(refused("raised"))?;
            }
        }
        Ok(raised)
    }

    async fn fences(&mut self, app: &str) -> Result<Vec<Raised>, DatabaseError> {
        if !track::exists(self, TABLE).await? {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT id, run, fence, DATE_FORMAT(raised_at, '%Y-%m-%d %H:%i:%s') AS since FROM {} WHERE app = {}",
            self.table(TABLE),
            MySql::literal(app)
        );
        let mut fences = Vec::new();
        for row in &self.fetch("read which fences stand", sql).await? {
            let fence: Fence =
                serde_json::from_str(&cell(row, "fence")).map_err(|error| damaged(&error))?;
            // A copy of a database brings the row along, and not what it tells of.
            if fence.database == self.identity.database {
                fences.push(Raised {
                    id: recorded(row, TABLE, "id")?,
                    run: optional(row, "run").map(|_| recorded(row, TABLE, "run")).transpose()?,
                    fence,
                    since: cell(row, "since"),
                });
            }
        }
        Ok(fences)
    }

    async fn lower_fence(&mut self, raised: &Raised) -> Result<(), DatabaseError> {
        let Raised { id, fence, .. } = raised;
        if !track::exists(self, TABLE).await? {
            return Ok(());
        }
        let row = format!("SELECT id FROM {} WHERE id = {id}", self.table(TABLE));
        if self.fetch("take the fence away", row).await?.is_empty() {
            return Ok(()); // Somebody has done it.
        }
        unlock(self, &fence.before).await.map_err(refused("taken away"))?;
        delete(self, *id).await
    }
}

/// The accounts of a user, none of which may be locked already.
async fn accounts(mysql: &mut MySql, user: &str) -> Result<Vec<String>, DatabaseError> {
    let (table, locked) = match mysql.mariadb {
        true => ("mysql.global_priv", "COALESCE(JSON_VALUE(Priv, '$.account_locked'), '0')"),
        false => ("mysql.user", "account_locked"),
    };
    let sql = format!(
        "SELECT Host AS host, {locked} IN ('1', 'true', 'Y') AS locked FROM {table}
         WHERE User = {} AND Host <> '' ORDER BY Host",
        MySql::literal(user)
    );
    let rows = mysql.fetch("look for the accounts of a user", sql).await?;
    if rows.is_empty() {
        return Err(cannot("raised", format!("there is no user `{user}`")));
    }
    let mut accounts = Vec::new();
    for row in &rows {
        let account = Account { user: user.to_owned(), host: cell(row, "host") };
        if cell(row, "locked") == "1" {
            let Account { user, host } = account;
            let reason = format!(
                "the account `{user}`@`{host}` is locked already, and whoever did that may unlock it \
                 at any time"
            );
            return Err(cannot("raised", reason));
        }
        accounts.push(serde_json::to_string(&account).unwrap_or_default());
    }
    Ok(accounts)
}

/// Says which fence stands.
async fn stands(mysql: &mut MySql) -> Result<DatabaseError, DatabaseError> {
    let sql = format!(
        "SELECT app, DATE_FORMAT(raised_at, '%Y-%m-%d %H:%i:%s') AS since FROM {}",
        mysql.table(TABLE)
    );
    let rows = mysql.fetch("read which fences stand", sql).await?;
    let reason = rows.first().map_or_else(
        || "another one stood a moment ago".to_owned(),
        |row| {
            let (since, app) = (cell(row, "since"), cell(row, "app"));
            format!("one stands since {since} for the application {app}")
        },
    );
    Ok(cannot("raised", reason))
}

async fn unlock(mysql: &mut MySql, accounts: &[String]) -> Result<(), DatabaseError> {
    for account in accounts {
        mysql.run("take the fence away", Account::of(account)?.sql("UNLOCK")).await?;
    }
    Ok(())
}

async fn delete(mysql: &mut MySql, id: i64) -> Result<(), DatabaseError> {
    let sql = format!("DELETE FROM {} WHERE id = {id} LIMIT 1", mysql.table(TABLE));
    mysql.commit("take the fence away", "", &sql).await
}
