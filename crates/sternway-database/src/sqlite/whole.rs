//! The database as a whole, and others beside it: a copy of the file as of one moment, how many rows there are, and
//! two files that change places.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use sqlx::{AssertSqlSafe, Row};
use sternway_model::catalog::Digest;
use sternway_model::proof::Fingerprint;
use sternway_model::state::Identity;

use super::carry::{OTHER, Two};
use super::connect::{self, Options};
use super::{Sqlite, failed, introspect, records};
use crate::Dialect;
use crate::carry::carry;
use crate::port::{
    Carried, Connect, Contents, Database, DatabaseError, Rows, SwapError, Told, Whole,
};

/// The files that belong to a database, by the end of their names.
const WITH: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A file, and the folder that it is in.
pub(crate) struct File {
    session: Sqlite,
    url: String,
    path: PathBuf,
}

/// Opens the file of the URL, or another one.
pub(crate) async fn open(url: &str, name: Option<&str>) -> Result<File, Connect> {
    let mut options = Options::read(url)?;
    if let Some(name) = name {
        options = options.elsewhere(Path::new(name));
    }
    let Some(path) = options.path() else {
        return Err(Connect::Url("a database in memory has no file".to_owned()));
    };
    Ok(File { session: connect::session(options).await?, url: url.to_owned(), path })
}

impl File {
    /// Opens a new session with the file that has the name now.
    async fn reopen(&mut self) -> Result<(), Connect> {
        let options = Options::read(&self.url)?.elsewhere(&self.path);
        self.session = connect::session(options).await?;
        Ok(())
    }

    /// How the file keeps its log.
    async fn journal_mode(&mut self, doing: &str) -> Result<String, DatabaseError> {
        let asked = sqlx::query_scalar("PRAGMA main.journal_mode");
        asked.fetch_one(&mut self.session.connection).await.map_err(failed(doing))
    }
}

