//! The config topic: what connectors, tasks and target states a cluster has, as the replay of one partition's records.
//!
//! [`Replay::apply`] takes the records in their order and says what changed; [`Replay::snapshot`] is what is known now, cheap to take and to clone. The rules
//! are upstream's (`KafkaConfigBackingStore`), one by one, because members of one group must come to the same state and to the same offset:
//!
//! - The offset is that of the last record whose value could be read, plus one; -1 if there was none.
//! - Configurations of tasks wait for the commit record after them, and apply if all of the commit's tasks are there. Otherwise the topic was compacted
//!   between them: the connector is inconsistent, shows no tasks, and its tasks must be published again.
//! - A target state may come before its connector. A connector without one is started.
//!
//! [`records`] has what is written.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::session::SessionKey;
use super::{TaskId, json};

pub mod records;
mod snapshot;
#[cfg(test)]
mod tests;

pub use snapshot::Snapshot;
use snapshot::{Entry, Shared};

/// A configuration as it was written: placeholders of config providers are in it, and a value can be null.
pub type RawConfig = BTreeMap<String, Option<String>>;

/// What a connector shall do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetState {
    /// Work.
    Started,
    /// Keep its tasks, and rest.
    Paused,
    /// Have no tasks.
    Stopped,
}

impl TargetState {
    /// As in the records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "STARTED",
            Self::Paused => "PAUSED",
            Self::Stopped => "STOPPED",
        }
    }

    fn from_str(text: &str) -> Option<Self> {
        [Self::Started, Self::Paused, Self::Stopped].into_iter().find(|state| state.as_str() == text)
    }
}

/// A request to restart a connector, for all members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestartRequest {
    /// The connector's name.
    pub connector: Arc<str>,
    /// Its tasks, too.
    pub include_tasks: bool,
    /// Only what has failed.
    pub only_failed: bool,
}

impl RestartRequest {
    /// How much it restarts, as far as one can tell: of several pending requests for a connector, the one with the highest number is carried out.
    #[must_use]
    pub fn impact(&self) -> u8 {
        u8::from(self.include_tasks) + 2 * u8::from(!self.only_failed)
    }
}

/// What a record changed. Before a worker has caught up with the topic, it looks at the snapshot alone: old restart requests and logger levels are history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// There is a connector more: work is to be shared out anew.
    ConnectorAdded(Arc<str>),
    /// A connector has another configuration, or the same once more: its owner restarts it.
    ConnectorUpdated(Arc<str>),
    /// There is a connector less: work is to be shared out anew.
    ConnectorRemoved(Arc<str>),
    /// A commit: work is to be shared out anew, and these tasks start again with what is new.
    TasksCommitted {
        /// The connector's name.
        connector: Arc<str>,
        /// Tasks with a new configuration; empty when the commit could not be applied.
        tasks: Vec<TaskId>,
    },
    /// A connector that exists shall do something else.
    TargetState(Arc<str>),
    /// A connector that runs shall run: nothing new, unless its tasks hold something back.
    Resumed(Arc<str>),
    /// Somebody wants a restart.
    Restart(RestartRequest),
    /// There is another key for the requests between workers.
    SessionKey(SessionKey),
    /// Loggers of this namespace shall have this level.
    LoggerLevel {
        /// A logger, and all below it.
        namespace: String,
        /// As it was written.
        level: String,
    },
    /// A record that says nothing that can be used: for the log.
    Ignored(Ignored),
}

/// Why a record was of no use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// Its offset.
    pub offset: i64,
    /// Its key.
    pub key: String,
    /// What was expected, and what was found; no value.
    pub why: String,
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the record with the key {:?} at offset {} of the config topic is ignored: {}", self.key, self.offset, self.why)
    }
}

/// Task configurations that wait for their commit. A connector without any has an empty map once it has had some, as upstream's generations depend on it.
type Deferred = BTreeMap<Arc<str>, BTreeMap<u32, Arc<RawConfig>>>;

/// The state after some records of the topic.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    shared: Shared,
    deferred: Deferred,
}

