//! Members keep what they have: upstream's `IncrementalCooperativeAssignor` (KIP-415).
//!
//! A round takes back what is deleted, what runs twice, and what one member has too much of; it gives out what nobody has. What was taken back in one round is
//! given out in the next, when its former owner has said that it ended. What a lost member had waits until a delay is over, for the member to come back: then
//! it goes to those that came with nothing, or to whom has least. While a delay runs, nothing is moved.
//!
//! Rounds that take back, one after the other, happen where members come one by one. Each of them waits longer than the one before, so that a growing cluster
//! is not all rebalance.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::cluster::Work;

/// The factor between the waits of rounds that take back one after the other, from 1 ms on.
const BACKOFF_FACTOR: i64 = 40;

/// What a round means for one member.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moves {
    /// What it gets.
    pub assigned: Work,
    /// What it must end.
    pub revoked: Work,
    /// What it has after both.
    pub owned: Work,
}

/// What a leader remembers from round to round.
#[derive(Debug)]
pub struct Incremental {
    max_delay_ms: i64,
    /// What was with somebody after the last round, or waits for somebody who was lost.
    previous: Work,
    previous_revocation: Work,
    previous_generation: i32,
    previous_members: BTreeSet<String>,
    /// Members without work that came while lost work waits.
    candidates: BTreeSet<String>,
    /// When the delay is over; `None` while there is none.
    scheduled_ms: Option<i64>,
    delay_ms: i64,
    revoked_in_previous: bool,
    successive_revocations: u32,
}

impl Incremental {
    /// For `scheduled.rebalance.max.delay.ms`; 0 = nothing waits.
    #[must_use]
    pub fn new(max_delay_ms: u32) -> Self {
        Self {
            max_delay_ms: i64::from(max_delay_ms).min(i64::from(i32::MAX)),
            previous: Work::default(),
            previous_revocation: Work::default(),
            previous_generation: -1,
            previous_members: BTreeSet::new(),
            candidates: BTreeSet::new(),
            scheduled_ms: None,
            delay_ms: 0,
            revoked_in_previous: false,
            successive_revocations: 0,
        }
    }

    /// After how many milliseconds all members join again; 0 = not by the clock.
    #[must_use]
    pub fn delay_ms(&self) -> i32 {
        i32::try_from(self.delay_ms).unwrap_or(i32::MAX)
    }

    /// One round: what the members say that they have, and what there is, in; what each of them is to do, out.
    pub fn assign(
        &mut self,
        held: &BTreeMap<String, Work>,
        configured: &Work,
        last_completed_generation: i32,
        generation: i32,
        now_ms: i64,
    ) -> BTreeMap<String, Moves> {
        if self.previous_generation != last_completed_generation {
            self.previous = Work::default(); // the members never got the last assignment
        }
        let active: Work = held.values().collect();
        let revocation = std::mem::take(&mut self.previous_revocation);
        if revocation.intersects(&active) {
            self.previous = active.clone(); // somebody did not hear of it
        }
        let deleted = [&self.previous, &active].into_iter().collect::<Work>().without(&[configured]);
        let lost = self.previous.without(&[&active, &deleted]);
        let created = configured.without(&[&self.previous, &active]);
        let must_end: Work = [&deleted, &held_twice(held)].into_iter().collect();
        let mut revoked: BTreeMap<String, Work> = held.iter().map(|(member, work)| (member.clone(), work.shared_with(&must_end))).collect();
        let mut next: BTreeMap<String, Work> = held.iter().map(|(member, work)| (member.clone(), work.without(&[&must_end]))).collect();

        let mut to_give = self.handle_lost(&lost, &mut next, now_ms);
        to_give.add(&created);
        if self.delay_ms == 0 {
            to_give.add(&self.balance(configured, held, &mut next, &mut revoked, now_ms));
        } else {
            self.revoked_in_previous = false;
        }
        give(&to_give, &mut next);

        self.previous_revocation = revoked.values().collect();
        self.previous = next.values().collect::<Work>().without(&[&self.previous_revocation]);
        self.previous.add(&lost);
        self.previous_generation = generation;
        self.previous_members = held.keys().cloned().collect();
        let moves = |(member, owned): (String, Work)| {
            let before = held.get(&member).cloned().unwrap_or_default();
            let revoked = revoked.remove(&member).unwrap_or_default();
            (member, Moves { assigned: owned.without(&[&before]), revoked, owned })
        };
        next.into_iter().map(moves).collect()
    }

    /// What is to be given out now of what nobody has any more; the rest waits, or goes to members that came with nothing.
    fn handle_lost(&mut self, lost: &Work, next: &mut BTreeMap<String, Work>, now_ms: i64) -> Work {
        if lost.is_empty() && !self.revoked_in_previous {
            self.end_delay();
            return Work::default();
        }
        let nobody_left = self.previous_members.iter().all(|member| next.contains_key(member));
        if self.scheduled_ms.is_none() && nobody_left || self.max_delay_ms == 0 {
            return lost.clone(); // those who should have it did not hear of it; or nobody is waited for
        }
        if self.scheduled_ms.is_some_and(|scheduled| now_ms >= scheduled) {
            let candidates: Vec<String> = self.candidates.iter().filter(|member| next.contains_key(*member)).cloned().collect();
            self.end_delay();
            self.revoked_in_previous = false;
            if candidates.is_empty() {
                return lost.clone();
            }
            deal(lost, &candidates, next);
            return Work::default();
        }
        self.candidates.extend(next.iter().filter(|(_, work)| work.is_empty()).map(|(member, _)| member.clone()));
        self.delay_ms = self.scheduled_ms.map_or(self.max_delay_ms, |scheduled| (scheduled - now_ms).min(self.max_delay_ms));
        self.scheduled_ms = Some(now_ms.saturating_add(self.delay_ms));
        Work::default()
    }

