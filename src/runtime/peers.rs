//! Requests from this worker to the others: what clients asked of the wrong one is sent on, and the leader is told what a connector's tasks are.
//!
//! Upstream's `RestClient` and `HerderRequestHandler`; the settings are `inter.worker.*` (KIP-507). Where this worker listens with TLS, so do the others: they
//! are trusted by the stores of `listeners.https.*`, and shown the certificate in them. The stores are read for each request, as they may have been renewed.

use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use reqwest::redirect::Policy;
use reqwest::{Client, ClientBuilder, Method};

use crate::cluster::configs::RawConfig;
use crate::cluster::session::{ALGORITHM_HEADER, Algorithm, KeyKind, SIGNATURE_HEADER, SessionKey};
use crate::connect::Props;
use crate::settings::rest::{RestSettings, Scheme, SslProps};
use crate::tls::{self, Fallback, Ssl};

/// How long another worker may take: as long as it gives its own clients.
const PATIENCE: Duration = Duration::from_secs(90);
/// How long connecting to it may take.
const CONNECTING: Duration = Duration::from_secs(10);

/// How the others are reached, and what convinces them.
#[derive(Debug)]
pub struct Peers {
    plain: Client,
    /// How workers are known that speak TLS; `None`: as any server is.
    tls: Option<SslProps>,
    signing: Algorithm,
    /// `inter.worker.verification.algorithms`.
    pub verification_algorithms: Vec<String>,
    /// What keys the leader makes.
    pub key_kind: KeyKind,
    /// `inter.worker.key.ttl.ms`: how long it signs with one.
    pub key_ttl_ms: u32,
}

/// What another worker answered.
#[derive(Debug)]
pub struct Answered {
    /// The status.
    pub status: u16,
    /// The body's type.
    pub content_type: Option<HeaderValue>,
    /// The body.
    pub body: Vec<u8>,
}

impl Peers {
    /// From a worker's properties.
    ///
    /// # Errors
    /// One line that names the property.
    pub fn new(props: &Props, rest: &RestSettings) -> Result<Self, String> {
        let text = |key: &str, default: &str| props.get(key).map_or_else(|| default.to_owned(), |value| value.trim().to_owned());
        let default = Algorithm::Sha256.name();
        let algorithm = |key: &str| {
            let name = text(key, default);
            Algorithm::from_name(&name).ok_or_else(|| format!("{key}=\"{name}\" is no algorithm that is known here, such as {default}"))
        };
        let number = |key: &str| match props.get(key).map(|value| value.trim().parse::<u32>()) {
            None => Ok(None),
            Some(Ok(number)) => Ok(Some(number)),
            Some(Err(_)) => Err(format!("{key}=\"{}\" is not a number", text(key, ""))),
        };
        let signing = algorithm("inter.worker.signature.algorithm")?;
        let verification_algorithms: Vec<String> =
            text("inter.worker.verification.algorithms", default).split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
        if let Some(unknown) = verification_algorithms.iter().find(|name| Algorithm::from_name(name).is_none()) {
            return Err(format!("inter.worker.verification.algorithms: \"{unknown}\" is no algorithm that is known here, such as {default}"));
        }
        if !verification_algorithms.iter().any(|name| name == signing.name()) {
            return Err(format!("inter.worker.verification.algorithms must have inter.worker.signature.algorithm={}", signing.name()));
        }
        let key_kind = KeyKind { algorithm: algorithm("inter.worker.key.generation.algorithm")?, bits: number("inter.worker.key.size")? };
        key_kind.bytes()?;
        let plain = builder().build().map_err(|error| error.to_string())?;
        let has_tls = rest.advertised_scheme == Scheme::Https || rest.listeners.iter().any(|listener| listener.scheme == Scheme::Https);
        let tls = has_tls.then(|| rest.ssl.clone());
        let key_ttl_ms = number("inter.worker.key.ttl.ms")?.unwrap_or(3_600_000);
        let peers = Self { plain, tls, signing, verification_algorithms, key_kind, key_ttl_ms };
        peers.client().map(|_| peers)
    }

    /// Who sends a request.
    fn client(&self) -> Result<Client, String> {
        let Some(SslProps(props)) = &self.tls else { return Ok(self.plain.clone()) };
        let mut config = tls::client(Ssl::prefixed(props, "listeners.https."), Fallback::Keystore).map_err(|error| error.to_string())?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        builder().tls_backend_preconfigured(config).build().map_err(|error| told(&error))
    }

