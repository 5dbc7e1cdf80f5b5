//! What configurations look like to those who fill them in: upstream's `ConfigInfos`, for forms, and for `…/config/validate`.
//!
//! The order is upstream's: keys with problems that nobody defines, the framework's keys, those of each transform, the connector's by group, then those of the
//! converters that the connector names. Names of members and groups are upstream's too.
//!
//! Guarantee: no answer holds a password, nor the value behind a reference to a config provider; the reference is shown as it was given.

use std::collections::BTreeMap;

use lakehead_formats::{payload, wire};
use serde::Serialize;

use crate::connect::config::display::{self, Row, Width};
use crate::connect::config::{Check, ConfigKey, Importance, Type, shown};
use crate::connect::{Connector, Kind, Props};
use crate::runtime::herder::HerderError;
use crate::runtime::sink_keys::VERSION;
use crate::runtime::validate::{Checked, RawConfig, framework_keys, inspect};
use crate::runtime::{classes, converter_keys, topic_creation};
use crate::settings::Settings;
use crate::transform::{self, predicates};

/// A configuration with everything that is to say about its keys: upstream's `ConfigInfos`.
#[derive(Debug, Clone, Serialize)]
pub struct ConfigInfos {
    /// The connector's class, as it was given.
    pub name: String,
    /// Messages in `configs`.
    pub error_count: usize,
    /// Groups of keys, in the order in which a form shows them.
    pub groups: Vec<String>,
    /// The keys.
    pub configs: Vec<ConfigInfo>,
}

/// One key: `ConfigInfo`.
#[derive(Debug, Clone, Serialize)]
pub struct ConfigInfo {
    /// What it is; null for a key with problems that nobody defines.
    pub definition: Option<Definition>,
    /// What was given.
    pub value: Value,
}

/// What a key is: `ConfigKeyInfo`.
#[derive(Debug, Clone, Serialize)]
pub struct Definition {
    /// Its name.
    pub name: String,
    /// `STRING`, `INT`, …
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// True when a configuration without it is invalid.
    pub required: bool,
    /// The default, as text.
    pub default_value: Option<String>,
    /// `HIGH`, `MEDIUM` or `LOW`.
    pub importance: &'static str,
    /// What it does.
    pub documentation: String,
    /// The group that it is shown in.
    pub group: Option<String>,
    /// Its place there.
    pub order_in_group: i32,
    /// `NONE`, `SHORT`, `MEDIUM` or `LONG`.
    pub width: &'static str,
    /// Its name in forms.
    pub display_name: String,
    /// Keys that are shown anew when it changes.
    pub dependents: Vec<String>,
}

/// A key's value and what is wrong with it: `ConfigValueInfo`.
#[derive(Debug, Clone, Serialize)]
pub struct Value {
    /// The key.
    pub name: String,
    /// The value or the default; null when there is none or it is not of the type.
    pub value: Option<String>,
    /// Values that a form offers.
    pub recommended_values: Vec<String>,
    /// Every problem.
    pub errors: Vec<String>,
    /// Whether a form shows it.
    pub visible: bool,
}

/// Kind of a plugin, as the REST API prints it.
pub type PluginKind = &'static str;

/// A key of some plugin, as a configuration writes it, and how it is shown.
struct Key {
    key: &'static ConfigKey,
    /// `transforms.<alias>.`, `value.converter.`; empty for the connector's and the framework's.
    prefix: String,
    definition: Definition,
}

impl Key {
    fn new(key: &'static ConfigKey, prefix: &str, group: &str, row: Option<Row>) -> Self {
        let Row(_, order, width, display_name) = row.unwrap_or(Row(key.name, -1, Width::None, key.name));
        let definition = Definition {
            name: format!("{prefix}{}", key.name),
            kind: key.kind.as_str(),
            required: key.required,
            default_value: default_of(key),
            importance: key.importance.as_str(),
            documentation: key.doc.to_owned(),
            group: Some(group.to_owned()),
            order_in_group: order,
            width: width.as_str(),
            display_name: display_name.to_owned(),
            dependents: display::dependents(key.name).iter().map(|name| (*name).to_owned()).collect(),
        };
        Self { key, prefix: prefix.to_owned(), definition }
    }
}

/// The default as it is shown: of a password that may be left out it is hidden, whatever it is.
fn default_of(key: &ConfigKey) -> Option<String> {
    match key.default {
        None if key.kind == Type::Password && !key.required => Some("[hidden]".to_owned()),
        default => shown(key, default?),
    }
}

