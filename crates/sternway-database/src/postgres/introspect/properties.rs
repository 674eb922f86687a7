//! What a schema has beside tables and what runs in it: rules, statistics, operators and the like, and what objects
//! are said to be, such as their comments, storage parameters and what everybody may do with them. The
//! definition of each is the statement that makes it, as far as one does.
//!
//! Left out is what belongs to a server and not to a schema: owners and what single roles may do.

use sternway_model::proof::ObjectName;

/// Some kinds of properties. Few databases have any of most kinds, and the server needs as long to plan a query as to
/// answer it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Properties {
    /// The condition under which there may be some.
    pub asked: &'static str,
    /// One row each: kind, name, what it is a part of, and the statement.
    pub query: &'static str,
}

/// All kinds.
pub(super) const ALL: [Properties; 4] = [OPTIONS, COMMENTS, GRANTS, SELDOM];

/// How tables, columns, views and indexes are kept.
const OPTIONS: Properties = Properties {
    asked: "EXISTS (SELECT FROM pg_class WHERE oid >= 16384 AND (reloptions IS NOT NULL OR relreplident IN ('f', 'i')
                                                             OR relreplident = 'n' AND relkind IN ('r', 'p', 'm')))
    OR EXISTS (SELECT FROM pg_index WHERE indisclustered)
    OR EXISTS (SELECT FROM pg_attribute a JOIN pg_type t ON t.oid = atttypid
               JOIN pg_class c ON c.oid = attrelid AND relkind IN ('r', 'p', 'm')
               WHERE attrelid >= 16384 AND attnum > 0
                 AND (attstattarget >= 0 OR attoptions IS NOT NULL OR attstorage <> typstorage
                      OR typlen = -1 AND to_jsonb(a) ->> 'attcompression' <> ''))",
    query: "
SELECT CASE relkind WHEN 'v' THEN 'option' ELSE 'storage parameter' END, split_part(option, '=', 1), name,
       format('ALTER %s %s SET (%s)', said, name, option)
FROM said, unnest(reloptions) AS option
UNION ALL
SELECT 'replica identity', name, NULL,
       'ALTER TABLE ' || name || ' REPLICA IDENTITY '
           || CASE relreplident WHEN 'f' THEN 'FULL' WHEN 'n' THEN 'NOTHING' ELSE
              'USING INDEX ' || coalesce((SELECT quote_ident(c.relname) FROM pg_index i JOIN pg_class c ON c.oid = indexrelid
                                          WHERE indrelid = said.oid AND indisreplident), '') END
FROM said WHERE relkind IN ('r', 'p', 'm') AND relreplident <> 'd'
UNION ALL
SELECT 'clustering', t.name, NULL, format('ALTER TABLE %s CLUSTER ON %I', t.name, c.relname)
FROM pg_index i JOIN said t ON t.oid = i.indrelid JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indisclustered
UNION ALL
SELECT 'column option', quote_ident(attname) || ' ' || lower(split_part(option, ' ', 1)), r.name,
       format('ALTER TABLE %s ALTER COLUMN %I SET %s', r.name, attname, option)
FROM said r JOIN pg_attribute a ON a.attrelid = r.oid AND attnum > 0 AND NOT attisdropped
JOIN pg_type t ON t.oid = a.atttypid
CROSS JOIN LATERAL (
    SELECT CASE WHEN attstorage <> typstorage THEN 'STORAGE ' || CASE attstorage WHEN 'p' THEN 'PLAIN'
               WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END END
    UNION ALL SELECT CASE to_jsonb(a) ->> 'attcompression' WHEN 'p' THEN 'COMPRESSION pglz' WHEN 'l' THEN 'COMPRESSION lz4' END
    UNION ALL SELECT CASE WHEN attstattarget >= 0 THEN 'STATISTICS ' || attstattarget END
    UNION ALL SELECT '(' || each || ')' FROM unnest(attoptions) AS each) AS o(option)
