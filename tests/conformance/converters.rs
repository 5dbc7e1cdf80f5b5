//! Kinds `to_connect`, `from_connect`, `to_header` and `from_header`: the real converters, one payload at a time.

use arrow::array::{Array, BinaryArray, StringArray};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lakehead_formats::column::Column;
use lakehead_formats::headers::literal;
use lakehead_formats::payload;
use lakehead_formats::schema::{from_connect_json, json_text};
use lakehead_formats::wire::{self, Want};
use serde_json::{Value, json};
use std::sync::Arc;

use super::vectors::{Mismatch, Outcome, Part, Vector};
use super::{shared, tagged};

/// What converting gave, or why it gave nothing.
type Found = Result<Value, String>;

/// Vectors that are not as upstream on purpose, by what they are about.
const DIFFERENT: &[(&str, fn(&Vector) -> bool)] = &[
    ("a column holds values of its own type alone: there is no such record", holds_another_type),
    ("keys of maps without a schema are strings: there is no such record", has_other_keys),
    ("JSON is that of RFC 8259, whose numbers have no leading zeros: the record is bad", has_leading_zeros),
    ("a value of another type than its schema says is a bad record, not a null", is_made_null),
];

/// Why a vector is not as upstream.
pub(crate) fn difference(vector: &Vector) -> Option<&'static str> {
    DIFFERENT.iter().find(|(_, is_about)| is_about(vector)).map(|(reason, _)| *reason)
}

/// A value of another class than its schema says.
fn holds_another_type(vector: &Vector) -> bool {
    let (schema, value) = (&vector.form["schema"], &vector.form["value"]);
    let field = from_connect_json("value", schema.to_string().as_bytes());
    vector.kind == "from_connect" && schema.is_object() && field.is_ok_and(|field| tagged::array(&field, value).is_none())
}

/// A map without a schema whose keys are no strings.
fn has_other_keys(vector: &Vector) -> bool {
    vector.kind == "from_connect" && vector.form["schema"].is_null() && tagged::json_of(&vector.form["value"]).is_none()
}

fn has_leading_zeros(vector: &Vector) -> bool {
    let text = vector.form["bytes"]["utf8"].as_str().unwrap_or_default();
    let is_json = serde_json::from_str::<Value>(text).is_ok();
    let is_zero = |pair: &[u8]| pair[0] == b'0' && pair[1].is_ascii_digit();
    vector.kind == "to_connect" && !is_json && vector.form["expect"].get("error").is_none() && text.as_bytes().windows(2).any(is_zero)
}

fn is_made_null(vector: &Vector) -> bool {
    let expected = &vector.form["expect"];
    let envelope: Value = vector.form["bytes"]["utf8"].as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    vector.kind == "to_connect"
        && expected["schema"].is_object()
        && expected["value"].is_null()
        && envelope.get("payload").is_some_and(|payload| !payload.is_null())
}

fn bytes(form: &Value) -> Result<Option<Vec<u8>>, String> {
    if form.is_null() {
        return Ok(None);
    }
    if let Some(text) = form["base64"].as_str() {
        return STANDARD.decode(text).map(Some).map_err(|error| error.to_string());
    }
    form["utf8"].as_str().map(|text| Some(text.as_bytes().to_vec())).ok_or_else(|| format!("{form} are no bytes"))
}

fn compare(vector: &Vector, found: Found) -> Outcome {
    let expected = &vector.form["expect"];
    let mismatch = |part, what: &str, expected: &Value, found: Value| vec![Mismatch::new(part, what, expected.clone(), found)];
    let Some(error) = expected.get("error") else {
        return Ok(match found {
            Err(why) => mismatch(Part::Error, "the result", expected, why.into()),
            Ok(found) if found == *expected => Vec::new(),
            Ok(found) => mismatch(Part::Contents, "the result", expected, found),
        });
    };
    let message = error["message"].as_str().ok_or("an error without a message")?;
    Ok(match found {
        // We say more than upstream, never less.
        Err(why) if why.contains(message) => Vec::new(),
        Err(why) => mismatch(Part::Error, "the error", error, why.into()),
        Ok(found) => mismatch(Part::Error, "the error", error, found),
    })
}

