//! The arguments: what can be typed, and the help that explains it.

mod fence;
mod snapshot;

use std::path::PathBuf;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use sternway_database::Limits;
use sternway_model::catalog::TrackName;

pub use fence::FenceArgs;
pub use snapshot::{
    CarryArgs, CreateArgs, PruneArgs, SnapshotArgs, SnapshotCommand, SnapshotOptions,
    SnapshotRestoreArgs,
};

/// Take an application and its database from one release to another, backwards or forwards,
/// without losing data.
///
/// Sternway reads which schema each release needs from the application's own migrations, plans the
/// whole way before it touches anything, and proves the result. Try `sternway demo` first.
#[derive(Debug, Parser)]
#[command(name = "sternway", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Arguments {
    #[command(flatten)]
    pub shared: Shared,
    #[command(subcommand)]
    pub command: Command,
}

impl Arguments {
    /// Reads what was typed, and the variables; ends the process where that makes no sense.
    pub fn read() -> Arguments {
        let matches = Arguments::command().get_matches();
        let mut arguments =
            Arguments::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
        // A setting given before the command is repeated among those of the command.
        let mut innermost = &matches;
        while let Some((_, inner)) = innermost.subcommand() {
            innermost = inner;
        }
        let typed = |id| innermost.value_source(id) == Some(ValueSource::CommandLine);
        let shared = &mut arguments.shared;
        shared.database_typed = typed("database");
        if typed("database_url_file") && !shared.database_typed {
            shared.database = None; // A flag wins over a variable.
        }
        arguments
    }
}

impl Shared {
    /// The settings as `options` and the variables have them.
    pub fn of(options: &[String]) -> Result<Shared, clap::Error> {
        let words = [&["sternway".to_owned()], options, &["status".to_owned()]].concat();
        Arguments::try_parse_from(words).map(|arguments| arguments.shared)
    }
}

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 usage, 3 refused by policy or safety, \
4 drift, 5 dirty, 6 lock not obtained, 130 interrupted cleanly.";

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show the main job, end to end, on the embedded PostgreSQL: nothing to install, in seconds
    Demo(DemoArgs),
    /// List the releases, what each track has in them, and which share a schema
    Releases(ReleasesArgs),
    /// Write every release's migrations into one file, for places without a network
    Bundle(BundleArgs),
    /// Show where each track stands, which releases that fits, and whether the schema has drifted
    Status,
    /// Say whether a release may run on the schema as it is: 0 for yes, 3 for no, 4 where nobody knows
    CanRun(CanRunArgs),
    /// Find out what is wrong with a dirty or inconsistent database, and mend it when told to
    Doctor(DoctorArgs),
    /// Compute the way to a release and show it; nothing is touched
    Plan(PlanArgs),
    /// Print the same way as a page of manual steps, every number filled in, for somebody without Sternway
    Runbook(RunbookArgs),
    /// Execute a plan that was written with `plan --out`
    Apply(ApplyArgs),
    /// Take the application's database back to an earlier release: plan, confirm, execute, verify
    Rollback(RollbackArgs),
    /// Take the application's database to a newer release: plan, confirm, execute, verify
    Upgrade(UpgradeArgs),
    /// Finish a run that was cut short or has failed
    Resume(ResumeArgs),
    /// Make a journey from inside of the cluster: print, or create and follow, a Job that executes its plan
    Job(JobArgs),
    /// Take a run back that was cut short or has failed: schema, data and application
    Abort(AbortArgs),
    /// List what Sternway ran on this database
    History,
    /// Look at what was kept of what migrations took away: list, show, export, restore, drop
    Archive(ArchiveArgs),
    /// Copy the whole database, and go back to a copy: create, list, show, prove, restore, prune
    Snapshot(SnapshotArgs),
    /// Move one track by its numbers, with golang-migrate's command line: `sternway migrate -help`
    #[command(disable_help_flag = true)]
    Migrate(MigrateArgs),
}

