# shellcheck shell=dash
# Shared by the pod scripts: clock, events, JSON, environment, PostgreSQL's directories and control data.
# Sourced, never run. Works in dash and busybox ash with coreutils or busybox tools.
# Several variables set here are read by the scripts that source this file.
# shellcheck disable=SC2034

umask 077
export LC_ALL=C
# Variables of the image or of a Service link would redirect or break PostgreSQL's programs.
unset PGDATA PGHOST PGHOSTADDR PGPORT PGUSER PGPASSWORD PGPASSFILE PGDATABASE PGSERVICE PGSERVICEFILE PGOPTIONS \
  PGAPPNAME PGSSLMODE PGSSLCERT PGSSLKEY PGSSLROOTCERT PGREQUIRESSL PGREQUIREAUTH PGCHANNELBINDING \
  PGTZ PGDATESTYLE PGGEQO PGCONNECT_TIMEOUT PGTARGETSESSIONATTRS PGSYSCONFDIR PGLOCALEDIR PGREQUIREPEER PGKRBSRVNAME \
  PGGSSENCMODE PGLOADBALANCEHOSTS LD_PRELOAD LD_LIBRARY_PATH CDPATH ENV BASH_ENV 2>/dev/null || :
# Bytes as they are stored, whatever a role or a database is set to: names lead to databases again.
export PGCLIENTENCODING=SQL_ASCII
# Options of every session that a pod of ours begins: time limits of roles and databases are not for it, and what it reads means what
# it says: there is a setting that makes a word of NULL in an array, and one that makes a test for NULL of a comparison.
SESSION='-c client_min_messages=warning -c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 -c array_nulls=on -c transform_null_equals=off'
case ${PGUP_FROM:-} in 1[7-9] | [2-9][0-9]) SESSION="$SESSION -c transaction_timeout=0" ;; esac
# A crash recovery or a shutdown checkpoint may take hours; pg_ctl notices a dead server by itself.
export PGCTLTIMEOUT=604800

SCRIPTS=${0%/*}
PGO=${PGUP_PGO:-/pgo}
BOX=${PGUP_BOX:-/work}
PLAN=${PGUP_PLAN:-/plan}
NL='
'
TAB='	'

# Wall clock in ms without a fork: /proc/uptime ticks in 10 ms, its offset is taken once.
clock_start() {
  CLOCK_BASE=$(date +%s%3N)
  case $CLOCK_BASE in
    *[!0-9]* | ????????????????* | '') CLOCK_BASE=$(date +%s)000 ;;
    ?????????????) ;;
    *) CLOCK_BASE=$(date +%s)000 ;;
  esac
  CLOCK_UP=0
  clock_uptime && CLOCK_BASE=$((CLOCK_BASE - CLOCK_UP))
  clock
}

clock_uptime() {
  read -r CLOCK_UP CLOCK_REST 2>/dev/null </proc/uptime || return 1
  # The leading 1 keeps "08" from being octal.
  CLOCK_UP=$((${CLOCK_UP%.*} * 1000 + 1${CLOCK_UP#*.}0 - 1000))
}

clock() {
  if clock_uptime; then NOW=$((CLOCK_BASE + CLOCK_UP)); else NOW=$(date +%s)000; fi
}

# event NAME [MEMBERS]: one line of JSON on stdout.
event() {
  clock
  printf '{"at":%s,"event":"%s"%s}\n' "$NOW" "$1" "${2:+,$2}"
}

say() { printf '%s\n' "$*" >&2; }

# json VALUE: sets JSON to the value as a JSON string.
json() {
  case $1 in
    *[\"\\]* | *[!\ -~]*)
      JSON=$(printf '%s' "$1" | utf8 | sed -e 's/\\/\\\\/g' -e 's/"/\\"/g' -e "s/$TAB/\\\\t/g" -e '$!s/$/\\n/' | tr -d '\000-\037')
      JSON="\"$JSON\""
      ;;
    *) JSON="\"$1\"" ;;
  esac
}

# Messages of servers with another encoding must not make the line invalid.
utf8() {
  if command -v iconv >/dev/null 2>&1; then iconv -c -f UTF-8 -t UTF-8 2>/dev/null || :; else tr '\200-\377' '?'; fi
}

# json_list WORD...: sets JSON to an array of strings.
json_list() {
  JSON_LIST=
  for json_word in "$@"; do
    json "$json_word"
    JSON_LIST="$JSON_LIST${JSON_LIST:+,}$JSON"
  done
  JSON="[$JSON_LIST]"
}

# trim VALUE: sets TRIM to the value without blanks at both ends.
trim() {
  TRIM=$1
  while :; do
    case $TRIM in
      [\ "$TAB"]*) TRIM=${TRIM#?} ;;
      *[\ "$TAB"]) TRIM=${TRIM%?} ;;
      *) return 0 ;;
    esac
  done
}

# server_major DIR: sets MAJOR, MINOR (the "17.11") of the server program in a directory.
server_major() {
  MINOR=$("$1/postgres" --version 2>/dev/null) || return 1
  MINOR=${MINOR#*PostgreSQL) }
  MINOR=${MINOR%% *}
  case $MINOR in
    9.*) MAJOR=${MINOR%.*} ;;
    *) MAJOR=${MINOR%%[!0-9]*} ;;
  esac
  [ -n "$MAJOR" ]
}

# find_bin MAJOR PROGRAM: sets BIN to the directory that holds this major's programs, or any one's for an empty MAJOR.
find_bin() {
  find_bin_path=$(command -v "$2" 2>/dev/null || :)
  find_bin_config=$(pg_config --bindir 2>/dev/null || :)
  for BIN in "${find_bin_path%/*}" "$find_bin_config" "/usr/lib/postgresql/$1/bin" /opt/bitnami/postgresql/bin \
    /usr/local/bin "/usr/libexec/postgresql$1" "/usr/pgsql-$1/bin" /usr/bin /usr/lib/postgresql/*/bin \
    /opt/*/bin /usr/local/pgsql/bin /usr/local/*/bin; do
    if [ ! -x "$BIN/postgres" ] || [ ! -x "$BIN/$2" ]; then continue; fi
    server_major "$BIN" || continue
    case $1 in "$MAJOR" | '') return 0 ;; esac
  done
  return 1
}

