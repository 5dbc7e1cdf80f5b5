//! Laws of the JSON converter and the JSON file format, with `serde_json` as the oracle: what is accepted, and which values come out.

#![expect(clippy::expect_used, reason = "a test may stop")]

use std::sync::Arc;

use arrow::array::{Array, AsArray, BinaryArray};
use lakehead_formats::column::Column;
use lakehead_formats::wire::{Converter, Decoded, Want};
use lakehead_formats::{file, wire};
use proptest::prelude::*;
use serde_json::{Value, json};

const SCHEMA: &str = r#"{"type":"struct","fields":[
    {"field":"i","type":"int64","optional":true},{"field":"f","type":"double","optional":true},{"field":"s","type":"string","optional":true},
    {"field":"b","type":"boolean","optional":true},{"field":"é\"","type":"string","optional":true},
    {"field":"l","type":"array","optional":true,"items":{"type":"int64","optional":true}},
    {"field":"m","type":"map","optional":true,"keys":{"type":"string"},"values":{"type":"string","optional":true}},
    {"field":"o","type":"struct","optional":true,"fields":[{"field":"i","type":"int64","optional":true},{"field":"a rather long name","type":"string","optional":true}]}]}"#;

fn converter(settings: &[(&str, &str)], want: Want) -> Box<dyn Converter> {
    let options = settings.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    (wire::find("json").expect("registered").build)(&options, false, want).expect("valid settings")
}

fn text() -> Box<dyn Converter> {
    converter(&[("schemas.enable", "false")], Want::Any)
}

fn inferred() -> Box<dyn Converter> {
    converter(&[("schemas.enable", "false")], Want::Columns)
}

fn declared() -> Box<dyn Converter> {
    converter(&[("schemas.enable", "false"), ("value.schema", SCHEMA)], Want::Columns)
}

fn decode<T: AsRef<[u8]>>(mut converter: impl AsMut<dyn Converter>, rows: &[T]) -> Decoded {
    let payloads: BinaryArray = rows.iter().map(|row| Some(row.as_ref())).collect();
    let decoded = converter.as_mut().decode("t", &payloads).expect("no defect");
    for (span, column) in &decoded.spans {
        assert_eq!(span.len(), column.len());
        column.array.to_data().validate_full().expect("valid arrow");
        assert!(decoded.rejects.iter().all(|r| !span.contains(&r.row) || column.array.is_null(r.row - span.start)));
    }
    decoded
}

/// The rows, written as JSON lines and read by the oracle.
fn lines(column: &Column) -> Vec<Value> {
    let format = (file::find("json").expect("registered").build)(&file::Options::new()).expect("valid settings");
    let mut encoder = format.encoder(&Arc::clone(&column.field)).expect("supported");
    encoder.write(&column.array).expect("rows");
    let bytes = encoder.finish(&[]).expect("the end").0.concat();
    let text = String::from_utf8(bytes).expect("utf-8");
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

fn is_json(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok() && serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok()
}

/// JSON of all kinds, with names that the schema has and others.
fn values() -> impl Strategy<Value = Value> {
    let names = prop::sample::select(vec!["i", "f", "s", "b", "l", "m", "o", "é\"", "a rather long name", "x", "y"]);
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1000_i64..1000).prop_map(Value::from),
        (-1e15..1e15).prop_map(Value::from),
        "[a-zé\"\\\\\n\u{1F600} ]{0,12}".prop_map(Value::from),
    ];
    scalar.prop_recursive(4, 40, 6, move |inner| {
        let members = prop::collection::vec((names.clone().prop_map(str::to_owned), inner.clone()), 0..8);
        prop_oneof![prop::collection::vec(inner, 0..5).prop_map(Value::from), members.prop_map(|members| members.into_iter().collect::<Value>())]
    })
}

/// Objects that fit the schema, mostly, their members in any order.
fn records() -> impl Strategy<Value = Value> {
    let maybe = |s: BoxedStrategy<Value>| prop_oneof![5 => s, 1 => Just(Value::Null)].boxed();
    let ints = || any::<i64>().prop_map(Value::from).boxed();
    let strings = || "[a-zé\"\\\\\t\u{1F600} ]{0,20}".prop_map(Value::from).boxed();
    let members = (
        maybe(ints()),
        maybe((-1e15..1e15).prop_map(Value::from).boxed()),
        maybe(strings()),
        maybe(any::<bool>().prop_map(Value::from).boxed()),
        maybe(strings()),
        maybe(prop::collection::vec(maybe(ints()), 0..4).prop_map(Value::from).boxed()),
        maybe(prop::collection::btree_map("[a-c\"]{0,2}", maybe(strings()), 0..4).prop_map(|m| m.into_iter().collect()).boxed()),
        maybe((ints(), strings()).prop_map(|(i, s)| json!({"i": i, "a rather long name": s})).boxed()),
        values(),
    );
    let order = Just((0..9).collect::<Vec<usize>>()).prop_shuffle();
    (members, order, 0_usize..4).prop_map(|((i, f, s, b, e, l, m, o, x), order, dropped)| {
        let all = [("i", i), ("f", f), ("s", s), ("b", b), ("é\"", e), ("l", l), ("m", m), ("o", o), ("x", x)];
        order.into_iter().skip(dropped).map(|index| (all[index].0.to_owned(), all[index].1.clone())).collect()
    })
}

