//! The sources of the site, for mdBook (docs/site.sh).
//!
//! In: the pages, docs/SUMMARY.md and docs/book.toml. Out: a folder with the repository's own
//! layout, so that each link works as it is written. mdBook makes a page of each Markdown file that
//! the table of contents names, and copies all other files.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::links::{beside, links};
use crate::{Error, files, read};

/// The table of contents. Its links start in docs/, where it is.
pub const SUMMARY: &str = "docs/SUMMARY.md";
/// Folders that pages link to.
const FOLDERS: [&str; 3] = ["docs", "config", "charts"];

/// Writes the folder anew.
pub fn write(root: &Path, to: &Path) -> Result<(), Error> {
    if to.exists() {
        fs::remove_dir_all(to).map_err(|source| Error::Write { path: to.to_owned(), source })?;
    }
    for folder in FOLDERS.iter().filter(|folder| root.join(folder).is_dir()) {
        copy_folder(&root.join(folder), &to.join(folder))?;
    }
    let contents = contents(root)?;
    let pages = pages(&contents);
    for page in &pages {
        copy(&root.join(page), &to.join(page))?;
        copy_linked(root, to, page, &pages)?;
    }
    copy(&root.join("docs/book.toml"), &to.join("book.toml"))?;
    put(&to.join("SUMMARY.md"), from_root(&contents))
}

/// The table of contents: docs/SUMMARY.md, and below each README.md of a folder the pages of that
/// folder that it does not name, for example the decisions.
pub fn contents(root: &Path) -> Result<String, Error> {
    let summary = read(&root.join(SUMMARY))?;
    let named = pages(&summary);
    let mut text = String::new();
    for line in summary.lines() {
        text.extend([line, "\n"]);
        let link = links(line).pop().unwrap_or_default();
        let folder = link.strip_suffix("/README.md").filter(|folder| *folder != "..");
        let indent = line.len() - line.trim_start().len() + 2;
        for (link, title) in folder.map_or(Ok(Vec::new()), |folder| pages_of(root, folder))? {
            if !named.contains(&beside(SUMMARY, &link)) {
                // Writing to a String cannot fail.
                writeln!(text, "{:indent$}- [{title}]({link})", "").ok();
            }
        }
    }
    Ok(text)
}

/// Link and title of each page in a folder of docs/.
fn pages_of(root: &Path, folder: &str) -> Result<Vec<(String, String)>, Error> {
    let pages = files(&root.join("docs").join(folder))?;
    let pages = pages.iter().filter(|page| page.extension().is_some_and(|found| found == "md"));
    let described = pages.map(|page| {
        let name = page.file_name().unwrap_or_default().to_string_lossy();
        let text = read(page)?;
        let title = text.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or(&name);
        Ok((format!("{folder}/{name}"), title.to_owned()))
    });
    described.collect()
}

/// The pages that a table of contents names, from the root of the repository.
pub fn pages(contents: &str) -> Vec<String> {
    links(contents).iter().map(|link| beside(SUMMARY, link)).collect()
}

/// The table of contents with links that start at the root.
fn from_root(summary: &str) -> String {
    let mut parts = summary.split("](");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (link, rest) = part.split_once(')').unwrap_or((part, ""));
        text.extend(["](", &beside(SUMMARY, link), ")", rest]);
    }
    text
}

/// Copies the files and folders elsewhere in the repository that a page links to. A folder gets a
/// page that lists it, as a code host shows it.
fn copy_linked(root: &Path, to: &Path, page: &str, pages: &[String]) -> Result<(), Error> {
    for link in links(&read(&root.join(page))?) {
        let target = beside(page, link.split('#').next().unwrap_or_default());
        let (from, copied) = (root.join(&target), to.join(&target));
        if from.is_file() && !copied.exists() {
            copy(&from, &copied)?;
        }
        let index = copied.join("index.html");
        if from.is_dir() && !target.is_empty() && !index.exists() {
            copy_folder(&from, &copied)?;
            let shown: Vec<_> = files(&from)?.into_iter().filter(|path| path.is_file()).collect();
            put(&index, listing(&target, &shown, pages))?;
        }
    }
    Ok(())
}

/// An HTML page with a link to each of the files. mdBook turns the pages of the table of contents
/// into HTML, and leaves other Markdown out.
fn listing(folder: &str, files: &[PathBuf], pages: &[String]) -> String {
    let names = files.iter().filter_map(|file| file.file_name()?.to_str());
    let items = names.map(|name| match name.strip_suffix(".md") {
        Some(stem) if pages.contains(&format!("{folder}/{name}")) => {
            format!("<li><a href=\"{stem}.html\">{name}</a></li>\n")
        }
        Some(_) => format!("<li>{name}</li>\n"),
        None => format!("<li><a href=\"{name}\">{name}</a></li>\n"),
    });
    let items: String = items.collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{folder}</title>\n\
         <style>body {{ font-family: sans-serif; overflow-wrap: anywhere; }}</style>\n\
         <h1>{folder}</h1>\n<ul>\n{items}</ul>\n</html>\n"
    )
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), Error> {
    for path in files(from)? {
        let target = to.join(path.file_name().unwrap_or_default());
        let is_code = path.ends_with("docs/generator");
        if path.is_dir() && !is_code {
            copy_folder(&path, &target)?;
        } else if path.is_file() {
            copy(&path, &target)?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let bytes = fs::read(from).map_err(|source| Error::Read { path: from.to_owned(), source })?;
    put(to, bytes)
}

fn put(to: &Path, bytes: impl AsRef<[u8]>) -> Result<(), Error> {
    let failed = |source| Error::Write { path: to.to_owned(), source };
    fs::create_dir_all(to.parent().unwrap_or(to)).map_err(failed)?;
    fs::write(to, bytes).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_listed_with_the_pages_that_mdbook_makes() {
        let files = ["config/a.yaml", "config/b.md", "config/c.md"].map(PathBuf::from);
        let page = listing("config", &files, &["config/b.md".to_owned()]);
        assert!(page.contains("<a href=\"a.yaml\">a.yaml</a>"), "{page}");
        assert!(page.contains("<a href=\"b.html\">b.md</a>"), "{page}");
        assert!(page.contains("<li>c.md</li>") && !page.contains("c.html"), "{page}");
    }

    #[test]
    fn the_links_of_the_summary_start_at_the_root() {
        let summary = "# Summary\n\n- [A](a.md)\n  - [B (c)](adr/b.md)\n- [D](../D.md)\n";
        assert_eq!(
            from_root(summary),
            "# Summary\n\n- [A](docs/a.md)\n  - [B (c)](docs/adr/b.md)\n- [D](D.md)\n"
        );
        assert_eq!(pages(summary), ["docs/a.md", "docs/adr/b.md", "D.md"]);
    }
}
