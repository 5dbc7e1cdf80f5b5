//! The schema of JSON that has none: from its values, row by row.
//!
//! | JSON | type |
//! |---|---|
//! | an integer of 64 bits | int64 |
//! | another number | float64 |
//! | string, `true`/`false` | string, boolean |
//! | array | list of what all its items have in common |
//! | object | struct, its fields in order of appearance |
//! | `null`, `[]`, `{}`, and containers of nothing else | none yet |
//!
//! What two rows say is joined by [`crate::schema::widen`]. A value without a type fits every column, as null where the column is no container of
//! its kind, and makes no column.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};

use super::fault::{Fault, Unfit};
use super::scan::Cursor;
use super::text::{LoneSurrogate, key};
use crate::schema::connect::MAX_DEPTH;
use crate::schema::{Conflict, merge};

/// The struct type of a row whose keys do not repeat.
pub(super) fn infer_row(row: &[u8]) -> Result<DataType, Fault> {
    let mut cursor = Cursor::new(row);
    cursor.skip_whitespace();
    if cursor.peek() != Some(b'{') {
        let start = cursor.at();
        cursor.skip_value()?;
        return Err(Fault::unfit(&cursor, start, "is no object, and columns are made of objects"));
    }
    let inferred = infer(&mut cursor, 0)?;
    Ok(inferred.unwrap_or_else(|| DataType::Struct(Fields::empty())))
}

