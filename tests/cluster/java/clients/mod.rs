//! Clients of the REST API that others wrote, at Java's worker and at ours: they do their ordinary work, and what comes of it is the same, call by call.
//!
//! Four workers run side by side: Java's and ours, in a group and alone. What a client does is a list (`*.json`) of entries, in an order in which each builds
//! on those before it. [`driver`] has the real clients do it (`setup.sh clients` installs them), [`health`] asks the health check that runs beside a worker, and
//! [`terraform`] plays Terraform's provider. [`outcome`] says what counts of an outcome. Where the two sides are known to be different, `differs` says why: a
//! difference that is not there any more fails as one that nobody knows of.

mod driver;
mod health;
mod outcome;
mod terraform;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::{Group, Kind, LONG, Member, path};
use crate::broker::Topic;
use crate::world::worker::await_some;

/// A client at work.
trait Client {
    /// Makes one call, and tells what came of it.
    fn call(&mut self, call: &str, arguments: &[Value]) -> Value;
}

/// A client: its name, what it does, and how it is started against a worker.
struct Known {
    name: &'static str,
    /// The file of its list.
    list: &'static str,
    start: fn(&Member) -> Box<dyn Client>,
}

/// In the order in which they do their work at a worker. Terraform's leaves a connector behind that no request can name.
const CLIENTS: &[Known] = &[
    Known { name: "org.sourcelab:kafka-connect-client", list: "sourcelab.json", start: driver::sourcelab },
    Known { name: "kafka-connect-py", list: "kc.json", start: driver::kc },
    Known { name: "kafka-connect-cli", list: "kafka_connect.json", start: driver::kafka_connect },
    Known { name: "npm kafka-connect-client", list: "npm.json", start: driver::npm },
    Known { name: "kafka-connect-healthcheck", list: "health.json", start: health::start },
    Known { name: "Terraform's calls", list: "terraform.json", start: terraform::start },
];

/// One entry of a client's list: what is waited for first, a request of the test's own, a call of the client; each where it is there.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// A connector, its state and those of its tasks.
    #[serde(rename = "await")]
    awaits: Option<(String, String, Vec<String>)>,
    /// A connector that has taken or sent records: its topics are known.
    topics: Option<String>,
    request: Option<Request>,
    call: Option<String>,
    #[serde(default)]
    arguments: Vec<Value>,
    /// True where 409 is the answer, and does not mean that the call comes too early.
    #[serde(default)]
    conflict: bool,
    /// True where states change while the client looks at them: they do not count.
    #[serde(default)]
    moving: bool,
    differs: Option<Differs>,
}

/// A request that is not the client's.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    method: String,
    path: String,
    body: Option<Value>,
    status: u16,
}

/// Why the outcome at ours is another than at Java's.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Differs {
    Everywhere(String),
    /// For the workers of a group, or for those that are alone.
    There(There),
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct There {
    group: Option<String>,
    alone: Option<String>,
}

impl Entry {
    fn reason(&self, is_alone: bool) -> Option<&str> {
        match self.differs.as_ref()? {
            Differs::Everywhere(why) => Some(why),
            Differs::There(There { group, alone }) => if is_alone { alone } else { group }.as_deref(),
        }
    }
}

/// A worker, and what stands for its own names in the lists.
struct Side {
    member: Member,
    texts: Vec<(&'static str, String)>,
}

impl Side {
    fn start(kind: Kind, is_alone: bool) -> Self {
        let name = match (kind, is_alone) {
            (Kind::Java, false) => "clients-java",
            (Kind::Java, true) => "clients-java-alone",
            (Kind::Lakehead, false) => "clients-ours",
            (Kind::Lakehead, true) => "clients-ours-alone",
        };
        let (incoming, outgoing) = (Topic::create(&format!("{name}-in"), 1), Topic::create(&format!("{name}-out"), 1));
        let (input, output) = (path(&format!("{name}.input")), path(&format!("{name}.output")));
        std::fs::write(&input, "one\ntwo\n").expect("a file");
        incoming.send((0..5).map(|i| (0, Some(format!("line {i}").into_bytes()))));
        let member = if is_alone { Group::alone(name) } else { Group::new(name) }.start(kind);
        await_some(LONG, || member.get("/")["kafka_cluster_id"].is_string().then_some(()), || format!("{kind:?} does not know its cluster"));
        let texts = vec![("$IN", incoming.name), ("$OUT", outgoing.name), ("$FILE", input), ("$SUNK", output), ("$WORKER", member.id.clone())];
        Self { member, texts }
    }

    /// The value with this side's names in it.
    fn named(&self, value: &impl serde::Serialize) -> Value {
        let text = serde_json::to_string(value).expect("JSON");
        serde_json::from_str(&self.texts.iter().fold(text, |text, (stands_for, name)| text.replace(stands_for, name))).expect("JSON")
    }

