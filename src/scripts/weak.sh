# A target whose administrator is no superuser, as those of managed servers are: it has CREATEROLE and CREATEDB. What it cannot
# make is found before the load. Behind side.sh, target.sh and roles.sh; WEAK is not empty for such a target.
# shellcheck shell=dash disable=SC2034,SC2154

# A member of whatever owns something, and the administrator is a member of it: what the load needs of others goes with this role.
WEAK_ALL=kubectl_pg_upgrade_all

# judge_weak: refuses what such an administrator cannot load. BOX/denied gets settings of roles that it may not set, BOX/reserved
# roles of the server's own that it may not grant, BOX/skipped databases that it can neither make anew nor needs to.
judge_weak() {
  WEAK='' PGUP_REWRITE=cat
  : >"$BOX/denied"
  : >"$BOX/reserved"
  : >"$BOX/skipped"
  [ "$NEW_SUPER" != t ] || return 0
  WEAK=yes PGUP_REWRITE=as_weak
  [ "$(ask_new "$FIRST_NEW" "SELECT rolcreaterole AND rolcreatedb FROM pg_catalog.pg_roles WHERE rolname = current_user")" = t ] ||
    refuse weak "$NEW_ROLE, the administrator of the target, is no superuser and has not both CREATEROLE and CREATEDB"
  judge_weak_roles
  judge_weak_settings
  judge_weak_databases
  judge_weak_extensions
  judge_weak_privileges
}

# weak_report: sets JSON to what will not be as it was: roles that lose attributes, and memberships that are left out.
weak_report() {
  JSON=null
  [ -n "$WEAK" ] || return 0
  ask "$FIRST" "SELECT rolname FROM pg_catalog.pg_roles WHERE (rolsuper OR rolreplication OR rolbypassrls) AND rolname <> current_user AND oid >= 16384 ORDER BY 1" >"$BOX/names"
  each_map without_mapped
  names_in
  report_roles=$JSON
  ask "$FIRST" "SELECT g.rolname, u.rolname || ' in ' || g.rolname FROM pg_catalog.pg_auth_members JOIN pg_catalog.pg_roles g ON g.oid = roleid JOIN pg_catalog.pg_roles u ON u.oid = member WHERE g.oid < 16384 AND u.oid >= 16384 ORDER BY 2" |
    while IFS='|' read -r report_group report_line; do
      ! grep -qxF -e "$report_group" "$BOX/reserved" || printf '%s\n' "$report_line"
    done >"$BOX/names"
  names_in
  JSON="{\"roles\":$report_roles,\"grants\":$JSON}"
}

# without_mapped OLD NEW: takes a mapped role out of BOX/names.
without_mapped() {
  grep -vxF -e "$1" "$BOX/names" >"$BOX/names.kept" || :
  mv "$BOX/names.kept" "$BOX/names"
}

# administers: a condition on pg_roles of the target, what the administrator may grant to others.
administers() {
  if [ "$TO" -ge 16 ]; then
    echo "pg_catalog.pg_has_role(current_user, oid, 'MEMBER WITH ADMIN OPTION')"
  else
    echo 'NOT rolsuper'
  fi
}

judge_weak_roles() {
  ask "$FIRST" "SELECT rolname FROM pg_catalog.pg_roles WHERE oid >= 16384 OR oid = 10" >"$BOX/weak-roles"
  theirs=$(ask_new "$FIRST_NEW" "SELECT rolname FROM pg_catalog.pg_roles WHERE rolname <> current_user AND NOT $(administers)" | grep -xF -f "$BOX/weak-roles" | tr '\n' ' ') || :
  [ -z "$theirs" ] || refuse weak "$NEW_ROLE may not administer these roles, which the target has already: $theirs"
  ask_new "$FIRST_NEW" "SELECT rolname FROM pg_catalog.pg_roles WHERE oid < 16384 AND oid <> 10 AND NOT $(administers)" >"$BOX/reserved"
  if [ "$OLD_ROLE" != "$NEW_ROLE" ] && ! cut -d= -f1 "$BOX/maps" | grep -qxF -e "$OLD_ROLE"; then
    refuse weak "$OLD_ROLE is a superuser, which the target cannot have: --role-map $OLD_ROLE=$NEW_ROLE gives what it owns to the administrator"
  fi
  each_map judge_weak_map
}

