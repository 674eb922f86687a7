//! Random applications: releases whose up halves make, change and drop what a schema can have, and whose
//! down halves undo that, leave it out, or do something else.

use std::fs;
use std::path::Path;

use sternway_database::Dialect;
use sternway_testing::Random;

/// How many releases an application has, and migrations: each release has one more.
pub const RELEASES: u64 = 3;

/// A column as the generator knows it.
#[derive(Clone)]
struct Column {
    name: String,
    kind: String,
    default: Option<String>,
    /// Whether each row needs a value: the column comes with its table then.
    needed: bool,
}

#[derive(Clone)]
struct Table {
    name: String,
    columns: Vec<Column>,
}

/// Something that stands on columns, which stay as long as it does.
#[derive(Clone)]
struct Thing {
    make: String,
    unmake: String,
    on: Vec<(String, String)>,
}

/// What an up half does, and what a down half may do about it.
struct Change {
    up: String,
    down: String,
    /// What somebody wrote who was mistaken.
    wrong: Option<String>,
}

/// What is there after the up halves that were made so far.
struct Model {
    dialect: Dialect,
    tables: Vec<Table>,
    things: Vec<Thing>,
    made: u64,
}

const KINDS: [&str; 3] = ["integer", "bigint", "text"];

impl Model {
    fn is_postgres(&self) -> bool {
        self.dialect == Dialect::Postgres
    }

    fn number(&mut self) -> u64 {
        self.made += 1;
        self.made
    }

    /// A new name; some have to be quoted.
    fn name(&mut self, prefix: &str, random: &mut Random) -> String {
        let number = self.number();
        match self.dialect != Dialect::MySql && random.once_in(8) {
            true => format!("\"{}{number}\"", prefix.to_uppercase()),
            false => format!("{prefix}{number}"),
        }
    }

    fn kind(&self, random: &mut Random) -> String {
        match (self.dialect, *random.pick(&KINDS)) {
            (Dialect::MySql, "text") => "varchar(80)".to_owned(),
            (_, kind) => kind.to_owned(),
        }
    }

    fn has_things(&self, table: &str) -> bool {
        self.things.iter().any(|it| it.on.iter().any(|(on, _)| on == table))
    }

    /// A table, and one of its columns that nothing stands on.
    fn free(&self, random: &mut Random) -> Option<(usize, usize)> {
        let table = random.below(self.tables.len());
        let it = self.tables.get(table)?;
        let is_free = |column: &Column| {
            let on = (it.name.clone(), column.name.clone());
            !self.things.iter().any(|thing| thing.on.contains(&on))
        };
        let free: Vec<usize> =
            (0..it.columns.len()).filter(|at| is_free(&it.columns[*at])).collect();
        Some((table, *random.choose(&free)?))
    }

    /// A table and any of its columns.
    fn any(&self, random: &mut Random) -> Option<(String, Column)> {
        let table = random.choose(&self.tables)?;
        Some((table.name.clone(), random.choose(&table.columns)?.clone()))
    }

    fn thing(&mut self, make: String, unmake: String, on: Vec<(String, String)>) -> Option<Change> {
        let thing = Thing { make, unmake, on };
        let change = Change { up: thing.make.clone(), down: thing.unmake.clone(), wrong: None };
        self.things.push(thing);
        Some(change)
    }

    fn create(&mut self, random: &mut Random) -> Change {
        let name = match self.is_postgres() && random.once_in(6) {
            true => format!("aside.{}", self.name("t", random)),
            false => self.name("t", random),
        };
        let columns = (0..=random.below(2)).map(|_| Column {
            name: self.name("c", random),
            kind: self.kind(random),
            default: None,
            needed: random.once_in(3),
        });
        let table = Table { name, columns: columns.collect() };
        let (up, down) = (table.create(), format!("DROP TABLE {};", table.name));
        self.tables.push(table);
        Change { up, down, wrong: None }
    }

