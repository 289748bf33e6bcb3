//! Writes reports of fleets that are not there, for the tests in a browser and for the pictures in
//! the documentation: `cargo run -p kubectl-lsm --example report -- FOLDER`.

use std::path::Path;
use std::{env, fs, io};

use kubectl_lsm::fleet::Fleet;
use kubectl_lsm::report;
use kubectl_lsm::report::fixture::{fleet, hostile};

fn main() -> io::Result<()> {
    let folder = env::args().nth(1).ok_or_else(|| io::Error::other("name a folder"))?;
    let folder = Path::new(&folder);
    fs::create_dir_all(folder)?;
    let write = |name: &str, fleet: &Fleet| {
        fs::write(folder.join(format!("{name}.html")), report::html(fleet))?;
        fs::write(folder.join(format!("{name}.json")), report::json(fleet))?;
        fs::write(folder.join(format!("{name}.md")), report::markdown(fleet))
    };
    write("empty", &Fleet { operator: None, probe: None, ..emptied(fleet(0)) })?;
    write("fleet", &fleet(412))?;
    write("hostile", &hostile())?;
    // Of the large ones only the page is looked at.
    for nodes in [5_000, 20_000] {
        fs::write(folder.join(format!("{nodes}.html")), report::html(&fleet(nodes)))?;
    }
    Ok(())
}

fn emptied(fleet: Fleet) -> Fleet {
    Fleet { policies: vec![], agents: vec![], ..fleet }
}
