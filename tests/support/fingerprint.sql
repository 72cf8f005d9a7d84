SELECT 'role', rolname, rolsuper, rolcreatedb, rolcanlogin, rolconnlimit, rolvaliduntil, rolpassword FROM pg_authid WHERE rolname !~ '^pg_' ORDER BY rolname;
SELECT 'member', pg_get_userbyid(roleid), pg_get_userbyid(member), admin_option FROM pg_auth_members WHERE roleid >= 16384 ORDER BY 2, 3;
SELECT 'setting', coalesce(datname, '-'), coalesce(pg_get_userbyid(setrole), '-'), setconfig FROM pg_db_role_setting s LEFT JOIN pg_database d ON d.oid = setdatabase ORDER BY 2, 3;
SELECT 'database', datname, pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype, datallowconn, datconnlimit, shobj_description(oid, 'pg_database') FROM pg_database ORDER BY datname;
