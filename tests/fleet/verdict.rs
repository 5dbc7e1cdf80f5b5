//! What came of it: whether each task ran once at a time, and how soon those of a lost worker ran elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use crate::cast::Cast;
use crate::crew::{Event, Fault};
use crate::lives::Lives;
use crate::seen::Said;

/// How much later than the session timeout the work of a lost worker may go on.
pub(crate) const BEYOND_SESSION_MS: i64 = 2_000;

/// After this time without an event no rebalance is under way.
const CALM_MS: i64 = 3_000;

/// How long a process that was stopped beyond its session may go on with its tasks when it wakes: `heartbeat.interval.ms`, in which upstream's workers hear
/// of it, and `task.shutdown.graceful.timeout.ms`.
pub(crate) const ZOMBIE_MS: i64 = 1_000 + 5_000;

/// Times that were measured, and their bound.
#[derive(Debug)]
pub(crate) struct Times {
    /// What was measured.
    pub(crate) what: &'static str,
    /// In ms.
    pub(crate) measured: Vec<i64>,
    /// No time may be longer.
    pub(crate) bound: i64,
}

/// Everything that was said and done.
pub(crate) struct Story<'a> {
    /// What each worker said.
    pub(crate) said: Vec<&'a Said>,
    /// Who ran what.
    pub(crate) lives: Lives,
    /// What happened.
    pub(crate) events: &'a [Event],
    /// From when on no worker was lost, and everything had settled.
    pub(crate) began: i64,
    /// Until when.
    pub(crate) ended: i64,
    /// After this a silent member is none any more, in ms.
    pub(crate) session: i64,
    /// All tasks.
    pub(crate) tasks: BTreeSet<&'a str>,
    /// Whether seconds count: not without optimisation, beside other tests.
    pub(crate) is_strict: bool,
}

