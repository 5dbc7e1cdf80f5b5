//! The Protobuf file of a field, as Confluent's `ProtobufData.fromConnectSchema` derives it from a Connect schema, and how values are written under it.
//!
//! | Arrow | Protobuf |
//! |---|---|
//! | Int8, Int16, Int32; Int64 | `int32`, with `connect.type` in its meta for the first two; `int64`; or the type that the parameters say |
//! | Float32, Float64, Boolean, Utf8, Binary | `float`, `double`, `bool`, `string`, `bytes` |
//! | Utf8 with parameters of an enum | `enum` |
//! | Decimal; Date32; Time32; Timestamp | `confluent.type.Decimal`; `google.type.Date`; `google.type.TimeOfDay`; `google.protobuf.Timestamp` |
//! | Struct | a message within the one around it, by its Connect name, else `ConnectDefault1`, `ConnectDefault2`, … |
//! | Struct that stands for a union | `oneof` |
//! | List; Map | `repeated`; `repeated` messages of `key` and `value` whose name ends in `Entry` |
//! | nullable | nothing; `optional` with `optional.for.nullables`; a wrapper with `wrapper.for.nullables` |
//!
//! Fields have the numbers that the parameters say (`io.confluent.connect.protobuf.Tag`), the others are counted.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field, Fields};

use super::rows::{Coding, Entry, Message, Node, Source};
use super::text::{self, WRAPPERS};
use crate::schema::{self, DECIMAL_PRECISION, NAME, PARAMETERS, names};
use crate::wire::json_schema::order;

const ENUM: &str = "io.confluent.connect.protobuf.Enum";
const UNION: &str = "io.confluent.connect.protobuf.Union";
const TAG: &str = "io.confluent.connect.protobuf.Tag";
const TYPE: &str = "io.confluent.connect.protobuf.Type";
const WRAPPER: &str = "io.confluent.connect.protobuf.Wrapper";

/// The settings that change what a schema becomes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mapping {
    /// `generalized.sum.type.support`: enums and unions are those that are marked in the way of every language.
    pub(super) sum_types: bool,
    /// `optional.for.nullables`.
    pub(super) optional: bool,
    /// `wrapper.for.nullables`.
    pub(super) wrappers: bool,
    /// `scrub.invalid.names`.
    pub(super) scrub: bool,
}

/// A file, and the message of it that a column's values are.
#[derive(Debug)]
pub(super) struct Derived {
    pub(super) text: String,
    /// Full name.
    pub(super) name: String,
    /// Its place in the file.
    pub(super) index: usize,
    pub(super) message: Message,
}

/// The file of a field.
///
/// # Errors
/// The part that Protobuf has no form for, for a person.
pub(super) fn file(field: &Field, mapping: Mapping) -> Result<Derived, String> {
    let mut plan = Plan { mapping, unnamed: 0, imports: Vec::new(), path: Vec::new() };
    let DataType::Struct(fields) = field.data_type() else { return wrapped(field) };
    let full = plan.name_or_default(name(field));
    let full = if mapping.scrub { names::full(&full, names::protobuf) } else { full };
    let (package, short) = match full.rsplit_once('.') {
        Some((package, short)) => (Some(package.to_owned()), short),
        None => (None, full.as_str()),
    };
    let (definition, message) = plan.message(short, fields)?;
    let text = text::File { package, imports: plan.imports, message: definition }.text();
    Ok(Derived { text, name: full, index: 0, message })
}

/// A value that is no struct, in the wrapper of its type.
fn wrapped(field: &Field) -> Result<Derived, String> {
    let (wrapper, node) = match field.data_type() {
        DataType::Int8 | DataType::Int16 | DataType::Int32 => ("Int32Value", Node::Integer(Coding::Varint)),
        DataType::Int64 => ("Int64Value", Node::Integer(Coding::Varint)),
        DataType::Float32 => ("FloatValue", Node::Float32),
        DataType::Float64 => ("DoubleValue", Node::Float64),
        DataType::Boolean => ("BoolValue", Node::Boolean),
        DataType::Utf8 => ("StringValue", Node::Text),
        DataType::Binary => ("BytesValue", Node::Bytes),
        other => return Err(format!("Unsupported root schema of type {other}: put it into a struct, with the transform HoistField")),
    };
    let index = WRAPPERS.iter().position(|(name, _)| *name == wrapper).unwrap_or(0);
    let entry = Entry { number: 1, name: String::new(), source: Source::Whole, node, presence: false };
    Ok(Derived { text: text::wrappers(), name: format!("google.protobuf.{wrapper}"), index, message: Message { entries: vec![entry] } })
}

