//! The Protobuf converter: Confluent's wire format, with schemas from a registry.
//!
//! A body is the path of a message in the schema's file, as zigzag varints (how many, then the number of each message in the one around it; a single
//! 0 stands for the file's first message), and that message. Parts: `files` compiles a schema with what it imports; `field` says what a message is
//! to Connect and Arrow, and how columns are filled from it; `columns` with `node`, `cursor`, `logical` and `map`, the one pass over the bytes.
//!
//! Mapping and names are those of Confluent's `ProtobufConverter` and `ProtobufData`. Messages that contain themselves have no columns and are refused.

use std::collections::BTreeMap;

use arrow::array::ArrayRef;
use arrow::datatypes::FieldRef;
use prost_reflect::{FileDescriptor, Kind, MessageDescriptor};

use super::framed::{self, Framed, Language};
use super::values::Flaw;
use super::{ConvertError, Converter, Options, RegisteredSchema, SchemaKind, Want, Wire, boolean};

mod columns;
mod cursor;
mod field;
mod files;
mod logical;
mod map;
mod node;

use columns::Rows;
use cursor::Cursor;
use field::Mapping;

/// Registration.
pub(super) const WIRE: Wire = Wire {
    name: "protobuf",
    aliases: &["io.confluent.connect.protobuf.ProtobufConverter", "ProtobufConverter", "Protobuf"],
    doc: "Protobuf in Confluent's wire format: a magic byte, the id of a schema in a registry, the path of a message in it, the message.",
    registry: true,
    build,
};

fn build(options: &Options, is_key: bool, _want: Want) -> Result<Box<dyn Converter>, ConvertError> {
    super::refuse_unread(options)?;
    for writing in ["scrub.invalid.names", "ignore.default.for.nullables"] {
        boolean(options, writing, false)?;
    }
    let mapping = Mapping {
        enhanced: boolean(options, "enhanced.protobuf.schema.support", false)?,
        sum_types: boolean(options, "generalized.sum.type.support", false)?,
        int_for_enums: boolean(options, "int.for.enums", false)?,
        optional_for_nullables: boolean(options, "optional.for.nullables", false)?,
        optional_for_proto2: boolean(options, "optional.for.proto2", true)?,
        wrapper_for_nullables: boolean(options, "wrapper.for.nullables", false)?,
        wrapper_for_raw_primitives: boolean(options, "wrapper.for.raw.primitives", true)?,
        struct_for_nulls: boolean(options, "generate.struct.for.nulls", false)?,
        index_for_unions: boolean(options, "generate.index.for.unions", true)?,
        flatten_unions: boolean(options, "flatten.unions", false)?,
    };
    Ok(Box::new(Framed::new(is_key, Protobuf { mapping })))
}

/// See the module.
#[derive(Debug)]
struct Protobuf {
    mapping: Mapping,
}

impl Language for Protobuf {
    const NAME: &'static str = "Protobuf";
    const KIND: SchemaKind = SchemaKind::Protobuf;
    type Schema = Messages;

    fn schema(&self, name: &'static str, registered: &RegisteredSchema) -> Result<Messages, String> {
        let file = files::compile(registered)?;
        Ok(Messages { name, file, mapping: self.mapping, numbers: BTreeMap::new(), rows: Vec::new() })
    }
}

/// A file, with rows for each of its messages that was met.
#[derive(Debug)]
struct Messages {
    name: &'static str,
    file: FileDescriptor,
    mapping: Mapping,
    /// The number in `rows` of each message that was met, by its path, or why it has no columns.
    numbers: BTreeMap<Vec<usize>, Result<usize, String>>,
    rows: Vec<Rows>,
}

impl framed::Schema for Messages {
    type Rows = Rows;

    fn split<'a>(&mut self, body: &'a [u8]) -> Result<(usize, &'a [u8]), String> {
        let mut cursor = Cursor::new(body);
        let path = if cursor.eat(0) { vec![] } else { path(&mut cursor)? };
        let number = match self.numbers.get(&path) {
            Some(known) => known.clone()?,
            None => {
                // Only paths that lead somewhere are remembered: of others there is no end.
                let message = self.message(&path)?;
                let number = Rows::new(&message, self.name, self.mapping).map(|rows| {
                    self.rows.push(rows);
                    self.rows.len() - 1
                });
                self.numbers.insert(path, number.clone());
                number?
            }
        };
        Ok((number, cursor.take_rest()))
    }

    fn rows(&mut self, number: usize) -> Option<&mut Rows> {
        self.rows.get_mut(number)
    }
}

/// Messages within messages that a path may go down.
const DEEPEST: i64 = 100;

