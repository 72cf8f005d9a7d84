# The schema of the running server is made again without its data. Its own pg_dump wrote it, so the old programs make it first,
# in a scratch cluster; from there the new pg_dump takes it and the new server makes it, in the way of pg_upgrade.
# Both clusters are thrown away with the pod. Sourced by probe.sh behind prepare.sh. Env: PGUP_SCHEMA (seconds), PGUP_MARK
# (begins the lines between the parts of the dump), PGUP_PRELOAD (libraries, by commas).
# shellcheck shell=dash disable=SC2034,SC2154

# scratch MAJOR PROGRAMS PORT LIBRARIES: an empty cluster, started for pg_upgrade. Sets TAIL when it cannot.
scratch() {
  scratch_dir=$BOX/scratch-$1
  init_cluster "$2" "$scratch_dir" "$1" || return 1
  {
    # Nothing of it is worth a sync, and it must not act: no jobs of extensions, no archiving.
    printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$BOX/sock'" "port = $3" "fsync = off" \
      "synchronous_commit = off" "wal_level = minimal" "max_wal_senders = 0" "full_page_writes = off" "shared_buffers = 32MB" "huge_pages = off" "max_locks_per_transaction = 1024" \
      "max_worker_processes = 0" "autovacuum = off" "archive_mode = off" "log_min_error_statement = panic" \
      "shared_preload_libraries = '$4'"
    [ "${1%.*}" -lt 11 ] || echo "jit = off"
    [ "${1%.*}" -lt 13 ] || echo "max_slot_wal_keep_size = -1"
    [ "${1%.*}" -lt 18 ] || echo "idle_replication_slot_timeout = 0"
  } >>"$scratch_dir/postgresql.conf"
  "$2/pg_ctl" -D "$scratch_dir" -w -t 60 -l "$scratch_dir.log" -o -b start >/dev/null 2>&1 && return 0
  tail_of "$scratch_dir.log" 15 1500
  return 1
}

# scratch_begin: both clusters, while the probe looks at other things.
scratch_begin() {
  [ -n "${PGUP_SCHEMA:-}" ] && [ -n "$OLD_BIN" ] || return 0
  SUPERUSER=${PGUP_SUPERUSER:-postgres} C_WALSEG=16777216 C_CHECKSUMS=0
  mkdir -p "$BOX/sock" "$BOX/home"
  export HOME="$BOX/home" PGHOST="$BOX/sock" PGUSER="$SUPERUSER"
  # As under pg_upgrade: what roles and databases are set to is not for these sessions.
  export PGOPTIONS="$SESSION -c default_transaction_read_only=off"
  # What the target image lacks is told by a check of its own.
  preload=
  for word in $(printf '%s' "${PGUP_PRELOAD:-}" | tr , ' '); do
    if [ -e "$library/$word.so" ]; then preload=$preload${preload:+,}$word; fi
  done
  { scratch "$PGUP_FROM" "$OLD_BIN" 50432 "${PGUP_PRELOAD:-}" || printf '%s\n' "${TAIL:-it did not start}" >"$BOX/old.failed"; } &
  scratch_old=$!
  { scratch "$PGUP_TO" "$BIN" 50433 "$preload" || printf '%s\n' "${TAIL:-it did not start}" >"$BOX/new.failed"; } &
  scratch_new=$!
}

# within COMMAND...: for as long as there is time for the whole.
within() {
  clock
  left=$(((SCHEMA_END - NOW) / 1000))
  [ "$left" -gt 0 ] || return 124
  if command -v timeout >/dev/null 2>&1; then timeout "$left" "$@"; else "$@"; fi
}

# add_error OBJECT MESSAGE: the first ones in full, the others counted.
add_error() {
  error_count=$((error_count + 1))
  [ "$error_count" -le 20 ] || return 0
  json "$1"
  error_object=$JSON
  # A message in full may hold a whole function.
  json "$(printf '%s' "$2" | head -c 500)"
  errors="$errors${errors:+,}{\"object\":$error_object,\"message\":$JSON}"
}

# psql_errors ERRORS SCRIPT: one for each object whose statement failed; its name stands in the comment before it.
psql_errors() {
  errors='' error_count=0 error_last=''
  while IFS= read -r line; do
    case $line in psql:*': ERROR:  '*) ;; *) continue ;; esac
    number=${line#*"$2":}
    number=${number%%:*}
    object=''
    if [ "$error_count" -lt 20 ]; then
      object=$(head -n "$number" "$2" | grep -a '^-- Name: ' | tail -n 1)
      if [ -z "$object" ]; then object=$(sed -n "${number}p" "$2"); fi
      [ "$object" != "$error_last" ] || continue
      error_last=$object
    fi
    object=${object#-- Name: }
    add_error "${object%; Owner:*}" "${line#*ERROR:  }"
  done <"$1"
}

# restore_errors ERRORS: one for each object that pg_restore --verbose could not make.
restore_errors() {
  errors='' error_count=0 object='' error_last=''
  grep -aE '^pg_restore: (creating |error: .*ERROR:  )' "$1" >"$1.lines"
  while IFS= read -r line; do
    case $line in
      'pg_restore: creating '*) object=${line#pg_restore: creating } ;;
      *)
        # What follows within the same object, such as its owner, is no news.
        [ "$object" != "$error_last" ] || continue
        error_last=$object
        add_error "$object" "${line#*ERROR:  }"
        ;;
    esac
  done <"$1.lines"
}

# unproved DATABASE WHY
unproved() {
  json "$1"
  part_database=$JSON
  json "$(printf '%s' "$2" | head -c 500)"
  event schema "\"database\":$part_database,\"unproved\":$JSON"
}

