#!/bin/bash
# observe.sh against real servers: nothing to say about a healthy upgrade of a rich schema, and every loss found.
# shellcheck disable=SC2016  # statements and names that are not for this shell
# shellcheck source=tests/scripts/lab.sh
. "$(dirname "${BASH_SOURCE[0]}")/lab.sh"
lab_enter "$@"
set -u

weird="we ird=db 'x' \"q\" \\ \$(touch /tmp/owned)"
mkdir -p "$LAB/vol/run"
chown 999:999 "$LAB/vol/run"
install -m 644 -t "$LAB/vol" "$repository/tests/scripts/roles.sql" "$repository/tests/scripts/rich.sql"

seed() {
  local major=$1
  sql "$major" postgres -f /vol/roles.sql > /dev/null
  sql "$major" postgres -f /vol/rich.sql > /dev/null
  sql "$major" "$weird" -f /vol/rich.sql > /dev/null
  as 999 "$major" psql -X -q -U postgres -d postgres -c 'CREATE UNIQUE INDEX CONCURRENTLY doubled_unique ON shop.doubled (a)' > /dev/null 2>&1
  sql "$major" latin <<'SQL'
SET client_encoding = 'UTF8';
CREATE TABLE "größe" ("größe" text);
INSERT INTO "größe" VALUES ('ä');
CREATE SEQUENCE "zähler";
SQL
  # Bytes that are no UTF-8.
  printf 'CREATE TABLE "\xe4\xff\\x" (a int); INSERT INTO "\xe4\xff\\x" VALUES (1); CREATE SEQUENCE "\xe4s";' | sql "$major" bytes
  sql "$major" postgres -c CHECKPOINT
}

# overlapping MAJOR: the scripts of a killed client and of the one that goes on are at work together.
overlapping() {
  local pause first
  for pause in 0.02 0.1 0.2 0.3 0.4; do
    observed "$1" observe.sh before /vol/run auto > "$LAB/first" &
    first=$!
    sleep "$pause"
    observed "$1" observe.sh before /vol/run auto > "$LAB/second"
    wait "$first"
    digest=$(sha256sum < "$LAB/vol/run/observed-before")
    check "of two observations $pause s apart one is kept whole" grep -q "\"sha256\":\"${digest%% *}\"" "$LAB/first" "$LAB/second"
    verified "$1" observe.sh after /vol/run auto writers=no "${digest%% *}" > /dev/null
    check "and the server is equal to it" no_difference
  done
}

# healthy OLD NEW: a whole upgrade without one difference; leaves the new server running.
healthy() {
  local old=$1 new=$2
  new_cluster "$old" "/vol/old-$old" || return 1
  start "$old" "/vol/old-$old" -c max_locks_per_transaction=256 -c wal_level=logical
  seed "$old"
  observed "$old" observe.sh before /vol/run auto | tee "$LAB/before"
  check "$old is observed, and auto counts rows of so little" grep -q '"event":"observed","level":"counts"' "$LAB/before"
  USER_ID=0 verified "$old" observe.sh after /vol/run auto writers=no
  check "$old is equal to itself, seen by root" no_difference
  overlapping "$old"
  check "nothing was run out of a name" test ! -e "$(root "$old")/tmp/owned"
  check "no secret is in the observation" sh -c '! grep -q canary "$1"' sh "$LAB/vol/run/observed-before"
  check "the observation is ASCII" sh -c '! LC_ALL=C grep -q "[^ -~]" "$1"' sh "$LAB/vol/run/observed-before"
  if [[ ${writers-} == yes ]]; then
    "during_$old"
    stop "$old" "/vol/old-$old"
    cp -a "$LAB/vol/old-$old" "$LAB/vol/again"
    upgrade "$old" "$new" "/vol/old-$old" "/vol/new-$new" || return 1
    start "$new" "/vol/new-$new"
    verified "$new" observe.sh after /vol/run quick
    check "$old to $new has no difference at the quick level, with writers at work" no_difference
    verified "$new" observe.sh after /vol/run quick writers=no > /dev/null
    check 'the same is told when nobody should have written' finds missing table shop.doubled
    stop "$new" "/vol/new-$new"
    rm -rf "$LAB/vol/new-$new" "$LAB/vol/old-$old"
    mv "$LAB/vol/again" "$LAB/vol/old-$old"
    start "$old" "/vol/old-$old" -c max_locks_per_transaction=256 -c wal_level=logical
    observed "$old" observe.sh before /vol/run auto > /dev/null
  fi
  stop "$old" "/vol/old-$old"
  upgrade "$old" "$new" "/vol/old-$old" "/vol/new-$new" || return 1
  start "$new" "/vol/new-$new"
  verified "$new" observe.sh after /vol/run auto writers=no
  check "$old to $new has no difference" no_difference
  check "$old to $new counted rows and measured sizes" grep -q '"level" : "counts".*"sizes" : true.*"rows" : [1-9]' "$LAB/last"
  verified "$new" observe.sh after /vol/run quick
  check "$old to $new has no difference at the quick level, with writers" no_difference
}

