# The whole upgrade on a copy of the volume that no server uses: recovered, upgraded, compared, timed. The copy is thrown
# away afterwards, so nothing here goes back.
# shellcheck shell=dash disable=SC2034,SC2154

# observe_on DIR before|after LEVEL [ARG...]: what the server on DIR holds; one line of JSON for each event.
observe_on() {
  observed_dir=$1 observed_what=$2
  shift 2
  cat "${0%/*}/sql.sh" "${0%/*}/unlisted.sh" "${0%/*}/observe.sh" >"$BOX/observe.sh"
  PGDATA=$observed_dir POSTGRES_USER=$SUPERUSER sh "$BOX/observe.sh" "$observed_what" "$WORK" "$@" 2>"$BOX/observe.err"
}

# took: the milliseconds since the last call in TOOK.
took() {
  clock
  TOOK=$((NOW - ${took_since:-$NOW}))
  took_since=$NOW
}

# The copy shows a server that was cut off; its own crash recovery comes first, and is no part of a real upgrade. A copy that
# took its time has a label that says where recovery begins; without it rows would be missing and nothing would tell.
recover_copy() {
  rm -f "$OLD/postmaster.pid"
  if [ -n "${PGUP_LABEL:-}" ]; then cp "$WORK/backup_label" "$OLD/backup_label" || refuse recovery_failed "the copy has no backup_label"; fi
  chmod 0700 "$OLD"
  cp "$BOX/old.conf" "$OLD/postgresql.conf"
  if ! "$OLD_BIN/pg_ctl" -D "$OLD" -w -t 3600 -l "$BOX/recovery.log" -o "$(quietly) ${PGUP_OLD_OPTIONS:-}" start >/dev/null 2>&1; then
    tail_of "$BOX/recovery.log" 15 1500
    stop_servers
    refuse recovery_failed "$TAIL"
  fi
  took
  RECOVERY_MS=$TOOK
  if ! observe_on "$OLD" before "${PGUP_VERIFY:-auto}" >"$BOX/observed"; then
    stop_servers
    tail_of "$BOX/observe.err" 5 1500
    refuse observation "$(cat "$BOX/observed") $TAIL"
  fi
  tail -n 1 "$BOX/observed"
  took
  OBSERVE_MS=$TOOK
  "$OLD_BIN/pg_ctl" -D "$OLD" -m fast -w stop >/dev/null 2>&1 || :
  control_state "$OLD" || STATE=
  [ "$STATE" = 1 ] || refuse recovery_failed "the copy does not stop cleanly"
}

# What comes after pg_upgrade in a real run: the new server starts, is compared, and gets its first statistics.
try_new() {
  took
  PGUP_NEW_OPTIONS="$(quietly) ${PGUP_NEW_OPTIONS:-}"
  if ! start_new "$DATA"; then
    tail_of "$BOX/test.log" 15 1500
    refuse new_server_start "$TAIL"
  fi
  took
  START_MS=$TOOK
  # What differs is told line by line; the last line is the verdict.
  observe_on "$DATA" after "${PGUP_VERIFY:-auto}" writers=no '' "$CRASHED" || :
  took
  VERIFY_MS=$TOOK
  ANALYZED=true
  PGOPTIONS="$SESSION -c default_statistics_target=1 -c vacuum_cost_delay=0" "$NEW_BIN/vacuumdb" --all --analyze-only -j "${PGUP_JOBS:-1}" \
    -h "$BOX/sock" -p 50432 -U "$SUPERUSER" >"$BOX/analyze.log" 2>&1 || ANALYZED=false
  took
  ANALYZE_MS=$TOOK
  "$NEW_BIN/pg_ctl" -D "$DATA" -m fast -w stop >/dev/null 2>&1 || :
}

# unsynced: what is thrown away need not be on the disk, and the server in use shares that disk.
unsynced() {
  # shellcheck disable=SC2317  # for whoever is called from now on
  sync() { :; }
  UNSYNCED=1
  PGUP_OLD_OPTIONS="${PGUP_OLD_OPTIONS:-} -c fsync=off -c full_page_writes=off"
  PGUP_NEW_OPTIONS="${PGUP_NEW_OPTIONS:-} -c fsync=off -c full_page_writes=off"
}

# discard: files that are gone before the volume is unmounted are not written any more.
discard() { rm -rf "${DATA:?}"/* "${WORK:?}" 2>/dev/null; }

rehearse() {
  : "${RUN:?}" "${FROM:?}" "${TO:?}" "${DATA:?}"
  unsynced
  WORK_MODE=0700
  if [ "${PGUP_GROUP_ACCESS:-0}" = 1 ]; then WORK_MODE=0750; fi
  setup_box
  lock
  mkdir -p "$WORK" || refuse work_not_writable "cannot create $WORK"
  journal_read
  case $STEP in
    none | prepare | prepared) ;;
    *) refuse interrupted "this copy was begun at step $STEP and is of no use any more" ;;
  esac
  rm -f "$DATA/postmaster.pid"
  prepare
  took_since=$NOW
  note guard 0 0 0
  journal_sync
  leave "$DATA" "$OLD" "$ASIDE" || refuse move_failed "an entry of the data directory cannot be moved"
  chmod "$WORK_MODE" "$NEW"
  recover_copy
  note guarded
  clock
  SEEN=$NOW GUARDED_AT=$NOW ATTEMPTS=1
  note pg_upgrade 1
  journal_sync "$DATA" "$OLD" "$ASIDE"
  attempt
  # The event of the result has told why.
  [ "$STEP" = placed ] || exit 4
  UPGRADED_MS=$((NOW - SEEN))
  try_new
  moved_in
  event rehearsed "\"recovery_ms\":$RECOVERY_MS,\"observe_ms\":$OBSERVE_MS,\"upgrade_ms\":$UPGRADED_MS,$TIMES,\"start_ms\":$START_MS,\"verify_ms\":$VERIFY_MS,\"analyze_ms\":$ANALYZE_MS,\"analyzed\":$ANALYZED"
  # The result is told: whatever becomes of this takes nothing from it.
  if [ -n "${PGUP_DISCARD:-}" ]; then discard || :; fi
  exit 0
}
