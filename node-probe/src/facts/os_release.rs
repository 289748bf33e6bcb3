//! The operating system. In: the text of `/etc/os-release`, or the name that Kubernetes reports for
//! a node. Out: the few fields that choose the fix
//! (<https://www.freedesktop.org/software/systemd/man/os-release.html>).

/// The operating system.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct OsRelease {
    /// `ID`, in lower case.
    pub id: String,
    /// `ID_LIKE`, in lower case.
    pub id_like: Vec<String>,
    /// `VARIANT_ID`, in lower case.
    pub variant_id: String,
    /// `PRETTY_NAME`.
    pub pretty_name: String,
}

/// What Kubernetes knows about a node and its system.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct NodeInfo {
    /// `status.nodeInfo.osImage`.
    pub os_image: String,
    /// `spec.providerID`.
    pub provider_id: String,
}

/// Words of a pretty name and the `ID` of that system, the more specific first.
const PRETTY_NAMES: [(&str, &str); 68] = [
    ("EKS Auto", "bottlerocket"),
    ("Container-Optimized OS", "cos"),
    ("Bottlerocket", "bottlerocket"),
    ("Talos", "talos"),
    ("Flatcar", "flatcar"),
    ("Container Linux by CoreOS", "coreos"),
    ("Fedora CoreOS", "fedora-coreos"),
    ("Red Hat Enterprise Linux CoreOS", "rhcos"),
    ("CentOS Stream CoreOS", "scos"),
    ("Ubuntu Core", "ubuntu-core"),
    ("RancherOS", "rancheros"),
    ("BurmillaOS", "burmilla"),
    ("k3OS", "k3os"),
    ("Buildroot", "buildroot"),
    ("NixOS", "nixos"),
    ("Guix", "guix"),
    ("Alpine", "alpine"),
    ("Arch Linux", "arch"),
    ("Manjaro", "manjaro"),
    ("EndeavourOS", "endeavouros"),
    ("CachyOS", "cachyos"),
    ("Gentoo", "gentoo"),
    ("Void", "void"),
    ("Pop!_OS", "pop"),
    ("Linux Mint", "linuxmint"),
    ("Zorin", "zorin"),
    ("elementary OS", "elementary"),
    ("KDE neon", "neon"),
    ("Kali", "kali"),
    ("Devuan", "devuan"),
    ("Parrot", "parrot"),
    ("PureOS", "pureos"),
    ("Ubuntu", "ubuntu"),
    ("Raspbian", "raspbian"),
    ("Debian", "debian"),
    ("Armbian", "debian"),
    ("Amazon Linux", "amzn"),
    ("Alibaba Cloud Linux", "alinux"),
    ("Anolis", "anolis"),
    ("TencentOS", "tencentos"),
    ("Tencent tlinux", "tlinux"),
    ("OpenCloudOS", "opencloudos"),
    ("openEuler", "openeuler"),
    ("Huawei Cloud EulerOS", "hce"),
    ("EulerOS", "euleros"),
    ("Kylin", "kylin"),
    ("Red Hat", "rhel"),
    ("Rocky", "rocky"),
    ("AlmaLinux", "almalinux"),
    ("Fedora", "fedora"),
    ("CentOS", "centos"),
    ("Oracle Linux", "ol"),
    ("CloudLinux", "cloudlinux"),
    ("EuroLinux", "eurolinux"),
    ("Scientific Linux", "scientific"),
    ("MIRACLE LINUX", "miraclelinux"),
    ("Azure Linux", "azurelinux"),
    ("CBL-Mariner", "mariner"),
    ("Photon", "photon"),
    ("SUSE Linux Enterprise Micro", "sle-micro"),
    ("SLE Micro", "sle-micro"),
    ("SL Micro", "sl-micro"),
    ("SUSE Linux Micro", "sl-micro"),
    ("openSUSE MicroOS", "opensuse-microos"),
    ("openSUSE Leap Micro", "opensuse-leap-micro"),
    ("MicroOS", "opensuse-microos"),
    ("openSUSE", "opensuse"),
    ("SUSE", "sles"),
];

