//! `rig image`: container images without Docker, as OCI archives. The same input gives the same
//! bytes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use e2e::image::{Image, parse_file, project};
use e2e::stock_kernel::Arch;

use crate::Failure;

#[derive(Subcommand)]
pub enum Action {
    /// Builds the project's own images into target/images and prints their archives and names.
    /// ENGINE=docker, podman or buildah builds the product's images with that instead.
    Build {
        /// Builds the product's images of programs that were cross-compiled for that architecture
        /// (release/build.sh), into a folder of their own.
        #[arg(long)]
        arch: Option<Arch>,
    },
    /// Makes the product's images again, of the programs in that folder, and fails if an image has
    /// another digest than its archive in target/images.
    Compare {
        /// Where a second build has left the programs.
        folder: PathBuf,
    },
    /// Prints the licence texts that go with the static program of a package, for an image that
    /// another engine builds.
    Notices {
        /// lsm-ready-operator or node-probe.
        package: String,
    },
    /// Writes a one-layer image and prints the digest of its manifest.
    Write(Arguments),
}

#[derive(Args)]
pub struct Arguments {
    /// The image's name, `NAME:TAG`.
    #[arg(long)]
    name: String,
    /// The archive to write.
    #[arg(long)]
    output: PathBuf,
    /// What the image runs: a path, then its first arguments, each with an `--entrypoint` of its
    /// own.
    #[arg(long, required = true, allow_hyphen_values = true)]
    entrypoint: Vec<String>,
    /// The number of the user that runs it.
    #[arg(long)]
    user: Option<String>,
    /// The processor architecture.
    #[arg(long, default_value = "amd64")]
    arch: String,
    /// Files: SOURCE=DESTINATION.
    #[arg(required = true, value_parser = parse_file)]
    files: Vec<(String, PathBuf)>,
}

pub fn run(action: Action) -> Result<ExitCode, Failure> {
    match action {
        Action::Build { arch: Some(arch) } if arch != Arch::HOST => {
            for line in project::build_for(arch)? {
                println!("{line}");
            }
        }
        Action::Build { .. } => {
            let engine = std::env::var("ENGINE").ok().filter(|engine| !engine.is_empty());
            for line in project::build(engine.as_deref())? {
                println!("{line}");
            }
        }
        Action::Compare { folder } => {
            for line in project::compare(&folder)? {
                println!("{line}");
            }
        }
        Action::Notices { package } => print!("{}", project::notices_of(&package, Arch::HOST)?),
        Action::Write(arguments) => {
            let image = Image {
                name: arguments.name,
                entrypoint: arguments.entrypoint,
                user: arguments.user,
                architecture: arguments.arch,
                files: arguments.files.into_iter().collect(),
                labels: BTreeMap::new(),
            };
            println!("{}", image.write_file(&arguments.output)?);
        }
    }
    Ok(ExitCode::SUCCESS)
}
