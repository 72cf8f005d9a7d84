# What becomes of roles in a load by --method side-by-side: another administrator, new passwords. Behind side.sh and target.sh.
# PGUP_MAPS is OLD=NEW=OLD=NEW…: a role of the old server that is none of the new one, and the role of the new one that takes
# its place; no name in it has an equals sign. /login/roles has a file for each role that gets a password.
# shellcheck shell=dash disable=SC2034,SC2154

# judge_roles: refuses a map that cannot be, before anything is written.
judge_roles() {
  for password_file in "$LOGIN/roles"/*; do
    [ -f "$password_file" ] || continue
    [ -n "$(one_role ask "$FIRST" "${password_file##*/}")" ] || refuse role_passwords "the source has no role ${password_file##*/}, for which there is a password"
  done
  printf '%s\n' "${PGUP_MAPS:-}" | tr '=' '\n' | sed '/^$/d; N; s/\n/=/' >"$BOX/maps"
  : >"$BOX/mapped"
  each_map judge_map
}

# each_map COMMAND: with the old and the new name of each pair.
each_map() {
  while IFS= read -r map <&6; do
    "$1" "${map%%=*}" "${map#*=}" || return 1
  done 6<"$BOX/maps"
}

# judge_map OLD NEW: BOX/mapped gets the old name, as pg_dumpall quotes it.
judge_map() {
  one_role ask "$FIRST" "$1" >"$BOX/map-one"
  [ -s "$BOX/map-one" ] || refuse role_map "the source has no role $1"
  [ -n "$(one_role ask_new "$FIRST_NEW" "$2")" ] || refuse role_map "the target has no role $2"
  [ -z "$(one_role ask "$FIRST" "$2")" ] || refuse role_map "the source has a role $2 of its own"
  if [ "$OURS" = false ] && [ -n "$(one_role ask_new "$FIRST_NEW" "$1")" ]; then
    refuse role_map "the target has a role $1 of its own"
  fi
  cat "$BOX/map-one" >>"$BOX/mapped"
}

# mapped_in LINE: sets MAPPED to the mapped role that a line of pg_dumpall alters, as it stands there.
mapped_in() {
  MAPPED=
  while IFS= read -r mapped_one; do
    case $1 in "ALTER ROLE $mapped_one "*) MAPPED=$mapped_one ;; esac
  done <"$BOX/mapped"
}

# one_role ASK FIRST NAME: the name as pg_dumpall quotes it, when there is such a role.
one_role() {
  "$1" "$2" "SELECT rolname FROM pg_catalog.pg_roles" | grep -qxF -e "$3" || return 0
  printf '"%s"\n' "$(printf '%s' "$3" | sed 's/"/""/g')"
}

# map_role OLD NEW: everything of the mapped role to the one that takes its place. It was made for the load, as a role that cannot
# log in, so that every owner and every grantee of the dump was there.
map_role() {
  for content_oid in $(ask_new template1 "SELECT oid FROM pg_catalog.pg_database WHERE datallowconn AND datconnlimit <> -2 AND datname <> 'template0' AND $OPEN"); do
    content_name=$(ask_new template1 "SELECT datname FROM pg_catalog.pg_database WHERE oid = $content_oid")
    map_sql | to_new "$content_name" "$PSQL" -XAtqw -v ON_ERROR_STOP=1 -v old="$1" -v new="$2" || return 1
  done
  # Whoever makes a role has it since 16 with admin option alone, and uses nothing of it.
  cat <<'SQL' | to_new template1 "$PSQL" -XAtqw -v ON_ERROR_STOP=1 -v old="$1" -v new="$2" -v all="$WEAK_ALL"
\set granted '(SELECT a.*, coalesce((to_jsonb(a) ->> ''inherit_option'')::bool OR (to_jsonb(a) ->> ''set_option'')::bool, true) AS used FROM pg_auth_members a)'
SELECT format('GRANT %s TO %I%s', roleid::regrole, :'new', CASE WHEN bool_or(admin_option) AND NOT EXISTS (
  SELECT FROM :granted g WHERE roleid = m.roleid AND member = (SELECT oid FROM pg_roles WHERE rolname = :'new') AND admin_option) THEN ' WITH ADMIN OPTION' ELSE '' END)
FROM :granted m WHERE member = (SELECT oid FROM pg_roles WHERE rolname = :'old')
AND NOT EXISTS (SELECT FROM :granted g WHERE used AND roleid = m.roleid AND member = (SELECT oid FROM pg_roles WHERE rolname = :'new')) GROUP BY roleid \gexec
SELECT format('GRANT %I TO %s%s', :'new', member::regrole, CASE WHEN bool_or(admin_option) THEN ' WITH ADMIN OPTION' ELSE '' END)
FROM :granted g WHERE used AND roleid = (SELECT oid FROM pg_roles WHERE rolname = :'old')
AND member NOT IN (SELECT oid FROM pg_roles WHERE rolname IN (:'new', :'all')) GROUP BY member \gexec
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

# sort_grants: the grants in each line of an observation, in one order whatever the roles are called now.
sort_grants() {
  LC_ALL=C awk '{
    at = index($0, "\"grants\" : \"")
    if (!at) { print; next }
    rest = substr($0, at + 12)
    match(rest, /^([^"\\]|\\.)*/)
    list = substr(rest, 1, RLENGTH); tail = substr(rest, RLENGTH + 1)
    for (n = 0; match(list, /=[A-Z]+[*]?( |$)/); list = substr(list, RSTART + RLENGTH)) {
      word = substr(list, 1, RSTART + RLENGTH - 1)
      sub(/ $/, "", word)
      for (i = ++n; i > 1 && words[i - 1] > word; i--) words[i] = words[i - 1]
      words[i] = word
    }
    sorted = ""
    for (i = 1; i <= n; i++) sorted = sorted (i > 1 ? " " : "") words[i]
    print substr($0, 1, at + 11) sorted list tail
  }'
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
