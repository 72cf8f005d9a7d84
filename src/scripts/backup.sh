# Runs behind sql.sh in the server's container: holds one online backup open while another pod copies the data directory.
# backup.sh fast|spread ; words by stdin: alive, stop, end; psql answers with one line of JSON each. A temporary replication
# slot keeps the write-ahead log that the copy needs. Slot and backup end with the session, whatever ends that.
# shellcheck shell=sh disable=SC2034,SC2154

PGUP_OPTIONS='-c lock_timeout=5s -c search_path=pg_catalog -c standard_conforming_strings=on -c row_security=off'
PGUP_HELLO="SELECT current_setting('server_version_num'), current_setting('data_directory')"

# begin fast|spread: the statements before the copy.
begin() {
  # A client that is gone must not keep write-ahead log for ever; older servers watch only over open transactions.
  if [ "$pgup_version" -ge 140000 ]; then
    echo "SET idle_session_timeout = '60s';"
  else
    echo "SET idle_in_transaction_session_timeout = '60s'; BEGIN;"
  fi
  fast=false
  [ "$1" != fast ] || fast=true
  echo "SELECT json_build_object('event', 'starting', 'seconds', CASE WHEN $fast THEN 0
    ELSE ceil(extract(epoch FROM current_setting('checkpoint_timeout')::interval) * current_setting('checkpoint_completion_target')::float8) END);
    SELECT json_build_object('event', 'slot', 'name', slot_name)
    FROM pg_create_physical_replication_slot('pg_upgrade_' || pg_backend_pid(), true, true);"
  if [ "$pgup_version" -ge 150000 ]; then
    start="pg_backup_start('kubectl pg-upgrade', $fast)"
  else
    start="pg_start_backup('kubectl pg-upgrade', $fast, false)"
  fi
  echo "SELECT json_build_object('event', 'started', 'lsn', l::text, 'wal', pg_walfile_name(l)) FROM $start l;"
}

# free: sets FREE to the free bytes of the data directory's file system.
free() {
  # shellcheck disable=SC2046
  set -- $(df -Pk "$pgup_dir" 2>/dev/null | sed -n '$p')
  case ${4-} in
    '' | *[!0-9]*) FREE=null ;;
    *) FREE=$(($4 * 1024)) ;;
  esac
}

# statements: stdin's words as SQL.
statements() {
  begin "$1"
  while read -r word; do
    case $word in
      alive)
        free
        # A slot that lost what it kept has no restart_lsn.
        echo "SELECT json_build_object('event', 'kept', 'free', $FREE, 'bytes', (SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint
          FROM pg_replication_slots WHERE slot_name = 'pg_upgrade_' || pg_backend_pid()));" || return
        ;;
      stop)
        stop='pg_stop_backup(false, false)'
        [ "$pgup_version" -lt 150000 ] || stop='pg_backup_stop(false)'
        echo "SELECT json_build_object('event', 'stopped', 'wal', pg_walfile_name(lsn), 'label', labelfile) FROM $stop;" || return
        ;;
      end) return ;;
    esac
  done
}

connect
pgup_version=${PGUP_FIRST%%|*} pgup_dir=${PGUP_FIRST#*|}
# shellcheck disable=SC2086
statements "$1" | $PGUP_AS "$PSQL" -XAtqw -v ON_ERROR_STOP=1
