#!/bin/bash
# Keeps the contract of the docker-library image: as root it hands the data directory to uid 999 and steps down,
# a data directory without PG_VERSION gets a new cluster, any other is started as it is.
set -Eeo pipefail

# NAME takes its value from the environment, else from the file that NAME_FILE names, else the default.
from_environment_or_file() {
  local name=$1 file=${1}_FILE value=${2-}
  if [[ -n ${!name-} && -n ${!file-} ]]; then
    echo "error: both $name and $file are set (but are exclusive)" >&2
    exit 1
  fi
  if [[ -n ${!name-} ]]; then
    value=${!name}
  elif [[ -n ${!file-} ]]; then
    value=$(<"${!file}")
  fi
  export "$name=$value"
  unset "$file"
}

read_environment() {
  from_environment_or_file POSTGRES_PASSWORD
  from_environment_or_file POSTGRES_USER postgres
  from_environment_or_file POSTGRES_DB "$POSTGRES_USER"
  from_environment_or_file POSTGRES_INITDB_ARGS
}

# A failed chmod or mkdir is left to the server to judge: the directory may be usable all the same.
prepare_directories() {
  mkdir -p "$PGDATA"
  chmod 00700 "$PGDATA" || :
  mkdir -p /var/run/postgresql || :
  chmod 03775 /var/run/postgresql || :
  if [[ -n ${POSTGRES_INITDB_WALDIR-} ]]; then
    mkdir -p "$POSTGRES_INITDB_WALDIR"
    chmod 700 "$POSTGRES_INITDB_WALDIR"
  fi
  if [[ $(id -u) == 0 ]]; then
    find "$PGDATA" /var/run/postgresql ${POSTGRES_INITDB_WALDIR:+"$POSTGRES_INITDB_WALDIR"} \
      ! -user postgres -exec chown postgres {} +
  fi
}

require_password() {
  if [[ $POSTGRES_HOST_AUTH_METHOD == trust ]]; then
    echo 'WARNING: POSTGRES_HOST_AUTH_METHOD has been set to "trust".' >&2
  elif [[ -z $POSTGRES_PASSWORD ]]; then
    cat >&2 <<'TEXT'
Error: Database is uninitialized and superuser password is not specified.
       You must specify POSTGRES_PASSWORD to a non-empty value for the
       superuser.
TEXT
    exit 1
  fi
}

# Looks for clusters in the places of older images, but only when PGDATA is the default of this one.
refuse_old_clusters() {
  local dir found=()
  [[ $PGDATA == "/var/lib/postgresql/$PG_MAJOR/docker" ]] || return 0
  for dir in /var/lib/postgresql /var/lib/postgresql/data /var/lib/postgresql/*/docker; do
    if [[ -s $dir/PG_VERSION ]]; then found+=("$dir"); fi
  done
  if ((${#found[@]} == 0 && PG_MAJOR >= 18)) && mountpoint -q /var/lib/postgresql/data; then
    found=('/var/lib/postgresql/data (unused mount/volume)')
  fi
  ((${#found[@]} > 0)) || return 0
  cat >&2 <<TEXT
Error: in 18+, these Docker images are configured to store database data in a
       format which is compatible with "pg_ctlcluster" (specifically, using
       major-version-specific directory names).

       Counter to that, there appears to be PostgreSQL data in:
$(printf '         %s\n' "${found[@]}")
TEXT
  exit 1
}

# initdb refuses a uid without a passwd entry, so such a uid gets one from nss_wrapper for this call alone.
create_cluster() {
  local wrapper='' library passwd='' group=''
  if ! getent passwd "$(id -u)" > /dev/null; then
    for library in /usr/lib/*/libnss_wrapper.so; do wrapper=$library; done
    passwd=$(mktemp)
    group=$(mktemp)
    echo "postgres:x:$(id -u):$(id -g):PostgreSQL:$PGDATA:/bin/false" > "$passwd"
    echo "postgres:x:$(id -g):" > "$group"
  fi
  local -a call=(initdb "--username=$POSTGRES_USER")
  if [[ -n ${POSTGRES_INITDB_WALDIR-} ]]; then call+=(--waldir "$POSTGRES_INITDB_WALDIR"); fi
  # The arguments are one string of shell words, as users of the real image write them.
  eval "call+=($POSTGRES_INITDB_ARGS)"
  (
    if [[ -n $wrapper ]]; then
      export LD_PRELOAD=$wrapper NSS_WRAPPER_PASSWD=$passwd NSS_WRAPPER_GROUP=$group
    fi
    "${call[@]}" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD")
  )
  rm -f ${passwd:+"$passwd"} ${group:+"$group"}
}

