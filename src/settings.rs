//! The worker's settings file: text in, typed settings out. The one place that reads the environment.
//!
//! Parts: [`properties`] (the file format), [`keys`], [`distributed_keys`] and [`security_keys`] (the tables of keys), [`providers`] (references to secrets),
//! [`clients`] (what Kafka clients are given), [`rest`] (where and how the REST API is served), [`users`] (who may use it), [`connector_file`] (connectors on the
//! command line), [`host`] (what the machine gives).
//!
//! Guarantee: every key of the worker itself acts, or is known to ask for nothing, or is refused or warned about by name (what stands below a prefix such as
//! `value.converter.` is its owner's to judge); values of secrets are in no message.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::connect::Props;
use crate::connect::config::{ConfigError, Values, check};

pub mod clients;
pub mod connector_file;
pub mod distributed_keys;
pub mod host;
pub mod keys;
pub mod properties;
pub mod providers;
pub mod rest;
pub mod security_keys;
pub mod users;

pub use clients::{admin_props, consumer_props, dlq_admin_props, dlq_producer_props, producer_props};
use distributed_keys::DISTRIBUTED_KEYS;
pub use host::Host;
use keys::{PREFIXES, TLS_PREFIXES, WORKER_KEYS};
use providers::Providers;
pub use rest::{Listener, RestSettings, Scheme};
use security_keys::SECURITY_KEYS;

const DEFAULT_MEMORY_BYTES: u64 = 256 << 20;

/// Which kind of worker a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// One that is alone. Keys of groups are taken without effect.
    Standalone,
    /// A member of a group.
    Distributed,
}

/// Which `consumer.override.*` connectors may use: upstream's `connector.client.config.override.policy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OverridePolicy {
    /// Any.
    All,
    /// None.
    None,
    /// `sasl.jaas.config`, `sasl.mechanism` and `security.protocol`.
    Principal,
    /// These: `connector.client.config.override.allowlist`.
    Allowlist(Vec<String>),
}

impl OverridePolicy {
    /// The policy's name in messages.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::All => "All",
            Self::None => "None",
            Self::Principal => "Principal",
            Self::Allowlist(_) => "Allowlist",
        }
    }

    /// True when the client's setting (without prefix) may be overridden.
    #[must_use]
    pub fn allows(&self, setting: &str) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Principal => matches!(setting, "sasl.jaas.config" | "sasl.mechanism" | "security.protocol"),
            Self::Allowlist(settings) => settings.iter().any(|allowed| allowed == setting),
        }
    }
}

/// Whether source connectors deliver exactly once: `exactly.once.source.support` (KIP-618), of workers in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExactlyOnce {
    /// They deliver at least once.
    #[default]
    Disabled,
    /// The leader writes as it must; tasks do not yet. All workers of a group are set so before the first one is enabled.
    Preparing,
    /// They do.
    Enabled,
}

impl ExactlyOnce {
    /// From a worker's properties.
    ///
    /// # Errors
    /// One line that names the property.
    pub fn from_props(props: &Props) -> Result<Self, String> {
        let value = props.get("exactly.once.source.support").map_or("disabled", |value| value.trim());
        match value.to_ascii_lowercase().as_str() {
            "disabled" => Ok(Self::Disabled),
            "preparing" => Ok(Self::Preparing),
            "enabled" => Ok(Self::Enabled),
            _ => Err(format!(
                "Invalid value {value} for configuration exactly.once.source.support: String must be one of (case insensitive): disabled, enabled, preparing"
            )),
        }
    }
}

/// Form of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object per line.
    Json,
}

/// A worker's settings: numbers and texts, no live components.
#[derive(Clone)]
pub struct Settings {
    /// The whole file, references resolved.
    pub props: Props,
    /// The REST API.
    pub rest: RestSettings,
    /// `rest.advertised.host.name`.
    pub advertised_host: Option<String>,
    /// `rest.advertised.port`.
    pub advertised_port: Option<u16>,
    /// `task.shutdown.graceful.timeout.ms`.
    pub task_shutdown_graceful_timeout: Duration,
    /// `offset.flush.interval.ms`.
    pub offset_flush_interval: Duration,
    /// `offset.flush.timeout.ms`.
    pub offset_flush_timeout: Duration,
    /// `offset.storage.file.filename`.
    pub offset_file: Option<PathBuf>,
    /// `topic.creation.enable`.
    pub creates_topics: bool,
    /// `topic.tracking.enable`.
    pub tracks_topics: bool,
    /// `topic.tracking.allow.reset`.
    pub allows_topic_reset: bool,
    /// True for a worker of a group.
    pub is_distributed: bool,
    /// `exactly.once.source.support`; always disabled outside of groups.
    pub exactly_once: ExactlyOnce,
    /// `connector.client.config.override.policy`.
    pub override_policy: OverridePolicy,
    /// `config.providers`.
    pub providers: Providers,
    /// `lakehead.memory.limit`, bytes.
    pub memory_limit_bytes: u64,
    /// `lakehead.spill.dir`; `None` when nothing is to be spilled.
    pub spill_dir: Option<PathBuf>,
    /// `lakehead.cpu.threads`, at least 1.
    pub cpu_threads: usize,
    /// `lakehead.log.format`.
    pub log_format: LogFormat,
    /// What is logged: a `tracing` filter, from `LAKEHEAD_LOG` or `RUST_LOG`.
    pub log_filter: String,
    /// Name of the machine.
    pub host_name: String,
    /// What deserves a warning once there is a log.
    pub warnings: Vec<String>,
}

