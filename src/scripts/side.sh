#!/bin/sh
# The way of --method side-by-side: reads the old server and fills the new one, both over the network, both up.
# PGUP_TASK is look (says what both are, writes nothing) or move (dump, load, compare, statistics).
# PGUP_RUN names the run; PGUP_RUNS has earlier runs into the same server that did not end well. Of each server PGUP_<SIDE>_HOST,
# _PORT and _USER, or files of these names in /login/<side>; the password is always a file there, or with PGUP_NEW_GUEST the pod's own.
# The dump lies in PGUP_DUMP, and stays there with PGUP_DUMP_KEEP.
# The last event is the verdict: ready, refused, failed or analyzed.
# shellcheck shell=dash disable=SC2034,SC2154
set -eu
# shellcheck source=lib.sh disable=SC1091
. "${0%/*}/lib.sh"
# shellcheck source=dumped.sh disable=SC1091
. "${0%/*}/dumped.sh"
# shellcheck source=space.sh disable=SC1091
. "${0%/*}/space.sh"
# shellcheck source=unlisted.sh disable=SC1091
. "${0%/*}/unlisted.sh"
# shellcheck source=load.sh disable=SC1091
. "${0%/*}/load.sh"
# shellcheck source=otherwise.sh disable=SC1091
. "${0%/*}/otherwise.sh"
# shellcheck source=login.sh disable=SC1091
. "${0%/*}/login.sh"
# shellcheck source=target.sh disable=SC1091
. "${0%/*}/target.sh"
# shellcheck source=roles.sh disable=SC1091
. "${0%/*}/roles.sh"
# shellcheck source=weak.sh disable=SC1091
. "${0%/*}/weak.sh"
# shellcheck source=again.sh disable=SC1091
. "${0%/*}/again.sh"
# shellcheck source=guest.sh disable=SC1091
. "${0%/*}/guest.sh"

LOGIN=${PGUP_LOGIN:-/login}
# A passfile only ever lies in memory.
KEYS=${PGUP_KEYS:-/dev/shm}/keys
WORK=$BOX/side DUMP=${PGUP_DUMP:-$BOX/dump}
READ="$SESSION -c default_transaction_read_only=on -c row_security=off $MONEY"
WRITE="$SESSION -c default_transaction_read_only=off -c synchronous_commit=off -c password_encryption=scram-sha-256 $MONEY"

# Both are verdicts: a container that is started again would only say the same.
refuse() {
  json "$2"
  event refused "\"reason\":\"$1\",\"detail\":$JSON"
  exit 0
}

fail() {
  json "$2"
  event failed "\"reason\":\"$1\",\"detail\":$JSON"
  exit 0
}

# word SIDE NAME...: sets W to the first of these that a variable or a file of the login tells.
word() {
  word_side=$1
  shift
  for word_name in "$@"; do
    eval "W=\${PGUP_$(echo "${word_side}_$word_name" | tr '[:lower:]' '[:upper:]')-}"
    [ -z "$W" ] || return 0
    [ ! -r "$LOGIN/$word_side/$word_name" ] || W=$(cat "$LOGIN/$word_side/$word_name")
    [ -z "$W" ] || return 0
  done
}

# login SIDE: sets HOST, PORT, LOGIN_USER, FIRST (a database to connect to) and TLS, and makes the side's passfile.
login() {
  word "$1" host pghost hostname && HOST=$W
  word "$1" port && PORT=${W:-5432}
  word "$1" user username && LOGIN_USER=${W:-postgres}
  word "$1" sslmode && TLS=$W
  word "$1" password && login_password=$W
  case $1 in new) [ -z "${PGUP_NEW_GUEST:-}" ] || LOGIN_USER=$PGUP_NEW_GUEST login_password=$(cat "$GUEST") ;; esac
  [ -n "$HOST" ] || refuse no_host "the Secret of the $1 server has no key host"
  passfile "$KEYS/$1" "$login_password" || refuse password "the password of the $1 server has a newline in it"
  login_password='' W=''
}

logins() {
  rm -rf "$KEYS"
  mkdir -m 0700 "$KEYS"
  # shellcheck disable=SC2031 # load.sh has another one for a single program
  export PGAPPNAME=kubectl-pg-upgrade PGCONNECT_TIMEOUT=10 PGCLIENTENCODING=UTF8
  login old
  OLD_HOST=$HOST OLD_PORT=$PORT OLD_USER=$LOGIN_USER OLD_TLS=$TLS
  [ -z "${PGUP_NEW_GUEST:-}" ] || guest
  login new
  NEW_HOST=$HOST NEW_PORT=$PORT NEW_USER=$LOGIN_USER NEW_TLS=$TLS
  SUPERUSER=$OLD_USER
}

