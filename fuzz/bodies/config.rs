//! What users write: files of properties, connectors, transforms, logins, keystores.

use arrow::array::{BinaryArray, Int64Array, TimestampMillisecondArray};
use lakehead::batch::{Batch, OffsetRange, TopicPartition};
use lakehead::kafka::jaas::Jaas;
use lakehead::plugins::CONNECTORS;
use lakehead::settings::host::parse_bytes;
use lakehead::settings::properties as file;
use lakehead::tls::jks;
use lakehead::transform::Chain;
use lakehead_formats::wire::{self, Want};

use super::split;

/// A file of properties reads as it was written.
pub(crate) fn properties(data: &[u8]) {
    let Ok(props) = file::parse(data) else { return };
    let written: String = props.iter().map(|(key, value)| format!("{}={}\n", escaped(key), escaped(value))).collect();
    assert_eq!(file::parse(written.as_bytes()).ok().as_ref(), Some(&props), "{written:?}");
    if let Ok(text) = std::str::from_utf8(data) {
        assert!(parse_bytes(text).is_none() || text.contains(|c: char| c.is_ascii_digit()), "{text:?}");
    }
}

/// A text in which nothing but letters and digits stands for itself.
fn escaped(text: &str) -> String {
    let unit = |unit: u16| match char::from_u32(u32::from(unit)).filter(char::is_ascii_alphanumeric) {
        Some(plain) => plain.to_string(),
        None => format!("\\u{unit:04x}"),
    };
    text.encode_utf16().map(unit).collect()
}

/// A connector's configuration is checked, whatever it says: KCQL, templates of names, patterns of paths, zones, JSON paths.
pub(crate) fn connector(data: &[u8]) {
    let Ok(props) = file::parse(data) else { return };
    let is_meant = |class: &str| props.get("connector.class").is_none_or(|named| class.ends_with(named.as_str()));
    for class in CONNECTORS.iter().filter(|class| is_meant(class.class())) {
        let errors = class.validate(&props).errors;
        assert!(errors.iter().all(|error| !error.message.is_empty()));
    }
}

/// A chain of transforms, over values with and without a schema: every record comes out, is left out, or is refused, and the spans are those of the batch.
pub(crate) fn transforms(data: &[u8]) {
    let (config, values) = split(data);
    let Ok(mut props) = file::parse(config) else { return };
    let enveloped = props.remove("test.schemas.enable").is_some_and(|value| value == "true");
    let Ok(mut chain) = Chain::from_props(&props) else { return };
    let payloads: BinaryArray = values.split(|byte| *byte == b'\n').take(6).map(|line| (!line.is_empty()).then_some(line)).collect();
    let options = wire::Options::from([("schemas.enable".to_owned(), enveloped.to_string())]);
    let mut converter = (wire::find("json").expect("JSON").build)(&options, false, Want::Any).expect("settings that it takes");
    let Ok(decoded) = converter.decode("orders", &payloads) else { return };
    if !decoded.rejects.is_empty() {
        return;
    }
    for (rows, column) in decoded.spans {
        let (start, end) = (100 + rows.start as i64, 100 + rows.end as i64);
        let batch = Batch {
            from: TopicPartition::new("orders", 3),
            span: OffsetRange { start, end },
            topic: "orders".into(),
            offsets: Int64Array::from_iter_values(start..end),
            timestamps: TimestampMillisecondArray::from_iter_values((start..end).map(|ms| 1_700_000_000_000 + ms)),
            key: column.clone(),
            value: column,
            headers: None,
        };
        let mut out = Vec::new();
        let refused = chain.apply(batch, &mut out);
        assert!(refused.iter().all(|refused| refused.row < rows.len()));
        let mut next = start;
        for batch in &out {
            assert_eq!(batch.span.start, next, "the spans are not one after the other");
            next = batch.span.end;
            for length in [batch.timestamps.len(), batch.key.len(), batch.value.len()] {
                assert_eq!(length, batch.len());
            }
            for column in [&batch.key, &batch.value] {
                column.array.to_data().validate_full().expect("a sound array");
            }
        }
        assert!(out.is_empty() || next == end, "{next} is not {end}");
    }
}

/// Login modules: a line, and a file with entries.
pub(crate) fn jaas(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(jaas) = Jaas::parse(text) {
        assert!(jaas.credentials().is_err() || text.contains("username"));
        assert!(!format!("{jaas:?}").contains("se%cret"), "a secret is shown");
    }
    if let Ok(Some(modules)) = Jaas::entry(text, "KafkaClient") {
        assert!(text.contains("KafkaClient"));
        assert!(modules.iter().all(|module| module.credentials().is_err() || text.contains("username")));
    }
}

/// Java's keystores.
pub(crate) fn java_keystore(data: &[u8]) {
    let trusted = jks::read(data, None);
    if let Ok(entries) = jks::read(data, Some("changeit")) {
        assert_eq!(Ok(entries), trusted, "the password changes nothing but whether it is read");
    }
}
