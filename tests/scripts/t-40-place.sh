# shellcheck shell=bash
# shellcheck disable=SC2154 # set by run.sh
# The new cluster in a directory of its own name: /vol/13 is followed by /vol/17.

# new_directory PLACE: new-directory.sh as it runs in the server's container, as the user $as.
new_directory() {
  nsenter -t "$(<"$base/pods/$test_name-old/pid")" -m -n -p -r -w -S "${as:-$uid}" -G "${as:-$uid}" -- \
    /usr/bin/env -i PATH=/usr/bin:/bin sh /scripts/new-directory.sh /vol/13 "$1" 17 "$work"
}

made() {
  is "$(new_directory /vol/17 | jq -r .event)" made made
  is "$(ls -A "$vol/17"):$(< "$vol/17/PG_VERSION"):$(stat -c %u:%a "$vol/17")" "PG_VERSION:17:$uid:700" guard
}

# into_another_place TRANSFER FS: what is left of the old directory guards its name; the new server runs.
into_another_place() {
  data=/vol/13
  instance v13 "$2"
  worker_env 13 17 "$1" PGUP_PLACE=/vol/17
  server_start "$test_name-old" 13
  before=$(facts "$test_name-old" 13)
  made
  bundle
  worker
  event prepared > /dev/null
  ctl arm 60 > /dev/null
  server_stop "$test_name-old"
  is "$(member "$(event result 60)" outcome)" upgraded outcome
  is "$(ls -A "$vol/13"):$(< "$vol/13/PG_VERSION")" PG_VERSION:13 guard
  # Whoever puts the old manifest back gets no second server and no empty one.
  if server_start "$test_name-old-again" 13; then return 1; fi
  data=/vol/17 same_facts "$test_name-new" 17 "$before"
  is "$(query "$test_name-new" 17 postgres 'show data_directory')" /vol/17
}

# Of two directories one has a server. Its own last words tell which of its ways to end it took.
shut_down_fast() {
  local i
  data=/vol/13
  instance v13 ext4
  server_start "$test_name-old" 13
  pod_exec "$test_name-old" sh -c "$(< "$scripts/fast-shutdown.sh")" sh /vol/17 /vol/13 < /dev/null
  for ((i = 0; i < 200; i++)); do
    if ! pod_running "$test_name-old"; then break; fi
    nap 0.05
  done
  grep -q 'received fast shutdown request' "$base/pods/$test_name-old/err"
}

# used: the new server has written before it is given up.
used() {
  query "$test_name-new" 17 app "update items set note = 'changed by 17'; create table only_in_17(i int)"
  server_stop "$test_name-new"
}

place_and_back() {
  into_another_place clone xfs
  line=$(ctl go-back) && return 1
  is "$(member "$line" reason)" server_running running
  used
  fresh
  ctl go-back > /dev/null
  is "$(member "$(event result)" outcome)" back outcome
  ctl finish > /dev/null
  pod_wait "$test_name-up"
  is "$(ls -A "$vol/17"):$(< "$vol/17/PG_VERSION")" PG_VERSION:17 guard
  same_facts "$test_name-back" 13 "$before"
  server_stop "$test_name-back"
  # The guard of the first attempt is in nobody's way.
  fresh
  worker_env 13 17 link PGUP_PLACE=/vol/17 PGUP_RUN=r2
  worker
  event prepared > /dev/null
  ctl arm 60 > /dev/null
  is "$(member "$(event result 60)" outcome)" upgraded again
  data=/vol/17 server_start "$test_name-again" 17
  is "$(facts "$test_name-again" 17)" "$before" again
}

place_and_adopt() {
  snap=$base/xfs/$test_name-snap
  crashed=1
  into_another_place link xfs
  line=$(ctl go-back) && return 1
  used
  line=$(ctl go-back) && return 1
  is "$(member "$line" reason)" new_started shared
  pod_kill "$test_name-up"
  # As the volume was when the old server was shut down.
  mkdir "$snap"
  cp -a --reflink=auto "$base/templates/v13" "$snap/13"
  chown -R "$uid:$uid" "$snap"
  before=$(template_facts v13)
  echo "$snap" > "$base/pods/$test_name-up/SNAP"
  fresh
  worker_env 13 17 link PGUP_MODE=adopt PGUP_PLACE=/vol/17
  worker
  is "$(member "$(event result 60)" outcome)" restored outcome
  pod_wait "$test_name-up"
  is "$(ls -A "$vol/17")" PG_VERSION guard
  same_facts "$test_name-back" 13 "$before"
}

