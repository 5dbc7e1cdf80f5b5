//! The circuit breaker: a topic partition with too large a share of bad records is not read on until somebody has looked at it.
//!
//! Ours; off unless `lakehead.errors.breaker.share` is set. It stops a wrong producer or a wrong converter from emptying a topic into the dead letter queue. Pure: it is
//! told what became of each batch, and the time; the task carries out what it says.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::Failure;
use crate::batch::{Offsets, TopicPartition};
use crate::connect::Props;
use crate::connect::config::Values;
use crate::runtime::sink_keys::SINK_KEYS;

/// Reasons that are told of a partition that is not read on.
const REASONS: usize = 3;

/// When a partition has too many bad records.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// `lakehead.errors.breaker.share`.
    share: f64,
    /// `lakehead.errors.breaker.records`.
    records: u64,
    /// `lakehead.errors.breaker.window.ms`.
    window: Duration,
    /// `lakehead.errors.breaker.resume.ms`.
    resume_after: Option<Duration>,
}

impl Rule {
    /// Reads it from a valid configuration; `None` where it is off.
    #[must_use]
    pub fn from_props(props: &Props) -> Option<Self> {
        let values = Values { tables: &[SINK_KEYS], props };
        let number = |key: &str| values.long(key).and_then(|number| u64::try_from(number).ok());
        Some(Self {
            share: share(values.non_blank("lakehead.errors.breaker.share")?).ok()?,
            records: number("lakehead.errors.breaker.records")?,
            window: Duration::from_millis(number("lakehead.errors.breaker.window.ms")?),
            resume_after: number("lakehead.errors.breaker.resume.ms").map(Duration::from_millis),
        })
    }
}

/// A share of records: more than 0, at most 1.
pub(in crate::runtime) fn share(text: &str) -> Result<f64, String> {
    let share = text.parse::<f64>().ok().filter(|share| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| "not a share: write a number above 0 and up to 1, as 0.5, or leave it empty".to_owned())
}

/// Bad records of a batch: how many, and why the last of them failed.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    count: u64,
    reasons: VecDeque<String>,
}

impl Tally {
    /// That of these records, by their offsets.
    #[must_use]
    pub fn of(failed: &[(i64, Failure)]) -> Self {
        let mut tally = Self::default();
        tally.add(failed);
        tally
    }

    /// More records failed.
    pub fn add(&mut self, failed: &[(i64, Failure)]) {
        self.count += u64::try_from(failed.len()).unwrap_or(u64::MAX);
        let last = failed.get(failed.len().saturating_sub(REASONS)..).unwrap_or(failed);
        self.append(last.iter().map(|(offset, failure)| format!("{} at offset {offset}: {}", failure.stage, failure.told())));
    }

    fn append(&mut self, reasons: impl IntoIterator<Item = String>) {
        self.reasons.extend(reasons);
        self.reasons.drain(..self.reasons.len().saturating_sub(REASONS));
    }
}

/// The last batches of a partition.
#[derive(Debug, Default)]
struct Window {
    /// When, records, bad ones.
    batches: VecDeque<(Instant, u64, u64)>,
    /// The last reasons, the newest last.
    last: Tally,
}

impl Window {
    fn add(&mut self, rule: &Rule, records: u64, bad: &Tally, now: Instant) -> (u64, u64) {
        self.batches.push_back((now, records, bad.count));
        self.last.append(bad.reasons.iter().cloned());
        let sum = |batches: &VecDeque<(Instant, u64, u64)>| batches.iter().fold((0, 0), |sum, (_, records, bad)| (sum.0 + records, sum.1 + bad));
        while let Some((at, records, _)) = self.batches.front() {
            let is_old = now.saturating_duration_since(*at) > rule.window;
            if !(is_old || sum(&self.batches).0 - records >= rule.records) {
                break;
            }
            self.batches.pop_front();
        }
        sum(&self.batches)
    }
}

/// A partition that is not read on.
#[derive(Debug)]
struct Held {
    /// Where it goes on.
    at: i64,
    since: Instant,
    told: String,
}

/// What is known of a task's partitions.
#[derive(Debug, Default)]
pub struct Breaker {
    rule: Option<Rule>,
    windows: BTreeMap<TopicPartition, Window>,
    held: BTreeMap<TopicPartition, Held>,
}

impl Breaker {
    /// One that heeds this rule.
    #[must_use]
    pub fn new(rule: Option<Rule>) -> Self {
        Self { rule, ..Self::default() }
    }

    /// A batch of a partition was taken up to an offset: so many records, and these failed of them. Says why the partition is not to be read on, when that is so from now on.
    pub fn note(&mut self, from: &TopicPartition, end: i64, records: u64, bad: &Tally, now: Instant) -> Option<&str> {
        let rule = self.rule?;
        if records == 0 || self.held.contains_key(from) {
            return None;
        }
        let window = self.windows.entry(from.clone()).or_default();
        let (records, bad) = window.add(&rule, records, bad, now);
        // A window has fewer records than an f64 tells apart.
        #[expect(clippy::cast_precision_loss, reason = "a share is not exact")]
        let share = bad as f64 / records.max(1) as f64;
        if records < rule.records || share < rule.share {
            return None;
        }
        let reasons = self.windows.remove(from).unwrap_or_default().last.reasons;
        let reasons = reasons.into_iter().map(|reason| format!("\n  {reason}")).collect::<String>();
        let again = match rule.resume_after {
            Some(after) => format!("it goes on by itself after {} s, or with", after.as_secs()),
            None => "it goes on with".to_owned(),
        };
        let told = format!(
            "{from} is not read on from offset {end}: {bad} of its last {records} records were bad (lakehead.errors.breaker.share={}); {again} PUT \
             /connectors/<name>/resume, or a restart; the last reasons:{reasons}",
            rule.share
        );
        Some(&self.held.entry(from.clone()).or_insert(Held { at: end, since: now, told }).told)
    }

