# shellcheck shell=bash
# shellcheck disable=SC2154 # set by run.sh
# The schema of a running server, made again without its data by the probe: dump.sh there, schema.sh here.

# dump POD DATABASE...: as the client runs it in the server's container.
dump() {
  local pod=$1
  shift
  { cat "$scripts/sql.sh" "$scripts/unlisted.sh"; printf 'PGUP_MARK=%s PGUP_SECONDS=30\nset --' mark; printf " '%s'" "$@"; echo; cat "$scripts/dump.sh"; } |
    pod_exec "$pod" PGDATA=/vol/pgdata sh -c 'script=$(cat) && eval "$script"' sh
}

# probe FROM TO DATABASE...: the probe's lines about the schema of the server that runs in the pod "old".
proved() {
  local from=$1 to=$2 up
  shift 2
  worker_env "$from" "$to" link PGUP_SCHEMA=60 PGUP_MARK=mark
  up=$(pod_dir "$test_name-up" "$uid")
  bundle
  pod_start "$test_name-up" "$to" "${shell_command[@]}" /scripts/probe.sh
  dump "$test_name-old" "$@" > "$base/dumped"
  cp "$base/dumped" "$up$box/schema.part"
  mv "$up$box/schema.part" "$up$box/schema"
  event done 60 > /dev/null
  is "$(member "$(event old_programs)" failed)" '' 'old programs'
  said=$(jq -c 'select(.event == "schema")' < "$up/out")
  is "$(member "$(event schema_end)" complete)" true complete
}

# errors DATABASE: object and message of each.
errors() { jq -r --arg database "$1" 'select(.database == $database) | .errors[] | .object + ": " + .message' <<< "$said"; }

# What a server of 13 may hold and 17 not take, one server for all of it: views, settings, a table that is locked.
sick() {
  instance v13 ext4
  server_start "$test_name-old" 13
  query "$test_name-old" 13 app "
    create view gone as select datlastsysoid from pg_database;
    create view \"on top\" as select * from gone; create view fine as select 1 as one;
    create role loud password 'never-shown'; create extension hstore; create table h (h hstore);
    create extension postgres_fdw; create server far foreign data wrapper postgres_fdw;
    create user mapping for loud server far options (user 'x', password 'never-shown')"
  query "$test_name-old" 13 postgres "create database \"it's = \"\"odd\"\"\" template template0 encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C'"
  printf "create table t (i int); comment on table t is 'no \344 of UTF-8'" |
    pod_exec "$test_name-old" PGCLIENTENCODING=SQL_ASCII "PGDATABASE=it's = \"odd\"" "$(bin 13)/psql" -Xq -v ON_ERROR_STOP=1 -U postgres -h /run/postgresql -f -
  query "$test_name-old" 13 postgres "create database busy; alter role all set password_encryption = 'on'; alter role all set work_mem = '5MB'"
  query "$test_name-old" 13 busy 'create table held (i int)'
  printf '%s\n' "no_such_thing = '1'" "work_mem = '1'" "datestyle = 'wrong'" "password_encryption = 'on'" "random_page_cost = '1.5'" \
    > "$(pod_dir "$test_name-up" "$uid")/plan/in-force.conf"
  query "$test_name-old" 13 busy 'begin; lock table held; select pg_sleep(60)' > /dev/null 2>&1 &
  until [[ $(query "$test_name-old" 13 busy "select count(*) from pg_locks where mode = 'AccessExclusiveLock' and granted") != 0 ]]; do sleep 0.1; done
  proved 13 17 template1 postgres app "it'\\''s = \"odd\"" busy
  if gzip -dc "$base/dumped" | grep -a never-shown; then return 1; fi
  is "$(jq -s 'length' <<< "$said")" 6 parts
  is "$(errors app)" $'VIEW "public.gone": column pg_database.datlastsysoid does not exist\nVIEW "public.on top": relation "public.gone" does not exist' errors
  is "$(jq -s 'map(.error_count + .untried_count) | add' <<< "$said")" 3 others
  is "$(errors '')" "ALTER ROLE ALL SET password_encryption TO E'on';: invalid value for parameter \"password_encryption\": \"on\"" 'settings of every role'
  is "$(jq -r 'select(.unproved) | .database' <<< "$said")" busy unproved
  jq -r 'select(.database == "busy") | .unproved' <<< "$said" | grep -q 'canceling statement due to .* timeout'
  is "$(member "$(event configuration)" 'said | length')" 5 configuration
  member "$(event configuration)" 'said | join(",")' | grep -q '^unrecognized .*"no_such_thing".* outside the valid range .*"work_mem".*"DateStyle".*invalid value .*"password_encryption": "on",HINT: Available'
}

# A rich and healthy schema is made without a complaint, also by the tools of Alpine.
healthy() {
  with_busybox
  instance "$1" ext4
  server_start "$test_name-old" "$2"
  query "$test_name-old" "$2" app "$(cat "$here/../support/healthy.sql")"
  query "$test_name-old" "$2" app "alter database app set default_transaction_read_only = on; alter role all set statement_timeout = '20ms'; alter role all set default_transaction_read_only = on"
  echo "work_mem = '4MB'" > "$(pod_dir "$test_name-up" "$uid")/plan/in-force.conf"
  proved "$2" "$3" template1 postgres app
  is "$(member "$(event configuration)" 'said | length')" 0 configuration
  is "$(jq -s 'map(.error_count + .untried_count, if .unproved then 1 else 0 end) | add' <<< "$said")" 0 errors
}

# Programs that cannot be copied are no reason to fail: the rest is told.
without_old() {
  instance v13 ext4
  worker_env 15 17 link PGUP_TRY=1 PGUP_SCHEMA=60 PGUP_MARK=mark
  pod_start "$test_name-up" 13 sh /scripts/bundle.sh
  pod_wait "$test_name-up"
  pod_start "$test_name-up" 17 sh /scripts/probe.sh
  event done 60 > /dev/null
  is "$(member "$(event old_programs)" failed)" 'no PostgreSQL 15 in this image' 'old programs'
}

t 'schema: what the new version cannot make is named' sick
t 'schema: 15 to 18, healthy, icu, with busybox' healthy v15icu 15 18
t 'schema: without the old programs' without_old
