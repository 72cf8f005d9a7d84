# The dump that `restore --from dump` is given: what it is by its content, whether it is whole, what it holds, and its load.
# GIVEN is its path. HELD is a directory of ours with what was found; N is the OID in a dump of ours, 1 otherwise:
#   kind               KIND PACKED
#   N.name             the name of a database
#   N.list             pg_restore --list
#   spaces             tablespaces that it needs
#   N.check, N.counts, N.names, N.owner, N.totals   see held.awk
# shellcheck shell=dash disable=SC2034,SC2154

# unpacked: the content of a file, decompressed.
unpacked() {
  case $PACKED in
    '') cat ;;
    *) "$PACKED" -dc ;;
  esac <"$GIVEN"
}

# broken WHAT FILE: refuses with what a program has said about it, as truncated, newer, foreign or corrupted.
broken() {
  tail_of "$2" 3 600
  case $TAIL in
    *'end of file'* | *'ends unexpectedly'* | *premature* | *unfinished* | *runcated* | *'Unexpected end'* | *'Error 68'*)
      refuse dump_truncated "$GIVEN is truncated: $1: $TAIL"
      ;;
    *'unsupported version'*)
      refuse dump_newer "$GIVEN was made by a newer pg_dump than the $NEW_VERSION that would load it: $TAIL"
      ;;
    *'in archive'* | *'find header for file'* | *'precedes "toc.dat"'* | *'not appear to be a valid'*) refuse dump_foreign "$GIVEN is not a dump of PostgreSQL: $1: $TAIL" ;;
    *'support compression'* | *'compression not supported'* | *'compression is not supported'*)
      refuse dump_program "$GIVEN is compressed in a way that the pg_restore of this image was not built for: $TAIL; dump it again with -Z gzip"
      ;;
    *'ermission denied'*) refuse dump_unreadable "$GIVEN cannot be read by uid $(id -u): $TAIL" ;;
  esac
  refuse dump_corrupted "$GIVEN is corrupted: $1: $TAIL"
}

# given_packed: sets PACKED by the first bytes.
given_packed() {
  PACKED=
  case $(od -An -tx1 -N6 "$GIVEN" | tr -d ' \n') in
    1f8b*) PACKED=gzip ;;
    28b52ffd*) PACKED=zstd ;;
    04224d18*) PACKED=lz4 ;;
    425a68*) PACKED=bzip2 ;;
    fd377a585a00) PACKED=xz ;;
    fffe* | feff*) refuse dump_foreign "$GIVEN is UTF-16 text, as PowerShell's > writes it; make the dump with pg_dump -f" ;;
  esac
  [ -n "$PACKED" ] || return 0
  command -v "$PACKED" >/dev/null 2>&1 ||
    refuse dump_program "$GIVEN is compressed by $PACKED, which is not in this image; decompress it first"
  unpacked 2>&1 >/dev/null | cat >"$BOX/given.err"
  [ ! -s "$BOX/given.err" ] || broken "$PACKED" "$BOX/given.err"
}

# given_kind: sets KIND and PACKED by what is there.
given_kind() {
  KIND='' PACKED=''
  exists "$GIVEN" || refuse dump_missing "$GIVEN is not there"
  if [ -d "$GIVEN" ]; then
    { [ -r "$GIVEN" ] && [ -x "$GIVEN" ]; } || refuse dump_unreadable "$GIVEN cannot be read by uid $(id -u)"
    if [ -e "$GIVEN/manifest" ] || [ -e "$GIVEN/globals.sql" ]; then
      KIND=ours
    elif [ -e "$GIVEN/toc.dat" ]; then
      KIND=directory
    else
      refuse dump_foreign "$GIVEN is not a dump of PostgreSQL: the directory has neither a toc.dat nor a manifest"
    fi
    return 0
  fi
  [ -f "$GIVEN" ] || refuse dump_foreign "$GIVEN is neither a file nor a directory"
  [ -r "$GIVEN" ] || refuse dump_unreadable "$GIVEN cannot be read by uid $(id -u)"
  [ -s "$GIVEN" ] || refuse dump_truncated "$GIVEN is empty"
  given_packed
  unpacked 2>/dev/null | head -c 16384 >"$BOX/head"
  case $(od -An -tx1 -N5 "$BOX/head" | tr -d ' \n') in
    5047444d50) KIND=custom ;;
    *)
      if [ "$(od -An -tx1 -j257 -N5 "$BOX/head" | tr -d ' \n')" = 7573746172 ]; then
        KIND=tar
        # pg_restore can wait for ever for the rest of a tar that was cut off; a whole one ends with two blocks of zeros.
        if [ -n "$(unpacked | tail -c 1024 | tr -d '\000' | head -c 1)" ] ||
          { [ -z "$PACKED" ] && [ "$(($(stat -c %s "$GIVEN") % 512))" != 0 ]; }; then
          refuse dump_truncated "$GIVEN is truncated: the end of a tar is missing"
        fi
      elif grep -qx -e '-- PostgreSQL database dump' -e '-- PostgreSQL database cluster dump' "$BOX/head"; then
        KIND=plain
      else
        refuse dump_foreign "$GIVEN is not a dump of PostgreSQL: neither pg_dump's formats nor SQL text that begins as pg_dump's does"
      fi
      ;;
  esac
}

