//! A case through our real code, with the outcomes in the driver's form: `{"refused"}`, or `{"outcomes"}`, one for each record, payload or value.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, BinaryArray};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lakehead::batch::Batch;
use lakehead::connect::Props;
use lakehead::connect::config::ConfigError;
use lakehead::transform::{self, Chain, Side};
use lakehead_formats::column::Column;
use lakehead_formats::headers::literal;
use lakehead_formats::payload::{self, PayloadWriter};
use lakehead_formats::schema::is_json_text;
use lakehead_formats::wire::{self, Want};
use serde_json::{Value, json};

use super::{shared, tagged};

/// Plays a case; an error says that it cannot be played.
pub(crate) fn play(case: &Value) -> Result<Value, String> {
    match case["kind"].as_str().unwrap_or_default() {
        "chain" => chain(case),
        "to_connect" => to_connect(case),
        "from_connect" => from_connect(case, payload::find(class(case))),
        "to_header" => to_header(case),
        "from_header" => from_connect(case, payload::find_for_headers(class(case))),
        other => Err(format!("no kind is called {other}")),
    }
}

fn class(case: &Value) -> &str {
    case["class"].as_str().unwrap_or_default()
}

fn props(form: &Value) -> Props {
    let members = form.as_object().into_iter().flatten();
    members.map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned())).collect()
}

fn refused(message: &str) -> Value {
    json!({"refused": {"message": message}})
}

fn refused_by(errors: &[ConfigError]) -> Value {
    refused(&errors.iter().map(|error| error.message.as_str()).collect::<Vec<_>>().join("; "))
}

fn failed(reason: &str) -> Value {
    json!({"error": {"message": reason}})
}

fn chain(case: &Value) -> Result<Value, String> {
    let records = case["records"].as_array().ok_or("no records")?;
    let given = shared::batch(records, case["text"] == true)?;
    let offsets = given.offsets.clone();
    let mut outcomes = vec![json!({"dropped": true}); records.len()];
    let mut out = Vec::new();
    let props = props(&case["props"]);
    if case["way"] == "alone" {
        let mut own: Props = props.iter().filter_map(|(key, value)| Some((key.strip_prefix("transforms.t0.")?.to_owned(), value.clone()))).collect();
        let class = own.remove("type").ok_or("no type")?;
        let mut transform = match transform::configure(&class, &own) {
            Ok(transform) => transform,
            Err(errors) => return Ok(refused_by(&errors)),
        };
        if case["source"] == true {
            transform.of_source();
        }
        for reject in transform.apply(given, &mut out) {
            outcomes[reject.row] = failed(&reject.reason);
        }
    } else {
        let mut chain = match Chain::from_props(&props) {
            Ok(chain) if case["source"] == true => chain.of_source(),
            Ok(chain) => chain,
            Err(errors) => return Ok(refused_by(&errors)),
        };
        for reject in chain.apply(given, &mut out) {
            outcomes[reject.row] = failed(&reject.reason);
            outcomes[reject.row]["stage"] = reject.class.as_ref().into();
        }
    }
    for batch in &out {
        for row in 0..batch.len() {
            let at = offsets.values().iter().position(|offset| *offset == batch.offsets.value(row)).ok_or("an offset that was not there before")?;
            outcomes[at] = record(batch, row)?;
        }
    }
    Ok(json!({"outcomes": outcomes}))
}

fn record(batch: &Batch, row: usize) -> Result<Value, String> {
    let timestamp = batch.timestamps.is_valid(row).then(|| batch.timestamps.value(row));
    let mut outcome = json!({"topic": batch.topic.as_ref(), "timestamp": timestamp});
    for (side, name) in [(Side::Key, "key"), (Side::Value, "value")] {
        let column = side.of(batch);
        outcome[format!("{name}Schema")] = shared::schema_of(column)?;
        outcome[name] = tagged::of_column(column, row)?;
        if is_json_text(&column.field) && column.array.is_valid(row) {
            outcome[format!("{name}Json")] = column.array.as_string::<i32>().value(row).into();
        }
    }
    let headers = batch.headers.as_ref().map_or_else(|| Ok(Vec::new()), |list| shared::headers_of(list, row))?;
    let one = |(name, column): &(String, Column)| Ok(json!([name, shared::schema_of(column)?, tagged::of_column(column, 0)?]));
    outcome["headers"] = headers.iter().map(one).collect::<Result<Vec<_>, String>>()?.into();
    Ok(outcome)
}

fn payloads(case: &Value) -> Vec<Option<Vec<u8>>> {
    let one = |form: &Value| form.as_str().and_then(|text| STANDARD.decode(text).ok());
    case["payloads"].as_array().into_iter().flatten().map(one).collect()
}

fn to_connect(case: &Value) -> Result<Value, String> {
    let wire = wire::find(class(case)).ok_or("no converter of that class")?;
    let payloads = payloads(case);
    let mut converter = match (wire.build)(&props(&case["config"]), case["is_key"] == true, Want::Any) {
        Ok(converter) => converter,
        Err(error) => return Ok(refused(&error.to_string())),
    };
    let given = BinaryArray::from(payloads.iter().map(Option::as_deref).collect::<Vec<_>>());
    let decoded = converter.decode("t", &given).map_err(|error| error.to_string())?;
    let mut outcomes = vec![Value::Null; payloads.len()];
    for (rows, column) in &decoded.spans {
        for (place, row) in rows.clone().enumerate() {
            if decoded.rejects.iter().all(|reject| reject.row != row) {
                outcomes[row] = shared::shown(column, place)?;
            }
        }
    }
    for reject in &decoded.rejects {
        outcomes[reject.row] = failed(&reject.reason);
    }
    Ok(json!({"outcomes": outcomes}))
}

fn from_connect(case: &Value, writer: Option<&'static payload::Writer>) -> Result<Value, String> {
    let values: Vec<&Value> = case["values"].as_array().into_iter().flatten().collect();
    let column = if case["schema"].is_null() { shared::texts("value", &values)? } else { tagged::columns("value", &case["schema"], &values)? };
    let mut writer = match (writer.ok_or("no converter of that class writes")?.build)(&props(&case["config"])) {
        Ok(writer) => writer,
        Err(error) => return Ok(refused(&error.to_string())),
    };
    Ok(json!({"outcomes": written(writer.as_mut(), &column)}))
}

fn written(writer: &mut dyn PayloadWriter, column: &Column) -> Vec<Value> {
    let written = writer.write(column);
    let rejects: BTreeMap<usize, &str> = written.rejects.iter().map(|reject| (reject.row, reject.reason.as_str())).collect();
    let one = |row: usize| match rejects.get(&row) {
        Some(reason) => failed(reason),
        None => json!({"bytes": written.payloads.is_valid(row).then(|| STANDARD.encode(written.payloads.value(row)))}),
    };
    (0..column.len()).map(one).collect()
}

fn to_header(case: &Value) -> Result<Value, String> {
    let one = |payload: &Option<Vec<u8>>| {
        let parsed = payload.as_deref().and_then(|bytes| literal::parse(&String::from_utf8_lossy(bytes)));
        shared::of_literal(parsed.as_ref())
    };
    Ok(json!({"outcomes": payloads(case).iter().map(one).collect::<Vec<_>>()}))
}
