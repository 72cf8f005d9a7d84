# Reads every fact about the running server that checks and plans need: one line of JSON for each section, on stdout.
# Runs behind sql.sh and behind the generated functions server_queries and database_queries.
# shellcheck shell=sh disable=SC2034,SC2154

PGUP_OPTIONS='-c default_transaction_read_only=on -c statement_timeout=20s -c lock_timeout=2s -c search_path=pg_catalog -c standard_conforming_strings=on -c max_parallel_workers_per_gather=0'
# The version and whether we are a superuser, the data directory, then one ready \connect line for each database that takes connections.
PGUP_HELLO="SELECT pg_catalog.current_setting('server_version_num') || ' ' || pg_catalog.current_setting('is_superuser') UNION ALL SELECT pg_catalog.current_setting('data_directory') UNION ALL $PGUP_DATABASES"

# What only the container can tell, as one line of JSON. Every value may be missing.
container_facts() {
  pgup_dir=$1
  pgup_libc=$(getconf GNU_LIBC_VERSION 2>/dev/null) || pgup_libc=$(ldd --version 2>&1 | sed -n -e 1p -e 2p | tr '\n' ' ')
  printf '{"section":"container","uid":%s,"gid":%s,"libc":"%s","machine":"%s"' "$(id -u)" "$(id -g)" "$(json_text "$pgup_libc")" "$(json_text "$(uname -m)")"
  # Not from the server's process, which root without ptrace may not look at.
  pgup_icu=$(ldd "$(command -v postgres)" 2>/dev/null | sed -n 's/.*libicui18n\.so\.\([0-9]*\).*/\1/p' | head -n 1)
  printf ',"icu":"%s"' "$pgup_icu"
  pgup_stat=$(stat -c '"dir_uid":%u,"dir_gid":%g,"dir_mode":"%a"' "$pgup_dir" 2>/dev/null) && printf ',%s' "$pgup_stat"
  pgup_stat=$(stat -c '"parent_uid":%u,"parent_gid":%g,"parent_mode":"%a"' "$pgup_dir/.." 2>/dev/null) && printf ',%s' "$pgup_stat"
  printf ',"real_dir":"%s"' "$(json_text "$(readlink -f "$pgup_dir" 2>/dev/null)")"
  # Up to 9.6 it has another name.
  for pgup_wal in "$pgup_dir/pg_wal" "$pgup_dir/pg_xlog"; do
    if [ -L "$pgup_wal" ]; then
      printf ',"wal_link":"%s"' "$(json_text "$(readlink "$pgup_wal")")"
    fi
  done
  # The longest mount point that holds the directory.
  pgup_mount=
  while read -r _ pgup_at pgup_type _; do
    case "$pgup_dir/" in
      "${pgup_at%/}"/*)
        if [ ${#pgup_at} -ge ${#pgup_mount} ]; then
          pgup_mount=$pgup_at
          pgup_fs=$pgup_type
        fi
        ;;
    esac
  done 2>/dev/null </proc/mounts
  if [ -n "$pgup_mount" ]; then
    printf ',"mount":"%s","fstype":"%s"' "$(json_text "$pgup_mount")" "$(json_text "$pgup_fs")"
  fi
  # shellcheck disable=SC2046
  set -- $(df -Pk "$pgup_dir" 2>/dev/null | sed -n '$p')
  case ${4-} in '' | *[!0-9]*) ;; *) printf ',"size_kib":%s,"free_kib":%s' "$2" "$4" ;; esac
  # shellcheck disable=SC2046
  set -- $(df -Pi "$pgup_dir" 2>/dev/null | sed -n '$p')
  case ${4-} in '' | *[!0-9]*) ;; *) printf ',"inodes":%s,"free_inodes":%s' "$2" "$4" ;; esac
  if cd "$pgup_dir" 2>/dev/null && [ -r base ]; then
    printf ',"files":%s' "$(find base global pg_tblspc -type f 2>/dev/null | wc -l)"
    printf ',"directories":{'
    du -k base global pg_wal/ pg_xlog/ pg_xact pg_clog pg_multixact pg_tblspc 2>/dev/null | {
      pgup_comma=
      while read -r pgup_kib pgup_name; do
        case $pgup_name in
          pg_xlog/) pgup_name=pg_wal/ ;;
          pg_clog) pgup_name=pg_xact ;;
        esac
        case $pgup_name in
          base/*/*) ;;
          base | base/* | global | pg_wal/ | pg_xact | pg_multixact | pg_tblspc)
            printf '%s"%s":%s' "$pgup_comma" "${pgup_name%/}" "$pgup_kib"
            pgup_comma=,
            ;;
        esac
      done
    }
    printf '}'
  fi
  printf '}\n'
}

connect
PGUP_VERSION=${PGUP_FIRST%%
*}
pgup_superuser=${PGUP_VERSION#* }
PGUP_VERSION=${PGUP_VERSION%% *}
pgup_list=${PGUP_FIRST#*
}
pgup_data=${pgup_list%%
*}
pgup_list=${pgup_list#*
}
case $PGUP_VERSION in
  '' | *[!0-9]*) refuse no-version "unexpected answer from the server: $PGUP_VERSION" ;;
esac
if [ "$PGUP_VERSION" -ge 110000 ]; then
  PGOPTIONS="$PGOPTIONS -c jit=off"
fi
if [ "$PGUP_VERSION" -ge 170000 ]; then
  PGOPTIONS="$PGOPTIONS -c transaction_timeout=0"
  # A login trigger must neither stop nor notice us; only a superuser may say so.
  [ "$pgup_superuser" != on ] || PGOPTIONS="$PGOPTIONS -c event_triggers=off"
fi
pgup_queries=$(database_queries)
# shellcheck disable=SC2086
ask() { $PGUP_AS "$PSQL" -XAtqw -f -; }

# each_database LIST: for each database the line that goes there, with its queries behind it.
each_database() {
  while IFS= read -r pgup_line; do
    if [ -n "$pgup_line" ]; then
      printf '%s\n%s\n' "$pgup_line" "$pgup_queries"
    fi
  done <<EOF
$1
EOF
}

# Many databases are asked through two connections at once.
pgup_one=
pgup_two=
pgup_count=0
while IFS= read -r pgup_line; do
  pgup_count=$((pgup_count + 1))
  if [ "$pgup_count" -gt 6 ] && [ $((pgup_count % 2)) = 0 ]; then
    pgup_two="$pgup_two$pgup_line
"
  else
    pgup_one="$pgup_one$pgup_line
"
  fi
done <<EOF
$pgup_list
EOF

if [ -n "${PGUP_EACH-}" ]; then
  # A psql of its own for each database: psql ends when it cannot connect, and one closed database must not hide the others.
  {
    server_queries | ask
    while IFS= read -r pgup_line; do
      each_database "$pgup_line" | ask
    done <<EOF
$pgup_list
EOF
    container_facts "$pgup_data"
    printf '%s\n' '{"section":"end"}'
  } | LC_ALL=C sed -n -e p -e '$='
else
  {
    each_database "$pgup_two"
    printf "\\\\echo '%s'\n" '{"section":"end"}'
  } | ask | {
    # The sizes are counted while the queries run, and go last into psql's own input, so lines never mix. They are also the
    # proof that this psql came to its end.
    container_facts "$pgup_data" | {
      server_queries
      each_database "$pgup_one"
      IFS= read -r pgup_line
      printf "\\\\echo '%s'\n" "$(printf '%s' "$pgup_line" | LC_ALL=C sed -e 's/\\/\\\\/g' -e "s/'/\\\\'/g")"
    } | ask
    cat
  } | LC_ALL=C sed -n -e p -e '$='
fi
exit 0
