# shellcheck shell=bash
# shellcheck disable=SC2154 # set by run.sh
# The method dump: the same guard and the same ways back, another way for the data.

# Settings of a database, of a role in it, an owner, a password: what comes only with the database itself or with the roles.
dump_more="
  alter database app set work_mem = '6MB'; alter database postgres set work_mem = '8MB'; comment on database app is 'of app';
  alter role app in database app set work_mem = '9MB'; alter role app password 'secret'; revoke connect on database app from public;
  create database \"o'b\"\"r=\\\\ x\" owner app"
dump_facts="select (select string_agg(datname || ' ' || coalesce((select string_agg(a::text, ',' order by a::text collate \"C\") from unnest(datacl) a), '') || ' ' || coalesce(shobj_description(oid, 'pg_database'), ''), '|' order by datname::text collate \"C\") from pg_database where datname not like 'template%'),
  (select string_agg(coalesce(d.datname, '') || coalesce(r.rolname, '') || s.setconfig::text, ',' order by d.datname, r.rolname) from pg_db_role_setting s left join pg_database d on d.oid = setdatabase left join pg_roles r on r.oid = setrole),
  (select md5(rolpassword) from pg_authid where rolname = 'app')"

# dumped TEMPLATE FROM TO FS [ENV...]
dumped() {
  local template=$1 from_major=$2 to_major=$3 more
  tweak=dump_tweak upgrade_live "$template" "$from_major" "$to_major" dump "${@:4}"
  more=$(query "$test_name-new" "$to_major" postgres "$dump_facts")
  is "$more" "$(<"$base/pods/$test_name-more")" databases
  [[ ! -e $workdir/r1/dump && -e $workdir/r1/loaded ]]
  server_stop "$test_name-new"
  archive_starts "$from_major"
  is "$(jq -c '[.dump_ms > 0, .load_ms > 0, .load_end_at - .dump_begin_at == .dump_ms + .load_ms, .pg_upgrade_ms]' <<< "$result")" '[true,true,true,null]' times
  grep -q '"event":"dump"' "$base/pods/$test_name-up/out"
  jq -r '"dump \(.dump_ms) ms, load \(.load_ms) ms, whole \(.outage_ms) ms"' <<< "$result"
}
dump_tweak() {
  server_start "$test_name-old" "$2"
  query "$test_name-old" "$2" postgres "$dump_more"
  query "$test_name-old" "$2" postgres "$dump_facts" > "$base/pods/$test_name-more"
  server_stop "$test_name-old"
}

# recoded: every database with another encoding and another order, and checksums, also the one with the name.
recoded() {
  local made="select string_agg(datname || ' ' || pg_encoding_to_char(encoding) || ' ' || datlocprovider::text || ' ' || datlocale, '|' order by datname collate \"C\"), current_setting('data_checksums') from pg_database"
  tweak=recode_tweak upgrade_live v13 13 17 dump ext4 PGUP_AS_ENCODING=UTF8 PGUP_AS_PROVIDER=icu PGUP_AS_LOCALE=de-DE PGUP_AS_CHECKSUMS=1
  is "$(query "$test_name-new" 17 postgres "$dump_facts")" "$(<"$base/pods/$test_name-more")" databases
  is "$(query "$test_name-new" 17 postgres "$made")" "a ENCODING = 'x' WITH TEMPLATE = template0 ENCODING = 'y' UTF8 i de-DE|app UTF8 i de-DE|o'b\"r=\\\\ x UTF8 i de-DE|postgres UTF8 i de-DE|template0 UTF8 i de-DE|template1 UTF8 i de-DE|on" made
  is "$(query "$test_name-new" 17 "a ENCODING = 'x' WITH TEMPLATE = template0 ENCODING = 'y'" "select string_agg(word, ' ' order by word) || octet_length(max(word)) from words")" 'Ähre Apfel Zebra5' words
  is "$(<"$workdir/r1/otherwise")" 'encoding provider locale collate ctype checksums' otherwise
}
recode_tweak() {
  dump_more="$dump_more; create database \"a ENCODING = 'x' WITH TEMPLATE = template0 ENCODING = 'y'\" encoding LATIN1 locale 'C' template template0" dump_tweak "$@"
  server_start "$test_name-latin" 13
  query "$test_name-latin" 13 "a ENCODING = 'x' WITH TEMPLATE = template0 ENCODING = 'y'" "create table words as select unnest(array['Zebra', U&'\\00C4hre', 'Apfel']) as word; create index on words (word)"
  server_stop "$test_name-latin"
}