# archive ARGUMENTS...: pg_restore of the archive that is looked at.
archive() {
  case $PACKED in
    '') "$NEW_BIN/pg_restore" "$@" "$ARCHIVE" ;;
    *) unpacked | "$NEW_BIN/pg_restore" "$@" ;;
  esac
}

# reads N: SQL text on stdin, written down as held.awk does.
reads() {
  awk -v check="$HELD/$1.check" -v counts="$HELD/$1.counts" -v names="$HELD/$1.names" -v owner="$HELD/$1.owner" \
    -v totals="$HELD/$1.totals" -v spaces="$HELD/spaces" -f "$SCRIPTS/held.awk"
}

# total N NAME: a number of a database's totals.
total() { sed -n "s/^$2 //p" "$HELD/$1.totals"; }

# not_newer VERSION: the pg_dump that made it is no newer than what would load it.
not_newer() {
  case $1 in
    '' | *[!0-9.a-z]*) return 0 ;;
  esac
  [ "${1%%[!0-9]*}" -le "$TO" ] ||
    refuse dump_newer "$GIVEN was made by pg_dump $1, which is newer than the $NEW_VERSION that would load it"
}

# look_archive N: the archive in ARCHIVE is read to its end, so that a truncated or damaged one is known beforehand.
look_archive() {
  archive --list >"$HELD/$1.list" 2>"$BOX/given.err" || broken 'pg_restore --list' "$BOX/given.err"
  BY=$(sed -n 's/^; *Dumped by pg_dump version: \([^ ]*\).*/\1/p' "$HELD/$1.list")
  OF=$(sed -n 's/^; *Dumped from database version: \([^ ]*\).*/\1/p' "$HELD/$1.list")
  not_newer "$BY"
  [ -e "$HELD/$1.name" ] || sed -n 's/^; *dbname: //p' "$HELD/$1.list" | head -n 1 | tr -d '\n' >"$HELD/$1.name"
  rm -f "$BOX/given.failed"
  { archive --create -f - 2>"$BOX/given.err" || : >"$BOX/given.failed"; } | reads "$1"
  [ ! -e "$BOX/given.failed" ] || broken pg_restore "$BOX/given.err"
  entries=$(grep -c '^[0-9]*; [0-9]* [0-9]* TABLE DATA ' "$HELD/$1.list" || :)
  if [ "$(total "$1" copying)" != 0 ] || { [ "$(total "$1" blocks)" -lt "$entries" ] && [ "$(total "$1" inserts)" = 0 ]; }; then
    refuse dump_truncated "$GIVEN is truncated: the data of $((entries - $(total "$1" blocks))) of $entries tables does not end"
  fi
}

look_plain() {
  unpacked | reads 1
  BY=$(total 1 by) OF=$(total 1 from)
  not_newer "$BY"
  [ "$(total 1 end)" = 1 ] || refuse dump_truncated "$GIVEN is truncated: it does not end with \"PostgreSQL database dump complete\""
  if [ -e "$HELD/1.names" ] || [ "$(total 1 connects)" != 0 ]; then
    [ -z "${PGUP_GIVEN_DATABASE:-}" ] || refuse dump_named "$GIVEN names its databases itself: leave --database out"
  elif [ -z "${PGUP_GIVEN_DATABASE:-}" ]; then
    refuse dump_unnamed "$GIVEN does not say which database it is of: add --database NAME"
  else
    printf '%s\n' "$PGUP_GIVEN_DATABASE" >"$HELD/1.names"
  fi
}

