-- One of everything that stops or hurts an upgrade, as far as a server of this version can have it. Run in database postgres
-- of a server with wal_level logical and prepared transactions; /vol/fast is there, and the libraries ours and ours_too.
SELECT v < 100000 AS below10, v < 120000 AS below12, v >= 100000 AS from10, v >= 110000 AS from11, v < 140000 AS below14, v < 160000 AS below16, v < 170000 AS below17, v < 180000 AS below18, v >= 170000 AS from17, v >= 180000 AS from18
  FROM (SELECT current_setting('server_version_num')::int) s (v) \gset
CREATE ROLE "Odd Role";
CREATE ROLE maker CREATEROLE;
\if :from10
SET password_encryption = 'md5';
\endif
CREATE ROLE old_fashioned PASSWORD 'x';
CREATE DATABASE app;
CREATE DATABASE closed ALLOW_CONNECTIONS false;
\if :from11
CREATE DATABASE halfdropped;
UPDATE pg_database SET datconnlimit = -2 WHERE datname = 'halfdropped';
\endif
ALTER DATABASE template0 ALLOW_CONNECTIONS true;
CREATE TABLESPACE fast LOCATION '/vol/fast';
SELECT pg_create_physical_replication_slot('standby1');
\if :below14
ALTER DATABASE app SET operator_precedence_warning = on;
ALTER ROLE maker SET "my-app.tenant" = 'x';
\endif
\if :below16
ALTER ROLE "Odd Role" IN DATABASE app SET force_parallel_mode = off;
\endif
\if :from17
CREATE DATABASE builtin TEMPLATE template0 LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C.UTF-8';
\endif
\if :from18
CREATE DATABASE mule TEMPLATE template0 ENCODING MULE_INTERNAL LOCALE 'C';
UPDATE pg_database SET datfrozenxid = '3' WHERE datname = 'app';
\endif

\connect app
SELECT pg_create_logical_replication_slot('cdc', 'test_decoding');
CREATE TABLE "Bad Types" ("A proc" regproc, fine regclass);
CREATE DOMAIN procedure_name AS regprocedure;
\if :from11
CREATE TYPE step AS (at int, does procedure_name[]);
\else
CREATE TYPE step AS (at int, does procedure_name);
\endif
CREATE TABLE wrapped (d step);
CREATE TABLE catalog_rows (r pg_catalog.pg_am);
CREATE TABLE privileges (a aclitem);
CREATE FUNCTION in_c (text) RETURNS text LANGUAGE c AS '$libdir/ours', 'soundex';
\if :from10
CREATE SUBSCRIPTION sub CONNECTION 'host=nowhere.invalid' PUBLICATION p WITH (connect = false, slot_name = NONE);
\endif
CREATE EXTENSION btree_gist;
CREATE TABLE networks (at inet);
CREATE INDEX ON networks USING gist (at);
CREATE TABLE rates (a int);
CREATE FUNCTION rate (int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN $1; END';
CREATE INDEX by_rate ON rates (rate(a));
CREATE TABLE doubled AS SELECT 1 AS a FROM generate_series(1, 2);
\set ON_ERROR_STOP off
CREATE UNIQUE INDEX CONCURRENTLY doubled_a ON doubled (a);
\set ON_ERROR_STOP on
\if :below14
CREATE CONVERSION myconv FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
CREATE OPERATOR !!! (LEFTARG = bigint, PROCEDURE = int8abs);
CREATE AGGREGATE collect (anyelement) (SFUNC = array_append, STYPE = anyarray);
\endif
\if :below12
CREATE TABLE dated (happened abstime, took reltime, lasted tinterval);
CREATE TABLE "Named" (n information_schema.sql_identifier);
CREATE TABLE numbered (a int) WITH OIDS;
CREATE INDEX ON dated (happened);
CREATE INDEX by_end ON dated ((happened + took));
CREATE MATERIALIZED VIEW "Happened" AS SELECT happened, happened + took AS ended FROM dated;
\elif :below14
-- Large objects are rows here: a million of them with contents takes a minute.
INSERT INTO pg_largeobject_metadata SELECT g, 10 FROM generate_series(100001, 1100002) g;
\endif
\if :below10
CREATE TABLE untyped AS SELECT 1 AS a, 'x' AS "no type";
CREATE INDEX "by Hash" ON rates USING hash (a);
\endif
\if :below16
CREATE FUNCTION "Odd f" (int) RETURNS int LANGUAGE sql SET force_parallel_mode = off AS 'SELECT $1';
\endif
\if :below17
CREATE EXTENSION adminpack;
CREATE VIEW written AS SELECT buffers_alloc, buffers_backend FROM pg_stat_bgwriter;
\endif
\if :below18
CREATE TABLE parent (a int NOT NULL);
CREATE TABLE child () INHERITS (parent);
ALTER TABLE child ALTER a DROP NOT NULL;
\endif
\if :from17
CREATE TABLE subscribed (a int);
INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate) SELECT oid, 'subscribed'::regclass, 'd' FROM pg_subscription;
-- Slots that are behind by more than max_slot_wal_keep_size are given up.
SELECT pg_logical_emit_message(false, 'x', 'y');
SELECT pg_switch_wal();
SELECT pg_logical_emit_message(false, 'x', 'y');
SELECT pg_switch_wal();
CHECKPOINT;
\endif
\if :from18
CREATE VIEW failures AS SELECT subname, sync_error_count FROM pg_stat_subscription_stats;
\endif
-- Sorted by ICU, of which the target's image has another version.
\if :from10
CREATE TABLE sorted (word text COLLATE "de-x-icu");
CREATE INDEX ON sorted (word);
\endif
BEGIN;
SELECT txid_current();
PREPARE TRANSACTION 'it''s one';
