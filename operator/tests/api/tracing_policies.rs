//! Tetragon's own policies, with the operator's own token: their CRD is missing, is installed late,
//! has an invalid object, and is deleted again.

use std::sync::Arc;
use std::time::Duration;

use e2e::api::ApiServer;
use e2e::wait;
use kube::{Api, Client};
use lsm_ready_crds::fixture;
use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_crds::{LsmHookProfile, LsmPolicy, State};
use lsm_ready_operator::context::Context;
use lsm_ready_operator::tracing_policies::watch::REDISCOVER_AFTER;
use lsm_ready_operator::{node, policy};
use serde_json::{Value, json};

use crate::server::{self, OPERATOR, create_node, done, unbound};

/// A CRD that is installed late is found when the operator looks again.
const DEADLINE: Duration = REDISCOVER_AFTER.saturating_mul(3);
const LABEL: &str = "lsmready.node-restriction.kubernetes.io/policy.traced";
/// The Node of this test.
const NODE: &str = "traced";
const TRACING_POLICIES: &str = "/apis/cilium.io/v1alpha1/tracingpolicies";

/// A node that denied, with a profile, and a policy for this node alone that requires Tetragon's
/// policies of tier `enforce`.
async fn prepare(server: &ApiServer, admin: &Client) {
    create_node(server, NODE).await;
    let label = json!({"metadata": {"labels": {"traced": "yes"}}});
    done(admin, "MERGE", &format!("/api/v1/nodes/{NODE}"), &label).await;
    let spec: LsmHookProfileSpec = serde_json::from_value(
        json!({"kernel": "6.12", "hooks": ["file_open"], "sleepableHooks": []}),
    )
    .unwrap();
    let profile = LsmHookProfile::new(&spec.digest(), spec);
    let kinds = "/apis/lsmready.io/v1alpha1";
    let object = serde_json::to_value(&profile).unwrap();
    done(admin, "POST", &format!("{kinds}/lsmhookprofiles"), &object).await;
    let object = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmNode"});
    done(admin, "APPLY", &format!("{kinds}/lsmnodes/{NODE}"), &object).await;
    let mut status = fixture::denied("1");
    status.hook_profile.clone_from(&profile.metadata.name);
    status.checks.push(fixture::kernel_reads(State::Ready));
    let status = json!({ "status": status });
    done(admin, "MERGE", &format!("{kinds}/lsmnodes/{NODE}/status"), &status).await;
    let spec = json!({"nodeSelector": {"matchLabels": {"traced": "yes"}},
        "require": {"tracingPolicies": {"matchLabels": {"tier": "enforce"}}}});
    let object = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy", "spec": spec});
    done(admin, "APPLY", &format!("{kinds}/lsmpolicies/traced"), &object).await;
}

/// Waits until both controllers have set this label and this reason of the condition. Returns the
/// condition's message.
async fn message(ctx: &Arc<Context>, admin: &Client, label: &str, reason: &str) -> String {
    wait::until(DEADLINE, &format!("{label} and {reason}"), async || {
        let Some(node) = ctx.stores.nodes.get(NODE) else {
            return Err("no Node".to_owned());
        };
        node::reconcile(Arc::new(node), ctx.clone()).await.map_err(|error| error.to_string())?;
        let found = Api::<LsmPolicy>::all(admin.clone())
            .get("traced")
            .await
            .map_err(|error| error.to_string())?;
        policy::reconcile(Arc::new(found), ctx.clone()).await.map_err(|error| error.to_string())?;
        let node = done(admin, "GET", &format!("/api/v1/nodes/{NODE}"), &Value::Null).await;
        let found =
            done(admin, "GET", "/apis/lsmready.io/v1alpha1/lsmpolicies/traced", &Value::Null).await;
        let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let condition =
            conditions.into_iter().find(|condition| condition["type"] == "TracingPoliciesLoadable");
        let condition = condition.unwrap_or_default();
        if node["metadata"]["labels"][LABEL] == label && condition["reason"] == reason {
            return Ok(condition["message"].as_str().unwrap_or_default().to_owned());
        }
        Err(format!("{} {condition}", node["metadata"]["labels"]))
    })
    .await
    .unwrap()
}

/// Creates a TracingPolicy with these `lsmhooks`.
async fn create(admin: &Client, name: &str, hooks: Value) {
    let object = json!({"apiVersion": "cilium.io/v1alpha1", "kind": "TracingPolicy",
        "metadata": {"name": name, "labels": {"tier": "enforce"}}, "spec": {"lsmhooks": hooks}});
    done(admin, "POST", TRACING_POLICIES, &object).await;
}

#[tokio::test]
async fn a_crd_may_be_installed_late_and_deleted_again() {
    let crds = server::tetragon_crds().await;
    let server = server::shared().await;
    let admin = server.client().await.unwrap();
    prepare(server, &admin).await;
    let operator = unbound(server, OPERATOR).await;
    let ctx = server::context(&operator, operator.clone());
    tokio::time::timeout(DEADLINE, ctx.stores.tracing_policies.settled()).await.unwrap();
    assert!(ctx.stores.tracing_policies.snapshot().is_absent(), "a missing CRD is known at once");
    message(&ctx, &admin, "ready", "NoneSelected").await;

    crds.install();
    let denies = json!([{"matchActions": [{"action": "Sigkill"}]}]);
    create(&admin, "good", json!([{"hook": "file_open", "selectors": denies}])).await;
    let text = message(&ctx, &admin, "ready", "AllLoadable").await;
    assert_eq!(
        text,
        "1 of 1 TracingPolicies with LSM hooks load on the nodes that they are for, out of 1 \
         selected"
    );

    create(&admin, "odd", json!("file_open")).await;
    let text = message(&ctx, &admin, "unknown", "InvalidTracingPolicy").await;
    assert!(text.contains("odd: spec.lsmhooks: is text, not a list"), "{text}");

    create(&admin, "typo", json!([{"hook": "file_opn"}])).await;
    let text = message(&ctx, &admin, "not-ready", "NotLoadable").await;
    assert!(
        text.contains(
            "typo loads on 0 of 1 nodes (file_opn: HookNotInKernel on 1, for example traced"
        ),
        "{text}"
    );

    crds.delete();
    message(&ctx, &admin, "ready", "NoneSelected").await;
}
