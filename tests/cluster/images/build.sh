#!/bin/bash
# Builds the PostgreSQL images of the tests as docker archives and prints the archives' paths, one a line.
# Usage: build.sh [13|15|15-security|15-alpine|17|17-older|18|19]... (default: all that tests on the cluster use, which is all but
# 19). Whatever is in the cache is not built again.
set -euo pipefail
umask 022
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${PG_UPGRADE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kubectl-pg-upgrade}/images
arch=$(dpkg --print-architecture)

# name, Debian suite and its release number, PostgreSQL major, with the suite's security updates, without, or with experimental.
# 15 and 17 exist in two minors: the newest ones cannot go to the 18 of sid, which the tests must see refused. What Debian has of 17
# is new everywhere: the server of 17-older is not Debian's.
# Of -alpine only the source is the suite's.
bases='
13          bullseye 11 13 no
17          trixie   13 17 no
15          bookworm 12 15 no
18          sid      14 18 no
15-security bookworm 12 15 yes
17-older    trixie   13 17 no
15-alpine   bookworm 12 15 no
19          sid      14 19 experimental
'

say() { printf 'images %2d:%02d  %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$*" >&2; }
fail() { say "$*"; exit 1; }

# base NAME FIELD
base() {
  local name suite release major security
  # shellcheck disable=SC2034  # read through the name in $2
  while read -r name suite release major security; do
    [[ $name == "$1" ]] || continue
    declare -n field=$2
    printf '%s\n' "$field"
    return
  done <<< "$bases"
  fail "there is no base called $1; there are: $(awk 'NF { printf "%s ", $1 }' <<< "$bases")"
}

digest() { sha256sum | cut -c1-16; }

is_alpine() { [[ $1 == *-alpine ]]; }
is_older() { [[ $1 == *-older ]]; }

# The last one that writes nothing that the 18 of sid does not know.
older_minor=17.11

# maker NAME: the script that makes its root file system.
maker() {
  case $1 in
    *-alpine) echo "$here/alpine.sh" ;;
    *-older) echo "$here/older-minor.sh" ;;
    *) echo "$here/rootfs.sh" ;;
  esac
}

rootfs_path() {
  local id
  id=$({
    cat "$(maker "$1")"
    echo "$arch" "$(base "$1" suite)" "$(base "$1" major)" "$(base "$1" security)"
    if is_older "$1"; then cat "$here/server-archive.sh" && echo "$(basename "$(rootfs_path "${1%-older}")") $older_minor"; fi
  } | digest)
  echo "$cache/rootfs-$1-$id"
}

