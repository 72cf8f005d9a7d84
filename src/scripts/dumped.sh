# A dump directory, and how it is told whole from truncated or changed. What lies in one:
#   globals.sql   roles and settings by pg_dumpall, password hashes among them
#   unlisted.sql  what pg_dumpall leaves out (unlisted.sh)
#   OID.name      the name of a database, without a newline at the end
#   OID/          the same database by pg_dump -Fd, with lc_monetary = C
#   about.json    one line: format, from, by, system_identifier, superuser, at (ms), databases (oid, name, tables, bytes)
#   sizes         "BYTES NAME" of each of these files
#   manifest      `sha256sum` of each file and of sizes; it comes last, so a dump that was not finished has none
# shellcheck shell=dash disable=SC2034,SC2154

# by_name: lines that end with a file's name, in the order of the names.
by_name() { sort -k2; }

sizes_of_dump() {
  find . -type f ! -name 'manifest*' ! -name 'sizes*' -exec stat -c '%s %n' '{}' + | sed 's| \./| |' | by_name
}

# sums: of the files in stdin, in parallel. A process's lines stay below what one write takes whole.
sums() { xargs -P "${PGUP_JOBS:-1}" -n 32 sha256sum | by_name; }

# dumped_databases DIR: their OIDs.
dumped_databases() { find "$1" -maxdepth 1 -name '*.name' | sed 's|.*/||; s|\.name$||' | sort -n; }

# seal DIR: writes sizes and manifest of a finished dump, after the dump itself is on the disk.
seal() (
  cd "$1" && rm -f manifest && chmod 0700 . || exit 1
  sizes_of_dump >sizes || exit 1
  { cut -d' ' -f2 sizes && echo sizes; } | sums >manifest.tmp || exit 1
  # What failed in a pipe has no line.
  [ "$(wc -l <manifest.tmp)" -eq "$(($(wc -l <sizes) + 1))" ] || exit 1
  sync -f . && sync manifest.tmp && mv manifest.tmp manifest && sync .
)

# first_other FILE OTHER: the name in the first line of FILE that OTHER has not.
first_other() {
  while read -r other_line; do
    grep -qxF -e "$other_line" "$2" || {
      echo "${other_line##* }"
      return 0
    }
  done <"$1"
}

# unsound: what is wrong with the dump in this directory, in words; nothing when it is whole. BOX keeps the lists.
unsound() {
  if [ ! -s manifest ] || [ ! -s sizes ]; then
    echo "it has no manifest, so it was never finished"
    return 0
  fi
  if [ "$(wc -l <manifest)" -ne "$(($(wc -l <sizes) + 1))" ]; then
    echo "its manifest is truncated"
    return 0
  fi
  sizes_of_dump >"$BOX/sizes.now"
  # Files that somebody has added do no harm.
  grep -xF -f sizes "$BOX/sizes.now" >"$BOX/sizes.same"
  if ! cmp -s sizes "$BOX/sizes.same"; then
    name=$(first_other sizes "$BOX/sizes.same")
    sealed=$(sed -n "s|^\([0-9]*\) $name\$|\1|p" sizes)
    if [ ! -e "$name" ]; then
      echo "$name is missing"
    else
      now=$(stat -c %s "$name")
      case $((now < sealed)) in
        1) echo "$name is truncated: $now of $sealed bytes" ;;
        *) echo "$name is corrupted: $now bytes instead of $sealed" ;;
      esac
    fi
    return 0
  fi
  sed 's/^[^ ]* [ *]//' manifest | sums >"$BOX/sums.now"
  cmp -s manifest "$BOX/sums.now" || echo "$(first_other manifest "$BOX/sums.now") is corrupted: its checksum is another"
}

# dump_is_whole DIR: every file is there as it was sealed. Sets WHY in words when not.
dump_is_whole() {
  WHY=$(cd "$1" 2>/dev/null || { echo "there is no dump" && exit 0; } && unsound) || WHY="it cannot be read"
  [ -z "$WHY" ]
}
