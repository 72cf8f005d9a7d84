# Writes down what a server holds before the stop, and compares it with what the new server holds.
# observe.sh before|after RUNDIR LEVEL [writers=no [SHA256 [CRASHED]]] ; LEVEL is quick, counts or auto; SHA256 is that of the
# observation; CRASHED is 1 when the observed server was cut off since: then what it emptied by that is told, and is no difference.
# Runs behind sql.sh in the server's container.
# Every name in the files is ASCII: bytes above 127 as \ooo and the backslash as \\, so no encoding can be broken.
# shellcheck shell=sh disable=SC2034,SC2153,SC2154

pgup_what=${1-} pgup_run=${2-} pgup_level=${3:-auto} pgup_writers=${4:-writers=unknown} pgup_expected=${5-} pgup_crashed=${6:-0}
# Centiseconds since boot, without starting a process.
clock() { IFS=' .' read -r pgup_s pgup_c _ </proc/uptime && pgup_clock=$pgup_s$pgup_c; }
clock
pgup_began=$pgup_clock

# failed REASON DETAIL: the last line of a run that could not tell anything.
failed() {
  printf '{"event":"failed","reason":"%s","detail":"%s"}\n' "$1" "$(json_text "$2")"
  exit 1
}

PGUP_OPTIONS='-c default_transaction_read_only=on -c lock_timeout=5s -c search_path=pg_catalog -c standard_conforming_strings=on -c max_parallel_workers_per_gather=0 -c DateStyle=ISO -c TimeZone=UTC -c quote_all_identifiers=off -c row_security=off'
PGUP_HELLO="SELECT pg_catalog.current_setting('server_version_num') UNION ALL $PGUP_DATABASES"

# What exists once in a server.
server_sql() {
  cat <<'SQL'
SELECT json_build_object('k', 'server', 'v', json_build_object('installUser', (SELECT encode(namesend(rolname), 'escape') FROM pg_roles WHERE oid = 10),
  'checksums', current_setting('data_checksums'), 'blockSize', current_setting('block_size'), 'segmentSize', current_setting('segment_size')),
  'x', json_build_object('version', current_setting('server_version'), 'versionNum', current_setting('server_version_num')::int,
  'systemIdentifier', (SELECT system_identifier::text FROM pg_control_system())));

SELECT json_build_object('k', 'database', 'o', encode(namesend(datname), 'escape'), 'v', json_build_object(
  'owner', encode(namesend(r.rolname), 'escape'), 'encoding', pg_encoding_to_char(encoding), 'collate', datcollate, 'ctype', datctype,
  'provider', coalesce(to_jsonb(d)->>'datlocprovider', 'c'), 'locale', coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale'),
  'connectionLimit', datconnlimit, 'template', datistemplate, 'allowsConnections', datallowconn, 'tablespace', encode(namesend(spcname), 'escape'),
SQL
  acl_sql datacl datdba d
  cat <<'SQL'
  ,'settings', (SELECT string_agg(split_part(c, '=', 1) || ':' || left(md5(c), 4), ' ' ORDER BY c COLLATE "C") FROM pg_db_role_setting s, unnest(s.setconfig) c WHERE s.setrole = 0 AND s.setdatabase = d.oid)),
  'x', json_build_object('collationVersion', to_jsonb(d)->>'datcollversion', 'oid', d.oid::int8))
FROM pg_database d JOIN pg_roles r ON r.oid = d.datdba JOIN pg_tablespace t ON t.oid = d.dattablespace;

-- Values of settings can be secrets: two bytes of a digest tell that one changed and nothing else. Of a password only its kind is told.
SELECT json_build_object('k', 'role', 'o', encode(namesend(rolname), 'escape'), 'v', json_build_object(
  'superuser', rolsuper, 'inherit', rolinherit, 'createRole', rolcreaterole, 'createDatabase', rolcreatedb, 'login', rolcanlogin,
  'replication', rolreplication, 'bypassRls', rolbypassrls, 'connectionLimit', rolconnlimit, 'validUntil', rolvaliduntil::text,
  'password', CASE WHEN rolpassword IS NULL THEN 'none' WHEN rolpassword ~ '^md5[0-9a-f]{32}$' THEN 'md5' WHEN rolpassword LIKE 'SCRAM-SHA-256%' THEN 'scram' ELSE 'other' END,
  'settings', (SELECT string_agg(coalesce((SELECT encode(namesend(datname), 'escape') FROM pg_database d WHERE d.oid = s.setdatabase) || '/', '') || split_part(c, '=', 1) || ':' || left(md5(c), 4), ' '
    ORDER BY s.setdatabase, c COLLATE "C") FROM pg_db_role_setting s, unnest(s.setconfig) c WHERE s.setrole = a.oid)))
FROM pg_authid a WHERE oid >= 16384 OR oid = 10;

SELECT json_build_object('k', 'settings', 'o', 'every role', 'v', json_build_object('settings', string_agg(split_part(c, '=', 1) || ':' || left(md5(c), 4), ' ' ORDER BY c COLLATE "C")))
FROM pg_db_role_setting s, unnest(s.setconfig) c WHERE s.setrole = 0 AND s.setdatabase = 0 HAVING count(*) > 0;

SELECT json_build_object('k', 'membership', 's', encode(namesend(g.rolname), 'escape'), 'o', encode(namesend(u.rolname), 'escape'), 'v', json_build_object('admin', bool_or(m.admin_option)))
FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid JOIN pg_roles u ON u.oid = m.member WHERE u.oid >= 16384 OR u.oid = 10 OR g.oid >= 16384 GROUP BY g.rolname, u.rolname;

SELECT json_build_object('k', 'tablespace', 'o', encode(namesend(spcname), 'escape'), 'v', json_build_object(
  'owner', encode(namesend(r.rolname), 'escape'), 'location', encode(textsend(pg_tablespace_location(t.oid)), 'escape'), 'options', array_to_string(spcoptions, ' '),
SQL
  acl_sql spcacl spcowner t
  cat <<'SQL'
)) FROM pg_tablespace t JOIN pg_roles r ON r.oid = spcowner WHERE t.oid >= 16384 OR spcoptions IS NOT NULL OR spcacl IS NOT NULL;
SQL
}

