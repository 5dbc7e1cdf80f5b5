//! The bytes that members and the leader of a Connect group exchange: what a member says of itself, and what it is given.
//!
//! ```text
//! metadata   v0    version:i16 url:string offset:i64
//!            v1 v2 version:i16 url:string offset:i64 allocation:bytes?        the member's whole assignment, as below
//! assignment v0    version:i16 error:i16 leader:string leader-url:string offset:i64 [ work ]            all of it
//!            v1 v2 version:i16 error:i16 leader:string leader-url:string offset:i64 [ work ]? [ work ]? delay:i32   what is new, what is to end
//! work             connector:string [ task:i32 ]                              -1 = the connector's instance
//! ```
//! Numbers are big endian; a string has its length as i16 before it, bytes and arrays as i32, -1 = null where there is a `?`. As upstream's, the readers take
//! any version that is not negative and miss no field at the end, so that one reader does for all versions, present and future.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{TaskId, Work};

/// The type of the group's protocol, as brokers know it.
pub const PROTOCOL_TYPE: &str = "connect";
/// [`Assignment::error`] of an assignment that can be carried out.
pub const NO_ERROR: i16 = 0;
/// [`Assignment::error`] where the leader had not read as much of the config topic as others: everybody reads on and joins again.
pub const CONFIG_MISMATCH: i16 = 1;
/// The number that stands for a connector's instance among the numbers of its tasks.
const INSTANCE: i32 = -1;

/// How a group agrees: `connect.protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// Everything stops, and is given out anew.
    Eager,
    /// Members keep what they have until the leader takes it from them.
    Compatible,
    /// The same, with signed requests between workers.
    Sessioned,
}

impl Protocol {
    /// Its name in JoinGroup: the eager one's is `default`.
    #[must_use]
    pub fn wire_name(self) -> &'static str {
        match self {
            Self::Eager => "default",
            Self::Compatible => "compatible",
            Self::Sessioned => "sessioned",
        }
    }

    /// The one that a coordinator has chosen.
    #[must_use]
    pub fn from_wire_name(name: &str) -> Option<Self> {
        [Self::Eager, Self::Compatible, Self::Sessioned].into_iter().find(|protocol| protocol.wire_name() == name)
    }

    /// The value of `connect.protocol`, in letters of any case.
    #[must_use]
    pub fn from_setting(value: &str) -> Option<Self> {
        match value.to_ascii_lowercase().as_str() {
            "eager" => Some(Self::Eager),
            "compatible" => Some(Self::Compatible),
            "sessioned" => Some(Self::Sessioned),
            _ => None,
        }
    }

    /// The version in the bytes.
    #[must_use]
    pub fn version(self) -> i16 {
        match self {
            Self::Eager => 0,
            Self::Compatible => 1,
            Self::Sessioned => 2,
        }
    }

    /// What a worker with this setting offers when it joins, best first.
    #[must_use]
    pub fn offers(self) -> &'static [Self] {
        match self {
            Self::Eager => &[Self::Eager],
            Self::Compatible => &[Self::Compatible, Self::Eager],
            Self::Sessioned => &[Self::Sessioned, Self::Compatible, Self::Eager],
        }
    }
}

/// Bytes that are no metadata or assignment.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {what} cannot be read: {why} at byte {at} of {len}; is a program that is no Connect worker a member of the group?")]
pub struct Malformed {
    what: &'static str,
    why: String,
    at: usize,
    len: usize,
}

/// What a member says of itself when it joins: upstream's `ExtendedWorkerState`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Where its REST API is, with a `/` at the end.
    pub url: String,
    /// How far it has read the config topic: [`super::configs::Snapshot::offset`].
    pub config_offset: i64,
    /// All that it has, as it was assigned; `None` if nothing yet, and always in the eager protocol.
    pub allocation: Option<Assignment>,
}

