//! Markdown tables.

use std::fmt::Write as _;

/// A table with a header and rows. A bar in a cell is escaped, because it would end the cell.
pub fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut text = String::new();
    line(&mut text, header.map(str::to_owned));
    line(&mut text, header.map(|_| "---".to_owned()));
    for row in rows {
        line(&mut text, row);
    }
    text
}

fn line<const N: usize>(text: &mut String, cells: [String; N]) {
    let cells = cells.map(|cell| cell.replace('|', "\\|").replace('\n', " "));
    // Writing to a String cannot fail.
    writeln!(text, "| {} |", cells.join(" | ")).ok();
}

/// A heading of a part of a section.
pub fn heading(title: &str) -> String {
    format!("\n### {title}\n\n")
}

/// The text as code.
pub fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

/// Each text as code, with commas between.
pub fn codes<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    texts.into_iter().map(code).collect::<Vec<_>>().join(", ")
}
