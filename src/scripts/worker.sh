#!/bin/sh
# shellcheck shell=dash
# Main container of the upgrade pod, NEW image: the only process that writes to the volume.
# Each start reads the journal and goes on from there, so a kill at any line is an ordinary start.
# Modes (PGUP_MODE): upgrade (default), back, adopt, remove, usage.
set -eu
# shellcheck source=lib.sh disable=SC1091
. "${0%/*}/lib.sh"
clock_start
STARTED=$NOW

# PID 1 ignores a signal that has no handler. The journal makes leaving at once safe.
trap 'exit 143' TERM INT HUP
on_exit() {
  code=$?
  if [ "$code" -ne 0 ]; then event exit "\"code\":$code"; fi
}
trap on_exit EXIT

MODE=${PGUP_MODE:-upgrade}
: "${PGUP_WORK:?}"
RUN=${PGUP_RUN:-}
FROM=${PGUP_FROM:-}
TO=${PGUP_TO:-}
TRANSFER=${PGUP_TRANSFER:-copy}
case ${PGUP_DATA:=} in
  /* | '') DATA=$PGUP_DATA ;;
  *) DATA=/vol/$PGUP_DATA ;;
esac
DATA=${DATA%/}
WORK=$PGUP_WORK/$RUN
SUPERUSER=${PGUP_SUPERUSER:-postgres}
CTL=$BOX/ctl
STABLE_MS=${PGUP_STABLE_MS:-3000}
# The first line of a configuration file that is ours and not the user's.
MARK='# written by kubectl pg-upgrade for the time of the upgrade'

names() {
  OLD=$WORK/old-$FROM
  NEW=$WORK/new-$TO
  ASIDE=$WORK/aside-$FROM
  CONF=$WORK/conf-$TO
  STRAY=$WORK/stray
  JOURNAL=$WORK/journal
}
names

# ---- journal: one line a step, fsynced before the step's acts; a line without its end mark was torn and never happened

STEP=none ATTEMPTS=0 UNTIL=0 RECOVER=0 SEEN=0 STALE=0 UNCLEAN=0 FINGERPRINT='' UPGRADE_BEGIN=0 UPGRADE_END=0 GUARDED_AT=0
FAILED='' MOVED=0 STALE_BACK=0 REASON='' CONTROL_VERSION='' ARMED_AT=0 DATA_MODE=''

journal_read() {
  [ -e "$JOURNAL" ] || return 0
  # Ends a torn line, so that the next one is whole.
  printf '\n' >>"$JOURNAL"
  while read -r at step a b c d e; do
    case "$at $step $a $b $c $d $e" in
      *';' | *'; ' | *';  ' | *';   ' | *';    ' | *';     ') ;;
      *) continue ;;
    esac
    case $step in
      prepared) CONTROL_VERSION=$a DATA_MODE=$b ATTEMPTS=0 ;;
      armed) UNTIL=$a RECOVER=$b ARMED_AT=$at ;;
      guard) SEEN=$a STALE=$b UNCLEAN=$c ;;
      guarded) GUARDED_AT=$at ;;
      pg_upgrade) ATTEMPTS=$a UPGRADE_BEGIN=$at ;;
      upgraded) FINGERPRINT="$a $b" UPGRADE_END=$at ;;
      back) FAILED=$a MOVED=$b REASON=$c STALE_BACK=$d ;;
    esac
    STEP=$step
  done <"$JOURNAL"
}

# note STEP [ARG...] : the line alone; journal_sync makes it durable.
note() {
  clock
  printf '%s %s ;\n' "$NOW" "$*" >>"$JOURNAL"
  STEP=$1
}

# journal_sync [PATH...]: directories first, so that a line is never older than what it says is done.
journal_sync() { sync "$@" "$JOURNAL"; }

# ---- answers

refused() {
  json "$2"
  event refused "\"reason\":\"$1\",\"detail\":$JSON${3:+,$3}"
}

refuse() {
  refused "$@"
  exit 3
}

# ack REQUEST CODE MEMBERS: ctl.sh prints the members as its line and ends with the code.
ack() {
  clock
  printf '%s {"at":%s,%s}\n' "$2" "$NOW" "$3" >"$CTL/ack.${1##*/req.}"
}

# ---- moving entries

is_fixed() {
  case $1 in
    PG_VERSION | global | postmaster.pid | lost+found | .pg-upgrade | "${WORK_ENTRY:-.pg-upgrade}") return 0 ;;
  esac
  return 1
}

# stays PATH: also a directory that another user has put there: it is no server's and cannot be moved by us.
stays() {
  is_fixed "${1##*/}" && return 0
  [ -d "$1" ] && [ ! -L "$1" ] && [ ! -w "$1" ] && ! is_server_made "${1##*/}"
}

exists() { [ -e "$1" ] || [ -L "$1" ]; }

# A file that someone else's container left where ours belongs is kept, out of the way.
to_stray() {
  mkdir -p "$STRAY"
  clock
  stray_n=0
  while exists "$STRAY/$NOW.$stray_n.${1##*/}"; do stray_n=$((stray_n + 1)); done
  mv "$1" "$STRAY/$NOW.$stray_n.${1##*/}"
}

# leave FROM TO [ASIDE]: moves the entries out. 0 done, 10 a server came up in between, 1 cannot.
leave() {
  leave_from=$1 leave_to=$2 leave_aside=${3:-}
  # From this rename on nothing can start here.
  if [ -e "$leave_from/global" ]; then mv "$leave_from/global" "$leave_to/" || return 1; fi
  # Whoever has read the control file before that rename has made its pid file before that.
  if [ -e "$leave_from/postmaster.pid" ]; then return 10; fi
  if [ -n "$leave_aside" ]; then
    set --
    for entry in "$leave_from/postgresql.conf" "$leave_from/postgresql.auto.conf"; do
      if exists "$entry"; then set -- "$@" "$entry"; fi
    done
    if [ $# -gt 0 ]; then mv -n "$@" "$leave_aside/" || :; fi
  fi
  set --
  for entry in "$leave_from"/* "$leave_from"/.[!.]* "$leave_from"/..?*; do
    exists "$entry" || continue
    stays "$entry" || set -- "$@" "$entry"
  done
  if [ $# -gt 0 ]; then mv -n "$@" "$leave_to/" 2>/dev/null || :; fi
  for entry in "$leave_from"/* "$leave_from"/.[!.]* "$leave_from"/..?*; do
    exists "$entry" || continue
    stays "$entry" && continue
    exists "$leave_to/${entry##*/}" || return 1
    to_stray "$entry" || return 1
  done
  if [ -e "$leave_from/postmaster.pid" ]; then return 10; fi
}

# enter FROM TO: all but global and PG_VERSION, then PG_VERSION over the guard's, then global.
enter() {
  enter_from=$1 enter_to=$2
  set --
  for entry in "$enter_from"/* "$enter_from"/.[!.]* "$enter_from"/..?*; do
    exists "$entry" || continue
    case ${entry##*/} in pg_upgrade_output.d) continue ;; esac
    is_fixed "${entry##*/}" || set -- "$@" "$entry"
  done
  if [ $# -gt 0 ] && ! mv -f "$@" "$enter_to/" 2>/dev/null; then
    for entry; do
      exists "$entry" || continue
      if exists "$enter_to/${entry##*/}"; then to_stray "$enter_to/${entry##*/}" || return 1; fi
      mv -f "$entry" "$enter_to/" || return 1
    done
  fi
  if [ -e "$enter_from/PG_VERSION" ]; then mv -f "$enter_from/PG_VERSION" "$enter_to/PG_VERSION" || return 1; fi
  if [ -e "$enter_from/global" ]; then
    sync "$enter_to" "$enter_from" || return 1
    mv "$enter_from/global" "$enter_to/" || return 1
  fi
  [ -e "$enter_to/global/pg_control" ]
}