# judge_weak_map OLD NEW: what the one owns must be given to the other, and who is a member of the one must become one of the other.
judge_weak_map() {
  ask_new "$FIRST_NEW" "SELECT rolname FROM pg_catalog.pg_roles WHERE $(administers) OR pg_catalog.pg_has_role(oid, 'USAGE')" | grep -qxF -e "$2" ||
    refuse weak "$NEW_ROLE may not give anything to $2, which takes the place of $1"
  ask "$FIRST" "SELECT g.rolname FROM pg_catalog.pg_auth_members m JOIN pg_catalog.pg_roles g ON g.oid = roleid" | grep -qxF -e "$1" || return 0
  ask_new "$FIRST_NEW" "SELECT rolname FROM pg_catalog.pg_roles WHERE $(administers)" | grep -qxF -e "$2" ||
    refuse weak "$1 has members on the source, and $NEW_ROLE may not grant $2 to them"
}

judge_weak_settings() {
  weak_own=
  [ "$TO" -lt 15 ] || weak_own="AND NOT pg_catalog.has_parameter_privilege(name, 'SET')"
  ask_new "$FIRST_NEW" "SELECT name FROM pg_catalog.pg_settings WHERE context IN ('superuser', 'superuser-backend') $weak_own" >"$BOX/weak-settings"
  for setting in $(settings_of '<> 0' | grep -xiF -f "$BOX/weak-settings"); do
    refuse weak "a database of the source sets $setting, which only a superuser of the target may: ALTER DATABASE … RESET $setting"
  done
  settings_of '= 0' | grep -xiF -f "$BOX/weak-settings" >"$BOX/denied" || :
  # They are left out like those that the version does not know.
  cat "$BOX/denied" >>"$BOX/removed"
}

# settings_of CONDITION: names of settings that roles or databases of the source have.
settings_of() { ask "$FIRST" "SELECT DISTINCT pg_catalog.split_part(c, '=', 1) FROM pg_catalog.pg_db_role_setting, pg_catalog.unnest(setconfig) c WHERE setdatabase $1"; }

