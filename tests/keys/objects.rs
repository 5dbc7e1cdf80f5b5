//! Keys that decide which objects there are, and what they are called.

use crate::played::{AVRO, BYTES, FIELD, HOURLY, JSON, PARQUET, Put, Settings, TIME, objects, put};
use crate::store::Recorder;

/// A key, and the objects with and without it.
struct Case {
    key: &'static str,
    /// What the connector is set to in both cases; the key itself here is what it is compared with.
    with: Settings,
    value: &'static str,
    records: Put,
    before: &'static [&'static str],
    after: &'static [&'static str],
}

const fn case(key: &'static str, value: &'static str, with: Settings, records: Put, before: &'static [&'static str], after: &'static [&'static str]) -> Case {
    Case { key, with, value, records, before, after }
}

/// The one object where nothing else is said.
const PLAIN: &[&str] = &["topics/t/partition=0/t+0+0000000000.json"];
const KEYS: (&str, &str) = ("store.kafka.keys", "true");
const HEADERS: (&str, &str) = ("store.kafka.headers", "true");
const WRITE: (&str, &str) = ("behavior.on.null.values", "write");
const BY_COUNTRY: Settings = &[("partitioner.class", FIELD), ("partition.field.name", "country"), ("flush.size", "3")];
const BY_HOUR: Settings = &[("partitioner.class", HOURLY), ("timestamp.extractor", "Record"), ("locale", "en"), ("timezone", "UTC")];
const BY_PATTERN: Settings = &[
    ("partitioner.class", TIME),
    ("timestamp.extractor", "Record"),
    ("locale", "en"),
    ("timezone", "UTC"),
    ("partition.duration.ms", "3600000"),
    ("path.format", "HH-mm"),
];
const WITH_INTERVAL: Settings = &[
    ("partitioner.class", HOURLY),
    ("timestamp.extractor", "Record"),
    ("locale", "en"),
    ("timezone", "UTC"),
    ("rotate.interval.ms", "86400000"),
    ("flush.size", "100"),
];

const NAMES: &[Case] = &[
    case("topics.dir", "lake/raw", &[], Put::Orders, PLAIN, &["lake/raw/t/partition=0/t+0+0000000000.json"]),
    case("directory.delim", "_", &[], Put::Orders, PLAIN, &["topics_t_partition=0_t+0+0000000000.json"]),
    case("file.delim", "-", &[], Put::Orders, PLAIN, &["topics/t/partition=0/t-0-0000000000.json"]),
    case("filename.offset.zero.pad.width", "3", &[], Put::Orders, PLAIN, &["topics/t/partition=0/t+0+000.json"]),
    case("format.class", AVRO, &[("format.class", JSON)], Put::Orders, PLAIN, &["topics/t/partition=0/t+0+0000000000.avro"]),
    case("s3.compression.type", "gzip", &[], Put::Orders, PLAIN, &["topics/t/partition=0/t+0+0000000000.json.gz"]),
    case(
        "format.bytearray.extension",
        ".txt",
        &[("format.class", BYTES)],
        Put::Bytes,
        &["topics/t/partition=0/t+0+0000000000.bin"],
        &["topics/t/partition=0/t+0+0000000000.txt"],
    ),
    case(
        "parquet.codec",
        "zstd",
        &[("format.class", PARQUET)],
        Put::Orders,
        &["topics/t/partition=0/t+0+0000000000.snappy.parquet"],
        &["topics/t/partition=0/t+0+0000000000.zstd.parquet"],
    ),
    case("s3.schema.partition.affix.type", "PREFIX", &[], Put::Orders, PLAIN, &["topics/t/schema_name=shop.Order/partition=0/t+0+0000000000.json"]),
];

