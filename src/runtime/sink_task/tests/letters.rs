//! Dead letters and commits: no offset is committed past a record that failed before brokers have it.

use super::*;
use crate::kafka::{Kafka, NewTopic, NotQueued, OutgoingRecord, Producer, Settled, Topics};
use crate::runtime::errors::topic::Queue;
use crate::settings::{Host, Settings};

/// Brokers that take letters, and confirm them when they are told to.
#[derive(Debug, Default)]
struct Brokers {
    sent: Mutex<Vec<(usize, Vec<u8>)>>,
    /// Letters that were confirmed.
    told: Mutex<usize>,
    /// What they answer; `None`: nothing.
    answer: Mutex<Option<Result<(), KafkaErrorKind>>>,
}

#[derive(Debug, Clone)]
struct Client(Arc<Brokers>);

impl Kafka for Client {
    fn consumer(&self, _config: &Props, _subscription: &Subscription) -> Result<Box<dyn Consumer>, KafkaError> {
        unreachable!("the script is the consumer")
    }

    fn producer(&self, config: &Props) -> Result<Box<dyn Producer>, KafkaError> {
        assert_eq!(config["client.id"], "connector-dlq-producer-c-0");
        Ok(Box::new(self.clone()))
    }

    fn topics(&self, config: &Props) -> Result<Arc<dyn Topics>, KafkaError> {
        assert_eq!(config["client.id"], "connector-dlq-adminclient-c-0");
        Ok(Arc::new(self.clone()))
    }
}

#[async_trait]
impl Topics for Client {
    async fn has(&self, topic: &str) -> Result<bool, KafkaError> {
        assert_eq!(topic, "dead");
        Ok(false)
    }

    async fn make(&self, topic: &NewTopic) -> Result<bool, KafkaError> {
        assert_eq!((&*topic.name, topic.partitions, topic.replicas), ("dead", 1, 3));
        Ok(true)
    }
}

#[async_trait]
impl Producer for Client {
    fn send(&mut self, token: usize, record: OutgoingRecord<'_>) -> Result<(), NotQueued> {
        assert_eq!((record.topic, record.headers.len()), ("dead", 0));
        self.0.sent.lock().unwrap().push((token, record.value.unwrap_or_default().to_vec()));
        Ok(())
    }

    async fn settled(&mut self) -> Vec<Settled> {
        loop {
            if let Some(answer) = *self.0.answer.lock().unwrap() {
                let (sent, mut told) = (self.0.sent.lock().unwrap(), self.0.told.lock().unwrap());
                let new = sent.get(*told..).unwrap_or_default();
                *told = sent.len();
                if !new.is_empty() {
                    let outcome = || answer.map_err(|kind| KafkaError::new(kind, "not taken"));
                    return new.iter().map(|(token, _)| Settled { token: *token, outcome: outcome() }).collect();
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn trouble(&self) -> Option<String> {
        None
    }

    async fn close(&mut self) {}
}

const TOLERANT: [(&str, &str); 3] = [("errors.tolerance", "all"), ("flush.size", "1"), ("errors.deadletterqueue.topic.name", "dead")];

/// The letters of a task with these settings, to these brokers.
async fn to(brokers: &Arc<Brokers>, settings: &[(&str, &str)]) -> DeadLetters {
    let props: Props = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let worker = ["bootstrap.servers", "key.converter", "value.converter"].map(|key| (key.to_owned(), "x".to_owned())).into();
    let worker = Settings::from_props(&worker, &Host::default()).unwrap();
    let name = TaskName { connector: "c".into(), task: 0 };
    let client = Client(Arc::clone(brokers));
    let queue = Queue::open((&props, &worker), &client, &name, &Default::default(), &CancellationToken::new()).await.unwrap();
    DeadLetters::to(queue, None, name, &Budget::new(1 << 20))
}

/// A good record, a bad one, and a good one.
fn records() -> Vec<Event> {
    let batch = raw(0, 5, &[b"{}", b"no", b"{}"]);
    vec![assigned(&[0]), (NOW, Polled::Records(vec![batch]))]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_offset_past_a_bad_record_is_committed_before_brokers_have_it() {
    let folder = tempfile::tempdir().unwrap();
    let brokers = Arc::new(Brokers::default());
    let letters = to(&brokers, &TOLERANT).await;
    let script = Script { events: records().into(), letters: Mutex::new(letters), ..Script::default() };
    let (at, asked) = (Instant::now(), Arc::clone(&brokers));
    // Until half a second after the files are there, brokers say nothing.
    let files = folder.path().to_owned();
    let until = move |seen: &Seen| {
        if objects(&files).len() == 2 && at.elapsed() > Duration::from_millis(500) {
            let mut answer = asked.answer.lock().unwrap();
            if answer.is_none() {
                assert!(seen.held().values().all(|held| held.offset <= 6), "{:?}", seen.commits);
                *answer = Some(Ok(()));
            }
        }
        once_held(&[(0, 8)])(seen)
    };
    let (outcome, seen, figures) = play_on(folder.path(), &TOLERANT, script, until).await;
    outcome.unwrap();
    assert_eq!((seen.last(), figures.rejected), (offsets(&[(0, 8)]), 1));
    assert_eq!(*brokers.sent.lock().unwrap(), [(0, b"no".to_vec())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_is_not_taken_is_read_again_or_ends_the_task() {
    for (kind, says) in [(KafkaErrorKind::TooLarge, Some("Could not produce message to dead letter queue: not taken")), (KafkaErrorKind::Transient, None)] {
        let folder = tempfile::tempdir().unwrap();
        let brokers = Arc::new(Brokers { answer: Mutex::new(Some(Err(kind))), ..Brokers::default() });
        let letters = to(&brokers, &TOLERANT).await;
        let script = Script { events: records().into(), letters: Mutex::new(letters), ..Script::default() };
        // The script has the records once: that they are sought again is what is seen.
        let (outcome, seen, _) = play_on(folder.path(), &TOLERANT, script, |seen| !seen.seeks.is_empty()).await;
        match says {
            Some(says) => assert!(outcome.is_err_and(|error| error.to_string().starts_with(says))),
            None => outcome.unwrap(),
        }
        assert_eq!(seen.seeks.is_empty(), says.is_some(), "{kind:?}");
        assert!(seen.held().values().all(|held| held.offset <= 6), "{:?}", seen.commits);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_record_that_ends_the_task_is_a_letter_too_and_the_first_alone() {
    let folder = tempfile::tempdir().unwrap();
    let brokers = Arc::new(Brokers { answer: Mutex::new(Some(Ok(()))), ..Brokers::default() });
    // One that its converter refuses, and one that has no path.
    let by_field = [&BY_FIELD[..], &TOLERANT[1..]].concat();
    for (values, expected) in [([&b"no"[..], b"neither"], &b"no"[..]), ([b"17", b"18"], b"17")] {
        let events = vec![assigned(&[0]), (NOW, Polled::Records(vec![raw(0, 5, &values)]))];
        let script = Script { events: events.into(), letters: Mutex::new(to(&brokers, &TOLERANT[1..]).await), ..Script::default() };
        let (outcome, seen, figures) = play_on(folder.path(), &by_field, script, |_| false).await;
        assert!(outcome.is_err_and(|error| error.to_string().contains("offset=5")));
        assert!(seen.held().values().all(|held| held.offset <= 5) && figures.rejected == 0, "{:?}", seen.commits);
        assert_eq!(brokers.sent.lock().unwrap().last().map(|(_, value)| value.clone()).as_deref(), Some(expected));
    }
    assert_eq!(brokers.sent.lock().unwrap().len(), 2);
}
