//! Java's own store of keys and certificates (`sun.security.provider.JavaKeyStore`), read.
//!
//! Numbers are big-endian: magic, version (1 or 2), number of entries; an entry is a tag, its alias, a date, and either a protected key with its chain or
//! one certificate. At the end is a SHA-1 over the password and all of it. A key is protected by a stream of SHA-1 sums of the password and a salt.

use pkcs8::der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef};
use pkcs8::der::{Reader as _, SliceReader};
use sha1::{Digest, Sha1};

/// With what a store begins.
pub(super) const MAGIC: [u8; 4] = [0xFE, 0xED, 0xFE, 0xED];

/// What Java puts between the password and the store in its sum.
const WHITENER: &[u8] = b"Mighty Aphrodite";

/// Java's way of protecting keys.
const KEY_PROTECTOR: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.42.2.17.1.1");

/// Bytes of a SHA-1 sum, of a salt too.
const SUM: usize = 20;

/// Why a store is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JksError {
    /// Bytes are missing, or too many.
    #[error("it is damaged: it ends early, or has more than it says")]
    Damaged,
    /// Java's are 1 and 2.
    #[error("it has version {0}, which nobody knows")]
    Version(u32),
    /// Its sum is another.
    #[error("the password is wrong, or the file was changed")]
    WrongPassword,
}

/// An entry.
#[derive(Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// A protected key, and its certificates, the key's own first.
    Key {
        /// What [`unprotect`] takes.
        protected: &'a [u8],
        /// DER, the key's own first.
        chain: Vec<&'a [u8]>,
    },
    /// A certificate that is trusted.
    Trusted(&'a [u8]),
}

/// The entries, in their order. Without a password nothing says whether the file was changed, as in Java.
///
/// # Errors
/// [`JksError`].
pub fn read<'a>(store: &'a [u8], password: Option<&str>) -> Result<Vec<Entry<'a>>, JksError> {
    let (body, sum) = store.split_last_chunk::<SUM>().ok_or(JksError::Damaged)?;
    if let Some(password) = password {
        let computed = Sha1::new().chain_update(utf16(password)).chain_update(WHITENER).chain_update(body).finalize();
        if computed.as_slice() != sum {
            return Err(JksError::WrongPassword);
        }
    }
    let mut rest = Rest(body.strip_prefix(&MAGIC).ok_or(JksError::Damaged)?);
    let version = rest.number()?;
    if !(1..=2).contains(&version) {
        return Err(JksError::Version(version));
    }
    let mut entries = Vec::new();
    for _ in 0..rest.number()? {
        let tag = rest.number()?;
        rest.name()?;
        rest.take(8)?;
        entries.push(match tag {
            1 => {
                let protected = rest.sized()?;
                let mut chain = Vec::new();
                for _ in 0..rest.number()? {
                    chain.push(rest.certificate(version)?);
                }
                Entry::Key { protected, chain }
            }
            2 => Entry::Trusted(rest.certificate(version)?),
            _ => return Err(JksError::Damaged),
        });
    }
    if rest.0.is_empty() { Ok(entries) } else { Err(JksError::Damaged) }
}

/// The key itself, PKCS #8.
pub(super) fn unprotect(protected: &[u8], password: &str) -> Result<Vec<u8>, JksError> {
    let bytes = protected_bytes(protected).map_err(|_| JksError::Damaged)?;
    let (salt, rest) = bytes.split_first_chunk::<SUM>().ok_or(JksError::Damaged)?;
    let (hidden, sum) = rest.split_last_chunk::<SUM>().ok_or(JksError::Damaged)?;
    let password = utf16(password);
    let mut block = salt.to_vec();
    let mut key = Vec::with_capacity(hidden.len());
    for part in hidden.chunks(SUM) {
        block = Sha1::new().chain_update(&password).chain_update(&block).finalize().to_vec();
        key.extend(part.iter().zip(&block).map(|(hidden, mask)| hidden ^ mask));
    }
    let computed = Sha1::new().chain_update(&password).chain_update(&key).finalize();
    if computed.as_slice() == sum { Ok(key) } else { Err(JksError::WrongPassword) }
}

