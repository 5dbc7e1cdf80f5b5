//! Comparisons: of a column with a literal a kernel or a loop over the lane of its kind, all others row by row.
//!
//! | | |
//! |---|---|
//! | numbers | by number, of whatever types, as `BigDecimal.compareTo`: a float is the number that its shortest text says |
//! | text and number | the left side says how: a text with the number's text, a number with the number that the text is |
//! | nothing there | equal to nothing, also not to null |
//! | `<`, `>` | two numbers or two texts, else false; texts by their UTF-16 |
//!
//! Row by row goes what looks into lists of different lengths, and what has paths or such sides on both ends: neither has a kernel.

use std::cell::Cell;
use std::cmp::Ordering;
use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, StringArray};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::cmp;
use arrow::datatypes::{Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use arrow::error::ArrowError;
use fancy_regex::Regex;
use lakehead_formats::schemaless::{Dynamic, Kind};
use lakehead_formats::value::decimal::BigDecimal;

use super::condition::Truth;
use super::{Literal, Operator};

/// One side of a comparison.
pub(super) enum Values<'a> {
    Column(Dynamic),
    Literal(&'a Literal),
}

/// Compares two sides of so many rows.
pub(super) fn compare(left: &Values<'_>, operator: Operator, right: &Values<'_>, rows: usize) -> Result<Truth, ArrowError> {
    let yes = match (left, right) {
        (Values::Column(values), Values::Literal(literal)) => with_literal(values, operator, literal)?,
        (Values::Literal(literal), Values::Column(values)) => match flipped(operator) {
            Some(operator) => with_literal(values, operator, literal)?,
            None => None,
        },
        _ => None,
    };
    let mut truth = match yes {
        Some(yes) => Truth::plain(yes),
        None => by_row(left, operator, right, rows),
    };
    for side in [left, right] {
        if let Values::Column(values) = side {
            let fatal = incomparable(values);
            truth = Truth { yes: &truth.yes & &!&fatal, senseless: &truth.senseless & &!&fatal, fatal: &truth.fatal | &fatal };
        }
    }
    Ok(truth)
}

/// The operator with its sides exchanged, where that makes no difference.
fn flipped(operator: Operator) -> Option<Operator> {
    Some(match operator {
        Operator::Less => Operator::Greater,
        Operator::LessOrEqual => Operator::GreaterOrEqual,
        Operator::Greater => Operator::Less,
        Operator::GreaterOrEqual => Operator::LessOrEqual,
        Operator::Same | Operator::NotSame | Operator::Matches => operator,
        _ => return None,
    })
}

/// Rows that upstream has no node for.
fn incomparable(values: &Dynamic) -> BooleanBuffer {
    let mut found = &values.are(Kind::Date) | &values.are(Kind::Bytes);
    let infinite = |kind: Kind| match (kind, values.lane(kind)) {
        (Kind::Float32, Some(lane)) => lane.as_primitive::<Float32Type>().values().iter().map(|value| !value.is_finite()).collect(),
        (Kind::Float64, Some(lane)) => lane.as_primitive::<Float64Type>().values().iter().map(|value| !value.is_finite()).collect(),
        _ => BooleanBuffer::new_unset(values.len()),
    };
    for kind in [Kind::Float32, Kind::Float64].into_iter().filter(|kind| values.has(*kind)) {
        found = &found | &(&values.are(kind) & &infinite(kind));
    }
    found
}

/// A column on the left, a literal on the right; none where rows have to be looked at one by one.
fn with_literal(values: &Dynamic, operator: Operator, literal: &Literal) -> Result<Option<BooleanBuffer>, ArrowError> {
    let order = |test: fn(Ordering) -> bool| ordered(values, literal, test);
    Ok(Some(match (operator, literal) {
        (Operator::Equal, _) => equal(values, literal, false)?,
        (Operator::NotEqual, _) => !&equal(values, literal, false)?,
        (Operator::Same, _) => equal(values, literal, true)?,
        (Operator::NotSame, _) => !&equal(values, literal, true)?,
        (Operator::Less, _) => order(Ordering::is_lt),
        (Operator::LessOrEqual, _) => order(Ordering::is_le),
        (Operator::Greater, _) => order(Ordering::is_gt),
        (Operator::GreaterOrEqual, _) => order(Ordering::is_ge),
        (Operator::In, Literal::List(items)) => any_of(values, items)?,
        (Operator::NotIn, Literal::List(items)) => !&any_of(values, items)?,
        (Operator::Matches, Literal::Regex(regex)) if !values.has(Kind::List) => return Ok(texts_match(values, regex)),
        _ => return Ok(None),
    }))
}

fn any_of(values: &Dynamic, items: &[Literal]) -> Result<BooleanBuffer, ArrowError> {
    items.iter().try_fold(BooleanBuffer::new_unset(values.len()), |found, item| Ok(&found | &equal(values, item, false)?))
}

/// Where values are equal to a literal; `same` asks for the same type, too.
fn equal(values: &Dynamic, literal: &Literal, same: bool) -> Result<BooleanBuffer, ArrowError> {
    let texts = |wanted: &str| match values.lane(Kind::String).filter(|_| values.has(Kind::String)) {
        Some(lane) => Ok::<_, ArrowError>(&values.are(Kind::String) & cmp::eq(lane, &StringArray::new_scalar(wanted))?.values()),
        None => Ok(BooleanBuffer::new_unset(values.len())),
    };
    Ok(match literal {
        Literal::Null => values.are(Kind::Null),
        Literal::Boolean(wanted) => match values.lane(Kind::Boolean) {
            Some(lane) => {
                let lane = lane.as_boolean().values();
                &values.are(Kind::Boolean) & &(if *wanted { lane.clone() } else { !lane })
            }
            None => BooleanBuffer::new_unset(values.len()),
        },
        Literal::Number(number) => {
            let numbers = numbers(values, number, Ordering::is_eq);
            if same { numbers } else { &numbers | &texts(&number.to_string())? }
        }
        Literal::String(text) => {
            let texts = texts(text)?;
            match BigDecimal::parse(text).filter(|_| !same) {
                Some(number) => &texts | &numbers(values, &number, Ordering::is_eq),
                None => texts,
            }
        }
        Literal::List(_) | Literal::Regex(_) => BooleanBuffer::new_unset(values.len()),
    })
}

/// Where values and a literal are both numbers or both texts, and in that order.
fn ordered(values: &Dynamic, literal: &Literal, test: fn(Ordering) -> bool) -> BooleanBuffer {
    match (literal, values.lane(Kind::String)) {
        (Literal::Number(number), _) => numbers(values, number, test),
        (Literal::String(text), Some(lane)) => {
            let lane = lane.as_string::<i32>();
            &values.are(Kind::String) & &BooleanBuffer::collect_bool(lane.len(), |row| test(java_order(lane.value(row), text)))
        }
        _ => BooleanBuffer::new_unset(values.len()),
    }
}

/// `String.compareTo`, which is by UTF-16; for most texts that is the order of their bytes.
fn java_order(a: &str, b: &str) -> Ordering {
    if a.is_ascii() && b.is_ascii() { a.cmp(b) } else { a.encode_utf16().cmp(b.encode_utf16()) }
}

/// Where values are numbers that stand so to a number. What the number is among the values of each lane is told once.
fn numbers(values: &Dynamic, number: &BigDecimal, test: impl Fn(Ordering) -> bool) -> BooleanBuffer {
    let whole = Whole::of(number);
    let mut found = BooleanBuffer::new_unset(values.len());
    for (kind, lane) in values.lanes().filter(|(kind, _)| values.has(*kind)) {
        macro_rules! rows {
            ($t:ty, $order:expr) => {{
                let lane = lane.as_primitive::<$t>().values();
                lane.iter().map(|value| test($order(*value))).collect::<BooleanBuffer>()
            }};
        }
        let here: BooleanBuffer = match kind {
            Kind::Int8 => rows!(Int8Type, |value| whole.order(i64::from(value))),
            Kind::Int16 => rows!(Int16Type, |value| whole.order(i64::from(value))),
            Kind::Int32 => rows!(Int32Type, |value| whole.order(i64::from(value))),
            Kind::Int64 => rows!(Int64Type, |value| whole.order(value)),
            Kind::Float32 => {
                let (near, tie) = (number.float(), shortest(number.float().to_string(), number));
                rows!(Float32Type, |value: f32| value.partial_cmp(&near).map_or(Ordering::Less, |order| order.then(tie)))
            }
            Kind::Float64 => {
                let (near, tie) = (number.double(), shortest(number.double().to_string(), number));
                rows!(Float64Type, |value: f64| value.partial_cmp(&near).map_or(Ordering::Less, |order| order.then(tie)))
            }
            Kind::Decimal | Kind::BigInteger => {
                // Decimals have no common scale, and no type that holds them all.
                let lane = lane.as_string::<i32>();
                BooleanBuffer::collect_bool(lane.len(), |row| BigDecimal::parse(lane.value(row)).is_some_and(|value| test(value.compare(number))))
            }
            _ => continue,
        };
        found = &found | &(&values.are(kind) & &here);
    }
    found
}

/// How the nearest float, which stands for the number that its shortest text says, stands to a number.
fn shortest(text: String, number: &BigDecimal) -> Ordering {
    BigDecimal::parse(&text).map_or(Ordering::Equal, |near| near.compare(number))
}

/// A number among whole ones: the largest that is not above it, and whether it is that one; or it is beyond them all.
enum Whole {
    Above,
    Below,
    At(i64, bool),
}

impl Whole {
    fn of(number: &BigDecimal) -> Self {
        let bound = |bound: i64| BigDecimal::new(&bound.to_string(), 0);
        if number.compare(&bound(i64::MAX)).is_gt() {
            return Self::Above;
        }
        if number.compare(&bound(i64::MIN)).is_lt() {
            return Self::Below;
        }
        let cut = number.long();
        match bound(cut).compare(number) {
            Ordering::Equal => Self::At(cut, true),
            Ordering::Less => Self::At(cut, false),
            Ordering::Greater => Self::At(cut.saturating_sub(1), false),
        }
    }

    /// How a whole number stands to it.
    fn order(&self, value: i64) -> Ordering {
        match self {
            Self::Above => Ordering::Less,
            Self::Below => Ordering::Greater,
            Self::At(floor, true) => value.cmp(floor),
            Self::At(floor, false) => {
                if value <= *floor {
                    Ordering::Less
                } else {
                    Ordering::Greater
                }
            }
        }
    }
}

/// Where the text of a value matches as a whole: `""` for what has none. There is no kernel for such expressions. Nothing where one gives up: then each row is judged.
fn texts_match(values: &Dynamic, regex: &Regex) -> Option<BooleanBuffer> {
    let gave_up = Cell::new(false);
    let matches = |text: &str| {
        regex.is_match(text).unwrap_or_else(|_| {
            gave_up.set(true);
            false
        })
    };
    let nothing = matches("");
    let texts = values.lane(Kind::String).map(|lane| lane.as_string::<i32>());
    let found = BooleanBuffer::collect_bool(values.len(), |row| match (values.kind(row), texts) {
        (Kind::String, Some(texts)) => matches(texts.value(row)),
        (Kind::Absent | Kind::Null | Kind::Map, _) => nothing,
        _ => scalar(values, row).text().map_or(nothing, |text| matches(&text)),
    });
    (!gave_up.get()).then_some(found)
}

/// A value of one row.
#[derive(Debug, Clone, PartialEq)]
enum Scalar {
    Undefined,
    Null,
    Boolean(bool),
    /// With its class: as parts of lists and maps, numbers of two classes are two.
    Number(Kind, BigDecimal),
    String(String),
    List(Vec<Self>),
    Map(BTreeMap<String, Self>),
    Regex,
}

/// Why nothing comes of a comparison in one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// It makes no sense.
    Senseless,
    /// There is no comparison for what is in a list.
    Fatal,
}

