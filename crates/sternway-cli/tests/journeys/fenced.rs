//! The fence and the deployment together, with an application that really connects, reads and writes:
//! it writes whenever it is started and asked whether it is ready, and its own runner wants the migrators'
//! lock before it starts.
//!
//! Whatever becomes of a journey, and however it is ended: afterwards a release runs that fits its schema,
//! no fence stands, the application writes, and no row is missing.

#![cfg(unix)]

use std::process::Command;

use crate::both::server::Kind;
use crate::both::{Pair, Place};
use crate::harbour::alone;
use crate::support::{Machine, Run};

/// The application: what is in `refuse` it does not do.
const APP: &str = r#"#!/bin/sh
echo "$*" >>log
if grep -qx "$*" refuse 2>/dev/null; then echo "no $1 today" >&2; exit 1; fi
case $1 in
stop) rm -f runs; for i in 1 2 3 4 5 6 7 8 9; do [ -f pool ] || break; sleep 0.2; done ;;
swap) echo "$2" >installed ;;
start)
    [ "$(cat installed)" = "$2" ] || exit 1
    [ -f runs ] && exit 0
    ./runner && ./client "INSERT INTO beat VALUES ('$2 starts')" || exit 1
    touch runs pool
    setsid ./pool </dev/null >/dev/null 2>&1 & ;;
ready) [ -f runs ] && ./client "INSERT INTO beat VALUES ('ready')" ;;
esac
"#;

const COMMANDS: &str = r#"
[deploy.commands]
stop = "./app stop"
swap = "./app swap {version}"
start = "./app start {version}"
ready = "./app ready"
ready_timeout = 5
version = "cat installed 2>/dev/null || true"
"#;

/// The migrations; where `valve` has a row of 1, the way back fails in its last statement.
const FILES: [(&str, &[&str], &str); 4] = [
    (
        "1_item.up.sql",
        &["1.0.0", "1.1.0"],
        "CREATE TABLE item (id integer PRIMARY KEY);\n\
         CREATE TABLE beat (what varchar(40) NOT NULL);\n\
         CREATE TABLE valve (id integer PRIMARY KEY, n integer);",
    ),
    ("1_item.down.sql", &["1.0.0", "1.1.0"], "DROP TABLE valve; DROP TABLE beat; DROP TABLE item;"),
    ("2_price.up.sql", &["1.1.0"], "ALTER TABLE item ADD COLUMN price integer;"),
    (
        "2_price.down.sql",
        &["1.1.0"],
        "ALTER TABLE item DROP COLUMN price;\nUPDATE valve SET n = 1 / (n - 1) WHERE n = 1;",
    ),
];

/// How a journey is fenced, and whether it moves the application.
#[derive(Debug, Clone, Copy)]
struct Way {
    fence: &'static str,
    deploys: bool,
}

struct Shop<'a> {
    machine: Machine,
    place: &'a Place<'a>,
    admin: crate::both::server::Admin,
    role: String,
}

