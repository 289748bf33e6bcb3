//! The condition `SecurityfsMounted`: whether the agent sees the host's securityfs, why not, and
//! what to do.
//!
//! In: the observation of the DaemonSet, and its state. Out: the finding for all policies
//! ([`find`]), and for one policy among several ([`SecurityfsFinding::for_policy`]).

use lsm_ready_crds::names::SECURITYFS_PATH;
use lsm_ready_crds::policy::{Apply, Mount, Tetragon};
use lsm_ready_crds::{ConditionReason, State};
use lsm_ready_tetragon::plan::{Need, NoNeed, Plan};
use lsm_ready_tetragon::refusal::{KERNEL_LACKS_SECURITYFS, Refusal, SECURITYFS_REMEDY, nodes};
use lsm_ready_tetragon::suggest;
use lsm_ready_tetragon::view::Mounted;

use crate::tetragon::gate::Closed;
use crate::tetragon::merge::Standing;
use crate::tetragon::observe::Observation;
use crate::tetragon::state::{DaemonSetState, Failure};
use crate::tetragon::write::Write;
use crate::watch::key::DaemonSetKey;

/// `SecurityfsMounted`, and whether somebody has to act.
#[derive(Debug)]
pub(super) struct SecurityfsFinding {
    pub(super) status: State,
    pub(super) reason: ConditionReason,
    pub(super) message: String,
    pub(super) stalled: bool,
}

/// The finding, whichever policy asked for the mount. The most urgent of these is reported: an
/// agent that our mount keeps from being created, a mount with which an agent cannot start, the
/// plan.
pub(super) fn find(observed: &Observation<'_>, state: &DaemonSetState) -> SecurityfsFinding {
    taking_back(observed, state)
        .or_else(|| cannot_start(observed))
        .unwrap_or_else(|| by_plan(observed, state))
        .unless_confined(observed)
}

impl SecurityfsFinding {
    fn new(status: impl Into<State>, reason: ConditionReason, message: impl Into<String>) -> Self {
        Self { status: status.into(), reason, message: message.into(), stalled: false }
    }

    fn stalled(reason: ConditionReason, message: impl Into<String>) -> Self {
        Self { stalled: true, ..Self::new(false, reason, message) }
    }

    pub(super) fn without_daemon_set(mount: Mount, message: String) -> Self {
        match mount {
            Mount::Never => not_wanted(),
            Mount::Auto | Mount::Always => {
                Self::new(false, ConditionReason::DaemonSetNotFound, message)
            }
        }
    }

    /// The mount will be added without help.
    pub(super) fn is_pending(&self) -> bool {
        let reasons = [ConditionReason::Pending, ConditionReason::OutsideWindow];
        reasons.contains(&self.reason) && !self.stalled
    }

    /// The agent sees securityfs by the plan, but not on nodes where AppArmor confines it.
    fn unless_confined(self, observed: &Observation<'_>) -> Self {
        let sees_securityfs = matches!(
            observed.plan,
            Plan::Keep { .. }
                | Plan::NotNeeded(NoNeed::AlreadyMounted(_) | NoNeed::MountsItself(_))
        );
        let confined_on =
            observed.confined_on().filter(|_| sees_securityfs && self.status == State::Ready);
        let Some(nodes) = confined_on else {
            return self;
        };
        let message = format!(
            "{nodes}, and the agent's container is not privileged: under the runtime's default \
             profile an agent there can neither start nor read {SECURITYFS_PATH}; set \
             appArmorProfile to type: Unconfined. On other nodes: {}",
            self.message
        );
        Self::stalled(ConditionReason::AppArmor, message)
    }

    /// The finding for a policy with that standing among the others.
    pub(super) fn for_policy(
        self,
        own: &Tetragon,
        standing: Standing,
        observed: &Observation<'_>,
    ) -> Self {
        match standing {
            Standing::Followed => self,
            Standing::OtherContainer { by, container } => {
                let message = format!(
                    "this policy names container {} of DaemonSet {}, but the older LsmPolicy {by} \
                     names {container}, and only one can be the agent's: name the same container \
                     in both",
                    own.daemon_set.container, observed.key
                );
                Self::stalled(ConditionReason::ContainerConflict, message)
            }
            Standing::Overruled { by, request } => {
                let found = self.overruled(own, &observed.plan);
                let message = format!(
                    "{}; this policy says mount: {:?}, apply: {:?}, but LsmPolicy {by} is \
                     followed, which says {request}",
                    found.message, own.securityfs.mount, own.securityfs.apply
                );
                Self { message, ..found }
            }
        }
    }