look_ours() {
  dump_is_whole "$GIVEN" || case $WHY in
    *truncated* | *'no manifest'* | *missing*) refuse dump_truncated "$GIVEN: $WHY" ;;
    *) refuse dump_corrupted "$GIVEN: $WHY" ;;
  esac
  sed -n 's/^CREATE TABLESPACE \(.*\) OWNER .*$/\1/p' "$GIVEN/globals.sql" >"$HELD/spaces"
  for oid in $(dumped_databases "$GIVEN"); do
    cat "$GIVEN/$oid.name" >"$HELD/$oid.name"
    ARCHIVE=$GIVEN/$oid
    look_archive "$oid"
  done
}

# look_given: refuses what cannot be loaded; else HELD says what it holds, and so does one event.
look_given() {
  GIVEN=${PGUP_GIVEN:?}
  rm -rf "$HELD"
  mkdir -p "$HELD"
  given_kind
  case $KIND in
    plain | ours) ;;
    *) [ -z "${PGUP_GIVEN_DATABASE:-}" ] || refuse dump_named "$GIVEN names its database itself: leave --database out" ;;
  esac
  ARCHIVE=$GIVEN
  case $KIND in
    ours) look_ours ;;
    plain) look_plain ;;
    *) look_archive 1 ;;
  esac
  # Only a server without tablespaces gets this far.
  [ ! -s "$HELD/spaces" ] ||
    refuse dump_tablespaces "$GIVEN needs tablespaces: $(sort -u "$HELD/spaces" | tr '\n' ' '); dump it again with --no-tablespaces"
  printf '%s %s\n' "$KIND" "$PACKED" >"$HELD/kind"
  given_event
}