    /// One change of a kind by its number; `None` where there is nothing to change in that way.
    fn change(&mut self, kind: usize, random: &mut Random) -> Option<Change> {
        match kind {
            0..=2 => Some(self.create(random)),
            3..=6 => self.add_column(random),
            7 => self.drop_column(random),
            8 => self.rename_column(random),
            9 => self.drop_table(random),
            10 => {
                let gone = random.below(self.things.len());
                let thing = (gone < self.things.len()).then(|| self.things.remove(gone))?;
                Some(Change { up: thing.unmake, down: thing.make, wrong: None })
            }
            11 | 12 => {
                let (index, (table, column)) = (self.name("i", random), self.any(random)?);
                let text = if column.kind == "text" && self.dialect == Dialect::MySql {
                    "(20)"
                } else {
                    ""
                };
                let unique = if random.once_in(4) { ("UNIQUE ", "id, ") } else { ("", "") };
                let at = if self.dialect == Dialect::MySql {
                    format!(" ON {table}")
                } else {
                    String::new()
                };
                let space = table.split_once('.').map(|(space, _)| format!("{space}."));
                let on = vec![(table.clone(), column.name.clone())];
                let make = format!(
                    "CREATE {}INDEX {index} ON {table} ({}{}{text});",
                    unique.0, unique.1, column.name
                );
                self.thing(
                    make,
                    format!("DROP INDEX {}{index}{at};", space.unwrap_or_default()),
                    on,
                )
            }
            13 => {
                let (view, (table, column)) = (self.name("v", random), self.any(random)?);
                let on = vec![(table.clone(), column.name.clone())];
                let make =
                    format!("CREATE VIEW {view} AS SELECT id, {} FROM {table};", column.name);
                self.thing(make, format!("DROP VIEW {view};"), on)
            }
            14 if self.dialect == Dialect::Sqlite => {
                let (trigger, (table, column)) = (self.name("g", random), self.any(random)?);
                let on = vec![(table.clone(), column.name.clone())];
                let make = format!(
                    "CREATE TRIGGER {trigger} AFTER DELETE ON {table} BEGIN SELECT 1; END;"
                );
                self.thing(make, format!("DROP TRIGGER {trigger};"), on)
            }
            kind => match self.dialect {
                Dialect::Postgres => self.change_on_postgres(kind, random),
                Dialect::MySql => self.change_on_mysql(kind, random),
                Dialect::Sqlite => None,
            },
        }
    }

    fn add_column(&mut self, random: &mut Random) -> Option<Change> {
        let at = random.below(self.tables.len());
        let (name, kind) = (self.name("c", random), self.kind(random));
        let default = (kind != "text" && random.once_in(2)).then(|| random.below(9).to_string());
        // Among rows it fails where nothing gives them its values.
        let needed = default.is_none() && self.made.is_multiple_of(5);
        let column = Column { name, kind, default, needed };
        let not_null = if column.default.is_some() && random.once_in(3) { " NOT NULL" } else { "" };
        let table = self.tables.get_mut(at)?;
        let up = format!("ALTER TABLE {} ADD COLUMN {}{not_null};", table.name, column.declared());
        let down = format!("ALTER TABLE {} DROP COLUMN {};", table.name, column.name);
        let other = table.columns.first().filter(|_| table.columns.len() > 1);
        let wrong = other.map(|it| format!("ALTER TABLE {} DROP COLUMN {};", table.name, it.name));
        table.columns.push(column);
        Some(Change { up, down, wrong })
    }

    fn drop_column(&mut self, random: &mut Random) -> Option<Change> {
        let (table, column) = self.free(random)?;
        let table = &mut self.tables[table];
        let column = table.columns.remove(column);
        let up = format!("ALTER TABLE {} DROP COLUMN {};", table.name, column.name);
        let down = format!("ALTER TABLE {} ADD COLUMN {};", table.name, column.declared());
        let kind = if column.kind == "text" { "integer" } else { "varchar(60)" };
        let other = Column { kind: kind.to_owned(), default: None, ..column };
        let wrong = format!("ALTER TABLE {} ADD COLUMN {};", table.name, other.declared());
        Some(Change { up, down, wrong: Some(wrong) })
    }

    fn rename_column(&mut self, random: &mut Random) -> Option<Change> {
        let (table, column) = self.free(random)?;
        let new = self.name("c", random);
        let table = &mut self.tables[table];
        let old = std::mem::replace(&mut table.columns[column].name, new.clone());
        let rename = |from: &str, to: &str| {
            format!("ALTER TABLE {} RENAME COLUMN {from} TO {to};", table.name)
        };
        Some(Change { up: rename(&old, &new), down: rename(&new, &old), wrong: None })
    }

