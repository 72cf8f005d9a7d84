#!/bin/bash
# Measures what an upgrade costs, on the test cluster: make bench. Prints a table and writes target/bench.json.
#
# The data (13, 1 GB in 1,000 tables) is made once for each file system; every repetition starts from a snapshot of it.
# Outages are those of a client that inserts a row every 50 ms through the Service. Times are medians.
# Env: BENCH_RUNS (3), BENCH_TABLES (1000), BENCH_ROWS (rows a table, 5500), BENCH_PARTS (upgrade rehearsal preflight dump).
cd "$(dirname "$0")/../.."
# shellcheck source=../support/lab.sh
. tests/support/lab.sh
# shellcheck source=tests/bench/dump.sh
. tests/bench/dump.sh

runs=${BENCH_RUNS:-3} tables=${BENCH_TABLES:-1000} rows=${BENCH_ROWS:-5500} parts=${BENCH_PARTS:-upgrade rehearsal preflight dump}
# 2 GB in 40 tables.
dump_rows=${BENCH_DUMP_ROWS:-270000}
samples=$(mktemp -d)

# sample NAME VALUE: one measurement; the rows of the table are medians of those of one name.
sample() { printf '%s\n' "$2" >>"$samples/${1//\//%}"; }

median() { sort -g "$samples/${1//\//%}" | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }

now_ms() {
  local now=${EPOCHREALTIME/[.,]/}
  echo "${now%???}"
}

# --- the data -----------------------------------------------------------------------------------------

