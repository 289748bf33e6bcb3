//! A person annotates the Lease: others write it, and nobody takes it.

use proptest::prelude::*;
use tokio::time::Instant;

use super::model::{Model, SECOND, TAKEOVER, run};

/// Each annotation makes the version old that the leader and the others know. It is no renewal.
#[test]
fn a_person_who_annotates_the_lease_every_second_changes_no_leader_and_delays_no_takeover() {
    for seed in 0..10 {
        fastrand::seed(seed);
        run(async {
            let model = Model::new();
            model.watch(5 * SECOND).await?;
            let leader = model.holders();
            prop_assert_eq!(leader.len(), 1);
            for _ in 0..60 {
                model.server.lock().annotate();
                model.watch(SECOND).await?;
                prop_assert_eq!(model.holders(), leader.clone());
            }
            model.replicas[leader[0]].process.abort();
            model.replicas[leader[0]].held.lost();
            let died = Instant::now();
            while model.holders().is_empty() {
                model.server.lock().annotate();
                model.watch(SECOND).await?;
                prop_assert!(died.elapsed() < TAKEOVER, "after {:?} nobody leads", died.elapsed());
            }
            Ok(())
        })
        .unwrap();
    }
}
