//! The kernel's command line: what it says about LSMs and how the machine was booted.
//!
//! In: the text of `/proc/cmdline`. Out: the `lsm=` list in force and hints at the boot loader.

use super::lsm_list;

/// What the command line says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cmdline {
    /// The list of the last `lsm=`, which is the one that the kernel follows. `None` without one.
    pub lsm: Option<Vec<String>>,
    /// The value of `BOOT_IMAGE=`, which GRUB and syslinux set.
    pub boot_image: Option<String>,
    /// An `initrd=` with a backslash in it, as systemd-boot and other EFI stubs pass it.
    pub efi_initrd: bool,
}

impl Cmdline {
    /// Reads a command line.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut cmdline = Self::default();
        for word in words(text) {
            match word.split_once('=') {
                Some(("lsm", list)) => cmdline.lsm = Some(lsm_list::parse(list)),
                Some(("BOOT_IMAGE", image)) => cmdline.boot_image = Some(image.to_owned()),
                Some(("initrd", path)) if path.contains('\\') => cmdline.efi_initrd = true,
                // What follows is for init, not for the kernel.
                None if word == "--" => break,
                _ => {}
            }
        }
        cmdline
    }
}

/// The words of a command line. Quotes hold blanks together and are taken off, as `next_arg()` in lib/cmdline.c does.
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
    fn boot_loaders_leave_their_marks() {
        assert_eq!(Cmdline::parse("BOOT_IMAGE=/vmlinuz ro").boot_image.as_deref(), Some("/vmlinuz"));
        assert!(Cmdline::parse("initrd=\\EFI\\initrd.img ro").efi_initrd);
        assert!(!Cmdline::parse("initrd=/initrd.img ro").efi_initrd);
    }

    proptest! {
        #[test]
        fn what_is_written_last_is_found(before in "[ -~]{0,40}", name in "[a-z]{1,8}") {
            prop_assume!(!before.contains('"') && !before.contains("--"));
            prop_assert_eq!(list(&format!("{before} lsm={name}")), Some(name));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC*") {
            let list = Cmdline::parse(&text).lsm.unwrap_or_default();
            prop_assert!(list.iter().all(|name| !name.is_empty()));
        }
    }
}