impl Story<'_> {
    fn bound(&self) -> i64 {
        self.session + BEYOND_SESSION_MS
    }

    /// The time from an event to the next one.
    fn quiet_after(&self, index: usize) -> i64 {
        self.events.get(index + 1).map_or(self.ended, |next| next.at) - self.events[index].at
    }

    /// Whether nothing had happened just before an event. A leader that is stopped between being told that it leads and saying who gets what is found out about after a
    /// session, and what it did then after another one: as it is in upstream's groups.
    fn is_in_the_calm(&self, index: usize) -> bool {
        !self.is_strict || index == 0 || self.events[index].at - self.events[index - 1].at > CALM_MS
    }

    /// Tasks that two workers ran at a time, but for those of woken processes; how long each of these had company.
    pub(crate) fn zombies(&self, troubles: &mut Vec<String>) -> Times {
        let (zombies, others): (Vec<_>, Vec<_>) = self.lives.twice().into_iter().partition(|twice| twice.is_zombie);
        let text = |twice: &crate::lives::Twice| format!("{} ran twice for {} ms, from {}", twice.task, twice.span.1 - twice.span.0, twice.span.0 - self.began);
        troubles.extend(others.iter().map(text));
        let measured = zombies.iter().map(|twice| twice.span.1 - twice.span.0).collect();
        Times { what: "a woken process beside its successor", measured, bound: ZOMBIE_MS }
    }

    /// A while after each event without another one, every task ran, on one worker; where seconds do not count, on one at most. How often that was looked at.
    pub(crate) fn look_at_quiet_moments(&self, troubles: &mut Vec<String>) -> usize {
        let mut looked = 0;
        for (index, event) in self.events.iter().enumerate().filter(|(_, event)| event.at >= self.began) {
            if self.quiet_after(index) <= self.bound() || !self.is_in_the_calm(index) {
                continue;
            }
            looked += 1;
            for task in &self.tasks {
                let who = self.lives.who(task, event.at + self.bound());
                if who.len() > 1 || (who.is_empty() && self.is_strict) {
                    troubles.push(format!("{task} runs on {who:?}, {} ms after {:?} of {}", self.bound(), event.lost, event.at - self.began));
                }
            }
        }
        looked
    }

    /// For each worker that was lost that way, with nothing else happening: the time until the last of its tasks started elsewhere, until the last of its sources made
    /// records there, and until the last of the partitions that sinks had there was read there.
    pub(crate) fn recoveries(&self, cast: &Cast, fault: Fault) -> [Times; 3] {
        let mut times = match fault {
            Fault::Kill => {
                ["killed: its tasks start elsewhere", "killed: its sources make records elsewhere", "killed: its sinks' partitions are read elsewhere"]
            }
            _ => ["stopped: its tasks start elsewhere", "stopped: its sources make records elsewhere", "stopped: its sinks' partitions are read elsewhere"],
        }
        .map(|what| Times { what, measured: Vec::new(), bound: self.bound() });
        for (index, event) in self.events.iter().enumerate().filter(|(_, event)| event.at >= self.began) {
            let Some((worker, of)) = event.lost.filter(|(_, of)| *of == fault) else { continue };
            debug_assert_eq!(of, fault);
            if self.quiet_after(index) <= self.bound() || !self.is_in_the_calm(index) {
                continue;
            }
            let never = i64::MAX;
            let tasks: Vec<&String> = self.lives.lost_with(worker, event.at).collect();
            let started = tasks.iter().map(|task| self.lives.restarted_after(task, worker, event.at).unwrap_or(never));
            times[0].measured.extend(started.max());
            let sources = tasks.iter().filter(|task| Cast::is_verifiable(task));
            times[1].measured.extend(sources.map(|task| self.first_elsewhere(worker, event.at, |said| said.made.get(*task), |at| *at)).max());
            let partitions = cast.witnesses().flat_map(|(name, count)| (0..count).map(move |partition| (name.to_owned(), i64::from(partition))));
            let owned = partitions.filter(|key| self.owner(key, event.at) == Some(worker));
            times[2].measured.extend(owned.map(|key| self.first_elsewhere(worker, event.at, |said| said.given.get(&key), |(at, _)| *at)).max());
        }
        times
    }

    /// How long after that moment one of the other workers did something.
    fn first_elsewhere<'s, T: 's>(&'s self, worker: usize, at: i64, did: impl Fn(&'s Said) -> Option<&'s Vec<T>>, time: impl Fn(&T) -> i64) -> i64 {
        let others = self.said.iter().enumerate().filter(|(number, _)| *number != worker);
        let after = others.filter_map(|(_, said)| did(said)).flatten().map(time).filter(|done| *done > at);
        after.min().map_or(i64::MAX, |done| done - at)
    }

    /// The worker that was given a partition's records last before that moment.
    fn owner(&self, key: &(String, i64), at: i64) -> Option<usize> {
        let last = |said: &Said| said.given.get(key)?.iter().map(|(given, _)| *given).filter(|given| *given <= at).max();
        let all: BTreeMap<i64, usize> = self.said.iter().enumerate().filter_map(|(number, said)| Some((last(said)?, number))).collect();
        all.into_values().next_back()
    }
}

impl Times {
    /// As a row of the table.
    pub(crate) fn row(&self) -> String {
        let mut sorted = self.measured.clone();
        sorted.sort_unstable();
        let seconds = |ms: Option<&i64>| match ms {
            None => "–".to_owned(),
            Some(&i64::MAX) => "never".to_owned(),
            Some(ms) => format!("{:.2} s", f64::from(i32::try_from(*ms).unwrap_or(i32::MAX)) / 1000.0),
        };
        let [median, longest, bound] = [sorted.get(sorted.len() / 2), sorted.last(), Some(&self.bound)].map(seconds);
        format!("| {} | {} | {median} | {longest} | {bound} |", self.what, sorted.len())
    }

    /// No time is beyond the bound.
    pub(crate) fn is_good(&self) -> bool {
        self.measured.iter().all(|ms| *ms <= self.bound)
    }
}
