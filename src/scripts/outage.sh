# From the stop that was seen to the result: guard, pg_upgrade, configuration, the new cluster in its place.
# shellcheck shell=dash disable=SC2034,SC2153,SC2154

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
  note_crash
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
  if [ "$CRASHED" = 1 ]; then set -- "$1,\"crashed\":true" "${2:-}"; fi
  clock
  printf '{"at":%s,"event":"result",%s}\n' "$NOW" "$1" >"$WORK/result.tmp"
  mv "$WORK/result.tmp" "$WORK/result.json"
  # Settings may be secrets, and nobody reads them any more.
  rm -f "$WORK/unlisted.sql"
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
      go_back aborted "go-back was asked for while $MOVER ran"
      return 0
    fi
    if [ "$RC" -eq 0 ]; then
      finish
      return 0
    fi
    stop_servers
    rm -f "$WORK/reserve"
    # Another pod's mount has opened a data directory while we worked, or the old server was cut off: only these are worth another try.
    why=
    if permission_trouble; then
      why=permissions
    elif control_state "$OLD" && [ "$STATE" != 1 ]; then
      why=crash
    fi
    if [ "$retry" = 0 ] && [ -n "$why" ] && [ ! -e "$OLD/global/pg_control.old" ]; then
      retry=1
      ATTEMPTS=$((ATTEMPTS + 1))
      note pg_upgrade "$ATTEMPTS"
      journal_sync
      event again "\"reason\":\"$why\""
      again || return 0
      continue
    fi
    failure_log
    go_back "$MOVER" "$TAIL"
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
  mkdir -p "$WORK/logs" || :
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
  if [ "$TO" -ge 15 ] && [ -n "${UNSYNCED:-}" ]; then
    set -- "$@" --no-sync
  elif [ "$TO" -ge 17 ] && [ "$TRANSFER" != swap ]; then
    set -- "$@" --sync-method=syncfs
  elif [ "$TO" -ge 15 ] && [ "$TO" -lt 17 ]; then
    set -- "$@" --no-sync
  fi
  clock
  UPGRADE_BEGIN=$NOW
  case $TRANSFER in
    dump) dump_and_load >"$BOX/fifo" 2>&1 & ;;
    load) load_given >"$BOX/fifo" 2>&1 & ;;
    *) PGOPTIONS="$SESSION" "$NEW_BIN/pg_upgrade" "$@" >"$BOX/fifo" 2>&1 & ;;
  esac
  UPGRADE_PID=$!
  event "$MOVER" "\"attempt\":$ATTEMPTS,\"since_stop_ms\":$((UPGRADE_BEGIN - SEEN))"
  carry &
  CARRY_PID=$!
  # A load has nothing to do with the files of the old cluster.
  case $TRANSFER in
    load) : & ;;
    *) sizes & ;;
  esac
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
  UPGRADE_PID=
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
  cd "$OLD" || exit 1
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
          answer_refused "$req" busy "$MOVER runs"
          rm -f "$req"
          ;;
      esac
    done
    sleep 0.2
  done
}

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
      # In their place comes what the plan says.
      postgresql.conf | pg_hba.conf) if [ -e "$PLAN/$name" ]; then continue; fi ;;
    esac
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
  # The new image looks for its configuration in the data directory, where the old one had none.
  for name in postgresql.conf pg_hba.conf; do
    [ -e "$PLAN/$name" ] || continue
    cat "$PLAN/$name" >"$CONF.tmp/$name"
    chmod 0600 "$CONF.tmp/$name"
    json "$name"
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
  [ -n "${UNSYNCED:-}" ] || find "$CONF.tmp" -type f -exec sync {} +
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

