# Errands on the claim that a dump lies on, which is mounted alone.
# shellcheck shell=dash disable=SC2034,SC2154

# dump_dir: refuses a name that could lead elsewhere.
dump_dir() {
  case ${PGUP_DUMP:?} in
    /*/../* | */.. | */. | *[!A-Za-z0-9./_-]*) refuse outside "$PGUP_DUMP is no directory of a dump" ;;
    */pg-upgrade-*) ;;
    *) refuse outside "$PGUP_DUMP is no directory of a dump" ;;
  esac
}

# dump_room: makes the directory, and says what is free there for a dump, which takes the place of one that is there. Of a claim that it may not write to it says whether it is empty.
dump_room() {
  dump_dir
  mkdir -p "$BOX"
  if mkdir -p "$PGUP_DUMP" 2>"$BOX/room.err" && [ -w "$PGUP_DUMP" ]; then
    free=$(df -Pk "$PGUP_DUMP" | sed -n '$p' | tr -s ' ' | cut -d' ' -f4)
    bytes_of "$PGUP_DUMP"
    event made "\"free\":$((${free:-0} * 1024 + BYTES))"
    exit 0
  fi
  empty=true
  for entry in "${PGUP_DUMP%/*}"/* "${PGUP_DUMP%/*}"/.[!.]*; do
    if [ -e "$entry" ] && [ "${entry##*/}" != lost+found ]; then empty=false; fi
  done
  tail_of "$BOX/room.err" 3 500
  refuse not_writable "user $(id -u) cannot write there: $TAIL" "\"empty\":$empty"
}

# dump_remove: the directory and all that is in it.
dump_remove() {
  dump_dir
  bytes_of "$PGUP_DUMP"
  rm -rf "$PGUP_DUMP" || refuse not_writable "$PGUP_DUMP cannot be removed"
  event removed "\"bytes\":$BYTES"
  exit 0
}

# dump_hold: stays as long as somebody touches BOX/used, so that the dump can be read through this pod.
dump_hold() {
  dump_dir
  mkdir -p "$BOX"
  [ -r "$PGUP_DUMP/manifest" ] || refuse no_manifest "there is no finished dump in ${PGUP_DUMP##*/}"
  : >"$BOX/used"
  event holding
  while [ -n "$(find "$BOX/used" -mmin -10)" ]; do sleep 2; done
  exit 0
}
