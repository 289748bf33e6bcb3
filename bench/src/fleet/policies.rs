//! The policies of a fleet. Pure.
//!
//! Half of them select a tenth of the nodes each, a quarter every node, the others half of the
//! nodes; the last one taints. Some require more than the evidence, which all nodes have that deny.

use serde_json::{Value, json};

use super::objects::{HOOKS, TENTH, ZONE};

/// Which nodes a policy selects.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Share {
    /// Those with this last digit.
    Tenth(usize),
    All,
    /// Those in this zone of two.
    Zone(usize),
    None,
}

/// One policy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Policy {
    pub name: String,
    pub share: Share,
    pub taints: bool,
    require: Value,
}

/// So many policies.
pub fn all(count: usize) -> Vec<Policy> {
    (0..count).map(|number| policy(number, count)).collect()
}

/// One policy that selects every node, and so many that select none.
pub fn with_bystanders(bystanders: usize) -> Vec<Policy> {
    let none = (1..=bystanders).map(|number| Policy {
        share: Share::None,
        taints: false,
        ..policy(number, bystanders + 1)
    });
    std::iter::once(policy(0, 1)).chain(none).collect()
}

/// So many policies that select every node.
pub fn all_selecting(count: usize) -> Vec<Policy> {
    let all = |number| Policy { share: Share::All, taints: false, ..policy(number, count) };
    (0..count).map(all).collect()
}

fn policy(number: usize, count: usize) -> Policy {
    let share = match 4 * number / count {
        0 | 1 if count > 1 => Share::Tenth(number % 10),
        0..=2 => Share::All,
        _ => Share::Zone(number % 2),
    };
    let require = match number % 4 {
        0 => json!({}),
        1 => json!({"kernelReads": true}),
        2 => json!({"hooks": [HOOKS[0], HOOKS[1]]}),
        _ => json!({"lsms": ["landlock"]}),
    };
    Policy { name: format!("bench-{number:03}"), share, taints: number + 1 == count, require }
}

impl Policy {
    pub fn selects(&self, node: usize) -> bool {
        match self.share {
            Share::Tenth(tenth) => node % 10 == tenth,
            Share::All => true,
            Share::Zone(zone) => node % 2 == zone,
            Share::None => false,
        }
    }

    /// The object.
    pub fn object(&self) -> Value {
        let selector = match self.share {
            Share::Tenth(tenth) => json!({"matchLabels": {TENTH: tenth.to_string()}}),
            Share::All => json!({}),
            Share::None => json!({"matchLabels": {TENTH: "none"}}),
            Share::Zone(zone) => json!({"matchExpressions":
                [{"key": ZONE, "operator": "In", "values": [format!("zone-{zone}")]}]}),
        };
        let mut spec =
            json!({"nodeSelector": selector, "minReady": "90%", "require": self.require});
        if self.taints {
            spec["taint"] = json!({"effect": "NoSchedule", "rollout": "AllAtOnce"});
        }
        json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy",
            "metadata": {"name": self.name}, "spec": spec})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_select_a_tenth_a_quarter_everything_and_one_taints() {
        let policies = all(20);
        let count = |is: fn(&Policy) -> bool| policies.iter().filter(|policy| is(policy)).count();
        assert_eq!(count(|policy| matches!(policy.share, Share::Tenth(_))), 10);
        assert_eq!(count(|policy| policy.share == Share::All), 5);
        assert_eq!(count(|policy| policy.taints), 1);
        assert_eq!(all(1)[0].share, Share::All);
    }

    #[test]
    fn a_tenth_is_a_tenth() {
        let tenth = all(20).into_iter().find(|policy| policy.share == Share::Tenth(3)).unwrap();
        assert_eq!((0..1000).filter(|node| tenth.selects(*node)).count(), 100);
    }
}
