//! Down bodies that destroy, and the up bodies that make again what they dropped.

use std::collections::{BTreeMap, BTreeSet};

use sternway_testing::{Random, Snapshot, literal, quote};

use super::schema::{Schema, Table};

/// Both halves of a migration.
#[derive(Debug, Clone, Default)]
pub struct Bodies {
    pub down: Vec<String>,
    pub up: Vec<String>,
    /// The rows that the up body inserts.
    pub seeds: Vec<(String, BTreeMap<String, String>)>,
    /// The tables whose rows the down body carries over to another one, where they go on living.
    pub carried: Vec<String>,
    /// The tables that are taken.
    pub tables: BTreeSet<usize>,
    pub kinds: Vec<&'static str>,
}

impl Bodies {
    fn of(kind: &'static str, tables: impl IntoIterator<Item = usize>) -> Bodies {
        Bodies { kinds: vec![kind], tables: tables.into_iter().collect(), ..Bodies::default() }
    }

    /// Both, one after the other; upwards the other way round.
    pub fn and(mut self, other: Bodies) -> Bodies {
        self.down.extend(other.down);
        self.up = other.up.into_iter().chain(self.up).collect();
        self.seeds.extend(other.seeds);
        self.carried.extend(other.carried);
        self.tables.extend(other.tables);
        self.kinds.extend(other.kinds);
        self
    }

    /// The way down and up again.
    pub fn both(&self) -> String {
        Bodies::text(&self.down) + &Bodies::text(&self.up)
    }

    pub fn text(statements: &[String]) -> String {
        statements.iter().map(|it| format!("{it};\n")).collect()
    }
}

/// What a body is made from.
pub struct Maker<'a> {
    pub schema: &'a Schema,
    pub rows: &'a Snapshot,
}

