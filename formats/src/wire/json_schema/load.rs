//! A JSON Schema's text → the class of schema that upstream's library makes of it.
//!
//! The library (`org.everit.json.schema`) knows one class for each kind of rule. A text with rules of several kinds is all of these classes together; then what
//! it says of itself (title, `connect.type`, default, …) is said of the whole, not of the parts. What a class becomes is `field`'s to say.

use serde_json::{Map, Value};

use super::references::At;

/// A schema of some class.
#[derive(Debug)]
pub(super) struct Loaded<'a> {
    pub(super) class: Class<'a>,
    pub(super) at: At<'a>,
    /// True when what the text says of itself is said of this schema, and not of one around it.
    pub(super) own: bool,
}

/// The classes of schemas.
#[derive(Debug)]
pub(super) enum Class<'a> {
    Boolean,
    Number {
        integer: bool,
    },
    Text,
    /// The only value.
    Const(&'a Value),
    /// The values.
    Enum(&'a [Value]),
    Null,
    /// Anything.
    Empty,
    Object,
    Array,
    Combined(Criterion, Vec<Loaded<'a>>),
    /// The `$ref`.
    Reference(&'a str),
    /// Rules without a type of their own: `not`, `if`, `false`.
    Untyped(&'static str),
}

/// How many of a combined schema's parts a value must fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Criterion {
    All,
    Any,
    One,
}

/// The drafts that differ here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Draft {
    /// 4, which has no `const` and no `if`.
    Four,
    /// 6 and 7, in which a `$ref` stands alone.
    Seven,
    /// 2019-09 and 2020-12.
    Modern,
}

impl Draft {
    /// The draft that a schema names; 7 where it names none, and instead of a modern one with `ignore.modern.dialects`.
    pub(super) fn of(root: At<'_>, draft7: bool) -> Self {
        match root.text("$schema").unwrap_or_default() {
            name if name.contains("draft-04") => Self::Four,
            name if !draft7 && (name.contains("2019-09") || name.contains("2020-12")) => Self::Modern,
            _ => Self::Seven,
        }
    }
}

const OBJECT: &[&str] =
    &["properties", "required", "minProperties", "maxProperties", "dependencies", "additionalProperties", "patternProperties", "propertyNames"];
const ARRAY: &[&str] = &["items", "additionalItems", "minItems", "maxItems", "uniqueItems", "contains"];
const NUMBER: &[&str] = &["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"];
const TEXT: &[&str] = &["minLength", "maxLength", "pattern", "format"];

/// Reads a schema.
///
/// # Errors
/// What is wrong with it, for a person.
pub(super) fn load<'a>(at: At<'a>, draft: Draft) -> Result<Loaded<'a>, String> {
    let object = match at.json {
        Value::Object(object) => object,
        Value::Bool(true) => return Ok(Loaded { class: Class::Empty, at, own: true }),
        Value::Bool(false) => return Ok(Loaded { class: Class::Untyped("false"), at, own: true }),
        other => return Err(format!("a schema is an object, true or false, not {other}")),
    };
    let mut classes = Vec::new();
    if let Some(reference) = object.get("$ref") {
        classes.push(Class::Reference(reference.as_str().ok_or("\"$ref\" is not a text")?));
    }
    if classes.is_empty() || draft == Draft::Modern {
        rules(object, at, draft, &mut classes)?;
    }
    let class = match classes.len() {
        0 => Class::Empty,
        1 => classes.pop().unwrap_or(Class::Empty),
        _ => Class::Combined(Criterion::All, classes.into_iter().map(|class| Loaded { class, at, own: false }).collect()),
    };
    Ok(Loaded { class, at, own: true })
}

/// The classes of the rules that an object has.
fn rules<'a>(object: &'a Map<String, Value>, at: At<'a>, draft: Draft, classes: &mut Vec<Class<'a>>) -> Result<(), String> {
    if let Some(values) = object.get("enum") {
        classes.push(Class::Enum(values.as_array().ok_or("\"enum\" is not an array")?));
    }
    for (keyword, criterion) in [("allOf", Criterion::All), ("anyOf", Criterion::Any), ("oneOf", Criterion::One)] {
        if let Some(parts) = object.get(keyword) {
            let parts = parts.as_array().ok_or_else(|| format!("\"{keyword}\" is not an array"))?;
            classes.push(Class::Combined(criterion, parts.iter().map(|part| load(at.part(part), draft)).collect::<Result<_, _>>()?));
        }
    }
    if object.contains_key("not") {
        classes.push(Class::Untyped("not"));
    }
    if let Some(value) = object.get("const").filter(|_| draft != Draft::Four) {
        classes.push(Class::Const(value));
    }
    let known = classes.len();
    match object.get("type") {
        None => {}
        Some(Value::String(name)) => classes.push(typed(name)?),
        Some(Value::Array(names)) => {
            let parts = names.iter().map(|name| Ok(Loaded { class: typed(name.as_str().unwrap_or_default())?, at, own: false }));
            classes.push(Class::Combined(Criterion::Any, parts.collect::<Result<_, String>>()?));
        }
        Some(other) => return Err(format!("\"type\" is {other}, it must be a name or an array of names")),
    }
    sniffed(object, draft, known, classes);
    Ok(())
}

fn typed(name: &str) -> Result<Class<'static>, String> {
    Ok(match name {
        "string" => Class::Text,
        "integer" => Class::Number { integer: true },
        "number" => Class::Number { integer: false },
        "boolean" => Class::Boolean,
        "null" => Class::Null,
        "array" => Class::Array,
        "object" => Class::Object,
        other => return Err(format!("type \"{other}\" is unknown; known are string, integer, number, boolean, null, array, object")),
    })
}

/// Adds the classes of rules that the declared types did not take; `known` classes stand before those types.
fn sniffed<'a>(object: &Map<String, Value>, draft: Draft, known: usize, classes: &mut Vec<Class<'a>>) {
    let mut declared = Vec::new();
    for class in classes.iter().skip(known) {
        match class {
            Class::Combined(_, parts) => declared.extend(parts.iter().map(|part| kind(&part.class))),
            class => declared.push(kind(class)),
        }
    }
    let has = |keywords: &[&str], of: Kind| !declared.contains(&of) && keywords.iter().any(|keyword| object.contains_key(*keyword));
    let text = if draft == Draft::Modern { &TEXT[..3] } else { TEXT };
    let conditional = draft != Draft::Four && ["if", "then", "else"].iter().any(|keyword| object.contains_key(*keyword));
    let found = [
        (has(ARRAY, Kind::Array), Class::Array),
        (has(OBJECT, Kind::Object), Class::Object),
        (has(NUMBER, Kind::Number), Class::Number { integer: false }),
        (has(text, Kind::Text), Class::Text),
        (conditional, Class::Untyped("if")),
    ];
    classes.extend(found.into_iter().filter(|(found, _)| *found).map(|(_, class)| class));
}

/// Which keywords a class takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Object,
    Array,
    Number,
    Text,
    Other,
}

fn kind(class: &Class<'_>) -> Kind {
    match class {
        Class::Object => Kind::Object,
        Class::Array => Kind::Array,
        Class::Number { .. } => Kind::Number,
        Class::Text => Kind::Text,
        _ => Kind::Other,
    }
}
