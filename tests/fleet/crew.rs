//! The workers of the group, what is done to them, and when.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use lakehead::clock::Clock;

use crate::lives::Fate;
use crate::worker::{Connector, SOON, Worker, await_some, signal};

/// How many workers there are when nothing is wrong.
pub(crate) const WORKERS: usize = 3;

/// What is done to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// kill -9.
    Kill,
    /// Stopped for longer than its session, and woken.
    Sleep,
    /// Stopped for less than that, and woken.
    Nap,
    /// Ended in order.
    Restart,
}

/// Something that changes who runs what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Event {
    /// When.
    pub(crate) at: i64,
    /// The worker that was lost with this, and how.
    pub(crate) lost: Option<(usize, Fault)>,
}

/// A worker's log and fate.
#[derive(Debug)]
pub(crate) struct Life {
    /// `host:port`.
    pub(crate) id: String,
    /// Where it writes its log.
    pub(crate) log: PathBuf,
    /// What became of it.
    pub(crate) fate: Fate,
}

/// Who runs what, by the REST API: `name` for a connector's instance, `name-3` for a task.
pub(crate) type Owners = BTreeMap<String, String>;

/// The workers.
pub(crate) struct Crew {
    group: String,
    session: Duration,
    clock: Clock,
    /// Those that live, with their numbers.
    living: Vec<(usize, Worker)>,
    /// All that ever were.
    pub(crate) lives: Vec<Life>,
    /// What happened, in order.
    pub(crate) events: Vec<Event>,
}

impl Crew {
    /// A group with nobody in it. After `session` a silent member is none any more.
    pub(crate) fn new(group: &str, session: Duration) -> Self {
        Self { group: group.to_owned(), session, clock: Clock::system(), living: Vec::new(), lives: Vec::new(), events: Vec::new() }
    }

    /// The time, in ms.
    pub(crate) fn now(&self) -> i64 {
        self.clock.now().timestamp_millis()
    }

    fn note(&mut self, lost: Option<(usize, Fault)>) {
        let at = self.now();
        self.events.push(Event { at, lost });
    }

    /// Starts workers until there are so many.
    pub(crate) fn fill(&mut self) {
        while self.living.len() < WORKERS {
            let session = self.session.as_millis();
            let beat = (session / 6).to_string();
            let session = session.to_string();
            let settings = [
                ("session.timeout.ms", session.as_str()),
                ("heartbeat.interval.ms", &beat),
                ("consumer.session.timeout.ms", &session),
                ("consumer.heartbeat.interval.ms", &beat),
                ("offset.flush.interval.ms", "1000"),
                ("lakehead.log.format", "json"),
            ];
            self.note(None);
            let worker = Worker::join(&self.group, &settings);
            self.note(None);
            let id = worker.url().trim_start_matches("http://").to_owned();
            self.living.push((self.lives.len(), worker));
            let log = self.living.last().map(|(_, worker)| worker.log_file()).expect("the worker that was added");
            self.lives.push(Life { id, log, fate: Fate::default() });
        }
    }

    /// How many live.
    pub(crate) fn len(&self) -> usize {
        self.living.len()
    }

    /// kill -9.
    pub(crate) fn kill(&mut self, index: usize) {
        let (number, worker) = self.living.remove(index);
        self.note(Some((number, Fault::Kill)));
        worker.kill();
        self.lives[number].fate.ended = Some(self.now());
    }

    /// Ends one in order.
    pub(crate) fn end(&mut self, index: usize) {
        let (number, worker) = self.living.remove(index);
        self.note(None);
        worker.terminate();
        self.lives[number].fate.ended = Some(self.now());
        self.note(None);
    }

    /// Stops a process, does something else, and wakes it.
    pub(crate) fn freeze(&mut self, index: usize, fault: Fault, meanwhile: impl FnOnce(&mut Self)) {
        let (number, worker) = self.living.remove(index);
        let pid = worker.pid().to_string();
        let is_lost = fault == Fault::Sleep;
        self.note(is_lost.then_some((number, fault)));
        signal(&pid, "STOP");
        let from = self.now();
        meanwhile(self);
        let until = self.now();
        signal(&pid, "CONT");
        self.lives[number].fate.frozen.push((from, until));
        self.note(None);
        self.living.push((number, worker));
    }