type Verdict = Result<bool, Trouble>;

fn by_row(left: &Values<'_>, operator: Operator, right: &Values<'_>, rows: usize) -> Truth {
    let constant = |side: &Values<'_>| if let Values::Literal(literal) = side { Some(of_literal(literal)) } else { None };
    let (own, its) = (constant(left), constant(right));
    let regex = [left, right].into_iter().find_map(|side| if let Values::Literal(Literal::Regex(regex)) = side { Some(regex) } else { None });
    let at = |side: &Values<'_>, constant: &Option<Scalar>, row: usize| match (side, constant) {
        (Values::Column(values), _) => scalar(values, row),
        (_, Some(constant)) => constant.clone(),
        _ => Scalar::Undefined,
    };
    let verdict = |row: usize| judge(&at(left, &own, row), operator, &at(right, &its, row), regex);
    let verdicts: Vec<Verdict> = (0..rows).map(verdict).collect();
    Truth {
        yes: verdicts.iter().map(|verdict| *verdict == Ok(true)).collect(),
        senseless: verdicts.iter().map(|verdict| *verdict == Err(Trouble::Senseless)).collect(),
        fatal: verdicts.iter().map(|verdict| *verdict == Err(Trouble::Fatal)).collect(),
    }
}

fn judge(left: &Scalar, operator: Operator, right: &Scalar, regex: Option<&Regex>) -> Verdict {
    let order = |test: fn(Ordering) -> bool| match (left, right) {
        (Scalar::Number(_, a), Scalar::Number(_, b)) => test(a.compare(b)),
        (Scalar::String(a), Scalar::String(b)) => test(java_order(a, b)),
        _ => false,
    };
    let same = || std::mem::discriminant(left) == std::mem::discriminant(right) && are_equal(left, right);
    Ok(match operator {
        Operator::Equal => are_equal(left, right),
        Operator::NotEqual => !are_equal(left, right),
        Operator::Same => same(),
        Operator::NotSame => !same(),
        Operator::Less => order(Ordering::is_lt),
        Operator::LessOrEqual => order(Ordering::is_le),
        Operator::Greater => order(Ordering::is_gt),
        Operator::GreaterOrEqual => order(Ordering::is_ge),
        Operator::Matches => {
            // An expression that gives up says neither.
            let matches = |value: &Scalar| match regex {
                Some(regex) => regex.is_match(&value.text().unwrap_or_default()).map_err(|_| Trouble::Fatal),
                None => Ok(false),
            };
            match if *left == Scalar::Regex { right } else { left } {
                Scalar::List(items) => {
                    for item in plain(items)? {
                        if matches(item)? {
                            return Ok(true);
                        }
                    }
                    false
                }
                value => matches(value)?,
            }
        }
        Operator::In => list(right)?.is_some_and(|items| contains(items, left)),
        Operator::NotIn => !list(right)?.is_some_and(|items| contains(items, left)),
        Operator::Contains => match (left, right) {
            (Scalar::String(text), Scalar::String(part)) => text.contains(part),
            (Scalar::List(items), _) => contains(plain(items)?, right),
            _ => false,
        },
        Operator::Size => match (left, right) {
            (Scalar::String(text), Scalar::Number(_, size)) => i64::try_from(text.encode_utf16().count()).unwrap_or(i64::MAX) == int_of(size),
            (Scalar::List(items), Scalar::Number(_, size)) => i64::try_from(items.len()).unwrap_or(i64::MAX) == int_of(size),
            (Scalar::Map(_), Scalar::Number(_, size)) => int_of(size) == -1,
            _ => false,
        },
        Operator::Empty => match (left, right) {
            (Scalar::String(text), Scalar::Boolean(wanted)) => text.is_empty() == *wanted,
            (Scalar::List(items), Scalar::Boolean(wanted)) => items.is_empty() == *wanted,
            (Scalar::Map(_), Scalar::Boolean(_)) => return Err(Trouble::Fatal), // a cast fails there
            _ => false,
        },
        Operator::AnyOf => both_lists(left, right, |a, b| b.iter().any(|item| a.iter().any(|own| are_equal(own, item))))?,
        Operator::NoneOf => both_lists(left, right, |a, b| !b.iter().any(|item| a.iter().any(|own| are_equal(own, item))))?,
        Operator::SubsetOf => both_lists(left, right, |a, b| a.iter().all(|own| contains(b, own)))?,
    })
}

