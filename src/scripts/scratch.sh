# shellcheck shell=sh
# Runs behind sql.sh in the server's container: a directory that goes with the script. $2 is that directory.
pgup_scratch=$2
(umask 077 && mkdir -p "$pgup_scratch")
trap 'rm -rf "$pgup_scratch"' EXIT
