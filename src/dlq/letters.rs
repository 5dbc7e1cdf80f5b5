//! Dead letters, read from a topic or from files.

use std::ops::ControlFlow;

use futures::StreamExt as _;
use tokio::sync::mpsc;

use super::{Filter, Source, no_answer};
use crate::compute::Compute;
use crate::kafka::scan::{Scanned, scan};
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
            keys.retain(|key| key.ends_with(".jsonl"));
            keys.sort();
            let mut left = filter.limit.unwrap_or(u64::MAX);
            for key in keys {
                for found in file(store.as_ref(), &key).await? {
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

/// The letters of a file; lines that are none say why.
async fn file(store: &dyn ObjectReader, key: &str) -> Result<Vec<Found>, ExitError> {
    let Some(mut stream) = store.stream(key).await.map_err(no_answer)? else { return Ok(Vec::new()) };
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece.map_err(no_answer)?);
    }
    let name = store.name(key);
    let lines = bytes.split(|byte| *byte == b'\n').enumerate().filter(|(_, line)| !line.is_empty());
    Ok(lines.map(|(number, line)| of_line(&format!("{name}:{}", number + 1), line)).collect())
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

    proptest! {
        #[test]
        fn every_line_has_an_answer(line in prop::collection::vec(any::<u8>(), 0..60)) {
            drop(of_line("f:1", &line));
        }
    }
}
