//! The requests to the API server about the Node and its LsmNode. In: names, and a [`Plan`]. Out:
//! the objects, and the plan carried out.

use std::time::Duration;

use k8s_openapi::api::core::v1;
use kube::api::{Patch, PatchParams, PostParams};
use kube::config::KubeConfigOptions;
use kube::{Api, Client, Config};
use lsm_ready_crds::names::PROBE_FIELD_MANAGER;
use lsm_ready_crds::node::LsmNodeContent;
use lsm_ready_crds::{LsmNode, LsmNodeStatus};
use serde_json::json;

use super::plan::{Identity, Owners, Plan};
use crate::facts::NodeInfo;

/// How long one request may take. A connection that is dead without saying so is
/// noticed by this.
const DEADLINE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot find the API server: {0}")]
    Configuration(#[from] kube::config::InClusterError),
    #[error("cannot read the file that KUBECONFIG names: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    #[error("cannot {doing} {name:?}: {source}")]
    Api { doing: &'static str, name: String, source: Box<kube::Error> },
    #[error("cannot {doing} {name:?}: no answer within {} s", DEADLINE.as_secs())]
    Silent { doing: &'static str, name: String },
    /// An API server always sets the uid, so its answer was incomplete.
    #[error("the Node {0:?} has no uid")]
    NoUid(String),
}

impl Error {
    /// The HTTP status with which the API server refused the request.
    pub fn code(&self) -> Option<u16> {
        match self {
            Self::Api { source, .. } => match source.as_ref() {
                kube::Error::Api(status) => Some(status.code),
                _ => None,
            },
            Self::Configuration(_) | Self::Kubeconfig(_) | Self::Silent { .. } | Self::NoUid(_) => {
                None
            }
        }
    }
}

fn failed(doing: &'static str, name: &str) -> impl FnOnce(kube::Error) -> Error {
    move |source| Error::Api { doing, name: name.to_owned(), source: Box::new(source) }
}

/// Waits for the answer to a request, but not longer than the deadline.
pub(super) async fn within<T>(
    doing: &'static str,
    name: &str,
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, Error> {
    match tokio::time::timeout(DEADLINE, request).await {
        Ok(answer) => answer.map_err(failed(doing, name)),
        Err(_) => Err(Error::Silent { doing, name: name.to_owned() }),
    }
}

/// The object, or `None` if the API server does not have it. While a CRD is missing, the API server
/// answers with 404 and no reason, which kube's `get_opt` takes for an error.
pub(super) fn if_found<T>(answer: Result<T, Error>) -> Result<Option<T>, Error> {
    match answer {
        Err(error) if error.code() == Some(404) => Ok(None),
        answer => answer.map(Some),
    }
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
    config.connect_timeout = Some(DEADLINE);
    config.read_timeout = Some(DEADLINE);
    config.write_timeout = Some(DEADLINE);
    client(config)
}

/// A client that sends each request once. kube's own retries come exactly when the API server says,
/// so those of all probes would come together.
pub fn client(mut config: Config) -> Result<Client, Error> {
    config.default_retry = false;
    Client::try_from(config).map_err(failed("create a client for", "the API server"))
}

/// The Node of that name.
pub async fn node(client: &Client, name: &str) -> Result<Node, Error> {
    let api: Api<v1::Node> = Api::all(client.clone());
    let node = within("get the Node", name, api.get(name)).await?;
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
    if_found(within("get the LsmNode", name, api.get(name)).await)
}

/// Makes the writes of the plan, and returns the object as they leave it.
pub async fn carry_out(
    client: &Client,
    name: &str,
    present: Option<LsmNode>,
    plan: &Plan,
) -> Result<Option<LsmNode>, Error> {
    let api: Api<LsmNode> = Api::all(client.clone());
    let mut object = present;
    if let Some(new) = &plan.create {
        object = Some(create(&api, name, new).await?);
    }
    if let Some(owners) = &plan.own {
        object = Some(set_owners(&api, name, owners).await?);
    }
    if let (Some(status), Some(present)) = (&plan.status, &object) {
        object = Some(replace_status(&api, name, present, status).await?);
    }
    Ok(object)
}

fn post_params() -> PostParams {
    PostParams { field_manager: Some(PROBE_FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

async fn create(api: &Api<LsmNode>, name: &str, object: &LsmNode) -> Result<LsmNode, Error> {
    within("create the LsmNode", name, api.create(&post_params(), object)).await
}

async fn set_owners(api: &Api<LsmNode>, name: &str, own: &Owners) -> Result<LsmNode, Error> {
    let Owners { owners, resource_version } = own;
    let patch =
        json!({"metadata": {"ownerReferences": owners, "resourceVersion": resource_version}});
    let params = PatchParams {
        field_manager: Some(PROBE_FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(patch);
    within("set the owners of the LsmNode", name, api.patch(name, &params, &patch)).await
}

/// Replaces the whole status, so that nothing of another writer stays in it. Fails if the object
/// has changed since it was read.
async fn replace_status(
    api: &Api<LsmNode>,
    name: &str,
    present: &LsmNode,
    status: &LsmNodeStatus,
) -> Result<LsmNode, Error> {
    let mut object = LsmNode::new(name, LsmNodeContent::default());
    object.metadata.uid.clone_from(&present.metadata.uid);
    object.metadata.resource_version.clone_from(&present.metadata.resource_version);
    object.status = Some(status.clone());
    let params = post_params();
    let replace = api.replace_status(name, &params, &object);
    within("replace the status of the LsmNode", name, replace).await
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;

    use super::*;

    const REFUSAL: &[u8] =
        b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n";

    /// An API server that answers each request with 429, at this address. The thread returns the
    /// number of requests when the client has closed its connection.
    fn throttling() -> (http::Uri, std::thread::JoinHandle<usize>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let served = std::thread::spawn(move || {
            let (connection, _) = listener.accept().unwrap();
            let mut answers = connection.try_clone().unwrap();
            let lines = BufReader::new(connection).lines().map_while(Result::ok);
            let mut requests = 0;
            for _ in lines.filter(String::is_empty) {
                requests += 1;
                answers.write_all(REFUSAL).unwrap();
            }
            requests
        });
        (address.parse().unwrap(), served)
    }

    #[tokio::test]
    async fn a_refused_request_is_not_sent_again_by_the_client() {
        let (address, served) = throttling();
        let client = client(Config::new(address)).unwrap();
        let error = node(&client, "n1").await.unwrap_err();
        assert_eq!(error.code(), Some(429), "{error}");
        drop(client);
        assert_eq!(tokio::task::spawn_blocking(|| served.join().unwrap()).await.unwrap(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_without_an_answer_ends_at_the_deadline() {
        let started = tokio::time::Instant::now();
        let silence = std::future::pending::<kube::Result<()>>();
        let error = within("get the Node", "n1", silence).await.unwrap_err();
        assert_eq!(started.elapsed(), DEADLINE);
        assert_eq!(error.to_string(), "cannot get the Node \"n1\": no answer within 10 s");
    }
}
