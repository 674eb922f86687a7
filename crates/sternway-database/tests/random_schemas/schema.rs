//! A schema that nobody would write, made from a seed.

use std::collections::BTreeSet;

use sternway_testing::{Random, quote};

/// Names that need care.
const NAMES: [&str; 10] = [
    "orders",
    "Order Lines",
    "select",
    "user",
    "we\"ird",
    "Łódź",
    "done",
    "a_name_of_exactly_sixty_three_bytes_which_is_what_is_allowed_xx",
    "kept_1",
    "x y",
];

/// Types of columns, and a value that a default or a backfill may have.
const TYPES: [(&str, &str); 16] = [
    ("integer", "7"),
    ("bigint", "8"),
    ("text", "'the default'"),
    ("text", "''"),
    ("varchar(20)", "'short'"),
    ("uuid", "'00000000-0000-0000-0000-000000000001'"),
    ("numeric(8,2)", "1.50"),
    ("numeric", "'NaN'"),
    ("boolean", "true"),
    ("timestamptz", "'2024-02-29 12:00:00+00'"),
    ("jsonb", "'{\"a\": 1}'"),
    ("json", "'{\"b\":  1}'"),
    ("bytea", "'\\x00ff'"),
    ("double precision", "'-0'"),
    ("integer[]", "'{1,NULL}'"),
    ("interval", "'1 day'"),
];

#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub kind: String,
    /// A value of the type, as SQL has it.
    pub sample: String,
    pub not_null: bool,
    pub default: bool,
    /// `GENERATED ALWAYS AS (…) STORED`, identity and the like.
    pub more: String,
    pub check: Option<String>,
}

#[derive(Debug, Clone)]
pub struct Foreign {
    pub name: String,
    pub columns: Vec<usize>,
    pub parent: usize,
    pub rest: String,
}

#[derive(Debug, Clone)]
pub struct Table {
    pub name: String,
    pub columns: Vec<Column>,
    pub key: Vec<usize>,
    pub uniques: Vec<(String, Vec<usize>)>,
    pub foreign: Vec<Foreign>,
    /// The table whose columns it inherits, in front of its own.
    pub inherits: Option<usize>,
    /// The bounds of its partitions by their names.
    pub partitions: Vec<(String, String)>,
    pub partitioned_by: Option<String>,
    /// Indexes, triggers and policies.
    pub extras: Vec<String>,
}

#[derive(Debug, Clone, Default)]
pub struct Schema {
    pub types: Vec<(String, String)>,
    pub sequences: Vec<String>,
    pub tables: Vec<Table>,
}

impl Column {
    pub fn definition(&self) -> String {
        let mut text = format!("{} {}", quote(&self.name), self.kind);
        if self.default {
            text.push_str(&format!(" DEFAULT {}", self.sample));
        }
        if self.not_null {
            text.push_str(" NOT NULL");
        }
        if !self.more.is_empty() {
            text.push_str(&format!(" {}", self.more));
        }
        if let Some(check) = &self.check {
            text.push_str(&format!(" CHECK ({check})"));
        }
        text
    }

    pub fn is_generated(&self) -> bool {
        self.more.contains("STORED")
    }
}

impl Table {
    pub fn sql(&self) -> String {
        quote(&self.name)
    }

    pub fn names(&self, columns: &[usize]) -> String {
        let names = columns.iter().map(|at| quote(&self.columns[*at].name));
        names.collect::<Vec<_>>().join(", ")
    }

    /// Whether a key, a unique constraint, a foreign key or a generated column rests on the column.
    pub fn is_bound(&self, at: usize) -> bool {
        let name = quote(&self.columns[at].name);
        self.key.contains(&at)
            || self.uniques.iter().any(|(_, it)| it.contains(&at))
            || self.foreign.iter().any(|it| it.columns.contains(&at))
            || self.columns.iter().any(|it| it.is_generated() && it.more.contains(&name))
            || self.partitioned_by.as_ref().is_some_and(|by| by.contains(&name))
    }
}

