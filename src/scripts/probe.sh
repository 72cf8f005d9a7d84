#!/bin/sh
# shellcheck shell=dash
# Main container of the probe pod, NEW image: says what this image and this volume are. With PGUP_READONLY nothing is
# written to the volume; without it one test file at a time, removed at once.
# Env: PGUP_TO, PGUP_DATA, PGUP_PLACE, PGUP_FROM (where /pgo has the old programs), and that of schema.sh.
# The capitals are set by lib.sh.
# shellcheck disable=SC2153
set -u
# shellcheck source=lib.sh disable=SC1091
. "${0%/*}/lib.sh"
# shellcheck source=prepare.sh disable=SC1091
. "${0%/*}/prepare.sh"
# shellcheck source=schema.sh disable=SC1091
. "${0%/*}/schema.sh"
clock_start
trap 'exit 143' TERM INT HUP

bool() { if "$@" 2>/dev/null; then BOOL=true; else BOOL=false; fi; }

target() {
  if ! find_bin "${PGUP_TO:?}" pg_upgrade; then
    # The image may hold another major than its tag says.
    found=''
    for BIN in $(command -v postgres 2>/dev/null) /usr/lib/postgresql/*/bin/postgres /opt/bitnami/postgresql/bin/postgres /usr/local/bin/postgres; do
      if [ -x "$BIN" ] && server_major "${BIN%/*}"; then found=$MINOR; fi
    done
    json "no pg_upgrade of PostgreSQL $PGUP_TO in this image${found:+; it holds $found}"
    event refused "\"reason\":\"new_programs\",\"found\":\"$found\",\"detail\":$JSON"
    exit 3
  fi
  # 17.11 is 170011, as server_version_num.
  case $MINOR in
    *[!0-9.]*) patch=0 ;;
    *) patch=${MINOR#*.} ;;
  esac
  number=$((MAJOR * 10000 + patch))
  libc=glibc libc_version=$(getconf GNU_LIBC_VERSION 2>/dev/null || :)
  libc_version=${libc_version##* }
  if [ -z "$libc_version" ]; then
    for loader in /lib/ld-musl-*.so.1; do
      if [ -x "$loader" ]; then
        libc=musl
        libc_version=$("$loader" 2>&1 | sed -n 's/^Version //p')
      fi
    done
  fi
  name=''
  while IFS=: read -r user _ number_of _; do
    if [ "$number_of" = "$(id -u)" ]; then name=$user; fi
  done </etc/passwd
  bool test -n "$name"
  icu=''
  for loader in /lib64/ld-linux-x86-64.so.2 /lib/ld-linux-aarch64.so.1 /lib/ld-musl-*.so.1; do
    if [ -z "$icu" ] && [ -x "$loader" ]; then
      icu=$("$loader" --list "$BIN/postgres" 2>/dev/null | sed -n 's/.*libicuuc\.so\.\([0-9]*\).*/\1/p' | head -n 1)
    fi
  done
  os=''
  if [ -r /etc/os-release ]; then os=$(sed -n 's/^PRETTY_NAME=//p' /etc/os-release | tr -d '"'); fi
  # Which entrypoint prepares the server, whatever the image is called.
  family=''
  if [ -d /opt/bitnami/scripts ]; then
    family=bitnami
  elif command -v docker-entrypoint.sh >/dev/null 2>&1; then
    family=docker-library
  fi
  json "$os"
  event target "\"version\":\"$MINOR\",\"major\":\"$MAJOR\",\"version_num\":$number,\"libc\":\"$libc\",\"libc_version\":\"$libc_version\",\"glibc\":$([ "$libc" = glibc ] && echo "\"$libc_version\"" || echo null),\"uid\":$(id -u),\"gid\":$(id -g),\"uid_exists\":$BOOL,\"family\":\"$family\",\"bindir\":\"$BIN\",\"arch\":\"$(uname -m)\",\"icu\":\"$icu\",\"os\":$JSON"
}

# list_event NAME MEMBER: words of stdin, one a line, as an array.
list_event() {
  list_name=$1 list_member=$2
  set --
  while IFS= read -r line; do if [ -n "$line" ]; then set -- "$@" "$line"; fi; done
  json_list "$@"
  event "$list_name" "\"$list_member\":$JSON"
}

