//! Dead letters, read from a topic or from files.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use futures::StreamExt as _;
use tokio::sync::mpsc;

use super::{Filter, Source, no_answer};
use crate::batch::TopicPartition;
use crate::compute::Compute;
use crate::kafka::TopicId;
use crate::kafka::scan::{Scanned, scan};
use crate::runtime::errors::folder::names::{EXTENSION, FileName};
use crate::runtime::errors::letter::{CONTEXT, CONTEXT_HEADERS};
use crate::runtime::errors::line::{Line, decoded};
use crate::standalone::ExitError;
use crate::store::read::ObjectReader;

/// Letters that may wait between who reads and who takes them.
const WAITING: usize = 256;

/// A record that failed, and what is told of why.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct DeadLetter {
    /// Where it is now.
    pub(super) at: String,
    /// The topic that it came from; like what follows unknown where its headers do not tell (`errors.deadletterqueue.context.headers.enable=false`).
    pub(super) topic: Option<String>,
    pub(super) partition: Option<String>,
    pub(super) offset: Option<String>,
    pub(super) connector: Option<String>,
    pub(super) stage: Option<String>,
    pub(super) reason: Option<String>,
    pub(super) timestamp: Option<i64>,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    /// Its own: those that say why it failed are left out.
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
}

/// A letter, or why there is none.
pub(super) type Found = Result<DeadLetter, String>;

/// Reads dead letters in order, and gives those that the filter picks to whoever takes them; ends when nobody does.
pub(super) async fn read(source: &Source, filter: &Filter, letters: mpsc::Sender<Found>) -> Result<(), ExitError> {
    match (&source.topic, &source.url) {
        (Some(topic), _) => {
            let (client, topic, filter) = (source.client()?, topic.clone(), filter.clone());
            let job = move || {
                let mut left = filter.limit.unwrap_or(u64::MAX);
                scan(&client, &topic, &mut |record| give(Ok(of_record(&topic, record)), &filter, &mut left, &letters))
            };
            Compute::pool(1).run(job).await.map_err(no_answer)
        }
        (None, Some(url)) => {
            let store = source.store(url)?;
            let mut keys = Vec::new();
            let mut listed = store.list();
            while let Some(object) = listed.next().await {
                keys.push(object.map_err(no_answer)?.key);
            }
            drop(listed);
            let mut left = filter.limit.unwrap_or(u64::MAX);
            let mut seen = Seen::default();
            for key in in_order(keys) {
                for found in file(store.as_ref(), &key, &mut seen).await? {
                    if found.as_ref().is_ok_and(|letter| !filter.has(letter)) {
                        continue;
                    }
                    if left == 0 || letters.send(found).await.is_err() {
                        return Ok(());
                    }
                    left -= 1;
                }
            }
            Ok(())
        }
        (None, None) => Err(no_answer("give --topic or --url")),
    }
}

/// Gives a letter on from a thread that may wait.
fn give(found: Found, filter: &Filter, left: &mut u64, letters: &mpsc::Sender<Found>) -> ControlFlow<()> {
    if found.as_ref().is_ok_and(|letter| !filter.has(letter)) {
        return ControlFlow::Continue(());
    }
    if *left == 0 || letters.blocking_send(found).is_err() {
        return ControlFlow::Break(());
    }
    *left -= 1;
    ControlFlow::Continue(())
}

/// A queue for letters on their way.
pub(super) fn queue() -> (mpsc::Sender<Found>, mpsc::Receiver<Found>) {
    mpsc::channel(WAITING)
}

/// A record of a dead letter queue.
fn of_record(topic: &str, record: Scanned) -> DeadLetter {
    let Scanned { partition, offset, timestamp, key, value, headers } = record;
    let (context, own): (Vec<_>, Vec<_>) = headers.into_iter().partition(|(name, _)| name.starts_with(CONTEXT));
    let told = |wanted: &str| {
        let (_, bytes) = context.iter().find(|(name, _)| name == wanted)?;
        bytes.as_deref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    };
    let [of_topic, of_partition, of_offset, connector, _, stage, _, _, reason, _] = CONTEXT_HEADERS;
    DeadLetter {
        at: format!("{topic}-{partition}@{offset}"),
        topic: told(of_topic),
        partition: told(of_partition),
        offset: told(of_offset),
        connector: told(connector),
        stage: told(stage),
        reason: told(reason),
        timestamp,
        key,
        value,
        headers: own,
    }
}

