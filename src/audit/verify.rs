//! `lakehead verify`: every offset is there exactly once, or this is where not.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::io::{IsTerminal as _, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::inventory::{self, Files, Inventory, Origin};
use super::judge::Judge;
use super::kafka::Group;
use super::report::{Report, Verdict, grouped};
use super::{AuditError, NO_ANSWER, Place, Scope};
use crate::kafka::Props;
use crate::settings::properties;
use crate::standalone::ExitError;
use crate::store::read::ObjectReader;

/// How often somebody at a terminal is told how far it is.
const PROGRESS: Duration = Duration::from_secs(2);

/// What the command takes.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    place: Place,
    /// Compares with this consumer group as well: what it has committed, and what the log has where files hold nothing. A connector's is connect-NAME.
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// The brokers of the group.
    #[arg(long, value_name = "HOST:PORT,...", requires = "group")]
    bootstrap_servers: Option<String>,
    /// Other properties of the consumer, as Kafka's tools take them (TLS, SASL, isolation.level).
    #[arg(long, value_name = "FILE", requires = "group")]
    command_config: Option<PathBuf>,
    /// Looks at files of this topic only; may be repeated.
    #[arg(long, value_name = "TOPIC")]
    topic: Vec<String>,
    /// Looks at files of this connector only, and at those that do not say whose they are.
    #[arg(long, value_name = "NAME")]
    connector: Option<String>,
    /// Counts the rows of every file: Parquet by its footer, Avro and JSON by reading all of it.
    #[arg(long)]
    deep: bool,
    /// Offsets may be in no file, as where a connector leaves records out or the topic is compacted: they are told, and are no violation.
    #[arg(long)]
    allow_left_out: bool,
    /// What the log has before the first file of a topic partition does not matter.
    #[arg(long, requires = "group")]
    since_first_file: bool,
    /// Prints the report as JSON.
    #[arg(long)]
    json: bool,
}

/// Verifies, and prints the report.
///
/// # Errors
/// [`ExitError`] with code 1 when something is violated, 2 when something cannot be told, 3 when there is no answer.
pub async fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), ExitError> {
    let report = verify(arguments).await?;
    let text = if arguments.json {
        let json = serde_json::to_string_pretty(&report).map_err(|error| ExitError { code: NO_ANSWER, message: error.to_string() })?;
        format!("{json}\n")
    } else {
        report.to_string()
    };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| ExitError { code: NO_ANSWER, message: error.to_string() })?;
    match report.verdict {
        Verdict::Proven => Ok(()),
        verdict => Err(ExitError { code: verdict.code(), message: report.conclusion() }),
    }
}

/// Looks at everything and judges it.
async fn verify(arguments: &Arguments) -> Result<Report, AuditError> {
    let Arguments { place, group, topic, connector, deep, allow_left_out, since_first_file, .. } = arguments;
    let scope = Scope { topics: topic.iter().cloned().collect(), connector: connector.clone(), deep: *deep, ..Scope::of(place) };
    let reader = place.open()?;
    let mut group = group.as_deref().map(|name| Group::new(name, &arguments.consumer()?)).transpose()?;
    if let Some(group) = &mut group {
        group.note_before(&scope).await?;
    }
    let mut inventory = shown(&*reader, &scope).await?;
    if let Some(group) = &mut group {
        group.note_after(&scope).await?;
        inventory.expect_files_of(group);
    }
    let connectors: BTreeSet<_> = inventory.files.keys().map(|origin| origin.connector.to_string()).collect();
    let mut partitions = Vec::with_capacity(inventory.files.len());
    for (origin, files) in &inventory.files {
        let group = group.as_ref().filter(|group| reads_for(group, origin, &connectors));
        let judge = Judge { reader: &*reader, scope: &scope, group, allows_left_out: *allow_left_out, since_first_file: *since_first_file };
        partitions.push(judge.judge(origin, files).await?);
    }
    if let Some(group) = group.as_ref().filter(|group| !connectors.is_empty() && !inventory.files.keys().any(|origin| reads_for(group, origin, &connectors))) {
        let names: Vec<_> = connectors.iter().map(|name| format!("'{name}'")).collect();
        let why = format!("which connector group '{}' consumes for is not known: the files are of {}; say --connector", group.name, names.join(", "));
        return Err(AuditError::Usage(why));
    }
    let worst = partitions.iter().map(|partition| partition.verdict).max();
    Ok(Report {
        place: reader.to_string(),
        verdict: worst.unwrap_or(Verdict::Unprovable),
        partitions,
        foreign_objects: inventory.foreign.0,
        foreign: inventory.foreign.1,
        out_of_scope: inventory.out_of_scope,
        objects: inventory.objects,
        bytes: inventory.bytes,
    })
}

/// True when the group consumes for the files' connector: by its name, or because there is no other.
fn reads_for(group: &Group, origin: &Origin, connectors: &BTreeSet<String>) -> bool {
    let is_known = |name: &str| group.name == format!("connect-{name}");
    is_known(&origin.connector) || !connectors.iter().any(|name| is_known(name)) && connectors.len() == 1
}

/// Takes the inventory, and tells somebody at a terminal how far it is.
async fn shown(reader: &dyn ObjectReader, scope: &Scope) -> Result<Inventory, AuditError> {
    let looked_at = AtomicU64::new(0);
    let taken = inventory::take(reader, scope, &looked_at);
    if !std::io::stderr().is_terminal() {
        return taken.await;
    }
    tokio::select! {
        taken = taken => {
            eprint!("\r{:40}\r", "");
            taken
        }
        never = tell(&looked_at) => match never {},
    }
}

async fn tell(looked_at: &AtomicU64) -> Infallible {
    loop {
        tokio::time::sleep(PROGRESS).await;
        eprint!("\r{} objects looked at", grouped(looked_at.load(Ordering::Relaxed)));
    }
}

impl Inventory {
    /// Topic partitions of the group that have no file are judged too.
    fn expect_files_of(&mut self, group: &Group) {
        let connector = group.name.strip_prefix("connect-").unwrap_or_default();
        for tp in group.partitions() {
            if !self.files.keys().any(|origin| origin.from == *tp) {
                let of_one = self.files.keys().map(|origin| &origin.connector).find(|name| &***name == connector || connector.is_empty());
                let connector = of_one.cloned().unwrap_or_else(|| connector.into());
                self.files.insert(Origin { connector, from: tp.clone() }, Files::default());
            }
        }
    }
}

impl Arguments {
    /// Properties of the consumer.
    fn consumer(&self) -> Result<Props, AuditError> {
        let mut props = Props::new();
        if let Some(path) = &self.command_config {
            let unreadable = |why: &dyn std::fmt::Display| AuditError::Usage(format!("--command-config {}: {why}", path.display()));
            let bytes = std::fs::read(path).map_err(|error| unreadable(&error))?;
            props.extend(properties::parse(&bytes).map_err(|error| unreadable(&error))?);
        }
        props.extend(self.bootstrap_servers.clone().map(|servers| ("bootstrap.servers".to_owned(), servers)));
        if !props.contains_key("bootstrap.servers") {
            return Err(AuditError::Usage("--group needs --bootstrap-servers, or bootstrap.servers in --command-config".to_owned()));
        }
        Ok(props)
    }
}
