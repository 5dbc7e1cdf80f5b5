//! Envelopes, `{"schema":…,"payload":…}`: which schema a row is under, and where its payload is.
//!
//! A topic's rows carry the same schema text again and again, before a payload that differs. So the bytes of the last schema are compared with
//! the row's first, and only a text that was never seen is parsed. Rows in any other arrangement (spaces, the payload first) are read in full.
//!
//! Source: `org.apache.kafka.connect.json.JsonConverter#toConnectData`.
//!
//! Guarantee: the quick way never decides about a row that fails; the caller asks again with [`Reading::Full`].

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::FieldRef;

use super::decode::Decoder;
use super::fault::Fault;
use super::scan::{Cursor, Syntax, validate};
use super::text::{LoneSurrogate, key};
use crate::schema::from_connect_json;

/// Schema texts that are kept between batches.
const KEPT: usize = 64;

/// How a row is taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// By its first bytes, where they are the usual ones; what follows the payload is left to whoever decodes the payload.
    Quick,
    /// All of it.
    Full,
}

/// What decodes a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// The envelope's schema is null.
    Schemaless,
    /// The decoder of that number.
    Declared(usize),
}

/// The schemas of one topic that were parsed.
#[derive(Debug)]
pub(super) struct Schemas {
    name: &'static str,
    defaults: bool,
    /// Lane or refusal, by the schema's text.
    lanes: HashMap<Arc<[u8]>, Result<Lane, Arc<str>>>,
    decoders: Vec<Decoder>,
    /// The text of the last row, and its lane.
    last: Option<(Arc<[u8]>, Lane)>,
}

impl Schemas {
    /// Columns are to have that name.
    pub(super) fn new(name: &'static str, defaults: bool) -> Self {
        Self { name, defaults, lanes: HashMap::new(), decoders: Vec::new(), last: None }
    }

    pub(super) fn decoder(&mut self, number: usize) -> Option<&mut Decoder> {
        self.decoders.get_mut(number)
    }

    /// The lane that rows took last.
    pub(super) fn last(&self) -> Option<Lane> {
        self.last.as_ref().map(|(_, lane)| *lane)
    }

    /// Between batches: forgets all schemas when there are too many.
    pub(super) fn trim(&mut self) {
        if self.lanes.len() > KEPT {
            *self = Self::new(self.name, self.defaults);
        }
    }

    /// The lane and the payload of a row. The payload's bytes are found to be UTF-8; those of a schema that was met before need no second look.
    ///
    /// # Errors
    /// The reason to reject it.
    pub(super) fn split<'a>(&mut self, row: &'a [u8], reading: Reading) -> Result<(Lane, &'a [u8]), String> {
        if reading == Reading::Quick
            && let Some((text, lane)) = &self.last
            && let Some(payload) = usual(row, text)
            && std::str::from_utf8(payload).is_ok()
        {
            return Ok((*lane, payload));
        }
        let (schema, payload) = members(row)?;
        Ok((self.lane(schema)?, payload))
    }

    fn lane(&mut self, text: &[u8]) -> Result<Lane, String> {
        let (text, lane) = match self.lanes.get_key_value(text) {
            Some((text, lane)) => (Arc::clone(text), lane.clone()),
            None => {
                let (text, lane) = (Arc::from(text), self.parse(text).map_err(Arc::from));
                self.lanes.insert(Arc::clone(&text), lane.clone());
                (text, lane)
            }
        };
        let lane = lane.map_err(|reason| reason.to_string())?;
        self.last = Some((text, lane));
        Ok(lane)
    }

    fn parse(&mut self, text: &[u8]) -> Result<Lane, String> {
        if text == b"null" {
            return Ok(Lane::Schemaless);
        }
        let field = from_connect_json(self.name, text).map_err(|e| format!("the envelope's schema cannot be used: {e}"))?;
        if let Some(number) = self.decoders.iter().position(|decoder| decoder.field().as_ref() == &field) {
            return Ok(Lane::Declared(number));
        }
        let field: FieldRef = Arc::new(field);
        let decoder = Decoder::declared(&field, self.defaults, false).map_err(|e| format!("the envelope's schema cannot be used: {e}"))?;
        self.decoders.push(decoder);
        Ok(Lane::Declared(self.decoders.len() - 1))
    }
}

