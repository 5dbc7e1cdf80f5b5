//! `MaskField`: the values of fields are left out, or replaced; the schema stays.
//!
//! Upstream: `org.apache.kafka.connect.transforms.MaskField`; what values become is [`lakehead_formats::value::mask`].

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StructArray};
use arrow::error::ArrowError;
use lakehead_formats::column::{Column, Reject};
use lakehead_formats::schemaless::{Builder, Dynamic, Kind};
use lakehead_formats::value::Made;
use lakehead_formats::value::decimal::BigDecimal;
use lakehead_formats::value::mask::mask;

use super::cast::without_rejected;
use super::fields::{REPLACE_NULL_WITH_DEFAULT, as_struct, masked, with_default};
use super::schemaless_kinds::{field_of, get, put, rejected};
use super::side::{Refusal, Rewrite, Rewritten, Sided, not_maps, struct_required};
use super::{Built, Side};
use crate::batch::Batch;
use crate::connect::Props;
use crate::connect::config::{Check, ConfigError, ConfigKey, Importance, Type, Values};

const PURPOSE: &str = "mask fields";

/// The settings.
pub(super) static KEYS: &[ConfigKey] = &[
    ConfigKey {
        name: "fields",
        kind: Type::List,
        default: None,
        required: true,
        importance: Importance::High,
        group: "Transforms",
        doc: "The fields whose values are left out.",
        check: Check::Any,
    },
    ConfigKey {
        name: "replacement",
        kind: Type::String,
        default: None,
        required: false,
        importance: Importance::Low,
        group: "Transforms",
        doc: "What stands in their place, for numbers and strings; without it 0, an empty text, and so on.",
        check: Check::Any,
    },
    REPLACE_NULL_WITH_DEFAULT,
];

#[derive(Debug)]
struct MaskField {
    fields: Vec<Arc<str>>,
    replacement: Option<String>,
    replaces_nulls: bool,
}

/// Builds it.
pub(super) fn build(side: Side, props: &Props) -> Built {
    let values = Values { tables: &[KEYS], props };
    let (fields, replacement) = (not_empty(&values, "fields"), values.raw("replacement").map(|text| text.trim().to_owned()));
    let empty = "Invalid value  for configuration replacement: String must be non-empty";
    let problem = replacement.as_deref().filter(|text| text.is_empty()).map(|_| ConfigError::new("replacement", empty));
    match (fields, problem) {
        (Ok(fields), None) => Ok(Sided::boxed(side, MaskField { fields, replacement, replaces_nulls: values.boolean("replace.null.with.default") })),
        (fields, problem) => Err(fields.err().into_iter().chain(problem).collect()),
    }
}

/// A list with something in it, as `NonEmptyListValidator` wants it.
pub(super) fn not_empty(values: &Values<'_>, key: &str) -> Result<Vec<Arc<str>>, ConfigError> {
    match values.list(key) {
        list if list.is_empty() => Err(ConfigError::new(key, format!("Invalid value [] for configuration {key}: Empty list"))),
        list => Ok(list.into_iter().map(Arc::from).collect()),
    }
}

impl Rewrite for MaskField {
    const PASSES_NULLS: bool = false;

    fn schemaless(&mut self, _: &Batch, values: &Dynamic) -> Result<Rewritten<Dynamic>, Refusal> {
        let (mut rejects, mut changed) = (not_maps(values, PURPOSE, true), Vec::new());
        for name in &self.fields {
            let done = self.mask_dynamic(&get(values, name))?;
            rejects.extend(done.rejects);
            changed.push((Arc::clone(name), done.values));
        }
        Ok(Rewritten { values: put(values, changed)?, rejects })
    }

    fn with_schema(&mut self, _: &Batch, column: &Column) -> Result<Rewritten<Column>, Refusal> {
        let rows = as_struct(column).ok_or_else(|| struct_required(PURPOSE, column))?;
        let is_null = |row: &usize| rows.is_null(*row);
        let reason = format!("Only Struct objects supported for [{PURPOSE}], found: null");
        let mut rejects: Vec<Reject> = (0..rows.len()).filter(is_null).map(|row| Reject { row, reason: reason.clone() }).collect();
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(rows.num_columns());
        for (field, values) in rows.fields().iter().zip(rows.columns()) {
            let values = if self.replaces_nulls { with_default(field, values)? } else { Arc::clone(values) };
            if !self.fields.iter().any(|name| **name == **field.name()) {
                columns.push(values);
                continue;
            }
            let Made { array, rejects: more } = mask(&masked(&values, rows.nulls())?, field, self.replacement.as_deref());
            columns.push(array);
            rejects.extend(more);
        }
        let nulls = without_rejected(rows.nulls(), &rejects, rows.len());
        let array = StructArray::try_new_with_length(rows.fields().clone(), columns, nulls, rows.len())?;
        Ok(Rewritten { values: Column::new(Arc::clone(&column.field), Arc::new(array)), rejects })
    }
}

