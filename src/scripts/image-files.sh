# Prints the configuration that an image keeps outside the data directory: one line of JSON for each line or file, "end" last.
# $1 pg_hba.conf, $2 the main configuration file, $3 the directory of what the user gives to the image. Runs behind sql.sh.
# shellcheck shell=sh

item() { printf '{"%s":"%s"}\n' "$1" "$(json_text "$2")"; }

if [ -r "$1" ]; then
  while IFS= read -r pgup_line || [ -n "$pgup_line" ]; do
    case $pgup_line in
      '' | '#'*) ;;
      # Options whose value is a secret never leave the container.
      *passw*=* | *secret*=*) printf '{"hba":null}\n' ;;
      *) item hba "$pgup_line" ;;
    esac
  done <"$1"
fi
if [ -r "$2" ]; then
  grep -i '^[[:space:]]*include' "$2" | while IFS= read -r pgup_line; do item include "$pgup_line"; done
fi
if [ -d "$3" ]; then
  # A ConfigMap's files are links into a directory whose name begins with two dots.
  find -L "$3" -path '*/..*' -prune -o -type f -print 2>/dev/null | while IFS= read -r pgup_line; do item given "$pgup_line"; done
fi
printf '%s\n' '{"end":true}'
