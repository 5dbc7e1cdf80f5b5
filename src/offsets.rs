//! The offsets of one file's rows: which record stands in which row, and a digest that proves that files hold each offset once.
//!
//! An [`OffsetSet`] takes the offsets as rows are appended and keeps them as runs of neighbours, a few bytes each. Files of several paths of one topic
//! partition interleave, so their spans and counts prove little; their [digests](OffsetSet::digest) do: digests of files add up, and the sum over files
//! that hold each offset of a range once is the [digest of the range](Digest::of_range), which takes the same short time however long the range is.
//! [`OffsetSet::encode`] is the text that a file's footer carries: row *i* is the *i*-th offset.
//!
//! The text and the digest are on disk for as long as the files are: neither may change its meaning.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::iter::Sum;
use std::ops::{Add, AddAssign};
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;

/// Longest text of a set: a footer is read at once, so it stays small.
pub const MAX_TEXT_BYTES: usize = 1 << 20;

/// Most bytes of runs that a text may unfold to.
const MAX_RUN_BYTES: usize = 16 << 20;

/// A text's first byte says what follows: the bytes of the runs as they are, or deflated.
const PLAIN: u8 = 0;
const DEFLATED: u8 = 1;

/// The order-independent sum of one number for each offset, modulo 2^128. The number of an offset is the product of eight odd numbers, one for each of its
/// bytes: [`TABLE`] holds one for each value at each place. Lost and doubled offsets make a polynomial in these numbers that is not zero, of degree eight;
/// that it vanishes for numbers that know nothing of it has a chance of about 2^-90, whatever the pattern. Factors are why sums over ranges are short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Digest(u128);

/// For each of the eight bytes of an offset, lowest first: the sums of its numbers below each value. The number of value `v` is `[v + 1] - [v]`.
static TABLE: [[u128; 257]; 8] = table();

const fn table() -> [[u128; 257]; 8] {
    let mut table = [[0_u128; 257]; 8];
    let (mut place, mut state) = (0, 0_u64);
    while place < 8 {
        let mut value = 0;
        while value < 256 {
            let high = (mix(state) as u128) << 64;
            let number = high | mix(state + 1) as u128 | 1;
            table[place][value + 1] = table[place][value].wrapping_add(number);
            state += 2;
            value += 1;
        }
        place += 1;
    }
    table
}

/// The `n`th output of SplitMix64 (Steele, Lea, Flood 2014) from seed 0.
const fn mix(n: u64) -> u64 {
    let mut z = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Digest {
    /// The digest of every offset from `start` to `end` (exclusive), each once.
    #[must_use]
    pub fn of_range(start: i64, end: i64) -> Self {
        if start >= end {
            return Self(0);
        }
        Self(below(end).wrapping_sub(below(start)))
    }
}

/// The sum of the numbers of all offsets below `end`, byte by byte from the highest: those with a smaller byte there, whatever follows, and the rest below.
fn below(end: i64) -> u128 {
    let (mut sum, mut higher) = (0_u128, 1_u128);
    for (sums, value) in TABLE.iter().zip(end.to_le_bytes().map(usize::from)).rev() {
        // What stands so far counts for every value of this byte; the smaller values are added.
        sum = sum.wrapping_mul(sums[256]).wrapping_add(higher.wrapping_mul(sums[value]));
        higher = higher.wrapping_mul(sums[value + 1].wrapping_sub(sums[value]));
    }
    sum
}

impl Add for Digest {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }
}

impl AddAssign for Digest {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for Digest {
    fn sum<I: Iterator<Item = Self>>(digests: I) -> Self {
        digests.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for Digest {
    /// 32 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl FromStr for Digest {
    type Err = BadOffsets;

    fn from_str(text: &str) -> Result<Self, BadOffsets> {
        let is_hex = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u128::from_str_radix(text, 16).ok().filter(|_| is_hex);
        number.map(Self).ok_or(BadOffsets("a digest has 32 hexadecimal digits"))
    }
}

/// A text that is no set of offsets, or no digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadOffsets(&'static str);

/// Offsets `[start, end)` in neighbouring rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// First offset.
    pub start: i64,
    /// Exclusive.
    pub end: i64,
}

impl Run {
    /// Number of offsets.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.end.abs_diff(self.start)
    }
}

/// The runs of an [`OffsetSet`].
#[derive(Debug, Clone)]
pub struct Runs<B> {
    ended: B,
    taken: usize,
    /// End of the run before.
    at: i64,
    last: Option<Run>,
}

impl Runs<Vec<u8>> {
    /// Heap in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.ended.capacity()
    }
}

