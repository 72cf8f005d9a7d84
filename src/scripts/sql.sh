# Finds psql, the server's local socket and a superuser's way in, inside the server's own container.
# Sourced in front of other scripts; POSIX sh. Sets PSQL, PGHOST, PGPORT, PGUSER, PGDATABASE, PGPASSWORD, PGUP_AS
# and the first answer of the server in PGUP_FIRST. Nothing secret leaves the container.
# shellcheck shell=sh disable=SC2034

# Prints its argument as the inside of a JSON string; newlines cannot occur in what is passed here.
json_text() {
  printf '%s' "$1" | LC_ALL=C tr '\n\r\t' '   ' | LC_ALL=C sed -e 's/\\/\\\\/g' -e 's/"/\\"/g'
}

# refuse CODE DETAIL: one line for the client and the end.
refuse() {
  printf '{"section":"refused","reason":"%s","detail":"%s"}\n' "$1" "$(json_text "$2")"
  exit 3
}

# The value of a variable or, when there is none, of the file that NAME_FILE names.
env_or_file() {
  eval "pgup_value=\${$1-}; pgup_file=\${$1_FILE-}"
  # shellcheck disable=SC2154
  if [ -z "$pgup_value" ] && [ -n "$pgup_file" ] && [ -r "$pgup_file" ]; then
    pgup_value=$(cat "$pgup_file")
  fi
}

find_psql() {
  # Debian's psql in the PATH is a Perl script, which takes longer than most of what it is asked.
  for PSQL in "/usr/lib/postgresql/${PG_MAJOR-}/bin/psql" "$(command -v psql 2>/dev/null)" /opt/bitnami/postgresql/bin/psql /usr/local/bin/psql /usr/lib/postgresql/*/bin/psql /usr/pgsql-*/bin/psql; do
    if [ -n "$PSQL" ] && [ -x "$PSQL" ]; then
      return 0
    fi
  done
  refuse no-psql "no psql in this container"
}

