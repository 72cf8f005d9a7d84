#!/bin/bash
# What runs in the container of a server of 9.6, and a whole upgrade from it: nothing to say when it is healthy, and losses found.
# What is of 10 alone is at the end.
# shellcheck disable=SC2016  # statements and names that are not for this shell
# shellcheck source=tests/scripts/lab.sh
. "$(dirname "${BASH_SOURCE[0]}")/lab.sh"
lab_enter "$@"
set -u

mkdir -p "$LAB/vol/run" "$LAB/vol/scripts" "$LAB/vol/pgo"
chown 999:999 "$LAB/vol/run" "$LAB/vol/pgo"
install -m 644 -t "$LAB/vol/scripts" "$scripts"/{lib,bundle}.sh
install -m 644 -t "$LAB/vol" "$repository/tests/support/healthy-old.sql"
LAB_PGDATA=/vol/old-9.6
weird="we ird=relispartition 'collprovider' \"q\" \\"

new_cluster 9.6 /vol/old-9.6
start 9.6 /vol/old-9.6
sql 9.6 postgres -f /vol/healthy-old.sql > /dev/null 2>> "$LAB/vol/messages"
sql 9.6 postgres > /dev/null 2>> "$LAB/vol/messages" <<'SQL'
CREATE ROLE plain LOGIN UNENCRYPTED PASSWORD 'canary';
CREATE ROLE open LOGIN UNENCRYPTED PASSWORD 'canary';
CREATE ROLE hashed LOGIN PASSWORD 'canary' IN ROLE healthy_reader;
CREATE DATABASE "we ird=relispartition 'collprovider' ""q"" \" OWNER hashed;
CREATE COLLATION shop.bytes (LOCALE = 'C');
CREATE INDEX customer_hash ON shop.customer USING hash (name);
CREATE INDEX customer_hash_too ON shop.customer USING hash (price);
CREATE INDEX customer_price ON shop.customer (price);
ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO hashed;
CREATE TABLE shop.partition (relispartition int, collprovider text COLLATE shop.bytes);
CREATE SEQUENCE shop.moved START 5 INCREMENT 3;
SELECT nextval('shop.moved'), nextval('shop.moved');
CREATE SEQUENCE shop.untouched;
CREATE SEQUENCE shop.set_back CACHE 7;
SELECT setval('shop.set_back', 77, false);
CREATE SEQUENCE shop.down INCREMENT -1 MAXVALUE 100 MINVALUE -100 START 100 CYCLE;
SELECT nextval('shop.down') FROM generate_series(1, 20);
CREATE SEQUENCE shop.lowest INCREMENT -1;
CREATE SEQUENCE shop."Big ""q"" 'x' \y :z";
SELECT setval('shop."Big ""q"" ''x'' \y :z"', 9223372036854775806);
SQL
sql 9.6 "$weird" -c 'CREATE TABLE "größe" (a serial)' -c 'INSERT INTO "größe" DEFAULT VALUES'

observed 9.6 checkpoint.sh
check 'a checkpoint is made' test "$?" = 0
observed 9.6 observe.sh before /vol/run auto | tee "$LAB/before"
check '9.6 is observed, rows counted' grep -q '"event":"observed","level":"counts".*"sequences":8.*"rows":[1-9]' "$LAB/before"
check 'no secret is in the observation' sh -c '! grep -q canary "$1"' sh "$LAB/vol/run/observed-before"
observed 9.6 fast-shutdown.sh /nowhere /vol/old-9.6
for ((i = 0; i < 100; i++)); do [[ -e $LAB/vol/old-9.6/postmaster.pid ]] || break; sleep 0.05; done
check 'it is stopped' test ! -e "$LAB/vol/old-9.6/postmaster.pid"

upgrade 9.6 17 /vol/old-9.6 /vol/new-17 || exit
LAB_PGDATA=/vol/new-17
start 17 /vol/new-17
verified 17 observe.sh after /vol/run auto writers=no
check '9.6 to 17 has no difference' no_difference
check 'sizes are measured' grep -q '"sizes" : true' "$LAB/last"
observed 17 vacuum.sh start /vol/run 1 9.6 2.24 2.36 skip=statistics,extensions > "$LAB/vacuum"
observed 17 vacuum.sh follow /vol/run 0 >> "$LAB/vacuum"
check 'indexes of changed collations are made anew' grep -q '"event":"done","problems":0.*"reindexed":[1-9]' "$LAB/vacuum"

sql 17 postgres > /dev/null <<'SQL'
DELETE FROM shop.customer WHERE id = 500;
SELECT setval('shop.moved', 5), nextval('shop.untouched');
ALTER SEQUENCE shop.set_back CACHE 8;
DROP INDEX shop.customer_price, shop.customer_hash_too;
ALTER ROLE open PASSWORD NULL;
DROP ROLE plain;
SQL
verified 17 observe.sh after /vol/run counts writers=no > /dev/null
check 'a row deleted is found' finds '"rows"' shop.customer '"rows": 500' '"rows": 499'
check 'a sequence set back is found' finds 'sequence value' shop.moved '"last": 8' '"last": 5'
check 'a sequence moved on is found' finds 'sequence value' shop.untouched '"called": false' '"called": true'
check 'a sequence with another cache is found' finds 'sequence value' changed shop.set_back '1 7 f' '1 8 f'
check 'an index dropped is found' finds missing '"index"' customer_price
check 'a hash index dropped is found' finds missing '"index"' customer_hash_too
check 'a lost password is found' finds changed role '"open"' '"password": "other"' '"password": "none"'
check 'a role dropped is found' finds missing role plain
check 'the hash index that is to be rebuilt is no difference' sh -c "! grep -q 'customer_hash\"' '$LAB/last'"
verified 17 observe.sh after /vol/run quick > /dev/null
check 'with writers, a sequence with another cache is still found' finds 'sequence value' changed shop.set_back
check 'with writers, a sequence that moved on is no difference' sh -c "! grep -q shop.untouched '$LAB/last'"

rm "$(root 9.6)/usr/lib/postgresql/9.6/bin/pg_resetxlog"
as 999 9.6 env PGUP_FROM=9.6 PGUP_PGO=/vol/pgo sh /vol/scripts/bundle.sh > "$LAB/bundled" 2>&1
check 'an image without a program is refused in words' grep -q '"event":"refused","reason":"old_programs","detail":"/usr/lib/postgresql/9.6/bin has no pg_resetxlog"' "$LAB/bundled"
check 'and in no others' test "$(wc -l < "$LAB/bundled")" = 1

# A version later they have none, so that each would be missing.
LAB_PGDATA=/vol/old-10
new_cluster 10 /vol/old-10
start 10 /vol/old-10
sql 10 postgres -c 'CREATE TABLE parted (t text) PARTITION BY LIST (t)' -c "CREATE TABLE part PARTITION OF parted FOR VALUES IN ('a')"
observed 10 observe.sh before /vol/run quick > /dev/null
check 'TOAST tables that only partitioned tables of 10 have are left out' eval 'grep "\"toast\"" "$LAB/vol/run/observed-before" | grep -v parted | grep -q part && ! grep "\"toast\"" "$LAB/vol/run/observed-before" | grep -q parted'
lab_end
