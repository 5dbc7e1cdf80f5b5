//! An object store that fails as stores do, behind the product's own seam.
//!
//! As with the real one, what time heals is tried again inside and shows only as waiting: outages, slow answers, answers that are lost. A request that was sent
//! takes effect when the store comes to it, whatever has become of its sender; some come very late. Uploads in parts can expire.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use fastrand::Rng;
use lakehead::connect::{Health, Props};
use lakehead::memory::Permit;
use lakehead::store::urls::StoreKind;
use lakehead::store::{Chunk, Condition, ObjectSink, Origin, Published, StoreError, StoreErrorKind, Stores, Swept, Upload};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::oracle::Oracle;
use super::process::Process;
use super::scenario::Plant;
use super::trace::{Rarity, Trace};

/// After so long without an answer a request is sent again.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest pause between attempts.
const MOST_BACKOFF_MS: u64 = 10_000;
/// Parts of an object that are on their way at once.
const PARTS_IN_FLIGHT: usize = 2;

/// What the store is like.
#[derive(Debug, Clone)]
pub(crate) struct Temper {
    pub(crate) part_bytes: usize,
    pub(crate) latency_ms: Range<u64>,
    /// Share of requests whose answer is lost.
    pub(crate) lost: f64,
    /// Share of requests that take effect minutes later, without an answer.
    pub(crate) late: f64,
}

/// The store; clones are the same one.
#[derive(Clone)]
pub(crate) struct Store(Arc<Shared>);

struct Shared {
    temper: Temper,
    planted: Option<Plant>,
    oracle: Oracle,
    trace: Trace,
    state: Mutex<State>,
}

struct State {
    rng: Rng,
    down_until: Instant,
    slow_until: Instant,
    is_calm: bool,
    /// Which upload each visible object came from, and what the object says of itself.
    objects: BTreeMap<String, (u64, Origin)>,
    /// Uploads in parts that can still be completed.
    uploads: BTreeMap<u64, Begun>,
    next: u64,
}

/// An upload in parts.
struct Begun {
    key: String,
    by: String,
    at: Instant,
}

/// What makes an object visible.
#[derive(Clone)]
struct Request {
    key: String,
    mark: u64,
    body: Bytes,
    is_in_parts: bool,
    condition: Condition,
    /// What the object is going to say of itself, and what its uploader knows of it.
    told: Origin,
    known: Origin,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Answer {
    Visible,
    Exists(Origin),
    Vanished,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the simulated store")
    }
}

impl Store {
    /// An empty store.
    pub(crate) fn new(temper: Temper, planted: Option<Plant>, rng: Rng, oracle: Oracle, trace: Trace) -> Self {
        let now = Instant::now();
        let state = State { rng, down_until: now, slow_until: now, is_calm: false, objects: BTreeMap::new(), uploads: BTreeMap::new(), next: 0 };
        Self(Arc::new(Shared { temper, planted, oracle, trace, state: Mutex::new(state) }))
    }

    /// The store as a process sees it.
    pub(crate) fn seen_by(&self, process: &Process) -> Arc<dyn Stores> {
        Arc::new(Seen { store: self.clone(), process: process.clone() })
    }

    /// Nothing is answered for so long.
    pub(crate) fn go_down(&self, lasts: Duration) {
        self.state().down_until = Instant::now() + lasts;
    }

    /// Every request takes tens of seconds for so long.
    pub(crate) fn go_slow(&self, lasts: Duration) {
        self.state().slow_until = Instant::now() + lasts;
    }

    /// Uploads in parts that are not completed are gone.
    pub(crate) fn expire(&self) {
        let gone = std::mem::take(&mut self.state().uploads);
        self.0.trace.note("store", format_args!("uploads expired: {:?}", gone.values().map(|begun| &begun.key).collect::<Vec<_>>()));
    }

