//! What several policies together ask of one DaemonSet.
//!
//! In: all policies. Out: the merged request and, for each policy, whether it is followed. The
//! strongest request wins: a policy that asks for less can be overruled, a policy that asks for
//! more cannot. Policies that name different containers cannot both be followed. The oldest of them
//! decides, so that a policy added later does not move a mount that is in use
//! (docs/adr/0004-several-policies.md).

use kube::ResourceExt;
use lsm_ready_crds::LsmPolicy;
use lsm_ready_crds::policy::{Apply, Mount, Tetragon};
use lsm_ready_tetragon::plan::MountRequest;

use super::gate::Limits;
use crate::watch::key::DaemonSetKey;

/// What each policy asks of one DaemonSet, oldest policy first.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct PolicyRequests(Vec<PolicyRequest>);

/// What one policy asks for.
#[derive(Clone, Debug, Eq, PartialEq)]
struct PolicyRequest {
    policy: String,
    container: String,
    mount: Mount,
    apply: Apply,
    limits: Limits,
}

/// Whether a policy is followed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It is followed.
    Followed,
    /// Another policy asks for more.
    Overruled {
        /// Name of that policy.
        by: String,
        /// What it asks for: `mount: Auto, apply: Patch`.
        request: String,
    },
    /// An older policy names another container.
    OtherContainer {
        /// Name of that policy.
        by: String,
        /// The container that it names.
        container: String,
    },
}

impl PolicyRequests {
    /// The requests for that DaemonSet. A policy that is being deleted asks for nothing.
    pub fn of<'a>(key: &DaemonSetKey, policies: impl IntoIterator<Item = &'a LsmPolicy>) -> Self {
        let mut naming: Vec<&LsmPolicy> = policies
            .into_iter()
            .filter(|policy| policy.metadata.deletion_timestamp.is_none())
            .filter(|policy| DaemonSetKey::named_by(&policy.spec).as_ref() == Some(key))
            .collect();
        naming.sort_by_key(|policy| {
            let created = policy.metadata.creation_timestamp.as_ref().map(|time| time.0);
            (created, policy.name_any())
        });
        Self(naming.into_iter().filter_map(PolicyRequest::of).collect())
    }

    /// No policy names the DaemonSet.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The request to follow.
    pub fn merged(&self) -> MountRequest {
        let Some(leader) = self.leader() else {
            return MountRequest::none();
        };
        let strongest = |apply: Apply| {
            let same_container = self.0.iter().filter(|own| own.container == leader.container);
            let mounts = same_container.filter(|own| own.apply == apply).map(|own| own.mount);
            mounts.max().unwrap_or(Mount::Never)
        };
        MountRequest {
            container: leader.container.clone(),
            patch: strongest(Apply::Patch),
            suggest: strongest(Apply::Suggest),
            without_securityfs: Vec::new(),
        }
    }

    /// When and how agents may be restarted. Every policy's limits apply, also those of a policy
    /// that is overruled.
    pub fn limits(&self) -> Limits {
        let all = || self.0.iter().map(|own| &own.limits);
        Limits {
            windows: all().flat_map(|limits| limits.windows.clone()).collect(),
            max_concurrent: all().filter_map(|limits| limits.max_concurrent.clone()).min(),
            restart_stale: all().any(|limits| limits.restart_stale),
        }
    }

    /// Whether that policy is followed.
    pub fn standing(&self, policy: &str) -> Standing {
        let own = self.0.iter().find(|own| own.policy == policy);
        let (Some(own), Some(leader)) = (own, self.leader()) else {
            return Standing::Followed;
        };
        if own.mount > Mount::Never && own.container != leader.container {
            return Standing::OtherContainer {
                by: leader.policy.clone(),
                container: leader.container.clone(),
            };
        }
        let followed = self
            .0
            .iter()
            .filter(|other| other.mount > Mount::Never && other.container == leader.container)
            .max_by_key(|other| other.strength());
        match followed {
            Some(other) if other.strength() > own.strength() => Standing::Overruled {
                by: other.policy.clone(),
                request: format!("mount: {:?}, apply: {:?}", other.mount, other.apply),
            },
            Some(_) | None => Standing::Followed,
        }
    }

    /// The oldest policy that asks for a mount. Its container counts.
    fn leader(&self) -> Option<&PolicyRequest> {
        self.0.iter().find(|own| own.mount > Mount::Never)
    }
}

impl PolicyRequest {
    fn of(policy: &LsmPolicy) -> Option<Self> {
        let tetragon = policy.spec.tetragon.as_ref()?;
        Some(Self {
            policy: policy.name_any(),
            container: tetragon.daemon_set.container.clone(),
            mount: tetragon.securityfs.mount,
            apply: tetragon.securityfs.apply,
            limits: limits(policy.name_any(), tetragon),
        })
    }

    /// `Suggest` never outranks `Patch`, and `mount: Never` is the weakest whatever `apply` says.
    fn strength(&self) -> (bool, Apply, Mount) {
        let asks = self.mount > Mount::Never;
        (asks, if asks { self.apply } else { Apply::Suggest }, self.mount)
    }
}

