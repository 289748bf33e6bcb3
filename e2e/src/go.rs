//! The programs in Go: Kubernetes and etcd as one multi-call binary, Helm 3 and 4, Prometheus and
//! promtool, what GitOps tools say of objects, and Node Feature Discovery's master.
//!
//! In: Go 1.25 or newer; the Go module `e2e/programs/`; Go's module proxy the first time.
//! Out: the programs in `target/e2e/bin/`. Minutes the first time (about 4 on two cores for
//! Kubernetes), nothing when they are up to date. One module for all of them means one version of
//! each library, which is compiled once.
//!
//! [`module`] fetches a module for the files in it, such as the CRDs of another project.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{self, run, run_visibly};
use crate::{image, paths};

/// The names by which the multi-call binary is called.
const NAMES: [&str; 7] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-proxy",
    "kube-scheduler",
    "kubectl",
    "kubelet",
];
/// Linker flags that leave symbols and debug information out.
const STRIPPED: &str = "-s -w";
/// Where Kubernetes keeps its own version.
const VERSION: &str = "k8s.io/component-base/version";

/// What keeps a program from being built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Go failed.
    #[error(transparent)]
    Command(#[from] command::Error),
    /// A file.
    #[error("cannot build the programs in Go: {0}")]
    Io(#[from] io::Error),
}

/// Builds Kubernetes and etcd, and returns the path of the binary.
pub async fn build_kubernetes() -> Result<PathBuf, Error> {
    let binary = paths::programs().join("cluster");
    let build = Build::new("programs", "cluster", &["cluster/main.go"])?;
    if build.is_done() && binary.exists() {
        return Ok(binary);
    }
    let kubernetes = build.version("k8s.io/kubernetes")?;
    eprintln!("rig: building Kubernetes {kubernetes} and etcd (minutes the first time)");
    // Without a version of its own, Kubernetes calls itself v0.0.0-master, and nodes report that.
    let minor = kubernetes.split('.').nth(1).unwrap_or_default();
    let flags = format!(
        "{STRIPPED} -X {VERSION}.gitVersion={kubernetes} -X {VERSION}.gitMajor=1 -X {VERSION}.gitMinor={minor} \
         -X {VERSION}.gitTreeState=clean"
    );
    build.run(&["-ldflags", &flags], "./cluster", &binary).await?;
    for name in NAMES {
        let link = paths::programs().join(name);
        paths::remove_file(&link)?;
        symlink("cluster", link)?;
    }
    build.done()?;
    Ok(binary)
}

/// Builds Helm 3 and Helm 4, and returns the folder with `helm3/helm` and `helm4/helm`. Both
/// programs are called helm, because Helm takes the name of its field manager from the program's.
pub async fn build_helm() -> Result<PathBuf, Error> {
    let build = Build::new("programs", "helm", &[])?;
    if !build.is_done() {
        for major in [3, 4] {
            let module = format!("helm.sh/helm/v{major}");
            eprintln!("rig: building Helm {}", build.version(&module)?);
            let binary = paths::programs().join(format!("helm{major}/helm"));
            build.run(&["-ldflags", STRIPPED], &format!("{module}/cmd/helm"), &binary).await?;
        }
        build.done()?;
    }
    Ok(paths::programs())
}

/// Builds Prometheus and promtool, without the web interface and without service discovery.
pub async fn build_prometheus() -> Result<(), Error> {
    let build = Build::new("programs", "prometheus", &[])?;
    if !build.is_done() {
        let module = "github.com/prometheus/prometheus";
        eprintln!("rig: building Prometheus {}", build.version(module)?);
        let flags = ["-tags", "remove_all_sd", "-ldflags", STRIPPED];
        for name in ["prometheus", "promtool"] {
            let binary = paths::programs().join(name);
            build.run(&flags, &format!("{module}/cmd/{name}"), &binary).await?;
        }
        build.done()?;
    }
    Ok(())
}

/// Builds the program that asks kstatus, Flux and Argo CD for their verdicts on objects.
pub async fn build_verdicts() -> Result<(), Error> {
    let build = Build::new("programs", "verdicts", &["verdicts/main.go"])?;
    if !build.is_done() {
        eprintln!("rig: building kstatus {}", build.version("github.com/fluxcd/cli-utils")?);
        build
            .run(&["-ldflags", STRIPPED], "./verdicts", &paths::programs().join("verdicts"))
            .await?;
        build.done()?;
    }
    Ok(())
}

/// The module of Node Feature Discovery.
pub const NFD: &str = "sigs.k8s.io/node-feature-discovery";

/// Builds the master of Node Feature Discovery, which labels nodes too, to measure it beside the
/// operator. Returns its path. It needs Go 1.26.
pub async fn build_nfd() -> Result<PathBuf, Error> {
    let build = Build::new("nfd", "nfd", &[])?;
    let binary = paths::programs().join("nfd-master");
    if !build.is_done() {
        eprintln!("rig: building Node Feature Discovery {}", build.version(NFD)?);
        let package = format!("{NFD}/cmd/nfd-master");
        build.run(&["-ldflags", STRIPPED], &package, &binary).await?;
        build.done()?;
    }
    Ok(binary)
}

/// The folder of the module of Node Feature Discovery, in the version that is built.
pub fn nfd_module() -> Result<PathBuf, Error> {
    module(&format!("{NFD}@{}", Build::new("nfd", "nfd", &[])?.version(NFD)?))
}

/// Another project whose CRDs tests install, from its module in Go.
#[derive(Clone, Copy, Debug)]
pub struct Other {
    /// The module with its version.
    pub module: &'static str,
    /// Files of the module.
    pub crds: &'static [&'static str],
}

