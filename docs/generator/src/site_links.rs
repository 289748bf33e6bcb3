//! The links of the built site: each leads to a file, and to an anchor in it.
//!
//! In: the folder that mdBook has written. Out: the links that lead nowhere. mdBook checks none, and
//! makes anchors of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::links::beside;
use crate::{Error, files, read};

/// What is read of a file of the site. Only pages have any of it.
#[derive(Debug, Default)]
struct Html {
    links: Vec<String>,
    anchors: BTreeSet<String>,
}

/// All files of the site, by their paths in it.
type Site = BTreeMap<String, Html>;

/// Fails if a link leads nowhere.
pub fn check(folder: &Path) -> Result<(), Error> {
    let mut site = Site::new();
    add(&mut site, folder, "")?;
    let broken = broken(&site);
    if broken.is_empty() { Ok(()) } else { Err(Error::Links(broken)) }
}

fn add(site: &mut Site, folder: &Path, prefix: &str) -> Result<(), Error> {
    for path in files(folder)? {
        let name = format!("{prefix}{}", path.file_name().unwrap_or_default().to_string_lossy());
        if path.is_dir() {
            add(site, &path, &format!("{name}/"))?;
        } else if path.extension().is_some_and(|found| found == "html") {
            site.insert(name, parse(&read(&path)?));
        } else {
            site.insert(name, Html::default());
        }
    }
    Ok(())
}

fn broken(site: &Site) -> Vec<String> {
    let links =
        site.iter().flat_map(|(page, html)| html.links.iter().map(move |link| (page, link)));
    let broken = links.filter(|(page, link)| !leads_somewhere(site, page, link));
    broken.map(|(page, link)| format!("{page}: {link}")).collect()
}

/// Whether a link is there. A link to a folder needs a page in it.
fn leads_somewhere(site: &Site, page: &str, link: &str) -> bool {
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let path = if path.is_empty() { page.to_owned() } else { beside(page, path) };
    let index = format!("{path}/index.html");
    let target = site.get(&path).or_else(|| site.get(index.trim_start_matches('/')));
    target.is_some_and(|html| anchor.is_empty() || html.anchors.contains(anchor))
}

/// The links that stay in the site, and the anchors, of a page as mdBook writes it.
fn parse(text: &str) -> Html {
    let tags = text.split('<').skip(1).filter_map(|rest| rest.split('>').next());
    let mut html = Html::default();
    for (name, value) in tags.flat_map(attributes) {
        match name {
            "id" => drop(html.anchors.insert(value.to_owned())),
            "href" | "src" if !has_scheme(value) => html.links.push(value.to_owned()),
            _ => {}
        }
    }
    html
}

/// Name and value of each attribute of a tag.
fn attributes(tag: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut parts = tag.split('"');
    std::iter::from_fn(move || {
        let name = parts.next()?.trim_end_matches('=').split_whitespace().next_back()?;
        Some((name, parts.next()?))
    })
}

/// Whether it is a link such as `https://example.com` or `mailto:a@example.com`.
fn has_scheme(link: &str) -> bool {
    link.split('/').next().is_some_and(|first| first.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(pages: &[(&str, &str)]) -> Site {
        pages.iter().map(|(name, text)| ((*name).to_owned(), parse(text))).collect()
    }

    #[test]
    fn a_link_leads_to_a_file_an_anchor_or_a_folder_with_a_page() {
        let page = r##"<h1 id="top">a &quot;b&quot;</h1> <a class="x" href="b.html#there">b</a>
            <a href="#top">t</a> <a href="../c">c</a> <img src="../d.png">
            <a href="https://example.com/gone">e</a> <code>href="no"</code>"##;
        let b = ("docs/b.html", r#"<h2 id="there">"#);
        let (c, d) = (("c/index.html", ""), ("d.png", ""));
        assert_eq!(broken(&site(&[("docs/a.html", page), b, c, d])), [""; 0]);
        let gone = ["docs/a.html: b.html#there", "docs/a.html: ../c", "docs/a.html: ../d.png"];
        assert_eq!(broken(&site(&[("docs/a.html", page), ("docs/b.html", "")])), gone);
    }
}
