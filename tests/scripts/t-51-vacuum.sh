# shellcheck shell=bash
# shellcheck disable=SC2154 # set by run.sh
# Extensions, statistics and indexes on a new server; a test of its own namespaces.
t 'vacuum: extensions, statistics, indexes of changed collations' "$here/vacuum.sh"
