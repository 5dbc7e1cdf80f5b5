//! Confluent's wire format, written: values behind the number that a registry has given their schema.
//!
//! A payload is the magic byte 0, that number in four bytes, big endian, and a body. What schema a column has and what its bodies are belongs to the
//! [`Language`]; [`Registered`] is the converter around it, which knows under which subjects which schemas have which numbers.
//!
//! Numbers are the caller's to ask for: [`PayloadWriter::missing`] names the subject and the schema, [`PayloadWriter::learn`] takes the answer. A schema that the
//! registry refused is asked for again with the next batch, so that whoever mends the registry need not restart the task.
//!
//! Source: `AbstractKafkaSchemaSerDe` with its three serializers, and the subject name strategies of `io.confluent.kafka.serializers.subject`.

use std::collections::BTreeMap;
use std::fmt;

use arrow::array::{Array, ArrayRef, BinaryBuilder};
use arrow::datatypes::{DataType, FieldRef};

use super::defaults;
use super::{Options, PayloadWriter, Payloads, Registration, Wanted};
use crate::column::{Column, Reject};
use crate::wire::{ConvertError, RegisteredSchema, SchemaId, SchemaKind, boolean, refuse_unread, refused};

/// Schemas that are remembered; upstream's cache is as large by default.
const MOST_SCHEMAS: usize = 1000;

/// A language of schemas with its converter's settings.
pub(super) trait Language: fmt::Debug + Send {
    /// What errors call it.
    const NAME: &'static str;
    /// What the registry calls it.
    const KIND: SchemaKind;
    /// How the values of a column are written.
    type Plan: Plan;

    /// What becomes of a null that is a whole value.
    fn null(&self, field: &FieldRef) -> Null;

    /// The schema of a column.
    ///
    /// # Errors
    /// Which part of it the language has no form for, for a person.
    fn schema(&self, field: &FieldRef) -> Result<Derived<Self::Plan>, String>;

    /// How the values of a column are written under a schema that the registry has given instead of the column's own.
    ///
    /// # Errors
    /// Why they cannot be, for a person.
    fn under(&self, field: &FieldRef, own: &Derived<Self::Plan>, given: &RegisteredSchema, strict: bool) -> Result<Self::Plan, String>;
}

/// What becomes of a null that is a whole value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Null {
    /// A record without payload.
    NoPayload,
    /// A value like any other.
    Value,
    /// A bad record.
    Refused,
}

/// A column's schema.
#[derive(Debug)]
pub(super) struct Derived<P> {
    /// Its text.
    pub(super) text: String,
    /// The full name of the record that it is, if it is one.
    pub(super) name: Option<String>,
    /// How values are written under it.
    pub(super) plan: P,
}

/// How the values of a column are written.
pub(super) trait Plan: fmt::Debug + Send {
    /// The array that [`bind`](Self::bind) takes, of the one that the column has.
    ///
    /// # Errors
    /// When the array is of another type: a defect of the caller.
    fn arrange(&self, array: ArrayRef) -> Result<ArrayRef, String> {
        Ok(array)
    }

    /// The values of one batch, ready to be written.
    ///
    /// # Errors
    /// When the array is of another type: a defect of the caller.
    fn bind<'a>(&'a self, array: &'a ArrayRef) -> Result<Box<dyn Bodies + 'a>, String>;
}

/// The values of one batch.
pub(super) trait Bodies {
    /// Appends the body of a row; what a row that fails has left there is cut off.
    ///
    /// # Errors
    /// Why the row has none.
    fn put(&mut self, row: usize, out: &mut Vec<u8>) -> Result<(), String>;
}

/// `key.subject.name.strategy`, `value.subject.name.strategy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Strategy {
    Topic,
    Record,
    TopicRecord,
}

const STRATEGIES: [(&str, Strategy); 3] =
    [("TopicNameStrategy", Strategy::Topic), ("RecordNameStrategy", Strategy::Record), ("TopicRecordNameStrategy", Strategy::TopicRecord)];

const PACKAGE: &str = "io.confluent.kafka.serializers.subject.";

