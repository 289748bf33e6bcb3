//! `LsmHookProfile`: which of a kernel's `bpf_lsm` hooks accept a program, and which accept a
//! sleepable program.
//!
//! The list of one kernel has about 7 KB, and thousands of nodes share it. So it is stored once,
//! under the digest of its content. Every reader compares the digest, so no node can publish a
//! false list under the name of another list.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use kube::CustomResource;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The hooks of one kernel build.
#[derive(
    CustomResource, KubeSchema, Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize,
)]
#[kube(
    group = "lsmready.io",
    version = "v1alpha1",
    kind = "LsmHookProfile",
    plural = "lsmhookprofiles",
    shortname = "lhp",
    category = "lsm-ready",
    derive = "PartialEq",
    doc = "An LsmHookProfile lists which of a kernel's bpf_lsm hooks accept a BPF program. A probe \
           writes it once. Its name is the SHA-256 of its content, and it never changes.",
    printcolumn(name = "Kernel", type_ = "string", json_path = ".spec.kernel"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.matches('^[0-9a-f]{64}$')")
        .message("the name must be the SHA-256 of the content, in lower-case hex")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self == oldSelf")
    .message("a profile cannot change, because its name is the digest of its content"))]
pub struct LsmHookProfileSpec {
    /// Release and machine of the kernel on which the trial was made, for example `6.12.1 x86_64`.
    #[schemars(length(max = 256))]
    pub kernel: String,
    /// Hooks on which the kernel accepted a program, without the prefix `bpf_lsm_`.
    #[schemars(length(max = 2048), inner(length(max = 64)))]
    pub hooks: BTreeSet<String>,
    /// Hooks on which the kernel also accepted a sleepable program.
    #[schemars(length(max = 2048), inner(length(max = 64)))]
    pub sleepable_hooks: BTreeSet<String>,
    /// Hooks that the kernel has, but on which it refused a program.
    #[serde(default)]
    #[schemars(length(max = 2048), inner(length(max = 64)))]
    pub refused_hooks: BTreeSet<String>,
}

impl LsmHookProfileSpec {
    /// The name of the profile: the SHA-256 of its lines, in lower-case hex.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(format!("kernel {}\n", self.kernel));
        for (kind, set) in [
            ("hook", &self.hooks),
            ("sleepable", &self.sleepable_hooks),
            ("refused", &self.refused_hooks),
        ] {
            for name in set {
                hash.update(format!("{kind} {name}\n"));
            }
        }
        hash.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

impl LsmHookProfile {
    /// Whether the object's name is the digest of its content. Other profiles must be ignored.
    #[must_use]
    pub fn is_genuine(&self) -> bool {
        self.metadata.name.as_deref() == Some(self.spec.digest().as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(hooks: &[&str]) -> LsmHookProfileSpec {
        LsmHookProfileSpec {
            kernel: "6.12 x86_64".into(),
            hooks: hooks.iter().map(ToString::to_string).collect(),
            ..Default::default()
        }
    }

    #[test]
    fn another_hook_changes_the_digest() {
        assert_ne!(
            profile(&["file_open"]).digest(),
            profile(&["file_open", "bprm_check_security"]).digest()
        );
        assert_eq!(profile(&["file_open"]).digest().len(), 64);
    }

    #[test]
    fn a_profile_with_the_name_of_another_is_not_genuine() {
        let spec = profile(&["file_open"]);
        assert!(LsmHookProfile::new(&spec.digest(), spec.clone()).is_genuine());
        assert!(!LsmHookProfile::new(&profile(&[]).digest(), spec).is_genuine());
    }
}
