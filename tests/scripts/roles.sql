-- Roles, settings and a tablespace-less second set of databases for the tests of the scripts.
SET password_encryption = 'scram-sha-256';
CREATE ROLE "Owner O'Neil" LOGIN CREATEDB PASSWORD 'canary-password';
CREATE ROLE reader NOLOGIN VALID UNTIL '2030-01-01';
CREATE ROLE "we ird $(id) \ ""r""" LOGIN CONNECTION LIMIT 3 IN ROLE reader;
CREATE ROLE boss SUPERUSER REPLICATION;
GRANT boss TO "Owner O'Neil" WITH ADMIN OPTION;
GRANT pg_monitor TO reader;
ALTER ROLE reader SET statement_timeout = '5s';
ALTER ROLE "Owner O'Neil" SET "app.secret" = 'canary-secret';
CREATE DATABASE "we ird=db 'x' ""q"" \ $(touch /tmp/owned)" OWNER "Owner O'Neil" CONNECTION LIMIT 50;
CREATE DATABASE latin TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C';
CREATE DATABASE bytes TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C';
CREATE DATABASE "Ünïcode" TEMPLATE template0 LOCALE 'C.UTF-8';
ALTER DATABASE latin SET work_mem = '8MB';
ALTER DATABASE latin SET "app.jwt" = 'canary-secret';
ALTER ROLE reader IN DATABASE latin SET search_path = 'a', 'b c';
REVOKE CONNECT ON DATABASE latin FROM PUBLIC;
GRANT CREATE, CONNECT ON DATABASE latin TO reader;
