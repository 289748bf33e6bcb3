//! The kinds that the simulated API server keeps, and their paths.

use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Kind {
    Node,
    Report,
    Policy,
    Profile,
    DaemonSet,
    Pod,
    Lease,
    Event,
    TracingPolicy,
    TracingPolicyNamespaced,
}

use Kind::{
    DaemonSet, Event, Lease, Node, Pod, Policy, Profile, Report, TracingPolicy,
    TracingPolicyNamespaced,
};

/// Path prefix, plural, apiVersion and kind.
struct Names(&'static str, &'static str, &'static str, &'static str);

impl Kind {
    pub const ALL: [Self; 10] = [
        Node,
        Report,
        Policy,
        Profile,
        DaemonSet,
        Pod,
        Lease,
        Event,
        TracingPolicy,
        TracingPolicyNamespaced,
    ];

    /// What the operator watches.
    pub const WATCHED: [Self; 6] = [Node, Report, Policy, Profile, DaemonSet, TracingPolicy];

    /// What the operator writes, Nodes twice as often.
    pub const WRITTEN: [Self; 4] = [Node, Node, Policy, DaemonSet];

    const fn names(self) -> Names {
        const OURS: &str = "/apis/lsmready.io/v1alpha1";
        const OUR_VERSION: &str = "lsmready.io/v1alpha1";
        const CILIUM: &str = "/apis/cilium.io/v1alpha1";
        const CILIUM_VERSION: &str = "cilium.io/v1alpha1";
        match self {
            Node => Names("/api/v1", "nodes", "v1", "Node"),
            Report => Names(OURS, "lsmnodes", OUR_VERSION, "LsmNode"),
            Policy => Names(OURS, "lsmpolicies", OUR_VERSION, "LsmPolicy"),
            Profile => Names(OURS, "lsmhookprofiles", OUR_VERSION, "LsmHookProfile"),
            DaemonSet => Names("/apis/apps/v1", "daemonsets", "apps/v1", "DaemonSet"),
            Pod => Names("/api/v1", "pods", "v1", "Pod"),
            Lease => {
                Names("/apis/coordination.k8s.io/v1", "leases", "coordination.k8s.io/v1", "Lease")
            }
            Event => Names("/apis/events.k8s.io/v1", "events", "events.k8s.io/v1", "Event"),
            TracingPolicy => Names(CILIUM, "tracingpolicies", CILIUM_VERSION, "TracingPolicy"),
            TracingPolicyNamespaced => Names(
                CILIUM,
                "tracingpoliciesnamespaced",
                CILIUM_VERSION,
                "TracingPolicyNamespaced",
            ),
        }
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        self.names().3
    }

    #[must_use]
    pub const fn api_version(self) -> &'static str {
        self.names().2
    }

    pub(super) const fn prefix(self) -> &'static str {
        self.names().0
    }

    pub(super) const fn plural(self) -> &'static str {
        self.names().1
    }

    /// The position in [`Kind::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    #[must_use]
    pub const fn is_tracing_policy(self) -> bool {
        matches!(self, TracingPolicy | TracingPolicyNamespaced)
    }
}

/// What a request is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Target {
    pub kind: Kind,
    pub namespace: String,
    pub name: Option<String>,
    pub subresource: Option<String>,
}

impl Target {
    /// Reads a path such as `/apis/apps/v1/namespaces/NAMESPACE/daemonsets/NAME/status`.
    pub fn parse(path: &str) -> Option<Self> {
        Kind::ALL.into_iter().find_map(|kind| Self::of(kind, path.strip_prefix(kind.prefix())?))
    }

    fn of(kind: Kind, rest: &str) -> Option<Self> {
        let mut parts = rest.strip_prefix('/')?.split('/').peekable();
        let mut namespace = String::new();
        if parts.peek() == Some(&"namespaces") {
            parts.next();
            parts.next()?.clone_into(&mut namespace);
        }
        (parts.next()? == kind.plural()).then_some(())?;
        let name = parts.next().map(str::to_owned);
        let subresource = parts.next().map(str::to_owned);
        parts.next().is_none().then_some(Self { kind, namespace, name, subresource })
    }
}
