//! Listening for HTTP and HTTPS, and ending: every address of `listeners` serves the same API, those of `admin.listeners` the admin endpoints.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::rest::https::{Https, Stores};
use crate::rest::{Api, REQUEST_TIMEOUT, admin_router, router};
use crate::runtime::HerderHandle;
use crate::settings::{Listener, RestSettings, Scheme, Settings};
use crate::telemetry::Loggers;

/// A socket that is bound, and TLS where it speaks that.
struct Socket {
    tcp: TcpListener,
    address: SocketAddr,
    tls: Option<Arc<Stores>>,
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url())
    }
}

impl Socket {
    fn scheme(&self) -> Scheme {
        if self.tls.is_some() { Scheme::Https } else { Scheme::Http }
    }

    fn url(&self) -> String {
        format!("{}://{}", self.scheme(), self.address)
    }

    /// Serves until it is told to stop.
    async fn serve(self, router: Router, stop: CancellationToken) -> std::io::Result<()> {
        match self.tls {
            None => axum::serve(self.tcp, router).with_graceful_shutdown(stop.cancelled_owned()).await,
            Some(tls) => axum::serve(Https::new(self.tcp, tls), router).with_graceful_shutdown(stop.cancelled_owned()).await,
        }
    }
}

/// Sockets that are bound, before anything answers: the worker's id needs their ports.
#[derive(Debug)]
pub struct Bound {
    sockets: Vec<Socket>,
    admin: Vec<Socket>,
}

impl Bound {
    /// Binds every listener. Certificates and keys are read before anything is bound.
    ///
    /// # Errors
    /// One line that names the address that cannot be bound and says why, or the property of TLS that cannot be used.
    pub async fn bind(settings: &RestSettings) -> Result<Self, String> {
        let admin = settings.admin_listeners.as_deref().unwrap_or_default();
        let tls = stores(settings, &settings.listeners, "listeners.https.")?;
        let admin_tls = stores(settings, admin, "admin.listeners.https.")?;
        Ok(Self { sockets: all(&settings.listeners, "listeners", tls).await?, admin: all(admin, "admin.listeners", admin_tls).await? })
    }

    /// Addresses, in the order of `listeners`.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets.iter().map(|socket| socket.address).collect()
    }

    /// Addresses, in the order of `admin.listeners`.
    #[must_use]
    pub fn admin_addresses(&self) -> Vec<SocketAddr> {
        self.admin.iter().map(|socket| socket.address).collect()
    }

    /// `host:port` by which this worker is known: the advertised host and port where set, else those of the first listener with the advertised protocol;
    /// the machine's name where that has no host.
    #[must_use]
    pub fn worker_id(&self, settings: &Settings) -> String {
        let listeners = || settings.rest.listeners.iter().zip(&self.sockets);
        let advertised = listeners().find(|(listener, _)| listener.scheme == settings.rest.advertised_scheme).or_else(|| listeners().next());
        let configured = advertised.map(|(listener, _)| listener.host.as_str()).filter(|host| !host.is_empty());
        let host = settings.advertised_host.as_deref().or(configured).unwrap_or(&settings.host_name);
        let port = settings.advertised_port.or(advertised.map(|(_, socket)| socket.address.port())).unwrap_or_default();
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// The URL by which other workers reach this one: `https://host:port/`.
    #[must_use]
    pub fn url(&self, settings: &Settings) -> String {
        format!("{}://{}/", settings.rest.advertised_scheme, self.worker_id(settings))
    }

    /// Serves the API until [`Server::stop`].
    #[must_use]
    pub fn serve(self, herder: HerderHandle, loggers: Loggers) -> Server {
        for socket in &self.sockets {
            tracing::info!(worker_id = &**herder.worker_id(), "REST API listening on {}", socket.url());
        }
        for socket in &self.admin {
            tracing::info!(worker_id = &**herder.worker_id(), "admin endpoints listening on {}", socket.url());
        }
        let api = |socket: &Socket| Arc::new(Api { herder: herder.clone(), timeout: REQUEST_TIMEOUT, loggers: loggers.clone(), scheme: socket.scheme() });
        let stop = CancellationToken::new();
        let mut serving = JoinSet::new();
        let admin = self.admin.into_iter().map(|socket| (admin_router(&api(&socket)), socket));
        for (router, socket) in self.sockets.into_iter().map(|socket| (router(api(&socket)), socket)).chain(admin) {
            let stop = stop.clone();
            serving.spawn(async move {
                if let Err(error) = socket.serve(router, stop).await {
                    tracing::error!("the REST API ended: {error}");
                }
            });
        }
        Server { stop, serving }
    }
}

/// The stores of the listeners that speak TLS, by the properties with that prefix.
fn stores(settings: &RestSettings, listeners: &[Listener], prefix: &'static str) -> Result<Option<Arc<Stores>>, String> {
    let Some(listener) = listeners.iter().find(|listener| listener.scheme == Scheme::Https) else { return Ok(None) };
    let stores = Stores::read(&settings.ssl, prefix).map_err(|why| format!("the REST API cannot listen on {listener}: {why}"))?;
    Ok(Some(Arc::new(stores)))
}

async fn all(listeners: &[Listener], key: &str, tls: Option<Arc<Stores>>) -> Result<Vec<Socket>, String> {
    let mut sockets = Vec::new();
    for listener in listeners {
        let failed = |error| format!("the REST API cannot listen on {listener}: {error} (is another worker running? set `{key}` to another port)");
        let tcp = bind(listener).await.map_err(failed)?;
        let address = tcp.local_addr().map_err(failed)?;
        sockets.push(Socket { tcp, address, tls: tls.clone().filter(|_| listener.scheme == Scheme::Https) });
    }
    Ok(sockets)
}

/// An empty host means every interface, of both address families where the machine has them.
async fn bind(listener: &Listener) -> std::io::Result<TcpListener> {
    if !listener.host.is_empty() {
        return TcpListener::bind((listener.host.as_str(), listener.port)).await;
    }
    match TcpListener::bind(("::", listener.port)).await {
        Err(error) if error.kind() != std::io::ErrorKind::AddrInUse => TcpListener::bind(("0.0.0.0", listener.port)).await,
        bound => bound,
    }
}

/// A running REST API.
#[derive(Debug)]
pub struct Server {
    stop: CancellationToken,
    serving: JoinSet<()>,
}

impl Server {
    /// Takes no more requests, lets those that are being answered end within `grace`, and closes the sockets.
    pub async fn stop(mut self, grace: std::time::Duration) {
        self.stop.cancel();
        let ended = async { while self.serving.join_next().await.is_some() {} };
        // Connections that are kept open for longer are cut when the set is dropped.
        drop(tokio::time::timeout(grace, ended).await);
    }
}
