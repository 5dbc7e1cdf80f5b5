//! Avro schemas as values: the JSON text that a registry or a file header holds, with every name resolved.
//!
//! Parts: [`Schema`] and [`Kind`]; [`Schema::parse`]; [`inline`], which puts the schemas of a registry's references into the text that refers to them.
//!
//! Guarantee: a parsed schema is finite. Columns cannot hold a type that contains itself, so recursion is refused by name, and a text
//! whose references multiply is refused by size.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// Types that a schema may have once every reference is replaced by what it means.
const MOST_TYPES: usize = 20_000;

/// Arrays and objects around a type once every reference is replaced by what it means; what is deeper is no JSON to its readers.
const DEEPEST: usize = 128;

/// A type, with what its JSON says beside the members that Avro itself defines (`logicalType`, `connect.*`, …).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Schema {
    /// The type.
    pub(crate) kind: Kind,
    /// Members of the JSON object that are not part of the type.
    pub(crate) props: Map<String, Value>,
}

/// Avro's types (Avro 1.12 specification, "Primitive Types" and "Complex Types").
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// No value.
    Null,
    /// One byte, 0 or 1.
    Boolean,
    /// 32-bit integer, zigzag.
    Int,
    /// 64-bit integer, zigzag.
    Long,
    /// IEEE 754 single, little endian.
    Float,
    /// IEEE 754 double, little endian.
    Double,
    /// Length and bytes.
    Bytes,
    /// Length and UTF-8.
    String,
    /// Fields in order.
    Record {
        /// Full name.
        name: String,
        /// Documentation.
        doc: Option<String>,
        /// Fields.
        fields: Vec<RecordField>,
    },
    /// Number of a symbol.
    Enum {
        /// Full name.
        name: String,
        /// Documentation.
        doc: Option<String>,
        /// Symbols.
        symbols: Vec<String>,
        /// Symbol that stands for those that a reader does not know.
        default: Option<String>,
    },
    /// That many bytes.
    Fixed {
        /// Full name.
        name: String,
        /// Bytes.
        size: usize,
    },
    /// Blocks of items.
    Array(Box<Schema>),
    /// Blocks of string keys with values.
    Map(Box<Schema>),
    /// Number of the branch, then its value.
    Union(Vec<Schema>),
}

/// A record's field.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct RecordField {
    /// Name.
    pub(crate) name: String,
    /// Documentation.
    pub(crate) doc: Option<String>,
    /// Default value as Avro writes it in JSON; `Some(Value::Null)` is a default of null.
    pub(crate) default: Option<Value>,
    /// Type.
    pub(crate) schema: Schema,
}

impl Schema {
    /// Reads a schema's JSON text.
    ///
    /// # Errors
    /// What is wrong with the text, for a person.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let json: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
        Parser::default().schema(&json, None)
    }

    /// The logical type that the schema names.
    pub(crate) fn logical(&self) -> Option<&str> {
        self.text("logicalType")
    }

    /// A property that is a text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.props.get(name).and_then(Value::as_str)
    }

    /// A property that is an integer.
    pub(crate) fn integer(&self, name: &str) -> Option<i64> {
        self.props.get(name).and_then(Value::as_i64)
    }

    /// The type's name as the specification writes it.
    pub(crate) fn type_name(&self) -> &'static str {
        match &self.kind {
            Kind::Null => "null",
            Kind::Boolean => "boolean",
            Kind::Int => "int",
            Kind::Long => "long",
            Kind::Float => "float",
            Kind::Double => "double",
            Kind::Bytes => "bytes",
            Kind::String => "string",
            Kind::Record { .. } => "record",
            Kind::Enum { .. } => "enum",
            Kind::Fixed { .. } => "fixed",
            Kind::Array(_) => "array",
            Kind::Map(_) => "map",
            Kind::Union(_) => "union",
        }
    }

    /// For a union of null and one other type: the other type, and the number of null's branch (0 or 1).
    pub(crate) fn optional(&self) -> Option<(&Self, u8)> {
        match &self.kind {
            Kind::Union(branches) => match branches.as_slice() {
                [Self { kind: Kind::Null, .. }, other] if other.kind != Kind::Null => Some((other, 0)),
                [other, Self { kind: Kind::Null, .. }] if other.kind != Kind::Null => Some((other, 1)),
                _ => None,
            },
            _ => None,
        }
    }
}