impl fmt::Debug for Settings {
    /// Without the texts of the file, which may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("keys", &self.props.keys())
            .field("listeners", &self.rest.listeners)
            .field("memory_limit_bytes", &self.memory_limit_bytes)
            .field("cpu_threads", &self.cpu_threads)
            .finish_non_exhaustive()
    }
}

/// A worker's settings cannot be used. `Display` is one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError(
    /// Every problem.
    pub Vec<String>,
);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for SettingsError {}

impl From<Vec<ConfigError>> for SettingsError {
    fn from(errors: Vec<ConfigError>) -> Self {
        Self(errors.into_iter().map(|error| error.message).collect())
    }
}

impl Settings {
    /// Reads a worker file.
    ///
    /// # Errors
    /// [`SettingsError`] with every problem, the file named.
    pub fn load(path: &Path, mode: Mode, host: &Host) -> Result<Self, SettingsError> {
        let named = |message: String| SettingsError(vec![format!("worker file {}: {message}", path.display())]);
        let bytes = std::fs::read(path).map_err(|error| named(error.to_string()))?;
        let props = properties::parse(&bytes).map_err(|error| named(error.to_string()))?;
        Self::read(&props, mode, host).map_err(|error| named(error.to_string()))
    }

    /// Settings from the configuration of a worker that is alone.
    ///
    /// # Errors
    /// [`SettingsError`] with every problem.
    pub fn from_props(props: &Props, host: &Host) -> Result<Self, SettingsError> {
        Self::read(props, Mode::Standalone, host)
    }

    /// Settings from a worker's configuration.
    ///
    /// # Errors
    /// [`SettingsError`] with every problem.
    pub fn read(props: &Props, mode: Mode, host: &Host) -> Result<Self, SettingsError> {
        let providers = Providers::from_props(props, &host.environment)?;
        let props = providers.resolve(props)?;
        let of_group = if mode == Mode::Distributed { DISTRIBUTED_KEYS } else { &[] };
        let report = check(&[WORKER_KEYS, SECURITY_KEYS, of_group], &props, is_known_elsewhere);
        let mut problems: Vec<String> = report.errors.into_iter().map(|error| error.message).collect();
        let lookup = props.get("client.dns.lookup").map(|lookup| lookup.trim()).filter(|lookup| *lookup == "resolve_canonical_bootstrap_servers_only");
        if let Some(lookup) = lookup.filter(|_| mode == Mode::Distributed) {
            problems
                .push(format!("client.dns.lookup=\"{lookup}\": the member of a group tries all addresses of a name; give use_all_dns_ips, or leave it out"));
        }
        let mut warnings = Vec::new();
        if !report.unknown.is_empty() {
            warnings.push(format!("the worker's configuration has keys that nothing here uses: {}", report.unknown.join(", ")));
        }
        let values = Values { tables: &[WORKER_KEYS], props: &props };
        let rest = RestSettings::read(&values, &host.environment).unwrap_or_else(|problem| {
            problems.push(problem);
            RestSettings::default()
        });
        warnings.extend(rest.warnings());
        let memory_limit_bytes = memory_limit(&values, host).unwrap_or_else(|problem| {
            problems.push(problem);
            0
        });
        if !problems.is_empty() {
            return Err(SettingsError(problems));
        }
        let millis = |key| Duration::from_millis(values.long(key).and_then(|n| u64::try_from(n).ok()).unwrap_or(0));
        let log_filter = ["LAKEHEAD_LOG", "RUST_LOG"].iter().find_map(|name| host.environment.get(*name)).map_or("info", String::as_str);
        Ok(Self {
            rest,
            is_distributed: false,
            exactly_once: ExactlyOnce::Disabled,
            offset_file: values.non_blank("offset.storage.file.filename").map(PathBuf::from),
            creates_topics: values.boolean("topic.creation.enable"),
            tracks_topics: values.boolean("topic.tracking.enable"),
            allows_topic_reset: values.boolean("topic.tracking.allow.reset"),
            advertised_host: values.non_blank("rest.advertised.host.name").map(str::to_owned),
            advertised_port: values.long("rest.advertised.port").and_then(|n| u16::try_from(n).ok()),
            task_shutdown_graceful_timeout: millis("task.shutdown.graceful.timeout.ms"),
            offset_flush_interval: millis("offset.flush.interval.ms"),
            offset_flush_timeout: millis("offset.flush.timeout.ms"),
            override_policy: override_policy(&values),
            memory_limit_bytes,
            spill_dir: spill_dir(&values, host),
            cpu_threads: values.long("lakehead.cpu.threads").and_then(|n| usize::try_from(n).ok()).unwrap_or(host.cores).max(1),
            log_format: if values.text("lakehead.log.format").eq_ignore_ascii_case("json") { LogFormat::Json } else { LogFormat::Text },
            log_filter: log_filter.to_owned(),
            host_name: host.name.clone(),
            warnings,
            providers,
            props,
        })
    }
}

