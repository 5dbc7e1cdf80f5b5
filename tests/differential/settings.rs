//! Random configurations of transforms and predicates, most of which mean something for the record that they are for.

use std::collections::BTreeMap;

use fastrand::Rng;
use serde_json::Value;

use super::values::{DATES, NAMES, chance, name, one, text};

/// The settings of one plugin, without its prefix.
pub(crate) type Settings = BTreeMap<String, String>;

/// What a key or a value is made of.
#[derive(Debug, Default)]
pub(crate) struct Shape {
    /// Fields at the top.
    top: Vec<String>,
    /// Ways to fields within fields.
    paths: Vec<Vec<String>>,
    /// Texts at the top, by their fields.
    texts: Vec<(String, String)>,
}

impl Shape {
    /// Of a value, with its schema or without.
    pub(crate) fn of(schema: &Value, value: &Value) -> Self {
        let mut shape = Self::default();
        shape.add(schema, value, &[]);
        shape
    }

    fn add(&mut self, schema: &Value, value: &Value, above: &[String]) {
        let no_fields = Vec::new();
        let fields = schema["fields"].as_array().unwrap_or(&no_fields).iter().map(|field| {
            let name = field["field"].as_str().unwrap_or_default();
            (name.to_owned(), field, &value["struct"][name])
        });
        let pairs = value["map"]
            .as_array()
            .unwrap_or(&no_fields)
            .iter()
            .map(|pair| (pair[0]["string"].as_str().unwrap_or_default().to_owned(), &Value::Null, &pair[1]));
        let members: Vec<_> = if schema.is_null() { pairs.collect() } else { fields.collect() };
        for (name, schema, value) in members {
            let path = [above, std::slice::from_ref(&name)].concat();
            if above.is_empty() {
                self.top.push(name.clone());
                self.texts.extend(value["string"].as_str().map(|text| (name.clone(), text.to_owned())));
            }
            self.paths.push(path.clone());
            if path.len() < 4 {
                self.add(schema, value, &path);
            }
        }
    }

    fn field(&self, rng: &mut Rng) -> String {
        if self.top.is_empty() || chance(rng, 12) { name(rng).to_owned() } else { one(rng, &self.top).clone() }
    }

    fn fields(&self, rng: &mut Rng) -> Vec<String> {
        (0..rng.usize(1..4)).map(|_| self.field(rng)).collect()
    }

    /// A way to a field in the second syntax.
    fn path(&self, rng: &mut Rng) -> String {
        if self.paths.is_empty() || chance(rng, 15) {
            return (*one(rng, &["a.b", "a.`b", "nested.a.b", "`a.b`", "..", "a.", "list.0", "`x y`.id", "a`b"])).to_owned();
        }
        let quoted = |step: &String| if step.contains(['.', '`']) || step.is_empty() { format!("`{step}`") } else { step.clone() };
        one(rng, &self.paths).iter().map(quoted).collect::<Vec<_>>().join(".")
    }
}

fn put(settings: &mut Settings, key: &str, value: impl Into<String>) {
    settings.insert(key.to_owned(), value.into());
}

fn maybe(rng: &mut Rng, percent: u32, settings: &mut Settings, key: &str, values: &[&str]) {
    if chance(rng, percent) {
        put(settings, key, *one(rng, values));
    }
}

/// How a transform is configured, and whether it has defaults to replace.
type Make = fn(&mut Rng, &Shape, &mut Settings);

/// Every transform of Apache Kafka's; those with two sides, then the others.
const SIDED: [(&str, Make); 11] = [
    ("Cast", cast),
    ("ExtractField", extract_field),
    ("Flatten", |rng, _, settings| maybe(rng, 40, settings, "delimiter", &["_", ".", "", "::", "é"])),
    ("HeaderFrom", header_from),
    ("HoistField", |rng, _, settings| put(settings, "field", *one(rng, &["a", "magic", "é", "a.b"]))),
    ("InsertField", insert_field),
    ("MaskField", mask_field),
    ("ReplaceField", replace_field),
    ("SetSchemaMetadata", set_schema_metadata),
    ("TimestampConverter", timestamp_converter),
    ("TimestampConverter", timestamp_converter),
];
const OTHERS: [(&str, Make); 6] = [
    ("DropHeaders", |rng, _, settings| put(settings, "headers", *one(rng, &["h", "h,k", "é", "zz", "k, h"]))),
    ("InsertHeader", |rng, _, settings| {
        put(settings, "header", *one(rng, &["h", "new", "é"]));
        let literal = literal(rng);
        put(settings, "value.literal", literal);
    }),
    ("RegexRouter", regex_router),
    ("TimestampRouter", timestamp_router),
    ("ValueToKey", |rng, shape, settings| put(settings, "fields", shape.fields(rng).join(","))),
    ("Filter", |_, _, _| {}),
];