# judge_weak_databases: what lies in them, the two that every server has, and what is there already under a name of the source's.
judge_weak_databases() {
  theirs=$(ask_new "$FIRST_NEW" "SELECT datname FROM pg_catalog.pg_database WHERE datname NOT IN ('template0', 'template1', 'postgres') AND NOT pg_catalog.pg_has_role(datdba, 'USAGE')
    AND datdba NOT IN (SELECT oid FROM pg_catalog.pg_roles WHERE $(administers))" | grep -xF -f "$BOX/of-source" | tr '\n' ' ') || :
  [ -z "$theirs" ] || refuse weak "$NEW_ROLE does not own these databases of the target, which are made anew: $theirs(ALTER DATABASE … OWNER there, or drop them)"
  for name in template1 postgres; do
    [ "$(ask_new "$FIRST_NEW" "SELECT pg_catalog.pg_has_role(datdba, 'USAGE') AND NOT datistemplate FROM pg_catalog.pg_database WHERE datname = '$name'")" = f ] || continue
    [ -n "$(ask "$FIRST" "SELECT 1 FROM pg_catalog.pg_database WHERE datname = '$name' AND datallowconn")" ] || continue
    [ "$(ask "$name" "$USER_OBJECTS")" = 0 ] ||
      refuse weak "database $name of the source holds tables or other things of a user, and $NEW_ROLE does not own that of the target: ALTER DATABASE $name OWNER there, or move them to another database"
    echo "$name" >>"$BOX/skipped"
  done
  for content_oid in $(ask "$FIRST" "SELECT oid FROM pg_catalog.pg_database WHERE datallowconn AND datname <> 'template0'"); do
    content_name=$(ask "$FIRST" "SELECT datname FROM pg_catalog.pg_database WHERE oid = $content_oid")
    ! grep -qxF -e "$content_name" "$BOX/skipped" || continue
    beyond=$(ask "$content_name" "$(beyond_sql)") || fail old_server "database $content_name of the source cannot be read"
    [ -z "$beyond" ] || refuse weak "only a superuser can load these of database $content_name: $beyond"
  done
}

# beyond_sql: what a database has that only a superuser can make, as one line. Members of extensions come with these.
beyond_sql() {
  beyond_event="UNION ALL SELECT 'event trigger', quote_ident(evtname), tableoid, oid FROM pg_event_trigger"
  ! may_event_trigger || beyond_event=
  cat <<SQL
SELECT pg_catalog.string_agg(k || ' ' || n, ', ') FROM (SELECT k, n FROM (
  SELECT 'foreign data wrapper' AS k, pg_catalog.quote_ident(fdwname) AS n, tableoid AS class, oid FROM pg_catalog.pg_foreign_data_wrapper
  UNION ALL SELECT 'language', pg_catalog.quote_ident(lanname), tableoid, oid FROM pg_catalog.pg_language
  UNION ALL SELECT CASE WHEN p.proleakproof THEN 'leakproof function' ELSE lanname || ' function' END, p.oid::pg_catalog.regprocedure::text, p.tableoid, p.oid
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = prolang WHERE p.proleakproof OR NOT lanpltrusted AND lanname <> 'sql'
  UNION ALL SELECT 'base type', typname, tableoid, oid FROM pg_catalog.pg_type WHERE typtype = 'b' AND typelem = 0 AND typcategory <> 'A'
  UNION ALL SELECT 'operator class', opcname, tableoid, oid FROM pg_catalog.pg_opclass
  UNION ALL SELECT 'operator family', opfname, tableoid, oid FROM pg_catalog.pg_opfamily
  UNION ALL SELECT 'access method', amname, tableoid, oid FROM pg_catalog.pg_am
  UNION ALL SELECT 'text search parser', prsname, tableoid, oid FROM pg_catalog.pg_ts_parser
  UNION ALL SELECT 'text search template', tmplname, tableoid, oid FROM pg_catalog.pg_ts_template
  UNION ALL SELECT 'cast without a function to', pg_catalog.format_type(casttarget, NULL), tableoid, oid FROM pg_catalog.pg_cast WHERE castmethod = 'b'
  UNION ALL SELECT 'publication for all tables', pg_catalog.quote_ident(pubname), tableoid, oid FROM pg_catalog.pg_publication WHERE puballtables
  UNION ALL SELECT 'subscription', pg_catalog.quote_ident(subname), tableoid, oid FROM pg_catalog.pg_subscription WHERE subdbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
  UNION ALL SELECT 'forced row security of', oid::pg_catalog.regclass::text, tableoid, oid FROM pg_catalog.pg_class WHERE relforcerowsecurity
  UNION ALL SELECT 'privileges granted by others than the owner on', c.oid::pg_catalog.regclass::text, tableoid, c.oid FROM pg_catalog.pg_class c, pg_catalog.aclexplode(relacl) a WHERE a.grantor <> relowner
  UNION ALL SELECT 'privileges granted by others than the owner on', c.oid::pg_catalog.regprocedure::text, tableoid, c.oid FROM pg_catalog.pg_proc c, pg_catalog.aclexplode(proacl) a WHERE a.grantor <> proowner
  UNION ALL SELECT 'privileges granted by others than the owner on schema', pg_catalog.quote_ident(nspname), tableoid, c.oid FROM pg_catalog.pg_namespace c, pg_catalog.aclexplode(nspacl) a WHERE a.grantor <> nspowner
  $beyond_event) q
  WHERE (oid >= 16384 OR k LIKE 'privileges %schema') AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = class AND d.objid = q.oid AND deptype = 'e')
  GROUP BY k, n ORDER BY k, n LIMIT 12) q
SQL
}

# tried SQL: whether the target lets the administrator do this, which is not left there. Some providers allow more than
# PostgreSQL does.
tried() {
  printf '%s\n' "BEGIN;" "$1" "ROLLBACK;" | to_new "${2:-$FIRST_NEW}" "$PSQL" -XAtqw -v ON_ERROR_STOP=1 >"$BOX/tried" 2>&1
}

may_event_trigger() {
  tried "CREATE FUNCTION pg_temp.tried() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
    CREATE EVENT TRIGGER kubectl_pg_upgrade ON sql_drop EXECUTE PROCEDURE pg_temp.tried();"
}

