# shellcheck shell=bash
# shellcheck disable=SC2154 # set by run.sh
# The upgrade itself: versions, transfer modes, layouts.

# upgrade_live TEMPLATE FROM TO TRANSFER FS [ENV...]: with the old server running until it is stopped.
upgrade_live() {
  instance "$1" "$5"
  worker_env "$2" "$3" "$4" "${@:6}"
  ${tweak:-true} "$@"
  server_start "$test_name-old" "$2" "${server_args[@]}"
  before=$(facts "$test_name-old" "$2")
  bundle
  worker
  event prepared > /dev/null
  query "$test_name-old" "$2" postgres checkpoint
  ctl arm 60 > /dev/null
  server_stop "$test_name-old"
  result=$(event result 60)
  is "$(member "$result" outcome)" upgraded outcome
  if [[ -e $host/pg_upgrade_output.d ]]; then echo 'pg_upgrade_output.d is left'; return 1; fi
  is "$(wc -l < "$workdir/r1/sizes" | tr -d ' ' | grep -c '^[1-9]')" 1 sizes
  same_facts "$test_name-new" "$3" "$before" "${server_args[@]}"
}

happy() {
  upgrade_live "$@"
  jq -r '"guard \(.guard_ms) ms, pg_upgrade \(.pg_upgrade_ms) ms, place \(.place_ms) ms, whole \(.outage_ms) ms"' <<< "$result"
}

