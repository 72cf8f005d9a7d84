# Runs behind sql.sh in the container of a server that a pod of ours loads without a Secret of it. ROLE is the pod's role there and
# VERIFIER that of the pod's own password; the role acts as the superuser that makes it, to whom what it makes belongs.
# shellcheck shell=sh disable=SC2034,SC2154
PGUP_OPTIONS='-c default_transaction_read_only=off -c statement_timeout=60s -c lock_timeout=30s -c search_path=pg_catalog -c client_min_messages=warning'
PGUP_HELLO='SELECT 1'
connect
[ "$PGUP_SUPER" = on ] || refuse no-superuser "$PGUP_AS$PGUSER is no superuser of it"
# shellcheck disable=SC2086
said=$($PGUP_AS "$PSQL" -XAtqw -v ON_ERROR_STOP=1 2>&1 <<SQL
SET log_statement = none;
SET log_min_duration_statement = -1;
BEGIN;
SELECT 'CREATE ROLE $ROLE' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '$ROLE') \gexec
ALTER ROLE $ROLE LOGIN SUPERUSER PASSWORD '$VERIFIER';
SELECT format('ALTER ROLE $ROLE SET role = %L', current_user::text) \gexec
COMMENT ON ROLE $ROLE IS 'of kubectl pg-upgrade, for the time of one load';
COMMIT;
SQL
) || refuse not-admitted "$said"
# Those of pods that have ended, whose client was gone by then. They can do nothing (guest.sh), and one more or less hinders nobody.
# shellcheck disable=SC2086
$PGUP_AS "$PSQL" -XAtqw >/dev/null 2>&1 <<'SQL' || :
SELECT format('DROP ROLE IF EXISTS %I', rolname) FROM pg_roles WHERE rolname ~ '^kubectl_pg_upgrade_[0-9a-f]{8}$' AND NOT rolcanlogin \gexec
SQL
