//! Subjects, ids, nulls and schemas that the registry gives instead: what the three converters have in common, read as a specification.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryArray, Int32Array, Int64Array, NullArray, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};

use crate::column::{Column, Reject};
use crate::payload::{self, Options, PayloadWriter, Registration, Wanted};
use crate::schema::{DEFAULT, NAME, json_text};
use crate::wire::{self, RegisteredSchema, SchemaKind, Want};

fn options(pairs: &[(&str, &str)]) -> Options {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn writer(converter: &str, settings: &[(&str, &str)]) -> Box<dyn PayloadWriter> {
    (payload::find(converter).expect("a writer").build)(&options(settings)).expect("settings")
}

/// Orders: a number, and a text that may be absent.
fn orders(optional: bool) -> Column {
    let fields = Fields::from(vec![Field::new("id", DataType::Int32, false), Field::new("note", DataType::Utf8, true)]);
    let columns: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(vec![1, 2])), Arc::new(StringArray::from(vec![Some("a"), None]))];
    let field = Field::new("value", DataType::Struct(fields.clone()), optional).with_metadata([(NAME.to_owned(), "shop.Order".to_owned())]);
    Column::new(Arc::new(field), Arc::new(StructArray::new(fields, columns, None)))
}

fn of(array: ArrayRef, nullable: bool) -> Column {
    Column::new(Arc::new(Field::new("value", array.data_type().clone(), nullable)), array)
}

fn bodies(writer: &mut dyn PayloadWriter, column: &Column) -> (Vec<Option<Vec<u8>>>, Vec<Reject>) {
    let written = writer.write_to("t", column);
    (written.payloads.iter().map(|payload| payload.map(<[u8]>::to_vec)).collect(), written.rejects)
}

const STRATEGIES: &str = "io.confluent.kafka.serializers.subject.";

#[test]
fn subjects_are_named_by_the_strategy() {
    let all = ["avro", "jsonschema", "protobuf"];
    for (strategy, is_key, want) in [
        ("", false, "t-value"),
        ("", true, "t-key"),
        ("TopicNameStrategy", false, "t-value"),
        ("RecordNameStrategy", false, "shop.Order"),
        ("TopicRecordNameStrategy", true, "t-shop.Order"),
    ] {
        for converter in all {
            let key = if is_key { "key.subject.name.strategy" } else { "value.subject.name.strategy" };
            let class = if strategy.is_empty() { String::new() } else { format!("{STRATEGIES}{strategy}") };
            let mut writer = writer(converter, &[(key, &class), ("converter.type", if is_key { "key" } else { "value" })]);
            assert_eq!(writer.missing("t", &orders(false)).expect("a schema").subject, want, "{converter}");
        }
    }
    let strategy = format!("{STRATEGIES}RecordNameStrategy");
    let mut unnamed = writer("avro", &[("value.subject.name.strategy", &strategy)]);
    let column = of(Arc::new(Int32Array::from(vec![1])), false);
    assert_eq!(unnamed.missing("t", &column), None);
    let (_, rejects) = bodies(unnamed.as_mut(), &column);
    let want = format!("In configuration value.subject.name.strategy = {strategy}, the message value must only be a record schema");
    assert_eq!(rejects, [Reject { row: 0, reason: want }]);
}

