//! A config topic with a thousand connectors: how long until a worker knows them.

use std::time::{Duration, Instant};

use lakehead::clock::Clock;
use lakehead::cluster::board::Board;
use lakehead::cluster::configs::{RawConfig, TargetState, records};
use lakehead::cluster::log::Isolation;
use lakehead::kafka::Props;

use crate::figures::Figure;
use crate::peer::{Kind, LONG, Mode, Peer};
use crate::world::servers::Kafka;
use crate::world::worker::block_on;

const CONNECTORS: usize = 1_000;

fn props(group: &str) -> Props {
    let topics = ["config", "status"].map(|of| (format!("{of}.storage.topic"), format!("{group}-{of}"), format!("{of}.storage.replication.factor")));
    let mut props = Props::from([("bootstrap.servers".to_owned(), Kafka::shared().bootstrap()), ("group.id".to_owned(), group.to_owned())]);
    for (topic, name, factor) in topics {
        props.extend([(topic, name), (factor, "1".to_owned())]);
    }
    props
}

/// A configuration of thirty keys, some 1.3 KB, as a storage sink has.
fn config(number: usize) -> RawConfig {
    let of = |index: usize| (format!("some.setting.of.a.storage.sink.{index:02}"), Some(format!("a value of this length {number}")));
    let class = ("connector.class".to_owned(), Some("org.apache.kafka.connect.tools.VerifiableSinkConnector".to_owned()));
    let more = [("topics", "there-is-none"), ("tasks.max", "4")].map(|(key, value)| (key.to_owned(), Some(value.to_owned())));
    (0..26).map(of).chain(more).chain([class, ("name".to_owned(), Some(name(number)))]).collect()
}

fn name(number: usize) -> String {
    format!("connector-of-the-replay-{number:04}")
}

/// Fills a group's config topic; how many records and bytes that are.
fn fill(group: &str, tasks: usize, state: TargetState) -> (usize, usize) {
    block_on(async {
        let (board, _changes) = Board::join(&props(group), Isolation::Committed, Clock::system()).await.expect("a board");
        let (mut count, mut bytes) = (0, 0);
        for first in (0..CONNECTORS).step_by(50) {
            let mut some = Vec::new();
            for number in first..first + 50 {
                let (name, config) = (name(number), config(number));
                some.extend(records::connector(&name, &config, Some(state)));
                let records::TaskRecords { tasks, commit } = records::tasks(&name, &vec![config; tasks]);
                some.extend(tasks.into_iter().chain([commit]));
            }
            count += some.len();
            bytes += some.iter().map(|record| record.key.len() + record.value.as_ref().map_or(0, |value| value.len())).sum::<usize>();
            board.write(&some).await.expect("the broker takes them");
        }
        (count, bytes)
    })
}

/// The library alone: from the first connection to the last record.
pub(crate) fn of_the_library(rounds: usize) -> Figure {
    let (count, bytes) = fill("replay", 4, TargetState::Paused);
    println!("the config topic has {count} records for {CONNECTORS} connectors with 4 tasks each, {:.1} MB", bytes as f64 / 1e6);
    let round = |_| {
        block_on(async {
            let since = Instant::now();
            let (board, _changes) = Board::join(&props("replay"), Isolation::Committed, Clock::system()).await.expect("a board");
            let took = since.elapsed();
            assert_eq!(board.snapshot().connectors().count(), CONNECTORS);
            took
        })
    };
    Figure::of_times("1,000 connectors with 4,000 tasks in the config topic replayed", Kind::Lakehead, (0..rounds).map(round)).at_most(Duration::from_secs(1))
}

/// A worker: from its start until it lists all of them; they are stopped, so that nothing runs.
pub(crate) fn of_a_worker(kind: Kind, rounds: usize) -> Figure {
    let group = format!("replay-{kind:?}");
    fill(&group, 0, TargetState::Stopped);
    let round = |_| {
        let peer = Peer::start(kind, &Mode::Distributed(group.clone()), "session.timeout.ms=1000\nheartbeat.interval.ms=300", "512m");
        peer.await_answer("/health");
        let all = peer.ask("GET", "/connectors", None);
        assert_eq!(all.as_array().map(Vec::len), Some(CONNECTORS));
        let took = peer.started.1.elapsed();
        assert!(took < LONG);
        peer.kill();
        std::thread::sleep(Duration::from_millis(1500)); // the group is to have forgotten it
        took
    };
    Figure::of_times("exec to a healthy member that lists 1,000 stopped connectors", kind, (0..rounds).map(round))
}
