# shellcheck shell=bash
# shellcheck disable=SC2154 # set by run.sh
# Tablespaces beside the data directory: both versions have a directory of their own in each location.

spaced_seed="create tablespace \"fa st'\"\"\$(id)\" owner app location '/vol/spaces/fa st'; create tablespace plain location '/vol/spaces/plain' with (random_page_cost = 1.5)"
spaced_tables="create table fast (i int primary key using index tablespace plain, v text) tablespace \"fa st'\"\"\$(id)\"; insert into fast select i, md5(i::text) from generate_series(1, 5000) i"
spaced_facts="select (select count(*) || md5(string_agg(v, '' order by i)) from fast), (select string_agg(spcname || pg_tablespace_location(t.oid) || coalesce(spcoptions::text, '') || rolname, ',' order by spcname collate \"C\") from pg_tablespace t join pg_roles r on r.oid = spcowner),
  (select string_agg(relname || coalesce(spcname, ''), ',' order by relname) from pg_class c left join pg_tablespace t on t.oid = reltablespace where relname ~ '^fast'),
  (select spcname from pg_database d join pg_tablespace t on t.oid = dattablespace where datname = 'whole')"

# spaced TRANSFER: a running 13 with tablespaces and everything for a worker.
spaced() {
  instance v13 ext4
  mkdir -p "$vol/spaces/fa st" "$vol/spaces/plain"
  chown -R "$uid:$uid" "$vol/spaces"
  worker_env 13 17 "$1"
  bundle
  server_start "$test_name-old" 13
  query "$test_name-old" 13 postgres "$spaced_seed"
  query "$test_name-old" 13 postgres "create database whole tablespace plain"
  query "$test_name-old" 13 app "$spaced_tables"
  before=$(facts "$test_name-old" 13)
  more=$(query "$test_name-old" 13 app "$spaced_facts")
}

spaces() { (cd "$vol/spaces" && find . -maxdepth 2 -name 'PG_*' | sed 's/_[0-9]*$//' | sort | tr '\n' ' '); }
of_13='./fa st/PG_13 ./plain/PG_13 ' of_both='./fa st/PG_13 ./fa st/PG_17 ./plain/PG_13 ./plain/PG_17 ' of_17='./fa st/PG_17 ./plain/PG_17 '

# removed_files: the errand of cleanup on all that the run has left.
removed_files() {
  fresh
  worker_env 13 17 dump PGUP_MODE=remove PGUP_REMOVE=r1
  worker
  event freed > /dev/null
  pod_wait "$test_name-up"
  [[ ! -e $workdir/r1 ]]
}

# Killed while it loads, so that the second attempt finds what the first has left in the locations.
spaced_dump() {
  spaced dump
  query "$test_name-old" 13 app "$hold"
  before=$(facts "$test_name-old" 13)
  touch "$base/pods/$test_name-up/plan/hold"
  worker
  event prepared > /dev/null
  ctl arm 60 > /dev/null
  server_stop "$test_name-old"
  until said "$base/pods/$test_name-up/out" 'Loading roles'; do
    pod_running "$test_name-up"
    nap 0.05
  done
  until [[ $(spaces) == "$of_both" ]]; do nap 0.05; done
  pod_kill "$test_name-up"
  rm "$base/pods/$test_name-up/plan/hold"
  fresh
  worker
  result=$(event result 120)
  is "$(member "$result" outcome)" upgraded outcome
  is "$(spaces)" "$of_both" both
  same_facts "$test_name-new" 17 "$before"
  is "$(query "$test_name-new" 17 app "$spaced_facts")" "$more" spaces
  query "$test_name-new" 17 app 'update fast set v = v || 1; create table later (i int) tablespace plain'
  server_stop "$test_name-new"
  # The way back after the new server has run.
  fresh
  ctl go-back > /dev/null
  is "$(member "$(event result)" outcome)" back outcome
  ctl finish > /dev/null
  pod_wait "$test_name-up"
  same_facts "$test_name-again" 13 "$before"
  is "$(query "$test_name-again" 13 app "$spaced_facts")" "$more" archive
  is "$(spaces)" "$of_both" kept
  # What the failed one holds is in the way of another attempt, until cleanup.
  worker_env 13 17 dump PGUP_RUN=r2
  fresh
  worker
  is "$(event refused | jq -r .reason)" tablespace_leftover leftover
  pod_wait "$test_name-up" || true
  removed_files
  is "$(spaces)" "$of_13" cleaned
  is "$(query "$test_name-again" 13 app "$spaced_facts")" "$more" untouched
}

