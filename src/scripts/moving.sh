# Moves the entries of a data directory so that at no instant there is something that starts or would be initialised.
# shellcheck shell=dash disable=SC2034,SC2154

is_fixed() {
  case $1 in
    PG_VERSION | global | postmaster.pid | lost+found | .pg-upgrade | "${WORK_ENTRY:-.pg-upgrade}") return 0 ;;
  esac
  return 1
}

# stays PATH: also a directory that another user has put there: it is no server's and cannot be moved by us.
stays() {
  is_fixed "${1##*/}" && return 0
  [ -d "$1" ] && [ ! -L "$1" ] && [ ! -w "$1" ] && ! is_server_made "${1##*/}"
}

exists() { [ -e "$1" ] || [ -L "$1" ]; }

# A file that someone else's container left where ours belongs is kept, out of the way.
to_stray() {
  mkdir -p "$STRAY"
  clock
  stray_n=0
  while exists "$STRAY/$NOW.$stray_n.${1##*/}"; do stray_n=$((stray_n + 1)); done
  mv "$1" "$STRAY/$NOW.$stray_n.${1##*/}"
}

# leave FROM TO [ASIDE]: moves the entries out. 0 done, 10 a server came up in between, 1 cannot.
leave() {
  leave_from=$1 leave_to=$2 leave_aside=${3:-}
  # From this rename on nothing can start here.
  if [ -e "$leave_from/global" ]; then mv "$leave_from/global" "$leave_to/" || return 1; fi
  # Whoever has read the control file before that rename has made its pid file before that.
  if [ -e "$leave_from/postmaster.pid" ]; then return 10; fi
  if [ -n "$leave_aside" ]; then
    set --
    for entry in "$leave_from/postgresql.conf" "$leave_from/postgresql.auto.conf"; do
      if exists "$entry"; then set -- "$@" "$entry"; fi
    done
    if [ $# -gt 0 ]; then mv -n "$@" "$leave_aside/" || :; fi
  fi
  set --
  for entry in "$leave_from"/* "$leave_from"/.[!.]* "$leave_from"/..?*; do
    exists "$entry" || continue
    stays "$entry" || set -- "$@" "$entry"
  done
  if [ $# -gt 0 ]; then mv -n "$@" "$leave_to/" 2>/dev/null || :; fi
  for entry in "$leave_from"/* "$leave_from"/.[!.]* "$leave_from"/..?*; do
    exists "$entry" || continue
    stays "$entry" && continue
    exists "$leave_to/${entry##*/}" || return 1
    to_stray "$entry" || return 1
  done
  if [ -e "$leave_from/postmaster.pid" ]; then return 10; fi
}

# enter FROM TO: all but global and PG_VERSION, then PG_VERSION over the guard's, then global.
enter() {
  enter_from=$1 enter_to=$2
  set --
  for entry in "$enter_from"/* "$enter_from"/.[!.]* "$enter_from"/..?*; do
    exists "$entry" || continue
    case ${entry##*/} in pg_upgrade_output.d) continue ;; esac
    is_fixed "${entry##*/}" || set -- "$@" "$entry"
  done
  if [ $# -gt 0 ] && ! mv -f "$@" "$enter_to/" 2>/dev/null; then
    for entry; do
      exists "$entry" || continue
      if exists "$enter_to/${entry##*/}"; then to_stray "$enter_to/${entry##*/}" || return 1; fi
      mv -f "$entry" "$enter_to/" || return 1
    done
  fi
  if [ -e "$enter_from/PG_VERSION" ]; then mv -f "$enter_from/PG_VERSION" "$enter_to/PG_VERSION" || return 1; fi
  if [ -e "$enter_from/global" ]; then
    sync "$enter_to" "$enter_from" || return 1
    mv "$enter_from/global" "$enter_to/" || return 1
  fi
  [ -e "$enter_to/global/pg_control" ]
}

# is_free DIR: it holds the guard alone, PG_VERSION, for which no entrypoint initialises and no server starts; or nothing.
is_free() {
  for entry in "$1"/* "$1"/.[!.]* "$1"/..?*; do
    exists "$entry" || continue
    [ "${entry##*/}" = PG_VERSION ] || return 1
  done
}

# strays DIR: what is in a guard directory besides the guard belongs to nobody's data.
strays() {
  for entry in "$1"/* "$1"/.[!.]* "$1"/..?* "$1/postmaster.pid"; do
    exists "$entry" || continue
    case ${entry##*/} in postmaster.pid) ;; *) stays "$entry" && continue ;; esac
    to_stray "$entry" || say "$entry cannot be moved away"
  done
}

# Own directories are renamed before they are removed: a half-removed one is never taken for a whole one.
trash() {
  exists "$1" || return 0
  clock
  trash_n=0
  while exists "$WORK/trash-$NOW-$trash_n"; do trash_n=$((trash_n + 1)); done
  mv "$1" "$WORK/trash-$NOW-$trash_n"
}

empty_trash() { rm -rf "$WORK"/trash-*; }

is_ours() {
  [ -f "$1" ] || return 1
  ours_line=
  IFS= read -r ours_line <"$1" || :
  [ "$ours_line" = "$MARK" ]
}

# The archive gets the user's own configuration back in place of ours.
make_whole() {
  for entry in "$ASIDE"/* "$ASIDE"/.[!.]*; do
    if exists "$entry"; then mv -f "$entry" "$OLD/"; fi
  done
  if is_ours "$OLD/postgresql.conf"; then rm -f "$OLD/postgresql.conf"; fi
}

# pg_upgrade's link and swap modes disable the old cluster by renaming its control file.
undo_link() {
  if [ -e "$OLD/global/pg_control.old" ] && [ ! -e "$OLD/global/pg_control" ]; then
    mv "$OLD/global/pg_control.old" "$OLD/global/pg_control"
  fi
}

# After this no rename brings the old cluster back: its files are the new cluster's.
swapped() {
  [ "$TRANSFER" = swap ] && [ -e "$OLD/global/pg_control.old" ] && [ ! -e "$OLD/global/pg_control" ]
}

# New-version directories in tablespaces belong to the new cluster of this run: `prepare` has seen that there were none.
drop_tablespace_dirs() {
  # Of one version both clusters' directories have the same name.
  [ "$FROM" != "$TO" ] || return 0
  for entry in "$OLD"/pg_tblspc/*/"PG_${TO}_"*; do
    if [ -d "$entry" ]; then rm -rf "$entry"; fi
  done
}