archive_path() {
  local id
  id=$(cd "$here" && { cat build.sh docker-library/* bitnami/*; basename "$(rootfs_path "$1")"; } | digest)
  echo "$cache/postgres-$1-$id.tar"
}

# --- what the machine must have -------------------------------------------------------------------

install_packages() {
  local package missing=()
  for package in mmdebstrap debian-archive-keyring musl-tools; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null | grep -qx installed || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  say "installing Debian packages: ${missing[*]}"
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2
}

# mirror_of LABEL: the first archive of that label in the machine's own apt sources.
mirror_of() {
  # shellcheck disable=SC2016  # apt's own placeholders
  apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' |
    sed -n "s|^$1 \(https\{0,1\}://[^ ]*[^/ ]\)/*$|\1|p" | head -n 1
}

find_mirrors() {
  mirror=${PG_UPGRADE_TEST_MIRROR:-$(mirror_of Debian)}
  if [[ -z $mirror ]]; then
    say 'reading the package lists to find the Debian mirror'
    apt-get update -qq >&2 || true
    mirror=$(mirror_of Debian)
  fi
  [[ -n $mirror ]] || fail 'no Debian mirror in the apt sources of this machine: name one in PG_UPGRADE_TEST_MIRROR'
  security_mirror=${PG_UPGRADE_TEST_SECURITY_MIRROR:-$(mirror_of Debian-Security)}
  : "${security_mirror:=$mirror-security}"
}

# --- root file systems ----------------------------------------------------------------------------

build_rootfs() {
  local name=$1 path suite major lines=()
  path=$(rootfs_path "$name") suite=$(base "$name" suite) major=$(base "$name" major)
  # Explicit lines: left alone, mmdebstrap adds the security updates to every suite.
  lines=("deb $mirror $suite main")
  case $(base "$name" security) in
    yes) lines+=("deb $security_mirror $suite-security main") ;;
    # What sid lacks is taken from there, and the library that the clients need in their own version. mmdebstrap takes options here, too.
    experimental) lines+=("deb $mirror experimental main" --include=libpq5/experimental) ;;
  esac
  rm -rf "$path.part"
  case $name in
    *-alpine) "$(maker "$name")" "$suite" "$major" "$path.part" "$mirror" ;;
    *-older) "$(maker "$name")" "$(rootfs_path "${name%-older}")/rootfs.tar" "$major" "$older_minor" "$path.part" ;;
    *) "$(maker "$name")" "$suite" "$major" "$path.part" "${lines[@]}" ;;
  esac
  sha256sum "$path.part/rootfs.tar" | cut -d' ' -f1 > "$path.part/rootfs.sha256"
  mv -T "$path.part" "$path"
  find "$cache" -maxdepth 1 -name "rootfs-$name-????????????????" ! -path "$path" -mtime +0 -exec rm -rf {} +
}

# At most two at a time; a line of progress every few seconds, with the last thing that each one said.
build_missing_rootfs() {
  local queue=("$@") running=() name pid still told=$SECONDS failed=''
  declare -A pids
  while ((${#queue[@]} + ${#running[@]})); do
    while ((${#queue[@]} && ${#running[@]} < 2)); do
      name=${queue[0]}
      queue=("${queue[@]:1}")
      say "$name: making the root file system of Debian $(base "$name" suite)"
      build_rootfs "$name" > "$cache/rootfs-$name.log" 2>&1 &
      pids[$name]=$!
      running+=("$name")
    done
    sleep 1
    still=()
    for name in "${running[@]}"; do
      pid=${pids[$name]}
      if kill -0 "$pid" 2> /dev/null; then
        still+=("$name")
        if ((SECONDS - told >= 10)); then say "$name: $(tail -c 300 "$cache/rootfs-$name.log" | tr '\r' '\n' | tail -n 1 | cut -c1-90)"; fi
      elif wait "$pid"; then
        say "$name: root file system done: $(<"$(rootfs_path "$name")/version")"
        rm -f "$cache/rootfs-$name.log"
      else
        failed=$name
        queue=()
      fi
    done
    ((SECONDS - told < 10)) || told=$SECONDS
    running=("${still[@]}")
  done
  if [[ -n $failed ]]; then
    tail -n 20 "$cache/rootfs-$failed.log" >&2
    fail "$failed: making it failed, the whole log is in $cache/rootfs-$failed.log"
  fi
}

# What others are made of comes first.
build_in_rounds() {
  local name first=() second=()
  for name in "$@"; do
    if is_older "$name"; then
      second+=("$name")
      [[ " $* " == *" ${name%-older} "* || -e $(rootfs_path "${name%-older}") ]] || first+=("${name%-older}")
    else
      first+=("$name")
    fi
  done
  ((${#first[@]} == 0)) || build_missing_rootfs "${first[@]}"
  ((${#second[@]} == 0)) || build_missing_rootfs "${second[@]}"
}

# --- layers ---------------------------------------------------------------------------------------

# The name of a layer is the digest of its tar, so equal layers are one in the store.
pack_layer() {
  local dir=$1 id
  tar --sort=name --mtime=@0 --numeric-owner --format=gnu -C "$dir" -cf "$work/layer.tar" .
  id=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
  mv "$work/layer.tar" "$work/$id.tar"
  echo "$id"
}

# hide DIR PATH...: whiteouts, by which a layer removes what the layers below have.
hide() {
  local dir=$1 path
  shift
  for path; do
    mkdir -p "$dir/$(dirname "$path")"
    : > "$dir/$(dirname "$path")/.wh.$(basename "$path")"
  done
}

from_rootfs() { tar -xOf "$rootfs/rootfs.tar" "./$1"; }

layer_library() {
  local dir=$work/library sample=usr/share/postgresql
  mkdir -p "$dir/usr/local/bin" "$dir/$sample/$major"
  install -m 755 "$here/docker-library/docker-entrypoint.sh" "$dir/usr/local/bin/"
  from_rootfs "opt/bitnami/postgresql/share/postgresql/$major/postgresql.conf.sample" |
    sed "s/^#listen_addresses = .*/listen_addresses = '*'/" > "$dir/$sample/postgresql.conf.sample"
  ln -s ../postgresql.conf.sample "$dir/$sample/$major/postgresql.conf.sample"
  # mmdebstrap leaves /run empty, so the socket's folder is of this layer.
  install -d -o 999 -g 999 -m 3777 "$dir/run/postgresql"
  install -d -o 999 -g 999 -m 1777 "$dir/var/lib/postgresql"
  if ((major < 18)); then install -d -o 999 -g 999 -m 1777 "$dir/var/lib/postgresql/data"; fi
  # Debian's is a Perl script: as a probe of every instance it would be a tenth of what the tests cost.
  mkdir -p "$dir/usr/bin"
  ln -s "../lib/postgresql/$major/bin/pg_isready" "$dir/usr/bin/pg_isready"
  hide "$dir" opt/bitnami docker-entrypoint-preinitdb.d
  pack_layer "$dir"
}

layer_alpine() {
  mkdir -p "$work/alpine/usr/local/bin"
  install -m 755 "$here/docker-library/docker-entrypoint.sh" "$work/alpine/usr/local/bin/"
  pack_layer "$work/alpine"
}

layer_nolocale() {
  hide "$work/nolocale" usr/lib/locale/locale-archive
  pack_layer "$work/nolocale"
}

layer_bitnami() {
  local dir=$work/bitnami top=$work/bitnami/opt/bitnami pg=$work/bitnami/opt/bitnami/postgresql link
  mkdir -p "$top/scripts/postgresql" "$top/common/lib" "$pg" "$dir/etc" "$dir/run" "$work/pgaudit"
  install -m 755 "$here"/bitnami/{entrypoint,setup,run}.sh "$top/scripts/postgresql/"
  install -m 644 "$here/bitnami/postgresql-env.sh" "$top/scripts/"
  # bin leads into the relocated tree: pg_config then answers with paths below /opt/bitnami only.
  ln -s "lib/postgresql/$major/bin" "$pg/bin"
  ln -s "/usr/lib/$(multiarch)/libnss_wrapper.so" "$top/common/lib/libnss_wrapper.so"
  # Its clients and server meet in /tmp; those of Debian look in /run/postgresql.
  ln -s /tmp "$dir/run/postgresql"
  tar -xf "$rootfs/pgaudit.tar" -C "$work/pgaudit"
  rm -rf "$work/pgaudit/usr/share/doc" "$work/pgaudit/usr/lib/postgresql/$major/lib/bitcode"
  cp -a "$work/pgaudit/usr/lib" "$work/pgaudit/usr/share" "$pg/"
  install -d -m 775 "$dir/bitnami" "$dir/bitnami/postgresql" "$pg/conf" "$pg/tmp" "$pg/logs" "$pg/conf.default/conf.d"
  # The log of the first start needs no writable root file system.
  ln -s /dev/stdout "$pg/logs/postgresql.log"
  from_rootfs "opt/bitnami/postgresql/share/postgresql/$major/postgresql.conf.sample" |
    sed -e "/^#include_dir/i include_dir = 'conf.d'" \
      -e "s|^#unix_socket_directories = .*|unix_socket_directories = '/tmp'|" > "$pg/conf.default/postgresql.conf"
  grep -q "^include_dir = 'conf.d'" "$pg/conf.default/postgresql.conf"
  # Debian's pg_config of 13 answers with the paths of its build wherever it is; those of later majors look around.
  if ((major == 13)); then
    from_rootfs "opt/bitnami/postgresql/lib/postgresql/$major/bin/pg_config" > "$work/pg_config"
    mkdir -p "$pg/lib/postgresql/$major/bin"
    install -m 755 "$work/pg_config" "$pg/lib/postgresql/$major/bin/pg_config.bin"
    install -m 755 "$here/bitnami/pg_config-13.sh" "$pg/lib/postgresql/$major/bin/pg_config"
  fi
  # Neither 1001 nor postgres has an entry.
  for link in passwd group; do from_rootfs "etc/$link" | grep -v ^postgres: > "$dir/etc/$link"; done
  hide "$dir" usr/lib/postgresql usr/share/postgresql var/lib/postgresql usr/sbin/gosu
  while read -r link; do hide "$dir" "usr/bin/$link"; done < <(
    tar -tvf "$rootfs/rootfs.tar" | sed -n 's|.* \./usr/bin/\([a-z_]*\) -> .*pg_wrapper$|\1|p')
  pack_layer "$dir"
}

multiarch() {
  case $arch in
    amd64) echo x86_64-linux-gnu ;;
    arm64) echo aarch64-linux-gnu ;;
    *) fail "no images for the architecture $arch" ;;
  esac
}

