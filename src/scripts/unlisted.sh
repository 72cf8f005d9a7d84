# What pg_dumpall leaves out, and pg_upgrade therefore too (dumpUserConfig and dumpTablespaces in pg_dumpall.c): settings of every
# role, options and grants of the tablespaces that each cluster has.
# shellcheck shell=sh

# unlisted_sql: the query for one statement in each line that makes them again.
unlisted_sql() {
  # Without a backslash in a literal, whatever standard_conforming_strings is. Lists are stored as names, some in quotes.
  cat <<'SQL'
SELECT 'ALTER ROLE ALL SET ' || pg_catalog.quote_ident(name) || ' TO ' || (SELECT pg_catalog.string_agg('E''' || pg_catalog.replace(pg_catalog.replace(pg_catalog.replace(word,
    pg_catalog.chr(92), pg_catalog.repeat(pg_catalog.chr(92), 2)), '''', ''''''), pg_catalog.chr(10), pg_catalog.chr(92) || 'n') || '''', ', ' ORDER BY n) FROM (
    SELECT value AS word, 1 AS n WHERE NOT listed OR value = ''
    UNION ALL
    SELECT CASE WHEN m[1] LIKE '"%' THEN pg_catalog.replace(pg_catalog.substr(m[1], 2, pg_catalog.length(m[1]) - 2), '""', '"') ELSE m[1] END, n
      FROM pg_catalog.regexp_matches(value, '"(?:[^"]|"")*"|[^", ]+', 'g') WITH ORDINALITY AS r (m, n) WHERE listed) w) || ';'
  FROM (SELECT name, value, name IN ('local_preload_libraries', 'search_path', 'session_preload_libraries', 'temp_tablespaces') AS listed FROM (
    SELECT pg_catalog.split_part(c, '=', 1) AS name, pg_catalog.substr(c, pg_catalog.strpos(c, '=') + 1) AS value
    FROM pg_catalog.pg_db_role_setting, pg_catalog.unnest(setconfig) c WHERE setrole = 0 AND setdatabase = 0) c) s
UNION ALL
SELECT pg_catalog.format('ALTER TABLESPACE %I SET (%s);', spcname, pg_catalog.array_to_string(spcoptions, ', ')) FROM pg_catalog.pg_tablespace WHERE oid < 16384 AND spcoptions IS NOT NULL
UNION ALL
SELECT pg_catalog.format('GRANT %s ON TABLESPACE %I TO %s%s;', privilege_type, spcname, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(grantee)) END,
    CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
  FROM pg_catalog.pg_tablespace t, pg_catalog.aclexplode(spcacl) WHERE t.oid < 16384 AND grantee <> spcowner
SQL
}