    /// Tells the leader, whose API is at `leader`, what the tasks of a connector are.
    ///
    /// # Errors
    /// What went wrong, in one line.
    pub async fn set_tasks(&self, leader: &str, connector: &str, configs: &[RawConfig], key: Option<&SessionKey>) -> Result<(), String> {
        let url = of_connector(leader, connector, "tasks")?;
        let body = serde_json::to_vec(configs).map_err(|error| error.to_string())?;
        let mut request =
            self.client()?.post(url).header(CONTENT_TYPE, "application/json").header(ACCEPT, "application/json").header(USER_AGENT, "kafka-connect");
        if let Some(key) = key {
            request = request.header(SIGNATURE_HEADER, key.sign(self.signing, &body)).header(ALGORITHM_HEADER, self.signing.name());
        }
        let answer = request.body(body).send().await.map_err(|error| told(&error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        Err(format!("{status}: {}", answer.text().await.unwrap_or_default()))
    }

    /// Has the leader, whose API is at `leader`, fence the former tasks of a connector. The request has no body, and the signature is over no bytes.
    ///
    /// # Errors
    /// What went wrong, in one line.
    pub async fn fence(&self, leader: &str, connector: &str, key: Option<&SessionKey>) -> Result<(), String> {
        let mut request = self.client()?.put(of_connector(leader, connector, "fence")?).header(ACCEPT, "application/json").header(USER_AGENT, "kafka-connect");
        if let Some(key) = key {
            request = request.header(SIGNATURE_HEADER, key.sign(self.signing, &[])).header(ALGORITHM_HEADER, self.signing.name());
        }
        let answer = request.send().await.map_err(|error| told(&error))?;
        let status = answer.status();
        if status.is_success() { Ok(()) } else { Err(format!("{status}: {}", answer.text().await.unwrap_or_default())) }
    }

    /// Sends a client's request on to the worker whose API is at `url`. Of its headers only `Authorization` goes along, as upstream.
    ///
    /// # Errors
    /// What went wrong, in one line.
    pub async fn forward(&self, url: &str, method: Method, path_and_query: &str, headers: &HeaderMap, body: Vec<u8>) -> Result<Answered, String> {
        let url = format!("{}{path_and_query}", url.trim_end_matches('/'));
        let mut request = self.client()?.request(method, url).header(ACCEPT, "application/json").header(USER_AGENT, "kafka-connect");
        if let Some(authorization) = headers.get(AUTHORIZATION) {
            request = request.header(AUTHORIZATION, authorization);
        }
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let answer = request.send().await.map_err(|error| told(&error))?;
        let (status, content_type) = (answer.status().as_u16(), answer.headers().get(CONTENT_TYPE).cloned());
        Ok(Answered { status, content_type, body: answer.bytes().await.map_err(|error| told(&error))?.to_vec() })
    }
}

fn builder() -> ClientBuilder {
    Client::builder().redirect(Policy::none()).connect_timeout(CONNECTING).timeout(PATIENCE)
}

/// What of a connector the leader is asked for.
fn of_connector(leader: &str, connector: &str, what: &str) -> Result<url::Url, String> {
    let mut url = url::Url::parse(leader).map_err(|error| format!("the leader's URL \"{leader}\" is none: {error}"))?;
    url.path_segments_mut().map_err(|()| format!("the leader's URL \"{leader}\" has no path"))?.pop_if_empty().extend(["connectors", connector, what]);
    Ok(url)
}

/// An error with its causes.
fn told(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_act_or_are_refused_by_name() {
        for (settings, expected) in [
            (&[][..], Ok((vec!["HmacSHA256"], 3_600_000))),
            (
                &[
                    ("inter.worker.signature.algorithm", "HmacSHA512"),
                    ("inter.worker.verification.algorithms", "HmacSHA256, HmacSHA512"),
                    ("inter.worker.key.ttl.ms", "5"),
                ],
                Ok((vec!["HmacSHA256", "HmacSHA512"], 5)),
            ),
            (&[("inter.worker.signature.algorithm", "HmacSHA1")], Err("inter.worker.verification.algorithms")),
            (&[("inter.worker.verification.algorithms", "HmacSHA256,Rot13")], Err("Rot13")),
            (&[("inter.worker.key.generation.algorithm", "Rot13")], Err("inter.worker.key.generation.algorithm")),
            (&[("inter.worker.key.size", "8")], Err("inter.worker.key.size")),
            (&[("inter.worker.key.ttl.ms", "soon")], Err("inter.worker.key.ttl.ms")),
        ] {
            let props = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            match (Peers::new(&props, &RestSettings::default()), expected) {
                (Ok(peers), Ok((algorithms, ttl))) => {
                    assert_eq!((peers.verification_algorithms, peers.key_ttl_ms), (algorithms.iter().map(ToString::to_string).collect(), ttl))
                }
                (Err(error), Err(part)) => assert!(error.contains(part), "{error}"),
                (found, expected) => panic!("{found:?}, not {expected:?}"),
            }
        }
    }
}
