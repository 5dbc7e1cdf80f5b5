//! HTTPS: connections whose handshake is done, for the server that takes plain ones.
//!
//! Certificates are renewed while workers run: a store whose file changes is read again, at most once in [`CHECK_INTERVAL`], when somebody connects. One that
//! cannot be read leaves what was there before, with a line in the log.
//!
//! Handshakes run side by side, so that nobody waits for a peer that says nothing; there are at most [`MOST_HANDSHAKES`], each bounded by
//! [`HANDSHAKE_TIMEOUT`]. One that fails is the peer's trouble: a line at level debug.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use axum::serve::Listener;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::settings::rest::SslProps;
use crate::tls::{self, Ssl, TlsError};

/// Handshakes at once; further connections wait in the socket's queue.
const MOST_HANDSHAKES: usize = 256;
/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// For how long files are taken to be as they were.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// When the files of the stores were last changed, and how long they are.
type Stamps = Vec<Option<(SystemTime, u64)>>;

/// TLS by stores that may change.
pub(super) struct Stores {
    ssl: SslProps,
    prefix: &'static str,
    current: Mutex<Current>,
}

struct Current {
    acceptor: TlsAcceptor,
    stamps: Stamps,
    checked: Instant,
}

impl Stores {
    /// Reads the stores that the properties with that prefix name.
    pub(super) fn read(ssl: &SslProps, prefix: &'static str) -> Result<Self, TlsError> {
        let given = Ssl::prefixed(&ssl.0, prefix);
        let stamps = stamps(given);
        let acceptor = TlsAcceptor::from(Arc::new(tls::server(given)?));
        Ok(Self { ssl: ssl.clone(), prefix, current: Mutex::new(Current { acceptor, stamps, checked: Instant::now() }) })
    }

    /// TLS by the stores as they are now.
    fn acceptor(&self, now: Instant) -> TlsAcceptor {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if now.duration_since(current.checked) >= CHECK_INTERVAL {
            let given = Ssl::prefixed(&self.ssl.0, self.prefix);
            let stamps = stamps(given);
            if stamps != current.stamps {
                match tls::server(given) {
                    Ok(config) => {
                        current.acceptor = TlsAcceptor::from(Arc::new(config));
                        tracing::info!("the keystore or truststore of the REST API has changed and was read again");
                    }
                    Err(why) => tracing::warn!("the keystore or truststore of the REST API has changed and cannot be used; the former one stays in use: {why}"),
                }
                current.stamps = stamps;
            }
            current.checked = now;
        }
        current.acceptor.clone()
    }
}

fn stamps(ssl: Ssl<'_>) -> Stamps {
    let stamp = |file: &std::path::Path| {
        let metadata = std::fs::metadata(file).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    ssl.files().into_iter().map(stamp).collect()
}

/// A connection, and who it is with.
type Connected = (TlsStream<TcpStream>, SocketAddr);

/// A socket that speaks TLS.
pub(super) struct Https {
    socket: TcpListener,
    stores: Arc<Stores>,
    handshakes: JoinSet<Option<Connected>>,
}

impl Https {
    pub(super) fn new(socket: TcpListener, stores: Arc<Stores>) -> Self {
        Self { socket, stores, handshakes: JoinSet::new() }
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
                    drop(self.handshakes.spawn(shake(self.stores.acceptor(Instant::now()), stream, peer)));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_are_read_again_when_they_change_and_kept_when_they_cannot_be_used() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("hunter2.pem");
        let of = |name: &str| std::fs::read(format!("{}/tests/tls/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        std::fs::write(&file, of("server.pem")).unwrap();
        let location = file.display().to_string();
        let props = [("a.ssl.keystore.type", "PEM".to_owned()), ("a.ssl.keystore.location", location)].map(|(key, value)| (key.to_owned(), value));
        let stores = Stores::read(&SslProps(props.into()), "a.").unwrap();
        let mut now = Instant::now();
        let mut current = Arc::clone(stores.acceptor(now).config());
        for (written, interval, is_read) in [
            (None, CHECK_INTERVAL, false),
            (Some(of("own.pem")), CHECK_INTERVAL / 2, false),
            (None, CHECK_INTERVAL / 2, true),
            (Some(b"-----BEGIN".to_vec()), CHECK_INTERVAL, false),
            (Some(of("encrypted.pem")), CHECK_INTERVAL, false),
            (None, CHECK_INTERVAL, false),
            (Some(of("server.pem")), CHECK_INTERVAL, true),
        ] {
            now += interval;
            if let Some(bytes) = &written {
                std::fs::write(&file, bytes).unwrap();
            }
            let config = Arc::clone(stores.acceptor(now).config());
            assert_eq!(!Arc::ptr_eq(&config, &current), is_read, "{:?} {interval:?}", written.as_deref().map(String::from_utf8_lossy));
            current = config;
        }
    }
}