    /// From now on nothing fails.
    pub(crate) fn calm(&self) {
        let mut state = self.state();
        (state.is_calm, state.down_until, state.slow_until) = (true, Instant::now(), Instant::now());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn latency(&self) -> Duration {
        let mut state = self.state();
        let range = if state.slow_until > Instant::now() { 15_000..29_000 } else { self.0.temper.latency_ms.clone() };
        Duration::from_millis(state.rng.u64(range))
    }

    fn backoff(&self) -> Duration {
        Duration::from_millis(self.state().rng.u64(100..MOST_BACKOFF_MS))
    }

    /// True with that probability, while things fail.
    fn happens(&self, share: f64) -> bool {
        let mut state = self.state();
        state.rng.f64() < share && !state.is_calm
    }

    fn is_down(&self) -> bool {
        self.state().down_until > Instant::now()
    }

    /// A request that changes nothing that anybody sees, tried until it succeeds.
    async fn succeed(&self) {
        loop {
            tokio::time::sleep(self.latency()).await;
            if !self.is_down() && !self.happens(self.0.temper.lost) {
                return;
            }
            let until = self.state().down_until;
            tokio::time::sleep_until(until).await;
            tokio::time::sleep(self.backoff()).await;
        }
    }

    /// Sends a request. It takes effect even if nobody waits for the answer.
    fn send(&self, by: &Process, request: Request) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        let is_late = self.happens(self.0.temper.late);
        let late = if is_late { Duration::from_millis(self.state().rng.u64(30_000..150_000)) } else { Duration::ZERO };
        let (there, back) = (self.latency(), self.latency());
        let (store, by) = (self.clone(), by.clone());
        let is_lost = is_late || self.happens(self.0.temper.lost);
        drop(tokio::spawn(async move {
            tokio::time::sleep(there + late).await;
            if store.is_down() {
                return;
            }
            if store.0.planted == Some(Plant::Stalled) && request.key.ends_with("+0+0000000000.json") {
                store.0.trace.reached(Rarity::Planted);
                return;
            }
            let done = store.apply(&request);
            if done == Answer::Visible && by.is_dead() {
                store.0.trace.reached(Rarity::Posthumous);
            }
            if is_lost {
                store.0.trace.note("store", format_args!("the answer {done:?} about {} is lost", request.key));
            } else {
                tokio::time::sleep(back).await;
                answer.send(done).ok();
            }
        }));
        answered
    }

    /// The store comes to a request.
    fn apply(&self, request: &Request) -> Answer {
        let Request { key, mark, body, is_in_parts, condition, told, known } = request;
        let mut state = self.state();
        let there = state.objects.get(key).cloned();
        let other = there.as_ref().filter(|(there, _)| there != mark).map(|(_, origin)| origin.clone());
        let answer = match other {
            _ if there.as_ref().is_some_and(|(there, _)| there == mark) => Answer::Visible, // an earlier attempt, whose answer was lost
            Some(other) if *condition == Condition::IfAbsent => Answer::Exists(other),
            other if *is_in_parts && !state.uploads.contains_key(mark) => match other {
                Some(other) if other.is_same_records(known) => return Answer::Visible,
                _ => Answer::Vanished,
            },
            _ => {
                state.uploads.remove(mark);
                state.objects.insert(key.clone(), (*mark, told.clone()));
                Answer::Visible
            }
        };
        drop(state);
        let rare = match &answer {
            Answer::Visible => there.as_ref().filter(|(there, _)| there != mark).map(|_| Rarity::Again),
            Answer::Exists(_) => Some(Rarity::Taken),
            Answer::Vanished => Some(Rarity::Vanished),
        };
        rare.into_iter().for_each(|rare| self.0.trace.reached(rare));
        let again = if there.is_some() { ", where there was one" } else { "" };
        self.0.trace.note("store", format_args!("{key} (upload {mark}, {} bytes{again}): {answer:?}", body.len()));
        if answer == Answer::Visible {
            self.show(key, body);
        }
        answer
    }

    /// An object becomes visible, as long as nothing else is planted.
    fn show(&self, key: &str, body: &Bytes) {
        let lines: Vec<&[u8]> = body.split_inclusive(|byte| *byte == b'\n').collect();
        let of = |lines: &[&[u8]]| Bytes::from(lines.concat());
        let seen = match self.0.planted {
            Some(Plant::Lost) => Vec::new(),
            Some(Plant::Doubled) => vec![(key.to_owned(), body.clone()), (format!("again/{key}"), body.clone())],
            Some(Plant::Disordered) if lines.len() > 2 => vec![(key.to_owned(), of(&[&lines[..1], &lines[2..], &lines[1..2]].concat()))],
            Some(Plant::Replaced) if lines.len() > 1 => vec![(key.to_owned(), body.clone()), (key.to_owned(), of(&lines[..lines.len() - 1]))],
            _ => return self.0.oracle.appeared(key, body),
        };
        self.0.trace.reached(Rarity::Planted);
        seen.iter().for_each(|(key, body)| self.0.oracle.appeared(key, body));
    }
}