# both ERRORS_OF_OLD COUNT_OF_OLD: what came of one part.
both() {
  json "$part"
  clock
  event schema "\"database\":$JSON,\"errors\":[$errors],\"error_count\":$error_count,\"untried\":[$1],\"untried_count\":$2,\"ms\":$((NOW - part_begin))"
}

# Roles, and what is set for them.
globals() {
  within "$BIN/psql" -Xq -p 50432 -d template1 -f "$BOX/part.sql" >/dev/null 2>"$BOX/err"
  psql_errors "$BOX/err" "$BOX/part.sql"
  untried=$errors untried_count=$error_count
  if ! within "$BIN/pg_dumpall" -p 50432 --globals-only --binary-upgrade --no-role-passwords --no-tablespaces >"$BOX/new.sql" 2>"$BOX/err"; then
    tail_of "$BOX/err" 3 400
    unproved '' "pg_dumpall: ${TAIL:-time is up}"
    return 0
  fi
  grep '^ALTER ROLE ALL ' "$BOX/part.sql" >>"$BOX/new.sql" || :
  within "$BIN/psql" -Xq -p 50433 -d template1 -f "$BOX/new.sql" >/dev/null 2>"$BOX/err"
  psql_errors "$BOX/err" "$BOX/new.sql"
  both "$untried" "$untried_count"
}

database() {
  connect_to=template1 create=--create
  case $part in postgres | template1) connect_to=$part create='' ;; esac
  if ! within "$BIN/psql" -Xq -p 50432 -d "$connect_to" -f "$BOX/part.sql" >/dev/null 2>"$BOX/err"; then
    tail_of "$BOX/err" 3 400
    unproved "$part" "${TAIL:-time is up}"
    return 0
  fi
  psql_errors "$BOX/err" "$BOX/part.sql"
  untried=$errors untried_count=$error_count
  # shellcheck disable=SC2086
  if ! PGDATABASE=$part within "$BIN/pg_dump" -p 50432 -Fc -Z0 --schema-only --binary-upgrade --quote-all-identifiers -f "$BOX/new.dump" 2>"$BOX/err"; then
    tail_of "$BOX/err" 3 400
    unproved "$part" "${TAIL:-time is up}"
    return 0
  fi
  # shellcheck disable=SC2086
  within "$BIN/pg_restore" -v -p 50433 $create -d "$connect_to" "$BOX/new.dump" >/dev/null 2>"$BOX/err"
  restore_code=$?
  restore_errors "$BOX/err"
  if [ "$restore_code" -ne 0 ] && [ "$error_count" -eq 0 ]; then
    tail_of "$BOX/err" 3 400
    unproved "$part" "${TAIL:-time is up}"
  else
    both "$untried" "$untried_count"
  fi
  # Many databases must not fill the node's disk.
  [ -z "$create" ] || for port in 50432 50433; do
    printf 'DROP DATABASE :"name";\n' | within "$BIN/psql" -Xq -p "$port" -d template1 -v name="$part" >/dev/null 2>&1
  done
}

# parts SCRIPT: each part of the dump between two marks.
parts() {
  grep -an "^$PGUP_MARK " "$1" >"$BOX/marks"
  kind='' complete=false
  while IFS= read -r mark; do
    end=${mark%%:*}
    mark=${mark#*"$PGUP_MARK" }
    case $mark in
      'failed '*) unproved "$part" "pg_dump: ${mark#failed }" ;;
      *) if [ -n "$kind" ]; then part_of "$1"; fi ;;
    esac
    kind=${mark%% *} part='' begin=$end
    case $kind in database) part=${mark#database } ;; failed) kind='' ;; end) complete=true ;; esac
  done <"$BOX/marks"
}

# part_of SCRIPT: the lines between the mark that began this part and the one that ended it.
part_of() {
  clock
  part_begin=$NOW
  sed -n "$((begin + 1)),$((end - 1))p" "$1" >"$BOX/part.sql"
  case $kind in
    globals) globals ;;
    database) database ;;
  esac
}

# schema_end DETAIL: nothing more is said about the schema; DETAIL when it could not be tried at all.
schema_end() {
  for dir in "$BOX/scratch-$PGUP_FROM" "$BOX/scratch-$PGUP_TO"; do
    # Nothing of it is needed any more, so nothing is written down.
    if [ -e "$dir/postmaster.pid" ]; then kill -QUIT "$(head -n 1 "$dir/postmaster.pid")" 2>/dev/null; fi
  done
  json "$1"
  clock
  event schema_end "\"complete\":${complete:-false},\"detail\":$JSON,\"ms\":$((NOW - SCHEMA_BEGIN))"
}

schema() {
  [ -n "${PGUP_SCHEMA:-}" ] && [ -n "$OLD_BIN" ] || return 0
  clock
  SCHEMA_BEGIN=$NOW
  # What a client cannot read it says by an empty file; a client that is gone says nothing.
  tries=1200
  while [ ! -e "$BOX/schema" ] && [ "$tries" -gt 0 ]; do
    tries=$((tries - 1))
    sleep 0.05
  done
  if [ ! -s "$BOX/schema" ] || [ -e "$BOX/old.failed" ]; then
    schema_end ''
    return 0
  fi
  if [ -e "$BOX/new.failed" ]; then
    schema_end "$(cat "$BOX/new.failed")"
    return 0
  fi
  case $(od -An -tx1 -N2 "$BOX/schema") in
    *1f*8b*) gzip -dc <"$BOX/schema" >"$BOX/schema.sql" ;;
    *) mv "$BOX/schema" "$BOX/schema.sql" ;;
  esac
  clock
  SCHEMA_END=$((NOW + PGUP_SCHEMA * 1000))
  parts "$BOX/schema.sql"
  schema_end ''
}
