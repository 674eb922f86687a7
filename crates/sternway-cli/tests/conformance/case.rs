//! A case: what there is, what is asked, and how Sternway is documented to differ, if it does.

use std::fs;

use crate::both::server::{Admin, Kind};
use crate::both::state::State;
use crate::both::{Place, Ran, Tool, words};

pub const ALL: &[Kind] = &[Kind::PostgreSql, Kind::MariaDb, Kind::Sqlite];
pub const POSTGRESQL: &[Kind] = &[Kind::PostgreSql];
pub const MARIADB: &[Kind] = &[Kind::MariaDb];
pub const SQLITE: &[Kind] = &[Kind::Sqlite];
/// Those that take a failed body back.
pub const TRANSACTIONAL: &[Kind] = &[Kind::PostgreSql, Kind::Sqlite];
/// For what needs no database, or none in particular.
pub const NONE: &[Kind] = &[Kind::None];

/// The reference's example: 1 both, 3 up, 4 both, 5 down, 7 both.
const REFERENCE: [(&str, &str); 8] = [
    ("1_a.up.sql", "CREATE TABLE t1 (x int)"),
    ("1_a.down.sql", "DROP TABLE t1"),
    ("3_b.up.sql", "CREATE TABLE IF NOT EXISTS t3 (x int)"),
    ("4_c.up.sql", "CREATE TABLE t4 (x int)"),
    ("4_c.down.sql", "DROP TABLE t4"),
    ("5_d.down.sql", "INSERT INTO t4 VALUES (5)"),
    ("7_e.up.sql", "CREATE TABLE t7 (x int)"),
    ("7_e.down.sql", "DROP TABLE t7"),
];

/// A case for some kinds of database.
#[derive(Clone)]
pub struct Case {
    pub name: String,
    pub kinds: &'static [Kind],
    steps: Vec<Step>,
    arguments: Vec<String>,
    parameters: String,
    input: String,
    table: String,
    /// Whether the words are a usage text's, which are not compared.
    pub usage: bool,
    differences: Vec<Difference>,
}

/// What is done before, in order, alike for both.
#[derive(Clone)]
enum Step {
    File(String, String),
    Folder(String),
    Link(String, String),
    Remove(String),
    /// golang-migrate's command line, and whether it fails.
    Migrate(String, bool),
    Sql(String),
}

/// A documented difference: what each of both does where they are not the same.
#[derive(Clone)]
pub struct Difference {
    pub id: &'static str,
    /// The databases that it is seen on.
    pub kinds: &'static [Kind],
    pub golang: Claim,
    pub sternway: Claim,
}

/// What is said of a run's outcome; the rest has to be the same for both.
#[derive(Clone, Default)]
pub struct Claim {
    pub code: Option<i32>,
    pub says: Vec<String>,
    pub lacks: Vec<String>,
    pub tracking: Option<String>,
    pub tables: Option<String>,
    pub files: Option<Vec<String>>,
    pub no_files: Vec<String>,
    pub indexes: Option<usize>,
}

/// A case about a command, with the reference's files or none yet.
pub fn case(name: impl Into<String>, kinds: &'static [Kind]) -> Case {
    let (steps, arguments) = (Vec::new(), words("-path m -database {url} up"));
    let (name, parameters, input) = (name.into(), String::new(), String::new());
    let (table, usage, differences) = ("schema_migrations".to_owned(), false, Vec::new());
    Case { name, kinds, steps, arguments, parameters, input, table, usage, differences }
}

impl Case {
    /// The files of the reference's example.
    pub fn reference(self) -> Case {
        REFERENCE.iter().fold(self, |case, (name, body)| case.file(name, body))
    }

    /// A file of the folder with migrations.
    pub fn file(self, name: &str, body: &str) -> Case {
        self.step(Step::File(format!("m/{name}"), body.to_owned()))
    }

    /// A file beside that folder.
    pub fn beside(self, name: &str, body: &str) -> Case {
        self.step(Step::File(name.to_owned(), body.to_owned()))
    }

    pub fn folder(self, name: &str) -> Case {
        self.step(Step::Folder(name.to_owned()))
    }

    /// A symbolic link in the folder with migrations.
    pub fn link(self, name: &str, target: &str) -> Case {
        self.step(Step::Link(format!("m/{name}"), target.to_owned()))
    }

    /// Removes a file of the folder with migrations.
    pub fn without(self, name: &str) -> Case {
        self.step(Step::Remove(format!("m/{name}")))
    }

    /// A command of golang-migrate that came before.
    pub fn after(self, command: &str) -> Case {
        self.step(Step::Migrate(command.to_owned(), false))
    }

    /// A command of golang-migrate that came before, and failed.
    pub fn after_failed(self, command: &str) -> Case {
        self.step(Step::Migrate(command.to_owned(), true))
    }

    pub fn sql(self, sql: &str) -> Case {
        self.step(Step::Sql(sql.to_owned()))
    }

    fn step(mut self, step: Step) -> Case {
        self.steps.push(step);
        self
    }

    /// The command, after the global options that say where.
    pub fn run(self, command: &str) -> Case {
        self.arguments(&format!("-path m -database {{url}} {command}"))
    }

    /// The whole command line.
    pub fn arguments(mut self, line: &str) -> Case {
        self.arguments = words(line);
        self
    }

