//! Properties → configurations, and handshakes between them, with stores that keytool and openssl have made (`tests/tls`).

use std::io;

use proptest::prelude::*;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

type Pairs<'a> = &'a [(&'a str, &'a str)];

const STORE_PASSWORD: (&str, &str) = ("ssl.keystore.password", "store-pass-1");

fn path(file: &str) -> String {
    format!("{}/tests/tls/{file}", env!("CARGO_MANIFEST_DIR"))
}

/// Properties; a value `@file` is that file's path, `<file` its text on one line.
pub(super) fn props(pairs: Pairs<'_>) -> BTreeMap<String, String> {
    let value = |value: &str| match (value.strip_prefix('@'), value.strip_prefix('<')) {
        (Some(file), _) => path(file),
        (_, Some(file)) => std::fs::read_to_string(path(file)).unwrap().replace('\n', " "),
        _ => value.to_owned(),
    };
    pairs.iter().map(|(key, text)| ((*key).to_owned(), value(text))).collect()
}

fn pem(location: &'static str) -> [(&'static str, &'static str); 2] {
    [("ssl.keystore.type", "PEM"), ("ssl.keystore.location", location)]
}

const TRUST: [(&str, &str); 2] = [("ssl.truststore.type", "PEM"), ("ssl.truststore.location", "@ca.pem")];

/// A handshake, and whether the server knows the client by a certificate.
async fn shake(server_has: Pairs<'_>, client_has: Pairs<'_>, name: &'static str) -> io::Result<bool> {
    let server = TlsAcceptor::from(Arc::new(server(Ssl::new(&props(server_has))).unwrap()));
    let client = TlsConnector::from(Arc::new(client(Ssl::new(&props(client_has)), Fallback::Keystore).unwrap()));
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (server, client) = tokio::join!(server.accept(ours), client.connect(ServerName::try_from(name).unwrap(), theirs));
    client?;
    Ok(server?.get_ref().1.peer_certificates().is_some())
}

#[tokio::test]
async fn every_kind_of_keystore_serves() {
    for server_has in [
        pem("@server.pem").to_vec(),
        vec![("ssl.keystore.type", "pem"), ("ssl.keystore.certificate.chain", "<server.pem"), ("ssl.keystore.key", "<server.pem")],
        [&pem("@encrypted.pem")[..], &[("ssl.key.password", "key-pass-2")]].concat(),
        [&pem("@server.pem")[..], &[("ssl.keystore.key", "<encrypted-old.key"), ("ssl.key.password", "key-pass-2")]].concat(),
        vec![("ssl.keystore.location", "@server.jks"), STORE_PASSWORD, ("ssl.key.password", "key-pass-2")],
        vec![("ssl.keystore.location", "@server.jks"), ("ssl.keystore.type", "PKCS12"), STORE_PASSWORD, ("ssl.key.password", "key-pass-2")],
        vec![("ssl.keystore.location", "@server.jks"), ("ssl.key.password", "key-pass-2")],
        vec![("ssl.keystore.location", "@server.p12"), ("ssl.keystore.type", "PKCS12"), STORE_PASSWORD],
        vec![("ssl.keystore.location", "@server.p12"), STORE_PASSWORD, ("ssl.key.password", "store-pass-1")],
        vec![("ssl.keystore.location", "@legacy.p12"), STORE_PASSWORD],
        vec![("ssl.keystore.location", "@openssl.p12"), STORE_PASSWORD],
    ] {
        for trust in [
            TRUST.to_vec(),
            vec![("ssl.truststore.type", "PEM"), ("ssl.truststore.certificates", "<ca.pem")],
            vec![("ssl.truststore.location", "@trust.jks")],
            vec![("ssl.truststore.location", "@trust.jks"), ("ssl.truststore.password", "store-pass-1")],
            vec![("ssl.truststore.location", "@trust.p12"), ("ssl.truststore.password", "store-pass-1")],
        ] {
            assert!(!shake(&server_has, &trust, "localhost").await.unwrap(), "{server_has:?} {trust:?}");
        }
    }
}

#[tokio::test]
async fn clients_certificates_are_asked_for_as_configured() {
    let (required, requested) = (("ssl.client.auth", "required"), ("ssl.client.auth", "requested"));
    let known = [&TRUST[..], &pem("@client.pem")].concat();
    let stranger = [&TRUST[..], &pem("@own.pem")].concat();
    for (auth, client_has, expected) in [
        (vec![], &known, Some(false)),
        (vec![("ssl.client.auth", "none")], &known, Some(false)),
        ([&TRUST[..], &[requested]].concat(), &known, Some(true)),
        ([&TRUST[..], &[requested]].concat(), &TRUST.to_vec(), Some(false)),
        ([&TRUST[..], &[requested]].concat(), &stranger, None),
        ([&TRUST[..], &[required]].concat(), &known, Some(true)),
        ([&TRUST[..], &[required]].concat(), &TRUST.to_vec(), None),
        ([&TRUST[..], &[required]].concat(), &stranger, None),
        // Without a truststore, the keystore's certificates are trusted.
        (vec![required], &known, None),
        (vec![required], &[&TRUST[..], &pem("@server.pem")].concat(), Some(true)),
        // A certificate that is in the truststore itself is, although it calls itself an authority.
        (vec![("ssl.truststore.type", "PEM"), ("ssl.truststore.location", "@own.pem"), required], &stranger, Some(true)),
    ] {
        let shaken = shake(&[&pem("@server.pem")[..], &auth].concat(), client_has, "localhost").await;
        assert_eq!(shaken.as_ref().ok(), expected.as_ref(), "{auth:?} {client_has:?}: {shaken:?}");
    }
}