impl Schema {
    /// A schema of one to five tables.
    pub fn random(random: &mut Random) -> Schema {
        let mut schema = Schema::default();
        if random.once_in(2) {
            let labels = "ENUM ('calm', 'it''s rough', 'Ω')".to_owned();
            schema.types.push(("mood of it".to_owned(), labels));
        }
        if random.once_in(4) {
            schema.sequences.push("a sequence".to_owned());
        }
        for number in 0..=random.below(5) {
            let table = schema.table(random, number);
            schema.tables.push(table);
        }
        for at in 0..schema.tables.len() {
            for number in 0..random.below(3) {
                schema.foreign(random, at, number);
            }
        }
        schema
    }

    fn table(&self, random: &mut Random, of: usize) -> Table {
        let name: String = random.pick(&NAMES).to_string();
        let name = match self.tables.iter().any(|it| it.name == name) {
            true => format!("t{of}"),
            false => name,
        };
        let mut table = Table {
            name,
            columns: Vec::new(),
            key: Vec::new(),
            uniques: Vec::new(),
            foreign: Vec::new(),
            inherits: None,
            partitions: Vec::new(),
            partitioned_by: None,
            extras: Vec::new(),
        };
        let heirs = |it: usize| {
            self.tables[it].inherits.is_none() && self.tables[it].partitioned_by.is_none()
        };
        if let (true, Some(parent)) = (
            random.once_in(8),
            random.choose(&(0..self.tables.len()).filter(|it| heirs(*it)).collect::<Vec<_>>()),
        ) {
            table.inherits = Some(*parent);
            let inherited = self.tables[*parent].columns.iter().cloned();
            table.columns.extend(inherited.map(|it| Column { check: None, ..it }));
            // The heir has its parent's identity columns without what makes them one.
            table.columns.retain(|it| !it.is_generated());
            if self.tables[*parent]
                .columns
                .iter()
                .any(|it| it.more.contains("IDENTITY") || it.is_generated())
            {
                table.inherits = None;
                table.columns.clear();
            }
        } else if random.once_in(8) {
            self.partitioned(random, &mut table);
        }
        if table.columns.is_empty() || table.inherits.is_some() {
            self.key(random, &mut table);
        }
        for at in 0..1 + random.below(4) {
            // An heir must not have its parent's names.
            let column = self.column(random, of * 10 + at);
            table.columns.push(column);
        }
        if random.once_in(5) && table.partitioned_by.is_none() {
            let texts = (0..table.columns.len()).find(|at| table.columns[*at].kind == "text");
            if let Some(at) = texts {
                let name = quote(&table.columns[at].name);
                table.columns.push(Column {
                    name: "made of it".to_owned(),
                    kind: "integer".to_owned(),
                    sample: "1".to_owned(),
                    not_null: false,
                    default: false,
                    more: format!("GENERATED ALWAYS AS (length({name})) STORED"),
                    check: None,
                });
            }
        }
        if random.once_in(2) {
            let free = (0..table.columns.len()).filter(|at| {
                let it = &table.columns[*at];
                !it.kind.starts_with("json") && !table.key.contains(at) && it.kind != "boolean"
            });
            let free: Vec<usize> = free.collect();
            if let (Some(at), None) = (random.choose(&free), &table.partitioned_by) {
                table.uniques.push((format!("unique {} {of}", table.columns[*at].name), vec![*at]));
            }
        }
        self.extras(random, &mut table);
        table
    }

    fn partitioned(&self, random: &mut Random, table: &mut Table) {
        let column = |name: &str, kind: &str, sample: &str| Column {
            name: name.to_owned(),
            kind: kind.to_owned(),
            sample: sample.to_owned(),
            not_null: true,
            default: false,
            more: String::new(),
            check: None,
        };
        table.columns.push(column("id", "integer", "1"));
        table.columns.push(column("region", "text", "'north'"));
        table.partitioned_by = Some("LIST (\"region\")".to_owned());
        for (number, values) in ["'north', 'it''s'", "'south'"].iter().enumerate() {
            let part: String = table.name.chars().take(20).collect();
            table
                .partitions
                .push((format!("{part} part {number}"), format!("FOR VALUES IN ({values})")));
        }
        if random.once_in(2) {
            table.key = vec![0, 1];
        }
    }

