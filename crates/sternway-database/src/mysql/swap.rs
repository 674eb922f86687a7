//! Two databases that change places. None can be renamed here: their tables move, all of them in one statement, and
//! what tables do not take along is made again by its definition: triggers, views, routines and events.
//!
//! Before anything is touched, a table in the database that is swapped out says what is to be made, so that a swap
//! that was cut short is taken back where the tables have not moved, and finished where they have. Carrying rows over
//! notes in the same way which triggers it takes away for so long.

use super::whole::Server;
use super::{MySql, cell, failed, track};
use crate::failpoint::{self, Point};
use crate::port::{Clients as _, DatabaseError, SwapError, Whole as _, occupants};

/// What is to be made, and where.
pub(super) const NOTES: &str = "sternway_swap";

/// Something that no table takes along.
pub(super) struct Program {
    /// `TRIGGER`, `VIEW`, `PROCEDURE`, `FUNCTION` or `EVENT`.
    kind: String,
    name: String,
    /// The settings that it was made with.
    settings: String,
    /// The statement that makes it.
    make: String,
}

/// Lets the databases change places.
pub(super) async fn swap(
    server: &mut Server,
    new: &str,
    old: &str,
    end: bool,
) -> Result<(), SwapError> {
    let sessions = occupants(server, end).await?;
    server.session.end_sessions(&sessions).await?;
    let name = server.session.identity.database.clone();
    let mut fresh = server.session_with(new).await?;
    let ours = programs(&mut server.session, "").await?;
    let theirs = programs(&mut fresh, "").await?;
    let (here, there) = (tables(&mut server.session).await?, tables(&mut fresh).await?);
    server.create(old).await?;
    let noted = note(&mut server.session, old, Some(new), &ours, &theirs).await;
    if let Err(error) = noted {
        server.remove(old).await?;
        return Err(error.into());
    }
    failpoint::hit(Point::Swapping);
    let moved =
        move_tables(server, &mut fresh, [&name, new, old], [&here, &there], [&ours, &theirs]).await;
    failpoint::hit(Point::Swapping);
    if let Err(error) = moved {
        mend(server, old).await?;
        return Err(error.into());
    }
    mend(server, old).await?;
    Ok(())
}

/// Drops the triggers, which tables may not have while they move, and moves the tables.
async fn move_tables(
    server: &mut Server,
    fresh: &mut MySql,
    [name, new, old]: [&str; 3],
    [here, there]: [&[String]; 2],
    [ours, theirs]: [&[Program]; 2],
) -> Result<(), DatabaseError> {
    drop_triggers(&mut server.session, ours).await?;
    drop_triggers(fresh, theirs).await?;
    failpoint::hit(Point::Swapping);
    let quote = MySql::quote;
    let moves = |tables: &[String], from: &str, to: &str| -> Vec<String> {
        let each = tables.iter();
        each.map(|it| format!("{0}.{2} TO {1}.{2}", quote(from), quote(to), quote(it))).collect()
    };
    let all = [moves(here, name, old), moves(there, new, name)].concat();
    if all.is_empty() {
        return Ok(());
    }
    let sql = format!("SET SESSION foreign_key_checks = 0; RENAME TABLE {}", all.join(", "));
    let moved = server.session.run("move the tables", sql).await;
    let back = server.session.reset.clone();
    server.session.run("set the session back", back).await?;
    moved
}

async fn drop_triggers(session: &mut MySql, of: &[Program]) -> Result<(), DatabaseError> {
    for it in of.iter().filter(|it| it.kind == "TRIGGER") {
        let sql = format!("DROP TRIGGER {}", MySql::quote(&it.name));
        session.run("drop a trigger", sql).await?;
    }
    Ok(())
}

/// The triggers of a database, or those of these names.
pub(super) async fn triggers(
    session: &mut MySql,
    names: Option<&[String]>,
) -> Result<Vec<Program>, DatabaseError> {
    let names = names.map(|it| it.iter().map(|it| MySql::literal(it)).collect::<Vec<_>>());
    let these = names.map(|it| format!(" AND name IN ({})", it.join(", "))).unwrap_or_default();
    programs(session, &format!("WHERE kind = 'TRIGGER'{these}")).await
}

