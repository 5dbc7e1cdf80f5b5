//! What a message is to Connect and Arrow, as Confluent's `ProtobufData.toConnectSchema` sees it, and the columns that its fields fill.
//!
//! | Protobuf | Arrow | Connect metadata |
//! |---|---|---|
//! | int32, sint32, sfixed32; with `connect.type` in their meta int8, int16 | Int32; Int8, Int16 | |
//! | int64, sint64, sfixed64, uint32, fixed32; uint64, fixed64 as the same bits | Int64 | |
//! | float, double, bool, string, bytes | Float32, Float64, Boolean, Utf8, Binary | |
//! | enum | Utf8, or Int32 with `int.for.enums` | name, parameters `io.confluent.connect.protobuf.Enum`, `….Enum.<symbol>` |
//! | message, group | Struct: first one field for each oneof, then the other fields | name |
//! | repeated; map | List; Map | ; name |
//! | oneof | Struct with a nullable field for each member, or these fields themselves (`flatten.unions`) | name `io.confluent.connect.protobuf.Union.<oneof>` |
//! | `google.protobuf.Timestamp`, `google.type.Date`, `google.type.TimeOfDay`, `confluent.type.Decimal` | see [`crate::schema`] | Timestamp, Date, Time, Decimal |
//! | `google.protobuf.*Value` | the type of their value, nullable; a Struct with both `wrapper.for.*` settings off | |
//!
//! Every field says its number (`io.confluent.connect.protobuf.Tag`) and, where the Arrow type leaves it open, its type (`….Type`).

use std::collections::HashMap;

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor, ReflectMessage, Syntax, Value};

use super::super::values::Texts;
use super::columns::{Absent, Message, Place, Slot, Union};
use super::logical::Logical;
use super::map::Map;
use super::node::Node;
use crate::schema::connect::MAX_DEPTH;
use crate::schema::{self, DATE, DECIMAL, DECIMAL_PRECISION, NAME, OPTIONAL_KEY, PARAMETERS, TIME, TIMESTAMP, VERSION};

const ENUM: &str = "io.confluent.connect.protobuf.Enum";
const UNION: &str = "io.confluent.connect.protobuf.Union";
const TAG: &str = "io.confluent.connect.protobuf.Tag";
const TYPE: &str = "io.confluent.connect.protobuf.Type";
const WRAPPER: &str = "io.confluent.connect.protobuf.Wrapper";

/// The converter's settings that change what a message becomes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mapping {
    /// `enhanced.protobuf.schema.support`: names with their packages.
    pub(super) enhanced: bool,
    /// `generalized.sum.type.support`: enums and unions are named as in other languages.
    pub(super) sum_types: bool,
    /// `int.for.enums`.
    pub(super) int_for_enums: bool,
    /// `optional.for.nullables`: only what is declared optional is.
    pub(super) optional_for_nullables: bool,
    /// `optional.for.proto2`: an optional field of proto2 that is not set is null, not its default.
    pub(super) optional_for_proto2: bool,
    /// `wrapper.for.nullables`: only wrappers are nullable, and they are their value.
    pub(super) wrapper_for_nullables: bool,
    /// `wrapper.for.raw.primitives`: wrappers are their value.
    pub(super) wrapper_for_raw_primitives: bool,
    /// `generate.struct.for.nulls`: messages that are not set are their defaults.
    pub(super) struct_for_nulls: bool,
    /// `generate.index.for.unions`: the field of a oneof is called `<oneof>_<number>`.
    pub(super) index_for_unions: bool,
    /// `flatten.unions`.
    pub(super) flatten_unions: bool,
}

/// Types that a message may have once every message in it is written out.
const MOST_TYPES: usize = 20_000;

type Metadata = HashMap<String, String>;

fn parameter(metadata: &mut Metadata, name: &str, value: impl Into<String>) {
    metadata.insert(format!("{PARAMETERS}{name}"), value.into());
}

/// The field of a message that is a whole value, and its empty column.
///
/// # Errors
/// The path and the type that columns cannot hold, for a person.
pub(super) fn root(message: &MessageDescriptor, name: &str, mapping: Mapping) -> Result<(Field, Slot), String> {
    let mut plan = Plan { mapping, open: Vec::new(), path: Vec::new(), types: 0 };
    let mut metadata = Metadata::new();
    let (data_type, node) = match plan.wrapped(message).filter(|_| mapping.wrapper_for_raw_primitives) {
        Some(value) => plan.wrapper(&value)?,
        None => plan.message(message, &mut metadata)?,
    };
    let field = Field::new(name, data_type, false).with_metadata(metadata);
    Ok((field, Slot::new(name, node, true, Absent::Null)))
}

