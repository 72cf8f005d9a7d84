//! Quoting for everything that text is put into: SQL, conninfo strings, psql's own commands, configuration files.

/// An SQL string literal, safe with `standard_conforming_strings` on and off.
pub fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if text.contains('\\') {
        format!(" E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

/// An SQL identifier, always in double quotes.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A schema-qualified name.
pub fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", identifier(schema), identifier(name))
}

/// One value of a conninfo string, in single quotes.
pub fn conninfo_value(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// One argument of a psql backslash command, in single quotes; newlines become `\n`.
pub fn psql_argument(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for c in text.chars() {
        match c {
            '\\' => quoted.push_str("\\\\"),
            '\'' => quoted.push_str("\\'"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

/// The psql command that goes to a database, whatever it is called. Never read as a conninfo string or URI.
pub fn psql_connect(database: &str) -> String {
    let conninfo = format!("dbname={}", conninfo_value(database));
    format!("\\connect -reuse-previous=on {}", psql_argument(&conninfo))
}

/// A value in `postgresql.conf`, in single quotes.
///
/// Line breaks cannot be in such a file; callers leave out values that have them.
pub fn conf_value(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

/// One word for a POSIX shell, left bare where nothing in it is special.
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@,+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_survive_quotes_and_backslashes() {
        assert_eq!(literal("a"), "'a'");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\b'"), r" E'a\\b'''");
    }

    #[test]
    fn identifiers_keep_case_and_quotes() {
        assert_eq!(identifier(r#"A "b" $(c)"#), r#""A ""b"" $(c)""#);
        assert_eq!(qualified("s", "t"), r#""s"."t""#);
    }

    #[test]
    fn a_hostile_database_name_stays_one_name() {
        assert_eq!(
            psql_connect(r"o'b\c=d"),
            r"\connect -reuse-previous=on 'dbname=\'o\\\'b\\\\c=d\''"
        );
        assert_eq!(
            psql_connect("a\nb"),
            r"\connect -reuse-previous=on 'dbname=\'a\nb\''"
        );
    }

    #[test]
    fn configuration_values_are_quoted_as_the_server_reads_them() {
        assert_eq!(conf_value(r"it's C:\x"), r"'it''s C:\\x'");
    }

    #[test]
    fn shell_words_are_quoted_only_when_they_must() {
        assert_eq!(shell_word("sts/pg"), "sts/pg");
        assert_eq!(shell_word("$(x)"), "'$(x)'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
        assert_eq!(shell_word(""), "''");
    }
}
