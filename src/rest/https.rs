//! HTTPS: connections whose handshake is done, for the server that takes plain ones.
//!
//! Handshakes run side by side, so that nobody waits for a peer that says nothing; there are at most [`MOST_HANDSHAKES`], each bounded by
//! [`HANDSHAKE_TIMEOUT`]. One that fails is the peer's trouble: a line at level debug.

use std::net::SocketAddr;
use std::time::Duration;

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Handshakes at once; further connections wait in the socket's queue.
const MOST_HANDSHAKES: usize = 256;
/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection, and who it is with.
type Connected = (TlsStream<TcpStream>, SocketAddr);

/// A socket that speaks TLS.
pub(super) struct Https {
    socket: TcpListener,
    acceptor: TlsAcceptor,
    handshakes: JoinSet<Option<Connected>>,
}

impl Https {
    pub(super) fn new(socket: TcpListener, acceptor: TlsAcceptor) -> Self {
        Self { socket, acceptor, handshakes: JoinSet::new() }
    }
}

impl Listener for Https {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> Connected {
        loop {
            tokio::select! {
                Some(done) = self.handshakes.join_next() => {
                    if let Ok(Some(connected)) = done {
                        return connected;
                    }
                }
                (stream, peer) = Listener::accept(&mut self.socket), if self.handshakes.len() < MOST_HANDSHAKES => {
                    drop(self.handshakes.spawn(shake(self.acceptor.clone(), stream, peer)));
                }
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

async fn shake(acceptor: TlsAcceptor, stream: TcpStream, peer: SocketAddr) -> Option<Connected> {
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => return Some((stream, peer)),
        Ok(Err(error)) => tracing::debug!("TLS with {peer} at the REST API failed: {error}"),
        Err(_) => tracing::debug!("TLS with {peer} at the REST API failed: no handshake within {HANDSHAKE_TIMEOUT:?}"),
    }
    None
}
