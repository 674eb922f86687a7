//! How the steps of a page are typed.

use sternway_model::plan::{Plan, Step};
use sternway_model::position::Position;

use super::{Act, Chart, Cluster, Moves};

/// A text as one word of the shell.
pub(super) fn quoted(text: &str) -> String {
    let plain = |it: char| it.is_ascii_alphanumeric() || "-_./:=@%+,".contains(it);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// A file that a page writes. Its folder is in the shell's words already.
pub(super) struct File<'a> {
    pub folder: &'a str,
    pub name: &'a str,
    pub body: &'a str,
}

impl File<'_> {
    pub fn written(&self) -> String {
        let File { folder, name, body } = self;
        format!("cat >{folder}/{} {}", quoted(name), here(body))
    }
}

/// A text as what a command reads.
fn here(text: &str) -> String {
    let mut end = "SQL".to_owned();
    while text.lines().any(|line| line == end) {
        end.push('_');
    }
    let text = text.strip_suffix('\n').unwrap_or(text);
    format!("<<'{end}'\n{text}\n{end}")
}

/// Which client a database has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// `psql`.
    PostgreSql,
    /// `mariadb`, or `mysql` under that name.
    MySql,
    /// `sqlite3`.
    Sqlite,
}

impl Client {
    pub(super) fn name(self) -> &'static str {
        match self {
            Client::PostgreSql => "PostgreSQL",
            Client::MySql => "MySQL",
            Client::Sqlite => "SQLite",
        }
    }

    /// The tag of golang-migrate's build.
    pub(super) fn tag(self) -> &'static str {
        match self {
            Client::PostgreSql => "postgres",
            Client::MySql => "mysql",
            Client::Sqlite => "sqlite",
        }
    }

    pub(super) fn programs(self) -> &'static str {
        match self {
            Client::PostgreSql => {
                "psql, pg_dump and pg_restore, of the server's major version or later"
            }
            Client::MySql => "mariadb and mariadb-dump, or mysql and mysqldump by those names",
            Client::Sqlite => "sqlite3",
        }
    }

    /// What the reader fills in.
    pub(super) fn variables(self) -> String {
        let lines = match self {
            Client::PostgreSql => {
                "# postgres://USER@HOST:5432/DATABASE?sslmode=require, or sslmode=disable where the server has no TLS:\n\
                 # golang-migrate asks for TLS where the URL does not say otherwise, and psql does not.\n\
                 : \"${DATABASE_URL:?the URL of the database}\"; export PGPASSWORD"
            }
            Client::MySql => {
                "# mysql://USER:PASSWORD@tcp(HOST:3306)/DATABASE, and the same for the client: MYSQL_PWD, and its options\n\
                 : \"${DATABASE_URL:?the URL of the database for golang-migrate, with its password}\"\n\
                 : \"${MYSQL_PWD:?the password}\" \"${MYSQL_OPTIONS:?such as --host=HOST --port=3306 --user=USER}\" \"${DATABASE:?its name}\"\n\
                 export MYSQL_PWD"
            }
            Client::Sqlite => {
                ": \"${DATABASE_FILE:?the file of the database}\"\nDATABASE_URL=sqlite://$DATABASE_FILE"
            }
        };
        let with = "# with URL PARAMETER: the URL with a parameter more\nwith() { case $1 in *\\?*) echo \"$1&$2\" ;; *) echo \"$1?$2\" ;; esac; }";
        format!("{lines}\n{with}")
    }

    /// Where the password goes.
    pub(super) fn secrets(self) -> &'static str {
        match self {
            Client::PostgreSql => {
                "The password goes into PGPASSWORD or a file of passwords (PGPASSFILE), which psql and golang-migrate both read, and not into the URL: others on this machine can see what is on a command line."
            }
            Client::MySql => {
                "golang-migrate takes its password in the URL alone, where others on this machine can see it while it runs."
            }
            Client::Sqlite => "There is no password.",
        }
    }

    /// The URL for golang-migrate with a tracking table.
    pub(super) fn url(self, table: &str) -> String {
        let parameter = match table.split_once('.') {
            // A schema of its own: both parts in quotes.
            Some((schema, table)) if self == Client::PostgreSql => {
                format!(
                    "x-migrations-table-quoted=1&x-migrations-table=%22{schema}%22.%22{table}%22"
                )
            }
            // Several statements in a file need a word of the driver's.
            _ if self == Client::MySql => {
                format!("multiStatements=true&x-migrations-table={table}")
            }
            _ => format!("x-migrations-table={table}"),
        };
        format!("$(with \"$DATABASE_URL\" {})", quoted(&parameter))
    }

    /// What prints one value.
    pub(super) fn answer(self, sql: &str) -> String {
        let sql = quoted(&sql.split_whitespace().collect::<Vec<_>>().join(" "));
        match self {
            Client::PostgreSql => format!("$(psql \"$DATABASE_URL\" -X -Atc {sql})"),
            Client::MySql => format!("$(mariadb $MYSQL_OPTIONS \"$DATABASE\" -Nse {sql})"),
            Client::Sqlite => format!("$(sqlite3 \"$DATABASE_FILE\" {sql})"),
        }
    }

    /// What a check answers where it holds.
    pub(super) fn yes(self) -> &'static str {
        if self == Client::PostgreSql { "t" } else { "1" }
    }

    /// What prints a track's row, as [`Client::stands`] says.
    pub(super) fn row(self, table: &str) -> String {
        let row = match self {
            Client::PostgreSql => "version, dirty",
            Client::MySql => "CONCAT(version, '|', dirty)",
            Client::Sqlite => "version || '|' || dirty",
        };
        self.answer(&format!("SELECT {row} FROM {table}"))
    }

    /// A row that is not dirty.
    pub(super) fn stands(self, at: Position) -> String {
        let clean = if self == Client::PostgreSql { "f" } else { "0" };
        match at {
            Position::At(number) => format!("{number}|{clean}"),
            Position::Nothing => String::new(),
        }
    }

    /// What runs statements in one transaction, where the server can.
    pub(super) fn script(self, sql: &str) -> String {
        let program = match self {
            Client::PostgreSql => {
                "psql \"$DATABASE_URL\" -X -q -v ON_ERROR_STOP=1 --single-transaction"
            }
            Client::MySql => "mariadb $MYSQL_OPTIONS \"$DATABASE\"",
            Client::Sqlite => "sqlite3 -bail \"$DATABASE_FILE\"",
        };
        format!("{program} {}", here(sql))
    }

    pub(super) fn dump(self, file: &str) -> String {
        match self {
            Client::PostgreSql => {
                format!("pg_dump --dbname=\"$DATABASE_URL\" --format=custom --file={file}")
            }
            Client::MySql => format!(
                "mariadb-dump $MYSQL_OPTIONS --single-transaction --routines --triggers --events \"$DATABASE\" >{file}"
            ),
            Client::Sqlite => format!("sqlite3 \"$DATABASE_FILE\" \".backup '{file}'\""),
        }
    }

    pub(super) fn variables_of_dump(self) -> String {
        let dump = ": \"${DUMP:?the file of the dump}\"";
        match self {
            Client::PostgreSql => format!(
                "# The three URLs differ in the name of the database alone; the server's own one is postgres.\n\
                 : \"${{DATABASE_URL:?the URL of the database}}\" \"${{RESTORED_URL:?the same, with another name of a database}}\" \"${{SERVER_URL:?the same, with /postgres}}\"\n\
                 : \"${{DATABASE:?the name of the database}}\" \"${{RESTORED:?the other name}}\"; export PGPASSWORD\n{dump}"
            ),
            Client::MySql => format!(
                ": \"${{MYSQL_PWD:?the password}}\" \"${{MYSQL_OPTIONS:?such as --host=HOST --user=USER}}\" \"${{DATABASE:?its name}}\" \"${{RESTORED:?a name for the restored one}}\"\nexport MYSQL_PWD\n{dump}"
            ),
            Client::Sqlite => format!(": \"${{DATABASE_FILE:?the file of the database}}\"\n{dump}"),
        }
    }

    /// Restores the dump into a database of its own.
    pub(super) fn restore(self) -> &'static str {
        match self {
            Client::PostgreSql => {
                "psql \"$SERVER_URL\" -X -q -v ON_ERROR_STOP=1 -c \"CREATE DATABASE \\\"$RESTORED\\\" TEMPLATE template0\"\n\
                 pg_restore --dbname=\"$RESTORED_URL\" --exit-on-error --single-transaction \"$DUMP\""
            }
            Client::MySql => {
                "mariadb $MYSQL_OPTIONS -e \"CREATE DATABASE \\`$RESTORED\\`\"\nmariadb $MYSQL_OPTIONS \"$RESTORED\" <\"$DUMP\""
            }
            Client::Sqlite => "cp \"$DUMP\" \"$DATABASE_FILE.restored\"",
        }
    }

    /// What succeeds where a track of the restored database stands no higher.
    pub(super) fn restored_at_most(self, table: &str, newest: u64) -> String {
        let sql = quoted(&format!("SELECT version FROM {table} WHERE NOT dirty"));
        let number = match self {
            Client::PostgreSql => format!("psql \"$RESTORED_URL\" -X -Atc {sql}"),
            Client::MySql => format!("mariadb $MYSQL_OPTIONS \"$RESTORED\" -Nse {sql}"),
            Client::Sqlite => format!("sqlite3 \"$DATABASE_FILE.restored\" {sql}"),
        };
        format!("[ \"$({number})\" -le {newest} ]")
    }

    /// Puts the restored database in the place of the other one.
    pub(super) fn swap(self) -> &'static str {
        match self {
            Client::PostgreSql => {
                "psql \"$SERVER_URL\" -X -q -v ON_ERROR_STOP=1 --single-transaction <<SQL\n\
                 ALTER DATABASE \"$DATABASE\" RENAME TO \"$DATABASE before\";\n\
                 ALTER DATABASE \"$RESTORED\" RENAME TO \"$DATABASE\";\nSQL"
            }
            Client::MySql => {
                "# MySQL renames no database: the application is pointed to the restored one, in its settings.\necho \"$RESTORED\""
            }
            Client::Sqlite => {
                "mv \"$DATABASE_FILE\" \"$DATABASE_FILE.before\"\nmv \"$DATABASE_FILE.restored\" \"$DATABASE_FILE\""
            }
        }
    }
}