/// A text of the value: compact, spread out, or with escapes beyond ASCII.
fn written(value: &Value, style: u8) -> Vec<u8> {
    match style % 3 {
        0 => value.to_string().into_bytes(),
        1 => serde_json::to_string_pretty(value).expect("json").into_bytes(),
        _ => {
            let mut out = String::new();
            for c in value.to_string().chars() {
                if c.is_ascii() {
                    out.push(c);
                } else {
                    c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
                }
            }
            out.into_bytes()
        }
    }
}

type Edit = (prop::sample::Index, u8, u8);

/// Bytes changed, cut or inserted.
fn mutate(mut bytes: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    const TELLING: &[u8] = b"{}[]\",:\\u0-.eE+ \n\x00\xff\xc3ntf1";
    for (at, what, byte) in edits {
        let at = at.index(bytes.len() + 1);
        let byte = TELLING[usize::from(*byte) % TELLING.len()];
        match what % 8 {
            0..3 => bytes.insert(at, byte),
            3..5 if at < bytes.len() => bytes[at] = byte,
            5..7 if at < bytes.len() => {
                bytes.remove(at);
            }
            7 => bytes.truncate(at),
            _ => {}
        }
    }
    bytes
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    prop_oneof![Just(Vec::new()), prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), any::<u8>()), 1..3)]
}

/// Records as bytes, some of them mutilated.
fn rows() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let row = (records(), any::<u8>(), edits()).prop_map(|(value, style, edits)| mutate(written(&value, style), &edits));
    prop::collection::vec(row, 1..6)
}

/// What a type makes of a value; none when it does not fit. `Err` where the oracle cannot tell, because it lost digits.
type Fit = Result<Option<Value>, ()>;

fn int(v: &Value) -> Fit {
    match v {
        Value::Null => Ok(Some(Value::Null)),
        Value::Number(n) if n.is_i64() => Ok(Some(v.clone())),
        Value::Number(n) if n.is_f64() && n.as_f64().is_some_and(|f| f.fract() == 0.0 || f.abs() > 1e15) => Err(()),
        _ => Ok(None),
    }
}

fn float(v: &Value) -> Fit {
    match v {
        Value::Null => Ok(Some(Value::Null)),
        Value::Number(n) => Ok(n.as_f64().map(Value::from)),
        _ => Ok(None),
    }
}

fn string(v: &Value) -> Fit {
    Ok((v.is_null() || v.is_string()).then(|| v.clone()))
}

fn boolean(v: &Value) -> Fit {
    Ok((v.is_null() || v.is_boolean()).then(|| v.clone()))
}

fn list(v: &Value) -> Fit {
    match v {
        Value::Null => Ok(Some(Value::Null)),
        Value::Array(items) => items.iter().map(int).collect::<Result<Option<Vec<_>>, ()>>().map(|items| items.map(Value::from)),
        _ => Ok(None),
    }
}

fn map(v: &Value) -> Fit {
    match v {
        Value::Null => Ok(Some(Value::Null)),
        Value::Object(members) => Ok(members.values().all(|v| v.is_null() || v.is_string()).then(|| v.clone())),
        _ => Ok(None),
    }
}

fn object(v: &Value, fields: &[(&str, fn(&Value) -> Fit)]) -> Fit {
    match v {
        Value::Null => Ok(Some(Value::Null)),
        Value::Object(members) => {
            let mut out = serde_json::Map::new();
            let fits: Vec<_> = fields.iter().map(|(name, read)| read(members.get(*name).unwrap_or(&Value::Null))).collect::<Result<_, ()>>()?;
            for ((name, _), fit) in fields.iter().zip(fits) {
                let Some(value) = fit else { return Ok(None) };
                out.insert((*name).to_owned(), value);
            }
            Ok(Some(Value::Object(out)))
        }
        _ => Ok(None),
    }
}

fn record(v: &Value) -> Fit {
    let inner = |v: &Value| object(v, &[("i", int), ("a rather long name", string)]);
    object(v, &[("i", int), ("f", float), ("s", string), ("b", boolean), ("é\"", string), ("l", list), ("m", map), ("o", inner)])
}

/// True for null and for containers of nothing else.
fn typeless(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.iter().all(typeless),
        Value::Object(members) => members.values().all(typeless),
        _ => false,
    }
}