/// The last part of a full name.
pub(crate) fn short_name(full: &str) -> &str {
    full.rsplit_once('.').map_or(full, |(_, name)| name)
}

fn primitive(name: &str) -> Option<Kind> {
    Some(match name {
        "null" => Kind::Null,
        "boolean" => Kind::Boolean,
        "int" => Kind::Int,
        "long" => Kind::Long,
        "float" => Kind::Float,
        "double" => Kind::Double,
        "bytes" => Kind::Bytes,
        "string" => Kind::String,
        _ => return None,
    })
}

/// The full name of a definition or reference (Avro 1.12, "Names").
fn full_name(name: &str, namespace: Option<&str>) -> String {
    match namespace {
        Some(space) if !space.is_empty() && !name.contains('.') => format!("{space}.{name}"),
        _ => name.to_owned(),
    }
}

/// The full name that a definition declares, seen from the namespace around it.
fn declared_name(object: &Map<String, Value>, namespace: Option<&str>) -> Result<String, String> {
    let name = object.get("name").and_then(Value::as_str).ok_or("a record, enum or fixed has no name")?;
    Ok(full_name(name, object.get("namespace").and_then(Value::as_str).or(namespace)))
}

/// The namespace inside a definition of that name.
fn namespace_of(full: &str) -> Option<&str> {
    full.rsplit_once('.').map(|(space, _)| space)
}

#[derive(Default)]
struct Parser {
    /// Finished named types, with the number of types each holds.
    known: BTreeMap<String, (Schema, usize)>,
    /// Named types whose definition is not finished.
    open: BTreeSet<String>,
    types: usize,
}

impl Parser {
    fn schema(&mut self, json: &Value, namespace: Option<&str>) -> Result<Schema, String> {
        self.count(1)?;
        match json {
            Value::String(name) => self.reference(name, namespace),
            Value::Array(branches) => {
                let branches = branches.iter().map(|branch| self.schema(branch, namespace)).collect::<Result<_, _>>()?;
                Ok(Schema { kind: Kind::Union(branches), props: Map::new() })
            }
            Value::Object(object) => self.object(object, namespace),
            other => Err(format!("a type must be a name, an object or an array, not {other}")),
        }
    }

    fn count(&mut self, types: usize) -> Result<(), String> {
        self.types = self.types.saturating_add(types);
        if self.types > MOST_TYPES { Err(format!("it has more than {MOST_TYPES} types once its references are written out")) } else { Ok(()) }
    }

    fn reference(&mut self, name: &str, namespace: Option<&str>) -> Result<Schema, String> {
        if let Some(kind) = primitive(name) {
            return Ok(Schema { kind, props: Map::new() });
        }
        let full = full_name(name, namespace);
        if self.open.contains(&full) {
            return Err(format!("type \"{full}\" contains itself, which columns cannot hold"));
        }
        let Some((schema, types)) = self.known.get(&full).cloned() else {
            return Err(format!("type \"{full}\" is not defined"));
        };
        self.count(types)?;
        Ok(schema)
    }

    fn object(&mut self, object: &Map<String, Value>, namespace: Option<&str>) -> Result<Schema, String> {
        let name = match object.get("type") {
            Some(Value::String(name)) => name.as_str(),
            Some(nested) => {
                let mut schema = self.schema(nested, namespace)?;
                schema.props.extend(rest(object, &["type"]));
                return Ok(schema);
            }
            None => return Err("a type has no \"type\"".to_owned()),
        };
        match name {
            "record" | "error" | "enum" | "fixed" => self.named(name, object, namespace),
            "array" => {
                let items = self.schema(object.get("items").ok_or("an array has no \"items\"")?, namespace)?;
                Ok(Schema { kind: Kind::Array(Box::new(items)), props: rest(object, &["type", "items"]) })
            }
            "map" => {
                let values = self.schema(object.get("values").ok_or("a map has no \"values\"")?, namespace)?;
                Ok(Schema { kind: Kind::Map(Box::new(values)), props: rest(object, &["type", "values"]) })
            }
            _ => {
                let mut schema = self.reference(name, namespace)?;
                schema.props.extend(rest(object, &["type"]));
                Ok(schema)
            }
        }
    }