# strays DIR: what is in a guard directory besides the guard belongs to nobody's data.
strays() {
  for entry in "$1"/* "$1"/.[!.]* "$1"/..?* "$1/postmaster.pid"; do
    exists "$entry" || continue
    case ${entry##*/} in postmaster.pid) ;; *) stays "$entry" && continue ;; esac
    to_stray "$entry" || say "$entry cannot be moved away"
  done
}

# Own directories are renamed before they are removed: a half-removed one is never taken for a whole one.
trash() {
  exists "$1" || return 0
  clock
  trash_n=0
  while exists "$WORK/trash-$NOW-$trash_n"; do trash_n=$((trash_n + 1)); done
  mv "$1" "$WORK/trash-$NOW-$trash_n"
}

empty_trash() { rm -rf "$WORK"/trash-*; }

is_ours() {
  [ -f "$1" ] || return 1
  ours_line=
  IFS= read -r ours_line <"$1" || :
  [ "$ours_line" = "$MARK" ]
}

# The archive gets the user's own configuration back in place of ours.
make_whole() {
  for entry in "$ASIDE"/* "$ASIDE"/.[!.]*; do
    if exists "$entry"; then mv -f "$entry" "$OLD/"; fi
  done
  if is_ours "$OLD/postgresql.conf"; then rm -f "$OLD/postgresql.conf"; fi
}

# pg_upgrade's link and swap modes disable the old cluster by renaming its control file.
undo_link() {
  if [ -e "$OLD/global/pg_control.old" ] && [ ! -e "$OLD/global/pg_control" ]; then
    mv "$OLD/global/pg_control.old" "$OLD/global/pg_control"
  fi
}

# After this no rename brings the old cluster back: its files are the new cluster's.
swapped() {
  [ "$TRANSFER" = swap ] && [ -e "$OLD/global/pg_control.old" ] && [ ! -e "$OLD/global/pg_control" ]
}

# New-version directories in tablespaces belong to the new cluster of this run: `prepare` has seen that there were none.
drop_tablespace_dirs() {
  for entry in "$OLD"/pg_tblspc/*/"PG_${TO}_"*; do
    if [ -d "$entry" ]; then rm -rf "$entry"; fi
  done
}

# ---- servers in the work directory (never in the data directory)

stop_server() {
  [ -e "$2/postmaster.pid" ] || return 0
  "$1/pg_ctl" -D "$2" -m "$3" -w -t 60 stop >/dev/null 2>&1 ||
    "$1/pg_ctl" -D "$2" -m immediate -w -t 60 stop >/dev/null 2>&1 || :
}

stop_servers() {
  if [ -n "${NEW_BIN:-}" ]; then stop_server "$NEW_BIN" "$NEW" immediate; fi
  if [ -n "${OLD_BIN:-}" ]; then stop_server "$OLD_BIN" "$OLD" fast; fi
  rm -f "$NEW/postmaster.pid" "$OLD/postmaster.pid"
}

# Starts and stops the old server once on the moved directory, so that it is shut down cleanly.
recover_old() {
  [ -n "${OLD_BIN:-}" ] || return 1
  rm -f "$OLD/postmaster.pid"
  chmod 0700 "$OLD"
  cp "$BOX/old.conf" "$OLD/postgresql.conf" || return 1
  event recovering
  "$OLD_BIN/pg_ctl" -D "$OLD" -w -l "$WORK/recovery.log" -o "$(printf '%s' "${PGUP_OLD_OPTIONS:-}")" start >/dev/null 2>&1 || return 1
  "$OLD_BIN/pg_ctl" -D "$OLD" -m fast -w stop >/dev/null 2>&1 || return 1
  control_state "$OLD" && [ "$STATE" = 1 ]
}

# ---- setup of this container

old_programs() {
  OLD_BIN=
  if [ ! -e "$PGO/complete" ] || [ ! -e "$PGO/bindir" ]; then return 1; fi
  read -r OLD_BIN <"$PGO/bindir"
  OLD_BIN=$PGO$OLD_BIN
  if ! server_major "$OLD_BIN" || [ "$MAJOR" != "$FROM" ]; then
    OLD_BIN=
    return 1
  fi
  OLD_VERSION=$MINOR
}

new_programs() {
  NEW_BIN=
  find_bin "$TO" pg_upgrade || return 1
  NEW_BIN=$BIN NEW_VERSION=$MINOR
}