# The old cluster in the archive is whole: put into a directory of its own it starts.
archive_starts() {
  local archive=$workdir/r1/old-${1%%-*}
  if [[ -e $archive/global/pg_control.old ]]; then mv "$archive/global/pg_control.old" "$archive/global/pg_control"; fi
  data=${archive/#"$vol"//vol}
  server_start "$test_name-archive" "$1"
  is "$(facts "$test_name-archive" "$1")" "$before" archive
}

copy_and_archive() {
  happy "$@"
  is "$(query "$test_name-new" "$3" postgres 'show work_mem')" 5MB 'ALTER SYSTEM'
  server_stop "$test_name-new"
  archive_starts "$2"
}

# PGDATA is the mount's root: the work directory lies inside.
nested() {
  data=/vol work=/vol/.pg-upgrade
  tweak=add_lost_found happy "$@"
  [[ -d $vol/lost+found && -e $vol/of-root/file ]]
}
add_lost_found() {
  mkdir "$vol/lost+found" "$vol/of-root"
  echo precious > "$vol/of-root/file"
  chmod 0755 "$vol/of-root"
}

# PGDATA below a mount whose root belongs to root: the work directory lies inside PGDATA.
closed_parent() {
  work=/vol/pgdata/.pg-upgrade
  tweak='close_parent' happy "$@"
}
close_parent() { chown 0:0 "$vol"; chmod 0755 "$vol"; }

# The Bitnami layout: configuration elsewhere, uid 1001, the data directory group-writable as fsGroup leaves it.
bitnami() {
  uid=1001
  # shellcheck disable=SC2034
  server_args=(-c config_file=/plan/server.conf -c hba_file=/plan/hba.conf)
  tweak=bitnami_tweak upgrade_live "$@"
  for name in postgresql.conf pg_hba.conf; do
    if [[ -e $host/$name ]]; then echo "$name is invented"; return 1; fi
  done
  [[ -e $host/pg_ident.conf ]]
}
bitnami_tweak() {
  local dir pod
  rm "$host/postgresql.conf" "$host/pg_hba.conf"
  for pod in old new; do
    dir=$(pod_dir "$test_name-$pod" "$uid")
    echo "max_connections = 50" > "$dir/plan/server.conf"
    echo "local all all trust" > "$dir/plan/hba.conf"
  done
}

# The configuration of the plan takes the place of that of an image that had it elsewhere.
another_family() {
  uid=1001
  # shellcheck disable=SC2034
  server_args=(-c config_file=/plan/server.conf -c hba_file=/plan/hba.conf)
  tweak=another_tweak upgrade_live "$@"
  for name in postgresql.conf pg_hba.conf; do
    is "$(cat "$host/$name")" "# planned $name" "$name"
    is "$(stat -c %a "$host/$name")" 600 "mode of $name"
    member "$result" 'carried | join(" ")' | grep -qw "$name"
    if [[ -e $workdir/r1/old-$2/$name ]]; then echo "$name got into the archive"; return 1; fi
  done
}
another_tweak() {
  bitnami_tweak
  for name in postgresql.conf pg_hba.conf; do
    echo "# planned $name" > "$(pod_dir "$test_name-up" "$uid")/plan/$name"
  done
}

# carry: removed settings, the user's files, an include, modes.
carries_configuration() {
  tweak=carry_tweak upgrade_live v13 13 17 link ext4
  grep -q '^# PostgreSQL 17 .*: operator_precedence_warning' "$host/postgresql.conf"
  grep -q "^# PostgreSQL 17 .*: Vacuum_Cleanup_Index_Scale_Factor='0.2'" "$host/conf.d/own.conf"
  grep -q "^# PostgreSQL 17 .*: operator_precedence_warning" "$host/postgresql.auto.conf"
  is "$(query "$test_name-new" 17 postgres 'show work_mem')" 5MB 'ALTER SYSTEM'
  is "$(query "$test_name-new" 17 postgres 'show random_page_cost')" 1.5 include
  is "$(cat "$host/server.crt")" certificate
  is "$(stat -c %a "$host/server.key")" 600 'mode of the key'
  is "$(readlink "$host/link.conf")" conf.d/own.conf symlink
  if [[ -e $host/log || -e $host/big-backup ]]; then echo 'logs or a backup were carried'; return 1; fi
  is "$(member "$result" 'left | join(" ")')" 'big-backup of-root' left
  is "$(head -n 1 "$host/pg_hba.conf")" '# of the user' pg_hba.conf
  [[ -e $workdir/r1/old-13/big-backup/file ]]
}
carry_tweak() {
  mkdir "$host/conf.d" "$host/log" "$host/big-backup"
  printf '%s\n' "include_dir 'conf.d'" 'operator_precedence_warning = on' >> "$host/postgresql.conf"
  printf '%s\n' "Vacuum_Cleanup_Index_Scale_Factor='0.2'" 'random_page_cost = 1.5' > "$host/conf.d/own.conf"
  echo "operator_precedence_warning = 'on'" >> "$host/postgresql.auto.conf"
  printf '%s\n' '# of the user' 'local all all trust' > "$host/pg_hba.conf"
  echo certificate > "$host/server.crt"
  echo key > "$host/server.key"
  chmod 0600 "$host/server.key"
  ln -s conf.d/own.conf "$host/link.conf"
  echo secret > "$host/of-root"
  chmod 0600 "$host/of-root"
  echo line > "$host/log/x.log"
  truncate -s 1M "$host/big-backup/sparse"
  head -c 70000000 /dev/zero > "$host/big-backup/file"
  chown -R "$uid:$uid" "$host"
  chown 0:0 "$host/of-root"
  printf '%s\n' operator_precedence_warning vacuum_cleanup_index_scale_factor > "$(pod_dir "$test_name-up" "$uid")/plan/removed"
  printf '%s\n' "work_mem = '5MB'" "shared_buffers = '400GB'" "ssl = on" "log_directory = '/nowhere'" "logging_collector = on" \
    "unix_socket_directories = '/nowhere'" > "$(pod_dir "$test_name-up" "$uid")/plan/settings.conf"
}

# The user's file names what does not exist in the upgrade pod; only our own configuration may be used.
hostile_configuration() {
  tweak=hostile_tweak happy v13 13 17 copy ext4
}
hostile_tweak() {
  # What the server of this test cannot run with is added behind its back, as a ConfigMap change would.
  cat >> "$host/postgresql.auto.conf" <<< "shared_buffers = '200MB'"
}

tablespace_refused() {
  instance v13 ext4
  worker_env 13 17 link
  bundle
  ln -s /somewhere/else "$host/pg_tblspc/16999"
  worker
  is "$(member "$(event refused)" reason)" tablespace_missing
  pod_wait "$test_name-up" && return 1
  rm "$host/pg_tblspc/16999"
  mv "$host/pg_wal" "$vol/elsewhere"
  ln -s /vol/elsewhere "$host/pg_wal"
  fresh
  worker
  is "$(member "$(event refused)" reason)" wal_elsewhere
}

settings_refused() {
  instance v13 ext4
  worker_env 13 17 link
  bundle
  echo "no_such_setting = 1" > "$base/pods/$test_name-up/plan/settings.conf"
  worker
  line=$(event refused)
  is "$(member "$line" reason)" new_server_start
  member "$line" detail | grep -q 'unrecognized configuration parameter "no_such_setting"'
}

# Another major in the data directory, no reflinks, a standby: each is refused with nothing changed.
plain_refusals() {
  instance v13 ext4
  worker_env 15 17 link
  from=13 bundle
  worker
  is "$(member "$(event refused)" reason)" data_version
  pod_wait "$test_name-up" || :
  fresh
  worker_env 13 17 clone
  worker
  is "$(member "$(event refused)" reason)" no_reflink
  pod_wait "$test_name-up" || :
  fresh
  worker_env 13 17 copy PGUP_CHECKSUMS=1
  worker
  is "$(member "$(event refused)" reason)" plan_stale
  pod_wait "$test_name-up" || :
  fresh
  touch "$host/standby.signal"
  worker_env 13 17 copy
  worker
  is "$(member "$(event refused)" reason)" not_primary
  pod_wait "$test_name-up" || :
  rm "$host/standby.signal"
  server_start "$test_name-old" 13
}

t '13 to 17 link on ext4' happy v13 13 17 link ext4
t '13 to 17 copy on ext4, the archive starts' copy_and_archive v13 13 17 copy ext4
t '13 to 17 clone on xfs, the archive starts' copy_and_archive v13 13 17 clone xfs
t 'data directory is the mount' nested v13 13 17 link ext4
t 'parent of the data directory is not writable' closed_parent v13 13 17 clone xfs
t 'bitnami layout' bitnami v13 13 17 link ext4
t 'another image family' another_family v13 13 17 link ext4
t 'configuration is carried over' carries_configuration
t 'settings that this pod cannot run with' hostile_configuration
t 'volumes that are not all here are refused' tablespace_refused
t 'settings that the new server refuses' settings_refused
t 'wrong facts are refused' plain_refusals
t '15 to 18 swap, checksums, 64 MB segments' happy v15 15 18 swap ext4 PGUP_WALSEG_MB=64 PGUP_CHECKSUMS=1
t '15 to 18 link, checksums, 64 MB segments' happy v15 15 18 link ext4
t '15 to 18 clone on xfs, icu, no checksums' happy v15icu 15 18 clone xfs PGUP_LC_COLLATE=C PGUP_LC_CTYPE=C PGUP_LOCALE_PROVIDER=icu PGUP_ICU_LOCALE=en-US
group_access() {
  super=owner
  tweak=open_to_group happy "$@"
  is "$(stat -c %a "$host")" 750 'mode of the data directory'
  is "$(stat -c %a "$host/global/pg_control")" 640 'mode of its files'
}
open_to_group() { chmod 0750 "$host"; }
t '17 to 18 copy, other superuser, group access' group_access v17 17-older 18 copy ext4 PGUP_LC_COLLATE=C.utf8 PGUP_LC_CTYPE=C.utf8 PGUP_GROUP_ACCESS=1 PGUP_SUPERUSER=owner
t '17 to 18 swap on xfs' happy v17older 17-older 18 swap xfs

busybox_worker() {
  with_busybox
  happy "$@"
}
t '13 to 17 link with busybox' busybox_worker v13 13 17 link ext4
t '13 to 15 copy' happy v13 13 15 copy ext4
t '9.6 to 17 copy, the archive starts' copy_and_archive v96 9.6 17 copy ext4
t '18 to 19 link' happy v18 18 19 link ext4