    fn named(&mut self, kind: &str, object: &Map<String, Value>, namespace: Option<&str>) -> Result<Schema, String> {
        let name = declared_name(object, namespace)?;
        if self.open.contains(&name) || self.known.contains_key(&name) {
            return Err(format!("type \"{name}\" is defined twice"));
        }
        let before = self.types;
        self.open.insert(name.clone());
        let doc = object.get("doc").and_then(Value::as_str).map(str::to_owned);
        let schema = match kind {
            "enum" => Schema {
                kind: Kind::Enum {
                    doc,
                    symbols: symbols(object).ok_or_else(|| format!("enum \"{name}\" has no list of symbols"))?,
                    default: object.get("default").and_then(Value::as_str).map(str::to_owned),
                    name: name.clone(),
                },
                props: rest(object, &["type", "name", "namespace", "doc", "aliases", "symbols", "default"]),
            },
            "fixed" => {
                let size = object.get("size").and_then(Value::as_u64).and_then(|size| i32::try_from(size).ok()).and_then(|size| usize::try_from(size).ok());
                let size = size.ok_or_else(|| format!("fixed \"{name}\" has no size"))?;
                Schema { kind: Kind::Fixed { name: name.clone(), size }, props: rest(object, &["type", "name", "namespace", "doc", "aliases", "size"]) }
            }
            _ => Schema {
                kind: Kind::Record { fields: self.fields(&name, object)?, doc, name: name.clone() },
                props: rest(object, &["type", "name", "namespace", "doc", "aliases", "fields"]),
            },
        };
        self.open.remove(&name);
        self.known.insert(name, (schema.clone(), self.types - before));
        Ok(schema)
    }

    fn fields(&mut self, record: &str, object: &Map<String, Value>) -> Result<Vec<RecordField>, String> {
        let list = object.get("fields").and_then(Value::as_array).ok_or_else(|| format!("record \"{record}\" has no list of fields"))?;
        let mut fields: Vec<RecordField> = Vec::with_capacity(list.len());
        for json in list {
            let name = json.get("name").and_then(Value::as_str).ok_or_else(|| format!("a field of record \"{record}\" has no name"))?;
            if fields.iter().any(|field| field.name == name) {
                return Err(format!("record \"{record}\" has two fields \"{name}\""));
            }
            let ty = json.get("type").ok_or_else(|| format!("field \"{name}\" of record \"{record}\" has no type"))?;
            fields.push(RecordField {
                name: name.to_owned(),
                doc: json.get("doc").and_then(Value::as_str).map(str::to_owned),
                default: json.get("default").cloned(),
                schema: self.schema(ty, namespace_of(record))?,
            });
        }
        Ok(fields)
    }
}

fn symbols(object: &Map<String, Value>) -> Option<Vec<String>> {
    object.get("symbols")?.as_array()?.iter().map(|symbol| symbol.as_str().map(str::to_owned)).collect()
}

fn rest(object: &Map<String, Value>, own: &[&str]) -> Map<String, Value> {
    object.iter().filter(|(key, _)| !own.contains(&key.as_str())).map(|(key, value)| (key.clone(), value.clone())).collect()
}

/// Puts the definitions of `references` into `text` where their names are first used, so that it stands alone (Confluent Schema
/// Registry's schema references). A reference may use the ones before it; references that `text` does not use are left out.
///
/// # Errors
/// What is wrong with a text, for a person.
pub fn inline(text: &str, references: &[&str]) -> Result<String, String> {
    let mut definitions = BTreeMap::new();
    for reference in references {
        let json: Value = serde_json::from_str(reference).map_err(|error| format!("a referenced schema is not JSON: {error}"))?;
        collect(&json, None, &mut definitions)?;
    }
    let mut json: Value = serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))?;
    let mut budget = MOST_TYPES;
    substitute(&mut json, None, &definitions, &mut BTreeSet::new(), &mut budget, 0)?;
    Ok(json.to_string())
}

