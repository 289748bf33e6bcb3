//! The lockdown level. In: the text of `/sys/kernel/security/lockdown`. Out: the level in brackets.

/// `none`, `integrity` or `confidentiality`; `None` where no level is marked.
#[must_use]
pub fn level(text: &str) -> Option<String> {
    let (_, behind) = text.split_once('[')?;
    let (level, _) = behind.split_once(']')?;
    let plausible = !level.is_empty() && level.len() <= 32 && level.bytes().all(|byte| byte.is_ascii_lowercase());
    plausible.then(|| level.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::facts::tests::bytes_with;

    #[test]
    fn the_level_in_brackets_counts() {
        for (text, expected) in [
            ("[none] integrity confidentiality\n", Some("none")),
            ("none integrity [confidentiality]\n", Some("confidentiality")),
            ("none", None),
            ("[]", None),
            ("][", None),
            ("", None),
        ] {
            assert_eq!(level(text).as_deref(), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(text in bytes_with(&["[", "]", "none", "confidentiality", "\n"])) {
            let level = level(&text);
            prop_assert!(level.is_none_or(|level| text.contains(&level)));
        }
    }
}
