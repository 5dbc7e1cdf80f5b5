//! Connect schemas as vectors write them → the JSON form that `JsonConverter` reads.
//!
//! A vector names a schema, spells it as an object, or writes it in shorthand: `int32`, `optional string`, `{b:bytes}`, `map<string,int32>`,
//! `array<optional int64>`, `Decimal(scale=2)`, `enum Color {RED, GREEN}`, `struct a.b.Rec v3 { x: int32, y: optional string default "n" }`.

use serde_json::{Map, Value, json};

/// A schema in any of its forms, as the JSON form of `JsonConverter`; `named` are the schemas that the file gives names to.
pub(crate) fn schema(form: &Value, named: &Value) -> Result<Value, String> {
    match form {
        Value::String(text) => match named.get(text.trim()) {
            Some(known) => schema(known, &Value::Null),
            None => parse(text),
        },
        Value::Object(object) => from_object(object, named),
        other => Err(format!("schema {other} is neither a text nor an object")),
    }
}

/// Completes an object: its parts may be in shorthand, and its type names those of Connect's Java API.
fn from_object(object: &Map<String, Value>, named: &Value) -> Result<Value, String> {
    let type_name = object.get("type").ok_or_else(|| format!("schema {object:?} has no type"))?;
    let mut made = match (type_name, type_name.as_str()) {
        (_, Some("struct")) => json!({"type": "struct"}),
        (_, Some("array" | "list")) => {
            let items = ["items", "item", "element", "elements", "valueSchema", "values"].iter().find_map(|key| object.get(*key));
            json!({"type": "array", "items": schema(items.ok_or("an array without items")?, named)?})
        }
        (_, Some("map")) => {
            let part = |keys: [&str; 3]| keys.iter().find_map(|key| object.get(*key));
            let string = json!("string");
            let key = part(["keys", "key", "keySchema"]).unwrap_or(&string);
            let value = part(["values", "value", "valueSchema"]).ok_or("a map without values")?;
            json!({"type": "map", "keys": schema(key, named)?, "values": schema(value, named)?})
        }
        (_, Some("bytes")) if object.get("name").and_then(Value::as_str).is_some_and(|name| name.ends_with("Decimal")) => json!({"type": "bytes"}),
        (form, _) => schema(form, named)?,
    };
    let target = made.as_object_mut().ok_or("a schema that is no object")?;
    for (key, value) in object {
        match key.as_str() {
            "type" | "items" | "item" | "element" | "elements" | "keys" | "key" | "keySchema" | "values" | "value" | "valueSchema" => {}
            "fields" => {
                let fields = value.as_array().ok_or("fields is no array")?.iter().map(|field| field_of(field, named)).collect::<Result<Vec<_>, _>>()?;
                target.insert("fields".to_owned(), fields.into());
            }
            "scale" | "precision" => parameter(target, if key == "scale" { key } else { PRECISION }, value),
            "parameters" => {
                for (name, value) in value.as_object().ok_or("parameters is no object")? {
                    parameter(target, name, value);
                }
            }
            _ => {
                target.insert(key.clone(), value.clone());
            }
        }
    }
    Ok(made)
}

fn field_of(field: &Value, named: &Value) -> Result<Value, String> {
    let object = field.as_object().ok_or_else(|| format!("field {field} is no object"))?;
    let is_named = object.contains_key("field");
    let name = object.get("field").or_else(|| object.get("name")).and_then(Value::as_str).ok_or_else(|| format!("field {field} has no name"))?;
    let inner: Map<String, Value> =
        object.iter().filter(|(key, _)| *key != "field" && (is_named || *key != "name")).map(|(key, value)| (key.clone(), value.clone())).collect();
    let mut made = match (inner.get("schema"), inner.contains_key("type")) {
        (Some(form), false) => schema(form, named)?,
        _ => from_object(&inner, named)?,
    };
    made["field"] = name.into();
    Ok(made)
}

const PRECISION: &str = "connect.decimal.precision";
const ENUM: &str = "io.confluent.connect.avro.Enum";

fn parameter(schema: &mut Map<String, Value>, name: &str, value: &Value) {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let parameters = schema.entry("parameters").or_insert_with(|| json!({}));
    if let Some(parameters) = parameters.as_object_mut() {
        parameters.insert(name.to_owned(), text.into());
    }
}

