//! `ProtobufConverter`: values as Protobuf messages, behind the id of their schema and the path of their message in it.
//!
//! Parts: `schema`, the file of a field and how its values are written; `text`, that file as registries hold it; `rows`, columns as messages.
//!
//! A null has no payload. A value that is no struct is one of Google's wrappers (`google.protobuf.StringValue`, …); arrays and maps have no message of their own.
//!
//! Source: `io.confluent.connect.protobuf.ProtobufConverter` and `ProtobufData`. Values without a schema are refused, which upstream fails on.

use arrow::array::ArrayRef;
use arrow::datatypes::FieldRef;

use super::registered::{Bodies, Common, Derived, Language, Null, Registered};
use super::{Options, PayloadWriter, Writer, registered};
use crate::schema::is_json_text;
use crate::wire::{self, ConvertError, RegisteredSchema, SchemaKind, boolean};

mod rows;
mod schema;
mod text;

use rows::{Message, put_varint};
use schema::Mapping;

/// Registration.
pub(super) const WRITER: Writer =
    Writer { name: "protobuf", aliases: &["io.confluent.connect.protobuf.ProtobufConverter", "ProtobufConverter", "Protobuf"], registry: true, build };

fn build(options: &Options) -> Result<Box<dyn PayloadWriter>, ConvertError> {
    let common = Common::new(options)?;
    for reading in [
        "enhanced.protobuf.schema.support",
        "int.for.enums",
        "optional.for.proto2",
        "wrapper.for.raw.primitives",
        "generate.struct.for.nulls",
        "generate.index.for.unions",
        "flatten.unions",
        // No schema of a column imports another that is not known to every registry.
        "reference.lookup.only",
        "skip.known.types",
    ] {
        boolean(options, reading, false)?;
    }
    let mapping = Mapping {
        sum_types: boolean(options, "generalized.sum.type.support", false)?,
        optional: boolean(options, "optional.for.nullables", false)?,
        wrappers: boolean(options, "wrapper.for.nullables", false)?,
        scrub: boolean(options, "scrub.invalid.names", false)?,
    };
    Ok(Box::new(Registered::new(common, Protobuf { mapping })))
}

/// See the module.
#[derive(Debug)]
struct Protobuf {
    mapping: Mapping,
}

impl Language for Protobuf {
    const NAME: &'static str = "Protobuf";
    const KIND: SchemaKind = SchemaKind::Protobuf;
    type Plan = Values;

    fn null(&self, _field: &FieldRef) -> Null {
        Null::NoPayload
    }

    fn schema(&self, field: &FieldRef) -> Result<Derived<Values>, String> {
        if is_json_text(field) {
            return Err("values without a schema have no Protobuf schema: have the source give them one, or choose another converter".to_owned());
        }
        let file = schema::file(field, self.mapping)?;
        Ok(Derived { text: file.text, name: Some(file.name), plan: Values { path: path(&[file.index]), message: file.message } })
    }

    fn under(&self, field: &FieldRef, own: &Derived<Values>, given: &RegisteredSchema, strict: bool) -> Result<Values, String> {
        let name = own.name.as_deref().unwrap_or_default();
        let steps = wire::protobuf::message_path(given, name)?;
        if strict {
            let written = RegisteredSchema::new(SchemaKind::Protobuf, own.text.as_str());
            wire::protobuf::check_fit(&written, given, name)
                .map_err(|what| format!("Incompatible schema of type 'PROTOBUF': {what}; set latest.compatibility.strict=false (or id.compatibility.strict=false) to disable this check"))?;
        }
        Ok(Values { path: path(&steps), message: schema::file(field, self.mapping)?.message })
    }
}

/// The path of a message as payloads have it: how many steps and each of them, in zigzag; the file's first message is a single 0.
fn path(steps: &[usize]) -> Vec<u8> {
    let mut path = Vec::new();
    if steps == [0] {
        return vec![0];
    }
    for number in std::iter::once(&steps.len()).chain(steps) {
        put_varint(u64::try_from(*number).unwrap_or(u64::MAX / 2) * 2, &mut path);
    }
    path
}

/// How the values of a column are written.
#[derive(Debug)]
pub(super) struct Values {
    /// What stands before each message.
    path: Vec<u8>,
    message: Message,
}

impl registered::Plan for Values {
    fn bind<'a>(&'a self, array: &'a ArrayRef) -> Result<Box<dyn Bodies + 'a>, String> {
        let rows = self.message.bind(array).ok_or_else(|| format!("internal: values of type {} are not those of the schema", array.data_type()))?;
        Ok(Box::new(Messages { path: &self.path, rows }))
    }
}

struct Messages<'a> {
    path: &'a [u8],
    rows: rows::Bound<'a>,
}

impl Bodies for Messages<'_> {
    fn put(&mut self, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        out.extend_from_slice(self.path);
        self.rows.put(row, out)
    }
}
