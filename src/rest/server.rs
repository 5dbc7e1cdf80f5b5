//! Listening for HTTP, and ending: every address of `listeners` serves the same API, those of `admin.listeners` the admin endpoints.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::rest::{Api, REQUEST_TIMEOUT, admin_router, router};
use crate::runtime::HerderHandle;
use crate::settings::{Listener, RestSettings, Settings};
use crate::telemetry::Loggers;

/// Sockets that are bound, before anything answers: the worker's id needs their ports.
#[derive(Debug)]
pub struct Bound {
    sockets: Vec<TcpListener>,
    admin: Vec<TcpListener>,
}

impl Bound {
    /// Binds every listener.
    ///
    /// # Errors
    /// One line that names the address that cannot be bound and says why.
    pub async fn bind(settings: &RestSettings) -> Result<Self, String> {
        let admin = settings.admin_listeners.as_deref().unwrap_or_default();
        Ok(Self { sockets: all(&settings.listeners, "listeners").await?, admin: all(admin, "admin.listeners").await? })
    }

    /// Addresses, in the order of `listeners`.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        addresses(&self.sockets)
    }

    /// Addresses, in the order of `admin.listeners`.
    #[must_use]
    pub fn admin_addresses(&self) -> Vec<SocketAddr> {
        addresses(&self.admin)
    }

    /// `host:port` by which this worker is known: the advertised host and port where set, else the first listener's, else the machine's name.
    #[must_use]
    pub fn worker_id(&self, settings: &Settings) -> String {
        let configured = settings.rest.listeners.first().map(|l| l.host.as_str()).filter(|host| !host.is_empty());
        let host = settings.advertised_host.as_deref().or(configured).unwrap_or(&settings.host_name);
        let port = settings.advertised_port.or_else(|| self.addresses().first().map(SocketAddr::port)).unwrap_or_default();
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// Serves the API until [`Server::stop`].
    #[must_use]
    pub fn serve(self, herder: HerderHandle, loggers: Loggers) -> Server {
        let api = Arc::new(Api { herder, timeout: REQUEST_TIMEOUT, loggers });
        let stop = CancellationToken::new();
        let mut serving = JoinSet::new();
        let admin = self.admin.into_iter().map(|socket| (socket, admin_router(&api)));
        for (socket, router) in self.sockets.into_iter().map(|socket| (socket, router(Arc::clone(&api)))).chain(admin) {
            let stop = stop.clone();
            serving.spawn(async move {
                if let Err(error) = axum::serve(socket, router).with_graceful_shutdown(stop.cancelled_owned()).await {
                    tracing::error!("the REST API ended: {error}");
                }
            });
        }
        Server { stop, serving }
    }
}

async fn all(listeners: &[Listener], key: &str) -> Result<Vec<TcpListener>, String> {
    let mut sockets = Vec::new();
    for listener in listeners {
        let socket = bind(listener).await.map_err(|error| {
            let Listener { host, port } = listener;
            format!("the REST API cannot listen on http://{host}:{port}: {error} (is another worker running? set `{key}` to another port)")
        })?;
        sockets.push(socket);
    }
    Ok(sockets)
}

fn addresses(sockets: &[TcpListener]) -> Vec<SocketAddr> {
    sockets.iter().filter_map(|socket| socket.local_addr().ok()).collect()
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