fn class(vector: &Vector) -> Result<String, String> {
    let class = vector.form["class"].as_str().ok_or("no class")?;
    Ok(format!("org.apache.kafka.connect.{class}"))
}

pub(crate) fn to_connect(vector: &Vector) -> Outcome {
    let wire = wire::find(&class(vector)?).ok_or("no converter of that class")?;
    let payload = bytes(&vector.form["bytes"])?;
    let is_key = vector.form["is_key"] == true;
    let found = (wire.build)(&vector.props()?, is_key, Want::Any).map_err(|error| error.to_string()).and_then(|mut converter| {
        let decoded = converter.decode("t", &BinaryArray::from(vec![payload.as_deref()])).map_err(|error| error.to_string())?;
        match (decoded.rejects.first(), &decoded.spans[..]) {
            (Some(reject), _) => Err(reject.reason.clone()),
            (None, [(_, column)]) => shared::shown(column, 0),
            (None, spans) => Err(format!("{} columns", spans.len())),
        }
    });
    compare(vector, found)
}

/// The value as a column; none when no column holds it.
fn column(vector: &Vector) -> Result<Option<Column>, String> {
    let (schema, value) = (&vector.form["schema"], &vector.form["value"]);
    if schema.is_null() {
        let text = tagged::json_of(value).map(|json| if json.is_null() { None } else { Some(json.to_string()) });
        return Ok(text.map(|text| Column::new(json_text("value"), Arc::new(StringArray::from(vec![text])))));
    }
    let field = from_connect_json("value", schema.to_string().as_bytes()).map_err(|error| error.to_string())?;
    let array = tagged::array(&field, value);
    Ok(array.map(|array| Column::new(Arc::new(field), array)))
}

fn written(vector: &Vector, writer: Result<Box<dyn payload::PayloadWriter>, String>) -> Outcome {
    let found = match column(vector)? {
        None => Err("no column holds such a value".to_owned()),
        Some(column) => writer.and_then(|mut writer| {
            let written = writer.write(&column);
            match written.rejects.first() {
                Some(reject) => Err(reject.reason.clone()),
                None => Ok(written.payloads.is_valid(0).then(|| written.payloads.value(0).to_vec())),
            }
        }),
    };
    let expected = &vector.form["expect"];
    if expected.get("error").is_some() {
        return compare(vector, found.map(|bytes| json!(bytes.map(|bytes| bytes.escape_ascii().to_string()))));
    }
    let wanted = bytes(&expected["bytes"])?;
    Ok(match found {
        Ok(found) if found == wanted => Vec::new(),
        Ok(found) => {
            let text = |bytes: Option<Vec<u8>>| json!(bytes.map(|bytes| bytes.escape_ascii().to_string()));
            vec![Mismatch::new(Part::Contents, "the payload", text(wanted), text(found))]
        }
        Err(why) => vec![Mismatch::new(Part::Error, "the payload", expected.clone(), why)],
    })
}

pub(crate) fn from_connect(vector: &Vector) -> Outcome {
    let writer = payload::find(&class(vector)?).ok_or("no converter of that class writes")?;
    written(vector, (writer.build)(&vector.props()?).map_err(|error| error.to_string()))
}

pub(crate) fn from_header(vector: &Vector) -> Outcome {
    let writer = payload::find_for_headers("org.apache.kafka.connect.storage.SimpleHeaderConverter").ok_or("no converter of that class")?;
    written(vector, (writer.build)(&Default::default()).map_err(|error| error.to_string()))
}

pub(crate) fn to_header(vector: &Vector) -> Outcome {
    let parsed = bytes(&vector.form["bytes"])?.and_then(|bytes| literal::parse(&String::from_utf8_lossy(&bytes)));
    let mut found = shared::of_literal(parsed.as_ref());
    if let Some(pair) = vector.form["expect"].get("returns_null_pair") {
        found["returns_null_pair"] = pair.clone(); // how Java says that there is none
    }
    compare(vector, Ok(found))
}