# acl_sql COLUMN OWNER KIND: one member of a json object with what others than the owner may do, in an order of its own.
# MAINTAIN comes with 17: a GRANT ALL of before means one privilege more there.
acl_sql() {
  cat <<SQL
  'grants', (SELECT string_agg(w, ' ' ORDER BY w COLLATE "C") FROM (SELECT DISTINCT coalesce((SELECT encode(namesend(rolname), 'escape') FROM pg_roles WHERE oid = a.grantee), 'public')
    || '=' || a.privilege_type || CASE WHEN a.is_grantable THEN '*' ELSE '' END AS w
    FROM aclexplode(coalesce($1, acldefault('$3', $2))) a WHERE a.grantee <> $2 AND a.privilege_type <> 'MAINTAIN') g)
SQL
}

# What exists in each database, in words that a server of 10 knows.
database_sql() {
  cat <<SQL
SELECT json_build_object('k', 'schema', 'd', $pgup_db, 'o', encode(namesend(nspname), 'escape'), 'v', json_build_object('owner', encode(namesend(r.rolname), 'escape'),
$(acl_sql nspacl nspowner n)
  )) FROM pg_namespace n JOIN pg_roles r ON r.oid = nspowner WHERE nspname !~ '^pg_' AND nspname <> 'information_schema';

SELECT json_build_object('k', 'extension', 'd', $pgup_db, 'o', encode(namesend(extname), 'escape'), 'v', json_build_object(
  'version', extversion, 'schema', encode(namesend(nspname), 'escape'))) FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace;

-- The privileges of columns are left to the count of default_acl and of the relation itself.
SELECT json_build_object('k', CASE relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
    WHEN 'f' THEN 'foreign table' WHEN 'S' THEN 'sequence' ELSE 'composite type' END,
  'd', $pgup_db, 's', encode(namesend(n.nspname), 'escape'), 'o', encode(namesend(c.relname), 'escape'), 'v', json_build_object(
  'owner', encode(namesend(r.rolname), 'escape'), 'persistence', relpersistence, 'populated', relispopulated, 'tablespace', encode(namesend(t.spcname), 'escape'),
  'columns', a.columns, 'digest', a.digest, 'constraints', k.constraints, 'triggers', g.triggers, 'rules', u.rules, 'policies', p.policies,
  'rowSecurity', relrowsecurity::int + 2 * relforcerowsecurity::int, 'replicaIdentity', relreplident, 'partition', relispartition, 'parents', i.parents,
  'grants', CASE WHEN c.relacl IS NULL THEN NULL ELSE (SELECT string_agg(w, ' ' ORDER BY w COLLATE "C") FROM (SELECT DISTINCT coalesce((SELECT encode(namesend(rolname), 'escape') FROM pg_roles WHERE oid = x.grantee), 'public')
    || '=' || x.privilege_type || CASE WHEN x.is_grantable THEN '*' ELSE '' END AS w FROM aclexplode(c.relacl) x WHERE x.grantee <> c.relowner AND x.privilege_type <> 'MAINTAIN') q) END),
  'm', e.objid IS NOT NULL, 'f', CASE WHEN relkind IN ('r', 'm', 'S') THEN pg_relation_filepath(c.oid) END, 'b', $(size_sql c "relkind IN ('r', 'm', 'S')"))
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_roles r ON r.oid = c.relowner LEFT JOIN pg_tablespace t ON t.oid = c.reltablespace
$(member_sql pg_class c.oid)
LEFT JOIN (SELECT attrelid, count(*) AS columns, md5(string_agg(attname::text || ' ' || CASE WHEN y.relkind = 'v' THEN '' ELSE format_type(atttypid, atttypmod)
    || CASE WHEN attnotnull THEN ' n' ELSE '' END || CASE WHEN atthasdef THEN ' d' ELSE '' END $pgup_column_more END, ',' ORDER BY attnum)) AS digest
  FROM pg_attribute JOIN pg_class y ON y.oid = attrelid WHERE attrelid >= 16384 AND attnum > 0 AND NOT attisdropped AND y.relkind IN ('r', 'p', 'v', 'm', 'f', 'c') GROUP BY attrelid) a ON a.attrelid = c.oid
LEFT JOIN (SELECT conrelid, string_agg(contype::text || n, ' ' ORDER BY contype::text COLLATE "C") AS constraints FROM (SELECT conrelid, contype, count(*) AS n FROM pg_constraint
  WHERE conrelid <> 0 AND contype IN ('c', 'f', 'p', 'u', 'x', 't') $pgup_constraint_root GROUP BY conrelid, contype) x GROUP BY conrelid) k ON k.conrelid = c.oid
LEFT JOIN (SELECT tgrelid, md5(string_agg(tgname::text || ' ' || tgenabled::text, ',' ORDER BY tgname::text COLLATE "C")) AS triggers FROM pg_trigger WHERE NOT tgisinternal $pgup_trigger_root GROUP BY tgrelid) g ON g.tgrelid = c.oid
LEFT JOIN (SELECT ev_class, md5(string_agg(rulename::text || ' ' || ev_enabled::text, ',' ORDER BY rulename::text COLLATE "C")) AS rules FROM pg_rewrite WHERE rulename <> '_RETURN' GROUP BY ev_class) u ON u.ev_class = c.oid
LEFT JOIN (SELECT polrelid, count(*) AS policies FROM pg_policy GROUP BY polrelid) p ON p.polrelid = c.oid
LEFT JOIN (SELECT inhrelid, string_agg(encode(namesend(pn.nspname), 'escape') || '.' || encode(namesend(pc.relname), 'escape'), ', ' ORDER BY inhseqno) AS parents
  FROM pg_inherits JOIN pg_class pc ON pc.oid = inhparent JOIN pg_namespace pn ON pn.oid = pc.relnamespace WHERE pc.relkind IN ('r', 'p', 'f') GROUP BY inhrelid) i ON i.inhrelid = c.oid
WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND $pgup_user_schema;

-- Invalid indexes are left behind by pg_dump on purpose, so the comparison must know which they are.
SELECT json_build_object('k', 'index', 'd', $pgup_db, 's', encode(namesend(n.nspname), 'escape'), 'o', encode(namesend(c.relname), 'escape'), 'v', json_build_object(
  'table', encode(namesend(h.relname), 'escape'), 'method', m.amname, 'unique', indisunique, 'primary', indisprimary, 'exclusion', indisexclusion, 'valid', $pgup_valid,
  'replicaIdentity', indisreplident, 'clustered', indisclustered, 'columns', indkey::text, 'partial', indpred IS NOT NULL, 'tablespace', encode(namesend(t.spcname), 'escape'), 'partitioned', c.relkind = 'I'),
  'm', e.objid IS NOT NULL, 'f', CASE WHEN c.relkind = 'i' THEN pg_relation_filepath(c.oid) END, 'b', $(size_sql c "c.relkind = 'i'"))
FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_class h ON h.oid = x.indrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_am m ON m.oid = c.relam
$(member_sql pg_class h.oid)
LEFT JOIN pg_tablespace t ON t.oid = c.reltablespace WHERE c.oid >= 16384 AND $pgup_user_schema;

-- The names of TOAST tables hold a number; they are known by their owner. Partitioned tables have empty ones in 10 alone.
SELECT json_build_object('k', CASE c.oid WHEN o.reltoastrelid THEN 'toast' ELSE 'toast index' END, 'd', $pgup_db, 's', encode(namesend(n.nspname), 'escape'), 'o', encode(namesend(o.relname), 'escape'),
  'v', '{}'::json, 'f', pg_relation_filepath(c.oid), 'b', $(size_sql c true))
FROM pg_class o JOIN pg_namespace n ON n.oid = o.relnamespace
CROSS JOIN LATERAL (SELECT o.reltoastrelid AS oid UNION ALL SELECT indexrelid FROM pg_index WHERE indrelid = o.reltoastrelid) c
WHERE o.oid >= 16384 AND o.relkind <> 'p' AND o.reltoastrelid <> 0 AND $pgup_user_schema;

SELECT json_build_object('k', 'large object data', 'd', $pgup_db, 'o', relname, 'v', '{}'::json, 'f', pg_relation_filepath(c.oid), 'b', $(size_sql c true))
FROM pg_class c WHERE oid IN ('pg_largeobject'::regclass, 'pg_largeobject_loid_pn_index'::regclass);
SELECT json_build_object('k', 'large objects', 'd', $pgup_db, 'v', json_build_object('count', count(*))) FROM pg_largeobject_metadata;

-- For the indexes: what initdb makes has the new version at once, so only this line tells the old one.
SELECT json_build_object('k', 'collation version', 'd', $pgup_db, 'o', encode(namesend(collname), 'escape'), 'p', collprovider, 'x', json_build_object('version', pg_collation_actual_version(oid)))
FROM pg_collation WHERE oid < 16384 AND collprovider IN ('c', 'i') AND oid IN (SELECT attcollation FROM pg_attribute WHERE attrelid >= 16384);

-- 200 sequences a statement: each stays locked to the end of its statement. A literal alone has no type before 10.
SELECT 'SELECT json_build_object(''k'', ''sequence value'', ''d'', ' || quote_literal($pgup_db) || ', ''s'', s, ''o'', o, ''v'', json_build_object(''last'', l, ''called'', c, ''definition'', d), ''x'', json_build_object(''up'', u, ''cycle'', y)) FROM ('
  || string_agg(format('SELECT %L::text AS s, %L::text AS o, last_value AS l, is_called AS c, %s FROM %I.%I', encode(namesend(nspname), 'escape'), encode(namesend(relname), 'escape'), rest, nspname, relname), ' UNION ALL ')
  || ') q' FROM (SELECT nspname, relname, $pgup_sequence AS rest, row_number() OVER () / 200 AS part FROM $pgup_sequences JOIN pg_namespace n ON n.oid = relnamespace
  WHERE c.oid >= 16384 AND $pgup_user_schema) q GROUP BY part \\gexec

-- Constructors of ranges and their casts belong to the type and grow in number with 14.
SELECT json_build_object('k', 'routines', 'd', $pgup_db, 'o', encode(namesend(nspname), 'escape'), 'v', json_build_object('count', count(*) FILTER (WHERE e.objid IS NULL),
  'digest', md5(string_agg(proname::text || pronargs, ',' ORDER BY proname::text COLLATE "C", pronargs) FILTER (WHERE e.objid IS NULL)), 'ofExtensions', count(e.objid)))
FROM pg_proc c JOIN pg_namespace n ON n.oid = pronamespace $(member_sql pg_proc c.oid) WHERE c.oid >= 16384 AND $pgup_user_schema
AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_proc'::regclass AND objid = c.oid AND deptype = 'i') GROUP BY nspname;

SELECT json_build_object('k', CASE typtype WHEN 'd' THEN 'domain' WHEN 'e' THEN 'enum' WHEN 'r' THEN 'range' ELSE 'type' END, 'd', $pgup_db, 's', encode(namesend(nspname), 'escape'), 'o', encode(namesend(typname), 'escape'),
  'v', json_build_object('owner', encode(namesend(rolname), 'escape'), 'notNull', typnotnull, 'labels', (SELECT md5(string_agg(enumlabel::text, ',' ORDER BY enumsortorder)) FROM pg_enum WHERE enumtypid = c.oid),
  'checks', (SELECT count(*) FROM pg_constraint WHERE contypid = c.oid AND contype = 'c')), 'm', x.objid IS NOT NULL)
FROM pg_type c JOIN pg_namespace n ON n.oid = typnamespace JOIN pg_roles r ON r.oid = typowner $(member_sql pg_type c.oid x) WHERE c.oid >= 16384 AND typtype IN ('b', 'd', 'e', 'r') AND $pgup_user_schema
AND NOT EXISTS (SELECT FROM pg_type e WHERE e.typarray = c.oid);

SELECT json_build_object('k', k, 'd', $pgup_db, 's', encode(namesend(s), 'escape'), 'o', encode(namesend(o), 'escape'), 'v', v, 'm', e.objid IS NOT NULL) FROM (
  SELECT 'collation' AS k, nspname AS s, collname AS o, json_build_object('provider', collprovider, 'locale', coalesce(to_jsonb(c)->>'colllocale', to_jsonb(c)->>'colliculocale', collcollate)) AS v, c.tableoid AS class, c.oid FROM pg_collation c JOIN pg_namespace n ON n.oid = collnamespace WHERE c.oid >= 16384 AND $pgup_user_schema
  UNION ALL SELECT 'statistics', nspname, stxname, json_build_object('columns', stxkeys::text), c.tableoid, c.oid FROM pg_statistic_ext c JOIN pg_namespace n ON n.oid = stxnamespace WHERE $pgup_user_schema
  UNION ALL SELECT 'conversion', nspname, conname, '{}', c.tableoid, c.oid FROM pg_conversion c JOIN pg_namespace n ON n.oid = connamespace WHERE c.oid >= 16384 AND $pgup_user_schema
  UNION ALL SELECT 'text search configuration', nspname, cfgname, '{}', c.tableoid, c.oid FROM pg_ts_config c JOIN pg_namespace n ON n.oid = cfgnamespace WHERE c.oid >= 16384 AND $pgup_user_schema
  UNION ALL SELECT 'text search dictionary', nspname, dictname, '{}', c.tableoid, c.oid FROM pg_ts_dict c JOIN pg_namespace n ON n.oid = dictnamespace WHERE c.oid >= 16384 AND $pgup_user_schema
  UNION ALL SELECT 'language', NULL, lanname, '{}', tableoid, oid FROM pg_language WHERE lanname NOT IN ('internal', 'c', 'sql', 'plpgsql')
  UNION ALL SELECT 'access method', NULL, amname, '{}', tableoid, oid FROM pg_am WHERE oid >= 16384
  UNION ALL SELECT 'foreign data wrapper', NULL, fdwname, '{}', tableoid, oid FROM pg_foreign_data_wrapper WHERE oid >= 16384
  UNION ALL SELECT 'foreign server', NULL, srvname, '{}', tableoid, oid FROM pg_foreign_server WHERE oid >= 16384
  UNION ALL SELECT 'event trigger', NULL, evtname, json_build_object('event', evtevent, 'enabled', evtenabled, 'tags', array_to_string(evttags, ', ')), tableoid, oid FROM pg_event_trigger
  UNION ALL SELECT 'publication', NULL, pubname, json_build_object('allTables', puballtables, 'tables', (SELECT count(*) FROM pg_publication_rel WHERE prpubid = p.oid)), tableoid, oid FROM pg_publication p
  UNION ALL SELECT 'subscription', NULL, subname, '{}', tableoid, oid FROM pg_subscription WHERE subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
) q LEFT JOIN pg_depend e ON e.classid = q.class AND e.objid = q.oid AND e.deptype = 'e';

SELECT json_build_object('k', k, 'd', $pgup_db, 'v', json_build_object('count', n - m, 'ofExtensions', m)) FROM (
  SELECT 'operators' AS k, count(*) AS n, count(e.objid) AS m FROM pg_operator c JOIN pg_namespace n ON n.oid = oprnamespace $(member_sql pg_operator c.oid) WHERE c.oid >= 16384 AND $pgup_user_schema
  UNION ALL SELECT 'operator classes', count(*), count(e.objid) FROM pg_opclass c JOIN pg_namespace n ON n.oid = opcnamespace $(member_sql pg_opclass c.oid) WHERE c.oid >= 16384 AND $pgup_user_schema
  UNION ALL SELECT 'casts', count(*), count(e.objid) FROM pg_cast c $(member_sql pg_cast c.oid) WHERE c.oid >= 16384 AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_cast'::regclass AND objid = c.oid AND deptype = 'i')
  UNION ALL SELECT 'user mappings', count(*), 0 FROM pg_user_mapping
  UNION ALL SELECT 'default privileges', count(*), 0 FROM pg_default_acl
) q WHERE n > 0;
SQL
}