# --- a healthy upgrade, then every loss -------------------------------------------------------------------

healthy 13 17 || exit
cp "$LAB/vol/run/observed-before" "$LAB/vol/run/sizes" "$LAB"
sql 17 postgres > /dev/null <<'SQL'
DELETE FROM shop.customer WHERE id = (SELECT max(id) FROM shop.customer);
DROP TABLE shop.cache;
TRUNCATE shop.by_hash_0;
SELECT setval('shop.moved', 5), nextval('shop.untouched'), nextval('shop.set_back');
DROP INDEX shop.customer_lower;
DROP EXTENSION pg_stat_statements;
DROP FUNCTION shop.touch(int) CASCADE;
ALTER TABLE shop."order" ALTER room TYPE bigint;
ALTER TABLE shop.customer ENABLE TRIGGER off;
DROP POLICY "own rows" ON shop.customer;
REVOKE SELECT ON shop.customer FROM reader;
ALTER TABLE shop."order" OWNER TO boss;
ALTER TYPE shop.mood ADD VALUE 'more';
DROP EVENT TRIGGER "watch it";
DROP PUBLICATION everything;
ALTER SUBSCRIPTION sub SET (slot_name = NONE);
DROP SUBSCRIPTION sub;
DROP STATISTICS shop.customer_stats;
DROP VIEW shop.sessions;
DROP SERVER "far 'away'" CASCADE;
SELECT lo_unlink(min(oid)) FROM pg_largeobject_metadata;
ALTER DATABASE latin RESET work_mem;
ALTER ROLE reader NOINHERIT;
ALTER ROLE "Owner O'Neil" PASSWORD NULL;
REVOKE boss FROM "Owner O'Neil";
DROP DATABASE bytes;
CREATE TABLE shop.unexpected ();
CREATE ROLE intruder;
SQL
sql 17 "$weird" -c 'DROP OWNED BY "we ird $(id) \ ""r"""' -c 'DROP TABLE "s p=a\ce $(touch /tmp/owned) ""q"" '"'x'"'"."new
line	tab"' > /dev/null
sql 17 latin -c "SET client_encoding = 'UTF8'" -c 'DROP TABLE "größe"' -c 'DROP ROLE "we ird $(id) \ ""r"""' > /dev/null
# A page lost at the end of a file, which no query notices.
lost=$(sql 17 "$weird" -c "SELECT pg_relation_filepath('shop.customer')")
verified 17 observe.sh after /vol/run counts writers=no > /dev/null
check 'a row deleted is found' finds '"rows"' shop.customer '"rows": 2000' '"rows": 1999'
check 'a table dropped is found' finds missing '"table"' shop.cache
check 'a table truncated is found by its rows' finds '"rows"' shop.by_hash_0
check 'a table truncated is found by its size' finds '"size"' shop.by_hash_0
check 'a sequence set back is found' finds 'sequence value' shop.moved '"last": 8' '"last": 5'
check 'a sequence moved on is found' finds 'sequence value' shop.untouched
check 'a sequence that loses is_called is found' finds 'sequence value' shop.set_back
check 'an index dropped is found' finds missing '"index"' customer_lower
check 'an extension dropped is found' finds missing extension pg_stat_statements
check 'a function dropped is found' finds routines shop
check 'a changed column is found' finds changed shop.order digest
check 'a trigger enabled is found' finds changed shop.customer triggers
check 'a policy dropped is found' finds changed shop.customer policies
check 'a privilege revoked is found' finds changed shop.customer grants
check 'another owner is found' finds changed shop.order owner
check 'an enum value more is found' finds enum shop.mood
check 'an event trigger dropped is found' finds missing 'event trigger' 'watch it'
check 'a publication dropped is found' finds missing publication everything
check 'a subscription dropped is found' finds missing subscription sub
check 'extended statistics dropped are found' finds missing statistics customer_stats
check 'a view dropped is found' finds missing view shop.sessions
check 'a foreign table dropped is found' finds missing 'foreign table' shop.remote
check 'a large object removed is found' finds 'large objects' '"count": 25' '"count": 24'
check 'a setting of a database reset is found' finds changed database latin settings
check 'an attribute of a role is found' finds changed role reader '"inherit": true'
check 'a lost password is found' finds changed role "Owner O'Neil" '"password": "scram"' '"password": "none"'
check 'a membership revoked is found' finds missing membership "Owner O'Neil in boss"
check 'a database dropped is found, once' test "$(grep -c '"database" : "bytes"\|"object" : "bytes"' "$LAB/last")" = 1
check 'a role dropped is found' finds missing role 'we ird $(id)'
check 'a table with a new line in its name is found' finds missing table "'x'.new\\nline\\ttab"
check 'a name in another encoding is told in UTF-8 bytes' finds missing table latin 'gr\\303\\266\\303\\237e'
check 'a table too much is found' finds appeared table shop.unexpected
check 'a role too much is found' finds appeared role intruder
check 'no more than 50 differences are told one by one' test "$(grep -c '"difference"' "$LAB/last")" -le 50

