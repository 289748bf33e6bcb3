//! Which LSMs the boot parameters leave out, for kernels whose list of active LSMs cannot be read.
//!
//! In: the command line and the kernel's configuration. Out: a sentence about the list that leaves
//! an LSM out. The kernel follows the last `lsm=`. Without one it follows CONFIG_LSM and
//! `security=` (`ordered_lsm_parse` in security/security.c).

use super::{Built, Facts, lsm_list};

/// LSMs that are active only if a list names them. Other LSMs are always active (`capability`), or
/// are so in some versions or configurations (`ima`, `evm`, `lockdown`).
const ONLY_BY_NAME: [&str; 9] =
    ["apparmor", "bpf", "ipe", "landlock", "loadpin", "selinux", "smack", "tomoyo", "yama"];

impl Facts {
    /// Says which list leaves the LSM out. `None` if the list of active LSMs can be read, if no
    /// list leaves the LSM out, and for LSMs that can be active without being named.
    pub fn left_out_by(&self, name: &str) -> Option<String> {
        if self.lists_bpf().is_some() || !ONLY_BY_NAME.contains(&name) {
            return None;
        }
        let lacks = |list: &[String]| !list.iter().any(|listed| listed == name);
        if let Some(list) = &self.cmdline.lsm {
            let text = self.cmdline.lsm_text.as_deref().unwrap_or_default();
            return lacks(list).then(|| {
                format!("the kernel was booted with lsm={text}, which leaves {name} out")
            });
        }
        let config = self.kernel_config.as_ref()?;
        match config.get("CONFIG_LSM") {
            Built::Set(list)
                if self.cmdline.security.as_deref() != Some(name)
                    && lacks(&lsm_list::parse(&list)) =>
            {
                Some(format!(
                    "the kernel's default list CONFIG_LSM={list} leaves {name} out (by {})",
                    config.path
                ))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::kernel_config::tests::config;
    use crate::facts::{Cmdline, Raw, Unread, tests::raw};
    use crate::sys::Answer;

    #[test]
    fn the_boot_list_shows_which_lsms_are_left_out() {
        let default = "CONFIG_LSM=\"landlock,yama\"\n";
        for (cmdline, built, name, word) in [
            ("lsm=landlock,yama", "", "bpf", "booted with lsm=landlock,yama,"),
            ("lsm=", "", "bpf", "booted with lsm=,"),
            ("lsm=landlock,bpf", default, "bpf", ""),
            ("quiet", default, "bpf", "CONFIG_LSM=landlock,yama"),
            ("quiet", "CONFIG_LSM=\"landlock,bpf\"\n", "bpf", ""),
            ("quiet", "CONFIG_BPF_LSM=y\n", "bpf", ""),
            ("security=apparmor", default, "apparmor", ""),
            ("security=apparmor", default, "selinux", "CONFIG_LSM"),
            ("lsm=landlock", default, "capability", ""),
            ("lsm=landlock", default, "lockdown", ""),
            ("lsm=landlock", default, "misspelt", ""),
        ] {
            let facts = Facts {
                cmdline: Cmdline::parse(cmdline),
                kernel_config: config(built),
                ..Facts::default()
            };
            let text = facts.left_out_by(name).unwrap_or_default();
            assert!(
                text.contains(word) && text.is_empty() == word.is_empty(),
                "{cmdline} {built} {name}: {text}"
            );
        }
    }

    #[test]
    fn the_list_of_active_lsms_decides_if_it_can_be_read() {
        let without = "capability,yama,bpf".to_owned();
        let cmdline = Ok("lsm=yama".to_owned());
        let read =
            Raw { lsm_ids: Err(Answer(libc::ENOSYS)), lsm_file: Ok(without), cmdline, ..raw() };
        assert_eq!(Facts::of(&read).left_out_by("bpf"), None);
        let unread =
            Raw { lsm_file: Err(Unread { missing: true, message: String::new() }), ..read };
        assert!(Facts::of(&unread).left_out_by("bpf").is_some());
    }
}
