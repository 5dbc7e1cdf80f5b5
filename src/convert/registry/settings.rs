//! The registry client's keys, with upstream's spellings (`AbstractKafkaSchemaSerDeConfig`, `SchemaRegistryClientConfig`).
//!
//! Most client keys may also be written with the prefix `schema.registry.`; a key with the prefix wins. Keys that would change what the
//! client does and are not supported are refused by name; keys for producers (`auto.register.schemas`, …) mean nothing to a sink and are left alone:
//! [`registration`](super::registration) reads them for sources.

use std::fmt;

use url::Url;

use crate::connect::Props;
use crate::tls::{self, Fallback, Ssl, TlsError};

const SSL: &str = "schema.registry.ssl.";
const PREFIX: &str = "io.confluent.kafka.serializers.schema.id.PrefixSchemaIdSerializer";
const DUAL: &str = "io.confluent.kafka.serializers.schema.id.DualSchemaIdDeserializer";
const DESERIALIZER: &str = "io.confluent.kafka.serializers.schema.id.PrefixSchemaIdDeserializer";

/// Everything that the client is told. Two converters with equal settings share a client.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Settings {
    /// Addresses, tried in turn; a user and password in one of them is sent to it alone.
    pub(super) urls: Vec<Url>,
    credentials: Option<Credentials>,
    connect_timeout_ms: u64,
    read_timeout_ms: u64,
    /// `schema.registry.ssl.*`: who is trusted instead of the system's authorities, and who we are.
    ssl: Props,
    proxy: Option<String>,
    /// `request.header.*`: sent with every request.
    headers: Vec<(String, String)>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Credentials {
    Basic { user: String, password: String },
    Bearer(String),
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("urls", &self.names()).finish_non_exhaustive()
    }
}

/// An address without user and password.
pub(super) fn name(url: &Url) -> String {
    let mut url = url.clone();
    // Both fail only for an address that cannot have a user.
    url.set_username("").ok();
    url.set_password(None).ok();
    url.as_str().trim_end_matches('/').to_owned()
}

/// A key, without the converter's prefix, and what is wrong with its value.
pub type Problem = (String, String);

/// What the client is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Schemas of records that are read.
    Reading,
    /// Ids for schemas that are written.
    Writing,
}

