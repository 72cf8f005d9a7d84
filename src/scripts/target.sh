# The server that --method side-by-side fills: what is in it, whether it may be written to, whose half a load is.
# Behind side.sh, whose to_new and ask_new reach it.
# shellcheck shell=dash disable=SC2034,SC2154

# A role without rights. Its comment names the run that loads: made before the first write, dropped after the comparison.
MARK=kubectl_pg_upgrade

# What a user has made in a database: tables, views, sequences, routines, types, schemas, large objects.
USER_OBJECTS="SELECT sum(n) FROM (SELECT count(*) AS n FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace s ON s.oid = c.relnamespace
    WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND s.nspname !~ '^pg_' AND s.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend WHERE classid = 'pg_catalog.pg_class'::regclass AND objid = c.oid AND deptype = 'e')
  UNION ALL SELECT count(*) FROM pg_catalog.pg_proc c WHERE c.oid >= 16384
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend WHERE classid = 'pg_catalog.pg_proc'::regclass AND objid = c.oid AND deptype = 'e')
  UNION ALL SELECT count(*) FROM pg_catalog.pg_type c WHERE c.oid >= 16384 AND typtype IN ('d', 'e', 'r')
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend WHERE classid = 'pg_catalog.pg_type'::regclass AND objid = c.oid AND deptype = 'e')
  UNION ALL SELECT count(*) FROM pg_catalog.pg_namespace c WHERE c.oid >= 16384 AND nspname !~ '^pg_' AND nspname <> 'public'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend WHERE classid = 'pg_catalog.pg_namespace'::regclass AND objid = c.oid AND deptype = 'e')
  UNION ALL SELECT count(*) FROM pg_catalog.pg_largeobject_metadata) q"

# A condition on databases: those of a provider are closed to its customers.
OPEN="pg_catalog.has_database_privilege(oid, 'CONNECT') AND datname NOT IN ('rdsadmin', 'cloudsqladmin', 'azure_maintenance', 'azure_sys')"

# contents ASK FIRST [CONDITION]: sets HOLDS to the databases in which a user has made something, as members of an array of JSON, SUM to
# how many such things there are, and HOLDING to the oids of these databases.
contents() {
  HOLDS='' SUM=0 HOLDING=' '
  for content_oid in $("$1" "$2" "SELECT oid FROM pg_catalog.pg_database WHERE datallowconn AND datconnlimit <> -2 AND datname <> 'template0' AND (${3:-true}) ORDER BY oid"); do
    content_name=$("$1" "$2" "SELECT datname FROM pg_catalog.pg_database WHERE oid = $content_oid")
    content_objects=$("$1" "$content_name" "$USER_OBJECTS") || return 1
    [ "$content_objects" != 0 ] || continue
    json "$content_name"
    SUM=$((SUM + content_objects)) HOLDING="$HOLDING$content_oid "
    HOLDS="$HOLDS${HOLDS:+,}{\"name\":$JSON,\"objects\":$content_objects,\"bytes\":$("$1" "$2" "SELECT pg_catalog.pg_database_size($content_oid)")}"
  done
}