    fn end_delay(&mut self) {
        self.candidates.clear();
        self.scheduled_ms = None;
        self.delay_ms = 0;
    }

    /// Takes back what is too much, unless the last round did so: then it waits first. Returns what was too much and is with nobody yet.
    fn balance(
        &mut self,
        configured: &Work,
        held: &BTreeMap<String, Work>,
        next: &mut BTreeMap<String, Work>,
        revoked: &mut BTreeMap<String, Work>,
        now_ms: i64,
    ) -> Work {
        let (mut given_back, mut to_revoke) = (Work::default(), Vec::new());
        for (member, work) in too_much(configured, held, next) {
            let running = held.get(&member).map(|held| held.shared_with(&work)).unwrap_or_default();
            let dealt = work.without(&[&running]);
            next.entry(member.clone()).or_default().remove(&dealt);
            given_back.add(&dealt);
            if !running.is_empty() {
                to_revoke.push((member, running));
            }
        }
        if to_revoke.is_empty() {
            self.revoked_in_previous = false;
            self.successive_revocations = 0;
            return given_back;
        }
        if self.revoked_in_previous {
            self.successive_revocations = self.successive_revocations.saturating_add(1);
            self.delay_ms = backoff_ms(self.successive_revocations, self.max_delay_ms);
            if self.delay_ms != 0 {
                self.scheduled_ms = Some(now_ms.saturating_add(self.delay_ms));
                return given_back;
            }
        }
        self.revoked_in_previous = true;
        for (member, work) in to_revoke {
            next.entry(member.clone()).or_default().remove(&work);
            revoked.entry(member).or_default().add(&work);
        }
        given_back
    }
}

fn backoff_ms(attempts: u32, max_delay_ms: i64) -> i64 {
    if max_delay_ms <= 1 { max_delay_ms } else { BACKOFF_FACTOR.saturating_pow(attempts).min(max_delay_ms) }
}

/// What more than one member has. All of them give it back, so that nobody has to guess who is right.
fn held_twice(held: &BTreeMap<String, Work>) -> Work {
    let (mut once, mut twice) = (Work::default(), Work::default());
    for work in held.values() {
        twice.add(&work.shared_with(&once));
        once.add(work);
    }
    twice
}

/// What members have beyond their share, connectors and tasks each by themselves.
fn too_much(configured: &Work, held: &BTreeMap<String, Work>, next: &BTreeMap<String, Work>) -> BTreeMap<String, Work> {
    let mut found: BTreeMap<String, Work> = BTreeMap::new();
    for (member, connectors) in beyond_share(configured.connectors.len(), held, next, |work| &work.connectors) {
        found.entry(member.clone()).or_default().connectors = connectors;
    }
    for (member, tasks) in beyond_share(configured.tasks.len(), held, next, |work| &work.tasks) {
        found.entry(member.clone()).or_default().tasks = tasks;
    }
    found
}

/// As many members as there are extra ones may have one more than the others: those that have more anyway. What does not run yet goes before what runs.
fn beyond_share<'a, T: Clone + Ord>(
    total: usize,
    held: &BTreeMap<String, Work>,
    next: &'a BTreeMap<String, Work>,
    of: impl Fn(&Work) -> &BTreeSet<T>,
) -> Vec<(&'a String, BTreeSet<T>)> {
    let members = next.len().max(1);
    let (share, mut extra) = (total / members, total % members);
    let mut found = Vec::new();
    for (member, work) in next {
        let has = of(work);
        let mut keeps = share;
        if has.len() > share && extra > 0 {
            extra -= 1;
            keeps += 1;
        }
        if has.len() > keeps {
            let runs = |item: &&T| held.get(member).is_some_and(|held| of(held).contains(*item));
            let dealt = has.iter().filter(|item| !runs(item));
            found.push((member, dealt.chain(has.iter().filter(runs)).take(has.len() - keeps).cloned().collect()));
        }
    }
    found
}

/// Gives each to whom has least, the first by name among equals.
fn give(work: &Work, next: &mut BTreeMap<String, Work>) {
    for connector in &work.connectors {
        if let Some((_, least)) = next.iter_mut().min_by_key(|(_, work)| work.connectors.len()) {
            least.connectors.insert(Arc::clone(connector));
        }
    }
    for task in &work.tasks {
        if let Some((_, least)) = next.iter_mut().min_by_key(|(_, work)| work.tasks.len()) {
            least.tasks.insert(task.clone());
        }
    }
}

/// Gives to these members in a circle, whatever they have.
fn deal(work: &Work, members: &[String], next: &mut BTreeMap<String, Work>) {
    for (connector, member) in work.connectors.iter().zip(members.iter().cycle()) {
        next.entry(member.clone()).or_default().connectors.insert(Arc::clone(connector));
    }
    for (task, member) in work.tasks.iter().zip(members.iter().cycle()) {
        next.entry(member.clone()).or_default().tasks.insert(task.clone());
    }
}
