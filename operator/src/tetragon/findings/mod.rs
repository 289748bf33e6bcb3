//! What an `LsmPolicy`'s status says about Tetragon: the conditions `SecurityfsMounted`, `TetragonRolledOut` and
//! `TetragonHardened`, and `Stalled` where somebody has to act.
//!
//! In: the policy, the DaemonSet that it names, the wishes of all policies and what is remembered. Out: the conditions; a
//! pure function, so the status is the same whichever controller looked first.

use k8s_openapi::api::apps::v1::DaemonSet;
use lsm_ready_crds::ConditionReason;
use lsm_ready_crds::LsmPolicy;
use lsm_ready_crds::State;
use lsm_ready_crds::conditions::{
    Finding, SECURITYFS_MOUNTED, STALLED, TETRAGON_HARDENED, TETRAGON_ROLLED_OUT,
};
use lsm_ready_crds::names::SECURITYFS_PATH;
use lsm_ready_crds::policy::{Apply, Mount, Tetragon};
use lsm_ready_tetragon::audit::{Advice, audit};
use lsm_ready_tetragon::plan::{Need, NoNeed, Plan, plan};
use lsm_ready_tetragon::refusal::{KERNEL_LACKS_SECURITYFS, Refusal, SECURITYFS_REMEDY, nodes};
use lsm_ready_tetragon::suggest;

use super::app_armor::{AppArmorOn, confined, unless_confined};
use super::gate::{Closed, Gate};
use super::memory::Remembered;
use super::rollout::rollout;
use super::step::{Write, blamed};
use super::wishes::{Standing, Wishes};
use crate::watch::key::DaemonSetKey;

/// The conditions.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Findings {
    /// Whether the agent sees securityfs.
    pub securityfs: Finding,
    /// Whether every agent runs the present pod template; Unknown while they are being replaced.
    pub rolled_out: Finding,
    /// Whether the agent's container may do more than its work needs. Advice that holds up nothing.
    pub hardened: Finding,
    /// Nothing goes on until somebody acts.
    pub stalled: Option<Finding>,
}

/// `SecurityfsMounted`, and whether somebody has to act.
struct Judged {
    status: State,
    reason: ConditionReason,
    message: String,
    stalled: bool,
}

impl Judged {
    fn new(status: impl Into<State>, reason: ConditionReason, message: impl Into<String>) -> Self {
        Self { status: status.into(), reason, message: message.into(), stalled: false }
    }

    fn stalled(reason: ConditionReason, message: impl Into<String>) -> Self {
        Self { stalled: true, ..Self::new(false, reason, message) }
    }
}

/// The conditions of that policy.
pub fn findings_on(
    on: &AppArmorOn,
    policy: &LsmPolicy,
    (key, daemon_set): (&DaemonSetKey, Option<&DaemonSet>),
    wishes: &Wishes,
    (remembered, gate): (&Remembered, &Gate),
) -> Findings {
    let own = policy.spec.tetragon.clone().unwrap_or_default();
    let Some(daemon_set) = daemon_set else {
        return not_found(key, &own);
    };
    let wish = wishes.merged();
    let plan = unless_confined(plan(daemon_set, &wish), daemon_set, &wish.container, on);
    let closed = gate.clone().before(&plan).closed(key);
    let judged = judge(&plan, key, remembered, closed.as_ref());
    let judged = cannot_start(&plan, &wish.without_securityfs).unwrap_or(judged);
    let judged = taking_back(&plan, daemon_set, remembered, gate.closed(key)).unwrap_or(judged);
    let judged = confined_on(judged, &plan, confined(daemon_set, &wish.container, on));
    let pending = [ConditionReason::Pending, ConditionReason::OutsideWindow]
        .contains(&judged.reason)
        && !judged.stalled;
    let name = policy.metadata.name.as_deref().unwrap_or_default();
    let judged = against_others(judged, &plan, key, &own, wishes.standing(name));
    let rolled_out = if pending {
        let message = match &closed {
            Some(closed) => format!(
                "adding the mount to DaemonSet {key} replaces its agents: {}",
                closed.message
            ),
            None => format!(
                "the mount is about to be added to DaemonSet {key}, which replaces its agents"
            ),
        };
        Finding::new(TETRAGON_ROLLED_OUT, State::Unknown, ConditionReason::Pending, message)
    } else {
        let found =
            rollout(daemon_set, remembered.look.as_ref().and_then(|look| look.seen(daemon_set)));
        match &remembered.stale.refused {
            Some(refused) => Finding { message: format!("{}; {refused}", found.message), ..found },
            None => found,
        }
    };
    Findings::of(judged, rolled_out, hardened(daemon_set, &own, on))
}