/// What stops, swaps and starts the application.
pub(super) fn moved(step: &Step, plan: &Plan, moves: &Moves) -> Vec<Act> {
    match moves {
        Moves::Nothing => Vec::new(),
        Moves::Commands { stop, swap, start, ready } => {
            let from = plan.running.as_ref().map(ToString::to_string).unwrap_or_default();
            let filled = |command: &str| {
                command.replace("{version}", &plan.target.to_string()).replace("{from}", &from)
            };
            vec![match step {
                Step::Stop => Act::new("Stop the application", filled(stop)),
                Step::Swap { to, .. } => Act::new(format!("Put {to} in place"), filled(swap)),
                _ => Act::new("Start the application", filled(start))
                    .check(ready.as_deref().map(filled).unwrap_or_default()),
            }]
        }
        Moves::Cluster(cluster) => match step {
            Step::Stop => vec![cluster.stop()],
            Step::Swap { to, .. } => cluster.swap(&to.to_string(), plan),
            _ => vec![cluster.start()],
        },
    }
}

impl Cluster {
    fn kubectl(&self) -> String {
        let context = self.context.iter().map(|it| format!(" --context {}", quoted(it)));
        let namespace = self.namespace.iter().map(|it| format!(" --namespace {}", quoted(it)));
        ["kubectl".to_owned()].into_iter().chain(context).chain(namespace).collect()
    }