# --- images ---------------------------------------------------------------------------------------

# strings A B C: a JSON list; no value here holds a character that JSON would want escaped.
strings() {
  local list
  list=$(printf '"%s",' "$@")
  echo "[${list%,}]"
}

# image CONFIG_JSON LAYER_LIST TAG...: appends to the manifest.
image() {
  local config=$1 layers=$2 id layer diffs=() files=()
  shift 2
  for layer in $layers; do
    diffs+=("sha256:$layer")
    files+=("$layer.tar")
  done
  printf '{"architecture":"%s","os":"linux","created":"1970-01-01T00:00:00Z","config":%s,"rootfs":{"type":"layers","diff_ids":%s}}' \
    "$arch" "$config" "$(strings "${diffs[@]}")" > "$work/config"
  id=$(sha256sum "$work/config" | cut -d' ' -f1)
  mv "$work/config" "$work/$id.json"
  manifest+=("{\"Config\":\"$id.json\",\"RepoTags\":$(strings "$@"),\"Layers\":$(strings "${files[@]}")}")
}

library_config() {
  local called=$1 version=$2 data=/var/lib/postgresql/data volume=/var/lib/postgresql/data
  if ((called >= 18)); then data=/var/lib/postgresql/$called/docker volume=/var/lib/postgresql; fi
  printf '{"Env":%s,"Entrypoint":["docker-entrypoint.sh"],"Cmd":["postgres"],"StopSignal":"SIGINT",' "$(strings \
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/postgresql/$major/bin" \
    LANG=en_US.utf8 "PG_MAJOR=$called" "PG_VERSION=$version" "PGDATA=$data")"
  printf '"Volumes":{"%s":{}},"ExposedPorts":{"5432/tcp":{}}}' "$volume"
}

