# The way back from any step to the old cluster in the data directory.
# shellcheck shell=dash disable=SC2034,SC2154

is_untouched() {
  [ -e "$PLACE/global/pg_control" ] || return 0
  [ "$(cksum <"$PLACE/global/pg_control")" = "$FINGERPRINT" ]
}

# can_go_back GONE: sets WHY and DETAIL when not.
can_go_back() {
  WHY='' DETAIL=''
  if foreign; then
    WHY=not_owner
    return 1
  fi
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
  if [ -e "$PLACE/postmaster.pid" ]; then STALE_BACK=1; fi
  if [ "$1" = gone ]; then return 0; fi
  control_state "$PLACE" || STATE=
  if [ -e "$PLACE/postmaster.pid" ] || [ "$STATE" != 1 ]; then
    # A pid file beside a clean state is what a forced end leaves; a living server changes one or the other at once.
    if [ "$STATE" = 1 ]; then
      sleep 1
      control_state "$PLACE" || STATE=
      [ "$STATE" != 1 ] || return 0
    fi
    WHY=server_running DETAIL="a server runs on $PLACE or was not stopped cleanly"
    return 1
  fi
}

# go_back REASON DETAIL: from any step to the old cluster in the data directory, then the result.
go_back() {
  stop_servers
  # On a full disk the journal needs the room; a dump is begun anew anyway.
  rm -rf "$WORK/dump"
  if [ -n "${PGUP_DUMP:-}" ] && [ ! -e "$PGUP_DUMP/manifest" ]; then rm -rf "$PGUP_DUMP"; fi
  rm -f "$WORK/loaded" "$WORK/otherwise" "$WORK/reserve"
  if swapped; then
    json "$2"
    result "\"outcome\":\"failed\",\"back\":false,\"needs\":\"snapshot\",\"reason\":\"$1\",\"log_tail\":$JSON" lost
    return 0
  fi
  MOVED=0
  # 1: new entries are in their place; 2: the data directory holds the guard alone; 0: some of the old cluster's may still be there.
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
    # What was loaded so far is worth nothing, and the old server needs the room.
    if { [ "$TRANSFER" = dump ] || [ "$TRANSFER" = load ]; } && [ "$MOVED" = 2 ]; then
      trash "$NEW"
      empty_trash
    fi
    if [ -e "$NEW" ] && [ ! -e "$failed_dir" ]; then mv "$NEW" "$failed_dir"; fi
    mkdir -p "$failed_dir"
    if [ "$MOVED" = 1 ]; then
      if [ "$STALE_BACK" = 1 ] && [ -e "$PLACE/postmaster.pid" ]; then mv "$PLACE/postmaster.pid" "$WORK/postmaster.pid.stale"; fi
      leave_rc=0
      leave "$PLACE" "$failed_dir" || leave_rc=$?
      if [ "$leave_rc" -ne 0 ]; then
        # The new server came up meanwhile: it stays.
        enter "$failed_dir" "$PLACE"
        note placed
        journal_sync "$PLACE"
        refused server_running "a server came up on $PLACE"
        return 0
      fi
      read -r version <"$PLACE/PG_VERSION" || version=
      if [ "$version" = "$TO" ] && [ ! -e "$failed_dir/PG_VERSION" ]; then cp -p "$PLACE/PG_VERSION" "$failed_dir/"; fi
      sync "$PLACE"
    fi
    # The guard alone was to be there, unless the new cluster has just left it.
    if [ "$MOVED" = 2 ] || { [ "$MOVED" = 1 ] && [ "$PLACE" != "$DATA" ]; }; then strays "$DATA"; fi
    sync "$DATA" "$failed_dir"
    note back-left
    journal_sync
  fi
  undo_link
  # Once the new server may have run, what it has in tablespaces is data too.
  if [ "$MOVED" != 1 ]; then drop_tablespace_dirs; fi
  if [ -e "$OLD/global/pg_control" ]; then
    control_state "$OLD" || STATE=
    if [ "$STATE" != 1 ]; then
      note_crash
      if [ -e "$BOX/old.conf" ] && [ "$MOVED" != 1 ]; then
        recover_old || say "the old cluster did not recover here; its own server has to"
      fi
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
