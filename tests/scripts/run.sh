#!/bin/bash
# Tests of src/scripts against real PostgreSQL servers, without a cluster. Needs root; everything happens in own
# mount and PID namespaces. Usage: run.sh [NAME_PATTERN]...
# Env: PGUP_TEST_ROOTFS_<major>=TAR (else the cached root file systems of tests/cluster/images), PGUP_TEST_KILLS (30),
# PGUP_TEST_SEED, PGUP_TEST_FULL=1 (every point of death), PGUP_TEST_KEEP=1.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
scripts=$(cd "$here/../../src/scripts" && pwd)
cache=${PG_UPGRADE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/kubectl-pg-upgrade}
patterns=("$@")
umask 022
# Where a pod has its emptyDir.
box=/work
((EUID == 0)) || { echo 'needs root'; exit 2; }

# Mounts, pods and servers end with the namespaces' first process, however this one ends.
if [[ ! ${PGUP_TEST_BASE:-} ]]; then
  PGUP_TEST_BASE=$(mktemp -d "${TMPDIR:-/var/tmp}/pgup-scripts.XXXXXX")
  export PGUP_TEST_BASE
  chmod 0755 "$PGUP_TEST_BASE"
  unshare --mount --pid --fork --kill-child --propagation private --mount-proc "$0" "$@" &
  # shellcheck disable=SC2317  # called by the trap
  cleanup() {
    kill -9 "$first" 2> /dev/null
    wait 2> /dev/null
    if [[ ${PGUP_TEST_KEEP:-} ]]; then echo "kept: $PGUP_TEST_BASE"; else rm -rf "$PGUP_TEST_BASE"; fi
  }
  first=$!
  trap cleanup EXIT
  trap 'exit 130' INT TERM
  wait "$first"
  exit
fi
base=$PGUP_TEST_BASE

# in_memory: a file system of the usual kind whose disk is memory. Making files is what the tests do most, and where /var/tmp
# has no journal, the kernel looks through what was deleted in the last minute each time.
in_memory() {
  mount -t tmpfs -o size=12g tmpfs "$base" || return
  truncate -s 12G "$base/disk.img"
  mkfs.ext4 -q -E nodiscard "$base/disk.img" && mount -o loop,noatime,discard "$base/disk.img" "$base"
}
available=$(awk '/^MemAvailable:/ {print $2}' /proc/meminfo)
if [[ ! ${PGUP_TEST_KEEP:-} ]] && ((available > 16 << 20)); then in_memory || exit; fi
# What killed servers leave in the shared memory goes with the namespace.
mount -t tmpfs tmpfs /dev/shm

# The tree may change while the tests run.
cp -r "$scripts" "$base/scripts"
scripts=$base/scripts
mkdir "$base/pods" "$base/templates" "$base/vol" "$base/logs" "$base/net"

# --- root file systems, pods ------------------------------------------------------------------------

# older_root MAJOR: the root file system of 17 with the files of an older server.
older_root() {
  local files out
  files=$("$here/older.sh" "$1") && out=$(root 17)-$(basename "$files") || return
  if [[ ! -e $out ]]; then
    cp -al "${out%-older-*}" "$out.part.$$"
    cp -al "$files/." "$out.part.$$/"
    mv -T "$out.part.$$" "$out"
  fi
  echo "$out"
}

# root MAJOR: the extracted root file system, cached beside its tar.
root() {
  case $1 in
    9.6 | 10 | 11 | 12)
      older_root "$1"
      return
      ;;
  esac
  local variable=PGUP_TEST_ROOTFS_${1//-/_} tar out
  tar=${!variable:-}
  if [[ -z $tar ]]; then
    tar=$(ls -t "$cache"/images/rootfs-"$1"-????????????????/rootfs.tar 2> /dev/null | head -n 1)
    if [[ -z $tar ]]; then
      "$here/../cluster/images/build.sh" "$1" > /dev/null || return 1
      tar=$(ls -t "$cache"/images/rootfs-"$1"-????????????????/rootfs.tar | head -n 1)
    fi
  fi
  out=$cache/scripts-roots/$1-$(stat -c '%s-%Y' "$tar")
  if [[ ! -e $out ]]; then
    mkdir -p "$out.part.$$"
    tar -xf "$tar" -C "$out.part.$$" --exclude='./dev/*'
    mkdir -p "$out.part.$$"/{vol,snap,pgo,work,plan,scripts,shim,run/postgresql,dev,proc,tmp}
    mv -T "$out.part.$$" "$out"
  fi
  echo "$out"
}