/// The settings that the three languages have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Common {
    is_key: bool,
    strategy: Strategy,
    /// Values are checked against a schema that the registry has given instead of theirs.
    strict: bool,
    /// `ignore.default.for.nullables`: a null stays one where the schema has a default.
    keeps_nulls: bool,
}

impl Common {
    pub(super) fn new(options: &Options) -> Result<Self, ConvertError> {
        refuse_unread(options)?;
        let is_key = options.get("converter.type").is_some_and(|kind| kind == "key");
        let key = strategy_key(is_key);
        let strategy = match options.get(key).map(|class| class.trim()).filter(|class| !class.is_empty()) {
            None => Strategy::Topic,
            Some(class) => match STRATEGIES.iter().find(|(name, _)| class.strip_prefix(PACKAGE) == Some(*name)) {
                Some((_, strategy)) => *strategy,
                None => {
                    let known = STRATEGIES.map(|(name, _)| format!("{PACKAGE}{name}")).join(", ");
                    return Err(refused(key, format!("Class {class} could not be found; available: {known}")));
                }
            },
        };
        let strict = match options.get("use.schema.id") {
            Some(id) if !id.trim().starts_with('-') => boolean(options, "id.compatibility.strict", true)?,
            _ => boolean(options, "latest.compatibility.strict", true)?,
        };
        Ok(Self { is_key, strategy, strict, keeps_nulls: boolean(options, "ignore.default.for.nullables", false)? })
    }

    fn subject(&self, topic: &str, record: Option<&str>) -> Result<String, String> {
        let side = if self.is_key { "key" } else { "value" };
        match (self.strategy, record) {
            (Strategy::Topic, _) => Ok(format!("{topic}-{side}")),
            (Strategy::Record, Some(record)) => Ok(record.to_owned()),
            (Strategy::TopicRecord, Some(record)) => Ok(format!("{topic}-{record}")),
            (strategy, None) => {
                let name = STRATEGIES.iter().find(|(_, known)| *known == strategy).map_or("", |(name, _)| name);
                Err(format!("In configuration {} = {PACKAGE}{name}, the message {side} must only be a record schema", strategy_key(self.is_key)))
            }
        }
    }
}

fn strategy_key(is_key: bool) -> &'static str {
    if is_key { "key.subject.name.strategy" } else { "value.subject.name.strategy" }
}

/// The converter of a language.
#[derive(Debug)]
pub(super) struct Registered<L: Language> {
    common: Common,
    language: L,
    /// The one used last is at the end.
    known: Vec<Known<L::Plan>>,
}

/// What is known of the columns that have one field.
#[derive(Debug)]
struct Known<P> {
    field: FieldRef,
    /// Something in the field has a default that stands for null.
    has_defaults: bool,
    /// Its schema, or why it has none.
    derived: Result<Derived<P>, String>,
    /// The schema's number in each subject, or why it has none there.
    subjects: BTreeMap<String, Result<Ready<P>, String>>,
}

#[derive(Debug)]
struct Ready<P> {
    id: SchemaId,
    /// How values are written, where the number is another schema's.
    plan: Option<P>,
}

impl<L: Language> Registered<L> {
    pub(super) fn new(common: Common, language: L) -> Self {
        Self { common, language, known: Vec::new() }
    }

    /// What is known of that field; it is found out where nothing is.
    fn known(&mut self, field: &FieldRef) -> Option<&mut Known<L::Plan>> {
        let same = |known: &Known<L::Plan>| FieldRef::ptr_eq(&known.field, field) || known.field == *field;
        if !self.known.last().is_some_and(same) {
            match self.known.iter().position(same) {
                Some(at) => {
                    let found = self.known.remove(at);
                    self.known.push(found);
                }
                None => {
                    if self.known.len() >= MOST_SCHEMAS {
                        self.known.remove(0);
                    }
                    let has_defaults = !self.common.keeps_nulls && defaults::is_within(field);
                    let derived = self.language.schema(field);
                    self.known.push(Known { field: FieldRef::clone(field), has_defaults, derived, subjects: BTreeMap::new() });
                }
            }
        }
        self.known.last_mut()
    }

    fn writes_nothing(&self, column: &Column) -> bool {
        let is_null = column.field.data_type() == &DataType::Null || column.array.null_count() == column.len();
        is_null && (column.field.data_type() == &DataType::Null || self.language.null(&column.field) != Null::Value)
    }

