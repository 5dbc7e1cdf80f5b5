//! How a connection is protected: `security.protocol`, `ssl.*` and `sasl.*` as Java's clients have them, by rustls and SASL.

use std::fmt;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::{self, pki_types::ServerName};

use super::connection::{Connection, Stream};
use super::sasl::Sasl;
use super::{Address, invalid, transient};
use crate::clock::Clock;
use crate::kafka::tokens::Logins;
use crate::kafka::{KafkaError, KafkaErrorKind, Props};
use crate::tls::{self, Fallback, Ssl};

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
    pub fn from_props(props: &Props, logins: &Logins, clock: Clock) -> Result<Self, KafkaError> {
        let protocol = get(props, "security.protocol").unwrap_or("PLAINTEXT");
        let (tls, sasl) = match protocol.to_ascii_uppercase().as_str() {
            "PLAINTEXT" => (false, false),
            "SSL" => (true, false),
            "SASL_PLAINTEXT" => (false, true),
            "SASL_SSL" => (true, true),
            _ => return Err(invalid("security.protocol", protocol, "give PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL")),
        };
        Ok(Self { tls: tls.then(|| client(props)).transpose()?, sasl: sasl.then(|| Sasl::from_props(props, logins, clock)).transpose()? })
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
    pub(super) async fn authenticate(&self, connection: &mut Connection) -> Result<(), KafkaError> {
        match &self.sasl {
            Some(sasl) => sasl.authenticate(connection).await,
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
    let config = tls::client(Ssl::new(props), Fallback::System).map_err(|why| KafkaError::new(KafkaErrorKind::Config, why.to_string()))?;
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_props(pairs: &[(&str, &str)]) -> Result<Security, KafkaError> {
        let props = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Security::from_props(&props, &Logins::default(), Clock::system())
    }

    #[test]
    fn protocols_say_what_a_connection_has() {
        let jaas = "PlainLoginModule required username=u password=p;";
        for (protocol, tls, sasl) in [("plaintext", false, false), ("SSL", true, false), ("SASL_PLAINTEXT", false, true), ("sasl_ssl", true, true)] {
            let security = from_props(&[("security.protocol", protocol), ("sasl.mechanism", "PLAIN"), ("sasl.jaas.config", jaas)]);
            let security = security.expect("accepted");
            assert_eq!((security.tls.is_some(), security.sasl.is_some()), (tls, sasl), "{protocol}");
        }
        assert!(from_props(&[]).expect("accepted").tls.is_none(), "PLAINTEXT is the default");
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        for (given, says) in [
            (("security.protocol", "TLS"), "SASL_SSL"),
            (("ssl.truststore.location", "/nowhere.jks"), "ssl.truststore.location=\"/nowhere.jks\""),
            (("ssl.keystore.type", "DKS"), "ssl.keystore.type=\"DKS\""),
        ] {
            let error = from_props(&[("security.protocol", "SSL"), given]).expect_err("refused");
            assert!(error.kind == KafkaErrorKind::Config && error.message.contains(says), "{error}");
        }
    }
}
