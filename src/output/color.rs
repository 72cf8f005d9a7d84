//! Whether a stream gets colour.

/// When to use colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ColorChoice {
    /// On a terminal, unless `NO_COLOR` is set or `TERM` is `dumb`
    #[default]
    Auto,
    /// Also into a file or pipe
    Always,
    /// Not at all
    Never,
}

impl ColorChoice {
    /// Tells whether a stream gets colour, from the choice and the environment.
    pub fn for_stream(self, terminal: bool) -> bool {
        #[expect(clippy::disallowed_methods, reason = "the terminal's own variables")]
        let variable = |name: &str| std::env::var_os(name);
        self.decide(
            terminal,
            variable("NO_COLOR").as_deref(),
            variable("TERM").as_deref(),
        )
    }

    pub(super) fn decide(
        self,
        terminal: bool,
        no_color: Option<&std::ffi::OsStr>,
        term: Option<&std::ffi::OsStr>,
    ) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                // As no-color.org has it: set and not empty.
                terminal
                    && no_color.is_none_or(std::ffi::OsStr::is_empty)
                    && term.is_none_or(|term| term != "dumb")
            }
        }
    }

    /// A dumb terminal cannot move its cursor.
    #[expect(clippy::disallowed_methods, reason = "the terminal's own variable")]
    pub(super) fn is_dumb() -> bool {
        std::env::var_os("TERM").is_some_and(|term| term == "dumb")
    }
}
