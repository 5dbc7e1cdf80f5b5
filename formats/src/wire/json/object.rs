//! A JSON object → the children of a struct.
//!
//! Records of one topic name their fields in one order, nearly always. So each field remembers which one came after it last time; that
//! one's quoted name is compared with the text first (one 16-byte comparison for most names), and only a wrong guess reads the key and looks
//! it up. Keys that the schema lacks are remembered in the same way, so that skipping them costs no search either.
//!
//! Guarantee: a key means the same field however it is escaped or spaced; a key that repeats is reported, never stored twice.

use std::collections::HashMap;

use arrow::datatypes::Fields;

use super::column::{Make, Node};
use super::fault::Fault;
use super::infer;
use super::scan::{Cursor, Wrong};
use super::text::{LoneSurrogate, key};
use super::value::Rules;

/// Keys outside the schema that are remembered per struct; more are looked up in vain each time.
const REMEMBERED: usize = 256;

/// The fields of a struct, in schema order, and what was learned of the order in which they come.
#[derive(Debug)]
pub(super) struct Members {
    /// The schema's fields, then remembered keys that are none.
    slots: Vec<Slot>,
    /// Number of the schema's fields.
    fields: usize,
    /// Slot by name.
    places: HashMap<Box<[u8]>, usize>,
    /// The slot that begins an object.
    first: usize,
    /// Number of the object, to tell its fields from those of the last one.
    object: u64,
}

#[derive(Debug)]
struct Slot {
    /// `"name":`, or empty where the name does not stand for itself in JSON.
    quoted: Box<[u8]>,
    /// The first 16 bytes of it, and ones where there are any.
    head: u128,
    mask: u128,
    /// The slot that followed last time.
    next: usize,
    /// The last object that had it.
    seen: u64,
    /// The child; none for a key that the schema lacks.
    node: Option<Node>,
}

impl Slot {
    fn new(name: &[u8], node: Option<Node>, next: usize) -> Self {
        let plain = super::scan::plain(name) == name.len();
        let quoted: Box<[u8]> = if plain { [b"\"", name, b"\":"].concat().into() } else { Box::default() };
        let mut head = [0; 16];
        let mut mask = [0; 16];
        for ((head, mask), byte) in head.iter_mut().zip(&mut mask).zip(&quoted) {
            (*head, *mask) = (*byte, 0xff);
        }
        Self { quoted, head: u128::from_le_bytes(head), mask: u128::from_le_bytes(mask), next, seen: 0, node }
    }

    #[inline]
    fn begins(&self, text: &[u8]) -> bool {
        match text.first_chunk::<16>() {
            Some(head) if self.quoted.len() <= 16 => (u128::from_le_bytes(*head) ^ self.head) & self.mask == 0 && self.mask != 0,
            _ => !self.quoted.is_empty() && text.starts_with(&self.quoted),
        }
    }
}

impl Members {
    pub(super) fn new(fields: &Fields, make: Make) -> Result<Self, String> {
        let mut slots = Vec::with_capacity(fields.len());
        let mut places = HashMap::with_capacity(fields.len());
        for (index, field) in fields.iter().enumerate() {
            slots.push(Slot::new(field.name().as_bytes(), Some(Node::new(field, make)?), index + 1));
            places.insert(field.name().as_bytes().into(), index);
        }
        Ok(Self { fields: slots.len(), slots, places, first: 0, object: 0 })
    }

    /// The columns, in schema order.
    pub(super) fn children_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        self.slots.iter_mut().filter_map(|slot| slot.node.as_mut())
    }

    /// The column of that name.
    pub(super) fn child(&self, name: &[u8]) -> Option<&Node> {
        self.places.get(name).and_then(|place| self.slots.get(*place)).and_then(|slot| slot.node.as_ref())
    }

    /// Adds one value to every child, from the object whose opening brace was eaten.
    pub(super) fn decode(&mut self, cursor: &mut Cursor<'_>, rules: Rules) -> Result<(), Fault> {
        cursor.open()?;
        cursor.skip_whitespace();
        self.object += 1;
        let mut found = 0;
        let mut previous = None;
        let mut more = !cursor.eat(b'}');
        while more {
            let guess = previous.map_or(self.first, |slot: usize| self.slots.get(slot).map_or(0, |s| s.next));
            let place = match self.slots.get(guess) {
                Some(slot) if slot.begins(cursor.rest()) => {
                    cursor.advance(slot.quoted.len());
                    cursor.skip_whitespace();
                    Some(guess)
                }
                _ => {
                    let place = self.find(cursor)?;
                    if let Some(place) = place {
                        match previous.and_then(|slot| self.slots.get_mut(slot)) {
                            Some(slot) => slot.next = place,
                            None => self.first = place,
                        }
                    }
                    place
                }
            };
            match place.and_then(|place| self.slots.get_mut(place)) {
                Some(Slot { node: Some(node), seen, .. }) => {
                    if *seen == self.object {
                        return Err(Fault::Duplicate);
                    }
                    *seen = self.object;
                    found += 1;
                    if let Err(fault) = node.decode(cursor, rules) {
                        return Err(fault.within(|| node.field.name().clone()));
                    }
                    previous = place;
                }
                other => {
                    if other.is_some() {
                        previous = place;
                    }
                    skip_unknown(cursor, rules)?;
                }
            }
            more = cursor.next_key()?;
        }
        cursor.depth -= 1;
        if found == self.fields { Ok(()) } else { self.fill(rules) }
    }

    /// Reads a key and finds its slot; a key that the schema lacks gets one, unless there are too many.
    #[inline(never)]
    fn find(&mut self, cursor: &mut Cursor<'_>) -> Result<Option<usize>, Fault> {
        let text = cursor.key()?;
        let name = key(text).map_err(|LoneSurrogate| cursor.wrong(Wrong::Surrogate))?;
        if let Some(place) = self.places.get(name.as_ref()) {
            return Ok(Some(*place));
        }
        if self.slots.len() >= self.fields + REMEMBERED {
            return Ok(None);
        }
        let place = self.slots.len();
        self.slots.push(Slot::new(&name, None, place + 1));
        self.places.insert(name.into(), place);
        Ok(Some(place))
    }

    /// Gives a value to each field that the object did not have.
    #[inline(never)]
    fn fill(&mut self, rules: Rules) -> Result<(), Fault> {
        for slot in self.slots.iter_mut().take(self.fields).filter(|slot| slot.seen != self.object) {
            if let Some(node) = &mut slot.node {
                node.append_absent(rules, "is missing").map_err(|fault| fault.within(|| node.field.name().clone()))?;
            }
        }
        Ok(())
    }
}

/// Moves over the value of a key that the schema lacks. Where schemas are inferred, only a value without a type may be left out.
fn skip_unknown(cursor: &mut Cursor<'_>, rules: Rules) -> Result<(), Fault> {
    if rules.inferred && !infer::skip_typeless(cursor)? {
        return Err(Fault::Unknown);
    }
    if !rules.inferred {
        cursor.skip_value()?;
    }
    Ok(())
}