/// The value without what has no type; numbers as floats, members in the order of their names.
fn typed(value: &Value) -> Value {
    match value {
        value if typeless(value) => Value::Null,
        Value::Number(n) => Value::from(n.as_f64()),
        Value::Array(items) => items.iter().map(typed).collect(),
        Value::Object(members) => {
            let sorted: std::collections::BTreeMap<_, _> = members.iter().filter(|(_, v)| !typeless(v)).collect();
            sorted.into_iter().map(|(k, v)| (k.clone(), typed(v))).collect()
        }
        other => other.clone(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn text_is_taken_exactly_when_it_is_one_json_value(value in values(), style in any::<u8>(), edits in edits()) {
        let row = mutate(written(&value, style), &edits);
        let decoded = decode(text(), &[b"1", row.as_slice(), b"2"]);
        let blank = row.trim_ascii().is_empty();
        prop_assert_eq!(decoded.rejects.is_empty(), blank || is_json(&row), "{}", String::from_utf8_lossy(&row));
        let column = &decoded.spans[0].1;
        if !column.array.is_null(1) {
            prop_assert_eq!(column.array.as_string::<i32>().value(1).as_bytes(), row.as_slice());
        }
    }

    #[test]
    fn bytes_of_any_kind_are_taken_exactly_when_they_are_json(row in prop::collection::vec(any::<u8>(), 0..40)) {
        let fine = row.trim_ascii().is_empty() || is_json(&row);
        prop_assert_eq!(decode(text(), &[&row]).rejects.is_empty(), fine);
        prop_assert!(fine || decode(declared(), &[&row]).rejects.len() == 1);
        prop_assert!(fine || decode(inferred(), &[&row]).rejects.len() == 1);
        decode(converter(&[], Want::Columns), &[&row]);
    }

    #[test]
    fn declared_columns_hold_the_values_of_the_text(rows in rows()) {
        let decoded = decode(declared(), &rows);
        let lines = lines(&decoded.spans[0].1);
        for (index, row) in rows.iter().enumerate() {
            let rejected = decoded.rejects.iter().find(|r| r.row == index);
            let shown = String::from_utf8_lossy(row);
            if !is_json(row) {
                prop_assert_eq!(rejected.is_some(), !row.trim_ascii().is_empty(), "{}", shown);
                continue;
            }
            // The oracle refuses floats past the largest and halves of surrogate pairs also where nobody reads them.
            let Ok(value) = serde_json::from_slice::<Value>(row) else { continue };
            let Ok(expected) = record(&value) else { continue };
            prop_assert_eq!(rejected.is_none().then(|| &lines[index]), expected.as_ref(), "{} {:?}", shown, rejected);
        }
    }

    #[test]
    fn inferred_columns_hold_the_values_of_the_text(batches in prop::collection::vec(prop::collection::vec((values(), any::<u8>()), 1..8), 1..4)) {
        let mut converter = inferred();
        for batch in batches {
            let rows: Vec<Vec<u8>> = batch.iter().map(|(value, style)| written(value, *style)).collect();
            let decoded = decode(&mut converter, &rows);
            let lines = lines(&decoded.spans[0].1);
            for (index, (value, _)) in batch.iter().enumerate() {
                match decoded.rejects.iter().find(|r| r.row == index) {
                    None => prop_assert_eq!(typed(&lines[index]), typed(value)),
                    Some(reject) => prop_assert!(!typeless(value) || value.is_array(), "{}", reject.reason),
                }
            }
        }
    }

    #[test]
    fn repeated_rows_are_taken_again_and_widening_is_settled_within_a_batch(rows in rows()) {
        let mut converter = inferred();
        let (first, again) = (decode(&mut converter, &rows), decode(&mut converter, &rows));
        prop_assert_eq!(&first.rejects, &again.rejects);
        prop_assert_eq!(&first.spans[0].1.field, &again.spans[0].1.field);
        prop_assert_eq!(first.spans[0].1.array.as_ref(), again.spans[0].1.array.as_ref());
    }

    #[test]
    fn an_envelope_changes_nothing_but_where_the_schema_is(rows in rows()) {
        // A payload that is no JSON may close the envelope: another case.
        let rows: Vec<Vec<u8>> = rows.into_iter().filter(|row| is_json(row)).collect();
        let schema = SCHEMA.replacen("\"type\"", "\"optional\":true,\"type\"", 1);
        let wrapped: Vec<Vec<u8>> = rows.iter().map(|row| [b"{\"schema\":", schema.as_bytes(), b",\"payload\":", row, b"}"].concat()).collect();
        let bare = decode(declared(), &rows);
        let wrapped = decode(converter(&[], Want::Any), &wrapped);
        prop_assert_eq!(&wrapped.rejects, &bare.rejects);
        if !rows.is_empty() {
            prop_assert_eq!(wrapped.spans.len(), 1);
            prop_assert_eq!(wrapped.spans[0].1.array.as_ref(), bare.spans[0].1.array.as_ref());
        }
    }
}
