//! Absolute paths as text, compared as the kernel does if there are no symbolic links.

/// The path without duplicate or trailing slashes, `.` and `..`. A relative path starts at the
/// root.
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

/// The rest of `path` below `above`: empty for the same path, else with a leading slash. `None` if
/// `path` is not below. Both paths are normal.
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
    fn paths_are_normalised() {
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
    fn below_compares_whole_names() {
        assert_eq!(below("/sys/kernel/security", "/sys"), Some("/kernel/security"));
        assert_eq!(below("/sys/kernel/security", "/"), Some("/sys/kernel/security"));
        assert_eq!(below("/sys", "/sys"), Some(""));
        assert_eq!(below("/", "/"), Some(""));
        assert_eq!(below("/sys/kernel/security", "/sys/kernel/sec"), None);
        assert_eq!(below("/sys", "/sys/kernel"), None);
    }
}
