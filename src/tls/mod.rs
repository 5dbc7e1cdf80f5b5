//! TLS as Java's clients and servers are set up for it: the properties `ssl.*` → what rustls takes, or OpenSSL.
//!
//! Parts: [`stores`] (certificates and keys in PEM, PKCS#12 and [`jks`]), [`verify`] (who is trusted), [`mod@openssl`] (for librdkafka). Nothing here connects
//! or listens; what is refused is refused by the property's name, and no message has a password or a key in it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{self, CipherSuite, ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

pub mod jks;
mod openssl;
mod stores;
mod verify;

pub use openssl::{OpenSsl, openssl};
use stores::{Identity, Store};

/// TLS cannot be set up like that: one line that names the property.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(String);

impl TlsError {
    /// About the property, which has that value.
    fn value(key: &str, value: &str, advice: &str) -> Self {
        Self(format!("property {key}={value:?}: {advice}"))
    }

    /// About what the property gives, which is not repeated.
    fn about(key: &str, problem: impl fmt::Display) -> Self {
        Self(format!("property {key}: {problem}"))
    }
}

/// The properties `ssl.*` of a client or of listeners, with what stands before their names.
#[derive(Clone, Copy)]
pub struct Ssl<'a> {
    props: &'a BTreeMap<String, String>,
    prefix: &'a str,
}

impl fmt::Debug for Ssl<'_> {
    /// Names only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ssl").field("prefix", &self.prefix).field("keys", &self.props.keys()).finish()
    }
}

impl<'a> Ssl<'a> {
    /// Those without a prefix.
    #[must_use]
    pub fn new(props: &'a BTreeMap<String, String>) -> Self {
        Self { props, prefix: "" }
    }

    /// As upstream, all or nothing: those with the prefix, or else, when not one key has it, those without.
    #[must_use]
    pub fn prefixed(props: &'a BTreeMap<String, String>, prefix: &'a str) -> Self {
        Self { props, prefix: if props.keys().any(|key| key.starts_with(prefix)) { prefix } else { "" } }
    }

    /// The files of keystore and truststore.
    #[must_use]
    pub fn files(self) -> Vec<&'a Path> {
        ["ssl.keystore.location", "ssl.truststore.location"].iter().filter_map(|key| self.get(key).map(Path::new)).collect()
    }

    /// The property's name as the user writes it.
    fn name(self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// Its value, if it has one.
    fn get(self, key: &str) -> Option<&'a str> {
        self.props.get(&self.name(key)).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    fn refused(self, key: &str, value: &str, advice: &str) -> TlsError {
        TlsError::value(&self.name(key), value, advice)
    }

    fn about(self, key: &str, problem: impl fmt::Display) -> TlsError {
        TlsError::about(&self.name(key), problem)
    }
}

/// Whom a client trusts that was given no truststore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// The system's authorities, as Kafka's clients.
    System,
    /// Whoever is in the keystore, as Jetty.
    Keystore,
}

/// A client, which shows a certificate if it has a keystore.
///
/// # Errors
/// The property that cannot be used, and what to do.
pub fn client(ssl: Ssl<'_>, without_truststore: Fallback) -> Result<ClientConfig, TlsError> {
    let provider = provider(ssl)?;
    let keystore = stores::keystore(ssl)?;
    let trusted = match (stores::truststore(ssl)?, &keystore, without_truststore) {
        (Some(store), ..) => Some(store.trusted),
        (None, Some(store), Fallback::Keystore) => Some(store.trusted.clone()),
        (None, ..) => None,
    };
    let (roots, pinned) = match trusted {
        Some(trusted) => (roots(ssl, &trusted)?, trusted),
        None => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            (roots, Vec::new())
        }
    };
    let checks_name = ssl.props.get(&ssl.name("ssl.endpoint.identification.algorithm")).is_none_or(|algorithm| algorithm.trim().eq_ignore_ascii_case("https"));
    let verifier = verify::servers(roots, pinned, checks_name, Arc::clone(&provider));
    let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&versions(ssl)?).map_err(|why| unusable(ssl, &why))?;
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    match keystore.and_then(|store| store.identity) {
        Some(Identity { chain, key }) => builder.with_client_auth_cert(chain, key).map_err(|why| mismatch(ssl, &why)),
        None => Ok(builder.with_no_client_auth()),
    }
}