impl Maker<'_> {
    /// One thing that a body does; `None` where the schema has nothing that it could be done to.
    pub fn one(&self, random: &mut Random) -> Option<Bodies> {
        let at = random.below(self.schema.tables.len());
        match random.below(15) {
            0..=2 => self.drop_tables(random, at),
            3..=5 => self.drop_columns(random, at),
            6 => self.drop_key(at),
            7 => self.delete(random, at),
            8 => self.update(random, at),
            9 => self.truncate(random, at),
            10 => self.narrow(random, at),
            11 => self.drop_type_or_sequence(random),
            12 => self.rebuild(random, at),
            13 => self.partition(random, at),
            _ => self.legacy(random, at),
        }
    }

    fn table(&self, at: usize) -> &Table {
        &self.schema.tables[at]
    }

    fn drop_tables(&self, random: &mut Random, at: usize) -> Option<Bodies> {
        let mut all = BTreeSet::from([at]);
        let mut cascade = random.once_in(3);
        let mut loose: BTreeSet<usize> = BTreeSet::new();
        let mut open = vec![at];
        while let Some(it) = open.pop() {
            let children = self.schema.children(it);
            for other in self.schema.heirs(it).into_iter().chain(children.iter().copied()) {
                let heir = self.table(other).inherits == Some(it);
                if !heir && random.once_in(3) && !all.contains(&other) {
                    loose.insert(other);
                    cascade = true;
                } else if all.insert(other) {
                    open.push(other);
                }
            }
        }
        loose.retain(|it| !all.contains(it));
        let mut bodies = Bodies::of("drop table", all.iter().copied());
        bodies.tables.extend(&loose);
        let names: Vec<String> = all.iter().map(|it| self.table(*it).sql()).collect();
        let exists = if random.once_in(2) { "IF EXISTS " } else { "" };
        if cascade && random.once_in(2) {
            let each = names.iter().map(|it| format!("DROP TABLE {exists}{it} CASCADE"));
            bodies.down.extend(each);
            // An heir is gone with its parent.
            if all.iter().any(|it| self.table(*it).inherits.is_some()) && exists.is_empty() {
                return None;
            }
        } else {
            let end = if cascade { " CASCADE" } else { "" };
            bodies.down.push(format!("DROP TABLE {exists}{}{end}", names.join(", ")));
        }
        for (name, definition) in &self.schema.types {
            let users = (0..self.schema.tables.len())
                .filter(|it| self.table(*it).columns.iter().any(|c| c.kind == quote(name)));
            let users: BTreeSet<usize> = users.collect();
            if !users.is_empty() && users.is_subset(&all) && random.once_in(2) {
                bodies.down.push(format!("DROP TYPE {}", quote(name)));
                bodies.up.push(format!("CREATE TYPE {} AS {definition}", quote(name)));
                bodies.kinds.push("drop type");
            }
        }
        for it in &all {
            bodies.up.extend(self.schema.create(*it));
        }
        for (other, table) in self.schema.tables.iter().enumerate() {
            for foreign in &table.foreign {
                if all.contains(&other) {
                    bodies.up.push(self.schema.add_foreign(other, foreign));
                } else if all.contains(&foreign.parent) {
                    let add = self.schema.add_foreign(other, foreign);
                    bodies.up.push(format!("{add} NOT VALID"));
                }
            }
        }
        if random.once_in(3) {
            self.seed(random, at, &mut bodies);
        }
        Some(bodies)
    }

    /// Has the up body insert a row: one with a key of its own, or with that of a row that was there.
    fn seed(&self, random: &mut Random, at: usize, bodies: &mut Bodies) {
        let table = self.table(at);
        let Some(found) = self.rows.tables.get(&table.name) else { return };
        let Some(row) = random.choose(&found.rows) else { return };
        if !table.foreign.is_empty() || !table.uniques.is_empty() || table.key.is_empty() {
            return;
        }
        let key = &table.columns[table.key[0]];
        let counted = key.kind.contains("int") || key.kind.contains("serial");
        let another = counted && random.once_in(2);
        let mut names = Vec::new();
        let mut values = Vec::new();
        let mut seed = BTreeMap::new();
        for (place, column) in found.columns.iter().enumerate() {
            let own = table.columns.iter().find(|it| it.name == column.name);
            let Some(own) = own.filter(|it| it.not_null) else { continue };
            let Some(mut value) = row[place].clone() else { continue };
            let is_key = own.name == key.name;
            if another && is_key {
                value = "987654".to_owned();
            }
            names.push(quote(&own.name));
            values.push(format!("{}::{}", literal(&value), column.words));
            if table.key.iter().any(|it| table.columns[*it].name == own.name) {
                seed.insert(own.name.clone(), value);
            }
        }
        bodies.up.push(format!(
            "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE VALUES ({})",
            table.sql(),
            names.join(", "),
            values.join(", ")
        ));
        bodies.seeds.push((table.name.clone(), seed));
        bodies.kinds.push("seed");
    }

    fn drop_columns(&self, random: &mut Random, at: usize) -> Option<Bodies> {
        let table = self.table(at);
        if table.inherits.is_some() {
            return None;
        }
        let inherited = self.schema.heirs(at);
        let mut chosen: BTreeSet<usize> = BTreeSet::new();
        for _ in 0..=random.below(3) {
            chosen.insert(random.below(table.columns.len()));
        }
        chosen.retain(|it| !table.key.contains(it));
        if table.partitioned_by.is_some() {
            chosen.retain(|it| *it > 1);
        }
        let mut foreign = Vec::new();
        for fk in &table.foreign {
            if fk.columns.iter().any(|it| chosen.contains(it)) {
                chosen.extend(&fk.columns);
                foreign.push(fk);
            }
        }
        let bound_to = |it: &usize| {
            let name = quote(&table.columns[*it].name);
            (0..table.columns.len()).filter(move |other| {
                let other = &table.columns[*other];
                other.is_generated() && other.more.contains(&name)
            })
        };
        let more: Vec<usize> = chosen.iter().flat_map(bound_to).collect();
        let cascade = !more.is_empty();
        chosen.extend(more);
        if chosen.is_empty() {
            return None;
        }
        let mut bodies = Bodies::of("drop column", [at]);
        bodies.tables.extend(&inherited);
        let name = table.sql();
        let renamed = random.once_in(6);
        let was = if renamed { quote(&format!("the former {at}")) } else { name.clone() };
        if renamed {
            bodies.kinds.push("rename");
            bodies.down.push(format!("ALTER TABLE {name} RENAME TO {was}"));
        }
        let end = if cascade { " CASCADE" } else { "" };
        let drops = chosen.iter().filter(|it| !cascade || !table.columns[**it].is_generated());
        let drops = drops.map(|it| format!("DROP COLUMN {}{end}", quote(&table.columns[*it].name)));
        let drops: Vec<String> = drops.collect();
        match random.once_in(2) {
            true => bodies.down.push(format!("ALTER TABLE {was} {}", drops.join(", "))),
            false => bodies.down.extend(drops.iter().map(|it| format!("ALTER TABLE {was} {it}"))),
        }
        for it in &chosen {
            let mut column = table.columns[*it].clone();
            let quoted = quote(&column.name);
            let backfill = column.not_null && !column.default && !column.is_generated();
            if backfill {
                column.not_null = false;
            }
            bodies.up.push(format!("ALTER TABLE {was} ADD COLUMN {}", column.definition()));
            if backfill {
                let sample = &column.sample;
                bodies
                    .up
                    .push(format!("UPDATE {was} SET {quoted} = {sample} WHERE {quoted} IS NULL"));
                bodies.up.push(format!("ALTER TABLE {was} ALTER COLUMN {quoted} SET NOT NULL"));
            }
        }
        if renamed {
            bodies.up.push(format!("ALTER TABLE {was} RENAME TO {name}"));
        }
        bodies.up.extend(foreign.iter().map(|fk| self.schema.add_foreign(at, fk)));
        for (constraint, columns) in &table.uniques {
            if columns.iter().any(|it| chosen.contains(it)) {
                let (constraint, columns) = (quote(constraint), table.names(columns));
                bodies.up.push(format!(
                    "ALTER TABLE {name} ADD CONSTRAINT {constraint} UNIQUE ({columns})"
                ));
            }
        }
        Some(bodies)
    }

    /// Drops a key that the up body counts anew.
    fn drop_key(&self, at: usize) -> Option<Bodies> {
        let table = self.table(at);
        let [key] = table.key[..] else { return None };
        let column = &table.columns[key];
        let counted = column.kind == "bigserial" || column.more.contains("IDENTITY");
        if !counted || table.inherits.is_some() || !self.schema.heirs(at).is_empty() {
            return None;
        }
        let mut bodies = Bodies::of("drop key", [at]);
        let (name, own) = (table.sql(), quote(&column.name));
        bodies.down.push(format!("ALTER TABLE {name} DROP COLUMN {own}"));
        bodies
            .up
            .push(format!("ALTER TABLE {name} ADD COLUMN {} PRIMARY KEY", column.definition()));
        Some(bodies)
    }

    /// Some rows of a table.
    fn condition(&self, random: &mut Random, at: usize) -> String {
        let table = self.table(at);
        let column = &table.columns[random.below(table.columns.len())];
        let name = quote(&column.name);
        let found = self.rows.tables.get(&table.name);
        let value = found.and_then(|found| {
            let place = found.columns.iter().position(|it| it.name == column.name)?;
            random.choose(&found.rows)?[place].clone()
        });
        match (random.below(5), value) {
            (0, Some(value)) => format!("{name}::text = {}", literal(&value)),
            (1, _) => format!("{name} IS NULL"),
            (2, _) => "true".to_owned(),
            _ => format!("hashtext({name}::text) % 2 = 0"),
        }
    }

    fn delete(&self, random: &mut Random, at: usize) -> Option<Bodies> {
        let mut bodies = Bodies::of("delete", [at]);
        bodies.tables.extend(self.schema.children(at));
        bodies.tables.extend(self.schema.heirs(at));
        let (name, condition) = (self.table(at).sql(), self.condition(random, at));
        bodies.down.push(match random.below(4) {
            0 => format!("DO $do$ BEGIN DELETE FROM {name} WHERE {condition}; END $do$"),
            1 => format!("WITH gone AS (DELETE FROM {name} WHERE {condition} RETURNING 1) SELECT count(*) FROM gone"),
            _ => format!("DELETE FROM {name} WHERE {condition}"),
        });
        bodies.up.push("SELECT 1".to_owned());
        Some(bodies)
    }

    fn update(&self, random: &mut Random, at: usize) -> Option<Bodies> {
        let table = self.table(at);
        let free = (0..table.columns.len()).filter(|it| !table.is_bound(*it));
        let free: Vec<usize> = free.filter(|it| !table.columns[*it].is_generated()).collect();
        let column = &table.columns[*random.choose(&free)?];
        let mut bodies = Bodies::of("update", [at]);
        bodies.tables.extend(self.schema.heirs(at));
        let (name, own, sample) = (table.sql(), quote(&column.name), &column.sample);
        let condition = self.condition(random, at);
        let to = if column.not_null || random.once_in(2) { sample } else { "NULL" };
        bodies.down.push(format!("UPDATE {name} SET {own} = {to} WHERE {condition}"));
        bodies.up.push(match random.once_in(3) {
            true => format!("UPDATE {name} SET {own} = {sample} WHERE {own} IS NULL"),
            false => "SELECT 1".to_owned(),
        });
        Some(bodies)
    }

    fn truncate(&self, random: &mut Random, at: usize) -> Option<Bodies> {
        let mut bodies = Bodies::of("truncate", 0..self.schema.tables.len());
        let restart = if random.once_in(3) { " RESTART IDENTITY" } else { "" };
        bodies.down.push(format!("TRUNCATE {}{restart} CASCADE", self.table(at).sql()));
        bodies.up.push("SELECT 1".to_owned());
        Some(bodies)
    }

    fn narrow(&self, random: &mut Random, at: usize) -> Option<Bodies> {
        let table = self.table(at);
        if table.inherits.is_some() {
            return None;
        }
        let ways = |kind: &str| -> Option<(&'static str, &'static str)> {
            Some(match kind {
                "bigint" => ("integer", "(# % 1000)::integer"),
                "text" => ("varchar(3)", "left(#, 3)"),
                "numeric" | "numeric(8,2)" => {
                    ("integer", "CASE WHEN # BETWEEN -1000 AND 1000 THEN #::integer ELSE 0 END")
                }
                "double precision" => {
                    ("integer", "CASE WHEN # BETWEEN -1000 AND 1000 THEN #::integer ELSE 0 END")
                }
                "jsonb" | "json" | "uuid" | "bytea" => ("text", "left(#::text, 3)"),
                "interval" | "timestamptz" => ("text", "#::text"),
                _ => return None,
            })
        };
        let free = (0..table.columns.len())
            .filter(|it| !table.is_bound(*it) && table.columns[*it].check.is_none());
        let free: Vec<usize> = free.filter(|it| ways(&table.columns[*it].kind).is_some()).collect();
        let column = &table.columns[*random.choose(&free)?];
        let (kind, using) = ways(&column.kind)?;
        let mut bodies = Bodies::of("narrow", [at]);
        bodies.tables.extend(self.schema.heirs(at));
        let (name, own) = (table.sql(), quote(&column.name));
        let using = using.replace('#', &own);
        bodies.down.push(format!(
            "ALTER TABLE {name} ALTER COLUMN {own} DROP DEFAULT, ALTER COLUMN {own} TYPE {kind} USING {using}"
        ));
        // What cannot be read is given up: the up body destroys as well.
        let back = match column.kind.as_str() {
            "jsonb" => format!("to_jsonb({own})"),
            "json" => format!("to_json({own})"),
            "uuid" => format!("md5({own})::uuid"),
            "bytea" => format!("convert_to({own}, 'UTF8')"),
            "interval" => "interval '1 day'".to_owned(),
            "timestamptz" => "timestamptz '2024-01-01'".to_owned(),
            kind => format!("{own}::{kind}"),
        };
        let kind = &column.kind;
        bodies.up.push(format!("ALTER TABLE {name} ALTER COLUMN {own} TYPE {kind} USING {back}"));
        if column.default {
            let sample = &column.sample;
            bodies.up.push(format!("ALTER TABLE {name} ALTER COLUMN {own} SET DEFAULT {sample}"));
        }
        Some(bodies)
    }

    fn drop_type_or_sequence(&self, random: &mut Random) -> Option<Bodies> {
        let mut bodies = Bodies::of("drop type", 0..self.schema.tables.len());
        if let (Some((name, definition)), true) = (self.schema.types.first(), random.once_in(2)) {
            bodies.down.push(format!("DROP TYPE {} CASCADE", quote(name)));
            bodies.up.push(format!("CREATE TYPE {} AS {definition}", quote(name)));
            for table in &self.schema.tables {
                let name = quote(name);
                let inherited = table.inherits.map_or(0, |it| self.table(it).columns.len());
                for column in table.columns.iter().skip(inherited).filter(|it| it.kind == name) {
                    let mut column = column.clone();
                    column.default |= column.not_null;
                    bodies.up.push(format!(
                        "ALTER TABLE {} ADD COLUMN {}",
                        table.sql(),
                        column.definition()
                    ));
                }
                for (_, columns) in &table.uniques {
                    if columns.iter().any(|it| table.columns[*it].kind == name) {
                        return None;
                    }
                }
            }
            return Some(bodies);
        }
        let name = self.schema.sequences.first()?;
        bodies.kinds = vec!["drop sequence"];
        bodies.down.push(format!("DROP SEQUENCE {} CASCADE", quote(name)));
        bodies.up.push(format!("CREATE SEQUENCE {}", quote(name)));
        for table in &self.schema.tables {
            for column in
                table.columns.iter().filter(|it| it.sample.starts_with("nextval") && it.default)
            {
                let (own, sample) = (quote(&column.name), &column.sample);
                bodies.up.push(format!(
                    "ALTER TABLE {} ALTER COLUMN {own} SET DEFAULT {sample}",
                    table.sql()
                ));
            }
        }
        Some(bodies)
    }

    /// Builds a table anew without some of its columns, and carries its rows over.
    fn rebuild(&self, random: &mut Random, at: usize) -> Option<Bodies> {
        let table = self.table(at);
        let alone =
            table.foreign.is_empty() && table.inherits.is_none() && table.partitioned_by.is_none();
        let counted = table.columns.iter().any(|it| !it.more.is_empty() || it.kind == "bigserial");
        let followed = !self.schema.children(at).is_empty() || !self.schema.heirs(at).is_empty();
        if !alone || counted || followed || !table.extras.is_empty() {
            return None;
        }
        let droppable = (0..table.columns.len()).filter(|it| !table.is_bound(*it));
        let droppable: Vec<usize> = droppable.collect();
        let gone = *random.choose(&droppable)?;
        let stays: Vec<usize> = (0..table.columns.len()).filter(|it| *it != gone).collect();
        if stays.is_empty() {
            return None;
        }
        let mut bodies = Bodies::of("rebuild", [at]);
        let (name, names) = (table.sql(), table.names(&stays));
        let definitions = stays.iter().map(|it| table.columns[*it].definition());
        let mut parts: Vec<String> = definitions.collect();
        if !table.key.is_empty() {
            parts.push(format!("PRIMARY KEY ({})", table.names(&table.key)));
        }
        bodies.down = vec![
            format!("CREATE TABLE \"it anew\" ({})", parts.join(", ")),
            format!("INSERT INTO \"it anew\" ({names}) SELECT {names} FROM {name}"),
            format!("DROP TABLE {name}"),
            format!("ALTER TABLE \"it anew\" RENAME TO {name}"),
        ];
        let mut column = table.columns[gone].clone();
        column.default |= column.not_null;
        bodies.up.push(format!("ALTER TABLE {name} ADD COLUMN {}", column.definition()));
        for (constraint, columns) in &table.uniques {
            let (constraint, columns) = (quote(constraint), table.names(columns));
            bodies
                .up
                .push(format!("ALTER TABLE {name} ADD CONSTRAINT {constraint} UNIQUE ({columns})"));
        }
        bodies.carried.push(table.name.clone());
        Some(bodies)
    }

    fn partition(&self, random: &mut Random, at: usize) -> Option<Bodies> {
        let table = self.table(at);
        if table.partitions.is_empty() {
            return None;
        }
        let part = random.below(table.partitions.len());
        let mut bodies = Bodies::of("drop partition", [at]);
        bodies.tables.extend(self.schema.children(at));
        let name = quote(&table.partitions[part].0);
        if random.once_in(2) {
            bodies.down.push(format!("ALTER TABLE {} DETACH PARTITION {name}", table.sql()));
        }
        bodies.down.push(format!("DROP TABLE {name}"));
        bodies.up.push(self.schema.create_part(at, part));
        Some(bodies)
    }

    /// The older release has a table that the newer one has not.
    fn legacy(&self, random: &mut Random, at: usize) -> Option<Bodies> {
        let mut bodies = Bodies::of("legacy table", []);
        let key = if random.once_in(2) { "PRIMARY KEY" } else { "" };
        bodies.down.push(format!("CREATE TABLE legacy (id integer {key}, what text)"));
        if random.once_in(2) {
            bodies.down.push("INSERT INTO legacy VALUES (1, 'made on the way down')".to_owned());
        }
        if random.once_in(3) {
            let name = self.table(at).sql();
            bodies.down.push(format!("ALTER TABLE {name} ADD COLUMN legacy text DEFAULT 'x'"));
            bodies.up.push(format!("ALTER TABLE {name} DROP COLUMN legacy"));
            bodies.tables.insert(at);
            bodies.tables.extend(self.schema.heirs(at));
        }
        bodies.up.push("DROP TABLE legacy".to_owned());
        Some(bodies)
    }
}