    /// What the database's URL says beside where it is.
    pub fn parameters(mut self, parameters: &str) -> Case {
        self.parameters = parameters.to_owned();
        self
    }

    /// Standard input.
    pub fn input(mut self, input: &str) -> Case {
        self.input = input.to_owned();
        self
    }

    /// The answer is a usage text.
    pub fn usage(mut self) -> Case {
        self.usage = true;
        self
    }

    /// Another tracking table.
    pub fn table(mut self, name: &str) -> Case {
        self.table = name.to_owned();
        self
    }

    /// How both differ, on every kind of database that the case is for.
    pub fn differs(self, id: &'static str, golang: Claim, sternway: Claim) -> Case {
        let kinds = self.kinds;
        self.differs_on(kinds, id, golang, sternway)
    }

    /// How both differ on some of the case's kinds of database.
    pub fn differs_on(
        mut self,
        kinds: &'static [Kind],
        id: &'static str,
        golang: Claim,
        sternway: Claim,
    ) -> Case {
        // What is said last counts first.
        self.differences.insert(0, Difference { id, kinds, golang, sternway });
        self
    }

    /// A body that fails, where a transaction can take it back: golang-migrate leaves the tracking
    /// table at `golang`, Sternway at `sternway`. Both leave the same of the body: nothing.
    pub fn taken_back(self, golang: &str, sternway: &str) -> Case {
        self.differs_on(TRANSACTIONAL, "D25", at(golang), at(sternway))
    }

    /// The difference that is claimed for a kind of database.
    pub fn difference(&self, kind: Kind) -> Option<&Difference> {
        self.differences.iter().find(|it| it.kinds.contains(&kind))
    }

    /// The differences that the case shows.
    pub fn differences(&self) -> impl Iterator<Item = &Difference> {
        self.differences.iter()
    }

    /// A second tracking table in one file: golang-migrate gives it no index.
    pub fn second_index(self) -> Case {
        self.differs("D14", Claim::default().indexes(1), Claim::default().indexes(2))
    }

    /// `version` where there is no tracking table: golang-migrate makes it.
    pub fn only_looks(self) -> Case {
        self.differs("D3", exits(1).at("none"), exits(1).at("absent").says("error: no migration"))
    }

    /// Prepares a place.
    pub fn prepare(&self, place: &Place, admin: &mut Admin) {
        for step in &self.steps {
            match step {
                Step::File(name, body) => place.write(name, &place.fill(body, "")),
                Step::Folder(name) => {
                    fs::create_dir_all(place.work().join(name)).expect("a folder");
                }
                Step::Link(name, target) => {
                    let name = place.work().join(name);
                    std::os::unix::fs::symlink(target, name).expect("a link");
                }
                Step::Remove(name) => fs::remove_file(place.work().join(name)).expect("a file"),
                Step::Migrate(command, fails) => {
                    let line = format!("-path m -database {{url}} {command}");
                    let ran = self.ran(place, Tool::GolangMigrate, &words(&line), "");
                    assert_eq!(ran.code != Some(0), *fails, "{}: {command}: {ran:?}", self.name);
                }
                Step::Sql(sql) => place.execute(admin, &place.fill(sql, "")),
            }
        }
    }

    /// Does what is asked.
    pub fn act(&self, place: &Place, tool: Tool) -> Ran {
        self.ran(place, tool, &self.arguments, &self.input)
    }

    fn ran(&self, place: &Place, tool: Tool, arguments: &[String], input: &str) -> Ran {
        let parameters = place.fill(&self.parameters, "");
        let arguments: Vec<_> = arguments.iter().map(|it| place.fill(it, &parameters)).collect();
        place.run(tool, &arguments, input)
    }

    /// What there is now.
    pub fn state(&self, place: &Place, admin: &mut Admin) -> State {
        State::of(place, admin, &self.table)
    }
}

pub fn exits(code: i32) -> Claim {
    Claim { code: Some(code), ..Claim::default() }
}

pub fn says(text: &str) -> Claim {
    Claim::default().says(text)
}

pub fn at(tracking: &str) -> Claim {
    Claim { tracking: Some(tracking.to_owned()), ..Claim::default() }
}

impl Claim {
    /// Standard error contains this.
    pub fn says(mut self, text: &str) -> Claim {
        self.says.push(text.to_owned());
        self
    }

    /// Standard error does not.
    pub fn lacks(mut self, text: &str) -> Claim {
        self.lacks.push(text.to_owned());
        self
    }

    /// The tracking table holds this.
    pub fn at(mut self, tracking: &str) -> Claim {
        self.tracking = Some(tracking.to_owned());
        self
    }

    /// These are the other tables.
    pub fn tables(mut self, tables: &str) -> Claim {
        self.tables = Some(tables.to_owned());
        self
    }

    /// SQLite has so many indexes.
    pub fn indexes(mut self, count: usize) -> Claim {
        self.indexes = Some(count);
        self
    }

    /// These files are there, each named by its beginning.
    pub fn files(mut self, files: &[&str]) -> Claim {
        self.files = Some(files.iter().map(|&it| it.to_owned()).collect());
        self
    }

    /// Files that begin so are not.
    pub fn no_files(mut self, files: &[&str]) -> Claim {
        self.files.get_or_insert_default();
        self.no_files = files.iter().map(|&it| it.to_owned()).collect();
        self
    }
}
