//! Scenarios: the requests that the sweep of hook profiles sends, one by one.

use lsm_ready_crds::profile::LsmHookProfileSpec;
use lsm_ready_crds::{LsmHookProfile, LsmNode};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Memory, sweep};
use crate::context::fixture::{Exchange, Fixture, report};
use crate::context::moment::tests::second;

fn spec(kernel: &str) -> LsmHookProfileSpec {
    LsmHookProfileSpec { kernel: kernel.to_owned(), ..Default::default() }
}

fn profile(kernel: &str) -> Value {
    let mut object =
        serde_json::to_value(LsmHookProfile::new(&spec(kernel).digest(), spec(kernel))).unwrap();
    object["metadata"]["uid"] = json!(format!("uid-{kernel}"));
    object["metadata"]["resourceVersion"] = json!("7");
    object
}

fn minute(minute: u64) -> Instant {
    second(60 * minute).instant
}

fn naming(kernel: &str) -> Value {
    let mut report = report("n1", "Denied", "CanaryDenied");
    report["status"]["hookProfile"] = json!(spec(kernel).digest());
    report
}

fn delete(kernel: &str) -> (String, Value) {
    let request =
        format!("DELETE /apis/lsmready.io/v1alpha1/lsmhookprofiles/{}?", spec(kernel).digest());
    (request, json!({"preconditions": {"uid": format!("uid-{kernel}"), "resourceVersion": "7"}}))
}

/// Two profiles. A report names the profile of kernel `new`.
fn two() -> Fixture {
    Fixture::new()
        .with::<LsmNode>(naming("new"))
        .with::<LsmHookProfile>(profile("new"))
        .with::<LsmHookProfile>(profile("old"))
}

#[tokio::test]
async fn an_unnamed_profile_is_deleted_with_preconditions() {
    let (request, body) = delete("old");
    let (ctx, played) = two().plays(vec![Exchange::new(&request, body, profile("old"))]);
    let mut memory = Memory::default();
    sweep(&ctx, &mut memory, minute(0)).await.unwrap();
    sweep(&ctx, &mut memory, minute(60)).await.unwrap();
    drop(ctx);
    played.await.unwrap();
}

#[tokio::test]
async fn nothing_is_sent_within_the_hour() {
    let (ctx, played) = two().plays(Vec::new());
    let mut memory = Memory::default();
    for at in [0, 10, 59] {
        sweep(&ctx, &mut memory, minute(at)).await.unwrap();
    }
    drop(ctx);
    played.await.unwrap();
}

#[tokio::test]
async fn a_changed_profile_is_skipped_and_a_refusal_is_an_error() {
    let (request, body) = delete("old");
    let (ctx, played) = two().plays(vec![
        Exchange::refused(&request, body.clone(), 409, "Conflict"),
        Exchange::refused(&request, body, 403, "Forbidden"),
    ]);
    let mut memory = Memory::default();
    sweep(&ctx, &mut memory, minute(0)).await.unwrap();
    sweep(&ctx, &mut memory, minute(60)).await.unwrap();
    let error = sweep(&ctx, &mut memory, minute(70)).await.unwrap_err();
    assert_eq!(error.reason(), "delete");
    assert!(error.to_string().contains(&spec("old").digest()), "{error}");
    drop(ctx);
    played.await.unwrap();
}

fn lie() -> Value {
    let mut lie = profile("old");
    lie["spec"]["hooks"] = json!(["file_open"]);
    lie["metadata"]["labels"] = json!({"lsmready.io/node": "n7"});
    lie
}

#[tokio::test]
async fn a_false_profile_is_deleted_at_once_and_reported() {
    let (request, body) = delete("old");
    let fixture = Fixture::new().with::<LsmHookProfile>(lie());
    let (ctx, played) =
        fixture.plays(vec![Exchange::new(&request, body, lie()), Exchange::event()]);
    sweep(&ctx, &mut Memory::default(), minute(0)).await.unwrap();
    let metrics = ctx.metrics.encode().unwrap();
    let deleted = r#"lsm_ready_hook_profiles_deleted_total{reason="false-name"} 1"#;
    assert!(metrics.contains(deleted), "{metrics}");
    assert!(metrics.contains(r#"lsm_ready_hook_profiles{state="false"} 1"#), "{metrics}");
    drop(ctx);
    played.await.unwrap();
}

#[tokio::test]
async fn further_false_profiles_are_deleted_without_a_further_event() {
    let (request, body) = delete("old");
    let exchange = || Exchange::new(&request, body.clone(), lie());
    let fixture = Fixture::new().with::<LsmHookProfile>(lie());
    let (ctx, played) = fixture.plays(vec![exchange(), Exchange::event(), exchange()]);
    let mut memory = Memory::default();
    for _ in 0..2 {
        sweep(&ctx, &mut memory, minute(0)).await.unwrap();
    }
    drop(ctx);
    played.await.unwrap();
}
