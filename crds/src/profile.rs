//! `LsmHookProfile`: which of a kernel's `bpf_lsm` hooks accept a program, and which accept a
//! sleepable program.
//!
//! The list of one kernel has about 7 KB, and thousands of nodes share it. So it is stored once,
//! under the digest of its content. Every reader compares the digest, so no node can publish a
//! false list under the name of another list. docs/adr/0031-profile-digest.md says why the digest
//! is one of JSON.

use std::collections::BTreeSet;

use kube::CustomResource;
use kube::KubeSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::node::Kernel;
use crate::schema;

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
#[x_kube(
    validation = Rule::new("self == oldSelf")
        .message("a profile cannot change, because its name is the digest of its content"),
    validation = Rule::new("self.sleepableHooks.all(h, h in self.hooks)")
        .message("each of sleepableHooks must be one of hooks"),
    validation = Rule::new("self.refusedHooks.all(h, !(h in self.hooks))")
        .message("a hook cannot be in both hooks and refusedHooks"),
    validation = Rule::new("size(self.hooks) + size(self.refusedHooks) <= 480")
        .message("a kernel cannot have more than 480 hooks")
)]
pub struct LsmHookProfileSpec {
    /// Release and machine of the kernel on which the trial was made, for example `6.12.1 x86_64`.
    #[schemars(length(max = 193), regex(pattern = KERNEL))]
    pub kernel: String,
    /// Hooks on which the kernel accepted a program, without the prefix `bpf_lsm_`.
    #[schemars(schema_with = "schema::hook_set")]
    pub hooks: BTreeSet<String>,
    /// Hooks on which the kernel also accepted a sleepable program.
    #[schemars(schema_with = "schema::hook_set")]
    pub sleepable_hooks: BTreeSet<String>,
    /// Hooks that the kernel has, but on which it refused a program.
    #[serde(default)]
    #[schemars(schema_with = "schema::hook_set")]
    pub refused_hooks: BTreeSet<String>,
}

/// The pattern of a kernel's name. It has no character with which a text could pass for a command
/// or a sentence, because messages about all nodes with the kernel name it.
const KERNEL: &str = "^[A-Za-z0-9._+~:-]{1,128}( [A-Za-z0-9._-]{1,64})?$";

/// The name of a kernel in a profile: its release and machine, with `_` for characters that the
/// schema refuses.
#[must_use]
pub fn kernel_name(kernel: &Kernel) -> String {
    let word = |text: &str, max: usize, marks: &str| -> String {
        let fits = |letter: &char| letter.is_ascii_alphanumeric() || marks.contains(*letter);
        let letters = text.chars().take(max);
        letters.map(|letter| if fits(&letter) { letter } else { '_' }).collect()
    };
    let (release, machine) =
        (word(&kernel.release, 128, "._+~:-"), word(&kernel.machine, 64, "._-"));
    let release = if release.is_empty() { "unknown".to_owned() } else { release };
    if machine.is_empty() { release } else { format!("{release} {machine}") }
}

impl LsmHookProfileSpec {
    /// The name of the profile: the SHA-256 of its canonical JSON, in lower-case hex.
    #[must_use]
    pub fn digest(&self) -> String {
        format!("{:x}", Sha256::digest(self.canonical_json()))
    }

    /// The one JSON text of this content: keys and names sorted, no blanks, every field written.
    /// JSON marks where each name ends, so different content has different texts.
    fn canonical_json(&self) -> String {
        // The keys are written in their sorted order, for maps of serde_json that keep the order of
        // insertion.
        let content = json!({
            "hooks": self.hooks,
            "kernel": self.kernel,
            "refusedHooks": self.refused_hooks,
            "sleepableHooks": self.sleepable_hooks,
        });
        content.to_string()
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
    use proptest::prelude::*;

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

    /// By these texts, other programs can compute the digest: `jq -jcS .spec | sha256sum`.
    #[test]
    fn the_digest_is_that_of_sorted_json() {
        let profile = profile(&["file_open", "bprm_check_security"]);
        assert_eq!(
            profile.canonical_json(),
            concat!(
                r#"{"hooks":["bprm_check_security","file_open"],"kernel":"6.12 x86_64","#,
                r#""refusedHooks":[],"sleepableHooks":[]}"#
            )
        );
        assert_eq!(
            profile.digest(),
            "f08f039d33e8a4f6f0a4f65fbf9a695acd223e2182051bab6d75557a1c2e1719"
        );
    }

    #[test]
    fn the_name_of_a_kernel_has_plain_characters_only() {
        for (release, machine, name) in [
            ("6.12.1-cloud-amd64", "x86_64", "6.12.1-cloud-amd64 x86_64"),
            ("5.10.0+dirty~rc1", "", "5.10.0+dirty~rc1"),
            ("6.1; curl a | sh\n", "x\u{202e}y", "6.1__curl_a___sh_ x_y"),
            ("", "aarch64", "unknown aarch64"),
        ] {
            let kernel = Kernel { release: release.into(), machine: machine.into() };
            assert_eq!(kernel_name(&kernel), name);
        }
    }

    #[test]
    fn a_profile_with_the_name_of_another_is_not_genuine() {
        let spec = profile(&["file_open"]);
        assert!(LsmHookProfile::new(&spec.digest(), spec.clone()).is_genuine());
        assert!(!LsmHookProfile::new(&profile(&[]).digest(), spec).is_genuine());
    }

    /// A name with a newline was once read as the line of another set: each of these had the digest
    /// of the profile in which `file_open` is a usable hook.
    #[test]
    fn names_that_hold_separators_do_not_take_the_digest_of_another_profile() {
        let honest = profile(&["bprm_check_security", "file_open"]);
        let in_a_hook = profile(&["bprm_check_security\nhook file_open"]);
        let in_the_kernel = LsmHookProfileSpec {
            kernel: "6.12 x86_64\nhook bprm_check_security\nhook file_open".into(),
            ..LsmHookProfileSpec::default()
        };
        let with_quotes = profile(&["bprm_check_security\",\"file_open"]);
        for false_profile in [in_a_hook, in_the_kernel, with_quotes] {
            let named = LsmHookProfile::new(&honest.digest(), false_profile);
            assert!(!named.is_genuine(), "{:?}", named.spec);
        }
    }

    fn names() -> impl Strategy<Value = BTreeSet<String>> {
        prop::collection::btree_set(
            "[a-b]{0,2}|(\\n|hook |refused |\",\"|\\\\|\u{0}|[ab]){1,3}",
            0..3,
        )
    }

    fn spec() -> impl Strategy<Value = LsmHookProfileSpec> {
        ("(k|\\n|hook a|\"){0,3}", names(), names(), names()).prop_map(
            |(kernel, hooks, sleepable_hooks, refused_hooks)| LsmHookProfileSpec {
                kernel,
                hooks,
                sleepable_hooks,
                refused_hooks,
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        #[test]
        fn different_content_has_different_canonical_json(one in spec(), other in spec()) {
            prop_assert_eq!(one.canonical_json() == other.canonical_json(), one == other);
        }

        /// The text says everything about the content.
        #[test]
        fn canonical_json_is_read_back_as_the_same_content(spec in spec()) {
            let read: LsmHookProfileSpec = serde_json::from_str(&spec.canonical_json()).unwrap();
            prop_assert_eq!(read, spec);
        }
    }
}