impl<B: AsRef<[u8]>> Iterator for Runs<B> {
    type Item = Run;

    fn next(&mut self) -> Option<Run> {
        let whole = self.ended.as_ref();
        let mut rest = whole.get(self.taken..)?;
        if rest.is_empty() {
            return self.last.take();
        }
        let run = take_run(&mut rest, self.at)?; // what was put is whole
        (self.taken, self.at) = (whole.len() - rest.len(), run.end);
        Some(run)
    }
}

/// The offsets of a file's rows, in the order of the rows.
///
/// Offsets grow from row to row in what this program writes; a set takes any order, so that a file that holds an offset twice says so.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OffsetSet {
    /// Every run but the last: gap to the run before and count less one, as in the text.
    ended: Vec<u8>,
    /// End of the last of them.
    ended_at: i64,
    last: Option<Run>,
    count: u64,
    first: i64,
    lowest: i64,
    highest: i64,
    digest: Digest,
}

impl OffsetSet {
    /// No rows.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the offsets of the next rows. Offsets are those of Kafka: not negative, and below `i64::MAX`.
    pub fn extend(&mut self, offsets: &[i64]) {
        for run in offsets.chunk_by(|a, b| a.checked_add(1) == Some(*b)) {
            if let (Some(first), Some(last)) = (run.first(), run.last()) {
                self.extend_range(*first, last.saturating_add(1));
            }
        }
    }

    /// Appends the offsets from `start` to `end` (exclusive) as the next rows.
    pub fn extend_range(&mut self, start: i64, end: i64) {
        if start >= end {
            return;
        }
        let run = Run { start, end };
        self.count += run.count();
        self.digest += Digest::of_range(start, end);
        match &mut self.last {
            None => (self.first, self.lowest, self.highest, self.last) = (start, start, end - 1, Some(run)),
            Some(last) => {
                (self.lowest, self.highest) = (self.lowest.min(start), self.highest.max(end - 1));
                if last.end == start {
                    last.end = end;
                } else {
                    let ended = std::mem::replace(last, run);
                    put_run(&mut self.ended, self.ended_at, ended);
                    self.ended_at = ended.end;
                }
            }
        }
    }

    /// Number of rows.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The smallest offset; `None` without rows.
    #[must_use]
    pub fn first(&self) -> Option<i64> {
        self.last.map(|_| self.lowest)
    }

    /// The greatest offset, plus one; `None` without rows.
    #[must_use]
    pub fn end(&self) -> Option<i64> {
        self.last.map(|_| self.highest + 1)
    }

    /// True when the rows are one run: [`first`](Self::first) and [`count`](Self::count) then say all.
    #[must_use]
    pub fn is_consecutive(&self) -> bool {
        self.ended.is_empty()
    }

