//! Aligned tables.

/// How a cell looks where colours are shown. The text says the same without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Style {
    #[default]
    Plain,
    Good,
    Careful,
    Bad,
    Strong,
    Faint,
}

impl Style {
    /// Text in this style (ECMA-48 SGR), or as it is.
    pub(super) fn paint(self, text: &str, colour: Colour) -> String {
        let code = match self {
            _ if colour == Colour::No || text.is_empty() => return text.to_owned(),
            Self::Plain => return text.to_owned(),
            Self::Good => "32",
            Self::Careful => "33",
            Self::Bad => "31",
            Self::Strong => "1",
            Self::Faint => "2",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}

/// Whether colours are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Yes,
    No,
}

/// To which side a column leans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Right,
}

/// A piece of text in a table.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(super) fn new(text: impl Into<String>, style: Style) -> Self {
        Self { text: printable(&text.into()), style }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text, Style::Plain)
    }
}

/// Rows under a header.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(super) fn new(columns: impl IntoIterator<Item = (&'static str, Align)>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Rows without a header.
    pub(super) fn bare(columns: impl IntoIterator<Item = Align>) -> Self {
        Self::new(columns.into_iter().map(|align| ("", align)))
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether there is no row.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text, a line for each row, without trailing blanks.
    pub(super) fn render(&self, colour: Colour) -> String {
        let header: Vec<_> =
            self.columns.iter().map(|(name, _)| Cell::new(*name, Style::Faint)).collect();
        let rows = || std::iter::once(&header).chain(&self.rows);
        let width = |column: usize| {
            rows().filter_map(|row| row.get(column)).map(|c| width(&c.text)).max().unwrap_or(0)
        };
        let widths: Vec<_> = (0..self.columns.len()).map(width).collect();
        let headed = usize::from(self.columns.iter().all(|(name, _)| name.is_empty()));
        rows().skip(headed).map(|row| self.line(row, &widths, colour)).collect()
    }

    fn line(&self, row: &[Cell], widths: &[usize], colour: Colour) -> String {
        let mut line = String::new();
        let mut pending = 0;
        for ((cell, (_, align)), column) in row.iter().zip(&self.columns).zip(widths) {
            let blanks = column - width(&cell.text);
            let before = if *align == Align::Right { blanks } else { 0 };
            if !cell.text.is_empty() {
                line.push_str(&" ".repeat(pending + before));
                line.push_str(&cell.style.paint(&cell.text, colour));
                pending = blanks - before + GAP;
            } else {
                pending += blanks + GAP;
            }
        }
        line + "\n"
    }
}

const GAP: usize = 2;

/// Text in one line that does nothing to a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Text in lines of at most so many columns, broken between words; without a limit it is one line. A
/// longer word stands alone and is not cut, so that it can be copied.
pub(super) fn wrapped(text: &str, most: Option<usize>, first: usize, others: usize) -> Vec<String> {
    let mut lines = vec![" ".repeat(first)];
    let mut begun = false;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let mut used = lines.last().map_or(0, |line| width(line));
        if begun && most.is_some_and(|most| used + 1 + width(word) > most) {
            lines.push(" ".repeat(others));
            (begun, used) = (false, others);
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(if begun && used > 0 { " " } else { "" });
            line.push_str(word);
        }
        begun = true;
    }
    lines
}

/// How many columns of a terminal a text takes: wide letters (East Asian, most pictures) two,
/// combining ones none.
pub(super) fn width(text: &str) -> usize {
    let width = |c: char| match u32::from(c) {
        0x0300..=0x036f | 0x200b..=0x200f | 0x20d0..=0x20ff | 0xfe00..=0xfe0f => 0,
        0x1100..=0x115f
        | 0x2e80..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1faff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    };
    text.chars().map(width).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_wrapped_between_words_and_never_inside_one() {
        let text = "one two three-and-four five";
        assert_eq!(wrapped(text, None, 2, 4), ["  one two three-and-four five"]);
        let lines = ["  one two", "    three-and-four", "    five"];
        assert_eq!(wrapped(text, Some(12), 2, 4), lines);
        assert_eq!(wrapped("", Some(3), 0, 0), [""]);
    }

    #[test]
    fn columns_are_aligned_whatever_the_letters() {
        let mut table =
            Table::new([("NAME", Align::Left), ("RTT", Align::Right), ("", Align::Left)]);
        table.row(["kabel".into(), "9 ms".into(), "ok".into()]);
        table.row(["büro".into(), "120 ms".into(), "".into()]);
        table.row(["光回線".into(), "".into(), Cell::new("down\x1b[2J", Style::Bad)]);
        let text = "NAME       RTT\nkabel     9 ms  ok\nbüro    120 ms\n光回線          down [2J\n";
        assert_eq!(table.render(Colour::No), text);
        assert!(table.render(Colour::Yes).contains("\x1b[31mdown [2J\x1b[0m"));
    }
}