/// The files of letters, those of a topic partition by their first offset.
fn in_order(keys: Vec<String>) -> Vec<String> {
    let mut keys: Vec<(Option<FileName>, String)> = keys.into_iter().filter(|key| key.ends_with(EXTENSION)).map(|key| (FileName::parse(&key), key)).collect();
    keys.sort();
    keys.into_iter().map(|(_, key)| key).collect()
}

/// Letters that were read, as far as they may come once more: where two tasks wrote at once, or an older version was killed between a file and the commit behind it.
#[derive(Debug, Default)]
struct Seen {
    /// The connector's and the partition's that are being read.
    of: Option<(String, TopicPartition)>,
    /// Offset and identity, and which topics they were of.
    letters: BTreeMap<(i64, u64), Vec<Option<TopicId>>>,
}

impl Seen {
    /// Begins a file; those of a partition come in the order of their first offsets.
    fn begin(&mut self, file: &FileName) {
        let of = (file.connector.clone(), file.from.clone());
        if self.of.as_ref() != Some(&of) {
            *self = Self { of: Some(of), letters: BTreeMap::new() };
        }
        self.letters = self.letters.split_off(&(file.first, 0));
    }

    /// True when a letter of that file comes for the first time.
    fn is_new(&mut self, file: &FileName, line: &Line<'_>) -> bool {
        let topics = self.letters.entry((line.offset, line.identity())).or_default();
        let is_seen = topics.iter().any(|topic| topic.zip(file.topic_id).is_none_or(|(one, other)| one == other));
        if !is_seen {
            topics.push(file.topic_id);
        }
        !is_seen
    }
}

/// The letters of a file that were not read from another one; lines that are none say why.
async fn file(store: &dyn ObjectReader, key: &str, seen: &mut Seen) -> Result<Vec<Found>, ExitError> {
    let Some(mut stream) = store.stream(key).await.map_err(no_answer)? else { return Ok(Vec::new()) };
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece.map_err(no_answer)?);
    }
    Ok(letters(&store.name(key), FileName::parse(key).as_ref(), &bytes, seen))
}

fn letters(at: &str, name: Option<&FileName>, bytes: &[u8], seen: &mut Seen) -> Vec<Found> {
    name.into_iter().for_each(|name| seen.begin(name));
    let mut is_new = |line: &[u8]| match (name, serde_json::from_slice::<Line<'_>>(line)) {
        (Some(name), Ok(line)) => seen.is_new(name, &line),
        _ => true, // a file that somebody has renamed, or a line that is told of
    };
    let lines = bytes.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty());
    lines.filter(|(_, line)| is_new(line)).map(|(number, line)| of_line(&format!("{at}:{}", number + 1), line)).collect()
}

