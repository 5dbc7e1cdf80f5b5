//! Random records as columns.
//!
//! Numbers come from `java.util.Random`, whose whole state is a seed that fits into a source offset, so that whoever goes on makes the records that would have
//! come next. (Which records a seed makes is not upstream's.) Each record is written as Avro, and the Avro converter reads them into columns.

use arrow::array::{ArrayRef, AsArray, BinaryBuilder};
use lakehead_formats::column::Column;
use lakehead_formats::wire::{self, Converter, RegisteredSchema, SchemaKind};
use serde_json::Value;

use super::recipe::{Recipe, Stepped, blocks, parse, put_bytes, put_long};

/// `java.util.Random`.
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

const MASK: u64 = (1 << 48) - 1;

impl Random {
    pub(super) fn new(seed: i64) -> Self {
        Self((seed.cast_unsigned() ^ 0x5_deec_e66d) & MASK)
    }

    /// The next so many bits, at most 32.
    fn bits(&mut self, count: u32) -> u64 {
        self.0 = self.0.wrapping_mul(0x5_deec_e66d).wrapping_add(0xb) & MASK;
        self.0 >> (48 - count)
    }

    /// `nextLong`.
    pub(super) fn long(&mut self) -> i64 {
        let signed = |bits: u64| (bits << 32).cast_signed() >> 32;
        let high = signed(self.bits(32)) << 32;
        high.wrapping_add(signed(self.bits(32)))
    }

    /// `nextDouble`: from 0 to below 1.
    pub(super) fn double(&mut self) -> f64 {
        let bits = (self.bits(26) << 27) + self.bits(27);
        #[expect(clippy::cast_precision_loss, reason = "53 bits are what a double holds")]
        let whole = bits as f64;
        whole / 2_f64.powi(53)
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.bits(8)).unwrap_or_default()
    }

    /// A number below that one.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.long().cast_unsigned() % end.max(1)
    }
}

/// The id of the schema in the frames around the records, which nobody else sees.
const ID: u32 = 1;
const FRAME: [u8; 5] = [0, 0, 0, 0, 1];

/// Makes records of a schema.
#[derive(Debug)]
pub(super) struct Generator {
    recipe: Recipe,
    converter: Box<dyn Converter>,
}

impl Generator {
    /// From the JSON text of an Avro schema with annotations.
    ///
    /// # Errors
    /// Why it is no such schema, for a person.
    pub(super) fn new(schema: &str) -> Result<Self, String> {
        let json: Value = serde_json::from_str(schema).map_err(|why| format!("the schema is no json: {why}"))?;
        let avro = wire::find("avro").ok_or("there is no Avro converter")?;
        let mut converter = (avro.build)(&wire::Options::new(), false, wire::Want::Any).map_err(|why| why.to_string())?;
        converter.learn(ID, Ok(&RegisteredSchema::new(SchemaKind::Avro, schema))).map_err(|why| why.to_string())?;
        Ok(Self { recipe: parse(&json)?, converter })
    }

    /// Records with these numbers, and after each the seed that the next one begins with.
    ///
    /// # Errors
    /// What the converter says: a defect.
    pub(super) fn records(&mut self, random: &mut Random, numbers: std::ops::Range<i64>) -> Result<(Column, Vec<i64>), String> {
        let (mut seeds, mut payloads, mut bytes) = (Vec::new(), BinaryBuilder::new(), Vec::new());
        for number in numbers {
            bytes.clear();
            bytes.extend(FRAME);
            write(&self.recipe, random, number, &mut bytes);
            payloads.append_value(&bytes);
            let seed = random.long();
            *random = Random::new(seed);
            seeds.push(seed);
        }
        let decoded = self.converter.decode("", &payloads.finish()).map_err(|why| why.to_string())?;
        if let Some(reject) = decoded.rejects.first() {
            return Err(format!("a record that was made up is none of its schema: {}", reject.reason));
        }
        let mut spans = decoded.spans.into_iter();
        match (spans.next(), spans.next()) {
            (Some((_, column)), None) => Ok((column, seeds)),
            _ => Err("records of one schema have several, or none".to_owned()),
        }
    }

    /// The field of the records that is their key.
    pub(super) fn key(records: &Column, name: &str) -> Option<Column> {
        let structs = records.array.as_struct_opt()?;
        let (at, field) = structs.fields().find(name)?;
        let array = ArrayRef::clone(structs.columns().get(at)?);
        Some(Column::new(field.as_ref().clone().with_name("key").into(), array))
    }

