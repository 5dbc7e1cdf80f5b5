//! Chains of transforms on their way through a worker: five of them with a predicate before a sink, on JSON without a schema and on Avro; others on JSON that becomes
//! columns, through a kill; those of Debezium's and Confluent's that unwrap, filter and route changes; and three behind a source.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampMillisecondType};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rdkafka::Message;
use rdkafka::message::{Header, Headers, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::{Value, json};

use crate::broker::Topic;
use crate::bucket::{Bucket, files_below};
use crate::registry::framed;
use crate::servers::Registry;
use crate::worker::{Connector, JOB, SOON, Worker, await_some};

const PAYMENTS: i64 = 5000;
const AVRO: &str = r#"{"type":"record","name":"Payment","fields":[{"name":"id","type":"long"},{"name":"amount","type":"double"},{"name":"paid","type":"boolean"},
    {"name":"ts","type":"long"},{"name":"card","type":"string"}]}"#;
const CHAIN: [(&str, &str); 17] = [
    ("transforms", "origin,names,text,time,mask"),
    ("transforms.origin.type", "org.apache.kafka.connect.transforms.InsertField$Value"),
    ("transforms.origin.topic.field", "origin"),
    ("transforms.origin.offset.field", "number"),
    ("transforms.names.type", "org.apache.kafka.connect.transforms.ReplaceField$Value"),
    ("transforms.names.exclude", "paid"),
    ("transforms.names.renames", "card:account"),
    ("transforms.text.type", "org.apache.kafka.connect.transforms.Cast$Value"),
    ("transforms.text.spec", "amount:string"),
    ("transforms.time.type", "org.apache.kafka.connect.transforms.TimestampConverter$Value"),
    ("transforms.time.field", "ts"),
    ("transforms.time.target.type", "string"),
    ("transforms.time.format", "yyyy-MM-dd HH:mm:ss"),
    ("transforms.mask.type", "org.apache.kafka.connect.transforms.MaskField$Value"),
    ("transforms.mask.fields", "account"),
    ("transforms.mask.replacement", "****"),
    ("transforms.mask.predicate", "secret"),
];

/// Every third payment is secret: it has a header that says so.
fn is_secret(id: i64) -> bool {
    id % 3 == 0
}

fn by_json(id: i64) -> Vec<u8> {
    json!({"id": id, "amount": id as f64 + 0.5, "paid": id % 2 == 0, "ts": 1_700_000_000_000 + id * 1000, "card": format!("4111-{id}")})
        .to_string()
        .into_bytes()
}

fn by_avro(id: i64) -> Vec<u8> {
    let mut body = Vec::new();
    let long = |value: i64, body: &mut Vec<u8>| {
        let mut rest = ((value << 1) ^ (value >> 63)) as u64;
        while rest > 0x7f {
            body.push((rest & 0x7f) as u8 | 0x80);
            rest >>= 7;
        }
        body.push(rest as u8);
    };
    long(id, &mut body);
    body.extend((id as f64 + 0.5).to_le_bytes());
    body.push(u8::from(id % 2 == 0));
    long(1_700_000_000_000 + id * 1000, &mut body);
    let card = format!("4111-{id}");
    long(card.len() as i64, &mut body);
    body.extend(card.as_bytes());
    body
}