WHERE r.relkind IN ('r', 'p', 'm') AND option IS NOT NULL",
};

/// What is said of objects.
const COMMENTS: Properties = Properties {
    asked: "EXISTS (SELECT FROM pg_description WHERE objoid >= 16384)",
    query: "
SELECT 'comment', coalesce(quote_ident(a.attname), r.name), CASE WHEN a.attname IS NOT NULL THEN r.name END,
       format('COMMENT ON %s IS %L', CASE WHEN a.attname IS NULL THEN r.said || ' ' || r.name
                                          ELSE 'COLUMN ' || r.name || '.' || quote_ident(a.attname) END, description)
FROM pg_description d JOIN said r ON r.oid = d.objoid
LEFT JOIN pg_attribute a ON a.attrelid = r.oid AND a.attnum = d.objsubid AND d.objsubid > 0
WHERE d.classoid = 'pg_class'::regclass
UNION ALL
SELECT 'comment', quote_ident(part), p.name, format('COMMENT ON %s %I ON %s IS %L', p.said, part, p.name, description)
FROM (SELECT 'pg_constraint'::regclass, k.oid, conname, 'CONSTRAINT', name FROM pg_constraint k JOIN relation r ON r.oid = conrelid
      UNION ALL SELECT 'pg_trigger'::regclass, g.oid, tgname, 'TRIGGER', name FROM pg_trigger g JOIN relation r ON r.oid = tgrelid
      UNION ALL SELECT 'pg_policy'::regclass, l.oid, polname, 'POLICY', name FROM pg_policy l JOIN relation r ON r.oid = polrelid
      UNION ALL SELECT 'pg_rewrite'::regclass, w.oid, rulename, 'RULE', name FROM pg_rewrite w JOIN relation r ON r.oid = ev_class)
     AS p(class, oid, part, said, name)
JOIN pg_description d ON d.classoid = p.class AND d.objoid = p.oid
UNION ALL
SELECT 'comment', o.name, NULL, format('COMMENT ON %s %s IS %L', o.said, o.name, description)
FROM (SELECT 'pg_proc'::regclass, p.oid, routine, name FROM routine p
      UNION ALL SELECT 'pg_type'::regclass, t.oid, CASE typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, s.prefix || quote_ident(typname)
      FROM pg_type t JOIN space s ON s.oid = t.typnamespace
      WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_type'::regclass AND m.objid = t.oid)
      UNION ALL SELECT 'pg_namespace'::regclass, s.oid, 'SCHEMA', quote_ident(nspname) FROM space s WHERE prefix <> '' AND nspname <> 'public'
      UNION ALL SELECT 'pg_publication'::regclass, b.oid, 'PUBLICATION', quote_ident(pubname) FROM pg_publication b)
     AS o(class, oid, said, name)
JOIN pg_description d ON d.classoid = o.class AND d.objoid = o.oid AND d.objsubid = 0",
};

