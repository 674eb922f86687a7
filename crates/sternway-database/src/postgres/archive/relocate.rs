//! Relocating a whole table into the archive's schema: a change of the catalogs alone, whatever the table's size.
//!
//! An empty table of the same shape takes its place, for the body to drop: with the indexes,
//! constraints, triggers, rules and policies that the body may name, and with the foreign keys of other
//! tables. The table itself loses all of these, so that nothing binds it to what is still there; only
//! plain indexes go along under other names, because to drop those takes the longer the larger they
//! are. Where the body then does not do what it did to the table itself, the caller copies the rows instead.

use serde::Deserialize;

use crate::port::DatabaseError;
use crate::postgres::Postgres;
use crate::postgres::effects::{FIRST_OID, Relation, json};

const DOING: &str = "relocate a table";

/// All that belongs to a table and has a name.
#[derive(Debug, Deserialize)]
struct Belongings {
    owner: String,
    /// Whether it is a table like any other: no part or heir of one, nobody's heir, and stored as the
    /// server stores tables.
    alone: bool,
    constraints: Vec<Constraint>,
    /// Foreign keys of other tables: table, name, definition.
    references: Vec<(String, String, String)>,
    /// Indexes that no constraint has: name, definition, and whether it is plain.
    indexes: Vec<(String, String, bool)>,
    triggers: Vec<(String, String, char)>,
    rules: Vec<(String, String)>,
    policies: Vec<Policy>,
    statistics: Vec<(String, String)>,
    /// Those that it was given to by name.
    publications: Vec<String>,
    /// Its own sequences that are not of an identity: sequence, column.
    sequences: Vec<(String, String)>,
    defaults: Vec<String>,
    identities: Vec<String>,
    generated: Vec<String>,
    secured: bool,
    forced: bool,
}

#[derive(Debug, Deserialize)]
struct Constraint {
    name: String,
    kind: char,
    definition: String,
    /// Whether it is one of a plain index.
    plain: bool,
}

#[derive(Debug, Deserialize)]
struct Policy {
    name: String,
    permissive: bool,
    command: String,
    roles: String,
    using: Option<String>,
    check: Option<String>,
}

async fn belongings(
    postgres: &mut Postgres,
    relation: &Relation,
) -> Result<Belongings, DatabaseError> {
    let columns = |filter: &str| {
        format!(
            "coalesce((SELECT pg_catalog.json_agg(attname) FROM pg_catalog.pg_attribute
                WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND {filter}), '[]')"
        )
    };
    // Of columns alone, with nothing that does not come with the server.
    let plain = |index: &str| {
        format!(
            "coalesce((SELECT x.indexprs IS NULL AND x.indpred IS NULL FROM pg_catalog.pg_index x
                        WHERE x.indexrelid = {index}), false)
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute a
                              WHERE a.attrelid = {index} AND a.atttypid >= {FIRST_OID})
             AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d
                              WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.objid = {index}
                                AND d.refclassid <> 'pg_catalog.pg_constraint'::regclass
                                AND (d.refclassid, d.refobjid) <> ('pg_catalog.pg_class'::regclass, c.oid))"
        )
    };
    let sql = format!(
        "SELECT pg_catalog.json_build_object(
            'owner', pg_catalog.pg_get_userbyid(c.relowner),
            'alone', c.relkind = 'r' AND c.relpersistence = 'p' AND c.reloftype = 0 AND c.relam < {FIRST_OID}
                AND NOT EXISTS (SELECT FROM pg_catalog.pg_inherits WHERE c.oid IN (inhrelid, inhparent))
                AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend WHERE classid = 'pg_catalog.pg_class'::regclass
                                AND objid = c.oid AND deptype = 'e'),
            'constraints', coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
                    'name', conname, 'kind', contype, 'definition', pg_catalog.pg_get_constraintdef(k.oid),
                    'plain', contype IN ('p', 'u') AND {of_constraint}) ORDER BY contype = 'f', k.oid)
                FROM pg_catalog.pg_constraint k WHERE conrelid = c.oid AND conparentid = 0
                 AND contype IN ('c', 'p', 'u', 'x', 'f')), '[]'),
            'references', coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
                    conrelid::regclass::text, conname, pg_catalog.pg_get_constraintdef(k.oid)))
                FROM pg_catalog.pg_constraint k
                WHERE confrelid = c.oid AND contype = 'f' AND conrelid <> c.oid AND conparentid = 0), '[]'),
            'indexes', coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
                    indexrelid::regclass::text, pg_catalog.pg_get_indexdef(indexrelid), {of_index}))
                FROM pg_catalog.pg_index i WHERE indrelid = c.oid
                 AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint k
                                 WHERE k.conindid = i.indexrelid AND k.conrelid = c.oid)), '[]'),
            'triggers', coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
                    tgname, pg_catalog.pg_get_triggerdef(t.oid), tgenabled))
                FROM pg_catalog.pg_trigger t WHERE tgrelid = c.oid AND NOT tgisinternal), '[]'),
            'rules', coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
                    rulename, pg_catalog.pg_get_ruledef(r.oid)))
                FROM pg_catalog.pg_rewrite r WHERE ev_class = c.oid), '[]'),
            'policies', coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
                    'name', polname, 'permissive', polpermissive,
                    'command', CASE polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE'
                               WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
                    'roles', (SELECT pg_catalog.string_agg(CASE WHEN role = 0 THEN 'PUBLIC' ELSE role::regrole::text END, ', ')
                              FROM pg_catalog.unnest(polroles) AS role),
                    'using', pg_catalog.pg_get_expr(polqual, polrelid),
                    'check', pg_catalog.pg_get_expr(polwithcheck, polrelid)))
                FROM pg_catalog.pg_policy WHERE polrelid = c.oid), '[]'),
            'statistics', coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_array(
                    pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(stxname),
                    pg_catalog.pg_get_statisticsobjdef(s.oid)))
                FROM pg_catalog.pg_statistic_ext s JOIN pg_catalog.pg_namespace n ON n.oid = stxnamespace
                WHERE stxrelid = c.oid), '[]'),
            'publications', coalesce((SELECT pg_catalog.json_agg(pg_catalog.quote_ident(pubname))
                FROM pg_catalog.pg_publication_rel r JOIN pg_catalog.pg_publication b ON b.oid = r.prpubid
                WHERE r.prrelid = c.oid), '[]'),
            'sequences', coalesce((SELECT pg_catalog.json_agg(pg_catalog.json_build_array(d.objid::regclass::text, a.attname))
                FROM pg_catalog.pg_depend d
                JOIN pg_catalog.pg_class s ON s.oid = d.objid AND s.relkind = 'S'
                JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refobjid = c.oid
                  AND d.refclassid = 'pg_catalog.pg_class'::regclass AND d.deptype = 'a'), '[]'),
            'defaults', {defaults}, 'identities', {identities}, 'generated', {generated},
            'secured', c.relrowsecurity, 'forced', c.relforcerowsecurity)::text
         FROM pg_catalog.pg_class c WHERE c.oid = {oid}::oid",
        defaults = columns("atthasdef AND attgenerated = ''"),
        identities = columns("attidentity <> ''"),
        generated = columns("attgenerated <> ''"),
        of_constraint = plain("k.conindid"),
        of_index = plain("i.indexrelid"),
        oid = relation.oid,
    );
    json(postgres, DOING, sql).await
}