/// What a payment is behind the chain.
fn expected(topic: &Topic, id: i64) -> Value {
    let seconds = 80_000 + id; // of 2023-11-14, where the first one is at 22:13:20
    let (day, seconds) = (14 + seconds / 86_400, seconds % 86_400);
    let ts = format!("2023-11-{day:02} {:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let account = if is_secret(id) { "****".to_owned() } else { format!("4111-{id}") };
    json!({"id": id, "amount": format!("{id}.5"), "ts": ts, "account": account, "origin": topic.name, "number": id})
}

fn send(topic: &Topic, encode: impl Fn(i64) -> Vec<u8>) {
    send_some(topic, PAYMENTS, encode);
}

fn send_some(topic: &Topic, payments: i64, encode: impl Fn(i64) -> Vec<u8>) {
    let producer: BaseProducer = topic.client().create().expect("a producer");
    for id in 0..payments {
        let value = encode(id);
        let mut record = BaseRecord::<(), [u8]>::to(&topic.name).partition(0).payload(&value);
        if is_secret(id) {
            record = record.headers(OwnedHeaders::new().insert(Header { key: "secret", value: Some("yes") }));
        }
        producer.send(record).map_err(|(error, _)| error).expect("room");
    }
    producer.flush(SOON).expect("the broker takes them");
}

#[test]
fn five_transforms_with_a_predicate_before_a_sink() {
    let json = ("org.apache.kafka.connect.json.JsonConverter", "schemas.enable", "false".to_owned());
    let avro = ("io.confluent.connect.avro.AvroConverter", "schema.registry.url", Registry::shared().url());
    for (name, (converter, key, setting)) in [("chain-json", json), ("chain-avro", avro)] {
        let (topic, bucket) = (Topic::create(name, 1), Bucket::create());
        if name == "chain-avro" {
            let id = Registry::shared().register(&topic.name, AVRO);
            send(&topic, |payment| framed(id, &by_avro(payment)));
        } else {
            send(&topic, by_json);
        }
        let mut sink = Connector::s3_sink(&topic, &bucket, "json")
            .with("value.converter", converter)
            .with(&format!("value.converter.{key}"), &setting)
            .with("predicates", "secret")
            .with("predicates.secret.type", "org.apache.kafka.connect.transforms.predicates.HasHeaderKey")
            .with("predicates.secret.name", "secret");
        for (key, value) in CHAIN {
            sink = sink.with(key, value);
        }
        let worker = Worker::start(&[&sink]);
        worker.await_end(&sink, &topic, JOB);
        let files = files_below(&bucket.folder).into_iter().filter(|key| key.ends_with(".json"));
        let texts: Vec<String> = files.map(|key| fs::read_to_string(bucket.folder.join(key)).expect("a file")).collect();
        let rows: Vec<Value> = texts.iter().flat_map(|text| text.lines()).map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let wrong = rows.iter().zip(0..).find(|(row, id)| **row != expected(&topic, *id));
        assert!(rows.len() as i64 == PAYMENTS && wrong.is_none(), "{name}: {} rows, {wrong:?}", rows.len());
    }
}

/// A payment of which members come in different orders, some only now and then, and one under two types.
fn uneven(id: i64) -> Vec<u8> {
    let (paid, ts) = (id % 2 == 0, 1_700_000_000_000 + id * 1000);
    let amount = if id % 5 == 0 { format!("{id}.5") } else { id.to_string() };
    let text = match id % 3 {
        0 => format!(r#"{{"id":{id},"amount":{amount},"paid":{paid},"ts":{ts},"card":"4111-{id}"}}"#),
        1 => format!(r#"{{"ts":{ts},"card":"4111-{id}","note":{{"n":{id}}},"paid":{paid},"amount":{amount},"id":{id}}}"#),
        _ => format!(r#"{{"id":{id},"card":null,"paid":{paid},"ts":{ts},"amount":{amount}}}"#),
    };
    text.into_bytes()
}

/// Schemaless JSON goes through transforms as maps, and only then into columns: each record is in one file, in the folder that the transformed value names, and has
/// the columns that the transforms left, also where the worker was killed on the way.
#[test]
fn columns_behind_transforms_survive_a_kill() {
    const MANY: i64 = 30_000;
    let (topic, bucket) = (Topic::create("chain-columns", 1), Bucket::create());
    send_some(&topic, MANY, uneven);
    let mut sink = Connector::s3_sink(&topic, &bucket, "parquet")
        .with("value.converter", "org.apache.kafka.connect.json.JsonConverter")
        .with("value.converter.schemas.enable", "false")
        .with("rotate.schedule.interval.ms", "1000")
        .with("timezone", "UTC")
        .with("partitioner.class", "io.confluent.connect.storage.partitioner.FieldPartitioner")
        .with("partition.field.name", "settled");
    for (key, value) in [
        ("transforms", "origin,names,time"),
        ("transforms.origin.type", "org.apache.kafka.connect.transforms.InsertField$Value"),
        ("transforms.origin.offset.field", "number"),
        ("transforms.names.type", "org.apache.kafka.connect.transforms.ReplaceField$Value"),
        ("transforms.names.renames", "card:account,paid:settled"),
        ("transforms.time.type", "org.apache.kafka.connect.transforms.TimestampConverter$Value"),
        ("transforms.time.field", "ts"),
        ("transforms.time.target.type", "Timestamp"),
    ] {
        sink = sink.with(key, value);
    }
    let worker = Worker::start(&[&sink]);
    await_some(JOB, || (bucket.count() >= 8).then_some(()), || worker.status(&sink).to_string());
    worker.kill();
    let worker = Worker::start(&[&sink]);
    worker.await_end(&sink, &topic, JOB);
    worker.terminate();
    let mut found: Vec<i64> = Vec::new();
    for key in bucket.keys() {
        let file = fs::File::open(bucket.folder.join(&key)).expect("a file");
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).and_then(ParquetRecordBatchReaderBuilder::build).expect("a Parquet file");
        for rows in reader.map(|rows| rows.expect("rows")) {
            let longs = |name: &str| rows.column_by_name(name).expect(name).as_primitive::<Int64Type>().clone();
            let (ids, numbers) = (longs("id"), longs("number"));
            let amounts = rows.column_by_name("amount").expect("amounts").as_primitive::<Float64Type>();
            let times = rows.column_by_name("ts").expect("times").as_primitive::<TimestampMillisecondType>();
            let (settled, accounts) = (rows.column_by_name("settled").expect("booleans").as_boolean(), rows.column_by_name("account").expect("texts"));
            let notes = rows.column_by_name("note").expect("structs").as_struct();
            for row in 0..rows.num_rows() {
                let id = ids.value(row);
                let amount = if id % 5 == 0 { id as f64 + 0.5 } else { id as f64 };
                assert_eq!((numbers.value(row), amounts.value(row), times.value(row)), (id, amount, 1_700_000_000_000 + id * 1000), "{key}");
                assert!(settled.value(row) == (id % 2 == 0) && key.contains(&format!("/settled={}/", id % 2 == 0)), "{key}: {id}");
                let account = (id % 3 != 2).then(|| format!("4111-{id}"));
                assert_eq!(accounts.as_string::<i32>().iter().nth(row).flatten(), account.as_deref(), "{key}");
                let note = (id % 3 == 1).then_some(id);
                assert_eq!(notes.column(0).as_primitive::<Int64Type>().iter().nth(row).flatten(), note, "{key}");
                found.push(id);
            }
        }
    }
    found.sort_unstable();
    assert_eq!(found, (0..MANY).collect::<Vec<_>>(), "each once");
}

#[test]
fn three_transforms_behind_a_source() {
    let (topic, folder) = (Topic::create("chain-source", 1), Bucket::create().folder);
    fs::create_dir_all(&folder).expect("a folder");
    let file = folder.join("in.txt");
    fs::write(&file, (0..1000).map(|line| format!("line {line}\n")).collect::<String>()).expect("a file of ours");
    let source = Connector::of_class(&format!("source-{}", topic.name), "org.apache.kafka.connect.file.FileStreamSourceConnector")
        .with("file", &file.display().to_string())
        .with("topic", "elsewhere")
        .with("value.converter", "org.apache.kafka.connect.json.JsonConverter")
        .with("value.converter.schemas.enable", "false")
        .with("transforms", "line,by,to")
        .with("transforms.line.type", "org.apache.kafka.connect.transforms.HoistField$Value")
        .with("transforms.line.field", "line")
        .with("transforms.by.type", "org.apache.kafka.connect.transforms.InsertHeader")
        .with("transforms.by.header", "by")
        .with("transforms.by.value.literal", "7")
        .with("transforms.to.type", "org.apache.kafka.connect.transforms.RegexRouter")
        .with("transforms.to.regex", "elsewhere")
        .with("transforms.to.replacement", &topic.name);
    let worker = Worker::start(&[&source]);
    await_some(SOON, || (topic.end_offsets()[&0] == 1000).then_some(()), || worker.status(&source).to_string());
    let mut found = BTreeMap::new();
    topic.each_record(|record| {
        let headers = record.headers().expect("headers");
        let names: Vec<_> = headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect();
        assert_eq!(names, [("by".to_owned(), Some(b"7".to_vec()))]);
        found.insert(record.offset(), String::from_utf8_lossy(record.payload().expect("a value")).into_owned());
    });
    let lines: Vec<String> = found.into_values().collect();
    assert_eq!(lines, (0..1000).map(|line| format!("{{\"line\":\"line {line}\"}}")).collect::<Vec<_>>());
}

const CHANGES: i32 = 600;

/// A change of a customer as Debezium's connectors write it, with its schema: customers come, every third changes, and every fifth goes again, with a tombstone.
fn changes() -> Vec<Option<Vec<u8>>> {
    let row = |name: &str| {
        let fields = json!([{"field": "id", "type": "int32"}, {"field": "tier", "type": "string", "optional": true}]);
        json!({"field": name, "type": "struct", "optional": true, "name": "shop.customers.Value", "fields": fields})
    };
    let source = json!({"field": "source", "type": "struct", "name": "Source", "fields": [{"field": "lsn", "type": "int64", "optional": true}]});
    let fields = json!([row("before"), row("after"), source, {"field": "op", "type": "string"}]);
    let schema = json!({"type": "struct", "name": "shop.customers.Envelope", "fields": fields});
    let change = |op: &str, before: Value, after: Value, lsn: i32| {
        let payload = json!({"before": before, "after": after, "source": {"lsn": lsn}, "op": op});
        Some(json!({"schema": schema, "payload": payload}).to_string().into_bytes())
    };
    let mut all = Vec::new();
    for id in 0..CHANGES {
        let customer = json!({"id": id, "tier": tier(id)});
        all.push(change("c", Value::Null, customer.clone(), id));
        if id % 3 == 0 {
            all.push(change("u", customer.clone(), customer.clone(), id));
        }
        if id % 5 == 0 {
            all.push(change("d", customer, Value::Null, id));
            all.push(None);
        }
    }
    all
}

/// Customers have the same tier for a while.
fn tier(id: i32) -> &'static str {
    if id / 100 % 2 == 0 { "gold" } else { "silver" }
}

#[test]
fn changes_are_unwrapped_filtered_and_routed() {
    let (topic, folder) = (Topic::create("chain-changes", 1), Bucket::create().folder);
    topic.send(changes().into_iter().map(|value| (0, value)));
    let sink = Connector::folder_sink(&topic, &folder, "parquet")
        .with("rotate.schedule.interval.ms", "1000")
        .with("timezone", "UTC")
        .with("value.converter", "org.apache.kafka.connect.json.JsonConverter")
        .with("value.converter.schemas.enable", "true")
        .with("transforms", "row,some,to")
        .with("transforms.row.type", "io.debezium.transforms.ExtractNewRecordState")
        .with("transforms.row.delete.tombstone.handling.mode", "rewrite")
        .with("transforms.row.add.fields", "op,source.lsn:lsn")
        .with("transforms.some.type", "io.confluent.connect.transforms.Filter$Value")
        .with("transforms.some.filter.condition", "$[?(@.__deleted == 'false' && (@.__op in ['c', 'r'] || @.id >= 300))]")
        .with("transforms.some.filter.type", "include")
        .with("transforms.to.type", "io.confluent.connect.transforms.ExtractTopic$Value")
        .with("transforms.to.field", "tier");
    let worker = Worker::start(&[&sink]);
    worker.await_end(&sink, &topic, JOB);
    let mut found = Vec::new();
    for key in files_below(&folder).into_iter().filter(|key| key.ends_with(".parquet")) {
        let file = fs::File::open(folder.join(&key)).expect("a file");
        for rows in ParquetRecordBatchReaderBuilder::try_new(file).and_then(|builder| builder.build()).expect("a Parquet file") {
            let rows = rows.expect("rows");
            let schema = rows.schema();
            let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            assert_eq!(names, ["id", "tier", "__deleted", "__op", "__lsn"]);
            let (ids, ops) = (rows.column(0).as_primitive::<Int32Type>(), rows.column(3).as_string::<i32>());
            for row in 0..rows.num_rows() {
                let (id, op) = (ids.value(row), ops.value(row).to_owned());
                assert!(key.starts_with(&format!("topics/{}/partition=0/{}+0+", tier(id), topic.name)), "{id} is in {key}");
                found.push((id, op));
            }
        }
    }
    let creates = (0..CHANGES).map(|id| (id, "c".to_owned()));
    let expected: BTreeSet<_> = creates.chain((300..CHANGES).filter(|id| id % 3 == 0).map(|id| (id, "u".to_owned()))).collect();
    assert_eq!(found.len(), expected.len());
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
}
