#!/bin/bash
# sql.sh and gather.sh against real servers: every way in, hostile names, closed databases. The queries are the Rust side's;
# stand-ins are enough here.
# shellcheck disable=SC2016  # statements and names that are not for this shell
# shellcheck source=tests/scripts/lab.sh
. "$(dirname "${BASH_SOURCE[0]}")/lab.sh"
lab_enter "$@"
set -u

stand_ins='server_queries() { cat <<\Q
SELECT jsonb_build_object($$section$$, $$server$$, $$user$$, current_user, $$readonly$$, current_setting($$transaction_read_only$$));
Q
}
database_queries() { cat <<\Q
SELECT jsonb_build_object($$section$$, $$database-end$$, $$database$$, current_database());
Q
}'

# gather UID MAJOR [first lines of the script]: the answer in $LAB/answer, complaints in $LAB/complaints.
gather() {
  local text
  text=${3-}$'\n'$(cat "$scripts/sql.sh")$'\n'$stand_ins$'\n'$(cat "$scripts/gather.sh")
  as "$1" "$2" sh -c 'script=$(cat) && eval "$script"' <<< "$text" > "$LAB/answer" 2> "$LAB/complaints"
}
# asks UID MAJOR: the role that a single question is asked as.
asks() {
  local text
  text=$(cat "$scripts/sql.sh")$'\nPGUP_OPTIONS=; PGUP_HELLO="SELECT current_user"; connect; printf "%s\\n" "$PGUP_FIRST"'
  as "$1" "$2" sh -c 'script=$(cat) && eval "$script"' <<< "$text" 2>> "$LAB/complaints"
}
databases() { grep -c '"database-end"' "$LAB/answer"; }
whole() { [[ $(tail -n 2 "$LAB/answer" | head -n 1) == '{"section":"end"}' && $(tail -n 1 "$LAB/answer") == $(($(wc -l < "$LAB/answer") - 1)) ]]; }
reads() { gather "$@" && whole && [[ $(databases) -ge 3 ]] && ! grep -qF "$password" "$LAB/answer" "$LAB/complaints"; }
refuses() { ! gather "$@" && grep -q '"reason":"no-login"' "$LAB/answer" && ! grep -qF "$password" "$LAB/answer" "$LAB/complaints"; }

hba() { printf '%s\n' "$@" > "$LAB/vol/data/pg_hba.conf" && as 999 "$major" pg_ctl -D /vol/data reload > /dev/null && sleep 0.5; }

# With a line of its own in a file, and everything that a shell could take for its own.
password='it'\''s "a" $(touch /tmp/owned) \ canary %s `id` '
names=('o'\''b"r\a=z' 'UPPER case' '$(touch /tmp/owned) `id`' 'postgresql://x/y?z' $'new\nline' $'tab\tx' 'dbname=postgres host=/nowhere' ':PGUP -- ;' 'größe'
  aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa)

