//! What a `$ref` means: a place in the same text, in a text that the registry refers to, or in a part that has an address of its own.

use serde_json::Value;

use super::super::RegisteredSchema;

/// A schema's text and those that it refers to.
#[derive(Debug)]
pub(super) struct Documents {
    documents: Vec<Document>,
}

#[derive(Debug)]
struct Document {
    /// What the text that refers calls it; empty for the first.
    name: String,
    /// Its own address.
    id: String,
    json: Value,
}

/// A place in one of the documents.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    pub(super) json: &'a Value,
    document: usize,
}

impl<'a> At<'a> {
    /// A part of the same document.
    pub(super) fn part(self, json: &'a Value) -> Self {
        Self { json, ..self }
    }

    /// The text of a member.
    pub(super) fn text(self, member: &str) -> Option<&'a str> {
        self.json.get(member).and_then(Value::as_str)
    }
}

impl Documents {
    /// Parses a schema and its references.
    ///
    /// # Errors
    /// The text that is no JSON.
    pub(super) fn parse(registered: &RegisteredSchema) -> Result<Self, String> {
        let parse = |name: &str, text: &str| {
            let json: Value = serde_json::from_str(text).map_err(|error| match name {
                "" => format!("not JSON: {error}"),
                _ => format!("its reference \"{name}\" is not JSON: {error}"),
            })?;
            let id = identifier(&json).unwrap_or_default().trim_end_matches('#').to_owned();
            Ok::<_, String>(Document { name: name.to_owned(), id, json })
        };
        let mut documents = vec![parse("", &registered.text)?];
        for reference in &registered.references {
            documents.push(parse(&reference.name, &reference.text)?);
        }
        Ok(Self { documents })
    }

    /// The schema itself.
    pub(super) fn root(&self) -> Option<At<'_>> {
        self.documents.first().map(|first| At { json: &first.json, document: 0 })
    }

    /// The place that `reference` means where it stands.
    ///
    /// # Errors
    /// That there is none.
    pub(super) fn resolve(&self, reference: &str, from: At<'_>) -> Result<At<'_>, String> {
        let missing = || format!("\"$ref\": \"{reference}\" leads nowhere: neither into the schema nor to one of its references");
        let (address, fragment) = reference.split_once('#').unwrap_or((reference, ""));
        let whole = if address.is_empty() {
            let document = self.documents.get(from.document).ok_or_else(missing)?;
            At { json: &document.json, document: from.document }
        } else {
            self.find(address, from.document).ok_or_else(missing)?
        };
        let json = within(whole.json, fragment).ok_or_else(missing)?;
        Ok(At { json, ..whole })
    }

    fn find(&self, address: &str, from: usize) -> Option<At<'_>> {
        let base = self.documents.get(from).map_or("", |document| if document.id.is_empty() { &document.name } else { &document.id });
        let root = self.documents.first().map_or("", |document| document.id.as_str());
        let wanted = join(base, address);
        let is_it = |other: &str, base: &str| !other.is_empty() && (other == address || join(base, other) == wanted || join("", other) == join("", address));
        let named = self.documents.iter().position(|document| is_it(&document.name, root) || is_it(&document.id, ""));
        if let Some(document) = named {
            return self.documents.get(document).map(|found| At { json: &found.json, document });
        }
        self.documents.iter().enumerate().find_map(|(document, whole)| {
            let json = search(&whole.json, &|part| identifier(part).is_some_and(|id| is_it(id, &whole.id)))?;
            Some(At { json, document })
        })
    }
}

fn identifier(json: &Value) -> Option<&str> {
    json.get("$id").or_else(|| json.get("id")).and_then(Value::as_str)
}

/// A part of a document: a pointer, or the name of an anchor.
fn within<'a>(json: &'a Value, fragment: &str) -> Option<&'a Value> {
    let fragment = decoded(fragment);
    if fragment.is_empty() {
        return Some(json);
    }
    if !fragment.starts_with('/') {
        let id = format!("#{fragment}");
        return search(json, &|part| part.get("$anchor").and_then(Value::as_str) == Some(&fragment) || identifier(part) == Some(&id));
    }
    // Definitions are found under either of their names.
    let definitions = || fragment.strip_prefix("/$defs/").and_then(|rest| json.pointer(&format!("/definitions/{rest}")));
    json.pointer(&fragment).or_else(definitions)
}

