//! A worker in this process: herder, REST API, a connector that takes everything, and a Kafka without records.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use lakehead::batch::{Batch, Commits, Committed, Offsets, TopicPartition};
use lakehead::clock::Clock;
use lakehead::compute::Compute;
use lakehead::connect::config::{Check, ConfigKey, Importance, Type};
use lakehead::connect::{Connector, ErrorKind, Kind, Props, SinkTask, TaskContext, TaskError, TaskReport};
use lakehead::env::Env;
use lakehead::kafka::{Consumer, Group, Kafka, KafkaError, KafkaErrorKind, Logs, OffsetChanges, Polled, Subscription, Wanted};
use lakehead::memory::Budget;
use lakehead::rest::{Bound, Server};
use lakehead::runtime::{Cluster, Herder, HerderHandle};
use lakehead::settings::{Host, Settings};
use lakehead::telemetry::Loggers;
use lakehead_formats::column::Reject;

/// A sink that takes everything. `mode` says how its tasks behave: `fail`, `panic` or `stuck` (in `close`).
#[derive(Debug)]
struct Blackhole;

static KEYS: &[ConfigKey] = &[
    ConfigKey {
        name: "mode",
        kind: Type::String,
        default: Some("work"),
        required: false,
        importance: Importance::Low,
        group: "Blackhole",
        doc: "How tasks behave.",
        check: Check::OneOf(&["work", "fail", "panic", "stuck"]),
    },
    ConfigKey {
        name: "depth",
        kind: Type::Int,
        default: None,
        required: true,
        importance: Importance::High,
        group: "Blackhole",
        doc: "Required, and without meaning.",
        check: Check::Any,
    },
];

impl Connector for Blackhole {
    fn class(&self) -> &'static str {
        "io.lakehead.test.BlackholeSinkConnector"
    }
    fn kind(&self) -> Kind {
        Kind::Sink
    }
    fn keys(&self) -> Vec<&'static [ConfigKey]> {
        vec![KEYS]
    }
    fn sink_task(&self, props: &Props, _: TaskContext) -> Result<Box<dyn SinkTask>, TaskError> {
        let mode = props.get("mode").cloned().unwrap_or_default();
        Ok(Box::new(BlackholeTask { mode }))
    }
}

struct BlackholeTask {
    mode: String,
}

#[async_trait]
impl SinkTask for BlackholeTask {
    async fn start(&mut self) -> Result<(), TaskError> {
        match self.mode.as_str() {
            "fail" => Err(TaskError::new(ErrorKind::BadConfig, "the hole is full").with("hole", "h1")),
            "panic" => panic!("the hole has no bottom"),
            _ => Ok(()),
        }
    }
    async fn open(&mut self, _: &[TopicPartition], _: &Commits) -> Result<(), TaskError> {
        Ok(())
    }
    async fn put(&mut self, _: Batch) -> Result<Vec<Reject>, TaskError> {
        Ok(Vec::new())
    }
    async fn pre_commit(&mut self) -> Result<Commits, TaskError> {
        if self.mode == "stuck" { std::future::pending().await } else { Ok(Commits::new()) }
    }
    fn finish(&mut self, _: &[TopicPartition]) -> bool {
        self.mode == "stuck"
    }
    async fn close(&mut self, _: &[TopicPartition]) {
        if self.mode == "stuck" {
            std::future::pending::<()>().await;
        }
    }
    fn report(&self) -> TaskReport {
        TaskReport { guarantee: "at-least-once".to_owned(), ..TaskReport::default() }
    }
}

/// A Kafka whose topics, of three partitions each, stay empty, and that remembers what groups have committed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Silence {
    groups: Arc<Mutex<BTreeMap<String, Commits>>>,
    /// What becomes of changes of a group.
    refuses: Arc<Mutex<Option<KafkaErrorKind>>>,
}

