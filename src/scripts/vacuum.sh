# What is left to do on a new server while it already serves: extension updates, optimizer statistics, indexes of changed collations.
#   vacuum.sh start RUNDIR JOBS FROM OLD_LIBC NEW_LIBC [skip=extensions,statistics,indexes]
#   vacuum.sh follow RUNDIR OFFSET
#   vacuum.sh status RUNDIR
# It runs in the server's own container: no credential is copied anywhere, no network policy matters, and the tools fit the server.
# The work outlives the client; its lines are in RUNDIR/vacuum.jsonl. Runs behind sql.sh and collations.sh.
# shellcheck shell=sh disable=SC2034,SC2153,SC2154

pgup_verb=${1-} pgup_run=${2-}
pgup_lines=$pgup_run/vacuum.jsonl pgup_lock=$pgup_run/vacuum.lock

now_ms() {
  pgup_now=$(date +%s%3N)
  case $pgup_now in *[!0-9]* | ????????????????*) pgup_now=$(date +%s)000 ;; esac
}

# event NAME [MEMBERS]: one line, in one write, so lines of parallel workers do not mix.
event() {
  now_ms
  printf '{"at":%s,"event":"%s"%s}\n' "$pgup_now" "$1" "${2:+,$2}"
}

failed() {
  event failed "\"reason\":\"$1\",\"detail\":\"$(json_text "$2")\""
  exit 1
}

# start_time PID: when the process began, in ticks since boot; fails when there is none. The name may hold anything but a last parenthesis.
start_time() {
  IFS= read -r pgup_stat 2>/dev/null <"/proc/$1/stat" || return 1
  # shellcheck disable=SC2086
  set -- ${pgup_stat##*) }
  # A zombie does nothing more.
  [ "$1" != Z ] || return 1
  shift 19
  pgup_start=$1
}

# working: whether the process that the lock names still runs; a number that was given away again has another start.
working() {
  read -r pgup_pid pgup_at _ <"$pgup_lock" || return 1
  start_time "$pgup_pid" && [ "$pgup_start" = "$pgup_at" ]
} 2>/dev/null

# ours: whether the process that waits for this work lives, so that no other start takes it over beside us.
ours() {
  read -r pgup_pid pgup_at _ pgup_holder <"$pgup_lock" && [ "$pgup_holder" = "$pgup_token" ] || return 1
  # Before the start has written who waits.
  [ "$pgup_at" != 0 ] || return 0
  start_time "$pgup_pid" && [ "$pgup_start" = "$pgup_at" ]
} 2>/dev/null

# size: whole lines of the file; the places that clients are told are numbers of lines, which no encoding can shift.
size() {
  pgup_size=0
  [ ! -e "$1" ] || pgup_size=$(($(wc -l <"$1")))
}

# give: what root wrote belongs to the owner of the directory, who may be all that the next container is.
give() {
  [ "$(id -u)" != 0 ] || chown "$(stat -c %u:%g "$pgup_run")" "$pgup_run"/vacuum.* 2>/dev/null
}

start() {
  umask 077
  now_ms
  pgup_token=$$.$pgup_now
  while ! (set -C && echo "$$ 0 0 $pgup_token" >"$pgup_lock") 2>/dev/null; do
    # Somebody else may be writing it this moment.
    pgup_tries=$((${pgup_tries:-0} + 1))
    if working; then
      read -r _ _ pgup_offset _ <"$pgup_lock"
      event attached "\"pid\":$pgup_pid,\"offset\":${pgup_offset:-0}"
      exit 0
    fi
    if [ "$pgup_tries" -gt 2 ]; then rm -f "$pgup_lock"; fi
    [ "$pgup_tries" -lt 10 ] || failed lock "$pgup_lock cannot be written"
    sleep 1
  done
  trap 'rm -f "$pgup_lock"' EXIT
  prepare
  size "$pgup_lines"
  pgup_offset=$pgup_size
  # An exec is a session of its own without a terminal, so nothing but a signal ends what it leaves behind.
  # The server is often process 1 here and takes orphans for its own: one that ends other than by 0 or 1 restarts the server.
  # So the process it inherits does nothing but wait, and always ends by 0.
  (
    trap : HUP INT TERM QUIT PIPE
    work &
    pgup_worker=$!
    while kill -0 "$pgup_worker" 2>/dev/null; do wait "$pgup_worker"; done
    read -r _ _ _ pgup_holder <"$pgup_lock"
    [ "$pgup_holder" != "$pgup_token" ] || rm -f "$pgup_lock"
    give
    exit 0
  ) </dev/null >>"$pgup_lines" 2>>"$pgup_run/vacuum.log" &
  start_time "$!" || pgup_start=0
  echo "$! $pgup_start $pgup_offset $pgup_token" >"$pgup_lock.$$" && mv "$pgup_lock.$$" "$pgup_lock"
  trap - EXIT
  give
  event started "\"pid\":$!,\"offset\":$pgup_offset"
}

# Prints lines, all but the first OFFSET, until the work has ended; an "alive" line now and then keeps the connection open.
follow() {
  pgup_offset=${1:-0} pgup_quiet=0
  while :; do
    # Asked before the file is read: what is written in between is still printed.
    pgup_ended=
    working || pgup_ended=yes
    size "$pgup_lines"
    if [ "$pgup_size" -gt "$pgup_offset" ]; then
      sed -n "$((pgup_offset + 1)),${pgup_size}p" "$pgup_lines"
      pgup_offset=$pgup_size pgup_quiet=0
    elif [ -n "$pgup_ended" ]; then
      case $(tail -n 1 "$pgup_lines" 2>/dev/null) in
        *'"event":"done"'*) return 0 ;;
      esac
      event gone '"detail":"the work ended before it was done; start it again"'
      return 1
    fi
    sleep 0.3 2>/dev/null || sleep 1
    pgup_quiet=$((pgup_quiet + 1))
    if [ "$pgup_quiet" -ge 30 ]; then
      event alive "\"offset\":$pgup_offset"
      pgup_quiet=0
    fi
  done
}

