# shellcheck shell=sh
# Runs behind sql.sh in the server's container, whose user may be root: makes the directory of the new cluster with its guard
# in it, and the one of the runs, for the owner of the data directory; our own pods cannot below a mount that is root's.
# $1 data directory, $2 directory of the new cluster, $3 its major version, $4 directory of the runs.
pgup_say() {
  printf '{"event":"%s","reason":"%s","detail":"%s"}\n' "$1" "$2" "$3"
  exit 0
}

# pgup_make DIR: as a whole, with what is in DIR.pg-upgrade already.
pgup_make() {
  mkdir -p "$1.pg-upgrade" 2>/dev/null || pgup_say refused place_not_writable "$1 cannot be made by user $(id -u) of the container"
  chmod 0700 "$1.pg-upgrade"
  if [ "$(id -u)" = 0 ]; then chown -R "$pgup_owner" "$1.pg-upgrade"; fi
  mv "$1.pg-upgrade" "$1" || pgup_say refused place_not_writable "$1 cannot be made from $1.pg-upgrade"
  sync "${1%/*}" 2>/dev/null || sync
}

pgup_owner=$(stat -c %u:%g "$1")
if [ -e "$2" ] || [ -L "$2" ]; then
  set -- "$1" "$2" "$3" "$4" "$2"/* "$2"/.[!.]* "$2"/..?*
  if [ ! -d "$2" ] || [ -L "$2" ]; then pgup_say refused place_taken "$2 is no directory"; fi
  for pgup_entry; do
    case $pgup_entry in "$2"/*) ;; *) continue ;; esac
    if { [ -e "$pgup_entry" ] || [ -L "$pgup_entry" ]; } && [ "$pgup_entry" != "$2/PG_VERSION" ]; then
      pgup_say refused place_taken "$2 is not empty"
    fi
  done
  if [ "$(stat -c %u:%g "$2")" != "$pgup_owner" ]; then pgup_say refused not_owner "$2 does not belong to the owner of $1"; fi
  if [ ! -e "$2/PG_VERSION" ]; then rmdir "$2" || pgup_say refused place_not_writable "$2 cannot be made anew"; fi
fi
if [ ! -e "$2" ]; then
  # Parents as an entrypoint makes them.
  (umask 022 && mkdir -p "${2%/*}" "$2.pg-upgrade") 2>/dev/null || pgup_say refused place_not_writable "$2 cannot be made by user $(id -u) of the container"
  echo "$3" >"$2.pg-upgrade/PG_VERSION"
  chmod 0600 "$2.pg-upgrade/PG_VERSION"
  # An entrypoint initialises where PG_VERSION is empty: its text is on the disk before the directory has its name.
  sync "$2.pg-upgrade/PG_VERSION" "$2.pg-upgrade" 2>/dev/null || sync
  pgup_make "$2"
fi
[ -e "$4" ] || pgup_make "$4"
pgup_say made '' ''