    fn drop_table(&mut self, random: &mut Random) -> Option<Change> {
        let at = random.below(self.tables.len());
        let name = self.tables.get(at)?.name.clone();
        if self.has_things(&name) || !random.once_in(2) {
            return None;
        }
        let table = self.tables.remove(at);
        let mut less = table.clone();
        less.columns.pop();
        let up = format!("DROP TABLE {name};");
        Some(Change { up, down: table.create(), wrong: Some(less.create()) })
    }

    fn change_on_postgres(&mut self, kind: usize, random: &mut Random) -> Option<Change> {
        let number = self.number();
        let (table, column) = self.any(random)?;
        let on = vec![(table.clone(), column.name.clone())];
        let alter = |what: String| format!("ALTER TABLE {table} {what};");
        match kind {
            14 | 15 => {
                let what = match random.below(3) {
                    0 => format!("CHECK ({} IS NULL OR id > -{number})", column.name),
                    1 => format!("UNIQUE (id, {})", column.name),
                    _ if column.kind != "text" => format!("CHECK ({} > -{number})", column.name),
                    _ => format!("UNIQUE ({}, id)", column.name),
                };
                let make = alter(format!("ADD CONSTRAINT k{number} {what}"));
                self.thing(make, alter(format!("DROP CONSTRAINT k{number}")), on)
            }
            16 => {
                let other = random.choose(&self.tables)?.name.clone();
                let refers = format!("r{number}");
                let up = alter(format!("ADD COLUMN {refers} integer REFERENCES {other} (id)"));
                let down = alter(format!("DROP COLUMN {refers}"));
                let on = vec![(table.clone(), refers), (other, "id".to_owned())];
                self.thing(up, down, on)
            }
            17 => {
                let body = "BEGIN RETURN NEW; END";
                let make = format!(
                    "CREATE FUNCTION f{number}() RETURNS trigger LANGUAGE plpgsql AS $f$ {body} $f$;\n\
                     CREATE TRIGGER g{number} BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION f{number}();"
                );
                let unmake =
                    format!("DROP TRIGGER g{number} ON {table};\nDROP FUNCTION f{number}();");
                self.thing(make, unmake, on)
            }
            18 => {
                let make = format!(
                    "CREATE TYPE e{number} AS ENUM ('one', 'two');\n\
                     ALTER TABLE {table} ADD COLUMN c{number} e{number} DEFAULT 'one';"
                );
                let unmake =
                    format!("ALTER TABLE {table} DROP COLUMN c{number};\nDROP TYPE e{number};");
                self.thing(make, unmake, vec![(table.clone(), format!("c{number}"))])
            }
            19 if column.kind != "text" => {
                let set = |what: &str| alter(format!("ALTER COLUMN {} {what}", column.name));
                let next = set(&format!("SET DEFAULT nextval('s{number}')"));
                let make = format!("CREATE SEQUENCE s{number};\n{next}");
                let back = set(&column.set_default());
                self.thing(make, format!("{back}\nDROP SEQUENCE s{number};"), on)
            }
            20 if column.kind != "text" => {
                let set = |what: &str| alter(format!("ALTER COLUMN {} {what}", column.name));
                let (up, down) =
                    (set(&format!("SET DEFAULT {number}")), set(&column.set_default()));
                let wrong = Some(set("SET DEFAULT 7"));
                self.column(&table, &column.name)?.default = Some(number.to_string());
                Some(Change { up, down, wrong })
            }
            21 if column.kind == "integer" && !self.has_things(&table) => {
                let to = |kind: &str| alter(format!("ALTER COLUMN {} TYPE {kind}", column.name));
                self.column(&table, &column.name)?.kind = "bigint".to_owned();
                let text = to(&format!("text USING {}::text", column.name));
                Some(Change { up: to("bigint"), down: to("integer"), wrong: Some(text) })
            }
            22 => {
                let policy = format!("p{number}");
                let make = format!(
                    "ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;\nCREATE POLICY {policy} ON {table} USING (id > {number});"
                );
                let unmake = format!(
                    "DROP POLICY {policy} ON {table};\nALTER TABLE {table} DISABLE ROW LEVEL SECURITY;"
                );
                self.thing(make, unmake, on)
            }
            23 => {
                let computed = format!("n{number}");
                let up = alter(format!(
                    "ADD COLUMN {computed} integer GENERATED ALWAYS AS (id * 2) STORED"
                ));
                self.thing(
                    up,
                    alter(format!("DROP COLUMN {computed}")),
                    vec![(table.clone(), "id".to_owned())],
                )
            }
            24 => {
                let make = format!(
                    "CREATE FUNCTION f{number}(n integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT n + {number}';"
                );
                self.thing(make, format!("DROP FUNCTION f{number}(integer);"), Vec::new())
            }
            25 => {
                let make = format!(
                    "CREATE SCHEMA x{number};\nCREATE TABLE x{number}.t{number} (id integer PRIMARY KEY, c text);"
                );
                self.thing(
                    make,
                    format!("DROP TABLE x{number}.t{number};\nDROP SCHEMA x{number};"),
                    Vec::new(),
                )
            }
            _ => None,
        }
    }