    /// The digest of the rows' offsets.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Heap in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.ended.capacity()
    }

    /// The runs, in the order of the rows.
    pub fn runs(&self) -> Runs<&[u8]> {
        Runs { ended: &self.ended, taken: 0, at: 0, last: self.last }
    }

    /// The runs, in the order of the rows, by themselves.
    #[must_use]
    pub fn into_runs(self) -> Runs<Vec<u8>> {
        Runs { ended: self.ended, taken: 0, at: 0, last: self.last }
    }

    /// The offset of a row, counted from 0.
    #[must_use]
    pub fn offset_of(&self, row: u64) -> Option<i64> {
        let mut before = 0;
        for run in self.runs() {
            if row - before < run.count() {
                return i64::try_from(row - before).ok().map(|rows| run.start + rows);
            }
            before += run.count();
        }
        None
    }

    /// The first row that holds an offset, counted from 0.
    #[must_use]
    pub fn row_of(&self, offset: i64) -> Option<u64> {
        let mut before = 0;
        for run in self.runs() {
            if (run.start..run.end).contains(&offset) {
                return Some(before + offset.abs_diff(run.start));
            }
            before += run.count();
        }
        None
    }

    /// The set as text for a footer; `None` where it would be longer than [`MAX_TEXT_BYTES`].
    #[must_use]
    pub fn encode(&self) -> Option<String> {
        let mut plain = vec![PLAIN];
        plain.extend_from_slice(&self.ended);
        if let Some(last) = self.last {
            put_run(&mut plain, self.ended_at, last);
        }
        let runs = &plain[1..];
        if runs.len() > MAX_RUN_BYTES {
            return None;
        }
        let mut deflate = DeflateEncoder::new(vec![DEFLATED], Compression::default());
        // Writing to memory does not fail.
        let deflated = deflate.write_all(runs).and_then(|()| deflate.finish()).ok();
        let bytes = deflated.filter(|deflated| deflated.len() < plain.len()).unwrap_or(plain);
        let text = BASE64_URL_SAFE_NO_PAD.encode(bytes);
        (text.len() <= MAX_TEXT_BYTES).then_some(text)
    }

    /// The set that [`encode`](Self::encode) made this text of. Memory is bounded, whatever the text is.
    ///
    /// # Errors
    /// [`BadOffsets`] when it made no such text.
    pub fn decode(text: &str) -> Result<Self, BadOffsets> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(BadOffsets("the text of the offsets is too long"));
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| BadOffsets("the text of the offsets is not base64url"))?;
        let unfolded;
        let mut runs = match bytes.split_first() {
            Some((&PLAIN, runs)) => runs,
            Some((&DEFLATED, deflated)) => {
                unfolded = inflate(deflated)?;
                &unfolded
            }
            _ => return Err(BadOffsets("the text of the offsets is of an unknown kind")),
        };
        let mut set = Self::new();
        let mut at = 0;
        while !runs.is_empty() {
            let run = take_run(&mut runs, at).ok_or(BadOffsets("the text of the offsets ends in the middle, or has offsets that Kafka has not"))?;
            if set.last.is_some() && run.start == at {
                return Err(BadOffsets("the text of the offsets has one run in two"));
            }
            set.count.checked_add(run.count()).ok_or(BadOffsets("the text of the offsets has more rows than can be counted"))?;
            set.extend_range(run.start, run.end);
            at = run.end;
        }
        Ok(set)
    }
}

fn inflate(deflated: &[u8]) -> Result<Vec<u8>, BadOffsets> {
    let mut runs = Vec::new();
    let most = u64::try_from(MAX_RUN_BYTES).unwrap_or(u64::MAX);
    let read = DeflateDecoder::new(deflated).take(most + 1).read_to_end(&mut runs);
    match read {
        Ok(length) if length <= MAX_RUN_BYTES => Ok(runs),
        Ok(_) => Err(BadOffsets("the text of the offsets unfolds to too much")),
        Err(_) => Err(BadOffsets("the text of the offsets cannot be inflated")),
    }
}

/// Appends a run: its distance from `at`, the end of the run before, and its count less one.
fn put_run(out: &mut Vec<u8>, at: i64, run: Run) {
    let gap = run.start - at;
    let zigzag = (gap << 1) ^ (gap >> 63);
    put_varint(out, u64::from_ne_bytes(zigzag.to_ne_bytes()));
    put_varint(out, run.count() - 1);
}

/// Reads a run; `None` when there is none, or one that no offsets of Kafka make.
fn take_run(bytes: &mut &[u8], at: i64) -> Option<Run> {
    let zigzag = take_varint(bytes)?;
    let half = i64::try_from(zigzag >> 1).ok()?;
    let gap = if zigzag & 1 == 0 { half } else { -half - 1 };
    let start = at.checked_add(gap).filter(|start| *start >= 0)?;
    let more = i64::try_from(take_varint(bytes)?).ok()?;
    let end = start.checked_add(more)?.checked_add(1)?;
    Some(Run { start, end })
}

fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let low = u64::from(byte & 0x7f);
        if (low << shift) >> shift != low {
            return None;
        }
        number |= low << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests;
