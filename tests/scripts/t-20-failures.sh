# shellcheck shell=bash
# shellcheck disable=SC2154 # set by run.sh
# What goes wrong around the upgrade: the old version must come back whole, or the upgrade be refused.

# live TRANSFER [SQL]: 13 with its server running and a prepared worker for 17; SQL is run in the database app first.
live() {
  instance v13 ext4
  worker_env 13 17 "$1"
  server_start "$test_name-old" 13
  if [[ ${2:-} ]]; then query "$test_name-old" 13 app "$2"; fi
  before=$(facts "$test_name-old" 13)
  bundle
  worker
  event prepared > /dev/null
}

# is_back: the result says so, the old server starts on all data, and the configuration is the user's again.
is_back() {
  is "$(member "$1" outcome)" failed outcome
  is "$(member "$1" back)" true back
  if head -n 1 "$host/postgresql.conf" | grep -q 'written by kubectl'; then echo 'our configuration is left'; return 1; fi
  grep -q work_mem "$host/postgresql.auto.conf"
  same_facts "$test_name-again" 13 "$before"
}

fails_in_restore() {
  if [[ ${2:-} ]]; then data=/vol work=/vol/.pg-upgrade; fi
  live "$1" 'create view broken as select buffers_backend from pg_stat_bgwriter'
  ctl arm 60 > /dev/null
  server_stop "$test_name-old"
  result=$(event result 60)
  is_back "$result"
  is "$(member "$result" reason)" pg_upgrade reason
  member "$result" log_tail | grep -q buffers_backend
  [[ -d $workdir/r1/failed-17/pg_upgrade_output.d ]]
}

fails_in_check() {
  live link 'create extension adminpack'
  ctl arm 60 > /dev/null
  server_stop "$test_name-old"
  result=$(event result 60)
  is_back "$result"
  member "$result" log_tail | grep -q adminpack
}

# A scale-up in the middle: the old server refuses the guard directory and harms nothing.
intruder_during_guard() {
  live link
  ctl arm 60 > /dev/null
  server_stop "$test_name-old"
  event pg_upgrade > /dev/null
  local tries=0 i version
  for ((i = 0; i < 60; i++)); do
    # The docker-library entrypoint would not initialise: the version file is there.
    version=$(cat "$host/PG_VERSION")
    if [[ $version != 13 ]]; then
      # The new directory enters, so there is no guard any more.
      grep -q ' place ' "$host/../.pg-upgrade/r1/journal"
      break
    fi
    # Configuration elsewhere, so that it comes as far as it can.
    pod_start "$test_name-intruder" 13 "$(bin 13)/postgres" -D "$data" -c config_file=/plan/x.conf
    : > "$base/pods/$test_name-intruder/plan/x.conf"
    if pod_wait "$test_name-intruder"; then echo 'the intruder started'; return 1; fi
    tries=$((tries + 1))
  done
  grep -q 'could not find the database system\|could not access the server configuration' "$base/pods/$test_name-intruder/err"
  is "$(member "$(event result 60)" outcome)" upgraded outcome
  same_facts "$test_name-new" 17 "$before"
  echo "refused $tries times"
}

# An intruder's mount opens the directories (fsGroup): once more after a chmod. The shim is what the mount does.
intruder_opens_directories() {
  instance v13 ext4
  shell_path=/shim: worker_env 13 17 link
  bundle
  shim find 'if [ ! -e '"$box"'/opened ] && [ "$1" = base ]; then
  chmod 2770 /vol/.pg-upgrade/r1/old-13 /vol/.pg-upgrade/r1/new-17 && : > '"$box"'/opened
fi
real "$@"'
  worker
  event prepared > /dev/null
  ctl arm 60 > /dev/null
  result=$(event result 60)
  is "$(member "$result" outcome)" upgraded outcome
  is "$(member "$result" attempts)" 2 attempts
  server_start "$test_name-new" 17
  facts "$test_name-new" 17 > /dev/null
}

# A server that starts between the last look and the guard's first rename has written its pid file.
server_between() {
  instance v13 ext4
  shell_path=/shim: worker_env 13 17 link
  bundle
  shim mv 'real "$@" || exit
case "$*" in
  */pgdata/global*/old-13/) echo 77 > /vol/pgdata/postmaster.pid; echo moved > '"$box"'/moved ;;
