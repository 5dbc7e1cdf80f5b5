//! Requests between workers, and the key that signs them: KIP-507.
//!
//! The leader makes a key and writes it to the config topic, which only workers can read; whoever signs a request with it is a worker. The signature is the
//! MAC of the request's body and stands in two headers. A key is replaced when it is old, or when the worker's settings ask for another kind.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512, Sha512_224, Sha512_256};
use subtle::ConstantTimeEq;

/// The header with the signature, in base64.
pub const SIGNATURE_HEADER: &str = "X-Connect-Authorization";
/// The header with the name of the signature's algorithm.
pub const ALGORITHM_HEADER: &str = "X-Connect-Request-Signature-Algorithm";

/// Base64 as Java reads it: padding may be missing.
pub(super) const BASE64: GeneralPurpose =
    GeneralPurpose::new(&STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true));

/// Fewer bits are no key: the least that Java makes.
const LEAST_KEY_BITS: u32 = 40;

/// An algorithm for keys and signatures, under its name in Java.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// `HmacMD5`.
    Md5,
    /// `HmacSHA1`.
    Sha1,
    /// `HmacSHA224`.
    Sha224,
    /// `HmacSHA256`, upstream's default.
    Sha256,
    /// `HmacSHA384`.
    Sha384,
    /// `HmacSHA512`.
    Sha512,
    /// `HmacSHA512/224`.
    Sha512Cut224,
    /// `HmacSHA512/256`.
    Sha512Cut256,
}

/// All of them.
pub const ALGORITHMS: &[Algorithm] = &[
    Algorithm::Md5,
    Algorithm::Sha1,
    Algorithm::Sha224,
    Algorithm::Sha256,
    Algorithm::Sha384,
    Algorithm::Sha512,
    Algorithm::Sha512Cut224,
    Algorithm::Sha512Cut256,
];

impl Algorithm {
    /// Its name in Java.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "HmacMD5",
            Self::Sha1 => "HmacSHA1",
            Self::Sha224 => "HmacSHA224",
            Self::Sha256 => "HmacSHA256",
            Self::Sha384 => "HmacSHA384",
            Self::Sha512 => "HmacSHA512",
            Self::Sha512Cut224 => "HmacSHA512/224",
            Self::Sha512Cut256 => "HmacSHA512/256",
        }
    }

    /// The algorithm of this name, in letters of any case, as Java finds it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        ALGORITHMS.iter().copied().find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    /// Bits of a key where `inter.worker.key.size` is not set.
    #[must_use]
    pub fn default_key_bits(self) -> u32 {
        match self {
            Self::Md5 | Self::Sha1 | Self::Sha512 => 512,
            Self::Sha224 | Self::Sha512Cut224 => 224,
            Self::Sha256 | Self::Sha512Cut256 => 256,
            Self::Sha384 => 384,
        }
    }

    fn mac(self, key: &[u8], body: &[u8]) -> Vec<u8> {
        match self {
            Self::Md5 => digest::<Hmac<Md5>>(key, body),
            Self::Sha1 => digest::<Hmac<Sha1>>(key, body),
            Self::Sha224 => digest::<Hmac<Sha224>>(key, body),
            Self::Sha256 => digest::<Hmac<Sha256>>(key, body),
            Self::Sha384 => digest::<Hmac<Sha384>>(key, body),
            Self::Sha512 => digest::<Hmac<Sha512>>(key, body),
            Self::Sha512Cut224 => digest::<Hmac<Sha512_224>>(key, body),
            Self::Sha512Cut256 => digest::<Hmac<Sha512_256>>(key, body),
        }
    }
}

fn digest<M: Mac + KeyInit>(key: &[u8], body: &[u8]) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "HMAC is defined for keys of every length")]
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(body);
    mac.finalize().into_bytes().to_vec()
}

/// A key that the members of a group share.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey {
    algorithm: Arc<str>,
    secret: Arc<[u8]>,
    created_ms: i64,
}

impl fmt::Debug for SessionKey {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { algorithm, secret, created_ms } = self;
        write!(f, "SessionKey({algorithm}, {} bits, created at {created_ms})", secret.len() * 8)
    }
}

impl SessionKey {
    /// A key that was read.
    #[must_use]
    pub fn new(algorithm: impl Into<Arc<str>>, secret: impl Into<Arc<[u8]>>, created_ms: i64) -> Self {
        Self { algorithm: algorithm.into(), secret: secret.into(), created_ms }
    }

