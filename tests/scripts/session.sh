#!/bin/bash
# A lab whose commands come by stdin, each ended by a NUL; the exit code and what the command said go back, each ended by a NUL.
# For tests that are not written in shell: src/checks/testing/lab.rs.
# shellcheck source=tests/scripts/lab.sh
. "$(dirname "${BASH_SOURCE[0]}")/lab.sh"
lab_enter "$@"

# gather MAJOR [UID]: what the client would read in the server's container, by the script in $LAB/gather.sh.
gather() { as "${2:-999}" "$1" sh -c 'script=$(cat) && eval "$script"' < "$LAB/gather.sh" 2> "$LAB/complaints"; }

# agree OLD NEW: pg_upgrade --check of the running server on /vol/data.
agree() {
  local old=$1 new=$2 checksums=
  if [[ ! -e $LAB/vol/new-$new ]]; then
    bundle "$old" "$new"
    # The new programs find the old server by its socket.
    mount --bind "$(root "$old")/run/postgresql" "$(root "$new")/run/postgresql"
    # Since 18 the default is with them.
    ((new < 18 || ${old%%.*} >= 18)) || checksums=--no-data-checksums
    new_cluster "$new" "/vol/new-$new" $checksums
    echo 'wal_level = logical' >> "$LAB/vol/new-$new/postgresql.conf"
  fi
  as 999 "$new" sh -c 'cd /vol && exec pg_upgrade "$@"' sh --check -U postgres -b /pgo/bin -B "/usr/lib/postgresql/$new/bin" -d /vol/data -D "/vol/new-$new" -s /vol
}

while IFS= read -r -d '' command; do
  said=$(eval "$command" 2>&1 < /dev/null)
  printf '%s\0%s\0' "$?" "$said"
done
