//! Reads files and standard input, whole, as text.

use std::fs::File;
use std::io::{Read, stdin};

/// Maximum size of an input. A list of 5,000 whole Nodes and LsmNodes has 150 MB.
const MAX_BYTES: u64 = 512 * 1024 * 1024;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot read {0}: {1}")]
    Io(String, #[source] std::io::Error),
    #[error("cannot read {0}: it has more than {limit} MiB", limit = MAX_BYTES / 1024 / 1024)]
    TooLarge(String),
    #[error(
        "{file}:{line}: invalid UTF-8: save the file as UTF-8 (PowerShell: Out-File -Encoding utf8)"
    )]
    Encoding {
        file: String,
        /// The line, from 1.
        line: usize,
    },
}

/// The text of that file, or of standard input for `-`. UTF-16 is read if the file begins with its
/// byte order mark, as files from PowerShell do.
pub fn text(file: &str) -> Result<String, Error> {
    let mut bytes = Vec::new();
    let read = if file == "-" {
        stdin().lock().take(MAX_BYTES + 1).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|open| open.take(MAX_BYTES + 1).read_to_end(&mut bytes))
    };
    let length = read.map_err(|error| Error::Io(file.to_owned(), error))?;
    if length as u64 > MAX_BYTES {
        return Err(Error::TooLarge(file.to_owned()));
    }
    decode(bytes).map_err(|line| Error::Encoding { file: file.to_owned(), line })
}

/// The text, or the line of the first byte that is invalid.
fn decode(bytes: Vec<u8>) -> Result<String, usize> {
    match bytes.as_slice() {
        [0xff, 0xfe, rest @ ..] => utf_16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf_16(rest, u16::from_be_bytes),
        _ => String::from_utf8(bytes).map_err(|error| {
            let good = error.utf8_error().valid_up_to();
            1 + error.as_bytes()[..good].split(|byte| *byte == b'\n').skip(1).count()
        }),
    }
}

fn utf_16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, usize> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let mut text = String::with_capacity(bytes.len() / 2);
    let lines = |text: &str| 1 + text.matches('\n').count();
    for char in char::decode_utf16(pairs.iter().map(|pair| unit(*pair))) {
        match char {
            Ok(char) => text.push(char),
            Err(_) => return Err(lines(&text)),
        }
    }
    if rest.is_empty() { Ok(text) } else { Err(lines(&text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_byte_order_mark_selects_the_encoding() {
        let units: Vec<u16> = "a: ü\n".encode_utf16().collect();
        let little: Vec<u8> = [0xff, 0xfe]
            .into_iter()
            .chain(units.iter().flat_map(|unit| unit.to_le_bytes()))
            .collect();
        let big: Vec<u8> = [0xfe, 0xff]
            .into_iter()
            .chain(units.iter().flat_map(|unit| unit.to_be_bytes()))
            .collect();
        assert_eq!(decode(little.clone()).as_deref(), Ok("a: ü\n"));
        assert_eq!(decode(big).as_deref(), Ok("a: ü\n"));
        assert_eq!(decode("a: ü\n".into()).as_deref(), Ok("a: ü\n"));
        assert_eq!(decode(b"a: 1\nb: \xfc\n".to_vec()), Err(2), "Latin-1");
        assert_eq!(
            decode(little[..little.len() - 1].to_vec()),
            Err(1),
            "the last letter is incomplete"
        );
        assert_eq!(
            decode([0xff, 0xfe, b'a', 0, 0, 0xd8].to_vec()),
            Err(1),
            "a surrogate has no partner"
        );
    }
}
