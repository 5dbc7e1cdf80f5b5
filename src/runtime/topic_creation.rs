//! Which topics source connectors make, and how (KIP-158): `topic.creation.*`. Upstream's `TopicCreationConfig` and `TopicCreationGroup`.
//!
//! A topic is made with the settings of the first group in `topic.creation.groups` one of whose `include` expressions matches its whole name and none of whose
//! `exclude` expressions does; else with those of `default`. What a group does not say of partitions and replicas is as in `default`, and everything else below
//! `topic.creation.<group>.` is a setting of the topic. Pure.

use std::sync::Arc;

use fancy_regex::Regex;

use crate::connect::Props;
use crate::connect::config::{Check, ConfigError, ConfigKey, Importance, Type};
use crate::kafka::NewTopic;

/// Start of the keys of all groups.
pub const PREFIX: &str = "topic.creation.";
/// The group that every topic belongs to in the end.
const DEFAULT: &str = "default";

const fn key(name: &'static str, kind: Type, default: Option<&'static str>, check: Check, doc: &'static str) -> ConfigKey {
    ConfigKey { name, kind, default, required: false, importance: Importance::Low, group: "Topic Creation", doc, check }
}

const fn required(key: ConfigKey) -> ConfigKey {
    ConfigKey { required: true, default: None, ..key }
}

const INCLUDE: ConfigKey = key(
    "include",
    Type::List,
    Some(""),
    Check::Custom(expressions),
    "Regular expressions for whole names of topics that belong to the group, comma separated.",
);
const EXCLUDE: ConfigKey =
    key("exclude", Type::List, Some(""), Check::Custom(expressions), "Regular expressions for whole names of topics that do not, comma separated.");
const REPLICAS: ConfigKey = key(
    "replication.factor",
    Type::Short,
    None,
    Check::Custom(replicas),
    "Replicas of new topics; -1: the broker's default. Every other group has the default group's.",
);
const PARTITIONS: ConfigKey = key(
    "partitions",
    Type::Int,
    None,
    Check::Custom(partitions),
    "Partitions of new topics; -1: the broker's default. Every other group has the default group's.",
);

/// Keys of a group, below `topic.creation.<group>.`
pub static GROUP_KEYS: &[ConfigKey] = &[INCLUDE, EXCLUDE, REPLICAS, PARTITIONS];

/// Keys of the default group, below `topic.creation.default.`
pub static DEFAULT_GROUP_KEYS: &[ConfigKey] = &[ConfigKey { default: Some(".*"), ..INCLUDE }, EXCLUDE, required(REPLICAS), required(PARTITIONS)];

fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
}

/// A Java expression that has to match a whole name.
fn expression(java: &str) -> Result<Regex, String> {
    Regex::new(&format!("\\A(?:{java})\\z")).map_err(|error| format!("Syntax error in regular expression: {error}"))
}

fn expressions(text: &str) -> Result<(), String> {
    list(text).try_for_each(|java| expression(java).map(drop))
}

fn is_count(text: &str) -> bool {
    text.parse::<i32>().is_ok_and(|number| number == -1 || number > 0)
}

fn partitions(text: &str) -> Result<(), String> {
    is_count(text).then_some(()).ok_or_else(|| "Number of partitions must be positive, or -1 to use the broker's default".to_owned())
}

fn replicas(text: &str) -> Result<(), String> {
    let message = "Replication factor must be positive and not larger than the number of brokers in the Kafka cluster, or -1 to use the broker's default";
    is_count(text).then_some(()).ok_or_else(|| message.to_owned())
}

/// One group.
#[derive(Debug)]
struct Group {
    include: Vec<Regex>,
    exclude: Vec<Regex>,
    partitions: i32,
    replicas: i16,
    config: Props,
}

impl Group {
    fn read(name: &str, props: &Props, base: Option<&Self>) -> Self {
        let prefix = format!("{PREFIX}{name}.");
        let text = |key: &str| props.get(&format!("{prefix}{key}")).map_or("", |text| text.trim());
        let expressions = |key: &str| list(text(key)).filter_map(|java| expression(java).ok()).collect();
        let is_own = |key: &str| GROUP_KEYS.iter().any(|known| known.name == key);
        let config = props.iter().filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?, value))).filter(|(key, _)| !is_own(key));
        Self {
            include: expressions("include"),
            exclude: expressions("exclude"),
            partitions: text("partitions").parse().unwrap_or(base.map_or(-1, |base| base.partitions)),
            replicas: text("replication.factor").parse().unwrap_or(base.map_or(-1, |base| base.replicas)),
            config: config.map(|(key, value)| (key.to_owned(), value.clone())).collect(),
        }
    }

    /// An expression that cannot be decided about does not match.
    fn takes(&self, topic: &str) -> bool {
        let matches = |expressions: &[Regex]| expressions.iter().any(|expression| expression.is_match(topic).unwrap_or(false));
        !matches(&self.exclude) && matches(&self.include)
    }
}

/// The groups of a connector.
#[derive(Debug)]
pub struct TopicCreation {
    /// In their order, without the default one.
    groups: Vec<Group>,
    default: Group,
}

