#!/bin/sh
# shellcheck shell=dash
# Init container, OLD image: copies this image's PostgreSQL with everything it needs to /pgo, so that it runs
# inside the new image whatever distribution that is. Env: PGUP_FROM.
set -eu
# shellcheck source=lib.sh disable=SC1091
. "${0%/*}/lib.sh"
# Nothing here is secret, and the main container may run as another user of the same group.
umask 022
clock_start
started=$NOW

if [ -e "$PGO/complete" ]; then
  read -r line <"$PGO/complete"
  printf '%s\n' "$line"
  exit 0
fi

# With PGUP_TRY the main container is told instead: it has more to say.
fail() {
  json "$2"
  event refused "\"reason\":\"$1\",\"detail\":$JSON"
  why=$2
  exit 3
}
tell() {
  code=$?
  if [ "$code" != 0 ]; then printf '%s\n' "${why:-copying them ended with code $code}" >"$PGO/refused"; fi
  exit 0
}
if [ -n "${PGUP_TRY:-}" ]; then trap tell EXIT; fi
# PID 1 ignores a signal that has no handler.
trap 'exit 143' TERM INT HUP

find_bin "${PGUP_FROM:?}" pg_controldata || fail old_programs "no PostgreSQL $PGUP_FROM in this image"
# Programs find their share directory from where they really are (src/port/path.c): a link to it leads elsewhere.
bin=$(cd -P "$BIN" && pwd -P) version=$MINOR
lib='' share=''
if [ -x "$bin/pg_config" ]; then
  lib=$("$bin/pg_config" --pkglibdir 2>/dev/null || :)
  share=$("$bin/pg_config" --sharedir 2>/dev/null || :)
fi
for guess in "$bin/../lib/postgresql" "$bin/../lib"; do
  if [ -d "$lib" ]; then break; fi
  if [ -e "$guess/plpgsql.so" ]; then lib=$(cd "$guess" && pwd); fi
done
for guess in "$bin/../share/postgresql" "$bin/../share"; do
  if [ -d "$share" ]; then break; fi
  if [ -e "$guess/postgres.bki" ]; then share=$(cd "$guess" && pwd); fi
done
if [ ! -d "$lib" ] || [ ! -d "$share" ]; then
  fail old_programs "the library or share directory of $bin is not found"
fi

loader=
for guess in /lib64/ld-linux-x86-64.so.2 /lib/ld-linux-aarch64.so.1 /lib/ld-musl-*.so.1 /lib64/ld64.so.2 /lib/ld64.so.1 \
  /lib/ld-linux-riscv64-lp64d.so.1 /lib/ld-linux-armhf.so.3 /lib64/ld-*.so.*; do
  if [ -x "$guess" ] && "$guess" --list "$bin/postgres" >/dev/null 2>&1; then
    loader=$guess
    break
  fi
done
[ -n "$loader" ] || fail old_programs "the dynamic loader of this image is not found"

# A copy that was cut short is made again from the start.
rm -rf "${PGO:?}"/* "$PGO"/.[!.]*
mkdir -p "$PGO$bin" "$PGO$lib" "$PGO$share" "$PGO/so" "$PGO/lib/locale"
case $PGUP_FROM in
  9.*) reset=pg_resetxlog ;;
  *) reset=pg_resetwal ;;
esac
programs="postgres pg_ctl pg_controldata $reset initdb"
for program in $programs; do
  [ -x "$bin/$program" ] || fail old_programs "$bin has no $program"
  cp -L "$bin/$program" "$PGO$bin/.$program"
done
# JIT is switched off and its compiler is most of the size.
is_left_out() {
  case ${1##*/} in
    bitcode | llvmjit* | pgxs | man | doc) return 0 ;;
  esac
  return 1
}
set --
for file in "$lib"/*; do
  is_left_out "$file" && continue
  if [ -d "$file" ] || [ "${file%.so*}" != "$file" ]; then set -- "$@" "$file"; fi
done
cp -RL "$@" "$PGO$lib/"
set --
for file in "$share"/*; do is_left_out "$file" || set -- "$@" "$file"; done
cp -RL "$@" "$PGO$share/" 2>/dev/null || cp -R "$@" "$PGO$share/"

# The closure of the programs and of every loadable library; a library that lacks one is left to fail when it is used.
{
  for program in $programs; do "$loader" --list "$bin/$program"; done
  # One list for all: preloaded into the server, as they are when they are used.
  LD_PRELOAD=$(find "$PGO$lib" -name '*.so*' -type f | tr '\n' :) "$loader" --list "$bin/postgres"
} 2>/dev/null | sed -n 's/^.* => \(\/[^ ]*\) (.*$/\1/p' | sort -u >"$PGO/closure"
set --
names=/
while IFS= read -r file; do
  # The same library may be listed below two paths.
  case $names in *"/${file##*/}/"*) continue ;; esac
  names=$names${file##*/}/
  set -- "$@" "$file"
done <"$PGO/closure"
cp -L "$@" "$PGO/so/"
cp -L "$loader" "$PGO/ld.so"
# Name lookups load these by name; they are no one's listed dependency.
for file in /lib/*/libnss_files.so.2 /usr/lib64/libnss_files.so.2 /lib64/libnss_files.so.2; do
  if [ -e "$file" ]; then cp -L "$file" "$PGO/so/"; fi
done
# The old libc reads the old locales: their path is compiled in, the new one has the same length.
if [ "$PGO" = /pgo ] && [ -e "$PGO/so/libc.so.6" ]; then
  for file in /usr/lib/locale/*; do
    if [ -e "$file" ]; then cp -RL "$file" "$PGO/lib/locale/"; fi
  done
  sed -i 's#/usr/lib/locale#/pgo/lib/locale#g' "$PGO/so/libc.so.6"
fi
# pg_ctl looks for "postgres" beside itself: wrappers have the names, the programs a dot before theirs.
for program in $programs; do
  printf '#!/bin/sh\nexec %s/ld.so --library-path %s/so %s%s/.%s "$@"\n' "$PGO" "$PGO" "$PGO" "$bin" "$program" >"$PGO$bin/$program"
  chmod 0755 "$PGO$bin/$program"
done
[ "$("$PGO$bin/postgres" --version)" = "$("$bin/postgres" --version)" ] || fail old_programs "the copy does not run"
printf '%s\n' "$bin" >"$PGO/bindir"
kib=$(du -sk "$PGO")
clock
event bundled "\"version\":\"$version\",\"bytes\":$((${kib%%[!0-9]*} * 1024)),\"ms\":$((NOW - started))" | tee "$PGO/complete.tmp"
mv "$PGO/complete.tmp" "$PGO/complete"
