# The data directory of a running server, copied to a claim of its own while an online backup is held open in the server's
# container. The live claim is only read. What changes or vanishes meanwhile is made good by recovery from the label on.
# shellcheck shell=dash disable=SC2034,SC2154

# room: the directories of a copy on an empty claim, whose root belongs to the group alone.
room() {
  : "${DATA:?}"
  mkdir -p "$DATA" "$PGUP_WORK" 2>"$BOX/room.err" || {
    tail_of "$BOX/room.err" 3 500
    refuse not_writable "user $(id -u) cannot write to the new claim: $TAIL"
  }
  event made
}

# handed NAME SECONDS: waits for a file from the client.
handed() {
  handed_left=$(($2 * 5))
  until [ -e "$BOX/$1" ]; do
    handed_left=$((handed_left - 1))
    [ "$handed_left" -gt 0 ] || refuse client_gone "nobody said $1 for $2 s"
    sleep 0.2
  done
}

# paced BYTES: so many more are copied; waits until the rate allows more. Time that storage lost is not caught up.
paced() {
  COPIED=$((COPIED + $1)) PACE=$((PACE + $1))
  clock
  ahead=$((PACE * 1000 / RATE - (NOW - PACE_SINCE)))
  if [ "$ahead" -gt 20 ]; then
    ahead=$((ahead + 1000))
    sleep "$((ahead / 1000 - 1)).${ahead#"${ahead%???}"}"
  elif [ "$ahead" -lt -500 ]; then
    PACE=0 PACE_SINCE=$NOW
  fi
  if [ "$NOW" -ge "$COPY_SAY" ]; then
    COPY_SAY=$((NOW + 2000))
    event copying "\"bytes\":$COPIED,\"total\":$TOTAL"
  fi
}

# unreadable FILE: an error that is none when the file is gone, or the server itself could not read it.
unreadable() {
  if [ ! -e "$1" ] || [ ! -r "$1" ]; then return 0; fi
  tail_of "$BOX/copy.err" 3 500
  refuse copy "$TAIL"
}

# copy_small DIR BYTES FILE...: files of one directory of the source.
copy_small() {
  into=$DATA/$1/ bytes=$2
  shift 2
  [ $# -gt 0 ] || return 0
  if ! cp "$@" "$into" 2>"$BOX/copy.err"; then
    for from in "$@"; do
      cp "$from" "$into" 2>"$BOX/copy.err" || unreadable "$from"
    done
  fi
  paced "$bytes"
}

# copy_large NAME BYTES: in pieces, up to the size that it had when the files were listed.
copy_large() {
  piece=0
  until [ "$((piece * CHUNK))" -ge "$2" ]; do
    if ! dd if="$LIVE/$1" of="$DATA/$1" bs="$CHUNK" count=1 skip="$piece" seek="$piece" conv=notrunc 2>"$BOX/copy.err"; then
      [ "$(stat -c %s "$LIVE/$1" 2>/dev/null || echo 0)" -gt "$((piece * CHUNK))" ] || return 0
      unreadable "$LIVE/$1"
      return 0
    fi
    piece=$((piece + 1))
    paced "$CHUNK"
  done
}

# copy_listed: every "SIZE NAME" of stdin; small files of one directory go together.
copy_listed() {
  set --
  dir='' sum=0
  while read -r size name; do
    # The rest of a name with a newline.
    case $size in '' | *[!0-9]*) continue ;; esac
    if [ "$size" -gt "$CHUNK" ]; then
      copy_large "$name" "$size"
      continue
    fi
    if [ "${name%/*}" != "$dir" ] || [ "$((sum + size))" -gt "$CHUNK" ] || [ $# -ge 200 ]; then
      copy_small "$dir" "$sum" "$@"
      set --
      dir=${name%/*} sum=0
    fi
    set -- "$@" "$LIVE/$name"
    sum=$((sum + size))
  done
  copy_small "$dir" "$sum" "$@"
}

# listing FIND_ARGS...: what find says of the live data directory. Files that vanish meanwhile are none of its errors.
# Left out is what PostgreSQL's documentation tells to leave out of a base backup, and what is not the server's.
listing() {
  find . \( -path './pg_wal/*' -o -path './pg_replslot/*' -o -path './pg_dynshmem/*' -o -path './pg_notify/*' -o -path './pg_serial/*' \
    -o -path './pg_snapshots/*' -o -path './pg_stat_tmp/*' -o -path './pg_subtrans/*' -o -name 'pgsql_tmp*' -o -name lost+found \
    -o -path ./.pg-upgrade \) -prune -o \
    ! -name pg_internal.init ! -name postmaster.pid ! -name postmaster.opts ! -name backup_manifest ! -path ./backup_label \
    ! -path ./tablespace_map ! -path ./global/pg_control "$@" 2>"$BOX/find.err" || :
  if grep -v 'No such file' "$BOX/find.err" >"$BOX/copy.err"; then
    tail_of "$BOX/copy.err" 3 500
    refuse copy "$TAIL"
  fi
}

# copy_control: pg_control comes last, and whole: the server may write it while it is read.
copy_control() {
  tries=20
  until cp "$LIVE/global/pg_control" "$DATA/global/pg_control" && control=$(od -An -v -tx4 "$LIVE/global/pg_control") &&
    [ "$control" = "$(od -An -v -tx4 "$DATA/global/pg_control")" ]; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || refuse copy "pg_control cannot be read whole"
    sleep 0.1
  done
}

# copy_wal FIRST LAST: the segments that recovery reads, and the timelines' histories.
copy_wal() {
  for segment in pg_wal/*; do
    segment=${segment##*/}
    case $segment in
      *.history) ;;
      *[!0-9A-F]*) continue ;;
      ????????????????????????)
        # Hexadecimal digits of one length are in the order of their numbers.
        if expr "x$segment" '<' "x$1" >/dev/null || expr "x$segment" '>' "x$2" >/dev/null; then continue; fi
        ;;
      *) continue ;;
    esac
    stat -c '%s %n' "./pg_wal/$segment" 2>/dev/null || :
  done >"$BOX/wal"
  copy_listed <"$BOX/wal"
  if [ ! -e "$DATA/pg_wal/$1" ] || [ ! -e "$DATA/pg_wal/$2" ]; then
    refuse wal_gone "the server does not keep its write-ahead log from $1 to $2"
  fi
}

