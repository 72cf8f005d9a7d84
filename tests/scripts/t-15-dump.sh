# shellcheck shell=bash
# shellcheck disable=SC2154 # set by run.sh
# The method dump: the same guard and the same ways back, another way for the data.

# Settings of a database, of a role in it, an owner, a password: what comes only with the database itself or with the roles.
dump_more="
  alter database app set work_mem = '6MB'; alter database postgres set work_mem = '8MB'; comment on database app is 'of app';
  alter role app in database app set work_mem = '9MB'; alter role app password 'secret'; revoke connect on database app from public;
  create database \"o'b\"\"r=\\\\ x\" owner app"
dump_facts="select (select string_agg(datname || ' ' || coalesce((select string_agg(a::text, ',' order by a::text collate \"C\") from unnest(datacl) a), '') || ' ' || coalesce(shobj_description(oid, 'pg_database'), ''), '|' order by datname collate \"C\") from pg_database where datname not like 'template%'),
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
  jq -r '"dump and load \(.pg_upgrade_ms) ms, whole \(.outage_ms) ms"' <<< "$result"
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
  is "$(<"$workdir/r1/loaded")" 'encoding provider locale collate ctype checksums' otherwise
}
recode_tweak() {
  dump_more="$dump_more; create database \"a ENCODING = 'x' WITH TEMPLATE = template0 ENCODING = 'y'\" encoding LATIN1 locale 'C' template template0" dump_tweak "$@"
  server_start "$test_name-latin" 13
  query "$test_name-latin" 13 "a ENCODING = 'x' WITH TEMPLATE = template0 ENCODING = 'y'" "create table words as select unnest(array['Zebra', U&'\\00C4hre', 'Apfel']) as word; create index on words (word)"
  server_stop "$test_name-latin"
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

t '13 to 17 by dump' dumped v13 13 17 ext4
t '15 to 18 by dump into another locale' dumped v15 15 18 ext4 PGUP_AS_PROVIDER=libc PGUP_AS_LOCALE=C.utf8
t '13 to 17 by dump into another encoding' recoded
complaint='datlastsysoid does not exist' t 'dump goes back when the load fails' dump_fails
complaint='No space left' t 'dump goes back when the disk is full' full_disk 120
