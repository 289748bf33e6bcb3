//! The beginning of our NodeCondition's message: what a Node says about itself. Pure.
//!
//! ```text
//! boot 5b0c…, probe 0.3.0: Denied: shown in boot 5b0c…
//! boot 5b0c…, probe 0.3.1, lost ready at 2026-01-01T00:10:00Z with probe 0.3.1: …
//! boot 5b0c…, probe 0.3.1, lost a policy at 2026-01-01T00:10:00Z, not ready for enforce: …
//! ```
//!
//! The circuit breaker needs some facts after a restart of the operator: in which boot the labels
//! were set, with which probe, when the node last lost ready, and for which policies it is shown
//! ready. A policy is named only where the condition's status does not tell it: so in most clusters
//! no policy is named. This module writes these facts and reads them again; nothing else does.

use std::collections::BTreeSet;
use std::fmt;

use jiff::Timestamp;
use lsm_ready_crds::LsmNodeStatus;

const LOST_BPF: &str = "lost ready at ";
const LOST_POLICY: &str = "lost a policy at ";
const READY_FOR: &str = "ready for ";
const NOT_READY_FOR: &str = "not ready for ";
const NOT_JUDGED_FOR: &str = "not judged for ";
/// Between the names of policies: no name has a space.
const AND: &str = " and ";

/// What the message begins with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Header {
    /// The boot in which labels and condition were written.
    pub boot: String,
    /// Version of the probe that reported in this boot.
    pub version: Option<String>,
    /// The loss from which the node has not recovered.
    pub loss: Option<PastLoss>,
    /// Where the condition is not True: the policies for which the node is shown ready.
    pub ready_for: BTreeSet<String>,
    /// Where the condition is True: the policies for which the node is not shown ready.
    pub not_ready_for: BTreeSet<String>,
    /// Policies that came while the node was held.
    pub not_judged_for: BTreeSet<String>,
}

/// What a node shows for a policy.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Says {
    Ready,
    NotReady,
    /// It is not known whether the node is ready for the policy.
    NotJudged,
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
        Self::split(message, boot).map(|(header, _)| header)
    }

    /// The header of a message, and the rest of it.
    pub fn split<'a>(message: &'a str, boot: &str) -> Option<(Self, &'a str)> {
        if boot.is_empty() {
            return None;
        }
        // The boot ID is what the kubelet says, so it can have any characters.
        let rest = message.strip_prefix("boot ")?.strip_prefix(boot)?;
        let (parts, text) = rest.split_once(": ")?;
        let mut header = Self { boot: boot.to_owned(), ..Self::default() };
        for part in parts.split(", ").filter(|part| !part.is_empty()) {
            header.read_part(part)?;
        }
        Some((header, text))
    }

    fn read_part(&mut self, part: &str) -> Option<()> {
        if let Some(version) = part.strip_prefix("probe ") {
            self.version = valid_version(version);
        } else if let Some(loss) = part.strip_prefix(LOST_BPF) {
            self.loss = Some(PastLoss::read(loss, true)?);
        } else if let Some(loss) = part.strip_prefix(LOST_POLICY) {
            self.loss = Some(PastLoss::read(loss, false)?);
        } else if let Some(names) = part.strip_prefix(READY_FOR) {
            self.ready_for = policies(names);
        } else if let Some(names) = part.strip_prefix(NOT_READY_FOR) {
            self.not_ready_for = policies(names);
        } else if let Some(names) = part.strip_prefix(NOT_JUDGED_FOR) {
            self.not_judged_for = policies(names);
        } else {
            return None;
        }
        Some(())
    }

    /// Whether LSM BPF was lost in this boot.
    pub fn has_lost_bpf(&self) -> bool {
        self.loss.as_ref().is_some_and(|loss| loss.is_of_bpf)
    }

    /// What it says about a policy, with the condition True or not.
    pub fn says(&self, policy: &str, is_true: bool) -> Says {
        let is_ready = if is_true {
            !self.not_ready_for.contains(policy)
        } else {
            self.ready_for.contains(policy)
        };
        match is_ready {
            _ if self.not_judged_for.contains(policy) => Says::NotJudged,
            true => Says::Ready,
            false => Says::NotReady,
        }
    }

    /// Notes what the node is shown for a policy, under a condition that will be True or not.
    pub fn note(&mut self, policy: &str, says: Says, is_true: bool) {
        let named = match says {
            Says::Ready if !is_true => &mut self.ready_for,
            Says::NotReady if is_true => &mut self.not_ready_for,
            Says::NotJudged => &mut self.not_judged_for,
            Says::Ready | Says::NotReady => return,
        };
        named.insert(policy.to_owned());
    }

    /// Forgets what it says about policies.
    pub fn without_policies(self) -> Self {
        let Self { boot, version, loss, .. } = self;
        Self { boot, version, loss, ..Self::default() }
    }
}

fn policies(names: &str) -> BTreeSet<String> {
    names.split(AND).map(str::to_owned).collect()
}

/// A message without the time of the loss in its header: the same loss that is found once more has
/// another time.
pub fn without_time(message: &str) -> impl Iterator<Item = &str> {
    let (header, text) = message.split_once(": ").unwrap_or(("", message));
    let parts = header.split(", ").map(|part| {
        [LOST_BPF, LOST_POLICY].into_iter().find(|lost| part.starts_with(lost)).unwrap_or(part)
    });
    parts.chain([text])
}

impl PastLoss {
    /// The time is cut to the second, as the message tells it: what is remembered and what was
    /// written must not differ.
    pub fn new(at: Timestamp, is_of_bpf: bool, new_version: Option<String>) -> Self {
        let at = Timestamp::from_second(at.as_second()).unwrap_or(at);
        Self { at, is_of_bpf, new_version }
    }

    fn read(text: &str, is_of_bpf: bool) -> Option<Self> {
        let (at, version) = text.split_once(" with probe ").unwrap_or((text, ""));
        Some(Self::new(at.parse().ok()?, is_of_bpf, valid_version(version)))
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
        for (what, policies) in [
            (READY_FOR, &self.ready_for),
            (NOT_READY_FOR, &self.not_ready_for),
            (NOT_JUDGED_FOR, &self.not_judged_for),
        ] {
            if !policies.is_empty() {
                let names: Vec<&str> = policies.iter().map(String::as_str).collect();
                write!(f, ", {what}{}", names.join(AND))?;
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
            policies in prop::array::uniform3(
                prop::collection::btree_set("and|[a-z][a-z.-]{0,3}", 0..3)
            ),
            text in "\\PC{0,40}",
        ) {
            let loss = lost.then(|| loss(of_bpf, probe.as_deref().filter(|_| by_version)));
            let [ready_for, not_ready_for, not_judged_for] = policies;
            let header = Header {
                boot: boot.clone(), version: probe, loss, ready_for, not_ready_for, not_judged_for,
            };
            let message = format!("{header}{text}");
            prop_assert_eq!(Header::split(&message, &boot), Some((header, text.as_str())));
        }

        #[test]
        fn no_text_makes_it_panic(message in "boot a[, :a-z]{0,20}") {
            let _ = Header::read(&message, "a");
        }
    }
}
