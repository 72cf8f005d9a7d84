-- A schema with one of everything that pg_upgrade carries over, with names that break careless quoting. Valid from 13 to 18.
-- Run in an empty database by a superuser; roles are made by roles.sql.
CREATE EXTENSION hstore;
CREATE EXTENSION pg_trgm;
CREATE EXTENSION btree_gist;
CREATE EXTENSION citext SCHEMA pg_catalog;
CREATE EXTENSION postgres_fdw;
CREATE EXTENSION pg_stat_statements;

CREATE SCHEMA shop AUTHORIZATION "Owner O'Neil";
GRANT USAGE ON SCHEMA shop TO PUBLIC, reader;
CREATE SCHEMA "s p=a\ce $(touch /tmp/owned) ""q"" 'x'";
ALTER DEFAULT PRIVILEGES IN SCHEMA shop GRANT SELECT ON TABLES TO reader;

CREATE DOMAIN shop.positive AS int CHECK (VALUE > 0) CHECK (VALUE < 1000000);
CREATE DOMAIN shop.code AS text COLLATE "C" NOT NULL DEFAULT 'x';
CREATE TYPE shop.mood AS ENUM ('sad', 'ok', 'it''s \ happy');
CREATE TYPE shop.pair AS (a int, b shop.mood, c text[]);
CREATE TYPE shop.spans AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE COLLATION shop.german (provider = icu, locale = 'de-u-co-phonebk');
CREATE COLLATION shop.nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);

CREATE TABLE shop.customer (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text COLLATE shop.german NOT NULL,
  mail citext UNIQUE,
  mood shop.mood DEFAULT 'ok',
  extra hstore,
  p shop.pair,
  n shop.positive,
  tags text[] DEFAULT '{}',
  doc jsonb,
  upper_name text GENERATED ALWAYS AS (upper(name)) STORED,
  gone int,
  CONSTRAINT "check 'q' ""d""" CHECK (length(name) < 100)
);
INSERT INTO shop.customer (name, mail, extra, p, n, tags, doc) SELECT 'Käufer ' || g, g || '@example.org', hstore('k', g::text), (g, 'sad', '{a,b}')::shop.pair, g, ARRAY['x' || g], jsonb_build_object('g', g, 'long', repeat(md5(g::text), 100))
  FROM generate_series(1, 2000) g;
ALTER TABLE shop.customer DROP COLUMN gone;
ALTER TABLE shop.customer ADD COLUMN late int DEFAULT 7;
CREATE INDEX customer_name_trgm ON shop.customer USING gin (name gin_trgm_ops);
CREATE INDEX customer_doc ON shop.customer USING gin (doc jsonb_path_ops);
CREATE INDEX customer_lower ON shop.customer (lower(name)) INCLUDE (n) WHERE n > 10;
CREATE INDEX customer_hash ON shop.customer USING hash (mail);
CREATE INDEX customer_brin ON shop.customer USING brin (id);
CLUSTER shop.customer USING customer_pkey;
GRANT ALL ON shop.customer TO reader WITH GRANT OPTION;
GRANT SELECT (name) ON shop.customer TO PUBLIC;
ALTER TABLE shop.customer OWNER TO "Owner O'Neil";
ALTER TABLE shop.customer ENABLE ROW LEVEL SECURITY;
CREATE POLICY "own rows" ON shop.customer FOR SELECT TO reader USING (name = current_user);
CREATE STATISTICS shop.customer_stats (dependencies, ndistinct, mcv) ON name, n FROM shop.customer;
COMMENT ON TABLE shop.customer IS 'It''s a "table"';

CREATE TABLE shop."order" (
  id serial PRIMARY KEY,
  customer bigint REFERENCES shop.customer ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
  during tstzrange,
  room int,
  EXCLUDE USING gist (room WITH =, during WITH &&)
);
INSERT INTO shop."order" (customer, during, room) SELECT 1 + g % 2000, tstzrange('2024-01-01'::timestamptz + g * interval '1 day', '2024-01-02'::timestamptz + g * interval '1 day'), g % 5 FROM generate_series(1, 500) g;

