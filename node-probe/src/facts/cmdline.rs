//! The kernel's command line: what it says about LSMs and how the machine was booted.
//!
//! In: the text of `/proc/cmdline`. Out: the `lsm=` list in force and hints at the boot loader.

use super::lsm_list;

/// What the command line says.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Cmdline {
    /// The list of the last `lsm=`, which is the one that the kernel follows. `None` without one.
    pub lsm: Option<Vec<String>>,
    /// That `lsm=` as it is written.
    pub lsm_text: Option<String>,
    /// The value of the last `security=`: one of the large LSMs, which the kernel heeds only where there is no `lsm=`.
    pub security: Option<String>,
    /// The LSMs that `apparmor=0` or `selinux=0` switches off.
    pub switched_off: Vec<String>,
    /// `lockdown=confidentiality` is on it.
    pub lockdown_confidentiality: bool,
    /// The value of `BOOT_IMAGE=`, which GRUB and syslinux set.
    pub boot_image: Option<String>,
    /// An `initrd=` with a backslash in it, as systemd-boot and other EFI stubs pass it.
    pub efi_initrd: bool,
    /// The root is a deployment of OSTree (`ostree=`), whose parameters rpm-ostree edits.
    pub ostree: bool,
    /// Who wrote it, where that shows.
    pub written_by: Option<Writer>,
}

/// Who leaves a mark on the command line.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Writer {
    /// The firmware of a Raspberry Pi: it adds `vc_mem.…`.
    RaspberryPi,
    /// Who starts a micro-VM: reboot=k panic=1, and pci=off or nomodule.
    MicroVm,
}

impl Cmdline {
    /// Reads a command line.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut cmdline = Self::default();
        let words = words(text);
        let has = |wanted: &str| words.iter().any(|word| word == wanted);
        if has("reboot=k") && has("panic=1") && (has("pci=off") || has("nomodule")) {
            cmdline.written_by = Some(Writer::MicroVm);
        }
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
                Some(("initrd", path)) if path.contains('\\') => cmdline.efi_initrd = true,
                Some(("ostree", _)) => cmdline.ostree = true,
                Some((name, _)) if name.starts_with("vc_mem.") => cmdline.written_by = Some(Writer::RaspberryPi),
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
    fn other_parameters_of_lsms_are_found() {
        let cmdline = Cmdline::parse("security=selinux security=apparmor lockdown=integrity lockdown=confidentiality");
        assert_eq!(cmdline.security.as_deref(), Some("apparmor"));
        assert!(cmdline.lockdown_confidentiality);
        assert_eq!(Cmdline::parse("apparmor=0 selinux=0 selinux=1").switched_off, ["apparmor"]);
        assert!(!Cmdline::parse("lockdown=integrity -- lockdown=confidentiality").lockdown_confidentiality);
        assert_eq!(Cmdline::parse("lsm=\"a, b\" ro").lsm_text.as_deref(), Some("a, b"));
    }

    #[test]
    fn boot_loaders_leave_their_marks() {
        assert_eq!(Cmdline::parse("BOOT_IMAGE=/vmlinuz ro").boot_image.as_deref(), Some("/vmlinuz"));
        assert!(Cmdline::parse("initrd=\\EFI\\initrd.img ro").efi_initrd);
        assert!(!Cmdline::parse("initrd=/initrd.img ro").efi_initrd);
        assert!(Cmdline::parse("BOOT_IMAGE=(hd0,gpt3)/ostree/x/vmlinuz ostree=/ostree/boot.1/x/0").ostree);
        for (text, writer) in [
            ("coherent_pool=1M vc_mem.mem_base=0x3ec00000 ro", Some(Writer::RaspberryPi)),
            ("reboot=k panic=1 pci=off ro", Some(Writer::MicroVm)),
            ("panic=1 pci=off ro", None),
        ] {
            assert_eq!(Cmdline::parse(text).written_by, writer, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_last_is_found(before in "[ -~]{0,40}", name in "[a-z]{1,8}") {
            prop_assume!(!before.contains('"') && !before.contains("--"));
            prop_assert_eq!(list(&format!("{before} lsm={name}")), Some(name));
        }

        #[test]
        fn no_bytes_make_it_panic(text in bytes_with(&["lsm=", "security=", "initrd=\\", "\"", " ", "--", ",", "=", "vc_mem."])) {
            let list = Cmdline::parse(&text).lsm.unwrap_or_default();
            prop_assert!(list.iter().all(|name| !name.is_empty()));
        }
    }
}