# facts_of ASK FIRST: sets NUM, VERSION, SYSTEM, ROLE, SUPER and STANDBY.
facts_of() {
  facts=$("$1" "$2" "SELECT pg_catalog.current_setting('server_version_num'), pg_catalog.split_part(pg_catalog.current_setting('server_version'), ' ', 1),
    (SELECT system_identifier FROM pg_catalog.pg_control_system()), rolsuper, pg_catalog.pg_is_in_recovery(), rolname
    FROM pg_catalog.pg_roles WHERE rolname = current_user") || return 1
  NUM=${facts%%|*} facts=${facts#*|}
  VERSION=${facts%%|*} facts=${facts#*|}
  SYSTEM=${facts%%|*} facts=${facts#*|}
  SUPER=${facts%%|*} facts=${facts#*|}
  STANDBY=${facts%%|*} ROLE=${facts#*|}
}

# look: what both servers are and hold. Nothing is written.
look() {
  facts_of ask "$FIRST" || fail old_server "the old server cannot be read"
  OLD_NUM=$NUM OLD_VERSION=$VERSION OLD_SYSTEM=$SYSTEM OLD_SUPER=$SUPER OLD_STANDBY=$STANDBY OLD_ROLE=$ROLE
  facts_of ask_new "$FIRST_NEW" || fail new_server "the new server cannot be read"
  NEW_NUM=$NUM NEW_VERSION=$VERSION NEW_SYSTEM=$SYSTEM NEW_SUPER=$SUPER NEW_STANDBY=$STANDBY NEW_ROLE=$ROLE
  OLD_MAJOR=$((OLD_NUM / 10000)) TO=$((NEW_NUM / 10000))
  contents ask "$FIRST" || fail old_server "the databases of the old server cannot be read"
  OLD_HOLDS=$HOLDS OLD_SUM=$SUM
  ask "$FIRST" "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn" >"$BOX/of-source"
  [ "$NEW_SUPER" != t ] || OPEN=true
  contents ask_new "$FIRST_NEW" "$OPEN" || fail new_server "the databases of the new server cannot be read"
  closed
  NEW_HOLDS=$HOLDS NEW_SUM=$SUM NEW_HOLDING=$HOLDING
  MARKED=$(ask_new "$FIRST_NEW" "SELECT coalesce(pg_catalog.shobj_description(oid, 'pg_authid'), '?') FROM pg_catalog.pg_roles WHERE rolname = '$MARK'")
}

# closed: what a load would make anew and nobody of ours can look into counts as full.
closed() {
  ask_new "$FIRST_NEW" "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn AND NOT ($OPEN)" | grep -xF -f "$BOX/of-source" >"$BOX/closed" || :
  while IFS= read -r content_name <&6; do
    json "$content_name"
    SUM=$((SUM + 1)) HOLDS="$HOLDS${HOLDS:+,}{\"name\":$JSON,\"objects\":1,\"bytes\":0}"
  done 6<"$BOX/closed"
}

# judge: refuses a pair that must not be; else sets OURS to true for a load of ours that was interrupted.
judge() {
  [ "$OLD_SYSTEM" != "$NEW_SYSTEM" ] || refuse same_server "both are the same server (system identifier $OLD_SYSTEM)"
  if [ "$NEW_NUM" -lt "$((OLD_MAJOR * 10000))" ]; then
    refuse wrong_order "the target is PostgreSQL $NEW_VERSION, older than the source's $OLD_VERSION: the pair may be in the wrong order"
  fi
  if [ "$OLD_SUM" = 0 ] && [ "$NEW_SUM" != 0 ]; then
    refuse wrong_order "the source holds nothing and the target does: the pair is in the wrong order"
  fi
  case ${PGUP_TO:-0} in 0 | "$TO") ;; *) refuse other_major "the target is PostgreSQL $NEW_VERSION, not $PGUP_TO" ;; esac
  find_bin "$TO" pg_dump || refuse programs "the image has no programs of PostgreSQL $TO, the target's version; name one that has them with --image"
  NEW_BIN=$BIN PSQL=$BIN/psql
  [ "$OLD_STANDBY" = f ] || refuse standby "the source is a standby"
  [ "$NEW_STANDBY" = f ] || refuse standby "the target is a standby, which cannot be written to"
  [ "$OLD_SUPER" = t ] || refuse no_superuser "$OLD_ROLE is no superuser of the source, so roles cannot be read"
  OURS=false
  if [ -n "$MARKED" ]; then
    case " $PGUP_RUN ${PGUP_RUNS:-} " in
      *" $MARKED "*) OURS=true ;;
      *) refuse not_ours "run $MARKED has begun to load into it and has not ended; DROP ROLE $MARK there once that is given up" ;;
    esac
  fi
  if [ "$NEW_SUM" != 0 ] && [ "$OURS" = false ] && [ -z "${PGUP_RESET:-}" ]; then
    event holds "\"databases\":[$NEW_HOLDS]"
    refuse not_empty "the target holds $NEW_SUM tables and other things of a user"
  fi
  judge_contents
  judge_roles
  judge_weak
}

# first_line SQL: on the old server; the first of what it answers.
first_line() { ask "$FIRST" "$1" | head -n 1; }

judge_contents() {
  newlines=$(first_line "SELECT pg_catalog.quote_ident(pg_catalog.translate(n, E'\\n\\r', '??')) FROM (SELECT rolname FROM pg_catalog.pg_roles UNION ALL SELECT datname FROM pg_catalog.pg_database UNION ALL SELECT spcname FROM pg_catalog.pg_tablespace) q(n) WHERE n ~ E'[\\n\\r]'")
  [ -z "$newlines" ] || refuse newline_name "$newlines is a role, a database or a tablespace with a line break in its name (here ?); rename it"
  judge_tablespaces
  ask_new "$FIRST_NEW" "SELECT name FROM pg_catalog.pg_settings" >"$BOX/settings"
  ask_new "$FIRST_NEW" "SELECT DISTINCT name FROM pg_catalog.pg_available_extensions" >"$BOX/extensions"
  # Names of settings and extensions hold no line break, and none of ours is in a pattern.
  ask "$FIRST" "SELECT DISTINCT pg_catalog.split_part(c, '=', 1) FROM pg_catalog.pg_db_role_setting, pg_catalog.unnest(setconfig) c WHERE setdatabase = 0 AND pg_catalog.strpos(pg_catalog.split_part(c, '=', 1), '.') = 0" |
    grep -vxiF -f "$BOX/settings" >"$BOX/removed" || :
  for setting in $(ask "$FIRST" "SELECT DISTINCT pg_catalog.split_part(c, '=', 1) FROM pg_catalog.pg_db_role_setting, pg_catalog.unnest(setconfig) c WHERE setdatabase <> 0 AND pg_catalog.strpos(pg_catalog.split_part(c, '=', 1), '.') = 0" |
    grep -vxiF -f "$BOX/settings"); do
    refuse removed_setting "a database of the source sets $setting, which PostgreSQL $TO does not know: ALTER DATABASE … RESET $setting"
  done
  for content_oid in $(ask "$FIRST" "SELECT oid FROM pg_catalog.pg_database WHERE datallowconn AND datname <> 'template0'"); do
    content_name=$(ask "$FIRST" "SELECT datname FROM pg_catalog.pg_database WHERE oid = $content_oid")
    missing=$(ask "$content_name" "SELECT extname FROM pg_catalog.pg_extension" | grep -vxF -f "$BOX/extensions" | tr '\n' ' ') || :
    [ -z "$missing" ] || refuse extensions "the target does not have these extensions of database $content_name: $missing"
  done
}

# judge_tablespaces: a load makes none, whose directories are the server's own; those of the same name take what lies in the old.
judge_tablespaces() {
  ask "$FIRST" "SELECT spcname FROM pg_catalog.pg_tablespace WHERE oid >= 16384" >"$BOX/tablespaces"
  if [ -n "${PGUP_NO_TABLESPACES:-}" ] || [ ! -s "$BOX/tablespaces" ]; then return 0; fi
  may="pg_catalog.has_tablespace_privilege(oid, 'CREATE')"
  lacking=$(ask_new "$FIRST_NEW" "SELECT spcname FROM pg_catalog.pg_tablespace WHERE $may" >"$BOX/spaces" && grep -vxF -f "$BOX/spaces" "$BOX/tablespaces" | tr '\n' ' ') || :
  [ -z "$lacking" ] || refuse tablespaces "the target has none of these tablespaces of the source that $NEW_ROLE may use: $lacking(make them there, CREATE TABLESPACE … LOCATION …, or load all into the default one by --no-tablespaces)"
}

# names ASK FIRST SQL: sets JSON to an array of the names in the answer; none holds a line break.
names() {
  "$1" "$2" "$3" >"$BOX/names"
  names_in
}

# names_in: sets JSON to an array of the lines in BOX/names.
names_in() {
  names_all=
  while IFS= read -r names_one; do
    json "$names_one"
    names_all="$names_all${names_all:+,}$JSON"
  done <"$BOX/names"
  JSON="[$names_all]"
}

# ready: what the client shows before anything is done.
ready() {
  json "$OLD_ROLE"
  ready_of=$JSON
  json "$NEW_ROLE"
  ready_as=$JSON
  names ask "$FIRST" "SELECT rolname FROM pg_catalog.pg_authid WHERE rolpassword LIKE 'md5%' AND rolname <> current_user ORDER BY 1"
  ready_md5=$JSON
  # shellcheck disable=SC2046
  json_list $(cat "$BOX/removed")
  ready_removed=$JSON
  names ask "$FIRST" "SELECT DISTINCT pg_catalog.split_part(c, '=', 1) FROM pg_catalog.pg_db_role_setting, pg_catalog.unnest(setconfig) c WHERE setrole = 0 AND setdatabase = 0 ORDER BY 1"
  ready_every=$JSON
  weak_report
  event ready "\"old\":{\"version\":\"$OLD_VERSION\",\"num\":$OLD_NUM,\"system\":\"$OLD_SYSTEM\",\"user\":$ready_of},\"new\":{\"version\":\"$NEW_VERSION\",\"num\":$NEW_NUM,\"system\":\"$NEW_SYSTEM\",\"user\":$ready_as},\"md5\":$ready_md5,\"removed\":$ready_removed,\"every\":$ready_every,\"weak\":$JSON,\"source\":[$OLD_HOLDS],\"lost\":[$NEW_HOLDS],\"ours\":$OURS"
}

# mark: the target is ours from here on, and only ours. The role's making fails where another run was faster.
mark() {
  if [ "$OURS" = true ]; then
    # What an interrupted load still does there ends first.
    ask_new "$FIRST_NEW" "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE application_name = 'kubectl-pg-upgrade' AND pid <> pg_catalog.pg_backend_pid() AND (usename = current_user OR usename LIKE 'kubectl\\_pg\\_upgrade\\_%')" >/dev/null
    ask_new "$FIRST_NEW" "COMMENT ON ROLE $MARK IS '$PGUP_RUN'" || fail mark "the target could not be marked"
  else
    ask_new "$FIRST_NEW" "CREATE ROLE $MARK NOLOGIN; COMMENT ON ROLE $MARK IS '$PGUP_RUN'" || fail mark "the target could not be marked; nothing was changed there"
  fi
  weak_mark || fail mark "role $WEAK_ALL of the target could not be made"
}

unmark() { ask_new "$FIRST_NEW" "SET synchronous_commit = on; DROP ROLE IF EXISTS $MARK" || fail mark "the mark could not be taken off: DROP ROLE $MARK"; }

# clear_target: databases that the load makes anew go, and so does what lies in any other, where that was allowed.
clear_target() {
  force=
  [ "$TO" -lt 13 ] || force=' WITH (FORCE)'
  for content_oid in $(ask_new "$FIRST_NEW" "SELECT oid FROM pg_catalog.pg_database WHERE datname NOT IN ('template0', 'template1', 'postgres')"); do
    name=$(ask_new "$FIRST_NEW" "SELECT datname FROM pg_catalog.pg_database WHERE oid = $content_oid")
    case $NEW_HOLDING in *" $content_oid "*) ;; *) grep -qxF -e "$name" "$BOX/of-source" || continue ;; esac
    printf '%s\n' "SELECT format('ALTER DATABASE %I IS_TEMPLATE false', datname), format('DROP DATABASE %I$force', datname) FROM pg_database WHERE oid = $content_oid \\gexec" |
      to_new "$FIRST_NEW" "$PSQL" -XAtqw -v ON_ERROR_STOP=1 >"$BOX/clear.log" 2>&1 || fail clear "database $name could not be dropped: $(tail -n 2 "$BOX/clear.log")"
  done
  # A load that was killed between the end and the making of these two.
  for name in template1 postgres; do
    [ -n "$(ask_new "$FIRST_NEW" "SELECT 1 FROM pg_catalog.pg_database WHERE datname = '$name'")" ] ||
      ask_new "$FIRST_NEW" "CREATE DATABASE $name TEMPLATE template0" || fail clear "database $name could not be made"
  done
  FIRST_NEW=template1
}

