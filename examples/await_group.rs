//! Waits until a consumer group has committed the end of every partition of a topic: how the benchmarks know that a job is done.
//!
//! Prints the sum of the end offsets. Fails after `--timeout-seconds`, with what was committed by then.

use std::io::{self, Write};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Waits until a consumer group has committed the end of a topic.
#[derive(Debug, Parser)]
struct Arguments {
    /// Kafka's `bootstrap.servers`.
    #[arg(long, default_value = "127.0.0.1:9092")]
    bootstrap_servers: String,
    /// The topic, to which nothing is written meanwhile.
    #[arg(long)]
    topic: String,
    /// The group: `connect-<connector>`.
    #[arg(long)]
    group: String,
    /// When to give up.
    #[arg(long, default_value_t = 600)]
    timeout_seconds: u64,
    /// Ms between two looks.
    #[arg(long, default_value_t = 20)]
    interval_ms: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match wait(&arguments) {
        Ok(end) => match writeln!(io::stdout(), "{end}") {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
        },
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn wait(arguments: &Arguments) -> Result<i64, Box<dyn std::error::Error>> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &arguments.bootstrap_servers).set("group.id", &arguments.group);
    let client: BaseConsumer = config.create()?;
    let ends = end_offsets(&client, &arguments.topic)?;
    let total = ends.iter().map(|(_, end)| end).sum();
    let deadline = Instant::now() + Duration::from_secs(arguments.timeout_seconds);
    loop {
        // A coordinator that is not there yet is no reason to give up before the deadline.
        let committed = committed_offsets(&client, &arguments.topic, &ends);
        if committed.as_ref().is_ok_and(|committed| *committed == ends) {
            return Ok(total);
        }
        if Instant::now() > deadline {
            return Err(format!("group \"{}\" has committed {committed:?} of {ends:?}", arguments.group).into());
        }
        thread::sleep(Duration::from_millis(arguments.interval_ms));
    }
}

/// Partition → offset.
type Offsets = Vec<(i32, i64)>;

fn end_offsets(client: &BaseConsumer, topic: &str) -> Result<Offsets, KafkaError> {
    let metadata = client.fetch_metadata(Some(topic), REQUEST_TIMEOUT)?;
    let mut partitions: Vec<_> = metadata.topics().iter().flat_map(|topic| topic.partitions()).map(|partition| partition.id()).collect();
    partitions.sort_unstable();
    partitions.into_iter().map(|partition| Ok((partition, client.fetch_watermarks(topic, partition, REQUEST_TIMEOUT)?.1))).collect()
}

fn committed_offsets(client: &BaseConsumer, topic: &str, of: &Offsets) -> Result<Offsets, KafkaError> {
    let mut asked = TopicPartitionList::new();
    for (partition, _) in of {
        asked.add_partition(topic, *partition);
    }
    let committed = client.committed_offsets(asked, REQUEST_TIMEOUT)?;
    let offset = |offset| if let Offset::Offset(offset) = offset { offset } else { 0 };
    let mut offsets: Offsets = committed.elements().iter().map(|element| (element.partition(), offset(element.offset()))).collect();
    offsets.sort_unstable();
    Ok(offsets)
}
