# shellcheck shell=bash
# shellcheck disable=SC2034,SC2154 # set by run.sh
# The method side-by-side: both servers run, and a pod of ours carries everything over the network.

old_port=5432 new_port=5433

# tcp_server POD MAJOR DATA PORT: and waits until it answers.
tcp_server() {
  local i
  pod_start "$1" "$2" "$(bin "$2")/postgres" -D "$3" -c listen_addresses=127.0.0.1 -c port="$4" -c unix_socket_directories=/run/postgresql -c fsync=off
  for ((i = 0; i < 300; i++)); do
    pod_exec "$1" "$(bin "$2")/pg_isready" -q -h /run/postgresql -p "$4" 2> /dev/null && return 0
    pod_running "$1" || break
    nap 0.05
  done
  cat "$base/pods/$1/err"
  return 1
}

# side_old TEMPLATE MAJOR: the old server, with names that break careless quoting and a hash of before.
side_old() {
  instance "$1"
  printf 'local all all trust\nhost all all all md5\n' > "$host/pg_hba.conf"
  tcp_server "$test_name-old" "$2" "$data" "$old_port"
  from=$2
  old_query postgres "set password_encryption = md5; alter role postgres password 'old:pa\\ss'; create role legacy login password 'of before';
    $side_more"
  old_query "we ird=db 'x' \"q\" \\ \$(id)" "create schema \"s p=\$(id)\"; create table \"s p=\$(id)\".\"t'\"\"\" as select 7 as n; select lo_from_bytea(99, 'x')"
}
side_more="create role \"o'b\"\"r=\\ \$(id)\" createdb login password 'x' valid until '2040-01-01'; grant \"o'b\"\"r=\\ \$(id)\" to app with admin option;
  create database \"we ird=db 'x' \"\"q\"\" \\ \$(id)\" owner \"o'b\"\"r=\\ \$(id)\"; alter database app set work_mem = '6MB'; alter role app in database app set work_mem = '9MB';
  alter role all set search_path = '\$user', 'a b', public; alter role all set \"app.x\" = 'ö '' \$(id)'; alter role legacy set statement_timeout = '90s'; revoke connect on database app from public; comment on database app is 'of app'; grant pg_monitor to legacy"

# By the environment: psql takes quotes out of names that are arguments.
old_query() { pod_exec "$test_name-old" env "PGDATABASE=$1" "$(bin "$from")/psql" -XAtq -v ON_ERROR_STOP=1 -U postgres -h /run/postgresql -p "$old_port" -f - <<< "$2"; }
new_query() { pod_exec "$test_name-new" env "PGDATABASE=$1" "$(bin "$to")/psql" -XAtq -v ON_ERROR_STOP=1 -U "${admin:-postgres}" -h /run/postgresql -p "$new_port" -f - <<< "$2"; }

# side_new MAJOR [ADMIN]: a new, empty server.
side_new() {
  to=$1 admin=${2:-postgres}
  need "$to"
  pod_start "$test_name-init" "$to" "$(bin "$to")/initdb" -D /vol/newdata -U "$admin" -A trust -N --locale=C.utf8
  pod_wait "$test_name-init"
  printf 'local all all trust\nhost all all all scram-sha-256\n' > "$vol/newdata/pg_hba.conf"
  tcp_server "$test_name-new" "$to" /vol/newdata "$new_port"
  new_query postgres "alter role \"$admin\" password 'new:pass'"
}

# side_env TASK [NAME=VALUE...]: the pod's environment and the files of the Secrets.
side_env() {
  local dir
  dir=$(pod_dir "$test_name-up" "$uid")
  # A pod of its own, not a container that is started again.
  rm -f "$dir$box/verified"
  printf '%s\n' PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin PGUP_RUN=r1 "PGUP_TASK=$1" PGUP_JOBS=2 PGUP_LOGIN=/plan/login PGUP_PATIENCE=2 \
    PGUP_OLD_HOST=127.0.0.1 "PGUP_OLD_PORT=$old_port" PGUP_OLD_USER=postgres PGUP_NEW_HOST=127.0.0.1 "PGUP_NEW_PORT=$new_port" \
    "PGUP_NEW_USER=${admin:-postgres}" "${@:2}" > "$dir/env"
  local at
  for at in login/old swapped/new both/old both/new; do
    mkdir -p "$dir/plan/$at"
    printf 'old:pa\\ss' > "$dir/plan/$at/password"
  done
  for at in login/new swapped/old; do
    mkdir -p "$dir/plan/$at"
    printf 'new:pass\n' > "$dir/plan/$at/password"
  done
}

