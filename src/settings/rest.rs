//! Where and how the REST API is served: listeners, TLS, who may use it, requests from other origins, headers of answers.

use std::collections::BTreeMap;
use std::fmt;

use regex::Regex;

use crate::connect::Props;
use crate::connect::config::Values;
use crate::settings::users::Users;

/// How a listener is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Scheme {
    /// HTTP.
    #[default]
    Http,
    /// HTTP over TLS.
    Https,
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Https => "https",
        })
    }
}

/// Where the REST API listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Its protocol.
    pub scheme: Scheme,
    /// Host name or address, without brackets; empty = every interface.
    pub host: String,
    /// Port; 0 = one that is free.
    pub port: u16,
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, port } = self;
        if host.contains(':') { write!(f, "{scheme}://[{host}]:{port}") } else { write!(f, "{scheme}://{host}:{port}") }
    }
}

/// The properties of TLS, which name keys and passwords: `ssl.*`, `listeners.https.*` and `admin.listeners.https.*`.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SslProps(pub Props);

impl fmt::Debug for SslProps {
    /// Names only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SslProps").field(&self.0.keys()).finish()
    }
}

/// The settings of the REST API.
#[derive(Debug, Clone, Default)]
pub struct RestSettings {
    /// Where the REST API listens; never empty.
    pub listeners: Vec<Listener>,
    /// Where the admin endpoints are: `None` = with all others, empty = nowhere.
    pub admin_listeners: Option<Vec<Listener>>,
    /// How other workers speak to this one.
    pub advertised_scheme: Scheme,
    /// TLS of listeners, and of requests to other workers.
    pub ssl: SslProps,
    /// Who may use it; `None` = everybody.
    pub users: Option<Users>,
    /// Requests from other origins; `None` = browsers do not allow them.
    pub cors: Option<Cors>,
    /// Headers of every answer.
    pub headers: Vec<HeaderRule>,
}

/// Requests that pages of other origins may send: `access.control.allow.*`.
#[derive(Debug, Clone)]
pub struct Cors {
    /// Expressions for whole origins; `None` = any origin.
    origins: Option<Vec<Regex>>,
    /// Methods, comma separated.
    pub methods: String,
}

impl Cors {
    /// True when one of the origins of an `Origin` header may send requests.
    #[must_use]
    pub fn allows(&self, origins: &str) -> bool {
        match &self.origins {
            None => true,
            Some(allowed) => origins.split(' ').filter(|origin| !origin.is_empty()).any(|origin| allowed.iter().any(|pattern| pattern.is_match(origin))),
        }
    }
}

/// One header of every answer: a rule of `response.http.headers.config`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderRule {
    /// True to leave others of that name where they are.
    pub adds: bool,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: HeaderText,
}

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderText {
    /// This.
    Text(String),
    /// The time that lies so many milliseconds ahead.
    DateIn(i64),
}

impl RestSettings {
    pub(super) fn read(values: &Values<'_>, environment: &BTreeMap<String, String>) -> Result<Self, String> {
        let admin_listeners = match values.props.get("admin.listeners") {
            None => None,
            Some(_) => Some(values.list("admin.listeners").into_iter().map(|text| listener("admin.listeners", text)).collect::<Result<_, _>>()?),
        };
        let listeners = listeners(values)?;
        let is_of_tls = |key: &str| ["ssl.", "listeners.https.", "admin.listeners.https."].iter().any(|prefix| key.starts_with(prefix));
        Ok(Self {
            advertised_scheme: advertised_scheme(values, &listeners),
            listeners,
            admin_listeners,
            ssl: SslProps(values.props.iter().filter(|(key, _)| is_of_tls(key)).map(|(key, value)| (key.clone(), value.clone())).collect()),
            users: Users::read(values, environment)?,
            cors: cors(values)?,
            headers: headers(values.text("response.http.headers.config"))?,
        })
    }