CREATE TABLE shop.event (id bigint, at timestamptz NOT NULL, region text NOT NULL, body text, PRIMARY KEY (id, at, region)) PARTITION BY RANGE (at);
CREATE TABLE shop.event_2024 PARTITION OF shop.event FOR VALUES FROM ('2024-01-01') TO ('2025-01-01') PARTITION BY LIST (region);
CREATE TABLE shop."event 2024 eu" PARTITION OF shop.event_2024 FOR VALUES IN ('eu');
CREATE TABLE shop.event_2024_other PARTITION OF shop.event_2024 DEFAULT;
CREATE TABLE shop.event_rest PARTITION OF shop.event DEFAULT;
CREATE INDEX event_body ON shop.event (body);
CREATE INDEX event_only ON ONLY shop.event (region);
INSERT INTO shop.event SELECT g, '2024-06-01'::timestamptz + g * interval '1 hour', CASE WHEN g % 2 = 0 THEN 'eu' ELSE 'us' END, md5(g::text) FROM generate_series(1, 6000) g;
CREATE TABLE shop.event_note (event bigint, at timestamptz, region text, FOREIGN KEY (event, at, region) REFERENCES shop.event);

CREATE TABLE shop.by_hash (id int PRIMARY KEY, t text) PARTITION BY HASH (id);
CREATE TABLE shop.by_hash_0 PARTITION OF shop.by_hash FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE shop.by_hash_1 PARTITION OF shop.by_hash FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO shop.by_hash SELECT g, g FROM generate_series(1, 100) g;

CREATE TABLE shop.parent (a int, b text NOT NULL);
CREATE TABLE shop.child (c int) INHERITS (shop.parent);
INSERT INTO shop.parent VALUES (1, 'one');
INSERT INTO shop.child VALUES (2, 'two', 3), (3, 'three', 4);

CREATE UNLOGGED TABLE shop.cache (k text PRIMARY KEY, v bytea);
INSERT INTO shop.cache SELECT g::text, decode(repeat('00ff', 10), 'hex') FROM generate_series(1, 50) g;
CREATE TABLE shop.empty (t text);
CREATE TABLE shop.no_columns ();
CREATE TABLE shop.typed OF shop.pair;

CREATE VIEW shop.busy AS SELECT c.name, count(*) AS orders FROM shop.customer c JOIN shop."order" o ON o.customer = c.id GROUP BY c.name;
CREATE VIEW shop.sessions AS SELECT pid, usename, state FROM pg_stat_activity;
CREATE MATERIALIZED VIEW shop.summary AS SELECT mood, count(*) AS n FROM shop.customer GROUP BY mood;
CREATE UNIQUE INDEX ON shop.summary (mood);
CREATE MATERIALIZED VIEW shop.unfilled AS SELECT 1 AS one WITH NO DATA;
CREATE RULE "no delete" AS ON DELETE TO shop.parent DO INSTEAD NOTHING;
CREATE RULE twice AS ON UPDATE TO shop.parent DO ALSO UPDATE shop.by_hash t SET t = 'x' WHERE t.id = old.a;

CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
CREATE FUNCTION shop.touch(int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1';
CREATE PROCEDURE shop."do $it$"(INOUT x int) LANGUAGE plpgsql AS 'BEGIN x := x; END';
CREATE AGGREGATE shop.total(int) (SFUNC = int4pl, STYPE = int, INITCOND = '0');
CREATE OPERATOR shop.=== (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq, COMMUTATOR = OPERATOR(shop.===));
CREATE CAST (shop.pair AS text) WITH INOUT;
CREATE INDEX customer_function ON shop.customer (shop.touch(n::int));
CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON shop.customer FOR EACH ROW EXECUTE FUNCTION shop.touch();
CREATE TRIGGER off BEFORE DELETE ON shop.customer FOR EACH ROW EXECUTE FUNCTION shop.touch();
ALTER TABLE shop.customer DISABLE TRIGGER off;
CREATE TRIGGER on_parts AFTER INSERT ON shop.event FOR EACH ROW EXECUTE FUNCTION shop.touch();
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON shop.parent DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION shop.touch();
CREATE TEXT SEARCH DICTIONARY shop.plain (TEMPLATE = simple);
CREATE TEXT SEARCH CONFIGURATION shop.words (COPY = english);

CREATE SEQUENCE shop.moved START 5 INCREMENT 3;
SELECT nextval('shop.moved'), nextval('shop.moved');
CREATE SEQUENCE shop.untouched;
CREATE SEQUENCE shop.set_back;
SELECT setval('shop.set_back', 77, false);
CREATE SEQUENCE shop.down INCREMENT -1 MAXVALUE 100 MINVALUE -100 START 100 CYCLE;
SELECT nextval('shop.down') FROM generate_series(1, 20);
CREATE SEQUENCE shop."Big ""q"" 'x' \y $(id)" AS bigint MAXVALUE 9223372036854775807;
SELECT setval('shop."Big ""q"" ''x'' \y $(id)"', 9223372036854775806);

CREATE TABLE "s p=a\ce $(touch /tmp/owned) ""q"" 'x'"."t = ""1"" 'a' \b $(touch /tmp/owned) `id` ; DROP é" ("c "" ' \ $(id)" serial PRIMARY KEY, "UPPER" text);
INSERT INTO "s p=a\ce $(touch /tmp/owned) ""q"" 'x'"."t = ""1"" 'a' \b $(touch /tmp/owned) `id` ; DROP é" ("UPPER") SELECT 'u' FROM generate_series(1, 30);
CREATE TABLE "s p=a\ce $(touch /tmp/owned) ""q"" 'x'"."new
line	tab" (a int PRIMARY KEY);
INSERT INTO "s p=a\ce $(touch /tmp/owned) ""q"" 'x'"."new
line	tab" VALUES (1);
CREATE SEQUENCE "s p=a\ce $(touch /tmp/owned) ""q"" 'x'"."new
line sequence";
CREATE TABLE shop.x23456789_123456789_123456789_123456789_123456789_123456789_123 ("UPPER Case" int);
CREATE INDEX "x23456789 123456789 123456789 123456789 123456789 123456789 in" ON shop.x23456789_123456789_123456789_123456789_123456789_123456789_123 ("UPPER Case");
CREATE TABLE shop.":'before' :level" ("a:b" int);

CREATE SERVER "far 'away'" FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'nowhere.invalid', dbname 'x');
CREATE USER MAPPING FOR reader SERVER "far 'away'" OPTIONS (user 'x', password 'pa=ss $(id)');
CREATE FOREIGN TABLE shop.remote (a int OPTIONS (column_name 'b'), b text) SERVER "far 'away'" OPTIONS (table_name 'x');
CREATE PUBLICATION "pub 1" FOR TABLE shop.customer, shop.by_hash;
CREATE PUBLICATION everything FOR ALL TABLES WITH (publish = 'insert');
CREATE SUBSCRIPTION sub CONNECTION 'host=nowhere.invalid password=canary' PUBLICATION p WITH (connect = false, slot_name = NONE);
CREATE FUNCTION shop.watch() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN IF current_setting(''shop.fail'', true) = ''on'' THEN RAISE ''no''; END IF; END';
CREATE EVENT TRIGGER "watch it" ON ddl_command_start WHEN TAG IN ('DROP TABLE') EXECUTE FUNCTION shop.watch();
SELECT lo_from_bytea(0, repeat('x', 10000)::bytea) FROM generate_series(1, 25);
CREATE TEMPORARY TABLE passing (a int);

-- Left by a CREATE INDEX CONCURRENTLY that failed: pg_dump leaves it behind.
CREATE TABLE shop.doubled AS SELECT 1 AS a FROM generate_series(1, 2);
