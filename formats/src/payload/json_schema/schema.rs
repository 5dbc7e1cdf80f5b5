//! The JSON Schema of a field, as Confluent's `JsonSchemaData.fromConnectSchema` derives it from a Connect schema.
//!
//! | Arrow | JSON Schema |
//! |---|---|
//! | Int8 … Int64 | `integer` with `connect.type` |
//! | Float32, Float64 | `number` with `connect.type` |
//! | Boolean, Utf8 | `boolean`, `string`; `enum` where the parameters say so |
//! | Binary, Decimal | `string` with `connect.type` bytes; `number` for decimals that are written as such |
//! | Date32, Time32, Timestamp | `integer`, titled by Connect's name |
//! | List | `array` |
//! | Map with string keys; others | `object` with `additionalProperties`; `array` of objects with `key` and `value`; `connect.type` map |
//! | Struct; one that stands for a union | `object`; `oneOf` |
//! | nullable | `oneOf` null and the type |
//!
//! Registries compare schemas letter for letter, so members stand in the order in which upstream's library prints them: properties and what it calls unprocessed in
//! that of Java's hash maps. Fields of structs say their place in `connect.index`.

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, Fields};
use serde_json::Value;

use crate::file::json::{DecimalFormat, Printer};
use crate::schema::{DATE, DECIMAL, DEFAULT, DOC, ENUM, NAME, PARAMETERS, TIME, TIMESTAMP, VERSION, is_optional_key, is_union};
use crate::wire::json::default_value;
use crate::wire::json_schema::order;

/// Namespace of the names that Confluent's converter gives; parameters of it are not shown.
const CONFLUENT: &str = "io.confluent.connect.json";
const JSON_ENUM: &str = "io.confluent.connect.json.Enum";

/// The settings that change what a schema becomes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mapping {
    /// `object.additional.properties`.
    pub(super) additional: bool,
    /// `generalized.sum.type.support`.
    pub(super) sum_types: bool,
    /// `decimal.format`.
    pub(super) decimals: DecimalFormat,
}

/// The text of a field's schema.
pub(super) fn text(field: &Field, mapping: Mapping) -> String {
    let mut out = String::new();
    Writer { mapping, out: &mut out }.schema(field, None, false);
    out
}

/// The title of a schema as a whole.
pub(super) fn title(field: &Field) -> Option<String> {
    if field.is_nullable() || is_union(field) { None } else { name(field) }
}

fn name(field: &Field) -> Option<String> {
    field.metadata().get(NAME).cloned().or_else(|| logical(field.data_type()).map(str::to_owned))
}

/// Connect's name of the logical type that a column stands for.
fn logical(data_type: &DataType) -> Option<&'static str> {
    Some(match data_type {
        DataType::Decimal128(..) | DataType::Decimal256(..) => DECIMAL,
        DataType::Date32 => DATE,
        DataType::Time32(_) => TIME,
        DataType::Timestamp(..) => TIMESTAMP,
        _ => return None,
    })
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

struct Writer<'a> {
    mapping: Mapping,
    out: &'a mut String,
}

