//! JSON paths with conditions, as Jayway's JsonPath reads them: which Confluent's `Filter` and `ExtractTopic` are configured with.
//!
//! ```text
//! $.order.items[*].price             definite as far as `items`
//! $[?(@.status == 'paid' && !@.test)]
//! $.order[?(@.total > 100 || @.country in ['CH', 'AT'])]
//! ```
//!
//! Parts: this file, what a path is; [`parse`], of a text; [`walk`], over columns: each step is one for all rows; [`condition`] and [`compare`], what is between
//! `[?(` and `)]`, as masks.
//!
//! Steps and operators that Jayway has and this has not are refused by name when the configuration is checked, so that none is read as something else:
//! `..`, `[1,2]`, `[1:2]`, `['a','b']`, functions, paths of many values within conditions, JSON objects as literals, and `all`, which holds for no literal there.

use fancy_regex::Regex;
use lakehead_formats::schemaless::Wanted;
use lakehead_formats::value::decimal::BigDecimal;

mod compare;
mod condition;
mod parse;
mod reader;
mod walk;

pub(super) use parse::parse;
pub(super) use reader::{Done, Objects, with_values};
pub(super) use walk::{definite, find};

/// A path from `$`.
#[derive(Debug)]
pub(super) struct JsonPath {
    steps: Vec<Step>,
}

/// One step of a path.
#[derive(Debug)]
enum Step {
    /// `.name`, `['name']`.
    Member(String),
    /// `[3]`, `[-1]`.
    Index(i64),
    /// `[*]`, `.*`.
    Every,
    /// `[?(…)]`.
    Filter(Box<Condition>),
}

/// What is between `[?(` and `)]`.
#[derive(Debug)]
enum Condition {
    Or(Vec<Self>),
    And(Vec<Self>),
    Not(Box<Self>),
    /// `@.a`, or with false `!@.a`.
    Exists(ValuePath, bool),
    Is(Operand, Operator, Operand),
}

/// A path of one value.
#[derive(Debug)]
struct ValuePath {
    /// From `$`, not from `@`.
    from_root: bool,
    steps: Vec<Place>,
}

/// One step of it.
#[derive(Debug)]
enum Place {
    Member(String),
    Index(i64),
}

/// One side of a comparison.
#[derive(Debug)]
enum Operand {
    Path(ValuePath),
    Literal(Literal),
}

/// A value that a condition names.
#[derive(Debug)]
enum Literal {
    Null,
    Boolean(bool),
    Number(BigDecimal),
    String(String),
    List(Vec<Self>),
    Regex(Regex),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    /// `===`: the same, of the same type.
    Same,
    NotEqual,
    NotSame,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Matches,
    In,
    NotIn,
    Contains,
    Size,
    Empty,
    AnyOf,
    NoneOf,
    SubsetOf,
}

impl JsonPath {
    /// True when it leads to one value at most.
    pub(super) fn is_definite(&self) -> bool {
        self.steps.iter().all(|step| matches!(step, Step::Member(_) | Step::Index(_)))
    }

    /// What has to be read for it.
    pub(super) fn wanted(&self) -> Wanted {
        let mut wanted = Wanted::default();
        let mut base: Vec<&str> = Vec::new();
        for step in &self.steps {
            match step {
                Step::Member(name) => base.push(name),
                Step::Filter(condition) => condition.add_to(&mut wanted, &base),
                Step::Index(_) => {} // what is wanted of a list is wanted of its items
                Step::Every => {
                    wanted.add(&base);
                    return wanted;
                }
            }
        }
        match self.steps.last() {
            Some(Step::Filter(_)) => wanted.touch(&base),
            _ => wanted.add(&base),
        }
        wanted
    }
}

impl Condition {
    fn add_to(&self, wanted: &mut Wanted, base: &[&str]) {
        match self {
            Self::Or(all) | Self::And(all) => all.iter().for_each(|condition| condition.add_to(wanted, base)),
            Self::Not(inner) => inner.add_to(wanted, base),
            Self::Exists(path, _) => path.add_to(wanted, base),
            Self::Is(left, _, right) => {
                for operand in [left, right] {
                    if let Operand::Path(path) = operand {
                        path.add_to(wanted, base);
                    }
                }
            }
        }
    }

    /// True when it looks at something from `$`.
    fn has_root(&self) -> bool {
        match self {
            Self::Or(all) | Self::And(all) => all.iter().any(Self::has_root),
            Self::Not(inner) => inner.has_root(),
            Self::Exists(path, _) => path.from_root,
            Self::Is(left, _, right) => [left, right].iter().any(|operand| matches!(operand, Operand::Path(path) if path.from_root)),
        }
    }
}

impl ValuePath {
    fn add_to(&self, wanted: &mut Wanted, base: &[&str]) {
        let names = self.steps.iter().map_while(|step| if let Place::Member(name) = step { Some(name.as_str()) } else { None });
        let start = if self.from_root { &[] } else { base };
        wanted.add(&start.iter().copied().chain(names).collect::<Vec<_>>());
    }
}

#[cfg(test)]
mod tests;