# side EVENT TASK [NAME=VALUE...]: runs the pod to its end and prints the event.
side() {
  local wanted=$1
  shift
  side_env "$@"
  : > "$base/pods/$test_name-up/out"
  pod_start "$test_name-up" "$to" sh /scripts/side.sh
  pod_wait "$test_name-up"
  event "$wanted" 1
}

# refused REASON TASK [NAME=VALUE...]: and the target is as it was.
refused() {
  local said
  said=$(side refused "${@:2}")
  is "$(member "$said" reason)" "$1" reason
  is "$(new_query postgres "$side_traces")" "${traces:-0}" traces
}
side_traces="select count(*) from pg_roles where rolname in ('app', 'legacy', 'kubectl_pg_upgrade', 'kubectl_pg_upgrade_all')"

side_facts="select (select string_agg(rolname || ' ' || rolcreatedb || coalesce(left(rolpassword, 12), '') || coalesce(rolvaliduntil::text, ''), '|' order by rolname) from pg_authid where oid >= 16384),
  (select string_agg(datname || ' ' || coalesce((select string_agg(a::text, ',' order by a::text) from unnest(datacl) a), '') || pg_get_userbyid(datdba), '|' order by datname) from pg_database where datname !~ '^(template|leftover)'),
  (select string_agg(coalesce(d.datname, '') || coalesce(r.rolname, '') || s.setconfig::text, ',' order by d.datname, r.rolname) from pg_db_role_setting s left join pg_database d on d.oid = setdatabase left join pg_roles r on r.oid = setrole),
  (select string_agg(roleid::regrole || '>' || member::regrole || admin_option, ',' order by roleid::regrole::text) from pg_auth_members where member >= 16384)"

# carried: everything of the old server is on the new one.
carried() {
  is "$(new_query postgres "$side_facts")" "$(old_query postgres "$side_facts")" 'roles and databases'
  is "$(new_query app "$facts_sql")" "$(old_query app "$facts_sql")" rows
  is "$(new_query "we ird=db 'x' \"q\" \\ \$(id)" "select n from \"s p=\$(id)\".\"t'\"\"\"")" 7 'hostile names'
  is "$(new_query postgres "select count(*) from pg_roles where rolname = 'kubectl_pg_upgrade'")" 0 mark
}

# side_by_side TEMPLATE FROM TO
side_by_side() {
  own_network
  side_old "$1" "$2"
  side_new "$3"
  # What the image has made for its own environment is nothing to lose.
  new_query postgres "create role app login; create database app owner app; create database leftover"
  traces=1
  local ready
  ready=$(side ready look)
  is "$(member "$ready" 'md5 | join(" ")')" "legacy o'b\"r=\\ \$(id)" md5
  is "$(member "$ready" old.version)" "$2.$(old_query postgres 'show server_version' | cut -d. -f2 | cut -d' ' -f1)" version
  is "$(new_query postgres "$side_traces")" 1 'look writes nothing'
  side analyzed move PGUP_TO="$3" > /dev/null
  is "$(member "$(event verified)" differences)" 0 differences
  (($(member "$(event verified)" checked.rows) > 3000))
  # An empty database that the source never had stays, and is no difference.
  new_query postgres "drop database leftover"
  carried
  # Loaded once more it is not empty; an earlier load that ended well is nobody's to clear.
  traces=2 refused not_empty move
  is "$(member "$(event holds)" 'databases | map(.name) | contains(["app"])')" true holds
  new_query app "create table added as select 1"
  mkdir "$vol/ts"
  chown "$uid:$uid" "$vol/ts"
  old_query postgres "create tablespace \"f a'st\" location '/vol/ts'"
  old_query postgres "create database in_space tablespace \"f a'st\""
  old_query app "create table spaced tablespace \"f a'st\" as select 1 as n"
  side analyzed move PGUP_RESET=1 PGUP_NO_TABLESPACES=1 > /dev/null
  carried
  is "$(new_query app "select (select n from spaced), (select count(*) from pg_tablespace)")" '1|2' 'in the default tablespace'
}

