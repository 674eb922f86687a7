//! Restoring, in a transaction of its own.

use sternway_model::archive::{EntryId, Restoration};
use sternway_model::effect::Lost;

use super::keep::{fill, place};
use super::shape::look;
use super::{LENIENT, STRICT, data, sequences, silence};
use crate::archive::Result;
use crate::archive::{
    self, INDEX, KEPT, Origins, Outcome, PREFIX, Stored, Waiting, of_step, sharing, stored,
};
use crate::mysql::statements::{Statement, Word, words_of};
use crate::mysql::{MySql, swap};
use crate::origin::{Filled, Origin, Unseen, origin};
use crate::port::{DatabaseError, Preservation};

const DOING: &str = "restore rows";

/// What waits to be restored.
#[derive(Debug)]
pub struct Waits {
    rows: Waiting,
    sequences: Vec<Stored>,
}

impl Waits {
    /// Nothing.
    pub const NONE: Waits = Waits { rows: Waiting::NONE, sequences: Vec::new() };
}

/// Looks at what an earlier run of the other half kept, before the body of this one. `begun`: whether part of it has run.
pub async fn waiting(
    mysql: &mut MySql,
    care: &Preservation<'_>,
    statements: &[Statement<'_>],
    begun: bool,
) -> Result<Waits> {
    // An earlier process may have been cut short with them.
    swap::put_back(mysql).await?;
    let step = of_step(mysql, care, care.direction.opposite());
    let origins = origins_of(statements);
    let waiting = format!("{step} AND state = '{KEPT}' AND restored IS NULL");
    look_at(mysql, &waiting, Some(&origins), begun).await
}

/// Where statements take the values of a column from that they fill.
pub fn origins_of<'a>(
    statements: &'a [Statement<'a>],
) -> impl Fn(&Filled<'_>, &str) -> Origin + Send + Sync + 'a {
    let words: Vec<Vec<Word<'_>>> =
        statements.iter().map(|it| words_of(it.text, it.quotes)).collect();
    let unseen = unseen(&words);
    move |of, column| origin(&words, unseen, of, column)
}

/// What statements run that is not among them.
fn unseen(statements: &[Vec<Word<'_>>]) -> Unseen {
    let begins = |words: &Vec<Word<'_>>, keys: &[&str]| {
        words.first().is_some_and(|word| keys.contains(&word.key.as_str()))
    };
    let makes_trigger = |words: &Vec<Word<'_>>| {
        begins(words, &["CREATE"]) && words.iter().take(8).any(|it| it.is("TRIGGER"))
    };
    let code = statements.iter().any(|words| begins(words, &["CALL", "EXECUTE"]));
    Unseen { code, triggers: statements.iter().any(makes_trigger) }
}

/// Looks at entries, and at what is in their place now.
async fn look_at(
    mysql: &mut MySql,
    condition: &str,
    origins: Option<&Origins<'_>>,
    begun: bool,
) -> Result<Waits> {
    let found = stored(mysql, condition).await?;
    let is_sequence = |it: &Stored| matches!(it.entry.lost, Lost::Sequence { .. });
    let (sequences, mut found): (Vec<_>, Vec<_>) = found.into_iter().partition(is_sequence);
    if found.is_empty() {
        return Ok(Waits { rows: Waiting::NONE, sequences });
    }
    mysql.run("look at the archive", STRICT.to_owned()).await?;
    let waiting = async {
        for entry in found.iter_mut().filter(|entry| entry.layout.moved) {
            lay_out(mysql, entry).await?;
        }
        archive::look_at(mysql, found, origins, begun).await
    };
    let waiting = waiting.await;
    mysql.run("look at the archive", LENIENT.to_owned()).await?;
    waiting.map(|rows| Waits { rows, sequences })
}

/// Lays the rows of a relocated table out as those of copies are.
pub(super) async fn lay_out(mysql: &mut MySql, entry: &mut Stored) -> Result<()> {
    let Some(shape) = look(mysql, &format!("{PREFIX}{}", entry.data)).await? else { return Ok(()) };
    let (from, id) = (data(mysql, entry.data), -entry.data);
    place(mysql, id, &shape.written()).await?;
    fill(mysql, id, &shape, &from).await?;
    entry.layout.moved = false;
    let layout = MySql::literal(&serde_json::to_string(&entry.layout).unwrap_or_default());
    let index = mysql.table(INDEX);
    let sql = format!(
        "UPDATE {index} SET data = {id}, layout = {layout} WHERE data = {} LIMIT 1000; COMMIT; DROP TABLE {from}",
        entry.data
    );
    mysql.run("lay the rows out", sql).await?;
    entry.data = id;
    Ok(())
}

/// Restores what waits.
pub async fn restore(mysql: &mut MySql, waits: Waits) -> Result<Vec<Restoration>> {
    let Waits { rows, sequences } = waits;
    let mut restored = restore_rows(mysql, rows).await?;
    restored.extend(sequences::restore(mysql, &sequences).await?);
    Ok(restored)
}

async fn restore_rows(mysql: &mut MySql, waiting: Waiting) -> Result<Vec<Restoration>> {
    if waiting.is_empty() {
        return Ok(Vec::new());
    }
    let checks = "@sternway_checks = @@SESSION.foreign_key_checks";
    let begin = format!("{STRICT}; SET {checks}, SESSION foreign_key_checks = 1");
    mysql.run(DOING, begin).await?;
    let restored = async {
        silence::silence(mysql, &waiting.tables()).await?;
        archive::advance(mysql, &waiting).await?;
        mysql.run(DOING, "START TRANSACTION READ WRITE".to_owned()).await?;
        let Outcome { restored, emptied } = archive::restore(mysql, waiting).await?;
        mysql.run(DOING, "COMMIT".to_owned()).await?;
        for id in emptied {
            let sql = format!("DROP TABLE IF EXISTS {}", data(mysql, id));
            mysql.run("empty the archive", sql).await?;
        }
        Ok::<_, DatabaseError>(restored)
    };
    let restored = restored.await;
    if restored.is_err() {
        // A connection that is gone has done this by itself.
        let _ = mysql.run(DOING, "ROLLBACK".to_owned()).await;
    }
    let woken = swap::put_back(mysql).await;
    let settings = format!("{LENIENT}, SESSION foreign_key_checks = @sternway_checks");
    let reset = mysql.run(DOING, settings).await;
    let restored = restored?;
    woken?;
    reset.map(|()| restored)
}

/// Restores entries now, together with those that share their rows.
pub async fn restore_some(mysql: &mut MySql, ids: &[EntryId]) -> Result<Vec<Restoration>> {
    swap::put_back(mysql).await?;
    let condition = format!("{} AND state = '{KEPT}'", sharing(mysql, ids).await?);
    let waiting = look_at(mysql, &condition, None, false).await?;
    restore(mysql, waiting).await
}

/// As [`crate::port::Archive::leave`].
pub async fn leave(mysql: &mut MySql, ids: &[EntryId]) -> Result<Vec<Restoration>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let condition = format!("{} AND state = '{KEPT}'", sharing(mysql, ids).await?);
    let mut found = stored(mysql, &condition).await?;
    for entry in found.iter_mut().filter(|entry| entry.layout.moved) {
        lay_out(mysql, entry).await?;
    }
    let left = archive::leave(mysql, &found).await?;
    mysql.run("leave what was kept", "COMMIT".to_owned()).await?;
    Ok(left)
}