/// What everybody may do.
const GRANTS: Properties = Properties {
    asked: "EXISTS (SELECT FROM pg_class WHERE oid >= 16384 AND relacl IS NOT NULL)
    OR EXISTS (SELECT FROM pg_attribute WHERE attrelid >= 16384 AND attacl IS NOT NULL)
    OR EXISTS (SELECT FROM pg_proc WHERE oid >= 16384 AND proacl IS NOT NULL)
    OR EXISTS (SELECT FROM pg_type WHERE oid >= 16384 AND typacl IS NOT NULL)
    OR EXISTS (SELECT FROM pg_namespace WHERE oid >= 16384 AND nspacl IS NOT NULL)",
    query: "
SELECT CASE WHEN is_given THEN 'grant' ELSE 'revoked default' END, privilege || CASE WHEN is_given THEN ' to public' ELSE ' from public' END, of,
       format(CASE WHEN is_given THEN 'GRANT %s ON %s TO PUBLIC' ELSE 'REVOKE %s ON %s FROM PUBLIC' END, privilege, said)
FROM (
    WITH acl(of, said, given, usually) AS (
        SELECT name, CASE relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || name, relacl, NULL::aclitem[]
        FROM said WHERE relkind IN ('r', 'p', 'f', 'v', 'm', 'S')
        UNION ALL SELECT name, routine || ' ' || name, proacl, acldefault('f', proowner) FROM routine WHERE prokind <> 'a'
        UNION ALL SELECT s.prefix || quote_ident(typname), 'TYPE ' || s.prefix || quote_ident(typname), typacl, acldefault('T', typowner)
        FROM pg_type t JOIN space s ON s.oid = t.typnamespace
        WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_type'::regclass AND m.objid = t.oid)
        UNION ALL SELECT quote_ident(s.nspname), 'SCHEMA ' || quote_ident(s.nspname), nspacl, NULL
        FROM pg_namespace n JOIN space s ON s.oid = n.oid WHERE s.prefix <> '' AND s.nspname <> 'public'
    ), now AS (SELECT of, said, privilege_type AS privilege FROM acl, aclexplode(given) WHERE given IS NOT NULL AND grantee = 0),
    usual AS (SELECT of, said, privilege_type AS privilege FROM acl, aclexplode(usually) WHERE given IS NOT NULL AND grantee = 0)
    SELECT true AS is_given, n.* FROM now n WHERE NOT EXISTS (SELECT FROM usual u WHERE u = n)
    UNION ALL SELECT false, u.* FROM usual u WHERE NOT EXISTS (SELECT FROM now n WHERE u = n)
    -- Of tables and columns, one more privilege came with version 17.
) AS granted(is_given, of, said, privilege) WHERE privilege <> 'MAINTAIN'
UNION ALL
SELECT 'grant', format('%s (%I) to public', privilege_type, attname), r.name,
       format('GRANT %s (%I) ON TABLE %s TO PUBLIC', privilege_type, attname, r.name)
FROM pg_attribute a JOIN relation r ON r.oid = a.attrelid, aclexplode(attacl)
WHERE attacl IS NOT NULL AND NOT attisdropped AND grantee = 0",
};

/// What few databases have.
const SELDOM: Properties = Properties {
    asked: "EXISTS (SELECT FROM pg_rewrite WHERE oid >= 16384 AND rulename <> '_RETURN')
    OR EXISTS (SELECT FROM pg_statistic_ext) OR EXISTS (SELECT FROM pg_default_acl) OR EXISTS (SELECT FROM pg_event_trigger)
    OR EXISTS (SELECT FROM pg_collation WHERE oid >= 16384) OR EXISTS (SELECT FROM pg_cast WHERE oid >= 16384)
    OR EXISTS (SELECT FROM pg_operator WHERE oid >= 16384) OR EXISTS (SELECT FROM pg_opclass WHERE oid >= 16384)
    OR EXISTS (SELECT FROM pg_ts_config WHERE oid >= 16384) OR EXISTS (SELECT FROM pg_ts_dict WHERE oid >= 16384)
    OR EXISTS (SELECT FROM pg_foreign_data_wrapper)",
    query: "
SELECT 'rule', quote_ident(rulename), r.name,
       pg_get_ruledef(w.oid, true)
           || CASE ev_enabled WHEN 'D' THEN ' (disabled)' WHEN 'R' THEN ' (on replicas)'
                              WHEN 'A' THEN ' (always)' ELSE '' END
FROM pg_rewrite w JOIN relation r ON r.oid = w.ev_class WHERE rulename <> '_RETURN'
UNION ALL
SELECT 'statistics', s.prefix || quote_ident(stxname), NULL,
       format('CREATE STATISTICS %s (%s) ON %s FROM %s', s.prefix || quote_ident(stxname),
              (SELECT string_agg(CASE kind WHEN 'd' THEN 'ndistinct' WHEN 'f' THEN 'dependencies' WHEN 'm' THEN 'mcv'
                                           ELSE kind::text END, ', ' ORDER BY kind) FROM unnest(stxkind) AS kind),
              concat_ws(', ', (SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) FROM pg_attribute
                               WHERE attrelid = r.oid AND attnum = ANY (stxkeys)),
                        CASE WHEN to_jsonb(x) ->> 'stxexprs' IS NOT NULL THEN '(expressions)' END), r.name)