/// What every command understands. Each has a variable, and a key in `sternway.toml`.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings (each also a key of sternway.toml)")]
pub struct Shared {
    /// The settings file [default: sternway.toml in this folder or one above, unless a profile is named]
    #[arg(long, global = true, env = "STERNWAY_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Built-in settings for a known application: kagent
    #[arg(long, global = true, env = "STERNWAY_PROFILE", value_name = "NAME")]
    pub profile: Option<String>,
    /// The application's name (app.name)
    #[arg(long, global = true, env = "STERNWAY_APP", value_name = "NAME")]
    pub app: Option<String>,
    /// Where releases are read from (app.source): github://OWNER/REPOSITORY, gitlab://HOST/PROJECT,
    /// git+https://HOST/PATH, git+ssh://USER@HOST/PATH, git+file:PATH, dir:PATH, bundle:FILE, or a path
    #[arg(long, global = true, env = "STERNWAY_SOURCE", value_name = "WHERE")]
    pub source: Option<String>,
    /// What a release's tag looks like (app.tag), such as v{version}
    #[arg(long, global = true, env = "STERNWAY_TAG", value_name = "PATTERN")]
    pub tag: Option<String>,
    /// The database (database.url): postgres://…, mysql://…, sqlite://…, embedded:DIR. A password is better
    /// given in the variable, in PGPASSFILE or by --password-command: arguments can be seen by others
    #[arg(
        long,
        global = true,
        env = "STERNWAY_DATABASE",
        value_name = "URL",
        hide_env_values = true
    )]
    pub database: Option<String>,
    /// Whether the database was named by the flag, and not by the variable.
    #[arg(skip)]
    pub database_typed: bool,
    /// A file that holds the database's URL (database.url_file)
    #[arg(long, global = true, env = "STERNWAY_DATABASE_URL_FILE", value_name = "FILE")]
    pub database_url_file: Option<PathBuf>,
    /// A command that prints the database's password (database.password_command)
    #[arg(
        long,
        global = true,
        env = "STERNWAY_PASSWORD_COMMAND",
        value_name = "COMMAND",
        hide_env_values = true
    )]
    pub password_command: Option<String>,
    /// A server to rehearse on (rehearsal.url), in databases of its own that it drops
    /// again; for MySQL, and for extensions that the embedded PostgreSQL does not have
    #[arg(
        long,
        global = true,
        env = "STERNWAY_REHEARSAL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub rehearsal: Option<String>,
    /// How far ahead of its own schema a release may run (policy.window): none or minor
    #[arg(long, global = true, env = "STERNWAY_WINDOW", value_name = "WINDOW")]
    pub window: Option<String>,
    /// The oldest release that can be gone back to (policy.floor)
    #[arg(long, global = true, env = "STERNWAY_FLOOR", value_name = "RELEASE")]
    pub floor: Option<String>,
    /// The first release that starts on a schema ahead of it (policy.ahead_ok_since)
    #[arg(long, global = true, env = "STERNWAY_AHEAD_OK_SINCE", value_name = "RELEASE")]
    pub ahead_ok_since: Option<String>,
    /// Refuse an upgrade that has no way back (policy.require_way_back)
    #[arg(long, global = true, env = "STERNWAY_REQUIRE_WAY_BACK")]
    pub require_way_back: bool,
    /// A track ([[track]]): name=core,path=db/migrations,table=schema_migrations[,enabled=auto]
    /// [,requires_extension=vector]; may be given several times, in the order in which they go up
    #[arg(
        long,
        global = true,
        env = "STERNWAY_TRACKS",
        value_name = "TRACK",
        value_delimiter = ';'
    )]
    pub track: Vec<String>,
    /// Switch a track on, whatever the settings say
    #[arg(long, global = true, value_name = "TRACK", value_parser = track_name)]
    pub enable: Vec<TrackName>,
    /// Leave a track out, whatever the settings say
    #[arg(long, global = true, value_name = "TRACK", value_parser = track_name)]
    pub disable: Vec<TrackName>,
    /// The release that the application runs now; its files come first where bodies are sought
    #[arg(long, global = true, env = "STERNWAY_FROM", value_name = "RELEASE")]
    pub from: Option<String>,
    /// Read nothing but the database: plan from what it carries
    #[arg(long, global = true)]
    pub offline: bool,
    /// How long to wait for another migrator to finish
    #[arg(
        long,
        global = true,
        env = "STERNWAY_LOCK_TIMEOUT",
        value_name = "SECONDS",
        default_value_t = 15
    )]
    pub lock_timeout: u64,
    /// How long the archive may keep something before this is mentioned (archive.warn_after_days)
    /// [default: 90]
    #[arg(long, global = true, env = "STERNWAY_WARN_AFTER_DAYS", value_name = "DAYS")]
    pub warn_after_days: Option<u64>,
    #[command(flatten)]
    pub snapshots: SnapshotOptions,
    #[command(flatten)]
    pub deploy: DeployArgs,
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// How results are printed
    #[arg(long, global = true, value_enum, default_value_t, help_heading = "Output")]
    pub output: OutputFormat,
    /// Tell more, on standard error
    #[arg(long, short, global = true, help_heading = "Output")]
    pub verbose: bool,
}