    fn overruled(self, own: &Tetragon, plan: &Plan) -> Self {
        let is_patched = matches!(plan, Plan::Keep { .. } | Plan::Patch { .. });
        let suggests = own.securityfs.apply == Apply::Suggest;
        let against_will = own.securityfs.mount == Mount::Never || suggests && is_patched;
        match (own.securityfs.mount, self.status) {
            // A policy that asks for nothing is not affected by what another policy fails to get.
            (Mount::Never, State::NotReady | State::Unknown) => not_wanted(),
            (_, State::Ready) if against_will => {
                Self { reason: ConditionReason::Overruled, ..self }
            }
            (_, State::Ready | State::NotReady | State::Unknown) => self,
        }
    }
}

fn not_wanted() -> SecurityfsFinding {
    let message = "the policy says mount: Never, so lsm-ready neither changes the DaemonSet nor \
     checks its mounts";
    SecurityfsFinding::new(State::Unknown, ConditionReason::NotWanted, message)
}

/// What the plan and its history mean.
fn by_plan(observed: &Observation<'_>, state: &DaemonSetState) -> SecurityfsFinding {
    let key = &observed.key;
    match &observed.plan {
        Plan::NotWanted => not_wanted(),
        Plan::NotNeeded(why) => unneeded(why),
        Plan::Keep { mounted, still_needed } => kept(mounted, still_needed.as_ref()),
        Plan::Patch { container, need } => missing(container, need, observed, state),
        Plan::Suggest { container, need } => suggested(container, need, key),
        Plan::Remove { superseded } => removing(superseded.as_ref(), observed, state),
        Plan::Refused(refusal) => refused(refusal, key, state),
    }
}

fn suggested(container: &str, need: &Need, key: &DaemonSetKey) -> SecurityfsFinding {
    let message = format!(
        "container {container} of DaemonSet {key} has no mount of securityfs, and apply: Suggest \
         leaves that to you: {need}. Add these values to those of Tetragon's chart:\n{}",
        suggest::helm_values()
    );
    SecurityfsFinding::stalled(ConditionReason::Suggested, message)
}

fn refused(refusal: &Refusal, key: &DaemonSetKey, state: &DaemonSetState) -> SecurityfsFinding {
    let is_taken_back = matches!(refusal, Refusal::TakenBack { .. });
    let cause = state.taken_back.as_ref().filter(|_| is_taken_back);
    let cause = cause.map(|cause| format!(". Seen {cause}")).unwrap_or_default();
    let message = format!("DaemonSet {key}: {refusal}{cause}");
    SecurityfsFinding::stalled(refusal.reason(), message)
}

fn unneeded(why: &NoNeed) -> SecurityfsFinding {
    match why {
        NoNeed::NoLsmHooks(_) => SecurityfsFinding::stalled(why.reason(), why.to_string()),
        NoNeed::AlreadyMounted(_) | NoNeed::MountsItself(_) => {
            SecurityfsFinding::new(true, why.reason(), why.to_string())
        }
    }
}

fn kept(mounted: &Mounted, still_needed: Option<&Need>) -> SecurityfsFinding {
    let volume = &mounted.volume;
    let message = match still_needed {
        Some(need) => format!("volume {volume} is {mounted}: {need}"),
        None => format!(
            "volume {volume} is {mounted}; this agent no longer needs it, but to remove it would \
             restart every agent: set mount: Never when that suits you"
        ),
    };
    SecurityfsFinding::new(true, ConditionReason::Mounted, message)
}

/// The mount is to be added: why it is not there, or not yet.
fn missing(
    container: &str,
    need: &Need,
    observed: &Observation<'_>,
    state: &DaemonSetState,
) -> SecurityfsFinding {
    if let Some(closed) = observed.gate.closed(&observed.key) {
        let message = format!("the mount is missing ({need}), and {}", closed.message);
        let found = SecurityfsFinding::new(false, closed.reason, message);
        return SecurityfsFinding { stalled: closed.stalled, ..found };
    }
    let failure = state.failure.as_ref().filter(|failure| failure.write != Write::Remove);
    if let Some(failure) = failure {
        return failed(failure, &observed.key);
    }
    if let Some(until) = state.reverts.paused_until() {
        return SecurityfsFinding::stalled(
            ConditionReason::Contested,
            contested(&observed.key, until),
        );
    }
    let message =
        format!("the mount is missing and about to be added to container {container}: {need}");
    SecurityfsFinding::new(false, ConditionReason::Pending, message)
}

fn failed(failure: &Failure, key: &DaemonSetKey) -> SecurityfsFinding {
    let message = format!("the mount is missing from DaemonSet {key}: {}", failure.message);
    let found = SecurityfsFinding::new(false, failure.reason, message);
    SecurityfsFinding { stalled: failure.lasting, ..found }
}

