//! How the worker's own connections to brokers are protected, and its listeners: `security.*`, `sasl.*` and `ssl.*`. Connectors' clients take them too, unless
//! `consumer.*`, `producer.*` or `admin.*` says otherwise.

use super::keys::key;
use crate::connect::config::{Check, ConfigKey, Type};
use crate::kafka::client_keys::TOKEN_HANDLERS;

const SECURITY: &str = "Security";

const fn text(name: &'static str, default: Option<&'static str>, doc: &'static str) -> ConfigKey {
    key(name, Type::String, default, Check::Any, SECURITY, doc)
}

const fn secret(name: &'static str, doc: &'static str) -> ConfigKey {
    key(name, Type::Password, None, Check::Any, SECURITY, doc)
}

const fn refused(name: &'static str, why: &'static str, doc: &'static str) -> ConfigKey {
    key(name, Type::String, None, Check::Only(&[""], why), SECURITY, doc)
}

const NO_CLASSES: &str = "classes of Java cannot be loaded; leave it out";
const KERBEROS: &str = "Taken, and not used: logins by Kerberos are refused (`sasl.mechanism`).";
const JAVAS: &str = "Taken, and not used: a part of Java's TLS, which does the same as the one that is built in.";

/// Every key of the security of connections.
pub static SECURITY_KEYS: &[ConfigKey] = &[
    key(
        "security.protocol",
        Type::String,
        Some("PLAINTEXT"),
        Check::OneOfIgnoreCase(&["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]),
        SECURITY,
        "How brokers are spoken to.",
    ),
    refused("security.providers", NO_CLASSES, "Java classes that make providers of security."),
    text("sasl.mechanism", Some("GSSAPI"), "With SASL_*: PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER. Java's default, GSSAPI, is refused."),
    secret("sasl.jaas.config", "Login module, user name and password, in JAAS's form: `PlainLoginModule`, `ScramLoginModule`, `OAuthBearerLoginModule`."),
    text(
        "sasl.oauthbearer.token.endpoint.url",
        None,
        "With OAUTHBEARER, who gives tokens for the client's id and secret: `https://host/path`, `http://…`; or a file that somebody keeps fresh: `file:/path/to/token`. No system property has to allow it. TLS is as the login module's options `ssl.*` say.",
    ),
    text("sasl.oauthbearer.client.credentials.client.id", None, "With OAUTHBEARER, the client's id. Default: the login module's option `clientId`."),
    secret("sasl.oauthbearer.client.credentials.client.secret", "Its secret. Default: the login module's option `clientSecret`."),
    text("sasl.oauthbearer.scope", None, "What tokens are asked for. Default: the login module's option `scope`."),
    text("sasl.oauthbearer.header.urlencode", Some("false"), "Whether id and secret are encoded as RFC 6749 wants it before they are sent."),
    text("sasl.oauthbearer.sub.claim.name", Some("sub"), "The claim with the principal's name, which a token must have."),
    refused("sasl.client.callback.handler.class", NO_CLASSES, "Java class that logs in."),
    key(
        "sasl.login.callback.handler.class",
        Type::String,
        None,
        Check::Only(TOKEN_HANDLERS, NO_CLASSES),
        SECURITY,
        "Java class that logs in; that for tokens (`OAuthBearerLoginCallbackHandler`) is built in.",
    ),
    refused("sasl.login.class", NO_CLASSES, "Java class that logs in."),
    text("sasl.kerberos.service.name", None, KERBEROS),
    text("sasl.kerberos.kinit.cmd", Some("/usr/bin/kinit"), KERBEROS),
    text("sasl.kerberos.ticket.renew.window.factor", Some("0.8"), KERBEROS),
    text("sasl.kerberos.ticket.renew.jitter", Some("0.05"), KERBEROS),
    text("sasl.kerberos.min.time.before.relogin", Some("60000"), KERBEROS),
    text("sasl.login.refresh.window.factor", Some("0.8"), "How much of a token's life is over when the next one is asked for: 0.5 to 1."),
    text("sasl.login.refresh.window.jitter", Some("0.05"), "How much later than that it may be, by chance: 0 to 0.25."),
    text("sasl.login.refresh.min.period.seconds", Some("60"), "The least that a token is used, unless its life is shorter than this and the buffer: 0 to 900."),
    text("sasl.login.refresh.buffer.seconds", Some("300"), "The least that is left of its life then, likewise: 0 to 3600."),
    text("sasl.login.connect.timeout.ms", None, "How long connecting to the token endpoint may take. Default: 10 s; Java's clients wait without end."),
    text("sasl.login.read.timeout.ms", None, "How long it may say nothing. Default: 10 s; Java's clients wait without end."),
    text("sasl.login.retry.backoff.ms", Some("100"), "How long to wait before it is asked again after trouble that may pass, longer from try to try."),
    text("sasl.login.retry.backoff.max.ms", Some("10000"), "How long it is asked again. Then the login has failed, and begins anew 10 s later."),
    text("ssl.keystore.type", Some("JKS"), "Type of the keystore: JKS, PKCS12 or PEM; a file of the first two may be either."),
    text("ssl.keystore.location", None, "File of the keystore: our certificate and its key."),
    secret("ssl.keystore.password", "Its password; PEM has none."),
    secret("ssl.keystore.certificate.chain", "Our certificate, and those above it, as PEM in place of a file."),
    secret("ssl.keystore.key", "Its key, as PEM (PKCS #8)."),
    secret("ssl.key.password", "Password of the key. Default: that of the keystore."),
    text("ssl.truststore.type", Some("JKS"), "Type of the truststore: JKS, PKCS12 or PEM; a file of the first two may be either."),
    text("ssl.truststore.location", None, "File of the truststore: whom we trust. Default: whom the system trusts; for listeners, the keystore."),
    secret("ssl.truststore.password", "Its password; PEM has none, and a JKS may be read without."),
    secret("ssl.truststore.certificates", "Whom we trust, as PEM in place of a file."),
    text(
        "ssl.enabled.protocols",
        Some("TLSv1.2,TLSv1.3"),
        "Versions of TLS. Connectors' clients must have TLSv1.2 among them, and speak TLSv1.3 whether it is or not.",
    ),
    text("ssl.protocol", Some("TLSv1.3"), "As in Java, without effect: `ssl.enabled.protocols` decides. What is no version of TLS is refused."),
    text("ssl.cipher.suites", None, "Cipher suites, by Java's names. Default: all that are safe. Connectors' clients have those of TLS 1.3 always."),
    text("ssl.endpoint.identification.algorithm", Some("https"), "Whether a broker's certificate must have its name: `https`, or nothing."),
    refused("ssl.provider", "another implementation of TLS cannot be chosen; leave it out", "Java's implementation of TLS."),
    refused("ssl.engine.factory.class", NO_CLASSES, "Java class that makes TLS."),
    text("ssl.keymanager.algorithm", None, JAVAS),
    text("ssl.trustmanager.algorithm", None, JAVAS),
    text("ssl.secure.random.implementation", None, JAVAS),
];
