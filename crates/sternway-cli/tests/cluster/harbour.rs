//! The demo's application in a namespace of a test's own, with a database of its own.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use sqlx::{Connection, PgConnection};
use sternway_testing::{Fill, Snapshot, fill};

use crate::control::{Asked, Cluster, RELEASES, charts, wait_until};
use crate::support::{Machine, Run, SECRET, Server, Session, ask, block_on, variable};

/// Which Helm moves the charts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Helm {
    Three,
    Four,
}

impl Helm {
    pub fn binary(self) -> &'static str {
        match self {
            Helm::Three => "helm3",
            Helm::Four => "helm4",
        }
    }
}

/// The application.
pub struct Harbour {
    pub machine: Machine,
    pub server: Server,
    pub cluster: Cluster,
    /// Its namespace.
    pub space: String,
    /// The API group of its kinds: definitions belong to the whole cluster.
    pub group: String,
    pub helm: Helm,
    shadow: String,
    installed_at: OnceLock<String>,
}

impl Harbour {
    /// A machine with settings for Helm 4 and charts of a folder; nothing is installed.
    pub fn new(test: &str) -> Option<Harbour> {
        Harbour::on(Cluster::of(test)?, test)
    }

    /// The same, on a cluster.
    pub fn on(cluster: Cluster, test: &str) -> Option<Harbour> {
        let server = Server::new(test)?;
        let shadow = variable("STERNWAY_TEST_PG_URL", test)?;
        let machine = Machine::empty();
        let space = server.name.replace('_', "-");
        let group = format!("{space}.harbour.example");
        for (release, newest) in RELEASES {
            for file in bodies(newest, "") {
                let name = Path::new(&file).file_name().expect("a name").to_string_lossy();
                let text = fs::read_to_string(&file).expect("a body");
                machine.write(&format!("releases/{release}/migrations/core/{name}"), &text);
            }
        }
        let values = format!(
            "database: {{postgres: {{bundled: {{database: {0}, user: {0}, password: {SECRET}}}}}}}\n",
            server.name
        );
        machine.write("values.yaml", &values);
        let helm = Helm::Four;
        let harbour = Harbour {
            machine,
            server,
            cluster,
            space,
            group,
            helm,
            shadow,
            installed_at: OnceLock::new(),
        };
        harbour.settings("", "");
        Some(harbour)
    }

    /// Writes settings with more lines for `[deploy.kubernetes]`, and for the application's chart.
    pub fn settings(&self, more: &str, chart: &str) {
        let folder = charts(&self.cluster).display();
        let chart = format!(
            "[[deploy.kubernetes.helm]]\nrelease = \"harbour\"\n\
             chart = \"{folder}/harbour-{{version}}.tgz\"\n{chart}\n"
        );
        self.settings_of(more, &chart);
    }

    /// Writes settings for both charts, from the registry.
    pub fn settings_for_kinds(&self) {
        let registry = self.cluster.registry();
        let chart = |name: &str| {
            format!(
                "[[deploy.kubernetes.helm]]\nrelease = \"{name}\"\n\
                 chart = \"oci://{registry}/charts/{name}\"\nplain_http = true\n"
            )
        };
        self.settings_of("", &(chart("harbour-crds") + &chart("harbour")));
    }

    /// Writes settings with more lines for `[deploy.kubernetes]`, and tables behind it.
    pub fn settings_of(&self, more: &str, tables: &str) {
        let helm = self.helm.binary();
        let stop = match more.contains("stop =") {
            true => "",
            false => "stop = [\"deployment/harbour-controller\"]\n",
        };
        let text = format!(
            "[app]\nname = \"harbour\"\nsource = \"dir:releases\"\ntag = \"{{version}}\"\n\n\
             [[track]]\nname = \"core\"\npath = \"migrations/core\"\ntable = \"schema_migrations\"\n\n\
             [deploy.kubernetes]\nnamespace = \"{}\"\n{stop}container = \"controller\"\n\
             database = [\"file:POSTGRES_DATABASE_URL_FILE\", \"POSTGRES_DATABASE_URL\"]\n\
             helm_binary = \"{helm}\"\n{more}\n{tables}",
            self.space
        );
        self.machine.write("sternway.toml", &text);
    }

    /// Brings the database to a release, as its own migrator does, and installs its chart.
    pub fn install(&self, release: &str, more: &[&str]) {
        self.migrate(release);
        self.install_chart(release, more);
        self.is_ready();
    }

    /// The same, with the chart of its kinds.
    pub fn install_with_kinds(&self, release: &str, more: &[&str]) {
        self.migrate(release);
        let archive = self.archive("harbour-crds", release);
        let group = format!("group={}", self.group);
        self.helm(&["install", "harbour-crds", &archive, "--create-namespace", "--set", &group]);
        self.install_chart(release, more);
        self.is_ready();
    }

    pub fn install_chart(&self, release: &str, more: &[&str]) {
        let archive = self.archive("harbour", release);
        let install = ["install", "harbour", &archive, "--create-namespace"];
        self.helm(&[&install[..], &["--values", "values.yaml"], more].concat());
    }

