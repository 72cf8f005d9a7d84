//! A question to the catalogs of a live server: data, not access.

use super::version::MajorVersion;

/// Where a query is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Once, in any database.
    Server,
    /// In every database that takes connections.
    Database,
}

/// One read-only statement whose rows become one section of what is gathered.
#[derive(Clone, Copy, Debug)]
pub struct Query {
    /// Name of the section, unique.
    pub section: &'static str,
    /// Where it is asked.
    pub scope: Scope,
    /// Oldest server version that has what it asks for.
    pub since: MajorVersion,
    /// Newest server version that it matters for.
    pub until: MajorVersion,
    /// At most this many rows are sent; their real number always is.
    pub limit: Option<u32>,
    /// A SELECT without a semicolon; the names of its columns are the names in JSON.
    pub sql: &'static str,
}

impl Query {
    /// A query for all versions, once, without a limit.
    pub const fn server(section: &'static str, sql: &'static str) -> Self {
        Self {
            section,
            scope: Scope::Server,
            since: MajorVersion::OLDEST_SOURCE,
            until: MajorVersion::NEWEST,
            limit: None,
            sql,
        }
    }

    /// A query for all versions in every database, with at most 500 rows from each.
    pub const fn database(section: &'static str, sql: &'static str) -> Self {
        Self {
            section,
            scope: Scope::Database,
            since: MajorVersion::OLDEST_SOURCE,
            until: MajorVersion::NEWEST,
            limit: Some(500),
            sql,
        }
    }

    /// The same for servers from this version on.
    #[must_use]
    pub const fn since(mut self, major: MajorVersion) -> Self {
        self.since = major;
        self
    }

    /// The same for servers up to this version.
    #[must_use]
    pub const fn until(mut self, major: MajorVersion) -> Self {
        self.until = major;
        self
    }

    /// The same with all rows.
    #[must_use]
    pub const fn unlimited(mut self) -> Self {
        self.limit = None;
        self
    }

    /// Whether it is asked on a server of this version.
    pub fn applies(&self, major: MajorVersion) -> bool {
        self.since <= major && major <= self.until
    }

    /// The statement as it is sent: its answer is one line, a JSON object.
    pub fn statement(&self) -> String {
        let limit = self
            .limit
            .map(|rows| format!(" LIMIT {rows}"))
            .unwrap_or_default();
        format!(
            "WITH q AS ({sql}) SELECT jsonb_build_object('section', '{section}', 'database', current_database(), \
             'count', (SELECT count(*) FROM q), \
             'rows', (SELECT coalesce(jsonb_agg(to_jsonb(s)), '[]'::jsonb) FROM (SELECT * FROM q{limit}) s));",
            sql = self.sql,
            section = self.section,
        )
    }
}

/// Columns whose stored form some version cannot take over, with the type at the bottom of it.
///
/// Of indexes only expressions are told: what else they hold is told of the table.
///
/// From the few types in use down to what they are made of: the other way round takes ten times as long with many tables. The
/// columns are looked through only when there is such a type; `OFFSET 0` keeps planners from another order.
pub const DATA_TYPES: Query = Query::database(
    "data-types",
    "WITH RECURSIVE bad(root, oid) AS ( \
      SELECT t.typname::text, t.oid FROM pg_type t WHERE t.typnamespace = 11 AND t.typname IN ('regcollation', 'regconfig', 'regdictionary', \
       'regnamespace', 'regoper', 'regoperator', 'regproc', 'regprocedure', 'aclitem', 'unknown', 'abstime', 'reltime', 'tinterval', 'line') \
      UNION ALL SELECT CASE WHEN t.typtype = 'c' THEN 'system-composite' ELSE t.typname::text END, t.oid FROM pg_type t \
       JOIN pg_namespace n ON n.oid = t.typnamespace WHERE n.nspname = 'information_schema' AND (t.typname = 'sql_identifier' OR t.typtype = 'c') \
      UNION ALL SELECT 'system-composite', t.oid FROM pg_type t WHERE t.typtype = 'c' AND t.oid < 16384 AND t.typnamespace = 11), \
     walk(top, oid) AS ( \
      SELECT DISTINCT a.atttypid, a.atttypid FROM pg_attribute a WHERE a.attrelid >= 16384 AND a.attnum > 0 AND NOT a.attisdropped \
      UNION SELECT w.top, x.oid FROM walk w JOIN pg_type t ON t.oid = w.oid CROSS JOIN LATERAL ( \
       SELECT t.typbasetype AS oid WHERE t.typtype = 'd' \
       UNION ALL SELECT t.typelem WHERE t.typtype = 'b' AND t.typelem <> 0 \
       UNION ALL SELECT a.atttypid FROM pg_attribute a WHERE t.typtype = 'c' AND t.typrelid >= 16384 AND a.attrelid = t.typrelid \
        AND a.attnum > 0 AND NOT a.attisdropped \
       UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE t.typtype = 'r' AND r.rngtypid = t.oid) x) \
     SELECT b.root AS type, n.nspname AS schema, c.relname AS relation, a.attname AS \"column\", c.relkind AS kind \
     FROM (SELECT DISTINCT bad.root, walk.top FROM walk JOIN bad ON bad.oid = walk.oid) b \
     CROSS JOIN LATERAL (SELECT attrelid, attname, attnum FROM pg_attribute WHERE atttypid = b.top AND attrelid >= 16384 AND NOT attisdropped \
      AND attnum > 0 OFFSET 0) a \
     JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'm', 'i') \
     AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indexrelid = c.oid AND i.indkey[a.attnum - 1] <> 0) \
     AND n.nspname !~ '^pg_(temp|toast)' AND n.nspname <> 'information_schema' ORDER BY 1, 2, 3, 4",
);
