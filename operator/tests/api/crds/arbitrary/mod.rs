//! Whatever the API server accepts, the operator reads: arbitrary objects of our three kinds go
//! through the real API server, and each accepted one is parsed and keeps its meaning.
//!
//! The objects follow the CRDs' schemas, with values at and beyond every bound, nulls, fractions,
//! huge numbers and foreign characters. The seed is printed; `LSM_READY_TEST_SEED` sets it, and
//! `LSM_READY_TEST_OBJECTS` sets the number of objects of each kind.

mod generator;
mod meaning;

use std::fmt::Debug;
use std::time::Instant;

use futures::{StreamExt, stream};
use generator::Generator;
use kube::Client;
use lsm_ready_crds::manifest::definitions;
use lsm_ready_crds::selection::{InvalidSpec, MinReady, Selection, tracing_policies};
use lsm_ready_crds::window::InvalidWindow;
use lsm_ready_crds::{LsmHookProfile, LsmNode, LsmPolicy, LsmPolicySpec};
use meaning::meaning;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::admin;
use crate::server::{call, done};

const API: &str = "/apis/lsmready.io/v1alpha1";
/// Requests at a time.
const PARALLEL: usize = 16;

/// The number from that environment variable.
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn seed() -> u64 {
    number("LSM_READY_TEST_SEED").unwrap_or_else(|| fastrand::u64(..))
}

fn objects() -> usize {
    number("LSM_READY_TEST_OBJECTS").and_then(|n| usize::try_from(n).ok()).unwrap_or(700)
}

/// The schema of that part of the kind's objects.
fn schema(kind: &str, part: &str) -> Value {
    let crd = definitions().into_iter().find(|crd| crd.spec.names.kind == kind).unwrap();
    let mut crd = serde_json::to_value(crd).unwrap();
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part].take()
}

/// Where arbitrary parts of a kind are sent, and what happens with what is accepted.
struct Trial {
    kind: &'static str,
    part: &'static str,
    verb: &'static str,
    path: &'static str,
    /// The object to put the part into.
    envelope: Value,
}

#[derive(Default)]
struct Counts {
    accepted: usize,
    refused: usize,
    /// Accepted objects that are not read, or that lose their meaning, with the reason.
    faults: Vec<String>,
}

impl Trial {
    /// Sends the objects in a dry run. Returns how many were accepted, and the faults.
    async fn run<K>(&self, client: &Client, check: fn(&K) -> Result<(), String>) -> Counts
    where
        K: DeserializeOwned + Serialize + Debug,
    {
        let (seed, schema, started) = (seed(), schema(self.kind, self.part), Instant::now());
        println!("{} {}: seed {seed}", self.kind, self.part);
        let mut generator = Generator::new(seed);
        let parts: Vec<Value> = (0..objects()).map(|_| generator.part(&schema)).collect();
        let answers =
            stream::iter(parts.into_iter().enumerate()).map(|(number, part)| async move {
                let mut object = self.envelope.clone();
                object[self.part] = part.clone();
                // Only one of the paths has a place for the number.
                let path = self.path.replace("{number}", &(number % PARALLEL).to_string());
                let answer = call(client, self.verb, &path, &object).await;
                (part, answer)
            });
        let mut answers = answers.buffer_unordered(PARALLEL);
        let mut counts = Counts::default();
        while let Some((sent, answer)) = answers.next().await {
            if !answer.is_ok() {
                // Server-side apply answers 500 to fields that the schema does not have.
                let refused = [400, 413, 422, 500].contains(&answer.code);
                assert!(refused, "{sent}: {answer:?}");
                counts.refused += 1;
                continue;
            }
            counts.accepted += 1;
            if let Err(fault) = self.read::<K>(&answer.body, check) {
                counts.faults.push(format!("{fault}\n  sent   {sent}"));
            }
        }
        let Counts { accepted, refused, faults } = &counts;
        println!(
            "{} {}: {accepted} accepted, {refused} refused, {} not read, {:?}",
            self.kind,
            self.part,
            faults.len(),
            started.elapsed()
        );
        counts
    }

    /// Reads the accepted object as a watch does, and compares what was read with it.
    fn read<K>(&self, object: &Value, check: fn(&K) -> Result<(), String>) -> Result<(), String>
    where
        K: DeserializeOwned + Serialize + Debug,
    {
        let stored = &object[self.part];
        let parsed: K = serde_json::from_str(&object.to_string())
            .map_err(|error| format!("{error}\n  stored {stored}"))?;
        let written = serde_json::to_value(&parsed).map_err(|error| error.to_string())?;
        let (before, after) = (meaning(stored), meaning(&written[self.part]));
        if before != after {
            return Err(format!("another meaning\n  stored {before}\n  read   {after}"));
        }
        check(&parsed).map_err(|error| format!("{error}\n  stored {stored}"))
    }
}

