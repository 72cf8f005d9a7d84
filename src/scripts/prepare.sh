# All that needs no outage: the data directory is looked at, the new cluster is made and tried.
# shellcheck shell=dash disable=SC2034,SC2154

# stop_server PROGRAMS DIR MODE [SECONDS]
stop_server() {
  [ -e "$2/postmaster.pid" ] || return 0
  "$1/pg_ctl" -D "$2" -m "$3" -w -t "${4:-60}" stop >/dev/null 2>&1 ||
    "$1/pg_ctl" -D "$2" -m immediate -w -t 60 stop >/dev/null 2>&1 || :
}

# stop_servers [SECONDS]: they run in the work directory, never in the data directory. The old one is cut off when it takes longer.
stop_servers() {
  if [ -n "${NEW_BIN:-}" ]; then stop_server "$NEW_BIN" "$NEW" immediate; fi
  if [ -n "${OLD_BIN:-}" ]; then stop_server "$OLD_BIN" "$OLD" fast "${1:-}"; fi
  rm -f "$NEW/postmaster.pid" "$OLD/postmaster.pid"
}

# quietly: options without which a server of ours would act on the outside world: jobs, subscriptions, archived WAL.
quietly() {
  printf '%s' "-c max_worker_processes=0 -c archive_mode=off"
  [ "$FROM" = "${FROM%.*}" ] || return 0
  printf '%s' " -c max_logical_replication_workers=0"
}

# note_crash: the old server was cut off. Its recovery leaves control data as of a clean end, so afterwards only this line tells
# that its unlogged tables were emptied (PostgreSQL's documentation, "The Initialization Fork").
note_crash() {
  clock
  printf '%s crashed %s ;\n' "$NOW" "$STATE" >>"$JOURNAL"
  journal_sync
  CRASHED=1
}

# Starts and stops the old server once on the moved directory, so that it is shut down cleanly. The caller has noted the crash.
recover_old() {
  [ -n "${OLD_BIN:-}" ] || return 1
  rm -f "$OLD/postmaster.pid"
  chmod 0700 "$OLD"
  cp "$BOX/old.conf" "$OLD/postgresql.conf" || return 1
  event recovering "\"state\":${STATE:-null}"
  # A signal ends the wait for a process in the background, but none in the foreground.
  "$OLD_BIN/pg_ctl" -D "$OLD" -w -l "$WORK/recovery.log" -o "$(printf '%s' "${PGUP_OLD_OPTIONS:-}")" start >/dev/null 2>&1 &
  RECOVERY_PID=$! recovered=1
  wait "$RECOVERY_PID" || recovered=0
  RECOVERY_PID=
  [ "$recovered" = 1 ] || return 1
  "$OLD_BIN/pg_ctl" -D "$OLD" -m fast -w stop >/dev/null 2>&1 || return 1
  control_state "$OLD" && [ "$STATE" = 1 ]
}

