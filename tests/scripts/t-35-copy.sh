# shellcheck shell=bash
# shellcheck disable=SC2154 # set by run.sh
# A copy of a server that is written to, through an online backup in its own container, and a rehearsal on it.

# session MAJOR fast|spread: opens the backup's session in the server's pod; its answers go to $session.
session() {
  session=$base/pods/$test_name-old/session
  rm -f "$session.words"
  mkfifo "$session.words"
  # POSTGRES_USER and the directory are what the image's environment holds.
  nsenter -t "$(<"$base/pods/$test_name-old/pid")" -m -p -r -w -S "$uid" -G "$uid" -- /usr/bin/env -i "PATH=$(bin "$1"):/usr/bin:/bin" \
    PGDATA="$data" sh -c 'cat /scripts/sql.sh /scripts/backup.sh >/dev/shm/s && exec sh /dev/shm/s "$1"' sh "$2" \
    < "$session.words" > "$session" 2> "$session.err" &
  session_pid=$!
  exec 6> "$session.words"
}

# answer NAME: waits for a line of the session.
answer() {
  local i
  for ((i = 0; i < 1500; i++)); do
    if grep "\"event\" : \"$1\"" "$session" | tail -n 1 | grep .; then return 0; fi
    [[ -d /proc/$session_pid ]] || break
    nap 0.02
  done
  cat "$session" "$session.err"
  return 1
}

# writes: rows that are confirmed one by one, and files that come, grow, shrink and go.
writes() {
  local n
  for ((n = 1; ; n++)); do
    query "$test_name-old" "$1" app "insert into w values ($n); update big set v = reverse(v) where id % 10 = $n % 10;
      create table t$n as select * from items; drop table if exists t$((n > 3 ? n - 3 : 0)); truncate gone; insert into gone select id from items" > /dev/null || return 0
    echo "$n" > "$base/pods/$test_name-old/confirmed.part"
    mv "$base/pods/$test_name-old/confirmed.part" "$base/pods/$test_name-old/confirmed"
    nap 0.05
  done
}

# rehearsed: what the copy is for, on the new server.
rehearsed() {
  sed -i s/^PGUP_MODE=.*/PGUP_MODE=rehearse/ "$base/pods/$test_name-up/env"
  echo PGUP_LABEL=1 >> "$base/pods/$test_name-up/env"
  bundle
  fresh
  # The disk is the live server's, too.
  sed -i 's#^PATH=#PATH=/shim:#' "$base/pods/$test_name-up/env"
  shim sync "echo \"\$@\" >>$box/synced; real \"\$@\""
  worker
  event rehearsed 60 > /dev/null
  local synced=$base/pods/$test_name-up$box/synced
  if [[ -e $synced ]]; then echo "synced: $(paste -sd' ' "$synced")"; return 1; fi
  is "$(member "$(event verified)" differences)" 0 differences
  server_start "$test_name-new" "$to"
  answers=$to
}

# recovered: the old server on the copy itself.
recovered() {
  mv "$vol/.pg-upgrade/r1/backup_label" "$vol/pgdata/"
  server_start "$test_name-new" "$from"
  answers=$from
}

copied() {
  local template=$1 from=$2 to=$3 checkpoint=$4 live writer first line confirmed first_rows answers
  "${@:6}"
  instance "$template" ext4
  live=$vol
  server_start "$test_name-old" "$from" -c checkpoint_timeout=30s -c checkpoint_completion_target=0.1
  query "$test_name-old" "$from" app 'create table w(id int); create table gone as select id from items'
  # Who waits for the end of this output must not wait for the writer.
  writes "$from" > /dev/null 2>&1 &
  writer=$!
  volume "$test_name-copy"
  worker_env "$from" "$to" copy "PGUP_RATE=8388608" "PGUP_LIVE=/snap/pgdata" PGUP_MODE=room
  worker
  event made > /dev/null
  pod_wait "$test_name-up"
  sed -i s/^PGUP_MODE=.*/PGUP_MODE=copy/ "$base/pods/$test_name-up/env"
  echo "$live" > "$base/pods/$test_name-up/LIVE"
  worker
  event waiting > /dev/null
  session "$from" "$checkpoint"
  first=$(member "$(answer started)" wal)
  : > "$base/pods/$test_name-up$box/go"
  event copying > /dev/null
  # From a later checkpoint on, what was copied before it would not be made good.
  first_rows=$(< "$base/pods/$test_name-old/confirmed")
  until (($(< "$base/pods/$test_name-old/confirmed") > first_rows + 8)); do nap 0.05; done
  query "$test_name-old" "$from" app checkpoint
  event data_copied > /dev/null
  echo alive >&6
  [[ $(member "$(answer kept)" bytes) -gt 0 && $(member "$(answer kept)" free) -gt 0 ]]
  is "$(query "$test_name-old" "$from" app 'select count(*) from pg_replication_slots')" 1 slots
  confirmed=$(< "$base/pods/$test_name-old/confirmed")
  echo stop >&6
  line=$(answer stopped)
  { echo "$first $(member "$line" wal)"; member "$line" label; } > "$base/pods/$test_name-up$box/stop.part"
  mv "$base/pods/$test_name-up$box/stop.part" "$base/pods/$test_name-up$box/stop"
  event copied > /dev/null
  pod_wait "$test_name-up"
  # The end of the words is the end of the session, however it comes.
  if [[ $checkpoint == fast ]]; then echo end >&6; fi
  exec 6>&-
  wait "$session_pid"
  # The server notices the end of a session a moment later.
  local i
  for ((i = 0; i < 100; i++)); do
    if [[ $(query "$test_name-old" "$from" app 'select count(*) from pg_replication_slots') == 0 ]]; then break; fi
    nap 0.1
  done
  ((i < 100)) || { echo 'the slot is left'; return 1; }
  kill "$writer"
  wait "$writer" || true
  [[ ! -e $live/pgdata/backup_label ]]
  rm "$base/pods/$test_name-up/LIVE"
  "$5"
  # The copy has what was confirmed before its end, and no more than the server ever had.
  is "$(query "$test_name-new" "$answers" app "select count(*) >= $confirmed and count(*) = max(id) from w")" t writes
  is "$(query "$test_name-new" "$answers" app 'select count(*) from items')" 3000 items
  is "$(query "$test_name-new" "$answers" app 'select count(*), sum(length(v)) from big')" \
    "$(query "$test_name-old" "$from" app 'select count(*), sum(length(v)) from big')" big
  rm -rf "$vol"
  echo "$confirmed rows confirmed before the copy's end"
}

# At its end a rehearsal deletes its copy; what belongs to root stays, and takes nothing from the result.
discards() {
  data=/vol work=/vol/.pg-upgrade
  instance v13 ext4
  add_lost_found
  worker_env 13 17 copy PGUP_MODE=rehearse PGUP_DISCARD=1
  bundle
  worker
  event rehearsed 60 > /dev/null
  pod_wait "$test_name-up"
  [[ -e $host/of-root/file && ! -e $host/base && ! -e $workdir/r1 ]]
}

t 'rehearsal: the copy is deleted at its end' discards
t 'copy: a server that is written to, 13, rehearsed on' copied v13 13 17 fast rehearsed
t 'copy: a server that is written to, 15, with busybox' copied v15 15 17 spread recovered with_busybox