    fn change_on_mysql(&mut self, kind: usize, random: &mut Random) -> Option<Change> {
        let number = self.number();
        let (table, column) = self.any(random)?;
        let on = vec![(table.clone(), column.name.clone())];
        let alter = |what: String| format!("ALTER TABLE {table} {what};");
        match kind {
            14 | 15 => {
                let what = match random.below(3) {
                    0 => format!("CHECK ({} IS NULL OR id > -{number})", column.name),
                    1 => format!("UNIQUE ({}, id)", column.name),
                    _ => format!("UNIQUE (id, {})", column.name),
                };
                let make = alter(format!("ADD CONSTRAINT k{number} {what}"));
                self.thing(make, alter(format!("DROP CONSTRAINT k{number}")), on)
            }
            16 => {
                let other = random.choose(&self.tables)?.name.clone();
                let refers = format!("r{number}");
                let key =
                    format!("CONSTRAINT k{number} FOREIGN KEY ({refers}) REFERENCES {other} (id)");
                let up = alter(format!("ADD COLUMN {refers} integer, ADD {key}"));
                let down = alter(format!("DROP FOREIGN KEY k{number}, DROP COLUMN {refers}"));
                let on = vec![(table.clone(), refers), (other, "id".to_owned())];
                self.thing(up, down, on)
            }
            17 => {
                let make = format!(
                    "CREATE TRIGGER g{number} BEFORE UPDATE ON {table} FOR EACH ROW SET @g{number} = 1;"
                );
                self.thing(make, format!("DROP TRIGGER g{number};"), on)
            }
            18 => {
                let make = alter(format!("ADD COLUMN e{number} enum('one', 'two') DEFAULT 'one'"));
                let unmake = alter(format!("DROP COLUMN e{number}"));
                self.thing(make, unmake, vec![(table.clone(), format!("e{number}"))])
            }
            19 if column.kind != "varchar(80)" => {
                let other = Column { default: Some(number.to_string()), ..column.clone() };
                let to = |it: &Column| alter(format!("MODIFY COLUMN {}", it.declared()));
                *self.column(&table, &column.name)? = other.clone();
                let wrong = Column { default: Some("7".to_owned()), ..column.clone() };
                Some(Change { up: to(&other), down: to(&column), wrong: Some(to(&wrong)) })
            }
            20 if column.kind == "integer" && !self.has_things(&table) => {
                let of = |kind: &str| Column { kind: kind.to_owned(), ..column.clone() };
                let to = |it: &Column| alter(format!("MODIFY COLUMN {}", it.declared()));
                *self.column(&table, &column.name)? = of("bigint");
                let wrong = Some(to(&of("varchar(80)")));
                Some(Change { up: to(&of("bigint")), down: to(&column), wrong })
            }
            21 => {
                let how = if random.once_in(2) { "STORED" } else { "VIRTUAL" };
                let computed = format!("n{number}");
                let what =
                    format!("ADD COLUMN {computed} integer GENERATED ALWAYS AS (id * 2) {how}");
                let on = vec![(table.clone(), "id".to_owned())];
                self.thing(alter(what), alter(format!("DROP COLUMN {computed}")), on)
            }
            _ => None,
        }
    }