/// How the application is stopped, swapped and started.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings (each also a key of sternway.toml)")]
pub struct DeployArgs {
    /// A command that stops the application (deploy.commands.stop)
    #[arg(long, global = true, env = "STERNWAY_DEPLOY_STOP", value_name = "COMMAND")]
    pub deploy_stop: Option<String>,
    /// A command that puts release {version} in the place of {from} (deploy.commands.swap)
    #[arg(long, global = true, env = "STERNWAY_DEPLOY_SWAP", value_name = "COMMAND")]
    pub deploy_swap: Option<String>,
    /// A command that starts the application (deploy.commands.start)
    #[arg(long, global = true, env = "STERNWAY_DEPLOY_START", value_name = "COMMAND")]
    pub deploy_start: Option<String>,
    /// A command that succeeds once the application is ready; it is repeated (deploy.commands.ready)
    #[arg(long, global = true, env = "STERNWAY_DEPLOY_READY", value_name = "COMMAND")]
    pub deploy_ready: Option<String>,
    /// How long the application may take to be ready (deploy.commands.ready_timeout)
    #[arg(long, global = true, env = "STERNWAY_DEPLOY_READY_TIMEOUT", value_name = "SECONDS")]
    pub deploy_ready_timeout: Option<u64>,
    /// How long each of these commands may take (deploy.commands.timeout)
    #[arg(long, global = true, env = "STERNWAY_DEPLOY_TIMEOUT", value_name = "SECONDS")]
    pub deploy_timeout: Option<u64>,
    /// A command that prints the release that runs, in place of --from (deploy.commands.version)
    #[arg(long, global = true, env = "STERNWAY_DEPLOY_VERSION", value_name = "COMMAND")]
    pub deploy_version: Option<String>,
    /// Leave the application alone, whatever the settings say
    #[arg(long, global = true)]
    pub no_deploy: bool,
}

/// Which cluster the application runs on.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Settings (each also a key of sternway.toml)")]
pub struct ClusterArgs {
    /// The kubeconfig (deploy.kubernetes.kubeconfig) [default: KUBECONFIG, or ~/.kube/config, or the account
    /// of the pod that this runs in]
    #[arg(long, global = true, env = "STERNWAY_KUBECONFIG", value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context (deploy.kubernetes.context)
    #[arg(long, global = true, env = "STERNWAY_CONTEXT", value_name = "NAME")]
    pub context: Option<String>,
    /// The namespace of the application (deploy.kubernetes.namespace)
    #[arg(long, short, global = true, env = "STERNWAY_NAMESPACE", value_name = "NAME")]
    pub namespace: Option<String>,
    /// A folder for the objects of kinds that the target's charts do not have, to be written to files too
    /// (deploy.kubernetes.export)
    #[arg(long, global = true, env = "STERNWAY_EXPORT_OBJECTS", value_name = "FOLDER")]
    pub export_objects: Option<PathBuf>,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OutputFormat {
    /// For people
    #[default]
    Text,
    /// For machines: one JSON document, with its shape's name in `format`
    Json,
}

fn track_name(text: &str) -> Result<TrackName, std::convert::Infallible> {
    Ok(TrackName::from(text))
}

#[derive(Debug, Args)]
pub struct MigrateArgs {
    /// golang-migrate's options, command and arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "WORDS")]
    pub words: Vec<String>,
}

#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Keep the database in this folder, to look at it with `--database embedded:DIR`
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ReleasesArgs {
    /// Leave prereleases out
    #[arg(long)]
    pub stable: bool,
}

#[derive(Debug, Args)]
pub struct CanRunArgs {
    /// The release
    #[arg(value_name = "RELEASE")]
    pub release: String,
}

#[derive(Debug, Args)]
pub struct RunbookArgs {
    /// The release to arrive at; --from names the one to begin at
    #[arg(long, value_name = "RELEASE")]
    pub to: String,
    #[command(flatten)]
    pub way: WayArgs,
    /// How the page looks
    #[arg(long, value_enum, default_value_t)]
    pub format: PageFormat,
}

/// How a page looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum PageFormat {
    /// For a terminal or a printer
    #[default]
    Text,
    /// Markdown, with a block of `sh` a step
    Markdown,
    /// One page for a browser
    Html,
}