setup_box() {
  mkdir -p "$CTL" "$BOX/run" "$BOX/sock" "$BOX/home"
  # Commands from before a restart are not obeyed after it.
  rm -f "$CTL"/req.* "$CTL"/ack.* "$CTL"/tmp.* "$CTL"/gone.* "$BOX/abort"
  export HOME="$BOX/home"
  cd "$BOX/run"
  echo 'local all all trust' >"$BOX/pg_hba.conf"
  : >"$BOX/pg_ident.conf"
  rm -f "$BOX/fifo"
  mkfifo "$BOX/fifo"
  case $PGUP_WORK in
    "$DATA"/*) WORK_ENTRY=${PGUP_WORK#"$DATA"/} WORK_ENTRY=${WORK_ENTRY%%/*} ;;
    *) WORK_ENTRY=.pg-upgrade ;;
  esac
  if [ -e "$WORK/old.conf" ]; then cp "$WORK/old.conf" "$BOX/old.conf"; fi
}

# Two pods of one node see the same lock; on different nodes the claim's access mode keeps them apart.
lock() {
  mkdir -p "$PGUP_WORK" || refuse work_not_writable "cannot create $PGUP_WORK"
  command -v flock >/dev/null 2>&1 || return 0
  exec 9>>"$PGUP_WORK/lock"
  lock_tries=50
  until flock -n 9; do
    lock_tries=$((lock_tries - 1))
    [ "$lock_tries" -gt 0 ] || refuse locked "another pod works on this volume"
    sleep 0.2
  done
}

# Only what the state of the old cluster demands; the user's file may name paths and sizes that do not exist here.
old_conf() {
  slots=0
  for entry in "$DATA"/pg_replslot/*; do if [ -d "$entry" ]; then slots=$((slots + 1)); fi; done
  [ "${C_MAX_CONNECTIONS:-0}" -ge 50 ] || C_MAX_CONNECTIONS=50
  printf '%s\n' "$MARK" "hba_file = '$BOX/pg_hba.conf'" "ident_file = '$BOX/pg_ident.conf'" "listen_addresses = ''" \
    "unix_socket_directories = '$BOX/sock'" "port = 50432" "logging_collector = off" "log_destination = 'stderr'" "ssl = off" \
    "archive_mode = off" "autovacuum = off" "shared_buffers = '64MB'" "huge_pages = off" \
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
    for leftover in "$entry/PG_${TO}_"*; do
      [ ! -e "$leftover" ] || refuse tablespace_leftover "$leftover exists already"
    done
  done
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

# init_new: the new cluster, made anew. Sets TAIL when it cannot.
init_new() {
  trash "$NEW"
  empty_trash
  set -- -D "$NEW" -U "$SUPERUSER" -A trust -N --wal-segsize="$((C_WALSEG / 1048576))"
  if [ "$C_CHECKSUMS" != 0 ]; then
    set -- "$@" --data-checksums
  elif [ "$TO" -ge 18 ]; then
    set -- "$@" --no-data-checksums
  fi
  if [ "${PGUP_GROUP_ACCESS:-0}" = 1 ]; then set -- "$@" --allow-group-access; fi
  if [ -n "${PGUP_ENCODING:-}" ]; then set -- "$@" -E "$PGUP_ENCODING"; fi
  if [ -n "${PGUP_LC_COLLATE:-}" ]; then set -- "$@" --lc-collate="$PGUP_LC_COLLATE"; fi
  if [ -n "${PGUP_LC_CTYPE:-}" ]; then set -- "$@" --lc-ctype="$PGUP_LC_CTYPE"; fi
  case ${PGUP_LOCALE_PROVIDER:-libc} in
    icu)
      [ "$TO" -lt 15 ] || set -- "$@" --locale-provider=icu
      if [ "$TO" -ge 15 ] && [ -n "${PGUP_ICU_LOCALE:-}" ]; then set -- "$@" --icu-locale="$PGUP_ICU_LOCALE"; fi
      ;;
    builtin) [ "$TO" -lt 17 ] || set -- "$@" --locale-provider=builtin --builtin-locale="${PGUP_ICU_LOCALE:-C.UTF-8}" ;;
  esac
  if ! "$NEW_BIN/initdb" "$@" >"$BOX/initdb.log" 2>&1; then
    tail_of "$BOX/initdb.log" 15 1500
    return 1
  fi
}

configure_new() {
  {
    printf '%s\n' "$MARK"
    cat "$NEW/postgresql.conf" "$WORK/new.conf"
  } >"$BOX/new.conf"
  cat "$BOX/new.conf" >"$NEW/postgresql.conf"
}

# The new server must accept the settings that it will run with; sizes and paths of the real pod are left out.
test_new() {
  set -- -c "hba_file='$BOX/pg_hba.conf'" -c "ident_file='$BOX/pg_ident.conf'" -c "data_directory='$NEW'" \
    -c "unix_socket_directories='$BOX/sock'" -c "listen_addresses=''" -c port=50432 -c "unix_socket_group=''" \
    -c unix_socket_permissions=0700 -c logging_collector=off -c log_destination=stderr -c ssl=off -c archive_mode=off \
    -c shared_buffers=32MB -c huge_pages=off -c "external_pid_file=''" -c autovacuum=off -c jit=off
  if [ -s "$PLAN/settings.conf" ]; then set -- "$@" -c "config_file='$PLAN/settings.conf'"; fi
  if "$NEW_BIN/pg_ctl" -D "$NEW" -w -t 120 -l "$BOX/test.log" -o "$* ${PGUP_NEW_OPTIONS:-}" start >/dev/null 2>&1 &&
    "$NEW_BIN/pg_ctl" -D "$NEW" -w -m fast stop >/dev/null 2>&1; then
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
    clone | link | copy) ;;
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
  note prepare "$FROM" "$TO" "$TRANSFER"
  journal_sync "$WORK"
  # Nothing has been moved yet in this state, so all of this is ours.
  for entry in "$OLD" "$ASIDE" "$CONF" "$CONF.tmp"; do trash "$entry"; done
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
  event resumed "\"step\":\"$STEP\",\"attempts\":$ATTEMPTS"
}

# ---- the outage

go() {
  note guard "$SEEN" "$STALE" "$UNCLEAN"
  journal_sync
  go_on
}

go_on() {
  if [ "$STALE" = 1 ] && [ -e "$DATA/postmaster.pid" ]; then mv "$DATA/postmaster.pid" "$WORK/postmaster.pid.stale"; fi
  if leave "$DATA" "$OLD" "$ASIDE"; then
    :
  elif [ -e "$DATA/postmaster.pid" ]; then
    put_back server_started "postmaster.pid appeared while the data directory was being taken"
    return 0
  else
    put_back move_failed "an entry of the data directory cannot be moved"
    return 0
  fi
  # The mount of another pod may have opened the directories (fsGroup).
  chmod "$WORK_MODE" "$NEW" && chmod 0700 "$OLD"
  if [ "$UNCLEAN" = 0 ] && [ -n "${NEW_BIN:-}" ] && [ -n "${OLD_BIN:-}" ]; then
    note guarded
    GUARDED_AT=$NOW
    note pg_upgrade 1
    journal_sync "$DATA" "$OLD" "$ASIDE"
    guarded_event
  else
    note guarded
    GUARDED_AT=$NOW
    journal_sync "$DATA" "$OLD" "$ASIDE"
    guarded_event
    go_guarded || return 0
    note pg_upgrade 1
    journal_sync
  fi
  ATTEMPTS=1
  attempt
}

guarded_event() { event guarded "\"guard_ms\":$((GUARDED_AT - SEEN)),\"stop_seen_at\":$SEEN"; }

# From the guard to pg_upgrade where the fast path does not apply.
go_guarded() {
  if [ -z "${NEW_BIN:-}" ] || [ -z "${OLD_BIN:-}" ]; then
    go_back programs_missing "the programs of $FROM or $TO are not here"
    return 1
  fi
  control_state "$OLD" || STATE=
  if [ "$STATE" = 1 ] || [ -e "$OLD/global/pg_control.old" ]; then return 0; fi
  recover_old && return 0
  tail_of "$WORK/recovery.log" 15 1500
  go_back recovery_failed "$TAIL"
  return 1
}

# put_back: the guard did not hold. Only renames of this very guard are undone.
put_back() {
  pb_reason=$1
  json "$2"
  pb_detail=$JSON
  # Files that the user's server has made meanwhile are newer than anything of ours, but there are none of the same name.
  make_whole
  enter "$OLD" "$DATA" || :
  sync "$DATA" "$OLD"
  if [ ! -e "$DATA/global/pg_control" ]; then
    result "\"outcome\":\"failed\",\"back\":false,\"reason\":\"$pb_reason\",\"detail\":$pb_detail"
    exit 4
  fi
  result "\"outcome\":\"failed\",\"back\":true,\"reason\":\"$pb_reason\",\"detail\":$pb_detail" back-done
}

# result MEMBERS [STEP]: the last word of a run, on the volume before it is said. It is there before the journal has the
# step that ends the run, so that a restart never repeats an earlier one.
result() {
  clock
  printf '{"at":%s,"event":"result",%s}\n' "$NOW" "$1" >"$WORK/result.tmp"
  mv "$WORK/result.tmp" "$WORK/result.json"
  sync "$WORK/result.json" "$WORK"
  if [ -n "${2:-}" ]; then
    note "$2"
    journal_sync
  fi
  printf '{"at":%s,"event":"result",%s}\n' "$NOW" "$1"
}

# attempt: pg_upgrade and what follows; its beginning is in the journal.
attempt() {
  retry=0
  while :; do
    run_pg_upgrade
    if [ -e "$BOX/abort" ]; then
      go_back aborted "go-back was asked for while pg_upgrade ran"
      return 0
    fi
    if [ "$RC" -eq 0 ]; then
      finish
      return 0
    fi
    stop_servers
    # Another pod's mount has opened a data directory while we worked: that alone is worth another try.
    if [ "$retry" = 0 ] && permission_trouble && [ ! -e "$OLD/global/pg_control.old" ]; then
      retry=1
      ATTEMPTS=$((ATTEMPTS + 1))
      note pg_upgrade "$ATTEMPTS"
      journal_sync
      event again "\"reason\":\"permissions\""
      again || return 0
      continue
    fi
    failure_log
    go_back pg_upgrade "$TAIL"
    return 0
  done
}

permission_trouble() {
  grep -rqs 'has invalid permissions' "$BOX/pg_upgrade.out" "$NEW/pg_upgrade_output.d" "$BOX/run"
}

# again: a new cluster for another try; goes back by itself when there can be none.
again() {
  chmod 0700 "$OLD"
  if swapped; then
    go_back swap_interrupted "pg_upgrade has begun to swap files"
    return 1
  fi
  undo_link
  drop_tablespace_dirs
  if ! init_new; then
    go_back initdb "$TAIL"
    return 1
  fi
  configure_new
  go_guarded
}

# What pg_upgrade said last, the errors in its logs, and the lists that it writes.
failure_log() {
  {
    tail -n 12 "$BOX/pg_upgrade.out"
    find "$NEW/pg_upgrade_output.d" "$BOX/run" -name '*.log' -type f -exec grep -hE 'ERROR|FATAL|PANIC|error:|fatal:' {} + 2>/dev/null | tail -n 8
    find "$NEW/pg_upgrade_output.d" "$BOX/run" -name '*.txt' -type f -exec head -n 8 {} + 2>/dev/null
  } >"$BOX/failure" || :
  TAIL=$(head -c 3000 "$BOX/failure")
  mkdir -p "$WORK/logs"
  cp -R "$BOX/run/." "$WORK/logs/" 2>/dev/null || :
}

run_pg_upgrade() {
  set -- -b "$OLD_BIN" -B "$NEW_BIN" -d "$OLD" -D "$NEW" -U "$SUPERUSER" -s "$BOX/sock" -j "${PGUP_JOBS:-1}"
  case $TRANSFER in
    link) set -- "$@" --link ;;
    clone) set -- "$@" --clone ;;
    swap) set -- "$@" --swap ;;
  esac
  if [ -n "${PGUP_OLD_OPTIONS:-}" ]; then set -- "$@" -o "$PGUP_OLD_OPTIONS"; fi
  if [ -n "${PGUP_NEW_OPTIONS:-}" ]; then set -- "$@" -O "$PGUP_NEW_OPTIONS"; fi
  if [ "$TO" -ge 17 ] && [ "$TRANSFER" != swap ]; then
    set -- "$@" --sync-method=syncfs
  elif [ "$TO" -ge 15 ] && [ "$TO" -lt 17 ]; then
    set -- "$@" --no-sync
  fi
  clock
  UPGRADE_BEGIN=$NOW
  "$NEW_BIN/pg_upgrade" "$@" >"$BOX/fifo" 2>&1 &
  UPGRADE_PID=$!
  event pg_upgrade "\"attempt\":$ATTEMPTS,\"since_stop_ms\":$((UPGRADE_BEGIN - SEEN))"
  carry &
  CARRY_PID=$!
  sizes &
  SIZES_PID=$!
  busy &
  BUSY_PID=$!
  PHASES=
  phase_begin=$UPGRADE_BEGIN
  while IFS= read -r line || [ -n "$line" ]; do
    printf '%s\n' "$line" >&4
    case $line in
      *' ok' | *' warning' | *' done')
        trim "${line% *}"
        clock
        json "$TRIM"
        PHASES="$PHASES${PHASES:+,}$JSON:$((NOW - phase_begin))"
        printf '{"at":%s,"event":"phase","name":%s,"ms":%s}\n' "$NOW" "$JSON" "$((NOW - phase_begin))"
        phase_begin=$NOW
        ;;
    esac
  done <"$BOX/fifo" 4>"$BOX/pg_upgrade.out"
  RC=0
  wait "$UPGRADE_PID" || RC=$?
  clock
  UPGRADE_END=$NOW
  kill "$BUSY_PID" 2>/dev/null || :
  CARRIED=1
  wait "$CARRY_PID" || CARRIED=0
  wait "$SIZES_PID" || :
  cat "$BOX/pg_upgrade.out" >>"$WORK/pg_upgrade.log" || :
}

# sizes: every relation file of the old cluster, for the comparison afterwards.
sizes() {
  cd "$OLD"
  set -- base global
  for entry in pg_tblspc/*/"PG_${FROM}_"*; do if [ -d "$entry" ]; then set -- "$@" "$entry"; fi; done
  find "$@" -type f -printf '%s %p\n' >"$WORK/sizes.tmp" 2>/dev/null ||
    find "$@" -type f -exec stat -c '%s %n' {} + >"$WORK/sizes.tmp" 2>/dev/null || exit 1
  mv "$WORK/sizes.tmp" "$WORK/sizes"
}

