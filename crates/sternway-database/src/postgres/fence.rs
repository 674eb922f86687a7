//! Keeping other clients out, and putting back exactly what there was.
//!
//! What a fence changes commits together with the row of `sternway.fence` that says how it was before.
//! So there is never a fence that nobody knows of, and taking it away is the same after a crash. The
//! table is made with the first fence; the other records do without it.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sternway_model::state::RecordsAccess;

use super::execute::be_ourselves;
use super::parameters::Server;
use super::records::unreadable;
use super::{NAME, Postgres, failed, literal, track};
use crate::port::{DatabaseError, Fence, FenceKind, Fences, Raised, RecordStore, RunId};
use crate::records::damaged;

/// Something that a fence changes, as it was before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "was")]
enum Was {
    /// This role, or everybody where it is none, had been given the right to connect.
    Given {
        role: Option<String>,
        /// Whether it might pass it on.
        grantable: bool,
    },
    /// This role had the right only because everybody had it, and gets it for itself meanwhile.
    NotGiven { role: String },
    /// Whether transactions of this role in this database were read-only by default.
    Setting { role: String, value: Option<String> },
}

impl Was {
    fn of(text: &str) -> Result<Was, DatabaseError> {
        serde_json::from_str(text).map_err(|error| damaged(&error))
    }

    fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The role; `None` is everybody.
    fn role(&self) -> Option<&String> {
        match self {
            Self::Given { role, .. } => role.as_ref(),
            Self::NotGiven { role } | Self::Setting { role, .. } => Some(role),
        }
    }

    /// The statement that raises this part of a fence.
    fn raise(&self, database: &str) -> String {
        match self {
            Self::Given { role, .. } => revoke(database, role.as_ref()),
            Self::NotGiven { role } => grant(database, Some(role), false),
            Self::Setting { role, .. } => set(database, role, Some("on")),
        }
    }

    /// The statement that brings back what was.
    fn lower(&self, database: &str) -> String {
        match self {
            Self::Given { role, grantable } => grant(database, role.as_ref(), *grantable),
            Self::NotGiven { role } => revoke(database, Some(role)),
            Self::Setting { role, value } => set(database, role, value.as_deref()),
        }
    }
}

fn named(role: Option<&String>) -> String {
    role.map_or_else(|| "PUBLIC".to_owned(), |role| Postgres::quote(role))
}

fn grant(database: &str, role: Option<&String>, grantable: bool) -> String {
    let option = if grantable { " WITH GRANT OPTION" } else { "" };
    format!("GRANT CONNECT ON DATABASE {} TO {}{option};", Postgres::quote(database), named(role))
}

fn revoke(database: &str, role: Option<&String>) -> String {
    format!("REVOKE CONNECT ON DATABASE {} FROM {};", Postgres::quote(database), named(role))
}

fn set(database: &str, role: &str, value: Option<&str>) -> String {
    let (role, database) = (Postgres::quote(role), Postgres::quote(database));
    let change = match value {
        Some(value) => format!("SET {READ_ONLY} = {}", literal(value)),
        None => format!("RESET {READ_ONLY}"),
    };
    format!("ALTER ROLE {role} IN DATABASE {database} {change};")
}

const READ_ONLY: &str = "default_transaction_read_only";

const TABLE: &str = "
CREATE TABLE IF NOT EXISTS sternway.fence (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    app text NOT NULL, schema text NOT NULL, run bigint REFERENCES sternway.run, fence text NOT NULL,
    raised_by text NOT NULL DEFAULT session_user, raised_at timestamptz NOT NULL DEFAULT now()
);
";

