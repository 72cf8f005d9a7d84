# shellcheck shell=bash
# shellcheck disable=SC2154 # set by run.sh
# Every way in to a running server, and every name; a test of its own namespaces.
t 'gather: every way in, hostile names, closed databases' "$here/gather.sh"
