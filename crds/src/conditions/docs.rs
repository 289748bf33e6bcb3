//! The tables of docs/conditions.md: the page is written by hand, save for what stands between two marks.
//!
//! In: the page. Out: the page with each condition's table as the code has it.

use std::fmt::Write as _;

use super::tables::{Row, TABLES};

/// The page with its tables replaced by the present ones.
///
/// # Errors
/// Names the condition whose marks are missing.
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

/// The mark before the table of that condition.
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

/// A bar would end a cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_without_marks_is_refused_and_a_filled_page_stays_as_it_is() {
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
