//! What a JSON Schema is to Connect and Arrow, as Confluent's `JsonSchemaData.toConnectSchema` sees it.
//!
//! | JSON Schema | Arrow | Connect metadata |
//! |---|---|---|
//! | boolean, integer, number, string | Boolean, Int64, Float64, Utf8 | name: the title |
//! | `connect.type` int8 … float64; bytes | Int8 … Float64; Binary | |
//! | enum, const | Utf8 | parameters `io.confluent.connect.json.Enum`, `….Enum.<symbol>` |
//! | object | Struct; Map where `connect.type` is map, or only `additionalProperties` say what it holds | |
//! | array | List; Map where `connect.type` is map | |
//! | oneOf, anyOf, several types | the type beside null, nullable; else a Struct with a nullable field for each | name `io.confluent.connect.json.OneOf` |
//! | allOf | a Struct of all properties, or the one type that the parts agree on | |
//! | title Decimal, Date, Time, Timestamp (`org.apache.kafka.connect.data.…`) | see [`crate::schema`] | |
//!
//! A property is nullable where null is one of its types or, with `use.optional.for.nonrequired`, where it is not required.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use serde_json::Value;

use super::super::RegisteredSchema;
use super::load::{Class, Criterion, Draft, Loaded, load};
use super::order;
use super::references::{At, Documents};
use crate::schema::connect::MAX_DEPTH;
use crate::schema::{self, DATE, DECIMAL, DECIMAL_PRECISION, DEFAULT, DOC, JSON_UNION, NAME, OPTIONAL_KEY, PARAMETERS, TIME, TIMESTAMP, VERSION};

const ENUM: &str = "io.confluent.connect.json.Enum";
/// Types that a schema may have once every reference is replaced by what it means.
const MOST_TYPES: usize = 20_000;

/// The converter's settings that change what a schema becomes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mapping {
    /// `generalized.sum.type.support`: enums and unions are named as in other languages.
    pub(super) sum_types: bool,
    /// `use.optional.for.nonrequired`.
    pub(super) optional: bool,
    /// `flatten.singleton.unions`: a union of one type is that type.
    pub(super) flatten: bool,
    /// `ignore.modern.dialects`: what is newer than draft 7 is read as draft 7.
    pub(super) draft7: bool,
}

type Metadata = HashMap<String, String>;

fn parameter(metadata: &mut Metadata, name: &str, value: impl Into<String>) {
    metadata.insert(format!("{PARAMETERS}{name}"), value.into());
}

/// The field of a schema.
///
/// # Errors
/// The path and the part that columns cannot hold, for a person.
pub(super) fn root(registered: &RegisteredSchema, name: &str, mapping: Mapping) -> Result<Field, String> {
    let documents = Documents::parse(registered)?;
    let root = documents.root().ok_or("there is no text")?;
    let draft = Draft::of(root, mapping.draft7);
    let mut plan = Plan { mapping, documents: &documents, draft, open: Vec::new(), path: Vec::new(), types: 0, depth: 0, unions: 0 };
    let loaded = plan.load(root)?;
    plan.field(&loaded, name, false)
}

/// The way through the schema.
struct Plan<'a> {
    mapping: Mapping,
    documents: &'a Documents,
    draft: Draft,
    /// Schemas around the one at hand, by where they are.
    open: Vec<*const Value>,
    /// Properties around the one at hand.
    path: Vec<String>,
    types: usize,
    depth: usize,
    unions: usize,
}

impl<'a> Plan<'a> {
    fn refuse<T>(&self, what: impl Into<String>) -> Result<T, String> {
        let what = what.into();
        Err(if self.path.is_empty() { what } else { format!("field \"{}\": {what}", self.path.join(".")) })
    }

