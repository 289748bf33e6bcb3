//! Values for Tetragon's Helm chart that mount securityfs.
//!
//! In: the values that Helm already gets, and the chart's version. Out: the values to pass to Helm
//! last.
//!
//! Each chart since 0.8.0 renders `extraVolumes` into the pod's volumes and
//! `tetragon.extraVolumeMounts` into the agent's mounts. It renders `extraHostPathMounts` into
//! both, but without the type of the hostPath, so nothing checks that the host has the directory.
//! That is why this module uses the first two.

use k8s_openapi::api::core::v1::PodSpec;
use lsm_ready_crds::ExitCode;
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

/// The oldest chart that has these values.
const OLDEST_CHART: &str = "0.8.0";

#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    #[error("invalid value {0:?} of --chart-version: write a version, for example 1.3.0")]
    Version(String),
    #[error(
        "chart {0} is too old: {OLDEST_CHART} and later have extraVolumes and \
         tetragon.extraVolumeMounts"
    )]
    Chart(String),
    #[error("invalid values for Tetragon's chart: {0}")]
    Values(String),
    #[error("the values have {0} where securityfs has to be mounted: remove that first")]
    Taken(String),
    /// What the chart renders from the values cannot be installed.
    #[error("with these values {0}")]
    Refused(#[from] Refusal),
}

impl Error {
    /// The exit code.
    pub const fn code(&self) -> ExitCode {
        match self {
            Self::Taken(_) | Self::Refused(_) => ExitCode::CannotBeJudged,
            Self::Version(_) | Self::Chart(_) | Self::Values(_) => ExitCode::WrongUse,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Completed {
    /// Sentences for people.
    pub notes: Vec<String>,
    /// The values to pass to Helm last.
    pub values: Value,
}

/// The values that add the mount. `given` are the values that Helm already gets, in Helm's order.
pub fn values(given: &[Value], chart_version: Option<&str>) -> Result<Completed, Error> {
    let mut notes = Vec::from_iter(note_about_release(given, chart_version)?);
    let lists = Lists::of(given)?;
    let pod = lists.pod()?;
    if let Some(refusal) = invalid::refusal(&pod) {
        return Err(refusal.into());
    }
    let container = pod.containers.first().cloned().unwrap_or_default();
    let values = match view::view(&pod, &container, false) {
        View::Nothing => lists.completed(&pod)?,
        View::Ours(mounted) | View::Theirs(mounted) => {
            notes.push(format!(
                "these values already have the mount: volume {} is {mounted}",
                mounted.volume
            ));
            json!({})
        }
        View::Inside(other) | View::Hidden(other) => return Err(Error::Taken(other.to_string())),
    };
    Ok(Completed { notes, values })
}

/// Checks the chart's version. Returns a note about whether the agent needs the mount.
fn note_about_release(given: &[Value], version: Option<&str>) -> Result<Option<String>, Error> {
    let chart = version
        .map(|given| Version::parse(given).ok_or_else(|| Error::Version(given.to_owned())))
        .transpose()?;
    if let (Some(chart), Some(oldest)) = (chart, Version::parse(OLDEST_CHART))
        && chart < oldest
    {
        return Err(Error::Chart(version.unwrap_or_default().to_owned()));
    }
    let agent = values::agent(given);
    let release = agent.tag.as_deref().and_then(Version::parse).or(chart);
    Ok(release.and_then(|release| note(release, agent.privileged)))
}

fn note(release: Version, privileged: Option<bool>) -> Option<String> {
    match privileged {
        _ if release < LSM_HOOKS_SINCE => Some(NoNeed::NoLsmHooks(release).to_string()),
        _ if release < MOUNTS_ITSELF_SINCE => None,
        Some(false) => Some(format!(
            "Tetragon {release} mounts securityfs itself if it may. These values set privileged: \
             false, so it needs this mount unless it has the capability SYS_ADMIN"
        )),
        Some(true) | None => Some(format!(
            "Tetragon {release} mounts securityfs itself if it is privileged, which is the \
             chart's default"
        )),
    }
}

/// The three lists of the chart that make volumes and mounts of the agent.
struct Lists {
    volumes: Vec<Value>,
    mounts: Vec<Value>,
    host_path_mounts: Vec<Value>,
}

impl Lists {
    /// If several files have a list, the last file's list counts, as it does for Helm.
    fn of(given: &[Value]) -> Result<Self, Error> {
        if let Some(other) = given.iter().find(|values| !values.is_object() && !values.is_null()) {
            return Err(Error::Values(format!("{other} is not a map")));
        }
        Ok(Self {
            volumes: last(given, &["extraVolumes"])?,
            mounts: last(given, &["tetragon", "extraVolumeMounts"])?,
            host_path_mounts: last(given, &["extraHostPathMounts"])?,
        })
    }

    /// The pod that the chart makes of these lists.
    fn pod(&self) -> Result<PodSpec, Error> {
        let host_path = |entry: &Value| {
            let path = &entry["mountPath"];
            json!({"name": entry["name"], "hostPath": {"path": path}})
        };
        let volumes: Vec<Value> = self
            .volumes
            .iter()
            .cloned()
            .chain(self.host_path_mounts.iter().map(host_path))
            .collect();
        let mounts: Vec<&Value> = self.mounts.iter().chain(&self.host_path_mounts).collect();
        let pod = json!({
            "volumes": volumes,
            "containers": [{"name": "tetragon", "volumeMounts": mounts}],
        });
        PodSpec::deserialize(&pod).map_err(|error| Error::Values(error.to_string()))
    }

    /// The values with our volume and mount added to the lists.
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

/// The list at that path in the last values that set it.
fn last(given: &[Value], path: &[&str]) -> Result<Vec<Value>, Error> {
    let get = |values| path.iter().try_fold(values, |value: &Value, key| value.get(key));
    match given.iter().rev().find_map(get) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) => Ok(list.clone()),
        Some(_) => Err(Error::Values(format!("{} is not a list", path.join(".")))),
    }
}