# load_settings: those of every role, but for what the new version does not know. Only a superuser may.
load_settings() {
  [ -z "$WEAK" ] || return 0
  grep '^ALTER ROLE ALL ' "$DUMP/unlisted.sql" >"$BOX/every.sql" || return 0
  while IFS= read -r setting; do
    grep -vF -e "ALTER ROLE ALL SET $setting TO " "$BOX/every.sql" >"$BOX/every.less" || :
    mv "$BOX/every.less" "$BOX/every.sql"
  done <"$BOX/removed"
  load_unlisted "$BOX/every.sql"
}

# load_target: the dump into the marked target.
load_target() {
  filter_globals >"$BOX/globals.sql" || return 1
  load_globals "$BOX/globals.sql" || return 1
  weak_roles || return 1
  load_settings || return 1
  load_databases || return 1
  weak_done || return 1
  each_map map_role || return 1
  set_passwords || return 1
  ask_new "$FIRST_NEW" "SET synchronous_commit = on; COMMENT ON ROLE $MARK IS '$PGUP_RUN'" || return 1
}

# filter_globals: roles and settings without what the target has already and what its version does not know. The names are
# quoted by pg_dumpall, each line is one statement.
filter_globals() {
  ask_new "$FIRST_NEW" "SELECT 'CREATE ROLE \"' || replace(rolname, '\"', '\"\"') || '\";' FROM pg_catalog.pg_roles" >"$BOX/roles-there"
  quoted=$(ask_new "$FIRST_NEW" "SELECT '\"' || replace(current_user, '\"', '\"\"') || '\"'")
  quoted_old=$(ask "$FIRST" "SELECT '\"' || replace(current_user, '\"', '\"\"') || '\"'")
  while IFS= read -r line; do
    mapped_in "$line"
    case $line in
      'CREATE ROLE "'*) ! grep -qxF -e "$line" "$BOX/roles-there" || continue ;;
      # Who owns and uses them is the target's own matter.
      'CREATE TABLESPACE "'* | 'ALTER TABLESPACE "'* | 'COMMENT ON TABLESPACE "'* | 'GRANT '*' ON TABLESPACE "'* | 'REVOKE '*' ON TABLESPACE "'*) continue ;;
      # The administrator keeps its password and its rights.
      "ALTER ROLE $quoted WITH "*) continue ;;
      # Owners of event triggers and of foreign data wrappers must be superusers.
      "ALTER ROLE ${MAPPED:-?} WITH "*)
        line="ALTER ROLE $MAPPED WITH NOLOGIN PASSWORD NULL"
        [ "$NEW_SUPER" != t ] || line="$line SUPERUSER"
        line="$line;"
        ;;
      "ALTER ROLE ${MAPPED:-?} SET "*) continue ;;
      'ALTER ROLE "'*'" SET "'*)
        unknown=
        while read -r setting; do
          case $line in *"\" SET \"$setting\" TO "*) unknown=yes ;; esac
        done <"$BOX/removed"
        [ -z "$unknown" ] || continue
        ;;
      # Only the superuser that the cluster was made with, or who has it with admin option, can be named as grantor.
      'GRANT "'*" GRANTED BY $quoted_old;") [ "$quoted" = "$quoted_old" ] || line="${line% GRANTED BY *};" ;;
    esac
    [ -z "$WEAK" ] || weak_line
    printf '%s\n' "$line"
  done <"$DUMP/globals.sql"
}