/// Who may connect to this database, and which of them are to be kept out.
fn facts(roles: &str) -> String {
    format!(
        "WITH db AS (
             SELECT datname, datdba, coalesce(datacl, acldefault('d', datdba)) AS acl
             FROM pg_catalog.pg_database WHERE datname = current_database()
         ), given AS (
             SELECT e.grantee, bool_or(e.is_grantable) AS grantable FROM db, aclexplode(db.acl) e
             WHERE e.privilege_type = 'CONNECT' GROUP BY e.grantee
         ), fenced AS (
             SELECT oid, rolname, rolsuper FROM pg_catalog.pg_roles WHERE rolname = ANY ({roles})
         ), rest AS (
             SELECT grantee FROM given WHERE grantee <> 0 AND grantee NOT IN (SELECT oid FROM fenced)
         )"
    )
}

fn cannot(doing: &'static str, reason: impl Into<String>) -> DatabaseError {
    DatabaseError::Fence { doing, reason: reason.into() }
}

/// The server's refusal, in the words of a fence.
fn refused(doing: &'static str) -> impl FnOnce(DatabaseError) -> DatabaseError {
    move |error| match &error {
        DatabaseError::Query { source: sqlx::Error::Database(source), .. }
            if source.code().is_some_and(|code| code == "42501") =>
        {
            cannot(doing, source.message())
        }
        _ => error,
    }
}

#[async_trait]
impl Fences for Postgres {
    async fn prepare_fence(&mut self, kind: &FenceKind) -> Result<Fence, DatabaseError> {
        if self.parameters.server != Server::Postgres || !self.has_sessions() {
            return Err(DatabaseError::NoFence { kind: kind.to_string() });
        }
        let mut kind = kind.clone();
        let (FenceKind::NoConnect { roles } | FenceKind::ReadOnly { roles }) = &mut kind;
        roles.sort();
        roles.dedup();
        let array: Vec<String> = roles.iter().map(|role| literal(role)).collect();
        let array = format!("ARRAY[{}]::text[]", array.join(", "));
        let before = match &kind {
            FenceKind::NoConnect { .. } => {
                may_grant(self, "raised").await?;
                holds(self, &array).await?;
                connect(self, &array).await?
            }
            FenceKind::ReadOnly { .. } => read_only(self, &array).await?,
        };
        let database = self.identity.database.clone();
        Ok(Fence { kind, database, before: before.iter().map(Was::text).collect() })
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
        let raised = try_to_raise(self, app, run, fence).await;
        if raised.is_err() {
            let _ = self.run("roll back", "ROLLBACK".to_owned()).await;
        }
        raised.map_err(refused("raised"))
    }

    async fn fences(&mut self, app: &str) -> Result<Vec<Raised>, DatabaseError> {
        if self.parameters.server != Server::Postgres {
            return Ok(Vec::new());
        }
        let doing = "read which fences stand";
        let sql = format!(
            "SELECT id, run, fence, to_char(raised_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')
             FROM sternway.fence WHERE app = {} AND schema = {} ORDER BY id",
            literal(app),
            literal(&self.identity.schema)
        );
        let rows = match self.ask(doing, sql).await {
            // There was never one.
            Err(error) if track::is_absent(&error) => return Ok(Vec::new()),
            rows => rows.map_err(unreadable)?,
        };
        let mut fences = Vec::new();
        for row in rows {
            let text = |column: usize| row.try_get::<String, _>(column).map_err(failed(doing));
            let fence: Fence = serde_json::from_str(&text(2)?).map_err(|error| damaged(&error))?;
            if fence.database == self.identity.database {
                let id = row.try_get(0).map_err(failed(doing))?;
                let run = row.try_get(1).map_err(failed(doing))?;
                fences.push(Raised { id, run, fence, since: text(3)? });
            }
        }
        Ok(fences)
    }

    async fn lower_fence(&mut self, raised: &Raised) -> Result<(), DatabaseError> {
        let lowered = try_to_lower(self, raised).await;
        match lowered {
            Err(error) if track::is_absent(&error) => {
                self.run("roll back", "ROLLBACK".to_owned()).await
            }
            Err(error) => {
                let _ = self.run("roll back", "ROLLBACK".to_owned()).await;
                Err(refused("taken away")(error))
            }
            Ok(()) => Ok(()),
        }
    }
}