# Sets PGHOST and PGPORT. The lock file tells both; without it the usual directories are looked through.
find_socket() {
  for pgup_dir in "${PGDATA-}" "${POSTGRESQL_DATA_DIR-}" "${POSTGRES_DATA_DIR-}" /bitnami/postgresql/data /var/lib/postgresql/data; do
    if [ -n "$pgup_dir" ] && [ -r "$pgup_dir/postmaster.pid" ]; then
      {
        read -r _ && read -r _ && read -r _ && read -r PGPORT && IFS= read -r PGHOST
      } <"$pgup_dir/postmaster.pid" || continue
      if [ -n "$PGHOST" ] && [ -S "$PGHOST/.s.PGSQL.$PGPORT" ]; then
        return 0
      fi
    fi
  done
  pgup_port=${PGPORT_ASKED:-${POSTGRESQL_PORT_NUMBER:-${POSTGRES_PORT_NUMBER:-5432}}}
  for PGHOST in /var/run/postgresql /run/postgresql /tmp /opt/bitnami/postgresql/tmp; do
    if [ -S "$PGHOST/.s.PGSQL.$pgup_port" ]; then
      PGPORT=$pgup_port
      return 0
    fi
  done
  for PGHOST in /var/run/postgresql /run/postgresql /tmp /opt/bitnami/postgresql/tmp; do
    for pgup_socket in "$PGHOST"/.s.PGSQL.*; do
      if [ -S "$pgup_socket" ]; then
        PGPORT=${pgup_socket##*.}
        return 0
      fi
    done
  done
  # No socket anywhere: the loopback may still answer.
  PGHOST=127.0.0.1
  PGPORT=$pgup_port
}

# One ready \connect line for each database that takes connections, for PGUP_HELLO.
# psql takes double quotes away even between single ones, so they are doubled twice.
PGUP_DATABASES="SELECT '\\connect -reuse-previous=on ''' || replace(replace(replace(replace(replace(
 'dbname=''' || replace(replace(datname::text, '\\', '\\\\'), '''', '\\''') || '''', '\\', '\\\\'), '''', '\\'''), chr(10), '\\n'), chr(13), '\\r'), '\"', '\"\"\"\"') || ''''
 FROM (SELECT datname FROM pg_catalog.pg_database WHERE datallowconn AND datconnlimit <> -2 ORDER BY oid) d"

# One attempt with what PGUSER, PGPASSWORD and PGUP_AS say; the answer to PGUP_HELLO in PGUP_FIRST.
try_login() {
  for PGDATABASE in postgres template1; do
    # shellcheck disable=SC2086
    if pgup_answer=$($PGUP_AS "$PSQL" -XAtqw -v ON_ERROR_STOP=1 -c "SELECT '#answer ' || pg_catalog.current_setting('is_superuser')" -c "$PGUP_HELLO" 2>&1 </dev/null); then
      # A warning at the login, such as that of a collation version, comes before the mark.
      PGUP_FIRST=${pgup_answer#*"#answer "}
      PGUP_SUPER=${PGUP_FIRST%%
*}
      PGUP_FIRST=${PGUP_FIRST#*
}
      return 0
    fi
    PGUP_WHY=${PGUP_WHY:-$pgup_answer}
  done
  return 1
}

# Every way in for PGUSER: as we are (trust, or peer for the server's own user), as that user by peer, by password.
try_user() {
  unset PGPASSWORD
  PGUP_AS=
  try_login && return 0
  if [ "$(id -u)" = 0 ]; then
    for pgup_step in "gosu $PGUSER" "su-exec $PGUSER" "runuser -u $PGUSER --"; do
      # A user name with a space cannot be an operating system user of these images.
      case $PGUSER in *[!A-Za-z0-9_-]*) break ;; esac
      if command -v "${pgup_step%% *}" >/dev/null 2>&1 && id "$PGUSER" >/dev/null 2>&1; then
        PGUP_AS=$pgup_step
        try_login && return 0
        break
      fi
    done
    PGUP_AS=
  fi
  for pgup_name in POSTGRESQL_POSTGRES_PASSWORD POSTGRES_POSTGRES_PASSWORD POSTGRESQL_PASSWORD POSTGRES_PASSWORD; do
    env_or_file "$pgup_name"
    if [ -n "$pgup_value" ]; then
      PGUP_TRIED=yes
      PGPASSWORD=$pgup_value
      export PGPASSWORD
      try_login && return 0
    fi
  done
  unset PGPASSWORD
  return 1
}

# Sets PGOPTIONS: those of PGUP_OPTIONS, behind what keeps settings of roles and databases from mixing messages into what is
# read and from cutting short what takes its time.
session_options() { PGOPTIONS="-c client_min_messages=error -c statement_timeout=0 $PGUP_OPTIONS"; }

# Connects as a superuser, else as whoever gets in, or ends the script. PGUP_HELLO is the first statement.
connect() {
  PGPORT_ASKED=${PGPORT-}
  # What the image set for its own clients must not lead elsewhere.
  unset PGHOST PGHOSTADDR PGUSER PGDATABASE PGPASSWORD PGSERVICE PGSERVICEFILE PGSSLMODE PGREQUIRESSL PGSSLCERT PGSSLKEY PGSSLROOTCERT PGSSLCRL \
    PGCHANNELBINDING PGTARGETSESSIONATTRS PGREQUIREPEER PGREQUIREAUTH PGGSSENCMODE PGKRBSRVNAME PGTZ PGDATESTYLE PGGEQO PSQL_EDITOR
  PGAPPNAME=kubectl-pg-upgrade
  PGCONNECT_TIMEOUT=5
  PGCLIENTENCODING=UTF8
  session_options
  LC_ALL=C
  find_psql
  find_socket
  export PGHOST PGPORT PGUSER PGDATABASE PGAPPNAME PGCONNECT_TIMEOUT PGCLIENTENCODING PGOPTIONS LC_ALL
  PGUP_WHY=
  PGUP_TRIED=
  env_or_file POSTGRES_USER
  pgup_user=${pgup_value:-postgres}
  # Bitnami's POSTGRES_USER is an ordinary role; its superuser is always postgres.
  if [ -n "${BITNAMI_APP_NAME-}" ] || [ -e /opt/bitnami/scripts/postgresql-env.sh ]; then
    pgup_user=postgres
  fi
  # In a template that was Bitnami's the user of the environment is an ordinary role too.
  set -- "$pgup_user"
  if [ "$pgup_user" != postgres ]; then set -- "$pgup_user" postgres; fi
  pgup_ordinary=
  for PGUSER in "$@"; do
    if try_user; then
      if [ "$PGUP_SUPER" = on ]; then return 0; fi
      pgup_ordinary=${pgup_ordinary:-$PGUSER}
    fi
  done
  if [ -n "$pgup_ordinary" ]; then
    PGUSER=$pgup_ordinary
    try_user && return 0
  fi
  refuse no-login "as $PGUSER on $PGHOST port $PGPORT: $PGUP_WHY${PGUP_TRIED:+ (the passwords found in the container were refused too)}"
}
