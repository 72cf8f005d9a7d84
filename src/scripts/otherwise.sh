# Databases with another encoding or locale than those of the dump, for --encoding, --locale and --locale-provider.
# shellcheck shell=dash disable=SC2154

# made_otherwise: the new databases have another encoding or locale than those of the dump.
made_otherwise() { [ -n "${PGUP_AS_ENCODING:-}${PGUP_AS_PROVIDER:-}" ]; }

# otherwise: what differs because it was asked for, in the words of the observation.
otherwise() {
  echo "${PGUP_AS_ENCODING:+encoding} ${PGUP_AS_PROVIDER:+provider locale collate ctype} ${PGUP_AS_CHECKSUMS:+checksums}"
}

# as_wished: a script that makes a database, with what is asked for in place of what the old one had. What begins with the
# last mark is the server's and not a part of a name.
as_wished() {
  wished_drop='s/ LOCALE_PROVIDER = [a-z]*//; s/ (BUILTIN_LOCALE|ICU_LOCALE) = '"'[^']*'"'//g; s/ ICU_RULES = E?'"'([^'\\\\]|''|\\\\.)*'"'//'
  wished_add=
  case ${PGUP_AS_PROVIDER:-} in
    '') wished_drop= ;;
    libc)
      wished_drop="$wished_drop; s/ (LOCALE|LC_COLLATE|LC_CTYPE) = '[^']*'//g"
      wished_add=" LOCALE = '$PGUP_AS_LOCALE'"
      [ "$TO" -lt 15 ] || wished_add=" LOCALE_PROVIDER = libc$wished_add"
      ;;
    icu) wished_add=" LOCALE_PROVIDER = icu ICU_LOCALE = '$PGUP_AS_LOCALE'" ;;
    builtin) wished_add=" LOCALE_PROVIDER = builtin BUILTIN_LOCALE = '$PGUP_AS_LOCALE'" ;;
  esac
  sed -E "/^CREATE DATABASE /{
    s/^(.*) WITH TEMPLATE = template0 ENCODING = '([^']*)'/\\1\\n\\2\\n/
    h
    s/^.*\\n.*\\n//
    $wished_drop
    x
    s/^(.*)\\n(.*)\\n.*\$/\\1 WITH TEMPLATE = template0 ENCODING = '${PGUP_AS_ENCODING:-\\2}'$wished_add/
    G
    s/\\n//
  }"
}

# connection NAME: a database where a program takes a name apart; two signs are special there.
connection() { printf "dbname='%s'" "$(printf '%s' "$1" | sed "s/[\\\\']/\\\\&/g")"; }

# load_otherwise NAME DIR: loads a dump as pg_restore --create would, but for what the database is made with.
load_otherwise() {
  making "$1"
  "$NEW_BIN/pg_restore" --create --list "$2" >"$BOX/made.all" || return 1
  sed -n -E '/^[0-9]+; [0-9]+ [0-9]+ (DATABASE|DATABASE PROPERTIES|(ACL|COMMENT|SECURITY LABEL) - DATABASE) /p' "$BOX/made.all" >"$BOX/made.entries"
  # shellcheck disable=SC2086 # a flag or nothing
  "$NEW_BIN/pg_restore" --create $CLEAN ${PGUP_NO_TABLESPACES:+--no-tablespaces} -L "$BOX/made.entries" -f "$BOX/made.sql" "$2" || return 1
  as_wished <"$BOX/made.sql" >"$BOX/made.as" || return 1
  on_new "$FIRST" psql -Xq -v ON_ERROR_STOP=1 -f "$BOX/made.as" >/dev/null || return 1
  [ -z "${WEAK:-}" ] || before_contents "$1" || return 1
  on_new postgres pg_restore ${PGUP_NO_TABLESPACES:+--no-tablespaces} -d "$(connection "$1")" -j "${PGUP_JOBS:-1}" "$2"
}
