//! A Kafka cluster in memory: logs, and the coordinator of one consumer group.
//!
//! The coordinator does what Kafka's does, also where that is less than one would wish: it fences a commit by member and generation, and does not ask who owns
//! the partition. Everything here is synchronous; who waits, and for how long, is in [`super::member`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fastrand::Rng;
use lakehead::batch::{Commits, Committed, TopicPartition};
use lakehead::kafka::KafkaErrorKind;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::oracle::Oracle;
use super::trace::{Rarity, Trace};

/// How long the coordinator waits for others when a group begins.
const FIRST_DELAY: Duration = Duration::from_secs(1);
/// How often the coordinator looks at its members.
const TURN: Duration = Duration::from_millis(250);
/// How long a member that runs may take to give up partitions, store outages or not.
const MOST_PATIENCE: Duration = Duration::from_secs(45);

/// How the group is set up.
#[derive(Debug, Clone)]
pub(crate) struct GroupSettings {
    pub(crate) session_timeout: Duration,
    pub(crate) rebalance_timeout: Duration,
    pub(crate) heartbeat: Duration,
    /// Members keep what they have during a rebalance.
    pub(crate) is_cooperative: bool,
    /// Records of one batch, at most.
    pub(crate) most_rows: usize,
    /// `offset.metadata.max.bytes`.
    pub(crate) metadata_bytes: usize,
    /// Share of requests to the coordinator that are lost, or their answers.
    pub(crate) lost: f64,
}

/// One record.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) value: Option<Vec<u8>>,
}

/// What a member is to the coordinator: a number that is given once.
pub(crate) type MemberId = u64;

/// A member and the generation that it knows: what its requests carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Membership {
    pub(crate) member: MemberId,
    pub(crate) generation: u32,
}

/// The answer to a heartbeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Beat {
    Fine,
    Rebalance,
    Unknown,
}

/// What has become of a member's joining.
#[derive(Debug)]
pub(crate) enum Joined {
    /// The others have not joined yet.
    Wait,
    /// The generation has ended before the member heard of it.
    Again,
    /// The generation, and what is assigned in it.
    Decided(u32, BTreeSet<TopicPartition>),
    /// It is no member.
    Unknown,
}

#[derive(Debug)]
struct Member {
    name: String,
    seen: Instant,
    /// Since when it has been heard of without a gap.
    runs_since: Instant,
    /// Has joined the generation that is being made.
    is_joined: bool,
    /// What it has said that it owns, at its last join.
    owns: BTreeSet<TopicPartition>,
    assigned: BTreeSet<TopicPartition>,
}

/// The cluster's state.
pub(crate) struct State {
    pub(crate) rng: Rng,
    logs: BTreeMap<TopicPartition, Vec<Record>>,
    committed: Commits,
    generation: u32,
    /// Since when a generation is being made.
    preparing: Option<Instant>,
    members: BTreeMap<MemberId, Member>,
    next_member: MemberId,
    down_until: Instant,
    is_calm: bool,
    /// In which order partitions are dealt out.
    order: Vec<TopicPartition>,
}

/// The cluster; clones are the same one.
#[derive(Clone)]
pub(crate) struct Broker(Arc<Shared>);

struct Shared {
    settings: GroupSettings,
    oracle: Oracle,
    trace: Trace,
    state: Mutex<State>,
    changed: Notify,
}

impl fmt::Debug for Broker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the simulated cluster")
    }
}

