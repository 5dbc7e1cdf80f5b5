//! The status topic: what state connectors and tasks are in, on which worker, and which topics they use.
//!
//! Every worker writes what it runs and reads what all write. In a rebalance, the former and the next owner of a task write at about the same time, and their
//! records may arrive in either order. Two rules of upstream's `KafkaStatusBackingStore` keep the picture right: a *safe* put is left out when somebody else has
//! written in a later generation, and a task that runs is not taken for unassigned by a record of the same generation or an earlier one.
//!
//! [`Statuses::put_connector`] and its sisters make records, [`Statuses::apply`] takes what is read, own records included: only that changes what is shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Record, TaskId, json};

const CONNECTOR: &str = "status-connector-";
const TASK: &str = "status-task-";
const TOPIC: &str = "status-topic-";
const TOPIC_SEPARATOR: &str = ":connector-";

/// State of a connector or task: upstream's `AbstractStatus.State`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Not started yet, or stopped with the worker.
    #[default]
    Unassigned,
    /// At work.
    Running,
    /// Keeps its place in the group and takes no records.
    Paused,
    /// Ended with an error, and stays so until it is restarted.
    Failed,
    /// Being restarted.
    Restarting,
    /// A connector without tasks, until it is resumed.
    Stopped,
}

impl State {
    /// As the REST API and the records have it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unassigned => "UNASSIGNED",
            Self::Running => "RUNNING",
            Self::Paused => "PAUSED",
            Self::Failed => "FAILED",
            Self::Restarting => "RESTARTING",
            Self::Stopped => "STOPPED",
        }
    }

    fn from_str(text: &str) -> Option<Self> {
        [Self::Unassigned, Self::Running, Self::Paused, Self::Failed, Self::Restarting, Self::Stopped].into_iter().find(|state| state.as_str() == text)
    }
}

/// What is known of a connector's instance or a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Its state.
    pub state: State,
    /// Why it failed.
    pub trace: Option<String>,
    /// The worker that it is on, `host:port`.
    pub worker_id: String,
    /// The group's generation when the worker wrote this.
    pub generation: i32,
    /// The plugin's version; workers before 4.1 say none.
    pub version: Option<String>,
}

/// That a connector uses a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicStatus {
    /// The topic's name.
    pub topic: String,
    /// The connector's name.
    pub connector: String,
    /// The task that saw it first.
    pub task: u32,
    /// When that was, in ms.
    pub discovered_ms: i64,
}

/// Whether a status is written whatever others have written meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is: the worker knows better, as it runs it.
    Always,
    /// Not when another worker has written in a later generation: for UNASSIGNED and FAILED.
    Safe,
}

/// Whose status it is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Of {
    Connector(Arc<str>),
    Task(TaskId),
}

/// A status on its way to the topic; [`Statuses::is_wanted`] says whether it still is when its turn comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// What to write.
    pub record: Record,
    of: Of,
    worker_id: String,
    generation: i32,
    put: Put,
}

/// What was read last of one connector or task.
#[derive(Debug, Clone, Default)]
struct Slot {
    read: Option<Status>,
}

impl Slot {
    fn may_write(&self, put: Put, worker_id: &str, generation: i32) -> bool {
        put == Put::Always || self.read.as_ref().is_none_or(|read| read.worker_id == worker_id || read.generation <= generation)
    }
}

/// The state after some records of the topic.
#[derive(Debug, Clone, Default)]
pub struct Statuses {
    connectors: BTreeMap<Arc<str>, Slot>,
    tasks: BTreeMap<TaskId, Slot>,
    topics: BTreeMap<Arc<str>, BTreeMap<String, TopicStatus>>,
}

/// The fields in upstream's order; `null` is written out.
#[derive(Serialize)]
struct Written<'a> {
    state: &'static str,
    trace: Option<&'a str>,
    worker_id: &'a str,
    generation: i32,
    version: Option<&'a str>,
}

