//! The job's settings, as a user would write them: a worker file and a connector file.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use chrono::{DateTime, Utc};

use crate::connect::Props;
use crate::quickstart::Arguments;
use crate::settings::connector_file::ConnectorFile;
use crate::standalone::ExitError;

/// The connector's name.
pub const CONNECTOR: &str = "quickstart";

/// The topic of runs with nothing of the user's; what is below `topics/quickstart-orders` in the folder is the quickstart's own.
const TOPIC: &str = "quickstart-orders";

/// What the broker inside the process needs that no other does: its groups take as long as a session to let in a second member, and it sits out the
/// whole wait of a fetch that finds nothing, however soon records come.
const EMBEDDED: &[(&str, &str)] = &[("tasks.max", "1"), ("consumer.override.fetch.max.wait.ms", "5")];

/// Where the files go.
#[derive(Debug, Clone)]
pub enum Target {
    /// Below this folder.
    Folder(PathBuf),
    /// Below this URL.
    Store(String),
}

/// One run.
#[derive(Debug, Clone)]
pub struct Job {
    /// Records to generate.
    pub records: u64,
    /// Topic to read and write.
    pub topic: String,
    /// Where the files go.
    pub target: Target,
    /// The user's brokers.
    pub bootstrap_servers: Option<String>,
    /// Whether to go on after the proof.
    pub keep: bool,
}

impl Job {
    /// The run that the arguments ask for. A broker or a store of the user's may hold earlier runs, so each run gets a topic of its own there.
    #[must_use]
    pub fn new(arguments: &Arguments, now: DateTime<Utc>) -> Self {
        let Arguments { records, path, bootstrap_servers, store, keep } = arguments.clone();
        let is_alone = bootstrap_servers.is_none() && store.is_none();
        let topic = if is_alone { TOPIC.to_owned() } else { format!("{TOPIC}-{}", now.timestamp()) };
        Self { records, topic, target: store.map_or(Target::Folder(path), Target::Store), bootstrap_servers, keep }
    }

