//! What the database's URL says: the tracking table, modes, and values that are none.

use super::case::{ALL, Case, MARIADB, POSTGRESQL, SQLITE, case, exits};

pub fn cases() -> Vec<Case> {
    let mut cases = values();
    cases.extend(tables());
    cases.extend(postgresql());
    cases.extend(mariadb());
    cases.extend(sqlite());
    cases
}

fn with(name: &str, kinds: &'static [super::Kind], parameters: &str) -> Case {
    case(format!("{name} `{parameters}`"), kinds).reference().parameters(parameters)
}

/// Truth values and numbers, good and bad, on every database that knows them.
fn values() -> Vec<Case> {
    let mut cases = Vec::new();
    for value in [
        "1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False", "yes",
        "on", "2", "", "tRUE", "%20true",
    ] {
        cases.push(with("truth", POSTGRESQL, &format!("x-multi-statement={value}")));
        cases.push(with("truth", MARIADB, &format!("x-no-lock={value}")));
        cases.push(with("truth", SQLITE, &format!("x-no-tx-wrap={value}")));
    }
    for value in ["0", "1000", "x", "-1", "", "1.5", "99999999999999999999", "1s"] {
        // What golang-migrate does within less than no time depends on who is quicker.
        if value != "-1" {
            cases.push(with("number", POSTGRESQL, &format!("x-statement-timeout={value}")));
            cases.push(with("number", MARIADB, &format!("x-statement-timeout={value}")));
        }
        let size = format!("x-multi-statement=true&x-multi-statement-max-size={value}");
        cases.push(with("size", POSTGRESQL, &size));
    }
    for value in ["", "x", "maybe"] {
        cases.push(with("truth", POSTGRESQL, &format!("x-migrations-table-quoted={value}")));
    }
    cases.push(with("ours is nobody's", ALL, "x-custom=foobar"));
    cases.push(with("twice", SQLITE, "x-no-tx-wrap=true&x-no-tx-wrap=nope"));
    cases.push(with("theirs", POSTGRESQL, "bogus=1"));
    cases.push(with("theirs", MARIADB, "bogus=1"));
    cases
}

fn tables() -> Vec<Case> {
    let mut cases = Vec::new();
    for command in ["up", "version", "goto 4", "force 3", "drop -f"] {
        for (name, kinds, table) in [
            ("a table of another name", ALL, "other"),
            ("a table named with a point", POSTGRESQL, "a.b"),
            ("a table in capitals", POSTGRESQL, "Other"),
        ] {
            let case = case(format!("{name}, {command}"), kinds).reference().run(command);
            let case = case.parameters(&format!("x-migrations-table={table}")).table(table);
            cases.push(if command == "version" { case.only_looks() } else { case });
        }
    }
    let quoted = |name: &str, value: &str| {
        let parameters = format!("x-migrations-table-quoted=true&x-migrations-table={value}");
        case(format!("a quoted table, {name}"), POSTGRESQL).reference().parameters(&parameters)
    };
    cases.extend([
        quoted("alone", "\"other\"").table("other"),
        quoted("with a schema", "\"{db}_x\".\"t\"").sql("CREATE SCHEMA {db}_x").table("DB_x.t"),
        quoted("with a schema, version", "\"{db}_x\".\"t\"")
            .sql("CREATE SCHEMA {db}_x")
            .after("up")
            .table("DB_x.t")
            .run("version"),
        quoted("with a schema, drop", "\"{db}_x\".\"t\"")
            .sql("CREATE SCHEMA {db}_x")
            .after("up")
            .table("DB_x.t")
            .run("drop -f"),
        quoted("with a schema that is missing", "\"{db}_x\".\"t\"").table("DB_x.t"),
        quoted("of three parts", "\"a\".\"b\".\"c\""),
        quoted("without quotes", "other"),
        quoted("with one quote", "\"other"),
        quoted("with a point inside", "\"a.b\"").table("a.b"),
        quoted("encoded", "%22other%22").table("other"),
        with(
            "not quoted after all",
            POSTGRESQL,
            "x-migrations-table-quoted=false&x-migrations-table=%22a%22",
        )
        .table("\"a\""),
        with("quoted, and no name", POSTGRESQL, "x-migrations-table-quoted=true").differs(
            "D13",
            exits(2).says("panic"),
            exits(1).says("error: ").lacks("panic").at("absent"),
        ),
        with("an empty name", ALL, "x-migrations-table="),
    ]);
    cases
}