# once NAME COMMAND...: what tests share is made by one of them while the others wait.
once() {
  local lock
  exec {lock}> "$base/$1.lock"
  flock "$lock"
  "${@:2}" {lock}>&- || { exec {lock}>&-; return 1; }
  exec {lock}>&-
}

# nap SECONDS: without a process, because waits are most of what tests do.
exec {quiet}<> <(:)
nap() { read -rt "$1" -u "$quiet" || true; }

need() {
  local major
  for major in "$@"; do [[ -n ${roots[$major]:-} ]] || roots["$major"]=$(once root root "$major"); done
}

# pod_dir NAME UID: the emptyDirs and the passwd file of a pod.
pod_dir() {
  local dir=$base/pods/$1
  if [[ ! -d $dir ]]; then
    mkdir -p "$dir"/{pgo,work,plan,run}
    printf 'root:x:0:0:root:/root:/bin/sh\npostgres:x:%s:%s::%s/home:/bin/sh\n' "$2" "$2" "$box" > "$dir/passwd"
    chown "$2:$2" "$dir"/{pgo,work,run}
    echo 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' > "$dir/env"
  fi
  echo "$dir"
}

# pod_start NAME MAJOR COMMAND...: starts it in the background; uid of the test is $uid, volume $vol.
pod_start() {
  local name=$1 major=$2 dir
  shift 2
  dir=$(pod_dir "$name" "$uid")
  "${network[@]}" unshare --mount --pid --fork --kill-child -- "$here/pod.sh" "${roots[$major]}" "$uid:$uid" "$dir" "$vol" "$scripts" "$@" \
    >> "$dir/out" 2>> "$dir/err" < /dev/null &
  echo $! > "$dir/unshare"
  # The namespace's PID 1: killing it ends every process of the pod before wait returns.
  local pid='' i
  for ((i = 0; i < 200; i++)); do
    # What ends at once has no children any more.
    pid=$(cat "/proc/$(<"$dir/unshare")/task/$(<"$dir/unshare")/children" 2> /dev/null) || true
    [[ -n $pid || ! -d /proc/$(<"$dir/unshare") ]] && break
    nap 0.005
  done
  echo "${pid%% *}" > "$dir/pid"
}

# pod_wait NAME: its exit code.
pod_wait() { wait "$(<"$base/pods/$1/unshare")" 2> /dev/null; }

pod_kill() {
  local dir=$base/pods/$1
  kill "-${2:-KILL}" "$(<"$dir/pid")" 2> /dev/null || true
  pod_wait "$1" || true
}

pod_running() { [[ -d /proc/$(<"$base/pods/$1/unshare") ]]; }

pod_exec() {
  local name=$1
  shift
  nsenter -t "$(<"$base/pods/$name/pid")" -m -n -p -r -w -S "$uid" -G "$uid" -- /usr/bin/env -i PATH=/usr/bin:/bin "$@"
}

# own_network: pods that start from now on share a loopback of this test's, where no port is taken.
own_network() {
  : > "$base/net/$test_name"
  unshare --net="$base/net/$test_name" ip link set lo up
  network=(nsenter --net="$base/net/$test_name")
}

# bin IMAGE: where a test image (17, 17-older) has its programs.
bin() { echo "/usr/lib/postgresql/${1%%-*}/bin"; }

# --- servers ------------------------------------------------------------------------------------------

# server_start POD MAJOR [ARGS...]: and waits until it answers.
server_start() {
  local name=$1 major=$2 i
  shift 2
  pod_start "$name" "$major" "$(bin "$major")/postgres" -D "${data:-/vol/pgdata}" -c listen_addresses= -c unix_socket_directories=/run/postgresql "$@"
  for ((i = 0; i < 300; i++)); do
    pod_exec "$name" "$(bin "$major")/pg_isready" -q -h /run/postgresql 2> /dev/null && return 0
    pod_running "$name" || return 1
    nap 0.05
  done
  return 1
}

