//! The Avro schema of a field, as Confluent's `AvroData.fromConnectSchema` derives it from a Connect schema.
//!
//! | Arrow | Avro |
//! |---|---|
//! | Boolean, Int32, Int64, Float32, Float64, Utf8, Binary | boolean, int, long, float, double, string, bytes |
//! | Int8, Int16 | int with `connect.type` |
//! | Binary with `connect.fixed.size` and a name | fixed; for a Parquet file, bytes |
//! | Decimal128, Decimal256 | bytes decimal; the declared precision, else 64; for a Parquet file, fixed decimal as in its columns |
//! | Date32, Time32(Millisecond), Timestamp(Millisecond) | int date, int time-millis, long timestamp-millis |
//! | Utf8 with enum parameters | enum; string without `enhanced.avro.schema.support` |
//! | Struct | record by its Connect name, else `io.confluent.connect.avro.ConnectDefault`, `ConnectDefault2`, … |
//! | Struct called `io.confluent.connect.avro.Union` | union of its members |
//! | List | array |
//! | Map with string keys; other or optional keys | map; array of `io.confluent.connect.avro.MapEntry` |
//! | nullable | union of null and the type, default null; the type first where there is another default |
//!
//! Parts: this file has types and names; `props` what a type says beside them (`connect.*` properties, logical types, defaults).
//!
//! Where the Java library refuses a schema, because two types have one name, the second gets a number after it.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use serde_json::{Map, Value, json};

use super::{FORMAT, props};
use crate::file::FormatError;
use crate::schema::avro::{CONNECT_DEFAULT, CONNECT_UNION, ENUM, ENUM_DEFAULT, ENUM_DOC, FIELD_DOC, FIXED_SIZE, RECORD_DOC, SYMBOLS, UNION, short_name};
use crate::schema::{DECIMAL_PRECISION, NAME, PARAMETERS, is_inferred, is_json_text, is_optional_key, names};

/// The record that stands for an entry of a map whose keys are not strings.
const MAP_ENTRY: &str = "io.confluent.connect.avro.MapEntry";

/// The name of a decimal of a fixed size, which Avro asks for and nobody reads.
const FIXED_DECIMAL: &str = "lakehead.Decimal";

/// The settings that change what a schema becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// `connect.meta.data`: the `connect.*` properties are written.
    pub(crate) metadata: bool,
    /// `enhanced.avro.schema.support`: enums are enums, not strings.
    pub(crate) enhanced: bool,
    /// `allow.optional.map.keys`: a map whose string keys are optional is a map.
    pub(crate) optional_keys: bool,
    /// Not a setting: the schema is one of columns in a Parquet file, where decimals have a fixed size and other bytes do not. Java's readers turn the
    /// schema back into the columns that they ask the file for, and refuse a file that has them in another form.
    pub(crate) of_columns: bool,
    /// `scrub.invalid.names`, for the names of types: what no name in Avro may hold is replaced.
    pub(crate) scrub: bool,
}

impl Default for Rules {
    /// The sink's defaults.
    fn default() -> Self {
        Self { metadata: true, enhanced: true, optional_keys: false, of_columns: false, scrub: false }
    }
}

/// The schema of a file's rows. Like upstream's it is a union with null where the rows' schema is optional, although no row is null; an inferred
/// schema is not.
///
/// # Errors
/// [`FormatError::Unsupported`] with the path of the field that Avro cannot hold.
pub(in crate::file) fn derive(field: &Field, rules: Rules) -> Result<Value, FormatError> {
    let mut names = Names { rules, ..Names::default() };
    if is_inferred(field) { names.of(field, &mut Vec::new()) } else { Ok(names.placed(field, &mut Vec::new())?.0) }
}

/// The named types so far.
#[derive(Default)]
struct Names {
    rules: Rules,
    /// By full name, what each stands for.
    known: BTreeMap<String, Meaning>,
    /// Structs without a name.
    unnamed: Vec<(Meaning, String)>,
    /// Numbers given to types without a name.
    numbered: usize,
    /// Connect names that a record's field had.
    seen: BTreeSet<String>,
    /// The namespace around the place that is being written.
    space: String,
}

