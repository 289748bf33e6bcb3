//! The DaemonSet controller and the kubelets, as far as the operator looks at them: pods of each
//! template, one replaced at a time, and the counts in the status.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::clock;
use crate::model::{self, text};
use crate::server::kind::Kind;
use crate::server::object::Object;
use crate::server::patch::TEMPLATE_GENERATION;
use crate::server::{Key, Server, seconds};

/// How long the controller takes for one pod.
const PERIOD: Duration = Duration::from_secs(2);

/// Runs for the whole history.
pub async fn control(server: Arc<Mutex<Server>>) {
    let mut seen = None;
    loop {
        sleep(PERIOD).await;
        let mut server = server.lock();
        // Where nothing has changed since, there is nothing to do.
        let now = [Kind::Node, Kind::DaemonSet, Kind::Pod].map(|kind| server.version_of(kind));
        if seen.replace(now) == Some(now) {
            continue;
        }
        let daemon_sets: Vec<_> =
            server.all(Kind::DaemonSet).map(|(key, it)| (key.clone(), it.clone())).collect();
        remove_orphans(&mut server, &daemon_sets);
        for (key, daemon_set) in daemon_sets {
            roll(&mut server, &key, &daemon_set);
        }
    }
}

fn owner(pod: &Value) -> &str {
    text(pod, "/metadata/ownerReferences/0/uid")
}

fn remove_orphans(server: &mut Server, daemon_sets: &[(Key, Arc<Object>)]) {
    let is_owned = |pod: &Value| {
        let node = text(pod, "/spec/nodeName");
        server.named(Kind::Node, node).is_some()
            && daemon_sets.iter().any(|(_, it)| text(it, "/metadata/uid") == owner(pod))
    };
    let pods = server.all(Kind::Pod).filter(|(key, _)| key.0 == "kube-system");
    let orphans: Vec<Key> =
        pods.filter(|(_, pod)| !is_owned(pod)).map(|(key, _)| key.clone()).collect();
    for pod in &orphans {
        server.remove(Kind::Pod, pod);
    }
}

/// Replaces at most one pod, and counts.
fn roll(server: &mut Server, key: &Key, daemon_set: &Value) {
    let generation =
        text(&daemon_set["metadata"]["annotations"], &format!("/{TEMPLATE_GENERATION}"));
    let nodes: Vec<String> = server.all(Kind::Node).map(|(key, _)| key.1.clone()).collect();
    let fails = !daemon_set["metadata"]["annotations"][model::MOUNT_FAILS].is_null()
        && model::tetragon::has_mount(daemon_set);
    let pod_key = |node: &String| (key.0.clone(), format!("{}-{node}", key.1));
    let (mut updated, mut available, mut replaced) = (0, 0, false);
    for node in &nodes {
        let pod = server.get(Kind::Pod, &pod_key(node)).cloned();
        let is_updated =
            |pod: &Value| text(pod, "/metadata/labels/pod-template-generation") == generation;
        let present = pod.as_ref().map(|pod| &***pod);
        let is_stuck = fails && available < updated;
        if !(replaced || is_stuck || present.is_some_and(is_updated)) {
            server.put(Kind::Pod, made_from(daemon_set, node, fails));
            replaced = true;
        }
        let pod = server.get(Kind::Pod, &pod_key(node)).cloned();
        let (new, ready) = pod.map_or((false, false), |pod| {
            (is_updated(&pod), pod["status"]["conditions"][0]["status"] == "True")
        });
        updated += i32::from(new);
        available += i32::from(ready);
    }
    let desired = nodes.len();
    server.edit(Kind::DaemonSet, key, |object| {
        object["status"] = json!({
            "currentNumberScheduled": desired, "numberMisscheduled": 0, "numberReady": available,
            "desiredNumberScheduled": desired, "updatedNumberScheduled": updated,
            "numberAvailable": available,
            "observedGeneration": object["metadata"]["generation"],
        });
    });
}

fn made_from(daemon_set: &Value, node: &str, fails: bool) -> Value {
    let metadata = &daemon_set["metadata"];
    let now = seconds(clock::true_time());
    let spec = &daemon_set["spec"]["template"]["spec"];
    let waiting = json!({"waiting": {"reason": "CreateContainerError",
        "message": "error mounting \"/sys/kernel/security\": permission denied"}});
    let running = json!({"running": {"startedAt": now}});
    json!({
        "metadata": {
            "name": format!("{}-{node}", text(metadata, "/name")),
            "namespace": metadata["namespace"],
            "labels": {"pod-template-generation": metadata["annotations"][TEMPLATE_GENERATION],
                "app.kubernetes.io/name": "tetragon"},
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "DaemonSet",
                "name": metadata["name"], "uid": metadata["uid"], "controller": true}],
        },
        "spec": {"nodeName": node, "containers": spec["containers"], "volumes": spec["volumes"]},
        "status": {
            "conditions": [{"type": "Ready", "status": if fails { "False" } else { "True" },
                "lastTransitionTime": now}],
            "containerStatuses": [{"name": "tetragon", "image": "", "imageID": "",
                "ready": !fails, "restartCount": 0,
                "state": if fails { waiting } else { running }}],
        },
    })
}

/// Removes our volume and mount, as another manager does that replaces the object.
pub fn revert(object: &mut Value) {
    let pod = &mut object["spec"]["template"]["spec"];
    if let Some(volumes) = pod["volumes"].as_array_mut() {
        volumes.retain(|volume| volume["name"] != model::VOLUME);
    }
    for container in pod["containers"].as_array_mut().into_iter().flatten() {
        if let Some(mounts) = container["volumeMounts"].as_array_mut() {
            mounts.retain(|mount| mount["name"] != model::VOLUME);
        }
    }
}
