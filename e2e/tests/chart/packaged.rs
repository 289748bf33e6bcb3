//! The chart as it is packaged and pushed.

use e2e::helm::{Helm, chart};
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
        assert!(!output.contains("[WARNING]") && !output.contains("[INFO]"), "{output}");
    }
}