/// The names of a connector's groups, without the default one.
pub fn groups(props: &Props) -> Vec<&str> {
    let mut names = Vec::new();
    for name in list(props.get("topic.creation.groups").map_or("", String::as_str)) {
        if name != DEFAULT && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// True when a configuration has something to say of topics.
#[must_use]
pub fn is_used(props: &Props) -> bool {
    props.keys().any(|key| key.starts_with(PREFIX))
}

/// Everything that is wrong with a configuration's groups.
#[must_use]
pub fn check(props: &Props) -> Vec<ConfigError> {
    if !is_used(props) {
        return Vec::new();
    }
    let mut errors = Vec::new();
    let listed: Vec<&str> = list(props.get("topic.creation.groups").map_or("", String::as_str)).collect();
    if let Some(twice) = listed.iter().enumerate().find(|(at, name)| listed.iter().take(*at).any(|earlier| earlier == *name)) {
        let message = format!("Invalid value [{}] for configuration topic.creation.groups: Duplicate alias provided. (\"{}\")", listed.join(", "), twice.1);
        errors.push(ConfigError::new("topic.creation.groups", message));
    }
    let named = std::iter::once((DEFAULT, DEFAULT_GROUP_KEYS)).chain(groups(props).into_iter().map(|name| (name, GROUP_KEYS)));
    for (name, keys) in named {
        let prefix = format!("{PREFIX}{name}.");
        let own: Props = props.iter().filter_map(|(key, value)| Some((key.strip_prefix(&prefix)?.to_owned(), value.clone()))).collect();
        for error in crate::connect::config::check(&[keys], &own, |_| true).errors {
            let full = format!("{prefix}{}", error.key);
            let message = error.message.replacen(&format!("configuration {}:", error.key), &format!("configuration {full}:"), 1);
            errors.push(ConfigError::new(full.clone(), message.replacen(&format!("\"{}\" which", error.key), &format!("\"{full}\" which"), 1)));
        }
    }
    errors
}

impl TopicCreation {
    /// The groups of a connector whose configuration is valid; `None` when it makes no topics.
    #[must_use]
    pub fn from_props(props: &Props) -> Option<Self> {
        is_used(props).then(|| {
            let default = Group::read(DEFAULT, props, None);
            Self { groups: groups(props).into_iter().map(|name| Group::read(name, props, Some(&default))).collect(), default }
        })
    }

    /// The topic of that name, as its group has it made.
    #[must_use]
    pub fn topic(&self, name: &Arc<str>) -> NewTopic {
        let group = self.groups.iter().find(|group| group.takes(name)).unwrap_or(&self.default);
        NewTopic { name: Arc::clone(name), partitions: group.partitions, replicas: group.replicas, config: group.config.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn props(pairs: &[(&str, &str)]) -> Props {
        pairs.iter().map(|(key, value)| (format!("topic.creation.{key}"), (*value).to_owned())).collect()
    }

    #[test]
    fn a_topic_is_made_as_its_first_group_says() {
        let creation = TopicCreation::from_props(&props(&[
            ("groups", "compacted, default, big,"),
            ("default.partitions", "3"),
            ("default.replication.factor", "-1"),
            ("default.include", "ignored["),
            ("default.retention.ms", "5"),
            ("compacted.include", "state-.*, keys"),
            ("compacted.exclude", "state-x.*"),
            ("compacted.partitions", "1"),
            ("compacted.cleanup.policy", "compact"),
            ("big.include", "state.*"),
            ("big.replication.factor", "2"),
        ]))
        .unwrap();
        for (topic, partitions, replicas, config) in [
            ("state-a", 1, -1, Some(("cleanup.policy", "compact"))),
            ("keys", 1, -1, Some(("cleanup.policy", "compact"))),
            ("state-x1", 3, 2, None),
            ("my-state-a", 3, -1, Some(("retention.ms", "5"))),
        ] {
            let config: Props = config.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            assert_eq!(creation.topic(&topic.into()), NewTopic { name: topic.into(), partitions, replicas, config });
        }
        assert!(TopicCreation::from_props(&Props::from([("topic".to_owned(), "t".to_owned())])).is_none());
    }

    #[test]
    fn what_is_wrong_is_told_in_upstreams_words() {
        let valid = [("default.partitions", "1"), ("default.replication.factor", "1")];
        let cases: &[(&[(&str, &str)], &str)] = &[
            (&[("groups", "a")], "Missing required configuration \"topic.creation.default.replication.factor\" which has no default value."),
            (
                &[valid[1], ("default.partitions", "0")],
                "Invalid value 0 for configuration topic.creation.default.partitions: Number of partitions must be positive, or -1 to use the broker's default",
            ),
            (&[valid[1], ("default.partitions", "x")], "Invalid value x for configuration topic.creation.default.partitions: Not a number of type INT"),
            (
                &[valid[0], valid[1], ("groups", "a"), ("a.replication.factor", "-2")],
                "Invalid value -2 for configuration topic.creation.a.replication.factor: Repl",
            ),
            (&[valid[0], valid[1], ("groups", "a"), ("a.include", "(")], "Invalid value ( for configuration topic.creation.a.include: Syntax error in regular"),
            (&[valid[0], valid[1], ("groups", "a,b,a")], "Invalid value [a, b, a] for configuration topic.creation.groups: Duplicate alias provided."),
        ];
        for (pairs, expected) in cases {
            let errors = check(&props(pairs));
            assert!(errors.first().is_some_and(|error| error.message.starts_with(expected)), "{pairs:?}: {errors:?}");
        }
        assert!(check(&props(&valid)).is_empty() && check(&Props::new()).is_empty());
    }
}
