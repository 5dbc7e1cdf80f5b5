//! `JsonSchemaConverter`: values as JSON, behind the id of their JSON Schema.
//!
//! Parts: `schema`, the JSON Schema of a field. What values look like is the style `Schema` of the printer of JSON files.
//!
//! | null | payload |
//! |---|---|
//! | where the schema has a default | the default |
//! | where it is optional | `null`, behind the id |
//! | else | none |
//!
//! Source: `io.confluent.connect.json.JsonSchemaConverter` and `JsonSchemaData#fromConnectData`. Values without a schema are refused, which upstream fails on.

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, FieldRef};

use super::registered::{Bodies, Common, Derived, Language, Null, Registered};
use super::{Options, PayloadWriter, Writer, registered};
use crate::file::json::{DecimalFormat, Printer, unsupported};
use crate::schema::{DEFAULT, is_json_text};
use crate::wire::{self, ConvertError, RegisteredSchema, SchemaKind, boolean, refused};

mod schema;

use schema::Mapping;

/// Registration.
pub(super) const WRITER: Writer =
    Writer { name: "jsonschema", aliases: &["io.confluent.connect.json.JsonSchemaConverter", "JsonSchemaConverter", "JsonSchema"], registry: true, build };

fn build(options: &Options) -> Result<Box<dyn PayloadWriter>, ConvertError> {
    let common = Common::new(options)?;
    for (key, why) in [
        ("preserve.additional.properties", "properties that the schema does not declare are left out"),
        ("json.fail.invalid.schema", "payloads are not validated against another schema than their own"),
        ("json.indent.output", "payloads are written on one line"),
    ] {
        if boolean(options, key, false)? {
            return Err(refused(key, format!("true is not supported: {why}; values taken: false")));
        }
    }
    if let Some(inclusion) = options.get("json.default.property.inclusion").map(|text| text.trim()).filter(|text| !text.is_empty()) {
        let message = format!("\"{inclusion}\" is not supported: every field of the schema is written; leave it out");
        return Err(refused("json.default.property.inclusion", message));
    }
    let decimals = match options.get("decimal.format").map(|text| text.trim()) {
        None => DecimalFormat::Base64,
        Some(format) if format.eq_ignore_ascii_case("BASE64") => DecimalFormat::Base64,
        Some(format) if format.eq_ignore_ascii_case("NUMERIC") => DecimalFormat::Numeric,
        Some(format) => return Err(refused("decimal.format", format!("\"{format}\" is not one of BASE64, NUMERIC"))),
    };
    for reading in ["use.optional.for.nonrequired", "flatten.singleton.unions", "ignore.modern.dialects"] {
        boolean(options, reading, false)?;
    }
    let mapping = Mapping {
        additional: boolean(options, "object.additional.properties", true)?,
        sum_types: boolean(options, "generalized.sum.type.support", false)?,
        decimals,
    };
    let keeps_nulls = boolean(options, "ignore.default.for.nullables", false)?;
    Ok(Box::new(Registered::new(common, JsonSchema { mapping, keeps_nulls })))
}

/// See the module.
#[derive(Debug)]
struct JsonSchema {
    mapping: Mapping,
    keeps_nulls: bool,
}

impl Language for JsonSchema {
    const NAME: &'static str = "JSON";
    const KIND: SchemaKind = SchemaKind::JsonSchema;
    type Plan = Values;

    fn null(&self, field: &FieldRef) -> Null {
        let is_default = field.metadata().contains_key(DEFAULT) && !self.keeps_nulls;
        if !is_json_text(field) && (field.is_nullable() || is_default) { Null::Value } else { Null::NoPayload }
    }

    fn schema(&self, field: &FieldRef) -> Result<Derived<Values>, String> {
        if is_json_text(field) {
            return Err(
                "values without a schema have no JSON Schema: have the source give them one, or choose org.apache.kafka.connect.json.JsonConverter".to_owned()
            );
        }
        if let Some(what) = unsupported(field) {
            return Err(format!("JSON has no form for {what}"));
        }
        let plan = Values { field: FieldRef::clone(field), decimals: self.mapping.decimals };
        Ok(Derived { text: schema::text(field, self.mapping), name: schema::title(field), plan })
    }

    fn under(&self, field: &FieldRef, own: &Derived<Values>, given: &RegisteredSchema, strict: bool) -> Result<Values, String> {
        if strict && given.text != own.text {
            let reads = wire::json_schema::connect_field(given)?;
            fits(field, &reads, &mut Vec::new()).map_err(|what| {
                format!(
                    "Incompatible schema of type 'JSON': {what}; set latest.compatibility.strict=false (or id.compatibility.strict=false) to disable this check"
                )
            })?;
        }
        Ok(Values { field: FieldRef::clone(field), decimals: self.mapping.decimals })
    }
}

/// Checks that a reader with one schema takes what is written under another.
fn fits<'a>(written: &'a Field, read: &Field, path: &mut Vec<&'a str>) -> Result<(), String> {
    let place = |path: &[&str]| if path.is_empty() { "the value".to_owned() } else { format!("field \"{}\"", path.join(".")) };
    if written.is_nullable() && !read.is_nullable() && !written.metadata().contains_key(DEFAULT) {
        return Err(format!("{} may be null where the registered schema takes none", place(path)));
    }
    let is_taken = match (written.data_type(), read.data_type()) {
        (DataType::Struct(own), DataType::Struct(others)) => {
            for field in own {
                if let Some((_, other)) = others.find(field.name()) {
                    path.push(field.name());
                    fits(field, other, path)?;
                    path.pop();
                }
            }
            true
        }
        (DataType::List(own), DataType::List(other)) => return fits(own, other, path),
        (DataType::Map(own, _), DataType::Map(other, _)) => return fits(own, other, path),
        (own, DataType::Float64 | DataType::Float32) if own.is_numeric() => true,
        (own, other) if own.is_integer() && other.is_integer() => true,
        (DataType::Decimal128(..) | DataType::Decimal256(..), DataType::Decimal128(..) | DataType::Decimal256(..)) => true,
        (own, other) => own == other,
    };
    match is_taken {
        true => Ok(()),
        false => Err(format!("{} is of type {} where the registered schema has {}", place(path), written.data_type(), read.data_type())),
    }
}

/// How the values of a column are written.
#[derive(Debug)]
pub(super) struct Values {
    field: FieldRef,
    decimals: DecimalFormat,
}

impl registered::Plan for Values {
    fn bind<'a>(&'a self, array: &'a ArrayRef) -> Result<Box<dyn Bodies + 'a>, String> {
        if array.data_type() != self.field.data_type() {
            return Err(format!("internal: values of type {} are not those of the schema", array.data_type()));
        }
        Ok(Box::new(Texts(Printer::under_schema(array, &self.field, self.decimals))))
    }
}

struct Texts<'a>(Printer<'a>);

impl Bodies for Texts<'_> {
    fn put(&mut self, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        self.0.print(row, out);
        Ok(())
    }
}