/// Only the owner, a member of the owner and a superuser can give and take the right to connect.
async fn may_grant(postgres: &mut Postgres, doing: &'static str) -> Result<(), DatabaseError> {
    let asking = "ask who may change the right to connect";
    let sql =
        "SELECT pg_catalog.pg_has_role(datdba, 'USAGE'), pg_catalog.pg_get_userbyid(datdba)::text
               FROM pg_catalog.pg_database WHERE datname = current_database()";
    let row = postgres.ask_one(asking, sql.to_owned()).await?;
    if row.try_get(0).map_err(failed(asking))? {
        return Ok(());
    }
    let owner: String = row.try_get(1).map_err(failed(asking))?;
    let (user, database) = (&postgres.identity.user, &postgres.identity.database);
    let reason = format!("user `{user}` is not `{owner}`, who owns the database `{database}`");
    Err(cannot(doing, reason))
}

/// Refuses roles that taking the right to connect would not keep out, and our own.
async fn holds(postgres: &mut Postgres, roles: &str) -> Result<(), DatabaseError> {
    let doing = "find out who may connect";
    let sql = format!(
        "{} SELECT name, f.oid IS NULL, coalesce(f.rolsuper, false), name = session_user,
                (SELECT string_agg(pg_catalog.pg_get_userbyid(r.grantee)::text, ', ') FROM rest r
                 WHERE pg_catalog.pg_has_role(f.oid, r.grantee, 'USAGE'))
            FROM unnest({roles}) AS name LEFT JOIN fenced f ON f.rolname = name ORDER BY name",
        facts(roles)
    );
    for row in postgres.ask(doing, sql).await? {
        let is = |column: usize| row.try_get::<bool, _>(column).map_err(failed(doing));
        let role: String = row.try_get(0).map_err(failed(doing))?;
        let through: Option<String> = row.try_get(4).map_err(failed(doing))?;
        let reason = match through {
            _ if is(1)? => format!("there is no role `{role}`"),
            _ if is(3)? => {
                format!("`{role}` is Sternway's own user, whom it would keep out as well")
            }
            _ if is(2)? => format!("`{role}` is a superuser, whom no missing right keeps out"),
            Some(groups) => format!("`{role}` may connect as a member of {groups}"),
            None => continue,
        };
        return Err(cannot("raised", reason));
    }
    Ok(())
}

/// What taking the right to connect changes: the roles' own right, and everybody's. Those who are here
/// now, are not meant, and would lose it with everybody get one of their own for the time; others who
/// had it with everybody stay out as well.
async fn connect(postgres: &mut Postgres, roles: &str) -> Result<Vec<Was>, DatabaseError> {
    let doing = "find out who may connect";
    let sql = format!(
        "{} SELECT CASE WHEN g.grantee <> 0 THEN pg_catalog.pg_get_userbyid(g.grantee)::text END,
                g.grantable
            FROM given g WHERE g.grantee = 0 OR g.grantee IN (SELECT oid FROM fenced)
            UNION ALL
            SELECT r.rolname::text, NULL FROM pg_catalog.pg_roles r
            WHERE EXISTS (SELECT FROM given WHERE grantee = 0) AND NOT r.rolsuper
              AND r.oid NOT IN (SELECT oid FROM fenced)
              AND (r.rolname = session_user OR r.oid IN (
                       SELECT usesysid FROM pg_catalog.pg_stat_activity WHERE datname = current_database()))
              AND NOT EXISTS (SELECT FROM rest WHERE pg_catalog.pg_has_role(r.oid, rest.grantee, 'USAGE'))
              AND NOT EXISTS (SELECT FROM fenced f WHERE pg_catalog.pg_has_role(f.oid, r.oid, 'USAGE'))
            ORDER BY 2 NULLS FIRST, 1",
        facts(roles)
    );
    let was = |row: &sqlx::postgres::PgRow| {
        let role: Option<String> = row.try_get(0)?;
        let grantable: Option<bool> = row.try_get(1)?;
        Ok(match (role, grantable) {
            (Some(role), None) => Was::NotGiven { role },
            (role, grantable) => Was::Given { role, grantable: grantable.unwrap_or(false) },
        })
    };
    let rows = postgres.ask(doing, sql).await?;
    rows.iter().map(was).collect::<sqlx::Result<_>>().map_err(failed(doing))
}