/// Reads keys and gathers problems.
struct Reader<'a> {
    options: &'a Props,
    problems: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// The trimmed text of a client key, with its prefix or without; `None` when it is blank.
    fn text(&self, key: &str) -> Option<&'a str> {
        let prefixed = format!("schema.registry.{key}");
        self.options.get(&prefixed).or_else(|| self.options.get(key)).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    fn problem(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push((key.to_owned(), message.into()));
    }

    fn number(&mut self, key: &str, default: u64) -> u64 {
        match self.text(key).map(str::parse::<u32>) {
            None => default,
            Some(Ok(number)) => u64::from(number),
            Some(Err(_)) => {
                self.problem(key, format!("\"{}\" is not a number of milliseconds", self.text(key).unwrap_or_default()));
                default
            }
        }
    }

    fn urls(&mut self) -> Vec<Url> {
        let key = "schema.registry.url";
        let text = self.options.get(key).map_or("", |text| text.trim());
        if text.is_empty() {
            self.problem(key, "Missing required configuration \"schema.registry.url\" which has no default value.");
        }
        let mut urls = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match Url::parse(part) {
                Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => urls.push(url),
                Ok(url) => self.problem(key, format!("\"{}\" is not an address; an http or https URL is taken, or several with commas between", name(&url))),
                // The text may hold a password.
                Err(error) => self.problem(key, format!("not a URL: {error}; an http or https URL is taken, or several with commas between")),
            }
        }
        urls
    }

    fn credentials(&mut self) -> Option<Credentials> {
        if let Some(source) = self.text("bearer.auth.credentials.source") {
            let key = "bearer.auth.credentials.source";
            return match (source, self.text("bearer.auth.token")) {
                ("STATIC_TOKEN", Some(token)) => Some(Credentials::Bearer(token.to_owned())),
                ("STATIC_TOKEN", None) => self.none("bearer.auth.token", "STATIC_TOKEN needs the token here"),
                _ => self.none(key, &format!("\"{source}\" is not supported; values taken: STATIC_TOKEN")),
            };
        }
        match self.text("basic.auth.credentials.source").unwrap_or("URL") {
            "URL" => None,
            "USER_INFO" => match self.text("basic.auth.user.info").and_then(|info| info.split_once(':')) {
                Some((user, password)) => Some(Credentials::Basic { user: user.to_owned(), password: password.to_owned() }),
                None => self.none("basic.auth.user.info", "USER_INFO needs user and password here, with a colon between"),
            },
            "SASL_INHERIT" => self.none("basic.auth.credentials.source", "SASL_INHERIT is not supported; values taken: URL, USER_INFO"),
            other => self.none("basic.auth.credentials.source", &format!("\"{other}\" is not a source; values taken: URL, USER_INFO")),
        }
    }

    fn none<T>(&mut self, key: &str, message: &str) -> Option<T> {
        self.problem(key, message);
        None
    }

    /// The keys of TLS, which are tried out.
    fn ssl(&mut self) -> Props {
        let ssl: Props = self.options.iter().filter(|(key, _)| key.starts_with(SSL)).map(|(key, value)| (key.clone(), value.clone())).collect();
        if !ssl.is_empty()
            && let Err(error) = client(&ssl)
        {
            let message = error.to_string();
            // The error names the key that is wrong.
            let key = ssl.keys().filter(|key| message.contains(key.as_str())).max_by_key(|key| key.len());
            self.problem(key.map_or("schema.registry.ssl.truststore.location", String::as_str), message);
        }
        ssl
    }

    /// Keys that would change what is done, and what they may say.
    fn refused(&mut self, direction: Direction) {
        type Only = (&'static str, &'static [&'static str], &'static str);
        const ONLY: [Only; 9] = [
            ("use.latest.with.metadata", &[], "schemas are not chosen by their metadata"),
            ("use.schema.guid", &[], "schemas are named by their ids"),
            ("context.name.strategy", &["io.confluent.kafka.serializers.context.NullContextNameStrategy"], "contexts other than the default are not supported"),
            ("schema.reflection", &["false"], "there are no classes to look into"),
            ("rule.executors", &[], "rules of schemas are not executed"),
            ("rule.actions", &[], "rules of schemas are not executed"),
            ("validation.rules.execution", &["DISABLED"], "rules of schemas are not executed"),
            ("key.schema.id.serializer", &[PREFIX], "ids stand in the payload"),
            ("value.schema.id.serializer", &[PREFIX], "ids stand in the payload"),
        ];
        const READING: [Only; 3] = [
            ("use.latest.version", &["false"], "records are read with the schema that they were written with"),
            ("key.schema.id.deserializer", &[DUAL, DESERIALIZER], "ids are read from the payload"),
            ("value.schema.id.deserializer", &[DUAL, DESERIALIZER], "ids are read from the payload"),
        ];
        const WRITING: [Only; 6] = [
            ("propagate.schema.tags", &["false"], "tags of older versions are not carried over"),
            ("schema.format", &[], "schemas are registered in the registry's own form"),
            ("latest.cache.ttl.sec", &["-1"], "the newest version is asked for once"),
            ("avro.reflection.allow.null", &["false"], "there are no classes to look into"),
            ("avro.use.logical.type.converters", &["false"], "values are written as the Connect schema has them"),
            ("avro.remove.java.properties", &["false"], "schemas are registered with all their properties"),
        ];
        let own: &[Only] = if direction == Direction::Reading { &READING } else { &WRITING };
        for (key, taken, why) in ONLY.iter().chain(own) {
            if let Some(value) = self.options.get(*key).map(|value| value.trim()).filter(|value| !value.is_empty())
                && !taken.iter().any(|taken| taken.eq_ignore_ascii_case(value))
            {
                let values = if taken.is_empty() { "leave it out".to_owned() } else { format!("values taken: {}", taken.join(", ")) };
                self.problem(key, format!("{why}; {values}"));
            }
        }
    }

    /// The headers that are sent with every request.
    fn headers(&mut self) -> Vec<(String, String)> {
        let mut headers = Vec::new();
        for (key, value) in self.options {
            let Some(name) = key.strip_prefix("request.header.") else { continue };
            let is_header = reqwest::header::HeaderName::from_bytes(name.as_bytes()).is_ok() && reqwest::header::HeaderValue::from_str(value).is_ok();
            if is_header {
                headers.push((name.to_owned(), value.clone()));
            } else {
                self.problem(key, "not a header of HTTP: a name of letters, digits and \"-\", and a value of printable letters are taken");
            }
        }
        headers
    }
}