/// Whether a table can be moved at all. What others do to a composite type or a domain they would do to
/// its rows, or could not do because of them: such values are copied as text. Whether that is faithful shows when the body has run.
pub(in crate::postgres) fn is_movable(relation: &Relation) -> bool {
    let shaped = relation.columns.iter().any(|it| it.shaped);
    relation.kind == 'r' && relation.parent.is_none() && !shaped
}

/// The statements that relocate tables: those of each stage run for all tables before the next
/// stage begins, so that tables that refer to one another find each other's stand-ins.
#[derive(Debug, Default)]
pub(in crate::postgres) struct Relocation {
    /// Give the table another name, and make its stand-in.
    stand_in: String,
    /// Take the foreign keys from it, and those of others that refer to it.
    unbind: String,
    /// Take everything else that has a name from it.
    strip: String,
    /// Give that to the stand-in.
    dress: String,
    /// Give the stand-in its foreign keys, and others theirs to it.
    refer: String,
    /// Move the table.
    away: String,
}

impl Relocation {
    /// Adds the table that is to be `sternway.NAME`; false where it is not like any other table.
    pub async fn add(
        &mut self,
        postgres: &mut Postgres,
        relation: &Relation,
        name: &str,
        others: &[String],
    ) -> Result<bool, DatabaseError> {
        let of = belongings(postgres, relation).await?;
        if !of.alone {
            return Ok(false);
        }
        let q = Postgres::quote;
        let (table, schema) = (relation.sql(), q(&relation.schema));
        let kept = format!("{schema}.{name}");
        for (sequence, _) in &of.sequences {
            self.stand_in.push_str(&format!("ALTER SEQUENCE {sequence} OWNED BY NONE;\n"));
        }
        self.stand_in.push_str(&format!(
            "ALTER TABLE {table} RENAME TO {name};
             CREATE TABLE {table} (LIKE {kept} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING IDENTITY INCLUDING GENERATED);
             ALTER TABLE {table} OWNER TO {};\n",
            q(&of.owner)
        ));
        for (sequence, column) in &of.sequences {
            self.stand_in
                .push_str(&format!("ALTER SEQUENCE {sequence} OWNED BY {table}.{};\n", q(column)));
        }
        self.strip(&of, &kept, name);
        self.dress(&of, &table);
        // A table that is moved as well refers to this one in its own name.
        let references = of.references.iter().filter(|(from, ..)| !others.contains(from));
        for (from, constraint, definition) in references {
            let constraint = q(constraint);
            self.unbind.push_str(&format!("ALTER TABLE {from} DROP CONSTRAINT {constraint};\n"));
            let unproven = if definition.ends_with("NOT VALID") { "" } else { " NOT VALID" };
            self.refer.push_str(&format!(
                "ALTER TABLE {from} ADD CONSTRAINT {constraint} {definition}{unproven};\n"
            ));
        }
        self.away.push_str(&format!(
            "ALTER TABLE {kept} REPLICA IDENTITY FULL; ALTER TABLE {kept} SET SCHEMA sternway;\n"
        ));
        Ok(true)
    }

