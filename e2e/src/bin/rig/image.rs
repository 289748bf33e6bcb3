//! `image`: writes a one-layer OCI archive, without Docker.
//!
//! The same input gives the same bytes. Prints the manifest's digest.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use e2e::image::{Error, Image, parse_file};

/// Writes a reproducible one-layer image as an OCI archive.
#[derive(Parser)]
struct Cli {
    /// The image's name, `NAME:TAG`.
    #[arg(long)]
    name: String,
    /// The archive to write.
    #[arg(long)]
    output: PathBuf,
    /// What the image runs: a path, then its first arguments, each with an `--entrypoint` of its own.
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

fn main() -> ExitCode {
    match write(Cli::parse()) {
        Ok(digest) => {
            println!("{digest}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("image: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(cli: Cli) -> Result<String, Error> {
    let image = Image {
        name: cli.name,
        entrypoint: cli.entrypoint,
        user: cli.user,
        architecture: cli.arch,
        files: cli.files.into_iter().collect(),
    };
    if let Some(dir) = cli.output.parent() {
        std::fs::create_dir_all(dir)?;
    }
    // Written beside its place, so that nobody ever finds half an image there.
    let partial = cli.output.with_extension("partial");
    let digest = image.write(BufWriter::new(File::create(&partial)?))?;
    std::fs::rename(partial, cli.output)?;
    Ok(digest)
}
