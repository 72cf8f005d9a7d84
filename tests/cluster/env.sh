#!/bin/bash
# Prints what a shell has to evaluate to use the test cluster named by CLUSTER.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
check_name
is_up || die "Cluster $CLUSTER is not up: make cluster-up CLUSTER=$CLUSTER"
printf 'export KUBECONFIG=%q\n' "$DIR/kubeconfig"
# The shell's own PATH is meant, when it evaluates this.
# shellcheck disable=SC2016
command -v kubectl >/dev/null || printf 'export PATH="$PATH":%q\n' "$(dirname "$(readlink "$DIR/kubectl")")"