esac'
  worker
  event prepared > /dev/null
  ctl arm 60 > /dev/null
  result=$(event result)
  is "$(member "$result" back)" true back
  is "$(member "$result" reason)" server_started reason
  [[ -e $base/pods/$test_name-up$box/moved ]]
  rm "$host/postmaster.pid"
  [[ -e $host/base && -e $host/global && -e $host/postgresql.conf ]]
  server_start "$test_name-again" 13
  facts "$test_name-again" 13 > /dev/null
}

timeout_disarms() {
  live link
  ctl arm 1 > /dev/null
  line=$(event disarmed 5)
  is "$(member "$line" reason)" timeout
  is "$(member "$line" postmaster_pid)" true
  server_stop "$test_name-old"
  sleep 0.3
  # A stop after the time is nobody's order.
  [[ -e $host/global ]]
  is "$(ctl ping | jq -r .step)" disarmed
  ctl arm 60 > /dev/null
  is "$(member "$(event result 60)" outcome)" upgraded outcome
}

disarm_holds() {
  live link
  ctl arm 60 > /dev/null
  ctl disarm > /dev/null
  server_stop "$test_name-old"
  sleep 0.3
  [[ -e $host/global ]]
  # What a killed worker was told before does not count after it has been taken back.
  pod_kill "$test_name-up"
  fresh
  worker
  event prepared > /dev/null
  sleep 0.2
  [[ -e $host/global ]]
  ctl finish > /dev/null
  pod_wait "$test_name-up"
}

unclean_needs_leave() {
  live link
  query "$test_name-old" 13 app "insert into items(name, note) values ('late', 'not checkpointed')"
  crashed=1
  before=$(facts "$test_name-old" 13)
  pod_kill "$test_name-old"
  [[ -e $host/postmaster.pid ]]
  ctl arm 2 > /dev/null
  line=$(event disarmed 6)
  is "$(member "$line" state)" 6 state
  is "$(member "$line" postmaster_pid)" true pid
  [[ -e $host/global ]]
  ctl arm 60 recover > /dev/null
  is "$(member "$(event result 60)" outcome)" upgraded outcome
  grep -q '"event":"recovering"' "$base/pods/$test_name-up/out"
  same_facts "$test_name-new" 17 "$before"
}

unclean_is_said() {
  live link
  pod_kill "$test_name-old"
  rm "$host/postmaster.pid"
  ctl arm 60 > /dev/null
  is "$(member "$(event unclean 6)" state)" 6 state
  ctl disarm > /dev/null
  [[ -e $host/global ]]
}

# Without a pid file nothing but time tells a starting server from a dead one.
living_server_is_not_dead() {
  live link
  mv "$host/postmaster.pid" "$host/../kept"
  ctl arm 60 recover > /dev/null
  local i
  for ((i = 0; i < 10; i++)); do
    query "$test_name-old" 13 app "insert into items(name, note) values ('x', 'y')"
    sleep 0.3
  done
  [[ -e $host/global ]]
  mv "$host/../kept" "$host/postmaster.pid"
  ctl disarm > /dev/null
}

aborted() {
  live "$1"
  ctl arm 60 > /dev/null
  server_stop "$test_name-old"
  event pg_upgrade > /dev/null
  sleep "$2"
  ctl go-back > /dev/null
  result=$(event result 60)
  is "$(member "$result" reason)" aborted reason
  is_back "$result"
}

# Asked to end, it stops the old server that pg_upgrade has started: a killed one would empty its unlogged tables.
terminated() {
  local i
  prepared v13 13 17 link ext4
  ctl arm 60 > /dev/null
  for ((i = 0; i < 3000; i++)); do
    if [[ -e $workdir/r1/old-13/postmaster.pid ]]; then break; fi
    nap 0.002
  done
  nap 0.1
  pod_kill "$test_name-up" TERM
  if [[ -e $workdir/r1/old-13/postmaster.pid ]]; then echo 'the old server was killed'; return 1; fi
  fresh
  worker
  result=$(event result 60)
  is "$(member "$result" outcome)" upgraded outcome
  same_facts "$test_name-new" 17 "$(template_facts v13)"
}