impl Silence {
    /// The group has committed these: topic, partition, offset, text.
    pub(crate) fn commit(&self, group: &str, commits: &[(&str, i32, i64, &str)]) {
        let commit = |(topic, partition, offset, metadata): &(&str, i32, i64, &str)| {
            (TopicPartition::new(*topic, *partition), Committed { offset: *offset, metadata: (*metadata).to_owned() })
        };
        self.groups.lock().unwrap().entry(group.to_owned()).or_default().extend(commits.iter().map(commit));
    }

    /// From now on changes fail like that.
    pub(crate) fn refuse(&self, kind: Option<KafkaErrorKind>) {
        *self.refuses.lock().unwrap() = kind;
    }
}

impl Kafka for Silence {
    fn consumer(&self, _: &lakehead::kafka::Props, _: &Subscription) -> Result<Box<dyn Consumer>, KafkaError> {
        Ok(Box::new(self.clone()))
    }

    fn group(&self, config: &lakehead::kafka::Props) -> Result<Box<dyn Group>, KafkaError> {
        Ok(Box::new(Outside { kafka: self.clone(), name: config["group.id"].clone() }))
    }
}

/// A group, for somebody outside of it.
#[derive(Debug)]
struct Outside {
    kafka: Silence,
    name: String,
}

impl Outside {
    fn refused(&self) -> Result<(), KafkaError> {
        self.kafka.refuses.lock().unwrap().map_or(Ok(()), |kind| Err(KafkaError::new(kind, "refused")))
    }
}

#[async_trait]
impl Group for Outside {
    async fn committed(&self) -> Result<Commits, KafkaError> {
        Ok(self.kafka.groups.lock().unwrap().get(&self.name).cloned().unwrap_or_default())
    }

    async fn alter(&self, changes: &OffsetChanges) -> Result<(), KafkaError> {
        self.refused()?;
        if let Some(tp) = changes.keys().find(|tp| tp.partition > 2) {
            return Err(KafkaError::new(KafkaErrorKind::Fatal, format!("there is no partition {tp}")));
        }
        let mut groups = self.kafka.groups.lock().unwrap();
        let held = groups.entry(self.name.clone()).or_default();
        held.retain(|tp, _| !changes.contains_key(tp));
        held.extend(changes.iter().filter_map(|(tp, offset)| Some((tp.clone(), Committed::at((*offset)?)))));
        Ok(())
    }

    async fn delete(&self) -> Result<(), KafkaError> {
        self.refused()?;
        self.kafka.groups.lock().unwrap().remove(&self.name);
        Ok(())
    }
}

#[async_trait]
impl Consumer for Silence {
    async fn next(&mut self, _: Wanted) -> Polled {
        std::future::pending().await
    }
    async fn commit(&self, _: &Commits) -> Result<(), KafkaError> {
        Ok(())
    }
    async fn committed(&self, _: &[TopicPartition]) -> Result<Commits, KafkaError> {
        Ok(Commits::new())
    }
    async fn logs(&mut self, _: &[TopicPartition]) -> Result<Logs, KafkaError> {
        Ok(Logs::new())
    }
    async fn seek(&mut self, _: &Offsets) -> Result<(), KafkaError> {
        Ok(())
    }
    async fn close(&mut self) {}
    fn end_offsets(&self) -> Offsets {
        Offsets::new()
    }
}

/// A running worker.
pub(crate) struct World {
    pub(crate) herder: HerderHandle,
    pub(crate) address: SocketAddr,
    /// Where the admin endpoints listen, if that is elsewhere.
    pub(crate) admin_address: Option<SocketAddr>,
    pub(crate) kafka: Silence,
    client: reqwest::Client,
    server: Server,
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.text).unwrap_or(serde_json::Value::Null)
    }
}

impl World {
    /// A worker that is ready, with the hole as its only connector. `more` is added to its settings.
    pub(crate) async fn start(more: &[(&str, &str)]) -> Self {
        Self::with(&[&Blackhole], more).await
    }