/// A server of HTTP, with a certificate; `ssl.client.auth` says whether clients need one too.
///
/// # Errors
/// The property that cannot be used, and what to do.
pub fn server(ssl: Ssl<'_>) -> Result<ServerConfig, TlsError> {
    let provider = provider(ssl)?;
    let Some(Store { identity, trusted }) = stores::keystore(ssl)? else {
        return Err(ssl.about("ssl.keystore.location", "HTTPS needs a certificate with its key: give a keystore (JKS, PKCS12 or PEM)"));
    };
    let Some(Identity { chain, key }) = identity else {
        return Err(ssl.about("ssl.keystore.location", "there is no private key with a certificate in the keystore: HTTPS needs one"));
    };
    let is_required = match ssl.get("ssl.client.auth").unwrap_or("none") {
        "none" => None,
        "requested" => Some(false),
        "required" => Some(true),
        other => return Err(ssl.refused("ssl.client.auth", other, "give none, requested or required")),
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&versions(ssl)?).map_err(|why| unusable(ssl, &why))?;
    let builder = match is_required {
        None => builder.with_no_client_auth(),
        Some(is_required) => {
            // As with Jetty, the keystore is the truststore where there is none.
            let trusted = stores::truststore(ssl)?.map_or(trusted, |store| store.trusted);
            let roots = roots(ssl, &trusted)?;
            let verifier = verify::clients(roots, trusted, is_required, provider);
            let verifier = verifier.map_err(|why| ssl.about("ssl.truststore.location", format!("clients' certificates cannot be checked with it: {why}")))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|why| mismatch(ssl, &why))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn roots(ssl: Ssl<'_>, trusted: &[rustls::pki_types::CertificateDer<'static>]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add(certificate.clone()).map_err(|why| ssl.about("ssl.truststore.location", format!("a certificate cannot be read: {why}")))?;
    }
    Ok(roots)
}

fn unusable(ssl: Ssl<'_>, why: &rustls::Error) -> TlsError {
    ssl.about("ssl.cipher.suites", format!("there is no suite for the protocols of ssl.enabled.protocols: {why}"))
}

fn mismatch(ssl: Ssl<'_>, why: &rustls::Error) -> TlsError {
    ssl.about("ssl.keystore.location", format!("its private key cannot be used with its certificate: {why} (give RSA, EC P-256/384/521 or Ed25519)"))
}

/// Java's machinery, which cannot be exchanged here.
fn refuse_unchosen(ssl: Ssl<'_>) -> Result<(), TlsError> {
    for key in ["ssl.engine.factory.class", "ssl.provider"] {
        if let Some(value) = ssl.get(key) {
            return Err(ssl.refused(key, value, "this cannot be chosen here; leave it out"));
        }
    }
    Ok(())
}

/// The cipher suites that are asked for.
fn provider(ssl: Ssl<'_>) -> Result<Arc<CryptoProvider>, TlsError> {
    refuse_unchosen(ssl)?;
    let mut provider = aws_lc_rs::default_provider();
    if let Some(wanted) = ssl.get("ssl.cipher.suites") {
        let wanted: Vec<&str> = wanted.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        let has = |name: &&str| provider.cipher_suites.iter().any(|suite| suite_name(suite.suite()) == **name);
        if let Some(missing) = wanted.iter().find(|name| !has(name)) {
            let known: Vec<_> = provider.cipher_suites.iter().map(|suite| suite_name(suite.suite())).collect();
            return Err(ssl.refused("ssl.cipher.suites", missing, &format!("there is no such suite here; there are {}", known.join(", "))));
        }
        provider.cipher_suites.retain(|suite| wanted.contains(&suite_name(suite.suite()).as_str()));
    }
    Ok(Arc::new(provider))
}

/// Java's name, which is IANA's: rustls marks the suites of TLS 1.3 in theirs.
fn suite_name(suite: CipherSuite) -> String {
    suite.as_str().unwrap_or_default().replacen("TLS13_", "TLS_", 1)
}

/// `ssl.enabled.protocols`; what is older than TLS 1.2 is left out. `ssl.protocol` decides nothing where that is set, and it always is.
fn versions(ssl: Ssl<'_>) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
    const CONTEXTS: [&str; 8] = ["TLS", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3", "SSL", "SSLv2", "SSLv3"];
    if let Some(context) = ssl.get("ssl.protocol").filter(|context| !CONTEXTS.contains(context)) {
        return Err(ssl.refused("ssl.protocol", context, "give TLSv1.3 or TLSv1.2, or leave it out"));
    }
    let enabled = ssl.get("ssl.enabled.protocols").unwrap_or("TLSv1.2,TLSv1.3");
    let known = enabled.split(',').filter_map(|name| match name.trim() {
        "TLSv1.3" => Some(&TLS13),
        "TLSv1.2" => Some(&TLS12),
        _ => None,
    });
    let known: Vec<_> = known.collect();
    if known.is_empty() { Err(ssl.refused("ssl.enabled.protocols", enabled, "give TLSv1.2, TLSv1.3 or both")) } else { Ok(known) }
}

#[cfg(test)]
mod tests;