fn parameter<'a>(field: &'a Field, name: &str) -> Option<&'a str> {
    field.metadata().get(&format!("{PARAMETERS}{name}")).map(String::as_str)
}

fn name(field: &Field) -> Option<&str> {
    field.metadata().get(NAME).map(String::as_str)
}

fn is_union(field: &Field) -> bool {
    name(field).is_some_and(|name| name.starts_with(UNION)) || parameter(field, schema::UNION).is_some()
}

/// The way through the schema.
struct Plan {
    mapping: Mapping,
    /// Types without a name so far.
    unnamed: u32,
    imports: Vec<&'static str>,
    /// Fields around the one at hand.
    path: Vec<String>,
}

/// The messages that were defined within one, with what they stand for.
type Defined = BTreeMap<String, (Fields, Message)>;

impl Plan {
    fn refuse<T>(&self, what: impl Into<String>) -> Result<T, String> {
        let what = what.into();
        Err(if self.path.is_empty() { what } else { format!("field \"{}\": {what}", self.path.join(".")) })
    }

    fn name_or_default(&mut self, name: Option<&str>) -> String {
        name.filter(|name| !name.is_empty()).map_or_else(
            || {
                self.unnamed += 1;
                format!("ConnectDefault{}", self.unnamed)
            },
            str::to_owned,
        )
    }

    fn scrubbed(&self, name: &str) -> String {
        if self.mapping.scrub { names::protobuf(name) } else { name.to_owned() }
    }

    fn unqualified(&mut self, name: Option<&str>) -> String {
        let full = self.name_or_default(name);
        self.scrubbed(full.rsplit_once('.').map_or(full.as_str(), |(_, short)| short))
    }