/// What making roles read-only changes.
async fn read_only(postgres: &mut Postgres, roles: &str) -> Result<Vec<Was>, DatabaseError> {
    let doing = "find out which roles are read-only";
    let sql = format!(
        "SELECT name, r.oid IS NULL,
                (SELECT substr(setting, strpos(setting, '=') + 1)
                 FROM pg_catalog.pg_db_role_setting s, unnest(s.setconfig) AS setting
                 WHERE s.setrole = r.oid AND split_part(setting, '=', 1) = '{READ_ONLY}'
                   AND s.setdatabase = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database()))
         FROM unnest({roles}) AS name LEFT JOIN pg_catalog.pg_roles r ON r.rolname = name ORDER BY name"
    );
    let mut before = Vec::new();
    for row in postgres.ask(doing, sql).await? {
        let role: String = row.try_get(0).map_err(failed(doing))?;
        if row.try_get(1).map_err(failed(doing))? {
            return Err(cannot("raised", format!("there is no role `{role}`")));
        }
        let value = row.try_get(2).map_err(failed(doing))?;
        before.push(Was::Setting { role, value });
    }
    Ok(before)
}

async fn try_to_raise(
    postgres: &mut Postgres,
    app: &str,
    run: Option<RunId>,
    fence: &Fence,
) -> Result<Raised, DatabaseError> {
    let doing = "raise the fence";
    let sql = "SELECT to_regclass('sternway.fence') IS NULL".to_owned();
    let absent: bool = postgres.ask_one(doing, sql).await?.try_get(0).map_err(failed(doing))?;
    let make = if absent { TABLE } else { "" };
    let begin = format!("BEGIN READ WRITE; {} {make}", be_ourselves(postgres));
    postgres
        .run(doing, format!("{begin} LOCK TABLE sternway.fence IN SHARE ROW EXCLUSIVE MODE"))
        .await?;
    // A copy of a database brings the rows along, and not what they tell of.
    let database = literal(&fence.database);
    let sql = format!(
        "SELECT app, to_char(raised_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')
         FROM sternway.fence WHERE fence::json->>'database' = {database} LIMIT 1"
    );
    if let Some(row) = postgres.ask(doing, sql).await?.first() {
        let text = |column: usize| row.try_get::<String, _>(column).map_err(failed(doing));
        let reason = format!("one stands since {} for the application {}", text(1)?, text(0)?);
        return Err(cannot("raised", reason));
    }
    let mut sql = format!(
        "INSERT INTO sternway.fence (app, schema, run, fence) VALUES ({}, {}, {}, {})
         RETURNING id, to_char(raised_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS');\n",
        literal(app),
        literal(&postgres.identity.schema),
        run.map_or_else(|| "NULL".to_owned(), |run| run.to_string()),
        literal(&serde_json::to_string(fence).unwrap_or_default()),
    );
    for was in &fence.before {
        sql.push_str(&Was::of(was)?.raise(&fence.database));
    }
    let rows = postgres.ask(doing, sql).await?;
    let row = rows.first().ok_or(sqlx::Error::RowNotFound).map_err(failed(doing))?;
    let raised = Raised {
        id: row.try_get(0).map_err(failed(doing))?,
        run,
        fence: fence.clone(),
        since: row.try_get(1).map_err(failed(doing))?,
    };
    if let FenceKind::NoConnect { roles } = &fence.kind {
        // What another role than the owner has given, the owner's word does not take back.
        let roles: Vec<String> = roles.iter().map(|role| literal(role)).collect();
        let sql = format!(
            "SELECT rolname::text FROM pg_catalog.pg_roles WHERE rolname = ANY (ARRAY[{}]::text[])
             AND pg_catalog.has_database_privilege(oid, current_database(), 'CONNECT')",
            roles.join(", ")
        );
        if let Some(row) = postgres.ask(doing, sql).await?.first() {
            let role: String = row.try_get(0).map_err(failed(doing))?;
            return Err(cannot("raised", format!("`{role}` may still connect")));
        }
    }
    postgres.run(doing, "COMMIT".to_owned()).await?;
    Ok(raised)
}

async fn try_to_lower(postgres: &mut Postgres, raised: &Raised) -> Result<(), DatabaseError> {
    let doing = "take the fence away";
    let Raised { id, fence, .. } = raised;
    let begin = format!("BEGIN READ WRITE; {}", be_ourselves(postgres));
    let sql =
        format!("{begin} DELETE FROM sternway.fence WHERE id = {id} RETURNING raised_at::text");
    let rows = postgres.ask(doing, sql).await?;
    let Some(row) = rows.first() else {
        // Somebody has done it.
        return postgres.run(doing, "COMMIT".to_owned()).await;
    };
    let raised_at: String = row.try_get(0).map_err(failed(doing))?;
    if matches!(fence.kind, FenceKind::NoConnect { .. }) {
        may_grant(postgres, "taken away").await?;
    }
    let before: Vec<Was> = fence.before.iter().map(|was| Was::of(was)).collect::<Result<_, _>>()?;
    let names: Vec<String> =
        before.iter().filter_map(Was::role).map(|role| literal(role)).collect();
    let sql = format!(
        "SELECT rolname::text FROM pg_catalog.pg_roles WHERE rolname = ANY (ARRAY[{}]::text[])",
        names.join(", ")
    );
    // Roles that have been dropped meanwhile have nothing to be put back.
    let rows = postgres.ask(doing, sql).await?;
    let there: Vec<String> = rows
        .iter()
        .map(|row| row.try_get(0))
        .collect::<sqlx::Result<_>>()
        .map_err(failed(doing))?;
    let mut sql = String::new();
    let mut ours = String::new();
    for was in &before {
        if was.role().is_none_or(|role| there.contains(role)) {
            sql.push_str(&was.lower(&fence.database));
        }
        // A session that was opened behind the fence has its setting until it ends.
        if let Was::Setting { role, value } = was
            && *role == postgres.user
        {
            let value = literal(value.as_deref().unwrap_or("off"));
            ours.push_str(&format!("SET {READ_ONLY} = {value};"));
        }
    }
    postgres.run(doing, format!("{sql} COMMIT; {ours}")).await?;
    if !postgres.reset.contains(&ours) {
        postgres.reset.push_str(&ours);
    }
    if let FenceKind::ReadOnly { roles } = &fence.kind {
        end_those_behind(postgres, roles, &raised_at).await;
    }
    Ok(())
}

/// Ends the sessions that began behind a read-only fence: they would only read until they end, whatever
/// is set since, and a pool that keeps them would never write again. The fence is gone all the same.
async fn end_those_behind(postgres: &mut Postgres, roles: &[String], raised_at: &str) {
    let doing = "end the sessions that began behind the fence";
    let roles: Vec<String> = roles.iter().map(|role| literal(role)).collect();
    let sql = format!(
        "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
         WHERE datname = current_database() AND usename::text = ANY (ARRAY[{}]::text[])
           AND backend_start >= {}::timestamptz AND pid <> pg_catalog.pg_backend_pid()
           AND application_name <> '{NAME}'",
        roles.join(", "),
        literal(raised_at)
    );
    if let Err(error) = postgres.ask(doing, sql).await {
        tracing::error!(
            "sessions that began behind the fence only read until they end, and could not be ended: {error}"
        );
    }
}
