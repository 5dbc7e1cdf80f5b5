//! The offset file of a standalone worker: the topic's keys and values in a file.
//!
//! Upstream's `FileOffsetBackingStore` writes a `HashMap<byte[], byte[]>` as Java serializes it. This is that one shape of Java's format, and nothing else of
//! it:
//!
//! ```text
//! AC ED 00 05                                                     the stream's magic and version
//! 73 72 "java.util.HashMap" 0507DAC1C31660D1 03 0002              an object of a class, with its two fields
//!    46 "loadFactor" 49 "threshold" 78 70  float int
//! 77 08 buckets:i32 entries:i32
//! { array | 71 handle | 70 }                                      key and value by turns: new bytes, bytes that were there already, null
//! 78
//!
//! array = 75 class length:i32 bytes      class = 72 "[B" ACF317F8060854E0 02 0000 78 70, and later 71 007E0002
//! ```

/// An entry's key and value, in the file's bytes; either may be null.
pub type Entry<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

/// Up to the values of the map's two fields.
const MAP: &[u8] = b"\xac\xed\x00\x05\x73\x72\x00\x11java.util.HashMap\x05\x07\xda\xc1\xc3\x16\x60\xd1\x03\x00\x02F\x00\x0aloadFactorI\x00\x09thresholdxp";
/// The class of `byte[]`.
const BYTES: &[u8] = b"\x72\x00\x02[B\xac\xf3\x17\xf8\x06\x08\x54\xe0\x02\x00\x00xp";
/// 0.75, as a float.
const LOAD_FACTOR: u32 = 0x3f40_0000;
/// Handles are numbered from here: the map's class, the map, the class of `byte[]`, then each array.
const FIRST_HANDLE: u32 = 0x007e_0000;
const BYTES_HANDLE: u32 = FIRST_HANDLE + 2;
const FIRST_ARRAY_HANDLE: u32 = FIRST_HANDLE + 3;

const NULL: u8 = 0x70;
const REFERENCE: u8 = 0x71;
const ARRAY: u8 = 0x75;
const BLOCK: u8 = 0x77;
const END: u8 = 0x78;

/// A file that is not what a standalone worker writes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the offset file cannot be read: {why} at byte {at} of {len}; if it was damaged, restore it or delete it: source connectors then begin anew")]
pub struct Malformed {
    why: String,
    at: usize,
    len: usize,
}

/// Reads a file's bytes. An empty file has no entries, as a worker leaves one that was killed before its first write.
///
/// # Errors
/// [`Malformed`].
pub fn read(bytes: &[u8]) -> Result<Vec<Entry<'_>>, Malformed> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let mut from = Reader { rest: bytes, len: bytes.len(), arrays: Vec::new(), has_class: false };
    from.expect(MAP, "there is no java.util.HashMap")?;
    from.number("the load factor")?;
    from.number("the threshold")?;
    from.expect(&[BLOCK, 8], "there is no size")?;
    from.number("the number of buckets")?;
    let entries = from.number("the number of entries")?;
    let mut found = Vec::new();
    for _ in 0..entries {
        found.push((from.value("a key")?, from.value("a value")?));
    }
    from.expect(&[END], "the entries do not end")?;
    Ok(found)
}

/// A file with these entries, as Java would write it.
#[must_use]
pub fn write(entries: &[Entry<'_>]) -> Vec<u8> {
    let mut out = MAP.to_vec();
    let (buckets, threshold) = table(entries.len());
    for number in [LOAD_FACTOR, threshold] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    out.extend_from_slice(&[BLOCK, 8]);
    for number in [buckets, length(entries.len())] {
        out.extend_from_slice(&number.to_be_bytes());
    }
    let mut has_class = false;
    for value in entries.iter().flat_map(|(key, value)| [key, value]) {
        let Some(bytes) = value else {
            out.push(NULL);
            continue;
        };
        out.push(ARRAY);
        if has_class {
            out.push(REFERENCE);
            out.extend_from_slice(&BYTES_HANDLE.to_be_bytes());
        } else {
            out.extend_from_slice(BYTES);
            has_class = true;
        }
        out.extend_from_slice(&length(bytes.len()).to_be_bytes());
        out.extend_from_slice(bytes);
    }
    out.push(END);
    out
}

/// A Java array has no more elements than that; keys and values are far smaller.
fn length(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}

/// Buckets and threshold of a map that has grown to this size: it doubles when it is more than three quarters full. One without entries has no table yet.
fn table(entries: usize) -> (u32, u32) {
    let mut buckets: u32 = 16;
    while u64::from(buckets) * 3 / 4 < u64::from(length(entries)) && buckets < 1 << 30 {
        buckets *= 2;
    }
    (buckets, if entries == 0 { 0 } else { buckets / 4 * 3 })
}

struct Reader<'a> {
    rest: &'a [u8],
    len: usize,
    arrays: Vec<&'a [u8]>,
    has_class: bool,
}

