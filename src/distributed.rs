//! `lakehead distributed`: one worker of a group, which shares connectors and tasks out among its workers; until it is told to end. Upstream's
//! `ConnectDistributed`.
//!
//! Which connectors there are is in the group's config topic, so that none are on the command line.

use std::path::Path;
use std::sync::Arc;

use crate::clock::Clock;
use crate::cluster::board::Board;
use crate::cluster::broker::Network;
use crate::cluster::coordinator::Broker;
use crate::cluster::group::{self, Group};
use crate::cluster::log::{Isolation, Purpose, Topic};
use crate::cluster::membership::Membership as _;
use crate::kafka::Kafka;
use crate::runtime::connector_offsets::OffsetTopics;
use crate::runtime::herder::{Cluster, SetLevel};
use crate::settings::{ExactlyOnce, Host, Mode, Settings, clients};
use crate::standalone::{ExitError, Running, ended, stop};
use crate::telemetry::Loggers;

/// Reads a worker file; nothing is started.
///
/// # Errors
/// [`ExitError`] with one line that names the file, or what of it cannot be used.
pub fn read(worker: &Path) -> Result<Arc<Settings>, ExitError> {
    let mut settings = Settings::load(worker, Mode::Distributed, &Host::detect()).map_err(ExitError::failure)?;
    settings.is_distributed = true;
    match ExactlyOnce::from_props(&settings.props) {
        Ok(exactly_once) => settings.exactly_once = exactly_once,
        Err(why) => return Err(ExitError::failure(format!("worker file {}: {why}", worker.display()))),
    }
    Ok(Arc::new(settings))
}

/// The group of a worker whose REST API is at `url`: reads what it has written down, and begins to join it.
async fn join(worker: &Settings, kafka: Arc<dyn Kafka>, url: &str) -> Result<Cluster, ExitError> {
    let props = &worker.props;
    let clock = Clock::system();
    let settings = group::Settings::from_props(props, url).map_err(ExitError::failure)?;
    let group_id = props.get("group.id").map_or("", |group| group.trim());
    let address = url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/');
    let client_id = props.get("client.id").filter(|id| !id.trim().is_empty()).map_or_else(|| format!("connect-{address}"), Clone::clone);
    let network = Arc::new(Network::new(props, &client_id, clock).map_err(ExitError::failure)?);
    let is_reserved = worker.exactly_once != ExactlyOnce::Disabled;
    let isolation = if is_reserved { Isolation::Settled } else { Isolation::Committed };
    let (joined, offsets) = tokio::try_join!(Board::join(props, isolation, clock), OffsetTopics::open(props, clock)).map_err(ExitError::start)?;
    let (board, changes) = joined;
    let board = Arc::new(board);
    let coordinator = Broker::new(&network, group_id, settings.session_timeout, settings.rebalance_timeout);
    let membership = Group::join(settings, Arc::new(coordinator), Arc::clone(&board) as Arc<_>, clock);
    if is_reserved {
        let topic = Topic::from_props(props, Purpose::Configs).map_err(ExitError::failure)?.name;
        board.reserve(kafka, clients::internal_props(props), group_id, &topic, membership.standing());
    }
    Ok(Cluster { board, changes, membership: Box::new(membership), source_offsets: Some(Arc::new(offsets)), is_alone: false })
}

/// Runs a worker until the process is told to end (SIGTERM, SIGINT), and has others take over what it ran. A second signal ends the process at once.
///
/// # Errors
/// [`ExitError`] when it could not start, or can be no member of its group any more.
pub async fn run(settings: Arc<Settings>, kafka: Arc<dyn Kafka>, loggers: Loggers) -> Result<(), ExitError> {
    let ended = ended().map_err(ExitError::start)?;
    for warning in &settings.warnings {
        tracing::warn!("{warning}");
    }
    let clients = Arc::clone(&kafka);
    let started = Running::start(&settings, kafka, loggers.clone(), async |url| join(&settings, clients, &url).await);
    tokio::pin!(ended);
    let running = tokio::select! {
        running = started => running?,
        signal = &mut ended => {
            tracing::info!("{signal}: the worker ends before it has read what its group has written down");
            return Ok(());
        }
    };
    running.herder.on_level(SetLevel(Box::new(move |namespace, level| match level.parse() {
        Ok(parsed) => drop(loggers.set(namespace, parsed, Clock::system().now().timestamp_millis())),
        Err(()) => tracing::warn!(namespace, level, "the level of a logger that the config topic has is none"),
    })));
    let herder = running.herder.clone();
    let ready = tokio::spawn(async move {
        herder.joined().await;
        herder.set_ready();
    });
    let outcome = tokio::select! {
        signal = &mut ended => {
            tracing::info!("{signal}: the worker stops");
            Ok(())
        }
        why = running.herder.failed() => Err(ExitError::start(why)),
    };
    ready.abort();
    stop(running).await;
    outcome
}
