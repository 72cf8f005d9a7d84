# Whether a dump of --method side-by-side holds what the old server holds now, so that it need not be made again. It may be of
# an earlier run, after which clients went on writing. Behind side.sh, dumped.sh and load.sh.
# shellcheck shell=dash disable=SC2034,SC2154

# counter: the transactions of the old server. A dump has in a file of this name what it said before the first line was read;
# dumps that others make have none.
counter() { ask "$FIRST" 'SELECT pg_catalog.txid_current_snapshot()'; }

# dump_holds_all: sets WHY in words when not.
dump_holds_all() {
  dump_is_whole "$DUMP" || return 1
  # A sequence goes on without a transaction.
  WHY='what was loaded from it differed'
  [ ! -e "$DUMP/differed" ] || return 1
  WHY='it is of another server'
  grep -qF "\"system_identifier\":\"$OLD_SYSTEM\"" "$DUMP/about.json" || return 1
  WHY='another version of pg_dump has made it'
  server_major "$NEW_BIN" && grep -qF "\"by\":\"$MINOR\"" "$DUMP/about.json" || return 1
  WHY='its tablespaces are not those that are asked for'
  [ "${PGUP_NO_TABLESPACES:-}" = "$(cat "$DUMP/no-tablespaces" 2>/dev/null)" ] || return 1
  WHY='it is of other databases'
  for again_oid in $(dumped_databases "$DUMP"); do
    echo "$again_oid $(cat "$DUMP/$again_oid.name")"
  done >"$BOX/dumped-databases"
  ask "$FIRST" "SELECT oid || ' ' || datname FROM pg_catalog.pg_database WHERE datallowconn AND datname <> 'template0' ORDER BY oid" >"$BOX/databases-now"
  cmp -s "$BOX/dumped-databases" "$BOX/databases-now" || return 1
  WHY='the old server may have been written to since'
  nothing_written
}

# nothing_written: every transaction that wrote to the old server since the dump was begun was an ANALYZE, such as autovacuum's.
# None was under way when it was begun, and none is now.
nothing_written() {
  [ -r "$DUMP/counter" ] || return 1
  again_from=$(quiet_at "$(cat "$DUMP/counter")") || return 1
  again_to=$(quiet_at "$(counter)") || return 1
  again_count=$((again_to - again_from))
  [ "$again_count" != 0 ] || return 0
  for content_oid in $(ask "$FIRST" "SELECT oid FROM pg_catalog.pg_database WHERE datallowconn"); do
    content_name=$(ask "$FIRST" "SELECT datname FROM pg_catalog.pg_database WHERE oid = $content_oid")
    # The number in a row is the lower half of a transaction's.
    ask "$content_name" "SELECT DISTINCT n FROM (SELECT (xmin::text::bigint - $again_from % 4294967296 + 4294967296) % 4294967296 AS n FROM pg_catalog.pg_statistic) q WHERE n < $again_count" || return 1
  done >"$BOX/analyzed"
  [ "$(sort -u "$BOX/analyzed" | wc -l)" -eq "$again_count" ]
}

# quiet_at COUNTER: the next transaction's number, when none was under way.
quiet_at() {
  case $1 in "${1%%:*}:${1%%:*}:") echo "${1%%:*}" ;; *) return 1 ;; esac
}