    /// A worker with the connectors that ship.
    pub(crate) async fn shipped(more: &[(&str, &str)]) -> Self {
        Self::with(lakehead::plugins::CONNECTORS, more).await
    }

    async fn with(connectors: &'static [&'static dyn Connector], more: &[(&str, &str)]) -> Self {
        let strings = "org.apache.kafka.connect.storage.StringConverter";
        let base = [
            ("bootstrap.servers", "nowhere:9092"),
            ("key.converter", strings),
            ("value.converter", strings),
            ("task.shutdown.graceful.timeout.ms", "200"),
            ("listeners", "http://127.0.0.1:0"),
        ];
        let props: Props = base.iter().chain(more).map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let settings = Arc::new(Settings::from_props(&props, &Host::default()).unwrap());
        let bound = Bound::bind(&settings.rest).await.unwrap();
        let (address, admin_address) = (bound.addresses()[0], bound.admin_addresses().first().copied());
        let kafka = Silence::default();
        let env = Env {
            clock: Clock::system(),
            kafka: Arc::new(kafka.clone()),
            compute: Compute::pool(1),
            memory: Budget::new(1 << 20),
            stores: Arc::new(lakehead::store::urls::Urls),
        };
        let herder = Herder::start(Arc::clone(&settings), env, "worker-s:8083", connectors, Cluster::alone()).unwrap();
        herder.set_cluster_id("JNvtBRpsQyOBhTDQ7gZ7YA".to_owned());
        herder.set_ready();
        let (loggers, _) = Loggers::new("info".parse().unwrap());
        let server = bound.serve(herder.clone(), loggers);
        Self { herder, address, admin_address, kafka, client: reqwest::Client::new(), server }
    }

    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<String>) -> Answer {
        self.send_to(self.address, method, path, headers, body).await
    }

    pub(crate) async fn send_to(&self, address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: Option<String>) -> Answer {
        let url = format!("http://{address}{path}");
        let mut request = self.client.request(method.parse().unwrap(), url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await.unwrap();
        Answer { status: response.status().as_u16(), headers: response.headers().clone(), text: response.text().await.unwrap() }
    }

    /// A request with a JSON body.
    pub(crate) async fn json(&self, method: &str, path: &str, body: serde_json::Value) -> Answer {
        self.send(method, path, &[("Content-Type", "application/json")], Some(body.to_string())).await
    }

    /// A request without a body.
    pub(crate) async fn call(&self, method: &str, path: &str) -> Answer {
        self.send(method, path, &[], None).await
    }

    /// Creates a connector of the blackhole.
    pub(crate) async fn create(&self, name: &str, more: &[(&str, &str)]) {
        let mut config = serde_json::json!({"connector.class": "BlackholeSink", "topics": "t", "depth": "1"});
        for (key, value) in more {
            config[*key] = (*value).into();
        }
        let created = self.json("POST", "/connectors", serde_json::json!({"name": name, "config": config})).await;
        assert_eq!(created.status, 201, "{}", created.text);
    }

    /// The connector's state and its tasks' states, as the REST API shows them.
    pub(crate) async fn states(&self, name: &str) -> (String, Vec<String>) {
        let status = self.call("GET", &format!("/connectors/{name}/status")).await.json();
        let text = |value: &serde_json::Value| value["state"].as_str().unwrap_or_default().to_owned();
        (text(&status["connector"]), status["tasks"].as_array().into_iter().flatten().map(text).collect())
    }

    /// Waits until the states are these.
    pub(crate) async fn settle(&self, name: &str, connector: &str, tasks: &[&str]) {
        for _ in 0..500 {
            let (state, states) = self.states(name).await;
            if state == connector && states == tasks {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("{name} is {:?}, not {connector} with tasks {tasks:?}", self.states(name).await);
    }

    pub(crate) async fn stop(self) {
        self.server.stop(std::time::Duration::from_millis(100)).await;
        self.herder.shutdown().await;
    }
}