#[test]
fn a_schema_is_asked_for_once_in_each_subject_and_again_when_it_was_refused() {
    let mut writer = writer("avro", &[]);
    let column = orders(false);
    let wanted = writer.missing("t", &column).expect("a schema");
    assert_eq!((wanted.subject.as_str(), wanted.kind), ("t-value", SchemaKind::Avro));
    assert_eq!(bodies(writer.as_mut(), &column).1.len(), 2, "nothing is written under no id");
    writer.learn(&wanted, Err("the registry says no"));
    assert_eq!(bodies(writer.as_mut(), &column).1[1], Reject { row: 1, reason: "the registry says no".to_owned() });
    assert_eq!(writer.missing("t", &column), Some(wanted.clone()));
    writer.learn(&wanted, Ok(&Registration { id: 258, schema: None }));
    assert_eq!(writer.missing("t", &column), None);
    let (payloads, rejects) = bodies(writer.as_mut(), &column);
    assert_eq!((payloads, rejects), (vec![Some(vec![0, 0, 0, 1, 2, 2, 2, 2, b'a']), Some(vec![0, 0, 0, 1, 2, 4, 0])], vec![]));
    assert_eq!(writer.missing("u", &column), Some(Wanted { subject: "u-value".to_owned(), ..wanted }));
}

#[test]
fn nulls_have_the_payload_that_upstream_gives_them() {
    let null: ArrayRef = Arc::new(NullArray::new(1));
    let absent = |nullable| of(Arc::new(Int64Array::new_null(1)), nullable);
    let defaulted = {
        let field = Field::new("value", DataType::Int64, true).with_metadata([(DEFAULT.to_owned(), "5".to_owned())]);
        Column::new(Arc::new(field), Arc::new(Int64Array::new_null(1)))
    };
    let schemaless = Column::new(json_text("value"), Arc::new(StringArray::new_null(1)));
    let frame = |body: &[u8]| Some([&[0, 0, 0, 0, 7], body].concat());
    let table = [
        ("avro", of(Arc::clone(&null), true), None, 0),
        ("avro", schemaless.clone(), None, 0),
        ("avro", absent(true), None, 0),
        ("avro", absent(false), None, 1),
        ("jsonschema", of(Arc::clone(&null), true), None, 0),
        ("jsonschema", schemaless.clone(), None, 0),
        ("jsonschema", absent(true), frame(b"null"), 0),
        ("jsonschema", absent(false), None, 0),
        ("jsonschema", defaulted, frame(b"5"), 0),
        ("protobuf", of(null, true), None, 0),
        ("protobuf", schemaless, None, 0),
        ("protobuf", absent(true), None, 0),
        ("protobuf", absent(false), None, 0),
    ];
    for (converter, column, want, refused) in table {
        let mut writer = writer(converter, &[]);
        if let Some(wanted) = writer.missing("t", &column) {
            writer.learn(&wanted, Ok(&Registration { id: 7, schema: None }));
        }
        let (payloads, rejects) = bodies(writer.as_mut(), &column);
        assert_eq!((payloads, rejects.len()), (vec![want], refused), "{converter} {:?}", column.field);
    }
}