# server_stop POD: a fast stop as by the image's STOPSIGNAL.
server_stop() { pod_kill "$1" INT; }

# query POD MAJOR DATABASE SQL
query() {
  local name=${3//\\/\\\\}
  pod_exec "$1" "$(bin "$2")/psql" -XAtq -v ON_ERROR_STOP=1 -U "${super:-postgres}" -h /run/postgresql -d "dbname='${name//\'/\\\'}'" -f - <<< "$4"
}

# Templates by name: image and initdb's arguments.
declare -A templates=(
  [v96]='9.6 --locale=en_US.utf8'
  [v13]='13 --locale=en_US.utf8'
  [v15]='15 --locale=en_US.utf8 --data-checksums --wal-segsize=64'
  [v15icu]='15 --locale=C --locale-provider=icu --icu-locale=en-US'
  [v17]='17-older --locale=C.utf8 --allow-group-access'
  [v17older]='17-older --locale=en_US.utf8'
  [v17plain]='17 --locale=en_US.utf8'
  [v18]='18 --locale=en_US.utf8 --no-data-checksums'
)

# template NAME: a stopped, filled data directory.
template() { once "template-$1" make_template "$1"; }

make_template() {
  local name=$1 major=${templates[$1]%% *} out=$base/templates/$1
  need "$major"
  # shellcheck disable=SC2086  # words
  set -- ${templates[$1]#* }
  if [[ ! -d $out ]]; then
    local vol=$base/templates/vol-$name uid=999 data=/vol/pgdata
    mkdir -p "$vol"
    chown 999:999 "$vol"
    pod_start "tpl-$name" "$major" "$(bin "$major")/initdb" -D /vol/pgdata -U "${super:-postgres}" -A trust -N "$@"
    pod_wait "tpl-$name" || { cat "$base/pods/tpl-$name"/{out,err} >&2; return 1; }
    server_start "tpl-$name" "$major" -c fsync=off || { cat "$base/pods/tpl-$name/err" >&2; return 1; }
    query "tpl-$name" "$major" postgres "
      create database app; alter system set work_mem = '5MB'; create role app login" > /dev/null
    query "tpl-$name" "$major" app "
      create table items(id serial primary key, name text not null, note text);
      insert into items(name, note) select 'item ' || i, repeat(md5(i::text), 8) from generate_series(1, 3000) i;
      create index on items(name); create materialized view item_count as select count(*) n from items;
      create sequence ticket start 41; select nextval('ticket'), nextval('ticket');
      create table big(id int, v text); insert into big select i, repeat(md5(i::text), 200) from generate_series(1, 300) i;
      select lo_from_bytea(4711, decode(repeat('deadbeef', 5000), 'hex'));
      create unlogged table scratch as select 1 as one;
      $(${template_sql:-true})" > /dev/null || return 1
    server_stop "tpl-$name"
    # Of a server that has run before: sequences skip at the first start.
    server_start "tpl-$name" "$major" -c fsync=off
    facts "tpl-$name" "$major" > "$out.facts"
    server_stop "tpl-$name"
    mv "$vol/pgdata" "$out"
  fi
}

# What must be the same before and after, as one line.
facts_sql="select (select count(*) || '/' || sum(id) || '/' || md5(string_agg(name || note, '' order by id)) from items),
  (select n from item_count), (select last_value from ticket), (select last_value from items_id_seq),
  (select md5(string_agg(v, '' order by id)) from big), (select md5(lo_get(4711))), (select one from scratch),
  (select string_agg(rolname, ',' order by rolname) from pg_roles where rolname !~ '^pg_'),
  (select string_agg(datname, ',' order by datname) from pg_database)"
facts() { query "$1" "$2" app "$facts_sql"; }

# lasting FACTS: what a crash keeps; unlogged tables are emptied by PostgreSQL's recovery, sequences skip ahead.
lasting() { cut -d'|' -f 1,2,5,6,8,9 <<< "$1"; }

template_facts() { cat "$base/templates/$1.facts"; }

# --- the worker ---------------------------------------------------------------------------------------

mount_xfs() {
  mountpoint -q "$base/xfs" && return
  truncate -s 2G "$base/xfs.img"
  mkfs.xfs -q -m reflink=1 "$base/xfs.img"
  mkdir -p "$base/xfs"
  # Loop mounts of the mount command detach themselves at umount.
  mount -o loop "$base/xfs.img" "$base/xfs"
}

# volume NAME [ext4|xfs]: a fresh volume, sets vol.
volume() {
  case ${2:-ext4} in
    ext4) vol=$base/vol/$1 ;;
    xfs)
      once xfs mount_xfs || return 1
      vol=$base/xfs/$1
      ;;
  esac
  mkdir -p "$vol"
  chown "$uid:$uid" "$vol"
  chmod 0700 "$vol"
}

