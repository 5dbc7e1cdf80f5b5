//! The converters of a source connector: columns → the bytes of keys, values and headers.

use lakehead_formats::payload::{self, PayloadWriter, Writer};
use lakehead_formats::wire::ConvertError;

use crate::connect::Props;
use crate::connect::config::ConfigError;

const HEADER_CONVERTER: &str = "header.converter";

/// A connector's converters.
#[derive(Debug)]
pub struct Writers {
    /// Of keys.
    pub key: Box<dyn PayloadWriter>,
    /// Of values.
    pub value: Box<dyn PayloadWriter>,
    /// The header converter's class where it is not the one that batches have their headers written by.
    pub other_header_converter: Option<String>,
}

/// The converters of a source connector: its own where it names one, with the settings beside that name, else the worker's with the worker's.
///
/// # Errors
/// Every problem of both converters, by the key in the place where it was written.
pub fn writers(props: &Props, worker: &Props) -> Result<Writers, Vec<ConfigError>> {
    let header = props.get(HEADER_CONVERTER).or_else(|| worker.get(HEADER_CONVERTER)).map(|class| class.trim());
    let other_header_converter = header.filter(|class| !matches!(class.rsplit('.').next(), Some("SimpleHeaderConverter" | "Simple" | ""))).map(str::to_owned);
    match (side(props, worker, "key.converter"), side(props, worker, "value.converter")) {
        (Ok(key), Ok(value)) => Ok(Writers { key, value, other_header_converter }),
        (key, value) => Err(key.err().into_iter().chain(value.err()).collect()),
    }
}

fn side(props: &Props, worker: &Props, class: &str) -> Result<Box<dyn PayloadWriter>, ConfigError> {
    let (place, name) = match (props.get(class), worker.get(class)) {
        (Some(name), _) => (props, name.trim()),
        (None, Some(name)) => (worker, name.trim()),
        (None, None) => return Err(ConfigError::new(class, format!("Missing required configuration \"{class}\" which has no default value."))),
    };
    let Some(writer) = payload::find(name) else {
        let known: Vec<&str> = payload::WRITERS.iter().map(class_of).collect();
        let message = format!(
            "Invalid value {name} for configuration {class}: there is no converter of that name for source connectors; available: {}",
            known.join(", ")
        );
        return Err(ConfigError::new(class, message));
    };
    let prefix = format!("{class}.");
    let options = place.iter().filter_map(|(key, value)| key.strip_prefix(&prefix).map(|key| (key.to_owned(), value.clone()))).collect();
    (writer.build)(&options).map_err(|error| match error {
        ConvertError::Config { key, message } => ConfigError::new(format!("{prefix}{key}"), message),
        other => ConfigError::new(class, other.to_string()),
    })
}

/// The name under which users know a converter.
fn class_of(writer: &Writer) -> &'static str {
    writer.aliases.first().copied().unwrap_or(writer.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn props(pairs: &[(&str, &str)]) -> Props {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn converters_come_from_the_connector_or_the_worker_each_with_its_own_settings() {
        let worker = props(&[
            ("key.converter", "org.apache.kafka.connect.storage.StringConverter"),
            ("value.converter", "org.apache.kafka.connect.json.JsonConverter"),
            ("value.converter.schemas.enable", "maybe"),
        ]);
        let messages = |connector: &[(&str, &str)]| match writers(&props(connector), &worker) {
            Ok(_) => Vec::new(),
            Err(errors) => errors.into_iter().map(|error| format!("{}: {}", error.key, error.message)).collect::<Vec<_>>(),
        };
        assert_eq!(messages(&[]), ["value.converter.schemas.enable: \"maybe\" is not a boolean; values taken: true, false"]);
        assert!(messages(&[("value.converter", "JsonConverter")]).is_empty(), "the worker's settings are those of its own converter");
        let avro = messages(&[("value.converter", "io.confluent.connect.avro.AvroConverter")]);
        assert!(avro.len() == 1 && avro[0].contains("for source connectors; available: org.apache.kafka.connect.converters.ByteArrayConverter"), "{avro:?}");
    }

    #[test]
    fn another_header_converter_than_the_default_is_noted() {
        for (class, other) in [("org.apache.kafka.connect.storage.SimpleHeaderConverter", None), ("org.apache.kafka.connect.json.JsonConverter", Some(()))] {
            let worker = props(&[("key.converter", "string"), ("value.converter", "string"), ("header.converter", class)]);
            assert_eq!(writers(&Props::new(), &worker).unwrap().other_header_converter.map(drop), other, "{class}");
        }
    }
}
