# shellcheck shell=bash
# shellcheck disable=SC2154 # set by run.sh
# The observation before the stop and the comparison after it; a test of its own namespaces.
t 'observe: nothing to say about a healthy upgrade, every loss found' "$here/verify.sh"
