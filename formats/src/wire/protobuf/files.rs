//! A Protobuf schema from a registry → a compiled file, with what it imports.
//!
//! Imports are looked for among the schema's references, then among the files that every registry knows without being told: Google's well-known types,
//! `google/type` and Confluent's. Those are declared in `known`, by names and numbers alone; `nesting` is what keeps texts from the compiler that would
//! exhaust its stack.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use prost_reflect::{DynamicMessage, FileDescriptor, ReflectMessage, Value};
use protox::file::{File, FileResolver, GoogleFileResolver};
use protox::{Compiler, Error};

use super::super::RegisteredSchema;

mod known;
mod nesting;

/// What the schema itself is called among its imports.
const ROOT: &str = "registered-schema.proto";

/// Where files come from: each as it was parsed, for the compiler that asks for it by name.
struct Imports(BTreeMap<String, File>);

impl FileResolver for Imports {
    fn resolve_path(&self, path: &Path) -> Option<String> {
        path.to_str().map(str::to_owned)
    }

    fn open_file(&self, name: &str) -> Result<File, Error> {
        self.0.get(name).cloned().ok_or_else(|| Error::file_not_found(name))
    }
}

/// Parses the schema and all that it imports; with their names, each after those that it imports itself. Given to the compiler in this order, chains of
/// imports cost it no stack, however long they are. What is not found is left for the compiler to complain of.
fn parse(registered: &RegisteredSchema) -> Result<(Imports, Vec<String>), Error> {
    /// A file whose imports are to be looked for, or were.
    enum Step {
        Ask(String),
        Add(String),
    }
    let mut texts: BTreeMap<&str, &str> = known::FILES.iter().copied().collect();
    // Of references with one name the first counts.
    texts.extend(registered.references.iter().rev().map(|reference| (reference.name.as_str(), reference.text.as_str())));
    texts.insert(ROOT, &registered.text);
    let google = GoogleFileResolver::new();
    let (mut files, mut names, mut around) = (BTreeMap::new(), Vec::new(), BTreeSet::new());
    let mut steps = vec![Step::Ask(ROOT.to_owned())];
    while let Some(step) = steps.pop() {
        let name = match step {
            Step::Add(name) => {
                around.remove(&name);
                names.push(name);
                continue;
            }
            Step::Ask(name) if around.contains(&name) => return Err(Error::new(format!("{name}: the file imports itself, or a file that imports it"))),
            Step::Ask(name) if files.contains_key(&name) => continue,
            Step::Ask(name) => name,
        };
        let file = match texts.get(name.as_str()) {
            Some(text) => open(&name, text),
            None => google.open_file(&name),
        };
        let file = match file {
            Err(error) if error.is_file_not_found() => continue,
            file => file?,
        };
        around.insert(name.clone());
        steps.push(Step::Add(name.clone()));
        steps.extend(file.file_descriptor_proto().dependency.iter().rev().cloned().map(Step::Ask));
        files.insert(name, file);
    }
    Ok((Imports(files), names))
}

/// A file from its source, or from its descriptor in base64, in which form registries hand schemas out as well.
fn open(name: &str, text: &str) -> Result<File, Error> {
    let refused = |what: String| Error::new(format!("{name}: {what}"));
    nesting::check(text).map_err(refused)?;
    let parsed = File::from_source(name, &with_meta(text));
    if parsed.is_err()
        && let Ok(bytes) = STANDARD.decode(text.trim())
        && let Ok(file) = File::decode_file_descriptor_proto(bytes.as_slice())
    {
        let whole = DynamicMessage::decode(file.file_descriptor_proto().descriptor(), bytes.as_slice());
        whole.map_err(|error| error.to_string()).and_then(|whole| check_options(&whole)).map_err(refused)?;
        let mut descriptor = file.file_descriptor_proto().clone();
        descriptor.name = Some(name.to_owned());
        return Ok(File::from_file_descriptor_proto(descriptor));
    }
    parsed
}

/// The text with the import that Confluent's options need: its converter writes them without it, and its registry takes that.
fn with_meta(text: &str) -> Cow<'_, str> {
    match text.contains("(confluent.") && !text.contains(known::META) {
        true => format!("{text}\nimport \"{}\";", known::META).into(),
        false => text.into(),
    }
}

/// Checks the options of a descriptor that are still text.
fn check_options(message: &DynamicMessage) -> Result<(), String> {
    let uninterpreted = message.descriptor().full_name() == "google.protobuf.UninterpretedOption";
    for (field, value) in message.fields() {
        match value {
            Value::String(text) if uninterpreted && field.name() == "aggregate_value" => nesting::check(text).map_err(|what| format!("option: {what}"))?,
            Value::Message(inner) => check_options(inner)?,
            Value::List(values) => values.iter().filter_map(Value::as_message).try_for_each(check_options)?,
            _ => {}
        }
    }
    Ok(())
}

