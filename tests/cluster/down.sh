#!/bin/bash
# Ends the test cluster named by CLUSTER and removes all that it had.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
check_name
[ "$(id -u)" = 0 ] || die "cluster-down needs root, as cluster-up did"
lock_cluster
remove_cluster
rm -f "$STATE/$CLUSTER.lock"
say "Cluster $CLUSTER is down."
