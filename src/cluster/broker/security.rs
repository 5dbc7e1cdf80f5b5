//! How a connection is protected: `security.protocol`, `ssl.*` and `sasl.*` as Java's clients have them, by rustls and SASL.
//!
//! Certificates and keys are PEM, in files or in the properties themselves. Java's own store formats are refused by name, with what to do instead.

use std::fmt;
use std::fs;
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};
use regex::Regex;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor};
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{self, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion, version};

use super::connection::{Connection, Stream};
use super::sasl::Sasl;
use super::{Address, invalid, transient};
use crate::kafka::{KafkaError, KafkaErrorKind, Props};

/// How connections are protected.
pub struct Security {
    tls: Option<TlsConnector>,
    sasl: Option<Sasl>,
}

impl fmt::Debug for Security {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Security").field("tls", &self.tls.is_some()).field("sasl", &self.sasl).finish()
    }
}

impl Security {
    /// From a client's properties; reads the files that they name.
    ///
    /// # Errors
    /// [`KafkaErrorKind::Config`] names the property and says what to do; never a secret.
    pub fn from_props(props: &Props) -> Result<Self, KafkaError> {
        let protocol = get(props, "security.protocol").unwrap_or("PLAINTEXT");
        let (tls, sasl) = match protocol.to_ascii_uppercase().as_str() {
            "PLAINTEXT" => (false, false),
            "SSL" => (true, false),
            "SASL_PLAINTEXT" => (false, true),
            "SASL_SSL" => (true, true),
            _ => return Err(invalid("security.protocol", protocol, "give PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL")),
        };
        Ok(Self { tls: tls.then(|| client(props)).transpose()?, sasl: sasl.then(|| Sasl::from_props(props)).transpose()? })
    }

    /// Connects to a broker, up to the end of the TLS handshake.
    pub(super) async fn open(&self, to: &Address) -> Result<Box<dyn Stream>, KafkaError> {
        let failed = |why: std::io::Error| transient(format!("connecting to broker {to}: {why}"));
        let tcp = TcpStream::connect((to.host.as_str(), to.port)).await.map_err(failed)?;
        tcp.set_nodelay(true).map_err(failed)?;
        let Some(tls) = &self.tls else { return Ok(Box::new(tcp)) };
        let name = ServerName::try_from(to.host.clone()).map_err(|_| transient(format!("connecting to broker {to}: {:?} is no name for TLS", to.host)))?;
        let distrusted = |why: std::io::Error| {
            let is_tls = why.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
            let advice = if is_tls { "; check the truststore, the keystore, and that the broker's certificate names this host" } else { "" };
            transient(format!("TLS with broker {to}: {why}{advice}"))
        };
        Ok(Box::new(tls.connect(name, tcp).await.map_err(distrusted)?))
    }

    /// Says who we are, if the protocol asks for it.
    pub(super) async fn authenticate(&self, connection: &mut Connection, now: DateTime<Utc>) -> Result<(), KafkaError> {
        match &self.sasl {
            Some(sasl) => sasl.authenticate(connection, now).await,
            None => Ok(()),
        }
    }
}

/// A property that is not empty.
pub(super) fn get<'a>(props: &'a Props, key: &str) -> Option<&'a str> {
    props.get(key).map(|value| value.trim()).filter(|value| !value.is_empty())
}

