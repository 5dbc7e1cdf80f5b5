//! What a connector writes with many of its settings at once, read back value by value by other people's readers.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::path::Path;
use object_store::signer::{SignedUrlOptions, Signer as _};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::{Value, json};

use crate::broker::Topic;
use crate::bucket::Bucket;
use crate::registry::{framed, register};
use crate::servers::{Kafka, Registry, S3_KEY, S3_SECRET, repository};
use crate::worker::{Connector, SOON, Worker, block_on, request};

/// Half past noon of 2025-06-01, UTC.
const HALF_PAST_NOON: i64 = 1_748_781_000_000;

/// The rows of every object, by its key below `topics/<topic>/`, as pyarrow and fastavro read them.
fn rows(topic: &Topic, bucket: &Bucket) -> BTreeMap<String, Vec<Value>> {
    let keys = bucket.keys();
    let tools = std::env::var_os("LAKEHEAD_TOOLS").map_or_else(|| repository().join(".tools"), PathBuf::from);
    let mut read = Command::new(tools.join("venv/bin/python"));
    read.arg(repository().join("tests/readers/rows.py")).args(keys.iter().map(|key| bucket.folder.join(key)));
    let output = read.output().expect("the readers run; `make test` installs them");
    assert!(output.status.success(), "{keys:?}: {}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).expect("text");
    let start = format!("topics/{}/", topic.name);
    let below = |key: &str| key.strip_prefix(&start).unwrap_or_else(|| panic!("{key} is not below {start}")).to_owned();
    let files = said.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    keys.iter().map(|key| below(key)).zip(files.map(|file| file["rows"].as_array().expect("rows").clone())).collect()
}

/// The tags of an object, as the server has them.
fn tags(bucket: &Bucket, key: &str) -> String {
    let builder = AmazonS3Builder::new().with_endpoint(&bucket.url).with_allow_http(true).with_bucket_name(&bucket.name).with_region("us-east-1");
    let store = builder.with_access_key_id(S3_KEY).with_secret_access_key(S3_SECRET).build().expect("a client");
    let options = SignedUrlOptions::default().with_query([("tagging", "")]);
    let (method, path) = ("GET".parse().expect("a method"), Path::from(key));
    let url = block_on(store.signed_url_opts(method, &path, Duration::from_secs(60), &options)).expect("a URL");
    let (status, body) = request("GET", url.as_str(), None);
    assert_eq!(status, 200, "{body}");
    body.as_str().unwrap_or_default().to_owned()
}

/// Twelve records, eight minutes apart from half past noon on: key `k<i>`, headers `source` and `n`, and the value, which every fourth lacks.
fn send(topic: &Topic) {
    let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", Kafka::shared().bootstrap()).create().expect("a producer");
    for i in 0..12 {
        let (key, number, value) = (format!("k{i}"), i.to_string(), format!(r#"{{"id":{i},"net":{{"cents":{},"unit":"EUR"}}}}"#, i * 100));
        let headers = OwnedHeaders::new().insert(Header { key: "source", value: Some("web") }).insert(Header { key: "n", value: Some(&number) });
        let record = BaseRecord::to(&topic.name).partition(0).key(&key).headers(headers).timestamp(HALF_PAST_NOON + i * 8 * 60_000);
        let record = if i % 4 == 3 { record } else { record.payload(&value) };
        producer.send(record).map_err(|(error, _)| error).expect("room for twelve records");
    }
    producer.flush(SOON).expect("the broker takes the records");
}

#[test]
fn keys_headers_and_tombstones_stand_beside_the_values() {
    let (topic, bucket) = (Topic::create("whole", 1), Bucket::create());
    send(&topic);
    let sink = Connector::s3_sink(&topic, &bucket, "parquet")
        .with("flush.size", "12")
        .with("store.kafka.keys", "true")
        .with("store.kafka.headers", "true")
        .with("headers.format.class", "io.confluent.connect.s3.format.json.JsonFormat")
        .with("behavior.on.null.values", "write")
        .with("partitioner.class", "io.confluent.connect.storage.partitioner.HourlyPartitioner")
        .with("timestamp.extractor", "Record")
        .with("locale", "en")
        .with("timezone", "UTC")
        .with("s3.object.tagging", "true")
        .with("s3.object.tagging.key.value.pairs", "team:data");
    let worker = Worker::start(&[&sink]);
    worker.await_end(&sink, &topic, SOON);
    worker.terminate();

    let day = "year=2025/month=06/day=01";
    let stem = |directory: &str, first: i64| format!("{directory}/{}+0+{first:010}", topic.name);
    let value = |i: i64| json!({"id": i, "net": {"cents": i * 100, "unit": "EUR"}});
    let headers = |i: i64| json!({"headers": [{"key": "source", "value": "web"}, {"key": "n", "value": i.to_string()}]});
    let mut expected: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (directory, offsets) in
        [(format!("{day}/hour=12"), vec![0, 1, 2]), (format!("{day}/hour=13"), vec![4, 5, 6, 8, 9, 10]), ("tombstone".to_owned(), vec![3, 7, 11])]
    {
        let stem = stem(&directory, offsets[0]);
        expected.insert(format!("{stem}.keys.avro"), offsets.iter().map(|i| json!(format!("k{i}"))).collect());
        expected.insert(format!("{stem}.headers.json"), offsets.iter().map(|i| headers(*i)).collect());
        if directory != "tombstone" {
            expected.insert(format!("{stem}.snappy.parquet"), offsets.iter().map(|i| value(*i)).collect());
        }
    }
    assert_eq!(rows(&topic, &bucket), expected);
    for (directory, first, last, count) in [(format!("{day}/hour=12"), 0, 2, 3), (format!("{day}/hour=13"), 4, 10, 6)] {
        let tags = tags(&bucket, &format!("topics/{}/{}.snappy.parquet", topic.name, stem(&directory, first)));
        for (key, value) in [("startOffset", first.to_string()), ("endOffset", last.to_string()), ("recordCount", count.to_string()), ("team", "data".into())] {
            assert!(tags.contains(&format!("<Key>{key}</Key><Value>{value}</Value>")), "{directory}: {key}={value}: {tags}");
        }
    }
}

/// The first record of the newer version ends the file of the older one; from then on older records get the newer one's default.
#[test]
fn two_versions_in_turn_share_a_file_under_backward_compatibility() {
    let topic = Topic::create("versions", 1);
    let bucket = Bucket::create();
    let subject = format!("{}-value", topic.name);
    let schema = |more: &str| format!(r#"{{"type":"record","name":"Order","namespace":"shop","fields":[{{"name":"id","type":"int"}}{more}]}}"#);
    let older = register(&subject, "AVRO", &schema(""), &json!([]));
    let newer = register(&subject, "AVRO", &schema(r#",{"name":"note","type":"string","default":"none"}"#), &json!([]));
    // An int is twice its value, a text its length and its bytes.
    let records = (0..5_u8).map(|i| if i % 2 == 0 { framed(older, &[2 * i]) } else { framed(newer, &[2 * i, 4, b'n', b'0' + i]) });
    topic.send(records.map(|record| (0, Some(record))));
    let sink =
        Connector::s3_sink(&topic, &bucket, "avro").with("flush.size", "4").with("schema.compatibility", "BACKWARD").with_registry(&Registry::shared().url());
    let worker = Worker::start(&[&sink]);
    worker.await_end(&sink, &topic, SOON);
    worker.terminate();
    let file = |first: i64| format!("partition=0/{}+0+{first:010}.avro", topic.name);
    let note = |id: i64, note: &str| json!({"id": id, "note": note});
    let expected = [(file(0), vec![json!({"id": 0})]), (file(1), vec![note(1, "n1"), note(2, "none"), note(3, "n3"), note(4, "none")])];
    assert_eq!(rows(&topic, &bucket), BTreeMap::from(expected));
}

/// What a Parquet sink with that converter writes of these payloads, in one file.
fn parquet(topic: &Topic, converter: &str, payloads: Vec<Vec<u8>>) -> Vec<Value> {
    let bucket = Bucket::create();
    let count = payloads.len();
    topic.send(payloads.into_iter().map(|payload| (0, Some(payload))));
    let sink = Connector::s3_sink(topic, &bucket, "parquet")
        .with("flush.size", &count.to_string())
        .with("value.converter", converter)
        .with("value.converter.schema.registry.url", &Registry::shared().url());
    let worker = Worker::start(&[&sink]);
    worker.await_end(&sink, topic, SOON);
    worker.terminate();
    let mut files = rows(topic, &bucket);
    assert_eq!(files.len(), 1, "{:?}", files.keys());
    files.pop_first().expect("a file").1
}

#[test]
fn protobuf_records_become_columns() {
    let topic = Topic::create("protobuf-parquet", 1);
    let schema = "syntax = \"proto3\"; package shop; import \"google/protobuf/timestamp.proto\";
        enum State { OPEN = 0; PAID = 1; }
        message Line { string sku = 1; int32 count = 2; }
        message Order { int64 id = 1; State state = 2; repeated Line lines = 3; google.protobuf.Timestamp at = 4; double net = 5; optional string note = 6; }";
    let id = register(&format!("{}-value", topic.name), "PROTOBUF", schema, &json!([]));
    // The second message of the schema: id 7, PAID, two lines (a, 1) and (b, 2), 1 s after the epoch, 1.5, a note; then nothing but an id.
    let whole = [&[2, 2, 0x08, 7, 0x10, 1, 0x1a, 5, 0x0a, 1, b'a', 0x10, 1, 0x1a, 5, 0x0a, 1, b'b', 0x10, 2, 0x22, 2, 0x08, 1, 0x29][..]]
        .into_iter()
        .flatten()
        .copied()
        .chain(1.5_f64.to_le_bytes())
        .chain([0x32, 2, b'o', b'k'])
        .collect::<Vec<u8>>();
    let found = parquet(&topic, "io.confluent.connect.protobuf.ProtobufConverter", vec![framed(id, &whole), framed(id, &[2, 2, 0x08, 8])]);
    assert_eq!(
        found,
        [
            json!({"id": 7, "state": "PAID", "lines": [{"sku": "a", "count": 1}, {"sku": "b", "count": 2}], "at": 1000, "net": 1.5, "note": "ok"}),
            json!({"id": 8, "state": "OPEN", "lines": [], "at": null, "net": 0.0, "note": null}),
        ]
    );
}

#[test]
fn json_schema_records_become_columns() {
    let topic = Topic::create("json-schema-parquet", 1);
    let schema = r#"{"$schema":"http://json-schema.org/draft-07/schema#","title":"Order","type":"object","required":["id","net"],"properties":{
        "id":{"type":"integer","connect.index":0},"net":{"type":"number","connect.index":1},
        "lines":{"connect.index":2,"oneOf":[{"type":"null"},{"type":"array","items":{"type":"object","title":"Line","required":["sku"],"properties":{"sku":{"type":"string"}}}}]},
        "state":{"connect.index":3,"type":"string","enum":["OPEN","PAID"]}}}"#;
    let id = register(&format!("{}-value", topic.name), "JSON", schema, &json!([]));
    let payloads = vec![
        framed(id, br#"{"id":7,"net":1.5,"lines":[{"sku":"a"},{"sku":"b"}],"state":"PAID"}"#),
        framed(id, br#"{"state":"OPEN","net":2,"id":9007199254740993,"lines":null}"#),
    ];
    let found = parquet(&topic, "io.confluent.connect.json.JsonSchemaConverter", payloads);
    assert_eq!(
        found,
        [
            json!({"id": 7, "net": 1.5, "lines": [{"sku": "a"}, {"sku": "b"}], "state": "PAID"}),
            json!({"id": 9_007_199_254_740_993_i64, "net": 2.0, "lines": null, "state": "OPEN"}),
        ]
    );
}