# After the upgrade cleanup takes the old version's directories, and those alone.
spaced_cleanup() {
  spaced dump
  worker
  event prepared > /dev/null
  ctl arm 60 > /dev/null
  server_stop "$test_name-old"
  is "$(event result 120 | jq -r .outcome)" upgraded outcome
  ctl finish > /dev/null
  pod_wait "$test_name-up"
  same_facts "$test_name-new" 17 "$before"
  removed_files
  is "$(spaces)" "$of_17" cleaned
  server_stop "$test_name-new"
  same_facts "$test_name-again" 17 "$before"
  is "$(query "$test_name-again" 17 app "$spaced_facts")" "$more" spaces
}

# A load that fails leaves nothing in the locations.
spaced_fails() {
  spaced dump
  query "$test_name-old" 13 app "create view gone as select datlastsysoid from pg_database"
  live_fails
  is "$(spaces)" "$of_13" dropped
  is "$(query "$test_name-again" 13 app "$spaced_facts")" "$more" spaces
}

# refused_space REASON WORD: the worker refuses before anything is moved, and says which.
refused_space() {
  fresh
  worker
  event refused > "$base/pods/$test_name-said"
  pod_wait "$test_name-up" || true
  is "$(jq -r .reason "$base/pods/$test_name-said")" "$1" reason
  jq -r .detail "$base/pods/$test_name-said" | grep -qF -e "$2"
  [[ -e $host/global/pg_control && ! -e $workdir/r1/new-17 ]]
}
spaced_refused() {
  spaced dump
  server_stop "$test_name-old"
  # As where another volume is mounted in the server's pod: here is the directory below it.
  mv "$vol/spaces/plain" "$vol/spaces/away"
  refused_space tablespace_missing /vol/spaces/plain
  mkdir "$vol/spaces/plain"
  chown "$uid:$uid" "$vol/spaces/plain"
  refused_space tablespace_missing /vol/spaces/plain
  rmdir "$vol/spaces/plain"
  mv "$vol/spaces/away" "$vol/spaces/plain"
  local link other=$base/other-$test_name
  link=$(find "$host/pg_tblspc" -lname '*plain')
  mkdir "$other"
  mount -t tmpfs tmpfs "$other"
  cp -a "$vol/spaces/plain/." "$other/"
  echo "$other" > "$base/pods/$test_name-up/SNAP"
  ln -sfn /snap "$link"
  refused_space tablespace_elsewhere /snap
  ln -sfn /vol/spaces/plain "$link"
  umount "$other"
  same_facts "$test_name-again" 13 "$before"
  is "$(spaces)" "$of_13" untouched
}

# What one database has in tablespaces goes to the default one where there are none; what makes them is refused.
spaced_load() {
  spaced load
  local b said
  b=$(bin 13)
  install -d -o "$uid" -g "$uid" "$vol/d"
  pod_exec "$test_name-old" "$b/pg_dump" -h /run/postgresql -U postgres -Fc -f /vol/d/app app
  pod_exec "$test_name-old" "$b/pg_dump" -h /run/postgresql -U postgres -Fc -f /vol/d/whole whole
  pod_exec "$test_name-old" "$b/pg_dumpall" -h /run/postgresql -U postgres -f /vol/d/all
  query "$test_name-old" 13 app 'drop table fast'
  query "$test_name-old" 13 postgres 'drop database whole'
  query "$test_name-old" 13 postgres "drop tablespace \"fa st'\"\"\$(id)\""
  query "$test_name-old" 13 postgres 'drop tablespace plain'
  rm -rf "$vol/spaces"
  to=13
  for said in whole all; do
    worker_env 13 13 load PGUP_MODE=look "PGUP_GIVEN=/vol/d/$said"
    refused_space dump_tablespaces plain
  done
  fresh
  worker_env 13 13 load PGUP_GIVEN=/vol/d/app
  worker
  event prepared > /dev/null
  ctl arm 60 > /dev/null
  server_stop "$test_name-old"
  is "$(event result 60 | jq -r .outcome)" upgraded outcome
  same_facts "$test_name-new" 13 "$(sed 's/app,postgres,template0,template1,whole/app,postgres,template0,template1/' <<< "$before")"
  is "$(query "$test_name-new" 13 app "$spaced_facts" | cut -d'|' -f1,3)" "$(cut -d'|' -f1 <<< "$more")|fast,fast_pkey" rows
}

t 'tablespaces go with a dump that was killed, and come back' spaced_dump
t 'tablespaces of a dump that is loaded where there are none' spaced_load
t 'tablespaces after a dump and cleanup' spaced_cleanup
complaint='datlastsysoid does not exist' t 'tablespaces of a dump that fails' spaced_fails
t 'tablespaces that are not on the volume are refused' spaced_refused
