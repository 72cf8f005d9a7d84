# shellcheck shell=bash
# shellcheck disable=SC2154 # set by run.sh
# What pg_dumpall leaves out: settings of every role, options and grants of the tablespaces that each cluster has.

unlisted_more="
  alter role all set search_path = '\$user', 'a b', 'c\"d, \"e', 'select', public;
  alter role all set \"app.secret\" = E'it''s \"a\" \\\\ \$(id)\\nsecond line';
  alter role all set temp_tablespaces = '';
  alter role all set work_mem = '7MB';
  alter role all set client_encoding = 'LATIN1';
  alter role all set standard_conforming_strings = off;
  alter database template1 set default_transaction_read_only = on;
  alter tablespace pg_default set (random_page_cost = 1.5, seq_page_cost = 2);
  grant create on tablespace pg_default to app with grant option;
  grant create on tablespace pg_global to public;
  create database \"größe\" template template0;"
# What a database is set to before its data come, when NULL would become a word; and what the server is set to, when a view is filled.
unlisted_app="create table nulls as select array['a', null] as words; create table prices as select '-1234.5'::money as price;
  create materialized view days as select ('2020-01-01 20:00+00'::timestamptz)::date::text as day; alter database app set array_nulls = off; alter database app set default_transaction_read_only = on;
  alter database app set client_encoding = 'LATIN1'"
unlisted_facts="select (select setconfig::text from pg_db_role_setting where setrole = 0 and setdatabase = 0),
  (select string_agg(spcname || spcoptions::text, ',' order by spcname) from pg_tablespace),
  (select string_agg(concat_ws(' ', spcname, grantee::regrole, privilege_type, is_grantable), ',' order by spcname, grantee::regrole::text) from pg_tablespace, aclexplode(spcacl) where grantee <> spcowner)"

# unlisted_live TEMPLATE FROM TO TRANSFER: with all that in the old server, up to its end.
unlisted_live() {
  instance "$1" ext4
  worker_env "$2" "$3" "$4"
  echo "timezone = 'Asia/Kathmandu'" >> "$host/postgresql.conf"
  printf '%s\n' "TimeZone = 'Asia/Kathmandu'" "min_wal_size = '320MB'" > "$(pod_dir "$test_name-up" "$uid")/plan/settings.conf"
  bundle
  server_start "$test_name-old" "$2"
  query "$test_name-old" "$2" app "$unlisted_app"
  query "$test_name-old" "$2" postgres "$unlisted_more"
  before=$(facts "$test_name-old" "$2")
  more=$(query "$test_name-old" "$2" postgres "$unlisted_facts")
  worker
  event prepared > /dev/null
  cat "$scripts/sql.sh" "$scripts/unlisted.sh" "$scripts/observe.sh" > "$vol/observe.sh"
  pod_exec "$test_name-old" PGDATA="$data" sh /vol/observe.sh before "${workdir/#"$vol"//vol}/r1" counts
  ${tweak:-true}
  ctl arm 60 > /dev/null
  server_stop "$test_name-old"
  result=$(event result 60)
}

unlisted() {
  unlisted_live "$@"
  is "$(member "$result" outcome)" upgraded outcome
  same_facts "$test_name-new" "$3" "$before"
  is "$(query "$test_name-new" "$3" postgres "$unlisted_facts")" "$more" 'what pg_dumpall leaves out'
  is "$(pod_exec "$test_name-new" PGDATA="$data" sh /vol/observe.sh after "${workdir/#"$vol"//vol}/r1" counts writers=no | tail -n 1 | jq .differences)" 0 differences
  is "$(query "$test_name-new" "$3" app "select words[2] is null, day, price::numeric from nulls, days, prices")" 't|2020-01-02|-1234.50' values
  # It may hold secrets.
  [[ ! -e $workdir/r1/unlisted.sql ]]
  # Whoever loses it is found out.
  query "$test_name-new" "$3" postgres 'alter role all reset work_mem; alter tablespace pg_default reset (seq_page_cost); revoke create on tablespace pg_global from public'
  is "$(pod_exec "$test_name-new" PGDATA="$data" sh /vol/observe.sh after "${workdir/#"$vol"//vol}/r1" counts writers=no | jq -r 'select(.event == "difference") | .kind' | paste -sd' ')" 'settings tablespace tablespace' kinds
}

# What the new server refuses of it ends with the old one.
unlisted_refused() {
  tweak=unlisted_spoilt unlisted_live "$@"
  is "$(jq -c '[.outcome, .back, .reason]' <<< "$result")" '["failed",true,"settings_of_every_role"]' outcome
  grep -q 'work_mem' <<< "$result"
  ! grep -q 'second line' "$base/pods/$test_name-up/out"
  [[ ! -e $workdir/r1/unlisted.sql ]]
  same_facts "$test_name-back" "$2" "$before"
}
unlisted_spoilt() { echo "ALTER ROLE ALL SET work_mem TO 'none';" >> "$workdir/r1/unlisted.sql"; }

t 'settings of every role are carried by pg_upgrade' unlisted v13 13 17 link
t 'settings of every role are carried by a dump' unlisted v13 13 17 dump
t 'settings of every role that are refused' unlisted_refused v15 15 18 link