/// A TLS client.
fn client(props: &Props) -> Result<TlsConnector, KafkaError> {
    for key in ["ssl.cipher.suites", "ssl.engine.factory.class", "ssl.provider"] {
        if let Some(value) = get(props, key) {
            return Err(invalid(key, value, "this cannot be chosen here; leave it out"));
        }
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let broken = |why: rustls::Error| KafkaError::new(KafkaErrorKind::Config, format!("TLS cannot be set up from the properties ssl.*: {why}"));
    let roots = Arc::new(roots(props)?);
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_protocol_versions(&versions(props)?).map_err(broken)?;
    let any_name = props.get("ssl.endpoint.identification.algorithm").is_some_and(|algorithm| !algorithm.trim().eq_ignore_ascii_case("https"));
    let builder = if any_name {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyName { roots, provider }))
    } else {
        let verifier = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
        let verifier = verifier.map_err(|why| KafkaError::new(KafkaErrorKind::Config, format!("the truststore (ssl.truststore.*) cannot be used: {why}")))?;
        builder.with_webpki_verifier(verifier)
    };
    let config = match identity(props)? {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(broken)?,
        None => builder.with_no_client_auth(),
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

/// `ssl.enabled.protocols`.
fn versions(props: &Props) -> Result<Vec<&'static SupportedProtocolVersion>, KafkaError> {
    let enabled = get(props, "ssl.enabled.protocols").unwrap_or("TLSv1.2,TLSv1.3");
    let known = enabled.split(',').filter_map(|name| match name.trim() {
        "TLSv1.3" => Some(&version::TLS13),
        "TLSv1.2" => Some(&version::TLS12),
        _ => None,
    });
    let known: Vec<_> = known.collect();
    if known.is_empty() { Err(invalid("ssl.enabled.protocols", enabled, "give TLSv1.2, TLSv1.3 or both")) } else { Ok(known) }
}

/// Whom we trust: `ssl.truststore.*`, or else the system's authorities.
fn roots(props: &Props) -> Result<RootCertStore, KafkaError> {
    let mut roots = RootCertStore::empty();
    let Some((key, pem)) = pem(props, "truststore", "ssl.truststore.certificates")? else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return Ok(roots);
    };
    for certificate in certificates(&pem, key)? {
        roots.add(certificate).map_err(|why| KafkaError::new(KafkaErrorKind::Config, format!("property {key}: a certificate cannot be read: {why}")))?;
    }
    Ok(roots)
}

/// Who we are, for brokers that ask for a certificate: `ssl.keystore.*`.
fn identity(props: &Props) -> Result<Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>, KafkaError> {
    let Some((key, mut text)) = pem(props, "keystore", "ssl.keystore.certificate.chain")? else { return Ok(None) };
    let chain = certificates(&text, key)?;
    let mut of = key;
    if let Some(inline) = get(props, "ssl.keystore.key") {
        (of, text) = ("ssl.keystore.key", lines(inline));
    }
    if text.contains("BEGIN ENCRYPTED PRIVATE KEY") {
        let message = format!("property {of}: the private key is encrypted, which is not supported; decrypt it (openssl pkey -in key.pem -out plain.pem)");
        return Err(KafkaError::new(KafkaErrorKind::Config, message));
    }
    let unreadable = |_| KafkaError::new(KafkaErrorKind::Config, format!("property {of}: there is no private key in it; give one as PEM (PKCS #8)"));
    Ok(Some((chain, PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(unreadable)?)))
}

/// The PEM text of a store, and the property that it came from.
fn pem(props: &Props, store: &str, inline: &'static str) -> Result<Option<(&'static str, String)>, KafkaError> {
    let (location, kind): (&'static str, _) =
        if store == "truststore" { ("ssl.truststore.location", "ssl.truststore.type") } else { ("ssl.keystore.location", "ssl.keystore.type") };
    let given = get(props, kind).unwrap_or("JKS").to_ascii_uppercase();
    if let Some(text) = get(props, inline) {
        return if given == "PEM" { Ok(Some((inline, lines(text)))) } else { Err(invalid(kind, &given, &format!("with {inline}, it must be PEM"))) };
    }
    let Some(path) = get(props, location) else { return Ok(None) };
    if given != "PEM" {
        let advice = format!(
            "the {store} {path:?} must be PEM: convert it (keytool -importkeystore … -deststoretype PKCS12; openssl pkcs12 -in … -nodes) and set {kind}=PEM"
        );
        return Err(invalid(kind, &given, &advice));
    }
    let text = fs::read_to_string(path).map_err(|why| invalid(location, path, &format!("the file cannot be read: {why}")))?;
    Ok(Some((location, lines(&text))))
}

/// PEM with its line breaks where the format has them: properties files tend to have it on one line.
fn lines(text: &str) -> String {
    #[expect(clippy::expect_used, reason = "a constant")]
    static BLOCK: LazyLock<Regex> = LazyLock::new(|| Regex::new("(?s)-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END ([A-Z0-9 ]+)-----").expect("a pattern"));
    let block = |block: regex::Captures<'_>| {
        let body: Vec<&str> = block[2].split_whitespace().collect();
        format!("-----BEGIN {}-----\n{}\n-----END {}-----\n", &block[1], body.join("\n"), &block[3])
    };
    BLOCK.captures_iter(text).map(block).collect()
}

