//! Tetragon's policies on a real API server, with the operator's own token: a CRD that is not there, is installed late, has
//! an object that means nothing, and goes again.
#![allow(clippy::unwrap_used, reason = "what cannot be prepared fails the test")]

mod real_api;

use std::sync::Arc;
use std::time::Duration;

use e2e::api::ApiServer;
use e2e::wait;
use kube::{Api, Client};
use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_crds::{LsmHookProfile, LsmPolicy};
use lsm_ready_operator::context::Context;
use lsm_ready_operator::tracing_policies::watch::REDISCOVER_AFTER;
use lsm_ready_operator::{node, policy};
use real_api::{OPERATOR, create_node, done, kubectl, unbound};
use serde_json::{Value, json};

/// A late CRD is found at the next look.
const DEADLINE: Duration = REDISCOVER_AFTER.saturating_mul(3);
const LABEL: &str = "lsmready.node-restriction.kubernetes.io/policy.enforce";
const TRACING_POLICIES: &str = "/apis/cilium.io/v1alpha1/tracingpolicies";

/// A node that denied, with a profile, and a policy that requires Tetragon's policies of tier `enforce`.
async fn prepare(server: &ApiServer, admin: &Client) {
    create_node(server, "n1").await;
    let spec: LsmHookProfileSpec = serde_json::from_value(
        json!({"kernel": "6.12", "hooks": ["file_open"], "sleepableHooks": []}),
    )
    .unwrap();
    let profile = LsmHookProfile::new(&spec.digest(), spec);
    let kinds = "/apis/lsmready.io/v1alpha1";
    done(
        admin,
        "POST",
        &format!("{kinds}/lsmhookprofiles"),
        &serde_json::to_value(&profile).unwrap(),
    )
    .await;
    let object = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmNode"});
    done(admin, "APPLY", &format!("{kinds}/lsmnodes/n1"), &object).await;
    let status = json!({"status": {"bootID": "1", "evidence": "Denied", "reason": "CanaryDenied",
        "hookProfile": profile.metadata.name, "checks": [{"name": "KernelReads", "outcome": "Pass"}]}});
    done(admin, "MERGE", &format!("{kinds}/lsmnodes/n1/status"), &status).await;
    let spec = json!({"require": {"tracingPolicies": {"matchLabels": {"tier": "enforce"}}}});
    let object = json!({"apiVersion": "lsmready.io/v1alpha1", "kind": "LsmPolicy", "spec": spec});
    done(admin, "APPLY", &format!("{kinds}/lsmpolicies/enforce"), &object).await;
}

/// Until both controllers have made of what is known this label and this reason of the condition; its message.
async fn said(ctx: &Arc<Context>, admin: &Client, label: &str, reason: &str) -> String {
    wait::until(DEADLINE, &format!("{label} and {reason}"), async || {
        let Some(n1) = ctx.stores.nodes.find(|_| true) else {
            return Err("no Node".to_owned());
        };
        node::reconcile(n1, ctx.clone()).await.map_err(|error| error.to_string())?;
        let found = Api::<LsmPolicy>::all(admin.clone())
            .get("enforce")
            .await
            .map_err(|error| error.to_string())?;
        policy::reconcile(Arc::new(found), ctx.clone()).await.map_err(|error| error.to_string())?;
        let node = done(admin, "GET", "/api/v1/nodes/n1", &Value::Null).await;
        let found =
            done(admin, "GET", "/apis/lsmready.io/v1alpha1/lsmpolicies/enforce", &Value::Null)
                .await;
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

#[tokio::test]
async fn a_crd_that_comes_late_and_goes_again() {
    let server = real_api::start("tracing_policies_api", "default").await;
    let admin = server.client().await.unwrap();
    prepare(&server, &admin).await;
    let operator = unbound(&server, OPERATOR).await;
    let ctx = Arc::new(real_api::context(&operator, operator.clone()));
    tokio::time::timeout(DEADLINE, ctx.stores.tracing_policies.settled()).await.unwrap();
    assert!(
        ctx.stores.tracing_policies.snapshot().is_absent(),
        "no CRD is fine, and known at once"
    );
    said(&ctx, &admin, "ready", "NoneSelected").await;

    real_api::tracing_policy_crd(&server);
    let object = |name: &str, hooks: Value| {
        json!({"apiVersion": "cilium.io/v1alpha1", "kind": "TracingPolicy",
        "metadata": {"name": name, "labels": {"tier": "enforce"}}, "spec": {"lsmhooks": hooks}})
    };
    let denies = json!([{"matchActions": [{"action": "Sigkill"}]}]);
    done(
        &admin,
        "POST",
        TRACING_POLICIES,
        &object("good", json!([{"hook": "file_open", "selectors": denies}])),
    )
    .await;
    let message = said(&ctx, &admin, "ready", "AllLoadable").await;
    assert_eq!(
        message,
        "1 of 1 TracingPolicies with LSM hooks load on the nodes that they are for, out of 1 selected"
    );

    done(&admin, "POST", TRACING_POLICIES, &object("odd", json!("file_open"))).await;
    let message = said(&ctx, &admin, "unknown", "InvalidTracingPolicy").await;
    assert!(message.contains("odd: spec.lsmhooks: is text, not a list"), "{message}");

    done(&admin, "POST", TRACING_POLICIES, &object("typo", json!([{"hook": "file_opn"}]))).await;
    let message = said(&ctx, &admin, "not-ready", "NotLoadable").await;
    assert!(
        message
            .contains("typo loads on 0 of 1 nodes (file_opn: HookNotInKernel on 1, for example n1"),
        "{message}"
    );

    kubectl(&server.kubeconfig(), &["delete", "crd", "tracingpolicies.cilium.io"]).unwrap();
    said(&ctx, &admin, "ready", "NoneSelected").await;
}