#[test]
fn values_without_a_schema_are_avros_alone() {
    let column = Column::new(json_text("value"), Arc::new(StringArray::from(vec![r#"{"a":1}"#])));
    let mut avro = writer("avro", &[]);
    let wanted = avro.missing("t", &column).expect("a schema");
    assert!(wanted.text.starts_with(r#"{"type":"record","name":"Anything","namespace":"io.confluent.connect.avro""#), "{}", wanted.text);
    avro.learn(&wanted, Ok(&Registration { id: 7, schema: None }));
    assert!(bodies(avro.as_mut(), &column).1.is_empty());
    for converter in ["jsonschema", "protobuf"] {
        let mut writer = writer(converter, &[]);
        assert_eq!(writer.missing("t", &column), None);
        let (_, rejects) = bodies(writer.as_mut(), &column);
        assert!(rejects.len() == 1 && rejects[0].reason.starts_with("values without a schema have no "), "{rejects:?}");
    }
}

/// What a reader makes of orders that were written under another schema, or why they could not be.
fn under(converter: &str, settings: &[(&str, &str)], kind: SchemaKind, text: &str) -> Result<Vec<String>, String> {
    let given = RegisteredSchema::new(kind, text);
    let mut writer = writer(converter, settings);
    let column = orders(false);
    let wanted = writer.missing("t", &column).expect("a schema");
    writer.learn(&wanted, Ok(&Registration { id: 9, schema: Some(given.clone()) }));
    let written = writer.write_to("t", &column);
    if let Some(reject) = written.rejects.into_iter().next() {
        return Err(reject.reason);
    }
    let mut reader = (wire::find(converter).expect("a reader").build)(&Options::new(), false, Want::Any).expect("settings");
    reader.learn(9, Ok(&given)).expect("a schema");
    let decoded = reader.decode("t", &written.payloads).expect("rows");
    assert_eq!(decoded.rejects, []);
    let array = &decoded.spans[0].1.array;
    Ok((0..array.len()).map(|row| arrow::util::display::array_value_to_string(array, row).expect("a value")).collect())
}

#[test]
fn values_are_written_under_the_schema_that_the_registry_gives() {
    let rows = |rows: [&str; 2]| Ok(rows.map(str::to_owned).to_vec());
    let lax = &[("latest.compatibility.strict", "false")][..];
    let avro = |fields: &str| format!(r#"{{"type":"record","name":"Order","namespace":"shop","fields":[{fields}]}}"#);
    let (id, note) = (r#"{"name":"id","type":"int"}"#, r#"{"name":"note","type":["null","string"],"default":null}"#);
    let of = |text: &str, settings: &[(&str, &str)]| under("avro", settings, SchemaKind::Avro, text);
    assert_eq!(of(&avro(&format!("{id},{note}")), &[]), rows(["{id: 1, note: a}", "{id: 2, note: }"]));
    assert_eq!(of(&avro(&format!("{note},{id}")), &[]), rows(["{note: a, id: 1}", "{note: , id: 2}"]));
    assert_eq!(of(&avro(id), &[]), rows(["{id: 1}", "{id: 2}"]));
    for text in [avro(&format!("{id},{note},{}", r#"{"name":"more","type":"int"}"#)), avro(r#"{"name":"id","type":"string"}"#)] {
        let error = of(&text, lax).expect_err("another schema");
        assert!(
            error.starts_with("Avro schema id \"9\" of subject \"t-value\": values of the schema ") && error.ends_with("cannot be written under it"),
            "{error}"
        );
    }
    let kind = under("avro", &[], SchemaKind::JsonSchema, "{}").expect_err("another language");
    assert_eq!(kind, "Avro schema id \"9\" of subject \"t-value\": it is of type \"JSON\", not AVRO: use the converter for that type");

    let json =
        |note: &str| format!(r#"{{"type":"object","properties":{{"id":{{"type":"integer"}},"note":{{"oneOf":[{{"type":"null"}},{{"type":"{note}"}}]}}}}}}"#);
    assert_eq!(under("jsonschema", &[], SchemaKind::JsonSchema, &json("string")), rows(["{note: a, id: 1}", "{note: , id: 2}"]));
    let error = under("jsonschema", &[], SchemaKind::JsonSchema, &json("integer")).expect_err("another type");
    assert!(error.contains("Incompatible schema of type 'JSON': field \"note\" is of type Utf8 where the registered schema has Int64; set latest"), "{error}");

    let proto = |fields: &str| format!("syntax = \"proto3\"; package shop; message First {{}} message Order {{ {fields} }}");
    let of = |text: &str, settings: &[(&str, &str)]| under("protobuf", settings, SchemaKind::Protobuf, text);
    assert_eq!(of(&proto("int32 id = 1; string note = 2; bool more = 3;"), &[]), rows(["{id: 1, note: a, more: false}", "{id: 2, note: , more: false}"]));
    let error = of(&proto("string id = 1;"), &[]).expect_err("another type");
    assert!(
        error.contains("Incompatible schema of type 'PROTOBUF': field \"shop.Order.id\", number 1, is of type int32 where the registered schema has string"),
        "{error}"
    );
    let error = of("syntax = \"proto3\"; message Other {}", lax).expect_err("another message");
    assert!(error.ends_with("the registered schema has no message \"shop.Order\""), "{error}");
}

#[test]
fn settings_that_do_not_act_are_refused_by_name() {
    let table = [
        ("avro", "generalized.sum.type.support", "true"),
        ("avro", "discard.type.doc.default", "true"),
        ("avro", "connect.meta.data", "maybe"),
        ("avro", "schema.backup.enabled", "true"),
        ("avro", "schemas.cache.config", "many"),
        ("avro", "value.subject.name.strategy", "com.example.Strategy"),
        ("jsonschema", "preserve.additional.properties", "true"),
        ("jsonschema", "json.fail.invalid.schema", "true"),
        ("jsonschema", "json.indent.output", "true"),
        ("jsonschema", "json.default.property.inclusion", "NON_NULL"),
        ("jsonschema", "decimal.format", "HEX"),
        ("protobuf", "optional.for.nullables", "yes"),
        ("protobuf", "skip.known.types", "no"),
    ];
    for (converter, key, value) in table {
        let error = (payload::find(converter).expect("a writer").build)(&options(&[(key, value)])).expect_err("a setting that does not act");
        assert!(error.to_string().starts_with(&format!("{key}: ")), "{error}");
    }
}

/// A second reader of what was written: Google's wire format by a library that is not ours.
#[test]
fn messages_are_read_by_others() {
    use prost_reflect::prost::Message as _;
    let mut writer = writer("protobuf", &[("optional.for.nullables", "true")]);
    let column = orders(false);
    let wanted = writer.missing("t", &column).expect("a schema");
    writer.learn(&wanted, Ok(&Registration { id: 7, schema: None }));
    let (payloads, _) = bodies(writer.as_mut(), &column);
    let file = protox::file::File::from_source("order.proto", &wanted.text).expect("a file");
    let mut pool = prost_reflect::DescriptorPool::new();
    pool.add_file_descriptor_proto(file.file_descriptor_proto().clone()).expect("a file");
    let message = pool.get_message_by_name("shop.Order").expect("a message");
    for (payload, want) in payloads.iter().flatten().zip(["id:1,note:\"a\"", "id:2"]) {
        let read = prost_reflect::DynamicMessage::decode(message.clone(), &payload[6..]).expect("a message");
        assert_eq!(read.to_string(), want);
        assert_eq!(read.encode_to_vec(), payload[6..]);
    }
}

/// The frame is five bytes that no body is part of: an empty message has them, too.
#[test]
fn payloads_begin_with_the_id() {
    let array: ArrayRef = Arc::new(BinaryArray::from(vec![&b"raw"[..]]));
    let column = of(array, false);
    let mut avro = writer("avro", &[]);
    let wanted = avro.missing("t", &column).expect("a schema");
    assert_eq!(wanted.text, "\"bytes\"");
    avro.learn(&wanted, Ok(&Registration { id: u32::MAX, schema: None }));
    assert_eq!(bodies(avro.as_mut(), &column).0, [Some(b"\0\xff\xff\xff\xffraw".to_vec())]);
    let field: FieldRef = Field::new("value", DataType::Struct(Fields::from(vec![Field::new("n", DataType::Int32, false)])), false).into();
    let DataType::Struct(fields) = field.data_type() else { unreachable!("a struct") };
    let zeros: ArrayRef = Arc::new(StructArray::new(fields.clone(), vec![Arc::new(Int32Array::from(vec![0]))], None));
    let column = Column::new(Arc::clone(&field), zeros);
    let mut protobuf = writer("protobuf", &[]);
    let wanted = protobuf.missing("t", &column).expect("a schema");
    protobuf.learn(&wanted, Ok(&Registration { id: 1, schema: None }));
    assert_eq!(bodies(protobuf.as_mut(), &column).0, [Some(vec![0, 0, 0, 0, 1, 0])]);
}
