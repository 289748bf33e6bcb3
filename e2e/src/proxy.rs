//! A TCP proxy on loopback whose open connections can freeze, as connections do whose packets a
//! broken network drops, or break.
//!
//! In: the address to which the proxy connects. Out: an address. After
//! [`Proxy::freeze_open_connections`] the connections that are open stay open and pass no more
//! bytes, in both directions. The kernel still answers TCP keep-alives on them. New connections
//! work. After [`Proxy::cut`] they are closed, and new ones are for a while.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The proxy. Its connections are closed when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    faults: watch::Sender<Fault>,
    accepting: JoinHandle<()>,
}

/// What was done to the connections that were open.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Frozen,
    /// They were closed, and new ones are closed until this time.
    Cut {
        until: Instant,
    },
}

impl Fault {
    fn is_cut(self) -> bool {
        matches!(self, Self::Cut { until } if Instant::now() < until)
    }
}

impl Proxy {
    /// Starts a proxy to that address on a free port.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let faults = watch::Sender::new(Fault::Cut { until: Instant::now() });
        let fault = faults.subscribe();
        let accepting = tokio::spawn(async move {
            // The connections end with this task.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                if !fault.borrow().is_cut() {
                    connections.spawn(pass(client, target, fault.clone()));
                }
            }
        });
        Ok(Self { address, faults, accepting })
    }

    /// The address at which the proxy listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Freezes every connection that is open now.
    pub fn freeze_open_connections(&self) {
        self.faults.send_replace(Fault::Frozen);
    }

    /// Closes every connection that is open now, and for so long each new one.
    pub fn cut(&self, unreachable: Duration) {
        self.faults.send_replace(Fault::Cut { until: Instant::now() + unreachable });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Passes bytes in both directions until one side closes. After a freeze it keeps both sides open
/// and passes nothing.
async fn pass(mut client: TcpStream, target: SocketAddr, mut fault: watch::Receiver<Fault>) {
    fault.mark_unchanged();
    let Ok(mut server) = TcpStream::connect(target).await else {
        return;
    };
    tokio::select! {
        biased;
        // An error means that the proxy is gone.
        changed = fault.changed() => {
            let is_frozen = matches!(*fault.borrow(), Fault::Frozen);
            if changed.is_ok() && is_frozen {
                std::future::pending::<()>().await;
            }
        }
        // Both sides are closed then. An error closes them as well.
        _ = copy_bidirectional(&mut client, &mut server) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::time::timeout;

    use super::*;

    /// A server that sends back what it gets.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    let (mut reader, mut writer) = stream.split();
                    tokio::io::copy(&mut reader, &mut writer).await
                });
            }
        });
        address
    }

    async fn is_echoed(stream: &mut TcpStream) -> bool {
        if stream.write_all(b"x").await.is_err() {
            return false;
        }
        let read = timeout(Duration::from_millis(300), stream.read_u8()).await;
        matches!(read, Ok(Ok(b'x')))
    }

    #[tokio::test]
    async fn open_connections_freeze_and_new_ones_work() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut old = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(is_echoed(&mut old).await);
        proxy.freeze_open_connections();
        assert!(!is_echoed(&mut old).await);
        let mut new = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(is_echoed(&mut new).await);
    }

    #[tokio::test]
    async fn connections_that_are_cut_close_and_new_ones_work_later() {
        let proxy = Proxy::start(echo().await).await.unwrap();
        let mut old = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(is_echoed(&mut old).await);
        proxy.cut(Duration::from_secs(1));
        assert!(old.read_u8().await.is_err());
        let mut refused = TcpStream::connect(proxy.address()).await.unwrap();
        assert!(refused.read_u8().await.is_err(), "it is closed at once");
        crate::wait::until(Duration::from_secs(5), "a connection that works", async || {
            let mut new = TcpStream::connect(proxy.address()).await.unwrap();
            if is_echoed(&mut new).await { Ok(()) } else { Err("closed") }
        })
        .await
        .unwrap();
    }
}
