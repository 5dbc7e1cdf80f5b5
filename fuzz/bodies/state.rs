//! What was kept: the records of a group's topics, offset files, plans of commits, dead letters.

use std::hint::black_box;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lakehead::cluster::configs::Replay;
use lakehead::cluster::offset_file as file;
use lakehead::cluster::source_offsets::SourceOffsets;
use lakehead::cluster::statuses::Statuses;
use lakehead::commit::Intent;
use lakehead::offsets::OffsetSet;
use lakehead::runtime::errors::line::{Line, decoded};

use super::pieces;

/// Keys and values, one after the other.
fn records(data: &[u8]) -> impl Iterator<Item = (Option<&[u8]>, Option<&[u8]>)> {
    let parts: Vec<&[u8]> = data.split(|byte| *byte == 0).collect();
    parts.chunks(2).map(|pair| (given_in(pair, 0), given_in(pair, 1))).collect::<Vec<_>>().into_iter()
}

/// A part that is there.
fn given_in<'a>(pair: &[&'a [u8]], at: usize) -> Option<&'a [u8]> {
    pair.get(at).copied().filter(|part| !part.is_empty())
}

/// The config topic.
pub(crate) fn config_records(data: &[u8]) {
    let mut replay = Replay::new();
    for (offset, (key, value)) in (0..).zip(records(data)) {
        replay.apply(offset, key, value);
        let seen = replay.snapshot();
        for connector in seen.connectors() {
            assert!(seen.contains(connector));
            assert!(seen.task_count(connector) as usize >= seen.tasks(connector).count());
            for task in seen.tasks(connector) {
                drop(seen.task_config(&task).cloned());
            }
        }
    }
}

/// The status topic.
pub(crate) fn status_records(data: &[u8]) {
    let mut statuses = Statuses::new();
    for (key, value) in records(data) {
        if let Err(why) = statuses.apply(key, value) {
            assert!(!why.is_empty());
        }
    }
    for connector in statuses.connectors() {
        for (task, status) in statuses.tasks(connector) {
            assert!(!format!("{task} {status:?}").is_empty());
        }
        statuses.topics(connector).for_each(|topic| drop(black_box(topic.clone())));
    }
}

/// The offsets topic: what it says of a source partition is written so that it says it again.
pub(crate) fn offset_records(data: &[u8]) {
    let mut offsets = SourceOffsets::new();
    let mut connectors = Vec::new();
    for (key, value) in records(data) {
        if offsets.apply(key, value).is_ok()
            && let Some(Ok(serde_json::Value::Array(parts))) = key.map(serde_json::from_slice)
            && let Some(serde_json::Value::String(connector)) = parts.into_iter().next()
        {
            connectors.push(connector);
        }
    }
    for connector in connectors {
        for (partition, offset) in offsets.partitions(&connector) {
            let Ok(written) = offsets.records(&connector, partition, Some(offset)) else { continue };
            let mut again = SourceOffsets::new();
            for record in &written {
                again.apply(Some(&record.key), record.value.as_deref()).expect("its own record");
            }
            assert_eq!(again.get(&connector, partition), Some(offset), "{connector:?} {partition:?}");
        }
    }
}

/// A standalone worker's file of offsets, which is Java's.
pub(crate) fn offset_file(data: &[u8]) {
    let own: Vec<file::Entry<'_>> = pieces(data).chunks(2).map(|pair| (pair.first().copied(), pair.get(1).copied())).collect();
    let written = file::write(&own);
    let mut read = file::read(&written).expect("its own file");
    let (mut own, order) = (own, |entry: &file::Entry<'_>| (entry.0.map(<[u8]>::to_vec), entry.1.map(<[u8]>::to_vec)));
    own.sort_by_key(order);
    read.sort_by_key(order);
    assert_eq!(read, own);
    if let Ok(read) = file::read(data) {
        let written = file::write(&read);
        assert_eq!(file::read(&written).map(|again| again.len()), Ok(read.len()));
    }
}

/// The text that is committed beside an offset.
pub(crate) fn commit_intent(data: &[u8]) {
    const OFFSET: i64 = 1000;
    let coded = |bytes: &[u8]| format!("LH1.{}", URL_SAFE_NO_PAD.encode(bytes));
    // Nobody comes past the checksum by chance.
    let whole = coded(&[data, &crc32fast::hash(data).to_le_bytes()].concat());
    for text in [String::from_utf8_lossy(data).into_owned(), coded(data), whole] {
        if let Ok(intent) = Intent::parse(&text, OFFSET) {
            assert!(intent.reach(OFFSET) >= OFFSET);
            let again = intent.text(OFFSET);
            if !again.is_empty() {
                assert_eq!(Intent::parse(&again, OFFSET), Ok(intent), "{text}");
            }
        }
    }
}

/// Which offsets the rows of a file have, in its footer.
pub(crate) fn offset_set(data: &[u8]) {
    let of_bytes = |first: u8| URL_SAFE_NO_PAD.encode([&[first], data].concat());
    for text in [String::from_utf8_lossy(data).into_owned(), of_bytes(0), of_bytes(1)] {
        let Ok(set) = OffsetSet::decode(&text) else { continue };
        let Some(again) = set.encode() else { continue };
        let again = OffsetSet::decode(&again).expect("its own text");
        assert_eq!((again.count(), again.first(), again.end(), again.digest()), (set.count(), set.first(), set.end(), set.digest()), "{text}");
    }
}

/// A line of a file of dead letters.
pub(crate) fn dead_letter(data: &[u8]) {
    for line in data.split(|byte| *byte == b'\n') {
        let Ok(line) = serde_json::from_slice::<Line<'_>>(line) else { continue };
        let text = serde_json::to_string(&line).expect("a line is JSON");
        let again: Line<'_> = serde_json::from_str(&text).expect("its own line");
        assert_eq!((again.identity(), &again), (line.identity(), &line));
        for bytes in [&line.key, &line.value] {
            drop(decoded(bytes.as_deref()));
        }
    }
}
