//! The chart as it is packaged and pushed.

use std::process::Command;

use e2e::command::run;
use e2e::helm::{Helm, chart};
use e2e::paths;
use tempfile::TempDir;

use crate::{render, render_chart};

#[test]
fn the_packaged_chart_renders_as_its_folder_does() {
    let (home, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    for helm in Helm::ALL {
        let (folder, destination) =
            (chart().display().to_string(), to.path().display().to_string());
        let package = ["package", &folder, "--destination", &destination];
        helm.run(home.path(), &package).unwrap();
        let version = env!("CARGO_PKG_VERSION");
        let archive = to.path().join(format!("lsm-ready-{version}.tgz"));
        let packaged = render_chart(helm, &archive, "lsm-ready-system", &[]).unwrap();
        assert_eq!(packaged.0, render(helm, &[]).unwrap().0, "{helm:?}");
    }
}

#[test]
fn both_helms_render_the_same() {
    let [three, four] = Helm::ALL.map(|helm| render(helm, &[]).unwrap().0);
    assert_eq!(three, four);
}

#[test]
fn lint_finds_nothing() {
    let home = TempDir::new().unwrap();
    for helm in Helm::ALL {
        let folder = chart().display().to_string();
        let output = helm.run(home.path(), &["lint", "--strict", &folder]).unwrap();
        // A release has an icon, because it has an address for it.
        let rest = output.replace("[INFO] Chart.yaml: icon is recommended", "");
        assert!(!rest.contains("[WARNING]") && !rest.contains("[INFO]"), "{output}");
    }
}

/// As the release workflow packages it.
#[test]
fn a_released_chart_has_its_addresses_and_its_images() {
    let (url, registry) = ("https://example.com/lsm-ready", "registry.example.com/lsm-ready");
    for helm in Helm::ALL {
        let (home, to) = (TempDir::new().unwrap(), TempDir::new().unwrap());
        let mut command = Command::new(paths::workspace().join("release/chart.sh"));
        command.args(["1.2.3", url, registry]).arg(to.path());
        command.env("HELM", helm.command(home.path(), &[]).get_program());
        run(command.env("HOME", home.path())).unwrap();
        let archive = to.path().join("lsm-ready-1.2.3.tgz");
        let file = archive.display().to_string();
        let shown = helm.run(home.path(), &["show", "chart", &file]).unwrap();
        for line in [
            "home: https://example.com/lsm-ready",
            "icon: https://example.com/lsm-ready/raw/v1.2.3/charts/lsm-ready/icon.svg",
            "- https://example.com/lsm-ready",
            "image: registry.example.com/lsm-ready/node-probe:0.1.0",
            "url: https://example.com/lsm-ready/blob/v1.2.3/docs/README.md",
        ] {
            assert!(shown.contains(line), "{line}: {shown}");
        }
        let values = helm.run(home.path(), &["show", "values", &file]).unwrap();
        assert!(values.contains("repository: operator\n"), "{values}");
        let rendered = render_chart(helm, &archive, "lsm-ready-system", &[]).unwrap().0;
        let rendered = serde_json::to_string(&rendered).unwrap();
        for image in ["operator", "node-probe"] {
            assert!(rendered.contains(&format!("\"{registry}/{image}:1.2.3\"")), "{image}");
        }
        let linted = helm.run(home.path(), &["lint", "--strict", &file]).unwrap();
        assert!(!linted.contains("[WARNING]") && !linted.contains("[INFO]"), "{linted}");
    }
}