/// Each trial has to show both: objects that are accepted, and objects that are refused.
fn assert_all_read(counts: &Counts) {
    let Counts { accepted, refused, faults } = counts;
    let enough = objects() / 10;
    assert!(*accepted >= enough && *refused >= enough, "{accepted} accepted, {refused} refused");
    let first: Vec<&str> = faults.iter().take(12).map(String::as_str).collect();
    assert!(faults.is_empty(), "{} of {accepted} faults:\n{}", faults.len(), first.join("\n"));
}

/// Everything in an accepted spec is valid for the operator too.
fn valid_spec(policy: &LsmPolicy) -> Result<(), String> {
    let check = |spec: &LsmPolicySpec| -> Result<(), InvalidSpec> {
        Selection::of(spec)?;
        MinReady::parse(&spec.min_ready)?;
        tracing_policies(spec)?;
        if let Some(window) = spec.tetragon.as_ref().and_then(|tetragon| tetragon.window.as_ref()) {
            window.schedule()?;
        }
        Ok(())
    };
    match check(&policy.spec) {
        // The API server's database of time zones has names that ours lacks. The status says so.
        Ok(()) | Err(InvalidSpec::Window(InvalidWindow::TimeZone(_))) => Ok(()),
        Err(error) => Err(error.to_string()),
    }
}

fn envelope(kind: &str, name: &str) -> Value {
    let metadata = json!({"name": name});
    json!({"apiVersion": "lsmready.io/v1alpha1", "kind": kind, "metadata": metadata})
}

#[tokio::test]
async fn every_accepted_policy_is_read() {
    let client = admin().await;
    let trial = Trial {
        kind: "LsmPolicy",
        part: "spec",
        verb: "POST",
        path: "/apis/lsmready.io/v1alpha1/lsmpolicies?dryRun=All",
        envelope: envelope("LsmPolicy", "arbitrary"),
    };
    assert_all_read(&trial.run::<LsmPolicy>(&client, valid_spec).await);
}

/// Server-side apply merges each spec with an earlier one of the same manager.
#[tokio::test]
async fn every_applied_policy_is_read() {
    let client = admin().await;
    let trial = Trial {
        kind: "LsmPolicy",
        part: "spec",
        verb: "APPLY",
        path: "/apis/lsmready.io/v1alpha1/lsmpolicies/applied-{number}",
        envelope: envelope("LsmPolicy", "applied"),
    };
    assert_all_read(&trial.run::<LsmPolicy>(&client, valid_spec).await);
}

#[tokio::test]
async fn every_accepted_profile_is_read() {
    let client = admin().await;
    let trial = Trial {
        kind: "LsmHookProfile",
        part: "spec",
        verb: "POST",
        path: "/apis/lsmready.io/v1alpha1/lsmhookprofiles?dryRun=All",
        envelope: envelope("LsmHookProfile", &"ab".repeat(32)),
    };
    assert_all_read(&trial.run::<LsmHookProfile>(&client, |_| Ok(())).await);
}

#[tokio::test]
async fn every_accepted_report_is_read() {
    let client = admin().await;
    let envelope =
        done(&client, "POST", &format!("{API}/lsmnodes"), &envelope("LsmNode", "arb")).await;
    let trial = Trial {
        kind: "LsmNode",
        part: "status",
        verb: "PUT",
        path: "/apis/lsmready.io/v1alpha1/lsmnodes/arb/status?dryRun=All",
        envelope,
    };
    assert_all_read(&trial.run::<LsmNode>(&client, |_| Ok(())).await);
}

#[tokio::test]
async fn every_accepted_status_of_a_policy_is_read() {
    let client = admin().await;
    let mut policy = envelope("LsmPolicy", "arb-status");
    policy["spec"] = json!({});
    let envelope = done(&client, "POST", &format!("{API}/lsmpolicies"), &policy).await;
    let trial = Trial {
        kind: "LsmPolicy",
        part: "status",
        verb: "PUT",
        path: "/apis/lsmready.io/v1alpha1/lsmpolicies/arb-status/status?dryRun=All",
        envelope,
    };
    assert_all_read(&trial.run::<LsmPolicy>(&client, |_| Ok(())).await);
}