    /// A new key, from the system's source of randomness.
    ///
    /// # Errors
    /// The size cannot be had, or the system has no randomness to give.
    pub fn generate(kind: KeyKind, now_ms: i64) -> Result<Self, String> {
        let mut secret = vec![0; kind.bytes()?];
        getrandom::fill(&mut secret)
            .map_err(|error| format!("no key for the requests between workers can be made: the system gives no random numbers: {error}"))?;
        Ok(Self::new(kind.algorithm.name(), secret, now_ms))
    }

    /// The name of the algorithm that it was made for.
    #[must_use]
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// The key itself; it is for the config topic alone.
    #[must_use]
    pub fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// When it was made, in ms.
    #[must_use]
    pub fn created_ms(&self) -> i64 {
        self.created_ms
    }

    /// When it is to be replaced; `None` = never (`inter.worker.key.ttl.ms` is 0).
    #[must_use]
    pub fn expires_ms(&self, ttl_ms: u32) -> Option<i64> {
        (ttl_ms > 0).then(|| self.created_ms.saturating_add(i64::from(ttl_ms)))
    }

    /// The value of [`SIGNATURE_HEADER`] for a request with this body; without a body, the empty one.
    #[must_use]
    pub fn sign(&self, algorithm: Algorithm, body: &[u8]) -> String {
        BASE64.encode(algorithm.mac(&self.secret, body))
    }
}

/// What keys a worker's settings ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyKind {
    /// `inter.worker.key.generation.algorithm`.
    pub algorithm: Algorithm,
    /// `inter.worker.key.size`.
    pub bits: Option<u32>,
}

impl KeyKind {
    /// The bytes of such a key. As Java, it rounds up to whole bytes.
    ///
    /// # Errors
    /// It is too small, for `inter.worker.key.size` to be corrected.
    pub fn bytes(self) -> Result<usize, String> {
        let bits = self.bits.unwrap_or_else(|| self.algorithm.default_key_bits());
        if !(LEAST_KEY_BITS..=1 << 20).contains(&bits) {
            return Err(format!(
                "inter.worker.key.size is {bits}: a key for {} has at least {LEAST_KEY_BITS} bits and at most {}",
                self.algorithm.name(),
                1 << 20
            ));
        }
        usize::try_from(bits.div_ceil(8)).map_err(|error| error.to_string())
    }
}

/// Why the leader makes a new key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// There is none.
    Missing,
    /// It is older than `inter.worker.key.ttl.ms`.
    Expired,
    /// It is of another algorithm or size than the leader's settings say.
    OtherKind,
}

/// Why a leader whose group signs its requests must write a new key now; `None` if it need not.
#[must_use]
pub fn rotation(key: Option<&SessionKey>, kind: KeyKind, ttl_ms: u32, now_ms: i64) -> Option<Rotation> {
    let Some(key) = key else { return Some(Rotation::Missing) };
    if key.expires_ms(ttl_ms).is_some_and(|expires| expires <= now_ms) {
        return Some(Rotation::Expired);
    }
    let same = *key.algorithm == *kind.algorithm.name() && kind.bytes().is_ok_and(|bytes| bytes == key.secret.len());
    (!same).then_some(Rotation::OtherKind)
}

/// A request that is not carried out: a status and a message for the caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// Upstream's text.
    pub message: String,
}

impl Refusal {
    fn new(status: u16, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }
}

/// What a request's two headers say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    algorithm: Algorithm,
    /// As the header has it: the permitted names are compared with its letters.
    name: String,
    mac: Vec<u8>,
}

impl Signature {
    /// Reads the headers; `None` if one is missing. Headers that mean nothing are refused also where no signature is needed.
    ///
    /// # Errors
    /// [`Refusal`] with 400.
    pub fn from_headers(signature: Option<&str>, algorithm: Option<&str>) -> Result<Option<Self>, Refusal> {
        let (Some(signature), Some(name)) = (signature, algorithm) else { return Ok(None) };
        let algorithm = Algorithm::from_name(name).ok_or_else(|| Refusal::new(400, format!("Algorithm {name} not available")))?;
        let refused = |error| match error {
            // As Java's decoder says it, in hexadecimal.
            base64::DecodeError::InvalidByte(_, byte) => Refusal::new(400, format!("Illegal base64 character {byte:x}")),
            _ => Refusal::new(400, format!("The header {SIGNATURE_HEADER} is not base64")),
        };
        let mac = BASE64.decode(signature).map_err(refused)?;
        Ok(Some(Self { algorithm, name: name.to_owned(), mac }))
    }
}

