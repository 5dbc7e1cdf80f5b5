//! How records are made up: an Avro schema whose types may say under `arg.properties` which values they take.
//!
//! The annotations are those of Confluent's `avro-random-generator`: `options`, `iteration`, `range`, `length`, `regex`, `prefix`, `suffix`, `keys`, `odds`, and
//! for a field that is a union `position` and `distribution`. What they make is written as Avro, which the Avro converter reads back into columns, so
//! that a schema becomes the same as in any other place.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::generator::Random;
use super::text::Text;

/// Types within types, at most: a type that has itself as a part would have no end.
const MOST_DEPTH: usize = 64;
/// Entries that an array, a map or a text without a bound of its own has at most.
const MOST_LENGTH: u64 = 1 << 16;

/// The values of a type.
#[derive(Debug, Clone)]
pub(super) enum Recipe {
    Null,
    /// True with that likelihood.
    Boolean(f64),
    /// From the first to below the second.
    Whole(i64, i64),
    /// Any number of so many bits.
    Bits(u32),
    Float(f64, f64),
    Double(f64, f64),
    Bytes(Lengths),
    Fixed(usize),
    /// So many digits; so many bytes, or as many as it takes.
    Decimal(u32, Option<usize>),
    /// The number of one of so many symbols.
    Symbol(u64),
    Text(Text),
    Array(Box<Self>, Lengths),
    /// Keys, values.
    Map(Box<Self>, Box<Self>, Lengths),
    Record(Vec<Self>),
    /// Members, with the likelihood of each.
    Union(Vec<Self>, Vec<f64>),
    /// One of these values, in Avro.
    OneOf(Vec<Vec<u8>>),
    /// Alternating, beginning with this.
    Turns(bool),
    Steps(Steps, Stepped),
}

/// What goes on in steps.
#[derive(Debug, Clone)]
pub(super) enum Stepped {
    Whole,
    Float,
    Double,
    /// With these before and after the number.
    Text(String, String),
}

/// A number that grows from record to record and begins again.
#[derive(Debug, Clone)]
pub(super) struct Steps {
    start: f64,
    step: f64,
    initial: f64,
    /// The same where the numbers are whole: exact.
    whole: Option<(i128, i128, i128)>,
    /// Where it begins again, as a distance from the start.
    modulo: f64,
    whole_modulo: i128,
}

impl Steps {
    pub(super) fn whole(&self, number: i64) -> i64 {
        let Some((start, step, initial)) = self.whole else { return 0 };
        let gone = (initial - start + i128::from(number) * step).abs() % self.whole_modulo.max(1);
        i64::try_from(start + gone * step.signum()).unwrap_or(i64::MAX)
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of records")]
    pub(super) fn number(&self, number: i64) -> f64 {
        self.start + (self.initial - self.start + number as f64 * self.step) % self.modulo
    }
}

/// How long, from the first to below the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lengths(pub(super) u64, pub(super) u64);

impl Lengths {
    pub(super) fn any(self, random: &mut Random) -> u64 {
        self.0 + random.below(self.1 - self.0)
    }

    /// From `length`, which is a number, bounds, or not there.
    fn read(properties: &Properties<'_>) -> Result<Self, String> {
        let Some(length) = properties.get("length") else { return Ok(Self(8, 16)) };
        if let Some(exact) = length.as_u64() {
            return Ok(Self(exact, exact + 1));
        }
        let bounds = Properties::of("length", length)?;
        let [least, most] = ["min", "max"].map(|name| bounds.whole(name));
        match (least?, most?) {
            (None, None) => Err("length has neither min nor max".to_owned()),
            (least, most) => {
                let least = least.map_or(Ok(0), |least| u64::try_from(least).map_err(|_| "the min of length is below zero".to_owned()))?;
                let most = most.map_or(least + MOST_LENGTH, |most| u64::try_from(most).unwrap_or(0));
                if most <= least { Err("the max of length must be greater than its min".to_owned()) } else { Ok(Self(least, most)) }
            }
        }
    }
}

/// The members of an object, with what it is called.
struct Properties<'a> {
    name: &'a str,
    members: Option<&'a Map<String, Value>>,
}

impl<'a> Properties<'a> {
    /// `arg.properties` of a type or a field.
    fn beside(schema: &'a Value) -> Result<Self, String> {
        match schema.get("arg.properties") {
            None => Ok(Self { name: "arg.properties", members: None }),
            Some(members) => Self::of("arg.properties", members),
        }
    }

    fn of(name: &'a str, value: &'a Value) -> Result<Self, String> {
        let members = value.as_object().ok_or_else(|| format!("{name} is no object"))?;
        Ok(Self { name, members: Some(members) })
    }