# member_sql CATALOG OID [ALIAS]: a join that finds the extension an object belongs to, which decides about it in its own version.
member_sql() { printf '%s' "LEFT JOIN pg_depend ${3:-e} ON ${3:-e}.classid = '$1'::regclass AND ${3:-e}.objid = $2 AND ${3:-e}.deptype = 'e'"; }

# size_sql ALIAS CONDITION: bytes of the main fork; one stat for each relation and no lock, but for those of several segments.
size_sql() {
  printf '%s' "CASE WHEN $2 THEN (SELECT CASE WHEN size >= 1073741824 THEN pg_relation_size($1.oid) ELSE size END FROM pg_stat_file(pg_relation_filepath($1.oid), true)) END"
}

# One statement for each table whose rows are counted; table number N of M processes.
count_sql() {
  cat <<SQL
SELECT format('SELECT json_build_object(''k'', ''rows'', ''d'', %L, ''s'', %L, ''o'', %L, ''v'', json_build_object(''rows'', count(*))) FROM ONLY %I.%I', $pgup_db, encode(namesend(nspname), 'escape'), encode(namesend(relname), 'escape'), nspname, relname)
FROM (SELECT nspname, relname, row_number() OVER (ORDER BY relpages DESC, c.oid) AS place FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace
  WHERE c.oid >= 16384 AND relkind IN ('r', 'm') AND relispopulated AND $pgup_user_schema) q WHERE place % $2 = $1 \\gexec
SQL
}

