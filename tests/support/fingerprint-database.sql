-- 17 added the privilege MAINTAIN (m) to the owner.
SELECT 'in', current_database();
SELECT 'extension', extname FROM pg_extension ORDER BY extname;
SELECT 'relation', oid::regclass, relkind, pg_get_userbyid(relowner), replace(relacl::text, 'Dxtm/', 'Dxt/'), relispopulated FROM pg_class WHERE relnamespace::regnamespace::text !~ '^(pg_|information_schema)' AND relname !~ '^(writes|app_writes|reports)' ORDER BY oid::regclass::text;
SELECT 'rows', c.oid::regclass, (xpath('/row/n/text()', x))[1], (xpath('/row/s/text()', x))[1]
  FROM pg_class c,
       query_to_xml(format('SELECT count(*) AS n, md5(string_agg(md5(t::text), '''' ORDER BY md5(t::text))) AS s FROM %s t', c.oid::regclass), false, true, '') x
 WHERE relkind IN ('r', 'm') AND relnamespace::regnamespace::text !~ '^(pg_|information_schema)' AND relname !~ '^(writes|app_writes|reports)'
 ORDER BY c.oid::regclass::text;
SELECT 'index', indexrelid::regclass, pg_get_indexdef(indexrelid), indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE relnamespace::regnamespace::text !~ '^pg_' AND indrelid::regclass::text !~ '^(writes|app_writes|reports)' ORDER BY indexrelid::regclass::text;
SELECT 'constraint', conrelid::regclass, conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid > 16383 AND contype <> 'n' AND conrelid::regclass::text !~ '^(writes|app_writes|reports)' ORDER BY conrelid::regclass::text, conname;
-- What an extension owns changes with its version.
SELECT 'function', oid::regprocedure, md5(prosrc) FROM pg_proc WHERE oid > 16383 AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = pg_proc.oid AND d.deptype = 'e') AND pronamespace::regnamespace::text !~ '^pg_' ORDER BY oid::regprocedure::text;
SELECT 'sequence', schemaname, sequencename, last_value, increment_by FROM pg_sequences ORDER BY 2, 3;
SELECT 'large object', oid, md5(lo_get(oid)) FROM pg_largeobject_metadata ORDER BY oid;
