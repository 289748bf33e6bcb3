//! The table of contents names every page, so that the site has all of them.
#![allow(clippy::unwrap_used, reason = "what cannot be read fails the test")]

mod sources;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use lsm_ready_docs::links::{beside, links};
use lsm_ready_docs::site::{self, SUMMARY};
use sources::{Tree, is_page, without_code};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The pages of the table of contents.
fn named() -> Vec<String> {
    site::pages(&site::contents(&root()).unwrap())
}

/// Pages for people who work on the code. The site does not have them.
fn is_left_out(page: &str) -> bool {
    page == SUMMARY || page.starts_with("docs/notes/")
}

#[test]
fn every_page_is_in_the_table_of_contents_once() {
    let tree = Tree::read();
    let named = named();
    let once: BTreeSet<&str> = named.iter().map(String::as_str).collect();
    assert_eq!(once.len(), named.len(), "a page is named twice: {named:#?}");
    let pages = tree.texts().map(|(file, _)| file);
    let pages =
        pages.filter(|file| is_page(file) && file.starts_with("docs/") && !is_left_out(file));
    let missing: Vec<&str> = pages.filter(|page| !once.contains(page)).collect();
    assert!(missing.is_empty(), "add these to {SUMMARY}: {missing:#?}");
}

/// A link to another page would lead nowhere in the site.
#[test]
fn every_page_that_a_page_links_to_is_in_the_table_of_contents() {
    let tree = Tree::read();
    let named = named();
    let mut missing = BTreeSet::new();
    for page in &named {
        for link in links(&without_code(tree.text(page).unwrap_or_default())) {
            let target = link.split('#').next().unwrap_or_default();
            let target = beside(page, target);
            if is_page(&target) && !named.contains(&target) {
                missing.insert(format!("{page} links to {target}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn the_sources_of_the_site_have_each_page_and_each_file_that_pages_link_to() {
    let root = root();
    let folder = tempfile::tempdir().unwrap();
    let to = folder.path().join("site");
    site::write(&root, &to).unwrap();
    // Written anew: nothing of an earlier time stays.
    std::fs::write(to.join("docs/old.md"), "old").unwrap();
    site::write(&root, &to).unwrap();
    assert!(!to.join("docs/old.md").exists());
    let tree = Tree::read();
    let mut missing = BTreeSet::new();
    for page in named() {
        for link in links(&without_code(tree.text(&page).unwrap_or_default())) {
            let target = beside(&page, link.split('#').next().unwrap_or_default());
            if !link.starts_with('#') && !to.join(&target).exists() {
                missing.insert(format!("{page} links to {target}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(to.join("book.toml").is_file() && to.join("SUMMARY.md").is_file());
}