# before_ten: the statements without what comes with 10.
before_ten() {
  sed -E -e "/'collation version'/,/;\$/d" -e "/^  UNION ALL SELECT '(statistics|publication|subscription)', /d" -e 's/relispartition/false/' -e "s/collprovider/'c'/"
}

# in_databases COMMAND...: the statements that COMMAND prints, once in each database.
in_databases() {
  pgup_statements=$("$@" | "$pgup_known")
  while IFS= read -r pgup_line; do
    # In SQL_ASCII names can be any bytes, which come back in statements.
    printf '%s\n%s\n%s\n' "$pgup_line" \
      "SELECT set_config('client_encoding', CASE getdatabaseencoding() WHEN 'SQL_ASCII' THEN 'SQL_ASCII' ELSE 'UTF8' END, false) AS pgup_encoding \gset" "$pgup_statements"
  done <<LINES
$pgup_list
LINES
}

# shellcheck disable=SC2086
run_psql() { $PGUP_AS "$PSQL" -XAtqw -v ON_ERROR_STOP=1 -f -; }

# The statements that depend on the version.
prepare() {
  connect
  pgup_version=${PGUP_FIRST%%
*}
  pgup_list=${PGUP_FIRST#*
}
  case $pgup_version in
    '' | *[!0-9]*) failed no-version "unexpected answer from the server: $pgup_version" ;;
  esac
  [ "$pgup_version" -ge 90600 ] || failed too-old "PostgreSQL older than 9.6"
  pgup_db="encode(namesend(current_database()), 'escape')"
  pgup_user_schema="n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND n.nspname !~ '^pg_(toast_)?temp_'"
  pgup_column_more="|| ' ' || attidentity::text" pgup_constraint_root='' pgup_trigger_root='' pgup_known=cat
  pgup_valid='indisvalid AND indisready AND indislive'
  pgup_sequences='pg_sequence s JOIN pg_class c ON c.oid = seqrelid'
  pgup_sequence="format('%L::bool AS u, %L::bool AS y, %L::text AS d', seqincrement > 0, seqcycle, concat_ws(' ', seqtypid::regtype, seqstart, seqincrement, seqmax, seqmin, seqcache, seqcycle))"
  if [ "$pgup_version" -lt 100000 ]; then
    pgup_known=before_ten pgup_column_more="|| ' '"
    # A sequence tells all of itself, and is one of bigint.
    pgup_sequences="(SELECT oid, relname, relnamespace FROM pg_class WHERE relkind = 'S') c" pgup_sequence="'increment_by > 0 AS u, is_cycled AS y, concat_ws('' '', ''bigint'', start_value, increment_by, max_value, min_value, cache_value, is_cycled) AS d'"
    # pg_upgrade leaves hash indexes of that form invalid.
    pgup_valid="CASE WHEN amname = 'hash' AND $pgup_valid THEN to_json('to rebuild'::text) ELSE to_json($pgup_valid) END"
  fi
  if [ "$pgup_version" -ge 110000 ]; then
    PGOPTIONS="$PGOPTIONS -c jit=off"
    pgup_constraint_root='AND conparentid = 0'
  fi
  if [ "$pgup_version" -ge 120000 ]; then
    pgup_column_more="$pgup_column_more || attgenerated::text"
  fi
  if [ "$pgup_version" -ge 130000 ]; then
    pgup_trigger_root='AND tgparentid = 0'
  fi
  if [ "$pgup_version" -ge 170000 ]; then
    PGOPTIONS="$PGOPTIONS -c transaction_timeout=0"
    # A login trigger must neither stop nor notice us; only a superuser can say so.
    [ -n "${PGUP_WEAK:-}" ] || PGOPTIONS="$PGOPTIONS -c event_triggers=off"
  fi
}