/// Moves over the value if it has no type; otherwise stays and returns false.
pub(super) fn skip_typeless(cursor: &mut Cursor<'_>) -> Result<bool, Fault> {
    match cursor.peek() {
        Some(b'n') => cursor.literal(b"null")?,
        Some(b'[' | b'{') => {
            let mut ahead = cursor.clone();
            match infer(&mut ahead, 0) {
                Ok(None) => *cursor = ahead,
                Err(fault @ Fault::Syntax(_)) => return Err(fault),
                _ => return Ok(false),
            }
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// The type of the value that starts here; none when it has none.
fn infer(cursor: &mut Cursor<'_>, depth: usize) -> Result<Option<DataType>, Fault> {
    let start = cursor.at();
    Ok(match cursor.peek() {
        Some(b'{') if depth < MAX_DEPTH => infer_object(cursor, depth)?,
        Some(b'[') if depth < MAX_DEPTH => infer_array(cursor, depth)?,
        Some(b'{' | b'[') => {
            cursor.skip_value()?;
            let reason = format!("nests deeper than the {MAX_DEPTH} levels that columns are inferred for; declare a schema in value.schema");
            return Err(Fault::unfit(cursor, start, reason));
        }
        Some(b'-' | b'0'..=b'9') => {
            let number = cursor.number()?;
            match (number.integral, number.to_i64(), number.to_f64()) {
                (true, Some(_), _) => Some(DataType::Int64),
                (false, _, Some(_)) => Some(DataType::Float64),
                (integral, ..) => return Err(Fault::unfit(cursor, start, if integral { "does not fit int64" } else { "does not fit float64" })),
            }
        }
        Some(b'n') => {
            cursor.literal(b"null")?;
            None
        }
        first => {
            cursor.skip_value()?;
            Some(if first == Some(b'"') { DataType::Utf8 } else { DataType::Boolean })
        }
    })
}

fn infer_array(cursor: &mut Cursor<'_>, depth: usize) -> Result<Option<DataType>, Fault> {
    cursor.advance(1);
    cursor.open()?;
    cursor.skip_whitespace();
    let mut item: Option<Field> = None;
    let mut index = 0_usize;
    let mut more = !cursor.eat(b']');
    while more {
        let start = cursor.at();
        if let Some(data_type) = infer(cursor, depth + 1).map_err(|fault| fault.within(|| format!("[{index}]")))? {
            let next = Field::new("item", data_type, true);
            item = Some(match item {
                None => next,
                Some(held) => merge(&held, &next).map_err(|conflict| mixed(&conflict, cursor, start).within(|| format!("[{index}]")))?,
            });
        }
        index += 1;
        more = cursor.next_item()?;
    }
    cursor.depth -= 1;
    Ok(item.map(|item| DataType::List(Arc::new(item))))
}

/// An item that has no type in common with those before it.
fn mixed(conflict: &Conflict, cursor: &Cursor<'_>, start: usize) -> Fault {
    let Conflict { path, held, comes } = conflict;
    let at = if path.is_empty() { String::new() } else { format!(" (at {path:?})") };
    Fault::Unfit(Box::new(Unfit::new(cursor.since(start), format!("is {comes}{at}, but the items before it are {held}"))))
}

fn infer_object(cursor: &mut Cursor<'_>, depth: usize) -> Result<Option<DataType>, Fault> {
    cursor.advance(1);
    cursor.open()?;
    cursor.skip_whitespace();
    let mut fields = Vec::new();
    let mut more = !cursor.eat(b'}');
    while more {
        let start = cursor.at();
        let text = cursor.key()?;
        let name = match key(text) {
            Ok(name) => String::from_utf8_lossy(&name).into_owned(),
            Err(LoneSurrogate) => return Err(Fault::unfit(cursor, start, "is a key with half of a surrogate pair, which is no character")),
        };
        if let Some(data_type) = infer(cursor, depth + 1).map_err(|fault| fault.within(|| name.clone()))? {
            fields.push(Field::new(name, data_type, true));
        }
        more = cursor.next_key()?;
    }
    cursor.depth -= 1;
    Ok((!fields.is_empty()).then(|| DataType::Struct(fields.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(row: &str) -> String {
        match infer_row(row.as_bytes()) {
            Ok(DataType::Struct(fields)) => fields.iter().map(|f| format!("{}:{}", f.name(), describe(f.data_type()))).collect::<Vec<_>>().join(" "),
            Ok(other) => other.to_string(),
            Err(Fault::Unfit(unfit)) => unfit.to_string(),
            Err(fault) => format!("{fault:?}"),
        }
    }

    fn describe(data_type: &DataType) -> String {
        match data_type {
            DataType::List(item) => format!("[{}]", describe(item.data_type())),
            DataType::Struct(fields) => {
                let fields: Vec<_> = fields.iter().map(|f| format!("{}:{}", f.name(), describe(f.data_type()))).collect();
                format!("{{{}}}", fields.join(" "))
            }
            other => other.to_string(),
        }
    }

    #[test]
    fn a_row_says_its_types() {
        for (row, expected) in [
            (r#"{"a":1,"b":-1.5,"c":"x","d":true}"#, "a:Int64 b:Float64 c:Utf8 d:Boolean"),
            (r#"{"a":1e3,"b":9223372036854775807}"#, "a:Float64 b:Int64"),
            (r#"{"a":[1,2.5,null]}"#, "a:[Float64]"),
            (r#"{"a":[{"x":1},{"y":[[]]},{"x":null,"y":["s"]}]}"#, "a:[{x:Int64 y:[Utf8]}]"),
            (r#"{"a":null,"b":[],"c":{},"d":[[null,{}]],"e":{"f":{"g":[]}},"h":1}"#, "h:Int64"),
            (r"{}", ""),
            (r#"{"caf\u00e9":1}"#, "café:Int64"),
            ("[1]", "[1] is no object, and columns are made of objects"),
            ("\"x\"", "\"x\" is no object, and columns are made of objects"),
            (r#"{"a":[1,"x"]}"#, "field \"a[1]\": \"x\" is string, but the items before it are int64"),
            (r#"{"a":{"b":9223372036854775808}}"#, "field \"a.b\": 9223372036854775808 does not fit int64"),
            (r#"{"a":1e999}"#, "field \"a\": 1e999 does not fit float64"),
        ] {
            assert_eq!(described(row), expected, "{row}");
        }
    }

    #[test]
    fn values_that_nest_too_deep_make_no_column() {
        let row = format!("{{\"a\":{}1{}}}", "[".repeat(900), "]".repeat(900));
        assert!(described(&row).contains("nests deeper than the 100 levels"), "{}", described(&row));
    }
}