directories() {
  library='' share=''
  if [ -x "$BIN/pg_config" ]; then
    library=$("$BIN/pg_config" --pkglibdir 2>/dev/null || :)
    share=$("$BIN/pg_config" --sharedir 2>/dev/null || :)
  fi
  for guess in "$BIN/../lib/postgresql" "$BIN/../lib"; do
    if [ ! -d "$library" ] && [ -e "$guess/plpgsql.so" ]; then library=$guess; fi
  done
  for guess in "$BIN/../share/postgresql" "$BIN/../share"; do
    if [ ! -d "$share" ] && [ -e "$guess/postgres.bki" ]; then share=$guess; fi
  done
}

extensions() {
  members=
  for control in "$share"/extension/*.control; do
    [ -e "$control" ] || continue
    extension=${control##*/}
    extension=${extension%.control}
    default=''
    while IFS= read -r line; do
      case $line in
        *default_version*=*)
          trim "${line#*=}"
          default=${TRIM#\'}
          default=${default%%\'*}
          ;;
      esac
    done <"$control"
    # Versions that a script leads to, from scratch or by an update.
    set --
    for script in "$share/extension/$extension"--*.sql; do
      [ -e "$script" ] || continue
      version=${script##*--}
      version=${version%.sql}
      case " $* " in *" $version "*) ;; *) set -- "$@" "$version" ;; esac
    done
    json_list "$@"
    versions=$JSON
    set --
    for script in "$share/extension/$extension"--*--*.sql; do
      [ -e "$script" ] || continue
      step=${script##*/"$extension"--}
      set -- "$@" "${step%.sql}"
    done
    json_list "$@"
    updates=$JSON
    json "$default"
    default=$JSON
    json "$extension"
    members="$members${members:+,}$JSON:{\"default_version\":$default,\"versions\":$versions,\"updates\":$updates}"
  done
  event extensions "\"extensions\":{$members}"
}

libraries() {
  for file in "$library"/*.so; do
    if [ -e "$file" ]; then
      file=${file##*/}
      printf '%s\n' "${file%.so}"
    fi
  done | list_event libraries names
}

# Settings with flags that keep them out of this list exist too, so a name that is missing is not a proof.
settings() {
  "$BIN/postgres" --describe-config 2>/dev/null | cut -f 1 | list_event settings names
}

# try_write DIR: can this uid make and remove a file there?
try_write() {
  [ -d "$1" ] || return 1
  if [ -n "${PGUP_READONLY:-}" ]; then
    [ -w "$1" ]
  else
    # shellcheck disable=SC2188  # an empty file is the point
    (>"$1/.pg-upgrade-probe") 2>/dev/null && rm -f "$1/.pg-upgrade-probe"
  fi
}

try_reflink() {
  REFLINK=null
  [ -z "${PGUP_READONLY:-}" ] && [ -n "$1" ] || return 0
  echo probe >"$1/.pg-upgrade-probe" || return 0
  if cp --reflink=always "$1/.pg-upgrade-probe" "$1/.pg-upgrade-probe2" 2>/tmp/reflink.err; then
    REFLINK=true
  else
    case $(cat /tmp/reflink.err) in
      *nrecognized* | *"invalid option"*) ;;
      *) REFLINK=false ;;
    esac
  fi
  rm -f "$1/.pg-upgrade-probe" "$1/.pg-upgrade-probe2"
}

# RENAME_EXCHANGE is not needed for the moves, it is said for the report.
try_exchange() {
  EXCHANGE=null
  [ -z "${PGUP_READONLY:-}" ] && [ -n "$1" ] || return 0
  mv --help 2>&1 | grep -q -e --exchange || return 0
  mkdir "$1/.pg-upgrade-probe" "$1/.pg-upgrade-probe2" || return 0
  if mv --exchange --no-copy -T "$1/.pg-upgrade-probe" "$1/.pg-upgrade-probe2" 2>/dev/null; then EXCHANGE=true; else EXCHANGE=false; fi
  rmdir "$1/.pg-upgrade-probe" "$1/.pg-upgrade-probe2"
}

