//! The links of Markdown pages.

/// Targets of the links that stay in this repository, in the order of the text.
pub fn links(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    let targets = targets.map(|(target, _)| target.trim());
    targets.filter(|target| !target.contains("://")).map(str::to_owned).collect()
}

/// The target of a relative link, from the root of the repository.
pub fn beside(file: &str, link: &str) -> String {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in link.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_links_are_followed_from_their_page() {
        assert_eq!(beside("docs/a.md", "../config/rbac"), "config/rbac");
        assert_eq!(beside("docs/adr/1.md", "2.md"), "docs/adr/2.md");
        assert_eq!(beside("README.md", "docs/"), "docs");
    }

    #[test]
    fn links_to_other_sites_are_left_out() {
        assert_eq!(links("[a](b.md#c) and [d](https://e.f/g), [h]( i )"), ["b.md#c", "i"]);
    }
}