# Only what the state of the old cluster demands; the user's file may name paths and sizes that do not exist here. A server that
# recovers from the death of one of its processes by itself would end cleanly, and nothing would tell.
old_conf() {
  slots=0
  for entry in "$DATA"/pg_replslot/*; do if [ -d "$entry" ]; then slots=$((slots + 1)); fi; done
  [ "${C_MAX_CONNECTIONS:-0}" -ge 50 ] || C_MAX_CONNECTIONS=50
  printf '%s\n' "$MARK" "hba_file = '$BOX/pg_hba.conf'" "ident_file = '$BOX/pg_ident.conf'" "listen_addresses = ''" \
    "unix_socket_directories = '$BOX/sock'" "port = 50432" "logging_collector = off" "log_destination = 'stderr'" "ssl = off" \
    "archive_mode = off" "autovacuum = off" "restart_after_crash = off" "shared_buffers = '64MB'" "huge_pages = off" \
    "max_connections = $C_MAX_CONNECTIONS" "max_prepared_transactions = ${C_MAX_PREPARED:-0}" \
    "max_locks_per_transaction = ${C_MAX_LOCKS:-64}" "track_commit_timestamp = ${C_TRACK_COMMIT:-off}" \
    "wal_level = ${C_WAL_LEVEL:-replica}" "max_replication_slots = $((slots + 10))"
  # The defaults are too small for large segments.
  segment_mb=$((C_WALSEG / 1048576))
  [ "$segment_mb" -le 16 ] || printf '%s\n' "min_wal_size = $((segment_mb * 5))MB" "max_wal_size = $((segment_mb * 64))MB"
  [ -z "$C_MAX_SENDERS" ] || echo "max_wal_senders = $C_MAX_SENDERS"
  [ -z "$C_MAX_WORKERS" ] || echo "max_worker_processes = $C_MAX_WORKERS"
  [ "$FROM" = "${FROM%.*}" ] || return 0
  [ "$FROM" -lt 11 ] || echo "jit = off"
  [ "$FROM" -lt 13 ] || echo "max_slot_wal_keep_size = -1"
  [ "$FROM" -lt 18 ] || echo "idle_replication_slot_timeout = 0"
}

new_conf() {
  # As many locks as the old cluster could hold, on the few connections that pg_upgrade makes.
  locks=$((${C_MAX_LOCKS:-64} * (C_MAX_CONNECTIONS + ${C_MAX_PREPARED:-0}) / 100))
  [ "$locks" -ge 256 ] || locks=256
  printf '%s\n' "listen_addresses = ''" "hba_file = '$BOX/pg_hba.conf'" "ident_file = '$BOX/pg_ident.conf'" \
    "archive_mode = off" "autovacuum = off" "jit = off" "huge_pages = off" "max_connections = 100" \
    "max_locks_per_transaction = $locks" "max_replication_slots = $((slots + 10))"
  if [ "$C_WAL_LEVEL" = logical ]; then echo "wal_level = logical"; fi
  [ "$TO" -lt 13 ] || echo "max_slot_wal_keep_size = -1"
  [ "$TO" -lt 18 ] || echo "idle_replication_slot_timeout = 0"
}

check_data() {
  [ -d "$DATA" ] || refuse data_missing "$DATA is not a directory"
  [ -O "$DATA" ] || refuse not_owner "$DATA belongs to another user"
  version=
  read -r version <"$DATA/PG_VERSION" 2>/dev/null || :
  [ "$version" = "$FROM" ] || refuse data_version "$DATA holds version ${version:-none}, not $FROM"
  for entry in standby.signal recovery.signal recovery.conf backup_label; do
    [ ! -e "$DATA/$entry" ] || refuse not_primary "$DATA holds $entry"
  done
  wal=$DATA/pg_wal
  [ -e "$wal" ] || [ -L "$wal" ] || wal=$DATA/pg_xlog
  [ ! -L "$wal" ] || refuse wal_elsewhere "$wal is a symbolic link"
  set -- "$wal"/0*
  [ -e "$1" ] || refuse wal_elsewhere "$wal is empty here: another volume is mounted there in the server's pod"
  # Renames must not become copies.
  for entry in "$DATA"/* "$DATA"/.[!.]* "$WORK/."; do
    if [ -e "$entry" ] && [ ! -L "$entry" ]; then set -- "$@" "$entry"; fi
  done
  shift
  for entry in "$DATA"/*/; do
    entry=${entry%/}
    if [ ! -L "$entry" ] && is_server_made "${entry##*/}" && [ ! -w "$entry" ] && [ "${entry##*/}" != lost+found ]; then
      refuse foreign_entry "$entry belongs to another user"
    fi
  done
  device=$(stat -c %d "$DATA")
  for other in $(stat -c %d "$@" 2>/dev/null); do
    [ "$other" = "$device" ] || refuse several_filesystems "$DATA spans several file systems"
  done
  here=$(cd "$DATA" && pwd -P)
  for entry in "$DATA"/pg_tblspc/*; do
    exists "$entry" || continue
    there=$(cd "$entry" 2>/dev/null && pwd -P) || refuse tablespace_missing "$entry leads to $(readlink "$entry"), which is not mounted here"
    case $there/ in "$here"/*) refuse tablespace_inside "tablespace $there lies in the data directory" ;; esac
    set -- "$there/PG_${FROM}_"*
    [ -d "$1" ] || refuse tablespace_missing "$there has nothing of PostgreSQL $FROM: another volume is mounted there in the server's pod"
    [ "$(stat -c %d "$there")" = "$device" ] || refuse tablespace_elsewhere "tablespace $there lies on another file system than $DATA"
    for leftover in "$entry/PG_${TO}_"*; do
      [ ! -e "$leftover" ] || refuse tablespace_leftover "$there/${leftover##*/} exists already; cleanup removes what an earlier run has left"
    done
  done
}

# check_place: the directory that the new cluster gets instead was made, with nothing but a guard in it.
check_place() {
  [ "$PLACE" != "$DATA" ] || return 0
  [ -d "$PLACE" ] || refuse place_missing "$PLACE is not a directory"
  [ -O "$PLACE" ] || refuse not_owner "$PLACE belongs to another user"
  is_free "$PLACE" || refuse place_taken "$PLACE is not empty"
  [ "$(stat -c %d "$PLACE")" = "$(stat -c %d "$DATA")" ] || refuse several_filesystems "$PLACE lies on another file system than $DATA"
}