verified 17 observe.sh after /vol/run quick > /dev/null
check 'with writers, a table dropped is still found' finds missing '"table"' shop.cache
check 'with writers, a truncated table is still found' finds '"size"' shop.by_hash_0
check 'with writers, a sequence set back is still found' finds 'sequence value' shop.moved
check 'with writers, a sequence that moved on is no difference' sh -c "! grep -q shop.untouched '$LAB/last'"
check 'with writers, a new table is no difference' sh -c "! grep -q shop.unexpected '$LAB/last'"
stop 17 /vol/new-17

truncate -s -8192 "$LAB/vol/new-17/$lost"
start 17 /vol/new-17
verified 17 observe.sh after /vol/run quick > /dev/null
check 'a page lost at the end of a file is found by the quick level' finds '"size"' shop.customer
stop 17 /vol/new-17

new_cluster 17 /vol/empty
start 17 /vol/empty
verified 17 observe.sh after /vol/run auto > /dev/null
check 'an empty cluster is never mistaken for the upgraded one' finds missing database latin
check 'its roles are missing' finds missing role boss
check 'its tables are missing' finds missing table shop.customer
stop 17 /vol/empty

start 17 /vol/empty
head -c 20000 "$LAB/observed-before" > "$LAB/vol/run/observed-before"
observed 17 observe.sh after /vol/run auto > "$LAB/last"
check 'an observation that was cut off is refused' grep -q '"event":"failed","reason":"incomplete"' "$LAB/last"
cp "$LAB/observed-before" "$LAB/vol/run/observed-before"
observed 17 observe.sh after /vol/run auto writers=no 0000 > "$LAB/last"
check 'an observation that is not the one of the record is refused' grep -q '"event":"failed","reason":"changed"' "$LAB/last"
rm "$LAB/vol/run/observed-before"
observed 17 observe.sh after /vol/run auto > "$LAB/last"
check 'a missing observation is refused' grep -q '"event":"failed","reason":"nothing-observed"' "$LAB/last"
stop 17 /vol/empty
rm -rf "$LAB"/vol/{empty,old-13,new-17,run/sizes}