fn contested(key: &DaemonSetKey, until: jiff::Timestamp) -> String {
    format!(
        "the mount is missing: another manager keeps removing it from DaemonSet {key}, so \
         lsm-ready pauses until {until:.0} and then tries once more. Find the manager with \
         `kubectl -n {namespace} get daemonset {name} --show-managed-fields -o yaml`. Either make \
         it ignore our fields, in Argo CD with:\n{argo_cd}or set apply: Suggest and add these \
         values to those of Tetragon's chart:\n{values}",
        namespace = key.namespace,
        name = key.name,
        argo_cd = suggest::argo_cd(Some(&key.namespace), &key.name),
        values = suggest::helm_values()
    )
}

/// What is ours is to be removed. The mount that replaced it counts, where there is one.
fn removing(
    superseded: Option<&NoNeed>,
    observed: &Observation<'_>,
    state: &DaemonSetState,
) -> SecurityfsFinding {
    let found = superseded.map_or_else(not_wanted, unneeded);
    let failure = state.failure.as_ref().filter(|failure| failure.write == Write::Remove);
    let leftovers = match (observed.gate.closed(&observed.key), failure) {
        (Some(closed), _) => {
            format!("what lsm-ready added is removed later: {}", closed.message)
        }
        (None, Some(failure)) => {
            format!("what lsm-ready added could not be removed: {}", failure.message)
        }
        (None, None) if state.label_is_theirs => {
            "our label on it is set by another manager and stays".to_owned()
        }
        (None, None) => "what lsm-ready added is being removed".to_owned(),
    };
    SecurityfsFinding { message: format!("{}; {leftovers}", found.message), ..found }
}

/// A mount is there, and an agent with it cannot start on some nodes.
/// docs/adr/0016-kernels-without-securityfs.md says why our mount stays.
fn cannot_start(observed: &Observation<'_>) -> Option<SecurityfsFinding> {
    let without_securityfs = &observed.request.without_securityfs;
    if without_securityfs.is_empty() {
        return None;
    }
    let (mounted, stays) = why_it_stays(&observed.plan)?;
    let message = format!(
        "volume {} is {mounted}, and an agent with it cannot start on {}: {KERNEL_LACKS_SECURITYFS}. \
         {SECURITYFS_REMEDY}. {stays}",
        mounted.volume,
        nodes(without_securityfs)
    );
    Some(SecurityfsFinding::stalled(ConditionReason::NodesWithoutSecurityfs, message))
}

/// The mount with which an agent cannot start, and why it stays.
fn why_it_stays(plan: &Plan) -> Option<(&Mounted, &'static str)> {
    match plan {
        Plan::Keep { mounted, still_needed: Some(_) } => {
            Some((mounted, "lsm-ready leaves the mount, because the other agents need it"))
        }
        Plan::Keep { mounted, still_needed: None } => Some((
            mounted,
            "The agents no longer need the mount: mount: Never removes it, which restarts all of \
             them",
        )),
        // A mount of a directory above does not keep an agent from starting.
        Plan::NotNeeded(NoNeed::AlreadyMounted(mounted)) if mounted.path == SECURITYFS_PATH => {
            Some((mounted, "lsm-ready did not add this mount and does not change it"))
        }
        Plan::NotWanted
        | Plan::NotNeeded(_)
        | Plan::Patch { .. }
        | Plan::Suggest { .. }
        | Plan::Remove { .. }
        | Plan::Refused(_) => None,
    }
}

/// Our mount keeps an agent from being created, and is being taken back.
fn taking_back(observed: &Observation<'_>, state: &DaemonSetState) -> Option<SecurityfsFinding> {
    let Plan::Keep { mounted, .. } = &observed.plan else {
        return None;
    };
    let cause = state.blame(&observed.rollout)?;
    let failure =
        state.failure.as_ref().filter(|failure| matches!(failure.write, Write::TakeBack { .. }));
    // Windows and budgets do not delay this.
    let closed = observed.gate.closed(&observed.key);
    let held = closed.filter(|closed| closed.reason == ConditionReason::Held);
    let message = format!(
        "an agent cannot be created with volume {}, which lsm-ready added: {cause}; {}",
        mounted.volume,
        next_step(held.as_ref(), failure)
    );
    let stalled = held.is_some() || failure.is_some_and(|failure| failure.lasting);
    let found = SecurityfsFinding::new(false, ConditionReason::TakenBack, message);
    Some(SecurityfsFinding { stalled, ..found })
}

fn next_step(held: Option<&Closed>, failure: Option<&Failure>) -> String {
    match (held, failure) {
        (Some(held), _) => format!("lsm-ready does not remove the mount, because {}", held.message),
        (None, Some(failure)) => format!("the mount could not be removed: {}", failure.message),
        (None, None) => "lsm-ready removes the mount".to_owned(),
    }
}