# add_up MEMBER: the sum of what the lines on stdin end with.
add_up() {
  pgup_terms=$(LC_ALL=C grep -o "\"$1\" : [0-9]*}*\$" | LC_ALL=C tr -dc '0-9\n' | tr '\n' '+')
  echo "$((${pgup_terms}0))"
}

# How many rows are counted at once.
processes() {
  pgup_jobs=$(nproc 2>/dev/null) || pgup_jobs=1
  [ "$pgup_jobs" -le 4 ] || pgup_jobs=4
}

# observe FILE LEVEL: a line for every object into FILE; sets pgup_taken to the level.
observe() {
  { server_sql; in_databases database_sql; } | "${PGUP_REWRITE:-cat}" | run_psql >"$1" || failed observation "the server could not be read; psql's message is above"
  processes
  pgup_taken=$2
  if [ "$2" = auto ]; then
    # 300 MB a second and process, and it is done twice: before the stop and after the start.
    pgup_sum=$(LC_ALL=C grep -E '^."k" : "(table|materialized view)"' "$1" | add_up b)
    pgup_taken=quick
    [ $((pgup_sum * 2 / 300000 / pgup_jobs)) -gt 5000 ] || pgup_taken=counts
  fi
  if [ "$pgup_taken" = counts ]; then
    pgup_i=0 pgup_pids=''
    while [ "$pgup_i" -lt "$pgup_jobs" ]; do
      in_databases count_sql "$pgup_i" "$pgup_jobs" | run_psql >"$1.rows$pgup_i" &
      pgup_pids="$pgup_pids $!"
      pgup_i=$((pgup_i + 1))
    done
    pgup_bad=
    for pgup_pid in $pgup_pids; do wait "$pgup_pid" || pgup_bad=yes; done
    cat "$1".rows* >>"$1"
    rm -f "$1".rows*
    [ -z "$pgup_bad" ] || failed count "rows could not be counted; psql's message is above"
  fi
  # What sources this script may know lines that are none of the comparison's.
  [ -z "${PGUP_FILTER:-}" ] || "$PGUP_FILTER" "$1"
  printf '{"k" : "observed", "x" : {"level" : "%s"}}\n' "$pgup_taken" >>"$1"
}

# keep FILE NAME: only a whole file ever has the name that is read later; the new server's user must be able to read it too.
keep() {
  if [ "$(id -u)" = 0 ]; then
    chown "$(stat -c %u:%g "$pgup_run")" "$1"
  fi
  mv "$1" "$pgup_run/$2" || failed write "$2 could not be written"
}

summary() {
  # One pass for all kinds: "  12 table".
  pgup_databases=0 pgup_roles=0 pgup_relations=0 pgup_sequences=0
  while read -r pgup_n pgup_kind; do
    case $pgup_kind in
      database) pgup_databases=$pgup_n ;;
      role) pgup_roles=$pgup_n ;;
      sequence) pgup_sequences=$pgup_n pgup_relations=$((pgup_relations + pgup_n)) ;;
      table | 'partitioned table' | view | 'materialized view' | 'foreign table' | index | 'composite type') pgup_relations=$((pgup_relations + pgup_n)) ;;
    esac
  done <<KINDS
$(cut -d'"' -f4 "$1" | LC_ALL=C sort | uniq -c)
KINDS
  pgup_digest=$(sha256sum "$1" 2>/dev/null) || pgup_digest=
  pgup_objects=$(LC_ALL=C grep '^{"k" : "large objects"' "$1" | add_up count)
  pgup_sum=$(add_up b <"$1")
  printf '{"event":"observed","level":"%s","version":%s,"databases":%s,"roles":%s,"relations":%s,"sequences":%s,"largeObjects":%s,"bytes":%s' \
    "$pgup_taken" "$pgup_version" "$pgup_databases" "$pgup_roles" "$pgup_relations" "$pgup_sequences" "$pgup_objects" "$pgup_sum"
  if [ "$pgup_taken" = counts ]; then
    printf ',"rows":%s' "$(add_up rows <"$1")"
  fi
  [ -z "$pgup_digest" ] || printf ',"sha256":"%s"' "${pgup_digest%% *}"
  clock
  printf ',"ms":%s}\n' $(((pgup_clock - pgup_began) * 10))
}

