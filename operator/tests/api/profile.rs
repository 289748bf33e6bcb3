//! The deletion of unused hook profiles, with the operator's own token and stores filled by real
//! watches.

use std::time::Duration;

use e2e::wait;
use kube::Client;
use lsm_ready_crds::LsmHookProfile;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_operator::profile::{Memory, plan, sweep};
use lsm_ready_operator::watch::store::Stores;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::server::{self, OPERATOR, PROBE, call, create_node, done, on_node, unbound};

const DEADLINE: Duration = Duration::from_secs(30);
const PROFILES: &str = "/apis/lsmready.io/v1alpha1/lsmhookprofiles";
const REPORT: &str = "/apis/lsmready.io/v1alpha1/lsmnodes/n1";

/// Publishes a profile of that kernel, as a probe does. Returns its name.
async fn published(probe: &Client, kernel: &str) -> String {
    let spec = LsmHookProfileSpec { kernel: kernel.to_owned(), ..LsmHookProfileSpec::default() };
    let digest = spec.digest();
    done(probe, "POST", PROFILES, &of_node(&digest, spec)).await;
    digest
}

/// The profile as the probe on node n1 publishes it.
fn of_node(name: &str, spec: LsmHookProfileSpec) -> Value {
    let mut object = serde_json::to_value(LsmHookProfile::new(name, spec)).unwrap();
    object["metadata"]["labels"] = json!({"lsmready.io/node": "n1"});
    object
}

/// Waits until the watches have seen that many profiles, and the report.
async fn seen(stores: &Stores, profiles: usize) {
    wait::until(DEADLINE, "the stores to be filled", async || {
        let found = (stores.profiles.state().len(), stores.reports.state().len());
        if found == (profiles, 1) { Ok(()) } else { Err(format!("{found:?}")) }
    })
    .await
    .unwrap();
}

async fn codes(client: &Client, names: [&str; 3]) -> [u16; 3] {
    let mut codes = [0; 3];
    for (code, name) in codes.iter_mut().zip(names) {
        *code = call(client, "GET", &format!("{PROFILES}/{name}"), &Value::Null).await.code;
    }
    codes
}

#[tokio::test]
async fn an_unused_profile_is_deleted_and_so_is_a_false_one() {
    let turn = server::exclusive().await;
    let server = turn.server;
    let admin = server.client().await.unwrap();
    create_node(server, "n1").await;
    let probe = on_node(server, PROBE, "n1").await;
    let (present, past) = (published(&probe, "new").await, published(&probe, "old").await);
    let lie = LsmHookProfileSpec { kernel: "lie".into(), ..Default::default() };
    done(&probe, "POST", PROFILES, &of_node(&"0".repeat(64), lie)).await;
    let report = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmNode"});
    done(&admin, "APPLY", REPORT, &report).await;
    let status = json!({"status": {"bootID": "1", "hookProfile": present}});
    done(&admin, "MERGE", &format!("{REPORT}/status"), &status).await;

    let operator = unbound(server, OPERATOR).await;
    let ctx = server::context(&operator, operator.clone());
    seen(&ctx.stores, 3).await;
    let (mut memory, now) = (Memory::default(), Instant::now());
    let names = [present.as_str(), past.as_str(), &"0".repeat(64)];
    sweep(&ctx, &mut memory, now).await.unwrap();
    assert_eq!(
        codes(&admin, names).await,
        [200, 200, 404],
        "a false profile is deleted at once, a genuine one not when it is first seen unused"
    );
    sweep(&ctx, &mut memory, now + plan::KEEP_UNNAMED).await.unwrap();
    assert_eq!(codes(&admin, names).await, [200, 404, 404]);
    seen(&ctx.stores, 1).await;
    sweep(&ctx, &mut memory, now + 2 * plan::KEEP_UNNAMED).await.unwrap();
    assert_eq!(memory.unnamed, plan::Unnamed::default(), "deleted profiles are forgotten");
}
