//! The story on stderr: sentences, warnings, steps with their times, and questions.
//!
//! On a terminal the steps under way are a live list below what has been said. Elsewhere (a log, a pipe)
//! everything is a plain line, and a step that takes long says so now and then.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufRead, IsTerminal as _, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use super::color::ColorChoice;
use super::table::printable;
use super::{human_duration, human_seconds};

/// A plain step that ends within this time has one line only, its last.
const QUIET_FOR: Duration = Duration::from_secs(1);
/// A plain step that takes long says so this often.
const STILL_EVERY: Duration = Duration::from_secs(10);

/// A question was to be asked and there is nobody to answer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this asks for confirmation and there is no terminal to ask on: add --yes to go ahead without asking"
)]
pub struct NotATerminal;

/// The voice of the program. Clones speak through the same stream and never cut into each other's lines.
#[derive(Clone)]
pub struct Ui(Arc<Inner>);

struct Inner {
    out: Mutex<Box<dyn Write + Send>>,
    input: Mutex<Box<dyn BufRead + Send>>,
    live: Option<MultiProgress>,
    color: bool,
    interactive: bool,
    quiet_for: Duration,
    still_every: Duration,
}

impl fmt::Debug for Ui {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ui")
            .field("live", &self.0.live.is_some())
            .field("color", &self.0.color)
            .field("interactive", &self.0.interactive)
            .finish_non_exhaustive()
    }
}

/// Makes a [`Ui`] out of given streams; tests use it, the program uses [`Ui::stderr`].
pub struct UiBuilder(Inner);

impl UiBuilder {
    /// Plain lines to a writer, no colour, nobody to answer.
    pub fn new(out: impl Write + Send + 'static) -> Self {
        Self(Inner {
            out: Mutex::new(Box::new(out)),
            input: Mutex::new(Box::new(io::empty())),
            live: None,
            color: false,
            interactive: false,
            quiet_for: QUIET_FOR,
            still_every: STILL_EVERY,
        })
    }

    /// Shows the steps under way as a live list on this target.
    #[must_use]
    pub fn live(mut self, target: ProgressDrawTarget) -> Self {
        self.0.live = Some(MultiProgress::with_draw_target(target));
        self
    }

    /// Uses colour.
    #[must_use]
    pub fn color(mut self, color: bool) -> Self {
        self.0.color = color;
        self
    }

    /// Takes answers to questions from this reader.
    #[must_use]
    pub fn answers(mut self, input: impl BufRead + Send + 'static) -> Self {
        self.0.input = Mutex::new(Box::new(input));
        self.0.interactive = true;
        self
    }

    /// Replaces how long a plain step stays silent and how often it repeats itself.
    #[must_use]
    pub fn times(mut self, quiet_for: Duration, still_every: Duration) -> Self {
        self.0.quiet_for = quiet_for;
        self.0.still_every = still_every;
        self
    }

    /// The finished voice.
    pub fn build(self) -> Ui {
        Ui(Arc::new(self.0))
    }
}

impl Ui {
    /// Speaks to stderr and listens to stdin, as the program does.
    ///
    /// Questions need a terminal on both: one that nobody sees cannot be answered.
    pub fn stderr(color: ColorChoice) -> Self {
        let terminal = io::stderr().is_terminal();
        let mut builder = UiBuilder::new(io::stderr()).color(color.for_stream(terminal));
        if terminal && !ColorChoice::is_dumb() {
            builder = builder.live(ProgressDrawTarget::stderr());
        }
        if terminal && io::stdin().is_terminal() {
            builder = builder.answers(io::BufReader::new(io::stdin()));
        }
        builder.build()
    }

    /// Says nothing and asks nothing.
    pub fn silent() -> Self {
        UiBuilder::new(io::sink()).build()
    }

    /// Says a sentence.
    pub fn say(&self, text: impl AsRef<str>) {
        self.line(&printable(text.as_ref()));
    }

    /// Says something that the user should look at; work goes on.
    pub fn warn(&self, text: impl AsRef<str>) {
        let text = printable(text.as_ref());
        self.line(&format!("{} {text}", self.paint("33", "warning:")));
    }

    /// Says what went wrong; the exit code says it too.
    pub fn error(&self, text: impl AsRef<str>) {
        let text = printable(text.as_ref());
        self.line(&format!("{} {text}", self.paint("1;31", "error:")));
    }