impl Broker {
    /// A cluster with these empty partitions.
    pub(crate) fn new(partitions: &[TopicPartition], settings: GroupSettings, rng: Rng, oracle: Oracle, trace: Trace) -> Self {
        let state = State {
            rng,
            logs: partitions.iter().map(|tp| (tp.clone(), Vec::new())).collect(),
            committed: Commits::new(),
            generation: 0,
            preparing: None,
            members: BTreeMap::new(),
            next_member: 0,
            down_until: Instant::now(),
            is_calm: false,
            order: partitions.to_vec(),
        };
        Self(Arc::new(Shared { settings, oracle, trace, state: Mutex::new(state), changed: Notify::new() }))
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn settings(&self) -> &GroupSettings {
        &self.0.settings
    }

    pub(crate) fn trace(&self) -> &Trace {
        &self.0.trace
    }

    /// Rung when there is something new: records, a generation.
    pub(crate) fn changed(&self) -> &Notify {
        &self.0.changed
    }

    /// A record at the end of a log, after a gap of so many offsets.
    pub(crate) fn append(&self, to: &TopicPartition, gap: i64, timestamp: i64, value: impl FnOnce(i64) -> Option<Vec<u8>>) -> i64 {
        let mut state = self.state();
        let log = state.logs.entry(to.clone()).or_default();
        let offset = log.last().map_or(0, |record| record.offset + 1) + gap;
        log.push(Record { offset, timestamp, value: value(offset) });
        drop(state);
        self.0.changed.notify_waiters();
        offset
    }

    /// The coordinator answers nobody for so long.
    pub(crate) fn go_down(&self, lasts: Duration) {
        let mut state = self.state();
        state.down_until = Instant::now() + lasts;
        // One that takes over gives its members a whole session.
        let until = state.down_until;
        state.members.values_mut().for_each(|member| member.seen = until);
    }

    /// From now on nothing fails.
    pub(crate) fn calm(&self) {
        let mut state = self.state();
        (state.is_calm, state.down_until) = (true, Instant::now());
        let now = Instant::now();
        state.members.values_mut().for_each(|member| member.seen = member.seen.min(now));
    }

    /// A rebalance for no reason that the members know.
    pub(crate) fn rebalance(&self, why: impl fmt::Display) {
        let mut state = self.state();
        state.shuffle();
        state.prepare(&self.0.trace, why);
    }

    /// What the coordinator does by itself, for as long as the world turns.
    pub(crate) async fn coordinate(self) {
        loop {
            tokio::time::sleep(TURN).await;
            let mut state = self.state();
            if state.is_down() {
                continue;
            }
            state.expire(&self.0.settings, &self.0.trace);
            if state.complete(&self.0.settings, &self.0.trace, &self.0.oracle) {
                drop(state);
                self.0.changed.notify_waiters();
            }
        }
    }

    /// A commit arrives, with what its sender knew of the group when it was sent.
    pub(crate) fn commit(&self, by: Membership, commits: &Commits) -> Result<(), KafkaErrorKind> {
        let mut state = self.state();
        let name = match state.members.get(&by.member) {
            Some(member) if by.generation == state.generation => member.name.clone(),
            _ => {
                self.0.trace.reached(Rarity::Fenced);
                self.0.trace.note("coordinator", format_args!("commit of member {} in generation {} is refused", by.member, by.generation));
                return Err(KafkaErrorKind::Fenced);
            }
        };
        let mut outcome = Ok(());
        for (tp, commit) in commits {
            let Committed { offset, metadata } = commit;
            if metadata.len() > self.0.settings.metadata_bytes {
                self.0.trace.reached(Rarity::TooLong);
                self.0.trace.note("coordinator", format_args!("{tp} at {offset}: {name}'s text of {} bytes is too long", metadata.len()));
                outcome = Err(KafkaErrorKind::TooLarge);
                continue;
            }
            self.0.trace.note("coordinator", format_args!("{tp} by {name} at {}", explained(commit)));
            state.committed.insert(tp.clone(), commit.clone());
            self.0.oracle.committed(&name, tp, *offset);
        }
        outcome
    }
}

/// An offset with its text in words.
pub(crate) fn explained(commit: &Committed) -> String {
    match lakehead::commit::Intent::parse(&commit.metadata, commit.offset) {
        Ok(intent) => {
            let lane = |(lane, of): (&lakehead::commit::Lane, &lakehead::commit::LaneIntent)| {
                let files: Vec<String> = of.files.iter().map(ToString::to_string).collect();
                format!("{lane:?}: ahead {:?}, {}", of.ahead, files.join(" "))
            };
            let lanes: Vec<String> = intent.lanes.iter().map(lane).collect();
            format!("{}, {} bytes: [{}; clock {:?}]", commit.offset, commit.metadata.len(), lanes.join("; "), intent.clock)
        }
        Err(_) if commit.metadata.is_empty() => commit.offset.to_string(),
        Err(foreign) => format!("{} [{foreign}]", commit.offset),
    }
}

impl State {
    pub(crate) fn is_down(&self) -> bool {
        self.down_until > Instant::now()
    }

    pub(crate) fn down_until(&self) -> Instant {
        self.down_until
    }

    /// True with that probability, while things fail.
    pub(crate) fn happens(&mut self, share: f64) -> bool {
        self.rng.f64() < share && !self.is_calm
    }

    /// Records of a partition from an offset on.
    pub(crate) fn records(&self, from: &TopicPartition, offset: i64) -> &[Record] {
        let log = self.logs.get(from).map_or(&[][..], Vec::as_slice);
        log.get(log.partition_point(|record| record.offset < offset)..).unwrap_or_default()
    }

    pub(crate) fn end(&self, of: &TopicPartition) -> i64 {
        self.logs.get(of).and_then(|log| log.last()).map_or(0, |record| record.offset + 1)
    }

    pub(crate) fn committed(&self, of: &TopicPartition) -> Option<&Committed> {
        self.committed.get(of)
    }

    fn prepare(&mut self, trace: &Trace, why: impl fmt::Display) {
        if self.preparing.is_none() && !self.members.is_empty() {
            trace.note("coordinator", format_args!("generation {} ends: {why}", self.generation));
            self.preparing = Some(Instant::now());
            self.members.values_mut().for_each(|member| member.is_joined = false);
        }
    }

    /// Deals the partitions out another way from now on.
    fn shuffle(&mut self) {
        let Self { rng, order, .. } = self;
        rng.shuffle(order);
    }