    /// What is as upstream and may still surprise.
    pub(super) fn warnings(&self) -> Vec<String> {
        let Some(users) = &self.users else { return Vec::new() };
        let mut warnings = Vec::new();
        if users.are_everybody() {
            warnings.push("rest.extension.classes: the file of users is empty, so every request to the REST API is let in".to_owned());
        }
        if let Some(listener) = self.admin_listeners.iter().flatten().next() {
            warnings.push(format!("rest.extension.classes is not about admin.listeners: {listener} asks for no password"));
        }
        warnings
    }
}

/// Refuses a protocol that no listener can have.
pub(super) fn advertised(scheme: &str) -> Result<(), String> {
    if ["", "http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) { Ok(()) } else { Err("give http or https".to_owned()) }
}

/// As upstream: the protocol that is asked for, or else HTTP if a listener has it.
fn advertised_scheme(values: &Values<'_>, listeners: &[Listener]) -> Scheme {
    match values.text("rest.advertised.listener").trim().to_ascii_lowercase().as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ if listeners.iter().any(|listener| listener.scheme == Scheme::Http) => Scheme::Http,
        _ => Scheme::Https,
    }
}

/// `listeners`, or the keys that came before it.
fn listeners(values: &Values<'_>) -> Result<Vec<Listener>, String> {
    let legacy = values.props.contains_key("rest.host.name") || values.props.contains_key("rest.port");
    if legacy && !values.props.contains_key("listeners") {
        let port = values.long("rest.port").unwrap_or(8083);
        let port = u16::try_from(port).map_err(|_| format!("rest.port={port} is not a port"))?;
        return Ok(vec![Listener { scheme: Scheme::Http, host: values.text("rest.host.name").to_owned(), port }]);
    }
    let listeners: Vec<Listener> = values.list("listeners").into_iter().map(|text| listener("listeners", text)).collect::<Result<_, _>>()?;
    if listeners.is_empty() { Err("listeners is empty: give at least one address, for example http://:8083".to_owned()) } else { Ok(listeners) }
}

fn listener(key: &str, text: &str) -> Result<Listener, String> {
    let wrong = |why: &str| format!("{key}: \"{text}\" {why}; an address looks like http://host:8083 or https://:8443");
    let (scheme, address) = text.split_once("://").ok_or_else(|| wrong("has no protocol"))?;
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        _ => return Err(wrong("has an unknown protocol")),
    };
    let (host, port) = address.rsplit_once(':').ok_or_else(|| wrong("has no port"))?;
    let port = port.trim_end_matches('/').parse().map_err(|_| wrong("has no valid port"))?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Ok(Listener { scheme, host: host.to_owned(), port })
}

fn cors(values: &Values<'_>) -> Result<Option<Cors>, String> {
    const ORIGIN: &str = "access.control.allow.origin";
    let given: Vec<&str> = values.list(ORIGIN).into_iter().filter(|origin| !origin.is_empty()).collect();
    if given.is_empty() {
        return Ok(None);
    }
    let pattern = |origin: &&str| {
        let why = |error: regex::Error| format!("{ORIGIN}: \"{origin}\" is no regular expression for an origin such as https://example\\.com: {error}");
        Regex::new(&format!("^(?:{origin})$")).map_err(why)
    };
    let origins = if given.contains(&"*") { None } else { Some(given.iter().map(pattern).collect::<Result<_, _>>()?) };
    let methods = values.list("access.control.allow.methods").join(",");
    if !methods.chars().all(|c| c.is_ascii_graphic()) {
        return Err(format!("access.control.allow.methods: \"{methods}\" is no list of methods such as GET,POST,PUT"));
    }
    Ok(Some(Cors { origins, methods: if methods.is_empty() { "GET,POST,HEAD".to_owned() } else { methods } }))
}