control_members() {
  CONTROL_MEMBERS=
  while IFS= read -r line; do
    case $line in *:*) ;; *) continue ;; esac
    trim "${line#*:}"
    json "$TRIM"
    value=$JSON
    json "${line%%:*}"
    CONTROL_MEMBERS="$CONTROL_MEMBERS${CONTROL_MEMBERS:+,}$JSON:$value"
  done <<CONTROL_DATA
$CONTROL
CONTROL_DATA
}

# place_state PATH: sets JSON to what the new cluster's own directory would find there.
place_state() {
  above=${1%/}
  until [ -e "$above" ] || [ -L "$above" ]; do above=${above%/*}; done
  state=free
  if [ ! -d "$above" ] || ! try_write "$above"; then state=closed; fi
  if [ "$above" = "${1%/}" ]; then
    set -- "$above"/* "$above"/.[!.]* "$above"/..?*
    for entry; do
      if [ -e "$entry" ] && [ "${entry##*/}" != PG_VERSION ]; then state=taken; fi
    done
    [ -O "$above" ] || state=foreign
  fi
  json "$state"
}

volume() {
  case $PGUP_DATA in
    /*) data=${PGUP_DATA%/} ;;
    *) data=/vol/$PGUP_DATA ;;
  esac
  if [ ! -d "$data" ]; then
    json "$data"
    event volume "\"data\":$JSON,\"exists\":false"
    return 0
  fi
  parent=${data%/*}
  # The parent of the mount's root is not on the volume.
  if [ "$(stat -c %d "$parent" 2>/dev/null)" != "$(stat -c %d "$data")" ]; then
    BOOL=false
  else
    bool try_write "$parent"
  fi
  writable_parent=$BOOL
  bool try_write "$data"
  writable_data=$BOOL
  place=
  if [ "$writable_parent" = true ]; then
    place=$parent
  elif [ "$writable_data" = true ]; then
    place=$data
  fi
  try_reflink "$place"
  try_exchange "$place"
  version=
  read -r version <"$data/PG_VERSION" 2>/dev/null || :
  fstype=$(stat -f -c %T "$data" 2>/dev/null || echo unknown)
  while read -r _ point type _; do
    case $data/ in
      "$point"/*) fstype=$type ;;
    esac
  done </proc/mounts
  # shellcheck disable=SC2046
  set -- $(stat -f -c '%a %S %d %b %c' "$data")
  free_bytes=$((${1:-0} * ${2:-0})) free_inodes=${3:-0} total_bytes=$((${4:-0} * ${2:-0})) total_inodes=${5:-0}
  kib=$(du -sk "$data" 2>/dev/null || :)
  kib=${kib%%[!0-9]*}
  files=$(find "$data" -type f 2>/dev/null | wc -l)
  bool test -e "$data/postmaster.pid"
  pid_file=$BOOL
  wal=$data/pg_wal
  if [ ! -e "$wal" ] && [ ! -L "$wal" ]; then wal=$data/pg_xlog; fi
  wal_link=null
  if [ -L "$wal" ]; then
    json "$(readlink "$wal")"
    wal_link=$JSON
  fi
  set -- "$wal"/0*
  bool test -e "$1"
  wal_here=$BOOL
  tablespaces=
  for entry in "$data"/pg_tblspc/*; do
    [ -L "$entry" ] || continue
    json "$(readlink "$entry")"
    target_path=$JSON
    bool test -d "$entry/."
    tablespaces="$tablespaces${tablespaces:+,}{\"oid\":\"${entry##*/}\",\"path\":$target_path,\"mounted\":$BOOL}"
  done
  set --
  for entry in "$data"/* "$data"/.[!.]*; do
    if [ -e "$entry" ] || [ -L "$entry" ]; then set -- "$@" "${entry##*/}"; fi
  done
  json_list "$@"
  entries=$JSON
  old_bin=$OLD_BIN
  if [ -z "$old_bin" ] && [ "$PGUP_TO" = "$version" ]; then old_bin=$BIN; fi
  control=null old_version=''
  if [ -n "$old_bin" ] && control_read "$old_bin" "$data"; then
    control_members
    control="{$CONTROL_MEMBERS}"
    if server_major "$old_bin"; then old_version=$MINOR; fi
  fi
  place_seen=null
  if [ -n "${PGUP_PLACE:-}" ]; then
    place_state "$PGUP_PLACE"
    place_seen=$JSON
  fi
  state=null
  if control_state "$data"; then state=$STATE; fi
  bool test -O "$data"
  json "$data"
  event volume "\"data\":$JSON,\"exists\":true,\"owner\":$BOOL,\"uid\":$(stat -c %u "$data"),\"gid\":$(stat -c %g "$data"),\"mode\":\"$(stat -c %a "$data")\",\"writable_parent\":$writable_parent,\"writable_data\":$writable_data,\"place\":$place_seen,\"reflink\":$REFLINK,\"exchange\":$EXCHANGE,\"fstype\":\"$fstype\",\"free_bytes\":$free_bytes,\"total_bytes\":$total_bytes,\"free_inodes\":$free_inodes,\"total_inodes\":$total_inodes,\"data_bytes\":$((${kib:-0} * 1024)),\"data_files\":$files,\"pg_version\":\"$version\",\"old_version\":\"$old_version\",\"postmaster_pid\":$pid_file,\"state\":$state,\"wal_link\":$wal_link,\"wal_here\":$wal_here,\"tablespaces\":[$tablespaces],\"entries\":$entries,\"control\":$control"
}

