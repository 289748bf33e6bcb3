//! Files and standard input, whole.

use std::io::Read;

/// What cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {file}: {source}")]
pub struct Error {
    file: String,
    source: std::io::Error,
}

/// The text of that file, or of standard input for `-`.
///
/// # Errors
/// Where it cannot be read or is no UTF-8.
pub fn text(file: &str) -> Result<String, Error> {
    let read = if file == "-" {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(file)
    };
    read.map_err(|source| Error { file: file.to_owned(), source })
}