const PARTITIONS: &[Case] = &[
    case(
        "partitioner.class",
        FIELD,
        &[("partition.field.name", "country")],
        Put::Orders,
        PLAIN,
        &["topics/t/country=a/t+0+0000000000.json", "topics/t/country=b/t+0+0000000001.json"],
    ),
    case(
        "partition.field.name",
        "n,country",
        BY_COUNTRY,
        Put::Orders,
        &["topics/t/country=a/t+0+0000000000.json", "topics/t/country=b/t+0+0000000001.json"],
        &["topics/t/n=0/country=a/t+0+0000000000.json", "topics/t/n=1/country=b/t+0+0000000001.json", "topics/t/n=2/country=a/t+0+0000000002.json"],
    ),
    case(
        "timestamp.extractor",
        "Record",
        &[("partitioner.class", HOURLY), ("locale", "en"), ("timezone", "UTC")],
        Put::Orders,
        &["topics/t/year=2025/month=06/day=01/hour=22/t+0+0000000000.json"],
        &["topics/t/year=2025/month=06/day=01/hour=12/t+0+0000000000.json", "topics/t/year=2025/month=06/day=01/hour=13/t+0+0000000003.json"],
    ),
    case(
        "timestamp.field",
        "paid",
        &[("partitioner.class", HOURLY), ("timestamp.extractor", "RecordField"), ("locale", "en"), ("timezone", "UTC")],
        Put::Orders,
        &["topics/t/year=2025/month=05/day=31/hour=12/t+0+0000000000.json"],
        &["topics/t/year=2025/month=05/day=30/hour=12/t+0+0000000000.json"],
    ),
    case(
        "timezone",
        "Asia/Kolkata",
        BY_HOUR,
        Put::Orders,
        &["topics/t/year=2025/month=06/day=01/hour=12/t+0+0000000000.json", "topics/t/year=2025/month=06/day=01/hour=13/t+0+0000000003.json"],
        &["topics/t/year=2025/month=06/day=01/hour=17/t+0+0000000000.json", "topics/t/year=2025/month=06/day=01/hour=18/t+0+0000000002.json"],
    ),
    case(
        "path.format",
        "'day'=MM-dd",
        BY_PATTERN,
        Put::Orders,
        &["topics/t/12-00/t+0+0000000000.json", "topics/t/13-00/t+0+0000000003.json"],
        &["topics/t/day=06-01/t+0+0000000000.json"],
    ),
    case(
        "partition.duration.ms",
        "1800000",
        BY_PATTERN,
        Put::Orders,
        &["topics/t/12-00/t+0+0000000000.json", "topics/t/13-00/t+0+0000000003.json"],
        &["topics/t/12-00/t+0+0000000000.json", "topics/t/12-30/t+0+0000000002.json", "topics/t/13-00/t+0+0000000003.json"],
    ),
];

const BOUNDARIES: &[Case] = &[
    case("flush.size", "2", &[], Put::Orders, PLAIN, &["topics/t/partition=0/t+0+0000000000.json", "topics/t/partition=0/t+0+0000000002.json"]),
    case(
        "rotate.interval.ms",
        "3600000",
        &[("partitioner.class", HOURLY), ("timestamp.extractor", "Record"), ("locale", "en"), ("timezone", "UTC"), ("flush.size", "100")],
        Put::Orders,
        &[],
        &["topics/t/year=2025/month=06/day=01/hour=12/t+0+0000000000.json"],
    ),
    case("rotate.file.on.partition.change", "false", WITH_INTERVAL, Put::Orders, &["topics/t/year=2025/month=06/day=01/hour=12/t+0+0000000000.json"], &[]),
    case("rotate.schedule.interval.ms", "1800000", &[("timezone", "UTC"), ("flush.size", "100")], Put::OrdersAndAnHour, &[], PLAIN),
    case(
        "partitioner.max.open.files",
        "1",
        &[("partitioner.class", FIELD), ("partition.field.name", "country"), ("flush.size", "100")],
        Put::Orders,
        &[],
        &["topics/t/country=a/t+0+0000000000.json", "topics/t/country=a/t+0+0000000002.json", "topics/t/country=b/t+0+0000000001.json"],
    ),
    case(
        "schema.compatibility",
        "BACKWARD",
        &[("format.class", AVRO)],
        Put::Versions,
        &["topics/t/partition=0/t+0+0000000000.avro", "topics/t/partition=0/t+0+0000000001.avro", "topics/t/partition=0/t+0+0000000002.avro"],
        &["topics/t/partition=0/t+0+0000000000.avro"],
    ),
    case(
        "lakehead.schema.merge",
        "true",
        &[("format.class", AVRO)],
        Put::Versions,
        &["topics/t/partition=0/t+0+0000000000.avro", "topics/t/partition=0/t+0+0000000001.avro", "topics/t/partition=0/t+0+0000000002.avro"],
        &["topics/t/partition=0/t+0+0000000000.avro"],
    ),
];