    /// Names what the user can type next.
    pub fn hint(&self, text: impl AsRef<str>) {
        let text = printable(text.as_ref());
        self.line(&format!("{} {text}", self.paint("36", "hint:")));
    }

    /// Begins a step; the returned value ends it. A step that is dropped without an end has stopped.
    pub fn step(&self, title: impl Into<String>) -> Step {
        Step::begin(self.clone(), printable(&title.into()).into_owned())
    }

    /// Asks `question (y/N): `; anything but y or yes, the end of input included, is no.
    ///
    /// Blocks until the answer: call it where nothing else waits on this thread, by `spawn_blocking` in
    /// async code.
    ///
    /// # Errors
    /// [`NotATerminal`] when nobody can answer; nothing is printed then.
    pub fn confirm(&self, question: impl AsRef<str>) -> Result<bool, NotATerminal> {
        let answer = self.ask(&format!("{} (y/N): ", printable(question.as_ref())))?;
        Ok(["y", "yes"]
            .iter()
            .any(|yes| answer.eq_ignore_ascii_case(yes)))
    }

    /// Asks for a name to be typed; only the very name is a yes. For what cannot be taken back.
    ///
    /// # Errors
    /// As [`Ui::confirm`].
    pub fn confirm_typed(&self, name: &str) -> Result<bool, NotATerminal> {
        let answer = self.ask(&format!("Type {} to continue: ", printable(name)))?;
        Ok(!name.is_empty() && answer == name)
    }

    /// Tells whether questions can be asked.
    pub fn is_interactive(&self) -> bool {
        self.0.interactive
    }

    /// Tells whether stderr gets colour.
    pub fn color(&self) -> bool {
        self.0.color
    }

    fn ask(&self, question: &str) -> Result<String, NotATerminal> {
        if !self.0.interactive {
            return Err(NotATerminal);
        }
        let mut answer = String::new();
        self.aside(|out| {
            write!(out, "{question}").and_then(|()| out.flush()).ok();
            let read = lock(&self.0.input).read_line(&mut answer);
            if !matches!(read, Ok(length) if length > 0) {
                // The end of input leaves the cursor behind the question.
                answer.clear();
                writeln!(out).ok();
            }
        });
        Ok(answer.trim().to_owned())
    }

    fn line(&self, text: &str) {
        // A closed stderr must not stop the work.
        self.aside(|out| {
            writeln!(out, "{text}").and_then(|()| out.flush()).ok();
        });
    }

    /// Writes with the live list out of the way.
    fn aside(&self, write: impl FnOnce(&mut dyn Write)) {
        let write = || write(&mut **lock(&self.0.out));
        match &self.0.live {
            Some(live) => live.suspend(write),
            None => write(),
        }
    }

    fn paint<'t>(&self, code: &str, text: &'t str) -> Cow<'t, str> {
        if self.0.color {
            format!("\x1b[{code}m{text}\x1b[0m").into()
        } else {
            text.into()
        }
    }
}

/// A panic elsewhere must not silence the rest.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A step under way.
#[must_use = "a step that is dropped is shown as stopped"]
pub struct Step {
    ui: Ui,
    title: String,
    began: Instant,
    shown: Shown,
    ended: bool,
}

/// How a step is shown while it is under way.
enum Shown {
    Bar(ProgressBar),
    Lines(Arc<Ticker>),
}

/// What the thread that says "still" and the step share.
#[derive(Default)]
struct Ticker {
    state: Mutex<TickerState>,
    ended: Condvar,
}

#[derive(Default)]
struct TickerState {
    note: String,
    ended: bool,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step")
            .field("title", &self.title)
            .field("began", &self.began)
            .finish_non_exhaustive()
    }
}

impl Step {
    fn begin(ui: Ui, title: String) -> Self {
        let began = Instant::now();
        let shown = match &ui.0.live {
            Some(live) => {
                let bar = live.add(ProgressBar::new_spinner());
                bar.set_style(style(ui.0.color));
                bar.set_prefix(title.clone());
                bar.enable_steady_tick(Duration::from_millis(100));
                Shown::Bar(bar)
            }
            None => Shown::Lines(Ticker::start(&ui, &title, began)),
        };
        Self {
            ui,
            title,
            began,
            shown,
            ended: false,
        }
    }