wrong_pairs() {
  own_network
  side_old v13 13
  side_new 17
  refused other_major look PGUP_TO=18
  refused same_server move PGUP_NEW_PORT="$old_port" PGUP_NEW_HOST=127.0.0.1 PGUP_LOGIN=/plan/both
  # The other way round: newer to older; and empty to full where the versions would do.
  before=$(facts_tcp)
  swapped=(PGUP_OLD_PORT="$new_port" PGUP_NEW_PORT="$old_port" PGUP_LOGIN=/plan/swapped PGUP_RESET=1)
  refused wrong_order move "${swapped[@]}"
  is "$(facts_tcp)" "$before" 'the old server'
  new_query postgres "alter system set default_transaction_read_only = on; select pg_reload_conf()" > /dev/null
  side analyzed move > /dev/null
  carried
}
facts_tcp() { old_query app "$facts_sql"; }

empty_source() {
  own_network
  from=17
  instance v17plain
  side_new 17
  # The new server stands for the source.
  printf 'local all all trust\nhost all all all trust\n' > "$host/pg_hba.conf"
  tcp_server "$test_name-old" 17 "$data" "$old_port"
  before=$(facts_tcp)
  side_env look
  local said
  said=$(side refused move PGUP_OLD_PORT="$new_port" PGUP_NEW_PORT="$old_port" PGUP_LOGIN=/plan/swapped PGUP_RESET=1)
  is "$(member "$said" reason)" wrong_order reason
  is "$(facts_tcp)" "$before" 'the full server'
}

# Rows that come to the old server while the new one is loaded are seen, and the target is still known as ours.
written_to() {
  own_network
  side_old v13 13
  side_new 17
  side_env move
  pod_start "$test_name-up" 17 sh /scripts/side.sh
  local i
  for ((i = 0; i < 1500; i++)); do said "$base/pods/$test_name-up/out" '"name":"load"' && break; nap 0.02; done
  # A load refreshes what the old server did not.
  old_query app "insert into items(name, note) select 'late', 'x' from generate_series(1, 5); refresh materialized view item_count"
  pod_wait "$test_name-up"
  is "$(member "$(event verified)" differences)" 2 differences
  said "$base/pods/$test_name-up/out" '"database" : "app", "object" : "public.items"'
  said "$base/pods/$test_name-up/out" analyzed && return 1
  is "$(new_query postgres "select shobj_description(oid, 'pg_authid') from pg_roles where rolname = 'kubectl_pg_upgrade'")" r1 mark
  # Another run must not touch it, the next of the same instance clears it.
  traces=3 refused not_ours move PGUP_RUN=r2 PGUP_RESET=1
  side analyzed move PGUP_RUN=r2 PGUP_RUNS='r0 r1' > /dev/null
  carried
}

# Killed at ten random moments, and done in the end.
side_killed() {
  own_network
  side_old v13 13
  side_new 17
  local i j done=0 out=$base/pods/$test_name-up/out
  for ((i = 0; done < 10 && i < 30; i++)); do
    side_env move PGUP_RESET=1
    : > "$out"
    pod_start "$test_name-up" 17 sh /scripts/side.sh
    # Half of them while it writes to the target.
    for ((j = 0; i % 2 && j < 1500; j++)); do said "$out" '"name":"load"' && break; nap 0.02; done
    nap "$((i % 2 ? 0 : RANDOM % 2)).$((RANDOM % 10))"
    said "$out" '"event":"analyzed"' || done=$((done + 1))
    pod_kill "$test_name-up"
  done
  is "$done" 10 kills
  side analyzed move PGUP_RESET=1 > /dev/null
  carried
  echo "killed $done times"
}

