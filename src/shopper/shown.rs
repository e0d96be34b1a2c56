//! Tables and text as a terminal may get them.

use comfy_table::{CellAlignment, ColumnConstraint, Table, Width, presets};

/// Takes the place of what must not be shown.
const REPLACEMENT: char = '\u{fffd}';

/// `text` without what a terminal would obey instead of showing: control characters, and those that turn
/// the direction of what follows.
pub fn plain(text: &str) -> String {
    let obeyed = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if obeyed(c) { REPLACEMENT } else { c }).collect()
}

/// Cents for people: `$28.50`.
pub fn dollars(cents: i64) -> String {
    format!("${}.{:02}", cents / 100, cents % 100)
}

/// `text` so that a shell takes it for one word.
pub fn quoted(text: &str) -> String {
    let harmless = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':' | ',');
    match !text.is_empty() && text.chars().all(harmless) {
        true => text.into(),
        false => format!("'{}'", plain(text).replace('\'', r"'\''")),
    }
}

/// Names on the left, values on the right.
pub fn pairs(rows: &[(&str, String)]) -> String {
    let mut table = borderless();
    for (name, value) in rows {
        table.add_row([*name, value.as_str()]);
    }
    trimmed(&table)
}

/// A table in parts: each is printed when it is there, and its columns are at least as wide as those of
/// the parts before.
pub struct Columns<const N: usize> {
    names: [&'static str; N],
    /// Those with numbers, which stand on the right.
    numbers: &'static [usize],
    widths: [u16; N],
    headed: bool,
}

impl<const N: usize> Columns<N> {
    pub fn new(names: [&'static str; N], numbers: &'static [usize]) -> Self {
        Self { names, numbers, widths: [0; N], headed: false }
    }

    /// The next rows; the names of the columns above the first of all.
    pub fn part(&mut self, rows: impl IntoIterator<Item = [String; N]>) -> String {
        let mut table = borderless();
        if !self.headed {
            table.set_header(self.names);
            self.headed = true;
        }
        for row in rows {
            table.add_row(row);
        }
        for (least, content) in self.widths.iter_mut().zip(table.column_max_content_widths()) {
            *least = content.max(*least);
        }
        for ((number, column), width) in table.column_iter_mut().enumerate().zip(self.widths) {
            // The width of a column counts its two blanks.
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(width + 2)));
            if self.numbers.contains(&number) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        trimmed(&table)
    }
}

/// A whole table: the first column names the row, the others are numbers.
pub fn numbers(columns: &[String], rows: &[Vec<String>]) -> String {
    let mut table = borderless();
    table.set_header(columns);
    table.add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    trimmed(&table)
}

fn borderless() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table
}

/// Without the blanks at the end of each line, which fill up the last column.
fn trimmed(table: &Table) -> String {
    let lines = table.lines().map(|line| line.trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_shown() {
        assert_eq!(
            plain("a\x1b[31mb\r\n\u{9b}c\u{202e}d"),
            "a\u{fffd}[31mb\u{fffd}\u{fffd}\u{fffd}c\u{fffd}d"
        );
        assert_eq!(plain("naïve 本 🦀"), "naïve 本 🦀");
    }

    #[test]
    fn money_has_its_cents() {
        assert_eq!(
            (dollars(2800), dollars(5), dollars(1999)),
            ("$28.00".into(), "$0.05".into(), "$19.99".into())
        );
    }

    #[test]
    fn what_is_to_be_typed_is_one_word_for_a_shell() {
        for (text, typed) in [("fiction", "fiction"), ("it's $HOME", r"'it'\''s $HOME'"), ("", "''")] {
            assert_eq!(quoted(text), typed);
        }
    }

    #[test]
    fn columns_keep_their_place_whatever_the_width_of_a_character_and_from_part_to_part() {
        let mut columns = Columns::new(["Id", "Title", "Stock"], &[0, 2]);
        let row = |id: &str, title: &str, stock: &str| [id.to_owned(), title.to_owned(), stock.to_owned()];
        let first = columns.part([row("1", "本の本", "5"), row("10", "abcdef", "15")]);
        let next = columns.part([row("2", "x", "7")]);
        let lines: Vec<&str> = first.lines().chain(next.lines()).collect();
        assert_eq!(
            lines,
            [" Id  Title   Stock", "  1  本の本      5", " 10  abcdef     15", "  2  x           7"]
        );
    }
}
