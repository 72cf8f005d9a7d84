# Writes the schema of the databases in "$@" to stdout, compressed where there is gzip: what `pg_dump` of the server's own
# image says to make the same cluster again, without any data. Runs behind sql.sh in the server's container and writes
# nothing there. A line "PGUP_MARK …" begins each part and tells how the last one ended; PGUP_SECONDS is the time for all.
# No passwords: not those of roles, and neither subscriptions nor user mappings, which may hold some.
# shellcheck shell=sh disable=SC2034,SC2154

PGUP_OPTIONS='-c default_transaction_read_only=on'
PGUP_HELLO="SELECT pg_catalog.current_setting('server_version_num')"

# find_dump: sets PGUP_BIN to the directory of the pg_dump of the server's own version.
find_dump() {
  pgup_major=$((PGUP_FIRST / 10000))
  [ "$pgup_major" -ge 10 ] || pgup_major=9.$((PGUP_FIRST / 100 % 100))
  for PGUP_BIN in "/usr/lib/postgresql/$pgup_major/bin" "${PSQL%/*}" /opt/bitnami/postgresql/bin /usr/local/bin "/usr/pgsql-$pgup_major/bin" /usr/bin; do
    if [ -x "$PGUP_BIN/pg_dump" ] && [ -x "$PGUP_BIN/pg_dumpall" ]; then
      pgup_version=$("$PGUP_BIN/pg_dump" --version 2>/dev/null)
      case "${pgup_version#*PostgreSQL) }." in "$pgup_major"[!0-9]*) return 0 ;; esac
    fi
  done
  refuse no-pg-dump "no pg_dump of PostgreSQL $pgup_major in this container"
}

# find_spare: sets PGUP_SPARE to the KiB that pg_dump may take: half of what the container has left, so that the kernel never
# has to choose between it and the server.
find_spare() {
  PGUP_SPARE=1048576
  pgup_group=/sys/fs/cgroup
  if [ -r $pgup_group/memory.max ]; then
    read -r pgup_most <$pgup_group/memory.max
    read -r pgup_used <$pgup_group/memory.current
  elif [ -r $pgup_group/memory/memory.limit_in_bytes ]; then
    pgup_group=$pgup_group/memory
    read -r pgup_most <$pgup_group/memory.limit_in_bytes
    read -r pgup_used <$pgup_group/memory.usage_in_bytes
  else
    return 0
  fi
  case $pgup_most in
    # No limit at all is a word, or longer than any memory.
    max | ????????????????*) return 0 ;;
  esac
  # Pages of files are given back when memory is short.
  while read -r pgup_name pgup_bytes; do
    case $pgup_name in inactive_file | active_file) pgup_used=$((pgup_used - pgup_bytes)) ;; esac
  done <$pgup_group/memory.stat
  pgup_left=$(((pgup_most - pgup_used) / 2048))
  [ "$pgup_left" -ge "$PGUP_SPARE" ] || PGUP_SPARE=$pgup_left
  [ "$PGUP_SPARE" -ge 32768 ] || refuse no-memory "the container has only $((PGUP_SPARE / 512)) MiB of memory left"
}

# part WORD...: a line between the parts.
part() { printf '\n%s %s\n' "$PGUP_MARK" "$*"; }

# dump DATABASE PROGRAM ARGUMENTS...: on fd 3; what goes wrong becomes a line of its own.
dump() {
  # By the environment: a name given as argument is taken apart when it holds an equals sign.
  PGDATABASE=$1 pgup_program=$2
  shift 2
  pgup_left=$((pgup_until - $(date +%s)))
  if [ "$pgup_left" -le 0 ]; then
    part "failed the time for it, $PGUP_SECONDS s, is over" >&3
    return 0
  fi
  pgup_within=
  if command -v timeout >/dev/null 2>&1; then pgup_within="timeout $pgup_left"; fi
  # shellcheck disable=SC2086
  pgup_why=$(
    # A limit that cannot be set is no reason to fail.
    # shellcheck disable=SC3045
    ulimit -v "$PGUP_SPARE" 2>/dev/null
    $PGUP_AS $pgup_within "$PGUP_BIN/$pgup_program" -w --no-tablespaces --lock-wait-timeout=2000 "$@" 2>&1 >&3
  )
  pgup_code=$?
  case $pgup_code in
    0) ;;
    124 | 143) part "failed the time for it, $PGUP_SECONDS s, is over" >&3 ;;
    *) part "failed $(printf '%s' "${pgup_why:-code $pgup_code}" | tr '\n' ' ')" >&3 ;;
  esac
}

# The DDL that pg_upgrade itself takes, so that extensions keep their version and their members.
dump_all() {
  # Before 10 pg_dumpall cannot leave passwords out; they are taken out of the stream.
  pgup_roles='' pgup_public=''
  [ "$PGUP_FIRST" -lt 100000 ] || pgup_roles=--no-role-passwords pgup_public=--no-subscriptions
  part globals >&3
  dump postgres pg_dumpall --globals-only --binary-upgrade $pgup_roles
  # shellcheck disable=SC2086
  if pgup_every=$(unlisted_sql | $PGUP_AS "$PSQL" -XAtqw -v ON_ERROR_STOP=1 -f - 2>&1); then
    # Taken back behind them, as sessions that make the databases would begin with it.
    if printf '%s\n' "$pgup_every" | grep '^ALTER ROLE ALL ' >&3; then echo 'ALTER ROLE ALL RESET ALL;' >&3; fi
  else
    part "failed $(printf '%s' "$pgup_every" | tr '\n' ' ')" >&3
  fi
  for pgup_database in "$@"; do
    part "database $pgup_database" >&3
    pgup_create=--create
    case $pgup_database in postgres | template1) pgup_create= ;; esac
    # shellcheck disable=SC2086
    dump "$pgup_database" pg_dump --schema-only --binary-upgrade $pgup_public $pgup_create
  done
  part end >&3
}

connect
# As under pg_upgrade: the bytes of each database, which need not be what its encoding says.
PGCLIENTENCODING=SQL_ASCII
find_dump
find_spare
pgup_until=$(($(date +%s) + PGUP_SECONDS))
# A login trigger must neither stop nor notice us.
[ "$PGUP_FIRST" -lt 170000 ] || PGOPTIONS="$PGOPTIONS -c event_triggers=off"
squeeze() { if command -v gzip >/dev/null 2>&1; then gzip -c1; else cat; fi; }
{ dump_all "$@" 3>&1 1>&2; } | LC_ALL=C sed -e "s/^\\(ALTER ROLE .*\\) PASSWORD '[^']*'/\\1/" \
  -e '/^CREATE USER MAPPING FOR .* OPTIONS ($/,/^);$/d' | squeeze