/// The way through the descriptors.
struct Plan {
    mapping: Mapping,
    /// Messages around the one at hand.
    open: Vec<String>,
    /// Fields around the one at hand.
    path: Vec<String>,
    types: usize,
}

impl Plan {
    fn refuse<T>(&self, what: impl Into<String>) -> Result<T, String> {
        let what = what.into();
        Err(if self.path.is_empty() { what } else { format!("field \"{}\": {what}", self.path.join(".")) })
    }

    fn name<'a>(&self, short: &'a str, full: &'a str) -> &'a str {
        if self.mapping.enhanced { full } else { short }
    }

    fn message(&mut self, message: &MessageDescriptor, metadata: &mut Metadata) -> Result<(DataType, Node), String> {
        let full = message.full_name().to_owned();
        if self.open.contains(&full) {
            return self.refuse(format!("message \"{full}\" contains itself, which columns cannot hold"));
        }
        if self.open.len() >= MAX_DEPTH {
            return self.refuse(format!("messages nest deeper than {MAX_DEPTH} levels"));
        }
        if full == "confluent.type.Variant" {
            return self.refuse("\"confluent.type.Variant\" is not supported: declare a message with the fields that are needed");
        }
        metadata.insert(NAME.to_owned(), self.name(message.name(), message.full_name()).to_owned());
        self.open.push(full);
        let mut fields = Vec::new();
        let mut columns = Message::default();
        for (number, oneof) in message.oneofs().filter(|oneof| !oneof.is_synthetic()).enumerate() {
            self.oneof(&oneof, number, &mut fields, &mut columns)?;
        }
        for field in message.fields().filter(|field| field.containing_oneof().is_none_or(|oneof| oneof.is_synthetic())) {
            let (arrow, slot) = self.field(&field, false)?;
            columns.add(slot, &[(field.number(), Place::default())]);
            fields.push(arrow);
        }
        self.open.pop();
        if let Some(twice) = twice(&fields) {
            return self
                .refuse(format!("message \"{}\" has two fields called \"{twice}\"; see generate.index.for.unions and flatten.unions", message.full_name()));
        }
        Ok((DataType::Struct(fields.into()), Node::Message(Box::new(columns))))
    }

    fn oneof(&mut self, oneof: &OneofDescriptor, number: usize, fields: &mut Vec<Field>, columns: &mut Message) -> Result<(), String> {
        let mut members = Vec::new();
        for field in oneof.fields() {
            members.push((field.number(), self.field(&field, true)?));
        }
        if self.mapping.flatten_unions {
            for (tag, (arrow, slot)) in members {
                columns.add(slot, &[(tag, Place { oneof: Some(number), ..Place::default() })]);
                fields.push(arrow);
            }
            return Ok(());
        }
        let mut metadata = Metadata::new();
        if self.mapping.sum_types {
            metadata.insert(NAME.to_owned(), oneof.name().to_owned());
            parameter(&mut metadata, schema::UNION, oneof.name());
        } else {
            metadata.insert(NAME.to_owned(), format!("{UNION}.{}", self.name(oneof.name(), oneof.full_name())));
        }
        let index = oneof.path().last().copied().unwrap_or_default();
        let name = if self.mapping.index_for_unions { format!("{}_{index}", oneof.name()) } else { oneof.name().to_owned() };
        let places: Vec<_> = members.iter().enumerate().map(|(member, (tag, _))| (*tag, Place { member: Some(member), ..Place::default() })).collect();
        let (arrow, slots): (Vec<Field>, Vec<Slot>) = members.into_iter().map(|(_, member)| member).unzip();
        columns.add(Slot::new(&name, Node::Union(Box::new(Union::new(slots))), true, Absent::Null), &places);
        fields.push(Field::new(name, DataType::Struct(arrow.into()), true).with_metadata(metadata));
        Ok(())
    }

