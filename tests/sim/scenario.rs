//! Everything that a seed decides: the connector's configuration, the records, the workers, what the world is like and what goes wrong in it, and when.

use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;
use lakehead::batch::TopicPartition;
use lakehead::connect::Props;

use super::broker::GroupSettings;
use super::store::Temper;

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// SIGKILL, and a new process after a while.
    Kill { worker: usize, back_after: Duration },
    /// SIGTERM, and a new process after a while.
    Stop { worker: usize, back_after: Duration },
    /// SIGSTOP, and SIGCONT after a while.
    Freeze { worker: usize, lasts: Duration },
    /// The group deals out its partitions anew.
    Rebalance,
    /// The group's coordinator answers nobody.
    CoordinatorDown { lasts: Duration },
    /// The store answers nobody.
    StoreDown { lasts: Duration },
    /// The store takes tens of seconds.
    StoreSlow { lasts: Duration },
    /// Uploads in parts are gone.
    UploadsExpire,
}

/// A defect of the world that no run may survive: what the oracle would see if the product had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plant {
    /// An object that is said to be visible is not there.
    Lost,
    /// An object is there twice.
    Doubled,
    /// The records of an object are in the wrong order.
    Disordered,
    /// An object is replaced by another with fewer records.
    Replaced,
    /// A process holds more memory than it may.
    Hoarded,
    /// Some object never becomes visible, whatever is tried.
    Stalled,
}

/// A record that is produced.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) at: Duration,
    pub(crate) to: TopicPartition,
    /// Offsets that are skipped before it, as compaction and transactions leave them.
    pub(crate) gap: i64,
    /// By how much its timestamp differs from the time at which it is produced.
    pub(crate) skew_ms: i64,
    pub(crate) content: Content,
}

/// What is in a record.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// A value that belongs into a file, with this field and so many bytes more.
    Good { field: String, padding: usize },
    /// A value that no file can take, where bad records are tolerated.
    Bad,
    /// No value, where those are left out.
    Null,
}

/// One run, before it begins.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) connector: Props,
    pub(crate) partitions: Vec<TopicPartition>,
    pub(crate) records: Vec<Planned>,
    pub(crate) workers: usize,
    pub(crate) tasks: u32,
    pub(crate) memory_bytes: u64,
    /// The largest batch.
    pub(crate) batch_bytes: u64,
    /// Rows that wait go to disk when memory is short.
    pub(crate) spills: bool,
    /// By how much each worker's clock is wrong.
    pub(crate) clock_skew_ms: Vec<i64>,
    /// The wall clock when it begins.
    pub(crate) epoch_ms: i64,
    pub(crate) group: GroupSettings,
    pub(crate) store: Temper,
    /// In order of time.
    pub(crate) faults: Vec<(Duration, Fault)>,
    /// Until when records come and things fail.
    pub(crate) lasts: Duration,
    /// Files that are open end by the clock.
    pub(crate) ends_by_clock: bool,
    pub(crate) planted: Option<Plant>,
}

/// A value without its padding, at most.
const VALUE_BYTES: usize = 150;

/// Moments at which a day or an hour is about to change, in New York too, where clocks go back in the second.
const EPOCHS_MS: &[i64] = &[1_793_491_140_000, 1_793_512_740_000, 1_774_656_000_000];

impl Scenario {
    /// What the seed says.
    pub(crate) fn of(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let rng = &mut rng;
        let partitions = partitions(rng);
        let workers = rng.usize(1..=3);
        let lasts = Duration::from_secs(rng.u64(20..150));
        let connector = connector(rng);
        let memory_bytes = *pick(rng, &[64 << 20, 64 << 20, 2 << 20, 512 << 10]);
        let is_tight = memory_bytes < 64 << 20;
        let group = group(rng, is_tight);
        let mut scenario = Self {
            seed,
            connector,
            records: Vec::new(),
            workers,
            tasks: if rng.u8(0..4) == 0 { 2 } else { 1 },
            memory_bytes,
            batch_bytes: 0,
            spills: rng.bool(),
            clock_skew_ms: (0..workers).map(|_| clock_skew(rng)).collect(),
            epoch_ms: *pick(rng, EPOCHS_MS),
            group,
            store: temper(rng),
            faults: faults(rng, workers, lasts),
            lasts,
            ends_by_clock: false,
            planted: None,
            partitions,
        };
        scenario.ends_by_clock = scenario.connector.contains_key("rotate.schedule.interval.ms");
        let topics: BTreeSet<&str> = scenario.partitions.iter().map(|tp| &*tp.topic).collect();
        scenario.connector.insert("topics".to_owned(), topics.into_iter().collect::<Vec<_>>().join(","));
        scenario.records = records(rng, &scenario.partitions, lasts, is_tight);
        let padding = |record: &Planned| if let Content::Good { padding, .. } = record.content { padding } else { 0 };
        let largest = scenario.records.iter().map(padding).max().unwrap_or(0);
        scenario.batch_bytes = u64::try_from((largest + VALUE_BYTES) * scenario.group.most_rows).unwrap_or(u64::MAX);
        scenario
    }
}