fn certificates(pem: &str, key: &str) -> Result<Vec<CertificateDer<'static>>, KafkaError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err(KafkaError::new(KafkaErrorKind::Config, format!("property {key}: there is no certificate in it; give PEM (-----BEGIN CERTIFICATE-----)"))),
    }
}

/// Trusts the same authorities, whatever name the certificate has: `ssl.endpoint.identification.algorithm=`.
#[derive(Debug)]
struct AnyName {
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&ParsedCertificate::try_from(certificate)?, &self.roots, intermediates, now, algorithms)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        by: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, by, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        by: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, by, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn props(pairs: &[(&str, &str)]) -> Props {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn protocols_say_what_a_connection_has() {
        let jaas = "PlainLoginModule required username=u password=p;";
        for (protocol, tls, sasl) in [("plaintext", false, false), ("SSL", true, false), ("SASL_PLAINTEXT", false, true), ("sasl_ssl", true, true)] {
            let security = Security::from_props(&props(&[("security.protocol", protocol), ("sasl.mechanism", "PLAIN"), ("sasl.jaas.config", jaas)]));
            let security = security.expect("accepted");
            assert_eq!((security.tls.is_some(), security.sasl.is_some()), (tls, sasl), "{protocol}");
        }
        assert!(Security::from_props(&Props::new()).expect("accepted").tls.is_none(), "PLAINTEXT is the default");
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name_and_without_secrets() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("hunter2.pem");
        fs::write(&file, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n").expect("a file");
        let certificate = "-----BEGIN CERTIFICATE----- AAAA -----END CERTIFICATE-----";
        for (given, says) in [
            (vec![("security.protocol", "TLS")], "SASL_SSL"),
            (vec![("ssl.truststore.location", "/t.jks")], "ssl.truststore.type=\"JKS\""),
            (vec![("ssl.truststore.location", "/nowhere.pem"), ("ssl.truststore.type", "PEM")], "ssl.truststore.location=\"/nowhere.pem\""),
            (vec![("ssl.truststore.certificates", "secret"), ("ssl.truststore.type", "PEM")], "ssl.truststore.certificates: there is no certificate"),
            (vec![("ssl.keystore.location", "/k.p12"), ("ssl.keystore.type", "PKCS12")], "ssl.keystore.type=\"PKCS12\""),
            (
                vec![("ssl.keystore.certificate.chain", certificate), ("ssl.keystore.type", "PEM"), ("ssl.keystore.key", "secret")],
                "ssl.keystore.key: there is no private key",
            ),
            (
                vec![
                    ("ssl.keystore.certificate.chain", certificate),
                    ("ssl.keystore.type", "PEM"),
                    ("ssl.keystore.key", "-----BEGIN ENCRYPTED PRIVATE KEY-----secret-----END ENCRYPTED PRIVATE KEY-----"),
                ],
                "encrypted",
            ),
            (vec![("ssl.enabled.protocols", "TLSv1.1")], "ssl.enabled.protocols"),
            (vec![("ssl.cipher.suites", "X")], "ssl.cipher.suites"),
        ] {
            let given = [vec![("security.protocol", "SSL")], given].concat();
            let error = Security::from_props(&props(&given)).expect_err("refused");
            assert!(error.kind == KafkaErrorKind::Config && error.message.contains(says), "{error}");
            assert!(!error.message.contains("secret"), "{error}");
        }
    }

    #[test]
    fn pem_on_one_line_gets_its_line_breaks() {
        let expected = "-----BEGIN CERTIFICATE-----\nAA\nBB\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nCC\n-----END PRIVATE KEY-----\n";
        let one_line = "Bag Attributes -----BEGIN CERTIFICATE----- AA BB -----END CERTIFICATE----- -----BEGIN PRIVATE KEY-----CC-----END PRIVATE KEY-----";
        assert_eq!(lines(one_line), expected);
        assert_eq!(lines(expected), expected);
    }
}