# busy: answers commands while pg_upgrade runs.
busy() {
  trap 'exit 0' TERM
  trap - EXIT
  while :; do
    for req in "$CTL"/req.*; do
      [ -e "$req" ] || continue
      verb=
      read -r verb _ <"$req" || :
      case $verb in
        ping)
          event pong '"step":"pg_upgrade"'
          ack "$req" 0 '"event":"pong","step":"pg_upgrade"'
          rm -f "$req"
          ;;
        go-back)
          : >"$BOX/abort"
          ack "$req" 0 '"event":"accepted"'
          rm -f "$req"
          kill "$UPGRADE_PID" 2>/dev/null || :
          stop_servers
          ;;
        *)
          answer_refused "$req" busy "pg_upgrade runs"
          rm -f "$req"
          ;;
      esac
    done
    sleep 0.2
  done
}

# ---- the user's configuration

is_server_made() {
  case $1 in
    PG_VERSION | base | global | pg_wal | pg_xlog | pg_xact | pg_clog | pg_multixact | pg_commit_ts | pg_dynshmem | pg_logical | \
      pg_notify | pg_replslot | pg_serial | pg_snapshots | pg_stat | pg_stat_tmp | pg_subtrans | pg_tblspc | pg_twophase | \
      postmaster.opts | postmaster.pid | current_logfiles | current_logfiles.tmp | backup_label | backup_label.old | tablespace_map | \
      tablespace_map.old | backup_manifest | standby.signal | recovery.signal | recovery.conf | recovery.done | log | pg_log | \
      postgresql.auto.conf.tmp | pg_internal.init | pgsql_tmp | pg_upgrade_output.d | lost+found | .pg-upgrade | *.log | logfile | core | core.*)
      return 0
      ;;
  esac
  return 1
}

# carry: the user's top-level entries into CONF, ready to be renamed into the new cluster.
carry() {
  trap - EXIT
  rm -rf "$CONF" "$CONF.tmp"
  mkdir "$CONF.tmp"
  carried='' left='' commented=''
  for entry in "$OLD"/* "$OLD"/.[!.]* "$ASIDE"/* "$ASIDE"/.[!.]*; do
    exists "$entry" || continue
    name=${entry##*/}
    if is_server_made "$name" || is_ours "$entry"; then continue; fi
    json "$name"
    case $name in
      postgresql.conf | postgresql.auto.conf | pg_hba.conf | pg_ident.conf) cp -pPR "$entry" "$CONF.tmp/" ;;
      *)
        # A backup or an archive beside the data is not configuration; what root has put there may not be readable.
        kib=$(du -sk "$entry" 2>/dev/null || echo 999999)
        if [ "${kib%%[!0-9]*}" -gt 65536 ] || ! cp -pPR "$entry" "$CONF.tmp/" 2>/dev/null; then
          rm -rf "$CONF.tmp/$name"
          left="$left${left:+,}$JSON"
          continue
        fi
        ;;
    esac
    carried="$carried${carried:+,}$JSON"
  done
  if [ -s "$PLAN/removed" ]; then
    : >"$BOX/removed.sed"
    while read -r name; do
      case $name in
        '' | *[!A-Za-z0-9_]*) continue ;;
      esac
      printf 's/^[[:space:]]*%s[[:space:]=].*$/# PostgreSQL %s does not know this setting (commented out by kubectl pg-upgrade): &/I\n' "$name" "$TO" >>"$BOX/removed.sed"
    done <"$PLAN/removed"
    find "$CONF.tmp" -name '*.conf' -type f ! -name pg_hba.conf ! -name pg_ident.conf >"$BOX/conf-files"
    while IFS= read -r file; do
      sed -f "$BOX/removed.sed" "$file" >"$BOX/filtered"
      if ! cmp -s "$file" "$BOX/filtered"; then
        # Writing into it keeps owner and mode.
        cat "$BOX/filtered" >"$file"
        json "${file#"$CONF.tmp"/}"
        commented="$commented${commented:+,}$JSON"
      fi
    done <"$BOX/conf-files"
  fi
  find "$CONF.tmp" -type f -exec sync {} +
  printf '%s\n' "\"carried\":[$carried],\"left\":[$left],\"commented\":[$commented]" >"$WORK/carried"
  mv "$CONF.tmp" "$CONF"
}