# The snapshot was cut when the new server had run on shared files: it is told from one that can be used.
place_adopt_shared() {
  into_another_place link xfs
  used
  snap=$base/xfs/$test_name-snap
  cp -a --reflink=auto "$vol" "$snap"
  pod_kill "$test_name-up"
  echo "$snap" > "$base/pods/$test_name-up/SNAP"
  fresh
  worker_env 13 17 link PGUP_MODE=adopt PGUP_PLACE=/vol/17
  worker
  is "$(member "$(event refused)" reason)" snapshot_unusable
  pod_wait "$test_name-up" && return 1
  [[ -e $vol/17/global/pg_control ]]
}

# place_refused REASON PLACE: by the worker, too, before anything is done.
place_refused() {
  find "$vol" -path "$workdir" -prune -o -print | sort > "$base/pods/$test_name.before"
  if [[ $1 != place_missing ]]; then is "$(new_directory "$2" | jq -r .reason)" "$1" "$2"; fi
  fresh
  worker_env 13 17 link "PGUP_PLACE=$2"
  worker
  is "$(member "$(event refused)" reason)" "$1" "$2"
  pod_wait "$test_name-up" || true
  find "$vol" -path "$workdir" -prune -o -print | sort | diff "$base/pods/$test_name.before" -
}

places_refused() {
  data=/vol/13
  instance v13 ext4
  server_start "$test_name-old" 13
  worker_env 13 17 link
  bundle
  mkdir -p "$vol/17/base" "$vol/18" "$vol/of-root"
  chown "$uid:$uid" "$vol/17"
  place_refused place_taken /vol/17
  place_refused not_owner /vol/18
  place_refused place_missing /vol/19
  is "$(new_directory /vol/of-root/17 | jq -r .reason)" place_not_writable below
  echo file > "$vol/file"
  is "$(new_directory /vol/file | jq -r .reason)" place_taken file
  # Where the mount is root's, the container's root makes both for the server's user, parents included.
  chown 0:0 "$vol"
  chmod 0755 "$vol"
  rm -rf "$workdir"
  as=0 new_directory /vol/19/docker > /dev/null
  is "$(stat -c %u:%a "$vol/19" "$vol/19/docker" "$vol/19/docker/PG_VERSION" "$workdir" | paste -sd' ')" \
    "0:755 $uid:700 $uid:600 $uid:700" owners
  # Again, and after a death half-way.
  as=0 new_directory /vol/19/docker > /dev/null
  mv "$vol/19/docker" "$vol/19/docker.pg-upgrade"
  is "$(as=0 new_directory /vol/19/docker | jq -r .event)" made again
  is "$(ls -A "$vol/19")" docker whole
}

# What someone puts there while pg_upgrade works is not overwritten: the old cluster comes back.
place_taken_meanwhile() {
  data=/vol/13
  instance v13 ext4
  before=$(template_facts v13)
  worker_env 13 17 link PGUP_PLACE=/vol/17
  bundle
  mkdir -m 0700 "$vol/17"
  chown "$uid:$uid" "$vol/17"
  worker
  event prepared > /dev/null
  echo theirs > "$vol/17/theirs"
  ctl arm 60 > /dev/null
  result=$(event result 60)
  is "$(member "$result" outcome)/$(member "$result" reason)" failed/place_failed outcome
  is "$(ls -A "$vol/17")" theirs theirs
  same_facts "$test_name-back" 13 "$before"
}

placed_and_removed() {
  into_another_place clone xfs
  server_stop "$test_name-new"
  ctl finish > /dev/null
  pod_wait "$test_name-up"
  fresh
  worker_env 13 17 clone PGUP_MODE=remove PGUP_REMOVE=r1 PGUP_PLACE=/vol/17
  worker
  event freed > /dev/null
  pod_wait "$test_name-up"
  is "$(ls -A "$vol" | paste -sd' ')" '13 17' left
  data=/vol/17 same_facts "$test_name-again" 17 "$before"
}

t 'a fast shutdown, whichever directory the server has' shut_down_fast
t 'into another directory, and back after use' place_and_back
t 'into another directory, and a snapshot adopted' place_and_adopt
t 'into another directory: adopt refuses shared files' place_adopt_shared
t 'places that are refused' places_refused
t 'a place that is taken meanwhile' place_taken_meanwhile
t 'into another directory, and cleanup' placed_and_removed