/// Takes triggers of this database away, until [`put_back`] makes them again.
pub(super) async fn take_away(
    session: &mut MySql,
    triggers: &[Program],
) -> Result<(), DatabaseError> {
    let here = session.identity.database.clone();
    let mut taken = note(session, &here, None, &[], triggers).await;
    if taken.is_ok() {
        taken = drop_triggers(session, triggers).await;
    }
    if taken.is_err() {
        put_back(session).await?;
    }
    taken
}

/// Says in the database `place` what is to be made, and which database is to go then.
async fn note(
    session: &mut MySql,
    place: &str,
    from: Option<&str>,
    ours: &[Program],
    theirs: &[Program],
) -> Result<(), DatabaseError> {
    let doing = "note what is to be made again";
    let notes = format!("{}.{NOTES}", MySql::quote(place));
    let mut sql = format!(
        "CREATE TABLE {notes} (n bigint AUTO_INCREMENT PRIMARY KEY, place varchar(8), kind varchar(16),
            name longtext, settings longtext, make longtext) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4;
         START TRANSACTION;"
    );
    if let Some(from) = from.map(MySql::literal) {
        sql.push_str(&format!("INSERT INTO {notes} (place, name) VALUES ('from', {from});"));
    }
    for (place, all) in [("old", ours), ("here", theirs)] {
        for Program { kind, name, settings, make } in all {
            let values = [place, kind, name, settings, make].map(MySql::literal).join(", ");
            sql.push_str(&format!(
                "INSERT INTO {notes} (place, kind, name, settings, make) VALUES ({values});"
            ));
        }
    }
    session.run(doing, format!("{sql} COMMIT")).await
}

/// Finishes the swap that has swapped `old` out, or takes it back, as far as it has come; or makes the triggers of this
/// database again, where `old` is that. Nothing where it is done.
pub(super) async fn mend(server: &mut Server, old: &str) -> Result<(), DatabaseError> {
    if old == server.session.identity.database {
        return put_back(&mut server.session).await;
    }
    let mut out = server.session_with(old).await?;
    let moved = tables(&mut out).await?;
    if !moved.iter().any(|it| it == NOTES) {
        return Ok(());
    }
    let [ours, theirs, from] = noted(&mut out).await?;
    // Tables move all at once; where there were none on either side, there is nothing to tell by, and nothing lost.
    if moved.len() > 1 {
        for it in &ours {
            let sql = format!("DROP {} IF EXISTS {}", it.kind, MySql::quote(&it.name));
            server.session.run("drop what is swapped out", sql).await?;
        }
        make(&mut server.session, &theirs).await?;
        make(&mut out, &ours).await?;
        out.run("end a swap", format!("DROP TABLE {NOTES}")).await?;
        for it in from {
            server.remove(&it.name).await?;
        }
        return Ok(());
    }
    let triggers: Vec<Program> = ours.into_iter().filter(|it| it.kind == "TRIGGER").collect();
    make(&mut server.session, &triggers).await?;
    server.remove(old).await
}

/// Makes the triggers again that were taken away, also by a process that was cut short.
pub(super) async fn put_back(session: &mut MySql) -> Result<(), DatabaseError> {
    if !track::exists(session, NOTES).await? {
        return Ok(());
    }
    let [_, triggers, _] = noted(session).await?;
    make(session, &triggers).await?;
    session.run("forget which triggers were away", format!("DROP TABLE {NOTES}")).await
}

/// What is to be made in the database that is swapped out and in this one, and what goes then.
async fn noted(session: &mut MySql) -> Result<[Vec<Program>; 3], DatabaseError> {
    let doing = "read what is to be made again";
    let sql = format!("SELECT place, kind, name, settings, make FROM {NOTES} ORDER BY n");
    let rows = session.fetch(doing, sql).await?;
    Ok(["old", "here", "from"].map(|place| {
        let program = |row| Program {
            kind: cell(row, "kind"),
            name: cell(row, "name"),
            settings: cell(row, "settings"),
            make: cell(row, "make"),
        };
        rows.iter().filter(|row| cell(row, "place") == place).map(program).collect()
    }))
}

