//! `lakehead standalone`: one worker, its connectors from files, its REST API; until it is told to end. Upstream's `ConnectStandalone`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::AbortHandle;

use crate::clock::Clock;
use crate::cluster::administration::ADMINISTRATION;
use crate::cluster::broker::{Lane, Network};
use crate::compute::Compute;
use crate::env::Env;
use crate::kafka::Kafka;
use crate::kafka::librdkafka::Librdkafka;
use crate::memory::Budget;
use crate::plugins;
use crate::rest::{Bound, Server};
use crate::runtime::{Cluster, Herder, HerderHandle};
use crate::settings::connector_file::{self, ConnectorFile};
use crate::settings::{ExactlyOnce, Host, Mode, Settings};
use crate::spill::Spill;
use crate::store::urls::Urls;
use crate::telemetry::Loggers;

/// How long REST requests may still be answered when the worker ends.
const REST_GRACE: Duration = Duration::from_millis(500);

/// Why the process ends early, and with which code (upstream's).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ExitError {
    /// Exit code of the process: 1 for the worker's settings, 3 for REST and connectors.
    pub code: u8,
    /// What is wrong.
    pub message: String,
}

impl ExitError {
    /// The worker's settings or the command's arguments are wrong, or the command did not do what it promises: code 1.
    pub fn failure(error: impl ToString) -> Self {
        Self { code: 1, message: error.to_string() }
    }

    /// REST or a connector could not be started: code 3.
    pub fn start(error: impl ToString) -> Self {
        Self { code: 3, message: error.to_string() }
    }
}

/// What the command line gives, read and checked.
#[derive(Debug)]
pub struct Plan {
    /// The worker's settings.
    pub settings: Arc<Settings>,
    /// The connectors to create.
    pub connectors: Vec<ConnectorFile>,
}

impl Plan {
    /// Reads the files; nothing is started.
    ///
    /// # Errors
    /// [`ExitError`] with one line that names the file.
    pub fn read(worker: &Path, connectors: &[PathBuf]) -> Result<Self, ExitError> {
        let settings = Settings::load(worker, Mode::Standalone, &Host::detect()).map_err(ExitError::failure)?;
        let named = |message: &str| ExitError::failure(format!("worker file {}: {message}", worker.display()));
        if ExactlyOnce::from_props(&settings.props).map_err(|why| named(&why))? != ExactlyOnce::Disabled {
            return Err(named(
                "exactly.once.source.support is for workers of a group (`lakehead distributed`): standalone sources deliver at least once; leave it out",
            ));
        }
        let connectors = connectors.iter().map(|path| connector_file::read(path)).collect::<Result<_, _>>().map_err(ExitError::start)?;
        Ok(Self { settings: Arc::new(settings), connectors })
    }
}

/// The Kafka clients of this process.
#[must_use]
pub fn kafka() -> Arc<dyn Kafka> {
    Arc::new(Librdkafka { administration: Some(ADMINISTRATION), ..Librdkafka::default() })
}

/// A worker with its REST API.
#[derive(Debug)]
pub struct Running {
    /// The herder.
    pub herder: HerderHandle,
    /// Where its REST API listens.
    pub addresses: Vec<SocketAddr>,
    server: Server,
    /// Asks for the Kafka cluster's id.
    asks: AbortHandle,
}

impl Running {
    /// Starts a worker: binds the listeners, has `cluster` say who it shares its work with (it is given the API's URL), starts the herder, serves the API.
    ///
    /// # Errors
    /// [`ExitError`] when a listener cannot be bound, and those of `cluster`.
    pub async fn start(
        settings: &Arc<Settings>,
        kafka: Arc<dyn Kafka>,
        loggers: Loggers,
        cluster: impl AsyncFnOnce(String) -> Result<Cluster, ExitError>,
    ) -> Result<Self, ExitError> {
        let bound = Bound::bind(&settings.rest).await.map_err(ExitError::start)?;
        let env = Env {
            clock: Clock::system(),
            kafka,
            compute: Compute::pool(settings.cpu_threads),
            memory: Budget::of_process(settings.memory_limit_bytes).spilling_to(settings.spill_dir.as_ref().map_or_else(Spill::off, Spill::below)),
            stores: Arc::new(Urls),
        };
        let worker_id = bound.worker_id(settings);
        let cluster = cluster(bound.url(settings)).await?;
        let herder = Herder::start(Arc::clone(settings), env, &worker_id, plugins::CONNECTORS, cluster).map_err(ExitError::failure)?;
        let addresses = bound.addresses();
        let server = bound.serve(herder.clone(), loggers);
        let asks = tokio::spawn(learn_cluster_id(herder.clone())).abort_handle();
        Ok(Self { herder, addresses, server, asks })
    }