    fn helm(&self) -> String {
        self.kubectl().replacen("kubectl", "helm", 1).replacen("--context", "--kube-context", 1)
    }

    fn stop(&self) -> Act {
        let kubectl = self.kubectl();
        let mut run = Vec::new();
        let mut gone = Vec::new();
        for workload in &self.stop {
            let file = quoted(&format!("replicas-{}", workload.replace('/', "-")));
            let id = quoted(workload);
            run.push(format!("{kubectl} get {id} -o 'jsonpath={{.spec.replicas}}' >{file}"));
            run.push(format!("{kubectl} scale {id} --replicas=0"));
            gone.push(format!(
                "for _ in $(seq 60); do [ -z \"$({kubectl} get {id} -o 'jsonpath={{.status.replicas}}' | grep -v '^0$')\" ] && break; sleep 2; done\n\
                 [ -z \"$({kubectl} get {id} -o 'jsonpath={{.status.replicas}}' | grep -v '^0$')\" ]"
            ));
        }
        Act::new("Stop the application", run.join("\n"))
            .why("A controller that runs while its schema changes reads and writes what is half there. How many replicas there were is kept in a file.")
            .check(gone.join("\n"))
    }

    fn swap(&self, to: &str, plan: &Plan) -> Vec<Act> {
        let kubectl = self.kubectl();
        if let Some(command) = &self.command {
            return vec![Act::new(format!("Put {to} in place"), command.replace("{version}", to))];
        }
        if let (Some((image, container)), false) = (&self.image, self.stop.is_empty()) {
            let image = image.replace("{version}", to);
            let set = self.stop.iter().map(|it| {
                format!(
                    "{kubectl} set image {} {}",
                    quoted(it),
                    quoted(&format!("{container}={image}"))
                )
            });
            return vec![Act::new(
                format!("Put {to} in place"),
                set.collect::<Vec<_>>().join("\n"),
            )];
        }
        let back = plan.course == sternway_model::plan::Course::Rollback;
        let mut charts: Vec<&Chart> = self.charts.iter().collect();
        if back {
            charts.reverse();
        }
        let helm = self.helm();
        let act = |(number, chart): (usize, &&Chart)| {
            let release = quoted(&chart.release);
            let values = quoted(&format!("values-{}.yaml", chart.release));
            let repository = chart
                .repository
                .iter()
                .map(|it| format!(" --repo {}", quoted(it)))
                .collect::<String>();
            let run = format!(
                "(umask 077; {helm} get values {release} -o yaml >{values})\n\
                 {helm} upgrade {release} {}{repository} --version {} --values {values} --reset-values --wait\nrm -f {values}",
                quoted(&chart.chart),
                quoted(&chart.version)
            );
            let check = format!("{helm} status {release} | grep -q '^STATUS: deployed$'");
            let act = Act::new(format!("Bring chart {} of {to}", chart.release), run).check(check);
            match (number, back, charts.len()) {
                (_, _, 1) => act,
                (0, true, _) => act.why("On the way back the application's chart goes first: a controller must not run without the kinds of objects that it works with."),
                (0, false, _) => act.why("On the way up the kinds of objects come first."),
                _ => act,
            }
            .why("The values are those of the installed release, in a private file that is removed. A tag that they pin for the image has to be taken out by hand.")
        };
        charts.iter().enumerate().map(act).collect()
    }

    fn start(&self) -> Act {
        let kubectl = self.kubectl();
        let (mut run, mut ready) = (Vec::new(), Vec::new());
        for workload in self.stop.iter().rev() {
            let file = quoted(&format!("replicas-{}", workload.replace('/', "-")));
            let id = quoted(workload);
            run.push(format!("{kubectl} scale {id} --replicas=\"$(cat {file})\""));
            ready.push(format!("{kubectl} rollout status {id} --timeout=5m"));
        }
        Act::new("Start the application", run.join("\n")).check(ready.join("\n"))
    }
}