    /// Tells what is being waited for; replaces the previous note.
    pub fn note(&self, text: impl AsRef<str>) {
        let text = printable(text.as_ref()).replace('\n', " ");
        match &self.shown {
            Shown::Bar(bar) => bar.set_message(if text.is_empty() {
                text
            } else {
                format!(": {text}")
            }),
            Shown::Lines(ticker) => lock(&ticker.state).note = text,
        }
    }

    /// How long the step has been under way.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Ends the step well. An empty detail is left out.
    pub fn done(mut self, detail: impl AsRef<str>) {
        self.end(End::Done, detail.as_ref());
    }

    /// Ends the step without anything done.
    pub fn skipped(mut self, why: impl AsRef<str>) {
        self.end(End::Skipped, why.as_ref());
    }

    /// Ends the step with what went wrong.
    pub fn failed(mut self, why: impl AsRef<str>) {
        self.end(End::Failed, why.as_ref());
    }

    fn end(&mut self, end: End, detail: &str) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        let took = self.began.elapsed();
        let detail = match printable(detail) {
            text if text.is_empty() => text,
            text => format!(": {text}").into(),
        };
        // A skipped step has no time worth telling.
        let time = match end {
            End::Skipped => String::new(),
            _ => human_seconds(took),
        };
        match &self.shown {
            Shown::Bar(bar) => {
                bar.finish_and_clear();
                let (code, sign) = end.sign();
                let sign = self.ui.paint(code, sign);
                let time = match time.as_str() {
                    "" => String::new(),
                    time => format!(" {}", self.ui.paint("2", &format!("({time})"))),
                };
                self.ui
                    .line(&format!("{sign} {}{detail}{time}", self.title));
            }
            Shown::Lines(ticker) => {
                ticker.end();
                let word = end.word();
                let time = match time.as_str() {
                    "" => String::new(),
                    time => format!(" ({time})"),
                };
                self.ui
                    .line(&format!("{word:<8} {}{detail}{time}", self.title));
            }
        }
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        self.end(End::Stopped, "");
    }
}

/// How a step ended.
#[derive(Clone, Copy)]
enum End {
    Done,
    Skipped,
    Failed,
    Stopped,
}

impl End {
    fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }

    /// Colour and sign on a terminal.
    fn sign(self) -> (&'static str, &'static str) {
        match self {
            Self::Done => ("32", "✓"),
            Self::Skipped => ("2", "-"),
            Self::Failed => ("31", "✗"),
            Self::Stopped => ("33", "!"),
        }
    }
}

fn style(color: bool) -> ProgressStyle {
    let template = if color {
        "{spinner:.cyan} {prefix}{wide_msg} {took:.dim}"
    } else {
        "{spinner} {prefix}{wide_msg} {took}"
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
        .with_key("took", |state: &ProgressState, out: &mut dyn fmt::Write| {
            out.write_str(&human_duration(state.elapsed())).ok();
        })
        .tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ")
}

impl Ticker {
    /// Starts the thread that speaks for a plain step that takes long; it ends with the step.
    fn start(ui: &Ui, title: &str, began: Instant) -> Arc<Self> {
        let ticker = Arc::new(Self::default());
        let (shared, ui, title) = (Arc::clone(&ticker), ui.clone(), title.to_owned());
        let spawned = std::thread::Builder::new()
            .name("still".to_owned())
            .spawn(move || shared.run(&ui, &title, began));
        // Without a thread the step is merely silent until it ends.
        drop(spawned);
        ticker
    }

    fn run(&self, ui: &Ui, title: &str, began: Instant) {
        let mut word = "started";
        let mut next = ui.0.quiet_for;
        let mut state = lock(&self.state);
        loop {
            let left = next.saturating_sub(began.elapsed());
            state = self
                .ended
                .wait_timeout_while(state, left, |state| !state.ended)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            if state.ended {
                return;
            }
            let note = match state.note.as_str() {
                "" => String::new(),
                note => format!(": {note}"),
            };
            let time = match word {
                "started" => String::new(),
                _ => format!(" ({})", human_seconds(began.elapsed())),
            };
            // Said under the lock, so that it can never come after the step's last line.
            ui.line(&format!("{word:<8} {title}{note}{time}"));
            word = "still";
            next = began.elapsed() + ui.0.still_every;
        }
    }

    fn end(&self) {
        lock(&self.state).ended = true;
        self.ended.notify_all();
    }
}

#[cfg(test)]
mod tests;