# Nobody waits for the end of a pod that still copies programs.
bundle_ends() {
  local dir i rc=0
  instance v13 ext4
  worker_env 13 17 link
  dir=$base/pods/$test_name-up
  pod_start "$test_name-up" 13 sh /scripts/bundle.sh
  for ((i = 0; i < 1000; i++)); do
    [[ ! -e $dir/pgo/lib ]] || break
    nap 0.005
  done
  kill -TERM "$(<"$dir/pid")"
  pod_wait "$test_name-up" || rc=$?
  is "$rc" 143 code
  [[ ! -e $dir/pgo/complete ]]
}

# A recovery may take hours: a pod that is asked to end does not wait for it.
recovery_ends() {
  local programs began
  live link
  programs=$base/pods/$test_name-up/pgo$(bin 13)
  # The file itself is every test's.
  mv "$programs/pg_ctl" "$programs/.pg_ctl.whole"
  printf '#!/bin/sh\ncase "$*" in *" start") sleep 30 ;; esac\nexec %s/.pg_ctl.whole "$@"\n' "/pgo$(bin 13)" > "$programs/pg_ctl"
  chmod 0755 "$programs/pg_ctl"
  pod_kill "$test_name-old"
  ctl arm 60 recover > /dev/null
  event recovering > /dev/null
  began=$SECONDS
  pod_kill "$test_name-up" TERM
  ((SECONDS - began < 10)) || { echo "it ended after $((SECONDS - began)) s"; return 1; }
  # What recovery will have lost is told by whoever comes next.
  grep -q ' crashed 6 ;' "$workdir/r1/journal"
}

# compared [ARG...]: what observe.sh says of the new server, from the level on.
compared() { pod_exec "$test_name-new" PGDATA="$data" sh /vol/observe.sh after "${workdir/#"$vol"//vol}/r1" "$@" 2> /dev/null; }

# in_use FROM: waits until the old server that pg_upgrade has started is in production.
in_use() {
  local i
  for ((i = 0; i < 5000; i++)); do
    [[ $(od -An -tu4 -j16 -N4 "$workdir/r1/old-$1/global/pg_control" 2> /dev/null) != *6 ]] || return 0
    nap 0.002
  done
  return 1
}

# A killed old server empties its unlogged tables when it comes back: that is told, and is the only thing that is otherwise.
cut_off() {
  local template=$1 from=$2 to=$3 sequences=$4 line
  crashed=1
  instance "$template" ext4
  worker_env "$from" "$to" "$5"
  bundle
  server_start "$test_name-old" "$from"
  query "$test_name-old" "$from" app "create unlogged table cache(k text primary key, v text, h text);
    insert into cache select i, (select string_agg(md5((i * j)::text), '') from generate_series(1, 200) j), md5(i::text) from generate_series(1, 500) i;
    create index on cache using gin (to_tsvector('simple', h)); create unlogged table bare(i int);
    create table item_ids as select id from items"
  if ((sequences)); then query "$test_name-old" "$from" app "create unlogged sequence drawn start 7; select nextval('drawn'), nextval('drawn')"; fi
  before=$(facts "$test_name-old" "$from")
  worker
  event prepared > /dev/null
  cat "$scripts/sql.sh" "$scripts/unlisted.sh" "$scripts/observe.sh" > "$vol/observe.sh"
  pod_exec "$test_name-old" PGDATA="$data" sh /vol/observe.sh before "${workdir/#"$vol"//vol}/r1" counts
  ctl arm 60 > /dev/null
  server_stop "$test_name-old"
  in_use "$from"
  pod_kill "$test_name-up"
  fresh
  worker
  line=$(event recovering 60)
  is "$(member "$line" state)" 6 state
  result=$(event result 60)
  is "$(member "$result" outcome)" upgraded outcome
  is "$(member "$result" crashed)" true crashed
  same_facts "$test_name-new" "$to" "$before"
  line=$(compared counts writers=no '' 1 | tail -n 1)
  is "$(jq -c .differences <<< "$line")" 0 differences
  is "$(jq -c '[.emptied.tables, .emptied.sequences]' <<< "$line")" "[2,$sequences]" emptied
  is "$(jq -c '[.emptied.first[] | .kind + " " + .database + " " + .object]' <<< "$line")" \
    "[\"table app public.cache\",\"table app public.scratch\"$( ((!sequences)) || echo ',"sequence app public.drawn"')]" names
  # Rows are not counted at this level, but blocks tell.
  is "$(compared quick writers=unknown '' 1 | jq -c 'select(.event == "verified") | [.differences, .emptied.tables]')" '[0,2]' quick
  if [[ $5 != dump ]]; then
    # Without the listing of the stopped directory, the files of indexes and TOAST tables are compared with the observation.
    mv "$workdir/r1/sizes" "$workdir/r1/sizes.kept"
    is "$(compared counts writers=no '' 1 | jq -c 'select(.event == "verified").differences')" 0 'differences without sizes'
    is "$(compared counts writers=no '' 0 | jq -r 'select(.event == "difference") | .kind' | sort -u | paste -sd' ')" \
      "index rows $( ((!sequences)) || echo 'sequence value ')table toast toast index" kinds
    mv "$workdir/r1/sizes.kept" "$workdir/r1/sizes"
  fi
  # Where nobody was killed, the same is a loss; and so are other rows than before.
  is "$(compared counts writers=no '' 0 | jq -c 'select(.event == "verified") | [.differences, .emptied]')" "[$((2 + sequences)),null]" 'not crashed'
  query "$test_name-new" "$to" app "insert into scratch values (2), (3); update items set name = 'other' where id = 1; truncate item_ids"
  line=$(compared counts writers=no '' 1)
  grep -q '"rows".*public.scratch.*"before" : {"rows": 1}, "after" : {"rows": 2}' <<< "$line"
  grep -q '"rows".*public.item_ids' <<< "$line"
  is "$(tail -n 1 <<< "$line" | jq -c '[.emptied.first[] | select(.object == "public.scratch")]')" '[]' 'not empty'
}