check_reflink() {
  REFLINK=null
  [ "$TRANSFER" = clone ] || return 0
  echo reflink >"$WORK/reflink-a"
  if cp --reflink=always "$WORK/reflink-a" "$WORK/reflink-b" 2>"$BOX/reflink.err"; then
    REFLINK=true
  else
    case $(cat "$BOX/reflink.err") in
      *nrecognized* | *"invalid option"*) ;;
      *) REFLINK=false ;;
    esac
  fi
  rm -f "$WORK/reflink-a" "$WORK/reflink-b"
  [ "$REFLINK" != false ] || refuse no_reflink "the file system of $DATA does not clone files"
}

# init_cluster PROGRAMS DIR MAJOR: an empty cluster like the old one. Sets TAIL when it cannot.
init_cluster() {
  init_bin=$1 init_major=$3
  set -- -D "$2" -U "$SUPERUSER" -A trust -N
  # Before 11 the size of segments was fixed when the server was built.
  case $init_major in 9.* | 10) ;; *) set -- "$@" --wal-segsize="$((C_WALSEG / 1048576))" ;; esac
  if [ "$C_CHECKSUMS" != 0 ]; then
    set -- "$@" --data-checksums
  elif [ "${init_major%.*}" -ge 18 ]; then
    set -- "$@" --no-data-checksums
  fi
  if [ "${PGUP_GROUP_ACCESS:-0}" = 1 ]; then set -- "$@" --allow-group-access; fi
  if [ -n "${PGUP_ENCODING:-}" ]; then set -- "$@" -E "$PGUP_ENCODING"; fi
  if [ -n "${PGUP_LC_COLLATE:-}" ]; then set -- "$@" --lc-collate="$PGUP_LC_COLLATE"; fi
  if [ -n "${PGUP_LC_CTYPE:-}" ]; then set -- "$@" --lc-ctype="$PGUP_LC_CTYPE"; fi
  case ${PGUP_LOCALE_PROVIDER:-libc} in
    icu)
      [ "${init_major%.*}" -lt 15 ] || set -- "$@" --locale-provider=icu
      if [ "${init_major%.*}" -ge 15 ] && [ -n "${PGUP_ICU_LOCALE:-}" ]; then set -- "$@" --icu-locale="$PGUP_ICU_LOCALE"; fi
      ;;
    builtin) [ "${init_major%.*}" -lt 17 ] || set -- "$@" --locale-provider=builtin --builtin-locale="${PGUP_ICU_LOCALE:-C.UTF-8}" ;;
  esac
  if ! "$init_bin/initdb" "$@" >"$BOX/initdb-$init_major.log" 2>&1; then
    tail_of "$BOX/initdb-$init_major.log" 15 1500
    return 1
  fi
}

# as_asked: what the new cluster shall have instead of what the old one has takes its place.
as_asked() {
  C_CHECKSUMS=${PGUP_AS_CHECKSUMS:-$C_CHECKSUMS}
  PGUP_ENCODING=${PGUP_AS_ENCODING:-${PGUP_ENCODING:-}}
  [ -n "${PGUP_AS_PROVIDER:-}" ] || return 0
  PGUP_LOCALE_PROVIDER=$PGUP_AS_PROVIDER
  case $PGUP_AS_PROVIDER in
    libc) PGUP_LC_COLLATE=$PGUP_AS_LOCALE PGUP_LC_CTYPE=$PGUP_AS_LOCALE ;;
    *) PGUP_ICU_LOCALE=$PGUP_AS_LOCALE ;;
  esac
}

# init_new: the new cluster, made anew. Sets TAIL when it cannot.
init_new() {
  trash "$NEW"
  empty_trash
  init_cluster "$NEW_BIN" "$NEW" "$TO"
}

configure_new() {
  {
    printf '%s\n' "$MARK"
    cat "$NEW/postgresql.conf" "$WORK/new.conf"
  } >"$BOX/new.conf"
  cat "$BOX/new.conf" >"$NEW/postgresql.conf"
}

# start_new DIR: the new server with the settings that it will run with; sizes and paths of the real pod are left out.
start_new() {
  start_dir=$1
  set -- -c "hba_file='$BOX/pg_hba.conf'" -c "ident_file='$BOX/pg_ident.conf'" -c "data_directory='$start_dir'" \
    -c "unix_socket_directories='$BOX/sock'" -c "listen_addresses=''" -c port=50432 -c "unix_socket_group=''" \
    -c unix_socket_permissions=0700 -c logging_collector=off -c log_destination=stderr -c ssl=off -c archive_mode=off \
    -c shared_buffers=32MB -c huge_pages=off -c "external_pid_file=''" -c autovacuum=off -c jit=off
  if [ -s "$PLAN/settings.conf" ]; then set -- "$@" -c "config_file='$PLAN/settings.conf'"; fi
  "$NEW_BIN/pg_ctl" -D "$start_dir" -w -t 120 -l "$BOX/test.log" -o "$* ${PGUP_NEW_OPTIONS:-}" start >/dev/null 2>&1
}

