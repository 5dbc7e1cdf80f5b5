//! What is committed beside an offset: which files end where, and what is visible beyond the offset; as a short text.
//!
//! ```text
//! text   = "LH1." base64url( body crc32 )              nothing to say = the empty text, as upstream commits
//! body   = configuration:8 clock lanes
//! clock  = count { offset - committed:zigzag, ms - previous ms:zigzag }
//! lanes  = count { bytes shared with the previous name, length of the rest, the rest,
//!                  ahead - committed (0 = none), count { start - previous:zigzag, end - start } }
//! ```
//! Numbers are unsigned LEB128. Names are told by what differs from the one before, so that directories of hours or days take a few bytes each. A text is made longer by
//! numbers with more bytes than they need, which every reader takes: that the broker takes it says that it takes as much.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::{Lane, TOGETHER};
use crate::batch::{Committed, OffsetRange};

/// Begins every text of this version.
const MARK: &str = "LH1.";
/// Begins the texts of every version.
const FAMILY: &str = "LH";
/// Bytes of a checksum.
const SUM: usize = 4;
/// Bytes that a number takes at most.
const NUMBER: usize = 10;

/// What a lane's owner has done and is about to do beyond the committed offset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct LaneIntent {
    /// Everything of the lane below is visible, unless it is in [`files`](Self::files).
    pub ahead: Option<i64>,
    /// First offsets and ends of what is about to become visible, ascending.
    pub files: Vec<OffsetRange>,
}

/// What is committed beside an offset.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Intent {
    /// Stands for whatever rows, paths and names depend on.
    pub configuration: u64,
    /// By lane.
    pub lanes: BTreeMap<Lane, LaneIntent>,
    /// Offsets from which on paths were made with these readings of the clock, in ms.
    pub clock: Vec<(i64, i64)>,
}

/// An intent that this configuration or this version cannot carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreign {
    /// It was made under another configuration: these paths (or all, if the list has the empty one) have files on their way.
    Configuration(Vec<Lane>),
    /// It was made by another version, or was damaged.
    Unreadable(String),
}

impl fmt::Display for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Configuration(lanes) => {
                let shown: Vec<&str> = lanes.iter().take(3).map(|lane| if lane.is_empty() { "every path" } else { lane }).collect();
                let more = if lanes.len() > 3 { format!(" and {} more", lanes.len() - 3) } else { String::new() };
                write!(f, "files of another configuration were on their way when its task died ({}{more})", shown.join(", "))
            }
            Self::Unreadable(why) => write!(f, "the text that was committed with the offset cannot be read: {why}"),
        }
    }
}

impl Intent {
    /// The intent in what the coordinator holds; an empty one in texts that are not ours.
    ///
    /// # Errors
    /// [`Foreign`].
    pub(super) fn read(committed: &Committed, configuration: u64) -> Result<Self, Foreign> {
        if !committed.metadata.starts_with(FAMILY) {
            return Ok(Self { configuration, ..Self::default() });
        }
        let intent = Self::parse(&committed.metadata, committed.offset)?;
        if intent.configuration != configuration {
            return Err(Foreign::Configuration(intent.lanes.into_keys().collect()));
        }
        Ok(intent)
    }

    /// Reads a text that was committed with this offset.
    ///
    /// # Errors
    /// [`Foreign::Unreadable`].
    pub fn parse(text: &str, offset: i64) -> Result<Self, Foreign> {
        let bad = |why: &str| Foreign::Unreadable(format!("{why} in {:?}", text.chars().take(40).collect::<String>()));
        let Some(coded) = text.strip_prefix(MARK) else { return Err(bad("another version's mark")) };
        let bytes = URL_SAFE_NO_PAD.decode(coded).map_err(|_| bad("no base64"))?;
        let (body, sum) = bytes.split_last_chunk::<SUM>().ok_or_else(|| bad("too few bytes"))?;
        if crc32fast::hash(body).to_le_bytes() != *sum {
            return Err(bad("a wrong checksum"));
        }
        let mut from = Reader(body);
        let intent = from.intent(offset).ok_or_else(|| bad("a broken body"))?;
        if from.0.is_empty() { Ok(intent) } else { Err(bad("bytes too many")) }
    }

    /// Up to which offset records may be skipped by whoever goes on from here, because they are visible: the committed one, or one beyond.
    #[must_use]
    pub fn reach(&self, offset: i64) -> i64 {
        self.lanes.values().filter_map(|of| of.ahead).max().map_or(offset, |ahead| ahead.max(offset))
    }

    /// The same without files that end together.
    pub(super) fn lane_by_lane(mut self) -> Self {
        self.lanes.remove(TOGETHER);
        self.with_its_clock()
    }

