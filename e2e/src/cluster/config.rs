//! Configuration of a node: kubelet, containerd and the pods' network. Pure.
//!
//! In: a node and where its files are, as the node sees them. Out: the files' text.

use std::path::Path;

use serde_json::{Value, json};

use super::node::Node;

/// The image that holds a pod's namespaces.
pub const PAUSE: &str = "docker.io/lsm-ready/pause:1";

/// Where a node's files are, on the node itself.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    /// Certificates and the network's configuration.
    pub node: &'a Path,
    /// What containerd keeps.
    pub containerd: &'a Path,
}

/// containerd's configuration. Version 2 of the format is understood by containerd 1.x and 2.x.
pub fn containerd(places: &Places<'_>) -> String {
    format!(
        r#"version = 2
root = "{root}"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE}"
  # Root without CAP_SYS_RESOURCE may not lower a score, and runc dies of it.
  restrict_oom_score_adj = true
  # A profile would be loaded into the kernel and stay there.
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{node}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"#,
        root = places.containerd.display(),
        node = places.node.display(),
    )
}

/// The configuration of a containerd that only imports images.
pub fn containerd_without_pods(root: &Path) -> String {
    format!(
        r#"version = 2
root = "{}"
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "/run/containerd/containerd.sock"
"#,
        root.display(),
    )
}

/// The network of the node's pods: a bridge, and routes at the other nodes.
pub fn network(node: &Node) -> Value {
    json!({
        "cniVersion": "0.4.0",
        "name": "pods",
        "plugins": [{
            "type": "bridge", "bridge": "cni0", "isGateway": true, "ipMasq": false, "hairpinMode": true,
            "ipam": {
                "type": "host-local", "dataDir": "/run/cni",
                "ranges": [[{"subnet": node.pods()}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
}

/// The kubelet's configuration. `cgroup_root` is where the cgroups of pods go.
pub fn kubelet(places: &Places<'_>, cgroup_root: &str) -> Value {
    let file = |name: &str| places.node.join(name).display().to_string();
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": file("ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": file("kubelet.crt"),
        "tlsPrivateKeyFile": file("kubelet.key"),
        "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup_root,
        // The machine may still have cgroups of the first version, and swap.
        "failCgroupV1": false,
        "failSwapOn": false,
        // Nothing answers at this address. Without it each pod gets a warning again and again.
        "clusterDNS": ["10.96.0.10"],
        "clusterDomain": "cluster.local",
        "resolvConf": "",
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
        "serializeImagePulls": false,
        // Other programs use the machine's disk and memory too, so percentages of them mean nothing
        // here.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "50Mi"},
        "localStorageCapacityIsolation": false,
        "shutdownGracePeriod": "0s",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_where_the_node_sees_them() {
        let places =
            Places { node: Path::new("/var/node"), containerd: Path::new("/var/lib/containerd") };
        assert_eq!(kubelet(&places, "/")["tlsCertFile"], "/var/node/kubelet.crt");
        assert!(containerd(&places).contains("conf_dir = \"/var/node/cni\""));
    }
}
