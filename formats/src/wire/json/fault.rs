//! Why a value did not become part of a column.

use std::fmt;

use super::scan::{Cursor, Syntax};

/// What stopped the decoder in a row. The caller rolls the row back.
#[derive(Debug)]
pub(super) enum Fault {
    /// The text is no JSON.
    Syntax(Syntax),
    /// A key came twice in one object: only the last counts, and the first is already in its column.
    Duplicate,
    /// A key that the inferred schema does not have yet, with a value that has a type.
    Unknown,
    /// The value is JSON, but none of the column's type.
    Unfit(Box<Unfit>),
}

impl From<Syntax> for Fault {
    fn from(syntax: Syntax) -> Self {
        Self::Syntax(syntax)
    }
}

/// A value that its column cannot hold, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unfit {
    /// Steps to the field, innermost first: a name, or `[index]`.
    path: Vec<String>,
    /// Beginning of the offending text; empty when a value is missing.
    value: String,
    /// What is wrong with it.
    reason: String,
}

/// Characters of an offending value that are shown.
const EXCERPT: usize = 60;

impl Unfit {
    pub(super) fn new(value: &[u8], reason: impl Into<String>) -> Self {
        let mut shown = String::from_utf8_lossy(value.get(..EXCERPT * 4).unwrap_or(value)).into_owned();
        if shown.chars().count() > EXCERPT {
            shown = shown.chars().take(EXCERPT).chain("…".chars()).collect();
        }
        Self { path: Vec::new(), value: shown, reason: reason.into() }
    }

    /// With the dotted path of a field.
    pub(super) fn at(mut self, path: &str) -> Self {
        if !path.is_empty() {
            self.path.push(path.to_owned());
        }
        self
    }
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            f.write_str("field \"")?;
            for (index, step) in self.path.iter().rev().enumerate() {
                let dot = if index == 0 || step.starts_with('[') { "" } else { "." };
                write!(f, "{dot}{step}")?;
            }
            f.write_str("\": ")?;
        }
        if !self.value.is_empty() {
            write!(f, "{} ", self.value)?;
        }
        f.write_str(&self.reason)
    }
}

impl Fault {
    /// The value that started at `start` does not fit.
    #[cold]
    pub(super) fn unfit(cursor: &Cursor<'_>, start: usize, reason: impl Into<String>) -> Self {
        Self::Unfit(Box::new(Unfit::new(cursor.since(start), reason)))
    }

    /// No value came for a field that needs one.
    #[cold]
    pub(super) fn absent(reason: impl Into<String>) -> Self {
        Self::Unfit(Box::new(Unfit::new(b"", reason)))
    }

    /// Found one step further out: in the field of that name, or the item `[n]`.
    #[cold]
    pub(super) fn within(mut self, step: impl FnOnce() -> String) -> Self {
        if let Self::Unfit(unfit) = &mut self {
            unfit.path.push(step());
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfit_value_is_shown_with_its_path() {
        let fault = Fault::Unfit(Box::new(Unfit::new(b"\"x\"", "is a string, not int64")));
        let Fault::Unfit(unfit) = fault.within(|| "qty".to_owned()).within(|| "[3]".to_owned()).within(|| "items".to_owned()) else { unreachable!() };
        assert_eq!(unfit.to_string(), "field \"items[3].qty\": \"x\" is a string, not int64");
        let long = Unfit::new("é".repeat(1000).as_bytes(), "is long").to_string();
        assert_eq!(long, format!("{}… is long", "é".repeat(60)));
    }
}