    /// A chart's archive.
    pub fn archive(&self, chart: &str, release: &str) -> String {
        charts(&self.cluster).join(format!("{chart}-{release}.tgz")).display().to_string()
    }

    /// Takes the database to a release, as the application's own migrator does.
    pub fn migrate(&self, release: &str) {
        let newest = RELEASES.iter().find(|(it, _)| *it == release).expect("a release").1;
        block_on(async {
            let mut session = Session::open(&self.server.url).await;
            for file in bodies(newest, ".up.sql") {
                session.run(&fs::read_to_string(file).expect("a body")).await;
            }
            let track = format!(
                "CREATE TABLE schema_migrations (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL); \
                 INSERT INTO schema_migrations VALUES ({newest}, false)"
            );
            session.run(&track).await;
        });
    }

    /// Fills every table.
    pub fn fill(&self) {
        block_on(async {
            let mut connection = PgConnection::connect(&self.server.url).await.expect("a session");
            let how = Fill::new(4, 14).without(&tracking());
            fill(&mut connection, "public", &how).await;
        });
    }

    /// All rows.
    pub fn rows(&self) -> Snapshot {
        block_on(async {
            let mut connection = PgConnection::connect(&self.server.url).await.expect("a session");
            Snapshot::of(&mut connection, "public", &tracking()).await
        })
    }

    /// Checks that no row of `before` is missing, and that there is none beside.
    #[track_caller]
    pub fn has_rows(&self, before: &Snapshot) {
        let differences = before.differences(&self.rows());
        let differences: Vec<String> = differences.iter().map(ToString::to_string).collect();
        assert!(differences.is_empty(), "{}", differences.join("\n"));
    }

    /// Runs Helm, which has to succeed.
    #[track_caller]
    pub fn helm(&self, arguments: &[&str]) -> String {
        let output = self.helm_command(arguments).output().expect("helm");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    pub fn helm_command(&self, arguments: &[&str]) -> Command {
        let mut command = self.machine.program(&self.cluster.binary(self.helm.binary()));
        self.cluster.equip(&mut command).args(arguments).args(["--namespace", &self.space]);
        command
    }

    /// The user's values of a release, as they are.
    pub fn values(&self, release: &str) -> serde_json::Value {
        let text = self.helm(&["get", "values", release, "--output", "json"]);
        serde_json::from_str(&text).expect("values")
    }

    /// The status of the newest revision and the version of its chart, such as `deployed harbour-1.2.1`.
    pub fn installed(&self, release: &str) -> String {
        let text = self.helm(&["history", release, "--max", "1", "--output", "json"]);
        let rows: serde_json::Value = serde_json::from_str(&text).expect("a history");
        let text = |key: &str| rows[0][key].as_str().unwrap_or_default().to_owned();
        format!("{} {}", text("status"), text("chart"))
    }

    /// Runs `kubectl` in the namespace.
    #[track_caller]
    pub fn kubectl(&self, arguments: &[&str]) -> String {
        self.cluster.kubectl(&[&["-n", &self.space], arguments].concat())
    }

    pub fn kubectl_does(&self, arguments: &[&str]) -> bool {
        self.cluster.kubectl_does(&[&["-n", &self.space], arguments].concat())
    }

    #[track_caller]
    pub fn apply(&self, manifest: &str) {
        self.cluster.apply(&self.space, manifest);
    }

    /// What an expression of JSONPath gives for an object.
    #[track_caller]
    pub fn get(&self, what: &str, path: &str) -> String {
        self.kubectl(&["get", what, "-o", &format!("jsonpath={{{path}}}")])
    }

    /// Waits until the controller and the database are ready.
    #[track_caller]
    pub fn is_ready(&self) {
        for part in ["deployment/harbour-controller", "deployment/harbour-postgresql"] {
            if part.ends_with("controller") || self.kubectl_does(&["get", part]) {
                self.kubectl(&["rollout", "status", part, "--timeout", "60s"]);
            }
        }
        self.installed_at.get_or_init(|| {
            let now = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', \
                       'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
            ask(&self.server.url, now)
        });
    }

    /// Waits until the controller's pods stand so, which a word of their container's status tells.
    #[track_caller]
    pub fn stands(&self, word: &str) {
        let arguments = ["get", "pods", "-l", "app.kubernetes.io/component=controller", "-o"];
        let path = "jsonpath={.items[*].status.containerStatuses[*]}";
        wait_until(word, || self.kubectl(&[&arguments[..], &[path]].concat()).contains(word));
    }

    /// When `is_ready` was true for the first time, as the audit log writes it.
    pub fn installed_at(&self) -> &str {
        self.installed_at.get().expect("installed")
    }

    /// Checks that the controller serves: so many pods of this release, all ready.
    #[track_caller]
    pub fn serves(&self, release: &str, pods: usize) {
        let path = "{range .items[?(@.status.phase==\"Running\")]}{.spec.containers[0].image} \
                    {.status.conditions[?(@.type==\"Ready\")].status}\n{end}";
        let arguments = ["get", "pods", "-l", "app.kubernetes.io/component=controller", "-o"];
        let mut found = String::new();
        let image = format!("registry.harbour.example/harbour/controller:{release} True\n");
        wait_until(&format!("{pods} pods of {release} are ready"), || {
            let path = format!("jsonpath={path}");
            found = self.kubectl(&[&arguments[..], &[&path]].concat());
            found == image.repeat(pods)
        });
    }

    /// Checks that a release is in place and serves, with its schema and no run that is unfinished.
    #[track_caller]
    pub fn is_at(&self, release: &str, pods: usize) {
        self.runs(release, pods);
        assert_eq!(self.installed("harbour"), format!("deployed harbour-{release}"));
    }

    /// Has forwards to the database's pod end at another port of this machine.
    pub fn forwards_to(&self, port: u16) {
        let labels = "app.kubernetes.io/component=database";
        let pod = self.kubectl(&["get", "pods", "-l", labels, "-o", "name"]);
        let pod = pod.trim().trim_start_matches("pod/");
        self.apply(&format!(
            "{{apiVersion: kwok.x-k8s.io/v1alpha1, kind: PortForward, metadata: {{name: {pod}}}, spec: \
             {{forwards: [{{ports: [5432], target: {{address: 127.0.0.1, port: {port}}}}}]}}}}"
        ));
    }

    /// The same, where it is not Helm that puts releases in place.
    #[track_caller]
    pub fn runs(&self, release: &str, pods: usize) {
        self.serves(release, pods);
        let newest = RELEASES.iter().find(|(it, _)| *it == release).expect("a release").1;
        let row = ask(&self.server.url, "SELECT version || ' ' || dirty FROM schema_migrations");
        assert_eq!(row, format!("{newest} false"));
        let status = self.run(&["status", "--output", "json"]).ended(0).json("sternway.status/1");
        assert!(status["unfinished"].is_null(), "{status}");
        assert_eq!(status["comparison"]["drift"], serde_json::json!([]), "{status}");
    }

    /// The program, with this cluster's kubeconfig; it finds the database by itself.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.machine.command(arguments);
        self.cluster.equip(&mut command);
        self.rehearse(&mut command);
        command
    }

