//! Absolute paths as text, compared as the kernel would without symbolic links.

/// The path without doubled or trailing slashes, `.` and `..`; a relative one is taken from the root.
#[must_use]
pub fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

/// What is left of `path` below `above`: empty for the same path, with a leading slash else, nothing where it is not
/// below. Both normal.
#[must_use]
pub fn below<'a>(path: &'a str, above: &str) -> Option<&'a str> {
    if path == above {
        return Some("");
    }
    let rest = path.strip_prefix(above.trim_end_matches('/'))?;
    rest.starts_with('/').then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_normal() {
        for (path, expected) in [
            ("/sys/kernel/security/", "/sys/kernel/security"),
            ("//sys/./kernel//security", "/sys/kernel/security"),
            ("/sys/fs/../kernel/security", "/sys/kernel/security"),
            ("/../..", "/"),
            ("sys", "/sys"),
            ("", "/"),
        ] {
            assert_eq!(normal(path), expected, "{path}");
        }
    }

    #[test]
    fn below_goes_by_whole_names() {
        assert_eq!(below("/sys/kernel/security", "/sys"), Some("/kernel/security"));
        assert_eq!(below("/sys/kernel/security", "/"), Some("/sys/kernel/security"));
        assert_eq!(below("/sys", "/sys"), Some(""));
        assert_eq!(below("/", "/"), Some(""));
        assert_eq!(below("/sys/kernel/security", "/sys/kernel/sec"), None);
        assert_eq!(below("/sys", "/sys/kernel"), None);
    }
}
