//! Finds the values for Helm in a file that somebody passes to `helm-values`: a values file, or an
//! object that contains values.
//!
//! In: the documents of a file. Out: the values as Helm would get them, the chart's version if the
//! object names it, and notes. A file whose values are elsewhere is an error, because the lists in
//! them would be lost.

use lsm_ready_tetragon::agent::default_name;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::documents::{self, Document};

#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    #[error(
        "{place}: kind {kind} has no values for Tetragon's chart: write the values themselves \
         into a file and pass that with -f"
    )]
    Kind {
        /// File and line.
        place: String,
        kind: String,
    },
    #[error("{0}: this is a helmfile, not values: pass the values files that it names with -f")]
    Helmfile(String),
    #[error(
        "{place}: more values come from {elsewhere}, which are not in this file, so lists in them \
         would be lost: pass those values with -f before this file"
    )]
    Elsewhere {
        /// File and line.
        place: String,
        /// Where the other values are.
        elsewhere: String,
    },
    #[error("{0}: several sources have values: keep only the source of Tetragon's chart")]
    Several(String),
    /// Values given as text are invalid YAML.
    #[error(transparent)]
    Text(#[from] documents::Error),
}

#[derive(Debug, Default)]
pub struct Given {
    /// In Helm's order.
    pub values: Vec<Value>,
    pub chart_version: Option<String>,
    /// Sentences for people.
    pub notes: Vec<String>,
}

/// A part of an object that has values.
struct Part<'a> {
    /// File and line of the object.
    place: String,
    /// Values as an object.
    values: Option<&'a Value>,
    /// Values as text. `values` overrides them.
    text: Option<&'a str>,
    /// Where more values are.
    elsewhere: Vec<String>,
    /// The version of the chart.
    version: Option<&'a str>,
}

/// Adds the values of one file. `is_first` says that no other file comes before it.
pub fn add(
    given: &mut Given,
    file: &str,
    documents: &[Document],
    is_first: bool,
) -> Result<(), Error> {
    let mut plain = 0;
    for document in documents {
        let place = format!("{file}:{}", document.line);
        let value = &document.value;
        if value.get("apiVersion").is_none() || value.get("kind").is_none() {
            if value.get("releases").is_some_and(Value::is_array) {
                return Err(Error::Helmfile(place));
            }
            plain += 1;
            if plain == 1 {
                given.values.push(value.clone());
            }
            continue;
        }
        take(given, part(value, place)?, is_first)?;
    }
    if plain > 1 {
        given.notes.push(format!("{file} has {plain} documents. Helm reads only the first"));
    }
    Ok(())
}

fn take(given: &mut Given, part: Part<'_>, is_first: bool) -> Result<(), Error> {
    let Part { place, values, text, elsewhere, version } = part;
    if !elsewhere.is_empty() {
        let elsewhere = elsewhere.join(", ");
        if is_first {
            return Err(Error::Elsewhere { place, elsewhere });
        }
        given.notes.push(format!(
            "{place} also takes values from {elsewhere}. Pass them with -f before this file"
        ));
    }
    match (values, text) {
        (Some(values), _) => given.values.push(values.clone()),
        (None, Some(text)) => given
            .values
            .extend(documents::parse(&place, text)?.into_iter().map(|found| found.value)),
        (None, None) => {}
    }
    if let Some(version) = version {
        given.chart_version = Some(version.to_owned());
    }
    given
        .notes
        .push(format!("the values come from the object at {place}. Put the printed lists there"));
    Ok(())
}

/// The part with values of an object of Flux, Argo CD, k3s or kustomize.
fn part(object: &Value, place: String) -> Result<Part<'_>, Error> {
    let group =
        object["apiVersion"].as_str().unwrap_or_default().split('/').next().unwrap_or_default();
    let kind = object["kind"].as_str().unwrap_or_default();
    let spec = &object["spec"];
    match (group, kind) {
        ("helm.toolkit.fluxcd.io", "HelmRelease") => Ok(flux(spec, place)),
        ("argoproj.io", "Application") => argo(spec, place),
        ("argoproj.io", "ApplicationSet") => argo(&spec["template"]["spec"], place),
        ("helm.cattle.io", "HelmChart" | "HelmChartConfig") => Ok(Part {
            place,
            values: spec.get("values").filter(|values| values.is_object()),
            text: spec["valuesContent"].as_str(),
            elsewhere: Vec::new(),
            version: spec["version"].as_str(),
        }),
        ("kustomize.config.k8s.io", "Kustomization") if object["helmCharts"].is_array() => {
            kustomize(object, place)
        }
        _ => Err(Error::Kind { place, kind: kind.to_owned() }),
    }
}

fn flux(spec: &Value, place: String) -> Part<'_> {
    let sources = spec["valuesFrom"].as_array().into_iter().flatten();
    let source = |source: &Value| format!("{} {}", word(&source["kind"]), word(&source["name"]));
    let chart = &spec["chart"]["spec"];
    Part {
        place,
        values: object(&spec["values"]),
        text: None,
        elsewhere: sources.map(source).chain(files(&chart["valuesFiles"])).collect(),
        version: chart["version"].as_str(),
    }
}

