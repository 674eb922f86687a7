//! The arguments about snapshots.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// How snapshots are made, and where they are kept.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings (each also a key of sternway.toml)")]
pub struct SnapshotOptions {
    /// Copy the whole database before a journey changes its schema (policy.snapshot): none, taken, or
    /// proven, which restores it on trial and compares [default: none]
    #[arg(long, global = true, env = "STERNWAY_SNAPSHOT", value_name = "WHAT")]
    pub snapshot: Option<String>,
    /// Where snapshots are kept (snapshot.store): a folder, or s3://BUCKET/PREFIX, gs://BUCKET/PREFIX,
    /// az://CONTAINER/PREFIX
    #[arg(long, global = true, env = "STERNWAY_SNAPSHOT_STORE", value_name = "WHERE")]
    pub snapshot_store: Option<String>,
    /// How many tables are written or read at once (snapshot.jobs), on PostgreSQL [default: 1]
    #[arg(long, global = true, env = "STERNWAY_SNAPSHOT_JOBS", value_name = "NUMBER")]
    pub snapshot_jobs: Option<usize>,
    /// How pg_dump compresses (snapshot.compression), in its own words, such as 0 or 9 [default: pg_dump's]
    #[arg(long, global = true, env = "STERNWAY_SNAPSHOT_COMPRESSION", value_name = "HOW")]
    pub snapshot_compression: Option<String>,
    /// Encrypt with the program age for this recipient (snapshot.recipients): a public key, or a file of
    /// them; may be given several times
    #[arg(
        long,
        global = true,
        env = "STERNWAY_SNAPSHOT_RECIPIENTS",
        value_name = "RECIPIENT",
        value_delimiter = ';'
    )]
    pub snapshot_recipient: Vec<String>,
    /// The file with the identity that decrypts (snapshot.identity), for age
    #[arg(long, global = true, env = "STERNWAY_SNAPSHOT_IDENTITY", value_name = "FILE")]
    pub snapshot_identity: Option<PathBuf>,
    /// The folder with pg_dump and pg_restore, or mariadb-dump and mariadb (snapshot.tools) [default: PATH,
    /// and where Debian has each version of PostgreSQL]
    #[arg(long, global = true, env = "STERNWAY_SNAPSHOT_TOOLS", value_name = "DIR")]
    pub snapshot_tools: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct SnapshotArgs {
    #[command(subcommand)]
    pub command: SnapshotCommand,
}

#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// Copy the database as it is at this moment
    Create(CreateArgs),
    /// List the snapshots, and the databases that restores have left
    List,
    /// Show what a snapshot is of
    Show(IdArgs),
    /// Restore a snapshot into a scratch database, compare every table with what was taken, and drop it again
    Prove(IdArgs),
    /// Go back to a snapshot: restored beside the database, compared, and swapped in; the old one stays
    Restore(SnapshotRestoreArgs),
    /// Bring rows over that were written since a snapshot, from the database that its restore has swapped out
    Carry(CarryArgs),
    /// Remove snapshots, and the databases that restores have left
    Prune(PruneArgs),
}

#[derive(Debug, Args)]
pub struct IdArgs {
    /// The snapshot, as `list` names it; latest is the last whole one
    #[arg(value_name = "SNAPSHOT")]
    pub id: String,
}

#[derive(Debug, Args)]
pub struct CreateArgs {
    /// Where to keep it, instead of the store of the settings
    #[arg(long, value_name = "WHERE")]
    pub to: Option<String>,
    /// Prove it at once: restore it into a scratch database, and compare
    #[arg(long)]
    pub prove: bool,
    /// Keep it as a database on the server (CREATE DATABASE … TEMPLATE), instead of in files: quick to take and to
    /// restore, and gone with the server. PostgreSQL; nobody else may be connected
    #[arg(long)]
    pub on_server: bool,
    /// End the sessions of other clients, instead of refusing while there are any
    #[arg(long, requires = "on_server")]
    pub end_sessions: bool,
}

#[derive(Debug, Args)]
pub struct SnapshotRestoreArgs {
    /// The snapshot, as `list` names it; latest is the last whole one
    #[arg(value_name = "SNAPSHOT")]
    pub id: String,
    /// Restore into a new database of this name (on SQLite a file), and leave the present one alone
    #[arg(long, value_name = "NAME")]
    pub into: Option<String>,
    /// End the sessions of other clients, instead of refusing while there are any
    #[arg(long)]
    pub end_sessions: bool,
    /// Afterwards bring those rows over that were written since the snapshot and still fit
    #[arg(long, conflicts_with = "into")]
    pub then_carry: bool,
    /// Do not ask; needed where there is no terminal
    #[arg(long, short)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct CarryArgs {
    /// The database that was swapped out [default: the last one]
    #[arg(long = "out-of", value_name = "NAME")]
    pub out_of: Option<String>,
    /// Do not ask; needed where there is no terminal
    #[arg(long, short)]
    pub yes: bool,
}

#[derive(Debug, Args)]
#[group(id = "what", required = true, multiple = true, args = ["ids", "keep", "older_than", "unfinished", "databases"])]
pub struct PruneArgs {
    /// These snapshots
    #[arg(value_name = "SNAPSHOT")]
    pub ids: Vec<String>,
    /// All whole ones but so many of the newest
    #[arg(long, value_name = "NUMBER")]
    pub keep: Option<usize>,
    /// Those that were taken more than so many days ago
    #[arg(long, value_name = "DAYS")]
    pub older_than: Option<u64>,
    /// Those that were never finished; one that is being taken right now is among them
    #[arg(long)]
    pub unfinished: bool,
    /// The databases that restores have swapped out, and those of restores and proofs that were cut short
    #[arg(long)]
    pub databases: bool,
    /// Do not ask; needed where there is no terminal
    #[arg(long, short)]
    pub yes: bool,
}