    fn field(&mut self, field: &FieldDescriptor, member: bool) -> Result<(Field, Slot), String> {
        self.path.push(field.name().to_owned());
        self.types += 1;
        if self.types > MOST_TYPES {
            return self.refuse(format!("the message has more than {MOST_TYPES} types once the messages in it are written out"));
        }
        let made = self.field_inside(field, member);
        self.path.pop();
        made
    }

    fn field_inside(&mut self, field: &FieldDescriptor, member: bool) -> Result<(Field, Slot), String> {
        let mut metadata = Metadata::new();
        let (mut data_type, mut node, mut optional) = self.one(field, &mut metadata)?;
        if field.is_list() && !is_map(field) {
            let item = Field::new("item", data_type, true).with_metadata(std::mem::take(&mut metadata));
            data_type = DataType::List(item.into());
            node = Node::list(node, field.is_group());
            optional = true;
        }
        let declared = has_optional_keyword(field);
        optional |= member || if self.mapping.optional_for_nullables { declared } else { !self.mapping.wrapper_for_nullables };
        if member && self.mapping.wrapper_for_nullables && field.kind().as_message().is_some_and(|message| self.wrapped(message).is_some()) {
            parameter(&mut metadata, WRAPPER, "true");
        }
        parameter(&mut metadata, TAG, field.number().to_string());
        let absent = match self.absent(field, member) {
            Absent::Null if !optional => Absent::Forbidden,
            absent => absent,
        };
        let mut slot = Slot::new(field.name(), node, optional, absent);
        slot.set_group(field.is_group());
        if let Some(default) = scalar_default(field) {
            slot.set_default(default);
        }
        Ok((Field::new(field.name(), data_type, optional).with_metadata(metadata), slot))
    }

    /// What a field is that a message does not have.
    fn absent(&self, field: &FieldDescriptor, member: bool) -> Absent {
        let message = field.kind().as_message().cloned();
        if member {
            Absent::Null
        } else if field.is_list() || field.is_map() {
            Absent::Default
        } else if field.is_required() {
            Absent::Required
        } else if let Some(message) = message {
            // Upstream fails on such a date and such a decimal.
            let none = matches!(message.full_name(), "google.type.Date" | "confluent.type.Decimal");
            if self.mapping.struct_for_nulls && !none { Absent::Default } else { Absent::Null }
        } else {
            let proto2 = self.mapping.optional_for_proto2 && has_optional_keyword(field);
            let optional = field.field_descriptor_proto().proto3_optional() || proto2;
            if optional && !self.mapping.struct_for_nulls { Absent::Null } else { Absent::Default }
        }
    }