    /// The same with those readings of the clock alone that what it says was made with.
    pub(super) fn with_its_clock(mut self) -> Self {
        let until = self.lanes.values().flat_map(|of| of.ahead.into_iter().chain(of.files.iter().map(|span| span.end))).max();
        self.clock.retain(|(from, _)| until.is_some_and(|until| *from < until));
        self
    }

    /// The text to commit with this offset; empty when there is nothing to say.
    #[must_use]
    pub fn text(&self, offset: i64) -> String {
        self.text_of(offset, 0)
    }

    /// The same, with numbers that take more bytes than they need: of so many bytes, or one less, if it is shorter and has numbers enough.
    pub(super) fn text_of(&self, offset: i64, length: usize) -> String {
        if self.lanes.is_empty() {
            return String::new();
        }
        let body = self.body(offset, 0);
        let wanted = (length.saturating_sub(MARK.len()) * 3 / 4).saturating_sub(SUM);
        framed(if body.len() < wanted { self.body(offset, wanted - body.len()) } else { body })
    }

    fn body(&self, offset: i64, spare: usize) -> Vec<u8> {
        let mut body = Body { bytes: self.configuration.to_le_bytes().to_vec(), spare };
        body.put(self.clock.len() as u64);
        let mut last = 0;
        for (from, ms) in &self.clock {
            body.put_signed(from.wrapping_sub(offset));
            body.put_signed(ms.wrapping_sub(last));
            last = *ms;
        }
        body.put(self.lanes.len() as u64);
        let mut previous: &[u8] = &[];
        for (lane, of) in &self.lanes {
            let name = lane.as_bytes();
            let shared = name.iter().zip(previous).take_while(|(a, b)| a == b).count();
            let rest = name.get(shared..).unwrap_or_default();
            body.put(shared as u64);
            body.put(rest.len() as u64);
            body.bytes.extend_from_slice(rest);
            body.put(of.ahead.map_or(0, |ahead| ahead.wrapping_sub(offset).cast_unsigned()));
            body.put(of.files.len() as u64);
            let mut at = of.ahead.unwrap_or(offset);
            for span in &of.files {
                body.put_signed(span.start.wrapping_sub(at));
                body.put(span.end.wrapping_sub(span.start).cast_unsigned());
                at = span.end;
            }
            previous = name;
        }
        body.bytes
    }
}

/// A body with its checksum, as text.
pub(super) fn framed(mut body: Vec<u8>) -> String {
    let sum = crc32fast::hash(&body).to_le_bytes();
    body.extend_from_slice(&sum);
    format!("{MARK}{}", URL_SAFE_NO_PAD.encode(body))
}

/// A body that is being told.
struct Body {
    bytes: Vec<u8>,
    /// Bytes to spend on numbers that do not need them.
    spare: usize,
}

impl Body {
    fn put(&mut self, mut value: u64) {
        let last = self.bytes.len() + NUMBER - 1;
        while value >= 0x80 || (self.spare > 0 && self.bytes.len() < last) {
            if value < 0x80 {
                self.spare -= 1;
            }
            self.bytes.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.bytes.push(value.to_le_bytes()[0]);
    }

    fn put_signed(&mut self, value: i64) {
        self.put(((value << 1) ^ (value >> 63)).cast_unsigned());
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn intent(&mut self, offset: i64) -> Option<Intent> {
        let (configuration, rest) = self.0.split_first_chunk::<8>()?;
        let configuration = u64::from_le_bytes(*configuration);
        self.0 = rest;
        let mut clock = Vec::new();
        let mut last = 0_i64;
        for _ in 0..self.number()? {
            let from = offset.wrapping_add(self.signed()?);
            last = last.wrapping_add(self.signed()?);
            clock.push((from, last));
        }
        let mut lanes = BTreeMap::new();
        let mut previous: Vec<u8> = Vec::new();
        for _ in 0..self.number()? {
            let shared = usize::try_from(self.number()?).ok()?;
            let length = usize::try_from(self.number()?).ok()?;
            let rest = self.bytes(length)?;
            let name = [previous.get(..shared)?, rest].concat();
            let ahead = match self.number()? {
                0 => None,
                past => Some(offset.wrapping_add(past.cast_signed())),
            };
            let mut at = ahead.unwrap_or(offset);
            let mut files = Vec::new();
            for _ in 0..self.number()? {
                let start = at.wrapping_add(self.signed()?);
                at = start.wrapping_add(self.number()?.cast_signed());
                files.push(OffsetRange { start, end: at });
            }
            lanes.insert(Arc::from(str::from_utf8(&name).ok()?), LaneIntent { ahead, files });
            previous = name;
        }
        Some(Intent { configuration, lanes, clock })
    }

    fn bytes(&mut self, length: usize) -> Option<&[u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let value = self.number()?;
        Some((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
    }
}
