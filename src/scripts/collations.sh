# The SQL of vacuum.sh about collations: which sort otherwise now, and what depends on them.
# shellcheck shell=sh disable=SC2154

# Views of the session: changed(oid, why) holds the collations whose order is another one now, 100 is the database's own.
changed_sql() {
  cat <<'SQL'
\set done `cat <&8`
\set observed `grep '^{"k" : "collation version"' <&9`
\set old_libc `printf %s "$PGUP_OLD_LIBC"`
\set new_libc `printf %s "$PGUP_NEW_LIBC"`
\set from `printf %s "$PGUP_FROM"`
CREATE TEMPORARY TABLE pgup_changed AS
-- Versions that the old server itself told; those of collations made by initdb are the new server's already.
WITH seen AS (SELECT j->>'o' AS name, j->'x'->>'version' AS version, j->>'p' AS provider FROM (SELECT line::json AS j FROM unnest(string_to_array(:'observed', E'\n')) AS line WHERE line <> '') q
  WHERE j->>'d' = encode(namesend(current_database()), 'escape')),
libc AS (SELECT :'old_libc' = '' OR :'new_libc' = '' OR :'old_libc' <> :'new_libc' AS changed)
SELECT 100::oid AS oid, recorded, actual FROM (SELECT coalesce(to_jsonb(d)->>'datlocprovider', 'c') AS provider, datcollate, to_jsonb(d)->>'datcollversion' AS recorded, :actual AS actual FROM pg_database d WHERE datname = current_database()) d, libc
WHERE CASE provider WHEN 'i' THEN recorded IS DISTINCT FROM actual
  WHEN 'c' THEN datcollate !~* '^(C|POSIX)$|^C[.]' AND (CASE WHEN :from >= 15 AND recorded IS NOT NULL THEN recorded IS DISTINCT FROM actual ELSE libc.changed END) ELSE false END
UNION ALL
SELECT c.oid, collversion, pg_collation_actual_version(c.oid) FROM libc, pg_collation c LEFT JOIN seen ON seen.name = encode(namesend(collname), 'escape') AND c.oid < 16384
WHERE c.oid <> 100 AND CASE collprovider
  WHEN 'c' THEN collcollate !~* '^(C|POSIX)$|^C[.]' AND CASE WHEN c.oid >= 16384 AND collversion IS NOT NULL THEN collversion IS DISTINCT FROM pg_collation_actual_version(c.oid) ELSE libc.changed END
  WHEN 'i' THEN CASE WHEN c.oid >= 16384 THEN collversion IS DISTINCT FROM pg_collation_actual_version(c.oid) ELSE seen.version IS DISTINCT FROM pg_collation_actual_version(c.oid) END
  ELSE false END;

-- Collations that an index depends on: of its columns, of what its expressions and its condition compare, and of what its types hold inside.
CREATE TEMPORARY TABLE pgup_index AS
WITH RECURSIVE i AS (SELECT x.indexrelid, x.indcollation, c.relam, coalesce(x.indexprs::text, '') || coalesce(x.indpred::text, '') AS tree FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid
    WHERE c.relkind = 'i' AND c.relpersistence <> 't' AND x.indisvalid AND x.indislive),
t(top, oid) AS (SELECT DISTINCT atttypid, atttypid FROM pg_attribute JOIN i ON attrelid = i.indexrelid
  UNION SELECT t.top, n.oid FROM t JOIN pg_type y ON y.oid = t.oid CROSS JOIN LATERAL (SELECT y.typbasetype AS oid WHERE y.typtype = 'd' UNION ALL SELECT y.typelem WHERE y.typelem <> 0 AND y.typlen = -1
    UNION ALL SELECT rngsubtype FROM pg_range WHERE rngtypid = y.oid OR (to_jsonb(pg_range)->>'rngmultitypid')::oid = y.oid UNION ALL SELECT atttypid FROM pg_attribute WHERE attrelid = y.typrelid AND y.typtype = 'c' AND attnum > 0 AND NOT attisdropped) n),
inside(top, coll) AS (SELECT t.top, rngcollation FROM t JOIN pg_range ON rngtypid = t.oid OR (to_jsonb(pg_range)->>'rngmultitypid')::oid = t.oid
  UNION SELECT t.top, attcollation FROM t JOIN pg_type y ON y.oid = t.oid AND y.typtype = 'c' JOIN pg_attribute ON attrelid = y.typrelid AND attnum > 0 AND NOT attisdropped
  -- The order of jsonb values in a btree is that of the database.
  UNION SELECT t.top, 100::oid FROM t WHERE t.oid = 'jsonb'::regtype)
SELECT indexrelid, array_agg(DISTINCT coll) AS collations FROM (
  SELECT indexrelid, unnest(indcollation) AS coll FROM i
  UNION ALL SELECT indexrelid, m[1]::oid FROM i, regexp_matches(tree, ':inputcollid (\d+)', 'g') m
  UNION ALL SELECT i.indexrelid, inside.coll FROM i JOIN pg_attribute ON attrelid = i.indexrelid JOIN inside ON top = atttypid JOIN pg_am ON pg_am.oid = relam AND amname <> 'gin'
) q JOIN pgup_changed ON pgup_changed.oid = coll JOIN pg_class c ON c.oid = indexrelid JOIN pg_am ON pg_am.oid = relam
-- Equal strings stay equal, so a hash only changes where the collation itself decides what is equal.
WHERE amname <> 'hash' OR EXISTS (SELECT FROM pg_collation k WHERE k.oid = coll AND NOT (to_jsonb(k)->>'collisdeterministic')::bool) GROUP BY indexrelid;
SQL
}

