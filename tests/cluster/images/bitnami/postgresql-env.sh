# shellcheck shell=bash
# The environment of the Bitnami image: every setting is read from POSTGRESQL_x, else POSTGRES_x, else from the file
# that the same name with _FILE points to.

# setting NAME DEFAULT [OTHER_NAME...]
setting() {
  local name=$1 value=$2 other
  shift 2
  for other in "POSTGRESQL_$name" "POSTGRES_$name" "$@"; do
    local file=${other}_FILE
    if [[ -n ${!file-} ]]; then
      if [[ -r ${!file} ]]; then
        printf -v "$other" '%s' "$(<"${!file}")"
        unset "$file"
      else
        log WARN "Skipping export of '$other'. '${!file}' is not readable."
      fi
    fi
  done
  for other in "POSTGRESQL_$name" "POSTGRES_$name" "$@"; do
    if [[ -n ${!other-} ]]; then
      value=${!other}
      break
    fi
  done
  export "POSTGRESQL_$name=$value"
}

log() { printf '%s %s ==> %s\n' "postgresql $(date +%H:%M:%S.%2N)" "$1" "$2" >&2; }

is_yes() { [[ ${1,,} =~ ^(1|yes|true)$ ]]; }

setting VOLUME_DIR /bitnami/postgresql
setting DATA_DIR "$POSTGRESQL_VOLUME_DIR/data" PGDATA
setting USERNAME postgres POSTGRES_USER POSTGRESQL_USER
setting DATABASE postgres POSTGRES_DB
setting PASSWORD ''
setting POSTGRES_PASSWORD ''
setting PORT_NUMBER 5432
setting INITDB_ARGS ''
setting INITDB_WAL_DIR '' POSTGRES_INITDB_WALDIR
setting INITSCRIPTS_USERNAME "$POSTGRESQL_USERNAME"
setting INITSCRIPTS_PASSWORD "$POSTGRESQL_PASSWORD"
setting SHARED_PRELOAD_LIBRARIES pgaudit
setting ALLOW_REMOTE_CONNECTIONS yes
setting PGHBA_REMOVE_FILTERS ''
setting WAL_LEVEL replica
setting FSYNC on
setting CLIENT_MIN_MESSAGES error
setting EXTRA_FLAGS ''
setting INIT_MAX_TIMEOUT 60
for name in PASSWORD_ENCRYPTION DEFAULT_TOAST_COMPRESSION PGAUDIT_LOG PGAUDIT_LOG_CATALOG PGAUDIT_LOG_PARAMETER \
  LOG_CONNECTIONS LOG_DISCONNECTIONS LOG_HOSTNAME LOG_LINE_PREFIX LOG_TIMEZONE TIMEZONE MAX_CONNECTIONS \
  STATEMENT_TIMEOUT; do
  setting "$name" ''
done
unset name

base=/opt/bitnami/postgresql
export PATH=$base/bin:/opt/bitnami/common/bin:$PATH
# shellcheck disable=SC2034  # read by the scripts that source this file
{
  conf_dir=$base/conf
  conf=$conf_dir/postgresql.conf
  hba=$conf_dir/pg_hba.conf
  mounted_conf=$POSTGRESQL_VOLUME_DIR/conf
  pid_file=$base/tmp/postgresql.pid
}