impl OsRelease {
    /// Parses an os-release file. Unknown and malformed lines are ignored, as the format demands.
    pub fn parse(text: &str) -> Self {
        let mut os = Self::default();
        for line in text.lines() {
            let Some((key, value)) = line.trim().split_once('=') else {
                continue;
            };
            let value = unquote(value.trim());
            match key {
                "ID" => os.id = value.to_ascii_lowercase(),
                "ID_LIKE" => {
                    os.id_like =
                        value.to_ascii_lowercase().split_whitespace().map(str::to_owned).collect();
                }
                "VARIANT_ID" => os.variant_id = value.to_ascii_lowercase(),
                "PRETTY_NAME" => os.pretty_name = value,
                _ => {}
            }
        }
        // Some records have only the name that Kubernetes reports.
        if os.id.is_empty() { Self { id: id_of(&os.pretty_name), ..os } } else { os }
    }

    /// The system of a Node's `status.nodeInfo.osImage`, which is the node's `PRETTY_NAME`.
    pub fn from_pretty_name(name: &str) -> Self {
        Self { id: id_of(name), pretty_name: name.to_owned(), ..Self::default() }
    }

    /// Whether it is that system, or says that it is like that system.
    pub fn is(&self, id: &str) -> bool {
        self.id == id || self.id_like.iter().any(|like| like == id)
    }
}

/// The `ID` of the system with that pretty name. Empty if the name is unknown.
fn id_of(pretty_name: &str) -> String {
    PRETTY_NAMES
        .iter()
        .find(|(word, _)| pretty_name.contains(word))
        .map_or("", |(_, id)| *id)
        .to_owned()
}

/// Removes the shell's quotes and backslashes from a value.
fn unquote(value: &str) -> String {
    let inner = [('"', '"'), ('\'', '\'')]
        .iter()
        .find_map(|(open, close)| value.strip_prefix(*open)?.strip_suffix(*close))
        .unwrap_or(value);
    let mut plain = String::with_capacity(inner.len());
    let mut letters = inner.chars();
    while let Some(letter) = letters.next() {
        plain.extend(if letter == '\\' { letters.next() } else { Some(letter) });
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::facts::tests::bytes_with;

    #[test]
    fn fields_are_read_with_and_without_quotes() {
        let os = OsRelease::parse(
            "# c\nNAME=x\nID=Ubuntu\nID_LIKE='debian linux'\nPRETTY_NAME=\"A \\\"B\\\"\"\nbroken\n",
        );
        assert_eq!((os.id.as_str(), os.pretty_name.as_str()), ("ubuntu", "A \"B\""));
        assert!(os.is("debian") && os.is("ubuntu") && !os.is("rhel"));
        assert_eq!(OsRelease::parse("PRETTY_NAME=\"openSUSE MicroOS\"").id, "opensuse-microos");
    }

    #[test]
    fn a_pretty_name_identifies_the_system() {
        for (name, id) in [
            ("Debian GNU/Linux 12 (bookworm)", "debian"),
            ("Container-Optimized OS from Google", "cos"),
            ("Bottlerocket OS 1.20 (aws-k8s-1.29)", "bottlerocket"),
            ("Red Hat Enterprise Linux CoreOS 417", "rhcos"),
            ("Red Hat Enterprise Linux 9.4 (Plow)", "rhel"),
            ("openSUSE Leap 15.6", "opensuse"),
            ("SUSE Linux Micro 6.0", "sl-micro"),
            ("SUSE Linux Enterprise Micro 5.5", "sle-micro"),
            ("openSUSE Leap Micro 6.0", "opensuse-leap-micro"),
            ("Alibaba Cloud Linux 3 (Soaring Falcon)", "alinux"),
            ("Anolis OS 8.8", "anolis"),
            ("TencentOS Server 3.1 (Final)", "tencentos"),
            ("openEuler 22.03 (LTS-SP4)", "openeuler"),
            ("Huawei Cloud EulerOS 2.0 (x86_64)", "hce"),
            ("CBL-Mariner/Linux", "mariner"),
            ("VMware Photon OS/Linux", "photon"),
            ("Fedora CoreOS 41.20250215.3.0", "fedora-coreos"),
            ("Bottlerocket (EKS Auto, Standard) 2025.7.18 (aws-k8s-1.32-standard)", "bottlerocket"),
            ("K3s v1.31.4+k3s1", ""),
            ("lab guest", ""),
        ] {
            assert_eq!(OsRelease::from_pretty_name(name).id, id, "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            text in bytes_with(&[
                "ID=", "PRETTY_NAME=", "VARIANT_ID=", "\"", "'", "\\", "\n", "#",
            ])
        ) {
            prop_assert!(OsRelease::parse(&text).pretty_name.len() <= text.len());
            prop_assert_eq!(OsRelease::from_pretty_name(&text).pretty_name, text);
        }
    }
}