impl Statuses {
    /// Before the first record.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The record for a connector's status; `None` when it would hide what somebody else has written.
    pub fn put_connector(&mut self, connector: &str, status: &Status, put: Put) -> Option<Write> {
        self.put(Of::Connector(connector.into()), status, put)
    }

    /// The record for a task's status; `None` when it would hide what somebody else has written.
    pub fn put_task(&mut self, id: &TaskId, status: &Status, put: Put) -> Option<Write> {
        self.put(Of::Task(id.clone()), status, put)
    }

    fn put(&mut self, of: Of, status: &Status, put: Put) -> Option<Write> {
        let (key, slot) = match &of {
            Of::Connector(connector) => (connector_key(connector), self.connectors.entry(Arc::clone(connector)).or_default()),
            Of::Task(id) => (task_key(id), self.tasks.entry(id.clone()).or_default()),
        };
        if !slot.may_write(put, &status.worker_id, status.generation) {
            return None;
        }
        let Status { state, trace, worker_id, generation, version } = status;
        let written = Written { state: state.as_str(), trace: trace.as_deref(), worker_id, generation: *generation, version: version.as_deref() };
        Some(Write { record: Record::new(key, &written), of, worker_id: worker_id.clone(), generation: *generation, put })
    }

    /// False for a status that has waited until what it is about was deleted, or, a safe one, until another worker had written in a later generation. That its
    /// own worker is in another generation now does not count: nothing else may follow that says what has become of the task.
    #[must_use]
    pub fn is_wanted(&self, write: &Write) -> bool {
        let slot = match &write.of {
            Of::Connector(connector) => self.connectors.get(connector),
            Of::Task(id) => self.tasks.get(id),
        };
        slot.is_some_and(|slot| slot.may_write(write.put, &write.worker_id, write.generation))
    }

