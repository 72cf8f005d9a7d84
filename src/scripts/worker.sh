#!/bin/sh
# shellcheck shell=dash
# Main container of the upgrade pod, NEW image: the only process that writes to the volume.
# Each start reads the journal and goes on from there, so a kill at any line is an ordinary start.
# Modes (PGUP_MODE): upgrade (default), back, adopt, room, copy, rehearse, remove, usage, look, dump-room, dump-hold,
# dump-remove.
set -eu
# shellcheck source=lib.sh disable=SC1091
. "${0%/*}/lib.sh"
# shellcheck source=journal.sh disable=SC1091
. "${0%/*}/journal.sh"
# shellcheck source=moving.sh disable=SC1091
. "${0%/*}/moving.sh"
# shellcheck source=prepare.sh disable=SC1091
. "${0%/*}/prepare.sh"
# shellcheck source=outage.sh disable=SC1091
. "${0%/*}/outage.sh"
# shellcheck source=dumped.sh disable=SC1091
. "${0%/*}/dumped.sh"
# shellcheck source=unlisted.sh disable=SC1091
. "${0%/*}/unlisted.sh"
# shellcheck source=load.sh disable=SC1091
. "${0%/*}/load.sh"
# shellcheck source=otherwise.sh disable=SC1091
. "${0%/*}/otherwise.sh"
# shellcheck source=given.sh disable=SC1091
. "${0%/*}/given.sh"
# shellcheck source=back.sh disable=SC1091
. "${0%/*}/back.sh"
# shellcheck source=adopt.sh disable=SC1091
. "${0%/*}/adopt.sh"
# shellcheck source=copy.sh disable=SC1091
. "${0%/*}/copy.sh"
# shellcheck source=rehearse.sh disable=SC1091
. "${0%/*}/rehearse.sh"
# shellcheck source=space.sh disable=SC1091
. "${0%/*}/space.sh"
# shellcheck source=claimed.sh disable=SC1091
. "${0%/*}/claimed.sh"
clock_start
STARTED=$NOW

# PID 1 ignores a signal that has no handler. The journal makes leaving at once safe, but for unlogged tables: those of a server
# that is killed are empty when it comes back.
on_term() {
  trap '' TERM INT HUP
  if [ -n "${UPGRADE_PID:-}${RECOVERY_PID:-}" ]; then
    kill ${UPGRADE_PID:+"$UPGRADE_PID"} ${RECOVERY_PID:+"$RECOVERY_PID"} 2>/dev/null || :
    # Whoever asked ends this container when its time is up.
    stop_servers "$PGCTLTIMEOUT"
  fi
  exit 143
}
trap on_term TERM INT HUP
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
# What moves the data, as events and results name it.
case $TRANSFER in
  dump | load) MOVER=$TRANSFER ;;
  *) MOVER=pg_upgrade ;;
esac
case ${PGUP_DATA:=} in
  /* | '') DATA=$PGUP_DATA ;;
  *) DATA=/vol/$PGUP_DATA ;;
esac
DATA=${DATA%/}
# Where the new cluster is placed: the data directory, or the one that it gets instead.
PLACE=${PGUP_PLACE:-$DATA}
PLACE=${PLACE%/}
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
  # The process of a killed server's lock file may be any of ours by now.
  rm -f "$BOX/sock"/.s.PGSQL.*
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

# refuse_foreign: the data directory must be ours. An image's entrypoint gives it to a user of its own, with all that lies in it;
# who owns it now is told, for a pod that can go on.
refuse_foreign() {
  if foreign; then refuse not_owner "$DETAIL" "\"owner\":$OWNER,\"group\":$GROUP"; fi
}

# foreign: sets DETAIL, OWNER and GROUP when the data directory belongs to another user.
foreign() {
  [ -n "$DATA" ] && [ -d "$DATA" ] && [ ! -O "$DATA" ] || return 1
  OWNER=$(stat -c %u "$DATA") GROUP=$(stat -c %g "$DATA")
  DETAIL="$DATA belongs to user $OWNER, not to $(id -u)"
}

# Two pods of one node see the same lock; on different nodes the claim's access mode keeps them apart.
lock() {
  refuse_foreign
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
    [ -n "$(find "$DATA/global" "$DATA/pg_wal" "$DATA/pg_xact" "$DATA/pg_xlog" "$DATA/pg_clog" -newer "$BOX/mark" -type f 2>/dev/null | head -n 1)" ]; }; then
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
        go_back interrupted "$MOVER was interrupted $ATTEMPTS times"
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
      take_place
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
  room) room ;;
  copy) copy ;;
  rehearse) rehearse ;;
  usage) usage ;;
  look) look ;;
  remove) remove ;;
  dump-room) dump_room ;;
  dump-hold) dump_hold ;;
  dump-remove) dump_remove ;;
  *) refuse mode "unknown mode $MODE" ;;
esac