    /// A client joins, as the member that it was or, with member 0, as a new one; `None` when it is that member no more.
    pub(crate) fn join(&mut self, trace: &Trace, name: &str, known: MemberId, owns: BTreeSet<TopicPartition>) -> Option<MemberId> {
        let id = if self.members.contains_key(&known) {
            known
        } else if known != 0 {
            return None;
        } else {
            self.next_member += 1;
            let member = Member {
                name: name.to_owned(),
                seen: Instant::now(),
                runs_since: Instant::now(),
                is_joined: false,
                owns: BTreeSet::new(),
                assigned: BTreeSet::new(),
            };
            self.members.insert(self.next_member, member);
            self.shuffle();
            self.next_member
        };
        self.prepare(trace, format_args!("{name} joins as member {id}"));
        if self.preparing.is_none() {
            self.preparing = Some(Instant::now());
        }
        if let Some(member) = self.members.get_mut(&id) {
            (member.is_joined, member.seen, member.owns) = (true, Instant::now(), owns);
        }
        Some(id)
    }

    /// What a member that has joined waits for.
    pub(crate) fn assignment(&mut self, id: MemberId) -> Joined {
        let (is_preparing, generation) = (self.preparing.is_some(), self.generation);
        let Some(member) = self.members.get_mut(&id) else { return Joined::Unknown };
        member.seen = member.seen.max(Instant::now());
        match is_preparing {
            true if member.is_joined => Joined::Wait,
            true => Joined::Again,
            false => Joined::Decided(generation, member.assigned.clone()),
        }
    }

    pub(crate) fn heartbeat(&mut self, of: Membership, settings: &GroupSettings) -> Beat {
        let (generation, is_preparing) = (self.generation, self.preparing.is_some());
        match self.members.get_mut(&of.member) {
            Some(member) if of.generation == generation => {
                if member.seen.elapsed() > settings.heartbeat * 2 {
                    member.runs_since = Instant::now();
                }
                member.seen = member.seen.max(Instant::now());
                if is_preparing { Beat::Rebalance } else { Beat::Fine }
            }
            _ => Beat::Unknown,
        }
    }

    pub(crate) fn leave(&mut self, trace: &Trace, id: MemberId) {
        if let Some(member) = self.members.remove(&id) {
            self.prepare(trace, format_args!("{} leaves", member.name));
        }
    }

    fn expire(&mut self, settings: &GroupSettings, trace: &Trace) {
        let now = Instant::now();
        let gone: Vec<MemberId> = self.members.iter().filter(|(_, member)| member.seen + settings.session_timeout < now).map(|(id, _)| *id).collect();
        for id in gone {
            if let Some(member) = self.members.remove(&id) {
                self.prepare(trace, format_args!("{} is not heard of any more", member.name));
            }
        }
    }

    /// Makes the next generation when everybody has joined, or has had the time.
    fn complete(&mut self, settings: &GroupSettings, trace: &Trace, oracle: &Oracle) -> bool {
        let Some(since) = self.preparing else { return false };
        let is_overdue = since.elapsed() > settings.rebalance_timeout;
        let least = if self.generation == 0 { FIRST_DELAY } else { Duration::ZERO };
        if since.elapsed() < least || !(is_overdue || self.members.values().all(|member| member.is_joined)) {
            return false;
        }
        for member in self.members.values().filter(|member| !member.is_joined) {
            let waited = since.max(member.runs_since).max(self.down_until);
            if member.seen.elapsed() < settings.heartbeat * 2 && waited.elapsed() > MOST_PATIENCE {
                oracle.accuse(format_args!("{} runs, and has not given up its partitions for {:?}", member.name, since.elapsed()));
            }
        }
        self.members.retain(|_, member| member.is_joined);
        self.generation += 1;
        self.preparing = None;
        self.assign(settings.is_cooperative);
        let shown: Vec<String> = self.members.iter().map(|(id, member)| format!("{} (member {id}): {}", member.name, list(&member.assigned))).collect();
        trace.note("coordinator", format_args!("generation {}: {}", self.generation, shown.join("; ")));
        true
    }

    /// Deals the partitions out anew. Cooperative members get what another one still has only when that has given it up.
    fn assign(&mut self, is_cooperative: bool) {
        let owners: BTreeMap<TopicPartition, MemberId> =
            self.members.iter().flat_map(|(id, member)| member.owns.iter().map(move |tp| (tp.clone(), *id))).collect();
        self.members.values_mut().for_each(|member| member.assigned.clear());
        let ids: Vec<MemberId> = self.members.keys().copied().collect();
        for (number, tp) in self.order.iter().enumerate() {
            let Some(id) = ids.get(number % ids.len().max(1)) else { return };
            let is_free = !is_cooperative || owners.get(tp).is_none_or(|owner| owner == id);
            if let Some(member) = self.members.get_mut(id).filter(|_| is_free) {
                member.assigned.insert(tp.clone());
            }
        }
    }
}

pub(crate) fn list<'a>(partitions: impl IntoIterator<Item = &'a TopicPartition>) -> String {
    partitions.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