    /// Where to rehearse, and where what was rehearsed is remembered for all tests.
    pub fn rehearse(&self, command: &mut Command) {
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cluster/cache");
        command.env("STERNWAY_REHEARSAL", &self.shadow).env("XDG_CACHE_HOME", cache);
    }

    #[track_caller]
    pub fn run(&self, arguments: &[&str]) -> Run {
        Run::of(self.command(arguments))
    }

    /// Runs the program, and lets it die at a point.
    pub fn killed(&self, arguments: &[&str], point: &str) {
        let mut command = self.command(arguments);
        command.env("FAILPOINTS", point);
        let run = Run::of(command);
        assert_eq!(run.code, None, "{}", run.stderr);
        let name = point.split(':').next().unwrap_or(point);
        run.explains(&[&format!("killed at {name}")]);
    }

    /// Ends what was left unfinished: `resume` or `abort`. kwok keeps the sessions of whoever is gone.
    #[track_caller]
    pub fn ends(&self, way: &str) {
        self.run(&[way, "--yes", "--end-orphans"]).ended(0);
    }

    /// What was asked of the API about the application.
    pub fn asked(&self) -> Vec<Asked> {
        self.cluster.asked(&self.space)
    }

    /// When the journal got each of its records, and what they say, of the newest run.
    pub fn journal(&self) -> Vec<(String, serde_json::Value)> {
        let rows = "SELECT coalesce(json_agg(json_build_array(to_char(at AT TIME ZONE 'UTC', \
            'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), record::json) ORDER BY entry)::text, '[]') \
            FROM sternway.journal WHERE run = (SELECT max(id) FROM sternway.run)";
        serde_json::from_str(&ask(&self.server.url, rows)).expect("a journal")
    }
}

impl Drop for Harbour {
    fn drop(&mut self) {
        self.cluster.kubectl_does(&["delete", "namespace", &self.space, "--wait=false"]);
        for plural in ["berths", "cranes"] {
            let name = format!("{plural}.{}", self.group);
            self.cluster.kubectl_does(&[
                "delete",
                "crd",
                &name,
                "--ignore-not-found",
                "--wait=false",
            ]);
        }
    }
}

/// Lets a file be run.
pub fn executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a file");
}

fn tracking() -> Vec<String> {
    vec!["schema_migrations".to_owned()]
}

/// The bodies of the demo's track up to a number, in their order.
fn bodies(newest: u64, ending: &str) -> Vec<String> {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("demo/migrations/core");
    let files = fs::read_dir(&from).expect("a folder").map(|file| file.expect("a file").path());
    let mut files: Vec<String> = files
        .filter(|file| {
            let name = file.file_name().expect("a name").to_string_lossy().into_owned();
            let number = name.split('_').next().and_then(|it| it.parse::<u64>().ok());
            number.is_some_and(|it| it <= newest) && name.ends_with(ending)
        })
        .map(|file| file.display().to_string())
        .collect();
    files.sort();
    files
}
