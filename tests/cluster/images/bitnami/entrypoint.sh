#!/bin/bash
# Entrypoint of the Bitnami family: names the uid for its own children only, prepares the server when it is
# the server that starts.
set -o errexit -o nounset -o pipefail
# shellcheck source=postgresql-env.sh
. /opt/bitnami/scripts/postgresql-env.sh

if ! getent passwd "$(id -u)" > /dev/null && [[ -e $NSS_WRAPPER_LIB ]]; then
  NSS_WRAPPER_PASSWD=$(mktemp)
  NSS_WRAPPER_GROUP=$(mktemp)
  echo "postgres:x:$(id -u):$(id -g):PostgreSQL:$POSTGRESQL_DATA_DIR:/bin/false" > "$NSS_WRAPPER_PASSWD"
  echo "postgres:x:$(id -g):" > "$NSS_WRAPPER_GROUP"
  export LD_PRELOAD=$NSS_WRAPPER_LIB NSS_WRAPPER_PASSWD NSS_WRAPPER_GROUP
fi

# The folder may be an empty volume; what the user mounts into it stays.
cp -nr "$base/conf.default/." "$conf_dir" || :

if [[ $* == */opt/bitnami/scripts/postgresql/run.sh* ]]; then
  log INFO '** Starting PostgreSQL setup **'
  /opt/bitnami/scripts/postgresql/setup.sh
  touch "$base/tmp/.initialized"
  log INFO '** PostgreSQL setup finished! **'
fi

exec "$@"
