//! What a connector's configuration must be before anything is started: `AbstractHerder.validateConnectorConfig`.
//!
//! Pure but for the files that config providers read: no network, no store. Every problem is reported, in upstream's words where it has some.

use std::collections::BTreeMap;

use crate::connect::config::{Check, ConfigError, ConfigKey, Type, Values, check, without_user_info};
use crate::connect::{Connector, Kind, Props};
use crate::convert::{self, writing};
use crate::kafka;
use crate::kafka::client_keys::{ADMIN, CONSUMER, Clients, PRODUCER};
use crate::kafka::properties::{self, Refusal};
use crate::runtime::classes;
use crate::runtime::errors::dead_letters::folder_url;
use crate::runtime::errors::topic::topic_name;
use crate::runtime::herder::HerderError;
use crate::runtime::sink_keys::{CONNECTOR_KEYS, PREFIXES, SINK_KEYS};
use crate::runtime::source_keys::SOURCE_KEYS;
use crate::runtime::topic_creation;
use crate::settings::clients::{ADMIN_OVERRIDE, CONSUMER_OVERRIDE, PRODUCER_OVERRIDE, below};
use crate::settings::{self, ExactlyOnce, Settings};
use crate::transform::Chain;

/// A configuration as a request brings it: a value may be null, which is an error of its own.
pub type RawConfig = BTreeMap<String, Option<String>>;

/// A configuration that passed.
#[derive(Debug, Clone)]
pub struct Valid {
    /// The kind of connector.
    pub class: &'static dyn Connector,
    /// As it was given: references stay.
    pub raw: Props,
}

/// A configuration and everything that is wrong with it.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) class: &'static dyn Connector,
    /// As it was given.
    pub(super) raw: Props,
    /// With references to config providers resolved.
    pub(super) props: Props,
    pub(super) errors: Vec<ConfigError>,
    /// Keys that nothing here uses.
    unknown: Vec<String>,
}

