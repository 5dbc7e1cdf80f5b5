//! What transforms are measured with: orders in batches, and settings.

use std::sync::Arc;

use arrow::array::{BinaryArray, Int64Array, StringArray, TimestampMillisecondArray};
use lakehead::batch::{Batch, OffsetRange, TopicPartition};
use lakehead::transform::Chain;
use lakehead_formats::column::Column;
use lakehead_formats::schema::json_text;
use lakehead_formats::wire::{self, Want};

/// Rows of the routers' batch.
pub(crate) const ROWS: i64 = 65_536;

/// A row each 10 s from 2025-06-01 on: a week.
pub(crate) fn batch() -> Batch {
    let value = Column::new(json_text("value"), Arc::new(StringArray::from_iter_values((0..ROWS).map(|row| format!("{{\"n\":{row}}}")))));
    Batch {
        from: TopicPartition::new("orders", 0),
        span: OffsetRange { start: 0, end: ROWS },
        topic: Arc::from("orders"),
        offsets: Int64Array::from_iter_values(0..ROWS),
        timestamps: TimestampMillisecondArray::from_iter_values((0..ROWS).map(|row| 1_748_736_000_000 + row * 10_000)),
        key: value.clone(),
        value,
        headers: None,
    }
}

/// The transforms of these settings.
pub(crate) fn chain(settings: &[(&str, &str)]) -> Chain {
    Chain::from_props(&settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()).expect("valid settings")
}

/// The schema of the orders.
pub(crate) const SCHEMA: &str = r#"{"type":"struct","name":"order","fields":[{"field":"order_id","type":"string"},{"field":"amount","type":"double"},{"field":"paid","type":"boolean"},
    {"field":"customer","type":"struct","fields":[{"field":"id","type":"int64"},{"field":"country","type":"string"}]},{"field":"ts","type":"int64"}]}"#;

/// Orders: a customer in a struct, and a tombstone among a hundred.
pub(crate) const ORDERS: usize = 10_000;

pub(crate) fn texts() -> StringArray {
    let order = |row: usize| {
        let (id, country) = (row % 997, ["DE", "FR", "CA", "JP"][row % 4]);
        format!(
            "{{\"order_id\":\"o-{row:08}\",\"amount\":{}.5,\"paid\":{},\"customer\":{{\"id\":{id},\"country\":\"{country}\"}},\"ts\":{}}}",
            row % 500,
            row.is_multiple_of(2),
            1_748_736_000_000 + row
        )
    };
    (0..ORDERS).map(|row| (!row.is_multiple_of(100)).then(|| order(row))).collect()
}

fn orders(values: Column) -> Batch {
    let rows = i64::try_from(ORDERS).expect("few rows");
    Batch {
        span: OffsetRange { start: 0, end: rows },
        offsets: Int64Array::from_iter_values(0..rows),
        timestamps: TimestampMillisecondArray::from_iter_values((0..rows).map(|row| 1_748_736_000_000 + row)),
        key: values.clone(),
        value: values,
        ..batch()
    }
}

pub(crate) fn with_schema() -> Batch {
    let options = [("schemas.enable", "false"), ("schema.content", SCHEMA)].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let mut converter = (wire::find("json").expect("a converter").build)(&options, false, Want::Any).expect("a schema");
    let payloads: BinaryArray = texts().iter().map(|text| text.map(str::as_bytes)).collect();
    orders(converter.decode("orders", &payloads).expect("orders").spans.remove(0).1)
}

/// The same orders as JSON.
pub(crate) fn schemaless() -> Batch {
    orders(Column::new(json_text("value"), Arc::new(texts())))
}

/// Transforms that are measured, with their settings.
pub(crate) fn cases() -> Vec<(&'static str, Vec<(&'static str, &'static str)>)> {
    let one = |class: &'static str, settings: &[(&'static str, &'static str)]| {
        let mut all = vec![("transforms", "a"), ("transforms.a.type", class)];
        all.extend(settings);
        all
    };
    vec![
        ("ExtractField", one("ExtractField$Value", &[("transforms.a.field", "customer.country"), ("transforms.a.field.syntax.version", "V2")])),
        ("HoistField", one("HoistField$Value", &[("transforms.a.field", "order")])),
        ("ReplaceField", one("ReplaceField$Value", &[("transforms.a.exclude", "paid"), ("transforms.a.renames", "ts:at")])),
        ("Flatten", one("Flatten$Value", &[])),
        (
            "InsertField",
            one("InsertField$Value", &[("transforms.a.topic.field", "t"), ("transforms.a.offset.field", "o!"), ("transforms.a.timestamp.field", "at")]),
        ),
        ("Filter of tombstones", one("Filter", &[("transforms.a.predicate", "p"), ("predicates", "p"), ("predicates.p.type", "RecordIsTombstone")])),
        ("Cast", one("Cast$Value", &[("transforms.a.spec", "amount:string,paid:string")])),
        ("MaskField", one("MaskField$Value", &[("transforms.a.fields", "amount,order_id")])),
        (
            "TimestampConverter",
            one(
                "TimestampConverter$Value",
                &[("transforms.a.field", "ts"), ("transforms.a.target.type", "string"), ("transforms.a.format", "yyyy-MM-dd'T'HH:mm:ss.SSS")],
            ),
        ),
        ("HeaderFrom", one("HeaderFrom$Value", &[("transforms.a.fields", "order_id"), ("transforms.a.headers", "id"), ("transforms.a.operation", "copy")])),
        ("InsertHeader", one("InsertHeader", &[("transforms.a.header", "by"), ("transforms.a.value.literal", "7")])),
        (
            "chain of kernels",
            vec![
                ("transforms", "topic,names,cast,time,mask"),
                ("predicates", "p"),
                ("predicates.p.type", "RecordIsTombstone"),
                ("transforms.topic.type", "InsertField$Value"),
                ("transforms.topic.topic.field", "topic"),
                ("transforms.names.type", "ReplaceField$Value"),
                ("transforms.names.exclude", "paid"),
                ("transforms.cast.type", "Cast$Value"),
                ("transforms.cast.spec", "amount:string"),
                ("transforms.time.type", "TimestampConverter$Value"),
                ("transforms.time.field", "ts"),
                ("transforms.time.target.type", "string"),
                ("transforms.time.format", "yyyy-MM-dd'T'HH:mm:ss"),
                ("transforms.mask.type", "MaskField$Value"),
                ("transforms.mask.fields", "order_id"),
                ("transforms.mask.predicate", "p"),
                ("transforms.mask.negate", "true"),
            ],
        ),
        (
            "chain of five",
            vec![
                ("transforms", "drop,flat,names,topic,route"),
                ("predicates", "p"),
                ("predicates.p.type", "RecordIsTombstone"),
                ("transforms.drop.type", "Filter"),
                ("transforms.drop.predicate", "p"),
                ("transforms.flat.type", "Flatten$Value"),
                ("transforms.names.type", "ReplaceField$Value"),
                ("transforms.names.exclude", "paid"),
                ("transforms.topic.type", "InsertField$Value"),
                ("transforms.topic.topic.field", "topic"),
                ("transforms.route.type", "RegexRouter"),
                ("transforms.route.regex", "(.*)"),
                ("transforms.route.replacement", "lake-$1"),
            ],
        ),
    ]
}
