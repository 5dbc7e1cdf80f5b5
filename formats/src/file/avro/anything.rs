//! JSON without a schema → rows of Confluent's record for values of any kind.
//!
//! Source: `AvroData.ANYTHING_SCHEMA` and `fromConnectData` without a schema. `io.confluent.connect.avro.Anything` has an optional field for each kind of
//! value, of which one is set; none is set for null within a value. An array is an array of `Anything`, an object an array of entries whose keys are
//! `Anything` too, in the order of the text. Of an object's members of one name the last counts.
//!
//! Guarantee: a row is written in one pass over its text, and nothing is allocated for it.

use std::ops::Range;

use super::rows::put_long;
use crate::wire::json::{Events, Quoted, last_members, read};

/// The schema of such rows.
pub(crate) const SCHEMA: &str = concat!(
    r#"{"type":"record","name":"Anything","namespace":"io.confluent.connect.avro","fields":["#,
    r#"{"name":"boolean","type":["null","boolean"],"default":null},{"name":"bytes","type":["null","bytes"],"default":null},"#,
    r#"{"name":"double","type":["null","double"],"default":null},{"name":"float","type":["null","float"],"default":null},"#,
    r#"{"name":"int","type":["null","int"],"default":null},{"name":"long","type":["null","long"],"default":null},"#,
    r#"{"name":"string","type":["null","string"],"default":null},"#,
    r#"{"name":"array","type":["null",{"type":"array","items":"Anything"}],"default":null},"#,
    r#"{"name":"map","type":["null",{"type":"array","items":{"type":"record","name":"MapEntry","fields":["#,
    r#"{"name":"key","type":"Anything"},{"name":"value","type":"Anything"}]}}],"default":null}]}"#
);

/// Fields of the record.
const FIELDS: usize = 9;

// Their numbers.
const BOOLEAN: usize = 0;
const DOUBLE: usize = 2;
const LONG: usize = 5;
const STRING: usize = 6;
const ARRAY: usize = 7;
const MAP: usize = 8;

/// What is kept from row to row, so that it is allocated once.
#[derive(Debug, Default)]
pub(crate) struct Anything {
    open: Vec<Open>,
    /// Hashes of the keys of the objects that are open, the innermost last.
    keys: Vec<u64>,
}

/// An array or object that has not ended.
#[derive(Debug)]
struct Open {
    /// Where the number of its items goes.
    at: usize,
    items: i64,
    /// Its first key.
    keys: usize,
    object: bool,
}

impl Anything {
    /// Writes one row.
    ///
    /// # Errors
    /// What is wrong with the text; nothing of it is written then.
    pub(crate) fn put(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        let start = out.len();
        if self.pass(text, out, start)? {
            out.truncate(start);
            self.pass(&last_members(text)?, out, start)?;
        }
        Ok(())
    }

    /// Writes the text as it is; true when an object in it may have a key twice.
    fn pass(&mut self, text: &[u8], out: &mut Vec<u8>, start: usize) -> Result<bool, String> {
        self.open.clear();
        self.keys.clear();
        let mut writer = Writer { state: self, out, repeated: false };
        let read = read(text, &mut writer);
        let repeated = writer.repeated;
        if read.is_err() {
            out.truncate(start);
        }
        read.map(|()| repeated)
    }
}

/// Writes the events of one text.
struct Writer<'a> {
    state: &'a mut Anything,
    out: &'a mut Vec<u8>,
    repeated: bool,
}

impl Writer<'_> {
    /// Begins a value of that field: the fields before it are null.
    fn begin(&mut self, field: usize) {
        if let Some(open) = self.state.open.last_mut().filter(|open| !open.object) {
            open.items += 1;
        }
        self.nulls(field);
        self.out.push(2);
    }

    /// Ends it: the fields after it are null.
    fn end(&mut self, field: usize) {
        self.nulls(FIELDS - 1 - field);
    }

    fn nulls(&mut self, count: usize) {
        self.out.extend_from_slice([0; FIELDS].get(..count).unwrap_or_default());
    }

    /// A string's length and text; where the text stands.
    fn text(&mut self, text: Quoted<'_>) -> Range<usize> {
        let at = self.out.len();
        self.out.push(0);
        text.push_to(self.out);
        let length = self.out.len() - at - 1;
        let start = at + self.prefix(at, i64::try_from(length).unwrap_or(i64::MAX));
        start..start + length
    }

    /// Puts a number in the place of the byte at `at`, where what it counts follows already, and returns how many bytes it takes.
    fn prefix(&mut self, at: usize, number: i64) -> usize {
        // Written at the end, then turned to where it belongs: numbers below 64, which most are, are one byte and only change it.
        let end = self.out.len();
        put_long(number, self.out);
        let length = self.out.len() - end;
        if length == 1 {
            self.out.swap_remove(at);
        } else if let Some(behind) = self.out.get_mut(at + 1..) {
            behind.rotate_right(length);
            self.out.remove(at);
        }
        length
    }
}

impl Events for Writer<'_> {
    fn null(&mut self) {
        if let Some(open) = self.state.open.last_mut().filter(|open| !open.object) {
            open.items += 1;
        }
        self.nulls(FIELDS);
    }

    fn boolean(&mut self, value: bool) {
        self.begin(BOOLEAN);
        self.out.push(u8::from(value));
        self.end(BOOLEAN);
    }

    fn integer(&mut self, value: i64) {
        self.begin(LONG);
        put_long(value, self.out);
        self.end(LONG);
    }

    fn double(&mut self, value: f64) {
        self.begin(DOUBLE);
        self.out.extend_from_slice(&value.to_le_bytes());
        self.end(DOUBLE);
    }

    fn string(&mut self, text: Quoted<'_>) {
        self.begin(STRING);
        self.text(text);
        self.end(STRING);
    }

    fn key(&mut self, name: Quoted<'_>) {
        if let Some(open) = self.state.open.last_mut() {
            open.items += 1;
        }
        self.nulls(STRING);
        self.out.push(2);
        let place = self.text(name);
        self.state.keys.push(hash(self.out.get(place).unwrap_or_default()));
        self.end(STRING);
    }

    fn open(&mut self, object: bool) {
        self.begin(if object { MAP } else { ARRAY });
        self.state.open.push(Open { at: self.out.len(), items: 0, keys: self.state.keys.len(), object });
        self.out.push(0);
    }

    fn close(&mut self, object: bool) {
        let Some(Open { at, items, keys, .. }) = self.state.open.pop() else { return };
        if items > 0 {
            self.prefix(at, items);
            self.out.push(0);
        }
        self.end(if object { MAP } else { ARRAY });
        if let Some(own) = self.state.keys.get_mut(keys..) {
            own.sort_unstable();
            self.repeated |= own.windows(2).any(|pair| pair[0] == pair[1]);
        }
        self.state.keys.truncate(keys);
    }
}

/// FNV-1a.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