fn pick<'a, T>(rng: &mut Rng, of: &'a [T]) -> &'a T {
    &of[rng.usize(0..of.len())]
}

fn partitions(rng: &mut Rng) -> Vec<TopicPartition> {
    let orders = (0..rng.i32(1..=4)).map(|partition| TopicPartition::new("orders", partition));
    let others = (0..rng.i32(0..=3).max(1) - 1).map(|partition| TopicPartition::new("returns", partition));
    orders.chain(others).collect()
}

fn clock_skew(rng: &mut Rng) -> i64 {
    match rng.u8(0..8) {
        0 => rng.i64(-600_000..600_000),
        1..4 => rng.i64(-2_000..2_000),
        _ => 0,
    }
}

/// The group.
fn group(rng: &mut Rng, is_tight: bool) -> GroupSettings {
    GroupSettings {
        session_timeout: Duration::from_secs(rng.u64(6..20)),
        rebalance_timeout: Duration::from_secs(60),
        heartbeat: Duration::from_millis(rng.u64(300..2_000)),
        is_cooperative: rng.bool(),
        // Where memory is tight, it is a small part of the records that shows whether the limit holds.
        most_rows: if is_tight { 8 } else { 60 },
        metadata_bytes: *pick(rng, &[4096, 300, 150]),
        lost: *pick(rng, &[0.0, 0.01, 0.1]),
    }
}

fn temper(rng: &mut Rng) -> Temper {
    Temper {
        part_bytes: *pick(rng, &[500, 4_000, 64_000]),
        latency_ms: pick(rng, &[1..10, 10..200, 100..2_000]).clone(),
        lost: *pick(rng, &[0.0, 0.02, 0.15]),
        late: *pick(rng, &[0.0, 0.0, 0.02]),
    }
}