judge_weak_extensions() {
  weak_trusted=
  [ "$TO" -lt 13 ] || weak_trusted='AND NOT trusted'
  ask_new "$FIRST_NEW" "SELECT DISTINCT v.name FROM pg_catalog.pg_available_extension_versions v JOIN pg_catalog.pg_available_extensions e ON e.name = v.name AND version = default_version WHERE superuser $weak_trusted" >"$BOX/untrusted"
  weak_in=$(ask_new "$FIRST_NEW" "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn AND datname <> 'template0' AND pg_catalog.has_database_privilege(oid, 'CREATE, CONNECT') AND pg_catalog.has_database_privilege(oid, 'CREATE') ORDER BY datname = current_database() DESC LIMIT 1")
  for content_oid in $(ask "$FIRST" "SELECT oid FROM pg_catalog.pg_database WHERE datallowconn AND datname <> 'template0'"); do
    content_name=$(ask "$FIRST" "SELECT datname FROM pg_catalog.pg_database WHERE oid = $content_oid")
    ! grep -qxF -e "$content_name" "$BOX/skipped" || continue
    # Their names hold no blanks.
    for extension in $(ask "$content_name" "SELECT extname FROM pg_catalog.pg_extension WHERE extname !~ '[[:space:]\"]'" | grep -xF -f "$BOX/untrusted"); do
      [ -z "$weak_in" ] || ! tried "CREATE EXTENSION IF NOT EXISTS \"$extension\" CASCADE;" "$weak_in" || continue
      refuse weak "$NEW_ROLE may not make extension $extension of database $content_name"
    done
  done
}

# judge_weak_privileges: those of the server's own things, and of what lies in extensions, which belongs to a superuser there too.
judge_weak_privileges() {
  [ "$OLD_NUM" -ge 90600 ] || return 0
  ask_new "$FIRST_NEW" "SELECT DISTINCT v.name FROM pg_catalog.pg_available_extension_versions v JOIN pg_catalog.pg_available_extensions e ON e.name = v.name AND version = default_version WHERE superuser" >"$BOX/superusers"
  for content_oid in $(ask "$FIRST" "SELECT oid FROM pg_catalog.pg_database WHERE datallowconn AND datname <> 'template0'"); do
    content_name=$(ask "$FIRST" "SELECT datname FROM pg_catalog.pg_database WHERE oid = $content_oid")
    ! grep -qxF -e "$content_name" "$BOX/skipped" || continue
    changed=$(ask "$content_name" "$(changed_sql)") || fail old_server "database $content_name of the source cannot be read"
    [ -z "$changed" ] || refuse weak "only a superuser can load the privileges on these of database $content_name, which were changed by GRANT or REVOKE and have to be as they were made: $changed"
  done
}

# changed_sql: what has other privileges in a database than it was made with, as one line.
changed_sql() {
  cat <<SQL
SELECT pg_catalog.string_agg(n, ', ') FROM (
  SELECT pg_catalog.pg_describe_object(class, o.oid, sub) || coalesce(' of extension ' || extname, '') AS n FROM (
    SELECT tableoid AS class, oid, 0 AS sub, relnamespace AS space, relacl AS acl, pg_catalog.acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner) AS usual FROM pg_catalog.pg_class
    UNION ALL SELECT c.tableoid, c.oid, attnum, relnamespace, attacl, NULL FROM pg_catalog.pg_attribute JOIN pg_catalog.pg_class c ON c.oid = attrelid
    UNION ALL SELECT tableoid, oid, 0, pronamespace, proacl, pg_catalog.acldefault('f', proowner) FROM pg_catalog.pg_proc
    UNION ALL SELECT tableoid, oid, 0, typnamespace, typacl, pg_catalog.acldefault('T', typowner) FROM pg_catalog.pg_type
    UNION ALL SELECT tableoid, oid, 0, oid, nspacl, pg_catalog.acldefault('n', nspowner) FROM pg_catalog.pg_namespace
    UNION ALL SELECT tableoid, oid, 0, 11, lanacl, pg_catalog.acldefault('l', lanowner) FROM pg_catalog.pg_language
    UNION ALL SELECT tableoid, oid, 0, 0, fdwacl, pg_catalog.acldefault('F', fdwowner) FROM pg_catalog.pg_foreign_data_wrapper
    UNION ALL SELECT tableoid, oid, 0, 0, srvacl, pg_catalog.acldefault('S', srvowner) FROM pg_catalog.pg_foreign_server) o
  LEFT JOIN pg_catalog.pg_depend d ON d.classid = class AND d.objid = o.oid AND deptype = 'e'
  LEFT JOIN pg_catalog.pg_extension e ON e.oid = refobjid
  LEFT JOIN pg_catalog.pg_init_privs i ON i.classoid = class AND i.objoid = o.oid AND i.objsubid = sub
  WHERE (o.oid < 16384 AND e.oid IS NULL AND space = 11 OR extname IN (''$(sed "s/'/''/g; s/.*/, '&'/" "$BOX/superusers" | tr -d '\n')))
  AND (SELECT pg_catalog.array_agg(a::text ORDER BY a::text) FROM pg_catalog.unnest(coalesce(acl, usual)) a)
    IS DISTINCT FROM (SELECT pg_catalog.array_agg(a::text ORDER BY a::text) FROM pg_catalog.unnest(coalesce(initprivs, usual)) a)
  ORDER BY 1 LIMIT 12) q
