# shellcheck shell=bash
# What the demo and the benchmark share. Sourced from the root of the checkout; sets -euo pipefail.
set -euo pipefail

say() { printf '%s\n' "$*" >&2; }

die() {
  say "$@"
  exit 1
}

# use_cluster: the cluster that PG_UPGRADE_TEST_CONTEXT names, else the one of tests/cluster, which is started if it is not up.
use_cluster() {
  if [[ ! ${PG_UPGRADE_TEST_CONTEXT:-} ]]; then
    make -s cluster-up CLUSTER="${CLUSTER:-dev}" >&2
    eval "$(CLUSTER="${CLUSTER:-dev}" tests/cluster/env.sh)"
    PG_UPGRADE_TEST_CONTEXT=pg-upgrade-${CLUSTER:-dev}
  fi
  export PG_UPGRADE_TEST_CONTEXT
}

# use_plugin dev|release: builds it, and puts it where kubectl looks for plugins.
use_plugin() {
  local directory=${1/dev/debug}
  say 'Building the plugin'
  cargo build --profile "$1" --locked --quiet
  PATH=${CARGO_TARGET_DIR:-$PWD/target}/$directory:$PATH
  export PATH
}

# k ARGUMENT...: kubectl in the namespace of the lab.
k() { kubectl --context "$PG_UPGRADE_TEST_CONTEXT" --namespace "$namespace" "$@"; }

# plugin COMMAND ARGUMENT...: as a user types it.
plugin() { kubectl pg-upgrade "$1" --context "$PG_UPGRADE_TEST_CONTEXT" --namespace "$namespace" "${@:2}"; }

own_cluster() { [[ $PG_UPGRADE_TEST_CONTEXT == pg-upgrade-* ]]; }

# namespace_of PURPOSE: makes one that is deleted at the end.
namespace_of() {
  namespace=$1-$$
  kubectl --context "$PG_UPGRADE_TEST_CONTEXT" create namespace "$namespace" >/dev/null
  trap 'kubectl --context "$PG_UPGRADE_TEST_CONTEXT" delete namespace "$namespace" --wait=false >/dev/null' EXIT
}

# manifest FILE NAME=VALUE...: a file with its placeholders filled in. On a cluster that is not ours its default storage class is used.
manifest() {
  local text pair
  text=$(<"$1")
  shift
  for pair; do text=${text//"\${${pair%%=*}}"/${pair#*=}}; done
  text=${text//"\${NAMESPACE}"/$namespace}
  if own_cluster; then printf '%s\n' "$text"; else grep -v storageClassName <<<"$text"; fi
}

library() { echo "docker.io/library/postgres:$1"; }

# start_writer: the pod that inserts a row every 50 ms through the Service pg, and waits until it does.
start_writer() {
  k create configmap writer --from-file=tests/support/writer.sh >/dev/null
  manifest tests/support/writer.yaml IMAGE="$(library 17)" DATABASE=pg | k apply -f - >/dev/null
  local tries
  for ((tries = 0; tries < 200; tries++)); do
    if (($(acknowledged | wc -l) > 20)); then return; fi
    sleep 0.3
  done
  die "The writer does not write: $(k logs writer --tail=3)"
}

# acknowledged: a line for each insert that the server has confirmed to the writer: unix time in milliseconds, id.
acknowledged() { k exec writer -- cat /log/acknowledged 2>/dev/null || true; }

# longest_gap: milliseconds, from the lines of acknowledged on stdin; second the time at which it began.
longest_gap() {
  awk 'NR > 1 && $1 - last > gap { gap = $1 - last; from = last } { last = $1 } END { print gap + 0, from + 0 }'
}

# sql STATEMENT [psql option...]: as the superuser, in database postgres of the docker-library instance pg.
sql() { k exec -i statefulset/pg -c postgres -- psql -XAtq -v ON_ERROR_STOP=1 -U postgres "${@:2}" <<<"$1"; }

# seconds MILLISECONDS
seconds() { printf '%d.%03d s' $(($1 / 1000)) $(($1 % 1000)); }