impl Writer<'_> {
    /// A schema; `index` is its place in the struct around it. Members of a union are optional there, not themselves.
    fn schema(&mut self, field: &Field, index: Option<usize>, is_member: bool) {
        let is_optional = field.is_nullable() && !is_member;
        if !is_optional && !is_union(field) {
            return self.plain(field, index);
        }
        self.out.push('{');
        if let Some(index) = index {
            self.out.push_str(&format!("\"connect.index\":{index},"));
        }
        self.out.push_str("\"oneOf\":[");
        if is_optional {
            self.out.push_str("{\"type\":\"null\"}");
        }
        match field.data_type() {
            DataType::Struct(members) if is_union(field) => {
                for (at, member) in members.iter().enumerate() {
                    if at > 0 || is_optional {
                        self.out.push(',');
                    }
                    self.schema(member, Some(at), true);
                }
            }
            _ => {
                self.out.push(',');
                self.plain(field, None);
            }
        }
        self.out.push_str("]}");
    }

    /// A schema without its optionality.
    fn plain(&mut self, field: &Field, index: Option<usize>) {
        let numeric = self.mapping.decimals == DecimalFormat::Numeric;
        let (kind, connect_type) = match field.data_type() {
            DataType::Boolean => ("boolean", None),
            DataType::Int8 => ("integer", Some("int8")),
            DataType::Int16 => ("integer", Some("int16")),
            DataType::Int32 | DataType::Date32 | DataType::Time32(_) => ("integer", Some("int32")),
            DataType::Int64 | DataType::Timestamp(..) => ("integer", Some("int64")),
            DataType::Float32 => ("number", Some("float32")),
            DataType::Float64 => ("number", Some("float64")),
            DataType::Decimal128(..) | DataType::Decimal256(..) => (if numeric { "number" } else { "string" }, Some("bytes")),
            DataType::Binary => ("string", Some("bytes")),
            DataType::List(_) => ("array", None),
            DataType::Map(entries, _) => (if string_keys(entries) { "object" } else { "array" }, Some("map")),
            DataType::Struct(_) => ("object", None),
            _ => ("string", None),
        };
        match self.symbols(field) {
            Some(symbols) => self.out.push_str(&format!("{{\"enum\":[{}]", symbols.join(","))),
            // Upstream's library says this one's type last.
            None if field.data_type() == &DataType::Boolean => {
                let start = self.out.len();
                self.described(field, index, connect_type);
                self.out.push_str(",\"type\":\"boolean\"}");
                self.out.replace_range(start..=start, "{");
                return;
            }
            None => self.out.push_str(&format!("{{\"type\":\"{kind}\"")),
        }
        if matches!(field.data_type(), DataType::Struct(_)) && !self.mapping.additional {
            self.out.push_str(",\"additionalProperties\":false");
        }
        self.described(field, index, connect_type);
        self.inside(field);
        self.out.push('}');
    }

    /// What is in an array, a map or a struct.
    fn inside(&mut self, field: &Field) {
        match field.data_type() {
            DataType::List(item) => {
                self.out.push_str(",\"items\":");
                self.schema(item, None, false);
            }
            DataType::Map(entries, _) => {
                let DataType::Struct(entry) = entries.data_type() else { return };
                let [key, value] = entry.as_ref() else { return };
                if string_keys(entries) {
                    self.out.push_str(",\"additionalProperties\":");
                    self.schema(value, None, false);
                } else {
                    let key = key.as_ref().clone().with_nullable(is_optional_key(key)).with_name("key");
                    let value = value.as_ref().clone().with_name("value");
                    self.out.push_str(",\"items\":{\"type\":\"object\"");
                    self.properties(&Fields::from(vec![key, value]));
                    self.out.push('}');
                }
            }
            DataType::Struct(fields) => self.properties(fields),
            _ => {}
        }
    }

    fn properties(&mut self, fields: &Fields) {
        if fields.is_empty() {
            return;
        }
        let mut properties: Vec<(String, (usize, &Field))> =
            fields.iter().enumerate().map(|(index, field)| (field.name().clone(), (index, field.as_ref()))).collect();
        order::in_map(&mut properties);
        self.out.push_str(",\"properties\":{");
        for (at, (name, (index, field))) in properties.into_iter().enumerate() {
            if at > 0 {
                self.out.push(',');
            }
            self.out.push_str(&quoted(&name));
            self.out.push(':');
            self.schema(field, Some(index), false);
        }
        self.out.push('}');
    }

    /// The values of an enum, quoted, in the order of a hash set.
    fn symbols(&self, field: &Field) -> Option<Vec<String>> {
        let parameter = |name: &str| field.metadata().contains_key(&format!("{PARAMETERS}{name}"));
        if field.data_type() != &DataType::Utf8 || !parameter(ENUM) && !parameter(JSON_ENUM) {
            return None;
        }
        let prefix = format!("{PARAMETERS}{}.", if self.mapping.sum_types { ENUM } else { JSON_ENUM });
        let mut symbols: Vec<&str> = field.metadata().keys().filter_map(|key| key.strip_prefix(&prefix)).collect();
        symbols.sort_unstable();
        let has_null = symbols.contains(&"<NULL>");
        let mut symbols: Vec<(String, ())> = symbols.into_iter().filter(|symbol| *symbol != "<NULL>").map(|symbol| (symbol.to_owned(), ())).collect();
        order::in_map(&mut symbols);
        Some(has_null.then(|| "null".to_owned()).into_iter().chain(symbols.iter().map(|(symbol, ())| quoted(symbol))).collect())
    }

    /// Title, description, default, and what upstream's library calls unprocessed.
    fn described(&mut self, field: &Field, index: Option<usize>, connect_type: Option<&str>) {
        if let Some(name) = name(field) {
            self.out.push_str(&format!(",\"title\":{}", quoted(&name)));
        }
        if let Some(doc) = field.metadata().get(DOC) {
            self.out.push_str(&format!(",\"description\":{}", quoted(doc)));
        }
        if let Some(default) = field.metadata().contains_key(DEFAULT).then(|| self.default(field)).flatten() {
            self.out.push_str(&format!(",\"default\":{default}"));
        }
        let mut rest: Vec<(String, String)> = Vec::new();
        rest.extend(connect_type.map(|connect_type| ("connect.type".to_owned(), quoted(connect_type))));
        let built = logical(field.data_type()).is_some() && !field.metadata().contains_key(NAME);
        let version = field.metadata().get(VERSION).cloned().or_else(|| built.then(|| "1".to_owned()));
        rest.extend(version.map(|version| ("connect.version".to_owned(), version)));
        let parameters = parameters(field);
        if !parameters.is_empty() {
            rest.push(("connect.parameters".to_owned(), format!("{{{}}}", parameters.join(","))));
        }
        rest.extend(index.map(|index| ("connect.index".to_owned(), index.to_string())));
        order::hashed(&mut rest);
        for (name, value) in rest {
            self.out.push_str(&format!(",{}:{value}", quoted(&name)));
        }
    }

    /// The default, as its values are written.
    fn default(&self, field: &Field) -> Option<String> {
        let array: ArrayRef = default_value(&field.clone().into())?;
        let mut text = Vec::new();
        Printer::under_schema(&array, field, self.mapping.decimals).print(0, &mut text);
        let text = String::from_utf8(text).ok()?;
        let is_float = matches!(field.data_type(), DataType::Float32 | DataType::Float64);
        // Upstream's library prints 1.0 as 1.
        let shortened = text.strip_suffix(".0").filter(|_| is_float).map(str::to_owned);
        Some(shortened.unwrap_or(text))
    }
}

/// True for the entries of a map that is an object.
fn string_keys(entries: &Field) -> bool {
    matches!(entries.data_type(), DataType::Struct(entry) if entry.first().is_some_and(|key| key.data_type() == &DataType::Utf8 && !is_optional_key(key)))
}

/// The members of `connect.parameters`.
fn parameters(field: &Field) -> Vec<String> {
    let mut parameters: Vec<(String, String)> = field
        .metadata()
        .iter()
        .filter_map(|(key, value)| Some((key.strip_prefix(PARAMETERS)?.to_owned(), value.clone())))
        .filter(|(name, _)| !name.starts_with(CONFLUENT))
        .collect();
    if let DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) = field.data_type()
        && !parameters.iter().any(|(name, _)| name == "scale")
    {
        parameters.push(("scale".to_owned(), scale.to_string()));
    }
    parameters.sort();
    order::in_object(&mut parameters);
    parameters.iter().map(|(name, value)| format!("{}:{}", quoted(name), quoted(value))).collect()
}