#[derive(Debug, Args)]
pub struct BundleArgs {
    /// The file to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Run what is left of the migration that did not end, and say so in the tracking table
    #[arg(long, group = "way")]
    pub finish: bool,
    /// Take back what took effect of the migration that did not end, and say so in the tracking table
    #[arg(long, group = "way")]
    pub undo: bool,
    /// Write into the tracking table what the schema is; nil for nothing
    #[arg(long, group = "way", value_name = "NUMBER")]
    pub set_row: Option<String>,
    /// Take away the fence that a run left standing: the application may write again
    #[arg(long, group = "way")]
    pub lower_fence: bool,
    /// The track to mend, where several need it
    #[arg(long = "of", value_name = "TRACK", value_parser = track_name)]
    pub of: Option<TrackName>,
    /// The file that was under way, where the schema does not tell
    #[arg(long, value_name = "FILE")]
    pub file: Option<String>,
    /// How many parts of that file took effect, where the schema does not tell
    #[arg(long, value_name = "COUNT")]
    pub took: Option<usize>,
    /// End the sessions that a migrator left behind, instead of waiting for them
    #[arg(long)]
    pub end_orphans: bool,
    /// Go on where what is destroyed cannot be kept in the archive
    #[arg(long)]
    pub discard: bool,
    /// Leave an unfinished run of Sternway as it is, for good: it can be neither resumed nor aborted
    /// once its database was mended here
    #[arg(long)]
    pub abandon: bool,
    /// Do not ask; needed where there is no terminal
    #[arg(long, short)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct PlanArgs {
    /// The release to arrive at
    #[arg(long, value_name = "RELEASE")]
    pub to: String,
    #[command(flatten)]
    pub way: WayArgs,
    /// Write the plan here as JSON, for `sternway apply`
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Show the SQL of each step
    #[arg(long)]
    pub sql: bool,
    /// Print the Role that just this journey needs on the cluster, as manifests, instead of the plan
    #[arg(long)]
    pub rbac: bool,
    /// Do not rehearse the way to find out what it changes and how much it takes away
    #[arg(long)]
    pub no_effects: bool,
    #[command(flatten)]
    pub others: FenceArgs,
}

#[derive(Debug, Args)]
pub struct RollbackArgs {
    /// The release to arrive at
    #[arg(long, value_name = "RELEASE")]
    pub to: String,
    /// Take the schema back even where the target runs on the present one
    #[arg(long)]
    pub reset_schema: bool,
    #[command(flatten)]
    pub consent: ConsentArgs,
    #[command(flatten)]
    pub go: ExecuteArgs,
}

#[derive(Debug, Args)]
pub struct UpgradeArgs {
    /// The release to arrive at
    #[arg(long, value_name = "RELEASE")]
    pub to: String,
    /// Install into a database that already has tables but no tracking table
    #[arg(long)]
    pub adopt: bool,
    #[command(flatten)]
    pub consent: ConsentArgs,
    #[command(flatten)]
    pub go: ExecuteArgs,
}