# errand MODE: a pod that mounts nothing but the dump's claim; its last line.
errand() {
  local dir
  dir=$(pod_dir "$test_name-$1" "$uid")
  printf '%s\n' PATH=/usr/bin:/bin "PGUP_MODE=$1" PGUP_WORK=/vol "PGUP_DUMP=/vol/${2:-pg-upgrade-r1-dump}" > "$dir/env"
  vol=$claim pod_start "$test_name-$1" "${to:-18}" sh /scripts/worker.sh
  pod_wait "$test_name-$1" || true
  grep -v '"event":"exit"' "$dir/out" | tail -n 1
}

# on_claim ARGS...: as dumped, with the dump on a claim of its own, where it is kept.
on_claim() {
  claim=$base/vol/$test_name-claim
  need 18
  mkdir -p "$claim/lost+found"
  chmod 0755 "$claim"
  is "$(errand dump-room | jq -c '[.reason, .empty]')" '["not_writable",true]'
  chown "root:$uid" "$claim"
  chmod 2775 "$claim"
  is "$(errand dump-room | jq -c '[.event, .free > 1000000]')" '["made",true]'
  pod_dir "$test_name-up" "$uid" > /dev/null
  echo "$claim" > "$base/pods/$test_name-up/SNAP"
  dumped "$@" PGUP_DUMP=/snap/pg-upgrade-r1-dump PGUP_DUMP_KEEP=1
  dump=$claim/pg-upgrade-r1-dump
  (cd "$dump" && sha256sum --quiet -c manifest)
  is "$(jq -r .dump.sealed <<< "$result")" true sealed
  is "$(jq ".dump.bytes >= $(du -sb "$dump" | cut -f1) * 9 / 10" <<< "$result")" true bytes
  is "$(errand dump-remove '../pgdata' | jq -r .reason)" outside
  is "$(errand dump-remove other | jq -r .reason)" outside
  is "$(errand dump-remove | jq -r .event)" removed
  [[ ! -e $dump && -d $claim/lost+found ]]
}

# A view that the new version refuses: everything else goes back.
dump_fails() {
  instance v13 ext4
  worker_env 13 17 dump
  bundle
  server_start "$test_name-old" 13
  query "$test_name-old" 13 app "create view gone as select datlastsysoid from pg_database"
  live_fails
}

# live_fails: the server is stopped, the upgrade fails, and the old server has everything.
live_fails() {
  before=$(facts "$test_name-old" 13)
  worker
  event prepared > /dev/null
  ctl arm 60 > /dev/null
  server_stop "$test_name-old"
  result=$(event result 120)
  is "$(member "$result" outcome)" failed outcome
  is "$(member "$result" back)" true back
  [[ ! -e $workdir/r1/dump && ! -e $workdir/r1/new-17 ]]
  same_facts "$test_name-again" 13 "$before"
  is "$(member "$result" reason)" dump reason
  member "$result" log_tail | grep -m 1 "$complaint"
}

# full_disk MIB: so much room is left beside the old cluster, for the new one, the dump and WAL.
full_disk() {
  instance v13 ext4
  server_start "$test_name-bulk" 13 -c max_wal_size=64MB
  query "$test_name-bulk" 13 app "create table bulk as select i, md5(i::text) a, md5((i + 1)::text) b from generate_series(1, 600000) i"
  server_stop "$test_name-bulk"
  local small=$base/full-$test_name
  truncate -s "$(($(du -sm "$vol" | cut -f1) + $1))M" "$small.img"
  mkfs.ext4 -q -O ^has_journal -m 0 "$small.img"
  mkdir "$small"
  mount -o loop "$small.img" "$small"
  rmdir "$small/lost+found"
  cp -a "$vol/." "$small/"
  chown "$uid:$uid" "$small"
  vol=$small host=$small/pgdata
  worker_env 13 17 dump
  bundle
  server_start "$test_name-old" 13
  live_fails
  pod_kill "$test_name-again"
  umount "$small"
}

# An index whose making waits in the new server as long as the upgrade pod has a file "hold".
hold="create table held as select 1 i; create function held(i int) returns int immutable language plpgsql as \$\$ begin
  while (pg_stat_file('/plan/hold', true)).size is not null loop perform pg_sleep(0.05); end loop; return i; end \$\$;
  create index on held (held(i))"