/// Whether a request with this body comes from a worker. Only a group whose members agreed on signed requests asks.
///
/// # Errors
/// [`Refusal`]: 400 without a signature or with one of an algorithm that is not in `permitted` (`inter.worker.verification.algorithms`), 503 before a key was
/// read, 403 when it was made with another key or for another body.
pub fn verify(signature: Option<&Signature>, permitted: &[String], key: Option<&SessionKey>, body: &[u8]) -> Result<(), Refusal> {
    let Some(signature) = signature else { return Err(Refusal::new(400, "Internal request missing required signature")) };
    if !permitted.contains(&signature.name) {
        let message = format!(
            "This worker does not support the '{}' key signing algorithm used by other workers. This worker is currently configured to use: [{}]. Check that all \
             workers' configuration files permit the same set of signature algorithms, and correct any misconfigured worker and restart it.",
            signature.name,
            permitted.join(", ")
        );
        return Err(Refusal::new(400, message));
    }
    let Some(key) = key else {
        return Err(Refusal::new(503, "This worker is still starting up and has not been able to read a session key from the config topic yet"));
    };
    let expected = signature.algorithm.mac(&key.secret, body);
    if bool::from(expected.ct_eq(&signature.mac)) { Ok(()) } else { Err(Refusal::new(403, "Internal request contained invalid signature.")) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KIND: KeyKind = KeyKind { algorithm: Algorithm::Sha256, bits: None };

    fn key(secret: &[u8]) -> SessionKey {
        SessionKey::new("HmacSHA256", secret, 1000)
    }

    fn hex(text: &str) -> String {
        BASE64.decode(text).expect("base64").iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// RFC 2104 and RFC 4231, test case 2; the last two are Java's.
    #[test]
    fn signatures_are_those_of_the_standards() {
        for (name, expected) in [
            ("HmacMD5", "750c783e6ab0b503eaa86e310a5db738"),
            ("HmacSHA1", "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            ("HmacSHA224", "a30e01098bc6dbbf45690f3a7e9e6d0f8bbea2a39e6148008fd05e44"),
            ("HmacSHA256", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
            ("HmacSHA384", "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e8e2240ca5e69e2c78b3239ecfab21649"),
            ("HmacSHA512", "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"),
            ("HmacSHA512/224", "4a530b31a79ebcce36916546317c45f247d83241dfb818fd37254bde"),
            ("HmacSHA512/256", "6df7b24630d5ccb2ee335407081a87188c221489768fa2020513b2d593359456"),
        ] {
            let algorithm = Algorithm::from_name(name).expect(name);
            assert_eq!(hex(&key(b"Jefe").sign(algorithm, b"what do ya want for nothing?")), expected, "{name}");
        }
    }

    #[test]
    fn what_verification_answers() {
        let key = key(b"secret");
        let signed = |algorithm: Algorithm, body: &[u8]| (key.sign(algorithm, body), algorithm.name());
        let good = signed(Algorithm::Sha256, b"[{}]");
        let other_body = signed(Algorithm::Sha256, b"[]");
        let other_algorithm = signed(Algorithm::Sha1, b"[{}]");
        let cases: [(&str, Option<&str>, Option<&str>, bool, u16); 9] = [
            ("signed", Some(&good.0), Some(good.1), true, 200),
            ("no signature", None, Some(good.1), true, 400),
            ("no algorithm", Some(&good.0), None, true, 400),
            ("an algorithm that nobody knows", Some(&good.0), Some("HmacFoo"), true, 400),
            ("no base64", Some("?"), Some(good.1), true, 400),
            ("an algorithm that is not permitted", Some(&other_algorithm.0), Some(other_algorithm.1), true, 400),
            ("no key yet", Some(&good.0), Some(good.1), false, 503),
            ("for another body", Some(&other_body.0), Some(other_body.1), true, 403),
            ("not permitted comes before no key", Some(&other_algorithm.0), Some(other_algorithm.1), false, 400),
        ];
        for (case, signature, algorithm, has_key, status) in cases {
            let read = Signature::from_headers(signature, algorithm);
            let answer = read.and_then(|read| verify(read.as_ref(), &["HmacSHA256".to_owned()], has_key.then_some(&key), b"[{}]"));
            assert_eq!(answer.as_ref().err().map_or(200, |refusal| refusal.status), status, "{case}: {answer:?}");
        }
        assert_eq!(Signature::from_headers(None, Some("HmacFoo")), Ok(None), "an incomplete pair says nothing");
    }

    #[test]
    fn a_fence_request_is_signed_over_no_bytes() {
        let key = key(b"secret");
        let signature = Signature::from_headers(Some(&key.sign(Algorithm::Sha256, b"")), Some("HmacSHA256")).expect("headers");
        assert_eq!(verify(signature.as_ref(), &["HmacSHA256".to_owned()], Some(&key), &[]), Ok(()));
    }

    #[test]
    fn when_the_leader_makes_another_key() {
        let key = SessionKey::new("HmacSHA256", vec![0; 32], 1000);
        let kind = |algorithm, bits| KeyKind { algorithm, bits };
        for (held, kind, ttl_ms, now_ms, expected) in [
            (None, KIND, 500, 0, Some(Rotation::Missing)),
            (Some(&key), KIND, 500, 1499, None),
            (Some(&key), KIND, 500, 1500, Some(Rotation::Expired)),
            (Some(&key), KIND, 0, i64::MAX, None),
            (Some(&key), kind(Algorithm::Sha1, Some(256)), 500, 1000, Some(Rotation::OtherKind)),
            (Some(&key), kind(Algorithm::Sha256, Some(512)), 500, 1000, Some(Rotation::OtherKind)),
            (Some(&key), kind(Algorithm::Sha256, Some(250)), 500, 1000, None),
        ] {
            assert_eq!(rotation(held, kind, ttl_ms, now_ms), expected, "{kind:?} {ttl_ms} {now_ms}");
        }
    }

    #[test]
    fn generated_keys_have_javas_sizes_and_never_show_themselves() {
        for (name, bytes) in [
            ("HmacMD5", 64),
            ("HmacSHA1", 64),
            ("HmacSHA224", 28),
            ("HmacSHA256", 32),
            ("HmacSHA384", 48),
            ("HmacSHA512", 64),
            ("HmacSHA512/224", 28),
            ("hmacsha512/256", 32),
        ] {
            let kind = KeyKind { algorithm: Algorithm::from_name(name).expect(name), bits: None };
            let key = SessionKey::generate(kind, 5).expect("a key");
            assert_eq!((key.secret().len(), key.created_ms(), key.algorithm()), (bytes, 5, kind.algorithm.name()));
            assert_eq!(rotation(Some(&key), kind, 1, 5), None);
            assert_ne!(key, SessionKey::generate(kind, 5).expect("a key"), "two keys are never the same");
        }
        let shown = format!("{:?}", SessionKey::new("HmacSHA256", &b"SECRET"[..], 7));
        assert_eq!(shown, "SessionKey(HmacSHA256, 48 bits, created at 7)");
        let error = SessionKey::generate(KeyKind { bits: Some(39), ..KIND }, 0).expect_err("too small");
        assert!(error.starts_with("inter.worker.key.size is 39: a key for HmacSHA256 has at least 40 bits"), "{error}");
    }

    #[test]
    fn base64_is_read_as_java_reads_it() {
        for (text, bytes) in [("YQ==", Some("a")), ("YQ", Some("a")), ("YR==", Some("a")), ("Y Q==", None), ("Y", None), ("", Some(""))] {
            assert_eq!(BASE64.decode(text).ok().as_deref(), bytes.map(str::as_bytes), "{text}");
        }
    }

    proptest! {
        #[test]
        fn only_the_key_and_the_body_that_signed_verify(secret in proptest::collection::vec(any::<u8>(), 1..80), body: Vec<u8>, other: Vec<u8>, which in 0..8_usize) {
            let key = SessionKey::new("HmacSHA256", secret.clone(), 0);
            let algorithm = ALGORITHMS[which];
            let signature = Signature::from_headers(Some(&key.sign(algorithm, &body)), Some(algorithm.name())).expect("headers");
            let permitted = [algorithm.name().to_owned()];
            prop_assert_eq!(verify(signature.as_ref(), &permitted, Some(&key), &body), Ok(()));
            if body != other {
                prop_assert_eq!(verify(signature.as_ref(), &permitted, Some(&key), &other).map_err(|refusal| refusal.status), Err(403));
            }
            let mut wrong = secret;
            wrong[0] ^= 1;
            let wrong = SessionKey::new("HmacSHA256", wrong, 0);
            prop_assert_eq!(verify(signature.as_ref(), &permitted, Some(&wrong), &body).map_err(|refusal| refusal.status), Err(403));
        }

        #[test]
        fn no_header_makes_it_panic(signature in ".*", algorithm in "(Hmac)?[a-zA-Z0-9/]*") {
            let read = Signature::from_headers(Some(&signature), Some(&algorithm));
            prop_assert!(read.is_err_and(|refusal| refusal.status == 400) || Algorithm::from_name(&algorithm).is_some());
        }
    }
}