#[derive(Debug, Args)]
pub struct ApplyArgs {
    /// The plan's file
    #[arg(value_name = "PLAN")]
    pub plan: PathBuf,
    /// Where a run of this very plan was begun already, go on with it; where one has arrived, say so. For a
    /// plan that is executed by what may be started again: a Job of Kubernetes, say
    #[arg(long)]
    pub or_resume: bool,
    #[command(flatten)]
    pub go: ExecuteArgs,
}

#[derive(Debug, Args)]
pub struct JobArgs {
    /// The release to arrive at
    #[arg(long, value_name = "RELEASE")]
    pub to: String,
    #[command(flatten)]
    pub way: WayArgs,
    #[command(flatten)]
    pub others: FenceArgs,
    /// Create the Job and follow it to its end, instead of printing its manifests
    #[arg(long)]
    pub apply: bool,
    /// The image that the Job runs: this program, and helm where charts are moved. Best by its digest
    #[arg(long, value_name = "IMAGE")]
    pub image: String,
    /// An account that is there and has the rights, instead of one that is made with just these
    #[arg(long, value_name = "NAME")]
    pub service_account: Option<String>,
    /// The Secret and its key that hold the database's URL, instead of what the application's pod is given
    #[arg(long, value_name = "NAME/KEY")]
    pub database_secret: Option<String>,
    /// How often the Job is started again after its pod was lost
    #[arg(long, value_name = "TIMES", default_value_t = 6)]
    pub retries: u32,
    /// Do not ask; needed where there is no terminal
    #[arg(long, short)]
    pub yes: bool,
}

#[derive(Debug, Args)]
pub struct ArchiveArgs {
    #[command(subcommand)]
    pub command: ArchiveCommand,
}

#[derive(Debug, Subcommand)]
pub enum ArchiveCommand {
    /// List what is kept, since when, and what became of it
    List,
    /// Show one entry: what it is, its columns, what does not fit, the first rows
    Show(ShowArgs),
    /// Write the rows of one entry as CSV or SQL
    Export(ExportArgs),
    /// Put the rows of one entry, or of all that wait, back, as far as they fit
    Restore(RestoreArgs),
    /// Drop entries, with the rows that are nowhere else
    Drop(DropArgs),
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    /// The entry's number
    #[arg(value_name = "ID")]
    pub id: i64,
    /// How many rows to show
    #[arg(long, value_name = "ROWS", default_value_t = 10)]
    pub limit: u64,
}

#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The entry's number
    #[arg(value_name = "ID")]
    pub id: i64,
    /// How the rows are written
    #[arg(long, value_enum, default_value_t)]
    pub format: ExportFormat,
    /// Write to this file, which only its owner may read; else to standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// How exported rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ExportFormat {
    /// RFC 4180: values are always quoted, nulls are empty and never quoted
    #[default]
    Csv,
    /// Statements that the database's own command line loads
    Sql,
}

#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The entry's number
    #[arg(value_name = "ID", required_unless_present = "waiting", conflicts_with = "waiting")]
    pub id: Option<i64>,
    /// All that waits though its migration is applied again, by the application's own runner say
    #[arg(long)]
    pub waiting: bool,
    /// Do not ask; needed where there is no terminal
    #[arg(long, short)]
    pub yes: bool,
}

#[derive(Debug, Args)]
#[group(id = "which", required = true, multiple = true, args = ["ids", "restored", "older_than"])]
pub struct DropArgs {
    /// The entries' numbers
    #[arg(value_name = "ID")]
    pub ids: Vec<i64>,
    /// Only those of which every row is back
    #[arg(long)]
    pub restored: bool,
    /// Only those that have been kept for longer than this
    #[arg(long, value_name = "DAYS")]
    pub older_than: Option<u64>,
    /// Do not ask; needed where there is no terminal
    #[arg(long, short)]
    pub yes: bool,
}

/// What changes the way.
#[derive(Debug, Clone, Default, Args)]
pub struct WayArgs {
    /// Take the schema back even where the target runs on the present one
    #[arg(long)]
    pub reset_schema: bool,
    /// Install into a database that already has tables but no tracking table
    #[arg(long)]
    pub adopt: bool,
    #[command(flatten)]
    pub consent: ConsentArgs,
}

