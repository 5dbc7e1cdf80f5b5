//! Conditions as masks over the rows of a column.
//!
//! Three things can come of a condition for a row: it holds, it does not, or it cannot be told. Of the last there are two kinds, as upstream: a comparison that
//! makes no sense (`'x' in @.text`) makes the whole condition not hold, whatever is around it; a value that Jayway has no comparison for (a date, bytes, NaN)
//! fails the record. Both only where the comparison would have been looked at: `&&` and `||` stop early.

use arrow::buffer::BooleanBuffer;
use arrow::error::ArrowError;
use lakehead_formats::schemaless::{Dynamic, Kind};

use super::compare::{self, Values};
use super::{Condition, Operand, walk};

/// Why a record fails.
pub(super) const INCOMPARABLE: &str = "the condition compares a date, bytes, NaN, an infinite number, a list with objects or lists in it, or whether an object is empty: there is no such comparison, test another field; or its regular expression takes too many steps over this text: make it simpler";

/// What is known of each row. No row is in two of them.
#[derive(Debug)]
pub(super) struct Truth {
    pub(super) yes: BooleanBuffer,
    /// Where the whole condition does not hold.
    pub(super) senseless: BooleanBuffer,
    /// Where the record fails.
    pub(super) fatal: BooleanBuffer,
}

impl Truth {
    pub(super) fn plain(yes: BooleanBuffer) -> Self {
        let none = BooleanBuffer::new_unset(yes.len());
        Self { yes, senseless: none.clone(), fatal: none }
    }

    fn known(&self) -> BooleanBuffer {
        !&(&self.senseless | &self.fatal)
    }

    fn negated(self) -> Self {
        Self { yes: &!&self.yes & &self.known(), ..self }
    }

    /// The next condition, which is looked at only in these rows; what comes of the others is what is known already.
    fn then(self, others: &Self, looked_at: &BooleanBuffer, yes: BooleanBuffer) -> Self {
        Self { yes, senseless: &self.senseless | &(&others.senseless & looked_at), fatal: &self.fatal | &(&others.fatal & looked_at) }
    }
}

/// Where a condition holds for the items, which are parts of these roots.
pub(super) fn test(condition: &Condition, items: &Dynamic, roots: &Dynamic) -> Result<Truth, ArrowError> {
    Ok(match condition {
        Condition::Not(inner) => test(inner, items, roots)?.negated(),
        Condition::And(all) => {
            let mut done = Truth::plain(BooleanBuffer::new_set(items.len()));
            for next in all.iter().map(|condition| test(condition, items, roots)) {
                let (next, looked_at) = (next?, done.yes.clone());
                let yes = &looked_at & &next.yes;
                done = done.then(&next, &looked_at, yes);
            }
            done
        }
        Condition::Or(all) => {
            let mut done = Truth::plain(BooleanBuffer::new_unset(items.len()));
            for next in all.iter().map(|condition| test(condition, items, roots)) {
                let (next, looked_at) = (next?, &done.known() & &!&done.yes);
                let yes = &done.yes | &(&looked_at & &next.yes);
                done = done.then(&next, &looked_at, yes);
            }
            done
        }
        Condition::Exists(path, should) => {
            let absent = walk::at(path, items, roots)?.are(Kind::Absent);
            Truth::plain(if *should { !&absent } else { absent })
        }
        Condition::Is(left, operator, right) => {
            let (left, right) = (values(left, items, roots)?, values(right, items, roots)?);
            compare::compare(&left, *operator, &right, items.len())?
        }
    })
}

fn values<'a>(operand: &'a Operand, items: &Dynamic, roots: &Dynamic) -> Result<Values<'a>, ArrowError> {
    Ok(match operand {
        Operand::Path(path) => Values::Column(walk::at(path, items, roots)?),
        Operand::Literal(literal) => Values::Literal(literal),
    })
}