# The comparison needs no table: both observations and the sizes are texts of one statement in the new server.
compare_sql() {
  cat <<'SQL'
\set before `cat <&3`
\set after `cat <&4`
\set sizes `LC_ALL=C grep -E '^[0-9]+ (base|global|pg_tblspc)/([^ ]*/)?[0-9]+([.][0-9]+)?$' <&5`
-- Most lines are equal to the byte and only the others are taken apart. No name can hold the marks: its quotes are escaped.
WITH e AS (SELECT a.line AS a, b.line AS b FROM (SELECT line FROM unnest(string_to_array(:'before', E'\n')) AS line WHERE line LIKE '{"k" : "%, "v" : %' AND (:'level' = 'counts' OR line NOT LIKE '{"k" : "rows"%') AND line !~ :'uncompared') b
  FULL JOIN (SELECT line FROM unnest(string_to_array(:'after', E'\n')) AS line WHERE line LIKE '{"k" : "%, "v" : %' AND line !~ :'uncompared') a ON a.line = b.line),
-- A load numbers columns anew and makes extensions in the version of the new server. What was asked to be otherwise is.
b AS (SELECT split_part(b, ', "v" : ', 1) AS key, b AS line, CASE WHEN b ~ :'renumbered' THEN b::jsonb #- '{v,columns}' #- '{v,version}' #- '{v,ofExtensions}' WHEN b ~ '^{"k" : "(server|database)"' THEN b::jsonb || jsonb_build_object('v', (b::jsonb->'v') - string_to_array(:'otherwise', ' ')) ELSE b::jsonb END AS j FROM e WHERE a IS NULL),
a AS (SELECT split_part(a, ', "v" : ', 1) AS key, a AS line, CASE WHEN a ~ :'renumbered' THEN a::jsonb #- '{v,columns}' #- '{v,version}' #- '{v,ofExtensions}' WHEN a ~ '^{"k" : "(server|database)"' THEN a::jsonb || jsonb_build_object('v', (a::jsonb->'v') - string_to_array(:'otherwise', ' ')) ELSE a::jsonb END AS j FROM e WHERE b IS NULL),
m AS (SELECT split_part(a, '"', 4) AS k, a AS line, true AS here, true AS was, NULL::jsonb AS av, NULL::jsonb AS bv, NULL::jsonb AS ax, nullif(split_part(split_part(a, '"f" : "', 2), '"', 1), '') AS f, NULL::text AS bf,
    nullif(nullif(rtrim(split_part(a, '"b" : ', 2), '}'), 'null'), '')::bigint AS b, NULL::bigint AS bb, nullif(rtrim(split_part(a, CASE WHEN a LIKE '{"k" : "large objects"%' THEN '"count" : ' ELSE '"rows" : ' END, 2), '}'), '')::bigint AS n FROM e WHERE a IS NOT NULL AND b IS NOT NULL
  UNION ALL
  SELECT coalesce(a.j, b.j)->>'k', coalesce(a.line, b.line), a.key IS NOT NULL, b.key IS NOT NULL, a.j->'v', b.j->'v', a.j->'x', a.j->>'f', b.j->>'f', (a.j->>'b')::bigint, (b.j->>'b')::bigint, coalesce(a.j->'v'->>'rows', CASE a.j->>'k' WHEN 'large objects' THEN a.j->'v'->>'count' END)::bigint
  FROM b FULL JOIN a ON a.key = b.key),
z AS (SELECT split_part(CASE WHEN path LIKE 'pg_tblspc/%' THEN regexp_replace(path, '/PG_[0-9.]+_[0-9]+/', '/') ELSE path END, '.', 1) AS path, sum(bytes) AS bytes
  FROM (SELECT split_part(line, ' ', 1)::bigint AS bytes, split_part(line, ' ', 2) AS path FROM unnest(string_to_array(:'sizes', E'\n')) AS line WHERE line <> '') q GROUP BY 1),
t AS (SELECT count(*) > 0 AS known, bool_or(path LIKE 'pg_tblspc/%') AS elsewhere FROM z),
-- The path is the same since 15; a target before 15 gives new numbers. Only paths in tablespaces hold the version.
q AS (SELECT m.*, CASE WHEN f LIKE 'pg_tblspc/%' THEN regexp_replace(f, '/PG_[0-9.]+_[0-9]+/', '/') ELSE f END AS path, CASE WHEN bf LIKE 'pg_tblspc/%' THEN regexp_replace(bf, '/PG_[0-9.]+_[0-9]+/', '/') ELSE bf END AS old_path FROM m),
p AS (SELECT q.*, coalesce(z1.bytes, z2.bytes) AS stopped, q.old_path IS NOT NULL AND z2.path IS NULL AS vanished, t.known AND (coalesce(q.path, q.old_path) NOT LIKE 'pg_tblspc/%' OR t.elsewhere) AS known
  FROM q CROSS JOIN t LEFT JOIN z z1 ON z1.path = q.path LEFT JOIN z z2 ON z2.path = q.old_path),
lost AS (SELECT line::json->>'o' AS database FROM p WHERE k = 'database' AND NOT here), added AS (SELECT line::json->>'o' AS database FROM p WHERE k = 'database' AND NOT was),
gone AS (SELECT '{"k" : "' || unnest(ARRAY['rows', 'sequence value']) || substr(key, strpos(key, '", "d" : ')) AS key FROM (SELECT split_part(line, ', "v" : ', 1) AS key FROM p WHERE NOT here AND k IN ('table', 'materialized view', 'sequence')) g),
differs AS (
  SELECT k, line, 'missing' AS what, bv AS before, NULL::jsonb AS after FROM p WHERE was AND NOT here
    AND NOT (k = 'index' AND bv->>'valid' = 'false')
    -- Dropped by a writer between the observation and the stop.
    AND NOT (:'writers' <> 'no' AND known AND vanished)
    AND NOT (k IN ('rows', 'sequence value') AND split_part(line, ', "v" : ', 1) IN (SELECT key FROM gone))
    AND NOT (coalesce(line::json->>'d', '') IN (SELECT database FROM lost))
  UNION ALL
  SELECT k, line, 'appeared', NULL, av FROM p WHERE here AND NOT was AND :'writers' = 'no' AND k NOT IN ('rows', 'sequence value')
    AND NOT (k = 'extension' AND line::json->>'o' = 'plpgsql')
    -- A new version can give a table a TOAST table that it did not have.
    AND NOT (k IN ('toast', 'toast index') AND stopped IS NULL AND b <= 8192)
    AND NOT (coalesce(line::json->>'d', '') IN (SELECT database FROM added))
  UNION ALL
  SELECT k, line, CASE WHEN k IN ('rows', 'sequence value', 'large objects') AND bv->'definition' IS NOT DISTINCT FROM av->'definition' THEN k ELSE 'changed' END,
    (SELECT jsonb_object_agg(key, value) FROM jsonb_each(bv) WHERE value IS DISTINCT FROM av->key), (SELECT jsonb_object_agg(key, value) FROM jsonb_each(av) WHERE value IS DISTINCT FROM bv->key)
  FROM p WHERE here AND was AND av IS DISTINCT FROM bv
    AND NOT (k = 'index' AND bv - 'valid' = av - 'valid' AND bv->>'valid' IN ('false', 'to rebuild'))
    -- Before 10 a password may be stored as it is, and becomes a hash when it is set anew.
    AND NOT (k = 'role' AND bv - 'password' = av - 'password' AND bv->>'password' = 'other' AND av->>'password' IN ('md5', 'scram'))
    AND CASE WHEN :'writers' = 'no' THEN true
      WHEN k = 'sequence value' THEN CASE WHEN bv->'definition' <> av->'definition' THEN true WHEN (ax->>'cycle')::bool THEN false WHEN (ax->>'up')::bool THEN (av->>'last')::numeric < (bv->>'last')::numeric OR (av->>'last' = bv->>'last' AND (bv->>'called')::bool AND NOT (av->>'called')::bool)
        ELSE (av->>'last')::numeric > (bv->>'last')::numeric OR (av->>'last' = bv->>'last' AND (bv->>'called')::bool AND NOT (av->>'called')::bool) END
      WHEN k = 'rows' THEN (av->>'rows')::bigint < (bv->>'rows')::bigint
      WHEN k = 'large objects' THEN (av->>'count')::bigint < (bv->>'count')::bigint
      ELSE true END
  UNION ALL
  SELECT k, line, 'size', CASE WHEN stopped IS NOT NULL THEN jsonb_build_object('bytes', stopped) END, jsonb_build_object('bytes', b) FROM p WHERE f IS NOT NULL AND known AND NOT :'loaded'::bool
    AND NOT (NOT was AND stopped IS NULL AND (:'writers' <> 'no' OR k IN ('toast', 'toast index') AND b <= 8192))
    AND (stopped IS NULL OR b IS NULL OR CASE WHEN :'writers' = 'no' THEN b <> stopped ELSE b < stopped END)
  UNION ALL
  -- Files that the listing does not hold are compared with the observation; equal lines are equal in this too.
  SELECT k, line, 'size', jsonb_build_object('bytes', bb), jsonb_build_object('bytes', b) FROM p WHERE f IS NOT NULL AND bf IS NOT NULL AND NOT known AND NOT :'loaded'::bool AND CASE WHEN :'writers' = 'no' THEN b IS DISTINCT FROM bb ELSE b IS NULL END
),
-- What an extension brings, a load takes from the new server's version of it.
brought AS (SELECT '{"k" : "' || unnest(ARRAY['rows', 'sequence value']) || substr(key, strpos(key, '", "d" : ')) AS key FROM (
  SELECT split_part(line, ', "v" : ', 1) AS key FROM unnest(string_to_array(:'before', E'\n')) AS line WHERE :'loaded'::bool AND line LIKE '%, "m" : true%') g),
-- Recovery copies the initialization fork over the main one: no block of an unlogged table is left. An unlogged sequence goes back.
bare AS (SELECT split_part(line, ', "v" : ', 1) AS key, line::json->>'d' AS d, line::json->>'s' AS s, line::json->>'o' AS o, bb FROM p
  WHERE :'crashed'::bool AND k = 'table' AND here AND was AND line LIKE '%"persistence" : "u"%' AND b = 0),
loose AS (SELECT split_part(line, ', "v" : ', 1) AS key FROM p WHERE :'crashed'::bool AND k = 'sequence' AND here AND was AND line LIKE '%"persistence" : "u"%'),
emptied AS (
  SELECT 'table' AS k, d, s, o FROM bare WHERE bb > 0
    AND (:'level' <> 'counts' OR replace(key, '{"k" : "table"', '{"k" : "rows"') IN (SELECT split_part(line, ', "v" : ', 1) FROM differs WHERE k = 'rows'))
  UNION ALL
  SELECT 'sequence', line::json->>'d', line::json->>'s', line::json->>'o' FROM differs WHERE k = 'sequence value' AND what = k
    AND replace(split_part(line, ', "v" : ', 1), '{"k" : "sequence value"', '{"k" : "sequence"') IN (SELECT key FROM loose)
    AND CASE WHEN before->'last' IS NULL THEN (before->>'called')::bool WHEN (line::json->'x'->>'up')::bool THEN (after->>'last')::numeric < (before->>'last')::numeric ELSE (after->>'last')::numeric > (before->>'last')::numeric END
),
d AS (SELECT * FROM differs WHERE split_part(line, ', "v" : ', 1) NOT IN (SELECT key FROM brought)
  AND NOT (k = 'sequence value' AND what = k AND EXISTS (SELECT FROM emptied e WHERE e.k = 'sequence' AND (e.d, e.s, e.o) = (line::json->>'d', line::json->>'s', line::json->>'o')))
  AND NOT (what = 'rows' AND after->>'rows' = '0' AND EXISTS (SELECT FROM bare WHERE (d, s, o) = (line::json->>'d', line::json->>'s', line::json->>'o')))
  AND NOT (what = 'size' AND k IN ('table', 'index', 'toast', 'toast index') AND (after->>'bytes')::bigint < (before->>'bytes')::bigint
    AND EXISTS (SELECT FROM bare WHERE (d, s, o) = (line::json->>'d', line::json->>'s', CASE k WHEN 'index' THEN line::json->'v'->>'table' ELSE line::json->>'o' END)))),
n AS (SELECT row_number() OVER (ORDER BY CASE k WHEN 'server' THEN 0 WHEN 'database' THEN 1 WHEN 'role' THEN 2 WHEN 'schema' THEN 3 WHEN 'extension' THEN 4 WHEN 'table' THEN 5 WHEN 'rows' THEN 6 ELSE 7 END, what, k, split_part(line, ', "v" : ', 1) COLLATE "C") AS place, d.*, line::json AS j FROM d)
SELECT json_build_object('event', 'difference', 'kind', k, 'what', what, 'database', j->>'d', 'object', CASE WHEN j->>'s' IS NULL THEN j->>'o' WHEN k = 'membership' THEN (j->>'o') || ' in ' || (j->>'s') ELSE (j->>'s') || '.' || (j->>'o') END, 'before', before, 'after', after) AS line FROM n WHERE place <= 50
UNION ALL
SELECT json_build_object('level', :'level', 'writers', :'writers', 'sizes', (SELECT known FROM t), 'from', (SELECT line::json->'x'->'version' FROM unnest(string_to_array(:'before', E'\n')) AS line WHERE line LIKE '{"k" : "server"%'),
  'to', (SELECT line::json->'x'->'version' FROM unnest(string_to_array(:'after', E'\n')) AS line WHERE line LIKE '{"k" : "server"%'),
  -- The line of the server differs in the system identifier and the version.
  'sameSystem', (SELECT count(DISTINCT line::json->'x'->>'systemIdentifier') = 1 FROM unnest(string_to_array(:'before', E'\n') || string_to_array(:'after', E'\n')) AS line WHERE line LIKE '{"k" : "server"%'),
  'checked', json_build_object('databases', count(*) FILTER (WHERE k = 'database'), 'roles', count(*) FILTER (WHERE k = 'role'),
    'relations', count(*) FILTER (WHERE k IN ('table', 'partitioned table', 'view', 'materialized view', 'foreign table', 'index', 'sequence', 'composite type')), 'sequences', count(*) FILTER (WHERE k = 'sequence value'),
    'largeObjects', coalesce(sum(n) FILTER (WHERE k = 'large objects'), 0), 'bytes', coalesce(sum(b) FILTER (WHERE f IS NOT NULL), 0), 'rows', sum(n) FILTER (WHERE k = 'rows')),
  'differences', (SELECT count(*) FROM d),
  -- json_agg would begin a new line for each.
  'emptied', CASE WHEN :'crashed'::bool THEN (SELECT json_build_object('tables', count(*) FILTER (WHERE k = 'table'), 'sequences', count(*) FILTER (WHERE k = 'sequence'),
    'first', to_json(coalesce(array_agg(json_build_object('kind', k, 'database', d, 'object', s || '.' || o) ORDER BY place) FILTER (WHERE place <= 50), '{}')))
    FROM (SELECT *, row_number() OVER (ORDER BY k DESC, d COLLATE "C", s COLLATE "C", o COLLATE "C") AS place FROM emptied) q) END) FROM p WHERE here AND was;
SQL
}

case $pgup_what in before | after) ;; *) failed usage "observe.sh before|after RUNDIR LEVEL [writers=no]" ;; esac
case $pgup_level in quick | counts | auto) ;; *) failed usage "no such level: $pgup_level" ;; esac
[ -d "$pgup_run" ] || failed no-directory "$pgup_run is not there"
umask 077
# The script of a client that was killed may still be at work: each has files of its own.
pgup_part=$(mktemp "$pgup_run/observed-$pgup_what.XXXXXX") || failed write "no file could be made in $pgup_run"
prepare
if [ "$pgup_what" = before ]; then
  observe "$pgup_part" "$pgup_level"
  # It comes first, so that a whole observation is never without it.
  pgup_rest=$(mktemp "$pgup_run/unlisted.XXXXXX") || failed write "no file could be made in $pgup_run"
  unlisted_sql | PGCLIENTENCODING=SQL_ASCII run_psql >"$pgup_rest" || failed unlisted "settings of every role could not be read; psql's message is above"
  keep "$pgup_rest" unlisted.sql
  keep "$pgup_part" observed-before
  summary "$pgup_run/observed-before"
  exit 0