impl Findings {
    fn of(judged: Judged, rolled_out: Finding, hardened: Finding) -> Self {
        let Judged { status, reason, message, stalled } = judged;
        let securityfs = Finding::new(SECURITYFS_MOUNTED, status, reason, message);
        let stalled =
            stalled.then(|| Finding { type_: STALLED, status: State::Ready, ..securityfs.clone() });
        Self { securityfs, rolled_out, hardened, stalled }
    }
}

fn not_found(key: &DaemonSetKey, own: &Tetragon) -> Findings {
    let message = format!(
        "there is no DaemonSet {key}: set spec.tetragon.daemonSet to Tetragon's namespace and name (kubectl get daemonsets \
         -A), or install it"
    );
    let rolled_out =
        Finding::new(TETRAGON_ROLLED_OUT, false, ConditionReason::DaemonSetNotFound, &message);
    let hardened = Finding::new(
        TETRAGON_HARDENED,
        State::Unknown,
        ConditionReason::DaemonSetNotFound,
        &message,
    );
    let judged = match own.securityfs.mount {
        Mount::Never => not_wanted(),
        Mount::Auto | Mount::Always => {
            Judged::new(false, ConditionReason::DaemonSetNotFound, message)
        }
    };
    Findings::of(judged, rolled_out, hardened)
}

/// The reason is that of the first excess, the message tells of all.
fn hardened(daemon_set: &DaemonSet, own: &Tetragon, on: &AppArmorOn) -> Finding {
    let found = |status, reason, message| Finding::new(TETRAGON_HARDENED, status, reason, message);
    match audit(daemon_set, &own.daemon_set.container, &on.nodes).as_deref() {
        Ok([]) => {
            let message =
                "nothing was found that the agent's container may do and was seen to do without";
            found(State::Ready, ConditionReason::NothingFound, message.to_owned())
        }
        Ok(all @ [first, ..]) => {
            let messages: Vec<&str> =
                all.iter().map(|Advice { message, .. }| message.as_str()).collect();
            found(State::NotReady, first.reason, messages.join(". "))
        }
        Err(refusal) => found(State::Unknown, refusal.reason(), refusal.to_string()),
    }
}

fn not_wanted() -> Judged {
    let message = "the policy says mount: Never, so the DaemonSet is left as it is and its mounts are not looked at";
    Judged::new(State::Unknown, ConditionReason::NotWanted, message)
}

/// What the plan and its history mean, whoever wished it.
fn judge(
    plan: &Plan,
    key: &DaemonSetKey,
    remembered: &Remembered,
    closed: Option<&Closed>,
) -> Judged {
    match plan {
        Plan::NotWanted => not_wanted(),
        Plan::NotNeeded(why) => unneeded(why),
        Plan::Keep { mounted, still_needed: Some(need) } => Judged::new(
            true,
            ConditionReason::Mounted,
            format!("volume {} is {mounted}: {need}", mounted.volume),
        ),
        Plan::Keep { mounted, still_needed: None } => {
            let message = format!(
                "volume {} is {mounted}; this agent does not need it any more, but taking it out would restart every agent: \
                 say mount: Never when that suits",
                mounted.volume
            );
            Judged::new(true, ConditionReason::Mounted, message)
        }
        Plan::Patch { container, need } => {
            held_back(need, key, remembered, closed).unwrap_or_else(|| {
                Judged::new(
                    false,
                    ConditionReason::Pending,
                    format!("the mount is about to be added to container {container}: {need}"),
                )
            })
        }
        Plan::Suggest { container, need } => {
            let message = format!(
                "container {container} of DaemonSet {key} has no mount of securityfs, and apply: Suggest leaves that to \
                 you: {need}. Values for Tetragon's chart, to be added to yours:\n{}",
                suggest::helm_values()
            );
            Judged::stalled(ConditionReason::Suggested, message)
        }
        Plan::Remove { superseded } => giving_back(superseded.as_ref(), remembered, closed),
        Plan::Refused(refusal) => {
            let said = remembered
                .taken_back
                .as_ref()
                .filter(|_| matches!(refusal, Refusal::TakenBack { .. }));
            let said = said.map(|said| format!(". It was {said}")).unwrap_or_default();
            Judged::stalled(refusal.reason(), format!("DaemonSet {key}: {refusal}{said}"))
        }
    }
}

