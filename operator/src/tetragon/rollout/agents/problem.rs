//! What holds an agent up: the kind of problem, and where it is.

/// The kinds of problems, worst first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum ProblemKind {
    /// The image cannot be pulled.
    ImagePull,
    /// A container cannot be created or started, or the pod's volumes cannot be mounted.
    ContainerCreateFailed,
    /// A container was started and does not stay up.
    CrashLooping,
    /// The scheduler finds no node for the pod.
    Unschedulable,
    /// The agent is not ready, or should be gone and is not, for longer than
    /// [`PATIENCE`](super::PATIENCE).
    Unavailable,
}

/// What holds an agent up.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// The kind of problem.
    pub kind: ProblemKind,
    /// The agent's node.
    pub node: String,
    /// The agent's pod.
    pub pod: String,
    /// The container, where the problem is that of one container.
    pub container: Option<String>,
    /// What the kubelet or the scheduler says.
    pub message: String,
}

impl Problem {
    /// `on n1 (pod tetragon-x, container tetragon): …`
    pub fn words(&self) -> String {
        let node = if self.node.is_empty() { "no node" } else { &self.node };
        let container =
            self.container.as_ref().map(|name| format!(", container {name}")).unwrap_or_default();
        format!("on {node} (pod {}{container}): {}", self.pod, self.message)
    }
}
