//! A pod on a node, and the files that a program in it may open.

use serde_json::json;

use crate::scene::Scene;

pub const OPENED: &str = "write: opened\nread: opened";
pub const DENIED: &str =
    "write: Operation not permitted (os error 1)\nread: Operation not permitted (os error 1)";

/// A pod with a /tmp of its own.
pub struct Opener<'a> {
    scene: &'a Scene,
    name: String,
}

impl<'a> Opener<'a> {
    /// Starts it on a node.
    pub async fn start(scene: &'a Scene, node: &str) -> Self {
        let opener = Self { scene, name: format!("opener-{node}") };
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": {
            "nodeName": node, "terminationGracePeriodSeconds": 1,
            "volumes": [{"name": "tmp", "emptyDir": {}}],
            "containers": [{"name": "main", "image": "lsm-ready.test/tetragon:v1.3.0", "imagePullPolicy": "IfNotPresent",
                "command": ["/usr/bin/tetragon", "wait"], "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}]}],
        }});
        let admitted =
            async || e2e::request::done(&scene.client, "APPLY", &opener.path(), &pod).await;
        // On a new cluster the namespace's ServiceAccount may be missing for a moment.
        scene.until("the pod to be admitted", admitted).await;
        scene
            .until_object(&opener.path(), "running", |pod| pod["status"]["phase"] == "Running")
            .await;
        opener
    }

    fn path(&self) -> String {
        format!("/api/v1/namespaces/default/pods/{}", self.name)
    }

    /// Waits until opening a file has this outcome.
    pub async fn until(&self, file: &str, outcome: &str) {
        let command = ["exec", &self.name, "--", "/usr/bin/tetragon", "open", file];
        let opened = async || match self.scene.try_kubectl(&command) {
            Ok(said) if said == outcome => Ok(()),
            Ok(said) => Err(said),
            Err(error) => Err(error.to_string()),
        };
        self.scene.until(&format!("{file} in {}: {outcome}", self.name), opened).await;
    }

    pub async fn end(self) {
        self.scene.delete(&self.path()).await;
    }
}
