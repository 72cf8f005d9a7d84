//! Tables in kubectl's look: three spaces between columns, no borders, the last column unpadded.

use std::borrow::Cow;
use std::fmt::Write as _;

use comfy_table::{ColumnConstraint, Width, presets};

use super::Look;

/// Narrowest column with its padding, as in kubectl's tab writer.
const MIN_WIDTH: u16 = 6;
/// Spaces between a column's longest cell and the next column.
const PADDING: u16 = 3;
/// Characters of a cell that count for the layout: comfy-table adds up widths in 16 bits.
const LAID_OUT: usize = 20_000;

/// What a cell says about its content; shown as a colour on a terminal and never the only sign.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing to say.
    #[default]
    Plain,
    /// As it should be: green.
    Good,
    /// Worth a look: yellow.
    Warn,
    /// In the way: red.
    Bad,
    /// Of little interest: dim.
    Dim,
}

impl Tone {
    /// Puts the text into the tone's colour.
    pub(super) fn paint(self, text: &str, color: bool) -> Cow<'_, str> {
        let code = match self {
            Self::Plain => return text.into(),
            Self::Good => "32",
            Self::Warn => "33",
            Self::Bad => "31",
            Self::Dim => "2",
        };
        if color && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m").into()
        } else {
            text.into()
        }
    }
}

/// One cell: a text and its tone. An empty text is printed as `<none>`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// The text as it came; made printable when it is printed.
    pub text: String,
    /// The colour on a terminal.
    pub tone: Tone,
}

impl Cell {
    /// A cell with a tone.
    pub fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self {
            text: text.into(),
            tone,
        }
    }

    /// A plain cell of anything that can be displayed.
    pub fn of(value: impl std::fmt::Display) -> Self {
        Self::new(value.to_string(), Tone::Plain)
    }

    fn shown(&self) -> Cow<'_, str> {
        match self.text.as_str() {
            "" => "<none>".into(),
            text => one_line(text),
        }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(text, Tone::Plain)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(text, Tone::Plain)
    }
}

impl From<&String> for Cell {
    fn from(text: &String) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// `None` becomes `<none>`.
impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map(Into::into).unwrap_or_default()
    }
}

/// Headers and rows. Without headers it is a list of aligned rows, like the fields of `kubectl describe`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Upper-case names of the columns.
    pub headers: Vec<String>,
    /// Cells by row; a short row ends early.
    pub rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    pub fn new<H: Into<String>>(headers: impl IntoIterator<Item = H>) -> Self {
        Self {
            headers: headers.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row<C: Into<Cell>>(&mut self, cells: impl IntoIterator<Item = C>) -> &mut Self {
        self.rows.push(cells.into_iter().map(Into::into).collect());
        self
    }

    /// The table as lines, each with its line end.
    pub fn render(&self, look: Look) -> String {
        let mut rows: Vec<Vec<(Cow<str>, Tone)>> = Vec::new();
        if look.headers && !self.headers.is_empty() {
            let headers = self.headers.iter();
            rows.push(headers.map(|text| (one_line(text), Tone::Plain)).collect());
        }
        for row in &self.rows {
            rows.push(row.iter().map(|cell| (cell.shown(), cell.tone)).collect());
        }

        let mut layout = comfy_table::Table::new();
        layout.load_style(presets::NOTHING);
        layout.add_rows(
            rows.iter()
                .map(|row| row.iter().map(|(text, _)| laid_out(text))),
        );
        for column in layout.column_iter_mut() {
            column
                .set_padding((0, PADDING))
                .set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(MIN_WIDTH)));
        }

        let mut out = String::new();
        for (line, row) in layout.lines().zip(&rows) {
            let mut rest = line.as_str();
            // Colours come after the layout, which would count them as text.
            for (text, tone) in row {
                if let Some((padding, behind)) = rest.split_once(laid_out(text)) {
                    out.push_str(padding);
                    rest = behind;
                }
                out.push_str(&tone.paint(text, look.color));
            }
            out.push('\n');
        }
        out
    }
}

/// A table under a title; a report has one or several, separated by an empty line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableSection {
    /// Printed above the table with a colon.
    pub title: Option<String>,
    /// Upper-case names of the columns; none for rows of name and value.
    pub headers: Vec<String>,
    /// Cells by row.
    pub rows: Vec<Vec<Cell>>,
    /// Lines printed below the table as they are.
    pub notes: Vec<String>,
}

