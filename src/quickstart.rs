//! `lakehead quickstart`: the main job with nothing installed and nothing configured.
//!
//! Order events go through a broker inside the process (librdkafka's mock cluster, which speaks the real protocol) and the same worker, herder and sink as in
//! `lakehead standalone`, and become Parquet files by hour. The command ends by itself, with a proof: the rows in the files' footers are the
//! records that were generated, partition by partition.
//!
//! Parts: [`orders`] (the records), [`broker`] (where they go), [`generator`] (who writes them), [`job`] (the worker's and the connector's settings),
//! [`progress`] (what is shown meanwhile), [`proof`] (what the files hold).

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use crate::clock::Clock;
use crate::compute::Compute;
use crate::quickstart::broker::Broker;
use crate::quickstart::generator::Generator;
use crate::quickstart::job::{CONNECTOR, Job};
use crate::quickstart::progress::Watch;
use crate::runtime::Cluster;
use crate::settings::{Host, LogFormat, Settings};
use crate::standalone::{self, ExitError, Running};
use crate::telemetry::{self, Loggers};

pub mod broker;
pub mod generator;
pub mod job;
pub mod orders;
pub mod progress;
pub mod proof;

/// Records per second that `--keep` goes on with.
const KEEP_RATE: u64 = 1_000;

/// Arguments of `lakehead quickstart`.
#[derive(Debug, Clone, clap::Args)]
pub struct Arguments {
    /// Records to generate.
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub records: u64,
    /// Folder for the files.
    #[arg(long, value_name = "FOLDER", default_value = "lake")]
    pub path: PathBuf,
    /// Kafka brokers to use instead of the one inside the process; a topic is made for each run.
    #[arg(long, value_name = "HOST:PORT,…")]
    pub bootstrap_servers: Option<String>,
    /// Store to write to instead of the folder: s3://bucket/prefix, gs://…, az://…; credentials come from the environment.
    #[arg(long, value_name = "URL", conflicts_with = "path")]
    pub store: Option<String>,
    /// Goes on with 1,000 records a second, and serves REST on port 8083, until it is told to end.
    #[arg(long)]
    pub keep: bool,
}

/// Runs the quickstart, and tells on `out` how it goes.
///
/// # Errors
/// [`ExitError`] when something could not be started, a task failed, or the files do not hold what was generated.
pub fn run(arguments: &Arguments, out: &mut impl Write) -> Result<(), ExitError> {
    let host = Host::detect();
    let loggers = telemetry::init(LogFormat::Text, host.environment.get("LAKEHEAD_LOG").map_or("warn", String::as_str));
    let threads = host.cores.max(1);
    standalone::block_on(threads, async {
        let mut ended = std::pin::pin!(standalone::ended().map_err(ExitError::start)?);
        let job = Job::new(arguments, Clock::system().now());
        let stage = Stage::set(job, &host, loggers, out).await?;
        let done = tokio::select! {
            done = stage.perform(&host, out) => done,
            signal = &mut ended => Err(ExitError::failure(format!("{signal}: ended before every record was in a file; run it again to start over"))),
        };
        if done.is_ok() && stage.job.keep {
            tell(out, &stage.job.goes_on(&stage.running.addresses))?;
            tokio::select! {
                over = stage.go_on() => over?,
                _ = &mut ended => {}
            }
        }
        stage.running.stop().await;
        done
    })
}

/// Broker, worker and connector, ready for records.
struct Stage {
    job: Job,
    /// Ends when it is dropped, so it stays as long as the worker.
    _broker: Broker,
    running: Running,
    generator: Generator,
}

impl Stage {
    async fn set(job: Job, host: &Host, loggers: Loggers, out: &mut impl Write) -> Result<Self, ExitError> {
        if job.clear_earlier_run()? {
            tell(out, "The files of an earlier run are removed.\n")?;
        }
        let broker = Broker::start(job.bootstrap_servers.as_deref(), &job.topic).await?;
        let servers = broker.bootstrap_servers();
        let settings = Arc::new(Settings::from_props(&job.worker(&servers), host).map_err(ExitError::failure)?);
        let running = Running::start(&settings, standalone::kafka(), loggers, async |_| Ok(Cluster::alone())).await?;
        tell(out, &job.introduction(&servers))?;
        running.create(vec![job.connector()]).await?;
        let generator = Generator::new(&broker, &job.topic, Compute::pool(1))?;
        Ok(Self { job, _broker: broker, running, generator })
    }

    /// Every record, and the proof.
    async fn perform(&self, host: &Host, out: &mut impl Write) -> Result<(), ExitError> {
        let mut watch = Watch::new(self.running.herder.clone(), CONNECTOR, self.job.records);
        let generated = self.generator.run(0..self.job.records, &self.running.herder, None);
        let ((), summary) = tokio::try_join!(generated, watch.until_committed(out))?;
        let files = proof::Lake::open(&self.job, host)?.read(&self.job.topic).await?;
        tell(out, &files.report(&summary, &self.job))?;
        files.check(self.job.records)?;
        tell(out, &self.job.query())
    }

    /// A record every millisecond, until the process is told to end.
    async fn go_on(&self) -> Result<(), ExitError> {
        self.generator.run(self.job.records..u64::MAX, &self.running.herder, Some(KEEP_RATE)).await
    }
}

fn tell(out: &mut impl Write, text: &str) -> Result<(), ExitError> {
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(ExitError::failure)
}