bitnami_config() {
  printf '{"User":"1001","Env":%s,"ExposedPorts":{"5432/tcp":{}},' "$(strings \
    PATH=/opt/bitnami/postgresql/bin:/opt/bitnami/common/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    HOME=/ "OS_ARCH=$arch" "OS_FLAVOUR=debian-$release" OS_NAME=linux "APP_VERSION=$minor.0" BITNAMI_APP_NAME=postgresql \
    LANG=en_US.UTF-8 LANGUAGE=en_US:en NSS_WRAPPER_LIB=/opt/bitnami/common/lib/libnss_wrapper.so)"
  printf '"Entrypoint":["/opt/bitnami/scripts/postgresql/entrypoint.sh"],"Cmd":["/opt/bitnami/scripts/postgresql/run.sh"],'
  printf '"Volumes":{"/bitnami/postgresql":{},"/docker-entrypoint-initdb.d":{},"/docker-entrypoint-preinitdb.d":{}}}'
}

# build_archive NAME OUT: one archive for all images on one root file system, which it holds once.
build_archive() {
  local name=$1 out=$2 rootfs suite release major version minor below library bitnami manifest=()
  local official=docker.io/library/postgres vendor=docker.io/bitnamilegacy/postgresql
  rootfs=$(rootfs_path "$name") suite=$(base "$name" suite) release=$(base "$name" release) major=$(base "$name" major)
  version=$(<"$rootfs/version") minor=${version%%-*} below=$(<"$rootfs/rootfs.sha256")
  rm -rf "$work"
  mkdir -p "$work"
  local tags=("$official:$name" "$official:$minor" "$official:$minor-$suite")
  if is_alpine "$name"; then
    image "$(library_config "$major" "$version")" "$below $(layer_alpine)" "$official:$name" "$official:$minor-alpine"
  else
    library=$(layer_library)
    bitnami=$(layer_bitnami)
    [[ $name != "$major" ]] || tags+=("$official:$major-$suite")
    image "$(library_config "$major" "$version")" "$below $library" "${tags[@]}"
    image "$(bitnami_config)" "$below $bitnami" "$vendor:$name" "$vendor:$minor.0" "$vendor:$minor.0-debian-$release-r0"
  fi
  # Two images for tests of refusals: one says 17 everywhere but holds 15, one lacks the locale of its clusters.
  [[ $name != 15 ]] || image "$(library_config 17 "17.99-${version#*-}")" "$below $library" "$official:17-lies"
  [[ $name != 17 ]] || image "$(library_config 17 "$version")" "$below $library $(layer_nolocale)" "$official:17-nolocale"
  local list
  list=$(printf '%s,' "${manifest[@]}")
  printf '[%s]' "${list%,}" > "$work/manifest.json"
  rm -rf "$out.part" "${work:?}"/*/
  (cd "$work" && tar --numeric-owner --owner=0 --group=0 --sort=name --mtime=@0 -cf "$out.part" -- *)
  tar -C "$rootfs" --numeric-owner --owner=0 --group=0 --transform "s|^rootfs.tar$|$below.tar|" -rf "$out.part" rootfs.tar
  rm -rf "$work"
  mv "$out.part" "$out"
  # An edit of an entrypoint makes new archives of all bases: those of other days go.
  find "$cache" -maxdepth 1 -name "postgres-$name-????????????????.tar" ! -path "$out" -mtime +0 -delete
}

# --------------------------------------------------------------------------------------------------

names=("$@")
if ((${#names[@]} == 0)); then mapfile -t names < <(awk 'NF && $1 != "19" { print $1 }' <<< "$bases"); fi

missing() {
  local name
  for name in "${names[@]}"; do [[ -e $("$1" "$name") ]] || printf '%s\n' "$name"; done
}

for name in "${names[@]}"; do base "$name" suite > /dev/null; done
if [[ -n $(missing archive_path) ]]; then
  [[ $(id -u) == 0 ]] || fail 'making root file systems needs root'
  mkdir -p "$cache"
  exec 9> "$cache/.lock"
  while ! flock -w 10 9; do say 'waiting: another build holds the cache'; done
  mapfile -t archives < <(missing archive_path)
  if ((${#archives[@]})); then
    mapfile -t systems < <(names=("${archives[@]}"); missing rootfs_path)
    if ((${#systems[@]})); then
      install_packages
      find_mirrors
      build_in_rounds "${systems[@]}"
    fi
    work=$cache/work
    for name in "${archives[@]}"; do
      say "$name: packing the images"
      build_archive "$name" "$(archive_path "$name")"
    done
    say 'all images are in the cache'
  fi
  exec 9>&-
fi
for name in "${names[@]}"; do archive_path "$name"; done