/// The payload of a row that begins as rows usually do, with the schema of the last one.
fn usual<'a>(row: &'a [u8], schema: &[u8]) -> Option<&'a [u8]> {
    let rest = row.strip_prefix(b"{\"schema\":")?.strip_prefix(schema)?;
    rest.strip_prefix(b",\"payload\":")?.trim_ascii_end().strip_suffix(b"}")
}

/// The texts of the two members.
fn members(row: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let (schema, payload) = match read_members(row) {
        Ok(members) => members,
        Err(Fault::Syntax(syntax)) => return Err(syntax.to_string()),
        Err(_) => (None, None),
    };
    schema.zip(payload).ok_or_else(|| {
        "JsonConverter with schemas.enable requires \"schema\" and \"payload\" fields and may not contain additional fields. \
         If you are trying to deserialize plain JSON data, set schemas.enable=false in your converter configuration."
            .to_owned()
    })
}

type Members<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

fn read_members(row: &[u8]) -> Result<Members<'_>, Fault> {
    validate(row)?;
    let mut cursor = Cursor::new(row);
    cursor.skip_whitespace();
    let (mut schema, mut payload) = (None, None);
    if !cursor.eat(b'{') {
        return Ok((None, None));
    }
    cursor.skip_whitespace();
    let mut more = !cursor.eat(b'}');
    while more {
        let name = cursor.key()?;
        let value = value(&mut cursor)?;
        match key(name).map_err(|LoneSurrogate| Fault::Unknown)?.as_ref() {
            b"schema" => schema = Some(value),
            b"payload" => payload = Some(value),
            _ => return Err(Fault::Unknown),
        }
        more = cursor.next_key()?;
    }
    Ok((schema, payload))
}

fn value<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], Syntax> {
    let start = cursor.at();
    cursor.skip_value()?;
    Ok(cursor.since(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INT: &[u8] = br#"{"type":"int64","optional":true}"#;

    #[test]
    fn an_envelope_has_exactly_two_members_in_any_arrangement() {
        let mut schemas = Schemas::new("value", true);
        for (row, expected) in [
            (r#"{"schema":{"type":"int64"},"payload":1}"#, Some((Lane::Declared(0), "1"))),
            (r#"{"schema":{"type":"int64"},"payload":2}"#, Some((Lane::Declared(0), "2"))),
            (r#" { "payload" : [1] , "schema" : { "type" : "int64" } } "#, Some((Lane::Declared(0), "[1]"))),
            (r#"{"schema":null,"payload":{"a":1}}"#, Some((Lane::Schemaless, "{\"a\":1}"))),
            (r#"{"schema":{"type":"int64"},"schema":{"type":"int32"},"payload":1}"#, Some((Lane::Declared(1), "1"))),
            (r#"{"\u0073chema":{"type":"int32"},"payload":1}"#, Some((Lane::Declared(1), "1"))),
            (r#"{"schema":{"type":"int64"}}"#, None),
            (r#"{"payload":1}"#, None),
            (r#"{"schema":null,"payload":1,"extra":2}"#, None),
            (r#"{"a":1}"#, None),
            ("7", None),
            ("null", None),
            ("", None),
        ] {
            let split = schemas.split(row.as_bytes(), Reading::Full).ok();
            assert_eq!(split, expected.map(|(lane, payload)| (lane, payload.as_bytes())), "{row}");
        }
    }

    #[test]
    fn a_schema_text_is_parsed_once_and_compared_from_then_on() {
        let mut schemas = Schemas::new("value", true);
        let row = [b"{\"schema\":", INT, b",\"payload\":", b"1}"].concat();
        schemas.split(&row, Reading::Quick).expect("an envelope");
        // The quick way does not look into the payload: this is for the decoder to find out.
        let bad = [b"{\"schema\":", INT, b",\"payload\":", b"1,\"x\":2}\n"].concat();
        assert_eq!(schemas.split(&bad, Reading::Quick), Ok((Lane::Declared(0), &b"1,\"x\":2"[..])));
        assert!(schemas.split(&bad, Reading::Full).is_err());
        assert_eq!((schemas.lanes.len(), schemas.decoders.len()), (1, 1));
    }

    #[test]
    fn a_schema_that_cannot_be_used_rejects_its_rows() {
        let mut schemas = Schemas::new("value", true);
        let reason = schemas.split(br#"{"schema":{"type":"text"},"payload":1}"#, Reading::Quick).expect_err("no such type");
        assert!(reason.starts_with("the envelope's schema cannot be used: Unknown schema type: text"), "{reason}");
    }
}
