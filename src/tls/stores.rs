//! Keystores and truststores: `ssl.keystore.*` and `ssl.truststore.*` → certificates and keys.
//!
//! PEM stands in files or in the properties themselves. For the types JKS and PKCS12 the file says which of them it is, as with Java, which takes either.

use std::fs;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use p12_keystore::{KeyStore, KeyStoreEntry, Pkcs12ImportPolicy};
use pkcs8::EncryptedPrivateKeyInfoRef;
use regex::Regex;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::jks::{self, Entry};
use super::{Ssl, TlsError};

/// Who we are.
#[derive(Debug)]
pub(super) struct Identity {
    /// Our certificate, then those of the authorities above it.
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

/// What is in a store.
#[derive(Debug, Default)]
pub(super) struct Store {
    /// The first key with a certificate.
    pub(super) identity: Option<Identity>,
    /// Certificates to trust: as in Java, those without a key, and each key's own.
    pub(super) trusted: Vec<CertificateDer<'static>>,
}

impl Store {
    /// Adds a key with its certificates, if it has any.
    fn add(&mut self, chain: Vec<CertificateDer<'static>>, key: impl FnOnce() -> Result<PrivateKeyDer<'static>, TlsError>) -> Result<(), TlsError> {
        let Some(own) = chain.first() else { return Ok(()) };
        self.trusted.push(own.clone());
        if self.identity.is_none() {
            self.identity = Some(Identity { chain, key: key()? });
        }
        Ok(())
    }
}

/// The names of a store's properties.
struct Keys {
    store: &'static str,
    kind: &'static str,
    location: &'static str,
    inline: &'static str,
    password: &'static str,
}

const KEYSTORE: Keys = Keys {
    store: "keystore",
    kind: "ssl.keystore.type",
    location: "ssl.keystore.location",
    inline: "ssl.keystore.certificate.chain",
    password: "ssl.keystore.password",
};
const TRUSTSTORE: Keys = Keys {
    store: "truststore",
    kind: "ssl.truststore.type",
    location: "ssl.truststore.location",
    inline: "ssl.truststore.certificates",
    password: "ssl.truststore.password",
};
const KEY: &str = "ssl.keystore.key";
const KEY_PASSWORD: &str = "ssl.key.password";

/// Our certificate and key, if there is a keystore.
pub(super) fn keystore(ssl: Ssl<'_>) -> Result<Option<Store>, TlsError> {
    let (from, pem) = match given(ssl, &KEYSTORE)? {
        None => return Ok(None),
        Some(Given::Binary(bytes)) => return binary(ssl, &KEYSTORE, &bytes, true).map(Some),
        Some(Given::Pem(from, text)) => (from, text),
    };
    let chain = certificates(ssl, from, &pem)?;
    let key = match ssl.get(KEY) {
        Some(inline) => pem_key(ssl, KEY, &lines(inline))?,
        None => pem_key(ssl, if from == KEYSTORE.inline { KEY } else { from }, &pem)?,
    };
    let mut store = Store::default();
    store.add(chain, || Ok(key))?;
    Ok(Some(store))
}

/// Whom we trust, if there is a truststore; never nobody.
pub(super) fn truststore(ssl: Ssl<'_>) -> Result<Option<Store>, TlsError> {
    let store = match given(ssl, &TRUSTSTORE)? {
        None => return Ok(None),
        Some(Given::Pem(from, text)) => Store { identity: None, trusted: certificates(ssl, from, &text)? },
        Some(Given::Binary(bytes)) => binary(ssl, &TRUSTSTORE, &bytes, false)?,
    };
    if store.trusted.is_empty() {
        let problem = "there is no certificate in the truststore that is marked as trusted; import authorities with: keytool -importcert";
        return Err(ssl.about(TRUSTSTORE.location, problem));
    }
    Ok(Some(store))
}

/// What the properties give.
enum Given {
    /// Text, and the property that it came from.
    Pem(&'static str, String),
    /// A file of Java's.
    Binary(Vec<u8>),
}

fn given(ssl: Ssl<'_>, keys: &Keys) -> Result<Option<Given>, TlsError> {
    let kind = ssl.get(keys.kind).unwrap_or("JKS");
    let is_pem = kind.eq_ignore_ascii_case("PEM");
    if !is_pem && !kind.eq_ignore_ascii_case("JKS") && !kind.eq_ignore_ascii_case("PKCS12") {
        return Err(ssl.refused(keys.kind, kind, "give JKS, PKCS12 or PEM"));
    }
    if let Some(text) = ssl.get(keys.inline) {
        let advice = format!("with {}, it must be PEM", ssl.name(keys.inline));
        return if is_pem { Ok(Some(Given::Pem(keys.inline, lines(text)))) } else { Err(ssl.refused(keys.kind, kind, &advice)) };
    }
    let Some(path) = ssl.get(keys.location) else { return Ok(None) };
    let bytes = fs::read(path).map_err(|why| ssl.refused(keys.location, path, &format!("the file cannot be read: {why}")))?;
    Ok(Some(if is_pem { Given::Pem(keys.location, lines(&String::from_utf8_lossy(&bytes))) } else { Given::Binary(bytes) }))
}

/// A store of Java's, of either type. Keys are wanted from a keystore alone.
fn binary(ssl: Ssl<'_>, keys: &Keys, bytes: &[u8], wants_key: bool) -> Result<Store, TlsError> {
    let password = ssl.get(keys.password);
    let failed = |why: &dyn std::fmt::Display| {
        let advice = if password.is_some() { format!("check {}", ssl.name(keys.password)) } else { format!("set {}", ssl.name(keys.password)) };
        ssl.refused(keys.location, ssl.get(keys.location).unwrap_or_default(), &format!("the {} cannot be read: {why} ({advice})", keys.store))
    };
    if bytes.starts_with(&jks::MAGIC) {
        let entries = jks::read(bytes, password).map_err(|why| failed(&why))?;
        return java(ssl, entries, if wants_key { Some(password) } else { None });
    }
    if bytes.first() != Some(&0x30) {
        let what = if bytes.trim_ascii_start().starts_with(b"-----BEGIN") { "PEM" } else { "no store of Java's (JKS, PKCS12)" };
        let advice = format!("the {} is {what}; set {} to what it is: JKS, PKCS12 or PEM", keys.store, ssl.name(keys.kind));
        return Err(ssl.refused(keys.location, ssl.get(keys.location).unwrap_or_default(), &advice));
    }
    let read = KeyStore::from_pkcs12(bytes, password.unwrap_or_default(), Pkcs12ImportPolicy::Strict).map_err(|why| failed(&why))?;
    let mut store = Store::default();
    for (_, entry) in read.entries() {
        match entry {
            KeyStoreEntry::PrivateKeyChain(entry) => {
                let chain = entry.certs().iter().map(|certificate| certificate.as_der().to_vec().into()).collect();
                store.add(chain, || Ok(PrivatePkcs8KeyDer::from(entry.key().as_der().to_vec()).into()))?;
            }
            KeyStoreEntry::Certificate(certificate) => store.trusted.push(certificate.as_der().to_vec().into()),
            KeyStoreEntry::Secret(_) => {}
        }
    }
    Ok(store)
}

/// A JKS. Its keys are read with the password that they have, or else with the store's, which is in `keys_with`.
fn java(ssl: Ssl<'_>, entries: Vec<Entry<'_>>, keys_with: Option<Option<&str>>) -> Result<Store, TlsError> {
    let mut store = Store::default();
    for entry in entries {
        match (entry, keys_with) {
            (Entry::Trusted(certificate), _) => store.trusted.push(certificate.to_vec().into()),
            (Entry::Key { chain, .. }, None) => store.trusted.extend(chain.first().map(|own| own.to_vec().into())),
            (Entry::Key { protected, chain }, Some(store_password)) => {
                let chain = chain.into_iter().map(|certificate| certificate.to_vec().into()).collect();
                store.add(chain, || {
                    let no_password = "the keystore's key needs a password: set it, or ssl.keystore.password where that is the same";
                    let password = ssl.get(KEY_PASSWORD).or(store_password).ok_or_else(|| ssl.about(KEY_PASSWORD, no_password))?;
                    let key = jks::unprotect(protected, password);
                    Ok(PrivatePkcs8KeyDer::from(key.map_err(|why| ssl.about(KEY_PASSWORD, format!("the keystore's key cannot be read: {why}")))?).into())
                })?;
            }
        }
    }
    Ok(store)
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

fn certificates(ssl: Ssl<'_>, from: &str, pem: &str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        _ => Err(ssl.about(from, "there is no certificate in it; give PEM (-----BEGIN CERTIFICATE-----)")),
    }
}

/// The private key of a PEM text, decrypted where it is encrypted.
fn pem_key(ssl: Ssl<'_>, from: &str, pem: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    const ENCRYPTED: (&str, &str) = ("-----BEGIN ENCRYPTED PRIVATE KEY-----", "-----END ENCRYPTED PRIVATE KEY-----");
    let Some(block) = pem.split_once(ENCRYPTED.0).and_then(|(_, rest)| rest.split_once(ENCRYPTED.1)).map(|(block, _)| block) else {
        return PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|_| ssl.about(from, "there is no private key in it; give one as PEM (PKCS #8: -----BEGIN PRIVATE KEY-----)"));
    };
    let needs = || ssl.about(from, format!("the private key is encrypted: set {} to its password", ssl.name(KEY_PASSWORD)));
    let password = ssl.get(KEY_PASSWORD).ok_or_else(needs)?;
    let damaged = |why: &dyn std::fmt::Display| ssl.about(from, format!("the encrypted private key cannot be read: {why}; give PKCS #8 with PBES2"));
    let der = STANDARD.decode(block.split_whitespace().collect::<String>()).map_err(|_| damaged(&"it is no base64"))?;
    let key = EncryptedPrivateKeyInfoRef::try_from(der.as_slice()).map_err(|why| damaged(&why))?;
    let key = key.decrypt(password).map_err(|_| ssl.about(KEY_PASSWORD, format!("the private key of {} cannot be decrypted with it", ssl.name(from))))?;
    Ok(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pem_on_one_line_gets_its_line_breaks() {
        let expected = "-----BEGIN CERTIFICATE-----\nAA\nBB\n-----END CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\nCC\n-----END PRIVATE KEY-----\n";
        let one_line = "Bag Attributes -----BEGIN CERTIFICATE----- AA BB -----END CERTIFICATE----- -----BEGIN PRIVATE KEY-----CC-----END PRIVATE KEY-----";
        assert_eq!(lines(one_line), expected);
        assert_eq!(lines(expected), expected);
    }
}