/// The source with Tetragon's chart, else the only source with values.
fn argo(spec: &Value, place: String) -> Result<Part<'_>, Error> {
    let sources: Vec<&Value> = match spec["sources"].as_array() {
        Some(sources) => sources.iter().collect(),
        None => vec![&spec["source"]],
    };
    let with_values: Vec<&&Value> =
        sources.iter().filter(|source| source["helm"].is_object()).collect();
    let of_tetragon = sources.iter().find(|source| word(&source["chart"]) == "tetragon");
    let source = match (of_tetragon, with_values.as_slice()) {
        (Some(source), _) => source,
        (None, [source]) => source,
        (None, []) => {
            return Err(Error::Kind { place, kind: "Application without helm values".to_owned() });
        }
        (None, _) => return Err(Error::Several(place)),
    };
    let helm = &source["helm"];
    Ok(Part {
        elsewhere: files(&helm["valueFiles"]).chain(list_parameters(helm)).collect(),
        values: object(&helm["valuesObject"]),
        text: helm["values"].as_str(),
        version: source["targetRevision"].as_str().filter(|_| source["chart"].is_string()),
        place,
    })
}

/// The parameters of an Argo CD source that set one of the lists with volumes and mounts.
fn list_parameters(helm: &Value) -> impl Iterator<Item = String> {
    const LISTS: [&str; 3] = ["extraVolumes", "extraVolumeMounts", "extraHostPathMounts"];
    ["parameters", "fileParameters"]
        .into_iter()
        .flat_map(|field| helm[field].as_array().into_iter().flatten())
        .map(|parameter| format!("parameter {}", word(&parameter["name"])))
        .filter(|name| LISTS.iter().any(|list| name.contains(list)))
}

fn kustomize(kustomization: &Value, place: String) -> Result<Part<'_>, Error> {
    let charts: Vec<&Value> =
        kustomization["helmCharts"].as_array().into_iter().flatten().collect();
    let chart = match charts.as_slice() {
        [chart] => chart,
        _ => charts
            .iter()
            .find(|chart| word(&chart["name"]) == "tetragon")
            .ok_or_else(|| Error::Several(place.clone()))?,
    };
    let file = chart["valuesFile"].as_str().map(|file| format!("file {file}"));
    Ok(Part {
        elsewhere: file.into_iter().chain(files(&chart["additionalValuesFiles"])).collect(),
        values: object(&chart["valuesInline"]),
        text: None,
        version: chart["version"].as_str(),
        place,
    })
}

/// A phrase for each values file of a list.
fn files(list: &Value) -> impl Iterator<Item = String> {
    list.as_array().into_iter().flatten().map(|file| format!("file {}", word(file)))
}

fn object(value: &Value) -> Option<&Value> {
    Some(value).filter(|value| value.is_object())
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The name of the dependency under which these values have Tetragon's, if they look like values of
/// a chart that has Tetragon's as a dependency.
pub fn dependency(values: &[Value]) -> Option<String> {
    /// Top-level values of Tetragon's chart that are not values of its agent.
    const TOP: [&str; 6] =
        ["tetragonOperator", "extraVolumes", "extraHostPathMounts", "export", "rthooks", "crds"];
    let is_chart = |value: &Map<String, Value>| {
        value.get(&default_name()).is_some_and(Value::is_object)
            || TOP.iter().any(|name| value.contains_key(*name))
    };
    let dependency = |values: &Map<String, Value>| {
        // Values of Tetragon's own chart have these names at the top.
        if TOP.iter().any(|name| values.contains_key(*name)) {
            return None;
        }
        let mut charts = values.iter().filter(|(_, value)| value.as_object().is_some_and(is_chart));
        let (name, _) = charts.next()?;
        charts.next().is_none().then(|| name.clone())
    };
    values.iter().filter_map(Value::as_object).find_map(dependency)
}

/// The values of the dependency only.
pub fn of_dependency(values: &[Value], name: &str) -> Vec<Value> {
    values.iter().filter_map(|values| values.get(name).cloned()).collect()
}

/// The same values, below the name of the dependency.
pub fn below(name: &str, values: Value) -> Value {
    let mut above = Map::new();
    above.insert(name.to_owned(), values);
    Value::Object(above)
}

/// What some values say about the agent.
#[derive(Debug, Default, Eq, PartialEq)]
pub struct AgentValues {
    pub tag: Option<String>,
    pub privileged: Option<bool>,
}

/// The chart's values below `tetragon`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Agent {
    image: Image,
    #[serde(rename = "securityContext")]
    security_context: SecurityContext,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Image {
    tag: Option<String>,
    /// A whole image reference. It counts instead of the tag.
    #[serde(rename = "override")]
    reference: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SecurityContext {
    privileged: Option<bool>,
}

/// What the values say about the agent. For each field, the last values that set it count.
pub fn agent(values: &[Value]) -> AgentValues {
    let agents: Vec<Agent> = values
        .iter()
        .rev()
        .filter_map(|values| Agent::deserialize(values.get(default_name())?).ok())
        .collect();
    AgentValues {
        tag: agents.iter().find_map(|agent| agent.image.tag()),
        privileged: agents.iter().find_map(|agent| agent.security_context.privileged),
    }
}

impl Image {
    fn tag(&self) -> Option<String> {
        let reference = self.reference.as_deref().filter(|reference| !reference.is_empty());
        let tag =
            reference.and_then(|reference| lsm_ready_tetragon::image::Image::parse(reference).tag);
        tag.map(str::to_owned).or_else(|| self.tag.clone())
    }
}