# What a REINDEX CONCURRENTLY that was killed left behind, unless one is at work on it this moment.
leftovers_sql() {
  cat <<'SQL'
SELECT format('SELECT %L', '@' || json_build_object('object', encode(namesend(nspname), 'escape') || '.' || encode(namesend(c.relname), 'escape'), 'leftover', true)), format('DROP INDEX CONCURRENTLY %I.%I', nspname, c.relname)
FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE NOT indisvalid AND c.relkind = 'i' AND c.relname ~ '_cc(new|old)[0-9]*$' AND nspname <> 'pg_toast' AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index p WHERE p.relid = x.indrelid) \gexec
SQL
}

reindex_sql() {
  changed_sql
  cat <<'SQL'
SELECT format('SELECT %L', '@' || info), CASE WHEN excludes THEN format('REINDEX INDEX %I.%I', nspname, relname) ELSE format('REINDEX INDEX CONCURRENTLY %I.%I', nspname, relname) END
FROM (SELECT nspname, c.relname, x.indisexclusion AS excludes, pg_relation_size(c.oid) AS bytes, json_build_object('object', encode(namesend(nspname), 'escape') || '.' || encode(namesend(c.relname), 'escape'))::text AS info
  FROM pgup_index p JOIN pg_class c ON c.oid = p.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_index x ON x.indexrelid = c.oid) q
WHERE info <> ALL (string_to_array(:'done', E'\n')) AND excludes = :excludes AND NOT (excludes AND bytes > 104857600) ORDER BY bytes \gexec
SQL
}

# What only a person can decide, as lines "KIND|JSON".
warnings_sql() {
  changed_sql
  cat <<'SQL'
SELECT 'exclusion|' || json_build_object('object', encode(namesend(nspname), 'escape') || '.' || encode(namesend(c.relname), 'escape'), 'bytes', pg_relation_size(c.oid))
FROM pgup_index p JOIN pg_class c ON c.oid = p.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_index x ON x.indexrelid = c.oid WHERE x.indisexclusion AND pg_relation_size(c.oid) > 104857600
UNION ALL
SELECT DISTINCT 'partition|' || json_build_object('object', encode(namesend(nspname), 'escape') || '.' || encode(namesend(c.relname), 'escape'))
FROM pg_partitioned_table t JOIN pg_class c ON c.oid = t.partrelid JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pgup_changed k ON k.oid = ANY (t.partcollation::oid[]) WHERE partstrat = 'r'
UNION ALL
SELECT DISTINCT 'check|' || json_build_object('object', encode(namesend(nspname), 'escape') || '.' || encode(namesend(c.relname), 'escape'), 'constraint', encode(namesend(conname), 'escape'))
FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace, regexp_matches(conbin::text, '\{OPEXPR :opno (\d+)[^{]* :inputcollid (\d+)', 'g') m
JOIN pgup_changed k ON k.oid = m[2]::oid WHERE contype = 'c' AND EXISTS (SELECT FROM pg_amop WHERE amopopr = m[1]::oid AND amopmethod = 403 AND amopstrategy <> 3);
SQL
}

# Versions are only written where no index of that collation is left to do.
refresh_sql() {
  changed_sql
  cat <<'SQL'
CREATE TEMPORARY TABLE pgup_left AS SELECT DISTINCT unnest(collations) AS oid FROM pgup_index p JOIN pg_class c ON c.oid = p.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE json_build_object('object', encode(namesend(nspname), 'escape') || '.' || encode(namesend(c.relname), 'escape'))::text <> ALL (string_to_array(:'done', E'\n'));
SELECT format('SELECT %L', '@' || json_build_object('object', encode(namesend(nspname), 'escape') || '.' || encode(namesend(collname), 'escape'), 'from', recorded, 'to', actual)), format('ALTER COLLATION %I.%I REFRESH VERSION', nspname, collname)
FROM pgup_changed k JOIN pg_collation c ON c.oid = k.oid JOIN pg_namespace n ON n.oid = collnamespace WHERE k.oid <> 100 AND recorded IS DISTINCT FROM actual AND recorded IS NOT NULL AND k.oid NOT IN (SELECT oid FROM pgup_left) \gexec
SELECT format('SELECT %L', '@' || json_build_object('from', recorded, 'to', actual)), format('ALTER DATABASE %I REFRESH COLLATION VERSION', current_database())
FROM pgup_changed WHERE oid = 100 AND recorded IS DISTINCT FROM actual AND recorded IS NOT NULL AND :version >= 150000 AND 100 NOT IN (SELECT oid FROM pgup_left) \gexec
SQL
}

# The version of the database's own collation can be asked for from 15 on.
collation_prelude() {
  if [ "$pgup_version" -ge 150000 ]; then
    printf '%s\n' '\set actual pg_database_collation_actual_version(d.oid)'
  else
    printf '%s\n' '\set actual NULL::text'
  fi
  printf '\\set version %s\n' "$pgup_version"
}
with_prelude() {
  collation_prelude
  "$1"
}