/// The named types that a schema defines at its top, by full name, each made to carry its full name.
fn collect(json: &Value, namespace: Option<&str>, into: &mut BTreeMap<String, Value>) -> Result<(), String> {
    match json {
        Value::Array(branches) => branches.iter().try_for_each(|branch| collect(branch, namespace, into)),
        Value::Object(object) if object.contains_key("name") => {
            let full = declared_name(object, namespace)?;
            let mut object = object.clone();
            object.insert("name".to_owned(), Value::String(full.clone()));
            object.remove("namespace");
            let definition = Value::Object(object);
            match into.get(&full) {
                Some(first) if !same(first, &definition) => Err(format!("type \"{full}\" is defined twice by the referenced schemas, and not alike")),
                Some(_) => Ok(()),
                None => {
                    into.insert(full, definition);
                    Ok(())
                }
            }
        }
        _ => Ok(()),
    }
}

/// True for definitions that differ in nothing but what they say to people and the other names that they answer to, as Avro compares them.
fn same(one: &Value, other: &Value) -> bool {
    let counts = |(name, _): &(&String, &Value)| !matches!(name.as_str(), "doc" | "aliases");
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            let covers = |one: &Map<String, Value>, other: &Map<String, Value>| {
                one.iter().filter(counts).all(|(name, value)| other.get(name).is_some_and(|other| same(value, other)))
            };
            covers(one, other) && other.iter().filter(counts).all(|(name, _)| one.contains_key(name))
        }
        (Value::Array(one), Value::Array(other)) => one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other)),
        _ => one == other,
    }
}

