//! The control port of a virtual machine: one line is a request, one line is the answer.
//!
//! In: the socket at which the emulator offers the port; `e2e/guest/src/node.rs` describes the
//! requests. The port works as soon as the emulator runs: a request waits until the machine reads
//! it.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd as _;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::wait;

/// How long an answer may take: the machine may still be starting, and large images are unpacked
/// under emulation.
const ANSWER: Duration = Duration::from_mins(4);
/// How long the emulator may take to listen: milliseconds are usual.
const LISTENS: Duration = Duration::from_secs(10);

/// A request that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The port failed.
    #[error("cannot ask the virtual machine to {request}: {source}")]
    Port {
        /// The request.
        request: String,
        source: io::Error,
    },
    /// The emulator ended, and the machine with it.
    #[error("the virtual machine ended before it answered the request to {0}")]
    Closed(String),
    /// The machine refused.
    #[error("the virtual machine could not {request}: {answer}")]
    Refused {
        /// The request.
        request: String,
        /// Its answer.
        answer: String,
    },
}

/// Asks the machine to import an image archive.
pub async fn import(socket: &Path, archive: &Path) -> Result<(), Error> {
    let what = format!("import {}", archive.display());
    ask(socket, &what, Some(archive)).await
}

/// Asks the machine to write everything to its disk and turn itself off.
pub async fn power_off(socket: &Path) -> Result<(), Error> {
    ask(socket, "poweroff", None).await
}

async fn ask(socket: &Path, request: &str, archive: Option<&Path>) -> Result<(), Error> {
    let asked = timeout(ANSWER, exchange(socket, request, archive)).await;
    let answer: io::Result<String> = asked.unwrap_or_else(|late| Err(late.into()));
    let request = request.to_owned();
    match answer {
        Ok(answer) if answer.is_empty() => Err(Error::Closed(request)),
        Ok(answer) if answer.trim_end() == "ok" => Ok(()),
        Ok(answer) => Err(Error::Refused { request, answer: answer.trim_end().to_owned() }),
        Err(source)
            if matches!(source.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) =>
        {
            Err(Error::Closed(request))
        }
        Err(source) => Err(Error::Port { request, source }),
    }
}

/// Sends a request, which for an archive is its size and the archive itself, and reads the answer.
async fn exchange(socket: &Path, request: &str, archive: Option<&Path>) -> io::Result<String> {
    let mut port = BufReader::new(connect(socket).await?);
    match archive {
        None => port.write_all(format!("{request}\n").as_bytes()).await?,
        Some(archive) => {
            let mut file = tokio::fs::File::open(archive).await?;
            let size = file.metadata().await?.len();
            port.write_all(format!("import {size}\n").as_bytes()).await?;
            tokio::io::copy(&mut file, &mut port).await?;
        }
    }
    port.flush().await?;
    let mut answer = String::new();
    port.read_line(&mut answer).await?;
    Ok(answer)
}

/// Connects as soon as the emulator listens. The path goes through the folder's descriptor, because
/// the path of a socket may have only 107 bytes.
async fn connect(socket: &Path) -> io::Result<UnixStream> {
    let (Some(folder), Some(name)) = (socket.parent(), socket.file_name()) else {
        return Err(ErrorKind::InvalidInput.into());
    };
    let folder = File::open(folder)?;
    let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    wait::until(LISTENS, "the emulator to listen", async || UnixStream::connect(&path).await)
        .await
        .map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;
    use tokio::net::UnixListener;

    use super::*;

    /// The outcome of a request with this answer, after which the port is closed.
    async fn answered(answer: &'static str) -> Result<(), Error> {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("control.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let guest = async {
            let (mut port, _) = listener.accept().await.unwrap();
            port.read_exact(&mut [0; "poweroff\n".len()]).await.unwrap();
            port.write_all(answer.as_bytes()).await.unwrap();
        };
        tokio::join!(power_off(&socket), guest).0
    }

    #[tokio::test]
    async fn a_port_that_is_closed_without_an_answer_is_an_error() {
        assert!(answered("ok\n").await.is_ok());
        assert!(matches!(answered("").await, Err(Error::Closed(_))));
        let refused = answered("failed: no space\n").await.unwrap_err().to_string();
        assert_eq!(refused, "the virtual machine could not poweroff: failed: no space");
    }
}
