# shellcheck shell=bash
# shellcheck disable=SC2154 # samples and dump_rows are run.sh's
# --method dump beside what a person types: the tuned way (directory format, jobs, zstd) and the plain pipe. Each loads
# into a new server of its own from the same old one, over the network of the pods.

# instance_of NAME MAJOR: an empty server.
instance_of() {
  manifest tests/instances/library-statefulset.yaml NAME="$1" IMAGE="$(library "$2")" CLASS=ext4 SIZE=10Gi PASSWORD_B64=YmVuY2g= |
    k apply -f - >/dev/null
  k rollout status "statefulset/$1" --timeout=300s >/dev/null
}

remove_instance_of() {
  k delete "statefulset/$1" --wait=true >/dev/null
  k delete "pvc/data-$1-0" --wait=true >/dev/null
}

# typed NAME COMMAND: the milliseconds that a command takes in a pod of the new version, with the old server at pg and an
# empty new one at new; what it loaded is counted.
typed() {
  local begun
  instance_of new 17
  k exec statefulset/new -- psql -XAtq -U postgres -c "ALTER SYSTEM SET max_wal_size = '4GB'" -c 'SELECT pg_reload_conf()' >/dev/null
  manifest tests/bench/by-hand-dump.yaml IMAGE="$(library 17)" | k apply -f - >/dev/null
  k wait --for=condition=Ready pod/hand --timeout=120s >/dev/null
  k exec hand -- sh -c 'until pg_isready -q -h pg && pg_isready -q -h new; do sleep 0.2; done'
  begun=$(now_ms)
  k exec hand -- bash -euo pipefail -c "$2" >"$samples/.typed" 2>&1 || die "by hand ($1): $(tail -n 5 "$samples/.typed")"
  sample "$1" $(($(now_ms) - begun))
  [[ $(k exec statefulset/new -- psql -XAtq -U postgres -c 'SELECT count(*) FROM t1') == "$dump_rows" ]] || die "by hand ($1): rows are missing"
  k delete pod/hand --wait=true >/dev/null
  remove_instance_of new
}

measure_dump() {
  local report=$samples/.report ours
  instance ext4 dump-ext4 10Gi
  # shellcheck disable=SC2016 # for the shell in the pod
  typed dump-tuned 'pg_dump -h pg -Fd -j 2 -Z zstd -f /dump/d postgres
    PGOPTIONS="-c maintenance_work_mem=256MB -c synchronous_commit=off" pg_restore -h new -d postgres -j 2 /dump/d'
  # An md5 password of 13 would lock its own session out of a server that asks for SCRAM.
  typed dump-pipe 'pg_dumpall --no-role-passwords -h pg | psql -X -q -h new postgres'
  plugin run statefulset/pg --to 17 --method dump --jobs 2 --skip-vacuum -y -o json >"$report" 2>"$samples/.story" ||
    die "the upgrade by dump failed: $(<"$samples/.story")"
  ours=$(jq '.result | .dump_ms + .load_ms' "$report")
  sample dump-ours "$ours"
  say "  dump and load: $(seconds "$ours"), tuned by hand $(seconds "$(median dump-tuned)"), by pipe $(seconds "$(median dump-pipe)")"
  remove_instance
}

dump_table() {
  row dump-vs-tuned/ext4 "$(ms_to_s "$(median dump-ours)")" s "$(ms_to_s "$(median dump-tuned)")"
  row dump-vs-pipe/ext4 "$(ms_to_s "$(median dump-ours)")" s "$(ms_to_s "$(median dump-pipe)")"
}