const BESIDE: &[Case] = &[
    case("store.kafka.keys", "true", &[], Put::Orders, PLAIN, &["topics/t/partition=0/t+0+0000000000.json", "topics/t/partition=0/t+0+0000000000.keys.avro"]),
    case(
        "keys.format.class",
        JSON,
        &[KEYS],
        Put::Orders,
        &["topics/t/partition=0/t+0+0000000000.json", "topics/t/partition=0/t+0+0000000000.keys.avro"],
        &["topics/t/partition=0/t+0+0000000000.json", "topics/t/partition=0/t+0+0000000000.keys.json"],
    ),
    case(
        "store.kafka.headers",
        "true",
        &[],
        Put::Orders,
        PLAIN,
        &["topics/t/partition=0/t+0+0000000000.headers.avro", "topics/t/partition=0/t+0+0000000000.json"],
    ),
    case(
        "headers.format.class",
        PARQUET,
        &[HEADERS],
        Put::Orders,
        &["topics/t/partition=0/t+0+0000000000.headers.avro", "topics/t/partition=0/t+0+0000000000.json"],
        &["topics/t/partition=0/t+0+0000000000.headers.snappy.parquet", "topics/t/partition=0/t+0+0000000000.json"],
    ),
    case(
        "tombstone.encoded.partition",
        "gone",
        &[KEYS, WRITE],
        Put::Tombstone,
        &["topics/t/partition=0/t+0+0000000000.json", "topics/t/partition=0/t+0+0000000000.keys.avro", "topics/t/tombstone/t+0+0000000001.keys.avro"],
        &["topics/t/gone/t+0+0000000001.keys.avro", "topics/t/partition=0/t+0+0000000000.json", "topics/t/partition=0/t+0+0000000000.keys.avro"],
    ),
];

fn assert_cases(cases: &[Case]) {
    let mut wrong = Vec::new();
    for case in cases {
        let mut settings = case.with.to_vec();
        for expected in [case.before, case.after] {
            let found: Vec<String> = objects(case.records, &settings).into_keys().collect();
            if found != expected {
                wrong.push(format!("{} with {settings:?}:\n  expected {expected:?}\n  found    {found:?}", case.key));
            }
            settings.push((case.key, case.value));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_of_objects() {
    assert_cases(NAMES);
}

#[test]
fn directories_of_objects() {
    assert_cases(PARTITIONS);
}

#[test]
fn ends_of_objects() {
    assert_cases(BOUNDARIES);
}

#[test]
fn objects_beside_those_of_values() {
    assert_cases(BESIDE);
}

/// `behavior.on.null.values` and `report.null.values.to.dlq`: the task's error, the records given back, and the objects.
#[test]
fn null_values() {
    let ended_by_three = ("flush.size", "3");
    let cases: [(Settings, bool, &[i64], usize); 4] = [
        (&[("behavior.on.null.values", "fail")], true, &[], 0),
        (&[("behavior.on.null.values", "ignore")], false, &[1], 1),
        (&[("behavior.on.null.values", "ignore"), ("report.null.values.to.dlq", "false")], false, &[], 1),
        (&[("behavior.on.null.values", "write"), KEYS], false, &[], 3),
    ];
    for (settings, fails, given_back, count) in cases {
        let settings: Vec<_> = settings.iter().copied().chain([ended_by_three]).collect();
        let (played, objects) = put(Put::Tombstone, &settings, true, &Recorder::default());
        assert_eq!(played.error.is_some(), fails, "{settings:?}: {:?}", played.error);
        assert_eq!(played.rejected, given_back, "{settings:?}");
        assert_eq!(objects.len(), count, "{settings:?}: {:?}", objects.keys());
    }
}

/// `gcs.compression.type`, `az.compression.type` and their levels act for their own stores; level 0 stores the text as it is.
#[test]
fn compression_of_the_other_stores() {
    let gcs: Settings = &[
        ("connector.class", "io.confluent.connect.gcs.GcsSinkConnector"),
        ("storage.class", "io.confluent.connect.gcs.storage.GcsStorage"),
        ("gcs.bucket.name", "lake"),
        ("gcs.compression.type", "gzip"),
        ("gcs.compression.level", "0"),
    ];
    let azure: Settings = &[
        ("connector.class", "io.confluent.connect.azure.blob.AzureBlobStorageSinkConnector"),
        ("storage.class", "io.confluent.connect.azure.blob.storage.AzureBlobStorage"),
        ("azblob.account.name", "lake"),
        ("az.compression.type", "gzip"),
        ("az.compression.level", "0"),
    ];
    for settings in [gcs, azure] {
        let mut found = objects(Put::Orders, settings);
        let object = found.remove("topics/t/partition=0/t+0+0000000000.json.gz").unwrap_or_else(|| panic!("{settings:?}: {:?}", found.keys()));
        let has_text = |bytes: &[u8]| bytes.windows(13).any(|window| window == b"{\"country\":\"a");
        assert!(has_text(&object.bytes), "{settings:?}: level 0");
        let found = objects(Put::Orders, &settings[..settings.len() - 1]);
        assert!(!has_text(&found["topics/t/partition=0/t+0+0000000000.json.gz"].bytes), "{settings:?}: the default level");
    }
}
