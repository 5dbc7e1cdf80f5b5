//! Sources that write with a schema registry: what they register, what our sink and readers that we did not write make of it, and a registry that is down or refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use rdkafka::Message;
use serde_json::{Value, json};

use crate::broker::Topic;
use crate::bucket::{Bucket, files_below};
use crate::registry::register;
use crate::servers::{Door, Registry, repository};
use crate::worker::{Connector, SOON, Worker, await_some, request};

const RECORDS: i64 = 200;

/// A source of that many orders, which fails after the last, with values that such a converter writes.
fn orders(topic: &Topic, converter: &str, registry: &str) -> Connector {
    Connector::of_class(&format!("orders-{}", topic.name), "io.confluent.kafka.connect.datagen.DatagenConnector")
        .with("kafka.topic", &topic.name)
        .with("quickstart", "orders")
        .with("max.interval", "0")
        .with("iterations", &RECORDS.to_string())
        .with("key.converter", "org.apache.kafka.connect.converters.IntegerConverter")
        .with("value.converter", converter)
        .with("value.converter.schema.registry.url", registry)
}

/// The values of a topic, whole.
fn payloads(topic: &Topic) -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    topic.each_record(|record| payloads.push(record.payload().expect("a value").to_vec()));
    payloads
}

/// The newest schema of a topic's values: its id, language and text.
fn registered(topic: &Topic) -> (u64, String, String) {
    let (status, latest) = request("GET", &format!("{}/subjects/{}-value/versions/latest", Registry::shared().url(), topic.name), None);
    assert_eq!(status, 200, "{latest}");
    let text = |key: &str| latest[key].as_str().unwrap_or_default().to_owned();
    (latest["id"].as_u64().expect("an id"), text("schemaType"), text("schema"))
}

/// What our sink writes of a topic, by the number of the order.
fn sunk(worker: &Worker, topic: &Topic, converter: &str) -> BTreeMap<i64, Value> {
    let bucket = Bucket::create();
    let sink = Connector::folder_sink(topic, &bucket.folder, "json").with("flush.size", &RECORDS.to_string()).with("value.converter", converter);
    let sink = sink.with("value.converter.schema.registry.url", &Registry::shared().url());
    worker.run(&sink);
    worker.await_end(&sink, topic, SOON);
    let files = files_below(&bucket.folder).into_iter().filter(|key| key.ends_with(".json"));
    let texts = files.map(|key| std::fs::read_to_string(bucket.folder.join(key)).expect("a file")).collect::<Vec<_>>();
    let rows = texts.iter().flat_map(|text| text.lines()).map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    rows.map(|row| (row["orderid"].as_i64().expect("a number"), row)).collect()
}

/// Avro bodies as fastavro reads them.
fn by_fastavro(schema: &str, bodies: &[Vec<u8>]) -> Vec<Value> {
    let tools = std::env::var_os("LAKEHEAD_TOOLS").map_or_else(|| repository().join(".tools"), PathBuf::from);
    let mut read = Command::new(tools.join("venv/bin/python"));
    read.arg(repository().join("tests/readers/avro_bodies.py")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut read = read.spawn().expect("the readers run; `make test` installs them");
    let hex = |body: &Vec<u8>| body.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let asked = json!({ "schema": schema, "bodies": bodies.iter().map(hex).collect::<Vec<_>>() });
    read.stdin.take().expect("a pipe").write_all(asked.to_string().as_bytes()).expect("it reads");
    let output = read.wait_with_output().expect("it ends");
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn orders_are_written_in_every_language_and_read_again() {
    let converters = [
        ("io.confluent.connect.avro.AvroConverter", "AVRO"),
        ("io.confluent.connect.json.JsonSchemaConverter", "JSON"),
        ("io.confluent.connect.protobuf.ProtobufConverter", "PROTOBUF"),
    ];
    for (converter, language) in converters {
        let topic = Topic::create(&format!("written-{}", language.to_lowercase()), 1);
        let source = orders(&topic, converter, &Registry::shared().url());
        let worker = Worker::start(&[&source]);
        let trace = worker.await_failure(&source);
        assert!(trace.contains("iterations") || trace.contains(&RECORDS.to_string()), "{trace}");
        let payloads = payloads(&topic);
        assert_eq!(payloads.len() as i64, RECORDS);

        let (id, kind, schema) = registered(&topic);
        assert!(kind == language || language == "AVRO" && kind.is_empty(), "{kind}");
        let frame = [&[0][..], &u32::try_from(id).expect("an id").to_be_bytes(), if language == "PROTOBUF" { &[0] } else { &[] }].concat();
        let bodies: Vec<Vec<u8>> = payloads.iter().map(|payload| payload.strip_prefix(frame.as_slice()).expect("the schema's frame").to_vec()).collect();

        let ours = sunk(&worker, &topic, converter);
        assert_eq!(ours.keys().copied().collect::<BTreeSet<_>>(), (0..RECORDS).collect());
        assert!(ours.values().all(|row| row["address"]["city"].as_str().is_some_and(|city| city.starts_with("City_"))), "{:?}", ours[&0]);
        let theirs: Vec<Value> = match language {
            "AVRO" => by_fastavro(&schema, &bodies),
            "JSON" => bodies.iter().map(|body| serde_json::from_slice(body).expect("JSON")).collect(),
            _ => continue, // the laws of the crate have another reader of Protobuf
        };
        for row in theirs {
            assert_eq!(row, ours[&row["orderid"].as_i64().expect("a number")], "{language}");
        }
    }
}

#[test]
fn a_source_waits_for_a_registry_that_is_down() {
    let topic = Topic::create("written-late", 1);
    let door = Door::shut(Registry::shared().address());
    let source = orders(&topic, "AvroConverter", &Registry::url_at(door.port));
    let worker = Worker::start(&[&source]);
    worker.await_trouble(&source, "waiting for the schema registry");
    assert_eq!(topic.end_offsets()[&0], 0);
    door.open();
    await_some(SOON, || (topic.end_offsets()[&0] == RECORDS).then_some(()), || worker.status(&source).to_string());
}

#[test]
fn schemas_that_the_registry_refuses_end_the_task_or_are_left_out() {
    let topic = Topic::create("refused", 1);
    let subject = format!("{}-value", topic.name);
    register(&subject, "AVRO", r#"{"type":"record","name":"orders","namespace":"ksql","fields":[{"name":"orderid","type":"string"}]}"#, &json!([]));
    let url = Registry::shared().url();
    let (status, answer) = request("PUT", &format!("{url}/config/{subject}"), Some(&json!({ "compatibility": "BACKWARD" })));
    assert_eq!(status, 200, "{answer}");
    let source = orders(&topic, "AvroConverter", &url);
    let worker = Worker::start(&[&source]);
    let trace = worker.await_failure(&source);
    let reason = format!("Error registering AVRO schema in subject \"{subject}\": the schema registry {url} refuses it (409 Conflict)");
    assert!(trace.contains(&reason), "{trace}");

    // A schema that nobody has registered is not registered where that is not wanted.
    let absent = Topic::create("unregistered", 1);
    let source = orders(&absent, "AvroConverter", &url).with("value.converter.auto.register.schemas", "false");
    worker.run(&source);
    let trace = worker.await_failure(&source);
    assert!(trace.contains("Error retrieving AVRO schema in subject") && trace.contains("does not know it"), "{trace}");
    assert_eq!(request("GET", &format!("{url}/subjects/{}-value/versions", absent.name), None).0, 404);
    assert_eq!((topic.end_offsets()[&0], absent.end_offsets()[&0]), (0, 0));
}
