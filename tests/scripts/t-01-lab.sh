# shellcheck shell=bash
# shellcheck disable=SC2154 # set by run.sh
# Tests with namespaces of their own. They are long, so they begin early.
t 'vacuum: extensions, statistics, indexes of changed collations' "$here/vacuum.sh"
t 'observe: nothing to say about a healthy upgrade, every loss found' "$here/verify.sh"
t 'observe: a server of 9.6' "$here/verify-older.sh"
t 'gather: every way in, hostile names, closed databases' "$here/gather.sh"