impl Metadata {
    /// Its bytes in this protocol.
    #[must_use]
    pub fn to_bytes(&self, protocol: Protocol) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        put_i16(&mut out, protocol.version());
        put_string(&mut out, &self.url);
        put_i64(&mut out, self.config_offset);
        if protocol != Protocol::Eager {
            match &self.allocation {
                Some(allocation) => {
                    let bytes = allocation.to_bytes(protocol);
                    put_len(&mut out, bytes.len());
                    out.extend_from_slice(&bytes);
                }
                None => put_i32(&mut out, -1),
            }
        }
        out
    }

    /// Names and bytes for JoinGroup, for a worker with this `connect.protocol`.
    #[must_use]
    pub fn offers(&self, setting: Protocol) -> Vec<(&'static str, Vec<u8>)> {
        setting.offers().iter().map(|protocol| (protocol.wire_name(), self.to_bytes(*protocol))).collect()
    }

    /// Reads metadata of any version.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut from = Reader::new("metadata of a member", bytes)?;
        let url = from.string("the url")?;
        let config_offset = from.i64("the config offset")?;
        let allocation = if from.is_at_end() { None } else { from.bytes("the allocation")? };
        Ok(Self { url, config_offset, allocation: allocation.map(Assignment::parse).transpose()? })
    }
}

/// What a member is given: upstream's `ExtendedAssignment`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Assignment {
    /// [`NO_ERROR`], [`CONFIG_MISMATCH`], or what a newer leader says.
    pub error: i16,
    /// The leader's member id.
    pub leader: String,
    /// Where the leader's REST API is.
    pub leader_url: String,
    /// How much of the config topic one must have read to understand this assignment.
    pub config_offset: i64,
    /// What is assigned: what is new where members keep what they have, otherwise everything.
    pub assigned: Work,
    /// What must end, to be given to others in the next round.
    pub revoked: Work,
    /// Milliseconds after which to join again, 0 = not by the clock.
    pub delay_ms: i32,
}

impl Assignment {
    /// True when it cannot be carried out.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.error != NO_ERROR
    }

    /// What a member has after this assignment, if it had `before` and keeps what it has: without what is revoked, with what is new.
    #[must_use]
    pub fn on_top_of(mut self, before: Option<&Self>) -> Self {
        if let Some(before) = before {
            self.assigned.add(&before.assigned.without(&[&self.revoked]));
        }
        self
    }

    /// Its bytes in this protocol.
    #[must_use]
    pub fn to_bytes(&self, protocol: Protocol) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        put_i16(&mut out, protocol.version());
        put_i16(&mut out, self.error);
        put_string(&mut out, &self.leader);
        put_string(&mut out, &self.leader_url);
        put_i64(&mut out, self.config_offset);
        put_work(&mut out, &self.assigned);
        if protocol != Protocol::Eager {
            put_work(&mut out, &self.revoked);
            put_i32(&mut out, self.delay_ms);
        }
        out
    }

    /// Reads an assignment of any version.
    ///
    /// # Errors
    /// [`Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut from = Reader::new("assignment", bytes)?;
        Ok(Self {
            error: from.i16("the error")?,
            leader: from.string("the leader")?,
            leader_url: from.string("the leader's url")?,
            config_offset: from.i64("the config offset")?,
            assigned: from.work("what is assigned")?,
            revoked: from.work("what is revoked")?,
            delay_ms: if from.is_at_end() { 0 } else { from.i32("the delay")? },
        })
    }
}

fn put_i16(out: &mut Vec<u8>, value: i16) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put_i32(out: &mut Vec<u8>, value: i32) {
    out.extend_from_slice(&value.to_be_bytes());
}

fn put_i64(out: &mut Vec<u8>, value: i64) {
    out.extend_from_slice(&value.to_be_bytes());
}

/// The length of bytes or an array. A group's state is far below the limit: a broker refuses messages of more than some megabytes.
fn put_len(out: &mut Vec<u8>, len: usize) {
    put_i32(out, i32::try_from(len).unwrap_or(i32::MAX));
}

/// A string; what is beyond the 32767 bytes that the format can say is cut off at a character. Names that long cannot be created.
fn put_string(out: &mut Vec<u8>, text: &str) {
    let kept = text.get(..text.floor_char_boundary(text.len().min(i16::MAX.unsigned_abs().into()))).unwrap_or_default();
    put_i16(out, i16::try_from(kept.len()).unwrap_or(i16::MAX));
    out.extend_from_slice(kept.as_bytes());
}