    /// The type of one value of a field: its column, and whether it is optional wherever it stands.
    fn one(&mut self, field: &FieldDescriptor, metadata: &mut Metadata) -> Result<(DataType, Node, bool), String> {
        let int64 = |metadata: &mut Metadata, name: &str| {
            parameter(metadata, TYPE, name);
            DataType::Int64
        };
        Ok(match field.kind() {
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                let data_type = match meta(field, "connect.type").as_deref() {
                    Some("int8") => DataType::Int8,
                    Some("int16") => DataType::Int16,
                    _ => {
                        match field.kind() {
                            Kind::Sint32 => parameter(metadata, TYPE, "sint32"),
                            Kind::Sfixed32 => parameter(metadata, TYPE, "sfixed32"),
                            _ => {}
                        }
                        DataType::Int32
                    }
                };
                let node = Node::integer(&field.kind(), &data_type);
                (data_type, node, false)
            }
            kind @ (Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64 | Kind::Uint32 | Kind::Fixed32) => {
                let data_type = match kind {
                    Kind::Sint64 => int64(metadata, "sint64"),
                    Kind::Sfixed64 => int64(metadata, "sfixed64"),
                    Kind::Uint64 => int64(metadata, "uint64"),
                    Kind::Fixed64 => int64(metadata, "fixed64"),
                    Kind::Uint32 => int64(metadata, "uint32"),
                    Kind::Fixed32 => int64(metadata, "fixed32"),
                    _ => DataType::Int64,
                };
                let node = Node::integer(&kind, &data_type);
                (data_type, node, false)
            }
            Kind::Float => (DataType::Float32, Node::Float32(Vec::new()), false),
            Kind::Double => (DataType::Float64, Node::Float64(Vec::new()), false),
            Kind::Bool => (DataType::Boolean, Node::boolean(), false),
            Kind::String => (DataType::Utf8, Node::String(Texts::new()), false),
            Kind::Bytes => (DataType::Binary, Node::Bytes(Texts::new()), false),
            Kind::Enum(of) => self.enumeration(field, &of, metadata),
            Kind::Message(_) if is_map(field) => {
                let (data_type, node) = self.map(field, metadata)?;
                (data_type, node, true)
            }
            Kind::Message(message) => {
                let (data_type, node) = self.nested(field, &message, metadata)?;
                (data_type, node, true)
            }
        })
    }

    fn enumeration(&self, field: &FieldDescriptor, of: &EnumDescriptor, metadata: &mut Metadata) -> (DataType, Node, bool) {
        metadata.insert(NAME.to_owned(), self.name(of.name(), of.full_name()).to_owned());
        let name = if self.mapping.sum_types { schema::ENUM } else { ENUM };
        parameter(metadata, name, of.name());
        for value in of.values() {
            parameter(metadata, &format!("{name}.{}", value.name()), value.number().to_string());
        }
        // A closed enum knows no other numbers than its own: a field with another one is not set.
        let closed = of.parent_file().syntax() == Syntax::Proto2 || field.parent_file().syntax() == Syntax::Proto2;
        let values = of.values().map(|value| (value.number(), value.name().to_owned()));
        let data_type = if self.mapping.int_for_enums { DataType::Int32 } else { DataType::Utf8 };
        let node = Node::enumeration(of.name(), values, closed, self.mapping.int_for_enums);
        (data_type, node, true)
    }

    /// A message inside another: a logical type, the value of a wrapper, or a struct.
    fn nested(&mut self, field: &FieldDescriptor, message: &MessageDescriptor, metadata: &mut Metadata) -> Result<(DataType, Node), String> {
        let logical = |metadata: &mut Metadata, name: &str| {
            metadata.insert(NAME.to_owned(), name.to_owned());
            metadata.insert(VERSION.to_owned(), "1".to_owned());
        };
        Ok(match message.full_name() {
            "google.protobuf.Timestamp" => {
                logical(metadata, TIMESTAMP);
                (DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())), Node::Logical(Box::new(Logical::timestamp(message))))
            }
            "google.type.Date" => {
                logical(metadata, DATE);
                (DataType::Date32, Node::Logical(Box::new(Logical::date(message))))
            }
            "google.type.TimeOfDay" => {
                logical(metadata, TIME);
                (DataType::Time32(TimeUnit::Millisecond), Node::Logical(Box::new(Logical::time(message))))
            }
            "confluent.type.Decimal" => {
                let number = |name: &str| meta(field, name).and_then(|text| text.parse::<i32>().ok());
                let (precision, scale) = (number("precision"), number("scale").unwrap_or(0));
                logical(metadata, DECIMAL);
                parameter(metadata, "scale", scale.to_string());
                if let Some(precision) = precision {
                    parameter(metadata, DECIMAL_PRECISION, precision.to_string());
                }
                match schema::decimal_type(precision.map(i64::from), i64::from(scale)) {
                    Ok(data_type) => (data_type.clone(), Node::Logical(Box::new(Logical::decimal(message, &data_type)))),
                    Err(what) => return self.refuse(what),
                }
            }
            _ => match self.wrapped(message).filter(|_| self.mapping.wrapper_for_nullables || self.mapping.wrapper_for_raw_primitives) {
                Some(value) => self.wrapper(&value)?,
                None => self.message(message, metadata)?,
            },
        })
    }

    /// The field of a wrapper that holds its value.
    fn wrapped(&self, message: &MessageDescriptor) -> Option<FieldDescriptor> {
        let wrapper = matches!(
            message.full_name().strip_prefix("google.protobuf."),
            Some("DoubleValue" | "FloatValue" | "Int64Value" | "UInt64Value" | "Int32Value" | "UInt32Value" | "BoolValue" | "StringValue" | "BytesValue")
        );
        message.get_field_by_name("value").filter(|_| wrapper)
    }

    fn wrapper(&mut self, value: &FieldDescriptor) -> Result<(DataType, Node), String> {
        // Of the value's own metadata upstream keeps none.
        let (data_type, node, _) = self.one(value, &mut Metadata::new())?;
        Ok((data_type, Node::Wrapper { number: value.number(), value: Box::new(Slot::new(value.name(), node, false, Absent::Default)) }))
    }

    fn map(&mut self, field: &FieldDescriptor, metadata: &mut Metadata) -> Result<(DataType, Node), String> {
        let Kind::Message(entry) = field.kind() else { return self.refuse("a map has no entries") };
        metadata.insert(NAME.to_owned(), map_name(self.name(entry.name(), entry.full_name())));
        let (Some(key), Some(value)) = (entry.get_field_by_name("key"), entry.get_field_by_name("value")) else {
            return self.refuse("a map's entries have no key and value");
        };
        let (mut key, mut keys) = self.field(&key, false)?;
        if key.is_nullable() {
            key.metadata_mut().insert(OPTIONAL_KEY.to_owned(), "true".to_owned());
        }
        let (value, mut values) = self.field(&value, false)?;
        keys.set_absent(Absent::Default);
        values.set_absent(Absent::Default);
        let entries = Fields::from(vec![key.with_nullable(false), value]);
        let data_type = DataType::Map(Field::new("entries", DataType::Struct(entries), false).into(), false);
        Ok((data_type, Node::Map(Box::new(Map::new(keys, values)))))
    }
}