# set_unlisted: what pg_dumpall leaves out, by a server that nobody reaches. Its complaints hold no statement.
set_unlisted() {
  case $TRANSFER in dump | load) return 0 ;; esac
  [ -s "$WORK/unlisted.sql" ] || return 0
  # What is set for template1 holds here, too.
  set -- -c log_min_error_statement=panic -c lc_messages=C
  {
    echo 'SET default_transaction_read_only TO off;'
    cat "$WORK/unlisted.sql"
  } | "$NEW_BIN/postgres" --single -D "$NEW" ${UNSYNCED:+-F} "$@" template1 >/dev/null 2>"$BOX/unlisted.log" || echo "FATAL:  the server ended" >>"$BOX/unlisted.log"
  if grep -E '(ERROR|FATAL|PANIC):' "$BOX/unlisted.log" >"$BOX/unlisted.err"; then return 1; fi
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
  if ! set_unlisted; then
    tail_of "$BOX/unlisted.err" 5 1500
    go_back settings_of_every_role "ALTER ROLE ALL RESET what the new version refuses: $TAIL"
    return 0
  fi
  install_conf
  sync "$NEW"
  FINGERPRINT=$(cksum <"$NEW/global/pg_control")
  note upgraded "$FINGERPRINT"
  take_place
}

# take_place: from here on the new cluster's entries leave its directory.
take_place() {
  strays "$DATA"
  if [ "$PLACE" != "$DATA" ] && ! is_free "$PLACE"; then
    go_back place_failed "$PLACE is not empty any more"
    return 0
  fi
  note place
  journal_sync
  place
}

place() {
  if ! enter "$NEW" "$PLACE"; then
    go_back place_failed "an entry of the new cluster cannot be moved into $PLACE"
    return 0
  fi
  # A pod that mounted the claim meanwhile may have changed it.
  chmod "$DATA_MODE" "$PLACE"
  sync "$PLACE" "$NEW"
  note placed
  journal_sync
  upgraded_result
  tidy
}

# moved_in: sets TIMES to members with when the data was moved, and how long each part of that took.
moved_in() {
  dumped_at=$UPGRADE_BEGIN
  if [ -s "$WORK/dumped-at" ]; then read -r dumped_at <"$WORK/dumped-at"; fi
  case $TRANSFER in
    dump) TIMES="\"dump_begin_at\":$UPGRADE_BEGIN,\"load_begin_at\":$dumped_at,\"load_end_at\":$UPGRADE_END,\"dump_ms\":$((dumped_at - UPGRADE_BEGIN)),\"load_ms\":$((UPGRADE_END - dumped_at))" ;;
    load) TIMES="\"load_begin_at\":$UPGRADE_BEGIN,\"load_end_at\":$UPGRADE_END,\"load_ms\":$((UPGRADE_END - UPGRADE_BEGIN))" ;;
    *) TIMES="\"pg_upgrade_begin_at\":$UPGRADE_BEGIN,\"pg_upgrade_end_at\":$UPGRADE_END,\"pg_upgrade_ms\":$((UPGRADE_END - UPGRADE_BEGIN))" ;;
  esac
}

upgraded_result() {
  clock
  moved_in
  read -r carried_line <"$WORK/carried" || carried_line='"carried":[]'
  loaded_line=
  for file in "$WORK/loaded" "$WORK/held/loaded"; do
    if [ -s "$file" ]; then read -r loaded_line <"$file"; fi
  done
  result "\"outcome\":\"upgraded\",\"from\":\"$FROM\",\"to\":\"$TO\",\"version\":\"${NEW_VERSION:-}\",\"transfer\":\"$TRANSFER\",\"attempts\":$ATTEMPTS,\"armed_at\":$ARMED_AT,\"stop_seen_at\":$SEEN,\"guard_ms\":$((GUARDED_AT - SEEN)),$TIMES,\"place_ms\":$((NOW - UPGRADE_END)),\"outage_ms\":$((NOW - SEEN)),\"phases\":{${PHASES:-}},\"archive\":\"$OLD\",\"sizes\":\"$WORK/sizes\",$carried_line${loaded_line:+,$loaded_line}"
}

# tidy: what can wait until the result is out.
tidy() {
  make_whole
  empty_trash
  rmdir "$NEW" 2>/dev/null || :
  cp "$BOX"/run/*.sql "$WORK/" 2>/dev/null || :
  sync "$OLD" "$WORK"
}
