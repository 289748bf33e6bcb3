//! `rig api`: etcd and kube-apiserver alone, with their state in `target/e2e/api/`; and the
//! programs in Go.

use std::process::ExitCode;

use clap::Subcommand;
use e2e::{api, go, paths};

use crate::Failure;

#[derive(Subcommand)]
pub enum Action {
    /// Builds Kubernetes and etcd, where they are not up to date.
    Build {
        /// Builds Helm 3 and 4 too.
        #[arg(long)]
        helm: bool,
        /// Builds Prometheus, promtool, and what GitOps tools say of objects, too.
        #[arg(long)]
        monitoring: bool,
    },
    /// Starts it unless it runs, and prints the path of its kubeconfig as the last line.
    Up,
    /// Ends it and removes its state.
    Down,
}

pub async fn run(action: Action) -> Result<ExitCode, Failure> {
    let dir = paths::state().join("api");
    match action {
        Action::Build { helm, monitoring } => {
            go::build_kubernetes().await?;
            if helm {
                go::build_helm().await?;
            }
            if monitoring {
                go::build_prometheus().await?;
                go::build_verdicts().await?;
                for other in go::OTHERS {
                    go::module(other.module)?;
                }
            }
        }
        Action::Up => println!("{}", api::up(&dir).await?.display()),
        Action::Down => api::down(&dir).await?,
    }
    Ok(ExitCode::SUCCESS)
}
