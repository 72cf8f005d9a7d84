#!/bin/sh
# Stands in for PostgreSQL's programs where only the worker's own steps are tested; picked by the name it is called by.
# $FAKE_TO and $FAKE_FROM are the majors; FAKE_FAIL lets pg_upgrade fail after it has disabled the old cluster.
set -eu
name=${0##*/}

# control FILE VERSION WORD: a control file, "shut down".
control() {
  { printf '12345678\024\005\000\000\001\000\000\000\001\000\000\000'; printf '%s %s\n' "$2" "$3"; } >"$1"
}

dir='' old='' mode=''
case $name in
  postgres)
    if [ "${1:-}" = --single ]; then
      # What was upgraded takes the settings, once.
      grep -q upgraded "$3/global/pg_control" && [ ! -e "$3/global/settings" ] && [ -s "$3/base/1/user1" ]
      cat >"$3/global/settings"
      exit 0
    fi
    case $0 in */oldbin/*) echo "postgres (PostgreSQL) $FAKE_FROM.9" ;; *) echo "postgres (PostgreSQL) $FAKE_TO.5" ;; esac
    exit 0
    ;;
  pg_controldata)
    printf '%s\n' "pg_control version number:            1300" "Database system identifier:           1" \
      "Database cluster state:               shut down" "Bytes per WAL segment:                16777216" \
      "Data page checksum version:           0" "max_connections setting:              100"
    exit 0
    ;;
esac
while [ $# -gt 0 ]; do
  case $1 in
    -D) dir=$2 && shift ;;
    -d) old=$2 && shift ;;
    --link) mode='link' ;;
  esac
  shift
done
case $name in
  initdb)
    [ ! -e "$dir" ] || exit 1
    mkdir -p "$dir/base/1" "$dir/global" "$dir/pg_wal" "$dir/pg_xact"
    echo "$FAKE_TO" >"$dir/PG_VERSION"
    echo new >"$dir/base/1/catalog"
    echo wal >"$dir/pg_wal/000000010000000000000001"
    echo x >"$dir/pg_xact/0000"
    echo '# new' >"$dir/postgresql.conf"
    echo '# new' >"$dir/pg_hba.conf"
    echo '# new' >"$dir/pg_ident.conf"
    echo '# new' >"$dir/postgresql.auto.conf"
    control "$dir/global/pg_control" "$FAKE_TO" fresh
    ;;
  pg_ctl) [ -e "$dir/global/pg_control" ] && [ -e "$dir/postgresql.conf" ] && [ -e "$dir/PG_VERSION" ] ;;
  pg_upgrade)
    echo 'Performing Consistency Checks'
    [ "$(cat "$old/PG_VERSION")" = "$FAKE_FROM" ] && grep -q '^# written by' "$old/postgresql.conf" && [ ! -e "$old/postmaster.pid" ]
    grep -q fresh "$dir/global/pg_control" && [ -e "$old/global/pg_control" ]
    [ "$(ls "$dir/base/1")" = catalog ]
    printf '%-60sok\n' 'Checking cluster versions'
    if [ "$mode" = link ]; then mv "$old/global/pg_control" "$old/global/pg_control.old"; fi
    for file in "$old"/base/1/user*; do
      if [ "$mode" = link ]; then ln "$file" "$dir/base/1/${file##*/}"; else cp "$file" "$dir/base/1/"; fi
    done
    if [ -n "${FAKE_FAIL:-}" ]; then
      printf '%-60s\n*failure*\n' 'Setting next OID for new cluster'
      exit 1
    fi
    control "$dir/global/pg_control" "$FAKE_TO" upgraded
    printf '%-60sok\n' 'Linking user relation files'
    ;;
esac
