//! What several policies together want of one DaemonSet.
//!
//! In: all policies. Out: the merged wish and, for each policy, whether it was followed. The strongest wish wins: a
//! policy that wants less can be overruled, never one that wants more. Policies that name different containers cannot
//! both be followed; the oldest one decides, so that a policy added later does not move a mount that is in use.

use kube::ResourceExt;
use lsm_ready_crds::LsmPolicy;
use lsm_ready_crds::policy::{Apply, Mount, Tetragon};
use lsm_ready_tetragon::plan::MountRequest;

use super::gate::Limits;
use crate::watch::key::DaemonSetKey;

/// What each policy wants of one DaemonSet, oldest policy first.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Wishes {
    askers: Vec<Asker>,
    /// Nodes of the DaemonSet whose kernels have no securityfs.
    without_securityfs: Vec<String>,
}

/// What one policy wants.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Asker {
    policy: String,
    container: String,
    mount: Mount,
    apply: Apply,
    limits: Limits,
}

/// How a policy's wish fared against the others'.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Standing {
    /// It is followed.
    Followed,
    /// Another policy wants more: its name, and its wish in words.
    Overruled {
        /// Name of that policy.
        by: String,
        /// `mount: Auto, apply: Patch`
        wish: String,
    },
    /// An older policy names another container.
    OtherContainer {
        /// Name of that policy.
        by: String,
        /// The container that it names.
        container: String,
    },
}

impl Wishes {
    /// The wishes of those policies for that DaemonSet. A policy that is being deleted wants nothing any more.
    pub fn of<'a>(key: &DaemonSetKey, policies: impl IntoIterator<Item = &'a LsmPolicy>) -> Self {
        let mut asking: Vec<&LsmPolicy> = policies
            .into_iter()
            .filter(|policy| policy.metadata.deletion_timestamp.is_none())
            .filter(|policy| DaemonSetKey::named_by(&policy.spec).as_ref() == Some(key))
            .collect();
        asking.sort_by_key(|policy| {
            let created = policy.metadata.creation_timestamp.as_ref().map(|time| time.0);
            (created, policy.name_any())
        });
        Self {
            askers: asking.into_iter().filter_map(asker).collect(),
            without_securityfs: Vec::new(),
        }
    }

    /// The same wishes, for a DaemonSet with these nodes whose kernels have no securityfs.
    pub fn with_nodes_without_securityfs(self, nodes: Vec<String>) -> Self {
        Self { without_securityfs: nodes, ..self }
    }

    /// The wish to follow.
    pub fn merged(&self) -> MountRequest {
        let Some(first) = self.first() else {
            return MountRequest::none();
        };
        let strongest = |apply: Apply| {
            let heard = self
                .askers
                .iter()
                .filter(|asker| asker.container == first.container && asker.apply == apply);
            heard.map(|asker| asker.mount).max().unwrap_or(Mount::Never)
        };
        MountRequest {
            container: first.container.clone(),
            patch: strongest(Apply::Patch),
            suggest: strongest(Apply::Suggest),
            without_securityfs: self.without_securityfs.clone(),
        }
    }

    /// What all of them say about when and how agents may be restarted: a limit of any holds, whatever else it wishes.
    pub fn limits(&self) -> Limits {
        let all = || self.askers.iter().map(|asker| &asker.limits);
        Limits {
            windows: all().flat_map(|limits| limits.windows.clone()).collect(),
            max_concurrent: all().filter_map(|limits| limits.max_concurrent.clone()).min(),
            restart_stale: all().any(|limits| limits.restart_stale),
        }
    }

    /// Names of the policies, oldest first.
    pub fn policies(&self) -> impl Iterator<Item = &str> {
        self.askers.iter().map(|asker| asker.policy.as_str())
    }

    /// How that policy's wish fared.
    pub fn standing(&self, policy: &str) -> Standing {
        let (Some(own), Some(first)) =
            (self.askers.iter().find(|asker| asker.policy == policy), self.first())
        else {
            return Standing::Followed;
        };
        if own.mount > Mount::Never && own.container != first.container {
            return Standing::OtherContainer {
                by: first.policy.clone(),
                container: first.container.clone(),
            };
        }
        let heard = self
            .askers
            .iter()
            .filter(|asker| asker.mount > Mount::Never && asker.container == first.container);
        match heard.max_by_key(|asker| asker.strength()) {
            Some(strongest) if strongest.strength() > own.strength() => Standing::Overruled {
                by: strongest.policy.clone(),
                wish: format!("mount: {:?}, apply: {:?}", strongest.mount, strongest.apply),
            },
            _ => Standing::Followed,
        }
    }

    /// The oldest policy that wants anything: its container counts.
    fn first(&self) -> Option<&Asker> {
        self.askers.iter().find(|asker| asker.mount > Mount::Never)
    }
}