# instance TEMPLATE [ext4|xfs]: a volume with a copy of a template's data directory; sets vol, host (its path here).
instance() {
  template "$1" || return 1
  volume "$test_name" "${2:-ext4}"
  host=$vol${data#/vol}
  mkdir -p "$host"
  cp -a --reflink=auto "$base/templates/$1/." "$host/"
  chown -R "$uid:$uid" "$host"
  chmod 0700 "$host"
}

# worker_env FROM TO TRANSFER [NAME=VALUE...]: the env of the upgrade pod.
worker_env() {
  local dir
  dir=$(pod_dir "$test_name-up" "$uid")
  from=$1 to=$2
  need "$1" "$2"
  printf '%s\n' "PATH=${shell_path}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" "PGUP_RUN=r1" "PGUP_DATA=$data" \
    "PGUP_WORK=$work" "PGUP_FROM=${1%%-*}" "PGUP_TO=$2" "PGUP_TRANSFER=$3" PGUP_JOBS=2 PGUP_SUPERUSER="${super:-postgres}" \
    PGUP_ENCODING=UTF8 PGUP_LC_COLLATE=en_US.utf8 PGUP_LC_CTYPE=en_US.utf8 PGUP_LOCALE_PROVIDER=libc PGHOST=10.0.0.1 "${@:4}" > "$dir/env"
  workdir=$vol${work#/vol}
}

# bundle: the init container; the copy of one version is shared by hard links.
bundle() { once "bundle-$from" make_bundle; }

make_bundle() {
  local dir=$base/pods/$test_name-up
  if [[ ! -d $base/bundle-$from ]]; then
    pod_start "$test_name-up" "$from" sh /scripts/bundle.sh
    pod_wait "$test_name-up" || { cat "$dir"/{out,err}; return 1; }
    cp -al "$dir/pgo" "$base/bundle-$from"
  else
    rm -rf "$dir/pgo"
    cp -al "$base/bundle-$from" "$dir/pgo"
  fi
}

worker() { pod_start "$test_name-up" "$to" "${shell_command[@]}" /scripts/worker.sh; }

# said FILE TEXT: the file holds the text.
said() { [[ -e $1 && $(< "$1") == *"$2"* ]]; }

# newest FILE NAME: the newest whole line of an event; a line that is just being written has no end yet.
newest() {
  local line found=''
  while IFS= read -r line; do
    [[ $line != *"\"event\":\"$2\""* ]] || found=$line
  done < "$1"
  [[ $found ]] && printf '%s\n' "$found"
}

# event NAME [SECONDS]: waits for a line of the worker, prints the newest one.
event() {
  local out=$base/pods/$test_name-up/out i
  for ((i = 0; i < ${2:-30} * 50; i++)); do
    if said "$out" "\"event\":\"$1\"" && newest "$out" "$1"; then return 0; fi
    pod_running "$test_name-up" || { nap 0.05; newest "$out" "$1" && return 0; echo "worker ended before $1"; return 1; }
    nap 0.02
  done
  echo "no event $1"
  return 1
}

ctl() { pod_exec "$test_name-up" sh /scripts/ctl.sh "$@"; }

# shim TOOL BODY: stands in for a tool of the worker's image; the body calls `real`.
shim() {
  local dir=$base/pods/$test_name-up/shim path
  mkdir -p "$dir"
  path=$(chroot "${roots[$to]}" sh -c "command -v $1")
  printf '#!/bin/sh\nreal() { %s "$@"; }\n%s\n' "$path" "$2" > "$dir/$1"
  chmod 0755 "$dir/$1"
}

# with_busybox [POD]: the worker, or another pod, gets busybox's shell and tools, as on Alpine.
with_busybox() {
  local dir applet
  dir=$(pod_dir "${1:-$test_name-up}" "$uid")
  mkdir -p "$dir/shim"
  cp "$(command -v busybox)" "$dir/shim/"
  for applet in $(busybox --list); do ln -s busybox "$dir/shim/$applet" 2> /dev/null || true; done
  shell_path=/shim: shell_command=(/shim/busybox sh)
}

# fresh: forgets the worker's lines so far.
fresh() { : > "$base/pods/$test_name-up/out"; }

# member LINE NAME: a member of a JSON line.
member() { jq -r ".$2" <<< "$1"; }

# prepared TEMPLATE FROM TO TRANSFER FS [ENV...]: everything up to a prepared worker.
prepared() {
  instance "$1" "$5" && worker_env "$2" "$3" "$4" "${@:6}" && bundle && worker && event prepared > /dev/null
}

# same_facts POD MAJOR FACTS [SERVER_ARGS...]: starts the new server on the data directory and compares.
same_facts() {
  server_start "$1" "$2" "${@:4}" || { cat "$base/pods/$1/err"; return 1; }
  local got
  got=$(facts "$1" "$2") || return 1
  if [[ ${crashed:-} ]]; then
    is "$(lasting "$got")" "$(lasting "$3")" facts
    return
  fi
  [[ $got == "$3" ]] || { echo "facts differ: $got / $3"; return 1; }
}

is() { [[ $1 == "$2" ]] || { echo "${3:-}: expected '$2', got '$1'"; return 1; }; }

# --- running ------------------------------------------------------------------------------------------

selected() {
  local pattern
  ((${#patterns[@]})) || return 0
  for pattern in "${patterns[@]}"; do [[ $1 == *$pattern* ]] && return 0; done
  return 1
}

# t NAME FUNCTION [ARGUMENTS...]: runs it beside others in a shell of its own, as soon as a lane is free.
t() {
  selected "$1" || return 0
  while (($(jobs -rp | wc -l) >= lanes)); do wait -n || true; done
  run_test "$@" &
}

run_test() {
  local name=$1 started=$SECONDS output rc
  # The end of a test takes away whatever begins with its name, and no other test's name goes on behind the mark.
  test_name=${name//[^a-z0-9]/-}_
  uid=999 data=/vol/pgdata work=/vol/.pg-upgrade super=postgres server_args=() network=() crashed=''
  set -o errtrace
  output=$( (
    set -e
    "${@:2}"
  ) 2>&1)
  rc=$?
  local pid
  for pid in $(cat "$base/pods/$test_name"*/pid 2> /dev/null); do kill -9 "$pid" 2> /dev/null; done
  if ((rc == 0)); then
    echo "ok      $name ($((SECONDS - started)) s)${output:+  $(tail -n 1 <<< "$output")}" | tee -a "$base/results"
    rm -rf "$base/vol/$test_name" "$base/xfs/$test_name"* "$base/pods/$test_name"*
  else
    {
      echo "FAILED  $name ($((SECONDS - started)) s)"
      # What failed may stand far above the end.
      { grep '^FAIL' <<< "$output"; tail -n 30 <<< "$output"; } | sed 's/^/        /'
      tail -n 25 "$base/pods/$test_name-up/out" "$base/pods/$test_name-up/err" 2> /dev/null | cut -c1-600 | sed 's/^/        | /'
    } > "$base/logs/$test_name.failed"
    cat "$base/logs/$test_name.failed"
    echo "FAILED  $name" >> "$base/results"
  fi
}

# Most of a test's time is waiting, so there are more lanes than processors.
lanes=${PGUP_TEST_LANES:-$(($(nproc) + 1))}
: > "$base/results"
declare -A roots
shell_path='' shell_command=(sh)
for test_file in "$here"/t-*.sh; do
  # shellcheck source=/dev/null
  . "$test_file"
done
wait
failed=$(grep -c '^FAILED' "$base/results")
echo "$(grep -c '^ok' "$base/results") passed, $failed failed"
((failed == 0))