fn limits(policy: String, tetragon: &Tetragon) -> Limits {
    Limits {
        windows: tetragon.window.iter().map(|window| (policy.clone(), window.schedule())).collect(),
        max_concurrent: tetragon.max_concurrent.map(|max| (max, policy)),
        restart_stale: tetragon.restart_stale_agents,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A policy created at that second that names kube-system/tetragon.
    fn policy(name: &str, second: u32, tetragon: &Value) -> LsmPolicy {
        serde_json::from_value(json!({
            "apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy",
            "metadata": {"name": name, "creationTimestamp":
                format!("2026-01-01T00:00:{second:02}Z")},
            "spec": {"tetragon": tetragon},
        }))
        .unwrap()
    }

    fn asking(name: &str, mount: &str, apply: &str) -> LsmPolicy {
        policy(name, 0, &json!({"securityfs": {"mount": mount, "apply": apply}}))
    }

    fn requests(policies: &[LsmPolicy]) -> PolicyRequests {
        PolicyRequests::of(
            &DaemonSetKey { namespace: "kube-system".into(), name: "tetragon".into() },
            policies,
        )
    }

    fn overruled(by: &str, request: &str) -> Standing {
        Standing::Overruled { by: by.into(), request: request.into() }
    }

    #[test]
    fn the_strongest_request_is_merged() {
        use Mount::{Always, Auto, Never};
        for (policies, patch, suggest) in [
            (vec![], Never, Never),
            (vec![("Never", "Patch")], Never, Never),
            (vec![("Auto", "Patch"), ("Always", "Patch"), ("Never", "Patch")], Always, Never),
            // `Never` with the default `Patch` does not turn another policy's `Suggest` into a
            // patch.
            (vec![("Never", "Patch"), ("Auto", "Suggest")], Never, Auto),
            // No policy asks for `Always` with `Patch`.
            (vec![("Auto", "Patch"), ("Always", "Suggest")], Auto, Always),
        ] {
            let all: Vec<LsmPolicy> = policies
                .iter()
                .enumerate()
                .map(|(n, (mount, apply))| asking(&format!("p{n}"), mount, apply))
                .collect();
            let merged = requests(&all).merged();
            assert_eq!((merged.patch, merged.suggest), (patch, suggest), "{policies:?}");
        }
    }

    #[test]
    fn an_overruled_policy_names_the_policy_that_is_followed() {
        let all = requests(&[
            asking("a", "Never", "Patch"),
            asking("b", "Auto", "Suggest"),
            asking("c", "Auto", "Patch"),
        ]);
        let winner = overruled("c", "mount: Auto, apply: Patch");
        assert_eq!(all.standing("a"), winner);
        assert_eq!(all.standing("b"), winner);
        assert_eq!(all.standing("c"), Standing::Followed);
        assert_eq!(all.standing("stranger"), Standing::Followed);
    }

    #[test]
    fn the_oldest_policy_decides_which_container_is_the_agents() {
        let agent = json!({"daemonSet": {"container": "agent"}});
        let all = requests(&[policy("a", 2, &agent), policy("z", 1, &json!({}))]);
        assert_eq!(all.merged().container, "tetragon");
        assert_eq!(
            all.standing("a"),
            Standing::OtherContainer { by: "z".into(), container: "tetragon".into() }
        );
        assert_eq!(all.standing("z"), Standing::Followed);
        // The name decides between policies of the same age. A policy with `Never` does not decide.
        let nothing =
            json!({"daemonSet": {"container": "other"}, "securityfs": {"mount": "Never"}});
        let all = requests(&[
            policy("b", 1, &json!({})),
            policy("a", 1, &agent),
            policy("n", 0, &nothing),
        ]);
        assert_eq!(all.merged().container, "agent");
    }

    #[test]
    fn the_limits_of_every_policy_apply() {
        let window = json!({"start": "22:00", "duration": "4h"});
        let all = requests(&[
            policy(
                "a",
                1,
                &json!({"window": window, "maxConcurrent": 3, "securityfs": {"mount": "Never"}}),
            ),
            policy("b", 2, &json!({"maxConcurrent": 2, "restartStaleAgents": true})),
            policy("c", 3, &json!({"window": window})),
        ]);
        let limits = all.limits();
        let with_window: Vec<&str> =
            limits.windows.iter().map(|(policy, _)| policy.as_str()).collect();
        assert_eq!(with_window, ["a", "c"]);
        assert_eq!(limits.max_concurrent, Some((2, "b".into())));
        assert!(limits.restart_stale);
        assert_eq!(requests(&[policy("a", 1, &json!({}))]).limits(), Limits::default());
    }

    #[test]
    fn policies_of_other_daemon_sets_and_deleted_policies_are_ignored() {
        let elsewhere = policy("a", 0, &json!({"daemonSet": {"namespace": "tetragon"}}));
        let mut deleted = asking("b", "Always", "Patch");
        deleted.metadata.deletion_timestamp = deleted.metadata.creation_timestamp.clone();
        assert_eq!(requests(&[elsewhere, deleted]).merged(), MountRequest::none());
    }
}
