//! kagent's own charts and migrations on the tests' cluster: up and down between five of its releases. They are
//! read from the clone that `STERNWAY_KAGENT_REPO` names, and nothing of them is kept. Without a clone, or a
//! cluster, this is skipped.
//!
//! Its definitions belong to the whole cluster, and its database's name is fixed: so there is one test.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::Value;

use crate::control::{Cluster, wait_until};
use crate::support::{Machine, Run, ask, execute, variable};

const RELEASES: [&str; 5] = ["0.9.3", "0.9.6", "0.9.9", "0.9.12", "0.10.0-rc3"];
/// The order of an upgrade.
const CHARTS: [&str; 2] = ["kagent-crds", "kagent"];
const SPACE: &str = "kagent";

struct Kagent {
    machine: Machine,
    cluster: Cluster,
    repository: String,
    /// The superuser's URL of the server.
    admin: String,
    /// The database, as kagent's bundled one is called.
    url: String,
    rehearsal: String,
}

impl Kagent {
    fn new(test: &str) -> Option<Kagent> {
        let cluster = Cluster::of(test)?;
        let repository = variable("STERNWAY_KAGENT_REPO", test)?;
        let admin = variable("STERNWAY_TEST_PG_URL", test)?;
        let place = admin.split_once('@')?.1.split('/').next()?;
        let url = format!("postgres://kagent:kagent@{place}/kagent?sslmode=disable");
        let (machine, rehearsal) = (Machine::empty(), admin.clone());
        let kagent = Kagent { machine, cluster, repository, admin, url, rehearsal };
        // Other tests are about a database of that name, too.
        execute(&kagent.admin, "DROP DATABASE IF EXISTS kagent WITH (FORCE)");
        execute(&kagent.admin, "CREATE ROLE kagent LOGIN PASSWORD 'kagent'");
        execute(&kagent.admin, "CREATE DATABASE kagent OWNER kagent");
        let registry = kagent.cluster.registry();
        let charts = CHARTS.map(|chart| {
            format!(
                "[[deploy.kubernetes.helm]]\nrelease = \"{chart}\"\n\
                 chart = \"oci://{registry}/kagent/{chart}\"\nplain_http = true\n"
            )
        });
        let settings = format!("[deploy.kubernetes]\nhelm_binary = \"helm4\"\n{}", charts.concat());
        kagent.machine.write("sternway.toml", &settings);
        for release in RELEASES {
            kagent.publish(release);
        }
        Some(kagent)
    }

    /// Packages the charts of a release, and brings them to the registry.
    fn publish(&self, release: &str) {
        let folder = self.machine.path(release);
        fs::create_dir(&folder).expect("a folder");
        let mut git = self.machine.program(Path::new("git"));
        git.args(["-C", &self.repository, "archive", &format!("v{release}"), "helm"]);
        let mut git = git.stdout(Stdio::piped()).spawn().expect("git");
        let mut tar = self.machine.program(Path::new("tar"));
        tar.args(["-x", "-C"]).arg(&folder).stdin(git.stdout.take().expect("an output"));
        assert!(tar.status().expect("tar").success() && git.wait().expect("git").success());
        for chart in CHARTS {
            let chart = format!("{release}/helm/{chart}");
            let template = self.machine.read(&format!("{chart}/Chart-template.yaml"));
            // What it depends on is elsewhere, and nothing of it is asked for here.
            let (own, _) = template.split_once("dependencies:").expect("dependencies");
            let own = own.replace("${VERSION}", release);
            self.machine.write(&format!("{chart}/Chart.yaml"), &own);
            self.helm(&["package", &chart]);
            let name = chart.rsplit('/').next().expect("a name");
            let to = format!("oci://{}/kagent", self.cluster.registry());
            self.helm(&["push", "--plain-http", &format!("{name}-{release}.tgz"), &to]);
        }
    }

    #[track_caller]
    fn helm(&self, arguments: &[&str]) -> String {
        let mut command = self.machine.program(&self.cluster.binary("helm4"));
        self.cluster.equip(&mut command).args(arguments).args(["--namespace", SPACE]);
        let output = command.output().expect("helm");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.machine.command(arguments);
        command.args(["--profile", "kagent", "--config", "sternway.toml"]);
        command.args(["--source", &self.repository]);
        self.cluster.equip(&mut command).env("STERNWAY_REHEARSAL", &self.rehearsal);
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cluster/cache");
        command.env("XDG_CACHE_HOME", cache);
        command
    }

    fn run(&self, arguments: &[&str]) -> Run {
        Run::of(self.command(&[arguments, &["--namespace", SPACE]].concat()))
    }

    /// Brings the database to a release, as its own migrator does, and installs its charts.
    fn install(&self, release: &str) {
        let migrate = ["upgrade", "--to", release, "--yes", "--no-deploy", "--database", &self.url];
        Run::of(self.command(&migrate)).ended(0);
        for chart in CHARTS {
            let archive = format!("{chart}-{release}.tgz");
            let install = ["install", chart, &archive, "--create-namespace", "--wait"];
            let values: &[&str] = match chart {
                "kagent" => {
                    &["--set", "providers.openAI.apiKey=x", "--set", "controller.replicas=2"]
                }
                _ => &[],
            };
            self.helm(&[&install[..], values].concat());
        }
        self.is_at(release, 5);
    }

