//! The requests to the API server about the Node and its LsmNode. In: names, and a [`Plan`]. Out:
//! the objects, and the plan carried out.

use std::time::Duration;

use k8s_openapi::api::core::v1;
use kube::api::{Patch, PatchParams, PostParams};
use kube::config::KubeConfigOptions;
use kube::{Api, Client, Config, Resource};
use lsm_ready_crds::names::PROBE_FIELD_MANAGER;
use lsm_ready_crds::{LsmNode, LsmNodeStatus};
use serde_json::json;

use super::plan::{Identity, Owners, Plan};
use crate::facts::NodeInfo;

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot find the API server: {0}")]
    Configuration(#[from] kube::config::InClusterError),
    #[error("cannot read the file that KUBECONFIG names: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    #[error("cannot {doing} {name:?}: {source}")]
    Api { doing: &'static str, name: String, source: Box<kube::Error> },
    /// An API server always sets the uid, so its answer was incomplete.
    #[error("the Node {0:?} has no uid")]
    NoUid(String),
}

pub(super) fn failed(doing: &'static str, name: &str) -> impl FnOnce(kube::Error) -> Error {
    move |source| Error::Api { doing, name: name.to_owned(), source: Box::new(source) }
}

/// What the daemon needs to know of its Node.
#[derive(Clone, Debug)]
pub struct Node {
    pub identity: Identity,
    pub info: NodeInfo,
}

/// A client for the cluster of `KUBECONFIG` if that is set, else for the cluster that the daemon
/// runs in.
pub async fn connect() -> Result<Client, Error> {
    let mut config = if std::env::var_os("KUBECONFIG").is_some() {
        Config::from_kubeconfig(&KubeConfigOptions::default()).await?
    } else {
        Config::incluster()?
    };
    config.connect_timeout = Some(REQUEST_TIMEOUT);
    config.read_timeout = Some(REQUEST_TIMEOUT);
    config.write_timeout = Some(REQUEST_TIMEOUT);
    Client::try_from(config).map_err(failed("create a client for", "the API server"))
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

/// The LsmNode of that name, if it exists.
pub async fn lsm_node(client: &Client, name: &str) -> Result<Option<LsmNode>, Error> {
    let api: Api<LsmNode> = Api::all(client.clone());
    api.get_opt(name).await.map_err(failed("get the LsmNode", name))
}

/// Makes the writes of the plan.
pub async fn carry_out(client: &Client, name: &str, plan: &Plan) -> Result<(), Error> {
    let api: Api<LsmNode> = Api::all(client.clone());
    if let Some(object) = &plan.create {
        create(&api, name, object).await?;
    }
    if let Some(owners) = &plan.own {
        set_owners(&api, name, owners).await?;
    }
    if let Some(status) = &plan.status {
        apply_status(&api, name, status).await?;
    }
    Ok(())
}

async fn create(api: &Api<LsmNode>, name: &str, object: &LsmNode) -> Result<(), Error> {
    let params =
        PostParams { field_manager: Some(PROBE_FIELD_MANAGER.to_owned()), ..PostParams::default() };
    api.create(&params, object).await.map_err(failed("create the LsmNode", name))?;
    Ok(())
}

async fn set_owners(api: &Api<LsmNode>, name: &str, own: &Owners) -> Result<(), Error> {
    let Owners { owners, resource_version } = own;
    let patch =
        json!({"metadata": {"ownerReferences": owners, "resourceVersion": resource_version}});
    let params = PatchParams {
        field_manager: Some(PROBE_FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patched = api.patch(name, &params, &Patch::Merge(patch)).await;
    patched.map_err(failed("set the owners of the LsmNode", name))?;
    Ok(())
}

async fn apply_status(api: &Api<LsmNode>, name: &str, status: &LsmNodeStatus) -> Result<(), Error> {
    let patch = json!({
        "apiVersion": LsmNode::api_version(&()),
        "kind": LsmNode::kind(&()),
        "metadata": {"name": name},
        "status": status,
    });
    let params = PatchParams::apply(PROBE_FIELD_MANAGER).force();
    let applied = api.patch_status(name, &params, &Patch::Apply(patch)).await;
    applied.map_err(failed("apply the status of the LsmNode", name))?;
    Ok(())
}
