//! Looks through all objects of an API server for anything of ours.

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
