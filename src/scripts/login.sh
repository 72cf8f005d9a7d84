# Logins to servers over the network.
# shellcheck shell=dash disable=SC2154

# passfile FILE PASSWORD: what libpq reads for every server and user; it takes a colon and a backslash only behind another
# backslash, and no newline at all. Fails for a password with one.
passfile() {
  : >"$1"
  case $2 in
    '') ;;
    *"$NL"*) return 1 ;;
    *) printf '*:*:*:*:%s\n' "$(printf '%s' "$2" | sed 's/[\\:]/\\&/g')" >"$1" ;;
  esac
}
