//! From the start of a process to its first answer, and to the first record that a connector is given.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::figures::Figure;
use crate::peer::{Kind, LONG, Mode, Peer};
use crate::seen::Said;
use crate::world::broker::Topic;
use crate::world::servers::run_folder;

/// A standalone worker without connectors: until `GET /` is answered.
pub(crate) fn answers(kind: Kind, rounds: usize) -> Figure {
    let round = |_| Peer::start(kind, &Mode::Standalone(Vec::new()), "", "256m").await_answer("/");
    Figure::of_times("exec to the first answer of the REST API, standalone", kind, (0..rounds).map(round)).at_most(Duration::from_millis(150))
}

/// A worker of a group that has nobody else: until it is a healthy member.
pub(crate) fn is_member(kind: Kind, rounds: usize) -> Figure {
    let group = Mode::Distributed(format!("member-{kind:?}"));
    let start = |_| {
        let peer = Peer::start(kind, &group, "session.timeout.ms=1000\nheartbeat.interval.ms=300", "256m");
        let took = peer.await_answer("/health");
        peer.kill();
        std::thread::sleep(Duration::from_millis(1500)); // the group is to have forgotten it
        took
    };
    start(0); // it makes the group's topics
    Figure::of_times("exec to being a healthy member of an empty group", kind, (0..rounds).map(start))
}

/// A standalone worker with a sink on its command line, whose topic has records: until the sink is given the first one.
pub(crate) fn fetches(kind: Kind, rounds: usize) -> Figure {
    let topic = Topic::create(&format!("first-{kind:?}"), 1);
    topic.send((0..100).map(|number| (0, Some(format!(r#"{{"part":0,"number":{number}}}"#).into_bytes()))));
    let start = |round: usize| {
        // A group of its own each time, so that there are records to be given.
        let name = format!("first-{kind:?}-{round}").to_lowercase();
        let config = json!({"name": name, "connector.class": "org.apache.kafka.connect.tools.VerifiableSinkConnector", "topics": topic.name, "tasks.max": "1"});
        let file: PathBuf = run_folder().join(format!("{name}.json"));
        fs::write(&file, config.to_string()).expect("a connector file");
        let peer = Peer::start(kind, &Mode::Standalone(vec![file]), "", "256m");
        let since = Instant::now();
        loop {
            if let Some((at, _)) = Said::in_file(&peer.log_file()).given.values().flatten().min() {
                return Duration::from_millis(u64::try_from(at - peer.started.0).expect("not before its start"));
            }
            assert!(since.elapsed() < LONG, "no record is given to the sink: {}", peer.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    start(rounds); // the broker makes its own topic of groups' offsets for the first of them
    Figure::of_times("exec to the first record in a sink's hands, standalone", kind, (0..rounds).map(start)).at_most(Duration::from_secs(1))
}