# leave_out FILE: takes out of an observation what the two servers need not share. OBSERVED is the side.
leave_out() {
  LC_ALL=C grep -vF -f "$BOX/left-$OBSERVED" "$1" | LC_ALL=C sed -f "$BOX/left-$OBSERVED.sed" | LC_ALL=C sed 's/^\({"k" : "server", \)"v" : {[^}]*}/\1"v" : {}/' >"$1.kept"
  if [ -s "$BOX/maps" ]; then sort_grants <"$1.kept" >"$1"; else cat "$1.kept" >"$1"; fi
  rm -f "$1.kept"
}

# plain_text: stdin as a pattern of sed that means just that.
plain_text() { sed 's/[][\\/.*^$&]/\\&/g'; }

# encoded NAME: as an observation of the old server has it, in quotes.
encoded() { ask "$FIRST" "SELECT to_json(encode(namesend(rolname), 'escape')) FROM pg_roles" | sed -n "$(ask "$FIRST" "SELECT rolname FROM pg_roles" | grep -nxF -e "$1" | cut -d: -f1)p"; }

# list_changes: what the load changes on purpose, as a script that changes an observation of the old server likewise.
list_changes() {
  : >"$BOX/left-old.sed"
  : >"$BOX/left-new.sed"
  while IFS= read -r setting; do
    printf '%s\n' "/^{\"k\" : \"role\"/s/\\([\" ]\\)$setting:[0-9a-f]\\{4\\} \\{0,1\\}/\\1/" '/^{"k" : "role"/s/\("settings" : "[^"]*\) "/\1"/' '/^{"k" : "role"/s/"settings" : ""/"settings" : null/' >>"$BOX/left-old.sed"
  done <"$BOX/removed"
  for password_file in "$LOGIN/roles"/*; do
    [ -f "$password_file" ] || continue
    printf '/^{"k" : "role", "o" : %s, /s/"password" : "[a-z0-9]*"/"password" : "scram"/\n' "$(encoded "${password_file##*/}" | plain_text)" >>"$BOX/left-old.sed"
  done
  # The target may have had settings of every role before, which stay.
  printf '%s\n' '{"k" : "tablespace", ' '{"k" : "settings", ' | tee -a "$BOX/left-old" >>"$BOX/left-new"
  if [ -n "${PGUP_NO_TABLESPACES:-}" ]; then
    printf '%s\n' 's/"tablespace" : "\([^"\\]\|\\.\)*"/"tablespace" : null/' | tee -a "$BOX/left-old.sed" >>"$BOX/left-new.sed"
  fi
  each_map list_map
}

