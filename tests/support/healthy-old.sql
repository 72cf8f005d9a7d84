-- What healthy.sql has, as far as 9.6 knows it.
CREATE EXTENSION IF NOT EXISTS hstore;
CREATE EXTENSION IF NOT EXISTS pg_trgm;
CREATE EXTENSION IF NOT EXISTS postgres_fdw;
CREATE SCHEMA shop;
CREATE DOMAIN shop.email AS text CHECK (VALUE ~ '@');
CREATE TYPE shop.address AS (street text, zip varchar(9));
CREATE TYPE shop.mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE shop.span AS RANGE (subtype = timestamptz);
CREATE TABLE shop.customer (
  id bigserial PRIMARY KEY,
  name text NOT NULL,
  mail shop.email UNIQUE,
  home shop.address,
  mood shop.mood DEFAULT 'ok',
  active shop.span,
  notes hstore,
  price numeric(9, 2),
  EXCLUDE USING gist (active WITH &&)
);
CREATE INDEX ON shop.customer USING gin (name gin_trgm_ops);
CREATE INDEX ON shop.customer (lower(name)) WHERE mood <> 'sad';
CREATE TABLE shop.event (at timestamptz NOT NULL, customer bigint REFERENCES shop.customer, what jsonb);
CREATE TABLE shop.event_2025 (CHECK (at >= '2025-01-01' AND at < '2026-01-01')) INHERITS (shop.event);
CREATE INDEX ON shop.event (at);
-- Up to 9.6 a literal has no type here, which only tables may not have.
CREATE VIEW shop.happy AS SELECT *, 'yes' AS really FROM shop.customer WHERE mood = 'happy';
CREATE MATERIALIZED VIEW shop.totals AS SELECT mood, count(*) FROM shop.customer GROUP BY mood;
CREATE RULE nobody AS ON DELETE TO shop.happy DO INSTEAD NOTHING;
CREATE FUNCTION shop.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER touched BEFORE UPDATE ON shop.customer FOR EACH ROW EXECUTE PROCEDURE shop.touch();
CREATE FUNCTION shop.watch() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN NULL; END $$;
CREATE EVENT TRIGGER watched ON ddl_command_end EXECUTE PROCEDURE shop.watch();
CREATE AGGREGATE shop.total(int) (sfunc = int4pl, stype = int, initcond = '0');
CREATE SERVER elsewhere FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host 'nowhere');
CREATE FOREIGN TABLE shop.remote (id int) SERVER elsewhere;
ALTER TABLE shop.customer ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON shop.customer USING (true);
CREATE ROLE healthy_reader;
GRANT SELECT ON shop.customer TO healthy_reader;
ALTER ROLE healthy_reader SET work_mem = '8MB';
COMMENT ON TABLE shop.customer IS 'who buys';
INSERT INTO shop.customer (name, mail, price) SELECT 'n' || g, g || '@example.org', g FROM generate_series(1, 500) g;
SELECT lo_create(0);
VACUUM ANALYZE;
