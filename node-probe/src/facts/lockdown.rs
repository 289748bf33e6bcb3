//! The lockdown level. In: the text of `/sys/kernel/security/lockdown`. Out: the level in brackets,
//! and whether it forbids programs to read kernel memory.

use lsm_ready_crds::node::LsmSource;

use super::Facts;

const CONFIDENTIALITY: &str = "confidentiality";

impl Facts {
    /// Whether the level `confidentiality` is in effect, which forbids `bpf_probe_read_kernel` to
    /// every program. If the level cannot be read, the boot parameter counts. The level has no
    /// effect if the LSM `lockdown` is not active.
    pub fn is_confidential(&self) -> bool {
        let is_active = self.lsms.active.iter().any(|name| name == "lockdown");
        match self.lockdown.as_deref() {
            Some(level) => {
                level == CONFIDENTIALITY && (is_active || self.lsms.source == LsmSource::Unknown)
            }
            None => self.cmdline.lockdown_confidentiality && is_active,
        }
    }
}

/// `none`, `integrity` or `confidentiality`. `None` if no level is in brackets.
pub fn level(text: &str) -> Option<String> {
    let (_, behind) = text.split_once('[')?;
    let (level, _) = behind.split_once(']')?;
    let plausible = !level.is_empty()
        && level.len() <= 32
        && level.bytes().all(|byte| byte.is_ascii_lowercase());
    plausible.then(|| level.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::facts::tests::{bytes_with, raw};
    use crate::facts::{Raw, Unread};

    #[test]
    fn the_level_is_the_word_in_brackets() {
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

    #[test]
    fn the_level_forbids_reads_only_if_lockdown_is_active() {
        let level = |level: &str| Ok(format!("none integrity [{level}]\n"));
        let unread = || Err(Unread { missing: true, message: String::new() });
        let (quiet, parameter) = ("quiet", "lockdown=confidentiality");
        let (with, without) = (vec![108, 109], vec![109]);
        for (lockdown, cmdline, lsm_ids, expected) in [
            (level("confidentiality"), quiet, Ok(with.clone()), true),
            (level("integrity"), parameter, Ok(with.clone()), false),
            (level("confidentiality"), parameter, Ok(without.clone()), false),
            (unread(), parameter, Ok(with.clone()), true),
            (unread(), quiet, Ok(with), false),
            (unread(), parameter, Ok(without), false),
        ] {
            let facts =
                Facts::of(&Raw { lockdown, cmdline: Ok(cmdline.to_owned()), lsm_ids, ..raw() });
            assert_eq!(
                facts.is_confidential(),
                expected,
                "{cmdline} {:?} {:?}",
                facts.lockdown,
                facts.lsms
            );
        }
        let list_unread = Raw {
            lockdown: level("confidentiality"),
            lsm_ids: Ok(vec![]),
            lsm_file: unread(),
            ..raw()
        };
        assert!(Facts::of(&list_unread).is_confidential());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            text in bytes_with(&["[", "]", "none", "confidentiality", "\n"])
        ) {
            let level = level(&text);
            prop_assert!(level.is_none_or(|level| text.contains(&level)));
        }
    }
}