/// `Number.intValue`.
fn int_of(number: &BigDecimal) -> i64 {
    i64::from(number.long() as i32)
}

/// `List.contains`.
fn contains(items: &[Scalar], value: &Scalar) -> bool {
    items.iter().any(|item| are_equal(value, item))
}

/// Items that can be compared: lists, maps, dates and bytes among them cannot.
fn plain(items: &[Scalar]) -> Result<&[Scalar], Trouble> {
    let is_plain = |item: &Scalar| !matches!(item, Scalar::List(_) | Scalar::Map(_) | Scalar::Undefined);
    if items.iter().all(is_plain) { Ok(items) } else { Err(Trouble::Fatal) }
}

/// A list; nothing for another container, which is no list; and no sense otherwise.
fn list(value: &Scalar) -> Result<Option<&[Scalar]>, Trouble> {
    match value {
        Scalar::List(items) => plain(items).map(Some),
        Scalar::Map(_) => Ok(None),
        _ => Err(Trouble::Senseless),
    }
}

/// The right side is looked at first, and what is no list there says that it does not hold.
fn both_lists(left: &Scalar, right: &Scalar, holds: impl Fn(&[Scalar], &[Scalar]) -> bool) -> Verdict {
    let Some(right) = list(right)? else { return Ok(false) };
    let Some(left) = list(left)? else { return Ok(false) };
    Ok(holds(left, right))
}