/// The store, seen by a process.
struct Seen {
    store: Store,
    process: Process,
}

impl fmt::Debug for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the simulated store, seen by {}", self.process)
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sim://store")
    }
}

impl Stores for Seen {
    fn open(&self, _: StoreKind, _: &Props, _: Health) -> Result<Arc<dyn ObjectSink>, StoreError> {
        Ok(Arc::new(Self { store: self.store.clone(), process: self.process.clone() }))
    }
}

#[async_trait]
impl ObjectSink for Seen {
    async fn check(&self) -> Result<(), StoreError> {
        self.process.gate().await;
        self.store.succeed().await;
        self.process.gate().await;
        Ok(())
    }

    fn open(&self, key: String, _: &'static str, attributes: Vec<(&'static str, String)>) -> Box<dyn Upload> {
        let mark = {
            let mut state = self.store.state();
            state.next += 1;
            state.next
        };
        let (store, process) = (self.store.clone(), self.process.clone());
        let (body, waiting) = (Vec::new(), Vec::new());
        Box::new(OnItsWay { store, process, key, mark, attributes, body, waiting, waiting_bytes: 0, parts: None, told: None, stage: Stage::Open })
    }

    async fn exists(&self, key: &str) -> Result<bool, StoreError> {
        self.process.gate().await;
        self.store.succeed().await;
        let is_there = self.store.state().objects.contains_key(key);
        self.process.gate().await;
        Ok(is_there)
    }

    async fn between(&self, first: &str, last: &str) -> Result<Vec<(String, Origin)>, StoreError> {
        self.process.gate().await;
        self.store.succeed().await;
        let is_between = |key: &str| (first..=last).contains(&key);
        let found = self.store.state().objects.iter().filter(|(key, _)| is_between(key)).map(|(key, (_, origin))| (key.clone(), origin.clone())).collect();
        self.process.gate().await;
        Ok(found)
    }

    async fn names(&self, _: &str) -> Result<Vec<String>, StoreError> {
        unreachable!("no dead letters are written to this store")
    }

    async fn read(&self, _: &str) -> Result<Option<Bytes>, StoreError> {
        unreachable!("no dead letters are written to this store")
    }

    async fn sweep(&self, below: &str, is_ours: &(dyn for<'a> Fn(&'a str) -> bool + Send + Sync), begun_ago: Duration) -> Swept {
        self.process.gate().await;
        self.store.succeed().await;
        let by = self.process.to_string();
        let is_left = |begun: &Begun| begun.key.starts_with(below) && is_ours(&begun.key) && begun.at.elapsed() > begun_ago && begun.by != by;
        let mut state = self.store.state();
        let before = state.uploads.len();
        state.uploads.retain(|_, begun| !is_left(begun));
        Swept { uploads: (before - state.uploads.len()) as u64, ..Swept::default() }
    }
}

