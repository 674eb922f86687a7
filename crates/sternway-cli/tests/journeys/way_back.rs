//! What is said before the way there: what a way back would take, which borders no schema shows, and whether a
//! release may run on the schema as it is.

use crate::support::{Machine, Run};

/// An application on SQLite: 1.1.0 adds a column, 1.2.0 an index, 2.0.0 drops a table and has no way back.
const FILES: [(&str, &[&str], &str); 7] = [
    (
        "1_item.up.sql",
        &["1.0.0", "1.1.0", "1.2.0", "2.0.0"],
        "CREATE TABLE item (id integer PRIMARY KEY); CREATE TABLE old (id integer);",
    ),
    ("1_item.down.sql", &["1.0.0", "1.1.0", "1.2.0", "2.0.0"], "DROP TABLE old; DROP TABLE item;"),
    ("2_price.up.sql", &["1.1.0", "1.2.0", "2.0.0"], "ALTER TABLE item ADD COLUMN price integer;"),
    ("2_price.down.sql", &["1.1.0", "1.2.0", "2.0.0"], "ALTER TABLE item DROP COLUMN price;"),
    ("3_index.up.sql", &["1.2.0", "2.0.0"], "CREATE INDEX item_price ON item (price);"),
    ("3_index.down.sql", &["1.2.0", "2.0.0"], "DROP INDEX item_price;"),
    ("4_old.up.sql", &["2.0.0"], "DROP TABLE old;"),
];

struct Shop {
    machine: Machine,
    url: String,
    settings: String,
}

impl Shop {
    fn new(more: &str) -> Shop {
        let machine = Machine::of("shop", "m");
        for (file, releases, body) in FILES {
            for release in releases {
                machine.write(&format!("releases/{release}/m/{file}"), body);
            }
        }
        let url = format!("sqlite://{}", machine.text("shop.db"));
        let settings = machine.read("sternway.toml");
        let shop = Shop { machine, url, settings };
        shop.says(more);
        shop
    }

    fn says(&self, more: &str) {
        self.machine.write("sternway.toml", &format!("{}{more}", self.settings));
    }

    fn on(&self, arguments: &[&str]) -> Run {
        self.machine.on(&self.url, arguments)
    }

    #[track_caller]
    fn can_run(&self, release: &str, answer: &str, reasons: &[&str]) {
        let code = match answer {
            "yes" => 0,
            "no" => 3,
            _ => 4,
        };
        let run = self.on(&["can-run", release, "--output", "json"]).ended(code);
        let json = run.json("sternway.can_run/1");
        assert_eq!(json["answer"], answer, "{json}");
        let said = json["reasons"].to_string();
        for reason in reasons {
            assert!(said.contains(reason), "{reason}: {said}");
        }
    }
}