impl Replay {
    /// Before the first record.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What is known now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.shared.snapshot()
    }

    /// Takes the next record, and says what it changed; `None` if nothing that anybody needs to know at once.
    pub fn apply(&mut self, offset: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> Option<Change> {
        let key = key.map(String::from_utf8_lossy);
        let ignored = |why: String| Some(Change::Ignored(Ignored { offset, key: key.as_deref().unwrap_or("null").to_owned(), why }));
        let has_properties = key.as_deref().is_some_and(|key| key.starts_with(records::CONNECTOR) || key.starts_with(records::TASK));
        let read = if has_properties { Said::properties(value) } else { None };
        let said = match read.map_or_else(|| json::parse(value).map(Said::Value), Ok) {
            Ok(said) => said,
            Err(error) => return ignored(format!("its value is not JSON: {error}")),
        };
        self.shared.set_offset(offset.saturating_add(1));
        let Some(key) = &key else { return ignored("records without a key mean nothing".to_owned()) };
        self.apply_said(key, said).unwrap_or_else(ignored)
    }

    fn apply_said(&mut self, key: &str, said: Said) -> Result<Option<Change>, String> {
        match (said, key.strip_prefix(records::CONNECTOR), key.strip_prefix(records::TASK)) {
            (Said::Value(value), ..) => self.apply_value(key, value),
            (Said::Properties(config), Some(connector), _) => Ok(Some(self.configured(connector, config))),
            (Said::Properties(config), _, Some(task)) => {
                self.defer(deferred_id(task)?, config);
                Ok(None)
            }
            (Said::Properties(_), ..) => Ok(None),
        }
    }

    /// The order of the prefixes is upstream's; `connector-` is no prefix of the others, but a connector's name can be anything.
    fn apply_value(&mut self, key: &str, value: Value) -> Result<Option<Change>, String> {
        if let Some(connector) = key.strip_prefix(records::TARGET_STATE) {
            self.target_state(connector, value)
        } else if let Some(connector) = key.strip_prefix(records::CONNECTOR) {
            self.connector(connector, value)
        } else if let Some(task) = key.strip_prefix(records::TASK) {
            self.defer(deferred_id(task)?, properties(value)?);
            Ok(None)
        } else if let Some(connector) = key.strip_prefix(records::COMMIT) {
            self.commit(connector, value)
        } else if let Some(connector) = key.strip_prefix(records::RESTART) {
            restart(connector, value)
        } else if let Some(connector) = key.strip_prefix(records::TASK_COUNT) {
            self.task_count(connector, value)
        } else if key == records::SESSION_KEY {
            self.session_key(value)
        } else if let Some(namespace) = key.strip_prefix(records::LOGGER) {
            let level = text(&object(value)?, "level")?;
            Ok(Some(Change::LoggerLevel { namespace: namespace.to_owned(), level }))
        } else {
            Err("no key of this form is known".to_owned())
        }
    }

    fn target_state(&mut self, connector: &str, value: Value) -> Result<Option<Change>, String> {
        if value.is_null() {
            self.shared.update(connector, |entry| entry.target = entry.config.is_some().then_some(TargetState::Started));
            return Ok(None);
        }
        let value = object(value)?;
        // Workers that do not know STOPPED read and write `state` alone.
        let written = text(&value, "state.v2").or_else(|_| text(&value, "state"))?;
        let state = TargetState::from_str(&written).ok_or_else(|| format!("the target state {written:?} is not known"))?;
        let (before, exists) = self.shared.update(connector, |entry| (entry.target.replace(state), entry.config.is_some()));
        Ok(match before == Some(state) {
            _ if !exists => None,
            false => Some(Change::TargetState(connector.into())),
            true => (state == TargetState::Started).then(|| Change::Resumed(connector.into())),
        })
    }

    fn connector(&mut self, connector: &str, value: Value) -> Result<Option<Change>, String> {
        if value.is_null() {
            return Ok(self.remove(connector).then(|| Change::ConnectorRemoved(connector.into())));
        }
        Ok(Some(self.configured(connector, properties(value)?)))
    }

    fn configured(&mut self, connector: &str, config: RawConfig) -> Change {
        let before = self.shared.update(connector, |entry| {
            entry.target.get_or_insert(TargetState::Started);
            entry.config.replace(Arc::new(config))
        });
        if before.is_some() { Change::ConnectorUpdated(connector.into()) } else { Change::ConnectorAdded(connector.into()) }
    }

    /// Drops a connector's configuration and those of its tasks; true if it had one.
    fn remove(&mut self, connector: &str) -> bool {
        self.deferred.remove(connector);
        self.shared.update(connector, Entry::remove_configs)
    }

    fn defer(&mut self, id: TaskId, config: RawConfig) {
        self.deferred.entry(id.connector).or_default().insert(id.task, Arc::new(config));
    }

    fn commit(&mut self, connector: &str, value: Value) -> Result<Option<Change>, String> {
        if !self.shared.contains(connector) {
            self.remove(connector);
            return Ok(None); // of a connector that was deleted, and of which compaction left nothing else
        }
        let count = count(&object(value)?, "tasks")?;
        let deferred = self.deferred.get_mut(connector).map(std::mem::take);
        let updated: Vec<u32> = deferred.iter().flatten().map(|(task, _)| *task).collect();
        let complete = deferred.as_ref().map_or(count == 0, |tasks| (0..count).all(|task| tasks.contains_key(&task)));
        self.shared.update(connector, |entry| entry.commit(count, deferred.filter(|_| complete), complete));
        let connector: Arc<str> = connector.into();
        let updated = if complete { updated } else { Vec::new() };
        let tasks = updated.into_iter().map(|task| TaskId { connector: Arc::clone(&connector), task }).collect();
        Ok(Some(Change::TasksCommitted { connector, tasks }))
    }

    fn task_count(&mut self, connector: &str, value: Value) -> Result<Option<Change>, String> {
        let count = count(&object(value)?, "task-count")?;
        self.shared.update(connector, |entry| {
            entry.task_count_record = Some(count);
            entry.pending_fencing = false;
        });
        Ok(None)
    }

    fn session_key(&mut self, value: Value) -> Result<Option<Change>, String> {
        let value = object(value)?;
        let encoded = text(&value, "key")?;
        let secret = super::session::BASE64.decode(encoded).map_err(|_| "the field \"key\" is not base64".to_owned())?;
        let created_ms = value.get("creation-timestamp").and_then(Value::as_i64).ok_or("the field \"creation-timestamp\" is not a whole number")?;
        let key = SessionKey::new(text(&value, "algorithm")?, secret, created_ms);
        self.shared.set_session_key(key.clone());
        Ok(Some(Change::SessionKey(key)))
    }
}