impl TableSection {
    /// A section without title and rows.
    pub fn new<H: Into<String>>(headers: impl IntoIterator<Item = H>) -> Self {
        Self {
            headers: headers.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// A section of names and values, like the fields of `kubectl describe`: no header line.
    pub fn fields() -> Self {
        Self::default()
    }

    /// Sets the title.
    #[must_use]
    pub fn titled(mut self, title: impl Into<String>) -> Self {
        self.title = Some(title.into());
        self
    }

    /// Adds a row.
    pub fn row<C: Into<Cell>>(&mut self, cells: impl IntoIterator<Item = C>) -> &mut Self {
        self.rows.push(cells.into_iter().map(Into::into).collect());
        self
    }

    /// Adds a row of a name, printed with a colon, and a value.
    pub fn field(&mut self, name: &str, value: impl Into<Cell>) -> &mut Self {
        self.row([Cell::from(format!("{name}:")), value.into()])
    }

    /// Adds a line below the table.
    pub fn note(&mut self, line: impl Into<String>) -> &mut Self {
        self.notes.push(line.into());
        self
    }
}

/// The sections as text. A section without rows and notes prints nothing at all, as an empty list in kubectl.
pub(super) fn render(sections: &[TableSection], look: Look) -> String {
    let mut out = String::new();
    for section in sections {
        if section.rows.is_empty() && section.notes.is_empty() {
            continue;
        }
        if !out.is_empty() {
            out.push('\n');
        }
        if let Some(title) = &section.title {
            let _ = writeln!(out, "{}:", printable(title));
        }
        if !section.rows.is_empty() {
            let table = Table {
                headers: section.headers.clone(),
                rows: section.rows.clone(),
            };
            out.push_str(&table.render(look));
        }
        for note in &section.notes {
            out.push_str(&printable(note));
            out.push('\n');
        }
    }
    out
}

/// The start of a text, as far as it counts for the layout.
fn laid_out(text: &str) -> &str {
    match text.char_indices().nth(LAID_OUT) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

/// What is printed of a text in a table: the first line and `...` for several.
fn one_line(text: &str) -> Cow<'_, str> {
    match text.find(['\n', '\r', '\x0c']) {
        Some(end) => format!("{}...", printable(&text[..end])).into(),
        None => printable(text),
    }
}

/// Text from elsewhere without what a terminal would act on: kubectl prints an escape as `^[`.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(|c: char| c.is_control() && c != '\n') {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push(c),
            '\t' => out.push(' '),
            '\x1b' => out.push_str("^["),
            c if c.is_control() => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLORED: Look = Look {
        headers: true,
        color: true,
    };

    #[test]
    fn columns_are_three_spaces_apart_and_at_least_six_wide() {
        let mut table = Table::new(["A", "LONG HEADER", "LAST"]);
        table
            .row(["1", "x", "y"])
            .row(["123456", "x", "a longer one"]);
        let text = table.render(Look::default());
        insta::assert_snapshot!(text, @r"
        A        LONG HEADER   LAST
        1        x             y
        123456   x             a longer one
        ");
        assert!(text.lines().all(|line| !line.ends_with(' ')));

        let mut narrow = Table::new(["A", "B"]);
        narrow.row(["1", "2"]);
        assert_eq!(narrow.render(Look::default()), "A     B\n1     2\n");
    }

    #[test]
    fn nothing_is_printed_as_none_and_several_lines_as_the_first() {
        let mut table = Table::new(["A", "B", "C"]);
        table.row([
            Cell::from(""),
            Cell::from(None::<String>),
            Cell::from("one\ntwo"),
        ]);
        insta::assert_snapshot!(table.render(Look::default()), @r"
        A        B        C
        <none>   <none>   one...
        ");
    }

    #[test]
    fn wide_characters_keep_the_columns_aligned() {
        let mut table = Table::new(["A", "B"]);
        table.row(["日本語", "x"]).row(["äöü", "y"]);
        insta::assert_snapshot!(table.render(Look::default()), @r"
        A        B
        日本語   x
        äöü      y
        ");
    }

    #[test]
    fn colour_does_not_count_as_width() {
        let mut table = Table::new(["STATE", "NAME"]);
        table
            .row([Cell::new("ok", Tone::Good), Cell::from("a")])
            .row([Cell::new("blocker", Tone::Bad), Cell::from("b")]);
        let colored = table.render(COLORED);
        assert!(
            colored.contains("\x1b[31mblocker\x1b[0m   b"),
            "{colored:?}"
        );
        let mut stripped = colored;
        for code in ["\x1b[31m", "\x1b[32m", "\x1b[0m"] {
            stripped = stripped.replace(code, "");
        }
        assert_eq!(stripped, table.render(Look::default()));
    }

    #[test]
    fn a_name_from_the_cluster_cannot_drive_the_terminal() {
        let mut table = Table::new(["NAME"]);
        table.row(["a\x1b[2Jb\x07\tc"]);
        assert_eq!(table.render(COLORED), "NAME\na^[[2Jb\\x07 c\n");
    }

    #[test]
    fn sections_are_separated_and_empty_ones_left_out() {
        let mut checks = TableSection::new(["CHECK", "STATE"]).titled("Live");
        checks.row(["version", "ok"]).note("1 check passed.");
        let empty = TableSection::new(["X"]).titled("Nothing here");
        let mut fields = TableSection::fields().titled("Plan");
        fields.field("Method", "pg-upgrade").field("To", "17");
        insta::assert_snapshot!(render(&[checks, empty, fields], Look::default()), @r"
        Live:
        CHECK     STATE
        version   ok
        1 check passed.

        Plan:
        Method:   pg-upgrade
        To:       17
        ");
    }

    #[test]
    fn a_cell_wider_than_any_terminal_stays_on_its_line() {
        let long = "x y ".repeat(50_000);
        let mut table = Table::new(["A", "B"]);
        table.row(["1", long.as_str()]).row(["2", "z"]);
        let expected = format!("A     B\n1     {long}\n2     z\n");
        assert!(table.render(Look::default()) == expected);
    }

    #[test]
    fn headers_can_be_left_out() {
        let mut table = Table::new(["A HEADER THAT IS LONG", "B"]);
        table.row(["1", "2"]);
        let look = Look {
            headers: false,
            color: false,
        };
        assert_eq!(table.render(look), "1     2\n");
    }
}