# A container that is started again after the comparison loads nothing over what clients have written since.
restarted() {
  own_network
  side_old v13 13
  side_new 17
  side_env move PGUP_RESET=1
  local i out=$base/pods/$test_name-up/out
  pod_start "$test_name-up" 17 sh /scripts/side.sh
  for ((i = 0; i < 1500; i++)); do said "$out" '"name":"statistics"' && break; pod_running "$test_name-up" || break; nap 0.02; done
  pod_kill "$test_name-up"
  new_query app "insert into items(name) values ('of a client')"
  : > "$out"
  pod_start "$test_name-up" 17 sh /scripts/side.sh
  pod_wait "$test_name-up"
  is "$(grep -o '"event":"[a-z]*"' "$out" | sed 's/"event"://; s/"//g' | tr '\n' ' ')" 'loaded verified phase analyzed ' 'what it says'
  is "$(new_query app "select count(*) from items where name = 'of a client'")" 1 'the row of a client'
  is "$(new_query postgres "$side_traces")" 2 'no mark'
}

# begins_with SAID...: a pod with the dump on the volume says this before it dumps or loads, and is killed there.
begins_with() {
  local i out=$base/pods/$test_name-up/out
  side_env move PGUP_RESET=1 "${kept[@]}"
  : > "$out"
  pod_start "$test_name-up" 17 sh /scripts/side.sh
  for ((i = 0; i < 1500; i++)); do said "$out" "$1" && break; pod_running "$test_name-up" || break; nap 0.02; done
  pod_kill "$test_name-up"
  said "$out" "$1" || { cat "$out"; return 1; }
}
kept=(PGUP_DUMP=/vol/dumps/pg-upgrade-1 PGUP_DUMP_KEEP=1)

# A dump that is kept is taken again as long as it holds what the old server holds, and only then.
dump_kept() {
  own_network
  side_old v13 13
  side_new 17
  mkdir "$vol/dumps"
  chown "$uid:$uid" "$vol/dumps"
  side_env move
  begins_with '"name":"load"'
  begins_with '"name":"take the dump of before"'
  side analyzed move PGUP_RUN=r2 PGUP_RUNS=r1 "${kept[@]}" > /dev/null
  said "$base/pods/$test_name-up/out" 'take the dump of before'
  is "$(member "$(event loaded)" 'dump | .sealed and .bytes > 50000')" true 'what is said of it'
  carried
  # Statistics are no data.
  old_query app "analyze"
  begins_with '"name":"take the dump of before"'
  # Neither rows nor their number tell of this one.
  old_query app "update items set note = 'changed' where id = 1"
  begins_with 'the old server may have been written to since'
  begins_with '"name":"load"'
  old_query postgres "alter database app rename to renamed"
  begins_with 'it is of other databases'
  old_query postgres "alter database renamed rename to app"
  begins_with '"name":"load"'
  printf x >> "$vol/dumps/pg-upgrade-1/globals.sql"
  begins_with 'globals.sql is corrupted'
}