FROM pg_statistic_ext x JOIN relation r ON r.oid = x.stxrelid JOIN space s ON s.oid = x.stxnamespace
UNION ALL
SELECT 'default grant', format('%s on %s to public', privilege_type, what), nullif(s.prefix, ''),
       format('ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT %s ON %s TO PUBLIC', nspname, privilege_type, what)
FROM pg_default_acl d JOIN space s ON s.oid = defaclnamespace, aclexplode(defaclacl),
LATERAL (SELECT CASE defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' ELSE 'TYPES' END) AS w(what)
WHERE grantee = 0 AND privilege_type <> 'MAINTAIN'
UNION ALL
SELECT 'collation', s.prefix || quote_ident(collname), NULL,
       format('CREATE COLLATION %s (%s)', s.prefix || quote_ident(collname), concat_ws(', ',
           'provider = ' || CASE collprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END,
           'locale = ' || quote_literal(coalesce(to_jsonb(c) ->> 'colllocale', to_jsonb(c) ->> 'colliculocale', collcollate)),
           CASE WHEN NOT collisdeterministic THEN 'deterministic = false' END))
FROM pg_collation c JOIN space s ON s.oid = c.collnamespace
WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_collation'::regclass AND m.objid = c.oid)
UNION ALL
SELECT 'cast', format('(%s AS %s)', format_type(castsource, NULL), format_type(casttarget, NULL)), NULL,
       format('CREATE CAST (%s AS %s) %s%s', format_type(castsource, NULL), format_type(casttarget, NULL),
              CASE castmethod WHEN 'f' THEN 'WITH FUNCTION ' || castfunc::regprocedure WHEN 'i' THEN 'WITH INOUT' ELSE 'WITHOUT FUNCTION' END,
              CASE castcontext WHEN 'a' THEN ' AS ASSIGNMENT' WHEN 'i' THEN ' AS IMPLICIT' ELSE '' END)
FROM pg_cast c WHERE c.oid >= 16384
  AND NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_cast'::regclass AND m.objid = c.oid)
  -- Those of a range and its multirange come with it.
  AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_cast'::regclass AND objid = c.oid AND deptype = 'i')
UNION ALL
SELECT 'operator', format('%s%s (%s, %s)', s.prefix, oprname, coalesce(nullif(oprleft, 0)::regtype::text, 'NONE'), oprright::regtype), NULL,
       format('CREATE OPERATOR %s%s (FUNCTION = %s, %sRIGHTARG = %s)', s.prefix, oprname, oprcode,
              'LEFTARG = ' || nullif(oprleft, 0)::regtype || ', ', oprright::regtype)
FROM pg_operator o JOIN space s ON s.oid = o.oprnamespace
WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_operator'::regclass AND m.objid = o.oid)
UNION ALL
SELECT 'operator class', format('%s%I USING %I', s.prefix, opcname, amname), NULL, 'for type ' || opcintype::regtype
FROM pg_opclass o JOIN space s ON s.oid = o.opcnamespace JOIN pg_am a ON a.oid = o.opcmethod
WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_opclass'::regclass AND m.objid = o.oid)
UNION ALL
SELECT 'text search configuration', s.prefix || quote_ident(cfgname), NULL,
       (SELECT string_agg(concat_ws(' ', maptokentype, dictname), ', ' ORDER BY maptokentype, mapseqno)
        FROM pg_ts_config_map m JOIN pg_ts_dict x ON x.oid = m.mapdict WHERE m.mapcfg = c.oid)
FROM pg_ts_config c JOIN space s ON s.oid = c.cfgnamespace
WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_ts_config'::regclass AND m.objid = c.oid)
UNION ALL
SELECT 'text search dictionary', s.prefix || quote_ident(dictname), NULL,
       format('CREATE TEXT SEARCH DICTIONARY %s (%s)', s.prefix || quote_ident(dictname),
              concat_ws(', ', 'TEMPLATE = ' || (SELECT tmplname FROM pg_ts_template t WHERE t.oid = dicttemplate), dictinitoption))
FROM pg_ts_dict d JOIN space s ON s.oid = d.dictnamespace
WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_ts_dict'::regclass AND m.objid = d.oid)
UNION ALL
SELECT 'event trigger', quote_ident(evtname), NULL,
       format('CREATE EVENT TRIGGER %I ON %s%s EXECUTE FUNCTION %s', evtname, evtevent,
              ' WHEN TAG IN (' || (SELECT string_agg(quote_literal(tag), ', ') FROM unnest(evttags) AS tag) || ')', evtfoid::regprocedure)
           || CASE evtenabled WHEN 'D' THEN ' (disabled)' WHEN 'R' THEN ' (on replicas)' WHEN 'A' THEN ' (always)' ELSE '' END
FROM pg_event_trigger e
WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_event_trigger'::regclass AND m.objid = e.oid)
UNION ALL
SELECT 'foreign data wrapper', quote_ident(fdwname), NULL, format('CREATE FOREIGN DATA WRAPPER %I', fdwname)
FROM pg_foreign_data_wrapper w
WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_foreign_data_wrapper'::regclass AND m.objid = w.oid)
UNION ALL
-- Its options may be secret.
SELECT 'server', quote_ident(srvname), NULL, format('CREATE SERVER %I FOREIGN DATA WRAPPER %I', srvname, fdwname)
FROM pg_foreign_server v JOIN pg_foreign_data_wrapper w ON w.oid = v.srvfdw",
};

