//! What a worker holds that has nothing to do: a hundred connectors that ran, and are paused.

use std::time::Duration;

use crate::figures::Figure;
use crate::peer::{Kind, LONG, Mode, Peer};
use crate::world::broker::Topic;
use crate::world::servers::run_folder;
use crate::world::worker::await_some;

const CONNECTORS: usize = 100;

/// How long nothing happens before it is looked at: tasks close what they have after ten seconds, threads end and allocators give back what is free ten seconds later.
const REST: Duration = Duration::from_secs(60);

/// What the connectors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Idlers {
    /// None.
    Nobody,
    /// Fifty verifiable sources and fifty verifiable sinks.
    Verifiable,
    /// Sinks to a folder, of Parquet: only Lakehead has them.
    Lakes,
}

/// Resident memory of a worker of a group.
pub(crate) fn resident(kind: Kind, idlers: Idlers) -> Figure {
    let group = format!("idle-{kind:?}-{idlers:?}").to_lowercase();
    let topic = Topic::create(&group, 1);
    topic.send((0..1_000).map(|number| (0, Some(format!(r#"{{"part":0,"number":{number}}}"#).into_bytes()))));
    let peer = Peer::start(kind, &Mode::Distributed(group.clone()), "", "512m");
    peer.await_answer("/health");
    let names: Vec<String> = if idlers == Idlers::Nobody { Vec::new() } else { (0..CONNECTORS).map(|number| format!("{group}-{number}")).collect() };
    let url = format!("file://{}", run_folder().join(&group).display());
    for (number, name) in names.iter().enumerate() {
        let tools = "org.apache.kafka.connect.tools.Verifiable";
        match (idlers, number % 2) {
            (Idlers::Lakes, _) => {
                let classes =
                    [("connector.class", "io.lakehead.connect.CloudStorageSink"), ("format.class", "io.confluent.connect.s3.format.parquet.ParquetFormat")];
                let rest = [("topics", topic.name.as_str()), ("lakehead.store.url", &url), ("flush.size", "100"), ("tasks.max", "1")];
                peer.create(name, &[&classes[..], &rest[..]].concat());
            }
            (_, 0) => peer.create(name, &[("connector.class", &format!("{tools}SinkConnector")), ("topics", &topic.name), ("tasks.max", "1")]),
            _ => peer.create(name, &[("connector.class", &format!("{tools}SourceConnector")), ("topic", &topic.name), ("throughput", "1"), ("tasks.max", "1")]),
        }
    }
    await_some(LONG, || peer.owners(names.len(), "RUNNING"), || format!("not all of them run: {}", peer.log()));
    std::thread::sleep(REST / 6);
    for name in &names {
        peer.ask("PUT", &format!("/connectors/{name}/pause"), None);
    }
    await_some(LONG, || peer.owners(names.len(), "PAUSED"), || format!("not all of them are paused: {}", peer.log()));
    std::thread::sleep(REST);
    let what = match idlers {
        Idlers::Nobody => "resident, without connectors",
        Idlers::Verifiable => "resident, 100 paused connectors: 50 verifiable sources, 50 sinks",
        Idlers::Lakes => "resident, 100 paused connectors: sinks to a folder, Parquet",
    };
    let figure = Figure::of_sizes(what, kind, peer.proc("VmRSS"), format!("{} threads", peer.proc("Threads")));
    if idlers == Idlers::Nobody { figure } else { figure.at_most_mib(64) }
}