# Another administrator takes the place of the old superuser, and a role gets a password that is hashed anew.
another_admin() {
  own_network
  side_old v13 13
  side_new 17 "ad min"
  old_query app "create function note() returns event_trigger language plpgsql as 'begin end'; create event trigger noted on sql_drop execute function note();
    grant select on items to legacy; create role other; create table lent(n int); alter table lent owner to other; grant select on lent to postgres;
    alter default privileges in schema public grant select on tables to legacy; grant other to postgres; create role \"m\"\"a'p \$(id)\" createdb login; create role near; alter table items owner to \"m\"\"a'p \$(id)\";
    grant insert on lent to near, \"m\"\"a'p \$(id)\", legacy; grant postgres to \"m\"\"a'p \$(id)\"; grant update (n) on lent to \"m\"\"a'p \$(id)\""
  new_query postgres 'create role "z new"'
  mkdir "$vol"/ts-{old,new}
  chown "$uid:$uid" "$vol"/ts-*
  old_query postgres "create tablespace \"f a'st\" location '/vol/ts-old'; alter tablespace \"f a'st\" set (random_page_cost = 2); grant create on tablespace \"f a'st\" to legacy"
  old_query app "create table spaced tablespace \"f a'st\" as select 1 as n; create index on spaced(n) tablespace \"f a'st\""
  side_env look
  is "$(member "$(side refused look)" 'detail | contains("f a'"'"'st")')" true 'the tablespace that lacks'
  side ready look PGUP_NO_TABLESPACES=1 > /dev/null
  new_query postgres "create tablespace \"f a'st\" location '/vol/ts-new'"
  refused role_map look "PGUP_MAPS=nobody=ad min"
  side_env look
  mkdir "$base/pods/$test_name-up/plan/login/roles"
  printf 'pa"ss w%s' "'ord" > "$base/pods/$test_name-up/plan/login/roles/legacy"
  side analyzed move "PGUP_MAPS=postgres=ad min=m\"a'p \$(id)=z new" > /dev/null
  is "$(member "$(event verified)" differences)" 0 differences
  is "$(new_query app "select count(*), min(spcname) from pg_class c join pg_tablespace t on t.oid = reltablespace where relname like 'spaced%'")" "2|f a'st" tablespaces
  is "$(new_query app "select count(*) from pg_roles where rolname = 'postgres' or rolname like 'm\"%'")" 0 'no role is left'
  is "$(new_query app "select string_agg(distinct pg_get_userbyid(relowner), ',' order by pg_get_userbyid(relowner)) from pg_class where oid >= 16384 and relkind = 'r'")" 'ad min,other,z new' owners
  is "$(new_query app "select has_table_privilege('z new', 'lent', 'insert'), has_column_privilege('z new', 'lent', 'n', 'update'), pg_has_role('z new', 'ad min', 'member')")" 't|t|t' 'grants of the second'
  is "$(new_query app "select has_table_privilege('ad min', 'lent', 'select'), relacl::text like '%ad min%' from pg_class where relname = 'lent'")" 't|t' grants
  is "$(new_query app "select defaclrole::regrole::text from pg_default_acl")" '"ad min"' 'default privileges'
  is "$(new_query app "select left(rolpassword, 5) from pg_authid where rolname = 'legacy'")" SCRAM password
  # shellcheck disable=SC2016
  is "$(pod_exec "$test_name-new" env PGPASSWORD="pa\"ss w'ord" PGDATABASE=postgres "$(bin 17)/psql" -XAtqw -h 127.0.0.1 -p "$new_port" -U legacy -c 'select 1')" 1 login
}

# An administrator as managed servers have them: no superuser. What it cannot load is found before.
weak_admin() {
  own_network
  side_old v13 13
  side_new "$1" cloud
  as_cloud() { admin=cloud new_query "$@"; }
  as_cloud postgres "create role \"ad min\" login createrole createdb password 'new:pass'; create database rdsadmin; revoke connect on database rdsadmin from public;
    grant pg_read_all_stats to \"ad min\""
  local grants=('legacy in pg_monitor')
  (($1 >= 16)) || grants=()
  admin='ad min' weak=("PGUP_MAPS=postgres=ad min=lender=cash")
  new_query postgres "create role cash"
  old_query app "create role boss superuser bypassrls; grant boss to app; alter role legacy set log_statement = 'all'; alter role all set work_mem = '7MB'; grant legacy to postgres;
    create extension hstore; alter table items owner to legacy; create schema theirs authorization app; create table theirs.lent as select '\"a\"=>\"b\"'::hstore as h;
    alter table theirs.lent owner to legacy; grant select on theirs.lent to boss; create function theirs.f() returns int language sql as 'select 1';
    alter function theirs.f() owner to \"o'b\"\"r=\\ \$(id)\"; alter default privileges for role app in schema theirs grant select on tables to legacy;
    create role lender; create table owed(n int); alter table owed owner to lender; grant lender to legacy; revoke connect on database \"we ird=db 'x' \"\"q\"\" \\ \$(id)\" from public"
  (($1 < 16)) || weak_refused
  local said
  said=$(side ready look "${weak[@]}")
  is "$(member "$said" 'removed | join(" ")') $(member "$said" 'weak.roles | join(" ")') $(member "$said" 'every | join(" ")') $(member "$said" 'weak.grants | join(" ")')" "log_statement boss app.x search_path work_mem ${grants[*]}" 'what is said before'
  is "$(as_cloud postgres "$side_traces")" 0 'look writes nothing'
  side analyzed move "${weak[@]}" > /dev/null
  weak_carried
  # What was loaded is something to lose, also where it is closed to the administrator.
  traces=2 refused not_empty move "${weak[@]}"
  is "$(member "$(event holds)" 'databases | map(.name) | contains(["app", "we ird=db '"'x'"' \"q\" \\ $(id)"])')" true 'what is held'
  # Once more, over what was loaded: also what it made itself.
  side analyzed move "${weak[@]}" PGUP_RESET=1 > /dev/null
  weak_carried
}

