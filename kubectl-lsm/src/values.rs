//! The values in a file that somebody gives to `helm-values`: a values file, or an object that holds values for Helm.
//!
//! In: the documents of a file. Out: the values as Helm would get them, the chart's version where the object names it, and
//! remarks. What only looks like values is an error: lists that are not seen would be lost.

use lsm_ready_tetragon::agent::default_name;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::documents::{self, Document};

/// What cannot be taken for values.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub enum Error {
    /// An object of Kubernetes that is none of those known here.
    #[error(
        "{place}: an object of kind {kind} has no values for Tetragon's chart that can be found here; give the values \
         themselves in a file"
    )]
    Kind {
        /// File and line.
        place: String,
        /// Its kind.
        kind: String,
    },
    /// The file of another tool.
    #[error("{0}: it is a helmfile, not values; give the values files that it names")]
    Helmfile(String),
    /// Values that are somewhere else.
    #[error(
        "{place}: it takes values from {elsewhere} too, which are not in this file; lists there would be lost. Give those \
         values with -f in front of this file"
    )]
    Elsewhere {
        /// File and line.
        place: String,
        /// Where they are.
        elsewhere: String,
    },
    /// Several charts.
    #[error("{0}: several sources have values; keep the one of Tetragon's chart")]
    Several(String),
    /// Values as text that are none.
    #[error(transparent)]
    Text(#[from] documents::Error),
}

/// Values, and what else the file says.
#[derive(Debug, Default)]
pub struct Given {
    /// In Helm's order.
    pub values: Vec<Value>,
    /// The version of the chart.
    pub chart_version: Option<String>,
    /// What somebody should know.
    pub remarks: Vec<String>,
}

/// A part of an object that holds values.
struct Part<'a> {
    /// Where the object stands.
    place: String,
    /// Values as an object.
    values: Option<&'a Value>,
    /// Values as text, which `values` overrides.
    text: Option<&'a str>,
    /// Where more values are.
    elsewhere: Vec<String>,
    /// The version of the chart.
    version: Option<&'a str>,
}

/// Takes in the documents of one file. `is_first` says that no other file was given before it.
///
/// # Errors
/// Where it holds no values, or not all of them.
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
        given.remarks.push(format!("{file} has {plain} documents; Helm reads the first alone"));
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
        given.remarks.push(format!(
            "{place} takes values from {elsewhere} too: they have to be among the files in front"
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
    given.remarks.push(format!(
        "the values are those of the object at {place}: put the lists that are printed there"
    ));
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
    let from = spec["valuesFrom"].as_array().into_iter().flatten();
    let name = |source: &Value| format!("{} {}", word(&source["kind"]), word(&source["name"]));
    let files = spec["chart"]["spec"]["valuesFiles"].as_array().into_iter().flatten();
    let elsewhere =
        from.map(name).chain(files.map(|file| format!("file {}", word(file)))).collect();
    let version = spec["chart"]["spec"]["version"].as_str();
    Part { place, values: object(&spec["values"]), text: None, elsewhere, version }
}

/// Of several sources the one that is Tetragon's chart, else the only one with values.
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
    let files = helm["valueFiles"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|file| format!("file {}", word(file)));
    let parameters = helm["parameters"]
        .as_array()
        .into_iter()
        .flatten()
        .chain(helm["fileParameters"].as_array().into_iter().flatten());
    let parameters = parameters.map(|parameter| format!("parameter {}", word(&parameter["name"])));
    let lists = ["extraVolumes", "extraVolumeMounts", "extraHostPathMounts"];
    let parameters = parameters.filter(|name| lists.iter().any(|list| name.contains(list)));
    Ok(Part {
        elsewhere: files.chain(parameters).collect(),
        values: object(&helm["valuesObject"]),
        text: helm["values"].as_str(),
        version: source["targetRevision"].as_str().filter(|_| source["chart"].is_string()),
        place,
    })
}

fn kustomize(object_: &Value, place: String) -> Result<Part<'_>, Error> {
    let charts: Vec<&Value> = object_["helmCharts"].as_array().into_iter().flatten().collect();
    let chart = match charts.as_slice() {
        [chart] => chart,
        _ => charts
            .iter()
            .find(|chart| word(&chart["name"]) == "tetragon")
            .ok_or_else(|| Error::Several(place.clone()))?,
    };
    let file = chart["valuesFile"].as_str().map(|file| format!("file {file}"));
    let files = chart["additionalValuesFiles"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|file| format!("file {}", word(file)));
    Ok(Part {
        elsewhere: file.into_iter().chain(files).collect(),
        values: object(&chart["valuesInline"]),
        text: None,
        version: chart["version"].as_str(),
        place,
    })
}

fn object(value: &Value) -> Option<&Value> {
    Some(value).filter(|value| value.is_object())
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The name of the dependency below which a chart has Tetragon's values, where these values look like those of a chart
/// that has Tetragon's as a dependency.
pub fn dependency(values: &[Value]) -> Option<String> {
    /// Top-level values of Tetragon's chart, none of which is a value of its agent.
    const TOP: [&str; 6] =
        ["tetragonOperator", "extraVolumes", "extraHostPathMounts", "export", "rthooks", "crds"];
    let is_chart = |value: &Map<String, Value>| {
        value.get(&default_name()).is_some_and(Value::is_object)
            || TOP.iter().any(|name| value.contains_key(*name))
    };
    let below = |values: &Map<String, Value>| {
        // Values of Tetragon's own chart have these names at the top.
        if TOP.iter().any(|name| values.contains_key(*name)) {
            return None;
        }
        let charts = values.iter().filter(|(_, value)| value.as_object().is_some_and(is_chart));
        let names: Vec<&String> = charts.map(|(name, _)| name).collect();
        (names.len() == 1).then(|| names[0].clone())
    };
    values.iter().filter_map(Value::as_object).find_map(below)
}

/// Values of the dependency alone.
pub fn of_dependency(values: &[Value], name: &str) -> Vec<Value> {
    values.iter().filter_map(|values| values.get(name).cloned()).collect()
}

/// The same values below the name of the dependency.
pub fn below(name: &str, values: Value) -> Value {
    let mut above = Map::new();
    above.insert(name.to_owned(), values);
    Value::Object(above)
}

/// What some values say about the agent.
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
    #[serde(rename = "override")]
    whole: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SecurityContext {
    privileged: Option<bool>,
}

/// The agent's tag, and whether it is privileged, as the last values that say so have it.
pub fn agent(values: &[Value]) -> (Option<String>, Option<bool>) {
    let agents: Vec<Agent> = values
        .iter()
        .rev()
        .filter_map(|values| {
            values.get(default_name()).and_then(|agent| Agent::deserialize(agent).ok())
        })
        .collect();
    let tag = |image: &Image| {
        let whole = image.whole.as_deref().filter(|whole| !whole.is_empty());
        let whole = whole.and_then(|whole| {
            lsm_ready_tetragon::image::Image::parse(whole).tag.map(str::to_owned)
        });
        whole.or_else(|| image.tag.clone())
    };
    let tag = agents.iter().find_map(|agent| tag(&agent.image));
    (tag, agents.iter().find_map(|agent| agent.security_context.privileged))
}