# install_conf: renames of prepared files; what the old cluster does not have, the new one does not get.
install_conf() {
  for name in postgresql.conf pg_hba.conf pg_ident.conf; do
    if [ ! -e "$CONF/$name" ] && [ ! -L "$CONF/$name" ] && [ -e "$NEW/$name" ]; then rm -f "$NEW/$name"; fi
  done
  set --
  for entry in "$CONF"/* "$CONF"/.[!.]*; do
    exists "$entry" || continue
    if [ -d "$entry" ] && [ -e "$NEW/${entry##*/}" ]; then trash "$NEW/${entry##*/}"; fi
    set -- "$@" "$entry"
  done
  if [ $# -gt 0 ]; then mv -f "$@" "$NEW/"; fi
}

# finish: from pg_upgrade's end to the result.
finish() {
  if [ "$CARRIED" != 1 ]; then
    go_back configuration "the configuration cannot be carried over"
    return 0
  fi
  # pg_upgrade of these versions was told not to sync file by file.
  if [ "$TO" -ge 15 ] && [ "$TO" -lt 17 ]; then
    sync -f "$NEW"
    for entry in "$NEW"/pg_tblspc/*/; do if [ -d "$entry" ]; then sync -f "$entry"; fi; done
  fi
  install_conf
  sync "$NEW"
  FINGERPRINT=$(cksum <"$NEW/global/pg_control")
  note upgraded "$FINGERPRINT"
  strays "$DATA"
  note place
  journal_sync
  place
}

place() {
  if ! enter "$NEW" "$DATA"; then
    go_back place_failed "an entry of the new cluster cannot be moved into the data directory"
    return 0
  fi
  # A pod that mounted the claim meanwhile may have changed it.
  chmod "$DATA_MODE" "$DATA"
  sync "$DATA" "$NEW"
  note placed
  journal_sync
  upgraded_result
  tidy
}

upgraded_result() {
  clock
  read -r carried_line <"$WORK/carried" || carried_line='"carried":[]'
  result "\"outcome\":\"upgraded\",\"from\":\"$FROM\",\"to\":\"$TO\",\"version\":\"${NEW_VERSION:-}\",\"transfer\":\"$TRANSFER\",\"attempts\":$ATTEMPTS,\"armed_at\":$ARMED_AT,\"stop_seen_at\":$SEEN,\"guard_ms\":$((GUARDED_AT - SEEN)),\"pg_upgrade_begin_at\":$UPGRADE_BEGIN,\"pg_upgrade_end_at\":$UPGRADE_END,\"pg_upgrade_ms\":$((UPGRADE_END - UPGRADE_BEGIN)),\"place_ms\":$((NOW - UPGRADE_END)),\"outage_ms\":$((NOW - SEEN)),\"phases\":{${PHASES:-}},\"archive\":\"$OLD\",\"sizes\":\"$WORK/sizes\",$carried_line"
}

# tidy: what can wait until the result is out.
tidy() {
  make_whole
  empty_trash
  rmdir "$NEW" 2>/dev/null || :
  cp "$BOX"/run/*.sql "$WORK/" 2>/dev/null || :
  sync "$OLD" "$WORK"
}

# ---- the way back

is_untouched() {
  [ -e "$DATA/global/pg_control" ] || return 0
  [ "$(cksum <"$DATA/global/pg_control")" = "$FINGERPRINT" ]
}

# can_go_back GONE: sets WHY and DETAIL when not.
can_go_back() {
  WHY='' DETAIL=''
  if swapped; then
    WHY=swapped DETAIL="the swap has taken the old cluster's files"
    return 1
  fi
  case $STEP in placed | place) ;; *) return 0 ;; esac
  if [ ! -e "$OLD/global" ]; then
    WHY=no_archive DETAIL="$OLD is not complete"
    return 1
  fi
  if [ "$TRANSFER" = link ] || [ "$TRANSFER" = swap ]; then
    is_untouched || {
      WHY=new_started DETAIL="the new server has run on files that both clusters share"
      return 1
    }
  fi
  STALE_BACK=0
  if [ -e "$DATA/postmaster.pid" ]; then STALE_BACK=1; fi
  if [ "$1" = gone ]; then return 0; fi
  control_state "$DATA" || STATE=
  if [ -e "$DATA/postmaster.pid" ] || [ "$STATE" != 1 ]; then
    # A pid file beside a clean state is what a forced end leaves; a living server changes one or the other at once.
    if [ "$STATE" = 1 ]; then
      sleep 1
      control_state "$DATA" || STATE=
      [ "$STATE" != 1 ] || return 0
    fi
    WHY=server_running DETAIL="a server runs on $DATA or was not stopped cleanly"
    return 1
  fi
}

# go_back REASON DETAIL: from any step to the old cluster in the data directory, then the result.
go_back() {
  stop_servers
  if swapped; then
    json "$2"
    result "\"outcome\":\"failed\",\"back\":false,\"needs\":\"snapshot\",\"reason\":\"$1\",\"log_tail\":$JSON" lost
    return 0
  fi
  MOVED=0
  # 1: new entries are in the data directory; 2: it holds the guard alone; 0: some of the old cluster's may still be there.
  case $STEP in
    place | placed) MOVED=1 ;;
    guarded | pg_upgrade | upgraded) MOVED=2 ;;
  esac
  FAILED=failed-$TO
  back_n=2
  while exists "$WORK/$FAILED"; do
    FAILED=failed-$TO-$back_n
    back_n=$((back_n + 1))
  done
  REASON=$1
  printf '%s\n' "$2" >"$WORK/back-detail"
  note back "$FAILED" "$MOVED" "$REASON" "$STALE_BACK"
  journal_sync
  go_back_on
}

go_back_on() {
  failed_dir=$WORK/$FAILED
  if [ "$STEP" = back ]; then
    if [ -e "$NEW" ] && [ ! -e "$failed_dir" ]; then mv "$NEW" "$failed_dir"; fi
    mkdir -p "$failed_dir"
    if [ "$MOVED" = 1 ]; then
      if [ "$STALE_BACK" = 1 ] && [ -e "$DATA/postmaster.pid" ]; then mv "$DATA/postmaster.pid" "$WORK/postmaster.pid.stale"; fi
      leave_rc=0
      leave "$DATA" "$failed_dir" || leave_rc=$?
      if [ "$leave_rc" -ne 0 ]; then
        # The new server came up meanwhile: it stays.
        enter "$failed_dir" "$DATA"
        note placed
        journal_sync "$DATA"
        refused server_running "a server came up on $DATA"
        return 0
      fi
      read -r version <"$DATA/PG_VERSION" || version=
      if [ "$version" = "$TO" ] && [ ! -e "$failed_dir/PG_VERSION" ]; then cp -p "$DATA/PG_VERSION" "$failed_dir/"; fi
    elif [ "$MOVED" = 2 ]; then
      strays "$DATA"
    fi
    sync "$DATA" "$failed_dir"
    note back-left
    journal_sync
  fi
  undo_link
  # Once the new server may have run, what it has in tablespaces is data too.
  if [ "$MOVED" != 1 ]; then drop_tablespace_dirs; fi
  if [ -e "$OLD/global/pg_control" ]; then
    control_state "$OLD" || STATE=
    if [ "$STATE" != 1 ] && [ -e "$BOX/old.conf" ] && [ "$MOVED" != 1 ]; then
      recover_old || say "the old cluster did not recover here; its own server has to"
    fi
  fi
  rm -f "$OLD/postmaster.pid"
  make_whole
  enter "$OLD" "$DATA"
  if [ -n "$DATA_MODE" ]; then chmod "$DATA_MODE" "$DATA"; fi
  sync "$DATA" "$OLD"
  control_state "$DATA" || STATE=
  clean=false
  if [ "$STATE" = 1 ]; then clean=true; fi
  json "$(cat "$WORK/back-detail" 2>/dev/null)"
  case $REASON in
    asked) result "\"outcome\":\"back\",\"back\":true,\"clean\":$clean,\"failed\":\"$WORK/$FAILED\"" back-done ;;
    *) result "\"outcome\":\"failed\",\"back\":true,\"clean\":$clean,\"reason\":\"$REASON\",\"log_tail\":$JSON,\"failed\":\"$WORK/$FAILED\"" back-done ;;
  esac
  rmdir "$WORK/$FAILED" "$OLD" "$ASIDE" 2>/dev/null || :
  empty_trash
}

# ---- waiting for commands and for the stop

ARMED=0

serve() {
  unclean_since=0 unclean_said=0
  while :; do
    for req in "$CTL"/req.*; do
      if [ -e "$req" ]; then handle "$req"; fi
    done
    if [ "$ARMED" = 1 ]; then
      if stopped; then
        ARMED=0
        go
        continue
      fi
      clock
      if [ "$NOW" -ge "$UNTIL" ]; then disarm timeout; fi
      sleep 0.02
    else
      sleep 0.05
    fi
  done
}

handle() {
  verb='' arg1='' arg2=''
  read -r verb arg1 arg2 <"$1" || :
  rm -f "$1"
  case $verb in
    ping)
      event pong "\"step\":\"$STEP\""
      ack "$1" 0 "\"event\":\"pong\",\"step\":\"$STEP\""
      ;;
    arm) arm "$1" "$arg1" "$arg2" ;;
    disarm)
      case $STEP in
        armed)
          disarm asked
          ack "$1" 0 '"event":"disarmed"'
          ;;
        prepared | disarmed) ack "$1" 0 '"event":"disarmed"' ;;
        *) answer_refused "$1" too_late "the upgrade has begun" ;;
      esac
      ;;
    go-back)
      case $STEP in
        placed)
          if can_go_back "$arg1"; then
            ack "$1" 0 '"event":"accepted"'
            go_back asked ''
          else
            answer_refused "$1" "$WHY" "$DETAIL"
          fi
          ;;
        back-done) ack "$1" 0 '"event":"accepted"' ;;
        prepared | disarmed | armed)
          if [ "$STEP" = armed ]; then disarm asked; fi
          ack "$1" 0 '"event":"accepted"'
          result '"outcome":"back","back":true,"clean":null' back-done
          ;;
        *) answer_refused "$1" nothing_to_undo "step $STEP" ;;
      esac
      ;;
    finish)
      if [ "$STEP" = armed ]; then disarm asked; fi
      ack "$1" 0 '"event":"finished"'
      event finished
      # The end of PID 1 would kill the command before it has read the answer.
      tries=50
      while [ -e "$CTL/ack.${1##*/req.}" ] && [ "$tries" -gt 0 ]; do
        tries=$((tries - 1))
        sleep 0.02
      done
      sleep 0.1
      exit 0
      ;;
    *) answer_refused "$1" usage "unknown command" ;;
  esac
}