/// Rules are separated by commas; one that has commas in its value stands in double quotes, in which `\` takes the next character as it is.
fn headers(text: &str) -> Result<Vec<HeaderRule>, String> {
    let (mut rules, mut rule, mut is_quoted) = (Vec::new(), String::new(), false);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => is_quoted = !is_quoted,
            '\\' if is_quoted => rule.extend(chars.next()),
            ',' if !is_quoted => rules.push(std::mem::take(&mut rule)),
            c => rule.push(c),
        }
    }
    rules.push(rule);
    rules.iter().map(|rule| rule.trim()).filter(|rule| !rule.is_empty()).map(header).collect()
}

fn header(rule: &str) -> Result<HeaderRule, String> {
    let wrong = |why: &str| format!("response.http.headers.config: \"{rule}\" {why}; a rule looks like: set X-Frame-Options: DENY");
    let (action, header) = rule.split_once(char::is_whitespace).ok_or_else(|| wrong("has no action and header"))?;
    let (name, value) = header.split_once(':').ok_or_else(|| wrong("has no colon behind the header's name"))?;
    let (name, value) = (name.trim(), value.trim());
    let (adds, is_date) = match action {
        "set" => (false, false),
        "add" => (true, false),
        "setDate" => (false, true),
        "addDate" => (true, true),
        _ => return Err(wrong("begins with none of set, add, setDate, addDate")),
    };
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c)) {
        return Err(wrong("has no valid header name"));
    }
    if value.chars().any(char::is_control) {
        return Err(wrong("has a control character in its value"));
    }
    let value = if is_date {
        HeaderText::DateIn(value.parse().map_err(|_| wrong("has a date that is not a number of milliseconds from now"))?)
    } else {
        HeaderText::Text(value.to_owned())
    };
    Ok(HeaderRule { adds, name: name.to_owned(), value })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::settings::keys::WORKER_KEYS;

    fn read(pairs: &[(&str, &str)]) -> Result<RestSettings, String> {
        let props: Props = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        RestSettings::read(&Values { tables: &[WORKER_KEYS], props: &props }, &BTreeMap::new())
    }

    #[test]
    fn listeners_are_addresses() {
        for (pairs, expected) in [
            (vec![("listeners", "http://:8084")], vec![("", 8084)]),
            (vec![("listeners", "HTTP://localhost:1, http://[::1]:2/")], vec![("localhost", 1), ("::1", 2)]),
            (vec![("listeners", "HTTPS://localhost:1")], vec![("localhost", 1)]),
            (vec![("rest.port", "8090")], vec![("", 8090)]),
            (vec![("rest.host.name", "a")], vec![("a", 8083)]),
            (vec![("listeners", "http://b:1"), ("rest.port", "8090"), ("rest.host.name", "a")], vec![("b", 1)]),
        ] {
            let listeners = read(&pairs).unwrap().listeners;
            assert_eq!(listeners.iter().map(|l| (l.host.as_str(), l.port)).collect::<Vec<_>>(), expected, "{pairs:?}");
        }
    }

    #[test]
    fn the_admin_endpoints_are_with_the_others_or_elsewhere_or_nowhere() {
        let admin = |pairs: &[(&str, &str)]| read(pairs).unwrap().admin_listeners;
        assert_eq!(admin(&[]), None);
        assert_eq!(admin(&[("admin.listeners", "")]), Some(vec![]));
        assert_eq!(admin(&[("admin.listeners", "http://localhost:9")]), Some(vec![Listener { scheme: Scheme::Http, host: "localhost".to_owned(), port: 9 }]));
        assert!(read(&[("admin.listeners", "localhost")]).unwrap_err().starts_with("admin.listeners: \"localhost\" has no protocol"));
    }

    #[test]
    fn other_workers_use_http_unless_there_is_none() {
        for (listeners, asked_for, expected) in [
            ("http://:1", None, Scheme::Http),
            ("https://:1", None, Scheme::Https),
            ("https://:1, HTTP://:2", None, Scheme::Http),
            ("https://:1, http://:2", Some("HTTPS"), Scheme::Https),
            ("https://:1", Some("http"), Scheme::Http),
            ("https://:1", Some(""), Scheme::Https),
        ] {
            let pairs: Vec<_> = asked_for.map(|scheme| ("rest.advertised.listener", scheme)).into_iter().chain([("listeners", listeners)]).collect();
            assert_eq!(read(&pairs).unwrap().advertised_scheme, expected, "{pairs:?}");
        }
    }

    #[test]
    fn what_is_for_tls_is_kept_and_not_shown() {
        let key = "listeners.https.ssl.keystore.password";
        let settings = read(&[(key, "hunter2"), ("ssl.client.auth", "none"), ("sasl.jaas.config", "x")]).unwrap();
        assert_eq!(settings.ssl.0.keys().collect::<Vec<_>>(), [key, "ssl.client.auth"]);
        let shown = format!("{settings:?}");
        assert!(shown.contains(key) && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn origins_are_expressions_for_the_whole() {
        for (allowed, origins, is_allowed) in [
            ("*", "http://a.com", true),
            ("http://a.com", "http://a.com", true),
            ("http://a.com", "http://a.com.evil.org", false),
            ("https://.*\\.b\\.org, http://c", "https://x.b.org", true),
            ("https://.*\\.b\\.org, http://c", "http://c", true),
            ("https://.*\\.b\\.org, http://c", "http://d  http://c", true),
            ("https://.*\\.b\\.org, http://c", "http://x.b.org", false),
            ("http://c", "", false),
        ] {
            let cors = read(&[("access.control.allow.origin", allowed)]).unwrap().cors.unwrap();
            assert_eq!((cors.allows(origins), cors.methods.as_str()), (is_allowed, "GET,POST,HEAD"), "{allowed} {origins}");
        }
        assert!(read(&[("access.control.allow.origin", " ")]).unwrap().cors.is_none());
        assert!(read(&[("access.control.allow.origin", "(")]).unwrap_err().starts_with("access.control.allow.origin: \"(\" is no regular expression"));
        let methods = read(&[("access.control.allow.origin", "*"), ("access.control.allow.methods", "POST, GET")]).unwrap().cors.unwrap().methods;
        assert_eq!(methods, "POST,GET");
    }

    #[test]
    fn headers_are_rules() {
        let text = |adds, name: &str, value: &str| HeaderRule { adds, name: name.to_owned(), value: HeaderText::Text(value.to_owned()) };
        for (given, expected) in [
            ("", Ok(vec![])),
            ("add X-Test: abc", Ok(vec![text(true, "X-Test", "abc")])),
            (
                "set Cache-Control: no-store , \"add Link: <a>, <b>; x=\\\"y\\\"\"",
                Ok(vec![text(false, "Cache-Control", "no-store"), text(true, "Link", "<a>, <b>; x=\"y\"")]),
            ),
            ("set X: http://a:1", Ok(vec![text(false, "X", "http://a:1")])),
            ("setDate Expires: 1000", Ok(vec![HeaderRule { adds: false, name: "Expires".to_owned(), value: HeaderText::DateIn(1000) }])),
            ("addDate Expires: soon", Err("has a date that is not a number")),
            ("put X: y", Err("begins with none of")),
            ("set", Err("has no action and header")),
            ("set X", Err("has no colon")),
            ("set X Y: z", Err("has no valid header name")),
        ] {
            match (headers(given), expected) {
                (Err(error), Err(expected)) => assert!(error.contains(&format!("{given}\" {expected}")), "{error}"),
                (read, expected) => assert_eq!(read, expected.map_err(str::to_owned), "{given}"),
            }
        }
    }

    proptest! {
        #[test]
        fn every_rule_is_read_or_refused(text in ".{0,40}") {
            for rule in headers(&text).unwrap_or_default() {
                prop_assert!(!rule.name.is_empty() && !rule.name.contains([' ', ':']), "{rule:?}");
            }
        }
    }
}