fn origin(attributes: &[(&'static str, String)]) -> Origin {
    Origin::read(|name| attributes.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    Sealed,
    Published,
    GivenUp,
}

/// An object that a process is uploading.
struct OnItsWay {
    store: Store,
    process: Process,
    key: String,
    mark: u64,
    attributes: Vec<(&'static str, String)>,
    body: Vec<u8>,
    waiting: Vec<Permit>,
    waiting_bytes: usize,
    /// Parts that are being sent, once it is sent in parts.
    parts: Option<JoinSet<()>>,
    /// What an object of many parts says of itself: what was known when it began.
    told: Option<Origin>,
    stage: Stage,
}

impl OnItsWay {
    fn vanished(&mut self) -> StoreError {
        self.stage = Stage::GivenUp;
        StoreError { kind: StoreErrorKind::Vanished, message: format!("the upload of {} is gone", self.key) }
    }

    fn expect(&self, stages: &[Stage], call: &str) {
        if !stages.contains(&self.stage) {
            self.store.0.oracle.accuse(format_args!("{} {call} {} when it was {:?}", self.process, self.key, self.stage));
        }
    }

    /// Sends what waits as a part, when there is room for one more on its way. Cancel-safe.
    async fn send_part(&mut self) {
        let parts = self.parts.get_or_insert_with(|| {
            let begun = Begun { key: self.key.clone(), by: self.process.to_string(), at: Instant::now() };
            self.store.state().uploads.insert(self.mark, begun);
            self.told = Some(origin(&self.attributes));
            JoinSet::new()
        });
        while parts.len() >= PARTS_IN_FLIGHT {
            parts.join_next().await;
        }
        let (store, process, held) = (self.store.clone(), self.process.clone(), std::mem::take(&mut self.waiting));
        self.waiting_bytes = 0;
        parts.spawn(async move {
            process.gate().await;
            store.succeed().await;
            process.gate().await;
            drop(held);
        });
    }

    fn is_gone(&self) -> bool {
        self.parts.is_some() && !self.store.state().uploads.contains_key(&self.mark)
    }

    fn give_up(&mut self) {
        if self.stage != Stage::Published && self.process.is_running() {
            self.store.state().uploads.remove(&self.mark);
        }
        (self.stage, self.parts) = (Stage::GivenUp, None);
        self.waiting.clear();
    }
}

#[async_trait]
impl Upload for OnItsWay {
    async fn write(&mut self, chunk: Chunk) -> Result<(), StoreError> {
        self.expect(&[Stage::Open], "writes to");
        self.body.extend_from_slice(&chunk.bytes);
        self.waiting_bytes += chunk.bytes.len();
        self.waiting.push(chunk.permit);
        self.process.gate().await;
        if self.waiting_bytes >= self.store.0.temper.part_bytes {
            self.send_part().await;
        }
        if self.is_gone() { Err(self.vanished()) } else { Ok(()) }
    }

    async fn seal(&mut self, attributes: Vec<(&'static str, String)>) -> Result<(), StoreError> {
        self.expect(&[Stage::Open], "seals");
        self.attributes.retain(|(name, _)| attributes.iter().all(|(other, _)| other != name));
        self.attributes.extend(attributes);
        self.process.gate().await;
        if self.parts.is_some() && self.waiting_bytes > 0 {
            self.send_part().await;
        }
        if let Some(parts) = &mut self.parts {
            while parts.join_next().await.is_some() {}
        }
        self.process.gate().await;
        if self.is_gone() {
            return Err(self.vanished());
        }
        self.stage = Stage::Sealed;
        Ok(())
    }

    async fn publish(&mut self, condition: Condition) -> Result<Published, StoreError> {
        self.expect(&[Stage::Sealed, Stage::Published], "publishes");
        let body = Bytes::from(self.body.clone());
        let known = origin(&self.attributes);
        let told = self.told.clone().unwrap_or_else(|| known.clone());
        let request = Request { key: self.key.clone(), mark: self.mark, body, is_in_parts: self.parts.is_some(), condition, told, known };
        loop {
            self.process.gate().await;
            let until = Instant::now() + REQUEST_TIMEOUT;
            let answer = match tokio::time::timeout_at(until, self.store.send(&self.process, request.clone())).await {
                Ok(Ok(answer)) => answer,
                lost => {
                    if lost.is_ok() && self.store.happens(0.5) {
                        tokio::time::sleep_until(until).await; // no answer; otherwise the connection breaks at once
                    }
                    tokio::time::sleep(self.store.backoff()).await;
                    continue;
                }
            };
            self.process.gate().await;
            match answer {
                Answer::Visible => {
                    self.stage = Stage::Published;
                    self.waiting.clear();
                    return Ok(Published::Visible);
                }
                Answer::Exists(other) => return Ok(Published::Exists(other)),
                Answer::Vanished => return Err(self.vanished()),
            }
        }
    }

    async fn tag(&mut self, _: &[(String, String)]) -> Result<(), StoreError> {
        self.process.gate().await;
        self.store.succeed().await;
        self.process.gate().await;
        Ok(())
    }

    async fn abort(&mut self) {
        self.process.gate().await;
        let latency = self.store.latency().min(Duration::from_secs(2)); // it does not wait for a store that does not answer
        tokio::time::sleep(latency).await;
        self.process.gate().await;
        self.give_up();
    }
}

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.give_up();
    }
}
