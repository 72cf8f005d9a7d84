#!/bin/bash
# Makes the configuration anew at every start and the cluster at the first, which is when the data directory is empty.
set -o errexit -o nounset -o pipefail
# shellcheck source=postgresql-env.sh
. /opt/bitnami/scripts/postgresql-env.sh

validate() {
  local failed=0
  if is_yes "${ALLOW_EMPTY_PASSWORD:-no}"; then
    log WARN "You set the environment variable ALLOW_EMPTY_PASSWORD=$ALLOW_EMPTY_PASSWORD."
  elif [[ -z $POSTGRESQL_PASSWORD ]]; then
    log ERROR 'The POSTGRESQL_PASSWORD environment variable is empty or not set.'
    failed=1
  elif ((${#POSTGRESQL_PASSWORD} > 100)); then
    log ERROR 'The password cannot be longer than 100 characters.'
    failed=1
  fi
  return "$failed"
}

# A pid file of another life is removed unasked: the pid may be alive again in this container.
clean_from_restart() {
  local file
  for file in postmaster.pid standby.signal recovery.signal; do
    if [[ -f $POSTGRESQL_DATA_DIR/$file ]]; then
      log INFO "Cleaning stale $POSTGRESQL_DATA_DIR/$file file"
      rm "$POSTGRESQL_DATA_DIR/$file"
    fi
  done
}

is_mounted() { [[ -f $mounted_conf/$1 ]]; }

# set_property NAME VALUE: the file is rewritten in place, its folder may be a volume of other owners.
set_property() {
  local name=$1 value=$2 text
  if grep -qE "^#*\s*${name//./\\.}\s*=" "$conf"; then
    text=$(sed -E "s|^#*\s*${name//./\\.}\s*=.*|$name = '${value//[|&\\]/\\&}'|" "$conf")
    printf '%s\n' "$text" > "$conf"
  else
    printf "%s = '%s'\n" "$name" "$value" >> "$conf"
  fi
}

set_if_given() { if [[ -n $2 ]]; then set_property "$1" "$2"; fi; }

write_hba() {
  cat > "$hba" <<'TEXT'
host     all             all             0.0.0.0/0               trust
host     all             all             ::/0                    trust
local    all             all                                     trust
host     all             all             127.0.0.1/32            trust
host     all             all             ::1/128                 trust
TEXT
}

# The socket and loopback ask for the password too: nobody logs in without one.
restrict_hba() {
  local text
  [[ -n $POSTGRESQL_PASSWORD ]] || return 0
  text=$(sed 's/trust/md5/' "$hba")
  printf '%s\n' "$text" > "$hba"
}

configure() {
  set_property wal_level "$POSTGRESQL_WAL_LEVEL"
  set_property max_wal_size 400MB
  set_property max_wal_senders 16
  set_property wal_keep_size 128MB
  set_property hot_standby on
  set_property fsync "$POSTGRESQL_FSYNC"
  set_if_given shared_preload_libraries "$POSTGRESQL_SHARED_PRELOAD_LIBRARIES"
  set_if_given pgaudit.log "$POSTGRESQL_PGAUDIT_LOG"
  set_if_given pgaudit.log_catalog "$POSTGRESQL_PGAUDIT_LOG_CATALOG"
  set_if_given pgaudit.log_parameter "$POSTGRESQL_PGAUDIT_LOG_PARAMETER"
  set_if_given log_connections "$POSTGRESQL_LOG_CONNECTIONS"
  set_if_given log_disconnections "$POSTGRESQL_LOG_DISCONNECTIONS"
  set_if_given log_hostname "$POSTGRESQL_LOG_HOSTNAME"
  set_if_given client_min_messages "$POSTGRESQL_CLIENT_MIN_MESSAGES"
  set_if_given log_line_prefix "$POSTGRESQL_LOG_LINE_PREFIX"
  set_if_given log_timezone "$POSTGRESQL_LOG_TIMEZONE"
  set_if_given timezone "$POSTGRESQL_TIMEZONE"
  set_if_given max_connections "$POSTGRESQL_MAX_CONNECTIONS"
  set_if_given statement_timeout "$POSTGRESQL_STATEMENT_TIMEOUT"
}

quietly() { if is_yes "${BITNAMI_DEBUG:-no}"; then "$@"; else "$@" > /dev/null 2>&1; fi; }

create_cluster() {
  local -a extra
  read -r -a extra <<< "$POSTGRESQL_INITDB_ARGS"
  if [[ -n $POSTGRESQL_INITDB_WAL_DIR ]]; then
    mkdir -p "$POSTGRESQL_INITDB_WAL_DIR"
    extra+=(--waldir "$POSTGRESQL_INITDB_WAL_DIR")
  fi
  quietly initdb -E UTF8 -D "$POSTGRESQL_DATA_DIR" -U postgres "${extra[@]}"
}

start_in_background() {
  local wait=$POSTGRESQL_INIT_MAX_TIMEOUT
  [[ ! -f $pid_file ]] || return 0
  log INFO 'Starting PostgreSQL in background...'
  quietly pg_ctl start -W -D "$POSTGRESQL_DATA_DIR" -l "$base/logs/postgresql.log" \
    -o "--config-file=$conf --external_pid_file=$pid_file --hba_file=$hba"
  until pg_isready -q -U postgres -h 127.0.0.1 -p "$POSTGRESQL_PORT_NUMBER"; do
    sleep 0.2
    ((SECONDS < wait)) || { log ERROR "PostgreSQL is not ready after $wait seconds"; exit 1; }
  done
}

stop() {
  if [[ -f $pid_file ]]; then
    log INFO 'Stopping PostgreSQL...'
    quietly pg_ctl stop -w -D "$POSTGRESQL_DATA_DIR" -m fast
  fi
}

# sql DATABASE USER PASSWORD [ARGUMENT...]
sql() {
  local database=$1 user=$2 password=$3
  shift 3
  PGPASSWORD=$password quietly psql -X -v ON_ERROR_STOP=1 -U "$user" -h 127.0.0.1 -p "$POSTGRESQL_PORT_NUMBER" \
    -d "$database" "$@"
}

# Passwords reach psql by the environment: an argument would be visible to every process.
create_users() {
  if [[ $POSTGRESQL_DATABASE != postgres ]]; then
    sql postgres postgres '' -v db="$POSTGRESQL_DATABASE" <<< 'CREATE DATABASE :"db";'
  fi
  # The superuser is always called postgres; the user of the environment is an ordinary one beside it.
  local superuser_password=$POSTGRESQL_POSTGRES_PASSWORD
  if [[ $POSTGRESQL_USERNAME == postgres ]]; then superuser_password=$POSTGRESQL_PASSWORD; fi
  if [[ -n $superuser_password ]]; then
    PW=$superuser_password sql postgres postgres '' <<'SQL'
\set pw `printf %s "$PW"`
ALTER ROLE postgres WITH PASSWORD :'pw';
SQL
  fi
  if [[ $POSTGRESQL_USERNAME != postgres ]]; then
    PW=$POSTGRESQL_PASSWORD sql "$POSTGRESQL_DATABASE" postgres '' \
      -v usr="$POSTGRESQL_USERNAME" -v db="$POSTGRESQL_DATABASE" <<'SQL'
\set pw `printf %s "$PW"`
CREATE ROLE :"usr" WITH LOGIN CREATEDB PASSWORD :'pw';
GRANT ALL PRIVILEGES ON DATABASE :"db" TO :"usr";
ALTER DATABASE :"db" OWNER TO :"usr";
ALTER SCHEMA public OWNER TO :"usr";
SQL
  fi
}

run_files() {
  local dir=$1 file
  while IFS= read -r -d '' file; do
    case $file in
      *.sh)
        # shellcheck source=/dev/null
        if [[ -x $file ]]; then "$file"; else . "$file"; fi ;;
      *.sql) sql "$POSTGRESQL_DATABASE" "$POSTGRESQL_INITSCRIPTS_USERNAME" "$POSTGRESQL_INITSCRIPTS_PASSWORD" < "$file" ;;
      *.sql.gz) gunzip -c "$file" |
        sql "$POSTGRESQL_DATABASE" "$POSTGRESQL_INITSCRIPTS_USERNAME" "$POSTGRESQL_INITSCRIPTS_PASSWORD" ;;
    esac
  done < <(find "$dir/" -type f -print0 | sort -z)
}

