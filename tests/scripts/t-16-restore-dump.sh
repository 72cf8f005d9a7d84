# shellcheck shell=bash
# shellcheck disable=SC2154 # set by run.sh
# restore --from dump: the data of a running server is replaced by what a dump holds, in each form that a dump has.

# Names and texts that a reader of dumps could take for something else.
given_seed='
  create role "o'\''wner $(id) \ =" login; create schema "we ird=$(id)" authorization "o'\''wner $(id) \ =";
  create table "we ird=$(id)"."t'\''a b""le (x) \" (id int generated always as identity, "co)l umn" text);
  insert into "we ird=$(id)"."t'\''a b""le (x) \" ("co)l umn") values (E'\''COPY public.items (id) FROM stdin;'\''), (E'\''\\.'\''), (E'\''a\nb\\restrict'\''), (null);
  create table nothing(); insert into nothing default values;
  create table parts(i int) partition by range (i); create table parts1 partition of parts for values from (0) to (9); insert into parts values (1), (2);
  create function text_of() returns text language sql as $$ select '\''
COPY public.items (id) FROM stdin;
DROP TABLE public.items;
CREATE ROLE postgres;
\.
'\''::text $$;
  create view of_items as select id from items; create role "re TO ader"; grant select on of_items to "re TO ader" with grant option; grant connect on database app to app; alter database app set work_mem = '\''6MB'\''; alter sequence ticket restart 77'