/// The framework's keys of connectors of a kind.
fn framework(kind: Kind) -> Vec<Key> {
    let keys = framework_keys(kind).into_iter().flatten();
    let mut keys: Vec<Key> = keys.map(|key| Key::new(key, "", key.group, display::find(key, "").1)).collect();
    keys.sort_by_key(|key| key.key.name.starts_with("topics") || key.key.name.starts_with("errors.deadletterqueue."));
    for key in keys.iter_mut().filter(|key| key.key.name == "connector.plugin.version") {
        key.definition.default_value = Some(VERSION.to_owned());
    }
    keys
}

/// The converters that the worker gives where a connector names none are the defaults of its keys (KIP-891).
fn of_worker(keys: &mut [Key], settings: &Settings) {
    for key in keys {
        let name = key.key.name;
        if CONVERTERS.contains(&name) {
            let class = settings.props.get(name).map_or("org.apache.kafka.connect.storage.SimpleHeaderConverter", |class| class.trim());
            key.definition.default_value = Some(wire::find(class).map_or(class, |wire| class_of(wire.name, wire.aliases)).to_owned());
        } else if name.ends_with("converter.plugin.version") {
            key.definition.default_value = Some(VERSION.to_owned());
        }
    }
}

/// Values that a form offers.
fn recommended(key: &Key, connectors: &[&'static dyn Connector], class: &str) -> Vec<String> {
    let name = key.key.name;
    let of_kind = |wanted: PluginKind| plugins(connectors).into_iter().filter(|(_, kind)| *kind == wanted).map(|(class, _)| class).collect();
    match name {
        "type" if key.prefix.starts_with("transforms.") => of_kind("transformation"),
        "type" if key.prefix.starts_with("predicates.") => of_kind("predicate"),
        _ if !key.prefix.is_empty() => Vec::new(),
        "header.converter" => of_kind("header_converter"),
        _ if CONVERTERS.contains(&name) => of_kind("converter"),
        _ if name.ends_with(".plugin.version") => vec![VERSION.to_owned()],
        _ => display::recommended(name, class).iter().map(|value| (*value).to_owned()).collect(),
    }
}

/// The keys that name a converter of their own.
const CONVERTERS: [&str; 3] = ["header.converter", "key.converter", "value.converter"];

/// The keys of the groups of topics that a configuration names.
fn of_topic_creation(props: &Props) -> Vec<Key> {
    if !topic_creation::is_used(props) {
        return Vec::new();
    }
    let groups = topic_creation::groups(props).into_iter().map(|name| (name, format!("Topic Creation: {name}"), topic_creation::GROUP_KEYS));
    let default = std::iter::once(("default", "default".to_owned(), topic_creation::DEFAULT_GROUP_KEYS));
    let mut keys = Vec::new();
    for (name, group, table) in default.chain(groups) {
        let prefix = format!("{}{name}.", topic_creation::PREFIX);
        for (order, key) in (1..).zip(table) {
            let what = match key.name {
                "include" => "Inclusion Topic Pattern for",
                "exclude" => "Exclusion Topic Pattern for",
                "partitions" => "Partition Count for Topics in",
                _ => "Replication Factor for Topics in",
            };
            let mut key = Key::new(key, &prefix, &group, Some(Row(key.name, order, Width::Long, key.name)));
            key.definition.display_name = format!("{what} {group}");
            if let Some(default) = props.get(&format!("{}default.{}", topic_creation::PREFIX, key.key.name)).filter(|_| order > 2 && name != "default") {
                key.definition.default_value = shown(key.key, default);
            }
            keys.push(key);
        }
    }
    keys
}

/// A connector's own keys, by group and place; those that upstream does not have stand last in their groups.
fn of_connector(class: &dyn Connector) -> Vec<Key> {
    let tables = class.keys();
    let mut rows: Vec<(&'static str, Option<Row>, &'static ConfigKey)> = Vec::new();
    for key in tables.into_iter().flatten() {
        if rows.iter().all(|(_, _, known)| known.name != key.name) {
            let (group, row) = display::find(key, class.class());
            rows.push((group, row, key));
        }
    }
    rows.sort_by_key(|(group, row, key)| {
        let known = row.filter(|row| row.1 != 0);
        (display::rank(group), *group, known.is_none(), known.map(|row| (row.1, key.name)))
    });
    // Some keys are asked for by the connector's own checks; a configuration without anything shows which.
    let missing = class.validate(&Props::new()).errors;
    let is_missing = |name: &str| missing.iter().any(|error| error.key == name && error.message.starts_with("Missing required configuration"));
    let (mut last, mut keys) = (("", 0), Vec::with_capacity(rows.len()));
    for (group, row, key) in rows {
        let after = if last.0 == group { last.1 + 1 } else { 1 };
        let is_nowhere = row.is_none() && group.is_empty();
        let row = match row {
            Some(Row(_, order, width, display)) => Row(key.name, if order == 0 { after } else { order }, width, display),
            None if is_nowhere => Row(key.name, -1, Width::None, key.name),
            None => Row(key.name, after, Width::None, key.name),
        };
        last = (group, row.1);
        let mut key = Key::new(key, "", group, Some(row));
        if is_nowhere {
            key.definition.group = None;
        }
        key.definition.required |= key.definition.default_value.is_none() && is_missing(key.key.name);
        keys.push(key);
    }
    keys
}

const fn implicit(name: &'static str, kind: Type, default: Option<&'static str>, importance: Importance, doc: &'static str) -> ConfigKey {
    ConfigKey { name, kind, default, required: false, importance, group: "", doc, check: Check::Any }
}

/// Keys that every transform has.
static TRANSFORM_KEYS: &[ConfigKey] = &[
    ConfigKey { required: true, ..implicit("type", Type::Class, None, Importance::High, "Class or short name of the transform.") },
    implicit("plugin.version", Type::String, None, Importance::Medium, "Version of the transform; there is one of each."),
    implicit("predicate", Type::String, None, Importance::Medium, "Alias of the predicate that says which records are transformed."),
    implicit("negate", Type::Boolean, Some("false"), Importance::Medium, "Whether the records that the predicate does not take are the ones."),
];

/// Keys that every predicate has.
static PREDICATE_KEYS: &[ConfigKey] = &[
    ConfigKey { required: true, ..implicit("type", Type::Class, None, Importance::High, "Class or short name of the predicate.") },
    implicit("plugin.version", Type::String, None, Importance::Medium, "Version of the predicate; there is one of each."),
];

/// The keys of the transforms, or the predicates, that a configuration names.
fn of_stages(props: &Props, list: &str, what: &str, common: &'static [ConfigKey], own: fn(&str) -> &'static [ConfigKey]) -> Vec<Key> {
    let mut aliases: Vec<&str> = props.get(list).map_or("", String::as_str).split(',').map(str::trim).filter(|alias| !alias.is_empty()).collect();
    let mut seen = std::collections::BTreeSet::new();
    aliases.retain(|alias| seen.insert(*alias));
    let mut keys = Vec::new();
    for alias in aliases {
        let (prefix, group) = (format!("{list}.{alias}."), format!("{}: {alias}", if what == "Predicate" { "Predicates" } else { "Transforms" }));
        let own = props.get(&format!("{prefix}type")).map_or(&[] as &[_], |class| own(class.trim()));
        for (order, key) in (0..).zip(common.iter().chain(own)) {
            let mut key = Key::new(key, &prefix, &group, Some(Row(key.name, order, if order == 0 { Width::Long } else { Width::None }, key.name)));
            if order == 0 {
                key.definition.display_name = format!("{what} type for {alias}");
                key.definition.documentation = format!("Class for the '{alias}' {}.", what.to_ascii_lowercase());
            }
            keys.push(key);
        }
    }
    keys
}

/// The keys of the transforms and the predicates that a configuration names.
fn of_transforms(props: &Props) -> Vec<Key> {
    let mut keys = of_stages(props, "transforms", "Transformation", TRANSFORM_KEYS, |class| transform::find(class).map_or(&[], |(plugin, _)| plugin.keys));
    keys.extend(of_stages(props, "predicates", "Predicate", PREDICATE_KEYS, |class| predicates::find(class).map_or(&[], |plugin| plugin.keys)));
    keys
}

/// The keys of the converters that a connector names for itself.
fn of_converters(props: &Props) -> Vec<Key> {
    let mut keys = Vec::new();
    for place in CONVERTERS {
        let Some(converter) = props.get(place).and_then(|class| wire::find(class.trim())) else { continue };
        let prefix = format!("{place}.");
        keys.extend(converter_keys::of(converter.name).iter().map(|key| without_group(Key::new(key, &prefix, key.group, converter_keys::row(key.name)))));
    }
    keys
}

/// A plugin's key without a group has null there.
fn without_group(mut key: Key) -> Key {
    key.definition.group = key.definition.group.filter(|group| !group.is_empty());
    key
}

/// A configuration with everything that is to say about its keys.
///
/// # Errors
/// As [`inspect`].
pub(super) fn describe(connectors: &[&'static dyn Connector], settings: &Settings, config: RawConfig) -> Result<ConfigInfos, HerderError> {
    let Checked { class, raw, props, errors, .. } = inspect(connectors, settings, config)?;
    let mut problems: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for error in errors {
        problems.entry(error.key).or_default().push(error.message);
    }
    let mut groups: Vec<String> = Vec::new();
    let mut keys = framework(class.kind());
    of_worker(&mut keys, settings);
    keys.extend(of_transforms(&props));
    if class.kind() == Kind::Source && settings.creates_topics {
        keys.extend(of_topic_creation(&props));
    }
    keys.extend(of_connector(class));
    for group in keys.iter().filter_map(|key| key.definition.group.as_ref()) {
        if !groups.contains(group) {
            groups.push(group.clone());
        }
    }
    keys.extend(of_converters(&props));
    let text = |name: &str| {
        let given = props.get(name).map(|text| text.trim());
        given.or_else(|| keys.iter().find(|key| key.definition.name == name).and_then(|key| key.key.default))
    };
    let mut infos = Vec::with_capacity(keys.len());
    for key in &keys {
        let (definition, name) = (key.definition.clone(), key.definition.name.clone());
        let value = Value {
            value: value_of(key, &name, &raw, &props),
            recommended_values: recommended(key, connectors, class.class()),
            errors: problems.remove(&name).unwrap_or_default(),
            visible: !key.prefix.is_empty() || display::is_visible(&name, text),
            name,
        };
        infos.push(ConfigInfo { definition: Some(definition), value });
    }
    let nobodys = problems
        .into_iter()
        .map(|(name, errors)| ConfigInfo { definition: None, value: Value { name, value: None, recommended_values: Vec::new(), errors, visible: true } });
    let configs: Vec<ConfigInfo> = nobodys.chain(infos).collect();
    let name = props.get("connector.class").cloned().unwrap_or_default();
    Ok(ConfigInfos { name, error_count: configs.iter().map(|info| info.value.errors.len()).sum(), groups, configs })
}

/// The text that is shown for a key: what was given where it is of the type, else the default. A reference is not followed.
fn value_of(key: &Key, name: &str, raw: &Props, props: &Props) -> Option<String> {
    match (raw.get(name), props.get(name)) {
        (Some(given), Some(resolved)) if given != resolved && key.key.kind != Type::Password => Some(given.clone()),
        (Some(given), _) => shown(key.key, given),
        // The framework tells converters which side they are on.
        (None, _) if key.key.name == "converter.type" => key.prefix.split('.').next().map(str::to_owned),
        (None, _) => key.definition.default_value.clone(),
    }
}

/// The keys of a plugin, by class or short name: a connector's own first, then the framework's.
///
/// # Errors
/// [`HerderError::NotFound`].
pub(super) fn of_plugin(connectors: &[&'static dyn Connector], plugin: &str) -> Result<Vec<Definition>, HerderError> {
    let keys: Vec<Key> = if let Ok(class) = classes::find(connectors, plugin) {
        of_connector(class).into_iter().chain(framework(class.kind())).collect()
    } else if let Some((transform, _)) = transform::find(plugin) {
        transform.keys.iter().map(|key| without_group(Key::new(key, "", "", None))).collect()
    } else if let Some(predicate) = predicates::find(plugin) {
        predicate.keys.iter().map(|key| without_group(Key::new(key, "", "", None))).collect()
    } else if let Some(converter) = wire::find(plugin) {
        converter_keys::of(converter.name).iter().map(|key| without_group(Key::new(key, "", key.group, converter_keys::row(key.name)))).collect()
    } else if payload::find_for_headers(plugin).is_some() {
        Vec::new()
    } else {
        return Err(HerderError::NotFound(format!("Unknown plugin {plugin}.")));
    };
    Ok(keys.into_iter().map(|key| key.definition).collect())
}

/// Every plugin, by kind in upstream's order, each sorted by class.
pub(super) fn plugins(connectors: &[&'static dyn Connector]) -> Vec<(String, PluginKind)> {
    let mut all: Vec<(usize, String, PluginKind)> = Vec::new();
    all.extend(connectors.iter().map(|c| (if c.kind() == Kind::Sink { 0 } else { 1 }, c.class().to_owned(), c.kind().as_str())));
    all.extend(transform::TRANSFORMS.iter().flat_map(|plugin| plugin.classes()).map(|class| (2, class, "transformation")));
    all.extend(predicates::PREDICATES.iter().map(|plugin| (3, plugin.class.to_owned(), "predicate")));
    all.extend(wire::WIRE.iter().map(|wire| (4, class_of(wire.name, wire.aliases).to_owned(), "converter")));
    all.extend(payload::for_headers().map(|writer| (5, class_of(writer.name, writer.aliases).to_owned(), "header_converter")));
    all.sort_unstable();
    all.into_iter().map(|(_, class, kind)| (class, kind)).collect()
}

/// Upstream's class of a plugin.
fn class_of(name: &'static str, aliases: &[&'static str]) -> &'static str {
    aliases.iter().copied().find(|alias| alias.contains('.')).unwrap_or(name)
}