    /// Creates the connectors of the command line, in their order, and declares the worker ready.
    ///
    /// # Errors
    /// [`ExitError`] at the first connector that cannot be created.
    pub async fn create(&self, connectors: Vec<ConnectorFile>) -> Result<(), ExitError> {
        for file in connectors {
            let target = match file.initial_state.as_deref() {
                None => None,
                Some(text) => Some(text.parse().map_err(|error| ExitError::start(format!("connector {}: {error}", file.name)))?),
            };
            let config: BTreeMap<_, _> = file.config.into_iter().map(|(key, value)| (key, Some(value))).collect();
            let created = self.herder.create(&file.name, config, target).await;
            created.map_err(|error| ExitError::start(format!("connector {}: {error}", file.name)))?;
        }
        self.herder.set_ready();
        Ok(())
    }

    /// Ends the worker: no more requests, then every task drained within `task.shutdown.graceful.timeout.ms`.
    pub async fn stop(self) {
        self.asks.abort();
        self.server.stop(REST_GRACE).await;
        self.herder.shutdown().await;
    }
}

/// Asks brokers for the id of their cluster until one tells it. Only `GET /` shows it, so nothing waits for that.
async fn learn_cluster_id(herder: HerderHandle) {
    let network = match Network::new(&herder.settings().props, "lakehead", herder.clock()) {
        Ok(network) => Arc::new(network),
        Err(error) => return tracing::warn!(%error, "GET / will show no kafka_cluster_id"),
    };
    let lane = Lane::new(&network);
    for tries in 0.. {
        match lane.cluster_id().await {
            Ok(id) => return id.into_iter().for_each(|id| herder.set_cluster_id(id)),
            Err(error) => tracing::debug!(%error, "the Kafka cluster's id is asked for again"),
        }
        tokio::time::sleep(network.backoff.before(tries)).await;
    }
}

/// Runs a worker until the process is told to end (SIGTERM, SIGINT), and drains it. A second signal ends the process at once.
///
/// # Errors
/// [`ExitError`] when it could not start; what had been started is stopped again.
pub async fn run(plan: Plan, kafka: Arc<dyn Kafka>, loggers: Loggers) -> Result<(), ExitError> {
    let ended = ended().map_err(ExitError::start)?;
    for warning in &plan.settings.warnings {
        tracing::warn!("{warning}");
    }
    let running = Running::start(&plan.settings, kafka, loggers, async |_| Ok(Cluster::alone())).await?;
    if let Err(error) = running.create(plan.connectors).await {
        running.stop().await;
        return Err(error);
    }
    let signal = ended.await;
    tracing::info!("{signal}: the worker stops");
    stop(running).await;
    Ok(())
}

/// Ends a worker, at once when the process is told to end meanwhile.
pub async fn stop(running: Running) {
    let again = ended_again();
    tokio::select! {
        () = running.stop() => tracing::info!("the worker has stopped"),
        () = again => tracing::warn!("told to end a second time: what was not yet published is dropped, and will be read again"),
    }
}

/// Listens for SIGTERM and SIGINT from now on; the future tells which one came.
///
/// # Errors
/// [`std::io::Error`] when signals cannot be listened for.
pub fn ended() -> std::io::Result<impl Future<Output = &'static str>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        }
    })
}

async fn ended_again() {
    match ended() {
        Ok(ended) => drop(ended.await),
        Err(_) => std::future::pending().await,
    }
}

/// Runs `job` on the async threads of a process that has `cpu_threads` for its work. Threads that still hold data when it ends are not waited for.
///
/// # Errors
/// Those of `job`, or [`ExitError`] when threads cannot be started.
pub fn block_on<T>(cpu_threads: usize, job: impl Future<Output = Result<T, ExitError>>) -> Result<T, ExitError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(cpu_threads).thread_name("lakehead").enable_all().build();
    let runtime = runtime.map_err(ExitError::start)?;
    let done = runtime.block_on(job);
    runtime.shutdown_background();
    done
}