    /// Removes what an earlier run left where this one writes, so that the proof counts this run's files only. True when there was something.
    ///
    /// # Errors
    /// [`ExitError`] that names the folder.
    pub fn clear_earlier_run(&self) -> Result<bool, ExitError> {
        let (Target::Folder(path), true) = (&self.target, self.topic == TOPIC) else { return Ok(false) };
        let folder = path.join("topics").join(TOPIC);
        match std::fs::remove_dir_all(&folder) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => {
                Err(ExitError::failure(format!("{} of an earlier run cannot be removed: {error}; remove it, or choose another --path", folder.display())))
            }
        }
    }

    /// The worker's settings. Without `--keep` nobody needs the REST API, so it takes a free port.
    #[must_use]
    pub fn worker(&self, bootstrap_servers: &str) -> Props {
        let listeners = if self.keep { "http://:8083" } else { "http://127.0.0.1:0" };
        props(&[
            ("bootstrap.servers", bootstrap_servers),
            ("key.converter", "org.apache.kafka.connect.storage.StringConverter"),
            ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
            ("value.converter.schemas.enable", "false"),
            ("offset.flush.interval.ms", "1000"),
            ("listeners", listeners),
        ])
    }

    /// The connector, as a file on the command line of `lakehead standalone` would give it.
    #[must_use]
    pub fn connector(&self) -> ConnectorFile {
        let store = match &self.target {
            Target::Folder(path) => path.display().to_string(),
            Target::Store(url) => url.clone(),
        };
        let mut config = props(&[
            ("name", CONNECTOR),
            ("connector.class", "io.lakehead.connect.CloudStorageSink"),
            ("topics", &self.topic),
            ("tasks.max", "2"),
            ("lakehead.store.url", &store),
            ("format.class", "io.confluent.connect.s3.format.parquet.ParquetFormat"),
            ("partitioner.class", "io.confluent.connect.storage.partitioner.HourlyPartitioner"),
            ("timestamp.extractor", "Record"),
            ("timezone", "UTC"),
            ("locale", "en-US"),
            ("flush.size", "500000"),
            ("rotate.schedule.interval.ms", "3000"),
        ]);
        if self.bootstrap_servers.is_none() {
            config.extend(props(EMBEDDED));
        }
        ConnectorFile { name: CONNECTOR.to_owned(), config, initial_state: None }
    }

    /// What is about to happen, with both files.
    #[must_use]
    pub fn introduction(&self, bootstrap_servers: &str) -> String {
        let whose = if self.bootstrap_servers.is_some() { "" } else { " (a broker inside this process)" };
        let file = |props: &Props| {
            props.iter().fold(String::new(), |mut text, (key, value)| {
                // Writing to a text cannot fail.
                writeln!(text, "  {key}={value}").ok();
                text
            })
        };
        format!(
            "{} order events go through topic {} at {bootstrap_servers}{whose} and become Parquet files by hour.\n\n\
             The same job with `lakehead standalone worker.properties quickstart.properties`:\n\n\
             worker.properties\n{}\nquickstart.properties\n{}\n",
            super::progress::grouped(self.records),
            self.topic,
            file(&self.worker(bootstrap_servers)),
            file(&self.connector().config),
        )
    }

    /// Where the files of the topic are, for people and DuckDB.
    #[must_use]
    pub fn place(&self) -> String {
        let below = |root: &str| format!("{}/topics/{}", root.trim_end_matches('/'), self.topic);
        match &self.target {
            Target::Folder(path) => below(&path.display().to_string()),
            Target::Store(url) => below(url),
        }
    }

    /// The folder, when the files go to one.
    #[must_use]
    pub fn folder(&self) -> Option<&Path> {
        match &self.target {
            Target::Folder(path) => Some(path),
            Target::Store(_) => None,
        }
    }

    /// How to ask the files.
    #[must_use]
    pub fn query(&self) -> String {
        format!(
            "\nAsk them:\n  duckdb -c \"SELECT country, count(*) AS orders, round(sum(amount), 2) AS amount FROM read_parquet('{}/**/*.parquet') GROUP BY country ORDER BY orders DESC\"\n",
            self.place()
        )
    }

    /// What `--keep` does next.
    #[must_use]
    pub fn goes_on(&self, addresses: &[SocketAddr]) -> String {
        let port = addresses.first().map_or(8083, SocketAddr::port);
        format!(
            "\nGoing on with {} records a second until Ctrl-C. The REST API:\n  curl -s http://localhost:{port}/connectors/{CONNECTOR}/status\n",
            super::progress::grouped(super::KEEP_RATE)
        )
    }
}

fn props(pairs: &[(&str, &str)]) -> Props {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(path: &Path, store: Option<&str>) -> Job {
        let store = store.map(str::to_owned);
        let arguments = Arguments { records: 10, path: path.to_owned(), bootstrap_servers: None, store, keep: false };
        Job::new(&arguments, DateTime::from_timestamp(1_780_000_000, 0).unwrap())
    }

    #[test]
    fn what_belongs_to_the_user_is_never_shared_between_runs() {
        assert_eq!(job(Path::new("lake"), None).topic, "quickstart-orders");
        assert_eq!(job(Path::new("lake"), Some("s3://b/p/")).place(), "s3://b/p/topics/quickstart-orders-1780000000");
    }

    #[test]
    fn only_the_quickstarts_own_files_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (own, others) = (folder.path().join("topics/quickstart-orders/year=2026"), folder.path().join("topics/orders"));
        std::fs::create_dir_all(&own).unwrap();
        std::fs::create_dir_all(&others).unwrap();
        assert!(job(folder.path(), None).clear_earlier_run().unwrap());
        assert!(!own.try_exists().unwrap() && others.try_exists().unwrap());
        assert!(!job(folder.path(), None).clear_earlier_run().unwrap());
    }
}