answer_refused() {
  refused "$2" "$3"
  json "$3"
  ack "$1" 1 "\"event\":\"refused\",\"reason\":\"$2\",\"detail\":$JSON"
}

arm() {
  case $STEP in
    prepared | armed | disarmed) ;;
    *)
      answer_refused "$1" not_prepared "step $STEP"
      return 0
      ;;
  esac
  case $2 in
    '' | *[!0-9]*)
      answer_refused "$1" usage "arm SECONDS [recover]"
      return 0
      ;;
  esac
  # Dirty pages make pg_upgrade several times slower; the server still runs.
  sync -f "$DATA"
  # Who has stopped waiting for the answer must not be obeyed.
  if [ -e "$CTL/gone.${1##*/req.}" ]; then return 0; fi
  RECOVER=0
  if [ "$3" = recover ]; then RECOVER=1; fi
  clock
  UNTIL=$((NOW + $2 * 1000))
  ARMED_AT=$NOW
  note armed "$UNTIL" "$RECOVER"
  journal_sync
  ARMED=1 unclean_since=0 unclean_said=0
  event armed "\"until\":$UNTIL,\"recover\":$RECOVER"
  ack "$1" 0 "\"event\":\"armed\",\"until\":$UNTIL"
}

disarm() {
  ARMED=0
  disarm_pid=false disarm_state=null
  if [ -e "$DATA/postmaster.pid" ]; then disarm_pid=true; fi
  if control_state "$DATA"; then disarm_state=$STATE; fi
  note disarmed
  journal_sync
  event disarmed "\"reason\":\"$1\",\"postmaster_pid\":$disarm_pid,\"state\":$disarm_state"
}

# stopped: the server has ended. Without leave to recover only the clean end counts.
stopped() {
  if [ ! -e "$DATA/postmaster.pid" ]; then
    control_state "$DATA" || return 1
    if [ "$STATE" = 1 ] && [ "$STATE_VERSION" = "$CONTROL_VERSION" ]; then
      clock
      SEEN=$NOW STALE=0 UNCLEAN=0
      return 0
    fi
  elif [ "$RECOVER" = 0 ]; then
    unclean_since=0
    return 1
  fi
  # No clean end. Nothing may change on the disk for a while before it counts as dead.
  clock
  if [ "$unclean_since" = 0 ] || { [ "$((NOW - unclean_since))" -ge "$STABLE_MS" ] &&
    [ -n "$(find "$DATA/global" "$DATA/pg_wal" "$DATA/pg_xact" -newer "$BOX/mark" -type f 2>/dev/null | head -n 1)" ]; }; then
    unclean_since=$NOW
    touch "$BOX/mark"
    return 1
  fi
  [ "$((NOW - unclean_since))" -ge "$STABLE_MS" ] || return 1
  control_state "$DATA" || return 1
  if [ "$RECOVER" = 0 ]; then
    if [ "$unclean_said" = 0 ]; then
      unclean_said=1
      event unclean "\"state\":$STATE,\"postmaster_pid\":false"
    fi
    return 1
  fi
  SEEN=$NOW STALE=0 UNCLEAN=0
  if [ -e "$DATA/postmaster.pid" ]; then STALE=1; fi
  if [ "$STATE" != 1 ]; then UNCLEAN=1; fi
}

# ---- modes

# back: the way back from the archive by a pod made later, when the workload is at zero.
back() {
  : "${RUN:?}" "${FROM:?}" "${TO:?}" "${DATA:?}"
  setup_box
  lock
  [ -e "$JOURNAL" ] || refuse no_journal "$JOURNAL does not exist"
  journal_read
  resume_setup
  case $STEP in
    back | back-left) go_back_on ;;
    back-done | adopted) cat "$WORK/result.json" ;;
    none | prepare | prepared | disarmed | armed)
      result '"outcome":"back","back":true,"clean":null' back-done
      ;;
    *)
      can_go_back "${PGUP_GONE:+gone}" || refuse "$WHY" "$DETAIL"
      go_back asked ''
      ;;
  esac
  case $STEP in
    back-done | adopted) exit 0 ;;
  esac
  exit 4
}

