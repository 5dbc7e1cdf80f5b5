//! Why a payload cannot be decoded, and in which field: what the readers of Avro and of Protobuf have in common.

use std::fmt;

/// What is wrong, and where. Boxed, so that the way without a fault carries one word.
#[derive(Debug)]
pub(super) struct Fault<C>(Box<Inner<C>>);

#[derive(Debug)]
struct Inner<C> {
    cause: C,
    /// From the inside out.
    path: Vec<String>,
}

impl<C> From<C> for Fault<C> {
    #[cold]
    fn from(cause: C) -> Self {
        Self(Box::new(Inner { cause, path: Vec::new() }))
    }
}

impl<C> Fault<C> {
    /// Adds the field around the fault.
    #[cold]
    pub(super) fn below(mut self, field: &str) -> Self {
        self.0.path.push(field.to_owned());
        self
    }
}

impl<C: fmt::Display> fmt::Display for Fault<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.0.path.is_empty() {
            f.write_str("field \"")?;
            for (i, name) in self.0.path.iter().rev().enumerate() {
                write!(f, "{}{name}", if i == 0 { "" } else { "." })?;
            }
            f.write_str("\": ")?;
        }
        self.0.cause.fmt(f)
    }
}