status() {
  size "$pgup_lines"
  pgup_state=none
  if working; then
    pgup_state=working
  elif [ "$pgup_size" -gt 0 ]; then
    pgup_state=gone
    case $(tail -n 1 "$pgup_lines") in *'"event":"done"'*) pgup_state='done' ;; esac
  fi
  event status "\"state\":\"$pgup_state\",\"offset\":$pgup_size"
  [ "$pgup_size" = 0 ] || tail -n 1 "$pgup_lines"
}

PGUP_OPTIONS='-c lock_timeout=0 -c default_transaction_read_only=off -c search_path=pg_catalog -c standard_conforming_strings=on -c client_min_messages=warning -c quote_all_identifiers=off'
# The version and, for each database, one connection string and its name as JSON.
PGUP_HELLO="SELECT pg_catalog.current_setting('server_version_num') UNION ALL
 SELECT 'dbname=''' || replace(replace(datname::text, '\\', '\\\\'), '''', '\\''') || ''' ' || chr(9) || pg_catalog.to_json(pg_catalog.encode(pg_catalog.namesend(datname), 'escape'))
 FROM (SELECT datname FROM pg_catalog.pg_database WHERE datallowconn AND datconnlimit <> -2 ORDER BY datname = 'template1', pg_catalog.pg_database_size(oid)) d"

prepare() {
  connect
  pgup_version=${PGUP_FIRST%%
*}
  pgup_databases=${PGUP_FIRST#*
}
  case $pgup_version in
    '' | *[!0-9]*) failed no-version "unexpected answer from the server: $pgup_version" ;;
  esac
  PGOPTIONS="$PGOPTIONS -c jit=off"
  if [ "$pgup_version" -ge 170000 ]; then
    PGOPTIONS="$PGOPTIONS -c event_triggers=off -c transaction_timeout=0"
  fi
}

# query: statements on stdin in the database of the moment. Files come as descriptors: psql may run as another user than we.
# shellcheck disable=SC2086
query() { $PGUP_AS "$PSQL" -XAtqw -d "$pgup_conninfo" -f - 8<"${pgup_indexes:-/dev/null}" 9<"${pgup_observed:-/dev/null}"; }

problem() {
  # KIND OBJECT-MEMBERS DETAIL ADVICE
  event problem "\"kind\":\"$1\",${2:+$2,}\"detail\":\"$(json_text "$3")\",\"advice\":\"$(json_text "$4")\""
  echo problem >>"$pgup_run/vacuum.problems"
}

# marked DATABASE STAGE: whether an earlier run did it without a problem; mark writes it down.
marked() { LC_ALL=C grep -qxF "$2 $1" "$pgup_run/vacuum.marks" 2>/dev/null; }
mark() { printf '%s %s\n' "$2" "$1" >>"$pgup_run/vacuum.marks"; }

# An answer of this form makes psql announce each object before its statement: '@{"object" : ...}' then the statement.
# each STAGE KIND ADVICE WORKER: runs such answers of stdin and reports what fails; DONE lines go to file descriptor 4.
each() {
  pgup_object='' pgup_error='' pgup_done=0 pgup_bad=0 pgup_last=0
  while IFS= read -r pgup_line; do
    case $pgup_line in
      '@'*)
        each_end "$@"
        pgup_object=${pgup_line#@}
        ;;
      *ERROR:* | *FATAL:* | *PANIC:* | *'connection to server was lost'*) pgup_error=${pgup_error:-${pgup_line#*ERROR:  }} ;;
      # Warnings have details too.
      *DETAIL:*) [ -z "$pgup_error" ] || pgup_error="$pgup_error (${pgup_line#*DETAIL:  })" ;;
      # Nothing else is expected from statements without a result; a name with a line break may be continued here.
      *) printf '%s\n' "$pgup_line" >&2 ;;
    esac
  done
  each_end "$@"
  echo "$pgup_done $pgup_bad" >&4
}

each_end() {
  if [ -n "$pgup_object" ]; then
    pgup_members=${pgup_object#?}
    pgup_members=${pgup_members%?}
    if [ -n "$pgup_error" ]; then
      pgup_bad=$((pgup_bad + 1))
      problem "$2" "\"database\":$pgup_name,$pgup_members" "$pgup_error" "$3"
    else
      pgup_done=$((pgup_done + 1))
      case $2 in
        index)
          printf '%s\n' "$pgup_object" >>"$pgup_run/vacuum.indexes.$pgup_oid"
          event reindexed "\"database\":$pgup_name,$pgup_members"
          ;;
        collation) event refreshed "\"database\":$pgup_name,$pgup_members" ;;
      esac
    fi
    IFS=' .' read -r pgup_second _ </proc/uptime
    if [ "$pgup_second" != "$pgup_last" ]; then
      event progress "\"stage\":\"$1\",\"database\":$pgup_name,\"worker\":${4:-0},\"done\":$((pgup_done + pgup_bad))"
      pgup_last=$pgup_second
    fi
  elif [ -n "$pgup_error" ]; then
    pgup_bad=$((pgup_bad + 1))
    problem database "\"database\":$pgup_name" "$pgup_error" "run vacuum again"
  fi
  pgup_object='' pgup_error=''
}

# in_workers STAGE KIND ADVICE COUNT COMMAND...: COMMAND prints the statements of worker N of COUNT; sets pgup_ok and pgup_wrong.
in_workers() {
  pgup_stage=$1 pgup_kind=$2 pgup_advice=$3 pgup_count=$4
  shift 4
  ours || exit 0
  pgup_i=0 pgup_pids=''
  while [ "$pgup_i" -lt "$pgup_count" ]; do
    {
      { "$@" "$pgup_i" "$pgup_count" | query 2>&1 || echo "connection to server was lost"; } | each "$pgup_stage" "$pgup_kind" "$pgup_advice" "$pgup_i" 4>"$pgup_run/vacuum.part.$pgup_i"
    } &
    pgup_pids="$pgup_pids $!"
    pgup_i=$((pgup_i + 1))
  done
  for pgup_pid in $pgup_pids; do wait "$pgup_pid"; done
  pgup_ok=0 pgup_wrong=0 pgup_i=0
  while [ "$pgup_i" -lt "$pgup_count" ]; do
    read -r pgup_d pgup_b <"$pgup_run/vacuum.part.$pgup_i" || pgup_d=0 pgup_b=1
    pgup_ok=$((pgup_ok + pgup_d)) pgup_wrong=$((pgup_wrong + pgup_b)) pgup_i=$((pgup_i + 1))
  done
  rm -f "$pgup_run"/vacuum.part.*
}

# stage NAME OBJECTS: a stage of the database of the moment begins.
stage() {
  event stage "\"stage\":\"$1\",\"database\":$pgup_name,\"objects\":$2"
  pgup_stage_began=$pgup_now
}

stage_end() {
  now_ms
  event finished "\"stage\":\"$1\",\"database\":$pgup_name,\"done\":$2,\"failed\":$3,\"ms\":$((pgup_now - pgup_stage_began))"
}

# in_databases COMMAND: COMMAND for every database; one that fails does not keep the others from it.
in_databases() {
  while IFS= read -r pgup_line; do
    ours || exit 0
    pgup_conninfo=${pgup_line%	*} pgup_name=${pgup_line##*	}
    pgup_oid=$(query 2>&1 <<'SQL'
SELECT oid FROM pg_database WHERE datname = current_database();
SQL
    ) || {
      problem database "\"database\":$pgup_name" "$pgup_oid" "run vacuum again"
      continue
    }
    # A collation version that differs is told at every login.
    pgup_oid=${pgup_oid##*
}
    "$@" </dev/null
  done <<LINES
$pgup_databases
LINES
}

wanted() { case ",${pgup_skip#skip=}," in *",$1,"*) return 1 ;; esac; }

work() {
  now_ms
  pgup_began=$pgup_now
  : >"$pgup_run/vacuum.problems"
  event begun "\"version\":$pgup_version,\"jobs\":$pgup_jobs,\"databases\":$(printf '%s\n' "$pgup_databases" | wc -l | tr -d ' ')"
  pgup_total=$pgup_run/vacuum.total
  : >"$pgup_total"
  if wanted extensions; then in_databases extensions; fi
  if wanted statistics; then
    # Every database gets poor statistics before any gets good ones: with none the planner guesses.
    in_databases statistics minimal 1
    in_databases statistics medium 10
    in_databases statistics full ''
    in_databases statistics parents ''
  fi
  if wanted indexes; then in_databases indexes; fi
  now_ms
  event 'done' "\"problems\":$(wc -l <"$pgup_run/vacuum.problems" | tr -d ' '),\"extensions\":$(total extensions),\"analyzed\":$(total full),\"reindexed\":$(total indexes),\"refreshed\":$(total refresh),\"ms\":$((pgup_now - pgup_began))"
}

# total NAME: the sum over all databases.
total() { echo $(($(sed -n "s/^$1 /+/p" "$pgup_total" | tr -d '\n') + 0)); }

extensions() {
  pgup_list=$(query <<'SQL'
SELECT e.oid, p.path IS NOT NULL, json_build_object('object', encode(namesend(extname), 'escape'), 'from', extversion, 'to', default_version)
FROM pg_extension e JOIN pg_available_extensions a ON a.name = extname LEFT JOIN LATERAL pg_extension_update_paths(extname) p ON p.source = extversion AND p.target = default_version
WHERE extversion <> default_version ORDER BY extname;
SQL
  ) || return
  [ -n "$pgup_list" ] || return
  stage extensions "$(printf '%s\n' "$pgup_list" | wc -l | tr -d ' ')"
  pgup_ok=0 pgup_wrong=0
  # In variables the names can hold anything; the lists hold numbers and JSON only.
  while IFS='|' read -r pgup_ext pgup_path pgup_json; do
    pgup_members=${pgup_json#?}
    pgup_members=${pgup_members%?}
    pgup_update=$(printf "SELECT format('%%I', extname) FROM pg_extension WHERE oid = %s;\n" "$pgup_ext" | query)
    if [ "$pgup_path" != t ]; then
      pgup_answer='there is no way from the installed version to that of the new server'
      # What depends on it goes with it, so that is left to its owner.
      pgup_advice="DROP EXTENSION $pgup_update; CREATE EXTENSION $pgup_update; (see first what depends on it)"
    else
      # Alone in its session: some extensions demand to be the first command.
      # shellcheck disable=SC2086
      pgup_answer=$(PGOPTIONS="$PGOPTIONS -c lock_timeout=30s" $PGUP_AS "$PSQL" -XAtqw -v ON_ERROR_STOP=1 -d "$pgup_conninfo" -c "ALTER EXTENSION $pgup_update UPDATE" 2>&1) && {
        pgup_ok=$((pgup_ok + 1))
        event extension "\"database\":$pgup_name,$pgup_members"
        continue
      }
      pgup_answer="ERROR: ${pgup_answer##*ERROR: }"
      pgup_advice="ALTER EXTENSION $pgup_update UPDATE"
    fi
    pgup_wrong=$((pgup_wrong + 1))
    problem extension "\"database\":$pgup_name,$pgup_members" "$pgup_answer" "$pgup_advice"
  done <<LIST
$pgup_list
LIST
  echo "extensions $pgup_ok" >>"$pgup_total"
  stage_end extensions "$pgup_ok" "$pgup_wrong"
}

# Tables as psql must analyze them, those of worker N of COUNT; CONDITION chooses, ONLY is for a parent without its partitions.
analyze_sql() {
  printf '%s\n' "SELECT format('SELECT %L', '@' || json_build_object('object', encode(namesend(nspname), 'escape') || '.' || encode(namesend(relname), 'escape'))), format('ANALYZE $2 %I.%I', nspname, relname)
FROM (SELECT nspname, relname, relpages, c.oid, row_number() OVER (ORDER BY relpages DESC, c.oid) AS place FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relpersistence <> 't' AND $1) q WHERE place % $4 = $3 ORDER BY place \\gexec"
}

# statistics STAGE TARGET: the minimal and the medium stage only see tables that had nothing when this run's first work began,
# because poor statistics must not replace good ones (18 brings them along, and a second start finds those of the first).
statistics() {
  case $1 in
    minimal)
      if ! marked "$pgup_oid" listed; then
        query >"$pgup_run/vacuum.tables.$pgup_oid" <<'SQL' || return
SELECT c.oid FROM pg_class c WHERE relkind IN ('r', 'm') AND relpersistence <> 't' AND relispopulated AND NOT EXISTS (SELECT FROM pg_statistic WHERE starelid = c.oid);
SQL
        mark "$pgup_oid" listed
      fi
      ;;
  esac
  if marked "$pgup_oid" "$1"; then return; fi
  case $1 in
    minimal | medium)
      pgup_tables=$(tr '\n' ',' <"$pgup_run/vacuum.tables.$pgup_oid")
      pgup_condition="c.oid IN (${pgup_tables}0)" pgup_only=
      ;;
    full) pgup_condition="relkind IN ('r', 'm') AND relispopulated" pgup_only= ;;
    # Statistics of a whole partition tree: nothing but an ANALYZE of the parent makes them, autovacuum does not. Before 18 it reads the partitions again.
    parents)
      pgup_condition="relkind = 'p' AND NOT relispartition" pgup_only=
      if [ "$pgup_version" -ge 180000 ]; then pgup_condition="relkind = 'p'" pgup_only=ONLY; fi
      ;;
  esac
  pgup_n=$(printf '%s\n' "SELECT count(*) FROM pg_class c WHERE relpersistence <> 't' AND $pgup_condition;" | query) || return
  if [ "$pgup_n" = 0 ]; then
    mark "$pgup_oid" "$1"
    return
  fi
  stage "$1" "$pgup_n"
  pgup_kept=$PGOPTIONS
  # The settings are those of vacuumdb --analyze-in-stages; it is not used because it ends at the first table that fails.
  [ -z "$2" ] || PGOPTIONS="$PGOPTIONS -c default_statistics_target=$2"
  [ "$1" != minimal ] || PGOPTIONS="$PGOPTIONS -c vacuum_cost_delay=0"
  pgup_workers=$pgup_jobs
  [ "$pgup_n" -ge "$pgup_workers" ] || pgup_workers=$pgup_n
  in_workers "$1" table 'ANALYZE of this table, when the cause is gone; a function of an index that relies on search_path needs its names qualified' "$pgup_workers" analyze_sql "$pgup_condition" "$pgup_only"
  PGOPTIONS=$pgup_kept
  echo "$1 $pgup_ok" >>"$pgup_total"
  stage_end "$1" "$pgup_ok" "$pgup_wrong"
  if [ "$pgup_wrong" = 0 ]; then mark "$pgup_oid" "$1"; fi
}

indexes() {
  pgup_indexes=$pgup_run/vacuum.indexes.$pgup_oid pgup_observed=$pgup_run/observed-before
  [ -r "$pgup_observed" ] || pgup_observed=/dev/null
  : >>"$pgup_indexes"
  export PGUP_OLD_LIBC PGUP_NEW_LIBC PGUP_FROM
  pgup_kept=$PGOPTIONS
  PGOPTIONS="$PGOPTIONS -c temp_tablespaces= -c max_parallel_maintenance_workers=$pgup_jobs"
  # Event triggers of the user have nothing to say about our temporary tables; later versions have a setting for that.
  [ "$pgup_version" -ge 170000 ] || PGOPTIONS="$PGOPTIONS -c session_replication_role=replica"
  rebuild
  PGOPTIONS=$pgup_kept
  pgup_indexes=/dev/null pgup_observed=/dev/null
}

rebuild() {
  pgup_n=$({
    collation_prelude
    changed_sql
    echo "SELECT (SELECT count(*) FROM pgup_changed WHERE oid = 100 OR oid >= 16384) + (SELECT count(*) FROM pgup_index) || ' ' || (SELECT count(*) FROM pgup_index);"
  } | query 2>>"$pgup_run/vacuum.log") || {
    problem database "\"database\":$pgup_name" "the collations could not be compared" "run vacuum again"
    return
  }
  case $pgup_n in
    # Nothing here sorts by an order that changed.
    '0 '*) return ;;
    [1-9]*' '[0-9]*) ;;
    *) problem database "\"database\":$pgup_name" 'the collations could not be compared' 'run vacuum again' && return ;;
  esac
  stage indexes "${pgup_n##* }"
  in_workers leftovers leftover 'DROP INDEX of this index' 1 leftovers_of
  with_prelude warnings_sql | query 2>/dev/null | while IFS='|' read -r pgup_kind pgup_json; do
    pgup_members=${pgup_json#?}
    pgup_members=${pgup_members%?}
    case $pgup_kind in
      exclusion) problem exclusion "\"database\":$pgup_name,$pgup_members" 'its order may be wrong, and it can only be rebuilt while nobody writes' 'REINDEX INDEX of this index, in a quiet hour' ;;
      partition) problem partition "\"database\":$pgup_name,$pgup_members" 'its partitions are ranges of a text whose order changed: rows may be in a partition where they are not looked for' 'compare the rows of each partition with its bounds' ;;
      check) problem check "\"database\":$pgup_name,$pgup_members" 'the constraint compares texts whose order changed: rows may not satisfy it any more' 'check it anew: ALTER TABLE ... DROP and ADD of this constraint' ;;
    esac
  done
  # One after the other: two at a time can wait for each other's snapshots.
  in_workers indexes index 'REINDEX INDEX of this index; until then queries may miss rows' 1 reindex_of false
  pgup_rebuilt=$pgup_ok pgup_unbuilt=$pgup_wrong
  # Those of exclusion constraints cannot be rebuilt concurrently: only small ones, and nobody waits long behind us.
  pgup_unlimited=$PGOPTIONS
  PGOPTIONS="$PGOPTIONS -c lock_timeout=5s"
  in_workers indexes index 'REINDEX INDEX of this index, in a quiet hour; until then queries may miss rows' 1 reindex_of true
  PGOPTIONS=$pgup_unlimited
  pgup_rebuilt=$((pgup_rebuilt + pgup_ok)) pgup_unbuilt=$((pgup_unbuilt + pgup_wrong))
  echo "indexes $pgup_rebuilt" >>"$pgup_total"
  in_workers leftovers leftover 'DROP INDEX of this index' 1 leftovers_of
  in_workers refresh collation 'REFRESH VERSION of this collation' 1 refresh_of
  echo "refresh $pgup_ok" >>"$pgup_total"
  stage_end indexes "$pgup_rebuilt" "$pgup_unbuilt"
}
leftovers_of() { leftovers_sql; }
reindex_of() {
  printf '\\set excludes %s\n' "$1"
  with_prelude reindex_sql
}
refresh_of() { with_prelude refresh_sql; }

case $pgup_verb in start | follow | status) ;; *) failed usage 'vacuum.sh start|follow|status RUNDIR ...' ;; esac
[ -d "$pgup_run" ] || failed no-directory "$pgup_run is not there"
case $pgup_verb in
  start)
    pgup_jobs=${3:-1} PGUP_FROM=${4-} PGUP_OLD_LIBC=${5-} PGUP_NEW_LIBC=${6-} pgup_skip=${7-}
    case $pgup_jobs in '' | *[!0-9]* | 0) failed usage 'JOBS is a number' ;; esac
    case ${PGUP_FROM#9.} in '' | *[!0-9]*) failed usage 'FROM is a major version' ;; esac
    start
    ;;
  follow) follow "${3:-0}" ;;
  status) status ;;
esac
