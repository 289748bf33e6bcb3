//! How many agents a DaemonSet's own rolling update replaces at once.
//!
//! In: the DaemonSet. Out: its budget, resolved as the DaemonSet controller does it: a percentage
//! of the nodes, rounded up (`UnavailableCount` and `SurgeCount` in Kubernetes'
//! `pkg/controller/daemon/util`), and at most the number of agents.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// What a rolling update may do at once.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Budget {
    /// The field that sets it: `maxUnavailable` or `maxSurge`.
    pub field: &'static str,
    /// The field's value: `1`, `10%`.
    pub says: String,
    /// The number of agents that this value allows.
    pub agents: i32,
}

/// The budget of that DaemonSet's rolling update. None where its strategy is OnDelete, which
/// replaces nothing.
pub fn budget(daemon_set: &DaemonSet) -> Option<Budget> {
    if on_delete(daemon_set) {
        return None;
    }
    let desired = daemon_set.status.as_ref().map_or(0, |status| status.desired_number_scheduled);
    let strategy = daemon_set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
    let rolling = strategy.and_then(|strategy| strategy.rolling_update.clone()).unwrap_or_default();
    // The API server accepts only one of the two with a value other than zero.
    let surge = rolling.max_surge.filter(|surge| resolved(surge, desired) > 0);
    let (field, value) = match surge {
        Some(surge) => ("maxSurge", surge),
        None => ("maxUnavailable", rolling.max_unavailable.unwrap_or(IntOrString::Int(1))),
    };
    let agents = resolved(&value, desired).min(desired);
    let says = match value {
        IntOrString::Int(number) => number.to_string(),
        IntOrString::String(percentage) => percentage,
    };
    Some(Budget { field, says, agents })
}

/// The update strategy is OnDelete: a pod is replaced when somebody deletes it.
fn on_delete(daemon_set: &DaemonSet) -> bool {
    let strategy = daemon_set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
    strategy.and_then(|strategy| strategy.type_.as_deref()) == Some("OnDelete")
}

/// That number, or percentage of `desired`. An unparsable percentage counts as one agent; the API
/// server does not accept one.
fn resolved(value: &IntOrString, desired: i32) -> i32 {
    match value {
        IntOrString::Int(number) => *number,
        IntOrString::String(percentage) => {
            let percent =
                percentage.strip_suffix('%').and_then(|number| number.parse::<i64>().ok());
            let agents = percent.map(|percent| (i64::from(desired) * percent + 99) / 100);
            agents.and_then(|agents| i32::try_from(agents).ok()).unwrap_or(1)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn found(strategy: &Value, desired: i32) -> Option<(&'static str, i32)> {
        let object = json!({
            "spec": {"selector": {}, "template": {}, "updateStrategy": strategy},
            "status": {"currentNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0,
                "desiredNumberScheduled": desired},
        });
        budget(&serde_json::from_value(object).unwrap()).map(|budget| (budget.field, budget.agents))
    }

    #[test]
    fn each_strategy_has_the_budget_of_the_daemon_set_controller() {
        let rolling = |unavailable: Value, surge: Value| {
            let both = json!({"maxUnavailable": unavailable, "maxSurge": surge});
            json!({"type": "RollingUpdate", "rollingUpdate": both})
        };
        for (strategy, desired, expected) in [
            (json!({}), 5, Some(("maxUnavailable", 1))),
            (json!({"type": "OnDelete"}), 5, None),
            (rolling(json!(2), json!(0)), 5, Some(("maxUnavailable", 2))),
            (rolling(json!(20), json!(0)), 5, Some(("maxUnavailable", 5))),
            (rolling(json!("10%"), json!(0)), 5, Some(("maxUnavailable", 1))),
            (rolling(json!("10%"), json!(0)), 11, Some(("maxUnavailable", 2))),
            (rolling(json!("100%"), json!(null)), 5000, Some(("maxUnavailable", 5000))),
            (rolling(json!(0), json!("50%")), 5, Some(("maxSurge", 3))),
            (rolling(json!(1), json!(0)), 0, Some(("maxUnavailable", 0))),
        ] {
            assert_eq!(found(&strategy, desired), expected, "{strategy} of {desired}");
        }
    }
}