/// A mount is there, and an agent with it cannot start on some nodes. docs/adr/0016-kernels-without-securityfs.md says why
/// ours stays.
fn cannot_start(plan: &Plan, without_securityfs: &[String]) -> Option<Judged> {
    let (mounted, stays) = match plan {
        _ if without_securityfs.is_empty() => return None,
        Plan::Keep { mounted, still_needed: Some(_) } => {
            (mounted, "lsm-ready leaves the mount, because the other agents need it")
        }
        Plan::Keep { mounted, still_needed: None } => (
            mounted,
            "The agents no longer need the mount: mount: Never removes it, which restarts all of them",
        ),
        // A mount of a directory above does not keep an agent from starting.
        Plan::NotNeeded(NoNeed::AlreadyMounted(mounted)) if mounted.path == SECURITYFS_PATH => {
            (mounted, "lsm-ready did not add this mount and does not change it")
        }
        _ => return None,
    };
    let message = format!(
        "volume {} is {mounted}, and an agent with it cannot start on {}: {KERNEL_LACKS_SECURITYFS}. {SECURITYFS_REMEDY}. {stays}",
        mounted.volume,
        nodes(without_securityfs)
    );
    Some(Judged::stalled(ConditionReason::NodesWithoutSecurityfs, message))
}

fn unneeded(why: &NoNeed) -> Judged {
    match why {
        NoNeed::NoLsmHooks(_) => Judged::stalled(why.reason(), why.to_string()),
        NoNeed::AlreadyMounted(_) | NoNeed::MountsItself(_) => {
            Judged::new(true, why.reason(), why.to_string())
        }
    }
}

/// Our mount keeps an agent from being created, and is being taken back.
fn taking_back(
    plan: &Plan,
    daemon_set: &DaemonSet,
    remembered: &Remembered,
    closed: Option<Closed>,
) -> Option<Judged> {
    let Plan::Keep { mounted, .. } = plan else {
        return None;
    };
    let blame = blamed(remembered, daemon_set)?;
    let failed = remembered
        .failure
        .as_ref()
        .filter(|failure| matches!(failure.write, Write::TakeBack { .. }));
    let (next, stalled) =
        match (closed.filter(|closed| closed.reason == ConditionReason::Held), failed) {
            (Some(held), _) => {
                (format!("lsm-ready would take the mount back, but {}", held.message), true)
            }
            (None, Some(failure)) => {
                (format!("it could not be taken back: {}", failure.message), failure.lasting)
            }
            (None, None) => ("lsm-ready takes it back".to_owned(), false),
        };
    let message = format!(
        "an agent cannot be created with volume {}, which lsm-ready added: {}; {next}",
        mounted.volume, blame.said
    );
    Some(Judged { stalled, ..Judged::new(false, ConditionReason::TakenBack, message) })
}

/// What the plan says is not so on nodes where AppArmor keeps the agent from securityfs.
fn confined_on(judged: Judged, plan: &Plan, confined: Option<String>) -> Judged {
    let sees = matches!(
        plan,
        Plan::Keep { .. } | Plan::NotNeeded(NoNeed::AlreadyMounted(_) | NoNeed::MountsItself(_))
    );
    let Some(nodes) = confined.filter(|_| sees && judged.status == State::Ready) else {
        return judged;
    };
    let message = format!(
        "{nodes}, and the agent's container is not privileged: under the runtime's default profile an agent there can neither \
         start nor read /sys/kernel/security; set appArmorProfile to type: Unconfined. Elsewhere: {}",
        judged.message
    );
    Judged::stalled(ConditionReason::AppArmor, message)
}

