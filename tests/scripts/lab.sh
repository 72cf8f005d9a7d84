#!/bin/bash
# Real PostgreSQL servers of several majors without containers: each major runs in the root file system of its test image,
# all share one volume at /vol, and everything ends with the test. Sourced by the tests of the scripts; needs root.
# shellcheck disable=SC2034

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
scripts=$repository/src/scripts

# Starts the calling test again in namespaces of its own: mounts and servers vanish with the test's first process.
lab_enter() {
  if [[ -z ${LAB-} ]]; then
    [[ $(id -u) == 0 ]] || { echo "$0 needs root" >&2; exit 77; }
    LAB=$(mktemp -d "${TMPDIR:-/tmp}/pg-upgrade-lab.XXXXXX")
    export LAB
    local code=0
    unshare --mount --pid --fork --kill-child --propagation private --mount-proc "$0" "$@" || code=$?
    rm -rf "$LAB"
    exit "$code"
  fi
  # What killed servers leave in the shared memory goes with the namespace.
  mount -t tmpfs tmpfs /dev/shm
  mkdir -p "$LAB/vol" "$LAB/roots"
  chown 999:999 "$LAB/vol"
  lab_passed=0 lab_failed=0
}

# tree NAME: the root file system of a test image (13, 15, 17, 18, 19), unpacked once and kept in the cache; for an older server
# (9.6, 10, 11, 12) that of 17 with the server's files above it.
tree() {
  local cache=${PG_UPGRADE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kubectl-pg-upgrade} tars tar at
  case $1 in
    9.6 | 10 | 11 | 12)
      echo "$("$repository/tests/scripts/older.sh" "$1"):$(tree 17)"
      return
      ;;
  esac
  mapfile -t tars < <(ls -t "$cache/images/rootfs-$1"-????????????????/rootfs.tar 2> /dev/null)
  if ((${#tars[@]} == 0)); then
    "$repository/tests/cluster/images/build.sh" "$1" > /dev/null
    mapfile -t tars < <(ls -t "$cache/images/rootfs-$1"-????????????????/rootfs.tar)
  fi
  tar=${tars[0]}
  at=$cache/lab/$(basename "$(dirname "$tar")")
  if [[ ! -d $at ]]; then
    mkdir -p "$at.$$"
    tar -C "$at.$$" -xf "$tar"
    mkdir -p "$at.$$"/{vol,old,proc,dev,scripts}
    mv -T "$at.$$" "$at" 2> /dev/null || rm -rf "${at:?}.$$"
  fi
  echo "$at"
}

# root NAME: the root file system that servers of that major run in.
root() {
  [[ ! -e $LAB/roots/$1 ]] || { readlink -f "$LAB/roots/$1"; return; }
  local at
  at=$(tree "$1")
  # The cached tree itself stays as it was unpacked.
  mkdir -p "$LAB/upper-$1" "$LAB/work-$1" "$LAB/root-$1"
  mount -t overlay overlay -o "lowerdir=$at,upperdir=$LAB/upper-$1,workdir=$LAB/work-$1" "$LAB/root-$1"
  mount -t proc proc "$LAB/root-$1/proc"
  mount --rbind /dev "$LAB/root-$1/dev"
  mount --bind "$LAB/vol" "$LAB/root-$1/vol"
  # /var/run is a link to /run in the images: followed from outside it would lead to the machine's own.
  install -d -o 999 -g 999 -m 3777 "$LAB/root-$1/run/postgresql"
  ln -s "$LAB/root-$1" "$LAB/roots/$1"
  echo "$LAB/root-$1"
}

# as UID MAJOR COMMAND...: in the root of that major, with its PostgreSQL first in the path.
as() {
  local uid=$1 major=$2
  shift 2
  env -i PATH="${LAB_PATH-}/usr/lib/postgresql/${major%%-*}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" HOME=/tmp PGDATA="${LAB_PGDATA-/vol/data}" \
    ${LAB_ENV+"${LAB_ENV[@]}"} chroot --userspec="$uid:$uid" "$(root "$major")" "$@"
}

# new_cluster MAJOR DIR [initdb arguments]
new_cluster() {
  local major=$1 dir=$2
  shift 2
  as 999 "$major" initdb -D "$dir" -U postgres -A trust -E UTF8 --locale=en_US.UTF-8 "$@" > /dev/null
}

# start MAJOR DIR [server arguments]
start() {
  local major=$1 dir=$2
  shift 2
  as 999 "$major" pg_ctl -D "$dir" -w -l "/vol/server-$major.log" -o "-c listen_addresses='' -c unix_socket_directories=/var/run/postgresql -c fsync=off $*" start > /dev/null ||
    { tail -20 "$LAB/vol/server-$major.log" >&2; return 1; }
}

stop() { as 999 "$1" pg_ctl -D "$2" -w -m fast stop > /dev/null; }

# sql MAJOR DATABASE [psql arguments]: statements on stdin or by -c.
sql() {
  local major=$1 database=$2
  shift 2
  # By the environment: a name given by -d is taken apart when it holds an equals sign.
  as 999 "$major" env PGDATABASE="$database" psql -X -q -At -v ON_ERROR_STOP=1 -U postgres "$@"
}

# script UID MAJOR NAME ARGUMENTS...: one of the scripts the way the client runs it by exec.
script() {
  local uid=$1 major=$2 name=$3
  shift 3
  as "$uid" "$major" sh -c "$(cat "$scripts"/{sql,collations,unlisted}.sh "$scripts/$name")" sh "$@"
}

# observed MAJOR NAME ARGUMENTS...: the script as USER_ID; verified keeps what it says as the last comparison.
observed() { script "${USER_ID:-999}" "$@" 2>> "$LAB/vol/messages"; }
verified() { observed "$@" | tee "$LAB/last"; }
no_difference() { grep -q '"event":"verified".*"differences" : 0,' "$LAB/last"; }
# finds TEXT...: the last comparison reports a difference with all those words.
finds() {
  local lines word
  lines=$(grep '"difference"' "$LAB/last") || return 1
  for word in "$@"; do lines=$(grep -F -- "$word" <<< "$lines") || return 1; done
  ! no_difference
}

# busybox MAJOR: the tools of Alpine's images in /busybox of that root, for LAB_PATH.
busybox() {
  local at applet
  at=$(root "$1")/busybox
  mkdir -p "$at"
  cp "$(type -P busybox)" "$at/busybox"
  for applet in sh cat cut chown date df grep head id mktemp mv nproc ps rm sed sha256sum sleep sort stat tail tr uniq wc; do ln -sf busybox "$at/$applet"; done
}

# read_only MAJOR: nothing can be written in that root but the volume and the socket's directory.
read_only() {
  local at
  at=$(root "$1")
  mount -t tmpfs -o mode=3777,uid=999,gid=999 tmpfs "$at/run/postgresql"
  mount -o remount,ro "$at"
}

# The old server's files for pg_upgrade inside the new root, started through their own loader.
bundle() {
  local old=$1 new=$2 from to
  from=$(root "$old") to=$(root "$new")
  mountpoint -q "$to/old" || mount --rbind "$from" "$to/old"
  mkdir -p "$to/pgo/bin" "$to/pgo/so" "$to/pgo/lib"
  ln -sfT /old/usr/lib/locale "$to/pgo/lib/locale"
  cp -L "$from"/lib/x86_64-linux-gnu/libc.so.6 "$to/pgo/so/"
  # The loader is an absolute symbolic link in some releases.
  chroot "$from" cat /lib64/ld-linux-x86-64.so.2 > "$to/pgo/ld.so"
  chmod 755 "$to/pgo/ld.so"
  # The locale archive's path is compiled into libc: same length, other prefix.
  LC_ALL=C sed -i 's#/usr/lib/locale#/pgo/lib/locale#g' "$to/pgo/so/libc.so.6"
  local program programs=(postgres pg_ctl pg_controldata pg_resetwal)
  if [[ $old == 9.* ]]; then programs=(postgres pg_ctl pg_controldata pg_resetxlog); fi
  for program in "${programs[@]}"; do
    printf '#!/bin/sh\nexec /pgo/ld.so --library-path /pgo/so:/old/lib/x86_64-linux-gnu:/old/usr/lib/x86_64-linux-gnu /old/usr/lib/postgresql/%s/bin/%s "$@"\n' \
      "${old%%-*}" "$program" > "$to/pgo/bin/$program"
    chmod 755 "$to/pgo/bin/$program"
  done
  # pg_ctl looks for the server beside itself, so it must find the wrapper there.
  sed -i "s#/old/usr/lib/postgresql/${old%%-*}/bin/pg_ctl#/pgo/bin/.pg_ctl#" "$to/pgo/bin/pg_ctl"
  cp "$from/usr/lib/postgresql/${old%%-*}/bin/pg_ctl" "$to/pgo/bin/.pg_ctl"
}

# list_files DIR: "bytes path" of every file of a stopped data directory, as the worker leaves it in the run's directory.
list_files() { (cd "$LAB/$1" && find -L base global pg_tblspc -type f -printf '%s %p\n'); }

# upgrade OLD NEW OLD_DIR NEW_DIR: pg_upgrade --link of a stopped cluster; the new directory is made here.
upgrade() {
  local old=$1 new=$2 old_dir=$3 new_dir=$4 checksums=
  bundle "$old" "$new"
  list_files "${old_dir#/}" > "$LAB/vol/run/sizes"
  ((${new%%-*} < 18)) || checksums=--no-data-checksums
  new_cluster "$new" "$new_dir" $checksums
  mkdir -p "$LAB/vol/pg_upgrade"
  chown 999:999 "$LAB/vol/pg_upgrade"
  as 999 "$new" sh -c 'cd /vol/pg_upgrade && exec pg_upgrade "$@"' sh -U postgres -b /pgo/bin -B "/usr/lib/postgresql/${new%%-*}/bin" -d "$old_dir" -D "$new_dir" \
    --link --no-sync -j 2 > "$LAB/vol/pg_upgrade.log" 2>&1 || { tail -40 "$LAB/vol/pg_upgrade.log" >&2; return 1; }
  cp "$LAB/${old_dir#/}/pg_hba.conf" "$LAB/${new_dir#/}/pg_hba.conf"
}

# check SENTENCE COMMAND...: one assertion.
check() {
  local sentence=$1
  shift
  if "$@"; then
    lab_passed=$((lab_passed + 1))
    echo "ok   $sentence"
  else
    lab_failed=$((lab_failed + 1))
    echo "FAIL $sentence"
  fi
}

lab_end() {
  echo "$lab_passed passed, $lab_failed failed"
  ((lab_failed == 0))
}