/// True for keys that are in no table of the worker's, and still mean something to somebody, or to a worker of the other kind.
fn is_known_elsewhere(key: &str) -> bool {
    let is_tls = |key: &str| key == "ssl.client.auth" || (key.starts_with("ssl.") && SECURITY_KEYS.iter().any(|known| known.name == key));
    DISTRIBUTED_KEYS.iter().any(|known| known.name == key)
        || PREFIXES.iter().any(|prefix| key.starts_with(prefix))
        || TLS_PREFIXES.iter().any(|prefix| key.strip_prefix(prefix).is_some_and(is_tls))
}

fn override_policy(values: &Values<'_>) -> OverridePolicy {
    let name = values.text("connector.client.config.override.policy");
    let name = name.rsplit('.').next().unwrap_or(name);
    match name.strip_suffix("ConnectorClientConfigOverridePolicy").unwrap_or(name) {
        "None" => OverridePolicy::None,
        "Principal" => OverridePolicy::Principal,
        "Allowlist" => {
            let allowed = values.list("connector.client.config.override.allowlist").into_iter().filter(|name| !name.is_empty());
            OverridePolicy::Allowlist(allowed.map(str::to_owned).collect())
        }
        _ => OverridePolicy::All,
    }
}

fn memory_limit(values: &Values<'_>, host: &Host) -> Result<u64, String> {
    let Some(text) = values.non_blank("lakehead.memory.limit") else {
        return Ok(host.memory_limit_bytes.map_or(DEFAULT_MEMORY_BYTES, |limit| DEFAULT_MEMORY_BYTES.min(limit / 2)));
    };
    match host::parse_bytes(text) {
        Some(bytes) if bytes >= 1 << 20 => Ok(bytes),
        _ => Err(format!("lakehead.memory.limit=\"{text}\" is not a size of at least 1 MiB (give bytes, or a number with KiB, MiB or GiB)")),
    }
}