# sum NAME: of all databases.
sum() { cat "$HELD"/*.totals | awk -v name="$1" '$1 == name { n += $2 } END { printf "%.0f", n }'; }

# words FILE...: sets JSON to an array of their lines, each once.
words() {
  cat "$@" 2>/dev/null | sort -u >"$BOX/words" || :
  set --
  while IFS= read -r line || [ -n "$line" ]; do set -- "$@" "$line"; done <"$BOX/words"
  json_list "$@"
}

given_event() {
  for file in "$HELD"/*.name; do
    if [ -e "$file" ]; then
      cat "$file"
      echo
    fi
  done >"$BOX/names"
  words "$BOX/names" "$HELD"/*.names
  given_databases=$JSON
  words "$HELD"/*.owner
  given_owners=$JSON
  globals=false
  if [ "$KIND" = ours ] || [ "$(sum roles)" != 0 ]; then globals=true; fi
  rows=$(sum rows)
  if [ "$(sum blocks)" = 0 ] && [ "$(sum inserts)" != 0 ]; then rows=null; fi
  made=$GIVEN
  for file in "$GIVEN/toc.dat" "$GIVEN/manifest"; do if [ -e "$file" ]; then made=$file; fi; done
  bytes_of "$GIVEN"
  # Indexes and row headers make a cluster larger than its text; the log of the load comes on top.
  needed=$(($(sum bytes) * 3 / 2 + 268435456)) free=null
  if [ -d "$DATA" ]; then
    # shellcheck disable=SC2046
    set -- $(stat -f -c '%a %S' "$DATA")
    free=$((${1:-0} * ${2:-0}))
    [ "$free" -ge "$needed" ] ||
      refuse dump_no_room "$((free >> 20)) MiB are free on the data claim, and about $((needed >> 20)) MiB are needed beside the present data"
  fi
  json "$GIVEN"
  given_path=$JSON
  event given "\"path\":$given_path,\"kind\":\"$KIND\",\"packed\":\"$PACKED\",\"from\":\"$OF\",\"by\":\"$BY\",\"databases\":$given_databases,\"owners\":$given_owners,\"globals\":$globals,\"bytes\":$BYTES,\"made_at\":$(stat -c %Y "$made"),\"tables\":$(sum tables),\"rows\":$rows,\"sequences\":$(sum sequences),\"large_objects\":$(sum large_objects),\"needed\":$needed,\"free\":$free"
}

look() {
  : "${TO:?}"
  new_programs || refuse new_programs "this image has no pg_upgrade of PostgreSQL $TO"
  HELD=$BOX/held
  look_given
  exit 0
}

# --- the load ---

# from_old: roles and settings of the stopped old cluster, and how the database that --database names is made.
from_old() {
  start_old || return 1
  dump_globals "$WORK/globals.sql" && unlisted "$WORK/unlisted.sql" || return 1
  : >"$WORK/create.sql"
  if [ -n "${PGUP_GIVEN_DATABASE:-}" ]; then
    on_old template1 psql -XAtq -v ON_ERROR_STOP=1 -v name="$PGUP_GIVEN_DATABASE" -f - >"$WORK/create.sql" <<'SQL' || return 1
SELECT pg_catalog.format('CREATE DATABASE %I TEMPLATE template0', :'name') || coalesce((SELECT pg_catalog.format(' OWNER %I ENCODING %L LC_COLLATE %L LC_CTYPE %L',
    rolname, pg_catalog.pg_encoding_to_char(encoding), datcollate, datctype)
  || CASE WHEN j->>'datlocprovider' = 'i' THEN pg_catalog.format(' LOCALE_PROVIDER icu ICU_LOCALE %L', coalesce(j->>'datlocale', j->>'daticulocale')) ELSE '' END
  FROM pg_catalog.pg_database d JOIN pg_catalog.pg_roles r ON r.oid = datdba, LATERAL pg_catalog.to_jsonb(d) j WHERE datname = :'name'), '') || ';'
 WHERE :'name' NOT IN ('postgres', 'template1');
SQL
  fi
  stop_server "$OLD_BIN" "$OLD" fast
  echo "Reading roles of the old cluster  ok"
}

load_plain() {
  first=postgres
  # What drops and makes a database anew is connected to another one; pg_dumpall sees to that itself.
  if [ "$(total 1 clusters)" = 0 ] && [ -e "$HELD/1.names" ] && grep -qxF postgres "$HELD/1.names"; then first=template1; fi
  if [ -n "${PGUP_GIVEN_DATABASE:-}" ]; then
    on_new template1 psql -Xq -v ON_ERROR_STOP=1 -f "$WORK/create.sql" || return 1
    first=$PGUP_GIVEN_DATABASE
  fi
  restricts=0
  if "$NEW_BIN/psql" --help=commands | grep -q restrict; then restricts=1; fi
  unpacked | PGUP_SUPERUSER=$SUPERUSER awk -v pass=1 -v restricts="$restricts" -f "$SCRIPTS/held.awk" |
    on_new "$first" psql -X -v ON_ERROR_STOP=1 -f - >"$BOX/plain.out" 2>"$BOX/plain.err" || {
    tail -n 8 "$BOX/plain.err"
    return 1
  }
  grep -qx PGUP-END "$BOX/plain.out" || {
    echo "the text ended before its end: it is another than it was when it was looked at"
    return 1
  }
  # The server's own word on each COPY.
  sed -n 's/^COPY \([0-9]*\)$/\1/p' "$BOX/plain.out" | cmp -s - "$HELD/1.counts" || {
    echo "the numbers of rows that were loaded are not those of the dump"
    return 1
  }
  echo "Loading the text  ok"
}

# compared N NAME: what the database lacks of what the dump holds, one line each.
compared() {
  {
    cat <<'SQL'
SET standard_conforming_strings = on; SET check_function_bodies = off; SET statement_timeout = 0; SET row_security = off;
CREATE FUNCTION pg_temp.held_rows(regclass, bigint) RETURNS text LANGUAGE plpgsql AS $$ DECLARE n bigint; BEGIN
  EXECUTE pg_catalog.format('SELECT pg_catalog.count(*) FROM %s %s', CASE (SELECT relkind FROM pg_catalog.pg_class WHERE oid = $1) WHEN 'p' THEN '' ELSE 'ONLY' END, $1) INTO n;
  RETURN CASE WHEN n <> $2 THEN pg_catalog.format('table %s has %s rows, the dump has %s', $1, n, $2) END; END $$;
CREATE FUNCTION pg_temp.held_value(regclass, bigint, boolean) RETURNS text LANGUAGE plpgsql AS $$ DECLARE n bigint; c boolean; BEGIN
  EXECUTE pg_catalog.format('SELECT last_value, is_called FROM %s', $1) INTO n, c;
  RETURN CASE WHEN n <> $2 OR c <> $3 THEN pg_catalog.format('sequence %s is at %s, in the dump at %s', $1, n, $2) END; END $$;
SQL
    cat "$HELD/$1.check" 2>/dev/null || :
    # Relations by what the list of the archive says; what extensions bring is in none.
    cat <<SQL
SELECT 'there are ' || n || ' relations, the dump has ' || $(grep -cE '^[0-9]+; 1259 [0-9]+ (TABLE|VIEW|MATERIALIZED VIEW|FOREIGN TABLE|SEQUENCE) ' "$HELD/$1.list" || :)
  FROM (SELECT pg_catalog.count(*) AS n FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace s ON s.oid = relnamespace
  WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND nspname !~ '^pg_(catalog|toast|temp)' AND nspname <> 'information_schema'
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend WHERE classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND objid = c.oid AND deptype = 'e')) q
  WHERE n < $(grep -cE '^[0-9]+; 1259 [0-9]+ (TABLE|VIEW|MATERIALIZED VIEW|FOREIGN TABLE|SEQUENCE) ' "$HELD/$1.list" || :);
SELECT 'there are ' || pg_catalog.count(*) || ' large objects, the dump has $(total "$1" large_objects)' FROM pg_catalog.pg_largeobject_metadata
  HAVING pg_catalog.count(*) <> $(total "$1" large_objects);
SQL
  } >"$BOX/compare.sql"
  on_new "$2" psql -XAtq -v ON_ERROR_STOP=1 -f "$BOX/compare.sql" >"$BOX/compared" || return 1
  if grep . "$BOX/compared"; then
    echo "what was loaded is not what the dump of database $1 holds"
    return 1
  fi
  echo "Comparing database $1 with the dump  ok"
}

load_archives() {
  if [ "$KIND" = ours ]; then
    DUMP=$GIVEN
    load_all || return 1
  else
    name=$(cat "$HELD/1.name")
    case $KIND$PACKED in
      custom | directory) load_database "$name" --no-tablespaces -j "${PGUP_JOBS:-1}" "$GIVEN" ;;
      tar) load_database "$name" --no-tablespaces "$GIVEN" ;;
      *) unpacked | load_database "$name" --no-tablespaces ;;
    esac || return 1
    echo "Loading database  ok"
  fi
  for file in "$HELD"/*.name; do
    number=${file##*/}
    compared "${number%.name}" "$(cat "$file")" || return 1
  done
}

