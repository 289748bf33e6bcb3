//! The kernel's command line: what it says about LSMs and how the machine was booted.
//!
//! In: the text of `/proc/cmdline`. Out: the `lsm=` list that the kernel follows, and signs of the
//! boot loader.

use super::lsm_list;

/// What the command line says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cmdline {
    /// The list of the last `lsm=`, the one that the kernel follows. `None` if there is no `lsm=`.
    pub lsm: Option<Vec<String>>,
    /// The value of that `lsm=` as it is written.
    pub lsm_text: Option<String>,
    /// The value of the last `security=`, one of the major LSMs. The kernel ignores it if there is
    /// an `lsm=`.
    pub security: Option<String>,
    /// The LSMs that `apparmor=0` or `selinux=0` switches off.
    pub switched_off: Vec<String>,
    /// Whether `lockdown=confidentiality` is on the command line.
    pub lockdown_confidentiality: bool,
    /// The value of `BOOT_IMAGE=`, which GRUB and syslinux set.
    pub boot_image: Option<String>,
    /// The words for the kernel, without quotes. Boot loaders and images leave signs there.
    pub words: Vec<String>,
}

impl Cmdline {
    pub fn parse(text: &str) -> Self {
        let mut words = words(text);
        // The words after `--` are for init, not for the kernel.
        words.truncate(words.iter().position(|word| word == "--").unwrap_or(words.len()));
        let mut cmdline = Self::default();
        for word in &words {
            match word.split_once('=') {
                Some(("lsm", list)) => {
                    cmdline.lsm = Some(lsm_list::parse(list));
                    cmdline.lsm_text = Some(list.to_owned());
                }
                Some(("security", name)) => cmdline.security = Some(name.to_owned()),
                Some((name @ ("apparmor" | "selinux"), value)) => {
                    cmdline.switched_off.retain(|other| other != name);
                    cmdline.switched_off.extend((value == "0").then(|| name.to_owned()));
                }
                Some(("lockdown", "confidentiality")) => cmdline.lockdown_confidentiality = true,
                Some(("BOOT_IMAGE", image)) => cmdline.boot_image = Some(image.to_owned()),
                _ => {}
            }
        }
        Self { words, ..cmdline }
    }

    /// Whether the word is on the command line.
    pub fn has(&self, wanted: &str) -> bool {
        self.words.iter().any(|word| word == wanted)
    }

    /// Whether a word on the command line begins with the prefix.
    pub fn has_prefix(&self, prefix: &str) -> bool {
        self.words.iter().any(|word| word.starts_with(prefix))
    }

    /// The value of the last parameter of that name.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.words.iter().rev().find_map(|word| word.strip_prefix(name)?.strip_prefix('='))
    }
}

/// The words of a command line. Quotes hold blanks together and are removed, as in `next_arg()` in
/// lib/cmdline.c.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for letter in text.chars() {
        match letter {
            '"' => quoted = !quoted,
            blank if blank.is_whitespace() && !quoted => words.push(String::new()),
            other => words.last_mut().into_iter().for_each(|word| word.push(other)),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::facts::tests::bytes_with;

    fn list(text: &str) -> Option<String> {
        Cmdline::parse(text).lsm.map(|list| list.join(","))
    }

    #[test]
    fn the_last_lsm_parameter_counts() {
        assert_eq!(list("quiet lsm=a,b lsm=c,bpf\n"), Some("c,bpf".to_owned()));
        assert_eq!(list("\"lsm=a,b\" quiet"), Some("a,b".to_owned()));
        assert_eq!(list("lsm=\"a,b\""), Some("a,b".to_owned()));
        assert_eq!(list("lsm="), Some(String::new()));
        assert_eq!(list("quiet lsm.debug xlsm=a -- lsm=bpf"), None);
    }

    #[test]
    fn other_parameters_about_lsms_are_read() {
        let cmdline = Cmdline::parse(
            "security=selinux security=apparmor lockdown=integrity lockdown=confidentiality",
        );
        assert_eq!(cmdline.security.as_deref(), Some("apparmor"));
        assert!(cmdline.lockdown_confidentiality);
        assert_eq!(Cmdline::parse("apparmor=0 selinux=0 selinux=1").switched_off, ["apparmor"]);
        assert!(
            !Cmdline::parse("lockdown=integrity -- lockdown=confidentiality")
                .lockdown_confidentiality
        );
        assert_eq!(Cmdline::parse("lsm=\"a, b\" ro").lsm_text.as_deref(), Some("a, b"));
    }

    #[test]
    fn signs_of_the_boot_loader_are_read() {
        assert_eq!(
            Cmdline::parse("BOOT_IMAGE=/vmlinuz ro").boot_image.as_deref(),
            Some("/vmlinuz")
        );
        let cmdline =
            Cmdline::parse("ro console=a console=b initrd=\\EFI\\i.img ostree=/x -- after");
        assert_eq!(
            (cmdline.value("console"), cmdline.value("initrd")),
            (Some("b"), Some("\\EFI\\i.img"))
        );
        assert!(cmdline.has("ro") && cmdline.has_prefix("ostree=") && !cmdline.has("after"));
    }

    proptest! {
        #[test]
        fn the_last_lsm_parameter_is_found_behind_any_text(before in "[ \
            -~]{0,40}", name in "[a-z]{1,8}") {
            prop_assume!(!before.contains('"') && !before.contains("--"));
            prop_assert_eq!(list(&format!("{before} lsm={name}")), Some(name));
        }

        #[test]
        fn no_bytes_make_it_panic(
            text in bytes_with(&[
                "lsm=", "security=", "initrd=\\", "\"", " ", "--", ",", "=", "vc_mem.",
            ])
        ) {
            let list = Cmdline::parse(&text).lsm.unwrap_or_default();
            prop_assert!(list.iter().all(|name| !name.is_empty()));
        }
    }
}
