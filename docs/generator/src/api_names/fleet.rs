//! One full example of what the plugin prints about a fleet.
//!
//! It names every field of its types, so a new field does not compile until it is here.

use jiff::Timestamp;
use kubectl_lsm::ask::drill::{self, Drill, DrillCounts, Group, Protection};
use kubectl_lsm::ask::nodes::{self, NodeList};
use kubectl_lsm::ask::status::{self, Status};
use kubectl_lsm::ask::why::{self, AgentPod, Why};
use kubectl_lsm::explain::{self, Explanation, Explanations};
use kubectl_lsm::fleet::{
    AgentRow, CheckRow, ConditionRow, Context, Counts, Fleet, HookProfileRow, NodeLabels,
    NodePolicyRow, NodeRow, OperatorRow, PolicyRow, ProbeRow, ReasonRow, RequireRow, SCHEMA, Shown,
    VerdictRow,
};
use lsm_ready_crds::{Evidence, State};

fn text() -> String {
    "text".to_owned()
}

pub fn fleet() -> Fleet {
    Fleet {
        schema: SCHEMA.to_owned(),
        context: Context { name: text(), server: text() },
        taken_at: Timestamp::UNIX_EPOCH,
        operator: Some(OperatorRow {
            namespace: text(),
            name: text(),
            image: text(),
            replicas_wanted: 1,
            replicas_available: 1,
        }),
        probe: Some(ProbeRow {
            namespace: text(),
            name: text(),
            image: text(),
            pods_wanted: 1,
            pods_ready: 1,
        }),
        hook_profiles: [("DIGEST".to_owned(), profile())].into(),
        nodes: vec![node()],
        policies: vec![policy()],
        agents: vec![agent()],
        notes: vec![text()],
    }
}

pub fn status() -> Status {
    status::status(fleet())
}

pub fn nodes() -> NodeList {
    NodeList {
        schema: nodes::SCHEMA,
        require: require(),
        counts: Counts::default(),
        hook_profiles: [("DIGEST".to_owned(), profile())].into(),
        nodes: vec![node()],
        notes: vec![text()],
    }
}

pub fn drill() -> Drill {
    let group = Group {
        protection: Protection::AfterBootArgument,
        reason: text(),
        message: text(),
        fix: text(),
        nodes: vec![text()],
    };
    Drill {
        schema: drill::SCHEMA,
        require: require(),
        counts: DrillCounts::default(),
        groups: vec![group],
        notes: vec![text()],
    }
}

pub fn why() -> Why {
    let agent = AgentPod {
        namespace: text(),
        name: text(),
        daemon_set: text(),
        state: text(),
        is_ready: true,
        restarts: 0,
        conditions: vec![condition()],
    };
    Why {
        schema: why::SCHEMA,
        node: node(),
        hook_profile: Some(profile()),
        agents: vec![agent],
        notes: vec![text()],
    }
}

pub fn explanations() -> Explanations {
    let explanation = Explanation {
        code: "CanaryDenied",
        of: "node",
        state: text(),
        meaning: "text",
        distinguish: "text",
        fix: "text",
    };
    Explanations { schema: explain::SCHEMA, explanations: vec![explanation] }
}

fn profile() -> HookProfileRow {
    let hooks = || [text()].into();
    HookProfileRow { kernel: text(), attachable: hooks(), sleepable: hooks(), refused: hooks() }
}

fn node() -> NodeRow {
    let label = || Some(text());
    NodeRow {
        name: text(),
        labels: NodeLabels { pool: label(), zone: label(), arch: label(), instance_type: label() },
        kernel: text(),
        os_image: text(),
        boot_id: text(),
        verdict: verdict(),
        evidence: Evidence::Denied,
        rungs: vec![check()],
        checks: vec![check()],
        observed_at: Some(Timestamp::UNIX_EPOCH),
        age_seconds: Some(0),
        is_silent: false,
        probe_version: text(),
        lsms: vec![text()],
        lockdown: label(),
        hook_profile: label(),
        shown: Shown {
            bpf: label(),
            policies: [("POLICY".to_owned(), text())].into(),
            taints: vec![text()],
            condition: Some(condition()),
        },
        policies: vec![NodePolicyRow {
            policy: text(),
            verdict: verdict(),
            has_tracing_policies: false,
        }],
    }
}

fn verdict() -> VerdictRow {
    VerdictRow { state: State::NotReady, reason: text(), message: text(), fix: text() }
}

fn check() -> CheckRow {
    let outcome = State::NotReady;
    CheckRow { name: text(), outcome, reason: text(), detail: text(), fix: text() }
}

fn condition() -> ConditionRow {
    ConditionRow {
        type_: text(),
        status: text(),
        reason: text(),
        message: text(),
        last_transition_time: Some(Timestamp::UNIX_EPOCH),
    }
}

fn policy() -> PolicyRow {
    PolicyRow {
        name: text(),
        generation: 1,
        observed_generation: Some(1),
        created_at: Some(Timestamp::UNIX_EPOCH),
        is_being_deleted: false,
        node_selector: text(),
        min_ready: text(),
        require: require(),
        taint: Some(text()),
        daemon_set: Some(text()),
        counts: Counts::default(),
        reasons: vec![ReasonRow { reason: text(), count: 1, sample: vec![text()], fix: text() }],
        conditions: vec![condition()],
    }
}

fn require() -> RequireRow {
    RequireRow {
        evidence: Evidence::Denied,
        lsms: vec![text()],
        hooks: vec![text()],
        sleepable_hooks: vec![text()],
        kernel_reads: false,
        tracing_policies: false,
    }
}

fn agent() -> AgentRow {
    AgentRow {
        namespace: text(),
        name: text(),
        is_missing: false,
        version: Some(text()),
        image: Some(text()),
        pods_wanted: 1,
        pods_ready: 1,
        pods_updated: 1,
        has_our_mount: true,
        policies: vec![text()],
        conditions: vec![condition()],
    }
}
