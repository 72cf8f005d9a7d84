# The way of --method dump: the new server's own pg_dump reads the stopped old cluster behind the guard, pg_restore loads
# the new one. It stands in for pg_upgrade, so its lines have the form of pg_upgrade's: a phase ends with "ok".
# shellcheck shell=dash disable=SC2034,SC2154

# Both servers listen in the same private directory.
OLD_PORT=50432 NEW_PORT=50433

# An amount of money is written and read in one locale, whichever both servers have.
MONEY='-c lc_monetary=C'

# on_old DATABASE PROGRAM...: a program of the new version on the old cluster, which is only read, whatever a function in it
# wants. The name goes by the environment, where libpq takes it as it is.
on_old() {
  on_database=$1 on_program=$2
  shift 2
  env PGOPTIONS="$SESSION -c default_transaction_read_only=on $MONEY" PGHOST="$BOX/sock" PGPORT="$OLD_PORT" \
    PGUSER="$SUPERUSER" PGDATABASE="$on_database" "$NEW_BIN/$on_program" "$@"
}

on_new() {
  on_database=$1 on_program=$2
  shift 2
  env PGOPTIONS="$SESSION -c default_transaction_read_only=off $MONEY" PGHOST="$BOX/sock" PGPORT="$NEW_PORT" \
    PGUSER="$SUPERUSER" PGDATABASE="$on_database" "$NEW_BIN/$on_program" "$@"
}

# ask DATABASE SQL: what the old cluster answers, unaligned.
ask() { on_old "$1" psql -XAtq -v ON_ERROR_STOP=1 -c "$2"; }

# name_of OID: sets NAME and ENCODING to those of an old database.
name_of() {
  NAME=$(ask template1 "SELECT pg_catalog.pg_encoding_to_char(encoding) || ' ' || datname FROM pg_catalog.pg_database WHERE oid = $1") || return 1
  ENCODING=${NAME%% *}
  NAME=${NAME#* }
}

# unlisted FILE: what pg_dumpall leaves out of the old cluster, as statements.
unlisted() { ask template1 "$(unlisted_sql)" >"$1"; }

# load_unlisted FILE: before the databases, whose views are filled with what every session is set to.
load_unlisted() { [ ! -s "$1" ] || on_new template1 psql -Xq -v ON_ERROR_STOP=1 -f "$1"; }

# dump_of PROGRAM ARG...: of the database NAME, written in its ENCODING, as the dump says.
dump_of() (
  export PGCLIENTENCODING="$ENCODING"
  on_old "$NAME" "$@"
)

# dump_globals FILE: roles and settings, which the database with OID 1, template1, has the encoding for.
dump_globals() { name_of 1 && dump_of pg_dumpall --globals-only -f "$1" -l template1; }

# dump_flags: sets ZIP to what this image's pg_dump was built with, the fastest first, and NO_SYNC to a flag or nothing.
dump_flags() {
  ZIP=1 NO_SYNC=--no-sync
  server_major "$NEW_BIN" || return 1
  # It takes a word for the number 0 before 15, and never syncs before 10.
  case $MAJOR in 9.*) NO_SYNC= ;; esac
  [ "${MAJOR%.*}" -ge 16 ] || return 0
  for ZIP in zstd:1 lz4:1 1; do
    if on_old template1 pg_dump -Z "$ZIP" -Fd -f "$DUMP/try" --schema-only >/dev/null 2>&1; then break; fi
    rm -rf "$DUMP/try"
  done
  rm -rf "$DUMP/try"
}

start_old() {
  rm -f "$OLD/postmaster.pid"
  "$OLD_BIN/pg_ctl" -D "$OLD" -w -l "$BOX/run/old-server.log" -o "$(quietly) ${PGUP_OLD_OPTIONS:-}" start >/dev/null 2>&1 || {
    echo "the old server does not start:"
    tail -n 15 "$BOX/run/old-server.log"
    return 1
  }
}