impl<'a> Shop<'a> {
    /// A shop that runs release 1.1.0, with two items.
    fn open(place: &'a Place<'a>, admin: crate::both::server::Admin) -> Shop<'a> {
        let machine = Machine::of("shop", "m");
        for (file, releases, body) in FILES {
            for release in releases {
                machine.write(&format!("releases/{release}/m/{file}"), body);
            }
        }
        let settings = machine.read("sternway.toml");
        machine.write("sternway.toml", &(settings + COMMANDS));
        let role = format!("{}_app", place.name);
        let mut shop = Shop { machine, place, admin, role };
        shop.write_app();
        shop.on(&["upgrade", "--to", "1.1.0", "--yes", "--no-deploy"]).ended(0);
        let role = shop.role.clone();
        if shop.place.pair.kind == Kind::PostgreSql {
            let schema = &shop.place.name;
            shop.sql(&format!("GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {role}"));
        }
        shop.sql("INSERT INTO item VALUES (1, 7), (2, NULL)");
        shop.machine.write("installed", "1.1.0\n");
        shop.app("start 1.1.0");
        shop
    }

    /// What the application connects with, and what its runner does.
    fn write_app(&mut self) {
        let (role, place) = (self.role.clone(), &self.place.name);
        let url = self.place.pair.admin.clone().expect("a server");
        let (client, hold, runner) = match self.place.pair.kind {
            Kind::PostgreSql => {
                self.sql(&format!("CREATE ROLE {role} LOGIN PASSWORD 'app'; GRANT USAGE ON SCHEMA {place} TO {role}"));
                let (_, server) = url.split_once('@').expect("a user in the URL");
                let (server, parameters) = server.split_once('?').expect("parameters");
                let database = server.split_once('/').expect("a database").1;
                let id = sternway_database::postgres::lock_id(
                    place,
                    "schema_migrations",
                    &format!("/{database}"),
                );
                let ssl = if parameters.contains("sslmode=disable") { "disable" } else { "prefer" };
                let psql = format!(
                    "PGOPTIONS='-c search_path={place}' PGPASSWORD=app psql -X -q -v ON_ERROR_STOP=1 'postgres://{role}@{server}?sslmode={ssl}&application_name=shop'"
                );
                (
                    format!("{psql} -Atc \"$1\""),
                    psql,
                    format!(
                        "./client \"SET statement_timeout = '10s'; SELECT pg_advisory_lock({id})\" >/dev/null"
                    ),
                )
            }
            _ => {
                self.sql(&format!("CREATE USER {role}@'%' IDENTIFIED BY 'app'; GRANT ALL ON {place}.* TO {role}@'%'"));
                let port = url.rsplit_once(':').expect("a port").1;
                let port: String = port.chars().take_while(char::is_ascii_digit).collect();
                let mariadb =
                    format!("MYSQL_PWD=app mariadb -h 127.0.0.1 -P {port} -u {role} {place}");
                let lock = sternway_database::mysql::lock_name(place, "schema_migrations");
                (
                    format!("{mariadb} -Nse \"$1\""),
                    mariadb,
                    format!("[ \"$(./client \"SELECT GET_LOCK('{lock}', 10)\")\" = 1 ]"),
                )
            }
        };
        self.machine.write("app", APP);
        self.machine.write("client", &format!("#!/bin/sh\n{client}\n"));
        self.machine.write("runner", &format!("#!/bin/sh\n{runner}\n"));
        // A session that stays for as long as the application runs.
        self.machine.write(
            "pool",
            &format!("#!/bin/sh\n(while [ -f runs ]; do sleep 0.1; done) | {hold}\nrm -f pool\n"),
        );
        std::fs::rename(self.machine.path("pool"), self.machine.path("pool.sh")).expect("a file");
        let app = self.machine.read("app").replace("./pool", "./pool.sh");
        self.machine.write("app", &app);
        for file in ["app", "client", "runner", "pool.sh"] {
            let done = Command::new("chmod").arg("+x").arg(self.machine.path(file)).status();
            assert!(done.expect("chmod").success());
        }
    }

    fn sql(&mut self, sql: &str) {
        self.place.execute(&mut self.admin, sql);
    }

    fn url(&self) -> String {
        self.place.url("")
    }

    fn program(&self, arguments: &[&str]) -> Command {
        let mut command = self.machine.command(arguments);
        command.env("STERNWAY_DATABASE", self.url());
        if self.place.pair.kind == Kind::MariaDb {
            command.env("STERNWAY_REHEARSAL", self.url());
        }
        command
    }

    fn on(&self, arguments: &[&str]) -> Run {
        Run::of(self.program(arguments))
    }

    fn app(&self, words: &str) {
        let done = Command::new("sh")
            .args(["-c", &format!("./app {words}")])
            .current_dir(self.machine.path("."))
            .status();
        assert!(done.expect("the application").success(), "app {words}");
    }

    /// The way back to 1.0.0, with what this way says.
    fn back(&self, way: Way) -> Vec<String> {
        let mut words = vec!["rollback", "--to", "1.0.0", "--yes", "--lock-wait", "2"];
        words.extend(["--fence", way.fence, "--fence-role", &self.role]);
        if way.fence != "none" {
            // Where nobody stops the application, it is still connected.
            words.extend(match way.deploys {
                true => ["--wait-for-sessions", "20"].as_slice(),
                false => &["--end-sessions"],
            });
        }
        if !way.deploys {
            words.extend(["--no-deploy", "--from", "1.1.0"]);
        }
        words.into_iter().map(str::to_owned).collect()
    }

    fn end(&self, how: &str, way: Way) -> Vec<String> {
        let mut words = vec![how, "--yes", "--end-orphans"];
        if !way.deploys {
            words.push("--no-deploy");
        }
        if !way.deploys && way.fence != "none" {
            words.push("--end-sessions");
        }
        words.into_iter().map(str::to_owned).collect()
    }

    /// That this release runs on its schema, writes, and finds every row; and that nothing keeps it out.
    #[track_caller]
    fn works(&mut self, release: &str, way: Way, what: &str) {
        let status = self.on(&["status", "--output", "json", "--no-deploy"]);
        let json = status.json("sternway.status/1");
        assert_eq!(json["fences"], serde_json::json!([]), "{what}: a fence stands");
        assert!(json["unfinished"].is_null(), "{what}: {}", json["unfinished"]);
        if way.deploys {
            assert_eq!(self.machine.read("installed").trim(), release, "{what}");
            assert!(self.machine.path("runs").exists(), "{what}: {release} does not run");
        }
        let wrote = Command::new("sh")
            .args(["-c", "./client \"INSERT INTO beat VALUES ('afterwards')\""])
            .current_dir(self.machine.path("."))
            .output()
            .expect("a client");
        assert!(wrote.status.success(), "{what}: {}", String::from_utf8_lossy(&wrote.stderr));
        let (version, items) = match release {
            "1.0.0" => ("1", "SELECT CONCAT(id, ':') FROM item ORDER BY id"),
            _ => ("2", "SELECT CONCAT(id, ':', COALESCE(price, 0)) FROM item ORDER BY id"),
        };
        let rows = match release {
            "1.0.0" => ["1:", "2:"],
            _ => ["1:7", "2:0"],
        };
        assert_eq!(self.admin.rows(self.place, items), rows, "{what}");
        let track = "SELECT CONCAT(version, '') FROM schema_migrations";
        assert_eq!(self.admin.rows(self.place, track), [version], "{what}");
    }

    /// Back at 1.1.0, without any fence.
    fn again(&mut self, way: Way, what: &str) {
        let up = ["upgrade", "--to", "1.1.0", "--yes", "--no-deploy", "--from", "1.0.0"];
        if self.admin.rows(self.place, "SELECT CONCAT(version, '') FROM schema_migrations") == ["1"]
        {
            self.on(&up).ended(0);
        }
        let _ = std::fs::remove_file(self.machine.path("refuse"));
        self.sql("DELETE FROM valve");
        self.app("stop");
        self.app("swap 1.1.0");
        self.app("start 1.1.0");
        self.works("1.1.0", way, what);
    }
}