    /// True when records have that field.
    pub(super) fn has_field(&mut self, name: &str) -> bool {
        let made = self.records(&mut Random::new(0), 0..1);
        made.is_ok_and(|(records, _)| Self::key(&records, name).is_some())
    }
}

/// One value, in Avro.
fn write(recipe: &Recipe, random: &mut Random, number: i64, out: &mut Vec<u8>) {
    let between = |first: f64, end: f64, random: &mut Random| first + random.double() * (end - first);
    match recipe {
        Recipe::Null => {}
        Recipe::Boolean(odds) => out.push((random.double() < *odds).into()),
        Recipe::Whole(first, end) => put_long(first.saturating_add_unsigned(random.below(end.abs_diff(*first))), out),
        Recipe::Bits(bits) => put_long(random.long() >> (64 - bits), out),
        #[expect(clippy::cast_possible_truncation, reason = "its bounds are those of the type")]
        Recipe::Float(first, end) => out.extend((between(*first, *end, random) as f32).to_le_bytes()),
        // In halves: the distance between the bounds may be more than the type holds.
        Recipe::Double(first, end) => out.extend((2.0 * between(*first / 2.0, *end / 2.0, random)).to_le_bytes()),
        Recipe::Bytes(lengths) => {
            let length = lengths.any(random);
            put_long(i64::try_from(length).unwrap_or(0), out);
            out.extend((0..length).map(|_| random.byte()));
        }
        Recipe::Fixed(size) => out.extend((0..*size).map(|_| random.byte())),
        Recipe::Decimal(digits, size) => decimal(*digits, *size, random, out),
        Recipe::Symbol(count) => put_long(random.below(*count).cast_signed(), out),
        Recipe::Text(text) => put_bytes(text.make(random).as_bytes(), out),
        Recipe::Array(items, lengths) => many(lengths.any(random), out, |out| write(items, random, number, out)),
        Recipe::Map(keys, values, lengths) => {
            // Entries whose keys are the same become one.
            let made: std::collections::BTreeMap<Vec<u8>, Vec<u8>> = (0..lengths.any(random))
                .map(|_| {
                    let (mut key, mut value) = (Vec::new(), Vec::new());
                    write(keys, random, number, &mut key);
                    write(values, random, number, &mut value);
                    (key, value)
                })
                .collect();
            let mut entries = made.into_iter();
            many(entries.len() as u64, out, |out| out.extend(entries.next().into_iter().flat_map(|(key, value)| [key, value].concat())));
        }
        Recipe::Record(fields) => fields.iter().for_each(|field| write(field, random, number, out)),
        Recipe::Union(members, odds) => {
            let mut left = random.double() * odds.iter().sum::<f64>();
            let is_taken = |odds: &f64| {
                left -= odds;
                left < 0.0
            };
            let at = odds.iter().position(is_taken).unwrap_or(0);
            put_long(at as i64, out);
            members.get(at).into_iter().for_each(|member| write(member, random, number, out));
        }
        Recipe::OneOf(values) => {
            let at = usize::try_from(random.below(values.len() as u64)).unwrap_or(0);
            out.extend(values.get(at).into_iter().flatten());
        }
        Recipe::Turns(start) => out.push((*start ^ (number % 2 == 1)).into()),
        Recipe::Steps(steps, kind) => match kind {
            Stepped::Whole => put_long(steps.whole(number), out),
            #[expect(clippy::cast_possible_truncation, reason = "its bounds are those of the type")]
            Stepped::Float => out.extend((steps.number(number) as f32).to_le_bytes()),
            Stepped::Double => out.extend(steps.number(number).to_le_bytes()),
            Stepped::Text(prefix, suffix) => put_bytes(format!("{prefix}{}{suffix}", steps.whole(number)).as_bytes(), out),
        },
    }
}

/// An array or a map of so many entries.
fn many(count: u64, out: &mut Vec<u8>, mut write: impl FnMut(&mut Vec<u8>)) {
    let count = usize::try_from(count).unwrap_or(0);
    let written = blocks(std::iter::repeat_n((), count), out, |(), out| {
        write(out);
        Ok::<_, std::convert::Infallible>(())
    });
    let Ok(()) = written;
}