# sealed_then FUNCTION: the worker is killed while it loads, before which it has sealed its dump, however long that takes; the
# function does something to that.
sealed_then() {
  instance v13 ext4
  shell_path=/shim: worker_env 13 17 dump
  bundle
  shim sha256sum 'sleep 1; real "$@"'
  server_start "$test_name-old" 13
  query "$test_name-old" 13 app "$hold"
  before=$(facts "$test_name-old" 13)
  touch "$base/pods/$test_name-up/plan/hold"
  worker
  event prepared > /dev/null
  ctl arm 60 > /dev/null
  server_stop "$test_name-old"
  dump=$workdir/r1/dump
  until said "$base/pods/$test_name-up/out" 'Loading roles'; do
    pod_running "$test_name-up"
    nap 0.05
  done
  [[ -e $dump/manifest ]] || { echo 'it loads a dump that is not sealed'; return 1; }
  # The file outlives the container as an emptyDir does, and is let go after its end.
  pod_kill "$test_name-up"
  "$1"
  # The lock of the killed server names a process that there is.
  sed -i '1s/.*/1/' "$base/pods/$test_name-up"/*/sock/.s.PGSQL.50433.lock
  rm "$base/pods/$test_name-up/plan/hold"
  fresh
  worker
  result=$(event result 120)
  is "$(member "$result" outcome)" upgraded outcome
  same_facts "$test_name-new" 17 "$before"
}

# dump_says DIR: what a pod of ours finds wrong with a copy of the dump.
dump_says() {
  cp -a "$dump" "$vol/$1"
  (cd "$vol/$1" && "${@:2}")
  # shellcheck disable=SC2016  # the pod's variables
  pod_start "$test_name-look" 17 "${look_shell[@]}" -c '. /scripts/lib.sh && . /scripts/dumped.sh && { dump_is_whole "$1" || echo "$WHY"; }' \
    /scripts/look "/vol/$1"
  pod_wait "$test_name-look"
  tail -n 1 "$base/pods/$test_name-look/out"
  : > "$base/pods/$test_name-look/out"
}
shorter() { truncate -s -7 "$data_file"; }
changed() { printf 'x' | dd of="$data_file" bs=1 seek=40 conv=notrunc 2> /dev/null; }
look_at_dump() {
  local look_shell=(sh) shell_path shell_command data_file
  (cd "$dump" && sha256sum --quiet -c manifest)
  is "$(find "$dump" -type f ! -perm 600 -o -type d ! -perm 700)" '' modes
  is "$(jq -r '[.format, .by[:2], .from[:2], .superuser, (.databases | map(.name) | sort | join(" "))] | join(",")' "$dump/about.json")" \
    '1,17,13,postgres,app postgres template1'
  is "$(jq '.databases[] | select(.name == "app") | .tables >= 3 and .bytes > 1000000' "$dump/about.json")" true about
  data_file=$(cd "$dump" && find . -name '*.dat*' -size +1k | head -n 1)
  data_file=${data_file#./}
  is "$(dump_says whole touch extra)" '' whole
  dump_says shorter shorter | grep -qE "^$data_file is truncated: [0-9]+ of [0-9]+ bytes$"
  is "$(dump_says changed changed)" "$data_file is corrupted: its checksum is another"
  is "$(dump_says missing rm "$data_file")" "$data_file is missing"
  is "$(dump_says unsealed rm manifest)" 'it has no manifest, so it was never finished'
  is "$(dump_says cut sed -i '$d' manifest)" 'its manifest is truncated'
  is "$(dump_says gone rm -r "$vol/gone")" 'there is no dump'
  with_busybox "$test_name-look"
  echo 'PATH=/shim' > "$base/pods/$test_name-look/env"
  look_shell=("${shell_command[@]}")
  is "$(dump_says busybox-whole true)" '' busybox
  is "$(dump_says busybox-changed changed)" "$data_file is corrupted: its checksum is another" busybox
}
reuses_dump() {
  sealed_then look_at_dump
  grep -q 'Checking the dump' "$base/pods/$test_name-up/out"
  ! grep -q 'Dumping database' "$base/pods/$test_name-up/out"
  [[ ! -e $dump ]]
}
spoil() { local data_file; data_file=$(find "$dump" -name '*.dat*' -size +1k | head -n 1); changed; }
dumps_again() {
  sealed_then spoil
  grep -q 'Dumping database' "$base/pods/$test_name-up/out"
}

t 'dump killed while loading is taken again' reuses_dump
t 'dump that was changed is made again' dumps_again
t '13 to 17 by dump' dumped v13 13 17 ext4
t '9.6 to 17 by dump' dumped v96 9.6 17 ext4
t '15 to 18 by dump into another locale' dumped v15 15 18 ext4 PGUP_AS_PROVIDER=libc PGUP_AS_LOCALE=C.utf8
t '13 to 17 by dump into another encoding' recoded
t '15 to 18 by dump on a claim of its own' on_claim v15 15 18 ext4
complaint='datlastsysoid does not exist' t 'dump goes back when the load fails' dump_fails
complaint='No space left' t 'dump goes back when the disk is full' full_disk 120
