# shellcheck shell=sh disable=SC2034,SC2154
# Runs behind sql.sh in the server's container: writes everything dirty to the volume while clients still work.
PGUP_OPTIONS=
PGUP_HELLO='CHECKPOINT'
connect
# shellcheck disable=SC2086
dir=$($PGUP_AS "$PSQL" -XAtqw -c 'SHOW data_directory' </dev/null)
sync -f "$dir" 2>/dev/null || sync