given_facts='select (select count(*) from "we ird=$(id)"."t'\''a b""le (x) \"), (select count(*) from nothing), (select sum(i) from parts), md5(text_of()),
  (select count(*) from of_items), (select last_value || is_called::text from ticket), (select max(id) from "we ird=$(id)"."t'\''a b""le (x) \")'

# make_dumps: of a 17, in every form; shared by the tests.
make_dumps() {
  local out=$base/dumps test_name=given-dumps i
  [[ ! -d $out ]] || return 0
  local vol uid=999 data=/vol/pgdata
  need 13
  instance v17plain
  mkdir "$vol/d"
  chown 999:999 "$vol/d"
  server_start given-dumps 17
  query given-dumps 17 app "$given_seed" > /dev/null
  facts given-dumps 17 > "$vol/d/facts"
  query given-dumps 17 app "$given_facts" > "$vol/d/more"
  local b
  b=$(bin 17)
  pod_exec given-dumps "$b/pg_dump" -h /run/postgresql -Fc -f /vol/d/custom app
  pod_exec given-dumps "$b/pg_dump" -h /run/postgresql -Fd -j 2 -f /vol/d/directory app
  pod_exec given-dumps "$b/pg_dump" -h /run/postgresql -Ft -f /vol/d/tar app
  pod_exec given-dumps "$b/pg_dump" -h /run/postgresql -f /vol/d/plain app
  pod_exec given-dumps "$b/pg_dump" -h /run/postgresql -C -c -f /vol/d/plain-create app
  pod_exec given-dumps "$b/pg_dump" -h /run/postgresql --inserts -Fc -f /vol/d/inserts app
  pod_exec given-dumps "$b/pg_dump" -h /run/postgresql -Fc --exclude-table-data=big -f /vol/d/custom-less app
  pod_exec given-dumps "$b/pg_dump" -h /run/postgresql --exclude-table-data=big -f /vol/d/plain-less app
  pod_exec given-dumps "$b/pg_dumpall" -h /run/postgresql -f /vol/d/all
  pod_exec given-dumps "$b/pg_dumpall" -h /run/postgresql -c -f /vol/d/all-clean
  pod_exec given-dumps "$b/pg_dump" -h /run/postgresql -Fc -Z 0 -f /vol/d/raw app
  pod_exec given-dumps "$b/pg_dump" -h /run/postgresql -Fd -Z 0 -f /vol/d/raw-directory app
  pod_exec given-dumps "$b/pg_dump" -h /run/postgresql -Fd -Z zstd -f /vol/d/zstd-directory app
  pod_exec given-dumps "$b/pg_dump" -h /run/postgresql -Fc -Z lz4 -f /vol/d/lz4-custom app
  pod_exec given-dumps "$b/pg_dump" -h /run/postgresql -Z lz4 -f /vol/d/lz4-plain app
  mkdir "$vol/d/ours"
  pod_exec given-dumps "$b/pg_dumpall" -h /run/postgresql -g -f /vol/d/globals
  mv "$vol/d/globals" "$vol/d/ours/globals.sql"
  chown -R 999:999 "$vol/d/ours"
  for i in app postgres template1; do
    printf %s "$i" > "$vol/d/ours/${#i}.name"
    pod_exec given-dumps "$b/pg_dump" -h /run/postgresql -Fd -f "/vol/d/ours/${#i}" "$i"
  done
  echo '{"format":1,"by":"17.11","from":"17.11"}' > "$vol/d/ours/about.json"
  server_stop given-dumps
  # shellcheck disable=SC2016  # the pod's variables
  pod_start given-dumps 17 sh -c '. /scripts/lib.sh && . /scripts/dumped.sh && seal "$1"' /scripts/seal /vol/d/ours
  pod_wait given-dumps
  gzip -k "$vol/d/custom" "$vol/d/plain"
  zstd -q "$vol/d/all"
  lz4 -q "$vol/d/plain" "$vol/d/plain.lz4"
  mv "$vol/d" "$out"
}

# given DUMP [ENV...]: everything up to a worker with a dump beside a server whose data is not the dump's any more.
given() {
  once dumps make_dumps
  instance v17plain
  cp -a "$base/dumps" "$vol/d"
  ${spoil:-true}
  worker_env 17 17 load "PGUP_GIVEN=/vol/d/$1" "${@:2}"
  bundle
  server_start "$test_name-old" 17
  query "$test_name-old" 17 postgres "create database other; create role \"o'wner \$(id) \\ =\"; create role \"re TO ader\""
  query "$test_name-old" 17 app 'drop table big; delete from items where id % 3 = 0; alter sequence ticket restart 5'
  before=$(query "$test_name-old" 17 app 'select count(*), sum(id) from items')
  worker
}

# loaded DUMP [ENV...]
loaded() {
  given "$@"
  event prepared > /dev/null
  ctl arm 60 > /dev/null
  server_stop "$test_name-old"
  result=$(event result 60)
  is "$(member "$result" outcome)" upgraded outcome
  is "$(jq -c '.loaded | [.tables, .rows, .sequences, .large_objects, .observed.event]' <<< "$result")" "${holds:-[6,3308,3,1,\"observed\"]}" holds
  same_facts "$test_name-new" 17 "$(<"$base/dumps/facts")"
  is "$(query "$test_name-new" 17 app "$given_facts")" "$(<"$base/dumps/more")" more
  is "$(wc -l < "$workdir/r1/sizes" | grep -c '^[1-9]')" 1 sizes
  [[ ! -e $workdir/r1/globals.sql ]]
  # What came in by the load is what the comparison after the start finds.
  is "$(observed_after)" 'true 0' verified
  server_stop "$test_name-new"
  data=${workdir/#"$vol"//vol}/r1/old-17
  server_start "$test_name-archive" 17
  is "$(query "$test_name-archive" 17 app 'select count(*), sum(id) from items')" "$before" archive
  is "$(jq -c '[.load_ms > 0, .dump_ms, .pg_upgrade_ms]' <<< "$result")" '[true,null,null]' times
  jq -r '"load \(.load_ms) ms, whole \(.outage_ms) ms"' <<< "$result"
}
observed_after() {
  cat "$scripts/sql.sh" "$scripts/observe.sh" > "$vol/observe.sh"
  pod_exec "$test_name-new" PGDATA=/vol/pgdata sh /vol/observe.sh after "${workdir/#"$vol"//vol}/r1" quick writers=no |
    tail -n 1 | jq -r '"\(.sameSystem) \(.differences)"'
}

# looked DUMP [ENV...]: what a pod that only looks says.
looked() {
  local pod=$test_name-look
  worker_env 17 17 load PGUP_MODE=look "PGUP_GIVEN=/vol/d/$1" "${@:2}"
  : > "$base/pods/$test_name-up/out"
  rm -rf "$base/pods/$pod"
  cp -a "$base/pods/$test_name-up" "$base/pods/$pod"
  pod_start "$pod" 17 "${shell_command[@]}" /scripts/worker.sh
  pod_wait "$pod" || true
  grep -E '"event":"(given|refused)"' "$base/pods/$pod/out" || cat "$base/pods/$pod"/{out,err}
}
refuses() {
  local said
  said=$(looked "${@:2}")
  is "$(member "$said" reason)" "$1" "$2: $said"
}

all_refused() {
  once dumps make_dumps
  volume "$test_name"
  cp -a "$base/dumps" "$vol/d"
  cd "$vol/d" || return 1
  local name
  for name in custom tar plain plain.gz all.zst custom.gz raw; do
    cp "$name" "cut-$name"
    truncate -s -300 "cut-$name"
    refuses dump_truncated "cut-$name"
  done
  # Only the table of contents is left, which pg_restore --list is content with.
  cp custom toc
  truncate -s 12000 toc
  refuses dump_truncated toc
  cp custom flipped
  printf 'xxxxxxxx' | dd of=flipped bs=1 seek=$(($(stat -c %s custom) - 20000)) conv=notrunc 2> /dev/null
  refuses dump_corrupted flipped
  cp -a raw-directory rows
  name=$(grep -l '^1	item 1	' rows/*.dat)
  sed -i '2000,$d' "$name"
  refuses dump_truncated rows
  rm "$name"
  refuses dump_corrupted rows
  cp -a ours half && sed -i 2q half/3/toc.dat
  refuses dump_truncated half
  cp -a ours unsealed && rm unsealed/manifest
  refuses dump_truncated unsealed
  mkdir foreign && touch foreign/file && head -c 5000 /dev/urandom > random && echo 'CREATE TABLE x();' > sql && iconv -t UTF-16 plain > wide && tar -cf other.tar sql
  for name in foreign random sql wide other.tar; do refuses dump_foreign "$name"; done
  : > empty
  refuses dump_truncated empty
  refuses dump_missing nowhere
  chmod 0 custom && chown 0:0 custom
  refuses dump_unreadable custom
  # This image has no lz4, but its pg_restore can read it.
  refuses dump_program plain.lz4
  refuses dump_program lz4-plain
  for name in zstd-directory lz4-custom; do
    is "$(looked "$name" | jq -c '[.packed, .tables, .rows]')" '["",6,3308]' "$name"
  done
  sed '/^CREATE ROLE postgres;$/a CREATE TABLESPACE "fa st" OWNER postgres LOCATION '"'/x';" all-clean > spaced
  refuses dump_tablespaces spaced
  unbuilt lz4-custom
  refuses dump_unnamed plain
  refuses dump_named tar PGUP_GIVEN_DATABASE=x
  sed 's/^-- Dumped by pg_dump version 17/-- Dumped by pg_dump version 99/' plain > newer
  refuses dump_newer newer PGUP_GIVEN_DATABASE=x
  with_busybox
  name=$(looked ours)
  is "$(jq -c '[.kind, .databases, .globals, .tables, .rows]' <<< "$name")" '["ours",["app","postgres","template1"],true,6,3308]' busybox
  name=$(looked directory)
  is "$(jq -c '[.kind, .databases, (.owners | length), .globals, .from[:2]]' <<< "$name")" '["directory",["app"],4,false,"17"]' busybox
}

# unbuilt DUMP: what is said where pg_restore was built without the dump's compression, in the words of ReadHead and
# RestoreArchive (pg_backup_archiver.c); all packages of 16 and later are built with it.
unbuilt() {
  local shim said
  shim=$(pod_dir "$test_name-up" "$uid")/shim
  mkdir "$shim"
  for said in postgres pg_upgrade; do
    printf '#!/bin/sh\nexec %s "$@"\n' "$(bin 17)/$said" > "$shim/$said"
  done
  printf '#!/bin/sh\ncase " $*" in *" --list "*) exec %s/pg_restore "$@" 2>/dev/null ;; esac\n%s\nexit 1\n' "$(bin 17)" \
    'echo "pg_restore: error: cannot restore from compressed archive (this build does not support compression with LZ4)" >&2' > "$shim/pg_restore"
  chmod 0755 "$shim"/*
  shell_path=/shim: refuses dump_program "$1"
  rm -r "$shim"
}

# The worker looks again, while the old server still runs.
refused_before() {
  spoil=cut_custom given custom
  member "$(event refused)" reason
  is "$(query "$test_name-old" 17 app 'select count(*), sum(id) from items')" "$before" running
}
cut_custom() { truncate -s -300 "$vol/d/custom"; }

no_room() {
  once dumps make_dumps
  local small=$base/room-$test_name
  truncate -s 220M "$small.img"
  mkfs.ext4 -q -O ^has_journal -m 0 "$small.img"
  mkdir "$small"
  mount -o loop "$small.img" "$small"
  mkdir -p "$small/pgdata"
  cp -a "$base/dumps" "$small/d"
  chown "$uid:$uid" "$small" "$small/pgdata"
  vol=$small
  refuses dump_no_room custom
  umount "$small"
}

# load_fails DUMP COMPLAINT FUNCTION [ENV...]: the function spoils something after all was looked at.
load_fails() {
  given "$1" "${@:4}"
  event prepared > /dev/null
  "$3" "$1"
  ctl arm 60 > /dev/null
  server_stop "$test_name-old"
  result=$(event result 60)
  is "$(jq -c '[.outcome, .back, .reason]' <<< "$result")" '["failed",true,"load"]' result
  server_start "$test_name-again" 17
  is "$(query "$test_name-again" 17 app 'select count(*), sum(id) from items')" "$before" again
  [[ ! -e $workdir/r1/new-17 ]]
  member "$result" log_tail | grep -m 1 "$2"
}
# The owner of what the dump holds is no role here.
without_owner() { query "$test_name-old" 17 postgres "drop role \"o'wner \$(id) \\ =\""; }
# Somebody puts another dump there: what is loaded is compared with what was looked at.
with_less() { cp "$vol/d/$1-less" "$vol/d/$1"; }
on_small_disk() {
  local small=$base/small-$test_name
  truncate -s 500M "$small.img"
  mkfs.ext4 -q -O ^has_journal -m 0 "$small.img"
  mkdir "$small"
  mount -o loop "$small.img" "$small"
  cp -a "$vol/." "$small/"
  rm -rf "${vol:?}"
  ln -s "$small" "$vol"
}
# Both servers need room to start and to stop, so it is taken after that.
fill_disk() {
  (
    until said "$base/pods/$test_name-up/out" 'Loading roles'; do nap 0.02; done
    fallocate -l "$(($(stat -f -c '%a * %S' "$vol/.") - 8192))" "$vol/filler"
  ) > /dev/null 2>&1 &
}

# Killed while it loads, at once and again: it begins the load anew, or the old server comes back.
load_killed() {
  local kills
  given all.zst
  event prepared > /dev/null
  ctl arm 60 > /dev/null
  server_stop "$test_name-old"
  for ((kills = $1; kills > 0; kills--)); do
    until said "$base/pods/$test_name-up/out" '"event":"load"' || said "$base/pods/$test_name-up/out" '"event":"result"'; do
      pod_running "$test_name-up"
      nap 0.02
    done
    nap "0.$((RANDOM % 9))"
    pod_kill "$test_name-up"
    fresh
    worker
  done
  result=$(event result 60)
  server_start "$test_name-again" 17
  case $(member "$result" outcome) in
    upgraded) is "$(query "$test_name-again" 17 app "$given_facts")" "$(<"$base/dumps/more")" loaded ;;
    failed) is "$(query "$test_name-again" 17 app 'select count(*), sum(id) from items')" "$before" back ;;
  esac
  member "$result" outcome
}

for name in custom directory tar custom.gz raw; do t "$name restored from dump" loaded "$name"; done
for name in plain plain.gz; do t "$name restored from dump" loaded "$name" PGUP_GIVEN_DATABASE=app; done
for name in plain-create all.zst all-clean ours; do t "$name restored from dump" loaded "$name"; done
holds='[0,0,3,1,"observed"]' t 'inserts restored from dump' loaded inserts
t 'restore from dump refuses' all_refused
t 'restore from dump refuses before the stop' refused_before
t 'restore from dump refuses without room' no_room
t 'restore from dump goes back when a role is missing' load_fails custom 'does not exist' without_owner
t 'restore from dump goes back when rows are missing' load_fails custom 'big has 0 rows, the dump has 300' with_less
t 'restore from dump goes back when text has less' load_fails plain 'numbers of rows' with_less PGUP_GIVEN_DATABASE=app
spoil=on_small_disk t 'restore from dump goes back when the disk is full' load_fails custom 'No space left' fill_disk
t 'restore from dump killed once' load_killed 1
t 'restore from dump killed thrice' load_killed 3
