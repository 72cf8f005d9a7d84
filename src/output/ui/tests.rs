use std::ffi::OsStr;
use std::io::Cursor;
use std::thread::sleep;

use indicatif::TermLike;

use super::*;

/// What has been written, readable while it is being written.
#[derive(Clone, Debug, Default)]
struct Tape(Arc<Mutex<Vec<u8>>>);

impl Tape {
    fn text(&self) -> String {
        String::from_utf8(lock(&self.0).clone()).unwrap()
    }

    /// The text with every time replaced, since times differ.
    fn timeless(&self) -> String {
        let timeless = |line: &str| match line.rsplit_once(" (") {
            Some((rest, time)) if time.ends_with("s)") => format!("{rest} (TIME)\n"),
            _ => format!("{line}\n"),
        };
        self.text().lines().map(timeless).collect()
    }
}

impl Write for Tape {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A terminal that only remembers what was drawn.
impl TermLike for Tape {
    fn width(&self) -> u16 {
        60
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.clone().write_all(format!("{text}\n").as_bytes())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.clone().write_all(text.as_bytes())
    }

    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

const LONG: Duration = Duration::from_secs(3600);

fn plain() -> (Ui, Tape) {
    let tape = Tape::default();
    let ui = UiBuilder::new(tape.clone()).times(LONG, LONG).build();
    (ui, tape)
}

fn live() -> (Ui, Tape, Tape) {
    let (out, screen) = (Tape::default(), Tape::default());
    let target = ProgressDrawTarget::term_like_with_hz(Box::new(screen.clone()), 100);
    let ui = UiBuilder::new(out.clone()).live(target).build();
    (ui, out, screen)
}

fn asked(answers: &'static str) -> (Ui, Tape) {
    let tape = Tape::default();
    let ui = UiBuilder::new(tape.clone())
        .answers(Cursor::new(answers))
        .build();
    (ui, tape)
}

/// Waits until the tape holds the text; fails after a time that no slow machine needs.
fn until(tape: &Tape, text: &str) {
    let began = Instant::now();
    while !tape.text().contains(text) {
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "no {text:?} in {:?}",
            tape.text()
        );
        sleep(Duration::from_millis(2));
    }
}

#[test]
fn sentences_warnings_and_hints_are_lines_of_their_own() {
    let (ui, tape) = plain();
    ui.say("Reads the facts of statefulset/pg.");
    ui.warn("the snapshot class is not the default");
    ui.error("deleting Job shop/x");
    ui.hint("run `kubectl pg-upgrade status`");
    insta::assert_snapshot!(tape.text(), @r"
    Reads the facts of statefulset/pg.
    warning: the snapshot class is not the default
    error: deleting Job shop/x
    hint: run `kubectl pg-upgrade status`
    ");
}

#[test]
fn only_the_label_is_coloured() {
    let tape = Tape::default();
    let ui = UiBuilder::new(tape.clone()).color(true).build();
    ui.warn("x");
    ui.hint("y");
    assert_eq!(
        tape.text(),
        "\x1b[33mwarning:\x1b[0m x\n\x1b[36mhint:\x1b[0m y\n"
    );
}

#[test]
fn text_from_the_cluster_cannot_drive_the_terminal() {
    let (ui, tape) = plain();
    ui.warn("table \x1b[2Jx");
    ui.step("a\rb").done("c\x07");
    assert_eq!(
        tape.timeless(),
        "warning: table ^[[2Jx\ndone     a\\x0db: c\\x07 (TIME)\n"
    );
}

#[test]
fn a_quick_step_is_one_line() {
    let (ui, tape) = plain();
    ui.step("stop the server").done("");
    ui.step("take a volume snapshot").done("pg-x is ready");
    ui.step("quiesce").skipped("--apps none");
    ui.step("start the server").failed("image cannot be pulled");
    insta::assert_snapshot!(tape.timeless(), @r"
    done     stop the server (TIME)
    done     take a volume snapshot: pg-x is ready (TIME)
    skipped  quiesce: --apps none
    failed   start the server: image cannot be pulled (TIME)
    ");
}

#[test]
fn a_step_that_is_given_up_by_an_error_is_shown_as_stopped() {
    let (ui, tape) = plain();
    let step = ui.step("copy the data");
    step.note("1 of 3");
    drop(step);
    assert_eq!(tape.timeless(), "stopped  copy the data (TIME)\n");
}

#[test]
fn a_long_step_without_a_terminal_says_that_it_has_started_and_still_goes_on() {
    let tape = Tape::default();
    let ui = UiBuilder::new(tape.clone())
        .times(Duration::from_millis(20), Duration::from_millis(20))
        .build();
    let step = ui.step("wait for the pod");
    until(&tape, "started  wait for the pod\n");
    step.note("pulling\nthe image");
    until(&tape, ": pulling the image (");
    step.done("ready");
    let lines = tape.text();
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines[0], "started  wait for the pod");
    assert!(
        lines[1].starts_with("still    wait for the pod"),
        "{lines:?}"
    );
    assert!(
        lines
            .last()
            .unwrap()
            .starts_with("done     wait for the pod: ready ("),
        "{lines:?}"
    );

    // Nothing is said of a step after its end.
    sleep(Duration::from_millis(80));
    assert_eq!(tape.text().lines().count(), lines.len());
}

#[test]
fn concurrent_steps_do_not_mix_their_lines() {
    let (ui, tape) = plain();
    std::thread::scope(|scope| {
        for worker in 0..8 {
            let ui = ui.clone();
            scope.spawn(move || {
                for _ in 0..50 {
                    ui.step(format!("step of {worker}")).done("detail");
                }
            });
        }
    });
    assert_eq!(tape.text().lines().count(), 400);
    assert!(
        tape.timeless()
            .lines()
            .all(|line| line.starts_with("done     step of ") && line.ends_with(": detail (TIME)"))
    );
}

#[test]
fn on_a_terminal_steps_under_way_are_drawn_and_ended_ones_stay() {
    let (ui, out, screen) = live();
    let step = ui.step("wait for the pod");
    step.note("pulling the image");
    until(&screen, "wait for the pod: pulling the image");
    ui.say("Something else.");
    step.done("ready");
    ui.step("quiesce").skipped("--apps none");
    ui.step("start").failed("no image");
    drop(ui.step("given up"));
    assert_eq!(
        out.timeless(),
        "Something else.\n✓ wait for the pod: ready (TIME)\n- quiesce: --apps none\n✗ start: no image (TIME)\n! given up (TIME)\n"
    );
}

#[test]
fn only_yes_is_a_yes() {
    for (answer, expected) in [
        ("y\n", true),
        ("YES\n", true),
        (" y \n", true),
        ("n\n", false),
        ("\n", false),
        ("yeah\n", false),
        ("", false),
    ] {
        let (ui, tape) = asked(answer);
        assert_eq!(
            ui.confirm("Do you want to continue?"),
            Ok(expected),
            "{answer:?}"
        );
        assert!(tape.text().starts_with("Do you want to continue? (y/N): "));
    }
}

#[test]
fn the_end_of_input_is_a_no_and_ends_the_line() {
    let (ui, tape) = asked("");
    assert_eq!(ui.confirm("Go on?"), Ok(false));
    assert_eq!(tape.text(), "Go on? (y/N): \n");
}

#[test]
fn questions_take_one_line_each() {
    let (ui, _) = asked("y\nn\npg\n");
    assert_eq!(ui.confirm("a"), Ok(true));
    assert_eq!(ui.confirm("b"), Ok(false));
    assert_eq!(ui.confirm_typed("pg"), Ok(true));
    assert_eq!(ui.confirm_typed("pg"), Ok(false));
}

#[test]
fn only_the_very_name_confirms_what_cannot_be_taken_back() {
    for (answer, expected) in [
        ("pg\n", true),
        ("PG\n", false),
        ("pg2\n", false),
        ("y\n", false),
        ("", false),
    ] {
        let (ui, tape) = asked(answer);
        assert_eq!(ui.confirm_typed("pg"), Ok(expected), "{answer:?}");
        assert!(tape.text().starts_with("Type pg to continue: "));
    }
    let (ui, _) = asked("\n");
    assert_eq!(
        ui.confirm_typed(""),
        Ok(false),
        "no name is no name to type"
    );
}

#[test]
fn without_a_terminal_nothing_is_asked() {
    let (ui, tape) = plain();
    assert_eq!(ui.confirm("Go on?"), Err(NotATerminal));
    assert_eq!(ui.confirm_typed("pg"), Err(NotATerminal));
    assert_eq!(tape.text(), "");
    assert!(NotATerminal.to_string().contains("--yes"));
}

#[test]
fn a_closed_stderr_does_not_stop_the_work() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    let ui = UiBuilder::new(Closed).build();
    ui.say("x");
    ui.step("y").done("z");
}

#[test]
fn colour_follows_the_choice_then_the_environment() {
    let auto = |terminal, no_color: Option<&str>, term: Option<&str>| {
        ColorChoice::Auto.decide(terminal, no_color.map(OsStr::new), term.map(OsStr::new))
    };
    assert!(auto(true, None, Some("xterm")));
    assert!(auto(true, Some(""), None));
    assert!(!auto(true, Some("1"), Some("xterm")));
    assert!(!auto(true, None, Some("dumb")));
    assert!(!auto(false, None, Some("xterm")));
    assert!(ColorChoice::Always.decide(false, Some(OsStr::new("1")), Some(OsStr::new("dumb"))));
    assert!(!ColorChoice::Never.decide(true, None, None));
}
