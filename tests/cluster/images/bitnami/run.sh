#!/bin/bash
# Starts the server with its configuration outside the data directory.
set -o errexit -o nounset -o pipefail
# shellcheck source=postgresql-env.sh
. /opt/bitnami/scripts/postgresql-env.sh

read -r -a extra <<< "$POSTGRESQL_EXTRA_FLAGS"
log INFO '** Starting PostgreSQL **'
exec postgres -D "$POSTGRESQL_DATA_DIR" "--config-file=$conf" "--external_pid_file=$pid_file" "--hba_file=$hba" \
  "${extra[@]}" "$@"