# weak_refused: what such an administrator cannot do, one after the other.
weak_refused() {
  local said
  as_cloud postgres "create database app"
  old_query app "create extension postgres_fdw; create function theirs.leaks() returns int language sql leakproof as 'select 1';
    create function note() returns event_trigger language plpgsql as 'begin end'; create event trigger noted on sql_drop execute function note()"
  said=$(side refused look)
  is "$(member "$said" 'detail | contains("--role-map postgres=ad min")')" true 'a superuser is none there'
  said=$(side refused look "${weak[@]}")
  is "$(member "$said" 'detail | contains("does not own these databases of the target, which are made anew: app ")')" true 'a database of somebody else'
  as_cloud postgres "drop database app"
  said=$(side refused look "${weak[@]}")
  is "$(member "$said" detail)" 'only a superuser can load these of database app: event trigger noted, leakproof function theirs.leaks()' beyond
  old_query app "drop event trigger noted; drop function theirs.leaks()"
  said=$(side refused look "${weak[@]}")
  is "$(member "$said" detail)" 'ad min may not make extension postgres_fdw of database app' extension
  old_query app "drop extension postgres_fdw; revoke execute on function akeys(hstore) from public; grant usage on type hstore to legacy; grant execute on function pg_ls_waldir() to legacy"
  said=$(side refused look "${weak[@]}")
  is "$(member "$said" 'detail | split(": ")[1]')" 'function akeys(hstore) of extension hstore, function pg_ls_waldir(), type hstore of extension hstore' 'changed privileges'
  old_query app "grant execute on function akeys(hstore) to public; revoke usage on type hstore from legacy; revoke execute on function pg_ls_waldir() from legacy"
  old_query postgres "create table kept(n int)"
  said=$(side refused look "${weak[@]}")
  is "$(member "$said" 'detail | contains("database postgres of the source holds")')" true 'in the database that every server has'
  old_query postgres "drop table kept"
}

weak_carried() {
  is "$(member "$(event verified)" differences)" 0 differences
  is "$(member "$(event analyzed)" analyzed)" true statistics
  is "$(as_cloud app "select pg_get_userbyid(c.relowner), n.nspname from pg_class c join pg_namespace n on n.oid = relnamespace where relname in ('items', 'lent', 'big', 'owed') order by 2, relname" | tr '\n' ' ')" 'ad min|public legacy|public cash|public legacy|theirs ' owners
  is "$(as_cloud app "select count(*), (select count(*) from theirs.lent) from items")" '3000|1' rows
  is "$(as_cloud app "select count(*) from pg_stats where tablename = 'items'")" 3 'statistics of what is not the administrator'"'"'s'
  is "$(as_cloud postgres "select rolsuper from pg_roles where rolname = 'boss'")" f 'no superuser'
  is "$(as_cloud postgres "select count(*) from pg_roles where rolname in ('postgres', 'lender') or rolname like 'kubectl%'")" 0 'no role is left'
  is "$(as_cloud app "select (select count(*) from pg_default_acl), has_schema_privilege('boss', 'theirs', 'create'), has_database_privilege('boss', 'app', 'create')")" '1|f|f' 'no privilege is left'
  # What it was before, and what the old administrator was; a server from 16 on adds the right to give away whatever role it made.
  is "$(as_cloud postgres "select string_agg(roleid::regrole::text, ' ' order by roleid::regrole::text) from pg_auth_members m
    where member = '\"ad min\"'::regrole and coalesce((to_jsonb(m) ->> 'inherit_option')::bool or (to_jsonb(m) ->> 'set_option')::bool, true)")" 'legacy pg_read_all_stats' memberships
  is "$(as_cloud postgres "select pg_has_role('legacy', 'cash', 'usage'), pg_has_role('ad min', 'app', 'usage')")" 't|f' 'memberships of others'
}

