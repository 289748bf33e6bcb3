//! `bench report`: the table of what has been measured, beside the baseline.
//!
//! In: `target/bench/*.json` and `bench/baseline.json`. Out: the table, what is over its limit and
//! what got worse by more than a tenth; or the rows of the tables of docs/scale.md.

use std::fs;
use std::path::PathBuf;

use e2e::paths;
use serde::Serialize;
use serde_json::Value;

use crate::figures::{self, Figures, Sections};
use crate::{Failure, markdown};

#[derive(clap::Args)]
pub struct Arguments {
    /// Make the figures the new baseline. Figures that were not measured keep their baseline.
    #[arg(long)]
    set_baseline: bool,
    /// Print the tables of docs/scale.md instead.
    #[arg(long)]
    markdown: bool,
}

/// The folder of the measurements.
fn folder() -> PathBuf {
    paths::target().join("bench")
}

fn baseline_file() -> PathBuf {
    paths::workspace().join("bench/baseline.json")
}

fn baseline() -> Result<Figures, Failure> {
    Ok(serde_json::from_str(&fs::read_to_string(baseline_file())?)?)
}

/// Writes the figures of a section.
pub fn write(section: &str, figures: &impl Serialize) -> Result<(), Failure> {
    fs::create_dir_all(folder())?;
    let text = format!("{:#}\n", serde_json::to_value(figures)?);
    Ok(fs::write(folder().join(format!("{section}.json")), text)?)
}

/// The figures of a section, if it was measured.
pub fn read(section: &str) -> Option<Value> {
    let text = fs::read_to_string(folder().join(format!("{section}.json"))).ok()?;
    serde_json::from_str(&text).ok()
}

/// Removes the figures of earlier runs.
pub fn forget(section: &str) -> Result<(), Failure> {
    Ok(paths::remove_file(&folder().join(format!("{section}.json")))?)
}

/// Prints the table of everything that has been measured.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.markdown {
        print!("{}", markdown::tables(&sections(figures::sections())));
        return Ok(());
    }
    print(figures::sections())?;
    if arguments.set_baseline {
        let measured = figures::baseline(&figures::figures(&sections(figures::sections())));
        let mut all = figures::baseline(&baseline()?);
        all.extend(measured);
        fs::write(baseline_file(), format!("{:#}\n", serde_json::to_value(&all)?))?;
    }
    Ok(())
}

/// Prints the table of these sections, and what got worse.
pub fn print<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), Failure> {
    let figures = figures::figures(&sections(names));
    if figures.is_empty() {
        let folder = folder().display().to_string();
        return Err(format!("there are no figures in {folder}: run make bench").into());
    }
    let baseline = baseline()?;
    print!("{}", figures::table(&figures, &baseline));
    for line in figures::over(&figures) {
        println!("{line}");
    }
    let worse = figures::worse(&figures, &baseline);
    match worse.len() {
        0 => println!("no figure got worse by more than a tenth"),
        _ => println!("{}", worse.join("\n")),
    }
    Ok(())
}

fn sections<'a>(names: impl Iterator<Item = &'a str>) -> Sections {
    names.filter_map(|name| Some((name.to_owned(), read(name)?))).collect()
}
