//! Records through a connector into the recording store, with some settings.

use std::collections::BTreeMap;

use lakehead::batch::TopicPartition;
use lakehead::connect::Props;
use serde_json::{Value, json};

use crate::play::{Played, Script, play, still};
use crate::records::{Reading, Record};
use crate::store::{Object, Recorder};

/// Noon of 2025-06-01, UTC.
pub(crate) const NOON: i64 = 1_748_779_200_000;
pub(crate) const MINUTE: i64 = 60_000;
pub(crate) const HOUR: i64 = 60 * MINUTE;

pub(crate) const JSON: &str = "io.confluent.connect.s3.format.json.JsonFormat";
pub(crate) const AVRO: &str = "io.confluent.connect.s3.format.avro.AvroFormat";
pub(crate) const PARQUET: &str = "io.confluent.connect.s3.format.parquet.ParquetFormat";
pub(crate) const BYTES: &str = "io.confluent.connect.s3.format.bytearray.ByteArrayFormat";
pub(crate) const FIELD: &str = "io.confluent.connect.storage.partitioner.FieldPartitioner";
pub(crate) const HOURLY: &str = "io.confluent.connect.storage.partitioner.HourlyPartitioner";
pub(crate) const TIME: &str = "io.confluent.connect.storage.partitioner.TimeBasedPartitioner";

/// Settings, in the order in which they are set.
pub(crate) type Settings = &'static [(&'static str, &'static str)];

/// What is put: four records of partition 0 of topic `t`, an offset each.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Put {
    /// Structs, 20 minutes apart from noon on, of country a and b in turn; their field `timestamp` is a day earlier, `paid` two days.
    Orders,
    /// The same; the second is a tombstone.
    Tombstone,
    /// The same; the wall clock then goes on by an hour.
    OrdersAndAnHour,
    /// Structs of version 2 and 1 of a schema in turn.
    Versions,
    /// Bytes.
    Bytes,
    /// A struct with an enum, a map with optional keys, and a decimal.
    Types,
}

impl Put {
    fn forms(self) -> Vec<Value> {
        let order = |i: i64| {
            let day = 24 * HOUR;
            json!({"offset": i, "timestamp": NOON + 20 * MINUTE * i, "schema": "struct shop.Order { country: string, n: int64, timestamp: int64, paid: int64 }",
                "value": {"country": if i % 2 == 0 { "a" } else { "b" }, "n": i, "timestamp": NOON - day, "paid": NOON - 2 * day}})
        };
        let null = |i: i64| json!({"offset": i, "timestamp": NOON, "value": null});
        let version = |i: i64| match i % 2 {
            0 => json!({"offset": i, "schema": "struct shop.V v2 { n: int64, m: int64 default 7 }", "value": {"n": i, "m": 1}}),
            _ => json!({"offset": i, "schema": "struct shop.V v1 { n: int64 }", "value": {"n": i}}),
        };
        let schema = "struct shop.Types v3 { color: enum Color {RED, GREEN}, m: map<optional string, int32>, d: Decimal(scale=2) }";
        (0..4)
            .map(|i| match self {
                Self::Tombstone if i == 1 => null(i),
                Self::Orders | Self::Tombstone | Self::OrdersAndAnHour => order(i),
                Self::Versions => version(i),
                Self::Bytes => json!({"offset": i, "value": {"$bytes_utf8": format!("value{i}")}}),
                Self::Types => json!({"offset": i, "schema": schema, "value": {"color": "RED", "m": [["k", 1]], "d": "12.34"}}),
            })
            .collect()
    }

    fn records(self) -> Vec<Record> {
        let reading = Reading::default();
        self.forms().iter().enumerate().map(|(index, form)| reading.record(form, index).expect("a record")).collect()
    }
}

/// The configuration of an S3 sink that ends files after four records, with these settings put into it.
fn sink(settings: &[(&str, &str)]) -> Props {
    let start = [
        ("connector.class", "io.confluent.connect.s3.S3SinkConnector"),
        ("storage.class", "io.confluent.connect.s3.storage.S3Storage"),
        ("s3.bucket.name", "lake"),
        ("topics", "t"),
        ("format.class", JSON),
        ("flush.size", "4"),
    ];
    start.iter().chain(settings).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Puts the records into such a sink at ten in the evening; what came of it, and what is in the store.
#[track_caller]
pub(crate) fn put(put: Put, settings: &[(&str, &str)], tolerates: bool, store: &Recorder) -> (Played, BTreeMap<String, Object>) {
    run(put, sink(settings), tolerates, store)
}

/// The same with any configuration.
#[track_caller]
pub(crate) fn run(put: Put, props: Props, tolerates: bool, store: &Recorder) -> (Played, BTreeMap<String, Object>) {
    let evening = NOON + 10 * HOUR;
    let mut steps = vec![(evening, put.records())];
    if matches!(put, Put::OrdersAndAnHour) {
        steps.push((evening + HOUR, Vec::new()));
    }
    let script = Script { props, open_at_ms: evening, assignment: vec![TopicPartition::new("t", 0)], tolerates, steps };
    let played = still(play(&script, store, false)).expect("it ends");
    (played, store.objects())
}

/// The objects that are visible at the end, none of which an error prevented.
#[track_caller]
pub(crate) fn objects(records: Put, settings: &[(&str, &str)]) -> BTreeMap<String, Object> {
    let (played, objects) = put(records, settings, false, &Recorder::default());
    assert!(played.error.is_none(), "{settings:?}: {:?}", played.error);
    objects
}
