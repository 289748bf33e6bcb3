//! `guest`: the first process of every virtual machine of the rig, and what tests run in one.
//!
//! In: [`e2e_guest::Start`] for the first process; a command and its arguments otherwise. Out: JSON
//! on standard output.

mod api;
mod boot_list;
mod daemons;
mod init;
mod kill;
mod measure;
mod node;
mod shell;

use std::io;
use std::path::Path;
use std::process::ExitCode;

use e2e_guest::START;

const USAGE: &str = "usage: guest measure PLACE… | within PLACE PROGRAM ARGUMENT… | kill KILLS SEED | daemons | \
    boot-list | control";

fn main() -> ExitCode {
    // The kernel passes boot parameters that it does not know to its first process: they mean
    // nothing here.
    if std::process::id() == 1 {
        let Err(error) = first_process();
        println!("guest: {error}");
        init::power_off();
        return ExitCode::FAILURE;
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("guest: {error}");
            ExitCode::FAILURE
        }
    }
}

fn first_process() -> io::Result<std::convert::Infallible> {
    if Path::new(START).exists() { init::run() } else { node::run() }
}

/// Runs one of the commands and returns its exit code.
fn run(words: &[&str]) -> io::Result<u8> {
    match words {
        ["measure", places @ ..] => measure::run(places),
        ["within", place, command @ ..] => measure::within(place, command),
        ["kill", kills, seed] => kill::run(kills, seed),
        ["daemons"] => daemons::run(),
        ["boot-list"] => boot_list::run(),
        ["control"] => node::control(),
        _ => {
            eprintln!("{USAGE}");
            Ok(64)
        }
    }
}
