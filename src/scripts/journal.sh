# The journal of a run on the volume: one line a step, fsynced before the step acts; a line without its end mark was torn
# and never happened.
# shellcheck shell=dash disable=SC2034,SC2154

STEP=none ATTEMPTS=0 UNTIL=0 RECOVER=0 SEEN=0 STALE=0 UNCLEAN=0 FINGERPRINT='' UPGRADE_BEGIN=0 UPGRADE_END=0 GUARDED_AT=0
FAILED='' MOVED=0 STALE_BACK=0 REASON='' CONTROL_VERSION='' ARMED_AT=0 DATA_MODE='' CRASHED=0

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
      # No step.
      crashed)
        CRASHED=1
        continue
        ;;
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