/// A decimal of at most so many digits, of either sign: two's complement, big-endian, as short as it can be or of that size.
fn decimal(digits: u32, size: Option<usize>, random: &mut Random, out: &mut Vec<u8>) {
    // As many as 16 bytes hold.
    let value = (0..digits.min(38)).fold(0_i128, |value, _| value * 10 + i128::from(random.below(10)));
    let value = if random.below(2) == 0 { value } else { -value };
    let bytes = value.to_be_bytes();
    let filler = if value < 0 { 0xff } else { 0 };
    let is_idle = |at: usize| bytes.get(at) == Some(&filler) && bytes.get(at + 1).is_some_and(|next| (next & 0x80 != 0) == (value < 0));
    let start = (0..bytes.len() - 1).find(|at| !is_idle(*at)).unwrap_or(bytes.len() - 1);
    let short = bytes.get(start..).unwrap_or_default();
    match size {
        None => put_bytes(short, out),
        Some(size) => {
            out.extend(std::iter::repeat_n(filler, size.saturating_sub(short.len())));
            out.extend(short.get(short.len().saturating_sub(size)..).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use lakehead_formats::payload;
    use regex::Regex;

    use super::super::quickstarts::{QUICKSTARTS, find};
    use super::*;

    /// As Java gives them for these seeds.
    #[test]
    fn numbers_are_those_of_java() {
        let mut random = Random::new(42);
        assert_eq!((random.long(), random.long()), (-5_025_562_857_975_149_833, -5_843_495_416_241_995_736));
        let mut random = Random::new(0);
        assert_eq!((random.double(), random.long()), (0.730_967_787_376_657, 4_437_113_781_045_784_766));
    }

    fn json(schema: &str, seed: i64, numbers: std::ops::Range<i64>) -> (Vec<Value>, Vec<i64>) {
        let (records, seeds) = Generator::new(schema).unwrap().records(&mut Random::new(seed), numbers).unwrap();
        let settings = [("schemas.enable".to_owned(), "false".to_owned())].into();
        let written = (payload::find("json").unwrap().build)(&settings).unwrap().write(&records);
        assert!(written.rejects.is_empty(), "{:?}", written.rejects);
        (written.payloads.iter().map(|payload| serde_json::from_slice(payload.unwrap()).unwrap()).collect(), seeds)
    }

    #[test]
    fn a_seed_makes_the_same_records_in_whatever_pieces() {
        for quickstart in QUICKSTARTS {
            let schema = quickstart.schema();
            let (whole, seeds) = json(&schema, 7, 0..5);
            let (mut pieces, first) = json(&schema, 7, 0..2);
            pieces.extend(json(&schema, first[1], 2..5).0);
            assert_eq!((pieces, &first[..]), (whole, &seeds[..2]), "{}", quickstart.name);
        }
    }

    #[test]
    fn records_are_of_their_shape() {
        let (orders, _) = json(&find("ORDERS").unwrap().schema(), 1, 0..50);
        let (item, city) = (Regex::new("^Item_[1-9][0-9]{0,2}$").unwrap(), Regex::new("^City_[1-9]{0,2}$").unwrap());
        for (number, order) in orders.iter().enumerate() {
            assert_eq!(order["orderid"], number);
            assert!(item.is_match(order["itemid"].as_str().unwrap()) && city.is_match(order["address"]["city"].as_str().unwrap()), "{order}");
            assert!((0.1..10.0).contains(&order["orderunits"].as_f64().unwrap()) && (10_000..=99_999).contains(&order["address"]["zipcode"].as_i64().unwrap()));
        }
        let (views, _) = json(&find("pageviews").unwrap().schema(), 1, 3..5);
        assert_eq!((&views[0]["viewtime"], &views[1]["viewtime"]), (&31.into(), &41.into()));
        assert!(QUICKSTARTS.iter().all(|quickstart| Generator::new(&quickstart.schema()).unwrap().has_field(quickstart.key)));
    }

    /// The values of a field of that type in ten records.
    fn values(kind: &str) -> Vec<Value> {
        let schema = format!(r#"{{"type":"record","name":"R","namespace":"a.b","fields":[{{"name":"f",{kind}}}]}}"#);
        json(&schema, 3, 0..10).0.into_iter().map(|mut record| record["f"].take()).collect()
    }

    #[test]
    fn every_annotation_acts() {
        let all = |kind: &str, holds: &dyn Fn(&Value) -> bool| {
            let values = values(kind);
            assert!(values.iter().all(holds), "{kind}: {values:?}");
        };
        let with = |kind: &str, properties: &str| format!(r#""type":{{"type":"{kind}","arg.properties":{{{properties}}}}}"#);
        for (kind, properties, expected) in [
            ("int", r#""iteration":{"start":5}"#, "[5,6,7,8,9,10,11,12,13,14]"),
            ("long", r#""iteration":{"start":0,"restart":4,"initial":2}"#, "[2,3,0,1,2,3,0,1,2,3]"),
            ("int", r#""iteration":{"start":3,"restart":0}"#, "[3,2,1,3,2,1,3,2,1,3]"),
            ("double", r#""iteration":{"start":0.5,"restart":2.5,"step":0.5}"#, "[0.5,1.0,1.5,2.0,0.5,1.0,1.5,2.0,0.5,1.0]"),
            ("boolean", r#""iteration":{"start":true}"#, "[true,false,true,false,true,false,true,false,true,false]"),
            (
                "string",
                r#""iteration":{"start":1,"step":10},"prefix":"id_","suffix":"!""#,
                r#"["id_1!","id_11!","id_21!","id_31!","id_41!","id_51!","id_61!","id_71!","id_81!","id_91!"]"#,
            ),
        ] {
            assert_eq!(Value::from(values(&with(kind, properties))).to_string(), expected, "{kind} {properties}");
        }
        all(&with("int", r#""range":{"min":-2,"max":1}"#), &|value| (-2..1).contains(&value.as_i64().unwrap()));
        all(&with("float", r#""range":{"min":1}"#), &|value| value.as_f64().unwrap() >= 1.0);
        all(&with("boolean", r#""odds":1.0"#), &|value| *value == true);
        all(&with("long", r#""options":[4242424242424242]"#), &|value| *value == 4_242_424_242_424_242_i64);
        all(&with("bytes", r#""length":{"min":3,"max":4}"#), &|value| value.as_str().unwrap().len() == 4);
        all(&with("string", r#""kind":"uuid""#), &|value| value.as_str().unwrap().len() == 36);
        all(r#""type":["null","int",{"type":"string","arg.properties":{"options":["x"]}}],"arg.properties":{"position":2}"#, &|value| value["string"] == "x");
        all(r#""type":["null","int"],"arg.properties":{"distribution":{"1":0.5}}"#, &|value| value.is_i64());
        all(r#""type":{"type":"array","items":{"type":"enum","name":"E","symbols":["A","B"]},"arg.properties":{"length":2}}"#, &|value| {
            value.as_array().unwrap().iter().all(|symbol| symbol == "A" || symbol == "B")
        });
        all(r#""type":{"type":"map","values":"int","arg.properties":{"length":10,"keys":{"options":["a","b"]}}}"#, &|value| {
            value.as_object().unwrap().keys().all(|key| key == "a" || key == "b")
        });
        all(
            r#""type":{"type":"record","name":"In","fields":[{"name":"a","type":["null","string"]},{"name":"b","type":"int"}],"arg.properties":{"options":[{"a":null,"b":1},{"a":"x","b":2}]}}"#,
            &|value| value["a"].is_null() == (value["b"] == 1),
        );
        all(r#""type":{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#, &|value| value.is_string());
    }

    #[test]
    fn what_cannot_be_made_is_said() {
        let error = |schema: &str| Generator::new(schema).unwrap_err();
        let of = |kind: &str| format!(r#"{{"type":"record","name":"R","fields":[{{"name":"f","type":{kind}}}]}}"#);
        for (schema, says) in [
            ("{".to_owned(), "no json"),
            (r#""string""#.to_owned(), "not that of a record"),
            (of(r#""R""#), "contains itself"),
            (of(r#"{"type":"int","arg.properties":{"range":{"min":2,"max":2}}}"#), "must be less"),
            (of(r#"{"type":"int","arg.properties":{"range":{"min":"a"}}}"#), "'min' of range is \"a\", not a whole number"),
            (of(r#"{"type":"int","arg.properties":{"options":["a"]}}"#), "is no value of"),
            (of(r#"{"type":"int","arg.properties":{"options":[]}}"#), "options is empty"),
            (of(r#"{"type":"int","arg.properties":{"iteration":{"start":1,"step":0}}}"#), "step of iteration"),
            (of(r#"{"type":"string","arg.properties":{"regex":"["}}"#), "cannot be read"),
            (of(r#"{"type":"string","arg.properties":{"kind":"email"}}"#), "available: uuid"),
            (of(r#"{"type":"string","arg.properties":{"length":{"min":5,"max":2}}}"#), "greater than its min"),
        ] {
            let error = error(&schema);
            assert!(error.contains(says), "{schema}: {error}");
        }
    }
}