/// What `EncryptedPrivateKeyInfo` has, in Java's own algorithm.
fn protected_bytes(der: &[u8]) -> Result<&[u8], pkcs8::der::Error> {
    let mut reader = SliceReader::new(der)?;
    let bytes = reader.sequence(|info| {
        info.sequence(|algorithm| {
            let id: ObjectIdentifier = algorithm.decode()?;
            let _: Option<AnyRef<'_>> = algorithm.decode()?;
            if id == KEY_PROTECTOR { Ok(()) } else { Err(pkcs8::der::Error::from(pkcs8::der::ErrorKind::OidUnknown { oid: id })) }
        })?;
        Ok::<_, pkcs8::der::Error>(info.decode::<&OctetStringRef>()?.as_bytes())
    })?;
    reader.finish()?;
    Ok(bytes)
}

/// Passwords count as UTF-16.
fn utf16(password: &str) -> Vec<u8> {
    password.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

/// What is still to be read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], JksError> {
        let (taken, rest) = self.0.split_at_checked(length).ok_or(JksError::Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u32, JksError> {
        let (number, rest) = self.0.split_first_chunk().ok_or(JksError::Damaged)?;
        self.0 = rest;
        Ok(u32::from_be_bytes(*number))
    }

    /// Bytes behind their length.
    fn sized(&mut self) -> Result<&'a [u8], JksError> {
        let length = usize::try_from(self.number()?).map_err(|_| JksError::Damaged)?;
        self.take(length)
    }

    /// A text behind its length; it does not matter here.
    fn name(&mut self) -> Result<(), JksError> {
        let (length, rest) = self.0.split_first_chunk().ok_or(JksError::Damaged)?;
        self.0 = rest;
        self.take(usize::from(u16::from_be_bytes(*length))).map(drop)
    }

    /// A certificate; version 2 says of what kind it is.
    fn certificate(&mut self, version: u32) -> Result<&'a [u8], JksError> {
        if version == 2 {
            self.name()?;
        }
        self.sized()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEYS: &[u8] = include_bytes!("../../tests/tls/server.jks");
    const TRUSTED: &[u8] = include_bytes!("../../tests/tls/trust.jks");

    #[test]
    fn stores_of_keytool_are_read() {
        let entries = read(KEYS, Some("store-pass-1")).unwrap();
        let [Entry::Key { protected, chain }] = entries.as_slice() else { panic!("{entries:?}") };
        assert_eq!(chain.len(), 2);
        let key = unprotect(protected, "key-pass-2").unwrap();
        assert_eq!(pkcs8::PrivateKeyInfoRef::try_from(key.as_slice()).unwrap().algorithm.oid.to_string(), "1.2.840.10045.2.1", "an EC key");
        assert_eq!(unprotect(protected, "store-pass-1"), Err(JksError::WrongPassword));
        let trusted = read(TRUSTED, None).unwrap();
        assert_eq!(trusted, [Entry::Trusted(chain[1])], "the authority");
        assert_eq!(read(TRUSTED, Some("store-pass-1")).unwrap(), trusted);
    }

    #[test]
    fn what_is_no_store_is_refused() {
        let changed = |at: usize, to: u8| [&TRUSTED[..at], &[to], &TRUSTED[at + 1..]].concat();
        for (store, password, expected) in [
            (TRUSTED.to_vec(), Some("hunter2"), JksError::WrongPassword),
            (changed(200, 1), Some("store-pass-1"), JksError::WrongPassword),
            (changed(0, 1), None, JksError::Damaged),
            (changed(7, 3), None, JksError::Version(3)),
            (changed(11, 2), None, JksError::Damaged),
            (changed(11, 0), None, JksError::Damaged),
            (changed(15, 9), None, JksError::Damaged),
            (TRUSTED[..30].to_vec(), None, JksError::Damaged),
            (Vec::new(), None, JksError::Damaged),
        ] {
            assert_eq!(read(&store, password).unwrap_err(), expected, "{:?}", store.get(..16));
        }
    }

    proptest! {
        #[test]
        fn no_damage_stops_the_reader(at in 0..KEYS.len(), to: u8, end in 0..=KEYS.len()) {
            let mut store = KEYS.to_vec();
            store[at] = to;
            store.truncate(end);
            for entry in read(&store, None).unwrap_or_default() {
                if let Entry::Key { protected, .. } = entry {
                    drop(unprotect(protected, "key-pass-2"));
                }
            }
        }
    }
}
