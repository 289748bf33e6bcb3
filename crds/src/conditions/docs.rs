//! Generates the tables of docs/conditions.md. The rest of the page is written by hand.
//!
//! In: the page. Out: the page with a new table between the two marks of each condition.

use std::fmt::Write as _;

use super::tables::{Row, TABLES};

/// Replaces the tables of the page by the current ones.
///
/// # Errors
/// Names a mark that the page lacks.
pub fn fill(page: &str) -> Result<String, String> {
    let mut page = page.to_owned();
    for (condition, rows) in TABLES {
        let (begin, end) = (begin(condition), "<!-- end of the table -->");
        let start = page.find(&begin).ok_or_else(|| format!("the page lacks the line {begin}"))?;
        let start = start + begin.len();
        let length = page[start..]
            .find(end)
            .ok_or_else(|| format!("the line {end} is missing after {begin}"))?;
        page.replace_range(start..start + length, &format!("\n{}", table(rows)));
    }
    Ok(page)
}

/// The mark before the table of the condition.
fn begin(condition: &str) -> String {
    format!(
        "<!-- the reasons of {condition}: `make docs` writes this table from crds/src/conditions/tables/ -->"
    )
}

fn table(rows: &[Row]) -> String {
    let mut table = "\n| reason | meaning | what to do |\n|---|---|---|\n".to_owned();
    for row in rows {
        // Writing to a String cannot fail.
        writeln!(table, "| `{}` | {} | {} |", row.reason, cell(row.meaning), cell(row.remedy)).ok();
    }
    table.push('\n');
    table
}

/// Escapes bars, which would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_without_marks_is_refused_and_a_filled_page_does_not_change() {
        assert!(fill("# Conditions").unwrap_err().contains("NodesReady"));
        let mut page = String::new();
        for (condition, _) in TABLES {
            writeln!(page, "{}\nold rows\n<!-- end of the table -->", begin(condition)).unwrap();
        }
        let filled = fill(&page).unwrap();
        assert!(!filled.contains("old rows") && filled.contains("| `Mounted` |"), "{filled}");
        assert_eq!(fill(&filled).unwrap(), filled);
    }
}
