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
    /// What is true of every database in which it has rows, as a condition in SQL that is cheaper than the statement.
    pub gate: Option<&'static str>,
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
            gate: None,
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
            gate: None,
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

    /// The same, asked only in databases of which this is true.
    ///
    /// A number in quotes has the type of what it is compared with, so the server need not search for an operator.
    #[must_use]
    pub const fn gated(mut self, gate: &'static str) -> Self {
        self.gate = Some(gate);
        self
    }

    /// Whether it is asked on a server of this version.
    pub fn applies(&self, major: MajorVersion) -> bool {
        self.since <= major && major <= self.until
    }

    /// The statement as it is sent: its answer is one line, a JSON object.
    pub fn statement(&self) -> String {
        let Self { section, sql, .. } = self;
        let head = format!(
            "jsonb_build_object('section', '{section}', 'database', current_database(), 'count'"
        );
        // Most of the time goes into planning, and without the limit there is less to plan.
        match self.limit {
            None => format!(
                "SELECT {head}, count(*), 'rows', coalesce(jsonb_agg(to_jsonb(s)), '[]')) FROM ({sql}) s;"
            ),
            Some(rows) => format!(
                "WITH q AS ({sql}) SELECT {head}, (SELECT count(*) FROM q), \
                 'rows', (SELECT coalesce(jsonb_agg(to_jsonb(s)), '[]') FROM (SELECT * FROM q LIMIT {rows}) s));"
            ),
        }
    }
}

/// Built-in types that are neither one of those that [`DATA_TYPES`] looks for nor made of one, and 0, the type of dropped columns.
///
/// By number, which is the same in all versions (`pg_type.dat`), the most frequent first. What is missing here only makes the
/// statement itself be asked.
macro_rules! harmless {
    () => {
        "'{0,26,25,23,28,29,27,20,1184,1043,16,1700,1114,17,3802,2950,701,1082,18,19,21,1042,114,1009,1007,1015,1016,700,1083,1266,1186,\
869,650,829,774,3614,3615,142,790,600,601,602,603,604,718,1560,1562,3220,2205,2206,4096,3904,3906,3908,3910,3912,3926,\
1000,1001,1005,1021,1022,1028,1041,1115,1182,1183,1185,1187,1231,2951,3807,199}'"
    };
}

#[cfg(test)]
pub const HARMLESS: &str = harmless!();

/// A type that is built in and not known to be harmless.
macro_rules! odd {
    ($column:literal) => {
        concat!(
            $column,
            " < '16384' AND ",
            $column,
            " <> ALL (",
            harmless!(),
            ")"
        )
    };
}

/// Columns whose stored form some version cannot take over, with the type at the bottom of it.
///
/// Of indexes only expressions are told: what else they hold is told of the table.
///
/// From the few types in use down to what they are made of: the other way round takes ten times as long with many tables. The
/// columns are looked through only when there is such a type; `OFFSET 0` keeps planners from another order.
///
/// Whatever such a column is made of, something of a user's is made of a built-in type directly, or of what a user put into
/// `information_schema`.
pub const DATA_TYPES: Query = Query::database(
    "data-types",
    "WITH RECURSIVE walk(top, oid) AS ( \
      SELECT DISTINCT atttypid, atttypid FROM pg_attribute WHERE attrelid >= '16384' \
      UNION SELECT w.top, x.oid FROM walk w JOIN pg_type t ON t.oid = w.oid CROSS JOIN LATERAL ( \
       SELECT t.typbasetype AS oid WHERE t.typtype = 'd' \
       UNION ALL SELECT t.typelem WHERE t.typtype = 'b' AND t.typelem <> '0' \
       UNION ALL SELECT a.atttypid FROM pg_attribute a WHERE t.typtype = 'c' AND t.typrelid >= '16384' AND a.attrelid = t.typrelid \
        AND a.attnum > 0 AND NOT a.attisdropped \
       UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE t.typtype = 'r' AND r.rngtypid = t.oid) x) \
     SELECT b.root AS type, n.nspname AS schema, c.relname AS relation, a.attname AS \"column\", c.relkind AS kind \
     FROM (SELECT DISTINCT CASE WHEN t.typtype = 'c' THEN 'system-composite' ELSE t.typname::text END AS root, w.top FROM walk w JOIN pg_type t ON t.oid = w.oid \
      WHERE t.typnamespace = '11' AND (t.typtype = 'c' AND t.oid < '16384' \
       OR t.typname IN ('regcollation', 'regconfig', 'regdictionary', 'regnamespace', 'regoper', 'regoperator', 'regproc', 'regprocedure', \
       'aclitem', 'unknown', 'abstime', 'reltime', 'tinterval', 'line')) \
      OR t.typnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'information_schema') AND (t.typname = 'sql_identifier' OR t.typtype = 'c')) b \
     CROSS JOIN LATERAL (SELECT attrelid, attname, attnum FROM pg_attribute WHERE atttypid = b.top AND attrelid >= '16384' AND NOT attisdropped \
      AND attnum > 0 OFFSET 0) a \
     JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r', 'm', 'i') \
     AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indexrelid = c.oid AND i.indkey[a.attnum - 1] <> 0) \
     AND n.nspname !~ '^pg_(temp|toast)' AND n.nspname <> 'information_schema' ORDER BY 1, 2, 3, 4",
)
.gated(concat!(
    "EXISTS (SELECT FROM pg_attribute WHERE attrelid >= '16384' AND ",
    odd!("atttypid"),
    ") OR EXISTS (SELECT FROM pg_type WHERE oid >= '16384' AND (",
    odd!("typbasetype"),
    " OR ",
    odd!("typelem"),
    " OR typnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'information_schema'))) \
     OR EXISTS (SELECT FROM pg_range WHERE rngtypid >= '16384' AND ",
    odd!("rngsubtype"),
    ")"
));
