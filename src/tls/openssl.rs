//! TLS for clients that bring OpenSSL along (librdkafka's): the properties `ssl.*` → PEM texts and OpenSSL's names of cipher suites.
//!
//! Stores are read and converted in memory; no key is written anywhere. What OpenSSL cannot be told is refused, unless a connection is safe without it.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::version::TLS12;

use super::stores::{self, Identity};
use super::{Ssl, TlsError, refuse_unchosen, versions};

/// Java's names of cipher suites of TLS 1.2 → OpenSSL's.
const SUITES: [(&str, &str); 6] = [
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-GCM-SHA256"),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", "ECDHE-RSA-AES256-GCM-SHA384"),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-CHACHA20-POLY1305"),
];
/// Those of TLS 1.3, which are always on.
const SUITES_13: [&str; 3] = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];

/// What OpenSSL is given.
#[derive(Default, PartialEq, Eq)]
pub struct OpenSsl {
    /// Our certificate and those of the authorities above it, PEM.
    pub certificates: Option<String>,
    /// Our key, PEM, not encrypted.
    pub key: Option<String>,
    /// Whom we trust, PEM; `None`: whom the system trusts.
    pub trusted: Option<String>,
    /// Cipher suites of TLS 1.2, `:` between them; `None`: OpenSSL's default.
    pub ciphers: Option<String>,
}

impl fmt::Debug for OpenSsl {
    /// What there is, and nothing of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { certificates, key, trusted, ciphers } = self;
        let mut shown = f.debug_struct("OpenSsl");
        shown.field("certificates", &certificates.is_some()).field("key", &key.is_some()).field("trusted", &trusted.is_some());
        shown.field("ciphers", ciphers).finish()
    }
}

/// A client's properties, for OpenSSL.
///
/// # Errors
/// The property that cannot be used, and what to do.
pub fn openssl(ssl: Ssl<'_>) -> Result<OpenSsl, TlsError> {
    refuse_unchosen(ssl)?;
    if !versions(ssl)?.contains(&&TLS12) {
        let given = ssl.get("ssl.enabled.protocols").unwrap_or_default();
        return Err(ssl.refused(
            "ssl.enabled.protocols",
            given,
            "these clients cannot be kept from TLS 1.2: have the brokers refuse it, and give TLSv1.2,TLSv1.3",
        ));
    }
    let identity = stores::keystore(ssl)?.and_then(|store| store.identity);
    let trusted = stores::truststore(ssl)?.map(|store| store.trusted);
    let (certificates, key) = match &identity {
        Some(Identity { chain, key }) => (Some(certificates(chain)), Some(private_key(key))),
        None => (None, None),
    };
    Ok(OpenSsl { certificates, key, trusted: trusted.as_deref().map(self::certificates), ciphers: ciphers(ssl)? })
}

fn ciphers(ssl: Ssl<'_>) -> Result<Option<String>, TlsError> {
    const KEY: &str = "ssl.cipher.suites";
    let Some(wanted) = ssl.get(KEY) else { return Ok(None) };
    let mut names = Vec::new();
    for name in wanted.split([',', ':']).map(str::trim).filter(|name| !name.is_empty() && !SUITES_13.contains(name)) {
        names.push(match SUITES.iter().find(|(java, _)| *java == name) {
            Some((_, openssl)) => *openssl,
            None if name.starts_with("TLS_") => {
                let known: Vec<&str> = SUITES.iter().map(|(java, _)| *java).chain(SUITES_13).collect();
                return Err(ssl.refused(KEY, name, &format!("there is no such suite here; there are {}", known.join(", "))));
            }
            None => name,
        });
    }
    if names.is_empty() {
        return Err(ssl.refused(KEY, wanted, "these clients have all suites of TLS 1.3 always: name some of TLS 1.2 too, or leave it out"));
    }
    Ok(Some(names.join(":")))
}

fn certificates(all: &[impl AsRef<[u8]>]) -> String {
    all.iter().map(|certificate| block("CERTIFICATE", certificate.as_ref())).collect()
}

fn private_key(key: &PrivateKeyDer<'_>) -> String {
    let label = match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    block(label, key.secret_der())
}

