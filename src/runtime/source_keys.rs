//! The framework's keys that only source connectors have: `SourceConnectorConfig` of Apache Kafka 4.3. Those of groups of topics are in
//! [`topic_creation`](super::topic_creation).

use super::sink_keys::{key, low};
use crate::connect::config::{Check, ConfigKey, Type};

/// Framework keys that only sources have.
pub static SOURCE_KEYS: &[ConfigKey] = &[
    low(key(
        "topic.creation.groups",
        Type::List,
        Some(""),
        Check::Any,
        "Topic Creation",
        "Groups of topics that are made with the same settings, in the order in which they are looked through: `topic.creation.<group>.*`.",
    )),
    key(
        "exactly.once.support",
        Type::String,
        Some("requested"),
        Check::OneOfIgnoreCase(&["requested", "required"]),
        "Exactly Once Support",
        "`required`: the connector is refused unless it is able to deliver exactly once, and the workers have `exactly.once.source.support=enabled`.",
    ),
    key(
        "transaction.boundary",
        Type::String,
        Some("poll"),
        Check::OneOfIgnoreCase(&["poll", "connector", "interval"]),
        "Exactly Once Support",
        "When transactions end, where the workers have `exactly.once.source.support=enabled`: with each batch that was polled, or at intervals. None of the connectors here says so itself.",
    ),
    low(key(
        "transaction.boundary.interval.ms",
        Type::Long,
        None,
        Check::Range(0, i64::MAX),
        "Exactly Once Support",
        "Milliseconds between ends of transactions with `transaction.boundary=interval`; unless given, `offset.flush.interval.ms`.",
    )),
    low(key(
        "offsets.storage.topic",
        Type::String,
        None,
        Check::NotBlank,
        "offsets.topic",
        "Topic for the connector's own offsets, beside the workers' topic, which gets a copy. As upstream, without effect in standalone mode, where offsets are in a file.",
    )),
];
