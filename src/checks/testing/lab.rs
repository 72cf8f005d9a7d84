//! Real servers for the tests of checks, without a cluster: `tests/scripts/lab.sh`, driven from here.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::discover::server::{self, ParseError};
use crate::facts::server::ServerFacts;

/// A lab of its own: mounts, servers and files end with it.
pub(super) struct Lab {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    /// Files of answers that were recorded anew.
    pub(super) stale: Vec<String>,
}

impl Lab {
    pub(super) fn new() -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/scripts/session.sh");
        let mut child = Command::new(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lab = Self {
            stdin: child.stdin.take(),
            stdout: BufReader::new(child.stdout.take().unwrap()),
            child,
            stale: Vec::new(),
        };
        lab.run(&format!(
            "cat > \"$LAB/gather.sh\" <<'END-OF-GATHER'\n{}\nEND-OF-GATHER",
            server::script()
        ));
        lab
    }

    /// Runs a command of bash with the functions of the lab: its exit code, and what it said.
    pub(super) fn try_run(&mut self, command: &str) -> (String, String) {
        let stdin = self.stdin.as_mut().unwrap();
        stdin.write_all(command.as_bytes()).unwrap();
        stdin.write_all(b"\0").unwrap();
        stdin.flush().unwrap();
        (self.read(), self.read())
    }

    fn read(&mut self) -> String {
        let mut bytes = Vec::new();
        self.stdout.read_until(0, &mut bytes).unwrap();
        assert_eq!(bytes.pop(), Some(0), "the lab ended (it needs root)");
        String::from_utf8(bytes).unwrap()
    }

    /// The same for a command that must not fail.
    pub(super) fn run(&mut self, command: &str) -> String {
        let (code, said) = self.try_run(command);
        assert_eq!(code, "0", "{command}\n{said}");
        said
    }

    /// Statements as the superuser; returns what psql prints.
    pub(super) fn sql(&mut self, major: &str, database: &str, statements: &str) -> String {
        self.run(&format!(
            "sql {major} {database} <<'END-OF-SQL'\n{statements}\nEND-OF-SQL"
        ))
    }

    /// The answer of the script that reads a server, asked for in the server's container. `before` is bash, such as variables of that container.
    pub(super) fn answer(&mut self, major: &str, before: &str) -> String {
        self.run(&format!("{before}\ngather {major}")) + "\n"
    }

    /// Ends the lab; fails when something had to be recorded anew.
    pub(super) fn end(self) {
        assert_eq!(
            self.stale, [""; 0],
            "out of date, and recorded anew; look at it and commit it"
        );
    }

    /// The facts in it, by a psql for each database where one for all is cut off, as in the product.
    pub(super) fn facts(&mut self, major: &str, before: &str) -> ServerFacts {
        match self.read_facts(major, before) {
            Err(ParseError::Cut(_)) => self
                .read_facts(major, &format!("{before}\nLAB_ENV+=(PGUP_EACH=1)"))
                .unwrap(),
            facts => facts.unwrap(),
        }
    }

    fn read_facts(&mut self, major: &str, before: &str) -> Result<ServerFacts, ParseError> {
        let answer = self.answer(major, before);
        let complaints = self.run("cat \"$LAB/complaints\"");
        server::parse(&answer, &complaints)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // The end of its input ends the lab, and with it everything in its namespaces.
        self.stdin = None;
        self.child.wait().ok();
    }
}