fn postgresql() -> Vec<Case> {
    let line = |name: &str, url: &str| {
        case(name, POSTGRESQL).reference().arguments(&format!("-path m -database {url} up"))
    };
    let guest = |name: &str, rights: &str, command: &str| {
        let role = "CREATE ROLE {db} LOGIN PASSWORD 'hush'; GRANT USAGE ON SCHEMA {db} TO {db};";
        let url = "postgres://{db}:hush@{server}?sslmode=disable&search_path={db}";
        case(format!("a guest {name}, {command}"), POSTGRESQL)
            .reference()
            .after("goto 4")
            .sql(&format!("{role} {rights}"))
            .arguments(&format!("-path m -database {url} {command}"))
    };
    let rows = "GRANT SELECT, INSERT, DELETE, UPDATE ON schema_migrations TO {db};";
    vec![
        line("the scheme postgresql", "postgresql://nobody@127.0.0.1:1/x?sslmode=disable"),
        line("nobody listens", "postgres://nobody@127.0.0.1:1/x?sslmode=disable"),
        line("a wrong password", "postgres://postgres:wrong@{server}?sslmode=disable"),
        line("a mode of TLS that is none", "postgres://postgres:x@{server}?sslmode=maybe"),
        line("a port that is none", "postgres://postgres:x@127.0.0.1:port/x?sslmode=disable"),
        with("another schema", POSTGRESQL, "search_path={db}_x").sql("CREATE SCHEMA {db}_x"),
        line("a schema that is missing", "'{url}_nope'"),
        with("an application's name", POSTGRESQL, "application_name=me"),
        with("a statement's timeout", POSTGRESQL, "statement_timeout=50000"),
        with("a slow statement", POSTGRESQL, "x-statement-timeout=300")
            .file("2_b.up.sql", "SELECT pg_sleep(30)")
            .differs(
                "D8",
                exits(1)
                    .says("migration failed: canceling statement due to user request")
                    .says("bad connection")
                    .at("2 dirty"),
                exits(1)
                    .says("migration failed: canceling statement due to")
                    .lacks("bad connection")
                    .at("1"),
            ),
        guest("who may create nothing", "DROP TABLE schema_migrations", "up"),
        guest("who may read", rows, "version"),
        guest("who may not even read", "", "version"),
        guest("who may only read", "GRANT SELECT ON schema_migrations TO {db};", "force 3"),
        guest("who may write rows but not truncate", rows, "force 3").differs(
            "D22",
            exits(1).says("permission denied").at("4"),
            exits(0).lacks("permission denied").at("3"),
        ),
        case("the version of a database that nothing was applied to", ALL)
            .reference()
            .run("version")
            .differs(
                "D3",
                exits(1).says("no migration").at("none"),
                exits(1).says("no migration").at("absent"),
            ),
    ]
}

