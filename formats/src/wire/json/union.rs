//! A value of one of several types → the member of a struct that stands for them.
//!
//! The source is Confluent's `JsonSchemaData`: the first member of the value's JSON type takes it; of the members that are structs the one that has the
//! most of the object's keys, keys of nested structs counted. A union within a union is looked through, where upstream finds no member.

use arrow::datatypes::Fields;

use super::column::{Make, Node, Values};
use super::fault::Fault;
use super::scan::Cursor;
use super::text::key;
use super::value::Rules;

/// The members of a union.
#[derive(Debug)]
pub(super) struct Union {
    members: Vec<Node>,
}

impl Union {
    pub(super) fn new(fields: &Fields, make: Make) -> Result<Self, String> {
        Ok(Self { members: fields.iter().map(|field| Node::new(field, make)).collect::<Result<_, _>>()? })
    }

    pub(super) fn members_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        self.members.iter_mut()
    }

    /// Adds the value that starts here to one member, and nulls to the others.
    pub(super) fn decode(&mut self, cursor: &mut Cursor<'_>, rules: Rules) -> Result<(), Fault> {
        let start = cursor.at();
        let Some(chosen) = self.choose(cursor) else {
            cursor.skip_value()?;
            return Err(Fault::unfit(cursor, start, "fits no member of the schema's union"));
        };
        for (number, member) in self.members.iter_mut().enumerate() {
            if number == chosen {
                member.decode(cursor, rules).map_err(|fault| fault.within(|| member.field.name().clone()))?;
            } else {
                member.append_null();
            }
        }
        Ok(())
    }

    /// The member for the value that starts here.
    fn choose(&self, cursor: &Cursor<'_>) -> Option<usize> {
        let mut best = None;
        let mut most = 0;
        for (number, member) in self.members.iter().enumerate() {
            if takes(&member.values, cursor) {
                return Some(number);
            }
            let common = match &member.values {
                Values::Struct(_) => common_keys(&member.values, &mut cursor.clone()).unwrap_or(0),
                _ => 0,
            };
            if common > most {
                (best, most) = (Some(number), common);
            }
        }
        best
    }
}

/// True when a member that is no struct takes values of that JSON type.
fn takes(values: &Values, cursor: &Cursor<'_>) -> bool {
    let first = cursor.peek();
    let number = || matches!(first, Some(b'-' | b'0'..=b'9'));
    match values {
        Values::Int8(_) | Values::Int16(_) | Values::Int32(_) | Values::Int64(_) | Values::Date(_) | Values::Time(_) | Values::Timestamp(_) => {
            number() && cursor.clone().number().is_ok_and(|number| number.integral)
        }
        Values::Float32(_) | Values::Float64(_) | Values::Decimal128(_) | Values::Decimal256(_) => number(),
        Values::Boolean(_) => matches!(first, Some(b't' | b'f')),
        Values::Utf8(_) | Values::Binary(_) => first == Some(b'"'),
        Values::List { .. } => first == Some(b'['),
        Values::Map { .. } => matches!(first, Some(b'{' | b'[')),
        Values::Union(union) => union.choose(cursor).is_some(),
        Values::Struct(_) => false,
    }
}

/// Keys of the object that starts here which the struct has, those of nested structs included; none for what is no object.
fn common_keys(values: &Values, cursor: &mut Cursor<'_>) -> Option<usize> {
    let Values::Struct(members) = values else { return None };
    if !cursor.eat(b'{') {
        return None;
    }
    cursor.open().ok()?;
    cursor.skip_whitespace();
    let mut common = 0;
    let mut more = !cursor.eat(b'}');
    while more {
        let name = key(cursor.key().ok()?).ok()?;
        if let Some(child) = members.child(&name) {
            common += 1 + common_keys(&child.values, &mut cursor.clone()).unwrap_or(0);
        }
        cursor.skip_value().ok()?;
        more = cursor.next_key().ok()?;
    }
    cursor.depth -= 1;
    Some(common)
}
