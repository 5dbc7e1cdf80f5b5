//! A Protobuf schema from a registry → a compiled file, with what it imports.
//!
//! Imports are looked for among the schema's references, then among the files that every registry knows without being told: Google's well-known types,
//! `google/type` and Confluent's. Those are declared in `known`, by names and numbers alone.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::FileDescriptor;
use protox::file::{File, FileResolver, GoogleFileResolver};
use protox::{Compiler, Error};

use super::super::RegisteredSchema;

mod known;

/// What the schema itself is called among its imports.
const ROOT: &str = "registered-schema.proto";

#[derive(Debug)]
struct Imports {
    files: BTreeMap<String, String>,
    google: GoogleFileResolver,
}

impl FileResolver for Imports {
    fn open_file(&self, name: &str) -> Result<File, Error> {
        let known = || known::FILES.iter().find(|(known, _)| *known == name).map(|(_, text)| *text);
        match self.files.get(name).map(String::as_str).or_else(known) {
            Some(text) => open(name, text),
            None => self.google.open_file(name),
        }
    }
}

/// A file from its source, or from its descriptor in base64, in which form registries hand schemas out as well.
fn open(name: &str, text: &str) -> Result<File, Error> {
    let parsed = File::from_source(name, text);
    if parsed.is_err()
        && let Ok(bytes) = STANDARD.decode(text.trim())
        && let Ok(file) = File::decode_file_descriptor_proto(bytes.as_slice())
    {
        let mut descriptor = file.file_descriptor_proto().clone();
        descriptor.name = Some(name.to_owned());
        return Ok(File::from_file_descriptor_proto(descriptor));
    }
    parsed
}

/// Compiles a schema.
///
/// # Errors
/// What is wrong with it, for a person.
pub(super) fn compile(registered: &RegisteredSchema) -> Result<FileDescriptor, String> {
    let mut files: BTreeMap<String, String> = registered.references.iter().map(|reference| (reference.name.clone(), reference.text.clone())).collect();
    files.insert(ROOT.to_owned(), registered.text.clone());
    let mut compiler = Compiler::with_file_resolver(Imports { files, google: GoogleFileResolver::new() });
    compiler.open_file(ROOT).map_err(|error| format!("not a Protobuf schema: {}", one_line(&error)))?;
    let pool = compiler.descriptor_pool();
    pool.get_file_by_name(ROOT).ok_or_else(|| "the schema was not compiled".to_owned())
}

fn one_line(error: &Error) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::super::{Reference, SchemaKind};
    use super::*;

    fn schema(text: &str, references: &[(&str, &str)]) -> RegisteredSchema {
        let references = references.iter().map(|(name, text)| Reference { name: (*name).to_owned(), text: (*text).to_owned() }).collect();
        RegisteredSchema { references, ..RegisteredSchema::new(SchemaKind::Protobuf, text) }
    }

    #[test]
    fn everything_that_registries_know_compiles() {
        for (name, text) in known::FILES {
            let compiled = compile(&schema(text, &[]));
            assert!(compiled.is_ok(), "{name}: {compiled:?}");
        }
        let google = ["any", "duration", "empty", "field_mask", "struct", "timestamp", "wrappers", "descriptor"];
        let imports: String = google.iter().map(|name| format!("import \"google/protobuf/{name}.proto\";")).collect();
        assert!(compile(&schema(&format!("syntax = \"proto3\";{imports} message M {{ google.protobuf.Timestamp at = 1; }}"), &[])).is_ok());
    }

    #[test]
    fn imports_are_references() {
        let order = "syntax = \"proto3\"; import \"shop/money.proto\"; message Order { shop.Money net = 1; }";
        let money = "syntax = \"proto3\"; package shop; import \"shop/unit.proto\"; message Money { Unit unit = 1; }";
        let unit = "syntax = \"proto3\"; package shop; enum Unit { EUR = 0; }";
        assert!(compile(&schema(order, &[("shop/unit.proto", unit), ("shop/money.proto", money)])).is_ok());
        let error = compile(&schema(order, &[])).unwrap_err();
        assert!(error.starts_with("not a Protobuf schema: ") && error.contains("shop/money.proto"), "{error}");
    }

    #[test]
    fn a_descriptor_in_base64_is_a_schema_too() {
        let file = File::from_source("a.proto", "syntax = \"proto3\"; message A { int32 x = 1; }").unwrap();
        let pool = {
            let mut pool = prost_reflect::DescriptorPool::new();
            pool.add_file_descriptor_proto(file.file_descriptor_proto().clone()).unwrap();
            pool
        };
        let bytes = pool.get_file_by_name("a.proto").unwrap().encode_to_vec();
        let compiled = compile(&schema(&STANDARD.encode(bytes), &[])).unwrap();
        assert_eq!(compiled.messages().map(|message| message.name().to_owned()).collect::<Vec<_>>(), ["A"]);
        assert!(compile(&schema("message {", &[])).is_err_and(|error| error.starts_with("not a Protobuf schema: ")));
    }
}