    fn load(&self, at: At<'a>) -> Result<Loaded<'a>, String> {
        load(at, self.draft).or_else(|what| self.refuse(what))
    }

    fn count(&mut self, types: usize) -> Result<(), String> {
        self.types = self.types.saturating_add(types);
        if self.types > MOST_TYPES { self.too_many() } else { Ok(()) }
    }

    fn too_many<T>(&self) -> Result<T, String> {
        self.refuse(format!("it has more than {MOST_TYPES} types once its references are written out"))
    }

    /// The field of a schema, optional if it must be or says so.
    fn field(&mut self, loaded: &Loaded<'a>, name: &str, optional: bool) -> Result<Field, String> {
        self.count(1)?;
        if self.depth >= MAX_DEPTH {
            return self.refuse(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        self.depth += 1;
        let field = self.field_inside(loaded, name, optional);
        self.depth -= 1;
        field
    }

    fn field_inside(&mut self, loaded: &Loaded<'a>, name: &str, optional: bool) -> Result<Field, String> {
        let mut metadata = Metadata::new();
        let mut nullable = optional;
        let connect = Some(loaded.at).filter(|_| loaded.own).and_then(|at| at.text("connect.type"));
        let data_type = match &loaded.class {
            Class::Boolean => DataType::Boolean,
            Class::Number { integer } => self.number(*integer, connect)?,
            Class::Text if connect == Some("bytes") => DataType::Binary,
            Class::Text => DataType::Utf8,
            Class::Const(value) => self.enumeration(std::slice::from_ref(*value), &mut metadata),
            Class::Enum(values) => self.enumeration(values, &mut metadata),
            Class::Object => self.inside(loaded.at, |plan| plan.object(loaded.at, connect))?,
            Class::Array => self.inside(loaded.at, |plan| plan.array(loaded.at, connect))?,
            Class::Reference(reference) => return self.reference(reference, loaded.at, name, optional),
            Class::Combined(criterion, parts) => match parts.as_slice() {
                [part] if self.mapping.flatten => return self.field(part, name, optional),
                _ if *criterion == Criterion::All => return self.all_of(parts, name, optional),
                _ => {
                    let union = self.unions;
                    self.unions += 1;
                    match parts.as_slice() {
                        [Loaded { class: Class::Null, .. }, part] | [part, Loaded { class: Class::Null, .. }] => return self.field(part, name, true),
                        _ => {}
                    }
                    nullable |= parts.iter().any(|part| matches!(part.class, Class::Null));
                    self.union(union, parts, &mut metadata)?
                }
            },
            Class::Empty => return self.refuse("the schema allows values of every type, which no column holds: say the type"),
            Class::Null => return self.refuse("type null alone holds no value"),
            Class::Untyped(rule) => return self.refuse(format!("\"{rule}\" says no type: say it beside")),
        };
        let data_type = if loaded.own { self.describe(loaded.at, data_type, &mut metadata)? } else { data_type };
        Ok(Field::new(name, data_type, nullable).with_metadata(metadata))
    }

    /// Goes into a schema that may contain itself.
    fn inside<T>(&mut self, at: At<'a>, go: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        let place = std::ptr::from_ref(at.json);
        if self.open.contains(&place) {
            let title = at.text("title").map_or(String::new(), |title| format!(" \"{title}\""));
            return self.refuse(format!("the schema{title} contains itself, which columns cannot hold"));
        }
        self.open.push(place);
        let gone = go(self);
        self.open.pop();
        gone
    }

    fn named<T>(&mut self, name: &str, go: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        self.path.push(name.to_owned());
        let gone = go(self);
        self.path.pop();
        gone
    }

    fn number(&self, integer: bool, connect: Option<&str>) -> Result<DataType, String> {
        Ok(match connect {
            None if integer => DataType::Int64,
            None => DataType::Float64,
            Some("int8") => DataType::Int8,
            Some("int16") => DataType::Int16,
            Some("int32") => DataType::Int32,
            Some("int64") => DataType::Int64,
            Some("float32") => DataType::Float32,
            Some("float64") => DataType::Float64,
            Some("bytes") => DataType::Binary,
            Some(other) => return self.refuse(format!("\"connect.type\" of a number is \"{other}\", it must be int8 to int64, float32, float64 or bytes")),
        })
    }

    fn enumeration(&self, values: &[Value], metadata: &mut Metadata) -> DataType {
        let name = if self.mapping.sum_types { schema::ENUM } else { ENUM };
        parameter(metadata, name, "");
        for (number, value) in values.iter().enumerate() {
            let symbol = match value {
                Value::String(text) => text.clone(),
                Value::Null => "<NULL>".to_owned(),
                other => other.to_string(),
            };
            let text = if self.mapping.sum_types { number.to_string() } else { symbol.clone() };
            parameter(metadata, &format!("{name}.{symbol}"), text);
        }
        DataType::Utf8
    }

    fn object(&mut self, at: At<'a>, connect: Option<&str>) -> Result<DataType, String> {
        let additional = at.json.get("additionalProperties").filter(|schema| schema.is_object());
        let properties = properties(at);
        if connect == Some("map") || properties.is_empty() && additional.is_some() {
            let Some(values) = additional else { return self.refuse("a map has no schema in \"additionalProperties\"") };
            let values = self.load(at.part(values))?;
            let values = self.named("value", |plan| plan.field(&values, "value", false))?;
            return Ok(map(Field::new("key", DataType::Utf8, false), values));
        }
        if properties.len() > MOST_TYPES {
            return self.too_many();
        }
        let index = |property: &At<'a>| property.json.get("connect.index").and_then(Value::as_i64);
        let properties = order::indexed(properties, index).or_else(|what| self.refuse(what))?;
        let mut fields = Vec::new();
        for (name, property) in properties {
            let optional = self.mapping.optional && !is_required(at, &name);
            fields.push(self.property(&name, property, optional)?);
        }
        Ok(DataType::Struct(fields.into()))
    }

    fn property(&mut self, name: &str, at: At<'a>, optional: bool) -> Result<Field, String> {
        self.named(name, |plan| {
            let loaded = plan.load(at)?;
            plan.field(&loaded, name, optional)
        })
    }

    fn array(&mut self, at: At<'a>, connect: Option<&str>) -> Result<DataType, String> {
        let Some(items) = at.json.get("items").filter(|items| !items.is_array() && at.json.get("prefixItems").is_none()) else {
            return self.refuse("an array has no schema for all of its \"items\"");
        };
        let items = self.load(at.part(items))?;
        if connect == Some("map") && matches!(items.class, Class::Object) {
            let part = |name: &str| items.at.json.get("properties").and_then(|properties| properties.get(name)).map(|json| at.part(json));
            let (Some(key), Some(value)) = (part("key"), part("value")) else { return self.refuse("the entries of a map have no \"key\" and \"value\"") };
            let mut key = self.property("key", key, false)?;
            if key.is_nullable() {
                key.metadata_mut().insert(OPTIONAL_KEY.to_owned(), "true".to_owned());
            }
            return Ok(map(key.with_nullable(false), self.property("value", value, false)?));
        }
        Ok(DataType::List(self.field(&items, "item", false)?.into()))
    }

    fn reference(&mut self, reference: &str, at: At<'a>, name: &str, optional: bool) -> Result<Field, String> {
        let target = self.documents.resolve(reference, at).or_else(|what| self.refuse(what))?;
        self.inside(at, |plan| {
            let loaded = plan.load(target)?;
            plan.field(&loaded, name, optional)
        })
    }

    fn union(&mut self, union: usize, parts: &[Loaded<'a>], metadata: &mut Metadata) -> Result<DataType, String> {
        let prefix = if self.mapping.sum_types {
            let name = format!("connect_union_{union}");
            parameter(metadata, schema::UNION, name.as_str());
            metadata.insert(NAME.to_owned(), name);
            "connect_union_field_".to_owned()
        } else {
            metadata.insert(NAME.to_owned(), JSON_UNION.to_owned());
            format!("{JSON_UNION}.field.")
        };
        let mut fields: Vec<Field> = Vec::new();
        for part in parts.iter().filter(|part| !matches!(part.class, Class::Null)) {
            fields.push(self.field(part, &format!("{prefix}{}", fields.len()), true)?);
        }
        Ok(DataType::Struct(fields.into()))
    }

    /// The properties of all parts; without any, the type on which the parts agree. Upstream drops what the whole says of itself.
    fn all_of(&mut self, parts: &[Loaded<'a>], name: &str, optional: bool) -> Result<Field, String> {
        let mut properties = Vec::new();
        for part in parts {
            self.collect(part, &mut properties, 0)?;
        }
        if !properties.is_empty() {
            let mut fields = Vec::new();
            for (property, (at, required)) in properties {
                fields.push(self.property(&property, at, self.mapping.optional && !required)?);
            }
            return Ok(Field::new(name, DataType::Struct(fields.into()), optional));
        }
        let last = |is: fn(&Class<'a>) -> bool| parts.iter().rev().find(|part| is(&part.class));
        let text = last(|class| matches!(class, Class::Text));
        let number = last(|class| matches!(class, Class::Number { .. }));
        let enumeration = last(|class| matches!(class, Class::Enum(_)));
        let chosen = if let Some(combined) = last(|class| matches!(class, Class::Combined(..))) {
            Some(combined)
        } else if last(|class| matches!(class, Class::Const(_))).is_some() {
            text.or(number)
        } else if enumeration.is_some() {
            if text.is_some() { enumeration } else { number }
        } else if text.is_some() {
            number.or(text)
        } else {
            last(|class| matches!(class, Class::Reference(_)))
        };
        match chosen {
            Some(part) => self.field(part, name, optional),
            None => self.refuse("the parts of an \"allOf\", or rules that stand side by side, agree on no type"),
        }
    }

    /// Gathers the properties of a part; of a name that comes twice the last counts, in the place of the first.
    fn collect(&mut self, part: &Loaded<'a>, into: &mut Vec<(String, (At<'a>, bool))>, depth: usize) -> Result<(), String> {
        self.count(1)?;
        if depth > MAX_DEPTH {
            return self.refuse("the parts of an \"allOf\" contain themselves, which columns cannot hold");
        }
        match &part.class {
            Class::Combined(Criterion::All, parts) => parts.iter().try_for_each(|part| self.collect(part, into, depth + 1)),
            Class::Reference(reference) => {
                let target = self.documents.resolve(reference, part.at).or_else(|what| self.refuse(what))?;
                let loaded = self.load(target)?;
                self.collect(&loaded, into, depth + 1)
            }
            Class::Object => {
                let properties = properties(part.at);
                self.count(properties.len())?;
                for (name, at) in properties {
                    let property = (at, is_required(part.at, &name));
                    match into.iter_mut().find(|(known, _)| *known == name) {
                        Some((_, known)) => *known = property,
                        None => into.push((name, property)),
                    }
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// What a schema says of itself: title, description, `connect.version`, `connect.parameters`, default; and the type with it.
    fn describe(&self, at: At<'a>, data_type: DataType, metadata: &mut Metadata) -> Result<DataType, String> {
        if let Some(title) = at.text("title") {
            metadata.entry(NAME.to_owned()).or_insert_with(|| title.to_owned());
        }
        if let Some(version) = at.json.get("connect.version").and_then(Value::as_i64) {
            metadata.insert(VERSION.to_owned(), version.to_string());
        }
        if let Some(description) = at.text("description") {
            metadata.insert(DOC.to_owned(), description.to_owned());
        }
        if let Some(parameters) = at.json.get("connect.parameters").and_then(Value::as_object) {
            for (name, value) in parameters {
                parameter(metadata, name, value.as_str().map_or_else(|| value.to_string(), str::to_owned));
            }
        }
        if let Some(default) = at.json.get("default").filter(|default| !default.is_null()) {
            metadata.insert(DEFAULT.to_owned(), default.to_string());
        }
        self.logical(data_type, metadata)
    }

    fn logical(&self, data_type: DataType, metadata: &Metadata) -> Result<DataType, String> {
        let name = metadata.get(NAME).map_or("", String::as_str);
        let integer = data_type.is_integer();
        Ok(match name {
            DECIMAL if data_type.is_numeric() || data_type == DataType::Binary => self.decimal(metadata)?,
            DATE if integer => DataType::Date32,
            TIME if integer => DataType::Time32(TimeUnit::Millisecond),
            TIMESTAMP if integer => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            DECIMAL | DATE | TIME | TIMESTAMP => return self.refuse(format!("title \"{name}\" does not belong to {}", schema::widen::type_name(&data_type))),
            _ => data_type,
        })
    }

    fn decimal(&self, metadata: &Metadata) -> Result<DataType, String> {
        let get = |name: &str| metadata.get(&format!("{PARAMETERS}{name}"));
        let Some(scale) = get("scale") else { return self.refuse("a decimal has no \"scale\" in \"connect.parameters\"") };
        let number = |text: &String| text.parse::<i64>().or_else(|_| self.refuse(format!("\"{text}\" is no scale or precision of a decimal")));
        schema::decimal_type(get(DECIMAL_PRECISION).map(number).transpose()?, number(scale)?).or_else(|what| self.refuse(what))
    }
}

/// The properties of an object, in upstream's order.
fn properties<'a>(at: At<'a>) -> Vec<(String, At<'a>)> {
    let declared = at.json.get("properties").and_then(Value::as_object);
    let mut properties: Vec<_> = declared.into_iter().flatten().map(|(name, json)| (name.clone(), at.part(json))).collect();
    order::hashed(&mut properties);
    properties
}

fn is_required(at: At<'_>, name: &str) -> bool {
    let required = at.json.get("required").and_then(Value::as_array);
    required.is_some_and(|names| names.iter().any(|required| required.as_str() == Some(name)))
}

fn map(key: Field, value: Field) -> DataType {
    DataType::Map(Field::new("entries", DataType::Struct(Fields::from(vec![key, value])), false).into(), false)
}
