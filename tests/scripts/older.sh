#!/bin/bash
# Prints the folder with the server of a major that no Debian release of the images has, laid out as Debian's packages are.
# Usage: older.sh 9.6|10|11|12. The archives are fetched once, by Maven. They have neither clients nor pg_controldata and pg_resetwal:
# a stand-in reads the control file, and over the root file system of 17 its clients are found.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${PG_UPGRADE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kubectl-pg-upgrade}

declare -A versions=([9.6]=9.6.24 [10]=10.23.0 [11]=11.22.0 [12]=12.22.0)

say() { printf 'servers: %s\n' "$*" >&2; }

version=${versions[$1]:-}
[[ $version ]] || { say "there is no server $1"; exit 2; }
id=$(cat "$here"/{older.sh,controldata.c,../cluster/images/server-archive.sh} | sha256sum | cut -c1-16)
at=$cache/lab/older-$version-$id

# fetch MAJOR
fetch() {
  local part=$at.part bin=$at.part/usr/lib/postgresql/$1/bin program
  say "fetching PostgreSQL $version"
  rm -rf "$part"
  mkdir -p "$bin"
  "$here/../cluster/images/server-archive.sh" "$version" "${bin%/bin}"
  for program in psql pg_isready; do ln -s "../../17/bin/$program" "$bin/$program"; done
  cc -O1 -DVERSION="\"$1\"" -o "$bin/pg_controldata" "$here/controldata.c"
  for program in pg_resetwal pg_resetxlog; do ln "$bin/pg_controldata" "$bin/$program"; done
  if [[ $1 == 9.6 ]]; then rm "$bin/pg_resetwal"; else rm "$bin/pg_resetxlog"; fi
  mv -T "$part" "$at"
}

if [[ ! -d $at ]]; then
  mkdir -p "$cache/locks" "$cache/lab"
  exec 9> "$cache/locks/older-$version"
  flock 9
  [[ -d $at ]] || fetch "$1"
fi
echo "$at"
