//! The kernel's configuration. In: the text of `/proc/config.gz`, or of a file beside the kernel.
//! Out: the options that explain what the kernel can do.

use std::collections::BTreeMap;
use std::io::{self, Read};

use flate2::read::MultiGzDecoder;
use serde::{Deserialize, Serialize};

/// More than any configuration has, which is about 300 KB.
const MAX_LEN: u64 = 4 << 20;

/// The options that are kept, in addition to those that begin with one of [`FAMILIES`].
const OPTIONS: [&str; 9] = [
    "CONFIG_BPF_JIT",
    "CONFIG_BPF_LSM",
    "CONFIG_BPF_SYSCALL",
    "CONFIG_DEBUG_INFO_BTF",
    "CONFIG_DYNAMIC_FTRACE",
    "CONFIG_IMA",
    "CONFIG_EVM",
    "CONFIG_LSM",
    "CONFIG_SECURITYFS",
];
const FAMILIES: [&str; 2] = ["CONFIG_LOCK_DOWN_", "CONFIG_SECURITY_"];

/// The relevant lines of a configuration, and the file they are from.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigText {
    pub path: String,
    /// The lines about [`OPTIONS`] and [`FAMILIES`].
    pub text: String,
}

/// The options of a configuration.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct KernelConfig {
    /// The file that the configuration was read from.
    pub path: String,
    options: BTreeMap<String, String>,
}

/// How the kernel was built with respect to one option.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Built {
    /// The option is set: `y`, `m`, or a text without its quotes.
    Set(String),
    /// The configuration says that the option is not set, or has no line about it.
    NotSet,
}

impl KernelConfig {
    /// Parses the lines. `None` if they are not a kernel's configuration.
    pub fn parse(config: &ConfigText) -> Option<Self> {
        let options: BTreeMap<String, String> =
            config.text.lines().filter_map(parse_option).collect();
        (!options.is_empty()).then(|| Self { path: config.path.clone(), options })
    }

    pub fn get(&self, name: &str) -> Built {
        match self.options.get(name).map(String::as_str) {
            None | Some("n") => Built::NotSet,
            Some(value) => Built::Set(value.to_owned()),
        }
    }

    /// Whether it has the line "# NAME is not set".
    pub fn says_not_set(&self, name: &str) -> bool {
        self.options.get(name).is_some_and(|value| value == "n")
    }

    /// Whether the kernel was built without the option. A whole configuration has no line about an
    /// option whose dependencies are not met, so a missing line counts there. In an excerpt a
    /// missing line says nothing. Every whole configuration has a line about CONFIG_BPF_SYSCALL.
    pub fn lacks(&self, name: &str) -> bool {
        let is_whole = self.options.contains_key("CONFIG_BPF_SYSCALL");
        self.says_not_set(name) || is_whole && !self.options.contains_key(name)
    }

    /// Whether the option is built in.
    pub fn has(&self, name: &str) -> bool {
        self.get(name) == Built::Set("y".to_owned())
    }
}

/// Unpacks `/proc/config.gz`.
pub fn gunzip(packed: &[u8]) -> io::Result<String> {
    let mut bytes = Vec::new();
    MultiGzDecoder::new(packed).take(MAX_LEN).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The lines about [`OPTIONS`] and [`FAMILIES`].
pub fn relevant(text: &str) -> String {
    let wanted = |line: &&str| {
        parse_option(line).is_some_and(|(name, _)| {
            OPTIONS.contains(&name.as_str())
                || FAMILIES.iter().any(|family| name.starts_with(family))
        })
    };
    text.lines().filter(wanted).flat_map(|line| [line, "\n"]).collect()
}

/// The option of a line `CONFIG_X=value` or `# CONFIG_X is not set`. The latter has the value `n`.
fn parse_option(line: &str) -> Option<(String, String)> {
    let line = line.trim();
    let (name, value) =
        match line.strip_prefix("# ").and_then(|rest| rest.strip_suffix(" is not set")) {
            Some(name) => (name, "n"),
            None => line.split_once('=')?,
        };
    let plausible = name.starts_with("CONFIG_")
        && name
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
    plausible.then(|| (name.to_owned(), value.trim_matches('"').to_owned()))
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;

    /// A configuration with these lines.
    pub fn config(text: &str) -> Option<KernelConfig> {
        KernelConfig::parse(&ConfigText {
            path: "/proc/config.gz".to_owned(),
            text: text.to_owned(),
        })
    }

    #[test]
    fn options_are_read() {
        let config = config(
            "# Linux\nCONFIG_BPF_LSM=y\n# CONFIG_SECURITY_SMACK is not \
             set\nCONFIG_LSM=\"yama,bpf\"\n",
        );
        let config = config.unwrap();
        assert!(config.has("CONFIG_BPF_LSM"));
        assert_eq!(config.get("CONFIG_LSM"), Built::Set("yama,bpf".to_owned()));
        assert_eq!(config.get("CONFIG_SECURITY_SMACK"), Built::NotSet);
        assert_eq!(config.get("CONFIG_ELSE"), Built::NotSet);
    }

    #[test]
    fn a_missing_line_counts_in_a_whole_configuration_only() {
        for (text, says_not_set, lacks) in [
            ("CONFIG_BPF_LSM=y\n", false, false),
            ("# CONFIG_BPF_LSM is not set\n", true, true),
            ("CONFIG_BPF_SYSCALL=y\n", false, true),
            ("CONFIG_IMA=y\n", false, false),
        ] {
            let config = config(text).unwrap();
            assert_eq!(config.says_not_set("CONFIG_BPF_LSM"), says_not_set, "{text}");
            assert_eq!(config.lacks("CONFIG_BPF_LSM"), lacks, "{text}");
        }
    }

    #[test]
    fn other_texts_are_not_a_configuration() {
        for text in ["", "root=/dev/vda", "config_bpf_lsm=y", "# CONFIG is not set", "CONFIG_LSM"] {
            assert_eq!(config(text), None, "{text}");
        }
    }

    #[test]
    fn irrelevant_lines_are_left_out() {
        let text = "# CONFIG_BPF_LSM is not set\nCONFIG_64BIT=y\nCONFIG_SECURITY_YAMA=y\n";
        assert_eq!(relevant(text), "# CONFIG_BPF_LSM is not set\nCONFIG_SECURITY_YAMA=y\n");
    }

    proptest! {
        #[test]
        fn gunzip_restores_the_text(text in "\\PC{0,50}", garbage in any::<Vec<u8>>()) {
            let mut packer = GzEncoder::new(Vec::new(), Compression::default());
            packer.write_all(text.as_bytes()).unwrap();
            let packed = packer.finish().unwrap();
            prop_assert_eq!(gunzip(&packed).unwrap(), text);
            prop_assert!(gunzip(&packed[..packed.len() - 1]).is_err());
            // Garbage, and garbage behind a valid gzip header.
            gunzip(&garbage).ok();
            gunzip(&[&packed[..10], &garbage].concat()).ok();
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in any::<Vec<u8>>(), lines in "(CONFIG_[A-Z_]{0,9}|=|y|\"|# \
            | is not set|\n)*") {
            for text in [String::from_utf8_lossy(&bytes).into_owned(), lines] {
                let kept = relevant(&text);
                prop_assert_eq!(&relevant(&kept), &kept);
                prop_assert_eq!(config(&kept).is_none(), kept.is_empty());
            }
        }
    }
}