/// The Prometheus Operator, Argo CD and Flux.
pub const OTHERS: [Other; 5] = [
    Other {
        module: "github.com/prometheus-operator/prometheus-operator@v0.85.0",
        crds: &[
            "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
            "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
            "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
        ],
    },
    Other {
        module: "github.com/argoproj/argo-cd/v3@v3.1.0",
        crds: &["manifests/crds/application-crd.yaml"],
    },
    Other {
        module: "github.com/fluxcd/kustomize-controller@v1.9.0",
        crds: &["config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml"],
    },
    Other {
        module: "github.com/fluxcd/helm-controller@v1.4.0",
        crds: &["config/crd/bases/helm.toolkit.fluxcd.io_helmreleases.yaml"],
    },
    Other {
        module: "github.com/fluxcd/source-controller@v1.7.0",
        crds: &["config/crd/bases/source.toolkit.fluxcd.io_helmrepositories.yaml"],
    },
];

/// Fetches a module with its version, for example `example.com/module@v1.0.0`, and returns its
/// folder. Go compares it with the public checksum database.
pub fn module(module: &str) -> Result<PathBuf, Error> {
    let mut download = Command::new("go");
    // Outside of any module, so that no go.mod counts.
    download.current_dir("/").args(["mod", "download", "-json", module]);
    let found: Downloaded = serde_json::from_str(&run(&mut download)?).map_err(io::Error::from)?;
    Ok(found.dir)
}

/// What `go mod download -json` prints.
#[derive(serde::Deserialize)]
struct Downloaded {
    #[serde(rename = "Dir")]
    dir: PathBuf,
}

/// One or two programs of a Go module.
struct Build {
    module: PathBuf,
    /// A digest of the sources, and the file that has the digest of the last build.
    key: String,
    key_file: PathBuf,
    /// Held until the build is over.
    _lock: fs::File,
}

impl Build {
    /// `module` is a folder of `e2e/`. `sources` are files in it, beside `go.mod` and `go.sum`.
    fn new(module: &str, name: &str, sources: &[&str]) -> Result<Self, Error> {
        let (module, programs) = (paths::sources().join(module), paths::programs());
        fs::create_dir_all(&programs)?;
        let lock = paths::lock(&programs.join(format!(".{name}.lock")))?;
        let mut bytes = include_bytes!("go.rs").to_vec();
        for file in ["go.mod", "go.sum"].iter().chain(sources) {
            bytes.extend(fs::read(module.join(file))?);
        }
        let key_file = programs.join(format!(".{name}.key"));
        Ok(Self { module, key: image::sha256(&bytes), key_file, _lock: lock })
    }

    fn is_done(&self) -> bool {
        fs::read_to_string(&self.key_file).is_ok_and(|key| key == self.key)
    }

    fn done(&self) -> io::Result<()> {
        fs::write(&self.key_file, &self.key)
    }

    fn version(&self, module: &str) -> Result<String, Error> {
        let mut list = Command::new("go");
        list.current_dir(&self.module).args(["list", "-m", "-f", "{{.Version}}", module]);
        Ok(run(&mut list)?)
    }

    /// Builds a package. The binary appears only when it is complete. Nobody debugs these programs,
    /// and a compiler that collects its garbage seldom takes more memory and less time: together a
    /// quarter less.
    async fn run(&self, flags: &[&str], package: &str, binary: &Path) -> Result<(), Error> {
        let partial = binary.with_extension("partial");
        let mut build = Command::new("go");
        build.current_dir(&self.module).env("CGO_ENABLED", "0").env("GOGC", "400");
        build
            .args(["build", "-trimpath", "-gcflags=all=-dwarf=false"])
            .args(flags)
            .arg("-o")
            .arg(&partial)
            .arg(package);
        run_visibly(build).await?;
        Ok(fs::rename(partial, binary)?)
    }
}