/// `left.equals(right)`, which is not the same the other way round.
fn are_equal(left: &Scalar, right: &Scalar) -> bool {
    match (left, right) {
        (Scalar::Undefined | Scalar::Regex, _) | (_, Scalar::Undefined | Scalar::Regex) => false,
        (Scalar::Number(_, a), Scalar::Number(_, b)) => a.compare(b).is_eq(),
        (Scalar::Number(_, number), Scalar::String(text)) => BigDecimal::parse(text).is_some_and(|other| number.compare(&other).is_eq()),
        (Scalar::String(text), Scalar::Number(_, number)) => *text == number.to_string(),
        _ => left == right,
    }
}

fn of_literal(literal: &Literal) -> Scalar {
    match literal {
        Literal::Null => Scalar::Null,
        Literal::Boolean(value) => Scalar::Boolean(*value),
        Literal::Number(number) => Scalar::Number(Kind::Decimal, number.clone()),
        Literal::String(text) => Scalar::String(text.clone()),
        Literal::List(items) => Scalar::List(items.iter().map(of_literal).collect()),
        Literal::Regex(_) => Scalar::Regex,
    }
}

impl Scalar {
    /// What an expression is matched with.
    fn text(&self) -> Option<String> {
        match self {
            Self::String(text) => Some(text.clone()),
            Self::Number(_, number) => Some(number.to_string()),
            Self::Boolean(value) => Some(value.to_string()),
            _ => None,
        }
    }
}