    fn get(&self, member: &str) -> Option<&'a Value> {
        self.members?.get(member)
    }

    fn wrong(&self, member: &str, what: &str) -> String {
        format!("'{member}' of {} is {}, {what}", self.name, self.get(member).unwrap_or(&Value::Null))
    }

    fn whole(&self, member: &str) -> Result<Option<i64>, String> {
        self.get(member).map(|value| value.as_i64().ok_or_else(|| self.wrong(member, "not a whole number"))).transpose()
    }

    fn number(&self, member: &str) -> Result<Option<f64>, String> {
        self.get(member).map(|value| value.as_f64().ok_or_else(|| self.wrong(member, "not a number"))).transpose()
    }

    fn text(&self, member: &str) -> Result<Option<&'a str>, String> {
        self.get(member).map(|value| value.as_str().ok_or_else(|| self.wrong(member, "not a text"))).transpose()
    }
}

/// The recipe of a schema's records. That it is a schema is checked by the converter that reads it.
///
/// # Errors
/// What an annotation says that it cannot, for a person, or that the schema is none of records.
pub(super) fn parse(schema: &Value) -> Result<Recipe, String> {
    if schema.get("type").and_then(Value::as_str) != Some("record") {
        return Err("the schema is not that of a record".to_owned());
    }
    Reader { named: HashMap::new() }.read(schema, "", 0)
}

/// What the types of a schema are called.
struct Reader {
    named: HashMap<String, Value>,
}

/// The full name of a type, and the namespace of what is in it.
fn full_name(schema: &Value, within: &str) -> (String, String) {
    let text = |member: &str| schema.get(member).and_then(Value::as_str).unwrap_or_default();
    let name = text("name");
    match name.rsplit_once('.') {
        Some((namespace, _)) => (name.to_owned(), namespace.to_owned()),
        None => {
            let namespace = if text("namespace").is_empty() { within } else { text("namespace") };
            (if namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }, namespace.to_owned())
        }
    }
}

impl Reader {
    fn read(&mut self, schema: &Value, within: &str, depth: usize) -> Result<Recipe, String> {
        if depth > MOST_DEPTH {
            return Err(format!("types are nested deeper than {MOST_DEPTH}: one that has itself as a part has no end"));
        }
        match schema {
            Value::String(name) => self.named_or_primitive(schema, name, within, depth),
            Value::Array(members) => {
                let members = members.iter().map(|member| self.read(member, within, depth + 1)).collect::<Result<Vec<_>, _>>()?;
                let each = vec![1.0; members.len()];
                Ok(Recipe::Union(members, each))
            }
            Value::Object(_) => match schema.get("type") {
                Some(Value::String(name)) => self.named_or_primitive(schema, name, within, depth),
                Some(inner) => self.read(inner, within, depth + 1),
                None => Err(format!("{schema} has no type")),
            },
            other => Err(format!("{other} is no type")),
        }
    }

    fn named_or_primitive(&mut self, schema: &Value, kind: &str, within: &str, depth: usize) -> Result<Recipe, String> {
        let full = if kind.contains('.') || within.is_empty() { kind.to_owned() } else { format!("{within}.{kind}") };
        if let Some(named) = self.named.get(&full).or_else(|| self.named.get(kind)).cloned() {
            let within = full_name(&named, within).1;
            return self.read(&named, &within, depth + 1);
        }
        let (name, within) = full_name(schema, within);
        if matches!(kind, "record" | "enum" | "fixed") {
            let mut schema = schema.clone();
            schema["name"] = name.clone().into();
            self.named.insert(name, schema);
        }
        let properties = Properties::beside(schema)?;
        self.recipe(schema, kind, &properties, &within, depth).map_err(|why| if schema.is_object() { format!("{why} (in {schema})") } else { why })
    }