SQL
}

# weak_line: sets line, which is one of pg_dumpall, to what the administrator may do; to nothing for what it may not.
weak_line() {
  case $line in
    'ALTER ROLE "'*'" WITH '*)
      for weak_word in NOSUPERUSER NOREPLICATION NOBYPASSRLS SUPERUSER REPLICATION BYPASSRLS; do
        # The attributes stand before whatever is quoted again.
        case ${line##*'" WITH '} in *" $weak_word"* | "$weak_word"*) line="${line%'" WITH '*}\" WITH $(without "$weak_word" "${line##*'" WITH '}")" ;; esac
      done
      ;;
    "GRANT "*" TO $quoted "* | "GRANT "*" TO $quoted;" | "COMMENT ON ROLE $quoted "* | 'GRANT SET ON PARAMETER '* | 'GRANT ALTER SYSTEM ON PARAMETER '* | 'GRANT ALL ON PARAMETER '*) line='' ;;
    'GRANT "'*)
      line="${line% GRANTED BY *};"
      while IFS= read -r reserved; do
        case $line in "GRANT \"$reserved\" TO "*) line='' ;; esac
      done <"$BOX/reserved"
      ;;
  esac
}

# without WORD TEXT: the text without the first such word.
without() { printf '%s' " $2" | sed "s/ $1\\([ ;]\\)/\\1/; s/^ //"; }

# weak_how: what a membership needs so that it can be used.
weak_how() { [ "$TO" -lt 16 ] || echo ' WITH INHERIT TRUE, SET TRUE'; }

# weak_mark: with the mark, before the first write.
weak_mark() {
  [ -n "$WEAK" ] || return 0
  ask_new "$FIRST_NEW" "DROP ROLE IF EXISTS $WEAK_ALL; CREATE ROLE $WEAK_ALL NOLOGIN; GRANT $WEAK_ALL TO CURRENT_USER$(weak_how)" || return 1
  # What it does not own, but may, can be made anew.
  weak_roles
}

# weak_end: the administrator has what it had before, and what the server itself gives it.
weak_end() {
  [ -n "$WEAK" ] || return 0
  ask_new "$FIRST_NEW" "DROP ROLE IF EXISTS $WEAK_ALL" || fail mark "a role of the load could not be dropped: DROP ROLE $WEAK_ALL"
}

# weak_roles: whatever owns something has the administrator as a member, and may make its things where they lie. The last is
# undone after the load.
weak_roles() {
  [ -n "$WEAK" ] || return 0
  { cat "$BOX/weak-roles" && cut -d= -f2 "$BOX/maps"; } >"$BOX/weak-any"
  ask_new "$FIRST_NEW" "SELECT rolname FROM pg_catalog.pg_roles WHERE rolname <> current_user AND (oid >= 16384 OR oid = 10) AND $(administers)" | grep -xF -f "$BOX/weak-any" >"$BOX/weak-mine" || :
  while IFS= read -r weak_role <&6; do
    printf '%s\n' "SELECT format('GRANT %I TO $WEAK_ALL$(weak_how)', :'role'), format('GRANT $MARK TO %I', :'role') \\gexec" |
      to_new "$FIRST_NEW" "$PSQL" -XAtqw -v ON_ERROR_STOP=1 -v role="$weak_role" || return 1
  done 6<"$BOX/weak-mine"
}

# weak_map OLD NEW: a mapped role may have been a superuser, whose views read everything; it is gone after the load. Whoever is
# its member cannot be given to it.
weak_map() {
  printf '%s\n' "SELECT format('GRANT %I TO %I', rolname, :'role') FROM pg_roles WHERE oid >= 16384 AND rolname NOT IN (:'role', current_user) AND pg_has_role(current_user, oid, 'MEMBER') AND $(administers) AND NOT pg_has_role(oid, (SELECT oid FROM pg_roles WHERE rolname = :'role'), 'MEMBER') \\gexec" |
    to_new "$FIRST_NEW" "$PSQL" -XAtqw -v ON_ERROR_STOP=1 -v role="$1"
}