fn mariadb() -> Vec<Case> {
    let line = |name: &str, url: &str| {
        case(name, MARIADB).reference().arguments(&format!("-path m -database {url} up"))
    };
    vec![
        line("no database in the URL of MariaDB", "mysql://root@tcp(127.0.0.1:1)/"),
        line("no slash in the URL of MariaDB", "mysql://root@tcp(127.0.0.1:1)"),
        line("nobody listens for MariaDB", "mysql://root@tcp(127.0.0.1:1)/x"),
        line("a wrong password for MariaDB", "mysql://root:wrong@{server}x"),
        line("a database that is missing", "'{url}_nope'"),
        line("a raw percent sign", "mysql://root:a%b@tcp(127.0.0.1:1)/x"),
        line("a host and a port", "mysql://root:wrong@127.0.0.1:1/x").differs(
            "D16",
            exits(1).says("default addr for network"),
            exits(1).lacks("default addr"),
        ),
        with("TLS that is preferred", MARIADB, "tls=preferred").differs(
            "D16",
            exits(1).says("open : no such file").at("absent").tables(""),
            exits(0).says("7/u e").at("7").tables("t1 t3 t4 t7"),
        ),
        with("TLS of a name", MARIADB, "tls=custom"),
        with("a certificate without a key", MARIADB, "tls=custom&x-tls-ca=nowhere&x-tls-cert=a"),
        with("no TLS", MARIADB, "tls=false"),
        with("several statements after all", MARIADB, "multiStatements=false"),
        with("times are parsed", MARIADB, "parseTime=true"),
        with("no lock", MARIADB, "x-no-lock=true").run("up 2"),
        with("a slow statement", MARIADB, "x-statement-timeout=300")
            .file("2_b.up.sql", "SELECT SLEEP(30)")
            .differs(
                "D8",
                exits(1).says("context deadline exceeded").at("2 dirty"),
                exits(1).says("migration failed").at("2 dirty"),
            ),
        case("a table that only looks alike", MARIADB)
            .reference()
            .sql("CREATE TABLE schemaXmigrations (x int)")
            .run("up")
            .differs(
                "D15",
                exits(1).says("Error 1146").at("absent"),
                exits(0).at("7").tables("schemaXmigrations t1 t3 t4 t7"),
            ),
    ]
}

fn sqlite() -> Vec<Case> {
    let line = |name: &str, url: &str| {
        case(name, SQLITE).reference().arguments(&format!("-path m -database {url} up"))
    };
    vec![
        line("an absolute file", "sqlite://{dir}/db.sqlite"),
        line("a file in memory", "sqlite://:memory:"),
        line("a file of another name", "sqlite://other.db"),
        line("a file in a folder that is missing", "sqlite://nowhere/x.db"),
        line("an encoded blank", "sqlite://{dir}/x%20y.db")
            .differs("D14", exits(0).files(&["x%20y.db"]), exits(0).files(&["x y.db"])),
        line("a name of a URI", "sqlite://file:{dir}/db.sqlite"),
        line("a blank in the name", "'sqlite://x y.db'").differs(
            "D14", exits(1).says("invalid character").files(&[]), exits(0).says("7/u e").files(&["x y.db"]),
        ),
        line("no file", "sqlite://").differs("D14", exits(0).files(&["sqlite:"]), exits(1).says("error: ").files(&[])),
        line("the scheme sqlite3", "sqlite3://db.sqlite")
            .differs("D14", exits(1).says("unknown driver sqlite3"), exits(0).says("7/u e").at("7").tables("t1 t3 t4 t7")),
        with("a table's name with a hyphen", SQLITE, "x-migrations-table=a-b").table("a-b").differs(
            "D14", exits(1).at("absent").tables(""), exits(0).says("7/u e").at("7").tables("t1 t3 t4 t7"),
        ),
        with("a second tracking table", SQLITE, "x-migrations-table=other").table("other")
            .sql("CREATE TABLE schema_migrations (version uint64,dirty bool); CREATE UNIQUE INDEX version_unique ON schema_migrations (version)")
            .run("goto 4").second_index(),
        with("a busy timeout", SQLITE, "_pragma=busy_timeout(5000)"),
        case("a drop where numbers were given by themselves", SQLITE)
            .file("1_a.up.sql", "CREATE TABLE a (x INTEGER PRIMARY KEY AUTOINCREMENT)")
            .after("up")
            .run("drop -f")
            .differs("D14", exits(1).says("sqlite_sequence may not be dropped"), exits(0).at("absent").tables("")),
        case("a file that is no database", SQLITE).reference().beside("db.sqlite.txt", "words of no database at all")
            .arguments("-path m -database sqlite://db.sqlite.txt up"),
        case("a view stays", SQLITE).file("1_a.up.sql", "CREATE TABLE a (x int); CREATE VIEW v AS SELECT 1")
            .after("up").run("drop -f"),
        case("a bad truth changes nothing", SQLITE).reference().parameters("x-no-tx-wrap=yeppers").run("up"),
    ]
}
