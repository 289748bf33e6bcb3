//! Reads the content of a hook profile again, when a report names it and it is not kept.

use std::time::Duration;

use kube::{Api, Client};
use kube_runtime::reflector::ObjectRef;
use tokio::time::sleep;
use tracing::warn;

use super::guard::Guard;
use super::profile::Profile;
use super::triggers::Triggers;

/// Shortest time between two rounds.
const INTERVAL: Duration = Duration::from_secs(1);

/// Reads what is missing, until the future is dropped.
pub(super) async fn contents(client: &Client, triggers: &Triggers) {
    let api: Api<Guard<Profile>> = Api::all(client.clone());
    let stores = &triggers.context().stores;
    loop {
        stores.contents.named().await;
        let is_genuine = |digest: &String| {
            stores.profiles.get(&ObjectRef::new(digest)).is_some_and(|known| known.is_genuine)
        };
        let missing: Vec<String> =
            stores.contents.missing().into_iter().filter(is_genuine).collect();
        let mut has_read = false;
        for digest in missing {
            match api.get_opt(&digest).await {
                Ok(found) => has_read |= found.is_some_and(|found| put(&digest, found, triggers)),
                Err(error) => {
                    warn!(profile = digest, %error, "hook profile not read, trying again");
                    stores.contents.try_again();
                    break;
                }
            }
        }
        if has_read {
            triggers.contents();
        }
        sleep(INTERVAL).await;
    }
}

/// Keeps the content of that object, if it is what the digest says.
fn put(digest: &str, found: Guard<Profile>, triggers: &Triggers) -> bool {
    let content = found.0.ok().filter(|profile| profile.is_genuine);
    let content = content.and_then(|mut profile| profile.take_content());
    content.map(|content| triggers.context().stores.contents.offer(digest, content)).is_some()
}