# A crash while loading throws the new cluster away, so nothing of it needs to be on the disk before the end.
start_loading() {
  loading="-c port=$NEW_PORT -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c wal_level=minimal -c max_wal_senders=0"
  loading="$loading -c max_wal_size=2GB -c checkpoint_timeout=1h -c shared_buffers=128MB -c maintenance_work_mem=256MB -c lc_messages=C"
  loading="$loading -c default_transaction_read_only=off -c max_replication_slots=0 -c idle_session_timeout=0"
  [ "$TO" -ge 14 ] || loading=${loading% -c idle_session_timeout=0}
  (
    PGUP_NEW_OPTIONS="$(quietly) ${PGUP_NEW_OPTIONS:-} $loading"
    start_new "$NEW"
  ) || {
    echo "the new server does not start:"
    tail -n 15 "$BOX/test.log"
    return 1
  }
  write_behind "$NEW" "$NEW" &
}

# write_behind DIR CLUSTER: what comes to DIR goes to the disk meanwhile, so that little is left for the end. Ends with the server
# of CLUSTER.
write_behind() {
  # A redirection of the call would leave a copy of the pipe, whose reader waits for its end, in this shell.
  exec >/dev/null 2>&1
  while sleep 0.2 && [ -e "$2/postmaster.pid" ]; do sync -f "$1"; done
}

# tables_of NAME: the tables whose data a dump of this database must have, by OID.
tables_of() {
  # Tables of extensions are made by CREATE EXTENSION; only what is marked as configuration has data of its own.
  ask "$1" "SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = relnamespace
    WHERE relkind = 'r' AND relpersistence <> 't' AND nspname !~ '^pg_' AND nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend WHERE classid = 'pg_catalog.pg_class'::regclass AND objid = c.oid AND deptype = 'e')"
}

# whole DIR: the dump of the database NAME has the data of every table, each in a file that is there. BOX/tables is what
# tables_of said before the dump: a running server may make and drop some meanwhile.
whole() {
  "$NEW_BIN/pg_restore" --list "$1" >"$BOX/toc" || return 1
  in_dump=0
  sed -n 's/^\([0-9]*\); [0-9]* \([0-9]*\) TABLE DATA .*/\1 \2/p' "$BOX/toc" >"$BOX/entries"
  while read -r entry oid_of_table; do
    in_dump=$((in_dump + 1))
    for file in "$1/$entry.dat"*; do
      if [ ! -s "$file" ]; then
        echo "the dump lacks the file of entry $entry"
        return 1
      fi
    done
    echo "$oid_of_table" >&5
  done <"$BOX/entries" 5>"$BOX/dumped"
  tables_of "$NAME" >"$BOX/tables.now" || return 1
  lacking=$(grep -xF -f "$BOX/tables" "$BOX/tables.now" | grep -cvxF -f "$BOX/dumped" || :)
  [ "$lacking" = 0 ] || {
    echo "the dump lacks $lacking of $(wc -l <"$BOX/tables") tables"
    return 1
  }
}

dump_all() {
  databases=$(ask template1 "SELECT oid FROM pg_catalog.pg_database WHERE datallowconn AND datname <> 'template0' ORDER BY oid") || return 1
  dump_globals "$DUMP/globals.sql" && unlisted "$DUMP/unlisted.sql" || return 1
  dump_flags || return 1
  echo "Dumping roles and settings  ok"
  contents=
  for oid in $databases; do
    name_of "$oid" || return 1
    case $NAME in *"$NL"*)
      echo "database $oid has a newline in its name: ALTER DATABASE … RENAME TO …"
      return 1
      ;;
    esac
    printf '%s' "$NAME" >"$DUMP/$oid.name"
    tables_of "$NAME" >"$BOX/tables" || return 1
    # shellcheck disable=SC2086 # a flag or nothing
    dump_of pg_dump -Fd -j "${PGUP_JOBS:-1}" -Z "$ZIP" $NO_SYNC -f "$DUMP/$oid" || return 1
    whole "$DUMP/$oid" || return 1
    json "$NAME"
    contents="$contents${contents:+,}{\"oid\":$oid,\"name\":$JSON,\"tables\":$in_dump,\"bytes\":$(ask "$NAME" "SELECT pg_catalog.pg_database_size(oid) FROM pg_catalog.pg_database WHERE oid = $oid")}" || return 1
    echo "Dumping database $oid  ok"
  done
  about
}