# ---- adopt: the old data directory of another volume (a copy made from a snapshot) takes the place of the present one

ADOPT=none ADOPT_FAILED=''

adopt_note() {
  clock
  printf '%s %s ;\n' "$NOW" "$*" >>"$WORK/adopt-journal"
  sync "$WORK/adopt-journal" "$WORK"
  ADOPT=$1
}

adopt_read() {
  [ -e "$WORK/adopt-journal" ] || return 0
  printf '\n' >>"$WORK/adopt-journal"
  while read -r _ step a b _; do
    case "$a$b" in
      *';') ;;
      *) continue ;;
    esac
    case $step in leave) ADOPT_FAILED=$a ;; esac
    ADOPT=$step
  done <"$WORK/adopt-journal"
}

# whole_snapshot: whatever moment the copy is of, its old cluster ends up in its data directory. Prints nothing but refusals:
# a result of the copy's own way back, on stderr too, would be taken for this run's.
whole_snapshot() {
  DATA=${PGUP_SNAP_DATA:-/snap${DATA#/vol}}
  snap_work=${PGUP_SNAP_WORK:-/snap${PGUP_WORK#/vol}}
  # The links of a copy lead to the tablespaces of the original.
  for entry in "$DATA"/pg_tblspc/* "$snap_work"/*/old-"$FROM"/pg_tblspc/*; do
    if exists "$entry"; then refuse snapshot_unusable "the old cluster has tablespaces outside its data directory"; fi
  done
  # The run whose moves the copy shows half-done; there is at most one.
  for JOURNAL in "$snap_work/$RUN/journal" "$snap_work"/*/journal; do
    [ -e "$JOURNAL" ] || continue
    WORK=${JOURNAL%/journal}
    STEP=none
    names
    journal_read
    case $STEP in
      guard | guarded | pg_upgrade | upgraded | place | placed | back | back-left | lost)
        if [ "$STEP" = lost ] || ! can_go_back gone; then
          refuse snapshot_unusable "the snapshot was taken after the old cluster's files had been given to the new one"
        fi
        rm -f "$DATA/postmaster.pid" "$OLD/postmaster.pid" "$NEW/postmaster.pid"
        case $STEP in
          back | back-left) go_back_on >"$BOX/snapshot-back.log" ;;
          *) go_back snapshot '' >"$BOX/snapshot-back.log" ;;
        esac
        break
        ;;
    esac
  done
  rm -f "$DATA/postmaster.pid"
  version=
  read -r version <"$DATA/PG_VERSION" 2>/dev/null || :
  if [ "$version" != "$FROM" ] || [ ! -e "$DATA/global/pg_control" ]; then
    refuse snapshot_unusable "$DATA holds version ${version:-none}, not $FROM"
  fi
}

# try_snapshot: the old server starts on it and stops cleanly.
try_snapshot() {
  if [ -e "$DATA/postgresql.auto.conf.aside" ]; then mv -f "$DATA/postgresql.auto.conf.aside" "$DATA/postgresql.auto.conf"; fi
  control_read "$OLD_BIN" "$DATA" || refuse snapshot_unusable "its control data cannot be read"
  old_conf >"$BOX/old.conf"
  chmod 0700 "$DATA"
  # Settings of the user may name what does not exist here.
  if [ -e "$DATA/postgresql.auto.conf" ]; then mv "$DATA/postgresql.auto.conf" "$DATA/postgresql.auto.conf.aside"; fi
  try_ok=1
  "$OLD_BIN/pg_ctl" -D "$DATA" -w -l "$BOX/snapshot.log" -o "-c config_file='$BOX/old.conf' ${PGUP_OLD_OPTIONS:-}" start >/dev/null 2>&1 || try_ok=0
  "$OLD_BIN/pg_ctl" -D "$DATA" -m fast -w stop >/dev/null 2>&1 || try_ok=0
  if [ -e "$DATA/postgresql.auto.conf.aside" ]; then mv -f "$DATA/postgresql.auto.conf.aside" "$DATA/postgresql.auto.conf"; fi
  tail_of "$BOX/snapshot.log" 15 1500
  if ! control_state "$DATA" || [ "$STATE" != 1 ]; then try_ok=0; fi
  [ "$try_ok" = 1 ] || refuse snapshot_unusable "$TAIL"
}

# Runs in a subshell: names and steps of the copy must not mix with those of the volume.
snapshot_ready() { (
  whole_snapshot
  try_snapshot
); }

adopt() {
  : "${RUN:?}" "${FROM:?}" "${DATA:?}"
  TO=${TO:-none}
  names
  setup_box
  lock
  mkdir -p "$WORK" || refuse work_not_writable "cannot create $WORK"
  old_programs || refuse old_programs "the copied programs of PostgreSQL $FROM are not complete"
  adopt_read
  restored=$WORK/restored-$FROM
  case $ADOPT in
    none | copy)
      if [ -e "$DATA/postmaster.pid" ] && [ -z "${PGUP_GONE:-}" ]; then refuse server_running "$DATA/postmaster.pid exists"; fi
      snap_rc=0
      snapshot_ready || snap_rc=$?
      [ "$snap_rc" = 0 ] || {
        trap - EXIT
        exit "$snap_rc"
      }
      source=${PGUP_SNAP_DATA:-/snap${DATA#/vol}}
      adopt_note copy
      trash "$restored"
      empty_trash
      mkdir "$restored"
      kib=$(du -sk "$source")
      event copying "\"bytes\":$((${kib%%[!0-9]*} * 1024))"
      set --
      for entry in "$source"/* "$source"/.[!.]* "$source"/..?*; do
        exists "$entry" || continue
        case ${entry##*/} in postmaster.pid | lost+found | .pg-upgrade | "${WORK_ENTRY:-.pg-upgrade}") continue ;; esac
        set -- "$@" "$entry"
      done
      # A cp without reflinks does not know the option.
      if ! cp -a --reflink=auto "$@" "$restored/" 2>"$BOX/copy.err" && ! cp -a "$@" "$restored/" 2>"$BOX/copy.err"; then
        tail_of "$BOX/copy.err" 3 500
        trash "$restored"
        empty_trash
        refuse copy "$TAIL"
      fi
      sync -f "$restored"
      adopt_note copied
      ;;
  esac
  if [ "$ADOPT" = copied ]; then
    ADOPT_FAILED=failed-1
    adopt_n=2
    while exists "$WORK/$ADOPT_FAILED"; do
      ADOPT_FAILED=failed-$adopt_n
      adopt_n=$((adopt_n + 1))
    done
    adopt_note leave "$ADOPT_FAILED"
  fi
  if [ "$ADOPT" = leave ]; then
    mkdir -p "$WORK/$ADOPT_FAILED" "$DATA"
    # An empty data directory would be initialised by the next pod that starts.
    if [ ! -e "$DATA/PG_VERSION" ]; then cp -p "$restored/PG_VERSION" "$DATA/PG_VERSION"; fi
    if [ -e "$DATA/postmaster.pid" ] && [ -n "${PGUP_GONE:-}" ] && [ -e "$DATA/global" ]; then mv "$DATA/postmaster.pid" "$WORK/postmaster.pid.stale"; fi
    if ! leave "$DATA" "$WORK/$ADOPT_FAILED"; then
      enter "$WORK/$ADOPT_FAILED" "$DATA" || :
      sync "$DATA"
      adopt_note copied
      refuse server_running "a server came up on $DATA"
    fi
    if [ ! -e "$WORK/$ADOPT_FAILED/PG_VERSION" ]; then cp -p "$DATA/PG_VERSION" "$WORK/$ADOPT_FAILED/"; fi
    sync "$DATA" "$WORK/$ADOPT_FAILED"
    adopt_note left
  fi
  if [ "$ADOPT" = left ]; then
    enter "$restored" "$DATA" || refuse move_failed "an entry of $restored cannot be moved"
    chmod 0700 "$DATA"
    sync "$DATA"
    printf '\n' >>"$JOURNAL"
    result "\"outcome\":\"restored\",\"back\":true,\"clean\":true,\"failed\":\"$WORK/$ADOPT_FAILED\"" adopted
    adopt_note entered
    rmdir "$restored" 2>/dev/null || :
  else
    cat "$WORK/result.json"
  fi
  exit 0
}