# instance CLASS [SNAPSHOT [SIZE]]: StatefulSet pg of 13, from nothing or from a snapshot.
instance() {
  local text
  text=$(manifest tests/instances/library-statefulset.yaml NAME=pg IMAGE="$(library 13)" CLASS="$1" SIZE="${3:-4Gi}" PASSWORD_B64=YmVuY2g=)
  if [[ ${2:-} ]]; then
    text=${text/"storageClassName: \"$1\""/"storageClassName: \"$1\"
        dataSource: {apiGroup: snapshot.storage.k8s.io, kind: VolumeSnapshot, name: $2}"}
  fi
  k apply -f - <<<"$text" >/dev/null
  k rollout status statefulset/pg --timeout=300s >/dev/null
}

remove_instance() {
  k delete statefulset/pg deployment/web pod/writer configmap/writer --ignore-not-found --wait=true >/dev/null
  k delete pvc,configmap,lease,job --all --ignore-not-found >/dev/null
  # The snapshots of the runs, not those with the data.
  k delete volumesnapshot -l app.kubernetes.io/managed-by=kubectl-pg-upgrade --wait=false >/dev/null
}

# seed CLASS NAME TABLES ROWS [SIZE]: makes snapshot NAME.
seed() {
  say "Making the data $2"
  instance "$1" '' "${5:-}"
  {
    echo 'SET synchronous_commit = off;'
    echo "SELECT format('CREATE TABLE t%s (id int PRIMARY KEY, word text, pad text);', i) FROM generate_series(1, $3) i \\gexec"
    echo "SELECT format('INSERT INTO t%s SELECT n, md5(n::text), repeat(''x'', 90) FROM generate_series(1, $4) n;', i) FROM generate_series(1, $3) i \\gexec"
    echo 'VACUUM FREEZE ANALYZE; CHECKPOINT;'
    echo 'SELECT pg_size_pretty(sum(pg_database_size(oid))) FROM pg_database;'
  } >"$samples/.sql"
  say "  $(k exec -i statefulset/pg -- psql -XAtq -v ON_ERROR_STOP=1 -U postgres <"$samples/.sql" | tail -n 1)"
  k scale statefulset/pg --replicas=0 >/dev/null
  k wait --for=delete pod/pg-0 --timeout=120s >/dev/null
  k apply -f - >/dev/null <<-YAML
	apiVersion: snapshot.storage.k8s.io/v1
	kind: VolumeSnapshot
	metadata: {name: $2}
	spec: {source: {persistentVolumeClaimName: data-pg-0}}
	YAML
  k wait --for=jsonpath='{.status.readyToUse}'=true "volumesnapshot/$2" --timeout=120s >/dev/null
  remove_instance
}

# --- one upgrade --------------------------------------------------------------------------------------

start_clients() {
  manifest tests/instances/app.yaml NAME=web IMAGE="$(library 17)" DATABASE=pg | k apply -f - >/dev/null
  k rollout status deployment/web --timeout=120s >/dev/null
  start_writer
  sleep 3
}

# gap_of_writer: waits until it writes again, and says for how long it did not.
gap_of_writer() {
  local seen
  seen=$(acknowledged | wc -l)
  until (($(acknowledged | wc -l) > seen + 20)); do sleep 0.3; done
  acknowledged | longest_gap | cut -d' ' -f1
}

gap_of_app() {
  k rollout status deployment/web --timeout=120s >/dev/null
  sleep 2
  sql "SELECT max(gap) FROM (SELECT (1000 * extract(epoch FROM at - lag(at) OVER (ORDER BY at)))::int gap FROM app_writes) g"
}

# measure NAME CLASS TRANSFER: upgrades by the plugin.
measure() {
  local name=$1 pid peak=0 seen report=$samples/.report gap ours begun
  instance "$2" "data-$2"
  start_clients
  begun=$(now_ms)
  kubectl-pg_upgrade run statefulset/pg --context "$PG_UPGRADE_TEST_CONTEXT" -n "$namespace" --to 17 --transfer "$3" -y -o json \
    >"$report" 2>"$samples/.story" &
  pid=$!
  # The kernel keeps the highest value, so asking often enough is asking shortly before the end.
  while seen=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status" 2>/dev/null) && [[ $seen ]]; do
    peak=$seen
    sleep 0.1
  done
  wait "$pid" || die "the upgrade failed: $(<"$samples/.story")"
  sample "run/$name" $(($(now_ms) - begun))
  gap=$(gap_of_writer)
  ours=$(jq .result.pg_upgrade_ms "$report")
  sample "outage/$name" "$gap"
  sample "pg_upgrade/$name" "$ours"
  sample "above/$name" $((gap - ours))
  sample "app/$name" "$(gap_of_app)"
  sample peak-memory "$peak"
  sample requests "$(jq .apiRequests "$report")"
  # Split by step, in the words of the record.
  jq -r '.steps[] | select(.startedAt and .finishedAt) |
    (.finishedAt | sub("Z$"; "") | split(".") | (.[0] + "Z" | fromdate) * 1000 + ("0." + (.[1] // "0") | tonumber * 1000)) as $to |
    (.startedAt | sub("Z$"; "") | split(".") | (.[0] + "Z" | fromdate) * 1000 + ("0." + (.[1] // "0") | tonumber * 1000)) as $from |
    "\(.phase)-\(.step.do) \($to - $from | floor)"' "$report" |
    while read -r step ms; do sample "step/$name/$step" "$ms"; done
  say "  $name: outage $(seconds "$gap"), pg_upgrade $(seconds "$ours")"
  remove_instance
}

# commit_p99 SECONDS: the 99th percentile of the latency of small commits at a steady rate, microseconds.
commit_p99() {
  # shellcheck disable=SC2016 # for the shell in the pod
  k exec statefulset/pg -- sh -c 'rm -f /tmp/commits*; cd /tmp && pgbench -n -N -c 2 -R 50 -T "$1" -l --log-prefix=/tmp/commits -U postgres postgres >/dev/null 2>&1; cat /tmp/commits*' sh "$1" |
    awk '{ print $3 }' | sort -n | awk '{ v[NR] = $1 } END { print v[int(NR * 0.99)] }'
}

# beside_loops: the same beside a pod that asks for next to nothing and only turns in a circle, one loop a processor.
# It is what no work beside a server comes below, however little of the disk it needs.
beside_loops() {
  # shellcheck disable=SC2016 # for the shell in the pod
  k run loops --image="$(library 17)" --restart=Never --override-type=strategic --overrides='{"spec": {"terminationGracePeriodSeconds": 0,
    "containers": [{"name": "loops", "resources": {"requests": {"cpu": "1m"}}}]}}' --command -- \
    sh -c 'for i in $(seq "$(nproc)"); do while :; do :; done & done; wait' >/dev/null
  k wait --for=condition=Ready pod/loops --timeout=60s >/dev/null
  commit_p99 20
  k delete pod/loops --wait=true >/dev/null
}

# measure_rehearsal: what it predicts beside what the upgrade then takes, and what the live server's clients feel of it.
measure_rehearsal() {
  local report=$samples/.report predicted measured pid
  instance ext4 data-ext4
  k exec statefulset/pg -- pgbench -i -q -s 5 -U postgres postgres >/dev/null 2>&1
  commit_p99 5 >/dev/null
  sample commit-p99 "$(commit_p99 20)"
  sample commit-p99-loops "$(beside_loops)"
  commit_p99 20 >"$samples/.p99" &
  pid=$!
  plugin rehearse statefulset/pg --to 17 --transfer link -o json >"$report" 2>"$samples/.story" || die "the rehearsal failed: $(<"$samples/.story")"
  wait "$pid"
  sample commit-p99-rehearsing "$(<"$samples/.p99")"
  predicted=$(jq .predictedOutageMs "$report")
  plugin run statefulset/pg --to 17 --transfer link --skip-vacuum -y -o json >"$report" 2>"$samples/.story" || die "the upgrade failed: $(<"$samples/.story")"
  measured=$(jq .outageMs "$report")
  sample predicted "$predicted"
  sample measured "$measured"
  say "  rehearsal: predicted $(seconds "$predicted"), then $(seconds "$measured")"
  remove_instance
}

# measure_by_hand: what a careful person types. The old programs are put in place before, as a ready-made image would have them.
measure_by_hand() {
  local gap
  instance ext4 data-ext4
  k create configmap scripts --from-file=src/scripts >/dev/null
  manifest tests/bench/by-hand.yaml OLD="$(library 13)" NEW="$(library 17)" >"$samples/.by-hand"
  awk 'BEGIN { RS = "---\n" } NR == 1' "$samples/.by-hand" | k apply -f - >/dev/null
  k wait --for=jsonpath='{.status.phase}'=Succeeded pod/programs --timeout=120s >/dev/null
  k delete pod/programs >/dev/null
  start_clients
  k scale deployment/web --replicas=0 >/dev/null
  k wait --for=delete pod -l app=web --timeout=60s >/dev/null
  # From here on the outage.
  k scale statefulset/pg --replicas=0 >/dev/null
  k wait --for=delete pod/pg-0 --timeout=120s >/dev/null
  awk 'BEGIN { RS = "---\n" } NR == 2' "$samples/.by-hand" | k apply -f - >/dev/null
  k wait --for=condition=Complete job/upgrade --timeout=300s >/dev/null || die "by hand: $(k logs job/upgrade)"
  k set image statefulset/pg "postgres=$(library 17)" >/dev/null
  k scale statefulset/pg --replicas=1 >/dev/null
  k rollout status statefulset/pg --timeout=300s >/dev/null
  gap=$(gap_of_writer)
  [[ $(sql 'SHOW server_version_num') == 17* ]] || die 'by hand: not 17'
  sample by-hand "$gap"
  say "  by hand: outage $(seconds "$gap")"
  remove_instance
}

# --- what needs no upgrade ----------------------------------------------------------------------------

measure_help() {
  local from i
  for ((i = 0; i < 21; i++)); do
    from=${EPOCHREALTIME/[.,]/}
    kubectl-pg_upgrade --help >/dev/null
    sample help "$((${EPOCHREALTIME/[.,]/} - from))"
  done
}

measure_preflight() {
  local i from report=$samples/.report
  instance ext4 data-ext4
  for ((i = 0; i < runs; i++)); do
    from=$(now_ms)
    plugin preflight statefulset/pg --to 17 --read-only -o json >"$report" 2>/dev/null || (($? == 3))
    sample preflight $(($(now_ms) - from))
    sample preflight-requests "$(jq .apiRequests "$report")"
    from=$(now_ms)
    plugin preflight statefulset/pg --to 17 >/dev/null 2>&1
    sample preflight-with-pod $(($(now_ms) - from))
  done
  remove_instance
}

# --- the table ----------------------------------------------------------------------------------------

# row NAME VALUE UNIT BASELINE: the baseline is the bar, or what it is compared with.
row() {
  jq -nc --arg name "$1" --arg value "$2" --arg unit "$3" --arg baseline "${4:-}" \
    '{name: $name, value: ($value | tonumber), unit: $unit} +
      if $baseline == "" then {baseline: null, ratio: null}
      else {baseline: ($baseline | tonumber)} | .ratio = (($value | tonumber) / .baseline * 1000 | round / 1000) end' >>"$samples/.rows"
}

ms_to_s() { awk -v ms="$1" 'BEGIN { printf "%.3f", ms / 1000 }'; }

part() { [[ " $parts " == *" $1 "* ]]; }

upgrade_table() {
  local name file
  for name in link-ext4 clone-xfs; do
    row "outage-above-pg_upgrade/$name" "$(ms_to_s "$(median "above/$name")")" s 3.5
    row "outage/$name" "$(ms_to_s "$(median "outage/$name")")" s
    row "pg_upgrade/$name" "$(ms_to_s "$(median "pg_upgrade/$name")")" s
    row "app-writes-again/$name" "$(ms_to_s "$(median "app/$name")")" s
    row "run/$name" "$(ms_to_s "$(median "run/$name")")" s
    for file in "$samples/step%$name%"*; do
      file=${file##*/}
      row "${file//%//}" "$(ms_to_s "$(median "${file//%//}")")" s
    done
  done
  row outage-vs-by-hand/link-ext4 "$(ms_to_s "$(median outage/link-ext4)")" s "$(ms_to_s "$(median by-hand)")"
  row peak-memory "$(awk -v kib="$(median peak-memory)" 'BEGIN { printf "%.1f", kib / 1024 }')" MiB 50
  row api-requests/run "$(median requests)" requests 200
}

rehearsal_table() {
  row rehearsal-prediction/link-ext4 "$(ms_to_s "$(median predicted)")" s "$(ms_to_s "$(median measured)")"
  row commit-p99-beside-loops "$(ms_to_s "$(median commit-p99-loops)")" ms "$(ms_to_s "$(median commit-p99)")"
  row commit-p99-while-rehearsing "$(ms_to_s "$(median commit-p99-rehearsing)")" ms "$(ms_to_s "$(median commit-p99)")"
}

preflight_table() {
  row preflight "$(ms_to_s "$(median preflight)")" s 2
  row preflight-with-probe-pod "$(ms_to_s "$(median preflight-with-pod)")" s
  row api-requests/preflight "$(median preflight-requests)" requests 25
}

table() {
  local name
  for name in $parts; do "${name}_table"; done
  row help "$(ms_to_s "$(median help)")" ms 10
  mkdir -p target
  jq -s . "$samples/.rows" >target/bench.json
  {
    echo 'NAME|VALUE|UNIT|BASELINE|RATIO'
    jq -r '.[] | [.name, .value, .unit, .baseline // "", .ratio // ""] | join("|")' target/bench.json
  } | column -t -s '|'
}

use_cluster
own_cluster || die 'the benchmark needs the storage of the cluster of tests/cluster'
use_plugin release
namespace_of pg-upgrade-bench
measure_help
if part upgrade || part rehearsal || part preflight; then seed ext4 data-ext4 "$tables" "$rows"; fi
if part upgrade; then
  for ((i = 0; i < runs; i++)); do
    measure link-ext4 ext4 link
    measure_by_hand
  done
  seed xfs data-xfs "$tables" "$rows"
  for ((i = 0; i < runs; i++)); do measure clone-xfs xfs clone; done
fi
if part rehearsal; then for ((i = 0; i < runs; i++)); do measure_rehearsal; done; fi
if part preflight; then measure_preflight; fi
if part dump; then
  seed ext4 dump-ext4 40 "$dump_rows" 10Gi
  for ((i = 0; i < runs; i++)); do measure_dump; done
fi
table
rm -rf "$samples"
