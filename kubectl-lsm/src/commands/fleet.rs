//! The commands that ask the cluster about its nodes.

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use lsm_ready_crds::ExitCode;
use lsm_ready_crds::text::nearest;

use crate::answer::Answer;
use crate::ask::nodes::Filter;
use crate::ask::{drill, nodes, status, why};
use crate::cli::{
    ConnectionArgs, DrillArgs, NodesArgs, ReportArgs, ReportFormat, StatusArgs, WhyArgs,
};
use crate::cluster::error::Asked;
use crate::cluster::list::Query;
use crate::cluster::read::Scope;
use crate::cluster::{self, Cluster, connect};
use crate::error::Error;
use crate::{fleet, output, report};

const PODS: Asked = Asked::list("", "pods");

pub async fn status(args: &StatusArgs, connection: &ConnectionArgs) -> Result<Answer, Error> {
    let cluster = connect(connection).await?;
    let status = status::status(fleet::of(&cluster.objects(Scope::All, None).await?));
    let code = status.code();
    Ok(Answer::complete(output::object(&status, args.output, || status.text()), code))
}

pub async fn why(args: &WhyArgs, connection: &ConnectionArgs) -> Result<Answer, Error> {
    let cluster = connect(connection).await?;
    let name = args.node.strip_prefix("node/").unwrap_or(&args.node);
    let mut objects = cluster.objects_of(name).await?;
    if objects.nodes.is_empty() {
        return Err(unknown_node(&cluster, name).await.into());
    }
    let agents = cluster.agents_on(name, &mut objects.notes);
    let pods = cluster.progress.during(agents).await?;
    let Some(why) = why::why(fleet::of(&objects), &pods) else {
        let what = "Linux node";
        let not_found = cluster::Error::NotFound { what, name: name.to_owned(), near: Vec::new() };
        return Err(not_found.into());
    };
    let code = why.code();
    Ok(Answer::complete(output::object(&why, args.output, || why.text()), code))
}

/// The error for a Node that is not there, with the names that are similar.
async fn unknown_node(cluster: &Cluster, name: &str) -> cluster::Error {
    let names = cluster.progress.during(cluster.node_names()).await.unwrap_or_default();
    let near = nearest(name, names.iter().map(String::as_str));
    let near = near.into_iter().map(str::to_owned).collect();
    cluster::Error::NotFound { what: "node", name: name.to_owned(), near }
}

pub async fn nodes(args: &NodesArgs, connection: &ConnectionArgs) -> Result<Answer, Error> {
    let cluster = connect(connection).await?;
    let objects = cluster.objects(Scope::Nodes, args.select.selector.as_deref()).await?;
    let filter = Filter {
        reasons: args.reason.clone(),
        states: args.state.iter().map(|state| (*state).into()).collect(),
    };
    let list = nodes::list(&objects, &args.require.requirement(), &filter)?;
    drop(objects);
    Ok(Answer::complete(list.print(args.output), list.code()))
}

pub async fn drill(args: &DrillArgs, connection: &ConnectionArgs) -> Result<Answer, Error> {
    let cluster = connect(connection).await?;
    let objects = cluster.objects(Scope::Nodes, args.select.selector.as_deref()).await?;
    let drill = drill::drill(&objects, &args.requirement());
    Ok(Answer::complete(drill.print(args.output), drill.code()))
}

pub async fn report(args: &ReportArgs, connection: &ConnectionArgs) -> Result<Answer, Error> {
    let cluster = connect(connection).await?;
    let fleet = fleet::of(&cluster.objects(Scope::All, None).await?);
    let text = match args.output {
        ReportFormat::Html => report::html(&fleet),
        ReportFormat::Json => report::json(&fleet),
        ReportFormat::Md => report::markdown(&fleet),
    };
    Ok(Answer::complete(text, ExitCode::Holds))
}

impl Cluster {
    /// Tetragon's pods on that Node. A note says so where they may not be listed.
    async fn agents_on(
        &self,
        node: &str,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Pod>, cluster::Error> {
        let fields = format!("spec.nodeName={node}");
        let query = Query { fields: Some(&fields), ..Query::all(PODS, "/api/v1/pods") };
        match self.list(query, |pod: Pod| pod).await {
            Ok(pods) => Ok(of_daemon_sets(pods)),
            Err(error @ cluster::Error::Unreachable { .. }) => Err(error),
            Err(error) => {
                notes.push(error.to_string());
                Ok(Vec::new())
            }
        }
    }
}

/// The pods of DaemonSets.
fn of_daemon_sets(mut pods: Vec<Pod>) -> Vec<Pod> {
    pods.retain(|pod| pod.owner_references().iter().any(|owner| owner.kind == "DaemonSet"));
    pods
}
