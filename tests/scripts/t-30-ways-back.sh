# shellcheck shell=bash
# shellcheck disable=SC2154 # set by run.sh
# Ways back after an upgrade, and the pods that are made later: back, adopt, usage, remove, probe.

# upgraded TRANSFER FS: an upgrade from a stopped server, the worker still waiting.
upgraded() {
  prepared v13 13 17 "$1" "$2"
  ctl arm 60 > /dev/null
  is "$(member "$(event result 60)" outcome)" upgraded outcome
  before=$(template_facts v13)
}

# new_ran: the new server starts, writes and stops.
new_ran() {
  server_start "$test_name-new" 17
  query "$test_name-new" 17 app "update items set note = 'changed by 17'; vacuum full items; create table only_in_17(i int)"
  server_stop "$test_name-new"
}

back_is_whole() {
  is "$(member "$1" outcome)" back outcome
  is "$(member "$1" clean)" true clean
  same_facts "$test_name-old" 13 "$before"
  [[ -d $workdir/r1/failed-17/global ]]
}

back_after_use() {
  upgraded "$1" "$2"
  new_ran
  fresh
  ctl go-back > /dev/null
  back_is_whole "$(event result)"
}

back_unstarted() {
  upgraded link ext4
  # The container is killed and started again: the result is said again, the way back is still open.
  pod_kill "$test_name-up"
  fresh
  worker
  is "$(member "$(event result)" outcome)" upgraded outcome
  fresh
  ctl go-back > /dev/null
  back_is_whole "$(event result)"
  ctl finish > /dev/null
  pod_wait "$test_name-up"
}

back_refused_after_start() {
  upgraded link ext4
  new_ran
  line=$(ctl go-back) && return 1
  is "$(member "$line" reason)" new_started reason
  server_start "$test_name-new2" 17
}

back_refused_while_running() {
  upgraded clone xfs
  server_start "$test_name-new" 17
  line=$(ctl go-back) && return 1
  is "$(member "$line" reason)" server_running reason
  is "$(query "$test_name-new" 17 app 'select 1')" 1
  pod_kill "$test_name-new"
  line=$(ctl go-back) && return 1
  fresh
  # The client has seen the pod gone.
  ctl go-back gone > /dev/null
  back_is_whole "$(event result)"
}

# back_pod: the worker is long gone; a pod of its own goes back from the journal.
back_pod() {
  upgraded "$1" "$2"
  pod_kill "$test_name-up"
  fresh
  worker_env 13 17 "$1" PGUP_MODE=back
  worker
  back_is_whole "$(event result)"
  pod_wait "$test_name-up"
  # Again: says the same and changes nothing.
  server_stop "$test_name-old"
  fresh
  worker
  is "$(member "$(event result)" outcome)" back
  pod_wait "$test_name-up"
}

back_pod_mid_run() {
  crashed=1
  prepared v13 13 17 link ext4
  before=$(template_facts v13)
  ctl arm 60 > /dev/null
  event pg_upgrade > /dev/null
  sleep "0.$((RANDOM % 9))"
  pod_kill "$test_name-up"
  fresh
  worker_env 13 17 link PGUP_MODE=back
  worker
  back_is_whole "$(event result 60)"
  pod_wait "$test_name-up"
}

# adopt_pod FS: the copy in $base/snap-of-test takes the place of what is on the volume.
adopt_pod() {
  pod_kill "$test_name-up"
  echo "$snap" > "$base/pods/$test_name-up/SNAP"
  fresh
  worker_env 13 17 link PGUP_MODE=adopt
  worker
  result=$(event result 60)
  is "$(member "$result" outcome)" restored outcome
  pod_wait "$test_name-up"
  same_facts "$test_name-old" 13 "$before"
  server_stop "$test_name-old"
}

