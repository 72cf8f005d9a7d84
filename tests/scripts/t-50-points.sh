# shellcheck shell=bash
# shellcheck disable=SC2154 # set by run.sh
# Death at every step: each tool that the worker calls (mv, sync, rm, ...) is once the last thing it does, or is killed
# half-way. PostgreSQL is played by fake.sh, so that a round takes a fraction of a second and the end can be compared
# file by file with the end of a run that nobody disturbed. PGUP_TEST_FULL=1 takes every point, not a sample.

# point_world DIR NESTED: programs, shims and an old cluster.
point_world() {
  local dir=$1 tool shims='mv sync rm cp mkdir chmod rmdir cat cksum ln find'
  mkdir -p "$dir"/{newbin,shim,tools,pgo/oldbin,plan,vol/data}
  if [[ ${points_busybox:-} ]]; then
    cp "$(command -v busybox)" "$dir/tools/"
    for tool in $(busybox --list); do ln -s busybox "$dir/tools/$tool" 2> /dev/null || true; done
    points_path=$dir/tools
    # This shell takes its own applets before what the PATH has, and functions before both.
    points_shell_words=("$dir/tools/busybox" sh -c "$(for tool in $shims; do echo "$tool() { '$dir/shim/$tool' \"\$@\"; }"; done); . \"\$0\"")
  fi
  for tool in postgres initdb pg_ctl pg_upgrade; do cp "$here/fake.sh" "$dir/newbin/$tool"; done
  for tool in postgres pg_ctl pg_controldata pg_resetwal; do cp "$here/fake.sh" "$dir/pgo/oldbin/$tool"; done
  echo /oldbin > "$dir/pgo/bindir"
  echo '{}' > "$dir/pgo/complete"
  echo gone_setting > "$dir/plan/removed"
  for tool in $shims; do
    cat > "$dir/shim/$tool" <<SHIM
#!/bin/sh
if [ -n "\${POINT:-}" ]; then
  printf x >>"\$POINT_COUNT"
  # Without a process: most of what these tests cost is starting some.
  count=
  read -r count <"\$POINT_COUNT" || :
  if [ "\${#count}" = "\$POINT" ]; then
    echo "$tool \$*" >"\$POINT_COUNT.what"
    if [ "\$POINT_HOW" = half ]; then
      # Half of what is to be moved, the rest not.
      case $tool in
        mv)
          flag='' first=\$1
          case \$1 in -*) flag=\$1; shift; first=\$1 ;; esac
          for last; do :; done
          $(PATH=$points_path command -v "$tool") \$flag "\$first" "\$last" 2>/dev/null
          if [ \$# -gt 4 ]; then $(PATH=$points_path command -v "$tool") \$flag "\$2" "\$last" 2>/dev/null; fi
          ;;
        *) $(PATH=$points_path command -v "$tool") "\$@" ;;
      esac
    fi
    kill -9 "-\$(/usr/bin/cat "\$POINT_COUNT.group")"
  fi