/// What tells one named type from another.
type Meaning = (DataType, BTreeMap<String, String>);

/// What a type's name is to the text.
enum Named {
    /// Its definition goes here, under this name.
    New(String),
    /// It was defined before: this reference is enough.
    Known(Value),
}

pub(super) fn unsupported(path: &[&str], what: &str, hint: &str) -> FormatError {
    let place = if path.is_empty() { "values".to_owned() } else { format!("field \"{}\"", path.join(".")) };
    FormatError::Unsupported { format: FORMAT, what: format!("{place} {what}"), hint: hint.to_owned() }
}

pub(super) fn parameter<'a>(field: &'a Field, name: &str) -> Option<&'a String> {
    field.metadata().get(&format!("{PARAMETERS}{name}"))
}

/// True for a struct that stands for a union.
pub(in crate::file) fn is_union(field: &Field) -> bool {
    field.metadata().get(NAME).is_some_and(|name| name == UNION) || parameter(field, CONNECT_UNION).is_some()
}

/// True for what the Java library takes as a name: letters of any script, digits and `_`.
fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|first| first.is_alphabetic() || first == '_') && chars.all(|c| c.is_alphanumeric() || c == '_')
}

impl Names {
    /// The type of a field, without its nullability.
    fn of<'a>(&mut self, field: &'a Field, path: &mut Vec<&'a str>) -> Result<Value, FormatError> {
        let (base, connect_type) = match field.data_type() {
            DataType::Boolean => ("boolean", None),
            DataType::Int8 => ("int", Some("int8")),
            DataType::Int16 => ("int", Some("int16")),
            DataType::Int32 | DataType::Date32 | DataType::Time32(TimeUnit::Millisecond) => ("int", None),
            DataType::Int64 | DataType::Timestamp(TimeUnit::Millisecond, _) => ("long", None),
            DataType::Float32 => ("float", None),
            DataType::Float64 => ("double", None),
            DataType::Utf8 if is_json_text(field) => {
                let hint = "avro needs typed values there: declare a schema in value.schema, or use a converter with schemas";
                return Err(unsupported(path, "of JSON without a schema", hint));
            }
            DataType::Utf8 if self.rules.enhanced && parameter(field, ENUM).is_some() => return self.enumeration(field, path),
            DataType::Utf8 => ("string", None),
            DataType::Decimal128(digits, _) | DataType::Decimal256(digits, _) if self.rules.of_columns => return Ok(self.fixed_decimal(field, *digits)),
            DataType::Binary if self.rules.of_columns => ("bytes", None),
            DataType::Binary | DataType::Decimal128(..) | DataType::Decimal256(..) => match parameter(field, FIXED_SIZE).zip(field.metadata().get(NAME)) {
                Some((size, name)) => return self.fixed(field, name, size, path),
                None => ("bytes", None),
            },
            DataType::List(item) => {
                let items = self.placed(item, path)?.0;
                return Ok(self.described(field, json!({"type": "array", "items": items}), None));
            }
            DataType::Map(entries, _) => return self.map(field, entries, path),
            DataType::Struct(members) if is_union(field) => return self.union(field, members, path),
            DataType::Struct(fields) => return self.record(field, fields, path),
            other => return Err(unsupported(path, &format!("of type {other}"), "convert it with a transform, or drop it")),
        };
        Ok(self.described(field, json!({ "type": base }), connect_type))
    }

    /// Adds a type's properties; one that has none is its bare name.
    fn described(&self, field: &Field, json: Value, connect_type: Option<&str>) -> Value {
        match props::described(field, json, connect_type, self.rules) {
            Value::Object(mut object) if object.len() == 1 && object.get("type").is_some_and(Value::is_string) => object.remove("type").unwrap_or_default(),
            json => json,
        }
    }

    /// The type of a field with its nullability, and the default that goes with it.
    fn placed<'a>(&mut self, field: &'a Field, path: &mut Vec<&'a str>) -> Result<(Value, Option<Value>), FormatError> {
        let inner = self.of(field, path)?;
        let default = props::default(field, self.rules);
        let is_struct = matches!(field.data_type(), DataType::Struct(_));
        Ok(match (field.is_nullable(), inner, default) {
            // A union cannot hold a union: this one has null among its branches, in the first place.
            (true, Value::Array(branches), default) => (Value::Array(branches), default.is_none().then_some(Value::Null)),
            (true, inner, Some(default)) if !is_struct => (json!([inner, "null"]), Some(default)),
            (true, inner, default) => (json!(["null", inner]), default.is_none().then_some(Value::Null)),
            (false, inner, default) => (inner, default),
        })
    }

    fn map<'a>(&mut self, field: &'a Field, entries: &'a Field, path: &mut Vec<&'a str>) -> Result<Value, FormatError> {
        let unknown = |path: &[&str]| unsupported(path, "of an unknown kind of map", "drop it with a transform");
        let DataType::Struct(fields) = entries.data_type() else { return Err(unknown(path)) };
        let [key, value] = fields.as_ref() else { return Err(unknown(path)) };
        if props::is_map_key(key, self.rules) {
            let values = self.placed(value, path)?.0;
            return Ok(self.described(field, json!({"type": "map", "values": values}), None));
        }
        let own = field.metadata().get(NAME).map(|own| self.scrubbed(own));
        let wanted = own.as_deref().unwrap_or(MAP_ENTRY);
        let items = match self.name(wanted, (entries.data_type().clone(), BTreeMap::new())) {
            Named::Known(reference) => reference,
            Named::New(name) => {
                let space = std::mem::replace(&mut self.space, namespace(&name).to_owned());
                let key_field = key.as_ref().clone().with_nullable(is_optional_key(key));
                let mut members = Vec::with_capacity(2);
                for (name, member) in [("key", &key_field), ("value", value.as_ref())] {
                    let (data_type, default) = self.placed(member, &mut path.clone())?;
                    members.push(member_of_record(name, data_type, None, props::valid(member, default, self.rules)));
                }
                self.space = space;
                let mut json = self.definition("record", &name, json!({ "fields": members }));
                if let Value::Object(object) = &mut json
                    && name != MAP_ENTRY
                {
                    object.insert("connect.internal.type".to_owned(), json!("MapEntry"));
                }
                json
            }
        };
        Ok(self.described(field, json!({"type": "array", "items": items}), None))
    }

    fn record<'a>(&mut self, field: &'a Field, fields: &'a Fields, path: &mut Vec<&'a str>) -> Result<Value, FormatError> {
        let name = match field.metadata().get(NAME) {
            Some(own) => {
                let own = self.scrubbed(own);
                check_name(&own, path)?;
                self.name(&own, (field.data_type().clone(), BTreeMap::new()))
            }
            None => self.unnamed(field),
        };
        let name = match name {
            Named::Known(reference) => return Ok(reference),
            Named::New(name) => name,
        };
        let space = std::mem::replace(&mut self.space, namespace(&name).to_owned());
        let mut list = Vec::with_capacity(fields.len());
        for child in fields {
            path.push(child.name());
            if !is_name(child.name()) {
                let hint = "names in avro are letters, digits and \"_\": rename it with the transform ReplaceField";
                return Err(unsupported(path, "because of its name", hint));
            }
            let again = child.metadata().get(NAME).is_some_and(|name| !self.seen.insert(name.clone()));
            let (data_type, default) = self.placed(child, path)?;
            path.pop();
            let is_named = is_named_type(&data_type);
            let mut json =
                member_of_record(child.name(), data_type, parameter(field, &format!("{FIELD_DOC}{}", child.name())), props::valid(child, default, self.rules));
            if again && is_named && self.rules.metadata {
                props::add_parameters(child, &mut json);
            }
            list.push(json);
        }
        self.space = space;
        let mut rest = Map::new();
        if let Some(doc) = parameter(field, RECORD_DOC) {
            rest.insert("doc".to_owned(), json!(doc));
        }
        rest.insert("fields".to_owned(), Value::Array(list));
        let definition = self.definition("record", &name, Value::Object(rest));
        Ok(self.described(field, definition, None))
    }

    /// A name for a type: the one that is wanted, with a number after it where that name is another type's, or cannot be told from one in the namespace
    /// around it.
    fn name(&mut self, wanted: &str, meaning: Meaning) -> Named {
        let mut n = 1_u32;
        loop {
            let full = if n == 1 { wanted.to_owned() } else { format!("{wanted}{n}") };
            match self.known.get(&full) {
                Some(known) if *known == meaning && (full.contains('.') || self.space.is_empty()) => return Named::Known(self.reference(&full)),
                Some(_) => n += 1,
                None => {
                    self.known.insert(full.clone(), meaning);
                    return Named::New(full);
                }
            }
        }
    }

    /// A Connect name, as Avro takes it where that is asked for.
    fn scrubbed<'a>(&self, name: &'a str) -> Cow<'a, str> {
        if self.rules.scrub { names::full(name, names::avro).into() } else { name.into() }
    }

    /// A name for a struct that has none.
    fn unnamed(&mut self, field: &Field) -> Named {
        let own = field.metadata().iter().filter(|(key, _)| key.starts_with("connect.")).map(|(key, value)| (key.clone(), value.clone())).collect();
        let meaning = (field.data_type().clone(), own);
        if let Some((_, full)) = self.unnamed.iter().find(|(known, _)| *known == meaning) {
            return Named::Known(self.reference(full));
        }
        let full = loop {
            self.numbered += 1;
            let full = if self.numbered == 1 { CONNECT_DEFAULT.to_owned() } else { format!("{CONNECT_DEFAULT}{}", self.numbered) };
            if !self.known.contains_key(&full) {
                break full;
            }
        };
        self.known.insert(full.clone(), meaning.clone());
        self.unnamed.push((meaning, full.clone()));
        Named::New(full)
    }

    /// A type that was defined, as the text refers to it here.
    fn reference(&self, full: &str) -> Value {
        json!(if namespace(full) == self.space { short_name(full) } else { full })
    }

    /// A named type's JSON: name, and namespace where the one around it is another.
    fn definition(&self, kind: &str, full: &str, rest: Value) -> Value {
        let mut whole = Map::from_iter([("type".to_owned(), json!(kind)), ("name".to_owned(), json!(short_name(full)))]);
        if namespace(full) != self.space {
            whole.insert("namespace".to_owned(), json!(namespace(full)));
        }
        if let Value::Object(rest) = rest {
            whole.extend(rest);
        }
        Value::Object(whole)
    }

    fn fixed(&mut self, field: &Field, name: &str, size: &str, path: &[&str]) -> Result<Value, FormatError> {
        let name = self.scrubbed(name);
        check_name(&name, path)?;
        let size: u32 =
            size.parse().map_err(|_| unsupported(path, &format!("of a fixed size of \"{size}\" bytes"), "correct its parameter connect.fixed.size"))?;
        Ok(match self.name(&name, (field.data_type().clone(), BTreeMap::from([("size".to_owned(), size.to_string())]))) {
            Named::Known(reference) => reference,
            Named::New(name) => self.described(field, self.definition("fixed", &name, json!({ "size": size })), None),
        })
    }

    /// A decimal as a Parquet column holds it.
    fn fixed_decimal(&mut self, field: &Field, digits: u8) -> Value {
        let own = field.metadata().iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        match self.name(FIXED_DECIMAL, (field.data_type().clone(), own)) {
            Named::Known(reference) => reference,
            Named::New(name) => self.described(field, self.definition("fixed", &name, json!({ "size": decimal_bytes(digits) })), None),
        }
    }

    fn enumeration(&mut self, field: &Field, path: &[&str]) -> Result<Value, FormatError> {
        let symbols = symbols(field);
        let full = parameter(field, ENUM).map_or("", String::as_str);
        check_name(full, path)?;
        if let Some(symbol) = symbols.iter().find(|symbol| !is_name(symbol)) {
            return Err(unsupported(path, &format!("of an enum with the symbol \"{symbol}\""), "symbols in avro are letters, digits and \"_\""));
        }
        let own = match field.metadata().get(NAME) {
            Some(name) => short_name(name).to_owned(),
            None => {
                // As upstream, which counts an enum without a Connect name among the types without a name.
                self.numbered += 1;
                if self.numbered == 1 { "ConnectDefault".to_owned() } else { format!("ConnectDefault{}", self.numbered) }
            }
        };
        Ok(match self.name(full, (DataType::Utf8, symbols.iter().map(|symbol| (symbol.clone(), String::new())).collect())) {
            Named::Known(reference) => reference,
            Named::New(name) => {
                let mut rest = Map::new();
                if let Some(doc) = parameter(field, &format!("{ENUM_DOC}{own}")) {
                    rest.insert("doc".to_owned(), json!(doc));
                }
                rest.insert("symbols".to_owned(), json!(symbols));
                if let Some(default) = parameter(field, &format!("{ENUM_DEFAULT}{own}")) {
                    rest.insert("default".to_owned(), json!(default));
                }
                self.described(field, self.definition("enum", &name, Value::Object(rest)), None)
            }
        })
    }

    fn union<'a>(&mut self, field: &'a Field, members: &'a Fields, path: &mut Vec<&'a str>) -> Result<Value, FormatError> {
        let mut branches: Vec<Value> = Vec::with_capacity(members.len() + 1);
        if field.is_nullable() {
            branches.push(json!("null"));
        }
        for member in members {
            path.push(member.name());
            branches.push(self.of(member, path)?);
            path.pop();
        }
        Ok(Value::Array(branches))
    }
}

