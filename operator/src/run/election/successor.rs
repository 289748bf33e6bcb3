//! Whether another replica leads after this one has ended.

use std::time::Duration;

use kube::api::DynamicObject;
use kube::{Client, ResourceExt};
use tokio::time::interval;

use super::{Identity, LEASE, answered, leases, record};

/// How often the Lease is read.
const LOOK: Duration = Duration::from_millis(250);

/// Returns when another replica takes or renews the Lease. This replica must not hold it any more.
pub async fn leads(client: &Client, me: &Identity) {
    let leases = leases(client, me);
    let mut sight = Sight::default();
    let mut looks = interval(LOOK);
    loop {
        looks.tick().await;
        // A Lease that cannot be read is read again.
        if let Ok(Some(lease)) = answered("read", leases.get_opt(LEASE)).await
            && sight.is_renewed(&lease, &me.holder())
        {
            return;
        }
    }
}

/// The Lease as it was first seen.
#[derive(Debug, Default)]
struct Sight {
    version: Option<String>,
}

impl Sight {
    /// Whether another holder has written the Lease since it was first seen. The holder of a Lease
    /// that stays as it is may be dead.
    fn is_renewed(&mut self, lease: &DynamicObject, me: &str) -> bool {
        let version = lease.resource_version();
        let first = self.version.get_or_insert_with(|| version.clone().unwrap_or_default());
        let is_changed = version.is_some_and(|version| version != *first);
        is_changed && record::holder(lease).is_some_and(|holder| holder != me)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The holder and the version of the Lease each time that it is read.
    #[test]
    fn only_a_lease_that_another_holder_writes_has_a_new_leader() {
        for (what, reads, expected) in [
            ("taken after its release", vec![("", "5"), ("b_2", "6")], true),
            ("taken before the first look", vec![("b_2", "6"), ("b_2", "7")], true),
            ("not renewed: its holder may be dead", vec![("b_2", "6"), ("b_2", "6")], false),
            ("free", vec![("", "5"), ("", "5")], false),
            ("not released", vec![("a_1", "4"), ("a_1", "5")], false),
        ] {
            let mut sight = Sight::default();
            let renewed = reads.iter().any(|(holder, version)| {
                let lease = json!({"metadata": {"name": LEASE, "resourceVersion": version},
                    "spec": {"holderIdentity": holder}});
                sight.is_renewed(&serde_json::from_value(lease).unwrap(), "a_1")
            });
            assert_eq!(renewed, expected, "{what}");
        }
    }
}
