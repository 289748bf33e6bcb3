//! Where the agent talks to the API server about the Node and its LsmNode. In: names and a
//! [`Plan`]. Out: what is there, and the plan carried out.

use std::time::Duration;

use k8s_openapi::api::core::v1;
use kube::api::{Patch, PatchParams, PostParams};
use kube::config::KubeConfigOptions;
use kube::{Api, Client, Config, Resource};
use lsm_ready_crds::LsmNode;
use lsm_ready_crds::names::PROBE_FIELD_MANAGER;
use serde_json::json;

use super::plan::{Identity, Plan};
use crate::facts::NodeInfo;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What can fail, and at what.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no way to the API server.
    #[error("no way to the API server: {0}")]
    Configuration(#[from] kube::config::InClusterError),
    /// A kubeconfig was named and cannot be used.
    #[error("KUBECONFIG cannot be used: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// A request failed.
    #[error("cannot {doing} {name:?}: {source}")]
    Api {
        /// What was being done.
        doing: &'static str,
        /// To the object of that name.
        name: String,
        /// Why not.
        source: Box<kube::Error>,
    },
    /// The Node has no uid, which no API server leaves out.
    #[error("the Node {0:?} has no uid")]
    NoUid(String),
}

pub(super) fn failed(doing: &'static str, name: &str) -> impl FnOnce(kube::Error) -> Error {
    move |source| Error::Api { doing, name: name.to_owned(), source: Box::new(source) }
}

/// What the agent needs to know of its Node.
#[derive(Clone, Debug)]
pub struct Node {
    /// Name and uid.
    pub identity: Identity,
    /// Its system and its provider.
    pub info: NodeInfo,
}

/// A client for the cluster this runs in, or for the one of `KUBECONFIG` where that is set.
pub async fn connect() -> Result<Client, Error> {
    let mut config = if std::env::var_os("KUBECONFIG").is_some() {
        Config::from_kubeconfig(&KubeConfigOptions::default()).await?
    } else {
        Config::incluster()?
    };
    config.connect_timeout = Some(PATIENCE);
    config.read_timeout = Some(PATIENCE);
    config.write_timeout = Some(PATIENCE);
    Client::try_from(config).map_err(failed("make a client for", "the API server"))
}

/// The Node of that name.
pub async fn node(client: &Client, name: &str) -> Result<Node, Error> {
    let api: Api<v1::Node> = Api::all(client.clone());
    let node = api.get(name).await.map_err(failed("get the Node", name))?;
    let uid = node.metadata.uid.ok_or_else(|| Error::NoUid(name.to_owned()))?;
    let os_image = node
        .status
        .and_then(|status| status.node_info)
        .map(|info| info.os_image)
        .unwrap_or_default();
    let provider_id = node.spec.and_then(|spec| spec.provider_id).unwrap_or_default();
    Ok(Node {
        identity: Identity { name: name.to_owned(), uid },
        info: NodeInfo { os_image, provider_id },
    })
}

/// The LsmNode of that name, if there is one.
pub async fn lsm_node(client: &Client, name: &str) -> Result<Option<LsmNode>, Error> {
    let api: Api<LsmNode> = Api::all(client.clone());
    api.get_opt(name).await.map_err(failed("get the LsmNode", name))
}

/// Writes what the plan says.
pub async fn carry_out(client: &Client, name: &str, plan: &Plan) -> Result<(), Error> {
    let api: Api<LsmNode> = Api::all(client.clone());
    if let Some(object) = &plan.create {
        let params = PostParams {
            field_manager: Some(PROBE_FIELD_MANAGER.to_owned()),
            ..PostParams::default()
        };
        api.create(&params, object).await.map_err(failed("create the LsmNode", name))?;
    }
    if let Some((owners, resource_version)) = &plan.own {
        let patch =
            json!({"metadata": {"ownerReferences": owners, "resourceVersion": resource_version}});
        let params = PatchParams {
            field_manager: Some(PROBE_FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        api.patch(name, &params, &Patch::Merge(patch))
            .await
            .map_err(failed("set the owners of the LsmNode", name))?;
    }
    if let Some(status) = &plan.status {
        let (api_version, kind) = (LsmNode::api_version(&()), LsmNode::kind(&()));
        let patch = json!({"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, "status": status});
        let params = PatchParams::apply(PROBE_FIELD_MANAGER).force();
        let applied = api.patch_status(name, &params, &Patch::Apply(patch)).await;
        applied.map_err(failed("apply the status of the LsmNode", name))?;
    }
    Ok(())
}