fn substitute(
    json: &mut Value,
    namespace: Option<&str>,
    definitions: &BTreeMap<String, Value>,
    defined: &mut BTreeSet<String>,
    budget: &mut usize,
    depth: usize,
) -> Result<(), String> {
    *budget = budget.checked_sub(1).ok_or_else(|| format!("it has more than {MOST_TYPES} types once its references are written out"))?;
    if depth > DEEPEST {
        return Err(format!("nested deeper than {DEEPEST} levels once its references are written out"));
    }
    match json {
        Value::String(name) if primitive(name).is_none() => {
            let full = full_name(name, namespace);
            if !defined.contains(&full)
                && let Some(definition) = definitions.get(&full)
            {
                *json = definition.clone();
                return substitute(json, None, definitions, defined, budget, depth);
            }
            Ok(())
        }
        Value::Array(branches) => branches.iter_mut().try_for_each(|branch| substitute(branch, namespace, definitions, defined, budget, depth + 1)),
        Value::Object(object) => {
            let named = matches!(object.get("type").and_then(Value::as_str), Some("record" | "error" | "enum" | "fixed"));
            let full = if named { Some(declared_name(object, namespace)?) } else { None };
            defined.extend(full.clone());
            let inner = if named { full.as_deref().and_then(namespace_of) } else { namespace };
            if let Some(Value::Array(fields)) = object.get_mut("fields") {
                for ty in fields.iter_mut().filter_map(|field| field.get_mut("type")) {
                    substitute(ty, inner, definitions, defined, budget, depth + 1)?;
                }
            }
            for member in ["items", "values"] {
                if let Some(ty) = object.get_mut(member) {
                    substitute(ty, inner, definitions, defined, budget, depth + 1)?;
                }
            }
            match object.get_mut("type") {
                Some(ty) if !ty.is_string() => substitute(ty, inner, definitions, defined, budget, depth + 1),
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> Result<String, String> {
        Schema::parse(text).map(|schema| schema.type_name().to_owned())
    }

    #[test]
    fn texts_and_their_types() {
        let table = [
            (r#""long""#, Ok("long")),
            (r#"{"type":"long","logicalType":"timestamp-millis"}"#, Ok("long")),
            (r#"{"type":{"type":"string","x":1}}"#, Ok("string")),
            (r#"["null","int"]"#, Ok("union")),
            (r#"{"type":"array","items":"int"}"#, Ok("array")),
            (r#"{"type":"map","values":["null","string"]}"#, Ok("map")),
            (r#"{"type":"fixed","name":"a.F","size":3}"#, Ok("fixed")),
            (r#"{"type":"enum","name":"E","symbols":["A","B"]}"#, Ok("enum")),
            (r#"{"type":"record","name":"R","fields":[]}"#, Ok("record")),
            (
                r#"{"type":"record","name":"R","namespace":"n","fields":[{"name":"a","type":{"type":"fixed","name":"F","size":1}},{"name":"b","type":"F"},{"name":"c","type":"n.F"}]}"#,
                Ok("record"),
            ),
            (r#"{"type":"record","name":"n.R","fields":[{"name":"a","type":["null","R"]}]}"#, Err("type \"n.R\" contains itself, which columns cannot hold")),
            (r#"{"type":"record","name":"R","fields":[{"name":"a","type":"S"}]}"#, Err("type \"S\" is not defined")),
            (r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}"#, Err("record \"R\" has two fields \"a\"")),
            ("7", Err("a type must be a name, an object or an array, not 7")),
            ("{}", Err("a type has no \"type\"")),
            (r#"{"type":"array"}"#, Err("an array has no \"items\"")),
        ];
        for (text, want) in table {
            assert_eq!(kind(text), want.map(str::to_owned).map_err(str::to_owned), "{text}");
        }
        assert!(kind("{").is_err_and(|error| error.starts_with("not JSON: ")));
    }

    #[test]
    fn a_text_whose_references_multiply_is_refused() {
        let mut text = r#"{"type":"record","name":"R0","fields":[{"name":"x","type":"int"}]}"#.to_owned();
        for i in 1..20 {
            text = format!(r#"{{"type":"record","name":"R{i}","fields":[{{"name":"a","type":{text}}},{{"name":"b","type":"R{}"}}]}}"#, i - 1);
        }
        assert_eq!(kind(&text), Err("it has more than 20000 types once its references are written out".to_owned()));
    }

    #[test]
    fn references_are_written_out_where_they_are_first_used() {
        let currency = r#"{"type":"enum","name":"Currency","namespace":"money","symbols":["EUR"]}"#;
        let amount = r#"{"type":"record","name":"Amount","namespace":"money","fields":[{"name":"unit","type":"Currency"}]}"#;
        let text = r#"{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"net","type":"money.Amount"},{"name":"tax","type":["null","money.Amount"]}]}"#;
        let whole = inline(text, &[currency, amount]).unwrap();
        let Kind::Record { fields, .. } = Schema::parse(&whole).unwrap().kind else { panic!("{whole}") };
        assert!(matches!(&fields[0].schema.kind, Kind::Record { name, .. } if name == "money.Amount"), "{whole}");
        assert_eq!(Some((&fields[0].schema, 0)), fields[1].schema.optional());
        assert_eq!(whole.matches("symbols").count(), 1, "defined once: {whole}");
    }

    #[test]
    fn a_type_that_references_define_twice_is_one_or_refused() {
        let root = r#"{"type":"record","name":"R","fields":[{"name":"c","type":"n.C"}]}"#;
        let first = r#"{"type":"record","name":"C","namespace":"n","doc":"first","fields":[{"name":"x","type":"int","doc":"one"}]}"#;
        let alike = r#"{"type":"record","name":"n.C","aliases":["D"],"fields":[{"name":"x","type":"int"}]}"#;
        let wider = r#"{"type":"record","name":"n.C","fields":[{"name":"x","type":"long"}]}"#;
        let longer = r#"{"type":"record","name":"n.C","fields":[{"name":"x","type":"int"},{"name":"y","type":"int"}]}"#;
        for second in [first, alike] {
            assert_eq!(inline(root, &[first, second]), inline(root, &[first]));
        }
        for second in [wider, longer] {
            assert_eq!(inline(root, &[first, second]), Err("type \"n.C\" is defined twice by the referenced schemas, and not alike".to_owned()));
        }
    }

    #[test]
    fn references_that_nest_too_deep_are_refused() {
        let record = |number: usize, inner: &str| {
            let nested = r#"{"type":"array","items":"#.repeat(20) + inner + &"}".repeat(20);
            format!(r#"{{"type":"record","name":"R{number}","fields":[{{"name":"a","type":{nested}}}]}}"#)
        };
        let references: Vec<_> = (1..600).map(|number| record(number, &format!("\"R{}\"", number + 1))).collect();
        let references: Vec<&str> = references.iter().map(String::as_str).collect();
        let want = "nested deeper than 128 levels once its references are written out";
        assert_eq!(inline(&record(0, "\"R1\""), &references), Err(want.to_owned()));
        assert!(inline(&record(0, "\"R1\""), &[&record(1, "\"int\"")]).is_ok());
    }
}