copy() {
  : "${RUN:?}" "${DATA:?}" "${PGUP_LIVE:?}" "${PGUP_RATE:?}"
  LIVE=$PGUP_LIVE RATE=$PGUP_RATE
  # A sixteenth of a second's worth keeps the pace even and processes few.
  CHUNK=$((RATE / 16 / 8192 * 8192))
  if [ "$CHUNK" -lt 65536 ]; then CHUNK=65536; elif [ "$CHUNK" -gt 8388608 ]; then CHUNK=8388608; fi
  mkdir -p "$WORK" "$BOX"
  # Half a copy is of no use: the backup that it belonged to is over.
  [ ! -e "$DATA/base" ] || refuse interrupted "this copy was begun before"
  cd "$LIVE" || refuse data_missing "$LIVE is not a directory"
  # The server's own work comes first.
  renice -n 19 -p $$ >/dev/null 2>&1 || :
  ionice -c 3 -p $$ >/dev/null 2>&1 || :
  event waiting
  handed go 14400
  clock
  COPY_BEGAN=$NOW COPIED=0 COPY_SAY=$NOW PACE=0 PACE_SINCE=$NOW TOTAL=0
  # Directories after files: each file finds its own.
  listing -type f -exec stat -c '%s %n' '{}' + >"$BOX/files"
  listing -type l -print >"$BOX/links"
  listing -type d -print >"$BOX/directories"
  while read -r name; do mkdir -p "$DATA/$name"; done <"$BOX/directories"
  while read -r name; do cp -P "$name" "$DATA/$name" 2>"$BOX/copy.err" || unreadable "$name"; done <"$BOX/links"
  while read -r size name; do case $size in '' | *[!0-9]*) ;; *) TOTAL=$((TOTAL + size)) ;; esac; done <"$BOX/files"
  copy_listed <"$BOX/files"
  copy_control
  event data_copied "\"bytes\":$COPIED"
  handed stop 600
  read -r wal_first wal_last <"$BOX/stop"
  copy_wal "$wal_first" "$wal_last"
  sed 1d "$BOX/stop" >"$WORK/backup_label"
  sync -f "$DATA" 2>/dev/null || sync
  clock
  event copied "\"bytes\":$COPIED,\"ms\":$((NOW - COPY_BEGAN))"
  exit 0
}
