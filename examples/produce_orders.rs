//! Writes order events to a Kafka topic as fast as it takes them, or prints them: the load generator of the benchmarks and the live tests.
//!
//! Order `i` goes to partition `i % partitions`, in order, once: the producer is idempotent, so that what is counted afterwards is the sink's work alone.
//! The topic is created when it is missing. The last line on standard output says what was written.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use lakehead::quickstart::orders;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

/// How long the broker may take to accept what is left at the end.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(120);

/// Writes order events to a Kafka topic.
#[derive(Debug, Parser)]
struct Arguments {
    /// Kafka's `bootstrap.servers`.
    #[arg(long, default_value = "127.0.0.1:9092")]
    bootstrap_servers: String,
    /// The topic; it is created when it is missing.
    #[arg(long, default_value = "orders")]
    topic: String,
    /// Partitions of the topic: order `i` goes to partition `i % partitions`.
    #[arg(long, default_value_t = 6)]
    partitions: u32,
    /// How many orders.
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// The first order's number.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// The records' encoding.
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
    /// The schema's id in the registry (`--format avro`).
    #[arg(long, default_value_t = 1)]
    schema_id: u32,
    /// Kafka's `compression.type`: none, gzip, snappy, lz4 or zstd.
    #[arg(long, default_value = "none")]
    compression: String,
    /// Every so many records of a partition, one that is no order; 0: none.
    #[arg(long, default_value_t = 0)]
    bad_every: u64,
    /// Prints the records as JSON lines and leaves Kafka alone.
    #[arg(long)]
    print: bool,
    /// Prints the Avro schema of the records and leaves Kafka alone.
    #[arg(long)]
    print_avro_schema: bool,
}

impl Arguments {
    fn is_bad(&self, i: u64) -> bool {
        self.bad_every > 0 && (i / u64::from(self.partitions.max(1))) % self.bad_every == self.bad_every - 1
    }
}

/// How a record's value is encoded.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// JSON without a schema.
    Json,
    /// JSON in the envelope of `JsonConverter` with `schemas.enable=true`.
    Envelope,
    /// Avro with Confluent's framing.
    Avro,
}

/// Remembers the first record that the broker refused.
#[derive(Debug, Default)]
struct Refusals(Mutex<Option<KafkaError>>);

impl ClientContext for Refusals {}

impl ProducerContext for Refusals {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get_or_insert_with(|| error.clone());
        }
    }
}

impl Refusals {
    fn check(&self) -> Result<(), KafkaError> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone().map_or(Ok(()), Err)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = if arguments.print_avro_schema {
        writeln!(io::stdout(), "{}", orders::AVRO_SCHEMA).map_err(Into::into)
    } else if arguments.print {
        print(&arguments).map_err(Into::into)
    } else {
        produce(&arguments).await
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn print(arguments: &Arguments) -> io::Result<()> {
    let mut out = io::BufWriter::with_capacity(1 << 20, io::stdout().lock());
    let mut line = Vec::new();
    for i in arguments.from..arguments.from + arguments.records {
        line.clear();
        orders::write_json(&mut line, i);
        line.push(b'\n');
        out.write_all(&line)?;
    }
    out.flush()
}

async fn produce(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    create_topic(arguments).await?;
    let started = Instant::now();
    let bytes = send(arguments)?;
    let seconds = started.elapsed().as_secs_f64();
    writeln!(
        io::stdout(),
        r#"{{"topic":"{}","records":{},"value_bytes":{bytes},"seconds":{seconds:.2},"records_per_second":{:.0}}}"#,
        arguments.topic,
        arguments.records,
        f64::from(u32::try_from(arguments.records)?) / seconds,
    )?;
    Ok(())
}

fn client(arguments: &Arguments) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &arguments.bootstrap_servers);
    config
}

async fn create_topic(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let admin: AdminClient<DefaultClientContext> = client(arguments).create()?;
    let topic = NewTopic::new(&arguments.topic, i32::try_from(arguments.partitions)?, TopicReplication::Fixed(1));
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
    for created in admin.create_topics([&topic], &options).await? {
        match created {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => return Err(format!("cannot create topic \"{topic}\": {code}").into()),
        }
    }
    Ok(())
}

/// Sends every order and waits until the broker has them; returns the bytes of their values.
fn send(arguments: &Arguments) -> Result<u64, Box<dyn std::error::Error>> {
    let producer: BaseProducer<Refusals> = client(arguments)
        .set("compression.type", &arguments.compression)
        .set("enable.idempotence", "true")
        .set("linger.ms", "20")
        .set("batch.size", "1000000")
        .set("batch.num.messages", "100000")
        .set("queue.buffering.max.messages", "500000")
        .set("queue.buffering.max.kbytes", "262144")
        .set("delivery.report.only.error", "true") // librdkafka's own
        .create_with_context(Refusals::default())?;
    let partitions = u64::from(arguments.partitions.max(1));
    let mut value = Vec::with_capacity(4096);
    let mut bytes = 0;
    for i in arguments.from..arguments.from + arguments.records {
        value.clear();
        match arguments.format {
            _ if arguments.is_bad(i) => value.extend_from_slice(b"no order"),
            Format::Json => orders::write_json(&mut value, i),
            Format::Envelope => orders::write_envelope(&mut value, i),
            Format::Avro => orders::write_framed_avro(&mut value, arguments.schema_id, i),
        }
        bytes += u64::try_from(value.len())?;
        let mut record = BaseRecord::<(), [u8]>::to(&arguments.topic).partition(i32::try_from(i % partitions)?).payload(&value);
        while let Err((error, again)) = producer.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error.into());
            }
            producer.poll(Duration::from_millis(50));
            producer.context().check()?;
            record = again;
        }
    }
    producer.flush(FLUSH_TIMEOUT)?;
    producer.context().check()?;
    Ok(bytes)
}