    fn recipe(&mut self, schema: &Value, kind: &str, properties: &Properties<'_>, within: &str, depth: usize) -> Result<Recipe, String> {
        if let Some(options) = properties.get("options") {
            return self.options(schema, options, within);
        }
        if let Some(iteration) = properties.get("iteration") {
            return steps(kind, &Properties::of("iteration", iteration)?, properties);
        }
        let range = properties.get("range").map(|range| Properties::of("range", range)).transpose()?;
        let decimal = || (schema.get("logicalType")?.as_str()? == "decimal").then(|| schema.get("precision")?.as_u64()).flatten();
        let digits = |precision: u64| u32::try_from(precision).map_err(|_| format!("a precision of {precision} is out of range"));
        Ok(match kind {
            "null" => Recipe::Null,
            "boolean" => match properties.number("odds")? {
                Some(odds) if !(0.0..=1.0).contains(&odds) => return Err(properties.wrong("odds", "not from 0.0 to 1.0")),
                odds => Recipe::Boolean(odds.unwrap_or(0.5)),
            },
            "int" => whole(range.as_ref(), i32::MIN.into(), i32::MAX.into(), 32)?,
            "long" => whole(range.as_ref(), i64::MIN, i64::MAX, 64)?,
            "float" => within_range(range.as_ref(), f64::from(f32::MAX)).map(|(least, most)| Recipe::Float(least, most))?,
            "double" => within_range(range.as_ref(), f64::MAX).map(|(least, most)| Recipe::Double(least, most))?,
            "bytes" => match decimal() {
                Some(precision) => Recipe::Decimal(digits(precision)?, None),
                None => Recipe::Bytes(Lengths::read(properties)?),
            },
            "fixed" => {
                let size = schema.get("size").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok()).ok_or("a fixed type has no size")?;
                decimal().map_or(Ok(Recipe::Fixed(size)), |precision| Ok::<_, String>(Recipe::Decimal(digits(precision)?, Some(size))))?
            }
            "enum" => Recipe::Symbol(schema.get("symbols").and_then(Value::as_array).map_or(0, |symbols| symbols.len() as u64)),
            "string" => Recipe::Text(text(properties)?),
            "array" => {
                let items = schema.get("items").ok_or("an array has no items")?;
                Recipe::Array(Box::new(self.read(items, within, depth + 1)?), Lengths::read(properties)?)
            }
            "map" => {
                let values = schema.get("values").ok_or("a map has no values")?;
                let keys = match properties.get("keys") {
                    None => Recipe::Text(Text::any(Lengths(1, 2))),
                    Some(keys) => self.recipe(&Value::Null, "string", &Properties::of("keys", keys)?, "", depth + 1)?,
                };
                Recipe::Map(Box::new(keys), Box::new(self.read(values, within, depth + 1)?), Lengths::read(properties)?)
            }
            "record" => {
                let fields = schema.get("fields").and_then(Value::as_array).ok_or("a record has no fields")?;
                Recipe::Record(fields.iter().map(|field| self.field(field, within, depth)).collect::<Result<_, _>>()?)
            }
            other => return Err(format!("there is no type {other:?}")),
        })
    }

    /// A field's type; of a union, how often each of its members is taken.
    fn field(&mut self, field: &Value, within: &str, depth: usize) -> Result<Recipe, String> {
        let schema = field.get("type").ok_or_else(|| format!("{field} has no type"))?;
        let (recipe, properties) = (self.read(schema, within, depth + 1)?, Properties::beside(field)?);
        let Recipe::Union(members, mut odds) = recipe else { return Ok(recipe) };
        let of = |position: usize| format!("there is no member {position} among {} (in {field})", members.len());
        if let Some(position) = properties.whole("position")? {
            let position = usize::try_from(position).unwrap_or(usize::MAX);
            odds = vec![0.0; members.len()];
            *odds.get_mut(position).ok_or_else(|| of(position))? = 1.0;
        } else if let Some(distribution) = properties.get("distribution") {
            let distribution = Properties::of("distribution", distribution)?;
            odds = vec![0.0; members.len()];
            for position in distribution.members.into_iter().flat_map(Map::keys) {
                let at = position.parse().unwrap_or(usize::MAX);
                *odds.get_mut(at).ok_or_else(|| of(at))? = distribution.number(position)?.unwrap_or(0.0).max(0.0);
            }
        }
        if odds.iter().sum::<f64>() > 0.0 { Ok(Recipe::Union(members, odds)) } else { Err(format!("a union has no member that is taken (in {field})")) }
    }

    /// Values to choose from, in the schema or in a file.
    fn options(&self, schema: &Value, options: &Value, within: &str) -> Result<Recipe, String> {
        let schema = if schema.is_null() { &Value::from("string") } else { schema };
        let read;
        let values = match options {
            Value::Array(values) => values,
            _ => {
                let source = Properties::of("options", options)?;
                let (file, encoding) = (source.text("file")?.ok_or("options has no file")?, source.text("encoding")?.ok_or("options has no encoding")?);
                if encoding != "json" {
                    return Err(source.wrong("encoding", "not supported; write the values as json, one after the other"));
                }
                let text = std::fs::read_to_string(file).map_err(|why| format!("the options file {file} cannot be read: {why}"))?;
                read = serde_json::Deserializer::from_str(&text).into_iter().collect::<Result<Vec<Value>, _>>();
                read.as_ref().map_err(|why| format!("the options file {file} is not json: {why}"))?
            }
        };
        if values.is_empty() {
            return Err("options is empty".to_owned());
        }
        let encoded = |value| {
            let mut out = Vec::new();
            self.encode(schema, value, within, &mut out).map(|()| out)
        };
        values.iter().map(encoded).collect::<Result<_, _>>().map(Recipe::OneOf)
    }

    /// A value in JSON as one of that type in Avro.
    fn encode(&self, schema: &Value, value: &Value, within: &str, out: &mut Vec<u8>) -> Result<(), String> {
        let wrong = || format!("{value} is no value of {schema}");
        let kind = match schema {
            Value::Array(members) => {
                let fits = |member: &Value| {
                    let mut out = Vec::new();
                    self.encode(member, value, within, &mut out).is_ok().then_some(out)
                };
                let (at, bytes) = members.iter().enumerate().find_map(|(at, member)| Some((at, fits(member)?))).ok_or_else(wrong)?;
                put_long(at as i64, out);
                out.extend(bytes);
                return Ok(());
            }
            Value::String(kind) => kind.as_str(),
            _ => match schema.get("type") {
                Some(Value::String(kind)) => kind.as_str(),
                Some(inner) => return self.encode(inner, value, within, out),
                None => return Err(wrong()),
            },
        };
        let full = if kind.contains('.') || within.is_empty() { kind.to_owned() } else { format!("{within}.{kind}") };
        if let Some(named) = self.named.get(&full).or_else(|| self.named.get(kind)).filter(|_| !matches!(kind, "record" | "enum" | "fixed")) {
            return self.encode(named, value, &full_name(named, within).1, out);
        }
        let within = &full_name(schema, within).1;
        match kind {
            "null" if value.is_null() => {}
            "boolean" => out.push(value.as_bool().ok_or_else(wrong)?.into()),
            "int" => put_long(value.as_i64().filter(|value| i32::try_from(*value).is_ok()).ok_or_else(wrong)?, out),
            "long" => put_long(value.as_i64().ok_or_else(wrong)?, out),
            #[expect(clippy::cast_possible_truncation, reason = "the nearest, as upstream takes it")]
            "float" => out.extend((value.as_f64().ok_or_else(wrong)? as f32).to_le_bytes()),
            "double" => out.extend(value.as_f64().ok_or_else(wrong)?.to_le_bytes()),
            "bytes" | "string" => put_bytes(value.as_str().ok_or_else(wrong)?.as_bytes(), out),
            "fixed" => {
                let text = value.as_str().filter(|text| schema.get("size").and_then(Value::as_u64) == Some(text.len() as u64)).ok_or_else(wrong)?;
                out.extend(text.as_bytes());
            }
            "enum" => {
                let symbols = schema.get("symbols").and_then(Value::as_array).into_iter().flatten();
                put_long(symbols.into_iter().position(|symbol| symbol == value).ok_or_else(wrong)? as i64, out);
            }
            "array" => {
                let (items, values) = (schema.get("items").ok_or_else(wrong)?, value.as_array().ok_or_else(wrong)?);
                blocks(values.iter(), out, |value, out| self.encode(items, value, within, out))?;
            }
            "map" => {
                let (of, values) = (schema.get("values").ok_or_else(wrong)?, value.as_object().ok_or_else(wrong)?);
                blocks(values.iter(), out, |(key, value), out| {
                    put_bytes(key.as_bytes(), out);
                    self.encode(of, value, within, out)
                })?;
            }
            "record" => {
                let members = value.as_object().ok_or_else(wrong)?;
                for field in schema.get("fields").and_then(Value::as_array).into_iter().flatten() {
                    let value = field.get("name").and_then(Value::as_str).and_then(|name| members.get(name)).or_else(|| field.get("default"));
                    self.encode(field.get("type").ok_or_else(wrong)?, value.ok_or_else(wrong)?, within, out)?;
                }
            }
            _ => return Err(wrong()),
        }
        Ok(())
    }
}