# weak_unmap OLD NEW: what only that has made it a member of is none of the role that takes its place.
weak_unmap() {
  weak_of="SELECT g.rolname FROM pg_auth_members JOIN pg_roles g ON g.oid = roleid WHERE member = (SELECT oid FROM pg_roles WHERE rolname = :'role')"
  printf '%s\n' "$weak_of" | to_old "$FIRST" "$PSQL" -XAtqw -v ON_ERROR_STOP=1 -v role="$1" >"$BOX/weak-of" || return 1
  printf '%s\n' "$weak_of" | to_new "$FIRST_NEW" "$PSQL" -XAtqw -v ON_ERROR_STOP=1 -v role="$1" >"$BOX/weak-more" || return 1
  while IFS= read -r weak_role <&7; do
    ! grep -qxF -e "$weak_role" "$BOX/weak-of" || continue
    printf '%s\n' 'REVOKE :"role" FROM :"old";' | to_new "$FIRST_NEW" "$PSQL" -XAtqw -v ON_ERROR_STOP=1 -v role="$weak_role" -v old="$1" || return 1
  done 7<"$BOX/weak-more"
}

# load_weak NAME DIR: a database of the dump. It is made first, so that everybody may make things in its schemas meanwhile.
load_weak() {
  ! grep -qxF -e "$1" "$BOX/skipped" || return 0
  load_otherwise "$1" "$2"
}

# before_contents NAME, for load_otherwise.
before_contents() {
  to_new "$1" "$PSQL" -XAtqw -v ON_ERROR_STOP=1 <<SQL || return 1
GRANT CREATE ON SCHEMA public TO $MARK;
ALTER DEFAULT PRIVILEGES GRANT CREATE ON SCHEMAS TO $MARK;
SELECT format('GRANT CREATE ON DATABASE %I TO $MARK', current_database()) \\gexec
SQL
}

# weak_done: nobody has more than on the old server any more.
weak_done() {
  [ -n "$WEAK" ] || return 0
  for content_oid in $(ask_new template1 "SELECT DISTINCT d.oid FROM pg_catalog.pg_database d JOIN pg_catalog.pg_shdepend s ON d.oid IN (s.dbid, s.objid) WHERE refobjid = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = '$MARK')"); do
    content_name=$(ask_new template1 "SELECT datname FROM pg_catalog.pg_database WHERE oid = $content_oid")
    ask_new "$content_name" "DROP OWNED BY $MARK" || return 1
  done
  while IFS= read -r weak_role <&6; do
    printf '%s\n' "SELECT format('REVOKE $MARK FROM %I', :'role') FROM pg_roles WHERE rolname = :'role' \\gexec" |
      to_new "$FIRST_NEW" "$PSQL" -XAtqw -v ON_ERROR_STOP=1 -v role="$weak_role" || return 1
  done 6<"$BOX/weak-mine"
  each_map weak_unmap
}

# as_weak: the statements of an observation, by what everybody may read. There are no subscriptions.
as_weak() {
  sed -e "/^  UNION ALL SELECT 'subscription', /d" -e 's/FROM pg_authid a /FROM pg_roles a /' -e 's/FROM pg_user_mapping$/FROM pg_user_mappings/' \
    -e 's/(SELECT CASE WHEN size >= 1073741824 THEN \(pg_relation_size([a-z]*\.oid)\) ELSE size END FROM pg_stat_file(pg_relation_filepath([a-z]*\.oid), true))/\1/g'
}

# list_weak: what differs for want of a superuser; behind list_changes.
list_weak() {
  [ -n "$WEAK" ] || return 0
  for weak_side in old new; do
    # Of passwords not even their kind can be read.
    printf '%s\n' '/^{"k" : "role"/s/"\(superuser\|replication\|bypassRls\)" : true/"\1" : false/g' '/^{"k" : "role"/s/"password" : "[a-z0-9]*"/"password" : ""/' >>"$BOX/left-$weak_side.sed"
    printf '%s\n' ", \"o\" : $admin, \"v\" : {\"admin\"" >>"$BOX/left-$weak_side"
    while IFS= read -r name; do
      printf '%s\n' "{\"k\" : \"database\", \"o\" : \"$name\", " "\", \"d\" : \"$name\", " >>"$BOX/left-$weak_side"
    done <"$BOX/skipped"
  done
  while IFS= read -r name; do
    printf '%s\n' "{\"k\" : \"membership\", \"s\" : \"$name\", " >>"$BOX/left-old"
  done <"$BOX/reserved"
}
