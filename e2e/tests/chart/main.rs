//! The Helm chart as both Helms render it: the objects of config/, and what each value changes.
//!
//! In: the programs of `rig api build --helm`. No cluster is needed. Installing, upgrading and
//! uninstalling are tested on an API server: operator/tests/api/chart.
#![allow(clippy::unwrap_used, reason = "what cannot be prepared fails the test")]
#![allow(clippy::panic, reason = "an object that is missing fails the test")]

mod objects;
mod packaged;
mod refused;
mod same;
mod values;

use std::path::Path;

use e2e::helm::{Helm, chart};
use tempfile::TempDir;

use objects::Objects;

/// Helm built from its modules does not know which Kubernetes it was released for.
const KUBERNETES: [&str; 2] = ["--kube-version", "1.35.0"];

/// Renders the chart in namespace lsm-ready-system.
fn render(helm: Helm, flags: &[&str]) -> Result<Objects, String> {
    render_in(helm, "lsm-ready-system", flags)
}

fn render_in(helm: Helm, namespace: &str, flags: &[&str]) -> Result<Objects, String> {
    render_chart(helm, &chart(), namespace, flags)
}

fn render_chart(
    helm: Helm,
    chart: &Path,
    namespace: &str,
    flags: &[&str],
) -> Result<Objects, String> {
    let home = TempDir::new().unwrap();
    let chart = chart.display().to_string();
    let mut arguments = vec!["template", "lsm-ready", &chart, "--namespace", namespace];
    arguments.extend(KUBERNETES);
    arguments.extend(flags);
    let text = helm.run(home.path(), &arguments).map_err(|error| error.to_string())?;
    Ok(Objects::read(&text))
}