# The new server must accept the settings before the old one is stopped.
test_new() {
  if start_new "$NEW" && "$NEW_BIN/pg_ctl" -D "$NEW" -w -m fast stop >/dev/null 2>&1; then
    return 0
  fi
  stop_server "$NEW_BIN" "$NEW" immediate
  tail_of "$BOX/test.log" 15 1500
  return 1
}

# prepare: all that needs no outage. Starts nothing on the data directory, writes nothing outside WORK.
prepare() {
  clock
  prepare_begin=$NOW
  check_data
  old_programs || refuse old_programs "the copied programs of PostgreSQL $FROM are not complete"
  new_programs || refuse new_programs "this image has no pg_upgrade of PostgreSQL $TO"
  case $TRANSFER in
    clone | link | copy | dump | load) ;;
    swap) [ "$TO" -ge 18 ] || refuse transfer "swap needs PostgreSQL 18" ;;
    *) refuse transfer "unknown transfer mode $TRANSFER" ;;
  esac
  control_read "$OLD_BIN" "$DATA" || refuse control_data "the control data of $DATA cannot be read"
  case $C_STATE in
    *recovery*) refuse not_primary "control data state: $C_STATE" ;;
  esac
  if [ -n "${PGUP_WALSEG_MB:-}" ] && [ "$((PGUP_WALSEG_MB * 1048576))" -ne "$C_WALSEG" ]; then
    refuse plan_stale "WAL segment size is $C_WALSEG bytes, the plan says $PGUP_WALSEG_MB MB"
  fi
  case ${PGUP_CHECKSUMS:-} in
    0) [ "$C_CHECKSUMS" = 0 ] || refuse plan_stale "the old cluster has checksums, the plan says no" ;;
    1) [ "$C_CHECKSUMS" != 0 ] || refuse plan_stale "the old cluster has no checksums, the plan says yes" ;;
  esac
  check_place
  as_asked
  note prepare "$FROM" "$TO" "$TRANSFER"
  journal_sync "$WORK"
  # Nothing has been moved yet in this state, so all of this is ours.
  for entry in "$OLD" "$ASIDE" "$CONF" "$CONF.tmp"; do trash "$entry"; done
  if [ "$TRANSFER" = load ]; then
    HELD=$WORK/held
    look_given
    # On a disk that the load has filled, the way back is still to be written down.
    head -c 1048576 /dev/zero >"$WORK/reserve"
  fi
  check_reflink
  old_conf >"$WORK/old.conf"
  new_conf >"$WORK/new.conf"
  cp "$WORK/old.conf" "$BOX/old.conf"
  init_new || refuse initdb "$TAIL"
  clock
  initdb_ms=$((NOW - prepare_begin))
  test_new || refuse new_server_start "$TAIL"
  configure_new
  mkdir "$OLD" "$ASIDE"
  cp -p "$DATA/PG_VERSION" "$OLD/PG_VERSION"
  cp "$WORK/old.conf" "$OLD/postgresql.conf"
  DATA_MODE=$(stat -c %a "$DATA")
  CONTROL_VERSION=$C_VERSION
  printf '%s %s\n' "$C_WALSEG" "$C_CHECKSUMS" >"$WORK/initdb-facts"
  # Dirty pages of initdb would be paid for in the outage.
  sync -f "$WORK"
  note prepared "$CONTROL_VERSION" "$DATA_MODE"
  journal_sync
  ATTEMPTS=0
  prepared_event
}

prepared_event() {
  event prepared "\"version\":\"$NEW_VERSION\",\"old_version\":\"$OLD_VERSION\",\"transfer\":\"$TRANSFER\",\"reflink\":${REFLINK:-null},\"system_identifier\":\"${C_ID:-}\",\"initdb_ms\":${initdb_ms:-0},\"ms\":$((NOW - STARTED))"
}

# resume_setup: what later steps need, without touching what earlier ones made.
resume_setup() {
  old_programs || :
  new_programs || :
  # No process of an earlier container lives; a pid that is left could be our own.
  rm -f "$OLD/postmaster.pid" "$NEW/postmaster.pid"
  C_WALSEG=16777216 C_CHECKSUMS=0
  if [ -e "$WORK/initdb-facts" ]; then read -r C_WALSEG C_CHECKSUMS <"$WORK/initdb-facts"; fi
  as_asked
  event resumed "\"step\":\"$STEP\",\"attempts\":$ATTEMPTS"
}
