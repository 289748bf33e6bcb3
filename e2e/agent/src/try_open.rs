//! What a program in a pod sees when it opens a file.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Opens the file for writing (and makes it where it is missing), then for reading. Returns a line
/// for each.
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
    fn an_error_is_reported_as_the_kernel_words_it() {
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
