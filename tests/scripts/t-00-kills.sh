# shellcheck shell=bash
# shellcheck disable=SC2154 # set by run.sh
# The worker is killed (SIGKILL, as the kubelet or the kernel would) at random moments and started again.

# armed_seed TRANSFER FS: a volume whose worker was killed while it was armed; each round starts from a copy.
armed_seed() {
  prepared v13 13 17 "$1" "$2"
  pod_kill "$test_name-up"
  # The deadline is far away, so the restarted worker goes on by itself.
  printf '%s armed 99999999999999 0 ;\n' "$(date +%s%3N)" >> "$workdir/r1/journal"
  rm -rf "${vol:?}.seed"
  cp -a --reflink=auto "$vol" "$vol.seed"
}

# kill_round: sleeps[] are the moments of death in ms, the last start is left alive.
kill_round() {
  local ms dir=$base/pods/$test_name-up steps=''
  rm -rf "${vol:?}"
  cp -a --reflink=auto "$vol.seed" "$vol"
  for ms in "$@"; do
    rm -rf "${dir:?}/work"
    install -d -o "$uid" -g "$uid" "$dir/work"
    fresh
    worker
    sleep "$((ms / 1000)).$(printf %03d $((ms % 1000)))"
    pod_kill "$test_name-up"
    steps+=" $(grep -v '^$' "$workdir/r1/journal" | tail -n 1 | cut -d' ' -f2)"
  done
  fresh
  worker
  result=$(event result 90) || { echo "no result after$steps"; return 1; }
  echo "$(member "$result" outcome) after$steps"
  # Exactly one data directory that can be started: the one in its place.
  [[ -e $host/global/pg_control && -e $host/PG_VERSION ]] || { echo 'no whole data directory'; return 1; }
  case $(member "$result" outcome) in
    upgraded)
      is "$(<"$host/PG_VERSION")" 17
      same_facts "$test_name-new" 17 "$(template_facts v13)" || return 1
      server_stop "$test_name-new"
      ;;
    failed)
      is "$(member "$result" back)" true back || return 1
      is "$(<"$host/PG_VERSION")" 13
      same_facts "$test_name-old" 13 "$(template_facts v13)" || return 1
      server_stop "$test_name-old"
      ;;
  esac
  pod_kill "$test_name-up"
}

random_kills() {
  local transfer=$1 fs=$2 rounds=$3 seed=$4 i n moments summary
  crashed=1
  armed_seed "$transfer" "$fs"
  RANDOM=$seed
  for ((i = 0; i < rounds; i++)); do
    moments=()
    # Three deaths make it go back; most rounds have one.
    n=$((RANDOM % 6))
    n=$((n < 3 ? 1 : n < 5 ? 2 : 3))
    while ((n--)); do moments+=($((RANDOM % ${span:-2400} + 20))); done
    summary=$(kill_round "${moments[@]}" 2>&1) || { echo "seed $seed round $i moments ${moments[*]}: $summary"; return 1; }
    printf '%s (%s)\n' "$summary" "${moments[*]}" >> "$base/logs/$test_name"
  done
  echo "seed $seed: $(sed 's/ after.*//' "$base/logs/$test_name" | sort | uniq -c | tr -s ' \n' ' ')"
}

# lanes: two at a time, one for each core.
kill_lanes() {
  local rounds=${PGUP_TEST_KILLS:-30} seed=${PGUP_TEST_SEED:-$RANDOM} name=$test_name rc=0 pids=() lane transfer fs
  local lanes=(link:xfs clone:xfs)
  for lane in "${lanes[@]}"; do
    transfer=${lane%:*} fs=${lane#*:}
    (
      test_name=$name-$transfer
      random_kills "$transfer" "$fs" $(((rounds + 1) / 2)) "$seed"
    ) > "$base/logs/$name-$transfer.out" 2>&1 &
    pids+=($!)
  done
  for lane in "${pids[@]}"; do wait "$lane" || rc=1; done
  if ((rc)); then cat "$base/logs/$name"-*.out; return 1; fi
  tail -qn 1 "$base/logs/$name"-*.out | paste -sd';'
}

# A dump or a load that is cut off is begun again; what is half loaded never counts.
dump_kills() {
  span=4500 random_kills dump xfs $(((${PGUP_TEST_KILLS:-30} + 2) / 3)) "${PGUP_TEST_SEED:-$RANDOM}"
}

t 'killed at random moments' kill_lanes
t 'killed while dumping or loading' dump_kills