/// TLS with these keys.
fn client(ssl: &Props) -> Result<tokio_rustls::rustls::ClientConfig, TlsError> {
    tls::client(Ssl::prefixed(ssl, "schema.registry."), Fallback::System)
}

impl Settings {
    /// Reads a converter's settings.
    ///
    /// # Errors
    /// Every problem: key and message.
    pub(super) fn parse(options: &Props, direction: Direction) -> Result<Self, Vec<Problem>> {
        let mut reader = Reader { options, problems: Vec::new() };
        reader.refused(direction);
        let settings = Self {
            urls: reader.urls(),
            credentials: reader.credentials(),
            connect_timeout_ms: reader.number("http.connect.timeout.ms", 60_000),
            read_timeout_ms: reader.number("http.read.timeout.ms", 60_000),
            ssl: reader.ssl(),
            proxy: match (reader.text("proxy.host"), reader.text("proxy.port")) {
                (Some(host), Some(port)) => Some(format!("http://{host}:{port}")),
                (Some(_), None) => reader.none("proxy.port", "proxy.host needs it"),
                _ => None,
            },
            headers: reader.headers(),
        };
        if reader.problems.is_empty() { Ok(settings) } else { Err(reader.problems) }
    }

    /// An HTTP client with these settings. Like the JVM's, it does not look at `HTTP_PROXY`.
    ///
    /// # Errors
    /// The setting that it cannot use: key and message.
    pub(super) fn http(&self) -> Result<reqwest::Client, Vec<Problem>> {
        let problem = |key: &'static str| move |error: reqwest::Error| vec![(key.to_owned(), super::causes(&error.without_url()))];
        let mut builder = reqwest::Client::builder()
            .no_proxy()
            .user_agent(concat!("lakehead/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(std::time::Duration::from_millis(self.connect_timeout_ms))
            .read_timeout(std::time::Duration::from_millis(self.read_timeout_ms));
        if !self.ssl.is_empty() {
            let config = client(&self.ssl).map_err(|error| vec![("schema.registry.ssl.truststore.location".to_owned(), error.to_string())])?;
            builder = builder.tls_backend_preconfigured(config);
        }
        if let Some(proxy) = &self.proxy {
            builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(problem("proxy.host"))?);
        }
        builder.build().map_err(problem("schema.registry.url"))
    }

    /// Adds the credentials, if there are any; a user in the address is sent by the client itself.
    pub(super) fn authorize(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        let request = self.headers.iter().fold(request, |request, (name, value)| request.header(name, value));
        match &self.credentials {
            Some(Credentials::Basic { user, password }) => request.basic_auth(user, Some(password)),
            Some(Credentials::Bearer(token)) => request.bearer_auth(token),
            None => request,
        }
    }

    /// The addresses without credentials.
    pub(super) fn names(&self) -> Vec<String> {
        self.urls.iter().map(name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Settings, String> {
        let url = ("schema.registry.url", "http://me:secret@one:8081/, https://two/prefix");
        let options = std::iter::once(&url).chain(pairs).map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Settings::parse(&options, Direction::Reading)
            .map_err(|problems| problems.iter().map(|(key, message)| format!("{key}: {message}")).collect::<Vec<_>>().join("\n"))
    }

    #[test]
    fn settings_and_what_is_wrong_with_them() {
        let table = [
            (&[("schema.registry.url", " ")][..], "schema.registry.url: Missing required configuration \"schema.registry.url\" which has no default value."),
            (
                &[("schema.registry.url", "mock://me:secret@x")],
                "schema.registry.url: \"mock://x\" is not an address; an http or https URL is taken, or several with commas between",
            ),
            (
                &[("schema.registry.url", "me:secret")],
                "schema.registry.url: \"me:secret\" is not an address; an http or https URL is taken, or several with commas between",
            ),
            (&[("basic.auth.credentials.source", "USER_INFO")], "basic.auth.user.info: USER_INFO needs user and password here, with a colon between"),
            (
                &[("basic.auth.credentials.source", "SASL_INHERIT")],
                "basic.auth.credentials.source: SASL_INHERIT is not supported; values taken: URL, USER_INFO",
            ),
            (
                &[("bearer.auth.credentials.source", "OAUTHBEARER")],
                "bearer.auth.credentials.source: \"OAUTHBEARER\" is not supported; values taken: STATIC_TOKEN",
            ),
            (
                &[("schema.registry.ssl.truststore.type", "BKS"), ("schema.registry.ssl.truststore.location", "/etc/trust.bks")],
                "schema.registry.ssl.truststore.type: property schema.registry.ssl.truststore.type=\"BKS\": give JKS, PKCS12 or PEM",
            ),
            (&[("use.latest.version", "true")], "use.latest.version: records are read with the schema that they were written with; values taken: false"),
            (&[("http.read.timeout.ms", "soon")], "http.read.timeout.ms: \"soon\" is not a number of milliseconds"),
            (&[("use.schema.guid", "x")], "use.schema.guid: schemas are named by their ids; leave it out"),
            (
                &[("request.header.a b", "x")],
                "request.header.a b: not a header of HTTP: a name of letters, digits and \"-\", and a value of printable letters are taken",
            ),
            (
                &[("key.schema.id.deserializer", "com.example.Ids")],
                "key.schema.id.deserializer: ids are read from the payload; values taken: io.confluent.kafka.serializers.schema.id.DualSchemaIdDeserializer, io.confluent.kafka.serializers.schema.id.PrefixSchemaIdDeserializer",
            ),
        ];
        for (pairs, want) in table {
            assert_eq!(parse(pairs).unwrap_err(), want, "{pairs:?}");
        }
        let written = |key: &str, value: &str| {
            let options = [("schema.registry.url", "http://one"), (key, value)].map(|(key, value)| (key.to_owned(), value.to_owned())).into();
            Settings::parse(&options, Direction::Writing).map(|_| ()).map_err(|problems| problems[0].0.clone())
        };
        assert_eq!(written("use.latest.version", "true"), Ok(()));
        for (key, value) in [("propagate.schema.tags", "true"), ("rule.executors", "cel"), ("value.schema.id.serializer", "com.example.Ids")] {
            assert_eq!(written(key, value), Err(key.to_owned()));
        }
        assert_eq!(parse(&[("auto.register.schemas", "false"), ("use.latest.version", "false")]).unwrap().names(), ["http://one:8081", "https://two/prefix"]);
    }

    #[test]
    fn a_key_with_the_prefix_wins() {
        let both = [("schema.registry.basic.auth.user.info", "a:b:c"), ("basic.auth.user.info", "x:y"), ("basic.auth.credentials.source", "USER_INFO")];
        let Some(Credentials::Basic { user, password }) = parse(&both).unwrap().credentials else { panic!() };
        assert_eq!((user.as_str(), password.as_str()), ("a", "b:c"));
    }

    #[test]
    fn no_form_of_the_settings_shows_a_secret() {
        let settings = parse(&[("basic.auth.user.info", "a:hidden"), ("basic.auth.credentials.source", "USER_INFO")]).unwrap();
        let shown = format!("{settings:?}");
        assert!(!shown.contains("secret") && !shown.contains("hidden"), "{shown}");
    }
}