    /// The value without them.
    fn nameless(&self, value: &Value) -> Value {
        serde_json::from_str(&self.texts.iter().fold(value.to_string(), |text, (stands_for, name)| text.replace(name, stands_for))).expect("JSON")
    }

    fn prepare(&self, entry: &Entry) {
        let member = &self.member;
        if let Some((name, state, tasks)) = &entry.awaits {
            member.await_states(name, state, &tasks.iter().map(String::as_str).collect::<Vec<_>>());
        }
        if let Some(name) = &entry.topics {
            let topics = || member.get(&format!("/connectors/{name}/topics"));
            await_some(LONG, || (topics()[name]["topics"][0].is_string()).then_some(()), || format!("{:?}: {}", member.kind, topics()));
        }
        if let Some(Request { method, path, body, status }) = &entry.request {
            member.ask(method, path, body.as_ref().map(|body| self.named(body)).as_ref(), *status);
        }
    }

    /// Has a client do its work; the outcomes of its calls, in their order.
    fn play(&self, known: &Known) -> Vec<Value> {
        let mut client = (known.start)(&self.member);
        let mut outcomes = Vec::new();
        for entry in known.entries() {
            self.prepare(&entry);
            let Some(call) = &entry.call else { continue };
            let arguments: Vec<Value> = entry.arguments.iter().map(|argument| self.named(argument)).collect();
            let settled = || {
                let outcome = client.call(call, &arguments);
                (entry.conflict || !outcome::is_too_early(&outcome)).then_some(outcome)
            };
            let outcome = await_some(LONG, settled, || format!("{:?}: {call} of {} comes too early", self.member.kind, known.name));
            let plain = outcome::plain(&self.nameless(&outcome::parsed(outcome)));
            outcomes.push(if entry.moving { outcome::without_states(&plain) } else { plain });
        }
        outcomes
    }
}

impl Known {
    fn entries(&self) -> Vec<Entry> {
        let list = std::fs::read(driver::source(self.list)).expect("a list of calls");
        serde_json::from_slice(&list).unwrap_or_else(|error| panic!("{}: {error}", self.list))
    }
}

/// What came of a client's work at Java's worker and at ours: a line of the table, and what is not as expected.
fn compare(known: &Known, is_alone: bool, java: &[Value], ours: &[Value]) -> (String, Vec<String>) {
    let entries: Vec<Entry> = known.entries().into_iter().filter(|entry| entry.call.is_some()).collect();
    assert!(entries.len() == java.len() && java.len() == ours.len(), "each call has its outcome");
    let (mut wrong, mut different) = (Vec::new(), BTreeMap::<&str, Vec<&str>>::new());
    for ((entry, java), ours) in entries.iter().zip(java).zip(ours) {
        let call = entry.call.as_deref().unwrap_or_default();
        let reason = entry.reason(is_alone);
        reason.into_iter().for_each(|why| different.entry(why).or_default().push(call));
        if (java == ours) != reason.is_none() {
            wrong.push(format!("{} {}: {call} {}\n{}", known.name, place(is_alone), Value::from(entry.arguments.clone()), outcome::difference(java, ours)));
        }
    }
    let (calls, others) = (entries.len(), different.values().map(Vec::len).sum::<usize>());
    let reasons: String = different.iter().map(|(why, calls)| format!("\n    {}: {why}", calls.join(", "))).collect();
    (format!("{:36} {:12} {calls:5} {:5} {others:9}{reasons}", known.name, place(is_alone), calls - others), wrong)
}

fn place(is_alone: bool) -> &'static str {
    if is_alone { "standalone" } else { "distributed" }
}

#[test]
fn clients_find_no_difference() {
    let sides = [(Kind::Java, false), (Kind::Lakehead, false), (Kind::Java, true), (Kind::Lakehead, true)];
    driver::compile();
    let outcomes: Vec<Vec<Vec<Value>>> = std::thread::scope(|scope| {
        let play = |(kind, is_alone)| {
            let side = Side::start(kind, is_alone);
            let outcomes = CLIENTS.iter().map(|known| side.play(known)).collect();
            side.member.stop();
            outcomes
        };
        let playing = sides.map(|side| scope.spawn(move || play(side)));
        playing.map(|side| side.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).into_iter().collect()
    });
    let mut wrong = Vec::new();
    println!("{:36} {:12} {:>5} {:>5} {:>9}", "client", "worker", "calls", "equal", "different");
    for (pair, (_, is_alone)) in outcomes.chunks(2).zip(sides.into_iter().step_by(2)) {
        for (at, known) in CLIENTS.iter().enumerate() {
            let (line, unexpected) = compare(known, is_alone, &pair[0][at], &pair[1][at]);
            println!("{line}");
            wrong.extend(unexpected);
        }
    }
    assert!(wrong.is_empty(), "{} outcomes are not as expected:\n{}", wrong.len(), wrong.join("\n"));
}