/// Compiles a schema.
///
/// # Errors
/// What is wrong with it, for a person.
pub(super) fn compile(registered: &RegisteredSchema) -> Result<FileDescriptor, String> {
    let complain = |error: Error| format!("not a Protobuf schema: {}", one_line(&error));
    let (imports, names) = parse(registered).map_err(complain)?;
    let mut compiler = Compiler::with_file_resolver(imports);
    compiler.open_files(names).map_err(complain)?;
    let pool = compiler.descriptor_pool();
    pool.get_file_by_name(ROOT).ok_or_else(|| "the schema was not compiled".to_owned())
}

fn one_line(error: &Error) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use prost_reflect::prost::Message as _;

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
    fn confluents_options_are_known_without_their_import() {
        let text = "syntax = \"proto3\"; message M { int32 x = 1 [(confluent.field_meta) = { params: [{ key: \"connect.type\", value: \"int8\" }] }]; } // end";
        assert!(compile(&schema(text, &[])).is_ok());
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
    fn of_references_with_one_name_the_first_counts() {
        let root = "syntax = \"proto3\"; import \"c.proto\"; message R { C c = 1; }";
        let (first, second) = ("syntax = \"proto3\"; message C { int32 one = 1; }", "syntax = \"proto3\"; message C { int32 one = 1; int32 two = 2; }");
        let compiled = compile(&schema(root, &[("c.proto", first), ("c.proto", second)])).unwrap();
        assert_eq!(compiled.parent_pool().get_message_by_name("C").unwrap().fields().count(), 1);
    }

    /// In a thread with the stack that threads have by default; running out of it would end the process.
    fn compiled_aside(text: String) -> Result<(), String> {
        let aside = std::thread::Builder::new().stack_size(2 << 20).spawn(move || compile(&schema(&text, &[])).map(|_| ()));
        aside.unwrap().join().unwrap()
    }

    fn options(levels: usize) -> String {
        let import = "syntax = \"proto3\"; import \"google/protobuf/descriptor.proto\"; message O { O a = 1; }";
        format!("{import} extend google.protobuf.FileOptions {{ O x = 50000; }} option (x) = {{ {} {} }};", "a {".repeat(levels), "}".repeat(levels))
    }

    #[test]
    fn texts_that_nest_too_deep_are_refused() {
        let messages = |levels: usize| format!("syntax = \"proto3\"; {} {}", "message M {".repeat(levels), "}".repeat(levels));
        for text in [messages(64), options(63)] {
            assert_eq!(compiled_aside(text), Ok(()));
        }
        for text in [messages(65), options(64), messages(100_000), options(100_000)] {
            assert_eq!(compiled_aside(text), Err("not a Protobuf schema: registered-schema.proto: line 1: brackets nest deeper than 64 levels".to_owned()));
        }
    }

    /// A field of bytes.
    fn bytes(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut encoded = vec![tag];
        prost_reflect::prost::encoding::encode_varint(u64::try_from(body.len()).unwrap(), &mut encoded);
        [encoded, body.to_vec()].concat()
    }

    #[test]
    fn descriptors_that_nest_too_deep_are_refused() {
        let nested = |levels: usize| {
            let message = (1..levels).fold(bytes(0x0a, b"M"), |inner, _| [bytes(0x0a, b"M"), bytes(0x1a, &inner)].concat());
            STANDARD.encode([bytes(0x0a, b"f"), bytes(0x22, &message)].concat())
        };
        assert_eq!(compiled_aside(nested(90)), Ok(()));
        assert!(compiled_aside(nested(5000)).is_err_and(|error| error.starts_with("not a Protobuf schema: ")));
        // The parser leaves options as they are written.
        let optioned = |levels: usize| STANDARD.encode(File::from_source("f", &options(levels)).unwrap().file_descriptor_proto().encode_to_vec());
        assert_eq!(compiled_aside(optioned(64)), Ok(()));
        let want = "not a Protobuf schema: registered-schema.proto: option: line 1: brackets nest deeper than 64 levels";
        assert_eq!(compiled_aside(optioned(100_000)), Err(want.to_owned()));
    }

    #[test]
    fn files_that_import_each_other_are_refused() {
        let file = |import: &str| format!("syntax = \"proto3\"; import \"{import}\";");
        let error = compile(&schema(&file("a.proto"), &[("a.proto", &file("b.proto")), ("b.proto", &file("a.proto"))])).unwrap_err();
        assert_eq!(error, "not a Protobuf schema: a.proto: the file imports itself, or a file that imports it");
    }

    #[test]
    fn a_long_chain_of_imports_compiles() {
        let file = |number: usize| format!("syntax = \"proto3\"; import \"{}.proto\"; message M{number} {{ M{} a = 1; }}", number + 1, number + 1);
        let mut references: Vec<_> = (1..1000).map(|number| Reference { name: format!("{number}.proto"), text: file(number) }).collect();
        references.push(Reference { name: "1000.proto".to_owned(), text: "syntax = \"proto3\"; message M1000 {}".to_owned() });
        let chain = RegisteredSchema { references, ..RegisteredSchema::new(SchemaKind::Protobuf, file(0)) };
        let aside = std::thread::Builder::new().stack_size(2 << 20).spawn(move || compile(&chain).map(|_| ()));
        assert_eq!(aside.unwrap().join().unwrap(), Ok(()));
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