/// The first name that comes twice.
fn twice(fields: &[Field]) -> Option<&str> {
    let mut names = std::collections::BTreeSet::new();
    fields.iter().map(|field| field.name().as_str()).find(|name| !names.insert(*name))
}

/// True for a map: as the language has them, or spelled out as Confluent's converter writes them (`ProtobufData#isMapDescriptor`).
fn is_map(field: &FieldDescriptor) -> bool {
    let is_spelled = |entry: &MessageDescriptor| {
        let mut fields: Vec<FieldDescriptor> = entry.fields().collect();
        fields.sort_by_key(|field| field.number());
        let named = fields.iter().map(FieldDescriptor::name).eq(["key", "value"]);
        entry.name().ends_with("Entry") && named && fields.iter().all(|field| !field.is_list() && !field.is_map())
    };
    field.is_map() || field.is_list() && field.kind().as_message().is_some_and(is_spelled)
}

/// True where `optional` is written before the field.
fn has_optional_keyword(field: &FieldDescriptor) -> bool {
    let proto = field.field_descriptor_proto();
    let proto2 = field.parent_file().syntax() == Syntax::Proto2;
    proto.proto3_optional() || proto2 && !field.is_list() && !field.is_map() && !field.is_required() && field.containing_oneof().is_none()
}

/// A parameter of the option `(confluent.field_meta)`.
fn meta(field: &FieldDescriptor, name: &str) -> Option<String> {
    let extension = field.parent_pool().get_extension_by_name("confluent.field_meta")?;
    let options = field.options();
    if !options.has_extension(&extension) {
        return None;
    }
    let Value::Message(meta) = options.get_extension(&extension).into_owned() else { return None };
    debug_assert_eq!(meta.descriptor().full_name(), "confluent.Meta");
    let params = meta.get_field_by_name("params")?;
    params.as_map()?.iter().find(|(key, _)| key.as_str() == Some(name)).and_then(|(_, value)| value.as_str().map(str::to_owned))
}

/// The default that proto2 lets a scalar declare.
fn scalar_default(field: &FieldDescriptor) -> Option<Value> {
    (field.field_descriptor_proto().default_value.is_some() || matches!(field.kind(), Kind::Enum(_))).then(|| field.kind_default())
}

/// The name of the type of a map's entries → the map's: `shop.PriceListEntry` → `shop.price_list`.
fn map_name(entry: &str) -> String {
    let (space, last) = entry.rsplit_once('.').map_or(("", entry), |(space, last)| (space, last));
    let Some(stem) = last.strip_suffix("Entry") else { return entry.to_owned() };
    let mut name = String::new();
    for (at, letter) in stem.char_indices() {
        if letter.is_ascii_uppercase() && at > 0 {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
    }
    if space.is_empty() { name } else { format!("{space}.{name}") }
}

/// The default of one value of a field, repeated or not.
trait KindDefault {
    fn kind_default(&self) -> Value;
}

impl KindDefault for FieldDescriptor {
    fn kind_default(&self) -> Value {
        if self.is_list() || self.is_map() { self.kind().default_value() } else { self.default_value() }
    }
}
