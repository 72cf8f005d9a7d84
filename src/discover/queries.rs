//! The statements behind the facts about a server. A check that needs more brings its own (`checks::Check::query`).

use crate::postgres::query::{DATA_TYPES, Query};
use crate::postgres::version::MajorVersion;

/// Settings whose values can hold secrets; their values never leave the container.
macro_rules! hidden {
    () => {
        "(name ~ '(passphrase|password|secret|conninfo|_command$|token|credential|private)' AND name <> 'password_encryption' \
         OR name LIKE '%.%' AND name !~ '^(auto_explain|citus|cron|pg_partman_bgw|pg_prewarm|pg_qualstats|pg_stat_kcache|pg_stat_statements|\
pg_wait_sampling|pgaudit|pglogical|plpgsql|powa|timescaledb)[.]')"
    };
}

const SERVER: Query = Query::server(
    "server",
    "SELECT current_setting('server_version_num')::int AS version_num, version() AS version_text, \
     (SELECT to_jsonb(r) FROM (SELECT rolname AS name, rolsuper AS superuser, rolcanlogin AS login FROM pg_roles WHERE oid = 10) r) AS install_user, \
     (SELECT to_jsonb(r) FROM (SELECT rolname AS name, rolsuper AS superuser, rolcanlogin AS login FROM pg_roles WHERE rolname = current_user) r) AS connected_as, \
     (SELECT jsonb_object_agg(name, setting) FROM pg_settings WHERE name IN ('data_directory', 'config_file', 'hba_file', 'ident_file', \
      'data_directory_mode', 'block_size', 'wal_level', 'max_connections', 'unix_socket_directories', 'port', 'shared_preload_libraries', \
      'session_preload_libraries', 'local_preload_libraries', 'max_replication_slots')) AS settings, \
     pg_is_in_recovery() AS in_recovery, (SELECT count(*) FROM pg_roles WHERE oid >= 16384) AS roles, \
     to_jsonb(i) AS control_init, to_jsonb(s) AS control_system, to_jsonb(c) AS control_checkpoint \
     FROM pg_control_init() i, pg_control_system() s, pg_control_checkpoint() c",
);

const SETTINGS: Query = Query::server(
    "settings",
    concat!(
        "SELECT name, CASE WHEN ",
        hidden!(),
        " THEN NULL ELSE setting END AS value, source, context, vartype, unit, sourcefile AS file, sourceline AS line FROM pg_settings \
         WHERE source NOT IN ('default', 'client', 'session', 'interactive', 'override') ORDER BY name"
    ),
);

const FILE_SETTINGS: Query = Query::server(
    "file-settings",
    concat!(
        "SELECT name, CASE WHEN ",
        hidden!(),
        " THEN NULL ELSE setting END AS value, sourcefile AS file, sourceline AS line, applied, error FROM pg_file_settings ORDER BY seqno"
    ),
);

const ROLE_SETTINGS: Query = Query::server(
    "role-settings",
    "SELECT d.datname AS database, r.rolname AS role, split_part(c, '=', 1) AS name FROM pg_db_role_setting s \
     LEFT JOIN pg_database d ON d.oid = s.setdatabase LEFT JOIN pg_roles r ON r.oid = s.setrole, unnest(s.setconfig) c ORDER BY 1, 2, 3",
);

const DATABASES: Query = Query::server(
    "databases",
    "SELECT d.oid::int8 AS oid, datname AS name, pg_encoding_to_char(encoding) AS encoding, coalesce(to_jsonb(d)->>'datlocprovider', 'c') AS provider, \
     datcollate AS collate, datctype AS ctype, coalesce(to_jsonb(d)->>'datlocale', to_jsonb(d)->>'daticulocale') AS locale, \
     to_jsonb(d)->>'daticurules' AS icu_rules, to_jsonb(d)->>'datcollversion' AS collation_version, datallowconn AS allows_connections, \
     datconnlimit AS connection_limit, datistemplate AS template, t.spcname AS tablespace, age(datfrozenxid) AS frozen_age \
     FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace ORDER BY d.oid",
);

const COLLATION_VERSIONS: Query = Query::server(
    "collation-versions",
    "SELECT oid::int8 AS oid, pg_database_collation_actual_version(oid) AS version FROM pg_database",
)
.since(MajorVersion::new(15));

const PREPARED: Query = Query::server(
    "prepared",
    "SELECT gid, owner, database, to_char(prepared, 'YYYY-MM-DD\"T\"HH24:MI:SSOF') AS prepared FROM pg_prepared_xacts ORDER BY prepared",
);

const SLOTS: Query = Query::server("slots", "SELECT * FROM pg_replication_slots");

const SUBSCRIPTIONS: Query = Query::server(
    "subscriptions",
    "SELECT s.subname AS name, d.datname AS database, s.subenabled AS enabled FROM pg_subscription s \
     LEFT JOIN pg_database d ON d.oid = s.subdbid ORDER BY 2, 1",
)
.since(MajorVersion::new(10));