/// What a journey may do, whichever way it goes.
#[derive(Debug, Clone, Default, Args)]
pub struct ConsentArgs {
    /// Where the database has other migrations than the target, go back to the last one that both have
    /// and up again with the target's; what that takes away is kept and put back as far as it fits
    #[arg(long)]
    pub redo: bool,
    /// Keep nothing of what the steps take away, or nothing of these tables: it is lost for good
    #[arg(long, value_name = "TABLE", num_args = 0..=1, value_delimiter = ',')]
    pub discard: Option<Vec<String>>,
    /// Go on though a step takes this object along, which others have made: by its name, or the beginning
    /// of it and a `*`. May be given again
    #[arg(long, value_name = "NAME")]
    pub accept: Vec<String>,
    /// Go on though the target ends up with this difference from a clean install: COLUMN of a table as
    /// TABLE.COLUMN, any other object by its name. May be given again
    #[arg(long, value_name = "NAME")]
    pub accept_difference: Vec<String>,
    /// Go on across this hazard ([[hazard]]), which no schema shows. May be given again
    #[arg(long, value_name = "NAME")]
    pub accept_hazard: Vec<String>,
    /// Go on without a way back, where the policy asks for one (policy.require_way_back)
    #[arg(long)]
    pub no_way_back: bool,
}

/// What changes how a plan is executed.
#[derive(Debug, Clone, Default, Args)]
pub struct ExecuteArgs {
    /// Do not ask; needed where there is no terminal
    #[arg(long, short)]
    pub yes: bool,
    /// Go on where no clean install can be made to prove the result against
    #[arg(long)]
    pub unproven: bool,
    /// Leave an unfinished run as it is, for good, and plan anew
    #[arg(long)]
    pub abandon: bool,
    /// Afterwards, run a migration's up half again where a [[check]] of the settings finds rows that it
    /// mends: such as those that an older release wrote on this schema
    #[arg(long)]
    pub again: bool,
    #[command(flatten)]
    pub limits: LimitArgs,
    #[command(flatten)]
    pub others: FenceArgs,
}

/// How long a migration may wait and run.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct LimitArgs {
    /// For how long a statement of a migration may wait for a lock that another session holds; 0 is
    /// for ever
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    pub lock_wait: u64,
    /// How often a migration is tried again that had to wait for longer, after a pause
    #[arg(long, value_name = "TIMES", default_value_t = 5)]
    pub lock_retries: u32,
    /// For how long a statement of a migration may run [default: for as long as it takes]
    #[arg(long, value_name = "SECONDS")]
    pub statement_timeout: Option<u64>,
}

impl LimitArgs {
    pub fn limits(self) -> Limits {
        let seconds = |seconds: u64| (seconds > 0).then(|| Duration::from_secs(seconds));
        Limits {
            lock: seconds(self.lock_wait),
            statement: self.statement_timeout.and_then(seconds),
        }
    }
}

/// What changes how an unfinished run is ended.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct EndArgs {
    /// Do not ask; needed where there is no terminal
    #[arg(long, short)]
    pub yes: bool,
    /// End the session that a killed Sternway of the same user left behind, and what it is at
    #[arg(long)]
    pub end_orphans: bool,
    /// End the sessions of other clients where the run's fence goes up again, whatever its plan says
    #[arg(long)]
    pub end_sessions: bool,
    /// How long to wait for those sessions to leave then [default: as its plan says]
    #[arg(long, value_name = "SECONDS")]
    pub wait_for_sessions: Option<u64>,
    #[command(flatten)]
    pub limits: LimitArgs,
}

#[derive(Debug, Args)]
pub struct ResumeArgs {
    /// Go on where no clean install can be made to prove the result against
    #[arg(long)]
    pub unproven: bool,
    /// End though the schema has this difference from the one that was promised: COLUMN of a table as
    /// TABLE.COLUMN, any other object by its name. May be given again
    #[arg(long, value_name = "NAME")]
    pub accept_difference: Vec<String>,
    #[command(flatten)]
    pub go: EndArgs,
}

#[derive(Debug, Args)]
pub struct AbortArgs {
    #[command(flatten)]
    pub go: EndArgs,
}