/// Makes what is not there, in an order in which it can be made.
async fn make(session: &mut MySql, programs: &[Program]) -> Result<(), DatabaseError> {
    let mut left: Vec<&Program> = programs.iter().collect();
    while !left.is_empty() {
        let (before, mut stays, mut refused) = (left.len(), Vec::new(), None);
        for it in left {
            let doing = format!("make {} `{}` again", it.kind.to_lowercase(), it.name);
            let drop = format!("DROP {} IF EXISTS {}", it.kind, MySql::quote(&it.name));
            failpoint::hit(Point::Swapping);
            session.run(&doing, format!("{drop}; {}", it.settings)).await?;
            if let Err(error) = session.run(&doing, it.make.clone()).await {
                // It may need another one.
                stays.push(it);
                refused = Some(error);
            }
        }
        let reset = session.reset.clone();
        session.run("set the session back", reset).await?;
        match refused {
            Some(error) if stays.len() == before => return Err(error),
            _ => left = stays,
        }
    }
    Ok(())
}

/// Everything that moves: tables and sequences, Sternway's own among them.
async fn tables(session: &mut MySql) -> Result<Vec<String>, DatabaseError> {
    let sql = format!(
        "SELECT TABLE_NAME AS name FROM information_schema.TABLES
         WHERE TABLE_SCHEMA = {} AND TABLE_TYPE NOT IN ('VIEW', 'SYSTEM VIEW') ORDER BY TABLE_NAME",
        MySql::literal(&session.identity.database)
    );
    let rows = session.fetch("list the tables", sql).await?;
    Ok(rows.iter().map(|row| cell(row, "name")).collect())
}

/// Everything that no table takes along, or some of it.
async fn programs(session: &mut MySql, which: &str) -> Result<Vec<Program>, DatabaseError> {
    let doing = "read what no table takes along";
    let database = MySql::literal(&session.identity.database);
    let sql = format!(
        "SELECT * FROM (
         SELECT 'VIEW' AS kind, TABLE_NAME AS name, 1 AS place FROM information_schema.VIEWS WHERE TABLE_SCHEMA = {database}
         UNION ALL SELECT ROUTINE_TYPE, ROUTINE_NAME, 0 FROM information_schema.ROUTINES
             WHERE ROUTINE_SCHEMA = {database} AND ROUTINE_TYPE IN ('PROCEDURE', 'FUNCTION')
         UNION ALL SELECT 'TRIGGER', TRIGGER_NAME, 2 + ACTION_ORDER FROM information_schema.TRIGGERS
             WHERE TRIGGER_SCHEMA = {database}
         UNION ALL SELECT 'EVENT', EVENT_NAME, 1 FROM information_schema.EVENTS WHERE EVENT_SCHEMA = {database}
         ) AS programs {which} ORDER BY place, name"
    );
    let mut programs = Vec::new();
    for row in session.fetch(doing, sql).await? {
        let (kind, name) = (cell(&row, "kind"), cell(&row, "name"));
        let sql = format!("SHOW CREATE {kind} {}", MySql::quote(&name));
        let found = session.fetch(doing, sql).await?;
        let row = found.first().ok_or_else(|| failed(doing)(sqlx::Error::RowNotFound))?;
        let column = match kind.as_str() {
            "TRIGGER" => "SQL Original Statement",
            "VIEW" => "Create View",
            "PROCEDURE" => "Create Procedure",
            "FUNCTION" => "Create Function",
            _ => "Create Event",
        };
        let mut settings = Vec::new();
        // Not the character set of the client's who made it: what is sent is in this one's.
        for name in ["sql_mode", "collation_connection", "time_zone"] {
            // A view has no mode, and only an event a time zone.
            let value = cell(row, name);
            if !value.is_empty() || (name == "sql_mode" && kind != "VIEW") {
                settings.push(format!("SESSION {name} = {}", MySql::literal(&value)));
            }
        }
        let make = cell(row, column);
        if make.is_empty() {
            let why =
                format!("the definition of {} `{name}` is not to be seen", kind.to_lowercase());
            return Err(failed(doing)(sqlx::Error::Protocol(why)));
        }
        programs.push(Program {
            kind,
            name,
            settings: format!("SET {}", settings.join(", ")),
            make,
        });
    }
    Ok(programs)
}