fn connector(rng: &mut Rng) -> Props {
    let mut props: Props = [
        ("connector.class", "io.confluent.connect.s3.S3SinkConnector"),
        ("storage.class", "io.confluent.connect.s3.storage.S3Storage"),
        ("s3.bucket.name", "lake"),
        ("s3.region", "eu-central-1"),
        ("format.class", "io.confluent.connect.s3.format.json.JsonFormat"),
        ("key.converter", "org.apache.kafka.connect.storage.StringConverter"),
        ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
        ("value.converter.schemas.enable", "false"),
        ("errors.tolerance", "all"),
        ("behavior.on.null.values", "ignore"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    let mut set = |key: &str, value: String| props.insert(key.to_owned(), value);
    let is_by_time = partitioner(rng, &mut set);
    set("timezone", (*pick(rng, &["UTC", "America/New_York", "Asia/Kathmandu"])).to_owned());
    let flush_size = match rng.u8(0..3) {
        0 => rng.u32(1..6),
        1 => rng.u32(6..80),
        _ => 1_000_000,
    };
    set("flush.size", flush_size.to_string());
    if is_by_time && rng.bool() {
        set("rotate.interval.ms", rng.u32(1_000..30_000).to_string());
        set("rotate.file.on.partition.change", rng.bool().to_string());
    }
    if flush_size == 1_000_000 || rng.bool() {
        set("rotate.schedule.interval.ms", rng.u32(500..20_000).to_string());
        set("enable.conditional.writes", rng.bool().to_string());
    }
    if rng.u8(0..4) == 0 {
        set("rotate.file.size.bytes", rng.u32(500..8_000).to_string());
    }
    if rng.bool() {
        set("lakehead.rotation.scope", "path".to_owned());
    }
    if rng.u8(0..8) == 0 {
        set("partitioner.max.open.files", rng.u32(1..4).to_string());
    }
    props
}

/// Sets the partitioner; true when it goes by time.
fn partitioner(rng: &mut Rng, set: &mut impl FnMut(&str, String) -> Option<String>) -> bool {
    let class = |name: &str| format!("io.confluent.connect.storage.partitioner.{name}");
    match rng.u8(0..4) {
        0 => {
            set("partitioner.class", class("DefaultPartitioner"));
            false
        }
        1 => {
            set("partitioner.class", class("FieldPartitioner"));
            set("partition.field.name", "c".to_owned());
            false
        }
        _ => {
            set("partitioner.class", class("TimeBasedPartitioner"));
            set("partition.duration.ms", pick(rng, &["5000", "20000", "60000"]).to_string());
            set("path.format", "'day'=dd/'at'=HH-mm-ss".to_owned());
            set("locale", "en-US".to_owned());
            set("timestamp.extractor", pick(rng, &["Record", "Wallclock"]).to_string());
            true
        }
    }
}

fn records(rng: &mut Rng, partitions: &[TopicPartition], lasts: Duration, is_tight: bool) -> Vec<Planned> {
    let count = rng.usize(if is_tight { 400..1200 } else { 50..800 });
    let (fields, width) = (*pick(rng, &[1, 3, 12, 200]), *pick(rng, &[1, 60]));
    let lateness = *pick(rng, &[1, 2_000, 60_000]);
    let (odd, gaps) = (*pick(rng, &[0.0, 0.0, 0.05]), *pick(rng, &[0.0, 0.05]));
    let padding = *pick(rng, if is_tight { &[4_000, 12_000] } else { &[1, 40, 1_500, 12_000] });
    let ms = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
    let mut records: Vec<Planned> = (0..count)
        .map(|_| Planned {
            at: Duration::from_millis(rng.u64(0..ms)),
            to: pick(rng, partitions).clone(),
            gap: if rng.f64() < gaps { rng.i64(1..4) } else { 0 },
            skew_ms: -rng.i64(0..lateness),
            content: match rng.f64() {
                share if share >= odd => Content::Good { field: format!("{:x<width$}", rng.u32(0..fields)), padding: rng.usize(0..padding) },
                _ if rng.bool() => Content::Bad,
                _ => Content::Null,
            },
        })
        .collect();
    records.sort_by_key(|record| record.at);
    records
}

fn faults(rng: &mut Rng, workers: usize, lasts: Duration) -> Vec<(Duration, Fault)> {
    let ms = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
    let count = *pick(rng, &[0, 3, 8, 20]);
    let is_stormy = rng.u8(0..8) == 0; // a rebalance every second or two
    let mut faults: Vec<(Duration, Fault)> = (0..count)
        .map(|_| {
            let worker = rng.usize(0..workers);
            let seconds = |rng: &mut Rng, most| Duration::from_millis(rng.u64(200..most));
            let fault = match rng.u8(0..16) {
                0..4 => Fault::Kill { worker, back_after: seconds(rng, 10_000) },
                4..6 => Fault::Stop { worker, back_after: seconds(rng, 5_000) },
                6..9 => Fault::Freeze { worker, lasts: seconds(rng, 60_000) },
                9..11 => Fault::Rebalance,
                11 => Fault::CoordinatorDown { lasts: seconds(rng, 40_000) },
                12 => Fault::StoreDown { lasts: seconds(rng, 120_000) },
                13 => Fault::StoreSlow { lasts: seconds(rng, 60_000) },
                _ => Fault::UploadsExpire,
            };
            (Duration::from_millis(rng.u64(0..ms)), fault)
        })
        .collect();
    if is_stormy {
        let every = rng.u64(500..2_000);
        faults.extend((0..ms / every).map(|number| (Duration::from_millis(number * every), Fault::Rebalance)));
    }
    faults.sort_by_key(|(at, _)| *at);
    faults
}

/// What was accepted when memory ran out, in every form in which it exists at once: as it came, decoded, copied into files, encoded.
const FORMS: u64 = 8;
/// Memory of an encoder, whatever it encodes.
const ENCODER_BYTES: u64 = 1 << 20;

impl Scenario {
    /// The most that a process may hold: its limit, and for each task a batch and an encoder.
    pub(crate) fn most_memory(&self) -> u64 {
        self.memory_bytes + u64::from(self.tasks) * (FORMS * self.batch_bytes + ENCODER_BYTES)
    }
}