/// What the queries ask besides relations: what they are called in statements, and functions.
pub(super) const BESIDE: &str = ", said AS (
    SELECT *, CASE relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
              WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'i' THEN 'INDEX' WHEN 'I' THEN 'INDEX' ELSE 'TABLE' END AS said
    FROM relation WHERE relkind NOT IN ('c', 't')
), routine AS (
    SELECT p.*, CASE prokind WHEN 'p' THEN 'PROCEDURE' WHEN 'a' THEN 'AGGREGATE' ELSE 'FUNCTION' END AS routine,
           s.prefix || quote_ident(proname) || '(' || pg_get_function_identity_arguments(p.oid) || ')' AS name
    FROM pg_proc p JOIN space s ON s.oid = p.pronamespace
    WHERE NOT EXISTS (SELECT FROM member m WHERE m.classid = 'pg_proc'::regclass AND m.objid = p.oid)
      AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = p.oid
                      AND deptype = 'i' AND refclassid = 'pg_type'::regclass)
)";

/// The statement that takes a property away which this one makes; none where nobody knows it.
pub(in crate::postgres) fn taken_away(object: &ObjectName, made_by: &str) -> Option<String> {
    let ObjectName { kind, name, table } = object;
    Some(match (kind.as_str(), table) {
        ("comment", _) => {
            let [plain, escaped] = [" IS '", " IS E'"].map(|it| made_by.find(it));
            let at = plain.into_iter().chain(escaped).min()?;
            format!("{} IS NULL", &made_by[..at])
        }
        ("option" | "storage parameter", _) => {
            let (before, option) = made_by.split_once(" SET (")?;
            format!("{before} RESET ({})", option.split('=').next()?)
        }
        ("replica identity", _) => format!("ALTER TABLE {name} REPLICA IDENTITY DEFAULT"),
        ("clustering", _) => format!("ALTER TABLE {name} SET WITHOUT CLUSTER"),
        ("column option", _) => {
            let (before, option) = made_by.split_once(" SET ")?;
            match option.split_once(' ') {
                Some(("STATISTICS", _)) => format!("{before} SET STATISTICS -1"),
                Some((what, _)) => format!("{before} SET {what} DEFAULT"),
                None => {
                    let option = option.trim_matches(['(', ')']).split('=').next()?;
                    format!("{before} RESET ({option})")
                }
            }
        }
        ("grant", _) => {
            made_by.strip_suffix(" TO PUBLIC")?.replacen("GRANT", "REVOKE", 1) + " FROM PUBLIC"
        }
        ("revoked default", _) => {
            made_by.strip_suffix(" FROM PUBLIC")?.replacen("REVOKE", "GRANT", 1) + " TO PUBLIC"
        }
        ("default grant", _) => {
            made_by.strip_suffix(" TO PUBLIC")?.replacen(" GRANT ", " REVOKE ", 1) + " FROM PUBLIC"
        }
        ("rule", Some(table)) => format!("DROP RULE {name} ON {table}"),
        (
            "statistics"
            | "collation"
            | "cast"
            | "operator"
            | "operator class"
            | "text search configuration"
            | "text search dictionary"
            | "event trigger"
            | "foreign data wrapper"
            | "server",
            None,
        ) => format!("DROP {} {name}", kind.to_uppercase()),
        _ => return None,
    })
}

