//! Removes all of lsm-ready from a cluster.

use std::time::Duration;

use kube::ResourceExt;
use kube::api::{DeleteParams, DynamicObject, Patch, Preconditions};
use tokio::time::{Instant, sleep};

use crate::cluster::{Change, Cluster, Error, Mode, Pages, answered};
use crate::installed::{Installation, REST, Rule, Sign, WRITERS};
use crate::kinds::{self, Kind};
use crate::report::Report;
use crate::{metadata, traces};

/// How long deleted objects may take to go: the API server deletes the objects of a CRD first, and
/// the namespace controller those of a namespace.
const GONE_AFTER: Duration = Duration::from_mins(2);
/// How often that is looked at.
const POLL: Duration = Duration::from_millis(500);

/// Removes everything, or says what would be removed. What is left at the end counts as failed.
pub async fn remove(cluster: &Cluster, installation: &Installation) -> Report {
    remove_but(cluster, installation, &[]).await
}

/// The same, but objects of these kinds stay, for example CRDs with the policies of people.
pub async fn remove_but(cluster: &Cluster, installation: &Installation, kept: &[Kind]) -> Report {
    let mut report = Report::default();
    let rest: Vec<Rule> = REST.into_iter().filter(|rule| !kept.contains(&rule.kind)).collect();
    for rule in WRITERS {
        report.add(delete(cluster, installation, rule).await);
    }
    report.add(Box::pin(traces::remove(cluster)).await);
    if cluster.mode == Mode::Remove && goes(&rest, kinds::CRD) {
        report.add(release_ours(cluster).await);
    }
    for rule in &rest {
        report.add(delete(cluster, installation, *rule).await);
    }
    if cluster.mode == Mode::Remove {
        // The last look counts, because an earlier failure may be over. Its cause is worth more.
        let mut left = Box::pin(wait_until_gone(cluster, installation, &rest)).await.failed;
        for (object, why) in &mut left {
            if let Some(cause) = report.failed.remove(object) {
                *why = cause;
            }
        }
        report.failed = left;
    }
    report
}

fn goes(rules: &[Rule], kind: Kind) -> bool {
    rules.iter().any(|rule| rule.kind == kind)
}

/// Deletes the installed objects of one kind.
async fn delete(cluster: &Cluster, installation: &Installation, rule: Rule) -> Report {
    let mut report = Report::default();
    let objects = match installed(cluster, installation, rule).await {
        Ok(objects) => objects,
        Err(error) => {
            report.failed(rule.kind.plural.to_owned(), error);
            return report;
        }
    };
    for object in objects {
        let name = full_name(&object);
        match delete_one(cluster, rule.kind, &object).await {
            Ok(()) => report.did(rule.kind.kind, name),
            Err(error) if error.is_gone() => {}
            Err(error) => report.failed(format!("{} {name}", rule.kind.kind), error),
        }
    }
    report
}

async fn installed(
    cluster: &Cluster,
    installation: &Installation,
    rule: Rule,
) -> Result<Vec<DynamicObject>, Error> {
    let namespace = (rule.sign == Sign::NameInNamespace).then_some(installation.namespace.as_str());
    let mut objects = Pages::new(cluster.objects(rule.kind, namespace)).all().await?;
    objects.retain(|object| installation.has(rule.sign, object));
    Ok(objects)
}

/// Deletes one object, and removes our finalizers from it. The order leaves no gap: a running
/// operator puts no finalizer on an object that is being deleted.
async fn delete_one(cluster: &Cluster, kind: Kind, object: &DynamicObject) -> Result<(), Error> {
    if cluster.mode == Mode::DryRun {
        return Ok(());
    }
    let namespace = object.namespace();
    let api = cluster.objects(kind, namespace.as_deref());
    let name = object.name_any();
    let uid = object.metadata.uid.clone();
    let preconditions = Some(Preconditions { uid, resource_version: None });
    if object.metadata.deletion_timestamp.is_none() {
        let params = DeleteParams { preconditions, ..DeleteParams::background() };
        answered(api.delete(&name, &params)).await?;
    }
    if let Some(left) = answered(api.get_opt(&name)).await? {
        let release = |object: &DynamicObject| {
            let patch = Patch::Merge(metadata::release(&object.metadata)?);
            Some(Change { patch, status: false })
        };
        cluster.change(&api, &name, left, release).await?;
    }
    Ok(())
}

/// Removes all finalizers from the objects of our kinds. One of them would keep its CRD for ever,
/// and nobody needs these objects without lsm-ready.
async fn release_ours(cluster: &Cluster) -> Report {
    let mut report = Report::default();
    let release = |object: &DynamicObject| {
        let patch = Patch::Merge(metadata::release_all(&object.metadata)?);
        Some(Change { patch, status: false })
    };
    for kind in kinds::OURS {
        let api = cluster.objects(kind, None);
        let objects = match Pages::new(api.clone()).all().await {
            Ok(objects) => objects,
            Err(error) => {
                report.failed(kind.plural.to_owned(), error);
                continue;
            }
        };
        for object in objects.into_iter().filter(|object| release(object).is_some()) {
            let name = object.name_any();
            match cluster.change(&api, &name, object, release).await {
                Ok(_) => report.did(kind.kind, name),
                Err(error) => report.failed(format!("{} {name}", kind.kind), error),
            }
        }
    }
    report
}

/// Waits until nothing is left. Reports what is left at the deadline, and why, if that is known.
async fn wait_until_gone(cluster: &Cluster, installation: &Installation, rest: &[Rule]) -> Report {
    let rules: Vec<Rule> = WRITERS.into_iter().chain(rest.iter().copied()).collect();
    let looking = Cluster { mode: Mode::DryRun, ..cluster.clone() };
    let deadline = Instant::now() + GONE_AFTER;
    loop {
        let mut left = Report::default();
        for rule in &rules {
            left.add(delete(&looking, installation, *rule).await);
        }
        if left.done.is_empty() || Instant::now() >= deadline {
            left.add(Box::pin(traces::remove(&looking)).await);
            return still_there(left);
        }
        // What failed before is tried again, and a finalizer may have come after ours were removed.
        if goes(&rules, kinds::CRD) {
            release_ours(cluster).await;
        }
        for rule in &rules {
            delete(cluster, installation, *rule).await;
        }
        sleep(POLL).await;
    }
}

/// What a look found, as failures.
fn still_there(found: Report) -> Report {
    let mut report = Report { failed: found.failed, ..Report::default() };
    for (kind, names) in found.done {
        for name in names {
            report.failed(format!("{kind} {name}"), "it is still there");
        }
    }
    report
}

fn full_name(object: &DynamicObject) -> String {
    match object.namespace() {
        Some(namespace) => format!("{namespace}/{}", object.name_any()),
        None => object.name_any(),
    }
}