impl<'a> Reader<'a> {
    fn bad(&self, why: impl Into<String>) -> Malformed {
        Malformed { why: why.into(), at: self.len - self.rest.len(), len: self.len }
    }

    fn expect(&mut self, bytes: &[u8], otherwise: &str) -> Result<(), Malformed> {
        self.rest = self.rest.strip_prefix(bytes).ok_or_else(|| self.bad(otherwise))?;
        Ok(())
    }

    fn byte(&mut self, what: &str) -> Result<u8, Malformed> {
        let (byte, rest) = self.rest.split_first().ok_or_else(|| self.bad(format!("{what} is cut off")))?;
        self.rest = rest;
        Ok(*byte)
    }

    fn number(&mut self, what: &str) -> Result<u32, Malformed> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or_else(|| self.bad(format!("{what} is cut off")))?;
        self.rest = rest;
        Ok(u32::from_be_bytes(*bytes))
    }

    /// A key or a value.
    fn value(&mut self, what: &str) -> Result<Option<&'a [u8]>, Malformed> {
        match self.byte(what)? {
            NULL => Ok(None),
            ARRAY => self.array(what).map(Some),
            REFERENCE => {
                let handle = self.number(what)?;
                let at = handle.checked_sub(FIRST_ARRAY_HANDLE).and_then(|at| usize::try_from(at).ok());
                let bytes = at.and_then(|at| self.arrays.get(at)).ok_or_else(|| self.bad(format!("{what} refers to {handle:08x}, which is no byte[]")))?;
                Ok(Some(bytes))
            }
            other => Err(self.bad(format!("{what} is no byte[] but begins with {other:02x}"))),
        }
    }

    fn array(&mut self, what: &str) -> Result<&'a [u8], Malformed> {
        if self.has_class {
            let class = [&[REFERENCE][..], &BYTES_HANDLE.to_be_bytes()].concat();
            self.expect(&class, "there is an array of another class than byte[]")?;
        } else {
            self.expect(BYTES, "there is an array of another class than byte[]")?;
            self.has_class = true;
        }
        let len = self.number(what)?;
        let len = usize::try_from(len).map_err(|_| self.bad(format!("{what} has {len} bytes")))?;
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or_else(|| self.bad(format!("{what} has {len} bytes and is cut off")))?;
        self.rest = rest;
        self.arrays.push(bytes);
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn from_hex(text: &str) -> Vec<u8> {
        let text: String = text.split_whitespace().collect();
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn entry<'a>(key: &'a str, value: Option<&'a str>) -> Entry<'a> {
        (Some(key.as_bytes()), value.map(str::as_bytes))
    }

    const HEAD: &str = "aced0005737200116a6176612e7574696c2e486173684d61700507dac1c31660d103000246000a6c6f6164466163746f724900097468726573686f6c6478703f400000";
    const CLASS: &str = "757200025b42acf317f8060854e00200007870";

    /// As Java has serialized it: an offset that was deleted, and one that was not.
    #[test]
    fn a_file_of_java_is_read_and_written_to_the_byte() {
        let file = format!(
            "{HEAD}0000000c77080000001000000002{CLASS}000000245b226673222c7b2266696c656e616d65223a222f646174612f676f6e652e747874227d5d707571007e0002000000225b\
             226673222c7b2266696c656e616d65223a222f646174612f696e2e747874227d5d7571007e00020000000f7b22706f736974696f6e223a33307d78"
        );
        let entries = [entry(r#"["fs",{"filename":"/data/gone.txt"}]"#, None), entry(r#"["fs",{"filename":"/data/in.txt"}]"#, Some(r#"{"position":30}"#))];
        assert_eq!(read(&from_hex(&file)), Ok(entries.to_vec()));
        assert_eq!(hex(&write(&entries)), file);
    }

    /// A value that two keys share is in the file once.
    #[test]
    fn arrays_that_java_has_written_already_are_read() {
        let file = format!("{HEAD}0000000c7708000000100000000270{CLASS}0000000f7b22706f736974696f6e223a33307d7571007e0002000000016271007e000378");
        let position = Some(&br#"{"position":30}"#[..]);
        assert_eq!(read(&from_hex(&file)), Ok(vec![(None, position), (Some(&b"b"[..]), position)]));
    }

    #[test]
    fn maps_have_the_table_that_java_gives_them() {
        for (entries, buckets, threshold) in [(0, 16, 0), (1, 16, 12), (12, 16, 12), (13, 32, 24), (24, 32, 24), (25, 64, 48), (1000, 2048, 1536)] {
            assert_eq!(table(entries), (buckets, threshold), "{entries}");
        }
        assert_eq!(hex(&write(&[])), format!("{HEAD}000000007708000000100000000078"));
        assert_eq!(read(&write(&[])), Ok(vec![]));
        assert_eq!(read(&[]), Ok(vec![]));
    }

    #[test]
    fn what_is_no_such_file_is_told_with_its_place() {
        for (file, why) in [
            ("{\"json\":1}".as_bytes().to_vec(), "there is no java.util.HashMap at byte 0 of 10"),
            (from_hex(&format!("{HEAD} 0000")), "the threshold is cut off at byte 67 of 69"),
            (from_hex(&format!("{HEAD} 0000000c 77 09")), "there is no size at byte 71 of 73"),
            (from_hex(&format!("{HEAD} 0000000c 77080000001000000001")), "a key is cut off at byte 81 of 81"),
            (from_hex(&format!("{HEAD} 0000000c 77080000001000000001 74 0001 61")), "a key is no byte[] but begins with 74 at byte 82 of 85"),
            (from_hex(&format!("{HEAD} 0000000c 77080000001000000001 71 007e0001")), "a key refers to 007e0001, which is no byte[] at byte 86 of 86"),
            (from_hex(&format!("{HEAD} 0000000c 77080000001000000001 {CLASS} 00000003 61")), "a key has 3 bytes and is cut off at byte 104 of 105"),
            (from_hex(&format!("{HEAD} 0000000c 77080000001000000001 70 70 70")), "the entries do not end at byte 83 of 84"),
        ] {
            let error = read(&file).expect_err(why).to_string();
            assert!(error.starts_with(&format!("the offset file cannot be read: {why};")), "{error}");
        }
    }

    fn borrowed(entries: &[(Option<Vec<u8>>, Option<Vec<u8>>)]) -> Vec<Entry<'_>> {
        entries.iter().map(|(key, value)| (key.as_deref(), value.as_deref())).collect()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(entries: Vec<(Option<Vec<u8>>, Option<Vec<u8>>)>) {
            let entries = borrowed(&entries);
            let file = write(&entries);
            prop_assert_eq!(read(&file), Ok(entries));
        }

        #[test]
        fn no_damage_makes_it_panic(entries: Vec<(Option<Vec<u8>>, Option<Vec<u8>>)>, at: prop::sample::Index, with: u8, cut: prop::sample::Index) {
            let mut file = write(&borrowed(&entries));
            *at.get_mut(&mut file) = with;
            file.truncate(cut.index(file.len()));
            prop_assert!(file.is_empty() || read(&file).is_err_and(|error| error.at <= file.len()), "a file that is cut off is refused");
        }

        #[test]
        fn no_bytes_after_the_head_make_it_panic(bytes: Vec<u8>) {
            let file = [MAP, &[0; 8], &[BLOCK, 8, 0, 0, 0, 16, 0, 0, 0, 9], &bytes].concat();
            prop_assert!(read(&file).map_or_else(|error| error.at <= file.len(), |entries| entries.len() == 9));
        }
    }
}