fn io(doing: &str) -> impl Fn(io::Error) -> DatabaseError {
    let doing = doing.to_owned();
    move |error| failed(&doing)(sqlx::Error::Io(error))
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Makes a folder's entries outlive a crash of the machine.
fn sync_folder(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        fs::File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[async_trait]
impl Whole for File {
    fn dialect(&self) -> Dialect {
        Dialect::Sqlite
    }

    fn identity(&self) -> &Identity {
        &self.session.identity
    }

    fn session(&mut self) -> &mut dyn Database {
        &mut self.session
    }

    fn is_ours(&self, table: &str) -> bool {
        records::is_ours(table)
    }

    fn told(&self, _: &str) -> Told {
        Told::default()
    }

    async fn size(&mut self) -> Result<u64, DatabaseError> {
        let metadata = fs::metadata(&self.path);
        Ok(metadata.map_err(io("ask how large the file is"))?.len())
    }

    async fn hold(&mut self) -> Result<Option<String>, DatabaseError> {
        // Nothing is read before the first question: the moment is now.
        let sql = "BEGIN; SELECT count(*) FROM main.sqlite_schema";
        self.session.run("look at the database as it is", sql.to_owned()).await?;
        Ok(None)
    }

    async fn release(&mut self) -> Result<(), DatabaseError> {
        self.session.run("end looking at the database", "ROLLBACK".to_owned()).await
    }

    async fn contents(&mut self) -> Result<Contents, DatabaseError> {
        let doing = "list the tables";
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT name FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'virtual')
               AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY 1",
        )
        .fetch_all(&mut self.session.connection)
        .await
        .map_err(failed(doing))?;
        let mut contents = Contents::new();
        for table in tables {
            let doing = format!("count the rows of `{table}`");
            let columns: Vec<String> = sqlx::query_scalar(
                "SELECT name FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY cid",
            )
            .bind(&table)
            .fetch_all(&mut self.session.connection)
            .await
            .map_err(failed(&doing))?;
            let values: Vec<String> =
                columns.iter().map(|name| format!("quote({})", Sqlite::quote(name))).collect();
            let sql =
                format!("SELECT {} FROM {}", values.join(" || ',' || "), Sqlite::table(&table));
            let (mut count, mut sum) = (0, 0_u128);
            let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(&mut self.session.connection);
            while let Some(row) = rows.try_next().await.map_err(failed(&doing))? {
                let text: String = row.try_get(0).map_err(failed(&doing))?;
                count += 1;
                sum = sum.wrapping_add(Digest::of_bytes(text.as_bytes()).number());
            }
            contents.insert(table, Rows { count, sum: sum.to_string() });
        }
        Ok(contents)
    }

    async fn fingerprint(&mut self, except: &[String]) -> Result<Fingerprint, DatabaseError> {
        introspect::fingerprint(&mut self.session, except).await
    }

    async fn copy_into(&mut self, file: &Path) -> Result<bool, DatabaseError> {
        let sql = format!("VACUUM main INTO {}", Sqlite::literal(&file.display().to_string()));
        self.session.run("copy the database", sql).await?;
        Ok(true)
    }

    async fn exact(&mut self) -> Result<Option<String>, DatabaseError> {
        Ok(None)
    }

    async fn has_earlier_rows(&mut self) -> Result<bool, DatabaseError> {
        Ok(false)
    }

    async fn open(&self, name: &str) -> Result<Box<dyn Whole>, Connect> {
        Ok(Box::new(open(&self.url, Some(name)).await?))
    }

    async fn beside(&mut self, prefix: &str) -> Result<Vec<String>, DatabaseError> {
        let prefix = Path::new(prefix);
        let (Some(folder), Some(begin)) = (prefix.parent(), prefix.file_name()) else {
            return Ok(Vec::new());
        };
        let (begin, mut found) = (begin.to_string_lossy().into_owned(), Vec::new());
        let failed = io("list the files beside the database");
        for entry in fs::read_dir(folder).map_err(&failed)? {
            let name = entry.map_err(&failed)?.file_name().to_string_lossy().into_owned();
            if name.starts_with(&begin) && !WITH.iter().any(|end| name.ends_with(end)) {
                found.push(folder.join(name).display().to_string());
            }
        }
        found.sort();
        Ok(found)
    }

    /// What is copied there makes it.
    async fn create(&mut self, _: &str) -> Result<(), DatabaseError> {
        Ok(())
    }

    /// A file has nothing else.
    async fn dress(&mut self, _: &str) -> Result<(), DatabaseError> {
        Ok(())
    }

    async fn remove(&mut self, name: &str) -> Result<(), DatabaseError> {
        let path = Path::new(name);
        for file in WITH.iter().map(|end| with(path, end)).chain([path.to_owned()]) {
            match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io(&format!("remove {}", file.display()))(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Who has the file open is not known before it is asked for.
    async fn may_swap(&mut self, _: bool) -> Result<(), SwapError> {
        Ok(())
    }

    /// The file is ours alone while it changes its name, and has no log beside it: the name always leads to a whole
    /// database. Whoever has the old file open is told by SQLite, when he writes, that it has moved.
    async fn swap(&mut self, new: &str, old: &str, _: bool) -> Result<(), SwapError> {
        let path = self.path.clone();
        let mode = self.journal_mode("ask how the file keeps its log").await?;
        let doing = "have the file for ourselves";
        self.session.run(doing, "PRAGMA main.journal_mode = DELETE".to_owned()).await?;
        if self.journal_mode(doing).await? != "delete" {
            let text = "others have the file open: it keeps its log beside it, and cannot be moved";
            return Err(SwapError::NoWay(text.to_owned()));
        }
        self.session.run(doing, "BEGIN EXCLUSIVE".to_owned()).await?;
        let (new, old) = (Path::new(new), Path::new(old));
        let moving = || {
            // Where the disk knows no second name for a file, there is a moment without the first.
            if fs::hard_link(&path, old).is_err() {
                fs::rename(&path, old)?;
            }
            if let Err(error) = fs::rename(new, &path) {
                if !path.exists() {
                    fs::rename(old, &path)?;
                } else {
                    fs::remove_file(old)?;
                }
                return Err(error);
            }
            sync_folder(&path)
        };
        let moved = moving().map_err(io("let two files change places"));
        self.session.roll_back().await;
        // The session has the file open that was moved.
        self.reopen().await?;
        if mode == "wal" {
            let doing = "keep the log as before";
            self.session.run(doing, "PRAGMA main.journal_mode = WAL".to_owned()).await?;
        }
        Ok(moved?)
    }

    /// A swap is whole or nothing here.
    async fn mend(&mut self, _: &str) -> Result<(), DatabaseError> {
        Ok(())
    }

    async fn carry(&mut self, from: &str, except: &[String]) -> Result<Vec<Carried>, SwapError> {
        let doing = "begin to carry rows over";
        let attach = format!("ATTACH {} AS {OTHER}", Sqlite::literal(from));
        self.session.run(doing, attach).await?;
        // What refers to nothing is to be refused, whatever the session's own settings are.
        self.session.run(doing, "PRAGMA foreign_keys = on".to_owned()).await?;
        self.session.run(doing, "BEGIN IMMEDIATE".to_owned()).await?;
        let carried =
            carry(&mut Two { session: &mut self.session, triggers: Vec::new() }, except).await;
        let end = if carried.is_ok() { "COMMIT" } else { "ROLLBACK" };
        let ended = self.session.run("end carrying rows over", end.to_owned()).await;
        // With what it has in memory the session goes, and the other file is let go.
        self.reopen().await?;
        let carried = carried?;
        ended?;
        Ok(carried)
    }
}
