//! Looks through all objects of an API server for anything of ours.

use std::time::Duration;

use e2e::wait;
use kube::api::{DynamicObject, ListParams};
use kube::discovery::{Discovery, verbs};
use kube::{Api, Client, ResourceExt};

/// Every name of ours contains one of these.
const MARKS: [&str; 3] = ["lsmready", "lsm-ready", "LsmBpfReady"];

/// The objects that have a name of ours anywhere, with the texts around it.
///
/// Not looked at: Events, which the API server deletes after an hour, and the managed fields, in
/// which the API server keeps who wrote a field last.
pub async fn sweep(client: &Client) -> Vec<String> {
    // A group of a deleted CRD may go while the groups are read: once more, then.
    let discovery = match Discovery::new(client.clone()).run().await {
        Ok(discovery) => discovery,
        Err(_) => Discovery::new(client.clone()).run().await.unwrap(),
    };
    let mut found = Vec::new();
    let mut kinds = 0;
    for group in discovery.groups() {
        for (resource, capabilities) in group.recommended_resources() {
            if !capabilities.supports_operation(verbs::LIST) || resource.kind == "Event" {
                continue;
            }
            kinds += 1;
            let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
            // A kind may be gone since the discovery.
            let Ok(list) = api.list(&ListParams::default()).await else { continue };
            for mut object in list {
                object.metadata.managed_fields = None;
                let text = serde_json::to_string(&object).unwrap();
                if let Some(at) = MARKS.iter().find_map(|mark| text.find(mark)) {
                    let near = &text[at.saturating_sub(60)..text.len().min(at + 60)];
                    found.push(format!("{} {}: …{near}…", resource.kind, object.name_any()));
                }
            }
        }
    }
    assert!(kinds > 30, "only {kinds} kinds were looked at: is the discovery broken?");
    found
}

/// Waits until Nodes and DaemonSets are clean.
pub async fn no_trace_is_left(client: &Client, deadline: Duration) {
    wait::until(deadline, "Nodes and DaemonSets to be clean", async || {
        let found = sweep(client).await;
        let mut traces = found
            .iter()
            .filter(|found| found.starts_with("Node ") || found.starts_with("DaemonSet tetragon"));
        traces.next().map_or(Ok(()), |trace| Err(trace.clone()))
    })
    .await
    .unwrap();
}
