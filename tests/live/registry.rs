//! Schemas of every language that refer to other schemas, from a real registry: the files hold what the records say.

use serde_json::{Value, json};

use crate::broker::Topic;
use crate::bucket::{Bucket, files_below};
use crate::servers::Registry;
use crate::worker::{Connector, SOON, Worker, request};

/// Registers a schema and returns its id.
pub(crate) fn register(subject: &str, kind: &str, schema: &str, references: &Value) -> u32 {
    let url = format!("{}/subjects/{subject}/versions", Registry::shared().url());
    let (status, answer) = request("POST", &url, Some(&json!({ "schema": schema, "schemaType": kind, "references": references })));
    assert_eq!(status, 200, "{answer}");
    answer["id"].as_u64().and_then(|id| u32::try_from(id).ok()).expect("an id")
}

/// A payload behind the frame that names its schema.
pub(crate) fn framed(id: u32, body: &[u8]) -> Vec<u8> {
    [&[0], id.to_be_bytes().as_slice(), body].concat()
}

/// What a sink with that converter writes of these payloads, as JSON, one partition, in order.
fn written(topic: &Topic, converter: &str, settings: &[(&str, &str)], payloads: Vec<Vec<u8>>) -> Vec<Value> {
    let bucket = Bucket::create();
    let count = payloads.len();
    topic.send(payloads.into_iter().map(|payload| (0, Some(payload))));
    let mut sink = Connector::s3_sink(topic, &bucket, "json")
        .with("flush.size", &count.to_string())
        .with("value.converter", converter)
        .with("value.converter.schema.registry.url", &Registry::shared().url());
    for (key, value) in settings {
        sink = sink.with(&format!("value.converter.{key}"), value);
    }
    let worker = Worker::start(&[]);
    worker.run(&sink);
    worker.await_end(&sink, topic, SOON);
    let files: Vec<String> = files_below(&bucket.folder).into_iter().filter(|key| key.ends_with(".json")).collect();
    let texts = files.iter().map(|key| std::fs::read_to_string(bucket.folder.join(key)).expect("a file"));
    texts.flat_map(|text| text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect::<Vec<Value>>()).collect()
}

#[test]
fn protobuf_with_imports() {
    let topic = Topic::create("protobuf", 1);
    let money = format!("{}-money", topic.name);
    register(&money, "PROTOBUF", "syntax = \"proto3\"; package shop; message Money { string unit = 1; int64 cents = 2; }", &json!([]));
    let order = "syntax = \"proto3\"; package shop; import \"money.proto\"; import \"google/protobuf/timestamp.proto\";
        message Order { int32 id = 1; Money net = 2; repeated string tags = 3; google.protobuf.Timestamp at = 4; oneof by { string card = 5; bool cash = 6; } }";
    let id = register(&format!("{}-value", topic.name), "PROTOBUF", order, &json!([{ "name": "money.proto", "subject": money, "version": 1 }]));
    let first = [&[0, 0x08, 1, 0x12, 7, 0x0a, 3][..], b"EUR", &[0x10, 5, 0x1a, 1, b'x', 0x1a, 1, b'y', 0x22, 2, 0x08, 1, 0x30, 1]].concat();
    let rows = written(&topic, "ProtobufConverter", &[], vec![framed(id, &first), framed(id, &[0, 0x08, 2])]);
    assert_eq!(
        rows,
        [
            json!({"by_0": {"card": null, "cash": true}, "id": 1, "net": {"unit": "EUR", "cents": 5}, "tags": ["x", "y"], "at": 1000}),
            json!({"by_0": null, "id": 2, "net": null, "tags": [], "at": null}),
        ]
    );
}

#[test]
fn json_schema_with_references() {
    let topic = Topic::create("json-schema", 1);
    let money = format!("{}-money", topic.name);
    register(&money, "JSON", r#"{"type":"object","properties":{"unit":{"type":"string"}},"required":["unit"]}"#, &json!([]));
    let order = r#"{"$schema":"http://json-schema.org/draft-07/schema#","title":"Order","type":"object","required":["id"],
        "properties":{"id":{"type":"integer","connect.type":"int32","connect.index":0},"net":{"$ref":"money.json","connect.index":1}}}"#;
    let id = register(&format!("{}-value", topic.name), "JSON", order, &json!([{ "name": "money.json", "subject": money, "version": 1 }]));
    let payloads = vec![framed(id, br#"{"net":{"unit":"EUR"},"id":1}"#), framed(id, br#"{"id":2,"more":true}"#)];
    let rows = written(&topic, "io.confluent.connect.json.JsonSchemaConverter", &[("use.optional.for.nonrequired", "true")], payloads);
    assert_eq!(rows, [json!({"id": 1, "net": {"unit": "EUR"}}), json!({"id": 2, "net": null})]);
}

#[test]
fn avro_with_references() {
    let topic = Topic::create("avro-references", 1);
    let money = format!("{}-money", topic.name);
    let text = r#"{"type":"record","name":"Money","namespace":"shop","fields":[{"name":"unit","type":"string"}]}"#;
    register(&money, "AVRO", text, &json!([]));
    let order = r#"{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"id","type":"int"},{"name":"net","type":["null","shop.Money"],"default":null}]}"#;
    let id = register(&format!("{}-value", topic.name), "AVRO", order, &json!([{ "name": "shop.Money", "subject": money, "version": 1 }]));
    let payloads = vec![framed(id, &[2, 2, 6, b'E', b'U', b'R']), framed(id, &[4, 0])];
    let rows = written(&topic, "io.confluent.connect.avro.AvroConverter", &[], payloads);
    assert_eq!(rows, [json!({"id": 1, "net": {"unit": "EUR"}}), json!({"id": 2, "net": null})]);
}
