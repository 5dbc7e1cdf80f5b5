//! The JSON Schema converter: Confluent's wire format, with schemas from a registry.
//!
//! A body is one JSON value. Parts: `load` reads a schema's text into the classes of schema that upstream's library knows; `references` finds what
//! `$ref` means; `field` says what such a schema is to Connect and Arrow; `order` in which order its properties become fields. Values are read by the
//! decoder of the JSON converter.
//!
//! Mapping and names are those of Confluent's `JsonSchemaConverter` and `JsonSchemaData`. Payloads are not validated, as upstream by default: a
//! value that its column cannot hold rejects the row, and so does a missing value of a property that is required or was not made optional.

use arrow::array::ArrayRef;
use arrow::datatypes::FieldRef;

use super::framed::{self, Framed, Language, Single};
use super::json::Directed;
use super::values::Flaw;
use super::{ConvertError, Converter, Options, RegisteredSchema, SchemaKind, Want, Wire, boolean, refused};

mod field;
mod load;
pub(crate) mod order;
mod references;

use field::Mapping;

/// Registration.
pub(super) const WIRE: Wire = Wire {
    name: "jsonschema",
    aliases: &["io.confluent.connect.json.JsonSchemaConverter", "JsonSchemaConverter", "JsonSchema"],
    doc: "JSON with a JSON Schema in Confluent's wire format: a magic byte, the id of a schema in a registry, the JSON text.",
    registry: true,
    build,
};

fn build(options: &Options, is_key: bool, _want: Want) -> Result<Box<dyn Converter>, ConvertError> {
    super::refuse_unread(options)?;
    for writing in ["object.additional.properties", "ignore.default.for.nullables"] {
        boolean(options, writing, false)?;
    }
    for (key, why) in [
        ("preserve.additional.properties", "properties that the schema does not declare are left out"),
        ("json.fail.invalid.schema", "payloads are not validated; values that do not fit their columns are rejected"),
    ] {
        if boolean(options, key, false)? {
            return Err(refused(key, format!("true is not supported: {why}; values taken: false")));
        }
    }
    if let Some(format) = options.get("decimal.format").map(|text| text.trim())
        && !["BASE64", "NUMERIC"].iter().any(|known| known.eq_ignore_ascii_case(format))
    {
        return Err(refused("decimal.format", format!("\"{format}\" is not one of BASE64, NUMERIC")));
    }
    let mapping = Mapping {
        sum_types: boolean(options, "generalized.sum.type.support", false)?,
        optional: boolean(options, "use.optional.for.nonrequired", false)?,
        flatten: boolean(options, "flatten.singleton.unions", true)?,
        draft7: boolean(options, "ignore.modern.dialects", false)?,
    };
    Ok(Box::new(Framed::new(is_key, JsonSchema { mapping })))
}

/// What a schema is to Connect and Arrow, with upstream's default settings.
///
/// # Errors
/// What columns cannot hold of it, for a person.
pub(crate) fn connect_field(registered: &RegisteredSchema) -> Result<arrow::datatypes::Field, String> {
    field::root(registered, "value", Mapping { sum_types: false, optional: true, flatten: true, draft7: false })
}

/// See the module.
#[derive(Debug)]
struct JsonSchema {
    mapping: Mapping,
}

impl Language for JsonSchema {
    const NAME: &'static str = "JSON Schema";
    const KIND: SchemaKind = SchemaKind::JsonSchema;
    type Schema = Single<Rows>;

    fn schema(&self, name: &'static str, registered: &RegisteredSchema) -> Result<Single<Rows>, String> {
        let field = field::root(registered, name, self.mapping)?;
        let hint = if self.mapping.optional { "" } else { "; set use.optional.for.nonrequired=true where the schema does not require it" };
        Directed::new(&FieldRef::new(field)).map(|rows| Single(Rows { rows, hint }))
    }
}

/// Growing rows.
#[derive(Debug)]
struct Rows {
    rows: Directed,
    /// What to do when a value is missing.
    hint: &'static str,
}

impl framed::Rows for Rows {
    fn field(&self) -> &FieldRef {
        self.rows.field()
    }

    fn push(&mut self, value: &[u8]) -> Result<(), String> {
        self.rows.push(value).map_err(|reason| if reason.ends_with("is missing") { reason + self.hint } else { reason })
    }

    fn push_null(&mut self) {
        self.rows.push_null();
    }

    fn finish(&mut self) -> Result<ArrayRef, Flaw> {
        Ok(self.rows.finish()?)
    }
}

#[cfg(test)]
mod tests;