impl MaskField {
    fn mask_dynamic(&self, values: &Dynamic) -> Result<Rewritten<Dynamic>, Refusal> {
        let replacement = self.replacement.as_deref();
        let mut rejects = rejected(values, |kind| match (kind, replacement) {
            (Kind::Bytes, None) => Some("Cannot mask value of type: class [B".to_owned()),
            (Kind::List | Kind::Map, Some(_)) => Some(format!("Cannot mask value of type class {} with custom replacement.", kind.class_name())),
            _ => None,
        });
        let mut masked = values.clone();
        for (kind, lane) in values.lanes().filter(|(kind, _)| kind.data_type().is_some()) {
            let made = match kind {
                Kind::Decimal | Kind::BigInteger => big(kind, lane, replacement),
                _ => mask(lane, &field_of(lane), replacement),
            };
            rejects.extend(made.rejects);
            masked = masked.with_lane(kind, made.array)?;
        }
        if values.has(Kind::Map) {
            masked = masked.with_members(Vec::new())?;
        }
        if values.has(Kind::List) {
            masked = masked.overlaid(&empty_lists(values.len())?.only(&values.are(Kind::List))?)?;
        }
        Ok(Rewritten { values: masked, rejects })
    }
}

/// `BigDecimal` and `BigInteger`, which are texts here.
fn big(kind: Kind, lane: &ArrayRef, replacement: Option<&str>) -> Made {
    let text = match (kind, replacement) {
        (_, None) => Some("0".to_owned()),
        (Kind::Decimal, Some(text)) => BigDecimal::parse(text).map(|decimal| decimal.to_string()),
        (_, Some(text)) => whole(text),
    };
    let refused = || {
        let reason = format!("Unable to convert {} (class java.lang.String) to number", replacement.unwrap_or_default());
        (0..lane.len()).filter(|row| lane.is_valid(*row)).map(|row| Reject { row, reason: reason.clone() }).collect()
    };
    let array: StringArray = lane.as_string::<i32>().iter().map(|value| value.and(text.as_deref())).collect();
    Made { array: Arc::new(array), rejects: if text.is_some() { Vec::new() } else { refused() } }
}

/// The digits of a text that `new BigInteger(String)` takes.
fn whole(text: &str) -> Option<String> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_whole = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_whole.then(|| BigDecimal::parse(text).map(|decimal| decimal.to_string())).flatten()
}

fn empty_lists(rows: usize) -> Result<Dynamic, ArrowError> {
    let mut lists = Builder::new();
    for _ in 0..rows {
        lists.open_list();
        lists.close();
    }
    lists.finish()
}

#[cfg(test)]
mod tests {
    use arrow::array::Int32Array;
    use arrow::datatypes::{DataType, Field};

    use super::super::configure;
    use super::super::rows::tests::batch;
    use super::*;

    fn apply(settings: &[(&str, &str)], values: &[&str]) -> (Vec<String>, Vec<String>) {
        let props = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut transform = configure("MaskField$Value", &props).unwrap();
        let rows: Vec<(i64, Option<i64>)> = (0..values.len()).map(|row| (11 + row as i64, None)).collect();
        let mut given = batch(&rows);
        given.value = Column::new(lakehead_formats::schema::json_text("value"), Arc::new(StringArray::from(values.to_vec())));
        let mut out = Vec::new();
        let rejects = transform.apply(given, &mut out);
        let texts =
            out.iter().flat_map(|batch| Dynamic::of_column(&batch.value).unwrap().json().unwrap().iter().flatten().map(str::to_owned).collect::<Vec<_>>());
        (texts.collect(), rejects.into_iter().map(|reject| reject.reason).collect())
    }

    #[test]
    fn schemaless_values_are_masked_by_what_they_are() {
        let rows = ["{\"a\":1,\"b\":\"x\"}", "{\"a\":[1,2],\"b\":{\"c\":1}}", "{\"a\":1.5}", "{\"a\":true,\"b\":null}", "[]"];
        let (values, rejects) = apply(&[("fields", "a, b")], &rows);
        assert_eq!(values, ["{\"a\":0,\"b\":\"\"}", "{\"a\":[],\"b\":{}}", "{\"a\":0.0,\"b\":null}", "{\"a\":false,\"b\":null}"]);
        assert_eq!(rejects, ["Only Map objects supported in absence of schema for [mask fields], found: java.util.ArrayList"]);
        let (values, rejects) = apply(&[("fields", "a"), ("replacement", "7")], &rows);
        assert_eq!(values, ["{\"a\":7,\"b\":\"x\"}", "{\"a\":7.0}"]);
        assert_eq!(rejects.len(), 3);
        assert_eq!(rejects[0], "Cannot mask value of type class java.util.ArrayList with custom replacement.");
        assert_eq!(rejects[1], "Cannot mask value of type class java.lang.Boolean with custom replacement.");
    }

    #[test]
    fn a_tombstone_is_no_struct() {
        let fields = vec![Field::new("a", DataType::Int32, false), Field::new("b", DataType::Int32, false)];
        let columns: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(vec![1, 2])), Arc::new(Int32Array::from(vec![3, 4]))];
        let rows = StructArray::new(fields.into(), columns, Some(vec![true, false].into()));
        let mut given = batch(&[(11, None), (12, None)]);
        given.value = Column::new(Arc::new(Field::new("value", rows.data_type().clone(), false)), Arc::new(rows));
        let mut out = Vec::new();
        let rejects = build(Side::Value, &[("fields".to_owned(), "a".to_owned())].into_iter().collect()).unwrap().apply(given, &mut out);
        assert_eq!(rejects, [Reject { row: 1, reason: "Only Struct objects supported for [mask fields], found: null".to_owned() }]);
        let left = out[0].value.array.as_struct();
        assert_eq!((left.column(0).as_ref(), left.column(1).as_ref()), (&Int32Array::from(vec![0]) as &dyn Array, &Int32Array::from(vec![3]) as &dyn Array));
    }
}