/// The path of a message; the one of the file's first message is empty here.
fn path(cursor: &mut Cursor<'_>) -> Result<Vec<usize>, String> {
    let broken = |_| "the payload ends inside the path of its message".to_owned();
    let count = cursor.zigzag().map_err(broken)?;
    if !(1..=DEEPEST).contains(&count) {
        return Err(format!("the path of the payload's message has \"{count}\" steps, it must have 1 to {DEEPEST}"));
    }
    let mut path = Vec::new();
    for _ in 0..count {
        let step = cursor.zigzag().map_err(broken)?;
        path.push(usize::try_from(step).map_err(|_| format!("the path of the payload's message has the step \"{step}\""))?);
    }
    Ok(if path == [0] { vec![] } else { path })
}

impl Messages {
    /// The message that a path leads to. Messages that the file does not write out as such (the entries of maps, groups) are not counted.
    fn message(&self, path: &[usize]) -> Result<MessageDescriptor, String> {
        let (first, rest) = path.split_first().map_or((0, path), |(first, rest)| (*first, rest));
        let missing = || match path {
            [] => "the schema has no message".to_owned(),
            _ => format!("the schema has no message at the path {path:?}"),
        };
        let mut message = self.file.messages().nth(first).ok_or_else(missing)?;
        for step in rest {
            let child = written(&message).into_iter().nth(*step).ok_or_else(missing)?;
            message = child;
        }
        Ok(message)
    }
}

fn full_name(kind: &Kind) -> Option<String> {
    kind.as_message().map(|message| message.full_name().to_owned())
}

/// The path of the message of that full name, as payloads have it.
///
/// # Errors
/// When the schema cannot be read, or has no such message.
pub(crate) fn message_path(registered: &RegisteredSchema, name: &str) -> Result<Vec<usize>, String> {
    let file = files::compile(registered)?;
    let found = find(file.messages().collect(), name).ok_or_else(|| format!("the registered schema has no message \"{name}\""))?;
    Ok(found.into_iter().rev().collect())
}

/// The path from the last step to the first.
fn find(messages: Vec<MessageDescriptor>, name: &str) -> Option<Vec<usize>> {
    messages.into_iter().enumerate().find_map(|(at, message)| {
        if message.full_name() == name {
            return Some(vec![at]);
        }
        let mut path = find(written(&message), name)?;
        path.push(at);
        Some(path)
    })
}

/// Checks that fields that two schemas have in common in a message have one type in both.
///
/// # Errors
/// When one cannot be read, or the first field that has another type.
pub(crate) fn check_fit(written: &RegisteredSchema, read: &RegisteredSchema, name: &str) -> Result<(), String> {
    let message = |registered| files::compile(registered)?.parent_pool().get_message_by_name(name).ok_or_else(|| format!("there is no message \"{name}\""));
    fit(&message(written)?, &message(read)?, 0)
}

fn fit(written: &MessageDescriptor, read: &MessageDescriptor, depth: i64) -> Result<(), String> {
    for field in written.fields() {
        let Some(other) = read.get_field(field.number()) else { continue };
        let is_same = match (field.kind(), other.kind()) {
            (Kind::Message(own), Kind::Message(other)) if depth < DEEPEST => {
                fit(&own, &other, depth + 1)?;
                true
            }
            (Kind::Enum(_), Kind::Enum(_)) => true,
            (own, other) => own == other,
        };
        if !is_same || field.is_list() != other.is_list() {
            let (own, registered) = (format!("{:?}", field.kind()).to_lowercase(), format!("{:?}", other.kind()).to_lowercase());
            return Err(format!("field \"{}\", number {}, is of type {own} where the registered schema has {registered}", field.full_name(), field.number()));
        }
    }
    Ok(())
}

/// The messages within one that its file writes out as such: neither entries of maps nor groups.
fn written(message: &MessageDescriptor) -> Vec<MessageDescriptor> {
    let groups: Vec<String> = message.fields().filter(|field| field.is_group()).filter_map(|field| full_name(&field.kind())).collect();
    let is_written = |child: &MessageDescriptor| !child.is_map_entry() && !groups.iter().any(|name| name == child.full_name());
    message.child_messages().filter(is_written).collect()
}

impl framed::Rows for Rows {
    fn field(&self) -> &FieldRef {
        Self::field(self)
    }

    fn push(&mut self, value: &[u8]) -> Result<(), String> {
        Self::push(self, value).map_err(|fault| fault.to_string())
    }

    fn push_null(&mut self) {
        Self::push_null(self);
    }

    fn finish(&mut self) -> Result<ArrayRef, Flaw> {
        Self::finish(self)
    }

    fn check_strings(&mut self, each: bool) {
        Self::check_strings(self, each);
    }
}

#[cfg(test)]
mod tests;