    fn column(&mut self, table: &str, name: &str) -> Option<&mut Column> {
        let table = self.tables.iter_mut().find(|it| it.name == table)?;
        table.columns.iter_mut().find(|it| it.name == name)
    }

    /// A change, and the statements that a down half has for it.
    fn change_and_back(&mut self, first: bool, random: &mut Random) -> (String, String) {
        let most = match self.dialect {
            Dialect::Postgres => 26,
            Dialect::MySql => 22,
            Dialect::Sqlite => 15,
        };
        let change = loop {
            if let Some(change) = self.change(random.below(most), random) {
                break change;
            }
        };
        let down = match random.below(12) {
            _ if first => change.down,
            0 | 1 => String::new(),
            2 => change.wrong.unwrap_or_default(),
            3 => match self.any(random) {
                Some((table, _)) if random.once_in(3) => {
                    format!("{}\nDROP TABLE {table};", change.down)
                }
                Some((table, column)) => {
                    format!("{}\nALTER TABLE {table} DROP COLUMN {};", change.down, column.name)
                }
                None => change.down,
            },
            _ => change.down,
        };
        let down = match random.below(4) {
            0 => down.replace("DROP TABLE ", "DROP TABLE IF EXISTS "),
            1 if self.is_postgres() => cascading(&down),
            _ => down,
        };
        let up = match random.below(8) {
            0 => change.up.replace("CREATE TABLE ", "CREATE TABLE IF NOT EXISTS "),
            1 if self.is_postgres() => {
                change.up.replace("ADD COLUMN ", "ADD COLUMN IF NOT EXISTS ")
            }
            _ => change.up,
        };
        (up, down)
    }
}

/// The same, taking along what depends on what is dropped.
fn cascading(down: &str) -> String {
    let lines = down.lines().map(|line| match line.strip_suffix(';') {
        Some(drop) if drop.contains("DROP ") && !drop.contains("CREATE ") => {
            format!("{drop} CASCADE;")
        }
        _ => line.to_owned(),
    });
    lines
        .map(|it| it.replace("DROP DEFAULT CASCADE", "DROP DEFAULT"))
        .collect::<Vec<_>>()
        .join("\n")
}

impl Column {
    fn declared(&self) -> String {
        let default = self.default.as_ref().map(|it| format!(" DEFAULT {it}"));
        let needed = if self.needed { " NOT NULL" } else { "" };
        format!("{} {}{}{needed}", self.name, self.kind, default.unwrap_or_default())
    }

    fn set_default(&self) -> String {
        match &self.default {
            Some(default) => format!("SET DEFAULT {default}"),
            None => "DROP DEFAULT".to_owned(),
        }
    }
}

impl Table {
    fn create(&self) -> String {
        let columns = self.columns.iter().map(|it| format!(", {}", it.declared()));
        format!(
            "CREATE TABLE {} (id integer PRIMARY KEY{});",
            self.name,
            columns.collect::<String>()
        )
    }
}

/// Writes an application's releases into folders.
pub fn write(folder: &Path, dialect: Dialect, random: &mut Random) {
    let mut model = Model { dialect, tables: Vec::new(), things: Vec::new(), made: 0 };
    let mut files: Vec<(String, String)> = Vec::new();
    for number in 1..=RELEASES {
        let (mut up, mut down) = (String::new(), Vec::new());
        if number == 1 && dialect == Dialect::Postgres {
            up.push_str("CREATE SCHEMA IF NOT EXISTS aside;\n");
        }
        if number == 1 {
            let change = model.create(random);
            up.push_str(&format!("{}\n", change.up));
            down.push(change.down);
        }
        for _ in 0..=random.below(3) {
            let (forth, back) = model.change_and_back(number == 1, random);
            up.push_str(&format!("{forth}\n"));
            down.push(back);
        }
        down.reverse();
        if number > 1 && random.once_in(8) {
            down.clear();
        }
        files.push((format!("{number}_m.up.sql"), up));
        files.push((format!("{number}_m.down.sql"), format!("-- back\n{}", down.join("\n"))));
        let release = folder.join(format!("1.{number}.0/m"));
        fs::create_dir_all(&release).expect("a folder");
        for (file, text) in &files {
            fs::write(release.join(file), text).expect("a file");
        }
    }
}
