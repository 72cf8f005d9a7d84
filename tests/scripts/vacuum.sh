#!/bin/bash
# vacuum.sh against real servers after a real pg_upgrade between releases with different C libraries.
# shellcheck disable=SC2016  # statements and names that are not for this shell
# shellcheck source=tests/scripts/lab.sh
. "$(dirname "${BASH_SOURCE[0]}")/lab.sh"
lab_enter "$@"
set -u

weird="we ird=db 'x' \"q\" \\ \$(touch /tmp/owned)"
mkdir -p "$LAB/vol/run"
chown 999:999 "$LAB/vol/run"
install -m 644 -t "$LAB/vol" "$repository/tests/scripts/roles.sql" "$repository/tests/scripts/rich.sql"
run() { script "${USER_ID:-999}" "$@" 2>> "$LAB/vol/messages"; }
libc() { as 999 "$1" getconf GNU_LIBC_VERSION; }

# vacuum NEW OLD [skip=...]: the whole work, followed to its end; the lines in $LAB/last.
vacuum() {
  local new=$1 old=$2
  shift 2
  run "$new" vacuum.sh start /vol/run 2 "$old" "$(libc "$old")" "$(libc "$new")" "$@" > "$LAB/start"
  run "$new" vacuum.sh follow /vol/run "$(offset)" > "$LAB/last"
}
offset() { sed -n 's/.*"offset":\([0-9]*\).*/\1/p' "$LAB/start"; }
# told WORD...: a line with all of them.
told() {
  local lines word
  lines=$(grep -F -- "$1" "$LAB/last") || return 1
  for word in "${@:2}"; do lines=$(grep -F -- "$word" <<< "$lines") || return 1; done
}
not() { ! "$@"; }
same() { [[ $1 == "$2" ]] || { echo "  expected '$2', got '$1'"; return 1; }; }
files() { sql "$1" "$2" -c "SELECT c.oid::regclass::text || ' ' || pg_relation_filenode(c.oid) FROM pg_class c WHERE relkind = 'i' AND c.oid >= 16384 AND relnamespace = 'shop'::regnamespace ORDER BY c.oid::regclass::text"; }
file() { sed -n "s/^shop\.$2 //p" "$LAB/$1"; }