adopt_before() {
  instance v13 xfs
  snap=$base/xfs/$test_name-snap
  crashed=1
  server_start "$test_name-old" 13
  query "$test_name-old" 13 app 'create table t as select generate_series(1, 1000) i' > /dev/null
  before=$(template_facts v13)
  # As a snapshot of a running server: a pid file, recovery to be done.
  cp -a --reflink=auto "$vol" "$snap"
  # An earlier run has ended on this volume.
  mkdir -p "$snap/.pg-upgrade/r0"
  echo '1 placed ;' > "$snap/.pg-upgrade/r0/journal"
  chown -R "$uid:$uid" "$snap/.pg-upgrade"
  server_stop "$test_name-old"
  worker_env 13 17 link
  bundle
  worker
  event prepared > /dev/null
  ctl arm 60 > /dev/null
  event result 60 > /dev/null
  new_ran
  # The new image's entrypoint has given the data to a user of its own: one pod tries the copy, another one takes it.
  pod_kill "$test_name-up"
  chown -R 1001:1001 "$vol"
  chmod 0755 "$vol"
  echo "$snap" > "$base/pods/$test_name-up/SNAP"
  fresh
  worker_env 13 17 link PGUP_MODE=adopt
  worker
  is "$(jq -c '[.reason, .owner]' <<< "$(event refused 60)")" '["not_owner",1001]'
  pod_wait "$test_name-up" || true
  rm -r "$base/pods/$test_name"-{up,old}
  uid=1001
  worker_env 13 17 link
  bundle
  pod_start "$test_name-up" "$to" true
  adopt_pod
  is "$(member "$result" crashed)" true 'unlogged tables are told'
  is "$(find "$host" -perm /077 -print -quit)" '' modes
}

# freeze_copy: the volume as it is at one instant, the whole pod standing still.
freeze_copy() {
  local ns pids=() pid before=x
  ns=$(readlink "/proc/$(<"$base/pods/$test_name-up/pid")/ns/pid")
  # Again until a pass finds nothing new: a process may fork while the others are being stopped.
  while [[ ${pids[*]} != "$before" ]]; do
    before=${pids[*]}
    pids=()
    for pid in /proc/[0-9]*; do
      if [[ $(readlink "$pid/ns/pid" 2> /dev/null) == "$ns" ]]; then pids+=("${pid#/proc/}"); fi
    done
    kill -STOP "${pids[@]}" 2> /dev/null || true
  done
  cp -a --reflink=auto "$vol" "$snap"
  kill -CONT "${pids[@]}" 2> /dev/null || true
}

# Snapshots of random moments of one link upgrade; each must lead back to all data.
adopt_moments() {
  crashed=1
  prepared v13 13 17 link xfs
  before=$(template_facts v13)
  ctl arm 60 > /dev/null
  local i moments=()
  for i in 1 2 3 4; do
    snap=$base/xfs/$test_name-snap-$i
    sleep "0.$((RANDOM % 4))$((RANDOM % 9))"
    freeze_copy
    moments+=("$(grep -v '^$' "$snap/.pg-upgrade/r1/journal" | tail -n 1 | cut -d' ' -f2)")
  done
  event result 60 > /dev/null
  for i in 1 2 3 4; do
    snap=$base/xfs/$test_name-snap-$i
    rm -rf "$vol/.pg-upgrade/r1/adopt-journal"
    adopt_pod || { echo "snapshot $i at ${moments[*]}"; return 1; }
  done
  echo "moments: ${moments[*]}"
}

adopt_refuses_shared() {
  upgraded link xfs
  new_ran
  snap=$base/xfs/$test_name-snap
  cp -a --reflink=auto "$vol" "$snap"
  pod_kill "$test_name-up"
  echo "$snap" > "$base/pods/$test_name-up/SNAP"
  fresh
  worker_env 13 17 link PGUP_MODE=adopt
  worker
  is "$(member "$(event refused)" reason)" snapshot_unusable
  pod_wait "$test_name-up" && return 1
  server_start "$test_name-new2" 17
}

# Killed once the old cluster's control file is disabled: nothing but a snapshot leads back, and that is said.
swap_lost() {
  prepared v17older 17-older 18 swap xfs
  ctl arm 60 > /dev/null
  local i
  for ((i = 0; i < 3000; i++)); do
    if [[ -e $workdir/r1/old-17/global/pg_control.old ]]; then break; fi
    nap 0.002
  done
  pod_kill "$test_name-up"
  fresh
  worker
  result=$(event result 60)
  is "$(member "$result" outcome)" failed outcome
  is "$(member "$result" back)" false back
  is "$(member "$result" needs)" snapshot needs
  pod_kill "$test_name-up"
  fresh
  worker
  is "$(member "$(event result)" needs)" snapshot 'said again'
  line=$(ctl go-back) && return 1
  ctl finish > /dev/null
}