/// Checks a configuration.
///
/// # Errors
/// [`HerderError::BadRequest`] with upstream's message: every problem on a line.
pub fn validate(connectors: &[&'static dyn Connector], settings: &Settings, config: RawConfig) -> Result<Valid, HerderError> {
    let Checked { class, raw, errors, unknown, .. } = inspect(connectors, settings, config)?;
    if !errors.is_empty() {
        return Err(invalid(&errors));
    }
    if !unknown.is_empty() {
        tracing::warn!(connector = raw.get("name").map_or("", String::as_str), "configuration keys that nothing here uses: {}", unknown.join(", "));
    }
    Ok(Valid { class, raw })
}

/// Finds every problem of a configuration.
///
/// # Errors
/// [`HerderError::BadRequest`] when it cannot even be told which connector it is for, or when references cannot be resolved.
pub(super) fn inspect(connectors: &[&'static dyn Connector], settings: &Settings, config: RawConfig) -> Result<Checked, HerderError> {
    let mut errors = Vec::new();
    let mut raw = Props::new();
    for (key, value) in config {
        match value {
            Some(value) => drop(raw.insert(key, value)),
            None => errors.push(ConfigError::new(key, "Null value can not be supplied as the configuration value.")),
        }
    }
    let props = settings.providers.resolve(&raw).map_err(|errors| invalid(&errors))?;
    let Some(class) = props.get("connector.class") else {
        let name = raw.get("name").map_or(String::new(), |name| format!("name={name}"));
        return Err(HerderError::BadRequest(format!("Connector config {{{name}}} contains no connector type")));
    };
    let class = classes::find(connectors, class.trim()).map_err(HerderError::BadRequest)?;
    errors.extend(framework(class.kind(), &props, settings));
    if class.kind() == Kind::Source {
        errors.extend(deliveries(class, &props, settings, &errors));
    }
    errors.extend(check_letter_folder(class, &props));
    let report = class.validate(&props);
    let is_ours =
        |key: &str| framework_keys(class.kind()).into_iter().flatten().any(|k| k.name == key) || PREFIXES.iter().any(|prefix| key.starts_with(prefix));
    let unknown = report.unknown.into_iter().filter(|key| !is_ours(key)).collect();
    errors.extend(report.errors);
    errors.extend(stages(class, &props, settings));
    errors.iter_mut().for_each(|error| hide_resolved(error, &raw, &props));
    Ok(Checked { class, raw, props, errors, unknown })
}

/// What a config provider gave is not shown in messages either: the reference is.
fn hide_resolved(error: &mut ConfigError, raw: &Props, props: &Props) {
    if let (Some(given), Some(resolved)) = (raw.get(&error.key), props.get(&error.key))
        && given != resolved
    {
        error.message = error.message.replacen(&format!("Invalid value {resolved} "), &format!("Invalid value {given} "), 1);
    }
}

/// The stages between Kafka and the connector: its converters and transforms must be ones that can be built.
fn stages(class: &'static dyn Connector, props: &Props, settings: &Settings) -> Vec<ConfigError> {
    let converters = match class.kind() {
        Kind::Sink => {
            let mut errors = convert::build(props, &settings.props, class.want(props)).err().unwrap_or_default();
            errors.extend(writing::check_header_converter(props, &settings.props));
            errors
        }
        Kind::Source => writing::writers(props, &settings.props).err().unwrap_or_default(),
    };
    converters.into_iter().chain(Chain::from_props(props).err().unwrap_or_default()).collect()
}

/// Upstream's answer to a configuration with errors, `AbstractHerder.maybeAddConfigErrors`.
fn invalid(errors: &[ConfigError]) -> HerderError {
    let lines: Vec<&str> = errors.iter().map(|error| error.message.as_str()).collect();
    HerderError::BadRequest(format!(
        "Connector configuration is invalid and contains the following {} error(s):\n{}\nYou can also find the above list of errors at the endpoint `/connector-plugins/{{connectorType}}/config/validate`",
        errors.len(),
        lines.join("\n")
    ))
}

/// The framework's keys of connectors of that kind.
pub(super) fn framework_keys(kind: Kind) -> [&'static [ConfigKey]; 2] {
    match kind {
        Kind::Sink => [CONNECTOR_KEYS, SINK_KEYS],
        Kind::Source => [CONNECTOR_KEYS, SOURCE_KEYS],
    }
}

/// The framework's own checks.
fn framework(kind: Kind, props: &Props, settings: &Settings) -> Vec<ConfigError> {
    let mut errors = Vec::new();
    let keys = framework_keys(kind);
    for error in check(&keys, props, |_| true).errors {
        // As upstream, a text that is no number is also a missing number to a key that must have one.
        let key = keys.into_iter().flatten().find(|key| key.name == error.key && matches!(key.check, Check::Range(..)));
        let second = key.filter(|key| matches!(key.kind, Type::Int | Type::Long) && error.message.contains("Not a number"));
        errors.push(error);
        errors.extend(second.map(|key| ConfigError::new(key.name, format!("Invalid value null for configuration {}: Value must be non-null", key.name))));
    }
    errors.extend(props.get("name").and_then(|name| check_name(name)));
    match kind {
        Kind::Sink => {
            errors.extend(check_topics(props));
            errors.extend(check_overrides(CONSUMER_OVERRIDE, props, settings));
            errors.extend(check_client(CONSUMER, CONSUMER_OVERRIDE, settings::consumer_props, props, settings));
            if let Some(topic) = topic_name(props) {
                errors.extend(check_dead_letter_topic(topic, props));
                errors.extend(check_overrides(PRODUCER_OVERRIDE, props, settings));
                errors.extend(check_client(PRODUCER, PRODUCER_OVERRIDE, settings::dlq_producer_props, props, settings));
                errors.extend(check_overrides(ADMIN_OVERRIDE, props, settings));
                errors.extend(check_client(ADMIN, ADMIN_OVERRIDE, settings::dlq_admin_props, props, settings));
            }
        }
        Kind::Source => {
            errors.extend(check_overrides(PRODUCER_OVERRIDE, props, settings));
            errors.extend(check_client(PRODUCER, PRODUCER_OVERRIDE, settings::producer_props, props, settings));
            if settings.creates_topics && topic_creation::is_used(props) {
                errors.extend(topic_creation::check(props));
                errors.extend(check_overrides(ADMIN_OVERRIDE, props, settings));
                errors.extend(check_client(ADMIN, ADMIN_OVERRIDE, settings::admin_props, props, settings));
            }
        }
    }
    errors
}

/// Whether a source can deliver as its configuration asks for: `DistributedHerder.validateSourceConnectorConfig`. A key that has an error already has enough.
fn deliveries(class: &dyn Connector, props: &Props, settings: &Settings, found: &[ConfigError]) -> Vec<ConfigError> {
    let asks =
        |key: &str, value: &str| props.get(key).is_some_and(|text| text.trim().eq_ignore_ascii_case(value)) && found.iter().all(|error| error.key != key);
    let mut errors = Vec::new();
    if asks("exactly.once.support", "required") {
        let mut refuse = |message: &str| errors.push(ConfigError::new("exactly.once.support", message));
        if settings.exactly_once != ExactlyOnce::Enabled {
            refuse("This worker does not have exactly-once source support enabled.");
        }
        match class.delivers_exactly_once(props) {
            Some(true) => {}
            Some(false) => refuse("The connector does not support exactly-once semantics with the provided configuration."),
            None => refuse(
                "The connector does not implement the API required for preflight validation of exactly-once source support. Please consult the documentation for \
                 the connector to determine whether it supports exactly-once semantics, and then consider reconfiguring the connector to use the value \
                 \"requested\" for this property (which will disable this preflight check and allow the connector to be created).",
            ),
        }
    }
    // Without effect where there is no group, as upstream.
    if settings.is_distributed && asks("transaction.boundary", "connector") {
        let message = "The connector does not support connector-defined transaction boundaries with the given configuration. Please reconfigure it to use a \
                       different transaction boundary definition.";
        errors.push(ConfigError::new("transaction.boundary", message));
    }
    errors
}

/// `ConfigDef.NonEmptyStringWithoutControlChars`.
fn check_name(name: &str) -> Option<ConfigError> {
    let why = |why: String| Some(ConfigError::new("name", format!("Invalid value {name} for configuration name: {why}")));
    if name.is_empty() {
        return why("String may not be empty".to_owned());
    }
    let found: Vec<String> = name.chars().filter(|c| c.is_control()).map(|c| u32::from(c).to_string()).collect();
    if found.is_empty() { None } else { why(format!("String may not contain control sequences but had the following ASCII chars: {}", found.join(", "))) }
}

/// Exactly one of `topics` and `topics.regex`; as upstream, the problem is reported for both keys.
fn check_topics(props: &Props) -> Vec<ConfigError> {
    let values = Values { tables: &framework_keys(Kind::Sink), props };
    let both = |message: &str| ["topics", "topics.regex"].map(|key| ConfigError::new(key, message)).to_vec();
    match (values.non_blank("topics"), values.non_blank("topics.regex")) {
        (Some(_), Some(_)) => both("topics and topics.regex are mutually exclusive options, but both are set."),
        (None, None) => both("Must configure one of topics or topics.regex"),
        (Some(_), None) if values.list("topics").iter().all(|topic| topic.is_empty()) => both("Must configure one of topics or topics.regex"),
        (Some(_), None) => Vec::new(),
        (None, Some(pattern)) => match regex::Regex::new(pattern) {
            Ok(_) => Vec::new(),
            Err(error) => {
                let why = error.to_string().lines().last().unwrap_or("").trim_start_matches("error: ").to_owned();
                vec![ConfigError::new("topics.regex", format!("Invalid value {pattern} for configuration topics.regex: Invalid regular expression: {why}"))]
            }
        },
    }
}

/// Dead letters may not come back to whoever sent them: `SinkConnectorConfig.validate`.
fn check_dead_letter_topic(topic: &str, props: &Props) -> Option<ConfigError> {
    let values = Values { tables: &framework_keys(Kind::Sink), props };
    let topics = values.list("topics");
    if topics.contains(&topic) {
        let topics = topics.join(", ");
        let message = format!("The DLQ topic '{topic}' may not be included in the list of topics ('topics=[{topics}]') consumed by the connector");
        return Some(ConfigError::new("topics", message));
    }
    let pattern = values.non_blank("topics.regex")?;
    let whole = regex::Regex::new(&format!("^(?:{pattern})$")).ok()?;
    let message = || format!("The DLQ topic '{topic}' may not be matched by the regex for the topics ('topics.regex={pattern}') consumed by the connector");
    whole.is_match(topic).then(|| ConfigError::new("topics.regex", message()))
}

/// The folder for dead letters must be one that the connector has access to.
fn check_letter_folder(class: &dyn Connector, props: &Props) -> Option<ConfigError> {
    const KEY: &str = "errors.deadletterqueue.url";
    let url = folder_url(props).filter(|_| class.kind() == Kind::Sink)?;
    let why = class.check_letter_folder(props, url).err()?;
    Some(ConfigError::new(KEY, format!("Invalid value {} for configuration {KEY}: {why}", without_user_info(url))))
}

/// The worker's policy for `consumer.override.*` and the like, and what no policy can allow.
fn check_overrides(prefix: &str, props: &Props, settings: &Settings) -> Vec<ConfigError> {
    let policy = &settings.override_policy;
    let refused = |setting: &str, value: &str| {
        if !policy.allows(setting) {
            let name = policy.name();
            return Some(format!("The '{name}' policy does not allow '{setting}' to be overridden in the connector configuration."));
        }
        let auto_commit = prefix == CONSUMER_OVERRIDE && setting == "enable.auto.commit" && !value.trim().eq_ignore_ascii_case("false");
        // Where tasks have ids of their own, the worker's comes before it, as upstream.
        let transactional = prefix == PRODUCER_OVERRIDE && setting == "transactional.id" && settings.exactly_once != ExactlyOnce::Enabled;
        let why = match (auto_commit, transactional) {
            (true, _) => "offsets are committed only when records are durable",
            (_, true) => "tasks have one of their own where the workers have exactly.once.source.support=enabled; leave it out",
            _ => return None,
        };
        Some(format!("Invalid value {value} for configuration {prefix}{setting}: {why}"))
    };
    below(props, prefix).filter_map(|(s, v)| Some(ConfigError::new(format!("{prefix}{s}"), refused(&s, &v)?))).collect()
}

/// What a client would not take of a connector's overrides. What it would not take of the worker's own properties is not the connector's fault, and told by its
/// tasks.
fn check_client(client: Clients, prefix: &str, configured: ClientProps, props: &Props, settings: &Settings) -> Option<ConfigError> {
    below(props, prefix).next()?;
    let name = props.get("name").map_or("", String::as_str);
    let Refusal { key, why } = properties::refusal(client, &configured(&settings.props, name, props, 0))?;
    let key = format!("{prefix}{key}");
    let is_policys = !settings.override_policy.allows(key.strip_prefix(prefix)?);
    props.get(&key).filter(|_| !is_policys && key != "producer.override.transactional.id")?;
    Some(ConfigError::new(key.clone(), format!("Invalid configuration {key}: {why}")))
}

/// How a client of a task is configured.
type ClientProps = fn(&Props, &str, &Props, u32) -> kafka::Props;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Host;

    fn messages(worker: &[(&str, &str)], connector: &[(&str, &str)]) -> Vec<String> {
        messages_of(Kind::Sink, worker, connector)
    }

    fn messages_of(kind: Kind, worker: &[(&str, &str)], connector: &[(&str, &str)]) -> Vec<String> {
        let pairs = |pairs: &[(&str, &str)]| -> Props { pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect() };
        let mut props = pairs(&[("bootstrap.servers", "b"), ("key.converter", "K"), ("value.converter", "V")]);
        props.extend(pairs(worker));
        let settings = Settings::from_props(&props, &Host::default()).unwrap();
        let mut config = pairs(&[("name", "c"), ("connector.class", "X")]);
        config.extend(pairs(connector));
        framework(kind, &config, &settings).into_iter().map(|error| error.message).collect()
    }

    #[test]
    fn framework_keys_are_checked_in_upstreams_words() {
        const NEITHER: &str = "Must configure one of topics or topics.regex";
        const BOTH: &str = "topics and topics.regex are mutually exclusive options, but both are set.";
        let t = ("topics", "t");
        let cases: &[(&[(&str, &str)], &[&str])] = &[
            (&[t], &[]),
            (&[("topics.regex", "a.*")], &[]),
            (&[], &[NEITHER, NEITHER]),
            (&[("topics", " , ")], &[NEITHER, NEITHER]),
            (&[t, ("topics.regex", "b.*")], &[BOTH, BOTH]),
            (
                &[t, ("tasks.max", "abc")],
                &[
                    "Invalid value abc for configuration tasks.max: Not a number of type INT",
                    "Invalid value null for configuration tasks.max: Value must be non-null",
                ],
            ),
            (&[t, ("tasks.max", "0")], &["Invalid value 0 for configuration tasks.max: Value must be at least 1"]),
            (&[t, ("name", "")], &["Invalid value  for configuration name: String may not be empty"]),
            (
                &[t, ("name", "a\u{1}b")],
                &["Invalid value a\u{1}b for configuration name: String may not contain control sequences but had the following ASCII chars: 1"],
            ),
            (&[t, ("errors.tolerance", "some")], &["Invalid value some for configuration errors.tolerance: String must be one of: none, all"]),
            (&[("topics.regex", "a(")], &["Invalid value a( for configuration topics.regex: Invalid regular expression: unclosed group"]),
            (
                &[t, ("consumer.override.enable.auto.commit", "true")],
                &["Invalid value true for configuration consumer.override.enable.auto.commit: offsets are committed only when records are durable"],
            ),
            (&[t, ("consumer.override.max.poll.records", "1"), ("consumer.override.fetch.min.bytes", "10")], &[]),
            (&[t, ("errors.deadletterqueue.topic.name", "d")], &[]),
            (
                &[("topics", "s, t"), ("errors.deadletterqueue.topic.name", " t ")],
                &["The DLQ topic 't' may not be included in the list of topics ('topics=[s, t]') consumed by the connector"],
            ),
            (
                &[("topics.regex", "t.*"), ("errors.deadletterqueue.topic.name", "two")],
                &["The DLQ topic 'two' may not be matched by the regex for the topics ('topics.regex=t.*') consumed by the connector"],
            ),
            (&[("topics.regex", "t"), ("errors.deadletterqueue.topic.name", "two")], &[]),
            (
                &[t, ("errors.deadletterqueue.topic.name", "d"), ("producer.override.linger.m", "1")],
                &["Invalid configuration producer.override.linger.m: No such configuration property: \"linger.m\""],
            ),
            (
                &[t, ("lakehead.errors.breaker.share", "2")],
                &[
                    "Invalid value 2 for configuration lakehead.errors.breaker.share: not a share: write a number above 0 and up to 1, as 0.5, or leave it empty",
                ],
            ),
            (
                &[t, ("consumer.override.partition.assignment.strategy", "my.Assignor")],
                &[
                    "Invalid configuration consumer.override.partition.assignment.strategy: \"my.Assignor\" is unknown; use RangeAssignor, RoundRobinAssignor or CooperativeStickyAssignor",
                ],
            ),
            (
                &[t, ("consumer.override.fetch.min.byte", "10")],
                &["Invalid configuration consumer.override.fetch.min.byte: No such configuration property: \"fetch.min.byte\""],
            ),
        ];
        for (connector, expected) in cases {
            assert_eq!(messages(&[], connector), *expected, "{connector:?}");
        }
    }

    #[test]
    fn what_is_not_supported_is_refused_with_the_reason() {
        for (key, value, reason) in [
            ("connector.plugin.version", "[1,2)", "there is one version of every connector"),
            ("key.converter.plugin.version", "4.2", "there is one version of every converter"),
            ("value.converter.plugin.version", "4.2", "there is one version of every converter"),
            ("header.converter.plugin.version", "4.2", "there is one version of every converter"),
        ] {
            let messages = messages(&[], &[("topics", "t"), (key, value)]);
            assert!(messages.len() == 1 && messages[0].contains(reason) && messages[0].contains(key), "{messages:?}");
        }
    }

    #[test]
    fn sources_have_keys_of_their_own() {
        let source = |worker: &[(&str, &str)], connector: &[(&str, &str)]| messages_of(Kind::Source, worker, connector);
        assert!(source(&[], &[]).is_empty(), "no topics are asked for");
        let incomplete = [("topic.creation.default.partitions", "1")];
        assert_eq!(source(&[], &incomplete).len(), 1, "a replication factor is missing");
        assert!(source(&[("topic.creation.enable", "false")], &incomplete).is_empty(), "as upstream, it is not looked at");
        let overrides = [("producer.override.linger.ms", "1"), ("consumer.override.fetch.min.bytes", "1"), ("producer.override.transactional.id", "t")];
        assert_eq!(source(&[("connector.client.config.override.policy", "None")], &overrides).len(), 2);
        assert_eq!(source(&[], &overrides).len(), 1);
    }

    #[test]
    fn how_a_source_delivers_is_checked_in_upstreams_words() {
        #[derive(Debug)]
        struct Source(Option<bool>);
        impl Connector for Source {
            fn class(&self) -> &'static str {
                "Source"
            }
            fn kind(&self) -> Kind {
                Kind::Source
            }
            fn delivers_exactly_once(&self, _props: &Props) -> Option<bool> {
                self.0
            }
        }
        let worker = ["bootstrap.servers", "key.converter", "value.converter"].map(|key| (key.to_owned(), "x".to_owned())).into();
        let base = Settings { is_distributed: true, ..Settings::from_props(&worker, &Host::default()).unwrap() };
        let (required, boundary) = (("exactly.once.support", "Required"), ("transaction.boundary", "CONNECTOR"));
        let cases: [(ExactlyOnce, Option<bool>, (&str, &str), &[&str]); 8] = [
            (ExactlyOnce::Enabled, Some(true), required, &[]),
            (ExactlyOnce::Enabled, Some(false), required, &["The connector does not support exactly-once semantics with the provided configuration."]),
            (ExactlyOnce::Enabled, None, required, &["The connector does not implement the API required for preflight validation"]),
            (ExactlyOnce::Preparing, Some(true), required, &["This worker does not have exactly-once source support enabled."]),
            (ExactlyOnce::Disabled, None, required, &["This worker does not have exactly-once source support enabled.", "The connector does not implement"]),
            (ExactlyOnce::Disabled, None, ("exactly.once.support", "requested"), &[]),
            (ExactlyOnce::Disabled, Some(true), boundary, &["The connector does not support connector-defined transaction boundaries"]),
            (ExactlyOnce::Enabled, Some(true), ("transaction.boundary", "interval"), &[]),
        ];
        for (exactly_once, says, (key, value), expected) in cases {
            let settings = Settings { exactly_once, ..base.clone() };
            let props = Props::from([(key.to_owned(), value.to_owned())]);
            let found = deliveries(&Source(says), &props, &settings, &[]);
            let same = found.len() == expected.len() && found.iter().zip(expected).all(|(error, start)| error.key == key && error.message.starts_with(start));
            assert!(same, "{exactly_once:?} {says:?} {value}: {found:?}");
            assert!(deliveries(&Source(says), &props, &settings, &[ConfigError::new(key, "wrong")]).is_empty(), "one problem of a key is enough");
        }
        let alone = Settings { is_distributed: false, ..base };
        assert!(deliveries(&Source(None), &Props::from([(boundary.0.to_owned(), boundary.1.to_owned())]), &alone, &[]).is_empty(), "without effect there");
    }

    #[test]
    fn the_override_policy_holds() {
        let connector = [("topics", "t"), ("consumer.override.fetch.min.bytes", "1"), ("consumer.override.sasl.mechanism", "PLAIN")];
        let refused = |policy: &str| messages(&[("connector.client.config.override.policy", policy)], &connector);
        assert!(refused("All").is_empty());
        assert_eq!(refused("Principal"), ["The 'Principal' policy does not allow 'fetch.min.bytes' to be overridden in the connector configuration."]);
        assert_eq!(refused("None").len(), 2);
        let allowed = |settings: &str| {
            let worker = [("connector.client.config.override.policy", "Allowlist"), ("connector.client.config.override.allowlist", settings)];
            messages(&worker, &connector)
        };
        assert!(allowed("sasl.mechanism, fetch.min.bytes").is_empty());
        assert_eq!(allowed("sasl.mechanism"), ["The 'Allowlist' policy does not allow 'fetch.min.bytes' to be overridden in the connector configuration."]);
        assert_eq!(allowed("").len(), 2);
    }
}
