# What runs have left on the volume, with sizes; and its removal.
# shellcheck shell=dash disable=SC2034,SC2154

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

# is_cluster DIR: a cluster is there.
is_cluster() { [ -e "$1/global/pg_control" ] && [ -e "$1/PG_VERSION" ]; }

# drop_spaces DIR: what the clusters that are archived there have in tablespaces, where the version in use has another directory.
drop_spaces() {
  in_use=
  if is_cluster "$PLACE"; then read -r in_use <"$PLACE/PG_VERSION" || :; else read -r in_use <"$DATA/PG_VERSION" || :; fi
  for cluster in "$1" "$1"/*; do
    if [ ! -f "$cluster/PG_VERSION" ] || [ -L "$cluster" ]; then continue; fi
    major=
    read -r major <"$cluster/PG_VERSION" || :
    case $major in '' | "$in_use" | *[!0-9.]*) continue ;; esac
    for entry in "$cluster"/pg_tblspc/*/"PG_${major}_"*; do
      if [ -d "$entry" ] && [ ! -L "$entry" ]; then
        bytes_of "$entry"
        rm -rf "$entry"
        freed=$((freed + BYTES))
      fi
    done
  done
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
    is_cluster "$PLACE" || is_cluster "$DATA" || refuse in_use "$DATA is not a whole data directory"
  done
  freed=0
  for name in $PGUP_REMOVE; do
    path=$PGUP_WORK/$name
    exists "$path" || continue
    drop_spaces "$path"
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
