-- Settings that every session begins with, of psql and pg_dump too: each would break or change what is read by somebody who
-- does not set it himself.
SELECT format('ALTER ROLE ALL SET %I = %L', name, value) FROM (VALUES
  ('application_name', E'x\'y"z \\'), ('array_nulls', 'off'), ('backslash_quote', 'off'), ('bytea_output', 'escape'),
  ('check_function_bodies', 'on'), ('client_encoding', 'LATIN1'), ('client_min_messages', 'debug1'), ('DateStyle', 'German, DMY'),
  ('default_transaction_deferrable', 'on'), ('default_transaction_isolation', 'serializable'),
  ('default_transaction_read_only', 'on'), ('escape_string_warning', 'off'),
  ('extra_float_digits', '-10'), ('idle_in_transaction_session_timeout', '500ms'), ('IntervalStyle', 'sql_standard'),
  ('lock_timeout', '50ms'), ('log_statement', 'all'), ('password_encryption', 'md5'),
  ('quote_all_identifiers', 'on'), ('row_security', 'off'), ('session_replication_role', 'replica'), ('standard_conforming_strings', 'off'),
  ('statement_timeout', '500ms'), ('temp_file_limit', '5MB'), ('TimeZone', 'Asia/Kathmandu'), ('transform_null_equals', 'on'),
  ('xmloption', 'document')) AS s (name, value) \gexec
ALTER ROLE ALL SET search_path = evil, pg_catalog, public;
