//! Rows of JSON under one schema → one column.
//!
//! [`Decoder`] holds the columns and rolls a row back that does not fit; [`Inferred`] owns a decoder whose schema it widens when rows ask for it.
//!
//! Guarantee: every row becomes a value, a null, or a null with a reject; a rejected row leaves no trace in its neighbours.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use arrow::error::ArrowError;

use super::column::{Make, Node};
use super::fault::{Fault, Unfit};
use super::infer::infer_row;
use super::scan::{Cursor, validate};
use super::text::without_duplicates;
use super::value::{Entries, Rules};
use crate::column::{Column, Reject};
use crate::schema;
use crate::schema::widen::{TOO_MANY_COLUMNS, has_too_many_columns};

/// One row of a batch: its JSON text, or none for a null.
pub(super) type Row<'a> = Option<&'a [u8]>;

/// Columns under one schema.
#[derive(Debug)]
pub(super) struct Decoder {
    root: Node,
    rules: Rules,
    /// True when the text `null` is a null row whatever the schema says.
    null_rows: bool,
}

impl Decoder {
    /// For a schema that was declared, in the configuration or beside the payload. `defaults`: nulls become the schema's defaults.
    ///
    /// # Errors
    /// When the schema has a type that JSON does not reach, or a default that is no value of its type.
    pub(super) fn declared(field: &FieldRef, defaults: bool, null_rows: bool) -> Result<Self, String> {
        Self::checked(field, Make { defaults, unions: false }, Rules { inferred: false, entries: Entries::Pairs }, null_rows)
    }

    /// For what a JSON Schema declares: unions take one of their members, and the entries of maps are objects where their keys are no strings.
    ///
    /// # Errors
    /// As [`declared`](Self::declared).
    pub(super) fn json_schema(field: &FieldRef) -> Result<Self, String> {
        Self::checked(field, Make { defaults: true, unions: true }, Rules { inferred: false, entries: Entries::Objects }, false)
    }

    fn checked(field: &FieldRef, make: Make, rules: Rules, null_rows: bool) -> Result<Self, String> {
        let mut decoder = Self { root: Node::new(field, make)?, rules, null_rows };
        decoder.check_defaults(field, make.unions)?;
        Ok(decoder)
    }

    /// For a struct that was inferred.
    fn inferred(field: &FieldRef) -> Result<Self, String> {
        let root = Node::new(field, Make { defaults: false, unions: false })?;
        Ok(Self { root, rules: Rules { inferred: true, entries: Entries::Pairs }, null_rows: true })
    }

    pub(super) fn field(&self) -> &FieldRef {
        &self.root.field
    }