/// Reads shorthand.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    let mut parser = Parser { text, tokens: tokens(text)?, at: 0 };
    let made = parser.schema()?;
    match parser.peek() {
        None => Ok(made),
        Some(rest) => Err(parser.wrong(&format!("{rest:?} follows the schema"))),
    }
}

/// A piece of shorthand.
#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Quoted(String),
    Sign(char),
}

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            _ if c.is_whitespace() => {}
            '"' | '\'' => {
                let quoted: String = chars.by_ref().take_while(|next| *next != c).collect();
                tokens.push(Token::Quoted(quoted));
            }
            _ if c.is_alphanumeric() || "_.$-+".contains(c) => {
                let mut word = String::from(c);
                while let Some(next) = chars.next_if(|next| next.is_alphanumeric() || "_.$-+".contains(*next)) {
                    word.push(next);
                }
                tokens.push(Token::Word(word));
            }
            '{' | '}' | '<' | '>' | '(' | ')' | '[' | ']' | ',' | ';' | ':' | '=' | '?' => tokens.push(Token::Sign(c)),
            other => return Err(format!("schema {text:?}: {other:?} means nothing")),
        }
    }
    Ok(tokens)
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Token>,
    at: usize,
}

impl Parser<'_> {
    fn wrong(&self, what: &str) -> String {
        format!("schema {:?}: {what}", self.text)
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn takes(&mut self, sign: char) -> bool {
        let there = self.peek() == Some(&Token::Sign(sign));
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, sign: char) -> Result<(), String> {
        if self.takes(sign) { Ok(()) } else { Err(self.wrong(&format!("{sign:?} is missing before {:?}", self.peek()))) }
    }

    fn takes_word(&mut self, word: &str) -> bool {
        let there = matches!(self.peek(), Some(Token::Word(next)) if next.eq_ignore_ascii_case(word));
        self.at += usize::from(there);
        there
    }

    fn text(&mut self) -> Result<String, String> {
        match self.next() {
            Some(Token::Word(text) | Token::Quoted(text)) => Ok(text),
            other => Err(self.wrong(&format!("a name is missing where {other:?} is"))),
        }
    }

    fn schema(&mut self) -> Result<Value, String> {
        let optional = self.takes_word("optional") || self.takes_word("nullable");
        let required = !optional && self.takes_word("required");
        let mut made = if (optional || required) && (self.takes('<') || self.takes('(')) {
            let inner = self.schema()?;
            self.at += 1;
            inner
        } else {
            self.core()?
        };
        if optional {
            made["optional"] = true.into();
        }
        while self.modifier(&mut made)? {}
        Ok(made)
    }

    /// What may follow a type: `?`, `optional`, `default 5`, `doc "x"`, `name N`, `v2`, `version 2`, `(scale=2)`.
    fn modifier(&mut self, made: &mut Value) -> Result<bool, String> {
        if self.takes('?') || self.takes_word("optional") {
            made["optional"] = true.into();
        } else if self.takes_word("default") {
            self.takes('=');
            made["default"] = self.literal(made)?;
        } else if self.takes_word("doc") {
            self.takes('=');
            made["doc"] = self.text()?.into();
        } else if self.takes_word("name") || self.takes_word("named") {
            self.takes('=');
            made["name"] = self.text()?.into();
        } else if self.takes_word("version") {
            self.takes('=');
            made["version"] = number(&self.text()?)?;
        } else if let Some(version) = self.version() {
            made["version"] = version;
        } else if self.takes('(') {
            self.parameters(made, ')')?;
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn version(&mut self) -> Option<Value> {
        let Some(Token::Word(word)) = self.peek() else { return None };
        let version = word.strip_prefix('v')?.parse::<i64>().ok()?;
        self.at += 1;
        Some(version.into())
    }

    fn literal(&mut self, schema: &Value) -> Result<Value, String> {
        match self.next() {
            Some(Token::Quoted(text)) => Ok(text.into()),
            Some(Token::Word(text)) if schema["type"] == "string" => Ok(text.into()),
            Some(Token::Word(text)) => serde_json::from_str(&text).or(Ok(text.into())),
            other => Err(self.wrong(&format!("a default is missing where {other:?} is"))),
        }
    }

    /// `scale=2, precision=10`, or the scale alone; the opening sign is read.
    fn parameters(&mut self, made: &mut Value, close: char) -> Result<(), String> {
        let target = made.as_object_mut().ok_or("a schema that is no object")?;
        while !self.takes(close) {
            let name = self.text()?;
            if self.takes('=') || self.takes(':') {
                let value = self.text()?;
                match name.as_str() {
                    "precision" => parameter(target, PRECISION, &value.into()),
                    "name" | "doc" => drop(target.insert(name, value.into())),
                    "version" => drop(target.insert(name, number(&value)?)),
                    "optional" => drop(target.insert(name, (value == "true").into())),
                    _ => parameter(target, &name, &value.into()),
                }
            } else if name == "optional" {
                target.insert(name, true.into());
            } else {
                let is_second = target.get("parameters").is_some();
                parameter(target, if is_second { PRECISION } else { "scale" }, &name.into());
            }
            self.takes(',');
        }
        Ok(())
    }

    fn core(&mut self) -> Result<Value, String> {
        if self.takes('{') {
            return self.fields(json!({"type": "struct"}));
        }
        if self.takes('[') {
            let items = self.schema()?;
            self.expect(']')?;
            return Ok(json!({"type": "array", "items": items}));
        }
        self.takes_word("unnamed");
        let word = self.text()?;
        let lower = word.to_ascii_lowercase();
        match lower.as_str() {
            "struct" | "record" => self.structure(),
            "map" => {
                let close = self.opened()?;
                let keys = self.schema()?;
                self.takes(',');
                let values = self.schema()?;
                self.expect(close)?;
                Ok(json!({"type": "map", "keys": keys, "values": values}))
            }
            "array" | "list" => {
                self.takes_word("of");
                let close = self.opened().ok();
                let items = self.schema()?;
                close.map_or(Ok(()), |close| self.expect(close))?;
                Ok(json!({"type": "array", "items": items}))
            }
            "enum" => self.enumeration(),
            _ => plain(&lower).ok_or_else(|| self.wrong(&format!("type {word:?} is not known"))),
        }
    }

    fn opened(&mut self) -> Result<char, String> {
        for (open, close) in [('<', '>'), ('(', ')'), ('[', ']')] {
            if self.takes(open) {
                return Ok(close);
            }
        }
        Err(self.wrong(&format!("'<' is missing before {:?}", self.peek())))
    }

    /// After `struct`: a name and a version, both optional, and the fields.
    fn structure(&mut self) -> Result<Value, String> {
        let mut made = json!({"type": "struct"});
        while !self.takes('{') {
            if self.takes_word("version") {
                made["version"] = number(&self.text()?)?;
            } else if let Some(version) = self.version() {
                made["version"] = version;
            } else if self.takes('(') {
                self.parameters(&mut made, ')')?;
            } else {
                self.takes_word("named");
                made["name"] = self.text()?.into();
            }
        }
        self.fields(made)
    }

    /// `name: type, …}`.
    fn fields(&mut self, mut made: Value) -> Result<Value, String> {
        let mut fields = Vec::new();
        while !self.takes('}') {
            let name = self.text()?;
            let optional = self.takes('?');
            self.takes(':');
            let mut field = self.schema()?;
            if optional {
                field["optional"] = true.into();
            }
            field["field"] = name.into();
            fields.push(field);
            if !self.takes(',') {
                self.takes(';');
            }
        }
        made["fields"] = fields.into();
        Ok(made)
    }

    /// After `enum`: a name, optional, and the symbols.
    fn enumeration(&mut self) -> Result<Value, String> {
        let mut made = json!({"type": "string"});
        let name = if matches!(self.peek(), Some(Token::Word(_))) { self.text()? } else { "Enum".to_owned() };
        let close = if self.takes('{') { '}' } else { self.opened()? };
        made["name"] = name.clone().into();
        if let Some(target) = made.as_object_mut() {
            parameter(target, ENUM, &name.into());
            while !self.takes(close) {
                let symbol = self.text()?;
                parameter(target, &format!("{ENUM}.{symbol}"), &symbol.into());
                self.takes(',');
            }
        }
        Ok(made)
    }
}

fn number(text: &str) -> Result<Value, String> {
    text.parse::<i64>().map(Value::from).map_err(|_| format!("{text:?} is no number"))
}

/// A type of one word.
fn plain(word: &str) -> Option<Value> {
    let logical = |base: &str, name: &str| json!({"type": base, "name": format!("org.apache.kafka.connect.data.{name}"), "version": 1});
    Some(match word.rsplit('.').next().unwrap_or(word) {
        "boolean" | "bool" => json!({"type": "boolean"}),
        "int8" | "byte" => json!({"type": "int8"}),
        "int16" | "short" => json!({"type": "int16"}),
        "int32" | "int" | "integer" => json!({"type": "int32"}),
        "int64" | "long" => json!({"type": "int64"}),
        "float32" | "float" => json!({"type": "float"}),
        "float64" | "double" => json!({"type": "double"}),
        "string" | "str" => json!({"type": "string"}),
        "bytes" | "binary" => json!({"type": "bytes"}),
        "decimal" => logical("bytes", "Decimal"),
        "date" => logical("int32", "Date"),
        "time" => logical("int32", "Time"),
        "timestamp" => logical("int64", "Timestamp"),
        _ => return None,
    })
}

pub(crate) fn shorthand_becomes_the_converters_json() {
    let decimal = |parameters: Value| json!({"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "version": 1, "parameters": parameters});
    let cases = [
        ("int32", json!({"type": "int32"})),
        ("optional string", json!({"type": "string", "optional": true})),
        ("string?", json!({"type": "string", "optional": true})),
        ("{b:bytes}", json!({"type": "struct", "fields": [{"type": "bytes", "field": "b"}]})),
        ("Decimal(scale=2)", decimal(json!({"scale": "2"}))),
        ("Decimal(2)", decimal(json!({"scale": "2"}))),
        ("Decimal(scale=2, precision=10)", decimal(json!({"scale": "2", "connect.decimal.precision": "10"}))),
        ("Date", json!({"type": "int32", "name": "org.apache.kafka.connect.data.Date", "version": 1})),
        ("map<string,int32>", json!({"type": "map", "keys": {"type": "string"}, "values": {"type": "int32"}})),
        ("array<optional int64>", json!({"type": "array", "items": {"type": "int64", "optional": true}})),
        ("[string]", json!({"type": "array", "items": {"type": "string"}})),
        ("struct r { a: optional string }", json!({"type": "struct", "name": "r", "fields": [{"type": "string", "optional": true, "field": "a"}]})),
        ("unnamed struct { a: int32 }", json!({"type": "struct", "fields": [{"type": "int32", "field": "a"}]})),
        (
            "struct a.b.Rec v3 { a:int8, b:optional int32 default 5; c: string default \"x y\" }",
            json!({"type": "struct", "name": "a.b.Rec", "version": 3, "fields": [
                {"type": "int8", "field": "a"}, {"type": "int32", "optional": true, "default": 5, "field": "b"}, {"type": "string", "default": "x y", "field": "c"}]}),
        ),
        (
            "enum Color {RED, GREEN}",
            json!({"type": "string", "name": "Color", "parameters": {
                "io.confluent.connect.avro.Enum": "Color", "io.confluent.connect.avro.Enum.RED": "RED", "io.confluent.connect.avro.Enum.GREEN": "GREEN"}}),
        ),
        ("struct e {}", json!({"type": "struct", "name": "e", "fields": []})),
    ];
    for (text, expected) in cases {
        assert_eq!(parse(text), Ok(expected), "{text}");
    }
    for wrong in ["", "int33", "struct r { a: }", "map<string", "int32 int32", "{a:string"] {
        assert!(parse(wrong).is_err(), "{wrong}");
    }
}

pub(crate) fn objects_may_use_shorthand_in_their_parts() {
    let form = json!({"type": "struct", "fields": [{"field": "f", "type": "float32"}, {"field": "l", "type": "optional array<int32>"}, {"field": "d", "type": "Decimal", "scale": 2}], "name": "r"});
    let made = schema(&form, &Value::Null).expect("a schema");
    let float = json!({"type": "float", "field": "f"});
    let list = json!({"type": "array", "items": {"type": "int32"}, "optional": true, "field": "l"});
    let decimal = json!({"type": "bytes", "name": "org.apache.kafka.connect.data.Decimal", "version": 1, "parameters": {"scale": "2"}, "field": "d"});
    assert_eq!(made, json!({"type": "struct", "fields": [float, list, decimal], "name": "r"}));
}