    fn strip(&mut self, of: &Belongings, kept: &str, new: &str) {
        let q = Postgres::quote;
        let (foreign, others): (Vec<&Constraint>, Vec<&Constraint>) =
            of.constraints.iter().partition(|it| it.kind == 'f');
        for Constraint { name, .. } in foreign {
            self.unbind.push_str(&format!("ALTER TABLE {kept} DROP CONSTRAINT {};\n", q(name)));
        }
        let mut strip = |sql: String| self.strip.push_str(&format!("{sql};\n"));
        for (name, _) in &of.statistics {
            strip(format!("DROP STATISTICS {name}"));
        }
        for name in &of.publications {
            strip(format!("ALTER PUBLICATION {name} DROP TABLE {kept}"));
        }
        for (name, _) in &of.rules {
            strip(format!("DROP RULE {} ON {kept}", q(name)));
        }
        for (name, ..) in &of.triggers {
            strip(format!("DROP TRIGGER {} ON {kept}", q(name)));
        }
        for policy in &of.policies {
            strip(format!("DROP POLICY {} ON {kept}", q(&policy.name)));
        }
        if of.secured || of.forced {
            strip(format!(
                "ALTER TABLE {kept} DISABLE ROW LEVEL SECURITY, NO FORCE ROW LEVEL SECURITY"
            ));
        }
        for (number, Constraint { name, plain, .. }) in others.into_iter().enumerate() {
            let name = q(name);
            strip(match plain {
                true => {
                    format!("ALTER TABLE {kept} RENAME CONSTRAINT {name} TO {new}_key_{number}")
                }
                false => format!("ALTER TABLE {kept} DROP CONSTRAINT {name}"),
            });
        }
        for (number, (name, _, plain)) in of.indexes.iter().enumerate() {
            strip(match plain {
                true => format!("ALTER INDEX {name} RENAME TO {new}_index_{number}"),
                false => format!("DROP INDEX {name}"),
            });
        }
        for column in &of.identities {
            strip(format!("ALTER TABLE {kept} ALTER COLUMN {} DROP IDENTITY", q(column)));
        }
        for column in &of.generated {
            strip(format!("ALTER TABLE {kept} ALTER COLUMN {} DROP EXPRESSION", q(column)));
        }
        for column in &of.defaults {
            strip(format!("ALTER TABLE {kept} ALTER COLUMN {} DROP DEFAULT", q(column)));
        }
    }

    fn dress(&mut self, of: &Belongings, table: &str) {
        let q = Postgres::quote;
        for Constraint { name, kind, definition, .. } in &of.constraints {
            let sql = format!("ALTER TABLE {table} ADD CONSTRAINT {} {definition};\n", q(name));
            match kind {
                // The stand-in was made with its checks.
                'c' => {}
                'f' => self.refer.push_str(&sql),
                _ => self.dress.push_str(&sql),
            }
        }
        for (_, definition, _) in &of.indexes {
            self.dress.push_str(&format!("{definition};\n"));
        }
        for (name, definition, enabled) in &of.triggers {
            self.refer.push_str(&format!("{definition};\n"));
            if *enabled == 'D' {
                self.refer.push_str(&format!("ALTER TABLE {table} DISABLE TRIGGER {};\n", q(name)));
            }
        }
        for (_, definition) in &of.rules {
            self.refer.push_str(&format!("{definition}\n;"));
        }
        for policy in &of.policies {
            let Policy { name, permissive, command, roles, using, check } = policy;
            let kind = if *permissive { "PERMISSIVE" } else { "RESTRICTIVE" };
            let using = using.as_ref().map_or(String::new(), |it| format!(" USING ({it})"));
            let check = check.as_ref().map_or(String::new(), |it| format!(" WITH CHECK ({it})"));
            self.refer.push_str(&format!(
                "CREATE POLICY {} ON {table} AS {kind} FOR {command} TO {roles}{using}{check};\n",
                q(name)
            ));
        }
        if of.secured {
            self.refer.push_str(&format!("ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;\n"));
        }
        if of.forced {
            self.refer.push_str(&format!("ALTER TABLE {table} FORCE ROW LEVEL SECURITY;\n"));
        }
        for (_, definition) in &of.statistics {
            self.refer.push_str(&format!("{definition};\n"));
        }
    }

    /// Moves all tables that were added, in one message.
    pub async fn run(self, postgres: &mut Postgres) -> Result<(), DatabaseError> {
        let Relocation { stand_in, unbind, strip, dress, refer, away } = self;
        postgres.run(DOING, format!("{stand_in}{unbind}{strip}{dress}{refer}{away}")).await
    }
}