impl Drop for Shop<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.machine.path("runs"));
        std::thread::sleep(std::time::Duration::from_millis(300));
        let role = &self.role;
        match self.place.pair.kind {
            Kind::PostgreSql => {
                let sql = format!("DROP OWNED BY {role}; DROP ROLE {role}");
                self.place.execute(&mut self.admin, &sql);
            }
            _ => self.place.execute(&mut self.admin, &format!("DROP USER {role}@'%'")),
        }
    }
}

fn words(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

/// Every outcome of a journey with every fence of a server, with and without a deployment.
fn every_outcome(kind: Kind, fences: &[&'static str], test: &str) {
    // At most one fence stands in a database, and these tests share one.
    let _alone = alone();
    let Some(pair) = Pair::new(kind, test) else { return };
    let mut admin = pair.admin();
    let place = Place::new(&pair, &mut admin);
    let mut shop = Shop::open(&place, admin);
    for fence in fences {
        for deploys in [true, false] {
            let way = Way { fence, deploys };
            let told = |what: &str| format!("{kind:?}, {way:?}: {what}");
            let back = shop.back(way);
            shop.on(&words(&back)).ended(0);
            shop.works("1.0.0", way, &told("success"));
            shop.again(way, &told("again"));
            for how in ["resume", "abort"] {
                let what = told(&format!("a migration fails, {how}"));
                shop.sql("INSERT INTO valve VALUES (1, 1)");
                let failed = shop.on(&words(&back));
                assert_ne!(failed.code, Some(0), "{what}");
                shop.sql("DELETE FROM valve");
                let end = shop.end(how, way);
                shop.on(&words(&end)).ended(0);
                let ends_at = if how == "resume" { "1.0.0" } else { "1.1.0" };
                shop.works(ends_at, way, &what);
                shop.again(way, &what);
            }
            if deploys {
                for refused in ["swap 1.0.0", "start 1.0.0"] {
                    let what = told(&format!("{refused} fails"));
                    shop.machine.write("refuse", &format!("{refused}\n"));
                    shop.on(&words(&back)).ended(1).explains(&["back where they were"]);
                    shop.works("1.1.0", way, &what);
                    shop.again(way, &what);
                }
            }
        }
    }
}

#[test]
fn every_outcome_on_postgresql() {
    let fences = ["none", "read-only", "no-connect"];
    every_outcome(Kind::PostgreSql, &fences, "fenced journeys on PostgreSQL");
}

#[test]
fn every_outcome_on_mariadb() {
    every_outcome(Kind::MariaDb, &["none", "no-connect"], "fenced journeys on MariaDB");
}

/// The program is killed at its points in turn, and the run is finished or taken back.
fn kills(kind: Kind, fences: &[&'static str], stride: usize, test: &str) {
    use std::os::unix::process::ExitStatusExt;
    // At most one fence stands in a database, and these tests share one.
    let _alone = alone();
    let Some(pair) = Pair::new(kind, test) else { return };
    let mut admin = pair.admin();
    let place = Place::new(&pair, &mut admin);
    let mut shop = Shop::open(&place, admin);
    let stride = if std::env::var_os("STERNWAY_TEST_EVERY_FAULT").is_some() { 1 } else { stride };
    let mut faults = 0;
    for fence in fences {
        for (deploys, first) in [(true, 1), (false, 3)] {
            let way = Way { fence, deploys };
            let back = shop.back(way);
            for point in (first..).step_by(stride) {
                let mut program = shop.program(&words(&back));
                program.env("FAILPOINTS", point.to_string());
                let output = program.output().expect("the program");
                if output.status.signal().is_none() {
                    break;
                }
                faults += 1;
                let at = String::from_utf8_lossy(&output.stderr);
                let at = at.lines().last().unwrap_or_default().to_owned();
                let how = if (point / stride) % 2 == 0 { "resume" } else { "abort" };
                let what = format!("{kind:?}, {way:?}: killed at {point} ({at}), {how}");
                let status = shop.on(&["status", "--output", "json", "--no-deploy"]);
                if status.json("sternway.status/1")["unfinished"].is_null() {
                    // It had not begun, or was over.
                    shop.again(way, &what);
                    continue;
                }
                let end = shop.end(how, way);
                shop.on(&words(&end)).ended(0);
                let ends_at = if how == "resume" { "1.0.0" } else { "1.1.0" };
                shop.works(ends_at, way, &what);
                shop.again(way, &what);
            }
            shop.again(way, "after the last point");
        }
    }
    assert!(faults > 10, "{faults}");
    #[allow(clippy::print_stdout, reason = "the number of faults is to be read")]
    {
        println!("{test}: {faults} kills");
    }
}

#[test]
fn kills_on_postgresql() {
    kills(
        Kind::PostgreSql,
        &["read-only", "no-connect"],
        5,
        "kills of fenced journeys on PostgreSQL",
    );
}

#[test]
fn kills_on_mariadb() {
    kills(Kind::MariaDb, &["no-connect"], 6, "kills of fenced journeys on MariaDB");
}