# to_old and to_new DATABASE COMMAND...: with that server in the environment of the command. The old one is only ever read.
to_old() {
  to_database=$1
  shift
  env PGOPTIONS="$READ" PGHOST="$OLD_HOST" PGPORT="$OLD_PORT" PGUSER="$OLD_USER" PGPASSFILE="$KEYS/old" ${OLD_TLS:+"PGSSLMODE=$OLD_TLS"} \
    PGDATABASE="$to_database" "$@"
}

to_new() {
  to_database=$1
  shift
  env PGOPTIONS="$WRITE" PGHOST="$NEW_HOST" PGPORT="$NEW_PORT" PGUSER="$NEW_USER" PGPASSFILE="$KEYS/new" ${NEW_TLS:+"PGSSLMODE=$NEW_TLS"} \
    PGDATABASE="$to_database" "$@"
}

# The dump and the load of load.sh, with these servers.
on_old() {
  on_database=$1 on_program=$2
  shift 2
  case $on_program in
    # So that a role's line can be told from another's.
    pg_dumpall) set -- --quote-all-identifiers "$@" ;;
    # That of a database itself is not pg_restore's to leave out.
    pg_dump) set -- ${PGUP_NO_TABLESPACES:+--no-tablespaces} "$@" ;;
  esac
  to_old "$on_database" "$NEW_BIN/$on_program" -w "$@"
}

on_new() {
  on_database=$1 on_program=$2
  shift 2
  to_new "$on_database" "$NEW_BIN/$on_program" -w "$@"
}

ask() { to_old "$1" "$PSQL" -XAtqw -v ON_ERROR_STOP=1 -c "$2"; }
ask_new() { to_new "$1" "$PSQL" -XAtqw -v ON_ERROR_STOP=1 -c "$2"; }

# reach SIDE DATABASE: waits a little for a server that is just starting; else refuses in the server's words.
reach() {
  reach_until=$(($(date +%s) + ${PGUP_PATIENCE:-30}))
  until "to_$1" "$2" "$PSQL" -XAtqw -c '' >/dev/null 2>"$BOX/reach.err"; do
    case $(cat "$BOX/reach.err") in
      *"does not exist"* | *authentication* | *pg_hba* | *password*) break ;;
    esac
    [ "$(date +%s)" -lt "$reach_until" ] || break
    sleep 1
  done
  "to_$1" "$2" "$PSQL" -XAtqw -c '' >/dev/null 2>"$BOX/reach.err"
}

shut() { refuse "no_$1_server" "the $1 server does not let us in: $(tail -n 3 "$BOX/reach.err")"; }

# observe_side SIDE before|after LEVEL [ARG...]: observe.sh with the server over the network.
observe_side() (
  observe_at=$1
  shift
  if [ "$observe_at" = old ]; then
    PGHOST=$OLD_HOST PGPORT=$OLD_PORT PGUSER=$OLD_USER PGSSLMODE=$OLD_TLS
  else
    PGHOST=$NEW_HOST PGPORT=$NEW_PORT PGUSER=$NEW_USER PGSSLMODE=$NEW_TLS PGUP_WEAK=$WEAK
  fi
  PGPASSFILE=$KEYS/$observe_at
  export PGHOST PGPORT PGUSER PGPASSFILE PGOPTIONS PGDATABASE
  if [ -n "$PGSSLMODE" ]; then export PGSSLMODE; else unset PGSSLMODE; fi
  PGUP_FILTER=leave_out PGUP_AS='' OBSERVED=$observe_at
  # shellcheck source=sql.sh disable=SC1091
  . "$SCRIPTS/sql.sh"
  connect() {
    session_options
    PGUP_WHY=
    try_login || refuse no-login "$PGUP_WHY"
  }
  PGUP_DATABASES=$(printf '%s' "$PGUP_DATABASES" | sed "s/WHERE datallowconn/& AND $OPEN/")
  set -- "$1" "$WORK" "$2" ${3:+"$3"}
  set +eu
  # shellcheck source=observe.sh disable=SC1091
  . "$SCRIPTS/observe.sh"
)

phase() { event phase "\"name\":\"$1\""; }

# carried REASON COMMAND...: the command's words go to a log, whose end is told when it fails.
carried() {
  carried_reason=$1
  shift
  (
    set +e
    "$@"
  ) >"$BOX/carried.log" 2>&1 || {
    tail_of "$BOX/carried.log" 12 1500
    fail "$carried_reason" "$TAIL"
  }
}

take_dump() {
  if [ -z "${PGUP_ONLINE:-}" ] && [ -d "$DUMP" ]; then
    if dump_holds_all; then
      phase 'take the dump of before'
      return 0
    fi
    json "the dump of before is not taken: $WHY"
    event phase "\"name\":$JSON"
  fi
  phase dump
  carried dump make_side_dump
}