/// The value of a row. Dates, bytes, NaN and infinite numbers are told apart before ([`incomparable`]).
fn scalar(values: &Dynamic, row: usize) -> Scalar {
    let number = |kind: Kind, text: String| BigDecimal::parse(&text).map_or(Scalar::Undefined, |number| Scalar::Number(kind, number));
    let kind = values.kind(row);
    let Some(lane) = values.lane(kind) else { return if kind == Kind::Null { Scalar::Null } else { Scalar::Undefined } };
    match kind {
        Kind::Boolean => Scalar::Boolean(lane.as_boolean().value(row)),
        Kind::Int8 => number(kind, lane.as_primitive::<Int8Type>().value(row).to_string()),
        Kind::Int16 => number(kind, lane.as_primitive::<Int16Type>().value(row).to_string()),
        Kind::Int32 => number(kind, lane.as_primitive::<Int32Type>().value(row).to_string()),
        Kind::Int64 => number(kind, lane.as_primitive::<Int64Type>().value(row).to_string()),
        Kind::Float32 => {
            let value = lane.as_primitive::<Float32Type>().value(row);
            number(kind, java_text(f64::from(value), format!("{value:?}"), format!("{value:E}")))
        }
        Kind::Float64 => {
            let value = lane.as_primitive::<Float64Type>().value(row);
            number(kind, java_text(value, format!("{value:?}"), format!("{value:E}")))
        }
        Kind::Decimal | Kind::BigInteger => number(kind, lane.as_string::<i32>().value(row).to_owned()),
        Kind::String => Scalar::String(lane.as_string::<i32>().value(row).to_owned()),
        Kind::List => Scalar::List(items_of(values, row)),
        Kind::Map => {
            let members = values.members().filter(|(_, member)| member.kind(row) != Kind::Absent);
            Scalar::Map(members.map(|(name, member)| (name.as_ref().to_owned(), scalar(&member, row))).collect())
        }
        Kind::Absent | Kind::Null | Kind::Bytes | Kind::Date => Scalar::Undefined,
    }
}

/// `Double.toString` of its two forms in Rust: with an exponent where the number is large or small.
fn java_text(value: f64, plain: String, scientific: String) -> String {
    match scientific.split_once('E') {
        _ if value == 0.0 || (1e-3..1e7).contains(&value.abs()) => plain,
        Some((mantissa, power)) if !mantissa.contains('.') => format!("{mantissa}.0E{power}"),
        _ => scientific,
    }
}

fn items_of(values: &Dynamic, row: usize) -> Vec<Scalar> {
    let Some((offsets, items)) = values.list() else { return Vec::new() };
    let at = |row: usize| offsets.get(row).and_then(|offset| usize::try_from(*offset).ok()).unwrap_or(0);
    (at(row)..at(row + 1)).map(|item| scalar(&items, item)).collect()
}
