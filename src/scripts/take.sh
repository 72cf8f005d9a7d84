#!/bin/sh
# A pod beside a running server, of the server's own image: dumps it over the network to the claim at PGUP_DUMP, proves the
# dump whole and seals it. The server is only read. The login is PGUP_OLD_USER or /login/old/user, and /login/old/password.
# The last event is the verdict: taken or failed. A container that is started again begins anew.
# shellcheck shell=dash disable=SC2034,SC2154
set -eu
# shellcheck source=lib.sh disable=SC1091
. "${0%/*}/lib.sh"
# shellcheck source=dumped.sh disable=SC1091
. "${0%/*}/dumped.sh"
# shellcheck source=unlisted.sh disable=SC1091
. "${0%/*}/unlisted.sh"
# shellcheck source=load.sh disable=SC1091
. "${0%/*}/load.sh"
# shellcheck source=login.sh disable=SC1091
. "${0%/*}/login.sh"
# shellcheck source=space.sh disable=SC1091
. "${0%/*}/space.sh"
clock_start
DUMP=${PGUP_DUMP:?} LOGIN=${PGUP_LOGIN:-/login}/old
# A passfile only ever lies in memory.
KEYS=${PGUP_KEYS:-/dev/shm}/keys

failed() {
  json "$2"
  event failed "\"reason\":\"$1\",\"detail\":$JSON"
  exit 0
}

login() {
  SUPERUSER=${PGUP_OLD_USER:-}
  [ ! -r "$LOGIN/user" ] || SUPERUSER=$(cat "$LOGIN/user")
  SUPERUSER=${SUPERUSER:-postgres}
  password=
  [ ! -r "$LOGIN/password" ] || password=$(cat "$LOGIN/password")
  passfile "$KEYS" "$password" || failed password "the password has a newline in it"
  password=
}

# In place of load.sh's: the running server, over the network.
on_old() {
  on_database=$1 on_program=$2
  shift 2
  env PGOPTIONS="$SESSION -c default_transaction_read_only=on -c row_security=off $MONEY" \
    PGAPPNAME=kubectl-pg-upgrade PGCONNECT_TIMEOUT=10 PGHOST="$PGUP_HOST" PGPORT="$PGUP_PORT" PGUSER="$SUPERUSER" PGPASSFILE="$KEYS" \
    PGDATABASE="$on_database" "$NEW_BIN/$on_program" -w "$@"
}

taken() {
  bytes_of "$DUMP"
  event taken "\"bytes\":$BYTES"
  exit 0
}

: "${PGUP_HOST:?}" "${PGUP_PORT:?}" "${PGUP_FROM:?}"
mkdir -p "$BOX/run"
if dump_is_whole "$DUMP"; then taken; fi
find_bin "$PGUP_FROM" pg_dump || failed programs "this image has no pg_dump of PostgreSQL $PGUP_FROM"
NEW_BIN=$BIN
login
ask template1 'SELECT 1' >/dev/null 2>"$BOX/login.err" || failed no_login "$(tail -n 3 "$BOX/login.err")"
rm -rf "$DUMP"
mkdir "$DUMP" || failed not_writable "$DUMP cannot be made"
event taking
rm -f "$BOX/done"
{ dump_all && echo 'Writing the checksums ...' && seal "$DUMP" && : >"$BOX/done"; } 2>&1 | while IFS= read -r line; do
  printf '%s\n' "$line" >>"$BOX/take.log"
  case $line in
    *' ok' | *' ...')
      trim "${line% *}"
      json "$TRIM"
      event phase "\"name\":$JSON"
      ;;
  esac
done
if [ -e "$BOX/done" ]; then taken; fi
tail_of "$BOX/take.log" 8 1500
rm -rf "$DUMP"
failed dump "$TAIL"