remove_and_usage() {
  upgraded link ext4
  pod_kill "$test_name-up"
  fresh
  echo precious > "$vol/precious"
  local name
  for name in .. . '../precious' /vol/precious r1/../../precious r1/.. 'r1/old-13/base' r2 'r1//x' 'x y/../..'; do
    worker_env 13 17 link PGUP_MODE=remove "PGUP_REMOVE=$name"
    worker
    is "$(member "$(event refused)" reason)" outside "$name"
    pod_wait "$test_name-up" || :
    fresh
  done
  [[ -e $vol/precious && -e $workdir/r1/old-13/base ]]
  worker_env 13 17 link PGUP_MODE=usage
  worker
  is "$(member "$(event usage)" 'runs[0].step')" placed
  is "$(member "$(event usage)" 'runs[0].entries | map(.name) | contains(["old-13"])')" true
  pod_wait "$test_name-up"
  # While the data directory is not whole, nothing is removed.
  mv "$host/global" "$vol/elsewhere"
  worker_env 13 17 link PGUP_MODE=remove PGUP_REMOVE=r1
  worker
  is "$(member "$(event refused)" reason)" in_use
  pod_wait "$test_name-up" || :
  mv "$vol/elsewhere" "$host/global"
  fresh
  worker
  (($(member "$(event freed)" bytes) > 1000000))
  pod_wait "$test_name-up"
  if [[ -e $workdir ]]; then ls -la "$workdir"; return 1; fi
  server_start "$test_name-new" 17
  is "$(facts "$test_name-new" 17)" "$before"
}

locked() {
  prepared v13 13 17 link ext4
  test_name=$test_name-second
  worker_env 13 17 link
  bundle
  worker
  is "$(member "$(event refused 20)" reason)" locked
}

probe() {
  ${3:-true}
  instance v13 "$1"
  worker_env 13 17 link
  bundle
  find "$vol" | sort > "$base/logs/$test_name.before"
  pod_start "$test_name-up" 17 "${shell_command[@]}" /scripts/probe.sh
  event done > /dev/null
  find "$vol" | sort | diff "$base/logs/$test_name.before" -
  jq -es 'length == 7' < "$base/pods/$test_name-up/out" > /dev/null || jq -c .event < "$base/pods/$test_name-up/out"
  is "$(member "$(event target)" major)" 17
  is "$(member "$(event target)" 'version_num / 10000 | floor')" 17
  is "$(member "$(event target)" uid_exists)" true
  is "$(member "$(event target)" libc)" glibc
  is "$(member "$(event locales)" 'names | index("en_US.utf8") != null')" true
  is "$(member "$(event extensions)" 'extensions.hstore.default_version')" 1.8
  is "$(member "$(event extensions)" 'extensions.hstore.versions | index("1.4") != null')" true
  is "$(member "$(event libraries)" 'names | index("hstore") != null')" true
  is "$(member "$(event settings)" 'names | index("work_mem") != null')" true
  line=$(event volume)
  is "$(member "$line" pg_version)" 13
  is "$(member "$line" writable_parent)" true
  is "$(member "$line" reflink)" "$2"
  is "$(member "$line" fstype)" "$1"
  is "$(member "$line" 'control["Database cluster state"]')" 'shut down'
  (($(member "$line" data_bytes) > 1000000 && $(member "$line" data_files) > 100 && $(member "$line" free_bytes) > 1000))
}

t 'link goes back before the new server started' back_unstarted
t 'link does not go back after it' back_refused_after_start
t 'clone goes back after the new server wrote' back_after_use clone xfs
t 'copy goes back after the new server wrote' back_after_use copy ext4
t 'go-back waits for the server to be gone' back_refused_while_running
t 'back pod after clone' back_pod clone xfs
t 'back pod after an interrupted link' back_pod_mid_run
t 'adopt a snapshot of the running server' adopt_before
t 'adopt snapshots of a link upgrade' adopt_moments
t 'adopt refuses files that the new server changed' adopt_refuses_shared
t 'remove and usage' remove_and_usage
t 'one worker at a time' locked
t 'probe on ext4' probe ext4 false
t 'probe on xfs' probe xfs true
t 'probe with busybox' probe ext4 false with_busybox
t 'swap after the point of no return says so' swap_lost