    /// Reads every default once, so that a schema fails and not its rows.
    fn check_defaults(&mut self, field: &FieldRef, unions: bool) -> Result<(), String> {
        let check = |field: &FieldRef| match field.metadata().get(schema::DEFAULT) {
            None => Ok(()),
            Some(default) => {
                let mut node = Node::new(field, Make { defaults: true, unions })?;
                let mut cursor = Cursor::new(default.as_bytes());
                let read = node.decode(&mut cursor, self.rules).and_then(|()| Ok(cursor.end()?));
                read.map_err(|fault| format!("field \"{}\": the default is not of its type: {}", field.name(), reason(&fault, default.as_bytes())))
            }
        };
        let mut fields = vec![Arc::clone(field)];
        while let Some(field) = fields.pop() {
            check(&field)?;
            match field.data_type() {
                DataType::Struct(children) => fields.extend(children.iter().map(Arc::clone)),
                DataType::List(child) | DataType::Map(child, _) => fields.push(Arc::clone(child)),
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn push_null(&mut self) {
        self.root.append_null();
    }

    /// Adds a row, whose bytes are UTF-8, or leaves the columns as they were.
    #[inline]
    pub(super) fn push(&mut self, row: &[u8]) -> Result<(), Fault> {
        match self.try_push(row) {
            Ok(()) => Ok(()),
            Err(Fault::Syntax(syntax)) => Err(Fault::Syntax(syntax)),
            Err(fault) => self.push_again(row, fault),
        }
    }

    /// A value that does not fit may be one that does not count, because its key comes again.
    #[inline(never)]
    fn push_again(&mut self, row: &[u8], fault: Fault) -> Result<(), Fault> {
        match without_duplicates(row)? {
            Cow::Borrowed(_) => Err(fault),
            Cow::Owned(row) => self.try_push(&row),
        }
    }

    #[inline]
    fn try_push(&mut self, row: &[u8]) -> Result<(), Fault> {
        let len = self.root.len();
        let mut cursor = Cursor::new(row);
        cursor.skip_whitespace();
        let result = if self.null_rows && cursor.peek() == Some(b'n') {
            self.root.append_null();
            cursor.literal(b"null").map_err(Fault::Syntax)
        } else {
            self.root.decode(&mut cursor, self.rules)
        };
        let result = result.and_then(|()| Ok(cursor.end()?));
        if result.is_err() {
            self.root.truncate(len);
        }
        result
    }

    /// The rows so far; none are left.
    pub(super) fn finish(&mut self) -> Result<ArrayRef, ArrowError> {
        self.root.finish()
    }

    /// Decodes rows whose number in the batch begins at `first`.
    pub(super) fn decode<'a>(&mut self, rows: impl Iterator<Item = Row<'a>>, first: usize, rejects: &mut Vec<Reject>) -> Result<Column, ArrowError> {
        for (index, row) in rows.enumerate() {
            let Some(row) = row else {
                self.push_null();
                continue;
            };
            if let Err(fault) = self.push(row) {
                self.push_null();
                rejects.push(Reject { row: first + index, reason: reason(&fault, row) });
            }
        }
        Ok(Column::new(Arc::clone(self.field()), self.finish()?))
    }
}

/// A fault in words.
pub(super) fn reason(fault: &Fault, row: &[u8]) -> String {
    match fault {
        // The whole text is asked, because what was read of it began somewhere in the middle of the grammar.
        Fault::Syntax(syntax) => validate(row).err().unwrap_or(*syntax).to_string(),
        Fault::Unfit(unfit) => unfit.to_string(),
        Fault::Duplicate => "malformed json: a key comes twice in one object".to_owned(),
        Fault::Unknown => "a key is not part of the schema".to_owned(),
    }
}

/// The schema that the records of one topic have shown so far, and its columns.
#[derive(Debug)]
pub(super) struct Inferred {
    /// What all rows so far have in common.
    held: FieldRef,
    /// Columns under it, or under what it was before the rows at hand.
    decoder: Decoder,
}

/// What came of a row that did not fit.
enum Settled {
    /// The schema took it in: decode again.
    Wider,
    /// It fits no widening.
    Reject(String),
}

impl Inferred {
    /// Nothing is known yet.
    pub(super) fn new(name: &str) -> Result<Self, String> {
        let nothing = DataType::Struct(Fields::empty());
        let field = Field::new(name, nothing, true).with_metadata([(schema::INFERRED, "true")]);
        let held = Arc::new(field);
        Ok(Self { decoder: Decoder::inferred(&held)?, held })
    }

    /// Decodes rows whose number in the batch begins at `first`, all under the schema that suits them.
    pub(super) fn decode(&mut self, rows: &[Row<'_>], first: usize, rejects: &mut Vec<Reject>) -> Result<Column, ArrowError> {
        let settled = rejects.len();
        let mut look_ahead = 64;
        'again: loop {
            rejects.truncate(settled);
            if !Arc::ptr_eq(self.decoder.field(), &self.held) {
                self.decoder = Decoder::inferred(&self.held).map_err(ArrowError::SchemaError)?;
            }
            for (index, row) in rows.iter().enumerate() {
                let Some(row) = row else {
                    self.decoder.push_null();
                    continue;
                };
                let Err(fault) = self.decoder.push(row) else { continue };
                match self.settle(row, fault) {
                    Settled::Reject(reason) => {
                        self.decoder.push_null();
                        rejects.push(Reject { row: first + index, reason });
                    }
                    Settled::Wider => {
                        for later in rows.iter().skip(index + 1).take(look_ahead).flatten() {
                            self.settle(later, Fault::Unknown);
                        }
                        look_ahead *= 2; // so that a batch is begun again a few times at most
                        continue 'again;
                    }
                }
            }
            return Ok(Column::new(Arc::clone(self.decoder.field()), self.decoder.finish()?));
        }
    }

    /// Widens the schema to take the row, or says why it cannot. The columns are under the old schema still.
    fn settle(&mut self, row: &[u8], fault: Fault) -> Settled {
        let reject = |fault: &Fault| Settled::Reject(reason(fault, row));
        if let Fault::Syntax(_) = fault {
            return reject(&fault);
        }
        let text = match without_duplicates(row) {
            Ok(text) => text,
            Err(syntax) => return reject(&Fault::Syntax(syntax)),
        };
        let comes = match infer_row(&text) {
            Ok(data_type) => Field::new(self.held.name(), data_type, true),
            Err(fault) => return reject(&fault),
        };
        let wider = match (schema::merge(&self.held, &comes), fault) {
            (Ok(wider), _) if &wider != self.held.as_ref() => wider,
            (_, fault @ Fault::Unfit(_)) => return reject(&fault),
            (Err(conflict), _) => {
                let reason = format!("is {}, but the records before it have {}", conflict.comes, conflict.held);
                return Settled::Reject(Unfit::new(b"", reason).at(&conflict.path).to_string());
            }
            (Ok(_), fault) => return reject(&fault),
        };
        if has_too_many_columns(wider.data_type()) {
            return Settled::Reject(TOO_MANY_COLUMNS.to_owned());
        }
        self.held = Arc::new(wider);
        Settled::Wider
    }
}