    /// A name of Protobuf; upstream fails on another one, too, when it builds the file.
    fn checked(&self, name: String) -> Result<String, String> {
        let mut letters = name.chars();
        let fine = letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == '_') && letters.all(|c| c.is_ascii_alphanumeric() || c == '_');
        if fine { Ok(name) } else { self.refuse(format!("\"{name}\" is no name in Protobuf: set scrub.invalid.names=true, or rename it with a transform")) }
    }

    fn message(&mut self, name: &str, fields: &Fields) -> Result<(text::Message, Message), String> {
        let name = self.checked(name.to_owned())?;
        let mut definition = text::Message { name, fields: Vec::new(), oneofs: Vec::new(), messages: Vec::new(), enums: Vec::new() };
        let (mut entries, mut defined, mut next) = (Vec::new(), Defined::new(), 1);
        for (at, field) in fields.iter().enumerate() {
            self.path.push(field.name().clone());
            let number = match self.tag(field)? {
                Some(tag) => tag,
                None => {
                    next += 1;
                    next - 1
                }
            };
            if is_union(field) && matches!(field.data_type(), DataType::Struct(_)) {
                self.oneof(&mut definition, &mut defined, field, at, &mut entries)?;
            } else {
                let label = self.label(field);
                let (own, node) = self.field(&mut definition, &mut defined, field, number, label, false)?;
                definition.fields.push(own);
                entries.push(Entry { number, name: field.name().clone(), source: Source::Column(at), node, presence: label == Some("optional") });
            }
            self.path.pop();
        }
        let types = definition.messages.iter().map(|message| &message.name).chain(definition.enums.iter().map(|of| &of.name));
        let fields = || definition.fields.iter().chain(definition.oneofs.iter().flat_map(|(_, fields)| fields));
        if let Some(name) = types.into_iter().find(|name| fields().any(|field| field.name == **name)) {
            return self
                .refuse(format!("a field and a struct or enum are both called \"{name}\", which Protobuf cannot tell apart: rename one with a transform"));
        }
        entries.sort_by_key(|entry| entry.number);
        if let Some([first, second]) = entries.array_windows::<2>().find(|[first, second]| first.number == second.number) {
            return self
                .refuse(format!("fields \"{}\" and \"{}\" have one number, {}: change the parameter {TAG} of one", first.name, second.name, first.number));
        }
        Ok((definition, Message { entries }))
    }

    fn tag(&self, field: &Field) -> Result<Option<u32>, String> {
        let Some(tag) = parameter(field, TAG) else { return Ok(None) };
        match tag.parse::<u32>() {
            Ok(number) if (1..1 << 29).contains(&number) => Ok(Some(number)),
            _ => self.refuse(format!("\"{tag}\" in the parameter {TAG} is no number of a field")),
        }
    }

    fn label(&self, field: &Field) -> Option<&'static str> {
        match field.data_type() {
            DataType::List(_) | DataType::Map(..) => Some("repeated"),
            _ if self.mapping.optional && field.is_nullable() => Some("optional"),
            _ => None,
        }
    }

    fn oneof(&mut self, parent: &mut text::Message, defined: &mut Defined, union: &Field, at: usize, entries: &mut Vec<Entry>) -> Result<(), String> {
        let DataType::Struct(members) = union.data_type() else { return Ok(()) };
        if name(union).is_none_or(str::is_empty) {
            self.unnamed += 1; // upstream asks for the name of the struct, too
        }
        let own = match (self.mapping.sum_types, name(union).and_then(|name| name.strip_prefix(UNION))) {
            (true, _) => parameter(union, schema::UNION).map(str::to_owned),
            (false, Some(rest)) => Some(self.unqualified(Some(rest.trim_start_matches('.')))),
            (false, None) => None,
        };
        let Some(own) = own else {
            return self
                .refuse("a struct stands for a union, and its name does not say so: set generalized.sum.type.support=true where other converters wrote it");
        };
        let own = self.checked(own)?;
        let mut fields = Vec::new();
        for (member, field) in members.iter().enumerate() {
            self.path.push(field.name().clone());
            if matches!(field.data_type(), DataType::List(_) | DataType::Map(..)) || is_union(field) {
                return self.refuse("a member of a union is an array, a map or a union, which Protobuf has no form for");
            }
            let Some(number) = self.tag(field)? else {
                return self.refuse(format!("a member of a union has no number: give its schema the parameter {TAG}"));
            };
            let (definition, node) = self.field(parent, defined, field, number, None, true)?;
            fields.push(definition);
            entries.push(Entry { number, name: field.name().clone(), source: Source::Member(at, member), node, presence: true });
            self.path.pop();
        }
        parent.oneofs.push((own, fields));
        Ok(())
    }

    /// The field of a column, and how its values are written; the types that it needs are defined in the message around it.
    fn field(
        &mut self,
        parent: &mut text::Message,
        defined: &mut Defined,
        field: &Field,
        number: u32,
        label: Option<&'static str>,
        is_member: bool,
    ) -> Result<(text::Field, Node), String> {
        let own = self.scrubbed(field.name());
        let own = self.checked(own)?;
        let (inner, is_list) = match field.data_type() {
            DataType::List(item) => (item.as_ref(), true),
            _ => (field, false),
        };
        if is_list && (matches!(inner.data_type(), DataType::List(_) | DataType::Map(..)) || is_union(inner)) {
            return self.refuse("Array cannot be nested: Protobuf has no form for an array of arrays, maps or unions");
        }
        let mut params = Vec::new();
        let (kind, node) = match inner.data_type() {
            DataType::Struct(fields) => self.nested(parent, defined, inner, fields, &own)?,
            DataType::Map(entries, _) => self.map(parent, inner, entries)?,
            _ => self.scalar(parent, inner, is_member, &mut params)?,
        };
        let node = if is_list { Node::List(Box::new(node)) } else { node };
        Ok((text::Field { label, kind, name: own, number, params }, node))
    }

    fn nested(&mut self, parent: &mut text::Message, defined: &mut Defined, field: &Field, fields: &Fields, own: &str) -> Result<(String, Node), String> {
        let mut kind = self.unqualified(name(field));
        if kind == own {
            kind.push_str("Message");
        }
        if let Some((known, message)) = defined.get(&kind) {
            return match known == fields {
                true => Ok((kind, Node::Message(message.clone()))),
                false => self.refuse(format!("two different structs are called \"{kind}\": set another name with the transform SetSchemaMetadata")),
            };
        }
        if parent.name == kind {
            return self.refuse(format!("the struct is called \"{kind}\" as the one around it: set another name with the transform SetSchemaMetadata"));
        }
        let (definition, message) = self.message(&kind, fields)?;
        parent.messages.push(definition);
        defined.insert(kind.clone(), (fields.clone(), message.clone()));
        Ok((kind, Node::Message(message)))
    }

    fn map(&mut self, parent: &mut text::Message, field: &Field, entries: &Field) -> Result<(String, Node), String> {
        let own = self.unqualified(name(field));
        let kind = self.checked(entry_name(&own))?;
        let DataType::Struct(entry) = entries.data_type() else { return self.refuse("an unknown kind of map") };
        let [key, value] = entry.as_ref() else { return self.refuse("an unknown kind of map") };
        if parent.messages.iter().any(|message| message.name == kind) {
            return self.refuse(format!("two maps are called \"{kind}\": set another name with the transform SetSchemaMetadata"));
        }
        let mut definition = text::Message { name: kind.clone(), fields: Vec::new(), oneofs: Vec::new(), messages: Vec::new(), enums: Vec::new() };
        let (mut members, mut defined) = (Vec::new(), Defined::new());
        let key = key.as_ref().clone().with_nullable(schema::is_optional_key(key)).with_name("key");
        for (at, member) in [key, value.as_ref().clone().with_name("value")].into_iter().enumerate() {
            if is_union(&member) {
                return self.refuse("a map holds unions, which Protobuf has no form for");
            }
            self.path.push(member.name().clone());
            let (number, label) = (if at == 0 { 1 } else { 2 }, self.label(&member));
            let (own, node) = self.field(&mut definition, &mut defined, &member, number, label, false)?;
            definition.fields.push(text::Field { label: label.filter(|label| *label == "repeated"), ..own });
            members.push(Entry { number, name: member.name().clone(), source: Source::Column(at), node, presence: false });
            self.path.pop();
        }
        parent.messages.push(definition);
        Ok((kind, Node::Map(Message { entries: members })))
    }

    fn import(&mut self, file: &'static str) {
        if !self.imports.contains(&file) {
            self.imports.push(file);
        }
    }

    /// A value that is no struct and holds none.
    fn scalar(
        &mut self,
        parent: &mut text::Message,
        field: &Field,
        is_member: bool,
        params: &mut Vec<(&'static str, String)>,
    ) -> Result<(String, Node), String> {
        let logical = match field.data_type() {
            DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale) => {
                *params = decimal_params(field, *scale);
                Some(("confluent.type.Decimal", "confluent/type/decimal.proto", Node::Decimal))
            }
            DataType::Date32 => Some(("google.type.Date", "google/type/date.proto", Node::Date)),
            DataType::Time32(_) => Some(("google.type.TimeOfDay", "google/type/timeofday.proto", Node::Time)),
            DataType::Timestamp(..) => Some(("google.protobuf.Timestamp", "google/protobuf/timestamp.proto", Node::Timestamp)),
            _ => None,
        };
        if let Some((kind, file, node)) = logical {
            self.import(file);
            return Ok((kind.to_owned(), node));
        }
        if field.data_type() == &DataType::Utf8 && (parameter(field, schema::ENUM).is_some() || parameter(field, ENUM).is_some()) {
            return self.enumeration(parent, field);
        }
        let integer = |default: &'static str| {
            let kind = parameter(field, TYPE).unwrap_or(default);
            coding(kind).map(|coding| (kind.to_owned(), coding)).ok_or_else(|| format!("\"{kind}\" in the parameter {TYPE} is no type of integers"))
        };
        let (kind, wrapper, node) = match field.data_type() {
            narrow @ (DataType::Int8 | DataType::Int16) => {
                params.push(("connect.type", if narrow == &DataType::Int8 { "int8" } else { "int16" }.to_owned()));
                ("int32".to_owned(), "Int32Value", Node::Integer(Coding::Varint))
            }
            DataType::Int32 => {
                let (kind, coding) = integer("int32").or_else(|what| self.refuse(what))?;
                (kind, "Int32Value", Node::Integer(coding))
            }
            DataType::Int64 => {
                let (kind, coding) = integer("int64").or_else(|what| self.refuse(what))?;
                let wrapper = match kind.as_str() {
                    "uint32" | "fixed32" => "UInt32Value",
                    "uint64" | "fixed64" => "UInt64Value",
                    _ => "Int64Value",
                };
                (kind, wrapper, Node::Integer(coding))
            }
            DataType::Float32 => ("float".to_owned(), "FloatValue", Node::Float32),
            DataType::Float64 => ("double".to_owned(), "DoubleValue", Node::Float64),
            DataType::Boolean => ("bool".to_owned(), "BoolValue", Node::Boolean),
            DataType::Utf8 if schema::is_json_text(field) => return self.refuse("JSON without a schema has no Protobuf schema: declare a schema"),
            DataType::Utf8 => ("string".to_owned(), "StringValue", Node::Text),
            DataType::Binary => ("bytes".to_owned(), "BytesValue", Node::Bytes),
            other => return self.refuse(format!("values of type {other} have no form in Protobuf")),
        };
        let is_wrapper = parameter(field, WRAPPER).is_some_and(|text| text.eq_ignore_ascii_case("true"));
        if self.mapping.wrappers && field.is_nullable() && (!is_member || is_wrapper) {
            self.import("google/protobuf/wrappers.proto");
            let node = match (node, wrapper) {
                (Node::Integer(_), "UInt32Value") => Node::Integer(Coding::Unsigned32),
                (Node::Integer(_), _) => Node::Integer(Coding::Varint),
                (node, _) => node,
            };
            return Ok((format!("google.protobuf.{wrapper}"), Node::Wrapper(Box::new(node))));
        }
        Ok((kind, node))
    }

    fn enumeration(&mut self, parent: &mut text::Message, field: &Field) -> Result<(String, Node), String> {
        let marker = if self.mapping.sum_types { schema::ENUM } else { ENUM };
        let kind = parameter(field, schema::ENUM).or_else(|| parameter(field, ENUM)).unwrap_or_default().to_owned();
        let own = self.unqualified(name(field));
        if kind != own || parameter(field, marker).is_none() {
            return self.refuse(format!(
                "an enum is called \"{own}\" by its schema and \"{kind}\" by its parameters, or is another converter's: see generalized.sum.type.support"
            ));
        }
        let prefix = format!("{PARAMETERS}{marker}.");
        let mut values = Vec::new();
        for (symbol, number) in field.metadata().iter().filter_map(|(key, number)| Some((key.strip_prefix(&prefix)?, number))) {
            match number.parse::<i32>() {
                Ok(number) => values.push((symbol.to_owned(), number)),
                Err(_) => return self.refuse(format!("\"{number}\" is no number of the enum's symbol \"{symbol}\"")),
            }
        }
        values.sort_by(|(first, one), (second, two)| (*one != 0, one, first).cmp(&(*two != 0, two, second)));
        let node = Node::Enum(values.iter().cloned().collect());
        if !parent.enums.iter().any(|defined| defined.name == own) {
            parent.enums.push(text::Enum { name: own, values });
        }
        Ok((kind, node))
    }
}

