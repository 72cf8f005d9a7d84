-- Roles, settings and one ordinary database: what belongs to the whole cluster.
CREATE ROLE reader;
CREATE ROLE "Röle with 'quotes"" and $(id)" LOGIN PASSWORD 'nobody' CONNECTION LIMIT 7 VALID UNTIL '2031-01-01';
GRANT reader TO "Röle with 'quotes"" and $(id)" WITH ADMIN OPTION;
ALTER ROLE reader SET work_mem = '7MB';
CREATE DATABASE plain OWNER reader;
COMMENT ON DATABASE plain IS 'a comment';
ALTER DATABASE plain SET timezone = 'Pacific/Auckland';
\connect plain
CREATE EXTENSION pg_trgm;
CREATE EXTENSION hstore;
CREATE TABLE customers (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, tags hstore, at timestamptz DEFAULT '2024-01-01');
INSERT INTO customers (name, tags) SELECT md5(i::text), hstore('n', i::text) FROM generate_series(1, 5000) i;
CREATE INDEX ON customers USING gin (name gin_trgm_ops);
CREATE INDEX ON customers (name);
CREATE TABLE orders (customer int REFERENCES customers, day date, total numeric) PARTITION BY RANGE (day);
CREATE TABLE orders_1 PARTITION OF orders FOR VALUES FROM ('2024-01-01') TO ('2024-07-01');
CREATE TABLE orders_2 PARTITION OF orders FOR VALUES FROM ('2024-07-01') TO ('2025-01-01');
INSERT INTO orders SELECT 1 + i % 5000, date '2024-01-01' + i % 366, i FROM generate_series(1, 5000) i;
CREATE MATERIALIZED VIEW totals AS SELECT customer, sum(total) FROM orders GROUP BY 1;
CREATE VIEW newest AS SELECT max(day) FROM orders;
CREATE FUNCTION twice(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$BEGIN RETURN x * 2; END$$;
CREATE INDEX ON customers (twice(id));
CREATE UNLOGGED TABLE scratch AS SELECT 1 AS one;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader;
