//! The schema of a file: Arrow fields as the Parquet message that upstream's writer makes of the same Connect schema.
//!
//! | Connect | Parquet |
//! |---|---|
//! | int8, int16, int32 | INT32 |
//! | int64, float32, float64, boolean | INT64, FLOAT, DOUBLE, BOOLEAN |
//! | string; enum-tagged | BYTE_ARRAY (STRING); (ENUM) |
//! | bytes | BYTE_ARRAY |
//! | Decimal | FIXED_LEN_BYTE_ARRAY (DECIMAL(declared precision, else 38, scale)) |
//! | Date, Time, Timestamp | INT32 (DATE), INT32 (TIME(MILLIS,true)), INT64 (TIMESTAMP(MILLIS,true)) |
//! | struct; union | group; group of optional `member0`, `member1`, … |
//! | map with string keys | group (MAP) { repeated group key_value (MAP_KEY_VALUE) { key; value } } |
//! | map with other or optional keys | list of groups { key; value } |
//! | list, where no list of the schema has items that are optional, maps, or lists of lists | group (LIST) { repeated … array } |
//! | list, otherwise | group (LIST) { repeated group list { … element } } |
//! | optional | optional |
//!
//! Guarantee: every column's definition and repetition levels are those of the Arrow field, so that the writer's levels fit both forms of lists.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema, TimeUnit};
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{ConvertedType, LogicalType, Repetition, TimeUnit as ParquetTimeUnit, Type as Physical};
use parquet::schema::types::{SchemaDescriptor, Type, TypePtr};

use super::encode;
use super::types::unsupported;
use crate::file::FormatError;
use crate::file::avro::{Rules, decimal_bytes, decimal_precision, is_map_key, is_union};
use crate::schema::PARAMETERS;
use crate::schema::avro::ENUM;

/// The form of lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lists {
    /// Two levels, unless a list of the schema has optional items, or items that readers refuse in that form.
    Upstream,
    /// Three levels, as the format's specification asks for.
    ThreeLevel,
}

/// What the settings say of the form of a file's schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) lists: Lists,
    /// The settings of upstream's way through Avro: whether enums stay enums, and which maps stay maps.
    pub(super) rules: Rules,
}

/// A file's schema.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) schema: SchemaDescriptor,
    /// For each column, the dotted path of its field in the record: the items of a list have the list's name, a map has `key` and `value`.
    pub(super) names: Vec<String>,
}

impl Message {
    /// The message of that name with a record's fields.
    ///
    /// # Errors
    /// [`FormatError::Unsupported`] with the path of a field whose type has no column; [`FormatError::Encode`] when the library refuses a type.
    pub(super) fn new(name: &str, fields: &Fields, form: Form) -> Result<Self, FormatError> {
        let two_level = form.lists == Lists::Upstream && !fields.iter().any(|field| needs_three_levels(field.data_type(), form.rules));
        let mut builder = Builder { two_level, rules: form.rules, path: Vec::new(), names: Vec::new() };
        let columns = builder.members(named(fields))?;
        let root = Type::group_type_builder(name).with_fields(columns).build().map_err(encode)?;
        Ok(Self { schema: SchemaDescriptor::new(Arc::new(root)), names: builder.names })
    }
}

/// True when a list in the type cannot have two levels: its items may be null, which that form cannot say; or they are maps, or lists of lists, which readers
/// refuse in it.
fn needs_three_levels(data_type: &DataType, rules: Rules) -> bool {
    match (data_type, item(data_type, rules)) {
        (_, Some(item_field)) => {
            let of_item = item_field.data_type();
            let is_third = item(of_item, rules).is_some_and(|inner| item(inner.data_type(), rules).is_some());
            item_field.is_nullable() || is_map(of_item, rules) || is_third || needs_three_levels(of_item, rules)
        }
        (DataType::Struct(fields), None) => fields.iter().any(|field| needs_three_levels(field.data_type(), rules)),
        (DataType::Map(entries, _), None) => needs_three_levels(entries.data_type(), rules),
        _ => false,
    }
}