fn coding(kind: &str) -> Option<Coding> {
    Some(match kind {
        "int32" | "int64" | "uint64" => Coding::Varint,
        "uint32" => Coding::Unsigned32,
        "sint32" | "sint64" => Coding::Zigzag,
        "fixed32" | "sfixed32" => Coding::Fixed32,
        "fixed64" | "sfixed64" => Coding::Fixed64,
        _ => return None,
    })
}

fn decimal_params(field: &Field, scale: i8) -> Vec<(&'static str, String)> {
    let mut params: Vec<(String, (&'static str, String))> = Vec::new();
    if let Some(precision) = parameter(field, DECIMAL_PRECISION) {
        params.push(("precision".to_owned(), ("precision", precision.to_owned())));
    }
    let scale = parameter(field, "scale").map_or_else(|| scale.to_string(), str::to_owned);
    params.push(("scale".to_owned(), ("scale", scale)));
    order::in_map(&mut params);
    params.into_iter().map(|(_, param)| param).collect()
}

/// The name of the entries of a map: `price_list` → `PriceListEntry`.
fn entry_name(own: &str) -> String {
    let mut name = String::new();
    if own.contains('_') {
        for word in own.split('_') {
            let mut letters = word.chars();
            name.extend(letters.next().map(|first| first.to_ascii_uppercase()));
            name.extend(letters.map(|letter| letter.to_ascii_lowercase()));
        }
    } else {
        name.push_str(own);
    }
    name + "Entry"
}