/// As upstream orders it: connectors whose instance is meant, each with its tasks; then those of which there are only tasks.
fn put_work(out: &mut Vec<u8>, work: &Work) {
    let mut tasks: BTreeMap<&Arc<str>, Vec<i32>> = BTreeMap::new();
    for TaskId { connector, task } in &work.tasks {
        tasks.entry(connector).or_default().push(i32::try_from(*task).unwrap_or(i32::MAX));
    }
    let with_instance = work.connectors.iter().map(|connector| (connector, [&[INSTANCE][..], tasks.get(connector).map_or(&[], Vec::as_slice)].concat()));
    let without = tasks.iter().filter(|(connector, _)| !work.connectors.contains(**connector)).map(|(connector, tasks)| (*connector, tasks.clone()));
    let entries: Vec<_> = with_instance.chain(without).collect();
    put_len(out, entries.len());
    for (connector, numbers) in entries {
        put_string(out, connector);
        put_len(out, numbers.len());
        numbers.into_iter().for_each(|number| put_i32(out, number));
    }
}

/// Reads from the front; knows where it is, for messages.
struct Reader<'a> {
    what: &'static str,
    rest: &'a [u8],
    len: usize,
}

impl<'a> Reader<'a> {
    /// Past the version, which no reader needs.
    fn new(what: &'static str, bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut from = Self { what, rest: bytes, len: bytes.len() };
        let version = from.i16("the version")?;
        if version < 0 { Err(from.bad(format!("version {version}"))) } else { Ok(from) }
    }

    fn bad(&self, why: String) -> Malformed {
        Malformed { what: self.what, why, at: self.len - self.rest.len(), len: self.len }
    }

    fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    fn array<const N: usize>(&mut self, field: &str) -> Result<[u8; N], Malformed> {
        let (head, rest) = self.rest.split_first_chunk().ok_or_else(|| self.bad(format!("{field} is cut off")))?;
        self.rest = rest;
        Ok(*head)
    }

    fn i16(&mut self, field: &str) -> Result<i16, Malformed> {
        self.array(field).map(i16::from_be_bytes)
    }

    fn i32(&mut self, field: &str) -> Result<i32, Malformed> {
        self.array(field).map(i32::from_be_bytes)
    }

    fn i64(&mut self, field: &str) -> Result<i64, Malformed> {
        self.array(field).map(i64::from_be_bytes)
    }