#[test]
fn an_upgrade_says_what_the_way_back_takes() {
    let shop = Shop::new("");
    // From nothing there is nothing to come back to.
    assert!(!shop.on(&["plan", "--to", "1.0.0"]).ended(0).stdout.contains("way back"));
    shop.on(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    let plan = shop.on(&["plan", "--to", "1.2.0"]).ended(0).stdout;
    assert!(plan.contains("the way back to 1.0.0 takes 2 migrations, which take away"), "{plan}");
    assert!(plan.contains("column item.price"), "{plan}");
    let plan = shop.on(&["plan", "--to", "2.0.0"]).ended(0).stdout;
    assert!(
        plan.contains(
            "point of no return: there is no way back to 1.0.0 afterwards, because migration 4"
        ),
        "{plan}"
    );
    // A policy wants one.
    shop.says("\n[policy]\nrequire_way_back = true\n");
    let before = std::fs::read(shop.machine.path("shop.db")).expect("a database");
    let refused = shop.on(&["upgrade", "--to", "2.0.0", "--yes"]).ended(3);
    refused.explains(&[
        "there would be no way back to 1.0.0: migration 4 of track `core` has no down file",
        "--no-way-back",
    ]);
    assert_eq!(std::fs::read(shop.machine.path("shop.db")).expect("a database"), before);
    shop.on(&["upgrade", "--to", "1.2.0", "--yes"]).ended(0);
    // The way back that was told is the way back that there is.
    let back =
        shop.on(&["plan", "--to", "1.0.0", "--output", "json"]).ended(0).json("sternway.plan/4");
    let steps = back["hops"]
        .as_array()
        .expect("hops")
        .iter()
        .flat_map(|hop| hop["steps"].as_array().expect("steps"));
    assert_eq!(steps.filter(|it| it["kind"] == "migrate").count(), 2);
    shop.on(&["upgrade", "--to", "2.0.0", "--yes", "--no-way-back"]).ended(0);
}

#[test]
fn a_hazard_is_refused_or_told_in_either_direction() {
    let hazard = |severity: &str| {
        format!(
            "\n[[hazard]]\nname = \"rows\"\nbetween = [\"1.0.0\", \"1.1.0\"]\nseverity = \"{severity}\"\nmessage = \"the one cannot read the other's rows\"\n"
        )
    };
    let shop = Shop::new(&hazard("refuse"));
    shop.on(&["upgrade", "--to", "1.0.0", "--yes"]).ended(0);
    for (course, to) in [("upgrade", "1.2.0"), ("rollback", "1.0.0")] {
        let refused = shop.on(&[course, "--to", to, "--yes"]).ended(3);
        refused.explains(&["hazard `rows` lies between 1.0.0 and 1.1.0", "--accept-hazard rows"]);
        shop.on(&[course, "--to", to, "--yes", "--accept-hazard", "other"]).ended(3);
        let went = shop.on(&[course, "--to", to, "--yes", "--accept-hazard", "rows"]).ended(0);
        assert!(went.stdout.contains("hazard `rows`, accepted: the one cannot"), "{}", went.stdout);
    }
    shop.says(&hazard("warn"));
    let plan = shop.on(&["plan", "--to", "1.2.0"]).ended(0).stdout;
    assert!(plan.contains("note: hazard `rows`: the one cannot"), "{plan}");
    // On one side of the border nothing is said.
    shop.on(&["upgrade", "--to", "1.1.0", "--yes"]).ended(0);
    assert!(!shop.on(&["plan", "--to", "1.2.0"]).ended(0).stdout.contains("hazard"));
}

#[test]
fn whether_a_release_may_run_is_answered() {
    let shop = Shop::new("");
    shop.on(&["upgrade", "--to", "1.2.0", "--yes"]).ended(0);
    let before = std::fs::read(shop.machine.path("shop.db")).expect("a database");
    shop.can_run("1.2.0", "yes", &["the schema is its own"]);
    shop.can_run("2.0.0", "no", &["track `core` stands at 3, and it needs 4"]);
    shop.can_run("1.1.0", "unknown", &["nobody says whether it starts", "only add"]);
    shop.says("\n[policy]\nwindow = \"minor\"\nahead_ok_since = \"1.1.0\"\n");
    shop.can_run(
        "1.1.0",
        "yes",
        &["the policy says that it starts", "stands at 3, ahead of its 2"],
    );
    shop.can_run("1.0.0", "no", &["only releases since 1.1.0 start"]);
    shop.says("\n[policy]\nwindow = \"minor\"\nahead_ok_since = \"1.0.0\"\n");
    shop.can_run("1.0.0", "no", &["further ahead than the policy's window"]);
    shop.says("\n[[hazard]]\nname = \"rows\"\nbetween = [\"1.1.0\", \"1.2.0\"]\nmessage = \"unreadable\"\n");
    shop.can_run("1.1.0", "no", &["hazard `rows`: unreadable"]);
    shop.says("");
    shop.on(&["can-run", "9.9.9"]).ended(2).explains(&["9.9.9"]);
    assert_eq!(std::fs::read(shop.machine.path("shop.db")).expect("a database"), before);
    shop.on(&["upgrade", "--to", "2.0.0", "--yes"]).ended(0);
    shop.can_run("1.2.0", "no", &["`4_old.up.sql` takes away table old"]);
    shop.says("\n[policy]\nwindow = \"minor\"\nahead_ok_since = \"1.0.0\"\n");
    shop.can_run("1.2.0", "unknown", &["the policy says that it starts", "takes away table old"]);
}