allow_hosts() {
  local method=$POSTGRES_HOST_AUTH_METHOD
  # The server's own default: md5 for 13, scram-sha-256 from 14.
  [[ -n $method ]] || method=$(postgres -C password_encryption "$@")
  printf '\nhost all all all %s\n' "$method" >> "$PGDATA/pg_hba.conf"
}

run_sql() {
  PGHOST='' PGHOSTADDR='' psql -v ON_ERROR_STOP=1 --username "$POSTGRES_USER" --no-password --no-psqlrc \
    --dbname "${database:-$POSTGRES_DB}" "$@"
}

create_database() {
  local database=postgres found
  found=$(run_sql --set db="$POSTGRES_DB" -At <<< "SELECT 1 FROM pg_database WHERE datname = :'db'")
  if [[ -z $found ]]; then
    run_sql --set db="$POSTGRES_DB" <<< 'CREATE DATABASE :"db"'
  fi
}

run_initdb_files() {
  local file
  for file; do
    case $file in
      *.sh)
        echo "$0: running $file"
        # shellcheck source=/dev/null
        if [[ -x $file ]]; then "$file"; else . "$file"; fi ;;
      *.sql) echo "$0: running $file"; run_sql -f "$file" ;;
      *.sql.gz) echo "$0: running $file"; gunzip -c "$file" | run_sql ;;
      *.sql.xz) echo "$0: running $file"; xzcat "$file" | run_sql ;;
      *.sql.zst) echo "$0: running $file"; zstd -dc "$file" | run_sql ;;
      *) echo "$0: ignoring $file" ;;
    esac
  done
}

# The first start is on the socket only: no client sees a half-made database.
initialise() {
  create_cluster
  allow_hosts "${@:2}"
  export PGPASSWORD=${PGPASSWORD:-$POSTGRES_PASSWORD}
  local options
  options=$(printf '%q ' "${@:2}" -c listen_addresses='' -p "${PGPORT:-5432}")
  PGUSER=${PGUSER:-$POSTGRES_USER} pg_ctl -D "$PGDATA" -o "$options" -w start
  create_database
  run_initdb_files /docker-entrypoint-initdb.d/*
  PGUSER=${PGUSER:-postgres} pg_ctl -D "$PGDATA" -m fast -w stop
  unset PGPASSWORD
}

starts_a_server() {
  local arg
  [[ ${1-} == postgres ]] || return 1
  for arg; do
    case $arg in
      '-?' | --help | --describe-config | -V | --version) return 1 ;;
    esac
  done
}

if [[ ${1-} == -* ]]; then set -- postgres "$@"; fi

if starts_a_server "$@"; then
  : "${POSTGRES_HOST_AUTH_METHOD:=}"
  read_environment
  prepare_directories
  if [[ $(id -u) == 0 ]]; then exec gosu postgres "${BASH_SOURCE[0]}" "$@"; fi
  if [[ -s $PGDATA/PG_VERSION ]]; then
    printf '\nPostgreSQL Database directory appears to contain a database; Skipping initialization\n\n'
  else
    require_password
    refuse_old_clusters
    ls /docker-entrypoint-initdb.d/ > /dev/null
    initialise "$@"
    printf '\nPostgreSQL init process complete; ready for start up.\n\n'
  fi
fi

exec "$@"