/// The first object that is meant, from the outside in.
fn search<'a>(json: &'a Value, is_meant: &impl Fn(&Value) -> bool) -> Option<&'a Value> {
    let mut waiting = std::collections::VecDeque::from([json]);
    while let Some(next) = waiting.pop_front() {
        match next {
            Value::Object(_) if is_meant(next) => return Some(next),
            Value::Object(members) => waiting.extend(members.values()),
            Value::Array(items) => waiting.extend(items),
            _ => {}
        }
    }
    None
}

/// Undoes `%20`.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| *first == b'%').and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// An address seen from another one (RFC 3986, section 5.2, without queries).
fn join(base: &str, address: &str) -> String {
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest.to_owned()),
        None if address.split_once(':').is_some_and(|(scheme, _)| scheme.chars().all(|c| c.is_ascii_alphanumeric())) => return address.to_owned(),
        None => {
            let (scheme, base) = base.split_once("://").map_or((String::new(), base), |(scheme, rest)| (format!("{scheme}://"), rest));
            let folder = match address.strip_prefix('/') {
                Some(_) => base.split_once('/').map_or(base, |(host, _)| host).trim_end_matches('/').to_owned(),
                None => base.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/")),
            };
            (scheme, format!("{folder}{address}"))
        }
    };
    let mut segments: Vec<&str> = Vec::new();
    for segment in rest.split('/') {
        match segment {
            "." => {}
            ".." => drop(segments.pop()),
            other => segments.push(other),
        }
    }
    format!("{scheme}{}", segments.join("/"))
}

#[cfg(test)]
mod tests {
    use super::super::super::{Reference, SchemaKind};
    use super::*;

    #[test]
    fn addresses_seen_from_others() {
        let table = [
            ("http://a.example/s/order.json", "money.json", "http://a.example/s/money.json"),
            ("http://a.example/s/order.json", "../t/./money.json", "http://a.example/t/money.json"),
            ("http://a.example/s/order.json", "/money.json", "http://a.example/money.json"),
            ("http://a.example/s/order.json", "https://b.example/x", "https://b.example/x"),
            ("", "money.json", "money.json"),
            ("", "./money.json", "money.json"),
            ("x", "urn:uuid:1", "urn:uuid:1"),
        ];
        for (base, address, want) in table {
            assert_eq!(join(base, address), want, "{base} {address}");
        }
    }

    #[test]
    fn references_and_where_they_lead() {
        let root = r##"{"$id":"http://x.example/s/root.json","definitions":{"a":{"title":"a"},"b c":{"$id":"#bee","title":"b"},
            "d":{"$id":"inner.json","title":"d","definitions":{"e":{"title":"e"}}},"f":{"$anchor":"eff","title":"f"}}}"##;
        let money = r#"{"title":"money","$defs":{"unit":{"title":"unit"}}}"#;
        let mut schema = RegisteredSchema::new(SchemaKind::JsonSchema, root);
        schema.references.push(Reference { name: "money.json".to_owned(), text: money.to_owned() });
        let documents = Documents::parse(&schema).unwrap();
        let table = [
            ("#/definitions/a", Some("a")),
            ("#/$defs/a", Some("a")),
            ("#/definitions/b%20c", Some("b")),
            ("#bee", Some("b")),
            ("#eff", Some("f")),
            ("inner.json", Some("d")),
            ("http://x.example/s/inner.json#/definitions/e", Some("e")),
            ("money.json", Some("money")),
            ("./money.json#/$defs/unit", Some("unit")),
            ("http://x.example/s/money.json", Some("money")),
            ("other.json", None),
            ("#/definitions/z", None),
        ];
        for (reference, want) in table {
            let found = documents.resolve(reference, documents.root().unwrap());
            assert_eq!(found.ok().and_then(|at| at.text("title")), want, "{reference}");
        }
    }
}
