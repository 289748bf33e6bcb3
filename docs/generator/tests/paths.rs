//! Every path of this repository that a comment, a page or the Makefile names exists, and so does
//! every link's target.

mod sources;

use lsm_ready_docs::links::{beside, links};
use sources::{Tree, is_page, named_paths, without_code};

#[test]
fn every_path_named_in_comments_and_pages_exists() {
    let tree = Tree::read();
    let mut wrong = Vec::new();
    let mut checked = 0;
    for (file, text) in tree.texts() {
        for (line, path) in named_paths(file, text, tree.folders()) {
            checked += 1;
            if !tree.has(&path) {
                wrong.push(format!("{file}:{line}: there is no {path}"));
            }
        }
    }
    assert!(checked > 100, "only {checked} paths were found: is the search broken?");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn every_link_of_a_page_leads_to_a_file_and_a_heading() {
    let tree = Tree::read();
    let mut wrong = Vec::new();
    let mut checked = 0;
    for (file, text) in tree.texts().filter(|(file, _)| is_page(file)) {
        for target in links(&without_code(text)) {
            checked += 1;
            let (path, heading) = target.split_once('#').unwrap_or((&target, ""));
            let path = if path.is_empty() { file.to_owned() } else { beside(file, path) };
            if !tree.has(&path) || (!heading.is_empty() && !has_heading(&tree, &path, heading)) {
                wrong.push(format!("{file}: the link {target} leads nowhere"));
            }
        }
    }
    assert!(checked > 50, "only {checked} links were found: is the search broken?");
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// A heading's anchor is the heading in lower case, with hyphens for spaces and without
/// punctuation.
fn has_heading(tree: &Tree, path: &str, wanted: &str) -> bool {
    let page = tree.text(path).unwrap_or_default();
    let headings = page.lines().filter(|line| line.starts_with('#'));
    let mut anchors = headings.map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>()
    });
    anchors.any(|anchor| anchor == wanted)
}
