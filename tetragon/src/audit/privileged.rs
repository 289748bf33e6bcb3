//! The advice about a privileged agent: all that has to change together so that it needs no
//! privilege.

use lsm_ready_crds::ConditionReason;
use lsm_ready_crds::names::SECURITYFS_PATH;

use super::{Advice, Agent, AppArmorNodes};
use crate::path::normal;
use crate::privilege::{AppArmor, app_armor, is_privileged};
use crate::tested::{self, TestedAgent};

/// Where the agent pins its programs and maps.
const BPF_MAPS: &str = "/sys/fs/bpf";

const WHY_NOT_BIDIRECTIONAL: &str =
    "because the API server accepts Bidirectional only in privileged containers";

/// A mount that propagates to the host.
struct BidirectionalMount {
    volume: String,
    path: String,
}

impl Agent<'_> {
    pub(super) fn privileged(&self) -> Option<Advice> {
        if !is_privileged(self.container) {
            return None;
        }
        let advice = match tested::with(self.release) {
            Some(tested) => self.less_privilege(tested),
            None => tested::advice(self.release, &tested::releases(), ""),
        };
        let message = format!(
            "container {} is privileged, which is the default of Tetragon's chart, and may do \
             everything on its node: {advice}",
            self.container.name
        );
        Some(Advice { reason: ConditionReason::Privileged, message })
    }

    fn less_privilege(&self, tested: &TestedAgent) -> String {
        let mut changes = vec![security_context(tested)];
        changes.extend(self.bidirectional_mounts().iter().map(unprivileged_mount));
        if tested.with_mount {
            changes.push(format!(
                "the host's {SECURITYFS_PATH} mounted, for example by lsm-ready with mount: Auto"
            ));
        }
        changes.extend(self.app_armor_change());
        format!(
            "Tetragon {} loaded an LSM policy and denied on {} with less privilege. All of this \
             has to change together: {}. Change it on one node first",
            tested.release,
            tested.kernel,
            changes.join("; ")
        )
    }

    /// The container's mounts that propagate to the host, the mount of BPF maps first.
    fn bidirectional_mounts(&self) -> Vec<BidirectionalMount> {
        let mounts = self.container.volume_mounts.iter().flatten();
        let mut found: Vec<BidirectionalMount> = mounts
            .filter(|mount| mount.mount_propagation.as_deref() == Some("Bidirectional"))
            .map(|mount| BidirectionalMount {
                volume: mount.name.clone(),
                path: normal(&mount.mount_path),
            })
            .collect();
        found.sort_by_key(|mount| mount.path != BPF_MAPS);
        found
    }

    fn app_armor_change(&self) -> Option<String> {
        if app_armor(self.template, self.pod, self.container) == AppArmor::Unconfined {
            return None;
        }
        match self.nodes {
            AppArmorNodes::NotKnown => Some(
                "where AppArmor is active on a node, appArmorProfile: {type: Unconfined}"
                    .to_owned(),
            ),
            AppArmorNodes::Known { .. } => self.nodes.words().map(|active| {
                format!(
                    "appArmorProfile: {{type: Unconfined}}, because {active} and its default \
                     profile prevents the agent from starting"
                )
            }),
        }
    }
}

fn security_context(tested: &TestedAgent) -> String {
    format!(
        "securityContext of the container (tetragon.securityContext in the chart's values) with \
         privileged: false, capabilities: {{drop: [ALL], add: [{}]}} and seccompProfile: {{type: \
         RuntimeDefault}}",
        tested.capabilities.join(", ")
    )
}

fn unprivileged_mount(BidirectionalMount { volume, path }: &BidirectionalMount) -> String {
    if path == BPF_MAPS {
        format!(
            "mountPropagation: HostToContainer instead of Bidirectional at {path} (volume \
             {volume}), {WHY_NOT_BIDIRECTIONAL} (the chart has no value for it: use kustomize or \
             a Helm post-renderer)"
        )
    } else {
        format!(
            "no Bidirectional at {path} (volume {volume}) either, {WHY_NOT_BIDIRECTIONAL}; this \
             was not tested"
        )
    }
}