fi
exec $(PATH=$points_path command -v "$tool") "\$@"
SHIM
    chmod 0755 "$dir/shim/$tool"
  done
  local data=$dir/vol/data
  mkdir -p "$data"/{base/1,global,pg_wal,pg_xact,pg_tblspc,conf.d}
  echo 13 > "$data/PG_VERSION"
  for tool in 1 2 3 4; do echo "data $tool" > "$data/base/1/user$tool"; done
  echo old > "$data/base/1/catalog"
  echo filenode > "$data/global/pg_filenode.map"
  echo wal > "$data/pg_wal/000000010000000000000001"
  echo x > "$data/pg_xact/0000"
  { printf '12345678\024\005\000\000\001\000\000\000\001\000\000\000'; echo 13 old; } > "$data/global/pg_control"
  printf '%s\n' '# of the user' 'gone_setting = 1' > "$data/postgresql.conf"
  echo "# auto" > "$data/postgresql.auto.conf"
  echo '# hba of the user' > "$data/pg_hba.conf"
  echo certificate > "$data/server.crt"
  echo 'work_mem = 1MB' > "$data/conf.d/own.conf"
  echo opts > "$data/postmaster.opts"
  if [[ ${points_place:-} ]]; then
    mkdir "$dir/vol/$points_place"
    echo 17 > "$dir/vol/$points_place/PG_VERSION"
  fi
  chmod -R go-rwx "$dir"/vol/*
}

# point_worker DIR [NAME=VALUE...]: the worker in a process group of its own, output in DIR/out.
point_worker() {
  local dir=$1
  shift
  rm -rf "$dir/box" "$dir/count"*
  mkdir "$dir/box"
  : > "$dir/out"
  setsid /usr/bin/env -i PATH="$dir/shim:$dir/newbin:$points_path" PGUP_RUN=r1 PGUP_DATA="$dir/vol/data" PGUP_WORK="$dir/vol/$points_work" \
    PGUP_FROM=13 PGUP_TO=17 PGUP_TRANSFER="$points_transfer" PGUP_BOX="$dir/box" PGUP_PGO="$dir/pgo" PGUP_PLAN="$dir/plan" \
    PGUP_SNAP_DATA="$dir/snap/data" PGUP_SNAP_WORK="$dir/snap/$points_work" \
    ${points_place:+PGUP_PLACE="$dir/vol/$points_place" PGUP_SNAP_PLACE="$dir/snap/$points_place"} FAKE_FROM=13 FAKE_TO=17 POINT_COUNT="$dir/count" "$@" \
    sh -c 'echo $$ >"$POINT_COUNT.group"; exec "$0" "$@"' "${points_shell_words[@]}" "$scripts/worker.sh" >> "$dir/out" 2>> "$dir/err" &
  worker_pid=$!
  # Else the shell reports each death.
  disown
}

# lives PID: also a child that bash has not noticed the end of is dead.
lives() {
  local stat
  { read -r stat < "/proc/$1/stat"; } 2> /dev/null && [[ ${stat##*)} != ' Z '* ]]
}

# point_event DIR NAME: waits for a line, fails when the worker has died.
point_event() {
  local i
  for ((i = 0; i < 3000; i++)); do
    said "$1/out" "\"event\":\"$2\"" && return 0
    lives "$worker_pid" || { said "$1/out" "\"event\":\"$2\""; return; }
    nap 0.01
  done
  return 1
}

point_stop() {
  if [[ -e $1/count.group ]]; then kill -9 -- "-$(<"$1/count.group")" 2> /dev/null || true; fi
  while lives "$worker_pid"; do nap 0.005; done
}

point_ask() { PGUP_BOX=$1/box PGUP_CTL_TIMEOUT=20 sh "$scripts/ctl.sh" "${@:2}" > /dev/null; }

# point_ping DIR: waits until the worker answers or dies.
point_ping() {
  local ctl
  point_ask "$1" ping 2> /dev/null &
  ctl=$!
  while lives "$ctl"; do
    if ! lives "$worker_pid"; then kill "$ctl" 2> /dev/null || true; fi
    nap 0.01
  done
  wait "$ctl" 2> /dev/null || true
}

# point_serves: the worker waits for commands after its result.
point_serves() { [[ ${points_env[*]} != *PGUP_MODE=* ]]; }

# tree VOLUME: every entry of the data directories with kind, mode and content, but the work directory.
tree() {
  (
    cd "$1" || exit
    find . -name .pg-upgrade -prune -o -printf '%P %y %l %m\n'
    find . -name .pg-upgrade -prune -o -type f -exec md5sum {} +
  ) | LC_ALL=C sort
}

# settle DIR: lets the worker run on undisturbed to its result; asks for what the round is about again.
settle() {
  point_worker "$1" "${points_env[@]}"
  point_event "$1" result || return 1
  if [[ $points_ask ]] && ! grep -q '"outcome":"back"' "$1/out"; then
    point_ask "$1" "$points_ask" || return 1
    local i
    for ((i = 0; ; i++)); do
      said "$1/out" '"outcome":"back"' && break
      ((i < 1500)) || return 1
      nap 0.01
    done
  fi
  # What follows the result (tidying) ends when it answers again.
  if point_serves; then point_ask "$1" ping; fi
  point_stop "$1"
}

# points SEED_DIR LANE: kills at each point of a run from the seed; the end must be the reference's or the original.
points() {
  local seed=$1 dir=$1.lane-$2 k how step=1 offset=0 killed n=0 misses=0 what
  # Two lanes, one takes what the other leaves; the sample starts anywhere.
  if [[ ! ${PGUP_TEST_FULL:-} ]]; then step=4 offset=$((RANDOM % 4)); fi
  for ((k = 1 + $2 + 2 * offset; k < 400; k += 2 * step)); do
    for how in before half; do
      rm -rf "$dir"
      cp -a "$seed" "$dir"
      # Absolute paths in the shims point to the seed's tools, which are the same.
      point_worker "$dir" POINT="$k" POINT_HOW="$how" "${points_env[@]}"
      if [[ $points_ask ]]; then
        point_event "$dir" result && point_ask_background "$dir"
      fi
      killed=''
      local i
      for ((i = 0; i < 3000; i++)); do
        if ! lives "$worker_pid"; then killed=1; break; fi
        # An errand ends by itself.
        if point_serves && said "$dir/out" "\"outcome\":\"$points_outcome\""; then
          # The tidying afterwards has its points too.
          point_ping "$dir"
          if [[ -e $dir/count.what ]]; then continue; fi
          break
        fi
        nap 0.01
      done
      what=$(cat "$dir/count.what" 2> /dev/null || true)
      point_stop "$dir"
      if [[ ! $what ]]; then
        # Concurrent jobs may both count before one looks; several misses are the end.
        misses=$((misses + 1))
        if ((misses > 8)); then echo "$n points"; return 0; fi
        continue
      fi
      misses=0
      if [[ ! $killed ]]; then echo "point $k ($what): it lived on"; return 1; fi
      settle "$dir" || { echo "point $k $how ($what): no result"; tail -n 5 "$dir/out" "$dir/err"; return 1; }
      tree "$dir/vol" > "$dir/tree"
      if ! cmp -s "$dir/tree" "$seed/end"; then
        if ! { [[ $points_back_too ]] && cmp -s "$dir/tree" "$seed/original"; }; then
          echo "point $k $how ($what), then:"
          diff "$seed/end" "$dir/tree" | head -n 12
          grep -v '^$' "$dir/vol/$points_work/r1/journal"
          return 1
        fi
      fi
      n=$((n + 1))
    done
  done
  echo "$n points"
}
point_ask_background() { (PGUP_BOX=$1/box PGUP_CTL_TIMEOUT=3 sh "$scripts/ctl.sh" "$points_ask" > /dev/null 2>&1 &); }

# all_points OUTCOME: seeds a world, runs it once undisturbed for the reference, then kills it everywhere.
all_points() {
  local seed=$base/points-$test_name lane rc=0 pids=()
  points_outcome=$1
  point_world "$seed"
  tree "$seed/vol" > "$seed/original"
  ${points_seed:-seed_armed} "$seed"
  # The undisturbed run.
  cp -a "$seed" "$seed.reference"
  settle "$seed.reference" || { cat "$seed.reference"/{out,err}; return 1; }
  grep -q "\"outcome\":\"$points_outcome\"" "$seed.reference/out" || { cat "$seed.reference/out"; return 1; }
  tree "$seed.reference/vol" > "$seed/end"
  if [[ $points_outcome != upgraded ]]; then cmp "$seed/original" "$seed/end" || return 1; fi
  for lane in 0 1; do
    points "$seed" $lane > "$seed.out-$lane" 2>&1 &
    pids+=($!)
  done
  for lane in "${pids[@]}"; do wait "$lane" || rc=1; done
  if ((rc)); then cat "$seed".out-*; return 1; fi
  cat "$seed".out-* | paste -sd' '
  rm -rf "$seed"*
}

seed_armed() {
  point_worker "$1" PGUP_TRANSFER="$points_transfer"
  point_event "$1" prepared
  point_stop "$1"
  echo "ALTER ROLE ALL SET work_mem TO E'1MB';" > "$1/vol/$points_work/r1/unlisted.sql"
  echo "$(date +%s%3N) armed 99999999999999 0 ;" >> "$1/vol/$points_work/r1/journal"
}

seed_placed() {
  seed_armed "$1"
  point_worker "$1"
  point_event "$1" result
  point_ask "$1" ping
  point_stop "$1"
}

# The copy is of a moment within pg_upgrade, the volume itself has gone on.
seed_snapshot() {
  local i
  seed_armed "$1"
  cp -a "$1/vol" "$1/kept"
  point_worker "$1" POINT=24 POINT_HOW=half
  for ((i = 0; i < 1000; i++)); do
    lives "$worker_pid" || break
    nap 0.01
  done
  point_stop "$1"
  mv "$1/vol" "$1/snap"
  mv "$1/kept" "$1/vol"
  point_worker "$1"
  point_event "$1" result
  point_ask "$1" ping
  point_stop "$1"
}

points_shell_words=(sh) points_env=() points_ask='' points_back_too='' points_path=/usr/bin:/bin
upgrade_points() {
  points_transfer=$1 points_work=$2
  all_points upgraded
}
failure_points() {
  points_transfer=link points_work=$1 points_env=(FAKE_FAIL=1)
  all_points failed
}
back_points() {
  points_transfer=link points_work=$1 points_ask=go-back points_seed=seed_placed
  all_points back
}

adopt_points() {
  points_transfer=link points_work=$1 points_env=(PGUP_MODE=adopt) points_seed=seed_snapshot
  all_points restored
}
place_points() {
  points_place=17
  "$@"
}
busybox_points() {
  points_busybox=1
  upgrade_points "$@"
}

t 'death at every step with busybox' busybox_points link .pg-upgrade
t 'death at every step of a link upgrade' upgrade_points link .pg-upgrade
t 'death at every step, data directory is the mount' upgrade_points copy data/.pg-upgrade
t 'death at every step of a failure' failure_points .pg-upgrade
t 'death at every step of a go-back' back_points data/.pg-upgrade
t 'death at every step of an adoption' adopt_points .pg-upgrade
t 'death at every step, into another directory' place_points upgrade_points link .pg-upgrade
t 'death at every step of a go-back from another directory' place_points back_points .pg-upgrade
t 'death at every step of an adoption from another directory' place_points adopt_points .pg-upgrade