/// A line of a file.
fn of_line(at: &str, line: &[u8]) -> Found {
    let told = |why: String| format!("{at}: {why}");
    let line: Line<'_> = serde_json::from_slice(line).map_err(|error| told(format!("no dead letter: {error}")))?;
    let header = |header: &crate::runtime::errors::line::LineHeader<'_>| Ok::<_, String>((header.key.to_string(), decoded(header.value.as_deref())?));
    Ok(DeadLetter {
        at: at.to_owned(),
        topic: Some(line.topic.to_string()),
        partition: Some(line.partition.to_string()),
        offset: Some(line.offset.to_string()),
        connector: Some(line.connector.to_string()),
        stage: Some(line.stage.to_string()),
        reason: Some(line.reason.to_string()),
        timestamp: line.timestamp,
        key: decoded(line.key.as_deref()).map_err(told)?,
        value: decoded(line.value.as_deref()).map_err(told)?,
        headers: line.headers.iter().map(header).collect::<Result<_, _>>().map_err(told)?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_record_of_a_queue_tells_of_itself_in_its_headers() {
        let header = |name: &str, value: &str| (name.to_owned(), Some(value.as_bytes().to_vec()));
        let record = Scanned {
            partition: 0,
            offset: 7,
            timestamp: Some(3),
            key: None,
            value: Some(b"\xff".to_vec()),
            headers: vec![
                header("trace", "1"),
                header("__connect.errors.topic", "orders"),
                header("__connect.errors.stage", "TASK_PUT"),
                header("__connect.errors.exception.message", "no path"),
                ("__connect.errors.offset".to_owned(), None),
            ],
        };
        let expected = DeadLetter {
            at: "dead-0@7".to_owned(),
            topic: Some("orders".to_owned()),
            stage: Some("TASK_PUT".to_owned()),
            reason: Some("no path".to_owned()),
            timestamp: Some(3),
            value: Some(b"\xff".to_vec()),
            headers: vec![header("trace", "1")],
            ..DeadLetter::default()
        };
        assert_eq!(of_record("dead", record), expected);
    }

    #[test]
    fn lines_are_letters_or_say_why_not() {
        let line = br#"{"topic":"t","partition":1,"offset":2,"timestamp":null,"key":null,"value":"aGk=","headers":[{"key":"h","value":null}],"connector":"c","task":0,"stage":"TASK_PUT","class":"x","reason":"r","later":1}"#;
        let letter = of_line("f:1", line).unwrap();
        assert_eq!((letter.value.as_deref(), letter.key, letter.headers), (Some(&b"hi"[..]), None, vec![("h".to_owned(), None)]));
        for (line, why) in [(&b"{}"[..], "f:1: no dead letter: missing field"), (b"x", "f:1: no dead letter: expected value")] {
            assert!(of_line("f:1", line).unwrap_err().starts_with(why));
        }
        let broken = String::from_utf8_lossy(line).replace("aGk=", "?");
        assert!(of_line("f:1", broken.as_bytes()).unwrap_err().starts_with("f:1: its bytes are not base64"));
    }

    #[test]
    fn a_letter_is_read_once_whatever_files_it_is_in() {
        let line = |offset: i64, value: &str| {
            format!(
                r#"{{"topic":"t","partition":0,"offset":{offset},"timestamp":1,"key":null,"value":"{value}","headers":[],"connector":"c","task":0,"stage":"s","class":"k","reason":"r"}}"#
            )
        };
        let (one, two) = ("AQEBAQEBAQEBAQEBAQEBAQ", "AgICAgICAgICAgICAgICAg");
        let of = |offsets: &[i64]| offsets.iter().map(|offset| line(*offset, "aGk=")).collect::<Vec<_>>().join("\n");
        // In order as they are read: the name, what is in it, and what is new of that.
        let files = [
            ("c+t+0+0000000005+0000000007.jsonl".to_owned(), of(&[5, 7]), &[5, 7][..]),
            ("c+t+0+0000000005+0000000010.jsonl".to_owned(), of(&[5, 10]), &[10]),
            (format!("c+t+0+0000000010+0000000012+{one}.jsonl"), of(&[10, 12]), &[12]),
            (format!("c+t+0+0000000012+0000000012+{one}.jsonl"), of(&[12]), &[]),
            (format!("c+t+0+0000000012+0000000012+{one}+2.jsonl"), line(12, "YWg="), &[12]),
            (format!("c+t+0+0000000012+0000000012+{two}.jsonl"), of(&[12]), &[12]),
            ("c+t+1+0000000012+0000000012.jsonl".to_owned(), of(&[12]), &[12]),
            ("d+t+1+0000000012+0000000012.jsonl".to_owned(), of(&[12]), &[12]),
            ("renamed too.jsonl".to_owned(), of(&[12]), &[12]),
            ("renamed.jsonl".to_owned(), of(&[12]), &[12]),
        ];
        let names: Vec<String> = files.iter().map(|(name, ..)| format!("x/{name}")).collect();
        let mut read = in_order(names.iter().rev().cloned().chain(["x/other.json".to_owned()]).collect());
        read.sort_by_key(|name| name.contains("renamed")); // they have no place
        assert_eq!(read, names);
        let mut seen = Seen::default();
        for (name, bytes, expected) in &files {
            let found = letters(name, FileName::parse(name).as_ref(), bytes.as_bytes(), &mut seen);
            let offsets: Vec<i64> = found.into_iter().map(|letter| letter.unwrap().offset.unwrap().parse().unwrap()).collect();
            assert_eq!(&offsets, expected, "{name}");
        }
    }

    proptest! {
        #[test]
        fn every_line_has_an_answer(line in prop::collection::vec(any::<u8>(), 0..60)) {
            drop(of_line("f:1", &line));
        }
    }
}