    /// Takes the next record. Returns why it is ignored, for the log.
    ///
    /// # Errors
    /// A key or value that says nothing.
    pub fn apply(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<(), String> {
        let key = key.map(String::from_utf8_lossy).unwrap_or_default();
        self.apply_key(&key, value).map_err(|why| format!("the record with the key {key:?} of the status topic is ignored: {why}"))
    }

    fn apply_key(&mut self, key: &str, value: Option<&[u8]>) -> Result<(), String> {
        if let Some(connector) = key.strip_prefix(CONNECTOR) {
            self.apply_connector(connector, value)
        } else if let Some(task) = key.strip_prefix(TASK) {
            self.apply_task(task, value)
        } else if let Some(topic) = key.strip_prefix(TOPIC) {
            self.apply_topic(topic, value)
        } else {
            Err("no key of this form is known".to_owned())
        }
    }

    fn apply_connector(&mut self, connector: &str, value: Option<&[u8]>) -> Result<(), String> {
        if connector.is_empty() {
            return Err("the connector's name is missing".to_owned());
        }
        if value.is_none() {
            self.connectors.remove(connector);
            self.tasks.retain(|id, _| *id.connector != *connector);
            return Ok(());
        }
        let status = status(value)?;
        self.connectors.entry(connector.into()).or_default().read = Some(status);
        Ok(())
    }

    fn apply_task(&mut self, task: &str, value: Option<&[u8]>) -> Result<(), String> {
        let id = task_id(task).ok_or("no connector and task number after \"status-task-\"")?;
        if value.is_none() {
            self.tasks.remove(&id);
            return Ok(());
        }
        let status = status(value)?;
        let slot = self.tasks.entry(id).or_default();
        let runs = |read: &Status| read.state == State::Running && read.generation >= status.generation;
        if !(status.state == State::Unassigned && slot.read.as_ref().is_some_and(runs)) {
            slot.read = Some(status);
        }
        Ok(())
    }

    fn apply_topic(&mut self, key: &str, value: Option<&[u8]>) -> Result<(), String> {
        let (topic, rest) = key.split_once(':').ok_or("no \":\" after the topic")?;
        let connector = format!(":{rest}").strip_prefix(TOPIC_SEPARATOR).map(Arc::<str>::from).ok_or("no \":connector-\" after the topic")?;
        if topic.is_empty() || connector.is_empty() {
            return Err("the topic or the connector has no name".to_owned());
        }
        if value.is_none() {
            if let Some(topics) = self.topics.get_mut(&connector) {
                topics.remove(topic);
            }
            return Ok(());
        }
        let status = topic_status(value)?;
        self.topics.entry(connector).or_default().insert(topic.to_owned(), status);
        Ok(())
    }

    /// A connector's status.
    #[must_use]
    pub fn connector(&self, connector: &str) -> Option<&Status> {
        self.connectors.get(connector)?.read.as_ref()
    }

    /// A task's status.
    #[must_use]
    pub fn task(&self, id: &TaskId) -> Option<&Status> {
        self.tasks.get(id)?.read.as_ref()
    }

    /// The statuses of a connector's tasks, by number.
    pub fn tasks(&self, connector: &str) -> impl Iterator<Item = (u32, &Status)> {
        self.tasks.range(TaskId::new(connector, 0)..=TaskId::new(connector, u32::MAX)).filter_map(|(id, slot)| Some((id.task, slot.read.as_ref()?)))
    }

    /// The connectors that have a status, whether they exist or not.
    pub fn connectors(&self) -> impl Iterator<Item = &Arc<str>> {
        self.connectors.iter().filter(|(_, slot)| slot.read.is_some()).map(|(connector, _)| connector)
    }

    /// The topics that a connector uses, by name.
    pub fn topics(&self, connector: &str) -> impl Iterator<Item = &TopicStatus> {
        self.topics.get(connector).into_iter().flat_map(BTreeMap::values)
    }

    /// True if it is known that a connector uses a topic: it need not be written again.
    #[must_use]
    pub fn uses_topic(&self, connector: &str, topic: &str) -> bool {
        self.topics.get(connector).is_some_and(|topics| topics.contains_key(topic))
    }
}

/// The records that delete what is known of a connector and these tasks of it, tasks first.
#[must_use]
pub fn removal(connector: &str, tasks: &[TaskId]) -> Vec<Record> {
    tasks.iter().map(task_key).chain([connector_key(connector)]).map(Record::tombstone).collect()
}

/// The record that deletes what is known of a task.
#[must_use]
pub fn task_removal(id: &TaskId) -> Record {
    Record::tombstone(task_key(id))
}

/// The record of a topic that a connector uses.
#[must_use]
pub fn topic(status: &TopicStatus) -> Record {
    let TopicStatus { topic, connector, task, discovered_ms } = status;
    let value = json!({ "topic": { "name": topic, "connector": connector, "task": task, "discoverTimestamp": discovered_ms } });
    Record::new(topic_key(topic, connector), &value)
}

/// The record that forgets it.
#[must_use]
pub fn topic_removal(connector: &str, topic: &str) -> Record {
    Record::tombstone(topic_key(topic, connector))
}

fn connector_key(connector: &str) -> String {
    format!("{CONNECTOR}{connector}")
}

fn task_key(id: &TaskId) -> String {
    format!("{TASK}{}-{}", id.connector, id.task)
}

fn topic_key(topic: &str, connector: &str) -> String {
    format!("{TOPIC}{topic}{TOPIC_SEPARATOR}{connector}")
}

/// As Java splits, dashes at the end do not count.
fn task_id(text: &str) -> Option<TaskId> {
    let (connector, number) = text.trim_end_matches('-').rsplit_once('-')?;
    Some(TaskId::new(connector, number.parse::<u32>().ok().filter(|number| i32::try_from(*number).is_ok())?))
}

fn object(value: Option<&[u8]>) -> Result<Map<String, Value>, String> {
    match json::parse(value) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(other) => Err(format!("its value is {} and no object", json::kind(Some(&other)))),
        Err(error) => Err(format!("its value is not JSON: {error}")),
    }
}

fn text(value: &Map<String, Value>, name: &str) -> Result<Option<String>, String> {
    match value.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        other => Err(format!("the field {name:?} is {} and no string", json::kind(other))),
    }
}

