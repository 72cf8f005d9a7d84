# What becomes of roles in a load by --method side-by-side: another administrator, new passwords. Behind side.sh and target.sh.
# PGUP_MAP_OLD is a role of the old server that is none of the new one, PGUP_MAP_NEW the role of the new one that takes its
# place; /login/roles has a file for each role that gets a password.
# shellcheck shell=dash disable=SC2034,SC2154

# judge_roles: refuses a map that cannot be, before anything is written.
judge_roles() {
  for password_file in "$LOGIN/roles"/*; do
    [ -f "$password_file" ] || continue
    [ -n "$(one_role ask "$FIRST" "${password_file##*/}")" ] || refuse role_passwords "the source has no role ${password_file##*/}, for which there is a password"
  done
  MAP_OLD='' MAP_NEW=''
  [ -n "${PGUP_MAP_OLD:-}" ] || return 0
  MAP_OLD=$(one_role ask "$FIRST" "$PGUP_MAP_OLD")
  [ -n "$MAP_OLD" ] || refuse role_map "the source has no role $PGUP_MAP_OLD"
  MAP_NEW=$(one_role ask_new "$FIRST_NEW" "$PGUP_MAP_NEW")
  [ -n "$MAP_NEW" ] || refuse role_map "the target has no role $PGUP_MAP_NEW"
  [ -z "$(one_role ask "$FIRST" "$PGUP_MAP_NEW")" ] || refuse role_map "the source has a role $PGUP_MAP_NEW of its own"
  if [ "$OURS" = false ] && [ -n "$(one_role ask_new "$FIRST_NEW" "$PGUP_MAP_OLD")" ]; then
    refuse role_map "the target has a role $PGUP_MAP_OLD of its own"
  fi
}

# one_role ASK FIRST NAME: the name as pg_dumpall quotes it, when there is such a role.
one_role() {
  "$1" "$2" "SELECT rolname FROM pg_catalog.pg_roles" | grep -qxF -e "$3" || return 0
  printf '"%s"' "$(printf '%s' "$3" | sed 's/"/""/g')"
}

# map_role: everything of the mapped role to the one that takes its place. It was made for the load, as a role that cannot
# log in, so that every owner and every grantee of the dump was there.
map_role() {
  [ -n "$MAP_OLD" ] || return 0
  for content_oid in $(ask_new template1 "SELECT oid FROM pg_catalog.pg_database WHERE datallowconn AND datconnlimit <> -2 AND datname <> 'template0'"); do
    content_name=$(ask_new template1 "SELECT datname FROM pg_catalog.pg_database WHERE oid = $content_oid")
    map_sql | to_new "$content_name" "$PSQL" -XAtqw -v ON_ERROR_STOP=1 -v old="$PGUP_MAP_OLD" -v new="$PGUP_MAP_NEW" || return 1
  done
  cat <<'SQL' | to_new template1 "$PSQL" -XAtqw -v ON_ERROR_STOP=1 -v old="$PGUP_MAP_OLD" -v new="$PGUP_MAP_NEW"
SELECT format('GRANT %s TO %I%s', roleid::regrole, :'new', CASE WHEN bool_or(admin_option) THEN ' WITH ADMIN OPTION' ELSE '' END)
FROM pg_auth_members WHERE member = (SELECT oid FROM pg_roles WHERE rolname = :'old') GROUP BY roleid \gexec
SELECT format('GRANT %I TO %s%s', :'new', member::regrole, CASE WHEN bool_or(admin_option) THEN ' WITH ADMIN OPTION' ELSE '' END)
FROM pg_auth_members WHERE roleid = (SELECT oid FROM pg_roles WHERE rolname = :'old') GROUP BY member \gexec
DROP ROLE :"old";
SQL
}

# map_sql: in one database. What others have granted is granted anew, what is owned changes hands, and then nothing is left.
map_sql() {
  cat <<'SQL'
SET search_path = pg_catalog;
SELECT format('GRANT %s ON %s %s TO %I%s', privilege_type, kind, object, :'new', CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) FROM (
  SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, c.oid::regclass::text AS object, c.relowner AS owner, a.* FROM pg_class c, aclexplode(relacl) a
  UNION ALL SELECT 'SCHEMA', oid::regnamespace::text, nspowner, a.* FROM pg_namespace, aclexplode(nspacl) a
  UNION ALL SELECT CASE prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, oid::regprocedure::text, proowner, a.* FROM pg_proc, aclexplode(proacl) a
  UNION ALL SELECT 'TYPE', oid::regtype::text, typowner, a.* FROM pg_type, aclexplode(typacl) a
  UNION ALL SELECT 'LANGUAGE', quote_ident(lanname), lanowner, a.* FROM pg_language, aclexplode(lanacl) a
  UNION ALL SELECT 'FOREIGN SERVER', quote_ident(srvname), srvowner, a.* FROM pg_foreign_server, aclexplode(srvacl) a
  UNION ALL SELECT 'FOREIGN DATA WRAPPER', quote_ident(fdwname), fdwowner, a.* FROM pg_foreign_data_wrapper, aclexplode(fdwacl) a
  UNION ALL SELECT 'LARGE OBJECT', oid::text, lomowner, a.* FROM pg_largeobject_metadata, aclexplode(lomacl) a
  UNION ALL SELECT 'DATABASE', quote_ident(datname), datdba, a.* FROM pg_database, aclexplode(datacl) a WHERE datname = current_database()) g
WHERE grantee = (SELECT oid FROM pg_roles WHERE rolname = :'old') AND owner <> grantee \gexec
SELECT format('GRANT %s (%I) ON %s TO %I%s', privilege_type, attname, attrelid::regclass, :'new', CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM pg_attribute, aclexplode(attacl) WHERE grantee = (SELECT oid FROM pg_roles WHERE rolname = :'old') \gexec
SELECT format('ALTER DEFAULT PRIVILEGES FOR ROLE %I %s GRANT %s ON %s TO %s%s', CASE WHEN defaclrole = o.oid THEN :'new' ELSE pg_get_userbyid(defaclrole) END,
  'IN SCHEMA ' || nullif(defaclnamespace, 0)::regnamespace, privilege_type,
  CASE defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' END,
  CASE grantee WHEN 0 THEN 'PUBLIC' WHEN o.oid THEN quote_ident(:'new') ELSE quote_ident(pg_get_userbyid(grantee)) END, CASE WHEN is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM pg_default_acl, aclexplode(defaclacl), (SELECT oid FROM pg_roles WHERE rolname = :'old') o WHERE (defaclrole = o.oid AND grantee <> o.oid) OR (defaclrole <> o.oid AND grantee = o.oid) \gexec
REASSIGN OWNED BY :"old" TO :"new";
DROP OWNED BY :"old";
SQL
}

# set_passwords: of the roles that a Secret has one for. psql makes the hash here, so that no password goes over the network or
# into the server's log.
set_passwords() {
  for password_file in "$LOGIN/roles"/*; do
    [ -f "$password_file" ] || continue
    password_role=${password_file##*/}
    password=$(cat "$password_file")
    # Without a terminal of its own it reads stdin.
    # shellcheck disable=SC2046
    printf '%s\n%s\n' "$password" "$password" |
      to_new template1 $(command -v setsid || :) "$PSQL" -Xqw -v ON_ERROR_STOP=1 -c "\\password \"$password_role\"" || return 1
    password=''
  done
}