for major in 13 18; do
  new_cluster "$major" /vol/data
  start "$major" /vol/data
  for name in "${names[@]}"; do sql "$major" postgres -v "name=$name" <<< 'CREATE DATABASE :"name";'; done
  sql "$major" postgres -v "password=$password" <<< "CREATE ROLE \"Ad min\" SUPERUSER LOGIN PASSWORD :'password'; ALTER ROLE postgres PASSWORD :'password'; CREATE ROLE app LOGIN PASSWORD 'of-app';"
  unset LAB_ENV

  check "$major: trust, as the server's user" reads 999 "$major"
  check "$major: every hostile name is read" test "$(databases)" = $((${#names[@]} + 2))
  check "$major: the session is read-only" grep -q '"readonly": "on"' "$LAB/answer"
  check "$major: sizes and owner are there" grep -q '"dir_uid":999.*"files":[0-9]' "$LAB/answer"
  check "$major: the version of ICU is there" grep -q '"icu":"[1-9][0-9]"' "$LAB/answer"
  check "$major: trust, as root" reads 0 "$major"
  check "$major: trust, as a user that has no name" reads 1234 "$major"
  check "$major: a psql for each database says the same" eval 'reads 999 "$major" PGUP_EACH=1 && test "$(databases)" = $((${#names[@]} + 2))'
  ((major < 17)) || sql "$major" postgres -c "ALTER ROLE ALL SET transaction_timeout = '1s'"
  sql "$major" postgres < "$repository/tests/support/settings.sql" > /dev/null
  check "$major: whatever every session is set to" eval 'reads 999 "$major" && test "$(databases)" = $((${#names[@]} + 2))'
  LAB_ENV=(PGOPTIONS='-c default_transaction_read_only=off')
  sql "$major" postgres -c 'ALTER ROLE ALL RESET ALL' 2> /dev/null
  LAB_ENV=(PGHOST=elsewhere.invalid PGPORT=1 PGUSER=nobody PGDATABASE=none PGOPTIONS=--nonsense PGSSLMODE=verify-full PGSERVICE=none PGPASSWORD=wrong)
  check "$major: libpq's variables of the container lead nowhere" reads 999 "$major"
  unset LAB_ENV

  hba 'local all all peer'
  check "$major: peer, as the server's user" reads 999 "$major"
  check "$major: peer, as root" reads 0 "$major"
  check "$major: peer, as another user, is refused" refuses 1234 "$major"

  hba 'local all all md5' 'host all all all md5'
  sql_password=$password
  check "$major: no password is refused with a reason" refuses 999 "$major"
  LAB_ENV=(POSTGRES_USER="Ad min" POSTGRES_PASSWORD="$sql_password")
  check "$major: docker-library with a password of quotes" reads 0 "$major"
  check "$major: as the role that was asked for" grep -q '"user": "Ad min"' "$LAB/answer"
  printf '%s\n' "$sql_password" > "$LAB/vol/secret"
  LAB_ENV=(POSTGRES_USER="Ad min" POSTGRES_PASSWORD_FILE=/vol/secret)
  check "$major: docker-library with a password file" reads 999 "$major"
  LAB_ENV=(POSTGRES_PASSWORD=wrong)
  check "$major: a wrong password is refused with a reason" refuses 999 "$major"

  mkdir -p "$(root "$major")/opt/bitnami/scripts"
  touch "$(root "$major")/opt/bitnami/scripts/postgresql-env.sh"
  LAB_ENV=(POSTGRES_USER=app POSTGRES_PASSWORD=of-app POSTGRES_POSTGRES_PASSWORD="$sql_password")
  check "$major: Bitnami: the superuser is postgres, whoever POSTGRES_USER is" reads 1001 "$major"
  check "$major: Bitnami: as postgres" grep -q '"user": "postgres"' "$LAB/answer"
  LAB_ENV=(POSTGRESQL_USERNAME=app POSTGRESQL_PASSWORD=of-app POSTGRESQL_POSTGRES_PASSWORD_FILE=/vol/secret)
  check "$major: Bitnami: password file" reads 1001 "$major"
  LAB_ENV=(POSTGRESQL_PASSWORD="$sql_password")
  check "$major: Bitnami: one password for all" reads 1001 "$major"
  rm -r "$(root "$major")/opt/bitnami/scripts"
  LAB_ENV=(POSTGRES_USER=app POSTGRES_PASSWORD=of-app POSTGRES_POSTGRES_PASSWORD="$sql_password")
  check "$major: docker-library with Bitnami's variables" reads 999 "$major"
  check "$major: docker-library with Bitnami's variables asks as the superuser" test "$(asks 999 "$major")" = postgres
  LAB_ENV=(POSTGRES_USER=app POSTGRES_PASSWORD=of-app)
  check "$major: who is no superuser asks all the same" test "$(asks 999 "$major")" = app
  unset LAB_ENV

  hba 'local "UPPER case" all reject' 'local all all trust'
  gather 999 "$major"
  check "$major: a database that rejects us cuts the answer short" eval '! whole || ! grep -q "\"section\":\"container\"" "$LAB/answer"'
  check "$major: and is left out by a psql for each" eval 'reads 999 "$major" PGUP_EACH=1 && test "$(databases)" = $((${#names[@]} + 1))'
  check "$major: with the reason on stderr" grep -q 'reject' "$LAB/complaints"

  stop "$major" /vol/data
  check "$major: a server that is down is refused with a reason" refuses 999 "$major"
  check "$major: no name and no password was run by a shell" test ! -e "$(root "$major")/tmp/owned"
  rm -rf "$LAB/vol/data" "$LAB/vol/secret"
done
lab_end