const TABLESPACES: Query = Query::server(
    "tablespaces",
    "SELECT spcname AS name, pg_tablespace_location(oid) AS location, pg_tablespace_size(oid) AS bytes FROM pg_tablespace WHERE spcname NOT IN ('pg_default', 'pg_global') ORDER BY 1",
);

const STANDBYS: Query = Query::server(
    "standbys",
    "SELECT pid, application_name, host(client_addr) AS address, state, sync_state FROM pg_stat_replication ORDER BY pid",
);

const SESSIONS: Query = Query::server(
    "sessions",
    "SELECT pid, datname AS database, usename AS role, application_name, host(client_addr) AS address, state, \
     to_char(backend_start, 'YYYY-MM-DD\"T\"HH24:MI:SSOF') AS since FROM pg_stat_activity a \
     WHERE pid <> pg_backend_pid() AND application_name <> 'kubectl-pg-upgrade' AND usename IS NOT NULL \
     AND coalesce(to_jsonb(a)->>'backend_type', 'client backend') = 'client backend' ORDER BY pid",
);

const RELATIONS: Query = Query::database(
    "relations",
    "SELECT count(*) AS relations, count(*) FILTER (WHERE relkind = 'r') AS tables, count(*) FILTER (WHERE relkind = 'p') AS partitioned_tables, \
     count(*) FILTER (WHERE relkind IN ('i', 'I')) AS indexes, count(*) FILTER (WHERE relkind = 'S') AS sequences, \
     count(*) FILTER (WHERE relkind = 'v') AS views, count(*) FILTER (WHERE relkind = 'm') AS materialized_views, \
     count(*) FILTER (WHERE relkind = 'f') AS foreign_tables, count(*) FILTER (WHERE relkind = 'r' AND relpersistence = 'u') AS unlogged_tables, \
     coalesce(sum(relpages) FILTER (WHERE relpages > 0), 0) AS pages, (SELECT count(*) FROM pg_largeobject_metadata) AS large_objects \
     FROM pg_class WHERE oid >= '16384'",
)
.unlimited();

const EXTENSIONS: Query = Query::database(
    "extensions",
    "SELECT e.extname AS name, e.extversion AS version, n.nspname AS schema FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace ORDER BY 1",
)
.unlimited();

const LIBRARIES: Query = Query::database(
    "libraries",
    "SELECT p.probin AS library, min(e.extname) AS extension, min(p.oid::regprocedure::text) AS function FROM pg_proc p \
     LEFT JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e' \
     LEFT JOIN pg_extension e ON e.oid = d.refobjid WHERE p.prolang = 13 AND p.probin IS NOT NULL AND p.oid >= 16384 GROUP BY 1 ORDER BY 1",
)
.unlimited()
.gated("EXISTS (SELECT FROM pg_proc WHERE oid >= '16384' AND prolang = '13')");

const FUNCTION_SETTINGS: Query = Query::database(
    "function-settings",
    "SELECT p.oid::regprocedure::text AS function, split_part(c, '=', 1) AS name FROM pg_proc p, unnest(p.proconfig) c WHERE p.oid >= 16384 ORDER BY 1, 2",
)
.unlimited()
.gated("EXISTS (SELECT FROM pg_proc WHERE oid >= '16384' AND proconfig IS NOT NULL)");

macro_rules! collated_indexes {
    ($provider:literal) => {
        concat!(
            "SELECT ",
            $provider,
            " AS provider, count(DISTINCT i.indexrelid) AS indexes \
             FROM (SELECT indexrelid, unnest(indcollation::oid[]) AS oid FROM pg_index WHERE indexrelid >= '16384') i JOIN pg_collation l ON l.oid = i.oid \
             WHERE l.collname NOT IN ('C', 'POSIX', 'ucs_basic') GROUP BY 1 ORDER BY 1"
        )
    };
}

const COLLATED_INDEXES: Query =
    Query::database("collated-indexes", collated_indexes!("l.collprovider"))
        .unlimited()
        .since(MajorVersion::new(10));

/// Up to 9.6 every collation but the database's own is the C library's.
const OLD_COLLATED_INDEXES: Query = Query::database(
    "collated-indexes",
    collated_indexes!("CASE l.oid WHEN 100 THEN 'd' ELSE 'c' END"),
)
.unlimited()
.until(MajorVersion::before_ten(9, 6));

/// Every statement behind `ServerFacts`, in the order they are asked.
pub const ALL: &[Query] = &[
    SERVER,
    SETTINGS,
    FILE_SETTINGS,
    ROLE_SETTINGS,
    DATABASES,
    COLLATION_VERSIONS,
    PREPARED,
    SLOTS,
    SUBSCRIPTIONS,
    TABLESPACES,
    STANDBYS,
    SESSIONS,
    RELATIONS,
    EXTENSIONS,
    LIBRARIES,
    FUNCTION_SETTINGS,
    COLLATED_INDEXES,
    OLD_COLLATED_INDEXES,
    DATA_TYPES,
];

/// The section that says that every statement of a database was asked; without it the database was not read.
pub const END: &str = "database-end";
