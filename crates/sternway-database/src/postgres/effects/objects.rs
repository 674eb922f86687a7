//! Every object that a body may make, change or destroy, by its name: those of the fingerprint, and
//! what that leaves out because it is no matter of whether a schema is the right one, or because the
//! server prints it differently from version to version. Here both looks are at the same server.

use std::collections::{BTreeMap, BTreeSet};

use sternway_model::effect::Effects;
use sternway_model::proof::{Fingerprint, ObjectName};

use super::{Relation, Snapshot};
use crate::port::DatabaseError;
use crate::postgres::{Postgres, introspect};

/// Beside the fingerprint's, as rows of kind, name, the table or other object that it is a part of,
/// definition. An object that is there already gets the definition in addition.
const MORE: &str = "
SELECT CASE relkind WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view' WHEN 'S' THEN 'sequence' ELSE 'table' END AS kind,
       name, NULL::text AS parent,
       concat_ws(' ', 'owner', pg_get_userbyid(relowner),
                 CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid) END) AS definition
FROM relation WHERE relkind IN ('r', 'p', 'f', 'v', 'm', 'S')
UNION ALL
SELECT 'enum value', quote_literal(enumlabel), s.prefix || quote_ident(typname), ''
FROM pg_enum e JOIN pg_type t ON t.oid = e.enumtypid JOIN space s ON s.oid = t.typnamespace
WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_type'::regclass AND m.objid = t.oid)
UNION ALL
SELECT 'default grant', acl::text,
       concat_ws(' ', defaclobjtype::text, pg_get_userbyid(defaclrole), nullif(defaclnamespace, 0)::regnamespace), ''
FROM pg_default_acl, unnest(defaclacl) AS acl
UNION ALL
SELECT CASE WHEN given THEN 'grant' ELSE 'revoked default' END,
       privilege || CASE WHEN given THEN ' to ' ELSE ' from ' END
           || quote_ident(pg_get_userbyid(grantee)),
       on_what, CASE WHEN grantable THEN 'with grant option' ELSE '' END
FROM (
    WITH acl(on_what, given, usually) AS (
        SELECT name, relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", relowner)
        FROM relation WHERE relkind IN ('r', 'p', 'f', 'v', 'm', 'S')
        UNION ALL
        SELECT r.name || '.' || quote_ident(attname), attacl, NULL
        FROM pg_attribute a JOIN relation r ON r.oid = a.attrelid WHERE attacl IS NOT NULL AND NOT attisdropped
        UNION ALL
        SELECT s.prefix || quote_ident(proname) || '(' || pg_get_function_identity_arguments(p.oid) || ')',
               proacl, acldefault('f', proowner)
        FROM pg_proc p JOIN space s ON s.oid = p.pronamespace
        WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_proc'::regclass AND m.objid = p.oid)
        UNION ALL
        SELECT s.prefix || quote_ident(typname), typacl, acldefault('T', typowner)
        FROM pg_type t JOIN space s ON s.oid = t.typnamespace WHERE typacl IS NOT NULL
        UNION ALL
        SELECT quote_ident(n.nspname), n.nspacl, acldefault('n', n.nspowner)
        FROM pg_namespace n JOIN space s ON s.oid = n.oid
    ), now AS (
        SELECT on_what, grantee, privilege_type AS privilege, bool_or(is_grantable) AS grantable
        FROM acl, aclexplode(given) WHERE given IS NOT NULL GROUP BY on_what, grantee, privilege_type
    ), usual AS (
        SELECT on_what, grantee, privilege_type AS privilege FROM acl, aclexplode(usually) WHERE given IS NOT NULL
    )
    -- What everybody may is in the fingerprint.
    SELECT true AS given, * FROM now
    WHERE grantee <> 0 AND NOT EXISTS (SELECT FROM usual u
                      WHERE (u.on_what, u.grantee, u.privilege) = (now.on_what, now.grantee, now.privilege))
    UNION ALL
    SELECT false, on_what, grantee, privilege, false FROM usual
    WHERE grantee <> 0 AND NOT EXISTS (SELECT FROM now n
                      WHERE (n.on_what, n.grantee, n.privilege) = (usual.on_what, usual.grantee, usual.privilege))
) AS privileges";

/// Every object by its name, inside a transaction that is under way.
pub(in crate::postgres) async fn objects(
    postgres: &mut Postgres,
    except: &[String],
) -> Result<Fingerprint, DatabaseError> {
    introspect::inside(postgres, except, MORE).await
}

/// What was made, changed and destroyed between two descriptions, and the looks that go with them. What
/// has got another name is changed: it is told of by the name that it had.
pub(in crate::postgres) fn differences(
    (before, was): (&Fingerprint, &Snapshot),
    (after, is): (&Fingerprint, &Snapshot),
) -> Effects {
    let mut effects = Effects::default();
    let names = Names::between(was, is);
    let mut met = BTreeSet::new();
    for (object, was) in &before.objects {
        let now = names.now(object);
        match after.objects.get(&now) {
            None => drop(effects.destroyed.insert(object.clone())),
            Some(is) if is != was || now.name != object.name => {
                effects.altered.insert(object.clone());
            }
            Some(_) => {}
        }
        met.insert(now);
    }
    let new = after.objects.keys().filter(|it| !met.contains(*it));
    effects.created.extend(new.cloned());
    effects
}

/// The names that relations and columns have got, by those that they had.
struct Names<'a> {
    relations: BTreeMap<&'a str, (&'a Relation, &'a Relation)>,
}

impl<'a> Names<'a> {
    fn between(before: &'a Snapshot, after: &'a Snapshot) -> Names<'a> {
        let both = before.relations.iter();
        let both = both.filter_map(|(oid, was)| Some((was, after.relations.get(oid)?)));
        Names { relations: both.map(|(was, is)| (was.shown.as_str(), (was, is))).collect() }
    }

    fn now(&self, object: &ObjectName) -> ObjectName {
        let ObjectName { kind, name, table } = object;
        let relation = |name: &str| self.relations.get(name);
        match table {
            None if matches!(
                kind.as_str(),
                "table" | "view" | "materialized view" | "sequence" | "comment"
            ) =>
            {
                let name = relation(name).map_or(name, |(_, is)| &is.shown);
                ObjectName::new(kind, name)
            }
            None => object.clone(),
            Some(table) => {
                let Some((was, is)) = relation(table) else { return object.clone() };
                let name = match kind.as_str() {
                    "column" | "comment" => column(was, is, name).unwrap_or(name),
                    _ => name,
                };
                let table = Some(is.shown.clone());
                ObjectName { kind: kind.clone(), name: name.to_owned(), table }
            }
        }
    }
}

/// What a column is called now.
fn column<'a>(was: &Relation, is: &'a Relation, name: &str) -> Option<&'a str> {
    let number = was.columns.iter().find(|it| it.shown == name)?.number;
    Some(&is.columns.iter().find(|it| it.number == number)?.shown)
}