# Nothing is compared on the way back, so the result alone tells.
cut_off_twice() {
  crashed=1
  live link
  ctl arm 60 > /dev/null
  server_stop "$test_name-old"
  in_use 13
  pod_kill "$test_name-up"
  fresh
  worker
  event pg_upgrade > /dev/null
  in_use 13
  pod_kill "$test_name-up"
  fresh
  worker
  result=$(event result 60)
  is_back "$result"
  is "$(member "$result" reason)" interrupted reason
  is "$(member "$result" crashed)" true crashed
}

# The server restarts after the death of one of its processes, unless it is told not to: nothing would tell of the loss.
process_dies() {
  crashed=1
  live link
  ctl arm 60 > /dev/null
  server_stop "$test_name-old"
  in_use 13
  # shellcheck disable=SC2016 # for the shell in the pod
  pod_exec "$test_name-up" sh -c 'read -r pid </vol/.pg-upgrade/r1/old-13/postmaster.pid
    read -r child _ </proc/$pid/task/$pid/children
    kill -9 "$child"'
  is "$(member "$(event again 60)" reason)" crash again
  result=$(event result 60)
  is "$(member "$result" outcome)" upgraded outcome
  is "$(member "$result" crashed)" true crashed
  same_facts "$test_name-new" 17 "$before"
}

t 'asked to end in the middle of pg_upgrade' terminated
t 'killed in the middle of pg_upgrade, unlogged tables are told' cut_off v13 13 17 0 link
t 'killed in the middle of pg_upgrade, unlogged sequences are told' cut_off v15 15 17 1 copy
t 'killed in the middle of a dump, unlogged tables are told' cut_off v13 13 17 0 dump
t 'asked to end while programs are copied' bundle_ends
t 'asked to end while the old server recovers' recovery_ends
t 'killed in the middle of pg_upgrade again, goes back and says so' cut_off_twice
t 'a process of the old server dies in the middle of pg_upgrade' process_dies
t 'restore fails, link goes back' fails_in_restore link
t 'restore fails, data directory is the mount' fails_in_restore copy nested
t 'check fails, goes back' fails_in_check
t 'scale-up during the guard is refused' intruder_during_guard
t 'directories opened by another mount' intruder_opens_directories
t 'server started before the guard was complete' server_between
t 'arming ends by itself' timeout_disarms
t 'disarm holds over a restart' disarm_holds
t 'unclean stop needs leave to recover' unclean_needs_leave
t 'unclean stop without pid file is said' unclean_is_said
t 'a server that writes is not dead' living_server_is_not_dead
t 'go-back during pg_upgrade early' aborted link 0.3
t 'go-back during pg_upgrade late' aborted copy 1.2