    /// Ends all of them in order, at the same time.
    pub(crate) fn dismiss(&mut self) {
        let living = std::mem::take(&mut self.living);
        self.note(None);
        let numbers: Vec<usize> = living.iter().map(|(number, _)| *number).collect();
        std::thread::scope(|scope| {
            for (_, worker) in living {
                scope.spawn(|| worker.terminate());
            }
        });
        let at = self.now();
        numbers.into_iter().for_each(|number| self.lives[number].fate.ended = Some(at));
    }

    /// Creates a connector through the first worker; a rebalance that is under way is waited for.
    pub(crate) fn create(&self, connector: &Connector) {
        let (_, worker) = self.living.first().expect("a worker");
        let mut last = String::new();
        let created = || {
            let (status, body) = worker.create(connector);
            last = format!("{status} {body}");
            assert!(status == 201 || status == 409, "{}: {last}", connector.name);
            (status == 201).then_some(())
        };
        await_some(SOON, created, || format!("{} cannot be created", connector.name));
    }

    /// Waits until every worker says the same: all of it runs, on those that live, each with as much as the others. Who has what.
    pub(crate) fn await_balance(&self, parts: &BTreeSet<String>, limit: Duration) -> Result<(Owners, Duration), String> {
        let since = Instant::now();
        loop {
            let said: Vec<_> = self.living.iter().map(|(_, worker)| owners(worker)).collect();
            match self.judge(parts, &said) {
                Ok(owners) => return Ok((owners, since.elapsed())),
                Err(why) if since.elapsed() > limit => return Err(format!("not within {limit:?}: {why}")),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    fn judge(&self, parts: &BTreeSet<String>, said: &[Result<Owners, String>]) -> Result<Owners, String> {
        let mut all = said.iter().map(|owners| owners.as_ref().map_err(Clone::clone)).collect::<Result<Vec<_>, _>>()?;
        let first = all.pop().ok_or("nobody lives")?;
        if let Some(other) = all.into_iter().find(|other| *other != first) {
            return Err(format!("workers do not say the same: {:?}", difference(first, other)));
        }
        if !first.keys().eq(parts) {
            return Err(format!("not there: {:?}", parts.iter().filter(|part| !first.contains_key(*part)).collect::<Vec<_>>()));
        }
        // Connectors' instances have no number.
        for is_task in [false, true] {
            let mut counts: BTreeMap<&str, usize> = self.living.iter().map(|(number, _)| (self.lives[*number].id.as_str(), 0)).collect();
            for (_, id) in first.iter().filter(|(part, _)| is_task == is_task_name(part)) {
                *counts.get_mut(id.as_str()).ok_or_else(|| format!("{id} has something and does not live"))? += 1;
            }
            if counts.values().max().unwrap_or(&0) - counts.values().min().unwrap_or(&0) > 1 {
                return Err(format!("not even: {counts:?}"));
            }
        }
        Ok(first.clone())
    }
}

/// Names of connectors end with a letter here, those of tasks with a number.
fn is_task_name(part: &str) -> bool {
    part.ends_with(|last: char| last.is_ascii_digit())
}

fn difference(one: &Owners, other: &Owners) -> BTreeMap<String, (Option<String>, Option<String>)> {
    let parts: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    let both = parts.into_iter().map(|part| (part.clone(), (one.get(part).cloned(), other.get(part).cloned())));
    both.filter(|(_, (one, other))| one != other).collect()
}

/// What a worker says of who runs what; the first part that does not run is an error.
fn owners(worker: &Worker) -> Result<Owners, String> {
    let (status, all) = worker.rest("GET", "/connectors?expand=status", None);
    let all = all.as_object().filter(|_| status == 200).ok_or_else(|| format!("{}: {status} {all}", worker.url()))?;
    let mut owners = Owners::new();
    for (name, of) in all {
        let parts = std::iter::once((name.clone(), &of["status"]["connector"]));
        let tasks = of["status"]["tasks"].as_array().into_iter().flatten().map(|task| (format!("{name}-{}", task["id"]), task));
        for (part, said) in parts.chain(tasks) {
            if said["state"] != "RUNNING" {
                return Err(format!("{part} is {said} as {} says", worker.url()));
            }
            owners.insert(part, said["worker_id"].as_str().unwrap_or_default().to_owned());
        }
    }
    Ok(owners)
}
