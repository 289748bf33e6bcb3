//! What the operator should make of the world, in the end: also the statuses, which follow later
//! than the labels. Where nothing differs, nothing is left to write.

use std::collections::BTreeMap;

use e2e::request;
use serde_json::{Value, json};

use super::{API, DEADLINE, Evidence, Node, TETRAGON, World};

const PREFIX: &str = "lsmready.node-restriction.kubernetes.io/";
/// The taint that the policy `enforce` asks for.
const TAINT: &str = "lsmready.io/not-ready";

/// What a Node object says.
#[derive(Debug, PartialEq)]
struct Shown {
    labels: BTreeMap<String, String>,
    is_tainted: bool,
    /// Status and reason.
    condition: [String; 2],
    /// The boot that the condition's message is about. After a reboot nothing else may differ.
    boot: String,
}

impl World {
    /// The first thing that is not as it should be.
    pub async fn difference(&self) -> Option<String> {
        match tokio::time::timeout(DEADLINE, self.compare()).await {
            Ok(Ok(difference)) => difference,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some("the API server does not answer".to_owned()),
        }
    }

    async fn compare(&self) -> Result<Option<String>, request::Error> {
        let get = async |path: &str| request::done(&self.client, "GET", path, &Value::Null).await;
        let nodes = get("/api/v1/nodes").await?;
        for object in nodes["items"].as_array().into_iter().flatten() {
            let name = object["metadata"]["name"].as_str().unwrap_or_default();
            let (found, wanted) = (Shown::of(object), self.wanted(&self.nodes[name]));
            if found != wanted {
                return Ok(Some(format!("node {name}: {found:?} in place of {wanted:?}")));
            }
        }
        let text = get(TETRAGON).await?.to_string();
        if text.contains("lsm-ready-securityfs") != self.mount {
            return Ok(Some(format!("the mount in Tetragon's DaemonSet is not {}", self.mount)));
        }
        for (name, exists) in [("enforce", self.enforce), ("mount", self.mount)] {
            if !exists {
                continue;
            }
            let policy = get(&format!("{API}/lsmpolicies/{name}")).await?;
            if let Some(difference) = self.policy_difference(&policy) {
                return Ok(Some(format!("policy {name}: {difference}")));
            }
        }
        Ok(None)
    }

    fn wanted(&self, node: &Node) -> Shown {
        let proves = node.proves();
        let words = |yes: &str, no: &str| match proves {
            Some(true) => yes.to_owned(),
            Some(false) => no.to_owned(),
            None => "unknown".to_owned(),
        };
        let mut labels = BTreeMap::from([("bpf".to_owned(), words("true", "false"))]);
        if self.enforce {
            labels.insert("policy.enforce".to_owned(), words("ready", "not-ready"));
        }
        if self.mount {
            labels.insert("policy.mount".to_owned(), words("ready", "not-ready"));
        }
        let status = match proves {
            Some(true) => "True",
            Some(false) => "False",
            None => "Unknown",
        };
        Shown {
            labels,
            is_tainted: self.enforce && proves != Some(true),
            condition: [status, node.reason()].map(ToOwned::to_owned),
            boot: format!("boot-{}", node.boot),
        }
    }

    /// Both policies select every node.
    fn policy_difference(&self, policy: &Value) -> Option<String> {
        let count = |state| self.nodes.values().filter(|node| node.proves() == state).count();
        let (ready, not_ready, unknown) = (count(Some(true)), count(Some(false)), count(None));
        let mut reasons = BTreeMap::<&str, usize>::new();
        for node in self.nodes.values().filter(|node| node.proves() != Some(true)) {
            *reasons.entry(node.reason()).or_default() += 1;
        }
        let status = &policy["status"];
        let counts = |list: &Value| -> BTreeMap<String, Value> {
            let items = list.as_array().into_iter().flatten();
            let name = |item: &Value| item["reason"].as_str().unwrap_or_default().to_owned();
            items.map(|item| (name(item), item["count"].clone())).collect()
        };
        let nodes = ["ready", "notReady", "unknown"].map(|state| &status["nodes"][state]);
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let of_mount = |condition: &&Value| condition["type"] == "SecurityfsMounted";
        let found = json!({
            "mounted": conditions.clone().find(of_mount).map(|condition| &condition["status"]),
            "generation": status["observedGeneration"],
            "nodes": nodes,
            "reasons": counts(&status["reasons"]),
            // A change of the spec that has not reached every node.
            "change": status["specChange"],
        });
        let asks_for_mount = policy["spec"]["tetragon"].is_object();
        let wanted = json!({
            "mounted": asks_for_mount.then_some("True"),
            "generation": policy["metadata"]["generation"],
            "nodes": [ready, not_ready, unknown],
            "reasons": reasons,
            "change": null,
        });
        (found != wanted).then(|| format!("{found} in place of {wanted}"))
    }
}

impl Node {
    /// The reason of the condition.
    fn reason(&self) -> &'static str {
        match (self.report, self.proves()) {
            (None, _) => "NoReport",
            (Some(_), None) => "ReportFromEarlierBoot",
            (Some((_, Evidence::Denied)), Some(_)) => "CanaryDenied",
            (Some((_, Evidence::Attached)), Some(_)) => "BpfNotInLsmList",
        }
    }
}

impl Shown {
    fn of(node: &Value) -> Self {
        let labels = node["metadata"]["labels"].as_object().into_iter().flatten();
        let ours = labels.filter_map(|(key, value)| {
            Some((key.strip_prefix(PREFIX)?.to_owned(), value.as_str()?.to_owned()))
        });
        let taints = node["spec"]["taints"].as_array();
        let mut conditions = node["status"]["conditions"].as_array().into_iter().flatten();
        let condition = conditions.find(|condition| condition["type"] == "lsmready.io/LsmBpfReady");
        let text = |field: &str| {
            let value = condition.and_then(|condition| condition[field].as_str());
            value.unwrap_or_default().to_owned()
        };
        let message = text("message");
        let boot = message.strip_prefix("boot ").and_then(|rest| rest.split([',', ':']).next());
        Self {
            labels: ours.collect(),
            is_tainted: taints.into_iter().flatten().any(|taint| taint["key"] == TAINT),
            condition: ["status", "reason"].map(text),
            boot: boot.unwrap_or_default().to_owned(),
        }
    }
}
