# The old data directory of another volume, a copy made from a snapshot, takes the place of the present one.
# shellcheck shell=dash disable=SC2034,SC2154

ADOPT=none ADOPT_FAILED='' PRESENT=''

adopt_note() {
  clock
  printf '%s %s ;\n' "$NOW" "$*" >>"$WORK/adopt-journal"
  sync "$WORK/adopt-journal" "$WORK"
  ADOPT=$1
}

adopt_read() {
  [ -e "$WORK/adopt-journal" ] || return 0
  printf '\n' >>"$WORK/adopt-journal"
  while read -r _ step a b c _; do
    case "$a$b$c" in
      *';') ;;
      *) continue ;;
    esac
    case $step in leave) ADOPT_FAILED=$a PRESENT=${b%;} ;; esac
    ADOPT=$step
  done <"$WORK/adopt-journal"
}

# whole_snapshot: whatever moment the copy is of, its old cluster ends up in its data directory. Prints nothing but refusals:
# a result of the copy's own way back, on stderr too, would be taken for this run's.
whole_snapshot() {
  if [ "$PLACE" != "$DATA" ]; then snap_place=${PGUP_SNAP_PLACE:-/snap${PLACE#/vol}}; else snap_place=; fi
  DATA=$source
  PLACE=${snap_place:-$DATA}
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
    # Another run's placed cluster is the one that the copy is wanted for.
    if [ "$STEP" = placed ] && [ "$JOURNAL" != "$snap_work/$RUN/journal" ]; then continue; fi
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

# told_crash: the copy is of a moment at which a server ran, the user's or pg_upgrade's old one. Its recovery empties what is
# unlogged; such a relation has an initialization fork.
told_crash() {
  if [ -n "$(find "$DATA/base" "$DATA"/pg_tblspc/*/ -name '*_init' 2>/dev/null | head -n 1)" ]; then
    mkdir -p "$snap_work"
    : >"$snap_work/crashed"
  fi
}

# try_snapshot: the old server starts on it and stops cleanly.
try_snapshot() {
  if [ -e "$DATA/postgresql.auto.conf.aside" ]; then mv -f "$DATA/postgresql.auto.conf.aside" "$DATA/postgresql.auto.conf"; fi
  control_read "$OLD_BIN" "$DATA" || refuse snapshot_unusable "its control data cannot be read"
  old_conf >"$BOX/old.conf"
  chmod 0700 "$DATA"
  control_state "$DATA" || STATE=
  if [ "$STATE" != 1 ] || [ "$CRASHED" = 1 ]; then told_crash; fi
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

# lend_copy: an image's entrypoint has given the data directory to another user since. The server is tried on the copy by its
# own user, who lets that one read it; a pod of that one does the rest.
lend_copy() {
  foreign && [ -O "$source" ] || return 0
  own_snapshot
  mkdir -p "$snap_work"
  : >"$snap_work/lent"
  chmod -R a+rX "$source"
  # Directories on the way to it may be its user's, too.
  for lent in "$snap_work" "$source"; do
    while [ "${#lent}" -gt 1 ]; do
      chmod a+rx "$lent" 2>/dev/null || :
      lent=${lent%/*}
    done
  done
  sync -f "$source"
}

# own_snapshot: makes the copy ready, or ends with what is wrong with it.
own_snapshot() {
  snap_rc=0
  snapshot_ready || snap_rc=$?
  [ "$snap_rc" = 0 ] || {
    trap - EXIT
    exit "$snap_rc"
  }
}

adopt() {
  : "${RUN:?}" "${FROM:?}" "${DATA:?}"
  TO=${TO:-none}
  source=${PGUP_SNAP_DATA:-/snap${DATA#/vol}} snap_work=${PGUP_SNAP_WORK:-/snap${PGUP_WORK#/vol}}
  names
  setup_box
  old_programs || refuse old_programs "the copied programs of PostgreSQL $FROM are not complete"
  lend_copy
  lock
  mkdir -p "$WORK" || refuse work_not_writable "cannot create $WORK"
  adopt_read
  restored=$WORK/restored-$FROM
  case $ADOPT in
    none | copy)
      for present in "$DATA" "$PLACE"; do
        if [ -e "$present/postmaster.pid" ] && [ -z "${PGUP_GONE:-}" ]; then refuse server_running "$present/postmaster.pid exists"; fi
      done
      if [ -O "$source" ]; then
        own_snapshot
      elif [ ! -e "$snap_work/lent" ]; then
        refuse snapshot_unusable "$source belongs to another user than $DATA"
      fi
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
      if [ -e "$snap_work/lent" ]; then chmod -R og-rwx "$restored"; fi
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
    # Which of the two has the cluster that gives way is told once: its first rename hides it.
    PRESENT=data
    if [ -e "$PLACE/global" ]; then PRESENT=place; fi
    adopt_note leave "$ADOPT_FAILED" "$PRESENT"
  fi
  if [ "$ADOPT" = leave ]; then
    mkdir -p "$WORK/$ADOPT_FAILED" "$DATA"
    # An empty data directory would be initialised by the next pod that starts.
    if [ ! -e "$DATA/PG_VERSION" ]; then cp -p "$restored/PG_VERSION" "$DATA/PG_VERSION"; fi
    present=$DATA
    if [ "$PRESENT" = place ]; then present=$PLACE; fi
    if [ -e "$present/postmaster.pid" ] && [ -n "${PGUP_GONE:-}" ] && [ -e "$present/global" ]; then mv "$present/postmaster.pid" "$WORK/postmaster.pid.stale"; fi
    if ! leave "$present" "$WORK/$ADOPT_FAILED"; then
      enter "$WORK/$ADOPT_FAILED" "$present" || :
      sync "$present"
      adopt_note copied
      refuse server_running "a server came up on $present"
    fi
    if [ ! -e "$WORK/$ADOPT_FAILED/PG_VERSION" ]; then cp -p "$present/PG_VERSION" "$WORK/$ADOPT_FAILED/"; fi
    sync "$present" "$DATA" "$WORK/$ADOPT_FAILED"
    adopt_note left
  fi
  if [ "$ADOPT" = left ]; then
    enter "$restored" "$DATA" || refuse move_failed "an entry of $restored cannot be moved"
    chmod 0700 "$DATA"
    sync "$DATA"
    printf '\n' >>"$JOURNAL"
    CRASHED=0
    if [ -e "$snap_work/crashed" ]; then CRASHED=1; fi
    result "\"outcome\":\"restored\",\"back\":true,\"clean\":true,\"failed\":\"$WORK/$ADOPT_FAILED\"" adopted
    adopt_note entered
    rmdir "$restored" 2>/dev/null || :
  else
    cat "$WORK/result.json"
  fi
  exit 0
}