/// What a record's value says. Nearly all bytes of the topic are configurations, and these are read without a detour.
enum Said {
    Properties(RawConfig),
    Value(Value),
}

impl Said {
    /// A configuration of the usual form: an object of texts and nulls in an object. Whatever else it is, [`json::parse`] says.
    fn properties(value: Option<&[u8]>) -> Option<Self> {
        #[derive(Deserialize)]
        struct Usual {
            properties: RawConfig,
        }
        let usual: Usual = serde_json::Deserializer::from_slice(value?).into_iter().next()?.ok()?;
        Some(Self::Properties(usual.properties))
    }
}

/// A request to restart; upstream takes anything that is no boolean as false.
fn restart(connector: &str, value: Value) -> Result<Option<Change>, String> {
    let value = object(value)?;
    let flag = |name| value.get(name).and_then(Value::as_bool).unwrap_or(false);
    let (include_tasks, only_failed) = (flag("include-tasks"), flag("only-failed"));
    Ok(Some(Change::Restart(RestartRequest { connector: connector.into(), include_tasks, only_failed })))
}

/// `orders-eu-3` → task 3 of `orders-eu`. As Java splits, dashes at the end do not count.
fn task_id(text: &str) -> Option<TaskId> {
    let (connector, number) = text.trim_end_matches('-').rsplit_once('-')?;
    let number: i32 = number.parse().ok()?;
    Some(TaskId::new(connector, u32::try_from(number).ok()?))
}

fn deferred_id(text: &str) -> Result<TaskId, String> {
    task_id(text).ok_or_else(|| "no connector and task number after \"task-\"".to_owned())
}

fn object(value: Value) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(members) => Ok(members),
        other => Err(format!("its value is {} and no object", json::kind(Some(&other)))),
    }
}

fn text(value: &Map<String, Value>, name: &str) -> Result<String, String> {
    match value.get(name) {
        Some(Value::String(text)) => Ok(text.clone()),
        other => Err(format!("the field {name:?} is {} and no string", json::kind(other))),
    }
}

/// Upstream cuts a number to 32 bits; more tasks than that are nobody's.
fn count(value: &Map<String, Value>, name: &str) -> Result<u32, String> {
    let number = value.get(name).and_then(Value::as_i64).ok_or_else(|| format!("the field {name:?} is {} and no whole number", json::kind(value.get(name))))?;
    i32::try_from(number).ok().and_then(|number| u32::try_from(number).ok()).ok_or_else(|| format!("the field {name:?} is {number} and no number of tasks"))
}

/// The configuration in `{"properties":{…}}`; values that are no strings become their text.
fn properties(value: Value) -> Result<RawConfig, String> {
    let mut value = object(value)?;
    let Some(Value::Object(members)) = value.get_mut("properties").map(Value::take) else {
        return Err(format!("the field \"properties\" is {} and no object", json::kind(value.get("properties"))));
    };
    let text = |value| match value {
        Value::Null => None,
        Value::String(text) => Some(text),
        other => Some(other.to_string()),
    };
    Ok(members.into_iter().map(|(key, value)| (key, text(value))).collect())
}