# admit: what the client does when the pod asks to be let in.
admit() {
  local said
  said=$(event guest)
  {
    cat "$scripts/sql.sh"
    printf "ROLE=%s VERIFIER='%s'\n" "$(member "$said" role)" "$(member "$said" verifier)"
    cat "$scripts/admit.sh"
  } | pod_exec "$test_name-new" env "POSTGRES_USER=$admin" "POSTGRESQL_PORT_NUMBER=$new_port" sh
}

# A pod without the new server's password, killed in the middle; nothing belongs to the role that it had.
as_guest() {
  own_network
  side_old v13 13
  side_new 17 "ad min"
  old_query app "create function note() returns event_trigger language plpgsql as 'begin end'; create event trigger noted on sql_drop execute function note();
    create role near; create table lent(n int); grant select on lent to near with grant option; set role near; grant select on lent to legacy"
  new_query postgres "alter system set log_statement = 'all'"
  new_query postgres "select pg_reload_conf()"
  local guest=kubectl_pg_upgrade_0123abcd out=$base/pods/$test_name-up/out i
  local -a told=(PGUP_NEW_GUEST="$guest" "PGUP_KEYS=$box/mem" "PGUP_MAPS=postgres=ad min")
  side_env move "${told[@]}"
  rm "$base/pods/$test_name-up/plan/login/new/password"
  mkdir -p "$base/pods/$test_name-up$box/mem"
  chown "$uid:$uid" "$base/pods/$test_name-up$box/mem"
  # Of pods that are gone without a client: one that has ended, and one that may still be at work.
  new_query postgres "create role kubectl_pg_upgrade_00000000; create role kubectl_pg_upgrade_11111111 login superuser"
  pod_start "$test_name-up" 17 sh /scripts/side.sh
  admit
  is "$(new_query postgres "select string_agg(rolname, ' ' order by rolname) from pg_roles where rolname ~ 'kubectl'")" "$guest kubectl_pg_upgrade_11111111" 'roles of others'
  new_query postgres 'drop role kubectl_pg_upgrade_11111111'
  # Asked again, as by a client that has died since.
  admit
  for ((i = 0; i < 1500; i++)); do said "$out" '"name":"load"' && break; nap 0.02; done
  pod_kill "$test_name-up"
  # It is let in as before, without anybody's help.
  pod_start "$test_name-up" 17 sh /scripts/side.sh
  pod_wait "$test_name-up"
  is "$(member "$(event analyzed 1)" analyzed)" true statistics
  is "$(member "$(event verified 1)" differences)" 0 differences
  is "$(grep -o '"verifier":"[^"]*"' "$out" | sort -u | wc -l)" 1 'one password'
  is "$(new_query postgres "select rolcanlogin or rolsuper or rolpassword is not null from pg_authid where rolname = '$guest'")" f 'what is left can do nothing'
  is "$(new_query app "select pg_get_userbyid(relowner), array_length(relacl, 1) from pg_class where relname = 'lent'")" 'ad min|3' owner
  new_query postgres "drop role $guest"
  said "$base/pods/$test_name-new/err" 'statement: SELECT format' || return 1
  said "$base/pods/$test_name-new/err" "$(member "$(event guest 1)" verifier)" && return 1
  is "$(new_query app "select count(*), sum(id) from items")" "$(old_query app "select count(*), sum(id) from items")" rows
}

# Turned away where nobody lets it in.
not_admitted() {
  own_network
  side_old v13 13
  side_new 17
  refused guest look PGUP_NEW_GUEST=kubectl_pg_upgrade_0123abcd PGUP_ADMISSION=2
}

t 'side by side 13 to 17' side_by_side v13 13 17
t 'side by side 15 to 18' side_by_side v15 15 18
t 'side by side refuses wrong pairs' wrong_pairs
t 'side by side refuses an empty source' empty_source
t 'side by side sees writes' written_to
t 'side by side killed' side_killed
t 'side by side goes on behind the comparison' restarted
t 'side by side with a dump that is kept' dump_kept
t 'side by side with another administrator' another_admin
t 'side by side as a guest' as_guest
t 'side by side as a guest whom nobody lets in' not_admitted
t 'side by side with an administrator that is no superuser' weak_admin 17
t 'side by side with an administrator that is no superuser, of an older server' weak_admin 15