/// A text as headers have them: what is inferred of it is a value.
pub(crate) fn literal(rng: &mut Rng) -> String {
    const LITERALS: [&str; 34] = [
        "1",
        "1.0",
        "1.5",
        "1e3",
        "-129",
        "32768",
        "9223372036854775808",
        "true",
        "TRUE",
        "false",
        "null",
        "[1,2,300]",
        "[1, 2.5]",
        "[]",
        "{}",
        "{\"a\":1}",
        "{\"a\":1,\"b\":\"x\"}",
        "[1,]",
        "[\"a\",\"b\"]",
        "{foo: 3}",
        "\"quoted\"",
        "\"a",
        "2024-02-29",
        "2024-02-29T12:34:56.789Z",
        "12:34:56.789Z",
        "NaN",
        "0x10",
        " 1",
        "1 ",
        "a,b",
        "[true,false]",
        "{1:2}",
        "[null]",
        "\\\"x\\\"",
    ];
    if chance(rng, 75) { (*one(rng, &LITERALS)).to_owned() } else { text(rng) }
}

fn cast(rng: &mut Rng, shape: &Shape, settings: &mut Settings) {
    const TYPES: [&str; 8] = ["int8", "int16", "int32", "int64", "float32", "float64", "boolean", "string"];
    let kind = |rng: &mut Rng| if chance(rng, 3) { *one(rng, &["bytes", "struct", "int", "INT8", ""]) } else { *one(rng, &TYPES) };
    let spec = if shape.top.is_empty() || chance(rng, 8) {
        kind(rng).to_owned()
    } else {
        shape.fields(rng).into_iter().map(|field| format!("{field}:{}", kind(rng))).collect::<Vec<_>>().join(",")
    };
    put(settings, "spec", spec);
}

fn extract_field(rng: &mut Rng, shape: &Shape, settings: &mut Settings) {
    if chance(rng, 50) {
        put(settings, "field.syntax.version", "V2");
        let path = shape.path(rng);
        put(settings, "field", path);
    } else {
        maybe(rng, 20, settings, "field.syntax.version", &["V1", "v1", "V3"]);
        put(settings, "field", shape.field(rng));
    }
}

fn header_from(rng: &mut Rng, shape: &Shape, settings: &mut Settings) {
    let fields = shape.fields(rng);
    let headers: Vec<&str> = fields.iter().map(|_| *one(rng, &["h", "k", "new", "é"])).collect();
    put(settings, "fields", fields.join(","));
    put(settings, "headers", if chance(rng, 3) { "h,k,l,m".to_owned() } else { headers.join(",") });
    put(settings, "operation", if chance(rng, 3) { "MOVE" } else { *one(rng, &["move", "copy"]) });
}

fn insert_field(rng: &mut Rng, shape: &Shape, settings: &mut Settings) {
    for key in ["topic.field", "partition.field", "offset.field", "timestamp.field", "static.field"] {
        if chance(rng, 35) {
            let field = if chance(rng, 25) { shape.field(rng) } else { format!("new_{}", &key[..1]) };
            put(settings, key, format!("{field}{}", one(rng, &["", "!", "?"])));
        }
    }
    if settings.contains_key("static.field") || chance(rng, 5) {
        maybe(rng, 97, settings, "static.value", &["x", "", "5", "é"]);
    }
}

fn mask_field(rng: &mut Rng, shape: &Shape, settings: &mut Settings) {
    put(settings, "fields", shape.fields(rng).join(","));
    maybe(rng, 50, settings, "replacement", &["x", "7", "1.5", "-1e3", "", "300", "99999999999", "0x1", " 7", "NaN"]);
}

fn replace_field(rng: &mut Rng, shape: &Shape, settings: &mut Settings) {
    if chance(rng, 40) {
        put(settings, "exclude", shape.fields(rng).join(","));
    }
    if chance(rng, 40) {
        put(settings, "include", shape.fields(rng).join(","));
    }
    if chance(rng, 60) {
        let renames: Vec<String> = shape
            .fields(rng)
            .into_iter()
            .map(|field| format!("{field}:{}", if chance(rng, 70) { *one(rng, &["z", "y", "x"]) } else { *one(rng, &NAMES) }))
            .collect();
        put(settings, "renames", renames.join(","));
    }
}

fn set_schema_metadata(rng: &mut Rng, _: &Shape, settings: &mut Settings) {
    maybe(rng, 70, settings, "schema.name", &["new.Name", "é", ""]);
    maybe(rng, 60, settings, "schema.version", &["0", "7", "-1", "x"]);
}