# --- writers between the observation and the stop -----------------------------------------------------------

during_17() {
  sql 17 postgres > /dev/null <<'SQL'
INSERT INTO shop.customer (name) SELECT 'new ' || g FROM generate_series(1, 3000) g;
SELECT nextval('shop.moved'), nextval('shop.down');
DROP TABLE shop.doubled;
TRUNCATE shop.by_hash_1;
CREATE TABLE shop.brand_new (id serial PRIMARY KEY, t text);
INSERT INTO shop.brand_new (t) VALUES ('x');
REINDEX TABLE shop."order";
VACUUM FULL shop.event_rest;
SELECT lo_create(0);
SQL
}
writers=yes
# The newest minor of 17 cannot go to this 18.
rm "$LAB/roots/17"
ln -s "$(root 17-older)" "$LAB/roots/17"
healthy 17 18 || exit

# --- the ways of other images: passwords, read-only root file systems, busybox ------------------------------

stop 18 /vol/new-18
read_only 18
start 18 /vol/new-18
sql 18 postgres -c "ALTER ROLE postgres PASSWORD 'ca''na\"ry\$(id)&\\x'" 2> /dev/null
echo 'local all all scram-sha-256' > "$LAB/vol/new-18/pg_hba.conf"
as 999 18 pg_ctl -D /vol/new-18 reload > /dev/null
LAB_ENV=("POSTGRES_PASSWORD=ca'na\"ry\$(id)&\\x")
for USER_ID in 999 0; do
  observed 18 observe.sh before /vol/run counts > "$LAB/before"
  check "with a password, uid $USER_ID observes" grep -q '"event":"observed"' "$LAB/before"
  verified 18 observe.sh after /vol/run auto writers=no > /dev/null
  check "with a password, uid $USER_ID compares" no_difference
done
USER_ID=999
check 'the password is in no file of the run' sh -c "! grep -rqF \"ca'na\" '$LAB/vol/run'"
LAB_ENV=()
observed 18 observe.sh before /vol/run quick > "$LAB/before"
check 'without it, the refusal is said' grep -q '"reason":"no-login"' "$LAB/before"
echo 'local all all trust' > "$LAB/vol/new-18/pg_hba.conf"
as 999 18 pg_ctl -D /vol/new-18 restart > /dev/null
mount -o remount,rw "$(root 18)"
sql 18 postgres -c 'CREATE TABLE long AS SELECT i FROM generate_series(1, 1000000) i' -c "ALTER ROLE ALL SET transaction_timeout = '20ms'"
observed 18 observe.sh before /vol/run counts > "$LAB/before"
check 'a time limit for transactions is not for the count' grep -q '"event":"observed"' "$LAB/before"
sql 18 postgres -c 'ALTER ROLE ALL RESET ALL' -c 'DROP TABLE long'
busybox 18
LAB_PATH=/busybox:
observed 18 observe.sh before /vol/run auto > "$LAB/before"
check 'with the tools of busybox it observes' grep -q '"event":"observed","level":"counts".*"relations":1.*"rows":[1-9].*"sha256"' "$LAB/before"
verified 18 observe.sh after /vol/run auto writers=no > /dev/null
check 'with the tools of busybox it compares' no_difference
cat "$LAB/before" "$LAB/last"
LAB_PATH=''
grep -v 'collation\|HINT\|DETAIL' "$LAB/vol/messages"
lab_end
