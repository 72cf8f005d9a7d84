# How a pod gets into a server whose password it cannot be told: with one that it makes itself and that never leaves its memory.
# What the server needs to know of it, the verifier that PostgreSQL keeps of any password (RFC 5802), is told as an event; whoever
# may run commands in that server's container makes the role PGUP_NEW_GUEST of it there (admit.sh). Behind side.sh.
# shellcheck shell=dash disable=SC2154

# It outlives a container that is started again, whose client may be gone by then.
GUEST=${PGUP_KEYS:-/dev/shm}/guest

# guest: makes the password where there is none yet, and tells the verifier.
guest() {
  if [ ! -s "$GUEST" ]; then
    find_bin '' initdb || refuse programs "the image has no initdb"
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$GUEST.new"
    # No SQL makes a verifier without a server that keeps it: one that never listens does.
    rm -rf "$BOX/guest"
    "$BIN/initdb" -D "$BOX/guest" -U "$PGUP_NEW_GUEST" --pwfile="$GUEST.new" -A scram-sha-256 -E UTF8 --no-locale --no-sync >"$BOX/guest.log" 2>&1 ||
      refuse guest "no password could be made for the new server: $(tail -n 3 "$BOX/guest.log")"
    echo "SELECT '#' || rolpassword AS v FROM pg_authid WHERE rolname = '$PGUP_NEW_GUEST'" |
      "$BIN/postgres" --single -D "$BOX/guest" template1 2>>"$BOX/guest.log" | sed -n 's/.*"#\(SCRAM-SHA-256[^"]*\)".*/\1/p' >"$GUEST.verifier"
    rm -rf "$BOX/guest"
    [ -s "$GUEST.verifier" ] || refuse guest "no verifier could be made for the new server: $(tail -n 3 "$BOX/guest.log")"
    mv "$GUEST.new" "$GUEST"
  fi
  event guest "\"role\":\"$PGUP_NEW_GUEST\",\"verifier\":\"$(cat "$GUEST.verifier")\""
}

# admitted: waits until the server knows the role, or turns us away for another reason.
admitted() {
  admitted_count=0
  until to_new postgres "$PSQL" -XAtqw -c '' >/dev/null 2>"$BOX/reach.err"; do
    case $(cat "$BOX/reach.err") in
      *'password authentication failed'* | *"role \"$PGUP_NEW_GUEST\" does not exist"* | *"role \"$PGUP_NEW_GUEST\" is not permitted to log in"*) ;;
      *) return 0 ;;
    esac
    admitted_count=$((admitted_count + 1))
    [ "$admitted_count" -lt "${PGUP_ADMISSION:-900}" ] || refuse guest "nobody has let this pod into the new server"
    sleep 1
  done
}

# guest_gone: the role can do nothing from here on, whoever drops it.
guest_gone() {
  if [ -z "${PGUP_NEW_GUEST:-}" ] || [ -z "${NEW_HOST:-}" ]; then return 0; fi
  to_new postgres "$PSQL" -XAtqw -c "ALTER ROLE $PGUP_NEW_GUEST NOLOGIN NOSUPERUSER PASSWORD NULL" >/dev/null 2>&1 || :
  rm -f "$GUEST" "$GUEST.verifier"
}