/// True for what becomes a group (MAP).
fn is_map(data_type: &DataType, rules: Rules) -> bool {
    let DataType::Map(entries, _) = data_type else { return false };
    matches!(entries.data_type(), DataType::Struct(fields) if fields.first().is_some_and(|key| is_map_key(key, rules)))
}

/// The items of what becomes a group (LIST): of a list, and of a map whose keys are not strings, or optional.
fn item(data_type: &DataType, rules: Rules) -> Option<&FieldRef> {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => Some(item),
        DataType::ListView(item) | DataType::LargeListView(item) => Some(item),
        DataType::Map(entries, _) if !is_map(data_type, rules) => Some(entries),
        _ => None,
    }
}

fn repetition(field: &Field) -> Repetition {
    if field.is_nullable() { Repetition::OPTIONAL } else { Repetition::REQUIRED }
}

struct Builder {
    two_level: bool,
    rules: Rules,
    /// Where the walk is.
    path: Vec<String>,
    /// The columns so far.
    names: Vec<String>,
}

impl Builder {
    /// The columns of a group, each under the name that its place gives it.
    fn members<'a>(&mut self, fields: impl IntoIterator<Item = (String, &'a FieldRef)>) -> Result<Vec<TypePtr>, FormatError> {
        fields.into_iter().map(|(name, field)| self.below(field.name(), |builder| builder.column(field, &name, repetition(field)))).collect()
    }

    /// Takes one step down the path.
    fn below<T>(&mut self, name: &str, step: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(name.to_owned());
        let made = step(self);
        self.path.pop();
        made
    }

    fn column(&mut self, field: &Field, name: &str, repetition: Repetition) -> Result<TypePtr, FormatError> {
        match field.data_type() {
            DataType::Struct(members) if is_union(field) => {
                let members = self.members(members.iter().enumerate().map(|(n, member)| (format!("member{n}"), member)))?;
                group(name, repetition, members, None)
            }
            DataType::Struct(members) => {
                let members = self.members(named(members))?;
                group(name, repetition, members, None)
            }
            DataType::Map(entries, _) if is_map(field.data_type(), self.rules) => self.map(name, repetition, entries),
            data_type => match item(data_type, self.rules) {
                Some(item) => self.list(name, repetition, item),
                None => {
                    self.names.push(self.path.join("."));
                    self.leaf(field, name, repetition)
                }
            },
        }
    }

    fn list(&mut self, name: &str, of_list: Repetition, item: &Field) -> Result<TypePtr, FormatError> {
        let inner = if self.two_level {
            self.column(item, "array", Repetition::REPEATED)?
        } else {
            let element = self.column(item, "element", repetition(item))?;
            group("list", Repetition::REPEATED, vec![element], None)?
        };
        group(name, of_list, vec![inner], Some(LogicalType::List))
    }

    /// A map with string keys, which are plain strings also where their field says that they are an enum.
    fn map(&mut self, name: &str, of_map: Repetition, entries: &FieldRef) -> Result<TypePtr, FormatError> {
        let DataType::Struct(fields) = entries.data_type() else { return Err(self.refuse(entries.data_type())) };
        let [_, value] = fields.as_ref() else { return Err(self.refuse(entries.data_type())) };
        self.names.push(self.path.iter().map(String::as_str).chain(["key"]).collect::<Vec<_>>().join("."));
        let key = Type::primitive_type_builder("key", Physical::BYTE_ARRAY).with_repetition(Repetition::REQUIRED).with_logical_type(Some(LogicalType::String));
        let key = Arc::new(key.build().map_err(encode)?);
        let value = self.below("value", |builder| builder.column(value, "value", repetition(value)))?;
        let entry = Type::group_type_builder("key_value")
            .with_repetition(Repetition::REPEATED)
            .with_converted_type(ConvertedType::MAP_KEY_VALUE)
            .with_fields(vec![key, value]);
        group(name, of_map, vec![Arc::new(entry.build().map_err(encode)?)], Some(LogicalType::Map))
    }

    fn refuse(&self, data_type: &DataType) -> FormatError {
        unsupported(format!("field \"{}\" of type {data_type}", self.path.join(".")), "convert it with a transform")
    }

    fn leaf(&self, field: &Field, name: &str, repetition: Repetition) -> Result<TypePtr, FormatError> {
        let plain = |physical| Type::primitive_type_builder(name, physical).with_repetition(repetition);
        let logical = |physical, logical| plain(physical).with_logical_type(Some(logical));
        let builder = match field.data_type() {
            DataType::Boolean => plain(Physical::BOOLEAN),
            DataType::Int8 | DataType::Int16 | DataType::Int32 => plain(Physical::INT32),
            DataType::Int64 => plain(Physical::INT64),
            DataType::Float32 => plain(Physical::FLOAT),
            DataType::Float64 => plain(Physical::DOUBLE),
            text if is_text(text) && self.rules.enhanced && parameter(field, ENUM).is_some() => logical(Physical::BYTE_ARRAY, LogicalType::Enum),
            text if is_text(text) => logical(Physical::BYTE_ARRAY, LogicalType::String),
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView => plain(Physical::BYTE_ARRAY),
            DataType::Date32 => logical(Physical::INT32, LogicalType::Date),
            DataType::Time32(TimeUnit::Millisecond) => logical(Physical::INT32, LogicalType::time(true, ParquetTimeUnit::MILLIS)),
            DataType::Timestamp(TimeUnit::Millisecond, Some(_)) => logical(Physical::INT64, LogicalType::timestamp(true, ParquetTimeUnit::MILLIS)),
            DataType::Decimal128(digits, scale) | DataType::Decimal256(digits, scale) => {
                let precision = i32::from(decimal_precision(field, *digits, *scale));
                let scale = i32::from(*scale);
                logical(Physical::FIXED_LEN_BYTE_ARRAY, LogicalType::decimal(scale, precision))
                    .with_length(decimal_bytes(*digits))
                    .with_precision(precision)
                    .with_scale(scale)
            }
            _ => return self.other(field, name, repetition),
        };
        builder.build().map(Arc::new).map_err(encode)
    }

    /// A type that Connect does not have: as the library's own converter writes it.
    fn other(&self, field: &Field, name: &str, repetition: Repetition) -> Result<TypePtr, FormatError> {
        let schema = Schema::new(vec![Field::new(name, field.data_type().clone(), true)]);
        let own = ArrowSchemaConverter::new().with_coerce_types(true).convert(&schema).map_err(encode)?;
        match own.root_schema().get_fields().first().map(AsRef::as_ref) {
            Some(Type::PrimitiveType { basic_info, physical_type, type_length, scale, precision }) => Type::primitive_type_builder(name, *physical_type)
                .with_repetition(repetition)
                .with_converted_type(basic_info.converted_type())
                .with_logical_type(basic_info.logical_type_ref().cloned())
                .with_length(*type_length)
                .with_precision(*precision)
                .with_scale(*scale)
                .build()
                .map(Arc::new)
                .map_err(encode),
            _ => Err(self.refuse(field.data_type())),
        }
    }
}

fn named(fields: &Fields) -> impl Iterator<Item = (String, &FieldRef)> {
    fields.iter().map(|field| (field.name().clone(), field))
}

fn group(name: &str, repetition: Repetition, fields: Vec<TypePtr>, logical: Option<LogicalType>) -> Result<TypePtr, FormatError> {
    Type::group_type_builder(name).with_repetition(repetition).with_logical_type(logical).with_fields(fields).build().map(Arc::new).map_err(encode)
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn parameter<'a>(field: &'a Field, name: &str) -> Option<&'a String> {
    field.metadata().get(&format!("{PARAMETERS}{name}"))
}

#[cfg(test)]
mod tests;