validate
trap stop EXIT
clean_from_restart
run_files /docker-entrypoint-preinitdb.d
rm -f "$pid_file"

log INFO 'Initializing PostgreSQL database...'
if compgen -G "$mounted_conf/*" > /dev/null; then cp -fr "$mounted_conf/." "$conf_dir"; fi
own_conf=yes
own_hba=yes
if is_mounted postgresql.conf; then log INFO "Custom configuration $conf detected"; own_conf=no; fi
if is_mounted pg_hba.conf; then log INFO "Custom configuration $hba detected"; own_hba=no; fi

mkdir -p "$POSTGRESQL_DATA_DIR" "$base/tmp" "$base/logs"
chmod u+rwx,go-rwx "$POSTGRESQL_DATA_DIR" || log WARN 'Lack of permissions on data directory!'
if [[ $own_hba == yes ]]; then write_hba; fi
set_property port "$POSTGRESQL_PORT_NUMBER"
set_if_given default_toast_compression "$POSTGRESQL_DEFAULT_TOAST_COMPRESSION"
set_if_given password_encryption "$POSTGRESQL_PASSWORD_ENCRYPTION"

if [[ -n $(ls -A "$POSTGRESQL_DATA_DIR") ]]; then
  log INFO 'Deploying PostgreSQL with persisted data...'
  first_boot=no
else
  first_boot=yes
  create_cluster
  start_in_background
  create_users
fi
if [[ $own_hba == yes ]]; then restrict_hba; fi
if [[ $own_conf == yes ]]; then configure; fi
# The server never reads the files that initdb leaves here, so nobody shall take them for the configuration.
rm -f "$POSTGRESQL_DATA_DIR/postgresql.conf" "$POSTGRESQL_DATA_DIR/pg_hba.conf"
stop

if [[ -n $(find /docker-entrypoint-initdb.d/ -type f -regex '.*\.\(sh\|sql\|sql.gz\)') \
  && ! -f $POSTGRESQL_VOLUME_DIR/.user_scripts_initialized ]]; then
  start_in_background
  run_files /docker-entrypoint-initdb.d
  touch "$POSTGRESQL_VOLUME_DIR/.user_scripts_initialized"
fi

if ! is_mounted postgresql.conf && is_yes "$POSTGRESQL_ALLOW_REMOTE_CONNECTIONS"; then
  set_property listen_addresses '*'
fi
if [[ $own_hba == yes && -n $POSTGRESQL_PGHBA_REMOVE_FILTERS ]]; then
  for filter in ${POSTGRESQL_PGHBA_REMOVE_FILTERS//,/ }; do
    text=$(sed -E "/$filter/d" "$hba")
    printf '%s\n' "$text" > "$hba"
  done
fi
log INFO "Configuration is ready (first boot: $first_boot)"
