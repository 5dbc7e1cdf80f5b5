//! What fuzzers do: for each decoder of bytes from outside a function that has them decoded, and holds the outcome against the laws that there are.
//!
//! No input may panic, and most decoders have more to keep: what they decoded is encoded again and decoded to the same ([`wire`], [`kafka`], [`state`]), a record's outcome
//! does not depend on its neighbours ([`wire`]), a text that was read and written reads as it did ([`texts`]), columns can be written to every format that takes their type.
//!
//! The same functions run in two places: under libFuzzer, for as long as anybody wants (`make fuzz`), and in `tests/fuzz`, on the seeds and some changes of each.

pub(crate) mod config;
pub(crate) mod kafka;
pub(crate) mod state;
pub(crate) mod texts;
pub(crate) mod wire;

/// A decoder, and what is asked of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target {
    /// Its name, and that of its folder of seeds.
    pub(crate) name: &'static str,
    /// Takes an input, and panics where a law is broken.
    pub(crate) run: fn(&[u8]),
}

/// Every target.
pub(crate) const TARGETS: &[Target] = &[
    Target { name: "avro", run: wire::avro },
    Target { name: "json_schema", run: wire::json_schema },
    Target { name: "protobuf", run: wire::protobuf },
    Target { name: "json_envelope", run: wire::json_envelope },
    Target { name: "json_schemaless", run: wire::json_schemaless },
    Target { name: "primitives", run: wire::primitives },
    Target { name: "spilled_rows", run: wire::spilled_rows },
    Target { name: "simple_header", run: texts::simple_header },
    Target { name: "connect_schema", run: texts::connect_schema },
    Target { name: "avro_inline", run: texts::avro_inline },
    Target { name: "dates", run: texts::dates },
    Target { name: "field_path", run: texts::field_path },
    Target { name: "object_key", run: texts::object_key },
    Target { name: "properties", run: config::properties },
    Target { name: "connector", run: config::connector },
    Target { name: "transforms", run: config::transforms },
    Target { name: "jaas", run: config::jaas },
    Target { name: "java_keystore", run: config::java_keystore },
    Target { name: "group_protocol", run: kafka::group_protocol },
    Target { name: "record_batches", run: kafka::record_batches },
    Target { name: "rest_signature", run: kafka::rest_signature },
    Target { name: "config_records", run: state::config_records },
    Target { name: "status_records", run: state::status_records },
    Target { name: "offset_records", run: state::offset_records },
    Target { name: "offset_file", run: state::offset_file },
    Target { name: "commit_intent", run: state::commit_intent },
    Target { name: "offset_set", run: state::offset_set },
    Target { name: "dead_letter", run: state::dead_letter },
];

/// What stands before the first zero byte, and what stands behind it.
fn split(data: &[u8]) -> (&[u8], &[u8]) {
    match data.iter().position(|byte| *byte == 0) {
        Some(at) => (data.get(..at).unwrap_or_default(), data.get(at + 1..).unwrap_or_default()),
        None => (data, &[]),
    }
}

/// Pieces with a byte before each that says how long it is; the last may be cut off.
fn pieces(mut data: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while let Some((length, rest)) = data.split_first() {
        let (piece, more) = rest.split_at(usize::from(*length).min(rest.len()));
        found.push(piece);
        data = more;
    }
    found
}
