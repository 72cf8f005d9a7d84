# shellcheck shell=sh
# Runs behind sql.sh in the server's container: makes the run's directory where no upgrade pod could make it before the
# stop, for the owner of the directory that holds it. $2 is the run's directory.
if [ ! -d "$2" ]; then
  pgup_work=${2%/*}
  pgup_like=$pgup_work
  [ -d "$pgup_like" ] || pgup_like=${pgup_work%/*}
  (umask 077 && mkdir -p "$2")
  if [ "$(id -u)" = 0 ]; then
    chown "$(stat -c %u:%g "$pgup_like")" "$pgup_work" "$2"
  fi
fi
