#!/bin/bash
# Upgrades a PostgreSQL 13 with data and clients to 17 before your eyes: make demo. The clients keep working all the time.
cd "$(dirname "$0")/../.."
# shellcheck source=../support/lab.sh
. tests/support/lab.sh

bold=$(tput bold 2>/dev/null || true) plain=$(tput sgr0 2>/dev/null || true)

title() { printf '\n%s== %s%s\n' "$bold" "$*" "$plain"; }

show() {
  printf '%s$ %s%s\n' "$bold" "$*" "$plain"
  "$@"
}

# kubectl finds the plugin on the PATH; context and namespace are set once, as users do it.
prepare_kubeconfig() {
  config=$(mktemp)
  kubectl --context "$PG_UPGRADE_TEST_CONTEXT" config view --raw --minify --flatten >"$config"
  export KUBECONFIG=$config
  kubectl config set-context --current --namespace "$namespace" >/dev/null
  trap 'kubectl delete namespace "$namespace" --wait=false >/dev/null; rm -f "$config"' EXIT
}

counts='SELECT (SELECT count(*) FROM customers), (SELECT count(*) FROM orders), (SELECT md5(sum(hashtext(o::text))::text) FROM orders o)'

title 'A Kubernetes and the plugin'
use_cluster
use_plugin dev
namespace_of pg-upgrade-demo
prepare_kubeconfig
show kubectl get nodes

title 'PostgreSQL 13 with about 100 MB of data'
manifest tests/instances/library-statefulset.yaml NAME=pg IMAGE="$(library 13)" CLASS=ext4 SIZE=2Gi \
  PASSWORD_B64="$(printf %s "demo-$RANDOM$RANDOM" | base64)" | kubectl apply -f - >/dev/null
kubectl rollout status statefulset/pg --timeout=120s >/dev/null
sql "CREATE TABLE customers (id int PRIMARY KEY, name text);
  INSERT INTO customers SELECT i, md5(i::text) FROM generate_series(1, 50000) i;
  CREATE TABLE orders (id bigint PRIMARY KEY, customer int REFERENCES customers, note text);
  INSERT INTO orders SELECT i, 1 + i % 50000, repeat(md5(i::text), 3) FROM generate_series(1, 450000) i;
  CHECKPOINT;"
before=$(sql "$counts")
sql "SELECT version(), 'size of the database: ' || pg_size_pretty(pg_database_size('postgres'))" -F $'\n'

title 'Clients: an application, and a pod that inserts a row every 50 ms and that nothing stops'
manifest tests/instances/app.yaml NAME=web IMAGE="$(library 17)" DATABASE=pg | kubectl apply -f - >/dev/null
kubectl rollout status deployment/web --timeout=120s >/dev/null
start_writer
show kubectl get statefulsets,deployments,pods

title 'The upgrade'
show kubectl pg-upgrade run statefulset/pg --to 17 --yes

title 'What the clients saw'
kubectl rollout status deployment/web --timeout=120s >/dev/null
sleep 2
log=$(mktemp)
acknowledged >"$log"
read -r gap _ < <(longest_gap <"$log")
printf 'The writer was without its server for %s.\n' "$(seconds "$gap")"
read -r app_gap < <(sql "SELECT coalesce(max(gap), 0) FROM (SELECT (1000 * extract(epoch FROM at - lag(at) OVER (ORDER BY at)))::int gap FROM app_writes) g")
printf 'The application, stopped and started again, did not write for %s.\n' "$(seconds "$app_gap")"

title 'Is anything missing?'
after=$(sql "$counts")
printf 'customers, orders, checksum of orders\n  before: %s\n  after:  %s\n' "$before" "$after"
[[ $before == "$after" ]] || die 'THE DATA DIFFER'
total=$(wc -l <"$log")
lost=$(comm -23 <(cut -d' ' -f2 "$log" | sort) <(sql 'SELECT id FROM writes' | sort) | wc -l)
rm -f "$log"
printf 'The server confirmed %d inserts to the writer; %d of them are missing now.\n' "$total" "$lost"
((lost == 0)) || die 'CONFIRMED INSERTS ARE LOST'
sql 'SELECT version()'

title 'The way back is kept until you give it up'
show kubectl pg-upgrade cleanup statefulset/pg --list
printf '\nIt works. The namespace is deleted now; the cluster stays: make cluster-down ends it.\n'
