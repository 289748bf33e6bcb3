//! The files of this repository, and the paths that their prose names.

#![allow(clippy::unwrap_used, reason = "a file that cannot be read fails the test")]
#![allow(dead_code, reason = "each test uses a part")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Folders that hold no source: what is built, and git's own.
const SKIPPED: [&str; 2] = ["target", ".git"];

/// All files and folders, by their path from the root; of text files also the content.
pub struct Tree {
    paths: BTreeSet<String>,
    texts: BTreeMap<String, String>,
    folders: Vec<String>,
}

impl Tree {
    pub fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let (paths, texts) = (BTreeSet::new(), BTreeMap::new());
        let mut tree = Self { paths, texts, folders: Vec::new() };
        tree.walk(&root, "");
        let is_top = |path: &&String| !path.contains('/') && root.join(path).is_dir();
        tree.folders = tree.paths.iter().filter(is_top).map(|path| format!("{path}/")).collect();
        tree
    }

    fn walk(&mut self, folder: &Path, prefix: &str) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            let path = format!("{prefix}{name}");
            if entry.file_type().unwrap().is_dir() {
                if !SKIPPED.contains(&name.as_str()) {
                    self.walk(&entry.path(), &format!("{path}/"));
                    self.paths.insert(path);
                }
                continue;
            }
            if has_prose(&path) {
                self.texts.insert(path.clone(), fs::read_to_string(entry.path()).unwrap());
            }
            self.paths.insert(path);
        }
    }

    /// The top-level folders, each with a slash behind it.
    pub fn folders(&self) -> &[String] {
        &self.folders
    }

    pub fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.texts.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    pub fn text(&self, path: &str) -> Option<&str> {
        self.texts.get(path).map(String::as_str)
    }

    /// Whether there is such a file or folder. A `*` stands for any characters but a slash, and the
    /// number of an ADR for its file.
    pub fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let number = path.strip_prefix("docs/adr/").filter(|number| number.len() == 4);
        let pattern =
            number.map_or_else(|| path.to_owned(), |number| format!("docs/adr/{number}-*"));
        if pattern.contains('*') {
            self.paths.iter().any(|path| matches(&pattern, path))
        } else {
            self.paths.contains(&pattern)
        }
    }
}

/// Whether a path fits a pattern with `*`.
fn matches(pattern: &str, path: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == path,
        Some((before, after)) => path.strip_prefix(before).is_some_and(|rest| {
            let end = rest.find('/').unwrap_or(rest.len());
            (0..=end).any(|at| rest.is_char_boundary(at) && matches(after, &rest[at..]))
        }),
    }
}

pub fn is_page(file: &str) -> bool {
    has_extension(file, &["md"])
}

fn has_prose(file: &str) -> bool {
    is_page(file)
        || file == "Makefile"
        || has_extension(file, &["rs", "sh", "yaml", "toml", "go", "c", "h"])
}

fn has_extension(file: &str, extensions: &[&str]) -> bool {
    Path::new(file)
        .extension()
        .and_then(|found| found.to_str())
        .is_some_and(|found| extensions.contains(&found))
}

/// The paths that a file's prose names, each with its line: all text of a page and of the Makefile,
/// else the comments.
pub fn named_paths(file: &str, text: &str, folders: &[String]) -> Vec<(usize, String)> {
    let is_all_prose = is_page(file) || file == "Makefile";
    let mark = if has_extension(file, &["sh", "yaml", "toml"]) { "#" } else { "//" };
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let prose = if is_all_prose { line } else { comment(line, mark) };
        for path in paths_in(prose, folders) {
            found.extend(expanded(path).into_iter().map(|path| (index + 1, path)));
        }
    }
    found
}

/// The comment of a line; empty where it has none.
fn comment<'a>(line: &'a str, mark: &str) -> &'a str {
    if line.trim_start().starts_with(mark) {
        return line;
    }
    let behind_code = format!(" {mark} ");
    line.find(&behind_code).map_or("", |at| &line[at..])
}

/// Words that begin with a top-level folder.
fn paths_in<'a>(prose: &'a str, folders: &[String]) -> Vec<&'a str> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "_-./*{}".contains(c);
    let mut found = Vec::new();
    for (at, folder) in folders.iter().flat_map(|folder| prose.match_indices(folder.as_str())) {
        let is_inside =
            prose[..at].chars().next_back().is_some_and(|c| is_part(c) || c == '$' || c == '@');
        let end = prose[at..].find(|c| !is_part(c) && !is_in_braces(&prose[at..], c));
        let word = &prose[at..end.map_or(prose.len(), |end| at + end)];
        let word = word.trim_end_matches(['.', '-']);
        // A variable or an ellipsis behind the word: it names no single path.
        let is_open = end.is_some_and(|end| prose[at + end..].starts_with(['$', '<', '…']));
        if !is_inside && !is_open && word.len() > folder.len() {
            found.push(word);
        }
    }
    found
}

/// A comma belongs to a path only between braces: `src/{main,lib}.rs`.
fn is_in_braces(text: &str, c: char) -> bool {
    c == ',' && text.split_whitespace().next().is_some_and(|word| word.contains('{'))
}

/// `a/{b,c}.rs` is two paths.
fn expanded(path: &str) -> Vec<String> {
    let parts =
        path.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)));
    match parts {
        None => vec![path.to_owned()],
        Some((before, (names, after))) => {
            names.split(',').map(|name| format!("{before}{name}{after}")).collect()
        }
    }
}

/// The page without its fenced blocks of code.
pub fn without_code(page: &str) -> String {
    page.split("```").step_by(2).collect()
}

#[test]
fn paths_are_found_in_prose_and_nowhere_else() {
    let folders = ["pages/".to_owned(), "src/".to_owned()];
    for (line, expected) in [
        ("// See pages/code.md.", vec!["pages/code.md"]),
        ("let x = 1; // pages/a.md, src/b.rs", vec!["pages/a.md", "src/b.rs"]),
        ("// src/a/{b,c}.rs", vec!["src/a/b.rs", "src/a/c.rs"]),
        ("let path = \"pages/none.md\";", vec![]),
        ("// https://example.com/pages/page", vec![]),
        ("// the folder pages/ and more", vec![]),
    ] {
        let found = named_paths("a.rs", line, &folders);
        assert_eq!(found.into_iter().map(|(_, path)| path).collect::<Vec<_>>(), expected, "{line}");
    }
    assert!(matches("pages/adr/0001-*", "pages/adr/0001-evidence.md"));
    assert!(!matches("pages/*.md", "pages/adr/0001.md"));
}