# ---- usage and remove

# run_state DIR: sets STEP of a run from its journal.
run_state() {
  WORK=$1 RUN=${1##*/} STEP=none
  names
  journal_last
}

# journal_last: like journal_read, but writes nothing.
journal_last() {
  [ -e "$JOURNAL" ] || return 0
  while read -r at step a b c d e; do
    case "$at $step $a $b $c $d $e" in
      *';' | *'; ' | *';  ' | *';   ' | *';    ' | *';     ') STEP=$step ;;
    esac
    case $step in
      run | prepare) RUN_FROM=$a RUN_TO=$b ;;
      armed) UNTIL=$a ;;
    esac
  done <"$JOURNAL"
}

bytes_of() {
  BYTES=$(du -sk "$1" 2>/dev/null || :)
  BYTES=${BYTES%%[!0-9]*}
  BYTES=$((${BYTES:-0} * 1024))
}

usage() {
  runs=
  for dir in "$PGUP_WORK"/*/; do
    dir=${dir%/}
    if [ ! -d "$dir" ] || [ -L "$dir" ]; then continue; fi
    RUN_FROM='' RUN_TO=''
    run_state "$dir"
    entries=''
    for entry in "$dir"/*; do
      exists "$entry" || continue
      bytes_of "$entry"
      json "${entry##*/}"
      entries="$entries${entries:+,}{\"name\":$JSON,\"bytes\":$BYTES}"
    done
    bytes_of "$dir"
    json "$RUN"
    runs="$runs${runs:+,}{\"run\":$JSON,\"step\":\"$STEP\",\"from\":\"$RUN_FROM\",\"to\":\"$RUN_TO\",\"bytes\":$BYTES,\"entries\":[$entries]}"
  done
  event usage "\"work\":\"$PGUP_WORK\",\"runs\":[$runs]"
}

# removable NAME: RUN or RUN/ENTRY, nothing that could lead out of PGUP_WORK, nothing that is still needed.
removable() {
  case $1 in
    '' | /* | */ | *//* | */*/* | . | .. | ./* | ../* | */. | */.. | *[!A-Za-z0-9._/-]*) return 1 ;;
  esac
  [ -d "$PGUP_WORK" ] && [ ! -L "$PGUP_WORK" ] && [ -d "$PGUP_WORK/${1%%/*}" ] && [ ! -L "$PGUP_WORK/${1%%/*}" ]
}

remove() {
  : "${PGUP_REMOVE:?}" "${DATA:?}"
  mkdir -p "$BOX"
  lock
  # All are looked at before the first is removed.
  for name in $PGUP_REMOVE; do
    removable "$name" || refuse outside "$name is not a run or an entry of a run below $PGUP_WORK"
    run_state "$PGUP_WORK/${name%%/*}"
    clock
    case $STEP in
      none | prepare | prepared | disarmed | placed | back-done | adopted) ;;
      armed) [ "$NOW" -ge "$UNTIL" ] || refuse in_use "$name: an upgrade is armed" ;;
      *) refuse in_use "$name: the run is at step $STEP" ;;
    esac
    # What is in the work directory may be the only copy as long as this is not whole.
    if [ ! -e "$DATA/global/pg_control" ] || [ ! -e "$DATA/PG_VERSION" ]; then
      refuse in_use "$DATA is not a whole data directory"
    fi
  done
  freed=0
  for name in $PGUP_REMOVE; do
    path=$PGUP_WORK/$name
    exists "$path" || continue
    bytes_of "$path"
    rm -rf "$path"
    freed=$((freed + BYTES))
    json "$name"
    event removed "\"name\":$JSON,\"bytes\":$BYTES"
  done
  sync "$PGUP_WORK"
  set -- "$PGUP_WORK"/*/
  if [ ! -d "$1" ]; then
    rm -f "$PGUP_WORK/lock"
    rmdir "$PGUP_WORK" 2>/dev/null || :
  fi
  event freed "\"bytes\":$freed"
}

upgrade() {
  : "${RUN:?}" "${FROM:?}" "${TO:?}" "${DATA:?}"
  WORK_MODE=0700
  if [ "${PGUP_GROUP_ACCESS:-0}" = 1 ]; then WORK_MODE=0750; fi
  setup_box
  lock
  mkdir -p "$WORK" || refuse work_not_writable "cannot create $WORK"
  journal_read
  case $STEP in
    none | prepare | prepared | disarmed) prepare ;;
    armed)
      clock
      if [ "$NOW" -lt "$UNTIL" ] && [ -e "$DATA/global" ] && [ -e "$NEW/PG_VERSION" ]; then
        resume_setup
        if [ -n "$NEW_BIN" ] && [ -n "$OLD_BIN" ]; then
          ARMED=1
          event armed "\"until\":$UNTIL,\"recover\":$RECOVER"
        else
          note disarmed
          prepare
        fi
      else
        disarm timeout
        prepare
      fi
      ;;
    *)
      resume_setup
      resume_step
      ;;
  esac
  serve
}

resume_step() {
  # The guard's first rename did not happen: a server may have started since, so this is not ours to go on with.
  case $STEP in
    guard | guarded | pg_upgrade)
      if [ -e "$DATA/global" ] && [ ! -e "$OLD/global" ]; then
        clock
        if [ "$STEP" = guard ] && [ "$NOW" -lt "$UNTIL" ] && [ -n "$NEW_BIN" ] && [ -n "$OLD_BIN" ]; then
          note armed "$UNTIL" "$RECOVER"
          journal_sync
          ARMED=1
          event armed "\"until\":$UNTIL,\"recover\":$RECOVER"
        else
          disarm interrupted
          prepare
        fi
        return 0
      fi
      ;;
  esac
  case $STEP in
    guard) go_on ;;
    guarded)
      go_guarded || return 0
      ATTEMPTS=$((ATTEMPTS + 1))
      note pg_upgrade "$ATTEMPTS"
      journal_sync
      attempt
      ;;
    pg_upgrade)
      if [ "$ATTEMPTS" -ge 2 ]; then
        go_back interrupted "pg_upgrade was interrupted $ATTEMPTS times"
        return 0
      fi
      if [ -z "$NEW_BIN" ] || [ -z "$OLD_BIN" ]; then
        go_back programs_missing "the programs of $FROM or $TO are not here"
        return 0
      fi
      again || return 0
      ATTEMPTS=$((ATTEMPTS + 1))
      note pg_upgrade "$ATTEMPTS"
      journal_sync
      attempt
      ;;
    upgraded)
      strays "$DATA"
      note place
          journal_sync
      place
      ;;
    place) place ;;
    placed)
      if [ -e "$WORK/result.json" ]; then cat "$WORK/result.json"; else upgraded_result; fi
      tidy
      ;;
    back | back-left) go_back_on ;;
    back-done | lost | adopted) cat "$WORK/result.json" ;;
    *) refuse journal "unknown step $STEP" ;;
  esac
}

case $MODE in
  upgrade) upgrade ;;
  back) back ;;
  adopt) adopt ;;
  usage) usage ;;
  remove) remove ;;
  *) refuse mode "unknown mode $MODE" ;;
esac
