//! Whether somebody may do all that a cleanup does, asked before anything is changed.

use futures::future::join_all;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::PostParams;
use kube::{Api, Client};

use crate::cluster::{Error, answered};
use crate::installed::{REST, WRITERS};
use crate::kinds::{self, Kind};

/// A verb on a resource.
#[derive(Clone, Debug)]
struct Right {
    verb: &'static str,
    group: &'static str,
    resource: &'static str,
    subresource: Option<&'static str>,
}

impl Right {
    fn on(verb: &'static str, kind: Kind) -> Self {
        Self { verb, group: kind.group, resource: kind.plural, subresource: None }
    }

    /// As kubectl auth can-i takes it, for example `patch daemonsets.apps`.
    fn text(&self) -> String {
        let mut text = format!("{} {}", self.verb, self.resource);
        if !self.group.is_empty() {
            text = format!("{text}.{}", self.group);
        }
        match self.subresource {
            Some(subresource) => format!("{text}/{subresource}"),
            None => text,
        }
    }
}

fn needed() -> Vec<Right> {
    let nodes = Kind { group: "", version: "v1", kind: "Node", plural: "nodes" };
    let mut rights = vec![
        Right::on("list", nodes),
        Right::on("patch", nodes),
        Right { subresource: Some("status"), ..Right::on("patch", nodes) },
        Right::on("list", kinds::DAEMON_SET),
        Right::on("patch", kinds::DAEMON_SET),
    ];
    for rule in WRITERS.into_iter().chain(REST) {
        rights.extend(["list", "get", "delete"].map(|verb| Right::on(verb, rule.kind)));
    }
    // These can have our finalizer.
    for kind in [kinds::SERVICE_ACCOUNT, kinds::CLUSTER_ROLE, kinds::CLUSTER_ROLE_BINDING] {
        rights.push(Right::on("patch", kind));
    }
    for kind in kinds::OURS {
        rights.extend(["list", "patch"].map(|verb| Right::on(verb, kind)));
    }
    rights
}

/// The rights that this client lacks, as `kubectl auth can-i` takes them.
pub async fn missing(client: &Client) -> Result<Vec<String>, Error> {
    let reviews = needed().into_iter().map(async |right| {
        let allowed = is_allowed(client, &right).await?;
        Ok((!allowed).then(|| right.text()))
    });
    let answers: Result<Vec<_>, Error> = join_all(reviews).await.into_iter().collect();
    Ok(answers?.into_iter().flatten().collect())
}

async fn is_allowed(client: &Client, right: &Right) -> Result<bool, Error> {
    let attributes = ResourceAttributes {
        verb: Some(right.verb.to_owned()),
        group: Some(right.group.to_owned()),
        resource: Some(right.resource.to_owned()),
        subresource: right.subresource.map(str::to_owned),
        ..ResourceAttributes::default()
    };
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(attributes),
            ..SelfSubjectAccessReviewSpec::default()
        },
        ..SelfSubjectAccessReview::default()
    };
    let reviews = Api::<SelfSubjectAccessReview>::all(client.clone());
    let answer = answered(reviews.create(&PostParams::default(), &review)).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}
