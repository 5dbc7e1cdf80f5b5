//! What is seen of a job from outside while it runs: the committed offsets, over time.
//!
//! The thread asks the group's coordinator for the committed offsets without being a member. From what it saw follow how long a job took to go on
//! after a fault, and whether an offset ever went back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

/// Time between two looks.
const PACE: Duration = Duration::from_millis(100);

/// Committed offset of each partition that has one.
pub(crate) type Committed = BTreeMap<i32, i64>;

/// Committed offsets, each time they were seen to have changed.
#[derive(Debug, Default, Clone)]
pub(crate) struct Timeline(Vec<(Instant, Committed)>);

/// A watcher at work.
#[derive(Debug)]
pub(crate) struct Watch {
    seen: Arc<Mutex<Timeline>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to watch the offsets of that group.
    #[expect(clippy::disallowed_methods, reason = "a harness without a runtime of its own; the thread ends with the watch")]
    pub(crate) fn start(bootstrap: &str, group: &str, topic: &str, partitions: i32) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", bootstrap).set("group.id", group);
        let consumer: BaseConsumer = config.create().expect("a client");
        let (seen, stop) = (Arc::<Mutex<Timeline>>::default(), Arc::new(AtomicBool::new(false)));
        let (timeline, is_over, topic) = (Arc::clone(&seen), Arc::clone(&stop), topic.to_owned());
        let thread = std::thread::spawn(move || {
            while !is_over.load(Ordering::Relaxed) {
                if let Some(committed) = committed(&consumer, &topic, partitions) {
                    timeline.lock().unwrap_or_else(PoisonError::into_inner).add(Instant::now(), committed);
                }
                std::thread::sleep(PACE);
            }
        });
        Self { seen, stop, thread: Some(thread) }
    }

    /// What was seen last.
    pub(crate) fn committed(&self) -> Committed {
        self.timeline().0.last().map(|(_, committed)| committed.clone()).unwrap_or_default()
    }

    /// Everything that was seen until now.
    pub(crate) fn timeline(&self) -> Timeline {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// `None` when nobody answers.
fn committed(consumer: &BaseConsumer, topic: &str, partitions: i32) -> Option<Committed> {
    let mut asked = TopicPartitionList::new();
    for partition in 0..partitions {
        asked.add_partition(topic, partition);
    }
    let answered = consumer.committed_offsets(asked, Duration::from_secs(5)).ok()?;
    let known = answered.elements().into_iter().filter(|element| element.error().is_ok());
    Some(known.filter_map(|element| if let Offset::Offset(offset) = element.offset() { Some((element.partition(), offset)) } else { None }).collect())
}

impl Timeline {
    fn add(&mut self, at: Instant, committed: Committed) {
        if self.0.last().is_none_or(|(_, last)| *last != committed) {
            self.0.push((at, committed));
        }
    }

    /// How often a committed offset was lower than before, or gone.
    pub(crate) fn backward(&self) -> usize {
        let fell =
            |before: &Committed, after: &Committed| before.iter().filter(|(partition, offset)| after.get(partition).is_none_or(|now| now < offset)).count();
        self.0.windows(2).map(|pair| fell(&pair[0].1, &pair[1].1)).sum()
    }

    /// The time from `since` to when every one of `partitions` had a higher committed offset than it had at `since`; `None` when that was not seen
    /// before `until`.
    pub(crate) fn recovery(&self, since: Instant, until: Instant, partitions: i32) -> Option<Duration> {
        let before = self.0.iter().rev().find(|(at, _)| *at <= since).map(|(_, committed)| committed.clone()).unwrap_or_default();
        let offset = |committed: &Committed, partition| committed.get(&partition).copied().unwrap_or(0);
        let is_further = |committed: &Committed| (0..partitions).all(|partition| offset(committed, partition) > offset(&before, partition));
        let (at, _) = self.0.iter().find(|(at, committed)| *at > since && is_further(committed))?;
        (*at < until).then(|| at.duration_since(since))
    }
}

/// The watch's own rules: it must not be wrong itself.
pub(crate) fn the_timeline_sees_what_goes_back_and_how_long_it_took() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let mut timeline = Timeline::default();
    for (ms, first, second) in [(0, 10, 10), (100, 20, 10), (150, 20, 10), (200, 20, 15), (300, 15, 30)] {
        timeline.add(at(ms), Committed::from([(0, first), (1, second)]));
    }
    assert_eq!(timeline.backward(), 1, "partition 0 fell from 20 to 15");
    let far = at(10_000);
    assert_eq!(timeline.recovery(at(50), far, 2), Some(Duration::from_millis(150)), "when both had gone on");
    assert_eq!(timeline.recovery(at(50), at(150), 2), None, "not before another fault");
    assert_eq!(timeline.recovery(at(250), far, 2), None, "partition 0 never got beyond 20");
    timeline.add(at(400), Committed::from([(1, 30)]));
    assert_eq!(timeline.backward(), 2, "an offset that is gone went back");
}
