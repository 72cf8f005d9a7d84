#!/bin/bash
# A client that inserts one row every 50 ms through the Service, on one connection, and connects again when it is lost.
# Each attempt has an id of its own. /log/acknowledged gets a line for each insert that the server has confirmed:
# unix time in milliseconds, id. Environment: PGHOST, PGUSER, PGPASSWORD, PGDATABASE.
trap '' PIPE
export PGCONNECT_TIMEOUT=2
until psql -XAtqc 'CREATE TABLE IF NOT EXISTS writes (id bigint PRIMARY KEY, at timestamptz DEFAULT clock_timestamp())'; do sleep 0.5; done

connect() {
  [[ -z ${PSQL_PID-} ]] || kill "$PSQL_PID" 2>/dev/null
  coproc PSQL { exec psql -XAtq 2>/dev/null; }
}

insert() {
  local answer
  [[ -n ${PSQL[1]-} ]] || return 1
  printf 'INSERT INTO writes (id) VALUES (%d) RETURNING id;\n' "$1" >&"${PSQL[1]}" || return 1
  read -r -t 3 answer <&"${PSQL[0]}" && [[ $answer == "$1" ]]
} 2>/dev/null

connect 2>/dev/null
id=0
while :; do
  id=$((id + 1))
  if insert $id; then
    now=${EPOCHREALTIME/[.,]/}
    echo "${now%???} $id" >>/log/acknowledged
  else
    connect 2>/dev/null
  fi
  sleep 0.05
done