#[tokio::test]
async fn servers_are_trusted_by_their_authority_and_name_or_as_they_are() {
    let own = [("ssl.truststore.type", "PEM"), ("ssl.truststore.location", "@own.pem")];
    let any_name = [&TRUST[..], &[("ssl.endpoint.identification.algorithm", "")]].concat();
    let both = [("ssl.keystore.location", "@self.jks"), STORE_PASSWORD];
    for (server_has, client_has, name, is_trusted) in [
        (&pem("@server.pem")[..], &TRUST[..], "127.0.0.1", true),
        (&pem("@server.pem"), &TRUST, "elsewhere", false),
        (&pem("@server.pem"), &any_name, "elsewhere", true),
        (&pem("@own.pem"), &own, "localhost", true),
        (&pem("@own.pem"), &own, "elsewhere", false),
        (&pem("@own.pem"), &any_name, "localhost", false),
        (&both, &both, "localhost", true),
    ] {
        let shaken = shake(server_has, client_has, name).await;
        assert_eq!(shaken.is_ok(), is_trusted, "{server_has:?} {client_has:?} {name}: {shaken:?}");
    }
}

#[tokio::test]
async fn protocols_and_suites_are_those_that_are_enabled() {
    let with = |more: Pairs<'static>| [&pem("@server.pem")[..], &TRUST, more].concat();
    for (server_has, client_has, agrees) in [
        (with(&[("ssl.enabled.protocols", "TLSv1.2,TLSv1.1")]), with(&[("ssl.protocol", "TLSv1.2")]), true),
        (with(&[("ssl.enabled.protocols", "TLSv1.2")]), with(&[("ssl.enabled.protocols", "TLSv1.3")]), false),
        (
            with(&[("ssl.cipher.suites", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, TLS_AES_128_GCM_SHA256")]),
            with(&[("ssl.cipher.suites", "TLS_AES_128_GCM_SHA256")]),
            true,
        ),
        (with(&[("ssl.cipher.suites", "TLS_AES_256_GCM_SHA384")]), with(&[("ssl.cipher.suites", "TLS_AES_128_GCM_SHA256")]), false),
    ] {
        assert_eq!(shake(&server_has, &client_has, "localhost").await.is_ok(), agrees, "{server_has:?} {client_has:?}");
    }
}

#[test]
fn a_prefix_takes_all_or_nothing() {
    let given = props(&[("listeners.https.ssl.keystore.location", "/a"), ("ssl.keystore.location", "/b"), ("ssl.client.auth", "required")]);
    for (prefix, keystore, auth) in [("listeners.https.", Some("/a"), None), ("admin.listeners.https.", Some("/b"), Some("required"))] {
        let ssl = Ssl::prefixed(&given, prefix);
        assert_eq!((ssl.get("ssl.keystore.location"), ssl.get("ssl.client.auth")), (keystore, auth), "{prefix}");
    }
    let error = server(Ssl::prefixed(&given, "listeners.https.")).unwrap_err().to_string();
    assert!(error.starts_with("property listeners.https.ssl.keystore.location=\"/a\": the file cannot be read"), "{error}");
}

#[test]
fn what_cannot_be_used_is_refused_by_name_and_without_secrets() {
    let certificate = ("ssl.keystore.certificate.chain", "-----BEGIN CERTIFICATE----- AAAA -----END CERTIFICATE-----");
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----aHVudGVyMg==-----END ENCRYPTED PRIVATE KEY-----";
    let is_pem = ("ssl.keystore.type", "PEM");
    for (given, says) in [
        (vec![], "ssl.keystore.location: HTTPS needs a certificate"),
        (vec![("ssl.keystore.location", "@trust.jks")], "ssl.keystore.location: there is no private key with a certificate"),
        (vec![("ssl.keystore.location", "@server.jks"), STORE_PASSWORD], "ssl.key.password: the keystore's key cannot be read: the password is wrong"),
        (vec![("ssl.keystore.location", "@server.jks")], "ssl.key.password: the keystore's key needs a password"),
        (vec![("ssl.keystore.location", "@server.jks"), ("ssl.keystore.password", "hunter2")], "server.jks\": the keystore cannot be read: the password"),
        (vec![("ssl.keystore.location", "@server.p12"), ("ssl.keystore.password", "hunter2")], "(check ssl.keystore.password)"),
        (vec![("ssl.keystore.location", "@server.p12")], "(set ssl.keystore.password)"),
        (vec![("ssl.keystore.location", "@server.pem")], "the keystore is PEM; set ssl.keystore.type"),
        (vec![is_pem, ("ssl.keystore.location", "@server.jks")], "ssl.keystore.location: there is no certificate in it"),
        (vec![is_pem, ("ssl.keystore.location", "@ca.pem")], "ssl.keystore.location: there is no private key in it"),
        (vec![is_pem, certificate, ("ssl.keystore.key", "hunter2")], "ssl.keystore.key: there is no private key in it"),
        (vec![is_pem, certificate], "ssl.keystore.key: there is no private key in it"),
        (vec![is_pem, certificate, ("ssl.keystore.key", encrypted)], "ssl.keystore.key: the private key is encrypted: set ssl.key.password"),
        (vec![is_pem, certificate, ("ssl.keystore.key", encrypted), ("ssl.key.password", "hunter2")], "ssl.keystore.key: the encrypted private key cannot be"),
        (vec![is_pem, ("ssl.keystore.location", "@encrypted.pem"), ("ssl.key.password", "hunter2")], "ssl.key.password: the private key of"),
        (vec![is_pem, ("ssl.keystore.location", "@server.pem"), ("ssl.keystore.key", "<client.pem")], "its private key cannot be used with its certificate"),
        (vec![("ssl.keystore.type", "BCFKS"), ("ssl.keystore.location", "/x")], "ssl.keystore.type=\"BCFKS\": give JKS, PKCS12 or PEM"),
        (vec![certificate], "ssl.keystore.type=\"JKS\": with ssl.keystore.certificate.chain, it must be PEM"),
        (vec![is_pem, ("ssl.keystore.location", "@server.pem"), ("ssl.client.auth", "REQUIRED")], "ssl.client.auth=\"REQUIRED\": give none, requested or"),
        (
            vec![is_pem, ("ssl.keystore.location", "@server.pem"), ("ssl.client.auth", "required"), ("ssl.truststore.location", "/nowhere")],
            "ssl.truststore.location=\"/nowhere\": the file cannot be read",
        ),
        (
            vec![is_pem, ("ssl.keystore.location", "@server.pem"), ("ssl.client.auth", "required"), ("ssl.truststore.location", "@openssl.p12")],
            "openssl.p12\": the truststore cannot be read",
        ),
        (vec![is_pem, ("ssl.keystore.location", "@server.pem"), ("ssl.enabled.protocols", "TLSv1.1")], "ssl.enabled.protocols=\"TLSv1.1\""),
        (vec![is_pem, ("ssl.keystore.location", "@server.pem"), ("ssl.protocol", "TLSv9")], "ssl.protocol=\"TLSv9\""),
        (vec![("ssl.cipher.suites", "TLS_AES_128_GCM_SHA256,TLS_RSA_WITH_NULL_MD5")], "ssl.cipher.suites=\"TLS_RSA_WITH_NULL_MD5\": there is no such"),
        (
            vec![is_pem, ("ssl.keystore.location", "@server.pem"), ("ssl.cipher.suites", "TLS_AES_128_GCM_SHA256"), ("ssl.enabled.protocols", "TLSv1.2")],
            "ssl.cipher.suites: there is no suite for the protocols",
        ),
        (vec![("ssl.engine.factory.class", "a.B")], "ssl.engine.factory.class=\"a.B\""),
    ] {
        let error = server(Ssl::new(&props(&given))).expect_err("refused").to_string();
        assert!(error.contains(says), "{given:?}: {error}");
        assert!(!error.contains("hunter2") && !error.contains("aHVudGVyMg") && !error.contains("pass-"), "{error}");
    }
}

#[test]
fn a_truststore_without_certificates_to_trust_is_refused() {
    // openssl marks nobody as trusted, so Java finds nobody in such a store either; the key's own certificate counts in both.
    let given = props(&[("ssl.truststore.location", "@openssl.p12"), ("ssl.truststore.password", "store-pass-1")]);
    assert_eq!(stores::truststore(Ssl::new(&given)).unwrap().unwrap().trusted.len(), 1);
    let given = props(&[("ssl.truststore.type", "PEM"), ("ssl.truststore.certificates", "hunter2")]);
    let error = stores::truststore(Ssl::new(&given)).unwrap_err().to_string();
    assert_eq!(error, "property ssl.truststore.certificates: there is no certificate in it; give PEM (-----BEGIN CERTIFICATE-----)");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_damaged_store_stops_the_reader(file in prop::sample::select(vec!["server.p12", "legacy.p12", "server.jks", "server.pem"]), at: prop::sample::Index, to: u8) {
        let mut bytes = std::fs::read(path(file)).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = to;
        let folder = tempfile::tempdir().unwrap();
        let damaged = folder.path().join("store");
        std::fs::write(&damaged, bytes).unwrap();
        let kind = if file.ends_with("pem") { "PEM" } else { "JKS" };
        drop(server(Ssl::new(&props(&[("ssl.keystore.type", kind), ("ssl.keystore.location", damaged.to_str().unwrap()), STORE_PASSWORD]))));
    }
}
