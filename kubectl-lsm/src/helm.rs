//! Values for Tetragon's Helm chart that mount securityfs.
//!
//! In: the values that Helm gets already and the chart's version. Out: the values to be given last. Every chart since 0.8.0
//! renders `extraVolumes` into the pod's volumes, `tetragon.extraVolumeMounts` into the agent's mounts, and each of
//! `extraHostPathMounts` into both, but without the type of the hostPath; so the first two are used, which give the same
//! mount with a type that is checked.

use k8s_openapi::api::core::v1::PodSpec;
use lsm_ready_crds::names::SECURITYFS_PATH;
use lsm_ready_tetragon::image::{LSM_HOOKS_SINCE, MOUNTS_ITSELF_SINCE, Version};
use lsm_ready_tetragon::invalid;
use lsm_ready_tetragon::plan::NoNeed;
use lsm_ready_tetragon::refusal::Refusal;
use lsm_ready_tetragon::suggest::{SUGGESTED_VOLUME, suggested_mount, suggested_volume};
use lsm_ready_tetragon::view::{self, View};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::values;

/// The oldest chart with these values.
const OLDEST_CHART: &str = "0.8.0";

/// Why there are no values.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// No version.
    #[error("--chart-version {0} is no version such as 1.3.0")]
    Version(String),
    /// Too old.
    #[error(
        "chart {0} is not known to have extraVolumes and tetragon.extraVolumeMounts, which {OLDEST_CHART} and later have"
    )]
    Chart(String),
    /// The values are not as the chart takes them.
    #[error("the values are not as Tetragon's chart takes them: {0}")]
    Values(String),
    /// Something is in the way.
    #[error("the values have {0} where securityfs has to be mounted: remove that first")]
    Taken(String),
    /// What the chart makes of the values cannot be installed.
    #[error("with these values {0}")]
    Refused(#[from] Refusal),
}

/// Values and what there is to say about them.
#[derive(Clone, Debug, PartialEq)]
pub struct Completed {
    /// Sentences for people.
    pub remarks: Vec<String>,
    /// To be given to Helm last.
    pub values: Value,
}

/// The values that add the mount to those, which Helm would get in that order.
///
/// # Errors
/// Where the version or the values are not understood, or something else is mounted there.
pub fn values(given: &[Value], chart_version: Option<&str>) -> Result<Completed, Error> {
    let mut remarks = Vec::from_iter(chart(given, chart_version)?);
    let lists = Lists::of(given)?;
    let pod = lists.pod()?;
    if let Some(refusal) = invalid::refusal(&pod) {
        return Err(refusal.into());
    }
    let container = pod.containers.first().cloned().unwrap_or_default();
    let values = match view::view(&pod, &container, false) {
        View::Nothing => lists.completed(&pod)?,
        View::Ours(mounted) | View::Theirs(mounted) => {
            remarks.push(format!(
                "these values have it already: volume {} is {mounted}",
                mounted.volume
            ));
            json!({})
        }
        View::Inside(other) | View::Hidden(other) => return Err(Error::Taken(other.to_string())),
    };
    Ok(Completed { remarks, values })
}

/// Whether that chart takes the values, and whether the agent needs them.
fn chart(given: &[Value], version: Option<&str>) -> Result<Option<String>, Error> {
    let chart = version
        .map(|given| Version::parse(given).ok_or_else(|| Error::Version(given.to_owned())))
        .transpose()?;
    if let (Some(chart), Some(oldest)) = (chart, Version::parse(OLDEST_CHART))
        && chart < oldest
    {
        return Err(Error::Chart(version.unwrap_or_default().to_owned()));
    }
    let (tag, privileged) = values::agent(given);
    let release = tag.as_deref().and_then(Version::parse).or(chart);
    Ok(release.and_then(|release| remark(release, privileged)))
}

/// What somebody should know who adds the mount to an agent of that release.
fn remark(release: Version, privileged: Option<bool>) -> Option<String> {
    match privileged {
        _ if release < LSM_HOOKS_SINCE => Some(NoNeed::NoLsmHooks(release).to_string()),
        _ if release < MOUNTS_ITSELF_SINCE => None,
        Some(false) => Some(format!(
            "Tetragon {release} mounts securityfs itself when it may; with privileged: false, as these values have it, it \
             needs this mount unless it has the capability SYS_ADMIN"
        )),
        _ => Some(format!(
            "Tetragon {release} mounts securityfs itself when it is privileged, as this chart makes it"
        )),
    }
}

/// The three lists of the chart that make volumes and mounts of the agent.
#[derive(Default)]
struct Lists {
    volumes: Vec<Value>,
    mounts: Vec<Value>,
    host_path_mounts: Vec<Value>,
}

impl Lists {
    /// Of several files the last that has a list gives it.
    fn of(given: &[Value]) -> Result<Self, Error> {
        let last = |path: &[&str]| -> Result<Vec<Value>, Error> {
            let set = given
                .iter()
                .rev()
                .find_map(|values| path.iter().try_fold(values, |value, key| value.get(key)));
            match set {
                None | Some(Value::Null) => Ok(Vec::new()),
                Some(Value::Array(list)) => Ok(list.clone()),
                Some(_) => Err(Error::Values(format!("{} is no list", path.join(".")))),
            }
        };
        if let Some(other) = given.iter().find(|values| !values.is_object() && !values.is_null()) {
            return Err(Error::Values(format!("{other} is no map of values")));
        }
        Ok(Self {
            volumes: last(&["extraVolumes"])?,
            mounts: last(&["tetragon", "extraVolumeMounts"])?,
            host_path_mounts: last(&["extraHostPathMounts"])?,
        })
    }

    /// A pod with the volumes and mounts that the chart makes of them.
    fn pod(&self) -> Result<PodSpec, Error> {
        let host_path = |entry: &Value| json!({"name": entry["name"], "hostPath": {"path": entry["mountPath"]}});
        let volumes: Vec<Value> = self
            .volumes
            .iter()
            .cloned()
            .chain(self.host_path_mounts.iter().map(host_path))
            .collect();
        let mounts: Vec<&Value> = self.mounts.iter().chain(&self.host_path_mounts).collect();
        let pod = json!({"volumes": volumes, "containers": [{"name": "tetragon", "volumeMounts": mounts}]});
        PodSpec::deserialize(&pod).map_err(|error| Error::Values(error.to_string()))
    }

    /// The lists with the volume and the mount in them.
    fn completed(mut self, pod: &PodSpec) -> Result<Value, Error> {
        let mut values = Map::new();
        match view::volume(pod, SUGGESTED_VOLUME) {
            None => {
                self.volumes.push(suggested_volume());
                values.insert("extraVolumes".into(), Value::Array(self.volumes));
            }
            Some(volume) if view::is_securityfs(volume) => {}
            Some(volume) => {
                let taken = format!(
                    "volume {SUGGESTED_VOLUME} ({}), not hostPath {SECURITYFS_PATH},",
                    view::source(volume)
                );
                return Err(Error::Taken(taken));
            }
        }
        self.mounts.push(suggested_mount());
        values.insert("tetragon".into(), json!({"extraVolumeMounts": self.mounts}));
        Ok(Value::Object(values))
    }
}
