//! `AvroConverter`: values as Avro, behind the id of their schema.
//!
//! The schema of a column is the one that Avro files have: [`crate::file::avro`] says what a type becomes, and which names and properties it has. Values without
//! a schema are written under Confluent's schema for values of any kind. As upstream, a whole value that is bytes has no length before it.
//!
//! Where the registry has given another schema (`use.latest.version`, `use.schema.id`), values are written under that one: fields by their names, and those that
//! it does not have are left out.
//!
//! Source: `io.confluent.connect.avro.AvroConverter` and `AvroData#fromConnectData`.

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef};

use super::registered::{Bodies, Common, Derived, Language, Null, Registered};
use super::{Options, PayloadWriter, Writer, registered};
use crate::file::avro::{ANYTHING, Anything, Bound, Plan, Rules, schema_text};
use crate::schema::avro::{Kind, Schema};
use crate::schema::{DEFAULT, is_json_text, names};
use crate::wire::{ConvertError, RegisteredSchema, SchemaKind, boolean, refused};

/// Registration.
pub(super) const WRITER: Writer =
    Writer { name: "avro", aliases: &["io.confluent.connect.avro.AvroConverter", "AvroConverter", "Avro"], registry: true, build };

fn build(options: &Options) -> Result<Box<dyn PayloadWriter>, ConvertError> {
    let common = Common::new(options)?;
    for (key, why) in [
        ("generalized.sum.type.support", "enums and unions are those that io.confluent.connect.avro.Enum and .Union name"),
        ("discard.type.doc.default", "documentation and defaults are written where record types have them"),
    ] {
        if boolean(options, key, false)? {
            return Err(refused(key, format!("true is not supported: {why}; values taken: false")));
        }
    }
    let rules = Rules {
        metadata: boolean(options, "connect.meta.data", true)?,
        enhanced: boolean(options, "enhanced.avro.schema.support", false)?,
        optional_keys: boolean(options, "allow.optional.map.keys", false)?,
        of_columns: false,
        scrub: boolean(options, "scrub.invalid.names", false)?,
    };
    Ok(Box::new(Registered::new(common, Avro { rules })))
}

/// See the module.
#[derive(Debug)]
struct Avro {
    rules: Rules,
}

impl Language for Avro {
    const NAME: &'static str = "Avro";
    const KIND: SchemaKind = SchemaKind::Avro;
    type Plan = Values;

    fn null(&self, field: &FieldRef) -> Null {
        match field.is_nullable() || is_json_text(field) || field.metadata().contains_key(DEFAULT) {
            true => Null::NoPayload,
            false => Null::Refused,
        }
    }

    fn schema(&self, field: &FieldRef) -> Result<Derived<Values>, String> {
        if is_json_text(field) {
            let name = Some("io.confluent.connect.avro.Anything".to_owned());
            return Ok(Derived { text: ANYTHING.to_owned(), name, plan: Values::Schemaless });
        }
        let field = self.named(field);
        let text = schema_text(&field, self.rules).map_err(|error| error.to_string())?;
        let schema = Schema::parse(&text)?;
        let plan = Plan::new(&schema, &field).ok_or_else(|| format!("schema {text} does not fit {field}"))?;
        let name = match &schema.kind {
            Kind::Record { name, .. } => Some(name.clone()),
            _ => None,
        };
        let plan = Values::Columns { plan, selected: None, bare: schema.kind == Kind::Bytes };
        Ok(Derived { text, name, plan })
    }

    fn under(&self, field: &FieldRef, own: &Derived<Values>, given: &RegisteredSchema, _strict: bool) -> Result<Values, String> {
        let references: Vec<&str> = given.references.iter().map(|reference| reference.text.as_str()).collect();
        let text = if references.is_empty() { given.text.clone() } else { crate::schema::avro::inline(&given.text, &references)? };
        if text == own.text || is_json_text(field) {
            return match is_json_text(field) && Schema::parse(&text).ok() != Schema::parse(ANYTHING).ok() {
                true => Err("values without a schema cannot be written under it".to_owned()),
                false => self.schema(field).map(|derived| derived.plan),
            };
        }
        let schema = Schema::parse(&text)?;
        let field = self.named(field);
        let selected = select(&schema, &field);
        let plan =
            Plan::new(&schema, selected.as_ref().unwrap_or(&field)).ok_or_else(|| format!("values of the schema {} cannot be written under it", own.text))?;
        Ok(Values::Columns { plan, selected, bare: schema.kind == Kind::Bytes })
    }
}

