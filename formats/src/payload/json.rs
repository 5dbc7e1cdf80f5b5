//! `JsonConverter`: values as JSON, in an envelope with their schema or without.
//!
//! | `schemas.enable` | a value with a schema | a value without | null without a schema |
//! |---|---|---|---|
//! | `true` (the default) | `{"schema":{…},"payload":…}` | `{"schema":null,"payload":…}` | no payload |
//! | `false` | its JSON | its JSON | no payload |
//!
//! `replace.null.with.default=false` writes nulls as `null` also where the schema has a default. `schema.content` is for reading, and not looked at.
//!
//! Source: `org.apache.kafka.connect.json.JsonConverter#fromConnectData`; [`envelope`] writes schemas.

use arrow::array::{Array, BinaryBuilder};
use arrow::datatypes::DataType;

use super::{Options, PayloadWriter, Payloads, Writer};
use crate::column::{Column, Reject};
use crate::file::json::{DecimalFormat, Nulls, Printer, unsupported};
use crate::schema::{DEFAULT, is_json_text};
use crate::wire::ConvertError;

mod envelope;

/// Registration.
pub(super) const WRITER: Writer = Writer {
    name: "json",
    aliases: &["org.apache.kafka.connect.json.JsonConverter", "JsonConverter", "Json"],
    registry: false,
    build: |options| Ok(Box::new(Json::new(options)?)),
};

#[derive(Debug)]
struct Json {
    enveloped: bool,
    decimals: DecimalFormat,
    nulls: Nulls,
}

impl Json {
    fn new(options: &Options) -> Result<Self, ConvertError> {
        let refused = |key: &str, message: String| ConvertError::Config { key: key.to_owned(), message };
        let text = |key: &str| options.get(key).map_or("", |text| text.trim());
        let enveloped = match text("schemas.enable").to_ascii_lowercase().as_str() {
            "" | "true" => true,
            "false" => false,
            other => return Err(refused("schemas.enable", format!("{other:?} is not a boolean; values taken: true, false"))),
        };
        let decimals = match text("decimal.format").to_ascii_uppercase().as_str() {
            "" | "BASE64" => DecimalFormat::Base64,
            "NUMERIC" => DecimalFormat::Numeric,
            other => return Err(refused("decimal.format", format!("{other:?} is unknown; values taken: BASE64, NUMERIC"))),
        };
        let nulls = match text("replace.null.with.default").to_ascii_lowercase().as_str() {
            "" | "true" => Nulls::Default,
            "false" => Nulls::Null,
            other => return Err(refused("replace.null.with.default", format!("{other:?} is not a boolean; values taken: true, false"))),
        };
        Ok(Self { enveloped, decimals, nulls })
    }
}

impl PayloadWriter for Json {
    fn write(&mut self, column: &Column) -> Payloads {
        let field = &column.field;
        if let Some(what) = unsupported(field) {
            return Payloads::none(column.len(), &format!("JSON has no form for {what}"));
        }
        let is_schemaless = field.data_type() == &DataType::Null || is_json_text(field);
        let mut before = Vec::new();
        if self.enveloped {
            before.extend_from_slice(b"{\"schema\":");
            if is_schemaless {
                before.extend_from_slice(b"null")
            } else {
                envelope::push_schema(field, None, &mut before)
            }
            before.extend_from_slice(b",\"payload\":");
        }
        let has_default = self.nulls == Nulls::Default && field.metadata().contains_key(DEFAULT);
        let is_required = !is_schemaless && !field.is_nullable() && !has_default;
        let printer = Printer::in_struct(&column.array, field, self.decimals, self.nulls);
        let (mut payloads, mut rejects, mut text) = (BinaryBuilder::new(), Vec::new(), Vec::new());
        for row in 0..column.len() {
            // The rows are texts of different lengths: there is no kernel for them.
            let is_null = field.data_type() == &DataType::Null || column.array.is_null(row);
            if is_null && is_required {
                rejects.push(Reject { row, reason: "Conversion error: null value for field that is required and has no default value".to_owned() });
            }
            if is_null && (is_schemaless || is_required) {
                payloads.append_null();
                continue;
            }
            text.clear();
            text.extend_from_slice(&before);
            printer.print(row, &mut text);
            if self.enveloped {
                text.push(b'}');
            }
            payloads.append_value(&text);
        }
        Payloads { payloads: payloads.finish(), rejects }
    }
}

#[cfg(test)]
mod tests;