/// Why the mount that should be added is not, or not yet.
fn held_back(
    need: &Need,
    key: &DaemonSetKey,
    remembered: &Remembered,
    closed: Option<&Closed>,
) -> Option<Judged> {
    closed.map(|closed| not_now(need, closed)).or_else(|| blocked(key, remembered))
}

/// The mount is lacking, and the gate before it is closed.
fn not_now(need: &Need, closed: &Closed) -> Judged {
    let judged = Judged::new(
        false,
        closed.reason,
        format!("the mount is lacking ({need}), and {}", closed.message),
    );
    Judged { stalled: closed.stalled, ..judged }
}

/// Why adding the mount fails.
fn blocked(key: &DaemonSetKey, remembered: &Remembered) -> Option<Judged> {
    if let Some(failure) =
        remembered.failure.as_ref().filter(|failure| failure.write != Write::GiveBack)
    {
        let judged = Judged::new(false, failure.reason, failure.message.clone());
        return Some(Judged { stalled: failure.lasting, ..judged });
    }
    let until = remembered.contest.paused_until()?;
    let message = format!(
        "somebody keeps taking the mount out of DaemonSet {key} again, so lsm-ready pauses until {until:.0} and then tries \
         once more. Find out who with `kubectl -n {} get daemonset {} --show-managed-fields -o yaml`, and either make them \
         leave our fields alone, in Argo CD with:\n{}or say apply: Suggest and give Tetragon's chart the values:\n{}",
        key.namespace,
        key.name,
        suggest::argo_cd(Some(&key.namespace), &key.name),
        suggest::helm_values()
    );
    Some(Judged::stalled(ConditionReason::Contested, message))
}

fn giving_back(
    superseded: Option<&NoNeed>,
    remembered: &Remembered,
    closed: Option<&Closed>,
) -> Judged {
    let mut judged = superseded.map_or_else(not_wanted, unneeded);
    if let Some(closed) = closed {
        let later = format!("; what lsm-ready had added is taken out later: {}", closed.message);
        judged.message.push_str(&later);
        return judged;
    }
    let leftovers =
        match remembered.failure.as_ref().filter(|failure| failure.write == Write::GiveBack) {
            Some(failure) => {
                format!("; what lsm-ready had added could not be taken out: {}", failure.message)
            }
            None if remembered.label_is_theirs => {
                "; our label on it was set by somebody else and stays".to_owned()
            }
            None => "; what lsm-ready had added is being taken out".to_owned(),
        };
    judged.message.push_str(&leftovers);
    judged
}

/// What it means for a policy that is not alone.
fn against_others(
    judged: Judged,
    plan: &Plan,
    key: &DaemonSetKey,
    own: &Tetragon,
    standing: Standing,
) -> Judged {
    let (by, wish) = match standing {
        Standing::Followed => return judged,
        Standing::OtherContainer { by, container } => {
            let message = format!(
                "this policy names container {} of DaemonSet {key}, but the older LsmPolicy {by} names {container}, and \
                 only one can be the agent's: name the same container in both",
                own.daemon_set.container
            );
            return Judged::stalled(ConditionReason::ContainerConflict, message);
        }
        Standing::Overruled { by, wish } => (by, wish),
    };
    let patched = matches!(plan, Plan::Keep { .. } | Plan::Patch { .. });
    let against_will =
        own.securityfs.mount == Mount::Never || own.securityfs.apply == Apply::Suggest && patched;
    let judged = match (own.securityfs.mount, judged.status) {
        // Whether another policy gets its wish is no concern of one that wants nothing.
        (Mount::Never, State::NotReady | State::Unknown) => not_wanted(),
        (_, State::Ready) if against_will => {
            Judged { reason: ConditionReason::Overruled, ..judged }
        }
        _ => judged,
    };
    let message = format!(
        "{}; this policy says mount: {:?}, apply: {:?}, but LsmPolicy {by} is followed, which says {wish}",
        judged.message, own.securityfs.mount, own.securityfs.apply
    );
    Judged { message, ..judged }
}

#[cfg(test)]
mod tests;