# old_programs: where the copies of them are, when there is one.
old_programs() {
  OLD_BIN=
  if [ -e "$PGO/complete" ] && [ -e "$PGO/bindir" ]; then
    read -r OLD_BIN <"$PGO/bindir"
    OLD_BIN=$PGO$OLD_BIN
  fi
}

# old_event: they run here, and start a server where one is wanted.
old_event() {
  found='' why=''
  if [ -e "$PGO/refused" ]; then
    read -r why <"$PGO/refused"
  elif [ -z "$OLD_BIN" ]; then
    return 0
  elif ! found=$("$OLD_BIN/postgres" --version 2>&1); then
    why=$found found=''
  elif [ -n "${PGUP_SCHEMA:-}" ]; then
    wait "$scratch_old" "$scratch_new"
    if [ -e "$BOX/old.failed" ]; then why=$(cat "$BOX/old.failed"); fi
  fi
  json "$why"
  why=$JSON
  json "$found"
  event old_programs "\"version\":$JSON,\"failed\":$why"
}

# configuration: the settings in force on the running server, judged by the new one. Names are judged before values, so what it
# complains about is taken out and it is asked again.
configuration() {
  [ -e "$PLAN/in-force.conf" ] || return 0
  mkdir -p "$BOX/conf"
  cp "$PLAN/in-force.conf" "$BOX/conf/postgresql.conf"
  : >"$BOX/conf/postgresql.auto.conf"
  set --
  for _ in 1 2 3 4 5 6; do
    if "$BIN/postgres" -C port -D "$BOX/conf" >/dev/null 2>"$BOX/conf.err"; then break; fi
    while IFS= read -r line; do
      case $line in
        *' contains errors'*) ;;
        *LOG:\ *) set -- "$@" "${line#*LOG:  }" ;;
        *FATAL:\ *) set -- "$@" "${line#*FATAL:  }" ;;
        *HINT:\ *) set -- "$@" "HINT: ${line#*HINT:  }" ;;
      esac
    done <"$BOX/conf.err"
    sed -n 's/.* parameter "\([^"]*\)".*/\1/p' "$BOX/conf.err" >"$BOX/conf.names"
    [ -s "$BOX/conf.names" ] || break
    # Names are in lower case there; the server has its own way with a few.
    tr '[:upper:]' '[:lower:]' <"$BOX/conf.names" | while read -r name; do sed -i "/^$name = /d" "$BOX/conf/postgresql.conf"; done
  done
  json_list "$@"
  event configuration "\"said\":$JSON"
}

target
old_programs
locale -a 2>/dev/null | list_event locales names
directories
scratch_begin
extensions
libraries
settings
configuration
if [ -n "${PGUP_DATA:-}" ]; then volume; fi
old_event
schema
event 'done'
