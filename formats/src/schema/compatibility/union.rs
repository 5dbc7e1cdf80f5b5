//! One schema out of two *declared* ones that are versions of the same: the schema of a file that takes the rows of both.
//!
//! | a field, an item, a value | in the union |
//! |---|---|
//! | of one version only | as it is where it has a default, which the rows of the other version take; else nullable |
//! | of both, types that are equal | that type, nullable where either is |
//! | int8, int16, int32, int64 | the wider one |
//! | float32 with float64; int8 or int16 with a float; int32 with a float | the float; float64; every value is kept |
//! | decimals of one scale | the one with more digits |
//! | structs, lists, maps | the union of what is in them, at any depth; fields in the order in which they were first seen |
//! | enums of one name | the symbols of both |
//! | anything else | no union: int64 with a float, text with a number, another scale, another name, another parameter that says what the values are |
//!
//! Of what both have, version, documentation and default are those of the schema that came first: a file that is being encoded cannot change them, and what it holds must not
//! depend on when that began. Unlike a [projection](super::project), a union never puts a default in place of a null that a record has.
//!
//! Guarantee: `unite(a, b)` takes every row of either as it is ([`crate::schema::adapt`] moves them), and uniting with it again changes nothing; nor does uniting with a schema
//! that is [alike](is_alike).

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Field, FieldRef, Fields};

use super::{DOCUMENTATION, ENUMS, FIELD_DOCUMENTATION, PARAMETERS, VERSION, constant, name};
use crate::schema::avro::{ENUM_DEFAULT, ENUM_DOC, SCHEMA_TEXT, SYMBOLS};
use crate::schema::widen::{Conflict, type_name};
use crate::schema::{DECIMAL_PRECISION, DEFAULT, DOC, EXTENSION_NAME, INFERRED, NAME, is_inferred, is_json_text};

/// The schema that takes the rows of both, by the table above.
///
/// # Errors
/// [`Conflict`] with the first place where they are not versions of one schema.
pub fn unite(held: &Field, comes: &Field) -> Result<Field, Conflict> {
    if is_json_text(held) != is_json_text(comes) {
        let word = |field: &Field| if is_json_text(field) { "JSON without a schema".to_owned() } else { type_name(field.data_type()) };
        return Err(Conflict { path: String::new(), held: word(held), comes: word(comes) });
    }
    if is_inferred(held) != is_inferred(comes) {
        let word = |field: &Field| format!("{} {}", if is_inferred(field) { "an inferred" } else { "a declared" }, type_name(field.data_type()));
        return Err(Conflict { path: String::new(), held: word(held), comes: word(comes) });
    }
    unite_fields(held, comes, "")
}