/// The bytes of a Parquet column's decimals of so many digits: the least that hold every value.
pub(in crate::file) fn decimal_bytes(digits: u8) -> i32 {
    let bits = f64::from(digits) * std::f64::consts::LOG2_10 + 1.0;
    (1..=32).find(|bytes| f64::from(*bytes) * 8.0 >= bits).unwrap_or(32)
}

/// The precision of a Parquet column's decimals: the declared one, if the column's digits can be of it.
pub(in crate::file) fn decimal_precision(field: &Field, digits: u8, scale: i8) -> u8 {
    let declared = parameter(field, DECIMAL_PRECISION).and_then(|text| text.parse().ok());
    declared.filter(|declared| (1..=digits).contains(declared) && i16::from(*declared) >= i16::from(scale)).unwrap_or(digits)
}

fn namespace(full: &str) -> &str {
    full.rsplit_once('.').map_or("", |(space, _)| space)
}

fn check_name(full: &str, path: &[&str]) -> Result<(), FormatError> {
    if is_name(short_name(full)) {
        return Ok(());
    }
    let hint = "names in avro are letters, digits and \"_\", with \".\" between: set another with the transform SetSchemaMetadata";
    Err(unsupported(path, &format!("of a schema called \"{full}\""), hint))
}

/// An enum's symbols, in their order where it is known.
pub(super) fn symbols(field: &Field) -> Vec<String> {
    if let Some(symbols) = field.metadata().get(SYMBOLS).and_then(|text| serde_json::from_str(text).ok()) {
        return symbols;
    }
    let prefix = format!("{PARAMETERS}{ENUM}.");
    let sorted: BTreeSet<&str> = field.metadata().keys().filter_map(|key| key.strip_prefix(&prefix)).collect();
    sorted.into_iter().map(str::to_owned).collect()
}

fn member_of_record(name: &str, data_type: Value, doc: Option<&String>, default: Option<Value>) -> Value {
    let mut json = Map::from_iter([("name".to_owned(), json!(name)), ("type".to_owned(), data_type)]);
    json.extend(doc.map(|doc| ("doc".to_owned(), json!(doc))));
    json.extend(default.map(|default| ("default".to_owned(), default)));
    Value::Object(json)
}

/// True for a record, enum or fixed, by definition or by name, and for a union that holds one.
fn is_named_type(json: &Value) -> bool {
    const UNNAMED: [&str; 10] = ["null", "boolean", "int", "long", "float", "double", "bytes", "string", "array", "map"];
    match json {
        Value::String(name) => !UNNAMED.contains(&name.as_str()),
        Value::Array(branches) => branches.iter().any(is_named_type),
        other => other.get("type").and_then(Value::as_str).is_some_and(|kind| !UNNAMED.contains(&kind)),
    }
}
