//! The converters of a source connector: columns → the bytes of keys, values and headers.
//!
//! Converters whose schemas are in a registry are asked first what they miss there: [`Writers::prepare`] belongs to the async edge, writing does not.

use lakehead_formats::column::Column;
use lakehead_formats::payload::{self, PayloadWriter, Payloads, Writer};
use lakehead_formats::wire::ConvertError;

use super::patience::Patience;
use super::registry::registration::How;
use super::registry::{Direction, Problem, Registry};
use crate::connect::config::ConfigError;
use crate::connect::{Health, Props, TaskError};

const HEADER_CONVERTER: &str = "header.converter";

/// A connector's converters.
#[derive(Debug)]
pub struct Writers {
    /// Of keys.
    pub key: Side,
    /// Of values.
    pub value: Side,
    /// Of the values of headers.
    pub header: Box<dyn PayloadWriter>,
    /// With registries that do not answer.
    patience: Patience,
}

/// One converter, and the registry that gives its schemas ids.
#[derive(Debug)]
pub struct Side {
    writer: Box<dyn PayloadWriter>,
    registry: Option<(Registry, How)>,
}

impl Writers {
    /// Asks for the ids that are needed to write these keys and values to that topic. Waits while a registry does not answer, and says so in `health`.
    /// Cancel-safe: what was learned stays.
    ///
    /// # Errors
    /// [`TaskError`] when a registry refuses the credentials or is none.
    pub async fn prepare(&mut self, topic: &str, key: &Column, value: &Column, health: &Health) -> Result<(), TaskError> {
        self.key.prepare(topic, key, health, self.patience).await?;
        self.value.prepare(topic, value, health, self.patience).await
    }
}

impl Side {
    async fn prepare(&mut self, topic: &str, column: &Column, health: &Health, patience: Patience) -> Result<(), TaskError> {
        let Some(wanted) = self.writer.missing(topic, column) else { return Ok(()) };
        let answer = match &self.registry {
            Some((registry, how)) => registry.registration(&wanted, *how, health, patience).await.map_err(|error| error.with("topic", topic))?,
            None => Err("no schema registry is configured".to_owned()),
        };
        self.writer.learn(&wanted, answer.as_deref().map_err(String::as_str));
        Ok(())
    }

    /// The payloads of records of that topic. Call [`Writers::prepare`] with the same column before.
    pub fn write(&mut self, topic: &str, column: &Column) -> Payloads {
        self.writer.write_to(topic, column)
    }
}

/// The converters of a source connector: its own where it names one, with the settings beside that name, else the worker's with the worker's.
///
/// # Errors
/// Every problem of the converters, by the key in the place where it was written.
pub fn writers(props: &Props, worker: &Props) -> Result<Writers, Vec<ConfigError>> {
    match (side(props, worker, "key.converter"), side(props, worker, "value.converter"), side(props, worker, HEADER_CONVERTER)) {
        (Ok(key), Ok(value), Ok(header)) => Ok(Writers { key, value, header: header.writer, patience: Patience::of(props) }),
        (key, value, header) => Err([key.err(), value.err(), header.err()].into_iter().flatten().flatten().collect()),
    }
}

/// What is wrong with the header converter of any connector: a sink's is asked nothing, and must still be one.
#[must_use]
pub fn check_header_converter(props: &Props, worker: &Props) -> Option<ConfigError> {
    side(props, worker, HEADER_CONVERTER).err().and_then(|errors| errors.into_iter().next())
}

fn side(props: &Props, worker: &Props, class: &str) -> Result<Side, Vec<ConfigError>> {
    let is_header = class == HEADER_CONVERTER;
    let (place, name) = match (props.get(class), worker.get(class)) {
        (Some(name), _) => (props, name.trim()),
        (None, Some(name)) => (worker, name.trim()),
        (None, None) if is_header => (worker, "SimpleHeaderConverter"),
        (None, None) => return Err(vec![ConfigError::new(class, format!("Missing required configuration \"{class}\" which has no default value."))]),
    };
    let found = if is_header { payload::find_for_headers(name) } else { payload::find(name) };
    let Some(writer) = found else {
        let known: Vec<&str> = if is_header { payload::for_headers().map(class_of).collect() } else { payload::WRITERS.iter().map(class_of).collect() };
        let (whose, known) = (if is_header { "headers" } else { "source connectors" }, known.join(", "));
        let message = format!("Invalid value {name} for configuration {class}: there is no converter of that name for {whose}; available: {known}");
        return Err(vec![ConfigError::new(class, message)]);
    };
    let prefix = format!("{class}.");
    let mut options: Props = place.iter().filter_map(|(key, value)| key.strip_prefix(&prefix).map(|key| (key.to_owned(), value.clone()))).collect();
    options.insert("converter.type".to_owned(), class.trim_end_matches(".converter").to_owned());
    built(writer, &options).map_err(|problems| {
        let named = |(key, message): (String, String)| ConfigError::new(if key.is_empty() { class.to_owned() } else { format!("{prefix}{key}") }, message);
        problems.into_iter().map(named).collect()
    })
}

/// The converter with its registry, or every problem: the key without the converter's prefix, empty for the converter itself.
fn built(writer: &Writer, options: &Props) -> Result<Side, Vec<Problem>> {
    let mut problems = Vec::new();
    let made = (writer.build)(options).map_err(|error| match error {
        ConvertError::Config { key, message } => problems.push((key, message)),
        other => problems.push((String::new(), other.to_string())),
    });
    let how = if writer.registry { How::parse(options).map(Some) } else { Ok(None) };
    let registry = if writer.registry { Registry::open(options, Direction::Writing).map(Some) } else { Ok(None) };
    let how = how.map_err(|more| problems.extend(more));
    let registry = registry.map_err(|more| problems.extend(more));
    match (made, how, registry) {
        (Ok(writer), Ok(how), Ok(registry)) => Ok(Side { writer, registry: registry.zip(how) }),
        _ => Err(problems),
    }
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
        let unknown = messages(&[("value.converter", "com.example.Converter")]);
        assert!(unknown.len() == 1 && unknown[0].contains("for source connectors; available: io.confluent.connect.avro.AvroConverter, org"), "{unknown:?}");
        let avro = [("value.converter", "io.confluent.connect.avro.AvroConverter"), ("value.converter.auto.register.schemas", "no")];
        let url = "value.converter.schema.registry.url: Missing required configuration \"schema.registry.url\" which has no default value.";
        assert_eq!(messages(&avro), ["value.converter.auto.register.schemas: \"no\" is not a boolean; values taken: true, false", url]);
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