    fn key(&self, random: &mut Random, table: &mut Table) {
        let kinds: [(&str, &str); 8] = [
            ("integer", ""),
            ("bigint", ""),
            ("text", ""),
            ("uuid", ""),
            ("bigserial", ""),
            ("bigint", "GENERATED ALWAYS AS IDENTITY"),
            ("integer", "GENERATED BY DEFAULT AS IDENTITY"),
            ("none", ""),
        ];
        let (kind, more) = *random.pick(&kinds);
        let many =
            if kind == "none" { 0 } else { 1 + usize::from(more.is_empty() && random.once_in(4)) };
        for number in 0..many {
            let (kind, more) = if number == 0 { (kind, more) } else { ("text", "") };
            let name = if number == 0 { "id" } else { "Id \"2\"" };
            let name = if table.columns.iter().any(|it| it.name == name) { "own id" } else { name };
            if table.columns.iter().any(|it| it.name == name) {
                continue;
            }
            table.key.push(table.columns.len());
            table.columns.push(Column {
                name: name.to_owned(),
                kind: kind.to_owned(),
                sample: String::new(),
                not_null: true,
                default: false,
                more: more.to_owned(),
                check: None,
            });
        }
    }

    fn column(&self, random: &mut Random, at: usize) -> Column {
        let (kind, sample) = *random.pick(&TYPES);
        let names = ["a", "select", "Big Name", "d\"q", "naïve", "ctid_", "order", "old"];
        let name = format!("{}{at}", random.pick(&names));
        let mut column = Column {
            name,
            kind: kind.to_owned(),
            sample: sample.to_owned(),
            not_null: random.once_in(3),
            default: random.once_in(3),
            more: String::new(),
            check: None,
        };
        if let (Some((name, _)), true) = (self.types.first(), random.once_in(4)) {
            column.kind = quote(name);
            column.sample = "'calm'".to_owned();
        } else if let (Some(name), true) = (self.sequences.first(), random.once_in(3)) {
            column.kind = "bigint".to_owned();
            column.sample = format!("nextval({})", sternway_testing::literal(&quote(name)));
            column.default = true;
        } else if random.once_in(6) {
            let name = quote(&column.name);
            match kind {
                "integer" => column.check = Some(format!("{name} BETWEEN 0 AND 900")),
                "text" if column.sample != "''" => {
                    column.check = Some(format!("{name} IN ('the default', 'b', 'it''s')"));
                }
                _ => {}
            }
        }
        column
    }

    fn extras(&self, random: &mut Random, table: &mut Table) {
        let name = table.sql();
        if random.once_in(6) && table.columns[0].kind != "json" {
            table.extras.push(format!("CREATE INDEX ON {name} ({})", table.names(&[0])));
        }
        if random.once_in(8) {
            table.extras.push(format!(
                "CREATE TRIGGER \"a trigger\" BEFORE INSERT OR UPDATE ON {name} FOR EACH ROW EXECUTE FUNCTION nothing()"
            ));
        }
        if random.once_in(8) {
            table.extras.push(format!("ALTER TABLE {name} ENABLE ROW LEVEL SECURITY"));
            table.extras.push(format!("CREATE POLICY \"a policy\" ON {name} USING (false)"));
            if random.once_in(2) {
                table.extras.push(format!("ALTER TABLE {name} FORCE ROW LEVEL SECURITY"));
            }
        }
        if random.once_in(10) {
            table.extras.push(format!("COMMENT ON TABLE {name} IS 'a comment'"));
        }
    }