# about: what the dump is of, for whoever finds it.
about() {
  of=$(ask template1 "SELECT system_identifier, pg_catalog.split_part(pg_catalog.current_setting('server_version'), ' ', 1) FROM pg_catalog.pg_control_system()") || return 1
  server_major "$NEW_BIN" || return 1
  json "$SUPERUSER"
  clock
  printf '{"format":1,"from":"%s","by":"%s","system_identifier":"%s","superuser":%s,"at":%s,"databases":[%s]}\n' \
    "${of#*|}" "$MINOR" "${of%%|*}" "$JSON" "$NOW" "$contents" >"$DUMP/about.json"
}

# load_globals FILE: the new cluster has its superuser already; whatever else is wrong is told by a line of its own.
load_globals() {
  on_new postgres psql -Xq -f "$1" >/dev/null 2>"$BOX/globals.err" || {
    tail -n 5 "$BOX/globals.err"
    return 1
  }
  if grep 'ERROR:' "$BOX/globals.err" | grep -vF "role \"$SUPERUSER\" already exists"; then return 1; fi
  echo "Loading roles and settings  ok"
}

# making NAME: sets FIRST to the database from which this one is made, and CLEAN to a flag or nothing. Two exist in every
# cluster; what is set for the database itself comes only with the database (pg_upgrade does the same).
making() {
  FIRST=postgres CLEAN=
  case $1 in
    postgres) FIRST=template1 CLEAN=--clean ;;
    template1) CLEAN=--clean ;;
  esac
}

# load_database NAME [ARGUMENTS...]: an archive into the database that it makes.
load_database() {
  making "$1"
  shift
  # shellcheck disable=SC2086 # a flag or nothing
  on_new postgres pg_restore --create $CLEAN ${PGUP_NO_TABLESPACES:+--no-tablespaces} -d "$FIRST" "$@"
}

load_all() {
  load_globals "$DUMP/globals.sql" || return 1
  load_unlisted "$DUMP/unlisted.sql" || return 1
  load_databases
}

load_databases() {
  for oid in $(dumped_databases "$DUMP"); do
    name=$(cat "$DUMP/$oid.name")
    if [ -n "${WEAK:-}" ]; then
      load_weak "$name" "$DUMP/$oid" || return 1
    elif made_otherwise; then
      load_otherwise "$name" "$DUMP/$oid" || return 1
    else
      load_database "$name" -j "${PGUP_JOBS:-1}" "$DUMP/$oid" || return 1
    fi
    echo "Loading database $oid  ok"
  done
}

# end_load: the new server stops; whoever calls this writes to the disk what the load has not synced on the way.
end_load() {
  "$NEW_BIN/pg_ctl" -D "$NEW" -m fast -w stop >/dev/null 2>&1 || {
    echo "the new server does not stop:"
    tail -n 15 "$BOX/test.log"
    return 1
  }
}

# make_dump: the old cluster into DUMP, proven whole and sealed before anything is loaded.
make_dump() {
  rm -rf "$DUMP"
  mkdir "$DUMP" || return 1
  start_old || return 1
  write_behind "$DUMP" "$OLD" &
  dump_all || return 1
  stop_server "$OLD_BIN" "$OLD" fast
  echo "Stopping the old server  ok"
  seal "$DUMP" || {
    echo "the dump cannot be sealed"
    return 1
  }
  echo "Sealing the dump  ok"
}

dump_and_load() {
  trap - EXIT
  DUMP=${PGUP_DUMP:-$WORK/dump}
  load_dump || return 1
  # The comparison leaves aside what a load may change: sizes, numbers of columns, versions of extensions.
  if [ -n "${PGUP_DUMP_KEEP:-}" ]; then
    bytes_of "$DUMP"
    printf '"dump":{"bytes":%s,"sealed":true}\n' "$BYTES" >"$WORK/loaded"
  else
    rm -rf "$DUMP"
    : >"$WORK/loaded"
  fi
  otherwise >"$WORK/otherwise"
  # Nothing of the load was synced on the way.
  sync -f "$NEW" || return 1
  echo "Writing the new cluster to the disk  ok"
}

load_dump() {
  # Nothing has written to the old cluster since an earlier attempt, which the guard is there for.
  if [ "$ATTEMPTS" -gt 1 ] && dump_is_whole "$DUMP"; then
    echo "Checking the dump of the attempt before  ok"
  else
    make_dump || return 1
  fi
  clock
  echo "$NOW" >"$WORK/dumped-at"
  start_loading || return 1
  load_all || return 1
  end_load
}
