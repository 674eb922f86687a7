//! What an object has beside its definition: options, grants, an owner and comments. What is made again has to
//! have them again, those too that a fingerprint leaves out.

use sqlx::Row;
use sternway_model::proof::ObjectName;

use super::{Postgres, failed, introspect, literal};
use crate::port::DatabaseError;

/// Each statement, the role that it needs, and whether the user has to be a member of it; the owner last, who
/// takes the right to grant along.
const STATEMENTS: &str = "
WITH relation AS (
    SELECT c.*, CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
                WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END AS kind
    FROM pg_class c WHERE {kind} IN ('view', 'materialized view', 'sequence', 'table') AND c.oid = to_regclass({name})),
routine AS (
    SELECT p.*, CASE prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END AS kind
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE {kind} IN ('function', 'procedure') AND {name} IN (
        quote_ident(proname) || '(' || pg_get_function_identity_arguments(p.oid) || ')',
        quote_ident(nspname) || '.' || quote_ident(proname) || '(' || pg_get_function_identity_arguments(p.oid) || ')')
      AND (nspname = current_schema() OR {name} ^@ (quote_ident(nspname) || '.'))),
object(class, oid, part, said, granted, acl, owner) AS (
    SELECT 'pg_class'::regclass, oid, 0, kind || ' ' || {name},
           CASE relkind WHEN 'S' THEN 'SEQUENCE ' ELSE '' END || {name}, relacl, relowner FROM relation
    UNION ALL SELECT 'pg_class'::regclass, r.oid, a.attnum, 'COLUMN ' || {name} || '.' || quote_ident(attname), NULL, NULL, NULL
    FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL SELECT 'pg_proc'::regclass, oid, 0, kind || ' ' || {name}, kind || ' ' || {name}, proacl, proowner FROM routine
    UNION ALL SELECT 'pg_constraint'::regclass, oid, 0, 'CONSTRAINT ' || {name} || ' ON ' || {table}, NULL, NULL, NULL
    FROM pg_constraint WHERE {kind} = 'constraint' AND quote_ident(conname) = {name} AND conrelid = to_regclass({table})
    UNION ALL SELECT 'pg_trigger'::regclass, oid, 0, 'TRIGGER ' || {name} || ' ON ' || {table}, NULL, NULL, NULL
    FROM pg_trigger WHERE {kind} = 'trigger' AND quote_ident(tgname) = {name} AND tgrelid = to_regclass({table})
    UNION ALL SELECT 'pg_policy'::regclass, oid, 0, 'POLICY ' || {name} || ' ON ' || {table}, NULL, NULL, NULL
    FROM pg_policy WHERE {kind} = 'policy' AND quote_ident(polname) = {name} AND polrelid = to_regclass({table})
    UNION ALL SELECT 'pg_publication'::regclass, oid, 0, 'PUBLICATION ' || {name}, NULL, NULL, pubowner
    FROM pg_publication WHERE {kind} = 'publication' AND quote_ident(pubname) = {name}),
grants(granted, privilege, grantee, grantable, owner) AS (
    SELECT o.granted, g.privilege_type, g.grantee, g.is_grantable, o.owner FROM object o, aclexplode(o.acl) g
    UNION ALL SELECT {name}, g.privilege_type || ' (' || quote_ident(attname) || ')', g.grantee, g.is_grantable, r.relowner
    FROM relation r JOIN pg_attribute a ON a.attrelid = r.oid, aclexplode(a.attacl) g)
SELECT statement, role::text, rank = 5 FROM (
    SELECT 1 AS rank, 'ALTER ' || kind || ' ' || {name} || ' SET (' || array_to_string(reloptions, ', ') || ')' AS statement,
           NULL::name AS role
    FROM relation WHERE relkind IN ('v', 'm') AND reloptions IS NOT NULL
    UNION ALL SELECT 2, 'REVOKE ALL ON ' || granted || ' FROM PUBLIC', NULL
    FROM object WHERE class = 'pg_proc'::regclass AND acl IS NOT NULL
    UNION ALL SELECT 3, 'GRANT ' || privilege || ' ON ' || granted || ' TO '
        || CASE grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(grantee)) END
        || CASE WHEN grantable THEN ' WITH GRANT OPTION' ELSE '' END,
        CASE WHEN grantee <> 0 THEN pg_get_userbyid(grantee) END
    FROM grants WHERE grantee <> owner
    UNION ALL SELECT 4, 'COMMENT ON ' || said || ' IS ' || quote_literal(d.description), NULL
    FROM object o JOIN pg_description d ON d.classoid = o.class AND d.objoid = o.oid AND d.objsubid = o.part
    UNION ALL SELECT 5, 'ALTER ' || said || ' OWNER TO ' || quote_ident(pg_get_userbyid(owner)), pg_get_userbyid(owner)
    FROM object WHERE owner <> (SELECT oid FROM pg_roles WHERE rolname = current_user)) AS all_of_it
ORDER BY rank, statement";

/// The statements that give an object that was made again what it has now beside its definition. A role that is no
/// longer there, or that the user may not give an object to, is passed over.
pub(super) async fn attributes(
    postgres: &mut Postgres,
    object: &ObjectName,
) -> Result<Vec<String>, DatabaseError> {
    let doing = "read what belongs to an object";
    let sql = STATEMENTS
        .replace("{kind}", &literal(&object.kind))
        .replace("{name}", &literal(&object.name))
        .replace("{table}", &literal(object.table.as_deref().unwrap_or_default()));
    let rows = introspect::looking(postgres, async |it| it.ask(doing, sql).await).await?;
    let statement = |row: &sqlx::postgres::PgRow| {
        let statement: String = row.try_get(0)?;
        let Some(role): Option<String> = row.try_get(1)? else { return Ok(statement) };
        let may = match row.try_get(2)? {
            true => " AND pg_catalog.pg_has_role(oid, 'MEMBER')",
            false => "",
        };
        let (role, inside) = (literal(&role), literal(&statement));
        Ok(format!(
            "DO $sternway$ BEGIN IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {role}{may}) THEN EXECUTE {inside}; END IF; END $sternway$"
        ))
    };
    rows.iter().map(|row| statement(row).map_err(failed(doing))).collect()
}