    /// A foreign key to any table with a key, itself too; circles come about.
    fn foreign(&mut self, random: &mut Random, at: usize, number: usize) {
        let with_key: Vec<usize> =
            (0..self.tables.len()).filter(|it| !self.tables[*it].key.is_empty()).collect();
        let Some(parent) = random.choose(&with_key).copied() else { return };
        let child_of_all = self.tables.iter().any(|it| it.inherits == Some(at));
        if self.tables[at].inherits.is_some() || child_of_all {
            return;
        }
        let circle = parent >= at;
        let deferrable = random.once_in(4);
        let not_null = !circle && random.once_in(3);
        let keys: Vec<Column> = self.tables[parent]
            .key
            .iter()
            .map(|it| self.tables[parent].columns[*it].clone())
            .collect();
        let table = &mut self.tables[at];
        let mut columns = Vec::new();
        for (place, key) in keys.iter().enumerate() {
            let kind = if key.kind == "bigserial" { "bigint" } else { &key.kind };
            columns.push(table.columns.len());
            table.columns.push(Column {
                name: format!("to {number} {place}"),
                kind: kind.to_owned(),
                sample: "NULL".to_owned(),
                not_null,
                default: false,
                more: String::new(),
                check: None,
            });
        }
        let on_delete = ["", " ON DELETE CASCADE", " ON DELETE SET NULL", " ON DELETE RESTRICT"];
        let on_delete = match (not_null, deferrable) {
            (true, _) => *random.pick(&on_delete[..2]),
            (_, true) => *random.pick(&on_delete[..3]),
            _ => *random.pick(&on_delete),
        };
        let on_update = if random.once_in(3) { " ON UPDATE CASCADE" } else { "" };
        let deferrable = if deferrable { " DEFERRABLE INITIALLY DEFERRED" } else { "" };
        table.foreign.push(Foreign {
            name: format!("fk {at} {number}"),
            columns,
            parent,
            rest: format!("{on_delete}{on_update}{deferrable}"),
        });
    }

    /// What makes a table, without its foreign keys.
    pub fn create(&self, at: usize) -> Vec<String> {
        let table = &self.tables[at];
        let inherited = table.inherits.map_or(0, |it| self.tables[it].columns.len());
        let mut parts: Vec<String> =
            table.columns.iter().skip(inherited).map(Column::definition).collect();
        if !table.key.is_empty() {
            parts.push(format!("PRIMARY KEY ({})", table.names(&table.key)));
        }
        for (name, columns) in &table.uniques {
            parts.push(format!("CONSTRAINT {} UNIQUE ({})", quote(name), table.names(columns)));
        }
        let mut sql = format!("CREATE TABLE {} ({})", table.sql(), parts.join(", "));
        if let Some(parent) = table.inherits {
            sql.push_str(&format!(" INHERITS ({})", self.tables[parent].sql()));
        }
        if let Some(by) = &table.partitioned_by {
            sql.push_str(&format!(" PARTITION BY {by}"));
        }
        let mut all = vec![sql];
        all.extend((0..table.partitions.len()).map(|part| self.create_part(at, part)));
        all.extend(table.extras.iter().cloned());
        all
    }

    pub fn create_part(&self, at: usize, part: usize) -> String {
        let table = &self.tables[at];
        let (name, bound) = &table.partitions[part];
        format!("CREATE TABLE {} PARTITION OF {} {bound}", quote(name), table.sql())
    }

    pub fn add_foreign(&self, at: usize, foreign: &Foreign) -> String {
        let (table, parent) = (&self.tables[at], &self.tables[foreign.parent]);
        format!(
            "ALTER TABLE {} ADD CONSTRAINT {} FOREIGN KEY ({}) REFERENCES {} ({}){}",
            table.sql(),
            quote(&foreign.name),
            table.names(&foreign.columns),
            parent.sql(),
            parent.names(&parent.key),
            foreign.rest
        )
    }

    /// What makes all of it.
    pub fn all(&self) -> Vec<String> {
        let mut all = vec![
            "CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
                .to_owned(),
        ];
        for (name, definition) in &self.types {
            all.push(format!("CREATE TYPE {} AS {definition}", quote(name)));
        }
        all.extend(self.sequences.iter().map(|it| format!("CREATE SEQUENCE {}", quote(it))));
        for at in 0..self.tables.len() {
            all.extend(self.create(at));
        }
        for (at, table) in self.tables.iter().enumerate() {
            all.extend(table.foreign.iter().map(|it| self.add_foreign(at, it)));
        }
        all
    }

    /// The tables that lead to this one, without itself.
    pub fn children(&self, at: usize) -> BTreeSet<usize> {
        let leads = |it: &usize| self.tables[*it].foreign.iter().any(|fk| fk.parent == at);
        (0..self.tables.len()).filter(|it| *it != at && leads(it)).collect()
    }

    pub fn heirs(&self, at: usize) -> BTreeSet<usize> {
        (0..self.tables.len()).filter(|it| self.tables[*it].inherits == Some(at)).collect()
    }
}