/// PEM: base64 in lines of 64.
fn block(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio_rustls::rustls::pki_types::CertificateDer;
    use tokio_rustls::rustls::pki_types::pem::PemObject;

    use super::super::tests::props;
    use super::*;

    const STORE_PASSWORD: (&str, &str) = ("ssl.keystore.password", "store-pass-1");

    fn read(pairs: &[(&str, &str)]) -> Result<OpenSsl, TlsError> {
        openssl(Ssl::new(&props(pairs)))
    }

    #[test]
    fn every_kind_of_store_becomes_pem() {
        let pem = read(&[
            ("ssl.keystore.type", "PEM"),
            ("ssl.keystore.location", "@server.pem"),
            ("ssl.truststore.type", "PEM"),
            ("ssl.truststore.location", "@ca.pem"),
        ])
        .unwrap();
        let count = |text: &Option<String>| CertificateDer::pem_slice_iter(text.as_deref().unwrap().as_bytes()).map(Result::unwrap).count();
        assert_eq!((count(&pem.trusted), pem.ciphers.as_ref()), (1, None));
        for given in [
            vec![("ssl.keystore.location", "@server.jks"), STORE_PASSWORD, ("ssl.key.password", "key-pass-2"), ("ssl.truststore.location", "@trust.jks")],
            vec![
                ("ssl.keystore.location", "@server.p12"),
                ("ssl.keystore.type", "PKCS12"),
                STORE_PASSWORD,
                ("ssl.truststore.location", "@trust.p12"),
                ("ssl.truststore.password", "store-pass-1"),
            ],
            vec![("ssl.keystore.location", "@legacy.p12"), STORE_PASSWORD, ("ssl.truststore.location", "@trust.jks")],
        ] {
            let read = read(&given).unwrap();
            assert_eq!((&read.trusted, count(&read.certificates)), (&pem.trusted, 2), "{given:?}");
            let key = PrivateKeyDer::from_pem_slice(read.key.as_deref().unwrap().as_bytes()).unwrap();
            assert!(matches!(key, PrivateKeyDer::Pkcs8(_)), "{given:?}");
        }
        assert_eq!(read(&[]).unwrap(), OpenSsl::default(), "the system's authorities, and no certificate");
        assert!(read(&[("ssl.keystore.location", "@trust.jks")]).unwrap().key.is_none(), "a keystore without a key shows nobody");
    }

    #[test]
    fn cipher_suites_get_openssls_names() {
        let advice = "these clients have all suites of TLS 1.3 always";
        for (given, expected) in [
            ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256", Ok("ECDHE-RSA-AES128-GCM-SHA256")),
            (
                "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
                Ok("ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-AES256-GCM-SHA384"),
            ),
            ("ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES128-GCM-SHA256", Ok("ECDHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES128-GCM-SHA256")),
            ("TLS_AES_256_GCM_SHA384", Err(advice)),
            ("TLS_RSA_WITH_NULL_MD5", Err("there is no such suite here")),
        ] {
            match (read(&[("ssl.cipher.suites", given)]), expected) {
                (Ok(read), Ok(names)) => assert_eq!(read.ciphers.as_deref(), Some(names)),
                (Err(error), Err(says)) => assert!(error.to_string().contains(says) && error.to_string().contains("ssl.cipher.suites"), "{error}"),
                (read, expected) => panic!("{given}: {read:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn what_openssl_cannot_be_told_is_refused_by_name() {
        for (given, says) in [
            (("ssl.enabled.protocols", "TLSv1.3"), "ssl.enabled.protocols=\"TLSv1.3\": these clients cannot be kept from TLS 1.2"),
            (("ssl.enabled.protocols", "TLSv1.1"), "ssl.enabled.protocols=\"TLSv1.1\""),
            (("ssl.protocol", "TLSv9"), "ssl.protocol=\"TLSv9\""),
            (("ssl.provider", "BCFIPS"), "ssl.provider=\"BCFIPS\""),
            (("ssl.engine.factory.class", "a.B"), "ssl.engine.factory.class=\"a.B\""),
            (("ssl.keystore.type", "BCFKS"), "ssl.keystore.type=\"BCFKS\""),
            (("ssl.truststore.location", "/nowhere"), "ssl.truststore.location=\"/nowhere\": the file cannot be read"),
        ] {
            let error = read(&[given]).expect_err("refused").to_string();
            assert!(error.contains(says), "{given:?}: {error}");
        }
        assert!(read(&[("ssl.enabled.protocols", "TLSv1.2")]).is_ok());
    }

    proptest! {
        #[test]
        fn pem_holds_the_bytes(der in prop::collection::vec(any::<u8>(), 1..300)) {
            let text = block("CERTIFICATE", &der);
            let read = CertificateDer::from_pem_slice(text.as_bytes()).unwrap();
            prop_assert_eq!(read.as_ref(), der.as_slice());
            prop_assert!(text.lines().all(|line| line.len() <= 64));
        }
    }
}