# control_read BINDIR DATADIR: the control data as C_* variables; fails when unreadable or damaged.
control_read() {
  C_VERSION='' C_CATALOG='' C_ID='' C_STATE='' C_WALSEG='' C_CHECKSUMS='' C_WAL_LEVEL='' C_MAX_CONNECTIONS='' \
    C_MAX_WORKERS='' C_MAX_SENDERS='' C_MAX_PREPARED='' C_MAX_LOCKS='' C_TRACK_COMMIT=''
  CONTROL=$("$1/pg_controldata" -D "$2" 2>&1) || return 1
  case $CONTROL in
    *"Calculated CRC checksum does not match"* | *"WARNING"* | *"possible byte ordering mismatch"*) return 1 ;;
  esac
  while IFS= read -r control_line; do
    trim "${control_line#*:}"
    case $control_line in
      "pg_control version number:"*) C_VERSION=$TRIM ;;
      "Catalog version number:"*) C_CATALOG=$TRIM ;;
      "Database system identifier:"*) C_ID=$TRIM ;;
      "Database cluster state:"*) C_STATE=$TRIM ;;
      "Bytes per WAL segment:"*) C_WALSEG=$TRIM ;;
      "Data page checksum version:"*) C_CHECKSUMS=$TRIM ;;
      "wal_level setting:"*) C_WAL_LEVEL=$TRIM ;;
      "max_connections setting:"*) C_MAX_CONNECTIONS=$TRIM ;;
      "max_worker_processes setting:"*) C_MAX_WORKERS=$TRIM ;;
      "max_wal_senders setting:"*) C_MAX_SENDERS=$TRIM ;;
      "max_prepared_xacts setting:"*) C_MAX_PREPARED=$TRIM ;;
      "max_locks_per_xact setting:"*) C_MAX_LOCKS=$TRIM ;;
      "track_commit_timestamp setting:"*) C_TRACK_COMMIT=$TRIM ;;
    esac
  done <<CONTROL_DATA
$CONTROL
CONTROL_DATA
  [ -n "$C_STATE" ] && [ -n "$C_VERSION" ] && [ -n "$C_WALSEG" ]
}

# control_state DATADIR: sets STATE (1 = shut down, 6 = in production) and STATE_VERSION with a single fork.
# The first fields of pg_control have had the same place in every version.
control_state() {
  # shellcheck disable=SC2046
  set -- $(od -An -tu4 -j8 -N12 "$1/global/pg_control" 2>/dev/null)
  STATE_VERSION=${1:-} STATE=${3:-}
  [ -n "$STATE" ]
}

# tail_of FILE LINES CHARS: sets TAIL, short enough for one line of JSON.
tail_of() {
  TAIL=$(tail -n "$2" "$1" 2>/dev/null | tail -c "$3" || :)
}