impl Asker {
    /// Who only wants to be told is never stronger than who wants a change; `Never` is the weakest, whatever is said
    /// about applying.
    fn strength(&self) -> (bool, Apply, Mount) {
        let wants = self.mount > Mount::Never;
        (wants, if wants { self.apply } else { Apply::Suggest }, self.mount)
    }
}

fn limits(policy: String, tetragon: &Tetragon) -> Limits {
    Limits {
        windows: tetragon.window.iter().map(|window| (policy.clone(), window.schedule())).collect(),
        max_concurrent: tetragon.max_concurrent.map(|max| (max, policy)),
        restart_stale: tetragon.restart_stale_agents,
    }
}

fn asker(policy: &LsmPolicy) -> Option<Asker> {
    let tetragon = policy.spec.tetragon.as_ref()?;
    Some(Asker {
        policy: policy.name_any(),
        container: tetragon.daemon_set.container.clone(),
        mount: tetragon.securityfs.mount,
        apply: tetragon.securityfs.apply,
        limits: limits(policy.name_any(), tetragon),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A policy made at that second that wants this of kube-system/tetragon.
    fn policy(name: &str, second: u32, tetragon: &Value) -> LsmPolicy {
        serde_json::from_value(json!({
            "apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy",
            "metadata": {"name": name, "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z")},
            "spec": {"tetragon": tetragon},
        }))
        .unwrap()
    }

    fn wishing(name: &str, mount: &str, apply: &str) -> LsmPolicy {
        policy(name, 0, &json!({"securityfs": {"mount": mount, "apply": apply}}))
    }

    fn wishes(policies: &[LsmPolicy]) -> Wishes {
        Wishes::of(
            &DaemonSetKey { namespace: "kube-system".into(), name: "tetragon".into() },
            policies,
        )
    }

    fn overruled(by: &str, wish: &str) -> Standing {
        Standing::Overruled { by: by.into(), wish: wish.into() }
    }

    #[test]
    fn the_strongest_wish_wins() {
        use Mount::{Always, Auto, Never};
        for (policies, patch, suggest) in [
            (vec![], Never, Never),
            (vec![("Never", "Patch")], Never, Never),
            (vec![("Auto", "Patch"), ("Always", "Patch"), ("Never", "Patch")], Always, Never),
            // Never and its default, Patch, do not turn another's suggestion into a patch.
            (vec![("Never", "Patch"), ("Auto", "Suggest")], Never, Auto),
            // Nobody asked for a patch in any case.
            (vec![("Auto", "Patch"), ("Always", "Suggest")], Auto, Always),
        ] {
            let asking: Vec<LsmPolicy> = policies
                .iter()
                .enumerate()
                .map(|(n, (mount, apply))| wishing(&format!("p{n}"), mount, apply))
                .collect();
            let merged = wishes(&asking).merged();
            assert_eq!((merged.patch, merged.suggest), (patch, suggest), "{policies:?}");
        }
    }

    #[test]
    fn the_weaker_learn_who_overruled_them() {
        let all = wishes(&[
            wishing("a", "Never", "Patch"),
            wishing("b", "Auto", "Suggest"),
            wishing("c", "Auto", "Patch"),
        ]);
        let winner = overruled("c", "mount: Auto, apply: Patch");
        assert_eq!(all.standing("a"), winner);
        assert_eq!(all.standing("b"), winner);
        assert_eq!(all.standing("c"), Standing::Followed);
        assert_eq!(all.standing("stranger"), Standing::Followed);
    }

    #[test]
    fn of_two_containers_the_oldest_policys_counts() {
        let agent = json!({"daemonSet": {"container": "agent"}});
        let all = wishes(&[policy("a", 2, &agent), policy("z", 1, &json!({}))]);
        assert_eq!(all.merged().container, "tetragon");
        assert_eq!(
            all.standing("a"),
            Standing::OtherContainer { by: "z".into(), container: "tetragon".into() }
        );
        assert_eq!(all.standing("z"), Standing::Followed);
        // The name decides between equals, and who wants nothing has no container to insist on.
        let nothing =
            json!({"daemonSet": {"container": "other"}, "securityfs": {"mount": "Never"}});
        let all =
            wishes(&[policy("b", 1, &json!({})), policy("a", 1, &agent), policy("n", 0, &nothing)]);
        assert_eq!(all.merged().container, "agent");
    }

    #[test]
    fn the_limits_of_all_hold() {
        let window = json!({"start": "22:00", "duration": "4h"});
        let all = wishes(&[
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
        assert_eq!(wishes(&[policy("a", 1, &json!({}))]).limits(), Limits::default());
    }

    #[test]
    fn others_and_the_dying_are_not_asked() {
        let elsewhere = policy("a", 0, &json!({"daemonSet": {"namespace": "tetragon"}}));
        let mut dying = wishing("b", "Always", "Patch");
        dying.metadata.deletion_timestamp = dying.metadata.creation_timestamp.clone();
        assert_eq!(wishes(&[elsewhere, dying]).merged(), MountRequest::none());
    }
}