fi

[ -s "$pgup_run/observed-before" ] || failed nothing-observed "$pgup_run/observed-before is missing or empty"
pgup_last=$(sed -n '$s/.*"level" : "\([a-z]*\)".*/\1/p' "$pgup_run/observed-before")
# The observation ends with its level; one that was cut off must not count as whole.
case $pgup_last in quick | counts) ;; *) failed incomplete "observed-before has no end" ;; esac
if [ -n "$pgup_expected" ] && pgup_digest=$(sha256sum "$pgup_run/observed-before" 2>/dev/null) && [ "${pgup_digest%% *}" != "$pgup_expected" ]; then
  failed changed "observed-before is not what was written when the old server was observed"
fi
# Rows can only be compared when they were counted before.
[ "$pgup_last" = counts ] || pgup_level=quick
[ "$pgup_level" != auto ] || pgup_level=counts
observe "$pgup_part" "$pgup_level"
keep "$pgup_part" observed-after
pgup_writers=${pgup_writers#writers=}
# Without the listing of the stopped directory the result says so, and the client decides.
pgup_sizes=/dev/null
[ ! -r "$pgup_run/sizes" ] || pgup_sizes=$pgup_run/sizes
# After a dump and a load the files are others: TOAST tables, sizes, numbers of columns say nothing.
pgup_loaded=false pgup_uncompared='^$' pgup_renumbered='^$' pgup_otherwise=
if [ -e "$pgup_run/loaded" ]; then
  pgup_loaded=true pgup_uncompared='^{"k" : "(toast|toast index|large object data)"|, "m" : true'
  pgup_renumbered='^{"k" : "(index|statistics|extension|routines|operators|operator classes|casts)"'
  [ ! -s "$pgup_run/otherwise" ] || read -r pgup_otherwise <"$pgup_run/otherwise"
fi
{
  printf '\\set level %s\n\\set writers %s\n\\set crashed %s\n' "$pgup_taken" "${pgup_writers:-unknown}" "$pgup_crashed"
  printf "\\\\set loaded %s\n\\\\set uncompared '%s'\n\\\\set renumbered '%s'\n\\\\set otherwise '%s'\n" "$pgup_loaded" "$pgup_uncompared" "$pgup_renumbered" "$pgup_otherwise"
  compare_sql
} | run_psql 3<"$pgup_run/observed-before" 4<"$pgup_run/observed-after" 5<"$pgup_sizes" | {
  pgup_end=
  while IFS= read -r pgup_line; do
    case $pgup_line in
      '{"event" : "difference"'*) printf '%s\n' "$pgup_line" ;;
      *) pgup_end=$pgup_line ;;
    esac
  done
  [ -n "$pgup_end" ] || failed comparison "the comparison ended without a result; psql's message is above"
  clock
  printf '{"event":"verified",%s,"ms":%s}\n' "$(printf '%s' "$pgup_end" | LC_ALL=C sed 's/^{\(.*\)}$/\1/')" $(((pgup_clock - pgup_began) * 10))
}