fn timestamp_converter(rng: &mut Rng, shape: &Shape, settings: &mut Settings) {
    put(settings, "target.type", if chance(rng, 2) { "date" } else { *one(rng, &["string", "unix", "Date", "Time", "Timestamp"]) });
    let field = match rng.u32(0..10) {
        0 if !shape.top.is_empty() => None,
        1..=4 if !shape.texts.is_empty() => Some(one(rng, &shape.texts).0.clone()),
        _ if shape.top.is_empty() => None,
        _ => Some(shape.field(rng)),
    };
    let text = field.as_ref().and_then(|field| shape.texts.iter().find(|(known, _)| known == field)).map(|(_, text)| text.as_str());
    let own = DATES.iter().find(|(_, texts)| text.is_some_and(|text| texts.contains(&text))).map(|(pattern, _)| *pattern);
    let pattern = own.filter(|_| chance(rng, 75)).unwrap_or_else(|| one(rng, &DATES).0);
    if chance(rng, 85) {
        put(settings, "format", if chance(rng, 3) { *one(rng, &["yyyy-bb", "'", "", "YYYY-ww", "EEEE MMMM", "Q"]) } else { pattern });
    }
    maybe(rng, 40, settings, "unix.precision", &["milliseconds", "seconds", "microseconds", "nanoseconds", "days"]);
    if let Some(field) = field {
        put(settings, "field", field);
    }
}

fn regex_router(rng: &mut Rng, _: &Shape, settings: &mut Settings) {
    const REGEXES: [&str; 26] = [
        "(.*)",
        "orders",
        "(.*)-(\\d+)",
        "([a-z]+)\\.(.*)",
        "(?i)ORDERS.*",
        "(?<env>[^.]+)\\.(?<rest>.*)",
        "a|orders.*",
        ".+?",
        "(o)(r)?(.*)",
        "[\\w.-]+",
        "\\p{Alpha}+.*",
        "(?!x).*",
        "(?<=^)o.*",
        "o{1,3}.*",
        ".*s$",
        "^orders$",
        "(\\w)\\1.*",
        "o++.*",
        "[[a-z]&&[^x]]+",
        "\\Qorders\\E",
        "(",
        "[",
        "\\p{Lu}.*",
        "(?s).*",
        "orders\\b.*",
        "\\h*.*",
    ];
    put(settings, "regex", *one(rng, &REGEXES));
    put(settings, "replacement", *one(rng, &["$1", "new", "p-$0", "${env}_x", "$2$1", "\\$1", "", "$12", "$", "é-$1", "x\\\\y", "${1}", "$9"]));
}

fn timestamp_router(rng: &mut Rng, _: &Shape, settings: &mut Settings) {
    maybe(
        rng,
        60,
        settings,
        "topic.format",
        &["${topic}-${timestamp}", "${timestamp}", "x", "${topic}", "${topic}${topic}_${timestamp}", "$1\\${topic}", "${TOPIC}"],
    );
    let pattern = one(rng, &DATES).0;
    maybe(rng, 60, settings, "timestamp.format", &[pattern, "yyyy", "YYYY-'W'ww", "EEE", "MMM", "yy", "D", "a h K k", "z", "X", "F", "W", "u"]);
}

/// A transform's class and its settings.
pub(crate) fn transform(rng: &mut Rng, key: &Shape, value: &Shape) -> (String, Settings) {
    let mut settings = Settings::new();
    let class = if chance(rng, 76) {
        let (name, make) = one(rng, &SIDED);
        let (side, shape) = if chance(rng, 20) { ("Key", key) } else { ("Value", value) };
        make(rng, shape, &mut settings);
        format!("{name}${side}")
    } else {
        let (name, make) = one(rng, &OTHERS);
        make(rng, value, &mut settings);
        (*name).to_owned()
    };
    let booleans = if chance(rng, 3) { &["FALSE", "maybe"] } else { &["true", "false"] };
    maybe(rng, 25, &mut settings, "replace.null.with.default", booleans);
    (format!("org.apache.kafka.connect.transforms.{class}"), settings)
}

/// A predicate's class and its settings.
pub(crate) fn predicate(rng: &mut Rng) -> (String, Settings) {
    let mut settings = Settings::new();
    let name = match rng.u32(0..3) {
        0 => {
            let names = if chance(rng, 5) { &["", " "][..] } else { &["h", "k", "é", "zz"][..] };
            put(&mut settings, "name", *one(rng, names));
            "HasHeaderKey"
        }
        1 => "RecordIsTombstone",
        _ => {
            let patterns = if chance(rng, 5) { &["(", ""][..] } else { &["orders", "ord.*", ".*-\\d+", "x|y", "(?i)ORDERS"][..] };
            put(&mut settings, "pattern", *one(rng, patterns));
            "TopicNameMatches"
        }
    };
    (format!("org.apache.kafka.connect.transforms.predicates.{name}"), settings)
}