/// True when rows of the schema `other` can be written to a file that was begun with `file`: they differ in nothing but what only documents.
#[must_use]
pub fn is_alike(file: &Field, other: &Field) -> bool {
    let said = |field: &Field| -> HashMap<String, String> {
        let says = |key: &&String| !only_tells(key);
        field.metadata().iter().filter(|(key, _)| says(key)).map(|(key, value)| (key.clone(), value.clone())).collect()
    };
    file.is_nullable() == other.is_nullable()
        && said(file) == said(other)
        && match (file.data_type(), other.data_type()) {
            (DataType::Struct(a), DataType::Struct(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.name() == b.name() && is_alike(a, b)),
            (DataType::List(a), DataType::List(b)) | (DataType::Map(a, _), DataType::Map(b, _)) => is_alike(a, b),
            (a, b) => a == b,
        }
}

/// True for what of a schema does not say what its values are.
fn only_tells(key: &str) -> bool {
    [VERSION, DOC, DEFAULT, SCHEMA_TEXT].contains(&key) || documents(key)
}

/// True for a parameter that only documents.
fn documents(key: &str) -> bool {
    let Some(parameter) = key.strip_prefix(PARAMETERS) else { return false };
    DOCUMENTATION.contains(&parameter) || [FIELD_DOCUMENTATION, ENUM_DOC, ENUM_DEFAULT].iter().any(|prefix| parameter.starts_with(prefix))
}

fn unite_fields(held: &Field, comes: &Field, path: &str) -> Result<Field, Conflict> {
    let conflict = |held: String, comes: String| Conflict { path: path.to_owned(), held, comes };
    if name(held) != name(comes) {
        let called = |field: &Field| format!("{} called {:?}", type_name(field.data_type()), name(field).unwrap_or_default());
        return Err(conflict(called(held), called(comes)));
    }
    let data_type = unite_types(held.data_type(), comes.data_type(), path)?;
    let metadata = unite_metadata(held, comes).map_err(|key| {
        let says = |field: &Field| format!("{} with {key}={:?}", type_name(field.data_type()), field.metadata().get(&key).map_or("", String::as_str));
        conflict(says(held), says(comes))
    })?;
    Ok(Field::new(held.name(), data_type, held.is_nullable() || comes.is_nullable()).with_metadata(metadata))
}

fn unite_types(held: &DataType, comes: &DataType, path: &str) -> Result<DataType, Conflict> {
    use DataType as T;
    Ok(match (held, comes) {
        (T::Struct(held), T::Struct(comes)) => T::Struct(unite_members(held, comes, path)?),
        (T::List(held), T::List(comes)) => T::List(Arc::new(unite_fields(held, comes, path)?)),
        (T::Map(held, ordered), T::Map(comes, _)) => T::Map(Arc::new(unite_fields(held, comes, path)?), *ordered),
        (a, b) if a == b => a.clone(),
        (a, b) => wider(a, b).ok_or_else(|| Conflict { path: path.to_owned(), held: detailed(a), comes: detailed(b) })?,
    })
}

fn unite_members(held: &Fields, comes: &Fields, path: &str) -> Result<Fields, Conflict> {
    let at = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let mut fields: Vec<FieldRef> = Vec::with_capacity(held.len().max(comes.len()));
    for field in held {
        fields.push(match comes.find(field.name()) {
            Some((_, other)) if other == field => Arc::clone(field),
            Some((_, other)) => Arc::new(unite_fields(field, other, &at(field.name()))?),
            None => of_one_version(field),
        });
    }
    fields.extend(comes.iter().filter(|field| held.find(field.name()).is_none()).map(of_one_version));
    Ok(fields.into())
}

/// What both say, and what only documents as the first says it; a key on which they do not agree is an error.
fn unite_metadata(held: &Field, comes: &Field) -> Result<HashMap<String, String>, String> {
    let mut both: HashMap<String, String> = held.metadata().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    for (key, new) in comes.metadata().iter().filter(|(key, _)| !only_tells(key)) {
        let Some(old) = held.metadata().get(key) else {
            both.insert(key.clone(), new.clone());
            continue;
        };
        if old == new {
            continue;
        }
        match key.as_str() {
            NAME => {}
            SYMBOLS => drop(both.insert(key.clone(), all_symbols(held, comes))),
            INFERRED | EXTENSION_NAME => return Err(key.clone()),
            key if key.strip_prefix(PARAMETERS) == Some(DECIMAL_PRECISION) => {
                let digits = |text: &str| text.parse::<u32>().unwrap_or(0);
                both.insert(key.to_owned(), if digits(old) > digits(new) { old.clone() } else { new.clone() });
            }
            key if key.starts_with(PARAMETERS) && !is_ordinal(key) => return Err(key.to_owned()),
            _ => {}
        }
    }
    // The union is not the schema that this text says.
    both.remove(SCHEMA_TEXT);
    Ok(both)
}

/// A field that the other version lacks: its rows take the default, or are null.
fn of_one_version(field: &FieldRef) -> FieldRef {
    if field.is_nullable() || constant::default_value(field).is_some() { Arc::clone(field) } else { Arc::new(field.as_ref().clone().with_nullable(true)) }
}

/// The place of a symbol among its enum's, which another version may move.
fn is_ordinal(key: &str) -> bool {
    let Some(parameter) = key.strip_prefix(PARAMETERS) else { return false };
    ENUMS.iter().any(|name| parameter.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

fn all_symbols(held: &Field, comes: &Field) -> String {
    let of = |field: &Field| field.metadata().get(SYMBOLS).and_then(|text| serde_json::from_str::<Vec<String>>(text).ok()).unwrap_or_default();
    let mut all = of(held);
    for symbol in of(comes) {
        if !all.contains(&symbol) {
            all.push(symbol);
        }
    }
    serde_json::Value::from(all).to_string()
}

/// The type that takes every value of both without a loss.
fn wider(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType as T;
    let integer = |data_type: &DataType| match data_type {
        T::Int8 => Some(8),
        T::Int16 => Some(16),
        T::Int32 => Some(32),
        T::Int64 => Some(64),
        _ => None,
    };
    Some(match (a, b) {
        (a, b) if integer(a).is_some() && integer(b).is_some() => if integer(a) > integer(b) { a } else { b }.clone(),
        (T::Float32, T::Float64) | (T::Float64, T::Float32) => T::Float64,
        (T::Float32 | T::Float64, whole) | (whole, T::Float32 | T::Float64) if integer(whole).is_some_and(|bits| bits < 64) => T::Float64,
        (T::Decimal128(p, s) | T::Decimal256(p, s), T::Decimal128(q, t) | T::Decimal256(q, t)) if s == t => match p.max(q) {
            digits if *digits > DECIMAL128_MAX_PRECISION => T::Decimal256(*digits, *s),
            digits => T::Decimal128(*digits, *s),
        },
        _ => return None,
    })
}

/// A type as a conflict names it: of decimals, digits and scale too.
fn detailed(data_type: &DataType) -> String {
    match data_type {
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => format!("decimal({precision}, {scale})"),
        other => type_name(other),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, ArrayRef, AsArray, Float64Array, Int64Array, ListArray, StructArray};
    use arrow::buffer::OffsetBuffer;
    use arrow::compute::cast;
    use arrow::datatypes::Int64Type;
    use proptest::prelude::*;

    use super::*;
    use crate::schema::{adapt, from_connect_json};

    fn of(version: i32, fields: &str) -> Field {
        let text = format!(r#"{{"type":"struct","name":"R","version":{version},"fields":[{fields}]}}"#);
        from_connect_json("value", text.as_bytes()).expect(&text)
    }

    fn field(of: &Field, name: &str) -> FieldRef {
        let DataType::Struct(fields) = of.data_type() else { panic!("{of} is no struct") };
        Arc::clone(fields.find(name).expect(name).1)
    }

    #[test]
    fn the_table_of_unions() {
        use DataType as T;
        let decimal = |scale: u8, precision: u8| {
            format!(
                r#"{{"field":"f","type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{{"scale":"{scale}","connect.decimal.precision":"{precision}"}}}}"#
            )
        };
        let typed = |name: &str| format!(r#"{{"field":"f","type":"{name}"}}"#);
        let cases: Vec<(String, String, Result<DataType, &str>)> = vec![
            (typed("int8"), typed("int64"), Ok(T::Int64)),
            (typed("int32"), typed("int16"), Ok(T::Int32)),
            (typed("float"), typed("double"), Ok(T::Float64)),
            (typed("int32"), typed("float"), Ok(T::Float64)),
            (typed("double"), typed("int8"), Ok(T::Float64)),
            (typed("int64"), typed("double"), Err("field \"f\" is int64 and cannot become float64")),
            (typed("int64"), typed("string"), Err("field \"f\" is int64 and cannot become string")),
            (typed("boolean"), typed("int8"), Err("field \"f\" is boolean and cannot become int8")),
            (decimal(2, 9), decimal(2, 18), Ok(T::Decimal128(38, 2))),
            (decimal(2, 50), decimal(2, 18), Ok(T::Decimal256(76, 2))),
            (decimal(2, 9), decimal(3, 9), Err("field \"f\" is decimal(38, 2) and cannot become decimal(38, 3)")),
            (
                r#"{"field":"f","type":"int32","name":"org.apache.kafka.connect.data.Date"}"#.to_owned(),
                typed("int32"),
                Err("field \"f\" is date called \"org.apache.kafka.connect.data.Date\" and cannot become int32 called \"\""),
            ),
        ];
        for (a, b, expected) in cases {
            for (held, comes) in [(&a, &b), (&b, &a)] {
                match (unite(&of(1, held), &of(2, comes)), &expected) {
                    (Ok(both), Ok(expected)) => assert_eq!(field(&both, "f").data_type(), expected, "{held} with {comes}"),
                    (Err(why), Err(expected)) if held == &a => assert_eq!(why.to_string(), *expected),
                    (Err(_), Err(_)) => {}
                    (found, _) => panic!("{held} with {comes}: {found:?}"),
                }
            }
        }
    }

    #[test]
    fn what_a_version_lacks_has_its_default_or_is_null() {
        let (one, two) = (
            of(1, r#"{"field":"n","type":"int64"}"#),
            of(2, r#"{"field":"n","type":"int64"},{"field":"x","type":"int64","default":7},{"field":"y","type":"int64"}"#),
        );
        let three = of(3, r#"{"field":"n","type":"int64"},{"field":"x","type":"int64"}"#);
        let rows = sample(&one, 2);
        let four = of(4, r#"{"field":"n","type":"int64"},{"field":"x","type":"int64","default":8},{"field":"y","type":"int64"}"#);
        for (order, version, default) in [
            (vec![&one, &two, &three], "1", Some(7)),
            (vec![&one, &two, &four], "1", Some(7)),
            (vec![&one, &four, &two], "1", Some(8)),
            (vec![&two, &three, &one], "2", Some(7)),
            (vec![&four, &one, &two], "4", Some(8)),
            // The first that has it has none.
            (vec![&three, &two, &one], "3", None),
        ] {
            let both = order[1..].iter().fold(order[0].clone(), |held, comes| unite(&held, comes).expect("a union"));
            assert_eq!(both.metadata().get(VERSION).map(String::as_str), Some(version), "the first version's");
            assert!(!field(&both, "n").is_nullable() && field(&both, "y").is_nullable());
            let moved = adapt(&rows, &one, &both).expect("rows of a version");
            assert_eq!(moved.as_struct().column_by_name("x").expect("x").as_primitive::<Int64Type>(), &Int64Array::from(vec![default; 2]));
            assert_eq!(moved.as_struct().column_by_name("y").expect("y").null_count(), 2);
        }
        // A default that is none is not one.
        let wrong = of(2, r#"{"field":"n","type":"int64"},{"field":"x","type":"int64","default":"seven"}"#);
        assert!(field(&unite(&one, &wrong).expect("a union"), "x").is_nullable());
    }

    #[test]
    fn a_null_stays_one_where_there_is_a_default() {
        let (one, two) = (of(1, r#"{"field":"n","type":"int64","optional":true}"#), of(2, r#"{"field":"n","type":"int64","default":4}"#));
        let both = unite(&one, &two).expect("a union");
        let column: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(1)]));
        let DataType::Struct(fields) = one.data_type() else { panic!("a struct") };
        let rows: ArrayRef = Arc::new(StructArray::new(fields.clone(), vec![column], None));
        assert_eq!(adapt(&rows, &one, &both).expect("rows").as_struct().column(0).as_primitive::<Int64Type>(), &Int64Array::from(vec![None, Some(1)]));
    }

    #[test]
    fn schemas_that_are_no_versions_of_one_have_no_union() {
        let one = of(1, r#"{"field":"n","type":"int64"}"#);
        let inferred = one.clone().with_metadata([(INFERRED.to_owned(), "true".to_owned()), (NAME.to_owned(), "R".to_owned())]);
        let other = from_connect_json("value", br#"{"type":"struct","name":"S","fields":[]}"#).expect("a schema");
        for other in [inferred, other, crate::schema::json_text("value").as_ref().clone()] {
            assert!(unite(&one, &other).is_err() && unite(&other, &one).is_err(), "{other}");
        }
    }

    /// So many rows of the type, no value of which is absent.
    fn sample(of: &Field, rows: usize) -> ArrayRef {
        match of.data_type() {
            DataType::Struct(fields) => {
                let columns = fields.iter().map(|field| sample(field, rows)).collect();
                Arc::new(StructArray::try_new_with_length(fields.clone(), columns, None, rows).expect("columns"))
            }
            DataType::List(item) => Arc::new(ListArray::new(Arc::clone(item), OffsetBuffer::from_lengths(vec![2; rows]), sample(item, 2 * rows), None)),
            DataType::Utf8 => cast(&Int64Array::from_iter_values((0..).take(rows)), &DataType::Utf8).expect("texts"),
            number => cast(&Float64Array::from_iter_values((0_u8..).take(rows).map(f64::from)), number).expect("numbers"),
        }
    }

    /// A field's type, nullability and default.
    fn any_type() -> impl Strategy<Value = String> {
        let number = prop_oneof!["int8", "int16", "int32", "int64", "float", "double"].prop_map(|name| format!(r#""type":"{name}""#));
        let plain = prop_oneof![4 => number, 1 => Just(r#""type":"string""#.to_owned())];
        let shaped = (plain, 0..3_u8).prop_map(|(inner, shape)| match shape {
            0 => inner,
            1 => format!(r#""type":"array","items":{{{inner}}}"#),
            _ => format!(r#""type":"struct","fields":[{{"field":"in",{inner}}}]"#),
        });
        (shaped, 0..3_u8).prop_map(|(shaped, more)| match (more, shaped.starts_with(r#""type":"a"#) || shaped.starts_with(r#""type":"st"#)) {
            (0, _) => shaped,
            (1, false) => format!(r#"{shaped},"default":1"#),
            _ => format!(r#"{shaped},"optional":true"#),
        })
    }

    fn any_version() -> impl Strategy<Value = Field> {
        (0..4_i32, prop::collection::btree_map("[abc]", any_type(), 0..4)).prop_map(|(version, fields)| {
            let fields: Vec<String> = fields.iter().map(|(name, rest)| format!(r#"{{"field":"{name}",{rest}}}"#)).collect();
            of(version, &fields.join(","))
        })
    }

    proptest! {
        /// A union takes the rows of both, as they are; and what it took once makes it no wider.
        #[test]
        fn a_union_takes_both(a in any_version(), b in any_version()) {
            prop_assert!(is_alike(&unite(&a, &a).expect("one schema"), &a));
            let Ok(both) = unite(&a, &b) else {
                prop_assert!(unite(&b, &a).is_err());
                return Ok(());
            };
            for version in [&a, &b] {
                let rows = sample(version, 3);
                let moved = adapt(&rows, version, &both);
                prop_assert!(moved.as_ref().is_ok_and(|moved| moved.data_type() == both.data_type()), "{version} to {both}: {moved:?}");
                prop_assert_eq!(&unite(&both, version).expect("it has it"), &both, "{} in {}", version, both);
                let moved = moved.expect("as was seen");
                for (column, field) in rows.as_struct().columns().iter().zip(rows.as_struct().fields()).filter(|(_, field)| !field.data_type().is_nested()) {
                    let there = moved.as_struct().column_by_name(field.name()).expect("every field");
                    prop_assert_eq!(&cast(there, field.data_type()).expect("a number that was narrower"), column);
                }
            }
        }
    }
}
