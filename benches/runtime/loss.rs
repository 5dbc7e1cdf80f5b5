//! A worker of three is killed: how long until all that it did is done elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::figures::Figure;
use crate::load::{Flow, Load};
use crate::peer::{Kind, LONG, Mode, Peer, now};
use crate::seen::Said;
use crate::world::broker::Topic;
use crate::world::servers::Kafka;
use crate::world::worker::await_some;

const SESSION: Duration = Duration::from_secs(6);
const SETTINGS: &str = "session.timeout.ms=6000\nheartbeat.interval.ms=2000\nconsumer.session.timeout.ms=6000";
const SOURCES: usize = 12;
const TASKS: usize = SOURCES + 6;

/// The figures' rows: workers that follow and that lead, and what each did: sources, and partitions of a sink.
pub(crate) fn of(kind: Kind, rounds: usize) -> Vec<Figure> {
    let group = Mode::Distributed(format!("loss-{kind:?}"));
    let start = || {
        let peer = Peer::start(kind, &group, SETTINGS, "256m");
        peer.await_answer("/health");
        peer
    };
    let mut peers: Vec<Peer> = (0..3).map(|_| start()).collect();
    let mut logs: Vec<_> = peers.iter().map(|peer| (peer.id.clone(), peer.log_file())).collect();
    let name = |what: &str| format!("{what}-{kind:?}").to_lowercase();
    let (made, given) = (Topic::create(&name("made"), 6), Topic::create(&name("given"), 6));
    let load = Load::start(&Kafka::shared().bootstrap(), &given.name, 6, Flow { rate: 20, ballast: 8, multiple: 1 }, 1);
    let tools = "org.apache.kafka.connect.tools.Verifiable";
    let (source, sink) = (format!("{tools}SourceConnector"), format!("{tools}SinkConnector"));
    peers[0].create(&name("source"), &[("connector.class", &source), ("tasks.max", &SOURCES.to_string()), ("topic", &made.name), ("throughput", "20")]);
    peers[0].create(&name("sink"), &[("connector.class", &sink), ("tasks.max", "6"), ("topics", &given.name)]);
    let mut times: BTreeMap<(bool, bool), Vec<Duration>> = BTreeMap::new();
    for round in 0..2 * rounds {
        await_shared(&peers, &logs);
        let leads = round % 2 == 1;
        let index = peers.iter().position(|peer| peer.leads() == leads).expect("one who leads and others");
        let killed = peers.remove(index);
        let id = killed.id.clone();
        let at = killed.kill();
        let (sources, sinks) = await_elsewhere(&logs, &id, at);
        times.entry((leads, false)).or_default().extend(sources);
        times.entry((leads, true)).or_default().extend(sinks);
        peers.push(start());
        logs.push(peers.last().map(|peer| (peer.id.clone(), peer.log_file())).expect("the one that was added"));
    }
    load.stop();
    let bound = SESSION + Duration::from_secs(2);
    let what = |(leads, is_sink): (bool, bool)| match (leads, is_sink) {
        (false, false) => "a follower is killed: its sources make records elsewhere",
        (false, true) => "a follower is killed: its sink's partitions are read elsewhere",
        (true, false) => "the leader is killed: its sources make records elsewhere",
        (true, true) => "the leader is killed: its sink's partitions are read elsewhere",
    };
    times.into_iter().filter(|(_, times)| !times.is_empty()).map(|(key, times)| Figure::of_times(what(key), kind, times.into_iter()).at_most(bound)).collect()
}

/// Waits until everything runs, on all workers alike, and every source has made records: a worker may have sinks alone.
fn await_shared(peers: &[Peer], logs: &[(String, std::path::PathBuf)]) {
    let since = now();
    let shared = || {
        let owners = peers[0].owners(TASKS, "RUNNING")?;
        let is_even = peers.iter().all(|peer| owners.iter().filter(|owner| **owner == peer.id).count() == TASKS / peers.len());
        let said: Vec<Said> = logs.iter().filter(|(id, _)| peers.iter().any(|peer| peer.id == *id)).map(|(_, log)| Said::in_file(log)).collect();
        let at_work = said.iter().flat_map(|said| said.made.iter().filter(|(_, times)| times.iter().any(|at| *at > since)).map(|(task, _)| task.clone()));
        (is_even && at_work.collect::<BTreeSet<_>>().len() == SOURCES).then_some(())
    };
    await_some(LONG, shared, || format!("work is not shared out: {}", peers[0].log()));
    std::thread::sleep(Duration::from_secs(3)); // consumers have settled as well
}

/// How long after that moment the last of the sources that this worker had made a record elsewhere, and the last of its partitions, if it had any, was read elsewhere.
fn await_elsewhere(logs: &[(String, std::path::PathBuf)], killed: &str, at: i64) -> (Option<Duration>, Option<Duration>) {
    let since = Instant::now();
    loop {
        let said: Vec<(&str, Said)> = logs.iter().map(|(id, log)| (id.as_str(), Said::in_file(log))).collect();
        let made = said.iter().map(|(id, said)| (*id, said.made.iter().map(|(task, times)| (task.clone(), times.clone())).collect()));
        let of = |(key, times): (&(String, i64), &Vec<(i64, i64)>)| (format!("{key:?}"), times.iter().map(|(at, _)| *at).collect());
        let given = said.iter().map(|(id, said)| (*id, said.given.iter().map(of).collect()));
        if let (Ok(sources), Ok(sinks)) = (elsewhere(made, killed, at), elsewhere(given, killed, at)) {
            return (sources, sinks);
        }
        assert!(since.elapsed() < LONG, "what the killed worker did is not done elsewhere");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// What the killed worker did is not all done by others.
struct NotYet;

/// The longest time until something that the killed worker did last was done by another one; `None` where it did nothing.
fn elsewhere<'a>(did: impl Iterator<Item = (&'a str, BTreeMap<String, Vec<i64>>)>, killed: &str, at: i64) -> Result<Option<Duration>, NotYet> {
    let (mut last, mut next): (BTreeMap<String, (i64, bool)>, BTreeMap<String, i64>) = (BTreeMap::new(), BTreeMap::new());
    for (id, things) in did {
        for (thing, times) in things {
            let before = times.iter().filter(|time| **time <= at).max().map(|time| (*time, id == killed));
            if let Some(before) = before {
                last.entry(thing.clone()).and_modify(|known| *known = before.max(*known)).or_insert(before);
            }
            if let Some(after) = times.iter().filter(|time| **time > at && id != killed).min() {
                next.entry(thing).and_modify(|known| *known = *after.min(known)).or_insert(*after);
            }
        }
    }
    let was_his = last.into_iter().filter(|(_, (_, was_his))| *was_his).map(|(thing, _)| thing);
    let done = was_his.map(|thing| next.get(&thing).copied().ok_or(NotYet)).collect::<Result<Vec<_>, _>>()?;
    Ok(done.into_iter().max().map(|last| Duration::from_millis(u64::try_from(last - at).unwrap_or_default())))
}
