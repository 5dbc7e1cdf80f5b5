//! The Avro converter: Confluent's wire format, with schemas from a registry.
//!
//! A body is one Avro value. Parts: `columns` with `cursor`, the one pass over the bytes. What a schema becomes is
//! [`crate::schema::avro`]'s to say: mapping and names are those of Confluent's `AvroConverter` and `AvroData`. As there, bytes after the value are
//! ignored, and a top-level `bytes` is the whole rest of the payload.

use arrow::array::ArrayRef;
use arrow::datatypes::FieldRef;

use super::framed::{self, Framed, Language, Single};
use super::values::Flaw;
use super::{ConvertError, Converter, Options, RegisteredSchema, SchemaKind, Want, Wire, boolean, refused};
use crate::schema::avro::{self, Mapping, SCHEMA_TEXT, Schema};

mod columns;
mod cursor;

use columns::Rows;

/// Registration.
pub(super) const WIRE: Wire = Wire {
    name: "avro",
    aliases: &["io.confluent.connect.avro.AvroConverter", "AvroConverter", "Avro"],
    doc: "Avro in Confluent's wire format: a magic byte, the id of a schema in a registry, the value.",
    registry: true,
    build,
};

fn build(options: &Options, is_key: bool, _want: Want) -> Result<Box<dyn Converter>, ConvertError> {
    if boolean(options, "generalized.sum.type.support", false)? {
        let message = "true is not supported yet: enums and unions take the names io.confluent.connect.avro.Enum and .Union; values taken: false";
        return Err(refused("generalized.sum.type.support", message));
    }
    let mapping = Mapping { enhanced: boolean(options, "enhanced.avro.schema.support", false)?, metadata: boolean(options, "connect.meta.data", true)? };
    Ok(Box::new(Framed::new(is_key, Avro { mapping })))
}

/// See the module.
#[derive(Debug)]
struct Avro {
    mapping: Mapping,
}

impl Language for Avro {
    const NAME: &'static str = "Avro";
    const KIND: SchemaKind = SchemaKind::Avro;
    type Schema = Single<Rows>;

    fn schema(&self, name: &'static str, registered: &RegisteredSchema) -> Result<Single<Rows>, String> {
        let references: Vec<&str> = registered.references.iter().map(|reference| reference.text.as_str()).collect();
        let text = if references.is_empty() { registered.text.clone() } else { avro::inline(&registered.text, &references)? };
        let schema = Schema::parse(&text)?;
        let field = avro::field(&schema, name, self.mapping)?;
        let mut metadata = field.metadata().clone();
        metadata.insert(SCHEMA_TEXT.to_owned(), text);
        Ok(Single(Rows::new(&schema, FieldRef::new(field.with_metadata(metadata)))))
    }
}

impl framed::Rows for Rows {
    fn field(&self) -> &FieldRef {
        Self::field(self)
    }

    fn push(&mut self, value: &[u8]) -> Result<(), String> {
        Self::push(self, value).map_err(|fault| fault.to_string())
    }

    fn push_null(&mut self) {
        self.push_nulls(1);
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