# list_map OLD NEW: the same for one role that another takes the place of.
list_map() {
  change_from=$(encoded "$1")
  change_to=$(ask_new "$FIRST_NEW" "SELECT to_json(encode(namesend(rolname), 'escape')) FROM pg_roles" | sed -n "$(ask_new "$FIRST_NEW" "SELECT rolname FROM pg_roles" | grep -nxF -e "$2" | cut -d: -f1)p")
  printf '%s\n' "{\"k\" : \"role\", \"o\" : $change_from, \"v\"" >>"$BOX/left-old"
  for change_name in "$change_from" "$change_to"; do
    printf '%s\n' "{\"k\" : \"membership\", \"s\" : $change_name, " ", \"o\" : $change_name, \"v\" : {\"admin\"" | tee -a "$BOX/left-old" >>"$BOX/left-new"
  done
  from=$(echo "$change_from" | plain_text) to=$(echo "$change_to" | plain_text)
  printf 's/"owner" : %s/"owner" : %s/\n' "$from" "$to" >>"$BOX/left-old.sed"
  # In a list of grants the name stands without its quotes.
  from=${from#?} to=${to#?}
  printf 's/\\([" ]\\)%s=\\([A-Z]\\)/\\1%s=\\2/g\n' "${from%?}" "${to%?}" >>"$BOX/left-old.sed"
}

# list_left: the lines that are left out: the administrator's own role, and what the target had before.
list_left() {
  ask "$FIRST" "SELECT to_json(encode(namesend(rolname), 'escape')) FROM pg_roles" >"$BOX/roles-old"
  ask_new "$FIRST_NEW" "SELECT to_json(encode(namesend(rolname), 'escape')) FROM pg_roles WHERE oid >= 16384 OR oid = 10" | grep -vxF -f "$BOX/roles-old" >"$BOX/roles-more" || :
  ask "$FIRST" "SELECT to_json(encode(namesend(datname), 'escape')) FROM pg_database" >"$BOX/databases-old"
  ask_new "$FIRST_NEW" "SELECT to_json(encode(namesend(datname), 'escape')) FROM pg_database" | grep -vxF -f "$BOX/databases-old" >"$BOX/databases-more" || :
  admin=$(ask_new "$FIRST_NEW" "SELECT to_json(encode(namesend(current_user), 'escape'))")
  # The empty one is never loaded.
  printf '%s\n' "{\"k\" : \"role\", \"o\" : $admin, \"v\"" '{"k" : "database", "o" : "template0", ' | tee "$BOX/left-old" >"$BOX/left-new"
  while IFS= read -r more; do
    printf '%s\n' "{\"k\" : \"role\", \"o\" : $more, \"v\"" "{\"k\" : \"membership\", \"s\" : $more, " ", \"o\" : $more, \"v\" : {\"admin\"" >>"$BOX/left-new"
  done <"$BOX/roles-more"
  while IFS= read -r more; do
    printf '%s\n' "{\"k\" : \"database\", \"o\" : $more, " "\", \"d\" : $more, " >>"$BOX/left-new"
  done <"$BOX/databases-more"
  list_changes
  list_weak
}