    fn take(&mut self, len: usize, field: &str) -> Result<&'a [u8], Malformed> {
        let (head, rest) = self.rest.split_at_checked(len).ok_or_else(|| self.bad(format!("{field} has {len} bytes and is cut off")))?;
        self.rest = rest;
        Ok(head)
    }

    fn string(&mut self, field: &str) -> Result<String, Malformed> {
        let len = self.i16(field)?;
        let len = usize::try_from(len).map_err(|_| self.bad(format!("{field} has {len} bytes")))?;
        Ok(String::from_utf8_lossy(self.take(len, field)?).into_owned())
    }

    fn bytes(&mut self, field: &str) -> Result<Option<&'a [u8]>, Malformed> {
        let Ok(len) = usize::try_from(self.i32(field)?) else { return Ok(None) };
        self.take(len, field).map(Some)
    }

    /// Nothing where the bytes end or say null.
    fn work(&mut self, field: &str) -> Result<Work, Malformed> {
        let mut work = Work::default();
        if self.is_at_end() {
            return Ok(work);
        }
        for _ in 0..self.i32(field)?.max(0) {
            let connector: Arc<str> = self.string(field)?.into();
            for _ in 0..self.i32(field)?.max(0) {
                match self.i32(field)? {
                    INSTANCE => drop(work.connectors.insert(Arc::clone(&connector))),
                    number => {
                        let task = u32::try_from(number).map_err(|_| self.bad(format!("{field} has task {number} of {connector:?}")))?;
                        work.tasks.insert(TaskId { connector: Arc::clone(&connector), task });
                    }
                }
            }
        }
        Ok(work)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const URL: &str = "http://w1:8083/";

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn from_hex(text: &str) -> Vec<u8> {
        (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
    }

    fn given(assigned: &str, revoked: &str, delay_ms: i32) -> Assignment {
        let (assigned, revoked) = (Work::of(assigned), Work::of(revoked));
        Assignment { error: NO_ERROR, leader: "m1".into(), leader_url: URL.into(), config_offset: 7, assigned, revoked, delay_ms }
    }

    fn metadata(allocation: Option<Assignment>) -> Metadata {
        Metadata { url: URL.into(), config_offset: 7, allocation }
    }

    const V2_ASSIGNMENT: &str = "0002000000026d31000f687474703a2f2f77313a383038332f0000000000000007000000020002633100000002ffffffff000000000002633200000001000000010000000100\
                                 02633300000002ffffffff0000000000001388";

    /// Bytes that upstream's 4.3.1 has written.
    #[test]
    fn metadata_has_upstreams_bytes() {
        let with = metadata(Some(given("c1 c1-0 c2-1", "c3 c3-0", 5000)));
        let v2_with = format!("0002000f687474703a2f2f77313a383038332f000000000000000700000059{V2_ASSIGNMENT}");
        for (protocol, value, bytes) in [
            (Protocol::Eager, metadata(None), "0000000f687474703a2f2f77313a383038332f0000000000000007"),
            (Protocol::Compatible, metadata(None), "0001000f687474703a2f2f77313a383038332f0000000000000007ffffffff"),
            (Protocol::Sessioned, metadata(None), "0002000f687474703a2f2f77313a383038332f0000000000000007ffffffff"),
            (Protocol::Sessioned, with, v2_with.as_str()),
        ] {
            assert_eq!(hex(&value.to_bytes(protocol)), bytes);
            assert_eq!(Metadata::parse(&from_hex(bytes)), Ok(value));
        }
    }

    #[test]
    fn assignments_have_upstreams_bytes() {
        let mismatch = Assignment { error: CONFIG_MISMATCH, config_offset: 9, ..given("", "", 0) };
        for (protocol, value, bytes) in [
            (
                Protocol::Eager,
                given("c1 c1-0 c2-1", "", 0),
                "0000000000026d31000f687474703a2f2f77313a383038332f0000000000000007000000020002633100000002ffffffff00000000000263320000000100000001",
            ),
            (Protocol::Sessioned, given("c1 c1-0 c2-1", "c3 c3-0", 5000), V2_ASSIGNMENT),
            (Protocol::Sessioned, given("", "", 0), "0002000000026d31000f687474703a2f2f77313a383038332f0000000000000007000000000000000000000000"),
            (Protocol::Sessioned, mismatch, "0002000100026d31000f687474703a2f2f77313a383038332f0000000000000009000000000000000000000000"),
        ] {
            assert_eq!(hex(&value.to_bytes(protocol)), bytes);
            assert_eq!(Assignment::parse(&from_hex(bytes)), Ok(value));
        }
    }

    #[test]
    fn connectors_with_an_instance_come_before_those_of_which_there_are_only_tasks() {
        let bytes = given("z a-1 a-0 z-4", "", 0).to_bytes(Protocol::Eager);
        assert_eq!(hex(&bytes[33..]), "0000000200017a00000002ffffffff0000000400016100000002 00000000 00000001".replace(' ', ""));
    }

    #[test]
    fn readers_take_later_versions_nulls_and_missing_fields() {
        let head = "000000026d31000f687474703a2f2f77313a383038332f0000000000000007";
        for (case, bytes, expected) in [
            ("nothing after the offset", format!("0001{head}"), given("", "", 0)),
            ("null arrays", format!("0001{head}ffffffffffffffff00000005"), given("", "", 5)),
            ("no delay", format!("0001{head}0000000000000000"), given("", "", 0)),
            ("another version, with fields that are not known", format!("7fff{head}000000000000000000000005abcdef"), given("", "", 5)),
        ] {
            assert_eq!(Assignment::parse(&from_hex(&bytes)), Ok(expected), "{case}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_with_its_place() {
        for (bytes, message) in [
            ("", "the version is cut off at byte 0 of 0"),
            ("ffff", "version -1 at byte 2 of 2"),
            ("0000", "the url is cut off at byte 2 of 2"),
            ("0000ffff", "the url has -1 bytes at byte 4 of 4"),
            ("000000056162", "the url has 5 bytes and is cut off at byte 4 of 6"),
            ("0001000161000000000000000700000005ab", "the allocation has 5 bytes and is cut off at byte 17 of 18"),
        ] {
            let error = Metadata::parse(&from_hex(bytes)).expect_err(bytes).to_string();
            assert!(error.starts_with(&format!("the metadata of a member cannot be read: {message};")), "{error}");
        }
        let task = from_hex("00000000000000000000000000000007000000010001610000000 1fffffffe".replace(' ', "").as_str());
        let error = Assignment::parse(&task).expect_err("a negative task").to_string();
        assert!(error.contains("what is assigned has task -2 of \"a\""), "{error}");
    }

    #[test]
    fn a_member_keeps_what_is_not_revoked() {
        let before = given("a b a-0 b-0", "", 0);
        let round = given("c-0", "b a-0", 0);
        assert_eq!(round.clone().on_top_of(Some(&before)), given("a b-0 c-0", "b a-0", 0));
        assert_eq!(round.clone().on_top_of(None), round);
    }

    #[test]
    fn a_worker_offers_its_protocol_and_all_below() {
        let names = |setting| metadata(None).offers(setting).iter().map(|(name, _)| *name).collect::<Vec<_>>();
        assert_eq!(names(Protocol::Sessioned), ["sessioned", "compatible", "default"]);
        assert_eq!(names(Protocol::Compatible), ["compatible", "default"]);
        assert_eq!(names(Protocol::Eager), ["default"]);
        for protocol in [Protocol::Eager, Protocol::Compatible, Protocol::Sessioned] {
            assert_eq!(Protocol::from_wire_name(protocol.wire_name()), Some(protocol));
        }
        assert_eq!(Protocol::from_wire_name("eager"), None, "its name on the wire is another");
        assert_eq!((Protocol::from_setting("EAGER"), Protocol::from_setting("default")), (Some(Protocol::Eager), None));
    }

    fn work() -> impl Strategy<Value = Work> {
        let connectors = proptest::collection::btree_set("[a-zé .-]{0,6}".prop_map(Arc::from), 0..5);
        let tasks = proptest::collection::btree_set(("[a-zé .-]{0,6}", 0..5_u32).prop_map(|(connector, task)| TaskId::new(&connector, task)), 0..8);
        (connectors, tasks).prop_map(|(connectors, tasks)| Work { connectors, tasks })
    }

    fn assignment() -> impl Strategy<Value = Assignment> {
        (any::<i16>(), "\\PC{0,9}", "\\PC{0,9}", any::<i64>(), work(), work(), any::<i32>()).prop_map(
            |(error, leader, leader_url, config_offset, assigned, revoked, delay_ms)| Assignment {
                error,
                leader,
                leader_url,
                config_offset,
                assigned,
                revoked,
                delay_ms,
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(given in assignment(), url in "\\PC{0,9}", config_offset: i64, sessioned: bool, has: bool) {
            let protocol = if sessioned { Protocol::Sessioned } else { Protocol::Compatible };
            let said = Metadata { url, config_offset, allocation: has.then_some(given) };
            prop_assert_eq!(Metadata::parse(&said.to_bytes(protocol)), Ok(said.clone()));
            let eager = Metadata { allocation: None, ..said.clone() };
            prop_assert_eq!(Metadata::parse(&said.to_bytes(Protocol::Eager)), Ok(eager));
        }

        #[test]
        fn no_bytes_make_a_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            for error in [Metadata::parse(&bytes).err(), Assignment::parse(&bytes).err()].into_iter().flatten() {
                prop_assert!(error.at <= bytes.len());
            }
        }

        #[test]
        fn bytes_that_are_cut_off_or_damaged_are_read_or_refused(given in assignment(), cut in 0..400_usize, at in 0..400_usize, with: u8) {
            let mut bytes = Metadata { url: URL.into(), config_offset: 1, allocation: Some(given) }.to_bytes(Protocol::Sessioned);
            let all = bytes.len();
            if let Some(byte) = bytes.get_mut(at) {
                *byte = with;
            }
            bytes.truncate(cut.min(all));
            if let Ok(read) = Metadata::parse(&bytes) {
                prop_assert_eq!(Metadata::parse(&read.to_bytes(Protocol::Sessioned)), Ok(read));
            }
        }
    }
}