impl Avro {
    /// The field with names that Avro takes, where that is asked for.
    fn named(&self, field: &FieldRef) -> FieldRef {
        if self.rules.scrub { names::in_avro(field).into() } else { FieldRef::clone(field) }
    }
}

/// The field with the fields that the schema has of it, in the schema's order; none when it has all of them so. A field that the schema says is optional is.
fn select(schema: &Schema, field: &Field) -> Option<FieldRef> {
    let inner = schema.optional().map_or(schema, |(inner, _)| inner);
    let (Kind::Record { fields: wanted, .. }, DataType::Struct(fields)) = (&inner.kind, field.data_type()) else { return None };
    let selected: Option<Vec<FieldRef>> = wanted
        .iter()
        .map(|wanted| {
            let (_, own) = fields.find(&wanted.name)?;
            Some(select(&wanted.schema, own).unwrap_or_else(|| FieldRef::clone(own)))
        })
        .collect();
    let selected: Vec<FieldRef> = selected?;
    let same = selected.len() == fields.len() && selected.iter().zip(fields).all(|(selected, own)| selected == own);
    (!same).then(|| FieldRef::new(field.clone().with_data_type(DataType::Struct(selected.into()))))
}

/// How the values of a column are written.
#[derive(Debug)]
pub(super) enum Values {
    /// JSON text under the schema for values of any kind.
    Schemaless,
    /// Columns; of structs those that are selected.
    Columns { plan: Plan, selected: Option<FieldRef>, bare: bool },
}

impl registered::Plan for Values {
    fn arrange(&self, array: ArrayRef) -> Result<ArrayRef, String> {
        match self {
            Self::Columns { selected: Some(field), .. } => pick(field, &array).ok_or_else(|| unfit(&array)),
            _ => Ok(array),
        }
    }

    fn bind<'a>(&'a self, array: &'a ArrayRef) -> Result<Box<dyn Bodies + 'a>, String> {
        let bound: Option<Box<dyn Bodies + 'a>> = match self {
            Self::Schemaless => array.as_string_opt::<i32>().map(|texts| Box::new(Texts { texts, state: Anything::default() }) as Box<dyn Bodies + 'a>),
            Self::Columns { plan, bare, .. } => plan.bind(array.as_ref()).map(|rows| Box::new(Rows { rows, bare: *bare }) as Box<dyn Bodies + 'a>),
        };
        bound.ok_or_else(|| unfit(array))
    }
}

fn unfit(array: &ArrayRef) -> String {
    format!("internal: values of type {} are not those of the schema", array.data_type())
}

/// The columns of structs that the field has.
fn pick(field: &Field, array: &ArrayRef) -> Option<ArrayRef> {
    let DataType::Struct(fields) = field.data_type() else { return Some(ArrayRef::clone(array)) };
    let rows = array.as_struct_opt()?;
    let columns: Option<Vec<ArrayRef>> = fields.iter().map(|field| pick(field, rows.column_by_name(field.name())?)).collect();
    Some(std::sync::Arc::new(StructArray::try_new(fields.clone(), columns?, rows.nulls().cloned()).ok()?))
}

struct Texts<'a> {
    texts: &'a StringArray,
    state: Anything,
}

impl Bodies for Texts<'_> {
    fn put(&mut self, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        self.state.put(self.texts.value(row).as_bytes(), out)
    }
}

struct Rows<'a> {
    rows: Bound<'a>,
    bare: bool,
}

impl Bodies for Rows<'_> {
    fn put(&mut self, row: usize, out: &mut Vec<u8>) -> Result<(), String> {
        let start = out.len();
        self.rows.put(row, out).map_err(|fault| fault.to_string())?;
        if self.bare {
            // A length is seven bits a byte, the last one without the highest.
            let length = out.iter().skip(start).position(|byte| *byte < 0x80).map_or(0, |last| last + 1);
            out.drain(start..start + length);
        }
        Ok(())
    }
}