fn whole(range: Option<&Properties<'_>>, least: i64, most: i64, bits: u32) -> Result<Recipe, String> {
    let Some(range) = range else { return Ok(Recipe::Bits(bits)) };
    let (first, end) = (range.whole("min")?.unwrap_or(least), range.whole("max")?.unwrap_or(most));
    if first < least || end > most.saturating_add(1) {
        return Err(format!("the range from {first} to {end} goes beyond the type"));
    }
    if first < end { Ok(Recipe::Whole(first, end)) } else { Err("the min of range must be less than its max".to_owned()) }
}

fn within_range(range: Option<&Properties<'_>>, most: f64) -> Result<(f64, f64), String> {
    let Some(range) = range else { return Ok((0.0, 1.0)) };
    let (first, end) = (range.number("min")?.unwrap_or(-most), range.number("max")?.unwrap_or(most));
    if first < end { Ok((first, end)) } else { Err("the min of range must be less than its max".to_owned()) }
}

fn text(properties: &Properties<'_>) -> Result<Text, String> {
    match properties.text("kind")? {
        None | Some("uuid") => {}
        Some(_) => return Err(properties.wrong("kind", "not supported; available: uuid. Give options or a regex")),
    }
    let regex = match properties.text("kind")? {
        Some(_) => Some("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
        None => properties.text("regex")?,
    };
    let lengths = Lengths::read(properties)?;
    let made = match regex {
        Some(regex) => Text::like(regex, lengths)?,
        None => Text::any(lengths),
    };
    Ok(made.between(properties.text("prefix")?.unwrap_or_default(), properties.text("suffix")?.unwrap_or_default()))
}

/// A value that goes on in steps from record to record.
fn steps(kind: &str, iteration: &Properties<'_>, properties: &Properties<'_>) -> Result<Recipe, String> {
    if kind == "boolean" {
        let start = iteration.get("start").and_then(Value::as_bool).ok_or_else(|| iteration.wrong("start", "not true or false"))?;
        return Ok(Recipe::Turns(start));
    }
    let (is_whole, most) = match kind {
        "int" | "string" => (true, i128::from(i32::MAX)),
        "long" => (true, i128::from(i64::MAX)),
        "float" | "double" => (false, 0),
        _ => return Err(format!("iteration can only be given for numbers, booleans and strings, not for {kind}")),
    };
    let start = iteration.number("start")?.ok_or("iteration has no start")?;
    let (restart, step) = (iteration.number("restart")?, iteration.number("step")?);
    let step = step.unwrap_or(if restart.is_some_and(|restart| restart < start) { -1.0 } else { 1.0 });
    if step == 0.0 || restart.is_some_and(|restart| restart == start || (restart > start) != (step > 0.0)) {
        return Err("the step of iteration must lead from its start towards its restart".to_owned());
    }
    let initial = iteration.number("initial")?.unwrap_or(start);
    let whole = if is_whole {
        let of = |member: &str, otherwise: i64| iteration.whole(member).map(|value| i128::from(value.unwrap_or(otherwise)));
        let start = of("start", 0)?;
        let first = i64::try_from(start).unwrap_or_default();
        Some((start, of("step", if step < 0.0 { -1 } else { 1 })?, of("initial", first)?))
    } else {
        None
    };
    let whole_restart = if is_whole { iteration.whole("restart")?.map(i128::from) } else { None };
    let whole_modulo = whole.map_or(1, |(start, step, _)| (whole_restart.unwrap_or(if step < 0 { -most } else { most }) - start).abs());
    let bound = if kind == "float" { f64::from(f32::MAX) } else { f64::MAX };
    let modulo = restart.unwrap_or(if step < 0.0 { -bound } else { bound }) - start;
    let affixes = || Ok::<_, String>((properties.text("prefix")?.unwrap_or_default().to_owned(), properties.text("suffix")?.unwrap_or_default().to_owned()));
    let stepped = match kind {
        "float" => Stepped::Float,
        "double" => Stepped::Double,
        "string" => affixes().map(|(prefix, suffix)| Stepped::Text(prefix, suffix))?,
        _ => Stepped::Whole,
    };
    Ok(Recipe::Steps(Steps { start, step, initial, whole, modulo, whole_modulo }, stepped))
}

/// A whole number in Avro.
pub(super) fn put_long(value: i64, out: &mut Vec<u8>) {
    let mut left = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while left >= 0x80 {
        out.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    out.push((left & 0x7f) as u8);
}

/// Bytes with their length.
pub(super) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_long(i64::try_from(bytes.len()).unwrap_or(i64::MAX), out);
    out.extend(bytes);
}

/// An array or a map in Avro: one block, if it has entries, and the end.
pub(super) fn blocks<T, E>(
    entries: impl ExactSizeIterator<Item = T>,
    out: &mut Vec<u8>,
    mut write: impl FnMut(T, &mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    if entries.len() > 0 {
        put_long(i64::try_from(entries.len()).unwrap_or(i64::MAX), out);
        for entry in entries {
            write(entry, out)?;
        }
    }
    put_long(0, out);
    Ok(())
}
