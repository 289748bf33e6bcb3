//! The beginning of our NodeCondition's message: what a Node says about itself. Pure.
//!
//! ```text
//! boot 5b0c…, probe 0.3.0: Denied: shown in boot 5b0c…
//! boot 5b0c…, probe 0.3.1, lost ready at 2026-01-01T00:10:00Z with probe 0.3.1: …
//! boot 5b0c…, probe 0.3.1, lost a policy at 2026-01-01T00:10:00Z: …
//! ```
//!
//! The circuit breaker needs three facts after a restart of the operator: in which boot the labels
//! were set, with which probe, and when the node last lost ready. This module writes them and reads
//! them again; nothing else does.

use std::fmt;

use jiff::Timestamp;
use lsm_ready_crds::LsmNodeStatus;

const LOST_BPF: &str = "lost ready at ";
const LOST_POLICY: &str = "lost a policy at ";

/// What the message begins with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Header {
    /// The boot in which labels and condition were written.
    pub boot: String,
    /// Version of the probe that reported in this boot.
    pub version: Option<String>,
    /// The loss from which the node has not recovered.
    pub loss: Option<PastLoss>,
}

/// When a node lost ready in this boot.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PastLoss {
    pub at: Timestamp,
    /// LSM BPF is not ready any more. Otherwise only a policy was lost.
    pub is_of_bpf: bool,
    /// The version of the probe, where the node had been ready with another version.
    pub new_version: Option<String>,
}

impl Header {
    /// Reads the header of a message. None where the message is about another boot, or has no
    /// header.
    pub fn read(message: &str, boot: &str) -> Option<Self> {
        if boot.is_empty() {
            return None;
        }
        // The boot ID is what the kubelet says, so it can have any characters.
        let rest = message.strip_prefix("boot ")?.strip_prefix(boot)?;
        let end = rest.find(": ")?;
        let mut header = Self { boot: boot.to_owned(), ..Self::default() };
        for part in rest[..end].split(", ") {
            if let Some(version) = part.strip_prefix("probe ") {
                header.version = valid_version(version);
            } else if let Some(loss) = part.strip_prefix(LOST_BPF) {
                header.loss = Some(PastLoss::read(loss, true)?);
            } else if let Some(loss) = part.strip_prefix(LOST_POLICY) {
                header.loss = Some(PastLoss::read(loss, false)?);
            } else if !part.is_empty() {
                return None;
            }
        }
        Some(header)
    }
}

impl PastLoss {
    fn read(text: &str, is_of_bpf: bool) -> Option<Self> {
        let (at, version) = text.split_once(" with probe ").unwrap_or((text, ""));
        Some(Self { at: at.parse().ok()?, is_of_bpf, new_version: valid_version(version) })
    }
}

impl fmt::Display for Header {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.boot.is_empty() {
            return Ok(());
        }
        write!(f, "boot {}", self.boot)?;
        if let Some(version) = &self.version {
            write!(f, ", probe {version}")?;
        }
        if let Some(PastLoss { at, is_of_bpf, new_version }) = &self.loss {
            write!(f, ", {}{at}", if *is_of_bpf { LOST_BPF } else { LOST_POLICY })?;
            if let Some(version) = new_version {
                write!(f, " with probe {version}")?;
            }
        }
        f.write_str(": ")
    }
}

/// The version of the probe that wrote the report. None where it has characters that no version
/// has.
pub fn version(report: &LsmNodeStatus) -> Option<String> {
    valid_version(&report.probe_version)
}

fn valid_version(text: &str) -> Option<String> {
    let is_valid = |c: char| c.is_ascii_alphanumeric() || ".+_-".contains(c);
    let is_version = !text.is_empty() && text.len() <= 64 && text.chars().all(is_valid);
    is_version.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn loss(is_of_bpf: bool, version: Option<&str>) -> PastLoss {
        let at = Timestamp::from_second(1_767_226_200).unwrap();
        PastLoss { at, is_of_bpf, new_version: version.map(str::to_owned) }
    }

    #[test]
    fn a_message_of_another_boot_or_without_a_header_says_nothing() {
        for message in [
            "",
            "boot a",
            "because",
            "boot b: because",
            "boot ab: because",
            "boot a, probed: because",
            "boot a, lost ready at noon: because",
        ] {
            assert_eq!(Header::read(message, "a"), None, "{message}");
        }
        assert_eq!(Header::read("boot : because", ""), None, "a Node without a boot ID");
    }

    #[test]
    fn a_reports_version_cannot_forge_a_header() {
        let report = |version: &str| LsmNodeStatus {
            probe_version: version.to_owned(),
            ..LsmNodeStatus::default()
        };
        assert_eq!(version(&report("0.3.0-rc.1+x_y")).as_deref(), Some("0.3.0-rc.1+x_y"));
        for forged in ["", "0.3.0, lost ready at 2026-01-01T00:00:00Z", "a: b", "ä", "a\nb"] {
            assert_eq!(version(&report(forged)), None, "{forged}");
        }
    }

    proptest! {
        /// Whatever the node's own text says, the header that was written is read.
        #[test]
        fn what_is_written_is_read(
            boot in "[ -~]{1,20}",
            probe in prop::option::of("[0-9.a-z]{1,8}"),
            lost: bool,
            of_bpf: bool,
            by_version: bool,
            text in "\\PC{0,40}",
        ) {
            let loss = lost.then(|| loss(of_bpf, probe.as_deref().filter(|_| by_version)));
            let header = Header { boot: boot.clone(), version: probe, loss };
            prop_assert_eq!(Header::read(&format!("{header}{text}"), &boot), Some(header));
        }

        #[test]
        fn no_text_makes_it_panic(message in "boot a[, :a-z]{0,20}") {
            let _ = Header::read(&message, "a");
        }
    }
}
