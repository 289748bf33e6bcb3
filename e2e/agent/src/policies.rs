//! The policies that the agent knows, each with its state.
//!
//! In: TracingPolicies that are applied and deleted, and whether LSM BPF can be used. Out: the list
//! for gRPC and the metrics. As in Tetragon, a policy that failed to load is loaded again only when
//! its spec changes, or by the next process. So a mount that is added later helps only after a
//! restart.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::enforce::{Enforced, enforce};
use crate::messages::TracingPolicyStatus;
use crate::policy;
use crate::states::{Mode, State};

const NO_LSM: &str = "LSM BPF seems to be off in this kernel; it can be turned on with lsm=...,bpf in GRUB_CMDLINE_LINUX \
    of /etc/default/grub";

/// A policy in one edition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edition {
    pub name: String,
    pub uid: String,
    pub generation: i64,
}

struct Entry {
    id: u64,
    edition: Edition,
    state: State,
    error: String,
    enforced: Option<Enforced>,
}

#[derive(Default)]
struct Table {
    last_id: u64,
    entries: BTreeMap<String, Entry>,
}

/// The policies, shared by the watch and the servers.
#[derive(Clone)]
pub struct Policies {
    lsm: bool,
    table: Arc<Mutex<Table>>,
}

impl Policies {
    /// Knows no policies yet. `lsm` is whether LSM policies can be loaded, for as long as the
    /// process runs.
    pub fn new(lsm: bool) -> Self {
        Self { lsm, table: Arc::default() }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // A panic cannot leave the table half changed: each change is one statement.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds or changes a policy. Nothing happens where this edition is known. Loading blocks the
    /// thread.
    pub fn apply(&self, edition: &Edition, spec: &Value) {
        if !self.begin(edition) {
            return;
        }
        let outcome = self.load(spec);
        let mut table = self.table();
        let Some(entry) = table.entries.get_mut(&edition.name) else {
            return;
        };
        (entry.state, entry.enforced) = match outcome {
            Ok(enforced) => (State::Enabled, enforced),
            Err(error) => {
                println!(
                    "level=warning msg=\"adding tracing policy failed\" name={} error=\"{error}\"",
                    edition.name
                );
                entry.error = format!("loading policy '{}' failed: {error}", edition.name);
                (State::LoadError, None)
            }
        };
    }

    /// Notes that the policy is loading, and returns whether it has to be loaded. An earlier
    /// edition is no longer enforced.
    fn begin(&self, edition: &Edition) -> bool {
        let mut table = self.table();
        if table.entries.get(&edition.name).is_some_and(|entry| entry.edition == *edition) {
            return false;
        }
        println!("level=info msg=\"adding tracing policy\" name={}", edition.name);
        table.last_id += 1;
        let id = table.last_id;
        let entry = Entry {
            id,
            edition: edition.clone(),
            state: State::Loading,
            error: String::new(),
            enforced: None,
        };
        table.entries.insert(edition.name.clone(), entry);
        true
    }

    fn load(&self, spec: &Value) -> Result<Option<Enforced>, String> {
        let has_hooks = spec["lsmhooks"].as_array().is_some_and(|hooks| !hooks.is_empty());
        if has_hooks && !self.lsm {
            return Err(NO_LSM.to_owned());
        }
        let rules = policy::rules(spec)?;
        if rules.is_empty() {
            return Ok(None);
        }
        enforce(&rules).map(Some).map_err(|error| format!("{error:#}"))
    }

    /// Removes a policy.
    pub fn remove(&self, name: &str) {
        if self.table().entries.remove(name).is_some() {
            println!("level=info msg=\"deleting tracing policy\" name={name}");
        }
    }

    /// Removes all policies but these.
    pub fn retain(&self, names: &[String]) {
        let gone: Vec<String> =
            self.table().entries.keys().filter(|name| !names.contains(name)).cloned().collect();
        for name in gone {
            self.remove(&name);
        }
    }

    /// The list for gRPC.
    pub fn statuses(&self) -> Vec<TracingPolicyStatus> {
        self.table().entries.values().map(status).collect()
    }
}

fn status(entry: &Entry) -> TracingPolicyStatus {
    let enabled = entry.state == State::Enabled;
    let programs = entry.enforced.as_ref().map_or(0, Enforced::programs);
    TracingPolicyStatus {
        id: entry.id,
        name: entry.edition.name.clone(),
        enabled,
        sensors: (0..programs).map(|_| "generic_lsm".to_owned()).collect(),
        error: entry.error.clone(),
        state: entry.state.into(),
        // A program in the kernel denies: this agent has no other mode.
        mode: if programs > 0 { Mode::Enforce.into() } else { Mode::Unknown.into() },
        domain: "k8s".to_owned(),
        ..TracingPolicyStatus::default()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn edition(generation: i64) -> Edition {
        Edition { name: "deny".to_owned(), uid: "1".to_owned(), generation }
    }

    fn states(policies: &Policies) -> Vec<(u64, State)> {
        policies.statuses().iter().map(|status| (status.id, status.state())).collect()
    }

    #[test]
    fn an_lsm_policy_without_lsm_bpf_fails_and_is_loaded_again_only_when_it_changes() {
        let (policies, spec) = (Policies::new(false), json!({"lsmhooks": [{"hook": "file_open"}]}));
        policies.apply(&edition(1), &spec);
        policies.apply(&edition(1), &spec);
        assert_eq!(states(&policies), [(1, State::LoadError)]);
        assert!(policies.statuses()[0].error.contains("lsm=...,bpf"));
        policies.apply(&edition(2), &spec);
        assert_eq!(states(&policies), [(2, State::LoadError)]);
    }

    #[test]
    fn a_policy_without_lsm_hooks_is_listed_as_enabled() {
        let policies = Policies::new(false);
        policies.apply(&edition(1), &json!({"kprobes": []}));
        assert_eq!(states(&policies), [(1, State::Enabled)]);
        policies.retain(&["other".to_owned()]);
        assert_eq!(states(&policies), []);
    }
}