    /// Goes to a release by one command, and checks all of it. Returns what was said.
    #[track_caller]
    fn goes(&self, course: &str, release: &str, core: u64) -> Run {
        let asked = self.cluster.asked(SPACE).len();
        let before = ask(&self.url, TASKS);
        let began = Instant::now();
        let run = self.run(&[course, "--to", release, "--yes"]).ended(0);
        let away = run.stdout.lines().find(|it| it.starts_with("the application was away"));
        let (took, away) = (began.elapsed().as_secs_f64(), away.expect("a time"));
        println!("{course} to {release} in {took:.1} s; {away}");
        self.is_at(release, core);
        assert_eq!(ask(&self.url, TASKS), before);
        // The kinds come before who works with them, and go after.
        let asked = self.cluster.asked(SPACE).split_off(asked);
        let mut made: Vec<&str> = asked
            .iter()
            .filter_map(|it| it.what.strip_prefix("create secrets/sh.helm.release.v1."))
            .filter_map(|it| it.split('.').next())
            .collect();
        if course == "rollback" {
            made.reverse();
        }
        assert_eq!(made, CHARTS);
        run
    }

    /// T20: charts, images, readiness and tracking row, and not only what Helm says.
    #[track_caller]
    fn is_at(&self, release: &str, core: u64) {
        for chart in CHARTS {
            let text = self.helm(&["history", chart, "--max", "1", "--output", "json"]);
            let rows: Value = serde_json::from_str(&text).expect("a history");
            assert_eq!(rows[0]["status"], "deployed", "{text}");
            assert_eq!(rows[0]["chart"], format!("{chart}-{release}"), "{text}");
        }
        let path = "jsonpath={range .items[*]}{.spec.containers[0].image} \
                    {.status.conditions[?(@.type==\"Ready\")].status}\n{end}";
        let pods = ["-n", SPACE, "get", "pods", "-l", "app.kubernetes.io/component=controller"];
        let mut found = String::new();
        wait_until("its controllers are ready", || {
            found = self.cluster.kubectl(&[&pods[..], &["-o", path]].concat());
            let ready = |line: &str| line.ends_with(&format!("/controller:{release} True"));
            found.lines().count() == 2 && found.lines().all(ready)
        });
        let row = ask(&self.url, "SELECT version || ' ' || dirty FROM schema_migrations");
        assert_eq!(row, format!("{core} false"), "{found}");
        assert_eq!(
            ask(&self.url, "SELECT to_regclass('vector_schema_migrations') IS NULL || ''"),
            "true"
        );
        let status = self.run(&["status", "--output", "json"]).ended(0).json("sternway.status/1");
        assert!(status["unfinished"].is_null(), "{status}");
        assert_eq!(status["comparison"]["drift"], serde_json::json!([]), "{status}");
    }
}

impl Drop for Kagent {
    fn drop(&mut self) {
        for chart in ["kagent", "kagent-crds"] {
            let mut command = self.machine.program(&self.cluster.binary("helm4"));
            self.cluster.equip(&mut command).args(["uninstall", chart, "--namespace", SPACE]);
            let _ = command.output();
        }
        self.cluster.kubectl_does(&["delete", "namespace", SPACE]);
        execute(&self.admin, "DROP DATABASE kagent WITH (FORCE)");
        execute(&self.admin, "DROP ROLE kagent");
    }
}

const ROWS: &str = "
    INSERT INTO task (id, data, protocol_version)
    SELECT 'task ' || n, '{}', CASE WHEN n <= 120 THEN '0.3' END FROM generate_series(1, 200) n";
/// What every one of these releases has of a task.
const TASKS: &str = "SELECT md5(string_agg(id || data, '|' ORDER BY id)) FROM task";
const VERSIONS: &str = "SELECT count(protocol_version)::text FROM task";

#[test]
fn scenarios_01_02_06_08_and_10_on_the_cluster() {
    let Some(kagent) = Kagent::new("kagent's charts") else { return };
    kagent.install("0.9.9");
    execute(&kagent.url, ROWS);
    // Scenario 8: the example of kagent's own page, by one command. T4, T8, T9, T14, T18.
    let plan = kagent.run(&["plan", "--to", "0.9.3"]).ended(0);
    plan.says(&["core 5 -> 4: 000005_a2a_protocol_version.down.sql", "120 values"]);
    kagent.goes("rollback", "0.9.3", 4).says(&["the schema is that of a clean install of core 4"]);
    kagent.goes("upgrade", "0.9.9", 5);
    assert_eq!(ask(&kagent.url, VERSIONS), "120");
    // Scenario 2: another release with the same schema.
    let digest = "SELECT count(*)::text FROM sternway.archive";
    let kept = ask(&kagent.url, digest);
    kagent.goes("upgrade", "0.9.12", 5);
    assert_eq!(ask(&kagent.url, digest), kept);
    kagent.goes("upgrade", "0.10.0-rc3", 7);
    // Scenario 6: a release that starts on the schema ahead needs no other one.
    kagent.goes("rollback", "0.9.12", 7);
    // Scenario 10: from there further back, by files that only the newest of them has.
    kagent.goes("rollback", "0.9.6", 4);
    // Scenario 1: a plain upgrade.
    kagent.goes("upgrade", "0.9.12", 5);
    assert_eq!(ask(&kagent.url, VERSIONS), "120");
    kagent.goes("upgrade", "0.10.0-rc3", 7);
}