# load_given: the new cluster from the dump, compared with it, and written down for the comparison after the start.
load_given() {
  trap - EXIT
  HELD=$WORK/held GIVEN=${PGUP_GIVEN:?}
  read -r KIND PACKED <"$HELD/kind" || return 1
  globals=
  # Who has made another dump had a locale of his own.
  [ "$KIND" = ours ] || MONEY=
  if [ "$KIND" != ours ] && { [ "$KIND" != plain ] || [ "$(sum roles)" = 0 ]; }; then
    from_old || return 1
    globals=$WORK/globals.sql
  fi
  start_loading || return 1
  if [ -n "$globals" ]; then
    load_globals "$globals" && load_unlisted "$WORK/unlisted.sql" || return 1
    rm -f "$globals" "$WORK/unlisted.sql"
  fi
  case $KIND in
    plain) load_plain ;;
    *) load_archives ;;
  esac || return 1
  rm -f "$WORK/create.sql"
  observe_on "$NEW" before quick >"$BOX/observed" || {
    cat "$BOX/observed"
    tail -n 5 "$BOX/observe.err"
    return 1
  }
  printf '"loaded":{"tables":%s,"rows":%s,"inserts":%s,"sequences":%s,"large_objects":%s,"observed":%s}\n' "$(sum tables)" "$(sum rows)" \
    "$(sum inserts)" "$(sum sequences)" "$(sum large_objects)" "$(tail -n 1 "$BOX/observed")" >"$HELD/loaded"
  end_load && sync -f "$NEW" || return 1
  rm -f "$WORK/reserve"
  # The sizes at the stop are those of what was loaded.
  (OLD=$NEW FROM=$TO && sizes) || return 1
  echo "Writing the new cluster to the disk  ok"
}