fn spill_dir(values: &Values<'_>, host: &Host) -> Option<PathBuf> {
    match values.non_blank("lakehead.spill.dir").map(str::trim) {
        Some(text) if text.eq_ignore_ascii_case("none") => None,
        Some(text) => Some(PathBuf::from(text)),
        None => Some(Path::new(host.environment.get("TMPDIR").filter(|dir| !dir.is_empty()).map_or("/tmp", String::as_str)).join("lakehead")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(text: &str) -> Result<Settings, SettingsError> {
        let base = "bootstrap.servers=b:9092\nkey.converter=K\nvalue.converter=V\n";
        let props = properties::parse(format!("{base}{text}").as_bytes()).unwrap();
        Settings::from_props(&props, &Host { cores: 3, name: "h".to_owned(), ..Host::default() })
    }

    #[test]
    fn the_defaults_are_upstreams() {
        let settings = settings("").unwrap();
        assert_eq!(settings.rest.listeners, [Listener { scheme: Scheme::Http, host: String::new(), port: 8083 }]);
        assert_eq!(settings.task_shutdown_graceful_timeout, Duration::from_secs(5));
        assert_eq!(settings.offset_flush_interval, Duration::from_secs(60));
        assert_eq!(settings.override_policy, OverridePolicy::All);
        assert_eq!((settings.memory_limit_bytes, settings.cpu_threads), (256 << 20, 3));
        assert!(settings.warnings.is_empty(), "{:?}", settings.warnings);
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        for (text, expected) in [
            ("listeners=ftp://:8443", "listeners: \"ftp://:8443\" has an unknown protocol"),
            ("rest.advertised.listener=ftp", "Invalid value ftp for configuration rest.advertised.listener: give http or https"),
            ("ssl.client.auth=always", "Invalid value always for configuration ssl.client.auth"),
            ("listeners=:8443", "listeners: \":8443\" has no protocol"),
            ("listeners=http://:x", "listeners: \"http://:x\" has no valid port"),
            ("listeners=", "listeners is empty"),
            (
                "rest.extension.classes=com.example.Auth",
                "Invalid value com.example.Auth for configuration rest.extension.classes: REST extensions are Java classes",
            ),
            ("offset.flush.interval.ms=soon", "Invalid value soon for configuration offset.flush.interval.ms: Not a number of type LONG"),
            ("lakehead.memory.limit=lots", "lakehead.memory.limit=\"lots\" is not a size"),
            ("connector.client.config.override.policy=Mine", "Invalid value Mine for configuration connector.client.config.override.policy"),
        ] {
            let error = settings(text).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
        let missing = Settings::from_props(&Props::new(), &Host::default()).unwrap_err();
        assert_eq!(missing.0.len(), 3, "{missing}");
    }

    #[test]
    fn unknown_keys_are_warned_about_and_known_families_are_not() {
        let settings = settings(
            "consumer.x=1\nssl.keystore.location=/k\ngroup.id=g\nvalue.converter.schemas.enable=false\noffset.flush.intervall.ms=1\n\
                 listeners.https.ssl.keystor.location=/k\nssl.keystor.type=PEM",
        )
        .unwrap();
        let unknown = "listeners.https.ssl.keystor.location, offset.flush.intervall.ms, ssl.keystor.type";
        assert_eq!(settings.warnings, [format!("the worker's configuration has keys that nothing here uses: {unknown}")]);
    }

    #[test]
    fn the_default_memory_is_half_of_a_small_container() {
        let limit = |container: Option<u64>| {
            let values = Values { tables: &[WORKER_KEYS], props: &Props::new() };
            memory_limit(&values, &Host { memory_limit_bytes: container, ..Host::default() }).unwrap()
        };
        assert_eq!(limit(None), 256 << 20);
        assert_eq!(limit(Some(8 << 30)), 256 << 20);
        assert_eq!(limit(Some(100 << 20)), 50 << 20);
        assert_eq!(settings("lakehead.memory.limit=1g").unwrap().memory_limit_bytes, 1 << 30);
    }

    #[test]
    fn rows_are_spilled_below_the_folder_for_temporary_files_unless_told_otherwise() {
        for (text, temporary, expected) in [
            ("", None, Some("/tmp/lakehead")),
            ("", Some("/var/tmp"), Some("/var/tmp/lakehead")),
            ("lakehead.spill.dir=/data/spill", Some("/var/tmp"), Some("/data/spill")),
            ("lakehead.spill.dir=None", None, None),
        ] {
            let base = format!("bootstrap.servers=b:9092\nkey.converter=K\nvalue.converter=V\n{text}");
            let environment = temporary.map(|dir: &str| ("TMPDIR".to_owned(), dir.to_owned())).into_iter().collect();
            let settings = Settings::from_props(&properties::parse(base.as_bytes()).unwrap(), &Host { environment, ..Host::default() }).unwrap();
            assert_eq!(settings.spill_dir.as_deref(), expected.map(Path::new), "{text}");
        }
    }

    #[test]
    fn how_sources_deliver() {
        for (value, expected) in [
            (None, Ok(ExactlyOnce::Disabled)),
            (Some(" Disabled"), Ok(ExactlyOnce::Disabled)),
            (Some("preparing"), Ok(ExactlyOnce::Preparing)),
            (Some("ENABLED"), Ok(ExactlyOnce::Enabled)),
            (Some("on"), Err("Invalid value on for configuration exactly.once.source.support")),
        ] {
            let props = value.map(|value| ("exactly.once.source.support".to_owned(), value.to_owned())).into_iter().collect();
            match (ExactlyOnce::from_props(&props), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected),
                (Err(found), Err(expected)) => assert!(found.starts_with(expected), "{found}"),
                (found, expected) => panic!("{found:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn debug_output_has_no_values() {
        let settings = settings("sasl.jaas.config=hunter2").unwrap();
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
