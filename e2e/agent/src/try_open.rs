//! What a program in any pod sees when it opens a file.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Opens it for writing (it is made where it is not there), then for reading; a line for each.
pub fn report(path: &Path) -> String {
    let write = OpenOptions::new().append(true).create(true).open(path);
    let read = File::open(path);
    format!("write: {}\nread: {}", said(&write), said(&read))
}

fn said(outcome: &io::Result<File>) -> String {
    outcome.as_ref().map_or_else(ToString::to_string, |_| "opened".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_it_is_told_in_the_kernels_words() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        assert_eq!(report(&file), "write: opened\nread: opened");
        assert!(file.exists());
        let none = "No such file or directory (os error 2)";
        assert_eq!(report(&dir.path().join("none/file")), format!("write: {none}\nread: {none}"));
        assert_eq!(
            said(&Err(io::Error::from_raw_os_error(1))),
            "Operation not permitted (os error 1)"
        );
    }
}