fn whole<T: TryFrom<i64>>(value: &Map<String, Value>, name: &str) -> Result<T, String> {
    let number = value.get(name).and_then(Value::as_i64).and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| format!("the field {name:?} is {} and no whole number of its size", json::kind(value.get(name))))
}

fn status(value: Option<&[u8]>) -> Result<Status, String> {
    let value = object(value)?;
    let state = text(&value, "state")?.ok_or("the field \"state\" is missing")?;
    Ok(Status {
        state: State::from_str(&state).ok_or_else(|| format!("the state {state:?} is not known"))?,
        trace: text(&value, "trace")?,
        worker_id: text(&value, "worker_id")?.unwrap_or_default(),
        generation: whole(&value, "generation")?,
        version: text(&value, "version")?,
    })
}

fn topic_status(value: Option<&[u8]>) -> Result<TopicStatus, String> {
    let Some(Value::Object(value)) = object(value)?.get_mut("topic").map(Value::take) else { return Err("the field \"topic\" is no object".to_owned()) };
    let name = |field| text(&value, field)?.ok_or_else(|| format!("the field {field:?} is missing"));
    Ok(TopicStatus { topic: name("name")?, connector: name("connector")?, task: whole(&value, "task")?, discovered_ms: whole(&value, "discoverTimestamp")? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn status(state: State, worker_id: &str, generation: i32) -> Status {
        Status { state, trace: None, worker_id: worker_id.into(), generation, version: Some("4.3.1".into()) }
    }

    fn line(record: &Record) -> String {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        format!("{} {}", text(&record.key), record.value.as_deref().map_or("-".into(), text))
    }

    fn read(lines: &[&str]) -> Statuses {
        let mut statuses = Statuses::new();
        for line in lines {
            let (key, value) = line.split_once(' ').expect("a key and a value");
            statuses.apply(Some(key.as_bytes()), (value != "-").then_some(value.as_bytes())).expect(line);
        }
        statuses
    }

    fn refused(line: &str) -> String {
        let (key, value) = line.split_once(' ').expect("a key and a value");
        Statuses::new().apply(Some(key.as_bytes()), (value != "-").then_some(value.as_bytes())).expect_err(line)
    }

    /// As captured from upstream's 4.3.1.
    #[test]
    fn records_have_upstreams_bytes() {
        let mut statuses = Statuses::new();
        let mut put = |status: &Status| line(&statuses.put_connector("fs", status, Put::Always).expect("a record").record);
        assert_eq!(
            put(&status(State::Running, "h:1", 6)),
            r#"status-connector-fs {"state":"RUNNING","trace":null,"worker_id":"h:1","generation":6,"version":"4.3.1"}"#
        );
        let failed = Status { trace: Some("a \"b\"\n\tat c".into()), version: None, ..status(State::Failed, "h:1", -1) };
        assert_eq!(put(&failed), r#"status-connector-fs {"state":"FAILED","trace":"a \"b\"\n\tat c","worker_id":"h:1","generation":-1,"version":null}"#);
        let id = TaskId::new("f-s", 3);
        let task = statuses.put_task(&id, &status(State::Paused, "h:1", 0), Put::Safe).expect("a record");
        assert_eq!(line(&task.record), r#"status-task-f-s-3 {"state":"PAUSED","trace":null,"worker_id":"h:1","generation":0,"version":"4.3.1"}"#);
        let used = TopicStatus { topic: "t1".into(), connector: "sk".into(), task: 0, discovered_ms: 1_795_389_861_905 };
        assert_eq!(line(&topic(&used)), r#"status-topic-t1:connector-sk {"topic":{"name":"t1","connector":"sk","task":0,"discoverTimestamp":1795389861905}}"#);
        assert_eq!(line(&topic_removal("sk", "t1")), "status-topic-t1:connector-sk -");
        assert_eq!(removal("f-s", &[id]).iter().map(line).collect::<Vec<_>>(), ["status-task-f-s-3 -", "status-connector-f-s -"]);
    }

    const RUNNING_5: &str = r#"status-task-a-0 {"state":"RUNNING","trace":null,"worker_id":"w1:1","generation":5}"#;

    #[test]
    fn a_task_that_runs_is_not_taken_for_unassigned() {
        let unassigned =
            |generation| format!(r#"status-task-a-0 {{"state":"UNASSIGNED","trace":null,"worker_id":"w2:1","generation":{generation},"version":null}}"#);
        let shown = |lines: &[&str]| read(lines).task(&TaskId::new("a", 0)).map(|status| status.state);
        assert_eq!(shown(&[RUNNING_5, &unassigned(4)]), Some(State::Running));
        assert_eq!(shown(&[RUNNING_5, &unassigned(5)]), Some(State::Running));
        assert_eq!(shown(&[RUNNING_5, &unassigned(6)]), Some(State::Unassigned));
        assert_eq!(shown(&[&unassigned(5), RUNNING_5]), Some(State::Running));
        let failed = RUNNING_5.replace("RUNNING", "FAILED");
        assert_eq!(shown(&[&failed, &unassigned(4)]), Some(State::Unassigned), "only what runs is kept");
        assert_eq!(shown(&[RUNNING_5, &failed.replace('5', "4")]), Some(State::Failed), "only UNASSIGNED is left out");
        assert_eq!(shown(&[RUNNING_5, "status-task-a-0 -"]), None);
        let connector = [RUNNING_5, &unassigned(4)].map(|line| line.replace("status-task-a-0", "status-connector-a"));
        assert_eq!(read(&[&connector[0], &connector[1]]).connector("a").map(|status| status.state), Some(State::Unassigned), "connectors have no such rule");
    }

    #[test]
    fn a_safe_put_hides_nobody() {
        let id = TaskId::new("a", 0);
        for (case, worker, generation, put, expected) in [
            ("a later generation", "w2:1", 6, Put::Safe, true),
            ("the same generation", "w2:1", 5, Put::Safe, true),
            ("an earlier generation of another worker", "w2:1", 4, Put::Safe, false),
            ("an earlier generation of the same worker", "w1:1", 4, Put::Safe, true),
            ("not safe", "w2:1", 4, Put::Always, true),
        ] {
            let written = read(&[RUNNING_5]).put_task(&id, &status(State::Failed, worker, generation), put);
            assert_eq!(written.is_some(), expected, "{case}");
        }
        assert!(Statuses::new().put_task(&id, &status(State::Failed, "w2:1", 0), Put::Safe).is_some(), "nothing is known");
    }

    #[test]
    fn what_waits_to_be_written_is_written_while_it_is_true() {
        let id = TaskId::new("a", 0);
        let write = |statuses: &mut Statuses, put, generation| statuses.put_task(&id, &status(State::Failed, "w2:1", generation), put).expect("a record");
        let apply = |statuses: &mut Statuses, line: &str| {
            let (key, value) = line.split_once(' ').expect("a key and a value");
            statuses.apply(Some(key.as_bytes()), (value != "-").then_some(value.as_bytes())).expect(line);
        };
        let mut statuses = Statuses::new();
        let (first, second) = (write(&mut statuses, Put::Safe, 5), write(&mut statuses, Put::Always, 5));
        write(&mut statuses, Put::Always, 6);
        assert!(statuses.is_wanted(&first) && statuses.is_wanted(&second), "the worker is in another generation, and its tasks are as it said");
        apply(&mut statuses, &RUNNING_5.replace('5', "6"));
        assert!(!statuses.is_wanted(&first) && statuses.is_wanted(&second), "another worker has it now: only safe ones give way");
        let last = write(&mut statuses, Put::Always, 7);
        apply(&mut statuses, "status-connector-a -");
        assert!(!statuses.is_wanted(&last), "the connector was deleted");
    }

    #[test]
    fn deleting_a_connector_deletes_its_tasks_and_only_these() {
        let other = RUNNING_5.replace("status-task-a-0", "status-task-a-b-0");
        let ten = RUNNING_5.replace("status-task-a-0", "status-task-a-10");
        let two = RUNNING_5.replace("status-task-a-0", "status-task-a-2");
        let connector = RUNNING_5.replace("status-task-a-0", "status-connector-a");
        let now = read(&[RUNNING_5, &ten, &two, &other, &connector]);
        assert_eq!(now.tasks("a").map(|(task, _)| task).collect::<Vec<_>>(), [0, 2, 10]);
        assert_eq!(now.connectors().map(AsRef::as_ref).collect::<Vec<&str>>(), ["a"]);
        let now = read(&[RUNNING_5, &other, &connector, "status-connector-a -"]);
        assert_eq!((now.tasks("a").count(), now.tasks("a-b").count(), now.connectors().count()), (0, 1, 0));
    }

    #[test]
    fn topics_are_those_of_the_connector() {
        let used =
            |topic: &str, connector: &str| line(&super::topic(&TopicStatus { topic: topic.into(), connector: connector.into(), task: 1, discovered_ms: 7 }));
        let lines = [used("t1", "a"), used("t2", "a"), used("t1", "b:c"), used("t1", "a"), "status-topic-t2:connector-a -".to_owned()];
        let now = read(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(now.topics("a").map(|status| status.topic.as_str()).collect::<Vec<_>>(), ["t1"]);
        assert!(now.uses_topic("a", "t1") && !now.uses_topic("a", "t2") && now.uses_topic("b:c", "t1"), "a topic ends at the first colon");
        assert_eq!(now.topics("z").count(), 0);
    }

    #[test]
    fn what_says_nothing_is_refused_with_its_reason() {
        for (line, why) in [
            ("foo {}", "no key of this form is known"),
            ("status-connector- -", "the connector's name is missing"),
            ("status-task-a -", "no connector and task number after \"status-task-\""),
            ("status-task-a-x -", "no connector and task number after \"status-task-\""),
            ("status-topic-t -", "no \":\" after the topic"),
            ("status-topic-t:a -", "no \":connector-\" after the topic"),
            ("status-topic-:connector-a -", "the topic or the connector has no name"),
            ("status-connector-a {", "its value is not JSON: EOF while parsing an object at line 1 column 1"),
            ("status-connector-a [1]", "its value is an array and no object"),
            (r#"status-connector-a {"state":"HALTED","generation":1}"#, "the state \"HALTED\" is not known"),
            (r#"status-connector-a {"state":"RUNNING","generation":"1"}"#, "the field \"generation\" is a string and no whole number of its size"),
            (r#"status-connector-a {"state":"RUNNING","generation":1,"trace":{}}"#, "the field \"trace\" is an object and no string"),
            (r#"status-topic-t:connector-a {"topic":7}"#, "the field \"topic\" is no object"),
        ] {
            let key = line.split_once(' ').map(|(key, _)| key).unwrap_or_default();
            assert_eq!(refused(line), format!("the record with the key {key:?} of the status topic is ignored: {why}"));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(trace in proptest::option::of(".*"), worker_id in "\\PC*", generation: i32, version in proptest::option::of("\\PC*"), task in 0..9_u32) {
            let status = Status { state: State::Failed, trace, worker_id, generation, version };
            let id = TaskId::new("a-b", task);
            let mut statuses = Statuses::new();
            let Record { key, value } = statuses.put_task(&id, &status, Put::Always).expect("a record").record;
            statuses.apply(Some(&key), value.as_deref()).expect("a status");
            prop_assert_eq!(statuses.task(&id), Some(&status));
        }

        #[test]
        fn no_record_makes_it_panic(key in "(status-(connector|task|topic)-)?[a:0-9-]{0,8}(:connector-)?[a-b]?", value in proptest::option::of("(\\{\"state\":\"RUNNING\",\"generation\":[0-9]{1,12}\\}|\\PC{0,9})")) {
            let mut statuses = Statuses::new();
            let read = statuses.apply(Some(key.as_bytes()), value.as_deref().map(str::as_bytes));
            prop_assert!(read.is_ok() || statuses.connectors.is_empty() && statuses.tasks.is_empty() && statuses.topics.is_empty());
        }
    }
}
