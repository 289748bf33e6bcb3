//! Tables of text. In: headings and rows of printable texts. Out: lines of a bounded width.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::tone::Tone;

/// The gap between two columns, as kubectl has it.
const GAP: usize = 2;

/// The narrowest column that still says something.
const MIN_WIDTH: usize = 6;

/// Stands for the rest of a text.
const ELLIPSIS: char = '…';

/// One field of a table.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    pub text: String,
    pub tone: Tone,
}

impl Cell {
    pub fn toned(text: impl Into<String>, tone: impl Into<Tone>) -> Self {
        Self { text: text.into(), tone: tone.into() }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), tone: Tone::Plain }
    }
}

/// The table, with lines of at most that many columns where there is a limit. The widest columns
/// are shortened first.
pub fn table<const N: usize>(
    headings: [&str; N],
    rows: &[[Cell; N]],
    limit: Option<usize>,
) -> String {
    let mut widths = headings.map(width);
    for row in rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(width(&cell.text));
        }
    }
    if let Some(limit) = limit {
        shrink(&mut widths, limit.saturating_sub(GAP * N.saturating_sub(1)));
    }
    let headings = headings.map(|heading| Cell::toned(heading, Tone::Heading));
    std::iter::once(&headings).chain(rows).map(|row| line(row, &widths)).collect()
}

/// Number of columns that the text takes on a terminal.
pub fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

/// Makes the widest column narrower until all fit.
fn shrink(widths: &mut [usize], limit: usize) {
    let mut excess = widths.iter().sum::<usize>().saturating_sub(limit);
    while excess > 0 {
        let Some(widest) = widths.iter_mut().max_by_key(|width| **width) else { return };
        if *widest <= MIN_WIDTH {
            return;
        }
        *widest -= 1;
        excess -= 1;
    }
}

fn line(cells: &[Cell], widths: &[usize]) -> String {
    let mut line = String::new();
    let last = cells.len().saturating_sub(1);
    for (index, (cell, wanted)) in cells.iter().zip(widths).enumerate() {
        let text = shorten(&cell.text, *wanted);
        let padding = if index == last { 0 } else { wanted.saturating_sub(width(&text)) + GAP };
        line.push_str(&cell.tone.paint(&text));
        line.push_str(&" ".repeat(padding));
    }
    line.truncate(line.trim_end_matches(' ').len());
    line + "\n"
}

/// The text in at most that many columns.
pub fn shorten(text: &str, max: usize) -> String {
    if width(text) <= max {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut used = 1;
    for letter in text.chars() {
        used += letter.width().unwrap_or(0);
        if used > max {
            break;
        }
        short.push(letter);
    }
    short.push(ELLIPSIS);
    short
}

#[cfg(test)]
mod tests {
    use lsm_ready_crds::text::printable;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn columns_are_aligned_and_the_last_one_is_not_padded() {
        let rows = [[Cell::from("a"), Cell::from("x")], [Cell::from("häuser"), Cell::from("")]];
        let plain = anstream::adapter::strip_str(&table(["NAME", "B"], &rows, None)).to_string();
        assert_eq!(plain, "NAME    B\na       x\nhäuser\n");
    }

    proptest! {
        /// Whatever nodes write, no line is wider than the terminal, and nothing but our colours
        /// is a control character.
        #[test]
        fn no_line_is_wider_than_the_terminal(
            texts in prop::collection::vec(prop::collection::vec(any::<char>(), 0..120), 3..30),
            wide in "[漢字かなｆ]{0,80}",
        ) {
            let cells: Vec<Cell> = texts
                .into_iter()
                .map(|text| text.into_iter().collect::<String>())
                .chain([wide])
                .map(|text| Cell::from(printable(&text, 8192)))
                .collect();
            let rows: Vec<[Cell; 3]> =
                cells.as_chunks::<3>().0.iter().map(|row| row.clone()).collect();
            let text = table(["NAME", "STATE", "REASON"], &rows, Some(80));
            let plain = anstream::adapter::strip_str(&text).to_string();
            prop_assert_eq!(plain.lines().count(), rows.len() + 1);
            for line in plain.lines() {
                prop_assert!(width(line) <= 80, "{} {:?}", width(line), line);
                prop_assert!(!line.chars().any(char::is_control), "{line:?}");
            }
        }
    }
}