/// The statement that makes a property. There is none for an event trigger, which would have its say in what
/// is done on a shadow database, as if that were the one that it was made for.
pub(in crate::postgres) fn made(object: &ObjectName, definition: &str) -> Option<String> {
    let makes = ["CREATE ", "ALTER ", "COMMENT ", "GRANT ", "REVOKE "];
    let is_statement = makes.iter().any(|it| definition.starts_with(it));
    (is_statement && object.kind != "event trigger").then(|| definition.to_owned())
}

#[cfg(test)]
mod tests {
    use sternway_model::proof::ObjectName;

    use super::taken_away;

    #[test]
    fn what_makes_a_property_says_what_takes_it_away() {
        for (kind, made_by, expected) in [
            (
                "comment",
                "COMMENT ON COLUMN t.a IS 'it''s IS ''x'''",
                "COMMENT ON COLUMN t.a IS NULL",
            ),
            ("comment", r"COMMENT ON TABLE t IS E'a\\ IS ''b'", "COMMENT ON TABLE t IS NULL"),
            (
                "storage parameter",
                "ALTER INDEX i SET (fillfactor=50)",
                "ALTER INDEX i RESET (fillfactor)",
            ),
            (
                "column option",
                "ALTER TABLE t ALTER COLUMN a SET STORAGE EXTERNAL",
                "ALTER TABLE t ALTER COLUMN a SET STORAGE DEFAULT",
            ),
            (
                "column option",
                "ALTER TABLE t ALTER COLUMN a SET STATISTICS 500",
                "ALTER TABLE t ALTER COLUMN a SET STATISTICS -1",
            ),
            (
                "column option",
                "ALTER TABLE t ALTER COLUMN a SET (n_distinct=5)",
                "ALTER TABLE t ALTER COLUMN a RESET (n_distinct)",
            ),
            (
                "grant",
                "GRANT SELECT (a) ON TABLE t TO PUBLIC",
                "REVOKE SELECT (a) ON TABLE t FROM PUBLIC",
            ),
            (
                "revoked default",
                "REVOKE EXECUTE ON FUNCTION f() FROM PUBLIC",
                "GRANT EXECUTE ON FUNCTION f() TO PUBLIC",
            ),
        ] {
            let found = taken_away(&ObjectName::new(kind, "it"), made_by);
            assert_eq!(found.as_deref(), Some(expected), "{made_by}");
        }
    }
}
