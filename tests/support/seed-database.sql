CREATE SCHEMA "Schema ""with"" $(quotes)";
CREATE TABLE "Schema ""with"" $(quotes)"."Table 'x'; DROP TABLE y; -- ümlaut" ("Column ""c""" serial PRIMARY KEY, "1" text COLLATE "en_US");
INSERT INTO "Schema ""with"" $(quotes)"."Table 'x'; DROP TABLE y; -- ümlaut" ("1") SELECT md5(i::text) FROM generate_series(1, 300) i;
CREATE INDEX ON "Schema ""with"" $(quotes)"."Table 'x'; DROP TABLE y; -- ümlaut" ("1");
CREATE TABLE "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-63" AS SELECT 42 AS answer;
CREATE TABLE wide (t text);
INSERT INTO wide SELECT repeat(md5(i::text), 2000) FROM generate_series(1, 20) i;
CREATE SEQUENCE "Se quence" START 17 INCREMENT 3;
SELECT nextval('"Se quence"') FROM generate_series(1, 5) \g /dev/null
SELECT lo_from_bytea(4242, decode(repeat('00ff', 5000), 'hex')) \g /dev/null
-- What settings.sql has found first.
CREATE SCHEMA evil;
CREATE FUNCTION evil.quote_ident(text) RETURNS text LANGUAGE sql AS 'SELECT 1 / 0 || $1';
CREATE FUNCTION evil.version() RETURNS text LANGUAGE sql AS 'SELECT 1 / 0 || ''''';
