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
    /// Of the values of headers.
    pub header: Box<dyn PayloadWriter>,
}

/// The converters of a source connector: its own where it names one, with the settings beside that name, else the worker's with the worker's.
///
/// # Errors
/// Every problem of the converters, by the key in the place where it was written.
pub fn writers(props: &Props, worker: &Props) -> Result<Writers, Vec<ConfigError>> {
    match (side(props, worker, "key.converter"), side(props, worker, "value.converter"), side(props, worker, HEADER_CONVERTER)) {
        (Ok(key), Ok(value), Ok(header)) => Ok(Writers { key, value, header }),
        (key, value, header) => Err([key.err(), value.err(), header.err()].into_iter().flatten().collect()),
    }
}

/// What is wrong with the header converter of any connector: a sink's is asked nothing, and must still be one.
#[must_use]
pub fn check_header_converter(props: &Props, worker: &Props) -> Option<ConfigError> {
    side(props, worker, HEADER_CONVERTER).err()
}

fn side(props: &Props, worker: &Props, class: &str) -> Result<Box<dyn PayloadWriter>, ConfigError> {
    let is_header = class == HEADER_CONVERTER;
    let (place, name) = match (props.get(class), worker.get(class)) {
        (Some(name), _) => (props, name.trim()),
        (None, Some(name)) => (worker, name.trim()),
        (None, None) if is_header => (worker, "SimpleHeaderConverter"),
        (None, None) => return Err(ConfigError::new(class, format!("Missing required configuration \"{class}\" which has no default value."))),
    };
    let found = if is_header { payload::find_for_headers(name) } else { payload::find(name) };
    let Some(writer) = found else {
        let known: Vec<&str> = if is_header { payload::for_headers().map(class_of).collect() } else { payload::WRITERS.iter().map(class_of).collect() };
        let (whose, known) = (if is_header { "headers" } else { "source connectors" }, known.join(", "));
        let message = format!("Invalid value {name} for configuration {class}: there is no converter of that name for {whose}; available: {known}");
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
    fn headers_have_a_converter_of_their_own() {
        let worker = |class: &str| {
            let mut worker = props(&[("key.converter", "string"), ("value.converter", "string")]);
            worker.extend((!class.is_empty()).then(|| (HEADER_CONVERTER.to_owned(), class.to_owned())));
            worker
        };
        for (class, of_worker, expected) in [
            (None, "", "simple"),
            (None, "org.apache.kafka.connect.json.JsonConverter", "Json"),
            (Some("org.apache.kafka.connect.converters.LongConverter"), "Simple", "Numbers"),
        ] {
            let own = class.map(|class| (HEADER_CONVERTER, class));
            let writers = writers(&props(own.as_slice()), &worker(of_worker)).unwrap();
            assert!(format!("{:?}", writers.header).to_lowercase().starts_with(&expected.to_lowercase()), "{class:?} {of_worker}: {:?}", writers.header);
        }
        let error = check_header_converter(&props(&[(HEADER_CONVERTER, "com.example.Headers")]), &worker("")).unwrap();
        assert!(
            error.message.contains("no converter of that name for headers; available: org.apache.kafka.connect.storage.SimpleHeaderConverter, org"),
            "{error}"
        );
        let refused =
            check_header_converter(&props(&[(HEADER_CONVERTER, "JsonConverter"), ("header.converter.schemas.enable", "maybe")]), &worker("")).unwrap();
        assert_eq!(refused.key, "header.converter.schemas.enable");
    }
}