more_sql="
CREATE FUNCTION helper(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower(\$1)';
CREATE FUNCTION viapath(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN helper(\$1); END';
CREATE TABLE fragile (t text);
INSERT INTO fragile SELECT g FROM generate_series(1, 100) g;
CREATE INDEX fragile_index ON fragile (viapath(t));
CREATE TABLE shop.by_text (t text) PARTITION BY RANGE (t);
CREATE TABLE shop.by_text_1 PARTITION OF shop.by_text FOR VALUES FROM ('a') TO ('n');
CREATE TABLE shop.with_check (t text CHECK (t < 'x'), u text, n int);
CREATE INDEX only_condition ON shop.with_check (n) WHERE u < 'm';
CREATE INDEX only_expression ON shop.with_check ((u < 'm'));
CREATE INDEX c_collation ON shop.with_check (u COLLATE \"C\");
CREATE TABLE shop.excludes (t text, EXCLUDE USING btree (t WITH =));
CREATE TYPE shop.text_span AS RANGE (subtype = text);
CREATE TABLE shop.inner_texts (r shop.text_span, p shop.pair, j jsonb);
CREATE INDEX inner_range ON shop.inner_texts USING gist (r);
CREATE INDEX inner_pair ON shop.inner_texts (p);
CREATE INDEX inner_json ON shop.inner_texts (j);
CREATE EXTENSION nopath;"

# An extension that the new server has only without a way from the old version.
for major in 13 17 18; do
  at=$(root "$major")/usr/share/postgresql/$major/extension
  version=$((major > 13 ? 2 : 1)).0
  printf "default_version = '%s'\nrelocatable = true\n" "$version" > "$at/nopath.control"
  echo 'CREATE FUNCTION nopath() RETURNS int LANGUAGE sql AS $$SELECT 1$$;' > "$at/nopath--$version.sql"
done

new_cluster 13 /vol/old
start 13 /vol/old -c max_locks_per_transaction=256
sql 13 postgres -f /vol/roles.sql > /dev/null 2>&1
for database in postgres "$weird"; do
  sql 13 "$database" -f /vol/rich.sql > /dev/null 2>&1
  sql 13 "$database" -c "$more_sql" > /dev/null
done
run 13 observe.sh before /vol/run quick > /dev/null
stop 13 /vol/old
upgrade 13 17 /vol/old /vol/new-17 || exit
start 17 /vol/new-17

# --- a start that is killed, twice -----------------------------------------------------------------------

files 17 postgres > "$LAB/files-before"
sql 17 postgres -c 'BEGIN' -c 'LOCK TABLE shop.by_hash_0' -c 'SELECT pg_sleep(600)' &
blocker=$!
sleep 0.5
run 17 vacuum.sh start /vol/run 2 13 "$(libc 13)" "$(libc 17)" > "$LAB/start"
check 'the work is started' grep -q '"event":"started","pid":[0-9]' "$LAB/start"
worker=$(sed -n 's/.*"pid":\([0-9]*\).*/\1/p' "$LAB/start")
run 17 vacuum.sh start /vol/run 2 13 "$(libc 13)" "$(libc 17)" > "$LAB/again"
check 'a second start attaches to it' grep -q "\"event\":\"attached\",\"pid\":$worker,\"offset\":0" "$LAB/again"
for _ in {1..100}; do grep -q '"stage":"minimal","database":"postgres"' "$LAB/vol/run/vacuum.jsonl" && break; sleep 0.1; done
sleep 1
run 17 vacuum.sh status /vol/run > "$LAB/last"
check 'the status is that it works' told '"state":"working"'
kill -9 "$worker"
sleep 0.5
run 17 vacuum.sh status /vol/run > "$LAB/last"
check 'after a kill the status is that it is gone' told '"state":"gone"'
run 17 vacuum.sh follow /vol/run 0 > "$LAB/last"
check 'who follows is told so' told '"event":"gone"'
sql 17 postgres -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'" > /dev/null
wait "$blocker" 2> /dev/null
for _ in {1..50}; do pgrep -f 'vacuum.sh start' > /dev/null || break; sleep 0.1; done
sleep 1
check 'work that lost the process it belongs to ends too' not grep -q '"event":"done"' "$LAB/vol/run/vacuum.jsonl"

# Now in the middle of a REINDEX CONCURRENTLY, which leaves an invalid index behind.
sql 17 postgres -c 'BEGIN ISOLATION LEVEL REPEATABLE READ' -c 'SELECT count(*) FROM shop.cache' -c 'SELECT pg_sleep(600)' > /dev/null 2>&1 &
blocker=$!
# Its snapshot has to be the older one.
for _ in {1..100}; do [[ $(sql 17 postgres -c "SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)'") == 0 ]] || break; sleep 0.1; done
run 17 vacuum.sh start /vol/run 2 13 "$(libc 13)" "$(libc 17)" > "$LAB/start"
worker=$(sed -n 's/.*"pid":\([0-9]*\).*/\1/p' "$LAB/start")
for _ in {1..600}; do [[ $(sql 17 postgres -c "SELECT count(*) FROM pg_stat_progress_create_index WHERE phase = 'waiting for old snapshots'") == 0 ]] || break; sleep 0.1; done
# shellcheck disable=SC2046  # this time all of its processes
kill -9 "$worker" $(pgrep -P "$worker") $(pgrep -P "$(pgrep -d, -P "$worker")")
# The REINDEX before what it waits for: else it may come to its end.
sql 17 postgres -c "SELECT pg_terminate_backend(pid) FROM pg_stat_progress_create_index" > /dev/null
for _ in {1..100}; do [[ $(sql 17 postgres -c "SELECT count(*) FROM pg_stat_progress_create_index") != 0 ]] || break; sleep 0.1; done
sql 17 postgres -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'" > /dev/null
wait "$blocker" 2> /dev/null
check 'a killed REINDEX leaves an invalid index' same "$(sql 17 postgres -c "SELECT count(*) > 0 FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE NOT indisvalid AND relname LIKE '%\_ccnew'")" t

# --- to the end -----------------------------------------------------------------------------------------

vacuum 17 13
check 'it comes to its end' told '"event":"done"'
check 'the invalid index is gone' same "$(sql 17 postgres -c "SELECT count(*) FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE NOT indisvalid AND relname ~ '_cc(new|old)'")" 0
for database in postgres "$weird"; do
  check "extensions are updated" same "$(sql 17 "$database" -c "SELECT count(*) FROM pg_extension JOIN pg_available_extensions ON name = extname WHERE extversion <> default_version AND extname <> 'nopath'")" 0
  check 'a partitioned parent has statistics of its whole tree' same "$(sql 17 "$database" -c "SELECT count(*) > 0 FROM pg_statistic WHERE stainherit AND starelid = 'shop.event'::regclass")" t
  check 'every table but the fragile one has statistics' same "$(sql 17 "$database" -c "SELECT coalesce(string_agg(c.oid::regclass::text, ' '), '') FROM pg_class c WHERE relkind IN ('r', 'm') AND reltuples > 0 AND NOT EXISTS (SELECT FROM pg_statistic WHERE starelid = c.oid) AND c.oid >= 16384")" ''
  check 'statistics are those of the full target' same "$(sql 17 "$database" -c "SELECT array_length(histogram_bounds::text::text[], 1) > 90 FROM pg_stats WHERE tablename = 'customer' AND attname = 'id'")" t
done
check 'an extension without a way is told, with what to do' grep -q '"event":"problem","kind":"extension","database":"postgres","object" : "nopath".*DROP EXTENSION nopath' "$LAB/vol/run/vacuum.jsonl"
check 'a table that cannot be analyzed is told' told '"kind":"table"' 'public.fragile' 'helper'
check 'its index that cannot be rebuilt is told' told '"kind":"index"' 'public.fragile_index'
check 'a partition key by range of text is told' told '"kind":"partition"' shop.by_text
check 'a CHECK that compares texts is told' told '"kind":"check"' shop.with_check
check 'a CHECK of a length is not' not told '"kind":"check"' shop.customer
files 17 postgres > "$LAB/files-after"
for index in customer_name_trgm cache_pkey event_2024_other_pkey customer_lower customer_mail_key only_condition only_expression excludes_t_excl inner_range inner_pair inner_json; do
  check "$index is rebuilt" not same "$(file files-after $index)" "$(file files-before $index)" > "$LAB/out"
  grep -v '^  ' "$LAB/out"
done
for index in customer_pkey customer_doc customer_hash customer_brin by_hash_0_pkey c_collation order_room_during_excl; do
  check "$index is left alone" same "$(file files-after $index)" "$(file files-before $index)"
done
check 'collations of the user have the new version' same "$(sql 17 postgres -c "SELECT count(*) FROM pg_collation WHERE collversion <> pg_collation_actual_version(oid)")" 0
check 'databases in the C locale have nothing to rebuild' not told '"stage":"indexes","database":"latin"'
check 'nothing was run out of a name' test ! -e "$(root 17)/tmp/owned"

vacuum 17 13
check 'typed again it comes to its end' told '"event":"done"'
files 17 postgres > "$LAB/files-again"
check 'and rebuilds nothing twice' cmp -s "$LAB/files-after" "$LAB/files-again"
check 'and analyzes nothing but what had a problem' not told '"stage":"full","database":"latin"'
for database in postgres "$weird"; do sql 17 "$database" -c 'DROP TABLE fragile CASCADE' -c 'DROP EXTENSION nopath' > /dev/null; done
USER_ID=0 vacuum 17 13
check 'the cured problems are gone, by root too' not told '"kind":"table"'
stop 17 /vol/new-17

# --- 15 to 18: the database records the version itself, and 18 brings statistics along ---------------------

rm -rf "$LAB"/vol/{old,new-17,run}
mkdir -p "$LAB/vol/run"
chown 999:999 "$LAB/vol/run"
new_cluster 15 /vol/old
start 15 /vol/old -c max_locks_per_transaction=256
sql 15 postgres -f /vol/roles.sql > /dev/null 2>&1
for database in postgres "$weird"; do
  sql 15 "$database" -f /vol/rich.sql > /dev/null 2>&1
  sql 15 "$database" -c ANALYZE
done
run 15 observe.sh before /vol/run quick > /dev/null
stop 15 /vol/old
upgrade 15 18 /vol/old /vol/new-18 || exit
start 18 /vol/new-18
vacuum 18 15
check '15 to 18 comes to its end' told '"event":"done"'
check 'good statistics are not replaced by poor ones' not told '"stage":"minimal","database":"postgres","objects":[0-9][0-9][0-9]'
check 'every database has the new version, templates too' same "$(sql 18 postgres -c "SELECT count(*) FROM pg_database WHERE datallowconn AND datcollversion <> pg_database_collation_actual_version(oid)" 2> /dev/null)" 0
check 'every collation has the new version' same "$(sql 18 "$weird" -c "SELECT count(*) FROM pg_collation WHERE collversion <> pg_collation_actual_version(oid)" 2> /dev/null)" 0
check 'a partitioned parent has statistics in 18' same "$(sql 18 postgres -c "SELECT count(*) > 0 FROM pg_statistic WHERE stainherit AND starelid = 'shop.event'::regclass")" t
check 'extended statistics are made' same "$(sql 18 postgres -c 'SELECT count(*) > 0 FROM pg_statistic_ext_data')" t
check 'a database can be created again' sql 18 postgres -c 'CREATE DATABASE made_again'

# The same from the beginning with the tools of Alpine's images.
rm -f "$LAB"/vol/run/vacuum.*
busybox 18
LAB_PATH=/busybox:
vacuum 18 15
check 'with the tools of busybox it comes to its end' told '"event":"done"' '"analyzed":'
check 'and has no problem that it has not told before' not grep -q '"kind":"database"' "$LAB/last"
stop 18 /vol/new-18
lab_end