    fn fill(&mut self, topic: &str, column: &Column) -> Result<Payloads, String> {
        let null = self.language.null(&column.field);
        let common = self.common;
        let Some(known) = self.known(&column.field) else { return Err("nothing is known of the column".to_owned()) };
        let Known { derived, subjects, has_defaults, .. } = known;
        let derived = derived.as_ref().map_err(Clone::clone)?;
        let subject = common.subject(topic, derived.name.as_deref())?;
        let ready = match subjects.get(&subject) {
            Some(ready) => ready.as_ref().map_err(Clone::clone)?,
            None => return Err(format!("the registry was not asked for the schema's id in subject \"{subject}\"")),
        };
        let array = if *has_defaults { defaults::filled(&column.field, &column.array) } else { ArrayRef::clone(&column.array) };
        let plan = ready.plan.as_ref().unwrap_or(&derived.plan);
        let array = plan.arrange(array)?;
        let mut bodies = plan.bind(&array)?;
        let mut frame = vec![0];
        frame.extend_from_slice(&ready.id.to_be_bytes());
        let (mut payloads, mut rejects, mut payload) = (BinaryBuilder::new(), Vec::new(), Vec::new());
        for row in 0..column.len() {
            // The rows are bytes of different lengths: there is no kernel for them.
            if array.is_null(row) && null != Null::Value {
                payloads.append_null();
                if null == Null::Refused {
                    rejects.push(Reject { row, reason: "null value for a schema that is not optional".to_owned() });
                }
                continue;
            }
            payload.clear();
            payload.extend_from_slice(&frame);
            match bodies.put(row, &mut payload) {
                Ok(()) => payloads.append_value(&payload),
                Err(reason) => {
                    payloads.append_null();
                    rejects.push(Reject { row, reason });
                }
            }
        }
        Ok(Payloads { payloads: payloads.finish(), rejects })
    }
}

impl<L: Language> PayloadWriter for Registered<L> {
    fn missing(&mut self, topic: &str, column: &Column) -> Option<Wanted> {
        if self.writes_nothing(column) {
            return None;
        }
        let common = self.common;
        let known = self.known(&column.field)?;
        let derived = known.derived.as_ref().ok()?;
        let subject = common.subject(topic, derived.name.as_deref()).ok()?;
        match known.subjects.get(&subject) {
            Some(Ok(_)) => None,
            _ => Some(Wanted { subject, kind: L::KIND, text: derived.text.clone() }),
        }
    }

    fn learn(&mut self, wanted: &Wanted, answer: Result<&Registration, &str>) {
        let Self { common, language, known } = self;
        for Known { field, derived, subjects, .. } in known {
            let Ok(own) = derived else { continue };
            if own.text != wanted.text {
                continue;
            }
            let ready = answer.map_err(str::to_owned).and_then(|registration| {
                let under = |given: &RegisteredSchema| match given.kind == L::KIND {
                    true => language.under(field, own, given, common.strict),
                    false => Err(format!("it is of type \"{}\", not {}: use the converter for that type", given.kind.name(), L::KIND.name())),
                };
                let plan = registration.schema.as_ref().map(under).transpose();
                let plan = plan.map_err(|what| format!("{} schema id \"{}\" of subject \"{}\": {what}", L::NAME, registration.id, wanted.subject))?;
                Ok(Ready { id: registration.id, plan })
            });
            subjects.insert(wanted.subject.clone(), ready);
        }
    }

    fn write_to(&mut self, topic: &str, column: &Column) -> Payloads {
        if column.field.data_type() == &DataType::Null || self.writes_nothing(column) && self.language.null(&column.field) == Null::NoPayload {
            return Payloads { payloads: arrow::array::BinaryArray::new_null(column.len()), rejects: Vec::new() };
        }
        self.fill(topic, column).unwrap_or_else(|reason| Payloads::none(column.len(), &reason))
    }

    fn write(&mut self, column: &Column) -> Payloads {
        self.write_to("", column)
    }
}

#[cfg(test)]
mod laws;

#[cfg(test)]
mod tests;