make_side_dump() {
  # It may be the root of a volume.
  mkdir -p "$DUMP" && find "$DUMP" -mindepth 1 -delete || return 1
  counter >"$DUMP/counter" || return 1
  echo "${PGUP_NO_TABLESPACES:-}" >"$DUMP/no-tablespaces"
  dump_all || return 1
  seal "$DUMP"
}

move() {
  rm -rf "$WORK"
  mkdir "$WORK"
  # What a load may change is left aside.
  : >"$WORK/loaded"
  list_left
  if [ -n "${PGUP_ONLINE:-}" ]; then
    observe_side old before counts || fail observation "the old server could not be read"
  fi
  take_dump
  # The last look before the first write: the pair may have been changed since the first one.
  look
  judge
  mark
  clear_target
  list_left
  phase load
  carried load load_target
  loaded
  # After the load, so that whatever was written to the old server meanwhile is a difference.
  phase verify
  if [ -z "${PGUP_ONLINE:-}" ]; then
    observe_side old before counts || fail observation "the old server could not be read"
  fi
  observe_side new after counts "writers=${PGUP_ONLINE:+unknown}${PGUP_ONLINE:-no}" >"$BOX/verdict" || {
    cat "$BOX/verdict"
    fail comparison "the new server could not be compared with the old one"
  }
  # What differs is nobody's yet: the mark stays, so that the next run may clear it.
  if [ -z "${PGUP_ONLINE:-}" ] && ! grep -q '"differences" : 0,' "$BOX/verdict"; then
    cat "$BOX/verdict"
    if [ -n "${PGUP_DUMP_KEEP:-}" ]; then : >"$DUMP/differed"; else rm -rf "$DUMP"; fi
    exit 0
  fi
  # Before it is said: clients may write to the new server from then on.
  : >"$BOX/verified"
  sync "$BOX/verified" "$BOX"
  cat "$BOX/verdict"
  [ -n "${PGUP_DUMP_KEEP:-}" ] || rm -rf "$DUMP"
  statistics
}

loaded() {
  if [ -n "${PGUP_DUMP_KEEP:-}" ]; then
    bytes_of "$DUMP"
    event loaded "\"dump\":{\"bytes\":$BYTES,\"sealed\":true}"
  else
    event loaded
  fi
}

# statistics: what follows a comparison that was well.
statistics() {
  unmark
  phase statistics
  ANALYZED=true
  analyze >"$BOX/analyze.log" 2>&1 || ANALYZED=false
  weak_end
  event analyzed "\"analyzed\":$ANALYZED"
}

# go_on: a container that was started again after the comparison; nothing is loaded once more.
go_on() {
  look
  find_bin "$TO" pg_dump || fail programs "the image has no programs of PostgreSQL $TO"
  NEW_BIN=$BIN PSQL=$BIN/psql WEAK=
  [ "$NEW_SUPER" = t ] || WEAK=yes
  loaded
  cat "$BOX/verdict"
  statistics
}

# analyze: what was loaded; databases of the provider's are nobody's to enter.
analyze() {
  if [ -z "$WEAK" ]; then
    to_new "$FIRST_NEW" "$NEW_BIN/vacuumdb" -w --all --analyze-in-stages -j "${PGUP_JOBS:-1}"
    return
  fi
  while IFS= read -r name <&6; do
    to_new "$FIRST_NEW" "$NEW_BIN/vacuumdb" -w -d "$(connection "$name")" --analyze-in-stages -j "${PGUP_JOBS:-1}" || return 1
  done 6<"$BOX/of-source"
}

# ended CODE: whatever no line above has foreseen is told like the rest; only a signal lets the container start again.
ended() {
  [ "$1" = 143 ] || guest_gone
  rm -rf "$KEYS"
  case $1 in 0 | 143) exit "$1" ;; esac
  trap - EXIT
  tail_of "$BOX/errors" 5 1500
  fail unexpected "the script ended with code $1: $TAIL"
}

clock_start
exec 2>>"$BOX/errors"
FIRST=template1 FIRST_NEW=template1
trap 'ended $?' EXIT
trap 'exit 143' TERM INT
# Debian's psql in the PATH is a Perl script, which takes longer than what it is asked.
find_bin '' psql || refuse no_psql "the image has no psql"
PSQL=$BIN/psql
logins
reach old "$FIRST" || shut old
[ -z "${PGUP_NEW_GUEST:-}" ] || admitted
# A load that was killed may have left it without one of them.
reach new "$FIRST_NEW" || { FIRST_NEW=postgres && reach new "$FIRST_NEW"; } || shut new
if [ "${PGUP_TASK:-look}" = move ] && [ -e "$BOX/verified" ]; then
  go_on
  exit 0
fi
look
if [ "${PGUP_TASK:-look}" = look ]; then
  judge
  ready
  exit 0
fi
judge
move