    /// True for a partition that is not read on.
    #[must_use]
    pub fn holds(&self, partition: &TopicPartition) -> bool {
        self.held.contains_key(partition)
    }

    /// What is not read on, and why; `None` when everything is.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        (!self.held.is_empty()).then(|| self.held.values().map(|held| held.told.as_str()).collect::<Vec<_>>().join("\n"))
    }

    /// Somebody wants everything to be read on: from these offsets.
    pub fn resume(&mut self) -> Offsets {
        std::mem::take(&mut self.held).into_iter().map(|(tp, held)| (tp, held.at)).collect()
    }

    /// What has waited long enough, and from where it goes on.
    pub fn due(&mut self, now: Instant) -> Offsets {
        let Some(after) = self.rule.and_then(|rule| rule.resume_after) else { return Offsets::new() };
        let due = self.held.extract_if(.., |_, held| now.saturating_duration_since(held.since) >= after);
        due.map(|(tp, held)| (tp, held.at)).collect()
    }

    /// These partitions go away, or are read again from elsewhere.
    pub fn forget(&mut self, partitions: &[TopicPartition]) {
        self.windows.retain(|tp, _| !partitions.contains(tp));
        self.held.retain(|tp, _| !partitions.contains(tp));
    }
}

#[cfg(test)]
mod tests {
    use super::super::letter::tests::failure;
    use super::*;

    fn rule(given: &[(&str, &str)]) -> Option<Rule> {
        Rule::from_props(&given.iter().map(|(key, value)| (format!("lakehead.errors.breaker.{key}"), (*value).to_owned())).collect())
    }

    fn tally(bad: usize) -> Tally {
        Tally::of(&vec![(7, failure("poison")); bad])
    }

    fn tp(partition: i32) -> TopicPartition {
        TopicPartition::new("t", partition)
    }

    #[test]
    fn it_is_off_unless_a_share_is_given() {
        assert_eq!(rule(&[]), None);
        assert_eq!(rule(&[("share", " "), ("records", "10")]), None);
        let defaults = Rule { share: 0.5, records: 1000, window: Duration::from_secs(60), resume_after: None };
        assert_eq!(rule(&[("share", "0.5")]), Some(defaults));
        assert_eq!(rule(&[("share", "1"), ("resume.ms", "5")]), Some(Rule { share: 1.0, resume_after: Some(Duration::from_millis(5)), ..defaults }));
        for text in ["0", "-0.1", "1.01", "half", "NaN", "50%"] {
            assert!(share(text).is_err(), "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_partition_is_held_when_its_share_is_too_large_and_no_other_is() {
        // (seconds since the last batch, records, bad ones, whether the partition is held then)
        type Case = (&'static str, &'static [(u64, u64, usize, bool)]);
        let cases: [Case; 6] = [
            ("fewer than the window never", &[(0, 99, 99, false)]),
            ("a whole window", &[(0, 100, 50, true)]),
            ("just below the share", &[(0, 100, 49, false), (0, 100, 49, false)]),
            ("the last records count", &[(0, 1000, 0, false), (0, 100, 50, true)]),
            ("over batches", &[(0, 60, 20, false), (0, 60, 40, true)]),
            ("what is old does not", &[(0, 60, 60, false), (11, 60, 60, false), (1, 60, 60, true)]),
        ];
        for (name, batches) in cases {
            let mut breaker = Breaker::new(rule(&[("share", "0.5"), ("records", "100"), ("window.ms", "10000")]));
            for (end, (seconds, records, bad, expected)) in (1..).zip(batches) {
                tokio::time::advance(Duration::from_secs(*seconds)).await;
                let told = breaker.note(&tp(0), end, *records, &tally(*bad), Instant::now()).map(str::to_owned);
                assert_eq!((told.is_some(), breaker.holds(&tp(0)), breaker.holds(&tp(1))), (*expected, *expected, false), "{name}");
                assert!(told.is_none_or(|told| told.contains("t-0") && told.contains("VALUE_CONVERTER at offset 7: value: poison")), "{name}");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_held_goes_on_where_it_stood() {
        let held = |more: &[(&str, &str)]| {
            let mut breaker = Breaker::new(rule(&[&[("share", "0.1"), ("records", "1")], more].concat()));
            for (partition, end) in [(0, 10), (1, 20)] {
                breaker.note(&tp(partition), end, 1, &tally(1), Instant::now()).unwrap();
            }
            breaker
        };
        let all = Offsets::from([(tp(0), 10), (tp(1), 20)]);
        let mut breaker = held(&[]);
        tokio::time::advance(Duration::from_secs(1 << 20)).await;
        assert_eq!(breaker.due(Instant::now()), Offsets::new(), "never by itself");
        assert_eq!(breaker.resume(), all);
        assert_eq!((breaker.trouble(), breaker.resume()), (None, Offsets::new()));
        let mut breaker = held(&[("resume.ms", "5000")]);
        tokio::time::advance(Duration::from_millis(4999)).await;
        assert_eq!(breaker.due(Instant::now()), Offsets::new());
        breaker.forget(&[tp(1)]);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(breaker.due(Instant::now()), Offsets::from([(tp(0), 10)]));
    }
}
